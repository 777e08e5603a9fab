package jwtauth

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/auth"
)

// Config configures a [Verifier].
type Config struct {
	// Issuers are who may sign tokens. At least one; names must differ.
	Issuers []Issuer
	// Leeway is how far the clocks of issuer and verifier may be apart, for exp, nbf and iat. Zero means 30 seconds; at most
	// 60 seconds. Negative means none.
	Leeway time.Duration
	// MaxTokenBytes bounds the length of a token. Zero means 8 KiB; at most 64 KiB.
	MaxTokenBytes int
	// CacheSize is how many verified tokens are remembered, so that the next use costs a hash instead of a signature; it is rounded up to
	// four times a power of two. Zero means 4096; negative means none; at most 1,048,576. A token with a subject and a jti of 30 characters
	// takes 640 bytes, whatever its own length. See the package comment for what a remembered token is still asked.
	CacheSize int
	// Revoked, if set, is asked about every token that is otherwise good, on every use, remembered or not. An error refuses: one
	// that wraps [auth.ErrRevoked] with 401, one that is none of package auth's with 503, as a list that cannot answer must. It is
	// called by many goroutines at once and stands in the way of each request, so it looks into memory, not over a network.
	Revoked func(Token) error
	// Logger gets a record when keys of an issuer were fetched and changed (Info), a key of a set is not usable, or a fetch
	// failed (Warn). Nil means what slog.Default returns at that moment.
	Logger *slog.Logger
}

// Token is a good token as a deny list sees it.
type Token struct {
	// Principal is the caller the token stands for. It is shared: do not change it.
	Principal *auth.Principal
	// ID is jti; empty when the token has none.
	ID string
	// IssuedAt is iat, to refuse all that was issued to somebody before a moment; zero when the token has none.
	IssuedAt time.Time
}

// Issuer is one source of tokens.
type Issuer struct {
	// Issuer is the exact value of iss: no normalisation, no trailing slash added or removed. Required.
	Issuer string
	// Audiences are the names this API is known by; a token must hold one of them exactly. Required: without it a token that
	// was issued for any other API would open this one.
	Audiences []string
	// Algorithms are the algorithms this issuer may use: HS256, HS384, HS512, RS256, RS384, RS512, PS256, PS384, PS512, ES256,
	// ES384, ES512, EdDSA. Required. HMAC and public key algorithms exclude each other within one issuer.
	Algorithms []string
	// Keys are the keys of this issuer. Exactly one of Keys, JWKS and Discovery is set; HMAC goes with Keys only.
	Keys []Key
	// JWKS is the https URL of the issuer's JWK Set (RFC 7517), without user name and fragment. It is first fetched when the
	// first token of the issuer comes.
	JWKS string
	// Discovery finds the URL of the JWK Set in the document at Issuer, less a slash at its end, + "/.well-known/openid-configuration"
	// (OpenID Connect Discovery 1.0 section 4), which must name this very issuer. An issuer whose document is elsewhere is configured by JWKS.
	Discovery bool
	// Fetch says how JWKS and Discovery are fetched. The zero value is right for an issuer on the Internet.
	Fetch Fetch
	// Types are the accepted values of the typ header, in any case, "application/" understood; "" stands for a token without
	// typ. Nil means "at+jwt". Adding "JWT" or "" lets in other tokens of this issuer that have the right audience.
	Types []string
	// MaxLifetime bounds exp minus iat; for a token without iat, exp minus now. Zero means 24 hours, negative no bound.
	MaxLifetime time.Duration
	// Claims names the claims that fill the Principal.
	Claims ClaimNames
}

// ClaimNames says which top-level claims fill the fields of an [auth.Principal] that RFC 9068 has no claim for. scope and scp
// are always read, and added up.
type ClaimNames struct {
	// ClientID names a string claim. Empty means client_id (RFC 9068), else azp; a token that has neither has no
	// ClientID, and limits hang on its subject: a subject that is spelled like a client is not that client.
	ClientID string
	// Roles names an array of strings, or a string, which is one role, whatever spaces it has. One that begins with "/" is a JSON Pointer (RFC 6901)
	// into the claims: "/realm_access/roles" is where Keycloak puts them. Empty means "roles".
	Roles string
	// Tenant names a string claim. Empty means that tokens name no tenant.
	Tenant string
	// Plan names a string claim. Empty means that tokens name no plan.
	Plan string
	// Models names an array of strings or a string of space-separated names. Empty means that tokens do not restrict
	// models. When it is set, a token without the claim may use no model: forgetting a restriction must not lift it.
	Models string
}

// Key is one verification key.
type Key struct {
	// ID is the kid. A key with an empty ID verifies tokens without kid only.
	ID string
	// Algorithm is the one algorithm this key is for. Required.
	Algorithm string
	// Key is a []byte for HMAC, at least as long as the hash (RFC 7518 section 3.2); an *rsa.PublicKey of 2048 to 8192 bits; an
	// *ecdsa.PublicKey on the curve of the algorithm; or an ed25519.PublicKey. Private keys are refused.
	Key any
}

// Verifier checks tokens. It is immutable, up to the keys it fetches and the tokens it remembers, and safe for concurrent use.
// The zero Verifier, and a nil one, refuse every request with [auth.ErrUnavailable].
//
// A Verifier with JWKS or Discovery fetches again and again from its first token on, whether tokens come or not, until
// [Verifier.Close]; one that is dropped without Close is never collected. A Verifier with Keys alone needs no Close.
type Verifier struct {
	issuers  []*issuer
	leeway   time.Duration
	maxToken int
	headers  headers
	cache    *cache // nil for none
	revoked  func(Token) error
}

// issuer is a checked Issuer.
type issuer struct {
	name        string
	audiences   []string
	keys        keys     // when remote is nil
	remote      *remote  // nil for configured keys
	types       []string // lower case, without "application/"
	maxLifetime time.Duration
	names       ClaimNames
	rolePath    []string // of names.Roles when it is a pointer
	// The refusals that say which setting they are about.
	errType, errRoles, errModels *auth.Error
	errWords                     [wordLists]*auth.Error
}

// New returns a Verifier. It reports everything that is wrong with cfg at once.
func New(cfg Config) (*Verifier, error) {
	var errs []error
	if len(cfg.Issuers) == 0 {
		errs = append(errs, errors.New("jwtauth: Config.Issuers is empty"))
	}
	switch {
	case cfg.Leeway == 0:
		cfg.Leeway = 30 * time.Second
	case cfg.Leeway < 0:
		cfg.Leeway = 0
	case cfg.Leeway > time.Minute:
		errs = append(errs, fmt.Errorf("jwtauth: Config.Leeway %v is more than 60 s: that is a longer life for every token, not a clock error", cfg.Leeway))
	}
	switch {
	case cfg.MaxTokenBytes == 0:
		cfg.MaxTokenBytes = 8 << 10
	case cfg.MaxTokenBytes < 0 || cfg.MaxTokenBytes > 64<<10:
		errs = append(errs, fmt.Errorf("jwtauth: Config.MaxTokenBytes %d is not between 1 and 65536", cfg.MaxTokenBytes))
	}
	switch {
	case cfg.CacheSize == 0:
		cfg.CacheSize = 4096
	case cfg.CacheSize > 1<<20:
		errs = append(errs, fmt.Errorf("jwtauth: Config.CacheSize %d is more than 1048576", cfg.CacheSize))
	}
	v := &Verifier{leeway: cfg.Leeway, maxToken: cfg.MaxTokenBytes, revoked: cfg.Revoked}
	for i := range cfg.Issuers {
		is, err := newIssuer(&cfg.Issuers[i], cfg.Logger)
		if err != nil {
			errs = append(errs, fmt.Errorf("jwtauth: Config.Issuers[%d]: %w", i, err))
			continue
		}
		if v.issuer([]byte(is.name)) != nil {
			errs = append(errs, fmt.Errorf("jwtauth: Config.Issuers[%d]: Issuer %q is there twice", i, is.name))
		}
		v.issuers = append(v.issuers, is)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if cfg.CacheSize > 0 {
		v.cache = newCache(cfg.CacheSize)
	}
	return v, nil
}

func newIssuer(cfg *Issuer, logger *slog.Logger) (*issuer, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if cfg.Issuer == "" {
		bad("Issuer is empty")
	}
	if len(cfg.Audiences) == 0 {
		bad("Audiences is empty: every token of the issuer, for any API, would be accepted")
	}
	if slices.Contains(cfg.Audiences, "") {
		bad("Audiences holds an empty name")
	}
	if len(cfg.Algorithms) == 0 {
		bad("Algorithms is empty")
	}
	hmac, public := false, false
	var allowed []*algorithm
	for _, a := range cfg.Algorithms {
		alg, ok := algorithms[a]
		if !ok {
			bad("Algorithms: %q is not supported", a)
			continue
		}
		allowed = append(allowed, alg)
		hmac, public = hmac || alg.family == familyHMAC, public || alg.family != familyHMAC
	}
	if hmac && public {
		bad("Algorithms %q mix HMAC with public key algorithms: a public key could then pass as an HMAC secret", cfg.Algorithms)
	}
	sources := 0
	for _, set := range [...]bool{len(cfg.Keys) > 0, cfg.JWKS != "", cfg.Discovery} {
		if set {
			sources++
		}
	}
	switch {
	case sources == 0:
		bad("Keys is empty, and so are JWKS and Discovery: there is nothing to verify with")
	case sources > 1:
		bad("more than one of Keys, JWKS and Discovery is set: which keys count must be plain")
	case hmac && len(cfg.Keys) == 0:
		bad("Algorithms %q hold HMAC, and its secret is nothing to publish: use Keys", cfg.Algorithms)
	}
	is := &issuer{
		name: cfg.Issuer, audiences: slices.Clone(cfg.Audiences), maxLifetime: cfg.MaxLifetime, names: cfg.Claims,
		types: []string{"at+jwt"},
	}
	for i := range cfg.Keys {
		k, err := newKey(&cfg.Keys[i])
		switch {
		case err != nil:
			bad("Keys[%d] (ID %q): %w", i, cfg.Keys[i].ID, err)
			continue
		case !slices.Contains(cfg.Algorithms, k.alg.name):
			bad("Keys[%d] (ID %q): Algorithm %s is not in Algorithms %q", i, k.id, k.alg.name, cfg.Algorithms)
		case slices.ContainsFunc(is.keys, func(o *key) bool { return o.id == k.id }):
			bad("Keys[%d]: ID %q is there twice", i, k.id)
		}
		is.keys = append(is.keys, k)
	}
	if cfg.Types != nil {
		is.types = nil
		for _, t := range cfg.Types {
			if t != "" && mediaType(t) == "" {
				bad("Types: %q is no type", t)
			}
			is.types = append(is.types, mediaType(t))
		}
		if len(is.types) == 0 {
			bad("Types is empty but not nil: no token could be accepted")
		}
	}
	if is.maxLifetime == 0 {
		is.maxLifetime = 24 * time.Hour
	}
	if is.names.Roles == "" {
		is.names.Roles = "roles"
	}
	if path, ok := strings.CutPrefix(is.names.Roles, "/"); ok {
		unescape := strings.NewReplacer("~1", "/", "~0", "~")
		for s := range strings.SplitSeq(path, "/") {
			is.rolePath = append(is.rolePath, unescape.Replace(s))
		}
	}
	is.explain()
	if len(cfg.Keys) == 0 && sources > 0 {
		var err error
		if is.remote, err = newRemote(cfg, allowed, logger); err != nil {
			errs = append(errs, err)
		}
	}
	return is, errors.Join(errs...)
}

// mediaType is a typ as it is compared: RFC 7515 section 4.1.9 lets "application/" be left out, and media types have no case.
func mediaType(t string) string { return strings.TrimPrefix(strings.ToLower(t), "application/") }

func (v *Verifier) issuer(name []byte) *issuer {
	for _, is := range v.issuers {
		if is.name == string(name) {
			return is
		}
	}
	return nil
}

// slashed reports whether name is that of an issuer but for a slash at its end.
func (v *Verifier) slashed(name []byte) bool {
	return v.issuer([]byte(string(name)+"/")) != nil || len(name) > 0 && name[len(name)-1] == '/' && v.issuer(name[:len(name)-1]) != nil
}

// explain makes the refusals that name a setting of the issuer.
func (is *issuer) explain() {
	is.errType = invalid(fmt.Sprintf("typ is not in Issuer.Types %q", is.types))
	list := func(name string) *auth.Error {
		return invalid(fmt.Sprintf("claim %q is not an array of strings or a string", name))
	}
	is.errRoles, is.errModels = list(is.names.Roles), list(is.names.Models)
	client := is.names.ClientID
	if client == "" {
		client = "client_id or azp"
	}
	for i, name := range [wordLists]string{"sub", "jti", client, is.names.Tenant, is.names.Plan} {
		is.errWords[i] = invalid(fmt.Sprintf("claim %s is missing, no string, longer than %d bytes or has control characters", name, maxName))
	}
}

// Authenticate implements [auth.Authenticator]. A credential that is not in the Authorization header under the scheme Bearer,
// or that does not have exactly two dots, is [auth.ErrNoCredential] and left to others; one that has is decided here.
func (v *Verifier) Authenticate(r *http.Request) (*auth.Principal, error) {
	if v == nil || len(v.issuers) == 0 {
		return nil, errNotMade
	}
	cred, err := auth.CredentialOf(r)
	if err != nil {
		return nil, err
	}
	if cred.Source != auth.SourceBearer || !shaped(cred.Value) {
		return nil, auth.ErrNoCredential
	}
	return v.Verify(r.Context(), cred.Value, time.Now())
}

// Verify decides about a token at the time now, without a request. ctx ends the wait for keys that must be fetched first, and never
// the fetch: it belongs to everybody. Without it a wait ends after 2 seconds.
//
// The Principal may be shared with other uses of the token: to change one, change its Clone. Errors wrap [auth.ErrInvalid];
// [auth.ErrExpired] for a token whose signature is good and whose time is over; [auth.ErrUnavailable], with a RetryAfter, when the
// keys of the issuer cannot be had; or are what Config.Revoked said. A token that is bound to a key or certificate is [auth.ErrInvalid].
func (v *Verifier) Verify(ctx context.Context, token string, now time.Time) (*auth.Principal, error) {
	return v.accept(ctx, token, now, false)
}

// VerifyToken implements [auth.TokenVerifier]: it is [Verifier.Verify] for package pop, which checks what Principal.Bound demands. A token
// that does not have exactly two dots is [auth.ErrNoCredential].
func (v *Verifier) VerifyToken(ctx context.Context, token string) (*auth.Principal, error) {
	if v == nil || len(v.issuers) == 0 {
		return nil, errNotMade
	}
	if !shaped(token) {
		return nil, auth.ErrNoCredential
	}
	return v.accept(ctx, token, time.Now(), true)
}

// accept is Verify, for bound tokens too if the caller checks their proof.
func (v *Verifier) accept(ctx context.Context, token string, now time.Time, bound bool) (*auth.Principal, error) {
	if v == nil || len(v.issuers) == 0 {
		return nil, errNotMade
	}
	if len(token) > v.maxToken {
		return nil, errTooLong
	}
	if !shaped(token) {
		return nil, errShape
	}
	var sum [sha256.Size]byte
	var e *entry
	if v.cache != nil {
		sum = digest(token)
		e = v.cache.get(&sum, now)
	}
	fresh := e == nil
	if fresh {
		var err error
		if e, err = v.verify(ctx, token, now); err != nil {
			return nil, err
		}
	}
	if !bound && !e.principal.Bound.IsZero() {
		return nil, errBound
	}
	if fresh && v.cache != nil {
		e.sum = sum
		v.cache.put(e, now)
	}
	return v.admit(e)
}

// admit asks the deny list, which has the last word on every use.
func (v *Verifier) admit(e *entry) (*auth.Principal, error) {
	if v.revoked != nil {
		if err := v.revoked(Token{Principal: &e.principal, ID: e.id, IssuedAt: e.issued}); err != nil {
			return nil, err
		}
	}
	return &e.principal, nil
}

// verify is the whole way: everything that is decided about a token that was not seen before.
func (v *Verifier) verify(ctx context.Context, token string, now time.Time) (*entry, error) {
	s := scratches.Get().(*scratch)
	defer s.release()
	if err := s.split(token); err != nil {
		return nil, err
	}
	h := v.headers.get(s.head)
	seen := h != nil
	if !seen {
		if err := s.readHeader(); err != nil {
			return nil, err
		}
		h = &s.header
	}
	if err := s.decode(); err != nil {
		return nil, err
	}
	m := &s.members
	if m.read(&s.scanner, s.rawClaims) != nil {
		return nil, errClaims
	}
	iss, ok := m.text(m.find("iss"))
	if !ok {
		return nil, errIssuer
	}
	is := v.issuer(iss)
	if is == nil {
		if v.slashed(iss) {
			return nil, errSlash
		}
		return nil, errIssuer // before anything is fetched: a token does not choose whom we talk to
	}
	if !is.accepts(h.typ) {
		return nil, is.errType
	}
	k, err := is.key(ctx, h)
	if err != nil {
		return nil, err
	}
	if !k.verify(token[:s.signed], s.signature) {
		// The library's reason is left out: it can only say what errSignature says. A bad signature never makes anyone fetch.
		return nil, errSignature
	}
	if !seen {
		v.headers.put(s.head, h)
	}
	return is.judge(m, k, now, v.leeway)
}

// key returns the one key that a header stands for.
func (is *issuer) key(ctx context.Context, h *header) (*key, error) {
	if is.remote != nil {
		return is.remote.key(ctx, h)
	}
	if k, _ := is.keys.find(h); k != nil {
		return k, nil
	}
	return nil, errKey
}

// Close ends all fetching and waits for a fetch that is under way, until ctx is done. Afterwards tokens of issuers with JWKS or
// Discovery are refused with [auth.ErrUnavailable]; those of issuers with Keys are verified as before.
func (v *Verifier) Close(ctx context.Context) error {
	if v == nil {
		return nil
	}
	var errs []error
	for _, is := range v.issuers {
		if is.remote != nil {
			errs = append(errs, is.remote.close(ctx))
		}
	}
	return errors.Join(errs...)
}

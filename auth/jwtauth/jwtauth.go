package jwtauth

import (
	"errors"
	"fmt"
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
	// Keys are the keys of this issuer. Required.
	Keys []Key
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
	// ClientID names a string claim. Empty means client_id (RFC 9068), else azp, else the subject.
	ClientID string
	// Roles names an array of strings. Empty means "roles".
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

// Verifier checks tokens. It is immutable and safe for concurrent use. The zero Verifier, and a nil one, refuse every request
// with [auth.ErrUnavailable].
type Verifier struct {
	issuers  []*issuer
	leeway   time.Duration
	maxToken int
}

// issuer is a checked Issuer.
type issuer struct {
	name        string
	audiences   []string
	keys        []key
	types       []string // lower case, without "application/"
	maxLifetime time.Duration
	names       ClaimNames
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
	v := &Verifier{leeway: cfg.Leeway, maxToken: cfg.MaxTokenBytes}
	for i := range cfg.Issuers {
		is, err := newIssuer(&cfg.Issuers[i])
		if err != nil {
			errs = append(errs, fmt.Errorf("jwtauth: Config.Issuers[%d]: %w", i, err))
			continue
		}
		if v.issuer(is.name) != nil {
			errs = append(errs, fmt.Errorf("jwtauth: Config.Issuers[%d]: Issuer %q is there twice", i, is.name))
		}
		v.issuers = append(v.issuers, is)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return v, nil
}

func newIssuer(cfg *Issuer) (*issuer, error) {
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
	for _, a := range cfg.Algorithms {
		alg, ok := algorithms[a]
		if !ok {
			bad("Algorithms: %q is not supported", a)
			continue
		}
		hmac, public = hmac || alg.family == familyHMAC, public || alg.family != familyHMAC
	}
	if hmac && public {
		bad("Algorithms %q mix HMAC with public key algorithms: a public key could then pass as an HMAC secret", cfg.Algorithms)
	}
	if len(cfg.Keys) == 0 {
		bad("Keys is empty")
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
		case slices.ContainsFunc(is.keys, func(o key) bool { return o.id == k.id }):
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
	return is, errors.Join(errs...)
}

// mediaType is a typ as it is compared: RFC 7515 section 4.1.9 lets "application/" be left out, and media types have no case.
func mediaType(t string) string { return strings.TrimPrefix(strings.ToLower(t), "application/") }

func (v *Verifier) issuer(name string) *issuer {
	for _, is := range v.issuers {
		if is.name == name {
			return is
		}
	}
	return nil
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
	return v.Verify(cred.Value, time.Now())
}

// Verify decides about a token at the time now, without a request. The Principal is new and belongs to the caller. Errors wrap
// [auth.ErrInvalid], or [auth.ErrExpired] for a token whose signature is good and whose time is over.
func (v *Verifier) Verify(token string, now time.Time) (*auth.Principal, error) {
	if v == nil || len(v.issuers) == 0 {
		return nil, errNotMade
	}
	if len(token) > v.maxToken {
		return nil, errTooLong
	}
	s := scratches.Get().(*scratch)
	defer s.release()
	if err := s.decode(token); err != nil {
		return nil, err
	}
	if err := s.readHeader(); err != nil {
		return nil, err
	}
	m, h := &s.members, s.header
	if m.read(&s.scanner, s.rawClaims) != nil {
		return nil, errClaims
	}
	iss, ok := m.text(m.find("iss"))
	if !ok {
		return nil, errIssuer
	}
	is := v.issuer(string(iss))
	if is == nil {
		return nil, errIssuer
	}
	if !is.accepts(h.typ) {
		return nil, errType
	}
	k := is.key(&h)
	if k == nil {
		return nil, errKey
	}
	if k.alg.method.Verify(token[:s.signed], s.signature, k.key) != nil {
		// The library's reason is left out: it can only say what errSignature says.
		return nil, errSignature
	}
	return is.principal(m, k, now, v.leeway)
}

// key returns the one key that a header stands for, or nil.
func (is *issuer) key(h *header) *key {
	var found *key
	for i := range is.keys {
		k := &is.keys[i]
		// The algorithm is the key's. What the header says must agree and chooses nothing.
		if k.alg != h.alg || h.hasKid && k.id != string(h.kid) {
			continue
		}
		if found != nil {
			return nil // without a kid two keys fit: trying both would let a token choose
		}
		found = k
	}
	return found
}

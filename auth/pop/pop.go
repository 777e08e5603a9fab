package pop

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/internal/clock"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

// Config configures a [Verifier].
type Config struct {
	// Tokens verifies the tokens themselves. Required.
	Tokens auth.TokenVerifier
	// URLs are what clients call this API, without the paths of its routes: scheme and host, "https://example.com", and the path that a
	// proxy in front takes off, if any. A proof's htu must be one of them followed by the path of the request. They switch DPoP
	// on; empty means that it is not understood.
	URLs []string
	// InsecureHTTP allows http in URLs on a loopback address, for tests.
	InsecureHTTP bool
	// Algorithms are the signature algorithms of proofs: ES256, ES384, ES512, EdDSA, Ed25519, RS256, RS384, RS512, PS256, PS384, PS512.
	// Nil means ES256 and EdDSA.
	Algorithms []string
	// MaxAge is how old a proof may be. Zero means 60 seconds, at most 10 minutes (RFC 9449 section 11.1: seconds or minutes).
	MaxAge time.Duration
	// Leeway is how far in the future a proof's iat may be. Zero means 5 seconds, at most 60; negative means none.
	Leeway time.Duration
	// Replay remembers proofs that were used. Nil means a store in memory, for this process alone.
	Replay ReplayStore
	// MaxProofs bounds the proofs the store in memory remembers, each for one to two times MaxAge, twice Leeway and 5 seconds. A client has
	// a 64th of them, which it may share with others by chance; when that is full, further proofs are refused with 503. Zero means
	// 1,048,576: 80 MiB when full, and some 110 requests a second without end for one client at the default MaxAge.
	MaxProofs int
	// RequireNonce demands a nonce of ours in every proof (RFC 9449 section 9), so that proofs cannot be made in advance by whoever
	// could use the client's key for a moment. The Gate sends it with every answer to a request that has a proof.
	RequireNonce bool
	// NonceKey makes the nonces: at least 32 random bytes, the same in all replicas. Nil means a key of this process.
	NonceKey []byte
	// NonceWindow is how long a nonce is the current one; it is accepted for as long again. Zero means 2 minutes.
	NonceWindow time.Duration
	// Certificates accepts tokens that are bound to a client certificate. For a connection that ends here, set tls.Config.ClientAuth
	// to tls.RequestClientCert or stronger.
	Certificates bool
	// TrustedProxies are the peers that end TLS for us. Their Client-Cert header is believed, and their own certificate is not taken
	// for the client's. They must remove the header from what clients send. Empty means that the header is never read.
	TrustedProxies []netip.Prefix
	// InsecureAllowUnbound accepts bearer tokens that are bound to nothing beside bound ones, for the time of a migration. It never
	// accepts a bound token without its proof.
	InsecureAllowUnbound bool
}

// Verifier checks tokens together with the proof of their holder. It is safe for concurrent use. The zero Verifier, and a nil one,
// refuse every request with [auth.ErrUnavailable].
type Verifier struct {
	tokens       auth.TokenVerifier
	urls         []string
	algorithms   []string
	maxAge       time.Duration
	leeway       time.Duration
	replay       ReplayStore
	nonces       *nonces // nil when none is demanded
	certificates bool
	proxies      *exchange.Proxies
	unbound      bool
	fence        *clock.Fence
}

// New returns a Verifier. It reports everything that is wrong with cfg at once.
func New(cfg Config) (*Verifier, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("pop: Config."+format, args...)) }
	if cfg.Tokens == nil {
		bad("Tokens is nil: a proof without a token says nothing")
	}
	v := &Verifier{
		tokens: cfg.Tokens, algorithms: slices.Clone(cfg.Algorithms), replay: cfg.Replay, certificates: cfg.Certificates, unbound: cfg.InsecureAllowUnbound,
		fence: clock.NewFence(),
	}
	if len(cfg.URLs) == 0 && !cfg.Certificates {
		bad("URLs is empty and Certificates is not set: no token could be accepted")
	}
	for i, s := range cfg.URLs {
		base, ok := normalise(s)
		switch u, err := url.Parse(s); {
		case !ok || err != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
			bad("URLs[%d] %q is not an absolute URL without user, query, fragment and dot segments", i, s)
		case u.Scheme == "http" && !(cfg.InsecureHTTP && loopback(u.Hostname())):
			bad("URLs[%d] %q is not https (http: only with InsecureHTTP, on a loopback address)", i, s)
		}
		v.urls = append(v.urls, strings.TrimSuffix(base, "/"))
	}
	if cfg.Algorithms == nil {
		v.algorithms = []string{"ES256", "EdDSA"}
	}
	if len(v.algorithms) == 0 {
		bad("Algorithms is empty but not nil: no proof could be accepted")
	}
	for _, a := range v.algorithms {
		if algorithms[a] == nil {
			bad("Algorithms: %q is no public key algorithm that is supported", a)
		}
	}
	period := func(name string, d, zero, most time.Duration) time.Duration {
		if d == 0 {
			return zero
		}
		if d < 0 || d > most {
			bad("%s %v is not between 0 and %v", name, d, most)
		}
		return d
	}
	v.maxAge = period("MaxAge", cfg.MaxAge, time.Minute, 10*time.Minute)
	if cfg.Leeway >= 0 {
		v.leeway = period("Leeway", cfg.Leeway, 5*time.Second, time.Minute)
	}
	window := period("NonceWindow", cfg.NonceWindow, 2*time.Minute, time.Hour)
	if window < time.Second {
		bad("NonceWindow %v is shorter than a second", window)
	}
	switch {
	case cfg.MaxProofs < 0:
		bad("MaxProofs %d is negative", cfg.MaxProofs)
	case cfg.MaxProofs == 0:
		cfg.MaxProofs = 1 << 20
	}
	if n := len(cfg.NonceKey); cfg.NonceKey != nil && n < 32 {
		bad("NonceKey has %d bytes, not 32 or more", n)
	}
	var err error
	if v.proxies, err = exchange.NewProxies(cfg.TrustedProxies); err != nil {
		errs = append(errs, fmt.Errorf("pop: Config.%w", err))
	}
	if len(cfg.TrustedProxies) > 0 && !cfg.Certificates {
		bad("TrustedProxies is set without Certificates: nobody would read their header")
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if v.replay == nil {
		v.replay = newMemory(cfg.MaxProofs, v.maxAge+2*v.leeway+margin)
	}
	if cfg.RequireNonce {
		key := slices.Clone(cfg.NonceKey)
		if key == nil {
			key = make([]byte, 32)
			rand.Read(key)
		}
		v.nonces = &nonces{key: key, window: int64(window / time.Second)}
	}
	return v, nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// Authenticate implements [auth.Authenticator]. It takes tokens under the scheme DPoP, if Config.URLs is set, and under Bearer; what
// Config.Tokens does not recognise is [auth.ErrNoCredential] and left to others.
func (v *Verifier) Authenticate(r *http.Request) (*auth.Principal, error) {
	if v == nil || v.tokens == nil {
		return nil, errNotMade
	}
	cred, err := auth.CredentialOf(r)
	if err != nil {
		return nil, err
	}
	switch {
	case cred.Source == auth.SourceDPoP && len(v.urls) > 0:
		return v.withProof(r, cred.Value, time.Now)
	case cred.Source == auth.SourceBearer:
		return v.withoutProof(r, cred.Value)
	}
	return nil, auth.ErrNoCredential
}

// EveryBearer implements [auth.EveryBearer] for Config.Tokens.
func (v *Verifier) EveryBearer() bool {
	if v == nil {
		return true
	}
	e, ok := v.tokens.(interface{ EveryBearer() bool })
	return ok && e.EveryBearer()
}

// verify asks Config.Tokens about the token, and checks the certificate if it is bound to one: both proofs may be demanded.
func (v *Verifier) verify(r *http.Request, token string) (*auth.Principal, error) {
	p, err := v.tokens.VerifyToken(r.Context(), token)
	switch {
	case err != nil:
		return nil, err
	case p == nil:
		return nil, errNobody
	case p.Bound.X5T != "" && (!v.certificates || v.certificate(r) != p.Bound.X5T):
		return nil, errCertificate
	}
	return p, nil
}

func (v *Verifier) withoutProof(r *http.Request, token string) (*auth.Principal, error) {
	p, err := v.verify(r, token)
	switch {
	case err != nil:
		return nil, err
	case p.Bound.JKT != "":
		return nil, errNeedsProof // RFC 9449 section 7.1: this is what makes a stolen token useless
	case p.Bound.IsZero() && !v.unbound:
		return nil, errUnbound
	}
	return p, nil
}

// margin is how far the clock of a store may be behind ours, beside Leeway.
const margin = 5 * time.Second

// withProof checks everything in the order of its cost, and burns the proof last. now is asked more than once, because what comes between
// may take its time.
func (v *Verifier) withProof(r *http.Request, token string, now func() time.Time) (*auth.Principal, error) {
	header := r.Header["Dpop"]
	if len(header) != 1 {
		return nil, errOneProof
	}
	proof, err := v.parse(header[0])
	if err != nil {
		return nil, err
	}
	if err := v.check(proof, r, token, now()); err != nil {
		return nil, err
	}
	p, err := v.verify(r, token)
	switch {
	case err != nil:
		return nil, err
	case p.Bound.JKT == "":
		return nil, errUnbound
	case p.Bound.JKT != proof.thumbprint:
		return nil, errOtherKey
	case proof.alg.method.Verify(proof.signed, proof.signature, proof.key) != nil:
		return nil, errSignature
	case !v.timely(proof, now()):
		// Only now, when all else is right: a client whose clock is wrong is not guessing, and is not counted as if it were. And not
		// earlier, because the verification took its time: what is too old now may be forgotten where it was burned.
		return nil, errIAT
	}
	if closed := v.fence.Check(now()); !proof.iat.After(closed) {
		// It may have been used when the clock showed this time before, and been forgotten since.
		return nil, unavailable("the clock was set back", nil, closed.Sub(now()))
	}
	v.fence.Used(proof.iat)
	first, err := v.replay.Burn(r.Context(), proof.id(), proof.iat.Add(v.maxAge+v.leeway+margin))
	switch {
	case errors.Is(err, auth.ErrUnavailable):
		return nil, err
	case err != nil:
		return nil, unavailable("replay store", err, 0) // closed: without it a proof could be used twice
	case !first:
		return nil, errReplay
	case !v.timely(proof, now()):
		return nil, errIAT // the store took its time, with the same consequence
	}
	return p, nil
}

// Challenges implements [auth.Challenger].
func (v *Verifier) Challenges() []auth.Challenge {
	if v == nil || v.tokens == nil {
		return nil
	}
	var list []auth.Challenge
	if len(v.urls) > 0 {
		list = append(list, auth.Challenge{Scheme: "DPoP", Algorithms: slices.Clone(v.algorithms)})
	}
	if v.certificates || v.unbound {
		list = append(list, auth.Challenge{Scheme: "Bearer"})
	}
	return list
}

// Announce implements [auth.Announcer]: it sets DPoP-Nonce, when nonces are demanded and r has a DPoP proof or token. Such a response
// must not be stored (RFC 9449 section 8.2); a handler that sets its own Cache-Control should say so too.
func (v *Verifier) Announce(h http.Header, r *http.Request) {
	if v == nil || v.nonces == nil {
		return
	}
	if len(r.Header["Dpop"]) == 0 {
		if cred, err := auth.CredentialOf(r); err != nil || cred.Source != auth.SourceDPoP {
			return
		}
	}
	h.Set("DPoP-Nonce", v.nonces.at(time.Now()))
	if h.Get("Cache-Control") == "" {
		h.Set("Cache-Control", "no-store")
	}
}

// ReplayStore remembers which proofs were used. Implementations are safe for concurrent use; package replaytest checks them.
type ReplayStore interface {
	// Burn records key until the given time and reports whether it was not there, as one atomic step: of any number of calls at once, in
	// any number of processes, one gets true. The time is when no Verifier accepts the proof any more, with room for clocks that are apart
	// by Config.Leeway and 5 seconds. An error means that it could not be decided; the request is then refused with 503.
	//
	// The first 16 bytes of key stand for the client's key, the others for the proof.
	Burn(ctx context.Context, key [32]byte, until time.Time) (first bool, err error)
}

package introspect

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/internal/clock"
)

// Config configures a [Verifier].
type Config struct {
	// Endpoint is the introspection endpoint, an https URL without fragment. Redirects are not followed. Required.
	Endpoint string
	// InsecureHTTP allows http for an Endpoint on a loopback address, for tests and for a server behind a local proxy. Any other
	// http URL stays refused: tokens would cross the network in clear.
	InsecureHTTP bool
	// ClientID and ClientSecret authenticate us to the endpoint by HTTP Basic (RFC 6749 section 2.3.1). Either these or Bearer are
	// required: an endpoint that answers everybody tells everybody which guessed tokens are good (RFC 7662 section 2.1).
	ClientID, ClientSecret string
	// Bearer returns the access token that authenticates us to the endpoint, for every question anew; it may be called from several
	// goroutines at once. Its ctx ends with the question's Timeout.
	Bearer func(ctx context.Context) (string, error)
	// Issuer is whose tokens these are: the Issuer of every Principal, and what iss must be when an answer has one. Required.
	Issuer string
	// Audiences are the names this API is known by; aud must hold one of them exactly. Required, unless SkipAudience is set.
	Audiences []string
	// SubjectFromClient takes client_id as the subject of a token that has no sub, which a server may leave out where no user is involved.
	// The server must then never give a client the name of a user (RFC 9068 section 5): the two would be one caller. Without it such a
	// token is refused.
	SubjectFromClient bool
	// SkipAudience accepts answers whatever their aud. Every token that the server issues, for any API, then opens this one.
	SkipAudience bool
	// TokenPrefix is how tokens begin, where they have a common beginning. Others are left to the next authenticator and never sent.
	// Empty means that every bearer token is taken.
	TokenPrefix string
	// TTL is how long a good answer is believed, and so how long a revoked token may go on working. It never outlasts exp. Zero means
	// 30 seconds, at most 1 hour; negative means that every request asks.
	TTL time.Duration
	// NegativeTTL is the same for an answer that refuses. Zero means 5 seconds, at most 1 minute; negative means none.
	NegativeTTL time.Duration
	// MaxEntries bounds the remembered answers, good and refusing ones each, in 16 parts or fewer that fill up one by one. Zero means 10,000.
	MaxEntries int
	// Timeout bounds one question, connecting and reading included, and so how long a request waits. Zero means 2 seconds.
	Timeout time.Duration
	// MaxInFlight bounds the questions under way; a token that would need one more is answered with 503. Zero means 64.
	MaxInFlight int
	// Leeway is how far the clocks of the server and ours may be apart, for exp, nbf and iat. Zero means 30 seconds, at most 60;
	// negative means none.
	Leeway time.Duration
	// MaxTokenBytes bounds the length of a token. Zero means 8 KiB.
	MaxTokenBytes int
	// MaxResponseBytes bounds an answer, decompressed. Zero means 64 KiB.
	MaxResponseBytes int64
	// Claims names the members of an answer that fill the Principal beside the registered ones.
	Claims ClaimNames
	// Transport sends the questions. Nil means a transport of its own with the settings of http.DefaultTransport, but no proxy, whatever
	// the environment says (who answers decides who may enter, and belongs in the configuration), and at most MaxInFlight connections.
	Transport http.RoundTripper
}

// ClaimNames says which members of an answer fill the fields of an [auth.Principal] that RFC 7662 has no member for.
type ClaimNames struct {
	// Roles names an array of strings, or a string, which is one role, whatever spaces it has. Empty means "roles".
	Roles string
	// Tenant names a string. Empty means that answers name no tenant.
	Tenant string
	// Plan names a string. Empty means that answers name no plan.
	Plan string
	// Models names an array of strings, or a string of space-separated names. Empty means that answers do not restrict models. When it
	// is set, a token without it may use no model: forgetting a restriction must not lift it.
	Models string
}

// Verifier asks about tokens. It is safe for concurrent use. The zero Verifier, and a nil one, refuse every request with
// [auth.ErrUnavailable].
type Verifier struct {
	cfg       Config
	client    *http.Client
	transport *http.Transport // our own, to be closed
	accepted  cache
	refused   cache

	life    context.Context // of all questions
	end     context.CancelFunc
	running sync.WaitGroup

	mu      sync.Mutex
	closed  bool
	flights map[digest]*flight
}

// digest is the SHA-256 of a token.
type digest [sha256.Size]byte

// flight is one question and everybody who waits for its answer.
type flight struct {
	done   chan struct{}
	answer answer
}

// answer is what is known of a token: either p or err. It may be remembered for ttl after it was given, and no longer than to its end.
type answer struct {
	p     *auth.Principal
	err   error
	given time.Time
	ttl   time.Duration
	end   time.Time // exp; zero for none
}

// fresh reports whether an answer may be given again. Nobody prolongs it by setting a clock, and no machine by sleeping.
func (a *answer) fresh(now time.Time) bool {
	return clock.Age(a.given, now) < a.ttl && (a.end.IsZero() || now.Before(a.end))
}

// New returns a Verifier. It reports everything that is wrong with cfg at once, and asks the endpoint nothing.
func New(cfg Config) (*Verifier, error) {
	var errs []error
	bad := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("introspect: Config."+format, args...))
	}
	u, err := url.Parse(cfg.Endpoint)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "":
		bad("Endpoint %q is not an absolute URL without user and fragment", cfg.Endpoint)
	case u.Scheme == "https":
	case u.Scheme == "http" && cfg.InsecureHTTP && loopback(u.Hostname()):
	default:
		bad("Endpoint %q is not https (http: only with InsecureHTTP, on a loopback address)", cfg.Endpoint)
	}
	switch basic := cfg.ClientID != "" || cfg.ClientSecret != ""; {
	case basic && cfg.Bearer != nil:
		bad("ClientID and Bearer are two ways to authenticate: set one")
	case basic && (cfg.ClientID == "" || cfg.ClientSecret == ""):
		bad("ClientID and ClientSecret go together")
	case !basic && cfg.Bearer == nil:
		bad("ClientID and Bearer are empty: an endpoint must know who asks (RFC 7662 section 2.1)")
	}
	if cfg.Issuer == "" {
		bad("Issuer is empty")
	}
	switch {
	case len(cfg.Audiences) == 0 && !cfg.SkipAudience:
		bad("Audiences is empty: every token of the issuer, for any API, would be accepted")
	case len(cfg.Audiences) > 0 && cfg.SkipAudience:
		bad("SkipAudience is set beside Audiences")
	case slices.Contains(cfg.Audiences, ""):
		bad("Audiences holds an empty name")
	}
	if strings.ContainsFunc(cfg.TokenPrefix, func(r rune) bool { return !tokenChar(r) }) {
		bad("TokenPrefix %q has characters that no bearer token has (RFC 6750 section 2.1)", cfg.TokenPrefix)
	}
	period := func(name string, d *time.Duration, zero, most time.Duration, negative bool) {
		switch {
		case *d == 0:
			*d = zero
		case *d < 0 && negative:
			*d = 0
		case *d < 0 || *d > most:
			bad("%s %v is not between 0 and %v", name, *d, most)
		}
	}
	period("TTL", &cfg.TTL, 30*time.Second, time.Hour, true)
	period("NegativeTTL", &cfg.NegativeTTL, 5*time.Second, time.Minute, true)
	period("Leeway", &cfg.Leeway, 30*time.Second, time.Minute, true)
	period("Timeout", &cfg.Timeout, 2*time.Second, time.Minute, false)
	count := func(name string, n *int, zero int) {
		if *n == 0 {
			*n = zero
		} else if *n < 0 {
			bad("%s %d is negative", name, *n)
		}
	}
	count("MaxEntries", &cfg.MaxEntries, 10_000)
	count("MaxInFlight", &cfg.MaxInFlight, 64)
	count("MaxTokenBytes", &cfg.MaxTokenBytes, 8<<10)
	if cfg.MaxResponseBytes == 0 {
		cfg.MaxResponseBytes = 64 << 10
	} else if cfg.MaxResponseBytes < 0 {
		bad("MaxResponseBytes %d is negative", cfg.MaxResponseBytes)
	}
	if cfg.Claims.Roles == "" {
		cfg.Claims.Roles = "roles"
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	cfg.Audiences = slices.Clone(cfg.Audiences)
	v := &Verifier{cfg: cfg, flights: map[digest]*flight{}}
	v.accepted, v.refused = newCache(cfg.MaxEntries), newCache(cfg.MaxEntries)
	if cfg.Transport == nil {
		v.transport = new(http.Transport)
		if d, ok := http.DefaultTransport.(*http.Transport); ok {
			v.transport = d.Clone()
		}
		v.transport.Proxy = nil
		v.transport.MaxConnsPerHost, v.transport.MaxIdleConnsPerHost = cfg.MaxInFlight, cfg.MaxInFlight
		v.cfg.Transport = v.transport
	}
	v.client = &http.Client{
		Transport: v.cfg.Transport,
		// A redirect would take a token and our credentials to another place.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	v.life, v.end = context.WithCancel(context.Background())
	return v, nil
}

func loopback(host string) bool {
	a, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && a.IsLoopback()
}

// Authenticate implements [auth.Authenticator]. A credential that is not in the Authorization header under the scheme Bearer, or that
// does not begin with Config.TokenPrefix, is [auth.ErrNoCredential] and left to others. A token that is bound to a key or
// certificate is [auth.ErrInvalid]: see package pop.
func (v *Verifier) Authenticate(r *http.Request) (*auth.Principal, error) {
	if v == nil || v.client == nil {
		return nil, errNotMade
	}
	cred, err := auth.CredentialOf(r)
	if err != nil {
		return nil, err
	}
	if cred.Source != auth.SourceBearer {
		return nil, auth.ErrNoCredential
	}
	p, err := v.VerifyToken(r.Context(), cred.Value)
	if err == nil && !p.Bound.IsZero() {
		return nil, errBound
	}
	return p, err
}

// EveryBearer implements [auth.EveryBearer]: without a Config.TokenPrefix there is no bearer token that is left to others.
func (v *Verifier) EveryBearer() bool { return v == nil || v.cfg.TokenPrefix == "" }

// VerifyToken implements [auth.TokenVerifier]: it asks about the token, or remembers. The Principal is shared; its Bound says what the
// sender must still prove. Errors wrap [auth.ErrInvalid], [auth.ErrExpired], [auth.ErrUnavailable] when there was no clear answer or
// ctx ended first, or [auth.ErrNoCredential] for a token without Config.TokenPrefix.
func (v *Verifier) VerifyToken(ctx context.Context, token string) (*auth.Principal, error) {
	if v == nil || v.client == nil {
		return nil, errNotMade
	}
	if !strings.HasPrefix(token, v.cfg.TokenPrefix) {
		return nil, auth.ErrNoCredential
	}
	if token == "" || len(token) > v.cfg.MaxTokenBytes {
		return nil, errShape
	}
	if v.life.Err() != nil {
		return nil, errClosed
	}
	key, now := digestOf(token), time.Now()
	if a, ok := v.accepted.get(key, now); ok {
		return a.p, nil
	}
	if a, ok := v.refused.get(key, now); ok {
		return nil, a.err
	}
	if !isToken(token) {
		return nil, errShape // nobody issued it, so nobody need be asked
	}
	v.mu.Lock()
	f := v.flights[key]
	switch {
	case v.closed:
		v.mu.Unlock()
		return nil, errClosed
	case f == nil && len(v.flights) >= v.cfg.MaxInFlight:
		v.mu.Unlock()
		return nil, errBusy
	case f == nil:
		f = &flight{done: make(chan struct{})}
		v.flights[key] = f
		v.running.Add(1)
		go v.fly(key, token, f)
	}
	v.mu.Unlock()
	select {
	case <-f.done:
		return f.answer.p, f.answer.err
	case <-ctx.Done():
		return nil, unavailable("request ended before the answer", context.Cause(ctx), 0)
	}
}

// fly asks one question. It belongs to the Verifier and not to a request: the first to ask may hang up, and the others still wait.
func (v *Verifier) fly(key digest, token string, f *flight) {
	defer v.running.Done()
	defer close(f.done)
	f.answer = answer{err: errPanic}
	defer func() {
		if recover() != nil { // a Transport or Bearer of the user's; net/http would have caught it in a handler
			f.answer = answer{err: errPanic}
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		if v.flights[key] != f {
			return // forgotten in the meantime: an answer from before must not come back
		}
		delete(v.flights, key)
		now := time.Now()
		if f.answer.err == errInactive && v.accepted.had(key) {
			// It was good once: whoever sends it is late, and no guesser.
			f.answer.err = errRevoked
		}
		switch {
		case !f.answer.fresh(now):
		case f.answer.err == nil:
			v.accepted.put(key, f.answer, now)
		default:
			v.refused.put(key, f.answer, now)
		}
	}()
	ctx, cancel := context.WithTimeout(v.life, v.cfg.Timeout)
	defer cancel()
	f.answer = v.ask(ctx, token)
}

// Forget drops what is remembered of a token, and what a question under way will bring: the next request asks anew. Call it when the
// server tells of a revocation.
func (v *Verifier) Forget(token string) {
	if v == nil || v.client == nil {
		return
	}
	key := digestOf(token)
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.flights, key)
	v.accepted.expire(key)
	v.refused.expire(key)
}

// Close ends the questions under way, whose requests get [auth.ErrUnavailable] as all later ones do, and waits for their goroutines
// until ctx ends. It always returns nil, or the cause of ctx.
func (v *Verifier) Close(ctx context.Context) error {
	if v == nil || v.client == nil {
		return nil
	}
	v.mu.Lock()
	v.closed = true
	v.mu.Unlock()
	v.end()
	done := make(chan struct{})
	go func() {
		v.running.Wait()
		if v.transport != nil {
			v.transport.CloseIdleConnections()
		}
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// digestOf is the SHA-256 of a token. Most tokens fit the buffer, which is on the stack.
func digestOf(token string) digest {
	var buf [1024]byte
	return sha256.Sum256(append(buf[:0], token...))
}

// isToken reports whether s is a b64token of RFC 6750 section 2.1.
func isToken(s string) bool {
	for i := range len(s) {
		if !tokenChar(rune(s[i])) {
			return false
		}
	}
	return true
}

func tokenChar(c rune) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c < 0x80 && strings.IndexByte("-._~+/=", byte(c)) >= 0
}

package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/mantlet-go/mantlet/internal/exchange"
)

// Config configures a [Gate].
type Config struct {
	// Authenticator finds out who is calling. Required; use [AnyOf] for several methods. New refuses a nil one, also a nil
	// pointer, and an AnyOf of nothing or of such.
	Authenticator Authenticator
	// Realm is the realm of the challenge, printable ASCII. Empty means "api".
	Realm string
	// ResourceMetadata is the URL of the metadata of the protected resource (RFC 9728), sent as the resource_metadata parameter of
	// every challenge; package mcp makes the document. An https URL, or http on a loopback address. Empty for none.
	ResourceMetadata string
	// ChallengeScopes are sent as the scope parameter of challenges that are not about a missing scope, so that a client knows what to
	// ask its authorization server for. Nil means the scopes the Gate demands if there is ResourceMetadata, and none otherwise: without
	// it a client does not know whom to ask. They may be others than those demanded: alternatives, or what a whole session needs.
	ChallengeScopes []string
	// Scopes are demanded of every request. Empty means that being authenticated is enough; see also [Gate.Require]. New
	// refuses what is no scope-token, a blank string too.
	Scopes []string
	// TrustedProxies are the peers whose X-Forwarded-For or Forwarded header is believed, for keys that are bound to addresses and for the
	// lock-out. Name the proxies in front, or one client's failures lock out all that come through them. Empty means nobody: the client is
	// whoever opened the connection. Inside a pipeline the first room that names trusted proxies decides for all. New refuses a prefix of
	// length 0: it would let every client choose its address.
	TrustedProxies []netip.Prefix
	// MaxBody is how many bytes of a request body [Gate.ModelHandler] reads when no room before it did. Zero means 4 MiB.
	MaxBody int64
	// RequestModels returns the models that a request names outside its body, for [Gate.ModelHandler]; an empty name among them is one
	// that only callers without a list may use. It must be safe for concurrent use. Nil means the wildcard {model} of the route's pattern
	// and every query parameter "model" in any case, as net/http reads them. Name the wildcard so, or set this, wherever the server behind takes
	// the model from the path or a header: "/v1beta/models/{call}" with "gemini:generateContent", say, or a route that catches many paths.
	RequestModels func(r *http.Request) []string
	// Lockout says when an address is locked out for the wrong credentials it sends: every request from there, whatever it carries,
	// then gets 429 with Retry-After before an authenticator is asked. The zero Lockout is on. Keys and callers are never locked: they
	// stay usable from everywhere else.
	Lockout Lockout
	// SkipLockout locks nobody out. Alarms are raised still.
	SkipLockout bool
	// OnAlarm is told of wrong secrets for existing keys and of locks, ten at once and then one a second of each kind. It is called before
	// the refusal is sent and must return soon; it must be safe for concurrent use. The Logger gets the same at level Warn.
	OnAlarm func(ctx context.Context, a Alarm)
	// Deny replaces the reply of a refusal, unless a room further out owns the shape of all errors. The headers of the
	// refusal (WWW-Authenticate, Retry-After) are already set on w; err wraps this package's errors, [CodeOf] names it. It
	// must not tell the client what err says. Nil means the default reply.
	Deny func(w http.ResponseWriter, r *http.Request, err error)
	// Logger gets one record per refusal: what was asked for, by whom as far as that is known, and why it was refused. Records hold no
	// credential. Nil means what slog.Default returns at that moment.
	Logger *slog.Logger
	// RefusalLevel is the level of these records. Nil means Debug, which most loggers drop: strangers choose how many there are. Those
	// that say authentication was unavailable have at least Error.
	RefusalLevel slog.Leveler
}

// Gate lets through whom its Authenticator knows and who holds the scopes. It is immutable and safe for concurrent use. The
// zero Gate, and a nil one, let nobody through.
type Gate struct {
	auth    Authenticator
	base    Challenge   // what all challenges have in common
	schemes []Challenge // of the authenticators
	talkers []Announcer
	unknown error    // what a credential is answered with that nobody recognises
	ask     []string // ChallengeScopes
	scopes  []string
	rules   []rule
	proxies *exchange.Proxies
	maxBody int64
	deny    func(http.ResponseWriter, *http.Request, error)
	logger  *slog.Logger
	level   slog.Leveler // nil for Debug
	lockout *lockout
	onAlarm func(context.Context, Alarm)
	models  func(*http.Request) []string
}

var (
	errNotMade     = &Error{Code: CodeUnavailable, Err: fmt.Errorf("auth: gate or authenticator was not made by New: %w", ErrUnavailable)}
	errNoPrincipal = &Error{Code: CodeUnavailable, Err: fmt.Errorf("auth: authenticator returned neither principal nor error: %w", ErrUnavailable)}
	// errUnrecognised is for a credential that is there and that no authenticator knows. Saying "missing" would be false and
	// would tell a prober which shapes exist. errNoToken is the same where everybody verifies tokens and nobody keys.
	errUnrecognised = &Error{Code: CodeInvalidAPIKey, Err: errNobodyKnows}
	errNoToken      = &Error{Code: CodeInvalidToken, Err: errNobodyKnows}
	errNobodyKnows  = fmt.Errorf("auth: no authenticator recognises the credential: %w", ErrInvalid)
)

// New returns a Gate. It reports everything that is wrong with cfg at once.
func New(cfg Config) (*Gate, error) {
	var errs []error
	errs = append(errs, faults("Config.Authenticator", cfg.Authenticator)...)
	if cfg.Realm == "" {
		cfg.Realm = "api"
	}
	if strings.ContainsFunc(cfg.Realm, func(r rune) bool { return r < ' ' || r > '~' }) {
		errs = append(errs, fmt.Errorf("auth: Config.Realm %q is not printable ASCII", cfg.Realm))
	}
	scopes := splitScopes(slices.Clone(cfg.Scopes))
	for _, s := range scopes {
		if !ValidScope(s) {
			errs = append(errs, fmt.Errorf("auth: Config.Scopes: %q is not a scope-token (RFC 6749 section 3.3)", s))
		}
	}
	for _, s := range cfg.ChallengeScopes {
		if !ValidScope(s) {
			errs = append(errs, fmt.Errorf("auth: Config.ChallengeScopes: %q is not a scope-token (RFC 6749 section 3.3)", s))
		}
	}
	if err := checkURL(cfg.ResourceMetadata); err != nil {
		errs = append(errs, fmt.Errorf("auth: Config.ResourceMetadata %q %w", cfg.ResourceMetadata, err))
	}
	proxies, err := exchange.NewProxies(cfg.TrustedProxies)
	if err != nil {
		errs = append(errs, fmt.Errorf("auth: Config.%w", err))
	}
	if cfg.MaxBody < 0 {
		errs = append(errs, fmt.Errorf("auth: Config.MaxBody %d is negative", cfg.MaxBody))
	}
	lock, faults := newLockout(cfg.Lockout, cfg.SkipLockout)
	if errs = append(errs, faults...); len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = 4 << 20
	}
	g := &Gate{
		auth: cfg.Authenticator, base: Challenge{Realm: cfg.Realm, ResourceMetadata: cfg.ResourceMetadata},
		ask: slices.Clone(cfg.ChallengeScopes), scopes: scopes, proxies: proxies, maxBody: cfg.MaxBody, deny: cfg.Deny, logger: cfg.Logger, level: cfg.RefusalLevel,
		lockout: lock, onAlarm: cfg.OnAlarm, models: cfg.RequestModels,
	}
	all := members(cfg.Authenticator)
	g.schemes = schemes(all)
	g.unknown = errNoToken
	for _, a := range all {
		if t, ok := a.(Announcer); ok {
			g.talkers = append(g.talkers, t)
		}
		_, verifies := a.(TokenVerifier)
		if _, challenges := a.(Challenger); !verifies && !challenges {
			g.unknown = errUnrecognised
		}
	}
	return g, nil
}

// checkURL reports what keeps s from being a URL a client may be sent to; empty is no fault.
func checkURL(s string) error {
	if s == "" {
		return nil
	}
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return errors.New("is not an absolute URL of printable ASCII without user and fragment")
	case u.Scheme == "https":
		return nil
	case u.Scheme == "http":
		if a, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "localhost" || err == nil && a.IsLoopback() {
			return nil
		}
	}
	return errors.New("is not https")
}

// Authenticate decides about r without writing a response: who is calling, and do they meet what g demands. The error is never nil
// when the Principal is. It does not look at the body or the model. A wrong credential counts against the address of r, and a locked
// address is refused with [ErrLocked] before anybody is asked.
func (g *Gate) Authenticate(r *http.Request) (*Principal, error) {
	if err := g.locked(r); err != nil {
		return nil, err
	}
	p, err := g.identify(r)
	if err == nil {
		err = g.permit(r, p)
	}
	if err != nil {
		return nil, err
	}
	return p, nil
}

// identify finds out who sent r.
func (g *Gate) identify(r *http.Request) (*Principal, error) {
	if g == nil || g.auth == nil {
		return nil, errNotMade
	}
	cred, err := CredentialOf(r)
	if err != nil {
		return nil, err
	}
	p, err := g.auth.Authenticate(r)
	switch {
	case errors.Is(err, ErrNoCredential):
		// RFC 6750 section 3.1: a client that tried another scheme did not know what is wanted; it gets the challenge
		// alone, as if it had sent nothing.
		if cred.Source == SourceBearer || cred.Source == SourceHeader || cred.Source == SourceDPoP && g.offers("DPoP") >= 0 {
			g.failed(r, g.unknown)
			return nil, g.unknown
		}
		return nil, err
	case err != nil:
		g.failed(r, err)
		return nil, err
	case p == nil:
		// Fail closed: nil and nil is a fault in the authenticator, not an anonymous caller.
		return nil, errNoPrincipal
	}
	return p, nil
}

// permit reports why p does not meet what g demands of r, nil if it does.
func (g *Gate) permit(r *http.Request, p *Principal) error {
	if err := authorize(p, g.scopes); err != nil {
		return err
	}
	for _, rule := range g.rules {
		if err := rule(g, r, p); err != nil {
			return err
		}
	}
	return nil
}

package mantlet

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"

	"github.com/mantlet-go/mantlet/audit"
	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/route"
	"github.com/mantlet-go/mantlet/ratelimit"
	"github.com/mantlet-go/mantlet/sanitize"
	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/guard"
	"github.com/mantlet-go/mantlet/validate/upload"
)

// Config says which rooms a [Pipeline] has. Only Auth has no safe default.
type Config struct {
	// Auth decides who may enter. Required, unless InsecureNoAuth says that nobody is asked.
	Auth *auth.Gate
	// InsecureNoAuth serves every route to everybody. Together with Auth it is refused.
	InsecureNoAuth bool

	// Audit records every request. Nil means no record. The pipeline does not close it.
	Audit *audit.Log
	// Errors decides what clients see of failures. Nil means [sanitize.NewErrors] with its defaults; a pipeline without
	// safe errors does not exist.
	Errors *sanitize.Errors
	// Guard refuses by address and by how a request is written, and bans the addresses of which the other rooms keep refusing
	// requests. Nil means no such check.
	Guard *guard.Guard
	// Flood limits by client address before anything is checked. Its limits count requests only: no body is read here. Set
	// its OmitHeaders, so that clients read the headers of Limits alone. Nil means no such limit.
	Flood *ratelimit.Limiter
	// Filter cleans and redacts text in both directions. Nil means that text passes as it is.
	Filter *sanitize.Filter
	// Limits reserves and settles what the caller may use. Nil means no limit.
	Limits *ratelimit.Limiter
	// Bulkhead bounds what runs at once per model. Nil means no bound.
	Bulkhead *ratelimit.Bulkhead

	// TrustedProxies are the peers whose X-Forwarded-For or Forwarded header is believed, for all rooms. Empty leaves it to
	// the rooms' own settings, and without those the client is whoever opened the connection. A prefix of length 0 is
	// refused: it would let every client choose its address.
	TrustedProxies []netip.Prefix
}

// Route is the policy of one route. The zero Route asks for an authenticated caller without a particular scope and accepts
// no request body.
type Route struct {
	// Scopes are the scopes the caller must hold, all of them, separated by spaces as in RFC 6749 section 3.3.
	Scopes string
	// Body checks a request body that is JSON. Nil means that the route takes none, unless Upload or InsecureRawBody says
	// otherwise: a request that brings one gets 415.
	Body *validate.Validator
	// Upload checks a request body that is a form with files, as the handler reads it: see [upload.Inspector.Handler] for when
	// it may answer. Together with Body it is refused. No room but this one sees the form: filters and limits know nothing of
	// its text, and a caller who is restricted to some models gets 403, for no model of a form is checked.
	Upload *upload.Inspector
	// Query checks the query of the URL. Nil lets every query pass.
	Query *validate.Query
	// InsecureRawBody hands unchecked bodies to the handler. It is for bodies that are neither JSON nor forms. Together with
	// Body or Upload it is refused. A caller who is restricted to some models gets 403 for a body that is not JSON, and when neither
	// the body nor path and query name one.
	InsecureRawBody bool
	// InsecureUpgrade lets a request of this route become another protocol (WebSocket). What passes after that is seen by no
	// room: no limit, no filter, no record of it. False takes the wish off the request, so that a reverse proxy cannot pass it on
	// and hand the client a pipe to the server behind (h2c smuggling).
	InsecureUpgrade bool
	// SkipFilter leaves the text of this route as it is.
	SkipFilter bool
	// SkipLimits charges nobody for this route.
	SkipLimits bool

	public bool
}

func (r *Route) takesBody() bool { return r.Body != nil || r.Upload != nil || r.InsecureRawBody }

// Public returns the policy of a route that everybody may use: no authentication, no limits of a plan, no filter. Flood
// limits, safe errors and the audit record still apply.
func Public() Route { return Route{SkipFilter: true, SkipLimits: true, public: true} }

// Pipeline is an [http.Handler] made of routes. Register routes before serving; after that it is safe for concurrent use. The
// zero Pipeline refuses everything.
type Pipeline struct {
	cfg     Config
	proxies *exchange.Proxies
	mux     *route.Mux
	serve   http.Handler // the stages in front of the router

	mu     sync.Mutex
	routes []*registered
}

// registered is what [Pipeline.Describe] says of a route.
type registered struct {
	pattern string
	policy  Route
	stages  []string
}

// New returns a Pipeline without routes. It reports everything that is wrong with cfg at once.
func New(cfg Config) (*Pipeline, error) {
	var errs []error
	switch {
	case cfg.Auth == nil && !cfg.InsecureNoAuth:
		errs = append(errs, errors.New("mantlet: Config.Auth is nil: there is no default for who may enter (InsecureNoAuth serves everybody)"))
	case cfg.Auth != nil && cfg.InsecureNoAuth:
		errs = append(errs, errors.New("mantlet: Config.Auth and Config.InsecureNoAuth contradict each other"))
	}
	proxies, err := exchange.NewProxies(cfg.TrustedProxies)
	if err != nil {
		errs = append(errs, fmt.Errorf("mantlet: Config.%w", err))
	}
	if cfg.Flood != nil && cfg.Flood == cfg.Limits {
		errs = append(errs, errors.New("mantlet: Config.Flood and Config.Limits are the same limiter: callers' plans would never apply"))
	}
	if cfg.Flood.NeedsBody() {
		errs = append(errs, errors.New("mantlet: Config.Flood counts something that only a body tells, and bodies of strangers are not read"))
	}
	if cfg.Errors == nil {
		var err error
		if cfg.Errors, err = sanitize.NewErrors(sanitize.ErrorsConfig{}); err != nil {
			errs = append(errs, err)
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	p := &Pipeline{cfg: cfg, proxies: proxies, mux: route.NewMux("mantlet")}
	p.serve = Chain(
		stage(cfg.Audit != nil, cfg.Audit.Handler),
		cfg.Errors.Handler,
		stage(cfg.Guard != nil, cfg.Guard.Handler), // outside of all whose refusals it counts
		stage(cfg.Flood != nil, cfg.Flood.Handler),
	)(p.mux)
	return p, nil
}

// Middleware is the type of every room's Handler method.
type Middleware = func(http.Handler) http.Handler

// Chain joins middlewares, outermost first. Nil ones are left out.
func Chain(m ...Middleware) Middleware {
	return func(next http.Handler) http.Handler {
		for _, mw := range slices.Backward(m) {
			if mw != nil {
				next = mw(next)
			}
		}
		return next
	}
}

func stage(on bool, m Middleware) Middleware {
	if on {
		return m
	}
	return nil
}

// Handle registers h under pattern, in the syntax of [http.ServeMux], with the policy of the route. Like
// [http.ServeMux.Handle] it panics when the pattern is malformed or conflicts with another, and also when h is nil or the
// policy contradicts itself: a service with such a route must not start. What [http.ServeMux] would answer by itself, a redirect
// to a cleaned path or one with a slash, is 404 here.
func (p *Pipeline) Handle(pattern string, policy Route, h http.Handler) {
	switch {
	case p.mux == nil:
		panic("mantlet: Handle on a Pipeline that was not made by New")
	case h == nil:
		panic(fmt.Sprintf("mantlet: route %q has no handler", pattern))
	case policy.Body != nil && policy.InsecureRawBody:
		panic(fmt.Sprintf("mantlet: route %q: Body and InsecureRawBody contradict each other", pattern))
	case policy.Upload != nil && policy.Body != nil:
		panic(fmt.Sprintf("mantlet: route %q: Upload and Body contradict each other", pattern))
	case policy.Upload != nil && policy.InsecureRawBody:
		panic(fmt.Sprintf("mantlet: route %q: Upload and InsecureRawBody contradict each other", pattern))
	case policy.public && policy.Scopes != "":
		panic(fmt.Sprintf("mantlet: route %q is public and demands scopes", pattern))
	case p.cfg.InsecureNoAuth && policy.Scopes != "":
		panic(fmt.Sprintf("mantlet: route %q demands scopes, but nobody is authenticated", pattern))
	}
	for _, s := range strings.Fields(policy.Scopes) {
		if !auth.ValidScope(s) {
			panic(fmt.Sprintf("mantlet: route %q: %q is not a scope-token", pattern, s))
		}
	}
	rt := &registered{pattern: pattern, policy: policy}
	var chain []Middleware
	add := func(name string, on bool, m Middleware) {
		if on {
			rt.stages = append(rt.stages, name)
			chain = append(chain, m)
		}
	}
	guarded := p.cfg.Auth != nil && !policy.public
	limited := !policy.SkipLimits
	add("auth", guarded, p.cfg.Auth.Require(strings.Fields(policy.Scopes)...).Handler)
	add("query", policy.Query != nil, policy.Query.Handler)
	add("validate", policy.Body != nil, policy.Body.Handler)
	add("upload", policy.Upload != nil, Chain(policy.Upload.Handler, setAside))
	add("no body", !policy.takesBody(), route.NoBody("mantlet"))
	add("models", guarded && policy.takesBody(), p.cfg.Auth.ModelHandler)
	add("named models", guarded && !policy.takesBody(), p.cfg.Auth.NamedModelHandler)
	add("filter", p.cfg.Filter != nil && !policy.SkipFilter, p.cfg.Filter.Handler)
	add("limits", p.cfg.Limits != nil && limited, p.cfg.Limits.Handler)
	add("bulkhead", p.cfg.Bulkhead != nil && limited, p.cfg.Bulkhead.Handler)
	if policy.Upload != nil {
		h = takeBack(h)
	}
	if !policy.InsecureUpgrade {
		h = route.NoUpgrade(h)
	}
	p.mux.Handle(pattern, Chain(chain...)(h))
	p.mu.Lock()
	defer p.mu.Unlock()
	p.routes = append(p.routes, rt)
}

// asideKey is under which a form is kept from the stages between the one that verifies it and the handler that reads it. They
// read bodies whole.
type asideKey struct{}

// setAside hides the body of a request until [takeBack].
func setAside(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchange.From(r.Context())
		x.Put(asideKey{}, r)
		x.HideBody()
		r = r.WithContext(r.Context())
		r.Body, r.GetBody, r.ContentLength, r.TransferEncoding = http.NoBody, nil, 0, nil
		next.ServeHTTP(w, r)
	})
}

func takeBack(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from := exchange.From(r.Context()).Get(asideKey{}).(*http.Request)
		r = r.WithContext(r.Context())
		r.Body, r.GetBody, r.ContentLength, r.TransferEncoding = from.Body, from.GetBody, from.ContentLength, from.TransferEncoding
		next.ServeHTTP(w, r)
	})
}

// HandleFunc is [Pipeline.Handle] for a function.
func (p *Pipeline) HandleFunc(pattern string, policy Route, h func(http.ResponseWriter, *http.Request)) {
	if h == nil {
		panic(fmt.Sprintf("mantlet: route %q has no handler", pattern))
	}
	p.Handle(pattern, policy, http.HandlerFunc(h))
}

// ServeHTTP implements [http.Handler].
func (p *Pipeline) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	x, w, r := exchange.Enter(w, r)
	defer x.Leave()
	if p.serve == nil {
		x.Refuse(w, r, &deny.Denial{Code: deny.InternalError, Stage: "mantlet", Cause: errors.New("mantlet: Pipeline was not made by New")})
		return
	}
	if p.proxies != nil {
		x.Addr(r, p.proxies)
	}
	p.serve.ServeHTTP(w, r)
}

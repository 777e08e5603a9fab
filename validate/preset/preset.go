package preset

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/route"
	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/internal/site"
)

// Preset is what the clients of one kind of server may do. The zero Preset allows nothing. Change the fields before Handler
// or Front is called, not after; both copy them.
type Preset struct {
	// Name is the name that [ByName] knows it under.
	Name string
	// Routes are the ways in; everything else is 404, or 405 where another method would do.
	Routes []Route
	// Optional are routes that some deployments need and most do not. Append them to Routes to open them.
	Optional []Route
	// Hosts are the hosts that clients may name, without port ("ai.example.com", "[::1]") for any port, or with one for just
	// that, in any case. Another host gets 421, a malformed one 400, as with package guard. Empty means: those of the loopback
	// interface for requests that arrive there, and any for others. (A server on loopback behind another proxy that keeps the
	// Host header needs Hosts.) [MCP] sets the loopback hosts, wherever it listens.
	Hosts []string
	// Origins are the origins ("https://app.example.com") of web pages that may call, besides pages of the same host; others
	// get 403. It is no CORS policy: preflight requests are not answered.
	Origins []string

	headers func(*http.Request) *deny.Denial // further rules of the protocol
}

// Route is one way in.
type Route struct {
	// Pattern is a method and an exact path in the syntax of [http.ServeMux]; GET includes HEAD. No pattern of this package
	// has wildcards: what a server behind makes of an escaped slash in one is its own affair.
	Pattern string
	// Body checks the request body. Nil means that the route takes none.
	Body *validate.Validator

	endpoint   *endpoint
	made       *validate.Validator // what this package has put into Body
	configured *validate.Config    // by Configure
}

// Config returns what Body is made of, as a start for your own, with the names of further top-level members as in
// [OpenAIChat]. It panics for a route without Body, and for one that is not of this package.
func (rt Route) Config(extra ...string) validate.Config {
	if rt.endpoint == nil {
		panic(fmt.Sprintf("preset: route %q has no body of this package", rt.Pattern))
	}
	return rt.endpoint.config(extra...)
}

// post returns the routes of an endpoint under one or more paths.
func post(e *endpoint, paths ...string) (routes []Route) {
	for _, p := range paths {
		v := e.validator()
		routes = append(routes, Route{Pattern: "POST " + p, Body: v, endpoint: e, made: v})
	}
	return routes
}

// get returns routes without a body.
func get(paths ...string) (routes []Route) {
	for _, p := range paths {
		routes = append(routes, Route{Pattern: "GET " + p})
	}
	return routes
}

// all are the presets by name.
var all = map[string]func() Preset{
	"openai": OpenAI, "anthropic": Anthropic, "ollama": Ollama, "vllm": VLLM, "llamacpp": LlamaCPP, "tgi": TGI,
	"mcp": func() Preset { return MCP("/mcp") },
}

// Names returns the names of the presets, sorted.
func Names() []string { return slices.Sorted(maps.Keys(all)) }

// ByName returns the preset of that name, one of [Names]; mcp has its endpoint at /mcp.
func ByName(name string) (Preset, bool) {
	p, ok := all[name]
	if !ok {
		return Preset{}, false
	}
	return p(), true
}

// MarshalText returns the name of the preset, and UnmarshalText makes p the preset of that name, one of [Names]: for
// [flag.TextVar] and files of settings.
func (p Preset) MarshalText() ([]byte, error) { return []byte(p.Name), nil }

// UnmarshalText is described at [Preset.MarshalText].
func (p *Preset) UnmarshalText(name []byte) error {
	known, ok := ByName(string(name))
	if !ok {
		return fmt.Errorf("preset: want one of %s", strings.Join(Names(), ", "))
	}
	*p = known
	return nil
}

// Configure returns a copy of the preset in which change has had its say about every route with a body, Optional ones too: a
// larger MaxBody, Shadow, a Logger, Encodings. cfg is what the route's Body is made of, after earlier calls of Configure; to
// open further top-level members as in [OpenAIChat], assign *cfg = rt.Config("name"). A route whose Body you have replaced, or
// that is your own, is left alone. The error joins what [validate.New] finds, by pattern; compiling all takes some milliseconds.
func (p Preset) Configure(change func(rt Route, cfg *validate.Config)) (Preset, error) {
	var faults []error
	each := func(routes []Route) []Route {
		routes = slices.Clone(routes)
		for i := range routes {
			rt := &routes[i]
			if rt.endpoint == nil || rt.Body != rt.made {
				continue
			}
			cfg := rt.Config()
			if rt.configured != nil {
				cfg = *rt.configured
			}
			change(*rt, &cfg)
			v, err := validate.New(cfg)
			if err != nil {
				faults = append(faults, fmt.Errorf("preset: route %q: %w", rt.Pattern, err))
			}
			rt.Body, rt.made, rt.configured = v, v, &cfg
		}
		return routes
	}
	p.Routes, p.Optional = each(p.Routes), each(p.Optional)
	if len(faults) > 0 {
		return Preset{}, errors.Join(faults...)
	}
	return p, nil
}

// Handler returns a handler that runs next for requests that the preset allows, with the checks of Host and Origin of
// [Preset.Front] first, then the route, then for [MCP] the headers of the protocol, then the body. Refusals are in the form that
// the clients of the path parse. It panics when next is nil, a pattern is malformed or there twice, or an entry of Hosts or
// Origins is none. The handler is safe for concurrent use.
func (p Preset) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("preset: Preset.Handler: next is nil")
	}
	mux := route.NewMux(stage)
	for _, r := range p.Routes {
		body := route.NoBody(stage)
		if r.Body != nil {
			body = r.Body.Handler
		}
		mux.Handle(r.Pattern, checked(p.headers, body(next))) // only here: an unknown path is 404 whatever the headers say
	}
	p.headers = nil
	return logged(p.Front(p.inOwnForm(mux)))
}

// logged leaves a record, at Debug, of what is refused before a body is looked at; validators log themselves.
func logged(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		next.ServeHTTP(w, r)
		var e *validate.Error
		if d := x.Denial(); d != nil && d.Stage == stage && !errors.As(d.Cause, &e) && slog.Default().Enabled(x, slog.LevelDebug) {
			slog.LogAttrs(x, slog.LevelDebug, "preset: request refused", slog.String("request_id", x.ID()), slog.Int("status", d.Status()),
				slog.String("code", string(d.Code)), slog.String("message", d.Text())) // without any value of the request
		}
	})
}

// inOwnForm has paths that nobody knows below /api/ refused in the form of Ollama's clients, where the server is Ollama: a
// typing error would be answered in a form they do not read.
func (p Preset) inOwnForm(next http.Handler) http.Handler {
	if p.Name != "ollama" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/api/") {
			r = deny.Prefer(r, deny.Ollama)
		}
		next.ServeHTTP(w, r)
	})
}

// Front returns a handler that runs next for requests whose headers are right: Host and Origin, and for [MCP] what the
// protocol says of its own headers. It takes the wish for another protocol (Upgrade) off them, since no API here has one and a
// reverse proxy would hand the client a pipe to the server behind. It is for routers of your own, in front of a route's handler;
// [Preset.Handler] includes it. It panics when next is nil, or an entry of Hosts or Origins is none.
func (p Preset) Front(next http.Handler) http.Handler {
	if next == nil {
		panic("preset: Preset.Front: next is nil")
	}
	return checked(p.front(), route.NoUpgrade(checked(p.headers, next)))
}

// stage is the room's name in records.
const stage = "validate"

// checked returns a handler that runs next when the check, if there is one, has nothing against the request.
func checked(check func(*http.Request) *deny.Denial, next http.Handler) http.Handler {
	if check == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		if d := check(r); d != nil {
			x.Refuse(w, r, d)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// front is the check of Host and Origin. It panics for entries that are none.
func (p Preset) front() func(*http.Request) *deny.Denial {
	c, faults := site.New(p.Hosts, p.Origins)
	if len(faults) > 0 {
		panic("preset: Preset." + strings.Join(faults, "; "))
	}
	named := len(p.Hosts) > 0
	return func(r *http.Request) *deny.Denial {
		f := site.Loopback(r)
		if named {
			f = c.Host(r.Host)
		}
		header, value := "Host", r.Host
		if f == 0 {
			f = c.Origin(r, true)
			header, value = "Origin", r.Header.Get("Origin")
		}
		if f == 0 {
			return nil
		}
		code, status, message := f.Reply()
		return &deny.Denial{Code: code, HTTPStatus: status, Message: message, Stage: stage,
			Cause: fmt.Errorf("preset: %s %.100q is not one of %ss", header, value, header)}
	}
}

// refuse is a refusal by status; the cause is for the operator.
func refuse(status int, message, cause string, a ...any) *deny.Denial {
	return &deny.Denial{Code: deny.InvalidRequest, HTTPStatus: status, Message: message, Stage: stage, Cause: fmt.Errorf(cause, a...)}
}

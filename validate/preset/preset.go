package preset

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/route"
	"github.com/mantlet-go/mantlet/validate"
)

// Preset is what the clients of one kind of server may do. The zero Preset allows nothing. Change the fields before Handler
// or Guard is called, not after; both copy them.
type Preset struct {
	// Name is the name that [ByName] knows it under.
	Name string
	// Routes are the ways in; everything else is 404, or 405 where another method would do.
	Routes []Route
	// Optional are routes that some deployments need and most do not. Append them to Routes to open them.
	Optional []Route
	// Hosts are the hosts that clients may name, without port ("ai.example.com", "[::1]") for any port, or with one for just
	// that. Empty means: those of the loopback interface for requests that arrive there, and any for others. (A server on
	// loopback behind another proxy that keeps the Host header needs Hosts.) [MCP] sets the loopback hosts, wherever it
	// listens.
	Hosts []string
	// Origins are the origins ("https://app.example.com") of web pages that may call, besides pages of the same host. It is
	// no CORS policy: preflight requests are not answered.
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

	endpoint *endpoint
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
		routes = append(routes, Route{Pattern: "POST " + p, Body: e.validator(), endpoint: e})
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

// Handler returns a handler that runs next for requests that the preset allows, with the checks of [Preset.Guard] first, then
// the route, then the body. Refusals are in the form that the clients of the path parse. It panics when next is nil or a
// pattern is malformed or there twice. The handler is safe for concurrent use.
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
	return p.Guard(mux)
}

// Guard returns a handler that runs next for requests whose headers are right: Host and Origin, and for [MCP] what the
// protocol says of its own headers. It takes the wish for another protocol (Upgrade) off them, since no API here has one and a
// reverse proxy would hand the client a pipe to the server behind. It is for routers of your own; [Preset.Handler] includes it.
// It panics when next is nil.
func (p Preset) Guard(next http.Handler) http.Handler {
	if next == nil {
		panic("preset: Preset.Guard: next is nil")
	}
	p.Hosts, p.Origins = slices.Clone(p.Hosts), slices.Clone(p.Origins)
	next = checked(p.headers, next)
	return checked(p.admit, route.NoUpgrade(next))
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

// admit refuses what a web page sends from elsewhere.
func (p Preset) admit(r *http.Request) *deny.Denial {
	if !p.knows(r) {
		return refuse(http.StatusForbidden, "The Host header names no host of this server.", "preset: host %.100q is not one of Hosts", r.Host)
	}
	for _, origin := range r.Header["Origin"] {
		if !slices.Contains(p.Origins, origin) && !sameHost(origin, r.Host) {
			return refuse(http.StatusForbidden, "Web pages of this origin may not call.", "preset: origin %.100q is not one of Origins", origin)
		}
	}
	return nil
}

// knows reports whether the Host header is right.
func (p Preset) knows(r *http.Request) bool {
	name := hostname(r.Host)
	if len(p.Hosts) > 0 {
		return slices.ContainsFunc(p.Hosts, func(h string) bool { return strings.EqualFold(h, r.Host) || strings.EqualFold(h, name) })
	}
	// Who calls over loopback calls it by name. Everything else is a name of somebody's that leads here.
	addr, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return !ok || !loopback(hostname(addr.String())) || loopback(name)
}

// hostname takes the port off.
func hostname(hostport string) string {
	if i := strings.LastIndexByte(hostport, ':'); i >= 0 && !strings.HasSuffix(hostport, "]") {
		return hostport[:i]
	}
	return hostport
}

func loopback(host string) bool {
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.Unmap().IsLoopback()
}

// sameHost reports whether the page is of the host that it calls. The scheme does not count: TLS may end before us.
func sameHost(origin, host string) bool {
	u, err := url.Parse(origin)
	return err == nil && u.Host != "" && strings.EqualFold(u.Host, host) && (u.Scheme == "https" || u.Scheme == "http")
}

// refuse is a refusal by status; the cause is for the operator.
func refuse(status int, message, cause string, a ...any) *deny.Denial {
	return &deny.Denial{Code: deny.InvalidRequest, HTTPStatus: status, Message: message, Stage: stage, Cause: fmt.Errorf(cause, a...)}
}

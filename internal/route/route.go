// Package route finds the handler of a request, and nothing else: the pipeline and the presets share it.
//
// It is [http.ServeMux] without what that answers by itself. A redirect to a cleaned path, or to one with a slash, would
// speak for a path that no policy speaks of: here it is 404.
package route

import (
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

// Mux is a set of routes. It is safe for concurrent use. Use [NewMux].
type Mux struct {
	stage string // the room that refuses, for the operator
	mux   *http.ServeMux

	mu      sync.Mutex
	methods []string
}

// NewMux returns a Mux without routes. stage is the room that refuses, for the operator.
func NewMux(stage string) *Mux { return &Mux{stage: stage, mux: http.NewServeMux()} }

// own is what tells a registered handler from those that ServeMux makes.
type own struct{ http.Handler }

// Handle registers h. It panics as [http.ServeMux.Handle] does.
func (m *Mux) Handle(pattern string, h http.Handler) {
	m.mux.Handle(pattern, own{h})
	m.mu.Lock()
	defer m.mu.Unlock()
	if i := strings.IndexAny(pattern, " \t"); i > 0 && !slices.Contains(m.methods, pattern[:i]) {
		m.methods = append(m.methods, pattern[:i])
	}
}

// ServeHTTP runs the route that matches and records its pattern. Otherwise it refuses with 404, or with 405 when another method
// would have matched.
func (m *Mux) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h, pattern := m.mux.Handler(r)
	x, w, r := exchange.Enter(w, r)
	defer x.Leave()
	if _, ok := h.(own); !ok {
		x.Refuse(w, r, m.miss(r))
		return
	}
	x.SetRoute(pattern)
	m.mux.ServeHTTP(w, r) // matches once more: nothing else of net/http sets the path values
}

func (m *Mux) miss(r *http.Request) *deny.Denial {
	m.mu.Lock()
	methods := m.methods
	m.mu.Unlock()
	var allow []string
	for _, method := range methods {
		if h, _ := m.mux.Handler(&http.Request{Method: method, URL: r.URL, Host: r.Host}); isOwn(h) {
			allow = append(allow, method)
			if method == http.MethodGet && !slices.Contains(methods, http.MethodHead) {
				allow = append(allow, http.MethodHead)
			}
		}
	}
	if len(allow) == 0 {
		return &deny.Denial{Code: deny.NotFound, Stage: m.stage}
	}
	slices.Sort(allow)
	return &deny.Denial{Code: deny.MethodNotAllowed, Stage: m.stage, Header: http.Header{"Allow": {strings.Join(allow, ", ")}}}
}

func isOwn(h http.Handler) bool {
	_, ok := h.(own)
	return ok
}

var errNoBody = errors.New("route: it takes no body")

// NoBody returns a middleware that refuses a request which brings a body.
func NoBody(stage string) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if !exchange.NoBody(r) {
				x, w, r := exchange.Enter(w, r)
				defer x.Leave()
				x.Refuse(w, r, &deny.Denial{Code: deny.UnsupportedMediaType, Stage: stage, Message: "This route takes no request body.", Cause: errNoBody})
				return
			}
			next.ServeHTTP(w, r)
		})
	}
}

// NoUpgrade takes the wish for another protocol off a request (RFC 9110 section 7.8): the Upgrade and HTTP2-Settings headers, and
// the Connection options that name them. A reverse proxy would pass it on, and hand the client a pipe to the server behind. Other
// options stay, for the proxy to obey.
func NoUpgrade(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if len(r.Header["Upgrade"])+len(r.Header["Http2-Settings"]) > 0 || slices.ContainsFunc(r.Header["Connection"], wishful) {
			r.Header = maps.Clone(r.Header) // what stands outside may still look at it
			delete(r.Header, "Upgrade")
			delete(r.Header, "Http2-Settings")
			var rest []string
			for _, line := range r.Header["Connection"] {
				for option := range strings.SplitSeq(line, ",") {
					if option = strings.TrimSpace(option); option != "" && !wish(option) {
						rest = append(rest, option)
					}
				}
			}
			if delete(r.Header, "Connection"); len(rest) > 0 {
				r.Header["Connection"] = []string{strings.Join(rest, ", ")}
			}
		}
		next.ServeHTTP(w, r)
	})
}

// wish reports whether a Connection option is about another protocol.
func wish(option string) bool {
	return strings.EqualFold(option, "upgrade") || strings.EqualFold(option, "http2-settings")
}

func wishful(line string) bool {
	for option := range strings.SplitSeq(line, ",") {
		if wish(strings.TrimSpace(option)) {
			return true
		}
	}
	return false
}

package route_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/route"
)

func mux() *route.Mux {
	m := route.NewMux("test")
	m.Handle("GET /v1/models/{id}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write([]byte(exchange.From(r.Context()).Route() + " " + r.PathValue("id")))
	}))
	m.Handle("POST /v1/models/{id}", http.NotFoundHandler())
	m.Handle("GET /tree/", http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	return m
}

func TestOnlyARouteIsRunAndTheRestIsRefused(t *testing.T) {
	m := mux()
	for _, c := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/v1/models/a", 200, ""}, {"HEAD", "/v1/models/a", 200, ""}, {"PUT", "/v1/models/a", 405, "GET, HEAD, POST"},
		{"GET", "/tree", 404, ""}, {"GET", "//v1/models/a", 404, ""}, {"GET", "/v1/../v1/models/a", 404, ""}, {"GET", "/", 404, ""}, {"CONNECT", "/v1/models/a", 405, "GET, HEAD, POST"},
	} {
		w := httptest.NewRecorder()
		m.ServeHTTP(w, httptest.NewRequest(c.method, c.path, nil))
		if w.Code != c.status || w.Header().Get("Allow") != c.allow || w.Header().Get("Location") != "" {
			t.Errorf("%s %s: %d, Allow %q, Location %q", c.method, c.path, w.Code, w.Header().Get("Allow"), w.Header().Get("Location"))
		}
		if c.method == "GET" && c.status == 200 && w.Body.String() != "GET /v1/models/{id} a" {
			t.Errorf("%s: %s", c.path, w.Body)
		}
	}
}

func TestNoBodyRefusesABodyAndNoUpgradeTakesTheWishAway(t *testing.T) {
	var seen http.Header
	h := route.NoBody("test")(route.NoUpgrade(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen = r.Header })))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", strings.NewReader("x")))
	if w.Code != 415 || seen != nil {
		t.Errorf("with a body: %d", w.Code)
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"websocket"}, "Http2-Settings": {"x"}, "Accept": {"*/*"}}
	outer := r.Header
	h.ServeHTTP(httptest.NewRecorder(), r)
	if len(seen) != 1 || len(outer) != 4 {
		t.Errorf("inside %v, outside %v", seen, outer)
	}
	// A reverse proxy takes off what Connection names; it must still be told.
	r.Header = http.Header{"Connection": {"X-Hop, upgrade", "close,HTTP2-Settings"}, "Upgrade": {"h2c"}}
	h.ServeHTTP(httptest.NewRecorder(), r)
	if got := seen["Connection"]; len(got) != 1 || got[0] != "X-Hop, close" {
		t.Errorf("inside %v", seen)
	}
}

// A request that a program makes itself may have a length of 0 and a reader.
func TestNoBodyLeavesNothingToRead(t *testing.T) {
	var read []byte
	h := route.NoBody("test")(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { read, _ = io.ReadAll(r.Body) }))
	r, _ := http.NewRequest("DELETE", "/", struct{ io.Reader }{strings.NewReader("x")})
	w := httptest.NewRecorder()
	if h.ServeHTTP(w, r); w.Code != 200 || len(read) > 0 {
		t.Errorf("%d, read %q", w.Code, read)
	}
}

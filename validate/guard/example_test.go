package guard_test

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/validate/guard"
)

// A model server on localhost, safe from web pages that reach for it by DNS rebinding, with a block list and a scanner that
// bans itself.
func Example() {
	blocked, err := guard.ParsePrefixes(strings.NewReader("# ours\n203.0.113.0/24 ; seen in May\n2001:db8:bad::/48\n"))
	if err != nil {
		fmt.Println(err)
		return
	}
	g, err := guard.New(guard.Config{
		Hosts: []string{"localhost", "127.0.0.1", "[::1]"},
		Rules: guard.Rules{Deny: blocked},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "hello") }))

	get := func(from, target string) {
		r := httptest.NewRequest("GET", target, nil)
		r.RemoteAddr = from + ":40000"
		r.Header.Set("X-Request-Id", "example")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	get("192.0.2.1", "http://localhost:11434/api/tags")
	get("192.0.2.1", "http://rebound.example:11434/api/tags")
	get("203.0.113.7", "http://localhost:11434/api/tags")
	// Output:
	// 200 hello
	// 421 {"error":"This server does not answer for that host.","code":"request_refused","request_id":"example"}
	// 403 {"error":"Requests from this address are not accepted.","code":"address_not_allowed","request_id":"example"}
}

// New lists come in while requests are served; a list with a fault changes nothing.
func ExampleGuard_SetRules() {
	g, err := guard.New(guard.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = g.SetRules(guard.Rules{Deny: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}, AllowOnly: true})
	fmt.Println(err)
	err = g.SetRules(guard.Rules{Deny: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/24")}})
	fmt.Println(err)
	// Output:
	// guard: Rules.AllowOnly with an empty Allow would refuse everybody
	// <nil>
}

// What only a handler sees, such as a failed log-in, can cost points too.
func ExampleGuard_Report() {
	g, err := guard.New(guard.Config{Logger: slog.New(slog.DiscardHandler)}) // the log would have a line about the ban
	if err != nil {
		fmt.Println(err)
		return
	}
	h := g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.Report(r.Context(), 40)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	for range 4 {
		r := httptest.NewRequest("POST", "/login", nil)
		r.RemoteAddr = "192.0.2.1:40000"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		fmt.Printf("%d %q\n", w.Code, w.Header().Get("Retry-After"))
	}
	for _, b := range g.Bans() {
		fmt.Println(b.Prefix, b.Strikes)
	}
	// Output:
	// 401 ""
	// 401 ""
	// 401 ""
	// 429 "300"
	// 192.0.2.1/32 1
}

// What an operator does while it serves: load the deny list anew when its file has changed, and list, add and lift bans over
// HTTP. The second handler must be out of reach of clients.
func ExampleGuard_Ban() {
	dir, err := os.MkdirTemp("", "guard")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	list := filepath.Join(dir, "deny.txt")
	os.WriteFile(list, []byte("203.0.113.0/24 # seen in May\n"), 0o600)

	g, err := guard.New(guard.Config{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		fmt.Println(err)
		return
	}
	reload := func() error { // from a signal, a ticker, a request
		f, err := os.Open(list)
		if err != nil {
			return err
		}
		defer f.Close()
		deny, err := guard.ParsePrefixes(f)
		if err != nil {
			return err // and the old list stays
		}
		return g.SetRules(guard.Rules{Deny: deny})
	}
	admin := http.NewServeMux()
	admin.HandleFunc("POST /deny/reload", func(w http.ResponseWriter, r *http.Request) {
		if err := reload(); err != nil {
			http.Error(w, err.Error(), http.StatusConflict)
		}
	})
	admin.HandleFunc("GET /bans", func(w http.ResponseWriter, r *http.Request) { json.NewEncoder(w).Encode(g.Bans()) })
	admin.HandleFunc("PUT /bans/{addr}", func(w http.ResponseWriter, r *http.Request) {
		addr, err := netip.ParseAddr(r.PathValue("addr"))
		if err != nil || !g.Ban(addr, time.Hour) {
			http.Error(w, "no such client", http.StatusBadRequest)
		}
	})
	admin.HandleFunc("DELETE /bans/{addr}", func(w http.ResponseWriter, r *http.Request) {
		addr, err := netip.ParseAddr(r.PathValue("addr"))
		if err != nil || !g.Unban(addr) {
			http.Error(w, "not banned", http.StatusNotFound)
		}
	})
	for _, q := range []string{"POST /deny/reload", "PUT /bans/192.0.2.1", "DELETE /bans/192.0.2.1", "DELETE /bans/192.0.2.1", "GET /bans"} {
		method, path, _ := strings.Cut(q, " ")
		w := httptest.NewRecorder()
		admin.ServeHTTP(w, httptest.NewRequest(method, path, nil))
		fmt.Println(strings.TrimSpace(fmt.Sprint(q, " ", w.Code, " ", w.Body)))
	}
	// Output:
	// POST /deny/reload 200
	// PUT /bans/192.0.2.1 200
	// DELETE /bans/192.0.2.1 200
	// DELETE /bans/192.0.2.1 404 not banned
	// GET /bans 200 []
}

package guard_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"

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
	// 421 {"error":{"message":"This server does not answer for that host.","type":"invalid_request_error","param":null,"code":"invalid_request","request_id":"example"}}
	// 403 {"error":{"message":"Requests from this address are not accepted.","type":"permission_error","param":null,"code":"address_not_allowed","request_id":"example"}}
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

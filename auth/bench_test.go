package auth_test

import (
	"net/http"
	"testing"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(b []byte) (int, error) { return len(b), nil }
func (s *sink) WriteHeader(int)             {}

var nop = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})

// BenchmarkGate is a whole request through the gate. "exchange-only" is what the first room of any kind pays once per request;
// the gate's own share is the difference.
func BenchmarkGate(b *testing.B) {
	m := authtest.Keys(b)
	key := authtest.Key(b, m, apikey.Spec{Scopes: []string{"chat:write"}})
	r := authtest.Request("POST", "/v1/chat/completions", "", authtest.Bearer(key))
	g := gate(b, m, "chat:write")
	for _, c := range []struct {
		name string
		h    http.Handler
		r    *http.Request
	}{
		{"bare-handler", nop, r},
		{"exchange-only", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, w, r := exchange.Enter(w, r)
			defer x.Leave()
			nop.ServeHTTP(w, r)
		}), r},
		{"api-key", g.Handler(nop), r},
		{"api-key-and-model", g.Handler(g.ModelHandler(nop)), r},
		{"refused-garbage", g.Handler(nop), authtest.Request("POST", "/v1/chat/completions", "", authtest.Bearer("acme_test_x"))},
		{"refused-nothing", g.Handler(nop), authtest.Request("POST", "/v1/chat/completions", "")},
	} {
		b.Run(c.name, func(b *testing.B) {
			w := &sink{make(http.Header)}
			b.ReportAllocs()
			for b.Loop() {
				c.h.ServeHTTP(w, c.r)
			}
		})
	}
}

// BenchmarkCredentialOf is what every authenticator pays first.
func BenchmarkCredentialOf(b *testing.B) {
	r := authtest.Request("POST", "/", "", authtest.Bearer("x"))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := auth.CredentialOf(r); err != nil {
			b.Fatal(err)
		}
	}
}

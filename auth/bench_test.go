package auth_test

import (
	"net/http"
	"testing"
	"time"

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
	g, err := auth.New(auth.Config{Authenticator: m, Scopes: []string{"chat:write"}, Logger: quiet, Lockout: auth.Lockout{Failures: 1 << 20, HalfLife: 1}})
	if err != nil {
		b.Fatal(err)
	}
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

// BenchmarkLockout is what the lock-out adds to [auth.Gate.Authenticate]. "off" and "nobody-locked" bound what everybody pays;
// "another-locked" is the table look-up while there is a lock; "locked" and the failures are what a guesser can make us spend.
func BenchmarkLockout(b *testing.B) {
	good := authtest.Request("GET", "/", "", authtest.Bearer("x"), authtest.From("198.51.100.1:1"))
	bad := authtest.Request("GET", "/", "", authtest.Bearer("x"), authtest.From("198.51.100.2:1"))
	run := func(name string, skip bool, failures int, locked bool, r *http.Request, answer error) {
		b.Run(name, func(b *testing.B) {
			var err error
			g, fault := auth.New(auth.Config{Logger: quiet, SkipLockout: skip, Lockout: auth.Lockout{Failures: failures, MaxLock: 24 * time.Hour, Lock: 24 * time.Hour},
				Authenticator: auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) {
					if err != nil {
						return nil, err
					}
					return principal, nil
				})})
			if fault != nil {
				b.Fatal(fault)
			}
			if locked {
				err = auth.ErrInvalid
				g.Authenticate(bad)
			}
			err = answer
			b.ReportAllocs()
			for b.Loop() {
				g.Authenticate(r)
			}
		})
	}
	run("success/off", true, 1, false, good, nil)
	run("success/nobody-locked", false, 1, false, good, nil)
	run("success/another-locked", false, 1, true, good, nil)
	run("locked", false, 1, true, bad, nil)
	run("failure/off", true, 1<<20, false, bad, auth.ErrInvalid)
	run("failure/counted", false, 1<<20, false, bad, auth.ErrInvalid)
	run("failure/wrong-secret", false, 1<<20, false, bad, &auth.Error{KeyID: "k1", Err: auth.ErrInvalid})
}

var principal = authtest.Principal()

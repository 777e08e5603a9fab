package auth_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/authtest"
)

// one accepts each credential once, as a verifier of proofs does.
func once(asked *int) auth.Authenticator {
	seen := map[string]bool{}
	return auth.AuthenticatorFunc(func(r *http.Request) (*auth.Principal, error) {
		*asked++
		c, err := auth.CredentialOf(r)
		key := c.Value + " " + strings.Join(r.Header["Dpop"], ",")
		if err != nil || seen[key] {
			return nil, auth.ErrInvalid
		}
		seen[key] = true
		return authtest.Principal(authtest.Scopes("chat"), func(p *auth.Principal) { p.Subject = c.Value }), nil
	})
}

func TestAGateInsideAnotherDemandsMoreAndAsksNobodyAgain(t *testing.T) {
	for _, c := range []struct {
		name    string
		inner   func(outer *auth.Gate, asked *int) *auth.Gate
		between func(http.Handler) http.Handler
		asked   int
		status  int
		subject string
	}{
		{name: "one that was made of it", inner: func(g *auth.Gate, _ *int) *auth.Gate { return g.Require("chat") }, asked: 1, status: 200, subject: "alice"},
		{name: "one that demands what the caller lacks", inner: func(g *auth.Gate, _ *int) *auth.Gate { return g.Require("admin") }, asked: 1, status: 403},
		{name: "the same", inner: func(g *auth.Gate, _ *int) *auth.Gate { return g }, asked: 1, status: 200, subject: "alice"},
		{name: "a stranger to it", inner: func(_ *auth.Gate, asked *int) *auth.Gate { return gate(t, once(asked)) }, asked: 2, status: 200, subject: "alice"},
		{name: "after somebody changed the credential", inner: func(g *auth.Gate, _ *int) *auth.Gate { return g.Require("chat") }, asked: 2, status: 200, subject: "bob",
			between: func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					r.Header.Set("Authorization", "Bearer bob")
					h.ServeHTTP(w, r)
				})
			}},
		{name: "after somebody changed the proof", inner: func(g *auth.Gate, _ *int) *auth.Gate { return g.Require("chat") }, asked: 2, status: 200, subject: "alice",
			between: func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					r.Header.Set("Dpop", "another")
					h.ServeHTTP(w, r)
				})
			}},
		{name: "after somebody added a second credential", inner: func(g *auth.Gate, _ *int) *auth.Gate { return g.Require("chat") }, asked: 1, status: 400,
			between: func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					r.Header.Set("X-Api-Key", "other")
					h.ServeHTTP(w, r)
				})
			}},
		{name: "after somebody named another caller", inner: func(g *auth.Gate, _ *int) *auth.Gate { return g.Require("chat") }, asked: 1, status: 200, subject: "alice",
			between: func(h http.Handler) http.Handler {
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					h.ServeHTTP(w, r.WithContext(auth.NewContext(r.Context(), authtest.Principal())))
				})
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked, foreign := 0, 0
			outer := gate(t, once(&asked))
			var seen *auth.Principal
			h := c.inner(outer, &foreign).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen, _ = auth.FromContext(r.Context()) }))
			if c.between != nil {
				h = c.between(h)
			}
			r := authtest.Request("POST", "/", "", authtest.Bearer("alice"), header("Dpop", "proof"))
			w := httptest.NewRecorder()
			outer.Handler(h).ServeHTTP(w, r)
			if w.Code != c.status || asked+foreign != c.asked || c.subject != "" && (seen == nil || seen.Subject != c.subject) || c.subject == "" && seen != nil {
				t.Errorf("%d for %v after %d questions; want %d for %s after %d: %s", w.Code, seen, asked+foreign, c.status, c.subject, c.asked, w.Body)
			}
		})
	}
}

// A request that a handler makes of its own inside another has its own credential, and another caller.
func TestARequestWithinARequestIsAskedAboutAnew(t *testing.T) {
	asked := 0
	g := gate(t, once(&asked))
	var subjects []string
	inner := g.Require("chat").Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		p, _ := auth.FromContext(r.Context())
		subjects = append(subjects, p.Subject)
	}))
	h := g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		own, _ := http.NewRequestWithContext(r.Context(), "POST", "/other", nil)
		own.Header.Set("Authorization", "Bearer bob")
		inner.ServeHTTP(w, own)
		inner.ServeHTTP(w, r)
	}))
	h.ServeHTTP(httptest.NewRecorder(), authtest.Request("POST", "/", "", authtest.Bearer("alice")))
	if asked != 2 || strings.Join(subjects, " ") != "bob alice" {
		t.Errorf("%v after %d questions", subjects, asked)
	}
}

func TestNothingStandsBehindOneThatTakesEveryBearerToken(t *testing.T) {
	greedy, keys := every{authtest.Accept(nil), true}, authtest.Accept(nil)
	for _, c := range []struct {
		name string
		a    auth.Authenticator
		ok   bool
	}{
		{"alone", greedy, true},
		{"last", auth.AnyOf(keys, greedy), true},
		{"first", auth.AnyOf(greedy, keys), false},
		{"in the middle of a nested one", auth.AnyOf(auth.AnyOf(keys, greedy), keys), false},
		{"with a shape of its own", auth.AnyOf(every{keys, false}, keys), true},
	} {
		_, err := auth.New(auth.Config{Authenticator: c.a})
		if (err == nil) != c.ok || err != nil && !strings.Contains(err.Error(), "takes every bearer token: put it last") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

type every struct {
	auth.Authenticator
	yes bool
}

func (e every) EveryBearer() bool { return e.yes }

// verifying is an authenticator of tokens that recognises none.
type verifying struct{ auth.Authenticator }

func (verifying) VerifyToken(context.Context, string) (*auth.Principal, error) {
	return nil, auth.ErrNoCredential
}

func TestWhereOnlyTokensAreTakenNobodySpeaksOfAnAPIKey(t *testing.T) {
	tokens, keys := verifying{authtest.Refuse(auth.ErrNoCredential)}, authtest.Refuse(auth.ErrNoCredential)
	for name, c := range map[string]struct {
		a    auth.Authenticator
		want string
	}{
		"tokens": {tokens, "invalid_token"}, "keys": {keys, "invalid_api_key"}, "both": {auth.AnyOf(tokens, keys), "invalid_api_key"}, "two kinds of tokens": {auth.AnyOf(tokens, tokens), "invalid_token"},
	} {
		if w, _ := serve(gate(t, c.a).Handler, authtest.Request("GET", "/", "", authtest.Bearer("opaque"))); w.Code != 401 || code(t, w) != c.want {
			t.Errorf("%s: %d %s", name, w.Code, code(t, w))
		}
	}
}

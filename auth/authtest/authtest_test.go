package authtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/jwtauth"
	"github.com/mantlet-go/mantlet/auth/pop"
)

func ExampleWithPrincipal() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := auth.FromContext(r.Context())
		fmt.Println(p.ClientID, p.HasScope("admin"))
	})
	r := authtest.Request("POST", "/v1/chat/completions", `{}`)
	handler.ServeHTTP(httptest.NewRecorder(), authtest.WithPrincipal(r, authtest.Principal(authtest.Scopes("admin"))))
	// Output: alice true
}

func TestPrincipalsDiffer(t *testing.T) {
	if a, b := authtest.Principal(), authtest.Principal(); a == b || &a.Scopes[0] == &b.Scopes[0] {
		t.Error("two principals share memory")
	}
	if p := authtest.Principal(authtest.Models()); p.Models == nil {
		t.Error("Models() is no restriction")
	}
}

func TestKeysAndRequestsFitTogether(t *testing.T) {
	m := authtest.Keys(t)
	key := authtest.Key(t, m, apikey.Spec{})
	for _, o := range []func(string) func(*http.Request){authtest.Bearer, authtest.APIKey} {
		if p, err := m.Authenticate(authtest.Request("GET", "/", "", o(key), authtest.From("192.0.2.1:1"))); err != nil || p.ClientID != "alice" {
			t.Errorf("%v, %v", p, err)
		}
	}
}

// A verifier must refuse all of them and accept the token they are made from; here is one that does, and the shape of the
// test that another would write.
func TestAttacksAreNamedAndDescribed(t *testing.T) {
	now := time.Now()
	s := authtest.NewSigner(t, "ES256")
	v, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{s.Issuer("https://issuer.example", "api")}})
	if err != nil {
		t.Fatal(err)
	}
	claims := authtest.Claims("https://issuer.example", "api", now)
	if _, err := v.Verify(t.Context(), s.Token(claims), now); err != nil {
		t.Errorf("the good token: %v", err)
	}
	for _, a := range s.Attacks("https://issuer.example", "api", now) {
		if a.Name == "" || a.Why == "" || strings.ContainsAny(a.Name, " /") {
			t.Errorf("%+v", a)
		}
		if _, err := v.Verify(t.Context(), a.Token, now); !errors.Is(err, auth.ErrInvalid) && !errors.Is(err, auth.ErrExpired) {
			t.Errorf("%s: %v", a.Name, err)
		}
	}
	if authtest.With(claims, "sub", nil)["sub"] != nil || claims["sub"] != "alice" {
		t.Error("With changes its argument")
	}
}

func TestAnAuthorityPublishesAndCounts(t *testing.T) {
	for _, alg := range []string{"RS256", "PS384", "ES256", "ES512", "EdDSA"} {
		one, two := authtest.NewSigner(t, alg), authtest.NewSigner(t, alg)
		a := authtest.NewAuthority(t, "https://issuer.example/", one)
		client := &http.Client{Transport: a.Transport()}
		get := func(url, etag string) (int, string) {
			r, err := http.NewRequest("GET", url, nil)
			if err != nil {
				t.Fatal(err)
			}
			r.Header.Set("If-None-Match", etag)
			resp, err := client.Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			return resp.StatusCode, resp.Header.Get("ETag") + string(b)
		}
		_, body := get(a.JWKS(), "")
		if !strings.Contains(body, one.KeyID) {
			t.Errorf("%s: %s", alg, body)
		}
		etag := body[:strings.IndexByte(body, '{')]
		if code, _ := get(a.JWKS(), etag); code != 304 || a.Unchanged() != 1 {
			t.Errorf("%s: the same set again is %d", alg, code)
		}
		a.Publish(two)
		if code, body := get(a.JWKS(), etag); code != 200 || !strings.Contains(body, two.KeyID) || strings.Contains(body, one.KeyID) {
			t.Errorf("%s: after a rotation %d %s", alg, code, body)
		}
		a.Answer(authtest.Status(500))
		if code, _ := get(a.JWKS(), ""); code != 500 {
			t.Errorf("%s: %d", alg, code)
		}
		if _, body := get("https://issuer.example/.well-known/openid-configuration", ""); !strings.Contains(body, a.JWKS()) {
			t.Errorf("%s: %s", alg, body)
		}
		if a.Fetches() != 4 || a.Discoveries() != 1 {
			t.Errorf("%s: %d fetches, %d discoveries", alg, a.Fetches(), a.Discoveries())
		}
	}
}

func TestAHolderProvesTheKeyOfItsToken(t *testing.T) {
	h, other := authtest.NewHolder(t, "ES256"), authtest.NewHolder(t, "EdDSA")
	tokens := tokenFunc(func(string) *auth.Principal {
		return authtest.Principal(func(p *auth.Principal) { p.Bound.JKT = h.Thumbprint() })
	})
	v, err := pop.New(pop.Config{Tokens: tokens, URLs: []string{"https://api.example.com"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		proof string
		ok    bool
	}{
		"its own":     {h.Proof("POST", "https://api.example.com/mcp", "t", nil), true},
		"another's":   {other.Proof("POST", "https://api.example.com/mcp", "t", nil), false},
		"for a token": {h.Proof("POST", "https://api.example.com/mcp", "u", nil), false},
		"spoiled":     {h.Proof("POST", "https://api.example.com/mcp", "t", func(_, claims map[string]any) { claims["htm"] = "GET" }), false},
	} {
		r := authtest.Request("POST", "/mcp", "{}")
		r.Header.Set("Authorization", "DPoP t")
		r.Header.Set("DPoP", c.proof)
		if _, err := v.Authenticate(r); (err == nil) != c.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

type tokenFunc func(string) *auth.Principal

func (f tokenFunc) VerifyToken(_ context.Context, token string) (*auth.Principal, error) {
	return f(token), nil
}

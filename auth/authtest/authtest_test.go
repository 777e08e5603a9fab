package authtest_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/jwtauth"
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
	if _, err := v.Verify(s.Token(claims), now); err != nil {
		t.Errorf("the good token: %v", err)
	}
	for _, a := range s.Attacks("https://issuer.example", "api", now) {
		if a.Name == "" || a.Why == "" || strings.ContainsAny(a.Name, " /") {
			t.Errorf("%+v", a)
		}
		if _, err := v.Verify(a.Token, now); !errors.Is(err, auth.ErrInvalid) && !errors.Is(err, auth.ErrExpired) {
			t.Errorf("%s: %v", a.Name, err)
		}
	}
	if authtest.With(claims, "sub", nil)["sub"] != nil || claims["sub"] != "alice" {
		t.Error("With changes its argument")
	}
}

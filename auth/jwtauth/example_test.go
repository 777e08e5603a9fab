package jwtauth_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/jwtauth"
)

func Example() {
	// The issuer's key; a real API knows the public half only.
	private, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)

	tokens, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{{
		Issuer:     "https://login.example.com/",
		Audiences:  []string{"https://inference.example.com"},
		Algorithms: []string{"ES256"},
		Keys:       []jwtauth.Key{{ID: "2026-11", Algorithm: "ES256", Key: &private.PublicKey}},
	}}})
	if err != nil {
		log.Fatal(err)
	}
	gate, err := auth.New(auth.Config{Authenticator: tokens, Scopes: []string{"chat:write"}})
	if err != nil {
		log.Fatal(err)
	}
	chat := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := auth.FromContext(r.Context())
		fmt.Fprintf(w, "hello %s of %s", p.Subject, p.Issuer)
	}))

	// A client with a token.
	t := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"iss": "https://login.example.com/", "aud": "https://inference.example.com", "sub": "alice", "scope": "chat:write",
		"iat": time.Now().Unix(), "exp": time.Now().Add(5 * time.Minute).Unix(),
	})
	t.Header["kid"], t.Header["typ"] = "2026-11", "at+jwt"
	signed, _ := t.SignedString(private)

	for _, credential := range []string{"Bearer " + signed, "Bearer " + signed + "x", ""} {
		r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
		if credential != "" {
			r.Header.Set("Authorization", credential)
		}
		w := httptest.NewRecorder()
		chat.ServeHTTP(w, r)
		fmt.Println(strings.TrimSpace(fmt.Sprint(w.Code, " ", w.Header().Get("WWW-Authenticate"))))
	}
	// Output:
	// 200
	// 401 Bearer realm="api", error="invalid_token"
	// 401 Bearer realm="api"
}

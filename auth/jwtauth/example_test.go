package jwtauth_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
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

// Keys that the issuer publishes: found by discovery, fetched when the first token comes, and again and again until Close.
func Example_discovery() {
	tokens, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{{
		Issuer:     "https://login.example.com",
		Audiences:  []string{"https://inference.example.com"},
		Algorithms: []string{"RS256"},
		Discovery:  true,
	}, {
		// An issuer that never learnt of RFC 9068, and whose set is somewhere else.
		Issuer:     "https://accounts.example.net",
		Audiences:  []string{"inference"},
		Algorithms: []string{"RS256"},
		JWKS:       "https://keys.example.net/v3/certs",
		Types:      []string{"JWT"},
		Claims:     jwtauth.ClaimNames{Roles: "groups", Tenant: "tid"},
	}}})
	if err != nil {
		log.Fatal(err)
	}
	defer tokens.Close(context.Background())
	gate, err := auth.New(auth.Config{Authenticator: tokens})
	if err != nil {
		log.Fatal(err)
	}
	http.Handle("POST /v1/chat/completions", gate.Handler(http.NotFoundHandler()))
}

// A deny list in memory: single tokens by their jti, and all that was issued to somebody before they were thrown out.
func ExampleConfig_revoked() {
	var ids, users sync.Map // jti -> true, auth.Identity -> time.Time; filled by whoever revokes
	revoked := func(t jwtauth.Token) error {
		if _, ok := ids.Load(t.ID); ok {
			return auth.ErrRevoked
		}
		if at, ok := users.Load(t.Principal.Identity()); ok && !t.IssuedAt.After(at.(time.Time)) {
			return auth.ErrRevoked
		}
		return nil
	}

	secret := []byte(strings.Repeat("k", 32))
	tokens, err := jwtauth.New(jwtauth.Config{Revoked: revoked, Issuers: []jwtauth.Issuer{{
		Issuer: "https://login.example.com", Audiences: []string{"inference"}, Algorithms: []string{"HS256"},
		Keys: []jwtauth.Key{{Algorithm: "HS256", Key: secret}},
	}}})
	if err != nil {
		log.Fatal(err)
	}
	now := time.Now()
	t := jwt.NewWithClaims(jwt.SigningMethodHS256, jwt.MapClaims{
		"iss": "https://login.example.com", "aud": "inference", "sub": "alice", "jti": "7", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(),
	})
	t.Header["typ"] = "at+jwt"
	signed, _ := t.SignedString(secret)

	_, err = tokens.Verify(context.Background(), signed, now)
	fmt.Println(err)
	ids.Store("7", true)
	_, err = tokens.Verify(context.Background(), signed, now)
	fmt.Println(err)
	// Output:
	// <nil>
	// auth: credential was revoked
}

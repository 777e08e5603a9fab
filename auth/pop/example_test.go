package pop_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/pop"
)

// verifierFunc stands for a verifier of package jwtauth or introspect.
type verifierFunc func(token string) (*auth.Principal, error)

func (f verifierFunc) VerifyToken(_ context.Context, token string) (*auth.Principal, error) {
	return f(token)
}

func Example() {
	// The client's key. Its thumbprint is in the token: cnf.jkt.
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		log.Fatal(err)
	}
	point, _ := key.PublicKey.Bytes()
	b64 := base64.RawURLEncoding.EncodeToString
	jwk := map[string]string{"crv": "P-256", "kty": "EC", "x": b64(point[1:33]), "y": b64(point[33:])}
	canonical, _ := json.Marshal(jwk) // RFC 7638: members in order, no blanks
	thumbprint := sha256.Sum256(canonical)

	bound, err := pop.New(pop.Config{
		Tokens: verifierFunc(func(token string) (*auth.Principal, error) {
			return &auth.Principal{Issuer: "https://login.example.com", Subject: "alice", Bound: auth.Confirmation{JKT: b64(thumbprint[:])}}, nil
		}),
		URLs: []string{"https://inference.example.com"},
	})
	if err != nil {
		log.Fatal(err)
	}
	gate, err := auth.New(auth.Config{Authenticator: bound})
	if err != nil {
		log.Fatal(err)
	}
	handler := gate.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))

	const token = "an-access-token"
	ath := sha256.Sum256([]byte(token))
	proof := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{
		"jti": rand.Text(), "htm": "POST", "htu": "https://inference.example.com/v1/chat/completions", "iat": time.Now().Unix(), "ath": b64(ath[:]),
	})
	proof.Header["typ"], proof.Header["jwk"] = "dpop+jwt", jwk
	signed, err := proof.SignedString(key)
	if err != nil {
		log.Fatal(err)
	}
	send := func(scheme, proof string) {
		r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
		r.Header.Set("Authorization", scheme+" "+token)
		if proof != "" {
			r.Header.Set("DPoP", proof)
		}
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header()["Www-Authenticate"])
	}
	send("DPoP", signed)
	send("DPoP", signed) // a second time
	send("Bearer", "")   // the token alone, as a thief has it
	// Output:
	// 200 []
	// 401 [DPoP realm="api", error="invalid_dpop_proof", algs="ES256 EdDSA"]
	// 401 [DPoP realm="api", error="invalid_token", algs="ES256 EdDSA"]
}

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
	"net/netip"
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

// Tokens bound to client certificates, with TLS ending at a proxy on the internal network.
func Example_certificates() {
	certificate := []byte("the DER of the client's certificate")
	sum := sha256.Sum256(certificate)
	bound, err := pop.New(pop.Config{
		Tokens: verifierFunc(func(token string) (*auth.Principal, error) {
			return &auth.Principal{Issuer: "https://login.example.com", Subject: "alice", Bound: auth.Confirmation{X5T: base64.RawURLEncoding.EncodeToString(sum[:])}}, nil
		}),
		Certificates:   true,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, peer := range []string{"10.1.2.3:40000", "192.0.2.1:40000"} {
		r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
		r.RemoteAddr = peer
		r.Header.Set("Authorization", "Bearer an-access-token")
		r.Header.Set("Client-Cert", ":"+base64.StdEncoding.EncodeToString(certificate)+":") // RFC 9440
		_, err := bound.Authenticate(r)
		fmt.Println(peer, err)
	}
	// Output:
	// 10.1.2.3:40000 <nil>
	// 192.0.2.1:40000 pop: token is bound to a certificate that the client did not show: auth: credential is not valid
}

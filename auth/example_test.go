package auth_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
)

func Example() {
	keys, err := apikey.New(apikey.Config{Store: apikey.NewMemoryStore(), Prefix: "acme", Env: "live"})
	if err != nil {
		log.Fatal(err)
	}
	gate, err := auth.New(auth.Config{Authenticator: keys, Realm: "inference"})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle("POST /v1/chat/completions", gate.Require("chat:write").Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, _ := auth.FromContext(r.Context())
		fmt.Fprintf(w, "hello %s", p.ClientID)
	})))

	secret, _, err := keys.Create(context.Background(), apikey.Spec{ClientID: "reader", Scopes: []string{"models:read"}})
	if err != nil {
		log.Fatal(err)
	}
	r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
	r.Header.Set("Authorization", "Bearer "+secret.Reveal())
	w := httptest.NewRecorder()
	mux.ServeHTTP(w, r)
	fmt.Println(w.Code)
	fmt.Println(w.Header().Get("WWW-Authenticate"))
	// Output:
	// 403
	// Bearer realm="inference", error="insufficient_scope", scope="chat:write"
}

// An authenticator of one's own: recognise by shape, and never answer ErrNoCredential for something recognised.
func ExampleAuthenticatorFunc() {
	certificate := auth.AuthenticatorFunc(func(r *http.Request) (*auth.Principal, error) {
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			return nil, auth.ErrNoCredential
		}
		name := r.TLS.PeerCertificates[0].Subject.CommonName
		return &auth.Principal{Issuer: "internal-ca", Subject: name, ClientID: name, Method: "mtls"}, nil
	})
	gate, err := auth.New(auth.Config{Authenticator: auth.AnyOf(certificate /* , keys, tokens */)})
	if err != nil {
		log.Fatal(err)
	}
	_, err = gate.Authenticate(httptest.NewRequest("GET", "/", nil))
	fmt.Println(err)
	// Output: auth: no credential
}

// A handler is tested without keys or tokens: NewContext says who calls.
func ExampleNewContext() {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p, ok := auth.FromContext(r.Context())
		fmt.Println(ok, p.Identity())
	})
	r := httptest.NewRequest("GET", "/", nil)
	r = r.WithContext(auth.NewContext(r.Context(), &auth.Principal{Issuer: "test", Subject: "alice"}))
	handler.ServeHTTP(httptest.NewRecorder(), r)
	// Output: true {test alice}
}

// The model check stands after validation, inside the gate.
func ExampleGate_ModelHandler() {
	small := auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) {
		return &auth.Principal{Issuer: "test", Subject: "alice", Models: []string{"small"}}, nil
	})
	gate, err := auth.New(auth.Config{Authenticator: small})
	if err != nil {
		log.Fatal(err)
	}
	chat := gate.Handler(gate.ModelHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})))
	for _, model := range []string{"small", "large"} {
		r := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(`{"model":"`+model+`","messages":[]}`))
		w := httptest.NewRecorder()
		chat.ServeHTTP(w, r)
		fmt.Println(model, w.Code)
	}
	// Output:
	// small 200
	// large 403
}

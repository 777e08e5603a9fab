package auth_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"time"

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
		r.Header.Set("Content-Type", "application/json")
		w := httptest.NewRecorder()
		chat.ServeHTTP(w, r)
		fmt.Println(model, w.Code)
	}
	// Output:
	// small 200
	// large 403
}

// A client that asks its authorization server for tokens is told where the metadata is and which scopes would do.
func ExampleGate_RequireAny() {
	reader := auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) {
		return &auth.Principal{Issuer: "test", Subject: "alice", Scopes: []string{"files:read"}}, nil
	})
	gate, err := auth.New(auth.Config{Authenticator: reader, ResourceMetadata: "https://api.example.com/.well-known/oauth-protected-resource"})
	if err != nil {
		log.Fatal(err)
	}
	w := httptest.NewRecorder()
	gate.RequireAny("files:write", "files:all").Handler(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("PUT", "/files/1", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output: 403 Bearer realm="api", error="insufficient_scope", scope="files:write", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource"
}

// Which scope a request needs may depend on the request.
func ExampleGate_RequireFunc() {
	reader := auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) {
		return &auth.Principal{Issuer: "test", Subject: "alice", Scopes: []string{"read"}}, nil
	})
	gate, err := auth.New(auth.Config{Authenticator: reader})
	if err != nil {
		log.Fatal(err)
	}
	gate = gate.RequireFunc(func(r *http.Request) []string {
		if r.Method == "GET" || r.Method == "HEAD" {
			return []string{"read"}
		}
		return []string{"write"}
	})
	for _, method := range []string{"GET", "DELETE"} {
		_, err := gate.Authenticate(httptest.NewRequest(method, "/", nil))
		fmt.Println(method, err)
	}
	// Output:
	// GET <nil>
	// DELETE auth: scope is missing
}

// The expensive operation wants a second factor, within the last ten minutes.
func ExampleGate_RequireAuthentication() {
	yesterday := auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) {
		return &auth.Principal{Issuer: "test", Subject: "alice", ACR: "mfa", AuthTime: time.Now().Add(-24 * time.Hour)}, nil
	})
	gate, err := auth.New(auth.Config{Authenticator: yesterday})
	if err != nil {
		log.Fatal(err)
	}
	w := httptest.NewRecorder()
	gate.RequireAuthentication(10*time.Minute, "mfa").Handler(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("POST", "/v1/fine-tunes", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	// Output: 401 Bearer realm="api", error="insufficient_user_authentication", acr_values="mfa", max_age="600"
}

// A policy of one's own, or an adapter to a policy engine. What is neither yes nor no is a 503.
func ExampleGate_RequireAuthorizer() {
	alice := auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) {
		return &auth.Principal{Issuer: "test", Subject: "alice", Tenant: "acme"}, nil
	})
	gate, err := auth.New(auth.Config{Authenticator: alice})
	if err != nil {
		log.Fatal(err)
	}
	ownTenant := auth.AuthorizerFunc(func(_ context.Context, p *auth.Principal, r *http.Request) error {
		if r.PathValue("tenant") != p.Tenant {
			return auth.ErrPermissionDenied
		}
		return nil
	})
	mux := http.NewServeMux()
	mux.Handle("GET /tenants/{tenant}/usage", gate.RequireAuthorizer(ownTenant).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	for _, tenant := range []string{"acme", "other"} {
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, httptest.NewRequest("GET", "/tenants/"+tenant+"/usage", nil))
		fmt.Println(tenant, w.Code)
	}
	// Output:
	// acme 200
	// other 403
}

// Wrong credentials lock out the address they come from, and only that. A proxy in front has to be named.
func ExampleLockout() {
	keys := auth.AuthenticatorFunc(func(r *http.Request) (*auth.Principal, error) {
		if c, err := auth.CredentialOf(r); err != nil || c.Value != "good" {
			return nil, auth.ErrInvalid
		}
		return &auth.Principal{Issuer: "test", Subject: "alice"}, nil
	})
	gate, err := auth.New(auth.Config{
		Authenticator:  keys,
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24")},
		Lockout:        auth.Lockout{Failures: 3},
		OnAlarm:        func(_ context.Context, a auth.Alarm) { fmt.Println("alarm:", a.Kind, a.Prefix) },
		Logger:         slog.New(slog.DiscardHandler),
	})
	if err != nil {
		log.Fatal(err)
	}
	knock := func(client, key string) {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "10.0.0.1:4711"
		r.Header.Set("X-Forwarded-For", client)
		r.Header.Set("X-API-Key", key)
		w := httptest.NewRecorder()
		gate.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
		fmt.Println(client, w.Code)
	}
	for range 3 {
		knock("198.51.100.1", "guess")
	}
	knock("198.51.100.1", "good")
	knock("198.51.100.2", "good")
	fmt.Println(gate.Unlock(netip.MustParseAddr("198.51.100.1")))
	// Output:
	// 198.51.100.1 401
	// 198.51.100.1 401
	// alarm: address_locked 198.51.100.1/32
	// 198.51.100.1 401
	// 198.51.100.1 429
	// 198.51.100.2 200
	// true
}

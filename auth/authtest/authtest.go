package authtest

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
)

// Principal returns a caller for tests: subject and client "alice" of issuer "authtest", tenant "acme", with the scopes
// "chat:write" and "models:read" and every model. Options change it before it is published.
func Principal(options ...func(*auth.Principal)) *auth.Principal {
	p := &auth.Principal{
		Issuer: "authtest", Subject: "alice", Tenant: "acme", ClientID: "alice", KeyID: "test-key", Method: auth.MethodAPIKey,
		Scopes: []string{"chat:write", "models:read"},
	}
	for _, o := range options {
		o(p)
	}
	return p
}

// Scopes is an option of [Principal] that replaces the scopes.
func Scopes(scopes ...string) func(*auth.Principal) {
	return func(p *auth.Principal) { p.Scopes = scopes }
}

// Models is an option of [Principal] that restricts the models; Models() allows none.
func Models(models ...string) func(*auth.Principal) {
	return func(p *auth.Principal) { p.Models = append([]string{}, models...) }
}

// WithPrincipal returns a copy of r whose caller is p, to test a handler without a Gate in front. A [auth.Gate] does not ask who
// the caller was before: in front of one use [Accept].
func WithPrincipal(r *http.Request, p *auth.Principal) *http.Request {
	return r.WithContext(auth.NewContext(r.Context(), p))
}

// Request returns a server request with a JSON body ("" for none). Options add credentials.
func Request(method, target, body string, options ...func(*http.Request)) *http.Request {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, o := range options {
		o(r)
	}
	return r
}

// Bearer is an option of [Request] that adds an Authorization header.
func Bearer(value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Add("Authorization", "Bearer "+value) }
}

// APIKey is an option of [Request] that adds an X-API-Key header.
func APIKey(value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Add("X-API-Key", value) }
}

// From is an option of [Request] that sets the address of the peer, as host:port.
func From(remoteAddr string) func(*http.Request) {
	return func(r *http.Request) { r.RemoteAddr = remoteAddr }
}

// Accept returns an authenticator that finds p in every request.
func Accept(p *auth.Principal) auth.Authenticator {
	return auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) { return p, nil })
}

// Refuse returns an authenticator that answers every request with err.
func Refuse(err error) auth.Authenticator {
	return auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) { return nil, err })
}

// Keys returns a manager of keys "acme_test_..." in memory, closed when the test ends.
func Keys(tb testing.TB) *apikey.Manager {
	tb.Helper()
	m, err := apikey.New(apikey.Config{Store: apikey.NewMemoryStore(), Prefix: "acme", Env: "test"})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { m.Close(context.Background()) })
	return m
}

// Key makes a key in m and returns it as a caller would send it.
func Key(tb testing.TB, m *apikey.Manager, spec apikey.Spec) string {
	tb.Helper()
	if spec.ClientID == "" {
		spec.ClientID = "alice"
	}
	secret, _, err := m.Create(context.Background(), spec)
	if err != nil {
		tb.Fatal(err)
	}
	return secret.Reveal()
}

package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/auth"
)

func TestThePoliciesDecide(t *testing.T) {
	for _, c := range []struct {
		name   string
		caller auth.Principal
		method string
		path   string
		status int
	}{
		{"of the tenant", auth.Principal{Tenant: "acme"}, "GET", "/tenants/acme/usage", 200},
		{"of another tenant", auth.Principal{Tenant: "other"}, "GET", "/tenants/acme/usage", 403},
		{"of no tenant", auth.Principal{}, "GET", "/tenants/acme/usage", 403},
		{"another tenant's usage", auth.Principal{Tenant: "acme"}, "GET", "/tenants/other/usage", 403},
		{"another action", auth.Principal{Tenant: "acme"}, "DELETE", "/tenants/acme", 403},
		{"an operator", auth.Principal{Roles: []string{"operator"}}, "DELETE", "/tenants/acme", 204},
		{"a suspended operator", auth.Principal{Roles: []string{"operator", "suspended"}}, "DELETE", "/tenants/acme", 403},
		{"a role by another name", auth.Principal{Roles: []string{`operator"`, "Operator"}}, "DELETE", "/tenants/acme", 403},
	} {
		c.caller.Issuer, c.caller.Subject = "test", c.name
		if got := serve(t, policies, c.caller, c.method, c.path); got.Code != c.status {
			t.Errorf("%s: %d %s", c.name, got.Code, got.Body)
		}
	}
}

// Cedar skips a policy that it cannot evaluate, and a forbid that is skipped forbids nothing.
func TestAPolicyThatCannotBeEvaluatedIsAnOutage(t *testing.T) {
	broken := append([]byte(`forbid (principal, action, resource) when { principal.risk > 5 };`), policies...)
	got := serve(t, broken, auth.Principal{Issuer: "test", Subject: "x", Roles: []string{"operator"}}, "DELETE", "/tenants/acme")
	if got.Code != 503 || strings.Contains(got.Body.String(), "risk") {
		t.Errorf("%d %s", got.Code, got.Body)
	}
	if _, err := newServer(accept(auth.Principal{}), []byte("permit (")); err == nil {
		t.Error("half a policy was read")
	}
}

func accept(p auth.Principal) auth.Authenticator {
	return auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) { return &p, nil })
}

func serve(t *testing.T, policies []byte, p auth.Principal, method, path string) *httptest.ResponseRecorder {
	t.Helper()
	h, err := newServer(accept(p), policies)
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, path, nil))
	return w
}

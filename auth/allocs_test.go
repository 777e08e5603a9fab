package auth_test

import (
	"net/http"
	"testing"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/rbac"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/raced"
)

// Tokens that are remembered have this test in package jwtauth.
func TestACheckAllocatesNothingAndAGateTwoThingsBesideTheExchange(t *testing.T) {
	if raced.Enabled {
		t.Skip("the race detector allocates for itself")
	}
	m := authtest.Keys(t)
	key := authtest.Key(t, m, apikey.Spec{Scopes: []string{"chat:write"}})
	roles, err := rbac.New(rbac.Config{Permissions: []string{"chat:write", "chat:read"}, Roles: map[string]rbac.Role{"user": {Allow: []string{"chat:*"}}}})
	if err != nil {
		t.Fatal(err)
	}
	may, err := roles.Permission("chat:write")
	if err != nil {
		t.Fatal(err)
	}
	g, err := auth.New(auth.Config{Authenticator: m, Scopes: []string{"chat:write"}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	request := func(credential string) *http.Request {
		return authtest.Request("POST", "/v1/chat/completions", "", authtest.Bearer(credential))
	}
	good, garbage, p := request(key), request("acme_test_x"), authtest.Principal(func(p *auth.Principal) { p.Roles = []string{"user"} })
	wrong := request(key[:len(key)-1] + map[bool]string{true: "1", false: "0"}[key[len(key)-1] == '0'])
	w := &sink{make(http.Header)}
	through := g.Handler(nop)
	exchangeOnly := testing.AllocsPerRun(100, func() {
		x, _, _ := exchange.Enter(w, good)
		x.Leave()
	})
	for _, c := range []struct {
		name string
		do   func() bool
		most float64
	}{
		{"the credential of a request", func() bool { c, err := auth.CredentialOf(good); return err == nil && c.Value == key }, 0},
		{"an API key", func() bool { _, err := m.Authenticate(good); return err == nil }, 0},
		{"an API key through Authenticate of a Gate", func() bool { _, err := g.Authenticate(good); return err == nil }, 0},
		{"garbage", func() bool { _, err := m.Authenticate(garbage); return err != nil }, 0},
		{"a key with a wrong sum", func() bool { _, err := m.Authenticate(wrong); return err != nil }, 0},
		{"a permission", func() bool { return may.Authorize(t.Context(), p, good) == nil }, 0},
		{"a whole request", func() bool { through.ServeHTTP(w, good); return true }, exchangeOnly + 2},
	} {
		if !c.do() {
			t.Errorf("%s: the wrong answer", c.name)
		}
		if n := testing.AllocsPerRun(100, func() { c.do() }); n > c.most {
			t.Errorf("%s: %v allocations; want at most %v", c.name, n, c.most)
		}
	}
}

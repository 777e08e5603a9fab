package rbac_test

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/rbac"
)

func config() rbac.Config {
	return rbac.Config{
		Permissions: []string{"chat:write", "files:read", "files:write", "files:meta:read", "filesystem:format", "sys", "sys:reboot", "sysadmin:login"},
		Roles: map[string]rbac.Role{
			"reader":  {Allow: []string{"files:read"}},
			"editor":  {Inherits: []string{"reader"}, Allow: []string{"files:*"}},
			"intern":  {Inherits: []string{"editor"}, Deny: []string{"files:write"}},
			"trainee": {Inherits: []string{"intern"}, Allow: []string{"files:write", "chat:write"}},
			"sysop":   {Allow: []string{"sys:*"}},
			"root":    {Allow: []string{"*"}},
			"suspect": {Deny: []string{"*"}},
			"nobody":  {},
		},
	}
}

func policy(t testing.TB, cfg rbac.Config) *rbac.Policy {
	t.Helper()
	p, err := rbac.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func permission(t testing.TB, p *rbac.Policy, name string) rbac.Permission {
	t.Helper()
	m, err := p.Permission(name)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWhatNoRoleAllowsIsDeniedAndWhatOneDeniesIsDenied(t *testing.T) {
	p := policy(t, config())
	for _, c := range []struct {
		name  string
		roles []string
		want  string
	}{
		{"no role", nil, ""},
		{"an empty role", []string{"nobody"}, ""},
		{"an unknown role", []string{"admin", "Reader", "reader ", ""}, ""},
		{"one permission", []string{"reader"}, "files:read"},
		{"inherited, and a wildcard", []string{"editor"}, "files:read files:write files:meta:read"},
		{"a wildcard stops at the colon", []string{"sysop"}, "sys:reboot"},
		{"denied over inherited", []string{"intern"}, "files:read files:meta:read"},
		{"denied over allowed, two steps down", []string{"trainee"}, "chat:write files:read files:meta:read"},
		{"denied by another role", []string{"editor", "intern"}, "files:read files:meta:read"},
		{"denied by a role that comes first", []string{"intern", "editor"}, "files:read files:meta:read"},
		{"everything", []string{"root"}, "chat:write files:read files:write files:meta:read filesystem:format sys sys:reboot sysadmin:login"},
		{"everything but", []string{"root", "intern"}, "chat:write files:read files:meta:read filesystem:format sys sys:reboot sysadmin:login"},
		{"nothing of everything", []string{"root", "suspect"}, ""},
		{"two roles", []string{"reader", "sysop"}, "files:read sys:reboot"},
	} {
		if got := p.Granted(c.roles...); !slices.Equal(got, strings.Fields(c.want)) {
			t.Errorf("%s: %q", c.name, got)
		}
	}
}

func TestAMistakeInThePolicyIsAnErrorAtTheStart(t *testing.T) {
	_, err := rbac.New(rbac.Config{
		Permissions: []string{"a:b", "a:b", "", "a b", "a:*", "a::b", ":a", `a"`},
		Roles: map[string]rbac.Role{
			"":      {},
			"typo":  {Allow: []string{"a:c"}, Deny: []string{"A:b"}, Inherits: []string{"ghost"}},
			"wild":  {Allow: []string{"a*", "*:b", "b:*", "a:**", "**"}},
			"self":  {Inherits: []string{"self"}},
			"one":   {Inherits: []string{"two"}},
			"two":   {Inherits: []string{"three"}},
			"three": {Inherits: []string{"two"}},
		},
	})
	for _, want := range []string{
		`"a:b" is there twice`, `"" is no name`, `"a b" is no name`, `"a:*" is no name`, `"a::b" is no name`, `":a" is no name`, `"a\"" is no name`, "Roles has an empty name",
		`Roles["typo"].Allow: there is no permission "a:c"`, `Roles["typo"].Deny: there is no permission "A:b"`, `Roles["typo"].Inherits: there is no role "ghost"`,
		`"a*": a wildcard`, `"*:b": a wildcard`, `"b:*" matches no permission`, `"a:**": a wildcard`, `"**": a wildcard`, "self -> self is a cycle", "two -> three -> two is a cycle",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in %v", want, err)
		}
	}
	if _, err := rbac.New(rbac.Config{}); err == nil || !strings.Contains(err.Error(), "Permissions is empty") || !strings.Contains(err.Error(), "Roles is empty") {
		t.Errorf("%v", err)
	}
	p := policy(t, config())
	for _, name := range []string{"files:delete", "", "files:*", "FILES:read"} {
		if m, err := p.Permission(name); err == nil || m != (rbac.Permission{}) {
			t.Errorf("%q: %v", name, m)
		}
	}
}

func TestADiamondIsNoCycle(t *testing.T) {
	p := policy(t, rbac.Config{Permissions: []string{"x", "y"}, Roles: map[string]rbac.Role{
		"top": {Inherits: []string{"left", "right"}}, "left": {Inherits: []string{"base"}}, "right": {Inherits: []string{"base"}, Allow: []string{"y"}}, "base": {Allow: []string{"x"}},
	}})
	if got := p.Granted("top"); !slices.Equal(got, []string{"x", "y"}) {
		t.Errorf("%q", got)
	}
}

// gofr-dev/gofr#3808: no match must not mean yes.
func TestTheGateAsksThePermission(t *testing.T) {
	p := policy(t, config())
	for _, c := range []struct {
		roles  []string
		status int
	}{{[]string{"editor"}, 200}, {[]string{"intern"}, 403}, {nil, 403}, {[]string{"unknown"}, 403}} {
		g, err := auth.New(auth.Config{
			Authenticator: authtest.Accept(authtest.Principal(func(p *auth.Principal) { p.Roles = c.roles })), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		w := httptest.NewRecorder()
		g.RequireAuthorizer(permission(t, p, "files:write")).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, httptest.NewRequest("PUT", "/", nil))
		if w.Code != c.status {
			t.Errorf("%q: %d", c.roles, w.Code)
		}
		w = httptest.NewRecorder()
		g.RequireAuthorizer(rbac.Permission{}).Handler(http.NotFoundHandler()).ServeHTTP(w, httptest.NewRequest("PUT", "/", nil))
		if w.Code != 403 {
			t.Errorf("the zero permission: %d", w.Code)
		}
	}
	if err := permission(t, p, "files:write").Authorize(t.Context(), nil, nil); !errors.Is(err, auth.ErrNoCredential) {
		t.Errorf("nobody: %v", err)
	}
	var none *rbac.Policy
	if _, err := none.Permission("x"); err == nil || none.Granted("root") != nil || (rbac.Permission{}).String() != "none" || permission(t, p, "sys").String() != "sys" {
		t.Error("a policy of nothing")
	}
}

func TestTheConfigIsNotKept(t *testing.T) {
	cfg := config()
	p := policy(t, cfg)
	cfg.Permissions[1] = "changed"
	cfg.Roles["reader"].Allow[0] = "sys"
	cfg.Roles["nobody"] = rbac.Role{Allow: []string{"*"}}
	if got := p.Granted("reader", "nobody"); !slices.Equal(got, []string{"files:read"}) {
		t.Errorf("%q", got)
	}
}

// FuzzPolicy: for every policy that compiles, each answer is that of an evaluator that follows names and inheritance one by one.
func FuzzPolicy(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18})
	f.Add([]byte("a policy out of letters, which has roles and permissions"))
	permissions := []string{"a", "a:b", "a:b:c", "ab:c", "b:a", "b:b"}
	patterns := append([]string{"*", "a:*", "a:b:*", "b:*", "ab:*"}, permissions...)
	names := []string{"p", "q", "r", "s", "t"}
	f.Fuzz(func(t *testing.T, data []byte) {
		next := func(n int) int {
			if len(data) == 0 {
				return 0
			}
			v := int(data[0]) % n
			data = data[1:]
			return v
		}
		cfg := rbac.Config{Permissions: permissions, Roles: map[string]rbac.Role{}}
		for _, name := range names {
			var r rbac.Role
			for range next(3) {
				r.Inherits = append(r.Inherits, names[next(len(names))])
			}
			for range next(3) {
				r.Allow = append(r.Allow, patterns[next(len(patterns))])
			}
			for range next(2) {
				r.Deny = append(r.Deny, patterns[next(len(patterns))])
			}
			cfg.Roles[name] = r
		}
		p, err := rbac.New(cfg)
		if err != nil {
			if !strings.Contains(err.Error(), "cycle") {
				t.Fatal(err)
			}
			return
		}
		matches := func(list []string, permission string) bool {
			return slices.ContainsFunc(list, func(pattern string) bool {
				return pattern == "*" || pattern == permission || strings.HasSuffix(pattern, ":*") && strings.HasPrefix(permission, pattern[:len(pattern)-1])
			})
		}
		var find func(role, permission string, list func(rbac.Role) []string) bool
		find = func(role, permission string, list func(rbac.Role) []string) bool {
			r := cfg.Roles[role]
			return matches(list(r), permission) || slices.ContainsFunc(r.Inherits, func(parent string) bool { return find(parent, permission, list) })
		}
		for i, one := range names {
			roles := []string{one, names[(i+1)%len(names)]}
			for _, permission := range permissions {
				any := func(list func(rbac.Role) []string) bool {
					return slices.ContainsFunc(roles, func(r string) bool { return find(r, permission, list) })
				}
				want := any(func(r rbac.Role) []string { return r.Allow }) && !any(func(r rbac.Role) []string { return r.Deny })
				if m, err := p.Permission(permission); err != nil || m.AllowedTo(roles) != want {
					t.Errorf("%+v: %q on %s: want %v", cfg.Roles, roles, permission, want)
				}
			}
		}
	})
}

// BenchmarkAllowedTo is a policy of 1,000 roles and 10,000 permissions in which every role inherits from the one before it in its ten.
func BenchmarkAllowedTo(b *testing.B) {
	cfg := rbac.Config{Roles: map[string]rbac.Role{}}
	for i := range 10_000 {
		cfg.Permissions = append(cfg.Permissions, fmt.Sprintf("service-%d:action-%d", i/100, i%100))
	}
	for i := range 1000 {
		r := rbac.Role{Allow: []string{fmt.Sprintf("service-%d:*", i/10)}, Deny: []string{cfg.Permissions[i]}}
		if i%10 > 0 {
			r.Inherits = []string{fmt.Sprintf("role-%d", i-1)}
		}
		cfg.Roles[fmt.Sprintf("role-%d", i)] = r
	}
	p := policy(b, cfg)
	m := permission(b, p, "service-50:action-50")
	for _, c := range []struct {
		name  string
		roles []string
		want  bool
	}{
		{"1-role", []string{"role-505"}, true},
		{"1-unknown-role", []string{"role-5050"}, false},
		{"5-roles", []string{"role-1", "role-20", "role-300", "role-505", "role-999"}, true},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if m.AllowedTo(c.roles) != c.want {
					b.Fatal(c.name)
				}
			}
		})
	}
	b.Run("bare-map-lookup", func(b *testing.B) { // what one role cannot cost less than
		roles := map[string]bool{}
		for name := range cfg.Roles {
			roles[name] = true
		}
		names := []string{"role-505"}
		b.ReportAllocs()
		for b.Loop() {
			if !roles[names[0]] {
				b.Fatal("gone")
			}
		}
	})
	b.Run("compile", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			policy(b, cfg)
		}
	})
}

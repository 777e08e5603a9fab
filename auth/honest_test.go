package auth_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/authtest"
)

func TestOnlySpacesSeparateScopes(t *testing.T) {
	p := authtest.Principal(authtest.Scopes("a", "b", "c"))
	for _, scope := range []string{"a\tb", "a\tb c", "a\u00a0b c", "a b\n"} {
		if err := auth.Authorize(p, scope); err == nil {
			t.Errorf("%q is taken apart", scope)
		}
		if _, err := auth.New(auth.Config{Authenticator: authtest.Accept(p), Scopes: []string{scope}}); err == nil || !strings.Contains(err.Error(), "scope-token") {
			t.Errorf("New takes %q: %v", scope, err)
		}
	}
	if err := auth.Authorize(p, " a  b ", "c"); err != nil {
		t.Error(err)
	}
}

// RFC 9111 section 3.5 keeps shared caches away from answers to an Authorization header, and to no other.
func TestAnAnswerToAKeyInAHeaderOfItsOwnIsForNoSharedCache(t *testing.T) {
	g := gate(t, authtest.Accept(authtest.Principal()))
	for name, c := range map[string]struct {
		credential, own, want string
	}{
		"X-Api-Key": {"X-Api-Key", "", "private"}, "api-key": {"Api-Key", "", "private"}, "something else": {"", "", "private"},
		"Authorization": {"Authorization", "", ""}, "an outer room's own word": {"X-Api-Key", "no-store", "no-store"},
	} {
		r := authtest.Request("GET", "/v1/models", "")
		if c.credential != "" {
			r.Header.Set(c.credential, "Bearer x")
		}
		w := httptest.NewRecorder()
		if c.own != "" {
			w.Header().Set("Cache-Control", c.own)
		}
		g.Handler(nop).ServeHTTP(w, r)
		if got := w.Header().Get("Cache-Control"); got != c.want {
			t.Errorf("%s: %q; want %q", name, got, c.want)
		}
	}
}

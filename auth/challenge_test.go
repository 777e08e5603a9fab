package auth_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/auth"
)

// parseChallenge is an independent reader of one challenge in the grammar of RFC 9110 sections 11.2 and 5.6: scheme, one space,
// then auth-params separated by a comma and blanks. It is stricter than clients are.
func parseChallenge(s string) (scheme string, params [][2]string, err error) {
	token := func() string {
		n := 0
		for n < len(s) && (s[n] >= 'a' && s[n] <= 'z' || s[n] >= 'A' && s[n] <= 'Z' || s[n] >= '0' && s[n] <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", s[n]) >= 0) {
			n++
		}
		t := s[:n]
		s = s[n:]
		return t
	}
	if scheme = token(); scheme == "" {
		return "", nil, errors.New("no scheme")
	}
	for first := true; s != ""; first = false {
		if !first {
			if s[0] != ',' {
				return "", nil, errors.New("no comma")
			}
			s = s[1:]
		}
		if s == "" || s[0] != ' ' {
			return "", nil, errors.New("no blank")
		}
		s = s[1:]
		name := token()
		if name == "" || !strings.HasPrefix(s, `="`) {
			return "", nil, errors.New("no parameter")
		}
		s = s[2:]
		var value strings.Builder
		for {
			if s == "" {
				return "", nil, errors.New("quotes left open")
			}
			c := s[0]
			s = s[1:]
			if c == '"' {
				break
			}
			if c == '\\' {
				if s == "" {
					return "", nil, errors.New("escape at the end")
				}
				c, s = s[0], s[1:]
			}
			if c < ' ' || c > '~' {
				return "", nil, errors.New("a character outside printable ASCII")
			}
			value.WriteByte(c)
		}
		params = append(params, [2]string{name, value.String()})
	}
	return scheme, params, nil
}

func TestChallengesAreQuotedStrictly(t *testing.T) {
	for _, c := range []struct {
		c    auth.Challenge
		want string
	}{
		{auth.Challenge{}, `Bearer`},
		{auth.Challenge{Realm: "api"}, `Bearer realm="api"`},
		{auth.Challenge{Scheme: "DPoP", Realm: "api", Error: "invalid_token"}, `DPoP realm="api", error="invalid_token"`},
		{auth.Challenge{Scheme: "Bearer x", Realm: "a"}, `Bearer realm="a"`},
		{auth.Challenge{Realm: `"`, Description: `\`}, `Bearer realm="\"", error_description="\\"`},
		{auth.Challenge{Realm: "a\r\nSet-Cookie: x=y"}, `Bearer realm="a??Set-Cookie: x=y"`},
		{auth.Challenge{Realm: "caf\u00e9\x00\xff"}, `Bearer realm="caf???"`},
		{auth.Challenge{Scopes: []string{"a", "b"}}, `Bearer scope="a b"`},
		{auth.Challenge{Scopes: []string{`a"`, "b c", "", "d\n", `e\`, "caf\u00e9", "ok"}}, `Bearer scope="ok"`},
		{auth.Challenge{Scopes: []string{`"`}}, `Bearer`},
	} {
		if got := c.c.String(); got != c.want {
			t.Errorf("%+v: %s, want %s", c.c, got, c.want)
		}
	}
}

// FuzzChallenge: whatever is put into a challenge, another parser reads exactly one challenge with exactly the parameters that
// were meant, and the values survive but for the characters a header cannot carry.
func FuzzChallenge(f *testing.F) {
	f.Add("Bearer", "api", "invalid_token", "The access token expired", "chat:write", "models:read")
	f.Add("", `a"b\c`, "e", "d\r\nX: y", `s"`, "s s")
	f.Add("Be arer", "\xff\x00", "", `", scope="admin`, "", "caf\u00e9")
	f.Fuzz(func(t *testing.T, scheme, realm, code, description, scope1, scope2 string) {
		c := auth.Challenge{Scheme: scheme, Realm: realm, Error: code, Description: description, Scopes: []string{scope1, scope2}}
		header := c.String()
		gotScheme, params, err := parseChallenge(header)
		if err != nil {
			t.Fatalf("%q: %v", header, err)
		}
		if gotScheme != scheme && gotScheme != "Bearer" {
			t.Errorf("scheme %q", gotScheme)
		}
		printable := func(s string) string {
			return strings.Map(func(r rune) rune {
				if r < ' ' || r > '~' {
					return '?'
				}
				return r
			}, s)
		}
		var want [][2]string
		for _, p := range [][2]string{{"realm", realm}, {"error", code}, {"error_description", description}} {
			if p[1] != "" {
				want = append(want, [2]string{p[0], printable(p[1])})
			}
		}
		var scopes []string
		for _, s := range []string{scope1, scope2} {
			if auth.ValidScope(s) {
				scopes = append(scopes, s)
			}
		}
		if len(scopes) > 0 {
			want = append(want, [2]string{"scope", strings.Join(scopes, " ")})
		}
		if len(params) != len(want) {
			t.Fatalf("%q: %q, want %q", header, params, want)
		}
		for i := range want {
			if params[i] != want[i] {
				t.Errorf("%q: %q, want %q", header, params[i], want[i])
			}
		}
	})
}

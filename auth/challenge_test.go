package auth_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

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
		{auth.Challenge{ResourceMetadata: "https://api.example/x"}, `Bearer resource_metadata="https://api.example/x"`},
		{auth.Challenge{Scheme: "DPoP", Algorithms: []string{"ES256", "a b", "EdDSA"}}, `DPoP algs="ES256 EdDSA"`},
		{auth.Challenge{ACRValues: []string{"urn:mace:silver", `x"`}, MaxAge: 90*time.Second + time.Millisecond}, `Bearer acr_values="urn:mace:silver", max_age="90"`},
		{auth.Challenge{MaxAge: time.Millisecond}, `Bearer max_age="1"`},
		{auth.Challenge{MaxAge: -time.Second}, `Bearer`},
	} {
		if got := c.c.String(); got != c.want {
			t.Errorf("%+v: %s, want %s", c.c, got, c.want)
		}
	}
}

// FuzzChallenge: whatever is put into a challenge, another parser reads exactly one challenge with exactly the parameters that
// were meant, and the values survive but for the characters a header cannot carry.
func FuzzChallenge(f *testing.F) {
	f.Add("Bearer", "api", "invalid_token", "The access token expired", "chat:write", "models:read", "https://api.example/.well-known/x", 60)
	f.Add("", `a"b\c`, "e", "d\r\nX: y", `s"`, "s s", `", error="x`, -1)
	f.Add("Be arer", "\xff\x00", "", `", scope="admin`, "", "caf\u00e9", "\\", 0)
	f.Add("DPoP", "", "use_dpop_nonce", "", "ES256", "EdDSA", "", 1<<31-1)
	f.Fuzz(func(t *testing.T, scheme, realm, code, description, scope1, scope2, metadata string, age int) {
		list := []string{scope1, scope2}
		age = int(max(min(int64(age), 1<<31-1), -1<<31)) // a time.Duration of seconds ends at 292 years
		c := auth.Challenge{
			Scheme: scheme, Realm: realm, Error: code, Description: description, Scopes: list, ResourceMetadata: metadata, ACRValues: list,
			MaxAge: time.Duration(age) * time.Second, Algorithms: list,
		}
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
		several := strings.Join(scopes, " ")
		seconds := ""
		if age > 0 {
			seconds = strconv.Itoa(age)
		}
		for _, p := range [][2]string{{"scope", several}, {"resource_metadata", metadata}, {"acr_values", several}, {"max_age", seconds}, {"algs", several}} {
			if p[1] != "" {
				want = append(want, [2]string{p[0], printable(p[1])})
			}
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

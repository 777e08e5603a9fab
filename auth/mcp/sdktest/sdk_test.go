package sdktest

import (
	"slices"
	"strings"
	"testing"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/mantlet-go/mantlet/auth"
)

// call calls a tool and returns the text of its answer.
func call(t *testing.T, s *sdk.ClientSession, tool string) (string, error) {
	t.Helper()
	r, err := s.CallTool(t.Context(), &sdk.CallToolParams{Name: tool, Arguments: map[string]any{}})
	if err != nil {
		return "", err
	}
	return r.Content[0].(*sdk.TextContent).Text, nil
}

// Discovery, 401, token, 403 insufficient_scope, step-up: nothing but the server's URL is given to the client.
func TestTheOfficialClientFindsItsWayFromNothingToTheLastScope(t *testing.T) {
	x := newWorld(t, nil)
	s, err := x.connect(t)
	if err != nil {
		t.Fatal(err)
	}
	if got := x.scopes(); !slices.Equal(got, []string{"files:read"}) {
		t.Errorf("asked for %q", got)
	}
	if got := x.take(); got[0] != 401 || slices.Contains(got[1:], 401) {
		t.Errorf("statuses %v", got)
	}
	if want := []string{"/.well-known/oauth-protected-resource/public/mcp"}; !slices.Equal(x.fetched, want) {
		t.Errorf("fetched %q", x.fetched)
	}

	text, err := call(t, s, "read")
	if err != nil || !strings.HasSuffix(text, " alice") {
		t.Errorf("read: %q, %v", text, err)
	}
	if got := x.take(); !slices.Equal(got, []int{200}) {
		t.Errorf("read: statuses %v", got)
	}

	text, err = call(t, s, "write")
	if err != nil || !strings.HasSuffix(text, " alice") {
		t.Errorf("write: %q, %v", text, err)
	}
	if got := x.take(); !slices.Equal(got, []int{403, 200}) {
		t.Errorf("write: statuses %v", got)
	}
	if got := x.scopes(); !slices.Equal(got, []string{"files:read", "files:read files:write"}) {
		t.Errorf("step-up: asked for %q", got)
	}

	// A tool that no scope opens: the client does not ask its user in vain.
	if _, err := call(t, s, "hidden"); err == nil {
		t.Error("hidden: called")
	}
	if got := x.scopes(); len(got) != 2 {
		t.Errorf("hidden: asked for %q", got)
	}
}

func TestTheClientFindsTheDocumentWithoutTheHeaderToo(t *testing.T) {
	x := newWorld(t, func(c *auth.Config) { c.ResourceMetadata = "" })
	s, err := x.connect(t)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := call(t, s, "read"); err != nil {
		t.Error(err)
	}
	if got := x.scopes(); !slices.Equal(got, []string{"files:read"}) { // of scopes_supported
		t.Errorf("asked for %q", got)
	}
}

func TestTheAdvertisedScopesAreWhatTheClientAsksFor(t *testing.T) {
	x := newWorld(t, func(c *auth.Config) { c.ChallengeScopes = []string{"files:read", "files:write"} })
	s, err := x.connect(t)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := call(t, s, "write"); err != nil {
		t.Error(err)
	}
	if got := x.scopes(); !slices.Equal(got, []string{"files:read files:write"}) {
		t.Errorf("asked for %q", got)
	}
}

func TestARevokedTokenMakesTheClientAskForAnother(t *testing.T) {
	x := newWorld(t, nil)
	s, err := x.connect(t)
	if err != nil {
		t.Fatal(err)
	}
	x.take()
	x.as.do(func() {
		for token := range x.as.tokens {
			x.as.revoked[token] = true
		}
	})
	if _, err := call(t, s, "read"); err != nil {
		t.Error(err)
	}
	if got := x.take(); !slices.Equal(got, []int{401, 200}) {
		t.Errorf("statuses %v", got)
	}
	if got := x.scopes(); len(got) != 2 {
		t.Errorf("asked for %q", got)
	}
}

// stacklok/toolhive#4722: a 401 during an outage makes clients throw good tokens away and ask their users to log in.
func TestAnOutageDoesNotSendTheUserToLogIn(t *testing.T) {
	x := newWorld(t, nil)
	s, err := x.connect(t)
	if err != nil {
		t.Fatal(err)
	}
	x.take()
	x.as.do(func() { x.as.down = true })
	if _, err := call(t, s, "read"); err == nil {
		t.Error("called during the outage")
	}
	if got := x.take(); len(got) == 0 || slices.ContainsFunc(got, func(s int) bool { return s != 503 }) {
		t.Errorf("statuses %v", got)
	}
	if got := x.scopes(); len(got) != 1 {
		t.Errorf("asked for %q", got)
	}
}

func TestATokenForAnotherResourceIsRefused(t *testing.T) {
	x := newWorld(t, nil)
	s, err := x.connect(t)
	if err != nil {
		t.Fatal(err)
	}
	x.take()
	x.as.do(func() {
		for _, q := range x.as.tokens {
			q.Set("resource", x.endpoint+"/") // not this API, though nearly
		}
	})
	if _, err := call(t, s, "read"); err != nil {
		t.Error(err)
	}
	if got := x.take(); !slices.Equal(got, []int{401, 200}) { // the second with a token of its own
		t.Errorf("statuses %v", got)
	}
}

// FuzzTheSDKReadsOurChallenges: whatever is put into a challenge, the client's own parser reads one challenge with the parameters that
// were meant. It takes an escaped backslash before a quotation mark for an escaped quotation mark, so backslashes are left out.
func FuzzTheSDKReadsOurChallenges(f *testing.F) {
	f.Add("api", "invalid_token", "The access token expired", "files:read", "https://api.example/.well-known/oauth-protected-resource", 60)
	f.Add(`a"b`, "", `x", scope="admin`, `s"`, "", 0)
	f.Add("a, Basic realm=x", "e", "\r\nX: y", "s", "u=v", -1)
	f.Fuzz(func(t *testing.T, realm, code, description, scope, metadata string, age int) {
		for _, s := range []*string{&realm, &code, &description, &metadata} {
			*s = strings.ReplaceAll(*s, `\`, "/")
		}
		c := auth.Challenge{
			Scheme: "DPoP", Realm: realm, Error: code, Description: description, Scopes: []string{scope}, ResourceMetadata: metadata, MaxAge: time.Duration(age%1000) * time.Second, Algorithms: []string{"ES256"},
		}
		got, err := oauthex.ParseWWWAuthenticate([]string{c.String(), "Bearer"})
		if err != nil {
			t.Fatalf("%s: %v", c, err)
		}
		if len(got) != 2 || got[0].Scheme != "dpop" || got[1].Scheme != "bearer" {
			t.Fatalf("%s: %+v", c, got)
		}
		want := map[string]string{"algs": "ES256"}
		for name, value := range map[string]string{"realm": realm, "error": code, "error_description": description, "resource_metadata": metadata} {
			if value != "" {
				want[name] = strings.Map(func(r rune) rune {
					if r < ' ' || r > '~' {
						return '?'
					}
					return r
				}, value)
			}
		}
		if auth.ValidScope(scope) {
			want["scope"] = scope
		}
		params := got[0].Params
		delete(params, "max_age")
		if len(params) != len(want) {
			t.Fatalf("%s: %q, want %q", c, params, want)
		}
		for name, value := range want {
			if params[name] != value {
				t.Errorf("%s: %s is %q, want %q", c, name, params[name], value)
			}
		}
	})
}

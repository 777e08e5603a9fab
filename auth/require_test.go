package auth_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/memhttp"
)

const metadataURL = "https://api.example/.well-known/oauth-protected-resource/mcp"

// named is an authenticator with challenges of its own.
type named struct {
	auth.Authenticator
	list []auth.Challenge
}

func (n named) Challenges() []auth.Challenge { return n.list }

func (n named) Announce(h http.Header, r *http.Request) { h.Add("X-Announced", n.list[0].Scheme) }

func challenges(t *testing.T, w interface{ Header() http.Header }) (list []string) {
	t.Helper()
	for _, line := range w.Header().Values("WWW-Authenticate") {
		if _, _, err := parseChallenge(line); err != nil {
			t.Errorf("%s: %v", line, err)
		}
		list = append(list, line)
	}
	return list
}

func TestEverySchemeGetsOneChallengeLine(t *testing.T) {
	dpop := named{authtest.Refuse(auth.ErrNoCredential), []auth.Challenge{{Scheme: "DPoP", Algorithms: []string{"ES256"}}, {Scheme: "bearer"}}}
	bad := named{authtest.Refuse(auth.ErrInvalid), dpop.list}
	keys := authtest.Refuse(auth.ErrNoCredential)
	set := func(v string) func(*http.Request) { return func(r *http.Request) { r.Header.Set("Authorization", v) } }
	for _, c := range []struct {
		name string
		a    auth.Authenticator
		set  func(*http.Request)
		want []string
	}{
		{"no challenger", keys, set(""), []string{`Bearer realm="api"`}},
		{"a challenger", dpop, set(""), []string{`DPoP realm="api", algs="ES256"`, `bearer realm="api"`}},
		{"keys first", auth.AnyOf(keys, dpop), set(""), []string{`Bearer realm="api"`, `DPoP realm="api", algs="ES256"`}},
		{"nested", auth.AnyOf(auth.AnyOf(keys), auth.AnyOf(dpop, keys)), set(""), []string{`Bearer realm="api"`, `DPoP realm="api", algs="ES256"`}},
		{"the error goes to the scheme used: DPoP", auth.AnyOf(keys, bad), set("dpop x"), []string{`Bearer realm="api"`, `DPoP realm="api", error="invalid_token", algs="ES256"`}},
		{"the error goes to the scheme used: Bearer", auth.AnyOf(keys, bad), set("Bearer x"), []string{`Bearer realm="api", error="invalid_token"`, `DPoP realm="api", algs="ES256"`}},
		{"the error goes to the scheme used: Bearer behind another", bad, set("Bearer x"), []string{`DPoP realm="api", algs="ES256"`, `bearer realm="api", error="invalid_token"`}},
		{"a scheme nobody offers", authtest.Refuse(auth.ErrInvalid), set("DPoP x"), []string{`Bearer realm="api", error="invalid_token"`}},
	} {
		w, ran := serve(gate(t, c.a).Handler, authtest.Request("GET", "/", "", c.set))
		if got := challenges(t, w); ran || strings.Join(got, "|") != strings.Join(c.want, "|") {
			t.Errorf("%s: %q", c.name, got)
		}
		if c.name == "nested" && w.Header().Get("X-Announced") != "DPoP" {
			t.Errorf("nobody announced: %v", w.Header())
		}
	}
}

// MCP 2025-11-25: 401 and 403 carry resource_metadata and scope, 503 no challenge at all (stacklok/toolhive#4722,
// modelcontextprotocol/go-sdk#1134).
func TestChallengesOfAProtectedResourceSayWhereAndWhatToAskFor(t *testing.T) {
	meta := ` resource_metadata="` + metadataURL + `"`
	lacks := authtest.Accept(authtest.Principal(authtest.Scopes("files:read")))
	for _, c := range []struct {
		name   string
		cfg    auth.Config
		status int
		want   string
	}{
		{"no token", auth.Config{Authenticator: authtest.Refuse(auth.ErrNoCredential)}, 401, `Bearer realm="api", scope="files:read files:write",` + meta},
		{"a bad token", auth.Config{Authenticator: authtest.Refuse(auth.ErrInvalid)}, 401, `Bearer realm="api", error="invalid_token", scope="files:read files:write",` + meta},
		{"a missing scope", auth.Config{Authenticator: lacks}, 403, `Bearer realm="api", error="insufficient_scope", scope="files:read files:write",` + meta},
		{"advertised is not enforced", auth.Config{Authenticator: authtest.Refuse(auth.ErrNoCredential), ChallengeScopes: []string{"files:all"}}, 401, `Bearer realm="api", scope="files:all",` + meta},
		{"nothing advertised", auth.Config{Authenticator: authtest.Refuse(auth.ErrNoCredential), ChallengeScopes: []string{}}, 401, `Bearer realm="api",` + meta},
		{"an outage", auth.Config{Authenticator: authtest.Refuse(auth.ErrUnavailable)}, 503, ""},
		{"another address", auth.Config{Authenticator: authtest.Refuse(auth.ErrAddressNotAllowed)}, 403, ""},
	} {
		c.cfg.ResourceMetadata, c.cfg.Scopes, c.cfg.Logger = metadataURL, []string{"files:read", "files:write"}, quiet
		g, err := auth.New(c.cfg)
		if err != nil {
			t.Fatal(err)
		}
		w, ran := serve(g.Handler, authtest.Request("POST", "/mcp", "{}"))
		if got := strings.Join(challenges(t, w), "|"); ran || w.Code != c.status || got != c.want {
			t.Errorf("%s: %d %s", c.name, w.Code, got)
		}
		if (w.Header().Get("Retry-After") != "") != (c.status == 503) {
			t.Errorf("%s: Retry-After %q", c.name, w.Header().Get("Retry-After"))
		}
	}
}

func TestTheMetadataURLMustBeOneThatClientsMayFollow(t *testing.T) {
	for s, ok := range map[string]bool{
		"": true, metadataURL: true, "http://127.0.0.1:8080/x": true, "http://localhost/x": true, "http://[::1]/x": true,
		"http://api.example/x": false, "/x": false, "api.example/x": false, "javascript:alert(1)": false, "https://u@api.example/": false,
		"https://api.example/#f": false, "https://api.example/\r\nX: y": false, "https://api.example/caf\u00e9": false, "https:///x": false, "http://localhost.evil.example/": false,
	} {
		_, err := auth.New(auth.Config{Authenticator: authtest.Refuse(nil), ResourceMetadata: s})
		if (err == nil) != ok {
			t.Errorf("%q: %v", s, err)
		}
	}
	if _, err := auth.New(auth.Config{Authenticator: authtest.Refuse(nil), ChallengeScopes: []string{`a"b`}}); err == nil {
		t.Error("a scope that ends its quotes")
	}
}

func TestOneOfTheAlternativesIsEnough(t *testing.T) {
	base := gate(t, authtest.Accept(authtest.Principal(authtest.Scopes("a", "b"))), "a")
	for _, c := range []struct {
		g     *auth.Gate
		scope string
	}{
		{base.RequireAny("b"), ""}, {base.RequireAny("x", "b"), ""}, {base.RequireAny("a b"), ""}, {base.RequireAny("x", "a b"), ""},
		{base.RequireAny("b x", "y"), "a b x"}, {base.RequireAny("x", "y"), "a x"}, {base.RequireAny("B"), "a B"}, {base.RequireAny("b").RequireAny("x"), "a x"},
		{base.RequireAny("x").Require("b"), "a b x"}, // what is demanded later is told too
		{base.RequireAny(), "-"}, {base.RequireAny(""), "-"}, {base.RequireAny(" ", ""), "-"},
	} {
		w, ran := serve(c.g.Handler, authtest.Request("GET", "/", ""))
		if ran != (c.scope == "") || !ran && w.Code != 403 {
			t.Errorf("%q: ran %v, %d", c.scope, ran, w.Code)
		}
		if len(c.scope) > 1 && !strings.Contains(w.Header().Get("WWW-Authenticate"), `scope="`+c.scope+`"`) {
			t.Errorf("%q: %s", c.scope, w.Header())
		}
	}
	if _, ran := serve(base.Handler, authtest.Request("GET", "/", "")); !ran {
		t.Error("RequireAny changed its gate")
	}
}

// SEP-2350: the scopes of one operation.
func TestTheRequestDecidesWhichScopesItNeeds(t *testing.T) {
	g := gate(t, authtest.Accept(authtest.Principal(authtest.Scopes("a", "read"))), "a").RequireFunc(func(r *http.Request) []string {
		if r.Method == "GET" {
			return []string{"read"}
		}
		return []string{"read write"}
	})
	for method, want := range map[string]int{"GET": 200, "POST": 403} {
		w, _ := serve(g.Handler, authtest.Request(method, "/", ""))
		if w.Code != want || want == 403 && !strings.Contains(w.Header().Get("WWW-Authenticate"), `scope="a read write"`) {
			t.Errorf("%s: %d %v", method, w.Code, w.Header())
		}
	}
	if w, _ := serve(g.RequireFunc(nil).Handler, authtest.Request("GET", "/", "")); w.Code != 503 {
		t.Errorf("nobody can say: %d", w.Code)
	}
}

func TestTheBodyDecidesWhichScopesItNeeds(t *testing.T) {
	g := gate(t, authtest.Accept(authtest.Principal(authtest.Scopes("a", "read"))), "a")
	needs := func(_ *http.Request, body []byte) ([]string, error) {
		switch string(body) {
		case "read", "write":
			return []string{string(body)}, nil
		case "never":
			return nil, auth.ErrPermissionDenied
		case "broken":
			return nil, errors.New("secret detail")
		}
		return nil, nil
	}
	wrap := func(h http.Handler) http.Handler { return g.Handler(g.BodyScopesHandler(needs, h)) }
	for body, want := range map[string]int{"": 200, "read": 200, "write": 403, "never": 403, "broken": 503, strings.Repeat("x", 5<<20): 413} {
		w, ran := serve(wrap, authtest.Request("POST", "/", body))
		if w.Code != want || ran != (want == 200) || ran && w.Body.String() != body || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%.10q: ran %v, %d %.80s", body, ran, w.Code, w.Body)
		}
		if got := w.Header().Get("WWW-Authenticate"); (body == "write") != strings.Contains(got, `scope="a write"`) {
			t.Errorf("%.10q: %s", body, got)
		}
	}
	if w, ran := serve(func(h http.Handler) http.Handler { return g.BodyScopesHandler(needs, h) }, authtest.Request("POST", "/", "")); ran || w.Code != 401 {
		t.Errorf("nobody: %d", w.Code)
	}
	var zero auth.Gate
	if w, ran := serve(func(h http.Handler) http.Handler { return zero.BodyScopesHandler(needs, h) }, authtest.Request("POST", "/", "")); ran || w.Code != 503 {
		t.Errorf("a zero gate: %d", w.Code)
	}
	for name, f := range map[string]func(){"no needs": func() { g.BodyScopesHandler(nil, http.NotFoundHandler()) }, "no next": func() { g.BodyScopesHandler(needs, nil) }} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: made", name)
				}
			}()
			f()
		}()
	}
}

// RFC 9470.
func TestStepUpIsAskedForWhenTheAuthenticationIsWeakOrOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		now := time.Now()
		at := func(acr string, ago time.Duration) *auth.Gate {
			return gate(t, authtest.Accept(authtest.Principal(func(p *auth.Principal) { p.ACR, p.AuthTime = acr, now.Add(-ago) })))
		}
		never := gate(t, authtest.Accept(authtest.Principal()))
		for _, c := range []struct {
			name string
			g    *auth.Gate
			want string // "" for let in
		}{
			{"strong and fresh", at("gold", time.Minute).RequireAuthentication(time.Hour, "gold", "silver"), ""},
			{"the second choice", at("silver", time.Minute).RequireAuthentication(0, "gold", "silver"), ""},
			{"exactly the age", at("gold", time.Hour).RequireAuthentication(time.Hour), ""},
			{"too old", at("gold", time.Hour+1).RequireAuthentication(time.Hour), `max_age="3600"`},
			{"too weak", at("bronze", 0).RequireAuthentication(0, "gold", "silver"), `acr_values="gold silver"`},
			{"both", at("Gold", time.Hour).RequireAuthentication(time.Minute, "gold"), `acr_values="gold", max_age="60"`},
			{"no time", never.RequireAuthentication(time.Hour), `max_age="3600"`},
			{"no time, however patient", never.RequireAuthentication(math.MaxInt64), `max_age="9223372036"`},
			{"no acr", never.RequireAuthentication(0, "gold"), `acr_values="gold"`},
			{"an empty acr is nobody's", never.RequireAuthentication(0, ""), ``},
			{"a negative age", at("gold", 0).RequireAuthentication(-1), ``},
			{"a negative age, ahead", at("gold", -1000*time.Hour).RequireAuthentication(-1), ``},
			{"ahead, as clocks may be", at("gold", -time.Minute).RequireAuthentication(time.Second), ""},
			{"in the future", at("gold", -time.Minute-1).RequireAuthentication(time.Second), `max_age="1"`},
			{"two demands, the second unmet", at("gold", 0).RequireAuthentication(0, "gold").RequireAuthentication(0, "platinum"), `acr_values="platinum"`},
		} {
			w, ran := serve(c.g.Handler, authtest.Request("GET", "/", ""))
			letIn := c.want == "" && c.name != "an empty acr is nobody's" && !strings.HasPrefix(c.name, "a negative age")
			if ran != letIn {
				t.Errorf("%s: ran %v", c.name, ran)
			}
			if letIn {
				continue
			}
			want := `Bearer realm="api", error="insufficient_user_authentication"`
			if c.want != "" {
				want += ", " + c.want
			}
			if w.Code != 401 || code(t, w) != "insufficient_user_authentication" || w.Header().Get("WWW-Authenticate") != want {
				t.Errorf("%s: %d %s", c.name, w.Code, w.Header().Get("WWW-Authenticate"))
			}
		}
	})
}

func TestAnAuthorizerThatCannotDecideRefuses(t *testing.T) {
	ok := authtest.Accept(authtest.Principal())
	for _, c := range []struct {
		name   string
		a      auth.Authorizer
		status int
	}{
		{"yes", auth.AuthorizerFunc(func(_ context.Context, p *auth.Principal, r *http.Request) error {
			if p.Subject != "alice" || r.URL.Path != "/x" {
				return errors.New("wrong question")
			}
			return nil
		}), 200},
		{"no", auth.AuthorizerFunc(func(context.Context, *auth.Principal, *http.Request) error {
			return fmt.Errorf("policy 7: %w", auth.ErrPermissionDenied)
		}), 403},
		{"an Error", auth.AuthorizerFunc(func(context.Context, *auth.Principal, *http.Request) error {
			return &auth.Error{Code: auth.CodeStepUp, Err: auth.ErrStepUp}
		}), 401},
		{"an outage", auth.AuthorizerFunc(func(context.Context, *auth.Principal, *http.Request) error {
			return errors.New("dial tcp 10.0.0.7: refused")
		}), 503},
		{"an error that happens to wrap invalid", auth.AuthorizerFunc(func(context.Context, *auth.Principal, *http.Request) error {
			return fmt.Errorf("x: %w", auth.ErrInvalid)
		}), 503},
		{"cancelled", auth.AuthorizerFunc(func(ctx context.Context, _ *auth.Principal, _ *http.Request) error { return context.Canceled }), 503},
		{"none", nil, 503},
		{"a nil function", auth.AuthorizerFunc(nil), 503},
	} {
		w, ran := serve(gate(t, ok).RequireAuthorizer(c.a).Handler, authtest.Request("GET", "/x", ""))
		if w.Code != c.status || ran != (c.status == 200) || strings.Contains(w.Body.String(), "10.0.0.7") || strings.Contains(w.Body.String(), "policy 7") {
			t.Errorf("%s: ran %v, %d %s", c.name, ran, w.Code, w.Body)
		}
		if c.status == 403 && (code(t, w) != "permission_denied" || w.Header().Get("WWW-Authenticate") != "") {
			t.Errorf("%s: %s %v", c.name, w.Body, w.Header())
		}
	}
}

func TestRulesAddUpAndAGateOfNothingStaysClosed(t *testing.T) {
	yes := auth.AuthorizerFunc(func(context.Context, *auth.Principal, *http.Request) error { return nil })
	var none *auth.Gate
	for name, g := range map[string]*auth.Gate{
		"nil": none.RequireAny("a"), "zero": new(auth.Gate).RequireAuthorizer(yes), "nil func": none.RequireFunc(nil), "nil age": none.RequireAuthentication(0),
	} {
		if _, err := g.Authenticate(authtest.Request("GET", "/", "")); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// Three rules: a list that grows by appending has room for a fourth.
	base := gate(t, authtest.Accept(authtest.Principal(authtest.Scopes("a", "b")))).RequireAny("a").RequireAny("a").RequireAny("a")
	left, right := base.RequireAny("b"), base.RequireAny("x") // siblings must not share the memory of their parent's list
	if _, err := left.Authenticate(authtest.Request("GET", "/", "")); err != nil {
		t.Error(err)
	}
	if _, err := right.Authenticate(authtest.Request("GET", "/", "")); !errors.Is(err, auth.ErrInsufficientScope) {
		t.Error(err)
	}
}

func TestADPoPTokenIsNoBearerToken(t *testing.T) {
	r := authtest.Request("GET", "/", "")
	for v, want := range map[string]auth.Credential{
		"DPoP x": {Source: auth.SourceDPoP, Value: "x"}, "dpop  x": {Source: auth.SourceDPoP, Value: "x"}, "DPoP": {}, "DPoP ": {}, "DPoPx y": {Source: auth.SourceOther},
	} {
		r.Header.Set("Authorization", v)
		if c, err := auth.CredentialOf(r); err != nil || c != want {
			t.Errorf("%q: %v, %v", v, c, err)
		}
	}
	r.Header.Set("Authorization", "DPoP "+authtest.Key(t, authtest.Keys(t), apikey.Spec{}))
	if p, err := authtest.Keys(t).Authenticate(r); p != nil || !errors.Is(err, auth.ErrNoCredential) {
		t.Errorf("%v, %v", p, err)
	}
	if c := (auth.Confirmation{JKT: "x"}); c.IsZero() || !(auth.Confirmation{}).IsZero() {
		t.Error("IsZero")
	}
}

// What leaves on the wire, in both versions of HTTP: one header line for each scheme, and two credentials are two also where a client
// library would have folded them.
func TestOverTheWireOfBothVersionsOfHTTP(t *testing.T) {
	two := named{authtest.Refuse(auth.ErrNoCredential), []auth.Challenge{{Scheme: "DPoP", Algorithms: []string{"ES256"}}, {Scheme: "Bearer"}}}
	h := gate(t, auth.AnyOf(two, authtest.Keys(t))).Handler(http.NotFoundHandler())
	for name, opts := range map[string][]memhttp.Option{"HTTP/1.1": nil, "HTTP/2": {memhttp.HTTP2()}} {
		s := memhttp.New(t, h, opts...)
		for path, header := range map[string]http.Header{
			"/": nil, "//": nil, "/a/../b": nil, "/%2e%2e/": nil, "/a%2Fb": nil, "/?access_token=x": nil, "/two": {"Authorization": {"Bearer a", "Bearer b"}}, "/both": {"Authorization": {"DPoP a"}, "Api-Key": {"b"}},
		} {
			r, err := http.NewRequest("GET", s.URL+path, nil) // the client sends a path as it is
			if err != nil {
				t.Fatal(err)
			}
			if header != nil {
				r.Header = header
			}
			resp, err := s.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			want := 401
			if header != nil {
				want = 400
			}
			if got := resp.Header.Values("WWW-Authenticate"); resp.StatusCode != want || len(got) != 2 || !strings.HasPrefix(got[0], "DPoP ") || !strings.HasPrefix(got[1], "Bearer ") {
				t.Errorf("%s %s: %d %q", name, path, resp.StatusCode, got)
			}
		}
	}
}

// A blank scope is a table without an entry or a variable that was not set. It must not open what it stands before.
func TestABlankScopeIsMetByNobody(t *testing.T) {
	p := authtest.Principal(authtest.Scopes("a", "read"))
	g := gate(t, authtest.Accept(p), "a")
	for _, blank := range []string{"", " ", "   ", "\t", " \t "} {
		for _, scopes := range [][]string{{blank}, {"read", blank}, {blank, "read"}} {
			body := func(h http.Handler) http.Handler {
				return g.Handler(g.BodyScopesHandler(func(*http.Request, []byte) ([]string, error) { return scopes, nil }, h))
			}
			for name, wrap := range map[string]func(http.Handler) http.Handler{
				"Require": g.Require(scopes...).Handler, "RequireFunc": g.RequireFunc(func(*http.Request) []string { return scopes }).Handler, "BodyScopesHandler": body,
				"RequireAny": g.RequireAny(blank).Handler,
			} {
				if w, ran := serve(wrap, authtest.Request("POST", "/", "{}")); ran || w.Code != 403 || code(t, w) != "insufficient_scope" {
					t.Errorf("%s(%q): ran %v, %d", name, scopes, ran, w.Code)
				}
			}
			if err := auth.Authorize(p, scopes...); !errors.Is(err, auth.ErrInsufficientScope) {
				t.Errorf("Authorize(%q): %v", scopes, err)
			}
			if _, err := auth.New(auth.Config{Authenticator: authtest.Accept(p), Scopes: scopes}); err == nil || !strings.Contains(err.Error(), "Config.Scopes") {
				t.Errorf("Config.Scopes %q: %v", scopes, err)
			}
		}
	}
	if err := auth.Authorize(p, " a  read "); err != nil {
		t.Error(err)
	}
}

// Some room outside made the exchange; what stands between it and the Gate named another caller, or none.
func TestAGateHasTheLastWordInsideANewContext(t *testing.T) {
	p := authtest.Principal(func(p *auth.Principal) { p.Subject = "mallory" }, authtest.Models("cheap"))
	g := gate(t, authtest.Accept(p))
	for _, other := range []*auth.Principal{nil, authtest.Principal(func(p *auth.Principal) { p.Subject = "admin" })} {
		for _, room := range []bool{false, true} {
			var seen *auth.Principal
			var h http.Handler = g.Handler(g.ModelHandler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { seen, _ = auth.FromContext(r.Context()) })))
			inner := h
			h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				inner.ServeHTTP(w, r.WithContext(auth.NewContext(r.Context(), other)))
			})
			if room {
				middle := h
				h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					x, w, r := exchange.Enter(w, r)
					defer x.Leave()
					middle.ServeHTTP(w, r)
					if c, ok := x.Caller(); !ok || c.Subject != "mallory" {
						t.Errorf("the room outside sees %v", c)
					}
				})
			}
			for model, want := range map[string]int{"cheap": 200, "expensive": 403} {
				seen = nil
				w := httptest.NewRecorder()
				h.ServeHTTP(w, authtest.Request("POST", "/v1/chat/completions", `{"model":"`+model+`"}`))
				if w.Code != want || want == 200 && seen != p {
					t.Errorf("NewContext(%v), a room outside %v, %s: %d, as %v", other, room, model, w.Code, seen)
				}
			}
		}
	}
}

// {"model":"cheap","x":"&model=expensive&"} is JSON for us, and a form with another model for who believes the Content-Type.
func TestABodyThatIsNotSaidToBeJSONNamesNoModel(t *testing.T) {
	g := gate(t, authtest.Accept(authtest.Principal(authtest.Models("cheap"))))
	free := gate(t, authtest.Accept(authtest.Principal()))
	for _, c := range []struct {
		types []string
		want  int
	}{
		{[]string{"application/json"}, 200},
		{[]string{"Application/JSON; charset=utf-8"}, 200},
		{[]string{"application/vnd.example+json"}, 200},
		{[]string{"application/x-www-form-urlencoded"}, 403},
		{[]string{"multipart/form-data; boundary=x"}, 403},
		{[]string{"text/plain"}, 403},
		{[]string{"application/json", "application/x-www-form-urlencoded"}, 403},
		{[]string{"application/json, application/x-www-form-urlencoded"}, 403},
		{[]string{""}, 403},
		{nil, 403},
	} {
		for gate, want := range map[*auth.Gate]int{g: c.want, free: 200} {
			r := authtest.Request("POST", "/v1/audio/translations", `{"model":"cheap","x":"&model=expensive&"}`)
			r.Header["Content-Type"] = c.types
			w, ran := serve(func(h http.Handler) http.Handler { return gate.Handler(gate.ModelHandler(h)) }, r)
			if w.Code != want || ran != (want == 200) {
				t.Errorf("%q: %d, want %d", c.types, w.Code, want)
			}
		}
	}
}

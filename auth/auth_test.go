package auth_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/jwtauth"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func gate(t testing.TB, a auth.Authenticator, scopes ...string) *auth.Gate {
	t.Helper()
	g, err := auth.New(auth.Config{Authenticator: a, Scopes: scopes, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// serve runs h behind wrap and reports whether h ran.
func serve(wrap func(http.Handler) http.Handler, r *http.Request) (w *httptest.ResponseRecorder, ran bool) {
	w = httptest.NewRecorder()
	wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ran = true
		io.Copy(w, r.Body)
	})).ServeHTTP(w, r)
	return w, ran
}

// code returns the machine code of an OpenAI error body.
func code(t testing.TB, w *httptest.ResponseRecorder) string {
	t.Helper()
	var body struct {
		Error struct{ Code, Message string }
	}
	if err := json.Unmarshal(w.Body.Bytes(), &body); err != nil {
		t.Fatalf("%q: %v", w.Body, err)
	}
	return body.Error.Code
}

func TestWhatTheClientSees(t *testing.T) {
	scope := func(s ...string) error {
		return &auth.Error{Code: auth.CodeInsufficientScope, Scopes: s, Err: auth.ErrInsufficientScope}
	}
	for _, c := range []struct {
		name      string
		err       error
		status    int
		code      auth.Code
		challenge string
		retry     string
	}{
		{"nothing", auth.ErrNoCredential, 401, auth.CodeMissingCredentials, `Bearer realm="api"`, ""},
		{"a wrong token", auth.ErrInvalid, 401, auth.CodeInvalidToken, `Bearer realm="api", error="invalid_token"`, ""},
		{"a revoked token", auth.ErrRevoked, 401, auth.CodeInvalidToken, `Bearer realm="api", error="invalid_token"`, ""},
		{"an expired token", auth.ErrExpired, 401, auth.CodeTokenExpired, `Bearer realm="api", error="invalid_token", error_description="The access token expired"`, ""},
		{"a wrong key", &auth.Error{Code: auth.CodeInvalidAPIKey, Err: auth.ErrInvalid}, 401, auth.CodeInvalidAPIKey, `Bearer realm="api", error="invalid_token"`, ""},
		{"two credentials", auth.ErrTwoCredentials, 400, auth.CodeInvalidRequest, `Bearer realm="api", error="invalid_request", error_description="Send exactly one credential"`, ""},
		{"a missing scope", scope("chat:write", "models:read"), 403, auth.CodeInsufficientScope, `Bearer realm="api", error="insufficient_scope", scope="chat:write models:read"`, ""},
		{"another model", auth.ErrModelNotAllowed, 403, auth.CodeModelNotAllowed, "", ""},
		{"another address", fmt.Errorf("x: %w", auth.ErrAddressNotAllowed), 403, auth.CodeAddressNotAllowed, "", ""},
		{"an outage", auth.ErrUnavailable, 503, auth.CodeUnavailable, "", "5"},
		{"an outage with a date", &auth.Error{Err: auth.ErrUnavailable, RetryAfter: 1500 * time.Millisecond}, 503, auth.CodeUnavailable, "", "2"},
		{"an outage that wraps invalid", errors.Join(auth.ErrInvalid, auth.ErrUnavailable), 503, auth.CodeUnavailable, "", "5"},
		{"an error nobody knows", errors.New("sql: connection refused at 10.0.0.7"), 503, auth.CodeUnavailable, "", "5"},
		{"an error with a code nobody knows", &auth.Error{Code: "teapot", Err: auth.ErrInvalid}, 401, auth.CodeInvalidToken, `Bearer realm="api", error="invalid_token"`, ""},
		{"an empty error", &auth.Error{}, 503, auth.CodeUnavailable, "", "5"},
		{"a nil pointer as an error", (*auth.Error)(nil), 503, auth.CodeUnavailable, "", "5"},
		{"a cancelled request", context.Canceled, 503, auth.CodeUnavailable, "", "5"},
	} {
		w, ran := serve(gate(t, authtest.Refuse(c.err)).Handler, authtest.Request("POST", "/v1/chat/completions", "{}"))
		if ran || w.Code != c.status || code(t, w) != string(c.code) || auth.CodeOf(c.err) != c.code {
			t.Errorf("%s: ran %v, %d %s", c.name, ran, w.Code, w.Body)
		}
		if got := w.Header().Values("WWW-Authenticate"); strings.Join(got, "|") != c.challenge {
			t.Errorf("%s: challenge %q", c.name, got)
		}
		if got := w.Header().Get("Retry-After"); got != c.retry {
			t.Errorf("%s: Retry-After %q", c.name, got)
		}
		if strings.Contains(w.Body.String(), "10.0.0.7") || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%s: %v %s", c.name, w.Header(), w.Body)
		}
	}
	if auth.CodeOf(nil) != "" {
		t.Error("no error has a code")
	}
}

func TestEveryBadKeyGetsOneIdenticalAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, stranger := authtest.Keys(t), authtest.Keys(t)
		expired := authtest.Key(t, m, apikey.Spec{ExpiresAt: time.Now().Add(time.Hour)})
		time.Sleep(2 * time.Hour)
		key := authtest.Key(t, m, apikey.Spec{})
		revoked := authtest.Key(t, m, apikey.Spec{})
		info, _ := apikey.Inspect(revoked)
		if err := m.Revoke(t.Context(), info.ID); err != nil {
			t.Fatal(err)
		}
		g := gate(t, m)
		var first string
		for _, c := range []struct{ name, key string }{
			{"unknown", authtest.Key(t, stranger, apikey.Spec{})},
			{"revoked", revoked},
			{"expired", expired},
			{"too early", authtest.Key(t, m, apikey.Spec{NotBefore: time.Now().Add(time.Hour)})},
			{"cut", key[:len(key)-1]},
			{"one character off", key[:len(key)-1] + "~"},
			{"another env", strings.Replace(key, "_test_", "_live_", 1)},
			{"another prefix", "other" + key},
			{"a word", "hello"},
		} {
			for _, how := range []func(string) func(*http.Request){authtest.Bearer, authtest.APIKey} {
				r := authtest.Request("POST", "/v1/chat/completions", "{}", how(c.key))
				r.Header.Set("X-Request-Id", "one")
				w, ran := serve(g.Handler, r)
				got := fmt.Sprint(ran, w.Code, w.Header(), w.Body)
				if first == "" {
					first = got
				}
				if got != first || ran || w.Code != 401 {
					t.Errorf("%s: %s\nwant %s", c.name, got, first)
				}
			}
		}
		if w, ran := serve(g.Handler, authtest.Request("POST", "/", "{}", authtest.Bearer(key))); !ran || w.Code != 200 {
			t.Errorf("the good key: %d", w.Code)
		}
	})
}

func TestAnAuthenticatorThatCanNeverSayYesIsRefusedByNew(t *testing.T) {
	ok := authtest.Accept(authtest.Principal())
	for name, c := range map[string]struct {
		a    auth.Authenticator
		want []string
	}{
		"none":             {nil, []string{"Config.Authenticator is nil"}},
		"any of nothing":   {auth.AnyOf(), []string{"Config.Authenticator is AnyOf of nothing"}},
		"any of nil":       {auth.AnyOf(nil, ok, nil), []string{"member 0 of AnyOf is nil", "member 2 of AnyOf is nil"}},
		"a nil pointer":    {(*apikey.Manager)(nil), []string{"Config.Authenticator is a nil *apikey.Manager"}},
		"any of a pointer": {auth.AnyOf(ok, (*jwtauth.Verifier)(nil)), []string{"member 1 of AnyOf is a nil *jwtauth.Verifier"}},
		"a nil function":   {auth.AuthenticatorFunc(nil), []string{"nil auth.AuthenticatorFunc"}},
		"nested":           {auth.AnyOf(ok, auth.AnyOf()), []string{"member 1 of AnyOf is AnyOf of nothing"}},
	} {
		g, err := auth.New(auth.Config{Authenticator: c.a})
		for _, want := range c.want {
			if g != nil || err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v, want %q", name, err, want)
			}
		}
	}
	// Without a Gate the same are asked as they are, and nobody enters.
	r := authtest.Request("GET", "/", "", authtest.Bearer("x"))
	if p, err := auth.AnyOf(nil, ok).Authenticate(r); p != nil || !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("a nil member: %v, %v", p, err)
	}
	if p, err := auth.AnyOf().Authenticate(r); p != nil || !errors.Is(err, auth.ErrNoCredential) {
		t.Errorf("no member: %v, %v", p, err)
	}
	if p, err := auth.AuthenticatorFunc(nil).Authenticate(r); p != nil || !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("a nil function: %v, %v", p, err)
	}
}

func TestAGateInFrontOfNothingPanicsAtStart(t *testing.T) {
	g := gate(t, authtest.Accept(authtest.Principal()))
	for want, wrap := range map[string]func(http.Handler) http.Handler{
		"auth: Gate.Handler: next is nil": g.Handler, "auth: Gate.ModelHandler: next is nil": g.ModelHandler,
	} {
		func() {
			defer func() {
				if p := recover(); p != want {
					t.Errorf("panic %v, want %q", p, want)
				}
			}()
			wrap(nil)
		}()
	}
}

func TestNoPrincipalIsNoCallerForAnyRoom(t *testing.T) {
	r := authtest.Request("POST", "/v1/chat/completions", "{}")
	if _, ok := exchange.CallerFrom(auth.NewContext(r.Context(), nil)); ok {
		t.Error("nobody became somebody")
	}
	_, ran := serve(gate(t, authtest.Accept(authtest.Principal())).Handler, r)
	if !ran {
		t.Fatal("refused")
	}
	inside := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		type key struct{}
		ctx := auth.NewContext(context.WithValue(r.Context(), key{}, "kept"), nil)
		if c, ok := exchange.CallerFrom(ctx); ok || c != nil {
			t.Errorf("the gate's caller is left: %v", c)
		}
		if p, ok := auth.FromContext(ctx); ok || p != nil {
			t.Errorf("the gate's principal is left: %v", p)
		}
		if ctx.Value(key{}) != "kept" || exchange.From(ctx) == nil {
			t.Error("more than the caller is gone")
		}
		if p, _ := auth.FromContext(auth.NewContext(ctx, authtest.Principal())); p == nil {
			t.Error("nobody can be the caller again")
		}
		if w, ran := serve(gate(t, authtest.Accept(authtest.Principal())).ModelHandler, r.WithContext(ctx)); ran || w.Code != 401 {
			t.Errorf("nobody may use a model: %d", w.Code)
		}
	})
	gate(t, authtest.Accept(authtest.Principal())).Handler(inside).ServeHTTP(httptest.NewRecorder(), r)
}

func TestTheDefaultLoggerIsTheOneOfTheMomentOfTheRefusal(t *testing.T) {
	defer log.SetFlags(log.Flags()) // SetDefault redirects package log too
	defer log.SetOutput(log.Writer())
	defer slog.SetDefault(slog.Default())
	g, err := auth.New(auth.Config{Authenticator: authtest.Refuse(auth.ErrUnavailable)})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	serve(g.Handler, authtest.Request("GET", "/", ""))
	if !strings.Contains(log.String(), "auth: request refused") {
		t.Errorf("the logger set after New heard nothing: %q", log.String())
	}
}

func TestNobodyEntersWithoutAPrincipal(t *testing.T) {
	var zero auth.Gate
	var none *auth.Gate
	nothing := auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) { return nil, nil })
	both := auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) { return authtest.Principal(), auth.ErrInvalid })
	for name, wrap := range map[string]func(http.Handler) http.Handler{
		"zero gate": zero.Handler, "nil gate": none.Handler, "zero gate, more scopes": zero.Require("x").Handler, "nil gate, more scopes": none.Require("x").Handler,
		"zero gate, models": zero.ModelHandler, "nil gate, models": none.ModelHandler, "no caller, models": gate(t, authtest.Accept(authtest.Principal())).ModelHandler,
		"neither principal nor error": gate(t, nothing).Handler, "both": gate(t, both).Handler,
		"any of neither": gate(t, auth.AnyOf(nothing)).Handler,
		"zero manager":   gate(t, new(apikey.Manager)).Handler, "zero verifier": gate(t, new(jwtauth.Verifier)).Handler,
	} {
		for _, method := range []string{"GET", "POST", "HEAD", "OPTIONS", "CONNECT", "TRACE", "PROPFIND", ""} {
			for _, o := range []func(*http.Request){func(*http.Request) {}, authtest.Bearer("x"), authtest.Bearer("a.b.c")} {
				r := authtest.Request("GET", "/", "", o)
				r.Method = method
				w, ran := serve(wrap, r)
				if ran || w.Code < 400 {
					t.Errorf("%s, %s: ran %v, %d", name, method, ran, w.Code)
				}
				if method == "HEAD" && w.Body.Len() > 0 {
					t.Errorf("%s: a body for HEAD", name)
				}
			}
		}
		if _, err := zero.Authenticate(authtest.Request("GET", "/", "")); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("zero gate: %v", err)
		}
	}
}

func TestTheHandlerAndEveryRoomSeeTheCaller(t *testing.T) {
	p := authtest.Principal(authtest.Models("small"))
	check := func(name string, ctx context.Context) {
		t.Helper()
		if got, ok := auth.FromContext(ctx); !ok || got != p {
			t.Errorf("%s: FromContext %v %v", name, got, ok)
		}
		c, ok := exchange.CallerFrom(ctx)
		if !ok || c.Issuer != p.Issuer || c.Subject != p.Subject || c.Tenant != p.Tenant || c.ClientID != p.ClientID || c.KeyID != p.KeyID ||
			c.Method != string(p.Method) || c.Plan != p.Plan || !slices.Equal(c.Scopes, p.Scopes) || !slices.Equal(c.Roles, p.Roles) || !slices.Equal(c.Models, p.Models) {
			t.Errorf("%s: the exchange says %+v", name, c)
		}
	}
	h := gate(t, authtest.Accept(p)).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		check("behind a gate", r.Context())
		other := authtest.Principal(func(p *auth.Principal) { p.Subject = "bob" })
		inner := auth.NewContext(r.Context(), other)
		if got, _ := auth.FromContext(inner); got != other {
			t.Error("NewContext inside does not win")
		}
		if c, _ := exchange.CallerFrom(inner); c.Subject != "bob" {
			t.Error("other rooms do not see NewContext")
		}
		if _, ok := auth.FromContext(auth.NewContext(r.Context(), nil)); ok {
			t.Error("NewContext(nil) does not make the request anonymous")
		}
	}))
	h.ServeHTTP(httptest.NewRecorder(), authtest.Request("GET", "/", ""))
	check("with NewContext", auth.NewContext(t.Context(), p))
	check("with authtest", authtest.WithPrincipal(authtest.Request("GET", "/", ""), p).Context())
	if _, ok := auth.FromContext(t.Context()); ok {
		t.Error("a bare context has a caller")
	}
}

func TestRequireAddsScopesAndLeavesTheGateAlone(t *testing.T) {
	a := authtest.Accept(authtest.Principal(authtest.Scopes("a", "b")))
	base := gate(t, a, "a")
	for _, c := range []struct {
		g      *auth.Gate
		status int
		scope  string
	}{
		{base, 200, ""}, {base.Require(), 200, ""}, {base.Require("b"), 200, ""}, {base.Require("a b"), 200, ""}, {base.Require("b").Require("a"), 200, ""},
		{base.Require("c"), 403, "a c"}, {base.Require("b c"), 403, "a b c"}, {base.Require("b").Require("c", "d"), 403, "a b c d"}, {base.Require("A"), 403, "a A"},
		{base.Require("ab"), 403, "a ab"}, {base.Require(`x"y`), 403, "a"}, {base.Require("chat:*"), 403, "a chat:*"},
	} {
		w, ran := serve(c.g.Handler, authtest.Request("GET", "/", ""))
		if w.Code != c.status || ran != (c.status == 200) {
			t.Errorf("%v: %d", c.g.Scopes(), w.Code)
		}
		if c.scope != "" && !strings.Contains(w.Header().Get("WWW-Authenticate"), `scope="`+c.scope+`"`) {
			t.Errorf("%v: %s", c.g.Scopes(), w.Header())
		}
	}
	if !slices.Equal(base.Scopes(), []string{"a"}) {
		t.Errorf("Require changed its gate: %v", base.Scopes())
	}
	var wg sync.WaitGroup // Require on one gate from many routes at once
	for i := range 8 {
		wg.Go(func() {
			if s := base.Require(fmt.Sprint("s", i)).Scopes(); len(s) != 2 || s[1] != fmt.Sprint("s", i) {
				t.Errorf("%v", s)
			}
		})
	}
	wg.Wait()
}

func TestAuthorizeDeniesByDefault(t *testing.T) {
	p := authtest.Principal(authtest.Scopes("sys", "chat:write"))
	for _, c := range []struct {
		p      *auth.Principal
		scopes []string
		want   error
	}{
		{p, nil, nil}, {p, []string{"chat:write"}, nil}, {p, []string{"sys chat:write"}, nil}, {p, []string{"sysadmin"}, auth.ErrInsufficientScope}, {p, []string{"sy"}, auth.ErrInsufficientScope},
		{p, []string{"CHAT:WRITE"}, auth.ErrInsufficientScope}, {p, []string{"chat"}, auth.ErrInsufficientScope}, {nil, nil, auth.ErrNoCredential}, {nil, []string{"x"}, auth.ErrNoCredential},
		{&auth.Principal{}, []string{"x"}, auth.ErrInsufficientScope},
	} {
		if err := auth.Authorize(c.p, c.scopes...); !errors.Is(err, c.want) {
			t.Errorf("%q: %v", c.scopes, err)
		}
	}
	var none *auth.Principal
	if none.HasScope("x") || none.HasScopes() || none.HasRole("x") || none.AllowsModel("x") || none.Identity() != (auth.Identity{}) || none.Clone() != nil || p.HasScope("") || p.HasRole("") {
		t.Error("a nil principal or an empty name has something")
	}
	if err := auth.AuthorizeModel(nil, "m"); !errors.Is(err, auth.ErrNoCredential) {
		t.Error(err)
	}
}

func TestNilModelsAllowAllAndAListAllowsItself(t *testing.T) {
	all := authtest.Principal()
	none := authtest.Principal(authtest.Models())
	some := authtest.Principal(authtest.Models("small", "embed"))
	for _, c := range []struct {
		p     *auth.Principal
		model string
		want  bool
	}{
		{all, "small", true}, {all, "", true}, {none, "small", false}, {none, "", false}, {some, "small", true}, {some, "embed", true},
		{some, "large", false}, {some, "Small", false}, {some, "smal", false}, {some, "small ", false}, {some, "", false},
		{some.Clone(), "large", false}, {none.Clone(), "small", false}, {all.Clone(), "small", true},
	} {
		if got := c.p.AllowsModel(c.model); got != c.want {
			t.Errorf("Models %v, %q: %v", c.p.Models, c.model, got)
		}
	}
}

func TestTheModelOfTheBodyIsCheckedForRestrictedCallers(t *testing.T) {
	restricted := authtest.Principal(authtest.Models("small"))
	g := gate(t, authtest.Accept(restricted))
	chain := func(h http.Handler) http.Handler { return g.Handler(g.ModelHandler(h)) }
	chat := func(model string) string {
		return `{"model":` + model + `,"messages":[{"role":"user","content":"hi"}]}`
	}
	for _, c := range []struct {
		name, path, body string
		status           int
	}{
		{"its model", "/v1/chat/completions", chat(`"small"`), 200},
		{"its model, escaped", "/v1/chat/completions", chat(`"\u0073mall"`), 200},
		{"another model", "/v1/chat/completions", chat(`"large"`), 403},
		{"its model in another case", "/v1/chat/completions", chat(`"Small"`), 403},
		{"no model", "/v1/chat/completions", `{"messages":[]}`, 403},
		{"an empty model", "/v1/chat/completions", chat(`""`), 403},
		{"a model that is an array", "/v1/chat/completions", chat(`["small"]`), 403},
		{"a model that is null", "/v1/chat/completions", chat(`null`), 403},
		{"two models", "/v1/chat/completions", `{"model":"small","model":"large","messages":[]}`, 403},
		{"two models by case", "/v1/chat/completions", `{"model":"small","Model":"large","messages":[]}`, 403},
		{"a nested model", "/v1/chat/completions", `{"x":{"model":"small"},"messages":[]}`, 403},
		{"no JSON", "/v1/chat/completions", `model=small`, 403},
		{"no body", "/v1/chat/completions", ``, 403},
		{"Anthropic", "/v1/messages", chat(`"small"`), 200},
		{"Anthropic, another", "/v1/messages", chat(`"large"`), 403},
		{"Ollama, another", "/api/chat", chat(`"large"`), 403},
		{"embeddings, another", "/v1/embeddings", `{"model":"large","input":"x"}`, 403},
	} {
		w, ran := serve(chain, authtest.Request("POST", c.path, c.body))
		if w.Code != c.status || ran != (c.status == 200) {
			t.Errorf("%s: ran %v, %d %s", c.name, ran, w.Code, w.Body)
		}
		if ran && w.Body.String() != c.body {
			t.Errorf("%s: the handler read %q", c.name, w.Body)
		}
		if w.Code == 403 && w.Header().Get("WWW-Authenticate") != "" {
			t.Errorf("%s: a challenge for a model", c.name)
		}
	}
	// The model that the rooms before agreed on counts, not the body's.
	for model, status := range map[string]int{"small": 200, "large": 403} {
		w, _ := serve(func(h http.Handler) http.Handler {
			inner := g.ModelHandler(h)
			return g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				exchange.From(r.Context()).SetModel(model)
				inner.ServeHTTP(w, r)
			}))
		}, authtest.Request("POST", "/v1/chat/completions", chat(`"alias"`)))
		if w.Code != status {
			t.Errorf("dispatched %s: %d", model, w.Code)
		}
	}
	// A body too large to look into is refused, whatever it says.
	tight, err := auth.New(auth.Config{Authenticator: authtest.Accept(restricted), MaxBody: 64, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	w, ran := serve(func(h http.Handler) http.Handler { return tight.Handler(tight.ModelHandler(h)) }, authtest.Request("POST", "/v1/chat/completions", chat(`"small"`)+strings.Repeat(" ", 100)))
	if ran || w.Code != 413 {
		t.Errorf("too large: %d", w.Code)
	}
}

type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}
func (unread) Close() error { return nil }

func TestTheGateDoesNotReadTheBody(t *testing.T) {
	for name, h := range map[string]http.Handler{
		"let in":           gate(t, authtest.Accept(authtest.Principal())).Handler(http.NotFoundHandler()),
		"refused":          gate(t, authtest.Refuse(auth.ErrInvalid)).Handler(http.NotFoundHandler()),
		"an unbound model": gate(t, authtest.Accept(authtest.Principal())).Handler(gate(t, authtest.Refuse(nil)).ModelHandler(http.NotFoundHandler())),
	} {
		t.Run(name, func(t *testing.T) {
			r := authtest.Request("POST", "/v1/chat/completions", "")
			r.Body = unread{t}
			h.ServeHTTP(httptest.NewRecorder(), r)
		})
	}
}

func TestAnyOfDoesNotDowngrade(t *testing.T) {
	m := authtest.Keys(t)
	s := authtest.NewSigner(t, "HS256")
	v, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{s.Issuer("iss", "aud")}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	key, token := authtest.Key(t, m, apikey.Spec{}), s.Token(authtest.Claims("iss", "aud", now))
	expired := s.Token(authtest.With(authtest.Claims("iss", "aud", now), "exp", now.Add(-time.Hour).Unix()))
	everybody := authtest.Accept(authtest.Principal(func(p *auth.Principal) { p.Subject = "anybody" }))
	two := func(r *http.Request) { authtest.Bearer(token)(r); authtest.APIKey(key)(r) }
	for name, a := range map[string]auth.Authenticator{"tokens first": auth.AnyOf(v, m), "keys first": auth.AnyOf(m, v), "nested": auth.AnyOf(auth.AnyOf(m), auth.AnyOf(v))} {
		for _, c := range []struct {
			name   string
			set    func(*http.Request)
			method auth.Method
			want   error
			code   string
		}{
			{"a key", authtest.Bearer(key), auth.MethodAPIKey, nil, ""},
			{"a key in its header", authtest.APIKey(key), auth.MethodAPIKey, nil, ""},
			{"a token", authtest.Bearer(token), auth.MethodJWT, nil, ""},
			{"a bad key", authtest.Bearer(key + "x"), "", auth.ErrInvalid, "invalid_api_key"},
			{"a bad token", authtest.Bearer(token + "x"), "", auth.ErrInvalid, "invalid_token"},
			{"an expired token", authtest.Bearer(expired), "", auth.ErrExpired, "token_expired"},
			{"a token in X-API-Key", authtest.APIKey(token), "", auth.ErrNoCredential, "invalid_api_key"},
			{"neither", authtest.Bearer("hello"), "", auth.ErrNoCredential, "invalid_api_key"},
			{"another scheme", func(r *http.Request) { r.SetBasicAuth("a", "b") }, "", auth.ErrNoCredential, "missing_credentials"},
			{"nothing", func(*http.Request) {}, "", auth.ErrNoCredential, "missing_credentials"},
			{"a good key and a good token", two, "", auth.ErrTwoCredentials, "invalid_request"},
			{"a bad key and a good token", func(r *http.Request) { authtest.Bearer(token)(r); authtest.APIKey("acme_test_x")(r) }, "", auth.ErrTwoCredentials, "invalid_request"},
		} {
			p, err := a.Authenticate(authtest.Request("GET", "/", "", c.set))
			if !errors.Is(err, c.want) || (p == nil) != (err != nil) || p != nil && p.Method != c.method {
				t.Errorf("%s, %s: %v, %v", name, c.name, p, err)
			}
			if w, ran := serve(gate(t, a).Handler, authtest.Request("GET", "/", "", c.set)); ran != (c.want == nil) || !ran && code(t, w) != c.code {
				t.Errorf("%s, %s: ran %v, %d %s", name, c.name, ran, w.Code, w.Body)
			}
		}
	}
	// A recognised and wrong credential stops even when somebody behind would take anything.
	lenient := auth.AnyOf(m, v, everybody)
	for _, bad := range []string{key + "x", token + "x", expired} {
		if p, err := lenient.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer(bad))); err == nil {
			t.Errorf("downgraded to %v", p.Subject)
		}
	}
	if p, err := lenient.Authenticate(authtest.Request("GET", "/", "")); err != nil || p.Subject != "anybody" {
		t.Errorf("%v, %v", p, err)
	}
	// An outage of one method is not "not recognised".
	down := auth.AnyOf(authtest.Refuse(auth.ErrUnavailable), everybody)
	if _, err := down.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer("x"))); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("%v", err)
	}
}

func TestACustomDenySeesTheReasonAndTheHeaders(t *testing.T) {
	var got error
	cfg := auth.Config{Authenticator: authtest.Refuse(auth.ErrRevoked), Realm: `a "b" \c`, Logger: quiet, Deny: func(w http.ResponseWriter, r *http.Request, err error) {
		got = err
		w.WriteHeader(418)
	}}
	g, err := auth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	w, ran := serve(g.Handler, authtest.Request("GET", "/", ""))
	if ran || w.Code != 418 || !errors.Is(got, auth.ErrRevoked) || w.Header().Get("WWW-Authenticate") != `Bearer realm="a \"b\" \\c", error="invalid_token"` {
		t.Errorf("ran %v, %d, %v, %v", ran, w.Code, got, w.Header())
	}
}

func TestTheLogHasTheReasonAndNoCredential(t *testing.T) {
	var log bytes.Buffer
	m := authtest.Keys(t)
	key := authtest.Key(t, m, apikey.Spec{})
	info, _ := apikey.Inspect(key)
	if err := m.Revoke(t.Context(), info.ID); err != nil {
		t.Fatal(err)
	}
	g, err := auth.New(auth.Config{Authenticator: m, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	serve(g.Handler, authtest.Request("GET", "/", "", authtest.Bearer(key)))
	if s := log.String(); !strings.Contains(s, "revoked") || !strings.Contains(s, info.ID) || !strings.Contains(s, "request_id=") || strings.Contains(s, key) || strings.Contains(s, key[22:]) {
		t.Errorf("%s", s)
	}
	log.Reset()
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "p", authtest.Principal(authtest.Models()), "none", (*auth.Principal)(nil), "e", &auth.Error{Code: auth.CodeInvalidAPIKey, KeyID: "k1", Scopes: []string{"s"}})
	for _, want := range []string{"p.issuer=authtest", "p.client_id=alice", "p.models=[]", "none=none", "e.code=invalid_api_key", "e.key_id=k1"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("no %s in %s", want, log.String())
		}
	}
}

func TestTheGatesTrustedProxiesDecideForAddressBoundKeys(t *testing.T) {
	m := authtest.Keys(t) // knows no proxies itself
	key := authtest.Key(t, m, apikey.Spec{Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	g, err := auth.New(auth.Config{Authenticator: m, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		peer   string
		status int
	}{{"10.0.0.1:1", 200}, {"203.0.113.1:1", 403}} {
		r := authtest.Request("GET", "/", "", authtest.Bearer(key), authtest.From(c.peer))
		r.Header.Set("X-Forwarded-For", "192.0.2.7")
		if w, _ := serve(g.Handler, r); w.Code != c.status {
			t.Errorf("%s: %d", c.peer, w.Code)
		}
	}
}

func TestNewNamesEveryFault(t *testing.T) {
	g, err := auth.New(auth.Config{Realm: "a\r\nSet-Cookie: x", Scopes: []string{`a"b`, "ok"}, MaxBody: -1, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("::/0"), {}}})
	if g != nil || err == nil {
		t.Fatal("made")
	}
	for _, want := range []string{"Authenticator", "Realm", "Scopes", "MaxBody", "TrustedProxies", "::/0"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in %v", want, err)
		}
	}
}

func TestConfigIsCopied(t *testing.T) {
	scopes := []string{"a"}
	g := gate(t, authtest.Accept(authtest.Principal(authtest.Scopes("a"))), scopes...)
	g.Scopes()[0] = "b"
	scopes[0] = "c"
	if w, _ := serve(g.Handler, authtest.Request("GET", "/", "")); w.Code != 200 {
		t.Error(w.Code)
	}
}

func TestOneGateServesManyRequestsAtOnce(t *testing.T) {
	m := authtest.Keys(t)
	var keys []string
	for i := range 8 {
		keys = append(keys, authtest.Key(t, m, apikey.Spec{ClientID: fmt.Sprint("c", i)}))
	}
	g := gate(t, m)
	var wg sync.WaitGroup
	for i, k := range keys {
		wg.Go(func() {
			h := g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if p, ok := auth.FromContext(r.Context()); !ok || p.ClientID != fmt.Sprint("c", i) {
					t.Errorf("caller %v", p)
				}
			}))
			for range 200 {
				h.ServeHTTP(httptest.NewRecorder(), authtest.Request("GET", "/", "", authtest.Bearer(k)))
			}
		})
	}
	wg.Wait()
}

func TestCloneSharesNothing(t *testing.T) {
	p := authtest.Principal(authtest.Models("m"), func(p *auth.Principal) { p.Roles = []string{"r"} })
	c := p.Clone()
	if !reflect.DeepEqual(p, c) {
		t.Fatalf("%+v", c)
	}
	c.Scopes[0], c.Roles[0], c.Models[0] = "x", "x", "x"
	if p.HasScope("x") || p.HasRole("x") || p.AllowsModel("x") {
		t.Error("shared")
	}
}

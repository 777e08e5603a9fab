package auth_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

// modelMux serves routes that name the model in body, path and query. ran says what came through.
func modelMux(t testing.TB, p *auth.Principal, change func(*auth.Config)) (h http.Handler, ran *string) {
	t.Helper()
	cfg := auth.Config{Authenticator: authtest.Accept(p), Logger: quiet}
	if change != nil {
		change(&cfg)
	}
	g, err := auth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ran = new(string)
	end := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { *ran = "ran " + exchange.From(r.Context()).Model() })
	mux := http.NewServeMux()
	for _, pattern := range []string{"POST /v1/chat/completions", "POST /openai/deployments/{model}/chat/completions", "POST /hub/{model...}", "POST /v1beta/models/{call}"} {
		mux.Handle(pattern, g.Handler(g.ModelHandler(end)))
	}
	for _, pattern := range []string{"GET /v1/models", "GET /v1/models/{model}", "GET /v1/realtime"} {
		mux.Handle(pattern, g.Handler(g.NamedModelHandler(end)))
	}
	return mux, ran
}

func TestARestrictedCallerReachesNoOtherModelByNamingOneElsewhere(t *testing.T) {
	h, ran := modelMux(t, authtest.Principal(authtest.Models("small", "tiny", "org/small")), nil)
	const azure = "/openai/deployments/small/chat/completions"
	for _, c := range []struct {
		name, method, target, body string
		status                     int
	}{
		{"path alone", "POST", azure, `{"messages":[]}`, 200},
		{"path alone, no body", "POST", azure, ``, 200},
		{"path and body agree", "POST", azure, `{"model":"small"}`, 200},
		{"path, body and query agree", "POST", azure + "?model=small&api-version=1", `{"model":"small"}`, 200},
		{"path in escapes", "POST", "/openai/deployments/sm%61ll/chat/completions", `{"model":"\u0073mall"}`, 200},
		{"another in the path", "POST", "/openai/deployments/large/chat/completions", `{"messages":[]}`, 403},
		{"another in the path, its own in the body", "POST", "/openai/deployments/large/chat/completions", `{"model":"small"}`, 400},
		{"another in the body, its own in the path", "POST", azure, `{"model":"large"}`, 400},
		{"another in the body, by case", "POST", azure, `{"Model":"large"}`, 400},
		{"another in the body, by escapes", "POST", azure, `{"mod\u0065l":"large"}`, 400},
		{"two in the body", "POST", azure, `{"model":"small","model":"large"}`, 403},
		{"a body that is no JSON", "POST", azure, `model=large`, 403},
		{"two that it may use", "POST", azure, `{"model":"tiny"}`, 400},
		{"another in the query, its own in the body", "POST", "/v1/chat/completions?model=large", `{"model":"small"}`, 400},
		{"another in the query, by case", "POST", "/v1/chat/completions?MODEL=large", `{"model":"small"}`, 400},
		{"another in the query, by escapes", "POST", "/v1/chat/completions?mod%65l=large", `{"model":"small"}`, 400},
		{"two in the query", "POST", "/v1/chat/completions?model=small&model=large", `{"model":"small"}`, 400},
		{"an empty one in the query", "POST", "/v1/chat/completions?model=", `{}`, 403},
		{"a query that readers read differently", "POST", "/v1/chat/completions?x;model=large", `{"model":"small"}`, 400},
		{"a name with a slash", "POST", "/hub/org/small", ``, 200},
		{"a name with an encoded slash", "POST", "/openai/deployments/org%2Fsmall/chat/completions", ``, 200},
		{"another with a slash", "POST", "/hub/org/large", ``, 403},
		{"no name where the path may have one", "POST", "/hub/", `{}`, 403},
		{"a list that names none", "GET", "/v1/models", "", 200},
		{"facts of its model", "GET", "/v1/models/small", "", 200},
		{"facts of another", "GET", "/v1/models/large", "", 403},
		{"a stream of its model", "GET", "/v1/realtime?model=small", "", 200},
		{"a stream of another", "GET", "/v1/realtime?model=large", "", 403},
		{"a stream of two", "GET", "/v1/realtime?model=small&model=large", "", 400},
	} {
		*ran = ""
		w := httptest.NewRecorder()
		r := authtest.Request(c.method, c.target, c.body)
		if c.body == "" {
			r.Body = http.NoBody // as a server sets it
		}
		h.ServeHTTP(w, r)
		if w.Code != c.status || (*ran != "") != (c.status == 200) {
			t.Errorf("%s: %d, %q, %s", c.name, w.Code, *ran, w.Body)
		}
		if w.Code == 400 && (w.Header().Get("WWW-Authenticate") != "" || code(t, w) != "invalid_request" || strings.Contains(w.Body.String(), "large")) {
			t.Errorf("%s: %v %s", c.name, w.Header(), w.Body)
		}
		if w.Code == 200 && c.name != "a list that names none" && !strings.Contains(*ran, "small") {
			t.Errorf("%s: the rooms inside know %q", c.name, *ran)
		}
	}
}

func TestNobodyNamesTwoModelsWhereBothAreKnown(t *testing.T) {
	h, ran := modelMux(t, authtest.Principal(), nil)
	for target, status := range map[string]int{
		"/openai/deployments/a/chat/completions?model=b": 400, "/openai/deployments/a/chat/completions?model=a": 200, "/v1/chat/completions?model=a&model=b": 400,
		"/v1/chat/completions?x;y": 200, "/v1/chat/completions": 200,
	} {
		*ran = ""
		r := authtest.Request("POST", target, "")
		r.Body = unread{t} // a caller without a list
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, r); w.Code != status || (*ran != "") != (status == 200) {
			t.Errorf("%s: %d", target, w.Code)
		}
		if *ran != "" && *ran != "ran " { // the body, unread, may name another
			t.Errorf("%s: the rooms inside believe in %q", target, *ran)
		}
	}
	// What a room outside has read is compared.
	g := gate(t, authtest.Accept(authtest.Principal()))
	w, did := serve(func(h http.Handler) http.Handler {
		inner := g.ModelHandler(h)
		return g.Handler(g.BodyScopesHandler(func(*http.Request, []byte) ([]string, error) { return nil, nil }, inner))
	}, authtest.Request("POST", "/v1/chat/completions?model=a", `{"model":"b"}`))
	if w.Code != 400 || did {
		t.Errorf("a body that was read: %d", w.Code)
	}
}

// Gemini's calls have the model in one path segment with the method.
func TestRequestModelsTellsWhatThePathMeans(t *testing.T) {
	h, _ := modelMux(t, authtest.Principal(authtest.Models("gemini-small")), func(c *auth.Config) {
		c.RequestModels = func(r *http.Request) []string {
			if call := r.PathValue("call"); call != "" {
				model, _, _ := strings.Cut(call, ":")
				return []string{model}
			}
			return nil
		}
	})
	for target, status := range map[string]int{
		"/v1beta/models/gemini-small:generateContent": 200, "/v1beta/models/gemini-large:generateContent": 403, "/v1beta/models/:generateContent": 403,
	} {
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, authtest.Request("POST", target, `{"contents":[]}`)); w.Code != status {
			t.Errorf("%s: %d", target, w.Code)
		}
	}
}

func TestNamedModelHandlerAsksForACallerAndAGate(t *testing.T) {
	for name, c := range map[string]struct {
		g      *auth.Gate
		status int
	}{"no caller": {gate(t, authtest.Accept(authtest.Principal())), 401}, "zero": {&auth.Gate{}, 503}, "nil": {nil, 503}} {
		if w, ran := serve(c.g.NamedModelHandler, authtest.Request("GET", "/", "")); ran || w.Code != c.status {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("nil next")
		}
	}()
	gate(t, authtest.Accept(authtest.Principal())).NamedModelHandler(nil)
}

func TestInFrontOfTheRouterARestrictedCallerIsRefusedWhatThePathMayName(t *testing.T) {
	small := authtest.Principal(authtest.Models("small"))
	mux := http.NewServeMux()
	ran := ""
	run := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { ran = name + r.PathValue("model") })
	}
	mux.Handle("/v1/models/{model}/generate", run("generate "))
	mux.Handle("POST /v1/chat", run("chat"))
	mux.Handle("/{$}", run("home"))
	for _, c := range []struct {
		name       string
		p          *auth.Principal
		path, body string
		handler    func(*auth.Gate) http.Handler
		ran        string
	}{
		{"a path that names another", small, "/v1/models/big/generate", "", func(g *auth.Gate) http.Handler { return g.NamedModelHandler(mux) }, ""},
		{"a body that names ours as well", small, "/v1/models/big/generate", `{"model":"small"}`, func(g *auth.Gate) http.Handler { return g.ModelHandler(mux) }, ""},
		{"a route without wildcards", small, "/v1/chat", `{"model":"small"}`, func(g *auth.Gate) http.Handler { return g.ModelHandler(mux) }, "chat"},
		{"the root, which looks like one", small, "/", `{"model":"small"}`, func(g *auth.Gate) http.Handler { return g.ModelHandler(mux) }, "home"},
		{"a caller without a list", authtest.Principal(), "/v1/models/big/generate", "", func(g *auth.Gate) http.Handler { return g.NamedModelHandler(mux) }, "generate big"},
		{"another router, whose route is not known", small, "/v1/models/big/generate", "", func(g *auth.Gate) http.Handler {
			return g.NamedModelHandler(http.HandlerFunc(mux.ServeHTTP))
		}, ""},
		{"behind the router", small, "/inner/models/small", "", func(g *auth.Gate) http.Handler {
			m := http.NewServeMux()
			m.Handle("/inner/models/{model}", g.NamedModelHandler(run("inner ")))
			return m
		}, "inner small"},
		{"behind the router, another", small, "/inner/models/big", "", func(g *auth.Gate) http.Handler {
			m := http.NewServeMux()
			m.Handle("/inner/models/{model}", g.NamedModelHandler(run("inner ")))
			return m
		}, ""},
	} {
		ran = ""
		g := gate(t, authtest.Accept(c.p))
		w := httptest.NewRecorder()
		r := authtest.Request("POST", c.path, c.body)
		g.Handler(c.handler(g)).ServeHTTP(w, r)
		if ran != c.ran || (w.Code == 403) != (c.ran == "") {
			t.Errorf("%s: ran %q, %d %s", c.name, ran, w.Code, w.Body)
		}
	}
}

func TestARestrictedCallerReachesNoOtherModelByAFallback(t *testing.T) {
	for _, body := range []string{
		`{"model":"small","models":["big"]}`, `{"model":"small","fallbacks":["big"]}`, `{"model":"small","Models":["big"]}`, `{"model":"small","context_window_fallbacks":[{"small":["big"]}]}`,
	} {
		for name, p := range map[string]*auth.Principal{"restricted": authtest.Principal(authtest.Models("small")), "free": authtest.Principal()} {
			g := gate(t, authtest.Accept(p))
			w, ran := serve(func(h http.Handler) http.Handler { return g.Handler(g.ModelHandler(h)) }, authtest.Request("POST", "/v1/chat/completions", body))
			if ran != (name == "free") || !ran && (w.Code != 403 || code(t, w) != "model_not_allowed") {
				t.Errorf("%s %s: ran %v, %d", name, body, ran, w.Code)
			}
		}
	}
}

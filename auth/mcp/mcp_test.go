package mcp_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/mcp"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func config() mcp.Config {
	return mcp.Config{Resource: "https://api.example.com/mcp", AuthorizationServers: []string{"https://login.example.com"}}
}

func resource(t testing.TB, cfg mcp.Config) *mcp.Resource {
	t.Helper()
	m, err := mcp.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func get(h http.Handler, method, target string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(method, target, nil))
	return w
}

// RFC 9728 section 3.1 and the two places of MCP 2025-11-25.
func TestThePathOfTheResourceIsInsertedAfterTheWellKnownOne(t *testing.T) {
	for _, c := range []struct{ resource, url, pattern string }{
		{"https://api.example.com", "https://api.example.com/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource"},
		{"https://api.example.com/", "https://api.example.com/.well-known/oauth-protected-resource", "/.well-known/oauth-protected-resource"},
		{"https://api.example.com/mcp", "https://api.example.com/.well-known/oauth-protected-resource/mcp", "/.well-known/oauth-protected-resource/mcp"},
		{"https://api.example.com:8443/public/mcp", "https://api.example.com:8443/.well-known/oauth-protected-resource/public/mcp", "/.well-known/oauth-protected-resource/public/mcp"},
		{"https://api.example.com/mcp/", "https://api.example.com/.well-known/oauth-protected-resource/mcp/", "/.well-known/oauth-protected-resource/mcp/{$}"},
		{"https://api.example.com/a%20b", "https://api.example.com/.well-known/oauth-protected-resource/a%20b", "/.well-known/oauth-protected-resource/a%20b"},
	} {
		cfg := config()
		cfg.Resource = c.resource
		m := resource(t, cfg)
		if m.URL() != c.resource || m.MetadataURL() != c.url || m.Pattern() != c.pattern {
			t.Errorf("%s: %s, %s", c.resource, m.MetadataURL(), m.Pattern())
		}
		mux := http.NewServeMux()
		mux.Handle(m.Pattern(), m)
		for name, h := range map[string]http.Handler{"mux": mux, "handler": m.Handler(http.NotFoundHandler())} {
			w := get(h, "GET", c.url)
			var doc struct{ Resource string }
			if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil || w.Code != 200 || doc.Resource != c.resource {
				t.Errorf("%s, %s: %d %s", c.resource, name, w.Code, w.Body)
			}
			if w := get(h, "GET", strings.TrimSuffix(c.url, "/")+"/x"); w.Code != 404 {
				t.Errorf("%s, %s: another path is answered", c.resource, name)
			}
		}
	}
}

func TestTheDocumentSaysWhatTheConfigSays(t *testing.T) {
	cfg := config()
	m := resource(t, cfg)
	var doc map[string]any
	w := get(m, "GET", m.MetadataURL())
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if want := map[string]any{"resource": cfg.Resource, "authorization_servers": []any{"https://login.example.com"}, "bearer_methods_supported": []any{"header"}}; !reflect.DeepEqual(doc, want) {
		t.Errorf("%v", doc)
	}
	if h := w.Header(); h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "public, max-age=3600" || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v", h)
	}
	cfg.Scopes, cfg.Name, cfg.Documentation, cfg.Policy, cfg.Terms = []string{"a", "b"}, "Größe", "https://d.example/", "https://p.example/", "https://t.example/"
	cfg.DPoPAlgorithms, cfg.DPoPRequired, cfg.CertificateBound, cfg.MaxAge = []string{"ES256"}, true, true, time.Minute
	m = resource(t, cfg)
	w = get(m, "GET", "/")
	doc = nil
	if err := json.Unmarshal(w.Body.Bytes(), &doc); err != nil {
		t.Fatal(err)
	}
	if want := map[string]any{
		"resource": cfg.Resource, "authorization_servers": []any{"https://login.example.com"}, "bearer_methods_supported": []any{"header"}, "scopes_supported": []any{"a", "b"}, "resource_name": "Größe",
		"resource_documentation": "https://d.example/", "resource_policy_uri": "https://p.example/", "resource_tos_uri": "https://t.example/", "tls_client_certificate_bound_access_tokens": true,
		"dpop_signing_alg_values_supported": []any{"ES256"}, "dpop_bound_access_tokens_required": true,
	}; !reflect.DeepEqual(doc, want) {
		t.Errorf("%v", doc)
	}
	if got := w.Header().Get("Cache-Control"); got != "public, max-age=60" {
		t.Error(got)
	}
	cfg.MaxAge = -1
	if got := get(resource(t, cfg), "GET", "/").Header().Get("Cache-Control"); got != "no-store" {
		t.Error(got)
	}
}

func TestABrowserMayReadTheDocument(t *testing.T) {
	m := resource(t, config())
	w := get(m, "OPTIONS", "/")
	if h := w.Header(); w.Code != 204 || h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Allow-Headers") != "*" || !strings.Contains(h.Get("Access-Control-Allow-Methods"), "GET") || h.Get("Access-Control-Allow-Credentials") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if w := get(m, "HEAD", "/"); w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Length") == "" {
		t.Errorf("HEAD: %d %v", w.Code, w.Header())
	}
	for _, method := range []string{"POST", "PUT", "DELETE", "PATCH", "TRACE"} {
		if w := get(m, method, "/"); w.Code != 405 || w.Header().Get("Allow") != "GET, HEAD, OPTIONS" {
			t.Errorf("%s: %d %v", method, w.Code, w.Header())
		}
	}
}

func TestAResourceThatWasNotMadeAnswersNothing(t *testing.T) {
	var none *mcp.Resource
	for _, m := range []*mcp.Resource{none, {}} {
		if w := get(m, "GET", "/"); w.Code != 404 || m.MetadataURL() != "" || m.URL() != "" || m.Pattern() == "" {
			t.Errorf("%d", w.Code)
		}
		if w := get(m.Handler(http.RedirectHandler("/", http.StatusTemporaryRedirect)), "GET", "/"); w.Code != 307 {
			t.Errorf("%d", w.Code)
		}
	}
	defer func() {
		if recover() == nil {
			t.Error("a handler of nothing was made")
		}
	}()
	resource(t, config()).Handler(nil)
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := mcp.New(mcp.Config{
		Resource: "https://API.example.com/{x}", AuthorizationServers: []string{"http://login.example.com", "login", "javascript:alert(1)", "https://l.example", "https://l.example"}, Scopes: []string{"a b"}, Name: "a\nb",
		Documentation: "ftp://x", Policy: "https://p.example/\u00e9", Terms: "https://u:p@t.example/", DPoPRequired: true,
	})
	for _, want := range []string{"Resource", "capitals", "AuthorizationServers[0]", "AuthorizationServers[1]", "AuthorizationServers[2]", "AuthorizationServers[4]", "Scopes", "Name", "Documentation", "Policy", "Terms", "DPoPRequired"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in %v", want, err)
		}
	}
	for name, change := range map[string]func(*mcp.Config){
		"no resource":     func(c *mcp.Config) { c.Resource = "" },
		"no server":       func(c *mcp.Config) { c.AuthorizationServers = nil },
		"a fragment":      func(c *mcp.Config) { c.Resource += "#" },
		"a query":         func(c *mcp.Config) { c.Resource += "?a=b" },
		"braces":          func(c *mcp.Config) { c.Resource = "https://api.example.com/{x}" },
		"no scheme":       func(c *mcp.Config) { c.Resource = "mcp.example.com" },
		"http":            func(c *mcp.Config) { c.Resource = "http://localhost/mcp" },
		"http elsewhere":  func(c *mcp.Config) { c.Resource, c.InsecureHTTP = "http://api.example.com/mcp", true },
		"HMAC proofs":     func(c *mcp.Config) { c.DPoPAlgorithms = []string{"HS256"} },
		"unsigned proofs": func(c *mcp.Config) { c.DPoPAlgorithms = []string{"none"} },
	} {
		cfg := config()
		change(&cfg)
		if _, err := mcp.New(cfg); err == nil {
			t.Errorf("%s: made", name)
		}
	}
	cfg := config()
	cfg.Resource, cfg.AuthorizationServers, cfg.InsecureHTTP = "http://127.0.0.1:8080/mcp", []string{"http://[::1]:9"}, true
	if _, err := mcp.New(cfg); err != nil {
		t.Error(err)
	}
}

func TestEveryOperationNeedsWhatIsListedForIt(t *testing.T) {
	o, err := mcp.NewOperations(mcp.OperationsConfig{
		Methods: map[string]string{"tools/list": "", "tools/call": "call", "resources/read": "files:read files:list"},
		Tools:   map[string]string{"search": "", "write_file": "files:write"},
	})
	if err != nil {
		t.Fatal(err)
	}
	open, err := mcp.NewOperations(mcp.OperationsConfig{Tools: map[string]string{"*": "other", "search": "search"}})
	if err != nil {
		t.Fatal(err)
	}
	call := func(tool string) string {
		return `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"arguments":{"name":"search","method":"ping"},"name":` + tool + `}}`
	}
	const refused, malformed = "refused", "malformed"
	for _, c := range []struct {
		name, body string
		closed     string // what o says
		open       string
	}{
		{"no body", ``, "", ""},
		{"a response", `{"jsonrpc":"2.0","id":1,"result":{"name":"x"}}`, "", ""},
		{"initialize", `{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}`, "", ""},
		{"ping", `{"method":"ping"}`, "", ""},
		{"a notification", `{"method":"notifications/initialized"}`, "", ""},
		{"a free method", `{"method":"tools/list"}`, "", ""},
		{"a method with scopes", `{"method":"resources/read","params":{"uri":"x"}}`, "files:read files:list", ""},
		{"an unlisted method", `{"method":"prompts/get","params":{"name":"x"}}`, refused, ""},
		{"a method like a free one", `{"method":"Ping"}`, refused, ""},
		{"a free tool", call(`"search"`), "call", "search"},
		{"a tool with scopes", call(`"write_file"`), "call files:write", "other"},
		{"an escaped tool", call(`"write\u005ffile"`), "call files:write", "other"},
		{"an unlisted tool", call(`"rm"`), refused, "other"},
		{"a tool in another case", call(`"Search"`), refused, "other"},
		{"a tool called *", call(`"*"`), refused, "other"},
		{"an empty tool", call(`""`), refused, "other"},
		{"no tool", `{"method":"tools/call","params":{}}`, malformed, malformed},
		{"no params", `{"method":"tools/call"}`, malformed, malformed},
		{"params before method", `{"params":{"name":"write_file"},"method":"tools/call"}`, "call files:write", "other"},
		{"a tool that is an array", call(`["search"]`), malformed, malformed},
		{"a tool that is null", call(`null`), malformed, malformed},
		{"params as an array", `{"method":"tools/call","params":["search"]}`, malformed, malformed},
		{"two tools", `{"method":"tools/call","params":{"name":"search","name":"write_file"}}`, malformed, malformed},
		{"two tools by case", `{"method":"tools/call","params":{"name":"search","Name":"write_file"}}`, malformed, malformed},
		{"Name alone", `{"method":"tools/call","params":{"Name":"write_file"}}`, malformed, malformed},
		{"two methods", `{"method":"ping","method":"tools/call","params":{"name":"write_file"}}`, malformed, malformed},
		{"Method alone", `{"Method":"tools/call","params":{"name":"write_file"}}`, malformed, malformed},
		{"Params alone", `{"method":"tools/call","param\u017f":{"name":"write_file"},"params":{"name":"search"}}`, malformed, malformed},
		{"a method that is a number", `{"method":1}`, malformed, malformed},
		{"an ID beside the id", `{"id":1,"ID":2,"method":"ping"}`, malformed, malformed},
		{"a notification with params", `{"method":"notifications/roots/list_changed","params":{"name":1}}`, malformed, malformed},
		{"a notification with an id", `{"id":1,"method":"notifications/initialized"}`, malformed, malformed},
		{"a notification with an id behind it", `{"method":"notifications/x","id":null}`, malformed, malformed},
		{"a notification of nothing", `{"method":"notifications/"}`, malformed, malformed},
		{"a way out of notifications", `{"method":"notifications/../tools/call","params":{"name":"write_file"}}`, malformed, malformed},
		{"a way around a method", `{"method":"./tools/call","params":{"name":"write_file"}}`, malformed, malformed},
		{"a method with a second slash", `{"method":"tools//call","params":{"name":"write_file"}}`, malformed, malformed},
		{"a method with a slash before it", `{"method":"/tools/call","params":{"name":"write_file"}}`, malformed, malformed},
		{"an empty method", `{"method":""}`, malformed, malformed},
		{"257 members", `{"method":"ping","params":{` + numbered(257) + `}}`, malformed, malformed},
		{"256 members", `{"method":"ping","params":{` + numbered(256) + `}}`, "", ""},
		{"10,001 elements", `{"method":"ping","params":{"a":[0` + strings.Repeat(",0", 10_000) + `]}}`, malformed, malformed},
		{"a long text", `{"method":"ping","params":{"a":"` + strings.Repeat("x", 1<<20) + `"}}`, "", ""},
		{"a batch", `[{"method":"ping"}]`, malformed, malformed},
		{"two messages", `{"method":"ping"}{"method":"tools/call"}`, malformed, malformed},
		{"no JSON", `method=ping`, malformed, malformed},
		{"a word", `"ping"`, malformed, malformed},
	} {
		for what, want := range map[*mcp.Operations]string{o: c.closed, open: c.open} {
			needs, err := what.Needs(nil, []byte(c.body))
			switch want {
			case refused:
				if !errors.Is(err, auth.ErrPermissionDenied) || auth.CodeOf(err) != auth.CodePermissionDenied {
					t.Errorf("%s: %q, %v", c.name, needs, err)
				}
			case malformed:
				if auth.CodeOf(err) != auth.CodeInvalidRequest {
					t.Errorf("%s: %q, %v", c.name, needs, err)
				}
			default:
				if err != nil || !slices.Equal(needs, strings.Fields(want)) {
					t.Errorf("%s: %q, %v, want %q", c.name, needs, err, want)
				}
			}
		}
	}
}

// numbered returns n members.
func numbered(n int) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `"%x":0`, i)
	}
	return b.String()
}

// A body that is all names, or all variants of a name, ends the scan long before its own end: what stands there does not count, and the
// memory that a refusal takes does not grow with it.
func TestABodyFullOfNamesIsNotReadToItsEnd(t *testing.T) {
	o, err := mcp.NewOperations(mcp.OperationsConfig{Tools: map[string]string{"*": "x"}})
	if err != nil {
		t.Fatal(err)
	}
	for name, head := range map[string]string{"members": `{"method":"ping","params":{`, "variants": `{"Method":"ping",`, "members at the top": `{`} {
		body := []byte(head + numbered(200_000))
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := o.Needs(nil, body)
		runtime.ReadMemStats(&after)
		if took := after.TotalAlloc - before.TotalAlloc; auth.CodeOf(err) != auth.CodeInvalidRequest || took > 256<<10 {
			t.Errorf("%s: %v, %d bytes", name, err, took)
		}
	}
}

func TestABlankListOfScopesIsAFault(t *testing.T) {
	if _, err := mcp.NewOperations(mcp.OperationsConfig{Methods: map[string]string{"a": " "}, Tools: map[string]string{"b": "\t"}}); err == nil ||
		!strings.Contains(err.Error(), `Methods["a"]`) || !strings.Contains(err.Error(), `Tools["b"]`) {
		t.Error(err)
	}
}

func TestOperationsThatWereNotMadeRefuse(t *testing.T) {
	var none *mcp.Operations
	for _, o := range []*mcp.Operations{none, {}} {
		if _, err := o.Needs(nil, nil); !errors.Is(err, auth.ErrUnavailable) {
			t.Error(err)
		}
	}
	for name, cfg := range map[string]mcp.OperationsConfig{
		"nothing": {}, "an empty tool": {Tools: map[string]string{"": "a"}}, "a scope with quotes": {Methods: map[string]string{"x": `a"b`}},
	} {
		if _, err := mcp.NewOperations(cfg); err == nil {
			t.Errorf("%s: made", name)
		}
	}
}

func TestBehindAGateTheClientIsToldWhatTheCallNeeds(t *testing.T) {
	m := resource(t, config())
	o, err := mcp.NewOperations(mcp.OperationsConfig{Tools: map[string]string{"write_file": "files:write"}})
	if err != nil {
		t.Fatal(err)
	}
	g, err := auth.New(auth.Config{
		Authenticator: authtest.Accept(authtest.Principal(authtest.Scopes("mcp"))), Scopes: []string{"mcp"}, ResourceMetadata: m.MetadataURL(), Logger: quiet,
	})
	if err != nil {
		t.Fatal(err)
	}
	h := g.Handler(g.BodyScopesHandler(o.Needs, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })))
	for body, want := range map[string]string{
		`{"method":"ping"}`: "200 ",
		`{"method":"tools/call","params":{"name":"write_file"}}`: `403 Bearer realm="api", error="insufficient_scope", scope="mcp files:write", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/mcp"`,
		`{"method":"tools/call","params":{"name":"rm"}}`:         `403 `,
		`[]`: `400 Bearer realm="api", error="invalid_request", scope="mcp", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/mcp"`,
	} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, authtest.Request("POST", "/mcp", body))
		if got := fmt.Sprint(w.Code, " ", w.Header().Get("WWW-Authenticate")); got != want {
			t.Errorf("%s: %s", body, got)
		}
		if w.Code == 200 && w.Body.String() != body {
			t.Errorf("the server read %q", w.Body)
		}
	}
}

// FuzzNeeds: no body panics, and one that encoding/json reads as a call of the guarded tool, in any of the ways it matches names, never
// passes for free.
func FuzzNeeds(f *testing.F) {
	o, err := mcp.NewOperations(mcp.OperationsConfig{Tools: map[string]string{"*": "", "write_file": "files:write"}})
	if err != nil {
		f.Fatal(err)
	}
	for _, s := range []string{`{"method":"tools/call","params":{"name":"write_file"}}`, `{"Method":"tools/call","params":{"name":"write_file"}}`, `{"method":"ping","params":{"NAME":"write_file"},"method":"tools/call"}`, `[]`, `{"params":{"name":"a"},"method":"\u0074ools/call"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		needs, err := o.Needs(nil, body)
		if err != nil || len(needs) > 0 {
			return
		}
		var loose struct {
			Method string
			Params struct{ Name string }
		}
		if json.Unmarshal(body, &loose) == nil && loose.Method == "tools/call" && loose.Params.Name == "write_file" {
			t.Errorf("%q passes", body)
		}
	})
}

func BenchmarkNeeds(b *testing.B) {
	o, err := mcp.NewOperations(mcp.OperationsConfig{Tools: map[string]string{"write_file": "files:write"}})
	if err != nil {
		b.Fatal(err)
	}
	for name, size := range map[string]int{"1KiB": 1 << 10, "64KiB": 64 << 10} {
		body := []byte(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"write_file","arguments":{"text":"` + strings.Repeat("x", size) + `"}}}`)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				if _, err := o.Needs(nil, body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

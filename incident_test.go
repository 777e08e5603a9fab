package mantlet_test

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet"
	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/memhttp"
)

// The tests of this file are public incidents in which a request reached a handler around its policy, each named after its own. The
// requests go over a connection, as bytes, to a real server: what net/http makes of them is part of the proof.

// fortress is a pipeline with what those incidents had: a public health check, a public file tree, and handlers behind a policy.
type fortress struct {
	t   *testing.T
	s   *memhttp.Server
	ran string // the pattern whose handler ran
}

func newFortress(t *testing.T) *fortress {
	f := &fortress{t: t}
	keys := authtest.Accept(authtest.Principal(authtest.Scopes("read")))
	who := auth.AuthenticatorFunc(func(r *http.Request) (*auth.Principal, error) {
		if c, err := auth.CredentialOf(r); err != nil || c.Value == "" {
			return nil, auth.ErrNoCredential
		}
		return keys.Authenticate(r)
	})
	p := must(mantlet.New(mantlet.Config{Auth: must(auth.New(auth.Config{Authenticator: who}))}))
	for pattern, policy := range map[string]mantlet.Route{
		"GET /healthz": mantlet.Public(), "GET /public/": mantlet.Public(), "OPTIONS /admin": mantlet.Public(),
		"GET /admin": {}, "POST /admin": {}, "GET /admin/keys": {Scopes: "admin"}, "GET /v1/jobs/{id}": {Scopes: "read"}, "GET /v1/jobs/{id}/secret": {Scopes: "admin"},
		"POST /v1/embeddings": {InsecureRawBody: true},
	} {
		p.HandleFunc(pattern, policy, func(_ http.ResponseWriter, r *http.Request) {
			f.ran = pattern
			if got := exchange.From(r.Context()).Route(); got != pattern {
				t.Errorf("the rooms know %q, the handler of %q ran", got, pattern)
			}
		})
	}
	f.s = memhttp.New(t, p)
	return f
}

// send writes one request as it is and returns the answer.
func (f *fortress) send(line string, headers ...string) *http.Response {
	f.t.Helper()
	f.ran = ""
	conn, err := f.s.Dial(f.t.Context())
	if err != nil {
		f.t.Fatal(err)
	}
	defer conn.Close()
	head := line + " HTTP/1.1\r\n"
	if len(headers) == 0 || !strings.HasPrefix(headers[0], "Host:") {
		head += "Host: api.example.com\r\n"
	}
	for _, h := range headers {
		head += h + "\r\n"
	}
	go fmt.Fprint(conn, head+"\r\n") // a pipe has no buffer
	method, _, _ := strings.Cut(line, " ")
	res, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		f.t.Fatalf("%s: %v", line, err)
	}
	res.Body.Close()
	return res
}

// shut says that a request without a credential must not run a handler that has a policy, and is not sent elsewhere.
func (f *fortress) shut(line string, headers ...string) {
	f.t.Helper()
	res := f.send(line, headers...)
	if f.ran != "" || res.StatusCode < 400 || res.StatusCode >= 500 || res.Header.Get("Location") != "" {
		f.t.Errorf("%s %q: status %d, ran %q, Location %q", line, headers, res.StatusCode, f.ran, res.Header.Get("Location"))
	}
}

// A regular expression of paths without authentication was held against path and query together.
func TestOAuth2ProxyGHSA7rh7c77v6434TheQueryOpensNoRoute(t *testing.T) {
	f := newFortress(t)
	for _, q := range []string{"?/healthz", "?x=/healthz", "?/public/", "?x=y&/healthz$", "?%2Fhealthz", "?#/healthz"} {
		f.shut("GET /admin" + q)
	}
	if res := f.send("GET /healthz?x=/admin"); res.StatusCode != 200 || f.ran != "GET /healthz" {
		t.Errorf("a public route with a query: %d", res.StatusCode)
	}
}

// The path that was held against the rules came from a header of the client.
func TestCVE202640575NoHeaderNamesAnotherPath(t *testing.T) {
	f := newFortress(t)
	for _, name := range []string{"X-Forwarded-Uri", "X-Original-Url", "X-Original-Uri", "X-Rewrite-Url", "X-Forwarded-Path", "X-Forwarded-Prefix", "X-Envoy-Original-Path", "Forwarded"} {
		f.shut("GET /admin", name+": /healthz")
	}
	for _, name := range []string{"X-Http-Method-Override", "X-Method-Override", "X-Http-Method", "X-Forwarded-Method"} {
		f.shut("POST /admin", name+": OPTIONS")
	}
}

// The first repair trusted every peer as a proxy by default (oauth2-proxy #3506).
func TestOAuth2Proxy3506NobodyIsATrustedProxyByDefaultAndNotEverybodyByConfiguration(t *testing.T) {
	gate := must(auth.New(auth.Config{Authenticator: authtest.Refuse(auth.ErrInvalid)}))
	for _, all := range []string{"0.0.0.0/0", "::/0", "::ffff:0.0.0.0/96"} {
		prefixes := []netip.Prefix{netip.MustParsePrefix(all)}
		if _, err := mantlet.New(mantlet.Config{Auth: gate, TrustedProxies: prefixes}); err == nil {
			t.Errorf("the pipeline trusts %s", all)
		}
		if _, err := auth.New(auth.Config{Authenticator: authtest.Refuse(auth.ErrInvalid), TrustedProxies: prefixes}); err == nil {
			t.Errorf("the gate trusts %s", all)
		}
	}
	var seen netip.Addr
	p := must(mantlet.New(mantlet.Config{InsecureNoAuth: true}))
	p.HandleFunc("GET /", mantlet.Public(), func(_ http.ResponseWriter, r *http.Request) { seen = exchange.From(r.Context()).Addr(r, nil) })
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("X-Forwarded-For", "127.0.0.1")
	if p.ServeHTTP(httptest.NewRecorder(), r); seen.String() != "192.0.2.1" {
		t.Errorf("the client is %v", seen)
	}
}

// A fragment hid the rest of the path from the rules, and not from the server behind.
func TestCVE202641059AFragmentHidesNoPath(t *testing.T) {
	f := newFortress(t)
	for _, path := range []string{"/admin#/healthz", "/admin%23/healthz", "/healthz#/../admin", "/public/..%23/../../admin", "/healthz%23/admin"} {
		f.shut("GET " + path)
	}
}

// The name of a load balancer's health check in User-Agent was answered without a look at anything else.
func TestCVE202634457NoUserAgentIsAHealthCheck(t *testing.T) {
	f := newFortress(t)
	for _, agent := range []string{"GoogleHC/1.0", "kube-probe/1.33", "ELB-HealthChecker/2.0", "Go-http-client/1.1"} {
		f.shut("GET /admin", "User-Agent: "+agent)
	}
}

// Names with an underscore passed the list of identity headers, and became the same as those with a hyphen behind it. Here no header names
// the caller, and the credential itself is read by its one name.
func TestCVE202564484NoHeaderNamesTheCallerHoweverItIsSpelled(t *testing.T) {
	f := newFortress(t)
	for _, h := range []string{
		"X-Forwarded-User: admin", "X_Forwarded_User: admin", "X-Forwarded_User: admin", "X-Auth-Request-User: admin", "X_Auth_Request_Email: a@b", "Remote-User: admin", "X-Remote-User: admin",
		"X_Api_Key: k", "Api_Key: k", "X-Api_Key: k", "HTTP_AUTHORIZATION: Bearer k", "X-Authorization: Bearer k", "Proxy-Authorization: Bearer k",
	} {
		f.shut("GET /admin", h)
	}
}

// Rules were matched against the path as it came, and the server behind resolved its dot segments.
func TestOathkeeperGHSAp2246x5rfjpmDotSegmentsReachNothing(t *testing.T) {
	f := newFortress(t)
	for _, path := range []string{
		"/public/../admin", "/public/%2e%2e/admin", "/public/%2E./admin", "/public/..%2fadmin", "/public/..%2Fadmin/keys", "/public/./../admin", "/public/..;/admin", "/public/%252e%252e/admin",
		"/./admin", "/healthz/../admin", "/public/..%5cadmin", "/public/..\\admin", "/public/x/../../admin",
	} {
		res := f.send("GET " + path)
		// What stays below /public is the public handler's, with the segments that it was given: net/http does not decode twice.
		if f.ran != "" && f.ran != "GET /public/" || res.Header.Get("Location") != "" || f.ran == "" && res.StatusCode < 400 {
			t.Errorf("%s: %d, ran %q, Location %q", path, res.StatusCode, f.ran, res.Header.Get("Location"))
		}
		if strings.Contains(path, "/../") && f.ran != "" {
			t.Errorf("%s: a dot segment reached a handler", path)
		}
	}
}

// Slashes that were doubled or encoded made a path that no rule spoke of.
func TestOathkeeperGHSAvhr5ggp3qq85SlashesReachNothing(t *testing.T) {
	f := newFortress(t)
	for _, path := range []string{"//admin", "/admin//keys", "//admin/keys", "/admin/", "/admin//", "/%2fadmin", "/admin%2fkeys", "/admin%2Fkeys", "///admin", "/admin\\keys", "/v1//jobs/1"} {
		f.shut("GET "+path, "Authorization: Bearer k")
	}
	for _, target := range []string{"http://api.example.com//admin", "http://api.example.com/public/../admin", "admin", "*"} {
		conn := f.send("GET " + target)
		if f.ran != "" || conn.StatusCode < 400 {
			t.Errorf("%s: %d, ran %q", target, conn.StatusCode, f.ran)
		}
	}
}

// The policy was looked up by a URL that was put together from the Host header; the router took the path.
func TestLiteLLMCVE202649468HostIsNoPartOfTheRoute(t *testing.T) {
	f := newFortress(t)
	for _, host := range []string{"api.example.com/healthz?", "api.example.com/public/#", "x@/healthz", "/healthz", "healthz", ""} {
		f.shut("GET /admin", "Host: "+host)
	}
	f.shut("GET http://healthz/admin", "Host: x")
	f.shut("GET /admin", "Host: x", "X-Forwarded-Host: api.example.com/healthz?")
}

// Only paths below a prefix were asked for a key; the server had others (vllm #58144: /invocations; #42591: /v2/embed).
func TestVLLM58144And42591ARouteIsClosedBeforeItIsKnown(t *testing.T) {
	f := newFortress(t)
	for _, path := range []string{"/invocations", "/v2/embed", "/pause", "/tokenize", "/metrics", "/", "/v1", "/v1/"} {
		res := f.send("POST "+path, "Authorization: Bearer k", "Content-Length: 0")
		if f.ran != "" || res.StatusCode != 404 {
			t.Errorf("%s: %d, ran %q", path, res.StatusCode, f.ran)
		}
	}
	f.shut("POST /v1/embeddings", "Content-Length: 0")
}

// No rule for a route meant yes. A Route that says nothing asks for a caller, and what has no Route is not there.
func TestGofr3808ARouteWithoutAWordIsClosed(t *testing.T) {
	f := newFortress(t)
	f.shut("GET /admin")
	f.shut("GET /admin/other", "Authorization: Bearer k")
	if f.send("GET /admin", "Authorization: Bearer k"); f.ran != "GET /admin" {
		t.Error("a caller is not let in")
	}
	f.shut("GET /admin/keys", "Authorization: Bearer k") // without the scope
}

// The policy and the handler are those of one pattern, whatever the path looks like decoded.
func TestThePolicyIsThatOfThePatternThatRuns(t *testing.T) {
	f := newFortress(t)
	if f.send("GET /v1/jobs/1", "Authorization: Bearer k"); f.ran != "GET /v1/jobs/{id}" {
		t.Errorf("ran %q", f.ran)
	}
	f.shut("GET /v1/jobs/1/secret", "Authorization: Bearer k")
	if f.send("GET /v1/jobs/1%2Fsecret", "Authorization: Bearer k"); f.ran != "GET /v1/jobs/{id}" { // one id, with a slash in it
		t.Errorf("ran %q", f.ran)
	}
	f.shut("GET /v1/jobs/%2e%2e%2fadmin%2fkeys")
}

// HEAD is GET without a body, OPTIONS and CONNECT are methods like others, and none of them is waved through.
func TestHeadOptionsAndConnectHaveThePolicyOfTheirRoute(t *testing.T) {
	f := newFortress(t)
	for _, tc := range []struct {
		line    string
		headers []string
		status  int
		ran     string
	}{
		{"HEAD /admin", nil, 401, ""},
		{"HEAD /admin", []string{"Authorization: Bearer k"}, 200, "GET /admin"},
		{"HEAD /admin/keys", []string{"Authorization: Bearer k"}, 403, ""},
		{"HEAD /healthz", nil, 200, "GET /healthz"},
		{"OPTIONS /v1/jobs/1", nil, 405, ""},
		{"OPTIONS /v1/jobs/1", []string{"Origin: https://x.example", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: authorization"}, 405, ""},
		{"OPTIONS *", nil, 404, ""},
		{"OPTIONS /admin", []string{"Origin: https://x.example", "Access-Control-Request-Method: POST"}, 200, "OPTIONS /admin"}, // registered, public
		{"POST /admin", []string{"Origin: https://x.example", "Access-Control-Request-Method: POST", "Content-Length: 0"}, 401, ""},
		{"CONNECT /admin", nil, 405, ""},
		{"CONNECT api.example.com:443", nil, 404, ""},
		{"TRACE /admin", []string{"Authorization: Bearer k"}, 405, ""},
		{"get /admin", []string{"Authorization: Bearer k"}, 405, ""},
		{"PROPFIND /admin", []string{"Authorization: Bearer k"}, 405, ""},
	} {
		res := f.send(tc.line, tc.headers...)
		if tc.line == "OPTIONS *" { // net/http answers it itself, for the server and not for a route
			if f.ran != "" {
				t.Errorf("%s ran %q", tc.line, f.ran)
			}
			continue
		}
		if res.StatusCode != tc.status || f.ran != tc.ran {
			t.Errorf("%s %q: %d, ran %q", tc.line, tc.headers, res.StatusCode, f.ran)
		}
		if res.Header.Get("Access-Control-Allow-Origin") != "" || (res.StatusCode == 405) != (res.Header.Get("Allow") != "") {
			t.Errorf("%s %q: %v", tc.line, tc.headers, res.Header)
		}
	}
}

// What net/http's parser lets through of a path, the pipeline decides about as a whole: every byte there can be, in front of and behind a
// protected path, reaches the handler under its policy or not at all.
func FuzzNoPathReachesAHandlerWithoutItsPolicy(f *testing.F) {
	for _, s := range []string{"/admin", "//admin", "/public/../admin", "/admin%2f", "/admin%00", "/ADMIN", "/admin;x", "/public/%2e%2e/admin", "/healthz?/admin", "/%61dmin"} {
		f.Add(s)
	}
	var ran string
	p := must(mantlet.New(mantlet.Config{Auth: must(auth.New(auth.Config{Authenticator: authtest.Refuse(auth.ErrNoCredential)}))}))
	p.HandleFunc("GET /public/", mantlet.Public(), func(http.ResponseWriter, *http.Request) { ran = "public" })
	for _, pattern := range []string{"GET /admin", "GET /admin/{rest...}", "GET /tenants/{tenant}/admin"} {
		p.HandleFunc(pattern, mantlet.Route{}, func(http.ResponseWriter, *http.Request) { ran = "closed" })
	}
	f.Fuzz(func(t *testing.T, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		ran = ""
		w := httptest.NewRecorder()
		p.ServeHTTP(w, &http.Request{Method: "GET", URL: u, RequestURI: target, Host: "x", Header: http.Header{}, Body: http.NoBody, RemoteAddr: "192.0.2.1:1"})
		if ran == "closed" || ran == "" && w.Code != 401 && w.Code != 404 && w.Code != 405 || w.Header().Get("Location") != "" {
			t.Fatalf("%q: %d, ran %q, Location %q", target, w.Code, ran, w.Header().Get("Location"))
		}
		if ran == "public" && !strings.HasPrefix(u.EscapedPath(), "/public/") {
			t.Fatalf("%q is public", target)
		}
	})
}

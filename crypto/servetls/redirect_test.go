package servetls_test

import (
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/crypto/servetls"
)

func mustRedirect(t testing.TB, cfg servetls.RedirectConfig) *servetls.Redirect {
	t.Helper()
	rd, err := servetls.NewRedirect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return rd
}

func TestEveryFaultOfARedirectIsReportedAtOnce(t *testing.T) {
	bad := []string{"", "*.example.com", "Example.com", "example.com:80", "example.com.", "http://example.com", "example.com/", "exämple.com", "a b", "[::1", "::1%eth0", "::0:1", ".example.com", "a..b", strings.Repeat("a", 64)}
	_, err := servetls.NewRedirect(servetls.RedirectConfig{Hosts: bad, Port: 70000})
	if err == nil {
		t.Fatal("accepted")
	}
	if n := strings.Count(err.Error(), "RedirectConfig.Hosts["); n != len(bad) {
		t.Errorf("%d of %d hosts:\n%v", n, len(bad), err)
	}
	if !strings.Contains(err.Error(), "RedirectConfig.Port 70000") {
		t.Error(err)
	}
	if _, err := servetls.NewRedirect(servetls.RedirectConfig{}); err == nil {
		t.Error("no hosts accepted")
	}
}

func TestARedirectLeadsToOurHostsOnly(t *testing.T) {
	rd := mustRedirect(t, servetls.RedirectConfig{Hosts: []string{"model.example", "localhost", "192.0.2.7", "2001:db8::1"}})
	odd := mustRedirect(t, servetls.RedirectConfig{Hosts: []string{"model.example", "[2001:db8::1]"}, Port: 8443})
	for _, tc := range []struct {
		rd           *servetls.Redirect
		line, header string // a request line and a Host header
		status       int
		location     string
	}{
		{rd, "GET /", "model.example", 308, "https://model.example/"},
		{rd, "POST /v1/chat/completions?a=b&c=%2F", "model.example:80", 308, "https://model.example/v1/chat/completions?a=b&c=%2F"},
		{rd, "HEAD /", "MODEL.Example.", 308, "https://model.example/"},
		{rd, "GET /?", "model.example", 308, "https://model.example/?"},
		{rd, "GET /a%2Fb/%0d%0aX:%20y", "localhost:8080", 308, "https://localhost/a%2Fb/%0d%0aX:%20y"},
		{rd, "GET //evil.example/", "model.example", 308, "https://model.example//evil.example/"},
		{rd, "GET /\\evil.example", "model.example", 308, "https://model.example/%5Cevil.example"},
		{rd, "GET /\xc3\xa4?\xc3\xa4", "model.example", 308, "https://model.example/%C3%A4?%c3%a4"},
		{rd, "GET /@evil.example", "model.example", 308, "https://model.example/@evil.example"},
		{rd, "GET http://model.example", "ignored.example", 308, "https://model.example/"},
		{rd, "GET http://model.example?x", "model.example", 308, "https://model.example/?x"},
		{rd, "GET /", "192.0.2.7:80", 308, "https://192.0.2.7/"},
		{rd, "GET /", "[2001:DB8::0:1]:80", 308, "https://[2001:db8::1]/"},
		{rd, "GET /", "[2001:db8::1]", 308, "https://[2001:db8::1]/"},
		{odd, "GET /x", "model.example:8080", 308, "https://model.example:8443/x"},
		{odd, "GET /x", "[2001:db8::1]", 308, "https://[2001:db8::1]:8443/x"},
		{rd, "GET /", "evil.example", 421, ""},
		{rd, "GET http://evil.example/", "model.example", 421, ""},
		{rd, "GET /", "model.example.evil.example", 421, ""},
		{rd, "GET /", "evil.example:80@model.example", 400, ""}, // by net/http
		{rd, "GET /", "model.example:x", 421, ""},
		{rd, "GET /", "model.example:99999", 421, ""},
		{rd, "GET /", "[model.example]", 421, ""},
		{rd, "GET /", "192.0.2.8", 421, ""},
		{rd, "GET /", "", 421, ""},
		{rd, "GET /", "[model.example]:80", 421, ""},
		{rd, "OPTIONS *", "model.example", 200, ""}, // by net/http
		{rd, "CONNECT model.example:443", "model.example", 400, ""},
		{new(servetls.Redirect), "GET /", "model.example", 421, ""},
		{nil, "GET /", "model.example", 421, ""},
	} {
		resp := raw(t, tc.rd, tc.line+" HTTP/1.1\r\nHost: "+tc.header+"\r\nConnection: close\r\n\r\n")
		if resp.StatusCode != tc.status || resp.Header.Get("Location") != tc.location {
			t.Errorf("%s at %q: %d %q", tc.line, tc.header, resp.StatusCode, resp.Header.Get("Location"))
		}
	}
}

// raw sends bytes to a server with that handler.
func raw(t testing.TB, h http.Handler, request string) *http.Response {
	t.Helper()
	a, b := pipe()
	srv := &http.Server{Handler: h}
	go func() { _ = srv.Serve(&once{conn: a}) }()
	defer srv.Close()
	if _, err := io.WriteString(b, request); err != nil {
		t.Fatal(err)
	}
	method, _, _ := strings.Cut(request, " ")
	resp, err := http.ReadResponse(newReader(b), &http.Request{Method: method})
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp
}

func TestARequestWithoutAPathIsNotRedirected(t *testing.T) {
	rd := mustRedirect(t, servetls.RedirectConfig{Hosts: []string{"model.example"}})
	for _, u := range []*url.URL{{}, {Path: "*"}, {Path: "@evil.example"}, {Path: ".evil.example/"}, {Opaque: "evil.example", Scheme: "http"}, {Opaque: "x", Path: "/"}} {
		if to, err := rd.Target(&http.Request{Method: "GET", Host: "model.example", URL: u}); !errors.Is(err, servetls.ErrForm) {
			t.Errorf("%v: %q %v", u, to, err)
		}
	}
}

func TestCredentialsInClearAreNotMadeToWork(t *testing.T) {
	hosts := []string{"model.example"}
	rd := mustRedirect(t, servetls.RedirectConfig{Hosts: hosts})
	open := mustRedirect(t, servetls.RedirectConfig{Hosts: hosts, InsecureRedirectCredentials: true})
	for _, name := range []string{"Authorization", "x-api-key", "api-key", "X-Goog-Api-Key", "Proxy-Authorization"} {
		r := httptest.NewRequest("POST", "http://model.example/v1/messages", nil)
		r.Header.Set(name, "canary")
		w := httptest.NewRecorder()
		rd.ServeHTTP(w, r)
		if w.Code != 403 || w.Header().Get("Location") != "" || strings.Contains(w.Body.String(), "canary") || !strings.Contains(w.Body.String(), "https") {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
		if _, err := rd.Target(r); !errors.Is(err, servetls.ErrCredentials) {
			t.Errorf("%s: %v", name, err)
		}
		if to, err := open.Target(r); err != nil || to != "https://model.example/v1/messages" {
			t.Errorf("%s: %q %v", name, to, err)
		}
	}
}

func TestCredentialsOutsideOfTheUsualHeadersAreNotMadeToWork(t *testing.T) {
	rd := mustRedirect(t, servetls.RedirectConfig{
		Hosts: []string{"model.example"}, CredentialHeaders: []string{"x-team-key"}, CredentialParams: []string{"Team_Token"},
	})
	for target, ok := range map[string]bool{
		"http://model.example/v1?key=AIzaSECRET":                   false,
		"http://model.example/v1?alt=sse&key=AIzaSECRET":           false,
		"http://model.example/v1?api_key=sk-1":                     false,
		"http://model.example/v1?API-Key=sk-1":                     false,
		"http://model.example/v1?apikey=sk-1":                      false,
		"http://model.example/v1?%61pi%5Fkey=sk-1":                 false,
		"http://model.example/v1?access_token=x&a=b":               false,
		"http://model.example/v1?subscription-key=x":               false,
		"http://model.example/v1?a=b;key=x":                        false, // a separator for some servers
		"http://model.example/v1?team_token=x":                     false,
		"http://user:pass@model.example/":                          false,
		"http://user@model.example/":                               false,
		"http://model.example/v1?monkey=x&key_id=2&q=key%3Dx&keys": true,
		"http://model.example/v1":                                  true,
	} {
		if to, err := rd.Target(httptest.NewRequest("GET", target, nil)); (err == nil) != ok || !ok && !errors.Is(err, servetls.ErrCredentials) {
			t.Errorf("%s: %q %v", target, to, err)
		}
	}
	for value, ok := range map[string]bool{
		"realtime, openai-insecure-api-key.sk-1, openai-beta.realtime-v1": false,
		"OpenAI-Insecure-API-Key.sk-1":                                    false,
		"base64url.bearer.authorization.k8s.io.QUJD":                      false,
		"realtime, openai-beta.realtime-v1":                               true,
	} {
		r := httptest.NewRequest("GET", "http://model.example/", nil)
		r.Header.Add("Sec-WebSocket-Protocol", "graphql-ws")
		r.Header.Add("Sec-WebSocket-Protocol", value)
		if to, err := rd.Target(r); (err == nil) != ok {
			t.Errorf("%s: %q %v", value, to, err)
		}
	}
	r := httptest.NewRequest("GET", "http://model.example/", nil)
	r.Header.Set("X-Team-Key", "x")
	if _, err := rd.Target(r); !errors.Is(err, servetls.ErrCredentials) {
		t.Errorf("a header that was configured: %v", err)
	}
	_, err := servetls.NewRedirect(servetls.RedirectConfig{Hosts: []string{"a"}, CredentialHeaders: []string{"x key", ""}, CredentialParams: []string{""}})
	if err == nil || strings.Count(err.Error(), "CredentialHeaders[") != 2 || !strings.Contains(err.Error(), "CredentialParams[0]") {
		t.Error(err)
	}
}

// The other headers that are counted are in the test above; this is the decision about the one that is not.
func TestACookieIsRedirectedUnlessItIsSaidToBeACredential(t *testing.T) {
	for _, headers := range [][]string{nil, {"cookie"}} {
		rd, err := servetls.NewRedirect(servetls.RedirectConfig{Hosts: []string{"model.example"}, CredentialHeaders: headers})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "http://model.example/", nil)
		r.AddCookie(&http.Cookie{Name: "session", Value: "x"})
		if to, err := rd.Target(r); (err == nil) != (headers == nil) || headers != nil && err != servetls.ErrCredentials {
			t.Errorf("CredentialHeaders %q: %q, %v", headers, to, err)
		}
	}
}

func TestTheChallengeOfACMEIsExcepted(t *testing.T) {
	acme := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "answer") })
	rd := mustRedirect(t, servetls.RedirectConfig{Hosts: []string{"model.example"}, ACME: acme})
	without := mustRedirect(t, servetls.RedirectConfig{Hosts: []string{"model.example"}})
	for _, tc := range []struct {
		method, path string
		answered     bool
	}{
		{"GET", "/.well-known/acme-challenge/abc-_09Z", true},
		{"HEAD", "/.well-known/acme-challenge/abc", true},
		{"POST", "/.well-known/acme-challenge/abc", false},
		{"GET", "/.well-known/acme-challenge/", false},
		{"GET", "/.well-known/acme-challenge/a/b", false},
		{"GET", "/.well-known/acme-challenge/..%2f..%2fadmin", false},
		{"GET", "/.well-known/acme-challenge/../../admin", false},
		{"GET", "/x/.well-known/acme-challenge/abc", false},
	} {
		for rd, answered := range map[*servetls.Redirect]bool{rd: tc.answered, without: false} {
			for _, at := range []string{"model.example", "new.example"} {
				w := httptest.NewRecorder()
				rd.ServeHTTP(w, httptest.NewRequest(tc.method, "http://"+at+tc.path, nil))
				if got := w.Code == 200; got != answered {
					t.Errorf("%s %s at %s: %d", tc.method, tc.path, at, w.Code)
				}
			}
		}
	}
}

func FuzzRedirect(f *testing.F) {
	for _, s := range [][2]string{
		{"model.example", "/"}, {"MODEL.example.:80", "//evil.example"}, {"[2001:db8::1]:80", "/\\x"}, {"model.example", "@evil.example"}, {"model.example@evil.example", "/"},
		{"model.example", "http:evil.example"}, {"model.example", "*"}, {"::1", "/%00?\x7f"}, {"evil.example#model.example", ".evil.example"},
	} {
		f.Add(s[0], s[1])
	}
	hosts := []string{"model.example", "2001:db8::1"}
	rd := mustRedirect(f, servetls.RedirectConfig{Hosts: hosts})
	f.Fuzz(func(t *testing.T, host, target string) {
		u, err := url.ParseRequestURI(target)
		if err != nil {
			return
		}
		r := &http.Request{Method: "GET", Host: host, URL: u, Header: http.Header{}}
		w := httptest.NewRecorder()
		rd.ServeHTTP(w, r)
		if w.Code != 308 {
			if w.Header().Get("Location") != "" {
				t.Errorf("a %d with a Location", w.Code)
			}
			return
		}
		at := w.Header().Get("Location")
		to, err := url.Parse(at)
		if err != nil || to.Scheme != "https" || to.User != nil || to.Host != "model.example" && to.Host != "[2001:db8::1]" {
			t.Fatalf("%q at %q leads to %q (%v)", target, host, at, err)
		}
		if rest, ok := strings.CutPrefix(at, "https://"+to.Host); !ok || rest[0] != '/' || strings.ContainsAny(at, "\r\n") {
			t.Errorf("%q", at)
		}
	})
}

package auth_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/jwtauth"
)

// asked counts what a store is asked.
type asked struct {
	*apikey.MemoryStore
	n atomic.Int64
}

func (s *asked) Load(ctx context.Context, since string) (apikey.Batch, error) {
	s.n.Add(1)
	return s.MemoryStore.Load(ctx, since)
}

func (s *asked) Get(ctx context.Context, id string) (apikey.Record, error) {
	s.n.Add(1)
	return s.MemoryStore.Get(ctx, id)
}

// The value of the Authorization header went into an SQL statement.
func TestLiteLLMCVE202642208ACredentialIsNoPartOfAQuery(t *testing.T) {
	store := &asked{MemoryStore: apikey.NewMemoryStore()}
	keys, err := apikey.New(apikey.Config{Store: store, Prefix: "acme", Env: "test", PollInterval: 9 * time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close(context.Background())
	key, _, err := keys.Create(t.Context(), apikey.Spec{ClientID: "a"})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	g, err := auth.New(auth.Config{Authenticator: keys, SkipLockout: true, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	if err != nil {
		t.Fatal(err)
	}
	before := store.n.Load()
	good := key.Reveal()
	var first string
	for _, v := range []string{
		"' OR '1'='1", "sk-' UNION SELECT token FROM \"LiteLLM_VerificationToken\"--", "acme_test_' OR 1=1--", good + "' OR '1'='1", good[:len(good)-1] + "'", good + "\x00", "%27%20OR%201=1",
		`{"$gt":""}`, strings.Repeat("'", 1<<16), wrongSecret(good, 1),
	} {
		w := httptest.NewRecorder()
		g.Handler(http.NotFoundHandler()).ServeHTTP(w, authtest.Request("GET", "/", "", authtest.APIKey(v), header("X-Request-Id", "r")))
		if got := w.Body.String(); w.Code != 401 || first != "" && got != first {
			t.Errorf("%.40q: %d %s", v, w.Code, got)
		} else {
			first = got
		}
	}
	if n := store.n.Load() - before; n != 0 {
		t.Errorf("the store was asked %d times", n)
	}
	if strings.Contains(log.String(), "OR") || strings.Contains(log.String(), good[len(good)-20:]) {
		t.Errorf("part of a credential is in the log: %s", &log)
	}
}

// A token of the same issuer for another service was taken.
func TestZitadelGHSAg5h5m4hmxjrrATokenForAnotherAudienceIsRefused(t *testing.T) {
	s := authtest.NewSigner(t, "ES256")
	const issuer, mine, other = "https://issuer.example", "https://inference.example", "https://other.example"
	if _, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{s.Issuer(issuer, "")}}); err == nil {
		t.Error("a verifier without an audience")
	}
	v, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{s.Issuer(issuer, mine)}})
	if err != nil {
		t.Fatal(err)
	}
	g := gate(t, v)
	now := time.Now()
	for name, c := range map[string]struct {
		aud    any
		status int
	}{
		"mine": {mine, 404}, "mine among others": {[]string{other, mine}, 404}, "another": {other, 401}, "a prefix": {mine[:len(mine)-1], 401}, "longer": {mine + ".evil", 401},
		"none": {nil, 401}, "an empty list": {[]string{}, 401}, "empty": {"", 401}, "nested": {[]any{[]string{mine}}, 401}, "by case": {strings.ToUpper(mine), 401},
	} {
		w := httptest.NewRecorder()
		token := s.Token(authtest.With(authtest.Claims(issuer, mine, now), "aud", c.aud))
		g.Handler(http.NotFoundHandler()).ServeHTTP(w, authtest.Request("GET", "/", "", authtest.Bearer(token)))
		if w.Code != c.status {
			t.Errorf("%s: %d", name, w.Code)
		}
	}
}

// The incidents of a path, a header or a method that opened a door, for a Gate that stands alone in front of everything: nothing of a
// request but its credential decides. (The pipeline's are in the root package.)
func TestNothingButACredentialOpensAGate(t *testing.T) {
	g := gate(t, auth.AuthenticatorFunc(func(r *http.Request) (*auth.Principal, error) {
		if c, err := auth.CredentialOf(r); err != nil || c.Value == "" {
			return nil, auth.ErrNoCredential
		}
		return authtest.Principal(), nil
	}))
	for name, c := range map[string]struct {
		method, target string
		change         func(*http.Request)
	}{
		"oauth2-proxy GHSA-7rh7-c77v-6434":   {"GET", "/admin?/healthz", nil},
		"oauth2-proxy CVE-2026-40575":        {"GET", "/admin", header("X-Forwarded-Uri", "/healthz")},
		"oauth2-proxy CVE-2026-41059":        {"GET", "/admin%23/healthz", nil},
		"oauth2-proxy CVE-2026-34457":        {"GET", "/ping", header("User-Agent", "GoogleHC/1.0")},
		"oauth2-proxy CVE-2025-64484":        {"GET", "/admin", func(r *http.Request) { r.Header["X_Forwarded_User"] = []string{"admin"} }},
		"an API key with an underscore":      {"GET", "/admin", func(r *http.Request) { r.Header["X_Api_Key"] = []string{"k"} }},
		"a name that is not canonical":       {"GET", "/admin", func(r *http.Request) { r.Header["authorization"] = []string{"Bearer k"} }},
		"oathkeeper GHSA-p224-6x5r-fjpm":     {"GET", "/public/../admin", nil},
		"oathkeeper GHSA-vhr5-ggp3-qq85":     {"GET", "//admin", nil},
		"LiteLLM CVE-2026-49468":             {"GET", "/admin", func(r *http.Request) { r.Host = "x/healthz?" }},
		"vllm #58144":                        {"POST", "/invocations", nil},
		"a preflight":                        {"OPTIONS", "/admin", header("Access-Control-Request-Method", "GET")},
		"HEAD":                               {"HEAD", "/admin", nil},
		"CONNECT":                            {"CONNECT", "/admin", nil},
		"a key in the query":                 {"GET", "/admin?access_token=k&api_key=k&key=k", nil},
		"a key in a cookie":                  {"GET", "/admin", header("Cookie", "Authorization=Bearer k; api-key=k")},
		"Proxy-Authorization":                {"GET", "/admin", header("Proxy-Authorization", "Bearer k")},
		"a peer on this machine":             {"GET", "/admin", authtest.From("127.0.0.1:1")},
		"a client that says it is here":      {"GET", "/admin", header("X-Forwarded-For", "127.0.0.1")},
		"a verified certificate in a header": {"GET", "/admin", header("X-SSL-Client-Verify", "SUCCESS")},
	} {
		r := authtest.Request(c.method, c.target, "")
		if c.change != nil {
			c.change(r)
		}
		w, ran := serve(g.Handler, r)
		if ran || w.Code != 401 || !strings.HasPrefix(w.Header().Get("WWW-Authenticate"), "Bearer ") || w.Header().Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%s: ran %v, %d %v", name, ran, w.Code, w.Header())
		}
	}
	if g.LockoutStats().InUse != 0 {
		t.Error("a request without a credential, a preflight say, counts against its address")
	}
}

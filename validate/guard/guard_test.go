package guard_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/memhttp"
	"github.com/mantlet-go/mantlet/validate/guard"
)

func must(t testing.TB, cfg guard.Config) *guard.Guard {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	g, err := guard.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// room is a handler that refuses as the rooms do, with the code of the request's query.
var room = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	x, w, r := exchange.Enter(w, r)
	defer x.Leave()
	if code := r.URL.RawQuery; code != "" {
		x.Refuse(w, r, &deny.Denial{Code: deny.Code(code), Stage: "auth"})
		return
	}
	io.WriteString(w, "ok")
})

// ask sends a request from addr through h and returns the status.
func ask(h http.Handler, addr, target string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", target, nil)
	r.RemoteAddr = netip.AddrPortFrom(netip.MustParseAddr(addr), 1234).String()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestNewNamesEveryFaultAtOnce(t *testing.T) {
	_, err := guard.New(guard.Config{
		Rules: guard.Rules{Deny: []netip.Prefix{{}}, AllowOnly: true}, TrustedProxies: prefixes("0.0.0.0/0"),
		Methods: []string{"get", "TRACE"}, Hosts: []string{"ok.example", "http://x"}, Origins: []string{"https://x.example/", "null", "*", "https://x.example:443", "https://X.example", "https://ok.example:8443"},
		MaxURL: -1, MaxHeaderBytes: -1, MaxHeaderValue: -1, MaxHeaders: -1, Probes: []guard.Pattern{{Text: ""}, {Text: "a/**"}, {Text: "/"}}, Agents: []guard.Pattern{},
		Points: map[string]int{"internal_error": 1, "invalid_api_kee": 1, "probe": -1, "banned": 1}, BanPoints: -1, HalfLife: -1, Ban: time.Hour, MaxBan: time.Minute,
		ForgiveAfter: -1, MaxClients: 1 << 29, IPv6Bits: 65,
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"Rules.Deny[0]", "Rules.AllowOnly", "TrustedProxies[0]", "Methods[0]", "Methods[1]", "Hosts[1]", "Origins[0]", "Origins[1]", "Origins[2]", "Origins[3]", "Origins[4]", "MaxURL", "MaxHeaderBytes",
		"MaxHeaderValue", "MaxHeaders", "Probes[0]", "Probes[1]", "Probes[2]", "Agents is empty", `Points["internal_error"]`, `Points["invalid_api_kee"]`, `Points["probe"]`,
		`Points["banned"]`, "BanPoints", "HalfLife", "Ban 1h", "ForgiveAfter", "MaxClients", "IPv6Bits 65"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "Origins[5]") || strings.Contains(err.Error(), "Hosts[0]") {
		t.Error("a good value is at fault")
	}
	if _, err := guard.New(guard.Config{SkipProbes: true, Probes: guard.DefaultProbes(), SkipAgents: true, Agents: guard.DefaultAgents()}); err == nil || strings.Count(err.Error(), "contradict") != 2 {
		t.Error(err)
	}
	if _, err := guard.New(guard.Config{Ban: 48 * time.Hour}); err != nil {
		t.Error("a first ban longer than the default of MaxBan: ", err)
	}
	if _, err := guard.New(guard.Config{MaxBan: time.Second}); err != nil {
		t.Error("a MaxBan shorter than the default of Ban: ", err)
	}
}

func TestAZeroGuardRefuses(t *testing.T) {
	var none *guard.Guard
	for _, g := range []*guard.Guard{none, new(guard.Guard)} {
		w := ask(g.Handler(room), "192.0.2.1", "/")
		if w.Code != 500 || !strings.Contains(w.Body.String(), "internal_error") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if err := g.Check(httptest.NewRequest("GET", "/", nil), time.Now()); err == nil {
			t.Error("Check says nothing")
		}
	}
}

func TestWhoMayComeIn(t *testing.T) {
	list := guard.Config{Rules: guard.Rules{Allow: prefixes("192.0.2.0/28", "2001:db8:1::/48"), Deny: prefixes("192.0.2.0/24", "2001:db8::/32")}}
	only := list
	only.Rules.AllowOnly = true
	for _, tc := range []struct {
		addr           string
		byList, byOnly int
	}{
		{"192.0.2.1", 200, 200}, {"192.0.2.99", 403, 403}, {"2001:db8:1::1", 200, 200}, {"2001:db8:2::1", 403, 403}, {"198.51.100.1", 200, 403}, {"::ffff:192.0.2.99", 403, 403},
	} {
		if got := ask(must(t, list).Handler(room), tc.addr, "/"); got.Code != tc.byList {
			t.Errorf("%s: %d", tc.addr, got.Code)
		}
		if got := ask(must(t, only).Handler(room), tc.addr, "/"); got.Code != tc.byOnly {
			t.Errorf("%s, allow only: %d", tc.addr, got.Code)
		}
	}
}

// A proxy that writes X-Forwarded-For passes a Forwarded header on as the client wrote it. Two headers that disagree give no
// address; that must be no way around a deny list or a ban.
func TestAContradictionInProxyHeadersIsNoWayAroundTheLists(t *testing.T) {
	cfg := guard.Config{TrustedProxies: prefixes("10.0.0.0/8"), Rules: guard.Rules{Deny: prefixes("192.0.2.0/24")}}
	send := func(cfg guard.Config, headers ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "10.0.0.1:1"
		for i := 0; i < len(headers); i += 2 {
			r.Header.Add(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		must(t, cfg).Handler(room).ServeHTTP(w, r)
		return w
	}
	open := cfg
	open.UnknownAddressOpen = true
	only := open
	only.Rules = guard.Rules{Allow: prefixes("0.0.0.0/0", "::/0"), AllowOnly: true}
	for i, tc := range []struct {
		w    *httptest.ResponseRecorder
		want int
	}{
		{send(cfg, "X-Forwarded-For", "192.0.2.1"), 403},
		{send(cfg, "X-Forwarded-For", "198.51.100.1"), 200},
		{send(cfg, "X-Forwarded-For", "192.0.2.1", "Forwarded", "for=198.51.100.1"), 403},
		{send(cfg, "X-Forwarded-For", "unknown"), 403},
		{send(open, "X-Forwarded-For", "unknown"), 200},
		{send(only, "X-Forwarded-For", "unknown"), 403},
		{send(only, "X-Forwarded-For", "192.0.2.1"), 200},
		{send(open, "X-Forwarded-For", "192.0.2.1"), 403},
	} {
		if tc.w.Code != tc.want {
			t.Errorf("%d: %d %s", i, tc.w.Code, tc.w.Body)
		}
	}
	// Open, they are served for ever, but never banned as one.
	g := must(t, open)
	for range 50 {
		r := httptest.NewRequest("GET", "/.env", nil)
		r.RemoteAddr = "@"
		w := httptest.NewRecorder()
		if g.Handler(room).ServeHTTP(w, r); w.Code != 404 {
			t.Fatal(w.Code)
		}
	}
	if st := g.Stats(); st.InUse != 0 {
		t.Errorf("%+v", st)
	}
}

func TestRefusalsOfTheRoomsInsideEndInABan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for code, n := range map[string]int{"invalid_api_key": 20, "invalid_json": 50, "schema_violation": 100, "content_policy": 34, "rate_limit_exceeded": 100, "not_found": 100, "duplicate_key": 20} {
			h := must(t, guard.Config{}).Handler(room)
			for i := range n {
				if w := ask(h, "192.0.2.1", "/v1/models?"+code); w.Code == 429 && code != "rate_limit_exceeded" || w.Header().Get("Retry-After") != "" {
					t.Errorf("%s: banned after %d", code, i)
				}
			}
			w := ask(h, "192.0.2.1", "/v1/models")
			if w.Code != 429 || w.Header().Get("Retry-After") != "300" || w.Header().Get("X-Should-Retry") != "false" || !strings.Contains(w.Body.String(), `"code":"too_many_requests"`) {
				t.Errorf("%s: %d %v %s", code, w.Code, w.Header(), w.Body)
			}
			if w := ask(h, "192.0.2.2", "/v1/models"); w.Code != 200 {
				t.Errorf("%s: a neighbour got %d", code, w.Code)
			}
			time.Sleep(299*time.Second + time.Millisecond)
			if w := ask(h, "192.0.2.1", "/v1/models"); w.Header().Get("Retry-After") != "1" {
				t.Errorf("%s: Retry-After %q", code, w.Header().Get("Retry-After"))
			}
			time.Sleep(time.Second)
			if w := ask(h, "192.0.2.1", "/v1/models"); w.Code != 200 {
				t.Errorf("%s: %d after the time in Retry-After", code, w.Code)
			}
		}
	})
}

func TestFaultsOfOurOwnAndOfHonestClientsCostNothing(t *testing.T) {
	g := must(t, guard.Config{BanPoints: 1})
	h := g.Handler(room)
	for _, code := range []string{"", "internal_error", "upstream_error", "timeout", "store_unavailable", "auth_unavailable", "overloaded", "token_expired", "insufficient_quota",
		"insufficient_user_authentication", "request_refused", "no such code"} {
		ask(h, "192.0.2.1", "/?"+strings.ReplaceAll(code, " ", "_"))
	}
	// An answer of ours is ours, whatever its code says.
	ask(g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		x.Refuse(w, r, &deny.Denial{Code: deny.InvalidAPIKey, HTTPStatus: 503, Stage: "auth"})
	})), "192.0.2.1", "/")
	if st := g.Stats(); st.InUse != 0 {
		t.Errorf("%+v %v", st, g.Bans())
	}
}

func TestEveryCodeOfAClientsFaultHasADecision(t *testing.T) {
	points := must(t, guard.Config{Points: map[string]int{"invalid_api_key": 50, "probe": 0}}).Points()
	for _, c := range []deny.Code{deny.InvalidRequest, deny.MissingCredentials, deny.InvalidAPIKey, deny.InvalidToken, deny.TokenExpired, deny.StepUp, deny.InsufficientScope, deny.ModelNotAllowed,
		deny.AddressNotAllowed, deny.RateLimitExceeded, deny.TooManyRequests, deny.InsufficientQuota, deny.InvalidJSON, deny.DuplicateKey, deny.LimitExceeded, deny.RequestTimeout, deny.BodyTooLarge,
		deny.UnsupportedMediaType, deny.SchemaViolation, deny.ContentPolicy, deny.NotFound, deny.MethodNotAllowed, deny.RequestRefused} {
		if _, ok := points[string(c)]; !ok || c.Status() >= 500 {
			t.Errorf("%s", c)
		}
	}
	if points["invalid_api_key"] != 50 || points["probe"] != 0 || points["agent"] != 20 || points["banned"] != 0 {
		t.Error(points)
	}
}

func TestTheGuardsOwnRefusalsCountAndABannedClientIsNotCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := must(t, guard.Config{})
		h := g.Handler(room)
		for range 5 {
			if w := ask(h, "192.0.2.66", "/.env"); w.Code != 404 || !strings.Contains(w.Body.String(), "There is nothing at this path.") {
				t.Errorf("%d %s", w.Code, w.Body)
			}
		}
		until, ok := g.Banned(attacker)
		if !ok {
			t.Fatal("not banned by five probes")
		}
		time.Sleep(time.Minute)
		for range 100 {
			if w := ask(h, "192.0.2.66", "/.env"); w.Code != 429 {
				t.Fatal(w.Code)
			}
		}
		if again, _ := g.Banned(attacker); !again.Equal(until) {
			t.Error("asking put off the end of the ban")
		}
	})
}

func TestAnAllowedAddressIsNeverBannedButMustBehave(t *testing.T) {
	h := must(t, guard.Config{Rules: guard.Rules{Allow: prefixes("192.0.2.0/24")}}).Handler(room)
	for range 100 {
		if w := ask(h, "192.0.2.66", "/.env"); w.Code != 404 {
			t.Fatal(w.Code)
		}
	}
	if w := ask(h, "192.0.2.66", "/"); w.Code != 200 {
		t.Error(w.Code)
	}
}

// An image on any page makes its readers' browsers ask for /.env; five of them must not ban the reader. (What the page
// cannot send, a credential, counts.)
func TestAWebPageCannotHaveItsVisitorsBanned(t *testing.T) {
	g := must(t, guard.Config{})
	h := g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Authorization") // as a room may do that has read it
		room(w, r)
	}))
	send := func(site, auth, target string) int {
		r := httptest.NewRequest("GET", target, nil)
		r.RemoteAddr = "192.0.2.66:1"
		r.Header.Set("Sec-Fetch-Site", site)
		if auth != "" {
			r.Header.Set("Authorization", auth)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	for range 200 {
		if code := send("cross-site", "", "/.env"); code != 404 {
			t.Fatal(code)
		}
		if code := send("cross-site", "", "/?missing_credentials"); code != 401 {
			t.Fatal(code)
		}
	}
	if g.Score(attacker) != 0 {
		t.Error("the visitor has a score")
	}
	send("none", "", "/.env")
	send("cross-site", "Bearer guess", "/?invalid_api_key")
	if s := g.Score(attacker); s < 24.9 || s > 25 {
		t.Errorf("score %v, want 25", s)
	}
}

// What no page can send without a preflight counts, whatever Sec-Fetch-Site says; what browsers send of themselves does not.
func TestOnlyWhatAForeignPageCanSendIsNotCounted(t *testing.T) {
	for _, c := range []struct {
		method  string
		headers string // lines, separated by "|"
		counts  bool
	}{
		{"GET", "", false},
		{"HEAD", "Accept: */*|Accept-Language: de|Accept-Encoding: gzip|Range: bytes=0-|Referer: https://evil.example/|Cookie: a=b|Cache-Control: no-cache|Pragma: no-cache|Dnt: 1|Te: trailers", false},
		{"POST", "Content-Type: text/plain;charset=UTF-8|Origin: https://evil.example|Sec-Ch-Ua-Mobile: ?0|Priority: u=1|Content-Length: 3", false},
		{"POST", "Content-Type: Multipart/Form-Data; boundary=x|Content-Language: en|Upgrade-Insecure-Requests: 1", false},
		{"POST", "Content-Type: application/x-www-form-urlencoded", false},
		{"POST", "Content-Type: text/ping|Ping-From: https://evil.example/|Ping-To: https://api.example/.env", false},
		{"POST", "Content-Type: application/csp-report", false},
		{"GET", "Connection: Upgrade|Upgrade: websocket|Sec-Websocket-Key: x|Sec-Websocket-Version: 13", false},
		{"GET", "X-Forwarded-For: 192.0.2.66|X-Forwarded-Proto: https|Via: 1.1 x|Forwarded: for=192.0.2.66|Traceparent: 00-1-1-00|X-Request-Id: x|X-Envoy-Attempt-Count: 1|Cf-Ray: 1", false},
		{"OPTIONS", "Origin: https://evil.example|Access-Control-Request-Method: PUT|Access-Control-Request-Headers: authorization", false},
		{"OPTIONS", "", true},
		{"PUT", "", true},
		{"PATCH", "", true},
		{"DELETE", "", true},
		{"POST", "Content-Type: application/json", true},
		{"POST", "Content-Type: text/plainx", true},
		{"POST", "Content-Type:", true},
		{"GET", "X-Goog-Api-Key: guess", true},
		{"GET", "Authorization: Bearer guess", true},
		{"GET", "X-Api-Key: guess", true},
		{"GET", "Api-Key: guess", true},
		{"GET", "Ocp-Apim-Subscription-Key: guess", true},
		{"GET", "X-Requested-With: x", true},
		{"GET", "Cf-Access-Client-Secret: guess", true},
		{"GET", "Sec-Fetch-Site: cross-site", true}, // twice
	} {
		g := must(t, guard.Config{})
		r := httptest.NewRequest(c.method, "/.env", nil)
		r.RemoteAddr = "192.0.2.66:1"
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		for line := range strings.SplitSeq(c.headers, "|") {
			if name, value, ok := strings.Cut(line, ":"); ok {
				r.Header.Add(name, strings.TrimSpace(value))
			}
		}
		g.Handler(room).ServeHTTP(httptest.NewRecorder(), r)
		if got := g.Score(attacker) > 0; got != c.counts {
			t.Errorf("%s %s: counted %v", c.method, c.headers, got)
		}
	}
}

func TestARefusalCountsOnceHoweverOftenTheGuardStandsInTheChain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := must(t, guard.Config{})
		ask(g.Handler(g.Handler(room)), "192.0.2.66", "/?invalid_api_key")
		ask(g.Handler(g.Handler(room)), "192.0.2.66", "/.env")
		ask(g.Handler(must(t, guard.Config{}).Handler(room)), "192.0.2.66", "/.env")
		ask(g.Handler(must(t, guard.Config{Methods: []string{"PUT"}}).Handler(room)), "192.0.2.66", "/") // its own score is enough
		if s := g.Score(attacker); s < 44.9 || s > 45.1 {
			t.Errorf("score %v, want 45", s)
		}
	})
}

func TestARefusalInTheMiddleOfAStreamThatEndsInAPanicCounts(t *testing.T) {
	g := must(t, guard.Config{})
	h := g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		exchange.From(r.Context()).SetDenial(&deny.Denial{Code: deny.ContentPolicy, Stage: "sanitize"})
		panic(http.ErrAbortHandler)
	}))
	func() {
		defer func() {
			if recover() != http.ErrAbortHandler {
				t.Error("the panic is gone")
			}
		}()
		ask(h, "192.0.2.66", "/")
	}()
	if g.Score(attacker) < 2.9 {
		t.Error("not counted")
	}
}

func TestShadowChangesNoByteAndRecordsWhatItWouldDo(t *testing.T) {
	g := must(t, guard.Config{Shadow: true, Rules: guard.Rules{Deny: prefixes("203.0.113.0/24")}, Hosts: []string{"example.com"}})
	var found []exchange.Finding
	h := g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		room(w, r)
		found = exchange.From(r.Context()).Findings()
	}))
	for i, tc := range []struct{ addr, target, rule string }{
		{"192.0.2.66", "/.env", "probe"}, {"203.0.113.1", "/", "address"}, {"192.0.2.66", "/..", "path"}, {"192.0.2.66", "http://evil.example/", "host"},
	} {
		want, got := ask(withID(room), tc.addr, tc.target), ask(withID(h), tc.addr, tc.target)
		if got.Code != want.Code || got.Body.String() != want.Body.String() || fmt.Sprint(got.Header()) != fmt.Sprint(want.Header()) {
			t.Errorf("%d: %d %v %s, want %d %v %s", i, got.Code, got.Header(), got.Body, want.Code, want.Header(), want.Body)
		}
		if len(found) != 1 || found[0] != (exchange.Finding{Kind: "guard", Rule: tc.rule, Action: "shadow", Direction: "request", Count: 1}) {
			t.Errorf("%d: %v", i, found)
		}
	}
	for range 20 {
		ask(h, "192.0.2.66", "/?invalid_api_key")
	}
	if !banned(g, attacker) {
		t.Error("shadow keeps no scores")
	}
	if w := ask(h, "192.0.2.66", "/"); w.Code != 200 || len(found) != 1 || found[0].Rule != "banned" {
		t.Errorf("%d %v", w.Code, found)
	}
}

// withID fixes the request id, so that answers can be compared.
func withID(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { r.Header.Set("X-Request-Id", "same"); h.ServeHTTP(w, r) })
}

func TestARefusalGoesThroughTheDoorOfEveryRoom(t *testing.T) {
	var buf bytes.Buffer
	var got error
	cfg := guard.Config{
		Logger: slog.New(slog.NewJSONHandler(&buf, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Deny: func(w http.ResponseWriter, r *http.Request, err error) {
			got = err
			w.WriteHeader(418)
		},
	}
	var denial *deny.Denial
	outer := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, w, r := exchange.Enter(w, r)
			defer x.Leave()
			next.ServeHTTP(w, r)
			denial = x.Denial()
		})
	}
	h := outer(must(t, cfg).Handler(room))
	if w := ask(h, "192.0.2.66", "/secret-place/.env?token=abc"); w.Code != 418 {
		t.Error(w.Code)
	}
	var e *guard.Error
	if !errors.As(got, &e) || e.Rule != guard.RuleProbe || e.Status != 404 || denial == nil || denial.Stage != "guard" || denial.Code != deny.NotFound {
		t.Errorf("%v, %+v", got, denial)
	}
	if !strings.Contains(denial.Error(), ".env: environment file with secrets") || strings.Contains(e.Error(), ".env") {
		t.Errorf("operator: %s\nclient: %s", denial.Error(), e.Error())
	}
	var line map[string]any
	if err := json.Unmarshal(buf.Bytes(), &line); err != nil || line["rule"] != "probe" || line["status"] != 404.0 {
		t.Errorf("%v %s", err, buf.Bytes())
	}
	if strings.Contains(buf.String()+denial.Error(), "secret-place") || strings.Contains(buf.String(), "abc") {
		t.Errorf("something of the request is in the log: %s", buf.Bytes())
	}
	buf.Reset()
	for range 5 {
		ask(h, "192.0.2.66", "/.env")
	}
	if !strings.Contains(buf.String(), `"prefix":"192.0.2.66/32","action":"ban","last":"probe"`) {
		t.Errorf("no word of the ban: %s", buf.Bytes())
	}
}

func TestAHandlerCanReport(t *testing.T) {
	g := must(t, guard.Config{})
	h := g.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		g.Report(r.Context(), 30)
		g.Report(r.Context(), -5)
		w.WriteHeader(401)
	}))
	for range 4 {
		ask(h, "192.0.2.66", "/login")
	}
	if w := ask(h, "192.0.2.66", "/login"); w.Code != 429 {
		t.Error(w.Code)
	}
	g.Report(t.Context(), 1000) // outside of a request: nothing
	g.Report(httptest.NewRequest("GET", "/", nil).Context(), 1000)
	if st := g.Stats(); st.InUse != 1 {
		t.Errorf("%+v", st)
	}
}

func TestCheckAloneDecidesAsTheHandlerDoesButCountsNothing(t *testing.T) {
	g := must(t, guard.Config{})
	r := httptest.NewRequest("GET", "/.env", nil)
	r.RemoteAddr = "192.0.2.66:1"
	for range 10 {
		if got := rule(g, r); got != guard.RuleProbe {
			t.Fatal(got)
		}
	}
	if g.Stats().InUse != 0 {
		t.Error("Check has counted")
	}
	g.ReportAddr(attacker, 100)
	var e *guard.Error
	if err := g.Check(r, time.Now()); !errors.As(err, &e) || e.Rule != guard.RuleBanned || e.RetryAfter <= 0 || e.RetryAfter > guard.DefaultBan {
		t.Errorf("%v", err)
	}
}

func TestEverythingAtOnce(t *testing.T) {
	g := must(t, guard.Config{Rules: guard.Rules{Deny: prefixes("203.0.113.0/24")}, MaxClients: 512})
	h := g.Handler(room)
	var wg sync.WaitGroup
	var wrong atomic.Int64
	for w := range 8 {
		wg.Go(func() {
			for i := range 300 {
				if ask(h, "203.0.113.9", "/").Code != 403 {
					wrong.Add(1)
				}
				ask(h, fmt.Sprintf("10.0.%d.%d", w, i%200), "/.git/config")
				if ask(h, "198.51.100.1", "/").Code != 200 {
					wrong.Add(1)
				}
			}
		})
	}
	wg.Go(func() {
		for i := range 100 {
			r := guard.Rules{Deny: append(prefixes("203.0.113.0/24"), many(i)...), Allow: prefixes("198.51.100.0/24")}
			if err := g.SetRules(r); err != nil {
				t.Error(err)
			}
			g.Bans()
			g.Stats()
			g.Unban(netip.MustParseAddr("10.0.1.1"))
		}
	})
	wg.Wait()
	if n := wrong.Load(); n > 0 {
		t.Errorf("%d wrong answers", n)
	}
}

func TestARefusedClientCannotHoldItsConnectionWithABodyThatNeverComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := must(t, guard.Config{})
		srv := memhttp.New(t, g.Handler(room))
		conn, err := srv.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		start := time.Now()
		io.WriteString(conn, "POST /.env HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx")
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || resp.StatusCode != 404 || !resp.Close {
			t.Fatalf("%v %v", resp, err)
		}
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Error(err)
		}
		if _, err := conn.Read(make([]byte, 1)); err != io.EOF {
			t.Errorf("the connection is still open: %v", err)
		}
		if d := time.Since(start); d > time.Second { // net/http lingers for half a second
			t.Errorf("it took %v", d)
		}
	})
}

package audit_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/audit"
	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/memhttp"
)

// one runs requests through a Log around h and gives the lines.
func run(t testing.TB, cfg audit.Config, h http.Handler, reqs ...*http.Request) ([]map[string]any, *memory) {
	t.Helper()
	s := &memory{}
	cfg.Sinks = append(cfg.Sinks, s)
	l := open(t, cfg)
	for _, r := range reqs {
		func() {
			defer func() { recover() }()
			l.Handler(h).ServeHTTP(httptest.NewRecorder(), r)
		}()
	}
	mustClose(t, l)
	balanced(t, l.Stats())
	return s.parsed(t), s
}

func want(t testing.TB, m map[string]any, pairs ...any) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if got := m[pairs[i].(string)]; got != pairs[i+1] {
			t.Errorf("%s = %v, want %v in %v", pairs[i], got, pairs[i+1], m)
		}
	}
}

func absent(t testing.TB, m map[string]any, keys ...string) {
	t.Helper()
	for _, key := range keys {
		if v, ok := m[key]; ok {
			t.Errorf("%s = %v, want it absent", key, v)
		}
	}
}

func post(path, body string) *http.Request {
	return httptest.NewRequest("POST", path, strings.NewReader(body))
}

func TestARequestIsOneLine(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/things/{id}", func(w http.ResponseWriter, r *http.Request) {
		audit.Annotate(r.Context(), slog.String("thing", "teapot"))
		w.WriteHeader(http.StatusTeapot)
		io.WriteString(w, "short and stout")
	})
	r := post("/v1/things/7?token=canary", "hello")
	r.Header.Set("X-Request-Id", "req-1")
	r.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	got, s := run(t, audit.Config{}, mux, r)
	if len(got) != 1 {
		t.Fatal(s.lines)
	}
	want(t, got[0], "schema", 1.0, "event.name", "http.request", "stage", "completed", "request.id", "req-1", "client.net", "192.0.2.0/24",
		"http.request.method", "POST", "http.route", "POST /v1/things/{id}", "http.response.status_code", 418.0,
		"http.request.body.size", 5.0, "http.response.body.size", 15.0, "attr.thing", "teapot",
		"trace_id", "0af7651916cd43dd8448eb211c80319c", "span_id", "b7ad6b7169203331")
	absent(t, got[0], "http.client_aborted", "client.address", "auth.outcome", "ratelimit.outcome", "validate.outcome", "gen_ai.operation.name",
		"gen_ai.usage.output_tokens", "x.capture", "error.type")
}

func TestAHandlerThatSaysNothingIsA200(t *testing.T) {
	got, _ := run(t, audit.Config{}, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), httptest.NewRequest("GET", "/", nil))
	want(t, got[0], "http.response.status_code", 200.0, "http.response.body.size", 0.0)
	absent(t, got[0], "http.route")
}

// refuser is a room inside that says no.
func refuser(d *deny.Denial) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		x.Refuse(w, r, d)
	})
}

func TestWhatOtherRoomsRefuseIsRecordedWithItsPrivateCause(t *testing.T) {
	for _, c := range []struct {
		stage  string
		code   deny.Code
		status float64
		member string
	}{
		{"auth", deny.InvalidAPIKey, 401, "auth.outcome"},
		{"ratelimit", deny.RateLimitExceeded, 429, "ratelimit.outcome"},
		{"validate", deny.DuplicateKey, 400, "validate.outcome"},
		{"sanitize", deny.ContentPolicy, 400, "sanitize.outcome"},
	} {
		got, _ := run(t, audit.Config{}, refuser(&deny.Denial{Code: c.code, Stage: c.stage, Cause: errors.New("why\nexactly")}), post("/v1/chat/completions", "{}"))
		want(t, got[0], "stage", "completed", "error.type", string(c.code), "http.response.status_code", c.status, c.member, "denied",
			"x.error.stage", c.stage, "x.error.cause", "why\nexactly")
	}
}

func TestTheFactsOfAllRoomsAreInTheLine(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchange.From(r.Context())
		x.SetRoute("POST /v1/chat/completions")
		x.SetCaller(exchange.Caller{Issuer: "keys", Subject: "svc", Tenant: "t1", ClientID: "acme", KeyID: "k1", Method: "api_key", Plan: "pro"})
		x.SetModel("gpt-x")
		x.SetReservation(1)
		x.SetUsage(exchange.Usage{Input: 100, CachedInput: 40, Output: 7, MicroUSD: 123, Known: true, Estimated: true})
		for range 5 {
			x.AddFinding(exchange.Finding{Kind: "email", Rule: "pii.email", Action: "redact", Direction: "in"})
		}
		x.AddFinding(exchange.Finding{Kind: "secret", Rule: "aws", Action: "flag", Direction: "out"})
	})
	got, _ := run(t, audit.Config{}, h, post("/v1/chat/completions", "{}"))
	want(t, got[0], "http.route", "POST /v1/chat/completions", "auth.scheme", "api_key", "auth.outcome", "allowed", "auth.issuer", "keys",
		"auth.subject", "svc", "auth.tenant", "t1", "auth.client_id", "acme", "auth.key_id", "k1", "auth.plan", "pro",
		"gen_ai.operation.name", "chat", "gen_ai.request.model", "gpt-x", "ratelimit.outcome", "allowed", "sanitize.outcome", "flagged",
		"gen_ai.usage.input_tokens", 100.0, "gen_ai.usage.cache_read.input_tokens", 40.0, "gen_ai.usage.output_tokens", 7.0,
		"x.cost_microusd", 123.0, "x.usage_estimated", true)
	found := got[0]["sanitize.findings"].([]any)
	if first := found[0].(map[string]any); len(found) != 2 || first["kind"] != "email" || first["count"] != 5.0 {
		t.Error(found)
	}
}

func TestMoreFindingsThanFitAreCounted(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range 40 {
			exchange.From(r.Context()).AddFinding(exchange.Finding{Kind: "k", Rule: fmt.Sprint(i % 20)})
		}
	})
	got, _ := run(t, audit.Config{}, h, post("/", "{}"))
	total := got[0]["x.findings_dropped"].(float64)
	for _, f := range got[0]["sanitize.findings"].([]any) {
		total += f.(map[string]any)["count"].(float64)
	}
	if total != 40 {
		t.Errorf("%v of 40 findings are accounted for", total)
	}
}

func explode() { panic("boom") }

func TestAPanicIsRecordedOnceAndGoesOnWithItsOwnStack(t *testing.T) {
	for name, h := range map[string]http.HandlerFunc{
		"before the header": func(http.ResponseWriter, *http.Request) { explode() },
		"after the header":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201); explode() },
	} {
		s := &memory{}
		l := open(t, audit.Config{Sinks: []audit.Sink{s}})
		var value any
		var stack string
		func() {
			defer func() { value, stack = recover(), string(debug.Stack()) }()
			l.Handler(h).ServeHTTP(httptest.NewRecorder(), post("/v1/messages", "{}"))
		}()
		if value != "boom" || !strings.Contains(stack, "explode") {
			t.Errorf("%s: recovered %v with\n%s", name, value, stack)
		}
		mustClose(t, l)
		got := s.parsed(t)
		if len(got) != 1 {
			t.Fatalf("%s: %d lines", name, len(got))
		}
		want(t, got[0], "stage", "panic", "error.type", "panic")
		if name == "before the header" {
			absent(t, got[0], "http.response.status_code")
		} else {
			want(t, got[0], "http.response.status_code", 201.0)
		}
		if strings.Contains(s.lines[0], "boom") {
			t.Error("the panic's text is in the line") // it may be anything; a recovering room leaves it as a cause if it wants
		}
		balanced(t, l.Stats())
		if held := l.Stats().Sinks[0].Held; held != 0 {
			t.Errorf("%d promises are left", held)
		}
	}
}

func TestErrAbortHandlerAndGoexitAreRecordedOnce(t *testing.T) {
	s := &memory{}
	l := open(t, audit.Config{Sinks: []audit.Sink{s}})
	func() {
		defer func() {
			if p := recover(); p != http.ErrAbortHandler {
				t.Errorf("recovered %v", p)
			}
		}()
		l.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })).ServeHTTP(httptest.NewRecorder(), post("/", ""))
	}()
	var wg sync.WaitGroup
	wg.Go(func() {
		l.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { runtime.Goexit() })).ServeHTTP(httptest.NewRecorder(), post("/", ""))
	})
	wg.Wait()
	mustClose(t, l)
	got := s.parsed(t)
	if len(got) != 2 {
		t.Fatal(s.lines)
	}
	want(t, got[0], "stage", "completed", "error.type", "aborted")
	absent(t, got[0], "http.client_aborted")
	want(t, got[1], "stage", "panic", "error.type", "panic")
}

func TestACrashInTheMiddleOfAReplyStaysOneWhenARoomBreaksTheReplyOff(t *testing.T) {
	got, _ := run(t, audit.Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half a")
		exchange.From(r.Context()).SetDenial(&deny.Denial{Code: deny.InternalError, Stage: "sanitize", Cause: errors.New("handler panicked: boom")})
		panic(http.ErrAbortHandler)
	}), post("/", ""))
	want(t, got[0], "stage", "panic", "error.type", "internal_error", "x.error.stage", "sanitize")
}

func TestAProxyThatCannotFinishItsReplyIsNoCrash(t *testing.T) {
	for name, upstreamBreaks := range map[string]bool{"the upstream broke off": true, "the client left": false} {
		t.Run(name, func(t *testing.T) {
			up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				io.WriteString(w, "data: {}\n\n")
				http.NewResponseController(w).Flush()
				if upstreamBreaks {
					panic(http.ErrAbortHandler)
				}
				<-r.Context().Done()
			}))
			up.Start()
			defer up.Close()
			to, _ := url.Parse(up.URL)
			proxy := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(to) }, FlushInterval: -1, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
			s := &memory{}
			l := open(t, audit.Config{Sinks: []audit.Sink{s}})
			ended := make(chan struct{})
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(ended)
				l.Handler(proxy).ServeHTTP(w, r)
			}))
			defer srv.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			req, _ := http.NewRequestWithContext(ctx, "GET", srv.URL, nil)
			resp, err := srv.Client().Do(req)
			if err != nil {
				t.Fatal(err)
			}
			if upstreamBreaks {
				io.Copy(io.Discard, resp.Body)
			}
			cancel()
			resp.Body.Close()
			<-ended
			mustClose(t, l)
			got := s.parsed(t)
			if len(got) != 1 {
				t.Fatal(s.lines)
			}
			want(t, got[0], "stage", "completed", "http.response.status_code", 200.0)
			if upstreamBreaks {
				want(t, got[0], "error.type", "aborted")
				absent(t, got[0], "http.client_aborted")
			} else {
				want(t, got[0], "http.client_aborted", true)
				absent(t, got[0], "error.type")
			}
		})
	}
}

func TestAClientThatHasTheWholeReplyHasNotAborted(t *testing.T) {
	type step func(w http.ResponseWriter, leave func())
	set := func(k, v string) step { return func(w http.ResponseWriter, _ func()) { w.Header().Set(k, v) } }
	write := func(s string) step { return func(w http.ResponseWriter, _ func()) { io.WriteString(w, s) } }
	status := func(n int) step { return func(w http.ResponseWriter, _ func()) { w.WriteHeader(n) } }
	leave := func(_ http.ResponseWriter, leave func()) { leave() }
	chunk := write("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n")
	sse, js := set("Content-Type", "text/event-stream"), set("Content-Type", "application/json")
	for name, c := range map[string]struct {
		steps   []step
		aborted bool
	}{
		"an error, then it leaves":                  {[]step{status(500), write("sorry"), leave}, false},
		"it closes its half early, then an error":   {[]step{leave, status(500), write("sorry")}, false},
		"it closes its half early, then a document": {[]step{leave, js, write(`{"id":"x"}`)}, false},
		"it leaves, then the proxy gives up":        {[]step{leave, status(502)}, true},
		"it leaves and nothing is said":             {[]step{leave}, true},
		"the announced length, then it leaves":      {[]step{set("Content-Length", "5"), write("hello"), leave}, false},
		"it leaves in the middle of that length":    {[]step{set("Content-Length", "5"), write("hel"), leave}, true},
		"no content, then it leaves":                {[]step{status(204), leave}, false},
		"a whole stream, then it leaves":            {[]step{sse, chunk, write("data: [DONE]\n\n"), leave}, false},
		"it leaves in the middle of a stream":       {[]step{sse, chunk, leave}, true},
		"a whole document, then it leaves":          {[]step{js, write(`{"id":"x"}`), leave}, false},
		"it leaves in the middle of a document":     {[]step{js, write(`{"id":`), leave}, true},
		"it does not leave and the document is cut": {[]step{js, write(`{"id":`)}, false},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		got, _ := run(t, audit.Config{}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, s := range c.steps {
				s(w, cancel)
			}
		}), post("/v1/chat/completions", "{}").WithContext(ctx))
		cancel()
		if got[0]["http.client_aborted"] == true != c.aborted {
			t.Errorf("%s: %v", name, got[0])
		}
	}
}

func TestAHandlerInFrontOfNothingPanicsAtStart(t *testing.T) {
	defer func() {
		if p := recover(); p != "audit: Log.Handler: next is nil" {
			t.Error(p)
		}
	}()
	open(t, audit.Config{Sinks: []audit.Sink{&memory{}}}).Handler(nil)
}

func TestAClientThatLeavesIsRecordedOnce(t *testing.T) {
	s := &memory{}
	l := open(t, audit.Config{Sinks: []audit.Sink{s}, Ack: audit.AckEnqueued})
	started, ended := make(chan struct{}), make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n")
			http.NewResponseController(w).Flush()
			close(started)
			<-r.Context().Done()
		})).ServeHTTP(w, r)
	}))
	defer srv.Close()
	ctx, cancel := context.WithCancel(context.Background())
	req, _ := http.NewRequestWithContext(ctx, "POST", srv.URL+"/v1/chat/completions", nil)
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	<-started
	cancel()
	resp.Body.Close()
	<-ended
	mustClose(t, l)
	got := s.parsed(t)
	if len(got) != 1 {
		t.Fatal(s.lines)
	}
	want(t, got[0], "stage", "completed", "http.client_aborted", true, "gen_ai.request.stream", true)
	absent(t, got[0], "gen_ai.usage.output_tokens", "gen_ai.response.finish_reasons")
}

func TestAHijackedConnectionIsRecorded(t *testing.T) {
	s := &memory{}
	l := open(t, audit.Config{Sinks: []audit.Sink{s}})
	ended := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(ended)
		l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			conn, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
			conn.Close()
		})).ServeHTTP(w, r)
	}))
	defer srv.Close()
	conn, err := net.Dial("tcp", srv.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: x\r\nConnection: Upgrade\r\n\r\n")
	bufio.NewReader(conn).ReadString('\n')
	conn.Close()
	<-ended
	mustClose(t, l)
	got := s.parsed(t)
	if len(got) != 1 {
		t.Fatal(s.lines)
	}
	want(t, got[0], "http.hijacked", true, "stage", "completed")
	absent(t, got[0], "http.response.status_code")
}

func TestAStreamIsMeasured(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		frames := []string{
			`{"id":"c1","model":"served-model","choices":[{"index":0,"delta":{"role":"assistant"}}]}`,
			`{"id":"c1","model":"served-model","choices":[{"index":0,"delta":{"content":"Hello"}}]}`,
			`{"id":"c1","model":"served-model","choices":[{"index":0,"delta":{"content":" world"}}]}`,
			`{"id":"c1","model":"served-model","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`,
			`{"id":"c1","model":"served-model","choices":[],"usage":{"prompt_tokens":11,"completion_tokens":31,"total_tokens":42}}`,
		}
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			for _, f := range frames {
				time.Sleep(500 * time.Millisecond)
				fmt.Fprintf(w, "data: %s\n\n", f)
				http.NewResponseController(w).Flush()
			}
			io.WriteString(w, "data: [DONE]\n\n")
		})
		got, _ := run(t, audit.Config{}, h, post("/v1/chat/completions", `{"stream":true}`))
		// The first content came after 1 s, the last byte after 2.5 s: 30 tokens in 1.5 s.
		want(t, got[0], "gen_ai.request.stream", true, "gen_ai.response.time_to_first_chunk", 1.0, "gen_ai.usage.input_tokens", 11.0,
			"gen_ai.usage.output_tokens", 31.0, "x.tokens_per_second", 20.0, "x.duration_ms", 2500.0, "gen_ai.response.model", "served-model")
		if r := got[0]["gen_ai.response.finish_reasons"].([]any); len(r) != 1 || r[0] != "stop" {
			t.Error(r)
		}
		frames = frames[:3]
		got, _ = run(t, audit.Config{}, h, post("/v1/chat/completions", `{"stream":true}`))
		absent(t, got[0], "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "x.tokens_per_second", "gen_ai.response.finish_reasons")
		got, _ = run(t, audit.Config{IgnoreReplies: true}, h, post("/v1/chat/completions", `{"stream":true}`))
		absent(t, got[0], "gen_ai.response.model", "gen_ai.response.time_to_first_chunk")
	})
}

func TestTheUsageOfAWholeReplyIsReadAndTheReplyUntouched(t *testing.T) {
	reply := `{"id":"m","type":"message","role":"assistant","model":"claude-x","content":[{"type":"text","text":"hi"}],"stop_reason":"end_turn","usage":{"input_tokens":5,"cache_read_input_tokens":3,"output_tokens":2}}`
	s := &memory{}
	l := open(t, audit.Config{Sinks: []audit.Sink{s}})
	w := httptest.NewRecorder()
	l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		io.WriteString(w, reply)
	})).ServeHTTP(w, post("/v1/messages", "{}"))
	mustClose(t, l)
	if w.Body.String() != reply {
		t.Errorf("the client got %q", w.Body)
	}
	want(t, s.parsed(t)[0], "gen_ai.usage.input_tokens", 8.0, "gen_ai.usage.output_tokens", 2.0, "gen_ai.usage.cache_read.input_tokens", 3.0,
		"gen_ai.response.model", "claude-x")
}

func TestNoHandlerRunsThatCannotBeRecorded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, release := stalled(true)
		best := &memory{name: "best"}
		l := open(t, audit.Config{Sinks: []audit.Sink{s, audit.BestEffort(best)}, MaxQueueEvents: 3, Wait: 40 * time.Millisecond})
		var ran atomic.Int64
		h := l.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran.Add(1) }))
		codes := map[int]int{}
		for range 10 {
			w := httptest.NewRecorder()
			start := time.Now()
			h.ServeHTTP(w, post("/v1/chat/completions", "{}"))
			codes[w.Code]++
			if w.Code == 503 {
				if w.Header().Get("Retry-After") == "" || !strings.Contains(w.Body.String(), `"overloaded"`) {
					t.Errorf("%v %s", w.Header(), w.Body)
				}
				if d := time.Since(start); d != 40*time.Millisecond {
					t.Errorf("refused after %v", d)
				}
			}
			synctest.Wait()
		}
		if codes[200] != 3 || codes[503] != 7 || ran.Load() != 3 {
			t.Errorf("%v, the handler ran %d times", codes, ran.Load())
		}
		close(release)
		synctest.Wait()
		w := httptest.NewRecorder()
		if h.ServeHTTP(w, post("/", "")); w.Code != 200 {
			t.Error("still refused:", w.Code)
		}
		mustClose(t, l)
		balanced(t, l.Stats())
		if events, missing := s.account(t); events != 4 || missing != 7 {
			t.Errorf("%d stored, %d missing", events, missing)
		}
		if events, missing := best.account(t); events != 11 || missing != 0 {
			t.Errorf("the sink with room has %d, misses %d", events, missing)
		}
		want(t, best.parsed(t)[5], "http.response.status_code", 503.0, "error.type", "overloaded", "x.error.stage", "audit")
		if w = httptest.NewRecorder(); true {
			h.ServeHTTP(w, post("/", ""))
			if w.Code != 503 || ran.Load() != 4 {
				t.Errorf("after Close: %d", w.Code)
			}
		}
	})
}

func TestAZeroLogRefuses(t *testing.T) {
	for _, l := range []*audit.Log{nil, {}} {
		w := httptest.NewRecorder()
		l.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") })).ServeHTTP(w, post("/", ""))
		if w.Code != 503 {
			t.Error(w.Code)
		}
	}
}

func TestPromisesAreKeptForRequestsUnderWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &memory{}
		l := open(t, audit.Config{Sinks: []audit.Sink{s}, MaxQueueEvents: 2, Wait: -1})
		done := make(chan struct{})
		h := l.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-done }))
		for range 2 {
			go h.ServeHTTP(httptest.NewRecorder(), post("/", ""))
		}
		synctest.Wait()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, post("/", ""))
		if w.Code != 503 {
			t.Error("a third request runs though only two lines have room:", w.Code)
		}
		close(done)
		synctest.Wait()
		mustClose(t, l)
		if events, missing := s.account(t); events != 2 || missing != 1 {
			t.Error(events, missing)
		}
		balanced(t, l.Stats())
	})
}

const canary = "CANARY-7f3a9"

func TestSecretsOfARequestAreInNoMetadataLine(t *testing.T) {
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.ReadAll(r.Body)
		w.Header().Set("Set-Cookie", canary)
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(500)
		fmt.Fprintf(w, `{"error":{"message":%q}}`, canary)
	})
	cause := &deny.Denial{Code: deny.InternalError, Stage: "sanitize", Cause: errors.New(strings.Repeat("x", 512) + canary)}
	for _, path := range []string{"/v1/chat/completions", "/v1/messages", "/" + canary} {
		for _, h := range []http.Handler{h, refuser(cause), http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(canary) })} {
			for _, color := range []bool{false, true} {
				var terminal bytes.Buffer
				r := post(path+"?key="+canary, `{"model":"m","messages":[{"content":"`+canary+`"}]}`)
				r.Header.Set("Authorization", "Bearer "+canary)
				r.Header.Set("X-Api-Key", canary)
				r.Header.Set("Cookie", canary)
				r.Header.Set("User-Agent", canary)
				r.Header.Set("Traceparent", canary)
				r.Header.Set("X-Request-Id", canary+" not a valid id")
				r.Method = canary
				r.Host = canary
				got, s := run(t, audit.Config{
					Sinks:    []audit.Sink{audit.NewTerminalSink(audit.TerminalConfig{Writer: &terminal, Color: color})},
					Capture:  []audit.Rule{{Level: audit.CaptureHash}},
					Identify: audit.Identify{Key: make([]byte, 32), Address: audit.AddressHMAC},
				}, h, r)
				if len(got) != 1 {
					t.Fatal(s.lines)
				}
				if all := s.lines[0] + terminal.String(); strings.Contains(all, canary) || strings.Contains(all, "192.0.2") {
					t.Errorf("%s: %s", path, all)
				}
			}
		}
	}
}

func TestCaptureLevels(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	body := strings.Repeat("prompt "+canary+" 世\n", 2000)
	seal := func(plain []byte) ([]byte, error) {
		return []byte("sealed:" + base64.StdEncoding.EncodeToString(plain)), nil
	}
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte("body\x00" + body))
	sum := "k1:" + hex.EncodeToString(mac.Sum(nil))
	cfg := audit.Config{
		Identify: audit.Identify{Key: key, KeyID: "k1"}, Seal: seal, InsecurePlaintext: true,
		Capture: []audit.Rule{
			{Route: "GET /healthz", Level: audit.CaptureNone},
			{Route: "POST /hash", Level: audit.CaptureHash},
			{Route: "POST /sealed*", Level: audit.CaptureEncrypted, MaxBytes: 100},
			{Model: "open-*", Level: audit.CapturePlain, MaxBytes: 101},
		},
	}
	if got := cfg.Identify.BodyHMAC([]byte(body)); got != sum {
		t.Errorf("BodyHMAC is %s, want %s", got, sum)
	}
	mux := http.NewServeMux()
	for _, pattern := range []string{"GET /healthz", "POST /hash", "POST /sealed/{x}", "POST /other", "POST /model"} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			if b, err := io.ReadAll(r.Body); err != nil || r.Method == "POST" && string(b) != body {
				t.Errorf("the handler read %d bytes, %v", len(b), err)
			}
			if r.URL.Path == "/model" {
				exchange.From(r.Context()).SetModel("open-1")
			}
		})
	}
	got, s := run(t, cfg, mux, httptest.NewRequest("GET", "/healthz", nil), post("/hash", body), post("/sealed/1", body), post("/other", body), post("/model", body))
	if len(got) != 4 {
		t.Fatal(s.lines)
	}
	size := float64(len(body))
	want(t, got[0], "x.capture", "hash", "x.body.bytes", size, "x.body.complete", true, "x.body.hmac", sum)
	absent(t, got[0], "x.body.sealed", "x.body.text")
	want(t, got[1], "x.capture", "encrypted", "x.body.hmac", sum)
	plain, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(got[1]["x.body.sealed"].(string), "sealed:"))
	if err != nil || string(plain) != body[:100] {
		t.Errorf("%q %v", plain, err)
	}
	absent(t, got[2], "x.capture", "x.body.hmac", "x.body.bytes")
	want(t, got[3], "x.capture", "plain", "x.body.hmac", sum)
	checkText(t, got[3], "x.body.text", body)
	for i, line := range s.lines[:3] {
		if strings.Contains(line, canary) {
			t.Errorf("line %d holds the body", i)
		}
	}
}

func TestABodyNobodyReadToItsEndIsNotCalledComplete(t *testing.T) {
	cfg := audit.Config{Identify: audit.Identify{Key: make([]byte, 32)}, Capture: []audit.Rule{{Level: audit.CaptureHash}}}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.ReadFull(r.Body, make([]byte, 3)) })
	got, _ := run(t, cfg, h, post("/", "hello"), httptest.NewRequest("GET", "/", nil))
	want(t, got[0], "x.body.bytes", 3.0, "x.body.complete", false, "x.body.hmac", cfg.Identify.BodyHMAC([]byte("hel")))
	want(t, got[1], "x.body.bytes", 0.0, "x.body.complete", true, "x.body.hmac", cfg.Identify.BodyHMAC(nil))
}

func TestTheHashIsOfWhatTheClientSentNotOfWhatARoomMadeOfIt(t *testing.T) {
	cfg := audit.Config{Identify: audit.Identify{Key: make([]byte, 32)}, Capture: []audit.Rule{{Level: audit.CaptureHash}}}
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchange.From(r.Context())
		if _, err := x.ReadBody(w, r, 1<<20); err != nil {
			t.Error(err)
		}
		x.ReplaceBody(r, []byte("redacted"))
		if b, _ := io.ReadAll(r.Body); string(b) != "redacted" {
			t.Errorf("%q", b)
		}
	})
	got, _ := run(t, cfg, h, post("/", "hello"))
	want(t, got[0], "x.body.hmac", cfg.Identify.BodyHMAC([]byte("hello")), "x.body.complete", true)
}

func TestASealThatFailsKeepsTheEventAndNeverThePlainText(t *testing.T) {
	for name, c := range map[string]struct {
		seal   func([]byte) ([]byte, error)
		reason string
	}{
		"error":  {func([]byte) ([]byte, error) { return nil, errors.New(canary) }, "seal_error"},
		"panic":  {func([]byte) ([]byte, error) { panic(canary) }, "seal_error"},
		"both":   {func(p []byte) ([]byte, error) { return p, errors.New("half done") }, "seal_error"},
		"binary": {func(p []byte) ([]byte, error) { return append([]byte{0}, p...), nil }, "seal_not_printable"},
		"empty":  {func([]byte) ([]byte, error) { return nil, nil }, "seal_not_printable"},
		"long":   {func([]byte) ([]byte, error) { return bytes.Repeat([]byte("a"), 1<<20), nil }, "seal_too_long"},
	} {
		cfg := audit.Config{Identify: audit.Identify{Key: make([]byte, 32)}, Seal: c.seal, Capture: []audit.Rule{{Level: audit.CaptureEncrypted}}}
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.ReadAll(r.Body) })
		got, s := run(t, cfg, h, post("/", canary))
		want(t, got[0], "x.capture", "encrypted", "x.capture_failed", c.reason, "x.body.hmac", cfg.Identify.BodyHMAC([]byte(canary)))
		absent(t, got[0], "x.body.sealed", "x.body.text")
		if strings.Contains(s.lines[0], canary) {
			t.Errorf("%s: %s", name, s.lines[0])
		}
	}
}

func TestAPlainPayloadOfHostileBytesIsStillOneLine(t *testing.T) {
	for _, text := range hostileTexts {
		if len(text) > 1<<16 {
			text = text[:1<<16]
		}
		cfg := audit.Config{InsecurePlaintext: true, Capture: []audit.Rule{{Level: audit.CapturePlain}}}
		h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.ReadAll(r.Body) })
		got, _ := run(t, cfg, h, post("/", text))
		if text, ok := got[0]["x.body.text"].(string); !ok {
			t.Error(text)
		}
		if len(text) <= 16<<10 {
			checkText(t, got[0], "x.body.text", text)
		}
	}
}

func TestABodyReadAfterTheHandlerReturnedIsHarmless(t *testing.T) {
	cfg := audit.Config{Identify: audit.Identify{Key: make([]byte, 32)}, Capture: []audit.Rule{{Level: audit.CaptureHash}}}
	var wg sync.WaitGroup
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // a transport does this
		wg.Go(func() { io.Copy(io.Discard, r.Body) })
	})
	var reqs []*http.Request
	for range 200 {
		reqs = append(reqs, post("/", strings.Repeat("x", 4096)))
	}
	got, _ := run(t, cfg, h, reqs...)
	wg.Wait()
	for _, m := range got {
		if m["x.body.complete"] == true && m["x.body.hmac"] != cfg.Identify.BodyHMAC(bytes.Repeat([]byte("x"), 4096)) {
			t.Fatal(m)
		}
	}
}

func TestAddressesAreWrittenAsConfigured(t *testing.T) {
	key := bytes.Repeat([]byte("k"), 32)
	for _, c := range []struct {
		form               audit.AddressForm
		remote, key, value string
	}{
		{audit.AddressNetwork, "203.0.113.77:1234", "client.net", "203.0.113.0/24"},
		{audit.AddressNetwork, "[2001:db8:1:2:3::4]:1234", "client.net", "2001:db8:1::/48"},
		{audit.AddressNetwork, "[::ffff:203.0.113.77]:1234", "client.net", "203.0.113.0/24"},
		{audit.AddressFull, "203.0.113.77:1234", "client.address", "203.0.113.77"},
		{audit.AddressFull, "[fe80::1%eth0\"]:1234", "client.address", "fe80::1"},
		{audit.AddressHMAC, "203.0.113.77:1234", "client.hmac", audit.Identify{Key: key}.Pseudonym("client.hmac", "203.0.113.77")},
		{audit.AddressNone, "203.0.113.77:1234", "", ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		r.Header.Set("X-Forwarded-For", "198.51.100.1") // nobody configured a proxy
		got, _ := run(t, audit.Config{Identify: audit.Identify{Key: key, Address: c.form}}, http.NotFoundHandler(), r)
		for _, key := range []string{"client.net", "client.address", "client.hmac"} {
			if key == c.key {
				want(t, got[0], key, c.value)
			} else {
				absent(t, got[0], key)
			}
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.RemoteAddr = "10.0.0.1:1"
	r.Header.Set("X-Forwarded-For", "6.6.6.6, 198.51.100.1")
	got, _ := run(t, audit.Config{TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, Identify: audit.Identify{Address: audit.AddressFull}}, http.NotFoundHandler(), r)
	want(t, got[0], "client.address", "198.51.100.1")
}

func TestOnlyAnExactTraceContextIsTaken(t *testing.T) {
	for _, bad := range []string{"", "x", "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01", "00-00000000000000000000000000000000-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01", "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
		"00-0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331-01", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0\n"} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["Traceparent"] = []string{bad}
		got, _ := run(t, audit.Config{}, http.NotFoundHandler(), r)
		absent(t, got[0], "trace_id", "span_id")
	}
}

func TestAnnotationsAreBoundedLastOneWinsAndLateOnesAreIgnored(t *testing.T) {
	var late context.Context
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		late = r.Context()
		audit.Annotate(r.Context(), slog.String("k", "first"))
		audit.Annotate(r.Context(), slog.String("k", "last"), slog.String("long", strings.Repeat("y", 1<<20)))
		for i := range 30 {
			audit.Annotate(r.Context(), slog.Int(fmt.Sprint("n", i), i))
		}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() { audit.Annotate(r.Context(), slog.String("k", "last")) })
		}
		wg.Wait()
	})
	s := &memory{}
	l := open(t, audit.Config{Sinks: []audit.Sink{s}})
	l.Handler(h).ServeHTTP(httptest.NewRecorder(), post("/", ""))
	audit.Annotate(late, slog.String("k", "too late"))
	audit.Annotate(context.Background(), slog.String("k", "nowhere"))
	mustClose(t, l)
	m := s.parsed(t)[0]
	want(t, m, "attr.k", "last", "attr.n0", 0.0, "attr.n13", 13.0, "x.attrs_dropped", 16.0)
	absent(t, m, "attr.n14")
	checkText(t, m, "attr.long", strings.Repeat("y", 1<<20))
}

func TestOfTwoHandlersOfOneLogOnlyTheOuterRecords(t *testing.T) {
	a, b := &memory{}, &memory{}
	la, lb := open(t, audit.Config{Sinks: []audit.Sink{a}}), open(t, audit.Config{Sinks: []audit.Sink{b}})
	h := la.Handler(lb.Handler(la.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		audit.Annotate(r.Context(), slog.Bool("both", true))
	}))))
	h.ServeHTTP(httptest.NewRecorder(), post("/", ""))
	mustClose(t, la)
	mustClose(t, lb)
	for _, s := range []*memory{a, b} {
		got := s.parsed(t)
		if len(got) != 1 {
			t.Fatal(s.lines)
		}
		want(t, got[0], "attr.both", true)
	}
}

func TestManyRequestsAtOnceOverARealServer(t *testing.T) {
	s := &memory{}
	l := open(t, audit.Config{Sinks: []audit.Sink{s}})
	srv := memhttp.New(t, l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		audit.Annotate(r.Context(), slog.String("path", r.URL.Path))
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"a\"}}]}\n\n")
			http.NewResponseController(w).Flush()
		}
		if strings.HasSuffix(r.URL.Path, "7/v1/chat/completions") {
			panic(http.ErrAbortHandler)
		}
	})))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := range 20 {
				resp, err := srv.Client().Post(fmt.Sprintf("%s/%d-%d/v1/chat/completions", srv.URL, g, i), "application/json", strings.NewReader("{}"))
				if err == nil {
					io.Copy(io.Discard, resp.Body)
					resp.Body.Close()
				}
			}
		})
	}
	wg.Wait()
	srv.Close()
	mustClose(t, l)
	seen := map[any]int{}
	for _, m := range s.parsed(t) {
		seen[m["attr.path"]]++
	}
	if len(seen) != 160 || len(s.lines) != 160 {
		t.Errorf("%d lines for %d of 160 requests", len(s.lines), len(seen))
	}
}

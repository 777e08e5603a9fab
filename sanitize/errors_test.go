package sanitize_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/sanitize"
)

func newErrors(t testing.TB, cfg sanitize.ErrorsConfig) *sanitize.Errors {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	e, err := sanitize.NewErrors(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// through lets a handler answer through middlewares, innermost last, and returns what the client got, the exchange's record and
// the panic that went on.
func through(e *sanitize.Errors, r *http.Request, h http.HandlerFunc) (w *httptest.ResponseRecorder, x *exchange.Exchange, panicked any) {
	w = httptest.NewRecorder()
	x, ew, r := exchange.Enter(w, r)
	defer x.Leave()
	defer func() { panicked = recover() }()
	e.Handler(h).ServeHTTP(ew, r)
	return
}

// envelope fails unless body is an error in the OpenAI shape with that code.
func envelope(t *testing.T, w *httptest.ResponseRecorder, status int, code string) {
	t.Helper()
	var v struct {
		Error struct {
			Message, Type, Code string
			RequestID           string `json:"request_id"`
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil || w.Code != status || v.Error.Code != code || v.Error.Message == "" ||
		v.Error.RequestID == "" || v.Error.RequestID != w.Header().Get("X-Request-Id") {
		t.Errorf("status %d, want %d; body %s, want code %s", w.Code, status, w.Body, code)
	}
}

func TestAPanicBecomesASafe500WithTheStackInTheLogOnly(t *testing.T) {
	var log bytes.Buffer
	e := newErrors(t, sanitize.ErrorsConfig{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	cause := errors.New("pq: secret table")
	w, x, v := through(e, post("/v1/chat/completions", "{}"), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Set-Cookie", "session=1")
		w.Header().Set("Retry-After", "3")
		panic(cause)
	})
	if v != nil {
		t.Fatalf("panic went on: %v", v)
	}
	envelope(t, w, 500, "internal_error")
	if strings.Contains(w.Body.String(), "secret") || w.Header().Get("Set-Cookie") != "" || w.Header().Get("Retry-After") != "3" {
		t.Errorf("%v %s", w.Header(), w.Body)
	}
	if d := x.Denial(); d == nil || !errors.Is(d.Cause, cause) {
		t.Errorf("denial %v", x.Denial())
	}
	if got := log.String(); !strings.Contains(got, "secret table") || !strings.Contains(got, "errors_test.go") || !strings.Contains(got, x.ID()) {
		t.Errorf("log %s", got)
	}
}

func TestAnAbortGoesOn(t *testing.T) {
	e := newErrors(t, sanitize.ErrorsConfig{})
	for _, h := range []http.HandlerFunc{
		func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
		func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "x"); panic(http.ErrAbortHandler) },
	} {
		w, _, v := through(e, post("/", "{}"), h)
		if v != http.ErrAbortHandler || strings.Contains(w.Body.String(), "error") {
			t.Errorf("panic %v, body %s", v, w.Body)
		}
	}
}

func TestAPanicAfterTheHeaderIsVisibleToTheClient(t *testing.T) {
	e := newErrors(t, sanitize.ErrorsConfig{})
	// No stream: only a broken connection tells.
	w, x, v := through(e, post("/v1/chat/completions", "{}"), func(w http.ResponseWriter, r *http.Request) {
		write("application/json", `{"half":`)(w, r)
		panic("boom")
	})
	if v != http.ErrAbortHandler || w.Body.String() != `{"half":` || x.Denial() == nil {
		t.Errorf("panic %v, body %s", v, w.Body)
	}
	// A stream ends with an error event, after the last whole event.
	for path, want := range map[string]string{
		"/v1/chat/completions": `data: {"error":{`,
		"/v1/responses":        "event: error\ndata: {\"type\":\"error\",\"code\":\"internal_error\"",
		"/v1/messages":         "event: error\ndata: {\"type\":\"error\",\"error\":{",
	} {
		w, _, v := through(e, post(path, "{}"), func(w http.ResponseWriter, r *http.Request) {
			write("text/event-stream", "data: {\"ok\":1}\n\ndata: {\"half\":")(w, r)
			panic("boom")
		})
		got := w.Body.String()
		if v != nil || !strings.HasPrefix(got, "data: {\"ok\":1}\n\n"+want) || strings.Contains(got, "half") || strings.Contains(got, "boom") {
			t.Errorf("%s: panic %v: %s", path, v, got)
		}
		parse(t, "", w.Body.Bytes())
	}
	w, _, _ = through(e, post("/api/chat", "{}"), func(w http.ResponseWriter, r *http.Request) {
		write("application/x-ndjson", "{\"ok\":1}\n{\"ha")(w, r)
		panic("boom")
	})
	if got := w.Body.String(); !strings.HasPrefix(got, "{\"ok\":1}\n{\"error\":") || !strings.HasSuffix(got, "}\n") {
		t.Errorf("NDJSON: %s", got)
	}
}

func TestServerErrorsOfHandlersAreReplaced(t *testing.T) {
	var log bytes.Buffer
	e := newErrors(t, sanitize.ErrorsConfig{Logger: slog.New(slog.NewJSONHandler(&log, nil)), ExposeHeaders: []string{"x-region"}})
	for status, code := range map[int]string{500: "internal_error", 501: "internal_error", 502: "upstream_error", 503: "overloaded", 504: "timeout", 599: "internal_error"} {
		w, _, _ := through(e, post("/v1/chat/completions", "{}"), func(w http.ResponseWriter, r *http.Request) {
			h := w.Header()
			for _, k := range []string{"Server", "X-Powered-By", "X-Debug-Trace", "Set-Cookie", "Location", "Etag", "Content-Encoding", "Trailer", "X-Upstream"} {
				h.Set(k, "v")
			}
			h.Set("Retry-After", "7")
			h.Set("X-RateLimit-Remaining", "0")
			h.Set("X-Region", "eu")
			h.Set("Access-Control-Allow-Origin", "*")
			w.WriteHeader(status)
			io.WriteString(w, "Traceback: "+githubKey)
			h.Set(http.TrailerPrefix+"X-Secret", "v")
		})
		envelope(t, w, status, code)
		for _, k := range []string{"Server", "X-Powered-By", "X-Debug-Trace", "Set-Cookie", "Location", "Etag", "Content-Encoding", "Trailer", "X-Upstream", http.TrailerPrefix + "X-Secret"} {
			if w.Header().Get(k) != "" {
				t.Errorf("%d: %s is left", status, k)
			}
		}
		for _, k := range []string{"Retry-After", "X-RateLimit-Remaining", "X-Region", "Access-Control-Allow-Origin"} {
			if w.Header().Get(k) == "" {
				t.Errorf("%d: %s is lost", status, k)
			}
		}
	}
	if got := log.String(); !strings.Contains(got, "Traceback") || strings.Contains(got, githubKey) {
		t.Errorf("the log must hold the body without the key: %.300s", got)
	}
}

// BerriAI/litellm#39380 and #39757, nyroway/nyro#67 and #68: error bodies with tracebacks, table names, operator keys and URLs with
// keys in them.
func TestLitellm39380LeakingClientErrorsAreWithheld(t *testing.T) {
	e := newErrors(t, sanitize.ErrorsConfig{})
	for i, body := range leakyBodies() {
		w, x, _ := through(e, post("/v1/chat/completions", "{}"), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("WWW-Authenticate", "Bearer")
			w.WriteHeader(400 + i%30)
			io.WriteString(w, body)
		})
		envelope(t, w, 400+i%30, "request_refused")
		if w.Header().Get("WWW-Authenticate") == "" {
			t.Errorf("%q: the challenge is lost", body)
		}
		if f := x.Findings(); len(f) != 1 || f[0].Kind != "leak" {
			t.Errorf("%q: findings %v", body, f)
		}
	}
	for _, body := range harmlessBodies() {
		w, _, _ := through(e, post("/v1/chat/completions", "{}"), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Server", "x")
			w.Header().Set("X-Custom", "1")
			w.WriteHeader(422)
			io.WriteString(w, body)
		})
		if w.Code != 422 || w.Body.String() != body || w.Header().Get("X-Custom") != "1" || w.Header().Get("Server") != "" {
			t.Errorf("a harmless body became %d %s %v", w.Code, w.Body, w.Header())
		}
	}
}

func leakyBodies() []string {
	j := func(s string) string { return `{"error":{"message":` + quote(s) + `}}` }
	return []string{
		j("goroutine 17 [running]:\nmain.main()"), j("runtime error: index out of range [3]"), j("open config: handler.go:123: bad"),
		j("Traceback (most recent call last):\n  File \"/srv/x.py\", line 3"), j("at Object.<anonymous> (x.js:10:5)"),
		j("Exception in thread \"main\" java.lang.NullPointerException\n\tat com.acme.Foo.bar(Foo.java:12)"),
		j("thread 'main' panicked at src/main.rs:4:5"), j("undefined method in app.rb:12:in `call'"), j("Fatal error in index.php on line 3"),
		"<pre>\n    at Layer.handle (express/lib/router/layer.js:95:5)</pre>",
		j("ERROR: relation \"LiteLLM_VerificationToken\" does not exist (SQLSTATE 42P01)"), j("pq: duplicate key value violates unique constraint"),
		j("sqlite3.OperationalError: no such table: keys"), j("You have an error in your SQL syntax near ''"), j("ORA-00942: table or view does not exist"),
		j("E11000 duplicate key error collection: prod.users"), j("could not connect to postgres://svc:hunter2@db/prod"),
		j("Data Source=sql01;User Id=sa"), j("redis://cache:6379 refused"), j("AccountKey=abc"),
		j("dial tcp 10.1.2.3:5432: connect: connection refused"), j("upstream 192.168.10.4 failed"), j("host 172.20.0.5 down"),
		j("lookup vllm.svc.cluster.local: no such host"), j("http://169.254.169.254/latest/meta-data"), j("ECONNREFUSED 127.0.0.1:8000"),
		j("x509: certificate signed by unknown authority"), j("context deadline exceeded"),
		j("open /etc/mantlet/keys.json: permission denied"), j("C:\\inetpub\\site\\web.config"), j("/usr/local/lib/python3.12/site-packages/vllm"),
		j("Incorrect API key provided: " + githubKey), j("401 from upstream with " + anthropicKey),
		`Post "https://h.example/v1beta/models:generate?key=` + "AI" + `zaTest12345678901": timeout`,
		j("https://user:pa55word@internal.example/x failed"), j("GET /x?access_token=abcdef123456 failed"),
		`{"detail":"bad\u0020token in \/home\/svc\/app.cfg"}`,
	}
}

func harmlessBodies() []string {
	return []string{
		`{"error":{"message":"Invalid value for 'model': expected a string.","type":"invalid_request_error","param":"model","code":null}}`,
		`{"type":"error","error":{"type":"invalid_request_error","message":"max_tokens: 200000 > 8192, which is the maximum for this model"}}`,
		`{"error":"temperature must be between 0.0 and 2.0"}`, `{"detail":[{"loc":["body","messages",0],"msg":"field required"}]}`,
		`{"error":"This model's maximum context length is 8192 tokens. Please reduce the length of the messages at least once."}`,
		`{"error":"see https://docs.example.com/app/errors#rate-limits or write to support"}`, `not found`,
		`{"error":"version 1.10.0.1 is unknown"}`, `{"error":"The key is not valid. You can find your key at https://platform.example.com/account/api-keys."}`,
	}
}

func TestAClientErrorThatCannotBeReadIsWithheld(t *testing.T) {
	e := newErrors(t, sanitize.ErrorsConfig{MaxCapture: 100})
	w, _, _ := through(e, post("/", "{}"), func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(404)
		io.WriteString(w, strings.Repeat("harmless ", 100))
	})
	envelope(t, w, 404, "request_refused")
	w, _, _ = through(e, post("/", "{}"), func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		w.WriteHeader(400)
		io.WriteString(w, "\x1f\x8b")
	})
	envelope(t, w, 400, "request_refused")
	open := newErrors(t, sanitize.ErrorsConfig{SkipLeakScan: true})
	w, _, _ = through(open, post("/", "{}"), func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(400)
		io.WriteString(w, "panic: x")
	})
	if w.Body.String() != "panic: x" {
		t.Errorf("SkipLeakScan: %s", w.Body)
	}
}

func TestAPanicWhileAClientErrorIsHeldGivesTheSafe500(t *testing.T) {
	e := newErrors(t, sanitize.ErrorsConfig{})
	w, _, v := through(e, post("/", "{}"), func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(400)
		io.WriteString(w, "half")
		panic("boom")
	})
	if v != nil || strings.Contains(w.Body.String(), "half") {
		t.Errorf("panic %v, %s", v, w.Body)
	}
	envelope(t, w, 500, "internal_error")
}

func TestTheEnvelopeIsChosenByConfigThenAcceptThenPath(t *testing.T) {
	boom := func(http.ResponseWriter, *http.Request) { panic("boom") }
	for _, c := range []struct {
		env                sanitize.Envelope
		path, accept, want string
	}{
		{sanitize.AutoEnvelope, "/v1/messages", "", `{"type":"error","error":{`},
		{sanitize.AutoEnvelope, "/v1/chat/completions", "", `{"error":{`},
		{sanitize.AutoEnvelope, "/v1/messages", "application/problem+json", `{"type":"about:blank"`},
		{sanitize.OpenAIEnvelope, "/v1/messages", "application/problem+json", `{"error":{`},
		{sanitize.AnthropicEnvelope, "/x", "", `{"type":"error","error":{`},
		{sanitize.ProblemEnvelope, "/x", "", `{"type":"about:blank"`},
	} {
		r := post(c.path, "{}")
		if c.accept != "" {
			r.Header.Set("Accept", c.accept)
		}
		if w, _, _ := through(newErrors(t, sanitize.ErrorsConfig{Envelope: c.env}), r, boom); !strings.HasPrefix(w.Body.String(), c.want) {
			t.Errorf("%d %s %s: %s", c.env, c.path, c.accept, w.Body)
		}
	}
}

func TestSuccessfulAnswersPassUntouched(t *testing.T) {
	e := newErrors(t, sanitize.ErrorsConfig{})
	for _, status := range []int{200, 201} {
		w, _, _ := through(e, post("/", "{}"), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Custom", "1")
			w.Header().Set("Set-Cookie", "a=b")
			w.Header().Set("Server", "x")
			w.WriteHeader(status)
			io.WriteString(w, "panic: not an error body")
		})
		if w.Code != status || w.Body.String() != "panic: not an error body" || w.Header().Get("Set-Cookie") == "" || w.Header().Get("Server") != "" {
			t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
		}
	}
	s := scripts()[0]
	all := s.open + s.delta("hi") + s.close
	if w, _, _ := through(e, post(s.path, "{}"), write(s.typ, all)); w.Body.String() != all {
		t.Errorf("a stream changed: %s", w.Body)
	}
}

func TestErrorsAroundAFilterGivesWithheldAnswersItsEnvelope(t *testing.T) {
	e := newErrors(t, sanitize.ErrorsConfig{Envelope: sanitize.ProblemEnvelope})
	f := newFilter(t, sanitize.Config{Policy: sanitize.Policy{{Action: sanitize.Block}}})
	w, _, _ := through(e, post("/v1/chat/completions", ""), f.Handler(write("application/json", `{"a":"`+mail+`"}`)).ServeHTTP)
	if w.Code != 400 || !strings.HasPrefix(w.Body.String(), `{"type":"about:blank"`) || !strings.Contains(w.Body.String(), "content_policy") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w, _, _ = through(e, post("/v1/chat/completions", ""), f.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "br")
		write("text/plain", "x")(w, r)
	})).ServeHTTP)
	if w.Code != 502 || !strings.Contains(w.Body.String(), "upstream_error") || !strings.HasPrefix(w.Body.String(), `{"type":"about:blank"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// A held secret does not leave through a panic either.
	w, _, _ = through(e, post("/v1/chat/completions", ""), newFilter(t, sanitize.Config{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s := scripts()[0]
		write(s.typ, s.open, s.delta("key "+githubKey[:20]))(w, r)
		panic("boom")
	})).ServeHTTP)
	if got := w.Body.String(); strings.Contains(got, "gh"+"p_") || !strings.Contains(got, "internal_error") {
		t.Errorf("got %s", got)
	}
}

func TestShadowErrorsChangeNothing(t *testing.T) {
	e := newErrors(t, sanitize.ErrorsConfig{Shadow: true})
	for _, status := range []int{400, 500} {
		w, _, _ := through(e, post("/", "{}"), func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Server", "x")
			w.WriteHeader(status)
			io.WriteString(w, "panic: x")
		})
		if w.Code != status || w.Body.String() != "panic: x" || w.Header().Get("Server") != "x" {
			t.Errorf("%d %s %v", w.Code, w.Body, w.Header())
		}
	}
	if _, _, v := through(e, post("/", "{}"), func(http.ResponseWriter, *http.Request) { panic("boom") }); v != "boom" {
		t.Errorf("panic %v", v)
	}
}

func TestNewErrorsReportsEveryFault(t *testing.T) {
	_, err := sanitize.NewErrors(sanitize.ErrorsConfig{Envelope: 9, MaxCapture: -1, ExposeHeaders: []string{"Server", "bad header", ""}})
	for _, want := range []string{"Envelope", "MaxCapture", `"Server"`, `"bad header"`, `""`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not mention %s", err, want)
		}
	}
}

func TestAnUnconfiguredErrorsStillHidesInternals(t *testing.T) {
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(quiet)
	for _, e := range []*sanitize.Errors{nil, {}} {
		w, _, _ := through(e, post("/", "{}"), func(http.ResponseWriter, *http.Request) { panic("boom") })
		envelope(t, w, 500, "internal_error")
	}
}

// A real server: the connection of a truncated plain answer is cut, HEAD and trailers behave.
func TestOverARealConnectionATruncatedAnswerIsAnError(t *testing.T) {
	e := newErrors(t, sanitize.ErrorsConfig{})
	srv := httptest.NewUnstartedServer(e.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/half":
			io.WriteString(w, "half")
			http.NewResponseController(w).Flush()
			panic("boom")
		case "/trailer":
			w.Header().Set("Trailer", "X-Secret")
			w.WriteHeader(500)
			io.WriteString(w, "x")
			w.Header().Set("X-Secret", "v")
			w.Header().Set(http.TrailerPrefix+"X-Other", "v")
		default:
			w.WriteHeader(500)
		}
	})))
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	srv.Start()
	defer srv.Close()
	get := func(method, path string) (*http.Response, []byte, error) {
		req, _ := http.NewRequestWithContext(context.Background(), method, srv.URL+path, nil)
		res, err := srv.Client().Do(req)
		if err != nil {
			return nil, nil, err
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		return res, b, err
	}
	if _, b, err := get("GET", "/half"); err == nil || string(b) != "half" {
		t.Errorf("got %q, %v: truncation was not visible", b, err)
	}
	if res, b, err := get("GET", "/trailer"); err != nil || len(res.Trailer) != 0 || !bytes.Contains(b, []byte("internal_error")) {
		t.Errorf("%v %v %s", err, res.Trailer, b)
	}
	if res, b, err := get("HEAD", "/x"); err != nil || res.StatusCode != 500 || len(b) != 0 {
		t.Errorf("%v %d %q", err, res.StatusCode, b)
	}
}

func FuzzLeak(f *testing.F) {
	for _, b := range leakyBodies() {
		f.Add("before ", " after", b)
	}
	e := newErrors(f, sanitize.ErrorsConfig{})
	f.Fuzz(func(t *testing.T, before, after, body string) {
		// Whatever stands around a leak (but for letters glued to it), it is found.
		planted := []string{"goroutine 17 [running]", "x/y.go:123", "SQLSTATE 42P01", "10.1.2.3", "/etc/passwd", githubKey, "postgres://u:p@h/d"}
		for _, leak := range append(planted, body) {
			all := before + "\n" + leak + "\n" + after
			w, _, v := through(e, httptest.NewRequest("GET", "/", nil), func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(400)
				io.WriteString(w, all)
			})
			if v != nil {
				t.Fatal(v)
			}
			if leak == body && w.Body.String() == all {
				continue // a body of the fuzzer's own need not be a leak
			}
			if !json.Valid(w.Body.Bytes()) || !strings.Contains(w.Body.String(), "request_refused") {
				t.Fatalf("%q passed as %s", all, w.Body)
			}
		}
	})
}

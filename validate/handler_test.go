package validate_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/validate"
)

// echo answers with what it read.
var echo = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, "echo: "+err.Error(), 599)
		return
	}
	w.Write(b)
})

// counted is a body that counts reads.
type counted struct {
	io.Reader
	reads int
}

func (c *counted) Read(p []byte) (int, error) { c.reads++; return c.Reader.Read(p) }
func (c *counted) Close() error               { return nil }

func request(method, body string, header ...string) *http.Request {
	r := httptest.NewRequest(method, "/v1/chat/completions", strings.NewReader(body))
	if body == "" {
		r.Body, r.ContentLength = http.NoBody, 0
	}
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		if header[i+1] == "" {
			r.Header.Del(header[i])
			continue
		}
		r.Header[header[i]] = strings.Split(header[i+1], "|") // several lines
	}
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestTheHandlerReadsTheSameBytes(t *testing.T) {
	h := mustNew(t, validate.Config{Schema: completionSchema}).Handler(echo)
	for range 3 {
		body := ` {"prompt" : "\u0061", "n": 1.0e0 } `
		if w := serve(h, request("POST", body)); w.Code != 200 || w.Body.String() != body {
			t.Errorf("%d %q", w.Code, w.Body)
		}
	}
}

func TestAnUnconfiguredValidatorAnswers500(t *testing.T) {
	for _, v := range []*validate.Validator{nil, {}} {
		if w := serve(v.Handler(echo), request("POST", `{}`)); w.Code != 500 {
			t.Error(w.Code)
		}
		if w := serve(v.Handler(echo), request("GET", "")); w.Code != 500 {
			t.Error(w.Code)
		}
	}
}

func TestMediaTypes(t *testing.T) {
	v := mustNew(t, validate.Config{ContentTypes: []string{"application/json", "application/problem+json"}})
	for _, c := range []struct {
		contentType string
		ok          bool
	}{
		{"application/json", true},
		{"application/json; charset=utf-8", true},
		{"application/json;charset=UTF-8", true},
		{`application/json; charset="utf-8"`, true},
		{"Application/JSON", true},
		{"application/problem+json", true},
		{"application/json; profile=x", true},
		{"", false},
		{"text/plain", false},
		{"text/json", false},
		{"application/x-www-form-urlencoded", false},
		{"multipart/form-data; boundary=x", false},
		{"application/vnd.api+json", false},
		{"application/jsonp", false},
		{"application/json; charset=utf-16", false},
		{"application/json; charset=iso-8859-1", false},
		{"application/json; charset=utf8", false}, // not a registered name: somebody reads it as something else
		{"application/json; charset=utf-8-sig", false},
		{"application/json; charset=utf-7", false},
		{"application/json; charset=us-ascii", false},
		{"application/json; charset*=utf-8''utf-16", false},
		{`application/json; charset="utf-8`, false},
		{"application/json; charset=", false},
		{"application/json; charset=utf-8; charset=utf-16", false},
		{"application/json; charset=utf-8; charset=utf-8", false},
		{"application/json; charset=utf-8; charset*=us-ascii''utf-16", false},
		{"application/json, text/html", false},
		{"text/html, application/json", false},
		{"application/json|application/json", false},
		{"application/json|text/html", false},
		{"application/json;;", false},
		{"*/*", false},
		{"application/*", false},
		{"application/json\x00", false},
	} {
		w := serve(v.Handler(echo), request("POST", `{}`, "Content-Type", c.contentType))
		switch {
		case c.ok && w.Code != 200:
			t.Errorf("%q: refused: %s", c.contentType, w.Body)
		case !c.ok && (w.Code != 415 || w.Header().Get("Accept") != "application/json, application/problem+json"):
			t.Errorf("%q: %d, Accept %q", c.contentType, w.Code, w.Header().Get("Accept"))
		}
	}
}

func TestContentCodingsAreRefused(t *testing.T) {
	h := mustNew(t, validate.Config{}).Handler(echo)
	for coding, ok := range map[string]bool{
		"identity": true, "Identity": true, "gzip": false, "GZIP": false, "br": false, "zstd": false, "deflate": false, "x-gzip": false,
		"identity, gzip": false, "identity|gzip": false, "gzip, gzip": false, "nonsense": false, "utf-8": false,
	} {
		w := serve(h, request("POST", `{}`, "Content-Encoding", coding))
		switch {
		case ok && w.Code != 200:
			t.Errorf("%q: %d", coding, w.Code)
		case !ok && (w.Code != 415 || w.Header().Get("Accept-Encoding") != "identity"):
			t.Errorf("%q: %d, Accept-Encoding %q", coding, w.Code, w.Header().Get("Accept-Encoding"))
		}
	}
}

func TestMethods(t *testing.T) {
	open := mustNew(t, validate.Config{})
	strict := mustNew(t, validate.Config{Methods: []string{"POST", "PUT"}, RequireBody: true})
	for _, c := range []struct {
		v            *validate.Validator
		method, body string
		want         int
	}{
		{open, "GET", "", 200}, {open, "HEAD", "", 200}, {open, "DELETE", "", 200}, {open, "OPTIONS", "", 200},
		{open, "POST", "", 400}, {open, "PUT", "", 400}, {open, "PATCH", "", 400}, {open, "BREW", "", 400},
		{open, "GET", "{}", 200}, {open, "GET", "{", 400}, {open, "DELETE", "{}", 200}, {open, "BREW", "{}", 200},
		{strict, "GET", "", 405}, {strict, "GET", "{}", 405}, {strict, "post", "{}", 405}, {strict, "POST", "{}", 200}, {strict, "PUT", "", 400},
		{mustNew(t, validate.Config{RequireBody: true}), "GET", "", 400},
	} {
		w := serve(c.v.Handler(echo), request(c.method, c.body))
		if w.Code != c.want {
			t.Errorf("%s %q: %d, want %d", c.method, c.body, w.Code, c.want)
		}
		if w.Code == 405 && w.Header().Get("Allow") != "POST, PUT" {
			t.Errorf("Allow: %q", w.Header().Get("Allow"))
		}
	}
}

func TestAnEmptyBodyOfUnknownLengthIsEmpty(t *testing.T) {
	h := mustNew(t, validate.Config{}).Handler(echo)
	for method, want := range map[string]int{"GET": 200, "POST": 400} {
		r := request(method, "x")
		r.Body, r.ContentLength = &counted{Reader: strings.NewReader("")}, -1
		if w := serve(h, r); w.Code != want {
			t.Errorf("%s: %d, want %d", method, w.Code, want)
		}
	}
}

func TestAnAnnouncedLengthOverTheBoundIsRefusedWithoutReading(t *testing.T) {
	h := mustNew(t, validate.Config{MaxBody: 100}).Handler(echo)
	body := &counted{Reader: strings.NewReader(strings.Repeat(" ", 101))}
	r := request("POST", "x")
	r.Body, r.ContentLength = body, 100<<20
	if w := serve(h, r); w.Code != 413 || body.reads != 0 {
		t.Errorf("%d after %d reads", w.Code, body.reads)
	}
}

func TestABodyOfUnknownLengthIsReadNoFurtherThanTheBound(t *testing.T) {
	h := mustNew(t, validate.Config{MaxBody: 1 << 10}).Handler(echo)
	var n int64
	r := request("POST", "x")
	r.Body, r.ContentLength = io.NopCloser(readFunc(func(p []byte) (int, error) {
		n += int64(len(p))
		return copy(p, bytes.Repeat([]byte(" "), len(p))), nil
	})), -1
	if w := serve(h, r); w.Code != 413 || n > 8<<10 {
		t.Errorf("%d after %d bytes", w.Code, n)
	}
}

type readFunc func([]byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

// exchangeRaw sends raw bytes to a real net/http server and returns everything it answers.
func exchangeRaw(t *testing.T, h http.Handler, raw string) string {
	t.Helper()
	s := httptest.NewServer(h)
	defer s.Close()
	c, err := net.Dial("tcp", s.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, raw)
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatalf("%v after %q", err, b)
	}
	return string(b)
}

func TestExpect100ContinueIsNotAnsweredForABodyThatWillBeRefused(t *testing.T) {
	h := mustNew(t, validate.Config{MaxBody: 100}).Handler(echo)
	for name, c := range map[string]struct{ head, status string }{
		"too long":   {"Content-Type: application/json\r\nContent-Length: 104857600\r\n", "413"},
		"wrong type": {"Content-Type: text/plain\r\nContent-Length: 10\r\n", "415"},
		"coded":      {"Content-Type: application/json\r\nContent-Encoding: gzip\r\nContent-Length: 10\r\n", "415"},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &http.Server{Handler: h}
			l := newPipes()
			go s.Serve(l)
			defer s.Close()
			conn := l.dial()
			start := time.Now()
			fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"+c.head+"\r\n")
			got, err := io.ReadAll(conn) // until the server lets go of a client that sends nothing more
			if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 "+c.status) || strings.Contains(string(got), "100 Continue") {
				t.Errorf("%s: %q, %v", name, got, err)
			}
			if d := time.Since(start); d > validate.DefaultReadTimeout+time.Second {
				t.Errorf("%s: the connection was held for %v", name, d)
			}
		})
	}
	got := exchangeRaw(t, h, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
	if !strings.HasPrefix(got, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK") {
		t.Errorf("a fitting body: %q", got)
	}
}

func TestChunkedBodies(t *testing.T) {
	h := mustNew(t, validate.Config{MaxBody: 100}).Handler(echo)
	const head = "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, c := range map[string]struct{ body, status string }{
		"fitting":        {"1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", "200"},
		"over the bound": {"80\r\n" + strings.Repeat(" ", 0x80) + "\r\n0\r\n\r\n", "413"},
		"empty":          {"0\r\n\r\n", "400"},
		"broken chunks":  {"2\r\n{}\r\nzz\r\n", "400"},
		"trailing data":  {"4\r\n{}{}\r\n0\r\n\r\n", "400"},
	} {
		if got := exchangeRaw(t, h, head+c.body); !strings.HasPrefix(got, "HTTP/1.1 "+c.status) {
			t.Errorf("%s: %q", name, got)
		}
	}
}

// pipes is a listener of in-memory connections, which follow the clock of a synctest bubble.
type pipes struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

func newPipes() *pipes { return &pipes{conns: make(chan net.Conn), done: make(chan struct{})} }

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { p.once.Do(func() { close(p.done) }); return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe", Net: "pipe"} }
func (p *pipes) dial() net.Conn {
	client, server := net.Pipe()
	p.conns <- server
	return client
}

func TestASlowBodyIs408AtTheDeadline(t *testing.T) {
	for name, c := range map[string]struct {
		cfg    time.Duration
		server time.Duration
		want   time.Duration
	}{
		"default":              {0, 0, validate.DefaultReadTimeout},
		"configured":           {3 * time.Second, 0, 3 * time.Second},
		"the server's tighter": {0, 2 * time.Second, 2 * time.Second},
		"the server's looser":  {3 * time.Second, time.Minute, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				v := mustNew(t, validate.Config{ReadTimeout: c.cfg})
				s := &http.Server{Handler: v.Handler(echo), ReadTimeout: c.server, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
				l := newPipes()
				go s.Serve(l)
				defer s.Close()
				conn := l.dial()
				start := time.Now()
				fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{\"a\":")
				var drip sync.WaitGroup
				defer drip.Wait()
				defer conn.Close()
				drip.Go(func() { // one byte a second, for ever: each is progress, the whole is not
					for {
						time.Sleep(time.Second)
						if _, err := conn.Write([]byte(" ")); err != nil {
							return
						}
					}
				})
				res, err := http.ReadResponse(bufio.NewReader(conn), nil)
				if err != nil {
					t.Fatal(err)
				}
				if res.StatusCode != 408 || !res.Close {
					t.Errorf("%s, close %v", res.Status, res.Close)
				}
				if d := time.Since(start); d != c.want {
					t.Errorf("after %v, want %v", d, c.want)
				}
			})
		})
	}
}

func TestTheReadDeadlineDoesNotCutALongAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := mustNew(t, validate.Config{})
		s := &http.Server{Handler: v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			select {
			case <-time.After(time.Hour):
				fmt.Fprint(w, "done")
			case <-r.Context().Done():
				t.Error("the answer was cut: ", context.Cause(r.Context()))
			}
		}))}
		l := newPipes()
		go s.Serve(l)
		defer s.Close()
		conn := l.dial()
		defer conn.Close()
		fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("%v %v", res, err)
		}
		io.Copy(io.Discard, res.Body)
	})
}

func TestABodyCutOffIs400(t *testing.T) {
	h := mustNew(t, validate.Config{}).Handler(echo)
	r := request("POST", "x")
	r.Body, r.ContentLength = io.NopCloser(io.MultiReader(strings.NewReader(`{"a":`), readFunc(func([]byte) (int, error) {
		return 0, io.ErrUnexpectedEOF
	}))), 50
	if w := serve(h, r); w.Code != 400 || !strings.Contains(w.Body.String(), "could not be read") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestOperatorsSeeTheMemberThatIsNotAllowedAndTheClientDoesNot(t *testing.T) {
	var logged bytes.Buffer
	v := mustNew(t, validate.Config{Schema: []byte(`{"properties":{"a":{}},"additionalProperties":false}`),
		Logger: slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	var d error
	outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		v.Handler(echo).ServeHTTP(w, r)
		d = x.Denial().Cause
	})
	w := serve(outer, request("POST", `{"top_k":"value"}`))
	var e *validate.Error
	if d == nil || !strings.Contains(d.Error(), `"top_k"`) || !errors.As(d, &e) || e.Keyword != "additionalProperties" {
		t.Errorf("the audit record gets %v", d)
	}
	if !strings.Contains(logged.String(), `top_k`) || !strings.Contains(logged.String(), `"level":"DEBUG"`) || strings.Contains(logged.String(), "value\"") {
		t.Errorf("log: %s", &logged)
	}
	if w.Code != 422 || strings.Contains(w.Body.String(), "top_k") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestTheDefaultLoggerIsTheOneOfTheMomentOfTheRefusal(t *testing.T) {
	defer log.SetFlags(log.Flags()) // SetDefault redirects package log too
	defer log.SetOutput(log.Writer())
	defer slog.SetDefault(slog.Default())
	v := mustNew(t, validate.Config{})
	for level, want := range map[slog.Level]bool{slog.LevelDebug: true, slog.LevelInfo: false} {
		var log bytes.Buffer
		slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})))
		serve(v.Handler(echo), request("POST", `{`))
		if got := strings.Contains(log.String(), "request refused"); got != want {
			t.Errorf("at %v: %q", level, log.String())
		}
	}
}

func TestAValidatorInFrontOfNothingPanicsAtStart(t *testing.T) {
	defer func() {
		if p := recover(); p != "validate: Validator.Handler: next is nil" {
			t.Error(p)
		}
	}()
	mustNew(t, validate.Config{}).Handler(nil)
}

func TestResponsesAndLogsNeverQuoteTheRequest(t *testing.T) {
	var logged bytes.Buffer
	v := mustNew(t, validate.Config{Schema: completionSchema, MaxBody: 200, Logger: slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	for _, r := range []*http.Request{
		request("POST", `{"prompt":"CANARY"`), request("POST", `{"prompt":"CANARY","MEMBER":"CANARY"}`), request("POST", `{"prompt":"CANARY","prompt":"CANARY"}`),
		request("POST", `{"prompt":"CANARY","n":"CANARY"}`), request("POST", `CANARY`), request("POST", `{"prompt":["CANARY"]}`),
		request("POST", `{"prompt":"CANARY","n":1e9999}`), request("POST", `{"prompt":"`+strings.Repeat("CANARY", 50)+`"}`),
		request("POST", `{}`, "Content-Type", "application/CANARY"), request("POST", `{}`, "Content-Encoding", "CANARY"),
		request("POST", `{}`, "Content-Type", "application/json; charset=CANARY"), request("CANARY", ""),
	} {
		w := serve(v.Handler(echo), r)
		if w.Code < 400 {
			t.Errorf("accepted: %d", w.Code)
		}
		if strings.Contains(w.Body.String(), "CANARY") || strings.Contains(fmt.Sprint(w.Header()), "CANARY") {
			t.Errorf("%s %v", w.Body, w.Header())
		}
	}
	if logged.Len() == 0 || strings.Contains(logged.String(), "CANARY") {
		t.Errorf("log: %s", &logged)
	}
}

// In shadow mode whatever is sent arrives, bytes and errors alike, and the answer is the handler's.
func TestShadowChangesNothing(t *testing.T) {
	shadow := mustNew(t, validate.Config{Schema: completionSchema, MaxBody: 100, Methods: []string{"POST"}, Shadow: true})
	long := strings.Repeat("long ", 1000)
	without := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // any other room in its place
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		echo.ServeHTTP(w, r)
	})
	for name, make := range map[string]func() *http.Request{
		"accepted":         func() *http.Request { return request("POST", `{"prompt":"x"}`) },
		"not JSON":         func() *http.Request { return request("POST", `{"prompt"`) },
		"schema":           func() *http.Request { return request("POST", `{"n":0}`) },
		"duplicate":        func() *http.Request { return request("POST", `{"n":0,"n":1}`) },
		"media type":       func() *http.Request { return request("POST", `x`, "Content-Type", "text/plain") },
		"coding":           func() *http.Request { return request("POST", `x`, "Content-Encoding", "gzip") },
		"method":           func() *http.Request { return request("GET", "") },
		"empty":            func() *http.Request { return request("POST", "") },
		"too long":         func() *http.Request { return request("POST", long) },
		"too long, hidden": func() *http.Request { r := request("POST", long); r.ContentLength = -1; return r },
		"hidden":           func() *http.Request { r := request("POST", `{"prompt":"x"}`); r.ContentLength = -1; return r },
		"cut off": func() *http.Request {
			r := request("POST", "x")
			r.ContentLength = 50
			r.Body = io.NopCloser(io.MultiReader(strings.NewReader("part"), readFunc(func([]byte) (int, error) { return 0, io.ErrUnexpectedEOF })))
			return r
		},
	} {
		t.Run(name, func(t *testing.T) {
			bare := serve(without, make())
			got := serve(shadow.Handler(echo), make())
			bare.Header().Del("X-Request-Id")
			got.Header().Del("X-Request-Id")
			if got.Code != bare.Code || got.Body.String() != bare.Body.String() || fmt.Sprint(got.Header()) != fmt.Sprint(bare.Header()) {
				t.Errorf("%d %.80q %v\nwithout: %d %.80q %v", got.Code, got.Body, got.Header(), bare.Code, bare.Body, bare.Header())
			}
		})
	}
}

func TestShadowRecordsWhatItWouldHaveRefused(t *testing.T) {
	var logged bytes.Buffer
	v := mustNew(t, validate.Config{Schema: completionSchema, Shadow: true, Logger: slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	h := v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchange.From(r.Context())
		if f := x.Findings(); len(f) != 1 || f[0] != (exchange.Finding{Kind: "validate", Rule: "schema_violation", Action: "shadow", Direction: "request", Count: 1}) {
			t.Errorf("findings: %v", f)
		}
		if x.Denial() != nil {
			t.Errorf("denial: %v", x.Denial())
		}
	}))
	serve(h, request("POST", `{"prompt":"x","n":0}`))
	if s := logged.String(); !strings.Contains(s, `"action":"shadow"`) || !strings.Contains(s, `"pointer":"/n"`) || !strings.Contains(s, `"keyword":"minimum"`) {
		t.Errorf("log: %s", s)
	}
}

func TestTheFactsOfTheRequestAreLeftForTheRoomsBehind(t *testing.T) {
	v := mustNew(t, validate.Config{})
	ran := false
	h := v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ran = true
		x := exchange.From(r.Context())
		if x.Model() != "llama" {
			t.Errorf("model %q", x.Model())
		}
		body, _ := x.ReadBytes()
		if q := x.Request(body); q == nil || q.Model != "llama" || !q.Stream || q.N != 2 || q.MaxTokens != 7 || len(q.Texts) != 1 {
			t.Errorf("facts %+v", q)
		}
	}))
	serve(h, request("POST", `{"model":"llama","stream":true,"n":2,"max_tokens":7,"messages":[{"role":"user","content":"hi"}]}`))
	if !ran {
		t.Error("refused")
	}
}

func TestARefusalIsRecordedForTheRoomsOutside(t *testing.T) {
	v := mustNew(t, validate.Config{})
	outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		v.Handler(echo).ServeHTTP(w, r)
		d := x.Denial()
		var e *validate.Error
		if d == nil || d.Stage != "validate" || !errors.As(d, &e) || e.Code != "invalid_json" {
			t.Errorf("denial %v", d)
		}
	})
	serve(outer, request("POST", `{`))
}

func TestTwoValidatorsReadTheBodyOnce(t *testing.T) {
	outer := mustNew(t, validate.Config{MaxBody: 1000})
	inner := mustNew(t, validate.Config{Schema: completionSchema, MaxBody: 20})
	h := outer.Handler(inner.Handler(echo))
	if w := serve(h, request("POST", `{"prompt":"x"}`)); w.Code != 200 || w.Body.String() != `{"prompt":"x"}` {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w := serve(h, request("POST", `{"prompt":"longer than the inner bound"}`)); w.Code != 413 {
		t.Errorf("%d", w.Code)
	}
	r := request("POST", `{"prompt":"longer than the inner bound"}`)
	r.ContentLength = -1
	if w := serve(h, r); w.Code != 413 {
		t.Errorf("unknown length: %d", w.Code)
	}
}

func TestAnInvalidBodyNeverReachesTheHandler(t *testing.T) {
	h := mustNew(t, validate.Config{Schema: completionSchema}).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		t.Error("the handler ran")
	}))
	for _, body := range []string{`{`, `{"n":1}`, `{"prompt":"x","PROMPT":"y"}`, `[]`, "\xef\xbb\xbf{}"} {
		if w := serve(h, request("POST", body)); w.Code < 400 {
			t.Errorf("%q: %d", body, w.Code)
		}
	}
}

func TestHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(mustNew(t, validate.Config{MaxBody: 100}).Handler(echo))
	s.EnableHTTP2 = true
	s.StartTLS()
	defer s.Close()
	for name, c := range map[string]struct {
		body   io.Reader // not a strings.Reader: its length is then not announced
		status int
	}{
		"fitting":                    {strings.NewReader(`{"a":1}`), 200},
		"fitting, not announced":     {io.MultiReader(strings.NewReader(`{"a":1}`)), 200},
		"too long":                   {strings.NewReader(`"` + strings.Repeat("a", 1000) + `"`), 413},
		"too long, not announced":    {io.MultiReader(strings.NewReader(`"` + strings.Repeat("a", 1000) + `"`)), 413},
		"duplicate in a late packet": {io.MultiReader(strings.NewReader(`{"a":1,`), strings.NewReader(`"a":2}`)), 400},
	} {
		res, err := s.Client().Post(s.URL, "application/json", c.body)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		res.Body.Close()
		if res.StatusCode != c.status || res.ProtoMajor != 2 {
			t.Errorf("%s: %s %s, want %d", name, res.Proto, res.Status, c.status)
		}
	}
}

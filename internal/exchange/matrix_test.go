package exchange_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/internal/exchange"
)

// recorder is a tap that does what its mode says without changing a byte, and remembers what it was told.
type recorder struct {
	mode exchange.Mode
	mu   sync.Mutex
	log  []string
	done chan exchange.Outcome
}

func newRecorder(m exchange.Mode) *recorder {
	return &recorder{mode: m, done: make(chan exchange.Outcome, 16)}
}

func (t *recorder) note(format string, a ...any) {
	t.mu.Lock()
	t.log = append(t.log, fmt.Sprintf(format, a...))
	t.mu.Unlock()
}

func (t *recorder) Header(o exchange.Out, status int) exchange.Mode {
	t.note("header %d", status)
	return t.mode
}

func (t *recorder) Body(o exchange.Out, b *exchange.Body) error {
	t.note("body %d", b.Kind)
	if t.mode == exchange.Collect {
		return nil
	}
	return o.Send(b)
}

func (t *recorder) End(o exchange.Out, how exchange.Outcome) {
	t.note("end %d", how)
	t.done <- how
}

// room is a middleware made of one tap.
func room(tap exchange.Tap, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		x.Serve(w, r, tap, next)
	})
}

// foreign is somebody else's middleware: it hides the wrapper behind its own, with Unwrap as the field expects.
type foreign struct{ http.ResponseWriter }

func (f foreign) Unwrap() http.ResponseWriter { return f.ResponseWriter }

// stack is one way to stand in front of a handler.
type stack struct {
	name string
	wrap func(t *testing.T, next http.Handler) http.Handler
	taps bool // some tap needs the bytes
}

func stacks() []stack {
	one := func(m exchange.Mode) func(*testing.T, http.Handler) http.Handler {
		return func(t *testing.T, next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { room(newRecorder(m), next).ServeHTTP(w, r) })
		}
	}
	return []stack{
		{"bare", func(_ *testing.T, next http.Handler) http.Handler { return next }, false},
		{"no tap", func(_ *testing.T, next http.Handler) http.Handler { return room(nil, next) }, false},
		{"pass", one(exchange.Pass), false},
		{"collect", one(exchange.Collect), true},
		{"frames", one(exchange.Frames), true},
		{"whole", one(exchange.Whole), true},
		{"pass outside frames outside collect", func(t *testing.T, next http.Handler) http.Handler {
			return one(exchange.Pass)(t, one(exchange.Frames)(t, one(exchange.Collect)(t, next)))
		}, true},
		{"whole outside collect", func(t *testing.T, next http.Handler) http.Handler {
			return one(exchange.Whole)(t, one(exchange.Collect)(t, next))
		}, true},
		{"pass, foreign middleware, frames", func(t *testing.T, next http.Handler) http.Handler {
			inner := one(exchange.Frames)(t, next)
			return one(exchange.Pass)(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				inner.ServeHTTP(foreign{w}, r)
			}))
		}, true},
		{"inside a reverse proxy", func(t *testing.T, next http.Handler) http.Handler { return proxyTo(t, next, one(exchange.Frames)) }, true},
	}
}

// proxyTo runs next behind httputil.ReverseProxy, with wrap in front of the proxy.
func proxyTo(t *testing.T, next http.Handler, wrap func(*testing.T, http.Handler) http.Handler) http.Handler {
	up := httptest.NewUnstartedServer(next)
	up.Config.ErrorLog = log.New(io.Discard, "", 0)
	up.Start()
	t.Cleanup(up.Close)
	u, _ := url.Parse(up.URL)
	proxy := &httputil.ReverseProxy{
		Rewrite:       func(pr *httputil.ProxyRequest) { pr.SetURL(u) },
		FlushInterval: -1,
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	return wrap(t, proxy)
}

var protocols = []struct {
	name string
	h2   bool
}{{"HTTP/1.1", false}, {"HTTP/2", true}}

func serve(t *testing.T, h http.Handler, h2 bool) (*httptest.Server, *http.Client) {
	t.Helper()
	s := httptest.NewUnstartedServer(h)
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.EnableHTTP2 = h2
	if h2 {
		s.StartTLS()
	} else {
		s.Start()
	}
	t.Cleanup(s.Close)
	return s, s.Client()
}

// each runs f for every stack over both protocols.
func each(t *testing.T, f func(t *testing.T, s stack, h2 bool)) {
	for _, p := range protocols {
		for _, s := range stacks() {
			t.Run(p.name+"/"+s.name, func(t *testing.T) { f(t, s, p.h2) })
		}
	}
}

func get(t *testing.T, c *http.Client, method, url string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res, string(b), err
}

func TestTheResponseIsWhatItWouldBeWithoutUs(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 8<<10)
	handlers := map[string]http.HandlerFunc{
		"plain write": func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") },
		"nothing":     func(w http.ResponseWriter, r *http.Request) {},
		"status only": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(404) },
		"204":         func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204); w.Write([]byte("x")) },
		"304":         func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Etag", `"a"`); w.WriteHeader(304) },
		"double WriteHeader": func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(201)
			w.WriteHeader(500)
			io.WriteString(w, "x")
		},
		"json": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Write([]byte(`{"a":`))
			w.Write([]byte(`1}`))
		},
		"content length": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "5")
			io.WriteString(w, "12345")
		},
		"big": func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, big) },
		"event stream": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			rc := http.NewResponseController(w)
			for i := range 5 {
				fmt.Fprintf(w, "data: {\"i\":%d}\n\n", i)
				rc.Flush()
			}
			io.WriteString(w, "data: never termina")
		},
		"lines": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/x-ndjson")
			for i := range 5 {
				fmt.Fprintf(w, "{\"i\":%d}\n", i)
			}
			io.WriteString(w, `{"last":true}`)
		},
		"trailers": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Trailer", "X-Sum")
			io.WriteString(w, "body")
			w.Header().Set("X-Sum", "42")
			w.Header().Set(http.TrailerPrefix+"X-Late", "43")
		},
		"read from": func(w http.ResponseWriter, r *http.Request) { io.Copy(w, strings.NewReader(big)) },
		"read from nothing, then a status": func(w http.ResponseWriter, r *http.Request) {
			io.Copy(w, struct{ io.Reader }{strings.NewReader("")})
			w.WriteHeader(418)
		},
		"header set after the body began": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "x")
			http.NewResponseController(w).Flush()
			w.Header().Set("X-Too-Late", "1")
			io.WriteString(w, "y")
		},
	}
	type answer struct {
		status  int
		body    string
		ctype   string
		clen    string
		trailer string
		late    string
	}
	for name, h := range handlers {
		t.Run(name, func(t *testing.T) {
			want := map[string]answer{}
			each(t, func(t *testing.T, s stack, h2 bool) {
				srv, c := serve(t, s.wrap(t, h), h2)
				for _, method := range []string{"GET", "HEAD"} {
					res, body, err := get(t, c, method, srv.URL)
					if err != nil {
						t.Fatal(err)
					}
					got := answer{res.StatusCode, body, res.Header.Get("Content-Type"), res.Header.Get("Content-Length"),
						res.Trailer.Get("X-Sum") + res.Trailer.Get("X-Late"), res.Header.Get("X-Too-Late")}
					key := method + fmt.Sprint(h2)
					if s.name == "bare" {
						want[key] = got
						continue
					}
					w := want[key]
					if strings.Contains(s.name, "proxy") || strings.Contains(s.name, "whole") || s.taps && strings.HasPrefix(name, "read from") {
						// A held or relayed response may know its length where the bare one does not, and the other way round.
						got.clen, w.clen = "", ""
					}
					if strings.Contains(s.name, "whole") {
						got.late, w.late = "", "" // nothing had left yet, so nothing was too late
						got.trailer, w.trailer = "", ""
					}
					if got != w {
						t.Errorf("%s: got %.200v, without us %.200v", method, got, w)
					}
					if id := res.Header.Values("X-Request-Id"); len(id) != 1 {
						t.Errorf("%s: X-Request-Id is %q, want one value", method, id)
					}
				}
			})
		})
	}
}

func TestFlushReachesTheClientAtOnce(t *testing.T) {
	flushes := map[string]func(http.ResponseWriter) error{
		"ResponseController": func(w http.ResponseWriter) error { return http.NewResponseController(w).Flush() },
		"type assertion":     func(w http.ResponseWriter) error { w.(http.Flusher).Flush(); return nil },
		"FlushError":         func(w http.ResponseWriter) error { return w.(interface{ FlushError() error }).FlushError() },
	}
	for name, flush := range flushes {
		t.Run(name, func(t *testing.T) {
			each(t, func(t *testing.T, s stack, h2 bool) {
				if strings.Contains(s.name, "whole") || name == "FlushError" && s.name == "bare" && h2 {
					t.Skip("held on purpose, or not what net/http has here")
				}
				release := make(chan struct{})
				srv, c := serve(t, s.wrap(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					io.WriteString(w, "data: one\n\n")
					if err := flush(w); err != nil {
						t.Error(err)
					}
					<-release
					io.WriteString(w, "data: two\n\n")
				})), h2)
				res, err := c.Get(srv.URL)
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				buf := make([]byte, len("data: one\n\n"))
				if _, err := io.ReadFull(res.Body, buf); err != nil || string(buf) != "data: one\n\n" {
					t.Fatalf("first event %q, %v", buf, err)
				}
				close(release)
				if rest, _ := io.ReadAll(res.Body); string(rest) != "data: two\n\n" {
					t.Errorf("rest %q", rest)
				}
			})
		})
	}
}

func TestAWriterThatCannotFlushDoesNotClaimTo(t *testing.T) {
	var w http.ResponseWriter = struct{ http.ResponseWriter }{httptest.NewRecorder()}
	room(nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, ok := w.(http.Flusher); ok {
			t.Error("a false http.Flusher")
		}
		if _, ok := w.(http.Hijacker); ok {
			t.Error("a false http.Hijacker")
		}
		if _, ok := w.(http.Pusher); ok {
			t.Error("a false http.Pusher")
		}
		if err := http.NewResponseController(w).Flush(); !errors.Is(err, http.ErrNotSupported) {
			t.Errorf("Flush: %v", err)
		}
	})).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
}

func TestHijackUpgradesTheConnection(t *testing.T) {
	for _, s := range stacks() {
		t.Run(s.name, func(t *testing.T) {
			srv, _ := serve(t, s.wrap(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				h, ok := w.(http.Hijacker)
				if !ok {
					t.Error("no http.Hijacker")
					return
				}
				conn, rw, err := h.Hijack()
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				if _, err := w.Write([]byte("x")); !errors.Is(err, http.ErrHijacked) {
					t.Errorf("write after hijack: %v", err)
				}
				rw.WriteString("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
				rw.Flush()
				line, _ := rw.ReadString('\n')
				rw.WriteString("echo " + line)
				rw.Flush()
			})), false)
			conn, err := net.Dial("tcp", srv.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
			br := bufio.NewReader(conn)
			res, err := http.ReadResponse(br, nil)
			if err != nil || res.StatusCode != 101 {
				t.Fatalf("%v %v", res, err)
			}
			fmt.Fprintf(conn, "hello\n")
			if line, err := br.ReadString('\n'); line != "echo hello\n" {
				t.Errorf("%q, %v", line, err)
			}
		})
	}
}

func TestATapHearsOfAHijack(t *testing.T) {
	tap := newRecorder(exchange.Frames)
	srv, _ := serve(t, room(tap, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		conn.Close()
		if !exchange.From(r.Context()).Response().Hijacked {
			t.Error("the response facts do not say so")
		}
	})), false)
	http.Get(srv.URL)
	if how := <-tap.done; how != exchange.Hijacked {
		t.Errorf("outcome %d", how)
	}
}

func TestDeadlinesAndFullDuplexReachTheConnection(t *testing.T) {
	each(t, func(t *testing.T, s stack, h2 bool) {
		if strings.Contains(s.name, "proxy") {
			t.Skip("the proxy decides over its own connection")
		}
		srv, c := serve(t, s.wrap(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			rc := http.NewResponseController(w)
			if err := rc.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Errorf("SetWriteDeadline: %v", err)
			}
			if err := rc.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Errorf("SetReadDeadline: %v", err)
			}
			if err := rc.EnableFullDuplex(); err != nil {
				t.Errorf("EnableFullDuplex: %v", err)
			}
			io.Copy(w, r.Body)
		})), h2)
		res, err := c.Post(srv.URL, "text/plain", strings.NewReader("ping"))
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if b, _ := io.ReadAll(res.Body); string(b) != "ping" {
			t.Errorf("%q", b)
		}
	})
}

// readFromSpy records whether the server's own ReadFrom was reached.
type readFromSpy struct {
	http.ResponseWriter
	called bool
}

func (s *readFromSpy) ReadFrom(r io.Reader) (int64, error) {
	s.called = true
	return io.Copy(struct{ io.Writer }{s.ResponseWriter}, r)
}

func TestReadFromIsKeptWhenNobodyTapsBytes(t *testing.T) {
	big := bytes.Repeat([]byte("x"), 100<<10)
	for _, tc := range []struct {
		mode exchange.Mode
		want bool
	}{{exchange.Pass, true}, {exchange.Collect, false}, {exchange.Frames, false}, {exchange.Whole, false}} {
		rec := httptest.NewRecorder()
		spy := &readFromSpy{ResponseWriter: rec}
		room(newRecorder(tc.mode), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			n, err := io.Copy(w, struct{ io.Reader }{bytes.NewReader(big)})
			if n != int64(len(big)) || err != nil {
				t.Errorf("copied %d, %v", n, err)
			}
		})).ServeHTTP(spy, httptest.NewRequest("GET", "/", nil))
		if spy.called != tc.want {
			t.Errorf("mode %d: ReadFrom reached %v, want %v", tc.mode, spy.called, tc.want)
		}
		if !bytes.Equal(rec.Body.Bytes(), big) {
			t.Errorf("mode %d: %d bytes arrived", tc.mode, rec.Body.Len())
		}
	}
}

func TestInformationalResponsesPassByTheTaps(t *testing.T) {
	each(t, func(t *testing.T, s stack, h2 bool) {
		srv, c := serve(t, s.wrap(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Link", "</a.css>; rel=preload")
			w.WriteHeader(103)
			w.WriteHeader(103)
			w.WriteHeader(200)
			io.WriteString(w, "ok")
		})), h2)
		var hints int
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error { hints++; return nil },
		})
		req, _ := http.NewRequestWithContext(ctx, "GET", srv.URL, nil)
		res, err := c.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		if b, _ := io.ReadAll(res.Body); res.StatusCode != 200 || string(b) != "ok" || hints != 2 {
			t.Errorf("status %d, body %q, %d early hints", res.StatusCode, b, hints)
		}
	})
}

func TestAPanicInTheHandlerEndsEveryTapOnceAndGoesOn(t *testing.T) {
	boom := errors.New("boom")
	for _, value := range []any{boom, http.ErrAbortHandler} {
		for name, h := range map[string]http.HandlerFunc{
			"before headers": func(w http.ResponseWriter, r *http.Request) { panic(value) },
			"during headers": func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(200); panic(value) },
			"after headers": func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, "part")
				http.NewResponseController(w).Flush()
				panic(value)
			},
		} {
			for _, mode := range []exchange.Mode{exchange.Pass, exchange.Collect, exchange.Whole, exchange.Frames, exchange.Discard} {
				outer, inner := newRecorder(exchange.Pass), newRecorder(mode)
				func() {
					defer func() {
						if p := recover(); p != value {
							t.Errorf("%s, mode %d: panic value %v", name, mode, p)
						}
					}()
					room(outer, room(inner, h)).ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
				}()
				for _, tap := range []*recorder{outer, inner} {
					if len(tap.done) != 1 || <-tap.done != exchange.Panicked {
						t.Errorf("%s, mode %d: ends %v", name, mode, tap.log)
					}
				}
			}
		}
	}
}

func TestWhatWasHeldWhenTheHandlerPanickedNeverLeaves(t *testing.T) {
	rec := httptest.NewRecorder()
	defer func() {
		recover()
		if rec.Body.Len() != 0 {
			t.Errorf("left: %q", rec.Body)
		}
	}()
	room(newRecorder(exchange.Whole), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, "half a secret")
		panic("boom")
	})).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
}

func TestAClientThatLeavesEndsEveryTapOnce(t *testing.T) {
	stages := map[string]func(w http.ResponseWriter, r *http.Request, gone <-chan struct{}){
		"before the first byte": func(w http.ResponseWriter, r *http.Request, gone <-chan struct{}) { <-gone },
		"after the header": func(w http.ResponseWriter, r *http.Request, gone <-chan struct{}) {
			http.NewResponseController(w).Flush()
			<-gone
		},
		"in the middle": func(w http.ResponseWriter, r *http.Request, gone <-chan struct{}) {
			w.Header().Set("Content-Type", "text/event-stream")
			for r.Context().Err() == nil {
				if _, err := io.WriteString(w, "data: x\n\n"); err != nil {
					break
				}
				http.NewResponseController(w).Flush()
			}
			<-gone
		},
	}
	for name, stage := range stages {
		for _, p := range protocols {
			for _, mode := range []exchange.Mode{exchange.Pass, exchange.Collect, exchange.Whole, exchange.Frames} {
				t.Run(fmt.Sprint(name, "/", p.name, "/", mode), func(t *testing.T) {
					tap := newRecorder(mode)
					started := make(chan struct{})
					srv, c := serve(t, room(tap, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
						close(started)
						stage(w, r, r.Context().Done())
						if r.Context().Err() == nil {
							t.Error("the context is not cancelled")
						}
					})), p.h2)
					ctx, cancel := context.WithCancel(t.Context())
					req, _ := http.NewRequestWithContext(ctx, "GET", srv.URL, nil)
					go func() { <-started; cancel() }()
					if res, err := c.Do(req); err == nil {
						io.Copy(io.Discard, res.Body)
						res.Body.Close()
					}
					<-tap.done
					if len(tap.done) != 0 {
						t.Error("ended twice")
					}
				})
			}
		}
	}
}

func TestNothingIsWrittenAfterTheHandlerReturned(t *testing.T) {
	var kept http.ResponseWriter
	rec := httptest.NewRecorder()
	room(newRecorder(exchange.Frames), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		kept = w
		io.WriteString(w, "in time")
	})).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if _, err := kept.Write([]byte("too late")); !errors.Is(err, exchange.ErrClosed) {
		t.Errorf("Write: %v", err)
	}
	if _, err := io.WriteString(kept, "too late"); !errors.Is(err, exchange.ErrClosed) {
		t.Errorf("WriteString: %v", err)
	}
	if _, err := io.Copy(kept, strings.NewReader("too late")); !errors.Is(err, exchange.ErrClosed) {
		t.Errorf("ReadFrom: %v", err)
	}
	if err := http.NewResponseController(kept).Flush(); !errors.Is(err, exchange.ErrClosed) {
		t.Errorf("Flush: %v", err)
	}
	kept.WriteHeader(500)
	if rec.Body.String() != "in time" || rec.Code != 200 {
		t.Errorf("%d %q", rec.Code, rec.Body)
	}
}

func TestARoomThatWritesAfterTheHandlerHasWrittenChangesNothing(t *testing.T) {
	rec := httptest.NewRecorder()
	room(newRecorder(exchange.Pass), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchange.From(r.Context())
		io.WriteString(w, "answer")
		x.Refuse(w, r, denial())
	})).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if rec.Code != 200 || rec.Body.String() != "answer" {
		t.Errorf("%d %q", rec.Code, rec.Body)
	}
}

func TestAnEndedGoroutineEndsTheTap(t *testing.T) {
	tap := newRecorder(exchange.Pass)
	done := make(chan struct{})
	go func() {
		defer close(done)
		room(tap, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { runtime.Goexit() })).
			ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "/", nil))
	}()
	<-done
	if how := <-tap.done; how != exchange.Panicked {
		t.Errorf("outcome %d", how)
	}
}

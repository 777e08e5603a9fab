package memhttp_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/internal/memhttp"
)

var protocols = []struct {
	name, proto string
	opts        []memhttp.Option
}{
	{"HTTP1", "HTTP/1.1", nil},
	{"HTTP2", "HTTP/2.0", []memhttp.Option{memhttp.HTTP2()}},
}

// Every case runs twice: in a bubble, which fails by itself when a goroutine is left, and outside.
func each(t *testing.T, f func(t *testing.T, proto string, opts ...memhttp.Option)) {
	for _, p := range protocols {
		t.Run(p.name+"/bubble", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { f(t, p.proto, p.opts...) })
		})
		t.Run(p.name+"/plain", func(t *testing.T) { f(t, p.proto, p.opts...) })
	}
}

func TestARequestGoesThroughARealServer(t *testing.T) {
	each(t, func(t *testing.T, proto string, opts ...memhttp.Option) {
		s := memhttp.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			fmt.Fprintf(w, "%s %s %s %s", r.Proto, r.URL.Path, b, r.RemoteAddr)
		}), append(opts, memhttp.From(netip.MustParseAddr("2001:db8::7")))...)
		resp, err := s.Client().Post(s.URL+"/x", "text/plain", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := proto + " /x hello [2001:db8::7]:49152"; err != nil || string(b) != want {
			t.Errorf("got %q (%v), want %q", b, err, want)
		}
		if resp.Proto != proto {
			t.Errorf("got %s, want %s", resp.Proto, proto)
		}
	})
}

func TestAFlushedEventIsSeenBeforeTheHandlerGoesOn(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const pause = time.Hour // costs nothing: the clock is fake
				s := memhttp.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					w.Header().Set("Content-Type", "text/event-stream")
					for i := range 3 {
						fmt.Fprintf(w, "data: %d\n\n", i)
						if err := http.NewResponseController(w).Flush(); err != nil {
							t.Error(err)
						}
						time.Sleep(pause)
					}
				}), p.opts...)
				start := time.Now()
				resp, err := s.Client().Get(s.URL)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				lines := bufio.NewScanner(resp.Body)
				for i := range 3 {
					if !lines.Scan() || lines.Text() != fmt.Sprint("data: ", i) || !lines.Scan() {
						t.Fatalf("event %d: %q %v", i, lines.Text(), lines.Err())
					}
					if d := time.Since(start); d != time.Duration(i)*pause {
						t.Errorf("event %d was seen after %v", i, d)
					}
				}
				if lines.Scan() || lines.Err() != nil {
					t.Error(lines.Text(), lines.Err())
				}
			})
		})
	}
}

func TestTheHandlerSeesTheClientLeave(t *testing.T) {
	each(t, func(t *testing.T, _ string, opts ...memhttp.Option) {
		left := make(chan error, 1)
		s := memhttp.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			left <- r.Context().Err()
		}), opts...)
		ctx, cancel := context.WithCancel(context.Background())
		req, _ := http.NewRequestWithContext(ctx, "GET", s.URL, nil)
		resp, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		cancel()
		resp.Body.Close()
		if err := <-left; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

func TestCloseWaitsForTheHandlers(t *testing.T) {
	for _, p := range protocols {
		t.Run(p.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				done := false
				s := memhttp.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_ = http.NewResponseController(w).Flush()
					time.Sleep(time.Minute) // deaf to the end of its request
					done = true
				}), p.opts...)
				resp, err := s.Client().Get(s.URL)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				s.Close()
				if !done {
					t.Error("the handler is still running")
				}
				if _, err := s.Client().Get(s.URL); err == nil {
					t.Error("a closed server answered")
				}
			})
		})
	}
}

func TestConfigureReachesTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memhttp.New(t, http.NotFoundHandler(), memhttp.Configure(func(h *http.Server) { h.ReadHeaderTimeout = time.Second }))
		c, err := s.Dial(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		start := time.Now()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: slow"); err != nil {
			t.Fatal(err)
		}
		// The server says 408 or nothing, and hangs up.
		if _, err := io.Copy(io.Discard, c); err != nil && !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		if d := time.Since(start); d < time.Second || d > 2*time.Second {
			t.Errorf("a slow header was cut after %v", d)
		}
	})
}

func TestAPanickingHandlerIsTheServersAffair(t *testing.T) {
	each(t, func(t *testing.T, _ string, opts ...memhttp.Option) {
		s := memhttp.New(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }), opts...)
		if resp, err := s.Client().Get(s.URL); err == nil {
			resp.Body.Close()
			t.Error("an aborted request was answered")
		}
	})
}

func TestARefusalBeforeTheBodyIsReadReachesTheClient(t *testing.T) {
	each(t, func(t *testing.T, _ string, opts ...memhttp.Option) {
		s := memhttp.New(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "too big", http.StatusRequestEntityTooLarge)
		}), opts...)
		resp, err := s.Client().Post(s.URL, "text/plain", strings.NewReader(strings.Repeat("x", 4<<20)))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if b, err := io.ReadAll(resp.Body); err != nil || string(b) != "too big\n" || resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("%d %q %v", resp.StatusCode, b, err)
		}
	})
}

func TestAWriteToAClientThatDoesNotReadIsCutByTheDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		failed := make(chan error, 1)
		s := memhttp.New(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			rc := http.NewResponseController(w)
			if err := rc.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Error(err)
			}
			_, err := w.Write(make([]byte, 1<<20))
			failed <- err
		}))
		c, err := s.Dial(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: a\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; err == nil {
			t.Error("a megabyte was written to nobody")
		}
	})
}

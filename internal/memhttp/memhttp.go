// Package memhttp runs a real http.Server for a test without a network: its connections are net.Pipe. Unlike a loopback
// listener it works inside a testing/synctest bubble, where the test's clock is fake and the end of all work can be waited for.
//
//	synctest.Test(t, func(t *testing.T) {
//		s := memhttp.New(t, handler)
//		resp, err := s.Client().Get(s.URL + "/v1/models")
//		...
//	})
//
// A pipe has no buffer: a write waits until the other side reads, as if every client's receive window were full all the time. What
// a slow client does to a handler shows at once; nothing shows of what a kernel's buffers would hide.
package memhttp

import (
	"context"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"
)

// A Server is an http.Server reached through Client or Dial.
type Server struct {
	// URL is the base of the server's addresses, without a slash at the end.
	URL string

	server  *http.Server
	client  *http.Client
	ln      *listener
	running sync.WaitGroup // handlers
	once    sync.Once
}

// An Option changes a Server before it starts.
type Option func(*Server)

// HTTP2 makes the server speak HTTP/2 only (unencrypted, with prior knowledge), and the client too.
func HTTP2() Option {
	return func(s *Server) {
		s.server.Protocols = new(http.Protocols)
		s.server.Protocols.SetUnencryptedHTTP2(true)
	}
}

// From sets the address that connections come from; 192.0.2.1 (RFC 5737) without it. Every connection has a port of its own.
func From(addr netip.Addr) Option {
	return func(s *Server) { s.ln.from = addr }
}

// Configure changes the http.Server before it starts: timeouts, limits, ConnContext.
func Configure(f func(*http.Server)) Option {
	return func(s *Server) { f(s.server) }
}

// New starts a Server for h. It is closed by t.Cleanup, which inside a bubble runs before the bubble ends.
func New(t testing.TB, h http.Handler, opts ...Option) *Server {
	t.Helper()
	s := &Server{
		URL: "http://mantlet.test",
		ln:  &listener{conns: make(chan net.Conn), done: make(chan struct{}), from: netip.MustParseAddr("192.0.2.1"), port: 49151},
	}
	s.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.running.Add(1)
		defer s.running.Done()
		h.ServeHTTP(w, r)
	})}
	logs := &testLog{t: t}
	s.server.ErrorLog = log.New(logs, "", 0)
	for _, o := range opts {
		o(s)
	}
	s.client = &http.Client{Transport: &http.Transport{
		DialContext:        func(ctx context.Context, _, _ string) (net.Conn, error) { return s.Dial(ctx) },
		Protocols:          s.server.Protocols,
		DisableCompression: true, // a test must see the bytes the handler wrote
	}}
	served := make(chan error, 1)
	go func() { served <- s.server.Serve(s.ln) }()
	t.Cleanup(func() {
		s.Close()
		if err := <-served; err != http.ErrServerClosed {
			t.Errorf("memhttp: Serve: %v", err)
		}
		logs.close()
	})
	return s
}

// Client returns a client whose every request goes to the server, whatever the URL. It does not ask for gzip by itself.
func (s *Server) Client() *http.Client { return s.client }

// Dial opens a raw connection, for what a well-behaved client cannot be made to send. The caller closes it.
func (s *Server) Dial(ctx context.Context) (net.Conn, error) { return s.ln.dial(ctx) }

// Close ends the server and waits for its handlers, so that what they leave behind can be looked at. Requests that are under way
// have five seconds, after which their connections are cut.
func (s *Server) Close() {
	s.once.Do(func() {
		s.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if s.server.Shutdown(ctx) != nil {
			_ = s.server.Close()
		}
		s.running.Wait()
	})
}

type listener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
	from  netip.Addr
	mu    sync.Mutex
	port  uint16
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *listener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *listener) Addr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.MustParseAddrPort("192.0.2.80:80"))
}

func (l *listener) dial(ctx context.Context) (net.Conn, error) {
	l.mu.Lock()
	l.port++
	from := net.TCPAddrFromAddrPort(netip.AddrPortFrom(l.from, l.port))
	l.mu.Unlock()
	client, server := net.Pipe()
	select {
	case l.conns <- conn{server, l.Addr(), from}:
		return conn{client, from, l.Addr()}, nil
	case <-l.done:
		return nil, net.ErrClosed
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// conn gives a pipe the addresses of a network connection: middleware reads them.
type conn struct {
	net.Conn
	local, remote net.Addr
}

func (c conn) LocalAddr() net.Addr  { return c.local }
func (c conn) RemoteAddr() net.Addr { return c.remote }

// testLog sends the server's complaints to the test that caused them, and drops what comes after its end, where t.Log panics.
type testLog struct {
	mu sync.Mutex
	t  testing.TB
}

func (l *testLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.t != nil {
		l.t.Log(strings.TrimRight(string(b), "\n"))
	}
	return len(b), nil
}

func (l *testLog) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.t = nil
}

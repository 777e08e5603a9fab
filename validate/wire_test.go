package validate_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/internal/memhttp"
	"github.com/mantlet-go/mantlet/validate"
)

// What the tests here show, they show over real connections: what net/http does by itself, and what the Validator adds.

// countedConns is a listener that counts the bytes its connections deliver.
type countedConns struct {
	net.Listener
	n atomic.Int64
}

type countedConn struct {
	net.Conn
	n *atomic.Int64
}

func (l *countedConns) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return countedConn{c, &l.n}, nil
}

func (c countedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.n.Add(int64(n))
	return n, err
}

func TestARefusedRequestIsNotToldToContinueAndNoByteOfItsBodyIsRead(t *testing.T) {
	v := mustNew(t, validate.Config{Methods: []string{"POST"}, Encodings: []string{"gzip"}})
	for name, c := range map[string]struct{ method, head, status string }{
		"100 MB":         {"POST", "Content-Type: application/json\r\n", "413"},
		"100 MB of gzip": {"POST", "Content-Type: application/json\r\nContent-Encoding: gzip\r\n", "413"},
		"wrong type":     {"POST", "Content-Type: text/plain\r\n", "415"},
		"no type":        {"POST", "", "415"},
		"two types":      {"POST", "Content-Type: application/json\r\nContent-Type: text/plain\r\n", "415"},
		"UTF-16":         {"POST", "Content-Type: application/json; charset=utf-16\r\n", "415"},
		"other coding":   {"POST", "Content-Type: application/json\r\nContent-Encoding: zstd\r\n", "415"},
		"wrong method":   {"PUT", "Content-Type: application/json\r\n", "405"},
	} {
		for _, expect := range []string{"", "Expect: 100-continue\r\n"} {
			t.Run(name+", "+strings.TrimSpace(expect), func(t *testing.T) {
				t.Parallel() // net/http lingers half a second over a client that goes on sending
				body := make(chan *counted, 1)
				s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					b := &counted{Reader: r.Body}
					copied := *r // net/http looks at the body of its own request
					copied.Body = b
					v.Handler(echo).ServeHTTP(w, &copied)
					body <- b
				}))
				l := &countedConns{Listener: s.Listener}
				s.Listener = l
				s.Start()
				conn, err := net.Dial("tcp", s.Listener.Addr().String())
				if err != nil {
					t.Fatal(err)
				}
				head := c.method + " / HTTP/1.1\r\nHost: x\r\nContent-Length: 104857600\r\n" + expect + c.head + "\r\n"
				io.WriteString(conn, head)
				sent := make(chan struct{})
				go func() { // a client that waits for nothing
					defer close(sent)
					for chunk := make([]byte, 64<<10); expect == ""; {
						if _, err := conn.Write(chunk); err != nil {
							return
						}
					}
				}()
				first, err := bufio.NewReader(conn).ReadString('\n')
				if err != nil || !strings.HasPrefix(first, "HTTP/1.1 "+c.status) {
					t.Errorf("the first line is %q (%v)", first, err)
				}
				if b := <-body; b.reads != 0 {
					t.Errorf("the body was read %d times", b.reads)
				}
				conn.Close()
				<-sent
				s.Close()
				// A client that sends without waiting makes net/http drain up to 256 KiB, so that the client gets to see the answer.
				if n := l.n.Load() - int64(len(head)); n > 300<<10 || expect != "" && n != 0 {
					t.Errorf("%d bytes of the body left the connection", n)
				}
			})
		}
	}
}

func TestAnHTTP2ClientThatWaitsForContinueNeverSendsABodyThatIsRefused(t *testing.T) {
	for _, opts := range [][]memhttp.Option{nil, {memhttp.HTTP2()}} {
		s := memhttp.New(t, mustNew(t, validate.Config{MaxBody: 100}).Handler(echo), opts...)
		s.Client().Transport.(*http.Transport).ExpectContinueTimeout = time.Minute
		body := &counted{Reader: strings.NewReader(strings.Repeat(" ", 1000))}
		r, _ := http.NewRequest("POST", s.URL, body)
		r.ContentLength = 1000
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Expect", "100-continue")
		res, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 413 || body.reads != 0 {
			t.Errorf("%s: %s after %d reads", res.Proto, res.Status, body.reads)
		}
	}
}

// How a message ends is net/http's to find out, and the usual way to smuggle a request past a proxy. The Validator must see
// one body or none.
func TestHowABodyIsFramed(t *testing.T) {
	const json = "Host: x\r\nContent-Type: application/json\r\n"
	for name, c := range map[string]struct {
		raw    string
		status string // of the first answer
		bodies string // what reached the handler
	}{
		"one length":                       {"POST / HTTP/1.1\r\n" + json + "Connection: close\r\nContent-Length: 2\r\n\r\n{}", "200", "{}"},
		"the length twice":                 {"POST / HTTP/1.1\r\n" + json + "Connection: close\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}", "200", "{}"},
		"two lengths":                      {"POST / HTTP/1.1\r\n" + json + "Content-Length: 2\r\nContent-Length: 3\r\n\r\n{} ", "400", ""},
		"a list of lengths":                {"POST / HTTP/1.1\r\n" + json + "Content-Length: 2, 2\r\n\r\n{}", "400", ""},
		"a signed length":                  {"POST / HTTP/1.1\r\n" + json + "Content-Length: +2\r\n\r\n{}", "400", ""},
		"a negative length":                {"POST / HTTP/1.1\r\n" + json + "Content-Length: -2\r\n\r\n{}", "400", ""},
		"a hexadecimal length":             {"POST / HTTP/1.1\r\n" + json + "Content-Length: 0x2\r\n\r\n{}", "400", ""},
		"an endless length":                {"POST / HTTP/1.1\r\n" + json + "Content-Length: 18446744073709551618\r\n\r\n{}", "400", ""},
		"a length that is too small":       {"POST / HTTP/1.1\r\n" + json + "Content-Length: 2\r\n\r\n{}{\"smuggled\":1}\r\n\r\n", "200", "{}"},
		"a length that is too small by 1":  {"POST / HTTP/1.1\r\n" + json + "Connection: close\r\nContent-Length: 6\r\n\r\n{\"a\":1}", "400", ""},
		"a length and chunks":              {"POST / HTTP/1.1\r\n" + json + "Connection: close\r\nContent-Length: 100\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "200", "{}"},
		"a length too long for the chunks": {"POST / HTTP/1.1\r\n" + json + "Connection: close\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "200", "{}"},
		"chunks over chunks":               {"POST / HTTP/1.1\r\n" + json + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "501", ""},
		"a transfer coding":                {"POST / HTTP/1.1\r\n" + json + "Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n", "501", ""},
		"an empty chunked body":            {"POST / HTTP/1.1\r\n" + json + "Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "400", ""},
		"neither":                          {"POST / HTTP/1.1\r\n" + json + "Connection: close\r\n\r\n", "400", ""},
		"HTTP/1.0 without a length":        {"POST / HTTP/1.0\r\n" + json + "\r\n{}", "400", ""},
	} {
		var bodies bytes.Buffer
		got := exchangeRaw(t, mustNew(t, validate.Config{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.Copy(&bodies, r.Body)
		})), c.raw)
		if !strings.HasPrefix(got[min(9, len(got)):], c.status) || bodies.String() != c.bodies {
			t.Errorf("%s: %.80q, and the handler got %q", name, got, &bodies)
		}
	}
}

func TestTrailersReachNobody(t *testing.T) {
	h := mustNew(t, validate.Config{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.ReadAll(r.Body)
		fmt.Fprintf(w, "role %q, trailer %v", r.Header.Get("X-Role"), r.Trailer)
	}))
	for _, declared := range []string{"", "Trailer: X-Role\r\n"} {
		got := exchangeRaw(t, h, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"+declared+
			"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Role: admin\r\n\r\n")
		if !strings.HasSuffix(got, `role "", trailer map[]`) {
			t.Errorf("%q: %q", declared, got)
		}
	}
	for _, opts := range [][]memhttp.Option{nil, {memhttp.HTTP2()}} {
		s := memhttp.New(t, h, opts...)
		r, _ := http.NewRequest("POST", s.URL, io.MultiReader(strings.NewReader(`{}`)))
		r.Header.Set("Content-Type", "application/json")
		r.Trailer = http.Header{"X-Role": {"admin"}}
		res, err := s.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if string(b) != `role "", trailer map[]` {
			t.Errorf("%s: %s", res.Proto, b)
		}
	}
}

func TestTooManyTrailersAreRefused(t *testing.T) {
	h := mustNew(t, validate.Config{}).Handler(echo)
	conn, err := memhttp.New(t, h).Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	go io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/json\r\n"+
		"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"+strings.Repeat("X-Role: admin\r\n", 10_000)+"\r\n")
	if got, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.HasPrefix(got, "HTTP/1.1 400") {
		t.Errorf("%q, %v", got, err)
	}
}

func TestAClientThatLeavesInTheMiddleOfItsBodyRunsNoHandler(t *testing.T) {
	for _, opts := range [][]memhttp.Option{nil, {memhttp.HTTP2()}} {
		synctest.Test(t, func(t *testing.T) {
			h := mustNew(t, validate.Config{}).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") }))
			s := memhttp.New(t, h, opts...)
			ctx, leave := context.WithCancel(t.Context())
			defer leave()
			time.AfterFunc(time.Second, leave)
			r, _ := http.NewRequestWithContext(ctx, "POST", s.URL, io.MultiReader(strings.NewReader(`{"a":1`), readFunc(func([]byte) (int, error) {
				<-ctx.Done()
				return 0, ctx.Err()
			})))
			r.Header.Set("Content-Type", "application/json")
			if _, err := s.Client().Do(r); err == nil {
				t.Error("an answer to nobody")
			}
			s.Close() // waits for the handler
		})
	}
}

func TestABodyShorterThanItsLengthRunsNoHandler(t *testing.T) {
	for _, opts := range [][]memhttp.Option{nil, {memhttp.HTTP2()}} {
		h := mustNew(t, validate.Config{}).Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the handler ran") }))
		s := memhttp.New(t, h, opts...)
		r, _ := http.NewRequest("POST", s.URL, strings.NewReader(`{}`))
		r.ContentLength = 100
		r.Header.Set("Content-Type", "application/json")
		if res, err := s.Client().Do(r); err == nil {
			res.Body.Close()
			if res.StatusCode != 400 {
				t.Error(res.Status)
			}
		}
		s.Close() // waits for the handler
	}
}

func TestABodyCanBeReadOnceMoreThroughGetBody(t *testing.T) {
	h := mustNew(t, validate.Config{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, _ := io.ReadAll(r.Body)
		second, err := io.ReadAll(r.Body) // like net/http's own: read is read
		again, _ := r.GetBody()
		third, _ := io.ReadAll(again)
		fmt.Fprintf(w, "%s %s%v %s", first, second, err, third)
	}))
	if w := serve(h, request("POST", `{}`)); w.Body.String() != `{} <nil> {}` {
		t.Errorf("%s", w.Body)
	}
}

func TestANilBodyIsNoBody(t *testing.T) {
	h := mustNew(t, validate.Config{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
	for method, want := range map[string]int{"GET": 200, "POST": 400} {
		for _, length := range []int64{-1, 0, 10} {
			r := request(method, "x")
			r.Body, r.ContentLength = nil, length
			if w := serve(h, r); w.Code != want {
				t.Errorf("%s, length %d: %d", method, length, w.Code)
			}
		}
	}
}

// The canonical document: a model server behind a reverse proxy gets exactly the bytes that were checked, framed by their own
// length, and no header field that says otherwise (labstack/echo#3000: the length was stale after decoding).
func TestTheUpstreamGetsExactlyTheCheckedBytes(t *testing.T) {
	const body = ` {"prompt" : "\u0061", "n": 1.0e0 } `
	type arrival struct {
		*http.Request
		body string
	}
	for proto, opts := range map[string][]memhttp.Option{"HTTP/1.1": nil, "HTTP/2.0": {memhttp.HTTP2()}} {
		var got arrival
		upstream := memhttp.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			b, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			got = arrival{r, string(b)}
		}), opts...)
		target, _ := url.Parse(upstream.URL)
		front := memhttp.New(t, mustNew(t, validate.Config{Schema: completionSchema, Encodings: []string{"gzip"}}).Handler(&httputil.ReverseProxy{
			Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(target) },
			Transport: upstream.Client().Transport,
		}), opts...)
		for _, coding := range []string{"", "gzip"} {
			for _, framing := range []string{"fixed", "chunked"} {
				name := fmt.Sprintf("%s, coding %q, %s", proto, coding, framing)
				sent := body
				if coding != "" {
					sent = zip(body)
				}
				var reader io.Reader = strings.NewReader(sent)
				if framing == "chunked" {
					reader = io.MultiReader(reader) // hides the length
				}
				r, _ := http.NewRequest("POST", front.URL, reader)
				r.Header.Set("Content-Type", "application/json")
				r.Trailer = http.Header{"X-Role": {"admin"}}
				if framing == "fixed" {
					r.Trailer = nil
				}
				if coding != "" {
					r.Header.Set("Content-Encoding", coding)
					r.Header.Set("Content-Digest", "sha-256=:of-the-coded-bytes:")
				}
				got = arrival{}
				res, err := front.Client().Do(r)
				if err != nil {
					t.Fatal(err)
				}
				refusal, _ := io.ReadAll(res.Body)
				res.Body.Close()
				if res.StatusCode != 200 || res.Proto != proto || got.Request == nil {
					t.Errorf("%s: %s %s %s", name, res.Proto, res.Status, refusal)
					continue
				}
				if got.body != body || got.ContentLength != int64(len(body)) || len(got.TransferEncoding) > 0 || len(got.Trailer) > 0 {
					t.Errorf("%s: %q, length %d, transfer encoding %q, trailer %v", name, got.body, got.ContentLength, got.TransferEncoding, got.Trailer)
				}
				if got.Header.Get("Content-Encoding") != "" || got.Header.Get("Content-Digest") != "" || got.Header.Get("Content-Length") != fmt.Sprint(len(body)) {
					t.Errorf("%s: %v", name, got.Header)
				}
			}
		}
	}
}

func TestASlowCodedBodyMeetsTheSameDeadline(t *testing.T) {
	for _, opts := range [][]memhttp.Option{nil, {memhttp.HTTP2()}} {
		synctest.Test(t, func(t *testing.T) {
			s := memhttp.New(t, mustNew(t, withGzip).Handler(echo), opts...)
			start := time.Now()
			whole, stop := zip(`{}`), make(chan struct{})
			r, _ := http.NewRequest("POST", s.URL, io.MultiReader(strings.NewReader(whole[:10]), readFunc(func([]byte) (int, error) {
				<-stop
				return 0, io.EOF
			})))
			r.Header.Set("Content-Type", "application/json")
			r.Header.Set("Content-Encoding", "gzip")
			res, err := s.Client().Do(r)
			close(stop)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if d := time.Since(start); res.StatusCode != 408 || d != validate.DefaultReadTimeout {
				t.Errorf("%s: %s after %v", res.Proto, res.Status, d)
			}
		})
	}
}

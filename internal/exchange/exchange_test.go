package exchange_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/raced"
)

func denial() *deny.Denial {
	return &deny.Denial{Code: deny.Overloaded, Stage: "test", Cause: errors.New("private cause"), Header: http.Header{"Retry-After": {"1"}}}
}

// enter runs f inside a fresh exchange and returns what the client got.
func enter(r *http.Request, f func(*exchange.Exchange, http.ResponseWriter, *http.Request)) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	x, w, r := exchange.Enter(rec, r)
	defer x.Leave()
	f(x, w, r)
	return rec
}

func TestInnerRoomsFindTheOutermostExchange(t *testing.T) {
	enter(httptest.NewRequest("GET", "/", nil), func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
		y, w2, r2 := exchange.Enter(w, r)
		defer y.Leave()
		if y != x || w2 != w || r2 != r {
			t.Error("a second exchange, writer or request was made")
		}
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		if exchange.From(ctx) != x {
			t.Error("not found through a derived context")
		}
	})
	if exchange.From(t.Context()) != nil {
		t.Error("found where there is none")
	}
}

func TestEnteringCostsTheExchangeTheCopyAndTheID(t *testing.T) {
	if raced.Enabled {
		t.Skip("the race detector allocates for itself")
	}
	r := httptest.NewRequest("GET", "/", nil)
	rec := httptest.NewRecorder()
	n := testing.AllocsPerRun(100, func() {
		x, _, _ := exchange.Enter(rec, r)
		x.Leave()
	})
	if n > 3 {
		t.Errorf("%v allocations, want at most 3: exchange, request copy, request id", n)
	}
}

func TestTheContextIsOneThatCanBeCancelled(t *testing.T) {
	type key struct{}
	parent, cancelParent := context.WithCancel(context.WithValue(t.Context(), key{}, "v"))
	defer cancelParent()
	cause := errors.New("budget used up")

	t.Run("by Cancel, with its cause", func(t *testing.T) {
		enter(httptest.NewRequest("GET", "/", nil).WithContext(parent), func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
			ctx := r.Context()
			child, cancel := context.WithCancel(ctx)
			defer cancel()
			if ctx.Err() != nil || ctx.Value(key{}) != "v" {
				t.Fatal("cancelled too early or value lost")
			}
			x.Cancel(cause)
			<-ctx.Done()
			<-child.Done()
			if !errors.Is(ctx.Err(), context.Canceled) || context.Cause(ctx) != cause || context.Cause(child) != cause {
				t.Errorf("err %v, cause %v", ctx.Err(), context.Cause(ctx))
			}
			if parent.Err() != nil {
				t.Error("the parent was cancelled")
			}
		})
	})
	t.Run("before anybody listened", func(t *testing.T) {
		enter(httptest.NewRequest("GET", "/", nil).WithContext(parent), func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
			x.Cancel(cause)
			if r.Context().Err() == nil || context.Cause(r.Context()) != cause {
				t.Error("not cancelled")
			}
			<-r.Context().Done()
		})
	})
	t.Run("by the parent", func(t *testing.T) {
		p, stop := context.WithCancelCause(parent)
		enter(httptest.NewRequest("GET", "/", nil).WithContext(p), func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
			child, cancel := context.WithCancel(r.Context())
			defer cancel()
			stop(cause)
			<-child.Done()
			<-r.Context().Done()
			if context.Cause(r.Context()) != cause {
				t.Errorf("cause %v", context.Cause(r.Context()))
			}
		})
	})
	t.Run("and it ends with the request", func(t *testing.T) {
		var kept, late context.Context
		enter(httptest.NewRequest("GET", "/", nil).WithContext(parent), func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
			kept = r.Context()
			kept.Done()
		})
		<-kept.Done()
		enter(httptest.NewRequest("GET", "/", nil).WithContext(parent), func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
			late = r.Context()
		})
		<-late.Done()
	})
}

func TestTheRequestIDIsTheClientsOnlyWhenItIsHarmless(t *testing.T) {
	for in, kept := range map[string]bool{
		"abc-123_X.9":             true,
		strings.Repeat("a", 64):   true,
		strings.Repeat("a", 65):   false,
		"":                        false,
		"a b":                     false,
		"a\"b":                    false,
		"a<script>":               false,
		"é":                       false,
		"a/b":                     false,
		"a\x1b[31m":               false,
		"{\"error\":\"forged\"}":  false,
		"line\r\nSet-Cookie: a=b": false,
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.Header["X-Request-Id"] = []string{in}
		rec := enter(r, func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) { w.WriteHeader(200) })
		got := rec.Header().Get("X-Request-Id")
		if kept != (got == in) || !kept && len(got) != 32 {
			t.Errorf("%q became %q", in, got)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header["X-Request-Id"] = []string{"one", "two"}
	rec := enter(r, func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {})
	if got := rec.Header()["X-Request-Id"]; len(got) != 1 || len(got[0]) != 32 {
		t.Errorf("a doubled id became %q", got)
	}
}

func TestAnUpstreamsRequestIDDoesNotDoubleOurs(t *testing.T) {
	rec := enter(httptest.NewRequest("GET", "/", nil), func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
		w.Header().Add("X-Request-Id", "upstream") // as a reverse proxy copies it
		w.WriteHeader(200)
		if got := w.Header()["X-Request-Id"]; len(got) != 1 || got[0] != x.ID() {
			t.Errorf("%q", got)
		}
	})
	_ = rec
}

func proxies(tb testing.TB, prefixes ...string) *exchange.Proxies {
	tb.Helper()
	var list []netip.Prefix
	for _, s := range prefixes {
		list = append(list, netip.MustParsePrefix(s))
	}
	p, err := exchange.NewProxies(list)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func TestNoPrefixThatTrustsEverybodyIsAccepted(t *testing.T) {
	for _, s := range []string{"0.0.0.0/0", "::/0", "::ffff:0:0/96"} {
		if p, err := exchange.NewProxies([]netip.Prefix{netip.MustParsePrefix(s)}); err == nil || p != nil {
			t.Errorf("%s: accepted", s)
		}
	}
	if _, err := exchange.NewProxies([]netip.Prefix{{}, netip.MustParsePrefix("::/0")}); err == nil || strings.Count(err.Error(), "TrustedProxies[") != 2 {
		t.Errorf("not all faults: %v", err)
	}
	if p, err := exchange.NewProxies(nil); p != nil || err != nil {
		t.Error("none means nobody")
	}
}

func TestClientAddress(t *testing.T) {
	proxies := proxies(t, "10.0.0.0/8", "fd00::/8", "::ffff:172.16.0.0/108")
	xff := func(v ...string) http.Header { return http.Header{"X-Forwarded-For": v} }
	fwd := func(v ...string) http.Header { return http.Header{"Forwarded": v} }
	for name, tc := range map[string]struct {
		trusted *exchange.Proxies
		remote  string
		h       http.Header
		want    string
	}{
		"no proxies: the peer":                               {nil, "192.0.2.1:1234", nil, "192.0.2.1"},
		"no proxies: headers are not read":                   {nil, "192.0.2.1:1234", xff("203.0.113.9"), "192.0.2.1"},
		"a peer that is no proxy is not believed":            {proxies, "192.0.2.1:1", xff("203.0.113.9"), "192.0.2.1"},
		"right-most untrusted hop":                           {proxies, "10.0.0.1:1", xff("1.1.1.1, 203.0.113.9, 10.0.0.2"), "203.0.113.9"},
		"over several header lines":                          {proxies, "10.0.0.1:1", xff("1.1.1.1", "203.0.113.9", "10.0.0.2,10.0.0.3"), "203.0.113.9"},
		"all hops trusted: the left-most":                    {proxies, "10.0.0.1:1", xff("10.0.0.9, 10.0.0.2"), "10.0.0.9"},
		"garbage: nobody can vouch for the client":           {proxies, "10.0.0.1:1", xff("203.0.113.9, garbage, 10.0.0.2"), "invalid IP"},
		"an empty header":                                    {proxies, "10.0.0.1:1", xff(""), "invalid IP"},
		"a port":                                             {proxies, "10.0.0.1:1", xff("203.0.113.9:5555"), "203.0.113.9"},
		"IPv6 with brackets and port":                        {proxies, "10.0.0.1:1", xff("[2001:db8::1]:5555"), "2001:db8::1"},
		"IPv6 with brackets":                                 {proxies, "10.0.0.1:1", xff("[2001:db8::1]"), "2001:db8::1"},
		"IPv4-mapped client":                                 {proxies, "10.0.0.1:1", xff("::ffff:203.0.113.9"), "203.0.113.9"},
		"IPv4-mapped peer is the proxy it maps to":           {proxies, "[::ffff:10.0.0.1]:1", xff("203.0.113.9"), "203.0.113.9"},
		"IPv4-mapped prefix in the configuration":            {proxies, "172.16.3.4:1", xff("203.0.113.9"), "203.0.113.9"},
		"a translated client":                                {nil, "[64:ff9b::203.0.113.9]:1", nil, "203.0.113.9"},
		"a translated client of a proxy":                     {proxies, "10.0.0.1:1", xff("64:ff9b::203.0.113.9"), "203.0.113.9"},
		"no translated loopback":                             {proxies, "10.0.0.1:1", xff("203.0.113.1, 64:ff9b::127.0.0.1"), "64:ff9b::7f00:1"},
		"no translated proxy":                                {proxies, "[64:ff9b::10.0.0.1]:1", xff("203.0.113.9"), "64:ff9b::a00:1"},
		"zone":                                               {nil, "[fe80::1%eth0]:1", nil, "fe80::1"},
		"Forwarded":                                          {proxies, "10.0.0.1:1", fwd(`for=1.1.1.1, for=203.0.113.9;proto=https`), "203.0.113.9"},
		"Forwarded, quoted IPv6":                             {proxies, "10.0.0.1:1", fwd(`proto=https;For="[2001:db8::1]:4711"`), "2001:db8::1"},
		"Forwarded, obfuscated":                              {proxies, "10.0.0.1:1", fwd(`for=203.0.113.9, for=_hidden`), "invalid IP"},
		"Forwarded, unknown":                                 {proxies, "10.0.0.1:1", fwd(`for=unknown`), "invalid IP"},
		"Forwarded, for said twice":                          {proxies, "10.0.0.1:1", fwd(`for=203.0.113.9;for=1.1.1.1`), "invalid IP"},
		"Forwarded, comma inside quotes":                     {proxies, "10.0.0.1:1", fwd(`for="1.1.1.1,2.2.2.2"`), "invalid IP"},
		"both headers, same client":                          {proxies, "10.0.0.1:1", http.Header{"X-Forwarded-For": {"203.0.113.9"}, "Forwarded": {"for=203.0.113.9"}}, "203.0.113.9"},
		"both headers, one is the client's own: none counts": {proxies, "10.0.0.1:1", http.Header{"X-Forwarded-For": {"203.0.113.9"}, "Forwarded": {"for=1.1.1.1"}}, "invalid IP"},
		"a thousand hops of the client's invention":          {proxies, "10.0.0.1:1", xff("1.1.1.1," + strings.Repeat("10.0.0.2,", 1000) + "10.0.0.2"), "invalid IP"},
		"unix socket":                                        {proxies, "@", xff("203.0.113.9"), "invalid IP"},
		"empty":                                              {nil, "", nil, "invalid IP"},
		"the proxy itself":                                   {proxies, "10.0.0.1:1", nil, "10.0.0.1"},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = tc.remote
			for k, v := range tc.h {
				r.Header[k] = v
			}
			enter(r, func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
				if got := x.Addr(r, tc.trusted).String(); got != tc.want {
					t.Errorf("got %s, want %s", got, tc.want)
				}
				if tc.trusted != nil {
					if got := x.Addr(r, nil).String(); got != tc.want {
						t.Errorf("a second room got %s", got)
					}
				}
			})
		})
	}
}

func FuzzClientAddress(f *testing.F) {
	f.Add("10.0.0.1:1", "1.1.1.1, 203.0.113.9", "for=1.1.1.1;by=\"[::1]\"")
	f.Add("[::ffff:10.0.0.1]:1", ",,,", "for=\"")
	f.Add("", "[::1%a]:99999999", "for=unknown, for=_x")
	all := proxies(f, "10.0.0.0/8")
	f.Fuzz(func(t *testing.T, remote, xff, fwd string) {
		r := &http.Request{RemoteAddr: remote, Header: http.Header{"X-Forwarded-For": {xff}, "Forwarded": {fwd}}}
		a := all.Client(r)
		if a.Zone() != "" || a.Is4In6() {
			t.Fatalf("%v can stand for another address too", a)
		}
		r.Header = http.Header{}
		p := all.Client(r)
		if p.IsValid() && !netip.MustParsePrefix("10.0.0.0/8").Contains(p) && a != p {
			t.Fatalf("an untrusted peer %v was believed to be %v", p, a)
		}
	})
}

func TestTheBodyIsReadOnceAndReplayed(t *testing.T) {
	const text = `{"model":"demo"}`
	r := httptest.NewRequest("POST", "/v1/chat/completions", io.NopCloser(strings.NewReader(text)))
	enter(r, func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
		a, err := x.ReadBody(w, r, 100)
		b, err2 := x.ReadBody(w, r, 100)
		if err != nil || err2 != nil || string(a) != text || &a[0] != &b[0] {
			t.Fatalf("%q %v, %q %v", a, err, b, err2)
		}
		if _, err := x.ReadBody(w, r, 3); !isTooLarge(err) {
			t.Errorf("a smaller bound afterwards: %v", err)
		}
		got, _ := io.ReadAll(r.Body)
		again, _ := r.GetBody()
		got2, _ := io.ReadAll(again)
		if string(got) != text || string(got2) != text || r.ContentLength != int64(len(text)) {
			t.Errorf("handler reads %q, GetBody %q, length %d", got, got2, r.ContentLength)
		}
		x.ReplaceBody(r, []byte("new"))
		got, _ = io.ReadAll(r.Body)
		if c, _ := x.ReadBody(w, r, 100); string(c) != "new" || string(got) != "new" || r.ContentLength != 3 {
			t.Errorf("after ReplaceBody: %q, %q, %d", c, got, r.ContentLength)
		}
	})
}

func isTooLarge(err error) bool {
	var e *http.MaxBytesError
	return errors.As(err, &e)
}

// countingBody counts what is read of it.
type countingBody struct {
	io.Reader
	n int
}

func (c *countingBody) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}
func (c *countingBody) Close() error { return nil }

func TestABodyAnnouncedTooLargeIsNotRead(t *testing.T) {
	body := &countingBody{Reader: strings.NewReader(strings.Repeat("x", 1000))}
	r := httptest.NewRequest("POST", "/", nil)
	r.Body, r.ContentLength = body, 1000
	enter(r, func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
		if _, err := x.ReadBody(w, r, 999); !isTooLarge(err) || body.n != 0 {
			t.Errorf("%v after %d bytes", err, body.n)
		}
	})
}

func TestABodyThatHidesItsLengthIsCutAtTheBound(t *testing.T) {
	for _, announced := range []int64{-1, 10} {
		body := &countingBody{Reader: strings.NewReader(strings.Repeat("x", 100_000))}
		r := httptest.NewRequest("POST", "/", nil)
		r.Body, r.ContentLength = body, announced
		enter(r, func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
			if _, err := x.ReadBody(w, r, 1000); !isTooLarge(err) || body.n > 2000 {
				t.Errorf("%v after %d bytes", err, body.n)
			}
		})
	}
}

func TestABodyThatAForeignMiddlewareReplacedIsReadAgain(t *testing.T) {
	enter(httptest.NewRequest("POST", "/", strings.NewReader("one")), func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
		x.ReadBody(w, r, 100)
		r.Body, r.ContentLength = io.NopCloser(strings.NewReader("three")), 5
		if b, err := x.ReadBody(w, r, 100); string(b) != "three" || err != nil {
			t.Errorf("%q, %v", b, err)
		}
	})
}

func TestARefusalIsSentRecordedAndLeftAloneByTaps(t *testing.T) {
	d := denial()
	for _, mode := range []exchange.Mode{exchange.Pass, exchange.Collect, exchange.Whole, exchange.Frames} {
		tap := newRecorder(mode)
		rec := httptest.NewRecorder()
		var got *deny.Denial
		room(tap, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x := exchange.From(r.Context())
			x.Refuse(w, r, d)
			got = x.Denial()
		})).ServeHTTP(rec, httptest.NewRequest("POST", "/v1/chat/completions", nil))
		if got != d || rec.Code != 503 || rec.Header().Get("Retry-After") != "1" || slices.Contains(tap.log, "body 0") {
			t.Errorf("mode %d: %d %v, tap saw %v", mode, rec.Code, rec.Header(), tap.log)
		}
		if strings.Contains(rec.Body.String(), "private") {
			t.Errorf("the cause reached the client: %s", rec.Body)
		}
	}
}

func TestARoomsOwnReplyGivesWayToTheOneThatOwnsErrors(t *testing.T) {
	custom := func(w http.ResponseWriter, r *http.Request, err error) { w.WriteHeader(418) }
	rec := enter(httptest.NewRequest("GET", "/", nil), func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
		x.RefuseWith(w, r, denial(), custom)
	})
	if rec.Code != 418 {
		t.Errorf("alone: %d", rec.Code)
	}
	rec = enter(httptest.NewRequest("GET", "/", nil), func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
		x.OwnErrors(deny.Problem)
		x.RefuseWith(w, r, denial(), custom)
	})
	if rec.Code != 503 || rec.Header().Get("Content-Type") != "application/problem+json" {
		t.Errorf("owned: %d %v", rec.Code, rec.Header())
	}
}

func TestTheCallerOfAForeignMiddlewareWins(t *testing.T) {
	enter(httptest.NewRequest("GET", "/", nil), func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
		if _, ok := exchange.CallerFrom(r.Context()); ok {
			t.Error("a caller out of nowhere")
		}
		x.SetCaller(exchange.Caller{ClientID: "ours"})
		if c, ok := exchange.CallerFrom(r.Context()); !ok || c.ClientID != "ours" {
			t.Errorf("%v", c)
		}
		ctx := exchange.WithCaller(r.Context(), exchange.Caller{ClientID: "theirs"})
		if c, _ := exchange.CallerFrom(ctx); c.ClientID != "theirs" {
			t.Errorf("%v", c)
		}
	})
	outside := exchange.WithCaller(t.Context(), exchange.Caller{ClientID: "outside"})
	enter(httptest.NewRequest("GET", "/", nil).WithContext(outside), func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
		if c, ok := exchange.CallerFrom(r.Context()); !ok || c.ClientID != "outside" {
			t.Errorf("set before the exchange: %v", c)
		}
	})
}

func TestPrivateFactsAreKeptByKey(t *testing.T) {
	type a struct{}
	type b struct{}
	enter(httptest.NewRequest("GET", "/", nil), func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
		x.Put(a{}, 1)
		x.Put(b{}, 2)
		x.Put(a{}, 3)
		if x.Get(a{}) != 3 || x.Get(b{}) != 2 || x.Get(0) != nil {
			t.Error("facts mixed up")
		}
	})
}

func TestARecorderStillSniffsTheContentType(t *testing.T) {
	for _, mode := range []exchange.Mode{exchange.Pass, exchange.Frames, exchange.Collect} {
		rec := httptest.NewRecorder()
		room(newRecorder(mode), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "<html><body>hi")
		})).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
		if got := rec.Result().Header.Get("Content-Type"); got != "text/html; charset=utf-8" {
			t.Errorf("mode %d: %q", mode, got)
		}
	}
}

func TestARequestThatAHandlerMakesIsNotTheOneItCameWith(t *testing.T) {
	var bodies []string
	inner := room(nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := exchange.From(r.Context()).ReadBody(w, r, 100)
		if err != nil {
			t.Error(err)
		}
		bodies = append(bodies, string(b))
	}))
	enter(httptest.NewRequest("POST", "/batch", strings.NewReader("outer")), func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
		x.SetCaller(exchange.Caller{ClientID: "alice"})
		if b, _ := x.ReadBody(w, r, 100); string(b) != "outer" {
			t.Errorf("%q", b)
		}
		for _, text := range []string{"one", "two"} {
			sub, _ := http.NewRequestWithContext(r.Context(), "POST", "http://inside/v1/chat/completions", strings.NewReader(text))
			rec := httptest.NewRecorder()
			inner.ServeHTTP(rec, sub)
		}
		if b, _ := x.ReadBody(w, r, 100); string(b) != "outer" {
			t.Errorf("afterwards %q", b)
		}
	})
	if !slices.Equal(bodies, []string{"one", "two"}) {
		t.Errorf("%q", bodies)
	}
}

func TestARefusalElsewhereDoesNotSwitchOffTheTapsOfTheRealAnswer(t *testing.T) {
	refusing := room(nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		exchange.From(r.Context()).Refuse(w, r, denial())
	}))
	tap := newRecorder(exchange.Whole)
	rec := httptest.NewRecorder()
	room(tap, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		refusing.ServeHTTP(httptest.NewRecorder(), r) // somebody's fallback: the first try goes into a recorder
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"from":"fallback"}`)
	})).ServeHTTP(rec, httptest.NewRequest("POST", "/", nil))
	if !slices.Contains(tap.log, "body 2") || rec.Body.String() != `{"from":"fallback"}` {
		t.Errorf("the tap saw %v", tap.log)
	}
}

func TestARefusalThroughSomebodysWrapperIsStillARefusal(t *testing.T) {
	tap := newRecorder(exchange.Whole)
	rec := httptest.NewRecorder()
	room(tap, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x := exchange.From(r.Context())
		x.Refuse(foreign{w}, r, denial())
	})).ServeHTTP(rec, httptest.NewRequest("POST", "/", nil))
	if slices.Contains(tap.log, "body 2") || rec.Code != 503 {
		t.Errorf("%d, the tap saw %v", rec.Code, tap.log)
	}
}

func TestPrintingTheContextPrintsNoPromptAndNoCaller(t *testing.T) {
	enter(httptest.NewRequest("POST", "/", strings.NewReader("a secret prompt")), func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
		x.SetCaller(exchange.Caller{ClientID: "alice"})
		x.ReadBody(w, r, 100)
		ctx, cancel := context.WithCancel(r.Context())
		defer cancel()
		for _, format := range []string{"%v", "%s"} {
			if s := fmt.Sprintf(format, ctx); strings.Contains(s, "secret") || strings.Contains(s, "alice") {
				t.Errorf("%s: %.300s", format, s)
			}
		}
	})
}

func TestTheHeadersOfARefusalAreSetBeforeARoomsOwnReply(t *testing.T) {
	rec := enter(httptest.NewRequest("GET", "/", nil), func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
		x.RefuseWith(w, r, denial(), func(w http.ResponseWriter, r *http.Request, err error) {
			var d *deny.Denial
			if !errors.As(err, &d) || d.Code != deny.Overloaded {
				t.Errorf("%v", err)
			}
			w.WriteHeader(d.Status())
		})
	})
	if rec.Header().Get("Retry-After") != "1" {
		t.Errorf("%v", rec.Header())
	}
}

func TestAFailedSourceIsNotAClientThatLeft(t *testing.T) {
	broken := io.MultiReader(strings.NewReader(strings.Repeat("x", 100_000)), errReader{})
	rec := httptest.NewRecorder()
	var facts exchange.ResponseFacts
	room(newRecorder(exchange.Pass), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, broken)
		facts = exchange.From(r.Context()).Response()
	})).ServeHTTP(&readFromSpy{ResponseWriter: rec}, httptest.NewRequest("GET", "/", nil))
	if facts.Aborted || facts.Bytes != 100_000 {
		t.Errorf("%+v", facts)
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("upstream broke off") }

func TestAFlushThatIsNotSupportedSaysNothingToTheClient(t *testing.T) {
	rec := httptest.NewRecorder()
	room(nil, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := http.NewResponseController(w).Flush(); err == nil {
			t.Error("flushed what cannot flush")
		}
		w.WriteHeader(500)
	})).ServeHTTP(struct{ http.ResponseWriter }{rec}, httptest.NewRequest("GET", "/", nil))
	if rec.Code != 500 {
		t.Errorf("status %d", rec.Code)
	}
}

func TestWhatIsSetAfterTheStatusOfAHeldResponseIsATrailerOrNothing(t *testing.T) {
	for _, mode := range []exchange.Mode{exchange.Pass, exchange.Whole} {
		srv, c := serve(t, room(newRecorder(mode), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Trailer", "X-Sum")
			w.WriteHeader(200)
			io.WriteString(w, "{}")
			w.Header().Set("X-Sum", "42")
			w.Header().Set("X-Late", "1")
			w.Header().Set("Content-Type", "text/html")
		})), false)
		res, body, err := get(t, c, "GET", srv.URL)
		if err != nil || body != "{}" || res.Header.Get("X-Late") != "" || res.Header.Get("X-Sum") != "" ||
			res.Trailer.Get("X-Sum") != "42" || res.Header.Get("Content-Type") != "application/json" {
			t.Errorf("mode %d: %v %q, header %v, trailer %v", mode, err, body, res.Header, res.Trailer)
		}
	}
}

func TestEqualFindingsAreCountedAndHideNothing(t *testing.T) {
	enter(httptest.NewRequest("GET", "/", nil), func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) {
		for range 1000 {
			x.AddFinding(exchange.Finding{Kind: "email", Rule: "address", Action: "flag", Direction: "request"})
		}
		x.AddFinding(exchange.Finding{Kind: "secret", Rule: "aws", Action: "redact", Direction: "response"})
		f := x.Findings()
		if len(f) != 2 || f[0].Count != 1000 || f[1].Kind != "secret" || f[1].Count != 1 {
			t.Errorf("%+v", f)
		}
	})
}

package ratelimit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/ratelimit"
)

const prompt = `{"model":"m1","max_tokens":100,"messages":[{"role":"user","content":"say hello"}]}`

const chatReply = `{"id":"c","choices":[{"index":0,"message":{"role":"assistant","content":"hello"},"finish_reason":"stop"}],` +
	`"usage":{"prompt_tokens":11,"completion_tokens":7,"prompt_tokens_details":{"cached_tokens":4}}}`

func post(path, body string) *http.Request {
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

// as makes the request one of an authenticated caller.
func as(r *http.Request, client string) *http.Request {
	return r.WithContext(exchange.WithCaller(r.Context(), exchange.Caller{ClientID: client}))
}

func do(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func reply(contentType, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		io.WriteString(w, body)
	})
}

var (
	rpm    = ratelimit.Limit{Name: "rpm", Max: 10, Per: time.Minute}
	tpm    = ratelimit.Limit{Name: "tpm", Max: 10_000, Per: time.Minute, Cost: ratelimit.Tokens}
	daily  = ratelimit.Limit{Name: "daily", Max: 1_000_000, Calendar: ratelimit.Day, Cost: ratelimit.Tokens}
	slots  = ratelimit.Limit{Name: "slots", Max: 2, Parallel: true}
	noBody = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {})
)

// unreadable fails the test when somebody reads it.
type unreadable struct{ t *testing.T }

func (u unreadable) Read([]byte) (int, error) { u.t.Error("the body was read"); return 0, io.EOF }
func (unreadable) Close() error               { return nil }

func TestAPlainRouteIsLimitedWithoutReadingItsBody(t *testing.T) {
	for name, tc := range map[string]struct {
		limits []ratelimit.Limit
		path   string
	}{
		"requests only, no AI route": {[]ratelimit.Limit{rpm, slots}, "/upload"},
		"requests only, AI route":    {[]ratelimit.Limit{rpm}, "/v1/chat/completions"},
		"per model, no AI route":     {[]ratelimit.Limit{{Name: "m", Max: 3, Per: time.Second, By: ratelimit.ByModel}}, "/upload"},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLimiter(t, 0, tc.limits...)
			r := httptest.NewRequest("POST", tc.path, nil)
			r.Body, r.ContentLength = unreadable{t}, 1<<40
			if w := do(l.Handler(noBody), r); w.Code != 200 {
				t.Errorf("%d %s", w.Code, w.Body)
			}
			if s := l.Stats(); s.Outstanding != 0 || s.Used.Requests != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestThousandAtOnceAndExactlyAsManyAsFitAreServed(t *testing.T) {
	const k = 37
	for name, limits := range map[string][]ratelimit.Limit{
		"rolling":       {{Name: "a", Max: k, Per: 24 * time.Hour}},
		"calendar":      {{Name: "a", Max: k, Calendar: ratelimit.Month}},
		"two together":  {{Name: "a", Max: k, Per: 24 * time.Hour}, {Name: "b", Max: k + 1, Calendar: ratelimit.Month, By: ratelimit.Global}},
		"tokens":        {{Name: "t", Max: k * 10, Calendar: ratelimit.Month, Cost: ratelimit.OutputTokens}}, // litellm#18730
		"tokens, rolls": {{Name: "t", Max: k * 10, Per: 24 * time.Hour, Cost: ratelimit.OutputTokens}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLimiter(t, 0, limits...)
			var ok atomic.Int64
			var wg sync.WaitGroup
			for range 1000 {
				wg.Go(func() {
					_, err := l.Reserve(context.Background(), ratelimit.Subject{Client: "c"}, ratelimit.Usage{Output: 10})
					var limit *ratelimit.LimitError
					if err == nil {
						ok.Add(1)
					} else if !errors.As(err, &limit) {
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if ok.Load() != k {
				t.Errorf("%d admitted, want %d", ok.Load(), k)
			}
		})
	}
}

func TestARefusalTellsTheClientWhenToComeBackAndItIsTrue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 0, ratelimit.Limit{Name: "rpm", Max: 3, Per: 10 * time.Second})
		h := l.Handler(reply("text/plain", "ok"))
		for i := range 3 {
			w := do(h, as(httptest.NewRequest("GET", "/x", nil), "c"))
			if w.Code != 200 {
				t.Fatal(w.Code)
			}
			checkHeaders(t, w.Header(), "rpm", 3, int64(2-i))
		}
		time.Sleep(time.Second)
		w := do(h, as(httptest.NewRequest("GET", "/x", nil), "c"))
		if w.Code != 429 || !strings.Contains(w.Body.String(), `"rate_limit_exceeded"`) || w.Header().Get("Cache-Control") != "no-store" {
			t.Fatalf("%d %v %s", w.Code, w.Header(), w.Body)
		}
		checkHeaders(t, w.Header(), "rpm", 3, 0)
		ms, err := strconv.Atoi(w.Header().Get("Retry-After-Ms"))
		if err != nil || ms != 2334 { // a unit takes 10/3 s, one second has passed
			t.Fatalf("retry-after-ms %v", w.Header())
		}
		if got := w.Header().Get("Retry-After"); got != "3" {
			t.Errorf("Retry-After %q", got)
		}
		if w.Header().Get("X-Should-Retry") != "" {
			t.Error("a short wait is worth retrying")
		}
		time.Sleep(time.Duration(ms) * time.Millisecond)
		if w := do(h, as(httptest.NewRequest("GET", "/x", nil), "c")); w.Code != 200 {
			t.Errorf("refused after the announced wait: %v", w.Header())
		}
	})
}

func TestRetryAfterIsHonestInAnyState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for max := int64(1); max < 40; max += 3 {
			l := newLimiter(t, 0, ratelimit.Limit{Name: "a", Max: max, Per: 7 * time.Second},
				ratelimit.Limit{Name: "b", Max: 3 * max, Calendar: ratelimit.Day},
				ratelimit.Limit{Name: "t", Max: 100 * max, Per: time.Minute, Cost: ratelimit.Tokens})
			for i := range 60 {
				est := ratelimit.Usage{Input: int64(i) % 50, Output: (int64(i) * 37) % (50 * max)}
				_, err := l.Reserve(t.Context(), ratelimit.Subject{Client: "c"}, est)
				var limit *ratelimit.LimitError
				if errors.As(err, &limit) {
					time.Sleep(limit.RetryAfter)
					if _, err = l.Reserve(t.Context(), ratelimit.Subject{Client: "c"}, est); err != nil {
						t.Fatalf("max %d: %v after waiting %v", max, err, limit.RetryAfter)
					}
				}
				if err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

// checkHeaders parses RateLimit and RateLimit-Policy strictly and checks one limit in them.
func checkHeaders(t *testing.T, h http.Header, name string, q, r int64) {
	t.Helper()
	policy, err1 := parseSFList(strings.Join(h["Ratelimit-Policy"], ", "))
	state, err2 := parseSFList(strings.Join(h["Ratelimit"], ", "))
	if err1 != nil || err2 != nil {
		t.Fatalf("%v, %v in %v", err1, err2, h)
	}
	check := func(items []sfItem, key string, want int64) {
		t.Helper()
		for _, it := range items {
			if it.value == name {
				if got, _ := it.param(key); got != want {
					t.Errorf("%s of %q is %v, want %d: %v", key, name, got, want, h)
				}
				return
			}
		}
		t.Errorf("%q is missing in %v", name, h)
	}
	check(policy, "q", q)
	check(state, "r", r)
}

func TestACallThatCanNeverFitIsToldNotToRetry(t *testing.T) {
	l := newLimiter(t, 0, tpm)
	w := do(l.Handler(noBody), post("/v1/chat/completions", `{"model":"m","max_tokens":10001,"messages":[]}`))
	if w.Code != 429 || w.Header().Get("X-Should-Retry") != "false" || w.Header().Get("Retry-After") != "" || w.Header().Get("Retry-After-Ms") != "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
	if !strings.Contains(w.Body.String(), `"insufficient_quota"`) {
		t.Errorf("%s", w.Body)
	}
}

func TestAUsedUpDayIsAQuotaAndNotWorthSleepingOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 0, ratelimit.Limit{Name: "day", Max: 1, Calendar: ratelimit.Day})
		h := l.Handler(noBody)
		do(h, httptest.NewRequest("GET", "/", nil))
		w := do(h, httptest.NewRequest("GET", "/", nil))
		if w.Code != 429 || w.Header().Get("X-Should-Retry") != "false" || w.Header().Get("Retry-After") != "86400" ||
			!strings.Contains(w.Body.String(), `"insufficient_quota"`) {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
		time.Sleep(86400*time.Second - 1)
		if w := do(h, httptest.NewRequest("GET", "/", nil)); w.Code != 429 || w.Header().Get("Retry-After") != "1" {
			t.Errorf("a nanosecond before midnight: %d %v", w.Code, w.Header())
		}
		time.Sleep(time.Nanosecond)
		if w := do(h, httptest.NewRequest("GET", "/", nil)); w.Code != 200 {
			t.Errorf("at midnight: %d", w.Code)
		}
	})
}

func TestAnAnthropicRouteGetsAnAnthropicRefusal(t *testing.T) {
	l := newLimiter(t, 0, ratelimit.Limit{Name: "a", Max: 1, Per: time.Hour})
	h := l.Handler(noBody)
	do(h, post("/v1/messages", prompt))
	w := do(h, post("/v1/messages", prompt))
	if w.Code != 429 || !strings.Contains(w.Body.String(), `"type":"error"`) || !strings.Contains(w.Body.String(), `"rate_limit_error"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestAReplysOwnUsageIsWhatIsCharged(t *testing.T) {
	l := newLimiter(t, 0, rpm, tpm, daily, slots)
	var seen exchange.Usage
	h := l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reply("application/json", chatReply).ServeHTTP(w, r)
	}))
	outer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		h.ServeHTTP(w, r)
		seen, _ = x.Usage()
	})
	w := do(outer, as(post("/v1/chat/completions", prompt), "c"))
	if w.Code != 200 || w.Body.String() != chatReply {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	s := l.Stats()
	want := ratelimit.Usage{Requests: 1, Input: 11, CachedInput: 4, Output: 7}
	if s.Used != want || s.Reported != want || s.Outstanding != 0 || s.Settled != 1 {
		t.Errorf("%+v", s)
	}
	if seen != (exchange.Usage{Input: 11, CachedInput: 4, Output: 7, Known: true}) {
		t.Errorf("the exchange says %+v", seen)
	}
	// The day's bucket holds exactly that.
	if _, err := l.Reserve(t.Context(), ratelimit.Subject{Client: "c"}, ratelimit.Usage{Output: 10_000 - 18}); err != nil {
		t.Error(err)
	}
}

func TestTheSumOfWhatIsSettledIsTheSumOfWhatRepliesReport(t *testing.T) {
	l := newLimiter(t, 0, ratelimit.Limit{Name: "t", Max: 1e12, Per: time.Second, Cost: ratelimit.Tokens}, ratelimit.Limit{Name: "d", Max: 1e12, Calendar: ratelimit.Month, Cost: ratelimit.Tokens})
	var n atomic.Int64
	h := l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		i := n.Add(1)
		if i%2 == 0 {
			reply("application/json", fmt.Sprintf(`{"choices":[{"message":{"content":"x"}}],"usage":{"prompt_tokens":%d,"completion_tokens":%d}}`, i, 2*i)).ServeHTTP(w, r)
			return
		}
		reply("text/event-stream", fmt.Sprintf("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"hello there\"}}]}\n\n"+
			"data: {\"choices\":[],\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%d}}\n\ndata: [DONE]\n\n", i, 2*i)).ServeHTTP(w, r)
	}))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for range 50 {
				do(h, as(post("/v1/chat/completions", prompt), fmt.Sprint("c", g)))
			}
		})
	}
	wg.Wait()
	s := l.Stats()
	sum := int64(400 * 401 / 2)
	if s.Reported != (ratelimit.Usage{Requests: 400, Input: sum, Output: 2 * sum}) || s.Used != s.Reported || s.Estimated != (ratelimit.Usage{}) || s.Outstanding != 0 {
		t.Errorf("%+v, want %d and %d", s, sum, 2*sum)
	}
}

// TestHoweverAHandlerEndsTheReservationIsSettled is the table of outcomes: what is charged when nobody says.
func TestHoweverAHandlerEndsTheReservationIsSettled(t *testing.T) {
	in := int64((len(prompt) + 2) / 3)
	write := func(w http.ResponseWriter, s string) { io.WriteString(w, s) }
	stream := func(w http.ResponseWriter) { w.Header().Set("Content-Type", "text/event-stream") }
	frame := "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"" + strings.Repeat("x", 40) + "\"}}]}\n\n"
	gone := func(r *http.Request) { r.Context().Value(cancelKey{}).(context.CancelFunc)() }
	for name, tc := range map[string]struct {
		run  func(w http.ResponseWriter, r *http.Request)
		want ratelimit.Usage
	}{
		"returns without a word": {func(w http.ResponseWriter, r *http.Request) {}, ratelimit.Usage{Input: in}},
		"204":                    {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(204) }, ratelimit.Usage{Input: in}},
		"an error of the client's own gives the tokens back": {func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 400) }, ratelimit.Usage{}},
		"an error of the server's does not":                  {func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 500) }, ratelimit.Usage{Input: in, Output: 100}},
		"a JSON reply without usage": {func(w http.ResponseWriter, r *http.Request) {
			reply("application/json", `{"choices":[{"message":{"content":"12345678"}}]}`).ServeHTTP(w, r)
		}, ratelimit.Usage{Input: in, Output: 2}},
		"a reply that reports zero output": {func(w http.ResponseWriter, r *http.Request) {
			reply("application/json", `{"choices":[{"message":{"content":"12345678"}}],"usage":{"prompt_tokens":5,"completion_tokens":0}}`).ServeHTTP(w, r)
		}, ratelimit.Usage{Input: 5, Output: 2}},
		"a reply that reports 1e18": {func(w http.ResponseWriter, r *http.Request) {
			reply("application/json", `{"choices":[{"message":{"content":"12345678"}}],"usage":{"prompt_tokens":5,"completion_tokens":1000000000000000000}}`).ServeHTTP(w, r)
		}, ratelimit.Usage{Input: 5, Output: 2}},
		"a reply that reports 1e11": {func(w http.ResponseWriter, r *http.Request) {
			reply("application/json", `{"choices":[{"message":{"content":"12345678"}}],"usage":{"prompt_tokens":5,"completion_tokens":100000000000}}`).ServeHTTP(w, r)
		}, ratelimit.Usage{Input: in, Output: 2}},
		"a reply that reports a negative": {func(w http.ResponseWriter, r *http.Request) {
			reply("application/json", `{"choices":[{"message":{"content":"12345678"}}],"usage":{"prompt_tokens":5,"completion_tokens":-3}}`).ServeHTTP(w, r)
		}, ratelimit.Usage{Input: 5, Output: 2}},
		"a long reply nobody can read": {func(w http.ResponseWriter, r *http.Request) {
			reply("application/octet-stream", strings.Repeat("x", 10_000)).ServeHTTP(w, r)
		}, ratelimit.Usage{Input: in, Output: 100}},
		"a short reply nobody can read": {func(w http.ResponseWriter, r *http.Request) { reply("text/plain", "12345678").ServeHTTP(w, r) }, ratelimit.Usage{Input: in, Output: 2}},
		"a stream that says nothing":    {func(w http.ResponseWriter, r *http.Request) { stream(w); write(w, frame+frame) }, ratelimit.Usage{Input: in, Output: 20}},
		"a panic before the first byte": {func(w http.ResponseWriter, r *http.Request) { panic("x") }, ratelimit.Usage{Input: in, Output: 100}},
		"a panic in a stream":           {func(w http.ResponseWriter, r *http.Request) { stream(w); write(w, frame); panic(http.ErrAbortHandler) }, ratelimit.Usage{Input: in, Output: 10}},
		"a panic in a JSON body": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			write(w, `{"choices":`)
			panic("x")
		}, ratelimit.Usage{Input: in, Output: 3}},
		"Goexit": {func(w http.ResponseWriter, r *http.Request) { runtime.Goexit() }, ratelimit.Usage{Input: in, Output: 100}},
		"the client leaves before the first byte": {func(w http.ResponseWriter, r *http.Request) { gone(r) }, ratelimit.Usage{Input: in, Output: 100}},
		"the client leaves in a stream":           {func(w http.ResponseWriter, r *http.Request) { stream(w); write(w, frame); gone(r) }, ratelimit.Usage{Input: in, Output: 10}},
		"the client leaves, the handler cancels":  {func(w http.ResponseWriter, r *http.Request) { gone(r); res(r).Cancel() }, ratelimit.Usage{Requests: -1}},
		"the handler settles, then panics": {func(w http.ResponseWriter, r *http.Request) {
			res(r).Settle(ratelimit.Usage{Input: 3, Output: 4})
			panic("x")
		}, ratelimit.Usage{Input: 3, Output: 4}},
		"the handler settles over the reply": {func(w http.ResponseWriter, r *http.Request) {
			res(r).Settle(ratelimit.Usage{Input: 3, Output: 4})
			reply("application/json", chatReply).ServeHTTP(w, r)
		}, ratelimit.Usage{Input: 3, Output: 4}},
		"the handler reports, then fails": {func(w http.ResponseWriter, r *http.Request) {
			res(r).Report(ratelimit.Usage{Output: 33})
			http.Error(w, "no", http.StatusNotFound)
		}, ratelimit.Usage{Output: 33}},
		"the handler reports, then panics": {func(w http.ResponseWriter, r *http.Request) { res(r).Report(ratelimit.Usage{Output: 133}); panic("x") }, ratelimit.Usage{Input: in, Output: 133}},
		"Anthropic usage cut off in the middle": {func(w http.ResponseWriter, r *http.Request) {
			stream(w)
			write(w, frame)
			write(w, "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":4,\"completion_tokens\":12}}\n\n")
			write(w, frame)
			panic("x")
		}, ratelimit.Usage{Input: 4, Output: 22}},
		"a refusal by a room further in": {func(w http.ResponseWriter, r *http.Request) {
			newBulkhead(t, ratelimit.Slots{Max: 1, MaxWait: 1}).Handler(noBody).ServeHTTP(w, r.WithContext(ended(r.Context())))
		}, ratelimit.Usage{}},
		"the handler uses several goroutines' worth": {func(w http.ResponseWriter, r *http.Request) { reply("application/json", chatReply).ServeHTTP(w, r) }, ratelimit.Usage{Input: 11, CachedInput: 4, Output: 7}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLimiter(t, 0, rpm, tpm, slots, daily)
			var value any
			done := make(chan struct{})
			go func() { // a goroutine of its own, for Goexit
				defer close(done)
				defer func() { value = recover() }()
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				r := as(post("/v1/chat/completions", prompt), "c")
				r = r.WithContext(exchange.WithCaller(context.WithValue(ctx, cancelKey{}, cancel), exchange.Caller{ClientID: "c"}))
				do(l.Handler(http.HandlerFunc(tc.run)), r)
			}()
			<-done
			s := l.Stats()
			want := tc.want
			want.Requests++
			if s.Used != want {
				t.Errorf("charged %+v, want %+v", s.Used, want)
			}
			if s.Outstanding != 0 || s.Settled+s.Cancelled != 1 {
				t.Errorf("%+v", s)
			}
			if strings.Contains(name, "panic") && value == nil {
				t.Error("the panic was swallowed")
			}
			if strings.Contains(name, "panic in a stream") && value != http.ErrAbortHandler {
				t.Errorf("the panic's value became %v", value)
			}
			for range 2 { // both slots are free again
				if _, err := l.Reserve(t.Context(), ratelimit.Subject{Client: "c"}, ratelimit.Usage{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

type cancelKey struct{}

func ended(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	return ctx
}

func res(r *http.Request) *ratelimit.Reservation {
	v, ok := ratelimit.FromContext(r.Context())
	if !ok {
		panic("no reservation")
	}
	return v
}

func TestAHijackedConnectionIsSettledUnlessDetached(t *testing.T) {
	for _, detach := range []bool{false, true} {
		l := newLimiter(t, 0, tpm, slots)
		var kept *ratelimit.Reservation
		returned := make(chan struct{}) // a server does not wait for handlers that hijacked
		h := l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			kept = res(r)
			if detach {
				kept.Detach()
			}
			c, _, err := http.NewResponseController(w).Hijack()
			if err != nil {
				t.Error(err)
				return
			}
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
			c.Close()
		}))
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			defer close(returned)
			h.ServeHTTP(w, r)
		}))
		resp, err := http.Post(srv.URL+"/v1/chat/completions", "application/json", strings.NewReader(prompt))
		if err == nil {
			resp.Body.Close()
		}
		<-returned
		srv.Close()
		s := l.Stats()
		if detach {
			if s.Outstanding != 1 {
				t.Errorf("detached: %+v", s)
			}
			kept.Settle(ratelimit.Usage{Input: 1, Output: 1})
			kept.Settle(ratelimit.Usage{Input: 9, Output: 9})
			if s := l.Stats(); s.Outstanding != 0 || s.Used.Output != 1 {
				t.Errorf("after Settle: %+v", s)
			}
		} else if s.Outstanding != 0 || s.Used.Output != 100 {
			t.Errorf("%+v", s)
		}
	}
}

func TestMountedTwiceChargesOnceAndTwoLimitersChargeBoth(t *testing.T) {
	front := newLimiter(t, 0, ratelimit.Limit{Name: "ip", Max: 100, Per: time.Minute, By: ratelimit.ByAddress})
	back := newLimiter(t, 0, tpm)
	h := front.Handler(back.Handler(front.Handler(back.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res(r).Report(ratelimit.Usage{Output: 3})
		reply("application/json", chatReply).ServeHTTP(w, r)
	})))))
	w := do(h, as(post("/v1/chat/completions", prompt), "c"))
	for _, l := range []*ratelimit.Limiter{front, back} {
		if s := l.Stats(); s.Reservations != 1 || s.Settled != 1 || s.Used.Output != 7 {
			t.Errorf("%+v", s)
		}
	}
	checkHeaders(t, w.Header(), "ip", 100, 99)
	checkHeaders(t, w.Header(), "tpm", 10_000, 10_000-100-int64(len(prompt)+2)/3)
}

func TestAShadowLimitChangesNoByteOfTheResponse(t *testing.T) {
	var log bytes.Buffer
	shadow := ratelimit.Limit{Name: "new", Max: 1, Per: time.Hour, Shadow: true}
	with, err := ratelimit.New(ratelimit.Config{Plans: []ratelimit.Plan{{Limits: []ratelimit.Limit{rpm, shadow}}}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	if err != nil {
		t.Fatal(err)
	}
	without := newLimiter(t, 0, rpm)
	show := func(l *ratelimit.Limiter) string {
		var out strings.Builder
		for range 12 {
			r := httptest.NewRequest("GET", "/x", nil)
			r.Header.Set("X-Request-Id", "same")
			w := do(l.Handler(reply("text/plain", "ok")), r)
			w.Header().Del("Retry-After-Ms") // the clock runs on
			w.Header().Del("Date")
			fmt.Fprintln(&out, w.Code, w.Header(), w.Body)
		}
		return out.String()
	}
	if a, b := show(with), show(without); a != b {
		t.Errorf("with:\n%s\nwithout:\n%s", a, b)
	}
	if s := with.Stats(); s.ShadowRefused != 9 || !strings.Contains(log.String(), "limit=new") {
		t.Errorf("%+v\n%s", s, &log)
	}
}

func TestSharedBucketsAreNotShownToTheirUsers(t *testing.T) {
	l := newLimiter(t, 0, rpm, ratelimit.Limit{Name: "capacity", Max: 1, Per: time.Hour, By: ratelimit.Global},
		ratelimit.Limit{Name: "model", Max: 1, Per: time.Hour, By: ratelimit.ByModel})
	h := l.Handler(noBody)
	for want := range []int{200, 429} {
		w := do(h, httptest.NewRequest("GET", "/", nil))
		if all := fmt.Sprint(w.Header(), w.Body); strings.Contains(all, "capacity") || strings.Contains(all, `"model"`) {
			t.Errorf("%d: %s", want, all)
		}
	}
}

func TestWhoIsChargedComesFromTheCallerNeverFromHeaders(t *testing.T) {
	one := ratelimit.Limit{Name: "one", Max: 1, Per: time.Hour}
	by := func(s ratelimit.Scope) ratelimit.Limit { l := one; l.By = s; return l }
	caller := func(c exchange.Caller, addr string) *http.Request {
		r := httptest.NewRequest("GET", "/v1/models", nil)
		r.RemoteAddr = addr
		if c.ClientID == "" && c.Subject == "" && c.Tenant == "" {
			return r
		}
		return r.WithContext(exchange.WithCaller(r.Context(), c))
	}
	for name, tc := range map[string]struct {
		limit ratelimit.Limit
		a, b  *http.Request
		same  bool
	}{
		"one client, two addresses":              {one, caller(exchange.Caller{ClientID: "a"}, "192.0.2.1:1"), caller(exchange.Caller{ClientID: "a"}, "192.0.2.2:1"), true},
		"two clients, one address":               {one, caller(exchange.Caller{ClientID: "a"}, "192.0.2.1:1"), caller(exchange.Caller{ClientID: "b"}, "192.0.2.1:1"), false},
		"one subject of two issuers":             {one, caller(exchange.Caller{Issuer: "x", Subject: "s"}, "192.0.2.1:1"), caller(exchange.Caller{Issuer: "y", Subject: "s"}, "192.0.2.1:1"), false},
		"a subject named like a client":          {one, caller(exchange.Caller{Subject: "a"}, "192.0.2.1:1"), caller(exchange.Caller{ClientID: "a"}, "192.0.2.1:1"), false},
		"rotated keys of one client":             {one, caller(exchange.Caller{ClientID: "a", KeyID: "1"}, "192.0.2.1:1"), caller(exchange.Caller{ClientID: "a", KeyID: "2"}, "192.0.2.1:1"), true},
		"nobody: by address":                     {one, caller(exchange.Caller{}, "192.0.2.1:1"), caller(exchange.Caller{}, "192.0.2.1:2"), true},
		"nobody, two addresses":                  {one, caller(exchange.Caller{}, "192.0.2.1:1"), caller(exchange.Caller{}, "192.0.2.2:2"), false},
		"nobody without an address shares one":   {one, caller(exchange.Caller{}, "@"), caller(exchange.Caller{}, ""), true},
		"a client named like an address":         {one, caller(exchange.Caller{ClientID: "192.0.2.1"}, "192.0.2.9:1"), caller(exchange.Caller{}, "192.0.2.1:2"), false},
		"IPv6 /64":                               {by(ratelimit.ByAddress), caller(exchange.Caller{}, "[2001:db8::1]:1"), caller(exchange.Caller{}, "[2001:db8::ffff:2]:1"), true},
		"another /64":                            {by(ratelimit.ByAddress), caller(exchange.Caller{}, "[2001:db8::1]:1"), caller(exchange.Caller{}, "[2001:db8:0:1::1]:1"), false},
		"an IPv4-mapped address is the IPv4 one": {by(ratelimit.ByAddress), caller(exchange.Caller{}, "[::ffff:192.0.2.1]:1"), caller(exchange.Caller{}, "192.0.2.1:9"), true},
		"a tenant's two clients":                 {by(ratelimit.ByTenant), caller(exchange.Caller{ClientID: "a", Tenant: "t"}, "192.0.2.1:1"), caller(exchange.Caller{ClientID: "b", Tenant: "t"}, "192.0.2.1:1"), true},
		"no tenant: by client":                   {by(ratelimit.ByTenant), caller(exchange.Caller{ClientID: "a"}, "192.0.2.1:1"), caller(exchange.Caller{ClientID: "b"}, "192.0.2.1:1"), false},
		"a client named like a tenant":           {by(ratelimit.ByTenant), caller(exchange.Caller{ClientID: "t"}, "192.0.2.1:1"), caller(exchange.Caller{ClientID: "b", Tenant: "t"}, "192.0.2.1:1"), false},
		"everybody":                              {by(ratelimit.Global), caller(exchange.Caller{ClientID: "a"}, "192.0.2.1:1"), caller(exchange.Caller{}, "192.0.2.2:1"), true},
	} {
		t.Run(name, func(t *testing.T) {
			h := newLimiter(t, 0, tc.limit).Handler(noBody)
			tc.b.Header.Set("X-Forwarded-For", "198.51.100.77") // nobody trusts it
			if c := do(h, tc.a).Code; c != 200 {
				t.Fatal(c)
			}
			if got := do(h, tc.b).Code == 429; got != tc.same {
				t.Errorf("share a bucket: %v, want %v", got, tc.same)
			}
		})
	}
}

func TestATrustedProxysWordAboutTheAddressCounts(t *testing.T) {
	l, err := ratelimit.New(ratelimit.Config{Plans: []ratelimit.Plan{{Limits: []ratelimit.Limit{{Name: "ip", Max: 1, Per: time.Hour, By: ratelimit.ByAddress}}}},
		TrustedProxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{200, 200, 429} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = "10.1.1.1:1"
		r.Header.Set("X-Forwarded-For", "1.1.1.1, 203.0.113."+strconv.Itoa(i%2))
		if w := do(l.Handler(noBody), r); w.Code != want {
			t.Errorf("%d: %d", i, w.Code)
		}
	}
}

func TestModelsHaveBucketsOfTheirOwn(t *testing.T) {
	for _, scope := range []ratelimit.Scope{ratelimit.ByModel, ratelimit.ByClientModel} {
		h := newLimiter(t, 0, ratelimit.Limit{Name: "m", Max: 1, Per: time.Hour, By: scope}).Handler(noBody)
		for i, want := range []int{200, 200, 429} {
			body := strings.Replace(prompt, "m1", fmt.Sprint("m", i%2), 1)
			if w := do(h, as(post("/v1/chat/completions", body), "c")); w.Code != want {
				t.Errorf("scope %v, %d: %d", scope, i, w.Code)
			}
		}
		other := do(h, as(post("/v1/chat/completions", strings.Replace(prompt, "m1", "m0", 1)), "other")).Code
		if want := map[ratelimit.Scope]int{ratelimit.ByModel: 429, ratelimit.ByClientModel: 200}[scope]; other != want {
			t.Errorf("scope %v, another client: %d, want %d", scope, other, want)
		}
	}
}

func TestMoneyIsCountedAndAnUnknownModelIsNotFree(t *testing.T) {
	l, err := ratelimit.New(ratelimit.Config{
		Plans:  []ratelimit.Plan{{Limits: []ratelimit.Limit{{Name: "usd", Max: 1_000_000, Calendar: ratelimit.Month, Cost: ratelimit.Money}}}},
		Prices: ratelimit.PriceTable(map[string]ratelimit.Price{"m1": {Input: 2_500_000, CachedInput: 1_250_000, Output: 10_000_000}, "cheap": {Input: 1, Output: 1}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	h := l.Handler(reply("application/json", chatReply))
	for _, model := range []string{"m1", "made-up"} {
		before := l.Stats().Used.MicroUSD
		do(h, as(post("/v1/chat/completions", strings.Replace(prompt, "m1", model, 1)), "c"))
		// 7 uncached at 2.5, 4 cached at 1.25, 7 out at 10 micro-dollars, each column rounded up
		if got := l.Stats().Used.MicroUSD - before; got != 18+5+70 {
			t.Errorf("%s: %d micro-dollars, want 93", model, got)
		}
	}
}

func TestAFlatPriceIsNotDueForTheClientsOwnErrors(t *testing.T) {
	l, err := ratelimit.New(ratelimit.Config{
		Plans:  []ratelimit.Plan{{Limits: []ratelimit.Limit{{Name: "usd", Max: 1_000_000, Calendar: ratelimit.Month, Cost: ratelimit.Money}}}},
		Prices: ratelimit.PriceTable(map[string]ratelimit.Price{"m1": {Request: 40_000}}),
	})
	if err != nil {
		t.Fatal(err)
	}
	for i, next := range []http.HandlerFunc{
		func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(400) },
		func(w http.ResponseWriter, r *http.Request) { res(r).Cancel() },
		func(w http.ResponseWriter, r *http.Request) { res(r).Settle(ratelimit.Usage{}) },
		func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) },
		func(w http.ResponseWriter, r *http.Request) {},
	} {
		before := l.Stats().Used.MicroUSD
		do(l.Handler(next), post("/v1/images/generations", prompt))
		want := int64(0)
		if i >= 2 {
			want = 40_000
		}
		if got := l.Stats().Used.MicroUSD - before; got != want {
			t.Errorf("%d: %d, want %d", i, got, want)
		}
	}
}

func TestFailuresAreClosed(t *testing.T) {
	plans := []ratelimit.Plan{{Name: "free", Limits: []ratelimit.Limit{rpm}}, {Name: "pro", Limits: []ratelimit.Limit{tpm}}}
	secret := errors.New("dial tcp 10.2.3.4: private")
	served := 0
	next := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { served++ })
	mk := func(cfg ratelimit.Config) http.Handler {
		l, err := ratelimit.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return l.Handler(next)
	}
	withPlan := func(p string) *http.Request {
		r := post("/v1/chat/completions", prompt)
		return r.WithContext(exchange.WithCaller(r.Context(), exchange.Caller{ClientID: "c", Plan: p}))
	}
	huge := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(strings.Repeat("x", 2000)))
	broken := httptest.NewRequest("POST", "/v1/chat/completions", io.NopCloser(io.MultiReader(strings.NewReader("{"), errReader{secret})))
	broken.ContentLength = -1
	var zero ratelimit.Limiter
	var none *ratelimit.Limiter
	for name, tc := range map[string]struct {
		h    http.Handler
		r    *http.Request
		want int
	}{
		"the store is down":      {mk(ratelimit.Config{Plans: plans[:1], Store: brokenStore{secret}}), withPlan(""), 503},
		"an unknown plan":        {mk(ratelimit.Config{Plans: plans, DefaultPlan: "free"}), withPlan("prro"), 500},
		"a body too large":       {mk(ratelimit.Config{Plans: plans[1:], MaxBody: 1000}), huge, 413},
		"a body that breaks off": {mk(ratelimit.Config{Plans: plans[1:]}), broken, 400},
		"a zero Limiter":         {zero.Handler(next), withPlan(""), 500},
		"a nil Limiter":          {none.Handler(next), withPlan(""), 500},
		"a zero Bulkhead":        {(&ratelimit.Bulkhead{}).Handler(next), withPlan(""), 500},
	} {
		w := do(tc.h, tc.r)
		if w.Code != tc.want || strings.Contains(fmt.Sprint(w.Header(), w.Body), "private") {
			t.Errorf("%s: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
	}
	if served != 0 {
		t.Errorf("served %d", served)
	}
	open := mk(ratelimit.Config{Plans: plans, DefaultPlan: "free", UnknownPlanOpen: true})
	if w := do(open, withPlan("prro")); w.Code != 200 || served != 1 {
		t.Errorf("UnknownPlanOpen: %d", w.Code)
	}
	if _, err := none.Reserve(t.Context(), ratelimit.Subject{}, ratelimit.Usage{}); err == nil {
		t.Error("a nil Limiter reserves")
	}
	if _, err := zero.Reserve(t.Context(), ratelimit.Subject{}, ratelimit.Usage{}); err == nil {
		t.Error("a zero Limiter reserves")
	}
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }

type brokenStore struct{ err error }

func (s brokenStore) Reserve(context.Context, time.Time, ratelimit.ID, []ratelimit.Claim, []ratelimit.State) (bool, error) {
	return true, s.err
}
func (s brokenStore) Settle(context.Context, time.Time, ratelimit.ID, []ratelimit.Fix) error {
	return s.err
}

func TestADenyFunctionReplacesTheReplyAndKeepsTheHeaders(t *testing.T) {
	l, err := ratelimit.New(ratelimit.Config{Plans: []ratelimit.Plan{{Limits: []ratelimit.Limit{{Name: "a", Max: 1, Per: time.Hour}}}},
		Deny: func(w http.ResponseWriter, r *http.Request, err error) {
			var limit *ratelimit.LimitError
			if !errors.As(err, &limit) || limit.Violated[0] != "a" {
				t.Errorf("%v", err)
			}
			w.WriteHeader(420)
		}})
	if err != nil {
		t.Fatal(err)
	}
	h := l.Handler(noBody)
	do(h, httptest.NewRequest("GET", "/", nil))
	if w := do(h, httptest.NewRequest("GET", "/", nil)); w.Code != 420 || w.Header().Get("Retry-After") == "" {
		t.Errorf("%d %v", w.Code, w.Header())
	}
}

func TestPlansAreChosenByTheCallerAndLimitsOfOneNameShareTheirBucket(t *testing.T) {
	l, err := ratelimit.New(ratelimit.Config{DefaultPlan: "free", Plans: []ratelimit.Plan{
		{Name: "free", Limits: []ratelimit.Limit{{Name: "day", Max: 2, Calendar: ratelimit.Day}}},
		{Name: "pro", Limits: []ratelimit.Limit{{Name: "day", Max: 5, Calendar: ratelimit.Day}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, plan := range []string{"", "free", "", "pro", "pro", "pro", "pro", "free"} {
		if _, err := l.Reserve(t.Context(), ratelimit.Subject{Client: "c", Plan: plan}, ratelimit.Usage{}); err == nil {
			n++
		}
	}
	if n != 5 {
		t.Errorf("%d admitted: an upgrade keeps what was used", n)
	}
}

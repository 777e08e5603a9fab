package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/time/rate"

	"github.com/mantlet-go/mantlet/ratelimit"
)

func newBulkhead(t testing.TB, s ratelimit.Slots) *ratelimit.Bulkhead {
	t.Helper()
	b, err := ratelimit.NewBulkhead(ratelimit.BulkheadConfig{Slots: s})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestNoMoreRunThanThereAreSlotsAndAllGetTheirTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBulkhead(t, ratelimit.Slots{Max: 3, Queue: 100, MaxWait: time.Hour})
		var running, most, done atomic.Int64
		h := b.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second)
			running.Add(-1)
			done.Add(1)
		}))
		start := time.Now()
		var wg sync.WaitGroup
		for i := range 60 {
			wg.Go(func() {
				if w := do(h, as(httptest.NewRequest("GET", "/", nil), fmt.Sprint(i%7))); w.Code != 200 {
					t.Errorf("%d", w.Code)
				}
			})
		}
		wg.Wait()
		if most.Load() > 3 || done.Load() != 60 || time.Since(start) != 20*time.Second {
			t.Errorf("%d at once, %d done in %v", most.Load(), done.Load(), time.Since(start))
		}
		if s := b.Stats(""); s.Running != 0 || s.Waiting != 0 || s.Admitted != 60 {
			t.Errorf("%+v", s)
		}
	})
}

func TestASlotComesBackHoweverTheHandlerEnds(t *testing.T) {
	b := newBulkhead(t, ratelimit.Slots{Max: 1})
	for name, run := range map[string]http.HandlerFunc{
		"return": func(w http.ResponseWriter, r *http.Request) {},
		"panic":  func(w http.ResponseWriter, r *http.Request) { panic("x") },
		"abort":  func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) },
		"Goexit": func(w http.ResponseWriter, r *http.Request) { runtime.Goexit() },
		"hijack": func(w http.ResponseWriter, r *http.Request) {
			if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
				c.Close()
			} else {
				t.Error(err)
			}
		},
	} {
		if name == "hijack" {
			returned := make(chan struct{}) // a server does not wait for handlers that hijacked
			srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				defer close(returned)
				b.Handler(run).ServeHTTP(w, r)
			}))
			if resp, err := http.Get(srv.URL); err == nil {
				resp.Body.Close()
			}
			<-returned
			srv.Close()
		} else {
			done := make(chan any)
			go func() {
				defer func() { done <- recover() }()
				do(b.Handler(run), httptest.NewRequest("GET", "/", nil))
			}()
			if v := <-done; strings.Contains("panic abort", name) != (v != nil) {
				t.Errorf("%s: recovered %v", name, v)
			}
		}
		if s := b.Stats(""); s.Running != 0 {
			t.Errorf("%s: %+v", name, s)
		}
	}
}

func TestAFullQueueIsAnswered503AtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBulkhead(t, ratelimit.Slots{Max: 1, Queue: 1})
		release, err := b.Acquire(t.Context(), "a", "")
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			time.Sleep(time.Second)
			release()
			release() // twice is once
		}()
		queued := make(chan int)
		go func() { queued <- do(b.Handler(noBody), httptest.NewRequest("GET", "/", nil)).Code }()
		synctest.Wait()
		w := do(b.Handler(noBody), httptest.NewRequest("GET", "/", nil))
		if w.Code != 503 || w.Header().Get("Retry-After") != "1" || !strings.Contains(w.Body.String(), `"overloaded"`) {
			t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
		}
		if c := <-queued; c != 200 {
			t.Errorf("the queued one: %d", c)
		}
		if s := b.Stats(""); s.Running != 0 || s.Overflow != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestWaitingEndsWithMaxWaitTheDeadlineOrTheClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBulkhead(t, ratelimit.Slots{Max: 1, Queue: 10, MaxWait: 5 * time.Second})
		release, _ := b.Acquire(t.Context(), "a", "")
		start := time.Now()
		if _, err := b.Acquire(t.Context(), "b", ""); !errors.Is(err, ratelimit.ErrOverloaded) || time.Since(start) != 5*time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		start = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := b.Acquire(ctx, "b", ""); !errors.Is(err, context.DeadlineExceeded) || time.Since(start) != time.Second {
			t.Errorf("%v after %v", err, time.Since(start))
		}
		gone, leave := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, leave)
		if _, err := b.Acquire(gone, "b", ""); !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if s := b.Stats(""); s.Waiting != 0 || s.TimedOut != 1 || s.Gone != 2 {
			t.Errorf("%+v", s)
		}
		release()
		if _, err := b.Acquire(gone, "b", ""); err == nil {
			t.Error("a slot for somebody who left")
		}
		if r, err := b.Acquire(t.Context(), "b", ""); err != nil {
			t.Error(err)
		} else {
			r()
		}
	})
}

func TestSlotsGoRoundTheClientsNotToTheLoudest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBulkhead(t, ratelimit.Slots{Max: 1, Queue: 100, MaxWait: time.Hour})
		hold, _ := b.Acquire(t.Context(), "x", "")
		var mu sync.Mutex
		var order []string
		wait := func(client string) {
			go func() {
				r, err := b.Acquire(t.Context(), client, "")
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				order = append(order, client)
				mu.Unlock()
				time.Sleep(time.Second)
				r()
			}()
			synctest.Wait()
		}
		for range 10 {
			wait("loud")
		}
		wait("quiet")
		wait("other")
		wait("quiet")
		hold()
		time.Sleep(time.Minute)
		mu.Lock()
		defer mu.Unlock()
		if got := strings.Join(order[:6], " "); got != "loud quiet other loud quiet loud" {
			t.Errorf("order %s", got)
		}
	})
}

func TestAClientThatFillsTheQueueMakesRoomForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBulkhead(t, ratelimit.Slots{Max: 1, Queue: 4, MaxWait: time.Hour})
		hold, _ := b.Acquire(t.Context(), "x", "")
		var loud, quiet atomic.Int64
		acquire := func(client string, n *atomic.Int64) {
			go func() {
				if r, err := b.Acquire(t.Context(), client, ""); err == nil {
					n.Add(1)
					r()
				}
			}()
			synctest.Wait()
		}
		for range 6 {
			acquire("loud", &loud) // two of them do not fit
		}
		acquire("quiet", &quiet) // takes the place of loud's youngest
		acquire("quiet", &quiet) // 3 against 1: again
		acquire("quiet", &quiet) // 2 against 2: no
		hold()
		synctest.Wait()
		if loud.Load() != 2 || quiet.Load() != 2 {
			t.Errorf("loud %d, quiet %d", loud.Load(), quiet.Load())
		}
		if s := b.Stats(""); s.Overflow != 5 || s.Waiting != 0 || s.Running != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestModelsDoNotTakeEachOthersSlots(t *testing.T) {
	b, err := ratelimit.NewBulkhead(ratelimit.BulkheadConfig{Slots: ratelimit.Slots{Max: 1}, PerModel: map[string]ratelimit.Slots{"m1": {Max: 1}}})
	if err != nil {
		t.Fatal(err)
	}
	inner := 0
	h := b.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), "messages") {
			t.Errorf("the handler got %q", body)
		}
		inner++
		if inner < 3 {
			for _, model := range []string{"m1", "made-up", "another"} {
				w := do(b.Handler(noBody), post("/v1/chat/completions", strings.Replace(prompt, "m1", model, 1)))
				fmt.Fprint(w, w.Code)
				want := 503
				if (model == "m1") != (inner == 1) {
					want = 200
				}
				if w.Code != want {
					t.Errorf("round %d, %s: %d, want %d", inner, model, w.Code, want)
				}
			}
		}
	}))
	do(h, post("/v1/chat/completions", prompt))
	do(h, post("/v1/chat/completions", strings.Replace(prompt, "m1", "made-up", 1))) // shares with every other unknown name
}

func TestPaceDelaysAndDoesNotRefuse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBulkhead(t, ratelimit.Slots{Max: 100, Pace: 2, PaceBurst: 2, MaxWait: 3 * time.Second})
		start := time.Now()
		var late []time.Duration
		var mu sync.Mutex
		var wg sync.WaitGroup
		refused := 0
		for range 12 {
			wg.Go(func() {
				r, err := b.Acquire(t.Context(), "c", "")
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					refused++ // would have had to wait more than 3 s
					return
				}
				late = append(late, time.Since(start))
				r()
			})
		}
		wg.Wait()
		if len(late) != 8 || refused != 4 {
			t.Fatalf("%d started, %d refused: %v", len(late), refused, late)
		}
		oracle := rate.NewLimiter(2, 2)
		for i, d := range late {
			if want := oracle.ReserveN(start, 1).DelayFrom(start); d != want {
				t.Errorf("start %d at %v, want %v", i, d, want)
			}
		}
	})
}

func TestAHerdOfWaitersLosesNoSlot(t *testing.T) {
	// Slots are handed over at the very moment waiters time out or leave.
	b := newBulkhead(t, ratelimit.Slots{Max: 2, Queue: 64, MaxWait: 200 * time.Microsecond})
	var wg sync.WaitGroup
	for g := range 32 {
		wg.Go(func() {
			for i := range 100 {
				ctx, cancel := context.WithTimeout(context.Background(), time.Duration(50+i*7)*time.Microsecond)
				if r, err := b.Acquire(ctx, fmt.Sprint(g%5), ""); err == nil {
					runtime.Gosched()
					r()
				}
				cancel()
			}
		})
	}
	wg.Wait()
	if s := b.Stats(""); s.Running != 0 || s.Waiting != 0 {
		t.Errorf("%+v", s)
	}
}

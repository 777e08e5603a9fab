package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/ratelimit"
)

func TestNewReportsEveryFaultAtOnce(t *testing.T) {
	_, err := ratelimit.New(ratelimit.Config{
		DefaultPlan: "gone",
		TopUp:       -1,
		MaxBody:     -1,
		MaxKeys:     -1,
		TrustedProxies: []netip.Prefix{
			netip.MustParsePrefix("0.0.0.0/0"), {},
		},
		Plans: []ratelimit.Plan{
			{Name: "a", DefaultOutput: -1, Limits: []ratelimit.Limit{
				{Name: "dup", Max: 1, Per: time.Second},
				{Name: "dup", Max: 1, Per: time.Second},
				{Name: "bad name!", Max: 1, Per: time.Second},
				{Name: "max", Max: 0, Per: time.Second},
				{Name: "burst", Max: 1, Burst: -1, Per: time.Second},
				{Name: "per", Max: 1, Per: 999},
				{Name: "both", Max: 1, Per: time.Second, Calendar: ratelimit.Day},
				{Name: "none", Max: 1},
				{Name: "century", Max: 1, Burst: 1000, Per: 365 * 24 * time.Hour},
				{Name: "weight", Max: 1, Per: time.Second, Cost: ratelimit.Weights{Input: -1}},
				{Name: "parcost", Max: 1, Parallel: true, Cost: ratelimit.Tokens},
				{Name: "zone", Max: 1, Per: time.Second, Zone: time.UTC},
				{Name: "scope", Max: 1, Per: time.Second, By: 77},
				{Name: "calburst", Max: 1, Calendar: ratelimit.Day, Burst: 2},
				{Name: "money", Max: 1, Calendar: ratelimit.Day, Cost: ratelimit.Money},
			}},
			{Name: "a"},
			{Name: "empty"},
		},
	})
	for _, want := range []string{"gone", "TopUp -1", "MaxBody -1", "MaxKeys -1", "0.0.0.0/0", "TrustedProxies[1]", "DefaultOutput -1", `"dup" occurs twice`,
		`"bad name!"`, "Max 0", "Burst -1", "999ns", `("both")`, `("none")`, "100 years", "weight -1", "Parallel counts", "Zone", "By 77", "without Per", "Prices",
		`"a" occurs twice`, "Limits is empty", "more than 8"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no %q in:\n%v", want, err)
		}
	}
	for line := range strings.Lines(fmt.Sprint(err)) {
		if !strings.HasPrefix(line, "ratelimit: ") {
			t.Errorf("no prefix: %q", line)
		}
	}
	if _, err := ratelimit.New(ratelimit.Config{}); err == nil {
		t.Error("no plans accepted")
	}
	if _, err := ratelimit.NewBulkhead(ratelimit.BulkheadConfig{Slots: ratelimit.Slots{Queue: -1, MaxWait: -1, Pace: -1, PaceBurst: -1},
		PerModel: map[string]ratelimit.Slots{"m": {}}}); err == nil || strings.Count(err.Error(), "\n") != 5 {
		t.Errorf("%v", err)
	}
}

func TestHostileEstimatesNeverWrapNorPanic(t *testing.T) {
	l := newLimiter(t, 0, ratelimit.Limit{Name: "t", Max: 1000, Per: time.Hour, Cost: ratelimit.Weights{Requests: 1e6, Input: 1e6, CachedInput: 1e6, Output: 1e6}},
		ratelimit.Limit{Name: "d", Max: 1000, Calendar: ratelimit.Day, Cost: ratelimit.Tokens})
	values := []int64{0, 1, 999, 1000, 1001, math.MaxInt64, math.MaxInt64 - 1, math.MinInt64, -1, 1e12, 1e18}
	for _, a := range values {
		for _, b := range values {
			for _, c := range values {
				r, err := l.Reserve(t.Context(), ratelimit.Subject{Client: fmt.Sprint(a, b, c)}, ratelimit.Usage{Requests: c, Input: a, CachedInput: b, Output: c, MicroUSD: a})
				var limit *ratelimit.LimitError
				if err == nil || !errors.As(err, &limit) || !limit.Never {
					t.Fatalf("%d %d %d: %v: a million for the request alone cannot fit", a, b, c, err)
				}
				r.Settle(ratelimit.Usage{}) // a nil Reservation does nothing
			}
		}
	}
	day := newLimiter(t, 0, ratelimit.Limit{Name: "d", Max: 1000, Calendar: ratelimit.Day, Cost: ratelimit.Tokens})
	for _, v := range values {
		r, err := day.Reserve(t.Context(), ratelimit.Subject{Client: fmt.Sprint(v)}, ratelimit.Usage{Input: v})
		if (err == nil) != (v <= 1000) {
			t.Errorf("%d: %v", v, err)
		}
		r.Report(ratelimit.Usage{Output: v})
		r.Settle(ratelimit.Usage{Output: v})
	}
}

func TestAnExhaustedLimitRefusesEvenAnEstimateOfNothing(t *testing.T) {
	l := newLimiter(t, 0, ratelimit.Limit{Name: "t", Max: 10, Calendar: ratelimit.Day, Cost: ratelimit.Tokens})
	s := ratelimit.Subject{Client: "c"}
	if _, err := l.Reserve(t.Context(), s, ratelimit.Usage{Input: 10}); err != nil {
		t.Fatal(err)
	}
	if _, err := l.Reserve(t.Context(), s, ratelimit.Usage{}); err == nil { // litellm#35422
		t.Error("admitted")
	}
}

func TestTheFirstEndCountsAndTheOthersDoNothing(t *testing.T) {
	for range 200 {
		l := newLimiter(t, 64, ratelimit.Limit{Name: "t", Max: 1000, Calendar: ratelimit.Month, Cost: ratelimit.Tokens}, ratelimit.Limit{Name: "p", Max: 1, Parallel: true})
		s := ratelimit.Subject{Client: "c"}
		r, err := l.Reserve(t.Context(), s, ratelimit.Usage{Input: 100})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		for i := range 4 {
			wg.Go(func() { r.Settle(ratelimit.Usage{Input: 10}) })
			wg.Go(func() { r.Report(ratelimit.Usage{Input: 50, Output: int64(100 * i)}) })
		}
		wg.Go(r.Cancel)
		wg.Wait()
		r.Settle(ratelimit.Usage{Input: 999})
		if err := r.Report(ratelimit.Usage{Output: 1 << 40}); err != nil {
			t.Errorf("Report after the end: %v", err)
		}
		st := l.Stats()
		if st.Settled+st.Cancelled != 1 || st.Outstanding != 0 {
			t.Fatalf("%+v", st)
		}
		used := st.Used.Input
		if used != 10 && used != 0 {
			t.Fatalf("used %d", used)
		}
		// Whatever was topped up in the race was given back: the books show what was settled, to the unit.
		if _, err := l.Reserve(t.Context(), s, ratelimit.Usage{Input: 1000 - used}); err != nil {
			t.Fatalf("used %d: %v", used, err)
		}
	}
}

func TestReportIsMonotoneAndTopsUpInSlices(t *testing.T) {
	l := newLimiter(t, 0, ratelimit.Limit{Name: "t", Max: 1000, Calendar: ratelimit.Month, Cost: ratelimit.OutputTokens})
	s := ratelimit.Subject{Client: "c"}
	r, _ := l.Reserve(t.Context(), s, ratelimit.Usage{Output: 100})
	left := func() int64 {
		for n := int64(1000); n > 0; n-- {
			if p, err := l.Reserve(t.Context(), s, ratelimit.Usage{Output: n}); err == nil {
				p.Cancel()
				return n
			}
		}
		return 0
	}
	for _, step := range []struct {
		report, left int64
		err          error
	}{
		{50, 900, nil}, {100, 900, nil}, {101, 644, nil}, {90, 644, nil}, {356, 644, nil}, {357, 388, nil}, {612, 388, nil},
		{900, 100, nil}, // more than a slice at once
		{901, 0, nil},   // the slice no longer fits, its first token does... and only what is needed is taken below
		{1000, 0, nil}, {1001, 0, ratelimit.ErrExhausted}, {999, 0, ratelimit.ErrExhausted},
	} {
		err := r.Report(ratelimit.Usage{Output: step.report})
		if err != step.err {
			t.Fatalf("Report(%d): %v", step.report, err)
		}
		if step.report == 901 {
			if got := left(); got != 99 {
				t.Fatalf("after 901: %d left", got)
			}
			continue
		}
		if got := left(); got != step.left {
			t.Fatalf("after Report(%d): %d left, want %d", step.report, got, step.left)
		}
	}
	r.Settle(ratelimit.Usage{Output: 800})
	if got := left(); got != 200 {
		t.Errorf("after Settle: %d left", got)
	}
}

func TestANeighbourIsNotDeniedByARefusedRequest(t *testing.T) {
	// A request refused by its last limit leaves nothing behind anywhere, however often it is tried (milvus#25597).
	l := newLimiter(t, 0, ratelimit.Limit{Name: "all", Max: 5, Per: time.Hour, By: ratelimit.Global}, ratelimit.Limit{Name: "own", Max: 1, Per: time.Hour})
	for range 100 {
		l.Reserve(t.Context(), ratelimit.Subject{Client: "noisy"}, ratelimit.Usage{})
	}
	for i := range 4 {
		if _, err := l.Reserve(t.Context(), ratelimit.Subject{Client: fmt.Sprint(i)}, ratelimit.Usage{}); err != nil {
			t.Error(err)
		}
	}
}

func TestAMillionRandomEndingsLeaveNothingOutstanding(t *testing.T) {
	n := 200_000
	if testing.Short() {
		n = 20_000
	}
	l := newLimiter(t, 4096, ratelimit.Limit{Name: "r", Max: 1e9, Per: time.Second}, ratelimit.Limit{Name: "p", Max: 50, Parallel: true},
		ratelimit.Limit{Name: "t", Max: 1e12, Calendar: ratelimit.Month, Cost: ratelimit.Tokens, By: ratelimit.Global})
	var used atomic.Int64
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(g), 1))
			for range n / 4 {
				r, err := l.Reserve(context.Background(), ratelimit.Subject{Client: fmt.Sprint(rng.IntN(5))}, ratelimit.Usage{Output: rng.Int64N(1000)})
				if err != nil {
					t.Error(err)
					return
				}
				out := rng.Int64N(2000)
				switch rng.IntN(4) {
				case 0:
					r.Cancel()
					continue
				case 1:
					r.Report(ratelimit.Usage{Output: out})
				case 2:
					r.Report(ratelimit.Usage{Output: 2 * out})
				}
				r.Settle(ratelimit.Usage{Output: out})
				used.Add(out)
			}
		})
	}
	wg.Wait()
	if s := l.Stats(); s.Outstanding != 0 || s.Used.Output != used.Load() || s.Reported != s.Used {
		t.Errorf("%+v, want %d", s, used.Load())
	}
	for i := range 5 { // all slots are free: 50 more fit for each
		for range 50 {
			if _, err := l.Reserve(t.Context(), ratelimit.Subject{Client: fmt.Sprint(i)}, ratelimit.Usage{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, err := l.Reserve(t.Context(), ratelimit.Subject{Client: "last"}, ratelimit.Usage{Output: 1e12 - used.Load() - 250}) // 250 reserved one each
	if err != nil {
		t.Errorf("the month does not show exactly what was used: %v", err)
	}
	r.Cancel()
}

func TestBurstAndRateBoundWhatAnyWindowAdmits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 0, ratelimit.Limit{Name: "r", Max: 60, Burst: 10, Per: time.Minute})
		var admitted []time.Time
		for range 4000 {
			if _, err := l.Reserve(t.Context(), ratelimit.Subject{Client: "c"}, ratelimit.Usage{}); err == nil {
				admitted = append(admitted, time.Now())
			}
			time.Sleep(time.Duration(rand.IntN(200)) * time.Millisecond)
		}
		for i := range admitted {
			for j := i; j < len(admitted) && j < i+200; j++ {
				if w := admitted[j].Sub(admitted[i]); float64(j-i+1) > 10+w.Seconds()+1e-9 {
					t.Fatalf("%d in %v", j-i+1, w)
				}
			}
		}
		if want := admitted[len(admitted)-1].Sub(admitted[0]).Seconds(); float64(len(admitted)) < want*0.95 {
			t.Errorf("only %d in %v s", len(admitted), want)
		}
	})
}

// remote is a store that is not the memory store to the Limiter, so the other code path runs.
type remote struct{ m *ratelimit.MemoryStore }

func (s remote) Reserve(ctx context.Context, now time.Time, id ratelimit.ID, claims []ratelimit.Claim, out []ratelimit.State) (bool, error) {
	return s.m.Reserve(ctx, now, id, claims, out)
}

// Settle fails once for each id after having done it: the answer was lost. The repetition must change nothing.
func (s remote) Settle(ctx context.Context, now time.Time, id ratelimit.ID, fixes []ratelimit.Fix) error {
	if err := s.m.Settle(ctx, now, id, fixes); err != nil {
		return err
	}
	if rand.IntN(2) == 0 {
		return errors.New("connection reset")
	}
	return nil
}

func TestAStoreElsewhereKeepsTheSameBooks(t *testing.T) {
	l, err := ratelimit.New(ratelimit.Config{Store: remote{newMemory(t, 100)}, Plans: []ratelimit.Plan{{Limits: []ratelimit.Limit{
		{Name: "r", Max: 3, Per: time.Hour}, {Name: "p", Max: 1, Parallel: true},
		{Name: "t", Max: 1000, Calendar: ratelimit.Month, Cost: ratelimit.Tokens},
		{Name: "a", Max: 1000, Per: time.Hour, By: ratelimit.ByAddress}, {Name: "b", Max: 1000, Per: time.Hour, By: ratelimit.ByTenant}, {Name: "c", Max: 1000, Per: time.Hour, By: ratelimit.Global},
	}}}})
	if err != nil {
		t.Fatal(err)
	}
	s := ratelimit.Subject{Client: "c"}
	for i := range 3 {
		r, err := l.Reserve(t.Context(), s, ratelimit.Usage{Output: 100})
		if err != nil {
			t.Fatal(i, err)
		}
		if _, err := l.Reserve(t.Context(), s, ratelimit.Usage{}); err == nil {
			t.Fatal("two in flight")
		}
		if err := r.Report(ratelimit.Usage{Output: 300}); err != nil {
			t.Fatal(err)
		}
		r.Settle(ratelimit.Usage{Output: 150})
	}
	_, err = l.Reserve(t.Context(), s, ratelimit.Usage{})
	var limit *ratelimit.LimitError
	if !errors.As(err, &limit) || len(limit.Violated) != 1 || limit.Violated[0] != "r" {
		t.Errorf("%v", err)
	}
	if st := l.Stats(); st.Outstanding != 0 || st.Used.Output != 450 {
		t.Errorf("%+v", st)
	}
}

func TestCalendarWindowsAreThoseOfTheZone(t *testing.T) {
	zone := func(name string) *time.Location {
		l, err := time.LoadLocation(name)
		if err != nil {
			t.Skip(err)
		}
		return l
	}
	const layout = "2006-01-02 15:04 -0700"
	for _, tc := range []struct {
		zone, at   string
		p          ratelimit.Period
		start, end string
	}{
		{"UTC", "2026-02-28 23:59 +0000", ratelimit.Month, "2026-02-01 00:00 +0000", "2026-03-01 00:00 +0000"},
		{"UTC", "2028-02-29 12:00 +0000", ratelimit.Day, "2028-02-29 00:00 +0000", "2028-03-01 00:00 +0000"},
		{"UTC", "2026-12-31 12:00 +0000", ratelimit.Month, "2026-12-01 00:00 +0000", "2027-01-01 00:00 +0000"},
		{"UTC", "2026-11-22 00:00 +0000", ratelimit.Week, "2026-11-16 00:00 +0000", "2026-11-23 00:00 +0000"}, // a Sunday
		{"UTC", "2026-11-23 00:00 +0000", ratelimit.Week, "2026-11-23 00:00 +0000", "2026-11-30 00:00 +0000"},
		{"Europe/Berlin", "2026-03-29 12:00 +0200", ratelimit.Day, "2026-03-29 00:00 +0100", "2026-03-30 00:00 +0200"},     // 23 hours
		{"Europe/Berlin", "2026-10-25 12:00 +0100", ratelimit.Day, "2026-10-25 00:00 +0200", "2026-10-26 00:00 +0100"},     // 25 hours
		{"America/Sao_Paulo", "2018-11-03 23:30 -0300", ratelimit.Day, "2018-11-03 00:00 -0300", "2018-11-04 01:00 -0200"}, // no midnight
		{"America/Sao_Paulo", "2018-11-04 01:00 -0200", ratelimit.Day, "2018-11-04 01:00 -0200", "2018-11-05 00:00 -0200"},
		{"Asia/Kathmandu", "2026-01-01 00:00 +0545", ratelimit.Month, "2026-01-01 00:00 +0545", "2026-02-01 00:00 +0545"},
	} {
		at, err := time.Parse(layout, tc.at)
		if err != nil {
			t.Fatal(err)
		}
		start, end := ratelimit.WindowAt(at, tc.p, zone(tc.zone))
		if start.Format(layout) != tc.start || end.Format(layout) != tc.end {
			t.Errorf("%s %v in %s: %s to %s, want %s to %s", tc.at, tc.p, tc.zone, start.Format(layout), end.Format(layout), tc.start, tc.end)
		}
	}
}

// FuzzCalendar: any instant lies in its window, and windows follow each other without a gap.
func FuzzCalendar(f *testing.F) {
	f.Add(int64(1541300400), uint8(1), uint8(0))
	f.Add(int64(1774746000), uint8(2), uint8(1))
	zones := []*time.Location{}
	for _, n := range []string{"America/Sao_Paulo", "Europe/Berlin", "Asia/Beirut", "America/Havana", "Pacific/Apia", "Australia/Lord_Howe", "UTC"} {
		if z, err := time.LoadLocation(n); err == nil {
			zones = append(zones, z)
		}
	}
	f.Fuzz(func(t *testing.T, unix int64, p, z uint8) {
		if len(zones) == 0 {
			t.Skip("no zone data")
		}
		unix %= 4e9 // 1843 to 2096
		period, zone := ratelimit.Period(p%3+1), zones[int(z)%len(zones)]
		at := time.Unix(unix, 0)
		start, end := ratelimit.WindowAt(at, period, zone)
		if at.Before(start) || !at.Before(end) {
			t.Fatalf("%v is not in %v to %v", at.In(zone), start, end)
		}
		if next, _ := ratelimit.WindowAt(end, period, zone); !next.Equal(end) {
			t.Fatalf("%v ends at %v, the next begins at %v", period, end, next)
		}
		if s2, e2 := ratelimit.WindowAt(start, period, zone); !s2.Equal(start) || !e2.Equal(end) {
			t.Fatalf("the start is in another window: %v to %v, %v to %v", start, end, s2, e2)
		}
	})
}

// FuzzHeaders: whatever the configuration and the state, the fields are Structured Field Lists with values in range.
func FuzzHeaders(f *testing.F) {
	f.Add("rpm", int64(60), int64(time.Minute), int64(5), uint8(0))
	f.Add("a.b-c_D", int64(1e15), int64(1500*time.Millisecond), int64(math.MaxInt64), uint8(1))
	f.Add("x", int64(1), int64(time.Microsecond), int64(-1), uint8(2))
	f.Fuzz(func(t *testing.T, name string, max, per, cost int64, kind uint8) {
		lim := ratelimit.Limit{Name: name, Max: max, Cost: []ratelimit.Weights{ratelimit.Requests, ratelimit.Tokens, {Output: 7, Requests: 3}}[kind/3%3]}
		switch kind % 3 {
		case 0:
			lim.Per = time.Duration(per)
		case 1:
			lim.Calendar = ratelimit.Period(kind%3 + 1)
		case 2:
			lim.Parallel, lim.Cost = true, ratelimit.Weights{}
		}
		l, err := ratelimit.New(ratelimit.Config{MaxKeys: 16, Plans: []ratelimit.Plan{{Limits: []ratelimit.Limit{lim, {Name: "other", Max: 3, Per: time.Hour}}}}})
		if err != nil {
			return
		}
		h := l.Handler(noBody)
		for range 4 {
			w := do(h, post("/v1/chat/completions", fmt.Sprintf(`{"max_tokens":%d}`, cost)))
			if w.Code != 200 && w.Code != 429 {
				t.Fatal(w.Code)
			}
			policy, err1 := parseSFList(strings.Join(w.Header()["Ratelimit-Policy"], ", "))
			state, err2 := parseSFList(strings.Join(w.Header()["Ratelimit"], ", "))
			if err1 != nil || err2 != nil || len(policy) != 2 {
				t.Fatalf("%v %v %v", err1, err2, w.Header())
			}
			for i, it := range append(policy, state...) {
				for _, p := range it.params {
					n, isInt := p.value.(int64)
					if p.key != "qu" && (!isInt || n < 0) || p.key == "w" && n == 0 || p.key == "r" && n > max && it.value == name && name != "other" {
						t.Fatalf("item %d %v: %v", i, it, w.Header())
					}
				}
			}
		}
	})
}

// dying is a store that answers once.
type dying struct {
	*ratelimit.MemoryStore
	calls *atomic.Int64
}

func (d dying) Reserve(ctx context.Context, now time.Time, id ratelimit.ID, claims []ratelimit.Claim, out []ratelimit.State) (bool, error) {
	if d.calls.Add(1) > 1 {
		return false, errors.New("connection refused")
	}
	return d.MemoryStore.Reserve(ctx, now, id, claims, out)
}

func TestAStreamDoesNotOutgrowItsReservationWhileTheStoreIsAway(t *testing.T) {
	l, err := ratelimit.New(ratelimit.Config{Store: dying{newMemory(t, 100), new(atomic.Int64)}, Plans: []ratelimit.Plan{{Limits: []ratelimit.Limit{tpm}}}})
	if err != nil {
		t.Fatal(err)
	}
	var wrote int
	var cause error
	delta := `data: {"id":"c1","choices":[{"index":0,"delta":{"content":"` + strings.Repeat("word", 10) + `"}}]}` + "\n\n"
	w := do(l.Handler(endless("text/event-stream", "", delta, &wrote, &cause)), as(post("/v1/chat/completions", prompt), "c"))
	if n := strings.Count(w.Body.String(), "word"); n != 100 || !strings.HasSuffix(w.Body.String(), "data: [DONE]\n\n") {
		t.Errorf("%d tokens of 100 reserved, ending in %q", n, w.Body.String()[max(0, w.Body.Len()-60):])
	}
}

func TestNothingBlocksBehindASlowStore(t *testing.T) {
	// While one Report waits for the store, Settle and Stats go on: no lock is held across the call.
	synctest.Test(t, func(t *testing.T) {
		l, err := ratelimit.New(ratelimit.Config{Store: slow{newMemory(t, 100)}, Plans: []ratelimit.Plan{{Limits: []ratelimit.Limit{{Name: "t", Max: 1000, Calendar: ratelimit.Month, Cost: ratelimit.Tokens}}}}})
		if err != nil {
			t.Fatal(err)
		}
		s := ratelimit.Subject{Client: "c"}
		r, err := l.Reserve(t.Context(), s, ratelimit.Usage{Output: 10})
		if err != nil {
			t.Fatal(err)
		}
		go r.Report(ratelimit.Usage{Output: 500})
		synctest.Wait()
		start := time.Now()
		if err := r.Report(ratelimit.Usage{Output: 600}); err != nil || time.Since(start) != 0 {
			t.Errorf("a second Report: %v after %v", err, time.Since(start))
		}
		l.Stats()
		r.Settle(ratelimit.Usage{Output: 20})
		time.Sleep(time.Hour) // the first Report comes back, and what it took is given back
		if p, err := l.Reserve(t.Context(), s, ratelimit.Usage{Output: 980}); err != nil {
			t.Error(err)
		} else {
			p.Cancel()
		}
	})
}

type slow struct{ m *ratelimit.MemoryStore }

func (s slow) Reserve(ctx context.Context, now time.Time, id ratelimit.ID, claims []ratelimit.Claim, out []ratelimit.State) (bool, error) {
	time.Sleep(time.Minute)
	return s.m.Reserve(ctx, now, id, claims, out)
}

func (s slow) Settle(ctx context.Context, now time.Time, id ratelimit.ID, fixes []ratelimit.Fix) error {
	return s.m.Settle(ctx, now, id, fixes)
}

type panicking struct{}

func (panicking) Enabled(context.Context, slog.Level) bool  { return true }
func (panicking) Handle(context.Context, slog.Record) error { panic("log") }
func (h panicking) WithAttrs([]slog.Attr) slog.Handler      { return h }
func (h panicking) WithGroup(string) slog.Handler           { return h }

func TestAPanicInWhatTheUserBroughtLosesNeitherSlotNorDeposit(t *testing.T) {
	plan := func(extra ...ratelimit.Limit) []ratelimit.Plan {
		return []ratelimit.Plan{{Limits: append([]ratelimit.Limit{{Name: "p", Max: 1, Parallel: true}, {Name: "d", Max: 50, Calendar: ratelimit.Month}}, extra...)}}
	}
	for name, cfg := range map[string]ratelimit.Config{
		"log":     {Plans: plan(ratelimit.Limit{Name: "s", Max: 1, Per: 100 * time.Hour, Shadow: true}), Logger: slog.New(panicking{})},
		"subject": {Plans: plan(), Subject: func(*http.Request) ratelimit.Subject { panic("subject") }},
		"prices":  {Plans: plan(ratelimit.Limit{Name: "m", Max: 1, Calendar: ratelimit.Month, Cost: ratelimit.Money}), Prices: func(string) ratelimit.Price { panic("prices") }},
		"deny":    {Plans: plan(ratelimit.Limit{Name: "x", Max: 1, Per: 100 * time.Hour}), Deny: func(http.ResponseWriter, *http.Request, error) { panic("deny") }},
	} {
		l, err := ratelimit.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		panics := 0
		for range 3 {
			func() {
				defer func() {
					if v := recover(); v != nil {
						panics++
					}
				}()
				do(l.Handler(noBody), post("/v1/chat/completions", prompt))
			}()
		}
		if s := l.Stats(); panics == 0 || s.Outstanding != 0 {
			t.Errorf("%s: %d panics, %+v", name, panics, s)
		}
	}
}

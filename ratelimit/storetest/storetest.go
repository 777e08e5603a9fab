// Package storetest checks implementations of [ratelimit.Store]. Each case carries the rule it checks in words; the case's
// name is the rule's short form.
package storetest

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/ratelimit"
)

// Options says how to test a store.
type Options struct {
	// New returns an empty store, for each case a new one. Required.
	New func(t *testing.T) ratelimit.Store
	// Advance makes the store's own clock go on by d, for a store that does not follow the time it is given. It may
	// sleep. Nil means that the store follows the now of each call.
	Advance func(d time.Duration)
}

// Run runs every case as a subtest.
func Run(t *testing.T, o Options) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			h := &harness{T: t, s: o.New(t), now: time.Now(), advance: o.Advance}
			defer func() {
				if t.Failed() {
					t.Logf("the rule: %s", c.rule)
				}
			}()
			c.run(h)
		})
	}
}

type testCase struct {
	name, rule string
	run        func(h *harness)
}

type harness struct {
	*testing.T
	s       ratelimit.Store
	now     time.Time
	advance func(time.Duration)
	ids     atomic.Uint64
}

func (h *harness) sleep(d time.Duration) {
	h.now = h.now.Add(d)
	if h.advance != nil {
		h.advance(d)
	}
}

func (h *harness) id() ratelimit.ID { return ratelimit.ID{Hi: 7, Lo: h.ids.Add(1)} }

func (h *harness) reserve(claims ...ratelimit.Claim) ([]ratelimit.State, bool) {
	h.Helper()
	out := make([]ratelimit.State, len(claims))
	ok, err := h.s.Reserve(context.Background(), h.now, h.id(), claims, out)
	if err != nil {
		h.Fatalf("Reserve: %v", err)
	}
	return out, ok
}

func (h *harness) settle(id ratelimit.ID, fixes ...ratelimit.Fix) {
	h.Helper()
	if err := h.s.Settle(context.Background(), h.now, id, fixes); err != nil {
		h.Fatalf("Settle: %v", err)
	}
}

func (h *harness) want(want bool, claims ...ratelimit.Claim) []ratelimit.State {
	h.Helper()
	st, ok := h.reserve(claims...)
	if ok != want {
		h.Fatalf("Reserve admitted: %v, want %v; states %+v", ok, want, st)
	}
	return st
}

func fix(c ratelimit.Claim, st ratelimit.State, actual int64) ratelimit.Fix {
	return ratelimit.Fix{Claim: c, Mark: st.Mark, Charged: c.Cost, Actual: actual}
}

func rolling(key string, cost, max int64, per time.Duration) ratelimit.Claim {
	return ratelimit.Claim{Key: ratelimit.Key{Limit: "r", Kind: ratelimit.Rolling, A: key}, Cost: cost, Max: max, Burst: max, Per: per}
}

func (h *harness) day(key string, cost, max int64) ratelimit.Claim {
	end := h.now.Truncate(24 * time.Hour).Add(24 * time.Hour)
	return ratelimit.Claim{Key: ratelimit.Key{Limit: "c", Kind: ratelimit.Calendar, A: key}, Cost: cost, Max: max,
		End: end.Unix(), Length: 25 * 3600}
}

func parallel(key string, max int64) ratelimit.Claim {
	return ratelimit.Claim{Key: ratelimit.Key{Limit: "p", Kind: ratelimit.Parallel, A: key}, Cost: 1, Max: max}
}

var cases = []testCase{
	{"BurstThenNothing", "A rolling bucket admits exactly Burst units at once, whatever Max and Per are, and not one more.", func(h *harness) {
		for i, max := range []int64{1, 3, 7, 60} {
			for range max {
				h.want(true, rolling(fmt.Sprint(i), 1, max, time.Hour))
			}
			h.want(false, rolling(fmt.Sprint(i), 1, max, time.Hour))
		}
	}},
	{"WaitIsHonest", "A refused claim says how long to wait; after exactly that it is admitted if nobody else came.", func(h *harness) {
		h.want(true, rolling("a", 7, 10, 10*time.Second))
		st := h.want(false, rolling("a", 5, 10, 10*time.Second))
		if st[0].Wait <= 0 || st[0].Wait > 2*time.Second+time.Millisecond {
			h.Fatalf("Wait %v, want about 2 s", st[0].Wait)
		}
		h.sleep(st[0].Wait)
		h.want(true, rolling("a", 5, 10, 10*time.Second))
	}},
	{"NeverIsSaid", "A cost beyond what the bucket can hold is refused with Never and without a wait; nothing is charged.", func(h *harness) {
		for _, cost := range []int64{11, 1 << 40, math.MaxInt64} {
			for _, c := range []ratelimit.Claim{rolling("a", cost, 10, time.Minute), h.day("a", cost, 10)} {
				st := h.want(false, c)
				if !st[0].Never || st[0].Wait != 0 {
					h.Fatalf("cost %d: %+v", cost, st[0])
				}
			}
		}
		h.want(true, rolling("a", 10, 10, time.Minute), h.day("a", 10, 10))
	}},
	{"AllOrNone", "When one claim of a batch is refused, every other bucket is as it was before.", func(h *harness) {
		h.want(true, h.day("full", 10, 10))
		for range 5 {
			st := h.want(false, rolling("a", 1, 2, time.Hour), parallel("b", 1), h.day("c", 3, 3), h.day("full", 1, 10))
			if !st[0].OK || !st[1].OK || !st[2].OK || st[3].OK {
				h.Fatalf("states %+v: only the last was full", st)
			}
		}
		h.want(true, rolling("a", 2, 2, time.Hour), parallel("b", 1), h.day("c", 3, 3))
	}},
	{"EveryRefusalIsSeen", "A refused batch says of every claim whether it would have fitted, not only of the first.", func(h *harness) {
		h.want(true, rolling("a", 2, 2, time.Hour), h.day("c", 3, 3))
		st := h.want(false, rolling("a", 1, 2, time.Hour), rolling("b", 1, 2, time.Hour), h.day("c", 1, 3))
		if st[0].OK || !st[1].OK || st[2].OK || st[2].Wait <= 0 {
			h.Fatalf("states %+v", st)
		}
	}},
	{"SameBucketTwice", "A bucket named twice in one batch is charged twice, and refuses if both do not fit.", func(h *harness) {
		h.want(false, rolling("a", 2, 3, time.Hour), rolling("a", 2, 3, time.Hour))
		h.want(true, rolling("a", 1, 3, time.Hour), rolling("a", 2, 3, time.Hour))
		h.want(false, rolling("a", 1, 3, time.Hour))
	}},
	{"ShadowNeverRefuses", "A Shadow claim is charged when it fits and otherwise only says so; it never refuses the batch.", func(h *harness) {
		s := rolling("a", 1, 1, time.Hour)
		s.Shadow = true
		st := h.want(true, s, rolling("b", 1, 9, time.Hour))
		if !st[0].OK {
			h.Fatal("the first should fit")
		}
		st = h.want(true, s, rolling("b", 1, 9, time.Hour))
		if st[0].OK {
			h.Fatal("the second should not fit")
		}
	}},
	{"KeysAreNotJoined", "Two keys are one bucket only if all their parts are equal: no byte in a part can make them meet.", func(h *harness) {
		keys := []ratelimit.Key{
			{Limit: "l", A: "a", B: "b"}, {Limit: "l", A: "ab"}, {Limit: "la", A: "", B: "b"}, {Limit: "l", A: "a\x00b"},
			{Limit: "l", A: "a", C: "b"}, {Limit: "l", B: "a", C: "b"}, {Limit: "l", A: "a|b"}, {Limit: "l", A: "{a}b"},
			{Limit: "l", A: "a\nb"}, {Limit: "l", A: "\xff\xfe"}, {Limit: "l", A: "\xff"}, {Limit: "l", A: "\x01a"},
			{Limit: "l", A: "a", B: "b", Scope: ratelimit.ByTenant},
		}
		for _, k := range keys {
			k.Kind = ratelimit.Rolling
			h.want(true, ratelimit.Claim{Key: k, Cost: 1, Max: 1, Burst: 1, Per: time.Hour})
			h.want(false, ratelimit.Claim{Key: k, Cost: 1, Max: 1, Burst: 1, Per: time.Hour})
		}
	}},
	{"OverageIsDebt", "Settling for more than was charged is never refused; it is paid off before anything else is admitted.", func(h *harness) {
		c := rolling("a", 1, 10, 10*time.Second)
		st := h.want(true, c)
		h.settle(h.id(), fix(c, st[0], 25))
		st = h.want(false, c)
		if d := st[0].Wait - 16*time.Second; d < -time.Millisecond || d > time.Millisecond {
			h.Fatalf("Wait %v, want 16 s", st[0].Wait)
		}
		h.sleep(st[0].Wait)
		h.want(true, c)
	}},
	{"RefundComesBack", "Settling at once for less gives the difference back.", func(h *harness) {
		c := rolling("a", 10, 10, time.Hour)
		st := h.want(true, c)
		h.settle(h.id(), fix(c, st[0], 3))
		h.want(true, rolling("a", 7, 10, time.Hour))
		h.want(false, rolling("a", 1, 10, time.Hour))
	}},
	{"RefundAfterIdleMintsNothing", "A deposit that has leaked away is gone: settling it later for less gives nothing (Slack 0).", func(h *harness) {
		c := rolling("a", 10, 10, time.Second)
		st := h.want(true, c)
		h.sleep(time.Second)
		h.want(true, c) // the bucket was full again and is now empty
		h.settle(h.id(), fix(c, st[0], 0))
		h.want(false, rolling("a", 1, 10, time.Second))
	}},
	{"TwoRefundsShareNoGap", "Two refunds cannot both take the same gap (Slack 0): any rule without the sum of refunds fails here.", func(h *harness) {
		c := rolling("a", 5, 10, 10*time.Second)
		one := h.want(true, c)
		two := h.want(true, c)
		h.sleep(4 * time.Second)
		h.settle(h.id(), fix(c, one[0], 0)) // 1 s of the first deposit has not leaked
		h.settle(h.id(), fix(c, two[0], 0)) // 6 s - 1 s of both
		h.want(true, rolling("a", 10, 10, 10*time.Second))
		h.want(false, rolling("a", 1, 10, 10*time.Second))
	}},
	{"SettleIsIdempotent", "The same settlement id again changes nothing.", func(h *harness) {
		c := rolling("a", 8, 10, time.Hour)
		st := h.want(true, c)
		d := h.day("b", 8, 10)
		std := h.want(true, d)
		id := h.id()
		for range 3 {
			h.settle(id, fix(c, st[0], 4), fix(d, std[0], 4))
		}
		h.want(true, rolling("a", 6, 10, time.Hour), h.day("b", 6, 10))
		h.want(false, rolling("a", 1, 10, time.Hour))
		h.want(false, h.day("b", 1, 10))
	}},
	{"CalendarIsExact", "Inside one window the sum of settlements is exact, up or down.", func(h *harness) {
		h.now = h.now.Truncate(24 * time.Hour).Add(time.Hour)
		if h.advance != nil {
			h.Skip("needs a store that follows the given time")
		}
		var used int64
		rng := rand.New(rand.NewPCG(1, 2))
		for range 200 {
			c := h.day("a", rng.Int64N(50), 100_000)
			st := h.want(true, c)
			actual := rng.Int64N(80)
			h.settle(h.id(), fix(c, st[0], actual))
			used += actual
			h.sleep(time.Minute)
		}
		st := h.want(true, h.day("a", 0, 100_000))
		if st[0].Remaining != 100_000-used {
			h.Fatalf("Remaining %d, want %d", st[0].Remaining, 100_000-used)
		}
	}},
	{"CalendarRollover", "A new window begins empty. A refund from the old one is dropped, an overage is charged to the new one.", func(h *harness) {
		if h.advance != nil {
			h.Skip("needs a store that follows the given time")
		}
		h.now = h.now.Truncate(24 * time.Hour).Add(23*time.Hour + 59*time.Minute)
		c := h.day("a", 10, 10)
		st := h.want(true, c)
		c2 := h.day("b", 1, 10)
		st2 := h.want(true, c2)
		h.want(false, h.day("a", 1, 10))
		h.sleep(2 * time.Minute)
		h.want(true, h.day("a", 6, 10))
		f := fix(c, st[0], 0)
		f.Claim.End = h.day("a", 0, 10).End
		f2 := fix(c2, st2[0], 8)
		f2.Claim.End = f.Claim.End
		h.settle(h.id(), f, f2)
		h.want(true, h.day("a", 4, 10), h.day("b", 3, 10))
		h.want(false, h.day("a", 1, 10))
		h.want(false, h.day("b", 1, 10))
	}},
	{"CalendarClockBack", "A clock set back by a day neither mints a fresh window nor locks anybody out for longer than the next one.", func(h *harness) {
		if h.advance != nil {
			h.Skip("needs a store that follows the given time")
		}
		h.now = h.now.Truncate(24 * time.Hour).Add(time.Hour)
		h.want(true, h.day("a", 10, 10))
		h.sleep(-24 * time.Hour)
		h.want(false, h.day("a", 1, 10))
		h.sleep(24 * time.Hour)
		h.sleep(365 * 24 * time.Hour) // a year ahead by mistake
		h.want(true, h.day("a", 10, 10))
		h.sleep(-365 * 24 * time.Hour)
		h.want(false, h.day("a", 1, 10))
		h.sleep(48 * time.Hour)
		h.want(true, h.day("a", 1, 10))
	}},
	{"ParallelComesAndGoes", "A Parallel bucket counts what is in flight; settling frees a place once, whatever Actual says, and never below zero.", func(h *harness) {
		c := parallel("a", 2)
		one := h.want(true, c)
		two := h.want(true, c)
		h.want(false, c)
		id := h.id()
		h.settle(id, fix(c, one[0], 0))
		h.settle(id, fix(c, one[0], 0))
		h.want(true, c)
		h.want(false, c)
		h.settle(h.id(), fix(c, two[0], 1))
		h.settle(h.id(), fix(c, two[0], 1))
		h.want(true, c)
		h.want(true, c)
		h.want(false, c)
	}},
	{"StaleNow", "A call with a clock reading older than the previous call's mints nothing.", func(h *harness) {
		if h.advance != nil {
			h.Skip("needs a store that follows the given time")
		}
		c := rolling("a", 1, 10, 10*time.Second)
		for range 10 {
			h.want(true, c)
		}
		h.sleep(time.Second)
		h.want(true, c)
		h.sleep(-time.Second)
		h.want(false, c)
		h.sleep(time.Second)
		h.want(false, c)
	}},
	{"ExactlyKOfMany", "However many callers come at once, exactly as many are admitted as fit.", func(h *harness) {
		const n, k = 400, 37
		var admitted atomic.Int64
		var wg sync.WaitGroup
		for range n {
			wg.Go(func() {
				out := make([]ratelimit.State, 2)
				ok, err := h.s.Reserve(context.Background(), h.now, h.id(),
					[]ratelimit.Claim{rolling("a", 1, k, 24*time.Hour), h.day("b", 1, k+5)}, out)
				if err != nil {
					h.Error(err)
				} else if ok {
					admitted.Add(1)
				}
			})
		}
		wg.Wait()
		if admitted.Load() != k {
			h.Fatalf("admitted %d, want %d", admitted.Load(), k)
		}
		h.want(true, h.day("b", 5, k+5))
		h.want(false, h.day("b", 1, k+5))
	}},
	{"NoDeadlock", "Batches over the same buckets in opposite orders, with settlements between, always end.", func(h *harness) {
		var wg sync.WaitGroup
		for g := range 8 {
			wg.Go(func() {
				for i := range 200 {
					a, b := rolling(fmt.Sprint(i%5), 1, 1e6, time.Hour), parallel(fmt.Sprint(i%3), 1e6)
					claims := []ratelimit.Claim{a, b, h.day("c", 1, 1e6)}
					if g%2 == 0 {
						claims[0], claims[2] = claims[2], claims[0]
					}
					out := make([]ratelimit.State, 3)
					if ok, err := h.s.Reserve(context.Background(), h.now, h.id(), claims, out); !ok || err != nil {
						h.Errorf("refused: %v", err)
						return
					}
					h.s.Settle(context.Background(), h.now, h.id(), []ratelimit.Fix{fix(claims[0], out[0], 0), fix(claims[1], out[1], 0)})
				}
			})
		}
		wg.Wait()
	}},
	{"TooManyClaims", "More than MaxClaims claims are an error, not a decision.", func(h *harness) {
		claims := make([]ratelimit.Claim, ratelimit.MaxClaims+1)
		for i := range claims {
			claims[i] = rolling(fmt.Sprint(i), 1, 10, time.Hour)
		}
		if ok, err := h.s.Reserve(context.Background(), h.now, h.id(), claims, make([]ratelimit.State, len(claims))); ok || err == nil {
			h.Fatalf("%v, %v", ok, err)
		}
	}},
	{"NegativeIsZero", "Negative costs and actuals count as zero.", func(h *harness) {
		c := rolling("a", -5, 3, time.Hour)
		st := h.want(true, c)
		h.settle(h.id(), fix(c, st[0], -7))
		d := h.day("a", -5, 3)
		std := h.want(true, d)
		h.settle(h.id(), fix(d, std[0], -7))
		h.want(true, rolling("a", 3, 3, time.Hour), h.day("a", 3, 3))
		h.want(false, rolling("a", 1, 3, time.Hour))
		h.want(false, h.day("a", 1, 3))
	}},
	{"ErrorOfContext", "A call whose context has ended may fail, but does not decide half.", func(h *harness) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		out := make([]ratelimit.State, 2)
		ok, err := h.s.Reserve(ctx, h.now, h.id(), []ratelimit.Claim{rolling("a", 1, 1, time.Hour), rolling("b", 1, 1, time.Hour)}, out)
		want := !(ok && err == nil)
		h.want(want, rolling("a", 1, 1, time.Hour))
		h.want(want, rolling("b", 1, 1, time.Hour))
	}},
}

package ratelimit_test

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/time/rate"

	"github.com/mantlet-go/mantlet/ratelimit"
	"github.com/mantlet-go/mantlet/ratelimit/storetest"
)

func newMemory(t testing.TB, keys int) *ratelimit.MemoryStore {
	m, err := ratelimit.NewMemoryStore(keys)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestMemoryKeepsTheRulesOfAStore(t *testing.T) {
	storetest.Run(t, storetest.Options{New: func(t *testing.T) ratelimit.Store { return newMemory(t, 1000) }})
}

func rollingClaim(key string, cost, max, burst int64, per time.Duration) ratelimit.Claim {
	return ratelimit.Claim{Key: ratelimit.Key{Limit: "r", Kind: ratelimit.Rolling, A: key}, Cost: cost, Max: max, Burst: burst, Per: per}
}

func reserve1(t testing.TB, m ratelimit.Store, now time.Time, c ratelimit.Claim) (ratelimit.State, bool) {
	t.Helper()
	var out [1]ratelimit.State
	ok, err := m.Reserve(context.Background(), now, ratelimit.ID{}, []ratelimit.Claim{c}, out[:])
	if err != nil {
		t.Fatal(err)
	}
	return out[0], ok
}

// oracle is GCRA in rational numbers: no rounding anywhere.
type oracle struct {
	tat, per, tol *big.Rat
}

func newOracle(max, burst int64, per time.Duration) *oracle {
	p := big.NewRat(int64(per), max)
	return &oracle{tat: new(big.Rat), per: p, tol: new(big.Rat).Mul(p, new(big.Rat).SetInt64(burst))}
}

func (o *oracle) charge(now, cost int64) {
	n := new(big.Rat).SetInt64(now)
	if o.tat.Cmp(n) < 0 {
		o.tat.Set(n)
	}
	o.tat.Add(o.tat, new(big.Rat).Mul(o.per, new(big.Rat).SetInt64(cost)))
}

func (o *oracle) allow(now, cost int64) bool {
	save := new(big.Rat).Set(o.tat)
	o.charge(now, cost)
	level := new(big.Rat).Sub(o.tat, new(big.Rat).SetInt64(now))
	if level.Cmp(o.tol) > 0 {
		o.tat = save
		return false
	}
	return true
}

func TestMemoryAgreesWithRationalArithmeticToTheUnit(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	m := newMemory(t, 4096)
	start := time.Now().Add(time.Hour)
	for n := range 400 {
		max := 1 + rng.Int64N(1<<rng.Int64N(40))
		burst := 1 + rng.Int64N(2*max)
		per := time.Microsecond + time.Duration(rng.Int64N(int64(time.Hour)>>rng.Int64N(30)))
		o := newOracle(max, burst, per)
		key := fmt.Sprint(n)
		var now int64
		for range 60 {
			// Step around the time one unit takes, so that the edge is met often.
			now += rng.Int64N(2*int64(per)/max*max/max + 3)
			cost := rng.Int64N(burst + 2)
			if rng.IntN(2) == 0 {
				cost = 1
			}
			st, got := reserve1(t, m, start.Add(time.Duration(now)), rollingClaim(key, cost, max, burst, per))
			if want := cost <= burst && o.allow(now, cost); got != want {
				t.Fatalf("max %d burst %d per %v: at %d cost %d admitted %v, exact arithmetic says %v", max, burst, per, now, cost, got, want)
			}
			if !got && !st.Never {
				// Waiting exactly that long suffices, and a nanosecond less does not.
				if _, ok := reserve1(t, m, start.Add(time.Duration(now)+st.Wait-1), rollingClaim(key, cost, max, burst, per)); ok {
					t.Fatalf("admitted before Wait %v was over", st.Wait)
				}
				now += int64(st.Wait)
				if _, ok := reserve1(t, m, start.Add(time.Duration(now)), rollingClaim(key, cost, max, burst, per)); !ok {
					t.Fatalf("refused after Wait %v", st.Wait)
				}
				if !o.allow(now, cost) {
					t.Fatal("the oracle refuses after Wait")
				}
			}
			if st.Remaining < 0 || st.Remaining > burst {
				t.Fatalf("Remaining %d of %d", st.Remaining, burst)
			}
		}
	}
}

func TestMemoryAgreesWithXTimeRateOnTheAllowPath(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	m := newMemory(t, 1024)
	start := time.Now().Add(time.Hour)
	checked := 0
	for n := range 100 {
		// Rates that float64 holds exactly, and times off the edge: x/time/rate rounds, we do not.
		perSecond := int64(1) << rng.Int64N(10)
		burst := 1 + rng.Int64N(50)
		x := rate.NewLimiter(rate.Limit(perSecond), int(burst))
		key := fmt.Sprint(n)
		var now time.Duration
		for range 100 {
			now += time.Duration(rng.Int64N(int64(2 * time.Second / time.Duration(perSecond))))
			cost := 1 + rng.Int64N(burst)
			at := start.Add(now)
			if left := x.TokensAt(at) - float64(cost); math.Abs(left) < 1e-3 {
				continue // too close to the edge for floats
			}
			want := x.AllowN(at, int(cost))
			if _, got := reserve1(t, m, at, rollingClaim(key, cost, perSecond, burst, time.Second)); got != want {
				t.Fatalf("rate %d burst %d cost %d: %v, x/time/rate says %v", perSecond, burst, cost, got, want)
			}
			checked++
		}
	}
	if checked < 5000 {
		t.Fatalf("only %d comparisons", checked)
	}
}

// TestARefundNeverMints compares with a bucket that was charged the true cost at admission: the level may be better than that
// one's by no more than Slack, whatever the order of refunds and idle gaps.
func TestARefundNeverMints(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	m := newMemory(t, 65536)
	start := time.Now().Add(time.Hour)
	var worst, refunds int64
	for n := range 6000 {
		const max, per = 10, 10 * time.Second // one unit a second
		burst := 4 + rng.Int64N(20)
		slack := int64(0)
		if n%2 == 1 {
			slack = 1 + rng.Int64N(burst)
		}
		o := newOracle(max, burst, per)
		type held struct {
			st           ratelimit.State
			cost, actual int64
			due          time.Duration
		}
		var open []held
		claim := func(cost int64) ratelimit.Claim {
			c := rollingClaim(fmt.Sprint(n), cost, max, burst, per)
			c.Slack = slack
			return c
		}
		var now time.Duration
		for range 40 {
			now += time.Duration(rng.Int64N(int64(4 * time.Second)))
			if rng.IntN(12) == 0 {
				now += time.Duration(burst) * time.Second // idle long enough to be forgotten
			}
			for i := 0; i < len(open); i++ {
				if h := open[i]; h.due <= now {
					m.Settle(context.Background(), start.Add(now), ratelimit.ID{}, []ratelimit.Fix{{Claim: claim(h.cost), Mark: h.st.Mark, Charged: h.cost, Actual: h.actual}})
					open = append(open[:i], open[i+1:]...)
					i--
					refunds++
				}
			}
			cost := 1 + rng.Int64N(burst)
			st, ok := reserve1(t, m, start.Add(now), claim(cost))
			if ok {
				actual := rng.Int64N(cost + 1)
				open = append(open, held{st, cost, actual, now + time.Duration(rng.Int64N(int64(20*time.Second)))})
				o.charge(int64(now), actual)
				level := new(big.Rat).Sub(o.tat, big.NewRat(int64(now), 1))
				over := new(big.Rat).Sub(level, o.tol)
				over.Quo(over, o.per)
				f, _ := over.Float64()
				if f > float64(slack) {
					t.Fatalf("run %d: %v units beyond the exact bucket, Slack %d", n, f, slack)
				}
				worst = max64(worst, int64(math.Ceil(f)))
			}
		}
	}
	t.Logf("%d refunds, worst lead %d units", refunds, worst)
}

func max64(a, b int64) int64 { return max(a, b) }

func TestExtremeRatesAreExact(t *testing.T) {
	start := time.Now().Add(time.Hour)
	for _, tc := range []struct {
		max, burst int64
		per        time.Duration
	}{
		{1, 1, 31 * 24 * time.Hour},
		{1_000_000_000_000, 1_000_000_000_000, time.Second}, // 1e12 a second: a unit is a thousandth of a nanosecond
		{7_000_000_000, 7_000_000_000, time.Minute},         // 8.57 ns a unit: +7 % when truncated
		{1, 1, time.Microsecond},
		{3, 3, time.Second},
	} {
		m := newMemory(t, 100)
		o := newOracle(tc.max, tc.burst, tc.per)
		rng := rand.New(rand.NewPCG(9, 9))
		var now int64
		for range 20_000 {
			now += rng.Int64N(int64(tc.per)/4 + 2)
			cost := 1 + rng.Int64N(tc.burst)
			_, got := reserve1(t, m, start.Add(time.Duration(now)), rollingClaim("k", cost, tc.max, tc.burst, tc.per))
			if want := o.allow(now, cost); got != want {
				t.Fatalf("%+v at %d cost %d: %v, want %v", tc, now, cost, got, want)
			}
			if int64(tc.per) > int64(time.Hour) && now > int64(50*365*24*time.Hour) {
				break
			}
		}
	}
}

func TestAFloodOfFreshKeysNeitherGrowsMemoryNorFreesADebtor(t *testing.T) {
	const keys = 20_000
	m := newMemory(t, keys)
	now := time.Now()
	claim := func(k string) ratelimit.Claim { return rollingClaim(k, 1, 100, 100, time.Hour) }
	debtor := claim("debtor")
	for range 100 {
		if _, ok := reserve1(t, m, now, debtor); !ok {
			t.Fatal("refused too early")
		}
	}
	heap := func() int64 {
		runtime.GC()
		var s runtime.MemStats
		runtime.ReadMemStats(&s)
		return int64(s.HeapAlloc)
	}
	before := heap()
	for i := range 40 * keys {
		if _, ok := reserve1(t, m, now, claim(fmt.Sprint("fresh ", i))); !ok {
			t.Fatalf("fresh key %d refused", i)
		}
		if i%997 == 0 {
			if _, ok := reserve1(t, m, now, debtor); ok {
				t.Fatalf("the debtor was admitted after %d fresh keys", i)
			}
		}
	}
	if grown := heap() - before; grown > 64<<10 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	st := m.Stats()
	if st.Slots < keys || st.Evicted == 0 || st.Full != 0 {
		t.Errorf("%+v", st)
	}
}

func TestAsManyKeysAsPromisedFitAlmostWithoutEvicting(t *testing.T) {
	const keys = 50_000
	m := newMemory(t, keys)
	now := time.Now()
	for i := range keys {
		reserve1(t, m, now, rollingClaim(fmt.Sprint(i), 1, 1, 1, time.Hour))
	}
	st := m.Stats()
	if st.Evicted > keys/100 {
		t.Errorf("%d of %d evicted though all fit", st.Evicted, keys)
	}
	t.Logf("%+v, %d bytes a key", st, st.Slots*48/keys)
}

func TestRequestsInFlightAndRunningWindowsAreNeverEvicted(t *testing.T) {
	m := newMemory(t, 64)
	now := time.Now()
	slot := ratelimit.Claim{Key: ratelimit.Key{Limit: "p", Kind: ratelimit.Parallel, A: "x"}, Cost: 1, Max: 1}
	day := ratelimit.Claim{Key: ratelimit.Key{Limit: "d", Kind: ratelimit.Calendar, A: "x"}, Cost: 5, Max: 5, End: now.Unix() + 3600, Length: 86400}
	var out [2]ratelimit.State
	if ok, err := m.Reserve(context.Background(), now, ratelimit.ID{}, []ratelimit.Claim{slot, day}, out[:]); !ok || err != nil {
		t.Fatal(ok, err)
	}
	for i := range 10_000 {
		reserve1(t, m, now, rollingClaim(fmt.Sprint(i), 9, 10, 10, time.Hour))
	}
	if _, ok := reserve1(t, m, now, slot); ok {
		t.Error("the slot in flight was forgotten")
	}
	if _, ok := reserve1(t, m, now, day); ok {
		t.Error("the day's use was forgotten")
	}
	// A table of nothing but pinned entries refuses newcomers: closed, and counted.
	refused := false
	for i := range 1000 {
		p := slot
		p.Key.A = fmt.Sprint("p", i)
		var one [1]ratelimit.State
		ok, err := m.Reserve(context.Background(), now, ratelimit.ID{}, []ratelimit.Claim{p}, one[:])
		if !ok && err == ratelimit.ErrStoreFull {
			refused = true
		}
	}
	if !refused || m.Stats().Full == 0 {
		t.Errorf("refused %v, %+v", refused, m.Stats())
	}
}

func TestAnIdleBucketGivesItsPlaceWithoutASweeper(t *testing.T) {
	m := newMemory(t, 1000)
	now := time.Now()
	for i := range 10_000 {
		reserve1(t, m, now, rollingClaim(fmt.Sprint(i), 1, 1, 1, time.Second))
		if i%500 == 0 {
			now = now.Add(time.Second)
		}
	}
	if e := m.Stats().Evicted; e != 0 {
		t.Errorf("%d evicted though only 500 were ever in use", e)
	}
}

func TestARefusedBatchLeavesEveryBitAsItWas(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	m := newMemory(t, 200)
	now := time.Now()
	for i := range 5000 { // fill it beyond its size, so that evictions have to be undone too
		reserve1(t, m, now, rollingClaim(fmt.Sprint(i), 1+rng.Int64N(9), 10, 10, time.Hour))
	}
	day := ratelimit.Claim{Key: ratelimit.Key{Limit: "d", Kind: ratelimit.Calendar}, Cost: 1, Max: 1, End: now.Unix() + 3600, Length: 86400}
	reserve1(t, m, now, day)
	before := ratelimit.Dump(m)
	for i := range 2000 {
		var claims []ratelimit.Claim
		for range rng.IntN(7) {
			claims = append(claims, rollingClaim(fmt.Sprint(rng.IntN(10_000)), 1, 10, 10, time.Hour))
		}
		claims = append(claims, day)
		rng.Shuffle(len(claims), func(i, j int) { claims[i], claims[j] = claims[j], claims[i] })
		ok, err := m.Reserve(context.Background(), now.Add(time.Duration(i)), ratelimit.ID{}, claims, make([]ratelimit.State, len(claims)))
		if ok || err != nil {
			t.Fatal(ok, err)
		}
	}
	if after := ratelimit.Dump(m); before != after {
		t.Error("a refused batch changed the table")
	}
}

func TestNewMemoryRefusesImpossibleSizes(t *testing.T) {
	for _, n := range []int{-1, math.MaxInt} {
		if _, err := ratelimit.NewMemoryStore(n); err == nil {
			t.Errorf("%d accepted", n)
		}
	}
}

func TestTheShortWayToAKeyIsTheLongOne(t *testing.T) {
	l := newLimiter(t, 0, rpm, tpm, daily, slots, ratelimit.Limit{Name: "x", Max: 1, Per: time.Hour, By: ratelimit.ByTenant})
	for n := range 200 {
		for _, s := range []ratelimit.Subject{{Client: strings.Repeat("c", n)}, {Client: "c", Issuer: "i"}, {Client: "c", Issuer: strings.Repeat("i", n)}, {Client: strings.Repeat("c", n), Issuer: strings.Repeat("i", 64)}, {Tenant: strings.Repeat("\x00", n)}, {Client: "\xff\x00|{}"}} {
			if !ratelimit.HashesAgree(l, s) {
				t.Errorf("%d: %+v", n, s)
			}
		}
	}
}

func TestARefundAfterItsBucketWasForgottenMintsNothing(t *testing.T) {
	ctx := context.Background()
	settle := func(m *ratelimit.MemoryStore, now time.Time, c ratelimit.Claim, st ratelimit.State, actual int64) {
		m.Settle(ctx, now, ratelimit.ID{}, []ratelimit.Fix{{Claim: c, Mark: st.Mark, Charged: c.Cost, Actual: actual}})
	}
	left := func(m *ratelimit.MemoryStore, now time.Time, key string) int64 {
		st, _ := reserve1(t, m, now, rollingClaim(key, 0, 100, 100, time.Hour))
		return st.Remaining
	}
	t.Run("evicted by a flood", func(t *testing.T) {
		m := newMemory(t, 64)
		now := time.Now()
		c := rollingClaim("a", 10, 100, 100, time.Hour)
		st, _ := reserve1(t, m, now, c)
		for i := range 5000 {
			reserve1(t, m, now, rollingClaim(fmt.Sprint("f", i), 90, 100, 100, time.Hour))
		}
		reserve1(t, m, now, rollingClaim("a", 95, 100, 100, time.Hour)) // a bucket of its own again, nearly used up
		before := left(m, now, "a")
		settle(m, now, c, st, 0)
		if after := left(m, now, "a"); after > before {
			t.Errorf("%d became %d", before, after)
		}
	})
	t.Run("full again by other refunds, and its place taken", func(t *testing.T) {
		m := newMemory(t, 64)
		now := time.Now()
		c := rollingClaim("a", 50, 100, 100, time.Hour)
		first, _ := reserve1(t, m, now, c)
		second, _ := reserve1(t, m, now, c)
		c.Slack = 50
		settle(m, now, c, first, 0)
		settle(m, now, c, second, 0)
		// The bucket is full: its place may be another's now, with everything that was known of its refunds.
		for i := range 5000 {
			reserve1(t, m, now, rollingClaim(fmt.Sprint("f", i), 90, 100, 100, time.Hour))
		}
		reserve1(t, m, now, rollingClaim("a", 95, 100, 100, time.Hour))
		before := left(m, now, "a")
		settle(m, now, c, first, 0) // a second refund of the same deposit, as after a restart of the caller
		if after := left(m, now, "a"); after > before {
			t.Errorf("%d became %d", before, after)
		}
	})
}

// TestRefundsBeyondAnyCounterStayBounded drives the sum of refunds over its limit: a client that reserves a whole month
// and is refused by the model, again and again.
func TestRefundsBeyondAnyCounterStayBounded(t *testing.T) {
	m := newMemory(t, 64)
	now := time.Now()
	const per = 50 * 365 * 24 * time.Hour
	c := rollingClaim("a", 100, 100, 100, per)
	old, _ := reserve1(t, m, now, rollingClaim("a", 0, 100, 100, per))
	for range 10 {
		st, ok := reserve1(t, m, now, c)
		if !ok {
			t.Fatal("the refund did not come back")
		}
		m.Settle(context.Background(), now, ratelimit.ID{}, []ratelimit.Fix{{Claim: c, Mark: st.Mark, Charged: 100, Actual: 0}})
	}
	if _, ok := reserve1(t, m, now, c); !ok {
		t.Fatal("not full")
	}
	m.Settle(context.Background(), now, ratelimit.ID{}, []ratelimit.Fix{{Claim: c, Mark: old.Mark, Charged: 100, Actual: 0}})
	if _, ok := reserve1(t, m, now, rollingClaim("a", 1, 100, 100, per)); ok {
		t.Error("an old mark minted allowance")
	}
}

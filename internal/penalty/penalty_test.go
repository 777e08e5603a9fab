package penalty_test

import (
	"math"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/internal/penalty"
	"github.com/mantlet-go/mantlet/internal/raced"
)

const (
	half  = 10 * time.Minute
	first = 5 * time.Minute
)

func table(change func(*penalty.Config)) *penalty.Table {
	cfg := penalty.Config{Clients: 1 << 12, IPv6Bits: 64, Threshold: 99.9, Parole: 50, HalfLife: half, First: first, Max: time.Hour, Forgive: 24 * time.Hour}
	if change != nil {
		change(&cfg)
	}
	return penalty.New(cfg)
}

// v4 and v6 are the i-th clients; those of IPv6 are in one /32.
func v4(i int) penalty.Key {
	return penalty.KeyOf(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 64)
}
func v6(i int) penalty.Key { return 0x20010db8_00000000 | penalty.Key(uint32(i)) }

func near(a, b float64) bool { return math.Abs(a-b) < 0.001 }

func TestPointsDecayTheThresholdBeginsAPenaltyAndPointsDuringItDoNotCount(t *testing.T) {
	tb, now, eve := table(nil), time.Now(), v4(1)
	add := func(points float64, want time.Duration) {
		t.Helper()
		if got := tb.Add(eve, points, now); got != want {
			t.Errorf("%v points began a penalty of %v", points, got)
		}
	}
	add(80, 0)
	if s := tb.Score(eve, now); !near(s, 80) {
		t.Errorf("score %v", s)
	}
	now = now.Add(half)
	if s := tb.Score(eve, now); !near(s, 40) {
		t.Errorf("score %v after a half-life", s)
	}
	for _, points := range []float64{59, 0, -1, math.NaN()} {
		add(points, 0)
	}
	add(1, first)
	add(1000, 0)
	if st := tb.Stats(now); st.Begun != 1 || st.InForce != 1 || st.InUse != 1 {
		t.Errorf("%+v", st)
	}
	if left := tb.Left(eve, now.Add(first-1)); left != 1 {
		t.Errorf("%v left a nanosecond before the end", left)
	}
	if now = now.Add(first); tb.Left(eve, now) != 0 {
		t.Error("still in")
	}
	if s := tb.Score(eve, now); !near(s, 50) {
		t.Errorf("on parole with %v points", s)
	}
}

func TestPenaltiesGrowUpToTheBoundAndAreForgiven(t *testing.T) {
	tb, now, eve := table(func(c *penalty.Config) { c.First, c.Max, c.Forgive = time.Minute, 10*time.Minute, time.Hour }), time.Now(), v4(1)
	again := func() time.Duration {
		d := tb.Add(eve, 100, now)
		now = now.Add(d)
		return d / time.Minute
	}
	var got []time.Duration
	for range 300 { // also past what the count can hold
		got = append(got, again())
	}
	if !slices.Equal(got[:6], []time.Duration{1, 2, 4, 8, 10, 10}) || slices.Min(got[4:]) != 10 {
		t.Errorf("%v minutes", got)
	}
	now = now.Add(254 * time.Hour)
	if d := again(); d != 2 {
		t.Errorf("%d minutes after good behaviour for all but one", d)
	}
	now = now.Add(1000 * time.Hour)
	if d := again(); d != 1 {
		t.Errorf("%d minutes after good behaviour for ever", d)
	}
}

func TestSetMovesTheEndAndIsOnePenalty(t *testing.T) {
	tb, now, eve := table(nil), time.Now(), v4(1)
	if tb.Set(penalty.Nobody, time.Hour, now) || tb.Set(eve, 0, now) || tb.Set(eve, -1, now) || tb.Left(eve, now) != 0 {
		t.Error("a penalty for nobody, or of no length")
	}
	for _, d := range []time.Duration{time.Hour, time.Minute} {
		if !tb.Set(eve, d, now) || tb.Left(eve, now) != d {
			t.Errorf("%v left, want %v", tb.Left(eve, now), d)
		}
	}
	if l := tb.List(now); len(l) != 1 || l[0].Prefix.String() != "10.0.0.1/32" || !l[0].Until.Equal(now.Add(time.Minute)) || l[0].Strikes != 1 || tb.Stats(now).Begun != 1 {
		t.Errorf("%+v, %+v", l, tb.Stats(now))
	}
	now = now.Add(time.Minute)
	if d := tb.Add(eve, 50, now); d != 2*first || len(tb.List(now.Add(d))) != 0 {
		t.Errorf("the next one is for %v", d)
	}
}

func TestAPenaltyForEverIsOne(t *testing.T) {
	tb := table(func(c *penalty.Config) {
		c.First, c.Max, c.Forgive, c.HalfLife = math.MaxInt64, math.MaxInt64, math.MaxInt64, 1
	})
	early, now := time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	if tb.Add(v4(0), 1000, now) != math.MaxInt64 || !tb.Set(v4(1), math.MaxInt64, now) || !tb.Set(v4(1), math.MaxInt64, now) {
		t.Error("no penalty")
	}
	for i := range 2 {
		if tb.Left(v4(i), now.Add(250*365*24*time.Hour)) <= 0 || tb.Left(v4(i), early) <= 0 { // early: a clock that was read before New
			t.Errorf("%d: %v left", i, tb.Left(v4(i), now))
		}
	}
}

func TestTheLowestScoreGivesWayDecayedToTheSameMoment(t *testing.T) {
	tb, now := table(func(c *penalty.Config) { c.Clients = 1 }), time.Now() // one group
	tb.Add(v4(100), 90, now)
	now = now.Add(5 * half) // now worth 2.8
	for i := range 8 {
		tb.Add(v4(i), 5, now)
	}
	if tb.Score(v4(100), now) != 0 {
		t.Error("an old high score outlived fresh ones")
	}
	for i := range 8 {
		if tb.Score(v4(i), now) == 0 {
			t.Errorf("%d is gone", i)
		}
	}
	if st := tb.Stats(now); st.Evicted != 1 || st.InUse != 8 || st.Slots != 8 {
		t.Errorf("%+v", st)
	}
}

func TestMintedAddressesWashOutNoPenaltyAndTheTableDoesNotGrow(t *testing.T) {
	n := 10_000_000
	if testing.Short() || raced.Enabled {
		n = 300_000
	}
	tb, now := table(nil), time.Now()
	for i := range 64 {
		tb.Add(v4(i), 100, now)
	}
	tb.Add(v4(1000), 90, now) // far above what follows
	i := 0
	if grown := testing.AllocsPerRun(n, func() { tb.Add(v6(i), 20, now); i++ }); grown > 0 {
		t.Errorf("%v allocations each", grown)
	}
	for i := range 64 {
		if tb.Left(v4(i), now) == 0 {
			t.Errorf("%d has washed out its penalty", i)
		}
	}
	if s := tb.Score(v4(1000), now); !near(s, 90) {
		t.Errorf("the higher score gave way to lower ones: %v", s)
	}
	st := tb.Stats(now)
	if st.Slots != 1<<12 || st.InUse != st.Slots/4*3+65 || st.Dropped != 0 || st.Evicted < int64(n-st.Slots) || st.InForce != 64 {
		t.Errorf("%+v", st)
	}
}

func TestATableFullOfPenaltiesSaysSoAndAWholeBlockOfIPv6LeavesAQuarterToIPv4(t *testing.T) {
	for only, want := range map[bool]int{false: 48, true: 64} {
		tb, now := table(func(c *penalty.Config) { c.Clients, c.IPv6Only = 60, only }), time.Now()
		for i := range 10_000 {
			tb.Add(v6(i), 100, now)
		}
		if st := tb.Stats(now); st.Slots != 64 || st.InForce != want || st.Begun != int64(want) || st.Dropped != int64(10_000-want) || len(tb.List(now)) != want {
			t.Errorf("IPv6Only %v: %+v", only, st)
		}
		if stranger := v6(10_000); tb.Set(stranger, time.Hour, now) || tb.Left(stranger, now) != 0 {
			t.Error("there was no place for it")
		}
		if tb.Add(v4(1), 100, now) > 0 == only {
			t.Errorf("IPv6Only %v: a place for IPv4", only)
		}
		if now = now.Add(first); tb.Add(v6(20_000), 100, now) == 0 || tb.Stats(now).InForce != 1 {
			t.Error("the places of penalties that are over are not used again")
		}
	}
}

func TestATableIsQuietWhenNoPenaltyIsInForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tb := table(nil)
		for range 2 {
			if now, quiet := tb.Quiet(); !quiet || !now.IsZero() {
				t.Error("the clock was looked at though there was no penalty")
			}
			tb.Add(v4(1), 100, time.Now())
			time.Sleep(first - 1)
			if now, quiet := tb.Quiet(); quiet || now != time.Now() {
				t.Errorf("quiet during a penalty, at %v", now)
			}
			time.Sleep(time.Hour)
			if _, quiet := tb.Quiet(); !quiet {
				t.Error("not quiet after the last penalty")
			}
		}
	})
}

func TestManyAddAndAskAtOnce(t *testing.T) {
	tb := table(func(c *penalty.Config) {
		c.Clients, c.Threshold, c.Parole, c.HalfLife = 256, 1000-0.001, 500, 1000*time.Hour
	})
	var wg sync.WaitGroup
	for w := range 8 {
		wg.Go(func() {
			for i := range 1000 {
				now := time.Now()
				tb.Add(v6(i*(w%3)), 1, now)
				tb.Left(v6(i), now)
				tb.Quiet()
				if i%100 == 0 {
					tb.List(now)
					tb.Stats(now)
					tb.Forget(v6(i), now)
					tb.Set(v6(i), time.Nanosecond, now)
				}
			}
		})
	}
	for range 1000 {
		tb.Add(v4(1), 1, time.Now())
	}
	wg.Wait()
	if tb.Left(v4(1), time.Now()) == 0 {
		t.Errorf("points were lost: %v", tb.Score(v4(1), time.Now()))
	}
}

package clock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/auth/internal/clock"
	"github.com/mantlet-go/mantlet/auth/internal/clock/clocktest"
)

func TestAgeIsThatOfTheClockThatHasGoneFurther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		since := time.Now()
		time.Sleep(time.Minute)
		now := time.Now()
		if a := clock.Age(since, now); a != time.Minute {
			t.Error(a)
		}
		// Without a monotonic reading the wall clock is all there is, as after a sleep that the monotonic clock has not seen.
		if a := clock.Age(since, now.Round(0).Add(time.Hour)); a != time.Hour+time.Minute {
			t.Error(a)
		}
	})
	now := time.Now() // outside a bubble, where the clocks are two
	if a := clock.Age(now, clocktest.Stepped(now, time.Hour, 2*time.Hour)); a != time.Hour {
		t.Errorf("the wall clock was put back: %v", a)
	}
	if a := clock.Age(now, clocktest.Stepped(now, time.Second, -time.Hour)); a != time.Hour+time.Second {
		t.Errorf("the machine slept: %v", a)
	}
}

func TestAFenceClosesWhatWasBeforeTheWallClockWentBack(t *testing.T) {
	for _, shared := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			f := clock.NewFence(shared)
			begin := time.Now()
			use := func(at, now time.Time, open bool) {
				t.Helper()
				if until, ok := f.Use(at, now); ok != open {
					t.Errorf("shared %v: used %v at %v: %v, closed until %v", shared, at.Sub(begin), now.Sub(begin), ok, until.Sub(begin))
				}
			}
			for range 100 { // a steady clock, and one that is slewed by less than the margin
				use(time.Now().Add(clock.Margin/2), time.Now(), true)
				time.Sleep(time.Minute)
				use(time.Now(), time.Now().Add(-clock.Margin+time.Second), true)
			}
			last := time.Now()
			use(last, last, true)
			use(begin, last, true) // earlier ones change nothing
			time.Sleep(time.Hour)
			// Nobody looked while the clock went on; now it is as late as it was.
			now := func() time.Time { return time.Now().Add(-time.Hour) }
			use(last, now(), false)
			time.Sleep(time.Minute)
			use(now(), now(), !shared) // others may have used it
			time.Sleep(2 * time.Hour)
			use(now(), now(), true) // the clock has passed all that it had shown
			use(last, now(), false)
			// It goes forward, and back again.
			late := time.Now()
			use(late, late, true)
			use(late, late.Add(-time.Minute), false)
		})
	}
}

func TestManySmallStepsBackAreOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := clock.NewFence(false)
		begin := time.Now()
		f.Use(begin, begin)
		for range 10 { // a second each, of clocks that go on for a second: it stands still
			time.Sleep(time.Second)
			f.Use(begin.Add(-time.Hour), begin)
		}
		if _, ok := f.Use(begin, begin); ok {
			t.Error("ten seconds back in ten steps, and all is open")
		}
	})
}

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
	synctest.Test(t, func(t *testing.T) {
		f := clock.NewFence()
		begin := time.Now()
		for range 100 { // a steady clock, and one that is slewed by less than the margin
			f.Used(time.Now().Add(clock.Margin / 2))
			time.Sleep(time.Minute)
			if until := f.Check(time.Now().Add(-clock.Margin + time.Second)); !until.IsZero() {
				t.Fatal(until)
			}
		}
		last := time.Now()
		f.Used(last)
		f.Used(begin) // earlier ones change nothing
		time.Sleep(time.Hour)
		// Nobody looked while the clock went on; now it is as late as it was.
		if until := f.Check(last); !until.Equal(last) {
			t.Errorf("closed until %v; want %v", until, last)
		}
		time.Sleep(time.Hour)
		if until := f.Check(time.Now().Add(-time.Hour)); !until.Equal(last) {
			t.Errorf("an hour later: %v", until)
		}
		// It went forward again, and back again.
		if until := f.Check(time.Now()); !until.Equal(last) {
			t.Errorf("forward: %v", until)
		}
		late := time.Now()
		f.Used(late)
		if until := f.Check(late.Add(-time.Minute)); !until.Equal(late) {
			t.Errorf("back again: %v; want %v", until, late)
		}
	})
}

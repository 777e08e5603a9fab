// Package clock tells how much time has passed where somebody may set the wall clock, or the machine may sleep.
//
// Go counts differences of times on the monotonic clock, which nobody sets and which stands still while a machine sleeps; what tokens and
// proofs say is wall time.
package clock

import (
	"sync"
	"time"
)

// Age is how old something is, by the clock that has gone further: the safe one of the two.
func Age(since, now time.Time) time.Duration {
	return max(now.Sub(since), now.Round(0).Sub(since.Round(0)))
}

// Margin is how far the wall clock may go back, all in all, without being called set back.
const Margin = 5 * time.Second

// Fence remembers the latest moment that was used, and closes what lies before it once the wall clock was set back: what happened
// then may happen again by that clock, and whoever had to remember may have forgotten. It is safe for concurrent use.
type Fence struct {
	mu            sync.Mutex
	shared        bool
	base          time.Time
	ahead         time.Duration // the furthest that the wall clock was ahead of the monotonic one since it was set
	latest, until time.Time
}

// NewFence returns a Fence that is open. One that is shared closes all that the clock has shown, not just what was used here: others, of
// whom it does not know, may have used what it has not.
func NewFence(shared bool) *Fence { return &Fence{shared: shared, base: time.Now()} }

// Use says that something of the moment at is about to be used at the wall time now, and reports whether that is open. If not, until is the
// moment up to which everything is closed.
func (f *Fence) Use(at, now time.Time) (until time.Time, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	since := time.Since(f.base)
	ahead := now.Round(0).Sub(f.base.Round(0)) - since
	if ahead < f.ahead-Margin {
		f.until = f.latest
		if f.shared {
			f.until = f.base.Round(0).Add(since + f.ahead + Margin)
		}
		f.ahead = ahead
	}
	f.ahead = max(f.ahead, ahead)
	if !at.After(f.until) {
		return f.until, false
	}
	if at.After(f.latest) {
		f.latest = at
	}
	return time.Time{}, true
}

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
	base          time.Time
	ahead         time.Duration // the furthest that the wall clock was ahead of the monotonic one since it was set
	latest, until time.Time
}

// NewFence returns a Fence that is open.
func NewFence() *Fence { return &Fence{base: time.Now()} }

// Check returns the moment up to which everything is closed, as seen at the wall time now; zero for nothing.
func (f *Fence) Check(now time.Time) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	ahead := now.Round(0).Sub(f.base.Round(0)) - time.Since(f.base)
	if ahead < f.ahead-Margin {
		f.ahead, f.until = ahead, f.latest
	}
	f.ahead = max(f.ahead, ahead)
	return f.until
}

// Used says that something of this moment was used.
func (f *Fence) Used(at time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if at.After(f.latest) {
		f.latest = at
	}
}

// Package clocktest makes times as a process reads them after somebody has set the wall clock, for tests.
package clocktest

import (
	"time"
	"unsafe"
)

// Stepped is what time.Now returns a while after t, of which t is another reading, when the wall clock was put back meanwhile, in whole
// seconds. A negative back is a clock that was put forward, or a machine that slept, whose monotonic clock stood still.
func Stepped(t time.Time, later, back time.Duration) time.Time {
	u := t.Add(later) // moves both readings
	// The first field of a time with a monotonic reading has the wall seconds above 30 bits of nanoseconds (package time, type Time).
	wall := (*uint64)(unsafe.Pointer(&u))
	*wall -= uint64(back/time.Second) << 30
	if u.Sub(t) != later || u.Round(0).Sub(t.Round(0)) != later-back.Truncate(time.Second) {
		panic("clocktest: package time has another layout")
	}
	return u
}

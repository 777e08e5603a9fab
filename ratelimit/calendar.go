package ratelimit

import (
	"sync/atomic"
	"time"
)

// Period is the length of a calendar window.
type Period uint8

// The calendar windows. They begin at midnight in the limit's Zone; a week begins on Monday (ISO 8601).
const (
	// NoPeriod is the zero value: the limit is not a calendar limit.
	NoPeriod Period = iota
	// Day is from midnight to midnight, 23 to 25 hours where clocks change.
	Day
	// Week is Monday to Sunday.
	Week
	// Month is from the first day of a month to the last.
	Month
)

// String returns "day", "week", "month", or "none".
func (p Period) String() string {
	switch p {
	case Day:
		return "day"
	case Week:
		return "week"
	case Month:
		return "month"
	}
	return "none"
}

// length is the longest the window can be, in seconds. It tells a neighbouring window from a clock gone wrong.
func (p Period) length() int64 {
	switch p {
	case Day:
		return 25 * 3600
	case Week:
		return 7*24*3600 + 3600
	}
	return 31*24*3600 + 3600
}

// window is one calendar window, half open, in Unix seconds.
type window struct{ start, end int64 }

// windowAt returns the window of period p in zone that contains t.
func windowAt(t time.Time, p Period, zone *time.Location) window {
	t = t.In(zone)
	y, m, d := t.Date()
	switch p {
	case Week:
		d -= (int(t.Weekday()) + 6) % 7
		return window{midnight(y, m, d, zone), midnight(y, m, d+7, zone)}
	case Month:
		return window{midnight(y, m, 1, zone), midnight(y, m+1, 1, zone)}
	}
	return window{midnight(y, m, d, zone), midnight(y, m, d+1, zone)}
}

// midnight returns the first second of a day. Where clocks go forward at midnight (Beirut, Havana, once São Paulo) that
// hour does not exist, and time.Date may answer with an instant of the day before; the day then begins at the change.
func midnight(y int, m time.Month, d int, zone *time.Location) int64 {
	t := time.Date(y, m, d, 0, 0, 0, 0, zone)
	noon := time.Date(y, m, d, 12, 0, 0, 0, zone)
	if t.Day() != noon.Day() {
		if _, change := t.ZoneBounds(); !change.IsZero() {
			return change.Unix()
		}
	}
	return t.Unix()
}

// calendar remembers the current window, so that the arithmetic of dates is done once a day.
type calendar struct {
	period Period
	zone   *time.Location
	cached atomic.Pointer[window]
}

// end returns the end of the window of now, in Unix seconds.
func (c *calendar) end(now time.Time) int64 {
	s := now.Unix()
	if w := c.cached.Load(); w != nil && w.start <= s && s < w.end {
		return w.end
	}
	w := windowAt(now, c.period, c.zone)
	c.cached.Store(&w)
	return w.end
}

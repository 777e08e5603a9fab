package ratelimit

import "math/bits"

// Rolling limits are GCRA (ITU-T I.371; also "virtual scheduling"): a bucket is one point in time, the theoretical
// arrival time TAT, at which it will be full again. A cost of c units moves TAT by d(c) = c*Per/Max; a request is
// admitted iff max(TAT, now) + d(c) - now <= d(Burst). Per/Max is rarely a whole number of nanoseconds, and rounding it
// either admits too much (7e9 tokens a minute: 8.57 ns becomes 8) or refuses the last unit of a burst (three a second).
// So a time here is exact: whole nanoseconds and a rest in units of 1/Max ns.

// span is the length of time ns + num/max nanoseconds, 0 <= num < max, where max is the limit's Max.
type span struct {
	ns  int64
	num uint64
}

// maxSpan bounds every length of time (146 years in ns), so that the sum of two never overflows.
const maxSpan = 1 << 62

// spanOf returns cost*per/max exactly; ok is false if it exceeds maxSpan.
func spanOf(cost, per, max int64) (s span, ok bool) {
	hi, lo := bits.Mul64(uint64(cost), uint64(per))
	if hi >= uint64(max) {
		return span{ns: maxSpan}, false
	}
	q, r := bits.Div64(hi, lo, uint64(max))
	if q >= maxSpan {
		return span{ns: maxSpan}, false
	}
	return span{ns: int64(q), num: r}, true
}

// mulDivCeil returns ceil(a*b/c) for non-negative a, b and positive c, or the largest int64.
func mulDivCeil(a, b, c int64) int64 {
	if a <= 0 || b <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi >= uint64(c) {
		return 1<<63 - 1
	}
	q, r := bits.Div64(hi, lo, uint64(c))
	if r > 0 {
		q++
	}
	if q > 1<<63-1 {
		return 1<<63 - 1
	}
	return int64(q)
}

func (s span) add(t span, max uint64) span {
	s.ns += t.ns
	s.num += t.num
	if s.num >= max {
		s.num -= max
		s.ns++
	}
	if s.ns > maxSpan {
		return span{ns: maxSpan}
	}
	return s
}

// sub needs t <= s or accepts a negative ns.
func (s span) sub(t span, max uint64) span {
	s.ns -= t.ns
	if s.num < t.num {
		s.num += max
		s.ns--
	}
	s.num -= t.num
	return s
}

func (s span) less(t span) bool { return s.ns < t.ns || s.ns == t.ns && s.num < t.num }

// ceil returns whole nanoseconds, rounded up.
func (s span) ceil() int64 {
	if s.num > 0 {
		return s.ns + 1
	}
	return s.ns
}

// units returns how many whole units fit into s: floor((ns + num/max) * max / per).
func (s span) units(per, max int64) int64 {
	if s.ns < 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(s.ns), uint64(max))
	var carry uint64
	lo, carry = bits.Add64(lo, s.num, 0)
	hi += carry
	if hi >= uint64(per) {
		return 1<<63 - 1
	}
	q, _ := bits.Div64(hi, lo, uint64(per))
	return int64(min(q, 1<<63-1))
}

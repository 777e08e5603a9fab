package ratelimit

import (
	"sync"
	"sync/atomic"
)

// Stats is what a Limiter has done since it was made. The sums are exact whenever no request is in flight:
// Used == Reported + Estimated, to the unit.
type Stats struct {
	// Reservations counts requests that were admitted.
	Reservations int64
	// Refused counts requests that were not, for whatever reason.
	Refused int64
	// Settled counts reservations that ended with a usage, Cancelled those that ended with none.
	Settled, Cancelled int64
	// Outstanding is Reservations - Settled - Cancelled: what is in flight or was detached.
	Outstanding int64
	// ShadowRefused counts how often a shadow limit would have refused.
	ShadowRefused int64
	// TopUps counts further slices granted to requests that outgrew their reservation.
	TopUps int64
	// Cut counts streams ended at their budget.
	Cut int64
	// Charged is what was charged for the reservations that have ended, before they were settled.
	Charged Usage
	// Used is what they were settled with.
	Used Usage
	// Reported is the part of Used that came from replies that reported their usage or from Settle.
	Reported Usage
	// Estimated is the rest: usage of replies that did not say.
	Estimated Usage
}

// stripe is a part of the counters, so that cores do not fight over one cache line.
type stripe struct {
	reservations, refused, shadow, topUps, cut atomic.Int64

	mu                      sync.Mutex
	settled, cancelled      int64
	charged, used, reported Usage
	_                       [64]byte
}

func (s *stripe) settle(was, actual *Usage, known, cancelled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if cancelled {
		s.cancelled++
	} else {
		s.settled++
	}
	s.charged = s.charged.Add(*was)
	s.used = s.used.Add(*actual)
	if known {
		s.reported = s.reported.Add(*actual)
	}
}

// Stats returns the counters. Values of requests in flight may be counted in part.
func (l *Limiter) Stats() Stats {
	var t Stats
	for i := range l.stripes {
		s := &l.stripes[i]
		t.Reservations += s.reservations.Load()
		t.Refused += s.refused.Load()
		t.ShadowRefused += s.shadow.Load()
		t.TopUps += s.topUps.Load()
		t.Cut += s.cut.Load()
		s.mu.Lock()
		t.Settled += s.settled
		t.Cancelled += s.cancelled
		t.Charged = t.Charged.Add(s.charged)
		t.Used = t.Used.Add(s.used)
		t.Reported = t.Reported.Add(s.reported)
		s.mu.Unlock()
	}
	t.Outstanding = t.Reservations - t.Settled - t.Cancelled
	t.Estimated = Usage{
		Requests: t.Used.Requests - t.Reported.Requests, Input: t.Used.Input - t.Reported.Input,
		CachedInput: t.Used.CachedInput - t.Reported.CachedInput, Output: t.Used.Output - t.Reported.Output,
		MicroUSD: t.Used.MicroUSD - t.Reported.MicroUSD,
	}
	return t
}

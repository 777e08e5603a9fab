package ratelimit

import (
	"net/http"
	"strconv"
	"time"
)

// The fields of draft-ietf-httpapi-ratelimit-headers-10: Lists of Strings with parameters (RFC 9651), q and w in the
// policy, r and t in the state. Limit names are letters, digits, '-', '_' and '.', so they need no escaping. Only limits of
// the caller's own are shown: the level of a shared bucket would tell one tenant what the others do.

const (
	headerPolicy = "Ratelimit-Policy" // canonical form of RateLimit-Policy
	headerState  = "Ratelimit"

	longWait = time.Minute // beyond it clients must not sleep inside a call
	maxDelta = 999_999_999_999_999
)

// shown reports whether a limit appears in headers.
func (l *limit) shown() bool { return !l.Shadow && l.By.own() }

// policyField is the RateLimit-Policy of a plan; empty if nothing is shown.
func policyField(p *plan) string {
	var b []byte
	for i := range p.limits {
		l := &p.limits[i]
		if !l.shown() {
			continue
		}
		if len(b) > 0 {
			b = append(b, ", "...)
		}
		b = append(b, '"')
		b = append(b, l.Name...)
		b = append(b, `";q=`...)
		b = strconv.AppendInt(b, min(l.Max, maxDelta), 10)
		switch {
		case l.kind == Parallel:
			b = append(b, `;qu="concurrent-requests"`...)
			continue
		case l.kind == Calendar:
			b = append(b, ";w="...)
			b = strconv.AppendInt(b, map[Period]int64{Day: 86400, Week: 604800, Month: 2592000}[l.Calendar], 10)
		case l.Per%time.Second == 0: // w is in whole seconds; it is optional
			b = append(b, ";w="...)
			b = strconv.AppendInt(b, int64(l.Per/time.Second), 10)
		}
		if u := l.Cost.unit(); u != "" {
			b = append(b, `;qu="`...)
			b = append(b, u...)
			b = append(b, '"')
		}
	}
	return string(b)
}

// appendState appends the RateLimit field for the limits in mask.
func appendState(b []byte, p *plan, states []State, mask uint8) []byte {
	start := len(b)
	for i := range states {
		l, st := &p.limits[i], &states[i]
		if mask>>i&1 == 0 || !l.shown() {
			continue
		}
		if len(b) > start {
			b = append(b, ", "...)
		}
		b = append(b, '"')
		b = append(b, l.Name...)
		b = append(b, `";r=`...)
		b = strconv.AppendInt(b, min(max(st.Remaining, 0), l.Max, maxDelta), 10)
		if l.kind == Parallel {
			continue
		}
		t := st.Reset
		if !st.OK && st.Wait > 0 {
			t = st.Wait // on refusal t must not be later than Retry-After
		}
		b = append(b, ";t="...)
		b = strconv.AppendInt(b, seconds(t), 10)
	}
	return b
}

// seconds rounds up.
func seconds(d time.Duration) int64 {
	if d <= 0 {
		return 0
	}
	return int64((d-1)/time.Second) + 1
}

// setState writes RateLimit and RateLimit-Policy; value is where the first keeps its value. With add, what a limiter further
// in has written stays.
func (p *plan) setState(h http.Header, value *[1]string, states []State, mask uint8, add bool) {
	if p.policy == "" {
		return
	}
	var buf [256]byte
	b := appendState(buf[:0], p, states, mask)
	if add {
		h[headerPolicy] = append(h[headerPolicy], p.policy)
		if len(b) > 0 {
			h[headerState] = append(h[headerState], string(b))
		}
		return
	}
	h[headerPolicy] = p.policyValue[:1:1]
	if len(b) > 0 {
		value[0] = string(b)
		h[headerState] = value[:]
	} else {
		delete(h, headerState)
	}
}

// refusalHeader is what a 429 carries. The wait is given in whole seconds, rounded up and at least 1, and in
// milliseconds for clients that know retry-after-ms. x-should-retry: false tells the client libraries of OpenAI and Anthropic to
// hand the error to their caller instead of sleeping for an hour or hammering.
func (l *Limiter) refusalHeader(e *LimitError) http.Header {
	h := make(http.Header, 6)
	h["Cache-Control"] = []string{"no-store"}
	if !e.Never {
		ms := max(int64((e.RetryAfter+time.Millisecond-1)/time.Millisecond), 1)
		h["Retry-After"] = []string{strconv.FormatInt(max(seconds(e.RetryAfter), 1), 10)}
		h["Retry-After-Ms"] = []string{strconv.FormatInt(ms, 10)}
	}
	if e.Never || e.RetryAfter > longWait {
		h["X-Should-Retry"] = []string{"false"}
	}
	if !l.http.omitHeaders && e.states != nil {
		e.plan.setState(h, new([1]string), e.states, e.refuse, false)
	}
	return h
}

// quota reports whether the refusal is one of a quota that will not be back soon.
func (e *LimitError) quota() bool {
	if e.Never {
		return true
	}
	for i := range e.plan.limits {
		if e.refuse>>i&1 == 1 && e.plan.limits[i].kind == Calendar && e.RetryAfter > longWait {
			return true
		}
	}
	return false
}

package ratelimit

import (
	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/sse"
)

// plausible bounds the token counts a reply may report for one request. A larger number is not believed, and the text
// is measured instead: no context window comes near it, and believing it would lock the caller out for years.
const plausible = 1_000_000_000

// meter stands in the way out of one request. It reads usage, stops what exceeds the budget, and settles at the end.
type meter struct {
	l      *Limiter
	x      *exchange.Exchange
	tokens bool // the plan counts tokens or money
	est    Usage
	format sse.Format
	stream bool
	cut    bool

	doc     bool // the reply is a JSON document
	refused bool // the reply is the refusal of a room further in
	alone   bool // the client was gone when the status was said
	encoded bool // the reply is under a content coding: its bytes say nothing
	ended   bool // the reply was complete: a whole document, or a stream that said so

	seen   dialect.Usage // the latest totals the reply reported
	since  int64         // bytes of text since then; a stream event with text counts as one token at least
	text   int64         // bytes of text in all
	res    *Reservation
	states []State   // one for each limit of the plan, as decided
	value  [1]string // of the RateLimit field
}

// meter1 and meter4 are all that a request needs in one allocation.
type meter1 struct {
	meter
	r reservation1
	s [1]State
}

type meter4 struct {
	meter
	r reservation4
	s [4]State
}

func newMeter(limits int) *meter {
	switch {
	case limits == 1:
		m := new(meter1)
		m.r.hs = m.r.h[:]
		m.res, m.states = &m.r.Reservation, m.s[:]
		return &m.meter
	case limits <= 4:
		m := new(meter4)
		m.r.hs = m.r.h[:limits]
		m.res, m.states = &m.r.Reservation, m.s[:limits]
		return &m.meter
	}
	return &meter{res: newReservation(limits), states: make([]State, limits)}
}

// Header implements [exchange.Tap].
func (m *meter) Header(o exchange.Out, status int) exchange.Mode {
	m.fields(o)
	m.refused, m.alone = o.Refused(), m.x.Err() != nil
	if status >= 400 || m.x.Dialect() == dialect.Unknown && !m.tokens {
		return exchange.Pass
	}
	m.encoded = exchange.Encoded(o.Header())
	if f, ok := exchange.IsStream(o.Header()); ok {
		m.format, m.stream = f, true
		o.Stream()
		return exchange.Frames
	}
	if m.doc = exchange.IsJSON(o.Header()); m.doc {
		return exchange.Collect
	}
	return exchange.Frames // nothing to read here, but its length is all there is to go by
}

// fields writes RateLimit and RateLimit-Policy: over what an upstream has sent, beside what a limiter further in has.
func (m *meter) fields(o exchange.Out) {
	if m.l.http.omitHeaders {
		return
	}
	m.res.mu.Lock()
	inner := m.res.inner
	m.res.mu.Unlock()
	p := m.res.plan
	p.setState(o.Header(), &m.value, m.states, 0xff, inner || o.Refused())
}

// Body implements [exchange.Tap].
func (m *meter) Body(o exchange.Out, b *exchange.Body) error {
	if b.Kind == exchange.Doc {
		m.read(b)
		return nil // mode Collect: it has passed already
	}
	if m.cut {
		return nil
	}
	seen, since, text := m.seen, m.since, m.text
	more := m.read(b)
	if m.tokens && m.stream {
		err := m.res.cover(m.total())
		// Only text is worth stopping: when the excess shows in the closing events there is nothing left to save.
		if err != nil && more && !m.l.http.skipCut {
			m.seen, m.since, m.text = seen, since, text // the event that did not fit is neither sent nor charged
			m.end(o, err)
			return nil
		}
	}
	return o.Send(b)
}

// read takes in what a piece says. It reports whether the piece brought text and more may follow: a piece that also carries
// the finish reason is the last one anyway.
func (m *meter) read(b *exchange.Body) bool {
	if m.encoded {
		m.text += int64(len(b.Data))
		return true
	}
	f := b.Facts(m.x)
	var text int64
	switch {
	case f == nil && b.Kind == exchange.Frame && !b.HasPayload:
		// a comment
	case f == nil:
		text = int64(len(b.Data)) // not JSON, or cut short
	default:
		for i := range f.Texts {
			t := &f.Texts[i]
			switch {
			case t.Kind == dialect.Token: // repeats the prose
			case b.Kind == exchange.Frame && t.Whole && !t.Copy && m.text > 0: // repeats what was streamed
			case t.Kind == dialect.Opaque:
				// encrypted reasoning, audio: not text, and its length says little
			default:
				text += int64(t.End - t.Start)
			}
		}
	}
	m.text += text
	if text > 0 && b.Kind == exchange.Frame {
		// A server sends an event for each token, however short: digits and brackets would be four for the price of one.
		m.since += max(text, bytesPerOutput)
	} else {
		m.since += text
	}
	m.ended = m.ended || f != nil && (f.Terminal || len(f.Finish) > 0 || b.Kind == exchange.Doc)
	if f != nil && f.Usage.Known && f.Usage.Input <= plausible && f.Usage.Output <= plausible {
		before := m.seen.Output
		m.seen.Merge(f.Usage)
		if m.seen.Output > before || text == 0 && m.seen.Output > 0 {
			m.since = 0 // the reply's own count covers everything up to here
		}
	}
	return text > 0 && (f == nil || len(f.Finish) == 0 && !f.Terminal)
}

// total is what was used so far, as far as anybody knows.
func (m *meter) total() Usage {
	u := Usage{Requests: 1, Input: m.est.Input, Output: m.seen.Output + tokensOf(m.since)}
	if m.seen.Known && m.seen.Input > 0 {
		u.Input, u.CachedInput = m.seen.Input, m.seen.CachedInput
	}
	return u
}

// tokensOf is how many tokens n bytes of generated text are taken for.
func tokensOf(n int64) int64 { return (n + bytesPerOutput - 1) / bytesPerOutput }

// assumed is the estimate, raised to what is known to have been used at least.
func (m *meter) assumed(least Usage) Usage {
	u := m.est.atLeast(least)
	if m.res.plan.money {
		u.MicroUSD = max(u.MicroUSD, m.res.ext.price.cost(u))
	}
	return u
}

// known reports whether the reply itself said all of total.
func (m *meter) known() bool {
	// A reply with text that reports no output is not believed.
	return m.seen.Known && m.since == 0 && (m.seen.Output > 0 || m.text == 0)
}

// end closes the stream properly and stops the handler.
func (m *meter) end(o exchange.Out, cause error) {
	m.cut = true
	m.l.stripes[m.res.stripe].cut.Add(1)
	t := m.total()
	final := o.Stream().AppendFinish(nil, m.format, dialect.Usage{Input: t.Input, CachedInput: t.CachedInput, Output: t.Output, Known: true})
	if len(final) > 0 {
		o.SendFrames(final)
	}
	o.Flush()
	o.Stop(nil) // the handler's further writes vanish: the client has its final event
	m.x.Cancel(cause)
}

// End implements [exchange.Tap].
func (m *meter) End(o exchange.Out, how exchange.Outcome) {
	r := m.res
	if how == exchange.Completed && o.Status() == 0 {
		m.fields(o) // nothing was written: net/http will answer 200 with these headers
		m.refused = o.Refused()
	}
	r.mu.Lock()
	detached := r.detached
	r.mu.Unlock()
	if !detached {
		actual, known := m.outcome(o, how)
		r.finish(actual, known, false)
	}
	defer m.logShadow()
	used, known, done := r.ended()
	if !done || m.refused || !known && !m.tokens {
		return // a room inside refused and nothing was used, or this limiter knows nothing of tokens
	}
	if _, told := m.x.Usage(); told && !known {
		return // a limiter further in knows as much or more
	}
	m.x.SetUsage(exchange.Usage{Input: used.Input, CachedInput: used.CachedInput, Output: used.Output, MicroUSD: used.MicroUSD,
		Known: known, Estimated: !known})
}

// outcome says what the request is charged when the handler has not said so itself.
func (m *meter) outcome(o exchange.Out, how exchange.Outcome) (actual Usage, known bool) {
	r := m.res
	r.mu.Lock()
	reported, granted := r.reported, r.granted
	r.mu.Unlock()
	facts := m.x.Response()
	status := o.Status()
	request := Usage{Requests: 1}
	left := facts.Aborted || m.x.Err() != nil
	switch {
	case m.cut:
		return m.total(), false
	case (m.text == 0 || m.doc) && left && status < 400 && !m.refused && !m.ended && (m.tokens || m.x.Dialect() != dialect.Unknown):
		// Left before a word was seen, or in the middle of a document that was all made before it was sent: what was counted up to
		// there is not what the model has used.
		return m.assumed(m.total().atLeast(reported)), false
	case m.known():
		u := m.total()
		return u, true
	case how == exchange.Hijacked:
		// Nobody knows what went over the connection. A handler that does reports it, or detaches.
		return m.assumed(reported), false
	case m.refused, status >= 400 && status < 500 && !m.alone:
		r.mu.Lock()
		r.failed = reported == Usage{}
		r.mu.Unlock()
		return request.atLeast(reported), false // nothing was generated
	case status >= 400:
		// Timed out, broken, or written for nobody: a proxy whose client is gone says 502. The work was ordered, and none of
		// this says that it was not done; or hanging up early would make it free.
		return m.assumed(reported), false
	case m.encoded:
		return m.assumed(Usage{Output: tokensOf(max(m.text, facts.Bytes))}.atLeast(reported)), false
	case m.text > 0 || facts.Bytes > 0 && status != 0:
		if m.x.Dialect() == dialect.Unknown && !m.tokens {
			return request.atLeast(reported), false
		}
		u := m.total()
		if m.text == 0 {
			// Nothing was readable. The length of the reply bounds it, and so does what was reserved for it.
			u.Output = min(tokensOf(facts.Bytes), granted.Output)
		} else if !m.stream {
			u.Output = min(u.Output, max(granted.Output, 1))
		}
		return u.atLeast(reported), false
	case how == exchange.Panicked || o.Exchange().Err() != nil:
		// Dead or alone before the first byte: the model may have worked all the while. The handler can say otherwise.
		return m.assumed(reported), false
	}
	u := request
	u.Input = m.est.Input
	return u.atLeast(reported), false
}

package ratelimit

import (
	"context"
	"sync"
	"time"

	"github.com/mantlet-go/mantlet/internal/exchange"
)

// Reservation is a charge that stands until it is corrected. Exactly one of Settle, Cancel, and the automatic
// outcome at the end of an HTTP handler takes effect, the first; the others do nothing. All methods are safe for
// concurrent use, and do nothing on a nil Reservation.
type Reservation struct {
	l    *Limiter
	plan *plan
	prev *Reservation // of a limiter further out on the same HTTP request
	hs   []hold       // one for each limit of the plan
	ext  *extension

	mu       sync.Mutex
	granted  Usage // what is charged so far; after the end, what was settled
	reported Usage // by Report
	stripe   uint8
	done     bool
	known    bool // done, and somebody reported what was settled
	topping  bool
	detached bool
	failed   bool // the reply was an error: not even a flat price is due
	inner    bool // a limiter further in has reserved too
}

// extension holds what most reservations do not need.
type extension struct {
	price  Price   // of the model, when the plan counts money
	claims []Claim // one for each limit, for a store that is not in memory
}

// hold is one limit's charge. charged < 0: a shadow limit that would have refused was not charged.
type hold struct {
	h1, h2  uint64
	charged int64
	mark    Mark
}

// reservation1 and reservation4 are a Reservation and its holds in one allocation.
type reservation1 struct {
	Reservation
	h [1]hold
}

type reservation4 struct {
	Reservation
	h [4]hold
}

func newReservation(limits int) *Reservation {
	switch {
	case limits == 1:
		r := new(reservation1)
		r.hs = r.h[:]
		return &r.Reservation
	case limits <= 4:
		r := new(reservation4)
		r.hs = r.h[:limits]
		return &r.Reservation
	}
	return &Reservation{hs: make([]hold, limits)}
}

func (r *Reservation) take(i int, o *op, st *State) {
	h := &r.hs[i]
	h.h1, h.h2, h.charged, h.mark = o.h1, o.h2, o.cost, st.Mark
	if !st.OK {
		h.charged = -1
		r.l.stripes[r.stripe].shadow.Add(1)
	}
}

// FromContext returns the reservation of an HTTP request that passed [Limiter.Handler]. Where several limiters stand in
// front of a handler it is the innermost's; Report, Settle and Cancel reach all of them.
func FromContext(ctx context.Context) (*Reservation, bool) {
	x := exchange.From(ctx)
	if x == nil {
		return nil, false
	}
	r, ok := x.Reservation().(*Reservation)
	return r, ok
}

// Report says what the request has used so far, in total. Totals only grow: a smaller one changes nothing. When the total
// exceeds what was reserved, more is reserved, in slices; ErrExhausted (or an error of the store) means that the limits
// do not allow it: stop generating. What was reported is charged in any case, even when the handler dies without settling.
func (r *Reservation) Report(total Usage) error {
	var first error
	for ; r != nil; r = r.prev {
		total := total.clamp()
		r.mu.Lock()
		r.reported = r.reported.atLeast(total)
		total = r.reported
		r.mu.Unlock()
		if err := r.cover(total); err != nil && first == nil {
			first = err
		}
	}
	return first
}

// cover tops the charge up so that total is covered.
func (r *Reservation) cover(total Usage) error {
	r.mu.Lock()
	if r.done || r.topping {
		r.mu.Unlock()
		return nil
	}
	granted := r.granted
	want := granted.atLeast(total)
	want.Requests = granted.Requests
	if r.plan.money {
		want.MicroUSD = max(want.MicroUSD, r.ext.price.cost(want))
	}
	if want == granted {
		r.mu.Unlock()
		return nil
	}
	r.topping = true
	r.mu.Unlock()
	// The store may be far away: no lock is held while it is asked. topping keeps a second caller out.
	slice := want
	if over := want.Output - granted.Output; over > 0 && over < r.l.topUp {
		slice.Output = addSat(granted.Output, r.l.topUp)
		if r.plan.money {
			slice.MicroUSD = max(slice.MicroUSD, r.ext.price.cost(slice))
		}
	}
	err := r.extend(slice.clamp())
	if err == ErrExhausted && slice != want {
		err = r.extend(want.clamp()) // the last tokens before the limit are the client's too
	}
	r.mu.Lock()
	r.topping = false
	r.mu.Unlock()
	return err
}

// extend charges the difference between want and what is granted. Only one runs at a time, so it alone changes charges.
func (r *Reservation) extend(want Usage) error {
	l := r.l
	var deltas [MaxClaims]int64
	var applied [MaxClaims]bool
	holds := r.hs
	n := len(holds)
	some := false
	for i := range holds {
		lim := &r.plan.limits[i]
		if lim.kind == Parallel || holds[i].charged < 0 {
			continue
		}
		if d := max(lim.Cost.of(&want), 1) - holds[i].charged; d > 0 {
			deltas[i], some = d, true
		}
	}
	if some {
		ok, err := l.charge(r, deltas[:n], applied[:n])
		if err != nil {
			// Closed: a stream does not run on without limits because the store is away.
			return &storeError{err}
		}
		if !ok {
			return ErrExhausted
		}
		l.stripes[r.stripe].topUps.Add(1)
	}
	r.mu.Lock()
	over := r.done
	if !over {
		r.granted = want
		for i := range holds {
			if applied[i] {
				// The mark stays that of the first charge: a refund is then bounded by the oldest deposit, never by a
				// newer one that has leaked less.
				holds[i].charged = addSat(holds[i].charged, deltas[i])
			}
		}
	}
	r.mu.Unlock()
	if over && some {
		l.uncharge(r, deltas[:n], applied[:n]) // settled while the store was asked: this slice belongs to nobody
	}
	return nil
}

// charge debits deltas all or none.
func (l *Limiter) charge(r *Reservation, deltas []int64, applied []bool) (bool, error) {
	now := time.Now()
	holds := r.hs
	if l.mem != nil {
		var ops [MaxClaims]op
		var st [MaxClaims]State
		var which [MaxClaims]int
		n := 0
		for i, d := range deltas {
			if d == 0 {
				continue
			}
			lim := &r.plan.limits[i]
			ops[n] = op{h1: holds[i].h1, h2: holds[i].h2, p: &lim.par, cost: d}
			if lim.cal != nil {
				ops[n].end = lim.cal.end(now)
			}
			which[n] = i
			n++
		}
		ok, err := l.mem.reserve(now, ops[:n], st[:n])
		for j := range n {
			applied[which[j]] = ok && st[j].OK
		}
		return ok, err
	}
	var claims []Claim
	var which []int
	for i, d := range deltas {
		if d != 0 {
			c := r.ext.claims[i]
			r.plan.limits[i].claim(&c, now)
			c.Cost = d
			claims, which = append(claims, c), append(which, i)
		}
	}
	st := make([]State, len(claims))
	ok, err := l.store.Reserve(context.Background(), now, l.nextID(), claims, st)
	for j, i := range which {
		applied[i] = ok && err == nil && st[j].OK
	}
	return ok, err
}

// uncharge gives a slice back. The first mark bounds it too: it is older.
func (l *Limiter) uncharge(r *Reservation, deltas []int64, applied []bool) {
	var charged, actual [MaxClaims]int64
	for i := range deltas {
		if applied[i] {
			charged[i] = deltas[i]
		} else {
			charged[i] = -1
		}
	}
	l.fix(r, charged[:len(deltas)], actual[:len(deltas)])
}

// fix corrects charges; a negative one is left alone.
func (l *Limiter) fix(r *Reservation, charged, actual []int64) {
	now := time.Now()
	holds := r.hs
	if l.mem != nil {
		for i := range charged {
			if charged[i] < 0 {
				continue
			}
			lim := &r.plan.limits[i]
			o := op{h1: holds[i].h1, h2: holds[i].h2, p: &lim.par}
			if lim.cal != nil {
				o.end = lim.cal.end(now)
			}
			l.mem.settle(now, &o, holds[i].mark, charged[i], actual[i])
		}
		return
	}
	var fixes []Fix
	for i := range charged {
		if charged[i] < 0 {
			continue
		}
		c := r.ext.claims[i]
		r.plan.limits[i].claim(&c, now)
		fixes = append(fixes, Fix{Claim: c, Mark: holds[i].mark, Charged: charged[i], Actual: actual[i]})
	}
	id := l.nextID()
	// The request may be gone; what it used is not. One repetition, which the id makes harmless.
	err := l.store.Settle(context.Background(), now, id, fixes)
	if err != nil {
		err = l.store.Settle(context.Background(), now, id, fixes)
	}
	if err != nil {
		loggerOr(l.log).Error("ratelimit: settlement lost, the estimate stays charged", "error", err)
	}
}

// Settle replaces the charge by what was used: less gives back what a rolling limit can give without minting allowance
// (see Limit.Slack), more becomes debt that is paid before anything else is admitted. Requests of zero counts as
// one; MicroUSD of zero is computed from Config.Prices.
func (r *Reservation) Settle(actual Usage) {
	for ; r != nil; r = r.prev {
		u := actual.clamp()
		u.Requests = max(u.Requests, 1)
		r.finish(u, true, false)
	}
}

// Cancel gives the whole charge back: nothing was used.
func (r *Reservation) Cancel() {
	for ; r != nil; r = r.prev {
		r.finish(Usage{}, false, true)
	}
}

// Detach takes the reservation out of the hands of the HTTP middleware: it will not be settled when the handler returns.
// For hijacked connections and jobs that go on. Whoever detaches must Settle or Cancel; a Parallel slot is held until then.
func (r *Reservation) Detach() {
	for ; r != nil; r = r.prev {
		r.mu.Lock()
		r.detached = true
		r.mu.Unlock()
	}
}

// finish ends the reservation; it reports whether it was the first to do so. known tells a usage that
// somebody reported from one that was estimated, for the sums.
func (r *Reservation) finish(actual Usage, known, cancelled bool) bool {
	r.mu.Lock()
	if r.done {
		r.mu.Unlock()
		return false
	}
	r.done, r.known = true, known
	if r.plan.money && actual.MicroUSD == 0 && !cancelled && !r.failed {
		actual.MicroUSD = r.ext.price.cost(actual)
	}
	was := r.granted
	r.granted = actual
	var charged, target [MaxClaims]int64
	holds := r.hs
	n := len(holds)
	for i := range holds {
		charged[i] = holds[i].charged
		target[i] = r.plan.limits[i].Cost.of(&actual)
	}
	r.mu.Unlock()
	r.l.fix(r, charged[:n], target[:n])
	r.l.stripes[r.stripe].settle(&was, &actual, known, cancelled)
	return true
}

// ended returns what the reservation ended with, and whether that was reported or estimated.
func (r *Reservation) ended() (used Usage, known, done bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.granted, r.known, r.done
}

package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/mantlet-go/mantlet/internal/exchange"
)

const defaultMaxWait = 10 * time.Second

// Slots is how many requests may run at once, and who waits for how long.
type Slots struct {
	// Max is how many requests run at once; required.
	Max int
	// Queue is how many more may wait for a slot; zero means none, and a request without a slot is refused at once.
	Queue int
	// MaxWait is the longest a request waits, for pace and slot together; zero means 10 s. A shorter deadline of
	// the request's context comes first.
	MaxWait time.Duration
	// Pace, when not zero, spreads the starts of requests out: this many requests per second, on average. It delays and does not
	// refuse, unless the delay would exceed MaxWait.
	Pace float64
	// PaceBurst is how many may start together; zero means 1. Only with Pace.
	PaceBurst int
}

// BulkheadConfig says how many requests a backend takes at once. A ship's bulkhead keeps a leak in one compartment: a slow model
// fills its own slots and nobody else's.
type BulkheadConfig struct {
	// Slots are those of every model without an entry in PerModel, together. Slots.Max has no safe default.
	Slots
	// PerModel gives models slots of their own, by exact name. Names a client makes up share the Slots above.
	PerModel map[string]Slots
	// Subject says whose request it is, for fairness, and which model's; nil means the authenticated caller, else the
	// client address, and the model of the body.
	Subject func(*http.Request) Subject
	// TrustedProxies are the proxies whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix
	// MaxBody is how much of a body is read to find the model, when PerModel is set and nobody read it before; in
	// bytes, zero means 4 MiB.
	MaxBody int64
	// Deny replaces the reply to a refused request; err wraps ErrOverloaded. The headers are already set.
	Deny func(w http.ResponseWriter, r *http.Request, err error)
	// Logger gets refusals, at level Debug because a client can cause any number of them, and at level Error those of a Bulkhead
	// that was not made by NewBulkhead; nil means slog.Default() at that moment.
	Logger *slog.Logger
}

// Bulkhead limits how many requests run at once, per model, with a bounded queue that is fair between clients: slots go
// round the waiting clients, one each, whoever sends most. It is made by [NewBulkhead] and safe for concurrent use. The
// zero value refuses everything.
type Bulkhead struct {
	shared   *compartment
	perModel map[string]*compartment
	http     httpConfig
	log      *slog.Logger
}

// NewBulkhead makes a Bulkhead. It reports every fault of the configuration at once.
func NewBulkhead(cfg BulkheadConfig) (*Bulkhead, error) {
	var errs []error
	b := &Bulkhead{perModel: make(map[string]*compartment, len(cfg.PerModel)), log: cfg.Logger}
	b.shared = newCompartment("BulkheadConfig.Slots", cfg.Slots, &errs)
	for name, s := range cfg.PerModel {
		b.perModel[name] = newCompartment(fmt.Sprintf("BulkheadConfig.PerModel[%q]", name), s, &errs)
	}
	errs = append(errs, b.http.init(&Config{Subject: cfg.Subject, TrustedProxies: cfg.TrustedProxies, MaxBody: cfg.MaxBody, Deny: cfg.Deny})...)
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return b, nil
}

func newCompartment(field string, s Slots, errs *[]error) *compartment {
	fail := func(format string, a ...any) {
		*errs = append(*errs, fmt.Errorf("ratelimit: "+field+format, a...))
	}
	if s.Max < 1 {
		fail(".Max %d is less than 1", s.Max)
	}
	if s.Queue < 0 {
		fail(".Queue %d is negative", s.Queue)
	}
	if s.MaxWait < 0 {
		fail(".MaxWait %v is negative", s.MaxWait)
	}
	if s.Pace < 0 || math.IsNaN(s.Pace) || math.IsInf(s.Pace, 0) {
		fail(".Pace %v is not a number of requests per second", s.Pace)
	}
	if s.PaceBurst < 0 || s.PaceBurst > 0 && s.Pace == 0 {
		fail(".PaceBurst %d is negative or without Pace", s.PaceBurst)
	}
	c := &compartment{max: s.Max, limit: s.Queue, wait: s.MaxWait, clients: make(map[string]*line)}
	if c.wait == 0 {
		c.wait = defaultMaxWait
	}
	if s.Pace > 0 {
		c.pace = rate.NewLimiter(rate.Limit(s.Pace), max(s.PaceBurst, 1))
	}
	return c
}

// Acquire waits for a slot for the given model on behalf of client, any string that tells clients apart. release must be
// called exactly when the work is done, best with defer; calling it again does nothing. The error wraps ErrOverloaded,
// or is the cause of ctx's end.
func (b *Bulkhead) Acquire(ctx context.Context, client, model string) (release func(), err error) {
	if b == nil || b.shared == nil {
		return nil, errNoBulkhead
	}
	c := b.compartment(model)
	if err := c.acquire(ctx, client); err != nil {
		return nil, err
	}
	return sync.OnceFunc(c.release), nil
}

var errNoBulkhead = errors.New("ratelimit: Bulkhead was not made by NewBulkhead")

func (b *Bulkhead) compartment(model string) *compartment {
	if c := b.perModel[model]; c != nil {
		return c
	}
	return b.shared
}

// BulkheadStats is the state of one compartment.
type BulkheadStats struct {
	// Running requests hold a slot, Waiting ones are queued.
	Running, Waiting int
	// Admitted counts slots given, Overflow requests refused because the queue was full, TimedOut those that waited
	// too long, and Gone those whose client left or whose deadline passed.
	Admitted, Overflow, TimedOut, Gone int64
}

// Stats returns the state of the compartment that serves model.
func (b *Bulkhead) Stats(model string) BulkheadStats {
	if b == nil || b.shared == nil {
		return BulkheadStats{}
	}
	c := b.compartment(model)
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Running, s.Waiting = c.running, c.waiting
	return s
}

// Handler gives next a slot for each request and takes it back when next returns, panics, or ends its goroutine; also after
// a hijack. A request that gets none is answered 503 with a Retry-After of one second: it is the service that is full,
// not the caller's limit.
//
// It panics when next is nil.
func (b *Bulkhead) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("ratelimit: Bulkhead.Handler: next is nil")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		if b == nil || b.shared == nil {
			b.refuse(x, w, r, errNoBulkhead)
			return
		}
		client, model, err := b.who(x, w, r)
		if err != nil {
			b.refuse(x, w, r, err)
			return
		}
		c := b.compartment(model)
		if err := c.acquire(r.Context(), client); err != nil {
			b.refuse(x, w, r, err)
			return
		}
		defer c.release()
		next.ServeHTTP(w, r)
	})
}

// compartment is a set of slots and the queue for them.
type compartment struct {
	max, limit int
	wait       time.Duration
	pace       *rate.Limiter

	mu      sync.Mutex
	running int
	waiting int
	clients map[string]*line // clients that wait
	turn    *line            // whose turn it is: a ring
	stats   BulkheadStats
}

// line is the waiting requests of one client, first come first served; a member of the ring of clients.
type line struct {
	client      string
	first, last *waiter
	n           int
	prev, next  *line
}

type waiter struct {
	ready      chan error // capacity 1: nil is a slot, an error the loss of the place
	line       *line      // nil once out of the queue
	prev, next *waiter
}

func (c *compartment) acquire(ctx context.Context, client string) error {
	if ctx.Err() != nil {
		return context.Cause(ctx) // do not take a slot for somebody who left
	}
	deadline := time.Now().Add(c.wait)
	if err := c.keepPace(ctx, deadline); err != nil {
		return err
	}
	c.mu.Lock()
	if c.running < c.max && c.waiting == 0 {
		c.running++
		c.stats.Admitted++
		c.mu.Unlock()
		return nil
	}
	if c.waiting >= c.limit && !c.makeRoom(client) {
		c.stats.Overflow++
		c.mu.Unlock()
		return ErrOverloaded
	}
	w := &waiter{ready: make(chan error, 1)}
	c.push(client, w)
	c.mu.Unlock()

	timer := time.NewTimer(time.Until(deadline))
	defer timer.Stop()
	select {
	case err := <-w.ready:
		return err
	case <-ctx.Done():
		return c.leave(w, context.Cause(ctx), &c.stats.Gone)
	case <-timer.C:
		return c.leave(w, ErrOverloaded, &c.stats.TimedOut)
	}
}

// keepPace waits until the pace allows another start.
func (c *compartment) keepPace(ctx context.Context, deadline time.Time) error {
	if c.pace == nil {
		return nil
	}
	now := time.Now()
	res := c.pace.ReserveN(now, 1)
	delay := res.DelayFrom(now)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	if !res.OK() || delay > deadline.Sub(now) {
		res.CancelAt(now)
		c.mu.Lock()
		c.stats.TimedOut++
		c.mu.Unlock()
		return ErrOverloaded
	}
	if delay == 0 {
		return nil
	}
	timer := time.NewTimer(delay)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		res.Cancel()
		c.mu.Lock()
		c.stats.Gone++
		c.mu.Unlock()
		return context.Cause(ctx)
	}
}

// release hands the slot to the next client in turn, or frees it.
func (c *compartment) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.turn == nil {
		c.running--
		return
	}
	l := c.turn
	c.turn = l.next // the next slot is the next client's
	w := l.first
	c.remove(w)
	c.stats.Admitted++
	w.ready <- nil
}

// leave takes w out of the queue. A slot that was handed over at the same moment goes on to the next.
func (c *compartment) leave(w *waiter, err error, count *int64) error {
	c.mu.Lock()
	*count++
	if w.line != nil {
		c.remove(w)
		c.mu.Unlock()
		return err
	}
	c.mu.Unlock()
	if got := <-w.ready; got == nil {
		c.release()
	}
	return err
}

// makeRoom drops the youngest waiter of the client that has most of them, if client has fewer by two or more: a
// client that fills the queue must not keep the others out of it.
func (c *compartment) makeRoom(client string) bool {
	if c.turn == nil {
		return false
	}
	own := 0
	if l := c.clients[client]; l != nil {
		own = l.n
	}
	most := c.turn
	for l := c.turn.next; l != c.turn; l = l.next {
		if l.n > most.n {
			most = l
		}
	}
	if most.n < own+2 {
		return false
	}
	w := most.last
	c.remove(w)
	c.stats.Overflow++
	w.ready <- ErrOverloaded
	return true
}

func (c *compartment) push(client string, w *waiter) {
	l := c.clients[client]
	if l == nil {
		l = &line{client: client}
		c.clients[client] = l
		if c.turn == nil {
			l.prev, l.next = l, l
			c.turn = l
		} else { // behind everybody who waits
			l.next, l.prev = c.turn, c.turn.prev
			l.prev.next, l.next.prev = l, l
		}
	}
	w.line, w.prev = l, l.last
	if l.last != nil {
		l.last.next = w
	} else {
		l.first = w
	}
	l.last = w
	l.n++
	c.waiting++
}

func (c *compartment) remove(w *waiter) {
	l := w.line
	if w.prev != nil {
		w.prev.next = w.next
	} else {
		l.first = w.next
	}
	if w.next != nil {
		w.next.prev = w.prev
	} else {
		l.last = w.prev
	}
	w.line, w.prev, w.next = nil, nil, nil
	l.n--
	c.waiting--
	if l.n > 0 {
		return
	}
	delete(c.clients, l.client)
	if l.next == l {
		c.turn = nil
		return
	}
	l.prev.next, l.next.prev = l.next, l.prev
	if c.turn == l {
		c.turn = l.next
	}
}

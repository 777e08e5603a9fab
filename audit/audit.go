package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mantlet-go/mantlet/internal/exchange"
)

// Backpressure says what happens when a sink does not keep up and its queue is full.
type Backpressure uint8

const (
	// FailClosed, the zero value, runs no handler that cannot be recorded: room for the line is set aside in the queue of
	// every required sink before the handler runs. Without room within Config.Wait the request is refused with 503,
	// Retry-After and the code "overloaded", and counted in an audit.gap line. A trail with silent holes is no evidence,
	// so this is the default; who prefers answers over evidence says so with Block or Drop.
	FailClosed Backpressure = iota
	// Block runs every request. When its line finds no room, the end of the request waits up to Config.Wait; then the line
	// is dropped and counted.
	Block
	// Drop never waits: a line that finds no room is dropped and counted.
	Drop
)

// String gives the name of the policy.
func (b Backpressure) String() string {
	switch b {
	case FailClosed:
		return "fail closed"
	case Block:
		return "block"
	case Drop:
		return "drop"
	}
	return "Backpressure(" + strconv.Itoa(int(b)) + ")"
}

// Config is the configuration of a Log. The zero value of every field but Sinks is the safe default.
type Config struct {
	// Sinks are where the lines go, each through a queue of its own. At least one is needed, at most 32. The Log closes
	// them; when Open fails they stay open.
	Sinks []Sink

	// Capture gives requests a capture level; the first rule that matches decides. Empty means CaptureMetadata for all.
	Capture []Rule
	// Seal encrypts a captured body for CaptureEncrypted. It returns printable ASCII (a Fernet token is; encode anything
	// else) of at most twice the plain text and 4 KiB, and must not keep the slice. It is called at the end of a request,
	// on its goroutine, by many requests at once. When it fails the event says so and holds no body.
	Seal func(plaintext []byte) ([]byte, error)
	// InsecurePlaintext permits CapturePlain: prompts of people in a file anyone with access can read.
	InsecurePlaintext bool

	// Identify says how addresses and callers are written.
	Identify Identify
	// TrustedProxies are the proxies whose X-Forwarded-For or Forwarded header is believed. Empty means none: the client
	// is the peer of the connection. When another room has resolved the address before, its answer stands.
	TrustedProxies []netip.Prefix

	// Backpressure is what to do when a queue is full; zero is FailClosed.
	Backpressure Backpressure
	// Wait bounds the waiting for room (FailClosed, Block). Zero means 100 ms, negative means not at all.
	Wait time.Duration
	// MaxQueueBytes bounds the lines waiting for one sink, promises included; zero means 64 MiB, or 256 of the longest
	// possible lines if that is more. Under FailClosed each request under way holds a promise of 8 KiB, with payload
	// captures twice the largest Rule.MaxBytes and 12 KiB; so this also bounds their number: 8,192 by default.
	MaxQueueBytes int
	// MaxQueueEvents bounds the same as a number of lines; zero means 65,536.
	MaxQueueEvents int
	// Flush is how long a line may wait for others before the sink is called. Zero means not at all: what comes while a
	// Write runs forms the next batch. At most 10 s; it is also how much a crash can lose at most when Ack is
	// AckEnqueued and the sinks keep up.
	Flush time.Duration

	// Ack is what must have happened to a line before Record, or the handler of the middleware, returns. Zero is
	// AckEnqueued. With another class every sink that promises it is waited for (at least one must), bytes of the response
	// that the handler flushed are not held back.
	Ack Ack
	// AckWait bounds that waiting; zero means 5 s. An event not acknowledged by then is counted in Stats.Unacknowledged
	// and stays queued.
	AckWait time.Duration

	// IgnoreReplies leaves the bodies of replies alone. By default the middleware reads the replies of the APIs it knows (by
	// path) as they pass, for usage, finish reason and the time of the first token; nothing is held back, but a JSON
	// reply is copied (up to 4 MiB) until it has ended. Facts that other rooms leave are used either way.
	IgnoreReplies bool

	// Logger is told of failing sinks, once in ten seconds per sink. Nil means what slog.Default returns at that
	// moment. It must not end in a sink of this Log.
	Logger *slog.Logger
}

// Log records what happens. Make one with Open; close it after the server has shut down. It is safe for concurrent use.
//
// The zero Log refuses: its Handler answers 503 and its Record returns ErrClosed.
type Log struct {
	queues   []*queue
	identity identity
	rules    rules
	proxies  *exchange.Proxies
	mode     Backpressure
	wait     time.Duration
	ack      Ack
	ackWait  time.Duration
	lineMax  int
	noReply  bool
	pool     *sync.Pool // of *encoder

	closed  atomic.Bool
	events  atomic.Uint64
	skipped atomic.Uint64
	unacked atomic.Uint64
}

const maxSinks = 32

// Open checks the configuration, reporting all its faults together, and starts one goroutine per sink.
func Open(cfg Config) (*Log, error) {
	l := &Log{mode: cfg.Backpressure, wait: cfg.Wait, ack: cfg.Ack, ackWait: cfg.AckWait, noReply: cfg.IgnoreReplies}
	l.pool = &sync.Pool{New: func() any { return new(encoder) }}
	var errs []error
	fault := func(format string, args ...any) { errs = append(errs, fmt.Errorf("audit: "+format, args...)) }

	if n := len(cfg.Sinks); n == 0 || n > maxSinks {
		fault("Sinks: %d given, want 1 to %d", n, maxSinks)
	}
	reached := cfg.Ack == AckEnqueued
	for i, s := range cfg.Sinks {
		if s == nil {
			fault("Sinks[%d] is nil", i)
			continue
		}
		reached = reached || ackOf(s) >= cfg.Ack
	}
	switch {
	case cfg.Ack > AckSynced:
		fault("Ack %d: no such class", cfg.Ack)
	case !reached && len(cfg.Sinks) > 0:
		fault("Ack %s: no required sink promises it", cfg.Ack)
	}
	var err error
	if l.identity, err = newIdentity(cfg.Identify); err != nil {
		errs = append(errs, err)
	}
	if l.rules, err = newRules(&cfg); err != nil {
		errs = append(errs, err)
	}
	l.lineMax = lineMax(l.rules.maxBytes)
	if l.proxies, err = exchange.NewProxies(cfg.TrustedProxies); err != nil {
		fault("%w", err)
	}
	if cfg.Backpressure > Drop {
		fault("Backpressure %d: no such policy", cfg.Backpressure)
	}
	maxBytes, maxLines := cfg.MaxQueueBytes, cfg.MaxQueueEvents
	if maxBytes == 0 {
		maxBytes = max(64<<20, 256*l.lineMax)
	}
	if maxLines == 0 {
		maxLines = 64 << 10
	}
	if maxBytes < l.lineMax {
		fault("MaxQueueBytes %d: one line may take %d", cfg.MaxQueueBytes, l.lineMax)
	}
	if maxLines < 1 {
		fault("MaxQueueEvents %d: want at least 1", cfg.MaxQueueEvents)
	}
	if cfg.Flush < 0 || cfg.Flush > 10*time.Second {
		fault("Flush %v: want 0 to 10s", cfg.Flush)
	}
	if l.wait == 0 {
		l.wait = 100 * time.Millisecond
	}
	if cfg.AckWait < 0 {
		fault("AckWait %v: want 0 or more", cfg.AckWait)
	}
	if l.ackWait == 0 {
		l.ackWait = 5 * time.Second
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	for i, s := range cfg.Sinks {
		q := &queue{
			name: nameOf(s, i), sink: s, best: isBestEffort(s), maxBytes: maxBytes, maxLines: maxLines,
			flush: cfg.Flush, logger: cfg.Logger,
			wake: make(chan struct{}, 1), closing: make(chan struct{}), done: make(chan struct{}),
		}
		if cfg.Ack > AckEnqueued && ackOf(s) >= cfg.Ack {
			q.ack = cfg.Ack
		}
		q.ctx, q.abandon = context.WithCancel(context.WithValue(context.Background(), reentry{}, true))
		l.queues = append(l.queues, q)
	}
	for _, q := range l.queues {
		go q.run()
	}
	return l, nil
}

// Record records an event that is not an HTTP request and returns nil when every required sink has it in the class of
// Config.Ack. It returns ErrInvalidEvent, ErrClosed, ErrOverloaded, ErrNotAcknowledged or ErrReentrant; after
// ErrInvalidEvent and ErrReentrant nothing was recorded or counted anywhere. ctx bounds the waiting, together with
// Config.Wait and AckWait; it does not cancel an event that is queued.
func (l *Log) Record(ctx context.Context, ev Event) error {
	if l == nil || l.pool == nil || l.closed.Load() {
		return ErrClosed
	}
	if ctx.Value(reentry{}) != nil {
		return ErrReentrant
	}
	if err := checkName(ev.Name); err != nil {
		return err
	}
	if ev.Time.IsZero() {
		ev.Time = time.Now()
	}
	if ev.Stage == "" {
		ev.Stage = StageEvent
	}
	e := l.newEncoder()
	e.ev = ev
	e.event(&l.identity)
	err := l.submit(ctx, e.buf, 0, l.mode != Drop, gapFull)
	l.pool.Put(e)
	return err
}

func (l *Log) newEncoder() *encoder {
	e := l.pool.Get().(*encoder)
	e.reset()
	return e
}

// hold sets room aside in every required queue, or in none.
func (l *Log) hold(ctx context.Context) bool {
	var expired <-chan time.Time
	for i, q := range l.queues {
		if q.best {
			continue
		}
		for {
			ok, full := q.hold(l.lineMax)
			if ok {
				break
			}
			if full != nil && l.wait > 0 {
				if expired == nil {
					timer := time.NewTimer(l.wait)
					defer timer.Stop()
					expired = timer.C
				}
				select {
				case <-full:
					continue
				case <-expired:
				case <-ctx.Done():
				}
			}
			l.release(i)
			return false
		}
	}
	return true
}

// release gives back what hold set aside in the first n queues.
func (l *Log) release(n int) {
	for _, q := range l.queues[:n] {
		if !q.best {
			q.release(l.lineMax)
		}
	}
}

// submit offers a line to every queue. held says how much of each required queue was set aside for it. The first round
// never waits, so that a full queue does not keep the line from the others.
func (l *Log) submit(ctx context.Context, line []byte, held int, mayWait bool, reason string) error {
	l.events.Add(1)
	var (
		tickets [maxSinks]*ticket
		waiting uint32 // queues to try again
		full    <-chan struct{}
		lost    bool
	)
	for i, q := range l.queues {
		h := held
		if q.best {
			h = 0
		}
		ok, t, room := q.push(line, h, q.ack > AckEnqueued)
		switch {
		case ok:
			tickets[i] = t
		case room != nil && mayWait && !q.best && l.wait > 0:
			waiting |= 1 << i
		default:
			q.drop(reason)
			lost = lost || !q.best
		}
	}
	if waiting != 0 {
		timer := time.NewTimer(l.wait)
		defer timer.Stop()
		expired := false
		for i, q := range l.queues {
			for waiting&(1<<i) != 0 {
				var ok bool
				if ok, tickets[i], full = q.push(line, 0, q.ack > AckEnqueued); ok {
					break
				}
				if full == nil || expired {
					q.drop(reason)
					lost = true
					break
				}
				select {
				case <-full:
				case <-timer.C:
					expired = true
				case <-ctx.Done():
					expired = true
				}
			}
		}
	}
	switch {
	case lost && l.closed.Load():
		return ErrClosed
	case lost:
		return ErrOverloaded
	case l.ack > AckEnqueued:
		return l.await(ctx, tickets[:len(l.queues)])
	}
	return nil
}

// await waits until the sinks have confirmed.
func (l *Log) await(ctx context.Context, tickets []*ticket) error {
	timer := time.NewTimer(l.ackWait)
	defer timer.Stop()
	for _, t := range tickets {
		if t == nil {
			continue
		}
		select {
		case <-t.done:
			if t.stored {
				continue
			}
		case <-timer.C:
		case <-ctx.Done():
		}
		l.unacked.Add(1)
		return ErrNotAcknowledged
	}
	return nil
}

// Close stops recording, writes what is queued, closes the sinks and waits for all of that until ctx ends. Call it after the
// server's Shutdown: a request still under way is counted as dropped when it ends, and under FailClosed a new one is
// refused.
//
// When ctx ends first, Close returns at once with an error that names the sinks not done. Their Write is told by its own
// context; what they then do not take is counted as dropped, and what hangs inside them stays Pending. A sink that fails
// is given some attempts more and then up. A second Close waits for the same end and returns the same.
func (l *Log) Close(ctx context.Context) error {
	if l == nil {
		return nil
	}
	l.closed.Store(true)
	for _, q := range l.queues {
		q.close(ctx)
	}
	var errs []error
	for _, q := range l.queues {
		select {
		case <-q.done:
		default:
			select {
			case <-q.done:
			case <-ctx.Done():
				errs = append(errs, fmt.Errorf("audit: sink %s is not done: %w", q.name, ctx.Err()))
				continue
			}
		}
		q.mu.Lock()
		if q.closeErr != nil {
			errs = append(errs, fmt.Errorf("audit: closing sink %s: %w", q.name, q.closeErr))
		}
		if q.lost > 0 {
			errs = append(errs, fmt.Errorf("audit: sink %s did not take the last %d events", q.name, q.lost))
		}
		q.mu.Unlock()
	}
	for _, q := range l.queues {
		q.abandon()
	}
	return errors.Join(errs...)
}

// Stats is what has become of the events so far.
type Stats struct {
	// Events counts all events, recorded or not; each sink is offered every one of them.
	Events uint64
	// Skipped counts the requests that CaptureNone kept out. They are no events.
	Skipped uint64
	// Unacknowledged counts events that no sink confirmed in time.
	Unacknowledged uint64
	// Sinks are in the order of Config.Sinks.
	Sinks []SinkStats
}

// SinkStats is the account of one sink. At any time Offered == Written + Dropped + Pending, exactly.
type SinkStats struct {
	// Name is the name of the sink.
	Name string
	// Offered counts the events meant for this sink.
	Offered uint64
	// Written counts the events it stored.
	Written uint64
	// Dropped counts the events it will never have; each is also in an audit.gap line, except after Close.
	Dropped uint64
	// Pending counts the events in the queue, or in a Write that has not returned.
	Pending uint64
	// Gaps counts audit.gap lines; they are not events.
	Gaps uint64
	// Errors counts failed Writes.
	Errors uint64
	// QueueBytes and QueueEvents say how much is waiting now, gap lines included; Held how many promises are open.
	QueueBytes, QueueEvents, Held int
}

// Stats gives the account. Each sink's part is consistent in itself.
func (l *Log) Stats() Stats {
	if l == nil {
		return Stats{}
	}
	s := Stats{Events: l.events.Load(), Skipped: l.skipped.Load(), Unacknowledged: l.unacked.Load()}
	for _, q := range l.queues {
		s.Sinks = append(s.Sinks, q.snapshot())
	}
	return s
}

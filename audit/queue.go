package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

const (
	maxBatchBytes = 1 << 20 // one Write gets about this much, or one longer line
	keepBuffer    = 4 << 20 // a larger buffer left by a burst is given back
	firstPause    = 50 * time.Millisecond
	longestPause  = 5 * time.Second
	complainEvery = 10 * time.Second // a failing sink is reported to Config.Logger at most this often
	closingTries  = 5                // attempts per piece once the Log is closing
)

// The words of x.gap.reason.
const (
	gapFull     = "queue_full"    // the queue had no room within Config.Wait
	gapRefused  = "refused"       // a request was refused (503) because there was no room to record it
	gapRejected = "rejected"      // the sink will never take the line
	gapMixed    = "several"       // more than one of these
	gapClosing  = "closed_unsent" // the Log was closed before the sink took the line
)

// reentry marks the context a sink is called with.
type reentry struct{}

// queue stands between the requests and one sink. Requests append finished lines under a short lock; one goroutine, the
// committer, takes all that has gathered and gives it to the sink. While a Write runs the next batch grows: this is the
// whole of group commit.
//
// Invariant under mu: offered == written + dropped + pending, in events; gap lines are not events.
type queue struct {
	name     string
	sink     Sink
	best     bool // best effort: never waited for
	ack      Ack  // what this sink promises, when the Log waits for that
	maxBytes int
	maxLines int
	flush    time.Duration
	logger   *slog.Logger

	ctx     context.Context // for Write; carries reentry; cancelled when Close gives up
	abandon context.CancelFunc
	wake    chan struct{} // 1: something to do
	closing chan struct{} // closed by close
	done    chan struct{} // closed when the committer is gone

	mu        sync.Mutex
	active    batch
	spare     []byte
	bytes     int // in active and in the batch being written
	lines     int
	heldBytes int // promised to requests that are under way
	heldLines int
	gap       gap
	room      chan struct{} // closed when there is more room; nil while nobody waits
	closed    bool
	closeCtx  context.Context
	closeErr  error
	lost      uint64 // dropped because of Close
	stats     SinkStats

	complained time.Time // committer only
}

// batch is what goes to the sink next.
type batch struct {
	buf    []byte
	lines  int     // events and gap lines
	gaps   []int   // offsets of the gap lines
	ticket *ticket // nil while nobody waits
}

// ticket is what those wait on who want their event acknowledged. stored is set before done is closed.
type ticket struct {
	done   chan struct{}
	stored bool
}

// gap counts what is missing at this place of the sink's lines.
type gap struct {
	count       uint64
	first, last time.Time
	reason      string
}

func (q *queue) fits(n int) bool {
	return q.bytes+q.heldBytes+n <= q.maxBytes && q.lines+q.heldLines < q.maxLines
}

// hold promises room for one line of up to n bytes. full is a channel that closes when there may be room; nil after Close.
func (q *queue) hold(n int) (ok bool, full <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		return false, nil
	}
	if q.fits(n) {
		q.heldBytes += n
		q.heldLines++
		return true, nil
	}
	return false, q.waitRoom()
}

// release takes a promise back unused.
func (q *queue) release(n int) {
	q.mu.Lock()
	q.heldBytes -= n
	q.heldLines--
	q.madeRoom()
	q.mu.Unlock()
}

// push appends a line, using a promise of held bytes if that is not 0. wait asks for a ticket.
func (q *queue) push(line []byte, held int, wait bool) (ok bool, t *ticket, full <-chan struct{}) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		if held > 0 {
			q.heldBytes -= held
			q.heldLines--
		}
		return false, nil, nil
	}
	if held > 0 {
		q.heldBytes -= held
		q.heldLines--
	} else if !q.fits(len(line)) {
		return false, nil, q.waitRoom()
	}
	q.stats.Offered++
	wasEmpty := len(q.active.buf) == 0
	if q.gap.count > 0 {
		q.writeGap() // what is missing is missing before this line
	}
	before := q.bytes
	q.active.buf = append(q.active.buf, line...)
	q.active.lines++
	q.bytes += len(line)
	q.lines++
	q.stats.Pending++
	if wait {
		if q.active.ticket == nil {
			q.active.ticket = &ticket{done: make(chan struct{})}
		}
		t = q.active.ticket
	}
	if held > len(line) && q.room != nil {
		q.madeRoom()
	}
	if wasEmpty || before < q.maxBytes/2 && q.bytes >= q.maxBytes/2 || q.lines == q.maxLines/2 {
		q.poke()
	}
	return true, t, nil
}

// drop counts one event that will not be stored.
func (q *queue) drop(reason string) {
	q.mu.Lock()
	q.stats.Offered++
	q.stats.Dropped++
	if !q.closed { // after Close there is no next line to tell of it; Stats still does
		q.addGap(1, reason)
		q.poke()
	}
	q.mu.Unlock()
}

func (q *queue) addGap(n uint64, reason string) {
	now := time.Now()
	if q.gap.count == 0 {
		q.gap.first, q.gap.reason = now, reason
	} else if q.gap.reason != reason {
		q.gap.reason = gapMixed
	}
	q.gap.count += n
	q.gap.last = now
}

// writeGap turns the count into a line of the active batch. It may go over the bounds of the queue by gapReserve: saying
// that something is missing must not need the room that is missing.
func (q *queue) writeGap() {
	e := encoder{buf: q.active.buf}
	start := len(e.buf)
	e.open(time.Now(), "audit.gap", StageGap)
	e.num(fGapCount, int64(q.gap.count))
	e.buf = appendTime(append(e.buf, prefixes[fGapFirst]...), q.gap.first)
	e.buf = appendTime(append(e.buf, prefixes[fGapLast]...), q.gap.last)
	e.str(fGapReason, q.gap.reason)
	e.str(fGapSink, q.name)
	e.close()
	q.active.gaps = append(q.active.gaps, start)
	q.active.buf = e.buf
	q.active.lines++
	q.bytes += len(e.buf) - start
	q.lines++
	q.gap = gap{}
	q.stats.Gaps++
}

func (q *queue) waitRoom() <-chan struct{} {
	if q.room == nil {
		q.room = make(chan struct{})
	}
	return q.room
}

func (q *queue) madeRoom() {
	if q.room != nil {
		close(q.room)
		q.room = nil
	}
}

func (q *queue) poke() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

// close begins the end: nothing is accepted any more, the committer drains what is there and closes the sink.
func (q *queue) close(ctx context.Context) {
	q.mu.Lock()
	if !q.closed {
		q.closed = true
		q.closeCtx = ctx
		q.madeRoom()
		close(q.closing)
	}
	q.mu.Unlock()
}

func (q *queue) snapshot() SinkStats {
	q.mu.Lock()
	defer q.mu.Unlock()
	s := q.stats
	s.Name, s.QueueBytes, s.QueueEvents, s.Held = q.name, q.bytes, q.lines, q.heldLines
	return s
}

// run is the committer.
func (q *queue) run() {
	defer close(q.done)
	for {
		b, ok := q.take()
		if !ok {
			break
		}
		q.commit(b)
	}
	err := q.closeSink()
	q.mu.Lock()
	q.closeErr = err
	q.mu.Unlock()
}

// take gives what has gathered, waiting for it; false when the queue is closed and empty.
func (q *queue) take() (batch, bool) {
	for {
		q.mu.Lock()
		ready, closed := len(q.active.buf) > 0 || q.gap.count > 0, q.closed
		q.mu.Unlock()
		if ready && !closed && q.flush > 0 {
			// Let the batch grow, but not beyond half of the queue.
			timer := time.NewTimer(q.flush)
			for grow := true; grow; {
				select {
				case <-timer.C:
					grow = false
				case <-q.closing:
					grow = false
				case <-q.wake:
					q.mu.Lock()
					grow = q.bytes < q.maxBytes/2 && q.lines < q.maxLines/2
					q.mu.Unlock()
				}
			}
			timer.Stop()
		}
		if ready {
			q.mu.Lock()
			if q.gap.count > 0 {
				q.writeGap()
			}
			b := q.active
			q.active = batch{buf: q.spare[:0]}
			q.spare = nil
			q.mu.Unlock()
			return b, true
		}
		if closed {
			return batch{}, false
		}
		select {
		case <-q.wake:
		case <-q.closing:
		}
	}
}

// commit gives a batch to the sink until every line is stored or counted as lost.
func (q *queue) commit(b batch) {
	var (
		offset   int // of what is not settled yet
		complete = true
		size     = maxBatchBytes
		pause    = firstPause
		tries    int
	)
	for offset < len(b.buf) {
		piece, n := cutLines(b.buf[offset:], size)
		err := q.write(Batch{Lines: piece, Count: n})
		stored := n
		if err != nil {
			stored = 0
			if p := (*PartialError)(nil); errors.As(err, &p) {
				stored = min(max(p.Lines, 0), n)
			}
		}
		if stored > 0 {
			end := offset + lengthOf(piece, stored)
			q.settle(&b, offset, end, true, "")
			offset = end
			size, pause, tries = maxBatchBytes, firstPause, 0
		}
		if err == nil || stored == n {
			continue
		}
		q.complain(err)
		if errors.Is(err, ErrRejected) {
			if n-stored == 1 {
				end := offset + lengthOf(b.buf[offset:], 1)
				q.settle(&b, offset, end, false, gapRejected)
				offset, complete = end, false
				size = maxBatchBytes
			} else {
				size = 1 // find the one that it does not like
			}
			continue
		}
		tries++
		if !q.pause(&pause, tries) {
			q.settle(&b, offset, len(b.buf), false, gapClosing)
			complete = false
			break
		}
	}
	if b.ticket != nil {
		b.ticket.stored = complete
		close(b.ticket.done)
	}
	q.mu.Lock()
	if q.spare == nil && cap(b.buf) <= keepBuffer {
		q.spare = b.buf[:0]
	}
	q.mu.Unlock()
}

// settle accounts for the lines between two offsets of a batch.
func (q *queue) settle(b *batch, from, to int, stored bool, reason string) {
	lines := bytes.Count(b.buf[from:to], newline)
	events := uint64(lines)
	for _, at := range b.gaps {
		if at >= from && at < to {
			events--
		}
	}
	q.mu.Lock()
	q.bytes -= to - from
	q.lines -= lines
	q.stats.Pending -= events
	if stored {
		q.stats.Written += events
	} else {
		q.stats.Dropped += events
		if reason == gapClosing {
			q.lost += events
		}
		if !q.closed && events > 0 {
			q.addGap(events, reason)
		}
	}
	q.madeRoom()
	q.mu.Unlock()
}

// pause waits before the next attempt, longer each time. False means to give up: the Log is closing, and either its Close
// has run out of time or the sink has had its chances.
func (q *queue) pause(d *time.Duration, tries int) bool {
	if q.ctx.Err() != nil {
		return false
	}
	timer := time.NewTimer(*d)
	defer timer.Stop()
	*d = min(*d*2, longestPause)
	select {
	case <-q.closing:
		if tries >= closingTries {
			return false
		}
		select {
		case <-timer.C:
		case <-q.ctx.Done():
			return false
		}
	default:
		select {
		case <-timer.C:
		case <-q.closing: // try again at once: the file may have room by now
		}
	}
	return true
}

// write calls the sink. A panic in it is an error like another: it must not end the process, nor this goroutine.
func (q *queue) write(b Batch) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("audit: sink %s panicked in Write: %v", q.name, p)
		}
	}()
	return q.sink.Write(q.ctx, b)
}

func (q *queue) closeSink() (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("audit: sink %s panicked in Close: %v", q.name, p)
		}
	}()
	q.mu.Lock()
	ctx := q.closeCtx
	q.mu.Unlock()
	return q.sink.Close(ctx)
}

// complain tells the operator of a failing sink, never through a sink of this Log and never more than once in a while: a
// full disk must not fill the other disk with complaints.
func (q *queue) complain(err error) {
	now := time.Now()
	q.mu.Lock()
	q.stats.Errors++
	s := q.stats
	q.mu.Unlock()
	if !q.complained.IsZero() && now.Sub(q.complained) < complainEvery {
		return
	}
	q.complained = now
	logger := q.logger
	if logger == nil {
		logger = slog.Default() // as it is now: programs set it up after they have opened their Log
	}
	logger.LogAttrs(context.Background(), slog.LevelError, "audit sink fails", slog.String("sink", q.name),
		slog.String("error", err.Error()), slog.Uint64("errors", s.Errors), slog.Uint64("dropped", s.Dropped),
		slog.Uint64("pending", s.Pending))
}

// cutLines gives the first whole lines of at most size bytes together, at least one, and their number.
func cutLines(buf []byte, size int) ([]byte, int) {
	if len(buf) > size {
		end := bytes.LastIndexByte(buf[:size], '\n')
		if end < 0 {
			end = bytes.IndexByte(buf, '\n')
		}
		buf = buf[:end+1]
	}
	return buf, bytes.Count(buf, newline)
}

// lengthOf gives the length of the first n lines.
func lengthOf(buf []byte, n int) int {
	end := 0
	for ; n > 0; n-- {
		end += bytes.IndexByte(buf[end:], '\n') + 1
	}
	return end
}

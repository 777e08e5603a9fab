package exchange

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/sse"
)

// ErrClosed is what a write returns after the handler it was made for has returned.
var ErrClosed = errors.New("exchange: write after the handler returned")

// errFrameTooLong ends a stream whose event cannot be inspected.
var errFrameTooLong = fmt.Errorf("exchange: stream event longer than %d bytes", MaxFrame)

// level is one place in the way out. The base level stands on a foreign ResponseWriter; every other one has a tap and leads
// outward to the next. The handler inside writes to the innermost.
type level struct {
	x     *Exchange
	outer *level // nil for a base
	tap   Tap    // nil for a base

	// base only
	w        http.ResponseWriter
	r        *http.Request
	first    bool // the exchange's own base: response facts are taken here
	hijack   bool
	refused  bool // what this writer carries is the refusal of a room
	implicit bool // the header going out now is that of a Write without a WriteHeader

	wrote     bool // a final header has arrived here
	sent      bool // and has gone outward
	delivered bool // the Doc has been handed over
	shared    bool // mode Collect that holds, because a tap further out holds anyway
	mode      Mode
	status    int
	stopped   error
	doc       []byte
	held      http.Header // mode Whole: the header as it was when the status was said
	closed    atomic.Bool
	work      *work
}

// work is what a level needs once a tap reads the body.
type work struct {
	parser  sse.Parser
	framing bool
	chunk   Body // the piece of the Write that is going on
	frame   Body // the event that is going out
}

func (l *level) scratch() *work {
	if l.work == nil {
		l.work = new(work)
	}
	return l.work
}

// stand makes l the base on w.
func (l *level) stand(x *Exchange, w http.ResponseWriter, r *http.Request) {
	l.x, l.w, l.r, l.first = x, w, r, true
}

func (l *level) root() *level {
	for l.outer != nil {
		l = l.outer
	}
	return l
}

// owner is implemented by every wrapper this package hands out.
type owner interface{ exchangeLevel() *level }

func (l *level) exchangeLevel() *level { return l }

// levelOf returns the level behind w when w is x's own wrapper, else nil.
func levelOf(w http.ResponseWriter, x *Exchange) *level {
	if o, ok := w.(owner); ok && o.exchangeLevel().x == x {
		return o.exchangeLevel()
	}
	return nil
}

// behind returns the level that a write to w reaches, through the writers of others that say what they stand on.
func (x *Exchange) behind(w http.ResponseWriter) *level {
	for range 32 {
		if l := levelOf(w, x); l != nil {
			return l
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return nil
		}
		w = u.Unwrap()
	}
	return nil
}

// Serve runs next with tap standing at this place; a nil tap just runs next. When w is not the exchange's own wrapper
// (somebody else's middleware wrapped in between) the tap gets a layer of its own on w, so that it sees the bytes before that
// middleware does. The tap's End is called however next ends; a panic goes on with its own stack.
func (x *Exchange) Serve(w http.ResponseWriter, r *http.Request, tap Tap, next http.Handler) {
	if tap == nil {
		next.ServeHTTP(w, r)
		return
	}
	outer := levelOf(w, x)
	if outer == nil {
		outer = &level{x: x, w: w, r: r}
	}
	l := x.newLevel()
	l.x, l.outer, l.tap = x, outer, tap
	how := Panicked
	defer func() { l.end(how) }()
	next.ServeHTTP(l.handle(), r)
	how = Completed
}

// newLevel takes a level from the exchange's own store while that lasts.
func (x *Exchange) newLevel() *level {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stored < len(x.store) {
		x.stored++
		return &x.store[x.stored-1]
	}
	return new(level)
}

// Header implements [http.ResponseWriter].
func (l *level) Header() http.Header { return l.root().w.Header() }

// WriteHeader implements [http.ResponseWriter]. The first final status counts; later ones are ignored.
func (l *level) WriteHeader(status int) {
	switch {
	case l.closed.Load():
	case status < 100 || status > 999:
		panic(fmt.Sprintf("invalid WriteHeader code %v", status)) // as net/http does, at the caller's own line
	case status < 200 && status != http.StatusSwitchingProtocols:
		if !l.wrote {
			l.root().w.WriteHeader(status)
		}
	default:
		l.header(status)
	}
}

// Write implements [http.ResponseWriter].
func (l *level) Write(p []byte) (int, error) {
	if err := l.open(); err != nil {
		return 0, err
	}
	if !l.wrote {
		// Said to the writer below by the write that follows, as without us: it may look at the bytes first, to tell their type.
		base := l.root()
		base.implicit = true
		l.header(http.StatusOK)
		base.implicit = false
	}
	if l.passes() {
		return l.root().direct(p)
	}
	b := &l.scratch().chunk
	*b = Body{Data: p}
	if err := l.body(b); err != nil {
		return 0, err
	}
	return len(p), nil
}

// open reports why nothing can be written any more, nil if it can.
func (l *level) open() error {
	switch {
	case l.closed.Load():
		return ErrClosed
	case l.root().hijack:
		return http.ErrHijacked
	}
	return nil
}

// WriteString implements [io.StringWriter].
func (l *level) WriteString(s string) (int, error) {
	if l.wrote && l.passes() && l.open() == nil {
		base := l.root()
		n, err := io.WriteString(base.w, s)
		base.count(int64(n), err)
		return n, err
	}
	return l.Write([]byte(s))
}

// copyBuffers serve ReadFrom when a tap needs the bytes.
var copyBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

// sniffLen is how much net/http itself wants to see before it lets a copy go its own way.
const sniffLen = 512

// ReadFrom implements [io.ReaderFrom]: the writer below copies by itself (sendfile) when no tap needs the bytes.
func (l *level) ReadFrom(src io.Reader) (int64, error) {
	buf := copyBuffers.Get().(*[32 << 10]byte)
	defer copyBuffers.Put(buf)
	var n int64
	if !l.wrote {
		// As in net/http: the first bytes go the ordinary way, so that an empty source sends no header and the content type
		// is sniffed from content.
		var err error
		n, err = io.CopyBuffer(struct{ io.Writer }{l}, io.LimitReader(src, sniffLen), buf[:])
		if err != nil || n < sniffLen {
			return n, err
		}
	}
	base := l.root()
	rf, ok := base.w.(io.ReaderFrom)
	if !ok || !l.passes() || l.open() != nil {
		m, err := io.CopyBuffer(struct{ io.Writer }{l}, struct{ io.Reader }{src}, buf[:])
		return n + m, err
	}
	m, err := rf.ReadFrom(src)
	base.count(m, nil) // the error may be the source's, and says nothing of the client
	return n + m, err
}

// passes reports whether no level from here outward needs body bytes.
func (l *level) passes() bool {
	for ; l.outer != nil; l = l.outer {
		if !l.sent || l.mode != Pass {
			return false
		}
	}
	return true
}

// Unwrap gives [http.ResponseController] the writer below, for deadlines and full duplex.
func (l *level) Unwrap() http.ResponseWriter { return l.root().w }

// FlushError is what [http.ResponseController] calls to flush.
func (l *level) FlushError() error {
	if err := l.open(); err != nil {
		return err
	}
	if can, _ := reaches(l.root().w); !can {
		return http.ErrNotSupported // before anything is said: net/http has no side effect here either
	}
	if !l.wrote {
		l.header(http.StatusOK)
	}
	return l.flush()
}

func (l *level) flush() error {
	for ; l.outer != nil; l = l.outer {
		if !l.sent {
			return nil // a tap holds the response: there is nothing to push out yet
		}
	}
	return http.NewResponseController(l.w).Flush()
}

func (l *level) hijackConn() (net.Conn, *bufio.ReadWriter, error) {
	if l.closed.Load() {
		return nil, nil, ErrClosed
	}
	base := l.root()
	c, rw, err := http.NewResponseController(base.w).Hijack()
	if err == nil {
		base.hijack = true
		l.x.mu.Lock()
		l.x.response.Hijacked = true
		l.x.mu.Unlock()
	}
	return c, rw, err
}

// header receives the final status at this level, from the inside.
func (l *level) header(status int) {
	if l.wrote {
		return
	}
	l.wrote, l.status = true, status
	if l.outer == nil {
		l.sent = true
		h := l.w.Header()
		h[RequestIDHeader] = l.x.idValue[:] // an upstream's own id must not double it
		if l.first {
			_, streamed := IsStream(h)
			l.x.mu.Lock()
			l.x.response.Status, l.x.response.Streamed = status, streamed
			l.x.mu.Unlock()
		}
		if !l.implicit || status != http.StatusOK {
			l.w.WriteHeader(status)
		}
		return
	}
	o := Out{l}
	mode := l.tap.Header(o, status)
	if l.mode == Discard { // the tap stopped the body by itself
		mode = Discard
	}
	if mode != Discard && (l.root().refused || !bodyAllowed(status, l.root().r.Method)) {
		mode = Pass
	}
	l.mode = mode
	if mode == Frames {
		if f, ok := IsStream(l.Header()); ok {
			w := l.scratch()
			w.parser, w.framing = sse.Parser{Format: f, MaxEvent: MaxFrame}, true
		}
	}
	if mode == Whole && !l.sent {
		l.held = l.Header().Clone()
	}
	if mode != Whole && !l.sent {
		o.WriteHeader(status)
	}
	if mode == Collect && l.heldOutside() {
		l.shared = true
	}
}

// heldOutside reports whether the next tap that reads bodies holds them, so that one buffer can serve both.
func (l *level) heldOutside() bool {
	for o := l.outer; o.outer != nil; o = o.outer {
		if o.mode != Pass {
			return o.mode == Whole || o.shared
		}
	}
	return false
}

func bodyAllowed(status int, method string) bool {
	return status >= 200 && status != http.StatusNoContent && status != http.StatusNotModified && method != http.MethodHead
}

// body receives a piece at this level, from the inside.
func (l *level) body(b *Body) error {
	if l.outer == nil {
		return l.write(b)
	}
	switch l.mode {
	case Discard:
		return l.stopped
	case Collect, Whole:
		if l.mode == Whole || l.shared {
			return l.hold(b)
		}
		if b.Kind == Doc && len(l.doc) == 0 && !l.delivered {
			// Somebody inside held it and hands it over whole: no need to collect it again.
			l.delivered = true
			err := l.outer.body(b)
			if e := l.tap.Body(Out{l}, b); err == nil {
				err = e
			}
			return err
		}
		l.keep(b.Data)
		return l.outer.body(b)
	case Frames:
		if b.Kind != Chunk || l.work == nil || !l.work.framing {
			return l.tap.Body(Out{l}, b)
		}
		return l.frames(b.Data)
	}
	return l.outer.body(b)
}

// keep copies data to the collected document, up to the cap.
func (l *level) keep(data []byte) {
	if room := MaxDoc + 1 - len(l.doc); room > 0 { // one byte over the cap tells a truncated document
		l.doc = append(l.doc, data[:min(room, len(data))]...)
	}
}

// hold keeps a piece of a held response and hands the document over when it is complete or too long.
func (l *level) hold(b *Body) error {
	if l.delivered {
		if l.mode == Collect {
			return l.outer.body(b)
		}
		return l.tap.Body(Out{l}, b)
	}
	if b.Kind == Doc && len(l.doc) == 0 {
		return l.deliver(b)
	}
	l.doc = append(l.doc, b.Data...)
	if len(l.doc) > MaxDoc {
		return l.deliverOwn(true)
	}
	return nil
}

// deliverOwn hands over the document collected here.
func (l *level) deliverOwn(truncated bool) error {
	b := &l.scratch().chunk
	*b = Body{Kind: Doc, Data: l.doc, Truncated: truncated}
	late := l.setAside()
	err := l.deliver(b)
	b.release()
	if l.sent {
		maps.Copy(l.Header(), late)
	}
	return err
}

// setAside takes out of the header what the handler set after it had said its status, as if the header had left then. Put back
// after it has, those are trailers or nothing, as they would have been.
func (l *level) setAside() (late http.Header) {
	if l.held == nil {
		return nil
	}
	h := l.Header()
	for k, v := range h {
		if old, ok := l.held[k]; !ok || !slices.Equal(old, v) {
			if late == nil {
				late = http.Header{}
			}
			late[k] = v
			delete(h, k)
		}
	}
	for k, v := range l.held {
		if _, ok := h[k]; !ok && (late == nil || late[k] == nil) {
			continue // taken away by a tap or by the handler: it stays away
		}
		h[k] = v
	}
	l.held = nil
	return late
}

func (l *level) deliver(b *Body) error {
	l.delivered = true
	err := l.tap.Body(Out{l}, b)
	if l.mode == Collect { // shared: it only reads
		if e := l.outer.body(b); err == nil {
			err = e
		}
	}
	return err
}

func frameOf(ev sse.Event) Body {
	return Body{Kind: Frame, Data: ev.Raw, Event: ev.Type, Payload: ev.Data, HasPayload: ev.HasData, Truncated: ev.Incomplete}
}

// frames cuts bytes into events for the tap.
func (l *level) frames(data []byte) error {
	for {
		ev, rest, ok, err := l.work.parser.Next(data)
		if err != nil {
			l.x.Cancel(errFrameTooLong)
			o := Out{l}
			o.Fail(&deny.Denial{Code: deny.UpstreamError, Stage: "exchange", Cause: errFrameTooLong})
			o.Stop(errFrameTooLong)
			return errFrameTooLong
		}
		if !ok {
			return nil
		}
		data = rest
		if err := l.frame(ev); err != nil {
			return err
		}
		if l.mode == Discard {
			return l.stopped
		}
	}
}

func (l *level) frame(ev sse.Event) error {
	x := l.x
	b := &l.work.frame
	facts := b.facts
	*b = frameOf(ev)
	b.facts = facts // its memory serves every frame
	if x.stream != nil && ev.HasData {
		x.stream.Observe(b.Event, b.Payload, b.Facts(x))
	}
	return l.tap.Body(Out{l}, b)
}

// write sends a piece to the writer below.
func (l *level) write(b *Body) error {
	if l.first && b.Kind == Frame {
		if facts, content := b.told(); facts != nil {
			l.x.noteFrame(facts, content)
		}
	}
	_, err := l.direct(b.Data)
	return err
}

func (l *level) direct(p []byte) (int, error) {
	n, err := l.w.Write(p)
	l.count(int64(n), err)
	return n, err
}

// count adds what the writer below took to the response facts.
func (l *level) count(n int64, err error) {
	if !l.first {
		return
	}
	r := &l.x.response
	l.x.mu.Lock()
	defer l.x.mu.Unlock()
	if n > 0 {
		r.Bytes += n
		r.LastByte = time.Now()
	}
	if err != nil && !errors.Is(err, http.ErrBodyNotAllowed) && !errors.Is(err, http.ErrContentLength) {
		r.Aborted = true
	}
}

// noteFrame keeps what a passing stream event tells about the whole response.
func (x *Exchange) noteFrame(facts *dialect.Response, content bool) {
	n := len(facts.Finish)
	if !content && (n == 0 || n > 64) {
		return
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if content && x.response.FirstToken.IsZero() {
		x.response.FirstToken = time.Now()
	}
	if n > 0 && n <= 64 && x.response.Finish != string(facts.Finish) {
		x.response.Finish = string(facts.Finish)
	}
}

// end closes the level after the handler inside has ended.
func (l *level) end(how Outcome) {
	l.closed.Store(true)
	if how == Completed && l.root().hijack {
		how = Hijacked
	}
	o := Out{l}
	if how == Completed && l.wrote {
		switch {
		case l.delivered:
		case l.mode == Collect && !l.shared:
			b := &l.scratch().chunk
			*b = Body{Kind: Doc, Data: l.doc[:min(len(l.doc), MaxDoc)], Truncated: len(l.doc) > MaxDoc}
			l.tap.Body(o, b)
			b.release()
		case l.mode == Whole || l.shared:
			l.deliverOwn(false)
		case l.mode == Frames && l.work != nil && l.work.framing:
			if ev, ok := l.work.parser.Tail(); ok {
				l.frame(ev)
			}
		}
	}
	l.tap.End(o, how)
	if how == Completed && l.wrote && !l.sent {
		o.WriteHeader(l.status)
	}
}

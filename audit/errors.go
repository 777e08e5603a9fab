package audit

import (
	"errors"
	"strconv"
)

var (
	// ErrClosed is returned by Record after Close, and by a Sink that is written to after its Close.
	ErrClosed = errors.New("audit: closed")

	// ErrOverloaded is returned by Record when a required sink had no room for the event within Config.Wait. The event is
	// counted as dropped for that sink and shows in the next audit.gap line there; other sinks may have it.
	ErrOverloaded = errors.New("audit: no room in the queue of a sink")

	// ErrNotAcknowledged is returned by Record when the event is in the queue, but no sink confirmed it in the class of
	// Config.Ack within Config.AckWait. It may still be stored.
	ErrNotAcknowledged = errors.New("audit: not acknowledged in time")

	// ErrReentrant is returned by Record when a Sink records an event with the context its Write was given: a sink that
	// logs what it writes into the log it writes for would never come to an end.
	ErrReentrant = errors.New("audit: recorded from inside a sink")

	// ErrInvalidEvent is returned by Record for an Event without a usable Name. It is wrapped with the reason.
	ErrInvalidEvent = errors.New("audit: invalid event")

	// ErrRejected is what a Sink wraps when it will never take a line (too long for its table, say), however often it is
	// offered. The Log then offers the lines of the batch one by one, and counts those rejected alone as dropped. Any
	// other error means "try again".
	ErrRejected = errors.New("audit: rejected by the sink")
)

// PartialError is what a Sink returns when it has stored the first Lines lines of a batch and nothing of the others. The
// Log counts those as written and offers the rest again. A plain error means that nothing was stored.
type PartialError struct {
	// Lines is the number of whole lines stored, from the beginning of the batch.
	Lines int
	// Err is why the rest was not.
	Err error
}

// Error gives the count and the reason.
func (e *PartialError) Error() string {
	text := "audit: stored only the first " + strconv.Itoa(e.Lines) + " lines"
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap gives the reason.
func (e *PartialError) Unwrap() error { return e.Err }

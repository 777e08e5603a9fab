package audit

import (
	"bytes"
	"context"
	"fmt"
	"iter"
	"strconv"
)

// A Sink stores lines. Implementers find the rules as tests in package audit/sinktest.
//
// The Log calls Write from one goroutine of its own per sink, never two at a time, and calls Close once after the last
// Write. A sink may therefore be as slow as it is: only its own queue fills.
type Sink interface {
	// Write stores the lines of b in order and returns nil when all of them are stored, in the class the sink promises
	// (see Acknowledger). A *PartialError means that the first lines are stored, any other error that none is; the Log
	// then offers the rest again, with growing pauses. A sink that stored half a line has to take it back or say so in
	// its data: no reader may find half a line.
	//
	// b and its memory belong to the Log again when Write returns. ctx ends when Close of the Log gives up.
	Write(ctx context.Context, b Batch) error

	// Close releases what the sink holds. It is called once; a second call returns nil.
	Close(ctx context.Context) error
}

// Batch is one or more events as JSON lines.
type Batch struct {
	// Lines holds whole lines, each ended by one '\n' and without any other line break. Valid during Write only.
	Lines []byte
	// Count is the number of lines.
	Count int
}

// All gives the lines one by one without their line breaks. They are valid during Write only.
func (b Batch) All() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for rest := b.Lines; len(rest) > 0; {
			line, after, _ := bytes.Cut(rest, newline)
			if !yield(line) {
				return
			}
			rest = after
		}
	}
}

var newline = []byte{'\n'}

// Ack is what has happened to an event when it counts as acknowledged.
type Ack uint8

const (
	// AckEnqueued: the event is in the memory of this process. A crash of the process can lose what the sinks have not
	// taken yet, usually some microseconds of events, at most the queue.
	AckEnqueued Ack = iota
	// AckWritten: the sink has handed the event to the operating system. It survives the death of the process (kill -9),
	// not that of the machine.
	AckWritten
	// AckSynced: the event is on stable storage. It survives power loss, as far as the disk tells the truth.
	AckSynced
)

// String gives the name of the class.
func (a Ack) String() string {
	switch a {
	case AckEnqueued:
		return "enqueued"
	case AckWritten:
		return "written"
	case AckSynced:
		return "synced"
	}
	return "Ack(" + strconv.Itoa(int(a)) + ")"
}

// An Acknowledger is a Sink that promises something about lines for which Write returned nil. A sink without this method
// promises AckEnqueued: it may have handed them to yet another queue.
type Acknowledger interface {
	// Ack gives the class. It does not change during the life of the sink.
	Ack() Ack
}

// A Namer is a Sink with a name for statistics, gap records and error messages. Sinks without one are called by their
// place and type.
type Namer interface {
	// Name gives a short name without secrets, such as "file:audit.jsonl".
	Name() string
}

// BestEffort marks a sink whose loss is bearable: whatever Config.Backpressure says, its queue drops when it is full
// (counted and with a gap record), and no request waits or is refused because of it. The sink of a terminal is of this
// kind by itself.
func BestEffort(s Sink) Sink {
	if s == nil {
		return nil
	}
	return bestEffort{s}
}

type bestEffort struct{ Sink }

func (b bestEffort) Name() string {
	if n, ok := b.Sink.(Namer); ok {
		return n.Name()
	}
	return fmt.Sprintf("%T", b.Sink)
}

func (b bestEffort) isBestEffort() bool { return true }

func isBestEffort(s Sink) bool {
	b, ok := s.(interface{ isBestEffort() bool })
	return ok && b.isBestEffort()
}

// ackOf gives the promise of a sink; a best effort sink promises nothing.
func ackOf(s Sink) Ack {
	if isBestEffort(s) {
		return AckEnqueued
	}
	if a, ok := s.(Acknowledger); ok {
		return a.Ack()
	}
	return AckEnqueued
}

func nameOf(s Sink, place int) string {
	if n, ok := s.(Namer); ok {
		if name := n.Name(); name != "" {
			return name
		}
	}
	return fmt.Sprintf("%d:%T", place, s)
}

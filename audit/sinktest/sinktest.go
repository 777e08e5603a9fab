// Package sinktest checks that an audit.Sink keeps the rules of the interface. Each case carries its rule as its name; a
// failing case says which promise of the Log would break.
//
//	func TestMySinkKeepsTheRules(t *testing.T) {
//		sinktest.Run(t, sinktest.Harness{
//			New:    func(t *testing.T) audit.Sink { ... },
//			Stored: func(t *testing.T) []string { ... },
//		})
//	}
package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/audit"
)

// Harness tells Run how to make a sink and how to look behind it.
type Harness struct {
	// New returns a sink on empty storage. It is called once per case. Required.
	New func(t *testing.T) audit.Sink
	// Stored returns what the sink of the last New has stored, one string per line, in order. It is called after Close.
	// Required.
	Stored func(t *testing.T) []string
	// RequestID returns the request.id of a stored line, for sinks that keep another form than the line itself. Nil means
	// that lines are stored byte for byte, and checks that.
	RequestID func(stored string) string
}

// Run runs all cases as subtests.
func Run(t *testing.T, h Harness) {
	t.Helper()
	if h.New == nil || h.Stored == nil {
		t.Fatal("sinktest: Harness.New and Harness.Stored are required")
	}
	for _, c := range cases {
		t.Run(c.rule, func(t *testing.T) { c.check(t, h) })
	}
}

var cases = []struct {
	rule  string
	check func(*testing.T, Harness)
}{
	{"EveryLineIsStoredOnceAndInOrder", everyLine},
	{"TheMemoryOfABatchBelongsToTheLogWhenWriteReturns", scribble},
	{"HostileTextStaysInItsLine", hostile},
	{"ALongLineIsStoredWholeOrRejected", longLine},
	{"AnEmptyBatchIsNoError", empty},
	{"AWriteWhoseContextHasEndedReturnsAndTellsTheTruth", ended},
	{"NothingIsStoredAfterClose", afterClose},
	{"ASecondCloseIsHarmless", closeTwice},
}

// patience is how long a call may take before the case fails instead of hanging the test run.
const patience = 10 * time.Second

func id(n int) string { return fmt.Sprintf("sinktest-%06d", n) }

// line builds a line as the Log would.
func line(n int, text string) string {
	return fmt.Sprintf(`{"schema":1,"time":"2026-01-02T03:04:05.000006Z","event.name":"sinktest.event","stage":"event",`+
		`"request.id":"%s","attr.text":"%s"}`, id(n), text)
}

func batch(lines ...string) audit.Batch {
	if len(lines) == 0 {
		return audit.Batch{}
	}
	return audit.Batch{Lines: []byte(strings.Join(lines, "\n") + "\n"), Count: len(lines)}
}

// within runs f and fails the test when it does not return.
func within(t *testing.T, what string, f func() error) error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		return err
	case <-time.After(patience):
		t.Fatalf("%s did not return within %v", what, patience)
		return nil
	}
}

func write(t *testing.T, s audit.Sink, lines ...string) {
	t.Helper()
	if err := within(t, "Write", func() error { return s.Write(context.Background(), batch(lines...)) }); err != nil {
		t.Fatalf("Write of %d lines: %v", len(lines), err)
	}
}

func closeSink(t *testing.T, s audit.Sink) {
	t.Helper()
	if err := within(t, "Close", func() error { return s.Close(context.Background()) }); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

// expect compares what is stored with the lines that were sent.
func expect(t *testing.T, h Harness, sent []string) {
	t.Helper()
	stored := h.Stored(t)
	if len(stored) != len(sent) {
		t.Fatalf("%d lines are stored, want %d", len(stored), len(sent))
	}
	for i, want := range sent {
		got := stored[i]
		if h.RequestID != nil {
			got, want = h.RequestID(got), id(i)
		}
		if got != want {
			t.Fatalf("line %d is %.200q, want %.200q", i, got, want)
		}
	}
}

func everyLine(t *testing.T, h Harness) {
	s := h.New(t)
	var sent []string
	for _, size := range []int{1, 2, 100, 1, 37} {
		var lines []string
		for range size {
			lines = append(lines, line(len(sent)+len(lines), "x"))
		}
		write(t, s, lines...)
		sent = append(sent, lines...)
	}
	closeSink(t, s)
	expect(t, h, sent)
}

func scribble(t *testing.T, h Harness) {
	s := h.New(t)
	sent := []string{line(0, "first"), line(1, "second")}
	b := batch(sent...)
	if err := s.Write(context.Background(), b); err != nil {
		t.Fatal(err)
	}
	copy(b.Lines, bytes.Repeat([]byte("!"), len(b.Lines))) // the Log writes the next batch into this memory
	closeSink(t, s)
	expect(t, h, sent)
}

func hostile(t *testing.T, h Harness) {
	s := h.New(t)
	var sent []string
	for i, text := range []string{`\r\n{\"schema\":1}\n`, `\u001b]52;c;aGk=\u0007`, `\u0085\u009b2J`, `\u2028\u202e`, `\u0000`, `'; DROP TABLE audit;--`} {
		sent = append(sent, line(i, text))
	}
	write(t, s, sent...)
	closeSink(t, s)
	expect(t, h, sent)
}

func longLine(t *testing.T, h Harness) {
	s := h.New(t)
	long := line(1, strings.Repeat("a", 1<<20))
	sent := []string{line(0, "before")}
	write(t, s, sent[0])
	err := within(t, "Write", func() error { return s.Write(context.Background(), batch(long)) })
	switch {
	case err == nil:
		sent = append(sent, long)
	case !errors.Is(err, audit.ErrRejected):
		t.Fatalf("Write of a line of a megabyte: %v; a sink that will never take it says ErrRejected, or the Log tries for ever", err)
	default:
		sent = append(sent, line(1, "after"))
		write(t, s, sent[1])
	}
	closeSink(t, s)
	expect(t, h, sent)
}

func empty(t *testing.T, h Harness) {
	s := h.New(t)
	write(t, s)
	closeSink(t, s)
	expect(t, h, nil)
}

func ended(t *testing.T, h Harness) {
	s := h.New(t)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	sent := []string{line(0, "a"), line(1, "b"), line(2, "c")}
	err := within(t, "Write", func() error { return s.Write(ctx, batch(sent...)) })
	rest := sent
	var partial *audit.PartialError
	switch {
	case err == nil:
		rest = nil
	case errors.As(err, &partial):
		if partial.Lines < 0 || partial.Lines >= len(sent) {
			t.Fatalf("PartialError.Lines is %d of %d", partial.Lines, len(sent))
		}
		rest = sent[partial.Lines:]
	}
	if len(rest) > 0 {
		write(t, s, slices.Clone(rest)...) // as the Log does
	}
	closeSink(t, s)
	expect(t, h, sent)
}

func afterClose(t *testing.T, h Harness) {
	s := h.New(t)
	sent := []string{line(0, "x")}
	write(t, s, sent...)
	closeSink(t, s)
	if err := within(t, "Write", func() error { return s.Write(context.Background(), batch(line(1, "late"))) }); err == nil {
		t.Error("Write after Close says that it stored the line")
	}
	expect(t, h, sent)
}

func closeTwice(t *testing.T, h Harness) {
	s := h.New(t)
	write(t, s, line(0, "x"))
	closeSink(t, s)
	if err := within(t, "the second Close", func() error { return s.Close(context.Background()) }); err != nil {
		t.Errorf("the second Close: %v", err)
	}
	expect(t, h, []string{line(0, "x")})
}

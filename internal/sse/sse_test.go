package sse_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/sse"
)

// got is an event copied out of the parser.
type got struct {
	raw, typ, data      string
	hasData, incomplete bool
}

// what leaves out how the bytes were shared out: the LF of a cut CRLF may stand at the end of one Raw or the start of the next.
func (g got) what() string {
	return fmt.Sprintf("%q %q %t %t", g.typ, g.data, g.hasData, g.incomplete)
}

// parse feeds the pieces to a parser. left is what the parser did not take because of err.
func parse(f sse.Format, limit int, pieces ...[]byte) (events []got, left string, err error) {
	p := sse.Parser{Format: f, MaxEvent: limit}
	take := func(ev sse.Event) {
		events = append(events, got{string(ev.Raw), string(ev.Type), string(ev.Data), ev.HasData, ev.Incomplete})
	}
	for _, b := range pieces {
		// The parser must not rely on bytes it was given earlier.
		b = bytes.Clone(b)
		whole := b
		for {
			ev, rest, ok, e := p.Next(b)
			if e != nil {
				err = e
				left += string(rest)
				break
			}
			if !ok {
				break
			}
			take(ev)
			b = rest
		}
		for i := range whole {
			whole[i] = '#'
		}
	}
	if ev, ok := p.Tail(); ok {
		take(ev)
	}
	if _, ok := p.Tail(); ok {
		panic("a second tail")
	}
	return events, left, err
}

// normal drops the one event that only the cut can make: the leftover LF of the last CRLF.
func normal(events []got) []string {
	var out []string
	for i, g := range events {
		if i > 0 && i == len(events)-1 && g.raw == "\n" && strings.HasSuffix(events[i-1].raw, "\r") {
			continue
		}
		out = append(out, g.what())
	}
	return out
}

func raws(events []got) string {
	var b strings.Builder
	for _, g := range events {
		b.WriteString(g.raw)
	}
	return b.String()
}

func TestEventsAreReadAsTheStandardSays(t *testing.T) {
	type ev struct {
		typ, data string
		has       bool
	}
	tests := []struct {
		name, in string
		want     []ev
	}{
		// The four examples of the WHATWG standard, section 9.2.6.
		{"an unnamed event with several lines", "data: YHOO\ndata: +2\ndata: 10\n\n", []ev{{"", "YHOO\n+2\n10", true}}},
		{"comments, ids and a leading space", ": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n",
			[]ev{{"", "", false}, {"", "first event", true}, {"", "second event", true}, {"", " third event", true}}},
		{"empty data fields", "data\n\ndata\ndata\n\n", []ev{{"", "", true}, {"", "\n", true}}},
		{"a space after the colon is ignored", "data:test\n\ndata: test\n\n", []ev{{"", "test", true}, {"", "test", true}}},

		{"CR", "event: a\rdata: 1\r\rdata: 2\r\r", []ev{{"a", "1", true}, {"", "2", true}}},
		{"CRLF", "event: a\r\ndata: 1\r\n\r\ndata: 2\r\n\r\n", []ev{{"a", "1", true}, {"", "2", true}}},
		{"mixed line ends", "data: 1\r\n\ndata: 2\r\r\ndata: 3\n\r", []ev{{"", "1", true}, {"", "2", true}, {"", "3", true}}},
		{"blank lines are events without data", "\n\r\n\rdata: 1\n\n", []ev{{}, {}, {}, {"", "1", true}}},
		{"a byte order mark at the start", "\xEF\xBB\xBFdata: 1\n\n", []ev{{"", "1", true}}},
		{"a byte order mark alone on the first line", "\xEF\xBB\xBF\ndata: 1\n\n", []ev{{}, {"", "1", true}}},
		{"a byte order mark later is part of a name", "data: 1\n\n\xEF\xBB\xBFdata: 2\n\n", []ev{{"", "1", true}, {}}},
		{"names are compared exactly", "Data: 1\ndata : 2\ndatum: 3\n data: 4\ndata2: 5\n\n", []ev{{}}},
		{"the last event field wins", "event: a\nevent: b\ndata: 1\n\n", []ev{{"b", "1", true}}},
		{"an empty event field clears the type", "event: a\nevent\ndata: 1\n\n", []ev{{"", "1", true}}},
		{"an event without data is told apart", "event: ping\nretry: 10\nid: 7\n\n", []ev{{"ping", "", false}}},
		{"several events of several lines", "data: 1\ndata: 2\n\ndata: 3\n\ndata: 4\ndata: 5\n\n",
			[]ev{{"", "1\n2", true}, {"", "3", true}, {"", "4\n5", true}}},
		{"a value may hold colons", "data: {\"a\":1}\n\n", []ev{{"", `{"a":1}`, true}}},
		{"no field name", ": data: 1\n:\n\n", []ev{{}}},
		{"NUL and bad UTF-8 pass", "data: \x00\xff\n\n", []ev{{"", "\x00\xff", true}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			events, _, err := parse(sse.EventStream, 0, []byte(tt.in))
			if err != nil {
				t.Fatal(err)
			}
			var have []ev
			for _, g := range events {
				if g.incomplete {
					t.Errorf("incomplete: %q", g.raw)
				}
				have = append(have, ev{g.typ, g.data, g.hasData})
			}
			if !slices.Equal(have, tt.want) {
				t.Errorf("got %+v, want %+v", have, tt.want)
			}
			if r := raws(events); r != tt.in {
				t.Errorf("raw bytes %q, want %q", r, tt.in)
			}
		})
	}
}

func TestALineIsAnEventInNDJSON(t *testing.T) {
	in := "\xEF\xBB\xBF{\"a\":1}\n\n \t\r\n{\"b\":\r2}\r\n{\"c\":3}"
	events, _, err := parse(sse.NDJSON, 0, []byte(in))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`"" "{\"a\":1}" true false`, `"" "" false false`, `"" "" false false`, `"" "{\"b\":\r2}" true false`, `"" "{\"c\":3}" true true`,
	}
	if have := normal(events); !slices.Equal(have, want) {
		t.Errorf("got %q, want %q", have, want)
	}
	if raws(events) != in {
		t.Errorf("raw bytes %+v", raws(events))
	}
}

var streams = []string{
	"",
	"\n",
	"\r\n",
	"data: 1\r\n\r\n",
	"data: 1\r\r\n\ndata: 2\r\n\r\n\r\n",
	"\xEF\xBB\xBFevent: message_start\r\ndata: {\"x\":\"\\u00e9é\"}\r\n\r\n: ping\r\n\r\ndata: a\r\ndata: b\r\ndata\r\n\r\nid: 3\r\n\r\n",
	"event: delta\ndata: {\"t\":\"\U0001F600 \\ud83d\\ude00\"}\n\n\n\n: c\n\ndata: [DONE]\n\n",
	"data: a\rdata: b\r\revent: e\rdata\r\r\r\r",
	"data: 1\n\ndata: never ended",
	"data: 1\n\ndata: 2\r",
	"data: 1\n\nevent: x\ndata: 2\n",
	"data: 1\n\n\xEF\xBB",
	"{\"a\":1}\r\n{\"b\":2}\n\n  \n{\"c\":\"\\u00e9\"}",
}

func TestTheEventsDoNotDependOnTheCut(t *testing.T) {
	for _, f := range []sse.Format{sse.EventStream, sse.NDJSON} {
		for _, in := range streams {
			events, _, err := parse(f, 0, []byte(in))
			if err != nil || raws(events) != in {
				t.Fatalf("%v %+v: %v %+v", f, in, err, raws(events))
			}
			want := normal(events)
			check := func(pieces ...[]byte) {
				t.Helper()
				events, _, err := parse(f, 0, pieces...)
				if err != nil {
					t.Fatal(err)
				}
				if have := normal(events); !slices.Equal(have, want) {
					t.Errorf("%v %q: got %q, want %q", f, pieces, have, want)
				}
				if raws(events) != in {
					t.Errorf("%v %+v: raw bytes %+v", f, pieces, raws(events))
				}
			}
			b := []byte(in)
			for i := range len(b) + 1 {
				check(b[:i], b[i:])
				for j := i; j <= len(b); j++ {
					check(b[:i], b[i:j], b[j:])
				}
			}
			check(slices.Collect(slices.Chunk(b, 1))...)
		}
	}
}

func TestAnEventIsNotDelayedByACutCRLF(t *testing.T) {
	var p sse.Parser
	ev, rest, ok, err := p.Next([]byte("data: 1\r\n\r"))
	if err != nil || !ok || string(ev.Data) != "1" || len(rest) != 0 {
		t.Fatalf("%q %q %t %v", ev.Data, rest, ok, err)
	}
	if _, _, ok, _ = p.Next([]byte("\n")); ok {
		t.Fatal("the rest of a line break is not an event")
	}
	ev, _, ok, _ = p.Next([]byte("data: 2\n\n"))
	if !ok || string(ev.Raw) != "\ndata: 2\n\n" || string(ev.Data) != "2" {
		t.Fatalf("%q", ev.Raw)
	}
}

func TestTheTailIsReadAsALenientClientWould(t *testing.T) {
	events, _, _ := parse(sse.EventStream, 0, []byte("data: 1\n\nevent: e\ndata: sec"), []byte("ret"))
	if len(events) != 2 {
		t.Fatalf("%+v", events)
	}
	if g := events[1]; g != (got{"event: e\ndata: secret", "e", "secret", true, true}) {
		t.Errorf("%+v", g)
	}
	events, _, _ = parse(sse.EventStream, 0, []byte("data: 1\n\r"), []byte("\n"))
	if len(events) != 2 || events[1].incomplete || events[1].raw != "\n" {
		t.Errorf("%+v: a stream that ended with a CRLF is complete", events)
	}
}

func TestTheSizeOfAnEventIsBounded(t *testing.T) {
	const limit = 32
	fits := "data: " + strings.Repeat("x", limit-8) + "\n\n"
	crlf := "data: " + strings.Repeat("x", limit-9) + "\r\n\r\n" // the LF that ends it is not counted, so that a cut cannot matter
	for _, tt := range []struct {
		f      sse.Format
		in     string
		events int
		ok     bool
	}{
		{sse.EventStream, fits, 1, true},
		{sse.EventStream, crlf, 1, true},
		{sse.EventStream, crlf + crlf + crlf, 3, true},
		{sse.EventStream, fits + "\n" + fits, 3, true},
		{sse.EventStream, fits + "x" + fits, 1, false},
		{sse.EventStream, fits + strings.Repeat(":\n", limit), 1, false},
		{sse.EventStream, strings.Repeat("x", limit), 0, true},
		{sse.EventStream, strings.Repeat("x", limit+1), 0, false},
		{sse.NDJSON, strings.Repeat("x", limit-1) + "\n", 1, true},
		{sse.NDJSON, strings.Repeat("x", limit) + "\n", 0, false},
	} {
		pieces := slices.Collect(slices.Chunk([]byte(tt.in), 1))
		for i := range len(tt.in) + 1 {
			two := [][]byte{[]byte(tt.in[:i]), []byte(tt.in[i:])}
			if i == 0 {
				two = pieces
			}
			events, left, err := parse(tt.f, limit, two...)
			if tt.ok != (err == nil) || err != nil && !errors.Is(err, sse.ErrTooLong) {
				t.Errorf("%v %q cut at %d: %v", tt.f, tt.in, i, err)
			}
			n := 0
			for _, g := range events {
				if !g.incomplete && !(g.raw == "\n" && n == tt.events) {
					n++
				}
			}
			if n != tt.events {
				t.Errorf("%v %+v cut at %d: %d events, want %d", tt.f, tt.in, i, n, tt.events)
			}
			if raws(events)+left != tt.in {
				t.Errorf("%v %+v cut at %d: lost bytes: %+v + %+v", tt.f, tt.in, i, raws(events), left)
			}
		}
	}
}

func TestTooLongStaysTooLong(t *testing.T) {
	p := sse.Parser{MaxEvent: 10}
	if _, _, _, err := p.Next([]byte("data: 0123456789\n\n")); !errors.Is(err, sse.ErrTooLong) {
		t.Fatal(err)
	}
	b := []byte("data: 1\n\n")
	if _, rest, ok, err := p.Next(b); ok || !errors.Is(err, sse.ErrTooLong) || !bytes.Equal(rest, b) {
		t.Fatalf("%q %t %v", rest, ok, err)
	}
	p.Reset()
	if _, _, ok, err := p.Next(b); !ok || err != nil {
		t.Fatal("Reset did not make the parser usable", err)
	}
}

func TestResetForgetsTheStream(t *testing.T) {
	var p sse.Parser
	_, _, _, _ = p.Next([]byte("event: a\ndata: 1\ndata: 2\r"))
	p.Reset()
	if _, ok := p.Tail(); ok {
		t.Error("a tail of the stream before")
	}
	ev, _, ok, _ := p.Next([]byte("\xEF\xBB\xBFdata: 3\n\n"))
	if !ok || string(ev.Data) != "3" || len(ev.Type) != 0 {
		t.Errorf("%+v", ev)
	}
}

func TestAnEventThatLiesWholeInTheWriteCostsNoAllocation(t *testing.T) {
	b := []byte("event: d\ndata: {\"a\":1}\n\n: ping\n\ndata: [DONE]\n\n")
	var p sse.Parser
	n := testing.AllocsPerRun(100, func() {
		for w := b; ; {
			ev, rest, ok, err := p.Next(w)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				return
			}
			if &ev.Raw[0] != &w[0] {
				t.Fatal("the event was copied")
			}
			w = rest
		}
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAppendEventKeepsEmptyLines(t *testing.T) {
	out := sse.AppendEvent(nil, sse.EventStream, "", []byte("a\n\nb\r\rc\r\n\r\n"))
	events, _, err := parse(sse.EventStream, 0, out)
	if err != nil || len(events) != 1 || events[0].data != "a\n\nb\n\nc\n\n" {
		t.Errorf("%+v %v", events, err)
	}
}

func TestAppendEventCannotWriteASecondEvent(t *testing.T) {
	evil := "a\n\ndata: second\r\rdata: third\r\n\r\n"
	for _, f := range []sse.Format{sse.EventStream, sse.NDJSON} {
		out := sse.AppendEvent(nil, f, evil, []byte(evil))
		events, _, err := parse(f, 0, out)
		if err != nil || len(events) != 1 || events[0].incomplete {
			t.Errorf("%v: %+v %v", f, events, err)
		}
	}
}

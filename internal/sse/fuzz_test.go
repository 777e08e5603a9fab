package sse_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/sse"
)

// The property: however a stream is cut, the events are the same and every byte comes out again, within a bounded event size.
func FuzzParser(f *testing.F) {
	for _, s := range streams {
		f.Add([]byte(s), []byte{1, 3, 0, 7}, false, uint16(0))
		f.Add([]byte(s), []byte{1}, true, uint16(12))
	}
	f.Add([]byte("data: 1\r\n\r\ndata: 22222222222\r\r\n"), []byte{9, 1}, false, uint16(11))
	f.Fuzz(func(t *testing.T, in, cuts []byte, ndjson bool, limit uint16) {
		format := sse.EventStream
		if ndjson {
			format = sse.NDJSON
		}
		whole, left, errWhole := parse(format, int(limit), in)
		if raws(whole)+left != string(in) {
			t.Fatalf("%q came out as %q + %q", in, raws(whole), left)
		}
		var pieces [][]byte
		rest := in
		for i := 0; len(rest) > 0; i++ {
			n := len(rest)
			if len(cuts) > 0 {
				n = min(n, int(cuts[i%len(cuts)])%17)
				if i > len(in)*4 {
					n = len(rest) // all cuts were zero
				}
			}
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		cut, left, errCut := parse(format, int(limit), pieces...)
		if raws(cut)+left != string(in) {
			t.Fatalf("%q came out as %q + %q", pieces, raws(cut), left)
		}
		if (errWhole == nil) != (errCut == nil) {
			t.Fatalf("whole: %v, cut as %q: %v", errWhole, pieces, errCut)
		}
		if errWhole != nil {
			// How much of the long event was taken depends on the cut; the events before it do not.
			whole = slices.DeleteFunc(whole, func(g got) bool { return g.incomplete })
			cut = slices.DeleteFunc(cut, func(g got) bool { return g.incomplete })
		}
		if w, c := normal(whole), normal(cut); !slices.Equal(w, c) {
			t.Fatalf("whole: %q\ncut as %q: %q", w, pieces, c)
		}
	})
}

// The property: what AppendEvent wrote is one event that says the same.
func FuzzAppendEvent(f *testing.F) {
	f.Add("", []byte("[DONE]"), false)
	f.Add("delta", []byte("{\"a\":\n1}"), false)
	f.Add(" \r\n", []byte(" a\r\rb\r\n"), false)
	f.Add("x", []byte("{\"a\":\n1}\r"), true)
	f.Fuzz(func(t *testing.T, typ string, data []byte, ndjson bool) {
		if !ndjson {
			out := sse.AppendEvent([]byte(": before\n\n"), sse.EventStream, typ, data)
			events, _, err := parse(sse.EventStream, len(out)+1, out)
			if err != nil || len(events) != 2 {
				t.Fatalf("%+v: %+v %v", out, events, err)
			}
			lines := strings.NewReplacer("\r\n", "\n", "\r", "\n")
			want := got{raw: string(out[len(": before\n\n"):]), typ: strings.NewReplacer("\r", "", "\n", "").Replace(typ),
				data: lines.Replace(string(data)), hasData: true}
			if events[1] != want {
				t.Fatalf("got %+v, want %+v", events[1], want)
			}
			return
		}
		out := sse.AppendEvent([]byte("{}\n"), sse.NDJSON, typ, data)
		events, _, err := parse(sse.NDJSON, len(out)+1, out)
		if err != nil || len(events) != 2 {
			t.Fatalf("%+v: %+v %v", out, events, err)
		}
		want := strings.NewReplacer("\r", " ", "\n", " ").Replace(string(data))
		if strings.Trim(want, " \t") == "" {
			want = ""
		}
		if events[1].data != want || events[1].hasData != (want != "") {
			t.Fatalf("got %+v, want %+v", events[1], want)
		}
	})
}

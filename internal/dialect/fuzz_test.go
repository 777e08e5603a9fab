package dialect_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/jsonscan"
	"github.com/mantlet-go/mantlet/internal/sse"
)

var all = []dialect.Dialect{dialect.Unknown, dialect.OpenAIChat, dialect.OpenAICompletions, dialect.OpenAIResponses,
	dialect.OpenAIEmbeddings, dialect.Anthropic, dialect.Ollama}

// checkSpans fails unless every text is the content of a string of data, in order, without overlap.
func checkSpans(t *testing.T, data []byte, texts []dialect.Text) {
	t.Helper()
	last := 0
	for _, x := range texts {
		if x.Start < last+1 || x.End < x.Start || x.End >= len(data) || data[x.Start-1] != '"' || data[x.End] != '"' {
			t.Fatalf("span %d:%d after %d of %q", x.Start, x.End, last, data)
		}
		if err := jsonscan.Scan(data[x.Start-1:x.End+1], &jsonscan.Limits{StringLen: -1, Bytes: -1, AllowInvalidText: true}, nil); err != nil {
			t.Fatalf("not a string: %q", data[x.Start-1:x.End+1])
		}
		last = x.End + 1
	}
}

// splice empties every text and puts null for every repeat, as a redactor would.
func splice(data []byte, r *dialect.Response) []byte {
	type edit struct {
		dialect.Span
		text string
	}
	var edits []edit
	for _, x := range r.Texts {
		edits = append(edits, edit{dialect.Span{Start: x.Start, End: x.End}, ""})
	}
	for _, s := range r.Repeats {
		at := len(edits)
		for at > 0 && edits[at-1].Start > s.Start {
			at--
		}
		edits = append(edits[:at], append([]edit{{s, "null"}}, edits[at:]...)...)
	}
	var out []byte
	from := 0
	for _, e := range edits {
		out = append(append(out, data[from:e.Start]...), e.text...)
		from = e.End
	}
	return append(out, data[from:]...)
}

// FuzzResponse reads any data in every dialect, edits what it found, follows it as a stream and ends that: no panic, spans
// that can be spliced, and only valid events.
func FuzzResponse(f *testing.F) {
	for _, c := range replies {
		f.Add([]byte(c.data), uint8(c.d))
	}
	for _, s := range streams {
		for _, e := range s.events {
			f.Add([]byte(e.data), uint8(s.d))
		}
	}
	var r, back dialect.Response
	var s dialect.Stream
	f.Fuzz(func(t *testing.T, data []byte, n uint8) {
		d := all[int(n)%len(all)]
		r.Reset(d)
		if err := r.Scan(data); err != nil {
			if len(r.Texts) != 0 {
				t.Fatal("a failed scan leaves texts")
			}
			return
		}
		if r.Terminal && strings.TrimSpace(string(data)) == "[DONE]" {
			return
		}
		checkSpans(t, data, r.Texts)
		if u := r.Usage; u.Input < 0 || u.Output < 0 || u.CachedInput < 0 || u.Input > 3e12 {
			t.Fatalf("usage %+v", u)
		}
		edited := splice(data, &r)
		back.Reset(d)
		if err := back.Scan(edited); err != nil {
			t.Fatalf("%q spliced to %q: %v", data, edited, err)
		}
		if d == dialect.Unknown {
			// Every string leaf is a text.
			if count(data) != len(r.Texts) {
				t.Fatalf("%d texts, %d string leaves in %q", len(r.Texts), count(data), data)
			}
		}
		for _, format := range []sse.Format{sse.EventStream, sse.NDJSON} {
			s.Reset(d)
			s.Observe(nil, data, &r)
			end := s.AppendFinish(nil, format, dialect.Usage{Input: 1, Output: 2, Known: true})
			for i, x := range r.Texts {
				if i < 20 {
					end = s.AppendTextDelta(end, format, data, x, []byte("a\"\n\xff"))
				}
			}
			for _, e := range events(t, format, end) {
				if e.data != "[DONE]" && !json.Valid([]byte(e.data)) {
					t.Fatalf("%s of %q is not JSON: %q", d, data, e.data)
				}
			}
		}
	})
}

// count returns the number of string leaves.
func count(data []byte) int {
	n := 0
	lim := jsonscan.Limits{Bytes: -1, Depth: -1, Keys: -1, TotalKeys: -1, KeyLen: -1, ArrayLen: -1, StringLen: -1, Nodes: -1, NumberLen: -1,
		Exponent: -1, AllowDuplicateKeys: true, AllowFoldCollisions: true, AllowInvalidText: true}
	jsonscan.Scan(data, &lim, visitor(func(_ *jsonscan.Path, k jsonscan.Kind, _, _ int) error {
		if k == jsonscan.String {
			n++
		}
		return nil
	}))
	return n
}

// models returns the number of string leaves that name the model, which is no text.
func models(data []byte) int {
	n := 0
	jsonscan.Scan(data, nil, visitor(func(p *jsonscan.Path, k jsonscan.Kind, _, _ int) error {
		if key, ok := p.Key(0); ok && k == jsonscan.String && p.Depth() == 1 && string(jsonscan.AppendUnquoted(nil, key)) == "model" {
			n++
		}
		return nil
	}))
	return n
}

type visitor func(p *jsonscan.Path, k jsonscan.Kind, start, end int) error

func (f visitor) Visit(p *jsonscan.Path, k jsonscan.Kind, start, end int) error {
	return f(p, k, start, end)
}

// FuzzRequest reads any body in every dialect: no panic, spans that can be spliced, sane facts, and in an unknown body every
// string leaf is found.
func FuzzRequest(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"content":"a","role":"user","tool_calls":[{"function":{"arguments":"{}"}}]}],"n":2}`), uint8(1))
	f.Add([]byte(`{"instructions":"i","input":[{"type":"reasoning","summary":[{"text":"x","type":"summary_text"}]}]}`), uint8(3))
	f.Add([]byte(`{"system":[{"text":"s"}],"messages":[{"content":[{"type":"tool_result","content":[{"source":{"type":"text","data":"d"}}]}]}]}`), uint8(5))
	f.Add([]byte(`{"prompt":"p","options":{"num_predict":4}}`), uint8(6))
	f.Add([]byte(`{"model":{"stream":["x"]}}`), uint8(0))
	var q dialect.Request
	f.Fuzz(func(t *testing.T, data []byte, n uint8) {
		d := all[int(n)%len(all)]
		q.Reset(d)
		if q.Scan(data) != nil {
			if len(q.Texts) != 0 || q.Model != "" {
				t.Fatal("a failed scan leaves facts")
			}
			return
		}
		checkSpans(t, data, q.Texts)
		if q.MaxTokens < -1 || q.N < 1 || q.LastMessage < 0 || q.LastEnd < q.LastMessage || q.LastEnd > len(q.Texts) {
			t.Fatalf("facts %+v", q)
		}
		if want := count(data) - models(data); d == dialect.Unknown && want != len(q.Texts) {
			t.Fatalf("%d texts, %d string leaves beside the model in %q", len(q.Texts), want, data)
		}
	})
}

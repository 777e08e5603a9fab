package sanitize_test

import (
	"bytes"
	"encoding/json"
	"math/rand/v2"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/sse"
	"github.com/mantlet-go/mantlet/sanitize"
)

// FuzzFilterJSON: whatever the body, the handler gets valid JSON or nothing; bytes outside strings are as they were; and scanning
// the result again finds nothing to redact.
func FuzzFilterJSON(f *testing.F) {
	f.Add(chat(mail), uint8(0))
	f.Add(`{"messages":[{"role":"tool","content":"`+githubKey+`\u200b\ud83d\ude00 4111 1111 1111 1111"}]}`, uint8(1))
	f.Add(`{"system":"\u0061nn@example.org","messages":[{"content":[{"type":"text","text":"\n\t`+mail+`"}]}]}`, uint8(2))
	f.Add(`["x@y.zz",{"k":"\\n`+mail+`\\"}]`, uint8(3))
	f.Add(`{"a":"e\u0301`+mail+`\u0000\u001b[31m"}`, uint8(3))
	paths := []string{"/v1/chat/completions", "/v1/responses", "/v1/messages", "/custom"}
	filter := newFilter(f, sanitize.Config{Policy: sanitize.Policy{{Direction: sanitize.Request, Action: sanitize.Redact}}})
	f.Fuzz(func(t *testing.T, body string, which uint8) {
		path := paths[int(which)%len(paths)]
		w, seen, _ := send(filter, post(path, body))
		if seen == nil {
			if w.Code < 400 {
				t.Fatalf("status %d and no handler", w.Code)
			}
			return
		}
		if len(body) > 0 && !json.Valid(seen) {
			t.Fatalf("%q became %q", body, seen)
		}
		if a, b := withoutStrings(body), withoutStrings(string(seen)); a != b {
			t.Fatalf("bytes outside strings changed: %q became %q", body, seen)
		}
		if _, again, _ := send(filter, post(path, string(seen))); !bytes.Equal(again, seen) {
			t.Fatalf("not settled: %q became %q, then %q", body, seen, again)
		}
	})
}

// withoutStrings is JSON with every string emptied.
func withoutStrings(s string) string {
	var b strings.Builder
	in, esc := false, false
	for i := range len(s) {
		switch c := s[i]; {
		case esc:
			esc = false
		case in && c == '\\':
			esc = true
		case c == '"':
			in = !in
			b.WriteByte(c)
		case !in:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// FuzzStreams: bytes that claim to be a stream, cut anywhere, neither crash the filter nor depend on the cut, and events stay
// events.
func FuzzStreams(f *testing.F) {
	for i, s := range scripts() {
		f.Add(s.open+s.delta("to "+mail[:7])+s.delta(mail[7:]+" "+githubKey)+s.close, uint64(i), uint8(i))
	}
	filter := newFilter(f, sanitize.Config{})
	f.Fuzz(func(t *testing.T, body string, seed uint64, which uint8) {
		s := scripts()[int(which)%len(scripts())]
		whole, _, _ := reply(filter, s.path, write(s.typ, body))
		rng := rand.New(rand.NewPCG(seed, 7))
		var pieces []string
		for rest := body; rest != ""; {
			n := 1 + rng.IntN(min(len(rest), 1<<(seed%9)))
			pieces = append(pieces, rest[:n])
			rest = rest[n:]
		}
		if valid, after := everyEventJSON(s.typ, []byte(body)), everyEventJSON(s.typ, whole.Body.Bytes()); valid && !after {
			t.Fatalf("%q: an event is not JSON any more in %q", body, whole.Body)
		}
		var w *httptest.ResponseRecorder
		if w, _, _ = reply(filter, s.path, write(s.typ, pieces...)); sameEvents(s.typ, w.Body.String()) != sameEvents(s.typ, whole.Body.String()) {
			t.Fatalf("%q in %d pieces:\n%q\nwhole\n%q", body, len(pieces), w.Body, whole.Body)
		}
	})
}

// sameEvents is a stream as its events are read: where the LF of a CRLF stands when events are put in between, and how many blank
// lines end an event, is no difference to a client. Newline-delimited JSON stays as it is.
func sameEvents(typ, body string) string {
	if strings.Contains(typ, "ndjson") {
		return body
	}
	body = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(body)
	for strings.Contains(body, "\n\n\n") {
		body = strings.ReplaceAll(body, "\n\n\n", "\n\n")
	}
	return body
}

// everyEventJSON reports whether every event of a stream is a JSON object, array or string. Bare numbers and literals are pieces of
// plain text to the filter (the tokens of a card number are numbers), whose lines are one text.
func everyEventJSON(typ string, body []byte) bool {
	p := sse.Parser{}
	if strings.Contains(typ, "ndjson") {
		p.Format = sse.NDJSON
	}
	document := func(data []byte) bool {
		start := bytes.TrimLeft(data, " \t\r\n")
		return len(start) > 0 && strings.IndexByte(`{["`, start[0]) >= 0 && json.Valid(data)
	}
	for {
		ev, rest, ok, err := p.Next(body)
		if err != nil {
			return false
		}
		if !ok {
			tail, cut := p.Tail()
			return !cut || !tail.HasData || document(tail.Data)
		}
		if body = rest; ev.HasData && !document(ev.Data) && string(ev.Data) != "[DONE]" {
			return false
		}
	}
}

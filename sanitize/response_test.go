package sanitize_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/sse"
	"github.com/mantlet-go/mantlet/sanitize"
	"github.com/mantlet-go/mantlet/sanitize/detect"
	"github.com/mantlet-go/mantlet/sanitize/redact"
)

// reply lets a handler answer through f and returns what the client got and the findings. A panic that cuts the connection is
// reported as cut.
func reply(f *sanitize.Filter, path string, h http.HandlerFunc) (w *httptest.ResponseRecorder, found []exchange.Finding, cut bool) {
	w = httptest.NewRecorder()
	x, ew, r := exchange.Enter(w, httptest.NewRequest("POST", path, nil))
	defer x.Leave()
	defer func() {
		found = x.Findings()
		if v := recover(); v != nil {
			if v != http.ErrAbortHandler {
				panic(v)
			}
			cut = true
		}
	}()
	f.Handler(h).ServeHTTP(ew, r)
	return
}

func write(contentType string, pieces ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", contentType)
		for _, p := range pieces {
			io.WriteString(w, p)
		}
	}
}

func TestAJSONAnswerIsRedactedInPlaceAndItsHeadersFollow(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	body := `{"id":"x","choices":[ {"message":{"role":"assistant","content":"ask \u0041 ` + mail + ` or ` + githubKey + `"},"n":1.0} ]}`
	h := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		w.Header().Set("ETag", `"1"`)
		w.Header().Set("Content-MD5", "x")
		w.Header().Set("Content-Digest", "x")
		io.WriteString(w, body)
	}
	w, found, _ := reply(f, "/v1/chat/completions", h)
	want := strings.NewReplacer(mail, "[REDACTED:email]", githubKey, "[REDACTED:secret]").Replace(body)
	if w.Body.String() != want {
		t.Errorf("\ngot  %s\nwant %s", w.Body, want)
	}
	hd := w.Header()
	if hd.Get("Content-Length") != fmt.Sprint(len(want)) || hd.Get("Etag") != "" || hd.Get("Content-Md5") != "" || hd.Get("Content-Digest") != "" {
		t.Errorf("headers %v", hd)
	}
	if len(found) != 2 || found[0].Action != "redact" || found[0].Direction != "response" {
		t.Errorf("findings %v", found)
	}
	// Without a finding nothing changes, the validators included.
	body = `{"choices":[{"message":{"content":"nothing here"}}]}`
	if w, _, _ := reply(f, "/v1/chat/completions", h); w.Body.String() != body || w.Header().Get("Etag") == "" || w.Header().Get("Content-Length") != fmt.Sprint(len(body)) {
		t.Errorf("%s %v", w.Body, w.Header())
	}
}

func TestLogProbabilitiesOfARedactedAnswerAreBlanked(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	lp := func(tokens ...string) string {
		var b []string
		for _, tok := range tokens {
			b = append(b, fmt.Sprintf(`{"token":%q,"logprob":-0.1,"bytes":[1,2],"top_logprobs":[{"token":%q,"logprob":-1,"bytes":[3]}]}`, tok, tok))
		}
		return `"logprobs":{"content":[` + strings.Join(b, ",") + `]}`
	}
	body := `{"choices":[{"message":{"content":"to ann@example.org"},` + lp("to", " ann", "@example", ".org") + `}]}`
	w, _, _ := reply(f, "/v1/chat/completions", write("application/json", body))
	if got := w.Body.String(); strings.Contains(got, "ann") || strings.Contains(got, "[1,2]") || !json.Valid([]byte(got)) || !strings.Contains(got, `"logprob":-0.1`) {
		t.Errorf("got %s", got)
	}
	body = `{"choices":[{"message":{"content":"to ann"},` + lp("to", " ann") + `}]}`
	if w, _, _ := reply(f, "/v1/chat/completions", write("application/json", body)); w.Body.String() != body {
		t.Errorf("an untouched answer lost its log probabilities: %s", w.Body)
	}
	// Streamed: the token would tell what the text still holds back.
	events := `data: {"choices":[{"index":0,"delta":{"content":"` + githubKey[:20] + `"},` + lp(githubKey[:20]) + `}]}` + "\n\n" +
		`data: {"choices":[{"index":0,"delta":{"content":"` + githubKey[20:] + `."},` + lp(githubKey[20:]) + `}]}` + "\n\ndata: [DONE]\n\n"
	w, _, _ = reply(f, "/v1/chat/completions", write("text/event-stream", events))
	if got := w.Body.String(); strings.Contains(got, githubKey[5:15]) || strings.Contains(got, githubKey[25:]) {
		t.Errorf("got %s", got)
	}
}

func TestAnswersThatCannotBeScannedAreWithheld(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	open := newFilter(t, sanitize.Config{SkipEncoded: true, SkipOversized: true})
	gz := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Encoding", "gzip")
		write("application/json", "\x1f\x8bsecret")(w, r)
	}
	huge := write("application/json", `{"a":"`, strings.Repeat("x", exchange.MaxDoc), mail, `"}`)
	for name, h := range map[string]http.HandlerFunc{
		"compressed": gz, "oversized": huge, "utf-16": write("text/plain; charset=utf-16", "s\x00e\x00c\x00r\x00e\x00t\x00"),
	} {
		if w, _, _ := reply(f, "/v1/chat/completions", h); w.Code != 502 || !strings.Contains(w.Body.String(), "upstream_error") || w.Header().Get("Content-Encoding") != "" {
			t.Errorf("%s: %d %.100s", name, w.Code, w.Body)
		}
		if w, _, _ := reply(open, "/v1/chat/completions", h); w.Code != 200 || w.Body.Len() < 8 {
			t.Errorf("%s with Skip...: %d", name, w.Code)
		}
	}
	for _, h := range []http.HandlerFunc{write("image/png", "\x89PNG", mail), write("application/octet-stream", "\x00\x01", mail)} {
		if w, _, _ := reply(f, "/x", h); !strings.Contains(w.Body.String(), mail) {
			t.Errorf("a binary answer became %q", w.Body)
		}
	}
}

func TestTextAnswersAreRedactedPieceByPiece(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	text := "key " + githubKey + "\nmail " + mail
	want := "key [REDACTED:secret]\nmail [REDACTED:email]"
	for size := 1; size < 60; size++ {
		var pieces []string
		for c := range slices.Chunk([]byte(text), size) {
			pieces = append(pieces, string(c))
		}
		for _, typ := range []string{"text/plain", "text/markdown; charset=utf-8", "application/xml", ""} {
			if w, _, _ := reply(f, "/x", write(typ, pieces...)); w.Body.String() != want {
				t.Fatalf("%s in pieces of %d: %q", typ, size, w.Body)
			}
		}
	}
	if w, _, _ := reply(f, "/x", func(w http.ResponseWriter, r *http.Request) {
		write("text/plain", "half "+githubKey[:30])(w, r)
		panic(http.ErrAbortHandler)
	}); strings.Contains(w.Body.String(), "gh"+"p_") {
		t.Errorf("an aborted answer released %q", w.Body)
	}
}

// script is a streamed reply: frames of texts on channels, in a dialect.
type script struct {
	name, path, typ string
	// deltas turns pieces of one text into the events before the end.
	open, close string
	delta       func(piece string) string
	// text reads the text back from what a client got; it fails on events that do not parse.
	text func(t *testing.T, events []sse.Event) string
}

func quote(s string) string { b, _ := json.Marshal(s); return string(b) }

func scripts() []script {
	member := func(path ...any) func(*testing.T, []sse.Event) string {
		return func(t *testing.T, events []sse.Event) string {
			var b strings.Builder
			for _, e := range events {
				if !e.HasData || string(e.Data) == "[DONE]" {
					continue
				}
				var v any
				if err := json.Unmarshal(e.Data, &v); err != nil {
					t.Fatalf("event does not parse: %v: %s", err, e.Raw)
				}
				if m, ok := v.(map[string]any); ok && strings.HasSuffix(fmt.Sprint(m["type"]), ".done") {
					continue // Responses says everything twice
				}
				for _, p := range path {
					switch p := p.(type) {
					case string:
						m, _ := v.(map[string]any)
						v = m[p]
					case int:
						a, _ := v.([]any)
						if len(a) <= p {
							v = nil
						} else {
							v = a[p]
						}
					}
				}
				s, _ := v.(string)
				b.WriteString(s)
			}
			return b.String()
		}
	}
	return []script{
		{"openai chat", "/v1/chat/completions", "text/event-stream",
			": hello\n\ndata: {\"id\":\"c1\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\n\n",
			"data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":1,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n",
			func(p string) string {
				return `data: {"id":"c1","choices":[{"index":0,"delta":{"content":` + quote(p) + `},"finish_reason":null}]}` + "\n\n"
			},
			member("choices", 0, "delta", "content")},
		{"openai tool call", "/v1/chat/completions", "text/event-stream",
			`data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}}]}}]}` + "\n\n",
			`data: {"choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}` + "\n\ndata: [DONE]\n\n",
			func(p string) string {
				return `data: {"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":` + quote(p) + `}}]}}]}` + "\n\n"
			},
			member("choices", 0, "delta", "tool_calls", 0, "function", "arguments")},
		{"openai completions", "/v1/completions", "text/event-stream", "", "data: {\"choices\":[{\"index\":0,\"text\":\"\",\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n",
			func(p string) string {
				return `data: {"choices":[{"index":0,"text":` + quote(p) + `,"finish_reason":null}]}` + "\r\n\r\n"
			},
			member("choices", 0, "text")},
		{"openai responses", "/v1/responses", "text/event-stream",
			"event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"r1\",\"output\":[]}}\n\n",
			"event: response.completed\ndata: {\"type\":\"response.completed\",\"sequence_number\":9,\"response\":{\"id\":\"r1\",\"output\":[]}}\n\n",
			func(p string) string {
				return "event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":1,\"item_id\":\"m1\",\"output_index\":0,\"content_index\":0,\"delta\":" + quote(p) + "}\n\n"
			},
			member("delta")},
		{"anthropic", "/v1/messages", "text/event-stream",
			"event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m1\",\"role\":\"assistant\",\"content\":[],\"usage\":{\"input_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n",
			"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":5}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
			func(p string) string {
				return "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":" + quote(p) + "}}\n\n"
			},
			member("delta", "text")},
		{"anthropic tool input", "/v1/messages", "text/event-stream",
			"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":1,\"content_block\":{\"type\":\"tool_use\",\"id\":\"t\",\"name\":\"f\",\"input\":{}}}\n\n",
			"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":1}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
			func(p string) string {
				return "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":1,\"delta\":{\"type\":\"input_json_delta\",\"partial_json\":" + quote(p) + "}}\n\n"
			},
			member("delta", "partial_json")},
		{"ollama chat", "/api/chat", "application/x-ndjson", "", `{"model":"m","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop"}` + "\n",
			func(p string) string {
				return `{"model":"m","message":{"role":"assistant","content":` + quote(p) + `},"done":false}` + "\n"
			},
			member("message", "content")},
		{"unknown", "/custom", "text/event-stream", "", "",
			func(p string) string { return `data: {"type":"chunk","piece":` + quote(p) + `}` + "\n\n" },
			member("piece")},
		{"not JSON", "/custom", "text/event-stream", "", "",
			func(p string) string { return "data: " + strings.ReplaceAll(p, "\n", "\ndata: ") + "\n\n" },
			func(t *testing.T, events []sse.Event) string {
				var b strings.Builder
				for _, e := range events {
					b.Write(e.Data)
				}
				return b.String()
			}},
	}
}

func parse(t *testing.T, typ string, body []byte) []sse.Event {
	t.Helper()
	p := sse.Parser{}
	if strings.Contains(typ, "ndjson") {
		p.Format = sse.NDJSON
	}
	var out []sse.Event
	for {
		ev, rest, ok, err := p.Next(body)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		ev.Raw, ev.Data, ev.Type = bytes.Clone(ev.Raw), bytes.Clone(ev.Data), bytes.Clone(ev.Type)
		out, body = append(out, ev), rest
	}
	if ev, ok := p.Tail(); ok {
		t.Fatalf("unterminated event %q", ev.Raw)
	}
	return out
}

// BerriAI/litellm#41611, #31503, #41936, mastra-ai/mastra#21049, api7/aisix#694: redaction that missed or buffered what chunks cut
// in two. Every stream is cut at every byte of the text, and no client-visible byte sequence holds the secret.
func TestLitellm41611ASecretCutByChunksNeverLeavesInAnyDialect(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	r, err := redact.New(redact.Config{})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range scripts() {
		t.Run(s.name, func(t *testing.T) {
			text := `{"k":"` + githubKey + `","to":"` + mail + `","n":4111111111111111} tail ` + mail
			if s.name == "not JSON" {
				text = "say " + text // one event that is JSON by itself would be read as JSON
			}
			secrets := []string{githubKey, mail, "4111111111111111", githubKey[4:16], "ann.smith"}
			var wantB []byte
			if strings.Contains(s.name, "tool") {
				wantB, _ = r.RedactJSON(nil, []byte(text))
			} else {
				wantB, _ = r.Redact(nil, []byte(text))
			}
			cuts := [][]string{}
			for size := 1; size <= 12; size++ {
				var pieces []string
				for c := range slices.Chunk([]byte(text), size) {
					pieces = append(pieces, string(c))
				}
				cuts = append(cuts, pieces)
			}
			for i := range len(text) {
				cuts = append(cuts, []string{text[:i], text[i:]})
			}
			for _, pieces := range cuts {
				events := []string{s.open}
				for _, p := range pieces {
					if p != "" || s.name != "not JSON" {
						events = append(events, s.delta(p))
					}
				}
				events = append(events, s.close)
				w, _, cut := reply(f, s.path, write(s.typ, events...))
				if cut {
					t.Fatal("the connection was cut")
				}
				got := s.text(t, parse(t, s.typ, w.Body.Bytes()))
				if got != string(wantB) {
					t.Fatalf("%d pieces, first %q:\ngot  %s\nwant %s\nin %s", len(pieces), pieces[0], got, wantB, w.Body)
				}
				for _, secret := range secrets {
					if bytes.Contains(w.Body.Bytes(), []byte(secret)) {
						t.Fatalf("the client saw %q in %s", secret, w.Body)
					}
				}
				if s.close != "" && s.name != "ollama chat" && !strings.HasSuffix(w.Body.String(), s.close[strings.LastIndex(strings.TrimRight(s.close, "\n"), "\n")+1:]) {
					t.Fatalf("the end of the stream changed: %s", w.Body)
				}
			}
		})
	}
}

// Bytes of the events split anywhere by the network: the same result.
func TestEventsSplitAtEveryByteOfTheWireGiveTheSameStream(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	for _, s := range scripts() {
		var all string
		for _, p := range []string{"Hi ", githubKey[:9], githubKey[9:], " mail ann.sm", "ith@example.org \"quoted\"\n", "ünïcode 😀 end"} {
			all += s.delta(p)
		}
		all = s.open + all + s.close
		whole, _, _ := reply(f, s.path, write(s.typ, all))
		for i := 1; i < len(all); i++ {
			if w, _, _ := reply(f, s.path, write(s.typ, all[:i], all[i:])); w.Body.String() != whole.Body.String() {
				t.Fatalf("%s split at %d:\n%s\nwant\n%s", s.name, i, w.Body, whole.Body)
			}
		}
		var bytewise []string
		for i := range len(all) {
			bytewise = append(bytewise, all[i:i+1])
		}
		if w, _, _ := reply(f, s.path, write(s.typ, bytewise...)); w.Body.String() != whole.Body.String() {
			t.Fatalf("%s byte by byte:\n%s", s.name, w.Body)
		}
	}
}

func TestEventsWithoutAChangePassByteForByte(t *testing.T) {
	// Without the e-mail detector no ordinary word is held back, so every event is its own.
	f := newFilter(t, sanitize.Config{Detectors: []detect.Detector{detect.ProviderKeys(), detect.Card()}})
	for _, s := range scripts() {
		all := s.open + s.delta("Hello ") + s.delta("world, \"quoted\" \u2028 and ") + ": heartbeat\n\n" + s.delta("1234 things. ") + s.close
		if s.name == "ollama chat" {
			all = strings.Replace(all, ": heartbeat\n\n", "\n", 1)
		}
		if w, _, _ := reply(f, s.path, write(s.typ, all)); w.Body.String() != all {
			t.Errorf("%s:\ngot  %q\nwant %q", s.name, w.Body, all)
		}
	}
}

// NVIDIA-NeMo/Guardrails#588 and #1197: everything in one chunk at the end, and spaces put between tokens.
func TestNeMo1197TheStreamKeepsFlowingAndKeepsItsSpaces(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	s := scripts()[0]
	w := httptest.NewRecorder()
	sizes := []int{}
	x, ew, r := exchange.Enter(w, httptest.NewRequest("POST", s.path, nil))
	defer x.Leave()
	words := strings.SplitAfter("The quick brown fox jumps over the lazy dog ", " ")
	f.Handler(http.HandlerFunc(func(w2 http.ResponseWriter, r *http.Request) {
		w2.Header().Set("Content-Type", s.typ)
		for _, word := range words {
			io.WriteString(w2, s.delta(word))
			sizes = append(sizes, len(s.text(t, parse(t, s.typ, w.Body.Bytes()))))
		}
		io.WriteString(w2, s.close)
	})).ServeHTTP(ew, r)
	sent := 0
	for i, word := range words {
		if sent += len(word); sizes[i] != sent {
			t.Errorf("after %q the client had %d of %d bytes", word, sizes[i], sent)
		}
	}
}

func TestInterleavedChoicesAreRedactedEachForItself(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	delta := func(choice int, p string) string {
		return fmt.Sprintf("data: {\"choices\":[{\"index\":%d,\"delta\":{\"content\":%s}}]}\n\n", choice, quote(p))
	}
	finish := func(choice int) string {
		return fmt.Sprintf("data: {\"choices\":[{\"index\":%d,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n", choice)
	}
	const n = 8
	var events []string
	for i := range len(githubKey) {
		for c := range n {
			if c%2 == 0 {
				events = append(events, delta(c, githubKey[i:i+1]))
			} else if i < 20 {
				events = append(events, delta(c, "ab"[i%2:i%2+1]))
			}
		}
		if i == 20 {
			for c := 1; c < n; c += 2 {
				events = append(events, finish(c)) // must not decide the live keys of the others
			}
		}
	}
	for c := 0; c < n; c += 2 {
		events = append(events, finish(c))
	}
	events = append(events, "data: [DONE]\n\n")
	w, _, _ := reply(f, "/v1/chat/completions", write("text/event-stream", events...))
	texts := [n]string{}
	finished := [n]bool{}
	for _, e := range parse(t, "", w.Body.Bytes()) {
		if string(e.Data) == "[DONE]" {
			continue
		}
		var v struct {
			Choices []struct {
				Index  int
				Delta  struct{ Content string }
				Finish *string `json:"finish_reason"`
			}
		}
		if err := json.Unmarshal(e.Data, &v); err != nil {
			t.Fatal(err)
		}
		for _, c := range v.Choices {
			if c.Delta.Content != "" && finished[c.Index] {
				t.Errorf("choice %d goes on after its end", c.Index)
			}
			texts[c.Index] += c.Delta.Content
			finished[c.Index] = finished[c.Index] || c.Finish != nil
		}
	}
	for c, got := range texts {
		want := "[REDACTED:secret]"
		if c%2 == 1 {
			want = strings.Repeat("ab", 10)
		}
		if got != want || !finished[c] {
			t.Errorf("choice %d: %q, want %q", c, got, want)
		}
	}
}

func TestResponsesDoneEventsRepeatTheRedactedText(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	s := scripts()[3]
	done := `event: response.output_text.done` + "\n" + `data: {"type":"response.output_text.done","item_id":"m1","output_index":0,"content_index":0,"text":"mail ` + mail + `"}` + "\n\n"
	end := `event: response.completed` + "\n" + `data: {"type":"response.completed","response":{"id":"r","output":[{"type":"message","id":"m1","content":[{"type":"output_text","text":"mail ` + mail + `"}]}]}}` + "\n\n"
	w, _, _ := reply(f, s.path, write(s.typ, s.open, s.delta("mail ann."), s.delta("smith@example.org"), done, end))
	got := w.Body.String()
	if strings.Contains(got, "ann") || strings.Count(got, "mail [REDACTED:email]") != 2 {
		t.Errorf("got %s", got)
	}
	if i, j := strings.Index(got, `"delta":"[REDACTED:email]"`), strings.Index(got, "output_text.done"); i < 0 || i > j {
		t.Errorf("the held text did not leave before the event that ends it: %s", got)
	}
}

func TestABlockedStreamEndsWithAnErrorEventInItsDialect(t *testing.T) {
	f := newFilter(t, sanitize.Config{Policy: sanitize.Policy{{Kind: detect.KindSecret, Action: sanitize.Block}}})
	for _, s := range scripts()[:8] {
		w, found, cut := reply(f, s.path, write(s.typ, s.open, s.delta("safe start, "), s.delta(githubKey+" "), s.delta("never seen "), s.close))
		got := w.Body.String()
		if cut || strings.Contains(got, githubKey[4:]) || strings.Contains(got, "never") || !strings.Contains(got, "content_policy") || !strings.Contains(got, "safe") {
			t.Errorf("%s: cut %v: %s", s.name, cut, got)
		}
		parse(t, s.typ, w.Body.Bytes())
		if len(found) != 1 || found[0].Action != "block" {
			t.Errorf("%s: %v", s.name, found)
		}
	}
	if w, _, _ := reply(f, "/x", write("application/json", `{"a":"`+githubKey+`"}`)); w.Code != 400 || strings.Contains(w.Body.String(), "gh"+"p_") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if w, _, cut := reply(f, "/x", write("text/plain", strings.Repeat("safe ", 10), githubKey+" ", "never")); !cut || strings.Contains(w.Body.String(), "never") || strings.Contains(w.Body.String(), "gh"+"p_") {
		t.Errorf("cut %v, %s", cut, w.Body)
	}
}

func TestShadowForwardsEveryResponseByte(t *testing.T) {
	f := newFilter(t, sanitize.Config{Shadow: true, Policy: sanitize.Policy{{Kind: detect.KindSecret, Action: sanitize.Block}}})
	for _, s := range scripts() {
		all := s.open + s.delta("a "+githubKey[:8]) + s.delta(githubKey[8:]+" "+mail) + s.close
		w, found, _ := reply(f, s.path, write(s.typ, all))
		if w.Body.String() != all {
			t.Errorf("%s changed:\n%s", s.name, w.Body)
		}
		if len(found) == 0 || found[0].Action != "would_block" {
			t.Errorf("%s: findings %v", s.name, found)
		}
	}
}

func TestAnUpstreamErrorDropsWhatIsHeld(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	s := scripts()[4]
	w, _, _ := reply(f, s.path, write(s.typ, s.open, s.delta("key "+githubKey[:20]), "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n"))
	if got := w.Body.String(); strings.Contains(got, "gh"+"p_") || !strings.Contains(got, "overloaded_error") {
		t.Errorf("got %s", got)
	}
}

func TestAPanicMidStreamDropsWhatIsHeld(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	for _, s := range scripts() {
		w, _, cut := reply(f, s.path, func(w http.ResponseWriter, r *http.Request) {
			write(s.typ, s.open, s.delta("key "+githubKey[:20]))(w, r)
			panic(http.ErrAbortHandler)
		})
		if !cut || strings.Contains(w.Body.String(), "gh"+"p_") {
			t.Errorf("%s: cut %v: %s", s.name, cut, w.Body)
		}
	}
}

func TestAResponseWithoutABodyPasses(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	for _, status := range []int{204, 304} {
		w, _, _ := reply(f, "/x", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Etag", `"1"`)
			w.WriteHeader(status)
		})
		if w.Code != status || w.Header().Get("Etag") == "" && status == 304 {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	}
	r := httptest.NewRequest("HEAD", "/x", nil)
	w := httptest.NewRecorder()
	f.Handler(write("application/json")).ServeHTTP(w, r)
	if w.Code != 200 || w.Body.Len() != 0 {
		t.Errorf("HEAD: %d", w.Code)
	}
}

func TestSkipResponsesLeavesThemAlone(t *testing.T) {
	f := newFilter(t, sanitize.Config{SkipResponses: true})
	if w, _, _ := reply(f, "/x", write("text/plain", mail)); w.Body.String() != mail {
		t.Errorf("%s", w.Body)
	}
}

// Anthropic's blocks end one by one: the end of one must not decide the live match of another.
func TestABlockThatEndsLeavesTheOthersAlone(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	delta := func(block int, p string) string {
		return fmt.Sprintf("event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":%d,\"delta\":{\"type\":\"text_delta\",\"text\":%s}}\n\n", block, quote(p))
	}
	stop := func(block int) string {
		return fmt.Sprintf("event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":%d}\n\n", block)
	}
	w, _, _ := reply(f, "/v1/messages", write("text/event-stream", delta(0, "plain word"), delta(1, githubKey[:20]), stop(0),
		delta(1, githubKey[20:]), stop(1), "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"))
	got := w.Body.String()
	if strings.Contains(got, "gh"+"p_") || !strings.Contains(got, "[REDACTED:secret]") || !strings.Contains(got, `"text":"word"`) {
		t.Errorf("got %s", got)
	}
	if i, j := strings.Index(got, `"text":"word"`), strings.Index(got, "content_block_stop"); i > j {
		t.Errorf("the held word left after its block: %s", got)
	}
}

// Members that vendors put beside the ones a dialect knows are not a way around the filter.
func TestStringsADialectDoesNotKnowAreScannedToo(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	extra := `"vendor":{"notes":["see ` + mail + `"]},"key":"` + githubKey + `"`
	w, _, _ := reply(f, "/v1/chat/completions", write("application/json", `{"choices":[{"message":{"content":"hi"}}],`+extra+`}`))
	if got := w.Body.String(); strings.Contains(got, mail) || strings.Contains(got, githubKey) || !json.Valid(w.Body.Bytes()) {
		t.Errorf("got %s", got)
	}
	w, _, _ = reply(f, "/v1/messages", write("text/event-stream", `data: {"type":"ping",`+extra+"}\n\n"))
	if got := w.Body.String(); strings.Contains(got, mail) || strings.Contains(got, githubKey) {
		t.Errorf("got %s", got)
	}
}

// Research §6: CR-only lines, CRLF, several data lines, ids and retry fields, comments between, [DONE] missing.
func TestRewrittenEventsKeepTheirOtherLinesAndLineBreaks(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	delta := func(p string) string { return `{"choices":[{"index":0,"delta":{"content":` + quote(p) + `}}]}` }
	for in, want := range map[string]string{
		"id: 7\rretry: 3\rdata: " + delta("to "+mail+". ") + "\r\r":                     "id: 7\rretry: 3\rdata: " + delta("to [REDACTED:email]. ") + "\r\r",
		"id: 7\r\ndata: " + delta("to "+mail+", ") + "\r\n: c\r\n\r\n":                  "id: 7\r\ndata: " + delta("to [REDACTED:email], ") + "\r\n: c\r\n\r\n",
		"data:" + delta("to "+mail+", ") + "\n\n":                                       "data: " + delta("to [REDACTED:email], ") + "\n\n",
		"data: {\"choices\":\ndata: [{\"delta\":{\"content\":\"" + mail + " \"}}]}\n\n": "data: {\"choices\":\ndata: [{\"delta\":{\"content\":\"[REDACTED:email] \"}}]}\n\n",
	} {
		if w, _, _ := reply(f, "/v1/chat/completions", write("text/event-stream", in)); w.Body.String() != want {
			t.Errorf("%q became %q, want %q", in, w.Body, want)
		}
	}
	// Without [DONE] the held word leaves at the end of the response.
	w, _, _ := reply(f, "/v1/chat/completions", write("text/event-stream", "data: "+delta("last words")+"\n\n"))
	if got := scripts()[0].text(t, parse(t, "", w.Body.Bytes())); got != "last words" {
		t.Errorf("the client got %q", got)
	}
}

func TestAHostileUpstreamCannotMakeTheFilterFollowCountlessTexts(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	var b strings.Builder
	b.WriteString(`data: {`)
	for i := range 5000 {
		fmt.Fprintf(&b, `"m%d":"word",`, i)
	}
	b.WriteString(`"z":""}` + "\n\n")
	w, _, _ := reply(f, "/custom", write("text/event-stream", b.String()))
	if got := w.Body.String(); !strings.Contains(got, "upstream_error") || strings.Contains(got, "word") {
		t.Errorf("got %.200s", got)
	}
}

func TestOverARealConnectionAStreamFlowsWhileItIsWritten(t *testing.T) {
	s := scripts()[0]
	got := make(chan struct{})
	e := newErrors(t, sanitize.ErrorsConfig{})
	srv := httptest.NewServer(e.Handler(newFilter(t, sanitize.Config{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", s.typ)
		io.WriteString(w, s.delta("first word, "))
		if err := http.NewResponseController(w).Flush(); err != nil {
			t.Error(err)
		}
		<-got // the client has it before the rest is written
		io.WriteString(w, s.delta("mail "+mail)+s.close)
	}))))
	defer srv.Close()
	res, err := srv.Client().Post(srv.URL+s.path, "application/json", strings.NewReader(chat("hi")))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	first := make([]byte, len(s.delta("first word, ")))
	if _, err := io.ReadFull(res.Body, first); err != nil || string(first) != s.delta("first word, ") {
		t.Fatalf("%q %v", first, err)
	}
	close(got)
	rest, err := io.ReadAll(res.Body)
	if text := s.text(t, parse(t, s.typ, rest)); err != nil || text != "mail [REDACTED:email]" {
		t.Errorf("%q %v", text, err)
	}
}

package sanitize_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/sanitize"
	"github.com/mantlet-go/mantlet/sanitize/detect"
)

// awsKey has the form of an access key id and is nobody's.
const awsKey = "AKIA" + "Q7RT5WZPK3LM9XVB"

// cut puts five characters of awsKey at a time into a format.
func cut(format string) (out []string) {
	for piece := range slices.Chunk([]byte(awsKey), 5) {
		out = append(out, fmt.Sprintf(format, piece))
	}
	return out
}

// collected is what a client reads that joins every piece of awsKey it sees.
func collected(body string) string {
	var b strings.Builder
	for piece := range slices.Chunk([]byte(awsKey), 5) {
		if strings.Contains(body, string(piece)) {
			b.Write(piece)
		}
	}
	return b.String()
}

func TestAPartOfAnAnswerIsNeitherAskedForNorPassedOn(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	text := "the key is " + awsKey + " ok"
	h := f.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeContent(w, r, "out.txt", time.Time{}, strings.NewReader(text))
	}))
	for _, rg := range []string{"", "bytes=0-20", "bytes=21-40", "bytes=0-40,42-42"} {
		r := httptest.NewRequest("GET", "/v1/files/1/content", nil)
		if rg != "" {
			r.Header.Set("Range", rg)
			r.Header.Set("If-Range", `"1"`)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 || w.Body.String() != "the key is [REDACTED:secret] ok" {
			t.Errorf("%q: %d %q", rg, w.Code, w.Body)
		}
		if rg != "" && r.Header.Get("Range") == "" {
			t.Error("the outer request lost its header")
		}
	}
	for name, h := range map[string]http.HandlerFunc{
		"206": func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			w.WriteHeader(206)
			io.WriteString(w, awsKey[:10])
		},
		"multipart": write("multipart/x-mixed-replace; boundary=a", "--a\r\n\r\n", awsKey[:10]),
	} {
		if w, _, _ := reply(f, "/x", h); w.Code != 502 || strings.Contains(w.Body.String(), awsKey[:10]) {
			t.Errorf("%s: %d %q", name, w.Code, w.Body)
		}
	}
}

func TestJSONIsReadAsJSONWhateverItsContentTypeSays(t *testing.T) {
	policy := sanitize.Policy{{Kind: detect.KindSecret, Direction: sanitize.Request, Action: sanitize.Block}}
	body := `{"messages":[{"role":"user","content":"` + strings.ReplaceAll(awsKey, "A", `\u0041`) + `"}]}`
	for _, open := range []bool{false, true} {
		f := newFilter(t, sanitize.Config{Policy: policy, SkipUnreadable: open})
		for _, typ := range []string{"application/json", "text/plain", "text/plain; charset=utf-8", "image/png", "multipart/form-data; boundary=x"} {
			r := post("/api/chat", body)
			r.Header.Set("Content-Type", typ)
			if w, seen, _ := send(f, r); w.Code < 400 || seen != nil {
				t.Errorf("%s, skip %v: %d, handler saw %s", typ, open, w.Code, seen)
			}
		}
	}
	f := newFilter(t, sanitize.Config{SkipUnreadable: true})
	for body, typ := range map[string]string{
		`{"a":1,"a":"x"}`: "text/plain", `{"a":"x"} {`: "text/plain", // a laxer parser reads on
	} {
		r := post("/api/chat", body)
		r.Header.Set("Content-Type", typ)
		if w, seen, _ := send(f, r); w.Code != 400 || seen != nil {
			t.Errorf("%s: %d, handler saw %s", body, w.Code, seen)
		}
	}
	for body, typ := range map[string]string{
		"[1] a note {x}": "text/plain", `"quoted," he said`: "text/plain", "\x89PNG": "image/png", "": "text/plain", "{": "image/png",
		strings.Repeat("--x\r\n", 300_000): "multipart/form-data; boundary=x",
	} {
		r := post("/x", body)
		r.Header.Set("Content-Type", typ)
		if w, seen, _ := send(f, r); w.Code != 200 || string(seen) != body {
			t.Errorf("%.30q: %d, handler saw %.30q", body, w.Code, seen)
		}
	}
}

func TestASecretCutByEventsIsJoinedWhateverCarriesIt(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	const chat = "/v1/chat/completions"
	for _, c := range []struct {
		name, path, typ string
		pieces          []string
	}{
		{"a vendor's field of a delta", chat, "text/event-stream", cut(`data: {"choices":[{"index":0,"delta":{"thinking_blocks":[{"type":"thinking","thinking":"%s"}]}}]}` + "\n\n")},
		{"a message in place of a delta", chat, "text/event-stream", cut(`data: {"choices":[{"index":0,"message":{"content":"%s"}}]}` + "\n\n")},
		{"an Anthropic stream of chat", chat, "text/event-stream", cut(`data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%s"}}` + "\n\n")},
		{"an Ollama stream of chat", chat, "application/x-ndjson", cut(`{"message":{"role":"assistant","content":"%s"},"done":false}` + "\n")},
		{"a chat stream of Anthropic", "/v1/messages", "text/event-stream", cut(`data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}` + "\n\n")},
		{"a delta object of Responses", "/v1/responses", "text/event-stream", cut(`data: {"type":"response.reasoning.delta","output_index":0,"delta":{"text":"%s"}}` + "\n\n")},
		{"events without a type", chat, "", cut(`data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}` + "\n\n")},
		{"events as text", chat, "text/plain", cut(`data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}` + "\n\n")},
		{"events with a comment first", chat, "text/plain", append([]string{": hi\n\n"}, cut(`data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}`+"\n\n")...)},
		{"NDJSON as JSON", "/api/chat", "application/json", cut(`{"message":{"role":"assistant","content":"%s"},"done":false}` + "\n")},
		{"values without a line between", "/gen", "application/json", cut(`{"t":"%s"}`)},
		{"stream+json", "/gen", "application/stream+json", cut(`{"t":"%s"}` + "\n")},
		{"values without a type", "/gen", "", cut(`{"t":"%s"}` + "\n")},
		{"jsonlines", "/gen", "application/jsonlines", []string{`{"t":"` + awsKey + `"}`}},
		{"escaped text/json", "/gen", "text/json", []string{`{"t":"` + strings.Replace(awsKey, "A", `\u0041`, 1) + `"}`}},
		{"escaped json-seq", "/gen", "application/json-seq", []string{"\x1e" + `{"t":"` + strings.Replace(awsKey, "A", `\u0041`, 1) + `"}`}},
		{"an octet stream of text", "/gen", "application/octet-stream", []string{`{"t":"` + awsKey + `"}`}},
		{"an image of text", "/gen", "image/png", []string{"t: " + awsKey}},
		{"a type nobody knows", "/gen", "application/x-foo", []string{"t: " + awsKey}},
		{"a data URL of text", "/gen", "application/json", []string{`{"answer":"data:;base64,` + awsKey + `"}`}},
		{"a data URL of text, streamed", "/gen", "text/event-stream", []string{`data: {"answer":"data:text/plain;base64,` + awsKey + `"}` + "\n\n"}},
		{"an image URL", chat, "application/json", []string{`{"choices":[{"message":{"content":[{"type":"image_url","image_url":"` + awsKey + `"}]}}]}`}},
		{"the name of an event", chat, "text/event-stream", []string{"event: " + awsKey + "\ndata: {}\n\n"}},
		{"a comment", chat, "text/event-stream", []string{": " + awsKey + "\n\n"}},
		{"a field in capitals", chat, "text/event-stream", []string{"Data: " + awsKey + "\n\n"}},
		{"a field with a space before it", chat, "text/event-stream", []string{" data: " + awsKey + "\n\n"}},
		{"no field at all", chat, "text/event-stream", []string{`{"choices":[{"message":{"content":"` + strings.Replace(awsKey, "A", `\u0041`, 1) + `"}}]}`}},
	} {
		var whole string
		for _, size := range []int{1 << 20, 0, 1, 7} {
			pieces := c.pieces
			if size > 0 {
				pieces = nil
				for p := range slices.Chunk([]byte(strings.Join(c.pieces, "")), size) {
					pieces = append(pieces, string(p))
				}
			}
			w, _, _ := reply(f, c.path, write(c.typ, pieces...))
			if c.typ == "" {
				w, _, _ = reply(f, c.path, func(w http.ResponseWriter, r *http.Request) {
					for _, p := range pieces {
						io.WriteString(w, p)
					}
				})
			}
			got := w.Body.String()
			if collected(got) == awsKey || strings.Contains(got, `\u0041`) {
				t.Errorf("%s, cut at %d: %q", c.name, size, got)
			}
			if i := strings.Index(got, `"request_id"`); i >= 0 {
				got = got[:i] // a refusal
			}
			if size == 1<<20 {
				whole = got
			} else if got != whole {
				t.Errorf("%s, cut at %d: %q, whole %q", c.name, size, got, whole)
			}
		}
	}
}

// What a hostile body may hide in is no reason to hold or change a harmless one.
func TestHarmlessBodiesOfOddTypesPassByteForByte(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	for _, c := range [][2]string{
		{"image/png", "\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + mail}, {"audio/mpeg", "ID3\x04\x00" + mail}, {"application/zip", "PK\x03\x04" + mail},
		{"application/octet-stream", "plain text. "}, {"application/pdf", "%PDF-1.7\n%\xe2\xe3\xcf\xd3\n" + mail}, {"image/png", "\x89"},
		{"text/plain", "data: words without an end "}, {"text/plain", "id: 5\nname: a note\n"}, {"text/plain", "d"}, {"text/plain", "ret"},
		{"application/json", `{"a":1}` + "\n" + `{"b":[2]}` + "\n"}, {"application/json", "no JSON, "}, {"application/x-json-stream", `{"a":1}{"b":2} ["c, "]`},
		{"text/event-stream", ": ping\n\nevent: a\nid: 1\ndata: {\"choices\":[]}\n\n"}, {"text/event-stream", "retry: 3\n\n"}, {"text/plain", ""},
	} {
		for _, size := range []int{1 << 20, 1} {
			var pieces []string
			for p := range slices.Chunk([]byte(c[1]), size) {
				pieces = append(pieces, string(p))
			}
			if w, _, cut := reply(f, "/v1/chat/completions", write(c[0], pieces...)); w.Body.String() != c[1] || cut {
				t.Errorf("%s %q became %q (cut %v)", c[0], c[1], w.Body, cut)
			}
		}
	}
	w, _, _ := reply(f, "/x", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "12")
		w.Header().Set("Etag", `"1"`)
		write("application/octet-stream", "\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b")(w, r)
	})
	if w.Header().Get("Content-Length") != "12" || w.Header().Get("Etag") == "" {
		t.Errorf("a binary answer lost headers: %v", w.Header())
	}
}

func TestTokensAreBlankedWhileTextIsHeldAnywhere(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	const chat = "/v1/chat/completions"
	first := `data: {"choices":[{"index":0,"delta":{"content":"` + awsKey[:8] + `"}}]}` + "\n\n"
	for name, in := range map[string][]string{
		"frames of their own": append([]string{first}, cut(`data: {"choices":[{"index":0,"delta":{},"logprobs":{"content":[{"token":"%s"}]}}]}`+"\n\n")...),
		"with empty content":  append([]string{first}, cut(`data: {"choices":[{"index":0,"delta":{"content":""},"logprobs":{"content":[{"token":"%s"}]}}]}`+"\n\n")...),
	} {
		if w, _, _ := reply(f, chat, write("text/event-stream", in...)); collected(w.Body.String()) == awsKey || strings.Contains(w.Body.String(), awsKey[5:10]) {
			t.Errorf("%s: %s", name, w.Body)
		}
	}
	for _, c := range [][4]string{
		{"/completion", `{"content":"` + awsKey + `","tokens":[1,2],"completion_probabilities":[{"token":"AKIAQ","bytes":[1,2]},{"token":"7RT5W"},{"token":"ZPK3L"},{"token":"M9XVB"}]}`},
		{"/api/generate", `{"response":"` + awsKey + `","done":true,"context":[1,2,3]}`},
		{"/gen", `{"response":"` + awsKey + `","done":true,"context":[1,2,3]}`},
		{chat, `{"prompt_token_ids":[1,2],"choices":[{"index":0,"message":{"content":"` + awsKey + `"},"token_ids":[1,2,3]}]}`},
		{chat, `{"choices":[{"index":0,"message":{"content":"hi"},"logprobs":{"content":[{"token":"` + awsKey + `"}]}}]}`},
	} {
		w, _, _ := reply(f, c[0], write("application/json", c[1]))
		if got := w.Body.String(); strings.Contains(got, "[1,2") || collected(got) == awsKey || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: %s", c[0], got)
		}
		clean := strings.ReplaceAll(c[1], awsKey, "hello")
		if w, _, _ := reply(f, c[0], write("application/json", clean)); w.Body.String() != clean {
			t.Errorf("%s: a clean answer became %s", c[0], w.Body)
		}
	}
	w, _, _ := reply(f, "/api/generate", write("application/x-ndjson", `{"response":"`+awsKey+`","done":false}`+"\n", `{"response":"","done":true,"context":[1,2,3]}`+"\n"))
	if strings.Contains(w.Body.String(), "[1,2") {
		t.Errorf("got %s", w.Body)
	}
}

func TestAModelsNameIsNeverRewritten(t *testing.T) {
	f := newFilter(t, sanitize.Config{Policy: sanitize.Policy{{Action: sanitize.Redact}}})
	for _, path := range []string{"/v1/chat/completions", "/v1/messages", "/api/generate", "/completion"} {
		body := `{"model":"big\u200b\u200b ` + mail + `","n":1}`
		if _, seen, _ := send(f, post(path, body)); string(seen) != body {
			t.Errorf("%s: handler saw %s", path, seen)
		}
	}
}

func TestARuleForARoleHoldsWhateverItsCase(t *testing.T) {
	f := newFilter(t, sanitize.Config{Policy: sanitize.Policy{{Kind: detect.KindSecret, Direction: sanitize.Request, Role: sanitize.RoleUser, Action: sanitize.Block}}})
	for _, role := range []string{"user", "User", "USER", `u\u0053er`} {
		if w, _, _ := send(f, post("/api/chat", `{"messages":[{"role":"`+role+`","content":"`+awsKey+`"}]}`)); w.Code != 400 {
			t.Errorf("%s: %d", role, w.Code)
		}
	}
}

// A list that is repeated in every event (Perplexity's citations) is complete each time.
func TestALongStringThatIsRepeatedIsNotTakenForAPiece(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	ev := `data: {"citations":["https://example.org/a/long/address. "],"choices":[{"index":0,"delta":{"content":"a. "}}]}` + "\n\n"
	if w, _, _ := reply(f, "/v1/chat/completions", write("text/event-stream", ev, ev, ev)); w.Body.String() != ev+ev+ev {
		t.Errorf("got %s", w.Body)
	}
	ev = strings.Replace(ev, ". \"]", "\"]", 1)
	w, _, _ := reply(f, "/v1/chat/completions", write("text/event-stream", ev, ev, ev))
	if n := strings.Count(w.Body.String(), `"citations":["https://example.org/a/long/address"]`); n < 2 {
		t.Errorf("got %s", w.Body)
	}
}

func allocated(f func()) uint64 {
	var a, b runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&a)
	f()
	runtime.ReadMemStats(&b)
	return (b.TotalAlloc - a.TotalAlloc) >> 20
}

func TestAFloodOfFindingsCostsNoMoreThanItsText(t *testing.T) {
	f := newFilter(t, sanitize.Config{Policy: sanitize.Policy{{Direction: sanitize.Request, Action: sanitize.Redact}}})
	flood := strings.Repeat("a@b.cc ", 590_000)
	var v sanitize.Verdict
	if n := allocated(func() { v, _ = f.Scan(t.Context(), sanitize.Request, sanitize.RoleUser, []byte(flood)) }); n > 64 {
		t.Errorf("a text of 4 MiB allocated %d MiB", n)
	} else {
		t.Logf("text: %d MiB", n)
	}
	if want := strings.Repeat("[REDACTED:email] ", 590_000); string(v.Text) != want || len(v.Findings) != 1024 || v.More != 590_000-1024 {
		t.Errorf("%d bytes, want %d; %d findings, %d more", len(v.Text), len(want), len(v.Findings), v.More)
	}
	for name, doc := range map[string]string{
		"one string":   `{"choices":[{"message":{"content":"` + flood + `"}}]}`,
		"many strings": `["` + strings.Repeat(`a@b.cc","`, 460_000) + `"]`,
	} {
		var w *httptest.ResponseRecorder
		n := allocated(func() { w, _, _ = reply(f, "/v1/chat/completions", write("application/json", doc)) })
		t.Logf("reply, %s: %d MiB", name, n)
		if n > 200 || strings.Contains(w.Body.String(), "a@b.cc") {
			t.Errorf("%s: %d MiB, %.100s", name, n, w.Body)
		}
	}
	if w, _, _ := send(f, post("/v1/chat/completions", chat(flood[:2<<20]))); w.Code != 200 {
		t.Errorf("status %d", w.Code)
	}
}

// A long text goes window by window: that must not show.
func TestALongTextGivesWhatAShortOneGives(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	pad := strings.Repeat("word ", 20_000)
	for _, at := range []int{32<<10 - 10, 64<<10 - 5, 0, 100_000 - 40} {
		text := pad[:at] + " " + awsKey + " " + mail + " " + pad[at:]
		v, err := f.Scan(t.Context(), sanitize.Response, sanitize.RoleAssistant, []byte(text))
		if want := pad[:at] + " [REDACTED:secret] [REDACTED:email] " + pad[at:]; err != nil || string(v.Text) != want || len(v.Findings) != 2 {
			t.Errorf("at %d: %v, %d findings", at, err, len(v.Findings))
		} else if d := v.Findings[0]; text[d.Start:d.End] != awsKey {
			t.Errorf("at %d: finding at %d", at, d.Start)
		}
	}
	text := []byte(pad)
	if v, _ := f.Scan(t.Context(), sanitize.Response, sanitize.RoleAssistant, text); &v.Text[0] != &text[0] {
		t.Error("a clean long text was copied")
	}
}

func TestALeakingErrorInAStreamIsReplaced(t *testing.T) {
	leak := `Traceback (most recent call last)\n File \"/opt/vllm/engine.py\", line 1\npostgres://root:hunter2@10.1.2.3/db`
	for _, c := range []struct{ path, typ, event, want string }{
		{"/v1/chat/completions", "text/event-stream", `data: {"error":{"message":"` + leak + `"}}` + "\n\n", "upstream_error"},
		{"/v1/chat/completions", "text/event-stream", `data: {"\u0065rror":{"message":"` + leak + `"}}` + "\n\n", "upstream_error"},
		{"/v1/messages", "text/event-stream", "event: error\ndata: " + `{"type":"error","error":{"type":"api_error","message":"` + leak + `"}}` + "\n\n", "event: error"},
		{"/v1/responses", "text/event-stream", `data: {"type":"response.failed","response":{"error":{"message":"` + leak + `"}}}` + "\n\n", "event: error"},
		{"/api/chat", "application/x-ndjson", `{"error":"` + leak + `"}` + "\n", `{"error":`},
	} {
		for _, filtered := range []bool{false, true} {
			h := http.Handler(write(c.typ, c.event, c.event))
			if filtered {
				h = newFilter(t, sanitize.Config{}).Handler(h)
			}
			var log bytes.Buffer
			e := newErrors(t, sanitize.ErrorsConfig{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
			w, x, _ := through(e, post(c.path, ""), h.ServeHTTP)
			got := w.Body.String()
			if strings.Contains(got, "hunter2") || strings.Contains(got, "vllm") || strings.Count(got, "\"error\"") < 1 || !strings.Contains(got, c.want) || x.Denial() == nil {
				t.Errorf("%s: %s", c.path, got)
			}
			if strings.Contains(log.String(), "hunter2") || !strings.Contains(log.String(), "engine.py") {
				t.Errorf("log %s", log.String())
			}
		}
	}
	harmless := `data: {"error":{"message":"The model is overloaded.","type":"overloaded"}}` + "\n\n" + `data: {"choices":[{"delta":{"content":"an error: panic: x"}}]}` + "\n\n"
	if w, _, _ := through(newErrors(t, sanitize.ErrorsConfig{}), post("/v1/chat/completions", ""), write("text/event-stream", harmless)); w.Body.String() != harmless {
		t.Errorf("got %s", w.Body)
	}
}

func TestARedirectLeadsOnWithoutALeakingBody(t *testing.T) {
	e := newErrors(t, sanitize.ErrorsConfig{})
	redirect := func(body string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Location", "/v1/models")
			w.Header().Set("X-Debug", "pq: x")
			w.WriteHeader(307)
			io.WriteString(w, body)
		}
	}
	w, _, _ := through(e, post("/x", ""), redirect("goroutine 1 [running]: dial tcp 10.1.2.3:5432"))
	if w.Code != 307 || w.Body.Len() != 0 || w.Header().Get("Location") != "/v1/models" || w.Header().Get("X-Debug") != "" {
		t.Errorf("%d %v %s", w.Code, w.Header(), w.Body)
	}
	if w, _, _ := through(e, post("/x", ""), redirect("moved")); w.Code != 307 || w.Body.String() != "moved" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	w, _, _ = through(e, post("/x", ""), func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Server", "uvicorn") })
	if w.Header().Get("Server") != "" {
		t.Errorf("a handler that wrote nothing is named: %v", w.Header())
	}
}

func TestCausesAndLogsHoldNoSecrets(t *testing.T) {
	var log bytes.Buffer
	e := newErrors(t, sanitize.ErrorsConfig{Logger: slog.New(slog.NewJSONHandler(&log, nil))})
	root := errors.New("root")
	cause := fmt.Errorf("dial postgres://root:hunter2@db/x and amqp://a:sl/ash2@mq, http://host:80/a@b with %s: %w", githubKey, root)
	_, x, _ := through(e, post("/x", ""), func(http.ResponseWriter, *http.Request) { panic(cause) })
	told := x.Denial().Cause.Error()
	for _, s := range []string{told, log.String()} {
		if strings.Contains(s, "hunter2") || strings.Contains(s, "ash2") || strings.Contains(s, githubKey) || !strings.Contains(s, "root:[REDACTED:password]@db") ||
			!strings.Contains(s, "http://host:80/a@b") {
			t.Errorf("told %s", s)
		}
	}
	if !errors.Is(x.Denial().Cause, root) || errors.Unwrap(x.Denial().Cause) != nil || !strings.Contains(log.String(), "evasion_test.go") {
		t.Errorf("cause %v, log %s", x.Denial().Cause, log.String())
	}
}

func TestABodyThatAnotherRoomReadIsNotTooLongForTheFilter(t *testing.T) {
	f := newFilter(t, sanitize.Config{MaxBody: 10})
	body := chat("longer than ten bytes")
	w := httptest.NewRecorder()
	x, ew, r := exchange.Enter(w, post("/v1/chat/completions", body))
	defer x.Leave()
	if _, err := x.ReadBody(ew, r, 1<<20); err != nil {
		t.Fatal(err)
	}
	var seen []byte
	f.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen, _ = io.ReadAll(r.Body) })).ServeHTTP(ew, r)
	if w.Code != 200 || string(seen) != body {
		t.Errorf("%d, handler saw %s", w.Code, seen)
	}
	if w, _, _ := send(newFilter(t, sanitize.Config{}), post("/v1/chat/completions", chat(strings.Repeat("word ", 600_000)))); w.Code != 200 {
		t.Errorf("3 MiB: %d", w.Code)
	}
}

func TestAHandlerOfNothingIsRefusedAtOnce(t *testing.T) {
	for want, make := range map[string]func(){
		"sanitize: Filter.Handler: next is nil": func() { newFilter(t, sanitize.Config{}).Handler(nil) },
		"sanitize: Errors.Handler: next is nil": func() { newErrors(t, sanitize.ErrorsConfig{}).Handler(nil) },
	} {
		func() {
			defer func() {
				if v := recover(); v != want {
					t.Errorf("panic %v, want %s", v, want)
				}
			}()
			make()
		}()
	}
}

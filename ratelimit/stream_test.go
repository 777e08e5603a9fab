package ratelimit_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/internal/sse"
	"github.com/mantlet-go/mantlet/ratelimit"
)

const openAIStream = "data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m1\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}]}\r\n\r\n" +
	": keep-alive\n\n" +
	"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hello, \"},\"finish_reason\":null}]}\n\n" +
	"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"world\"},\"finish_reason\":\"stop\"}]}\n\n" +
	"data: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"model\":\"m1\",\"choices\":[],\"usage\":{\"prompt_tokens\":13,\"completion_tokens\":4}}\n\n" +
	"data: [DONE]\n\n"

const anthropicStream = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"m1\",\"usage\":{\"input_tokens\":10,\"cache_read_input_tokens\":3,\"output_tokens\":1}}}\n\n" +
	"event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n" +
	"event: ping\ndata: {\"type\":\"ping\"}\n\n" +
	"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello there, world\"}}\n\n" +
	"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\n" +
	"event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":4}}\n\n" +
	"event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"

const ollamaStream = `{"model":"m1","message":{"role":"assistant","content":"Hello "},"done":false}` + "\n" +
	`{"model":"m1","message":{"role":"assistant","content":"world"},"done":false}` + "\n" +
	`{"model":"m1","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":13,"eval_count":4}` + "\n"

func TestStreamedUsageIsFoundHoweverTheWritesAreCut(t *testing.T) {
	for _, tc := range []struct{ path, ct, stream string }{
		{"/v1/chat/completions", "text/event-stream", openAIStream},
		{"/v1/chat/completions", "text/event-stream; charset=utf-8", strings.ReplaceAll(strings.ReplaceAll(openAIStream, "\r\n", "\n"), "\n", "\r\n")},
		{"/v1/messages", "text/event-stream", anthropicStream},
		{"/api/chat", "application/x-ndjson", ollamaStream},
	} {
		for cut := range len(tc.stream) + 1 {
			l := newLimiter(t, 0, rpm, tpm)
			w := do(l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", tc.ct)
				io.WriteString(w, tc.stream[:cut])
				w.(http.Flusher).Flush()
				io.WriteString(w, tc.stream[cut:])
			})), as(post(tc.path, prompt), "c"))
			if w.Body.String() != tc.stream {
				t.Fatalf("%s cut at %d: the stream was changed:\n%s", tc.path, cut, w.Body)
			}
			s := l.Stats()
			if s.Used.Input != 13 || s.Used.Output != 4 || s.Used != s.Reported || s.Outstanding != 0 {
				t.Fatalf("%s cut at %d: %+v", tc.path, cut, s)
			}
		}
	}
}

func TestAStreamByteByByteIsMeteredLikeAnyOther(t *testing.T) {
	l := newLimiter(t, 0, tpm)
	do(l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range anthropicStream {
			io.WriteString(w, anthropicStream[i:i+1])
		}
	})), as(post("/v1/messages", prompt), "c"))
	if s := l.Stats(); s.Reported != (ratelimit.Usage{Requests: 1, Input: 13, CachedInput: 3, Output: 4}) {
		t.Errorf("%+v", s)
	}
}

// endless streams until its context is cancelled, and counts what it wrote.
func endless(ct, head, delta string, wrote *int, cause *error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", ct)
		io.WriteString(w, head)
		for *wrote = 0; *wrote < 100_000; *wrote++ {
			if r.Context().Err() != nil {
				*cause = context.Cause(r.Context())
				io.WriteString(w, "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"too late\"}}]}\n\n")
				return
			}
			io.WriteString(w, delta)
			w.(http.Flusher).Flush()
		}
	})
}

// events parses a finished event stream strictly: anything after the last event is an error.
func events(t *testing.T, f sse.Format, body string) (types []string, datas []string) {
	t.Helper()
	p := sse.Parser{Format: f}
	b := []byte(body)
	for {
		ev, rest, ok, err := p.Next(b)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		b = rest
		if ev.HasData {
			types = append(types, string(ev.Type))
			datas = append(datas, string(ev.Data))
		}
	}
	if ev, ok := p.Tail(); ok {
		t.Fatalf("the stream ends in the middle of an event: %q", ev.Raw)
	}
	return types, datas
}

func TestAStreamOverItsBudgetEndsWithTheFinalEventOfItsDialect(t *testing.T) {
	text := strings.Repeat("word", 10) // 40 bytes: 10 tokens
	for name, tc := range map[string]struct {
		path, ct, head, delta string
		format                sse.Format
		check                 func(t *testing.T, types, datas []string)
	}{
		"OpenAI": {"/v1/chat/completions", "text/event-stream", "",
			`data: {"id":"c1","object":"chat.completion.chunk","model":"m1","choices":[{"index":0,"delta":{"content":"` + text + `"},"finish_reason":null}]}` + "\n\n", sse.EventStream,
			func(t *testing.T, types, datas []string) {
				n := len(datas)
				if datas[n-1] != "[DONE]" {
					t.Errorf("last event %q", datas[n-1])
				}
				finish := 0
				for _, d := range datas[:n-1] {
					var c struct {
						ID      string
						Choices []struct {
							FinishReason *string `json:"finish_reason"`
						}
					}
					if err := json.Unmarshal([]byte(d), &c); err != nil || c.ID != "c1" {
						t.Errorf("%v in %s", err, d)
					}
					if len(c.Choices) > 0 && c.Choices[0].FinishReason != nil && *c.Choices[0].FinishReason == "length" {
						finish++
					}
				}
				if finish != 1 {
					t.Errorf("%d finish reasons", finish)
				}
			}},
		"Anthropic": {"/v1/messages", "text/event-stream", anthropicStream[:strings.Index(anthropicStream, "event: ping")],
			"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"" + text + "\"}}\n\n", sse.EventStream,
			func(t *testing.T, types, datas []string) {
				if got := strings.Join(types[len(types)-3:], " "); got != "content_block_stop message_delta message_stop" {
					t.Errorf("ends with %s", got)
				}
				if d := datas[len(datas)-2]; !strings.Contains(d, `"max_tokens"`) {
					t.Errorf("stop reason in %s", d)
				}
			}},
		"Responses": {"/v1/responses", "text/event-stream",
			"event: response.created\ndata: {\"type\":\"response.created\",\"sequence_number\":0,\"response\":{\"id\":\"r1\",\"object\":\"response\",\"status\":\"in_progress\",\"output\":[]}}\n\n",
			"event: response.output_text.delta\ndata: {\"type\":\"response.output_text.delta\",\"sequence_number\":1,\"item_id\":\"i\",\"output_index\":0,\"content_index\":0,\"delta\":\"" + text + "\"}\n\n", sse.EventStream,
			func(t *testing.T, types, datas []string) {
				if n := len(types) - 1; types[n] != "response.incomplete" || !strings.Contains(datas[n], `"max_output_tokens"`) {
					t.Errorf("ends with %s %s", types[n], datas[n])
				}
			}},
		"Ollama": {"/api/chat", "application/x-ndjson", "", `{"model":"m1","message":{"role":"assistant","content":"` + text + `"},"done":false}` + "\n", sse.NDJSON,
			func(t *testing.T, types, datas []string) {
				if d := datas[len(datas)-1]; !strings.Contains(d, `"done":true`) || !strings.Contains(d, `"length"`) {
					t.Errorf("last line %s", d)
				}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLimiter(t, 0, ratelimit.Limit{Name: "out", Max: 1000, Calendar: ratelimit.Month, Cost: ratelimit.OutputTokens})
			var wrote int
			var cause error
			body := strings.Replace(prompt, `"max_tokens":100`, `"stream":true,"max_tokens":100`, 1)
			w := do(l.Handler(endless(tc.ct, tc.head, tc.delta, &wrote, &cause)), as(post(tc.path, body), "c"))
			if w.Code != 200 || strings.Contains(w.Body.String(), "too late") {
				t.Fatalf("%d, the handler's late words reached the client", w.Code)
			}
			types, datas := events(t, tc.format, w.Body.String())
			tc.check(t, types, datas)
			// 1000 tokens are 100 deltas; everything allowed is delivered, and nothing more.
			if got := strings.Count(w.Body.String(), text); got != 100 && !(name == "Anthropic" && got == 99) { // its message_start has already used one
				t.Errorf("%d deltas delivered, want 100", got)
			}
			if wrote > 102 || !errors.Is(cause, ratelimit.ErrExhausted) {
				t.Errorf("the handler wrote %d deltas, cause %v", wrote, cause)
			}
			if s := l.Stats(); s.Cut != 1 || s.Outstanding != 0 || s.Used.Output > 1000 || s.Used.Output < 990 || s.TopUps < 3 && name != "Ollama" && name != "Responses" { // which does not know max_tokens: all was reserved at once
				t.Errorf("%+v", s)
			}
			if w := do(l.Handler(noBody), as(post(tc.path, body), "c")); w.Code != 429 {
				t.Errorf("the next request: %d", w.Code)
			}
		})
	}
}

func TestAStreamCutThroughAReverseProxyEndsCleanlyOnTheWire(t *testing.T) {
	delta := `data: {"id":"c1","choices":[{"index":0,"delta":{"content":"` + strings.Repeat("word", 10) + `"}}]}` + "\n\n"
	gone := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		defer close(gone)
		for {
			if _, err := io.WriteString(w, delta); err != nil {
				return
			}
			w.(http.Flusher).Flush()
			if r.Context().Err() != nil {
				return
			}
		}
	}))
	defer upstream.Close()
	u, _ := url.Parse(upstream.URL)
	proxy := httputil.NewSingleHostReverseProxy(u)
	l := newLimiter(t, 0, ratelimit.Limit{Name: "out", Max: 500, Calendar: ratelimit.Month, Cost: ratelimit.OutputTokens})
	front := httptest.NewServer(l.Handler(proxy))
	defer front.Close()
	resp, err := http.Post(front.URL+"/v1/chat/completions", "application/json", strings.NewReader(prompt))
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("the connection was broken after the final event: %v", err)
	}
	if !strings.HasSuffix(string(body), "data: [DONE]\n\n") || strings.Count(string(body), "word") != 500 {
		t.Errorf("%d bytes ending in %q", len(body), body[max(0, len(body)-100):])
	}
	<-gone // the upstream was told to stop
}

func TestSkipStreamCutLetsItRunAndTheRestIsDebt(t *testing.T) {
	l, err := ratelimit.New(ratelimit.Config{SkipStreamCut: true, Plans: []ratelimit.Plan{{Limits: []ratelimit.Limit{{Name: "out", Max: 101, Per: time.Minute, Cost: ratelimit.OutputTokens}}}}})
	if err != nil {
		t.Fatal(err)
	}
	stream := strings.Repeat("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\""+strings.Repeat("word", 100)+"\"}}]}\n\n", 5)
	w := do(l.Handler(reply("text/event-stream", stream)), as(post("/v1/chat/completions", prompt), "c"))
	if w.Body.String() != stream {
		t.Error("the stream was changed")
	}
	_, err = l.Reserve(t.Context(), ratelimit.Subject{Client: "c"}, ratelimit.Usage{Output: 1})
	var limit *ratelimit.LimitError
	if !errors.As(err, &limit) || limit.RetryAfter < 3*time.Minute {
		t.Errorf("500 used of 101 a minute: %v", err)
	}
}

func TestAStreamThatIsDoneIsNotCutByItsOwnBill(t *testing.T) {
	// The closing events report far more than the text suggested: there is nothing left to stop.
	stream := strings.Replace(openAIStream, `"completion_tokens":4`, `"completion_tokens":90000`, 1)
	l := newLimiter(t, 0, ratelimit.Limit{Name: "out", Max: 101, Per: time.Minute, Cost: ratelimit.OutputTokens})
	w := do(l.Handler(reply("text/event-stream", stream)), as(post("/v1/chat/completions", prompt), "c"))
	if w.Body.String() != stream {
		t.Errorf("changed:\n%s", w.Body)
	}
	if s := l.Stats(); s.Cut != 0 || s.Used.Output != 90000 {
		t.Errorf("%+v", s)
	}
}

func TestABillionByteEventIsBoundedMemory(t *testing.T) {
	l := newLimiter(t, 0, tpm)
	h := l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: ")
		chunk := strings.Repeat("x", 1<<16)
		for range 64 {
			if _, err := io.WriteString(w, chunk); err != nil {
				return
			}
		}
	}))
	do(h, as(post("/v1/chat/completions", prompt), "c"))
	if s := l.Stats(); s.Outstanding != 0 || s.Used.Output == 0 && s.Used.Input == 0 {
		t.Errorf("%+v", s)
	}
}

// FuzzMeter feeds any bytes as a stream in any cut: the stream passes unchanged or ends at the budget, and the books balance.
func FuzzMeter(f *testing.F) {
	f.Add(openAIStream, uint16(40), uint8(0))
	f.Add(anthropicStream, uint16(100), uint8(1))
	f.Add(ollamaStream, uint16(7), uint8(2))
	f.Add("data: {\"usage\":{\"completion_tokens\":-1}}\n\n", uint16(3), uint8(0))
	f.Fuzz(func(t *testing.T, stream string, cut uint16, kind uint8) {
		if len(stream) == 0 {
			return
		}
		path := []string{"/v1/chat/completions", "/v1/messages", "/api/chat", "/v1/responses", "/other"}[kind%5]
		ct := "text/event-stream"
		if kind%5 == 2 {
			ct = "application/x-ndjson"
		}
		l := newLimiter(t, 64, ratelimit.Limit{Name: "d", Max: 1e11, Calendar: ratelimit.Month, Cost: ratelimit.Tokens}, slots)
		n := int(cut) % (len(stream) + 1)
		w := do(l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", ct)
			io.WriteString(w, stream[:n])
			io.WriteString(w, stream[n:])
		})), as(post(path, prompt), "c"))
		s := l.Stats()
		if s.Outstanding != 0 || s.Settled != 1 || s.Used.Input < 0 || s.Used.Output < 0 || s.Used.Requests != 1 {
			t.Fatalf("%+v", s)
		}
		if s.Cut == 0 && len(stream) < 1<<20 && w.Body.String() != stream {
			t.Fatalf("%q became %q", stream, w.Body)
		}
		// The day's bucket holds exactly what was settled.
		_, err := l.Reserve(t.Context(), ratelimit.Subject{Client: "c"}, ratelimit.Usage{Output: 1e11 - s.Used.Input - s.Used.Output})
		if err != nil {
			t.Fatalf("%+v: %v", s, err)
		}
		if _, err := l.Reserve(t.Context(), ratelimit.Subject{Client: "c"}, ratelimit.Usage{}); err == nil {
			t.Fatal(fmt.Sprint("one too many after ", s.Used))
		}
	})
}

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

func chatBody(model, more string) string {
	return `{"model":"` + model + `","messages":[{"role":"system","content":"Be brief."},` +
		`{"role":"user","content":[{"type":"text","text":"What is light?"}]}]` + more + `}`
}

func messageBody(model, more string) string {
	return `{"model":"` + model + `","max_tokens":300,"system":"Be brief.","messages":[{"role":"user","content":"What is light?"}]` + more + `}`
}

// call runs one request on the bare handler, in the test's own goroutine.
func call(u *upstream, method, path, body string) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	u.handler().ServeHTTP(w, httptest.NewRequest(method, path, strings.NewReader(body)))
	return w
}

func decodeAs[T any](t *testing.T, b []byte) T {
	t.Helper()
	var v T
	if err := json.Unmarshal(b, &v); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	return v
}

// frames splits a recorded event stream into event types and data.
func frames(t *testing.T, body string) (types []string, data []string) {
	t.Helper()
	for ev := range strings.SplitSeq(strings.TrimSuffix(body, "\n\n"), "\n\n") {
		typ := ""
		for line := range strings.SplitSeq(ev, "\n") {
			if v, ok := strings.CutPrefix(line, "event: "); ok {
				typ = v
			} else if v, ok := strings.CutPrefix(line, "data: "); ok {
				types, data = append(types, typ), append(data, v)
			} else {
				t.Fatalf("line %q", line)
			}
		}
	}
	return types, data
}

func TestAChatReplyHasItsChoicesAndHonestUsage(t *testing.T) {
	w := call(newUpstream(0, 0), "POST", "/v1/chat/completions", chatBody("demo", `,"n":3,"max_tokens":10`))
	got := decodeAs[chatReply](t, w.Body.Bytes())
	if w.Code != 200 || len(got.Choices) != 3 || got.Usage == nil || got.Object != "chat.completion" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	sum := 0
	for i, c := range got.Choices {
		sum += countPieces(c.Message.Content)
		if c.Index != i || *c.FinishReason != "length" {
			t.Errorf("choice %d: %+v", i, c)
		}
	}
	if u := *got.Usage; u.CompletionTokens != sum || sum != 30 || u.PromptTokens != 7 || u.TotalTokens != 37 {
		t.Errorf("usage %+v, want 7 and %d", u, sum)
	}
}

func TestAStreamSaysTheSameAsTheWholeReply(t *testing.T) {
	u := newUpstream(0, 0)
	whole := decodeAs[chatReply](t, call(u, "POST", "/v1/chat/completions", chatBody("demo", "")).Body.Bytes())
	w := call(u, "POST", "/v1/chat/completions", chatBody("demo", `,"stream":true,"stream_options":{"include_usage":true}`))
	if w.Header().Get("Content-Type") != "text/event-stream" || !w.Flushed {
		t.Errorf("header %v, flushed %v", w.Header(), w.Flushed)
	}
	_, data := frames(t, w.Body.String())
	if last := data[len(data)-1]; last != "[DONE]" {
		t.Errorf("last frame %s", last)
	}
	var text strings.Builder
	var usage *chatUsage
	finish := ""
	for _, d := range data[:len(data)-1] {
		c := decodeAs[chatReply](t, []byte(d))
		for _, c := range c.Choices {
			text.WriteString(c.Delta.Content)
			if c.FinishReason != nil {
				finish = *c.FinishReason
			}
		}
		usage = c.Usage
	}
	if text.String() != whole.Choices[0].Message.Content || finish != "stop" || usage == nil || *usage != *whole.Usage {
		t.Errorf("%s %s %+v, want %+v %+v", &text, finish, usage, whole.Choices[0].Message, whole.Usage)
	}
}

func TestAStreamHasUsageOnlyWhenAskedForIt(t *testing.T) {
	w := call(newUpstream(0, 0), "POST", "/v1/chat/completions", chatBody("demo", `,"stream":true`))
	if strings.Contains(w.Body.String(), "usage") {
		t.Error("usage came unasked")
	}
}

func TestAMessageStreamHasAnthropicsEventsInOrder(t *testing.T) {
	u := newUpstream(0, 0)
	whole := decodeAs[messagesReply](t, call(u, "POST", "/v1/messages", messageBody("demo", "")).Body.Bytes())
	types, data := frames(t, call(u, "POST", "/v1/messages", messageBody("demo", `,"stream":true`)).Body.String())
	var text strings.Builder
	for i, d := range data {
		ev := decodeAs[struct {
			Type  string
			Delta struct{ Text string }
			Usage messagesUsage
		}](t, []byte(d))
		if ev.Type != types[i] {
			t.Errorf("event %s holds a %s", types[i], ev.Type)
		}
		text.WriteString(ev.Delta.Text)
		if ev.Type == "message_delta" && ev.Usage.OutputTokens != whole.Usage.OutputTokens {
			t.Errorf("usage %+v, want %+v", ev.Usage, whole.Usage)
		}
	}
	n := len(types)
	order := []string{types[0], types[1], types[2], types[n-4], types[n-3], types[n-2], types[n-1]}
	want := "message_start content_block_start content_block_delta content_block_delta content_block_stop message_delta message_stop"
	if got := strings.Join(order, " "); got != want {
		t.Errorf("order %s", got)
	}
	if text.String() != whole.Content[0].Text || *whole.StopReason != "end_turn" || whole.Usage.InputTokens != 7 {
		t.Errorf("%s, want %+v", &text, whole)
	}
}

func TestTheLeakyModelCutsItsSecretsAcrossChunks(t *testing.T) {
	u := newUpstream(0, 0)
	w := call(u, "POST", "/v1/chat/completions", chatBody("demo-leaky", `,"stream":true`))
	for _, secret := range []string{fakeKey, fakeEmail} {
		if strings.Contains(w.Body.String(), secret) {
			t.Errorf("%q left in one chunk", secret)
		}
	}
	whole := decodeAs[chatReply](t, call(u, "POST", "/v1/chat/completions", chatBody("demo-leaky", "")).Body.Bytes())
	if text := whole.Choices[0].Message.Content; !strings.Contains(text, fakeKey) || !strings.Contains(text, fakeEmail) {
		t.Errorf("it did not leak: %s", text)
	}
	short := decodeAs[chatReply](t, call(u, "POST", "/v1/chat/completions", chatBody("demo-leaky", `,"max_tokens":9`)).Body.Bytes())
	if c := short.Choices[0]; *c.FinishReason != "length" || short.Usage.CompletionTokens != 9 {
		t.Errorf("cut at 9: %+v %+v", c, short.Usage)
	}
}

func TestTheBadModelsShowWhatAServerShouldNot(t *testing.T) {
	u := newUpstream(0, 0)
	w := call(u, "POST", "/v1/messages", messageBody("demo-error", ""))
	if w.Code != 500 || !strings.Contains(w.Body.String(), fakeDSN) || !strings.Contains(w.Body.String(), "goroutine") {
		t.Errorf("demo-error: %d %s", w.Code, w.Body)
	}
	for _, stream := range []string{"", `,"stream":true`} {
		func() {
			defer func() {
				if v, _ := recover().(string); !strings.Contains(v, fakeDSN) {
					t.Errorf("demo-panic%s panicked with %v", stream, v)
				}
			}()
			call(u, "POST", "/v1/chat/completions", chatBody("demo-panic", stream))
		}()
	}
}

func TestTheSlowModelWaitsBeforeEachPiece(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		call(newUpstream(time.Second, 0), "POST", "/v1/chat/completions", chatBody("demo-slow", `,"max_tokens":12`))
		if d := time.Since(start); d != 12*time.Second {
			t.Errorf("12 pieces took %v", d)
		}
	})
}

func TestACancelledRequestEndsAtOnce(t *testing.T) {
	for _, c := range []struct{ path, body string }{
		{"/v1/chat/completions", chatBody("demo-slow", "")},
		{"/v1/chat/completions", chatBody("demo-slow", `,"stream":true`)},
		{"/v1/chat/completions", chatBody("demo-endless", `,"stream":true`)},
		{"/v1/messages", messageBody("demo-slow", "")},
		{"/v1/messages", messageBody("demo-endless", `,"stream":true`)},
	} {
		synctest.Test(t, func(t *testing.T) {
			start := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
			defer cancel()
			w := httptest.NewRecorder()
			r := httptest.NewRequest("POST", c.path, strings.NewReader(c.body)).WithContext(ctx)
			newUpstream(time.Minute, time.Second).handler().ServeHTTP(w, r)
			if d := time.Since(start); d != 90*time.Second {
				t.Errorf("%s %s ended after %v", c.path, c.body, d)
			}
			if b := w.Body.String(); strings.Contains(b, "[DONE]") || strings.Contains(b, "message_stop") {
				t.Errorf("a stream that was cut claims to be whole")
			}
		})
	}
}

func TestAClientThatLeavesEndsTheEndlessStream(t *testing.T) {
	ended := make(chan struct{})
	u := newUpstream(0, 0)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.handler().ServeHTTP(w, r)
		close(ended)
	}))
	defer s.Close()
	resp, err := http.Post(s.URL+"/v1/chat/completions", "application/json", strings.NewReader(chatBody("demo-endless", `,"stream":true,"max_tokens":5`)))
	if err != nil {
		t.Fatal(err)
	}
	sc := bufio.NewScanner(resp.Body)
	for range 1000 { // far beyond max_tokens, which this model does not honour
		if !sc.Scan() {
			t.Fatal("the endless stream ended by itself")
		}
	}
	resp.Body.Close()
	<-ended
}

func TestARequestThatIsNotUnderstoodIsRefused(t *testing.T) {
	u := newUpstream(0, 0)
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/v1/chat/completions", "", 400},
		{"POST", "/v1/chat/completions", "[]", 400},
		{"POST", "/v1/chat/completions", chatBody("demo", "") + "x", 400},
		{"POST", "/v1/chat/completions", `{"model":"demo","messages":[]}`, 400},
		{"POST", "/v1/chat/completions", `{"model":"demo","messages":[{"role":"user","content":5}]}`, 400},
		{"POST", "/v1/chat/completions", chatBody("gpt-9", ""), 404},
		{"POST", "/v1/chat/completions", chatBody("demo", `,"n":1000000000`), 400},
		{"POST", "/v1/chat/completions", chatBody("demo", `,"n":0`), 400},
		{"POST", "/v1/chat/completions", chatBody("demo", `,"max_tokens":-1`), 400},
		{"POST", "/v1/chat/completions", chatBody("demo", `,"max_tokens":0`), 400},
		{"POST", "/v1/chat/completions", chatBody("demo", `,"x":"`+strings.Repeat("a", maxBody)+`"`), 413},
		{"GET", "/v1/chat/completions", "", 405},
		{"POST", "/v1/messages", "{}", 404},
		{"POST", "/v1/messages", `{"model":"demo","messages":[{"role":"user","content":"x"}]}`, 400},
		{"POST", "/ai/predict", `{}`, 400},
		{"POST", "/ai/predict", `{"text":5}`, 400},
	} {
		w := call(u, c.method, c.path, c.body)
		if w.Code != c.want {
			t.Errorf("%s %.80s: %d, want %d", c.path, c.body, w.Code, c.want)
		}
	}
}

func TestPredictAndModelsAnswer(t *testing.T) {
	u := newUpstream(0, 0)
	w := call(u, "POST", "/ai/predict", `{"text":"I love it, great work"}`)
	got := decodeAs[struct {
		Label         string
		Probabilities map[string]float64
	}](t, w.Body.Bytes())
	if got.Label != "positive" || got.Probabilities["positive"] < 0.5 {
		t.Errorf("%s", w.Body)
	}
	b, _ := io.ReadAll(call(u, "GET", "/v1/models", "").Body)
	list := decodeAs[struct{ Data []struct{ ID string } }](t, b)
	if len(list.Data) != len(modelNames) || list.Data[0].ID != "demo" {
		t.Errorf("%s", b)
	}
}

package ratelimit_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/base64"
	"fmt"
	"io"
	stdlog "log"
	"log/slog"
	"math"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/ratelimit"
)

// The ways around a limit that reviewers have found, each as a test of its own.

func day(max int64, cost ratelimit.Weights) ratelimit.Limit {
	return ratelimit.Limit{Name: "day", Max: max, Calendar: ratelimit.Day, Cost: cost}
}

func TestWhoHangsUpBeforeTheFirstBytePaysForTheWork(t *testing.T) {
	// httputil.ReverseProxy answers 502 when its client is gone: the work was ordered and done all the same.
	l := newLimiter(t, 0, day(1000, ratelimit.Tokens))
	at, gone, worked := make(chan struct{}), make(chan struct{}), 0
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		worked++
		close(at)
		<-gone
	}))
	defer upstream.Close()
	u, _ := url.Parse(upstream.URL)
	h := l.Handler(httputil.NewSingleHostReverseProxy(u))
	done := make(chan struct{}, 2)
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h.ServeHTTP(w, r)
		done <- struct{}{}
	}))
	defer front.Close()
	body := strings.Replace(prompt, `"max_tokens":100`, `"max_tokens":600`, 1)
	ask := func(ctx context.Context) int {
		r, _ := http.NewRequestWithContext(ctx, "POST", front.URL+"/v1/chat/completions", strings.NewReader(body))
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			return 0
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-at; cancel() }()
	if c := ask(ctx); c != 0 {
		t.Errorf("%d", c)
	}
	<-done
	close(gone)
	if s := l.Stats(); s.Estimated.Output != 600 || s.Outstanding != 0 {
		t.Errorf("%+v", s)
	}
	if c := ask(t.Context()); c != 429 || worked != 1 {
		t.Errorf("once more: %d, the model worked %d times", c, worked)
	}
}

func TestWhatTimesOutIsPaidFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLimiter(t, 0, day(1000, ratelimit.Tokens))
		h := l.Handler(http.TimeoutHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { time.Sleep(time.Minute) }), time.Second, ""))
		body := strings.Replace(prompt, `"max_tokens":100`, `"max_tokens":600`, 1)
		for i, want := range []int{503, 429} {
			if w := do(h, post("/v1/chat/completions", body)); w.Code != want {
				t.Errorf("%d: %d", i, w.Code)
			}
		}
		if s := l.Stats(); s.Estimated.Output != 600 {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Hour) // the handler that was left behind ends
	})
}

func TestAnErrorGivesTokensBackOnlyWhereNothingWasDone(t *testing.T) {
	in := int64((len(prompt) + 2) / 3)
	est := ratelimit.Usage{Requests: 1, Input: in, Output: 100}
	one := ratelimit.Usage{Requests: 1}
	gone := func(r *http.Request) { r.Context().Value(cancelKey{}).(context.CancelFunc)() }
	for name, tc := range map[string]struct {
		run  http.HandlerFunc
		want ratelimit.Usage
	}{
		"a 400 to somebody who is there":    {func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 400) }, one},
		"a 400 to somebody who leaves then": {func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 400); gone(r) }, one},
		"a 499 to somebody who had left":    {func(w http.ResponseWriter, r *http.Request) { gone(r); w.WriteHeader(499) }, est},
		"a 500":                             {func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 500) }, est},
		"a 504 after more than the estimate": {func(w http.ResponseWriter, r *http.Request) {
			res(r).Report(ratelimit.Usage{Output: 133})
			w.WriteHeader(504)
		}, ratelimit.Usage{Requests: 1, Input: in, Output: 133}},
		"a 502, and the handler says nothing was used": {func(w http.ResponseWriter, r *http.Request) { res(r).Cancel(); w.WriteHeader(502) }, ratelimit.Usage{}},
		"a 502, and the handler knows": {func(w http.ResponseWriter, r *http.Request) {
			res(r).Settle(ratelimit.Usage{Input: 2})
			w.WriteHeader(502)
		}, ratelimit.Usage{Requests: 1, Input: 2}},
		"a room inside refuses with a 503": {func(w http.ResponseWriter, r *http.Request) {
			newBulkhead(t, ratelimit.Slots{Max: 1, MaxWait: 1}).Handler(noBody).ServeHTTP(w, r.WithContext(ended(r.Context())))
		}, one},
		"a room inside refuses somebody who had left": {func(w http.ResponseWriter, r *http.Request) {
			gone(r)
			newBulkhead(t, ratelimit.Slots{Max: 1, MaxWait: 1}).Handler(noBody).ServeHTTP(w, r)
		}, one},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLimiter(t, 0, tpm, daily)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			do(l.Handler(tc.run), post("/v1/chat/completions", prompt).WithContext(context.WithValue(ctx, cancelKey{}, cancel)))
			if s := l.Stats(); s.Used != tc.want || s.Outstanding != 0 {
				t.Errorf("charged %+v, want %+v", s.Used, tc.want)
			}
		})
	}
}

func TestMoneyOfAnEstimateCoversWhatWasReportedBeyondIt(t *testing.T) {
	l, err := ratelimit.New(ratelimit.Config{
		Plans:  []ratelimit.Plan{{Limits: []ratelimit.Limit{day(1e9, ratelimit.Money)}}},
		Prices: func(string) ratelimit.Price { return ratelimit.Price{Output: 1_000_000} },
	})
	if err != nil {
		t.Fatal(err)
	}
	do(l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		res(r).Report(ratelimit.Usage{Output: 133})
		w.WriteHeader(504)
	})), post("/v1/chat/completions", prompt))
	if s := l.Stats(); s.Used.MicroUSD != 133 {
		t.Errorf("%+v", s.Used)
	}
}

func TestAskingForACompressedReplyDoesNotSwitchTheCutOff(t *testing.T) {
	l := newLimiter(t, 0, day(1000, ratelimit.OutputTokens))
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		var out io.Writer = w
		if strings.Contains(r.Header.Get("Accept-Encoding"), "br") {
			w.Header().Set("Content-Encoding", "gzip") // whatever it is called, it cannot be read
			z := gzip.NewWriter(w)
			defer z.Close()
			out = z
		}
		for range 5000 {
			io.WriteString(out, `data: {"choices":[{"index":0,"delta":{"content":" word"}}]}`+"\n\n")
		}
	}))
	defer upstream.Close()
	u, _ := url.Parse(upstream.URL)
	var outside *http.Request
	h := l.Handler(httputil.NewSingleHostReverseProxy(u))
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := r.Header
		h.ServeHTTP(w, r)
		r.Header = header
		outside = r
	}))
	defer front.Close()
	r, _ := http.NewRequest("POST", front.URL+"/v1/chat/completions", strings.NewReader(`{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}`))
	r.Header.Set("Accept-Encoding", "br, gzip")
	resp, err := (&http.Transport{DisableCompression: true}).RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(bufio.NewReader(resp.Body))
	if n := bytes.Count(b, []byte("word")); err != nil || resp.Header.Get("Content-Encoding") != "" || n > 1000 || n < 700 {
		t.Errorf("%d words of %q on a budget of 1000 tokens: %v", n, resp.Header.Get("Content-Encoding"), err)
	}
	front.Close()
	if s := l.Stats(); s.Cut != 1 {
		t.Errorf("%+v", s)
	}
	if outside.Header.Get("Accept-Encoding") != "br, gzip" {
		t.Error("the header map of those outside was changed")
	}
}

func TestALimiterThatCountsNoTokensLeavesTheEncodingToTheClient(t *testing.T) {
	r := post("/v1/chat/completions", prompt)
	r.Header.Set("Accept-Encoding", "gzip")
	got := ""
	do(newLimiter(t, 0, rpm).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = r.Header.Get("Accept-Encoding") })), r)
	if got != "gzip" {
		t.Errorf("%q", got)
	}
}

func TestAnEncodedReplyCostsItsEstimateOrItsLength(t *testing.T) {
	for n, want := range map[int]int64{80: 100, 40_000: 10_000} {
		for _, ct := range []string{"text/event-stream", "application/json"} {
			l := newLimiter(t, 0, day(100_000, ratelimit.Tokens))
			do(l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", ct)
				w.Header().Set("Content-Encoding", "gzip")
				w.Write(make([]byte, n))
			})), as(post("/v1/chat/completions", prompt), "c"))
			if s := l.Stats(); s.Used.Output != want || s.Estimated != s.Used {
				t.Errorf("%d bytes of %s: %+v, want %d", n, ct, s.Used, want)
			}
		}
	}
}

func TestAnUnlimitedNumPredictReservesLikeNone(t *testing.T) {
	// Ollama generates until the model stops when num_predict is 0 or negative.
	for _, tc := range []struct{ path, body string }{
		{"/api/generate", `{"prompt":"hi","options":{"num_predict":0}}`},
		{"/api/generate", `{"prompt":"hi","options":{"num_predict":-1}}`},
		{"/api/chat", `{"messages":[{"role":"user","content":"hi"}],"options":{"num_predict":-2}}`},
		{"/v1/chat/completions", `{"max_tokens":0,"messages":[{"role":"user","content":"hi"}]}`}, // Ollama hands it on as num_predict
	} {
		l := newLimiter(t, 0, day(1_000_000, ratelimit.OutputTokens))
		do(l.Handler(noBody), post(tc.path, tc.body))
		if s := l.Stats(); s.Charged.Output != 1024 {
			t.Errorf("%s: reserved %+v", tc.body, s.Charged)
		}
	}
}

func TestOnlyImagesCostAFlatNumberOfTokens(t *testing.T) {
	enc := base64.StdEncoding.EncodeToString
	fill := strings.Repeat("hello world ", 10_000)
	png, jpeg := enc([]byte("\x89PNG\r\n\x1a\n\x00"+fill)), enc([]byte("\xff\xd8\xff\xe0"+fill))
	gif, webp := enc([]byte("GIF89a"+fill)), enc([]byte("RIFF\x00\x01\x02\x03WEBPVP8 "+fill))
	wav, pdf, text := enc([]byte("RIFF\x00\x01\x02\x03WAVEfmt "+fill)), enc([]byte("%PDF-1.7"+fill)), enc([]byte(fill))
	openai := func(part string) string {
		return `{"max_tokens":1,"messages":[{"role":"user","content":[` + part + `]}]}`
	}
	url := func(s string) string { return openai(`{"type":"image_url","image_url":{"url":"` + s + `"}}`) }
	file := func(s string) string {
		return openai(`{"type":"file","file":{"filename":"a","file_data":"` + s + `"}}`)
	}
	source := func(typ, media, s string) string {
		return openai(`{"type":"` + typ + `","source":{"type":"base64","media_type":"` + media + `","data":"` + s + `"}}`)
	}
	const chat, messages, generate = "/v1/chat/completions", "/v1/messages", "/api/generate"
	for name, tc := range map[string]struct {
		path, body string
		flat       bool
	}{
		"a PNG":                         {chat, url("data:image/png;base64," + png), true},
		"a JPEG with escaped slashes":   {chat, url(strings.ReplaceAll("data:image/jpeg;base64,"+jpeg, "/", `\/`)), true},
		"a GIF":                         {chat, url("DATA:image/gif;base64," + gif), true},
		"a WebP":                        {chat, url("data:image/webp;base64," + webp), true},
		"an Anthropic image":            {messages, source("image", "image/png", png), true},
		"an Ollama image":               {generate, `{"prompt":"x","images":["` + jpeg + `"]}`, true},
		"an SVG is text":                {chat, url("data:image/svg+xml;base64," + text), false},
		"text under an image's name":    {chat, url("data:image/png;base64," + text), false},
		"a text file":                   {chat, file("data:text/plain;base64," + text), false},
		"a PDF":                         {chat, file("data:application/pdf;base64," + pdf), false},
		"a PNG that is said to be text": {chat, file("data:text/plain;base64," + png), false},
		"an Anthropic document":         {messages, source("document", "application/pdf", pdf), false},
		"a sound":                       {chat, openai(`{"type":"input_audio","input_audio":{"format":"wav","data":"` + wav + `"}}`), false},
	} {
		l := newLimiter(t, 0, day(1_000_000, ratelimit.InputTokens))
		do(l.Handler(noBody), post(tc.path, tc.body))
		if got := l.Stats().Charged.Input; (got < 2000) != tc.flat || !tc.flat && got < 30_000 {
			t.Errorf("%s: %d tokens reserved for %d bytes", name, got, len(tc.body))
		}
	}
}

func TestWhoLeavesAReplyBeforeItsFirstWordPaysTheEstimate(t *testing.T) {
	for name, tc := range map[string]struct {
		path, ct, sent string
		out            int64
	}{
		"comments only":          {"/v1/chat/completions", "text/event-stream", ": PROCESSING\n\n", 100},
		"a role and no word":     {"/v1/chat/completions", "text/event-stream", `data: {"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}` + "\n\n", 100},
		"Anthropic's first bill": {"/v1/messages", "text/event-stream", anthropicStream[:strings.Index(anthropicStream, "event: content_block_start")], 100},
		"the head of a document": {"/v1/chat/completions", "application/json", " ", 100},
		"all of it, wordless":    {"/v1/chat/completions", "text/event-stream", `data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":3}}` + "\n\n", 3},
		"some words":             {"/v1/chat/completions", "text/event-stream", `data: {"choices":[{"index":0,"delta":{"content":"some words"}}]}` + "\n\n", 3},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLimiter(t, 0, day(10_000, ratelimit.Tokens))
			ctx, cancel := context.WithCancel(t.Context())
			do(l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", tc.ct)
				io.WriteString(w, tc.sent)
				cancel()
				<-r.Context().Done()
			})), post(tc.path, prompt).WithContext(ctx))
			if s := l.Stats(); s.Used.Output != tc.out || s.Outstanding != 0 {
				t.Errorf("%+v", s.Used)
			}
		})
	}
}

func TestEveryEventWithTextIsAToken(t *testing.T) {
	l := newLimiter(t, 0, day(1000, ratelimit.OutputTokens))
	n := 0
	w := do(l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for n = 0; n < 10_000 && r.Context().Err() == nil; n++ {
			io.WriteString(w, `data: {"choices":[{"index":0,"delta":{"content":"7"}}]}`+"\n\n")
		}
	})), post("/v1/chat/completions", `{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}`))
	if got := strings.Count(w.Body.String(), `"7"`); got != 1000 || n > 1002 {
		t.Errorf("%d tokens passed, %d were made", got, n)
	}
	if s := l.Stats(); s.Used.Output != 1000 || s.Cut != 1 {
		t.Errorf("%+v", s)
	}
}

// Some servers stream whole messages where the API has deltas; the text is no less used for that.
func TestAStreamOfMessagesInsteadOfDeltasIsMetered(t *testing.T) {
	l := newLimiter(t, 0, day(1000, ratelimit.OutputTokens))
	n := 0
	w := do(l.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for n = 0; n < 10_000 && r.Context().Err() == nil; n++ {
			fmt.Fprintf(w, "data: {\"choices\":[{\"index\":0,\"message\":{\"content\":\"word%04d\"}}]}\n\n", n)
		}
	})), post("/v1/chat/completions", `{"model":"m","stream":true,"messages":[{"role":"user","content":"x"}]}`))
	if n > 600 || !strings.Contains(w.Body.String(), "[DONE]") {
		t.Errorf("%d events of two tokens passed a budget of 1000", n)
	}
	if s := l.Stats(); s.Cut != 1 {
		t.Errorf("%+v", s)
	}
}

func TestTheSameClientIDOfTwoIssuersIsTwoClients(t *testing.T) {
	for _, by := range []ratelimit.Scope{ratelimit.ByClient, ratelimit.ByClientModel, ratelimit.ByTenant} {
		h := newLimiter(t, 0, ratelimit.Limit{Name: "one", Max: 1, Per: time.Hour, By: by}).Handler(noBody)
		for _, c := range []exchange.Caller{
			{Issuer: "https://evil.example", ClientID: "team-a"}, {Issuer: "apikey", ClientID: "team-a"}, {ClientID: "team-a"},
			{Issuer: "apikey", Subject: "team-a"}, {Subject: "team-a"}, {ClientID: "apikey", Issuer: "team-a"},
		} {
			for i, want := range []int{200, 429} {
				r := httptest.NewRequest("GET", "/x", nil)
				if w := do(h, r.WithContext(exchange.WithCaller(r.Context(), c))); w.Code != want {
					t.Errorf("%v, %+v, request %d: %d", by, c, i, w.Code)
				}
			}
		}
	}
}

// rewritten stands for rooms: one further out has told the model, one between has rewritten the body since.
func rewritten(before, after string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		b, err := x.ReadBody(w, r, 1<<20)
		if err != nil {
			panic(err)
		}
		x.SetModel(before)
		x.ReplaceBody(r, bytes.Replace(b, []byte(before), []byte(after), 1))
		next.ServeHTTP(w, r)
	})
}

func TestTheModelThatCountsIsTheOneDispatched(t *testing.T) {
	const body = `{"model":"%s","prompt":"x","messages":[]}`
	for _, path := range []string{"/v1/chat/completions", "/completion"} {
		h := newLimiter(t, 0, ratelimit.Limit{Name: "m", Max: 1, Per: time.Hour, By: ratelimit.ByClientModel}).Handler(noBody)
		for i, want := range []int{200, 429, 429} {
			made := "big" + strings.Repeat("_", i)
			if w := do(rewritten(made, "big", h), post(path, fmt.Sprintf(body, made))); w.Code != want {
				t.Errorf("%s %q: %d, want %d", path, made, w.Code, want)
			}
		}
		b, err := ratelimit.NewBulkhead(ratelimit.BulkheadConfig{Slots: ratelimit.Slots{Max: 1}, PerModel: map[string]ratelimit.Slots{"big": {Max: 1}}})
		if err != nil {
			t.Fatal(err)
		}
		ran := false
		do(rewritten("big_", "big", b.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { ran = b.Stats("big").Running == 1 }))), post(path, fmt.Sprintf(body, "big_")))
		if !ran {
			t.Errorf("%s: the bulkhead gave another model's slot", path)
		}
	}
	// Nobody has read the body, but somebody knows the model.
	h := newLimiter(t, 0, ratelimit.Limit{Name: "m", Max: 1, Per: time.Hour, By: ratelimit.ByModel}).Handler(noBody)
	for _, tc := range []struct {
		model string
		want  int
	}{{"a", 200}, {"b", 200}, {"a", 429}} {
		r := httptest.NewRequest("POST", "/upload", nil)
		r.Body, r.ContentLength = unreadable{t}, 1<<40
		w := do(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, w, r := exchange.Enter(w, r)
			defer x.Leave()
			x.SetModel(tc.model)
			h.ServeHTTP(w, r)
		}), r)
		if w.Code != tc.want {
			t.Errorf("%s: %d", tc.model, w.Code)
		}
	}
}

func TestAFreshKeyIsNotToldThatItsQuotaIsUsedUp(t *testing.T) {
	l := newLimiter(t, 0, tpm)
	w := do(l.Handler(noBody), post("/v1/chat/completions", `{"model":"m","max_tokens":10001,"messages":[]}`))
	if s := w.Body.String(); w.Code != 429 || !strings.Contains(s, `"insufficient_quota"`) || !strings.Contains(s, `"The request asks for more than the plan allows at once."`) {
		t.Errorf("%d %s", w.Code, s)
	}
}

// asDefault makes a logger of the given level the default one while f runs, and returns what was logged.
func asDefault(level slog.Level, f func()) string {
	var log bytes.Buffer
	old, out, flags := slog.Default(), stdlog.Writer(), stdlog.Flags()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level})))
	defer func() {
		slog.SetDefault(old)
		stdlog.SetOutput(out) // which SetDefault has turned to ours
		stdlog.SetFlags(flags)
	}()
	f()
	return log.String()
}

func TestWithoutALoggerFailuresReachTheDefaultLoggerOfTheMoment(t *testing.T) {
	one := ratelimit.Limit{Name: "one", Max: 1, Per: time.Hour}
	plans := []ratelimit.Plan{{Name: "free", Limits: []ratelimit.Limit{one}}, {Name: "pro", Limits: []ratelimit.Limit{one}}}
	mk := func(cfg ratelimit.Config) http.Handler {
		l, err := ratelimit.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		return l.Handler(noBody)
	}
	var none *ratelimit.Limiter
	var noneB *ratelimit.Bulkhead
	limited := mk(ratelimit.Config{Plans: plans[:1]})
	do(limited, httptest.NewRequest("GET", "/", nil))
	full := newBulkhead(t, ratelimit.Slots{Max: 1})
	if _, err := full.Acquire(t.Context(), "", ""); err != nil {
		t.Fatal(err)
	}
	lost := func(r *http.Request) *http.Request {
		return r.WithContext(exchange.WithCaller(r.Context(), exchange.Caller{ClientID: "SECRET", Plan: "prro"}))
	}
	for name, tc := range map[string]struct {
		h     http.Handler
		level slog.Level
		want  string
	}{
		"a refusal":            {limited, slog.LevelDebug, "level=DEBUG msg=\"ratelimit: refused\""},
		"a full bulkhead":      {full.Handler(noBody), slog.LevelDebug, "level=DEBUG msg=\"ratelimit: no slot\""},
		"a store that is down": {mk(ratelimit.Config{Plans: plans[:1], Store: brokenStore{io.ErrClosedPipe}}), slog.LevelError, "level=ERROR"},
		"an unknown plan":      {mk(ratelimit.Config{Plans: plans, DefaultPlan: "free"}), slog.LevelError, "level=ERROR"},
		"a nil Limiter":        {none.Handler(noBody), slog.LevelError, "level=ERROR"},
		"a zero Limiter":       {new(ratelimit.Limiter).Handler(noBody), slog.LevelError, "level=ERROR"},
		"a nil Bulkhead":       {noneB.Handler(noBody), slog.LevelError, "level=ERROR"},
	} {
		ask := func() { do(tc.h, lost(httptest.NewRequest("GET", "/", nil))) }
		if name == "a refusal" {
			ask = func() { do(tc.h, httptest.NewRequest("GET", "/", nil)) }
		}
		if got := asDefault(tc.level, ask); !strings.Contains(got, tc.want) || strings.Contains(got, "SECRET") {
			t.Errorf("%s: %q", name, got)
		}
		if got := asDefault(tc.level+1, ask); got != "" {
			t.Errorf("%s is logged above its level: %q", name, got)
		}
	}
}

func TestANilHandlerIsFoundWhenItIsMounted(t *testing.T) {
	var none *ratelimit.Limiter
	for name, f := range map[string]func(){
		"ratelimit: Limiter.Handler: next is nil":  func() { none.Handler(nil) },
		"ratelimit: Bulkhead.Handler: next is nil": func() { newBulkhead(t, ratelimit.Slots{Max: 1}).Handler(nil) },
	} {
		func() {
			defer func() {
				if v := recover(); v != name {
					t.Errorf("%v, want %s", v, name)
				}
			}()
			f()
		}()
	}
}

func TestMadeUpModelsShareABucketWhereTheModelsAreNamed(t *testing.T) {
	l, err := ratelimit.New(ratelimit.Config{
		Plans:  []ratelimit.Plan{{Limits: []ratelimit.Limit{{Name: "m", Max: 2, Per: time.Hour, By: ratelimit.ByClientModel}}}},
		Models: []string{"big", "small"},
	})
	if err != nil {
		t.Fatal(err)
	}
	h := l.Handler(noBody)
	for i, tc := range []struct {
		model string
		want  int
	}{{"big", 200}, {"big", 200}, {"big", 429}, {"small", 200}, {"x1", 200}, {"x2", 200}, {"x3", 429}, {"", 429}, {"small", 200}} {
		if w := do(h, post("/v1/chat/completions", strings.Replace(prompt, "m1", tc.model, 1))); w.Code != tc.want {
			t.Errorf("%d, %q: %d, want %d", i, tc.model, w.Code, tc.want)
		}
	}
	_, err = ratelimit.New(ratelimit.Config{Plans: l.Plans(), Models: []string{"a", "", "a"}})
	if err == nil || !strings.Contains(err.Error(), "Config.Models[1]") || !strings.Contains(err.Error(), "Config.Models[2]") {
		t.Errorf("%v", err)
	}
}

func TestPricesStillSeeTheNameOfAMadeUpModel(t *testing.T) {
	var asked []string
	l, err := ratelimit.New(ratelimit.Config{
		Plans:  []ratelimit.Plan{{Limits: []ratelimit.Limit{day(1e9, ratelimit.Money)}}},
		Models: []string{"big"},
		Prices: func(m string) ratelimit.Price { asked = append(asked, m); return ratelimit.Price{} },
	})
	if err != nil {
		t.Fatal(err)
	}
	do(l.Handler(noBody), post("/v1/chat/completions", prompt))
	if len(asked) == 0 || asked[0] != "m1" {
		t.Errorf("%q", asked)
	}
}

func TestPlansAreShownInTheirOrderAndCannotBeChangedThroughTheCopy(t *testing.T) {
	given := []ratelimit.Plan{{Name: "z", Limits: []ratelimit.Limit{rpm, tpm}}, {Name: "a", Limits: []ratelimit.Limit{daily}}}
	l, err := ratelimit.New(ratelimit.Config{Plans: given, DefaultPlan: "a"})
	if err != nil {
		t.Fatal(err)
	}
	given[0].Limits[0].Max = 1
	for range 2 {
		p := l.Plans()
		if len(p) != 2 || p[0].Name != "z" || p[1].Name != "a" || p[0].Limits[0] != rpm || p[0].Limits[1] != tpm || p[1].Limits[0] != daily {
			t.Fatalf("%+v", p)
		}
		p[0].Limits[0].Max, p[1].Limits[0].Name = 7, "x"
	}
	var none *ratelimit.Limiter
	if none.Plans() != nil || new(ratelimit.Limiter).Plans() != nil {
		t.Error("a Limiter that was not made shows plans")
	}
}

func TestPaceIsAFiniteNumber(t *testing.T) {
	for _, pace := range []float64{-1, math.NaN(), math.Inf(1)} {
		if _, err := ratelimit.NewBulkhead(ratelimit.BulkheadConfig{Slots: ratelimit.Slots{Max: 1, Pace: pace}}); err == nil {
			t.Errorf("%v accepted", pace)
		}
	}
}

package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/internal/corpus"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

const (
	replayPrompts     = 6000
	replayConcurrency = 32
)

// prompts draws the same mixture of real texts in every run: all of pii and secrets, the rest half injection and half SQL and
// markup, each with its own share of attacks and benign texts.
func prompts(t *testing.T) []string {
	type row struct{ Text string }
	texts := func(names ...string) (all []string) {
		for _, name := range names {
			for _, r := range corpus.Lines[row](t, name) {
				if strings.TrimSpace(r.Text) != "" {
					all = append(all, r.Text)
				}
			}
		}
		return all
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	draw := func(all []string, n int) []string {
		rnd.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		return all[:min(n, len(all))]
	}
	list := texts("pii/dev.jsonl", "secrets/dev.jsonl.gz")
	list = append(list, draw(texts("sqli_xss/dev.jsonl"), (replayPrompts-len(list))/2)...)
	list = append(list, draw(texts("injection/train.jsonl.gz", "injection/dev.jsonl.gz"), replayPrompts-len(list))...)
	if len(list) < 5000 {
		t.Fatalf("only %d prompts", len(list))
	}
	return draw(list, len(list))
}

// tally is what the client side saw.
type tally struct {
	mu       sync.Mutex
	statuses map[string]int // "chat 200", "messages stream 429", ...
	faults   []string
	input    int64
	output   int64
	attempts atomic.Int64 // requests sent, retries among them
}

func (l *tally) seen(kind string, status int, in, out int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.statuses[kind+" "+strconv.Itoa(status)]++
	l.input += in
	l.output += out
}

func (l *tally) fault(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.faults) < 20 {
		l.faults = append(l.faults, fmt.Sprintf(format, args...))
	} else {
		l.faults = append(l.faults, "")
	}
}

// replayer sends prompts. Every attempt is one request, counted; a 429 waits as long as it says and is sent again.
type replayer struct {
	*tally
	s    *server
	sdk  openai.Client
	http *http.Client
}

func newReplayer(s *server) *replayer {
	h := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: replayConcurrency}, Timeout: 2 * time.Minute}
	return &replayer{
		tally: &tally{statuses: map[string]int{}}, s: s, http: h,
		sdk: s.client(option.WithHTTPClient(h)),
	}
}

// result is one attempt: status 0 means that the reply broke off.
type result struct {
	status  int
	in, out int64
	text    string
	after   time.Duration // of a 429
	err     error
}

// send replays one prompt through one of five doors, chosen by its number.
func (p *replayer) send(ctx context.Context, i int, prompt string) {
	model := "demo"
	switch {
	case i%97 == 0: // numbers that share no factor with the doors below: every model comes to every door
		model = "demo-error"
	case i%101 == 0:
		model = "demo-panic"
	case i%47 == 0:
		model = "demo-leaky"
	}
	kind, do := "chat", p.chat
	switch i % 10 {
	case 0, 2, 4, 6:
		kind, do = "chat stream", p.chatStream
	case 8:
		kind, do = "messages stream", p.messagesStream
	case 1:
		kind, do = "messages", p.messages
	case 3:
		kind, do, model = "predict", p.predict, ""
	}
	for range 100 {
		p.attempts.Add(1)
		r := do(ctx, model, prompt)
		p.seen(kind, r.status, r.in, r.out)
		if r.status == http.StatusTooManyRequests && ctx.Err() == nil {
			select {
			case <-ctx.Done():
			case <-time.After(r.after): // as the server asked, on its own clock
			}
			continue
		}
		wantFailure := (model == "demo-error" || model == "demo-panic")
		switch {
		case r.err != nil:
			p.fault("prompt %d, %s %s: %v", i, kind, model, r.err)
		case r.status >= 500 && !(wantFailure && r.status == 500):
			p.fault("prompt %d, %s %s: %d that the model did not ask for: %.300s", i, kind, model, r.status, r.text)
		case wantFailure && r.status < 400:
			p.fault("prompt %d, %s %s: %d although the model failed", i, kind, model, r.status)
		}
		for _, word := range []string{leakedKey[3:13], leakedKey[20:36], "jane.doe", "hunter2", "goroutine 87"} {
			if strings.Contains(r.text, word) && !strings.Contains(prompt, word) {
				p.fault("prompt %d, %s %s tells %q", i, kind, model, word)
			}
		}
		return
	}
	p.fault("prompt %d: 100 times 429", i)
}

func (p *replayer) params(model, prompt string) openai.ChatCompletionNewParams {
	q := chat(model, prompt)
	q.MaxTokens = openai.Int(32)
	return q
}

// sdkError turns the client's error class into a result.
func sdkError(err error) result {
	var e *openai.Error
	if !errors.As(err, &e) {
		return result{err: err}
	}
	return result{status: e.StatusCode, text: e.RawJSON(), after: retryAfter(e.Response.Header)}
}

func retryAfter(h http.Header) time.Duration {
	if ms, err := strconv.ParseFloat(h.Get("retry-after-ms"), 64); err == nil {
		return time.Duration(ms * float64(time.Millisecond))
	}
	n, _ := strconv.Atoi(h.Get("Retry-After"))
	return time.Duration(max(n, 1)) * time.Second
}

func (p *replayer) chat(ctx context.Context, model, prompt string) result {
	r, err := p.sdk.Chat.Completions.New(ctx, p.params(model, prompt))
	if err != nil {
		return sdkError(err)
	}
	return result{status: 200, in: r.Usage.PromptTokens, out: r.Usage.CompletionTokens, text: r.Choices[0].Message.Content}
}

func (p *replayer) chatStream(ctx context.Context, model, prompt string) result {
	if model == "demo-panic" {
		model = "demo-error" // a panic in a stream comes after its 200; TestTheGoClient has that one
	}
	got := stream(ctx, p.sdk, withUsage(p.params(model, prompt)))
	switch {
	case got.err != nil:
		return sdkError(got.err)
	case got.finish == "":
		return result{err: errors.New("a stream without a finish reason")}
	}
	return result{status: 200, in: got.usage.PromptTokens, out: got.usage.CompletionTokens, text: got.text}
}

// post is the raw door for what the OpenAI client does not speak.
func (p *replayer) post(ctx context.Context, path string, body any, read func(io.Reader, *result) error) (r result) {
	b, err := json.Marshal(body)
	if err != nil {
		return result{err: err}
	}
	req, err := http.NewRequestWithContext(ctx, "POST", p.s.url+path, bytes.NewReader(b))
	if err != nil {
		return result{err: err}
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+p.s.key)
	resp, err := p.http.Do(req)
	if err != nil {
		return result{err: err}
	}
	defer resp.Body.Close()
	r.status = resp.StatusCode
	if resp.StatusCode != http.StatusOK {
		all, err := io.ReadAll(resp.Body)
		r.text, r.after, r.err = string(all), retryAfter(resp.Header), err
		if !json.Valid(all) {
			r.err = fmt.Errorf("an error of %d whose body is not JSON: %.200q", r.status, all)
		}
		return r
	}
	r.err = read(resp.Body, &r)
	return r
}

type messagesUsage struct {
	Input  int64 `json:"input_tokens"`
	Output int64 `json:"output_tokens"`
}

func messagesBody(model, prompt string, stream bool) any {
	return map[string]any{
		"model": model, "max_tokens": 32, "stream": stream,
		"messages": []any{map[string]any{"role": "user", "content": prompt}},
	}
}

func (p *replayer) messages(ctx context.Context, model, prompt string) result {
	return p.post(ctx, "/v1/messages", messagesBody(model, prompt, false), func(body io.Reader, r *result) error {
		var v struct {
			Content []struct{ Text string }
			Usage   messagesUsage
		}
		if err := json.NewDecoder(body).Decode(&v); err != nil {
			return err
		}
		r.text, r.in, r.out = v.Content[0].Text, v.Usage.Input, v.Usage.Output
		return nil
	})
}

func (p *replayer) messagesStream(ctx context.Context, model, prompt string) result {
	if model == "demo-panic" {
		model = "demo-error"
	}
	return p.post(ctx, "/v1/messages", messagesBody(model, prompt, true), func(body io.Reader, r *result) error {
		var text strings.Builder
		stopped := false
		sc := bufio.NewScanner(body)
		for sc.Scan() {
			data, ok := strings.CutPrefix(sc.Text(), "data: ")
			if !ok {
				continue
			}
			var ev struct {
				Type    string
				Delta   struct{ Text string }
				Usage   messagesUsage
				Message struct{ Usage messagesUsage }
			}
			if err := json.Unmarshal([]byte(data), &ev); err != nil {
				return err
			}
			text.WriteString(ev.Delta.Text)
			switch ev.Type {
			case "message_start":
				r.in = ev.Message.Usage.Input
			case "message_delta":
				r.out = ev.Usage.Output
			case "message_stop":
				stopped = true
			}
		}
		r.text = text.String()
		if err := sc.Err(); err != nil {
			return err
		}
		if !stopped {
			return errors.New("a stream without message_stop")
		}
		return nil
	})
}

func (p *replayer) predict(ctx context.Context, _, prompt string) result {
	return p.post(ctx, "/ai/predict", map[string]string{"text": prompt}, func(body io.Reader, r *result) error {
		var v struct {
			Label         string
			Probabilities map[string]float64
		}
		if err := json.NewDecoder(body).Decode(&v); err != nil {
			return err
		}
		if v.Label == "" || len(v.Probabilities) == 0 {
			return errors.New("a prediction without a label")
		}
		return nil
	})
}

// run sends all prompts, replayConcurrency at a time, and closes its connections.
func (p *replayer) run(ctx context.Context, list []string) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range replayConcurrency {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(list) || ctx.Err() != nil {
					return
				}
				p.send(ctx, i, list[i])
			}
		})
	}
	wg.Wait()
	p.http.CloseIdleConnections()
}

func TestTheReplayOfRealPromptsHoldsItsFourEqualities(t *testing.T) {
	list := prompts(t)
	s := start(t, "pro")
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	rest := func(v stats) bool {
		return v.Audit.Recorded == v.Audit.Written+v.Audit.Dropped && v.RateLimit.Outstanding == 0
	}

	// A first small run starts what is started once (connections' goroutines end, workers stay), so that the two readings
	// below differ only by what leaks.
	warm := newReplayer(s)
	warm.run(ctx, list[:200])
	before := s.settle(t, 10*time.Second, rest)
	for range 20 { // closed connections take a moment to be noticed
		v := s.settle(t, 100*time.Millisecond, func(stats) bool { return false })
		if v.Goroutines == before.Goroutines {
			break
		}
		before = v
	}
	linesBefore := len(s.auditLines(t))

	p := newReplayer(s)
	began := time.Now()
	p.run(ctx, list)
	took := time.Since(began)
	after := s.settle(t, 20*time.Second, func(v stats) bool { return rest(v) && v.Goroutines <= before.Goroutines })
	lines := len(s.auditLines(t)) - linesBefore

	t.Logf("report: %d prompts, %d requests in %.1f s (%.0f/s)", len(list), p.attempts.Load(), took.Seconds(), float64(p.attempts.Load())/took.Seconds())
	kinds := make([]string, 0, len(p.statuses))
	for kind, n := range p.statuses {
		kinds = append(kinds, fmt.Sprintf("%s: %d", kind, n))
	}
	slices.Sort(kinds)
	t.Logf("report: %s", strings.Join(kinds, ", "))
	t.Logf("report: goroutines %d, then %d; audit lines %d; usage settled %+v, reported %+v, seen by the client %d in, %d out", before.Goroutines, after.Goroutines,
		lines, diff(after.RateLimit.Settled, before.RateLimit.Settled), diff(after.RateLimit.Reported, before.RateLimit.Reported), p.input, p.output)

	if ctx.Err() != nil {
		t.Fatalf("the replay did not end in time: %v", ctx.Err())
	}
	for _, f := range p.faults[:min(20, len(p.faults))] {
		t.Error(f)
	}
	if n := len(p.faults); n > 20 {
		t.Errorf("%d faults in all", n)
	}
	ok := 0
	for kind, n := range p.statuses {
		if strings.HasSuffix(kind, " 200") {
			ok += n
		}
	}
	if ok < len(list)/2 {
		t.Errorf("only %d of %d prompts were answered", ok, len(list))
	}

	if after.Goroutines > before.Goroutines {
		t.Errorf("goroutines: %d before, %d after", before.Goroutines, after.Goroutines)
	}
	sent := p.attempts.Load()
	if n := after.Audit.Recorded - before.Audit.Recorded; n != sent || int64(lines) != sent || after.Audit.Dropped != 0 {
		t.Errorf("%d requests, %d recorded, %d lines, %d dropped", sent, n, lines, after.Audit.Dropped)
	}
	settled, reported := diff(after.RateLimit.Settled, before.RateLimit.Settled), diff(after.RateLimit.Reported, before.RateLimit.Reported)
	if settled.Input != reported.Input || settled.Output != reported.Output {
		t.Errorf("settled %+v, reported %+v", settled, reported)
	}
	if reported.Input != p.input || reported.Output != p.output {
		t.Errorf("reported %+v, but the client was told %d in and %d out", reported, p.input, p.output)
	}
	if reported.Output == 0 {
		t.Error("no usage at all")
	}
	if after.RateLimit.Outstanding != 0 {
		t.Errorf("%d reservations stay open", after.RateLimit.Outstanding)
	}
}

func diff(a, b usage) usage {
	return usage{Requests: a.Requests - b.Requests, Input: a.Input - b.Input, Output: a.Output - b.Output}
}

package e2e_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

// What the stand-in model leaks, put together here so that no scanner takes this file for a leak.
const (
	leakedKey   = "sk-" + "Q7vXc2LmT9pRzB4nYw8K" + "T3Blbk" + "FJ" + "aH5dG1sUe6JfVx3qNo0i"
	leakedEmail = "jane.doe" + "@" + "mail.example.com"
)

// inner holds what a reply must never tell: parts of the stand-in model's panic and 500.
var inner = []string{"postgres", "hunter2", "goroutine", "/srv/", ".go:", "panic", "engine"}

func (s *server) client(opts ...option.RequestOption) openai.Client {
	return openai.NewClient(append([]option.RequestOption{
		option.WithBaseURL(s.url + "/v1/"), option.WithAPIKey(s.key), option.WithMaxRetries(0),
	}, opts...)...)
}

func chat(model, prompt string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    model,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(prompt)},
	}
}

// streamed is what a client has after reading a stream to its end.
type streamed struct {
	text, finish string
	usage        openai.CompletionUsage
	frames       int
	err          error
}

func stream(ctx context.Context, c openai.Client, p openai.ChatCompletionNewParams) (got streamed) {
	s := c.Chat.Completions.NewStreaming(ctx, p)
	defer s.Close()
	var text strings.Builder
	for s.Next() {
		got.frames++
		chunk := s.Current()
		for _, choice := range chunk.Choices {
			text.WriteString(choice.Delta.Content)
			if choice.FinishReason != "" {
				got.finish = choice.FinishReason
			}
		}
		if chunk.Usage.TotalTokens != 0 {
			got.usage = chunk.Usage
		}
	}
	got.text, got.err = text.String(), s.Err()
	return got
}

func withUsage(p openai.ChatCompletionNewParams) openai.ChatCompletionNewParams {
	p.StreamOptions.IncludeUsage = openai.Bool(true)
	return p
}

// apiError returns err as the client's error class with the status, or fails.
func apiError(t *testing.T, err error, status ...int) *openai.Error {
	t.Helper()
	var e *openai.Error
	if !errors.As(err, &e) {
		t.Fatalf("not the client's error class: %T %v", err, err)
	}
	for _, want := range status {
		if e.StatusCode == want {
			if e.Message == "" || e.Code == "" || e.Response.Header.Get("X-Request-Id") == "" {
				t.Errorf("an error without message, code or request id: %s %v", e.RawJSON(), e.Response.Header)
			}
			return e
		}
	}
	t.Fatalf("status %d, want %v: %s", e.StatusCode, status, e.RawJSON())
	return nil
}

// silent fails when text holds one of the words.
func silent(t *testing.T, text string, words ...string) {
	t.Helper()
	for _, word := range words {
		if strings.Contains(strings.ToLower(text), strings.ToLower(word)) {
			t.Errorf("it tells %q: %s", word, text)
		}
	}
}

func TestTheGoClient(t *testing.T) {
	s := start(t, "pro")
	c := s.client()

	t.Run("gets a whole reply with usage", func(t *testing.T) {
		r, err := c.Chat.Completions.New(t.Context(), chat("demo", "What is light?"))
		if err != nil {
			t.Fatal(err)
		}
		choice := r.Choices[0]
		if choice.Message.Content == "" || choice.FinishReason != "stop" || r.Usage.TotalTokens != r.Usage.PromptTokens+r.Usage.CompletionTokens || r.Usage.CompletionTokens == 0 {
			t.Errorf("%s", r.RawJSON())
		}
	})

	t.Run("gets the same reply as a stream", func(t *testing.T) {
		r, err := c.Chat.Completions.New(t.Context(), chat("demo", "What is light?"))
		if err != nil {
			t.Fatal(err)
		}
		got := stream(t.Context(), c, withUsage(chat("demo", "What is light?")))
		if got.err != nil || got.text != r.Choices[0].Message.Content || got.finish != "stop" || got.usage.TotalTokens != r.Usage.TotalTokens || got.frames < 10 {
			t.Errorf("%+v, want %s", got, r.RawJSON())
		}
	})

	t.Run("lists the models", func(t *testing.T) {
		page, err := c.Models.List(t.Context())
		if err != nil || len(page.Data) < 6 || page.Data[0].ID != "demo" {
			t.Errorf("%v %+v", err, page)
		}
	})

	t.Run("gets its authentication error for every bad key, always the same one", func(t *testing.T) {
		// One that has no shape, one whose check sum is wrong, one of another service.
		last := byte('0')
		if s.key[len(s.key)-1] == last {
			last = '1'
		}
		for _, key := range []string{"nonsense", s.key[:len(s.key)-1] + string(last), leakedKey} {
			_, err := c.Chat.Completions.New(t.Context(), chat("demo", "hi"), option.WithAPIKey(key))
			e := apiError(t, err, http.StatusUnauthorized)
			if e.Code != "invalid_api_key" || e.Response.Header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s %v", e.RawJSON(), e.Response.Header)
			}
			silent(t, e.RawJSON(), key)
		}
		got := stream(t.Context(), s.client(option.WithAPIKey("nonsense")), chat("demo", "hi"))
		apiError(t, got.err, http.StatusUnauthorized)
	})

	t.Run("gets its bad request error for a schema violation, without the value", func(t *testing.T) {
		hot := chat("demo", "hi")
		hot.Temperature = openai.Float(9.8765)
		many := chat("demo", "hi")
		many.N = openai.Int(987654321)
		for _, p := range []openai.ChatCompletionNewParams{hot, many} {
			_, err := c.Chat.Completions.New(t.Context(), p)
			e := apiError(t, err, http.StatusUnprocessableEntity, http.StatusBadRequest)
			silent(t, e.RawJSON(), "9.8765", "987654321")
		}
		_, err := c.Chat.Completions.New(t.Context(), chat("demo", "hi"), option.WithJSONSet("messages.0.role", "zx-private-zx"))
		silent(t, apiError(t, err, http.StatusUnprocessableEntity, http.StatusBadRequest).RawJSON(), "zx-private-zx")
	})

	t.Run("gets leaked secrets redacted, whole and as a stream", func(t *testing.T) {
		p := chat("demo-leaky", "What do you know?")
		r, err := c.Chat.Completions.New(t.Context(), p)
		if err != nil {
			t.Fatal(err)
		}
		got := stream(t.Context(), c, withUsage(p))
		if got.err != nil || got.finish != "stop" || got.usage.CompletionTokens != r.Usage.CompletionTokens {
			t.Errorf("%+v, want the usage of %s", got, r.RawJSON())
		}
		for _, text := range []string{r.Choices[0].Message.Content, got.text} {
			// Not the whole, and no telling part either.
			silent(t, text, leakedKey[3:13], leakedKey[20:36], leakedKey[len(leakedKey)-12:], "jane.doe", "@mail")
			if !strings.HasPrefix(text, "Of course. The key in my instructions is ") || !strings.HasSuffix(text, ", but please do not tell anybody.") {
				t.Errorf("the text around the secrets was hurt: %s", text)
			}
		}
		if got.text != r.Choices[0].Message.Content {
			t.Errorf("the stream was redacted differently: %s, want %s", got.text, r.Choices[0].Message.Content)
		}
	})

	t.Run("gets a safe 500 when the model panics or fails", func(t *testing.T) {
		for _, model := range []string{"demo-panic", "demo-error"} {
			_, err := c.Chat.Completions.New(t.Context(), chat(model, "hi"))
			e := apiError(t, err, http.StatusInternalServerError)
			silent(t, e.RawJSON(), inner...)
			silent(t, strings.Join(e.Response.Header.Values("X-Powered-By"), " "), "quickstart")
		}
		got := stream(t.Context(), c, chat("demo-error", "hi"))
		silent(t, apiError(t, got.err, http.StatusInternalServerError).RawJSON(), inner...)
	})

	t.Run("sees a panic in the middle of a stream as an error, not as an end", func(t *testing.T) {
		got := stream(t.Context(), c, chat("demo-panic", "hi"))
		if got.err == nil || got.finish != "" {
			t.Fatalf("it looks like a whole reply: %+v", got)
		}
		silent(t, got.err.Error()+got.text, inner...)
	})

	t.Run("may leave a slow stream, and its charge is settled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		st := c.Chat.Completions.NewStreaming(ctx, chat("demo-slow", "hi"))
		for range 3 {
			if !st.Next() {
				t.Fatal(st.Err())
			}
		}
		cancel()
		st.Close()
		if v := s.settle(t, 10*time.Second, func(v stats) bool { return v.RateLimit.Outstanding == 0 }); v.RateLimit.Outstanding != 0 {
			t.Errorf("%d reservations stay open", v.RateLimit.Outstanding)
		}
	})

	t.Run("leaves neither key nor prompt in clear on the server", func(t *testing.T) {
		canary := "canary-5f1d9c27"
		if _, err := c.Chat.Completions.New(t.Context(), chat("demo", "Tell nobody of "+canary)); err != nil {
			t.Fatal(err)
		}
		stream(t.Context(), c, chat("demo", "Tell nobody of "+canary))
		s.settle(t, 10*time.Second, func(v stats) bool { return v.Audit.Recorded == v.Audit.Written })
		printed := strings.Replace(s.log.String(), "MANTLET_API_KEY="+s.key+"\n", "", 1)
		for where, text := range map[string]string{"log": printed, "data": s.kept(t)} {
			for _, secret := range []string{s.key, canary, leakedKey} {
				if strings.Contains(text, secret) {
					t.Errorf("the %s holds %q", where, secret)
				}
			}
		}
	})
}

func TestTheBudgetEndsAnEndlessStreamCleanly(t *testing.T) {
	s := start(t, "free")
	ctx, cancel := context.WithTimeout(t.Context(), 90*time.Second)
	defer cancel()
	got := stream(ctx, s.client(), withUsage(chat("demo-endless", "Tell me everything")))
	if got.err != nil || got.finish != "length" || got.frames < 5 {
		t.Fatalf("finish %q, %d frames, %v", got.finish, got.frames, got.err)
	}
	t.Logf("report: the endless stream was ended after %d frames, usage %d", got.frames, got.usage.CompletionTokens)
	v := s.settle(t, 10*time.Second, func(v stats) bool { return v.RateLimit.Outstanding == 0 })
	if v.RateLimit.Outstanding != 0 {
		t.Errorf("%d reservations stay open", v.RateLimit.Outstanding)
	}
}

func TestTheLimitIsTheClientsRateLimitErrorAndItsOwnRetrySucceeds(t *testing.T) {
	s := start(t, "free")
	p := chat("demo", "hi")
	p.MaxTokens = openai.Int(1)

	c := s.client()
	var limited *openai.Error
	allowed := 0
	for limited == nil {
		_, err := c.Chat.Completions.New(t.Context(), p)
		if err != nil {
			limited = apiError(t, err, http.StatusTooManyRequests)
		} else if allowed++; allowed == 1000 {
			t.Fatal("1000 requests in a row and no limit")
		}
	}
	wait, err := strconv.Atoi(limited.Response.Header.Get("Retry-After"))
	if err != nil || wait < 1 || wait > 60 {
		t.Fatalf("Retry-After %q", limited.Response.Header.Get("Retry-After"))
	}
	if limited.Code != "rate_limit_exceeded" || limited.Response.Header.Get("RateLimit") == "" || limited.Response.Header.Get("RateLimit-Policy") == "" {
		t.Errorf("%s %v", limited.RawJSON(), limited.Response.Header)
	}
	t.Logf("report: %d requests passed, then 429 with Retry-After %d", allowed, wait)

	// The client's own retry reads the header; it is not told how often the server may be asked. Drain first what came back meanwhile.
	for {
		if _, err := c.Chat.Completions.New(t.Context(), p); err != nil {
			apiError(t, err, http.StatusTooManyRequests)
			break
		}
	}
	var attempts atomic.Int64
	count := option.WithMiddleware(func(r *http.Request, next option.MiddlewareNext) (*http.Response, error) {
		attempts.Add(1)
		return next(r)
	})
	retrying := s.client(option.WithMaxRetries(3), count)
	if _, err := retrying.Chat.Completions.New(t.Context(), p); err != nil {
		t.Fatalf("the retry after Retry-After failed: %v", err)
	}
	if n := attempts.Load(); n < 2 {
		t.Errorf("%d attempt: the limit did not hold", n)
	} else {
		t.Logf("report: the client's own retry got its reply at attempt %d", n)
	}
}

func TestRequestsWithoutAKeyAreChallenged(t *testing.T) {
	s := start(t, "free")
	for _, path := range []string{"/v1/chat/completions", "/v1/messages", "/ai/predict"} {
		resp, err := http.Post(s.url+path, "application/json", strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 401 || resp.Header.Get("WWW-Authenticate") == "" || !strings.Contains(string(b), "missing_credentials") {
			t.Errorf("%s: %d %s", path, resp.StatusCode, b)
		}
	}
}

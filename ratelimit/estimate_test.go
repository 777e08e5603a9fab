package ratelimit_test

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/ratelimit"
)

// TestWhatIsReservedBeforeARequestRuns shows the estimate of a request: bytes/3 in, what it asks for out.
func TestWhatIsReservedBeforeARequestRuns(t *testing.T) {
	const chat, message = "/v1/chat/completions", `"messages":[{"role":"user","content":"hi"}]`
	image := "data:image/png;base64," + strings.Repeat("iVBORw0KGgo", 50_000)
	in := func(body string) int64 { return int64(len(body)+2) / 3 }
	for name, tc := range map[string]struct {
		path, body string
		in, out    int64
	}{
		"max_tokens":                        {chat, `{"max_tokens":70,` + message + `}`, -1, 70},
		"max_completion_tokens":             {chat, `{"max_completion_tokens":71,` + message + `}`, -1, 71},
		"n choices":                         {chat, `{"n":3,"max_tokens":70,` + message + `}`, -1, 210},
		"a silly n is not multiplied round": {chat, `{"n":9000000000000000000,"max_tokens":9000000000000000000,` + message + `}`, -1, 1e12},
		"a negative max_tokens is none":     {chat, `{"max_tokens":-5,` + message + `}`, -1, 1024},
		"nothing said":                      {chat, `{` + message + `}`, -1, 1024},
		"max_output_tokens":                 {"/v1/responses", `{"max_output_tokens":9,"input":"hi"}`, -1, 9},
		"num_predict":                       {"/api/generate", `{"prompt":"hi","options":{"num_predict":8}}`, -1, 8},
		"unlimited num_predict":             {"/api/generate", `{"prompt":"hi","options":{"num_predict":-1}}`, -1, 1024},
		"embeddings have no output":         {"/v1/embeddings", `{"input":"hi"}`, -1, 0},
		"counting tokens has no output":     {"/v1/messages/count_tokens", `{` + message + `}`, -1, 0},
		"an image is not its base64": {chat, `{"max_tokens":1,"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"` + image + `"}}]}]}`,
			1600 + in(`{"max_tokens":1,"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":""}}]}]}`), 1},
		"no JSON at all": {chat, "\x00\x01garbage", -1, 1024},
		"another API":    {"/classify", `{"text":"some words"}`, -1, 1024},
	} {
		t.Run(name, func(t *testing.T) {
			if tc.in < 0 {
				tc.in = in(tc.body)
			}
			l := newLimiter(t, 0, ratelimit.Limit{Name: "t", Max: 1e15, Calendar: ratelimit.Month, Cost: ratelimit.Tokens})
			if w := do(l.Handler(noBody), post(tc.path, tc.body)); w.Code != 200 {
				t.Fatal(w.Code)
			}
			if s := l.Stats(); s.Charged != (ratelimit.Usage{Requests: 1, Input: tc.in, Output: tc.out}) {
				t.Errorf("reserved %+v, want in %d out %d", s.Charged, tc.in, tc.out)
			}
		})
	}
}

// LiteLLM once reserved 1024 tokens where the limit was 100, so that not even the first call passed (litellm#29193).
func TestASmallLimitDoesNotRefuseWhatSaidNoLength(t *testing.T) {
	for name, limits := range map[string][]ratelimit.Limit{
		"tokens":   {{Name: "t", Max: 100, Per: time.Minute, Cost: ratelimit.Tokens}},
		"burst":    {{Name: "t", Max: 1000, Burst: 100, Per: time.Minute, Cost: ratelimit.Tokens}},
		"weighted": {{Name: "t", Max: 100, Per: time.Minute, Cost: ratelimit.Weights{Output: 30}}},
		"money":    {{Name: "usd", Max: 900, Calendar: ratelimit.Day, Cost: ratelimit.Money}},
	} {
		t.Run(name, func(t *testing.T) {
			l, err := ratelimit.New(ratelimit.Config{Plans: []ratelimit.Plan{{Limits: limits}}, Prices: ratelimit.PriceTable(map[string]ratelimit.Price{"m": {Input: 1e6, Output: 7e6}})})
			if err != nil {
				t.Fatal(err)
			}
			w := do(l.Handler(noBody), post("/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"hi"}]}`))
			if w.Code != 200 {
				t.Errorf("%d %v, reserved %+v", w.Code, w.Header(), l.Stats().Charged)
			}
		})
	}
}

func TestErrorsAreForLogsAndNameTheLimits(t *testing.T) {
	l := newLimiter(t, 0, ratelimit.Limit{Name: "a", Max: 1, Per: time.Hour}, ratelimit.Limit{Name: "b", Max: 1, Calendar: ratelimit.Day}, ratelimit.Limit{Name: "c", Max: 9, Per: time.Hour})
	l.Reserve(t.Context(), ratelimit.Subject{}, ratelimit.Usage{})
	_, err := l.Reserve(t.Context(), ratelimit.Subject{}, ratelimit.Usage{})
	if err == nil || !strings.HasPrefix(err.Error(), "ratelimit: a, b exceeded, retry after ") {
		t.Errorf("%v", err)
	}
	_, err = l.Reserve(t.Context(), ratelimit.Subject{}, ratelimit.Usage{Requests: 10})
	var limit *ratelimit.LimitError
	if !errors.As(err, &limit) || !limit.Never || limit.RetryAfter != 0 || err.Error() != "ratelimit: cost can never fit a, b, c" {
		t.Errorf("%v", err)
	}
	if s := fmt.Sprint(ratelimit.ByClientModel, ratelimit.Week, ratelimit.Scope(99)); s != "client+model week unknown" {
		t.Error(s)
	}
}

func TestReadingTheFirstViolationDoesNotSpoilTheNext(t *testing.T) {
	// Violated is shared between refusals; appending to one must not show in another.
	l := newLimiter(t, 0, ratelimit.Limit{Name: "a", Max: 1, Per: time.Hour})
	l.Reserve(t.Context(), ratelimit.Subject{}, ratelimit.Usage{})
	for range 2 {
		_, err := l.Reserve(t.Context(), ratelimit.Subject{}, ratelimit.Usage{})
		var limit *ratelimit.LimitError
		if !errors.As(err, &limit) || fmt.Sprint(limit.Violated) != "[a]" {
			t.Fatal(err)
		}
		_ = append(limit.Violated, "x")
	}
}

func TestAnUpstreamsOwnRateLimitFieldsGiveWayToOurs(t *testing.T) {
	l := newLimiter(t, 0, rpm)
	h := l.Handler(reply("text/plain", "ok"))
	w := httptest.NewRecorder()
	w.Header().Add("RateLimit", `"upstream";r=1;t=2`)
	w.Header().Add("RateLimit-Policy", `"upstream";q=1`)
	h.ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if got := fmt.Sprint(w.Header()); strings.Contains(got, "upstream") {
		t.Error(got)
	}
	checkHeaders(t, w.Header(), "rpm", 10, 9)
}

package ratelimit_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/ratelimit"
)

// Three limits for every client: requests, tokens, and how many run at once.
func ExampleNew() {
	limits, err := ratelimit.New(ratelimit.Config{Plans: []ratelimit.Plan{{
		Limits: []ratelimit.Limit{
			{Name: "rpm", Max: 60, Per: time.Minute},
			{Name: "tpm", Max: 90_000, Per: time.Minute, Cost: ratelimit.Tokens},
			{Name: "running", Max: 4, Parallel: true},
		},
	}}})
	if err != nil {
		panic(err)
	}
	model := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"choices":[{"message":{"content":"Hi!"}}],"usage":{"prompt_tokens":9,"completion_tokens":2}}`)
	})
	h := limits.Handler(model)

	r := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(`{"model":"m","max_tokens":50,"messages":[]}`))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("RateLimit-Policy"))
	fmt.Println(limits.Stats().Used)
	// Output:
	// 200 "rpm";q=60;w=60, "tpm";q=90000;w=60;qu="tokens", "running";q=4;qu="concurrent-requests"
	// {1 9 0 2 0}
}

// Without HTTP: reserve, work, report as it goes, settle.
func ExampleLimiter_Reserve() {
	limits, err := ratelimit.New(ratelimit.Config{Plans: []ratelimit.Plan{{
		Limits: []ratelimit.Limit{{Name: "tokens", Max: 1000, Calendar: ratelimit.Month, Cost: ratelimit.Tokens}},
	}}})
	if err != nil {
		panic(err)
	}
	res, err := limits.Reserve(context.Background(), ratelimit.Subject{Client: "alice"}, ratelimit.Usage{Input: 200, Output: 300})
	if err != nil {
		panic(err)
	}
	defer res.Cancel() // does nothing once settled
	fmt.Println(res.Report(ratelimit.Usage{Input: 200, Output: 700}))
	fmt.Println(res.Report(ratelimit.Usage{Input: 200, Output: 900}))
	res.Settle(ratelimit.Usage{Input: 200, Output: 750})

	_, err = limits.Reserve(context.Background(), ratelimit.Subject{Client: "alice"}, ratelimit.Usage{Input: 100})
	var limit *ratelimit.LimitError
	fmt.Println(errors.As(err, &limit), limit.Violated)
	// Output:
	// <nil>
	// ratelimit: budget exhausted
	// true [tokens]
}

// A handler that knows better than the meter says so itself.
func ExampleFromContext() {
	limits, err := ratelimit.New(ratelimit.Config{Plans: []ratelimit.Plan{{
		Limits: []ratelimit.Limit{{Name: "tokens", Max: 1000, Per: time.Hour, Cost: ratelimit.Tokens}},
	}}})
	if err != nil {
		panic(err)
	}
	h := limits.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if res, ok := ratelimit.FromContext(r.Context()); ok {
			res.Settle(ratelimit.Usage{Input: 12, Output: 34})
		}
	}))
	h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/transcribe", strings.NewReader("...")))
	fmt.Println(limits.Stats().Used)
	// Output: {1 12 0 34 0}
}

// Four requests at a time for the large model, sixteen for all others together.
func ExampleNewBulkhead() {
	slots, err := ratelimit.NewBulkhead(ratelimit.BulkheadConfig{
		Slots:    ratelimit.Slots{Max: 16, Queue: 64, MaxWait: 5 * time.Second},
		PerModel: map[string]ratelimit.Slots{"large": {Max: 4, Queue: 16}},
	})
	if err != nil {
		panic(err)
	}
	release, err := slots.Acquire(context.Background(), "alice", "large")
	fmt.Println(err, slots.Stats("large").Running, slots.Stats("small").Running)
	release()
	fmt.Println(slots.Stats("large").Running)
	// Output:
	// <nil> 1 0
	// 0
}

// Prices turn tokens into money; a model that is not in the table costs what the dearest one does.
func ExamplePriceTable() {
	price := ratelimit.PriceTable(map[string]ratelimit.Price{
		"small": {Input: 150_000, CachedInput: 75_000, Output: 600_000}, // $0.15, $0.075 and $0.60 per million tokens
		"large": {Input: 2_500_000, CachedInput: 1_250_000, Output: 10_000_000},
	})
	fmt.Println(price("small").Output, price("made-up").Output)
	// Output: 600000 10000000
}

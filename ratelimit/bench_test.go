package ratelimit_test

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/ratelimit"
)

func newLimiter(t testing.TB, keys int, limits ...ratelimit.Limit) *ratelimit.Limiter {
	t.Helper()
	l, err := ratelimit.New(ratelimit.Config{Plans: []ratelimit.Plan{{Limits: limits}}, MaxKeys: keys})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

var hot = ratelimit.Limit{Name: "rps", Max: 1_000_000_000_000, Per: time.Second}

var four = []ratelimit.Limit{
	hot,
	{Name: "tpm", Max: 1_000_000_000_000, Per: time.Minute, Cost: ratelimit.Tokens},
	{Name: "daily", Max: 1_000_000_000_000, Calendar: ratelimit.Day, Cost: ratelimit.Tokens, By: ratelimit.ByTenant},
	{Name: "running", Max: 1000, Parallel: true},
}

// BenchmarkReserve is one decision for one limit, always the same client: the allocation is the Reservation.
func BenchmarkReserve(b *testing.B) {
	l := newLimiter(b, 0, hot)
	s := ratelimit.Subject{Client: "client-1234567890"}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Reserve(ctx, s, ratelimit.Usage{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReserveParallel(b *testing.B) {
	l := newLimiter(b, 0, hot)
	ctx := context.Background()
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		s := ratelimit.Subject{Client: "client-1234567890"}
		for pb.Next() {
			if _, err := l.Reserve(ctx, s, ratelimit.Usage{}); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkReserveSettle4 is a whole accounting cycle over four limits of two subjects.
func BenchmarkReserveSettle4(b *testing.B) {
	l := newLimiter(b, 0, four...)
	s := ratelimit.Subject{Client: "client-1234567890", Tenant: "tenant-1"}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		r, err := l.Reserve(ctx, s, ratelimit.Usage{Input: 100, Output: 500})
		if err != nil {
			b.Fatal(err)
		}
		r.Settle(ratelimit.Usage{Input: 90, Output: 211})
	}
}

// BenchmarkStore is the decision alone, beside which the bound of a hand-written table can be put.
func BenchmarkStore(b *testing.B) {
	for _, n := range []int{1, 10_000, 1_000_000} {
		b.Run(fmt.Sprint(n, "keys"), func(b *testing.B) {
			m, err := ratelimit.NewMemoryStore(max(n, 1000))
			if err != nil {
				b.Fatal(err)
			}
			keys := make([]string, n)
			for i := range keys {
				keys[i] = fmt.Sprint("client-", i)
			}
			var zipf *rand.Zipf
			if n > 1 {
				zipf = rand.NewZipf(rand.New(rand.NewPCG(1, 2)), 1.1, 1, uint64(n-1))
			}
			order := make([]uint32, 1<<16)
			for i := range order {
				if zipf != nil {
					order[i] = uint32(zipf.Uint64())
				}
			}
			claims := []ratelimit.Claim{rollingClaim("", 1, 1e12, 1e12, time.Second)}
			out := make([]ratelimit.State, 1)
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				claims[0].Key.A = keys[order[i&(1<<16-1)]]
				i++
				if ok, _ := m.Reserve(context.Background(), time.Now(), ratelimit.ID{}, claims, out); !ok {
					b.Fatal("refused")
				}
			}
		})
	}
}

// BenchmarkReserve1MKeys spreads decisions evenly over a million clients: every one is a cache miss.
func BenchmarkReserve1MKeys(b *testing.B) {
	const n = 1_000_000
	l := newLimiter(b, n, ratelimit.Limit{Name: "r", Max: 1, Burst: 1_000_000, Per: time.Second})
	keys := make([]string, n)
	for i := range keys {
		keys[i] = fmt.Sprint("client-", i)
	}
	ctx := context.Background()
	for _, k := range keys {
		l.Reserve(ctx, ratelimit.Subject{Client: k}, ratelimit.Usage{})
	}
	b.ReportAllocs()
	i := uint32(0)
	for b.Loop() {
		i = i*1664525 + 1013904223
		if _, err := l.Reserve(ctx, ratelimit.Subject{Client: keys[i%n]}, ratelimit.Usage{}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReserveDenied is what a client that ignores its limit costs.
func BenchmarkReserveDenied(b *testing.B) {
	l := newLimiter(b, 0, ratelimit.Limit{Name: "r", Max: 1, Per: 24 * time.Hour})
	s := ratelimit.Subject{Client: "client-1234567890"}
	ctx := context.Background()
	l.Reserve(ctx, s, ratelimit.Usage{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.Reserve(ctx, s, ratelimit.Usage{}); err == nil {
			b.Fatal("admitted")
		}
	}
}

// nopWriter is the cheapest ResponseWriter.
type nopWriter struct{ h http.Header }

func (w *nopWriter) Header() http.Header         { return w.h }
func (w *nopWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *nopWriter) WriteHeader(int)             {}

// BenchmarkHandler is the middleware alone in front of a handler that answers at once, beside the handler without it.
func BenchmarkHandler(b *testing.B) {
	plain := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(200) })
	const prompt = `{"model":"m","max_tokens":100,"messages":[{"role":"user","content":"hello"}]}`
	reply := []byte(`{"choices":[{"message":{"role":"assistant","content":"hi"}}],"usage":{"prompt_tokens":9,"completion_tokens":2}}`)
	chat := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.Write(reply)
	})
	run := func(b *testing.B, h http.Handler, body string) {
		path := "/plain"
		if body != "" {
			path = "/v1/chat/completions"
		}
		base := httptest.NewRequest("POST", path, nil)
		w := &nopWriter{}
		b.ReportAllocs()
		for b.Loop() {
			w.h = make(http.Header, 8)
			r := *base
			if body != "" {
				r.Body, r.ContentLength = io.NopCloser(strings.NewReader(body)), int64(len(body))
			}
			h.ServeHTTP(w, &r)
		}
	}
	b.Run("plain/bare", func(b *testing.B) { run(b, plain, "") })
	b.Run("plain/1limit", func(b *testing.B) { run(b, newLimiter(b, 0, hot).Handler(plain), "") })
	b.Run("chat/bare", func(b *testing.B) { run(b, chat, prompt) })
	b.Run("chat/4limits", func(b *testing.B) { run(b, newLimiter(b, 0, four...).Handler(chat), prompt) })
}

// BenchmarkBulkhead is an uncontended slot.
func BenchmarkBulkhead(b *testing.B) {
	bh, err := ratelimit.NewBulkhead(ratelimit.BulkheadConfig{Slots: ratelimit.Slots{Max: 4}})
	if err != nil {
		b.Fatal(err)
	}
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		release, err := bh.Acquire(ctx, "c", "m")
		if err != nil {
			b.Fatal(err)
		}
		release()
	}
}

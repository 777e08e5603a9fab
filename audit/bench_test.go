package audit_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/audit"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

// discard is a sink that is never in the way.
type discard struct{}

func (discard) Write(context.Context, audit.Batch) error { return nil }
func (discard) Close(context.Context) error              { return nil }

var typical = audit.Event{
	Time: time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC), Name: "test.event", Stage: audit.StageCompleted,
	RequestID: "0af7651916cd43dd8448eb211c80319c", Client: netip.MustParseAddr("203.0.113.77"),
	HTTP:      audit.HTTP{Method: "POST", Route: "POST /v1/chat/completions", Status: 200, RequestBytes: 1834, ResponseBytes: 5210},
	Auth:      audit.Auth{Scheme: "api_key", Outcome: audit.Allowed, Issuer: "keys", Subject: "svc-7", Tenant: "acme", ClientID: "acme-prod", KeyID: "k_9f3", Plan: "pro"},
	RateLimit: audit.Allowed,
	GenAI: audit.GenAI{Operation: "chat", Model: "llama-3.3-70b", Stream: true, FinishReason: "stop", TimeToFirstChunk: 312 * time.Millisecond,
		StreamTime: 4 * time.Second, UsageKnown: true, InputTokens: 812, OutputTokens: 401, CostMicroUSD: 5123},
	Duration: 4312 * time.Millisecond,
}

// What a request pays for its line: encoding, and encoding with queueing, beside log/slog's JSON of the same members.
func BenchmarkEvent(b *testing.B) {
	b.Run("encode", func(b *testing.B) {
		var e audit.Benched
		b.ReportAllocs()
		for b.Loop() {
			b.SetBytes(int64(len(e.Encode(&typical))))
		}
	})
	for _, ids := range []string{"names", "hmac"} {
		b.Run("record/"+ids, func(b *testing.B) {
			cfg := audit.Config{Sinks: []audit.Sink{discard{}}, Backpressure: audit.Block, Logger: quiet, Identify: audit.Identify{Key: make([]byte, 32)}}
			if ids == "hmac" {
				cfg.Identify.Address, cfg.Identify.Caller = audit.AddressHMAC, audit.CallerHMAC
			}
			l := open(b, cfg)
			defer l.Close(context.Background())
			ctx := context.Background()
			b.ReportAllocs()
			for b.Loop() {
				if err := l.Record(ctx, typical); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("record/parallel", func(b *testing.B) {
		l := open(b, audit.Config{Sinks: []audit.Sink{discard{}}, Backpressure: audit.Block, Wait: time.Second, Logger: quiet})
		defer l.Close(context.Background())
		b.ReportAllocs()
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				l.Record(context.Background(), typical)
			}
		})
	})
	b.Run("slog", func(b *testing.B) {
		logger := slog.New(slog.NewJSONHandler(io.Discard, nil))
		ctx := context.Background()
		ev := &typical
		b.ReportAllocs()
		for b.Loop() {
			logger.LogAttrs(ctx, slog.LevelInfo, ev.Name, slog.Int("schema", 1), slog.String("stage", string(ev.Stage)),
				slog.String("request.id", ev.RequestID), slog.String("client.net", "203.0.113.0/24"),
				slog.String("http.request.method", ev.HTTP.Method), slog.String("http.route", ev.HTTP.Route),
				slog.Int("http.response.status_code", ev.HTTP.Status), slog.Int64("http.request.body.size", ev.HTTP.RequestBytes),
				slog.Int64("http.response.body.size", ev.HTTP.ResponseBytes), slog.String("auth.scheme", ev.Auth.Scheme),
				slog.String("auth.outcome", string(ev.Auth.Outcome)), slog.String("auth.issuer", ev.Auth.Issuer),
				slog.String("auth.subject", ev.Auth.Subject), slog.String("auth.tenant", ev.Auth.Tenant),
				slog.String("auth.client_id", ev.Auth.ClientID), slog.String("auth.key_id", ev.Auth.KeyID),
				slog.String("auth.plan", ev.Auth.Plan), slog.String("ratelimit.outcome", string(ev.RateLimit)),
				slog.String("gen_ai.operation.name", ev.GenAI.Operation), slog.String("gen_ai.request.model", ev.GenAI.Model),
				slog.Bool("gen_ai.request.stream", true), slog.String("gen_ai.response.finish_reasons", ev.GenAI.FinishReason),
				slog.Float64("gen_ai.response.time_to_first_chunk", ev.GenAI.TimeToFirstChunk.Seconds()),
				slog.Int64("gen_ai.usage.input_tokens", ev.GenAI.InputTokens), slog.Int64("gen_ai.usage.output_tokens", ev.GenAI.OutputTokens),
				slog.Float64("x.tokens_per_second", 100), slog.Float64("x.duration_ms", 4312), slog.Int64("x.cost_microusd", ev.GenAI.CostMicroUSD))
		}
	})
}

// The worst a client can do to the encoder: every text a megabyte of what needs escaping. It bounds the time of one line.
func BenchmarkHostileEvent(b *testing.B) {
	for name, text := range map[string]string{"esc": "\x1b", "bad": "\xff", "bidi": "\u202e"} {
		b.Run(name, func(b *testing.B) {
			ev := hostileEvent(strings.Repeat(text, 1<<20/len(text)))
			ev.Attrs = ev.Attrs[:0]
			var e audit.Benched
			b.ReportAllocs()
			for b.Loop() {
				e.Encode(&ev)
			}
		})
	}
}

// flat is a ResponseWriter that costs nothing.
type flat struct{ h http.Header }

func (w *flat) Header() http.Header         { return w.h }
func (w *flat) Write(p []byte) (int, error) { return len(p), nil }
func (w *flat) WriteHeader(int)             {}

// What the middleware adds to a request over the exchange that every pipeline has once.
func BenchmarkHandler(b *testing.B) {
	reply := []byte(`{"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":2}}`)
	inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = jsonType
		w.Write(reply)
	})
	alone := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		inner.ServeHTTP(w, r)
	})
	for _, path := range []string{"/other", "/v1/chat/completions"} {
		l := open(b, audit.Config{Sinks: []audit.Sink{discard{}}, Wait: time.Second, Logger: quiet})
		for _, c := range []struct {
			name string
			h    http.Handler
		}{{"exchange", alone}, {"audit", l.Handler(inner)}} {
			b.Run(c.name+path, func(b *testing.B) {
				r := httptest.NewRequest("POST", path, nil)
				r.Header.Set("X-Request-Id", "bench")
				w := &flat{http.Header{}}
				b.ReportAllocs()
				for b.Loop() {
					c.h.ServeHTTP(w, r)
				}
			})
		}
		l.Close(context.Background())
	}
}

var jsonType = []string{"application/json"}

// Events per second into a file, with one write per batch, written and synced. Each Record waits for its own event.
func BenchmarkFile(b *testing.B) {
	for _, ack := range []audit.Ack{audit.AckEnqueued, audit.AckWritten, audit.AckSynced} {
		b.Run(fmt.Sprint(ack), func(b *testing.B) {
			s, err := audit.NewFileSink(audit.FileConfig{Path: filepath.Join(b.TempDir(), "a"), Sync: ack == audit.AckSynced})
			if err != nil {
				b.Fatal(err)
			}
			l := open(b, audit.Config{Sinks: []audit.Sink{s}, Ack: ack, Wait: 10 * time.Second, AckWait: time.Minute, Logger: quiet})
			b.SetParallelism(128)
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if err := l.Record(context.Background(), typical); err != nil {
						b.Error(err)
					}
				}
			})
			mustClose(b, l)
		})
	}
}

package dialect_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/sse"
)

const deltaFrame = `{"id":"chatcmpl-9abcDEF","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o-mini-2024-07-18","system_fingerprint":"fp_1234","choices":[{"index":0,"delta":{"content":" world"},"logprobs":null,"finish_reason":null}]}`

// BenchmarkResponse is the cost of every event of a stream; encoding/json into a small struct stands beside it.
func BenchmarkResponse(b *testing.B) {
	for _, c := range []struct {
		name string
		d    dialect.Dialect
		data string
	}{
		{"openai", dialect.OpenAIChat, deltaFrame},
		{"anthropic", dialect.Anthropic, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" world"}}`},
		{"responses", dialect.OpenAIResponses, `{"type":"response.output_text.delta","sequence_number":44,"item_id":"msg_0123456789abcdef","output_index":0,"content_index":0,"delta":" world","logprobs":[]}`},
		{"ollama", dialect.Ollama, `{"model":"llama3.2","created_at":"2024-01-01T00:00:00.123456Z","message":{"role":"assistant","content":" world"},"done":false}`},
		{"unknown", dialect.Unknown, deltaFrame},
	} {
		data := []byte(c.data)
		b.Run(c.name, func(b *testing.B) {
			var r dialect.Response
			r.Reset(c.d)
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := r.Scan(data); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	b.Run("encoding-json", func(b *testing.B) {
		data := []byte(deltaFrame)
		b.SetBytes(int64(len(data)))
		b.ReportAllocs()
		for b.Loop() {
			var chunk struct {
				ID, Model string
				Choices   []struct {
					Index int
					Delta struct{ Content string }
				}
			}
			if err := json.Unmarshal(data, &chunk); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// BenchmarkRequest is the cost of the facts of a request body, the strict scan included.
func BenchmarkRequest(b *testing.B) {
	for _, size := range []int{1 << 10, 32 << 10} {
		var turns []string
		for n := 0; n < size; n += 200 {
			turns = append(turns, `{"role":"user","content":"`+strings.Repeat("Some words of a question. ", 6)+`"}`)
		}
		body := []byte(`{"model":"gpt-4o","stream":true,"max_tokens":100,"messages":[` + strings.Join(turns, ",") + `]}`)
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			var q dialect.Request
			q.Reset(dialect.OpenAIChat)
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				if err := q.Scan(body); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkStream is what following a stream adds to every event, and what a flush of held text costs.
func BenchmarkStream(b *testing.B) {
	var s dialect.Stream
	var r dialect.Response
	s.Reset(dialect.OpenAIChat)
	r.Reset(dialect.OpenAIChat)
	data := []byte(deltaFrame)
	if err := r.Scan(data); err != nil {
		b.Fatal(err)
	}
	b.Run("Observe", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			s.Observe(nil, data, &r)
		}
	})
	b.Run("AppendTextDelta", func(b *testing.B) {
		b.ReportAllocs()
		buf := make([]byte, 0, 1024)
		for b.Loop() {
			buf = s.AppendTextDelta(buf[:0], sse.EventStream, data, r.Texts[0], []byte("held back"))
		}
	})
}

package sse_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/sse"
)

const chatFrame = `data: {"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"m","choices":[{"index":0,"delta":{"content":" hello"},"finish_reason":null}]}` + "\n\n"

func drain(b *testing.B, p *sse.Parser, w []byte) (n int) {
	for {
		_, rest, ok, err := p.Next(w)
		if err != nil {
			b.Fatal(err)
		}
		if !ok {
			return n
		}
		n++
		w = rest
	}
}

// What a middleware pays for looking at a stream: one event a write (the usual case), a write that the network cut
// anywhere, and the worst a handler can do, one byte a write.
func BenchmarkParser(b *testing.B) {
	stream := []byte(strings.Repeat(chatFrame, 64))
	for _, size := range []int{len(chatFrame), 4096, 1000, 1} {
		b.Run(fmt.Sprintf("write=%d", size), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(stream)))
			var p sse.Parser
			for b.Loop() {
				n := 0
				for w := stream; len(w) > 0; {
					k := min(size, len(w))
					n += drain(b, &p, w[:k])
					w = w[k:]
				}
				if n != 64 {
					b.Fatal(n)
				}
			}
		})
	}
	b.Run("event=1MiB/write=32768", func(b *testing.B) {
		big := append(append([]byte("data: "), bytes.Repeat([]byte("x"), 1<<20-8)...), "\n\n"...)
		b.ReportAllocs()
		b.SetBytes(int64(len(big)))
		var p sse.Parser
		for b.Loop() {
			for w := big; len(w) > 0; {
				k := min(32768, len(w))
				drain(b, &p, w[:k])
				w = w[k:]
			}
		}
	})
	// The cost bound against a hostile stream: as many lines as bytes.
	b.Run("event=1MiB/empty-cr-lines", func(b *testing.B) {
		hostile := bytes.Repeat([]byte("\r"), 1<<20)
		b.ReportAllocs()
		b.SetBytes(int64(len(hostile)))
		var p sse.Parser
		for b.Loop() {
			drain(b, &p, hostile)
		}
	})
}

func BenchmarkAppendEvent(b *testing.B) {
	data := []byte(strings.TrimSpace(strings.TrimPrefix(chatFrame, "data: ")))
	dst := make([]byte, 0, 1024)
	b.ReportAllocs()
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		dst = sse.AppendEvent(dst[:0], sse.EventStream, "delta", data)
	}
}

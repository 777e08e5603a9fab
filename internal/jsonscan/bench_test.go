package jsonscan_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// chat returns a chat request of about n bytes: the usual members, one long user message.
func chat(n int) string {
	head := `{"model":"gpt-4o-mini","temperature":0.7,"max_tokens":512,"stream":true,"stream_options":{"include_usage":true},` +
		`"messages":[{"role":"system","content":"You are a helpful assistant."},{"role":"user","content":"`
	tail := `"}],"tools":[{"type":"function","function":{"name":"get_weather","description":"Weather in a city",` +
		`"parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"]}}}]}`
	text := `Please summarise the following paragraph for me.\nIt has a \"quoted\" part, some figures (12, 3.5), and goes on. `
	fill := max(n-len(head)-len(tail), 0)
	return head + strings.Repeat(text, fill/len(text)+1)[:fill/len(text)*len(text)] + tail
}

// structure returns about n bytes of small objects: many names, numbers and short strings.
func structure(n int) string {
	var b strings.Builder
	b.WriteByte('[')
	for i := 0; b.Len() < n; i++ {
		fmt.Fprintf(&b, `{"id":%d,"name":"item %d","price":%d.%02d,"tags":["a","b"],"active":true,"parent":null,"pos":{"x":%d,"y":-%d}},`,
			i, i, i, i%100, i*3, i*7)
	}
	b.WriteString("{}]")
	return b.String()
}

// BenchmarkScan compares a scan with every limit and the name rules against json.Valid, which checks the grammar only.
func BenchmarkScan(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"chat1K", chat(1 << 10)},
		{"chat100K", chat(100 << 10)},
		{"ascii100K", `{"input":"` + strings.Repeat("plain text without any escape, all of it ASCII. ", 2100) + `"}`},
		{"cjk100K", `{"input":"` + strings.Repeat("人工知能は急速に進歩している。", 2200) + `"}`},
		{"structure32K", structure(32 << 10)},
		{"names200", object(200)},
	} {
		data := []byte(c.text)
		b.Run(c.name+"/jsonscan", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if err := jsonscan.Scan(data, nil, nil); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/visited", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			n := 0
			v := visit(func(*jsonscan.Path, jsonscan.Kind, int, int) error { n++; return nil })
			for b.Loop() {
				if err := jsonscan.Scan(data, nil, v); err != nil {
					b.Fatal(err)
				}
			}
		})
		b.Run(c.name+"/json.Valid", func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				if !json.Valid(data) {
					b.Fatal("invalid")
				}
			}
		})
	}
}

// BenchmarkBomb is an attacker's best case per request: what the scan costs at most within the default limits.
func BenchmarkBomb(b *testing.B) {
	for _, c := range []struct{ name, text string }{
		{"depth", strings.Repeat("[", 4<<20)},
		{"exponent", `{"n":1e10000000}`},
		{"members10000", "[" + strings.Repeat(object(250)+",", 39) + object(250) + "]"},
		{"nodes", "[" + strings.Repeat("["+strings.Repeat("1,", 9_998)+"1],", 9) + "1]"},
		{"unicode-names", "[" + strings.Repeat(strings.ReplaceAll(object(250), "key", "ΚΛΕΙΔΙ")+",", 39) + "1]"},
	} {
		data := []byte(c.text)
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			b.ReportAllocs()
			for b.Loop() {
				jsonscan.Scan(data, nil, nil)
			}
		})
	}
}

// BenchmarkQuote measures escaping and unescaping of ordinary text.
func BenchmarkQuote(b *testing.B) {
	text := []byte(strings.Repeat("Ordinary text, with a \"quote\" and a line feed\n now and then. ", 16))
	raw := jsonscan.AppendQuoted(nil, text, false)
	buf := make([]byte, 0, 4096)
	b.Run("AppendQuoted", func(b *testing.B) {
		b.SetBytes(int64(len(text)))
		b.ReportAllocs()
		for b.Loop() {
			buf = jsonscan.AppendQuoted(buf[:0], text, true)
		}
	})
	b.Run("AppendUnquoted", func(b *testing.B) {
		b.SetBytes(int64(len(raw)))
		b.ReportAllocs()
		for b.Loop() {
			buf = jsonscan.AppendUnquoted(buf[:0], raw)
		}
	})
}

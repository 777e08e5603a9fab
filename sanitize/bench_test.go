package sanitize_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/sanitize"
	"github.com/mantlet-go/mantlet/sanitize/detect"
)

// nullWriter is a ResponseWriter that costs nothing.
type nullWriter struct{ h http.Header }

func (w *nullWriter) Header() http.Header         { return w.h }
func (w *nullWriter) Write(p []byte) (int, error) { return len(p), nil }
func (w *nullWriter) WriteHeader(int)             {}

// BenchmarkStreamEvent is what one event of a chat stream costs with and without the filter; the difference is the filter's. The
// goal is 2 µs.
func BenchmarkStreamEvent(b *testing.B) {
	s := scripts()[0]
	words := strings.SplitAfter("The quick brown fox asks whether the lazy dog, in 2024, would jump over it again. ", " ")
	var events [][]byte
	for _, w := range words {
		events = append(events, []byte(s.delta(w)))
	}
	var tokens [][]byte
	for _, w := range words {
		tokens = append(tokens, []byte(s.delta(" "+strings.TrimSpace(w))))
	}
	run := func(name string, wrap func(http.Handler) http.Handler, events [][]byte) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			h := wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", s.typ)
				i := 0
				for b.Loop() {
					w.Write(events[i%len(events)])
					i++
				}
			}))
			h.ServeHTTP(&nullWriter{http.Header{}}, post(s.path, ""))
		})
	}
	run("bare", func(h http.Handler) http.Handler { return h }, events)
	run("errors", newErrors(b, sanitize.ErrorsConfig{}).Handler, events)
	run("unchanged", newFilter(b, sanitize.Config{}).Handler, events)
	run("shifted", newFilter(b, sanitize.Config{}).Handler, tokens) // the word at the end of each token is held back
	run("keys_only", newFilter(b, sanitize.Config{Detectors: []detect.Detector{detect.ProviderKeys(), detect.Card()}}).Handler, tokens)
}

func BenchmarkRequest(b *testing.B) {
	prose := strings.Repeat("The quick brown fox jumps over the lazy dog and then it sleeps. ", 32)
	for _, c := range []struct{ name, body string }{
		{"clean_2KB", chat(prose)}, {"redact_2KB", chat(prose + mail + prose)}, {"clean_64KB", chat(strings.Repeat(prose, 32))},
	} {
		b.Run(c.name, func(b *testing.B) {
			f := newFilter(b, sanitize.Config{Policy: sanitize.Policy{{Action: sanitize.Redact}}})
			h := f.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {}))
			b.SetBytes(int64(len(c.body)))
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(&nullWriter{http.Header{}}, post("/v1/chat/completions", c.body))
			}
		})
	}
}

// BenchmarkErrorsPass bounds what a successful answer pays; the goal is 150 ns over a bare handler.
func BenchmarkErrorsPass(b *testing.B) {
	inner := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Content-Type"] = []string{"application/json"}
		io.WriteString(w, `{"ok":true}`)
	})
	for name, h := range map[string]http.Handler{"bare": inner, "errors": newErrors(b, sanitize.ErrorsConfig{}).Handler(inner)} {
		b.Run(name, func(b *testing.B) {
			r := post("/v1/chat/completions", "")
			w := &nullWriter{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, r)
			}
		})
	}
}

func BenchmarkLeakScan(b *testing.B) {
	body := harmlessBodies()[0]
	e := newErrors(b, sanitize.ErrorsConfig{})
	h := e.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(400)
		io.WriteString(w, body)
	}))
	r := post("/v1/chat/completions", "")
	b.ReportAllocs()
	for b.Loop() {
		h.ServeHTTP(&nullWriter{http.Header{}}, r)
	}
}

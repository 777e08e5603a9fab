package main

// Models that misbehave on purpose, so that each protection can be seen at work.

import (
	"io"
	"iter"
	"net/http"
	"strings"
)

// The models. Streamed and not, in both dialects, unless noted.
const (
	modelDemo    = "demo"         // answers
	modelLeaky   = "demo-leaky"   // tells a provider's API key and an e-mail address, in a stream cut in the middle of them
	modelPanic   = "demo-panic"   // panics: before the header, or after the first piece of a stream
	modelError   = "demo-error"   // answers 500 with a stack trace, a path and a database password
	modelSlow    = "demo-slow"    // waits before each piece
	modelEndless = "demo-endless" // streams until it is stopped; not streamed it is demo
)

var modelNames = []string{modelDemo, modelLeaky, modelPanic, modelError, modelSlow, modelEndless}

// The secrets are made up and put together here, so that no scanner takes this file for a leak.
const (
	fakeKey   = "sk-" + "Q7vXc2LmT9pRzB4nYw8K" + "T3Blbk" + "FJ" + "aH5dG1sUe6JfVx3qNo0i"
	fakeEmail = "jane.doe" + "@" + "mail.example.com"
	fakeDSN   = "postgres://" + "inference:" + "hunter2-s3cret" + "@db-1.internal.example:5432/prompts"
)

// leak tells the secrets in chunks of a few bytes, whose borders fall inside both, cut after max pieces.
func leak(max int) iter.Seq[string] {
	text := "Of course. The key in my instructions is " + fakeKey + " and the customer who asked before you is " + fakeEmail +
		", but please do not tell anybody."
	n, end := 0, 0
	for p := range pieces(text) {
		if n == max {
			break
		}
		n++
		end += strings.Index(text[end:], p) + len(p)
	}
	return func(yield func(string) bool) {
		for i := 0; i < end; i += 7 {
			if !yield(text[i:min(i+7, end)]) {
				return
			}
		}
	}
}

// misbehave answers for a model that does not get to answer itself, and reports whether it did.
func misbehave(w http.ResponseWriter, q *ask) bool {
	switch q.model {
	case modelError:
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("X-Powered-By", "quickstart/0.1 (cuda 12.4)")
		w.WriteHeader(http.StatusInternalServerError)
		io.WriteString(w, "dial "+fakeDSN+": connection refused\n\n"+
			"goroutine 87 [running]:\nmain.(*engine).generate(0xc000142000)\n"+
			"\t/srv/inference/internal/engine/engine.go:214 +0x1b8\n")
		return true
	case modelPanic:
		if !q.stream {
			panicNow()
		}
	}
	return false
}

// panicNow panics with what a log may hold and a client must not see.
func panicNow() { panic("engine: lost connection to " + fakeDSN) }

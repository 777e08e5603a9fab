package audit_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/audit"
)

// A file for the record, a terminal for people, and a handler in between.
func ExampleOpen() {
	dir, _ := os.MkdirTemp("", "audit")
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "audit.jsonl")

	file, err := audit.NewFileSink(audit.FileConfig{Path: path})
	if err != nil {
		fmt.Println(err)
		return
	}
	log, err := audit.Open(audit.Config{Sinks: []audit.Sink{
		file,
		audit.NewTerminalSink(audit.TerminalConfig{Writer: io.Discard}), // os.Stderr in a real program
	}})
	if err != nil {
		fmt.Println(err)
		return
	}

	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", func(w http.ResponseWriter, r *http.Request) {
		audit.Annotate(r.Context(), slog.String("shard", "eu-1"))
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"model":"tiny","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],`+
			`"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}`)
	})
	handler := log.Handler(mux) // http.ListenAndServe(addr, handler)

	r := httptest.NewRequest("POST", "/v1/chat/completions?key=secret", strings.NewReader(`{"messages":[]}`))
	handler.ServeHTTP(httptest.NewRecorder(), r)

	// Shut the server down first, then:
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := log.Close(ctx); err != nil {
		fmt.Println(err)
	}

	line, _ := os.ReadFile(path)
	var event map[string]any
	json.Unmarshal(line, &event)
	for _, key := range []string{"event.name", "stage", "http.route", "http.response.status_code", "client.net",
		"gen_ai.operation.name", "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens", "attr.shard"} {
		fmt.Println(key, "=", event[key])
	}
	fmt.Println("holds the query:", bytes.Contains(line, []byte("secret")))
	// Output:
	// event.name = http.request
	// stage = completed
	// http.route = POST /v1/chat/completions
	// http.response.status_code = 200
	// client.net = 192.0.2.0/24
	// gen_ai.operation.name = chat
	// gen_ai.usage.input_tokens = 9
	// gen_ai.usage.output_tokens = 2
	// attr.shard = eu-1
	// holds the query: false
}

// Record is for what is no request.
func ExampleLog_Record() {
	var out bytes.Buffer
	log, err := audit.Open(audit.Config{Sinks: []audit.Sink{audit.NewSlogSink(slog.NewTextHandler(&out, withoutTime))}})
	if err != nil {
		fmt.Println(err)
		return
	}
	err = log.Record(context.Background(), audit.Event{
		Name:  "key.revoke",
		Auth:  audit.Auth{Subject: "ops@example.org", KeyID: "k_17"},
		Attrs: []slog.Attr{slog.String("reason", "leaked\nlevel=INFO msg=forged")},
	})
	fmt.Println(err)
	log.Close(context.Background())
	fmt.Print(out.String())
	// Output:
	// <nil>
	// level=INFO msg=key.revoke stage=event auth.subject=ops@example.org auth.key_id=k_17 attr.reason="leaked\nlevel=INFO msg=forged"
}

// Prompts of one route are kept, encrypted: Seal is where crypto/fernet, or any other scheme with printable output, joins.
func ExampleConfig_capture() {
	seal := func(plaintext []byte) ([]byte, error) { // stands for keyring.AppendEncrypt(nil, plaintext, time.Now())
		return []byte(base64.StdEncoding.EncodeToString(plaintext)), nil
	}
	sink := &memory{}
	log, err := audit.Open(audit.Config{
		Sinks:    []audit.Sink{sink},
		Identify: audit.Identify{Key: make([]byte, 32), KeyID: "2026a", Address: audit.AddressHMAC},
		Seal:     seal,
		Capture: []audit.Rule{
			{Route: "GET /healthz", Level: audit.CaptureNone},
			{Route: "POST /v1/*", Level: audit.CaptureEncrypted, MaxBytes: 4 << 10},
		},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("POST /v1/messages", func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })
	for _, r := range []*http.Request{
		httptest.NewRequest("GET", "/healthz", nil),
		httptest.NewRequest("POST", "/v1/messages", strings.NewReader("hello")),
	} {
		log.Handler(mux).ServeHTTP(httptest.NewRecorder(), r)
	}
	log.Close(context.Background())
	for _, line := range sink.lines {
		var event map[string]any
		json.Unmarshal([]byte(line), &event)
		fmt.Println(event["x.capture"], event["x.body.bytes"], event["x.body.sealed"])
	}
	// Output:
	// encrypted 5 aGVsbG8=
}

// Logs for people pass through SafeHandler, whatever text they carry.
func ExampleSafeHandler() {
	logger := slog.New(audit.SafeHandler(slog.NewTextHandler(os.Stdout, withoutTime)))
	logger.Info("model said", "text", "\x1b[2Jhello\u202e")
	// Output:
	// level=INFO msg="model said" text=\u001b[2Jhello\u202e
}

var withoutTime = &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
	if a.Key == slog.TimeKey {
		return slog.Attr{}
	}
	return a
}}

package sanitize_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/mantlet-go/mantlet/sanitize"
	"github.com/mantlet-go/mantlet/sanitize/detect"
)

func ExampleNew() {
	filter, err := sanitize.New(sanitize.Config{
		Policy: sanitize.Policy{
			{Kind: detect.KindCard, Direction: sanitize.Request, Action: sanitize.Block},
		},
	})
	if err != nil {
		panic(err)
	}
	// A model that repeats what it was told: it is told the address, its answer goes out without it.
	model := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Content-Type", "application/json")
		w.Write(body)
	})
	handler := filter.Handler(model)

	for _, prompt := range []string{"Write to ann@example.org\\u200b please", "Charge 4111 1111 1111 1111"} {
		r := httptest.NewRequest("POST", "/v1/chat/completions", strings.NewReader(
			`{"model":"m","messages":[{"role":"user","content":"`+prompt+`"}]}`))
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("X-Request-Id", "req-1")
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Body)
	}
	// Output:
	// 200 {"model":"m","messages":[{"role":"user","content":"Write to [REDACTED:email] please"}]}
	// 400 {"error":{"message":"The content was refused by policy.","type":"invalid_request_error","param":null,"code":"content_policy","request_id":"req-1"}}
}

func ExampleNewErrors() {
	errors, err := sanitize.NewErrors(sanitize.ErrorsConfig{
		Logger: slog.New(slog.DiscardHandler), // gets what the client does not see
	})
	if err != nil {
		panic(err)
	}
	handler := errors.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Powered-By", "secret sauce")
		http.Error(w, "pq: password authentication failed for user \"svc\"", http.StatusInternalServerError)
	}))
	r := httptest.NewRequest("POST", "/v1/messages", nil)
	r.Header.Set("X-Request-Id", "req-1")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println(w.Code, w.Header().Get("X-Powered-By") == "")
	fmt.Println(w.Body)
	// Output:
	// 500 true
	// {"type":"error","error":{"type":"api_error","message":"The server had an internal error. Report the request id to the operator.","code":"internal_error"},"request_id":"req-1"}
}

func ExampleFilter_Scan() {
	filter, err := sanitize.New(sanitize.Config{})
	if err != nil {
		panic(err)
	}
	verdict, err := filter.Scan(context.Background(), sanitize.Response, sanitize.RoleAssistant, []byte("Ask ann@example.org."))
	if err != nil {
		panic(err)
	}
	fmt.Printf("%s (%s)\n", verdict.Text, verdict.Action)
	// Output: Ask [REDACTED:email]. (redact)
}

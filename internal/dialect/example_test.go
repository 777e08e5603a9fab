package dialect_test

import (
	"fmt"

	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/sse"
)

func Example() {
	body := []byte(`{"model":"gpt-4o","max_tokens":100,"messages":[
		{"role":"developer","content":"Be brief."},
		{"content":[{"type":"text","text":"What is this?"},{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}],"role":"user"}]}`)
	var q dialect.Request
	q.Reset(dialect.ForPath("/v1/chat/completions"))
	if err := q.Scan(body); err != nil {
		fmt.Println(err)
	}
	fmt.Println(q.Model, q.MaxTokens)
	for _, t := range q.Texts {
		fmt.Println(t.Role, t.Kind, string(body[t.Start:t.End]))
	}
	// Output:
	// gpt-4o 100
	// system prose Be brief.
	// user prose What is this?
	// user opaque data:image/png;base64,AAAA
}

func ExampleResponse() {
	event := []byte(`{"id":"c1","model":"m","choices":[{"index":0,"delta":{"content":"Hel"}},{"index":1,"delta":{"content":"Bon"}}]}`)
	var r dialect.Response
	r.Reset(dialect.OpenAIChat)
	if err := r.Scan(event); err != nil {
		fmt.Println(err)
	}
	for _, t := range r.Texts {
		fmt.Printf("%#x %s\n", t.Channel, event[t.Start:t.End])
	}
	// Output:
	// 0x1 Hel
	// 0x100001 Bon
}

func ExampleStream_AppendFinish() {
	var s dialect.Stream
	var r dialect.Response
	s.Reset(dialect.OpenAIChat)
	r.Reset(dialect.OpenAIChat)
	event := []byte(`{"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{"content":"Hel"}}]}`)
	if err := r.Scan(event); err != nil {
		fmt.Println(err)
	}
	s.Observe(nil, event, &r)
	fmt.Printf("%s", s.AppendFinish(nil, sse.EventStream, dialect.Usage{}))
	// Output:
	// data: {"id":"c1","object":"chat.completion.chunk","created":7,"model":"m","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"length"}]}
	//
	// data: [DONE]
}

package sse_test

import (
	"fmt"

	"github.com/mantlet-go/mantlet/internal/sse"
)

func Example() {
	writes := []string{"event: delta\nda", "ta: {\"text\":\"Hel", "lo\"}\n\n: ping\n\ndata: [DONE]\n\n"}
	var p sse.Parser
	for _, w := range writes {
		for b := []byte(w); ; {
			ev, rest, ok, err := p.Next(b)
			if err != nil || !ok {
				break
			}
			fmt.Printf("%q type=%s data=%s\n", ev.Raw, ev.Type, ev.Data)
			b = rest
		}
	}
	// Output:
	// "event: delta\ndata: {\"text\":\"Hello\"}\n\n" type=delta data={"text":"Hello"}
	// ": ping\n\n" type= data=
	// "data: [DONE]\n\n" type= data=[DONE]
}

func ExampleAppendEvent() {
	fmt.Printf("%s", sse.AppendEvent(nil, sse.EventStream, "error", []byte("{\"a\":1,\n\"b\":2}")))
	fmt.Printf("%s", sse.AppendEvent(nil, sse.NDJSON, "", []byte("{\"a\":1,\n\"b\":2}")))
	// Output:
	// event: error
	// data: {"a":1,
	// data: "b":2}
	//
	// {"a":1, "b":2}
}

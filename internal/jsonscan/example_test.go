package jsonscan_test

import (
	"errors"
	"fmt"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// texts collects the content of every message.
type texts struct {
	data []byte
	out  []string
}

func (t *texts) Visit(p *jsonscan.Path, k jsonscan.Kind, start, end int) error {
	if k == jsonscan.String && p.Is("messages", "*", "content") {
		t.out = append(t.out, string(jsonscan.AppendUnquoted(nil, t.data[start+1:end-1])))
	}
	return nil
}

func Example() {
	body := []byte(`{"model":"m","messages":[{"role":"user","content":"caf\u00e9?"}]}`)
	t := &texts{data: body}
	if err := jsonscan.Scan(body, nil, t); err != nil {
		fmt.Println(err)
	}
	fmt.Println(t.out)
	// Output: [café?]
}

func ExampleScan_refusal() {
	err := jsonscan.Scan([]byte(`{"model":"a","tools":[{"name":1,"\u006eame":2}]}`), nil, nil)
	var e *jsonscan.Error
	if errors.As(err, &e) {
		fmt.Println(e.Code, e.Offset, e.Pointer)
	}
	// Output: duplicate_key 32 /tools/0/name
}

package redact_test

import (
	"fmt"

	"github.com/mantlet-go/mantlet/sanitize/redact"
)

func ExampleRedactor_NewStream() {
	r, err := redact.New(redact.Config{})
	if err != nil {
		panic(err)
	}
	s := r.NewStream()
	var out []byte
	for _, piece := range []string{"Write to an", "n@exam", "ple.org to", "day."} {
		out = s.Write(out, []byte(piece))
		fmt.Printf("%q\n", out)
	}
	fmt.Printf("%q\n", s.Flush(out))
	// Output:
	// "Write to "
	// "Write to "
	// "Write to [REDACTED:email] "
	// "Write to [REDACTED:email] "
	// "Write to [REDACTED:email] today."
}

func ExampleRedactor_Redact() {
	r, err := redact.New(redact.Config{Replacement: map[string]string{"card": "<card>"}})
	if err != nil {
		panic(err)
	}
	text, findings := r.Redact(nil, []byte("4111 1111 1111 1111 belongs to ann@example.org"))
	fmt.Println(string(text))
	fmt.Println(len(findings), findings[0].Kind, findings[1].Kind)
	// Output:
	// <card> belongs to [REDACTED:email]
	// 2 card email
}

package detect_test

import (
	"fmt"

	"github.com/mantlet-go/mantlet/sanitize/detect"
)

func ExampleNewSet() {
	set, err := detect.NewSet(detect.ProviderKeys("acme_live_"), detect.Email(), detect.Card())
	if err != nil {
		panic(err)
	}
	text := []byte("mail ann@example.org, card 4111 1111 1111 1111")
	set.Scan(text, 0, true, func(f detect.Finding) {
		fmt.Println(f.Kind, f.Start, f.End)
	})
	// Output:
	// card 27 46
	// email 5 20
}

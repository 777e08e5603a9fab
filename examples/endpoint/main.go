// Endpoint is a handler of one's own whose Go type is the contract of its route, behind a guard.
package main

import (
	"fmt"
	"log"
	"net/http"

	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/guard"
)

type question struct {
	Prompt string `json:"prompt" validate:"minLength=1,maxLength=4000"`
	Tone   string `json:"tone,omitempty" validate:"enum=brief|friendly"`
}

func main() { log.Fatal(http.ListenAndServe("127.0.0.1:8080", handler())) }

func handler() http.Handler {
	contract := must(validate.New(validate.Config{Schema: must(validate.SchemaFor[question]())}))
	front := must(guard.New(guard.Config{Hosts: []string{"localhost", "127.0.0.1"}}))
	mux := http.NewServeMux()
	mux.Handle("POST /ask", validate.Handle(contract, func(w http.ResponseWriter, _ *http.Request, q question) {
		fmt.Fprintf(w, "%q is what you ask, in a tone that is %q\n", q.Prompt, q.Tone)
	}))
	return front.Handler(mux)
}

func must[T any](v T, err error) T {
	if err != nil {
		log.Fatal(err)
	}
	return v
}

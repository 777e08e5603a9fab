package jsonschema6_test

import (
	"errors"
	"fmt"

	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/jsonschema6"
)

// A schema of draft 4, as older API descriptions hold it: "exclusiveMaximum" is a boolean there.
func ExampleEngine() {
	v, err := validate.New(validate.Config{
		Schema: []byte(`{
			"$schema": "http://json-schema.org/draft-04/schema#",
			"type": "object",
			"required": ["prompt"],
			"properties": {
				"prompt":      {"type": "string", "maxLength": 1000},
				"temperature": {"type": "number", "minimum": 0, "maximum": 2, "exclusiveMaximum": true}
			}
		}`),
		Engine: jsonschema6.Engine{},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, body := range []string{`{"prompt":"hello","temperature":1.9}`, `{"prompt":"hello","temperature":2}`, `{"temperature":1}`} {
		err := v.Check([]byte(body))
		var e *validate.Error
		if errors.As(err, &e) {
			fmt.Println(e.Status, e.Pointer, e.Keyword)
			continue
		}
		fmt.Println("accepted")
	}
	// Output:
	// accepted
	// 422 /temperature exclusiveMaximum
	// 422 /prompt required
}

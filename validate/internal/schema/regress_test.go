package schema_test

import (
	"testing"

	"github.com/mantlet-go/mantlet/validate/internal/schema"
)

// Faults that the comparison with another implementation has found, each as a schema of its own.
func TestWhatWasJudgedWrongOnceIsJudgedRight(t *testing.T) {
	for _, c := range []struct {
		what, schema, doc string
		want              bool
	}{
		{"dependentSchemas beside if has looked at members too", `{"if":{"required":["x"]},"dependentSchemas":{"b":{"properties":{"b":true}}},"unevaluatedProperties":false}`, `{"b":1}`, true},
		{"and beside an if that holds", `{"if":true,"then":{},"dependentSchemas":{"b":{"properties":{"b":true}}},"unevaluatedProperties":false}`, `{"b":1}`, true},
		{"but only where they apply", `{"if":true,"dependentSchemas":{"c":{"properties":{"b":true}}},"unevaluatedProperties":false}`, `{"b":1}`, false},
	} {
		p, err := schema.Compile(decode(t, []byte(c.schema)), schema.Options{})
		if err != nil {
			t.Errorf("%s: %v", c.what, err)
			continue
		}
		if got, why := judge(t, p, []byte(c.doc)); got != c.want {
			t.Errorf("%s: %s accepted %v (%+v)", c.what, c.doc, got, why)
		}
	}
}

package schema_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
	"github.com/mantlet-go/mantlet/internal/raced"
	"github.com/mantlet-go/mantlet/validate/internal/schema"
)

// The work is the number of values times the size of the schema, whatever the two look like. Each case doubled some number that
// an engine of this kind easily puts into an exponent, or multiplies by itself.
func TestTheWorkIsTheValuesTimesTheSchema(t *testing.T) {
	list := func(n int, s string) string { return "[" + strings.TrimSuffix(strings.Repeat(s+",", n), ",") + "]" }
	var members strings.Builder
	for i := range 250 {
		fmt.Fprintf(&members, `,"x%d":"y"`, i)
	}
	object := "{" + members.String()[1:] + "}"
	doubled := func(last, root string) string {
		var b strings.Builder
		for i := range 50 {
			fmt.Fprintf(&b, `"d%d":{"allOf":[{"$ref":"#/$defs/d%d"},{"$ref":"#/$defs/d%d"}]},`, i, i+1, i+1)
		}
		return fmt.Sprintf(`{"$ref":"#/$defs/d0","$defs":{%s"d50":%s}%s}`, b.String(), last, root)
	}
	var contains, alternatives strings.Builder
	for i := range 20 {
		fmt.Fprintf(&contains, `,{"contains":{"enum":[1,"%d"]}}`, i)
		fmt.Fprintf(&alternatives, `,{"items":{"maxItems":%d}}`, i)
	}
	for name, c := range map[string]struct {
		schema, doc   string
		values, steps int
	}{
		"two alternatives, 60 levels": {`{"$ref":"#/$defs/a","$defs":{"a":{"anyOf":[{"items":{"$ref":"#/$defs/a"}},{"properties":{"x":{"$ref":"#/$defs/a"}},"items":{"$ref":"#/$defs/a"}}]}}}`,
			strings.Repeat("[", 60) + strings.Repeat("]", 60), 60, 6},
		"allOf doubled":              {doubled(`{"type":"array"}`, ""), list(1000, "1"), 1000, 152},
		"allOf doubled, unevaluated": {doubled(`{"properties":{"a":true}}`, `,"unevaluatedProperties":{"type":"string"}`), object, 250, 152},
		"unevaluatedProperties":      {doubled(`{"patternProperties":{"^x":true}}`, `,"unevaluatedProperties":false`), object, 250, 152},
		"unevaluatedItems":           {`{"contains":{"type":"integer"},"unevaluatedItems":{"type":"string"}}`, list(10_000, "1"), 10_000, 3},
		"unevaluatedItems, many":     {`{"allOf":[` + contains.String()[1:] + `],"unevaluatedItems":false}`, list(10_000, "1"), 10_000, 42},
		"alternatives with items":    {`{"anyOf":[` + alternatives.String()[1:] + `]}`, list(10_000, "[]"), 10_000, 41},
	} {
		p, err := schema.Compile(decode(t, []byte(c.schema)), schema.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var m schema.Machine
		m.Start(p, false, true)
		if err := jsonscan.Scan([]byte(c.doc), nil, &m); err != nil {
			t.Errorf("%s: %v (%+v)", name, err, m.Failure())
		}
		if m.Work() > 3*c.values*c.steps {
			t.Errorf("%s: looked at %d for %d values and %d schemas", name, m.Work(), c.values, c.steps)
		}
		t.Logf("%s: %d", name, m.Work())
	}
}

// A machine that is warm allocates nothing, neither for many alternatives of scalars and containers nor for comparing values.
func TestAWarmMachineAllocatesNothing(t *testing.T) {
	if raced.Enabled {
		t.Skip("allocations prove nothing under the race detector")
	}
	var consts, lists strings.Builder
	for i := range 20 {
		fmt.Fprintf(&consts, `,{"const":%d}`, i)
		fmt.Fprintf(&lists, `,{"items":{"$ref":"#/$defs/i"},"minItems":%d}`, i)
	}
	many := func(s string) string { return "[" + strings.TrimSuffix(strings.Repeat(s+",", 200), ",") + "]" }
	var distinct strings.Builder
	for i := range 2000 {
		fmt.Fprintf(&distinct, `,{"a":[1,"\u0041",{}],"n":%d}`, i)
	}
	for name, c := range map[string][2]string{
		"scalars":    {`{"items":{"anyOf":[` + consts.String()[1:] + `]}}`, many("19")},
		"containers": {`{"anyOf":[` + lists.String()[1:] + `],"$defs":{"i":{"type":"array"}}}`, many("[]")},
		"enum":       {`{"items":{"enum":[[1,2.5,"a"],[1.0,2.5,"b"],{"a\"b":1}]}}`, many(`[1e0,25e-1,"\u0062"],{"a\u0022b":1.0}`)},
		"uniqueness": {`{"uniqueItems":true}`, "[" + distinct.String()[1:] + "]"},
		"long texts": {`{"items":{"minLength":1,"pattern":"A"}}`, "[" + strings.TrimSuffix(strings.Repeat(`"`+strings.Repeat(`\u0041`, 5000)+`",`, 5), ",") + "]"},
		"items":      {`{"contains":{"type":"integer"},"unevaluatedItems":{"type":"string"}}`, many(`1,"x"`)},
	} {
		p, err := schema.Compile(decode(t, []byte(c[0])), schema.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var m schema.Machine
		var s jsonscan.Scanner
		doc := []byte(c[1])
		run := func() {
			m.Start(p, false, true)
			if err := s.Scan(doc, nil, &m); err != nil {
				t.Fatalf("%s: %v (%+v)", name, err, m.Failure())
			}
		}
		run()
		if n := testing.AllocsPerRun(5, run); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
		if !m.Small() {
			t.Errorf("%s: not kept", name)
		}
	}
}

package validate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/preset"
)

// oracle is santhosh-tekuri/jsonschema/v5 with the formats of this package that its documents know.
func oracle(t testing.TB, schema []byte) func(doc any) bool {
	t.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat = true
	c.LoadURL = func(u string) (io.ReadCloser, error) { return nil, fmt.Errorf("%s is not loaded", u) }
	for name, holds := range validate.Formats() {
		c.Formats[name] = func(v any) bool {
			s, ok := v.(string)
			return !ok || holds(s)
		}
	}
	if err := c.AddResource("mem:///s.json", bytes.NewReader(schema)); err != nil {
		t.Fatal(err)
	}
	s := c.MustCompile("mem:///s.json")
	return func(doc any) bool { return s.Validate(doc) == nil }
}

// The program inside the scan and the engine give the same verdict on whatever a mutation of a real request looks like.
func TestThePresetsJudgeLikeTheEngine(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for name, c := range map[string]struct {
		schema []byte
		seeds  []string
	}{
		"chat": {preset.OpenAIChatConfig().Schema, []string{
			`{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"https://example.com/a"}}]},{"role":"assistant","content":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}],"n":1,"stop":["a"]}`,
			`{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":["string","null"],"items":[{"type":"integer"}]}}}}}]}`}},
		"messages": {preset.AnthropicMessagesConfig().Schema, []string{
			`{"model":"m","max_tokens":5,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"x"},{"type":"image","source":{"type":"url","url":"https://example.com/a"}}]}]},{"role":"assistant","content":"y"}],"tools":[{"name":"f","input_schema":{"type":"object"}}]}`}},
		"small": {[]byte(`{"required":["a"],"properties":{"a":{"type":"array","items":{"type":"integer"},"contains":{"const":3},"uniqueItems":true},"b":{"items":{"enum":[[],{}]}}}}`), []string{
			`{"a":[1,2,3],"b":[[],{}]}`}},
	} {
		v, whole := mustNew(t, validate.Config{Schema: c.schema}), oracle(t, c.schema)
		if validate.NeedsEngine(v) {
			t.Errorf("%s: judged by the engine", name)
		}
		accepted, refused := 0, 0
		for range 3000 {
			doc := parse(c.seeds[rng.IntN(len(c.seeds))])
			for range rng.IntN(3) {
				doc = mutate(rng, doc)
			}
			b, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			got, want := v.Check(b) == nil, whole(parse(string(b)))
			if got != want {
				t.Fatalf("%s: accepted %v, the engine says %v: %s (%v)", name, got, want, b, v.Check(b))
			}
			if got {
				accepted++
			} else {
				refused++
			}
		}
		if accepted < 300 || refused < 300 {
			t.Errorf("%s: %d accepted, %d refused: the mutations are one-sided", name, accepted, refused)
		}
	}
}

func parse(s string) any {
	d := json.NewDecoder(bytes.NewReader([]byte(s)))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	return v
}

// mutate changes one value somewhere in doc.
func mutate(rng *rand.Rand, doc any) any {
	if rng.IntN(4) > 0 { // go deeper, mostly
		switch d := doc.(type) {
		case map[string]any:
			keys := make([]string, 0, len(d))
			for k := range d {
				keys = append(keys, k)
			}
			if slices.Sort(keys); len(keys) > 0 {
				k := keys[rng.IntN(len(keys))]
				if rng.IntN(8) == 0 {
					delete(d, k)
				} else {
					d[k] = mutate(rng, d[k])
				}
				return d
			}
		case []any:
			if len(d) > 0 {
				i := rng.IntN(len(d))
				if rng.IntN(8) == 0 {
					return append(d, d[i])
				}
				d[i] = mutate(rng, d[i])
				return d
			}
		}
	}
	return []any{nil, true, json.Number("3"), json.Number("-1.5"), "text", "user", "", []any{}, []any{json.Number("3")}, map[string]any{}, map[string]any{"type": "text", "text": "x"}}[rng.IntN(11)]
}

// The engine goes on after a failure and describes each: this body kept it busy for five seconds and 1.3 GB.
func TestABodyFullOfFaultsCostsNoMoreThanItsFirst(t *testing.T) {
	part := strings.TrimSuffix(strings.Repeat(`{"type":"x"},`, 30), ",")
	turn := fmt.Sprintf(`{"role":"user","content":[%s]},`, part)
	body := `{"model":"m","messages":[` + strings.TrimSuffix(strings.Repeat(turn, 800), ",") + `]}`
	e := refusal(t, preset.OpenAIChat(), body)
	if e.Pointer != "/messages/0/content/0/type" || e.Keyword != "enum" {
		t.Error(e)
	}
}

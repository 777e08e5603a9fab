package validate_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/preset"
)

func TestOnlyListsThatMeanNothingElseAreTakenApart(t *testing.T) {
	for schema, want := range map[string]string{
		`{"properties":{"a":{"items":{"type":"string"}},"b":{"type":"array","items":{},"maxItems":3}}}`:    "a b",
		`{"properties":{"a/b~c %":{"items":{}}}}`:                                                          "a/b~c %",
		`{"$schema":"http://json-schema.org/draft-07/schema#","properties":{"a":{"items":{}}}}`:            "a",
		`{"properties":{"a":{"items":{"$ref":"#/$defs/x"}}},"$defs":{"x":{"items":{"$ref":"#/$defs/x"}}}}`: "a",
		`{"properties":{"a":{"items":true}}}`:                                                              "", // nothing to do
		`{"properties":{"a":{"items":{},"prefixItems":[{}]}}}`:                                             "", // items are the rest only
		`{"properties":{"a":{"$ref":"#/$defs/x","items":{}}},"$defs":{"x":{}}}`:                            "",
		`{"$schema":"http://json-schema.org/draft-07/schema#","properties":{"a":{"items":[{}]}}}`:          "",
		`{"properties":{"a":{"items":{}},"b":{"$ref":"#/properties/a"}}}`:                                  "", // b means a whole
		`{"properties":{"a":{"items":{"$ref":"#"}}}}`:                                                      "",
		`{"properties":{"a":{"items":{}}},"unevaluatedProperties":false}`:                                  "",
		`{"properties":{"a":{"items":{},"unevaluatedItems":false}}}`:                                       "",
		`{"$id":"https://example.com/s","properties":{"a":{"items":{}}}}`:                                  "",
		`{"properties":{"a":{"items":{"$dynamicRef":"#x"}}},"$defs":{"x":{"$dynamicAnchor":"x"}}}`:         "",
		`{"items":{}}`: "",
		`true`:         "",
	} {
		got := validate.Lists([]byte(schema))
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", schema, got, want)
		}
	}
	if got := validate.Lists(preset.OpenAIChatConfig().Schema); !slices.Contains(got, "messages") || !slices.Contains(got, "tools") {
		t.Errorf("the preset: %q", got)
	}
}

// The schema taken apart and the schema whole give the same verdict on whatever a mutation of a real request looks like.
func TestTakingListsApartChangesNoVerdict(t *testing.T) {
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
		v, whole := mustNew(t, validate.Config{Schema: c.schema}), validate.Whole(c.schema)
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
				t.Fatalf("%s: accepted %v, whole %v: %s (%v)", name, got, want, b, v.Check(b))
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

// The engine goes on after a failure and describes each: this body kept it busy for five seconds and 1.3 GB. The bound here is
// loose, for slow machines; see BenchmarkRefuse for the figure.
func TestABodyFullOfFaultsCostsNoMoreThanItsFirst(t *testing.T) {
	part := strings.TrimSuffix(strings.Repeat(`{"type":"x"},`, 30), ",")
	turn := fmt.Sprintf(`{"role":"user","content":[%s]},`, part)
	body := `{"model":"m","messages":[` + strings.TrimSuffix(strings.Repeat(turn, 800), ",") + `]}`
	start := time.Now()
	e := refusal(t, preset.OpenAIChat(), body)
	if d := time.Since(start); d > 2*time.Second {
		t.Errorf("took %v", d)
	}
	if e.Pointer != "/messages/0/content/0/type" || e.Keyword != "enum" {
		t.Error(e)
	}
}

func TestFormatPublicHTTPS(t *testing.T) {
	for s, want := range map[string]bool{
		"https://example.com": true, "https://example.com/": true, "https://a.b.example.co.uk:8443/x?y=z#f": true, "https://xn--bcher-kva.example/": true,
		"https://1password.com/x": true, "https://example.com?x": true, "https://example.com/ü": true, "https://EXAMPLE.com/a@b": true,
		"http://example.com": false, "HTTPS://example.com": false, "ftp://example.com": false, "file:///etc/passwd": false, "//example.com": false, "": false,
		"https://": false, "https:///x": false, "https://localhost/": false, "https://metadata/": false, "https://127.0.0.1/": false, "https://127.1": false,
		"https://2130706433/": false, "https://0x7f.0.0.1/": false, "https://0x7f.1/": false, "https://017700000001/": false, "https://[::1]/": false, "https://[::ffff:10.0.0.1]/": false,
		"https://169.254.169.254/latest": false, "https://10.0.0.1:443/": false, "https://a@example.com/": false, "https://example.com@evil.example/": false,
		"https://evil.example\\@example.com/": false, "https://example.com\\x": false, "https://example.com/\\x": false, "https://example.com/ x": false,
		"https://example.com/\n": false, "https://exam\tple.com/": false, "https://example.com./": false, "https://.example.com/": false, "https://a..b/": false,
		"https://-a.example/": false, "https://a_b.example.com/": false, "https://example.com:/": false, "https://example.com:123456/": false, "https://example.com:x/": false,
		"https://example.com:80:80/": false, "https://bücher.example/": false, "https://a%2eb.example/": false, "https://vllm.default.svc.cluster.local/": false,
		"https://metadata.google.internal/": false, "https://printer.LAN/": false, "https://router.home.arpa/": false, "https://1.0.0.127.in-addr.arpa/": false,
		"https://example.com/" + strings.Repeat("a", 2048): false, "https://" + strings.Repeat("a.", 130) + "com/": false, "https://" + strings.Repeat("a", 64) + ".com/": false,
	} {
		if got := validate.IsPublicHTTPS(s); got != want {
			t.Errorf("%.60q: %v, want %v", s, got, want)
		}
	}
}

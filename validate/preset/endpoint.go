package preset

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/mantlet-go/mantlet/validate"
)

//go:embed schema
var files embed.FS

// endpoint is what one path of an API accepts: layers of schema, and limits where they differ from the usual ones.
type endpoint struct {
	name   string   // for the one who reads a panic
	layers []string // files in schema, each a JSON merge patch over the ones before it
	values int      // bound of the number of values, 65,536 when 0; also of the elements of an array
	once   sync.Once
	shared *validate.Validator
}

// validator compiles once what needs no change. Every call returns a Validator of its own: whoever swaps one changes no other.
func (e *endpoint) validator(extra ...string) *validate.Validator {
	if len(extra) > 0 {
		return must(e.config(extra...))
	}
	e.once.Do(func() { e.shared = must(e.config()) })
	return e.shared.Clone()
}

// config fits conversations with images in them. Text of a conversation may fill the body, of whatever MaxBody; the schema bounds
// the other strings, at the places where it is known what they are. The number of values bounds the schema engine's time: it takes 5
// to 15 microseconds for each that is not of the common kinds.
func (e *endpoint) config(extra ...string) validate.Config {
	values := e.values
	if values == 0 {
		values = 1 << 16
	}
	return validate.Config{
		Schema:      e.schema(extra),
		Methods:     []string{http.MethodPost},
		RequireBody: true,
		MaxBody:     validate.DefaultMaxBody,
		Limits:      validate.Limits{StringLen: -1, TotalKeys: 1 << 15, ArrayLen: max(e.values, 10_000), Nodes: values},
	}
}

// schema puts the layers over the common definitions, keeps those it refers to, and opens the members of extra.
func (e *endpoint) schema(extra []string) []byte {
	root := map[string]any{"$defs": load("defs")["$defs"]}
	for _, layer := range e.layers {
		patch(root, load(layer))
	}
	known, used := root["$defs"].(map[string]any), map[string]any{}
	var use func(node any)
	use = func(node any) {
		switch node := node.(type) {
		case []any:
			for _, n := range node {
				use(n)
			}
		case map[string]any:
			for key, n := range node {
				ref, ok := n.(string)
				if !ok || key != "$ref" {
					use(n)
					continue
				}
				name := strings.TrimPrefix(ref, "#/$defs/")
				if _, done := used[name]; done {
					continue
				}
				def, ok := known[name]
				if !ok {
					panic("preset: " + e.name + ": " + ref + " leads nowhere")
				}
				used[name] = def
				use(def)
			}
		}
	}
	delete(root, "$defs")
	use(root)
	root["$defs"] = used
	e.open(root["properties"].(map[string]any), extra)
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	check(enc.Encode(root))
	return out.Bytes()
}

// open makes the names of extra top-level members without conditions. A name that would switch off a check of the preset is
// a mistake of the program's, and panics.
func (e *endpoint) open(properties map[string]any, extra []string) {
	known := slices.Sorted(maps.Keys(properties))
	for _, name := range extra {
		if name == "" {
			panic("preset: " + e.name + ": an extra member without a name")
		}
		for _, k := range known {
			if !strings.EqualFold(k, name) {
				continue
			}
			p, _ := properties[k].(map[string]any)
			not, _ := p["not"].(map[string]any)
			switch {
			case not != nil && len(not) == 0:
				panic(fmt.Sprintf("preset: %s: extra member %q is refused on purpose: %s", e.name, name, p["$comment"]))
			case k == name:
				panic(fmt.Sprintf("preset: %s: extra member %q is one that the preset checks already; edit the Schema of the Config instead", e.name, name))
			}
			panic(fmt.Sprintf("preset: %s: extra member %q differs from %q only by case: a Go server takes one for the other", e.name, name, k))
		}
		properties[name] = map[string]any{}
	}
}

// patch is the JSON Merge Patch of RFC 7396: members of p replace or join those of target, null takes one away. It may
// change target.
func patch(target, p any) any {
	members, ok := p.(map[string]any)
	if !ok {
		return p
	}
	result, ok := target.(map[string]any)
	if !ok {
		result = map[string]any{}
	}
	for name, v := range members {
		if v == nil {
			delete(result, name)
		} else {
			result[name] = patch(result[name], v)
		}
	}
	return result
}

// load decodes a file of the folder schema, anew each time. Numbers stay text, so none loses precision.
func load(name string) map[string]any {
	b, err := files.ReadFile("schema/" + name + ".json")
	check(err)
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v map[string]any
	check(d.Decode(&v))
	return v
}

// must panics on a fault in an embedded schema, which the tests of this package would have shown, or in extra members that
// contradict each other.
func must(cfg validate.Config) *validate.Validator {
	v, err := validate.New(cfg)
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic("preset: " + err.Error())
	}
}

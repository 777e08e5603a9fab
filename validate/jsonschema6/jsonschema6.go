// Package jsonschema6 judges bodies by santhosh-tekuri/jsonschema/v6 in place of the implementation that is built into package
// validate.
//
//	v, err := validate.New(validate.Config{Schema: schema, Engine: jsonschema6.Engine{}})
//
// # When to use it
//
//   - The schema is one of draft 4, 6 or 2019-09. The built-in implementation knows 2020-12 and 7 and refuses the others at start;
//     this one knows all five.
//   - A second opinion: two implementations without a line in common that judge the same traffic, one of them in
//     [validate.Config].Shadow, or in a test of your own schema.
//
// Otherwise leave Config.Engine alone: the built-in implementation judges while it scans and names the first fault in the
// order of the text. This one wants the body as a tree, goes on after the first fault, and allocates for each value; see
// BenchmarkCheck. It is a module of its own, so that nobody else has its dependencies.
//
// # What is covered
//
// Nothing is loaded: a reference to a file or to another host is an error of validate.New, unless Config.Resources holds the
// document. The meta-schemas of the five drafts are part of v6 and may be referred to. A document of Resources without $schema
// follows the draft of the schema.
//
// Formats are asserted exactly as in package validate: those of its list, or none with Config.SkipFormats, in every draft.
// pattern is RE2, as there.
//
// Messages of v6 quote values, so none is ever made: where a document departs is taken from the typed kinds of its errors. Of
// several faults the one nearest to the root is reported, then the first by index or name.
//
// Numbers in a schema that v6 would silently drop or cut (a bound with an exponent beyond a million, a length beyond 2^53) are
// an error. A panic of v6 over a document is a refusal: package validate sees to that, and its Limits keep such numbers out. One
// fault of v6 is left as it is: in drafts 6 and 7 a const beside $ref counts, where it should be ignored.
//
// # What is not covered
//
// The built-in implementation refuses a member whose name differs from a declared one only by case ("MODEL" for "model"), which
// encoding/json takes for the same, at any depth. JSON Schema knows no such rule, and neither does v6: package validate sees to the
// top-level object alone. Close the objects below that matter with additionalProperties. Siblings that differ only by case are refused
// everywhere.
package jsonschema6

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"

	"github.com/mantlet-go/mantlet/validate"
)

// Engine is santhosh-tekuri/jsonschema/v6 as a [validate.Engine]. The zero Engine is ready, and safe for concurrent use.
type Engine struct{}

var _ validate.Engine = Engine{}

// schemaURL is the base of a schema without $id. It resolves relative references to a name that nothing can load.
const schemaURL = "mantlet:///schema.json"

var errRemote = errors.New("references to files and other hosts are not followed; put the referenced schema under $defs, or into Config.Resources")

// refuse is the loader: without one v6 opens file: URLs.
type refuse struct{}

func (refuse) Load(string) (any, error) { return nil, errRemote } // v6 adds the URL

// annotations are the formats of v6 that assert something. Those that the source does not ask for are overwritten, since the
// drafts before 2019-09 assert formats in any case.
var annotations = []string{"json-pointer", "relative-json-pointer", "uuid", "duration", "period", "ipv4", "ipv6", "hostname", "email",
	"date", "time", "date-time", "uri", "iri", "uri-reference", "iri-reference", "uri-template", "semver"}

// Compile implements [validate.Engine].
func (Engine) Compile(src validate.Source) (c validate.Checker, err error) {
	// v6 takes documents for what its meta-schemas say they are.
	defer func() {
		if r := recover(); r != nil {
			c, err = nil, fmt.Errorf("the schema engine panicked: %v", r)
		}
	}()
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(src.Schema))
	if err != nil {
		return nil, err
	}
	comp := jsonschema.NewCompiler()
	comp.UseLoader(refuse{})
	comp.DefaultDraft(draftOf(root)) // also of Resources that do not say
	comp.AssertFormat()
	for _, name := range annotations {
		comp.RegisterFormat(&jsonschema.Format{Name: name, Validate: func(any) error { return nil }})
	}
	for name, holds := range src.Formats {
		comp.RegisterFormat(&jsonschema.Format{Name: name, Validate: func(v any) error {
			if s, ok := v.(string); ok && !holds(s) {
				return errFormat
			}
			return nil
		}})
	}
	// v6 asks its engine of regular expressions also about strings of format "regex", which cannot be registered. While a schema
	// is compiled that is right, as its patterns must be ones that this engine takes. Later only documents are left to ask for.
	serving := false
	comp.UseRegexpEngine(func(s string) (jsonschema.Regexp, error) {
		if !serving {
			return regexp.Compile(s)
		}
		if holds := src.Formats["regex"]; holds != nil && !holds(s) {
			return nil, errFormat
		}
		return nil, nil
	})
	if err := add(comp, schemaURL, root); err != nil {
		return nil, err
	}
	for _, u := range slices.Sorted(maps.Keys(src.Resources)) {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(src.Resources[u]))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", u, err)
		}
		if err := add(comp, u, doc); err != nil {
			return nil, err
		}
	}
	s, err := comp.Compile(schemaURL)
	if err != nil {
		return nil, err
	}
	serving = true
	return checker{s}, nil
}

// errFormat says that a string is not what its format wants. Nobody reads it.
var errFormat = errors.New("jsonschema6: not of this format")

// draftOf returns the draft that a schema names, 2020-12 when it names none or a dialect of its own.
func draftOf(doc any) *jsonschema.Draft {
	m, _ := doc.(map[string]any)
	name, _ := m["$schema"].(string)
	for _, d := range []*jsonschema.Draft{jsonschema.Draft4, jsonschema.Draft6, jsonschema.Draft7, jsonschema.Draft2019} {
		if strings.TrimSuffix(name, "#") == d.String() {
			return d
		}
	}
	return jsonschema.Draft2020
}

func add(comp *jsonschema.Compiler, url string, doc any) error {
	if err := countable(doc, ""); err != nil {
		return fmt.Errorf("%s: %w", url, err)
	}
	return comp.AddResource(url, doc)
}

// countable refuses the numbers that v6 does not refuse but takes for nothing or for others: a bound that does not exist lets
// everything through.
func countable(node any, keyword string) error {
	switch node := node.(type) {
	case []any:
		for _, e := range node {
			if err := countable(e, keyword); err != nil {
				return err
			}
		}
	case map[string]any:
		for name, e := range node {
			if err := countable(e, name); err != nil {
				return err
			}
		}
	case json.Number:
		r, ok := new(big.Rat).SetString(node.String())
		if !ok {
			return fmt.Errorf("the number %s is too large for this engine", node)
		}
		switch keyword {
		case "minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties", "minContains", "maxContains":
			if r.Cmp(largest) > 0 {
				return fmt.Errorf("%s %s is too large for this engine", keyword, node)
			}
		}
	}
	return nil
}

// largest is what every reader of JSON agrees upon, and fits an int.
var largest = new(big.Rat).SetInt64(1 << 53)

type checker struct{ schema *jsonschema.Schema }

// Check implements [validate.Checker].
func (c checker) Check(doc any) *validate.Violation {
	err := c.schema.Validate(doc)
	if err == nil {
		return nil
	}
	ve, ok := err.(*jsonschema.ValidationError)
	if !ok {
		return &validate.Violation{} // an answer of an unknown kind
	}
	found := nearest(doc, ve)
	return &found.Violation
}

// fault is a candidate for the one violation.
type fault struct {
	validate.Violation
	schema string // the place in the schema
}

// nearest picks the one failure to report, always the same one for the same document: v6 walks maps, so the order of its list
// means nothing. Failures nearer to the root come first; of alternatives none is singled out.
func nearest(doc any, ve *jsonschema.ValidationError) fault {
	switch ve.ErrorKind.(type) {
	case *kind.Schema, *kind.Group, *kind.Reference, *kind.AllOf:
		if len(ve.Causes) > 0 {
			best := nearest(doc, ve.Causes[0])
			for _, c := range ve.Causes[1:] {
				if f := nearest(doc, c); before(f, best) {
					best = f
				}
			}
			return best
		}
	}
	f := fault{validate.Violation{Path: ve.InstanceLocation}, ve.SchemaURL}
	switch k := ve.ErrorKind.(type) {
	case *kind.Not:
		f.Keyword = "not"
	case *kind.FalseSchema:
		if f.Keyword = forbidden(ve.SchemaURL); f.Keyword != "not" {
			f.Path = f.Path[:len(f.Path)-1] // it is the container that has a member too many
		}
	case *kind.Required:
		f.Keyword, f.Missing = "required", first(k.Missing)
	case *kind.Dependency:
		f.Keyword, f.Missing = "dependencies", first(k.Missing)
	case *kind.DependentRequired:
		f.Keyword, f.Missing = "dependentRequired", first(k.Missing)
	case *kind.PropertyNames:
		f.Keyword = "propertyNames"
		f.Path = holder(doc, len(ve.InstanceLocation), k.Property)
	default:
		if p := ve.ErrorKind.KeywordPath(); len(p) > 0 {
			f.Keyword = p[0]
		}
	}
	return f
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// forbidden names the keyword whose schema is false. A name in the schema can look like one, so its parent must be no map of names.
func forbidden(schemaURL string) string {
	path := strings.Split(schemaURL, "/")
	switch last := path[len(path)-1]; last {
	case "additionalProperties", "unevaluatedProperties", "additionalItems", "unevaluatedItems":
		switch path[len(path)-2] {
		case "properties", "patternProperties", "$defs", "definitions", "dependentSchemas", "dependencies":
		default:
			return last
		}
	}
	return "not"
}

// holder returns the path of the member with that name whose object is at depth, when there is only one; nil otherwise. The
// location that v6 gives for propertyNames has the right length, but its steps are overwritten by whatever v6 visits next.
func holder(doc any, depth int, name string) []string {
	var found [][]string
	var path []string
	var walk func(v any)
	walk = func(v any) {
		if m, ok := v.(map[string]any); ok && len(path) == depth {
			if _, ok := m[name]; ok {
				found = append(found, append(slices.Clone(path), name))
			}
		}
		if len(path) == depth || len(found) > 1 {
			return
		}
		step := func(token string, v any) {
			path = append(path, token)
			walk(v)
			path = path[:len(path)-1]
		}
		switch v := v.(type) {
		case map[string]any:
			for k, e := range v {
				step(k, e)
			}
		case []any:
			for i, e := range v {
				step(strconv.Itoa(i), e)
			}
		}
	}
	if walk(doc); len(found) == 1 {
		return found[0]
	}
	return nil
}

// before orders faults: the shorter path, then the path itself, then the place in the schema.
func before(a, b fault) bool {
	return cmp.Or(
		cmp.Compare(len(a.Path), len(b.Path)),
		slices.CompareFunc(a.Path, b.Path, steps),
		strings.Compare(a.schema, b.schema),
		strings.Compare(a.Keyword, b.Keyword),
		strings.Compare(a.Missing, b.Missing),
	) < 0
}

// steps orders the steps of a path: what may be an index by its value, and before names.
func steps(a, b string) int {
	class := func(s string) int {
		if strings.Trim(s, "0123456789") != "" {
			return 20 // longer than any index
		}
		return min(len(s), 19)
	}
	return cmp.Or(cmp.Compare(class(a), class(b)), strings.Compare(a, b))
}

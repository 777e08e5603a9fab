package validate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/url"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v5"
)

// Engine is an implementation of JSON Schema for [Config].Engine. Package validate/jsonschema6, a module of its own, is one.
type Engine interface {
	// Compile prepares a schema. It must not load anything that is not part of src. Its error goes to the developer.
	Compile(src Source) (Checker, error)
}

// Checker is a schema that an [Engine] has compiled. It is safe for concurrent use. A panic in it is a refusal.
type Checker interface {
	// Check returns nil when doc conforms to the schema, and otherwise one violation. doc is what encoding/json makes of a
	// document with UseNumber: nil, bool, string, json.Number, []any, map[string]any.
	Check(doc any) *Violation
}

// Source is what an [Engine] compiles. It is read only.
type Source struct {
	// Schema is the schema, Resources the documents it may refer to by URL. Both are strict JSON.
	Schema    []byte
	Resources map[string][]byte
	// Formats are the formats to assert, those of this package among them; nil when formats are annotations.
	Formats map[string]func(string) bool
}

// Violation says where a document departs from its schema. Neither the document's names nor the schema's go to a client
// from here: names that the schema does not know are masked by who asked.
type Violation struct {
	// Path leads to the offending value, one member name or array index in decimal per step.
	Path []string
	// Keyword is the keyword of JSON Schema that failed.
	Keyword string
	// Missing is the first absent member, for required and its relatives; "" otherwise.
	Missing string
}

// engineV5 is santhosh-tekuri/jsonschema/v5 with its sharp edges covered: it loads nothing, and its messages, which quote
// values, are never passed on. It judges every schema by its meta-schema, and it judges documents by those schemas that the
// program in internal/schema does not cover.
type engineV5 struct{}

// schemaURL is the base of a schema without $id. It resolves relative references to a name that nothing can load.
const schemaURL = "mantlet:///schema.json"

// errRemote is what the engine hears when it asks for a document that is not part of the schema.
var errRemote = errors.New("references to files and other hosts are not followed; put the referenced schema under $defs, or into Config.Resources")

func (engineV5) Compile(src Source) (c Checker, err error) {
	// Patterns are compiled with regexp.MustCompile inside the engine; the meta-schema catches bad ones first, and this
	// catches the rest.
	defer func() {
		if r := recover(); r != nil {
			c, err = nil, fmt.Errorf("the schema engine panicked: %v", r)
		}
	}()
	comp := jsonschema.NewCompiler()
	comp.Draft = jsonschema.Draft2020
	var root struct {
		Schema string `json:"$schema"`
	}
	if json.Unmarshal(src.Schema, &root) == nil && strings.TrimSuffix(root.Schema, "#") == draft7 {
		comp.Draft = jsonschema.Draft7 // also of Resources that do not say
	}
	// Without this the engine opens file: URLs, and through its package-global Loaders whatever another package
	// registered.
	comp.LoadURL = func(s string) (io.ReadCloser, error) { return nil, fmt.Errorf("%q: %w", s, errRemote) }
	comp.AssertFormat = true // older drafts assert formats in any case: an annotation is a format that holds for everything
	for name := range libraryFormats {
		comp.Formats[name] = func(any) bool { return true }
	}
	for name, holds := range src.Formats {
		comp.Formats[name] = func(v any) bool {
			s, ok := v.(string)
			return !ok || holds(s)
		}
	}
	if err := comp.AddResource(schemaURL, bytes.NewReader(src.Schema)); err != nil {
		return nil, err
	}
	for _, u := range slices.Sorted(maps.Keys(src.Resources)) {
		if err := comp.AddResource(u, bytes.NewReader(src.Resources[u])); err != nil {
			return nil, err
		}
	}
	s, err := comp.Compile(schemaURL)
	if err != nil {
		return nil, err
	}
	return checkerV5{s}, nil
}

type checkerV5 struct{ schema *jsonschema.Schema }

func (c checkerV5) Check(doc any) *Violation {
	err := c.schema.Validate(doc)
	if err == nil {
		return nil
	}
	var ve *jsonschema.ValidationError
	if !errors.As(err, &ve) {
		return &Violation{} // an endless loop in the schema, or an answer of an unknown kind
	}
	leaf := nearest(ve)
	return &Violation{Path: tokens(leaf.InstanceLocation), Keyword: keywordOf(leaf)}
}

// nearest picks the one failure to report, always the same one for the same document: the engine walks maps, so the order
// of its list means nothing. Failures nearer to the root come first; of alternatives none is singled out.
func nearest(ve *jsonschema.ValidationError) *jsonschema.ValidationError {
	switch lastToken(ve.KeywordLocation) {
	case "anyOf", "oneOf", "contains", "minContains":
		return ve
	}
	best := ve
	for i, c := range ve.Causes {
		if n := nearest(c); i == 0 || before(n, best) {
			best = n
		}
	}
	return best
}

func before(a, b *jsonschema.ValidationError) bool {
	if x, y := strings.Count(a.InstanceLocation, "/"), strings.Count(b.InstanceLocation, "/"); x != y {
		return x < y
	}
	if a.InstanceLocation != b.InstanceLocation {
		return a.InstanceLocation < b.InstanceLocation
	}
	return a.KeywordLocation < b.KeywordLocation
}

// keywordOf names the keyword that failed. Only names this package has a sentence for come out: the last token of a
// location can be a property name too.
func keywordOf(leaf *jsonschema.ValidationError) string {
	toks := strings.Split(leaf.KeywordLocation, "/")
	for _, back := range []int{1, 3} { // dependentRequired/name/0
		if n := len(toks) - back; n >= 0 {
			if _, ok := sentences[toks[n]]; ok {
				return toks[n]
			}
		}
	}
	return ""
}

// tokens decodes a location of the engine: a JSON Pointer whose tokens are percent-encoded on top.
func tokens(loc string) []string {
	if loc == "" {
		return nil
	}
	toks := strings.Split(strings.TrimPrefix(loc, "/"), "/")
	for i, t := range toks {
		if u, err := url.PathUnescape(t); err == nil {
			t = u
		}
		toks[i] = unescapePointer.Replace(t)
	}
	return toks
}

var unescapePointer = strings.NewReplacer("~1", "/", "~0", "~")

func lastToken(loc string) string { return loc[strings.LastIndexByte(loc, '/')+1:] }

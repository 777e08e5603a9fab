package validate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// checker is the seam behind which the schema engine stands: a decoded document goes in, the first violation comes out.
// An engine that needs no tree can replace it without a change elsewhere. Implementations are safe for concurrent use
// and never panic.
type checker interface {
	check(doc any) *violation
}

// violation says where a document departs from its schema, in raw form: path still holds names of the request.
type violation struct {
	path    []string // decoded reference tokens of the offending value
	keyword string
	missing string // keyword required: the first absent member, "" when unknown
	cause   error  // private: errEngine, or a strangeMember
}

// Dialects of JSON Schema that New accepts in $schema. Others are refused rather than read as something they are not.
const (
	draft2020 = "https://json-schema.org/draft/2020-12/schema"
	draft7    = "http://json-schema.org/draft-07/schema"
)

// vocabulary is what refusals need to know of a schema besides its verdict.
type vocabulary struct {
	known map[string]struct{} // every property name the schema declares anywhere: may be shown in a pointer
	root  map[string]struct{} // the names declared for the top-level object
	fold  map[string]struct{} // root, case-folded
}

// compile reads a schema and prepares its checker. Errors may quote the schema: they go to the developer, not to a
// client.
func compile(raw []byte) (checker, *vocabulary, error) {
	// The author's own duplicates are worth an error too: of two "maxLength" members the engine would silently take the
	// last.
	limits := jsonscan.Limits{Bytes: -1, Keys: -1, TotalKeys: -1, KeyLen: -1, ArrayLen: -1, StringLen: -1, Nodes: -1,
		AllowFoldCollisions: true}
	if err := jsonscan.Scan(raw, &limits, nil); err != nil {
		var se *jsonscan.Error
		if errors.As(err, &se) && se.Pointer != "" {
			return nil, nil, fmt.Errorf("Config.Schema at %s: %w", se.Pointer, err)
		}
		return nil, nil, fmt.Errorf("Config.Schema: %w", err)
	}
	doc, err := decode(raw)
	if err != nil {
		return nil, nil, fmt.Errorf("Config.Schema: %w", err)
	}
	switch doc := doc.(type) {
	case bool:
	case map[string]any:
		if d, ok := doc["$schema"]; ok {
			s, _ := d.(string)
			if n := len(s); n > 0 && s[n-1] == '#' { // draft 7 is usually written with an empty fragment
				s = s[:n-1]
			}
			if s != draft2020 && s != draft7 {
				return nil, nil, fmt.Errorf("Config.Schema: $schema %v: only %s and %s# are supported", d, draft2020, draft7)
			}
		}
	default:
		return nil, nil, fmt.Errorf("Config.Schema: a schema is an object or a boolean, not %s", bytes.TrimSpace(raw))
	}
	if ptr, ok := emptyEnum(doc, ""); ok {
		// It would allow no value; the engine reads it as allowing every value.
		return nil, nil, fmt.Errorf("Config.Schema at %s: an enum without values", ptr)
	}
	if faults := misspelt(doc, ""); len(faults) > 0 {
		return nil, nil, errors.Join(faults...)
	}
	c, err := compileV5(raw, doc)
	if err != nil {
		return nil, nil, fmt.Errorf("Config.Schema: %w", err)
	}
	return c, newVocabulary(doc), nil
}

// decode reads a schema. Numbers stay text, so none loses precision.
func decode(b []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

// emptyEnum finds an enum keyword with an empty list.
func emptyEnum(node any, at string) (string, bool) {
	switch node := node.(type) {
	case []any:
		for i, e := range node {
			if p, ok := emptyEnum(e, at+"/"+strconv.Itoa(i)); ok {
				return p, true
			}
		}
	case map[string]any:
		if list, ok := node["enum"].([]any); ok && len(list) == 0 {
			return at + "/enum", true
		}
		for key, e := range node {
			switch key {
			case "const", "enum", "default", "examples": // data, not schemas
				continue
			}
			if p, ok := emptyEnum(e, at+"/"+escapePointer.Replace(key)); ok {
				return p, true
			}
		}
	}
	return "", false
}

func newVocabulary(doc any) *vocabulary {
	v := &vocabulary{known: map[string]struct{}{}, root: map[string]struct{}{}, fold: map[string]struct{}{}}
	v.collect(doc)
	if m, ok := doc.(map[string]any); ok {
		props, _ := m["properties"].(map[string]any)
		for name := range props {
			v.root[name] = struct{}{}
			v.fold[foldName(name)] = struct{}{}
		}
	}
	return v
}

// collect gathers the names of properties, required and their relatives. It also walks through enum and const, where it
// may take a value of the author's for a name: those names are the author's words as well, never the client's.
func (v *vocabulary) collect(node any) {
	switch node := node.(type) {
	case []any:
		for _, e := range node {
			v.collect(e)
		}
	case map[string]any:
		for key, e := range node {
			switch key {
			case "properties", "dependentSchemas", "dependentRequired", "dependencies":
				if m, ok := e.(map[string]any); ok {
					for name, sub := range m {
						v.known[name] = struct{}{}
						v.strings(sub)
					}
				}
			case "required":
				v.strings(e)
			}
			v.collect(e)
		}
	}
}

// strings adds the elements of a list of names.
func (v *vocabulary) strings(list any) {
	names, _ := list.([]any)
	for _, n := range names {
		if s, ok := n.(string); ok {
			v.known[s] = struct{}{}
		}
	}
}

// variant returns the first top-level member of doc whose name differs only by case from one the schema declares there.
// A Go upstream would take it for that one (encoding/json ignores case) while the schema and every check of ours looks
// past it.
func (v *vocabulary) variant(doc any) (string, bool) {
	m, _ := doc.(map[string]any)
	if len(m) == 0 || len(v.root) == 0 {
		return "", false
	}
	var found []string
	for name := range m {
		if _, ok := v.root[name]; ok {
			continue
		}
		if _, ok := v.fold[foldName(name)]; ok {
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		return "", false
	}
	return slices.Min(found), true
}

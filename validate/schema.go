package validate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
	"github.com/mantlet-go/mantlet/validate/internal/schema"
)

// compiled is a schema that is ready to judge documents: by a program that runs inside the scan, or by an engine that wants
// the document as a tree.
type compiled struct {
	program *schema.Program // nil when engine decides
	engine  Checker
	vocab   *vocabulary
}

// Dialects of JSON Schema that New accepts in $schema. Others are refused rather than read as something they are not.
const (
	draft2020 = "https://json-schema.org/draft/2020-12/schema"
	draft7    = "http://json-schema.org/draft-07/schema"
)

// vocabulary is what refusals need to know of a schema besides its verdict.
type vocabulary struct {
	known map[string]struct{} // every property name the schema declares anywhere: may be shown in a pointer
	root  map[string]struct{} // the names declared for the top-level object ...
	fold  map[string]struct{} // ... and the same, case-folded: for engines, which compare exact names
}

// compile reads a schema. Errors may quote it: they go to the developer, not to a client.
func compile(cfg *Config) (*compiled, error) {
	src := Source{Schema: cfg.Schema, Resources: cfg.Resources}
	if !cfg.SkipFormats {
		src.Formats = formats()
	}
	var faults []error
	doc, err := decode("Config.Schema", cfg.Schema)
	if err != nil {
		return nil, err
	}
	resources := map[string]any{}
	for _, u := range slices.Sorted(maps.Keys(cfg.Resources)) {
		at := fmt.Sprintf("Config.Resources[%q]", u)
		if parsed, err := url.Parse(u); err != nil || !parsed.IsAbs() || parsed.Fragment != "" {
			faults = append(faults, fmt.Errorf("%s: the name of a resource is an absolute URL without a fragment", at))
		}
		d, err := decode(at, cfg.Resources[u])
		if err != nil {
			faults = append(faults, err)
			continue
		}
		faults = append(faults, misspelt(at, d, "")...)
		resources[u] = d
	}
	if faults = append(faults, misspelt("Config.Schema", doc, "")...); len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	c := &compiled{vocab: newVocabulary(doc)}
	for _, d := range resources {
		c.vocab.collect(d)
	}
	if cfg.Engine != nil {
		if c.engine, err = cfg.Engine.Compile(src); err != nil {
			return nil, fmt.Errorf("Config.Schema: %w", err)
		}
		return c, nil
	}
	m, _ := doc.(map[string]any)
	if d, ok := m["$schema"]; ok {
		s, _ := d.(string)
		s = strings.TrimSuffix(s, "#") // draft 7 is usually written with an empty fragment
		if _, ours := resources[s]; s != draft2020 && s != draft7 && !ours {
			return nil, fmt.Errorf("Config.Schema: $schema %v: only %s and %s# are built in; a dialect of your own goes into Config.Resources, other drafts need Config.Engine (package validate/jsonschema6)", d, draft2020, draft7)
		}
	}
	// The engine's part is the meta-schema: whether the schema is one.
	engine, err := engineV5{}.Compile(src)
	if err != nil {
		return nil, fmt.Errorf("Config.Schema: %w", err)
	}
	c.program, err = schema.Compile(doc, schema.Options{Resources: resources, Formats: src.Formats})
	switch {
	case errors.Is(err, schema.ErrUnsupported):
		if at, ok := emptyEnum(doc, ""); ok {
			// It allows no value; the engine reads it as allowing every value.
			return nil, fmt.Errorf("Config.Schema at %s: an enum without values, in a schema that only the schema engine covers", at)
		}
		c.engine = engine
	case err != nil:
		return nil, fmt.Errorf("Config.Schema: %w", err)
	}
	return c, nil
}

// decode reads a schema document. Numbers stay text, so none loses precision.
func decode(at string, raw []byte) (any, error) {
	// The author's own duplicates are worth an error: of two "maxLength" members the engine would silently take the last.
	limits := jsonscan.Limits{Bytes: -1, Keys: -1, TotalKeys: -1, KeyLen: -1, ArrayLen: -1, StringLen: -1, Nodes: -1,
		AllowFoldCollisions: true}
	if err := jsonscan.Scan(raw, &limits, nil); err != nil {
		var se *jsonscan.Error
		if errors.As(err, &se) && se.Pointer != "" {
			at += " at " + se.Pointer
		}
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, fmt.Errorf("%s: %w", at, err)
	}
	switch v.(type) {
	case bool, map[string]any:
		return v, nil
	}
	return nil, fmt.Errorf("%s: a schema is an object or a boolean, not %s", at, bytes.TrimSpace(raw))
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
	m, _ := doc.(map[string]any)
	props, _ := m["properties"].(map[string]any)
	for name := range props {
		v.root[name] = struct{}{}
		v.fold[foldName(name)] = struct{}{}
	}
	return v
}

// variant returns the first top-level member of doc, in the order of their bytes, whose name differs only by case from one
// that the schema declares there. The program inside the scan does the same at every depth.
func (v *vocabulary) variant(doc any) (found string, ok bool) {
	m, _ := doc.(map[string]any)
	for name := range m {
		if _, declared := v.root[name]; declared || ok && found <= name {
			continue
		}
		if _, variant := v.fold[foldName(name)]; variant {
			found, ok = name, true
		}
	}
	return found, ok
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

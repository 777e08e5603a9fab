package validate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v5"
)

// engineV5 is santhosh-tekuri/jsonschema/v5 with its sharp edges covered: it loads nothing, a panic of its is a
// refusal, and its messages, which quote values, are never passed on.
type engineV5 struct {
	schema *jsonschema.Schema
	lists  []listV5
	doc    any // the schema document, to name a missing member
}

// listV5 is a top-level list whose elements are checked one by one.
type listV5 struct {
	name  string
	items *jsonschema.Schema
}

// schemaURL is the base of a schema without $id. It resolves relative references to a name that nothing can load.
const schemaURL = "mantlet:///schema.json"

// errRemote is what the engine hears when it asks for a document that is not part of the schema.
var errRemote = errors.New("references to files and other hosts are not followed; put the referenced schema under $defs")

// errEngine replaces whatever a panicking engine said.
var errEngine = errors.New("validate: the schema engine failed")

func compileV5(raw []byte, doc any) (c checker, err error) {
	// Patterns are compiled with regexp.MustCompile inside the engine; the meta-schema catches bad ones first, and this
	// catches the rest.
	defer func() {
		if r := recover(); r != nil {
			c, err = nil, fmt.Errorf("the schema engine panicked: %v", r)
		}
	}()
	whole, err := compilerV5(raw)
	if err != nil {
		return nil, err
	}
	e := &engineV5{doc: doc}
	if e.schema, err = whole.Compile(schemaURL); err != nil {
		return nil, err
	}
	names, rest := splitLists(doc)
	if len(names) == 0 {
		return e, nil
	}
	b, err := json.Marshal(rest)
	if err != nil {
		return nil, err
	}
	part, err := compilerV5(b)
	if err != nil {
		return nil, err
	}
	if e.schema, err = part.Compile(schemaURL); err != nil {
		return nil, err
	}
	slices.Sort(names)
	for _, name := range names {
		items, err := whole.Compile(schemaURL + "#/properties/" + url.PathEscape(escapePointer.Replace(name)) + "/items")
		if err != nil {
			return nil, err
		}
		e.lists = append(e.lists, listV5{name, items})
	}
	return e, nil
}

// compilerV5 returns a compiler that knows the schema and nothing else.
func compilerV5(raw []byte) (*jsonschema.Compiler, error) {
	comp := jsonschema.NewCompiler()
	comp.Draft = jsonschema.Draft2020
	comp.AssertFormat = true
	// Without this the engine opens file: URLs, and through its package-global Loaders whatever another package
	// registered.
	comp.LoadURL = func(s string) (io.ReadCloser, error) { return nil, fmt.Errorf("%q: %w", s, errRemote) }
	for name, holds := range formats {
		comp.Formats[name] = func(v any) bool {
			s, ok := v.(string)
			return !ok || holds(s)
		}
	}
	return comp, comp.AddResource(schemaURL, bytes.NewReader(raw))
}

// check fails closed: a panic, an endless loop in the schema or an answer of an unknown kind is a violation.
func (e *engineV5) check(doc any) (v *violation) {
	defer func() {
		if recover() != nil {
			v = &violation{cause: errEngine}
		}
	}()
	if v := e.one(e.schema, doc); v != nil {
		return v
	}
	object, _ := doc.(map[string]any)
	for _, l := range e.lists {
		list, _ := object[l.name].([]any)
		for i, element := range list {
			if v := e.one(l.items, element); v != nil {
				if v.cause != errEngine { // an engine that failed names no place
					v.path = append([]string{l.name, strconv.Itoa(i)}, v.path...)
				}
				return v
			}
		}
	}
	return nil
}

// one asks one schema about one value; the path of the violation begins there.
func (e *engineV5) one(s *jsonschema.Schema, value any) *violation {
	if sure(s, value, 0) == right {
		return nil
	}
	err := s.Validate(value)
	if err == nil {
		return nil
	}
	var ve *jsonschema.ValidationError
	if !errors.As(err, &ve) {
		return &violation{cause: errEngine}
	}
	leaf := relevant(ve)
	v := &violation{path: tokens(leaf.InstanceLocation), keyword: keywordOf(leaf)}
	if v.keyword == "required" {
		v.missing = e.missing(leaf, v.path, value)
	}
	if v.keyword == "additionalProperties" {
		if name, ok := e.extra(leaf, v.path, value); ok {
			v.cause = strangeMember(name)
		}
	}
	return v
}

// relevant picks the one failure to report, always the same one for the same document: the engine walks maps, so the
// order of its list means nothing. Failures nearer to the root come first.
func relevant(ve *jsonschema.ValidationError) *jsonschema.ValidationError {
	if len(ve.Causes) == 0 {
		return ve
	}
	switch kw := lastToken(ve.KeywordLocation); {
	case ve.Message == "": // a list of failures, not one
	case kw == "contains" || kw == "minContains":
		return ve // the element that is missing is none of those that are there
	case kw == "anyOf" || kw == "oneOf":
		// Of alternatives, only the one that the value was meant to be is worth reporting. Those of another type, or
		// with another tag ("type": "text"), were not meant.
		var meant *jsonschema.ValidationError
		for _, c := range ve.Causes {
			if mismatch(c, ve.InstanceLocation) {
				continue
			}
			if meant != nil {
				return ve
			}
			meant = c
		}
		if meant == nil {
			return ve
		}
		return relevant(meant)
	}
	var best *jsonschema.ValidationError
	for _, c := range ve.Causes {
		if r := relevant(c); best == nil || before(r, best) {
			best = r
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

// mismatch reports whether the failed alternative rejects the value at loc as a whole: by its type, or by a constant
// there or in one of its members.
func mismatch(ve *jsonschema.ValidationError, loc string) bool {
	if len(ve.Causes) == 0 {
		switch lastToken(ve.KeywordLocation) {
		case "type":
			return ve.InstanceLocation == loc
		case "const", "enum":
			rest, ok := strings.CutPrefix(ve.InstanceLocation, loc)
			return ok && strings.Count(rest, "/") <= 1
		}
		return false
	}
	for _, c := range ve.Causes {
		if mismatch(c, loc) {
			return true
		}
	}
	return false
}

// keywordOf names the keyword that failed. Only names this package has a sentence for come out: the last token of a
// location can be a property name too.
func keywordOf(leaf *jsonschema.ValidationError) string {
	if leaf.Message == "not allowed" { // the schema false, whose location ends in whatever holds it
		if kw := lastToken(leaf.KeywordLocation); kw == "additionalProperties" || kw == "unevaluatedProperties" {
			return kw
		}
		return "not"
	}
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

// missing names the first member of a required list that the object lacks. The engine only says so in prose; the list
// itself is in the schema, at the keyword's location.
func (e *engineV5) missing(leaf *jsonschema.ValidationError, path []string, doc any) string {
	_, fragment, _ := strings.Cut(leaf.AbsoluteKeywordLocation, "#")
	list, _ := lookup(e.doc, tokens(fragment)).([]any)
	object, ok := lookup(doc, path).(map[string]any)
	if !ok {
		return ""
	}
	for _, n := range list {
		if name, ok := n.(string); ok {
			if _, there := object[name]; !there {
				return name
			}
		}
	}
	return ""
}

// extra names a member that additionalProperties does not allow: of several, the first in the order of their bytes. Like
// missing it reads the schema and the object, because the engine only says so in prose.
func (e *engineV5) extra(leaf *jsonschema.ValidationError, path []string, doc any) (string, bool) {
	_, fragment, _ := strings.Cut(leaf.AbsoluteKeywordLocation, "#")
	at := tokens(fragment)
	if len(at) == 0 {
		return "", false
	}
	schema, _ := lookup(e.doc, at[:len(at)-1]).(map[string]any)
	if open, ok := schema["additionalProperties"].(bool); !ok || open {
		return "", false // below an $id of its own a location leads elsewhere
	}
	properties, _ := schema["properties"].(map[string]any)
	named, _ := schema["patternProperties"].(map[string]any)
	var patterns []*regexp.Regexp
	for p := range named {
		if re, err := regexp.Compile(p); err == nil {
			patterns = append(patterns, re)
		}
	}
	object, _ := lookup(doc, path).(map[string]any)
	first, found := "", false
	for name := range object {
		if _, ok := properties[name]; ok || found && name > first {
			continue
		}
		if !slices.ContainsFunc(patterns, func(re *regexp.Regexp) bool { return re.MatchString(name) }) {
			first, found = name, true
		}
	}
	return first, found
}

// lookup follows reference tokens through a decoded document; nil when they lead nowhere.
func lookup(doc any, path []string) any {
	for _, tok := range path {
		switch d := doc.(type) {
		case map[string]any:
			doc = d[tok]
		case []any:
			i, err := strconv.Atoi(tok)
			if err != nil || i < 0 || i >= len(d) {
				return nil
			}
			doc = d[i]
		default:
			return nil
		}
	}
	return doc
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

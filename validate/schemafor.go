package validate

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// SchemaFor returns the JSON Schema (draft 2020-12) of what encoding/json reads into a T and writes from one, so that the type
// of a handler can be the contract of its route:
//
//	schema, err := validate.SchemaFor[Request]()
//	v, err := validate.New(validate.Config{Schema: schema})
//	mux.Handle("POST /ask", validate.Handle(v, func(w http.ResponseWriter, r *http.Request, body Request) { ... }))
//
// The same T always gives the same bytes. The error joins all faults and names the fields. The rules:
//
//   - A struct is an object with the members that encoding/json knows (tags, embedded structs, hidden names) and no others. A
//     member is required unless its tag says omitempty or omitzero or it comes through an embedded pointer.
//   - Integers have the range of their kind; int and uint count as 64 bits wide. JSON Schema takes 1.0 for an integer,
//     encoding/json does not, so [Body] refuses it.
//   - A slice is an array, an array one of exactly its length, []byte a string in base64, a map with string keys an object.
//   - Pointers, slices and maps accept null, which encoding/json writes for nil, unless the constraints say nonnull, or minItems
//     or minProperties of at least 1. T itself is never null.
//   - time.Time is a string of format date-time, json.Number a number, json.RawMessage and any are any value. The option
//     string makes a string of a number or boolean.
//   - A type that reads and writes itself as text (encoding.TextMarshaler on the value, TextUnmarshaler on the pointer) is a
//     string. One with MarshalJSON or UnmarshalJSON can be anything, so it needs a method JSONSchema() []byte, which any type may
//     have, that returns its own schema without references. A method Validate is not looked at.
//   - A struct that occurs more than once, or in itself, stands under $defs.
//   - Channels, functions, complex numbers, interfaces with methods, maps with other keys, two members of a struct whose names
//     differ only by case (no body may hold both), and named types that contain themselves without a struct are errors.
//
// Constraints are in the tag validate, separated by commas, as keyword=value in the words of JSON Schema; those of the elements
// of a slice or array begin with "items.", those of the values of a map with "values.":
//
//	Prompt string            `json:"prompt" validate:"minLength=1,maxLength=4000"`
//	Role   string            `json:"role" validate:"enum=user|assistant"`
//	N      int               `json:"n,omitempty" validate:"minimum=1,maximum=8" doc:"How many answers."`
//	Stop   []string          `json:"stop,omitempty" validate:"maxItems=4,items.maxLength=16,items.pattern=^[^,]{1,16}$"`
//	Labels map[string]string `json:"labels,omitempty" validate:"maxProperties=8,values.maxLength=64"`
//
//	string                   minLength maxLength (in characters) pattern (RE2) format enum
//	text, []byte             minLength maxLength, of the text; for a type of text also pattern format enum
//	integer and number       minimum maximum exclusiveMinimum exclusiveMaximum multipleOf enum
//	slice                    minItems maxItems uniqueItems (no value)
//	map                      minProperties maxProperties
//	pointer, slice, map      nonnull (no value)
//
// The constraints of a pointer are those of what it points to. The values of enum are separated by "|" and cannot hold that or a
// comma. pattern takes the rest of the tag, commas included. The tag doc is the description. An unknown or misplaced
// constraint, and one that no value can satisfy together with another, is an error: it would be believed to hold.
func SchemaFor[T any]() ([]byte, error) {
	t := reflect.TypeFor[T]()
	if t.Kind() == reflect.Pointer && t.Name() == "" {
		t = t.Elem()
	}
	at := t.String()
	if t.Kind() == reflect.Struct && t.Name() == "" {
		at = "struct" // its String is its whole declaration
	}
	b := inference{root: t, uses: map[reflect.Type]int{}, refs: map[reflect.Type]string{}, defs: node{}}
	b.count(t, at, nil)
	if len(b.faults) > 0 {
		return nil, errors.Join(b.faults...)
	}
	n, _ := b.value(t, nil, at)
	if len(b.faults) > 0 {
		return nil, errors.Join(b.faults...)
	}
	n["$schema"] = draft2020
	if len(b.defs) > 0 {
		n["$defs"] = b.defs
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false) // patterns are for people, too
	if err := e.Encode(n); err != nil {
		return nil, fmt.Errorf("validate: SchemaFor: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

// node is a schema. encoding/json writes its keywords in order, so equal nodes are equal bytes.
type node map[string]any

// inference makes the schema of one type.
type inference struct {
	root   reflect.Type
	uses   map[reflect.Type]int    // of each named struct
	refs   map[reflect.Type]string // of those that stand under $defs, by reference
	defs   node
	faults []error
}

func (b *inference) fault(at, format string, a ...any) {
	b.faults = append(b.faults, fmt.Errorf("validate: SchemaFor: %s: %w", at, fmt.Errorf(format, a...)))
}

var (
	marshaler     = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
	schemer       = reflect.TypeFor[interface{ JSONSchema() []byte }]()
)

// implements reports whether t or a pointer to it has the methods of i. (An interface type has those it declares.)
func implements(t, i reflect.Type) bool {
	return t.Kind() != reflect.Interface && (t.Implements(i) || reflect.PointerTo(t).Implements(i))
}

// custom reports whether a type has a form of its own, whatever its kind.
func custom(t reflect.Type) bool {
	return t == reflect.TypeFor[json.Number]() || implements(t, schemer) || implements(t, marshaler) || implements(t, unmarshaler) ||
		implements(t, textMarshaler) || implements(t, textUnmarshaler)
}

// isBytes reports whether encoding/json writes a slice as base64.
func isBytes(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t.Elem().Kind() == reflect.Uint8 && !custom(t.Elem())
}

// count counts the uses of structs. through holds the named types since the last struct: one that comes again has no end.
func (b *inference) count(t reflect.Type, at string, through []reflect.Type) {
	if custom(t) {
		return
	}
	if t.Name() != "" && slices.Contains(through, t) {
		b.fault(at, "%v contains itself without a struct between", t)
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		if t.Name() != "" {
			if b.uses[t]++; b.uses[t] > 1 {
				return
			}
		}
		for _, f := range fieldsOf(t) {
			b.count(f.of.Type, at+"."+f.of.Name, nil)
		}
	case reflect.Pointer:
		b.count(t.Elem(), at, append(slices.Clone(through), t))
	case reflect.Slice, reflect.Array, reflect.Map:
		b.count(t.Elem(), at+"[]", append(slices.Clone(through), t))
	}
}

// slot returns the schema of what stands in a place: of the type, or null where encoding/json writes that.
func (b *inference) slot(t reflect.Type, rules []rule, at string) node {
	nonnull := false
	rules = slices.DeleteFunc(slices.Clone(rules), func(r rule) bool {
		if r.key == "nonnull" && r.value == "" {
			nonnull = true
			return true
		}
		return false
	})
	n, null := b.value(t, rules, at)
	if nonnull && !null {
		b.fault(at, "nonnull: %v is never null", t)
	}
	for _, least := range []string{"minItems", "minProperties"} {
		if v, ok := n[least].(json.Number); ok && v != "0" {
			nonnull = true
		}
	}
	if !null || nonnull || len(n) == 0 {
		return n
	}
	kind, ok := n["type"].(string)
	if !ok || implements(t, schemer) { // whatever else a type says of itself speaks of its own values
		return node{"anyOf": []node{n, {"type": "null"}}}
	}
	n["type"] = []string{kind, "null"}
	if values, ok := n["enum"].([]any); ok {
		n["enum"] = append(values, nil)
	}
	return n
}

// value returns the schema of a type, and whether encoding/json writes null for a nil one.
func (b *inference) value(t reflect.Type, rules []rule, at string) (n node, null bool) {
	switch {
	case t.Kind() == reflect.Pointer:
		n, _ := b.value(t.Elem(), rules, at)
		return n, true
	case t == reflect.TypeFor[time.Time]():
		return b.constrain(node{"type": "string", "format": "date-time"}, t, rules, at), false
	case t == reflect.TypeFor[json.Number]():
		return b.constrain(node{"type": "number"}, t, rules, at, numeric...), false
	case t == reflect.TypeFor[json.RawMessage]():
		return b.constrain(node{}, t, rules, at), false
	case implements(t, schemer):
		return b.own(t, rules, at), false
	case implements(t, marshaler), implements(t, unmarshaler):
		b.fault(at, "%v has a MarshalJSON or UnmarshalJSON of its own, so that only a method JSONSchema() []byte can tell its form", t)
		return node{}, false
	case implements(t, textMarshaler), implements(t, textUnmarshaler):
		if !t.Implements(textMarshaler) || !reflect.PointerTo(t).Implements(textUnmarshaler) {
			b.fault(at, "%v does not both write itself as text (MarshalText on the value) and read itself (UnmarshalText)", t)
		}
		return b.constrain(node{"type": "string"}, t, rules, at, textual...), false
	}
	switch t.Kind() {
	case reflect.Bool:
		return b.constrain(node{"type": "boolean"}, t, rules, at), false
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		low := int64(math.MinInt64) >> (64 - bits(t))
		return b.constrain(node{"type": "integer", "minimum": number(low), "maximum": number(-(low + 1))}, t, rules, at, numeric...), false
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		high := uint64(math.MaxUint64) >> (64 - bits(t))
		return b.constrain(node{"type": "integer", "minimum": number(0), "maximum": number(high)}, t, rules, at, numeric...), false
	case reflect.Float32, reflect.Float64:
		return b.constrain(node{"type": "number"}, t, rules, at, numeric...), false
	case reflect.String:
		return b.constrain(node{"type": "string"}, t, rules, at, textual...), false
	case reflect.Interface:
		if t.NumMethod() == 0 {
			return b.constrain(node{}, t, rules, at), false
		}
	case reflect.Struct:
		return b.constrain(b.object(t, at), t, rules, at), false
	case reflect.Slice:
		if isBytes(t) {
			n := node{"type": "string", "contentEncoding": "base64", "pattern": base64Pattern}
			return b.constrain(n, t, rules, at, "minLength", "maxLength"), true
		}
		inner, rules := below("items.", rules)
		n := node{"type": "array", "items": b.slot(t.Elem(), inner, at+"[]")}
		return b.constrain(n, t, rules, at, "minItems", "maxItems", "uniqueItems"), true
	case reflect.Array:
		inner, rules := below("items.", rules)
		n := node{"type": "array", "items": b.slot(t.Elem(), inner, at+"[]"), "minItems": number(t.Len()), "maxItems": number(t.Len())}
		return b.constrain(n, t, rules, at, "uniqueItems"), false
	case reflect.Map:
		if k := t.Key(); k.Kind() == reflect.String && !implements(k, textMarshaler) && !implements(k, textUnmarshaler) {
			inner, rules := below("values.", rules)
			n := node{"type": "object", "additionalProperties": b.slot(t.Elem(), inner, at+"[]")}
			return b.constrain(n, t, rules, at, "minProperties", "maxProperties"), true
		}
	}
	b.fault(at, "%v has no form in JSON here", t)
	return node{}, false
}

// object returns the schema of a struct, or a reference to it.
func (b *inference) object(t reflect.Type, at string) node {
	if b.uses[t] > 1 {
		if ref, ok := b.refs[t]; ok {
			return node{"$ref": ref}
		}
		if t == b.root {
			b.refs[t] = "#"
		} else {
			name := b.name(t)
			b.refs[t] = "#/$defs/" + name
			b.defs[name] = node{} // taken: below there may be others of the name
			b.defs[name] = b.members(t, at)
			return node{"$ref": b.refs[t]}
		}
	}
	return b.members(t, at)
}

// name returns a free name under $defs.
func (b *inference) name(t reflect.Type) string {
	base := regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(t.Name(), "_")
	name := base
	for i := 2; b.defs[name] != nil; i++ {
		name = base + "_" + strconv.Itoa(i)
	}
	return name
}

func (b *inference) members(t reflect.Type, at string) node {
	properties, required, folded := node{}, []string{}, map[string]string{}
	fields := fieldsOf(t)
	for i := range t.NumField() {
		// Of fields that are hidden, ignored or embedded nothing reaches the schema.
		if _, ok := t.Field(i).Tag.Lookup("validate"); ok && !slices.ContainsFunc(fields, func(f field) bool { return slices.Equal(f.index, []int{i}) }) {
			b.fault(at+"."+t.Field(i).Name, "constraints of a field that is no member")
		}
	}
	for _, f := range fields {
		here := at + "." + f.of.Name
		if f.locked {
			b.fault(here, "stands behind an embedded pointer to an unexported struct, where encoding/json cannot write")
		}
		if other, ok := folded[foldName(f.name)]; ok {
			b.fault(here, "the names %q and %q differ only by case, so that no body may hold both", other, f.name)
		}
		folded[foldName(f.name)] = f.name
		rules, err := parseRules(f.of.Tag.Get("validate"))
		if err != nil {
			b.fault(here, "%w", err)
		}
		var n node
		if f.quoted {
			n = b.quoted(f.of.Type, rules, here)
		} else {
			n = b.slot(f.of.Type, rules, here)
		}
		if doc := f.of.Tag.Get("doc"); doc != "" {
			n["description"] = doc
		}
		properties[f.name] = n
		if !f.optional {
			required = append(required, f.name)
		}
	}
	n := node{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		n["required"] = required
	}
	return n
}

const (
	integerPattern = `^-?(0|[1-9][0-9]*)$`
	numberPattern  = `^-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?$`
	// base64Pattern is standard base64 with padding (RFC 4648 section 4), as encoding/json writes it. It also reads line
	// breaks in it; the pattern does not.
	base64Pattern = `^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$`
)

// quoted returns the schema of a field with the option string.
func (b *inference) quoted(t reflect.Type, rules []rule, at string) node {
	null := t.Kind() == reflect.Pointer
	if null {
		t = t.Elem()
	}
	n := node{"type": "string"}
	switch kind := t.Kind(); {
	case custom(t) && t != reflect.TypeFor[json.Number]():
		b.fault(at, "the option string does not go with the own form of %v", t)
	case kind == reflect.Bool:
		n["pattern"] = "^(true|false)$"
	case kind == reflect.Float32, kind == reflect.Float64, kind == reflect.String && custom(t):
		n["pattern"] = numberPattern
	case kind == reflect.String:
		n["pattern"] = `^".*"$` // JSON in JSON
	default:
		n["pattern"] = integerPattern
	}
	b.constrain(n, t, rules, at)
	if null {
		n["type"] = []string{"string", "null"}
	}
	return n
}

// own returns the schema that a type gives itself.
func (b *inference) own(t reflect.Type, rules []rule, at string) node {
	var schema any
	d := json.NewDecoder(bytes.NewReader(reflect.New(t).Interface().(interface{ JSONSchema() []byte }).JSONSchema()))
	d.UseNumber()
	if err := d.Decode(&schema); err != nil {
		b.fault(at, "the JSONSchema of %v: %w", t, err)
	}
	n := node{}
	switch schema := schema.(type) {
	case map[string]any:
		n = schema
	case bool:
		if !schema {
			n["not"] = node{}
		}
	default:
		b.fault(at, "the JSONSchema of %v is neither an object nor a boolean", t)
	}
	return b.constrain(n, t, rules, at)
}

// rule is one constraint of a tag.
type rule struct{ key, value string }

// parseRules splits a tag.
func parseRules(tag string) ([]rule, error) {
	var rules []rule
	for tag != "" {
		var part string
		part, rest, more := strings.Cut(tag, ",")
		key, value, _ := strings.Cut(part, "=")
		if key == "pattern" || strings.HasSuffix(key, ".pattern") {
			_, value, _ = strings.Cut(tag, "=")
			rest, more = "", false
		}
		if slices.ContainsFunc(rules, func(r rule) bool { return r.key == key }) {
			return nil, fmt.Errorf("the constraint %q is there twice", key)
		}
		if key == "" || more && rest == "" {
			return nil, errors.New("an empty constraint")
		}
		rules = append(rules, rule{key, value})
		tag = rest
	}
	return rules, nil
}

// below splits rules into those of what is inside, without their prefix, and the others.
func below(prefix string, rules []rule) (inside, others []rule) {
	for _, r := range rules {
		if key, ok := strings.CutPrefix(r.key, prefix); ok {
			inside = append(inside, rule{key, r.value})
		} else {
			others = append(others, r)
		}
	}
	return inside, others
}

var (
	numeric = []string{"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "enum"}
	textual = []string{"minLength", "maxLength", "pattern", "format", "enum"}
)

// constrain adds the rules to the schema of a t, which takes the allowed keywords.
func (b *inference) constrain(n node, t reflect.Type, rules []rule, at string, allowed ...string) node {
	for _, r := range rules {
		if !slices.Contains(allowed, r.key) {
			b.fault(at, "the constraint %q does not go with %v, which takes %s (values of enum are separated by |)", r.key, t, strings.Join(allowed, ", "))
			continue
		}
		v, err := constraint(n, t, r)
		if err != nil {
			b.fault(at, "the constraint %s=%s: %w", r.key, r.value, err)
			continue
		}
		n[r.key] = v
	}
	for _, pair := range [][2]string{{"minLength", "maxLength"}, {"minItems", "maxItems"}, {"minProperties", "maxProperties"},
		{"minimum", "maximum"}, {"exclusiveMinimum", "maximum"}, {"minimum", "exclusiveMaximum"}, {"exclusiveMinimum", "exclusiveMaximum"}} {
		low, ok := n[pair[0]].(json.Number)
		high, ok2 := n[pair[1]].(json.Number)
		if !ok || !ok2 || len(rules) == 0 {
			continue
		}
		l, _ := low.Float64()
		h, _ := high.Float64()
		if l > h || low == high && strings.Contains(pair[0]+pair[1], "exclusive") {
			b.fault(at, "%s=%s and %s=%s leave no value", pair[0], low, pair[1], high)
		}
	}
	return n
}

// constraint returns the value of a keyword.
func constraint(n node, t reflect.Type, r rule) (any, error) {
	switch r.key {
	case "uniqueItems":
		if r.value != "" {
			return nil, errors.New("takes no value")
		}
		return true, nil
	case "pattern":
		_, err := regexp.Compile(r.value)
		return r.value, err
	case "format":
		if _, known := formats()[r.value]; !known {
			return nil, errors.New("nobody checks this format")
		}
		return r.value, nil
	case "enum":
		var values []any
		for text := range strings.SplitSeq(r.value, "|") {
			var v any = text
			if n["type"] != "string" {
				var err error
				if v, err = numberOf(text, t); err != nil {
					return nil, err
				}
			}
			if text == "" || slices.Contains(values, v) {
				return nil, errors.New("a value is empty or there twice")
			}
			values = append(values, v)
		}
		return values, nil
	case "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf":
		v, err := numberOf(r.value, t)
		if err == nil && r.key == "multipleOf" {
			if f, _ := v.Float64(); f <= 0 {
				return nil, errors.New("want a number above 0")
			}
		}
		return v, err
	default: // a count
		if v, err := strconv.ParseUint(r.value, 10, 31); err != nil || strconv.FormatUint(v, 10) != r.value {
			return nil, errors.New("want a number of 0 or more")
		}
		return json.Number(r.value), nil
	}
}

// numberOf reads a number that fits the kind of t.
func numberOf(s string, t reflect.Type) (json.Number, error) {
	err := errors.New("want a number in the form of JSON")
	if isNumber(s) {
		switch t.Kind() {
		case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
			_, err = strconv.ParseInt(s, 10, bits(t))
		case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
			_, err = strconv.ParseUint(s, 10, bits(t))
		case reflect.Float32:
			_, err = strconv.ParseFloat(s, 32)
		default:
			_, err = strconv.ParseFloat(s, 64)
		}
	}
	return json.Number(s), err
}

// bits is the width of a kind of integer. int and uint have 64, whatever machine writes the schema.
func bits(t reflect.Type) int {
	switch t.Kind() {
	case reflect.Int, reflect.Uint, reflect.Uintptr:
		return 64
	}
	return t.Bits()
}

func number[N int | int64 | uint64](n N) json.Number { return json.Number(fmt.Sprint(n)) }

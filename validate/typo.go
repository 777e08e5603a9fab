package validate

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// How a keyword of JSON Schema holds other schemas.
type holds uint8

const (
	holdsNone   holds = iota // data, or nothing below it
	holdsSchema              // one schema, or a list of them
	holdsMap                 // schemas by a name of the author's
)

// keywords are those of drafts 2020-12 and 7, and OpenAPI's "example", which looks like a slip of "examples" and is none.
var keywords = map[string]holds{
	"$anchor": 0, "$comment": 0, "$dynamicAnchor": 0, "$dynamicRef": 0, "$id": 0, "$ref": 0, "$schema": 0, "$vocabulary": 0,
	"const": 0, "contentEncoding": 0, "contentMediaType": 0, "default": 0, "dependentRequired": 0, "deprecated": 0,
	"description": 0, "enum": 0, "example": 0, "examples": 0, "exclusiveMaximum": 0, "exclusiveMinimum": 0, "format": 0,
	"maxContains": 0, "maxItems": 0, "maxLength": 0, "maxProperties": 0, "maximum": 0, "minContains": 0, "minItems": 0,
	"minLength": 0, "minProperties": 0, "minimum": 0, "multipleOf": 0, "pattern": 0, "readOnly": 0, "required": 0, "title": 0,
	"type": 0, "uniqueItems": 0, "writeOnly": 0,

	"additionalItems": holdsSchema, "additionalProperties": holdsSchema, "allOf": holdsSchema, "anyOf": holdsSchema,
	"contains": holdsSchema, "contentSchema": holdsSchema, "else": holdsSchema, "if": holdsSchema, "items": holdsSchema,
	"not": holdsSchema, "oneOf": holdsSchema, "prefixItems": holdsSchema, "propertyNames": holdsSchema, "then": holdsSchema,
	"unevaluatedItems": holdsSchema, "unevaluatedProperties": holdsSchema,

	"$defs": holdsMap, "definitions": holdsMap, "dependencies": holdsMap, "dependentSchemas": holdsMap,
	"patternProperties": holdsMap, "properties": holdsMap,
}

// misspelt returns one fault for each keyword of a schema that is unknown and looks like a known one. The specification
// wants unknown keywords ignored, so that {"requird":["model"]} demands nothing and tells nobody. Names of the author's own
// are left alone: those far from every keyword, short ones, and those that begin with "x-".
func misspelt(doc string, node any, at string) []error {
	var faults []error
	switch node := node.(type) {
	case []any:
		for i, e := range node {
			faults = append(faults, misspelt(doc, e, at+"/"+strconv.Itoa(i))...)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(node)) {
			here := at + "/" + escapePointer.Replace(name)
			kind, known := keywords[name]
			format, isFormat := node[name].(string)
			switch {
			case name == "format" && isFormat:
				if meant := meantFormat(format); meant != "" {
					faults = append(faults, fmt.Errorf("%s at %s: unknown format %q, which would be ignored: %q is meant", doc, here, format, meant))
				}
			case !known:
				if meant := meantKeyword(name); meant != "" {
					faults = append(faults, fmt.Errorf("%s at %s: unknown keyword %q, which would be ignored: %q is meant", doc, here, name, meant))
				}
			case kind == holdsSchema:
				faults = append(faults, misspelt(doc, node[name], here)...)
			case kind == holdsMap:
				members, _ := node[name].(map[string]any)
				for _, member := range slices.Sorted(maps.Keys(members)) {
					faults = append(faults, misspelt(doc, members[member], here+"/"+escapePointer.Replace(member))...)
				}
			}
		}
	}
	return faults
}

// meantFormat returns the known format that name is a slip of, "" for none. Short names of others' formats (byte, int32) are left
// alone like short keywords.
func meantFormat(name string) string {
	known := formats()
	if _, ok := known[name]; ok || len(name) < 5 || name == "idn-email" || name == "idn-hostname" {
		return ""
	}
	best, meant := 3, ""
	for _, k := range slices.Sorted(maps.Keys(known)) {
		if d := distance(name, k); d < best && (d == 1 || len(k) >= 5) {
			best, meant = d, k
		}
	}
	return meant
}

// meantKeyword returns the known keyword that name is a slip of, "" for none. Two slips turn a word of four letters into nearly any
// other, so short keywords forgive only one.
func meantKeyword(name string) string {
	if len(name) < 5 || len(name) > 24 || strings.HasPrefix(name, "x-") {
		return ""
	}
	best, meant := 3, ""
	for _, k := range slices.Sorted(maps.Keys(keywords)) {
		d := distance(name, k)
		if d < best && (d == 1 || len(k) >= 5) {
			best, meant = d, k
		}
	}
	return meant
}

// distance is the edit distance of Levenshtein, in bytes.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			d := diagonal
			if a[i] != b[j] {
				d = 1 + min(diagonal, row[j], row[j+1])
			}
			diagonal, row[j+1] = row[j+1], d
		}
	}
	return row[len(b)]
}

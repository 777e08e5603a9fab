package validate

import (
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// field is a member of a Go struct as encoding/json sees it.
type field struct {
	name     string // of the member
	of       reflect.StructField
	index    []int // where it stands, through embedded structs
	tagged   bool  // the name is from the tag
	optional bool  // encoding/json may leave it out: omitempty, omitzero, or behind an embedded pointer
	quoted   bool  // the option string
	locked   bool  // behind an embedded pointer to an unexported struct, where encoding/json cannot write
}

// fieldsOf returns the members of a struct type in the order of their declaration, by the rules of encoding/json: of several
// fields with one name the least deeply embedded counts, then the one named by a tag, then none.
func fieldsOf(t reflect.Type) []field {
	type embedded struct {
		typ              reflect.Type
		index            []int
		optional, locked bool
	}
	var fields []field
	level := []embedded{{typ: t}}
	times := map[reflect.Type]int{t: 1} // how often a type is embedded on this level
	visited := map[reflect.Type]bool{}
	decided := map[string]bool{}
	for len(level) > 0 {
		var next []embedded
		nextTimes := map[reflect.Type]int{}
		candidates := map[string][]field{}
		for _, e := range level {
			if visited[e.typ] {
				continue
			}
			visited[e.typ] = true
			for i := range e.typ.NumField() {
				sf := e.typ.Field(i)
				tag := sf.Tag.Get("json")
				ft := sf.Type
				if ft.Kind() == reflect.Pointer && ft.Name() == "" {
					ft = ft.Elem()
				}
				if tag == "-" || !sf.IsExported() && !(sf.Anonymous && ft.Kind() == reflect.Struct) {
					continue
				}
				name, options, _ := strings.Cut(tag, ",")
				if !validName(name) {
					name = ""
				}
				index := append(slices.Clone(e.index), i)
				if name == "" && sf.Anonymous && ft.Kind() == reflect.Struct {
					if nextTimes[ft]++; nextTimes[ft] == 1 {
						pointer := sf.Type.Kind() == reflect.Pointer
						next = append(next, embedded{ft, index, e.optional || pointer, e.locked || pointer && !sf.IsExported()})
					}
					continue
				}
				f := field{name: name, of: sf, index: index, tagged: name != "", optional: e.optional, locked: e.locked}
				if name == "" {
					f.name = sf.Name
				}
				for option := range strings.SplitSeq(options, ",") {
					switch option {
					case "omitempty", "omitzero":
						f.optional = true
					case "string":
						f.quoted = ft.Kind() >= reflect.Bool && ft.Kind() <= reflect.Float64 || ft.Kind() == reflect.String
					}
				}
				candidates[f.name] = append(candidates[f.name], f)
				if times[e.typ] > 1 { // it stands there more than once: its fields hide each other
					candidates[f.name] = append(candidates[f.name], f)
				}
			}
		}
		for name, list := range candidates {
			if decided[name] {
				continue
			}
			decided[name] = true
			if tagged := slices.DeleteFunc(slices.Clone(list), func(f field) bool { return !f.tagged }); len(tagged) > 0 {
				list = tagged
			}
			if len(list) == 1 {
				fields = append(fields, list[0])
			}
		}
		level, times = next, nextTimes
	}
	slices.SortFunc(fields, func(a, b field) int { return slices.Compare(a.index, b.index) })
	return fields
}

// validName reports whether encoding/json takes a name from a tag.
func validName(s string) bool {
	for _, c := range s {
		if !strings.ContainsRune("!#$%&()*+-./:;<=>?@[]^_{|}~ ", c) && !unicode.IsLetter(c) && !unicode.IsDigit(c) {
			return false
		}
	}
	return s != ""
}

package validate

import (
	"encoding/json"
	"math/big"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v5"
)

// The engine allocates for every schema it applies, whatever the answer. Nearly all requests are good, and nearly all
// schemas use the same few keywords, so the question "is this value certainly right?" is asked first, with the engine's
// own compiled schema and without an allocation. Only a value that is certainly right skips the engine: every refusal,
// its reason and every doubt are the engine's.

// answer is what sure says about one value.
type answer uint8

const (
	doubt answer = iota // a keyword or a number that is not understood here
	right               // the engine accepts the value
	wrong               // the engine refuses the value
)

// maxInPlace bounds how many schemas may be applied to one value inside of each other. The engine refuses a value under
// a schema that refers to itself without going down in the value; here such a schema runs into this bound.
const maxInPlace = 32

// sure answers for the engine, which then would say nothing else. To be exact it looks at all that the engine looks at,
// in particular at all alternatives of anyOf when one fits already: in another one the engine may meet an endless loop,
// which is a refusal. It looks at nothing else, so that it never costs more than the engine.
func sure(s *jsonschema.Schema, v any, inPlace int) answer {
	if inPlace > maxInPlace {
		return doubt
	}
	if s.Always != nil {
		return of(*s.Always)
	}
	if len(s.Types) > 0 {
		if a := hasType(s.Types, v); a != right {
			return a // here the engine returns at once as well
		}
	}
	if s.Format != "" || s.RecursiveRef != nil || s.DynamicRef != nil || len(s.Extensions) > 0 {
		return doubt
	}
	c := right
	if len(s.Constant) > 0 {
		c = both(c, listed(s.Constant[:1], v))
	}
	if len(s.Enum) > 0 {
		c = both(c, listed(s.Enum, v))
	}
	switch v := v.(type) {
	case map[string]any:
		c = both(c, sureObject(s, v))
	case []any:
		c = both(c, sureArray(s, v))
	case string:
		c = both(c, sureString(s, v))
	case json.Number:
		c = both(c, sureNumber(s, v))
	}
	if c != doubt && s.Ref != nil {
		c = both(c, sure(s.Ref, v, inPlace+1))
	}
	if c != doubt && s.Not != nil {
		c = both(c, not(sure(s.Not, v, inPlace+1)))
	}
	for _, sub := range s.AllOf {
		if c == doubt {
			return doubt
		}
		c = both(c, sure(sub, v, inPlace+1))
	}
	if c != doubt && len(s.AnyOf) > 0 {
		c = both(c, alternatives(s.AnyOf, v, inPlace, len(s.AnyOf)))
	}
	if c != doubt && len(s.OneOf) > 0 {
		c = both(c, alternatives(s.OneOf, v, inPlace, 1))
	}
	if c != doubt && s.If != nil {
		branch := s.Then
		switch sure(s.If, v, inPlace+1) {
		case doubt:
			return doubt
		case wrong:
			branch = s.Else
		}
		if branch != nil {
			c = both(c, sure(branch, v, inPlace+1))
		}
	}
	return c
}

func of(ok bool) answer {
	if ok {
		return right
	}
	return wrong
}

func not(a answer) answer {
	switch a {
	case right:
		return wrong
	case wrong:
		return right
	}
	return doubt
}

// both is right when both are, and a doubt stays one.
func both(a, b answer) answer {
	switch {
	case a == doubt || b == doubt:
		return doubt
	case a == right:
		return b
	}
	return wrong
}

// alternatives is right when 1 to most of the schemas are.
func alternatives(schemas []*jsonschema.Schema, v any, inPlace, most int) answer {
	fits := 0
	for _, sub := range schemas {
		switch sure(sub, v, inPlace+1) {
		case doubt:
			return doubt
		case right:
			if fits++; fits > most {
				return wrong // the engine does not look at the rest either; looking further could cost more than it does
			}
		}
	}
	return of(fits > 0)
}

func hasType(types []string, v any) answer {
	var name string
	switch v.(type) {
	case nil:
		name = "null"
	case bool:
		name = "boolean"
	case json.Number:
		name = "number"
	case string:
		name = "string"
	case []any:
		name = "array"
	case map[string]any:
		name = "object"
	default:
		return doubt
	}
	for _, t := range types {
		if t == name {
			return right
		}
		if t == "integer" && name == "number" {
			n, ok := parseDecimal(string(v.(json.Number)))
			if !ok {
				return doubt
			}
			if !n.rest {
				return right
			}
		}
	}
	return wrong
}

// listed compares v with the values of an enum, as far as that needs no arithmetic and no recursion.
func listed(values []any, v any) answer {
	switch v := v.(type) {
	case nil, bool, string:
		for _, w := range values {
			switch w.(type) {
			case nil, bool, string:
				if v == w {
					return right
				}
			}
		}
		return wrong
	case json.Number:
		for _, w := range values {
			if _, ok := w.(json.Number); ok {
				return doubt
			}
		}
	case []any:
		for _, w := range values {
			if _, ok := w.([]any); ok {
				return doubt
			}
		}
	case map[string]any:
		for _, w := range values {
			if _, ok := w.(map[string]any); ok {
				return doubt
			}
		}
	default:
		return doubt
	}
	return wrong
}

func sureObject(s *jsonschema.Schema, v map[string]any) answer {
	if len(s.PatternProperties) > 0 || s.RegexProperties || len(s.Dependencies) > 0 || len(s.DependentRequired) > 0 ||
		len(s.DependentSchemas) > 0 || s.UnevaluatedProperties != nil {
		return doubt
	}
	c := of((s.MinProperties == -1 || len(v) >= s.MinProperties) && (s.MaxProperties == -1 || len(v) <= s.MaxProperties))
	for _, name := range s.Required {
		if _, ok := v[name]; !ok {
			c = wrong
		}
	}
	for name, value := range v {
		if s.PropertyNames != nil {
			c = both(c, sure(s.PropertyNames, name, 0))
		}
		if sub, ok := s.Properties[name]; ok {
			c = both(c, sure(sub, value, 0))
		} else {
			switch rest := s.AdditionalProperties.(type) {
			case nil:
			case bool:
				c = both(c, of(rest))
			case *jsonschema.Schema:
				c = both(c, sure(rest, value, 0))
			default:
				return doubt
			}
		}
		if c == doubt {
			return doubt
		}
	}
	return c
}

func sureArray(s *jsonschema.Schema, v []any) answer {
	if s.UniqueItems && len(v) > 1 || len(s.PrefixItems) > 0 || s.Contains != nil || s.UnevaluatedItems != nil {
		return doubt
	}
	items := s.Items2020
	switch old := s.Items.(type) {
	case nil:
	case *jsonschema.Schema:
		if items != nil {
			return doubt
		}
		items = old
	default:
		return doubt
	}
	c := of((s.MinItems == -1 || len(v) >= s.MinItems) && (s.MaxItems == -1 || len(v) <= s.MaxItems))
	if items == nil {
		return c
	}
	for _, value := range v {
		if c = both(c, sure(items, value, 0)); c == doubt {
			return doubt
		}
	}
	return c
}

// longText is the length in bytes of a string whose match with a pattern is left to the engine, so that the text of a
// body that is refused in the end is not searched twice.
const longText = 4096

func sureString(s *jsonschema.Schema, v string) answer {
	if s.ContentEncoding != "" || s.ContentMediaType != "" || s.ContentSchema != nil {
		return doubt
	}
	c := right
	// A character has one to four bytes, which mostly settles it without counting.
	if s.MinLength != -1 && len(v)/utf8.UTFMax < s.MinLength || s.MaxLength != -1 && len(v) > s.MaxLength {
		n := utf8.RuneCountInString(v)
		c = of((s.MinLength == -1 || n >= s.MinLength) && (s.MaxLength == -1 || n <= s.MaxLength))
	}
	if s.Pattern != nil {
		if len(v) > longText {
			return doubt
		}
		c = both(c, of(s.Pattern.MatchString(v)))
	}
	return c
}

func sureNumber(s *jsonschema.Schema, v json.Number) answer {
	if s.MultipleOf != nil {
		return doubt
	}
	if s.Minimum == nil && s.Maximum == nil && s.ExclusiveMinimum == nil && s.ExclusiveMaximum == nil {
		return right
	}
	n, ok := parseDecimal(string(v))
	if !ok {
		return doubt
	}
	c := right
	for _, b := range [...]struct {
		bound          *big.Rat
		less, same, up bool // what the number may be, compared with the bound
	}{
		{s.Minimum, false, true, true}, {s.ExclusiveMinimum, false, false, true},
		{s.Maximum, true, true, false}, {s.ExclusiveMaximum, true, false, false},
	} {
		if b.bound == nil {
			continue
		}
		if !b.bound.IsInt() || !b.bound.Num().IsInt64() {
			return doubt
		}
		bound := b.bound.Num().Int64()
		switch {
		case n.floor < bound:
			c = both(c, of(b.less))
		case n.floor == bound && !n.rest:
			c = both(c, of(b.same))
		default:
			c = both(c, of(b.up))
		}
	}
	return c
}

// decimal is a number as far as a comparison with whole numbers needs it.
type decimal struct {
	floor int64 // the largest whole number that is not greater
	rest  bool  // the number is greater than floor
}

// parseDecimal reads a JSON number of up to 18 digits before the point. Exponents and longer ones are left to exact
// arithmetic.
func parseDecimal(s string) (d decimal, ok bool) {
	negative := len(s) > 0 && s[0] == '-'
	if negative {
		s = s[1:]
	}
	i := 0
	for ; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
		if i == 18 {
			return decimal{}, false
		}
		d.floor = d.floor*10 + int64(s[i]-'0')
	}
	if i == 0 {
		return decimal{}, false
	}
	if i < len(s) && s[i] == '.' {
		for i++; i < len(s) && '0' <= s[i] && s[i] <= '9'; i++ {
			d.rest = d.rest || s[i] != '0'
		}
	}
	if i < len(s) {
		return decimal{}, false
	}
	if negative {
		if d.floor = -d.floor; d.rest {
			d.floor--
		}
	}
	return d, true
}

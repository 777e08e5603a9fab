package validate

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// Defaults of [QueryConfig].
const (
	// DefaultMaxQuery is the bound of a query in bytes: what nginx reserves for a whole request line
	// (large_client_header_buffers), so that longer ones hardly arrive anywhere.
	DefaultMaxQuery = 8 << 10
	// DefaultMaxParams is the bound of the number of parameters.
	DefaultMaxParams = 64
)

// QueryConfig says what the query of a URL must be.
type QueryConfig struct {
	// Schema is a JSON Schema as in [Config], of an object whose properties are the parameters. Each of them has exactly one
	// type, written in its own place and not behind a $ref, because the type decides how the text is read:
	//
	//	string           any text
	//	integer          a JSON number without fraction and exponent: 7, -7, not 07, +7, 7.0 or 1e3
	//	number           a JSON number: 0.5, not .5, 0x1 or NaN
	//	boolean          true or false, not 1, yes or nothing
	//	array            the parameter repeated (see CommaLists), with items of one of the types above
	//
	// Text of another form stays a string, which then has the wrong type. There is no null: a parameter is there or it is not,
	// and ?a= is the empty string. (That null beside the type is never met, so it may stand there; SchemaFor writes it for
	// slices and pointers.) Types object and null, several types, and arrays in arrays are refused by NewQuery.
	//
	// Where the schema says nothing about them, parameters that it does not know are refused. With additionalProperties or
	// patternProperties they are strings.
	Schema []byte
	// MaxQuery bounds the query as sent, in bytes. Zero means DefaultMaxQuery; a negative value is refused.
	MaxQuery int
	// MaxParams bounds the number of parameters, each repetition counted. Zero means DefaultMaxParams; a negative value is
	// refused.
	MaxParams int
	// CommaLists reads an array from one parameter, ?a=1,2, instead of a repeated one. A comma within an element cannot be
	// written then: %2C separates too, because it is the same to everybody who reads the decoded value.
	CommaLists bool
	// Shadow, Deny and Logger are those of [Config].
	Shadow bool
	Deny   func(w http.ResponseWriter, r *http.Request, err error)
	Logger *slog.Logger
}

// Query checks the query of a URL. Make it with [NewQuery]; it is immutable and safe for concurrent use. A nil or zero Query
// refuses everything.
//
// A query has no types and as many readers as dialects. What is accepted means the same to all of them: one parameter of a
// name (or a list where the schema wants one), separated by & and not by a semicolon, correctly percent-encoded UTF-8 without
// NUL, and no two names that differ only by case.
type Query struct {
	object    *Validator // of the parameters as a JSON object
	params    map[string]param
	open      bool // the schema itself speaks about parameters that it does not know
	commas    bool
	maxQuery  int
	maxParams int
}

// param is how the text of a parameter is read.
type param struct {
	kind string // a scalar type of JSON Schema; "" reads as string
	list bool
}

// NewQuery checks cfg, compiles its schema and returns the Query. The error joins all faults it found; it may quote the schema.
func NewQuery(cfg QueryConfig) (*Query, error) {
	var faults []error
	fault := func(format string, a ...any) {
		faults = append(faults, fmt.Errorf("validate: QueryConfig."+format, a...))
	}

	q := &Query{params: map[string]param{}, commas: cfg.CommaLists, maxQuery: cfg.MaxQuery, maxParams: cfg.MaxParams}
	switch {
	case cfg.MaxQuery < 0:
		fault("MaxQuery %d: a query must have a bound", cfg.MaxQuery)
	case cfg.MaxQuery == 0:
		q.maxQuery = DefaultMaxQuery
	}
	switch {
	case cfg.MaxParams < 0:
		fault("MaxParams %d: a query must have a bound", cfg.MaxParams)
	case cfg.MaxParams == 0:
		q.maxParams = DefaultMaxParams
	}
	var schema map[string]any
	if json.Unmarshal(cfg.Schema, &schema) != nil || schema == nil {
		fault("Schema: want a schema that is an object")
		return nil, errors.Join(faults...)
	}
	for _, keyword := range []string{"additionalProperties", "patternProperties", "unevaluatedProperties"} {
		_, has := schema[keyword]
		q.open = q.open || has
	}
	properties, _ := schema["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(properties)) {
		p, ok := paramOf(properties[name])
		if !ok {
			fault("Schema at /properties/%s: want exactly one type: string, integer, number, boolean, or array with items of one of these", escapePointer.Replace(name))
		}
		q.params[name] = p
	}
	var err error
	q.object, err = New(Config{Schema: cfg.Schema, MaxBody: math.MaxInt32 - 1, Shadow: cfg.Shadow, Deny: cfg.Deny, Logger: cfg.Logger})
	if err != nil {
		faults = append(faults, err)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return q, nil
}

// paramOf reads the type out of the schema of a parameter.
func paramOf(property any) (param, bool) {
	schema, _ := property.(map[string]any)
	kind := typeOf(schema)
	list := kind == "array"
	if list {
		schema, _ = schema["items"].(map[string]any)
		kind = typeOf(schema)
	}
	switch kind {
	case "string", "integer", "number", "boolean":
		return param{kind, list}, true
	}
	return param{}, false
}

// typeOf returns the one type that a schema names, "" for none or several.
func typeOf(schema map[string]any) string {
	kinds, ok := schema["type"].([]any)
	if !ok {
		kinds = []any{schema["type"]}
	}
	kinds = slices.DeleteFunc(slices.Clone(kinds), func(k any) bool { return k == "null" })
	if len(kinds) != 1 {
		return ""
	}
	kind, _ := kinds[0].(string)
	return kind
}

// Handler returns a handler that runs next only for requests whose query was accepted. next reads it from r.URL as always, or
// decoded through [QueryValues]. It panics when next is nil.
func (q *Query) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("validate: Query.Handler: next is nil")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		if q == nil || q.object == nil {
			x.Refuse(w, r, refuse(deny.InternalError).denial())
			return
		}
		object, e := q.read(r.URL.RawQuery)
		if object != nil {
			x.Put(queriedKey{}, &queried{object: object})
		}
		if e != nil {
			p := q.object.policy()
			p.report(x, e)
			if !p.shadow {
				x.RefuseWith(w, r, e.denial(), p.deny)
				return
			}
		}
		next.ServeHTTP(w, r)
	})
}

// Check decides about the query of a URL as it was sent, without the question mark: nil, or an *Error. Its Pointer begins with
// the name of the parameter.
func (q *Query) Check(rawQuery string) error {
	if q == nil || q.object == nil {
		return refuse(deny.InternalError)
	}
	if _, e := q.read(rawQuery); e != nil {
		return e
	}
	return nil
}

// read returns the parameters as a JSON object, nil if they cannot be read as one, and why they are refused.
func (q *Query) read(raw string) ([]byte, *Error) {
	type named struct {
		name   string
		values []string
	}
	if len(raw) > q.maxQuery {
		return nil, queryError(deny.LimitExceeded, "", "MaxQuery")
	}
	for i := range len(raw) {
		// A semicolon separates parameters for some readers and not for others (CVE-2021-23336); what is not printable
		// ASCII has no place in a URL (RFC 3986 section 2).
		if c := raw[i]; c == ';' || c <= ' ' || c >= 0x7f {
			return nil, queryError(deny.InvalidRequest, "", "")
		}
	}
	var params []named
	at := map[string]int{}
	count := 0
	for part := range strings.SplitSeq(raw, "&") {
		if part == "" {
			continue
		}
		if count++; count > q.maxParams {
			return nil, queryError(deny.LimitExceeded, "", "MaxParams")
		}
		name, value, _ := strings.Cut(part, "=")
		name, ok := unescaped(name)
		value, ok2 := unescaped(value)
		if !ok || !ok2 {
			return nil, queryError(deny.InvalidRequest, "", "")
		}
		p, known := q.params[name]
		if !known && !q.open {
			e := queryError(deny.SchemaViolation, "", "additionalProperties")
			e.cause = strangeMember(name)
			return nil, e
		}
		i, seen := at[name]
		switch {
		case !seen:
			at[name] = len(params)
			params = append(params, named{name, []string{value}})
		case p.list && !q.commas:
			params[i].values = append(params[i].values, value)
		default: // some readers take the first, some the last, some join them
			pointer := "/" + masked
			if known {
				pointer = "/" + escapePointer.Replace(name)
			}
			return nil, queryError(deny.DuplicateKey, pointer, "")
		}
	}
	b := make([]byte, 0, 2*len(raw)+2)
	b = append(b, '{')
	for i, n := range params {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(jsonscan.AppendQuoted(b, []byte(n.name), true), ':')
		p := q.params[n.name]
		if !p.list {
			b = p.append(b, n.values[0])
			continue
		}
		if q.commas {
			n.values = strings.Split(n.values[0], ",")
		}
		for j, v := range n.values {
			b = p.append(append(b, "[,"[min(j, 1)]), v)
		}
		b = append(b, ']')
	}
	b = append(b, '}')
	e := q.object.policy().judge(b, nil)
	if e != nil {
		inQuery(e)
	}
	return b, e
}

// unescaped decodes a name or a value; ok is false for what readers disagree about.
func unescaped(s string) (string, bool) {
	s, err := url.QueryUnescape(s)
	return s, err == nil && utf8.ValidString(s) && strings.IndexByte(s, 0) < 0
}

// append adds text as a JSON value of its type if it has the form of one, else as a string.
func (p param) append(b []byte, text string) []byte {
	fits := false
	switch p.kind {
	case "boolean":
		fits = text == "true" || text == "false"
	case "integer":
		fits = isNumber(text) && !strings.ContainsAny(text, ".eE")
	case "number":
		fits = isNumber(text)
	}
	if fits {
		return append(b, text...)
	}
	return jsonscan.AppendQuoted(b, []byte(text), true)
}

// isNumber reports whether s is a number of RFC 8259 section 6 and nothing else.
func isNumber(s string) bool {
	digit := func(c byte) bool { return '0' <= c && c <= '9' }
	return s != "" && (s[0] == '-' || digit(s[0])) && digit(s[len(s)-1]) && json.Valid([]byte(s))
}

func queryError(code deny.Code, pointer, keyword string) *Error {
	e := refuse(code)
	e.Pointer, e.Keyword = pointer, keyword
	e.Message = sentence(keyword, code)
	inQuery(e)
	return e
}

// inQuery puts the sentences that speak of a body in words of a query.
func inQuery(e *Error) {
	if s, ok := querySentences[e.Keyword]; ok {
		e.Message = s
	} else if e.Message == deny.Code(e.Code).Message() {
		e.Message = querySentences[e.Code]
	}
}

// querySentences are the sentences by keyword or limit, else by code.
var querySentences = map[string]string{
	"required":              "A required query parameter is missing.",
	"additionalProperties":  "A query parameter is not allowed.",
	"unevaluatedProperties": "A query parameter is not allowed.",
	"propertyNames":         "The name of a query parameter is not allowed.",
	"minProperties":         "The query has too few parameters.",
	"maxProperties":         "The query has too many parameters.",
	"case":                  "The name of a query parameter differs from a known one only by upper and lower case.",
	"MaxQuery":              "The query is too long.",
	"MaxParams":             "The query has too many parameters.",
	"Keys":                  "The query has too many parameters.",
	"TotalKeys":             "The query has too many parameters.",
	"Nodes":                 "The query has too many parameters.",
	"KeyLen":                "The name of a query parameter is too long.",

	string(deny.InvalidRequest):  "The query is malformed.",
	string(deny.InvalidJSON):     "The query is malformed.",
	string(deny.DuplicateKey):    "The query names the same parameter twice, or twice but for upper and lower case.",
	string(deny.LimitExceeded):   "The query exceeds a limit.",
	string(deny.SchemaViolation): "The query does not have the required form.",
	string(deny.InternalError):   deny.InternalError.Message(),
}

// ErrNoQuery says that no [Query] checked the query of the request.
var ErrNoQuery = errors.New("validate: no validated query in this request")

// queriedKey is where the exchange keeps the *queried.
type queriedKey struct{}

// queried is a query that was read.
type queried struct {
	object []byte
	cache  cache
}

// QueryValues returns the checked query decoded into a T, as [Body] does for a body: T is a struct with a field for each
// parameter, or a map, and may have a method Validate. An absent parameter leaves the zero value. Without a checked query the
// error is [ErrNoQuery]. Of two Queries around a handler it is the inner one's reading.
func QueryValues[T any](ctx context.Context) (T, error) {
	if x := exchange.From(ctx); x != nil {
		if q, ok := x.Get(queriedKey{}).(*queried); ok {
			return decodeOnce[T](&q.cache, q.object)
		}
	}
	var zero T
	return zero, ErrNoQuery
}

package validate

import (
	"net/http"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mantlet-go/mantlet/internal/deny"
)

// Error is a refusal. All of its exported fields may be shown to the client: none of them ever holds a value of the
// request, an enumeration of the schema or an error text. It is immutable.
type Error struct {
	// Status is the HTTP status: 400, 405, 408, 413, 415, 422, or 500 for a Validator that New did not make.
	Status int
	// Code is the stable machine name: invalid_request (400, a query), invalid_json, duplicate_key, limit_exceeded (400),
	// method_not_allowed (405), request_timeout (408), body_too_large (413), unsupported_media_type (415),
	// schema_violation (422), internal_error (500).
	Code string
	// Pointer is the RFC 6901 JSON Pointer of the offending place; "" is the whole body. Names the schema does not know
	// are shown as "?". For required and dependentRequired it is the place where the missing member should be.
	Pointer string
	// Keyword is the JSON Schema keyword that failed, or the name of the limit (a field of Limits, such as "Depth", or of
	// Config or QueryConfig), or "case" for a member whose name differs from a known one only by case, or "validate" or
	// what At was given when a method of the handler's type refused; "" when none applies.
	Keyword string
	// Message is a fixed English sentence, chosen by Keyword and Code, or the one that At was given.
	Message string

	header http.Header // extra response headers, nil for most
	cause  error       // private: for the log and the audit record
}

// Error returns code, place and sentence, prefixed with the package name. It holds nothing the exported fields do not.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("validate: ")
	b.WriteString(e.Code)
	if e.Pointer != "" {
		b.WriteString(" at ")
		b.WriteString(e.Pointer)
	}
	if e.Keyword != "" {
		b.WriteString(" (")
		b.WriteString(e.Keyword)
		b.WriteString(")")
	}
	if e.Message != "" {
		b.WriteString(": ")
		b.WriteString(e.Message)
	}
	return b.String()
}

// Unwrap returns the private cause, such as a read error of the connection, or which member the schema does not allow; nil
// for most refusals. Do not send its text to a client.
func (e *Error) Unwrap() error { return e.cause }

// As makes [errors.As] find what any package of this module can answer with: see [Refuse].
func (e *Error) As(target any) bool {
	d, ok := target.(**deny.Denial)
	if ok {
		*d = e.denial()
	}
	return ok
}

// denial is the same refusal in the words of the package that writes it.
func (e *Error) denial() *deny.Denial {
	return &deny.Denial{
		Code:    deny.Code(e.Code),
		Message: e.Message,
		Param:   e.Pointer,
		Header:  e.header,
		Stage:   "validate",
		Cause:   e.private(),
	}
}

// private is e for the operator's eyes: with the name of the member that a schema does not allow, which e itself never holds.
func (e *Error) private() error {
	if name, ok := e.cause.(strangeMember); ok {
		return explained{e, name}
	}
	return e
}

// explained is a refusal with its private reason in words.
type explained struct {
	refusal *Error
	why     strangeMember
}

func (e explained) Error() string { return e.refusal.Error() + " Here: " + e.why.quoted() + "." }
func (e explained) Unwrap() error { return e.refusal }

// strangeMember is the name of a member that a schema does not allow, as a private cause. A name can be anything, also a key
// pasted into the wrong place: it is for operators, cut and escaped.
type strangeMember string

func (m strangeMember) Error() string {
	return "validate: the member " + m.quoted() + " is not allowed"
}

// maxQuoted is how many bytes of a name are shown.
const maxQuoted = 64

func (m strangeMember) quoted() string {
	s := string(m)
	if len(s) <= maxQuoted {
		return strconv.Quote(s)
	}
	cut := maxQuoted
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return strconv.Quote(s[:cut]) + "..."
}

// refuse makes the Error of a code, with the code's own sentence.
func refuse(code deny.Code) *Error {
	return &Error{Status: code.Status(), Code: string(code), Message: code.Message()}
}

// sentence returns the fixed sentence of a keyword, or the one of code when the keyword has none.
func sentence(keyword string, code deny.Code) string {
	if s, ok := sentences[keyword]; ok {
		return s
	}
	return code.Message()
}

// sentences says what a keyword or a limit asks for. Limits are in the spelling of the fields of Limits.
var sentences = map[string]string{
	"type":                  "The value has the wrong type.",
	"const":                 "The value is not the only one allowed here.",
	"enum":                  "The value is not one of those allowed here.",
	"format":                "The string does not have the required format.",
	"pattern":               "The string does not match the required pattern.",
	"minLength":             "The string is too short.",
	"maxLength":             "The string is too long.",
	"minimum":               "The number is too small.",
	"exclusiveMinimum":      "The number is too small.",
	"maximum":               "The number is too large.",
	"exclusiveMaximum":      "The number is too large.",
	"multipleOf":            "The number is not a multiple of the required step.",
	"required":              "A required member is missing.",
	"dependentRequired":     "A member that another one depends on is missing.",
	"dependencies":          "A member that another one depends on is missing.",
	"minProperties":         "The object has too few members.",
	"maxProperties":         "The object has too many members.",
	"additionalProperties":  "The object has a member that is not allowed.",
	"unevaluatedProperties": "The object has a member that is not allowed.",
	"propertyNames":         "The object has a member whose name is not allowed.",
	"minItems":              "The array has too few elements.",
	"maxItems":              "The array has too many elements.",
	"uniqueItems":           "The array has equal elements.",
	"contains":              "The array lacks a required element.",
	"minContains":           "The array lacks a required element.",
	"maxContains":           "The array has too many elements of one kind.",
	"additionalItems":       "The array has an element that is not allowed.",
	"unevaluatedItems":      "The array has an element that is not allowed.",
	"anyOf":                 "The value has none of the allowed forms.",
	"oneOf":                 "The value does not have exactly one of the allowed forms.",
	"not":                   "The value is not allowed here.",
	"contentEncoding":       "The string is not encoded as required.",
	"contentMediaType":      "The string does not hold the required kind of content.",
	"validate":              "The request body breaks a rule of this operation.",
	"case":                  "A member name differs from a known one only by upper and lower case.",

	"Bytes":     "The request body is too large.",
	"Depth":     "The request body is nested too deeply.",
	"Keys":      "An object has too many members.",
	"TotalKeys": "The request body has too many members.",
	"KeyLen":    "A member name is too long.",
	"ArrayLen":  "An array has too many elements.",
	"StringLen": "A string is too long.",
	"Nodes":     "The request body has too many values.",
	"NumberLen": "A number has too many digits.",
	"Exponent":  "A number has too large an exponent.",

	"MaxRatio":   "The request body is compressed too much.",
	"MaxMembers": "The compressed request body has too many members.",
}

package jsonscan

import "strconv"

// Code says what kind of refusal an Error is. The values are stable and are the machine codes clients see.
type Code string

const (
	// InvalidJSON means that the bytes are not one strict JSON text: grammar, UTF-8, surrogates, byte order mark, or
	// anything after the value.
	InvalidJSON Code = "invalid_json"
	// DuplicateKey means that two members of one object have names that are equal after decoding, or equal but for case.
	DuplicateKey Code = "duplicate_key"
	// LimitExceeded means that the text is larger, deeper or longer than a field of Limits allows; Error.Limit names it.
	LimitExceeded Code = "limit_exceeded"
)

// Error is a refusal of a JSON text. None of its fields holds a value of the input; Pointer holds member names.
type Error struct {
	// Code is the kind of refusal.
	Code Code
	// Offset is the byte offset in the scanned data at which the refusal was certain.
	Offset int
	// Limit is the name of the Limits field that was exceeded, "" for other codes.
	Limit string
	// Pointer is the RFC 6901 JSON Pointer of the value, or of the container, in which the scan stopped; "" is the root.
	// A name longer than Limits.KeyLen never enters it.
	Pointer string
	// Reason is a fixed phrase of this package, such as "invalid UTF-8".
	Reason string
}

// Error returns the fixed reason and the offset, without the pointer.
func (e *Error) Error() string {
	s := "jsonscan: " + e.Reason
	if e.Limit != "" {
		s += " (" + e.Limit + ")"
	}
	return s + " at byte " + strconv.Itoa(e.Offset)
}

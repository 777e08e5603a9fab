package upload

import "github.com/mantlet-go/mantlet/internal/filetype"

// For the external tests.
var ParseFormType = parseFormType

// ParseHeader reads the headers of a part.
func ParseHeader(b []byte) (name, filename string, isFile, ok bool) {
	h, e := parseHeader(b)
	return h.name, h.filename, h.isFile, e == nil
}

// CheckFilename returns the type that the extension of s names.
func CheckFilename(s string) (filetype.Type, *Error) { return checkFilename(s, false) }

package upload

// For the external tests.
var (
	ParseFormType = parseFormType
	CheckFilename = checkFilename
)

// ParseHeader reads the headers of a part.
func ParseHeader(b []byte) (name, filename string, isFile, ok bool) {
	h, e := parseHeader(b)
	return h.name, h.filename, h.isFile, e == nil
}

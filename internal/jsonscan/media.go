package jsonscan

import (
	"mime"
	"strings"
)

// MediaType returns the media type of a Content-Type, in lower case and without parameters. ok is false for what is none, or more than
// one, and for a charset other than UTF-8 or said twice: JSON between systems is UTF-8 (RFC 8259 section 8.1), and who decodes the body
// by another charset reads other members than a scan does (in UTF-7 "+AG0AbwBkAGUAbA-" is "model"). Other parameters mean nothing for JSON.
func MediaType(contentType string) (t string, ok bool) {
	// It refuses a parameter that is given twice with different values, and a list of types.
	t, params, err := mime.ParseMediaType(contentType)
	if err != nil || strings.Count(strings.ToLower(contentType), "charset") > 1 { // twice with one value, or as charset and charset*
		return "", false
	}
	charset, given := params["charset"]
	return t, !given || strings.EqualFold(charset, "utf-8")
}

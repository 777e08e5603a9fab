package auth

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

// Challenge is the value of one WWW-Authenticate header (RFC 9110 section 11.6.1) with the parameters of RFC 6750 section 3, RFC
// 9728 section 5.1, RFC 9470 section 3 and RFC 9449 section 7.1.
// The zero Challenge is a bare "Bearer".
type Challenge struct {
	// Scheme is the authentication scheme. Empty, or not a token of RFC 9110, means "Bearer".
	Scheme string
	// Realm names the protected space; empty for none.
	Realm string
	// Error is an error code such as "invalid_token"; empty for none.
	Error string
	// Description explains the error to a developer; empty for none. It must be fixed text.
	Description string
	// Scopes are the scopes needed. What is not a scope-token of RFC 6749 section 3.3 is left out, because inside the
	// parameter it would read as something else.
	Scopes []string
	// ResourceMetadata is the URL of the metadata of the protected resource (RFC 9728); empty for none.
	ResourceMetadata string
	// ACRValues are the authentication contexts that would do, the preferred one first; what has a space in it is left out.
	ACRValues []string
	// MaxAge is how old the authentication may be, sent in whole seconds; zero for any age, less than a second is one.
	MaxAge time.Duration
	// Algorithms are the signature algorithms of DPoP proofs; what has a space in it is left out.
	Algorithms []string
}

// String returns the header value.
func (c Challenge) String() string { return string(c.AppendTo(nil)) }

// AppendTo appends the header value to b. Every parameter is a quoted string whose content is printable ASCII; a quotation
// mark or backslash in it is escaped, and any other byte is replaced by a question mark, so that no value can end its own
// quotes, start another parameter or another header line.
func (c Challenge) AppendTo(b []byte) []byte {
	if isToken(c.Scheme) {
		b = append(b, c.Scheme...)
	} else {
		b = append(b, "Bearer"...)
	}
	n := 0
	param := func(name, value string) {
		if value == "" {
			return
		}
		if n++; n > 1 {
			b = append(b, ',')
		}
		b = append(b, ' ')
		b = append(b, name...)
		b = append(b, '=')
		b = appendQuoted(b, value)
	}
	param("realm", c.Realm)
	param("error", c.Error)
	param("error_description", c.Description)
	param("scope", words(c.Scopes))
	param("resource_metadata", c.ResourceMetadata)
	param("acr_values", words(c.ACRValues))
	if c.MaxAge > 0 {
		param("max_age", strconv.FormatInt(int64(max(1, c.MaxAge/time.Second)), 10))
	}
	param("algs", words(c.Algorithms))
	return b
}

// words joins those of list that stay one word inside a list of words.
func words(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return strings.Join(slices.DeleteFunc(slices.Clone(list), func(s string) bool { return !ValidScope(s) }), " ")
}

func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r >= ' ' && r <= '~':
			b = append(b, byte(r))
		default:
			b = append(b, '?')
		}
	}
	return append(b, '"')
}

// isToken reports whether s is a token of RFC 9110 section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0 {
			continue
		}
		return false
	}
	return s != ""
}

// ValidScope reports whether s is a scope-token of RFC 6749 section 3.3: one or more printable ASCII characters without
// space, quotation mark and backslash.
func ValidScope(s string) bool {
	for i := range len(s) {
		if c := s[i]; c <= ' ' || c >= 0x7f || c == '"' || c == '\\' {
			return false
		}
	}
	return s != ""
}

// splitScopes splits every string at spaces. A blank one stays, as the empty scope that nobody holds: it is a table without an entry, or
// a variable that was not set, and no demand is the last thing it may mean. It returns its argument when there is nothing to do.
func splitScopes(scopes []string) []string {
	if !slices.ContainsFunc(scopes, func(s string) bool { return strings.ContainsRune(s, ' ') }) {
		return scopes
	}
	var out []string
	for _, s := range scopes {
		if fields := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' }); len(fields) > 0 { // RFC 6749 section 3.3: nothing else separates
			out = append(out, fields...)
		} else {
			out = append(out, "")
		}
	}
	return out
}

package guard

import (
	"errors"
	"net/http"
	"strings"
	"unicode/utf8"
)

// The private causes of RulePath, for the operator.
var (
	errControl       = errors.New("a control character in the path (SkipControl)")
	errBackslash     = errors.New("a backslash in the path (SkipBackslash)")
	errDotSegment    = errors.New("a dot segment in the path (SkipDotSegments)")
	errEncodedSlash  = errors.New("an encoded slash in the path (SkipEncodedSlash)")
	errDoubleEncoded = errors.New("a dot, slash, backslash or control character encoded twice in the path (SkipDoubleEncoding)")
	errUTF8          = errors.New("a path that is not UTF-8 (SkipUTF8)")
)

// path checks the spelling of the path of a request. net/url has decoded it once; what is decoded again behind us, or split at
// other characters, is what the rules are about.
func (g *Guard) path(path, raw string) error {
	ascii, segment := true, 0
	for i := 0; i <= len(path); i++ {
		c := byte('/')
		if i < len(path) {
			c = path[i]
		}
		switch {
		case c == '/' || c == '\\':
			if c == '\\' && !g.cfg.SkipBackslash {
				return errBackslash
			}
			if !g.cfg.SkipDotSegments && dots(path[segment:i]) {
				return errDotSegment
			}
			segment = i + 1
		case c < ' ' || c == 0x7f:
			if !g.cfg.SkipControl {
				return errControl
			}
		case c == '%' && !g.cfg.SkipDoubleEncoding && i+2 < len(path):
			d, ok := hexByte(path[i+1], path[i+2])
			if ok && (d < ' ' || d == 0x7f || d == '.' || d == '\\' || d == '/' && !behindModels(path[:i])) {
				return errDoubleEncoded
			}
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	if !ascii && !g.cfg.SkipUTF8 && !utf8.ValidString(path) {
		return errUTF8
	}
	// net/url keeps the raw form only where it differs from the usual encoding, as with every encoded slash.
	if raw != "" && !g.cfg.SkipEncodedSlash {
		if i := encodedSlash(raw); i >= 0 && !behindModels(raw[:i]) {
			return errEncodedSlash
		}
	}
	return nil
}

// dots reports whether a segment is "." or "..", also with the parameters that some servers cut off first ("..;x").
func dots(seg string) bool {
	seg, _, _ = strings.Cut(seg, ";")
	return seg == "." || seg == ".."
}

// behindModels reports whether what follows is the name of a model. Official clients send "meta-llama/Llama-3" as one segment:
// GET /v1/models/meta-llama%2FLlama-3.
func behindModels(before string) bool { return strings.Contains(before, "/models/") }

func encodedSlash(raw string) int {
	for i := 0; i+2 < len(raw); i++ {
		if raw[i] == '%' && raw[i+1] == '2' && raw[i+2]|0x20 == 'f' {
			return i
		}
	}
	return -1
}

func hexByte(a, b byte) (byte, bool) {
	x, ok1 := nibble(a)
	y, ok2 := nibble(b)
	return x<<4 | y, ok1 && ok2
}

func nibble(c byte) (byte, bool) {
	switch c = lowerByte(c); {
	case c >= '0' && c <= '9':
		return c - '0', true
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// header checks names, sizes and multiplicity, and where the host stands. It returns the rule that is broken, or "". Of several
// it is always the same one: a map has no order, so all of it is looked at before anything is said.
func (g *Guard) header(r *http.Request) string {
	size, lines, longest := 0, 0, 0
	twice, underscore := false, false
	for name, values := range r.Header {
		twice = twice || len(values) > 1 && single(name)
		underscore = underscore || strings.IndexByte(name, '_') >= 0
		lines += len(values)
		for _, v := range values {
			longest = max(longest, len(v))
			size += len(name) + len(": ") + len(v) + len("\r\n")
		}
	}
	switch {
	case longest > g.cfg.MaxHeaderValue || size > g.cfg.MaxHeaderBytes || lines > g.cfg.MaxHeaders:
		return RuleHeaderSize
	case twice && !g.cfg.SkipDuplicateHeaders:
		return RuleDuplicateHeader
	case underscore && !g.cfg.SkipUnderscores:
		return RuleUnderscore
	}
	if len(r.TransferEncoding) > 0 && r.Header["Content-Length"] != nil {
		return RuleFraming
	}
	if r.URL.Host != "" && !strings.EqualFold(r.URL.Host, r.Host) {
		return RuleHostMismatch
	}
	for _, h := range r.Header["Host"] {
		if !strings.EqualFold(h, r.Host) {
			return RuleHostMismatch
		}
	}
	return ""
}

// single reports whether a header has one value by its definition, among those that decide something: who is calling and what
// the body is. (RFC 9110 section 5.3: a sender must not generate several lines of such a field.) Servers differ in which
// of two they take. The name is in canonical form.
func single(name string) bool {
	switch name {
	case "Authorization", "X-Api-Key", "Api-Key", "Content-Type", "Content-Length", "Transfer-Encoding", "Host", "Origin", "Sec-Fetch-Site":
		return true
	}
	return false
}

// foreignPage reports whether a request was made by a browser on behalf of another site, with nothing that such a page cannot
// send without the browser asking us first (Fetch standard, CORS-safelisted request-header). A page could make
// all its visitors ask for /.env with an image; they must not be banned for it. Whoever writes the header himself gets his
// refusals all the same, and no further: with a credential the request counts. Browsers send the header over HTTPS and to
// localhost only (Fetch Metadata section 2, "potentially trustworthy").
func foreignPage(r *http.Request) bool {
	v := r.Header["Sec-Fetch-Site"]
	return len(v) == 1 && v[0] == "cross-site" && r.Header["Authorization"] == nil && r.Header["X-Api-Key"] == nil && r.Header["Api-Key"] == nil
}

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
		case c == '%' && i+2 < len(path):
			d, ok := hexByte(path[i+1], path[i+2])
			if !ok {
				break
			}
			if !g.cfg.SkipDoubleEncoding && (d < ' ' || d == 0x7f || d == '.' || d == '\\' || d == '/' && !behindModels(path[:i])) {
				return errDoubleEncoded
			}
			if d == '/' || d == '\\' { // whoever decodes once more splits here
				if !g.cfg.SkipDotSegments && dots(path[segment:i]) {
					return errDotSegment
				}
				segment = i + 3
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

// dots reports whether a segment is "." or "..", also with the parameters that some servers cut off first ("..;x"), or with
// spaces at its end, which Windows drops (".. ").
func dots(seg string) bool {
	seg, _, _ = strings.Cut(seg, ";")
	return seg == "." || seg == ".." || strings.HasPrefix(seg, ".") && strings.HasSuffix(seg, " ") && strings.Trim(seg, ". ") == ""
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
// have sent without the browser asking us first. A page could make all its visitors ask for /.env with an image; they must
// not be banned for it. Whoever writes the header himself gets his refusals all the same, and no further: with a
// credential, or anything else that no page has for free, the request counts. Browsers send the header over HTTPS and to
// localhost only (Fetch Metadata section 2, "potentially trustworthy").
//
// For free are the methods and Content-Types of forms, images and fetch (Fetch standard, CORS-safelisted), the question itself
// (a preflight), the two types that browsers send of themselves (hyperlink auditing, reports of a content security policy),
// and the header names of freeHeader.
func foreignPage(r *http.Request) bool {
	v := r.Header["Sec-Fetch-Site"]
	if len(v) != 1 || v[0] != "cross-site" {
		return false
	}
	switch r.Method {
	case "GET", "HEAD", "POST":
	case "OPTIONS":
		if r.Header["Origin"] == nil || r.Header["Access-Control-Request-Method"] == nil {
			return false
		}
	default:
		return false
	}
	for name, values := range r.Header {
		if !freeHeader(name) || name == "Content-Type" && (len(values) != 1 || !freeType(values[0])) {
			return false
		}
	}
	return true
}

// freeType reports whether a Content-Type needs no preflight.
func freeType(v string) bool {
	v, _, _ = strings.Cut(v, ";")
	switch lower(strings.TrimSpace(v)) {
	case "application/x-www-form-urlencoded", "multipart/form-data", "text/plain", "text/ping", "application/csp-report":
		return true
	}
	return false
}

// freeHeader reports whether a header, by its canonical name, says nothing about who wrote the request: a page may set it without
// a preflight, browsers set it of themselves, or proxies on the way do. A Cookie is among them, for browsers add those of
// SameSite=None to what foreign pages ask for; Authorization is not, though a browser may remember one (Basic), because it is
// where passwords and keys are guessed.
//
// A proxy that adds a header of its own, not listed here, makes all requests of foreign pages count, since nobody can tell
// them from headers of the client.
func freeHeader(name string) bool {
	switch name {
	case "Accept", "Accept-Language", "Content-Language", "Content-Type", "Range", // safelisted
		// set by browsers; a page cannot (Fetch standard, forbidden request-header), or only like this
		"Accept-Encoding", "Access-Control-Request-Headers", "Access-Control-Request-Method", "Access-Control-Request-Private-Network",
		"Cache-Control", "Connection", "Content-Length", "Cookie", "Date", "Dnt", "Host", "If-Modified-Since", "If-None-Match", "If-Range",
		"Keep-Alive", "Last-Event-Id", "Origin", "Ping-From", "Ping-To", "Pragma", "Priority", "Purpose", "Referer", "Save-Data", "Te",
		"Transfer-Encoding", "Upgrade", "Upgrade-Insecure-Requests", "User-Agent", "Device-Memory", "Downlink", "Dpr", "Ect", "Rtt",
		"Viewport-Width", "Width",
		// set by proxies
		"Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Port", "X-Forwarded-Prefix", "X-Forwarded-Proto",
		"X-Forwarded-Scheme", "X-Forwarded-Server", "X-Forwarded-Ssl", "X-Real-Ip", "X-Scheme", "X-Original-Uri", "X-Original-Url",
		"X-Request-Id", "X-Correlation-Id", "X-Request-Start", "Traceparent", "Tracestate", "Baggage", "B3", "X-Amzn-Trace-Id", "X-Amz-Cf-Id",
		"X-Cloud-Trace-Context", "Cdn-Loop", "Cf-Connecting-Ip", "Cf-Connecting-Ipv6", "Cf-Ipcountry", "Cf-Ray", "Cf-Visitor", "Cf-Ew-Via", "True-Client-Ip", "X-Client-Ip",
		"X-Azure-Clientip", "X-Azure-Ref", "X-Azure-Socketip", "X-Azure-Fdid", "Fastly-Client-Ip", "Fastly-Ff", "Fastly-Ssl", "Fly-Client-Ip",
		"X-Varnish", "Early-Data":
		return true
	}
	for _, prefix := range [...]string{"Sec-", "X-B3-", "X-Envoy-", "Fly-Forwarded-"} { // Sec- is the browser's alone by its definition
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}

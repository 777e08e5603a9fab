package jsonscan

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// AppendUnquoted appends the text of raw, the bytes between a string's quotes, to dst. raw should come from a scan; on
// other input it does not panic, copies what it does not understand, and turns lone surrogates into U+FFFD.
func AppendUnquoted(dst, raw []byte) []byte {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return append(dst, raw...)
		}
		dst = append(dst, raw[:i]...)
		r, n := unescape(raw[i:])
		dst = utf8.AppendRune(dst, r)
		raw = raw[i+n:]
	}
}

// unescape decodes the escape at the start of b, which begins with a backslash, and returns its length, at least 1.
func unescape(b []byte) (rune, int) {
	if len(b) < 2 {
		return '\\', len(b)
	}
	switch b[1] {
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	case '"', '\\', '/':
		return rune(b[1]), 2
	case 'u':
		r, ok := hex4(b[2:])
		if !ok {
			return '\\', 1
		}
		if !utf16.IsSurrogate(r) {
			return r, 6
		}
		if len(b) >= 12 && b[6] == '\\' && b[7] == 'u' {
			if low, ok := hex4(b[8:]); ok {
				if c := utf16.DecodeRune(r, low); c != utf8.RuneError {
					return c, 12
				}
			}
		}
		return utf8.RuneError, 6
	}
	return '\\', 1
}

// hex4 decodes four hexadecimal digits.
func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	var r rune
	for _, c := range b[:4] {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		r = r<<4 | rune(c)
	}
	return r, true
}

// AppendQuoted appends s as JSON string content to dst, with surrounding quotes if quotes is set. It escapes what RFC 8259
// requires and the line separators U+2028 and U+2029, which old JavaScript parsers and line-based readers break at; all
// else stays as UTF-8. Bytes of s that are not UTF-8 become U+FFFD, so that the result is always valid.
func AppendQuoted(dst, s []byte, quotes bool) []byte {
	if quotes {
		dst = append(dst, '"')
	}
	const digits = "0123456789abcdef"
	from := 0
	for i := 0; i < len(s); {
		if j := plain(s, i); j > i {
			i = j
			continue
		}
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRune(s[i:])
			switch {
			case r == utf8.RuneError && n == 1:
				dst = append(append(dst, s[from:i]...), "\ufffd"...)
			case r == '\u2028' || r == '\u2029':
				dst = append(append(dst, s[from:i]...), '\\', 'u', '2', '0', '2', digits[r&0xf])
			default:
				i += n
				continue
			}
			i += n
			from = i
			continue
		}
		dst = append(dst, s[from:i]...)
		switch c {
		case '"', '\\':
			dst = append(dst, '\\', c)
		case '\b':
			dst = append(dst, '\\', 'b')
		case '\f':
			dst = append(dst, '\\', 'f')
		case '\n':
			dst = append(dst, '\\', 'n')
		case '\r':
			dst = append(dst, '\\', 'r')
		case '\t':
			dst = append(dst, '\\', 't')
		default:
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&0xf])
		}
		i++
		from = i
	}
	dst = append(dst, s[from:]...)
	if quotes {
		dst = append(dst, '"')
	}
	return dst
}

// EqualUnquoted reports whether raw, the bytes between a string's quotes, decodes to s. It does not allocate.
func EqualUnquoted(raw []byte, s string) bool {
	if len(raw) < len(s) {
		return false // an escape is never shorter than what it stands for
	}
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			return string(raw) == s
		}
		if len(s) < i || string(raw[:i]) != s[:i] {
			return false
		}
		r, n := unescape(raw[i:])
		var buf [utf8.UTFMax]byte
		c := utf8.AppendRune(buf[:0], r)
		s, raw = s[i:], raw[i+n:]
		if len(s) < len(c) || s[:len(c)] != string(c) {
			return false
		}
		s = s[len(c):]
	}
}

// Int returns the value of a JSON number that is exactly an integer and fits an int64. 16, 16.0 and 1.6e1 are the same
// number (JSON Schema 2020-12 §6.1.1 counts all three as integers), so all three give 16; 1.5, 1e19 and non-numbers give
// false.
func Int(raw []byte) (int64, bool) {
	i, neg := 0, false
	if i < len(raw) && raw[i] == '-' {
		neg = true
		i++
	}
	// digits is |value| * 10^scale.
	var digits uint64
	scale, zeros, any := 0, 0, false
	point := false
	for ; i < len(raw); i++ {
		c := raw[i]
		if c == '.' && !point {
			point = true
			continue
		}
		if c < '0' || c > '9' {
			break
		}
		any = true
		if point {
			scale++
		}
		if c == '0' {
			// Zeros are kept aside: they matter only if another digit follows.
			zeros++
			continue
		}
		for ; zeros > 0; zeros-- {
			if digits > 1<<63/10 {
				return 0, false
			}
			digits *= 10
		}
		if digits > 1<<63/10 {
			return 0, false
		}
		digits = digits*10 + uint64(c-'0')
	}
	if !any {
		return 0, false
	}
	exp := zeros - scale
	if i < len(raw) && (raw[i] == 'e' || raw[i] == 'E') {
		i++
		eneg := false
		if i < len(raw) && (raw[i] == '+' || raw[i] == '-') {
			eneg = raw[i] == '-'
			i++
		}
		if i == len(raw) {
			return 0, false
		}
		e := 0
		for ; i < len(raw) && '0' <= raw[i] && raw[i] <= '9'; i++ {
			if e < 1<<20 {
				e = e*10 + int(raw[i]-'0')
			}
		}
		if eneg {
			e = -e
		}
		exp += e
	}
	if i != len(raw) {
		return 0, false
	}
	if digits == 0 {
		return 0, true
	}
	if exp < 0 || exp > 19 {
		return 0, false // the last digit kept is not zero, so a negative exponent leaves a fraction
	}
	for ; exp > 0; exp-- {
		if digits > 1<<63/10 {
			return 0, false
		}
		digits *= 10
	}
	if neg {
		if digits > 1<<63 {
			return 0, false
		}
		return -int64(digits), true // -1<<63 wraps to itself
	}
	if digits > 1<<63-1 {
		return 0, false
	}
	return int64(digits), true
}

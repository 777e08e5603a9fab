package audit

import (
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// ellipsis ends a value that was cut at its bound. The key of the value is also listed in x.trimmed, because a value may
// end with this character by itself.
const ellipsis = "…"

const hexDigits = "0123456789abcdef"

// plain tells which bytes stand for themselves inside a JSON string of ours: printable ASCII without the quote, the
// backslash, and the less-than sign (so that a line can be pasted into HTML without ending a script element).
var plain = func() (t [256]bool) {
	for c := 0x20; c < 0x7f; c++ {
		t[c] = c != '"' && c != '\\' && c != '<'
	}
	return t
}()

// hidden reports whether r does something to a terminal, a log viewer or the order of the letters instead of being
// seen: C0, DEL, C1, line and paragraph separators, bidirectional controls, zero-width and tag characters. The encoder
// writes them as \uXXXX, SafeHandler as visible escapes.
func hidden(r rune) bool {
	switch {
	case r < 0x20, r >= 0x7f && r <= 0x9f:
		return true
	case r < 0xad:
		return false
	case r == 0xad, r == 0x61c, r == 0x180e, // soft hyphen, Arabic letter mark, Mongolian vowel separator
		r >= 0x200b && r <= 0x200f,              // zero width, left-to-right and right-to-left marks
		r >= 0x2028 && r <= 0x202e,              // line and paragraph separators, embeddings and overrides
		r >= 0x2060 && r <= 0x206f,              // word joiner, isolates, deprecated format controls
		r == 0xfeff, r >= 0xfff9 && r <= 0xfffb, // byte order mark, interlinear annotation
		r >= 0xe0000 && r <= 0xe007f: // tags
		return true
	}
	return false
}

// appendText appends s without quotes as the content of a JSON string of at most limit bytes. The limit counts encoded
// bytes, so that the size of a whole line can be known in advance whatever a client sends.
//
// trimmed: s did not fit; what is there is a prefix of s followed by an ellipsis. escaped: s is not valid UTF-8; every
// byte that is not part of a character is written as the four characters \xHH, and a backslash of s as \x5c, so that
// Unescape gives back the exact bytes.
func appendText[T string | []byte](dst []byte, s T, limit int) (out []byte, trimmed, escaped bool) {
	// An input byte never becomes less than one output byte: what lies beyond limit is not even looked at, and a
	// header of a megabyte costs as much as one of limit bytes.
	if len(s) > limit {
		cut := limit
		for back := 0; back < utf8.UTFMax-1 && cut > 0 && !utf8.RuneStart(s[cut]); back++ {
			cut--
		}
		s, trimmed = s[:cut], true
	}
	var (
		start = len(dst)
		hard  = start + limit
		soft  = hard - len(ellipsis) // up to here an ellipsis still fits
		keep  = start
	)
	for i := 0; i < len(s); {
		j := i
		for j < len(s) && plain[s[j]] {
			j++
		}
		if j > i {
			if len(dst) <= soft {
				keep = min(len(dst)+j-i, soft) // plain bytes can be cut anywhere
			}
			dst = append(dst, s[i:j]...)
			i = j
		} else {
			var n int
			if c := s[i]; c < utf8.RuneSelf {
				n = 1
				if c == '\\' && escaped {
					dst = append(dst, `\\x5c`...)
				} else {
					dst = appendEscape(dst, rune(c))
				}
			} else {
				r, size := decodeRune(s[i:])
				n = size
				switch {
				case r == utf8.RuneError && size == 1:
					if !escaped {
						// From the first bad byte on the whole value is in escaped form, also what was already
						// written: begin again, once.
						escaped = true
						dst, keep, i = dst[:start], start, 0
						continue
					}
					dst = append(dst, '\\', '\\', 'x', hexDigits[s[i]>>4], hexDigits[s[i]&15])
				case hidden(r):
					dst = appendEscape(dst, r)
				default:
					dst = append(dst, s[i:i+size]...)
				}
			}
			i += n
			if len(dst) <= soft {
				keep = len(dst)
			}
		}
		if len(dst) > hard {
			trimmed = true
			break
		}
	}
	if trimmed {
		dst = append(dst[:keep], ellipsis...)
	}
	return dst, trimmed, escaped
}

func decodeRune[T string | []byte](s T) (rune, int) {
	var b [utf8.UTFMax]byte
	n := copy(b[:], s)
	return utf8.DecodeRune(b[:n])
}

// appendEscape appends one character as a JSON escape.
func appendEscape(dst []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(dst, '\\', byte(r))
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	if r > 0xffff {
		r -= 0x10000
		dst = appendUnit(dst, 0xd800+r>>10)
		return appendUnit(dst, 0xdc00+r&0x3ff)
	}
	return appendUnit(dst, r)
}

func appendUnit(dst []byte, u rune) []byte {
	return append(dst, '\\', 'u', hexDigits[u>>12&15], hexDigits[u>>8&15], hexDigits[u>>4&15], hexDigits[u&15])
}

// Unescape gives back the exact bytes of a value whose key is listed in a line's x.escaped: it turns every \xHH into the
// byte it stands for. It returns an error for a backslash that does not begin such a group; a line of this package never
// has one in a listed value.
func Unescape(value string) (string, error) {
	if strings.IndexByte(value, '\\') < 0 {
		return value, nil
	}
	out := make([]byte, 0, len(value))
	for i := 0; i < len(value); i++ {
		if value[i] != '\\' {
			out = append(out, value[i])
			continue
		}
		if i+3 >= len(value) || value[i+1] != 'x' {
			return "", errNotEscaped
		}
		c, err := strconv.ParseUint(value[i+2:i+4], 16, 8)
		if err != nil {
			return "", errNotEscaped
		}
		out = append(out, byte(c))
		i += 3
	}
	return string(out), nil
}

var errNotEscaped = errors.New(`audit: not an escaped value: a backslash without xHH`)

// appendTime appends t as RFC 3339 in UTC with exactly six digits of a second, quoted. Years outside 0 to 9999 have no
// form in RFC 3339 and are moved to the nearest that has.
func appendTime(dst []byte, t time.Time) []byte {
	t = t.UTC()
	year, month, day := t.Date()
	hour, minute, second := t.Clock()
	switch {
	case year < 0:
		year, month, day, hour, minute, second = 0, 1, 1, 0, 0, 0
	case year > 9999:
		year, month, day, hour, minute, second = 9999, 12, 31, 23, 59, 59
	}
	dst = append(dst, '"')
	dst = appendDigits(dst, year, 4)
	dst = appendDigits(append(dst, '-'), int(month), 2)
	dst = appendDigits(append(dst, '-'), day, 2)
	dst = appendDigits(append(dst, 'T'), hour, 2)
	dst = appendDigits(append(dst, ':'), minute, 2)
	dst = appendDigits(append(dst, ':'), second, 2)
	dst = appendDigits(append(dst, '.'), t.Nanosecond()/1000, 6)
	return append(dst, 'Z', '"')
}

func appendDigits(dst []byte, v, width int) []byte {
	for i := 0; i < width; i++ {
		dst = append(dst, '0')
	}
	for i := len(dst) - 1; width > 0; i, width = i-1, width-1 {
		dst[i] = byte('0' + v%10)
		v /= 10
	}
	return dst
}

// appendMillis appends d as milliseconds with three decimals: microseconds are what a clock inside a server is good for.
func appendMillis(dst []byte, d time.Duration) []byte {
	return appendThousandths(dst, d.Microseconds())
}

// appendSeconds appends d as seconds with six decimals (OpenTelemetry counts time in seconds).
func appendSeconds(dst []byte, d time.Duration) []byte {
	us := max(d.Microseconds(), 0)
	dst = strconv.AppendInt(dst, us/1e6, 10)
	return appendDigits(append(dst, '.'), int(us%1e6), 6)
}

func appendThousandths(dst []byte, v int64) []byte {
	v = max(v, 0) // a clock that was set back is not a negative duration
	dst = strconv.AppendInt(dst, v/1000, 10)
	return appendDigits(append(dst, '.'), int(v%1000), 3)
}

// appendFloat appends f, or null where JSON has no number for it.
func appendFloat(dst []byte, f float64) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	return strconv.AppendFloat(dst, f, 'g', -1, 64)
}

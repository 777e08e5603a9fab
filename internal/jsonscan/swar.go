package jsonscan

import (
	"encoding/binary"
	"math/bits"
)

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// special returns a word whose lowest set high bit marks the first byte of x that is a control character, a quote, a
// backslash or not ASCII. Borrows can raise false marks only above a true one, so the lowest is exact.
func special(x uint64) uint64 {
	quote := x ^ ones*'"'
	slash := x ^ ones*'\\'
	return (x | (x - ones*0x20) | (quote - ones) | (slash - ones)) & highs
}

// plain returns the index of the first byte of s at or after i that special marks, or len(s).
func plain(s []byte, i int) int {
	for ; i+16 <= len(s); i += 16 {
		a := special(binary.LittleEndian.Uint64(s[i:]))
		b := special(binary.LittleEndian.Uint64(s[i+8:]))
		if a|b != 0 {
			if a != 0 {
				return i + bits.TrailingZeros64(a)>>3
			}
			return i + 8 + bits.TrailingZeros64(b)>>3
		}
	}
	if i+8 <= len(s) {
		if a := special(binary.LittleEndian.Uint64(s[i:])); a != 0 {
			return i + bits.TrailingZeros64(a)>>3
		}
		i += 8
	}
	for ; i < len(s); i++ {
		if c := s[i]; c < 0x20 || c == '"' || c == '\\' || c >= 0x80 {
			break
		}
	}
	return i
}

// What a string contains besides plain ASCII.
const (
	hasEscape = 1 << iota
	hasUnicode
)

// scanString reads the string whose first byte after the opening quote is at i. It returns the index of the closing quote,
// or the place of the fault and a reason. lenient lets lone surrogates and bytes that are not UTF-8 pass.
func scanString(data []byte, i int, lenient bool) (end int, flags uint8, reason string) {
	for {
		i = plain(data, i)
		if i >= len(data) {
			return i, flags, "unterminated string"
		}
		c := data[i]
		switch {
		case c == '"':
			return i, flags, ""
		case c == '\\':
			flags |= hasEscape
			n, reason := escapeLen(data[i:])
			if reason != "" {
				if n == 0 || !lenient {
					return i, flags, reason
				}
			}
			i += n
		case c < 0x20:
			return i, flags, "control character in string"
		default:
			flags |= hasUnicode
			// Text that is not ASCII seldom comes alone: stay here instead of loading words that stop at once.
			for i < len(data) && data[i] >= 0x80 {
				n := runeLen(data[i:])
				if n == 0 {
					if !lenient {
						return i, flags, "invalid UTF-8"
					}
					n = 1
				}
				i += n
			}
		}
	}
}

// escapeLen returns the length of the escape at the start of b. A surrogate pair is one escape of twelve bytes; a lone
// surrogate has a length and a reason.
func escapeLen(b []byte) (int, string) {
	if len(b) < 2 {
		return 0, "unterminated string"
	}
	switch b[1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 2, ""
	case 'u':
	default:
		return 0, "invalid escape"
	}
	r, ok := hex4(b[2:])
	if !ok {
		return 0, "invalid escape"
	}
	if r < 0xD800 || r > 0xDFFF {
		return 6, ""
	}
	// RFC 8259 §8.2 leaves lone surrogates open, RFC 7493 §2.1 forbids them: decoders disagree, so they are refused.
	if r >= 0xDC00 || len(b) < 12 || b[6] != '\\' || b[7] != 'u' {
		return 6, "lone surrogate"
	}
	if low, ok := hex4(b[8:]); !ok || low < 0xDC00 || low > 0xDFFF {
		return 6, "lone surrogate"
	}
	return 12, ""
}

// runeLen returns the length of the UTF-8 sequence at the start of b, whose first byte is not ASCII, or 0 if it is not
// well formed (RFC 3629 §4: no overlong form, no surrogate, nothing above U+10FFFF).
func runeLen(b []byte) int {
	switch c := b[0]; {
	case c < 0xC2:
		return 0
	case c < 0xE0:
		if len(b) < 2 || b[1]&0xC0 != 0x80 {
			return 0
		}
		return 2
	case c < 0xF0:
		if len(b) < 3 || b[1]&0xC0 != 0x80 || b[2]&0xC0 != 0x80 {
			return 0
		}
		if c == 0xE0 && b[1] < 0xA0 || c == 0xED && b[1] > 0x9F {
			return 0
		}
		return 3
	case c < 0xF5:
		if len(b) < 4 || b[1]&0xC0 != 0x80 || b[2]&0xC0 != 0x80 || b[3]&0xC0 != 0x80 {
			return 0
		}
		if c == 0xF0 && b[1] < 0x90 || c == 0xF4 && b[1] > 0x8F {
			return 0
		}
		return 4
	}
	return 0
}

package fernet

import (
	"encoding/base64"
	"encoding/binary"
)

// The standard library's base64 takes a third of the time of a token. This one takes half of that, by looking up 12 bits at a time to
// encode and without special cases to decode. Tokens are public, so their bytes may choose places in a table; keys do not come here. The
// ends, with the padding, are left to the standard library.
const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"

// pairs has two characters for 12 bits.
var pairs = func() (t [1 << 12]uint16) {
	for i := range t {
		t[i] = uint16(alphabet[i>>6]) | uint16(alphabet[i&63])<<8
	}
	return t
}()

const noSextet = 1 << 31

// sextets has a character's six bits, at each of the four places in a group, or noSextet.
var sextets = func() (t [4][256]uint32) {
	for place := range t {
		for c := range t[place] {
			t[place][c] = noSextet
		}
		for i := range alphabet {
			t[place][alphabet[i]] = uint32(i) << (18 - 6*place)
		}
	}
	return t
}()

// strict refuses padding bits that are not zero. It still skips line breaks: whoever decodes must compare the length.
var strict = base64.URLEncoding.Strict()

// encode writes the text of src to dst, which has EncodedLen(len(src)) bytes. src may be the right end of dst: 12 bytes are read before
// they become 16, so what is written meets what is unread exactly at the end.
func encode(dst, src []byte) {
	for len(src) >= 14 && len(dst) >= 16 {
		a, b := binary.BigEndian.Uint64(src), binary.BigEndian.Uint64(src[6:])
		x := uint64(pairs[a>>52]) | uint64(pairs[a>>40&0xfff])<<16 | uint64(pairs[a>>28&0xfff])<<32 | uint64(pairs[a>>16&0xfff])<<48
		y := uint64(pairs[b>>52]) | uint64(pairs[b>>40&0xfff])<<16 | uint64(pairs[b>>28&0xfff])<<32 | uint64(pairs[b>>16&0xfff])<<48
		binary.LittleEndian.PutUint64(dst, x)
		binary.LittleEndian.PutUint64(dst[8:], y)
		src, dst = src[12:], dst[16:]
	}
	var end [13]byte
	base64.URLEncoding.Encode(dst, end[:copy(end[:], src)])
}

// decode writes what the text src means to dst, which has 3 bytes for every 4 of src, and returns how many bytes that is. Text is refused
// that encode would write differently, but for line breaks in its last 12 bytes: they make n smaller than the length of the text says.
func decode(dst, src []byte) (n int, ok bool) {
	var all uint32
	for len(src) > 12 && len(dst)-n >= 8 {
		a := sextets[0][src[0]] | sextets[1][src[1]] | sextets[2][src[2]] | sextets[3][src[3]]
		b := sextets[0][src[4]] | sextets[1][src[5]] | sextets[2][src[6]] | sextets[3][src[7]]
		all |= a | b
		binary.BigEndian.PutUint64(dst[n:], uint64(a)<<40|uint64(b)<<16)
		src = src[8:]
		n += 6
	}
	m, err := strict.Decode(dst[n:], src)
	return n + m, err == nil && all&noSextet == 0
}

package apikey

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"hash/crc32"
	"strings"
	"unsafe"
)

const (
	alphabet  = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	idLen     = 12 // 71 bits: two keys of one store do not meet by chance
	secretLen = 30 // 178.6 bits
	crcLen    = 6  // 62^6 > 2^32
	maxPrefix = 10
	maxEnv    = 12
)

// id is the public id of a key, in the form maps are keyed by.
type id [idLen]byte

// digits maps a byte to its value in base 62, or to 0xff.
var digits = func() (t [256]uint8) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range len(alphabet) {
		t[alphabet[i]] = uint8(i)
	}
	return t
}()

// Info is what a key says about itself to everyone who sees it.
type Info struct {
	// Prefix and Env are those of the Manager that made the key.
	Prefix, Env string
	// ID is the public id, as in [Record].
	ID string
}

// ErrNotKey means that a string does not have the form of a key, or that its checksum is wrong.
var ErrNotKey = errors.New("apikey: not a key")

// Inspect returns what the key says about itself, without knowing whether it was ever issued: for secret scanners, and to
// revoke a key that was found somewhere. Anything whose shape or checksum is wrong is [ErrNotKey].
func Inspect(key string) (Info, error) {
	prefix, rest, ok := strings.Cut(key, "_")
	env, _, ok2 := strings.Cut(rest, "_")
	if !ok || !ok2 || !validPrefix(prefix) || !validEnv(env) {
		return Info{}, ErrNotKey
	}
	f := newFormat(prefix, env)
	var k id
	if f.parse(key, &k) != wellFormed {
		return Info{}, ErrNotKey
	}
	return Info{Prefix: prefix, Env: env, ID: string(k[:])}, nil
}

func validPrefix(s string) bool {
	return len(s) >= 2 && len(s) <= maxPrefix && s[0] >= 'a' && lowerAlnum(s)
}

func validEnv(s string) bool { return len(s) >= 1 && len(s) <= maxEnv && lowerAlnum(s) }

func validHead(s string) bool {
	prefix, env, ok := strings.Cut(s, "_")
	return ok && validPrefix(prefix) && validEnv(env)
}

func lowerAlnum(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return true
}

// validID reports whether s has the form of a public id.
func validID(s string) bool { return len(s) == idLen && base62(s) }

func base62(s string) bool {
	var bad uint8
	for i := range len(s) {
		bad |= digits[s[i]]
	}
	return bad < 0x80 // digits are below 62, the mark of any other byte is 0xff
}

// format is the shape of one manager's keys.
type format struct {
	scheme string // "prefix_": by this a key is recognised
	head   string // "prefix_env_"
	size   int
}

func newFormat(prefix, env string) format {
	head := prefix + "_" + env + "_"
	return format{
		scheme: prefix + "_", head: head, size: len(head) + idLen + 1 + secretLen + crcLen,
	}
}

// name is the head as records have it: "prefix_env".
func (f *format) name() string { return strings.TrimSuffix(f.head, "_") }

// verdict is what the shape of a string says.
type verdict uint8

const (
	notOurs    verdict = iota // another prefix: another authenticator may know it
	malformed                 // ours by its prefix, and wrong
	wellFormed                // worth a lookup
)

// parse judges s by shape and checksum alone and, if it is well formed, stores its id in out.
func (f *format) parse(s string, out *id) verdict {
	v := f.shape(s, out)
	if v == wellFormed && !(base62(string(out[:])) && base62(s[f.size-crcLen-secretLen:f.size-crcLen])) {
		return malformed
	}
	return v
}

// shape is parse without a look at each character of id and secret. That is enough before a check: what has other characters and a
// right checksum has no right hash.
func (f *format) shape(s string, out *id) verdict {
	if !strings.HasPrefix(s, f.scheme) {
		return notOurs
	}
	if len(s) != f.size || s[len(f.scheme):len(f.head)] != f.head[len(f.scheme):] {
		return malformed
	}
	tail := s[len(f.head):]
	var bad uint8
	var sum uint64
	for _, c := range []byte(tail[idLen+1+secretLen:]) {
		d := digits[c]
		bad |= d
		sum = sum*62 + uint64(d)
	}
	if bad >= 0x80 || tail[idLen] != '_' || sum != uint64(checksum(s[:f.size-crcLen])) {
		return malformed
	}
	copy(out[:], tail)
	return wellFormed
}

// seal appends the checksum to prefix_env_id_secret.
func (f *format) seal(body string) string {
	var c [crcLen]byte
	sum := checksum(body)
	for i := crcLen - 1; i >= 0; i-- {
		c[i] = alphabet[sum%62]
		sum /= 62
	}
	return body + string(c[:])
}

// digest returns the SHA-256 of a well-formed key without its checksum.
func (f *format) digest(key string) Digest { return sha256.Sum256(bytesOf(key[:len(key)-crcLen])) }

// bytesOf returns the bytes of s without a copy, for functions that only read them: the compiler cannot see that they do, and a guess
// must not cost an allocation.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// checksum is CRC-32C.
func checksum(s string) uint32 { return crc32.Checksum(bytesOf(s), castagnoli) }

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// generate draws a new key and returns it with its id. crypto/rand does not fail: it ends the program instead.
func (f *format) generate() (key, keyID string) {
	keyID = random(idLen)
	return f.seal(f.head + keyID + "_" + random(secretLen)), keyID
}

// random draws n characters of the alphabet, each equally likely: bytes that would favour the first ones are thrown away.
func random(n int) string {
	const fair = 256 - 256%len(alphabet)
	out := make([]byte, 0, n)
	var buf [48]byte
	for {
		rand.Read(buf[:])
		for _, b := range buf {
			if int(b) >= fair {
				continue
			}
			out = append(out, alphabet[int(b)%len(alphabet)])
			if len(out) == n {
				clear(buf[:])
				return string(out)
			}
		}
	}
}

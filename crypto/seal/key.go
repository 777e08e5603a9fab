package seal

import (
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

const (
	keySize    = 32
	idSize     = 4
	redacted   = "[redacted seal key]"
	keyPrefix  = "mantlet-seal-v1_"
	secretText = (keySize*8 + 5) / 6 // base64url without padding
	keyTextLen = len(keyPrefix) + 2*idSize + 1 + secretText
)

// ID names a key in the boxes it made: 4 bytes, a fingerprint of the key, no secret. The zero ID names none.
type ID [idSize]byte

// ParseID reads an id as String writes it: 8 hexadecimal digits in lower case.
func ParseID(text string) (ID, error) {
	var id ID
	if len(text) != 2*idSize || strings.ToLower(text) != text {
		return ID{}, errors.New("seal: a key id is 8 digits of 0-9 a-f")
	}
	if _, err := hex.Decode(id[:], []byte(text)); err != nil {
		return ID{}, errors.New("seal: a key id is 8 digits of 0-9 a-f")
	}
	return id, nil
}

// String returns the id as 8 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText returns the id as String does.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads an id as ParseID does.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}

// Key is a key of a Keyring: 32 random bytes. It does not show itself: printing or logging one gives "[redacted seal key]", and marshalling
// one fails. Reveal is the only way to its text. Copies share one immutable secret; the zero Key is no key, and a Keyring refuses it. Keys
// cannot be compared with ==, which would take a time that depends on them: use Equal.
type Key struct {
	// A function, because package fmt prints an unexported field of a foreign struct without asking the methods below, and
	// shows of an array its bytes and even of a pointer what it points to (with %s). Of a function it knows the address only.
	secret func() *[keySize]byte
}

func newKey(secret *[keySize]byte) Key { return Key{func() *[keySize]byte { return secret }} }

// GenerateKey returns a new random key. It is safe for concurrent use.
func GenerateKey() Key {
	secret := new([keySize]byte)
	_, _ = rand.Read(secret[:]) // never fails (Go 1.24)
	return newKey(secret)
}

// ParseKey reads a key as Reveal writes it: "mantlet-seal-v1_", the id in 8 hexadecimal digits, "_", and the 32 bytes in 43 characters of
// base64url. The id must be the key's own, which catches a text that was mistyped or cut. Nothing else is a key: no spaces, no
// line break, no padding, no other alphabet. A key of zero bytes only is refused too: it is what an unset buffer looks like and
// everybody can guess it. The error does not contain the text.
func ParseKey(text string) (Key, error) {
	if len(text) != keyTextLen || !strings.HasPrefix(text, keyPrefix) {
		return Key{}, fmt.Errorf("seal: a key is %d characters and begins with %s%s", keyTextLen, keyPrefix, lengthFault(text))
	}
	id, secretPart := text[len(keyPrefix):][:2*idSize], text[keyTextLen-secretText:]
	b, err := base64.RawURLEncoding.Strict().DecodeString(secretPart)
	// The decoder skips line breaks, which would make a shorter key of the characters.
	if err != nil || len(b) != keySize || text[keyTextLen-secretText-1] != '_' {
		return Key{}, errors.New("seal: a key ends in _ and 32 bytes in base64url without padding (alphabet A-Z a-z 0-9 - _)")
	}
	secret := (*[keySize]byte)(b)
	if *secret == [keySize]byte{} {
		return Key{}, errors.New("seal: a key of zero bytes is no secret")
	}
	k := newKey(secret)
	if k.ID().String() != id {
		return Key{}, errors.New("seal: the id in the text is not that of the key: it was mistyped or cut")
	}
	return k, nil
}

// lengthFault says of a text that is no key what its length tells, for the end of a sentence.
func lengthFault(text string) string {
	switch n := len(text); {
	case n == keyTextLen:
		return ""
	case strings.HasSuffix(text, "\n"):
		return fmt.Sprintf(", not %d (a line break at the end?)", n)
	default:
		return fmt.Sprintf(", not %d", n)
	}
}

// Reveal returns the key's secret text, as ParseKey reads it, for saving it in a secret store. Of the zero Key it is "".
func (k Key) Reveal() string {
	if k.secret == nil {
		return ""
	}
	return keyPrefix + k.ID().String() + "_" + base64.RawURLEncoding.EncodeToString(k.secret()[:])
}

// ID returns the key's id, the zero ID of the zero Key.
func (k Key) ID() ID {
	if k.secret == nil {
		return ID{}
	}
	return ID(k.derive("id", idSize))
}

// derive returns the key for one use, so that no key ever serves two algorithms.
func (k Key) derive(use string, n int) []byte {
	b, err := hkdf.Expand(sha512.New, k.secret()[:], "mantlet seal v1 "+use, n)
	if err != nil {
		panic("seal: " + err.Error()) // only for more than 255 hashes of output, and under FIPS 140 for weak hashes and short keys
	}
	return b
}

// Equal reports in constant time whether two keys are the same. The zero Key equals nothing, not even itself.
func (k Key) Equal(other Key) bool {
	return k.secret != nil && other.secret != nil && subtle.ConstantTimeCompare(k.secret()[:], other.secret()[:]) == 1
}

// String returns "[redacted seal key]".
func (k Key) String() string { return redacted }

// GoString returns "[redacted seal key]".
func (k Key) GoString() string { return redacted }

// Format writes "[redacted seal key]" whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "[redacted seal key]".
func (k Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText fails. A placeholder would be saved in silence where the key was meant, and the key be lost with whatever it encrypts. Use
// Reveal to save a key.
func (k Key) MarshalText() ([]byte, error) { return nil, errMarshal }

// MarshalJSON fails, as MarshalText does.
func (k Key) MarshalJSON() ([]byte, error) { return nil, errMarshal }

var errMarshal = errors.New("seal: a Key is not marshalled: Reveal is its text")

package fernet

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
)

const (
	keySize    = 32 // signing key, then encryption key, 16 bytes each
	redacted   = "[redacted fernet key]"
	keyTextLen = (keySize + 2) / 3 * 4
)

// Key is a Fernet key. It does not show itself: printing or logging one gives "[redacted fernet key]", and marshalling one fails. Reveal
// is the only way to its text. Copies share one immutable secret; the zero Key is no key, and New refuses it. Keys cannot be compared
// with ==, which would take a time that depends on them: use Equal.
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

// ParseKey reads a key in the form of the specification: 44 characters of base64url, padding included. It is as strict as
// the decoding of tokens: no spaces, no line break, no standard alphabet. A key of zero bytes only is refused too: it is what an
// unset buffer looks like and everybody can guess it. The error does not contain the text.
func ParseKey(text string) (Key, error) { return parseKey([]byte(text)) }

// parseKey leaves no copy of the key behind but its own.
func parseKey(text []byte) (Key, error) {
	if len(text) != keyTextLen {
		return Key{}, fmt.Errorf("fernet: a key has %d characters, not %d", keyTextLen, len(text))
	}
	b := make([]byte, keyTextLen/4*3)
	n, err := strict.Decode(b, text)
	// The decoder skips line breaks, which would make a shorter key of the 44 characters.
	if err != nil || n != keySize {
		clear(b)
		return Key{}, errors.New("fernet: a key is 32 bytes in base64url with padding (alphabet A-Z a-z 0-9 - _)")
	}
	secret := (*[keySize]byte)(b)
	if *secret == [keySize]byte{} {
		return Key{}, errors.New("fernet: a key of zero bytes is no secret")
	}
	return newKey(secret), nil
}

// Reveal returns the key's secret text, as ParseKey reads it, for saving it in a secret store. Of the zero Key it is "".
func (k Key) Reveal() string {
	if k.secret == nil {
		return ""
	}
	return base64.URLEncoding.EncodeToString(k.secret()[:])
}

// Equal reports in constant time whether two keys are the same. The zero Key equals nothing, not even itself.
func (k Key) Equal(other Key) bool {
	return k.secret != nil && other.secret != nil && subtle.ConstantTimeCompare(k.secret()[:], other.secret()[:]) == 1
}

// String returns "[redacted fernet key]".
func (k Key) String() string { return redacted }

// GoString returns "[redacted fernet key]".
func (k Key) GoString() string { return redacted }

// Format writes "[redacted fernet key]" whatever the verb.
func (k Key) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// LogValue returns "[redacted fernet key]".
func (k Key) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalText fails. A placeholder would be saved in silence where the key was meant, and the key be lost with whatever it encrypts. Use
// Reveal to save a key.
func (k Key) MarshalText() ([]byte, error) { return nil, errMarshal }

// MarshalJSON fails, as MarshalText does.
func (k Key) MarshalJSON() ([]byte, error) { return nil, errMarshal }

var errMarshal = errors.New("fernet: a Key is not marshalled: Reveal is its text")

package fernet_test

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"testing"

	"github.com/mantlet-go/mantlet/crypto/fernet"
)

// base64Agrees compares with the standard library: b as bytes to encode, also from the right end of the place for its text, and as a text.
func base64Agrees(t *testing.T, b []byte) {
	t.Helper()
	want := base64.URLEncoding.EncodeToString(b)
	dst := make([]byte, len(want)+8)
	fernet.Encode(dst[:len(want)], b)
	if string(dst[:len(want)]) != want || !bytes.Equal(dst[len(want):], make([]byte, 8)) {
		t.Errorf("%d bytes: another text", len(b))
	}
	at := len(want) - len(b)
	copy(dst[at:], b)
	fernet.Encode(dst[:len(want)], dst[at:len(want)])
	if string(dst[:len(want)]) != want {
		t.Errorf("%d bytes in their place: another text", len(b))
	}
	base64Reads(t, []byte(want))
	base64Reads(t, b)
}

func base64Reads(t *testing.T, text []byte) {
	t.Helper()
	text = text[:len(text)/4*4]
	want, err := base64.URLEncoding.Strict().DecodeString(string(text))
	dst := make([]byte, len(text)/4*3+8)
	n, ok := fernet.Decode(dst[:len(text)/4*3], text)
	whole := err == nil && !bytes.ContainsAny(text, "\r\n")
	switch {
	case whole && !ok:
		t.Errorf("%q is refused", text)
	case ok && (err != nil || !bytes.Equal(dst[:n], want)):
		t.Errorf("%q: another meaning (%v)", text, err)
	case ok && !whole && n == len(text)/4*3-bytes.Count(text, []byte("=")):
		t.Errorf("%q: a line break does not show", text)
	}
	if !bytes.Equal(dst[len(dst)-8:], make([]byte, 8)) {
		t.Errorf("%q: written beyond its place", text)
	}
}

func TestBase64IsThatOfTheStandardLibrary(t *testing.T) {
	r := rand.NewChaCha8([32]byte{1})
	for n := range 40 {
		b := make([]byte, n)
		r.Read(b)
		base64Agrees(t, b)
		text := []byte(base64.URLEncoding.EncodeToString(b))
		for at := range text { // every character at every place of a text, good and bad ones
			for _, c := range []byte("A_-+/=\n\r \x00\xff~") {
				bad := bytes.Clone(text)
				bad[at] = c
				base64Reads(t, bad)
			}
		}
	}
}

func FuzzBase64(f *testing.F) {
	f.Add([]byte(specKey))
	f.Add([]byte("AAAA\nAAAAAAAAAAAAAAAAAAAAAAA\n"))
	f.Add(bytes.Repeat([]byte("x_-="), 20))
	f.Fuzz(func(t *testing.T, b []byte) { base64Agrees(t, b) })
}

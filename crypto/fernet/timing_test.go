package fernet_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/mantlet-go/mantlet/crypto/fernet"
	"github.com/mantlet-go/mantlet/internal/dudect"
)

// The kinds are what somebody without the key can make of a genuine token: changed so that its padding would be bad if anybody looked,
// changed so that it would be good, and with a MAC that differs in its first or in its last byte. A token with a good MAC over bad padding,
// which takes the key to make and is decrypted, shows that the measurement can tell.
func TestTimingIsNoPaddingOracle(t *testing.T) {
	samples := dudect.Samples(t, "./crypto/fernet")
	kinds := []string{"bad MAC, bad padding", "bad MAC, good padding", "bad first byte of the MAC", "bad last byte of the MAC", "good MAC, bad padding"}
	dudect.Compare(t, samples, kinds, func() (prepare func(kind int), run func()) {
		key := fernet.GenerateKey()
		ring := mustRing(t, fernet.Config{Keys: []fernet.Key{key}})
		const each = 16
		tokens := make([][][]byte, len(kinds))
		for range each {
			good := ring.AppendEncrypt(nil, make([]byte, 1000), t0)
			raw, err := base64.URLEncoding.DecodeString(string(good))
			if err != nil {
				t.Fatal(err)
			}
			end := len(raw) - 32 // of the text
			for i, at := range []int{
				end - 16 - 1, // the last byte of the block before the last one: it decides on the last byte of the padding
				10,           // the IV: it decides on the first block of the message
				end, len(raw) - 1,
			} {
				bad := bytes.Clone(raw)
				bad[at] ^= 0x40
				tokens[i] = append(tokens[i], []byte(base64.URLEncoding.EncodeToString(bad)))
			}
			padded := bytes.Repeat([]byte{0xff}, end-25)
			tokens[4] = append(tokens[4], forge(key, sealed(key, uint64(t0.Unix()), padded)))
		}
		tok, dst := make([]byte, len(tokens[0][0])), make([]byte, 0, len(tokens[0][0]))
		prepare = func(kind int) {
			if copy(tok, tokens[kind][rand.IntN(each)]) != len(tok) {
				t.Fatal("the lengths differ")
			}
		}
		return prepare, func() {
			if _, err := ring.AppendDecrypt(dst, tok, t0); !errors.Is(err, fernet.ErrInvalid) {
				t.Fatal("accepted")
			}
		}
	})
}

package fernet_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/fernet"
	"github.com/mantlet-go/mantlet/internal/corpus"
)

// The vectors of Project Wycheproof for what a token is made of. Of its other files that could concern the packages beside this one, those
// for AES-GCM go through crypto/internal/xaes. Those for HKDF with SHA-256 have no way into crypto/seal and crypto/internal/chunked, which
// use the expansion alone (of crypto/hkdf), with SHA-512 and texts of their own as info.

// bytesOfHex is what a vector has in hexadecimal.
type bytesOfHex []byte

func (b *bytesOfHex) UnmarshalText(text []byte) (err error) {
	*b, err = hex.DecodeString(string(text))
	return err
}

type wycheproofGroup[T any] struct {
	KeySize, TagSize int
	Tests            []T
}

func wycheproof[T any](t *testing.T, name string) []wycheproofGroup[T] {
	var f struct{ TestGroups []wycheproofGroup[T] }
	if err := json.Unmarshal(corpus.Read(t, "conformance/wycheproof/"+name+".json"), &f); err != nil {
		t.Fatal(err)
	}
	return f.TestGroups
}

// Through AppendDecrypt: the ciphertext of a vector in a token whose MAC is right, since what decrypts and takes off the padding is reached
// by no other way.
func TestWycheproofAESCBCPKCS5(t *testing.T) {
	n, invalid := 0, 0
	now := time.Unix(1_000_000_000, 0)
	for _, g := range wycheproof[struct {
		TcID             int
		Comment, Result  string
		Key, IV, Msg, Ct bytesOfHex
	}](t, "aes_cbc_pkcs5_test") {
		if g.KeySize != 128 { // Fernet has no other
			continue
		}
		for _, v := range g.Tests {
			key := mustKey(t, base64.URLEncoding.EncodeToString(append([]byte("any signing key."), v.Key...)))
			ring := mustRing(t, fernet.Config{Keys: []fernet.Key{key}, TTL: time.Minute})
			signed := append(append([]byte{0x80, 0, 0, 0, 0, 0x3b, 0x9a, 0xca, 0x00}, v.IV...), v.Ct...)
			msg, err := ring.AppendDecrypt(nil, forge(key, signed), now)
			n++
			if v.Result != "valid" {
				if invalid++; err != fernet.ErrInvalid || msg != nil {
					t.Errorf("%d (%s): %x, %v; want it refused", v.TcID, v.Comment, msg, err)
				}
				continue
			}
			if err != nil || !bytes.Equal(msg, v.Msg) {
				t.Errorf("%d (%s): %x, %v; want %x", v.TcID, v.Comment, msg, err, v.Msg)
			}
			pad := 16 - len(v.Msg)%16
			text := append(bytes.Clone(v.Msg), bytes.Repeat([]byte{byte(pad)}, pad)...)
			if fernet.EncryptCBC(key, v.IV, text); !bytes.Equal(text, v.Ct) {
				t.Errorf("%d (%s): encrypted to %x, want %x", v.TcID, v.Comment, text, v.Ct)
			}
		}
	}
	if n < 72 || invalid == 0 {
		t.Errorf("%d vectors, %d of them invalid", n, invalid)
	}
}

func TestWycheproofHMACSHA256(t *testing.T) {
	n := 0
	for _, g := range wycheproof[struct {
		TcID            int
		Comment, Result string
		Key, Msg, Tag   bytesOfHex
	}](t, "hmac_sha256_test") {
		if g.KeySize != 128 || g.TagSize != 256 { // other keys and MACs that were cut cannot be in a token
			continue
		}
		for _, v := range g.Tests {
			n++
			key := mustKey(t, base64.URLEncoding.EncodeToString(append(bytes.Clone(v.Key), "any other secret"...)))
			mac, valid := fernet.MAC(key, v.Msg), v.Result == "valid"
			if bytes.Equal(mac, v.Tag) != valid || fernet.Matches(key, v.Msg, v.Tag) != valid {
				t.Errorf("%d (%s): %x; %x is %s", v.TcID, v.Comment, mac, v.Tag, v.Result)
			}
		}
	}
	if n < 3 {
		t.Errorf("%d vectors", n)
	}
}

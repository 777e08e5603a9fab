package fernet_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/fernet"
)

var benchSizes = []struct {
	name string
	n    int
}{{"100B", 100}, {"4KB", 4 << 10}, {"1MB", 1 << 20}}

func BenchmarkAppendEncrypt(b *testing.B) {
	ring := mustRing(b, fernet.Config{Keys: []fernet.Key{fernet.GenerateKey()}})
	for _, s := range benchSizes {
		b.Run(s.name, func(b *testing.B) {
			msg := make([]byte, s.n)
			dst := make([]byte, 0, fernet.EncodedLen(s.n))
			b.ReportAllocs()
			b.SetBytes(int64(s.n))
			for b.Loop() {
				dst = ring.AppendEncrypt(dst[:0], msg, t0)
			}
		})
	}
}

func BenchmarkAppendDecrypt(b *testing.B) {
	ring := mustRing(b, fernet.Config{Keys: []fernet.Key{fernet.GenerateKey()}})
	for _, s := range benchSizes {
		b.Run(s.name, func(b *testing.B) {
			tok := ring.AppendEncrypt(nil, make([]byte, s.n), t0)
			dst := make([]byte, 0, len(tok))
			b.ReportAllocs()
			b.SetBytes(int64(s.n))
			for b.Loop() {
				if _, err := ring.AppendDecrypt(dst, tok, t0); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// What the standard library's primitives cost alone, on the same bytes: the floor for the two benchmarks above.
func BenchmarkPrimitives(b *testing.B) {
	key := bytes.Repeat([]byte{1}, 16)
	block, err := aes.NewCipher(key)
	if err != nil {
		b.Fatal(err)
	}
	for _, s := range benchSizes {
		buf := make([]byte, s.n/16*16+16)
		iv := make([]byte, 16)
		run := func(name string, f func()) {
			b.Run(name+"/"+s.name, func(b *testing.B) {
				b.ReportAllocs()
				b.SetBytes(int64(s.n))
				for b.Loop() {
					f()
				}
			})
		}
		run("CBC-encrypt", func() { cipher.NewCBCEncrypter(block, iv).CryptBlocks(buf, buf) })
		run("CBC-decrypt", func() { cipher.NewCBCDecrypter(block, iv).CryptBlocks(buf, buf) })
		run("HMAC-SHA256", func() {
			m := hmac.New(sha256.New, key)
			m.Write(buf)
			m.Sum(iv[:0:0])
		})
		text := make([]byte, base64.URLEncoding.EncodedLen(len(buf)))
		run("base64-encode", func() { base64.URLEncoding.Encode(text, buf) })
		run("base64-decode", func() {
			if _, err := base64.URLEncoding.Decode(buf, text); err != nil {
				b.Fatal(err)
			}
		})
	}
}

// An attacker's best case: a well formed token that fits no key. The cost grows with the number of keys, hence MaxKeys.
func BenchmarkForgedToken(b *testing.B) {
	tok := mustRing(b, fernet.Config{Keys: []fernet.Key{fernet.GenerateKey()}}).Encrypt(make([]byte, 100))
	for _, n := range []int{1, 2, fernet.MaxKeys} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			var keys []fernet.Key
			for range n {
				keys = append(keys, fernet.GenerateKey())
			}
			ring := mustRing(b, fernet.Config{Keys: keys, TTL: time.Hour})
			dst := make([]byte, 0, len(tok))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := ring.AppendDecrypt(dst, tok, t0); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}

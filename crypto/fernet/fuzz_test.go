package fernet_test

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/fernet"
)

// The property: no panic whatever the token, also with a right MAC around it (signed); what is accepted is canonical.
func FuzzDecrypt(f *testing.F) {
	key := mustKey(f, specKey)
	ring := mustRing(f, fernet.Config{Keys: []fernet.Key{fernet.GenerateKey(), key}, TTL: time.Minute})
	f.Add([]byte("gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="), false)
	f.Add([]byte("gAAA"), false)
	for _, n := range []int{9, 20, 25, 41} { // fernet-go panics at the first three
		f.Add(sealed(key, uint64(t0.Unix()), bytes.Repeat([]byte{16}, 16))[:n], true)
	}
	f.Add(sealed(key, uint64(t0.Unix()), bytes.Repeat([]byte{17}, 32)), true)
	f.Fuzz(func(t *testing.T, tok []byte, signed bool) {
		if signed {
			tok = forge(key, tok)
		}
		before := bytes.Clone(tok)
		msg, err := ring.AppendDecrypt(nil, tok, t0)
		if !bytes.Equal(tok, before) {
			t.Fatal("the token was written to")
		}
		if err != nil {
			if msg != nil {
				t.Fatalf("%q beside %v", msg, err)
			}
			return
		}
		raw, err := base64.URLEncoding.DecodeString(string(tok))
		if err != nil || base64.URLEncoding.EncodeToString(raw) != string(tok) {
			t.Fatalf("accepted a token that is not canonical: %q", tok)
		}
		if len(tok) != fernet.EncodedLen(len(msg)) {
			t.Fatalf("a token of %d bytes for %q", len(tok), msg)
		}
	})
}

// The property: encryption undone is the message, at every age within the TTL and by every key of the ring, also rotated, also
// behind other bytes.
func FuzzRoundTrip(f *testing.F) {
	old, newest := fernet.GenerateKey(), fernet.GenerateKey()
	before := mustRing(f, fernet.Config{Keys: []fernet.Key{old}, TTL: time.Minute})
	both := mustRing(f, fernet.Config{Keys: []fernet.Key{newest, old}, TTL: time.Minute})
	f.Add([]byte("hello"), []byte("before "), int64(499162800), uint8(3))
	f.Add([]byte{}, []byte{}, int64(-1), uint8(61))
	f.Fuzz(func(t *testing.T, msg, prefix []byte, sec int64, age uint8) {
		sec %= 1 << 40
		made := time.Unix(sec, 0)
		tok := before.AppendEncrypt(bytes.Clone(prefix), msg, made)
		if !bytes.HasPrefix(tok, prefix) {
			t.Fatal("lost what was there")
		}
		tok = tok[len(prefix):]
		moved, err := both.Rotate(tok)
		if err != nil {
			t.Fatal(err)
		}
		now := made.Add(time.Duration(age) * time.Second)
		expired := max(now.Unix(), 0)-max(sec, 0) > 60
		for _, tk := range [][]byte{tok, moved} {
			got, err := both.AppendDecrypt(bytes.Clone(prefix), tk, now)
			if expired {
				if err != fernet.ErrExpired {
					t.Fatalf("%d seconds old: %v", age, err)
				}
				continue
			}
			if err != nil || !bytes.Equal(got, append(bytes.Clone(prefix), msg...)) {
				t.Fatalf("%q %v", got, err)
			}
		}
	})
}

// The property: a key that is accepted is written back exactly as it came.
func FuzzParseKey(f *testing.F) {
	f.Add(specKey)
	f.Add(specKey[:43] + "\n")
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := fernet.ParseKey(s); err == nil && k.Reveal() != s {
			t.Fatalf("%q became another key", s)
		}
	})
}

// A list that is read is read again from what it is written as, and no error shows a piece of it.
func FuzzParseKeys(f *testing.F) {
	f.Add(specKey)
	f.Add(specKey + ",\n" + fernet.GenerateKey().Reveal() + " " + fernet.GenerateKey().Reveal())
	f.Add("," + specKey)
	f.Add(specKey[:43] + "\n=")
	f.Fuzz(func(t *testing.T, list string) {
		keys, err := fernet.ParseKeys(list)
		if err != nil {
			if keys != nil {
				t.Error("keys and an error")
			}
			return
		}
		if len(keys) == 0 || len(keys) > fernet.MaxKeys {
			t.Fatalf("%d keys", len(keys))
		}
		var texts []string
		for _, k := range keys {
			texts = append(texts, k.Reveal())
		}
		again, err := fernet.ParseKeys(strings.Join(texts, ","))
		if err != nil || !sameKeys(keys, again) {
			t.Errorf("%v", err)
		}
	})
}

// What is accepted as a key file is what would be written, but for the end of the last line.
func FuzzKeyFile(f *testing.F) {
	f.Add([]byte(specKey + "\n"))
	f.Add([]byte(specKey + "\n" + fernet.GenerateKey().Reveal()))
	f.Add([]byte(specKey + "\r\n\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		keys, err := fernet.DecodeKeyFile(data)
		if err == nil && string(fernet.EncodeKeyFile(keys)) != strings.TrimSuffix(string(data), "\n")+"\n" {
			t.Error("another file")
		}
	})
}

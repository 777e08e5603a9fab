package fernet

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"sync"
)

// A cryptor is one key, with a pool of states that are costly to set up: an HMAC keeps its keyed start, a CBC mode its
// expanded key. A state belongs to one call at a time. What it keeps of the last token is no secret: IV and MAC, and up to 63 bytes
// of its end, in the buffer of SHA-256.
type cryptor struct{ pool sync.Pool }

type state struct {
	hmac  hash.Hash
	block cipher.Block
	enc   cipher.BlockMode
	dec   cipher.BlockMode
	sum   [macSize]byte
}

func newCryptor(k Key) *cryptor {
	secret := *k.secret()
	return &cryptor{pool: sync.Pool{New: func() any {
		block, err := aes.NewCipher(secret[16:])
		if err != nil {
			panic("fernet: " + err.Error()) // 16 bytes are always a key
		}
		var iv [blockSize]byte
		return &state{
			hmac:  hmac.New(sha256.New, secret[:16]),
			block: block,
			enc:   cipher.NewCBCEncrypter(block, iv[:]),
			dec:   cipher.NewCBCDecrypter(block, iv[:]),
		}
	}}}
}

func (c *cryptor) get() *state  { return c.pool.Get().(*state) }
func (c *cryptor) put(s *state) { c.pool.Put(s) }

// ivSetter is implemented by the CBC modes of the standard library (crypto/tls relies on it too). It saves one allocation a
// token.
type ivSetter interface{ SetIV(iv []byte) }

func (s *state) encrypt(iv, text []byte) {
	m, ok := s.enc.(ivSetter)
	if !ok {
		cipher.NewCBCEncrypter(s.block, iv).CryptBlocks(text, text)
		return
	}
	m.SetIV(iv)
	s.enc.CryptBlocks(text, text)
}

func (s *state) decrypt(iv, text []byte) {
	m, ok := s.dec.(ivSetter)
	if !ok {
		cipher.NewCBCDecrypter(s.block, iv).CryptBlocks(text, text)
		return
	}
	m.SetIV(iv)
	s.dec.CryptBlocks(text, text)
}

// mac returns the MAC of b, valid until the state is used again.
func (s *state) mac(b []byte) []byte {
	s.hmac.Reset()
	_, _ = s.hmac.Write(b) // never fails (hash.Hash)
	return s.hmac.Sum(s.sum[:0])
}

// matches compares in constant time.
func (s *state) matches(b, mac []byte) bool {
	return subtle.ConstantTimeCompare(s.mac(b), mac) == 1
}

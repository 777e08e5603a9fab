package xaes

import (
	"crypto/cipher"
	"crypto/fips140"
	"slices"
	"sync"
)

// SealWithNonce is Seal with a nonce of the caller's, as the vectors need it. It makes the message's key as Seal does, and leaves
// the second half of the nonce to plain GCM, also under GODEBUG=fips140=only.
func (k *Key) SealWithNonce(nonce *[NonceSize]byte, msg, aad []byte) (box []byte) {
	fips140.WithoutEnforcement(func() {
		gcm, err := cipher.NewGCM(newAES((*[KeySize]byte)(k.MessageKey(nonce))))
		if err != nil {
			panic(err)
		}
		box = gcm.Seal(slices.Clone(nonce[:]), nonce[half:], msg, aad)
	})
	return box
}

// MessageKey makes a message's key a second time, by the letter of the specification.
func (k *Key) MessageKey(nonce *[NonceSize]byte) []byte {
	var key []byte
	for i := byte(1); i <= 2; i++ {
		m := append([]byte{0, i, 'X', 0}, nonce[:half]...)
		for j := range m {
			m[j] ^= k.k1[j]
		}
		k.block.Encrypt(m, m)
		key = append(key, m...)
	}
	return key
}

// K1 is the subkey of CMAC.
func (k *Key) K1() []byte { return k.k1[:] }

// WatchScratches has the places where keys are derived made anew, and returns those made since then.
func WatchScratches(t interface{ Cleanup(func()) }) (all func() [][]byte) {
	var made [][]byte
	scratches = &sync.Pool{New: func() any {
		s := new(scratch)
		made = append(made, s[:])
		return s
	}}
	t.Cleanup(func() { scratches = &sync.Pool{New: func() any { return new(scratch) }} })
	return func() [][]byte { return made }
}

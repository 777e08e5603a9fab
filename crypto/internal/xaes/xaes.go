// Package xaes is XAES-256-GCM as specified by C2SP (https://c2sp.org/XAES-256-GCM): AES-256-GCM with a nonce of 192 bits, long
// enough to be drawn at random for practically any number of messages (2^80 messages under one key have a chance of 2^-32 that two
// share a nonce). From the key and the first half of the nonce two AES blocks make the key of the message; the second half is its
// GCM nonce.
//
// It is put together from what the standard library allows in every mode, GODEBUG=fips140=only included: the second half of the
// nonce is drawn by cipher.NewGCMWithRandomNonce itself, which writes it in front of the ciphertext, exactly where the format wants
// it. So a nonce can neither be chosen nor repeated by a caller.
//
// What it does not do: GCM does not commit to its key, so somebody who knows two keys can make one box that opens under both.
//
// Cost: 2 allocations for a box when the destination has room (the message's AES and GCM states, 1.3 KB), and time linear in the
// length.
package xaes

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"slices"
	"sync"

	"github.com/mantlet-go/mantlet/crypto/internal/alias"
)

const (
	// KeySize is the length of a key in bytes.
	KeySize = 32
	// NonceSize is the length of the nonce in front of a ciphertext, in bytes.
	NonceSize = 24
	// Overhead is by how many bytes a box is longer than its message: the nonce and a tag of 16 bytes.
	Overhead = NonceSize + tagSize

	// InPlace is how far behind the end of dst a message is best placed that Seal shall overwrite with its box.
	InPlace = half

	tagSize = 16
	half    = NonceSize / 2
)

// ErrOpen is returned for a box that is not genuine.
var ErrOpen = errors.New("xaes: message authentication failed")

// A Key seals and opens boxes. It is immutable and safe for concurrent use.
type Key struct {
	block cipher.Block
	k1    [aes.BlockSize]byte // the subkey of CMAC (NIST SP 800-38B, section 6.1)
}

// New makes a Key of 32 uniformly random bytes.
func New(key *[KeySize]byte) *Key {
	k := &Key{block: newAES(key)}
	k.block.Encrypt(k.k1[:], k.k1[:])
	var carry byte
	for i := len(k.k1) - 1; i >= 0; i-- {
		k.k1[i], carry = k.k1[i]<<1|carry, k.k1[i]>>7
	}
	k.k1[len(k.k1)-1] ^= -carry & 0x87 // without a branch on a secret bit
	return k
}

func newAES(key *[KeySize]byte) cipher.Block {
	b, err := aes.NewCipher(key[:])
	if err != nil {
		panic("xaes: " + err.Error()) // 32 bytes are always a key
	}
	return b
}

// Seal appends the box of msg to dst: nonce, ciphertext, tag. The free capacity of dst may overlap msg in any way (the message
// is moved first), but not aad.
func (k *Key) Seal(dst, msg, aad []byte) []byte {
	at := len(dst)
	size := Overhead + len(msg)
	dst = slices.Grow(dst, size)[:at+size]
	out := dst[at:]
	if alias.Overlap(out, msg) {
		// GCM wants its text where its own output begins, the second half of the nonce.
		copy(out[half:], msg) // nothing, if it is there already
		msg = out[half:][:len(msg)]
	}
	_, _ = rand.Read(out[:half]) // never fails (Go 1.24)
	k.message(out[:half]).Seal(out[half:half], nil, msg, aad)
	return dst
}

// Open appends the message of box to dst, or returns nil and ErrOpen. The free capacity of dst may overlap box in any way, but not
// aad; box is lost then, also when it does not open.
func (k *Key) Open(dst, box, aad []byte) ([]byte, error) {
	if len(box) < Overhead {
		return nil, ErrOpen
	}
	aead := k.message(box[:half])
	box = box[half:]
	at := len(dst)
	// With room for all of the box, where an overlapping one is moved to.
	dst = slices.Grow(dst, len(box))
	if out := dst[at : at+len(box)]; alias.Overlap(out, box) {
		copy(out, box)
		box = out
	}
	dst, err := aead.Open(dst, nil, box, aad)
	if err != nil {
		return nil, ErrOpen
	}
	return dst, nil
}

// scratch is what the derivation of a message's key writes to. Not on the stack: cipher.Block is an interface, so the compiler has
// to suppose that it keeps its arguments.
type scratch [KeySize]byte

var scratches = &sync.Pool{New: func() any { return new(scratch) }}

// message returns GCM under the key of the message whose nonce begins with prefix, 12 bytes. The derivation is the counter mode
// of NIST SP 800-108r1 with CMAC-AES256, which comes down to one block for each half of the key.
func (k *Key) message(prefix []byte) cipher.AEAD {
	s := scratches.Get().(*scratch)
	for i := range 2 {
		m := s[i*aes.BlockSize:][:aes.BlockSize]
		m[0], m[1], m[2], m[3] = 0, byte(i+1), 'X', 0
		copy(m[4:], prefix)
		for j := range m {
			m[j] ^= k.k1[j]
		}
		k.block.Encrypt(m, m)
	}
	aead, err := cipher.NewGCMWithRandomNonce(newAES((*[KeySize]byte)(s)))
	if err != nil {
		panic("xaes: " + err.Error()) // the cipher is crypto/aes's, the one condition there is
	}
	clear(s[:])
	scratches.Put(s)
	return aead
}

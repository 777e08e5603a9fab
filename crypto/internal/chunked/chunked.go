// Package chunked is the chunked encryption of C2SP (https://c2sp.org/chunked-encryption) with HKDF-SHA-512 and AES-256-GCM,
// which the specification calls Cobblestone-256: a message of any length, encrypted and read in constant memory, with random
// access.
//
//	offset  length  what
//	0       24      salt, random
//	24      32      key commitment
//	56      ...     chunks of 16384 bytes, each followed by its tag of 16; the last one is shorter, perhaps empty
//
// The key of the chunks, the nonce of the first one and the commitment are made of the input key, the salt and a context by
// HKDF-Expand; chunk k has that nonce with k XORed into its end. A chunk knows its place by its nonce, and the last one is known by its
// length: a message that ends with a full chunk has lost its end.
//
// Nothing here starts a goroutine that outlives the call it was started in, so a Writer or Reader that is given up leaks nothing. Only
// ReadFrom, WriteTo and a large Write have work for several workers, and only the caller's goroutine reads and writes.
package chunked

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"sync"
)

const (
	// KeySize is the length of an input key in bytes.
	KeySize = 32
	// ChunkSize is the length of every chunk but the last one, in bytes of the message.
	ChunkSize = 16 << 10
	// HeaderSize is the length of what precedes the chunks.
	HeaderSize = saltSize + commitmentSize
	// MaxChunks is how many chunks a message may have: together 2^52-1 bytes at most.
	MaxChunks = 1 << 38

	saltSize       = 24
	commitmentSize = 32
	nonceSize      = 12
	tagSize        = 16
	sealedSize     = ChunkSize + tagSize

	info = "c2sp.org/chunked-encryption@v1+" + "AEAD_AES_256_GCM" + "\x00"

	batch = 4 // chunks that a Writer passes on at once, and a Reader asks for
)

var (
	// ErrInvalid is returned for what is not the ciphertext of its key and context.
	ErrInvalid = errors.New("chunked: invalid ciphertext")
	// ErrTruncated is returned where the ciphertext ends behind a full chunk, or has none.
	ErrTruncated = errors.New("chunked: truncated ciphertext")
	// ErrTooLarge is returned for a message of more than MaxChunks chunks.
	ErrTooLarge = errors.New("chunked: message too large")
	// ErrClosed is returned by Write after Close.
	ErrClosed = errors.New("chunked: write after Close")
	// ErrBusy is returned for a call of a Writer's method during another one.
	ErrBusy = errors.New("chunked: two calls at once")
	// ErrInterrupted is what a Writer has left to say when somebody else's code has panicked in the middle of it. Going on, if only by a
	// deferred Close, would make a whole message of a part, or could use the number of a chunk twice.
	ErrInterrupted = errors.New("chunked: interrupted by a panic")
	// ErrCount is returned for a Reader or Writer of somebody else's that says it has done more than it was asked for, or less than nothing.
	ErrCount = errors.New("chunked: an impossible count")
	// ErrOffset is returned by ReadAt for a negative offset.
	ErrOffset = errors.New("chunked: negative offset")
	// ErrFIPS is returned by NewWriter under GODEBUG=fips140=only, which lets nobody choose the nonce of GCM.
	ErrFIPS = errors.New("chunked: encryption is not possible under GODEBUG=fips140=only")
)

// stream is the state of one message. It is immutable and safe for concurrent use.
type stream struct {
	aead cipher.AEAD
	// prefixed says that aead takes the nonce from in front of a ciphertext: the one form that GODEBUG=fips140=only allows. It can
	// open anything then, and seals under random nonces only, which is not what this format needs.
	prefixed   bool
	base       [nonceSize]byte
	commitment [commitmentSize]byte
}

func newStream(key *[KeySize]byte, salt, context []byte) *stream {
	b, err := hkdf.Expand(sha512.New, key[:], info+string(salt)+string(context), KeySize+nonceSize+commitmentSize)
	if err != nil {
		panic("chunked: " + err.Error()) // only for more than 255 hashes of output, and under FIPS 140 for weak hashes and short keys
	}
	block, err := aes.NewCipher(b[:KeySize])
	if err != nil {
		panic("chunked: " + err.Error()) // 32 bytes are always a key
	}
	s := &stream{base: [nonceSize]byte(b[KeySize:]), commitment: [commitmentSize]byte(b[KeySize+nonceSize:])}
	if s.aead, err = cipher.NewGCM(block); err != nil {
		s.prefixed = true
		if s.aead, err = cipher.NewGCMWithRandomNonce(block); err != nil {
			panic("chunked: " + err.Error()) // the cipher is crypto/aes's, the one condition there is
		}
	}
	clear(b)
	return s
}

// random returns a salt for a new message.
func random() []byte {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails (Go 1.24)
	return salt
}

// nonce is where a worker makes the nonces of its chunks. Not on its stack: cipher.AEAD is an interface, so the compiler has to suppose
// that it keeps its arguments.
type nonce [nonceSize]byte

func (n *nonce) of(s *stream, chunk uint64) []byte {
	*n = s.base
	binary.BigEndian.PutUint64(n[nonceSize-8:], binary.BigEndian.Uint64(n[nonceSize-8:])^chunk)
	return n[:]
}

// seal writes the ciphertext of a chunk to dst, which has its length and no part of msg: nothing but ciphertext is ever written there.
func (s *stream) seal(n *nonce, chunk uint64, dst, msg []byte) {
	s.aead.Seal(dst[:0], n.of(s, chunk), msg, nil)
}

// open writes the text of a chunk to dst, which has its length and no part of sealed. If it is not genuine, dst is cleared.
func (s *stream) open(n *nonce, chunk uint64, dst, sealed []byte) bool {
	if !s.prefixed {
		_, err := s.aead.Open(dst[:0:len(dst)], n.of(s, chunk), sealed, nil)
		return err == nil
	}
	b := prefixes.Get().(*[nonceSize + sealedSize]byte)
	defer prefixes.Put(b)
	in := append(append(b[:0], n.of(s, chunk)...), sealed...)
	_, err := s.aead.Open(dst[:0:len(dst)], nil, in, nil)
	return err == nil
}

var prefixes = sync.Pool{New: func() any { return new([nonceSize + sealedSize]byte) }}

// openAll opens full chunks that follow each other, the first of them having the number given, and returns how many are genuine
// before the first one that is not, whose part of dst is cleared; the rest is as it was.
func (s *stream) openAll(n *nonce, first uint64, dst, sealed []byte) (good int) {
	for count := len(sealed) / sealedSize; good < count; good++ {
		if !s.open(n, first+uint64(good), dst[good*ChunkSize:][:ChunkSize], sealed[good*sealedSize:][:sealedSize]) {
			break
		}
	}
	return good
}

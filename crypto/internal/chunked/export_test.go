package chunked

import "sync"

const (
	SealedSize = sealedSize
	TagSize    = tagSize
	SaltSize   = saltSize
)

// Skip makes the next chunk that is written the one with this number.
func (w *Writer) Skip(number uint64) { w.first = number }

// Skip makes the next chunk that is read the one with this number.
func (r *Reader) Skip(number uint64) { r.next = number }

// Chunk makes a chunk of any number and length.
func Chunk(key *[KeySize]byte, salt, context []byte, number uint64, msg []byte) []byte {
	b := make([]byte, len(msg)+tagSize)
	newStream(key, salt, context).seal(new(nonce), number, b, msg)
	return b
}

// WatchBuffers has the buffers of ReadAt made anew, and returns what text those made since then hold.
func WatchBuffers(t interface{ Cleanup(func()) }) (texts func() [][]byte) {
	var all []*buffer
	buffers = &sync.Pool{New: func() any {
		b := new(buffer)
		all = append(all, b)
		return b
	}}
	t.Cleanup(func() { buffers = &sync.Pool{New: func() any { return new(buffer) }} })
	return func() (texts [][]byte) {
		for _, b := range all {
			texts = append(texts, b.text[:])
		}
		return texts
	}
}

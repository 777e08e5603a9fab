package chunked_test

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"testing"

	"github.com/mantlet-go/mantlet/crypto/internal/chunked"
)

// The property: whatever a ciphertext was changed to, no reader panics, all of them agree, and they hand out a beginning of the
// message; they hand out the whole of it only if nothing was changed.
func FuzzReader(f *testing.F) {
	msg := text(2*chunk + 300)
	ct := encrypt(f, msg)
	f.Add(uint32(0), []byte{}, uint32(len(ct)), []byte{})
	f.Add(uint32(header), ct[header:header+40], uint32(header+sealed), []byte{})
	f.Add(uint32(3), []byte{1}, uint32(len(ct)), []byte("behind"))
	f.Add(uint32(header+2*sealed), []byte{}, uint32(header+2*sealed), ct[header+sealed:header+sealed+100])
	f.Fuzz(func(t *testing.T, at uint32, patch []byte, cut uint32, tail []byte) {
		bad := bytes.Clone(ct)
		copy(bad[int(at)%len(bad):], patch)
		bad = append(bad[:int(cut)%(len(bad)+1)], tail...)
		changed := !bytes.Equal(bad, ct)

		first, firstErr := decrypt(bad, 1)
		if changed == (firstErr == nil) || !bytes.HasPrefix(msg, first) || !changed && len(first) != len(msg) {
			t.Fatalf("changed: %v, %d bytes, %v", changed, len(first), firstErr)
		}
		if firstErr != nil && firstErr != chunked.ErrInvalid && firstErr != chunked.ErrTruncated {
			t.Fatal(firstErr)
		}
		for way, read := range readers {
			if got, err := read(bad); err != firstErr || !bytes.Equal(got, first) {
				t.Fatalf("%s: %d bytes and %v, not %d and %v", way, len(got), err, len(first), firstErr)
			}
		}
		r, err := chunked.NewReaderAt(bytes.NewReader(bad), 0, int64(len(bad)), key, context)
		if err == nil {
			all := make([]byte, r.Size())
			var n int
			n, err = r.ReadAt(all, 0)
			if !bytes.HasPrefix(msg, all[:n]) {
				t.Fatal("ReadAt gives something else")
			}
		}
		if (err == nil) != (firstErr == nil) {
			t.Fatalf("ReaderAt: %v", err)
		}
	})
}

// The property: however a message is cut into writes and reads, it comes back, and every part of it alone.
func FuzzRoundTrip(f *testing.F) {
	f.Add(uint32(3*chunk), []byte{0, 255, 3}, uint8(1), uint32(chunk), uint32(10))
	f.Add(uint32(70*chunk+1), []byte{200}, uint8(3), uint32(chunk-1), uint32(2*chunk))
	f.Add(uint32(0), []byte{}, uint8(0), uint32(0), uint32(0))
	f.Fuzz(func(t *testing.T, size uint32, sizes []byte, workers uint8, off, n uint32) {
		msg := text(int(size) % (80 * chunk))
		w8 := int(workers % 4)
		var out bytes.Buffer
		w := newWriter(t, &out, nil, context, w8)
		rest := msg
		for i, s := range sizes {
			p := rest[:min(len(rest), int(s)*int(s))]
			rest = rest[len(p):]
			var err error
			if i%2 == 0 {
				_, err = w.Write(p)
			} else {
				_, err = w.ReadFrom(bytes.NewReader(p))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if _, err := w.Write(rest); errors.Join(err, w.Close()) != nil {
			t.Fatal(err)
		}
		ct := out.Bytes()
		r, err := chunked.NewReader(bytes.NewReader(ct), key, context, w8)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for _, s := range slices.Concat(sizes, []byte{1}) {
			p := make([]byte, int(s)*int(s)+1)
			m, err := r.Read(p)
			if got = append(got, p[:m]...); err != nil && err != io.EOF {
				t.Fatal(err)
			}
		}
		rem, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(append(got, rem...), msg) {
			t.Fatal(err)
		}
		at, err := chunked.NewReaderAt(bytes.NewReader(ct), 0, int64(len(ct)), key, context)
		if err != nil || at.Size() != int64(len(msg)) {
			t.Fatal(err)
		}
		start := min(int(off%(80*chunk)), len(msg))
		end := min(start+int(n%(80*chunk)), len(msg))
		part := make([]byte, end-start)
		if _, err := at.ReadAt(part, int64(start)); err != nil || !bytes.Equal(part, msg[start:end]) {
			t.Fatal(err)
		}
	})
}

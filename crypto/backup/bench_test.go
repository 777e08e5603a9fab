package backup_test

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/mantlet-go/mantlet/crypto/backup"
)

// A drill of 100 MiB from memory, beside the two things that it cannot do without.
func BenchmarkVerify(b *testing.B) {
	const size = 100 << 20
	path := filepath.Join(b.TempDir(), "model")
	data := make([]byte, size)
	_, _ = rand.Read(data)
	check(b, os.WriteFile(path, data, 0o600))
	for _, workers := range []int{1, 2} {
		s := newSafe(b, func(c *backup.Config) { c.Workers = workers })
		stream := madeOf(b, s, backup.Set{Counter: 1, Sources: []backup.Source{{Name: "model", Path: path}}})
		b.Run(map[int]string{1: "drill", 2: "drill with 2 workers"}[workers], func(b *testing.B) {
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				check(b, verify(s, stream))
			}
		})
	}
	b.Run("decrypt and hash alone", func(b *testing.B) {
		var out bytes.Buffer
		w := must(ringOf(testKey).NewWriter(&out, of("x")))
		must(w.Write(data))
		check(b, w.Close())
		b.SetBytes(size)
		for b.Loop() {
			h := sha256.New()
			must(io.Copy(h, must(ringOf(testKey).NewReader(bytes.NewReader(out.Bytes()), of("x")))))
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	const size = 100 << 20
	path := filepath.Join(b.TempDir(), "model")
	check(b, os.WriteFile(path, make([]byte, size), 0o600))
	s := newSafe(b)
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		must(s.Write(b.Context(), io.Discard, backup.Set{Counter: 1, Sources: []backup.Source{{Name: "model", Path: path}}}))
	}
}

package backup_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/mantlet-go/mantlet/crypto/backup"
)

// Whatever somebody with the key writes into a backup: a restore is whole or leaves nothing, nothing outside of it is touched, Verify says the
// same, and no panic.
func FuzzRestore(f *testing.F) {
	ring, s := ringOf(testKey), newSafe(f)
	dir := f.TempDir()
	for _, name := range []string{"a", "c"} {
		check(f, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	check(f, os.Mkdir(filepath.Join(dir, "b"), 0o700))
	text := backup.Text(ring, label, madeOf(f, s, backup.Set{Counter: 5, Sources: []backup.Source{{Name: "data", Path: dir}}, Checkpoint: []byte("x")}))
	f.Add(text)
	f.Add(bytes.Replace(text, []byte("data/c"), []byte("../../"), 1))
	f.Add(bytes.Replace(text, []byte("data/b"), []byte("data/a"), 1))
	f.Add(text[:len(text)-40])
	f.Fuzz(func(t *testing.T, text []byte) {
		parent := t.TempDir()
		in := filepath.Join(parent, "in")
		check(t, os.Mkdir(in, 0o700))
		stream := backup.Compose(ring, label, text)
		_, err := s.Restore(t.Context(), bytes.NewReader(stream), backup.Target{Dir: filepath.Join(in, "to")})
		if verr := verify(s, stream); err == nil && verr != nil && !errors.Is(verr, backup.ErrKeyUnavailable) {
			t.Errorf("Restore accepts it, and Verify says %v", verr)
		}
		want := 1
		if err != nil {
			want = 0
		}
		if list := must(os.ReadDir(in)); len(list) != want {
			t.Errorf("%v beside the target, after %v", list, err)
		}
		if list := must(os.ReadDir(parent)); len(list) != 1 {
			t.Errorf("%v outside", list)
		}
	})
}

// Bytes that are no backup at all.
func FuzzVerify(f *testing.F) {
	s := newSafe(f)
	stream, _ := made(f, s, 100)
	f.Add(stream)
	f.Add(stream[:100])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := verify(s, data); err == nil && !bytes.Equal(data, stream) {
			t.Error("a forgery is accepted")
		}
	})
}

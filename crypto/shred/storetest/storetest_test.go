package storetest_test

import (
	"path/filepath"
	"testing"

	"github.com/mantlet-go/mantlet/crypto/shred"
	"github.com/mantlet-go/mantlet/crypto/shred/storetest"
)

func TestMemoryStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (a, b shred.Store) {
		s := shred.NewMemoryStore()
		return s, s
	})
}

func TestFileStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) (a, b shred.Store) {
		dir := filepath.Join(t.TempDir(), "subjects")
		a, err := shred.NewFileStore(shred.FileConfig{Dir: dir, Create: true})
		if err != nil {
			t.Fatal(err)
		}
		b, err = shred.NewFileStore(shred.FileConfig{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		return a, b
	})
}

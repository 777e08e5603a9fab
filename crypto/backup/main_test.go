package backup_test

import (
	"crypto/fips140"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"errors"

	"github.com/mantlet-go/mantlet/crypto/backup"
	"github.com/mantlet-go/mantlet/crypto/seal"
)

// Backups are streams, and those cannot be made under GODEBUG=fips140=only: there is one thing to be tested there.
func TestMain(m *testing.M) {
	flag.Parse()
	if fips140.Enforced() {
		if err := flag.Set("test.run", "^TestUnderFIPSABackupIsRefusedBySealErrFIPS$"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

func TestUnderFIPSABackupIsRefusedBySealErrFIPS(t *testing.T) {
	if !fips140.Enforced() {
		t.Skip("only under GODEBUG=fips140=only")
	}
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := newSafe(t).Write(t.Context(), io.Discard, backup.Set{Counter: 1, Sources: []backup.Source{{Name: "a", Path: path}}})
	if !errors.Is(err, seal.ErrFIPS) {
		t.Error(err)
	}
}

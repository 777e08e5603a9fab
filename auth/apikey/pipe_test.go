//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package apikey_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/mantlet-go/mantlet/auth/apikey"
)

// A plain open of a pipe waits for somebody who writes to it, and a store that waits holds its lock.
func TestAPipeInThePlaceOfAKeyFileMakesNobodyWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Skip("no pipes with names here: ", err)
	}
	if s, err := apikey.NewFileStore(apikey.FileConfig{Path: path}); err == nil {
		t.Errorf("a pipe is taken as a key file: %v", s)
	}
	// One that is put there after the file was looked at.
	f, err := apikey.OpenFile(path)
	if err != nil {
		return // refused at once is as good
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Errorf("%v, %v; want the pipe, which is not the file that was looked at", info, err)
	}
}

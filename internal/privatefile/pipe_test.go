//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package privatefile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// A plain open of a pipe waits for somebody who writes to it, and who reads a file may hold a lock meanwhile.
func TestAPipeInThePlaceOfAFileMakesNobodyWait(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	pipe := func() {
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			t.Skip("no pipes with names here: ", err)
		}
	}
	pipe()
	if _, _, err := Read(path, 100, nil); err == nil {
		t.Error("a pipe is read")
	}
	// One that is put there after the file was looked at.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	looks := 0
	_, _, err := Read(path, 100, func(fs.FileInfo) bool {
		if looks++; looks == 1 {
			_ = os.Remove(path)
			pipe()
		}
		return true
	})
	if err == nil || looks != 1 {
		t.Errorf("%v after %d looks; want a refusal", err, looks)
	}
}

func TestALockIsHeldByOneAtATime(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	unlock, err := Lock(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Lock(ended, path); !errors.Is(err, context.Canceled) {
		t.Errorf("a second holder, whose time is over: %v", err)
	}
	unlock()
	if unlock, err = Lock(t.Context(), path); err != nil {
		t.Fatal("a lock that was given back: ", err)
	}
	unlock()
	link := path + "-link"
	if err := os.Symlink(path, link); err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(t.Context(), link); err == nil {
		t.Error("a symbolic link is locked")
	}
}

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package privatefile

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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

// Whoever made the file first, or may open it, can hold the lock for ever.
func TestALockThatOthersCouldHoldIsRefused(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(path string) error
		want string // of the error; empty for none
	}{
		{"of its own making", func(string) error { return nil }, ""},
		{"of another user", func(path string) error { return os.Chown(path, 65534, 65534) }, "belongs to user 65534"},
		{"that others may read, which is enough to lock it", func(path string) error { return os.Chmod(path, 0o644) }, "mode 0644"},
		{"a pipe", func(path string) error { return errors.Join(os.Remove(path), syscall.Mkfifo(path, 0o600)) }, "not a regular file"},
	} {
		path := filepath.Join(t.TempDir(), "lock")
		unlock, err := Lock(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		unlock()
		if err := c.do(path); err != nil {
			t.Logf("%s: %v", c.name, err) // only root can give a file away, and not every file system has pipes
			continue
		}
		unlock, err = Lock(t.Context(), path)
		if err == nil {
			unlock()
		}
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v; want %q", c.name, err, c.want)
		}
	}
}

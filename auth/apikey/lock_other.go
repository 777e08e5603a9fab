//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package apikey

import (
	"context"
	"io/fs"
	"os"
)

// lockFile does nothing on systems without flock: writers of one process exclude each other through the store's mutex, and
// every record is compared with its version, but two processes must not write at once.
func lockFile(context.Context, string) (unlock func(), err error) { return func() {}, nil }

// owner is not known there.
func owner(fs.FileInfo) (uid int, ok bool) { return 0, false }

// openFile opens a file to read it.
func openFile(name string) (*os.File, error) { return os.Open(name) }

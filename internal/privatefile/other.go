//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package privatefile

import (
	"context"
	"io/fs"
	"os"
)

// Lock does nothing on systems without flock: there two processes must not write at once.
func Lock(context.Context, string) (unlock func(), err error) { return func() {}, nil }

// owner is not known there.
func owner(fs.FileInfo) (uid int, ok bool) { return 0, false }

// open opens a file to read it.
func open(name string) (*os.File, error) { return os.Open(name) }

//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package backup

import (
	"os"
	"syscall"
)

// readOnly opens a file to read it, and does not wait for the writer of a pipe that was put in its place.
const readOnly = os.O_RDONLY | syscall.O_NONBLOCK

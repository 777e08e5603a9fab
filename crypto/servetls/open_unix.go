//go:build unix

package servetls

import (
	"os"
	"syscall"
)

// open opens a file to read it. A plain open of a pipe would wait for a writer, and renewals with it.
func open(name string) (*os.File, error) {
	return os.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

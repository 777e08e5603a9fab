//go:build !unix

package servetls

import "os"

// open opens a file to read it.
func open(name string) (*os.File, error) { return os.Open(name) }

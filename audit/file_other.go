//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package audit

import (
	"fmt"
	"io/fs"
	"os"
)

// Mode bits and directory syncs mean nothing here.
const permissionsMatter = false

// openFile opens the audit file for appending. This system offers neither O_NOFOLLOW nor flock(2) through the standard
// library: the check for a symbolic link is not atomic, and nothing keeps a second process out.
func openFile(path string) (file, error) {
	if info, err := os.Lstat(path); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		return nil, fmt.Errorf("%s is a symbolic link", path)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	return f, nil
}

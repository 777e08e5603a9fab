//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package audit

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

const permissionsMatter = true

// openFile opens the audit file for appending. O_NOFOLLOW refuses a symbolic link planted in its place, O_NONBLOCK keeps a
// FIFO planted there from hanging the process (the caller then refuses it), and the lock keeps a second process out: two
// writers would take each other's lines for torn ones.
func openFile(path string) (file, error) {
	flags := os.O_RDWR | os.O_APPEND | os.O_CREATE | syscall.O_NOFOLLOW | syscall.O_NONBLOCK | syscall.O_CLOEXEC
	f, err := os.OpenFile(path, flags, 0o600)
	if err != nil {
		return nil, err
	}
	raw, err := f.SyscallConn()
	if err != nil {
		f.Close()
		return nil, err
	}
	var lockErr error
	if err := raw.Control(func(fd uintptr) { lockErr = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB) }); err != nil {
		lockErr = err
	}
	switch {
	case lockErr == nil, errors.Is(lockErr, syscall.ENOTSUP), errors.Is(lockErr, syscall.ENOSYS):
		return f, nil // some network file systems have no locks
	case errors.Is(lockErr, syscall.EWOULDBLOCK):
		lockErr = errors.New("in use by another writer")
	}
	f.Close()
	return nil, fmt.Errorf("%s: %w", path, lockErr)
}

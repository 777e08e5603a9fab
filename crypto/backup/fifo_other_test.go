//go:build !(darwin || dragonfly || freebsd || linux || netbsd || openbsd)

package backup_test

import "errors"

func mkfifo(string) error { return errors.ErrUnsupported }

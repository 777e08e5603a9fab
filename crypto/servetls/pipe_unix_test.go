//go:build unix

package servetls_test

import "syscall"

func init() { mkfifo = syscall.Mkfifo }

package backup

import (
	"io/fs"
	"syscall"
	"time"
)

// changeTime is when anything of a file was changed, which no program can set: unlike its modification time, which who copies with -p sets back.
func changeTime(info fs.FileInfo) time.Time {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return time.Unix(int64(s.Ctim.Sec), int64(s.Ctim.Nsec))
	}
	return time.Time{}
}

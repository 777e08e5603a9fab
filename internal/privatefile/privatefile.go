// Package privatefile reads and replaces files that hold secrets: regular files of mode 0600 that belong to whoever runs the process,
// in a directory that nobody else may write to.
//
// Who may write to a file, or to its directory, decides what it holds; who may read it has the secret. Both are looked at each time,
// before anything is read. Symbolic links are refused: who may write the link's directory could put another file in its place. On
// Windows and Plan 9 permission bits mean something else, and only the kind and the size of a file are looked at.
package privatefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// errReplaced means that the file that was looked at is not the one that was opened.
var errReplaced = errors.New("was replaced while it was being opened")

// tries is how often a file is looked at anew that is replaced at that moment. One that is swapped each time is no write.
const tries = 10

// Read returns the content of the file and what the file system said of it. A file that must not be trusted, or is larger than max
// bytes, is an error that says why, as the rest of a sentence that begins with the file; so is one that does not exist, which wraps
// [fs.ErrNotExist]. fresh, if not nil, is asked first: when it is false nothing is read and data is nil.
func Read(path string, max int64, fresh func(fs.FileInfo) bool) (data []byte, info fs.FileInfo, err error) {
	for range tries {
		if data, info, err = read(path, max, fresh); !errors.Is(err, errReplaced) {
			break
		}
	}
	return data, info, err
}

func read(path string, max int64, fresh func(fs.FileInfo) bool) ([]byte, fs.FileInfo, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, nil, err
	}
	if err := Check(path, info); err != nil {
		return nil, nil, err
	}
	if info.Size() > max {
		return nil, nil, fmt.Errorf("has %d bytes, more than %d", info.Size(), max)
	}
	if fresh != nil && !fresh(info) {
		return nil, info, nil
	}
	f, err := open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	opened, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	if !os.SameFile(info, opened) {
		return nil, nil, errReplaced
	}
	if err := Check(path, opened); err != nil { // a new file may have the number of the one that was removed for it
		return nil, nil, err
	}
	data, err := io.ReadAll(io.LimitReader(f, max+1))
	if err != nil {
		return nil, nil, err
	}
	if int64(len(data)) > max {
		return nil, nil, fmt.Errorf("has more than %d bytes", max)
	}
	return data, info, nil
}

// Check reports why a file must not be trusted, or nil. info is what [os.Lstat] said of it.
func Check(path string, info fs.FileInfo) error {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return errors.New("is a symbolic link")
	case !info.Mode().IsRegular():
		return errors.New("is not a regular file")
	}
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" {
		return nil
	}
	if info.Mode().Perm()&0o077 != 0 {
		return fmt.Errorf("has mode %04o; only its owner may read or write it (chmod 600)", info.Mode().Perm())
	}
	dir, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return fmt.Errorf("is in a directory that cannot be looked at: %w", err)
	}
	if dir.Mode().Perm()&0o022 != 0 && dir.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("is in a directory of mode %04o; others than its owner could replace the file (chmod go-w)", dir.Mode().Perm())
	}
	// Who owns a file can write it whatever its mode, and who owns the directory can put another in its place.
	if uid, ok := owner(info); ok && uid != 0 && uid != os.Geteuid() {
		return fmt.Errorf("belongs to user %d, not to %d, who runs this process, or to root", uid, os.Geteuid())
	}
	if uid, ok := owner(dir); ok && uid != 0 && uid != os.Geteuid() {
		return fmt.Errorf("is in a directory that belongs to user %d, not to %d, who runs this process, or to root", uid, os.Geteuid())
	}
	return nil
}

// Replace puts a new file of mode 0600 in the place of the named one, so that a reader, and a machine that loses power, sees the
// one or the other whole. The directory must exist.
func Replace(path string, data []byte) error {
	return place(path, data, os.Rename)
}

// Create is Replace for a file that must not exist yet: then the error wraps [fs.ErrExist], and the file that is there stays as it is.
func Create(path string, data []byte) error {
	return place(path, data, func(temporary, path string) error {
		if err := os.Link(temporary, path); err != nil { // unlike a rename it replaces nothing
			return err
		}
		return os.Remove(temporary)
	})
}

func place(path string, data []byte, put func(temporary, path string) error) (err error) {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	t, err := os.CreateTemp(dir, "."+name+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			t.Close()
			os.Remove(t.Name())
		}
	}()
	if _, err = t.Write(data); err != nil {
		return err
	}
	if err = t.Sync(); err != nil {
		return err
	}
	if err = t.Close(); err != nil {
		return err
	}
	if err = put(t.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// SyncDir makes a rename in dir survive a power cut. Windows cannot sync a directory and keeps its own journal.
func SyncDir(dir string) error {
	if runtime.GOOS == "windows" {
		return nil
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

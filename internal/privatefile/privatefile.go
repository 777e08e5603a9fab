// Package privatefile reads and replaces files that hold secrets: regular files of mode 0600 that belong to whoever runs the process,
// in a directory that nobody else may write to.
//
// Who may write to a file, or to its directory, decides what it holds; who may read it has the secret. Both are looked at each time,
// before anything is read. Symbolic links are refused: who may write the link's directory could put another file in its place. On
// Windows and Plan 9 permission bits mean something else, and only the kind and the size of a file are looked at.
//
// The way to the directory is the caller's: its parents are not looked at, and may be symbolic links. Whoever may write to one of them could
// put another directory in the place of this one (one that passes the same checks, an older copy say).
package privatefile

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// errReplaced means that the file that was looked at is not the one that was read.
var errReplaced = errors.New("was replaced while it was being read")

// Readers are who may read a file besides root.
type Readers fs.FileMode

const (
	// OwnerOnly is the rule for a file that a process makes for itself: mode 0600 or less.
	OwnerOnly Readers = 0o600
	// OwnerAndGroup takes a file that its group may read too, and not write: mode 0640 or less. It is how Kubernetes (fsGroup) and Debian
	// (ssl-cert) give a file of root's to a process that is not root.
	OwnerAndGroup Readers = 0o640
)

// tries is how often a file is looked at anew that is replaced at that moment. One that is swapped each time is no write.
const tries = 10

// Read is ReadBy of a file that only its owner may read.
func Read(path string, max int64, fresh func(fs.FileInfo) bool) (data []byte, info fs.FileInfo, err error) {
	return ReadBy(OwnerOnly, path, max, fresh)
}

// ReadBy returns the content of the file and what the file system said of it. A file that must not be trusted, or is larger than max
// bytes, is an error that says why, as the rest of a sentence that begins with the file; so is one that does not exist, which wraps
// [fs.ErrNotExist]. fresh, if not nil, is asked first: when it is false nothing is read and data is nil. Clearing data clears the only copy
// that was made.
func ReadBy(readers Readers, path string, max int64, fresh func(fs.FileInfo) bool) (data []byte, info fs.FileInfo, err error) {
	for range tries {
		if data, info, err = read(readers, path, max, fresh); !errors.Is(err, errReplaced) {
			break
		}
	}
	return data, info, err
}

func read(readers Readers, path string, max int64, fresh func(fs.FileInfo) bool) ([]byte, fs.FileInfo, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return nil, nil, err
	}
	if err := check(readers, path, info); err != nil {
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
	if err := check(readers, path, opened); err != nil { // a new file may have the number of the one that was removed for it
		return nil, nil, err
	}
	data := make([]byte, info.Size()+1) // not io.ReadAll, which leaves pieces of a secret behind as it grows
	switch n, err := io.ReadFull(f, data); err {
	case io.EOF, io.ErrUnexpectedEOF:
		return data[:n], info, nil
	case nil:
		clear(data)
		return nil, nil, errReplaced // it grows
	default:
		clear(data)
		return nil, nil, err
	}
}

// Check reports why a file must not be trusted to be its owner's alone, or nil. info is what [os.Lstat] said of it.
func Check(path string, info fs.FileInfo) error { return check(OwnerOnly, path, info) }

func check(readers Readers, path string, info fs.FileInfo) error {
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		return errors.New("is a symbolic link")
	case !info.Mode().IsRegular():
		return errors.New("is not a regular file")
	}
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" {
		return nil
	}
	if perm := info.Mode().Perm(); perm&0o077&^fs.FileMode(readers) != 0 {
		if readers == OwnerAndGroup {
			return fmt.Errorf("has mode %04o; only its owner may write it, and only its owner and group read it (chmod 640)", perm)
		}
		return fmt.Errorf("has mode %04o; only its owner may read or write it (chmod 600)", perm)
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
// one or the other whole. The directory must exist. After an error the old file is there still, unless the error says that the new one is.
// A process that is killed in the middle leaves a second file of the secret behind: see [RemoveLeftovers].
func Replace(path string, data []byte) error {
	return place(path, data, os.Rename)
}

// Create is Replace for a file that must not exist yet: then the error wraps [fs.ErrExist], and the file that is there stays as it is.
func Create(path string, data []byte) error {
	return place(path, data, func(temporary, path string) error {
		if err := os.Link(temporary, path); err != nil { // unlike a rename it replaces nothing
			return err
		}
		_ = os.Remove(temporary) // a second name of the file, private as the first
		return nil
	})
}

// LeftoverAge is how old a file must be for [RemoveLeftovers]: far longer than a write takes.
const LeftoverAge = time.Minute

// RemoveLeftovers removes the files that a process has left beside path which was killed in the middle of [Replace] or [Create]: they hold
// the secret, or an older one. It takes those of its own pattern, .<name>.<digits>.tmp, that were last changed before now by [LeftoverAge] or
// more, and leaves what fails [Check]: another user may have put it into a sticky directory. A writer that is still at work after that long
// gets an error and has written nothing. Call it when the directory is yours to write, best with the lock held.
func RemoveLeftovers(path string, now time.Time) error {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		number, ok := strings.CutPrefix(e.Name(), "."+name+".")
		if number, ok2 := strings.CutSuffix(number, ".tmp"); !ok || !ok2 || number == "" || strings.Trim(number, "0123456789") != "" {
			continue
		}
		leftover := filepath.Join(dir, e.Name())
		info, err := os.Lstat(leftover)
		if err != nil || now.Sub(info.ModTime()) < LeftoverAge || Check(leftover, info) != nil {
			continue // gone meanwhile, or in use, or not ours
		}
		if err := os.Remove(leftover); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, fmt.Errorf("has a leftover that may hold secrets: %w", err))
		}
	}
	return errors.Join(errs...)
}

// Variables for tests.
var (
	sync    = (*os.File).Sync
	openDir = os.Open
)

func place(path string, data []byte, put func(temporary, path string) error) (err error) {
	dir, name := filepath.Split(path)
	if dir == "" {
		dir = "."
	}
	d, err := openToSync(dir) // before anything has happened that an error would deny
	if err != nil {
		return err
	}
	defer d.Close()
	t, err := os.CreateTemp(dir, "."+name+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	placed := false
	defer func() {
		if !placed {
			t.Close()
			os.Remove(t.Name())
		}
	}()
	if _, err = t.Write(data); err != nil {
		return err
	}
	if err = sync(t); err != nil {
		return err
	}
	if err = t.Close(); err != nil {
		return err
	}
	if err = put(t.Name(), path); err != nil {
		return err
	}
	placed = true
	if err = d.Sync(); err != nil {
		return fmt.Errorf("is in its place, but not known to be on disk: %w", err)
	}
	return nil
}

// SyncDir makes a rename in dir survive a power cut. Windows cannot sync a directory and keeps its own journal; nor can some file systems,
// which say so.
func SyncDir(dir string) error {
	d, err := openToSync(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// A directory is open to be synced. On Windows it is none.
type directory struct{ f *os.File }

func openToSync(dir string) (directory, error) {
	if runtime.GOOS == "windows" {
		return directory{}, nil
	}
	f, err := openDir(dir)
	return directory{f}, err
}

func (d directory) Sync() error {
	if d.f == nil {
		return nil
	}
	if err := sync(d.f); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

func (d directory) Close() {
	if d.f != nil {
		d.f.Close()
	}
}

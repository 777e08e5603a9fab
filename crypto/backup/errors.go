package backup

import (
	"errors"
	"fmt"

	"github.com/mantlet-go/mantlet/crypto/seal"
)

// The kinds of a Failure, to be compared with errors.Is.
var (
	// ErrDecrypt means that the stream is no backup of this label under the key that it names, or was changed.
	ErrDecrypt = errors.New("backup: decryption failed")
	// ErrTruncated means that the end of the stream is missing. A cut is told from a change where the files and sizes that were read say that
	// more must come, or where it lies between two chunks; elsewhere it is an ErrDecrypt.
	ErrTruncated = errors.New("backup: truncated")
	// ErrHash means that the content of a file has not the hash that was written with it.
	ErrHash = errors.New("backup: hash mismatch")
	// ErrKeyUnavailable means that a key is not there: that of the backup itself, or one that what was backed up needs.
	ErrKeyUnavailable = errors.New("backup: key unavailable")
	// ErrOlder means that the backup has a lower counter than one that is known: restoring it would undo what was done since.
	ErrOlder = errors.New("backup: older than the newest known one")
	// ErrCheckpoint means that Config.CheckCheckpoint refused the checkpoint in the backup.
	ErrCheckpoint = errors.New("backup: inconsistent checkpoint")
	// ErrManifest means that what the backup says of itself is not what this package writes, or is out of bounds: a name that leads out of
	// its directory, a size that is none.
	ErrManifest = errors.New("backup: invalid manifest")
)

// Other errors.
var (
	// ErrSource means that something cannot be backed up as it is: a symbolic link, a device, a name that not every system takes.
	ErrSource = errors.New("backup: cannot be backed up")
	// ErrChanged means that a file was written while it was read. What was written of the backup is not usable.
	ErrChanged = errors.New("backup: changed while it was read")
	// ErrExists means that something is where a backup should be restored to, and Target.Replace is not set.
	ErrExists = errors.New("backup: the target exists")
	// ErrTombstones means that tombstones could not be applied to what was staged, or that nothing tells who was shredded since the backup,
	// so that nothing was restored.
	ErrTombstones = errors.New("backup: tombstones were not applied")
)

// Failure is one thing that is wrong with a backup. errors.Is finds its Kind and its Err.
type Failure struct {
	// Kind is ErrDecrypt, ErrTruncated, ErrHash, ErrKeyUnavailable, ErrOlder, ErrCheckpoint or ErrManifest.
	Kind error
	// Name is the file or the key id that it is about. Empty means the backup as a whole.
	Name string
	// Err is the cause. It may be nil.
	Err error
}

// Error says what is wrong, without any content.
func (f *Failure) Error() string {
	text := f.Kind.Error()
	if f.Name != "" {
		text += fmt.Sprintf(": %q", f.Name)
	}
	if f.Err != nil {
		text += ": " + f.Err.Error()
	}
	return text
}

// Unwrap returns Kind and Err.
func (f *Failure) Unwrap() []error {
	if f.Err == nil {
		return []error{f.Kind}
	}
	return []error{f.Kind, f.Err}
}

func invalid(name, format string, args ...any) error {
	return &Failure{ErrManifest, name, fmt.Errorf(format, args...)}
}

// classify makes a Failure of an error of package seal. Others come from the medium and stay what they are.
func classify(err error) error {
	var key *seal.KeyError
	switch {
	case errors.As(err, &key):
		return &Failure{ErrKeyUnavailable, key.ID.String(), key}
	case errors.Is(err, seal.ErrTruncated):
		return &Failure{ErrTruncated, "", err}
	case errors.Is(err, seal.ErrInvalid):
		return &Failure{ErrDecrypt, "", err}
	}
	return err
}

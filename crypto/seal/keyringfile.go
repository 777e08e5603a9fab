package seal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/internal/privatefile"
)

// maxKeyringFile is room for some 40,000 keys.
const maxKeyringFile = 4 << 20

// ReadKeyringFile reads a Keyring from a file that holds the text of Keyring.Reveal. It refuses a file that is not regular (a symbolic link
// is not), that others than its owner may read or write, of another user than root and the one of this process, in a directory that
// others may write to, larger than 4 MiB, or that ParseKeyring refuses. If it begins with the line that CreateKeyringFile writes,
//
//	# mantlet seal keyring of 5 keys
//
// as many lines of keys must follow: a copy that was cut short is not taken for a smaller ring. The error never shows a key. If
// there is no file it wraps fs.ErrNotExist.
func ReadKeyringFile(path string) (*Keyring, error) {
	k, _, err := readKeyringFile(path, [sha256.Size]byte{})
	return k, err
}

// readKeyringFile returns the Keyring in a file, and the SHA-256 of what it read. If that is known already the Keyring is nil.
func readKeyringFile(path string, known [sha256.Size]byte) (k *Keyring, sum [sha256.Size]byte, err error) {
	data, _, err := privatefile.Read(path, maxKeyringFile, nil)
	if err != nil {
		return nil, sum, aboutFile(path, err)
	}
	defer clear(data)
	if sum = sha256.Sum256(data); sum == known {
		return nil, sum, nil
	}
	if k, err = decodeKeyringFile(string(data)); err != nil {
		return nil, sum, aboutFile(path, err)
	}
	return k, sum, nil
}

const fileLine = "# mantlet seal keyring of "

func decodeKeyringFile(text string) (*Keyring, error) {
	k, err := ParseKeyring(text)
	if err != nil {
		return nil, err
	}
	if count, ok := strings.CutPrefix(text, fileLine); ok {
		count, _, _ = strings.Cut(count, "\n")
		if want := fmt.Sprintf("%d keys", len(k.Keys())); count != want {
			return nil, fmt.Errorf("has %s, which is not what its first line says; has it been cut?", want)
		}
	}
	return k, nil
}

// ReadKeyFile reads one Key from a file that holds the text of Key.Reveal, and nothing else but perhaps one line break at its end. It refuses
// the files that ReadKeyringFile refuses, and what ParseKey refuses. The error never shows the key. If there is no file it wraps
// fs.ErrNotExist.
func ReadKeyFile(path string) (Key, error) {
	data, _, err := privatefile.Read(path, maxKeyFile, nil)
	if err != nil {
		return Key{}, aboutKeyFile(path, err)
	}
	defer clear(data)
	text := strings.TrimSuffix(string(data), "\n")
	if strings.HasSuffix(text, "\r") {
		return Key{}, aboutKeyFile(path, errors.New("the file has Windows line ends; want LF alone, not CR LF"))
	}
	key, err := ParseKey(text)
	if err != nil {
		return Key{}, aboutKeyFile(path, err)
	}
	return key, nil
}

// maxKeyFile is room for a key, and for telling a file with something else from one that is too long.
const maxKeyFile = 1024

// CreateKeyringFile writes a Keyring to a new file of mode 0600. If there is a file already it stays as it is, and the error wraps
// fs.ErrExist. Its directory must exist. It is the way to make the first file; from then on use UpdateKeyringFile. The commands keygen, keys
// and rotate of crypto/vault work on the same file.
func CreateKeyringFile(path string, k *Keyring) error {
	return writeKeyring(path, k, privatefile.Create)
}

// UpdateKeyringFile reads the Keyring of a file, has change change it, and puts a new file in the place of the old one, without its
// comments, if change returns nil: readers see the one or the other whole, also after a power cut. Writers wait for each other, until
// ctx ends, by a lock on a file beside it, named like it with ".lock" appended (on Windows and Plan 9 only you can see to that). What a
// writer that was killed has left beside the file, named like it with a dot in front and ".<number>.tmp" behind, holds keys too; it is removed
// first, if it is older than a minute. So a key is replaced in steps:
//
//	err := seal.UpdateKeyringFile(ctx, path, func(ring *seal.Keyring) error { return ring.Add(seal.GenerateKey(), time.Now()) })
//
// Each step is to reach every process before the next one: see ReloadFile and the package comment.
func UpdateKeyringFile(ctx context.Context, path string, change func(*Keyring) error) error {
	unlock, err := privatefile.Lock(ctx, path+".lock")
	if err != nil {
		return aboutFile(path+".lock", err)
	}
	defer unlock()
	// Before the change, so that nobody believes a key destroyed that is left in such a file.
	if err := privatefile.RemoveLeftovers(path, time.Now()); err != nil {
		return aboutFile(path, err)
	}
	k, err := ReadKeyringFile(path)
	if err != nil {
		return err
	}
	if err := change(k); err != nil {
		return err
	}
	return writeKeyring(path, k, privatefile.Replace)
}

// ReloadFile makes the Keyring what the file says: call it on a signal or from a ticker. Calls of other methods see the old ring or the
// new one, whole. A file that lacks an id the ring has, or would bring a destroyed key back, is refused (ErrRollback): it is an old
// copy, or that of another ring. An old copy with the same ids and tombstones is taken: from before Promote or Retire, say. On any error the
// ring stays what it was. What was changed in memory only, by Add, Promote and so on, is lost, so change either the file or the
// ring. WatchFile calls it whenever the file has changed.
func (k *Keyring) ReloadFile(path string) error {
	fresh, err := ReadKeyringFile(path)
	if err != nil {
		return err
	}
	return k.follow(path, fresh)
}

// follow makes the Keyring what the one of its file is.
func (k *Keyring) follow(path string, fresh *Keyring) error {
	err := k.change(func(r *ring) error {
		next := fresh.load()
		for id, e := range r.keys {
			switch now := next.keys[id]; {
			case now == nil:
				return &KeyError{ID: id, Err: ErrRollback}
			case e.State == Destroyed && now.State != Destroyed:
				return &KeyError{ID: id, Err: ErrRollback}
			}
		}
		*r = *next
		return nil
	})
	if err != nil {
		return aboutFile(path, err)
	}
	return nil
}

// ErrRollback is wrapped in a *KeyError when a file to reload lacks a key of the ring, or has one alive that was destroyed. These are all the
// rollbacks that it tells: a copy from before Promote or Retire holds the same keys, and its states could as well be a step that was taken
// back. Whoever can write to the file can put such a copy there.
var ErrRollback = errors.New("seal: the file lacks a key that the ring has, or has one alive that was destroyed: key")

// KeyringFromEnv reads a Keyring from the environment variable of that name, which holds the text of Keyring.Reveal; for one key that is
// "primary - mantlet-seal-v1_...". Every process of the same user can read a process's environment, children inherit it, and crash
// reports show it: prefer a file. The error never shows a key.
func KeyringFromEnv(name string) (*Keyring, error) {
	k, err := ParseKeyring(os.Getenv(name))
	if err != nil {
		return nil, fmt.Errorf("seal: environment variable %s: %w", name, err)
	}
	return k, nil
}

func aboutFile(path string, err error) error    { return about("keyring", path, err) }
func aboutKeyFile(path string, err error) error { return about("key", path, err) }

// about says of which file an error is. Where the system named it too, once is enough.
func about(kind, path string, err error) error {
	if named, ok := err.(*fs.PathError); ok && named.Path == path {
		err = named.Err
	}
	return fmt.Errorf("seal: %s file %s: %w", kind, path, err)
}

func writeKeyring(path string, k *Keyring, put func(string, []byte) error) error {
	if k.Primary() == (ID{}) {
		return ErrNoPrimary
	}
	text := fmt.Sprintf("%s%d keys\n", fileLine, len(k.Keys())) + k.Reveal()
	data := []byte(text)
	defer clear(data)
	// Read what will be read back before it replaces anything.
	_, err := decodeKeyringFile(text)
	if err == nil && len(data) > maxKeyringFile {
		err = fmt.Errorf("would grow beyond %d bytes", maxKeyringFile)
	}
	if err == nil {
		err = put(path, data)
	}
	if err != nil {
		return aboutFile(path, err)
	}
	return nil
}

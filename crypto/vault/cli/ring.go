package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
)

// errNoRing does not say how to make one: whoever wants to decrypt needs the old one.
var errNoRing = errors.New("there is none")

// newRing is loadRing for what may be the first use of a ring.
func newRing(path string) (*seal.Keyring, error) {
	ring, err := loadRing(path)
	if errors.Is(err, errNoRing) {
		err = fmt.Errorf("%w; keygen makes one", err)
	}
	return ring, err
}

// loadRing reads the ring in a file.
func loadRing(path string) (*seal.Keyring, error) {
	ring, err := seal.ReadKeyringFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("ring %s: %w", path, errNoRing)
	}
	return ring, err
}

// createRing makes a ring file with one key. It must not exist yet.
func createRing(path string, key seal.Key, created time.Time) error {
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: key, State: seal.Primary, Created: created}}})
	if err == nil {
		err = seal.CreateKeyringFile(path, ring)
	}
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("ring %s: %w; rotate -add adds a key to it", path, fs.ErrExist)
	}
	return err
}

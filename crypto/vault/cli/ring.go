package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/internal/privatefile"
)

// All that knows what a ring file looks like is in this file: loadRing, createRing and changeRing. It is the text of seal.Keyring.Reveal
// below a line that says how many keys must follow, so that a copy that was cut short is not taken for a smaller ring.

const (
	maxRing  = 4 << 20
	ringLine = "# mantlet seal keyring of "
)

func decodeRing(text string) (*seal.Keyring, error) {
	ring, err := seal.ParseKeyring(text)
	if err != nil {
		return nil, err
	}
	if count, ok := strings.CutPrefix(text, ringLine); ok {
		count, _, _ = strings.Cut(count, "\n")
		if want := fmt.Sprintf("%d keys", len(ring.Keys())); count != want {
			return nil, fmt.Errorf("has %s, which is not what its first line says; has it been cut?", want)
		}
	}
	return ring, nil
}

func encodeRing(ring *seal.Keyring) []byte {
	return fmt.Appendf(nil, "%s%d keys\n%s", ringLine, len(ring.Keys()), ring.Reveal())
}

func aboutRing(path string, err error) error { return fmt.Errorf("ring %s: %w", path, err) }

// loadRing reads the ring in a file.
func loadRing(path string) (*seal.Keyring, error) {
	data, _, err := privatefile.Read(path, maxRing, nil)
	if errors.Is(err, fs.ErrNotExist) {
		err = errors.New("there is none; keygen makes one")
	}
	if err != nil {
		return nil, aboutRing(path, err)
	}
	defer clear(data)
	ring, err := decodeRing(string(data))
	if err != nil {
		return nil, aboutRing(path, err)
	}
	return ring, nil
}

// createRing makes a ring file with one key. It must not exist yet.
func createRing(path string, key seal.Key, created time.Time) error {
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: key, State: seal.Primary, Created: created}}})
	if err == nil {
		err = privatefile.Create(path, encodeRing(ring))
	}
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%w; rotate -add adds a key to it", fs.ErrExist)
	}
	if err != nil {
		return aboutRing(path, err)
	}
	return nil
}

// changeRing makes a change to the ring in a file, while no other vault does.
func changeRing(ctx context.Context, path string, change func(*seal.Keyring) error) error {
	unlock, err := privatefile.Lock(ctx, path+".lock")
	if err != nil {
		return aboutRing(path, err)
	}
	defer unlock()
	ring, err := loadRing(path)
	if err != nil {
		return err
	}
	if err := change(ring); err != nil {
		return err
	}
	if err := privatefile.Replace(path, encodeRing(ring)); err != nil {
		return aboutRing(path, err)
	}
	return nil
}

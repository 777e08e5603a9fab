package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/mantlet-go/mantlet/crypto/internal/canonical"
	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/internal/privatefile"
)

// All that knows what a ring file looks like is in this file: loadRing, createRing and changeRing.

type ringFile struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	Keys    []ringKey `json:"keys"`
}

type ringKey struct {
	ID      seal.ID   `json:"id"`
	State   string    `json:"state"`
	Created time.Time `json:"created,omitzero"`
	Key     string    `json:"key,omitempty"`
}

const maxRing = 1 << 20

func decodeRing(data []byte) ([]seal.RingKey, error) {
	var f ringFile
	if err := canonical.Unmarshal(bytes.TrimSuffix(data, []byte("\n")), &f); err != nil {
		return nil, err
	}
	if f.Format != "mantlet-vault-ring" || f.Version != 1 {
		return nil, errors.New("is not of format mantlet-vault-ring version 1")
	}
	var keys []seal.RingKey
	for i, k := range f.Keys {
		key := seal.RingKey{ID: k.ID, Created: k.Created, State: seal.Destroyed + 1}
		for s := seal.DecryptOnly; s <= seal.Destroyed; s++ {
			if s.String() == k.State {
				key.State = s
			}
		}
		if k.Key != "" {
			var err error
			if key.Key, err = seal.ParseKey(k.Key); err != nil {
				return nil, fmt.Errorf("has a key %d that is none: %w", i+1, err)
			}
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func encodeRing(keys []seal.RingKey) []byte {
	f := ringFile{Format: "mantlet-vault-ring", Version: 1, Keys: []ringKey{}}
	for _, k := range keys {
		f.Keys = append(f.Keys, ringKey{k.ID, k.State.String(), k.Created, k.Key.Reveal()})
	}
	data, _ := json.Marshal(f) // no member of it can fail
	return append(data, '\n')
}

func aboutRing(path string, err error) error { return fmt.Errorf("ring %s: %w", path, err) }

func readRing(path string) ([]seal.RingKey, *seal.Keyring, error) {
	data, _, err := privatefile.Read(path, maxRing, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, aboutRing(path, errors.New("there is none; keygen makes one"))
	}
	if err != nil {
		return nil, nil, aboutRing(path, err)
	}
	keys, err := decodeRing(data)
	if err != nil {
		return nil, nil, aboutRing(path, err)
	}
	ring, err := seal.New(seal.Config{Keys: keys})
	if err != nil {
		return nil, nil, aboutRing(path, err)
	}
	return keys, ring, nil
}

func loadRing(path string) (*seal.Keyring, error) {
	_, ring, err := readRing(path)
	return ring, err
}

// createRing makes a ring file with one key. It must not exist yet.
func createRing(path string, key seal.Key, created time.Time) error {
	data := encodeRing([]seal.RingKey{{Key: key, ID: key.ID(), State: seal.Primary, Created: created}})
	err := privatefile.Create(path, data)
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%w; rotate -add adds a key to it", fs.ErrExist)
	}
	if err != nil {
		return aboutRing(path, err)
	}
	return nil
}

// changeRing makes a change to the ring in a file. fresh is a key that f may add.
func changeRing(ctx context.Context, path string, fresh seal.RingKey, f func(*seal.Keyring) error) error {
	unlock, err := privatefile.Lock(ctx, path+".lock")
	if err != nil {
		return aboutRing(path, err)
	}
	defer unlock()
	keys, ring, err := readRing(path)
	if err != nil {
		return err
	}
	if err := f(ring); err != nil {
		return err
	}
	secrets := map[seal.ID]seal.RingKey{fresh.Key.ID(): fresh}
	for _, k := range keys {
		secrets[k.ID] = k
	}
	var next []seal.RingKey
	for _, info := range ring.Keys() {
		k := seal.RingKey{ID: info.ID, State: info.State, Created: info.Created}
		if info.State != seal.Destroyed {
			k.Key = secrets[info.ID].Key
		}
		next = append(next, k)
	}
	if err := privatefile.Replace(path, encodeRing(next)); err != nil {
		return aboutRing(path, err)
	}
	return nil
}

package shred

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/mantlet-go/mantlet/crypto/internal/canonical"
	"github.com/mantlet-go/mantlet/internal/privatefile"
)

// FileConfig configures a FileStore.
type FileConfig struct {
	// Dir is the store's directory. It must belong to the user of this process or to root, and nobody else may write to it. Required.
	Dir string
	// Create makes the store if there is none; the directory above must exist. False means that a missing store is an error: a wrong
	// path should not look like a deployment in which nobody was ever shredded.
	Create bool
}

// FileStore is a Store in a directory with a file of mode 0600 for each subject, so that Get costs the same for ten subjects and for ten
// million. (Shred lists one of the 256 directories.) It is safe for concurrent use, and several processes may share the directory: writers
// lock a file in it (on systems without flock, only writers of one process exclude each other).
//
//	mantlet-shred.json        {"format":"mantlet-shred","version":1,"counter":17}
//	3b/3b1f...c2.key          the JSON of a Record with its box
//	3b/3b90...07.gone         the JSON of a Record that is a tombstone
//
// A tombstone is a file of another name than the key, and it goes first: who copies an old key back into the directory undoes nothing, the
// next Get removes it. Files are written beside their place, synced and renamed, and the directory is synced: a power cut leaves the one or
// the other. To copy a store, keep the modes (cp -a): a file that others may read, or a directory that they may write to, is an error.
// Removing a file does not wipe the disk: what lies there, in snapshots or in a file system's journal, is the key as it was wrapped by the
// Ring, so it is gone for good when that key of the ring is destroyed.
type FileStore struct {
	dir     string
	writing chan struct{} // whoever has put its token there writes
}

// FileStoreMarker is the name of the file that makes a directory a FileStore. Package backup looks for it.
const FileStoreMarker = "mantlet-shred.json"

const (
	lockName   = "lock"
	keySuffix  = ".key"
	goneSuffix = ".gone"
)

type marker struct {
	Format  string `json:"format"`
	Version int    `json:"version"`
	Counter uint64 `json:"counter"`
}

// NewFileStore opens the store in a directory.
func NewFileStore(cfg FileConfig) (*FileStore, error) {
	if cfg.Dir == "" {
		return nil, errors.New("shred: FileConfig.Dir is empty")
	}
	s := &FileStore{cfg.Dir, make(chan struct{}, 1)}
	_, err := s.counter()
	if errors.Is(err, fs.ErrNotExist) && cfg.Create {
		if err := os.Mkdir(cfg.Dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, s.about(err)
		}
		err = privatefile.Create(s.path(FileStoreMarker), s.marker(0))
		if err == nil || errors.Is(err, fs.ErrExist) { // another process was faster
			_, err = s.counter()
		}
	}
	if errors.Is(err, fs.ErrNotExist) && !cfg.Create {
		err = fmt.Errorf("there is no store; FileConfig.Create makes one: %w", err)
	}
	if err != nil {
		return nil, s.about(err)
	}
	return s, nil
}

func (s *FileStore) path(name string) string { return filepath.Join(s.dir, name) }

func (s *FileStore) about(err error) error {
	return fmt.Errorf("shred: store %s: %w", s.dir, err)
}

// Format writes "[shred.FileStore]" whatever the verb.
func (s *FileStore) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, "[shred.FileStore]") }

func (s *FileStore) marker(counter uint64) []byte {
	data, _ := json.Marshal(marker{"mantlet-shred", 1, counter})
	return append(data, '\n')
}

func (s *FileStore) counter() (uint64, error) {
	data, _, err := privatefile.Read(s.path(FileStoreMarker), maxRecord, nil)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", FileStoreMarker, err)
	}
	return parseMarker(data)
}

func parseMarker(data []byte) (counter uint64, err error) {
	var m marker
	if err := canonical.Unmarshal(bytes.TrimSuffix(data, []byte("\n")), &m); err != nil || m.Format != "mantlet-shred" || m.Version != 1 {
		return 0, fmt.Errorf("%s: %w: not a file of format mantlet-shred version 1", FileStoreMarker, ErrUnreadable)
	}
	return min(m.Counter, maxCounter), nil
}

// CheckFileStoreMarker says whether NewFileStore takes the content of a marker. Otherwise the error is ErrUnreadable.
func CheckFileStoreMarker(data []byte) error {
	_, err := parseMarker(data)
	return err
}

func (s *FileStore) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case s.writing <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	release, err := privatefile.Lock(ctx, s.path(lockName))
	if err != nil {
		<-s.writing
		return nil, err
	}
	return func() {
		release()
		<-s.writing
	}, nil
}

// file is where the records of a are, without the suffix.
func (s *FileStore) file(a Alias) string {
	name := a.String()
	return filepath.Join(s.dir, name[:2], name)
}

// Get implements Store.
func (s *FileStore) Get(ctx context.Context, a Alias) (Record, error) {
	if s == nil || s.dir == "" {
		return Record{}, errors.New("shred: FileStore was not made by NewFileStore")
	}
	if err := ctx.Err(); err != nil {
		return Record{}, err
	}
	r, err := s.get(a)
	if err != nil && !errors.Is(err, ErrNotFound) {
		err = s.about(err)
	}
	return r, err
}

// get reads what there is of a. Nothing is only nothing where the store is: a directory without a marker is one that is not mounted, say.
func (s *FileStore) get(a Alias) (Record, error) {
	// The key first: a tombstone that is written in between is seen, while the other way round it would be missed.
	key, keyErr := s.read(a, keySuffix)
	gone, err := s.read(a, goneSuffix)
	switch {
	case err == nil:
		// Left over by a power cut, or copied back.
		if err := os.Remove(s.file(a) + keySuffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return Record{}, fmt.Errorf("the key of somebody who was shredded cannot be removed: %w", err)
		}
		return gone, nil
	case !errors.Is(err, ErrNotFound):
		return Record{}, err // a tombstone that cannot be read is one
	}
	if errors.Is(keyErr, ErrNotFound) {
		if _, err := s.counter(); err != nil {
			return Record{}, err
		}
	}
	return key, keyErr
}

func (s *FileStore) read(a Alias, suffix string) (Record, error) {
	name := s.file(a) + suffix
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) { // cheaper than to find out below
		return Record{}, ErrNotFound
	}
	data, _, err := privatefile.Read(name, maxRecord, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return Record{}, ErrNotFound
	}
	if err != nil {
		return Record{}, fmt.Errorf("%s: %w: %w", filepath.Base(name), ErrUnreadable, err)
	}
	r, err := ParseRecord(bytes.TrimSuffix(data, []byte("\n")))
	if err == nil && (r.Alias != a || r.Shredded.IsZero() == (suffix == goneSuffix)) {
		err = fmt.Errorf("%w: it is another one than its name says", ErrUnreadable)
	}
	if err != nil {
		return Record{}, fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return r, nil
}

// Put implements Store.
func (s *FileStore) Put(ctx context.Context, r Record) (Record, error) {
	if s == nil || s.dir == "" {
		return Record{}, errors.New("shred: FileStore was not made by NewFileStore")
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return Record{}, s.about(err)
	}
	defer unlock()
	counter, err := s.counter() // also of a key: it must be the store that it is written to
	if err != nil {
		return Record{}, s.about(err)
	}
	var old *Record
	switch o, err := s.get(r.Alias); {
	case err == nil:
		old = &o
	case errors.Is(err, ErrNotFound):
	case errors.Is(err, ErrUnreadable) && !r.Shredded.IsZero() && s.onlyKey(r.Alias):
		// A key that nobody can read is destroyed like any other one.
	default:
		return Record{}, s.about(err)
	}
	if old != nil && !old.Shredded.IsZero() {
		removed, err := s.sweep(r.Alias) // whoever wrote the tombstone may have died before
		if removed && err == nil {
			err = privatefile.SyncDir(filepath.Dir(s.file(r.Alias)))
		}
		if err != nil {
			return Record{}, s.about(err)
		}
	}
	if r, err = Next(old, r, counter); err != nil {
		return Record{}, err
	}
	if err := s.write(r, counter); err != nil {
		return Record{}, s.about(err)
	}
	return r, nil
}

// onlyKey says that there is no tombstone of a, not even one that cannot be read.
func (s *FileStore) onlyKey(a Alias) bool {
	_, err := os.Lstat(s.file(a) + goneSuffix)
	return errors.Is(err, fs.ErrNotExist)
}

func (s *FileStore) write(r Record, counter uint64) error {
	data, name := append(encode(r), '\n'), s.file(r.Alias)
	if err := os.Mkdir(filepath.Dir(name), 0o700); err == nil {
		if err := privatefile.SyncDir(s.dir); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if r.Shredded.IsZero() {
		return privatefile.Replace(name+keySuffix, data)
	}
	if r.Counter > counter { // before the tombstone, so that no number is given twice
		if err := privatefile.Replace(s.path(FileStoreMarker), s.marker(r.Counter)); err != nil {
			return err
		}
	}
	if err := privatefile.Replace(name+goneSuffix, data); err != nil {
		return err
	}
	if _, err := s.sweep(r.Alias); err != nil {
		return err
	}
	return privatefile.SyncDir(filepath.Dir(name))
}

// sweep removes the key of somebody who was shredded, and what a process that died while it wrote the key has left behind.
func (s *FileStore) sweep(a Alias) (removed bool, err error) {
	dir, key := filepath.Dir(s.file(a)), a.String()+keySuffix
	entries, err := os.ReadDir(dir)
	if err != nil {
		return false, err
	}
	for _, e := range entries {
		if n := e.Name(); n != key && (!strings.HasPrefix(n, "."+key+".") || !strings.HasSuffix(n, ".tmp")) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, e.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return removed, err
		}
		removed = true
	}
	return removed, nil
}

// List implements Store. A file whose name is none of a record is passed over; one that cannot be read is an error.
func (s *FileStore) List(ctx context.Context, p Page) ([]Record, error) {
	if s == nil || s.dir == "" {
		return nil, errors.New("shred: FileStore was not made by NewFileStore")
	}
	if _, err := s.counter(); err != nil {
		return nil, s.about(err)
	}
	var list []Record
	suffix := keySuffix
	if p.Shredded {
		suffix = goneSuffix
	}
	for first := int(p.After[0]); first < 256; first++ {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		entries, err := os.ReadDir(s.path(fmt.Sprintf("%02x", first)))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, s.about(err)
		}
		var found []Alias
		for _, e := range entries {
			var a Alias
			name, ok := strings.CutSuffix(e.Name(), suffix)
			if ok && a.UnmarshalText([]byte(name)) == nil && int(a[0]) == first && bytes.Compare(a[:], p.After[:]) > 0 {
				found = append(found, a)
			}
		}
		slices.SortFunc(found, func(a, b Alias) int { return bytes.Compare(a[:], b[:]) })
		for _, a := range found {
			r, err := s.get(a)
			if errors.Is(err, ErrNotFound) || err == nil && r.Shredded.IsZero() == p.Shredded {
				continue // it was shredded meanwhile
			}
			if err != nil {
				return nil, s.about(err)
			}
			if list = append(list, r); len(list) == p.Max() {
				return list, nil
			}
		}
	}
	return list, nil
}

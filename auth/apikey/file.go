package apikey

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
	"github.com/mantlet-go/mantlet/internal/privatefile"
)

// FileConfig configures a [FileStore].
type FileConfig struct {
	// Path is the key file. Its directory must exist. Both must belong to the user of this process or to root, and nobody else may
	// write to the directory, a group neither, unless it has the sticky bit. The directories above it are not looked at. Required.
	Path string
	// Create makes a file without keys if there is none. False means that a missing file is an error: a wrong path should
	// not look like a deployment without keys.
	Create bool
	// MaxBytes bounds the size of the file. Zero means 64 MiB, some 150,000 keys. The last tenth, and 64 bytes for every key
	// that is not revoked, are kept free of new keys, so that a key can be disabled, rotated and revoked also when the file is full.
	MaxBytes int64
}

// FileStore is a [Store] in one JSON file of mode 0600. It is safe for concurrent use, and several processes may share the
// file: writers lock a file beside it, named like it with ".lock" appended (on systems without flock, only writers of one
// process exclude each other).
//
// A write makes a new file in the same directory, syncs it, renames it over the old one and syncs the directory: a reader
// sees the old file or the new one, also after a power cut. A read refuses a file that is not regular, not private, of another user, in
// a directory that others may write to, larger than MaxBytes, not strict JSON of exactly this form, or that holds a record which is not
// valid. Symbolic links are refused: who may write the link's directory could put another file in its place. (Files in Kubernetes
// secret volumes are links; mount the key with subPath, or implement [Store].) The lock too must be private and of this user or root:
// who may open it could hold it for ever.
//
// Uses ([UsageStore]) lie in another file beside it, named like it with ".uses" appended, so that a use rewrites no key. It may be
// deleted; then no key counts as used until it is used again, and none as dormant until the time for that has gone.
//
// Whether the file changed is told by its modification time, size and inode; for two seconds after a change it is read again
// every time, because file systems do not tell two writes in quick succession apart.
type FileStore struct {
	cfg     FileConfig
	writing chan struct{} // whoever has put its token there writes

	mu      sync.Mutex
	records map[string]Record
	info    fs.FileInfo
	read    time.Time
	sum     [32]byte // of the content, so that a touch is no change
	version uint64
}

// settled is how old a file must be for its modification time to be believed. File systems count in steps of up to 2 s.
const settled = 2 * time.Second

// fileFormat is the content of the file.
type fileFormat struct {
	Format  string   `json:"format"`
	Version int      `json:"version"`
	Keys    []Record `json:"keys"`
}

const (
	formatName    = "mantlet-apikeys"
	formatVersion = 1
)

// NewFileStore opens the key file and reads it once. It reports everything that is wrong with cfg at once. Where it has to make the file
// it waits up to ten seconds for another process that holds the lock.
func NewFileStore(cfg FileConfig) (*FileStore, error) {
	var errs []error
	if cfg.Path == "" {
		errs = append(errs, errors.New("apikey: FileConfig.Path is empty"))
	}
	if cfg.MaxBytes < 0 {
		errs = append(errs, fmt.Errorf("apikey: FileConfig.MaxBytes %d is negative", cfg.MaxBytes))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = 64 << 20
	}
	s := &FileStore{cfg: cfg, writing: make(chan struct{}, 1)}
	if cfg.Create {
		if _, err := os.Lstat(cfg.Path); errors.Is(err, fs.ErrNotExist) {
			if err := s.create(); err != nil {
				return nil, err
			}
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(); errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w; run keyctl init, or set FileConfig.Create", err)
	} else if err != nil {
		return nil, err
	}
	return s, nil
}

// about says of which file an error is. Where the system named it too, once is enough.
func about(kind, path string, err error) error {
	if named, ok := err.(*fs.PathError); ok && named.Path == path {
		err = named.Err
	}
	return fmt.Errorf("apikey: %s %s: %w", kind, path, err)
}

const (
	keyFile = "key file"
	useFile = "file of uses"
)

func (s *FileStore) create() error {
	ctx, cancel := context.WithTimeout(context.Background(), createTimeout)
	defer cancel()
	unlock, err := privatefile.Lock(ctx, s.cfg.Path+".lock")
	if err != nil {
		return about("lock of the key file", s.cfg.Path+".lock", err)
	}
	defer unlock()
	if _, err := os.Lstat(s.cfg.Path); !errors.Is(err, fs.ErrNotExist) {
		return nil // another process was faster
	}
	return s.write(nil, s.cfg.MaxBytes)
}

// createTimeout is how long a program that starts waits for another one that writes. A write takes milliseconds.
const createTimeout = 10 * time.Second

// Format implements [fmt.Formatter]: every verb prints a fixed word, no record and no digest.
func (s *FileStore) Format(f fmt.State, _ rune) { io.WriteString(f, "[apikey.FileStore]") }

// lock is for writers: they wait for each other here, so that no reader of this process has to wait for another one.
func (s *FileStore) lock(ctx context.Context) (unlock func(), err error) {
	select {
	case s.writing <- struct{}{}:
	case <-ctx.Done():
		return nil, about("lock of the key file", s.cfg.Path+".lock", ctx.Err())
	}
	release, err := privatefile.Lock(ctx, s.cfg.Path+".lock")
	if err != nil {
		<-s.writing
		return nil, about("lock of the key file", s.cfg.Path+".lock", err)
	}
	s.mu.Lock()
	return func() {
		s.mu.Unlock()
		release()
		<-s.writing
	}, nil
}

func (s *FileStore) made() error {
	if s == nil || s.cfg.Path == "" {
		return errors.New("apikey: file store was not made by NewFileStore")
	}
	return nil
}

// Load implements [Store].
func (s *FileStore) Load(ctx context.Context, since string) (Batch, error) {
	if err := s.made(); err != nil {
		return Batch{}, err
	}
	if err := ctx.Err(); err != nil {
		return Batch{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(); err != nil {
		return Batch{}, err
	}
	b := Batch{Version: "f" + strconv.FormatUint(s.version, 10)}
	if b.Version == since {
		b.Unchanged = true
		return b, nil
	}
	b.Records = sorted(s.records) // records are replaced, never changed, so they may be shared
	return b, nil
}

// Get implements [Store].
func (s *FileStore) Get(_ context.Context, id string) (Record, error) {
	if err := s.made(); err != nil {
		return Record{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.refresh(); err != nil {
		return Record{}, err
	}
	r, ok := s.records[id]
	if !ok {
		return Record{}, ErrNotFound
	}
	return r.Clone(), nil
}

// Put implements [Store]. It rewrites the file: the cost is that of all keys.
func (s *FileStore) Put(ctx context.Context, rec Record) (Record, error) {
	if err := s.made(); err != nil {
		return Record{}, err
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return Record{}, err
	}
	defer unlock()
	s.info = nil // under the lock the file is read in any case: another process may just have written it
	if err := s.refresh(); err != nil {
		return Record{}, err
	}
	var old *Record
	if r, ok := s.records[rec.ID]; ok {
		old = &r
	}
	if rec, err = Next(old, rec); err != nil {
		return Record{}, err
	}
	keys := make(map[string]Record, len(s.records)+1)
	for k, r := range s.records {
		keys[k] = r
	}
	keys[rec.ID] = rec
	if err := s.write(keys, s.room(keys, old, &rec)); err != nil {
		return Record{}, err
	}
	s.info = nil
	if err := s.refresh(); err != nil {
		return Record{}, err
	}
	return rec.Clone(), nil
}

// room is how large the file may become by writing rec over old. What is left below MaxBytes is kept for steps that withdraw a key:
// somebody who can make keys must not be able to keep others alive.
func (s *FileStore) room(keys map[string]Record, old, rec *Record) int64 {
	room := s.cfg.MaxBytes
	if old != nil && old.RevokedAt.IsZero() && !rec.RevokedAt.IsZero() {
		return room
	}
	if old == nil {
		room -= room / 10
	}
	for _, r := range keys {
		if r.RevokedAt.IsZero() {
			room -= 64 // "revoked_at" takes 47 bytes, and the version may grow
		}
	}
	return room
}

// usageFile is the content of the file of uses.
type usageFile struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	Since   time.Time `json:"since"`
	Uses    []Usage   `json:"uses"`
}

const usageName = "mantlet-apikey-uses"

func (s *FileStore) usagePath() string { return s.cfg.Path + ".uses" }

// AddUsage implements [UsageStore].
func (s *FileStore) AddUsage(ctx context.Context, used []Usage) error {
	if err := s.made(); err != nil {
		return err
	}
	unlock, err := s.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	l, err := s.readUsage()
	if err != nil {
		return err
	}
	if len(used) == 0 && !l.since.IsZero() {
		return nil
	}
	l.add(time.Now(), used)
	f := usageFile{Format: usageName, Version: formatVersion, Since: l.since, Uses: []Usage{}}
	_, uses := l.list()
	f.Uses = append(f.Uses, uses...)
	data, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return about(useFile, s.usagePath(), err)
	}
	if int64(len(data)) >= s.cfg.MaxBytes {
		return about(useFile, s.usagePath(), fmt.Errorf("would grow beyond %d bytes", s.cfg.MaxBytes))
	}
	if err := privatefile.Replace(s.usagePath(), append(data, '\n')); err != nil {
		return about(useFile, s.usagePath(), err)
	}
	return nil
}

// Usage implements [UsageStore].
func (s *FileStore) Usage(ctx context.Context) (since time.Time, used []Usage, err error) {
	if err := s.made(); err != nil {
		return time.Time{}, nil, err
	}
	if err := ctx.Err(); err != nil {
		return time.Time{}, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	l, err := s.readUsage()
	if err != nil {
		return time.Time{}, nil, err
	}
	since, used = l.list()
	return since, used, nil
}

// readUsage reads the file of uses. No file means that nothing is on record. A broken one is an error, not nothing: keys in use would
// look dormant.
func (s *FileStore) readUsage() (l ledger, err error) {
	data, _, err := privatefile.Read(s.usagePath(), s.cfg.MaxBytes, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return l, nil
	}
	if err != nil {
		return l, about(useFile, s.usagePath(), err)
	}
	var f usageFile
	if err := strict(data, &f); err != nil {
		return l, about(useFile, s.usagePath(), err)
	}
	if f.Format != usageName || f.Version != formatVersion || f.Uses == nil || f.Since.IsZero() {
		return l, about(useFile, s.usagePath(), fmt.Errorf("not a file of format %q version %d", usageName, formatVersion))
	}
	l.add(f.Since, f.Uses)
	return l, nil
}

// refresh brings the records up to date with the file. On any error they stay what they were.
func (s *FileStore) refresh() error {
	now := time.Now()
	data, info, err := privatefile.Read(s.cfg.Path, s.cfg.MaxBytes, s.changed)
	if err != nil {
		return about(keyFile, s.cfg.Path, err)
	}
	if data == nil {
		return nil
	}
	sum := sha256.Sum256(data)
	if s.records != nil && sum == s.sum {
		s.info, s.read = info, now
		return nil
	}
	records, err := decode(data)
	if err == nil && len(records) == 0 && len(s.records) > 0 {
		err = errors.New("holds no keys and held some before; the old ones are kept")
	}
	if err != nil {
		return about(keyFile, s.cfg.Path, err)
	}
	s.records, s.info, s.read, s.sum = records, info, now, sum
	s.version++
	return nil
}

// changed reports whether the file may be another than the one that was read last.
func (s *FileStore) changed(info fs.FileInfo) bool {
	return s.info == nil || !os.SameFile(s.info, info) || !s.info.ModTime().Equal(info.ModTime()) || s.info.Size() != info.Size() ||
		s.read.Sub(info.ModTime()) <= settled
}

// decode reads the content of a key file, strictly: what one reader would overlook another might use.
func decode(data []byte) (map[string]Record, error) {
	var f fileFormat
	if err := strict(data, &f); err != nil {
		return nil, err
	}
	if f.Format != formatName || f.Version != formatVersion || f.Keys == nil {
		return nil, fmt.Errorf("not a file of format %q version %d with keys", formatName, formatVersion)
	}
	records := make(map[string]Record, len(f.Keys))
	for i := range f.Keys {
		r := &f.Keys[i]
		if err := r.validate(); err != nil {
			return nil, fmt.Errorf("key %d, %.12q: %w", i+1, r.ID, err)
		}
		if r.Version == 0 {
			return nil, fmt.Errorf("key %d has no version", i+1)
		}
		if _, twice := records[r.ID]; twice {
			return nil, fmt.Errorf("id %s occurs twice", r.ID)
		}
		records[r.ID] = *r
	}
	return records, nil
}

// maxString is the longest string of a record or of uses as written in JSON, in bytes. Everything else in a record is bounded below it.
const maxString = 4096

// strict reads JSON that has no member twice, in another case or unknown, and nothing after it.
func strict(data []byte, v any) error {
	if len(data) == 0 {
		return errors.New("is empty")
	}
	limits := jsonscan.Limits{Bytes: -1, Depth: 8, TotalKeys: -1, ArrayLen: -1, Nodes: -1, StringLen: maxString}
	if err := jsonscan.Scan(data, &limits, nil); err != nil {
		return err
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if d.Decode(v) != nil {
		// The text of a decoding error may quote what it read; its kind is enough.
		return errors.New("a member is unknown or of the wrong type")
	}
	return nil
}

// write replaces the file by one with these keys, if it is no larger than room.
func (s *FileStore) write(keys map[string]Record, room int64) error {
	f := fileFormat{Format: formatName, Version: formatVersion, Keys: sorted(keys)}
	if f.Keys == nil {
		f.Keys = []Record{}
	}
	data, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return about(keyFile, s.cfg.Path, err)
	}
	if int64(len(data)) >= room {
		return about(keyFile, s.cfg.Path, fmt.Errorf("would grow beyond %d of %d bytes; the rest is kept for withdrawing keys", max(room, 0), s.cfg.MaxBytes))
	}
	// Read what will be read back before it replaces anything: a file we could write and not read would be an outage.
	if _, err := decode(data); err != nil {
		return about(keyFile, s.cfg.Path, fmt.Errorf("not writing what could not be read: %w", err))
	}
	if err := privatefile.Replace(s.cfg.Path, append(data, '\n')); err != nil {
		return about(keyFile, s.cfg.Path, err)
	}
	return nil
}

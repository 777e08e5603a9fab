package backup

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/crypto/shred"
	"github.com/mantlet-go/mantlet/internal/privatefile"
)

// Config says what backups are made with.
type Config struct {
	// Ring encrypts the backups and opens them. Its primary key must be kept where the backup is not. A seal.Envelope is none: a backup
	// should open also when the key service is what was lost. Required.
	Ring *seal.Keyring
	// Label names the series of backups: the deployment, say. One of another label does not open. 1 to 200 printable bytes. Required.
	Label string
	// Needs are the rings whose boxes are in what is backed up. Write puts a canary for each of their keys into the backup, and Verify
	// opens each with one of them or with Ring. A key that was retired or destroyed there since is no failure (Report.Retired). Nil means Ring
	// alone.
	Needs []*seal.Keyring
	// CheckCheckpoint is shown the checkpoint of a backup that has one, by Verify and Restore, and returns an error if it contradicts what is
	// known: if the live audit log is not a continuation of it, say. Nil means that it is not checked, and Report.CheckpointChecked is false.
	CheckCheckpoint func(ctx context.Context, checkpoint []byte) error
	// Workers is how many goroutines encrypt or decrypt. Zero means 1.
	Workers int
	// MaxFiles bounds the files and directories of a backup that is verified or restored. Zero means 10 million.
	MaxFiles int64
	// MaxBytes bounds the content of a backup that is verified or restored, in bytes. Zero means no bound but that of the format.
	MaxBytes int64
	// Each is called for each directory and file, in order, when it is written, verified or restored. Nil means not. Until Verify has
	// succeeded it is the truth about a beginning.
	Each func(File)
	// Progress is called with the bytes of content done so far, now and then and at the end. Nil means not.
	Progress func(done int64)
}

// File is a directory or a file of a backup.
type File struct {
	Name   string      // with slashes; the first part is the Name of its Source
	Dir    bool        // it is a directory
	Mode   fs.FileMode // permissions
	Time   time.Time   // of the last modification
	Size   int64       // in bytes; 0 of a directory
	SHA256 [32]byte    // of the content; zero of a directory
	Grown  bool        // it grew while it was read, as Set.AppendOnly allows; the backup has what was there at first. Of Write only
}

// Source is a file or a directory to be backed up.
type Source struct {
	// Name is what it is called in the backup: a name without slashes, of its own.
	Name string
	// Path is where it is. It must not be a symbolic link.
	Path string
}

// Set is what one backup holds.
type Set struct {
	// Counter tells which of two backups is newer: it is higher than that of every backup of the label before. Ledger.Next gives
	// one. Required.
	Counter uint64
	// Sources are the files and directories, at least one.
	Sources []Source
	// Tombstones are those of subjects whose store is not a shred.FileStore in Sources, where they are found without. At most MaxTombstones.
	Tombstones []shred.Tombstone
	// Checkpoint is that of the audit log at this moment, or whatever else Config.CheckCheckpoint understands. At most MaxCheckpoint bytes. May be nil.
	Checkpoint []byte
	// AppendOnly names the files that only ever grow, such as logs: what is added while they are read is left out. Nil means none: any file that
	// changes while it is read is ErrChanged.
	AppendOnly func(name string) bool
	// Skip leaves files and directories out. It is asked before anything is looked at, so it is also the way past a symbolic link. Nil means
	// none. It must not hide the marker of a shred.FileStore whose keys are taken (ErrSource).
	Skip func(name string) bool
}

// Report says what was done.
type Report struct {
	Label             string    `json:"label"`
	Counter           uint64    `json:"counter"`
	Time              time.Time `json:"time,omitzero"`              // of the backup
	Key               seal.ID   `json:"key"`                        // that it is under
	Dirs              int64     `json:"dirs"`                       //
	Files             int64     `json:"files"`                      //
	Bytes             int64     `json:"bytes"`                      // of content
	Keys              []seal.ID `json:"keys"`                       // with a canary in the backup; Verify and Restore: that opened
	Unavailable       []seal.ID `json:"unavailable,omitempty"`      // whose canary did not open: a failure of Verify
	Retired           []seal.ID `json:"retired,omitempty"`          // by Verify and Restore: whose canary did not open since they were retired or destroyed in a ring here, which is no failure
	Stores            int       `json:"stores,omitempty"`           // of subjects (shred.FileStore) in the backup
	Tombstones        int       `json:"tombstones"`                 // of Set.Tombstones
	Applied           int       `json:"applied"`                    // by Restore: how many subjects were alive in the backup and are shredded now
	StoresUnchecked   int       `json:"stores_unchecked,omitempty"` // by Restore: stores of which nothing tells who was shredded since the backup
	Unburied          []string  `json:"unburied,omitempty"`         // by Restore with InsecureSkipTombstones: what tombstones were not applied, and why
	Checkpoint        bool      `json:"checkpoint"`                 // the backup has one
	CheckpointChecked bool      `json:"checkpoint_checked"`         // and it was checked
	RolledBack        bool      `json:"rolled_back,omitempty"`      // it is older than Guard.Newest, and that was allowed
	Vanished          []string  `json:"vanished,omitempty"`         // by Write: what was gone when it was to be read, temporary files say, the first 100 of it. What was renamed meanwhile may be in the backup under neither name
	Previous          string    `json:"previous,omitempty"`         // by Restore: where what was replaced is now
}

// Safe makes, verifies and restores backups. It is safe for concurrent use. The zero Safe and a nil one refuse everything.
type Safe struct{ cfg Config }

var errZero = errors.New("backup: Safe was not made by New")

// New makes a Safe. The error lists everything that is wrong with cfg.
func New(cfg Config) (*Safe, error) {
	var errs []error
	if cfg.Ring.Primary() == (seal.ID{}) {
		errs = append(errs, errors.New("backup: Config.Ring is nil or has no primary key"))
	}
	if cfg.Label == "" || len(cfg.Label) > maxLabel || !utf8.ValidString(cfg.Label) || strings.ContainsFunc(cfg.Label, func(r rune) bool { return !unicode.IsPrint(r) }) {
		errs = append(errs, fmt.Errorf("backup: Config.Label %.210q is not 1 to %d bytes of printable text", cfg.Label, maxLabel))
	}
	for i, ring := range cfg.Needs {
		if ring == nil {
			errs = append(errs, fmt.Errorf("backup: Config.Needs[%d] is nil", i))
		}
	}
	if cfg.Workers < 0 || cfg.MaxFiles < 0 || cfg.MaxBytes < 0 {
		errs = append(errs, fmt.Errorf("backup: Config.Workers %d, MaxFiles %d or MaxBytes %d is negative", cfg.Workers, cfg.MaxFiles, cfg.MaxBytes))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if cfg.MaxFiles == 0 {
		cfg.MaxFiles = 10_000_000
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = math.MaxInt64
	}
	cfg.Needs = slices.Clone(cfg.Needs)
	if cfg.Needs == nil {
		cfg.Needs = []*seal.Keyring{cfg.Ring}
	}
	return &Safe{cfg}, nil
}

// Check lists what is wrong with set, as Write does before it looks at any file.
func (s *Safe) Check(set Set) error {
	if s == nil || s.cfg.Ring == nil {
		return errZero
	}
	return s.check(&set)
}

func (s *Safe) check(set *Set) error {
	var errs []error
	if set.Counter == 0 || set.Counter > maxCount {
		errs = append(errs, fmt.Errorf("backup: Set.Counter %d is zero or too large", set.Counter))
	}
	if len(set.Sources) == 0 {
		errs = append(errs, errors.New("backup: Set.Sources is empty"))
	}
	seen := make(map[string]bool)
	for i, src := range set.Sources {
		if err := checkName(src.Name); err != nil || strings.Contains(src.Name, "/") || seen[src.Name] {
			errs = append(errs, fmt.Errorf("backup: Set.Sources[%d].Name %.100q is no name of its own for a file", i, src.Name))
		}
		seen[src.Name] = true
		if src.Path == "" {
			errs = append(errs, fmt.Errorf("backup: Set.Sources[%d].Path is empty", i))
		}
	}
	if len(set.Tombstones) > MaxTombstones {
		errs = append(errs, fmt.Errorf("backup: Set.Tombstones has %d, more than %d", len(set.Tombstones), MaxTombstones))
	}
	for i, t := range set.Tombstones {
		if _, err := shred.ParseTombstone([]byte(t.String())); err != nil {
			errs = append(errs, fmt.Errorf("backup: Set.Tombstones[%d]: %w", i, err))
			break // there may be very many
		}
	}
	if len(set.Checkpoint) > MaxCheckpoint {
		errs = append(errs, fmt.Errorf("backup: Set.Checkpoint has %d bytes, more than %d", len(set.Checkpoint), MaxCheckpoint))
	}
	return errors.Join(errs...)
}

// WriteFile is Write to a file of mode 0600 that must not exist yet, and that is there only when it is complete and on the disk. The file must
// not lie in what is backed up, unless Set.Skip leaves it out (ErrSource), and its file system must have hard links: FAT and some network
// shares have none, and there Write to a file of your own.
func (s *Safe) WriteFile(ctx context.Context, name string, set Set) (report Report, err error) {
	if _, err := os.Lstat(name); err == nil {
		return Report{}, fmt.Errorf("%w: %s", ErrExists, name)
	}
	dir, base := filepath.Split(name)
	if dir == "" {
		dir = "."
	}
	home, err := os.Stat(dir)
	if err != nil {
		return Report{}, err
	}
	f, err := os.CreateTemp(dir, "."+base+".*.tmp") // mode 0600
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, cleanUp(f.Name())) }()
	b := &writer{home: home, own: [2]string{filepath.Base(f.Name()), base}}
	if report, err = s.write(ctx, f, set, b); err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return Report{}, err
	}
	if err := os.Link(f.Name(), name); err != nil { // unlike a rename it replaces nothing
		if errors.Is(err, fs.ErrExist) {
			err = fmt.Errorf("%w: %s", ErrExists, name)
		}
		return Report{}, err
	}
	return report, privatefile.SyncDir(dir)
}

func cleanUp(name string) error {
	if err := os.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// Write writes a backup of set to w. After an error what was written is not usable, and readers notice. The error wraps ErrSource, ErrChanged
// or seal.ErrFIPS, lists what is wrong with set, or comes from the files or from w.
func (s *Safe) Write(ctx context.Context, w io.Writer, set Set) (Report, error) {
	return s.write(ctx, w, set, &writer{})
}

func (s *Safe) write(ctx context.Context, w io.Writer, set Set, b *writer) (Report, error) {
	if s == nil || s.cfg.Ring == nil {
		return Report{}, errZero
	}
	if err := s.check(&set); err != nil {
		return Report{}, err
	}
	stream, err := s.cfg.Ring.NewParallelWriter(w, place(s.cfg.Label), s.cfg.Workers)
	if err != nil {
		return Report{}, err
	}
	b.s, b.ctx, b.set, b.stream, b.out, b.buf = s, ctx, &set, stream, newFrameWriter(stream), make([]byte, bufferSize)
	if err := b.header(); err != nil {
		return Report{}, err
	}
	sources := slices.SortedFunc(slices.Values(set.Sources), func(a, b Source) int { return strings.Compare(a.Name, b.Name) })
	for _, src := range sources {
		if err := b.source(src); err != nil {
			return Report{}, err
		}
	}
	total := end{b.report.Dirs, b.report.Files, b.report.Bytes, b.out.digest.Sum(nil)}
	if err := b.out.frame(kindEnd, total, maxEntry); err != nil {
		return Report{}, err
	}
	if err := stream.Close(); err != nil {
		return Report{}, err
	}
	s.progress(b.report.Bytes)
	return b.report, nil
}

// bufferSize is what is read and hashed at a time; large enough for several goroutines to encrypt it.
const bufferSize = 1 << 20

func (s *Safe) progress(done int64) {
	if s.cfg.Progress != nil {
		s.cfg.Progress(done)
	}
}

func (s *Safe) each(f File) {
	if s.cfg.Each != nil {
		s.cfg.Each(f)
	}
}

// writer is one call of Write.
type writer struct {
	s      *Safe
	ctx    context.Context
	set    *Set
	stream *seal.Writer
	out    *frameWriter
	buf    []byte
	stores []string    // the directories that are a shred.FileStore
	home   fs.FileInfo // the directory that the backup itself is written to, if that is known
	own    [2]string   // its names there, the temporary one first
	report Report
}

func (b *writer) header() error {
	cfg := &b.s.cfg
	h := header{Format: formatName, Version: formatVersion, Label: cfg.Label, Counter: b.set.Counter, Time: stamp(time.Now()), Canaries: [][]byte{}, Checkpoint: b.set.Checkpoint, Tombstones: b.set.Tombstones}
	seen := make(map[seal.ID]bool)
	b.report.Keys = []seal.ID{}
	for _, ring := range cfg.Needs {
		for _, key := range ring.Config().Keys {
			if seen[key.ID] || key.State == seal.Disabled || key.State == seal.Destroyed {
				continue // nothing needs it, or nothing can
			}
			box, err := canary(key.Key, cfg.Label)
			if err != nil {
				return err
			}
			if len(h.Canaries) == maxCanaries {
				return fmt.Errorf("backup: Config.Needs has more than %d keys", maxCanaries)
			}
			seen[key.ID] = true
			h.Canaries = append(h.Canaries, box)
			b.report.Keys = append(b.report.Keys, key.ID)
		}
	}
	b.report.Label, b.report.Counter, b.report.Time, b.report.Key = h.Label, h.Counter, h.Time, cfg.Ring.Primary()
	b.report.Tombstones, b.report.Checkpoint = len(h.Tombstones), len(h.Checkpoint) > 0
	return b.out.frame(kindHeader, h, maxHeader)
}

// canary is a record of no message: who opens it has the key.
func canary(key seal.Key, label string) ([]byte, error) {
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: key, State: seal.Primary}}})
	if err != nil {
		return nil, err
	}
	return ring.Seal(nil, nil, canaryPlace(label))
}

func (b *writer) skip(name string) bool { return b.set.Skip != nil && b.set.Skip(name) }

func refuse(name string, format string, args ...any) error {
	return fmt.Errorf("%w: %q: %w", ErrSource, name, fmt.Errorf(format, args...))
}

// source writes one Source. A root keeps a link that is put in the place of a directory meanwhile from leading elsewhere.
func (b *writer) source(src Source) error {
	if b.skip(src.Name) {
		return nil
	}
	src.Path = filepath.Clean(src.Path) // with a slash at its end, a link would be followed
	info, err := os.Lstat(src.Path)
	if err != nil {
		return err
	}
	at, inside := src.Path, "."
	if !info.IsDir() {
		at, inside = filepath.Dir(src.Path), filepath.Base(src.Path)
	}
	root, err := os.OpenRoot(at)
	if err != nil {
		return err
	}
	defer root.Close()
	return b.visit(root, inside, src.Name, info)
}

func (b *writer) visit(root *os.Root, inside, name string, info fs.FileInfo) error {
	if err := b.ctx.Err(); err != nil {
		return err
	}
	if err := checkName(name); err != nil {
		return refuse(name, "%w", err)
	}
	if bits := info.Mode() & (fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky); bits != 0 && !info.IsDir() {
		return refuse(name, "it has special bits, which a backup does not keep: %v", info.Mode())
	}
	switch {
	case info.Mode().IsRegular():
		return b.file(root, inside, name, info)
	case info.IsDir():
		return b.dir(root, inside, name, info)
	case info.Mode()&fs.ModeSymlink != 0:
		return refuse(name, "it is a symbolic link; back up what it leads to, and skip it")
	}
	return refuse(name, "it is neither a file nor a directory")
}

func (b *writer) dir(root *os.Root, inside, name string, info fs.FileInfo) error {
	e := entry{Name: name, Mode: uint32(info.Mode().Perm()), Time: stamp(info.ModTime())}
	if err := b.out.frame(kindDir, e, maxEntry); err != nil {
		return err
	}
	b.report.Dirs++
	b.s.each(File{Name: name, Dir: true, Mode: info.Mode().Perm(), Time: e.Time})
	d, err := root.OpenFile(inside, readOnly, 0)
	if err != nil {
		return err
	}
	var names []string
	opened, err := d.Stat()
	if err == nil && !os.SameFile(info, opened) {
		err = fmt.Errorf("%w: %q", ErrChanged, name)
	}
	if err == nil {
		names, err = d.Readdirnames(-1)
	}
	if err = errors.Join(err, d.Close()); err != nil {
		return err
	}
	slices.Sort(names)
	if slices.Contains(names, shred.FileStoreMarker) && !b.skip(name+"/"+shred.FileStoreMarker) {
		b.stores = append(b.stores, name)
	}
	if b.home != nil && os.SameFile(opened, b.home) {
		if !b.skip(name + "/" + b.own[1]) {
			return refuse(name, "the backup would lie in what is backed up; write it elsewhere, or skip it (%s)", b.own[1])
		}
		names = slices.DeleteFunc(names, func(child string) bool { return child == b.own[0] })
	}
	for _, child := range names {
		if b.skip(path.Join(name, child)) {
			continue
		}
		at := filepath.Join(inside, child)
		info, err := root.Lstat(at)
		if errors.Is(err, fs.ErrNotExist) {
			if len(b.report.Vanished) < 100 {
				b.report.Vanished = append(b.report.Vanished, name+"/"+child)
			}
			continue // a temporary file, mostly
		}
		if err != nil {
			return err
		}
		if err := b.visit(root, at, name+"/"+child, info); err != nil {
			return err
		}
	}
	return nil
}

func (b *writer) file(root *os.Root, inside, name string, info fs.FileInfo) error {
	f, err := root.OpenFile(inside, readOnly, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	opened, err := f.Stat()
	if err != nil {
		return err
	}
	if !os.SameFile(info, opened) || !opened.Mode().IsRegular() {
		return fmt.Errorf("%w: %q", ErrChanged, name)
	}
	e := entry{Name: name, Mode: uint32(opened.Mode().Perm()), Time: stamp(opened.ModTime()), Size: opened.Size()}
	if err := e.check(false); err != nil {
		return refuse(name, "%w", err)
	}
	if store, ok := storeOf(name); ok && !slices.Contains(b.stores, store) {
		return refuse(name, "it is of a store of subjects whose %s is missing or left out: a restore could not know who was shredded", shred.FileStoreMarker)
	}
	marker := path.Base(name) == shred.FileStoreMarker
	if marker {
		dir, err := root.Lstat(filepath.Dir(inside))
		if err == nil {
			err = checkMarker(info.Mode().Perm(), dir.Mode().Perm(), e.Size)
		}
		if err != nil {
			return refuse(name, "%w", err)
		}
	}
	if err := b.out.frame(kindFile, e, maxEntry); err != nil {
		return err
	}
	hash := sha256.New()
	for left := e.Size; left > 0; {
		if err := b.ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(f, b.buf[:min(left, bufferSize)])
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return fmt.Errorf("%w: %q became shorter", ErrChanged, name)
		}
		if err != nil {
			return err
		}
		hash.Write(b.buf[:n])
		if _, err := b.stream.Write(b.buf[:n]); err != nil {
			return err
		}
		left -= int64(n)
		b.report.Bytes += int64(n)
		b.s.progress(b.report.Bytes)
	}
	after, err := f.Stat()
	if err != nil {
		return err
	}
	grown := after.Size() > e.Size
	if changed := after.Size() != opened.Size() || !after.ModTime().Equal(opened.ModTime()) || !changeTime(after).Equal(changeTime(opened)); changed && (!grown || b.set.AppendOnly == nil || !b.set.AppendOnly(name)) {
		return fmt.Errorf("%w: %q", ErrChanged, name)
	}
	b.report.Files++
	if marker {
		if err := shred.CheckFileStoreMarker(b.buf[:e.Size]); err != nil {
			return refuse(name, "%w", err)
		}
		b.report.Stores++
	}
	sum := hash.Sum(nil)
	b.s.each(File{Name: name, Mode: opened.Mode().Perm(), Time: e.Time, Size: e.Size, SHA256: [32]byte(sum), Grown: grown})
	return b.out.write(sum)
}

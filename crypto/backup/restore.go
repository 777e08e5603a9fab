package backup

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/crypto/shred"
	"github.com/mantlet-go/mantlet/internal/privatefile"
)

// Guard keeps old data from coming back.
type Guard struct {
	// Newest is the highest counter that is known, from a Ledger, say. A backup with a lower one is ErrOlder. Zero means that none is known,
	// and then an old backup cannot be told from the newest one.
	Newest uint64
	// AllowRollback accepts a backup that is older. Report.RolledBack tells.
	AllowRollback bool
}

// Target says where a backup is restored to.
type Target struct {
	Guard
	// Dir is the directory that will hold the sources of the backup under their names. The directory above it must exist and have room.
	// Required.
	Dir string
	// Replace allows that Dir exists. It is renamed to Report.Previous, and stays there until you remove it: soon, since it has the keys of
	// whoever is shredded later. The new directory has its mode. False means ErrExists.
	Replace bool
	// Tombstones are of subjects who were shredded since the backup, from the audit log, say. They must be known to be genuine: see
	// shred.Subjects.Check. They are applied beside those in the backup, those of Live, and those of the stores in what is replaced. Not nil, but
	// empty, they say that nobody was shredded since.
	Tombstones []shred.Tombstone
	// Live are stores that are in use, and whose tombstones are applied too: where the store of the backup is not below Dir, or is no
	// shred.FileStore. All their tombstones are in memory at once.
	Live []shred.Store
	// Apply applies tombstones to what was staged in a directory, where it lies under the names of the sources, when it is not a
	// shred.FileStore: to a dump of a database. It is called before anything is renamed, with those in the backup, of Tombstones and of Live,
	// if there are any; and once more after that, with Dir, if more have come meanwhile. An error of it ends the restore, and what was there is
	// back. Nil means that there is no such store; tombstones for which there is no store at all are ErrTombstones then.
	Apply func(ctx context.Context, stage string, all []shred.Tombstone) error
	// InsecureSkipTombstones restores also what tombstones could not be applied to, because the live store is damaged, say, and also a
	// store of which nothing tells who was shredded since. All others are applied. Who is alive again is so until you apply the tombstones yourself:
	// Report.Unburied and Report.StoresUnchecked say what is missing.
	InsecureSkipTombstones bool
}

// Verify reads a whole backup from r as Restore does, and writes nothing: it is a drill. It decrypts everything, hashes every file, and opens a
// canary for every key that the data needs. The error joins a *Failure for each thing that is wrong; after one that leaves nothing to
// go on with, it stops. Another error comes from r, from ctx, or is ErrChanged.
func (s *Safe) Verify(ctx context.Context, r io.Reader, g Guard) (Report, error) {
	if s == nil || s.cfg.Ring == nil {
		return Report{}, errZero
	}
	b := &reader{s: s, ctx: ctx, guard: g}
	if err := b.read(r, nothing{}); err != nil {
		return b.report, b.wrong(err)
	}
	return b.report, b.wrong(nil)
}

// Restore writes a backup to t.Dir, whole or not at all: everything is staged in a directory beside it, verified as Verify does and synced,
// tombstones are applied, and then the directory is renamed. A backup with a store of subjects is refused (ErrTombstones) unless something
// tells who was shredded since: see Target.Tombstones and Live, and Replace, which finds the stores in what it replaces. When it replaces
// one, there is a moment between two renames in which t.Dir is not there; whoever finds it so after a power cut has both whole beside it. A
// key whose canary does not open is no error here, since its ring may be what is being restored: see Report.Unavailable. The error is as
// that of Verify, or wraps ErrExists or ErrTombstones, or comes from the file system.
func (s *Safe) Restore(ctx context.Context, r io.Reader, t Target) (report Report, err error) {
	if s == nil || s.cfg.Ring == nil {
		return Report{}, errZero
	}
	if t.Dir == "" {
		return Report{}, errors.New("backup: Target.Dir is empty")
	}
	dir, err := filepath.Abs(t.Dir)
	if err != nil {
		return Report{}, err
	}
	t.Dir = dir
	live, err := os.Lstat(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return Report{}, err
	case !t.Replace || !live.IsDir():
		return Report{}, fmt.Errorf("%w: %s", ErrExists, dir)
	}
	stage, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".restore-*") // mode 0700
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, removeAll(stage)) }()
	root, err := os.OpenRoot(stage)
	if err != nil {
		return Report{}, err
	}
	defer root.Close()

	b := &reader{s: s, ctx: ctx, guard: t.Guard, restoring: true, given: map[shred.Alias]bool{}}
	b.hopeless = !t.told() && live == nil && !t.InsecureSkipTombstones
	to := &staging{root: root}
	err = b.read(r, to)
	if err = errors.Join(err, to.close()); err != nil {
		return b.report, b.wrong(err)
	}
	if err := b.wrong(nil); err != nil {
		return b.report, err
	}
	old := ""
	if live != nil {
		old = dir
	}
	if err := b.bury(stage, old, &t); err != nil {
		return b.report, err
	}
	if err := syncDir(root, ".", func() error { return nil }); err != nil {
		return b.report, err
	}
	if err := root.Close(); err != nil { // some systems rename no directory that is open
		return b.report, err
	}
	err = b.place(stage, &t)
	return b.report, err
}

// place renames the stage to its place.
func (b *reader) place(stage string, t *Target) error {
	parent := filepath.Dir(t.Dir)
	previous := ""
	live, err := os.Lstat(t.Dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !t.Replace: // it came while we were busy
		return fmt.Errorf("%w: %s", ErrExists, t.Dir)
	default:
		if err := os.Chmod(stage, live.Mode().Perm()); err != nil {
			return err
		}
		previous = fmt.Sprintf("%s.before-%s", t.Dir, time.Now().UTC().Format("20060102T150405.000000Z"))
		if err := os.Rename(t.Dir, previous); err != nil {
			return err
		}
	}
	back := func(err error) error {
		if previous != "" {
			err = errors.Join(err, os.Rename(previous, t.Dir))
		}
		return err
	}
	if err := os.Rename(stage, t.Dir); err != nil {
		return back(err)
	}
	if err := b.bury(t.Dir, previous, t); err != nil {
		return back(errors.Join(err, os.Rename(t.Dir, stage)))
	}
	b.report.Previous = previous
	return privatefile.SyncDir(parent)
}

// sink is what becomes of what is read.
type sink interface {
	dir(e *entry) error
	file(e *entry) (io.Writer, error)
	fileDone(e *entry) error
	dirDone(e *entry) error
}

// nothing is the sink of a drill.
type nothing struct{}

func (nothing) dir(*entry) error               { return nil }
func (nothing) file(*entry) (io.Writer, error) { return io.Discard, nil }
func (nothing) fileDone(*entry) error          { return nil }
func (nothing) dirDone(*entry) error           { return nil }

// reader is one call of Verify or Restore.
type reader struct {
	s          *Safe
	ctx        context.Context
	guard      Guard
	restoring  bool
	hopeless   bool                 // whatever store there is, nobody can tell who was shredded since
	given      map[shred.Alias]bool // whose tombstones Target.Apply has
	orphans    []string             // directories with keys of subjects
	in         *frameReader
	dirs       []entry // that are open
	tree       tree
	stores     []string // directories that are a shred.FileStore
	tombstones []shred.Tombstone
	failures   []error
	more       map[error]int // of a kind, beyond maxFailures
	report     Report
}

// maxFailures is how many failures are named.
const maxFailures = 100

// fail notes a failure with which it makes sense to go on.
func (b *reader) fail(f *Failure) {
	if len(b.failures) < maxFailures {
		b.failures = append(b.failures, f)
		return
	}
	if b.more == nil {
		b.more = make(map[error]int)
	}
	b.more[f.Kind]++
}

// wrong joins all that is wrong, and err, which ended it.
func (b *reader) wrong(err error) error {
	all := slices.Clone(b.failures)
	for kind, n := range b.more {
		all = append(all, &Failure{kind, "", fmt.Errorf("and %d more", n)})
	}
	return errors.Join(append(all, err)...)
}

// counting counts what comes, and notices the end.
type counting struct {
	r    io.Reader
	n    int64
	over bool
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	c.over = c.over || err == io.EOF
	return n, err
}

// read reads a whole backup. A failure with which it makes sense to go on is noted.
func (b *reader) read(r io.Reader, to sink) error {
	in := &counting{r: r}
	head := make([]byte, seal.StreamOverhead)
	n, err := io.ReadFull(in, head)
	if n < len(head) {
		if err == io.EOF || err == io.ErrUnexpectedEOF {
			return &Failure{ErrTruncated, "", fmt.Errorf("%d bytes are no stream", n)}
		}
		return err
	}
	if id, ok := seal.IDOf(head); ok {
		b.report.Key = id
	}
	// Not less than the reader of the stream reads at a time, so that it is not copied twice.
	stream, err := b.s.cfg.Ring.NewParallelReader(io.MultiReader(bytes.NewReader(head), in), place(b.s.cfg.Label), b.s.cfg.Workers)
	if err != nil {
		return classify(err)
	}
	b.in = &frameReader{r: bufio.NewReaderSize(stream, bufferSize), digest: sha256.New()}
	if err = b.frames(to); err == errStop {
		return nil
	}
	if err == nil {
		var one [1]byte
		if n, e := io.ReadFull(b.in.r, one[:]); n > 0 {
			err = invalid("", "something follows its end")
		} else if e != io.EOF {
			err = e
		}
	}
	err = classify(err)
	if f, ok := err.(*Failure); ok && f.Kind == ErrDecrypt && in.over && in.n < b.least() {
		f.Kind = ErrTruncated // what was authentic says that more must come than there is
	}
	return err
}

var errStop = errors.New("there are failures already")

// least is how long the stream is at least, by what its frames have said: with the file that is being read to its end.
func (b *reader) least() int64 {
	return seal.StreamOverhead + b.in.due + 16*(b.in.due/16384+1)
}

func (b *reader) frames(to sink) error {
	kind, data, _, err := b.in.next()
	if err != nil {
		return err
	}
	if kind != kindHeader {
		return invalid("", "it does not begin with a header")
	}
	var h header
	if err := parse("", data, &h); err != nil {
		return err
	}
	if err := b.header(&h); err != nil {
		return err
	}
	if len(b.failures) > 0 && b.restoring {
		return errStop // before anything is written
	}
	buf := make([]byte, bufferSize)
	for {
		if err := b.ctx.Err(); err != nil {
			return err
		}
		kind, data, sum, err := b.in.next()
		if err != nil {
			return err
		}
		switch kind {
		case kindEnd:
			return b.end(data, sum, to)
		case kindDir, kindFile:
		default:
			return invalid("", "a second header")
		}
		var e entry
		if err := parse("", data, &e); err != nil {
			return err
		}
		if err := b.entry(&e, kind == kindDir, to, buf); err != nil {
			return err
		}
	}
}

func (b *reader) header(h *header) error {
	cfg := &b.s.cfg
	if err := h.check(cfg.Label); err != nil {
		return invalid("", "%w", err)
	}
	b.report.Label, b.report.Counter, b.report.Time = h.Label, h.Counter, h.Time
	b.report.Tombstones, b.report.Checkpoint, b.report.Keys = len(h.Tombstones), len(h.Checkpoint) > 0, []seal.ID{}
	b.tombstones = h.Tombstones
	if h.Counter < b.guard.Newest {
		if b.report.RolledBack = b.guard.AllowRollback; !b.guard.AllowRollback {
			b.fail(&Failure{ErrOlder, "", fmt.Errorf("its counter is %d, and %d is known", h.Counter, b.guard.Newest)})
		}
	}
	for _, box := range h.Canaries {
		id, ok := seal.IDOf(box)
		if !ok || len(box) != seal.Overhead {
			return invalid("", "a canary that is none")
		}
		if err := b.canary(box); err != nil {
			if errors.Is(err, seal.ErrKeyDestroyed) || errors.Is(err, seal.ErrKeyDisabled) {
				b.report.Retired = append(b.report.Retired, id)
				continue
			}
			b.report.Unavailable = append(b.report.Unavailable, id)
			if !b.restoring {
				b.fail(&Failure{ErrKeyUnavailable, id.String(), err})
			}
			continue
		}
		b.report.Keys = append(b.report.Keys, id)
	}
	if b.report.Checkpoint && cfg.CheckCheckpoint != nil {
		b.report.CheckpointChecked = true
		if err := cfg.CheckCheckpoint(b.ctx, bytes.Clone(h.Checkpoint)); err != nil {
			b.fail(&Failure{ErrCheckpoint, "", err})
		}
	}
	return nil
}

// canary opens a canary with whatever ring has its key. The error is that of the ring that knows most of the key.
func (b *reader) canary(box []byte) error {
	var worst error
	for _, ring := range append(slices.Clone(b.s.cfg.Needs), b.s.cfg.Ring) {
		_, err := ring.Open(nil, box, canaryPlace(b.s.cfg.Label))
		if err == nil {
			return nil
		}
		if worst == nil || telling(err) > telling(worst) {
			worst = err
		}
	}
	return worst
}

func telling(err error) int {
	kinds := []error{seal.ErrUnknownKey, seal.ErrKeyDisabled, seal.ErrKeyDestroyed}
	return slices.IndexFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
}

func (b *reader) entry(e *entry, dir bool, to sink, buf []byte) error {
	if err := e.check(dir); err != nil {
		return invalid(clip(e.Name), "%w", err)
	}
	left, err := b.tree.enter(e.Name, dir)
	if err != nil {
		return invalid(e.Name, "%w", err)
	}
	if err := b.leave(len(left), to); err != nil {
		return err
	}
	if dir {
		b.report.Dirs++
	} else {
		b.report.Files++
	}
	if max := b.s.cfg.MaxFiles; b.report.Dirs+b.report.Files > max {
		return invalid(e.Name, "it has more than %d files and directories (Config.MaxFiles)", max)
	}
	if max := b.s.cfg.MaxBytes; e.Size > max-b.report.Bytes {
		return invalid(e.Name, "it has more than %d bytes of content (Config.MaxBytes)", max)
	}
	if dir {
		b.dirs = append(b.dirs, *e)
		b.s.each(File{Name: e.Name, Dir: true, Mode: fs.FileMode(e.Mode), Time: e.Time})
		return to.dir(e)
	}
	if path.Base(e.Name) == shred.FileStoreMarker {
		if err := b.store(e); err != nil {
			return err
		}
	} else if store, ok := storeOf(e.Name); ok && !slices.Contains(b.orphans, store) {
		if len(b.orphans) == maxStores {
			return invalid(e.Name, "it has more than %d stores of subjects", maxStores)
		}
		b.orphans = append(b.orphans, store) // until the marker comes, which is behind them
	}
	return b.file(e, to, buf)
}

// store notes that a store of subjects is in the backup. One that could not be opened afterwards would have no tombstones applied.
func (b *reader) store(e *entry) error {
	if len(b.stores) == maxStores {
		return invalid(e.Name, "it has more than %d stores of subjects", maxStores)
	}
	dir := fs.FileMode(0o700)
	if n := len(b.dirs); n > 0 {
		dir = fs.FileMode(b.dirs[n-1].Mode)
	}
	if err := checkMarker(fs.FileMode(e.Mode), dir, e.Size); err != nil {
		return invalid(e.Name, "%w", err)
	}
	name := path.Dir(e.Name)
	if b.hopeless {
		b.report.Stores, b.report.StoresUnchecked = len(b.stores)+1, 1
		return fmt.Errorf("%w: %w", ErrTombstones, errNobodyTells(name))
	}
	b.stores = append(b.stores, name)
	b.report.Stores = len(b.stores)
	b.orphans = slices.DeleteFunc(b.orphans, func(store string) bool { return store == name })
	return nil
}

// maxMarker is the longest marker of a store, in bytes.
const maxMarker = 4096

// checkMarker says why package shred opens no store with such a marker, in a directory of mode dir.
func checkMarker(mode, dir fs.FileMode, size int64) error {
	switch {
	case size > maxMarker:
		return fmt.Errorf("the marker of a store of subjects has %d bytes, more than %d", size, maxMarker)
	case runtime.GOOS == "windows": // which has no such modes
	case mode&0o077 != 0:
		return fmt.Errorf("the marker of a store of subjects has mode %04o; only its owner may read or write it (chmod 600)", mode)
	case dir&0o022 != 0:
		return fmt.Errorf("a store of subjects is in a directory of mode %04o; only its owner may write to it (chmod go-w)", dir)
	}
	return nil
}

// maxStores is how many stores of subjects may be in a backup.
const maxStores = 1000

// clip shortens a name that may be anything.
func clip(name string) string { return name[:min(len(name), 100)] }

func (b *reader) leave(n int, to sink) error {
	for range n {
		e := b.dirs[len(b.dirs)-1]
		b.dirs = b.dirs[:len(b.dirs)-1]
		if err := to.dirDone(&e); err != nil {
			return err
		}
	}
	return nil
}

func (b *reader) file(e *entry, to sink, buf []byte) error {
	w, err := to.file(e)
	if err != nil {
		return err
	}
	b.in.due += e.Size + sha256.Size
	hash := sha256.New()
	for left := e.Size; left > 0; {
		if err := b.ctx.Err(); err != nil {
			return err
		}
		n, err := io.ReadFull(b.in.r, buf[:min(left, bufferSize)])
		if err != nil {
			return short(err)
		}
		hash.Write(buf[:n])
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		left -= int64(n)
		b.report.Bytes += int64(n)
		b.s.progress(b.report.Bytes)
	}
	var want [sha256.Size]byte
	if err := b.in.full(want[:]); err != nil {
		return err
	}
	b.in.digest.Write(want[:])
	if path.Base(e.Name) == shred.FileStoreMarker {
		if err := shred.CheckFileStoreMarker(buf[:e.Size]); err != nil { // not more than maxMarker
			return invalid(e.Name, "%w", err)
		}
	}
	if have := [sha256.Size]byte(hash.Sum(nil)); have != want {
		b.fail(&Failure{Kind: ErrHash, Name: e.Name})
	}
	b.s.each(File{Name: e.Name, Mode: fs.FileMode(e.Mode), Time: e.Time, Size: e.Size, SHA256: want})
	return to.fileDone(e)
}

func (b *reader) end(data, sum []byte, to sink) error {
	var total end
	if err := parse("", data, &total); err != nil {
		return err
	}
	if total.Dirs != b.report.Dirs || total.Files != b.report.Files || total.Bytes != b.report.Bytes || !bytes.Equal(total.Digest, sum) {
		return invalid("", "its end does not add up")
	}
	if len(b.orphans) > 0 {
		return invalid(b.orphans[0], "it has keys of subjects without the %s of their store", shred.FileStoreMarker)
	}
	b.s.progress(b.report.Bytes)
	return b.leave(len(b.tree.leave()), to)
}

// staging writes files below a directory, which nothing leads out of.
type staging struct {
	root *os.Root
	f    *os.File // that is being written
}

func (s *staging) dir(e *entry) error { return s.root.Mkdir(filepath.FromSlash(e.Name), 0o700) }

func (s *staging) file(e *entry) (io.Writer, error) {
	f, err := s.root.OpenFile(filepath.FromSlash(e.Name), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	s.f = f
	return f, err
}

func (s *staging) fileDone(e *entry) error {
	err := s.f.Chmod(fs.FileMode(e.Mode))
	if err == nil {
		err = s.root.Chtimes(filepath.FromSlash(e.Name), e.Time, e.Time)
	}
	if err == nil {
		err = s.f.Sync()
	}
	return errors.Join(err, s.close())
}

func (s *staging) close() error {
	f := s.f
	if s.f = nil; f == nil {
		return nil
	}
	return f.Close()
}

func (s *staging) dirDone(e *entry) error {
	name := filepath.FromSlash(e.Name)
	return syncDir(s.root, name, func() error {
		return errors.Join(s.root.Chmod(name, fs.FileMode(e.Mode)), s.root.Chtimes(name, e.Time, e.Time))
	})
}

// syncDir opens a directory, while that is allowed, does something to it and syncs it.
func syncDir(root *os.Root, name string, do func() error) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	if err = do(); err == nil && runtime.GOOS != "windows" { // which cannot sync a directory
		err = d.Sync()
	}
	return errors.Join(err, d.Close())
}

// removeAll removes a stage, also when there are directories in it that nobody may write to.
func removeAll(stage string) error {
	if os.RemoveAll(stage) == nil {
		return nil
	}
	_ = filepath.WalkDir(stage, func(name string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			_ = os.Chmod(name, 0o700)
		}
		return nil
	})
	return os.RemoveAll(stage)
}

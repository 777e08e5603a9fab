package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// FileConfig is the configuration of a FileSink.
type FileConfig struct {
	// Path is the file. Its directory must exist, and should belong to the user of the process with mode 0700. The file is
	// created with mode 0600; a file others may write to or any user may read (anything beyond 0640) is refused, and so is
	// a symbolic link in the last place. Required.
	Path string
	// Sync makes every batch an fsync: lines are AckSynced when Write returns, instead of AckWritten. It costs one disk
	// flush per batch, not per line.
	Sync bool
	// MaxSize is when the file is moved to Path + "." + time and a new one begun, in bytes. Zero means never. Old files are
	// neither compressed nor deleted: retention is not this sink's business yet.
	MaxSize int64
}

// FileSink appends lines to one file.
//
//   - One write(2) per batch, opened with O_APPEND; where the system has it, O_NOFOLLOW and an exclusive flock(2), so that
//     no second process writes between.
//   - No half line stays: what a failed write (a full disk) left of one is cut off at once, and what a crash left is moved
//     to Path + ".torn-" + time when the file is opened, with an audit.file line that says so.
//   - A file that somebody renamed or removed (logrotate) is noticed before the next batch and a new one is begun; a file
//     that somebody cut short or wrote to is noticed, and told of in an audit.file line. Tools that copy and truncate lose
//     what was written in between: rename instead.
//   - After a failed fsync nobody knows what is on the disk. The file is moved to Path + ".unsynced-" + time, never written
//     to again, and the batch goes to a new one: its lines may then be in both.
type FileSink struct {
	cfg  FileConfig
	open func(path string) (file, error)

	mu     sync.Mutex
	f      file // nil after a failure; the next Write opens again
	size   int64
	notes  []byte // lines of our own, to be written before the next batch
	closed bool
	stuck  bool // a rotation failed; told once
}

// file is what the sink needs of an *os.File.
type file interface {
	io.Writer
	io.ReaderAt
	io.Closer
	Truncate(size int64) error
	Sync() error
	Stat() (fs.FileInfo, error)
}

// maxTorn is the longest last line that is moved aside. A file with a longer one was not written by this sink.
const maxTorn = 64 << 20

// NewFileSink opens or creates the file, and moves a torn last line aside.
func NewFileSink(cfg FileConfig) (*FileSink, error) { return newFileSink(cfg, openFile) }

func newFileSink(cfg FileConfig, open func(string) (file, error)) (*FileSink, error) {
	if cfg.Path == "" {
		return nil, errors.New("audit: FileConfig.Path is empty")
	}
	if cfg.MaxSize < 0 || cfg.MaxSize > 0 && cfg.MaxSize < 64<<10 {
		return nil, fmt.Errorf("audit: FileConfig.MaxSize %d: want 0 or at least 65536", cfg.MaxSize)
	}
	s := &FileSink{cfg: cfg, open: open}
	if err := s.begin(); err != nil {
		return nil, err
	}
	return s, nil
}

// Name gives "file:" and the file's base name.
func (s *FileSink) Name() string { return "file:" + filepath.Base(s.cfg.Path) }

// Ack gives AckSynced or AckWritten.
func (s *FileSink) Ack() Ack {
	if s.cfg.Sync {
		return AckSynced
	}
	return AckWritten
}

// Write implements Sink.
func (s *FileSink) Write(ctx context.Context, b Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := s.ready(len(b.Lines)); err != nil {
		return err
	}
	if len(s.notes) > 0 {
		if _, err := s.append(s.notes); err != nil {
			return err
		}
		s.notes = s.notes[:0]
	}
	stored, err := s.append(b.Lines)
	if stored > 0 && s.cfg.Sync {
		if s.f == nil {
			return err // what was stored cannot be synced any more; offer it again rather than promise it
		}
		if serr := s.f.Sync(); serr != nil {
			s.forsake()
			return errors.Join(err, fmt.Errorf("audit: fsync: %w", serr))
		}
	}
	if err != nil && stored > 0 {
		return &PartialError{Lines: bytes.Count(b.Lines[:stored], newline), Err: err}
	}
	return err
}

// append writes whole lines and gives the length of those stored. After a short write the half line is cut off.
func (s *FileSink) append(lines []byte) (stored int, err error) {
	n, err := s.f.Write(lines)
	if err == nil && n < len(lines) {
		err = io.ErrShortWrite
	}
	if err == nil {
		s.size += int64(n)
		return n, nil
	}
	stored = bytes.LastIndexByte(lines[:max(0, min(n, len(lines)))], '\n') + 1
	s.size += int64(stored)
	if n > stored {
		if terr := s.f.Truncate(s.size); terr != nil {
			// The half line is still there. Opening the file anew moves it aside before anything else is written.
			s.f.Close()
			s.f = nil
			err = errors.Join(err, terr)
		}
	}
	return stored, fmt.Errorf("audit: writing %s: %w", filepath.Base(s.cfg.Path), err)
}

// ready makes sure that the open file is the one at Path and ends with a whole line.
func (s *FileSink) ready(n int) error {
	if s.f == nil {
		return s.begin()
	}
	here, err := s.f.Stat()
	if err != nil {
		s.f.Close()
		s.f = nil
		return err
	}
	if there, err := os.Lstat(s.cfg.Path); err != nil || !os.SameFile(here, there) {
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if s.cfg.Sync {
			s.f.Sync() // its lines were synced already; this is for the notes
		}
		s.f.Close()
		s.f = nil
		s.note("moved", s.size, "")
		return s.begin()
	}
	if size := here.Size(); size != s.size {
		event := "shrunk"
		if size > s.size {
			event = "foreign_bytes"
		}
		s.note(event, max(size-s.size, s.size-size), "")
		s.size = size
		if err := s.repair(); err != nil {
			s.f.Close() // so that the next attempt looks at the last line again
			s.f = nil
			return err
		}
	}
	if s.cfg.MaxSize > 0 && s.size > 0 && s.size+int64(n) > s.cfg.MaxSize {
		return s.rotate()
	}
	return nil
}

// begin opens the file at Path.
func (s *FileSink) begin() error {
	f, err := s.open(s.cfg.Path)
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	info, err := f.Stat()
	switch {
	case err != nil:
	case !info.Mode().IsRegular():
		err = fmt.Errorf("audit: %s is not a regular file", s.cfg.Path)
	case info.Mode().Perm()&^0o640 != 0 && permissionsMatter:
		err = fmt.Errorf("audit: %s has mode %04o, want 0600 or 0640", s.cfg.Path, info.Mode().Perm())
	}
	if err != nil {
		f.Close()
		return err
	}
	s.f, s.size = f, info.Size()
	err = s.repair()
	if err == nil && s.size == 0 && s.cfg.Sync {
		err = s.syncDir() // a file whose name is not on the disk is not on the disk
	}
	if err != nil {
		f.Close()
		s.f = nil
	}
	return err
}

// repair moves what stands behind the last line break to a file of its own.
func (s *FileSink) repair() error {
	end, err := lastLineEnd(s.f, s.size)
	if err != nil || end == s.size {
		return err
	}
	torn := s.size - end
	if torn > maxTorn {
		return fmt.Errorf("audit: the last line of %s has %d bytes; this is not an audit file", s.cfg.Path, torn)
	}
	aside := s.spareName(".torn-")
	out, err := os.OpenFile(aside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("audit: moving a torn line aside: %w", err)
	}
	_, err = io.Copy(out, io.NewSectionReader(s.f, end, torn))
	err = errors.Join(err, out.Sync(), out.Close())
	if err == nil {
		err = s.f.Truncate(end)
	}
	if err != nil {
		os.Remove(aside)
		return fmt.Errorf("audit: moving a torn line aside: %w", err)
	}
	s.size = end
	s.note("torn", torn, filepath.Base(aside))
	return nil
}

// lastLineEnd gives the offset behind the last line break.
func lastLineEnd(r io.ReaderAt, size int64) (int64, error) {
	buf := make([]byte, 64<<10)
	for end := size; end > 0; {
		start := max(0, end-int64(len(buf)))
		part := buf[:end-start]
		if _, err := r.ReadAt(part, start); err != nil && err != io.EOF {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		end = start
	}
	return 0, nil
}

// rotate gives the full file its name and begins a new one, whose first line tells of the old.
func (s *FileSink) rotate() error {
	aside := s.spareName(".")
	if err := os.Rename(s.cfg.Path, aside); err != nil {
		if !s.stuck { // a file that is too long is better than lines that are lost
			s.stuck = true
			s.note("rotation_failed", s.size, "")
		}
		return nil
	}
	if s.cfg.Sync {
		s.f.Sync()
	}
	s.f.Close()
	s.f, s.stuck = nil, false
	s.note("rotated", s.size, filepath.Base(aside))
	return s.begin()
}

// forsake leaves a file whose fsync failed: after that error the kernel may have dropped the pages and report success next
// time, so neither the file nor its descriptor can be trusted with another promise.
func (s *FileSink) forsake() {
	aside := s.spareName(".unsynced-")
	if err := os.Rename(s.cfg.Path, aside); err != nil {
		aside = s.cfg.Path
	}
	s.f.Close()
	s.f = nil
	s.note("sync_failed", s.size, filepath.Base(aside))
}

func (s *FileSink) note(event string, bytes int64, aside string) {
	e := encoder{buf: s.notes}
	e.open(time.Now(), "audit.file", StageFile)
	e.str(fFileEvent, event)
	e.num(fFileBytes, bytes)
	e.str(fFileAside, aside)
	e.close()
	s.notes = e.buf
}

// spareName gives a name nobody uses yet.
func (s *FileSink) spareName(infix string) string {
	name := s.cfg.Path + infix + time.Now().UTC().Format("20060102T150405.000000000Z")
	for i, try := 1, name; ; i++ {
		if _, err := os.Lstat(try); err != nil {
			return try
		}
		try = name + "-" + strconv.Itoa(i)
	}
}

func (s *FileSink) syncDir() error {
	d, err := os.Open(filepath.Dir(s.cfg.Path))
	if err != nil {
		return fmt.Errorf("audit: %w", err)
	}
	defer d.Close()
	if err := d.Sync(); err != nil && permissionsMatter {
		return fmt.Errorf("audit: %w", err)
	}
	return nil
}

// Close implements Sink.
func (s *FileSink) Close(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if s.f == nil {
		return nil
	}
	var err error
	if s.cfg.Sync {
		err = s.f.Sync()
	}
	err = errors.Join(err, s.f.Close())
	s.f = nil
	return err
}

package backup

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/mantlet-go/mantlet/crypto/internal/canonical"
	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/crypto/shred"
)

const (
	// MaxName is the longest name of a file in a backup, in bytes, with its directories.
	MaxName = 4096
	// MaxTombstones is how many tombstones a Set holds beside those that lie in a shred.FileStore that is backed up.
	MaxTombstones = 100_000
	// MaxCheckpoint is the longest checkpoint, in bytes.
	MaxCheckpoint = 64 << 10

	maxCanaries = 1000

	maxPart   = 255 // of a name
	maxDepth  = 100
	maxLabel  = 200
	maxHeader = 64 << 20
	maxEntry  = 32 << 10 // of JSON, where a character of a name may take 6 bytes
	maxSize   = 1 << 51  // package seal has 2^52
	maxCount  = 1 << 62
)

const (
	kindHeader = 'H'
	kindDir    = 'D'
	kindFile   = 'F'
	kindEnd    = 'E'
)

func place(label string) seal.Context {
	return seal.Context{Purpose: "mantlet backup v1", Subject: label}
}

func canaryPlace(label string) seal.Context {
	return seal.Context{Purpose: "mantlet backup v1 canary", Subject: label}
}

type header struct {
	Format     string            `json:"format"`
	Version    int               `json:"version"`
	Label      string            `json:"label"`
	Counter    uint64            `json:"counter"`
	Time       time.Time         `json:"time"`
	Canaries   [][]byte          `json:"canaries"`
	Checkpoint []byte            `json:"checkpoint,omitempty"`
	Tombstones []shred.Tombstone `json:"tombstones,omitempty"`
}

const (
	formatName    = "mantlet-backup"
	formatVersion = 1
)

func (h *header) check(label string) error {
	switch {
	case h.Format != formatName || h.Version != formatVersion:
		return fmt.Errorf("it is not of format %s version %d", formatName, formatVersion)
	case h.Label != label:
		return errors.New("it has another label than it is bound to")
	case h.Counter == 0 || h.Counter > maxCount:
		return errors.New("its counter is zero or too large")
	case !sane(h.Time):
		return errors.New("its time cannot be")
	case len(h.Canaries) > maxCanaries:
		return fmt.Errorf("it has %d canaries, more than %d", len(h.Canaries), maxCanaries)
	case len(h.Tombstones) > MaxTombstones:
		return fmt.Errorf("it has %d tombstones, more than %d", len(h.Tombstones), MaxTombstones)
	case len(h.Checkpoint) > MaxCheckpoint:
		return fmt.Errorf("its checkpoint has %d bytes, more than %d", len(h.Checkpoint), MaxCheckpoint)
	}
	for i := range h.Tombstones {
		if _, err := shred.ParseTombstone([]byte(h.Tombstones[i].String())); err != nil {
			return fmt.Errorf("its tombstone %d: %w", i, err)
		}
	}
	return nil
}

// entry is a directory or a file.
type entry struct {
	Name string    `json:"name"`
	Mode uint32    `json:"mode"`
	Time time.Time `json:"time"`
	Size int64     `json:"size,omitempty"`
}

func (e *entry) check(dir bool) error {
	if err := checkName(e.Name); err != nil {
		return err
	}
	switch {
	case e.Mode > 0o777:
		return fmt.Errorf("mode %#o is more than permissions", e.Mode)
	case e.Size < 0 || e.Size > maxSize || dir && e.Size != 0:
		return fmt.Errorf("its size cannot be: %d", e.Size)
	case !sane(e.Time):
		return errors.New("its time cannot be")
	}
	return nil
}

type end struct {
	Dirs   int64  `json:"dirs"`
	Files  int64  `json:"files"`
	Bytes  int64  `json:"bytes"`
	Digest []byte `json:"digest"`
}

func sane(t time.Time) bool {
	return t.Location() == time.UTC && t.Year() >= 1970 && t.Year() < 2200
}

// stamp is a time as it is written. One that cannot be is the beginning of 1970, rather than a file that cannot be backed up.
func stamp(t time.Time) time.Time {
	if t = t.UTC().Round(0); !sane(t) {
		return time.Unix(0, 0).UTC()
	}
	return t
}

// checkName says why a name is in no backup, or nil.
func checkName(name string) error {
	switch {
	case len(name) > MaxName:
		return fmt.Errorf("the name has %d bytes, more than %d", len(name), MaxName)
	case !utf8.ValidString(name):
		return errors.New("the name is not UTF-8")
	case !fs.ValidPath(name) || name == ".":
		return errors.New("the name is absolute, empty or leads upwards")
	case strings.Contains(name, `\`) || strings.ContainsFunc(name, unicode.IsControl):
		return errors.New("the name has a backslash or a control character")
	case strings.Count(name, "/") >= maxDepth:
		return fmt.Errorf("it is more than %d directories deep", maxDepth)
	}
	for part := range strings.SplitSeq(name, "/") {
		if len(part) > maxPart {
			return fmt.Errorf("a part of the name has %d bytes, more than %d", len(part), maxPart)
		}
	}
	if !filepath.IsLocal(filepath.FromSlash(name)) { // what else this system makes of a name
		return errors.New("the name means something else on this system")
	}
	return nil
}

// before reports whether a comes before b in a backup: by their parts, so that what is in a directory follows it at once.
func before(a, b string) bool {
	for i := range min(len(a), len(b)) {
		x, y := a[i], b[i]
		if x == y {
			continue
		}
		if x == '/' || y == '/' {
			return x == '/'
		}
		return x < y
	}
	return len(a) < len(b)
}

// tree follows the directories that are open at a name.
type tree struct {
	last string
	open []string // each in the one before
}

// enter says whether name may come now, and which directories nothing more comes from, the innermost first.
func (t *tree) enter(name string, dir bool) (left []string, err error) {
	if t.last != "" && !before(t.last, name) {
		return nil, errors.New("it is twice or not in order")
	}
	parent := path.Dir(name)
	for len(t.open) > 0 && t.open[len(t.open)-1] != parent {
		left = append(left, t.open[len(t.open)-1])
		t.open = t.open[:len(t.open)-1]
	}
	if parent != "." && len(t.open) == 0 {
		return nil, errors.New("its directory did not come before it")
	}
	t.last = name
	if dir {
		t.open = append(t.open, name)
	}
	return left, nil
}

// leave returns the directories that are open at the end, the innermost first.
func (t *tree) leave() (left []string) {
	for i := len(t.open) - 1; i >= 0; i-- {
		left = append(left, t.open[i])
	}
	t.open = nil
	return left
}

// frameWriter writes frames, and keeps the digest of them.
type frameWriter struct {
	w      io.Writer
	digest hash.Hash
}

func newFrameWriter(w io.Writer) *frameWriter { return &frameWriter{w, sha256.New()} }

func (f *frameWriter) write(b []byte) error {
	f.digest.Write(b)
	_, err := f.w.Write(b)
	return err
}

func (f *frameWriter) frame(kind byte, v any, max int) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(data) > max {
		return fmt.Errorf("backup: a header of %d bytes, more than %d", len(data), max)
	}
	return f.write(append(binary.BigEndian.AppendUint32([]byte{kind}, uint32(len(data))), data...))
}

// frameReader reads frames, and keeps the digest of them.
type frameReader struct {
	r      io.Reader
	digest hash.Hash
	buf    bytes.Buffer
	due    int64 // how many bytes the frames have said that there are
}

// next reads one frame. sum is the digest of what came before it.
func (f *frameReader) next() (kind byte, data, sum []byte, err error) {
	sum = f.digest.Sum(nil)
	var head [5]byte
	if err := f.full(head[:]); err != nil {
		return 0, nil, nil, err
	}
	kind = head[0]
	n, max := int64(binary.BigEndian.Uint32(head[1:])), int64(maxEntry)
	switch kind {
	case kindHeader:
		max = maxHeader
	case kindDir, kindFile, kindEnd:
	default:
		return 0, nil, nil, invalid("", "a frame of an unknown kind")
	}
	if n > max {
		return 0, nil, nil, invalid("", "a frame of %d bytes, more than %d", n, max)
	}
	f.digest.Write(head[:])
	f.due += int64(len(head)) + n
	f.buf.Reset() // which grows with what really comes
	if got, err := io.CopyN(&f.buf, f.r, n); got < n {
		return 0, nil, nil, short(err)
	}
	f.digest.Write(f.buf.Bytes())
	return kind, f.buf.Bytes(), sum, nil
}

func (f *frameReader) full(b []byte) error {
	_, err := io.ReadFull(f.r, b)
	return short(err)
}

// short is said of a stream that is complete, while what it holds is not.
func short(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return invalid("", "it ends too early")
	}
	return err
}

func parse(name string, data []byte, v any) error {
	if err := canonical.Unmarshal(data, v); err != nil {
		return invalid(name, "a frame %w", err)
	}
	return nil
}

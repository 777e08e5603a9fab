package backup_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/crypto/backup"
	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/crypto/shred"
)

const label = "acme gateway"

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var testKey = seal.GenerateKey()

func ringOf(keys ...seal.Key) *seal.Keyring {
	var all []seal.RingKey
	for i, k := range keys {
		all = append(all, seal.RingKey{Key: k})
		if i == 0 {
			all[0].State = seal.Primary
		}
	}
	return must(seal.New(seal.Config{Keys: all}))
}

func newSafe(t testing.TB, change ...func(*backup.Config)) *backup.Safe {
	t.Helper()
	cfg := backup.Config{Ring: ringOf(testKey), Label: label}
	for _, f := range change {
		f(&cfg)
	}
	return must(backup.New(cfg))
}

// fill makes files of all kinds.
func fill(t testing.TB, dir string, large int) {
	t.Helper()
	random := rand.NewChaCha8([32]byte{1})
	for _, f := range []struct {
		name string
		size int
		mode fs.FileMode
	}{
		{"empty", 0, 0o600}, {"one", 1, 0o640}, {"config/app.json", 300, 0o644}, {"config/z/deep/er", 5, 0o400}, {"config.old", 7, 0o600},
		{"config/a name \u00e4\u4e2d<&>'\"", 20, 0o600}, {"run.sh", 12, 0o755}, {"large", large, 0o600}, {"audit/log", 1000, 0o600},
	} {
		name := filepath.Join(dir, filepath.FromSlash(f.name))
		check(t, os.MkdirAll(filepath.Dir(name), 0o700))
		data := make([]byte, f.size)
		_, _ = random.Read(data)
		check(t, os.WriteFile(name, data, 0o600))
		check(t, os.Chmod(name, f.mode))
		check(t, os.Chtimes(name, time.Time{}, time.Date(2025, 1, 2, 3, 4, 5, 6_000, time.UTC)))
	}
	check(t, os.Mkdir(filepath.Join(dir, "nothing in it"), 0o750))
	check(t, os.Chmod(filepath.Join(dir, "config"), 0o755))
}

// listing says all that a backup keeps of a directory.
func listing(t testing.TB, dir string) (list []string) {
	t.Helper()
	check(t, filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := must(filepath.Rel(dir, name))
		if rel == "." {
			return nil
		}
		info := must(d.Info())
		line := fmt.Sprint(rel, " ", info.Mode())
		if !d.IsDir() {
			line += fmt.Sprintf(" %v %x", info.ModTime().UTC(), sha256.Sum256(must(os.ReadFile(name))))
		}
		list = append(list, line)
		return nil
	}))
	return list
}

// made returns a backup of a directory with files of all kinds.
func made(t testing.TB, s *backup.Safe, large int) (stream []byte, dir string) {
	t.Helper()
	dir = t.TempDir()
	fill(t, dir, large)
	return madeOf(t, s, backup.Set{Counter: 5, Sources: []backup.Source{{Name: "data", Path: dir}}}), dir
}

func madeOf(t testing.TB, s *backup.Safe, set backup.Set) []byte {
	t.Helper()
	var out bytes.Buffer
	if _, err := s.Write(t.Context(), &out, set); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// empty fails t if anything is in a directory.
func empty(t testing.TB, dir string) {
	t.Helper()
	if list := must(os.ReadDir(dir)); len(list) > 0 {
		t.Errorf("%v is left behind", list)
	}
}

func TestWhatIsRestoredIsWhatWasBackedUp(t *testing.T) {
	for _, workers := range []int{0, 1, 3} {
		for _, large := range []int{0, 16383, 16384, 3<<20 + 17} {
			s := newSafe(t, func(c *backup.Config) { c.Workers = workers })
			dir, single := t.TempDir(), filepath.Join(t.TempDir(), "file")
			fill(t, dir, large)
			check(t, os.WriteFile(single, []byte("hello"), 0o600))
			set := backup.Set{Counter: 5, Sources: []backup.Source{{Name: "two", Path: dir}, {Name: "one.json", Path: single}}, Checkpoint: []byte("tree 17")}
			var out bytes.Buffer
			wrote := must(s.Write(t.Context(), &out, set))
			if wrote.Files != 10 || wrote.Dirs != 6 || wrote.Counter != 5 || wrote.Label != label || len(wrote.Keys) != 1 || wrote.Key != testKey.ID() || !wrote.Checkpoint {
				t.Errorf("%+v", wrote)
			}
			verified, err := s.Verify(t.Context(), bytes.NewReader(out.Bytes()), backup.Guard{Newest: 5})
			if err != nil || verified.Files != wrote.Files || verified.Bytes != wrote.Bytes || !verified.Time.Equal(wrote.Time) || verified.CheckpointChecked {
				t.Errorf("%+v, %v", verified, err)
			}
			to := filepath.Join(t.TempDir(), "restored")
			if _, err := s.Restore(t.Context(), bytes.NewReader(out.Bytes()), backup.Target{Dir: to}); err != nil {
				t.Fatal(err)
			}
			if want, got := listing(t, dir), listing(t, filepath.Join(to, "two")); !slices.Equal(want, got) {
				t.Errorf("restored\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
			if text := must(os.ReadFile(filepath.Join(to, "one.json"))); string(text) != "hello" {
				t.Errorf("%q", text)
			}
			if list := must(os.ReadDir(filepath.Dir(to))); len(list) != 1 {
				t.Errorf("%v", list)
			}
		}
	}
}

func TestEverySingleByteThatIsFlippedIsDetected(t *testing.T) {
	s := newSafe(t)
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "a"), []byte("hello"), 0o600))
	check(t, os.Mkdir(filepath.Join(dir, "b"), 0o700))
	stream := madeOf(t, s, backup.Set{Counter: 5, Sources: []backup.Source{{Name: "data", Path: dir}}, Checkpoint: []byte("tree 17")})
	check(t, verify(s, stream))
	n := 0
	for i := range stream {
		for bit := range 8 {
			stream[i] ^= 1 << bit
			err := verify(s, stream)
			if !errors.Is(err, backup.ErrDecrypt) && !errors.Is(err, backup.ErrKeyUnavailable) {
				t.Errorf("bit %d of byte %d: %v", bit, i, err)
			}
			stream[i] ^= 1 << bit
			n++
		}
	}
	t.Logf("report: %d of %d flipped bits in %d bytes were detected", n, n, len(stream))
	large, _ := made(t, s, 3<<20)
	for range 200 {
		i, b := rand.IntN(len(large)), byte(1+rand.IntN(255))
		large[i] ^= b
		if err := verify(s, large); !errors.Is(err, backup.ErrDecrypt) && !errors.Is(err, backup.ErrKeyUnavailable) {
			t.Errorf("byte %d of %d: %v", i, len(large), err)
		}
		large[i] ^= b
	}
	check(t, verify(s, large))
}

func verify(s *backup.Safe, stream []byte) error {
	_, err := s.Verify(context.Background(), bytes.NewReader(stream), backup.Guard{})
	return err
}

func TestACutIsDetectedAndNamedWhereItCanBeTold(t *testing.T) {
	s := newSafe(t)
	stream, _ := made(t, s, 100_000)
	for _, n := range []int{0, 1, 5, 60, 61, 62, 77, 1000, seal.StreamOverhead + 16400, seal.StreamOverhead + 3*16400, len(stream) / 2, len(stream) - 1} {
		err := verify(s, stream[:n])
		if !errors.Is(err, backup.ErrTruncated) && !errors.Is(err, backup.ErrDecrypt) {
			t.Errorf("%d of %d bytes: %v", n, len(stream), err)
		}
		if errors.Is(err, backup.ErrTruncated) && errors.Is(err, backup.ErrDecrypt) {
			t.Errorf("%d of %d bytes: %v is two kinds", n, len(stream), err)
		}
		// In the first chunk nothing was said of what must come, and in the last one a cut looks like a change.
		if known := n <= 60 || n >= seal.StreamOverhead+16400 && n < len(stream)-10_000; known && !errors.Is(err, backup.ErrTruncated) {
			t.Errorf("%d of %d bytes: %v, want ErrTruncated", n, len(stream), err)
		}
	}
	for n := range 200 {
		if err := verify(s, stream[:len(stream)-1-n]); err == nil {
			t.Errorf("without the last %d bytes it is accepted", n+1)
		}
	}
	if err := verify(s, append(stream, 0)); !errors.Is(err, backup.ErrDecrypt) {
		t.Errorf("with a byte more: %v", err)
	}
}

// The manifest is complete then, and only the end of the stream says that nothing was cut off behind it.
func TestACutBehindTheLastFrameIsDetected(t *testing.T) {
	synctest.Test(t, cutBehindTheLastFrame) // where the time in the header stands still
}

func cutBehindTheLastFrame(t *testing.T) {
	s := newSafe(t)
	path := filepath.Join(t.TempDir(), "a")
	set := backup.Set{Counter: 5, Sources: []backup.Source{{Name: "a", Path: path}}}
	size := 10_000
	for range 3 { // the length of the number may change that of the frame
		check(t, os.WriteFile(path, make([]byte, size), 0o600))
		check(t, os.Chtimes(path, time.Time{}, time.Now()))
		size += 16384 - len(backup.Text(ringOf(testKey), label, madeOf(t, s, set)))%16384
		size %= 16384
		size += 16384
	}
	stream := madeOf(t, s, set)
	if n := len(backup.Text(ringOf(testKey), label, stream)); n%16384 != 0 {
		t.Fatalf("the text has %d bytes, so this test proves nothing", n)
	}
	check(t, verify(s, stream))
	if err := verify(s, stream[:len(stream)-16]); !errors.Is(err, backup.ErrTruncated) {
		t.Errorf("without the last, empty chunk: %v", err)
	}
	stream[len(stream)-1] ^= 1
	if err := verify(s, stream); !errors.Is(err, backup.ErrDecrypt) {
		t.Errorf("with another last chunk: %v", err)
	}
}

func TestADrillNamesWhatIsWrong(t *testing.T) {
	data, old := seal.GenerateKey(), seal.GenerateKey()
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "a"), []byte("hello"), 0o600))
	set := backup.Set{Counter: 5, Sources: []backup.Source{{Name: "data", Path: dir}}, Checkpoint: []byte("tree 17")}
	needs := func(keys ...seal.Key) func(*backup.Config) {
		return func(c *backup.Config) { c.Needs = []*seal.Keyring{ringOf(keys...)} }
	}
	stream := madeOf(t, newSafe(t, needs(data, old)), set)
	text := backup.Text(ringOf(testKey), label, stream)
	wrongHash := bytes.Replace(text, []byte("hello"), []byte("hullo"), 1)
	for _, c := range []struct {
		name   string
		safe   *backup.Safe
		stream []byte
		guard  backup.Guard
		kinds  []error
		about  string
	}{
		{"nothing", newSafe(t, needs(data, old)), stream, backup.Guard{Newest: 5}, nil, ""},
		{"another key", newSafe(t, func(c *backup.Config) { c.Ring = ringOf(seal.GenerateKey()) }), stream, backup.Guard{}, []error{backup.ErrKeyUnavailable, seal.ErrUnknownKey}, testKey.ID().String()},
		{"another label", newSafe(t, func(c *backup.Config) { c.Label = "other" }), stream, backup.Guard{}, []error{backup.ErrDecrypt}, ""},
		{"a data key is lost", newSafe(t, needs(data)), stream, backup.Guard{}, []error{backup.ErrKeyUnavailable, seal.ErrUnknownKey}, old.ID().String()},
		{"an older one", newSafe(t, needs(data, old)), stream, backup.Guard{Newest: 6}, []error{backup.ErrOlder}, "6 is known"},
		{"an older one, as told", newSafe(t, needs(data, old)), stream, backup.Guard{Newest: 6, AllowRollback: true}, nil, ""},
		{"truncated", newSafe(t, needs(data, old)), stream[:50], backup.Guard{}, []error{backup.ErrTruncated}, ""},
		{"a wrong hash", newSafe(t, needs(data, old)), backup.Compose(ringOf(testKey), label, wrongHash), backup.Guard{}, []error{backup.ErrHash}, "data/a"},
		{"a checkpoint", newSafe(t, needs(data, old), func(c *backup.Config) {
			c.CheckCheckpoint = func(_ context.Context, p []byte) error { return fmt.Errorf("%s is not in the live log", p) }
		}), stream, backup.Guard{}, []error{backup.ErrCheckpoint}, "tree 17 is not"},
		{"several things", newSafe(t), backup.Compose(ringOf(testKey), label, wrongHash), backup.Guard{Newest: 6}, []error{backup.ErrHash, backup.ErrOlder, backup.ErrKeyUnavailable}, data.ID().String()},
	} {
		report, err := c.safe.Verify(t.Context(), bytes.NewReader(c.stream), c.guard)
		var failure *backup.Failure
		if (err == nil) != (c.kinds == nil) || c.kinds != nil && !errors.As(err, &failure) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		for _, kind := range c.kinds {
			if !errors.Is(err, kind) {
				t.Errorf("%s: %v, want %v", c.name, err, kind)
			}
		}
		for _, kind := range []error{backup.ErrDecrypt, backup.ErrTruncated, backup.ErrHash, backup.ErrKeyUnavailable, backup.ErrOlder, backup.ErrCheckpoint, backup.ErrManifest} {
			if errors.Is(err, kind) && !slices.Contains(c.kinds, kind) {
				t.Errorf("%s: %v is also %v", c.name, err, kind)
			}
		}
		if c.about != "" && !strings.Contains(err.Error(), c.about) {
			t.Errorf("%s: %v does not say %s", c.name, err, c.about)
		}
		if c.guard.AllowRollback != report.RolledBack {
			t.Errorf("%s: RolledBack %v", c.name, report.RolledBack)
		}
	}
}

func TestAFailedRestoreLeavesNothing(t *testing.T) {
	parent := t.TempDir()
	s := newSafe(t, func(c *backup.Config) {
		c.CheckCheckpoint = func(context.Context, []byte) error { return errors.New("no") }
	})
	stream, _ := made(t, s, 200_000)
	to := backup.Target{Dir: filepath.Join(parent, "to")}
	for _, n := range []int{0, 100, 1000, 20_000, 100_000, 150_000, len(stream) - 17, len(stream) - 1} {
		if _, err := s.Restore(t.Context(), bytes.NewReader(stream[:n]), to); err == nil {
			t.Errorf("%d of %d bytes were restored", n, len(stream))
		}
		empty(t, parent)
	}
	for range 50 {
		i := rand.IntN(len(stream))
		stream[i] ^= 1
		if _, err := s.Restore(t.Context(), bytes.NewReader(stream), to); err == nil {
			t.Errorf("with byte %d changed it was restored", i)
		}
		stream[i] ^= 1
		empty(t, parent)
	}
	older := to
	older.Newest = 6
	if _, err := s.Restore(t.Context(), bytes.NewReader(stream), older); !errors.Is(err, backup.ErrOlder) {
		t.Errorf("an older one: %v", err)
	}
	empty(t, parent)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Restore(ctx, bytes.NewReader(stream), to); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: %v", err)
	}
	empty(t, parent)
	broken := io.MultiReader(bytes.NewReader(stream[:100_000]), failing{})
	if _, err := s.Restore(t.Context(), broken, to); !errors.Is(err, errMedium) || errors.Is(err, backup.ErrDecrypt) {
		t.Errorf("a broken disk: %v", err)
	}
	empty(t, parent)
	withCheckpoint := madeOf(t, s, backup.Set{Counter: 5, Sources: []backup.Source{{Name: "a", Path: t.TempDir()}}, Checkpoint: []byte("x")})
	if _, err := s.Restore(t.Context(), bytes.NewReader(withCheckpoint), to); !errors.Is(err, backup.ErrCheckpoint) {
		t.Errorf("an inconsistent checkpoint: %v", err)
	}
	empty(t, parent)
	if _, err := s.Restore(t.Context(), bytes.NewReader(stream), backup.Target{Dir: filepath.Join(parent, "no", "such")}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory above: %v", err)
	}
}

var errMedium = errors.New("the disk is broken")

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errMedium }

func TestAStageWithLockedDirectoriesIsRemoved(t *testing.T) {
	stage := filepath.Join(t.TempDir(), "stage")
	check(t, os.MkdirAll(filepath.Join(stage, "a", "b"), 0o700))
	check(t, os.WriteFile(filepath.Join(stage, "a", "b", "c"), nil, 0o400))
	check(t, os.Chmod(filepath.Join(stage, "a", "b"), 0o500))
	check(t, os.Chmod(filepath.Join(stage, "a"), 0o000))
	check(t, backup.RemoveAll(stage)) // root may remove them in any case
	if _, err := os.Stat(stage); err == nil {
		t.Error("it is still there")
	}
}

func TestARestoreReplacesOnlyWhenToldAndKeepsWhatWasThere(t *testing.T) {
	s := newSafe(t)
	stream, dir := made(t, s, 100)
	parent := t.TempDir()
	to := backup.Target{Dir: filepath.Join(parent, "to")}
	check(t, os.Mkdir(to.Dir, 0o700))
	check(t, os.WriteFile(filepath.Join(to.Dir, "live"), []byte("x"), 0o600))
	if _, err := s.Restore(t.Context(), bytes.NewReader(stream), to); !errors.Is(err, backup.ErrExists) {
		t.Errorf("over a directory: %v", err)
	}
	to.Replace = true
	if _, err := s.Restore(t.Context(), bytes.NewReader(stream[:500]), to); err == nil {
		t.Error("half a backup was restored")
	}
	if list := listing(t, parent); len(list) != 2 {
		t.Errorf("after refused restores: %q", list)
	}
	report := must(s.Restore(t.Context(), bytes.NewReader(stream), to))
	if !slices.Equal(listing(t, filepath.Join(to.Dir, "data")), listing(t, dir)) {
		t.Error("it was not restored")
	}
	if text := must(os.ReadFile(filepath.Join(report.Previous, "live"))); string(text) != "x" {
		t.Errorf("what was there: %q", text)
	}
	if list := must(os.ReadDir(parent)); len(list) != 2 {
		t.Errorf("%v", list)
	}
	// A link or a file in its place is nothing that could be replaced.
	link := filepath.Join(parent, "link")
	if os.Symlink(to.Dir, link) == nil {
		if _, err := s.Restore(t.Context(), bytes.NewReader(stream), backup.Target{Dir: link, Replace: true}); !errors.Is(err, backup.ErrExists) {
			t.Errorf("over a link: %v", err)
		}
	}
	file := filepath.Join(parent, "file")
	check(t, os.WriteFile(file, nil, 0o600))
	if _, err := s.Restore(t.Context(), bytes.NewReader(stream), backup.Target{Dir: file, Replace: true}); !errors.Is(err, backup.ErrExists) {
		t.Errorf("over a file: %v", err)
	}
}

func TestAnOlderBackupIsRestoredOnlyWhenTold(t *testing.T) {
	s := newSafe(t)
	stream, _ := made(t, s, 100)
	to := backup.Target{Dir: filepath.Join(t.TempDir(), "to"), Guard: backup.Guard{Newest: 6}}
	if _, err := s.Restore(t.Context(), bytes.NewReader(stream), to); !errors.Is(err, backup.ErrOlder) {
		t.Errorf("%v", err)
	}
	to.AllowRollback = true
	if report, err := s.Restore(t.Context(), bytes.NewReader(stream), to); err != nil || !report.RolledBack {
		t.Errorf("%+v, %v", report, err)
	}
	to.Dir, to.Newest, to.AllowRollback = to.Dir+"2", 5, false
	if report, err := s.Restore(t.Context(), bytes.NewReader(stream), to); err != nil || report.RolledBack {
		t.Errorf("the newest one: %+v, %v", report, err)
	}
}

func TestAKeyThatIsMissingDoesNotPreventTheRestoreOfItsRing(t *testing.T) {
	data := seal.GenerateKey()
	stream, _ := made(t, newSafe(t, func(c *backup.Config) { c.Needs = []*seal.Keyring{ringOf(data)} }), 100)
	report, err := newSafe(t).Restore(t.Context(), bytes.NewReader(stream), backup.Target{Dir: filepath.Join(t.TempDir(), "to")})
	if err != nil || !slices.Equal(report.Unavailable, []seal.ID{data.ID()}) {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestWhatCannotBeRestoredIsNotBackedUpInSilence(t *testing.T) {
	for _, c := range []struct {
		name string
		make func(dir string) error
	}{
		{"a symbolic link", func(dir string) error { return os.Symlink("/etc/passwd", filepath.Join(dir, "bad")) }},
		{"a link to a directory", func(dir string) error { return os.Symlink("/etc", filepath.Join(dir, "bad")) }},
		{"a link inside", func(dir string) error { return os.Symlink("good", filepath.Join(dir, "bad")) }},
		{"a pipe", func(dir string) error { return mkfifo(filepath.Join(dir, "bad")) }},
		{"a line break in a name", func(dir string) error { return os.WriteFile(filepath.Join(dir, "b\nad"), nil, 0o600) }},
		{"an escape in a name", func(dir string) error { return os.WriteFile(filepath.Join(dir, "b\x1bad"), nil, 0o600) }},
		{"a backslash in a name", func(dir string) error { return os.WriteFile(filepath.Join(dir, `b\ad`), nil, 0o600) }},
		{"a name that is not UTF-8", func(dir string) error { return os.WriteFile(filepath.Join(dir, "b\xffad"), nil, 0o600) }},
	} {
		dir := t.TempDir()
		check(t, os.WriteFile(filepath.Join(dir, "good"), []byte("x"), 0o600))
		if err := c.make(dir); err != nil {
			t.Logf("%s: %v", c.name, err)
			continue
		}
		set := backup.Set{Counter: 1, Sources: []backup.Source{{Name: "data", Path: dir}}}
		if _, err := newSafe(t).Write(t.Context(), io.Discard, set); !errors.Is(err, backup.ErrSource) {
			t.Errorf("%s: %v", c.name, err)
		}
		set.Skip = func(name string) bool { return strings.HasPrefix(name, "data/b") }
		if report, err := newSafe(t).Write(t.Context(), io.Discard, set); err != nil || report.Files != 1 {
			t.Errorf("%s, skipped: %+v, %v", c.name, report, err)
		}
	}
	link := filepath.Join(t.TempDir(), "link")
	if os.Symlink(t.TempDir(), link) == nil {
		for _, path := range []string{link, link + "/", link + "/."} {
			_, err := newSafe(t).Write(t.Context(), io.Discard, backup.Set{Counter: 1, Sources: []backup.Source{{Name: "data", Path: path}}})
			if !errors.Is(err, backup.ErrSource) {
				t.Errorf("a source that is a link, %s: %v", path, err)
			}
		}
	}
}

// meddling does something when the first content is written.
type meddling struct {
	n  int
	do func()
}

func (m *meddling) Write(p []byte) (int, error) {
	if m.n += len(p); m.n > 500_000 && m.do != nil {
		m.do()
		m.do = nil
	}
	return len(p), nil
}

func TestAFileThatChangesWhileItIsReadIsAnError(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(path string) error
		grow bool // allowed for a file that only grows
	}{
		{"it grows", func(path string) error {
			f := must(os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0))
			_, err := f.Write([]byte("more"))
			return errors.Join(err, f.Close())
		}, true},
		{"it is cut", func(path string) error { return os.Truncate(path, 10) }, false},
		{"it is written over", func(path string) error {
			f := must(os.OpenFile(path, os.O_WRONLY, 0))
			_, err := f.Write([]byte("other"))
			return errors.Join(err, f.Close(), os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)))
		}, false},
	} {
		for _, appendOnly := range []bool{false, true} {
			path := filepath.Join(t.TempDir(), "log")
			check(t, os.WriteFile(path, make([]byte, 3<<20), 0o600))
			grown := false
			s := newSafe(t, func(cfg *backup.Config) { cfg.Each = func(f backup.File) { grown = grown || f.Grown } })
			set := backup.Set{Counter: 1, Sources: []backup.Source{{Name: "log", Path: path}}}
			if appendOnly {
				set.AppendOnly = func(name string) bool { return name == "log" }
			}
			report, err := s.Write(t.Context(), &meddling{do: func() { check(t, c.do(path)) }}, set)
			if c.grow && appendOnly {
				if err != nil || report.Bytes != 3<<20 || !grown {
					t.Errorf("%s, as it may: %+v, %v", c.name, report, err)
				}
			} else if !errors.Is(err, backup.ErrChanged) {
				t.Errorf("%s: %v", c.name, err)
			}
		}
	}
}

func TestAHostileManifestIsRefusedAndWritesNothing(t *testing.T) {
	ring := ringOf(testKey)
	const good = `{"name":"a","mode":384,"time":"2026-01-02T03:04:05Z","size":1}`
	head := backup.Text(ring, label, madeOf(t, newSafe(t), backup.Set{Counter: 5, Sources: []backup.Source{{Name: "x", Path: t.TempDir()}}}))
	head = head[:5+int(head[3])<<8+int(head[4])]
	one := sha256.Sum256([]byte("x"))
	file := func(text string) []byte { return slices.Concat(backup.Frame('F', text), []byte("x"), one[:]) }
	named := func(name string) []byte { return file(strings.Replace(good, `"a"`, `"`+name+`"`, 1)) }
	dir := func(name string) []byte {
		return backup.Frame('D', `{"name":"`+name+`","mode":448,"time":"2026-01-02T03:04:05Z"}`)
	}
	withEnd := func(text []byte, dirs, files int64) []byte { // right but for what text says
		return slices.Concat(text, backup.End(bytes.ReplaceAll(text, append([]byte("x"), one[:]...), one[:]), dirs, files, files))
	}
	long := strings.Repeat("n", 256)
	var deep strings.Builder
	deepText := slices.Clone(head)
	for i := range 101 {
		if i > 0 {
			deep.WriteByte('/')
		}
		deep.WriteByte('d')
		deepText = append(deepText, dir(deep.String())...)
	}
	longText, longName := slices.Clone(head), strings.Repeat("n", 250)
	for range 17 {
		longText = append(longText, dir(longName)...)
		longName += "/" + strings.Repeat("n", 250)
	}
	for _, c := range []struct {
		name string
		text []byte
		ok   bool
	}{
		{"a good one", withEnd(slices.Concat(head, file(good)), 0, 1), true},
		{"a good one with directories", withEnd(slices.Concat(head, dir("a"), named("a/b"), named("a.c")), 1, 2), true},
		{"upwards", withEnd(slices.Concat(head, named("../a")), 0, 1), false},
		{"upwards from a directory", withEnd(slices.Concat(head, dir("a"), named("a/../../b")), 1, 1), false},
		{"absolute", withEnd(slices.Concat(head, named("/etc/cron.d/a")), 0, 1), false},
		{"a dot", withEnd(slices.Concat(head, named(".")), 0, 1), false},
		{"no name", withEnd(slices.Concat(head, named("")), 0, 1), false},
		{"a slash at the end", withEnd(slices.Concat(head, named("a/")), 0, 1), false},
		{"two slashes", withEnd(slices.Concat(head, dir("a"), named("a//b")), 1, 1), false},
		{"a backslash", withEnd(slices.Concat(head, named(`..\\a`)), 0, 1), false},
		{"a NUL", withEnd(slices.Concat(head, named(`a\u0000`)), 0, 1), false},
		{"an escape", withEnd(slices.Concat(head, named(`a\u001b`)), 0, 1), false},
		{"a long part", withEnd(slices.Concat(head, named(long)), 0, 1), false},
		{"a long name", withEnd(slices.Concat(head, named(strings.Repeat("n/", 2100)+"n")), 0, 1), false},
		{"a huge name", withEnd(slices.Concat(head, named(strings.Repeat("n", 40_000))), 0, 1), false},
		{"too deep", withEnd(deepText, 101, 0), false},
		{"twice", withEnd(slices.Concat(head, file(good), file(good)), 0, 2), false},
		{"out of order", withEnd(slices.Concat(head, named("b"), named("a")), 0, 2), false},
		{"without its directory", withEnd(slices.Concat(head, named("a/b")), 0, 1), false},
		{"below a file", withEnd(slices.Concat(head, named("a"), named("a/b")), 0, 2), false},
		{"back in a directory", withEnd(slices.Concat(head, dir("a"), named("b"), named("a/c")), 1, 2), false},
		{"a symbolic link", withEnd(slices.Concat(head, file(strings.Replace(good, "384", "134218239", 1))), 0, 1), false},
		{"set-uid", withEnd(slices.Concat(head, file(strings.Replace(good, "384", "2541", 1))), 0, 1), false},
		{"a negative size", withEnd(slices.Concat(head, file(strings.Replace(good, `"size":1`, `"size":-1`, 1))), 0, 1), false},
		{"a huge size", withEnd(slices.Concat(head, file(strings.Replace(good, `"size":1`, `"size":9223372036854775807`, 1))), 0, 1), false},
		{"a size without content", withEnd(slices.Concat(head, file(strings.Replace(good, `"size":1`, `"size":1000`, 1))), 0, 1), false},
		{"a directory with a size", withEnd(slices.Concat(head, backup.Frame('D', good)), 1, 0), false},
		{"a time that cannot be", withEnd(slices.Concat(head, file(strings.Replace(good, "2026", "9999", 1))), 0, 1), false},
		{"another spelling", withEnd(slices.Concat(head, file(good+" ")), 0, 1), false},
		{"a member twice", withEnd(slices.Concat(head, file(`{"name":"b",`+good[1:])), 0, 1), false},
		{"an unknown member", withEnd(slices.Concat(head, file(good[:len(good)-1]+`,"link":"/etc"}`)), 0, 1), false},
		{"a second header", withEnd(slices.Concat(head, head), 0, 0), false},
		{"no header", withEnd(file(good), 0, 1), false},
		{"nothing", nil, false},
		{"no end", slices.Concat(head, file(good)), false},
		{"an end that counts wrong", withEnd(slices.Concat(head, file(good)), 0, 2), false},
		{"an end that counts other files", slices.Concat(head, file(good), backup.End(append(slices.Clone(head), slices.Concat(backup.Frame('F', good), one[:])...), 0, 2, 1)), false},
		{"an end that counts other directories", slices.Concat(head, file(good), backup.End(append(slices.Clone(head), slices.Concat(backup.Frame('F', good), one[:])...), 1, 1, 1)), false},
		{"an end that counts other bytes", slices.Concat(head, file(good), backup.End(append(slices.Clone(head), slices.Concat(backup.Frame('F', good), one[:])...), 0, 1, 2)), false},
		{"an end that counts right", slices.Concat(head, file(good), backup.End(append(slices.Clone(head), slices.Concat(backup.Frame('F', good), one[:])...), 0, 1, 1)), true},
		{"a long name in its directories", withEnd(longText, 17, 0), false},
		{"an end of other frames", slices.Concat(head, file(good), backup.End(head, 0, 1, 1)), false},
		{"something after the end", append(withEnd(slices.Concat(head, file(good)), 0, 1), 'x'), false},
		{"a frame of an unknown kind", slices.Concat(head, backup.Frame('L', good)), false},
		{"a frame that is too long", slices.Concat(head, []byte{'F', 255, 255, 255, 255}), false},
		{"a header that is too long", []byte{'H', 255, 255, 255, 255}, false},
		{"a header that does not come", []byte{'H', 3, 255, 255, 255}, false},
		{"a header of another format", withEnd(bytes.Replace(head, []byte("mantlet-backup"), []byte("mantlet-bockup"), 1), 0, 0), false},
		{"a header of another label", withEnd(bytes.Replace(head, []byte(label), []byte("acme gatewoy"), 1), 0, 0), false},
		{"a counter of zero", withEnd(bytes.Replace(head, []byte(`"counter":5`), []byte(`"counter":0`), 1), 0, 0), false},
	} {
		parent := t.TempDir()
		stream := backup.Compose(ring, label, c.text)
		_, err := newSafe(t).Restore(t.Context(), bytes.NewReader(stream), backup.Target{Dir: filepath.Join(parent, "in", "to")})
		if !errors.Is(err, fs.ErrNotExist) { // the directory above is missing, so that is said first
			t.Fatal(err)
		}
		check(t, os.Mkdir(filepath.Join(parent, "in"), 0o700))
		_, err = newSafe(t).Restore(t.Context(), bytes.NewReader(stream), backup.Target{Dir: filepath.Join(parent, "in", "to")})
		if (err == nil) != c.ok || err != nil && !errors.Is(err, backup.ErrManifest) {
			t.Errorf("%s: %v", c.name, err)
		}
		if err != nil && (len(err.Error()) > 600 || strings.ContainsAny(err.Error(), "\x00\x1b")) {
			t.Errorf("%s: the error is %d bytes long or has control characters", c.name, len(err.Error()))
		}
		if list := listing(t, parent); !c.ok && len(list) != 1 {
			t.Errorf("%s: %v is left", c.name, list)
		}
		if verr := verify(newSafe(t), stream); (verr == nil) != c.ok {
			t.Errorf("%s: Verify says %v", c.name, verr)
		}
	}
	text := withEnd(slices.Concat(head, dir("a"), named("a/b"), named("a/c")), 1, 2)
	for _, limit := range []func(*backup.Config){func(c *backup.Config) { c.MaxFiles = 2 }, func(c *backup.Config) { c.MaxBytes = 1 }} {
		if err := verify(newSafe(t, limit), backup.Compose(ring, label, text)); !errors.Is(err, backup.ErrManifest) {
			t.Errorf("over a limit: %v", err)
		}
	}
}

func TestNamesComeInTheOrderOfTheirParts(t *testing.T) {
	names := []string{"a", "a/a", "a/a/b", "a/b", "a.b", "a.b/c", "a0", "b"}
	for i, a := range names {
		for j, b := range names {
			if got := backup.Before(a, b); got != (i < j) {
				t.Errorf("%q before %q: %v", a, b, got)
			}
		}
	}
}

func subjectsIn(t *testing.T, dir string, ring *seal.Keyring, alias seal.Key) *shred.Subjects {
	t.Helper()
	store := must(shred.NewFileStore(shred.FileConfig{Dir: dir, Create: true}))
	return must(shred.New(shred.Config{Store: store, Ring: ring, AliasKey: alias}))
}

func of(subject string) seal.Context { return seal.Context{Purpose: "chat", Subject: subject} }

func TestWhoWasShreddedStaysSoAfterARestore(t *testing.T) {
	ring, alias := ringOf(seal.GenerateKey()), seal.GenerateKey()
	s := newSafe(t)
	parent := t.TempDir()
	live := filepath.Join(parent, "live")
	check(t, os.Mkdir(live, 0o700))
	subjects := subjectsIn(t, filepath.Join(live, "subjects"), ring, alias)
	boxes := map[string][]byte{}
	for _, name := range []string{"alice", "bob", "carol", "dave"} {
		boxes[name] = must(subjects.Seal(t.Context(), nil, []byte(name), of(name)))
	}
	stream := madeOf(t, s, backup.Set{Counter: 5, Sources: []backup.Source{{Name: "subjects", Path: filepath.Join(live, "subjects")}}})
	alive := func(dir string) (names string) {
		again := subjectsIn(t, filepath.Join(dir, "subjects"), ring, alias)
		for _, name := range []string{"alice", "bob", "carol", "dave"} {
			switch _, err := again.Open(t.Context(), nil, boxes[name], of(name)); {
			case err == nil:
				names += name + " "
			case !errors.Is(err, shred.ErrShredded):
				t.Errorf("%s: %v", name, err)
			}
		}
		return names
	}
	proof := must(subjects.Shred(t.Context(), shred.Subject{ID: "alice"}))

	t.Run("over the live store", func(t *testing.T) {
		again := filepath.Join(t.TempDir(), "copy")
		check(t, os.CopyFS(again, os.DirFS(live)))
		check(t, filepath.WalkDir(again, func(name string, d fs.DirEntry, _ error) error { return os.Chmod(name, 0o700&^(0o100*b2i(!d.IsDir()))) }))
		report, err := s.Restore(t.Context(), bytes.NewReader(stream), backup.Target{Dir: again, Replace: true})
		if names := alive(again); err != nil || names != "bob carol dave " || report.Applied != 1 {
			t.Errorf("alive: %s, %+v, %v", names, report, err)
		}
	})
	t.Run("where everything is lost, with the proofs of the audit log", func(t *testing.T) {
		to := filepath.Join(t.TempDir(), "to")
		report, err := s.Restore(t.Context(), bytes.NewReader(stream), backup.Target{Dir: to, Tombstones: []shred.Tombstone{proof}})
		if names := alive(to); err != nil || names != "bob carol dave " || report.Applied != 1 {
			t.Errorf("alive: %s, %+v, %v", names, report, err)
		}
	})
	t.Run("elsewhere than the live store", func(t *testing.T) {
		to := filepath.Join(t.TempDir(), "to")
		use := must(shred.NewFileStore(shred.FileConfig{Dir: filepath.Join(live, "subjects")}))
		report, err := s.Restore(t.Context(), bytes.NewReader(stream), backup.Target{Dir: to, Live: []shred.Store{use}})
		if names := alive(to); err != nil || names != "bob carol dave " || report.Applied != 1 || report.Stores != 1 {
			t.Errorf("alive: %s, %+v, %v", names, report, err)
		}
	})
	t.Run("with tombstones in the backup", func(t *testing.T) {
		set := backup.Set{Counter: 6, Sources: []backup.Source{{Name: "subjects", Path: filepath.Join(live, "subjects")}}, Tombstones: []shred.Tombstone{proof}}
		to := filepath.Join(t.TempDir(), "to")
		report, err := s.Restore(t.Context(), bytes.NewReader(madeOf(t, s, set)), backup.Target{Dir: to, Tombstones: []shred.Tombstone{}})
		if names := alive(to); err != nil || names != "bob carol dave " || report.Tombstones != 1 {
			t.Errorf("alive: %s, %+v, %v", names, report, err)
		}
	})
	t.Run("also who is shredded during the restore", func(t *testing.T) {
		shredded := false
		slow := newSafe(t, func(c *backup.Config) {
			c.Progress = func(int64) {
				shredded = shredded || must(subjects.Shred(t.Context(), shred.Subject{ID: "bob"})).Counter > 0
			}
		})
		later := backup.Target{Dir: live, Replace: true, Tombstones: []shred.Tombstone{proof}, Apply: func(context.Context, string, []shred.Tombstone) error {
			must(subjects.Shred(t.Context(), shred.Subject{ID: "carol"})) // after the live tombstones were read
			return nil
		}}
		_, err := slow.Restore(t.Context(), bytes.NewReader(stream), later)
		if names := alive(live); err != nil || !shredded || names != "dave " {
			t.Errorf("alive: %s, %v", names, err)
		}
	})
	t.Run("or nothing is restored", func(t *testing.T) {
		where := t.TempDir()
		to := backup.Target{Dir: filepath.Join(where, "to"), Tombstones: []shred.Tombstone{proof}}
		without := madeOf(t, s, backup.Set{Counter: 5, Sources: []backup.Source{{Name: "dump", Path: t.TempDir()}}})
		if _, err := s.Restore(t.Context(), bytes.NewReader(without), to); !errors.Is(err, backup.ErrTombstones) {
			t.Errorf("without a store: %v", err)
		}
		empty(t, where)
		no := errors.New("no")
		to.Apply = func(_ context.Context, stage string, all []shred.Tombstone) error {
			if _, err := os.Stat(filepath.Join(stage, "dump")); err != nil || len(all) != 1 {
				t.Errorf("%v, %v", all, err)
			}
			return no
		}
		if _, err := s.Restore(t.Context(), bytes.NewReader(without), to); !errors.Is(err, backup.ErrTombstones) || !errors.Is(err, no) {
			t.Errorf("when Apply fails: %v", err)
		}
		empty(t, where)
		// A live store that is damaged.
		check(t, os.WriteFile(filepath.Join(live, "subjects", shred.FileStoreMarker), []byte("x"), 0o600))
		over := backup.Target{Dir: live, Replace: true}
		if _, err := s.Restore(t.Context(), bytes.NewReader(stream), over); !errors.Is(err, backup.ErrTombstones) {
			t.Errorf("over a damaged store: %v", err)
		}
		over.InsecureSkipTombstones = true
		if _, err := s.Restore(t.Context(), bytes.NewReader(stream), over); err != nil {
			t.Errorf("when told: %v", err)
		}
	})
}

func b2i(b bool) fs.FileMode {
	if b {
		return 1
	}
	return 0
}

func TestMemoryDoesNotGrowWithTheSizeOfAFile(t *testing.T) {
	const size = 64 << 20
	dir := t.TempDir()
	f := must(os.Create(filepath.Join(dir, "model")))
	check(t, f.Truncate(size))
	check(t, f.Close())
	s := newSafe(t)
	set := backup.Set{Counter: 1, Sources: []backup.Source{{Name: "model", Path: f.Name()}}}
	allocated := func(do func()) uint64 {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		do()
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	out := filepath.Join(dir, "out")
	write := allocated(func() { must(s.WriteFile(t.Context(), out, set)) })
	in := must(os.Open(out))
	defer in.Close()
	read := allocated(func() { must(s.Verify(t.Context(), in, backup.Guard{})) })
	t.Logf("report: %d KiB are allocated to write 64 MiB, %d KiB to verify them", write>>10, read>>10)
	if write > 4<<20 || read > 4<<20 {
		t.Errorf("%d bytes are allocated to write, %d to verify", write, read)
	}
}

func TestWriteFileLeavesAWholeBackupOrNothing(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "a"), []byte("x"), 0o600))
	set := backup.Set{Counter: 1, Sources: []backup.Source{{Name: "data", Path: dir}}}
	name := filepath.Join(out, "1.backup")
	must(newSafe(t).WriteFile(t.Context(), name, set))
	if list := listing(t, out); len(list) != 1 || !strings.HasPrefix(list[0], "1.backup -rw------- ") {
		t.Errorf("%q", list)
	}
	if _, err := newSafe(t).WriteFile(t.Context(), name, set); !errors.Is(err, backup.ErrExists) {
		t.Errorf("over another one: %v", err)
	}
	set.Sources = append(set.Sources, backup.Source{Name: "none", Path: filepath.Join(dir, "none")})
	if _, err := newSafe(t).WriteFile(t.Context(), filepath.Join(out, "2.backup"), set); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a source: %v", err)
	}
	if list := listing(t, out); len(list) != 1 {
		t.Errorf("%q", list)
	}
}

func TestProgressAndEachTellWhatIsDone(t *testing.T) {
	var done int64
	var names []string
	s := newSafe(t, func(c *backup.Config) {
		c.Progress = func(n int64) {
			if n < done {
				t.Errorf("%d after %d", n, done)
			}
			done = n
		}
		c.Each = func(f backup.File) {
			names = append(names, fmt.Sprintf("%s %v %d %x", f.Name, f.Mode, f.Size, f.SHA256[:4]))
		}
	})
	stream, _ := made(t, s, 5<<20)
	written, total := names, done
	names, done = nil, 0
	check(t, verify(s, stream))
	if !slices.Equal(written, names) || len(names) != 15 || done != total || done < 5<<20 {
		t.Errorf("%d and %d bytes, %q and %q", total, done, written, names)
	}
}

func TestNewAndWriteListEverythingThatIsWrong(t *testing.T) {
	_, err := backup.New(backup.Config{Label: "a\nb", Needs: []*seal.Keyring{nil}, Workers: -1})
	for _, word := range []string{"Ring", "Label", "Needs[0]", "Workers"} {
		if err == nil || !strings.Contains(err.Error(), "Config."+word) {
			t.Errorf("%v does not name %s", err, word)
		}
	}
	_, err = newSafe(t).Write(t.Context(), io.Discard, backup.Set{Sources: []backup.Source{{Name: "a/b", Path: "x"}, {Name: "c"}, {Name: "c", Path: "x"}, {Name: "..", Path: "x"}}, Checkpoint: make([]byte, 1<<17)})
	for _, word := range []string{"Counter", "Sources[0].Name", "Sources[1].Path", "Sources[2].Name", "Sources[3].Name", "Checkpoint"} {
		if err == nil || !strings.Contains(err.Error(), "Set."+word) {
			t.Errorf("%v does not name %s", err, word)
		}
	}
	if _, err := newSafe(t).Write(t.Context(), io.Discard, backup.Set{Counter: 1}); err == nil {
		t.Error("a backup of nothing is made")
	}
	for _, s := range []*backup.Safe{nil, {}} {
		_, e1 := s.Write(t.Context(), io.Discard, backup.Set{})
		_, e2 := s.Verify(t.Context(), bytes.NewReader(nil), backup.Guard{})
		_, e3 := s.Restore(t.Context(), bytes.NewReader(nil), backup.Target{Dir: t.TempDir()})
		if e1 == nil || e2 == nil || e3 == nil {
			t.Errorf("the zero Safe: %v, %v, %v", e1, e2, e3)
		}
	}
}

package backup_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/backup"
	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/crypto/shred"
)

// town is a directory with stores of subjects, in each of which alice lived when the backup was made, and was shredded since.
type town struct {
	ring   *seal.Keyring
	alias  seal.Key
	dir    string
	boxes  map[string][]byte
	stream []byte
}

var alice = shred.Subject{ID: "alice"}

func newTown(t *testing.T, names ...string) *town {
	w := &town{ring: ringOf(seal.GenerateKey()), alias: seal.GenerateKey(), dir: filepath.Join(t.TempDir(), "data"), boxes: map[string][]byte{}}
	check(t, os.Mkdir(w.dir, 0o700))
	var sources []backup.Source
	for _, name := range names {
		w.boxes[name] = must(w.in(t, filepath.Join(w.dir, name)).Seal(t.Context(), nil, []byte("hello"), of("alice")))
		sources = append(sources, backup.Source{Name: name, Path: filepath.Join(w.dir, name)})
	}
	w.stream = madeOf(t, newSafe(t), backup.Set{Counter: 5, Sources: sources})
	for _, name := range names {
		must(w.in(t, filepath.Join(w.dir, name)).Shred(t.Context(), alice))
	}
	return w
}

func (w *town) in(t *testing.T, dir string) *shred.Subjects {
	return subjectsIn(t, dir, w.ring, w.alias)
}

// alive says whether alice lives in what is in a directory.
func (w *town) alive(t *testing.T, dir, name string) bool {
	t.Helper()
	_, err := w.in(t, dir).Open(t.Context(), nil, w.boxes[name], of("alice"))
	if err != nil && !errors.Is(err, shred.ErrShredded) {
		t.Error(err)
	}
	return err == nil
}

func (w *town) restore(t *testing.T, to backup.Target) (backup.Report, error) {
	return newSafe(t).Restore(t.Context(), bytes.NewReader(w.stream), to)
}

func TestAStoreOfWhichNobodyTellsWhoWasShreddedIsNotRestored(t *testing.T) {
	t.Run("to a new directory", func(t *testing.T) {
		w := newTown(t, "subjects")
		where := t.TempDir()
		to := backup.Target{Dir: filepath.Join(where, "new")}
		report, err := w.restore(t, to)
		if !errors.Is(err, backup.ErrTombstones) || report.StoresUnchecked != 1 || !strings.Contains(err.Error(), "subjects") {
			t.Errorf("%+v, %v", report, err)
		}
		empty(t, where)
		to.InsecureSkipTombstones = true
		report, err = w.restore(t, to)
		if err != nil || report.StoresUnchecked != 1 || len(report.Unburied) != 1 || !w.alive(t, filepath.Join(to.Dir, "subjects"), "subjects") {
			t.Errorf("when told: %+v, %v", report, err)
		}
	})
	t.Run("unless it is said that there is nobody", func(t *testing.T) {
		w := newTown(t, "subjects")
		report, err := w.restore(t, backup.Target{Dir: filepath.Join(t.TempDir(), "new"), Tombstones: []shred.Tombstone{}})
		if err != nil || report.StoresUnchecked != 0 || report.Unburied != nil {
			t.Errorf("%+v, %v", report, err)
		}
	})
	t.Run("over a directory without a store", func(t *testing.T) {
		w := newTown(t, "subjects")
		to := t.TempDir()
		if report, err := w.restore(t, backup.Target{Dir: to, Replace: true}); !errors.Is(err, backup.ErrTombstones) || report.StoresUnchecked != 1 {
			t.Errorf("%+v, %v", report, err)
		}
		empty(t, to)
	})
	t.Run("over a store that has no counterpart", func(t *testing.T) {
		w := newTown(t, "a", "b")
		for _, name := range []string{"a", "b"} {
			check(t, os.Rename(filepath.Join(w.dir, name), filepath.Join(w.dir, "live-"+name)))
		}
		if _, err := w.restore(t, backup.Target{Dir: w.dir, Replace: true}); !errors.Is(err, backup.ErrTombstones) || !strings.Contains(err.Error(), `"live-a"`) {
			t.Errorf("%v", err)
		}
		// Also when there are tombstones from elsewhere.
		if _, err := w.restore(t, backup.Target{Dir: w.dir, Replace: true, Tombstones: []shred.Tombstone{}}); !errors.Is(err, backup.ErrTombstones) {
			t.Errorf("%v", err)
		}
	})
}

func TestTheStoreInWhatIsReplacedIsFoundWhateverItsName(t *testing.T) {
	t.Run("the directory itself", func(t *testing.T) {
		w := newTown(t, "subjects")
		dir := filepath.Join(w.dir, "subjects")
		report, err := w.restore(t, backup.Target{Dir: dir, Replace: true})
		if err != nil || report.Applied != 1 || w.alive(t, filepath.Join(dir, "subjects"), "subjects") {
			t.Errorf("%+v, %v", report, err)
		}
	})
	t.Run("of another name, deeper", func(t *testing.T) {
		w := newTown(t, "subjects")
		check(t, os.Mkdir(filepath.Join(w.dir, "x"), 0o700))
		check(t, os.Rename(filepath.Join(w.dir, "subjects"), filepath.Join(w.dir, "x", "people")))
		report, err := w.restore(t, backup.Target{Dir: w.dir, Replace: true})
		if err != nil || report.Applied != 1 || w.alive(t, filepath.Join(w.dir, "subjects"), "subjects") {
			t.Errorf("%+v, %v", report, err)
		}
	})
}

func TestALiveStoreThatLostItsMarkerIsNotTakenForNone(t *testing.T) {
	for name, damage := range map[string]func(dir string) error{
		"lost": func(dir string) error { return os.Remove(filepath.Join(dir, "subjects", shred.FileStoreMarker)) },
		"not mounted": func(dir string) error {
			return errors.Join(os.RemoveAll(filepath.Join(dir, "subjects")), os.Mkdir(filepath.Join(dir, "subjects"), 0o700))
		},
		"lost and renamed": func(dir string) error {
			return errors.Join(os.Remove(filepath.Join(dir, "subjects", shred.FileStoreMarker)), os.Rename(filepath.Join(dir, "subjects"), filepath.Join(dir, "people")))
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newTown(t, "subjects")
			check(t, damage(w.dir))
			// Also where other tombstones tell of some.
			if _, err := w.restore(t, backup.Target{Dir: w.dir, Replace: true, Tombstones: []shred.Tombstone{}}); !errors.Is(err, backup.ErrTombstones) {
				t.Errorf("%v", err)
			}
			if _, err := os.Stat(filepath.Join(w.dir, "subjects", shred.FileStoreMarker)); err == nil {
				t.Error("it was replaced")
			}
		})
	}
}

func TestTheTombstonesOfALiveDatabaseReachItsDump(t *testing.T) {
	live := shred.NewMemoryStore()
	proof := must(must(shred.New(shred.Config{Store: live, Ring: ringOf(testKey), AliasKey: testKey})).Shred(t.Context(), alice))
	dump := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dump, "dump.sql"), []byte("alice"), 0o600))
	stream := madeOf(t, newSafe(t), backup.Set{Counter: 5, Sources: []backup.Source{{Name: "dump", Path: dump}}})
	where := t.TempDir()
	to := backup.Target{Dir: filepath.Join(where, "new"), Live: []shred.Store{live}}
	if _, err := newSafe(t).Restore(t.Context(), bytes.NewReader(stream), to); !errors.Is(err, backup.ErrTombstones) {
		t.Errorf("without Apply: %v", err)
	}
	empty(t, where)
	calls := 0
	to.Apply = func(_ context.Context, stage string, all []shred.Tombstone) error {
		calls++
		if _, err := os.Stat(filepath.Join(stage, "dump", "dump.sql")); err != nil || len(all) != 1 || all[0].Subject != proof.Subject {
			t.Errorf("%v, %v", all, err)
		}
		return nil
	}
	if _, err := newSafe(t).Restore(t.Context(), bytes.NewReader(stream), to); err != nil || calls != 1 {
		t.Errorf("%d calls, %v", calls, err)
	}
}

// late is a store in which somebody is shredded when its list has been read.
type late struct {
	shred.Store
	after func()
}

func (s *late) List(ctx context.Context, p shred.Page) ([]shred.Record, error) {
	list, err := s.Store.List(ctx, p)
	if len(list) == 0 && s.after != nil {
		s.after()
		s.after = nil
	}
	return list, err
}

func TestWhoIsShreddedInALiveStoreDuringTheRestoreStaysSo(t *testing.T) {
	w := &town{ring: ringOf(seal.GenerateKey()), alias: seal.GenerateKey(), boxes: map[string][]byte{}}
	dir := filepath.Join(t.TempDir(), "subjects")
	subjects := w.in(t, dir)
	w.boxes["subjects"] = must(subjects.Seal(t.Context(), nil, []byte("hello"), of("alice")))
	w.stream = madeOf(t, newSafe(t), backup.Set{Counter: 5, Sources: []backup.Source{{Name: "subjects", Path: dir}}})
	live := &late{must(shred.NewFileStore(shred.FileConfig{Dir: dir})), func() { must(subjects.Shred(t.Context(), alice)) }}
	to := filepath.Join(t.TempDir(), "to")
	var told [][]shred.Tombstone
	report, err := w.restore(t, backup.Target{Dir: to, Live: []shred.Store{live}, Apply: func(_ context.Context, at string, all []shred.Tombstone) error {
		if at != to {
			t.Errorf("at %s", at)
		}
		told = append(told, all)
		return nil
	}})
	if err != nil || report.Applied != 1 || w.alive(t, filepath.Join(to, "subjects"), "subjects") || len(told) != 1 {
		t.Errorf("%+v, %v, %v", report, err, told)
	}
}

func TestADamagedStoreDoesNotKeepTheTombstonesOfAnotherOneFromBeingApplied(t *testing.T) {
	w := newTown(t, "a", "b")
	check(t, os.WriteFile(filepath.Join(w.dir, "a", shred.FileStoreMarker), []byte("damaged"), 0o600))
	to := backup.Target{Dir: w.dir, Replace: true}
	if _, err := w.restore(t, to); !errors.Is(err, backup.ErrTombstones) {
		t.Fatal(err)
	}
	to.InsecureSkipTombstones = true
	report, err := w.restore(t, to)
	if err != nil || len(report.Unburied) != 1 || !strings.Contains(report.Unburied[0], `"a"`) {
		t.Errorf("%+v, %v", report, err)
	}
	if !w.alive(t, filepath.Join(w.dir, "a"), "a") || w.alive(t, filepath.Join(w.dir, "b"), "b") {
		t.Error("b was whole, and alice is alive in it")
	}
}

func TestKeysOfSubjectsAreNotBackedUpWithoutTheirMarker(t *testing.T) {
	w := newTown(t, "subjects")
	sources := []backup.Source{{Name: "d", Path: w.dir}}
	for name, skip := range map[string]func(string) bool{
		"left out": func(name string) bool { return filepath.Ext(name) == ".json" },
		"lost": func(string) bool {
			_ = os.Remove(filepath.Join(w.dir, "subjects", shred.FileStoreMarker))
			return false
		},
	} {
		if _, err := newSafe(t).Write(t.Context(), &bytes.Buffer{}, backup.Set{Counter: 5, Sources: sources, Skip: skip}); !errors.Is(err, backup.ErrSource) {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole := func(name string) bool { return name == "d/subjects" }
	if _, err := newSafe(t).Write(t.Context(), &bytes.Buffer{}, backup.Set{Counter: 5, Sources: sources, Skip: whole}); err != nil {
		t.Errorf("the whole store left out: %v", err)
	}
	// Nor believed, by whoever has the key.
	a := strings.Repeat("ab", 32)
	text := backup.Frame('H', `{"format":"mantlet-backup","version":1,"label":"acme gateway","counter":5,"time":"2026-01-01T00:00:00Z","canaries":[]}`)
	for _, e := range []string{"s", "s/ab"} {
		text = append(text, backup.Frame('D', `{"name":"`+e+`","mode":448,"time":"2026-01-01T00:00:00Z"}`)...)
	}
	text = append(text, backup.Frame('F', `{"name":"s/ab/`+a+`.key","mode":384,"time":"2026-01-01T00:00:00Z"}`)...)
	text = append(text, 0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41, 0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55)
	text = append(text, backup.End(text, 2, 1, 0)...)
	if err := verify(newSafe(t), backup.Compose(ringOf(testKey), label, text)); !errors.Is(err, backup.ErrManifest) || !strings.Contains(err.Error(), shred.FileStoreMarker) {
		t.Errorf("%v", err)
	}
}

func TestWhatADrillPassesCanBeRestored(t *testing.T) {
	for name, change := range map[string]func(marker string, set *backup.Set) error{
		"a tombstone of nobody": func(_ string, set *backup.Set) error {
			set.Tombstones = []shred.Tombstone{{}}
			return nil
		},
		"a tombstone in local time": func(_ string, set *backup.Set) error {
			set.Tombstones = []shred.Tombstone{{Subject: shred.Alias{1}, Counter: 1, Time: time.Date(2026, 1, 1, 0, 0, 0, 0, time.FixedZone("", 3600))}}
			return nil
		},
		"a marker that others may read": func(marker string, _ *backup.Set) error { return os.Chmod(marker, 0o644) },
		"a store that others may write": func(marker string, _ *backup.Set) error { return os.Chmod(filepath.Dir(marker), 0o777) },
		"a marker that is none":         func(marker string, _ *backup.Set) error { return os.WriteFile(marker, []byte("{}"), 0o600) },
		"a marker that is too long":     func(marker string, _ *backup.Set) error { return os.WriteFile(marker, make([]byte, 5000), 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			if runtime.GOOS == "windows" && strings.Contains(name, "others") {
				t.Skip("windows has no such modes")
			}
			w := newTown(t, "subjects")
			set := backup.Set{Counter: 5, Sources: []backup.Source{{Name: "d", Path: w.dir}}}
			check(t, change(filepath.Join(w.dir, "subjects", shred.FileStoreMarker), &set))
			if _, err := newSafe(t).Write(t.Context(), &bytes.Buffer{}, set); err == nil {
				t.Error("a backup was made that cannot be restored")
			}
		})
	}
}

func TestAReplacedDirectoryKeepsItsMode(t *testing.T) {
	stream, _ := made(t, newSafe(t), 10)
	dir := filepath.Join(t.TempDir(), "etc")
	check(t, errors.Join(os.Mkdir(dir, 0o755), os.Chmod(dir, 0o755)))
	must(newSafe(t).Restore(t.Context(), bytes.NewReader(stream), backup.Target{Dir: dir, Replace: true}))
	if mode := must(os.Stat(dir)).Mode().Perm(); mode != 0o755 && runtime.GOOS != "windows" {
		t.Errorf("it was 0755 and is %v", mode)
	}
}

func TestABackupIsNotWrittenIntoWhatItTakes(t *testing.T) {
	dir := t.TempDir()
	check(t, os.WriteFile(filepath.Join(dir, "file"), []byte("x"), 0o600))
	set := backup.Set{Counter: 5, Sources: []backup.Source{{Name: "d", Path: dir}}}
	out := filepath.Join(dir, "b.vault")
	if _, err := newSafe(t).WriteFile(t.Context(), out, set); !errors.Is(err, backup.ErrSource) || !strings.Contains(err.Error(), "would lie in what is backed up") {
		t.Errorf("%v", err)
	}
	set.Skip = func(name string) bool { return name == "d/b.vault" }
	report, err := newSafe(t).WriteFile(t.Context(), out, set)
	if err != nil || report.Files != 1 {
		t.Errorf("skipped: %+v, %v", report, err)
	}
}

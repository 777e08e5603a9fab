package backup_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io/fs"
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
)

func TestRestartsDoNotSilenceTheAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alerts := 0
		for range 10 { // days, and no drill has ever succeeded
			s := must(backup.NewSchedule(backup.ScheduleConfig{Every: 24 * time.Hour, AlertAfter: 72 * time.Hour,
				Drill:   func(context.Context) (backup.Report, error) { return backup.Report{}, errors.New("disk full") },
				OnAlert: func(backup.Alert) { alerts++ }}))
			ctx, cancel := context.WithTimeout(t.Context(), 23*time.Hour)
			_ = s.Run(ctx)
			cancel()
		}
		if alerts != 10 {
			t.Errorf("%d alerts in 10 days", alerts)
		}
	})
}

func TestAnOnDrillThatBlocksDoesNotStopTheAlarm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 6*time.Hour)
		defer cancel()
		alerts := 0
		s := must(backup.NewSchedule(backup.ScheduleConfig{Every: time.Hour, AlertAfter: 2 * time.Hour, Repeat: time.Hour, LastSuccess: time.Now().Add(-time.Hour),
			Drill:   func(context.Context) (backup.Report, error) { return backup.Report{}, nil },
			OnDrill: func(backup.Drill) { <-ctx.Done() },
			OnAlert: func(backup.Alert) { alerts++ },
		}))
		_ = s.Run(ctx)
		if alerts < 4 {
			t.Errorf("%d alerts", alerts)
		}
	})
}

func TestADrillThatFailsSaysWhichBackupItWas(t *testing.T) {
	ledger := must(backup.NewLedger(filepath.Join(t.TempDir(), "ledger"), label))
	drill := newSafe(t).Drill(ledger, t.TempDir(), func(context.Context) (backup.Set, error) {
		return backup.Set{Sources: []backup.Source{{Name: "d", Path: filepath.Join(t.TempDir(), "none")}}}, nil
	})
	if report, err := drill(t.Context()); !errors.Is(err, fs.ErrNotExist) || report.Counter != 1 || report.Label != label {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestAKeyThatWasRetiredOnPurposeFailsNoDrill(t *testing.T) {
	old, fresh := seal.GenerateKey(), seal.GenerateKey()
	ring := ringOf(fresh, old)
	s := must(backup.New(backup.Config{Ring: ring, Label: label}))
	stream, _ := made(t, s, 10)
	check(t, ring.Retire(old.ID()))
	for _, step := range []string{"retired", "destroyed"} {
		report, err := s.Verify(t.Context(), bytes.NewReader(stream), backup.Guard{})
		if err != nil || !slices.Equal(report.Retired, []seal.ID{old.ID()}) || len(report.Unavailable) != 0 {
			t.Errorf("%s: %+v, %v", step, report, err)
		}
		if step == "retired" {
			check(t, ring.Destroy(old.ID()))
		}
	}
	// One that is nowhere fails it, and a ring that knows what became of a key is believed rather than one that does not.
	if _, err := must(backup.New(backup.Config{Ring: ringOf(fresh), Label: label})).Verify(t.Context(), bytes.NewReader(stream), backup.Guard{}); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("nowhere: %v", err)
	}
	both := must(backup.New(backup.Config{Ring: ringOf(fresh), Label: label, Needs: []*seal.Keyring{ring}}))
	if report, err := both.Verify(t.Context(), bytes.NewReader(stream), backup.Guard{}); err != nil || len(report.Retired) != 1 {
		t.Errorf("in Needs: %+v, %v", report, err)
	}
}

func TestTheFailuresOfABackupAreBounded(t *testing.T) {
	box := must(ringOf(seal.GenerateKey()).Seal(nil, nil, seal.Context{Purpose: "mantlet backup v1 canary", Subject: label}))
	of := func(n int) []byte {
		var list []string
		for range n {
			list = append(list, `"`+base64.StdEncoding.EncodeToString(box)+`"`)
		}
		text := backup.Frame('H', `{"format":"mantlet-backup","version":1,"label":"acme gateway","counter":5,"time":"2026-01-01T00:00:00Z","canaries":[`+strings.Join(list, ",")+`]}`)
		return backup.Compose(ringOf(testKey), label, append(text, backup.End(text, 0, 0, 0)...))
	}
	if err := verify(newSafe(t), of(1001)); !errors.Is(err, backup.ErrManifest) {
		t.Errorf("1001 canaries: %.200v", err)
	}
	if err := verify(newSafe(t), of(1000)); !errors.Is(err, backup.ErrKeyUnavailable) || strings.Count(err.Error(), "\n") != 100 || !strings.Contains(err.Error(), "900 more") {
		t.Errorf("1000 canaries: %.200v", err)
	}
}

func TestSpecialBitsAreRefusedAsASource(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("windows has no such modes")
	}
	for _, bit := range []fs.FileMode{fs.ModeSetuid, fs.ModeSetgid, fs.ModeSticky} {
		dir := t.TempDir()
		name := filepath.Join(dir, "tool")
		check(t, errors.Join(os.WriteFile(name, nil, 0o755), os.Chmod(name, 0o755|bit)))
		if must(os.Stat(name)).Mode()&bit == 0 {
			continue // which not every system lets one set
		}
		if _, err := newSafe(t).Write(t.Context(), &bytes.Buffer{}, backup.Set{Counter: 1, Sources: []backup.Source{{Name: "d", Path: dir}}}); !errors.Is(err, backup.ErrSource) {
			t.Errorf("%v: %v", bit, err)
		}
	}
}

func TestAFileThatWasRewrittenWithItsOldTimeHasChanged(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("the time of the change of a file is asked on Linux only")
	}
	dir := t.TempDir()
	name := filepath.Join(dir, "db")
	check(t, os.WriteFile(name, bytes.Repeat([]byte{'A'}, 3<<20), 0o600))
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	check(t, os.Chtimes(name, at, at))
	done := false
	s := newSafe(t, func(c *backup.Config) {
		c.Progress = func(int64) {
			for was := must(os.Stat(name)); !done; { // until the clock of the file system has gone on
				check(t, errors.Join(os.WriteFile(name, bytes.Repeat([]byte{'B'}, 3<<20), 0o600), os.Chtimes(name, at, at)))
				done = backup.Changed(was, must(os.Stat(name)))
			}
		}
	})
	if _, err := s.Write(t.Context(), &bytes.Buffer{}, backup.Set{Counter: 5, Sources: []backup.Source{{Name: "d", Path: dir}}}); !errors.Is(err, backup.ErrChanged) {
		t.Errorf("%v", err)
	}
}

func TestAFileThatVanishesDuringTheBackupIsNamed(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"a", "b"} {
		check(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	s := newSafe(t, func(c *backup.Config) {
		c.Each = func(f backup.File) {
			if f.Name == "d/a" {
				check(t, os.Rename(filepath.Join(dir, "b"), filepath.Join(dir, "a2")))
			}
		}
	})
	report, err := s.Write(t.Context(), &bytes.Buffer{}, backup.Set{Counter: 1, Sources: []backup.Source{{Name: "d", Path: dir}}})
	if err != nil || report.Files != 1 || !slices.Equal(report.Vanished, []string{"d/b"}) {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestALedgerAndADrillNeedTheirDirectories(t *testing.T) {
	if _, err := backup.NewLedger(filepath.Join(t.TempDir(), "none", "ledger"), label); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("NewLedger: %v", err)
	}
}

func TestWhatCameMeanwhileIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	out := filepath.Join(dir, "out")
	come := func(c *backup.Config) {
		c.Each = func(backup.File) { _ = os.Mkdir(out, 0o700) }
	}
	stream, source := made(t, newSafe(t), 10)
	if _, err := newSafe(t, come).Restore(t.Context(), bytes.NewReader(stream), backup.Target{Dir: out}); !errors.Is(err, backup.ErrExists) {
		t.Errorf("Restore: %v", err)
	}
	empty(t, out)
	check(t, os.Remove(out))
	come = func(c *backup.Config) {
		c.Each = func(backup.File) { _ = os.WriteFile(out, []byte("x"), 0o600) }
	}
	if _, err := newSafe(t, come).WriteFile(t.Context(), out, backup.Set{Counter: 1, Sources: []backup.Source{{Name: "d", Path: source}}}); !errors.Is(err, backup.ErrExists) {
		t.Errorf("WriteFile: %v", err)
	}
	if text := must(os.ReadFile(out)); string(text) != "x" {
		t.Errorf("%d bytes", len(text))
	}
	if list := must(os.ReadDir(dir)); len(list) != 1 {
		t.Errorf("%v", list)
	}
}

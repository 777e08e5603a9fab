package backup_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/crypto/backup"
)

const day = 24 * time.Hour

// watch runs a schedule for a time and returns what it told, with the hours since it began.
func watch(t *testing.T, cfg backup.ScheduleConfig, d time.Duration) (told []string) {
	t.Helper()
	start := time.Now()
	hour := func(at time.Time) string { return fmt.Sprintf("%.4g", at.Sub(start).Hours()) }
	var mu sync.Mutex // they are told by two goroutines
	cfg.OnDrill = func(d backup.Drill) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprintf("%s drill, began %s, took %v, %v", hour(time.Now()), hour(d.Start), d.Took, d.Err))
	}
	cfg.OnAlert = func(a backup.Alert) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprintf("%s alert since %s, %d failed, %v, resolved %v", hour(time.Now()), hour(a.Since), a.Failed, a.Err, a.Resolved))
	}
	s := must(backup.NewSchedule(cfg))
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	if err := s.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Run: %v", err)
	}
	return told
}

func same(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("told:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestEveryDrillIsAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := watch(t, backup.ScheduleConfig{Every: day, Drill: func(context.Context) (backup.Report, error) {
			time.Sleep(time.Hour)
			return backup.Report{}, nil
		}}, 50*time.Hour)
		same(t, told, "1 drill, began 0, took 1h0m0s, <nil>", "25 drill, began 24, took 1h0m0s, <nil>", "49 drill, began 48, took 1h0m0s, <nil>")
	})
}

func TestAnAlertComesWhenNoDrillHasSucceededForLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		told := watch(t, backup.ScheduleConfig{Every: day, AlertAfter: 2*day + time.Hour, Repeat: 36 * time.Hour, Drill: func(context.Context) (backup.Report, error) {
			if n++; n > 1 && n < 6 {
				return backup.Report{}, fmt.Errorf("failure %d", n)
			}
			return backup.Report{}, nil
		}}, 143*time.Hour)
		same(t, told,
			"0 drill, began 0, took 0s, <nil>",
			"24 drill, began 24, took 0s, failure 2",
			"48 drill, began 48, took 0s, failure 3",
			"49 alert since 0, 2 failed, failure 3, resolved false",
			"72 drill, began 72, took 0s, failure 4",
			"85 alert since 0, 3 failed, failure 4, resolved false",
			"96 drill, began 96, took 0s, failure 5",
			"120 drill, began 120, took 0s, <nil>",
			"120 alert since 0, 4 failed, failure 5, resolved true")
	})
}

func TestADrillThatHangsRaisesTheAlertToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		told := watch(t, backup.ScheduleConfig{Every: day, Timeout: 40 * day, AlertAfter: 3 * day, Drill: func(ctx context.Context) (backup.Report, error) {
			<-ctx.Done()
			return backup.Report{}, ctx.Err()
		}}, 100*time.Hour)
		same(t, told,
			"72 alert since 0, 0 failed, <nil>, resolved false",
			"96 alert since 0, 0 failed, <nil>, resolved false",
			"100 drill, began 0, took 100h0m0s, context deadline exceeded")
	})
}

func TestADrillIsGivenUpAfterItsTimeoutAndAPanicIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := 0
		told := watch(t, backup.ScheduleConfig{Every: day, Timeout: time.Hour, Drill: func(ctx context.Context) (backup.Report, error) {
			if n++; n == 2 {
				panic("oh")
			}
			<-ctx.Done()
			return backup.Report{}, ctx.Err()
		}}, 30*time.Hour)
		same(t, told, "1 drill, began 0, took 1h0m0s, context deadline exceeded", "1 alert since 0, 1 failed, context deadline exceeded, resolved false",
			"24 drill, began 24, took 0s, backup: the drill panicked: oh", "25 alert since 0, 2 failed, backup: the drill panicked: oh, resolved false")
	})
}

func TestARestartedScheduleGoesOnWhereTheLastOneEnded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		last := time.Now().Add(-20 * time.Hour)
		fail := func(context.Context) (backup.Report, error) { return backup.Report{}, errors.New("no") }
		same(t, watch(t, backup.ScheduleConfig{Every: day, Drill: fail, LastSuccess: last, AlertAfter: 30 * time.Hour}, 12*time.Hour),
			"4 drill, began 4, took 0s, no", "10 alert since -20, 1 failed, no, resolved false")
		// After a long silence both are due at once.
		told := watch(t, backup.ScheduleConfig{Every: day, Drill: fail, LastSuccess: last.Add(-30 * day)}, time.Hour)
		slices.Sort(told)
		if len(told) != 2 || !strings.Contains(told[0]+told[1], "alert since -752") {
			t.Errorf("%q", told)
		}
	})
}

func TestADrillBacksUpAndReadsBack(t *testing.T) {
	dir, out := t.TempDir(), t.TempDir()
	fill(t, dir, 1000)
	l := must(backup.NewLedger(filepath.Join(t.TempDir(), "ledger"), label))
	set := backup.Set{Sources: []backup.Source{{Name: "data", Path: dir}}}
	drill := newSafe(t).Drill(l, out, func(context.Context) (backup.Set, error) { return set, nil })
	for i := range 2 {
		report, err := drill(t.Context())
		known := must(l.Load())
		if err != nil || report.Counter != uint64(i+1) || report.Files != 9 || known.Counter != uint64(i+1) || time.Since(known.Verified) > time.Minute {
			t.Errorf("%+v, %+v, %v", report, known, err)
		}
	}
	check(t, verify(newSafe(t), must(os.ReadFile(filepath.Join(out, "00000002.backup")))))

	// What cannot be read back is no backup, and makes no other one old.
	broken := newSafe(t, func(c *backup.Config) {
		c.CheckCheckpoint = func(context.Context, []byte) error { return errors.New("no") }
	})
	set.Checkpoint = []byte("x")
	if _, err := broken.Drill(l, out, func(context.Context) (backup.Set, error) { return set, nil })(t.Context()); !errors.Is(err, backup.ErrCheckpoint) {
		t.Error(err)
	}
	if known := must(l.Load()); known.Counter != 2 {
		t.Errorf("%+v", known)
	}
	if list := must(os.ReadDir(out)); len(list) != 2 {
		t.Errorf("%v", list)
	}
	none := errors.New("nothing to back up")
	if _, err := drillOf(broken, l, out, none)(t.Context()); !errors.Is(err, none) {
		t.Error(err)
	}
}

func drillOf(s *backup.Safe, l *backup.Ledger, dir string, err error) func(context.Context) (backup.Report, error) {
	return s.Drill(l, dir, func(context.Context) (backup.Set, error) { return backup.Set{}, err })
}

func TestNewScheduleListsEverythingThatIsWrong(t *testing.T) {
	_, err := backup.NewSchedule(backup.ScheduleConfig{Repeat: -1})
	for _, word := range []string{"Every", "Drill", "OnAlert", "Timeout"} {
		if err == nil || !strings.Contains(err.Error(), "ScheduleConfig."+word) {
			t.Errorf("%v does not name %s", err, word)
		}
	}
	for _, s := range []*backup.Schedule{nil, {}} {
		if s.Run(t.Context()) == nil {
			t.Error("the zero Schedule runs")
		}
	}
}

func TestALedgerGivesEachCounterOnceAndRemembersTheHighest(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ledger")
	seen := make(chan uint64, 100)
	done := make(chan struct{})
	for range 4 {
		go func() {
			defer func() { done <- struct{}{} }()
			l := must(backup.NewLedger(path, label))
			for range 25 {
				seen <- must(l.Next(context.Background()))
			}
		}()
	}
	for range 4 {
		<-done
	}
	close(seen)
	all := map[uint64]bool{}
	for n := range seen {
		all[n] = true
	}
	l := must(backup.NewLedger(path, label))
	if e := must(l.Load()); len(all) != 100 || !all[1] || !all[100] || e.Issued != 100 || e.Counter != 0 || !e.Verified.IsZero() {
		t.Errorf("%d counters, %+v", len(all), e)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, err := range []error{l.Note(t.Context(), 50, at), l.Note(t.Context(), 200, at.Add(-time.Hour)), l.Note(t.Context(), 3, time.Time{})} {
		check(t, err)
	}
	if e := must(l.Load()); e.Counter != 200 || !e.Verified.Equal(at) {
		t.Errorf("%+v", e)
	}
	if n := must(l.Next(t.Context())); n != 201 {
		t.Errorf("the next one is %d", n)
	}
	if _, err := backup.NewLedger(path, "other"); err == nil || !strings.Contains(err.Error(), "another label") {
		t.Errorf("of another label: %v", err)
	}
}

func FuzzParseLedger(f *testing.F) {
	f.Add([]byte(`{"format":"mantlet-backup-ledger","version":1,"label":"acme gateway","counter":17,"issued":18,"verified":"2026-01-02T03:04:05Z"}` + "\n"))
	f.Add([]byte(`{"format":"mantlet-backup-ledger","version":1,"label":"acme gateway","counter":0,"issued":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		e, err := backup.ParseLedger(data, label)
		if err == nil && (e.Issued > 1<<62 || e.Counter > e.Issued || !strings.Contains(string(data), `"label":"acme gateway"`)) {
			t.Errorf("%q: %+v", data, e)
		}
	})
}

package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/mantlet-go/mantlet/internal/privatefile"
)

// Drill returns a function for ScheduleConfig.Drill. Each time it asks set what is to be backed up, gives it the next counter of the
// ledger, writes it to a file in dir named like 00000017.backup, reads that back with Verify, and notes in the ledger that it did. A backup
// that could not be verified is removed. The Report of one that failed has its Counter. dir must not be in what is backed up. Those that
// grow old are yours to remove.
func (s *Safe) Drill(l *Ledger, dir string, set func(ctx context.Context) (Set, error)) func(ctx context.Context) (Report, error) {
	return func(ctx context.Context) (Report, error) {
		next, err := set(ctx)
		if err != nil {
			return Report{}, err
		}
		if next.Counter, err = l.Next(ctx); err != nil {
			return Report{}, err
		}
		name := filepath.Join(dir, fmt.Sprintf("%08d.backup", next.Counter))
		if _, err := s.WriteFile(ctx, name, next); err != nil {
			return Report{Label: s.cfg.Label, Counter: next.Counter}, err
		}
		report, err := s.verifyFile(ctx, name, Guard{Newest: next.Counter})
		if err != nil {
			report.Label, report.Counter = s.cfg.Label, next.Counter
			return report, errors.Join(err, os.Remove(name), privatefile.SyncDir(dir))
		}
		return report, l.Note(ctx, next.Counter, time.Now())
	}
}

func (s *Safe) verifyFile(ctx context.Context, name string, g Guard) (Report, error) {
	f, err := os.Open(name)
	if err != nil {
		return Report{}, err
	}
	defer f.Close()
	return s.Verify(ctx, f, g)
}

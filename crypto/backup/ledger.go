package backup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/mantlet-go/mantlet/crypto/internal/canonical"
	"github.com/mantlet-go/mantlet/internal/privatefile"
)

// Ledger remembers the newest backup of a label in a file of mode 0600, so that an older one is known for what it is. Keep it where the
// backups are not: whoever can put an old backup in the place of the newest one must not be able to put an old ledger there too. It is
// safe for concurrent use, also by several processes. Use NewLedger.
type Ledger struct{ path, label string }

// Entry is what a Ledger remembers.
type Entry struct {
	// Counter is that of the newest backup: the highest one that was noted. Zero means none.
	Counter uint64
	// Issued is the highest one that was given out. A backup under it may have failed.
	Issued uint64
	// Verified is when a drill has succeeded last. Zero means never.
	Verified time.Time
}

type ledgerFile struct {
	Format   string    `json:"format"`
	Version  int       `json:"version"`
	Label    string    `json:"label"`
	Counter  uint64    `json:"counter"`
	Issued   uint64    `json:"issued"`
	Verified time.Time `json:"verified,omitzero"`
}

// NewLedger returns the ledger of a label in a file. A file that does not exist is a ledger that remembers nothing; its directory must exist.
func NewLedger(path, label string) (*Ledger, error) {
	if path == "" || label == "" {
		return nil, errors.New("backup: a ledger needs a path and a label")
	}
	l := &Ledger{path, label}
	if _, err := l.Load(); err != nil {
		return nil, err
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || !info.IsDir() {
		if err == nil {
			err = errors.New("it is not in a directory")
		}
		return nil, l.about(err)
	}
	return l, nil
}

// Load returns what is remembered.
func (l *Ledger) Load() (Entry, error) {
	if l == nil || l.path == "" {
		return Entry{}, errors.New("backup: Ledger was not made by NewLedger")
	}
	data, _, err := privatefile.Read(l.path, 4096, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return Entry{}, nil
	}
	if err != nil {
		return Entry{}, l.about(err)
	}
	e, err := parseLedger(data, l.label)
	if err != nil {
		return Entry{}, l.about(err)
	}
	return e, nil
}

func (l *Ledger) about(err error) error { return fmt.Errorf("backup: ledger %s: %w", l.path, err) }

func parseLedger(data []byte, label string) (Entry, error) {
	var f ledgerFile
	if err := canonical.Unmarshal(bytes.TrimSuffix(data, []byte("\n")), &f); err != nil {
		return Entry{}, fmt.Errorf("it %w", err)
	}
	if f.Format != "mantlet-backup-ledger" || f.Version != 1 || f.Counter > f.Issued || f.Issued > maxCount || !f.Verified.IsZero() && !sane(f.Verified) {
		return Entry{}, errors.New("it is not of format mantlet-backup-ledger version 1")
	}
	if f.Label != label {
		return Entry{}, fmt.Errorf("it is that of another label, %q", clip(f.Label))
	}
	return Entry{f.Counter, f.Issued, f.Verified}, nil
}

// Next gives out the counter of a new backup. Nobody gets the same one. Note it when the backup is made: one that failed makes no other
// one old.
func (l *Ledger) Next(ctx context.Context) (uint64, error) {
	e, err := l.change(ctx, func(e *Entry) { e.Issued++ })
	return e.Issued, err
}

// Note remembers the counter of a backup that was made, verified or restored, if it is a higher one, and the time of a drill that succeeded, if
// verified is not zero and later.
func (l *Ledger) Note(ctx context.Context, counter uint64, verified time.Time) error {
	_, err := l.change(ctx, func(e *Entry) {
		e.Counter = max(e.Counter, counter)
		e.Issued = max(e.Issued, counter)
		if !verified.IsZero() && stamp(verified).After(e.Verified) {
			e.Verified = stamp(verified)
		}
	})
	return err
}

func (l *Ledger) change(ctx context.Context, f func(*Entry)) (Entry, error) {
	if l == nil || l.path == "" {
		return Entry{}, errors.New("backup: Ledger was not made by NewLedger")
	}
	unlock, err := privatefile.Lock(ctx, l.path+".lock")
	if err != nil {
		return Entry{}, l.about(err)
	}
	defer unlock()
	e, err := l.Load()
	if err != nil {
		return Entry{}, err
	}
	before := e
	if f(&e); e == before {
		return e, nil
	}
	if e.Issued > maxCount {
		return Entry{}, l.about(errors.New("its counter is at the end"))
	}
	data, err := json.Marshal(ledgerFile{"mantlet-backup-ledger", 1, l.label, e.Counter, e.Issued, e.Verified})
	if err != nil {
		return Entry{}, l.about(err)
	}
	if err := privatefile.Replace(l.path, append(data, '\n')); err != nil {
		return Entry{}, l.about(err)
	}
	return e, nil
}

package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/crypto/backup"
	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/crypto/shred"
	"github.com/mantlet-go/mantlet/internal/privatefile"
	"github.com/mantlet-go/mantlet/internal/terminal"
)

// safe opens the rings and the ledger.
func (c *call) safe() (s *backup.Safe, ledger *backup.Ledger, err error) {
	if c.label == "" {
		c.label = c.cfg.Getenv("MANTLET_LABEL")
	}
	if c.ledger == "" {
		c.ledger = c.cfg.Getenv("MANTLET_LEDGER")
	}
	if c.label == "" {
		return nil, nil, wrongUse("%s needs -label TEXT", c.name)
	}
	load := loadRing
	if c.name == "backup" {
		load = newRing
	}
	ring, err := load(c.ring)
	if err != nil {
		return nil, nil, err
	}
	cfg := backup.Config{Ring: ring, Label: c.label, CheckCheckpoint: c.cfg.CheckCheckpoint, Workers: c.workers, Progress: c.bar.at}
	for _, name := range c.needs {
		needed, err := loadRing(name)
		if err != nil {
			return nil, nil, err
		}
		cfg.Needs = append(cfg.Needs, needed)
	}
	if c.list && !c.json {
		cfg.Each = func(f backup.File) {
			c.bar.clear()
			kind := "-"
			if f.Dir {
				kind = "d"
			}
			fmt.Fprintf(c.cfg.Stdout, "%s%s %12d  %s\n", kind, f.Mode.String()[1:], f.Size, terminal.Clean(f.Name))
		}
	}
	if c.ledger != "" {
		if ledger, err = backup.NewLedger(c.ledger, c.label); err != nil {
			return nil, nil, err
		}
	}
	if s, err = backup.New(cfg); err != nil {
		return nil, nil, usageError{err}
	}
	return s, ledger, nil
}

// matcher matches the whole name in the backup, or its last part.
func matcher(globs []string) (func(string) bool, error) {
	for _, g := range globs {
		if _, err := path.Match(g, ""); err != nil {
			return nil, wrongUse("%q is no pattern", g)
		}
	}
	return func(name string) bool {
		return slices.ContainsFunc(globs, func(g string) bool {
			whole, _ := path.Match(g, name)
			last, _ := path.Match(g, path.Base(name))
			return whole || last
		})
	}, nil
}

func (c *call) backup(ctx context.Context) error {
	if c.out == "" || c.out == "-" {
		return wrongUse("backup needs -out FILE")
	}
	set := backup.Set{Counter: c.counter}
	var err error
	if set.Skip, err = matcher(c.skips); err != nil {
		return err
	}
	if set.AppendOnly, err = matcher(c.appends); err != nil {
		return err
	}
	for _, arg := range c.args {
		name, from, ok := strings.Cut(arg, "=")
		if !ok || name == "" || from == "" {
			return wrongUse("%q is not NAME=PATH", arg)
		}
		if slices.ContainsFunc(set.Sources, func(src backup.Source) bool { return src.Name == name }) {
			return wrongUse("the name %s is given twice", name)
		}
		set.Sources = append(set.Sources, backup.Source{Name: name, Path: from})
	}
	if len(set.Sources) == 0 {
		return wrongUse("backup needs NAME=PATH: what to back up, and what to call it")
	}
	s, ledger, err := c.safe()
	if err != nil {
		return err
	}
	if ledger == nil && set.Counter == 0 {
		return wrongUse("backup needs -ledger FILE or -counter N: they say that it is newer than another one")
	}
	if ledger != nil && set.Counter != 0 {
		return wrongUse("-ledger (or the ledger of the environment) and -counter both say which backup it is: only one of them")
	}
	if c.checkpoint != "" {
		if set.Checkpoint, err = os.ReadFile(c.checkpoint); err != nil {
			return err
		}
	}
	first := set
	first.Counter = max(first.Counter, 1)
	if err := s.Check(first); err != nil { // before a counter is used up
		return wrongUse("NAME=PATH: %w", err)
	}
	if _, err := os.Lstat(c.out); err == nil {
		return fmt.Errorf("%w: %s", backup.ErrExists, c.out)
	}
	if ledger != nil {
		if set.Counter, err = ledger.Next(ctx); err != nil {
			return err
		}
	}
	c.begin(total(set))
	report, err := s.WriteFile(ctx, c.out, set)
	if err != nil {
		return err
	}
	if ledger != nil {
		if err := ledger.Note(ctx, report.Counter, time.Time{}); err != nil {
			return err
		}
	}
	return c.report(report)
}

// total is about how many bytes there are to back up, for the bar.
func total(set backup.Set) (sum int64) {
	for _, src := range set.Sources {
		_ = filepath.WalkDir(src.Path, func(_ string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				if info, err := d.Info(); err == nil {
					sum += info.Size()
				}
			}
			return nil
		})
	}
	return sum
}

// guarded opens a backup, and finds out what is known of others.
func (c *call) guarded() (s *backup.Safe, ledger *backup.Ledger, f *os.File, g backup.Guard, err error) {
	if len(c.args) != 1 {
		return nil, nil, nil, g, wrongUse("%s needs the backup's FILE", c.name)
	}
	if s, ledger, err = c.safe(); err != nil {
		return nil, nil, nil, g, err
	}
	g = backup.Guard{Newest: c.newest, AllowRollback: c.rollback}
	if ledger != nil {
		if _, err := os.Lstat(c.ledger); err != nil { // a misspelled one would know of no backup
			return nil, nil, nil, g, fmt.Errorf("ledger: %w; -newest N says what is known without one", err)
		}
		known, err := ledger.Load()
		if err != nil {
			return nil, nil, nil, g, err
		}
		g.Newest = max(g.Newest, known.Counter)
	}
	if g.Newest == 0 {
		c.say("vault: without -ledger or -newest an old backup cannot be told from the newest one.")
	}
	if f, err = os.Open(c.args[0]); err != nil {
		return nil, nil, nil, g, err
	}
	if info, err := f.Stat(); err == nil {
		c.begin(info.Size())
	}
	return s, ledger, f, g, nil
}

func (c *call) verify(ctx context.Context) error {
	s, ledger, f, guard, err := c.guarded()
	if err != nil {
		return err
	}
	defer f.Close()
	report, err := s.Verify(ctx, f, guard)
	if err != nil {
		return c.failed(report, err)
	}
	if ledger != nil && !report.RolledBack { // an old one that is whole says nothing of the newest
		if err := ledger.Note(ctx, report.Counter, time.Now()); err != nil {
			return err
		}
	}
	return c.report(report)
}

func (c *call) restoreBackup(ctx context.Context) error {
	if c.to == "" {
		return wrongUse("restore needs -to DIR")
	}
	target := backup.Target{Dir: c.to, Replace: c.replace, InsecureSkipTombstones: c.skipTombstones}
	var err error
	if target.Tombstones, err = c.readTombstones(); err != nil {
		return err
	}
	for _, dir := range c.live {
		store, err := shred.NewFileStore(shred.FileConfig{Dir: dir})
		if err != nil {
			return err
		}
		target.Live = append(target.Live, store)
	}
	s, ledger, f, guard, err := c.guarded()
	if err != nil {
		return err
	}
	defer f.Close()
	target.Guard = guard
	report, err := s.Restore(ctx, f, target)
	if err != nil {
		return c.failed(report, err)
	}
	if ledger != nil {
		if err := ledger.Note(ctx, report.Counter, time.Time{}); err != nil {
			return err
		}
	}
	return c.report(report)
}

// readTombstones reads those of an audit log, and believes none that was not made with the alias key.
func (c *call) readTombstones() (all []shred.Tombstone, err error) {
	if (c.tombstones == "") != (c.aliasKey == "") {
		return nil, wrongUse("-tombstones and -alias-key go together")
	}
	if c.tombstones == "" {
		return nil, nil
	}
	text, _, err := privatefile.Read(c.aliasKey, 1000, nil)
	if err != nil {
		return nil, fmt.Errorf("alias key %s: %w", c.aliasKey, err)
	}
	key, err := seal.ParseKey(strings.TrimSpace(string(text)))
	if err != nil {
		return nil, fmt.Errorf("alias key %s: %w", c.aliasKey, err)
	}
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: seal.GenerateKey(), State: seal.Primary}}}) // opens nothing
	if err != nil {
		return nil, err
	}
	subjects, err := shred.New(shred.Config{Store: shred.NewMemoryStore(), Ring: ring, AliasKey: key})
	if err != nil {
		return nil, err
	}
	f, err := os.Open(c.tombstones)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all = []shred.Tombstone{} // of an empty file too: it says that there are none
	lines := bufio.NewScanner(f)
	for n := 1; lines.Scan(); n++ {
		if len(lines.Bytes()) == 0 {
			continue
		}
		t, err := shred.ParseTombstone(lines.Bytes())
		if err == nil {
			err = subjects.Check(t)
		}
		if err != nil {
			if !errors.Is(err, shred.ErrTombstone) {
				err = fmt.Errorf("%w: %w", shred.ErrTombstone, err)
			}
			return nil, fmt.Errorf("%s, line %d: %w", c.tombstones, n, err)
		}
		all = append(all, t)
	}
	return all, lines.Err()
}

// reportView is a report as -json shows it.
type reportView struct {
	backup.Report
	Failures []failureView `json:"failures"`
}

type failureView struct {
	Kind string `json:"kind"`
	Name string `json:"name,omitempty"`
	Text string `json:"text"`
}

// failed says in JSON what is wrong with a backup. For people it is on standard error.
func (c *call) failed(r backup.Report, err error) error {
	if name := c.args[0]; errors.Is(err, backup.ErrDecrypt) {
		err = fmt.Errorf("%s is no backup of the label %q, or was changed or damaged: %w", name, c.label, err)
	} else if !errors.Is(err, backup.ErrExists) && !errors.Is(err, backup.ErrTombstones) {
		err = fmt.Errorf("%s: %w", name, err)
	}
	if failures := failuresIn(err); c.json && len(failures) > 0 {
		c.bar.clear()
		return errors.Join(err, c.printJSON(reportView{r, failures}))
	}
	return err
}

func failuresIn(err error) (all []failureView) {
	if f, ok := err.(*backup.Failure); ok {
		return []failureView{{kindOf(f.Kind), f.Name, f.Error()}}
	}
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			all = append(all, failuresIn(err)...)
		}
	case interface{ Unwrap() error }:
		all = failuresIn(e.Unwrap())
	}
	return all
}

func count(n int64, one, many string) string {
	if n == 1 {
		many = one
	}
	return fmt.Sprint(n, " ", many)
}

func (c *call) report(r backup.Report) error {
	c.bar.clear()
	if len(r.Unavailable) > 0 {
		c.say("vault: what was restored needs keys that are in no ring here: %v", r.Unavailable)
	}
	if len(r.Retired) > 0 {
		c.say("vault: keys that were there when the backup was made are retired or destroyed: %v. What is under them does not open.", r.Retired)
	}
	if len(r.Vanished) > 0 {
		c.say("vault: gone before it was read, and not in the backup: %s", terminal.Clean(strings.Join(r.Vanished, ", ")))
	}
	for _, text := range r.Unburied {
		c.say("vault: who was shredded since the backup may be alive again in what was restored: %s", terminal.Clean(text))
	}
	if r.Checkpoint && !r.CheckpointChecked && c.name != "backup" {
		c.say("vault: the backup has a checkpoint, and this vault cannot check it against the audit log.")
	}
	if r.RolledBack {
		c.say("vault: the backup is older than the newest one, as allowed.")
	}
	if c.json {
		return c.printJSON(reportView{r, []failureView{}})
	}
	rows := [][]string{
		{"label", r.Label}, {"counter", fmt.Sprint(r.Counter)}, {"time", when(r.Time)}, {"key", r.Key.String()},
		{"content", fmt.Sprintf("%s, %s, %s", count(r.Files, "file", "files"), count(r.Dirs, "directory", "directories"), size(r.Bytes))},
		{"keys it needs", strings.Trim(fmt.Sprint(r.Keys), "[]")},
	}
	if r.Applied > 0 {
		rows = append(rows, []string{"shredded again", count(int64(r.Applied), "subject", "subjects")})
	}
	if r.Previous != "" {
		rows = append(rows, []string{"replaced", r.Previous})
	}
	return terminal.Table(c.cfg.Stdout, rows)
}

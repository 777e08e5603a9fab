package cli

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

func (c *call) printJSON(v any) error {
	c.printed = true
	e := json.NewEncoder(c.cfg.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

func (c *call) keygen(ctx context.Context) error {
	if c.print {
		if c.stdin || c.json {
			return wrongUse("-print goes with nothing else")
		}
		_, err := fmt.Fprintln(c.cfg.Stdout, seal.GenerateKey().Reveal())
		return err
	}
	key, created := seal.GenerateKey(), time.Now().UTC().Truncate(time.Second)
	if c.stdin {
		text, err := io.ReadAll(io.LimitReader(c.cfg.Stdin, 1000))
		if err == nil {
			key, err = seal.ParseKey(strings.TrimSpace(string(text)))
		}
		if err != nil {
			return wrongUse("standard input: %w", err)
		}
		created = time.Time{} // it may be old
	}
	if err := createRing(c.ring, key, created); err != nil {
		return err
	}
	if !c.stdin {
		c.say("%s has the only copy of the key: keep another one where the backups are not.", terminal.Clean(c.ring))
	}
	return c.keys(ctx)
}

type keyView struct {
	ID      seal.ID   `json:"id"`
	State   string    `json:"state"`
	Created time.Time `json:"created,omitzero"`
}

func (c *call) keys(context.Context) error {
	ring, err := loadRing(c.ring)
	if err != nil {
		return err
	}
	views := []keyView{}
	rows := [][]string{{"KEY", "STATE", "CREATED"}}
	infos := ring.Keys()
	slices.SortStableFunc(infos, func(a, b seal.KeyInfo) int { return a.Created.Compare(b.Created) })
	for _, k := range infos {
		views = append(views, keyView{k.ID, k.State.String(), k.Created})
		rows = append(rows, []string{k.ID.String(), k.State.String(), when(k.Created)})
	}
	if c.json {
		return c.printJSON(views)
	}
	return terminal.Table(c.cfg.Stdout, rows)
}

// input opens the file that was named, or standard input.
func (c *call) input(ctx context.Context) (r io.Reader, size int64, done func() error, err error) {
	if len(c.args) == 0 || c.args[0] == "-" {
		return &patient{ctx: ctx, r: c.cfg.Stdin}, 0, func() error { return nil }, nil
	}
	f, err := os.Open(c.args[0])
	if err != nil {
		return nil, 0, nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file", c.args[0])
	}
	if err != nil {
		return nil, 0, nil, errors.Join(err, f.Close())
	}
	return f, info.Size(), f.Close, nil
}

// patient is a reader whose Read ends with a context, also when nobody types anything.
type patient struct {
	ctx context.Context
	r   io.Reader
	buf []byte
	got chan read
}

type read struct {
	n   int
	err error
}

func (p *patient) Read(b []byte) (int, error) {
	if p.got == nil {
		p.got, p.buf = make(chan read, 1), make([]byte, 64<<10)
	}
	buf := p.buf[:min(len(b), len(p.buf))] // not b, which the caller may use again when Read has ended early
	go func() {
		n, err := p.r.Read(buf)
		p.got <- read{n, err}
	}()
	select {
	case got := <-p.got:
		return copy(b, buf[:got.n]), got.err
	case <-p.ctx.Done():
		p.r = ended{p.ctx} // that goroutine may read on
		return 0, p.ctx.Err()
	}
}

type ended struct{ ctx context.Context }

func (e ended) Read([]byte) (int, error) { return 0, e.ctx.Err() }

// output writes a file that is there only when all of it is. If it is to replace one of which old tells, it gets its mode and owner.
func (c *call) output(name string, replace bool, old fs.FileInfo, write func(io.Writer) error) (err error) {
	if name == "-" {
		return write(c.cfg.Stdout)
	}
	if _, err := os.Lstat(name); err == nil && !replace {
		return fmt.Errorf("%s: %w; -force replaces it", name, fs.ErrExist)
	}
	dir, base := filepath.Split(name)
	if dir == "" {
		dir = "."
	}
	f, err := os.CreateTemp(dir, "."+base+".*.tmp") // mode 0600
	if err != nil {
		return err
	}
	defer func() {
		if e := os.Remove(f.Name()); e != nil && !errors.Is(e, fs.ErrNotExist) {
			err = errors.Join(err, e)
		}
	}()
	if err = write(f); err == nil && old != nil {
		if err = own(f, old); err == nil { // before the mode, which it may take bits from
			err = f.Chmod(old.Mode().Perm())
		}
	}
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if replace {
		err = os.Rename(f.Name(), name)
	} else {
		err = os.Link(f.Name(), name) // replaces nothing that has come meanwhile
	}
	if err != nil {
		return err
	}
	return privatefile.SyncDir(dir)
}

// move copies what r has to w, with the bar.
func (c *call) move(ctx context.Context, w io.Writer, r io.Reader) error {
	p := &passing{r: r, tell: func(done int64) error {
		c.bar.at(done)
		return ctx.Err()
	}}
	_, err := io.CopyBuffer(w, struct{ io.Reader }{p}, make([]byte, 1<<20))
	c.bar.at(p.done)
	return err
}

func seals(ctx context.Context, c *call, ring *seal.Keyring, r io.Reader) func(io.Writer) error {
	return func(w io.Writer) error {
		stream, err := ring.NewParallelWriter(w, c.place, c.workers)
		if err != nil {
			return err
		}
		if err := c.move(ctx, struct{ io.Writer }{stream}, r); err != nil {
			return err
		}
		return stream.Close()
	}
}

type fileView struct {
	In  string  `json:"in"`
	Out string  `json:"out"`
	Key seal.ID `json:"key"`
}

func (c *call) encrypt(ctx context.Context) error {
	if c.out == "" {
		c.out = "-"
	}
	if c.json && c.out == "-" {
		return wrongUse("-json and the file itself cannot both be on standard output")
	}
	if f, ok := c.cfg.Stdout.(*os.File); ok && c.out == "-" && isTerminal(f) {
		return wrongUse("what is encrypted is nothing for a terminal; -out FILE writes it to a file")
	}
	ring, err := newRing(c.ring)
	if err != nil {
		return err
	}
	in, size, done, err := c.input(ctx)
	if err != nil {
		return err
	}
	c.begin(size)
	err = c.output(c.out, c.force, nil, seals(ctx, c, ring, in))
	if err = errors.Join(err, done()); err != nil || !c.json {
		return err
	}
	return c.printJSON(fileView{c.from(), c.out, ring.Primary()})
}

func (c *call) from() string {
	if len(c.args) == 0 {
		return "-"
	}
	return c.args[0]
}

func (c *call) decrypt(ctx context.Context) error {
	if c.out == "" {
		return wrongUse("decrypt needs -out FILE; -out - is standard output")
	}
	if c.json && c.out == "-" {
		return wrongUse("-json and the file itself cannot both be on standard output")
	}
	ring, err := loadRing(c.ring)
	if err != nil {
		return err
	}
	in, size, done, err := c.input(ctx)
	if err != nil {
		return err
	}
	c.begin(size)
	head := bufio.NewReaderSize(in, 1<<20)
	start, _ := head.Peek(5)
	key, _ := seal.IDOf(start)
	err = c.output(c.out, c.force, nil, func(w io.Writer) error {
		stream, err := ring.NewParallelReader(head, c.place, c.workers)
		if err == nil {
			err = c.move(ctx, w, stream)
		}
		return explain(c.from(), err)
	})
	if err = errors.Join(err, done()); err != nil || !c.json {
		return err
	}
	return c.printJSON(fileView{c.from(), c.out, key})
}

func (c *call) rotate(ctx context.Context) error {
	var zero seal.ID
	steps, change := 0, func(*seal.Keyring) error { return nil }
	fresh := seal.GenerateKey()
	if c.add {
		steps, change = steps+1, func(k *seal.Keyring) error { return k.Add(fresh, time.Now().UTC().Truncate(time.Second)) }
	}
	for _, s := range []struct {
		id seal.ID
		do func(*seal.Keyring, seal.ID) error
	}{{c.promote, (*seal.Keyring).Promote}, {c.retire, (*seal.Keyring).Retire}, {c.restore, (*seal.Keyring).Restore}, {c.destroy, (*seal.Keyring).Destroy}} {
		if s.id != zero {
			steps, change = steps+1, func(k *seal.Keyring) error { return s.do(k, s.id) }
		}
	}
	if len(c.args) > 0 {
		steps++
	}
	if steps != 1 {
		return wrongUse("rotate makes one step: -add, -promote ID, FILE ..., -retire ID, -restore ID or -destroy ID")
	}
	if len(c.args) > 0 {
		return c.reseal(ctx)
	}
	if err := seal.UpdateKeyringFile(ctx, c.ring, change); err != nil {
		return err
	}
	if c.add {
		c.say("The new key only decrypts. When every machine has this ring: vault rotate -promote %v", fresh.ID())
	}
	return c.keys(ctx)
}

// explain says what it may mean that a file does not decrypt.
func explain(name string, err error) error {
	if errors.Is(err, seal.ErrInvalid) {
		return fmt.Errorf("%s was changed or cut, is of another -purpose, -tenant, -subject or -path, or is no encrypted file: %w", name, err)
	}
	if key := (*seal.KeyError)(nil); errors.As(err, &key) || errors.Is(err, seal.ErrTruncated) {
		return fmt.Errorf("%s: %w", name, err)
	}
	return err
}

type resealView struct {
	File string  `json:"file"`
	From seal.ID `json:"from"`
	To   seal.ID `json:"to"`
}

// reseal encrypts files anew. Each is replaced when all of it is written; the others are done although one fails.
func (c *call) reseal(ctx context.Context) error {
	ring, err := loadRing(c.ring)
	if err != nil {
		return err
	}
	views := []resealView{}
	var errs []error
	for _, name := range c.args {
		v, err := c.resealOne(ctx, ring, name)
		if err != nil {
			if err = explain(name, err); errors.Is(err, seal.ErrInvalid) {
				err = fmt.Errorf("%w (it may be a backup: those are not rotated, make a new one)", err)
			}
			errs = append(errs, err)
			continue
		}
		views = append(views, v)
	}
	c.bar.clear()
	if c.json {
		err = c.printJSON(views)
	} else {
		rows := [][]string{{"FILE", "FROM", "TO"}}
		for _, v := range views {
			rows = append(rows, []string{v.File, v.From.String(), v.To.String()})
		}
		err = terminal.Table(c.cfg.Stdout, rows)
	}
	return errors.Join(append(errs, err)...)
}

func (c *call) resealOne(ctx context.Context, ring *seal.Keyring, name string) (v resealView, err error) {
	// Of a link, only the link would be replaced, and the file that it leads to left under the old key.
	at, err := os.Lstat(name)
	if err != nil {
		return v, err
	}
	if !at.Mode().IsRegular() {
		return v, refused(fmt.Errorf("%s is not a regular file but %v; name the file itself", name, at.Mode()))
	}
	if n := links(at); n > 1 {
		return v, refused(fmt.Errorf("%s has %d names (hard links), and the others would stay under the old key", name, n))
	}
	f, err := os.Open(name)
	if err != nil {
		return v, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return v, err
	}
	if !os.SameFile(at, info) {
		return v, fmt.Errorf("%s was replaced meanwhile", name)
	}
	in := bufio.NewReaderSize(f, 1<<20)
	head, _ := in.Peek(5)
	v = resealView{File: name, To: ring.Primary()}
	v.From, _ = seal.IDOf(head)
	c.begin(info.Size())
	stream, err := ring.NewParallelReader(in, c.place, c.workers)
	if err != nil {
		return v, err
	}
	return v, c.output(name, true, info, seals(ctx, c, ring, stream))
}

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

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
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
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

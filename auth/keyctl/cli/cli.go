package cli

import (
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/internal/terminal"
)

// The exit codes of [Main].
const (
	OK = iota
	Failed
	Usage
	NotFound
	Refused
	Findings
)

// Opener opens the store at an address, the part of -store behind "SCHEME:". create is true for the command init, which may make
// what is not there; otherwise a store that is not there is an error. close is called when the command is done; nil for nothing to do.
type Opener func(ctx context.Context, address string, create bool) (store apikey.Store, close func() error, err error)

// Config is what [Main] takes from its program.
type Config struct {
	// Openers are by scheme, which -h lists. "file" is there in any case, unless replaced. An error they return is printed, so it should name no
	// password.
	Openers map[string]Opener
	// Stdin, Stdout and Stderr are the streams. Nil means those of the process.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Getenv returns an environment variable. Nil means os.Getenv.
	Getenv func(string) string
}

// Main runs one command and returns its exit code. args are without the program's name.
func Main(ctx context.Context, cfg Config, args []string) int {
	if cfg.Stdin == nil {
		cfg.Stdin = os.Stdin
	}
	if cfg.Stdout == nil {
		cfg.Stdout = os.Stdout
	}
	if cfg.Stderr == nil {
		cfg.Stderr = os.Stderr
	}
	if cfg.Getenv == nil {
		cfg.Getenv = os.Getenv
	}
	c := &call{cfg: cfg}
	err := c.run(ctx, args)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return OK
	case errors.Is(err, errFindings):
		return Findings
	}
	c.say("keyctl: %s", terminal.Clean(err.Error()))
	var wrong usageError
	switch {
	case errors.As(err, &wrong), errors.Is(err, apikey.ErrSpec):
		return Usage
	case errors.Is(err, apikey.ErrNotFound):
		return NotFound
	case errors.Is(err, apikey.ErrPolicy), errors.Is(err, apikey.ErrState), errors.Is(err, apikey.ErrWeak), errors.Is(err, apikey.ErrConflict),
		errors.Is(err, apikey.ErrNotKey), errors.Is(err, apikey.ErrSticky), errors.Is(err, apikey.ErrNoUses), errors.Is(err, errHead):
		return Refused
	}
	return Failed
}

// usageError is a fault of whoever typed the command.
type usageError struct{ error }

func wrongUse(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

var (
	errFindings = errors.New("there are findings")
	errHead     = errors.New("no server of this store would take such a key")
)

// call is one command with its flags.
type call struct {
	cfg                       Config
	name                      string
	store, prefix, env        string
	newPrefix, json, quiet    bool
	spec                      apikey.Spec
	policy                    apikey.Policy
	rotation                  apikey.Rotation
	foreign                   apikey.Foreign
	algorithm, client, reason string
	hashed, check             bool
	dormant, age              time.Duration
	ids                       []string
	twice                     string // a flag that was given twice
	usesUnknown               bool   // and it was said
	many                      bool   // keys were named in a way in which it may be several
	piped                     bool   // on standard input, where a word may be anything

	now   time.Time
	keys  *apikey.Manager
	close func() error
}

// command is what a name stands for.
type command struct {
	name, args, about string
	ids               int // how many it takes, at most
	flags             func(c *call, f *flag.FlagSet)
	run               func(c *call, ctx context.Context) error
}

var commands = [...]command{
	{name: "init", about: "make the store", run: func(*call, context.Context) error { return nil }},
	{name: "create", args: "-client NAME", about: "make a key and show it, this once", flags: createFlags, run: (*call).create},
	{name: "list", about: "all keys, oldest first; -client NAME: those of a client", flags: clientFlag, run: (*call).list},
	{name: "show", args: "ID", about: "one key", ids: 1, run: (*call).show},
	{name: "rotate", args: "ID", about: "make a successor and REVOKE the old key now; -overlap 24h: the old key works for a day more", ids: 1, flags: rotateFlags, run: (*call).rotate},
	{name: "revoke", args: "ID ...", about: "withdraw keys for good; -client NAME: all keys of a client", ids: math.MaxInt, flags: revokeFlags, run: (*call).revoke},
	{name: "disable", args: "ID ...", about: "withdraw keys until enable", ids: math.MaxInt, flags: func(c *call, f *flag.FlagSet) { f.StringVar(&c.reason, "reason", "", "`TEXT`|why") }, run: (*call).disable},
	{name: "enable", args: "ID ...", about: "make disabled keys work again", ids: math.MaxInt, run: func(c *call, ctx context.Context) error { return c.step(ctx, c.keys.Enable) }},
	{name: "import", args: "-client NAME", about: "take over a key of another system, read from standard input", flags: importFlags, run: (*call).adopt},
	{name: "sweep", about: "mark expired keys; -dormant 90d disables unused ones, if the servers record uses", flags: sweepFlags, run: (*call).sweep},
	{name: "review", about: "what somebody should look at; -check exits 5 if there is something", flags: reviewFlags, run: (*call).review},
}

func (c *call) run(ctx context.Context, args []string) (err error) {
	if len(args) == 0 {
		return wrongUse("no command; keyctl -h lists them")
	}
	if slices.Contains([]string{"-h", "-help", "--help", "help"}, args[0]) {
		c.help()
		return flag.ErrHelp
	}
	i := slices.IndexFunc(commands[:], func(cmd command) bool { return cmd.name == args[0] })
	if i < 0 {
		return wrongUse("%.10q is no command; keyctl -h lists them", args[0]) // not more of it: it may be a key
	}
	cmd := &commands[i]
	c.name, c.now = cmd.name, time.Now()
	if err := c.parse(cmd, args[1:]); err != nil {
		return err
	}
	if err := c.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.done(ctx)) }()
	if err := c.resolve(ctx); err != nil {
		return err
	}
	return cmd.run(c, ctx)
}

// parse reads flags and ids in any order.
func (c *call) parse(cmd *command, args []string) error {
	f := flag.NewFlagSet(c.name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&c.store, "store", "", "`STORE`|where the keys are: "+c.stores())
	f.StringVar(&c.prefix, "prefix", "", "`P`|the server's Config.Prefix, where the store does not tell")
	f.StringVar(&c.env, "env", "", "`E`|the server's Config.Env, where the store does not tell")
	f.BoolVar(&c.json, "json", false, "print JSON")
	if cmd.flags != nil {
		cmd.flags(c, f)
	}
	f.VisitAll(func(x *flag.Flag) {
		if x.Name != "label" {
			x.Value = &once{Value: x.Value, name: x.Name, twice: &c.twice}
		}
	})
	var named []string
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				c.helpOn(cmd, f)
				return err
			}
			return wrongUse("%w; see keyctl %s -h", err, c.name)
		}
		if args = f.Args(); len(args) == 0 {
			break
		}
		named, args = append(named, args[0]), args[1:]
	}
	if c.twice != "" {
		return wrongUse("-%s is given twice; see keyctl %s -h", c.twice, c.name)
	}
	if err := c.environment(f); err != nil {
		return err
	}
	if c.quiet && c.json {
		return wrongUse("-quiet and -json are two forms; say one")
	}
	switch made := c.name == "create" || c.name == "import"; {
	case cmd.ids == 0 && len(named) > 0 && made:
		return wrongUse("%s takes no argument; the client goes into -client", c.name)
	case cmd.ids == 0 && len(named) > 0:
		return wrongUse("%s takes no argument", c.name)
	case made && c.spec.ClientID == "":
		return wrongUse("%s needs -client NAME", c.name)
	case c.name == "import" && (c.foreign.Name == "" || c.foreign.Prefix == "" || c.foreign.MinLen == 0 || c.foreign.MaxLen == 0):
		return wrongUse("import needs -format, -match, -min and -max")
	}
	return c.expand(cmd, named)
}

// variables are the flags that also have an environment variable.
var variables = [...]string{"store", "prefix", "env", "require-expiry", "max-lifetime", "max-overlap", "max-keys"}

func variable(name string) string {
	return "KEYCTL_" + strings.ToUpper(strings.ReplaceAll(name, "-", "_"))
}

// environment sets what was not given. It comes after the flags, so that help prints no password as a default.
func (c *call) environment(f *flag.FlagSet) error {
	given := map[string]bool{}
	f.Visit(func(x *flag.Flag) { given[x.Name] = true })
	for _, name := range variables {
		value := c.cfg.Getenv(variable(name))
		if value == "" || given[name] || f.Lookup(name) == nil {
			continue
		}
		if err := f.Set(name, value); err != nil {
			return wrongUse("%s=%q: %w", variable(name), value, err)
		}
	}
	return nil
}

func (c *call) open(ctx context.Context) (err error) {
	scheme, address, ok := strings.Cut(c.store, ":")
	if !ok || address == "" {
		return wrongUse("-store (or KEYCTL_STORE) does not say where the keys are: %s", c.stores())
	}
	open := c.cfg.Openers[scheme]
	if open == nil && scheme == "file" {
		open = openFile
	}
	if open == nil {
		return wrongUse("-store %q: this keyctl knows %s", scheme+":...", c.stores())
	}
	store, closer, err := open(ctx, address, c.name == "init")
	if err != nil {
		return err
	}
	c.close = closer
	defer func() {
		if err != nil && closer != nil {
			err = errors.Join(err, closer())
		}
	}()
	if err := c.settle(ctx, store); err != nil {
		return err
	}
	cfg := apikey.Config{Store: store, Prefix: c.prefix, Env: c.env, PollInterval: -1, Policy: c.policy}
	if c.prefix == "" || c.env == "" {
		cfg.Prefix, cfg.Env = "none", "none" // no key is made
	}
	if c.foreign.Name != "" {
		c.foreign.Hash = apikey.Hash(c.algorithm)
		cfg.Foreign = []apikey.Foreign{c.foreign}
	}
	c.keys, err = apikey.New(cfg)
	if s, ok := store.(apikey.Salvager); ok && c.name == "revoke" && errors.Is(err, apikey.ErrUnreadable) {
		// A record that nobody can read keeps everybody out, also us; the error names it, and revoking it is the way back in.
		for _, id := range c.ids {
			if _, broken := s.RevokeUnreadable(ctx, id); broken == nil {
				c.keys, err = apikey.New(cfg)
			}
		}
	}
	if err != nil && strings.Contains(err.Error(), "Config.") {
		return usageError{err}
	}
	return err
}

func (c *call) done(ctx context.Context) error {
	err := c.keys.Close(ctx)
	if c.close != nil {
		err = errors.Join(err, c.close())
	}
	return err
}

func openFile(_ context.Context, path string, create bool) (apikey.Store, func() error, error) {
	s, err := apikey.NewFileStore(apikey.FileConfig{Path: path, Create: create})
	return s, nil, err
}

// ---- commands

func (c *call) create(ctx context.Context) error {
	secret, rec, err := c.keys.Create(ctx, c.spec)
	if err != nil {
		return err
	}
	return c.reveal(secret, rec, nil)
}

func (c *call) rotate(ctx context.Context) error {
	secret, rec, err := c.keys.Rotate(ctx, c.ids[0], c.rotation)
	if err != nil {
		return err
	}
	old, err := c.keys.Get(ctx, c.ids[0])
	if err = c.withoutUses(err); err != nil { // the new key is to be shown all the same
		return errors.Join(c.reveal(secret, rec, nil), fmt.Errorf("the old key was replaced; what became of it could not be read: %w", err))
	}
	return c.reveal(secret, rec, &old)
}

// reveal prints a new key, and what became of the old one.
func (c *call) reveal(secret apikey.Secret, rec apikey.Record, old *apikey.Record) (err error) {
	switch {
	case c.json:
		out := struct {
			Key    string `json:"key"`
			Record view   `json:"record"`
			Old    *view  `json:"old,omitempty"`
		}{Key: secret.Reveal(), Record: viewOf(rec, c.now)}
		if old != nil {
			v := viewOf(*old, c.now)
			out.Old = &v
		}
		err = c.printJSON(out)
	case c.quiet:
		_, err = fmt.Fprintln(c.cfg.Stdout, secret.Reveal())
	default:
		if _, err = fmt.Fprintf(c.cfg.Stdout, "%s\n\n", secret.Reveal()); err == nil {
			err = c.printRecord(rec)
		}
	}
	if err != nil {
		return fmt.Errorf("key %s was made and could not be shown; revoke it: %w", rec.ID, err)
	}
	if !c.json && !c.quiet {
		c.say("This is the only time the key is shown.")
	}
	switch {
	case old == nil || c.json:
	case !old.RevokedAt.IsZero():
		c.say("The old key %s is revoked now.", old.ID)
	default:
		c.say("The old key %s works until %s.", old.ID, when(old.ExpiresAt))
	}
	return nil
}

func (c *call) list(ctx context.Context) error {
	all, err := c.keys.List(ctx)
	if err = c.withoutUses(err); err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(r apikey.Record) bool { return c.client != "" && r.ClientID != c.client })
	return c.printList(all)
}

func (c *call) show(ctx context.Context) error {
	r, err := c.keys.Get(ctx, c.ids[0])
	if err = c.withoutUses(err); err != nil {
		return err
	}
	return c.print(r)
}

func (c *call) disable(ctx context.Context) error {
	return c.step(ctx, func(ctx context.Context, id string) error { return c.keys.Disable(ctx, id, c.reason) })
}

func (c *call) revoke(ctx context.Context) error {
	if c.client != "" {
		all, err := c.keys.List(ctx)
		if err = c.withoutUses(err); err != nil {
			return err
		}
		for _, r := range all {
			if r.ClientID == c.client && r.RevokedAt.IsZero() {
				c.ids = append(c.ids, r.ID)
			}
		}
		if len(c.ids) == 0 {
			return fmt.Errorf("%w: client %q has none that is not revoked", apikey.ErrNotFound, c.client)
		}
	}
	return c.step(ctx, c.keys.Revoke)
}

// step takes one step with every key that was named and shows what became of them. One that fails does not keep the others.
func (c *call) step(ctx context.Context, f func(context.Context, string) error) error {
	var done []apikey.Record
	var first error
	failed := 0
	for _, id := range c.ids {
		var r apikey.Record
		err := f(ctx, id)
		if err == nil {
			r, err = c.keys.Get(ctx, id)
			err = c.withoutUses(err)
		}
		switch {
		case err == nil:
			done = append(done, r)
		case !c.many:
			return err
		default:
			c.say("keyctl: %s: %s", terminal.Clean(id), terminal.Clean(err.Error()))
			first = cmp.Or(first, err)
			failed++
		}
	}
	if !c.many {
		return c.print(done[0])
	}
	err := c.printList(done)
	if first != nil {
		err = errors.Join(err, fmt.Errorf("%d of %d keys failed, the first with %w", failed, len(c.ids), first))
	}
	return err
}

// withoutUses says once that the uses of keys cannot be read. What a command does hangs on them in a review only, and a key that was
// revoked must not look as if it was not.
func (c *call) withoutUses(err error) error {
	if !errors.Is(err, apikey.ErrUsesUnknown) {
		return err
	}
	if !c.usesUnknown {
		c.say("keyctl: %s; what is shown says nothing of uses", terminal.Clean(err.Error()))
	}
	c.usesUnknown = true
	return nil
}

func (c *call) adopt(ctx context.Context) error {
	// Not an argument: those are seen by everybody on the machine, and remembered by shells.
	text, err := io.ReadAll(io.LimitReader(c.cfg.Stdin, 4096))
	if err != nil {
		return fmt.Errorf("reading standard input: %w", err)
	}
	line := strings.TrimRight(string(text), "\r\n")
	if line == "" || strings.ContainsAny(line, "\r\n") {
		return wrongUse("import reads one key, or with -hashed its hash in hexadecimal, from standard input")
	}
	var rec apikey.Record
	if c.hashed {
		hash, err := hex.DecodeString(line)
		if err != nil {
			return wrongUse("the hash is not in hexadecimal")
		}
		rec, err = c.keys.ImportHash(ctx, c.spec, c.foreign.Name, hash)
		if err != nil {
			return err
		}
	} else if rec, err = c.keys.Import(ctx, c.spec, c.foreign.Name, line); err != nil {
		return err
	}
	return c.print(rec)
}

func (c *call) sweep(ctx context.Context) error {
	done, err := c.keys.Sweep(ctx, c.now)
	if c.json {
		type swept struct {
			Expired []string `json:"expired"`
			Dormant []string `json:"dormant"`
		}
		return errors.Join(err, c.printJSON(swept{append([]string{}, done.Expired...), append([]string{}, done.Dormant...)}))
	}
	if len(done.Expired)+len(done.Dormant) == 0 {
		if err == nil {
			c.say("There was nothing to sweep.")
		}
		return err
	}
	rows := [][]string{{"ID", "NOW"}}
	for _, id := range done.Expired {
		rows = append(rows, []string{id, "expired"})
	}
	for _, id := range done.Dormant {
		rows = append(rows, []string{id, "disabled: dormant"})
	}
	return errors.Join(err, terminal.Table(c.cfg.Stdout, rows))
}

// finding is one thing about one key that somebody should look at.
type finding struct {
	Kind     string `json:"kind"`
	ID       string `json:"id"`
	ClientID string `json:"client_id"`
	Detail   string `json:"detail"`
}

func (c *call) review(ctx context.Context) error {
	all, err := c.keys.List(ctx)
	if err != nil {
		return err
	}
	found := []finding{}
	for _, r := range all {
		if s := state(r, c.now); s == "revoked" || s == "expired" {
			continue
		}
		add := func(kind, format string, args ...any) {
			found = append(found, finding{kind, r.ID, r.ClientID, fmt.Sprintf(format, args...)})
		}
		old := c.now.Sub(r.CreatedAt)
		switch {
		case r.LastUsedAt.IsZero() && old >= c.dormant:
			add("never-used", "made %s, no use on record", when(r.CreatedAt))
		case !r.LastUsedAt.IsZero() && c.now.Sub(r.LastUsedAt) >= c.dormant:
			add("dormant", "last used %s", when(r.LastUsedAt))
		}
		if old >= c.age {
			add("old", "made %s", when(r.CreatedAt))
		}
		if r.ExpiresAt.IsZero() {
			add("no-expiry", "never ends")
		}
		if r.Labels["owner"] == "" {
			add("no-owner", "has no label owner")
		}
		if r.Successor != "" {
			add("overlap-open", "works beside %s until %s", r.Successor, when(r.ExpiresAt))
		}
		if r.Foreign != "" {
			add("foreign", "of another system's making (%s): rotate it", r.Foreign)
		}
		if unused := slices.DeleteFunc(slices.Clone(r.Scopes), func(s string) bool { return slices.Contains(r.UsedScopes, s) }); len(unused) > 0 && !r.LastUsedAt.IsZero() {
			add("unused-scopes", "%s", strings.Join(unused, " "))
		}
	}
	if c.json {
		err = c.printJSON(found)
	} else {
		rows := [][]string{{"FINDING", "ID", "CLIENT", "DETAIL"}}
		for _, f := range found {
			rows = append(rows, []string{f.Kind, f.ID, f.ClientID, f.Detail})
		}
		err = terminal.Table(c.cfg.Stdout, rows)
	}
	if err == nil && c.check && len(found) > 0 {
		return errFindings
	}
	return err
}

func (c *call) printJSON(v any) error {
	e := json.NewEncoder(c.cfg.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// say prints a line for people.
func (c *call) say(format string, args ...any) { fmt.Fprintf(c.cfg.Stderr, format+"\n", args...) }

package cli

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/auth/apikey"
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
	// Openers are by scheme. "file" is there in any case, unless replaced. An error they return is printed, so it should name no
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
	case err == nil:
		return OK
	case errors.Is(err, flag.ErrHelp):
		io.WriteString(cfg.Stdout, usage)
		return OK
	case errors.Is(err, errFindings):
		return Findings
	}
	fmt.Fprintln(cfg.Stderr, "keyctl:", clean(err.Error()))
	var wrong usageError
	switch {
	case errors.As(err, &wrong), errors.Is(err, apikey.ErrSpec):
		return Usage
	case errors.Is(err, apikey.ErrNotFound):
		return NotFound
	case errors.Is(err, apikey.ErrPolicy), errors.Is(err, apikey.ErrState), errors.Is(err, apikey.ErrWeak), errors.Is(err, apikey.ErrConflict),
		errors.Is(err, apikey.ErrNotKey), errors.Is(err, apikey.ErrSticky), errors.Is(err, apikey.ErrNoUses):
		return Refused
	}
	return Failed
}

const usage = `usage: keyctl COMMAND [flags]

  init                   make the store
  create -client NAME    make a key and show it, this once
  list                   all keys
  show ID                one key
  rotate ID              make a successor; -overlap 24h lets both work for a day
  revoke ID              withdraw a key for good
  disable ID             withdraw it until enable
  enable ID
  import -client NAME    take over a key of another system, read from standard input
  sweep                  mark expired keys; -dormant 90d disables unused ones
  review                 what somebody should look at; -check exits 5 if there is something

everywhere: -store file:PATH (KEYCTL_STORE), -prefix P (KEYCTL_PREFIX), -env E (KEYCTL_ENV), -json
create, import: -tenant T -plan P -scopes A,B -roles A,B -models A,B -addresses CIDR,CIDR -label NAME=TEXT
create, import, rotate: -expires 90d|2027-01-31 -require-expiry -max-lifetime 365d -max-keys N
rotate: -overlap 1h -max-overlap 24h; disable: -reason TEXT; list: -client NAME
import: -format NAME -match PREFIX -min N -max N -algorithm sha256|sha512 -hashed
sweep: -dormant 90d; review: -dormant 90d -age 365d -check

exit codes: 0 done, 1 the store failed, 2 wrong use, 3 no such key, 4 refused, 5 review -check found something
`

// usageError is a fault of whoever typed the command.
type usageError struct{ error }

func wrongUse(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

var errFindings = errors.New("there are findings")

// call is one command with its flags.
type call struct {
	cfg                       Config
	name                      string
	store, prefix, env        string
	json                      bool
	spec                      apikey.Spec
	policy                    apikey.Policy
	rotation                  apikey.Rotation
	foreign                   apikey.Foreign
	algorithm, client, reason string
	hashed, check             bool
	dormant, age              time.Duration
	ids                       []string

	now   time.Time
	keys  *apikey.Manager
	close func() error
}

// command is what a name stands for.
type command struct {
	ids   int  // how many ids it takes
	makes bool // keys: then prefix and env are needed
	flags func(c *call, f *flag.FlagSet)
	run   func(c *call, ctx context.Context) error
}

var commands = map[string]command{
	"init":    {run: func(*call, context.Context) error { return nil }},
	"create":  {makes: true, flags: specFlags, run: (*call).create},
	"list":    {flags: func(c *call, f *flag.FlagSet) { f.StringVar(&c.client, "client", "", "") }, run: (*call).list},
	"show":    {ids: 1, run: (*call).show},
	"rotate":  {ids: 1, makes: true, flags: rotateFlags, run: (*call).rotate},
	"revoke":  {ids: 1, run: func(c *call, ctx context.Context) error { return c.step(ctx, c.keys.Revoke) }},
	"enable":  {ids: 1, run: func(c *call, ctx context.Context) error { return c.step(ctx, c.keys.Enable) }},
	"disable": {ids: 1, flags: func(c *call, f *flag.FlagSet) { f.StringVar(&c.reason, "reason", "", "") }, run: (*call).disable},
	"import":  {flags: importFlags, run: (*call).adopt},
	"sweep":   {flags: func(c *call, f *flag.FlagSet) { f.Func("dormant", "", duration(&c.policy.DormantAfter)) }, run: (*call).sweep},
	"review":  {flags: reviewFlags, run: (*call).review},
}

func (c *call) run(ctx context.Context, args []string) (err error) {
	if len(args) == 0 {
		return wrongUse("no command; keyctl -h lists them")
	}
	if slices.Contains([]string{"-h", "-help", "--help", "help"}, args[0]) {
		return flag.ErrHelp
	}
	cmd, ok := commands[args[0]]
	if !ok {
		return wrongUse("%q is no command; keyctl -h lists them", args[0])
	}
	c.name, c.now = args[0], time.Now()
	if err := c.parse(cmd, args[1:]); err != nil {
		return err
	}
	if cmd.makes && (c.prefix == "" || c.env == "") {
		return wrongUse("%s needs -prefix and -env (or KEYCTL_PREFIX and KEYCTL_ENV), those of the server", c.name)
	}
	if err := c.open(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.done(ctx)) }()
	return cmd.run(c, ctx)
}

// parse reads flags and ids in any order.
func (c *call) parse(cmd command, args []string) error {
	f := flag.NewFlagSet(c.name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&c.store, "store", c.cfg.Getenv("KEYCTL_STORE"), "")
	f.StringVar(&c.prefix, "prefix", c.cfg.Getenv("KEYCTL_PREFIX"), "")
	f.StringVar(&c.env, "env", c.cfg.Getenv("KEYCTL_ENV"), "")
	f.BoolVar(&c.json, "json", false, "")
	if cmd.flags != nil {
		cmd.flags(c, f)
	}
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				return err
			}
			return usageError{err}
		}
		if args = f.Args(); len(args) == 0 {
			break
		}
		c.ids, args = append(c.ids, args[0]), args[1:]
	}
	if len(c.ids) != cmd.ids {
		return wrongUse("%s takes %d key ids, not %d", c.name, cmd.ids, len(c.ids))
	}
	return nil
}

func (c *call) open(ctx context.Context) error {
	scheme, address, ok := strings.Cut(c.store, ":")
	if !ok || address == "" {
		return wrongUse("-store (or KEYCTL_STORE) does not say where the keys are: file:PATH")
	}
	open := c.cfg.Openers[scheme]
	if open == nil && scheme == "file" {
		open = openFile
	}
	if open == nil {
		known := slices.Sorted(maps.Keys(c.cfg.Openers))
		return wrongUse("-store %q: this keyctl knows file%s", scheme+":...", strings.Join(append([]string{""}, known...), " and "))
	}
	store, closer, err := open(ctx, address, c.name == "init")
	if err != nil {
		return err
	}
	c.close = closer
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
		if _, broken := s.RevokeUnreadable(ctx, c.ids[0]); broken == nil {
			c.keys, err = apikey.New(cfg)
		}
	}
	if err != nil {
		if closer != nil {
			closer()
		}
		if strings.Contains(err.Error(), "Config.") {
			return usageError{err}
		}
		return err
	}
	return nil
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

// ---- flags

func specFlags(c *call, f *flag.FlagSet) {
	f.StringVar(&c.spec.ClientID, "client", "", "")
	f.StringVar(&c.spec.Tenant, "tenant", "", "")
	f.StringVar(&c.spec.Plan, "plan", "", "")
	f.Func("scopes", "", list(&c.spec.Scopes))
	f.Func("roles", "", list(&c.spec.Roles))
	f.Func("models", "", list(&c.spec.Models))
	f.Func("addresses", "", func(s string) error {
		var all []string
		if err := list(&all)(s); err != nil {
			return err
		}
		c.spec.Addresses = []netip.Prefix{}
		for _, a := range all {
			p, err := netip.ParsePrefix(a)
			if err != nil {
				return fmt.Errorf("%q is not a network such as 192.0.2.0/24", a)
			}
			c.spec.Addresses = append(c.spec.Addresses, p)
		}
		return nil
	})
	f.Func("label", "", func(s string) error {
		name, text, ok := strings.Cut(s, "=")
		if !ok {
			return errors.New("is not NAME=TEXT")
		}
		if c.spec.Labels == nil {
			c.spec.Labels = make(map[string]string)
		}
		c.spec.Labels[name] = text
		return nil
	})
	f.Func("not-before", "", moment(&c.spec.NotBefore, c.now))
	f.Func("expires", "", moment(&c.spec.ExpiresAt, c.now))
	policyFlags(c, f)
}

func policyFlags(c *call, f *flag.FlagSet) {
	f.BoolVar(&c.policy.RequireExpiry, "require-expiry", false, "")
	f.Func("max-lifetime", "", duration(&c.policy.MaxLifetime))
	f.IntVar(&c.policy.MaxKeysPerClient, "max-keys", 0, "")
}

func rotateFlags(c *call, f *flag.FlagSet) {
	f.Func("overlap", "", duration(&c.rotation.Overlap))
	f.Func("max-overlap", "", duration(&c.policy.MaxOverlap))
	f.Func("expires", "", moment(&c.rotation.ExpiresAt, c.now))
	policyFlags(c, f)
}

func importFlags(c *call, f *flag.FlagSet) {
	specFlags(c, f)
	f.StringVar(&c.foreign.Name, "format", "", "")
	f.StringVar(&c.foreign.Prefix, "match", "", "")
	f.IntVar(&c.foreign.MinLen, "min", 0, "")
	f.IntVar(&c.foreign.MaxLen, "max", 0, "")
	f.StringVar(&c.algorithm, "algorithm", "sha256", "")
	f.BoolVar(&c.hashed, "hashed", false, "")
}

func reviewFlags(c *call, f *flag.FlagSet) {
	c.dormant, c.age = 90*24*time.Hour, 365*24*time.Hour
	f.Func("dormant", "", duration(&c.dormant))
	f.Func("age", "", duration(&c.age))
	f.BoolVar(&c.check, "check", false, "")
}

// list reads a comma-separated list; "" is a list of nothing, which is not the same as none.
func list(to *[]string) func(string) error {
	return func(s string) error {
		*to = []string{}
		for x := range strings.SplitSeq(s, ",") {
			if x = strings.TrimSpace(x); x != "" {
				*to = append(*to, x)
			}
		}
		return nil
	}
}

// duration reads 36h or 90d; a day is 24 hours.
func duration(to *time.Duration) func(string) error {
	return func(s string) error {
		if days, ok := strings.CutSuffix(s, "d"); ok {
			n, err := strconv.ParseUint(days, 10, 16)
			*to = time.Duration(n) * 24 * time.Hour
			return err
		}
		var err error
		*to, err = time.ParseDuration(s)
		return err
	}
}

// moment reads a date, a time in RFC 3339, or a duration from now.
func moment(to *time.Time, now time.Time) func(string) error {
	return func(s string) (err error) {
		for _, layout := range [...]string{time.DateOnly, time.RFC3339} {
			if *to, err = time.Parse(layout, s); err == nil {
				*to = to.UTC()
				return nil
			}
		}
		var d time.Duration
		if duration(&d)(s) != nil || d <= 0 {
			return errors.New("is no date (2027-01-31), no time (2027-01-31T12:00:00Z) and no duration (90d, 36h)")
		}
		*to = now.Add(d).UTC().Truncate(time.Second)
		return nil
	}
}

// ---- commands

func (c *call) create(ctx context.Context) error {
	secret, rec, err := c.keys.Create(ctx, c.spec)
	return c.reveal(secret, rec, err)
}

func (c *call) rotate(ctx context.Context) error {
	secret, rec, err := c.keys.Rotate(ctx, c.ids[0], c.rotation)
	return c.reveal(secret, rec, err)
}

// reveal prints a new key.
func (c *call) reveal(secret apikey.Secret, rec apikey.Record, err error) error {
	if err != nil {
		return err
	}
	if c.json {
		err = c.printJSON(struct {
			Key    string `json:"key"`
			Record view   `json:"record"`
		}{secret.Reveal(), viewOf(rec, c.now)})
	} else if _, err = fmt.Fprintf(c.cfg.Stdout, "%s\n\n", secret.Reveal()); err == nil {
		if err = c.printRecord(rec); err == nil {
			fmt.Fprintln(c.cfg.Stderr, "This is the only time the key is shown.")
		}
	}
	if err != nil {
		return fmt.Errorf("key %s was made and could not be shown; revoke it: %w", rec.ID, err)
	}
	return nil
}

func (c *call) list(ctx context.Context) error {
	all, err := c.keys.List(ctx)
	if err != nil {
		return err
	}
	all = slices.DeleteFunc(all, func(r apikey.Record) bool { return c.client != "" && r.ClientID != c.client })
	if c.json {
		views := make([]view, 0, len(all))
		for _, r := range all {
			views = append(views, viewOf(r, c.now))
		}
		return c.printJSON(views)
	}
	rows := [][]string{{"ID", "CLIENT", "STATE", "CREATED", "EXPIRES", "LAST USED", "SCOPES"}}
	for _, r := range all {
		rows = append(rows, []string{r.ID, r.ClientID, state(r, c.now), when(r.CreatedAt), when(r.ExpiresAt), when(r.LastUsedAt), strings.Join(r.Scopes, " ")})
	}
	return c.printTable(rows)
}

func (c *call) show(ctx context.Context) error {
	r, err := c.keys.Get(ctx, c.ids[0])
	if err != nil {
		return err
	}
	return c.print(r)
}

func (c *call) disable(ctx context.Context) error {
	return c.step(ctx, func(ctx context.Context, id string) error { return c.keys.Disable(ctx, id, c.reason) })
}

// step takes one step and shows what became of the key.
func (c *call) step(ctx context.Context, f func(context.Context, string) error) error {
	if err := f(ctx, c.ids[0]); err != nil {
		return err
	}
	return c.show(ctx)
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
	rows := [][]string{{"ID", "NOW"}}
	for _, id := range done.Expired {
		rows = append(rows, []string{id, "expired"})
	}
	for _, id := range done.Dormant {
		rows = append(rows, []string{id, "disabled: dormant"})
	}
	return errors.Join(err, c.printTable(rows))
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
		err = c.printTable(rows)
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

package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"regexp"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/mantlet-go/mantlet/crypto/backup"
	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/crypto/shred"
	"github.com/mantlet-go/mantlet/internal/terminal"
)

// The exit codes of [Main].
const (
	OK = iota
	Failed
	Usage
	Damaged
	Refused
	NoKey
	Interrupted = 130 // as a shell says of SIGINT
)

// Config is what [Main] takes from its program.
type Config struct {
	// CheckCheckpoint is backup.Config.CheckCheckpoint. Nil means that the checkpoint of a backup is not checked.
	CheckCheckpoint func(ctx context.Context, checkpoint []byte) error
	// Stdin, Stdout and Stderr are the streams. Nil means those of the process.
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	// Getenv returns an environment variable. Nil means os.Getenv.
	Getenv func(string) string
	// Terminal says whether Stderr is a terminal, which gets a progress bar. Nil means to look.
	Terminal func() bool
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
	c.bar.clear()
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return OK
	}
	n := code(err)
	if ctx.Err() != nil && n == Failed {
		if n = Interrupted; onlyEnded(err) {
			err = errors.New("interrupted; nothing was left behind")
		}
	}
	for line := range strings.SplitSeq(err.Error(), "\n") { // joined errors
		c.say("vault: %s", line)
	}
	if (c.json || slices.Contains(args, "-json") || slices.Contains(args, "--json")) && !c.printed && !c.print && c.out != "-" { // where something else is expected
		_ = c.printJSON(errorView{errorText{n, kindOf(err), secrets.ReplaceAllString(err.Error(), hiddenKey)}})
	}
	return n
}

// onlyEnded says that nothing else went wrong than that a context ended.
func onlyEnded(err error) bool {
	switch e := err.(type) {
	case interface{ Unwrap() []error }:
		return !slices.ContainsFunc(e.Unwrap(), func(err error) bool { return !onlyEnded(err) })
	case interface{ Unwrap() error }:
		return onlyEnded(e.Unwrap())
	}
	return err == context.Canceled || err == context.DeadlineExceeded
}

// errorView is what -json shows of an error, unless there is a report to be shown.
type errorView struct {
	Error errorText `json:"error"`
}

type errorText struct {
	Code int    `json:"code"` // the exit code
	Kind string `json:"kind"` // a word that stays the same
	Text string `json:"text"` // for people
}

// kinds are the words that -json has for errors, the first one that fits.
var kinds = []struct {
	err  error
	kind string
}{
	{backup.ErrDecrypt, "decrypt"}, {backup.ErrTruncated, "truncated"}, {backup.ErrHash, "hash"}, {backup.ErrManifest, "manifest"}, {backup.ErrCheckpoint, "checkpoint"},
	{backup.ErrKeyUnavailable, "key_unavailable"}, {backup.ErrOlder, "older"}, {backup.ErrExists, "exists"}, {backup.ErrSource, "source"}, {backup.ErrChanged, "changed"},
	{backup.ErrTombstones, "tombstones"}, {shred.ErrTombstone, "tombstone"}, {seal.ErrTruncated, "truncated"}, {seal.ErrInvalid, "decrypt"},
	{seal.ErrUnknownKey, "key_unavailable"}, {seal.ErrKeyDisabled, "key_unavailable"}, {seal.ErrKeyDestroyed, "key_unavailable"},
	{seal.ErrKeyState, "key_state"}, {seal.ErrKeyExists, "key_exists"}, {errNoRing, "no_key"}, {fs.ErrExist, "exists"}, {errRefused, "refused"},
}

func kindOf(err error) string {
	for _, k := range kinds {
		if errors.Is(err, k.err) {
			return k.kind
		}
	}
	switch code(err) {
	case Usage:
		return "usage"
	default:
		return "failed"
	}
}

func code(err error) int {
	is := func(kinds ...error) bool {
		return slices.ContainsFunc(kinds, func(kind error) bool { return errors.Is(err, kind) })
	}
	var wrong usageError
	switch {
	case errors.As(err, &wrong):
		return Usage
	case is(backup.ErrDecrypt, backup.ErrTruncated, backup.ErrHash, backup.ErrManifest, backup.ErrCheckpoint, seal.ErrInvalid, seal.ErrTruncated):
		return Damaged
	case is(backup.ErrKeyUnavailable, seal.ErrUnknownKey, seal.ErrKeyDisabled, seal.ErrKeyDestroyed, errNoRing):
		return NoKey
	case is(errRefused, backup.ErrOlder, backup.ErrExists, backup.ErrSource, backup.ErrTombstones, seal.ErrKeyState, seal.ErrKeyExists, shred.ErrTombstone, fs.ErrExist):
		return Refused
	}
	return Failed
}

var errRefused = errors.New("refused")

// refusedError is errRefused, with a text that says why.
type refusedError struct{ error }

func (refusedError) Is(target error) bool { return target == errRefused }

func refused(err error) error { return refusedError{err} }

// usageError is a fault of whoever typed the command.
type usageError struct{ error }

func wrongUse(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// call is one command with its flags.
type call struct {
	cfg  Config
	name string
	args []string
	bar  bar

	ring, out, to                     string
	json, print, stdin, force, list   bool
	printed                           bool // JSON
	place                             seal.Context
	add                               bool
	promote, retire, restore, destroy seal.ID
	label, ledger, checkpoint         string
	counter, newest                   uint64
	skips, appends, needs, live       []string
	replace, rollback, skipTombstones bool
	tombstones, aliasKey              string
	workers                           int
}

// command is what a name stands for.
type command struct {
	name, args, about string
	most              int // arguments
	flags             func(c *call, f *flag.FlagSet)
	run               func(c *call, ctx context.Context) error
}

var commands []command // filled below, since help lists them

func init() {
	commands = []command{
		{"keygen", "", "make a ring file with a new key; -print prints a key instead", 0, keygenFlags, (*call).keygen},
		{"keys", "", "the keys of the ring, without their secrets", 0, nil, (*call).keys},
		{"encrypt", "[FILE]", "encrypt a file, or standard input", 1, encryptFlags, (*call).encrypt},
		{"decrypt", "[FILE] -out FILE", "decrypt it; -out - is standard output", 1, encryptFlags, (*call).decrypt},
		{"rotate", "[FILE ...]", "one step of replacing a key: -add, -promote ID, encrypt FILEs anew, -retire ID, -destroy ID", 1 << 20, rotateFlags, (*call).rotate},
		{"backup", "NAME=PATH ... -label L -out FILE", "make an encrypted backup of files and directories", 1 << 20, backupFlags, (*call).backup},
		{"verify", "FILE -label L", "restore a backup without writing anything, to know that it can be", 1, verifyFlags, (*call).verify},
		{"restore", "FILE -label L -to DIR", "restore a backup, whole or not at all", 1, restoreFlags, (*call).restoreBackup},
	}
}

func (c *call) run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return wrongUse("no command; vault -h lists them")
	}
	if args[0] == "help" && len(args) > 1 {
		args = []string{args[1], "-h"}
	}
	if slices.Contains([]string{"-h", "-help", "--help", "help"}, args[0]) {
		c.help()
		return flag.ErrHelp
	}
	if slices.Contains([]string{"version", "-version", "--version"}, args[0]) {
		version := "(unknown)"
		if info, ok := debug.ReadBuildInfo(); ok {
			version = info.Main.Version
			for _, m := range info.Deps { // in a program of another module
				if m.Path == "github.com/mantlet-go/mantlet" {
					version = m.Version
				}
			}
		}
		_, err := fmt.Fprintln(c.cfg.Stdout, "vault of github.com/mantlet-go/mantlet", version)
		return err
	}
	i := slices.IndexFunc(commands, func(cmd command) bool { return cmd.name == args[0] })
	if i < 0 {
		return wrongUse("%.10q is no command; vault -h lists them", args[0]) // not more of it: it may be a key
	}
	cmd := &commands[i]
	c.name = cmd.name
	if err := c.parse(cmd, args[1:]); err != nil {
		return err
	}
	return cmd.run(c, ctx)
}

// parse reads flags and arguments in any order.
func (c *call) parse(cmd *command, args []string) error {
	f := flag.NewFlagSet(c.name, flag.ContinueOnError)
	f.SetOutput(io.Discard)
	f.StringVar(&c.ring, "ring", "", "`FILE`|the keys (MANTLET_RING)")
	f.BoolVar(&c.json, "json", false, "print JSON")
	if cmd.flags != nil {
		cmd.flags(c, f)
	}
	f.VisitAll(func(x *flag.Flag) {
		if !slices.Contains([]string{"skip", "append-only", "needs", "live"}, x.Name) {
			x.Value = &once{Value: x.Value}
		}
	})
	for {
		if err := f.Parse(args); err != nil {
			if errors.Is(err, flag.ErrHelp) {
				c.helpOn(cmd, f)
				return err
			}
			return wrongUse("%w; see vault %s -h", err, c.name)
		}
		if args = f.Args(); len(args) == 0 {
			break
		}
		c.args, args = append(c.args, args[0]), args[1:]
	}
	if len(c.args) > cmd.most {
		return wrongUse("%s takes %d arguments, not %d", c.name, cmd.most, len(c.args))
	}
	if c.ring == "" {
		c.ring = c.cfg.Getenv("MANTLET_RING")
	}
	if c.ring == "" && !c.print {
		return wrongUse("-ring (or MANTLET_RING) does not say where the keys are")
	}
	return nil
}

// once is a flag that may be given once: of two values one would be lost.
type once struct {
	flag.Value
	given bool
}

func (o *once) Set(s string) error {
	if o.given {
		return errors.New("it is given twice")
	}
	o.given = true
	return o.Value.Set(s)
}

// IsBoolFlag tells package flag that -json needs no value.
func (o *once) IsBoolFlag() bool {
	b, ok := o.Value.(interface{ IsBoolFlag() bool })
	return ok && b.IsBoolFlag()
}

func keygenFlags(c *call, f *flag.FlagSet) {
	f.BoolVar(&c.print, "print", false, "print a new key, and make no ring")
	f.BoolVar(&c.stdin, "stdin", false, "make the ring of the key on standard input")
}

func placeFlags(c *call, f *flag.FlagSet) {
	c.place.Purpose = "vault file"
	f.StringVar(&c.place.Purpose, "purpose", c.place.Purpose, "`TEXT`|what the file is; without, \"vault file\"")
	f.StringVar(&c.place.Tenant, "tenant", "", "`TEXT`|whose it is")
	f.StringVar(&c.place.Subject, "subject", "", "`TEXT`|whom or what it is about, a user say")
	f.StringVar(&c.place.Path, "path", "", "`TEXT`|which one it is, its name say")
	workers(c, f)
}

func workers(c *call, f *flag.FlagSet) {
	f.Func("workers", "`N`|how many processors to use; without, 1", func(s string) error {
		n, err := strconv.ParseUint(s, 10, 8)
		c.workers = int(n)
		return err
	})
}

func encryptFlags(c *call, f *flag.FlagSet) {
	placeFlags(c, f)
	f.StringVar(&c.out, "out", "", "`FILE`|where to; - is standard output")
	f.BoolVar(&c.force, "force", false, "replace a file that is there")
}

func id(to *seal.ID) func(string) error {
	return func(s string) (err error) {
		*to, err = seal.ParseID(s)
		return err
	}
}

func rotateFlags(c *call, f *flag.FlagSet) {
	f.BoolVar(&c.add, "add", false, "add a new key, which only decrypts")
	f.Func("promote", "`ID`|encrypt under this key from now on", id(&c.promote))
	f.Func("retire", "`ID`|let this key do nothing", id(&c.retire))
	f.Func("restore", "`ID`|let a retired key decrypt again", id(&c.restore))
	f.Func("destroy", "`ID`|forget a retired key for good", id(&c.destroy))
	placeFlags(c, f)
}

func list(to *[]string) func(string) error {
	return func(s string) error {
		*to = append(*to, s)
		return nil
	}
}

func labelFlags(c *call, f *flag.FlagSet) {
	f.StringVar(&c.label, "label", "", "`TEXT`|the series of backups; required (MANTLET_LABEL)")
	f.StringVar(&c.ledger, "ledger", "", "`FILE`|remembers the newest backup (MANTLET_LEDGER)")
	f.Func("needs", "`FILE`|a ring that what is backed up needs, if it is another one; may be given again", list(&c.needs))
	workers(c, f)
}

func backupFlags(c *call, f *flag.FlagSet) {
	labelFlags(c, f)
	f.StringVar(&c.out, "out", "", "`FILE`|where to; required, and must not exist")
	f.Func("counter", "`N`|higher than that of every backup before, where there is no ledger", counter(&c.counter))
	f.Func("skip", "`GLOB`|leave out files and directories of this name or pattern; may be given again", list(&c.skips))
	f.Func("append-only", "`GLOB`|files that may grow meanwhile; may be given again", list(&c.appends))
	f.StringVar(&c.checkpoint, "checkpoint", "", "`FILE`|the checkpoint of the audit log")
	f.BoolVar(&c.list, "list", false, "print all files")
}

func counter(to *uint64) func(string) error {
	return func(s string) (err error) {
		*to, err = strconv.ParseUint(s, 10, 62)
		return err
	}
}

func guardFlags(c *call, f *flag.FlagSet) {
	labelFlags(c, f)
	f.Func("newest", "`N`|the highest counter that is known, where there is no ledger", counter(&c.newest))
	f.BoolVar(&c.rollback, "allow-rollback", false, "accept a backup that is older")
	f.BoolVar(&c.list, "list", false, "print all files")
}

func verifyFlags(c *call, f *flag.FlagSet) { guardFlags(c, f) }

func restoreFlags(c *call, f *flag.FlagSet) {
	guardFlags(c, f)
	f.StringVar(&c.to, "to", "", "`DIR`|the directory that will hold it; required")
	f.BoolVar(&c.replace, "replace", false, "replace a directory that is there; it is kept under another name")
	f.Func("live", "`DIR`|a shred.FileStore in use, whose tombstones are applied too; may be given again", list(&c.live))
	f.StringVar(&c.tombstones, "tombstones", "", "`FILE`|subjects shredded since: a JSON object a line")
	f.StringVar(&c.aliasKey, "alias-key", "", "`FILE`|the key that the tombstones were made with")
	f.BoolVar(&c.skipTombstones, "insecure-skip-tombstones", false, "restore also where tombstones cannot be applied")
}

func (c *call) help() {
	w := tabwriter.NewWriter(c.cfg.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprint(w, "usage: vault COMMAND [flags]; vault help COMMAND lists its flags; vault version\n\n")
	for _, cmd := range commands {
		fmt.Fprintf(w, "  %s\t%s\n", strings.TrimSpace(cmd.name+" "+cmd.args), cmd.about)
	}
	w.Flush()
	fmt.Fprint(c.cfg.Stdout, `
The keys are in the file that -ring or MANTLET_RING names. Keep a copy of it where the backups are not.

exit codes: 0 done, 1 a file failed, 2 wrong use, 3 damaged, 4 refused, 5 a key is not there, 130 interrupted
`)
}

// helpOn prints what there is to one command.
func (c *call) helpOn(cmd *command, f *flag.FlagSet) {
	w := tabwriter.NewWriter(c.cfg.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "usage: vault %s [flags]\n\n%s\n\n", strings.TrimSpace(cmd.name+" "+cmd.args), cmd.about)
	f.VisitAll(func(x *flag.Flag) {
		value, about := flag.UnquoteUsage(x)
		about = strings.TrimPrefix(about, value+"|")
		fmt.Fprintf(w, "  %s\t%s\n", strings.TrimSpace("-"+x.Name+" "+value), about)
	})
	w.Flush()
}

// say prints a line on standard error: the one place that does, so that neither a key that stands where a name should nor a name of control
// characters gets out.
func (c *call) say(format string, args ...any) {
	fmt.Fprintln(c.cfg.Stderr, terminal.Clean(secrets.ReplaceAllString(fmt.Sprintf(format, args...), hiddenKey)))
}

const hiddenKey = "mantlet-seal-v1_[hidden]"

var secrets = regexp.MustCompile(`mantlet-seal-v1_[0-9A-Za-z_-]+`)

package cli_test

import (
	"bytes"
	"context"
	"crypto/fips140"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/crypto/shred"
	"github.com/mantlet-go/mantlet/crypto/vault/cli"
	"github.com/mantlet-go/mantlet/internal/transcript"
)

// What the command does are streams, and those cannot be made under GODEBUG=fips140=only.
func TestMain(m *testing.M) {
	flag.Parse()
	if fips140.Enforced() {
		if err := flag.Set("test.run", "^$"); err != nil {
			panic(err)
		}
	}
	os.Exit(m.Run())
}

// TestTranscripts replays the sessions in testdata (see package transcript), each in an empty directory. The commands are vault, whose
// standard input stands behind <<<, and some of the test's own:
//
//	write FILE TEXT    makes a file, with its directories; a number of bytes like 100000B instead of a text
//	cat FILE           shows a file
//	ls DIR             shows modes and names of all that is below a directory, hidden files too
//	rm PATH            destroys a file or a directory
//	link PATH NAME     makes a symbolic link
//	flip FILE N        changes byte N of a file; from the end if N is negative
//	cut FILE N         cuts the last N bytes off a file
//	env NAME=VALUE     sets a variable of vault's environment
//	wait 36h           time goes by
//	terminal           standard error is one from now on
//	person DIR NAME    seals something for a person whose key is in the shred.FileStore in DIR
//	forget DIR NAME    shreds a person, and writes the proof into the file "proofs"
//	open DIR NAME      opens what was sealed for the person
//
// Time is that of a synctest bubble and begins at 2000-01-01; a vault takes a second. The N-th key's id is printed and typed as ID000001, its secret as dots:
// so the transcripts also prove where a secret is printed. KEY1 is the first key whole, when it is typed.
func TestTranscripts(t *testing.T) {
	for _, name := range transcript.Files(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			dir := t.TempDir()
			t.Chdir(dir)
			synctest.Test(t, func(t *testing.T) {
				s := &session{t: t, dir: dir, env: map[string]string{}, boxes: map[string][]byte{}, alias: seal.GenerateKey()}
				s.people = must(seal.New(seal.Config{Keys: []seal.RingKey{{Key: seal.GenerateKey(), State: seal.Primary}}}))
				transcript.Check(t, name, s.typed)
			})
		})
	}
}

func must[T any](x T, err error) T {
	if err != nil {
		panic(err)
	}
	return x
}

type session struct {
	t        *testing.T
	dir      string
	env      map[string]string
	ids      []string
	keys     []string
	terminal bool
	people   *seal.Keyring
	alias    seal.Key
	boxes    map[string][]byte
}

var (
	wholeKey = regexp.MustCompile(`mantlet-seal-v1_[0-9a-f]{8}_[0-9A-Za-z_-]{43}`)
	keyID    = regexp.MustCompile(`mantlet-seal-v1_([0-9a-f]{8})_`)
	unknown  = regexp.MustCompile(`unknown key [0-9a-f]{8}`)
	hidden   = regexp.MustCompile(`\.(\w+(?:\.\w+)*)\.[0-9]+\.tmp|\.(\w+)\.restore-[0-9]+`)
)

func placeholder(i int) string { return fmt.Sprintf("ID%06d", i+1) }

func (s *session) path(name string) string { return filepath.Join(s.dir, filepath.FromSlash(name)) }

func (s *session) typed(line string) string {
	line, input, _ := strings.Cut(line, " <<< ")
	for i, id := range s.ids {
		line = strings.ReplaceAll(line, placeholder(i), id)
	}
	for i, key := range s.keys {
		line, input = strings.ReplaceAll(line, fmt.Sprint("KEY", i+1), key), strings.ReplaceAll(input, fmt.Sprint("KEY", i+1), key)
	}
	args := transcript.Fields(line)
	var stdout, stderr bytes.Buffer
	code := 0
	check := func(err error) {
		if err != nil {
			s.t.Fatalf("%s: %v", line, err)
		}
	}
	switch args[0] {
	case "vault":
		cfg := cli.Config{Stdin: strings.NewReader(input), Stdout: &stdout, Stderr: &stderr, Getenv: func(name string) string { return s.env[name] }, Terminal: func() bool { return s.terminal }}
		code = cli.Main(context.Background(), cfg, args[1:])
		time.Sleep(time.Second)
	case "write":
		check(os.MkdirAll(filepath.Dir(s.path(args[1])), 0o700))
		text := []byte(strings.Join(args[2:], " ") + "\n")
		var n int
		if _, err := fmt.Sscanf(args[2], "%dB", &n); err == nil {
			text = make([]byte, n)
		}
		check(os.WriteFile(s.path(args[1]), text, 0o600))
		check(os.Chtimes(s.path(args[1]), time.Time{}, time.Now()))
	case "cat":
		b, err := os.ReadFile(s.path(args[1]))
		check(err)
		stdout.Write(b)
	case "ls":
		check(filepath.WalkDir(s.path(args[1]), func(name string, d fs.DirEntry, err error) error {
			if err != nil {
				return err
			}
			info := must(d.Info())
			fmt.Fprintln(&stdout, info.Mode(), filepath.ToSlash(must(filepath.Rel(s.dir, name))))
			return nil
		}))
	case "rm":
		check(os.RemoveAll(s.path(args[1])))
	case "link":
		check(os.Symlink(s.path(args[1]), s.path(args[2])))
	case "flip", "cut":
		b, err := os.ReadFile(s.path(args[1]))
		check(err)
		var n int
		fmt.Sscan(args[2], &n)
		if args[0] == "cut" {
			b = b[:len(b)-n]
		} else {
			b[(n+len(b))%len(b)] ^= 1
		}
		check(os.WriteFile(s.path(args[1]), b, 0o600))
	case "env":
		name, value, _ := strings.Cut(args[1], "=")
		s.env[name] = value
	case "wait":
		time.Sleep(must(time.ParseDuration(args[1])))
	case "terminal":
		s.terminal = true
	case "alias-key":
		check(os.WriteFile(s.path(args[1]), []byte(s.alias.Reveal()+"\n"), 0o600))
	case "person", "forget", "open":
		fmt.Fprintln(&stdout, s.person(args[0], args[1], args[2]))
	default:
		s.t.Fatalf("no such command: %s", line)
	}
	s.learn(stdout.String())
	return s.hide(transcript.Output(stdout.String(), stderr.String(), code))
}

func (s *session) person(do, dir, name string) string {
	store, err := shred.NewFileStore(shred.FileConfig{Dir: s.path(dir), Create: do == "person"})
	if err != nil {
		return err.Error()
	}
	people := must(shred.New(shred.Config{Store: store, Ring: s.people, AliasKey: s.alias}))
	c := seal.Context{Purpose: "chat", Subject: name}
	switch do {
	case "person":
		s.boxes[name] = must(people.Seal(context.Background(), nil, []byte("hello, "+name), c))
		return "sealed"
	case "forget":
		proof := must(people.Shred(context.Background(), shred.Subject{ID: name}))
		f := must(os.OpenFile(s.path("proofs"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600))
		fmt.Fprintln(f, proof)
		f.Close()
		return "forgotten"
	}
	msg, err := people.Open(context.Background(), nil, s.boxes[name], c)
	if err != nil {
		return err.Error()
	}
	return string(msg)
}

// learn notes the keys that were printed, and the ids that are new in a ring.
func (s *session) learn(stdout string) {
	s.keys = append(s.keys, wholeKey.FindAllString(stdout, -1)...)
	note := func(id string) {
		for _, known := range s.ids {
			if known == id {
				return
			}
		}
		s.ids = append(s.ids, id)
	}
	for _, key := range s.keys {
		note(key[16:24])
	}
	rings := must(filepath.Glob(filepath.Join(s.dir, "*.ring")))
	for _, name := range rings {
		for _, m := range keyID.FindAllStringSubmatch(string(must(os.ReadFile(name))), -1) {
			note(m[1])
		}
	}
}

// hide writes placeholders for what chance or the machine has made.
func (s *session) hide(text string) string {
	text = wholeKey.ReplaceAllStringFunc(text, func(k string) string { return k[:len(k)-43] + strings.Repeat(".", 43) })
	for i, id := range s.ids {
		text = strings.ReplaceAll(text, id, placeholder(i))
	}
	text = unknown.ReplaceAllString(text, "unknown key ........")
	text = hidden.ReplaceAllString(text, ".$1$2.TEMPORARY")
	return strings.ReplaceAll(text, s.dir+"/", "./")
}

func run(cfg cli.Config, args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	cfg.Stdout, cfg.Stderr, cfg.Getenv = &out, &errs, func(string) string { return "" }
	code = cli.Main(context.Background(), cfg, args)
	return out.String(), errs.String(), code
}

func TestWrongUseIsExitCode2AndMakesNothing(t *testing.T) {
	dir := t.TempDir()
	ring := "-ring=" + filepath.Join(dir, "ring")
	run(cli.Config{}, "keygen", ring)
	out := filepath.Join(dir, "out")
	for _, args := range [][]string{
		{}, {"nonsense"}, {"keys"}, {"keys", ring, "x"}, {"keys", ring, "-x"}, {"keys", ring, ring}, {"keygen"}, {"keygen", "-print", "-json"}, {"keygen", ring, "-stdin"},
		{"encrypt", ring, "a", "b"}, {"encrypt", ring, "-json"}, {"encrypt", ring, "-workers", "x"}, {"decrypt", ring, "a"}, {"decrypt", ring, "-out", "-", "-json"},
		{"rotate", ring}, {"rotate", ring, "-add", "-promote", "00000001"}, {"rotate", ring, "-promote", "x"}, {"rotate", ring, "-add", "file"},
		{"backup", ring, "-label", "l", "-counter", "1", "a=" + dir}, {"backup", ring, "-label", "l", "-out", out, "-counter", "1"}, {"backup", ring, "-label", "l", "-out", out, "-counter", "1", dir},
		{"backup", ring, "-label", "l", "-out", out, "a=" + dir}, {"backup", ring, "-out", out, "-counter", "1", "a=" + dir}, {"backup", ring, "-label", "l", "-out", out, "-counter", "1", "-ledger", out, "a=" + dir},
		{"backup", ring, "-label", "l", "-out", out, "-counter", "1", "-skip", "[", "a=" + dir}, {"backup", ring, "-label", "a\nb", "-out", out, "-counter", "1", "a=" + dir},
		{"verify", ring, "-label", "l"}, {"verify", ring, "f"}, {"restore", ring, "-label", "l", "f"}, {"restore", ring, "-label", "l", "-to", out}, {"restore", ring, "-label", "l", "-to", out, "-tombstones", "x", "f"},
	} {
		stdout, stderr, code := run(cli.Config{Stdin: strings.NewReader("")}, args...)
		if code != cli.Usage || stdout != "" || !strings.HasPrefix(stderr, "vault: ") {
			t.Errorf("%q: exit code %d, %q, %q", args, code, stdout, stderr)
		}
	}
	if list := must(os.ReadDir(dir)); len(list) != 1 {
		t.Errorf("%v", list)
	}
}

func TestACommandDoesNotShowWhatMayBeAKey(t *testing.T) {
	key := seal.GenerateKey().Reveal()
	for _, args := range [][]string{{key}, {"keygen", "-ring", filepath.Join(t.TempDir(), "r"), "-stdin"}} {
		stdout, stderr, _ := run(cli.Config{Stdin: strings.NewReader(key + "x")}, args...)
		if strings.Contains(stdout+stderr, key[25:]) {
			t.Errorf("%q prints it", args[0])
		}
	}
}

// The drill, in one process: what is destroyed comes back, and is what it was.
func TestBackupDestroyRestoreVerify(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	do := func(args ...string) string {
		t.Helper()
		stdout, stderr, code := run(cli.Config{}, append(args, "-ring", at("ring"))...)
		if code != cli.OK {
			t.Fatalf("%q: exit code %d, %s", args, code, stderr)
		}
		return stdout
	}
	want := map[string]string{}
	for i := range 50 {
		name, text := fmt.Sprintf("d%d/f%d", i%7, i), strings.Repeat(fmt.Sprint("content ", i), i*i*10)
		want[name] = text
		if err := errors.Join(os.MkdirAll(filepath.Dir(at("live/"+name)), 0o700), os.WriteFile(at("live/"+name), []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	do("keygen")
	do("backup", "-label", "l", "-ledger", at("ledger"), "-out", at("b"), "live="+at("live"))
	if err := os.RemoveAll(at("live")); err != nil {
		t.Fatal(err)
	}
	do("verify", "-label", "l", "-ledger", at("ledger"), at("b"))
	do("restore", "-label", "l", "-ledger", at("ledger"), at("b"), "-to", at("restored"))
	do("verify", "-label", "l", "-ledger", at("ledger"), at("b"))
	n := 0
	_ = filepath.WalkDir(at("restored/live"), func(name string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel := filepath.ToSlash(must(filepath.Rel(at("restored/live"), name)))
			if string(must(os.ReadFile(name))) != want[rel] {
				t.Errorf("%s is another one", rel)
			}
			n++
		}
		return err
	})
	if n != 50 {
		t.Errorf("%d files are back", n)
	}
}

func TestACheckpointIsShownToTheProgram(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.WriteFile(at("checkpoint"), []byte("tree 17"), 0o600); err != nil {
		t.Fatal(err)
	}
	run(cli.Config{}, "keygen", "-ring", at("ring"))
	if _, stderr, code := run(cli.Config{}, "backup", "-ring", at("ring"), "-label", "l", "-counter", "1", "-checkpoint", at("checkpoint"), "-out", at("b"), "c="+at("checkpoint")); code != cli.OK {
		t.Fatal(stderr)
	}
	seen := ""
	cfg := cli.Config{CheckCheckpoint: func(_ context.Context, p []byte) error {
		seen = string(p)
		return errors.New("the live log has no such tree")
	}}
	if _, stderr, code := run(cfg, "verify", "-ring", at("ring"), "-label", "l", at("b")); code != cli.Damaged || seen != "tree 17" || !strings.Contains(stderr, "no such tree") {
		t.Errorf("%d, %q, %q", code, seen, stderr)
	}
	if _, stderr, code := run(cli.Config{}, "verify", "-ring", at("ring"), "-label", "l", "-newest", "1", at("b")); code != cli.OK || !strings.Contains(stderr, "cannot check it") {
		t.Errorf("%d, %q", code, stderr)
	}
}

// A file that is no terminal gets no progress bar, and a pipe neither.
func TestOnlyATerminalGetsAProgressBar(t *testing.T) {
	dir := t.TempDir()
	f := must(os.Create(filepath.Join(dir, "stderr")))
	defer f.Close()
	var out bytes.Buffer
	ring := filepath.Join(dir, "ring")
	run(cli.Config{}, "keygen", "-ring", ring)
	if code := cli.Main(t.Context(), cli.Config{Stdin: strings.NewReader("x"), Stdout: &out, Stderr: f, Getenv: func(string) string { return "" }}, []string{"encrypt", "-ring", ring}); code != cli.OK {
		t.Fatal(code)
	}
	if text := must(os.ReadFile(f.Name())); len(text) > 0 {
		t.Errorf("%q", text)
	}
}

package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/crypto/vault/cli"
)

// fixture is a directory with a ring.
func fixture(t *testing.T) (at func(string) string, do func(args ...string) (stdout, stderr string, code int)) {
	dir := t.TempDir()
	at = func(name string) string { return filepath.Join(dir, name) }
	do = func(args ...string) (string, string, int) {
		return run(cli.Config{}, append(args, "-ring", at("ring"))...)
	}
	if _, stderr, code := do("keygen"); code != cli.OK {
		t.Fatal(stderr)
	}
	return at, do
}

func TestRotateRefusesLinksAndKeepsTheMode(t *testing.T) {
	at, do := fixture(t)
	if err := os.WriteFile(at("a.txt"), []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	do("encrypt", at("a.txt"), "-out", at("a"))
	if err := errors.Join(os.Chmod(at("a"), 0o664), os.Symlink(at("a"), at("link"))); err != nil {
		t.Skip(err)
	}
	before := must(os.ReadFile(at("a")))
	if _, stderr, code := do("rotate", at("link")); code != cli.Refused || !strings.Contains(stderr, "not a regular file") {
		t.Errorf("a symbolic link: %d, %s", code, stderr)
	}
	if _, stderr, code := do("rotate", at("a")); code != cli.OK {
		t.Errorf("%d, %s", code, stderr)
	}
	if mode := must(os.Stat(at("a"))).Mode().Perm(); mode != 0o664 && runtime.GOOS != "windows" || bytes.Equal(before, must(os.ReadFile(at("a")))) {
		t.Errorf("mode %v, or it is the same", mode)
	}
	if err := os.Link(at("a"), at("b")); err != nil || runtime.GOOS == "windows" {
		t.Skip(err)
	}
	if _, stderr, code := do("rotate", at("a")); code != cli.Refused || !strings.Contains(stderr, "hard links") {
		t.Errorf("a hard link: %d, %s", code, stderr)
	}
}

func TestNoMessageShowsAKeyThatStandsWhereANameShould(t *testing.T) {
	key := seal.GenerateKey().Reveal()
	at, _ := fixture(t)
	for _, args := range [][]string{
		{"keys", "-ring", key}, {"rotate", "-promote", key, "-ring", at("ring")}, {"decrypt", key, "-out", "-", "-ring", at("ring")}, {"verify", key, "-label", "l", "-ring", at("ring")},
		{"restore", at("x"), "-to", at("y"), "-label", "l", "-tombstones", at("z"), "-alias-key", key, "-ring", at("ring")}, {"keys", "-" + key}, {"backup", key, "-out", "x", "-ring", at("ring")},
	} {
		stdout, stderr, code := run(cli.Config{}, args...)
		if strings.Contains(stdout+stderr, key[25:40]) || code == cli.OK {
			t.Errorf("%q: %d, %s%s", args[0], code, stdout, stderr)
		}
	}
	_, stderr, _ := run(cli.Config{}, "keys", "-ring", "a\x1b]0;x\abc")
	if strings.ContainsAny(stderr, "\x1b\a") {
		t.Errorf("%q", stderr)
	}
}

func TestNamesInABackupDoNothingToATerminal(t *testing.T) {
	at, do := fixture(t)
	name := "a\u202eb\u009b31m" // turns the direction of the text, and its colour
	if err := errors.Join(os.Mkdir(at("d"), 0o700), os.WriteFile(at("d/"+"x\u202ey"), nil, 0o600)); err != nil {
		t.Skip(err)
	}
	do("backup", "-label", "l", "-counter", "1", "-out", at("b"), "d="+at("d"))
	stdout, stderr, code := do("verify", "-label", "l", "-newest", "1", "-list", at("b"))
	if code != cli.OK || strings.Contains(stdout, "\u202e") || !strings.Contains(stdout, `x\u202ey`) {
		t.Errorf("%d, %q, %q", code, stdout, stderr)
	}
	if _, stderr, _ := do("verify", "-label", "l", "-newest", "1", at(name)); strings.ContainsAny(stderr, "\u202e\u009b") {
		t.Errorf("%q", stderr)
	}
}

func TestAMisspelledLedgerIsNotAnEmptyOne(t *testing.T) {
	at, do := fixture(t)
	do("backup", "-label", "l", "-ledger", at("ledger"), "-out", at("1"), "r="+at("ring"))
	do("backup", "-label", "l", "-ledger", at("ledger"), "-out", at("2"), "r="+at("ring"))
	for _, args := range [][]string{{"verify", at("1")}, {"restore", at("1"), "-to", at("to")}} {
		if _, stderr, code := do(append(args, "-label", "l", "-ledger", at("legder"))...); code == cli.OK {
			t.Errorf("%s: %d, %s", args[0], code, stderr)
		}
		if _, err := os.Lstat(at("legder")); err == nil {
			t.Error("it was made")
		}
	}
	before := string(must(os.ReadFile(at("ledger"))))
	if _, stderr, code := do("verify", at("1"), "-label", "l", "-ledger", at("ledger"), "-allow-rollback"); code != cli.OK {
		t.Errorf("%d, %s", code, stderr)
	}
	if after := string(must(os.ReadFile(at("ledger")))); after != before {
		t.Errorf("an old backup was noted as verified: %s", after)
	}
}

func TestWithJSONEveryFailurePrintsOneValue(t *testing.T) {
	at, do := fixture(t)
	do("backup", "-label", "l", "-ledger", at("ledger"), "-out", at("1"), "r="+at("ring"))
	do("backup", "-label", "l", "-ledger", at("ledger"), "-out", at("2"), "r="+at("ring"))
	for _, c := range []struct {
		args []string
		code int
		kind string
	}{
		{[]string{"verify", at("none"), "-label", "l"}, cli.Failed, "failed"},
		{[]string{"verify", at("1"), "-label", "l", "-ledger", at("ledger")}, cli.Refused, "older"},
		{[]string{"verify", at("1"), "-label", "other", "-newest", "1"}, cli.Damaged, "decrypt"},
		{[]string{"verify", at("1"), "-label", "other", "-ledger", at("ledger")}, cli.Failed, "failed"},
		{[]string{"restore", at("2"), "-label", "l", "-newest", "2", "-to", at("ring")}, cli.Refused, "exists"},
		{[]string{"verify", at("1"), "-label", "l", "-newest", "1", "-nonsense"}, cli.Usage, "usage"},
		{[]string{"keys", "-ring", at("none")}, cli.NoKey, "no_key"},
	} {
		args := append(c.args, "-json")
		if c.args[0] != "keys" {
			args = append(args, "-ring", at("ring"))
		}
		stdout, stderr, code := run(cli.Config{}, args...)
		var v struct {
			Failures []struct{ Kind string }
			Error    struct {
				Code int
				Kind string
			}
		}
		d := json.NewDecoder(strings.NewReader(stdout))
		err := d.Decode(&v)
		kind := v.Error.Kind
		if len(v.Failures) > 0 {
			kind = v.Failures[0].Kind
		}
		if err != nil || kind != c.kind || code != c.code || d.More() {
			t.Errorf("%q: %d, %v, %q, %s%s", c.args, code, err, kind, stdout, stderr)
		}
	}
}

// stuck is a standard input on which nobody types.
type stuck struct{ read chan struct{} }

func (s stuck) Read([]byte) (int, error) {
	close(s.read)
	select {}
}

func TestAnInterruptEndsAReadAndLeavesNothing(t *testing.T) {
	at, _ := fixture(t)
	ctx, cancel := context.WithCancel(t.Context())
	in := stuck{make(chan struct{})}
	go func() {
		<-in.read
		cancel()
	}()
	var stderr bytes.Buffer
	code := cli.Main(ctx, cli.Config{Stdin: in, Stdout: io.Discard, Stderr: &stderr, Getenv: func(string) string { return "" }}, []string{"encrypt", "-out", at("out"), "-ring", at("ring")})
	if code != cli.Interrupted || stderr.String() != "vault: interrupted; nothing was left behind\n" {
		t.Errorf("%d, %q", code, stderr.String())
	}
	if list := must(os.ReadDir(at("."))); len(list) != 1 {
		t.Errorf("%v", list)
	}
}

func TestAWrongNameUsesUpNoCounter(t *testing.T) {
	at, do := fixture(t)
	for _, args := range [][]string{{"a/b=" + at("ring")}, {"keys=" + at("ring"), "keys=" + at("ring")}} {
		stdout, stderr, code := do(append([]string{"backup", "-label", "l", "-ledger", at("ledger"), "-out", at("b")}, args...)...)
		if code != cli.Usage || stdout != "" || !strings.Contains(stderr, "NAME") && !strings.Contains(stderr, "given twice") {
			t.Errorf("%d, %s", code, stderr)
		}
	}
	if _, err := os.Lstat(at("ledger")); err == nil {
		t.Error("a counter was used up")
	}
}

func TestNothingEncryptedIsWrittenToATerminal(t *testing.T) {
	at, _ := fixture(t)
	device, err := os.OpenFile("/dev/zero", os.O_WRONLY, 0) // a character device, as a terminal is
	if err != nil {
		t.Skip(err)
	}
	defer device.Close()
	var stderr bytes.Buffer
	code := cli.Main(t.Context(), cli.Config{Stdin: strings.NewReader("x"), Stdout: device, Stderr: &stderr, Getenv: func(string) string { return "" }}, []string{"encrypt", "-ring", at("ring")})
	if code != cli.Usage || !strings.Contains(stderr.String(), "terminal") {
		t.Errorf("%d, %q", code, stderr.String())
	}
}

func TestHelpOfACommandAndTheVersionArePrinted(t *testing.T) {
	help, _, code := run(cli.Config{}, "help", "backup")
	if want, _, _ := run(cli.Config{}, "backup", "-h"); code != cli.OK || help != want || !strings.Contains(help, "-append-only") {
		t.Errorf("%d, %s", code, help)
	}
	if version, _, code := run(cli.Config{}, "version"); code != cli.OK || !strings.HasPrefix(version, "vault of github.com/mantlet-go/mantlet ") {
		t.Errorf("%d, %s", code, version)
	}
}

func TestAFileThatCameMeanwhileIsNotReplaced(t *testing.T) {
	at, _ := fixture(t)
	in := io.MultiReader(strings.NewReader("secret"), writes(func() { _ = os.WriteFile(at("out"), []byte("x"), 0o600) }))
	if _, stderr, code := run(cli.Config{Stdin: in}, "encrypt", "-out", at("out"), "-ring", at("ring")); code != cli.Refused {
		t.Errorf("%d, %s", code, stderr)
	}
	if text := must(os.ReadFile(at("out"))); string(text) != "x" {
		t.Errorf("%d bytes", len(text))
	}
}

// writes is a reader of nothing that does something first.
type writes func()

func (w writes) Read([]byte) (int, error) {
	w()
	return 0, io.EOF
}

package cli_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/keyctl/cli"
	"github.com/mantlet-go/mantlet/internal/transcript"
)

// TestTranscripts replays the sessions in testdata (see package transcript). The commands are keyctl, whose standard input stands behind
// <<<, and four of the test's own:
//
//	use N SCOPE ...   the server: somebody calls with the N-th key that was made, and needs these scopes
//	wait 36h          time goes by
//	env NAME=VALUE    sets a variable of keyctl's environment
//	cat FILE          shows a file of the store's directory
//
// Time is that of a synctest bubble and begins at 2000-01-01; a keyctl takes a second. The N-th key's id is printed and typed as ID0000000001, its secret as
// dots: so the transcripts also prove where a secret is printed. KEY2 is the second key whole, when it is typed.
func TestTranscripts(t *testing.T) {
	for _, name := range transcript.Files(t) {
		t.Run(filepath.Base(name), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &session{t: t, dir: t.TempDir(), env: map[string]string{"KEYCTL_PREFIX": "acme", "KEYCTL_ENV": "live"}}
				s.env["KEYCTL_STORE"] = "file:" + filepath.Join(s.dir, "keys.json")
				transcript.Check(t, name, s.typed)
			})
		})
	}
}

type session struct {
	t    *testing.T
	dir  string
	env  map[string]string
	ids  []string
	keys []string
}

// oldKey is a key of another system. No scanner shall find one in this repository.
const oldKey = "old-" + "7Qm2vXc9Lr4T" + "zW8pKd1YbN6s"

var wholeKey = regexp.MustCompile(`[a-z]+_[a-z]+_[0-9A-Za-z]{12}_[0-9A-Za-z]{36}`)

func (s *session) typed(line string) string {
	line = strings.ReplaceAll(line, "OLDKEY", oldKey)
	for i, id := range s.ids {
		line = strings.ReplaceAll(line, placeholder(i), id)
	}
	line, input, _ := strings.Cut(line, " <<< ")
	for i, key := range s.keys {
		line, input = strings.ReplaceAll(line, fmt.Sprint("KEY", i+1), key), strings.ReplaceAll(input, fmt.Sprint("KEY", i+1), key)
	}
	args := transcript.Fields(line)
	var stdout, stderr bytes.Buffer
	code := 0
	switch args[0] {
	case "keyctl":
		code = cli.Main(context.Background(), cli.Config{Stdin: strings.NewReader(input), Stdout: &stdout, Stderr: &stderr, Getenv: s.getenv}, args[1:])
		time.Sleep(time.Second) // nobody types faster, and keys are listed by age
	case "use":
		fmt.Fprintln(&stdout, s.use(args[1:]))
	case "wait":
		d, err := time.ParseDuration(args[1])
		if err != nil {
			s.t.Fatal(err)
		}
		time.Sleep(d)
	case "env":
		name, value, _ := strings.Cut(args[1], "=")
		s.env[name] = value
	case "cat":
		b, err := os.ReadFile(filepath.Join(s.dir, args[1]))
		if err != nil {
			s.t.Fatal(err)
		}
		stdout.Write(b)
	default:
		s.t.Fatalf("no such command: %s", line)
	}
	s.learn(stdout.String())
	return s.hide(transcript.Output(stdout.String(), stderr.String(), code))
}

func (s *session) getenv(name string) string {
	return s.env[name]
}

func placeholder(i int) string { return fmt.Sprintf("ID%010d", i+1) }

// learn notes the keys that were printed and the ids that are new in the store.
func (s *session) learn(stdout string) {
	s.keys = append(s.keys, wholeKey.FindAllString(stdout, -1)...)
	store, err := apikey.NewFileStore(apikey.FileConfig{Path: filepath.Join(s.dir, "keys.json")})
	if err != nil {
		return // not made yet
	}
	b, err := store.Load(context.Background(), "")
	if err != nil {
		s.t.Fatal(err)
	}
	for _, r := range b.Records {
		known := false
		for _, id := range s.ids {
			known = known || id == r.ID
		}
		if !known {
			s.ids = append(s.ids, r.ID)
		}
	}
}

// hide writes placeholders for what chance or the machine has made.
func (s *session) hide(text string) string {
	text = wholeKey.ReplaceAllStringFunc(text, func(k string) string { return k[:len(k)-36] + strings.Repeat(".", 36) })
	for i, id := range s.ids {
		text = strings.ReplaceAll(text, id, placeholder(i))
	}
	return strings.ReplaceAll(strings.ReplaceAll(text, oldKey, "OLDKEY"), s.dir, "DIR")
}

// use calls a server that has the same key file.
func (s *session) use(args []string) string {
	store, err := apikey.NewFileStore(apikey.FileConfig{Path: filepath.Join(s.dir, "keys.json")})
	if err != nil {
		s.t.Fatal(err)
	}
	m, err := apikey.New(apikey.Config{
		Store: store, Prefix: "acme", Env: "live", PollInterval: -1, Foreign: []apikey.Foreign{{Name: "old", Prefix: "old-", MinLen: 20, MaxLen: 64}},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	key := args[0]
	if n := 0; len(key) < 3 {
		fmt.Sscan(key, &n)
		key = s.keys[n-1]
	}
	p, err := m.Verify(key, netip.MustParseAddr("192.0.2.1"), time.Now())
	if err != nil {
		return "refused: " + err.Error()
	}
	for _, scope := range args[1:] {
		if !p.HasScope(scope) {
			return "refused: scope " + scope
		}
	}
	if err := m.Close(context.Background()); err != nil {
		s.t.Fatal(err)
	}
	return "accepted: " + p.ClientID
}

func run(cfg cli.Config, args ...string) (stdout, stderr string, code int) {
	var out, errs bytes.Buffer
	if cfg.Stdout == nil {
		cfg.Stdout = &out
	}
	cfg.Stderr, cfg.Getenv = &errs, func(string) string { return "" }
	code = cli.Main(context.Background(), cfg, args)
	return out.String(), errs.String(), code
}

func TestWrongUseIsExitCode2AndChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	store := "-store=file:" + path
	run(cli.Config{}, "init", store)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{}, {"nonsense"}, {"list"}, {"list", "-store", "keys.json"}, {"list", "-store", "mysql:x"}, {"list", "-store", "file:"}, {"list", store, "extra"},
		{"show", store}, {"revoke", store}, {"revoke", store, "a", "-client", "b"}, {"revoke", store, "-"}, {"rotate", store, "a", "b"}, {"disable", store}, {"create", store, "-client", "a"}, {"create", store, "-prefix", "acme", "-client", "a"},
		{"create", store, "-prefix", "Acme", "-env", "live", "-client", "a"}, {"create", store, "-prefix", "acme", "-env", "live"},
		{"create", store, "-prefix", "acme", "-env", "live", "-client", "a", "-scopes", "a b"}, {"create", store, "-prefix", "acme", "-env", "live", "-client", "a", "-expires", "soon"},
		{"create", store, "-prefix", "acme", "-env", "live", "-client", "a", "-expires", "1999-01-01"}, {"create", store, "-prefix", "acme", "-env", "live", "-client", "a", "-addresses", "192.0.2.x"},
		{"create", store, "-prefix", "acme", "-env", "live", "-client", "a", "-label", "owner"}, {"create", store, "-prefix", "acme", "-env", "live", "-client", "a", "-max-lifetime", "99999999d"},
		{"list", store, "-nonsense"}, {"sweep", store, "-dormant", "1m"}, {"import", store, "-client", "a", "-format", "old", "-match", "sk-"},
	} {
		stdout, stderr, code := run(cli.Config{Stdin: strings.NewReader("")}, args...)
		if code != cli.Usage || stdout != "" || !strings.HasPrefix(stderr, "keyctl: ") {
			t.Errorf("%q: exit code %d, %q, %q", args, code, stdout, stderr)
		}
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("the store was changed")
	}
}

func TestAStoreThatFailsIsExitCode1(t *testing.T) {
	missing := "-store=file:" + filepath.Join(t.TempDir(), "none.json")
	if _, stderr, code := run(cli.Config{}, "list", missing); code != cli.Failed || stderr == "" {
		t.Errorf("%d, %q", code, stderr)
	}
	if _, err := os.Stat(strings.TrimPrefix(missing, "-store=file:")); err == nil {
		t.Error("list made a store")
	}
	closed := 0
	open := func(context.Context, string, bool) (apikey.Store, func() error, error) {
		return apikey.NewMemoryStore(), func() error { closed++; return errors.New("connection lost") }, nil
	}
	if _, stderr, code := run(cli.Config{Openers: map[string]cli.Opener{"db": open}}, "list", "-store", "db:x"); code != cli.Failed || closed != 1 || !strings.Contains(stderr, "connection lost") {
		t.Errorf("%d, %d, %q", code, closed, stderr)
	}
	if _, stderr, _ := run(cli.Config{Openers: map[string]cli.Opener{"db": open}}, "list", "-store", "postgres:user:"+"hunter2@host"); strings.Contains(stderr, "hunter2") {
		t.Errorf("a password of the address is printed: %q", stderr)
	}
}

func TestHelpListsTheStoresOfThisKeyctlAndNoPassword(t *testing.T) {
	for _, args := range [][]string{{"-h"}, {"create", "-h"}, {"list", "-nonsense"}, {"list", "-store", "x"}} {
		var stdout, stderr bytes.Buffer
		code := cli.Main(t.Context(), cli.Config{
			Openers: map[string]cli.Opener{"sqlite": nil, "postgres": nil}, Stdout: &stdout, Stderr: &stderr,
			Getenv: func(string) string { return "postgres:user:" + "hunter2@host" },
		}, args)
		if all := stdout.String() + stderr.String(); strings.Contains(all, "hunter2") {
			t.Errorf("%q prints a password: %s", args, all)
		} else if code == cli.OK && !strings.Contains(all, "file:PATH or postgres:ADDRESS or sqlite:ADDRESS") {
			t.Errorf("%q: %s", args, all)
		}
	}
}

// broken is a pipe whose reader has gone.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func TestAKeyThatCouldNotBeShownIsNamed(t *testing.T) {
	mem := apikey.NewMemoryStore()
	open := func(context.Context, string, bool) (apikey.Store, func() error, error) { return mem, nil, nil }
	_, stderr, code := run(cli.Config{Stdout: broken{}, Openers: map[string]cli.Opener{"m": open}}, "create", "-store", "m:x", "-prefix", "acme", "-env", "live", "-client", "a")
	b, _ := mem.Load(context.Background(), "")
	if code != cli.Failed || len(b.Records) != 1 || !strings.Contains(stderr, b.Records[0].ID) || strings.Contains(stderr, "acme_live_") {
		t.Errorf("%d, %q", code, stderr)
	}
}

// forgetful is a store that fails from the n-th Get on.
type forgetful struct {
	*apikey.MemoryStore
	gets int
}

func (s *forgetful) Get(ctx context.Context, id string) (apikey.Record, error) {
	if s.gets--; s.gets < 0 {
		return apikey.Record{}, errors.New("connection lost")
	}
	return s.MemoryStore.Get(ctx, id)
}

func TestANewKeyIsShownAlthoughTheOldOneCannotBeReadAnyMore(t *testing.T) {
	s := &forgetful{apikey.NewMemoryStore(), 2} // what a rotation needs
	cfg := cli.Config{Openers: map[string]cli.Opener{"m": func(context.Context, string, bool) (apikey.Store, func() error, error) { return s, nil, nil }}}
	stdout, _, _ := run(cfg, "create", "-store", "m:x", "-prefix", "acme", "-env", "live", "-client", "a", "-quiet")
	stdout, stderr, code := run(cfg, "rotate", strings.TrimSpace(stdout), "-store", "m:x", "-quiet")
	if code != cli.Failed || !wholeKey.MatchString(stdout) || !strings.Contains(stderr, "connection lost") {
		t.Errorf("%d, %q, %q", code, stdout, stderr)
	}
}

// unused is a store whose uses cannot be read.
type unused struct{ *apikey.MemoryStore }

func (unused) Usage(context.Context) (time.Time, []apikey.Usage, error) {
	return time.Time{}, nil, errors.New("belongs to another user")
}

func (unused) UsageOf(context.Context, string) (apikey.Usage, error) {
	return apikey.Usage{}, errors.New("belongs to another user")
}

func TestWhereUsesCannotBeReadOnlyAReviewFails(t *testing.T) {
	s := unused{apikey.NewMemoryStore()}
	cfg := cli.Config{Openers: map[string]cli.Opener{"m": func(context.Context, string, bool) (apikey.Store, func() error, error) { return s, nil, nil }}}
	for range 3 {
		if _, stderr, code := run(cfg, "create", "-store", "m:x", "-prefix", "acme", "-env", "live", "-client", "a"); code != cli.OK {
			t.Fatal(stderr)
		}
	}
	b, err := s.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	id := b.Records[0].ID
	for _, args := range [][]string{{"list"}, {"show", id}, {"disable", id}, {"enable", id}, {"rotate", id}, {"sweep"}, {"revoke", id}, {"revoke", "-client", "a"}} {
		stdout, stderr, code := run(cfg, append(args, "-store", "m:x")...)
		said := strings.Count(stderr, "belongs to another user; what is shown says nothing of uses")
		if code != cli.OK || args[0] != "sweep" && (said != 1 || !strings.Contains(stdout, id)) && (len(args) < 3 || said != 1) {
			t.Errorf("%q: exit code %d, %q, %q", args, code, stdout, stderr)
		}
	}
	if _, stderr, code := run(cfg, "review", "-store", "m:x"); code != cli.Failed || !strings.Contains(stderr, "belongs to another user") {
		t.Errorf("review: exit code %d, %q", code, stderr)
	}
}

func TestNoOutputHoldsASecretOrAHashButThatOfCreateAndRotate(t *testing.T) {
	slog.SetDefault(slog.New(slog.NewTextHandler(io.Discard, nil)))
	path := filepath.Join(t.TempDir(), "keys.json")
	do := func(stdin string, args ...string) string {
		t.Helper()
		stdout, stderr, code := run(cli.Config{Stdin: strings.NewReader(stdin)}, append(args, "-store", "file:"+path, "-prefix", "acme", "-env", "live")...)
		if code != cli.OK {
			t.Fatalf("%q: %d, %s", args, code, stderr)
		}
		if wholeKey.MatchString(stderr) {
			t.Errorf("%q prints a key on standard error", args)
		}
		return stdout
	}
	do("", "init")
	key := wholeKey.FindString(do("", "create", "-client", "a"))
	info, err := apikey.Inspect(key)
	if err != nil {
		t.Fatal(err)
	}
	next := wholeKey.FindString(do("", "rotate", info.ID, "-overlap", "1h", "-json"))
	heir, err := apikey.Inspect(next)
	if err != nil {
		t.Fatal(err)
	}
	foreign := "sk-" + key[len(key)-30:]
	imported := do(foreign, "import", "-client", "b", "-format", "old", "-match", "sk-", "-min", "20", "-max", "64")
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	hashes := regexp.MustCompile(`[0-9a-f]{64}`).FindAllString(string(file), -1)
	if len(hashes) != 3 {
		t.Fatalf("%d hashes", len(hashes))
	}
	all := imported + string(file[:0])
	for _, args := range [][]string{{"list"}, {"show", info.ID}, {"show", heir.ID}, {"disable", heir.ID, "-reason", "x"}, {"enable", heir.ID}, {"review"}, {"sweep"}, {"revoke", info.ID}} {
		all += do("", args...) + do("", append(args, "-json")...)
	}
	for _, secret := range append(hashes, key[len(key)-36:], next[len(next)-36:], foreign) {
		if strings.Contains(all, secret) {
			t.Error("a secret or a hash was printed")
		}
	}
	if wholeKey.MatchString(all) {
		t.Error("a key was printed")
	}
}

// spoiled is a store with a record that nobody can read.
type spoiled struct {
	*apikey.MemoryStore
	id string
}

func (s *spoiled) Load(ctx context.Context, since string) (apikey.Batch, error) {
	if s.id != "" {
		return apikey.Batch{}, fmt.Errorf("%w: row %q", apikey.ErrUnreadable, s.id)
	}
	return s.MemoryStore.Load(ctx, since)
}

func (s *spoiled) RevokeUnreadable(ctx context.Context, id string) (apikey.Record, error) {
	if id != s.id {
		return apikey.Record{}, apikey.ErrConflict
	}
	s.id = ""
	now := time.Now()
	return s.Put(ctx, apikey.Record{ID: id, Hash: apikey.Digest{1}, ClientID: "a", CreatedAt: now, RevokedAt: now})
}

func TestARecordNobodyCanReadIsNamedAndRevoked(t *testing.T) {
	s := &spoiled{apikey.NewMemoryStore(), "000000000001"}
	cfg := cli.Config{Openers: map[string]cli.Opener{"db": func(context.Context, string, bool) (apikey.Store, func() error, error) { return s, nil, nil }}}
	if _, stderr, code := run(cfg, "list", "-store", "db:x"); code != cli.Failed || !strings.Contains(stderr, "000000000001") {
		t.Errorf("list: %d, %s", code, stderr)
	}
	if _, stderr, code := run(cfg, "revoke", "000000000002", "-store", "db:x"); code != cli.Failed || !strings.Contains(stderr, "000000000001") {
		t.Errorf("revoke of another key: %d, %s", code, stderr)
	}
	if _, stderr, code := run(cfg, "revoke", "000000000001", "-store", "db:x"); code != 0 {
		t.Errorf("revoke: %d, %s", code, stderr)
	}
	if stdout, stderr, code := run(cfg, "list", "-store", "db:x"); code != 0 || !strings.Contains(stdout, "000000000001") {
		t.Errorf("list: %d, %s%s", code, stdout, stderr)
	}
}

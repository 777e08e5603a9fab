package apikey_test

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/authtest"
)

func fileStore(t testing.TB, path string) *apikey.FileStore {
	t.Helper()
	s, err := apikey.NewFileStore(apikey.FileConfig{Path: path, Create: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func stores(t *testing.T) map[string]apikey.Store {
	return map[string]apikey.Store{"memory": apikey.NewMemoryStore(), "file": fileStore(t, filepath.Join(t.TempDir(), "keys.json"))}
}

func TestAFileStoreSurvivesTheProcessAndHoldsNoSecret(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	m := with(t, apikey.Config{Store: fileStore(t, path), PollInterval: -1})
	key := authtest.Key(t, m, apikey.Spec{Models: []string{}, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), key) || strings.Contains(string(data), key[len(key)-36:len(key)-6]) {
		t.Error("the file holds the secret")
	}
	info, err := os.Stat(path)
	if err != nil || runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	again := with(t, apikey.Config{Store: fileStore(t, path), PollInterval: -1})
	p, err := again.Verify(key, netip.MustParseAddr("192.0.2.1"), time.Now())
	if err != nil || p.AllowsModel("m") || p.Models == nil {
		t.Errorf("%+v, %v: an empty list must stay an empty list", p, err)
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), ".*.tmp")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestABrokenKeyFileNeverReplacesGoodKeys(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("permission bits and symbolic links mean something else there")
	}
	dir := t.TempDir()
	path := filepath.Join(dir, "keys.json")
	m := with(t, apikey.Config{Store: fileStore(t, path), PollInterval: -1})
	key := authtest.Key(t, m, apikey.Spec{})
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	put := func(content string) func() {
		return func() { must(os.WriteFile(path, []byte(content), 0o600)) }
	}
	text := string(good)
	attacker := filepath.Join(dir, "attacker.json")
	must(os.WriteFile(attacker, []byte(strings.Replace(text, `"alice"`, `"mallory"`, 1)), 0o600))
	for _, c := range []struct {
		name string
		do   func()
	}{
		{"missing", func() { must(os.Remove(path)) }},
		{"no bytes", put("")},
		{"half written", put(text[:len(text)/2])},
		{"cut by one byte", put(strings.TrimRight(text, "\n")[:len(text)-2])},
		{"no keys any more", put(`{"format":"mantlet-apikeys","version":1,"keys":[]}`)},
		{"keys null", put(`{"format":"mantlet-apikeys","version":1,"keys":null}`)},
		{"another format", put(`{"format":"other","version":1,"keys":[]}`)},
		{"a later version", put(strings.Replace(text, `"version": 1,`, `"version": 2,`, 1))},
		{"an unknown member", put(strings.Replace(text, `"client_id"`, `"klient_id"`, 1))},
		{"a member twice", put(strings.Replace(text, `"client_id"`, `"client_id": "mallory", "client_id"`, 1))},
		{"a member in another case", put(strings.Replace(text, `"client_id"`, `"Client_ID": "mallory", "client_id"`, 1))},
		{"trailing data", put(text + "{}")},
		{"a byte order mark", put("\ufeff" + text)},
		{"zeros, as after a power cut", put(strings.Repeat("\x00", len(text)))},
		{"an HTML page", put("<html>502 Bad Gateway</html>")},
		{"a digest too short", put(strings.Replace(text, `"hash": "`, `"hash": "00`, 1))},
		{"readable by the group", func() { put(text)(); must(os.Chmod(path, 0o640)) }},
		{"readable by all", func() { put(text)(); must(os.Chmod(path, 0o644)) }},
		{"writable by all", func() { put(text)(); must(os.Chmod(path, 0o602)) }},
		{"a symbolic link", func() { must(os.Remove(path)); must(os.Symlink(attacker, path)) }},
		{"a directory", func() { must(os.Remove(path)); must(os.Mkdir(path, 0o700)) }},
	} {
		c.do()
		if err := m.Reload(t.Context()); err == nil {
			t.Errorf("%s: taken over", c.name)
		} else if strings.Contains(err.Error(), "mallory") {
			t.Errorf("%s: the error quotes the file: %v", c.name, err)
		}
		if p, err := m.Verify(key, netip.Addr{}, time.Now()); err != nil || p.ClientID != "alice" {
			t.Errorf("%s: the good key: %+v, %v", c.name, p, err)
		}
		if _, _, err := m.Create(t.Context(), apikey.Spec{ClientID: "b"}); err == nil {
			t.Errorf("%s: a write over a file nobody could read", c.name)
		}
		must(os.RemoveAll(path))
		must(os.WriteFile(path, good, 0o600))
		must(os.Chmod(path, 0o600))
		if err := m.Reload(t.Context()); err != nil {
			t.Fatalf("%s: after repair: %v", c.name, err)
		}
	}
	// A directory everybody may write to.
	must(os.Chmod(dir, 0o777))
	if err := m.Reload(t.Context()); err == nil {
		t.Error("a directory everybody may write to was accepted")
	}
	must(os.Chmod(dir, 0o700))
	if err := m.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	// And a file that was never good is no start.
	put("")()
	if _, err := apikey.NewFileStore(apikey.FileConfig{Path: path, Create: true}); err == nil {
		t.Error("NewFileStore takes an empty file")
	}
	if _, err := apikey.NewFileStore(apikey.FileConfig{Path: filepath.Join(dir, "none.json")}); err == nil {
		t.Error("NewFileStore without Create takes a missing file")
	}
	if _, err := apikey.NewFileStore(apikey.FileConfig{MaxBytes: -1}); err == nil || !strings.Contains(err.Error(), "Path") || !strings.Contains(err.Error(), "MaxBytes") {
		t.Errorf("%v", err)
	}
}

func TestAFileOfTheSameSizeAndTimeIsStillReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	s := fileStore(t, path)
	m := with(t, apikey.Config{Store: s, PollInterval: -1})
	key := authtest.Key(t, m, apikey.Spec{})
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	data, _ := os.ReadFile(path)
	if err := os.WriteFile(path, []byte(strings.Replace(string(data), `"alice"`, `"carol"`, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, info.ModTime(), info.ModTime()); err != nil {
		t.Fatal(err)
	}
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if p, err := m.Verify(key, netip.Addr{}, time.Now()); err != nil || p.ClientID != "carol" {
		t.Errorf("%+v, %v", p, err)
	}
}

func TestTwoProcessesShareAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	// Two stores have no memory in common, as two processes have not; they meet in the lock file.
	a, b := with(t, apikey.Config{Store: fileStore(t, path), PollInterval: -1}), with(t, apikey.Config{Store: fileStore(t, path), PollInterval: -1})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var keys []string
	for _, m := range []*apikey.Manager{a, b} {
		for range 2 {
			wg.Go(func() {
				for range 5 {
					secret, _, err := m.Create(context.Background(), apikey.Spec{ClientID: "alice"})
					if err != nil {
						t.Error(err)
						return
					}
					mu.Lock()
					keys = append(keys, secret.Reveal())
					mu.Unlock()
				}
			})
		}
	}
	wg.Wait()
	for name, m := range map[string]*apikey.Manager{"a": a, "b": b} {
		if err := m.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, k := range keys {
			if _, err := m.Verify(k, netip.Addr{}, time.Now()); err != nil {
				t.Errorf("%s: a write was lost: %v", name, err)
			}
		}
	}
	info, _ := apikey.Inspect(keys[0])
	if err := a.Revoke(t.Context(), info.ID); err != nil {
		t.Fatal(err)
	}
	if err := b.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Verify(keys[0], netip.Addr{}, time.Now()); !errors.Is(err, auth.ErrRevoked) {
		t.Errorf("%v", err)
	}
}

func TestTheFileIsSortedAndStable(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	m := with(t, apikey.Config{Store: fileStore(t, path), PollInterval: -1})
	for range 20 {
		authtest.Key(t, m, apikey.Spec{})
	}
	var f struct {
		Keys []struct{ ID string }
	}
	data, _ := os.ReadFile(path)
	if err := json.Unmarshal(data, &f); err != nil || len(f.Keys) != 20 {
		t.Fatalf("%v, %v", f, err)
	}
	if !slices.IsSortedFunc(f.Keys, func(a, b struct{ ID string }) int { return strings.Compare(a.ID, b.ID) }) {
		t.Error("not sorted")
	}
}

func TestWhatCouldNotBeReadBackIsNotWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	m := with(t, apikey.Config{Store: fileStore(t, path), PollInterval: -1})
	key := authtest.Key(t, m, apikey.Spec{Labels: map[string]string{"owner": "\u0001\u2028<&>\"\\"}})
	before, _ := os.ReadFile(path)
	for name, spec := range map[string]apikey.Spec{
		"labels that differ by case": {ClientID: "a", Labels: map[string]string{"owner": "x", "Owner": "y"}},
		"a label that is too long":   {ClientID: "a", Labels: map[string]string{"x": strings.Repeat("x", 513)}},
		"a label name too long":      {ClientID: "a", Labels: map[string]string{strings.Repeat("x", 65): ""}},
		"a client that is no UTF-8":  {ClientID: "a\xff"},
	} {
		if _, _, err := m.Create(t.Context(), spec); err == nil {
			t.Errorf("%s: made", name)
		}
	}
	if after, _ := os.ReadFile(path); string(after) != string(before) {
		t.Error("the file was changed")
	}
	if left, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*.tmp")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
	if err := m.Reload(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := m.Verify(key, netip.Addr{}, time.Now()); err != nil {
		t.Error(err)
	}
}

func TestABrokenFileOfUsesStopsReviewsAndNoCheck(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	m := with(t, apikey.Config{Store: fileStore(t, path), PollInterval: -1, Policy: apikey.Policy{DormantAfter: time.Hour}})
	key := authtest.Key(t, m, apikey.Spec{Scopes: []string{"a"}})
	if _, err := m.Sweep(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	uses := path + ".uses"
	good, err := os.ReadFile(uses)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(uses); runtime.GOOS != "windows" && info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v", info.Mode())
	}
	text := string(good)
	for name, content := range map[string]string{
		"no bytes": "", "half written": text[:len(text)/2], "the key file": `{"format":"mantlet-apikeys","version":1,"keys":[]}`,
		"an unknown member": strings.Replace(text, `"since"`, `"sinse"`, 1), "no beginning": `{"format":"mantlet-apikey-uses","version":1,"since":"0001-01-01T00:00:00Z","uses":[]}`, "trailing data": text + "x",
	} {
		if err := os.WriteFile(uses, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		// Keys in use must not look dormant, not even in a hundred years.
		if s, err := m.Sweep(t.Context(), time.Now().AddDate(100, 0, 0)); err == nil {
			t.Errorf("%s: swept %+v", name, s)
		}
		if _, err := m.List(t.Context()); err == nil {
			t.Errorf("%s: listed as if nothing had been used", name)
		}
		if err := m.Reload(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := m.Verify(key, netip.Addr{}, time.Now()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := os.Remove(uses); err != nil {
		t.Fatal(err)
	}
	if s, err := m.Sweep(t.Context(), time.Now().AddDate(0, 0, -1)); err != nil || s.Dormant != nil {
		t.Errorf("after it was deleted: %+v, %v", s, err)
	}
}

func TestAFileLargerThanMaxBytesIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	s, err := apikey.NewFileStore(apikey.FileConfig{Path: path, Create: true, MaxBytes: 700})
	if err != nil {
		t.Fatal(err)
	}
	m := with(t, apikey.Config{Store: s, PollInterval: -1})
	key := authtest.Key(t, m, apikey.Spec{})
	for range 3 {
		m.Create(t.Context(), apikey.Spec{ClientID: "b"})
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 700 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat(" ", 800)), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := m.Reload(t.Context()); err == nil {
		t.Error("a file of 800 bytes was read")
	}
	if _, err := m.Verify(key, netip.Addr{}, time.Now()); err != nil {
		t.Error(err)
	}
}

func TestAnErrorOfAFileStoreNamesTheFileAndTheWayOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	_, err := apikey.NewFileStore(apikey.FileConfig{Path: path})
	if !errors.Is(err, fs.ErrNotExist) || strings.Count(err.Error(), path) != 1 || !strings.HasSuffix(err.Error(), "; run keyctl init, or set FileConfig.Create") {
		t.Errorf("no file: %v", err)
	}
	s := fileStore(t, path)
	for content, want := range map[string]string{"": "is empty", "{}": "not a file of format", "{": "jsonscan"} {
		for name, call := range map[string]func() error{
			path:           func() error { _, err := s.Load(t.Context(), ""); return err },
			path + ".uses": func() error { _, _, err := s.Usage(t.Context()); return err },
		} {
			if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := call(); err == nil || strings.Count(err.Error(), name+": "+want) != 1 {
				t.Errorf("%q: %v", content, err)
			}
		}
	}
}

package seal_test

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/internal/privatefile"
)

func sameKeys(a, b *seal.Keyring) bool { return a.Reveal() == b.Reveal() }

func TestAKeyringComesBackFromItsFileTombstonesIncluded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	ring := fullRing(t)
	if _, err := seal.ReadKeyringFile(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), path) {
		t.Errorf("no file: %v", err)
	}
	if err := seal.CreateKeyringFile(path, ring); err != nil {
		t.Fatal(err)
	}
	if err := seal.CreateKeyringFile(path, ring); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	back, err := seal.ReadKeyringFile(path)
	if err != nil || !sameKeys(ring, back) {
		t.Fatalf("%v, %v; want %v", back.Keys(), err, ring.Keys())
	}
	if msg, err := back.Open(nil, mustSeal(t, ring, []byte("x"), here), here); err != nil || string(msg) != "x" {
		t.Error(err)
	}
	if info, err := os.Stat(path); err != nil || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Error(info.Mode(), err)
	}
	for _, k := range []*seal.Keyring{nil, new(seal.Keyring)} {
		if err := seal.CreateKeyringFile(path+"2", k); err != seal.ErrNoPrimary {
			t.Error(err)
		}
	}
}

func TestAKeyFileThatOthersCanReadIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("permission bits mean something else there")
	}
	path := filepath.Join(t.TempDir(), "keys")
	if err := seal.CreateKeyringFile(path, fullRing(t)); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("keys", path+"-link"); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.ReadKeyringFile(path + "-link"); err == nil || !strings.Contains(err.Error(), "symbolic link") {
		t.Error(err)
	}
	if err := os.Chmod(path, 0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.ReadKeyringFile(path); err == nil || !strings.Contains(err.Error(), "mode 0640") {
		t.Error(err)
	}
	if err := fullRing(t).ReloadFile(path); err == nil {
		t.Error("reloaded")
	}
}

func TestAKeyIsReplacedInAFileStepByStep(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	old, newer := seal.GenerateKey(), seal.GenerateKey()
	if err := seal.CreateKeyringFile(path, ringOf(t, old)); err != nil {
		t.Fatal(err)
	}
	running, err := seal.ReadKeyringFile(path)
	if err != nil {
		t.Fatal(err)
	}
	box := mustSeal(t, running, []byte("x"), here)
	for i, step := range []func(*seal.Keyring) error{
		func(r *seal.Keyring) error { return r.Add(newer, t0) },
		func(r *seal.Keyring) error { return r.Promote(newer.ID()) },
		func(r *seal.Keyring) error { return r.Retire(old.ID()) },
		func(r *seal.Keyring) error { return r.Destroy(old.ID()) },
	} {
		if err := seal.UpdateKeyringFile(t.Context(), path, step); err != nil {
			t.Fatal(i, err)
		}
		if err := running.ReloadFile(path); err != nil {
			t.Fatal(i, err)
		}
		_, err := running.Open(nil, box, here)
		want := [...]error{nil, nil, seal.ErrKeyDisabled, seal.ErrKeyDestroyed}[i]
		if !errors.Is(err, want) {
			t.Errorf("after step %d: %v, want %v", i+1, err, want)
		}
	}
	if running.Primary() != newer.ID() {
		t.Error("the primary key is another one")
	}
	before, _ := os.ReadFile(path)
	refuse := errors.New("no")
	if err := seal.UpdateKeyringFile(t.Context(), path, func(r *seal.Keyring) error { _ = r.Add(seal.GenerateKey(), t0); return refuse }); err != refuse {
		t.Error(err)
	}
	if after, _ := os.ReadFile(path); !bytes.Equal(before, after) {
		t.Error("a change that was refused is in the file")
	}
}

func TestAnOldFileBringsNoKeyBack(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys")
	old := seal.GenerateKey()
	ring := ringOf(t, seal.GenerateKey(), old)
	if err := seal.CreateKeyringFile(path, ring); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(ring.Retire(old.ID()), ring.Destroy(old.ID())); err != nil {
		t.Fatal(err)
	}
	var which *seal.KeyError
	if err := ring.ReloadFile(path); !errors.Is(err, seal.ErrRollback) || !errors.As(err, &which) || which.ID != old.ID() {
		t.Errorf("a file in which a destroyed key is alive: %v", err)
	}
	if err := seal.CreateKeyringFile(path+"2", ringOf(t, seal.GenerateKey())); err != nil {
		t.Fatal(err)
	}
	if err := ring.ReloadFile(path + "2"); !errors.Is(err, seal.ErrRollback) {
		t.Errorf("another ring's file: %v", err)
	}
	if ring.Keys()[0].State == seal.DecryptOnly || ring.Keys()[1].State == seal.DecryptOnly {
		t.Error("the ring has changed")
	}
	if err := new(seal.Keyring).ReloadFile(path); !errors.Is(err, seal.ErrNoPrimary) {
		t.Errorf("a ring that was not made by New: %v", err)
	}
}

func TestAFileFromBeforeAPromotionOrRetirementIsTaken(t *testing.T) { // as the documentation says
	path := filepath.Join(t.TempDir(), "keys")
	old, newer := numbered(1), numbered(2)
	ring := ringOf(t, old, newer)
	if err := seal.CreateKeyringFile(path, ring); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(ring.Promote(newer.ID()), ring.Retire(old.ID())); err != nil {
		t.Fatal(err)
	}
	if err := ring.ReloadFile(path); err != nil || ring.Primary() != old.ID() {
		t.Errorf("%v, primary %v", err, ring.Primary())
	}
}

// As after kill -9 in the middle of a write. What is in such a file would outlive the key.
func TestADestroyedKeyIsInNoFileThatAKilledWriterLeft(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "ring")
	old := numbered(1)
	if err := seal.CreateKeyringFile(path, ringOf(t, numbered(2), old)); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, ".ring.1234567.tmp")
	hourAgo := time.Now().Add(-time.Hour)
	text, err := os.ReadFile(path)
	if err = errors.Join(err, os.WriteFile(left, text, 0o600), os.Chtimes(left, hourAgo, hourAgo)); err != nil {
		t.Fatal(err)
	}
	if err := seal.UpdateKeyringFile(t.Context(), path, func(r *seal.Keyring) error {
		return errors.Join(r.Retire(old.ID()), r.Destroy(old.ID()))
	}); err != nil {
		t.Fatal(err)
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if data, err := os.ReadFile(filepath.Join(dir, f.Name())); err != nil || bytes.Contains(data, []byte(old.Reveal())) {
			t.Errorf("%s has the key still, %v", f.Name(), err)
		}
	}
}

func TestOneKeyIsReadFromItsFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if _, err := seal.ReadKeyFile(path); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "seal: key file "+path) {
		t.Errorf("no file: %v", err)
	}
	text := numbered(1).Reveal()
	for name, c := range map[string]struct{ text, want string }{
		"without a line break":   {text, ""},
		"with one":               {text + "\n", ""},
		"with two":               {text + "\n\n", "not 69 (a line break at the end?)"},
		"with Windows line ends": {text + "\r\n", "Windows line ends"},
		"a space behind":         {text + " ", "not 69"},
		"empty":                  {"", "not 0"},
		"cut":                    {text[:60], "not 60"},
		"a ring":                 {ringOf(t, numbered(1)).Reveal(), "a key is 68 characters"},
		"too long":               {strings.Repeat("x", 2000), "more than 1024"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o600); err != nil {
			t.Fatal(err)
		}
		key, err := seal.ReadKeyFile(path)
		if c.want == "" && (err != nil || !key.Equal(numbered(1))) {
			t.Errorf("%s: %v", name, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), text[30:40]) || key.Reveal() != "") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if runtime.GOOS == "windows" {
		return
	}
	if err := errors.Join(os.WriteFile(path, []byte(text), 0o600), os.Chmod(path, 0o644)); err != nil {
		t.Fatal(err)
	}
	if _, err := seal.ReadKeyFile(path); err == nil || !strings.Contains(err.Error(), "mode 0644") {
		t.Errorf("a file that everybody may read: %v", err)
	}
}

func TestManyWritersOfAKeyFileLoseNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	if err := seal.CreateKeyringFile(path, ringOf(t, seal.GenerateKey())); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 10 {
		wg.Go(func() {
			if err := seal.UpdateKeyringFile(context.Background(), path, func(r *seal.Keyring) error {
				return r.Add(seal.GenerateKey(), t0)
			}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if k, err := seal.ReadKeyringFile(path); err != nil || len(k.Keys()) != 11 {
		t.Errorf("%d keys, %v", len(k.Keys()), err)
	}
}

func TestAFileThatWasCutIsNoSmallerRing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	if err := seal.CreateKeyringFile(path, fullRing(t)); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil || !strings.HasPrefix(string(good), "# mantlet seal keyring of 5 keys\nprimary 2026-") {
		t.Fatalf("%.100s %v", good, err)
	}
	for n := range len(good) - 1 { // without the last line break it is whole
		if err := os.WriteFile(path, good[:n], 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.ReadKeyringFile(path); err == nil {
			t.Fatalf("cut to %d bytes: accepted", n)
		}
	}
	// Made by hand, from a secret store say.
	if err := os.WriteFile(path, []byte(fullRing(t).Reveal()), 0o600); err != nil {
		t.Fatal(err)
	}
	if k, err := seal.ReadKeyringFile(path); err != nil || !sameKeys(k, fullRing(t)) {
		t.Error(err)
	}
}

func TestAKeyringFromTheEnvironment(t *testing.T) {
	ring := fullRing(t)
	t.Setenv("SEAL_KEYS", ring.Reveal())
	got, err := seal.KeyringFromEnv("SEAL_KEYS")
	if err != nil || !sameKeys(got, ring) {
		t.Fatal(err)
	}
	key := numbered(1).Reveal()
	t.Setenv("SEAL_KEYS", "primary - "+key)
	if got, err := seal.KeyringFromEnv("SEAL_KEYS"); err != nil || got.Primary() != numbered(1).ID() {
		t.Error(err)
	}
	for _, bad := range []string{"", " ", key, "primary - " + key[:60]} {
		t.Setenv("SEAL_KEYS", bad)
		if _, err := seal.KeyringFromEnv("SEAL_KEYS"); err == nil || !strings.Contains(err.Error(), "SEAL_KEYS") || strings.Contains(err.Error(), key[25:50]) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestABrokenFileChangesNothing(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	ring := fullRing(t)
	if err := seal.CreateKeyringFile(path, ring); err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, bad := range map[string]string{
		"empty": "", "half": string(good[:len(good)/2]), "no primary": strings.Replace(string(good), "primary", "decrypt-only", 1),
		"too long": string(good) + strings.Repeat(" ", 4<<20),
	} {
		if err := os.WriteFile(path, []byte(bad), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := seal.ReadKeyringFile(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
		if err := ring.ReloadFile(path); err == nil {
			t.Errorf("%s: reloaded", name)
		}
		if err := seal.UpdateKeyringFile(t.Context(), path, func(*seal.Keyring) error { t.Error("called"); return nil }); err == nil {
			t.Errorf("%s: updated", name)
		}
		if after, _ := os.ReadFile(path); string(after) != bad {
			t.Errorf("%s: the file was changed", name)
		}
		if !sameKeys(ring, fullRing(t)) {
			t.Errorf("%s: the ring was changed", name)
		}
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if unlock, err := privatefile.Lock(t.Context(), path+".lock"); err == nil && runtime.GOOS != "windows" {
		if err := seal.UpdateKeyringFile(ended, path, func(*seal.Keyring) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("while another writer works: %v", err)
		}
		unlock()
	}
}

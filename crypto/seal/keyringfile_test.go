package seal_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/internal/privatefile"
)

// fullRing has a key in every state.
func fullRing(t testing.TB) *seal.Keyring {
	t.Helper()
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{
		{Key: numbered(1), State: seal.Primary, Created: t0},
		{Key: numbered(2), Created: t0.Add(time.Nanosecond)},
		{Key: numbered(3), State: seal.Disabled},
		{ID: numbered(4).ID(), State: seal.Destroyed, Created: t0.In(time.FixedZone("x", 3600))},
		{ID: numbered(5).ID(), State: seal.Destroyed},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func sameKeys(a, b *seal.Keyring) bool {
	x, y := a.Keys(), b.Keys()
	for _, k := range [][]seal.KeyInfo{x, y} {
		for i := range k {
			k[i].Created = k[i].Created.UTC()
		}
	}
	return reflect.DeepEqual(x, y) && a.Primary() == b.Primary()
}

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

func TestAKeyFileIsReadStrictly(t *testing.T) {
	good := string(seal.EncodeKeyring(fullRing(t)))
	if _, err := seal.DecodeKeyring([]byte(good)); err != nil {
		t.Fatal(err)
	}
	key, id := numbered(1).Reveal(), numbered(1).ID().String()
	one := fmt.Sprintf(`{"format":"mantlet-seal-keyring","version":1,"keys":[{"id":"%s","state":"primary","key":"%s"}]}`, id, key)
	if _, err := seal.DecodeKeyring([]byte(one)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string][2]string{
		"empty":                   {one, ""},
		"another format":          {"mantlet-seal-keyring", "mantlet-apikeys"},
		"no format":               {`"format":"mantlet-seal-keyring",`, ""},
		"version 2":               {`"version":1`, `"version":2`},
		"version 1.0":             {`"version":1`, `"version":1.0`},
		"version as text":         {`"version":1`, `"version":"1"`},
		"no version":              {`"version":1,`, ``},
		"no keys":                 {`"keys":[`, `"keys":[],"x":[`},
		"keys in an object":       {`"keys":[{`, `"keys":{"a":{`},
		"a key as text":           {`"keys":[`, `"keys":["x",`},
		"a null":                  {`"keys":[`, `"keys":[null,`},
		"an empty key":            {`"keys":[`, `"keys":[{},`},
		"an unknown member":       {`"version":1,`, `"version":1,"x":1,`},
		"an unknown key member":   {`"state":`, `"x":"y","state":`},
		"a member twice":          {`"state":`, `"state":"disabled","state":`},
		"a member in other case":  {`"state":`, `"State":`},
		"an escaped name":         {`"state":`, `"st\u0061te":`},
		"an escaped value":        {`"primary"`, `"prim\u0061ry"`},
		"an unknown state":        {`"primary"`, `"newest"`},
		"no state":                {`"state":"primary",`, ``},
		"no id":                   {`"id":"` + id + `",`, ``},
		"another id":              {`"id":"` + id, `"id":"00000001`},
		"an upper-case id":        {`"id":"` + id, `"id":"` + strings.ToUpper(id)},
		"no key":                  {`,"key":"` + key + `"`, ``},
		"destroyed with its key":  {`"primary"`, `"destroyed"`},
		"a key cut":               {key, key[:len(key)-1]},
		"a key not shown":         {key, "[redacted seal key]"},
		"no primary":              {`"primary"`, `"decrypt-only"`},
		"created is no time":      {`"state":`, `"created":"today","state":`},
		"created is nothing":      {`"state":`, `"created":"0001-01-01T00:00:00Z","state":`},
		"created is a number":     {`"state":`, `"created":1,"state":`},
		"something after":         {`]}`, `]}{}`},
		"an object too deep":      {`"state":"primary"`, `"state":{"x":"primary"}`},
		"a list too deep":         {`"primary"`, `["primary"]`},
		"the same key twice":      {`]}`, `,{"id":"` + id + `","state":"disabled","key":"` + key + `"}]}`},
		"its own tombstone":       {`]}`, `,{"id":"` + id + `","state":"destroyed"}]}`},
		"a byte order mark":       {one, "\uFEFF" + one},
		"the file in a list":      {one, "[" + one + "]"},
		"a text":                  {one, `"x"`},
		"keys before their list":  {`"keys":[`, `"other":[{"id":"00000002","state":"destroyed"}],"keys":[`},
		"members of another list": {`"version":1,`, `"version":1,"format2":{"id":{"state":"destroyed"}},`},
	} {
		bad := strings.Replace(one, change[0], change[1], 1)
		if bad == one {
			t.Fatalf("%s: nothing changed", name)
		}
		_, err := seal.DecodeKeyring([]byte(bad))
		if err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), key[len(key)-20:len(key)-2]) {
			t.Errorf("%s: the error shows the key: %v", name, err)
		}
	}
}

func TestEveryCutAndEveryFlippedBitOfAKeyFileIsRefusedOrAnotherTime(t *testing.T) {
	ring := fullRing(t)
	good := seal.EncodeKeyring(ring)
	for n := range len(good) - 2 {
		if _, err := seal.DecodeKeyring(good[:n]); err == nil {
			t.Fatalf("cut to %d bytes: accepted", n)
		}
	}
	for i := range 8 * len(good) {
		bad := bytes.Clone(good)
		bad[i/8] ^= 1 << (i % 8)
		k, err := seal.DecodeKeyring(bad)
		if err != nil {
			continue
		}
		// What is left are times, white space, and ids of tombstones, which nothing vouches for.
		for _, info := range k.Keys() {
			if info.State != seal.Destroyed && info.ID != numbered(1).ID() && info.ID != numbered(2).ID() && info.ID != numbered(3).ID() {
				t.Fatalf("bit %d makes another key", i)
			}
		}
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

func TestTheKeysOfTheEnvironment(t *testing.T) {
	a, b := seal.GenerateKey(), seal.GenerateKey()
	t.Setenv("SEAL_KEYS", " "+a.Reveal()+"\n"+b.Reveal()+"\n")
	ring, err := seal.KeyringFromEnv("SEAL_KEYS")
	if err != nil || ring.Primary() != a.ID() || len(ring.Keys()) != 2 {
		t.Fatal(err)
	}
	for _, bad := range []string{"", " ", a.Reveal() + "," + b.Reveal(), a.Reveal() + " " + a.Reveal(), a.Reveal() + " x", "x" + a.Reveal()} {
		t.Setenv("SEAL_KEYS", bad)
		if _, err := seal.KeyringFromEnv("SEAL_KEYS"); err == nil || !strings.Contains(err.Error(), "SEAL_KEYS") || strings.Contains(err.Error(), a.Reveal()[25:60]) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzKeyringFile(f *testing.F) {
	f.Add(seal.EncodeKeyring(fullRing(f)))
	f.Add(seal.EncodeKeyring(ringOf(f, numbered(1))))
	f.Add([]byte(`{"keys":[{"key":"","state":"destroyed","id":"00000001"}],"version":1,"format":"mantlet-seal-keyring"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		ring, err := seal.DecodeKeyring(data)
		if err != nil {
			return
		}
		again, err := seal.DecodeKeyring(seal.EncodeKeyring(ring))
		if err != nil || !sameKeys(ring, again) {
			t.Fatalf("%v, %v; want %v", again.Keys(), err, ring.Keys())
		}
	})
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
		"empty": "", "half": string(good[:len(good)/2]), "no primary": strings.Replace(string(good), `"primary"`, `"decrypt-only"`, 1),
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

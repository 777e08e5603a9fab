package fernet_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/fernet"
)

func sameKeys(a, b []fernet.Key) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if !a[i].Equal(b[i]) {
			return false
		}
	}
	return true
}

func newKeys(n int) (keys []fernet.Key, texts []string) {
	for range n {
		k := fernet.GenerateKey()
		keys, texts = append(keys, k), append(texts, k.Reveal())
	}
	return keys, texts
}

func TestKeysComeFromTheEnvironmentNewestFirst(t *testing.T) {
	keys, x := newKeys(3)
	const name = "MANTLET_TEST_FERNET_KEYS"
	for list, want := range map[string][]fernet.Key{
		x[0]:                                  keys[:1],
		" " + x[0] + "\n":                     keys[:1],
		x[0] + "," + x[1] + "," + x[2]:        keys,
		x[0] + ", " + x[1] + " ,\n" + x[2]:    keys,
		x[0] + " " + x[1] + "\t\r\n" + x[2]:   keys,
		x[0] + "\n" + x[1] + "," + x[2] + " ": keys,
	} {
		t.Setenv(name, list)
		got, err := fernet.KeysFromEnv(name)
		if err != nil || !sameKeys(got, want) {
			t.Errorf("%d of %d keys: %v", len(got), len(want), err)
		}
	}
	_, many := newKeys(fernet.MaxKeys + 1)
	for why, list := range map[string]string{
		"empty": "", "blank": " \n", "a comma alone": ",", "nothing before a comma": "," + x[0], "nothing after a comma": x[0] + ",",
		"nothing between commas": x[0] + ",," + x[1], "blank between commas": x[0] + ", ," + x[1], "another separator": x[0] + ";" + x[1],
		"quotes": `"` + x[0] + `"`, "no separator": x[0] + x[1], "cut off": x[0] + "," + x[1][:43], "a key twice": x[0] + "," + x[1] + "," + x[0],
		"too many": strings.Join(many, ","),
	} {
		t.Setenv(name, list)
		keys, err := fernet.KeysFromEnv(name)
		if err == nil || keys != nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", why, err)
		}
		if err != nil && (strings.Contains(err.Error(), x[0][:8]) || strings.Contains(err.Error(), x[1][:8])) {
			t.Errorf("%s: the error shows a key", why)
		}
	}
	if err := os.Unsetenv(name); err != nil {
		t.Fatal(err)
	}
	if _, err := fernet.KeysFromEnv(name); err == nil || !strings.Contains(err.Error(), "not set") {
		t.Errorf("%v", err)
	}
}

func TestAKeyFileIsPrivateAndReplacedWhole(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fernet.keys")
	if _, err := fernet.ReadKeyFile(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	first, err := fernet.CreateKeyFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Errorf("mode %v %v", info.Mode(), err)
	}
	if got, err := fernet.ReadKeyFile(path); err != nil || !sameKeys(got, []fernet.Key{first}) {
		t.Errorf("%v", err)
	}
	if _, err := fernet.CreateKeyFile(path); !errors.Is(err, fs.ErrExist) {
		t.Errorf("a second time: %v", err)
	}
	if got, err := fernet.ReadKeyFile(path); err != nil || !sameKeys(got, []fernet.Key{first}) {
		t.Errorf("the file has changed: %v", err)
	}
	next := fernet.GenerateKey()
	for _, keys := range [][]fernet.Key{{first, next}, {next, first}, {next}} { // the steps of a rotation
		if err := fernet.ReplaceKeyFile(path, keys); err != nil {
			t.Fatal(err)
		}
		if got, err := fernet.ReadKeyFile(path); err != nil || !sameKeys(got, keys) {
			t.Errorf("%v", err)
		}
	}
	many, _ := newKeys(fernet.MaxKeys + 1)
	for why, keys := range map[string][]fernet.Key{"none": nil, "zero": {{}}, "twice": {next, next}, "too many": many} {
		if err := fernet.ReplaceKeyFile(path, keys); err == nil {
			t.Errorf("%s: written", why)
		}
	}
	if err := fernet.ReplaceKeyFile(path, many[1:]); err != nil {
		t.Error(err)
	}
	if got, err := fernet.ReadKeyFile(path); err != nil || !sameKeys(got, many[1:]) {
		t.Errorf("a full ring: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(path)); err != nil || len(left) != 1 {
		t.Errorf("%d files, %v", len(left), err)
	}
}

func TestAKeyFileIsReadStrictly(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "fernet.keys")
	_, x := newKeys(2)
	_, many := newKeys(fernet.MaxKeys + 1)
	put := func(content string, mode os.FileMode) {
		t.Helper()
		if err := os.RemoveAll(path); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(why string) {
		t.Helper()
		keys, err := fernet.ReadKeyFile(path)
		if err == nil || !strings.Contains(err.Error(), path) || len(keys) != 0 {
			t.Errorf("%s: %v", why, err)
		}
		if err != nil && (strings.Contains(err.Error(), x[0][:8]) || strings.Contains(err.Error(), x[1][:8])) {
			t.Errorf("%s: the error shows a key", why)
		}
	}
	for _, good := range []string{x[0], x[0] + "\n", x[0] + "\n" + x[1], x[0] + "\n" + x[1] + "\n"} {
		put(good, 0o600)
		if keys, err := fernet.ReadKeyFile(path); err != nil || len(keys) != strings.Count(good, "=") {
			t.Errorf("%d keys: %v", len(keys), err)
		}
	}
	for why, content := range map[string]string{
		"empty": "", "an empty line": "\n", "an empty line at the end": x[0] + "\n\n", "an empty line between": x[0] + "\n\n" + x[1] + "\n", "a carriage return": x[0] + "\r\n",
		"a space": x[0] + " \n", "a comma": x[0] + "," + x[1], "a comment": "# of today\n" + x[0], "a key twice": x[0] + "\n" + x[0] + "\n", "cut off": x[0] + "\n" + x[1][:20],
		"a byte order mark": "\ufeff" + x[0], "a zero byte": x[0] + "\n\x00", "too many": strings.Join(many, "\n"), "too large": strings.Repeat("\n", 5000),
	} {
		put(content, 0o600)
		refused(why)
	}
	for _, mode := range []os.FileMode{0o440, 0o640} { // as Kubernetes gives it to a pod that is not root
		put(x[0]+"\n", mode)
		if keys, err := fernet.ReadKeyFile(path); err != nil || len(keys) != 1 {
			t.Errorf("mode %v: %v", mode, err)
		}
	}
	for _, mode := range []os.FileMode{0o604, 0o644, 0o620, 0o660, 0o642} {
		put(x[0]+"\n", mode)
		refused("mode " + mode.String())
	}
	put(x[0]+"\n", 0o600)
	real := path
	path = filepath.Join(dir, "link")
	if err := os.Symlink(real, path); err != nil {
		t.Fatal(err)
	}
	refused("a symbolic link")
	path = dir
	refused("a folder")
	path = real
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	refused("a folder that all may write to")
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
}

func TestAKeyThatIsThereTwiceIsNamedAsPeopleCount(t *testing.T) {
	keys, x := newKeys(2)
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte(x[0]+"\n"+x[0]+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, inFile := fernet.ReadKeyFile(path)
	_, inList := fernet.ParseKeys(x[0] + "," + x[1] + "," + x[1])
	for want, err := range map[string]error{
		"line 2 is the same key as line 1":                           inFile,
		"place 3 of the list is the same key as place 2 of the list": inList,
		"keys[1] is the same key as keys[0]":                         fernet.ReplaceKeyFile(path, []fernet.Key{keys[0], keys[0]}),
	} {
		if err == nil || !strings.HasSuffix(err.Error(), "fernet: "+want) {
			t.Errorf("%v; want %s", err, want)
		}
	}
}

// As after kill -9 in the middle of a write.
func TestAKeyThatWasTakenOutIsInNoFileThatAKilledWriterLeft(t *testing.T) {
	dir := t.TempDir()
	path, left := filepath.Join(dir, "keys"), filepath.Join(dir, ".keys.1234567.tmp")
	keys, x := newKeys(2)
	hourAgo := time.Now().Add(-time.Hour)
	if err := errors.Join(os.WriteFile(left, []byte(x[1]+"\n"), 0o600), os.Chtimes(left, hourAgo, hourAgo), fernet.ReplaceKeyFile(path, keys[:1])); err != nil {
		t.Fatal(err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 1 {
		t.Errorf("%v, %v; want the key file alone", files, err)
	}
}

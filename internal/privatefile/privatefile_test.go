package privatefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestAFileThatOthersMayReadOrReplaceIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("permission bits and symbolic links mean something else there")
	}
	for _, c := range []struct {
		name string
		do   func(dir, path string) error
		want string // of the error; empty for none
	}{
		{"as Replace makes it", func(_, path string) error { return Replace(path, []byte("secret")) }, ""},
		{"of mode 0400", func(_, path string) error { return os.Chmod(path, 0o400) }, ""},
		{"missing", func(_, path string) error { return os.Remove(path) }, "no such file"},
		{"readable by the group", func(_, path string) error { return os.Chmod(path, 0o640) }, "mode 0640"},
		{"readable by all", func(_, path string) error { return os.Chmod(path, 0o604) }, "mode 0604"},
		{"writable by all", func(_, path string) error { return os.Chmod(path, 0o602) }, "mode 0602"},
		{"a symbolic link", func(dir, path string) error {
			return errors.Join(os.Rename(path, filepath.Join(dir, "other")), os.Symlink("other", path))
		}, "symbolic link"},
		{"a directory", func(_, path string) error { return errors.Join(os.Remove(path), os.Mkdir(path, 0o700)) }, "not a regular file"},
		{"one byte too long", func(_, path string) error { return os.WriteFile(path, make([]byte, 11), 0o600) }, "has 11 bytes, more than 10"},
		{"in a directory of a group", func(dir, _ string) error { return os.Chmod(dir, 0o770) }, "mode 0770"},
		{"in a directory of all", func(dir, _ string) error { return os.Chmod(dir, 0o777) }, "mode 0777"},
		{"in a sticky directory of all", func(dir, _ string) error { return os.Chmod(dir, 0o777|os.ModeSticky) }, ""},
		{"of another user", func(_, path string) error { return os.Chown(path, 65534, 65534) }, "belongs to user 65534"},
		{"in a directory of another user", func(dir, _ string) error { return os.Chown(dir, 65534, 65534) }, "belongs to user 65534"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "keys")
			must(t, os.WriteFile(path, []byte("secret"), 0o600))
			if err := c.do(dir, path); err != nil {
				if errors.Is(err, fs.ErrPermission) {
					t.Skip("only root can give a file away")
				}
				t.Fatal(err)
			}
			data, _, err := Read(path, 10, nil)
			switch {
			case c.want == "" && (err != nil || string(data) != "secret"):
				t.Errorf("%q, %v", data, err)
			case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want) || data != nil):
				t.Errorf("%q, %v; want an error that says %q", data, err, c.want)
			}
			if (c.name == "missing") != errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestAFileThatWasSwappedIsLookedAtAnew(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	must(t, os.WriteFile(path, []byte("old"), 0o600))
	looks := 0
	swap := func(times int) func(fs.FileInfo) bool {
		looks = 0
		return func(fs.FileInfo) bool {
			if looks++; looks <= times {
				must(t, Replace(path, []byte("new")))
			}
			return true
		}
	}
	if data, info, err := Read(path, 10, swap(3)); err != nil || string(data) != "new" || looks != 4 || info.Size() != 3 {
		t.Errorf("%q, %v after %d looks", data, err, looks)
	}
	if data, _, err := Read(path, 10, swap(1000)); err == nil || looks != tries {
		t.Errorf("one that is swapped each time: %q, %v after %d looks", data, err, looks)
	}
}

func TestAFileThatIsNotFreshIsNotRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	must(t, os.WriteFile(path, nil, 0o600))
	if data, info, err := Read(path, 10, func(fs.FileInfo) bool { return false }); data != nil || info == nil || err != nil {
		t.Errorf("%q, %v, %v", data, info, err)
	}
	if data, _, err := Read(path, 10, nil); data == nil || len(data) > 0 || err != nil {
		t.Errorf("an empty file: %q, %v; want no bytes, which is not nil", data, err)
	}
}

func TestAWriteIsWholeOrNotThere(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys")
	must(t, Create(path, []byte("first")))
	if err := Create(path, []byte("second")); !errors.Is(err, fs.ErrExist) {
		t.Errorf("Create over a file: %v", err)
	}
	if data, _, err := Read(path, 10, nil); err != nil || string(data) != "first" {
		t.Errorf("%q, %v", data, err)
	}
	must(t, Replace(path, []byte("second")))
	data, info, err := Read(path, 10, nil)
	if err != nil || string(data) != "second" || runtime.GOOS != "windows" && info.Mode() != 0o600 {
		t.Errorf("%q, %v, %v", data, info.Mode(), err)
	}
	must(t, os.Mkdir(filepath.Join(dir, "folder"), 0o700))
	if Replace(filepath.Join(dir, "folder"), nil) == nil || Replace(filepath.Join(dir, "none", "keys"), nil) == nil {
		t.Error("a write to no place for a file succeeds")
	}
	list, err := os.ReadDir(dir)
	must(t, err)
	if len(list) != 2 {
		t.Errorf("%v; want nothing but the file and the folder", list)
	}
}

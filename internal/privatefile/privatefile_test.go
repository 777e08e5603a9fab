package privatefile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
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

func TestWhatAKilledWriterLeftIsRemovedAndNothingElse(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "keys")
	now := time.Now()
	make := func(name string, age time.Duration) {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte("secret"), 0o600))
		must(t, os.Chtimes(filepath.Join(dir, name), now, now.Add(-age)))
	}
	make("keys", time.Hour)
	make(".keys.123.tmp", time.Hour)
	make(".keys.4.tmp", LeftoverAge)
	kept := []string{"keys", ".keys.1.tmp", ".keys.tmp", ".keys..tmp", ".keys.12a.tmp", ".keys.old.5.tmp", ".other.5.tmp", "keys.5.tmp", ".keys.5.tmp~", ".keys.lock"}
	make(".keys.1.tmp", LeftoverAge-time.Second)
	for _, name := range kept[2:] {
		make(name, time.Hour)
	}
	must(t, os.Mkdir(filepath.Join(dir, ".keys.6.tmp"), 0o700))
	must(t, os.Chtimes(filepath.Join(dir, ".keys.6.tmp"), now, now.Add(-time.Hour)))
	kept = append(kept, ".keys.6.tmp")
	if runtime.GOOS != "windows" {
		make(".keys.7.tmp", time.Hour)
		must(t, os.Chmod(filepath.Join(dir, ".keys.7.tmp"), 0o644)) // Replace never makes such a file
		must(t, os.Symlink("keys", filepath.Join(dir, ".keys.8.tmp")))
		kept = append(kept, ".keys.7.tmp", ".keys.8.tmp")
	}
	must(t, RemoveLeftovers(path, now))
	var got []string
	list, err := os.ReadDir(dir)
	must(t, err)
	for _, e := range list {
		got = append(got, e.Name())
	}
	slices.Sort(kept)
	if !slices.Equal(got, kept) {
		t.Errorf("left are\n%q, want\n%q", got, kept)
	}
	if err := RemoveLeftovers(filepath.Join(dir, "none", "keys"), now); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no directory: %v", err)
	}
	t.Chdir(dir)
	make(".keys.9.tmp", time.Hour)
	must(t, RemoveLeftovers("keys", now))
	if _, err := os.Lstat(".keys.9.tmp"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("by a name without a directory: %v", err)
	}
}

// The names that are looked for are those that are made.
func TestALeftoverOfReplaceIsFound(t *testing.T) {
	plain := sync
	t.Cleanup(func() { sync = plain })
	dir := t.TempDir()
	path := filepath.Join(dir, "keys")
	left := ""
	sync = func(f *os.File) error {
		if info, err := f.Stat(); err == nil && !info.IsDir() {
			left = f.Name() + ".copy" // what a kill at this moment would leave
			must(t, os.Link(f.Name(), left))
		}
		return plain(f)
	}
	must(t, Replace(path, []byte("new")))
	must(t, os.Rename(left, strings.TrimSuffix(left, ".copy")))
	must(t, RemoveLeftovers(path, time.Now().Add(LeftoverAge)))
	if list, err := os.ReadDir(dir); err != nil || len(list) != 1 {
		t.Errorf("%v, %v", list, err)
	}
}

// The way of Kubernetes: defaultMode 0400 and fsGroup make a file of root's with mode 0440 and the pod's group.
func TestAGroupMayReadAFileOnlyWhereTheCallerSaysSo(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("permission bits mean something else there")
	}
	path := filepath.Join(t.TempDir(), "keys")
	must(t, os.WriteFile(path, []byte("secret"), 0o600))
	for mode, want := range map[fs.FileMode]bool{0o400: true, 0o440: true, 0o600: true, 0o640: true, 0o660: false, 0o620: false, 0o650: false, 0o644: false, 0o604: false, 0o642: false} {
		must(t, os.Chmod(path, mode))
		if data, _, err := ReadBy(OwnerAndGroup, path, 10, nil); (err == nil) != want || (string(data) == "secret") != want {
			t.Errorf("mode %04o: %q, %v", mode, data, err)
		}
		if _, _, err := Read(path, 10, nil); (err == nil) != (mode&0o077 == 0) {
			t.Errorf("mode %04o, the owner alone: %v", mode, err)
		}
	}
	must(t, os.Chmod(path, 0o440))
	if err := os.Chown(path, 65534, -1); err == nil {
		if _, _, err := ReadBy(OwnerAndGroup, path, 10, nil); err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
			t.Errorf("of another user: %v", err)
		}
	}
}

// Whoever is told of an error goes on with the old key: what is encrypted under the new one would be lost.
func TestAWriteThatFailsHasNotHappenedOrSaysSo(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("directories are not synced there")
	}
	plain, plainOpen := sync, openDir
	t.Cleanup(func() { sync, openDir = plain, plainOpen })
	broken := errors.New("broken")
	for name, write := range map[string]func(string, []byte) error{"Create": Create, "Replace": Replace} {
		path := filepath.Join(t.TempDir(), "keys")
		openDir = func(string) (*os.File, error) { return nil, broken }
		if err := write(path, []byte("new")); !errors.Is(err, broken) || strings.Contains(err.Error(), "not known") {
			t.Errorf("%s in a directory that cannot be opened: %v", name, err)
		}
		if _, err := os.Lstat(path); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s failed and made the file: %v", name, err)
		}
		openDir = plainOpen
		onDir := func(err error) {
			sync = func(f *os.File) error {
				if info, e := f.Stat(); e != nil || info.IsDir() {
					return err
				}
				return nil
			}
		}
		onDir(broken)
		if err := write(path, []byte("new")); !errors.Is(err, broken) || !strings.Contains(err.Error(), "is in its place, but not known to be on disk") {
			t.Errorf("%s that could not be synced: %v", name, err)
		}
		for _, no := range []error{syscall.EINVAL, syscall.ENOTSUP} { // a file system that has no such thing
			must(t, os.Remove(path))
			onDir(&fs.PathError{Op: "sync", Err: no})
			if err := write(path, []byte("new")); err != nil {
				t.Errorf("%s where directories are not synced: %v", name, err)
			}
		}
		sync = plain
		if list, err := os.ReadDir(filepath.Dir(path)); err != nil || len(list) != 1 {
			t.Errorf("%s: %v, %v", name, list, err)
		}
	}
}

// A rename may reach the disk before the bytes do.
func TestAFileIsOnDiskBeforeItIsInItsPlace(t *testing.T) {
	plain := sync
	t.Cleanup(func() { sync = plain })
	path := filepath.Join(t.TempDir(), "keys")
	must(t, os.WriteFile(path, []byte("old"), 0o600))
	synced := 0
	sync = func(f *os.File) error {
		if info, err := f.Stat(); err == nil && !info.IsDir() {
			synced++
			if data, err := os.ReadFile(path); err != nil || string(data) != "old" || info.Size() != 3 {
				t.Errorf("at the time of the sync: %q, %v; %d bytes are written", data, err, info.Size())
			}
		}
		return plain(f)
	}
	must(t, Replace(path, []byte("new")))
	if synced != 1 {
		t.Errorf("synced %d times", synced)
	}
}

func TestAFileThatGrowsWhileItIsReadIsReadAnewWithinTheLimit(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	must(t, os.WriteFile(path, []byte("old"), 0o600))
	grow := func(by string) func(fs.FileInfo) bool {
		done := false
		return func(fs.FileInfo) bool {
			if !done {
				done = true
				f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
				must(t, err)
				_, err = f.WriteString(by)
				must(t, errors.Join(err, f.Close()))
			}
			return true
		}
	}
	if data, _, err := Read(path, 10, grow("er")); err != nil || string(data) != "older" {
		t.Errorf("%q, %v", data, err)
	}
	if data, _, err := Read(path, 10, grow(" than all")); err == nil || data != nil || !strings.Contains(err.Error(), "more than 10") {
		t.Errorf("past the limit: %q, %v", data, err)
	}
}

// The link leads to the very file that was looked at, so only the opening can tell.
func TestALinkThatWasPutInThePlaceOfAFileIsNotFollowed(t *testing.T) {
	if runtime.GOOS == "windows" || runtime.GOOS == "plan9" {
		t.Skip("no O_NOFOLLOW there")
	}
	dir := t.TempDir()
	path, other := filepath.Join(dir, "keys"), filepath.Join(dir, "other")
	must(t, os.WriteFile(path, []byte("secret"), 0o600))
	data, _, err := Read(path, 10, func(fs.FileInfo) bool {
		must(t, errors.Join(os.Rename(path, other), os.Symlink("other", path)))
		return true
	})
	if err == nil || data != nil {
		t.Errorf("%q, %v", data, err)
	}
}

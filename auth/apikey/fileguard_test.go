//go:build darwin || dragonfly || freebsd || linux || netbsd || openbsd

package apikey_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
)

func TestAKeyCanBeWithdrawnThoughTheFileIsFull(t *testing.T) {
	const limit = 20_000
	path := filepath.Join(t.TempDir(), "keys.json")
	open := func() *apikey.Manager {
		s, err := apikey.NewFileStore(apikey.FileConfig{Path: path, Create: true, MaxBytes: limit})
		if err != nil {
			t.Fatal(err)
		}
		return with(t, apikey.Config{Store: s, PollInterval: -1})
	}
	m := open()
	var keys, ids []string
	for size := 400; size > 0; { // somebody fills the file to the last byte they can
		secret, rec, err := m.Create(t.Context(), apikey.Spec{ClientID: "m", Labels: map[string]string{"x": strings.Repeat("x", size)}})
		if err != nil {
			size /= 2
			continue
		}
		keys, ids = append(keys, secret.Reveal()), append(ids, rec.ID)
	}
	if info, err := os.Stat(path); err != nil || info.Size() < limit*3/4 {
		t.Fatalf("the file is not full: %v, %v", info.Size(), err)
	}
	if err := m.Disable(t.Context(), ids[0], strings.Repeat("<", 256)); err != nil {
		t.Errorf("Disable: %v", err)
	}
	for i, id := range ids {
		if err := m.Revoke(t.Context(), id); err != nil {
			t.Errorf("Revoke of key %d of %d: %v", i, len(ids), err)
		}
	}
	after := open()
	for i, key := range keys {
		if err := verify(after, key); !errors.Is(err, auth.ErrRevoked) {
			t.Errorf("after a restart key %d is %v", i, err)
		}
	}
}

func TestAWriterThatWaitsForTheLockHoldsUpNoReader(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	s := fileStore(t, path)
	r, err := s.Put(t.Context(), apikey.Record{ID: "000000000001", Hash: apikey.Digest{1}, ClientID: "a", CreatedAt: time.Now()})
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path+".lock", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	waiting := make(chan error, 2)
	for range cap(waiting) {
		go func() {
			_, err := s.Put(ctx, r)
			waiting <- err
		}()
	}
	read := make(chan error)
	go func() {
		for range 200 { // until long after both writers wait
			if _, err := s.Load(context.Background(), ""); err != nil {
				read <- err
				return
			}
			if _, err := s.Get(context.Background(), r.ID); err != nil {
				read <- err
				return
			}
		}
		read <- nil
	}()
	select {
	case err := <-read:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a reader waits for a writer that waits")
	}
	cancel()
	for range cap(waiting) {
		if err := <-waiting; !errors.Is(err, context.Canceled) {
			t.Errorf("a writer whose context ended: %v", err)
		}
	}
	f.Close()
	if _, err := s.Put(t.Context(), r); err != nil {
		t.Errorf("when the lock is free: %v", err)
	}
}

func TestADirectoryOthersMayWriteToIsRefused(t *testing.T) {
	for mode, ok := range map[os.FileMode]bool{0o700: true, 0o755: true, 0o770: false, 0o775: false, 0o777: false, 0o777 | os.ModeSticky: true} {
		dir := t.TempDir()
		if err := os.Chmod(dir, mode); err != nil {
			t.Fatal(err)
		}
		_, err := apikey.NewFileStore(apikey.FileConfig{Path: filepath.Join(dir, "keys.json"), Create: true})
		if (err == nil) != ok {
			t.Errorf("%v: %v", mode, err)
		}
	}
}

func TestAFileOrDirectoryOfAnotherUserIsRefused(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can give a file away")
	}
	for _, given := range []string{"keys.json", "keys.json.uses", "."} {
		dir := t.TempDir()
		path := filepath.Join(dir, "keys.json")
		s := fileStore(t, path)
		if err := s.AddUsage(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
		if err := os.Chown(filepath.Join(dir, given), 65534, 65534); err != nil {
			t.Skip(err)
		}
		_, err := s.Load(t.Context(), "")
		_, _, usesErr := s.Usage(t.Context())
		err = errors.Join(err, usesErr)
		if err == nil || !strings.Contains(err.Error(), "belongs to user 65534") {
			t.Errorf("%s of another user: %v", given, err)
		}
	}
}

// BenchmarkKeyFile says how many bytes a key of a client's name and one scope takes, and so how many a file holds.
func BenchmarkKeyFile(b *testing.B) {
	path := filepath.Join(b.TempDir(), "keys.json")
	m := with(b, apikey.Config{Store: fileStore(b, path), PollInterval: -1})
	for range b.N {
		create(b, m, apikey.Spec{ClientID: "search-team", Scopes: []string{"chat:write"}})
	}
	info, err := os.Stat(path)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(info.Size())/float64(b.N), "bytes/key")
	b.ReportMetric(0.9*(64<<20)/(float64(info.Size())/float64(b.N)+64), "keys/file")
}

func TestALockThatIsNeverGivenBackDoesNotStopAProgramFromStarting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keys.json")
		f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if _, err := apikey.NewFileStore(apikey.FileConfig{Path: path, Create: true}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if took := time.Since(began); took != 10*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

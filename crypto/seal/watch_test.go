package seal_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
)

// Two processes follow one file. Each shows the keys it has, so that an operator sees when a step has reached both.
func ExampleKeyring_WatchFile() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "seal.keys")
	if err := seal.CreateKeyringFile(path, seal.NewRing()); err != nil {
		log.Fatal(err)
	}

	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	changed := make(chan error)
	process := func() (health func() []seal.KeyInfo) {
		ring, err := seal.ReadKeyringFile(path)
		if err != nil {
			log.Fatal(err)
		}
		go func() { // in yours: every 10 seconds, and onChange writes to the log
			if err := ring.WatchFile(ctx, path, 10*time.Millisecond, func(err error) { changed <- err }); err != nil {
				log.Fatal(err)
			}
		}()
		return ring.Keys
	}
	one, other := process(), process()

	// The operator makes the first step ...
	newer := seal.GenerateKey()
	err = seal.UpdateKeyringFile(ctx, path, func(ring *seal.Keyring) error { return ring.Add(newer, time.Now()) })
	fmt.Println(err, <-changed, <-changed)
	// ... and the next one when every process shows the same keys.
	if slices.Equal(one(), other()) {
		err = seal.UpdateKeyringFile(ctx, path, func(ring *seal.Keyring) error { return ring.Promote(newer.ID()) })
	}
	fmt.Println(err, <-changed, <-changed)
	fmt.Println(len(one()), "keys, the same in both:", slices.Equal(one(), other()))
	// Output:
	// <nil> <nil> <nil>
	// <nil> <nil> <nil>
	// 2 keys, the same in both: true
}

// watched runs WatchFile in a bubble. next lets an interval go by and returns what onChange was called with in it.
func watched(t *testing.T, ring *seal.Keyring, path string) (next func() []error) {
	var mu sync.Mutex
	var calls []error
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- ring.WatchFile(ctx, path, 0, func(err error) {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, err)
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("after the end of its context: %v", err)
		}
	})
	first := true
	return func() []error {
		if !first {
			time.Sleep(10 * time.Second) // the bubble's
		}
		first = false
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		got := calls
		calls = nil
		return got
	}
}

func TestARunningRingFollowsItsFile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keys")
		old, newer := numbered(1), numbered(2)
		if err := seal.CreateKeyringFile(path, ringOf(t, old)); err != nil {
			t.Fatal(err)
		}
		running, err := seal.ReadKeyringFile(path)
		if err != nil {
			t.Fatal(err)
		}
		update := func(change func(*seal.Keyring) error) {
			t.Helper()
			if err := seal.UpdateKeyringFile(t.Context(), path, change); err != nil {
				t.Fatal(err)
			}
		}
		// A step between the start of the process and that of the watch is not missed.
		update(func(r *seal.Keyring) error { return r.Add(newer, t0) })
		next := watched(t, running, path)
		if got := next(); len(got) != 1 || got[0] != nil || len(running.Keys()) != 2 {
			t.Fatalf("at the start: %v, %v", got, running)
		}
		if got := next(); len(got) != 0 {
			t.Errorf("nothing has changed: %v", got)
		}
		update(func(r *seal.Keyring) error { return r.Promote(newer.ID()) })
		if got := next(); len(got) != 1 || got[0] != nil || running.Primary() != newer.ID() {
			t.Errorf("after the promotion: %v, %v", got, running)
		}
		// Other bytes, the same ring.
		text := "# by hand\n" + running.Reveal()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if got := next(); len(got) != 0 {
			t.Errorf("a comment: %v", got)
		}
	})
}

func TestAFileThatCannotBeFollowedIsReportedOnceAndAgainWhenItIsGood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keys")
		ring := ringOf(t, numbered(1), numbered(2))
		if err := seal.CreateKeyringFile(path, ring); err != nil {
			t.Fatal(err)
		}
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		next := watched(t, ring, path)
		if got := next(); len(got) != 0 {
			t.Errorf("the ring is what the file says: %v", got)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		if got := next(); len(got) != 1 || !errors.Is(got[0], fs.ErrNotExist) {
			t.Errorf("no file: %v", got)
		}
		if got := next(); len(got) != 0 {
			t.Errorf("still none: %v", got)
		}
		if err := seal.CreateKeyringFile(path, ringOf(t, numbered(3))); err != nil {
			t.Fatal(err)
		}
		if got := next(); len(got) != 1 || !errors.Is(got[0], seal.ErrRollback) || ring.Primary() != numbered(1).ID() {
			t.Errorf("the file of another ring: %v", got)
		}
		if err := os.WriteFile(path, good, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := next(); len(got) != 1 || got[0] != nil {
			t.Errorf("good again: %v", got)
		}
		if got := next(); len(got) != 0 {
			t.Errorf("still good: %v", got)
		}
	})
}

func TestAWatchThatCouldTellNobodyDoesNotBegin(t *testing.T) {
	ring := ringOf(t, numbered(1))
	if err := ring.WatchFile(t.Context(), "x", 0, nil); err == nil {
		t.Error("no onChange")
	}
	if err := ring.WatchFile(t.Context(), "x", -1, func(error) {}); err == nil {
		t.Error("a negative interval")
	}
	for _, none := range []*seal.Keyring{nil, new(seal.Keyring)} {
		if err := none.WatchFile(t.Context(), "x", 0, func(error) { t.Error("called") }); err != seal.ErrNoPrimary {
			t.Error(err)
		}
	}
}

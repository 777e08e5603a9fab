package apikey_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
)

const serverVariable = "MANTLET_TEST_KEY_FILE"

// TestServerProcess is the other process of the test below: a server that has only the key file in common with it.
func TestServerProcess(t *testing.T) {
	path := os.Getenv(serverVariable)
	if path == "" {
		t.Skip("runs only as a child of TestARevocationInOneProcessHoldsInAnother")
	}
	m := with(t, apikey.Config{Store: fileStore(t, path)}) // with the default interval
	defer m.Close(context.Background())
	fmt.Println("ready")
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(line)
	tick := time.NewTicker(time.Millisecond)
	for accepted := false; ; <-tick.C {
		_, err := m.Verify(key, netip.Addr{}, time.Now())
		switch {
		case err == nil && !accepted:
			accepted = true
			fmt.Println("accepted")
		case errors.Is(err, auth.ErrRevoked):
			fmt.Println("refused", time.Now().UnixNano())
			return
		}
	}
}

// How long it takes is for the scheduler to say as well; see the next test.
func TestARevocationInOneProcessHoldsInAnother(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	m := with(t, apikey.Config{Store: fileStore(t, path)})
	defer m.Close(context.Background())
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	server := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestServerProcess$")
	server.Env = append(os.Environ(), serverVariable+"="+path)
	in, err := server.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	expect := func(word string) string {
		t.Helper()
		for lines.Scan() {
			if rest, ok := strings.CutPrefix(lines.Text(), word); ok {
				return strings.TrimSpace(rest)
			}
		}
		t.Fatalf("the server ended without %q", word)
		return ""
	}
	expect("ready")
	key, id := create(t, m, apikey.Spec{}) // while the server runs: it learns of the key from the file
	if _, err := io.WriteString(in, key+"\n"); err != nil {
		t.Fatal(err)
	}
	expect("accepted")
	if err := m.Revoke(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	revoked := time.Now()
	at, err := strconv.ParseInt(expect("refused"), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("refused by the other process after %v", time.Unix(0, at).Sub(revoked))
	if err := server.Wait(); err != nil {
		t.Error(err)
	}
}

// What two processes have in common is the file: here each has a store and a manager of its own, and the clock is exact.
func TestARevocationInOneProcessHoldsInAnotherWithinOneSecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "keys.json")
		here := with(t, apikey.Config{Store: fileStore(t, path)})
		defer here.Close(context.Background())
		time.Sleep(300 * time.Millisecond)
		there := with(t, apikey.Config{Store: fileStore(t, path)}) // with the default interval
		defer there.Close(context.Background())
		for i := range 20 {
			key, id := create(t, here, apikey.Spec{})
			time.Sleep(time.Second)
			if err := verify(there, key); err != nil {
				t.Fatalf("a second after it was made: %v", err)
			}
			time.Sleep(time.Duration(i) * 37 * time.Millisecond) // to any moment between two polls
			if err := here.Revoke(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if err := verify(there, key); !errors.Is(err, auth.ErrRevoked) {
				t.Errorf("a second after Revoke returned in the other process: %v", err)
			}
		}
	})
}

// late is a store whose answer is already old when it arrives.
type late struct {
	apikey.Store
	n atomic.Uint64
}

func (s *late) Load(ctx context.Context, _ string) (apikey.Batch, error) {
	b, err := s.Store.Load(ctx, "")
	b.Version = fmt.Sprint("late", s.n.Add(1))
	runtime.Gosched()
	return b, err
}

// Incident solana-foundation/solana-developer-platform#1214: a deletion raced a refill of the cache, and the key came back.
func TestOfAMillionRequestsThatRaceRevocationsNoneIsAcceptedAfterwards(t *testing.T) {
	requests := int64(1_000_000)
	if testing.Short() {
		requests = 100_000
	}
	const keys = 500
	m := with(t, apikey.Config{Store: &late{Store: apikey.NewMemoryStore()}, PollInterval: -1})
	var key, id [keys]string
	var revoked [keys]atomic.Bool
	for i := range keys {
		key[i], id[i] = create(t, m, apikey.Spec{})
	}
	var begun, turn, before, after, wrong, reloads atomic.Int64
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		wg.Go(func() { // every reload is a cache filled with what the store said before
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := m.Reload(context.Background()); err != nil {
					t.Error(err)
					return
				}
				reloads.Add(1)
			}
		})
	}
	var racers sync.WaitGroup
	for range 4 {
		racers.Go(func() {
			for n := begun.Add(1); n <= requests || turn.Load() < keys; n = begun.Add(1) {
				i := min(keys-1, max(0, turn.Load()+n%7-3)) // the key whose turn it is, or a neighbour
				if n%64 == 0 {
					runtime.Gosched() // let the reloads have their share
				}
				late := revoked[i].Load() // read before the request begins
				_, err := m.Verify(key[i], netip.Addr{}, time.Now())
				switch {
				case err == nil && late:
					wrong.Add(1)
				case err == nil:
					before.Add(1)
				case errors.Is(err, auth.ErrRevoked):
					after.Add(1)
				default:
					t.Error(err)
				}
			}
		})
	}
	const enough = 50 // reloads, spread over the whole race
	for i := range int64(keys) {
		for !t.Failed() && (begun.Load() < (i+1)*requests/keys || reloads.Load() < (i+1)*enough/keys) {
			runtime.Gosched()
		}
		if err := m.Revoke(t.Context(), id[i]); err != nil {
			t.Fatal(err)
		}
		revoked[i].Store(true)
		turn.Add(1)
	}
	racers.Wait()
	close(done)
	wg.Wait()
	if wrong.Load() != 0 {
		t.Errorf("%d requests that began after Revoke had returned were accepted", wrong.Load())
	}
	if before.Load() == 0 || after.Load() == 0 || reloads.Load() < enough {
		t.Errorf("no race: %d accepted, %d refused, %d reloads", before.Load(), after.Load(), reloads.Load())
	}
	t.Logf("%d accepted before, %d refused, %d reloads", before.Load(), after.Load(), reloads.Load())
}

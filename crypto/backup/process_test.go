package backup_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/backup"
	"github.com/mantlet-go/mantlet/crypto/seal"
)

const restorerVariable = "MANTLET_TEST_RESTORE"

// TestRestorerProcess is the other process of the test below.
func TestRestorerProcess(t *testing.T) {
	args := strings.Split(os.Getenv(restorerVariable), "\n")
	if len(args) != 3 {
		t.Skip("runs only as a child of TestARestoreThatIsKilledLeavesTheOldOrTheNew")
	}
	key := must(seal.ParseKey(args[0]))
	s := newSafe(t, func(c *backup.Config) { c.Ring = ringOf(key) })
	stream := must(os.ReadFile(args[1]))
	fmt.Println("ready")
	must(s.Restore(t.Context(), bytes.NewReader(stream), backup.Target{Dir: args[2], Replace: true}))
}

func TestARestoreThatIsKilledLeavesTheOldOrTheNew(t *testing.T) {
	stream, dir := made(t, newSafe(t), 2<<20)
	want := listing(t, dir)
	file := filepath.Join(t.TempDir(), "backup")
	check(t, os.WriteFile(file, stream, 0o600))
	rounds := 20
	if testing.Short() {
		rounds = 3
	}
	whole, old := 0, 0
	for range rounds {
		parent := t.TempDir()
		to := filepath.Join(parent, "to")
		check(t, os.Mkdir(to, 0o700))
		check(t, os.WriteFile(filepath.Join(to, "live"), []byte("x"), 0o600))
		child := exec.Command(os.Args[0], "-test.run=^TestRestorerProcess$")
		child.Env = append(os.Environ(), restorerVariable+"="+testKey.Reveal()+"\n"+file+"\n"+to)
		out := must(child.StdoutPipe())
		check(t, child.Start())
		_, _ = out.Read(make([]byte, 100)) // ready
		done := make(chan struct{})
		go func() {
			_ = child.Wait()
			close(done)
		}()
		select {
		case <-done:
		case <-time.After(time.Duration(rand.IntN(60_000)) * time.Microsecond):
			_ = child.Process.Kill()
			<-done
		}
		_, gone := os.Stat(to)
		switch _, err := os.Stat(filepath.Join(to, "live")); {
		case err == nil:
			old++
		case gone != nil: // between the two renames, and then both are beside it
			if list := must(os.ReadDir(parent)); len(list) != 2 {
				t.Errorf("%v", list)
			}
		case slices.Equal(listing(t, filepath.Join(to, "data")), want):
			whole++
		default:
			t.Errorf("half of it is there: %q", listing(t, to))
		}
	}
	t.Logf("report: of %d restores that were killed or not, %d had replaced all, %d nothing", rounds, whole, old)
}

package shred_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/crypto/shred"
)

const shredderVariable = "MANTLET_TEST_SHRED"

// TestShredderProcess is the other process of the test below: it seals for one subject after the other and shreds it, and says so.
func TestShredderProcess(t *testing.T) {
	args := strings.Split(os.Getenv(shredderVariable), "\n")
	if len(args) != 3 {
		t.Skip("runs only as a child of TestWhatWasReportedShreddedStaysSoAfterAKill")
	}
	s := openProcess(args[0], args[1], args[2], false)
	for i := 0; ; i++ {
		name := fmt.Sprint(os.Getpid(), "-", i)
		must(s.Seal(context.Background(), nil, nil, of(name)))
		fmt.Println("sealed", name)
		must(s.Shred(context.Background(), who(name)))
		fmt.Println("shredded", name)
	}
}

func openProcess(dir, ring, alias string, create bool) *shred.Subjects {
	return must(shred.New(shred.Config{
		Store: must(shred.NewFileStore(shred.FileConfig{Dir: dir, Create: create})), Ring: must(seal.ParseKeyring(ring)), AliasKey: must(seal.ParseKey(alias)),
	}))
}

func TestWhatWasReportedShreddedStaysSoAfterAKill(t *testing.T) {
	dir, ring, alias := filepath.Join(t.TempDir(), "subjects"), strings.TrimSpace(newRing(t).Reveal()), seal.GenerateKey().Reveal()
	s := openProcess(dir, ring, alias, true)
	rounds := 10
	if testing.Short() {
		rounds = 2
	}
	shredded, sealed := map[string]bool{}, map[string]bool{}
	for i := range rounds {
		child := exec.Command(os.Args[0], "-test.run=^TestShredderProcess$")
		child.Env = append(os.Environ(), shredderVariable+"="+dir+"\n"+ring+"\n"+alias)
		out := must(child.StdoutPipe())
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		dying := false
		for lines := bufio.NewScanner(out); lines.Scan(); {
			word, name, _ := strings.Cut(lines.Text(), " ")
			sealed[name] = sealed[name] || word == "sealed"
			shredded[name] = shredded[name] || word == "shredded"
			if word == "shredded" && !dying { // a slow machine gets as far, too
				dying = true
				time.AfterFunc(time.Duration(7*i)*time.Millisecond, func() { _ = child.Process.Kill() })
			}
		}
		_ = child.Wait()
	}
	box := must(s.Seal(t.Context(), nil, nil, of("living")))
	n := 0
	for name, gone := range shredded {
		if !gone {
			continue
		}
		n++
		if _, err := s.Open(t.Context(), nil, box, of(name)); !errors.Is(err, shred.ErrShredded) {
			t.Errorf("%s: %v", name, err)
		}
		a := must(s.Alias(who(name))).String()
		if list := must(filepath.Glob(filepath.Join(dir, a[:2], "*"+a+".key*"))); len(list) > 0 {
			t.Errorf("%v is left", list)
		}
	}
	// Whoever was not reported may be either, but is readable, and can be shredded.
	seen := map[uint64]bool{}
	for name := range sealed {
		if p := must(s.Shred(t.Context(), who(name))); seen[p.Counter] {
			t.Errorf("tombstone %d is there twice", p.Counter)
		} else {
			seen[p.Counter] = true
		}
	}
	t.Logf("report: %d subjects were reported shredded before %d kills, and all are", n, rounds)
	if n == 0 {
		t.Error("nothing was proved")
	}
}

//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package audit_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/mantlet-go/mantlet/audit"
)

const crashPath = "MANTLET_AUDIT_CRASH_PATH"

// crashing is the process that gets killed: eight goroutines record and say on stdout what was acknowledged.
func crashing(path string) {
	s, err := audit.NewFileSink(audit.FileConfig{Path: path})
	if err != nil {
		panic(err)
	}
	l, err := audit.Open(audit.Config{Sinks: []audit.Sink{s}, Ack: audit.AckWritten})
	if err != nil {
		panic(err)
	}
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			for i := g; ; i += 8 {
				if err := l.Record(context.Background(), event(i)); err != nil {
					panic(err)
				}
				fmt.Println(i) // one write(2)
			}
		})
	}
	wg.Wait()
}

func TestWhatWasAcknowledgedAsWrittenSurvivesKill9(t *testing.T) {
	if path := os.Getenv(crashPath); path != "" {
		crashing(path)
	}
	for round := range 5 {
		path := filepath.Join(t.TempDir(), "a")
		cmd := exec.Command(os.Args[0], "-test.run=^TestWhatWasAcknowledgedAsWrittenSurvivesKill9$")
		cmd.Env = append(os.Environ(), crashPath+"="+path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		var acked []int
		in := bufio.NewScanner(out)
		for in.Scan() {
			i, err := strconv.Atoi(in.Text())
			if err != nil {
				break // a line that death cut
			}
			if acked = append(acked, i); len(acked) == 300+round*97 {
				cmd.Process.Kill()
			}
		}
		cmd.Wait()
		if len(acked) < 300 {
			t.Fatalf("the process ended by itself after %d events", len(acked))
		}
		s := fileSink(t, audit.FileConfig{Path: path}) // takes a torn line aside
		s.Close(context.Background())
		stored := map[int]int{}
		for _, line := range lines(t, path) {
			m := decode(t, []byte(line+"\n"))
			if i, ok := m["attr.i"].(float64); ok {
				stored[int(i)]++
			}
		}
		for _, i := range acked[:len(acked)-1] { // the last number may itself be cut
			if stored[i] != 1 {
				t.Errorf("event %d was acknowledged and is there %d times", i, stored[i])
			}
		}
		if strings.Contains(strings.Join(lines(t, path), "\n"), "audit.gap") {
			t.Error("there is a gap")
		}
	}
}

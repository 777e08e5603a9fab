//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/audit"
	"github.com/mantlet-go/mantlet/audit/sinktest"
)

func fileSink(t testing.TB, cfg audit.FileConfig) *audit.FileSink {
	t.Helper()
	s, err := audit.NewFileSink(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s
}

func lines(t testing.TB, path string) []string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 0 && b[len(b)-1] != '\n' {
		t.Fatalf("%s ends with half a line: %.100q", path, b[max(0, len(b)-100):])
	}
	return strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
}

func some(texts ...string) audit.Batch {
	return audit.Batch{Lines: []byte(strings.Join(texts, "\n") + "\n"), Count: len(texts)}
}

// fileEvents gives the audit.file lines.
func fileEvents(t testing.TB, path string) (events []map[string]any) {
	t.Helper()
	for _, line := range lines(t, path) {
		if strings.Contains(line, `"event.name":"audit.file"`) {
			events = append(events, decode(t, []byte(line+"\n")))
		}
	}
	return events
}

func TestTheFileSinkKeepsTheRules(t *testing.T) {
	for _, syncs := range []bool{false, true} {
		t.Run(fmt.Sprintf("sync=%v", syncs), func(t *testing.T) {
			var path string
			sinktest.Run(t, sinktest.Harness{
				New: func(t *testing.T) audit.Sink {
					path = filepath.Join(t.TempDir(), "audit.jsonl")
					return fileSink(t, audit.FileConfig{Path: path, Sync: syncs})
				},
				Stored: func(t *testing.T) []string {
					if info, err := os.Stat(path); err == nil && info.Size() == 0 {
						return nil
					}
					return lines(t, path)
				},
			})
		})
	}
}

func TestTheFileIsForItsOwnerAlone(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	fileSink(t, audit.FileConfig{Path: path})
	if info, _ := os.Stat(path); info.Mode().Perm()&0o177 != 0 {
		t.Errorf("mode %v", info.Mode())
	}
	for _, mode := range []os.FileMode{0o644, 0o660, 0o666, 0o700, 0o601} {
		open := filepath.Join(dir, fmt.Sprintf("%o", mode))
		if err := os.WriteFile(open, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		os.Chmod(open, mode)
		if _, err := audit.NewFileSink(audit.FileConfig{Path: open}); err == nil {
			t.Errorf("a file of mode %o was taken", mode)
		}
	}
}

func TestALinkADirectoryAPipeAndASecondWriterAreRefused(t *testing.T) {
	dir := t.TempDir()
	target, link, pipe := filepath.Join(dir, "target"), filepath.Join(dir, "link"), filepath.Join(dir, "pipe")
	os.WriteFile(target, nil, 0o600)
	if err := os.Symlink(target, link); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", dir, link, pipe, filepath.Join(dir, "none", "x")} {
		if _, err := audit.NewFileSink(audit.FileConfig{Path: path}); err == nil {
			t.Errorf("%q was opened", path)
		}
	}
	fileSink(t, audit.FileConfig{Path: target})
	if _, err := audit.NewFileSink(audit.FileConfig{Path: target}); err == nil || !strings.Contains(err.Error(), "another writer") {
		t.Errorf("a second writer: %v", err)
	}
}

func TestATornLastLineIsMovedAsideAtEveryOffset(t *testing.T) {
	whole := `{"schema":1,"a":1}` + "\n" + `{"schema":1,"b":2}` + "\n"
	for cut := range len(whole) + 1 {
		path := filepath.Join(t.TempDir(), "a")
		os.WriteFile(path, []byte(whole[:cut]), 0o600)
		s := fileSink(t, audit.FileConfig{Path: path})
		if err := s.Write(context.Background(), some(`{"schema":1,"after":1}`)); err != nil {
			t.Fatal(err)
		}
		kept := strings.LastIndexByte(whole[:cut], '\n') + 1
		b, _ := os.ReadFile(path)
		if !bytes.HasPrefix(b, []byte(whole[:kept])) {
			t.Fatalf("cut at %d: %q", cut, b)
		}
		for _, line := range lines(t, path) {
			decode(t, []byte(line+"\n"))
		}
		told := fileEvents(t, path)
		if torn := cut - kept; torn == 0 {
			if len(told) != 0 {
				t.Errorf("cut at %d: %v", cut, told)
			}
			continue
		}
		if len(told) != 1 || told[0]["x.file.event"] != "torn" || told[0]["x.file.bytes"] != float64(cut-kept) {
			t.Fatalf("cut at %d: %v", cut, told)
		}
		aside, err := os.ReadFile(filepath.Join(filepath.Dir(path), told[0]["x.file.aside"].(string)))
		if err != nil || string(aside) != whole[kept:cut] {
			t.Errorf("cut at %d: aside %q, %v", cut, aside, err)
		}
	}
}

func TestALongTornTailAndAZeroFilledOneAreFoundAcrossBlocks(t *testing.T) {
	for _, tail := range []string{strings.Repeat("x", 200<<10), strings.Repeat("\x00", 64<<10), strings.Repeat("y", 64<<10-1)} {
		path := filepath.Join(t.TempDir(), "a")
		os.WriteFile(path, []byte("{}\n"+tail), 0o600)
		s := fileSink(t, audit.FileConfig{Path: path})
		if err := s.Write(context.Background(), some("{}")); err != nil {
			t.Fatal(err)
		}
		if told := fileEvents(t, path); len(told) != 1 || told[0]["x.file.bytes"] != float64(len(tail)) {
			t.Error(told)
		}
	}
}

// faulty is a file whose calls fail when a test says so.
type faulty struct {
	audit.File
	mu       sync.Mutex
	room     int // bytes that still fit; negative: no limit
	truncErr error
	syncErr  error
}

func (f *faulty) Write(p []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.room < 0 || len(p) <= f.room {
		if f.room > 0 {
			f.room -= len(p)
		}
		return f.File.Write(p)
	}
	n, _ := f.File.Write(p[:f.room])
	f.room = 0
	return n, syscall.ENOSPC
}

// space sets how much fits from now on.
func (f *faulty) space(n int) {
	f.mu.Lock()
	f.room = n
	f.mu.Unlock()
}

func (f *faulty) Truncate(n int64) error {
	if f.truncErr != nil {
		return f.truncErr
	}
	return f.File.Truncate(n)
}

func (f *faulty) Sync() error {
	if f.syncErr != nil {
		return f.syncErr
	}
	return f.File.Sync()
}

func faultySink(t *testing.T, cfg audit.FileConfig) (*audit.FileSink, func() *faulty) {
	t.Helper()
	var now *faulty
	s, err := audit.NewFileSinkOn(cfg, func(f audit.File) audit.File {
		now = &faulty{File: f, room: -1}
		return now
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	return s, func() *faulty { return now }
}

func TestAFullDiskLeavesNoHalfLineAtAnyOffset(t *testing.T) {
	b := some(`{"a":1}`, `{"b":22}`, `{"c":333}`)
	for _, mode := range []string{"plain", "sync", "no truncate"} {
		for room := range len(b.Lines) {
			path := filepath.Join(t.TempDir(), "a")
			s, disk := faultySink(t, audit.FileConfig{Path: path, Sync: mode == "sync"})
			disk().space(room)
			if mode == "no truncate" {
				disk().truncErr = syscall.EIO
			}
			err := s.Write(context.Background(), b)
			if !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("room %d: %v", room, err)
			}
			stored := bytes.Count(b.Lines[:room], []byte("\n"))
			var partial *audit.PartialError
			if errors.As(err, &partial) != (stored > 0) || stored > 0 && partial.Lines != stored {
				t.Fatalf("room %d: %v, want %d lines", room, err, stored)
			}
			rest := bytes.SplitAfter(b.Lines, []byte("\n"))[stored:]
			disk().space(-1)
			disk().truncErr = nil
			if err := s.Write(context.Background(), audit.Batch{Lines: bytes.Join(rest, nil), Count: 3 - stored}); err != nil {
				t.Fatalf("room %d: %v", room, err)
			}
			var got []string
			for _, line := range lines(t, path) {
				if !strings.Contains(line, "audit.file") {
					got = append(got, line)
				}
			}
			if want := strings.TrimSuffix(string(b.Lines), "\n"); strings.Join(got, "\n") != want {
				t.Fatalf("%s, room %d: %q", mode, room, got)
			}
		}
	}
}

func TestAFileThatIsRenamedOrRemovedIsBegunAnew(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	s := fileSink(t, audit.FileConfig{Path: path})
	put := func(text string) {
		t.Helper()
		if err := s.Write(context.Background(), some(text)); err != nil {
			t.Fatal(err)
		}
	}
	put("{}")
	if err := os.Rename(path, path+".1"); err != nil { // logrotate
		t.Fatal(err)
	}
	put(`{"n":2}`)
	if got := lines(t, path); len(got) != 2 || got[1] != `{"n":2}` || !strings.Contains(got[0], `"moved","x.file.bytes":3`) {
		t.Error(got)
	}
	os.Remove(path) // vault#31718: a deleted audit file kept "working"
	put(`{"n":3}`)
	if got := lines(t, path); len(got) != 2 || got[1] != `{"n":3}` {
		t.Error(got)
	}
	if got := lines(t, path+".1"); len(got) != 1 {
		t.Error(got)
	}
}

func TestAFileThatOthersCutOrWroteToIsToldOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	s := fileSink(t, audit.FileConfig{Path: path})
	put := func(text string) {
		t.Helper()
		if err := s.Write(context.Background(), some(text)); err != nil {
			t.Fatal(err)
		}
	}
	put(`{"n":1}`)
	os.Truncate(path, 0) // copytruncate
	put(`{"n":2}`)
	if got := fileEvents(t, path); len(got) != 1 || got[0]["x.file.event"] != "shrunk" || got[0]["x.file.bytes"] != 8.0 {
		t.Error(got)
	}
	f, _ := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
	f.WriteString(`half a foreign line`)
	f.Close()
	put(`{"n":3}`)
	var events []string
	for _, m := range fileEvents(t, path) {
		events = append(events, m["x.file.event"].(string))
	}
	if got := strings.Join(events, " "); got != "shrunk foreign_bytes torn" {
		t.Error(got)
	}
	for _, line := range lines(t, path) {
		decode(t, []byte(line+"\n"))
	}
}

func TestAFullFileIsMovedAsideAndNamedInTheNext(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "a")
	s := fileSink(t, audit.FileConfig{Path: path, MaxSize: 64 << 10})
	line := `{"x":"` + strings.Repeat("a", 1000) + `"}`
	for range 200 {
		if err := s.Write(context.Background(), some(line)); err != nil {
			t.Fatal(err)
		}
	}
	names, _ := filepath.Glob(path + "*")
	if len(names) != 4 {
		t.Error(names)
	}
	total := 0
	for _, name := range names {
		got := lines(t, name)
		for i, l := range got {
			if l == line {
				total++
			} else if i != 0 || !strings.Contains(l, `"rotated"`) {
				t.Errorf("%s line %d: %.80s", name, i, l)
			}
		}
	}
	if total != 200 {
		t.Errorf("%d lines", total)
	}
}

func TestAfterAFailedSyncTheFileIsNeverTrustedAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	s, disk := faultySink(t, audit.FileConfig{Path: path, Sync: true})
	old := disk()
	old.syncErr = syscall.EIO
	if err := s.Write(context.Background(), some(`{"n":1}`)); !errors.Is(err, syscall.EIO) {
		t.Fatal(err)
	}
	if err := s.Write(context.Background(), some(`{"n":1}`)); err != nil {
		t.Fatal(err)
	}
	if disk() == old {
		t.Fatal("the same descriptor was used again")
	}
	got := lines(t, path)
	if len(got) != 2 || !strings.Contains(got[0], `"sync_failed"`) || got[1] != `{"n":1}` {
		t.Error(got)
	}
	if names, _ := filepath.Glob(path + ".unsynced-*"); len(names) != 1 {
		t.Error(names)
	}
}

func TestAFullDiskLosesNothingThatFitsLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		path := filepath.Join(t.TempDir(), "a")
		s, disk := faultySink(t, audit.FileConfig{Path: path})
		l := open(t, audit.Config{Sinks: []audit.Sink{s}, Ack: audit.AckWritten, AckWait: time.Millisecond})
		disk().space(1000)
		for i := range 50 {
			l.Record(context.Background(), event(i))
		}
		time.Sleep(time.Minute)
		disk().space(-1)
		time.Sleep(time.Minute)
		mustClose(t, l)
		got := lines(t, path)
		if len(got) != 50 {
			t.Fatalf("%d lines", len(got))
		}
		for i, line := range got {
			if m := decode(t, []byte(line+"\n")); m["attr.i"] != float64(i) {
				t.Errorf("line %d holds %v", i, m["attr.i"])
			}
		}
		balanced(t, l.Stats())
	})
}

func TestAFileNobodyWroteIsNotTaken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	f.Truncate(65 << 20) // sparse
	f.Close()
	if _, err := audit.NewFileSink(audit.FileConfig{Path: path}); err == nil || !strings.Contains(err.Error(), "not an audit file") {
		t.Error(err)
	}
}

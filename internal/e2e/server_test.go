package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

var binary string // the built quick start

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	if binary = os.Getenv("MANTLET_E2E_QUICKSTART"); binary != "" {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "mantlet-e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	binary = filepath.Join(dir, "quickstart")
	if runtime.GOOS == "windows" {
		binary += ".exe"
	}
	args := []string{"build", "-o", binary}
	if os.Getenv("MANTLET_E2E_RACE") != "" {
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "./examples/quickstart")...)
	cmd.Dir = filepath.Join("..", "..")
	cmd.Env = append(os.Environ(), "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "building the quick start: %v\n%s", err, out)
		return 1
	}
	return m.Run()
}

// server is one running quick start.
type server struct {
	url   string // http://127.0.0.1:port
	key   string
	dir   string // its -data
	stats string // URL of the debug listener
	log   *logBuffer
}

// start runs the quick start with the plan and waits until it serves. It is stopped, and must stop in good order, at the end
// of the test.
func start(t *testing.T, plan string) *server {
	t.Helper()
	addr, debug := freeAddr(t), freeAddr(t)
	s := &server{url: "http://" + addr, stats: "http://" + debug + "/debug/stats", dir: t.TempDir(), log: new(logBuffer)}
	cmd := exec.Command(binary, "-addr", addr, "-data", s.dir, "-plan", plan, "-stats", debug)
	cmd.Dir = t.TempDir()                      // whatever it might write beside -data goes away too
	cmd.Stdout, cmd.Stderr = s.log, s.log      // exec serialises writes when both are the same
	cmd.Env = append(os.Environ(), "LC_ALL=C") // no personal settings decide
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the quick start's last lines:\n%s", s.log.tail(60))
		}
		cmd.Process.Signal(syscall.SIGTERM)
		select {
		case err := <-exited:
			if err != nil {
				t.Errorf("the quick start did not stop in good order: %v", err)
			}
		case <-time.After(20 * time.Second):
			cmd.Process.Kill()
			<-exited
			t.Error("the quick start did not stop within 20 s of SIGTERM")
		}
		if strings.Contains(s.log.String(), "DATA RACE") {
			t.Errorf("the race detector found:\n%s", s.log.tail(200))
		}
	})
	deadline := time.After(30 * time.Second)
	for {
		if s.key == "" {
			s.key = s.log.key()
		}
		if s.key != "" {
			if resp, err := http.Get(s.url + "/healthz"); err == nil {
				io.Copy(io.Discard, resp.Body)
				resp.Body.Close()
				if resp.StatusCode == http.StatusOK {
					http.DefaultClient.CloseIdleConnections()
					return s
				}
			}
		}
		select {
		case err := <-exited:
			exited <- err
			t.Fatalf("the quick start ended: %v\n%s", err, s.log)
		case <-deadline:
			t.Fatalf("the quick start does not serve:\n%s", s.log)
		case <-time.After(20 * time.Millisecond): // another process: its clock is the wall's
		}
	}
}

func freeAddr(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// logBuffer holds all that a process printed.
type logBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

func (l *logBuffer) tail(lines int) string {
	all := strings.Split(strings.TrimSpace(l.String()), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}

// key finds the line MANTLET_API_KEY=<key>.
func (l *logBuffer) key() string {
	for line := range strings.Lines(l.String()) {
		if v, ok := strings.CutPrefix(line, "MANTLET_API_KEY="); ok && strings.HasSuffix(v, "\n") {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// usage is what the limiter counts, in whole pieces.
type usage struct {
	Requests int64 `json:"requests"`
	Input    int64 `json:"input"`
	Output   int64 `json:"output"`
}

// stats is the answer of the debug listener.
type stats struct {
	Goroutines int `json:"goroutines"`
	Audit      struct {
		Recorded int64 `json:"recorded"`
		Written  int64 `json:"written"`
		Dropped  int64 `json:"dropped"`
	} `json:"audit"`
	RateLimit struct {
		// Outstanding counts reservations that are not settled yet.
		Outstanding int64 `json:"outstanding"`
		// Settled is the sum that was charged for requests whose reply told its usage, Reported the sum of what those replies told.
		Settled  usage `json:"settled"`
		Reported usage `json:"reported"`
	} `json:"ratelimit"`
}

func (s *server) readStats(t *testing.T) stats {
	t.Helper()
	// A connection of its own, closed after use: it must not count in the goroutines of the next reading.
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 10 * time.Second}
	resp, err := c.Get(s.stats)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var v stats
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
		t.Fatalf("%s: %v", s.stats, err)
	}
	return v
}

// settle reads the stats until ok says that the process has come to rest, or returns the last ones after the time is up.
func (s *server) settle(t *testing.T, limit time.Duration, ok func(stats) bool) stats {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	for {
		v := s.readStats(t)
		if ok(v) || ctx.Err() != nil {
			return v
		}
		select {
		case <-ctx.Done():
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// auditLines reads all lines of all JSON Lines files that the server keeps; each must be one JSON object.
func (s *server) auditLines(t *testing.T) []string {
	t.Helper()
	var lines []string
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".jsonl") {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		sc := bufio.NewScanner(f)
		sc.Buffer(nil, 16<<20)
		for sc.Scan() {
			if !json.Valid(sc.Bytes()) || !bytes.HasPrefix(sc.Bytes(), []byte("{")) {
				t.Errorf("%s: this line is not a JSON object: %q", filepath.Base(path), sc.Text())
			}
			lines = append(lines, sc.Text())
		}
		return sc.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

// kept returns all bytes below the server's data folder, for searching.
func (s *server) kept(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		all.Write(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

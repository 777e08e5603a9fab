package main

import (
	"bytes"
	"context"
	"go/format"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/validate/preset"
)

// The test binary is the program, too: a child of it runs main.
func TestMain(m *testing.M) {
	if os.Getenv("SHIELD_MAIN") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

func TestTheProgramHasThirtyLinesAtMost(t *testing.T) {
	src, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(src, []byte("\n")); n > 30 {
		t.Errorf("%d lines", n)
	}
	if neat, err := format.Source(src); err != nil || !bytes.Equal(neat, src) {
		t.Errorf("not as gofmt writes it (%v)", err)
	}
	for line := range strings.Lines(string(src)) {
		if len(line) > 130 || strings.Count(line, ";") > 0 {
			t.Errorf("a line that is two: %s", line)
		}
	}
}

// run starts the program and returns its address once it serves, and what it prints. It ends with the test. Another process may
// take the port that was free: then the program says so and ends, and the next port is tried.
func run(t *testing.T, args ...string) (url string, printed func() string) {
	t.Helper()
	for range 10 {
		if url, printed = start(t, args...); url != "" {
			return url, printed
		}
	}
	t.Fatalf("no port: %s", printed())
	return
}

// output is what a process prints while it runs.
type output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

func start(t *testing.T, args ...string) (string, func() string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, os.Args[0], append(args, "-addr", addr)...)
	cmd.Env = append(os.Environ(), "SHIELD_MAIN=1")
	out := new(output)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	t.Cleanup(func() { cancel(); <-exited })
	deadline := time.After(30 * time.Second)
	for {
		select {
		case <-exited:
			if strings.Contains(out.String(), "address already in use") {
				return "", out.String
			}
			t.Fatalf("it ended: %s", out)
		default:
		}
		// The one that answers must be the child and no stranger on its port: only a shield refuses this way.
		if r, err := http.Get("http://" + addr + "/nothing/here"); err == nil {
			b, _ := io.ReadAll(r.Body)
			r.Body.Close()
			if r.StatusCode == 404 && strings.Contains(string(b), "There is nothing at this path.") {
				return "http://" + addr, out.String
			}
		}
		select {
		case <-exited:
			continue
		case <-deadline:
			t.Fatal("it does not serve")
		case <-time.After(10 * time.Millisecond): // another process: its clock is the wall's
		}
	}
}

func TestItShieldsALocalServerOfEveryKind(t *testing.T) {
	const chat = `{"model":"m","messages":[{"role":"user","content":"hi"}]}`
	for _, name := range preset.Names() {
		good := map[string][2]string{
			"anthropic": {"/v1/messages", `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"hi"}]}`},
			"mcp":       {"/mcp", `{"jsonrpc":"2.0","id":1,"method":"tools/list"}`},
			"ollama":    {"/api/chat", chat},
			"tgi":       {"/generate", `{"inputs":"hi"}`},
		}[name]
		if good[0] == "" {
			good = [2]string{"/v1/chat/completions", chat}
		}
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				b, _ := io.ReadAll(r.Body)
				if strings.Contains(string(b), "fail") {
					w.WriteHeader(500)
					io.WriteString(w, "panic in /srv/engine.go:7")
					return
				}
				io.WriteString(w, r.Method+" "+r.Host+r.URL.Path+" "+string(b))
			}))
			defer upstream.Close()
			at, printed := run(t, "-log", "debug", "-preset", name, "-to", upstream.URL)
			if first := printed(); !strings.Contains(first, name+", ") || !strings.Contains(first, at+" -> "+upstream.URL) {
				t.Errorf("at its start it says %q", first)
			}
			send := func(path, body string) (int, string) {
				r, err := http.NewRequest("POST", at+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				r.Header = http.Header{"Content-Type": {"application/json"}, "Accept": {"application/json, text/event-stream"}}
				resp, err := http.DefaultClient.Do(r)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				b, err := io.ReadAll(resp.Body)
				if err != nil {
					t.Fatal(err)
				}
				return resp.StatusCode, string(b)
			}
			host := strings.TrimPrefix(upstream.URL, "http://")
			if code, got := send(good[0], good[1]); code != 200 || got != "POST "+host+good[0]+" "+good[1] {
				t.Errorf("a good request: %d %s", code, got)
			}
			if code, got := send(good[0], strings.TrimSuffix(good[1], "}")+`,"chat_template":"x"}`); code != 422 || !strings.Contains(got, "schema_violation") {
				t.Errorf("a bad member: %d %s", code, got)
			}
			if code, got := send("/api/create", `{"model":"leak"}`); code != 404 || strings.Contains(got, host) {
				t.Errorf("what is for the operator: %d %s", code, got)
			}
			failing := strings.NewReplacer(`"hi"`, `"fail"`, "tools/list", "tools/fail").Replace(good[1])
			if code, got := send(good[0], failing); code != 500 || strings.Contains(got, "engine.go") {
				t.Errorf("a failure behind: %d %s", code, got)
			}
			if log := printed(); !strings.Contains(log, "schema_violation") || !strings.Contains(log, "not_found") {
				t.Errorf("at debug the log has no refusals: %s", log)
			}
		})
	}
}

func TestWithoutVItLogsNoRefusals(t *testing.T) {
	at, printed := run(t)
	if r, err := http.Get(at + "/nothing"); err != nil || r.Body.Close() != nil || strings.Contains(printed(), "refused") {
		t.Errorf("%v: %s", err, printed())
	}
}

func TestItDoesNotStartWithAWrongFlagAndSaysWhich(t *testing.T) {
	for _, c := range []struct{ flag, value, says string }{
		{"-preset", "none", "anthropic, llamacpp, mcp"}, {"-to", "ollama", "is no URL of a server"}, {"-to", ":", "is no URL of a server"},
		{"-to", "ftp://x", "is no URL of a server"}, {"-to", "http://", "is no URL of a server"}, {"-addr", "nowhere", "address nowhere"},
	} {
		cmd := exec.Command(os.Args[0], c.flag, c.value)
		cmd.Env = append(os.Environ(), "SHIELD_MAIN=1")
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), c.says) || c.flag != "-addr" && !strings.Contains(string(out), c.flag) {
			t.Errorf("%s %s: %v %s", c.flag, c.value, err, out)
		}
	}
}

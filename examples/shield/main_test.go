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

// run starts the program and returns its address once it serves. It ends with the test.
func run(t *testing.T, args ...string) string {
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
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { cmd.Wait(); close(exited) }()
	t.Cleanup(func() { cancel(); <-exited })
	deadline := time.After(30 * time.Second)
	for {
		if c, err := net.Dial("tcp", addr); err == nil {
			c.Close()
			return "http://" + addr
		}
		select {
		case <-exited:
			t.Fatalf("it ended: %s", &out)
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
			at := run(t, "-preset", name, "-to", upstream.URL)
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
		})
	}
}

func TestItDoesNotStartWithoutAKnownPresetAndAURL(t *testing.T) {
	for _, args := range [][]string{{"-preset", "none"}, {"-to", "ollama"}, {"-to", ":"}} {
		cmd := exec.Command(os.Args[0], args...)
		cmd.Env = append(os.Environ(), "SHIELD_MAIN=1")
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "-preset is one of") {
			t.Errorf("%q: %v %s", args, err, out)
		}
	}
}

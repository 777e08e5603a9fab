package sqltest

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey/sqlstore"
)

const serverVariable = "MANTLET_TEST_KEY_DATABASE"

// where is what the other process needs to know.
type where struct {
	Dialect            sqlstore.Dialect
	Driver, DSN, Table string
}

// TestServerProcess is the other process of the test below: a server that has only the database in common with it.
func TestServerProcess(t *testing.T) {
	text := os.Getenv(serverVariable)
	if text == "" {
		t.Skip("runs only as a child of TestARevocationInOneProcessHoldsInAnother")
	}
	var w where
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		t.Fatal(err)
	}
	m := manager(t, database{w.Dialect, w.Driver, w.DSN, w.Table}.store(t), 0) // with the default interval
	fmt.Println("ready")
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	key := strings.TrimSpace(line)
	tick := time.NewTicker(time.Millisecond)
	for accepted := false; ; <-tick.C {
		err := verify(m, key)
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

// That it takes no more than a second is proved in package apikey, where the clock is exact.
func TestARevocationInOneProcessHoldsInAnother(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		m := manager(t, d.store(t), 0)
		text, err := json.Marshal(where{d.dialect, d.driver, d.dsn, d.table})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		server := exec.CommandContext(ctx, os.Args[0], "-test.run=^TestServerProcess$")
		server.Env = append(os.Environ(), serverVariable+"="+string(text))
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
		key, id := create(t, m) // while the server runs: it learns of the key from the database
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
	})
}

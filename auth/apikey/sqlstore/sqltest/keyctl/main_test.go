package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/keyctl/cli"
)

func TestKeyctlOnADatabase(t *testing.T) {
	t.Run("sqlite", func(t *testing.T) { session(t, "sqlite:file:"+filepath.Join(t.TempDir(), "keys.db")) })
	t.Run("postgresql", func(t *testing.T) {
		dsn := os.Getenv("MANTLET_TEST_POSTGRES")
		if dsn == "" {
			t.Skip("needs PostgreSQL: run under 'bash .ci/with-postgres'")
		}
		db, err := sql.Open("pgx", dsn)
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		if _, err := db.Exec("CREATE SCHEMA keyctl"); err != nil { // the command uses the tables' usual names
			t.Fatal(err)
		}
		defer db.Exec("DROP SCHEMA keyctl CASCADE")
		session(t, "postgres:"+dsn+" search_path=keyctl")
	})
}

func session(t *testing.T, store string) {
	keyctl := func(want int, args ...string) string {
		t.Helper()
		var stdout, stderr bytes.Buffer
		env := map[string]string{"KEYCTL_STORE": store, "KEYCTL_PREFIX": "acme", "KEYCTL_ENV": "live"}
		code := cli.Main(context.Background(), cli.Config{Openers: openers, Stdout: &stdout, Stderr: &stderr, Getenv: func(k string) string { return env[k] }}, args)
		if code != want {
			t.Fatalf("keyctl %q: exit code %d: %s", args, code, stderr.String())
		}
		return stdout.String() + stderr.String()
	}
	if got := keyctl(cli.Failed, "list"); !strings.Contains(got, "run keyctl init") { // no tables yet, and list makes none
		t.Error(got)
	}
	keyctl(cli.OK, "init")
	var made struct{ Key string }
	if err := json.Unmarshal([]byte(keyctl(cli.OK, "create", "-client", "a", "-json")), &made); err != nil {
		t.Fatal(err)
	}
	info, err := apikey.Inspect(made.Key)
	if err != nil {
		t.Fatal(err)
	}
	keyctl(cli.OK, "rotate", info.ID, "-overlap", "1h")
	if got := keyctl(cli.OK, "show", info.ID); !strings.Contains(got, "overlap") {
		t.Error(got)
	}
	keyctl(cli.OK, "revoke", info.ID)
	keyctl(cli.Refused, "enable", info.ID)
	keyctl(cli.NotFound, "show", "000000000000")
	if got := keyctl(cli.OK, "list"); strings.Count(got, "\n") != 3 || strings.Contains(got, made.Key) {
		t.Error(got)
	}
}

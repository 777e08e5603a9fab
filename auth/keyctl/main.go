// Command keyctl makes, lists, rotates and revokes the API keys of package apikey in a key file:
//
//	go install github.com/mantlet-go/mantlet/auth/keyctl@latest
//	export KEYCTL_STORE=file:/etc/acme/keys.json
//	keyctl init
//	keyctl create -prefix acme -env live -client search-team -scopes chat:write -expires 90d
//	keyctl list
//
// Prefix and env are the server's, and are needed for the first key only. In a module that requires Mantlet, "go get -tool
// github.com/mantlet-go/mantlet/auth/keyctl" makes it "go tool keyctl". Not "go run" in a script: it makes 1 of every exit code but 0.
//
// A server that has the file open takes every change over within its poll interval. Package cli has the commands, the exit codes,
// and the few lines that make a keyctl for a database; the command auth/apikey/sqlstore/sqltest/keyctl is one for PostgreSQL and SQLite.
package main

import (
	"context"
	"os"
	"os/signal"

	"github.com/mantlet-go/mantlet/auth/keyctl/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := cli.Main(ctx, cli.Config{}, os.Args[1:])
	stop()
	os.Exit(code)
}

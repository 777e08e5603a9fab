// Command keyctl makes, lists, rotates and revokes the API keys of package apikey in a key file:
//
//	export KEYCTL_STORE=file:/etc/acme/keys.json KEYCTL_PREFIX=acme KEYCTL_ENV=live
//	go run github.com/mantlet-go/mantlet/auth/keyctl init
//	go run github.com/mantlet-go/mantlet/auth/keyctl create -client search-team -scopes chat:write -expires 90d
//	go run github.com/mantlet-go/mantlet/auth/keyctl list
//
// A server that has the file open takes every change over within its poll interval. Package cli has the commands, the exit codes,
// and the few lines that make a keyctl for a database.
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

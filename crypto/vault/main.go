// Command vault makes keys, encrypts files, and makes, verifies and restores encrypted backups:
//
//	go install github.com/mantlet-go/mantlet/crypto/vault@latest
//	export MANTLET_RING=/etc/acme/ring
//	vault keygen
//	vault backup -label acme -ledger /var/lib/acme/ledger -out /mnt/backup/1.vault keys=/etc/acme/keys audit=/var/log/acme
//	vault verify -label acme -ledger /var/lib/acme/ledger /mnt/backup/1.vault
//	vault restore -label acme -ledger /var/lib/acme/ledger /mnt/backup/1.vault -to /srv/restored
//
// "go run github.com/mantlet-go/mantlet/crypto/vault" is for a first look: it makes 1 of every exit code but 0. In a module that requires
// Mantlet, "go get -tool github.com/mantlet-go/mantlet/crypto/vault" makes it "go tool vault".
//
// Its name is also that of a program of HashiCorp's. To have it under another one, build it: go build -o mantlet-vault
// github.com/mantlet-go/mantlet/crypto/vault. Its variables begin with MANTLET_.
//
// Package cli has the commands and the exit codes.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/mantlet-go/mantlet/crypto/vault/cli"
)

func main() {
	// A second one does not end the process before what it has begun to write is removed. SIGHUP comes when a terminal is closed.
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as nohup has it
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	code := cli.Main(ctx, cli.Config{}, os.Args[1:])
	stop()
	os.Exit(code)
}

package cli_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/mantlet-go/mantlet/crypto/vault/cli"
)

// A vault that knows the audit log, so that a backup of another history of it is found out.
func ExampleMain() {
	check := func(ctx context.Context, checkpoint []byte) error {
		if !strings.HasPrefix(string(checkpoint), "acme audit\n") { // ask the log for a consistency proof
			return errors.New("it is no checkpoint of our log")
		}
		return nil
	}
	code := cli.Main(context.Background(), cli.Config{CheckCheckpoint: check, Stderr: os.Stdout}, []string{"verify", "1.vault"})
	fmt.Println("exit code", code)
	// Output:
	// vault: -ring (or MANTLET_RING) does not say where the keys are
	// exit code 2
}

package cli_test

import (
	"context"
	"fmt"

	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/keyctl/cli"
)

// A keyctl for a store of your own: an opener by scheme.
func ExampleMain() {
	store := apikey.NewMemoryStore()
	openers := map[string]cli.Opener{
		"mine": func(ctx context.Context, address string, create bool) (apikey.Store, func() error, error) {
			return store, nil, nil // open what address names; make it if create
		},
	}
	code := cli.Main(context.Background(), cli.Config{Openers: openers}, []string{"list", "-store", "mine:somewhere"})
	fmt.Println("exit code", code)
	// Output:
	// ID  CLIENT  STATE  CREATED  EXPIRES  LAST USED  SCOPES
	// exit code 0
}

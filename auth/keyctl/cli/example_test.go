package cli_test

import (
	"context"
	"database/sql"
	"fmt"
	"os"

	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/apikey/sqlstore"
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
	// KEY  CLIENT  STATE  CREATED  EXPIRES  LAST USED  SCOPES
	// exit code 0
}

// A keyctl for PostgreSQL. The program imports the driver, for instance _ "github.com/jackc/pgx/v5/stdlib".
//
//	KEYCTL_STORE='postgres:host=db user=keys dbname=keys' keyctl list
func ExampleMain_database() {
	open := func(ctx context.Context, dsn string, create bool) (apikey.Store, func() error, error) {
		db, err := sql.Open("pgx", dsn)
		if err != nil {
			return nil, nil, err
		}
		store, err := sqlstore.New(ctx, sqlstore.Config{DB: db, Dialect: sqlstore.PostgreSQL, SkipMigrations: !create})
		if err != nil {
			db.Close()
			return nil, nil, err
		}
		return store, db.Close, nil
	}
	os.Exit(cli.Main(context.Background(), cli.Config{Openers: map[string]cli.Opener{"postgres": open}}, os.Args[1:]))
}

// Command keyctl is auth/keyctl with two databases: the pattern for one with your own. It stands in a module that is not published, so copy this
// file into yours.
//
//	KEYCTL_STORE='postgres:host=db user=keys dbname=keys' keyctl list
package main

import (
	"context"
	"database/sql"
	"os"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/apikey/sqlstore"
	"github.com/mantlet-go/mantlet/auth/keyctl/cli"
)

func main() { os.Exit(cli.Main(context.Background(), cli.Config{Openers: openers}, os.Args[1:])) }

var openers = map[string]cli.Opener{"postgres": opener("pgx", sqlstore.PostgreSQL), "sqlite": opener("sqlite", sqlstore.SQLite)}

func opener(driver string, dialect sqlstore.Dialect) cli.Opener {
	return func(ctx context.Context, dsn string, create bool) (apikey.Store, func() error, error) {
		db, err := sql.Open(driver, dsn)
		if err != nil {
			return nil, nil, err
		}
		store, err := sqlstore.New(ctx, sqlstore.Config{DB: db, Dialect: dialect, SkipMigrations: !create})
		if err != nil {
			db.Close()
			return nil, nil, err
		}
		return store, db.Close, nil
	}
}

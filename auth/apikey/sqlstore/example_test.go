package sqlstore_test

import (
	"context"
	"database/sql"
	"log"

	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/apikey/sqlstore"
)

// The program imports the driver, for instance _ "github.com/jackc/pgx/v5/stdlib" or _ "modernc.org/sqlite".
func Example() {
	ctx := context.Background()
	db, err := sql.Open("pgx", "host=db user=keys dbname=keys")
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store, err := sqlstore.New(ctx, sqlstore.Config{DB: db, Dialect: sqlstore.PostgreSQL})
	if err != nil {
		log.Fatal(err)
	}
	keys, err := apikey.New(apikey.Config{Store: store, Prefix: "acme", Env: "live"})
	if err != nil {
		log.Fatal(err)
	}
	defer keys.Close(ctx)
	// keys is an auth.Authenticator now, and follows what other processes write.
}

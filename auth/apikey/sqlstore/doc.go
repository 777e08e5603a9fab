// Package sqlstore keeps the keys of an [apikey.Manager] in PostgreSQL or SQLite, through database/sql and whatever driver the
// program brings: this package imports none.
//
//	db, err := sql.Open("pgx", dsn) // github.com/jackc/pgx/v5/stdlib
//	store, err := sqlstore.New(ctx, sqlstore.Config{DB: db, Dialect: sqlstore.PostgreSQL})
//	keys, err := apikey.New(apikey.Config{Store: store, Prefix: "acme", Env: "live"})
//
// A keyctl for these databases is the command auth/apikey/sqlstore/sqltest/keyctl, some thirty lines to copy into a program of yours: it
// stands in the module of the tests, the one that may import drivers. ExampleMain_database of package keyctl/cli is the same in short.
//
// # How it works
//
// Three tables, named by [Config.Table]: the keys, what is on record about their use, and a few numbers, among them the version of
// the schema. [New] brings the schema up to date, one process at a time; it refuses one that a later version made.
//
// Every write takes the next number of one change sequence in its own transaction, and so holds that row until it commits: numbers
// become visible in their order, and whoever asks for what changed after number n misses nothing. It also makes the comparison of
// versions exact. Writes of keys are thereby one after the other; checks never touch the database.
//
// An unchanged poll is one query of two rows. A change elsewhere arrives with the next poll ([apikey.Config.PollInterval]), which
// reads only what changed. Where that is too late, PostgreSQL can announce it: see [Config.Channel].
//
// # Callers' part
//
// Rights: whoever may write these tables can make keys. SQLite: give the driver a busy timeout (some seconds) if several processes
// write, and keep the file private. Do not delete rows: revoke. A row that was deleted or a backup that was played back is noticed
// after [Config.FullEvery]; revocations seen before stay in force in processes that run.
package sqlstore

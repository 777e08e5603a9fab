// Package sqltest tests package sqlstore on real databases. It is a module of its own, so that no driver enters the module graph of a
// user.
//
// SQLite runs inside the test. PostgreSQL is whatever the environment variable MANTLET_TEST_POSTGRES names, as a connection string of
// github.com/jackc/pgx; without it the tests skip. To start one for the time of a test:
//
//	bash .ci/with-postgres go -C auth/apikey/sqlstore/sqltest test ./...
package sqltest

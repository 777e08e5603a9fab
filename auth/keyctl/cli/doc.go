// Package cli is the command keyctl as a function, so that a program can add the driver of its own database:
//
//	func main() {
//		os.Exit(cli.Main(context.Background(), cli.Config{Openers: map[string]cli.Opener{"postgres": open}}, os.Args[1:]))
//	}
//
// See the examples. A whole one, for PostgreSQL and SQLite, is the command auth/apikey/sqlstore/sqltest/keyctl of this repository: copy its
// main.go into your program's module.
//
// # Commands
//
//	init                  make the store
//	create -client NAME   make a key; the only time it is shown
//	list [-client NAME]   all keys, oldest first
//	show ID               one key
//	rotate ID             make a successor and revoke the old key at once; with -overlap 24h it works for a day more. The output says until when
//	revoke ID ...         withdraw keys for good; -client NAME: all keys of a client, or exit code 3 if it has none
//	disable ID ...        withdraw keys for a while
//	enable ID ...         make disabled keys work again
//	import -client NAME   take over a key of another system: the key, or with -hashed its hash in hexadecimal, is read from standard input
//	sweep                 mark what has expired; with -dormant 90d disable what nobody used for so long, if the servers record uses
//	review                what somebody should look at: unused, old, endless and ownerless keys, scopes that were never needed
//
// The flag -h after a command lists its flags. A flag is given once, but -label.
//
// An ID is the public id, what list prints (acme_live_<id>), or the key itself, whole or cut short after the id, as it was found; of an
// imported one, the whole. "-" reads any number of them from standard input, where no shell remembers them:
//
//	keyctl revoke - < leaked.txt
//
// # Where the keys are
//
// The flag -store, or the environment variable KEYCTL_STORE, says SCHEME:ADDRESS. "file:PATH" is built in; a password belongs into the
// variable, for arguments are seen by everybody on the machine.
//
// # Whose keys they are
//
// The flags -prefix and -env, or KEYCTL_PREFIX and KEYCTL_ENV, are those of the server's [apikey.Config]. The first key needs them. Later
// ones get those of the keys in the store, where these leave no choice, and a successor gets those of its predecessor. create, rotate and
// import refuse a prefix and env that no key in the store has: no server would take such a key. -new-prefix is for the one time when that is meant.
//
// The server's [apikey.Policy] does not bind keyctl, which does not know it. The flags -require-expiry, -max-lifetime, -max-overlap and
// -max-keys are its own; set them for everybody by KEYCTL_REQUIRE_EXPIRY (true), KEYCTL_MAX_LIFETIME, KEYCTL_MAX_OVERLAP and KEYCTL_MAX_KEYS.
//
// # States
//
//	active    works
//	overlap   was rotated, and works beside its successor until it expires
//	not yet   will work from its not-before on
//	disabled  does not work until enable
//	expired   is over
//	revoked   is withdrawn for good
//
// # Times
//
// All in UTC. A time is 2027-01-31T12:00:00Z, 90d or 36h from now, or a day: -expires 2027-01-31 is the end of that day, on which the key still
// works, and -not-before 2027-01-31 its beginning.
//
// # What it prints
//
// Tables for people, or with -json one JSON value: a list where several keys can be named. A key is printed by create and rotate, on standard
// output, and nowhere else; with -quiet it is alone there. Its hash is never
// printed. Everything that went wrong, and remarks, are on standard error. Control characters of labels and names are printed escaped.
//
// # Exit codes
//
//	0  done
//	1  the store failed
//	2  wrong use
//	3  no such key
//	4  refused: the policy, the state of the key, a key that is too weak, another prefix or env, or a write by somebody else
//	5  review -check found something
//
// Where several keys were named, the others are done although one failed, and the code is that of the first failure. "go run" makes 1 of every code
// but 0: install the command (go install, or go get -tool and go tool).
package cli

// Package cli is the command keyctl as a function, so that a program can add the driver of its own database:
//
//	func main() {
//		os.Exit(cli.Main(context.Background(), cli.Config{Openers: map[string]cli.Opener{"postgres": open}}, os.Args[1:]))
//	}
//
// # Commands
//
//	init                  make the store
//	create -client NAME   make a key; the only time it is shown
//	list [-client NAME]   all keys, oldest first
//	show ID               one key
//	rotate ID             make a successor; -overlap 24h lets both work for a day, without it the old key is revoked
//	revoke ID             withdraw a key for good
//	disable ID, enable ID withdraw it for a while
//	import -client NAME   take over a key of another system: the key, or with -hashed its hash in hexadecimal, is read from standard input
//	sweep                 mark what has expired; with -dormant 90d disable what nobody used for so long, if the servers record uses
//	review                what somebody should look at: unused, old, endless and ownerless keys, scopes that were never needed
//
// # Where the keys are
//
// The flag -store, or the environment variable KEYCTL_STORE, says SCHEME:ADDRESS. "file:PATH" is built in; a password belongs into the
// variable, for arguments are seen by everybody on the machine. The flags -prefix and -env, or KEYCTL_PREFIX and KEYCTL_ENV, are those
// of [apikey.Config]; only commands that make keys need them.
//
// # What it prints
//
// Tables for people, or with -json one JSON value. A key is printed by create and rotate, on standard output, and nowhere else; its hash
// never. Everything that went wrong is on standard error. Control characters of labels and names are printed escaped.
//
// # Exit codes
//
//	0  done
//	1  the store failed
//	2  wrong use
//	3  no such key
//	4  refused: the policy, the state of the key, a key that is too weak, or a write by somebody else
//	5  review -check found something
package cli

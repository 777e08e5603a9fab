// Package cli is the command vault as a function, so that a program can add a check of its own audit log to it:
//
//	func main() {
//		os.Exit(cli.Main(context.Background(), cli.Config{CheckCheckpoint: check}, os.Args[1:]))
//	}
//
// # Commands
//
//	keygen                make a ring file with a new key; with -stdin one with the key on standard input, as -print has printed it
//	keygen -print         print a new key and do nothing else: for a secret store, or for paper
//	keys                  the keys of the ring, without their secrets
//	encrypt [FILE]        encrypt a file, or standard input
//	decrypt [FILE]        decrypt it; -out is required. With -out - it goes to standard output as it comes, and only exit code 0 says that it was all
//	rotate -add           the four steps of replacing a key, each of them alone: see below
//	rotate FILE ...       encrypt files anew under the primary key
//	backup NAME=PATH ...  make an encrypted backup of files and directories
//	verify FILE           restore it without writing anything: decrypt all, hash all, open a canary of every key
//	restore FILE -to DIR  restore it whole or not at all
//
// "vault help COMMAND", or -h after a command, lists its flags; "vault version" says which one it is. A flag is given once, but -skip,
// -append-only, -needs and -live.
//
// # The ring
//
// The flag -ring, or the environment variable MANTLET_RING, names the file of the keys, of mode 0600. Keep a copy of it where the backups
// are not: without it they are nothing. To replace a key, in this order, and each step on every machine before the next one:
//
//	vault rotate -add           a new key, which only decrypts
//	vault rotate -promote ID    it encrypts from now on
//	vault rotate FILE ...       whatever is left under the old key; not links, which would be replaced
//	vault backup ...            a new backup, since those from before are under the old key, and not rotated
//	vault rotate -retire ID     the old key does nothing any more; -restore ID undoes that
//	vault rotate -destroy ID    it is gone, and so is what is under it
//
// # Places
//
// What is encrypted for one place does not decrypt as that of another. The place of a file is -purpose (without: "vault file"), -tenant,
// -subject and -path, each the same when it is decrypted; that of a backup is its -label.
//
// # Old backups
//
// A backup has a counter. With -ledger FILE it is the next one of that file, and verify and restore refuse a lower one than the highest
// that the file has seen; for them the file must exist. Without a ledger, -counter says it for backup, and -newest N what is known for
// verify and restore. -allow-rollback restores an old one all the same.
//
// Directories that are a shred.FileStore are recognised. Their tombstones, those of the stores in a directory that is replaced, and those
// of a store that
// -live DIR names, are applied by restore. More of them, from an audit log, are read from -tombstones FILE: one JSON object a line, whose MACs are checked
// with the key in -alias-key FILE; an empty file says that nobody was shredded since. Where nothing tells who was, a backup with such a
// store is refused;
// -insecure-skip-tombstones restores it all the same, applies what can be applied, and says what could not.
//
// # Disaster recovery
//
// What must be at hand from elsewhere: the ring, the ledger, the alias key, and the live store of a replica or the proofs of the audit log.
//
//	export MANTLET_RING=/etc/acme/vault.ring MANTLET_LABEL=acme MANTLET_LEDGER=/etc/acme/vault.ledger
//	vault verify /mnt/backup/17.vault
//	vault restore /mnt/backup/17.vault -to /srv/acme -live /mnt/replica/subjects        nothing is left of /srv/acme
//	vault restore /mnt/backup/17.vault -to /srv/acme -replace                           or its stores are
//	vault restore /mnt/backup/17.vault -to /srv/acme -tombstones proofs -alias-key key  or only the audit log
//	vault backup -out /mnt/backup/18.vault acme=/srv/acme                               when it is in use again
//
// Then withdraw again what was withdrawn since the backup, API keys say, and remove the directory that was replaced.
//
// # What it prints
//
// Text for people, or with -json one JSON value, on standard output: what was done, a report with "failures", or
// {"error":{"code","kind","text"}}, where kind is a word that stays the same (older, decrypt, truncated, exists, tombstones, usage ...). A
// secret is on standard output with keygen -print, and with decrypt -out -, and nowhere else. What went wrong, remarks, and a progress bar
// if standard error is a terminal, are on standard error. Control characters of names are printed escaped.
//
// # Exit codes
//
//	0  done
//	1  a file, a disk or the like failed
//	2  wrong use
//	3  damaged: it was changed or cut, it is of another place, its checkpoint is inconsistent, or it is no backup
//	4  refused: an old backup, a target that exists, a link in a source, a step that the key's state does not allow, tombstones that cannot be applied
//	5  a key, or the ring, is not there
//	130  interrupted
//
// Where several things are wrong it is the first of 3, 5, 4 and 1.
//
// After an interrupt, a SIGTERM or a SIGHUP nothing is left behind. A process that is killed (SIGKILL) or loses its machine leaves what it
// wrote beside its place: .NAME.*.tmp of decrypt in clear, .DIR.restore-* of restore in clear, and .NAME.ring.*.tmp with keys. Remove them.
package cli

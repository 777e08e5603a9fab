// Package backup makes encrypted backups of files and directories, proves by drills that they can be restored, and restores them whole or
// not at all.
//
//	safe, err := backup.New(backup.Config{Ring: ring, Label: "acme gateway"})
//	report, err := safe.WriteFile(ctx, "/mnt/backup/17", backup.Set{Counter: 17, Sources: []backup.Source{{Name: "keys", Path: "/etc/acme/keys"}}})
//	report, err = safe.Verify(ctx, file, backup.Guard{Newest: 17})
//	report, err = safe.Restore(ctx, file, backup.Target{Dir: "/etc/acme/restored", Guard: backup.Guard{Newest: 17}})
//
// It is made for key stores, configuration, audit logs with their checkpoints, and directories of models of many gigabytes.
//
// # What it protects against
//
// Backups that succeed for years and cannot be restored. Verify is the restore without the disk: the same code decrypts everything, hashes
// every file, and opens a canary for every key id that the data needs, which tells today that a key is missing, and not on the day when it
// is needed. A Schedule with Safe.Drill makes backups and drills by itself, reports every one, and raises an alarm when none has succeeded
// for some time: also when a drill hangs, and at once when none has ever succeeded. What is wrong has a kind: see Failure.
//
// Reading or changing a backup: it is one stream of package seal, names and sizes included. Every bit counts, and so does the end. A backup
// of another label is refused.
//
// Half a restore. All is written beside the target, checked and synced, and then renamed. What was there is kept under another name.
//
// Old data that comes back. A counter lower than the newest known one is refused, unless Guard.AllowRollback says that it is meant. Who was
// shredded (package shred) stays so: the tombstones in the backup, those of the live stores that are replaced, and those of Target.Live and
// Target.Tombstones are applied to what was staged, before anybody sees it, and once more when it is in its place. A backup with a store of
// subjects is not restored where nothing tells who was shredded since; nor is one that has keys of subjects without the marker of their
// store.
//
// Hostile manifests, of somebody who has the key: names that are absolute, lead upwards, are too long, too deep, or not in the order in
// which they are written; symbolic links, devices, and files with special bits are in no backup, and refused as a source too (those of a
// directory are left out).
//
// # What it does not
//
//   - A file that is written meanwhile is an error (ErrChanged), by its size and times: what a program writes through a mapping (mmap), or twice
//     within one tick of the file system's clock, may not be seen. And two files are not of one moment. Back up a snapshot or a dump
//     of what must be consistent, such as a database. What was renamed meanwhile may be in the backup under neither name: Report.Vanished. Files that only grow are taken as they were at first: Set.AppendOnly.
//   - What was withdrawn since the newest backup is back after its restore: an API key that was revoked, say. Tombstones are for subjects only.
//     Withdraw it again, from the audit log, before anybody uses what was restored.
//   - Owners, groups, hard links, extended attributes and holes in files are not kept. What is restored belongs to who restores.
//   - What was replaced (Report.Previous) has the wrapped keys of whoever is shredded later: remove it when you do not need it any more.
//   - The size of a backup tells how much is in it.
//   - Whoever can delete backups can delete them, and only the counter of the newest one, kept elsewhere (a Ledger), tells that an old one is old.
//   - The key of a backup must not be only in the backup. The keys that it needs neither: pass them in Config.Needs, and a drill tells.
//
// # Disaster recovery
//
// What is not in the backups must be kept where they are not: the ring that they are under (Config.Ring), the ledger, and the audit log or
// another replica, which tell who was shredded since. With them, on a new machine:
//
// 1. Read the ring: seal.ReadKeyringFile. 2. Verify the newest backup, with Guard.Newest from the ledger. 3. Restore it to a new directory,
// with Target.Live or Target.Tombstones. 4. Withdraw again what was withdrawn since Report.Time: API keys, say, from the audit log. 5.
// Start what uses it, and make a new backup.
//
// In place, over what is damaged but there, it is the same with Target.Replace: the tombstones of the stores that are replaced are found
// without Live. Package cli (crypto/vault/cli) has the commands.
//
// # Replacing a key
//
// Between the step that promotes a new key and the one that retires the old one (package seal), make a new backup: an older one is under
// the old key, and does not open when that is destroyed. A drill of a backup of before names the old key in Report.Retired, which is no
// failure.
//
// # Format
//
// The message of a stream of package seal whose Context has the Purpose "mantlet backup v1" and the Label as Subject. It is made of frames:
//
//	length  what
//	1       kind: H, D, F or E
//	4       length of the JSON, big-endian
//	n       JSON, in exactly the form in which encoding/json writes the types of format.go
//
// One H (label, counter, time, canaries, checkpoint, tombstones) comes first. Then come all directories (D: name, mode, time) and files (F:
// name, mode, time, size), each directory before what is in it and the names of a directory in the order of their bytes. The JSON of an F
// is followed by the content and the 32 bytes of its SHA-256. E is last: how many directories, files and bytes there were, and the SHA-256
// of all frames, those of the contents included, but not the contents. So the manifest is spread over the stream, and neither writing nor
// reading it takes memory for the number of files.
//
// # FIPS 140-3
//
// Under GODEBUG=fips140=only no backup can be made (seal.ErrFIPS); one that was made elsewhere is verified and restored.
//
// # Cost
//
// Each byte is hashed once and encrypted or decrypted once. Memory is some 3 MiB, and 512 KiB for each of Config.Workers, whatever the size
// and number of the files, but a directory is listed as a whole while it is written, and the header has up to MaxTombstones. Restore needs
// the room of the files beside the target.
package backup

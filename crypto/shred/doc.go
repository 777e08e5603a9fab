// Package shred encrypts what belongs to a person, or to any other subject, under a key of that subject's own, so that all of it can be
// erased at once by destroying the key: in tables and logs, in backups and on tapes, wherever a copy is.
//
//	subjects, err := shred.New(shred.Config{Store: store, Ring: ring, AliasKey: aliasKey})
//	where := seal.Context{Purpose: "chat.message", Tenant: "acme", Subject: "user-42", Path: "message 7"}
//	box, err := subjects.Seal(ctx, nil, []byte("hello"), where)
//	msg, err := subjects.Open(ctx, nil, box, where)
//	proof, err := subjects.Shred(ctx, shred.Subject{Tenant: "acme", ID: "user-42"}) // write it to the audit log
//
// A key is 32 random bytes, never derived from anything: a key that can be derived again cannot be destroyed. It is kept in a Store,
// wrapped by a ring, which is a *seal.Keyring, a *seal.Envelope in EnvelopeRing, or whatever else seals and opens. The boxes are those of
// package seal, bound to their place as there.
//
// # What it protects against
//
// Data of an erased person that comes back. Shred destroys the key and leaves a tombstone, which no write to the store undoes. A key that
// another goroutine is about to put into the cache does not get there. Other processes ask the store before they use a cached key
// (Config.TrustCache says when not). A backup from before has the wrapped key: Apply the tombstones to what was restored, before anybody
// uses it. Package backup does that by itself for a FileStore, and there is no other way to have a right to erasure and backups. A person
// who was shredded in one replica is in the others when the tombstones were applied there.
//
// The tombstone is also the proof: when which key of whom was destroyed, with a number that shows a gap. Its only personal data is a keyed
// hash of the subject, the alias, which is also all that the store knows of a subject. It has a MAC: a forged one would destroy data.
//
// And one person's data from the eyes of another: a box of one subject does not open for another, whatever went wrong in a query.
//
// # What it does not
//
//   - It erases what was sealed, not what was not: file names, logs, indexes and prompts in clear are yours to find.
//     Nor does it touch the blind indexes of package seal: remove those of the subject with its rows.
//   - A copy of the store and a key of the ring open everything of everybody whose key is in that copy. So a stolen backup is as
//     good as the ring; keep the two apart. Removing a file does not wipe the disk; destroying the ring's key makes up for that.
//   - Who can write to the store can destroy: remove keys, or put a tombstone there that nobody has asked for. A store keeps no MACs, so
//     Tombstones and Proof vouch for what it says. Protect it as you protect the data; the proofs of the audit log are those that Shred returned.
//   - Who has opened something before has it.
//   - Boxes under one subject key name it by the same 4 bytes, so which of them belong together can be seen.
//   - Without the AliasKey nobody's key is found. Without the ring's keys nobody's key opens: that shreds everybody. Back both up, elsewhere
//     than the store.
//
// # Cost
//
// Seal and Open cost what those of package seal do and one Store.Get, of a row by its primary key or of a file of 300 bytes, unless
// TrustCache spares it. A key that is not in memory is unwrapped in addition; some 1 KB is kept for each that is, of at most CacheKeys. The
// first Seal for a subject and its Shred are a write each, and so is every new tombstone of Apply: some milliseconds each in a FileStore,
// which syncs the disk. But for Tombstones, Apply and Rewrap nothing depends on how many subjects there are.
package shred

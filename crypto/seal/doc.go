// Package seal encrypts and authenticates what an application stores: fields and records with Seal and Open, files of any size with
// NewWriter, NewReader and NewReaderAt. Every box names its key, so keys rotate without trial decryption, and is bound to the
// place it belongs to, so that it opens nowhere else.
//
//	err := seal.CreateKeyringFile("/etc/app/seal.keys", seal.NewRing()) // once
//	ring, err := seal.ReadKeyringFile("/etc/app/seal.keys")             // at every start
//
//	where := seal.Context{Purpose: "users.email", Tenant: "acme", Subject: "user-42"}
//	box, err := ring.Seal(nil, []byte("alice@example.com"), where)
//	msg, err := ring.Open(nil, box, where)
//
// # What it protects against
//
// Reading and changing what is stored, without the key: every bit of a box counts. Moving it: a box of one row, tenant, column or
// purpose does not open as that of another (Context is mandatory, and two different ones never look the same). Cutting it: a stream
// that lacks its end is ErrTruncated. Reordering, repeating or dropping parts of a stream, and mixing two of them. Repeated
// nonces: nobody can choose one.
//
// # What it does not
//
//   - The length of a message, the id of its key and how often a record changes are in clear.
//   - A box that was genuine once opens for ever in its place: whoever can write to the store can put an old value back. Where
//     that matters, put a version into Context.Path and keep it elsewhere.
//   - A record does not commit to its key: somebody who knows two keys of the ring can make a record that opens under both (it still
//     names one). Streams commit.
//   - A Reader hands out each piece as soon as it is authentic, before the end was seen: until it says io.EOF the message may be an
//     authentic beginning only.
//   - A virtual machine that is resumed twice from one snapshot, or forked, in the middle of a stream goes on with the same numbers of
//     chunks, so that two texts are encrypted under one nonce. Begin streams anew after a snapshot was restored. Records draw their
//     nonces anew, as far as the system's generator knows of the snapshot.
//   - Keys stay in memory for the life of the ring, and Go cannot promise that memory is wiped.
//
// # Replacing a key
//
// In this order, and each step everywhere before the next one begins. Then no process ever meets a box whose key it does
// not have:
//
//  1. Add the new key to the ring of every process. It opens, nothing is sealed under it yet. Processes that share a file follow it with
//     WatchFile; that all of them have the key shows when their health endpoints show the same Keys.
//  2. Promote it. From here on new boxes are under the new key; the old one still opens.
//  3. Wait for the streams that were begun before that, which end under the old key. Reseal what is stored (NeedsReseal tells what is left),
//     and copy streams through NewReader and NewWriter. Make a new backup: older ones need the old key.
//  4. Retire the old key when the last box under it is gone: after the longest time to live and the age of the oldest backup. It opens
//     nothing any more, and Restore undoes the step if a box was forgotten. Destroy ends it for good.
//
// A key that has leaked goes the same way, faster. That is why there is no call that adds and promotes at once: it would make boxes
// that the other processes cannot open.
//
// # Format
//
// A record, 45 bytes longer than its message:
//
//	offset  length  what
//	0       1       0x01
//	1       4       key id
//	5       24      nonce of XAES-256-GCM, random
//	29      n       ciphertext, as long as the message
//	29+n    16      tag
//
// with XAES-256-GCM as in https://c2sp.org/XAES-256-GCM. A stream:
//
//	offset  length  what
//	0       1       0x02
//	1       4       key id
//	5       24      salt, random
//	29      32      key commitment
//	61      ...     chunks of 16384 bytes, each followed by its tag of 16; the last one is shorter, perhaps empty
//
// which from offset 5 on is Cobblestone-256 of https://c2sp.org/chunked-encryption (HKDF-SHA-512, AES-256-GCM). The associated data of
// the record, and the context of the stream, is
//
//	offset  length  what
//	0       1       0x01 or 0x02, as above
//	1       4       key id
//	5       2+n     Context.Purpose: its length in bytes, big-endian, then the bytes
//	...     2+n     Context.Tenant, Context.Subject and Context.Path in the same form
//
// The 32 bytes of a key are never used as they are. Each use has a key of its own, derived by HKDF-Expand (RFC 5869) with
// SHA-512 and one of these texts as info: "mantlet seal v1 record" and "mantlet seal v1 stream" (32 bytes each), and "mantlet seal v1 id"
// (4 bytes, the key id). So the id is a fingerprint: a key has the same one in every process.
//
// # Cost
//
// Seal and Open make 2 allocations (1.3 KB, the states of the message's own key) when the destination has room, and are linear in the
// size of the message. Finding the key takes the same time in a ring of one key and of ten thousand. See the benchmarks beside the
// standard library's primitive.
//
// # FIPS 140-3
//
// Under GODEBUG=fips140=only all of the package works except NewWriter and NewParallelWriter, which return ErrFIPS: chunks have
// counted nonces, and that mode lets nobody but the module choose a nonce. Streams made elsewhere are read, with one more copy. The
// formats are the same in every mode. Whether a composition of approved algorithms is itself approved is for your assessor to say.
// Programs built with GOEXPERIMENT=boringcrypto, whose ciphers lack what this is made of, panic at the first Seal.
package seal

// Package apikey makes, stores and checks API keys that look like this:
//
//	acme_live_3fQ8zK1mT0bX_u7Zr0cWq5Yd2NnE4hVtJ8xLpA1sG6k1dBm9K
//	prefix_env_id(12)     _secret(30)                   crc(6)
//
// Prefix and env are lower-case letters and digits chosen by the deployment. The id names the key in lists, logs and alarms
// and is no secret. The secret is 30 characters of [0-9A-Za-z], drawn from crypto/rand without modulo bias: 178.6 bits. The
// last six characters are the CRC-32C of everything before them, big-endian in base 62, so that a typing error or a scanner's
// guess is refused without looking anything up, and a secret scanner can tell a key from noise.
//
// A [Manager] is an [auth.Authenticator] over a [Store]. It takes the key from "Authorization: Bearer", X-API-Key or api-key.
//
//	store, err := apikey.NewFileStore(apikey.FileConfig{Path: "/etc/acme/keys.json", Create: true})
//	keys, err := apikey.New(apikey.Config{Store: store, Prefix: "acme", Env: "live"})
//	secret, record, err := keys.Create(ctx, apikey.Spec{ClientID: "search-team", Scopes: []string{"chat:write"}})
//	fmt.Println(secret.Reveal()) // the only time it can be seen
//
// # What it protects against
//
//   - A stolen store: it holds the SHA-256 of each key and nothing that opens a door. A hash sent as a key is not key-shaped
//     and is refused. SHA-256 is enough because the secret has 178 bits; a slow password hash would only slow us down.
//   - A key of another environment: prefix and env are part of what is hashed.
//   - Timing: the hash is compared in constant time, and an unknown id takes the way of a wrong secret; a test measures that.
//   - Revocation that does not hold: after [Manager.Revoke] returned, no request that begins later is accepted, even if a
//     reload that read the store earlier finishes afterwards. A key once seen revoked stays revoked in this process, whatever
//     the store says later; a store refuses to bring it back. Other processes follow within a second ([Config.PollInterval]).
//   - A broken store: a key file that is half written, empty, corrupt, readable by others, or a symbolic link, or a database
//     that is down, never replaces the keys in memory. After [Config.MaxStale] without a good load the answer is
//     [auth.ErrUnavailable] (503): not 401, which makes clients drop good keys, and not the old keys, which may have been revoked.
//   - A key that leaks out of the program that made it: a [Secret] prints, logs and marshals as nothing. See [Secret.Reveal].
//   - Keys that are forgotten: a [Policy] bounds lifetimes, overlaps and the number of keys of a client; [Manager.Sweep] disables what
//     nobody uses; the last use and the scopes that were needed are on record.
//
// # The life of a key
//
// Create, Import, Rotate, Disable, Enable, Revoke and Sweep are the steps; each is an [Event]. A rotation makes a successor for the same
// ClientID, on which limits and budgets hang, and lets both keys work for a bounded overlap; without overlap it is the answer to a
// leak. Revocation is for good, disabling is not. Keys of another system go on working when they are imported by value or by hash
// ([Foreign]), unless somebody could guess them.
//
// Stores are [NewMemoryStore], [NewFileStore], and package sqlstore for PostgreSQL and SQLite; package storetest is the contract for one of
// your own. The command auth/keyctl does the steps from a terminal.
//
// # What it does not
//
// Keys are bearer secrets: bind them to addresses ([Spec.Addresses]) where callers have fixed ones. Records are never removed, so a
// store grows. A use that happens at the very moment in which its key is loaded anew may be missing from LastUsedAt. Counting keys for
// [Policy.MaxKeysPerClient] is exact within one process only. An import sees what is obviously weak, not what was made by a bad
// generator.
//
// # Cost
//
// A check is one SHA-256, one look-up in two reads, one comparison and no allocation, for any number of keys, and a mark in the same
// cache line for the first use in a minute; an imported key is also judged once, at its first use, which takes some 30 microseconds.
// Garbage is refused by its checksum before that. All keys are in memory: some 550 bytes each, beside the store's own copy. See the
// benchmarks.
package apikey

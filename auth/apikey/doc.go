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
//   - Timing: the hash is compared in constant time, and an unknown id costs a comparison too.
//   - Revocation that does not hold: after [Manager.Revoke] returned, no request that begins later is accepted, even if a
//     reload that read the store earlier finishes afterwards. A key once seen revoked stays revoked in this process, whatever
//     the store says later; a store refuses to bring it back.
//   - A broken key file: one that is half written, empty, corrupt, readable by others, or a symbolic link never replaces the
//     keys in memory. After [Config.MaxStale] without a good load the answer is [auth.ErrUnavailable] (503): not 401, which
//     makes clients drop good keys, and not the old keys, which may have been revoked.
//   - A key that leaks out of the program that made it: a [Secret] prints, logs and marshals as nothing. See [Secret.Reveal].
//
// # What it does not
//
// Rotation with overlap, disabling, sweeping of dormant keys, last-used times and an event per step are not in this package
// yet: create a second key for the same ClientID, then revoke the first. Keys are bearer secrets; bind them to addresses
// ([Spec.Addresses]) where callers have fixed ones.
//
// # Cost
//
// A check is one SHA-256, one map lookup, one comparison and no allocation, for any number of keys. All keys are in memory:
// about half a kilobyte each, beside the store's own copy. See the benchmarks.
package apikey

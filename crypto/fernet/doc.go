// Package fernet encrypts and authenticates short messages in the Fernet format (https://github.com/fernet/spec, version 0x80):
// AES-128 in CBC mode under an HMAC-SHA-256, with the time of creation, as base64url text. Use it to exchange tokens with
// programs that speak Fernet already: Python's cryptography, Airflow, Keystone and many more.
//
// Keys come as a ring. The first key encrypts, all of them decrypt, and Rotate moves a token to the first one without making
// it younger:
//
//	keys, err := fernet.ReadKeyFile("/etc/model/fernet.keys") // or KeysFromEnv("FERNET_KEY")
//	ring, err := fernet.New(fernet.Config{Keys: keys, TTL: time.Hour})
//	token := ring.Encrypt([]byte("hello"))
//	msg, err := ring.Decrypt(token)
//
// To replace a key without an outage: (1) add the new key behind the old one everywhere, (2) once every process has it, move it
// to the front, (3) Rotate what is stored, (4) remove the old key when the last token and the last backup under it are gone.
//
// # What it protects against
//
// Reading and changing a message without the key. A token that was changed in any way is ErrInvalid, and nothing about it is
// looked at before its MAC is verified in constant time, so there is no padding oracle. ErrExpired is only ever said of a
// genuine token. Decoding is strict: of all the spellings of a token in base64 that lenient decoders accept (line breaks, no or
// stray padding, trailing bits) exactly one is valid, so a token can serve as a key in a deny list or a cache.
//
// # What it does not
//
//   - A Fernet token is bound to nothing: whoever can write to the store can swap two tokens of the same ring. It has no field for
//     a context. For new data prefer an AEAD with associated data.
//   - The time of creation is in clear, and so is the length of the message to within 16 bytes.
//   - Tokens can be replayed until they expire.
//   - There is no key id in a token, so a wrong token costs one HMAC per key. That is why a ring has at most MaxKeys keys.
//   - Keys stay in memory for the life of the ring.
//
// # Cost
//
// Encrypting and decrypting is linear in the size of the message and makes no allocation when the destination has room (see the
// benchmarks). The whole message is in memory; the format is not made for large ones.
package fernet

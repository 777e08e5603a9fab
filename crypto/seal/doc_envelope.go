// # Keys under a key service
//
// An Envelope seals with random data keys that a KEK wraps: a cloud key service, a hardware module, or a Keyring in a file. The wrapped key
// is in every box, and the KEK is asked once for many messages, so it may be slow, and down for a while:
//
//	vault, err := seal.NewEnvelope(seal.EnvelopeConfig{KEKs: []seal.NamedKEK{{Name: "aws eu-central-1 app", KEK: kms}}})
//	box, err := vault.Seal(ctx, nil, []byte("alice@example.com"), where)
//
// A data key seals until it reaches a limit of messages, bytes or age; from half of a limit on the next one is fetched in the background.
// While the KEK is down sealing goes on until a limit is reached, and is refused then with a *KEKError that says when to come back; opening
// goes on with the keys in the cache. Whoever withdraws a KEK must count on EnvelopeConfig.MaxAge and CacheAge, until when its data
// keys are in use.
//
// A box is one of these, with w bytes of wrapped key:
//
//	offset  length  what
//	0       1       0x04, a record; 0x05, a stream
//	1       4       id of the KEK: SHA-256 of "mantlet seal v1 kek " and its name, the first 4 bytes
//	5       4       id of the data key, as for any other key
//	9       2       w, big-endian, 1 to 8192
//	11      w       wrapped key, as KEK.Wrap has made it; 77 bytes, a record, for a Keyring
//	11+w    ...     a record or a stream as above from its nonce or salt on
//
// whose associated data has 0x04 or 0x05 and the id of the data key in the places of format and key id. The keys are derived from
// the data key as from any other one. The KEK binds the wrapped key to
//
//	offset  length  what
//	0       24      "mantlet seal v1 data key"
//	24      4       id of the KEK
//	28      4       id of the data key
//
// Seal and Open make 2 allocations, like those of a Keyring, and take some 100 ns more, for a lock and the SHA-256 of the wrapped key. A box
// with a made-up key costs a call of the KEK.
//
// It is the KEK that authenticates the wrapped key; the rest of the box depends on the data key in it and not on the bytes around.
//
// # Parts of documents
//
// Fields encrypts chosen values of a JSON document and leaves every other byte as it is. Index makes what can be searched for in a
// database of what is encrypted there, for equality only.
package seal

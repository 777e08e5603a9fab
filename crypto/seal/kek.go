package seal

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A KEK, key-encryption key, wraps the data keys of an Envelope: a key in a cloud key service, in a hardware module, or a Keyring (see
// NewRingKEK). It must be safe for concurrent use.
//
// An Envelope calls it on goroutines of its own, with a context that ends after EnvelopeConfig.Timeout or with Close, and carries
// nothing of the context of whoever seals or opens. A call should end soon after its context. The slices passed in are the KEK's until it
// returns and not longer; those it returns belong to the Envelope, which overwrites the data key.
type KEK interface {
	// Wrap encrypts dek, 32 bytes. It binds the result to aad, which is some 30 bytes and no secret, so that Unwrap refuses it with
	// any other. A service without associated data can put a hash of aad in front of dek and compare it on the way back.
	Wrap(ctx context.Context, dek, aad []byte) (blob []byte, err error)
	// Unwrap returns what was wrapped. An error that wraps ErrInvalid says that blob is none of the KEK's own, or is bound to other
	// aad; a *KeyError says which key is missing; both reach whoever opens as they are. Any other error counts as an outage.
	Unwrap(ctx context.Context, blob, aad []byte) (dek []byte, err error)
}

// NamedKEK is a KEK as an Envelope knows it.
type NamedKEK struct {
	// Name is what the boxes remember the KEK by: 4 bytes of its SHA-256 are in each. It must be the same in every process and for as
	// long as boxes are left. To rename a KEK list it under both names. Required; no secret.
	Name string
	// KEK is the KEK itself. Required.
	KEK KEK
}

// ErrUnavailable is wrapped in a *KEKError.
var ErrUnavailable = errors.New("seal: key-encryption key unavailable")

// A KEKError says that a KEK has not done its work: it failed, took too long, panicked, or returned something that cannot be right. Nothing
// is wrong with the box. errors.Is finds ErrUnavailable and what the KEK said.
type KEKError struct {
	// Name is that of the KEK.
	Name string
	// RetryAfter is how long to wait before a new attempt has a chance, a second at most; never zero. Servers send RetryAfterSeconds with
	// status 503.
	RetryAfter time.Duration
	// Err is what the KEK said. It is for the log, not for clients.
	Err error
}

// RetryAfterSeconds returns RetryAfter in whole seconds, rounded up and 1 at least: what the header Retry-After holds (RFC 9110 section
// 10.2.3). Rounded down it would be 0, and clients would be back before there is a chance.
func (e *KEKError) RetryAfterSeconds() int64 {
	seconds := int64(e.RetryAfter / time.Second)
	if e.RetryAfter%time.Second > 0 {
		seconds++
	}
	return max(seconds, 1)
}

// Error returns ErrUnavailable's text, the KEK's name and Err's text.
func (e *KEKError) Error() string { return fmt.Sprintf("%v: %q: %v", ErrUnavailable, e.Name, e.Err) }

// Unwrap returns ErrUnavailable and Err.
func (e *KEKError) Unwrap() []error { return []error{ErrUnavailable, e.Err} }

// ringPurpose is the Context.Purpose of data keys in a Keyring. Package and version make it one that no application comes up with.
const ringPurpose = "mantlet seal v1 data key"

// NewRingKEK returns a KEK that wraps with a Keyring: for the key in a file (see ReadKeyringFile), for tests, and for a ring that lives in
// a secret store. A wrapped key is a record of the ring, 77 bytes, with the Context.Purpose "mantlet seal v1 data key" and the aad as
// Context.Path. The keys of the ring rotate as described in the package comment: from Promote on an Envelope seals under the new
// key, if this is its first KEK, and NeedsReseal reports boxes whose data key is under another one.
func NewRingKEK(ring *Keyring) KEK { return ringKEK{ring} }

type ringKEK struct{ ring *Keyring }

func (k ringKEK) Wrap(_ context.Context, dek, aad []byte) ([]byte, error) {
	return k.ring.Seal(nil, dek, Context{Purpose: ringPurpose, Path: string(aad)})
}

func (k ringKEK) Unwrap(_ context.Context, blob, aad []byte) ([]byte, error) {
	return k.ring.Open(nil, blob, Context{Purpose: ringPurpose, Path: string(aad)})
}

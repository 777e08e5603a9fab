package seal

import (
	"errors"
	"fmt"
	"io"
)

var (
	// ErrInvalid is returned for what is no genuine box of its key in its Context: forged, changed, malformed, or out of another
	// place. The cases are not told apart on purpose.
	ErrInvalid = errors.New("seal: invalid box")
	// ErrTruncated is returned for a stream that stops where a chunk ends, before its last one: the writer did not get to Close, or the
	// end was cut off. All that came before is authentic. It wraps io.ErrUnexpectedEOF. A cut anywhere else cannot be told
	// from a change and is ErrInvalid.
	ErrTruncated = fmt.Errorf("seal: truncated stream: %w", io.ErrUnexpectedEOF)
	// ErrUnknownKey is wrapped in a *KeyError when a key is not in the ring. It is not an ErrInvalid: a box may well open
	// when the key is added, so it is no reason to throw the box away. The id in a box is not authenticated before its key is
	// found, so a damaged box may name any.
	ErrUnknownKey = errors.New("seal: unknown key")
	// ErrKeyDisabled is wrapped in a *KeyError when a key was retired.
	ErrKeyDisabled = errors.New("seal: disabled key")
	// ErrKeyDestroyed is wrapped in a *KeyError when a key was destroyed: the box will never open again.
	ErrKeyDestroyed = errors.New("seal: destroyed key")
	// ErrKeyState is wrapped in a *KeyError when a key's state does not allow the step asked for.
	ErrKeyState = errors.New("seal: not possible in the present state of key")
	// ErrKeyExists is wrapped in a *KeyError when a key cannot be added because the ring has one with its id already: the same
	// key, a tombstone, or by chance (one in 2^32 for each pair) another key. Generate a new key in the last case.
	ErrKeyExists = errors.New("seal: id taken already: key")
	// ErrNoPrimary is returned when a Keyring that was not made by New is asked to seal or to change.
	ErrNoPrimary = errors.New("seal: the keyring was not made by New and has no primary key")
	// ErrContext is wrapped in the error for a Context without Purpose or with a field longer than MaxContextField.
	ErrContext = errors.New("seal: unusable context")
	// ErrFIPS is returned by the makers of streams under GODEBUG=fips140=only. See the package comment.
	ErrFIPS = errors.New("seal: streams cannot be made under GODEBUG=fips140=only")
	// ErrClosed is returned by Write, and by an Envelope, after Close.
	ErrClosed = errors.New("seal: used after Close")
	// ErrTooLarge is returned for a message that is too long: over MaxMessage for Seal, 2^52-1 bytes for a stream.
	ErrTooLarge = errors.New("seal: message too large")
)

// Errors of programs rather than of data, for people to read.
var (
	errOverlap     = errors.New("seal: two calls of one Writer at once")
	errInterrupted = errors.New("seal: the Writer was interrupted by a panic")
	errCount       = errors.New("seal: an underlying reader or writer told an impossible count")
	errOffset      = errors.New("seal: negative offset")
)

// A KeyError says which key an error is about. Ids are no secrets.
type KeyError struct {
	ID  ID
	Err error // ErrUnknownKey, ErrKeyDisabled, ErrKeyDestroyed, ErrKeyState, ErrKeyExists or ErrRollback

	step, why string // with ErrKeyState: what was asked for, and what stands in its way
}

// Error returns what Err says, and the id of the key. Of a step that the key's state does not allow it says which step comes first:
// "seal: cannot destroy key 371a9534: it is decrypt-only; retire it first".
func (e *KeyError) Error() string {
	if e.step != "" {
		return fmt.Sprintf("seal: cannot %s key %v: %s", e.step, e.ID, e.why)
	}
	return fmt.Sprintf("%v %v", e.Err, e.ID)
}

// Unwrap returns Err.
func (e *KeyError) Unwrap() error { return e.Err }

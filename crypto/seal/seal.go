package seal

import (
	"slices"
	"sync"

	"github.com/mantlet-go/mantlet/crypto/internal/xaes"
)

const (
	// Overhead is by how many bytes a record is longer than its message.
	Overhead = headerSize + xaes.Overhead
	// MaxMessage is the longest message of a record, in bytes: 1 GiB. It is in memory as a whole, twice. Use a stream for
	// anything that is not small.
	MaxMessage = 1 << 30

	headerSize    = 1 + idSize
	inPlace       = headerSize + xaes.InPlace
	recordVersion = 0x01
	streamVersion = 0x02
)

// Seal appends a record of msg to dst, under the primary key and bound to c. An empty msg is a message like any other. The free
// capacity of dst may overlap msg in any way (msg is lost then), so Seal(msg[:0], msg, c) seals in place if there is room for Overhead
// more bytes. It makes 2 allocations if dst has room. The error wraps ErrContext, or is ErrNoPrimary or ErrTooLarge; the slice is
// nil then.
func (k *Keyring) Seal(dst, msg []byte, c Context) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	e := k.load().primary
	if e == nil {
		return nil, ErrNoPrimary
	}
	if len(msg) > MaxMessage {
		return nil, ErrTooLarge
	}
	aad := c.binding(recordVersion, e.ID)
	defer release(aad)
	at := len(dst)
	dst = slices.Grow(dst, Overhead+len(msg))[:at+headerSize]
	dst = e.record.Seal(dst, msg, *aad)
	// Last, since msg may have been where the header goes.
	dst[at] = recordVersion
	copy(dst[at+1:], e.ID[:])
	return dst, nil
}

// Open appends the message of a record to dst. The free capacity of dst may overlap box in any way (box is lost then, also when it
// does not open), so Open(box[:0], box, c) opens in place. It makes 2 allocations if dst has room for len(box) bytes. The error is
// ErrInvalid, or wraps ErrContext, or is a *KeyError with ErrUnknownKey, ErrKeyDisabled or ErrKeyDestroyed; the slice is nil then.
func (k *Keyring) Open(dst, box []byte, c Context) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	if len(box) < Overhead || len(box)-Overhead > MaxMessage || box[0] != recordVersion {
		return nil, ErrInvalid
	}
	e, err := k.opener(ID(box[1:headerSize]))
	if err != nil {
		return nil, err
	}
	aad := c.binding(recordVersion, e.ID)
	defer release(aad)
	dst, err = e.record.Open(dst, box[headerSize:], *aad)
	if err != nil {
		return nil, ErrInvalid
	}
	return dst, nil
}

// Reseal appends to dst a new record of the message in box, in the same place and under the primary key: the third step of replacing
// a key. It does so also if box is under the primary key already (NeedsReseal tells). The free capacity of dst may overlap box in
// any way, and box is lost then, also when it does not open: do not reseal in place what you have no other copy of. It makes 4 allocations
// if dst has room for len(box) bytes. The errors are those of Open and Seal. A stream is copied through NewReader and NewWriter instead.
func (k *Keyring) Reseal(dst, box []byte, c Context) ([]byte, error) {
	// The message is opened to the place where it will be sealed, so that it is copied less and no copy stays behind.
	at := len(dst)
	dst = slices.Grow(dst, max(len(box), inPlace))
	msg, err := k.Open(dst[:at+inPlace], box, c)
	if err != nil {
		return nil, err
	}
	return k.Seal(msg[:at], msg[at+inPlace:], c)
}

// NeedsReseal reports whether box, a record or at least the first 5 bytes of a stream, is under another key than the primary one. The
// box is not authenticated. Of what is no box it is false.
func (k *Keyring) NeedsReseal(box []byte) bool {
	id, ok := IDOf(box)
	return ok && id != k.Primary()
}

// IDOf returns the id of the key that box, a record or at least the first 5 bytes of a stream, says it is under. Count with it what is
// left under a key before it is retired. The box is not authenticated.
func IDOf(box []byte) (id ID, ok bool) {
	if len(box) < headerSize || (box[0] != recordVersion && box[0] != streamVersion) {
		return ID{}, false
	}
	return ID(box[1:headerSize]), true
}

// bindings hold the buffers of binding, which a cipher behind an interface would have allocated every time.
var bindings = sync.Pool{New: func() any { return new([]byte) }}

// binding returns appendBinding's bytes in a buffer to be put back.
func (c *Context) binding(version byte, id ID) *[]byte {
	b := bindings.Get().(*[]byte)
	*b = c.appendBinding((*b)[:0], version, id)
	return b
}

func release(b *[]byte) {
	if cap(*b) <= 4<<10 { // a rare long one is not kept
		bindings.Put(b)
	}
}

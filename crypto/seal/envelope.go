package seal

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"time"

	"github.com/mantlet-go/mantlet/crypto/internal/chunked"
	"github.com/mantlet-go/mantlet/crypto/internal/xaes"
)

const (
	// MaxWrappedKey is how long a wrapped data key may be, in bytes. AWS KMS says its own are at most 6144, those of the others
	// are shorter.
	MaxWrappedKey = 8192
	// EnvelopeOverhead is by how many bytes a record of an Envelope is longer than its message, besides the wrapped key (77 for a Keyring).
	EnvelopeOverhead = envelopeFixed + xaes.Overhead

	envelopeFixed         = 1 + 2*idSize + 2 // before the wrapped key
	envelopeVersion       = 0x04
	envelopeStreamVersion = 0x05
)

// EnvelopeConfig says how an Envelope works.
type EnvelopeConfig struct {
	// KEKs wrap the data keys. The first one wraps those of new boxes, all of them unwrap. Required, and no two names may be the same.
	KEKs []NamedKEK

	// MaxAge is how long a data key seals. It is also how long sealing goes on while the KEK is down: from half of it on a new
	// key is fetched in the background, so at least the other half is left for an outage. And it is how long a KEK that was withdrawn is
	// still in use. At least a second: a key that is too old when it comes would be fetched without end. Zero means 1 hour, which is our
	// choice: the AWS Encryption SDK has no default and asks for the shortest time that serves.
	MaxAge time.Duration
	// MaxMessages is how many messages a data key seals, a stream counting as one: what is lost with one key. Zero means 2^20, some 500 a
	// second between two fetches. At most 2^32, which is the limit of the AWS Encryption SDK (the format itself could do 2^80).
	MaxMessages int64
	// MaxBytes is how many bytes a data key seals. A longer message is ErrTooLarge; a stream is counted as it is written, and is
	// finished under the key it began with. Zero means 64 GiB, our choice. At most 2^62.
	MaxBytes int64

	// CacheKeys is how many unwrapped keys are kept for opening, those used last. Each takes some 2 KB and its wrapped form. Zero means
	// 1000, negative none.
	CacheKeys int
	// CacheAge is how long an unwrapped key is kept, from the time it was unwrapped: how long boxes under it open while the KEK is
	// down, or after it was withdrawn. A box whose data key was not unwrapped within CacheAge before an outage, by this process, does not
	// open until it is over: with the defaults, what nobody has opened or sealed for an hour. Zero means MaxAge.
	CacheAge time.Duration

	// Timeout is how long one call of a KEK may take, and how long a caller waits for its turn. Zero means 10 seconds, 30 times
	// what slow answers of cloud services take.
	Timeout time.Duration
	// MaxCalls is how many calls of Unwrap may run at once: boxes with made-up keys cost a call each, and a KEK that hangs must not
	// gather goroutines without end. Zero means 64. Wrap has 4 of its own, which boxes cannot use up.
	MaxCalls int

	// SkipUnwrapCheck makes a new data key serve without having been unwrapped once. Otherwise the Envelope asks for that, so that
	// nothing is sealed under a key that will not come back. Set it where a process may wrap and must not unwrap.
	SkipUnwrapCheck bool
}

const (
	wrapCalls = 4
	coolDown  = time.Second // after a failure to wrap
)

// An Envelope seals with random data keys that come wrapped by a KEK with every box, so that the KEK, in a key service, say, is asked
// once for many messages and sees none of them. It is safe for concurrent use and must not be copied. The zero Envelope and a nil
// one do nothing (ErrClosed).
//
// Whoever opens needs the KEK and nothing else. The Context is mandatory, as for a Keyring.
//
// It does not replace a Keyring everywhere: Index and package backup need one, and package shred needs one or a type with the same methods.
// An application that uses them keeps a Keyring beside its Envelope.
type Envelope struct{ in func() *envelope } // a function for the same reason as that of Key

// NewEnvelope makes an Envelope. It calls no KEK yet. The error lists everything that is wrong with cfg.
func NewEnvelope(cfg EnvelopeConfig) (*Envelope, error) {
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("seal: EnvelopeConfig."+format, args...))
	}
	keks := map[ID]NamedKEK{}
	for i, k := range cfg.KEKs {
		if k.Name == "" {
			fault("KEKs[%d].Name is empty", i)
		}
		if k.KEK == nil {
			fault("KEKs[%d].KEK is nil", i)
		}
		id := kekID(k.Name)
		if other, twice := keks[id]; twice {
			fault("KEKs[%d].Name %q has the id of %q", i, k.Name, other.Name)
		}
		keks[id] = k
	}
	if len(cfg.KEKs) == 0 {
		fault("KEKs is empty")
	}
	for _, d := range []struct {
		name  string
		value *time.Duration
		def   time.Duration
	}{{"MaxAge", &cfg.MaxAge, time.Hour}, {"CacheAge", &cfg.CacheAge, max(cfg.MaxAge, 0)}, {"Timeout", &cfg.Timeout, 10 * time.Second}} {
		switch {
		case *d.value < 0:
			fault("%s %v is negative", d.name, *d.value)
		case d.name == "MaxAge" && *d.value > 0 && *d.value < time.Second:
			fault("MaxAge %v is less than a second", *d.value)
		case *d.value == 0:
			*d.value = d.def
		}
	}
	if cfg.CacheAge == 0 {
		cfg.CacheAge = cfg.MaxAge
	}
	for _, n := range []struct {
		name     string
		value    *int64
		def, max int64
	}{{"MaxMessages", &cfg.MaxMessages, 1 << 20, 1 << 32}, {"MaxBytes", &cfg.MaxBytes, 64 << 30, 1 << 62}} {
		switch {
		case *n.value < 0 || *n.value > n.max:
			fault("%s %d is not between 0 and %d", n.name, *n.value, n.max)
		case *n.value == 0:
			*n.value = n.def
		}
	}
	if cfg.CacheKeys == 0 {
		cfg.CacheKeys = 1000
	}
	if cfg.MaxCalls < 0 {
		fault("MaxCalls %d is negative", cfg.MaxCalls)
	}
	if cfg.MaxCalls == 0 {
		cfg.MaxCalls = 64
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	x := newEnvelope(cfg, keks)
	return &Envelope{func() *envelope { return x }}, nil
}

func kekID(name string) ID {
	sum := sha256.Sum256([]byte("mantlet seal v1 kek " + name))
	return ID(sum[:idSize])
}

func (e *Envelope) open() (*envelope, error) {
	if e == nil || e.in == nil {
		return nil, ErrClosed
	}
	return e.in(), nil
}

// Seal appends a record of msg to dst, under the current data key and bound to c. If there is none it waits for the KEK until ctx
// ends; what ctx cuts short is the waiting, not the call, whose result serves the next. The free capacity of dst may overlap msg in
// any way. It makes 2 allocations if dst has room. The error wraps ErrContext, is ErrTooLarge, ErrClosed, that of ctx, or a *KEKError;
// the slice is nil then.
func (e *Envelope) Seal(ctx context.Context, dst, msg []byte, c Context) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	x, err := e.open()
	if err != nil {
		return nil, err
	}
	if len(msg) > MaxMessage || int64(len(msg)) > x.cfg.MaxBytes {
		return nil, ErrTooLarge
	}
	k, err := x.sealer(ctx, int64(len(msg)), nil)
	if err != nil {
		return nil, err
	}
	aad := c.binding(envelopeVersion, k.id)
	defer release(aad)
	at, head := len(dst), 1+len(k.head)
	dst = slices.Grow(dst, head+xaes.Overhead+len(msg))[:at+head]
	dst = k.record.Seal(dst, msg, *aad)
	// Last, since msg may have been where the header goes.
	dst[at] = envelopeVersion
	copy(dst[at+1:], k.head)
	return dst, nil
}

// Open appends the message of a record to dst. If its data key is not cached it waits for the KEK until ctx ends, as Seal does. The free
// capacity of dst may overlap box in any way. It makes 2 allocations if the key is cached and dst has room for len(box) bytes. The
// error is ErrInvalid, wraps ErrContext, is a *KeyError (with ErrUnknownKey and the id of the KEK, if EnvelopeConfig.KEKs lacks it),
// ErrClosed, that of ctx, or a *KEKError; the slice is nil then.
func (e *Envelope) Open(ctx context.Context, dst, box []byte, c Context) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	x, err := e.open()
	if err != nil {
		return nil, err
	}
	n, ok := envelopeRecord(box)
	if !ok {
		return nil, ErrInvalid
	}
	k, err := x.opener(ctx, box[1:envelopeFixed+n], nil)
	if err != nil {
		return nil, err
	}
	aad := c.binding(envelopeVersion, k.id)
	defer release(aad)
	dst, err = k.record.Open(dst, box[envelopeFixed+n:], *aad)
	if err != nil {
		return nil, ErrInvalid
	}
	return dst, nil
}

// envelopeRecord returns the length of the wrapped key in a record, if it looks like one.
func envelopeRecord(box []byte) (n int, ok bool) {
	if len(box) < envelopeFixed || box[0] != envelopeVersion {
		return 0, false
	}
	n = wrappedLen(box)
	return n, n != 0 && len(box) >= EnvelopeOverhead+n && len(box)-EnvelopeOverhead-n <= MaxMessage
}

// wrappedLen returns the length of the wrapped key in a box, or 0 if it cannot be right. The box has envelopeFixed bytes.
func wrappedLen(box []byte) int {
	if n := int(binary.BigEndian.Uint16(box[envelopeFixed-2:])); n <= MaxWrappedKey {
		return n
	}
	return 0
}

// Reseal appends to dst a new record of the message in box, in the same place and under the current data key. The free capacity of dst
// may overlap box in any way. The errors are those of Open and Seal.
func (e *Envelope) Reseal(ctx context.Context, dst, box []byte, c Context) ([]byte, error) {
	msg, err := e.Open(ctx, nil, box, c)
	if err != nil {
		return nil, err
	}
	defer clear(msg)
	return e.Seal(ctx, dst, msg, c)
}

// NeedsReseal reports whether box, a record or the beginning of a stream of this Envelope that holds its wrapped key, is under another KEK
// than the first one, or, if that is one of NewRingKEK, under another key of the ring than the primary one. Key services rotate
// their keys inside, which does not show. The box is not authenticated. Of what is no box it is false.
func (e *Envelope) NeedsReseal(box []byte) bool {
	x, err := e.open()
	if err != nil || len(box) < envelopeFixed || (box[0] != envelopeVersion && box[0] != envelopeStreamVersion) {
		return false
	}
	n := wrappedLen(box)
	if n == 0 || len(box) < envelopeFixed+n {
		return false
	}
	return ID(box[1:]) != x.first || x.stale(box[envelopeFixed:envelopeFixed+n])
}

// NewWriter returns a Writer as Keyring.NewWriter does, under the current data key. ctx is for getting that key only.
func (e *Envelope) NewWriter(ctx context.Context, w io.Writer, c Context) (*Writer, error) {
	return e.NewParallelWriter(ctx, w, c, 1)
}

// NewParallelWriter returns a Writer as Keyring.NewParallelWriter does, under the current data key. ctx is for getting that key
// only. The error is ErrFIPS or one of Seal's.
func (e *Envelope) NewParallelWriter(ctx context.Context, w io.Writer, c Context, workers int) (*Writer, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	x, err := e.open()
	if err != nil {
		return nil, err
	}
	var key [chunked.KeySize]byte
	defer clear(key[:])
	k, err := x.sealer(ctx, 0, &key)
	if err != nil {
		return nil, err
	}
	binding := c.binding(envelopeStreamVersion, k.id)
	defer release(binding)
	head := append([]byte{envelopeStreamVersion}, k.head...)
	y, err := chunked.NewWriter(&countedWriter{w, x, k}, head, &key, *binding, workers)
	if err != nil {
		return nil, public(err)
	}
	inner := &writer{Writer: y}
	return &Writer{func() *writer { return inner }}, nil
}

// countedWriter counts the bytes of a stream to its data key.
type countedWriter struct {
	w io.Writer
	x *envelope
	k *dataKey
}

func (c *countedWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.x.mu.Lock()
	c.k.bytes = min(c.k.bytes+int64(max(n, 0)), c.x.cfg.MaxBytes)
	c.x.mu.Unlock()
	return n, err
}

// NewReader returns a Reader as Keyring.NewReader does. ctx is for unwrapping the data key only.
func (e *Envelope) NewReader(ctx context.Context, r io.Reader, c Context) (*Reader, error) {
	return e.NewParallelReader(ctx, r, c, 1)
}

// NewParallelReader returns a Reader as Keyring.NewParallelReader does. ctx is for unwrapping the data key only. The errors are those of
// Open and those of r.
func (e *Envelope) NewParallelReader(ctx context.Context, r io.Reader, c Context, workers int) (*Reader, error) {
	var key [chunked.KeySize]byte
	defer clear(key[:])
	k, _, err := e.streamKey(ctx, r, c, &key)
	if err != nil {
		return nil, err
	}
	binding := c.binding(envelopeStreamVersion, k.id)
	defer release(binding)
	y, err := chunked.NewReader(r, &key, *binding, workers)
	if err != nil {
		return nil, public(err)
	}
	return &Reader{func() *chunked.Reader { return y }}, nil
}

// NewReaderAt returns a ReaderAt as Keyring.NewReaderAt does. ctx is for unwrapping the data key only. The errors are those of Open and
// of r, and ErrTruncated.
func (e *Envelope) NewReaderAt(ctx context.Context, r io.ReaderAt, size int64, c Context) (*ReaderAt, error) {
	var key [chunked.KeySize]byte
	defer clear(key[:])
	k, start, err := e.streamKey(ctx, io.NewSectionReader(r, 0, size), c, &key)
	if err != nil {
		return nil, err
	}
	binding := c.binding(envelopeStreamVersion, k.id)
	defer release(binding)
	y, err := chunked.NewReaderAt(r, start, size, &key, *binding)
	if err != nil {
		return nil, public(err)
	}
	return &ReaderAt{func() *chunked.ReaderAt { return y }}, nil
}

// streamKey reads the beginning of a stream and puts its key into key. It returns how many bytes it has read.
func (e *Envelope) streamKey(ctx context.Context, r io.Reader, c Context, key *[chunked.KeySize]byte) (*dataKey, int64, error) {
	if err := c.check(); err != nil {
		return nil, 0, err
	}
	x, err := e.open()
	if err != nil {
		return nil, 0, err
	}
	head := make([]byte, envelopeFixed, envelopeFixed+128)
	if n, err := io.ReadFull(noEOF{r}, head); n < len(head) {
		return nil, 0, err
	}
	n := wrappedLen(head)
	if head[0] != envelopeStreamVersion || n == 0 {
		return nil, 0, ErrInvalid
	}
	head = slices.Grow(head, n)[:envelopeFixed+n]
	if m, err := io.ReadFull(noEOF{r}, head[envelopeFixed:]); m < n {
		return nil, 0, err
	}
	k, err := x.opener(ctx, head[1:], key)
	return k, int64(len(head)), err
}

// Close ends the Envelope: calls that wait return ErrClosed, calls of KEKs are cancelled, keys are overwritten. It waits for the calls of
// KEKs until ctx ends, and returns its error then. Streams that were begun can be finished. A second Close waits again.
func (e *Envelope) Close(ctx context.Context) error {
	x, err := e.open()
	if err != nil {
		return nil
	}
	return x.close(ctx)
}

// String returns the names of the KEKs.
func (e *Envelope) String() string {
	x, err := e.open()
	if err != nil {
		return "[seal envelope, closed]"
	}
	var names []string
	for _, k := range x.cfg.KEKs {
		names = append(names, k.Name)
	}
	return fmt.Sprintf("[seal envelope under %q]", names)
}

// Format writes what String returns, whatever the verb.
func (e *Envelope) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, e.String()) }

// LogValue returns what String returns.
func (e *Envelope) LogValue() slog.Value { return slog.StringValue(e.String()) }

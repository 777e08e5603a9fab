package seal

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// FieldPrefix is how a sealed value begins: it is a JSON string of FieldPrefix and the box in base64url without padding.
const FieldPrefix = "mantlet-field-v1_"

// FieldsConfig says which values of a JSON document are sealed, and how.
type FieldsConfig struct {
	// Keyring seals and opens. Either this or Envelope is required.
	Keyring *Keyring
	// Envelope seals and opens instead.
	Envelope *Envelope

	// Pointers are the values to seal, as JSON Pointers (RFC 6901): "/user/email", "/a~1b". A segment "*" stands for every element of
	// an array (and for nothing in an object): "/messages/*/content". A value is of any type, objects and arrays too; "" is the
	// whole document. No two may match the same value, nor one match a part of the other's. Required.
	Pointers []string

	// AllowMissing accepts documents in which a Pointer matches nothing, or not in every element of an array. Otherwise that is
	// ErrMissing: a pointer with a mistake would leave in clear what it was to hide.
	AllowMissing bool
	// KeepSealed makes Seal accept values that are sealed already, in this very place: they stay as they are. Otherwise they are
	// ErrSealed. That goes for values under an older key too, which Reseal brings under the new one. What looks sealed and does not open is
	// refused in any case. Not for documents from people who may have seen sealed ones: they could give an old value back.
	KeepSealed bool
	// InsecureAllowPlain makes Open accept values that are not sealed, and leaves them as they are: for the time in which old documents
	// are sealed. Whoever can write to the store can then put in what was never sealed. Otherwise they are ErrNotSealed.
	InsecureAllowPlain bool

	// MaxBytes is how long a document may be, sealed or not. Zero means 4 MiB. The document is in memory as a whole, twice.
	MaxBytes int
	// MaxFields is how many values are sealed in one document. Zero means 10,000.
	MaxFields int
	// MaxDepth is how deep objects and arrays may be nested. Zero means 64.
	MaxDepth int
}

// Fields seals values inside JSON documents and leaves every other byte as it is. It is immutable and safe for concurrent use. The zero Fields
// and a nil one refuse everything (ErrNoPrimary).
//
// Each value is sealed with its concrete pointer, "/messages/0/content", as Context.Path: values that have changed places, in the document
// or between documents with different Contexts, do not open. That goes for elements of an array too: insert, remove or sort them in the open
// document. What is sealed are the bytes of the value as they were written, so Open gives back the very document: a string
// stays a string with its escapes, a number keeps its digits.
//
// What is not sealed is not authenticated: names, other values, the order of members. A sealed value is (n + 45) * 4/3 + 19 bytes long, if
// it had n; with an Envelope each also holds the wrapped key, and counts as a message. Seal and Open make 3 allocations for each
// value, and scan the document once.
type Fields struct {
	cfg      FieldsConfig
	patterns [][]string
}

var (
	// ErrMissing is wrapped in a *FieldError when a pointer matches nothing.
	ErrMissing = errors.New("seal: no such value")
	// ErrSealed is wrapped in a *FieldError when a value to seal is sealed already.
	ErrSealed = errors.New("seal: sealed already")
	// ErrNotSealed is wrapped in a *FieldError when a value to open is not sealed.
	ErrNotSealed = errors.New("seal: not sealed")
	// ErrDocument is wrapped in the error for what is not one strict JSON document within the limits: bad grammar or UTF-8, two
	// members of one name (or unequal by case only), too long, too deep, too many fields.
	ErrDocument = errors.New("seal: unusable document")
)

// A FieldError says which value an error is about.
type FieldError struct {
	// Pointer is that of the value, or with ErrMissing the one of FieldsConfig.
	Pointer string
	// Err is ErrMissing, ErrSealed, ErrNotSealed, or an error of Open.
	Err error
}

// Error returns what Err says and the pointer.
func (e *FieldError) Error() string { return fmt.Sprintf("%v: at %q", e.Err, e.Pointer) }

// Unwrap returns Err.
func (e *FieldError) Unwrap() error { return e.Err }

// NewFields makes a Fields. The error lists everything that is wrong with cfg.
func NewFields(cfg FieldsConfig) (*Fields, error) {
	var errs []error
	fault := func(format string, args ...any) {
		errs = append(errs, fmt.Errorf("seal: FieldsConfig."+format, args...))
	}
	if (cfg.Keyring == nil) == (cfg.Envelope == nil) {
		fault("Keyring or Envelope must be set, and not both")
	}
	if len(cfg.Pointers) == 0 {
		fault("Pointers is empty")
	}
	f := &Fields{}
	for i, p := range cfg.Pointers {
		segments, err := splitPointer(p)
		if err != nil {
			fault("Pointers[%d] %q %w", i, p, err)
			continue
		}
		for j, other := range f.patterns {
			if overlap(segments, other) {
				fault("Pointers[%d] %q and the one before it, [%d], can match the same value or a part of it", i, p, j)
			}
		}
		f.patterns = append(f.patterns, segments)
	}
	for _, n := range []struct {
		name  string
		value *int
		def   int
	}{{"MaxBytes", &cfg.MaxBytes, 4 << 20}, {"MaxFields", &cfg.MaxFields, 10_000}, {"MaxDepth", &cfg.MaxDepth, 64}} {
		switch {
		case *n.value < 0:
			fault("%s %d is negative", n.name, *n.value)
		case *n.value == 0:
			*n.value = n.def
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	cfg.Pointers = slices.Clone(cfg.Pointers)
	f.cfg = cfg
	return f, nil
}

// splitPointer returns the segments of a pointer, decoded.
func splitPointer(p string) ([]string, error) {
	if p == "" {
		return nil, nil
	}
	if p[0] != '/' {
		return nil, errors.New("does not begin with /")
	}
	segments := strings.Split(p[1:], "/")
	for i, s := range segments {
		if rest := strings.NewReplacer("~0", "", "~1", "").Replace(s); strings.Contains(rest, "~") {
			return nil, errors.New("has a ~ that is neither ~0 nor ~1")
		}
		segments[i] = strings.ReplaceAll(strings.ReplaceAll(s, "~1", "/"), "~0", "~")
	}
	return segments, nil
}

// overlap reports whether some document has a value that both match, or one that a matches inside of what b does, or the other way round.
func overlap(a, b []string) bool {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] && !(a[i] == "*" && isIndex(b[i])) && !(b[i] == "*" && isIndex(a[i])) {
			return false
		}
	}
	return true
}

func isIndex(s string) bool {
	n, err := strconv.ParseUint(s, 10, 63)
	return err == nil && strconv.FormatUint(n, 10) == s
}

// Seal appends doc to dst with the values sealed. Context.Path must be empty, Fields fills it. dst must not overlap doc. ctx is for the
// KEK of an Envelope. The error wraps ErrDocument, ErrContext, or is a *FieldError with ErrMissing or ErrSealed, or one of Seal of the
// Keyring or Envelope; the slice is nil then.
func (f *Fields) Seal(ctx context.Context, dst, doc []byte, c Context) ([]byte, error) {
	return f.rewrite(ctx, dst, doc, c, f.seal)
}

// Open appends doc to dst with the values opened: the bytes of the document that was sealed. Context.Path must be empty. dst must not
// overlap doc. ctx is for the KEK of an Envelope. The error wraps ErrDocument, ErrContext, or is a *FieldError with ErrMissing,
// ErrNotSealed or an error of Open of the Keyring or Envelope; the slice is nil then. All values open or none.
func (f *Fields) Open(ctx context.Context, dst, doc []byte, c Context) ([]byte, error) {
	return f.rewrite(ctx, dst, doc, c, f.open)
}

// Reseal appends doc to dst with its sealed values sealed anew, in the same places and under the primary key of the Keyring, or the current
// data key of the Envelope. To replace a key, Reseal every document for which NeedsReseal says so, before the old key is retired. Every
// value must open, also one under the primary key already. What FieldsConfig.InsecureAllowPlain lets pass stays as it is: it was never
// authenticated, and sealing it would vouch for it. Context.Path must be empty. dst must not overlap doc. The errors are those of Open and
// Seal; the slice is nil then.
func (f *Fields) Reseal(ctx context.Context, dst, doc []byte, c Context) ([]byte, error) {
	return f.rewrite(ctx, dst, doc, c, f.reseal)
}

// NeedsReseal reports whether a sealed value of doc is under another key than new ones would be, as NeedsReseal of the Keyring or Envelope
// does. It decrypts nothing, and nothing is authenticated. The error wraps ErrDocument, or is a *FieldError with ErrMissing, ErrNotSealed, or
// with ErrInvalid for what looks sealed and is no box.
func (f *Fields) NeedsReseal(doc []byte) (bool, error) {
	if f == nil || len(f.patterns) == 0 {
		return false, ErrNoPrimary
	}
	s := fieldsPool.Get().(*fieldsScratch)
	defer s.release()
	if err := f.find(s, doc); err != nil {
		return false, err
	}
	needs := false
	for _, v := range s.found {
		value, path := doc[v.start:v.end], s.paths[v.path:v.pathEnd]
		if !looksSealed(value) {
			if !f.cfg.InsecureAllowPlain {
				return false, &FieldError{string(path), ErrNotSealed}
			}
			continue
		}
		if !s.decode(value) {
			return false, &FieldError{string(path), ErrInvalid}
		}
		if e := f.cfg.Envelope; e != nil {
			if _, ok := envelopeRecord(s.box); !ok {
				return false, &FieldError{string(path), ErrInvalid}
			}
			needs = needs || e.NeedsReseal(s.box)
		} else {
			if len(s.box) < Overhead || s.box[0] != recordVersion {
				return false, &FieldError{string(path), ErrInvalid}
			}
			needs = needs || f.cfg.Keyring.NeedsReseal(s.box)
		}
	}
	return needs, nil
}

// rewriter appends to dst what is to stand in the place of value.
type rewriter func(ctx context.Context, s *fieldsScratch, dst, value []byte, c Context) ([]byte, error)

// rewrite puts in the place of each matching value what do appends for it.
func (f *Fields) rewrite(ctx context.Context, dst, doc []byte, c Context, do rewriter) ([]byte, error) {
	if f == nil || len(f.patterns) == 0 {
		return nil, ErrNoPrimary
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	if c.Path != "" {
		return nil, fmt.Errorf("%w: Context.Path is for Fields to fill", ErrContext)
	}
	s := fieldsPool.Get().(*fieldsScratch)
	defer s.release()
	if err := f.find(s, doc); err != nil {
		return nil, err
	}
	at, from := len(dst), 0
	dst = slices.Grow(dst, len(doc))
	for _, v := range s.found {
		c.Path = string(s.paths[v.path:v.pathEnd])
		dst = append(dst, doc[from:v.start]...)
		next, err := do(ctx, s, dst, doc[v.start:v.end], c)
		if err != nil {
			clear(dst[at:]) // values that opened before this one must not stay in the caller's memory
			return nil, err
		}
		dst, from = next, v.end
		if len(dst)-at+len(doc)-from > f.cfg.MaxBytes {
			clear(dst[at:])
			return nil, fmt.Errorf("%w: longer than %d bytes when sealed", ErrDocument, f.cfg.MaxBytes)
		}
	}
	return append(dst, doc[from:]...), nil
}

// find collects the values in doc that the pointers match.
func (f *Fields) find(s *fieldsScratch, doc []byte) error {
	s.start(f)
	// Names and numbers are bounded by the whole.
	limits := jsonscan.Limits{Bytes: f.cfg.MaxBytes, Depth: f.cfg.MaxDepth, Keys: -1, TotalKeys: -1, KeyLen: -1, ArrayLen: -1, StringLen: -1,
		Nodes: -1, NumberLen: -1, Exponent: -1}
	if err := jsonscan.Scan(doc, &limits, s); err != nil {
		return fmt.Errorf("%w: %w", ErrDocument, err)
	}
	if !f.cfg.AllowMissing {
		for i := range f.patterns {
			if s.missing(i) {
				return &FieldError{f.cfg.Pointers[i], ErrMissing}
			}
		}
	}
	return nil
}

// seal appends what stands for value in the sealed document.
func (f *Fields) seal(ctx context.Context, s *fieldsScratch, dst, value []byte, c Context) (_ []byte, err error) {
	if looksSealed(value) {
		if !f.cfg.KeepSealed {
			return nil, &FieldError{c.Path, ErrSealed}
		}
		if _, err := f.unbox(ctx, s, value, c); err != nil { // a stranger's text must not stay in clear because it looks sealed
			return nil, err
		}
		return append(dst, value...), nil
	}
	return f.box(ctx, s, dst, value, c)
}

// box appends value sealed.
func (f *Fields) box(ctx context.Context, s *fieldsScratch, dst, value []byte, c Context) (_ []byte, err error) {
	if e := f.cfg.Envelope; e != nil {
		s.box, err = e.Seal(ctx, s.box[:0], value, c)
	} else {
		s.box, err = f.cfg.Keyring.Seal(s.box[:0], value, c)
	}
	if err != nil {
		return nil, err
	}
	dst = append(append(dst, '"'), FieldPrefix...)
	return append(base64.RawURLEncoding.AppendEncode(dst, s.box), '"'), nil
}

// open appends the value that was sealed.
func (f *Fields) open(ctx context.Context, s *fieldsScratch, dst, value []byte, c Context) ([]byte, error) {
	if !looksSealed(value) {
		if !f.cfg.InsecureAllowPlain {
			return nil, &FieldError{c.Path, ErrNotSealed}
		}
		return append(dst, value...), nil
	}
	msg, err := f.unbox(ctx, s, value, c)
	if err != nil {
		return nil, err
	}
	return append(dst, msg...), nil
}

// reseal appends a sealed value sealed anew.
func (f *Fields) reseal(ctx context.Context, s *fieldsScratch, dst, value []byte, c Context) ([]byte, error) {
	if !looksSealed(value) {
		return f.open(ctx, s, dst, value, c) // as it is, or ErrNotSealed
	}
	msg, err := f.unbox(ctx, s, value, c)
	if err != nil {
		return nil, err
	}
	return f.box(ctx, s, dst, msg, c)
}

// unbox returns what is in a sealed value, until the next call.
func (f *Fields) unbox(ctx context.Context, s *fieldsScratch, value []byte, c Context) ([]byte, error) {
	if !s.decode(value) {
		return nil, &FieldError{c.Path, ErrInvalid}
	}
	var err error
	if e := f.cfg.Envelope; e != nil {
		s.msg, err = e.Open(ctx, s.msg[:0], s.box, c)
	} else {
		s.msg, err = f.cfg.Keyring.Open(s.msg[:0], s.box, c)
	}
	if err != nil {
		return nil, &FieldError{c.Path, err}
	}
	// Somebody may have sealed other things in this place with the same keys, which would break out of theirs here.
	limits := jsonscan.Limits{Bytes: -1, Depth: f.cfg.MaxDepth, Keys: -1, TotalKeys: -1, KeyLen: -1, ArrayLen: -1, StringLen: -1, Nodes: -1,
		NumberLen: -1, Exponent: -1}
	if jsonscan.Scan(s.msg, &limits, nil) != nil {
		return nil, &FieldError{c.Path, ErrInvalid}
	}
	return s.msg, nil
}

// decode puts the box in a sealed value into s.box.
func (s *fieldsScratch) decode(value []byte) bool {
	text, ok := bytes.CutPrefix(value[1:len(value)-1], []byte(FieldPrefix))
	if !ok { // an escape in the prefix
		return false
	}
	var err error
	// No line breaks to skip: the scan has found the string without any.
	s.box, err = base64.RawURLEncoding.Strict().AppendDecode(s.box[:0], text)
	return err == nil
}

// looksSealed reports whether a value is a string that begins with FieldPrefix.
func looksSealed(value []byte) bool {
	if value[0] != '"' {
		return false
	}
	text := value[1 : len(value)-1]
	// As far as the prefix goes if each of its characters is an escape.
	if text = text[:min(len(text), 6*len(FieldPrefix))]; bytes.IndexByte(text, '\\') >= 0 {
		text = jsonscan.AppendUnquoted(nil, text)
	}
	return bytes.HasPrefix(text, []byte(FieldPrefix))
}

// fieldsScratch is what one rewriting needs, and a jsonscan.Visitor that collects the values.
type fieldsScratch struct {
	f     *Fields
	paths []byte
	found []foundField
	box   []byte
	msg   []byte
	// seen[i][d] counts the values that match the first d segments of pattern i, arrays[i][d] those of them that are arrays.
	seen, arrays [][]int
}

// foundField is a value to rewrite, and its pointer in paths.
type foundField struct{ path, pathEnd, start, end int }

var fieldsPool = sync.Pool{New: func() any { return new(fieldsScratch) }}

func (s *fieldsScratch) start(f *Fields) {
	s.f, s.paths, s.found = f, s.paths[:0], s.found[:0]
	s.seen, s.arrays = counters(s.seen, f.patterns), counters(s.arrays, f.patterns)
}

func counters(old [][]int, patterns [][]string) [][]int {
	c := slices.Grow(old[:0], len(patterns))[:len(patterns)]
	for i, p := range patterns {
		c[i] = slices.Grow(c[i][:0], len(p)+1)[:len(p)+1]
		clear(c[i])
	}
	return c
}

func (s *fieldsScratch) release() {
	clear(s.msg[:cap(s.msg)])
	s.f = nil
	if cap(s.box) <= 64<<10 && cap(s.msg) <= 64<<10 && cap(s.paths) <= 64<<10 && cap(s.found) <= 1<<12 && len(s.seen) <= 1<<8 {
		fieldsPool.Put(s)
	}
}

// missing reports whether pattern i lacks a value somewhere. An object has at most one member of a name, so counting tells.
func (s *fieldsScratch) missing(i int) bool {
	for d, segment := range s.f.patterns[i] {
		if segment == "*" && s.arrays[i][d] < s.seen[i][d] || segment != "*" && s.seen[i][d+1] < s.seen[i][d] {
			return true
		}
	}
	return false
}

var errTooManyFields = errors.New("too many fields")

// Visit implements jsonscan.Visitor.
func (s *fieldsScratch) Visit(p *jsonscan.Path, kind jsonscan.Kind, start, end int) error {
	depth := p.Depth()
	closing := kind == jsonscan.ObjectEnd || kind == jsonscan.ArrayEnd
	for i, pattern := range s.f.patterns {
		if depth > len(pattern) || !matches(p, pattern[:depth]) {
			continue
		}
		if !closing {
			s.seen[i][depth]++
			if kind == jsonscan.ArrayStart {
				s.arrays[i][depth]++
			}
		}
		switch {
		case depth < len(pattern):
		case closing:
			s.found[len(s.found)-1].end = end // no other value was found inside: patterns do not overlap
		case len(s.found) >= s.f.cfg.MaxFields:
			return errTooManyFields
		default:
			from := len(s.paths)
			s.paths = p.AppendPointer(s.paths)
			s.found = append(s.found, foundField{from, len(s.paths), start, end})
		}
	}
	return nil
}

// matches reports whether the path has these segments, with "*" for the elements of arrays.
func matches(p *jsonscan.Path, segments []string) bool {
	// Innermost first: siblings of the wanted value differ there.
	for i := len(segments) - 1; i >= 0; i-- {
		want := segments[i]
		name, member := p.Key(i)
		switch {
		case want == "*":
			if member {
				return false
			}
		case !member:
			n, _ := p.Index(i)
			var buf [20]byte
			if string(strconv.AppendInt(buf[:0], int64(n), 10)) != want {
				return false
			}
		case p.Escaped(i):
			if !jsonscan.EqualUnquoted(name, want) {
				return false
			}
		case string(name) != want:
			return false
		}
	}
	return true
}

package upload

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"path"
	"slices"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/filetype"
)

// Form is the parts of one form, as they come. It is not safe for concurrent use.
type Form struct {
	in     *Inspector
	r      reader
	part   *Part
	names  []string
	parts  int
	fields int
	done   bool
	failed atomic.Pointer[Error] // the middleware asks from another goroutine than reads
	onEnd  func()
	value  []byte
}

// Part is one part of a form. Its exported fields are not to be changed.
type Part struct {
	// Name is the name of the field: 1 to 128 bytes of UTF-8 without control and invisible characters, quotes and backslashes.
	// It is the client's own text, as is Original.
	Name string
	// Filename is the name to store a file under: random (32 hexadecimal digits in the groups of a UUID), or Original with the usual
	// extension when Config.KeepNames says so; "" for a field.
	Filename string
	// Original is the client's name of the file; it has passed the rules for names.
	Original string
	// Type is the type of a file, 0 for a field.
	Type Type
	// ContentType is the media type of the file: that of Type, or audio/webm when that is what the part declares; "" for a
	// field.
	ContentType string

	form   *Form
	verify *filetype.Verifier // nil for a field
	piece  []byte
	size   int64
	err    error
}

// errStale is the error of a part that was left behind.
var errStale = errors.New("upload: read of a part after the next one was asked for")

// IsFile reports whether the part is a file.
func (p *Part) IsFile() bool { return p.Type != 0 }

// Next returns the next part. What is left of the one before is read and verified first. The error is io.EOF after the last
// part of a form that was found right, else an *[Error], the same from then on.
func (f *Form) Next() (*Part, error) {
	if f.part != nil {
		if _, err := io.Copy(io.Discard, f.part); err != nil {
			return nil, err
		}
		f.part.err = errStale
		f.part = nil
	}
	switch e := f.failed.Load(); {
	case e != nil:
		return nil, e
	case f.done:
		return nil, io.EOF
	}
	header, more, e := f.r.next(f.in.cfg.MaxHeader)
	if e != nil {
		return nil, f.fail(e)
	}
	if !more {
		if f.parts == 0 {
			return nil, f.fail(malformed("form", "The form has no part."))
		}
		f.done = true
		if f.onEnd != nil {
			f.onEnd()
		}
		return nil, io.EOF
	}
	if f.parts++; f.parts > f.in.cfg.MaxParts {
		return nil, f.fail(refuse(deny.LimitExceeded, "MaxParts", "The form has too many parts."))
	}
	h, e := parseHeader(header)
	if e == nil {
		e = f.admit(h.name)
	}
	if e != nil {
		return nil, f.fail(e)
	}
	p := &Part{Name: h.name, form: f}
	if h.isFile {
		e = f.file(p, h)
	} else {
		e = f.field(p, h)
	}
	if e != nil {
		return nil, f.fail(e)
	}
	f.part = p
	return p, nil
}

// fail makes e the end of the form.
func (f *Form) fail(e *Error) *Error {
	e.Part = f.parts
	f.failed.Store(e)
	return e
}

// admit decides about the name of a part.
func (f *Form) admit(name string) *Error {
	c := &f.in.cfg
	if len(c.Names) > 0 && !slices.Contains(c.Names, name) {
		return malformed("name", "A part has a name that this endpoint does not take.")
	}
	if slices.Contains(c.Repeat, name) {
		return nil
	}
	for _, seen := range f.names {
		// Readers that fold case are as common as those that do not.
		if strings.EqualFold(seen, name) {
			return malformed("name", "Two parts have one name: send one of them.")
		}
	}
	f.names = append(f.names, name)
	return nil
}

// file decides about the names of a file; its bytes are verified as they are read.
func (f *Form) file(p *Part, h partHeader) *Error {
	t, e := checkFilename(h.filename, f.in.cfg.SkipInnerExtensions)
	if e != nil {
		return e
	}
	if !f.in.allow[t] {
		return refuse(deny.UnsupportedMediaType, "extension", "A file has an extension that this endpoint does not take.")
	}
	declared, media, none, ok := declaredType(h.contentType)
	switch {
	case none && !f.in.cfg.SkipMissingType:
		return refuse(deny.UnsupportedMediaType, "type", "A part with a file does not say what it is: give it the Content-Type of the file.")
	case !none && (!ok || declared != t):
		return refuse(deny.UnsupportedMediaType, "type", "The Content-Type of a part is not that of its file name: one of them is wrong.")
	}
	p.Type, p.Original, p.ContentType = Type(t), h.filename, t.MediaType()
	if media == "audio/webm" {
		p.ContentType = media
	}
	if f.in.cfg.KeepNames {
		p.Filename = strings.TrimSuffix(h.filename, path.Ext(h.filename)) + "." + t.Extension()
	} else {
		p.Filename = randomName() + "." + t.Extension()
	}
	p.verify = filetype.New(t, f.in.limits)
	return nil
}

// field reads the value of a field, which is text.
func (f *Form) field(p *Part, h partHeader) *Error {
	if f.fields++; f.fields > f.in.cfg.MaxFields {
		return refuse(deny.LimitExceeded, "MaxFields", "The form has too many fields.")
	}
	if h.contentType != "" {
		media, params, err := mime.ParseMediaType(h.contentType)
		charset, has := params["charset"]
		if err != nil || media != "text/plain" || len(params) > 1 || len(params) == 1 && !has || has && !strings.EqualFold(charset, "utf-8") {
			return refuse(deny.UnsupportedMediaType, "type", "A field is not plain text in UTF-8.")
		}
	}
	f.value = f.value[:0]
	for {
		b, e := f.r.data()
		if e != nil {
			return e
		}
		if b == nil {
			break
		}
		if len(f.value)+len(b) > f.in.cfg.MaxField {
			return refuse(deny.LimitExceeded, "MaxField", "The value of a field is too long.")
		}
		f.value = append(f.value, b...)
	}
	if !utf8.Valid(f.value) || bytes.IndexByte(f.value, 0) >= 0 {
		return malformed("bytes", "A field is not plain text in UTF-8.")
	}
	p.piece = f.value
	return nil
}

// Read reads the content of the part. Bytes of a file have been verified as far as that can be decided at that point; the
// verdict on the whole comes at the end: Read returns an *[Error] in place of io.EOF when the file was not what it claims.
// Whoever acts on the bytes before must be able to take it back.
func (p *Part) Read(b []byte) (int, error) {
	for len(p.piece) == 0 && p.err == nil {
		p.piece, p.err = p.more()
	}
	if len(p.piece) > 0 && p.err != errStale {
		n := copy(b, p.piece)
		p.piece = p.piece[n:]
		return n, nil
	}
	return 0, p.err
}

// more returns the next verified piece of a file.
func (p *Part) more() ([]byte, error) {
	if p.verify == nil {
		return nil, io.EOF // a field had its value from the beginning
	}
	b, e := p.form.r.data()
	if e != nil {
		return nil, p.form.fail(e)
	}
	if b == nil {
		if err := p.verify.Close(); err != nil {
			return nil, p.form.fail(unfit(err))
		}
		return nil, io.EOF
	}
	if p.size += int64(len(b)); p.size > p.form.in.cfg.MaxFile {
		return nil, p.form.fail(refuse(deny.BodyTooLarge, "MaxFile", "A file is too large."))
	}
	if _, err := p.verify.Write(b); err != nil {
		return nil, p.form.fail(unfit(err))
	}
	return b, nil
}

// randomName returns 122 random bits in the form of a UUID of version 4 (RFC 9562 section 5.4).
func randomName() string {
	var b [16]byte
	rand.Read(b[:])
	b[6], b[8] = b[6]&0x0F|0x40, b[8]&0x3F|0x80
	s := hex.EncodeToString(b[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

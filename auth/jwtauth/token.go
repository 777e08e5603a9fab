package jwtauth

import (
	"bytes"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/mantlet-go/mantlet/auth/internal/strict"
	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

const (
	maxHeader = 1 << 10 // bytes of the decoded header
	maxKid    = 256
	maxClaims = 128 // members of one object
)

// shaped reports whether s has exactly two dots. It stops at the third: a flood of dots costs nothing (CVE-2025-30204).
func shaped(s string) bool {
	_, rest, ok := strings.Cut(s, ".")
	if !ok {
		return false
	}
	_, rest, ok = strings.Cut(rest, ".")
	return ok && strings.IndexByte(rest, '.') < 0
}

// scratch is the working memory of one verification.
type scratch struct {
	scanner          jsonscan.Scanner
	head, body, tail string
	signed           int    // length of head.body in the token
	headBuf          []byte // head decoded
	buf              []byte // body and tail decoded
	rawClaims        []byte
	signature        []byte

	header  header
	members members
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

func (s *scratch) release() {
	s.head, s.body, s.tail = "", "", ""
	s.rawClaims, s.signature, s.header = nil, nil, header{}
	s.members.reset(nil)
	clear(s.members.words)
	clear(s.buf[:cap(s.buf)]) // a token is a credential: it does not lie around
	scratches.Put(s)
}

// split finds the segments of a token, which has three.
func (s *scratch) split(token string) error {
	if !shaped(token) {
		return errShape
	}
	first := strings.IndexByte(token, '.')
	s.signed = first + 1 + strings.IndexByte(token[first+1:], '.')
	s.head, s.body, s.tail = token[:first], token[first+1:s.signed], token[s.signed+1:]
	if s.head == "" || s.body == "" || s.tail == "" {
		return errShape // an empty signature is the form of alg "none"
	}
	if len(s.head) > maxHeader/3*4+4 {
		return errHeader
	}
	return nil
}

// decode decodes the claims and the signature.
func (s *scratch) decode() error {
	b, ok := strict.AppendBase64URL(s.buf[:0], s.body)
	n := len(b)
	b, ok2 := strict.AppendBase64URL(b, s.tail)
	s.buf = b
	if !ok || !ok2 {
		return errBase64
	}
	s.rawClaims, s.signature = b[:n:n], b[n:]
	return nil
}

// header is what counts of a JOSE header. Its slices point into the scratch.
type header struct {
	alg    *algorithm
	kid    []byte
	hasKid bool
	typ    []byte // without "application/", in any case; nil for none
}

// forbidden are header members that would bring a key, a location of a key, an extension or another format with the token.
// RFC 7515 section 4.1.11 wants unknown crit names refused; none is known here, so crit itself is.
var forbidden = [...]string{"crit", "b64", "jwk", "jku", "x5u", "x5c", "zip", "enc", "cty"}

// readHeader decodes and reads the JOSE header.
func (s *scratch) readHeader() error {
	m := &s.members
	raw, ok := strict.AppendBase64URL(s.headBuf[:0], s.head)
	s.headBuf = raw
	if !ok {
		return errBase64
	}
	if len(raw) > maxHeader || m.read(&s.scanner, raw) != nil {
		return errHeader
	}
	for _, name := range forbidden {
		if m.find(name) != nil {
			return errForbidden
		}
	}
	alg, kid, typ := m.find("alg"), m.find("kid"), m.find("typ")
	if m.variant {
		return errVariant
	}
	name, ok := m.text(alg)
	if !ok {
		return errAlgorithm
	}
	if s.header.alg = algorithms[string(name)]; s.header.alg == nil {
		return errAlgorithm // "none" is no row of the table, in any case
	}
	if kid != nil {
		if s.header.kid, ok = m.text(kid); !ok || len(s.header.kid) == 0 || len(s.header.kid) > maxKid {
			return errKid
		}
		s.header.hasKid = true
	}
	if typ != nil {
		if s.header.typ, ok = m.text(typ); !ok || len(s.header.typ) == 0 {
			return errType
		}
		const application = "application/"
		if t := s.header.typ; len(t) > len(application) && strings.EqualFold(string(t[:len(application)]), application) {
			s.header.typ = t[len(application):]
		}
	}
	return nil
}

// accepts reports whether the issuer takes tokens of this typ.
func (is *issuer) accepts(typ []byte) bool {
	for _, t := range is.types {
		if len(t) == len(typ) && strings.EqualFold(t, string(typ)) {
			return true
		}
	}
	return false
}

// headers remembers what readHeader made of the headers of good tokens. An issuer writes one header, byte for byte, in all
// tokens of a key, and reading it again is a fifth of what the strict front costs.
type headers [8]atomic.Pointer[seenHeader]

type seenHeader struct {
	text   string
	header header
}

// place depends on the length and on characters in the middle, where kids differ. Headers that meet push each other out.
func (hs *headers) place(text string) *atomic.Pointer[seenHeader] {
	n := len(text)
	return &hs[(uint(n)+uint(text[n/2])+uint(text[n*2/3])*3)%uint(len(hs))]
}

func (hs *headers) get(text string) *header {
	if h := hs.place(text).Load(); h != nil && h.text == text {
		return &h.header
	}
	return nil
}

func (hs *headers) put(text string, h *header) {
	hs.place(text).Store(&seenHeader{strings.Clone(text), header{alg: h.alg, kid: bytes.Clone(h.kid), hasKid: h.hasKid, typ: bytes.Clone(h.typ)}})
}

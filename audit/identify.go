package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"sync"
)

// AddressForm is how a client's address is written.
type AddressForm uint8

const (
	// AddressNetwork, the zero value, writes client.net: the /24 of an IPv4 address, the /48 of an IPv6 one. It tells one
	// network from another without naming a person.
	AddressNetwork AddressForm = iota
	// AddressFull writes client.address. An address is personal data in most places; say why you keep it.
	AddressFull
	// AddressHMAC writes client.hmac: the same address always gives the same value under one key. There are few addresses,
	// so whoever holds the key can try them all: this is a pseudonym, not anonymity. It needs Identify.Key.
	AddressHMAC
	// AddressNone writes nothing.
	AddressNone
)

// CallerForm is how auth.subject, auth.tenant, auth.client_id and auth.key_id are written.
type CallerForm uint8

const (
	// CallerNames, the zero value, writes them as they are. They are names by the contract of whoever set them, never
	// credentials, and a trail that cannot name who did it answers no question.
	CallerNames CallerForm = iota
	// CallerHMAC writes pseudonyms; needs Identify.Key.
	CallerHMAC
	// CallerNone writes nothing.
	CallerNone
)

// Identify says how people and keys appear in the lines.
type Identify struct {
	// Key is the secret of HMAC-SHA-256 for pseudonyms and body hashes, at least 16 bytes; 32 random bytes are right. It
	// should serve nothing else. Needed by AddressHMAC, CallerHMAC and every capture of a body except CapturePlain and
	// CaptureNone.
	Key []byte
	// KeyID stands before each pseudonym ("2026a:..."), so that values of different keys are not compared. Up to 16
	// letters, digits, '-', '_'; empty means "1".
	KeyID string
	// Address is the form of the client's address; zero is AddressNetwork.
	Address AddressForm
	// Caller is the form of the caller's identifiers; zero is CallerNames.
	Caller CallerForm
}

// Pseudonym gives what a line has in member ("auth.subject", "client.hmac" and so on) for value, to find somebody's lines
// again. An address is written in its canonical form, without zone. It returns "" when the Key is too short.
func (cfg Identify) Pseudonym(member, value string) string {
	id, err := newIdentity(cfg)
	if err != nil || id.macs == nil {
		return ""
	}
	return string(id.pseudonymString(nil, member, value))
}

// BodyHMAC gives what a line has in x.body.hmac for a request body, to hold a body against a line: the key id, a colon, and
// HMAC-SHA-256 under Key of the word "body", a zero byte and the body, in hex. It returns "" when the Key is too short.
// Compare with hmac.Equal.
func (cfg Identify) BodyHMAC(body []byte) string {
	id, err := newIdentity(cfg)
	if err != nil || id.macs == nil {
		return ""
	}
	m := id.macs.Get().(*macState)
	m.begin("body")
	m.Write(body)
	return string(m.finish(nil, id.kid, sha256.Size))
}

// identity is the checked form of Identify.
type identity struct {
	address AddressForm
	caller  CallerForm
	kid     string
	macs    *sync.Pool // of *macState; nil without a key
}

// macState is a hash with the key's pads already absorbed, and room for a sum: both are reused, so a pseudonym costs no
// allocation.
type macState struct {
	hash.Hash
	sum [sha256.Size]byte
	tmp [256]byte
}

func newIdentity(cfg Identify) (identity, error) {
	id := identity{address: cfg.Address, caller: cfg.Caller, kid: cfg.KeyID}
	var errs []error
	if id.kid == "" {
		id.kid = "1"
	}
	if len(id.kid) > 16 || !isWord(id.kid) {
		errs = append(errs, fmt.Errorf("audit: Identify.KeyID %q: want up to 16 letters, digits, '-' or '_'", cfg.KeyID))
	}
	if cfg.Address > AddressNone {
		errs = append(errs, fmt.Errorf("audit: Identify.Address %d: no such form", cfg.Address))
	}
	if cfg.Caller > CallerNone {
		errs = append(errs, fmt.Errorf("audit: Identify.Caller %d: no such form", cfg.Caller))
	}
	switch n := len(cfg.Key); {
	case n >= 16:
		key := append([]byte(nil), cfg.Key...)
		id.macs = &sync.Pool{New: func() any { return &macState{Hash: hmac.New(sha256.New, key)} }}
	case n > 0:
		errs = append(errs, fmt.Errorf("audit: Identify.Key has %d bytes, want at least 16", n))
	case cfg.Address == AddressHMAC:
		errs = append(errs, errors.New("audit: Identify.Address AddressHMAC needs Identify.Key"))
	case cfg.Caller == CallerHMAC:
		errs = append(errs, errors.New("audit: Identify.Caller CallerHMAC needs Identify.Key"))
	}
	return id, errors.Join(errs...)
}

// pseudonym appends kid:hex of the first 16 bytes of HMAC(key, purpose || 0 || value). The purpose keeps the pseudonym of a
// subject apart from that of an equal tenant.
func (id *identity) pseudonym(dst []byte, purpose string, value []byte) []byte {
	m := id.macs.Get().(*macState)
	m.begin(purpose)
	m.Write(value)
	dst = m.finish(dst, id.kid, 16)
	id.macs.Put(m)
	return dst
}

func (id *identity) pseudonymString(dst []byte, purpose, value string) []byte {
	m := id.macs.Get().(*macState)
	m.begin(purpose)
	for len(value) > 0 {
		n := copy(m.tmp[:], value)
		m.Write(m.tmp[:n])
		value = value[n:]
	}
	dst = m.finish(dst, id.kid, 16)
	id.macs.Put(m)
	return dst
}

func (m *macState) begin(purpose string) {
	m.Reset()
	n := copy(m.tmp[:len(m.tmp)-1], purpose)
	m.tmp[n] = 0
	m.Write(m.tmp[:n+1])
}

func (m *macState) finish(dst []byte, kid string, bytes int) []byte {
	sum := m.Sum(m.sum[:0])
	dst = append(append(dst, kid...), ':')
	for _, b := range sum[:bytes] {
		dst = append(dst, hexDigits[b>>4], hexDigits[b&15])
	}
	return dst
}

func isWord(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// String gives the name of the form.
func (f AddressForm) String() string {
	switch f {
	case AddressNetwork:
		return "network"
	case AddressFull:
		return "full"
	case AddressHMAC:
		return "hmac"
	case AddressNone:
		return "none"
	}
	return "AddressForm(" + strconv.Itoa(int(f)) + ")"
}

// String gives the name of the form.
func (f CallerForm) String() string {
	switch f {
	case CallerNames:
		return "names"
	case CallerHMAC:
		return "hmac"
	case CallerNone:
		return "none"
	}
	return "CallerForm(" + strconv.Itoa(int(f)) + ")"
}

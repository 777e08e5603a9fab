package fernet

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/mantlet-go/mantlet/crypto/internal/alias"
)

const (
	// MaxKeys is how many keys a ring may have. A token that fits none costs one HMAC per key, so the number bounds what a forged
	// token can cost. Two or three are enough to rotate.
	MaxKeys = 16
	// DefaultSkew is the tolerance used when Config.Skew is zero: 60 seconds, as in the implementations in Ruby, Python and Go.
	DefaultSkew = 60 * time.Second
	// NoSkew as Config.Skew says that a time stamp must not be later than the clock at all.
	NoSkew time.Duration = -1
)

// Config says what a Keyring is made of.
type Config struct {
	// Keys are the keys, newest first: the first one encrypts, all of them decrypt. At least one and at most MaxKeys, no key
	// twice.
	Keys []Key
	// TTL is how long after its creation a token is valid, in whole seconds: at least one. Required: zero is refused without SkipExpiry,
	// since a forgotten TTL would make every token eternal.
	TTL time.Duration
	// SkipExpiry makes tokens valid for ever, as what is stored has to be. TTL must be zero then.
	SkipExpiry bool
	// Skew is how far in the future a token's time stamp may lie (clocks of several machines differ), in whole seconds. Zero means
	// DefaultSkew, NoSkew none. It is checked with SkipExpiry too.
	Skew time.Duration
}

// A Keyring encrypts and decrypts tokens. It is immutable and safe for concurrent use. The zero Keyring and a nil one decrypt
// nothing (ErrInvalid) and panic when asked to encrypt.
type Keyring struct {
	keys    []*cryptor
	ttl     uint64 // seconds; meaningless if forever
	skew    uint64 // seconds
	forever bool
}

// New makes a Keyring. The error lists everything that is wrong with cfg, and never shows a key.
func New(cfg Config) (*Keyring, error) {
	errs := checkKeys("Config.Keys", indexOf("Config.Keys"), cfg.Keys)
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf("fernet: "+format, args...)) }

	k := &Keyring{forever: cfg.SkipExpiry}
	if len(errs) == 0 {
		for _, key := range cfg.Keys {
			k.keys = append(k.keys, newCryptor(key))
		}
	}

	switch {
	case cfg.SkipExpiry && cfg.TTL != 0:
		refuse("Config.SkipExpiry is set together with Config.TTL %v", cfg.TTL)
	case cfg.SkipExpiry:
	case cfg.TTL == 0:
		refuse("Config.TTL is not set: say SkipExpiry if tokens are to be valid for ever")
	case cfg.TTL < 0:
		refuse("Config.TTL is negative: %v", cfg.TTL)
	case cfg.TTL%time.Second != 0:
		refuse("Config.TTL is %v: time stamps count whole seconds", cfg.TTL)
	default:
		k.ttl = uint64(cfg.TTL / time.Second)
	}
	switch {
	case cfg.Skew == NoSkew:
	case cfg.Skew == 0:
		k.skew = uint64(DefaultSkew / time.Second)
	case cfg.Skew < 0:
		refuse("Config.Skew is negative: %v", cfg.Skew)
	case cfg.Skew%time.Second != 0:
		refuse("Config.Skew is %v: time stamps count whole seconds", cfg.Skew)
	default:
		k.skew = uint64(cfg.Skew / time.Second)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return k, nil
}

// The binary token: version, time stamp, IV, ciphertext, MAC.
const (
	version    = 0x80
	stampAt    = 1
	ivAt       = stampAt + 8
	textAt     = ivAt + blockSize
	blockSize  = 16
	macSize    = 32
	overhead   = textAt + macSize
	minRaw     = overhead + blockSize
	minEncoded = (minRaw + 2) / 3 * 4
)

// Encrypt returns a token for msg with the present time, encrypted under the ring's first key.
func (k *Keyring) Encrypt(msg []byte) []byte { return k.AppendEncrypt(nil, msg, time.Now()) }

// AppendEncrypt appends a token for msg to dst, with now as the time of creation (a time before 1970 counts as 1970). The free
// capacity of dst may overlap msg in any way (msg is lost then). It does not allocate if dst has room for the token (EncodedLen).
func (k *Keyring) AppendEncrypt(dst, msg []byte, now time.Time) []byte {
	return k.seal(dst, msg, seconds(now))
}

// EncodedLen returns the length of the token of a message of n bytes.
func EncodedLen(n int) int { return base64.URLEncoding.EncodedLen(rawLen(n)) }

func rawLen(n int) int { return overhead + n - n%blockSize + blockSize }

// Decrypt returns the message in tok. The error is ErrInvalid or ErrExpired.
func (k *Keyring) Decrypt(tok []byte) ([]byte, error) { return k.AppendDecrypt(nil, tok, time.Now()) }

// AppendDecrypt appends the message in tok to dst, judging the token's age at now. The error is ErrInvalid or ErrExpired, and the
// slice is nil then. The free capacity of dst may overlap tok in any way (tok is lost then, also when it is not valid), so
// AppendDecrypt(tok[:0], tok, now) decrypts in place. It does not allocate if dst has room for len(tok) bytes (less is enough for the
// message alone, but the token is decoded there first).
func (k *Keyring) AppendDecrypt(dst, tok []byte, now time.Time) ([]byte, error) {
	if k == nil {
		return nil, ErrInvalid
	}
	out, _, err := k.open(dst, tok, func(stamp uint64) error { return k.check(stamp, seconds(now)) })
	return out, err
}

// Rotate encrypts the message in tok again, under the ring's first key and a new IV, and keeps its time stamp: the new token
// expires when the old one does. The age of the token is not judged, so that a stored token is not lost to a wrong clock. The
// error is ErrInvalid.
func (k *Keyring) Rotate(tok []byte) ([]byte, error) {
	msg, stamp, err := k.open(nil, tok, nil)
	if err != nil {
		return nil, err
	}
	out := k.seal(nil, msg, stamp)
	clear(msg)
	return out, nil
}

// seconds is the time stamp of t. A clock before 1970 is broken; it counts as 1970, whose tokens expire at once elsewhere,
// rather than as the year 584942417355 that the bits of a negative number would mean.
func seconds(t time.Time) uint64 { return uint64(max(t.Unix(), 0)) }

// check compares without adding to a time stamp, which could overflow: it is any number of 64 bits.
func (k *Keyring) check(stamp, now uint64) error {
	if stamp > now {
		if stamp-now > k.skew {
			return ErrInvalid
		}
		return nil
	}
	if !k.forever && now-stamp > k.ttl {
		return ErrExpired
	}
	return nil
}

func (k *Keyring) seal(dst, msg []byte, stamp uint64) []byte {
	if k == nil || len(k.keys) == 0 {
		// There is no ciphertext to return, and returning nothing would lose the message in silence.
		panic("fernet: encryption with a Keyring that was not made by New")
	}
	n := rawLen(len(msg))
	size := base64.URLEncoding.EncodedLen(n)
	at := len(dst)
	dst = slices.Grow(dst, size)[:at+size]

	// The binary token is made at the right end of the room for its text. The message first: it may be where the rest goes.
	out := dst[at:]
	raw := out[size-n:]
	text := raw[textAt : n-macSize]
	pad := byte(len(text) - len(msg))
	for i := copy(text, msg); i < len(text); i++ {
		text[i] = pad
	}
	raw[0] = version
	binary.BigEndian.PutUint64(raw[stampAt:], stamp)
	_, _ = rand.Read(raw[ivAt:textAt]) // never fails (Go 1.24)
	c := k.keys[0].get()
	c.encrypt(raw[ivAt:textAt], text)
	copy(raw[n-macSize:], c.mac(raw[:n-macSize]))
	k.keys[0].put(c)

	encode(out, raw)
	return dst
}

// open appends the message in tok to dst. Until a MAC has matched, nothing in the token is believed except its length.
func (k *Keyring) open(dst, tok []byte, check func(stamp uint64) error) (_ []byte, stamp uint64, err error) {
	if k == nil || len(tok) < minEncoded || len(tok)%4 != 0 {
		return nil, 0, ErrInvalid
	}
	room := len(tok) / 4 * 3
	n := room
	for i := len(tok) - 1; i >= len(tok)-2 && tok[i] == '='; i-- {
		n--
	}
	if (n-overhead)%blockSize != 0 {
		return nil, 0, ErrInvalid
	}
	at := len(dst)
	if alias.Overlap(dst[at:cap(dst)], tok) {
		// A text is decoded in its own place if it begins where its bytes go: 8 characters are read before they become 6 bytes.
		dst = slices.Grow(dst, len(tok))
		in := dst[at : at+len(tok)]
		copy(in, tok)
		tok = in
	}
	dst = slices.Grow(dst, room)
	raw := dst[at : at+room]
	// The decoder skips line breaks. Any that it skipped are missing in m, since n counts them as characters.
	if m, ok := decode(raw, tok); !ok || m != n || raw[0] != version {
		return nil, 0, ErrInvalid
	}
	raw = raw[:n]
	for _, key := range k.keys {
		c := key.get()
		if !c.matches(raw[:n-macSize], raw[n-macSize:]) {
			key.put(c)
			continue
		}
		stamp = binary.BigEndian.Uint64(raw[stampAt:])
		if check != nil {
			if err := check(stamp); err != nil {
				key.put(c)
				return nil, 0, err
			}
		}
		text := raw[textAt : n-macSize]
		c.decrypt(raw[ivAt:textAt], text)
		key.put(c)
		msg, ok := unpad(text)
		if !ok {
			// Only a holder of the key can make such a token, so telling it apart by time gives nothing away.
			clear(text)
			return nil, 0, ErrInvalid
		}
		m := copy(raw, msg)
		clear(raw[m:]) // no second copy of the message's end
		return dst[:at+m], stamp, nil
	}
	return nil, 0, ErrInvalid
}

// unpad removes the padding of RFC 5652, section 6.3, and checks every byte of it.
func unpad(text []byte) ([]byte, bool) {
	pad := text[len(text)-1]
	if pad == 0 || pad > blockSize {
		return nil, false
	}
	n := len(text) - int(pad)
	for _, b := range text[n:] {
		if b != pad {
			return nil, false
		}
	}
	return text[:n], true
}

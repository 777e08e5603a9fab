package apikey

import (
	"context"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"math"
	"strings"
	"sync"

	"github.com/mantlet-go/mantlet/auth"
)

// Hash names how another system hashed its keys.
type Hash string

// The hashes that keys can be imported under. Each is of the whole key, prefix included, without salt. A salted or slow one cannot
// be looked up, and a key that needs it is one that somebody could guess.
const (
	SHA256 Hash = "sha256"
	SHA512 Hash = "sha512"
)

// size is the length of the hash in bytes, 0 for an unknown one.
func (h Hash) size() int {
	switch h {
	case SHA256:
		return sha256.Size
	case SHA512:
		return sha512.Size
	}
	return 0
}

// Foreign is the format of keys that another system made and that go on working here until they are rotated.
type Foreign struct {
	// Name is what records call the format: 1 to 32 lower-case letters, digits and hyphens. Required, and not to be changed
	// while there are keys of it.
	Name string
	// Prefix is how every such key begins, at least two characters of visible ASCII: by it a credential is recognised. It must not
	// meet the Prefix of another format or of the Manager. Required.
	Prefix string
	// MinLen and MaxLen bound the length of a key in bytes, Prefix included. MaxLen is at most 256. Required.
	MinLen, MaxLen int
	// Hash is what [Manager.ImportHash] gets and records keep. Empty means SHA256.
	Hash Hash
}

// maxForeign bounds what a guess can make us hash.
const maxForeign = 256

func validName(s string) bool {
	return s != "" && len(s) <= 32 && lowerAlnum(strings.ReplaceAll(s, "-", ""))
}

func foreignFormats(cfg Config) (formats []Foreign, errs []error) {
	prefixes, names := []string{cfg.Prefix + "_"}, map[string]bool{}
	for i, f := range cfg.Foreign {
		bad := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("apikey: Config.Foreign[%d].%s", i, fmt.Sprintf(format, args...)))
		}
		if !validName(f.Name) || names[f.Name] {
			bad("Name %q is not 1 to 32 lower-case letters, digits and hyphens, or occurs twice", f.Name)
		}
		names[f.Name] = true
		if len(f.Prefix) < 2 || strings.ContainsFunc(f.Prefix, func(r rune) bool { return r <= ' ' || r > '~' }) {
			bad("Prefix %q is not two or more characters of visible ASCII", f.Prefix)
		}
		for _, p := range prefixes {
			if strings.HasPrefix(p, f.Prefix) || strings.HasPrefix(f.Prefix, p) {
				bad("Prefix %q meets the prefix %q: a key would belong to both", f.Prefix, p)
			}
		}
		prefixes = append(prefixes, f.Prefix)
		if f.MinLen <= len(f.Prefix) || f.MaxLen < f.MinLen || f.MaxLen > maxForeign {
			bad("MinLen %d and MaxLen %d are not lengths beyond the prefix and up to %d", f.MinLen, f.MaxLen, maxForeign)
		}
		if f.Hash == "" {
			f.Hash = SHA256
		}
		if f.Hash.size() == 0 {
			bad("Hash %q is neither %q nor %q", f.Hash, SHA256, SHA512)
		}
		formats = append(formats, f)
	}
	return formats, errs
}

// fits reports whether key has the shape of the format.
func (f *Foreign) fits(key string) bool {
	if len(key) < f.MinLen || len(key) > f.MaxLen || !strings.HasPrefix(key, f.Prefix) {
		return false
	}
	for i := range len(key) {
		if key[i] <= ' ' || key[i] > '~' {
			return false
		}
	}
	return true
}

// digest is what a record keeps of a key that fits.
func (f *Foreign) digest(key string) Digest {
	if f.Hash == SHA512 {
		sum := sha512.Sum512(bytesOf(key))
		return sha256.Sum256(sum[:]) // records have room for 32 bytes
	}
	return sha256.Sum256(bytesOf(key))
}

// checkForeign is check for what has not our prefix.
func (m *Manager) checkForeign(key string) (*entry, error) {
	for i := range m.foreign {
		f := &m.foreign[i]
		if !strings.HasPrefix(key, f.Prefix) {
			continue
		}
		if !f.fits(key) {
			return nil, errMalformed
		}
		if m.stale.Load() {
			return nil, errStale
		}
		sum := f.digest(key)
		e := m.keys.Load().foreign[sum]
		if e == nil || !sum.equal(&e.hash) {
			return nil, errUnknown
		}
		if err := e.standing(); err != nil {
			return nil, err
		}
		if e.detail.weak(key[len(f.Prefix):]) {
			// Imported by its hash, nobody could see what it is. Now it shows.
			return nil, e.refuse(auth.CodeInvalidAPIKey, errWeak)
		}
		return e, nil
	}
	return nil, auth.ErrNoCredential
}

// errWeak is withdrawn, not wrong: whoever sends the key has it, and is no guesser to be counted and shut out.
var errWeak = fmt.Errorf("%w: %w", ErrWeak, auth.ErrRevoked)

// What is known of an imported key.
const (
	strengthUnknown uint32 = iota
	strong
	weak
)

// weak reports whether the key that d is of could be guessed; s is the key without its prefix. To judge one takes longer than all the
// rest of a check, so it is done once.
func (d *detail) weak(s string) bool {
	known := d.strength.Load()
	if known == strengthUnknown {
		known = strong
		if guessable(s) {
			known = weak
		}
		d.strength.Store(known)
	}
	return known == weak
}

// judgedLike takes over what is known of the key from an earlier entry for it.
func (e *entry) judgedLike(have *entry) {
	if e.hash == have.hash {
		e.detail.strength.Store(have.detail.strength.Load())
	}
}

// Import makes a key of another system, in clear, one of this Manager. Its format must be in [Config.Foreign]; the record has an id
// like every other, and the same life: it can be disabled, revoked and rotated, the successor being a key of our own form. A key that
// does not fit its format is [ErrNotKey]; one that somebody could guess, because by a generous estimate fewer than 90 random bits went
// into it, is [ErrWeak]; one that was imported before, also if it was revoked since, is [ErrConflict]. The [Policy] applies as in
// [Manager.Create].
func (m *Manager) Import(ctx context.Context, spec Spec, format, key string) (Record, error) {
	f, err := m.formatOf(format)
	if err != nil {
		return Record{}, err
	}
	if !f.fits(key) {
		return Record{}, ErrNotKey
	}
	if guessable(key[len(f.Prefix):]) {
		return Record{}, ErrWeak
	}
	return m.adopt(ctx, spec, f, f.digest(key))
}

// ImportHash is [Manager.Import] of a key of which only the hash is known: 32 bytes under SHA256, 64 under SHA512. What the key
// is like shows only when it is used: one that somebody could guess is then refused with [ErrWeak], as a key that is disabled.
func (m *Manager) ImportHash(ctx context.Context, spec Spec, format string, hash []byte) (Record, error) {
	f, err := m.formatOf(format)
	if err != nil {
		return Record{}, err
	}
	if len(hash) != f.Hash.size() {
		return Record{}, fmt.Errorf("apikey: a hash of %d bytes is not a %s", len(hash), f.Hash)
	}
	if f.Hash == SHA512 {
		return m.adopt(ctx, spec, f, sha256.Sum256(hash))
	}
	return m.adopt(ctx, spec, f, Digest(hash))
}

func (m *Manager) formatOf(name string) (*Foreign, error) {
	if m == nil || m.loading == nil {
		return nil, errNotMade
	}
	for i := range m.foreign {
		if m.foreign[i].Name == name {
			return &m.foreign[i], nil
		}
	}
	return nil, fmt.Errorf("apikey: %.40q is not the name of a format in Config.Foreign", name)
}

func (m *Manager) adopt(ctx context.Context, spec Spec, f *Foreign, sum Digest) (Record, error) {
	now := instant()
	leave, err := m.admit(ctx, &spec, now)
	if err != nil {
		return Record{}, err
	}
	defer leave()
	rec := spec.record(now)
	rec.ID, rec.Hash, rec.Foreign = foreignID(sum), sum, f.Name
	if err := rec.storable(); err != nil {
		return Record{}, fmt.Errorf("%w: %w", ErrSpec, err)
	}
	rec, err = m.cfg.Store.Put(ctx, rec)
	if err == nil {
		m.publish(&rec)
	}
	leave() // before anybody is told
	if errors.Is(err, ErrConflict) {
		return Record{}, fmt.Errorf("apikey: the key was imported before, as %s: %w", foreignID(sum), err)
	}
	if err != nil {
		return Record{}, fmt.Errorf("apikey: storing an imported key: %w", err)
	}
	m.tell(ctx, EventImported, now, &rec)
	return rec, nil
}

// foreignID is the id of an imported key. It follows from the key, so that no store can hold one key twice: who revokes it revokes all
// of it, and it cannot be imported again. It says nothing about a key that cannot be guessed.
func foreignID(sum Digest) string {
	h := sha256.Sum256(append([]byte("id of a foreign key\n"), sum[:]...))
	out := make([]byte, idLen)
	for i := range out {
		out[i] = alphabet[h[i]%62]
	}
	return string(out)
}

// minBits is what a key must have by estimate. A SHA-256 of less could be turned back by someone with a stolen store and patience;
// 128 random bits in hexadecimal, base 32, 58, 62 or 64 pass with a probability that the tests bound.
const minBits = 90

func guessable(s string) bool { return estimateBits(s) < minBits }

// estimateBits estimates from one string how many random bits went into it, generously: what it calls weak is weak, what it calls
// strong may still have been made from words that it does not know. It counts the characters that could not be foretold: by a run
// (aaa, abc, 321), by three characters that stood in the string before, by equal steps through an alphabet (acegi) or by a walk
// over neighbouring keys (qwertyu, 1qaz2wsx); and where the two halves of a string that was shuffled together or doubled (0f1e2d, AaBbCc)
// are foretold better by more than four characters, it counts those and four. Each character gets the bits of the kinds of characters
// in the string, or of twice as many different characters as there are, whichever is less. The usual hashes of a few words that people
// try their programs with have no bits at all. It looks at 256 characters at most.
func estimateBits(s string) float64 {
	if len(s) > maxForeign {
		s = s[:maxForeign]
	}
	if knownHashes()[strings.ToLower(s)] {
		return 0
	}
	var seen [256]bool
	var lower, upper, digit, hex, other, distinct int
	for i := range len(s) {
		c := s[i]
		if !seen[c] {
			seen[c] = true
			distinct++
		}
		switch {
		case c >= 'a' && c <= 'f', c >= 'A' && c <= 'F':
			hex = 1
			fallthrough
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z':
			if c >= 'a' {
				lower = 1
			} else {
				upper = 1
			}
			if c|0x20 > 'f' {
				other |= 2
			}
		case c >= '0' && c <= '9':
			digit = 1
		case c != '-' && c != '_':
			other |= 1
		}
	}
	kinds := 10*digit + 26*lower + 26*upper + 20*(other&1)
	if other == 0 && hex == 1 {
		kinds = 16
	}
	if kinds = min(kinds, 2*distinct); kinds < 2 {
		return 0
	}
	var even, odd []byte
	for i := range len(s) {
		if i%2 == 0 {
			even = append(even, s[i])
		} else {
			odd = append(odd, s[i])
		}
	}
	// Of two ways to count one is better by chance; what four characters are worth is not chance.
	n := min(fresh(s), fresh(string(even)+string(odd))+4)
	return float64(n) * math.Log2(float64(kinds))
}

// fresh counts the characters of s that could not be foretold.
func fresh(s string) (n int) {
	for i := range len(s) {
		if !foretold(s, i) {
			n++
		}
	}
	return n
}

// foretold reports whether the character at i follows from those before.
func foretold(s string, i int) bool {
	if i < 2 {
		return false
	}
	a, b := int(s[i-1])-int(s[i-2]), int(s[i])-int(s[i-1])
	if a == b && a >= -1 && a <= 1 || strings.Contains(s[:i], s[i-2:i+1]) {
		return true
	}
	// What chance also does now and then is believed at the fifth and sixth character only: a random key would lose too much.
	return i >= 4 && stepping(s[i-4:i+1]) || i >= 5 && walking(s[i-5:i+1])
}

// alphabets are what people and programs step through. Steps wrap around.
var alphabets = [...]string{"0123456789", "abcdefghijklmnopqrstuvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789abcdef", alphabet,
	"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"}

// stepping reports whether the characters of w lie equally far apart in an alphabet.
func stepping(w string) bool {
search:
	for _, a := range alphabets {
		n, last, step := len(a), -1, -1
		for i := range len(w) {
			at := strings.IndexByte(a, w[i])
			if at < 0 {
				continue search
			}
			if d := (at - last + n) % n; i > 0 {
				if step >= 0 && d != step {
					continue search
				}
				step = d
			}
			last = at
		}
		return true
	}
	return false
}

// keyboard are the rows of a keyboard; a key touches the ones above it at its own place and the next.
var keyboard = [...]string{"1234567890", "qwertyuiop", "asdfghjkl;", "zxcvbnm,./"}

// keyAt finds a key by its column and row, for every character of ASCII; {-9, 0} for what has none.
var keyAt = sync.OnceValue(func() *[128][2]int {
	var at [128][2]int
	for c := range at {
		at[c] = [2]int{-9, 0}
	}
	for y, row := range keyboard {
		for x := range len(row) {
			c := row[x]
			at[c] = [2]int{x, y}
			if c >= 'a' && c <= 'z' {
				at[c-'a'+'A'] = [2]int{x, y}
			}
		}
	}
	return &at
})

// walking reports whether the characters of w are a walk over a keyboard, without changing case, which chance does: each key touches the
// one before, or begins the next column after one that was walked through.
func walking(w string) bool {
	if strings.ToLower(w) != w && strings.ToUpper(w) != w {
		return false
	}
	at := keyAt()
	for i := 1; i < len(w); i++ {
		if w[i-1] >= 128 || w[i] >= 128 {
			return false
		}
		p, q := at[w[i-1]], at[w[i]]
		x, y := q[0]-p[0], q[1]-p[1]
		switch {
		case p[0] < 0 || q[0] < 0 || x == 0 && y == 0:
			return false
		case y == 0 && (x == 1 || x == -1), y == 1 && (x == 0 || x == -1), y == -1 && (x == 0 || x == 1):
		case x == 1 && (y == -3 || y == 3): // from the foot of a column to the head of the next, or back
		case y == 1 && q[0] == 0 && p[0] >= 8: // from the end of a row to the head of the next
		default:
			return false
		}
	}
	return true
}

// knownHashes are MD5, SHA-1 and SHA-256 of what people try their programs with, in hexadecimal.
var knownHashes = sync.OnceValue(func() map[string]bool {
	known := make(map[string]bool)
	for _, word := range [...]string{"", "a", "admin", "changeme", "hello", "key", "password", "secret", "test", "123456", "12345678", "123456789"} {
		for _, text := range [...]string{word, word + "\n"} { // as echo gives it
			for _, h := range [...]hash.Hash{md5.New(), sha1.New(), sha256.New()} {
				io.WriteString(h, text)
				known[hex.EncodeToString(h.Sum(nil))] = true
			}
		}
	}
	return known
})

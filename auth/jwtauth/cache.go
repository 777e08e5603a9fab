package jwtauth

import (
	"crypto/sha256"
	"encoding/binary"
	"sync/atomic"
	"time"

	"github.com/mantlet-go/mantlet/auth"
)

// entry is what is known of a good token. It is immutable.
type entry struct {
	sum       [sha256.Size]byte // of the whole token; never a part of it
	key       *key
	from      time.Time // the token is good in [from, until), leeway included
	until     time.Time
	issued    time.Time // zero for none
	id        string    // jti
	principal auth.Principal
}

// good reports whether e still holds at the time now: what may have changed since its signature was computed is asked again.
func (e *entry) good(now time.Time) bool {
	return e.key.good(now) && !now.Before(e.from) && now.Before(e.until)
}

// cache remembers verified tokens by their SHA-256, and no token. It belongs to one verifier, so that what one accepted is never
// what another asked about. Each digest has a bucket of four places; there is no lock and no clean-up, and it never grows. A
// token that finds its bucket full takes the place of a dead one, or else of one picked by its digest. Only tokens that verified
// get in: who can have those made may push others out, which costs them a signature.
type cache struct {
	buckets [][ways]atomic.Pointer[entry]
}

const ways = 4

// newCache returns a cache of at least size places.
func newCache(size int) *cache {
	n := 1
	for n*ways < size {
		n *= 2
	}
	return &cache{make([][ways]atomic.Pointer[entry], n)}
}

func (c *cache) bucket(sum *[sha256.Size]byte) *[ways]atomic.Pointer[entry] {
	return &c.buckets[binary.LittleEndian.Uint64(sum[:])&uint64(len(c.buckets)-1)]
}

// get returns what is known of the token with this digest, if it still holds at the time now. How long the comparison takes
// depends on the digest; that tells nothing about a token one does not have.
func (c *cache) get(sum *[sha256.Size]byte, now time.Time) *entry {
	b := c.bucket(sum)
	for i := range b {
		if e := b[i].Load(); e != nil && e.sum == *sum {
			if e.good(now) {
				return e
			}
			return nil // the long way knows what is wrong with it
		}
	}
	return nil
}

func (c *cache) put(e *entry, now time.Time) {
	b := c.bucket(&e.sum)
	place := int(e.sum[8] % ways)
	for i := range b {
		if old := b[i].Load(); old == nil || old.sum == e.sum || !old.good(now) {
			place = i
			break
		}
	}
	b[place].Store(e)
}

// digest is the SHA-256 of a token.
func digest(token string) [sha256.Size]byte { return sha256.Sum256(bytesOf(token)) }

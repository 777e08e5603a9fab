package introspect

import (
	"sync"
	"time"

	"github.com/mantlet-go/mantlet/auth/internal/clock"
)

// cache remembers answers, of a number that is fixed for ever.
type cache struct {
	max    int // entries of one shard
	shards []shard
}

type shard struct {
	mu      sync.Mutex
	entries map[digest]answer
}

func newCache(max int) cache {
	n := min(16, max)
	return cache{max: max / n, shards: make([]shard, n)}
}

// of picks the shard by the digest: whoever chooses tokens does not choose it.
func (c *cache) of(key digest) *shard { return &c.shards[int(key[0])%len(c.shards)] }

// get returns the answer about a token if it is fresh.
func (c *cache) get(key digest, now time.Time) (answer, bool) {
	s := c.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.entries[key]
	return a, ok && a.fresh(now)
}

// had reports whether there is an answer, however old.
func (c *cache) had(key digest) bool {
	s := c.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	_, ok := s.entries[key]
	return ok
}

// victims is how many entries are looked at when a shard is full, to find one that is not fresh any more, or the oldest.
const victims = 8

func (c *cache) put(key digest, a answer, now time.Time) {
	s := c.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries == nil {
		s.entries = map[digest]answer{}
	}
	if _, ok := s.entries[key]; !ok && len(s.entries) >= c.max {
		var first digest
		oldest, n := time.Duration(-1), 0
		for k, e := range s.entries { // Go begins at a random place
			if !e.fresh(now) {
				first = k
				break
			}
			if age := clock.Age(e.given, now); age > oldest {
				first, oldest = k, age
			}
			if n++; n == victims {
				break
			}
		}
		delete(s.entries, first)
	}
	s.entries[key] = a
}

// expire sees to it that an answer is not given again.
func (c *cache) expire(key digest) {
	s := c.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if a, ok := s.entries[key]; ok {
		a.ttl = 0
		s.entries[key] = a
	}
}

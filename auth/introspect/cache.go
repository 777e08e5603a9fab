package introspect

import (
	"sync"
	"time"
)

const shards = 16

// cache remembers answers, at most max. It never returns one that is too old.
type cache struct {
	max    int
	shards [shards]shard
}

type shard struct {
	mu      sync.Mutex
	entries map[digest]answer
}

// of picks the shard by the digest: whoever chooses tokens does not choose it.
func (c *cache) of(key digest) *shard { return &c.shards[key[0]%shards] }

func (c *cache) get(key digest, now time.Time) (answer, bool) {
	s := c.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.entries[key]
	return a, ok && now.Before(a.until)
}

// victims is how many entries are looked at when a shard is full, to find one that is over or soon will be.
const victims = 8

func (c *cache) put(key digest, a answer, now time.Time) {
	s := c.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.entries == nil {
		s.entries = map[digest]answer{}
	}
	if _, ok := s.entries[key]; !ok && len(s.entries) >= max(1, c.max/shards) {
		var first digest
		var until time.Time
		n := 0
		for k, e := range s.entries { // Go begins at a random place
			if n == 0 || e.until.Before(until) {
				first, until = k, e.until
			}
			if n++; n == victims || !now.Before(e.until) {
				break
			}
		}
		delete(s.entries, first)
	}
	s.entries[key] = a
}

func (c *cache) drop(key digest) {
	s := c.of(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, key)
}

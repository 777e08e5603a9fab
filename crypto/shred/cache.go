package shred

import (
	"sync"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
)

// cache keeps unwrapped keys, at most max of them, in two generations: when the young one is full it becomes the old one, and what
// nobody used since is forgotten.
type cache struct {
	max int

	mu         sync.Mutex
	epoch      uint64 // of shredding
	young, old map[Alias]unwrapped
}

type unwrapped struct {
	key   Fingerprint
	ring  *seal.Keyring
	asked time.Time // when the store was asked about it
}

// get returns what is known of a, the zero value for nothing, and the epoch for put.
func (c *cache) get(a Alias) (u unwrapped, epoch uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	u, ok := c.young[a]
	if !ok {
		u = c.old[a]
	}
	return u, c.epoch
}

// put keeps u, unless anybody was shredded since epoch: then what was read from the store may be from before, and
// would bring the key back.
func (c *cache) put(a Alias, u unwrapped, epoch uint64) {
	if c.max <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.epoch != epoch {
		return
	}
	delete(c.old, a)
	if _, there := c.young[a]; !there && len(c.young) >= max(1, c.max/2) {
		c.old, c.young = c.young, nil
		if c.max == 1 {
			c.old = nil
		}
	}
	if c.young == nil {
		c.young = make(map[Alias]unwrapped)
	}
	c.young[a] = u
}

// drop forgets the key of a.
func (c *cache) drop(a Alias) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.young, a)
	delete(c.old, a)
}

// bar forgets the key of a, and keeps out every key that was asked for before.
func (c *cache) bar(a Alias) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.epoch++
	delete(c.young, a)
	delete(c.old, a)
}

func (c *cache) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.young) + len(c.old)
}

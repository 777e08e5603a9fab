package pop

import (
	"context"
	"hash/maphash"
	"sync"
	"time"
)

const parts = 64

// memory is a ReplayStore of bounded size. A part is a client's: one that floods fills its own, not everybody's. Entries lie in two
// generations, each as long as a proof may live, so that an entry is dropped by dropping its generation and nobody need sweep.
type memory struct {
	seed  maphash.Seed
	life  time.Duration
	max   int // entries of one part
	parts [parts]part
}

type part struct {
	mu       sync.Mutex
	now, old map[[32]byte]struct{}
	turn     time.Time // when now becomes old
}

// newMemory returns a store for proofs whose time ends at most life after they are burned.
func newMemory(max int, life time.Duration) *memory {
	return &memory{seed: maphash.MakeSeed(), life: life, max: (max + parts - 1) / parts}
}

// Burn implements [ReplayStore].
func (m *memory) Burn(_ context.Context, key [32]byte, until time.Time) (bool, error) {
	now := time.Now()
	p := &m.parts[maphash.Bytes(m.seed, key[:16])%parts]
	p.mu.Lock()
	defer p.mu.Unlock()
	if !now.Before(p.turn) {
		if now.Before(p.turn.Add(m.life)) {
			p.old = p.now
		} else {
			p.old = nil
		}
		p.now, p.turn = make(map[[32]byte]struct{}), now.Add(m.life)
	}
	if _, ok := p.now[key]; ok {
		return false, nil
	}
	if _, ok := p.old[key]; ok {
		return false, nil
	}
	if len(p.now)+len(p.old) >= m.max {
		// Closed: forgetting one to make room would let it be used again.
		return false, errFull
	}
	p.now[key] = struct{}{}
	return true, nil
}

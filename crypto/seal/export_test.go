package seal

import "time"

// KeyOf returns the key of known bytes.
func KeyOf(secret [32]byte) Key { return newKey(&secret) }

// Binding returns what a box is bound to.
func Binding(c Context, version byte, id ID) []byte { return c.appendBinding(nil, version, id) }

// KeysHeld returns how many data keys an Envelope holds that were not overwritten.
func KeysHeld(e *Envelope) int {
	x := e.in()
	x.mu.Lock()
	defer x.mu.Unlock()
	keys := map[*dataKey]bool{}
	if x.current != nil {
		keys[x.current] = true
	}
	for _, e := range x.cache {
		keys[e.Value.(*dataKey)] = true
	}
	for k := range keys {
		if k.wiped() {
			delete(keys, k)
		}
	}
	return len(keys)
}

// Current returns the data key that seals, as a function that reports whether it was overwritten.
func Current(e *Envelope) (wiped func() bool) {
	x := e.in()
	x.mu.Lock()
	defer x.mu.Unlock()
	k := x.current
	return func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		return k.wiped()
	}
}

// StopSweep makes an Envelope keep keys whose time is over, as if its timer were late.
func StopSweep(e *Envelope) {
	x := e.in()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.sweep != nil {
		x.sweep.Stop()
	}
	x.sweepAt = time.Now() // earlier than any time that is yet to come
}

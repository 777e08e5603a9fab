package seal

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

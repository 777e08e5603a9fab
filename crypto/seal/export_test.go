package seal

// KeyOf returns the key of known bytes.
func KeyOf(secret [32]byte) Key { return newKey(&secret) }

// Binding returns what a box is bound to.
func Binding(c Context, version byte, id ID) []byte { return c.appendBinding(nil, version, id) }

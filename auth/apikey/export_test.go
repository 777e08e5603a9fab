package apikey

import "encoding/json"

// Shape gives tests the format of a manager's keys.
type Shape struct{ f format }

// NewShape returns the format for a prefix and an env.
func NewShape(prefix, env string) Shape { return Shape{newFormat(prefix, env)} }

// Format puts a key together.
func (s Shape) Format(keyID, secret string) string { return s.f.seal(s.f.head + keyID + "_" + secret) }

// Parse takes a key apart; ours is false for another prefix.
func (s Shape) Parse(key string) (keyID, secret string, ours, ok bool) {
	var k id
	switch s.f.parse(key, &k) {
	case wellFormed:
		body := key[len(s.f.head)+idLen+1:]
		return string(k[:]), body[:secretLen], true, true
	case malformed:
		return "", "", true, false
	}
	return "", "", false, false
}

// Sum is our CRC-32C.
func Sum(s string) uint32 { return checksum(s) }

// Digest is the hash of a well-formed key.
func (s Shape) Digest(key string) Digest { return s.f.digest(key) }

// Random draws n characters.
var Random = random

// EstimateBits is how many random bits went into a string, generously.
var EstimateBits = estimateBits

// Lengths and limits of the format.
const (
	IDLen     = idLen
	SecretLen = secretLen
	Alphabet  = alphabet
)

// Table is a table of keys that have nothing but an id.
type Table struct{ t *table }

// NewTable returns a table of these ids.
func NewTable(ids map[string]bool) Table {
	keys := make(map[id]*entry, len(ids))
	for s := range ids {
		d := new(detail)
		copy(d.id[:], s)
		keys[d.id] = &entry{detail: d}
	}
	return Table{newTable(keys)}
}

// Has reports whether the id is in the table.
func (t Table) Has(s string) bool {
	var k id
	copy(k[:], s)
	e := t.t.find(&k)
	return e.detail.id == k && e.detail != &nobody
}

// DecodeFile reads the content of a key file.
func DecodeFile(data []byte) ([]Record, error) {
	m, err := decode(data)
	return sorted(m), err
}

// EncodeFile writes it.
func EncodeFile(keys []Record) ([]byte, error) {
	return json.Marshal(fileFormat{Format: formatName, Version: formatVersion, Keys: keys})
}

// Judged reports whether it is known of an imported key, without looking at it again, if it could be guessed.
func (m *Manager) Judged(keyID string) bool {
	var k id
	copy(k[:], keyID)
	return m.keys.Load().known(k).detail.strength.Load() != strengthUnknown
}

// MaxLost bounds how many keys that the store lost are remembered.
const MaxLost = maxLost

// Lost returns how many are.
func (m *Manager) Lost() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.lost)
}

package jsonscan

import "math"

// Limits bounds one scan. A zero field means its default, a negative field switches the limit off. The defaults fit chat
// and embedding requests with generous room; a limit of n allows exactly n.
type Limits struct {
	// Bytes is the length of the whole text. Zero means 4 MiB.
	Bytes int
	// Depth is the number of containers that may be open at once. Zero means 64 (encoding/json stops at 10,000).
	Depth int
	// Keys is the number of members of one object. Zero means 256.
	Keys int
	// TotalKeys is the number of members of all objects together. Zero means 10,000.
	TotalKeys int
	// KeyLen is the length of a member name in bytes as written between its quotes. Zero means 256.
	KeyLen int
	// ArrayLen is the number of elements of one array. Zero means 10,000.
	ArrayLen int
	// StringLen is the length of a string value in bytes as written between its quotes. Zero means 256 KiB.
	StringLen int
	// Nodes is the number of values, containers included. Zero means 100,000.
	Nodes int
	// NumberLen is the length of a number in bytes. Zero means 64.
	NumberLen int
	// Exponent is the largest absolute value of a number's written exponent. Zero means 400: beyond every float64, far
	// below what makes exact arithmetic expensive.
	Exponent int
	// AllowDuplicateKeys accepts members with equal names in one object. Readers then disagree about which one counts.
	AllowDuplicateKeys bool
	// AllowFoldCollisions accepts sibling names that differ only by case. encoding/json takes either for the same field.
	AllowFoldCollisions bool
	// AllowInvalidText accepts lone surrogates and bytes that are not UTF-8 inside strings, which readers replace by U+FFFD
	// or refuse as they like. Meant for upstream replies: some servers cut text between the halves of a character, and an
	// event that is not scanned at all would be the greater harm.
	AllowInvalidText bool
}

// off stands for a limit that is switched off.
const off = math.MaxInt

// defaults are the limits of a nil or zero Limits.
var defaults = Limits{
	Bytes:     4 << 20,
	Depth:     64,
	Keys:      256,
	TotalKeys: 10_000,
	KeyLen:    256,
	ArrayLen:  10_000,
	StringLen: 256 << 10,
	Nodes:     100_000,
	NumberLen: 64,
	Exponent:  400,
}

// Resolved returns l with defaults in place of zeros and the largest int in place of negative fields. A nil l gives the
// defaults. It lets callers show or compare the limits in force; a resolved Limits scans exactly as l does.
func (l *Limits) Resolved() Limits {
	if l == nil {
		return defaults
	}
	r := *l
	pick(&r.Bytes, defaults.Bytes)
	pick(&r.Depth, defaults.Depth)
	pick(&r.Keys, defaults.Keys)
	pick(&r.TotalKeys, defaults.TotalKeys)
	pick(&r.KeyLen, defaults.KeyLen)
	pick(&r.ArrayLen, defaults.ArrayLen)
	pick(&r.StringLen, defaults.StringLen)
	pick(&r.Nodes, defaults.Nodes)
	pick(&r.NumberLen, defaults.NumberLen)
	pick(&r.Exponent, defaults.Exponent)
	return r
}

func pick(v *int, def int) {
	switch {
	case *v == 0:
		*v = def
	case *v < 0:
		*v = off
	}
}

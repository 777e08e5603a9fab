package sanitize

import (
	"slices"

	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// leaves finds the strings of a reply that its dialect does not know as text: members that vendors add, and ids. A filter that
// looked only where text is expected would be blind to everything new.
type leaves struct {
	known []dialect.Text // in document order
	found []dialect.Text
	next  int
}

// find returns the strings of data that are not among known. The slice is valid until the next call.
func (l *leaves) find(data []byte, known []dialect.Text) []dialect.Text {
	l.known, l.found, l.next = known, l.found[:0], 0
	if !slices.IsSortedFunc(known, byStart) {
		l.known = slices.SortedFunc(slices.Values(known), byStart)
	}
	if jsonscan.Scan(data, &checkLimits, l) != nil {
		return nil // "[DONE]" and the like: no strings
	}
	l.known = nil
	return l.found
}

func byStart(a, b dialect.Text) int { return a.Start - b.Start }

// Visit implements [jsonscan.Visitor].
func (l *leaves) Visit(p *jsonscan.Path, k jsonscan.Kind, start, end int) error {
	// Nothing this module finds is shorter than six bytes.
	if k != jsonscan.String || end-start < 2+minLeaf {
		return nil
	}
	for l.next < len(l.known) && l.known[l.next].Start < start+1 {
		l.next++
	}
	if l.next < len(l.known) && l.known[l.next].Start == start+1 {
		return nil
	}
	l.found = append(l.found, dialect.Text{Start: start + 1, End: end - 1, Role: dialect.RoleAssistant, Whole: true})
	return nil
}

// minLeaf is the least length of such a string that is looked at: a@b.cc.
const minLeaf = 6

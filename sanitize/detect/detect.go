package detect

import (
	"errors"
	"fmt"
	"math/bits"
)

// Kinds of findings the detectors of this module report.
const (
	// KindSecret is a credential: an API key or an access token.
	KindSecret = "secret"
	// KindEmail is an e-mail address.
	KindEmail = "email"
	// KindCard is a payment card number that passes its checksum.
	KindCard = "card"
)

// Context is how many bytes before the start of a finding a detector may look at to decide it. A stream keeps that many
// bytes it has already released.
const Context = 16

// Finding is one span of a text. It never holds the matched text, so it can be logged.
type Finding struct {
	// Kind groups findings for policy, e.g. "email". Lower case, stable.
	Kind string
	// Rule names what matched within the kind, e.g. "github". For the operator, not for the client.
	Rule string
	// Start and End are byte offsets into the scanned text, End exclusive.
	Start, End int
	// Score is the detector's confidence between 0 and 1; rules with a checksum or a unique prefix say 1.
	Score float64
}

// Detector finds spans of one sort in a text.
//
// Scan must be a pure function and local: whether and how far a finding begins at offset i may depend only on the [Context]
// bytes before i and the MaxSpan bytes from i on, never on other findings. Locality is what makes a streamed text and a
// whole text give the same findings. Scan may be called from several goroutines at once.
type Detector interface {
	// Name returns a stable name for configuration errors and logs.
	Name() string
	// MaxSpan returns the longest finding in bytes, counting the bytes after it that Scan looks at. 0 means that only a
	// whole text can be scanned; such a detector is refused for streams.
	MaxSpan() int
	// Scan reports every finding in text, in any order.
	Scan(text []byte, report func(Finding))
}

// Streamer is a [Detector] that knows which tail of an unfinished text is undecided. A detector that is not one costs a
// hold-back of MaxSpan bytes in a stream.
type Streamer interface {
	Detector
	// Live returns the smallest offset >= from at which a finding may still begin, grow or be confirmed if more bytes
	// follow text; len(text) when there is none.
	Live(text []byte, from int) int
}

// anchored is what the built-in detectors are: every finding begins with one of a known set of byte pairs.
type anchored interface {
	Detector
	// pairs calls mark for every pair of bytes a finding can begin with.
	pairs(mark func(a, b byte))
	// at decides the finding at i. more means that bytes beyond len(text) are needed and final is false.
	at(text []byte, i int, final bool) (f Finding, ok, more bool)
}

// Set runs several detectors over a text. It is immutable and safe for concurrent use. The zero Set finds nothing.
type Set struct {
	anchored []anchored
	email    *email
	other    []Detector
	table    *[1 << 16]uint8 // byte pair -> bit per anchored detector
	first    [256]uint8      // the same for the last byte of an unfinished text
	maxSpan  int
	whole    []string
}

// maxAnchored is the number of bits in a table entry.
const maxAnchored = 8

// NewSet compiles detectors into a Set. It reports nil detectors and unusable MaxSpans.
func NewSet(detectors ...Detector) (*Set, error) {
	s := new(Set)
	var errs []error
	for i, d := range detectors {
		if d == nil {
			errs = append(errs, fmt.Errorf("detect: detector %d is nil", i))
			continue
		}
		if f, ok := d.(faulty); ok {
			errs = append(errs, f.err)
			continue
		}
		span := d.MaxSpan()
		switch {
		case span < 0:
			errs = append(errs, fmt.Errorf("detect: detector %q: MaxSpan %d is negative", d.Name(), span))
		case span == 0:
			s.whole = append(s.whole, d.Name())
		}
		s.maxSpan = max(s.maxSpan, span)
		if e, ok := d.(*email); ok && s.email == nil {
			s.email = e
			continue
		}
		if a, ok := d.(anchored); ok && len(s.anchored) < maxAnchored {
			if s.table == nil {
				s.table = new([1 << 16]uint8)
			}
			bit := uint8(1) << len(s.anchored)
			a.pairs(func(x, y byte) {
				s.table[int(x)<<8|int(y)] |= bit
				s.first[x] |= bit
			})
			s.anchored = append(s.anchored, a)
			continue
		}
		s.other = append(s.other, d)
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return s, nil
}

// MaxSpan returns the largest MaxSpan of the set's detectors: the hard bound of what a stream holds back.
func (s *Set) MaxSpan() int { return s.maxSpan }

// WholeOnly returns the names of the detectors that cannot run on streams (MaxSpan 0).
func (s *Set) WholeOnly() []string { return s.whole }

// Scan reports the findings of text that begin at or after from, in no particular order; text[:from] serves as context only.
//
// With final true the text is complete and Scan returns len(text). Otherwise it returns the live offset: findings that begin
// before it are as they would be in any longer text, and no further ones will begin there. Findings at or after it may be
// reported too and must be ignored; they come again once they are decided.
func (s *Set) Scan(text []byte, from int, final bool, report func(Finding)) (live int) {
	live = len(text)
	if from >= len(text) {
		return live
	}
	if s.table != nil {
		live = min(live, s.scanAnchored(text, from, final, report))
	}
	if s.email != nil {
		s.email.scan(text, from, final, report)
		if !final {
			live = min(live, s.email.Live(text, from))
		}
	}
	for _, d := range s.other {
		live = min(live, scanOther(d, text, from, final, report))
	}
	return live
}

// scanOther is apart so that its closure is only built for sets that have such detectors.
func scanOther(d Detector, text []byte, from int, final bool, report func(Finding)) (live int) {
	d.Scan(text, func(f Finding) {
		if f.Start >= from && f.End > f.Start && f.End <= len(text) {
			report(f)
		}
	})
	if final {
		return len(text)
	}
	if l, ok := d.(Streamer); ok {
		return max(from, l.Live(text, from))
	}
	if d.MaxSpan() == 0 {
		return from // decided by the whole text only
	}
	// Without a Live method nothing is known about the tail: hold what a finding may span.
	return max(from, len(text)-d.MaxSpan())
}

func (s *Set) scanAnchored(text []byte, from int, final bool, report func(Finding)) int {
	table := s.table
	prev := text[from]
	for k, c := range text[from+1:] {
		m := table[uint16(prev)<<8|uint16(c)]
		prev = c
		if m == 0 {
			continue
		}
		// Every anchored rule begins a word, and most pairs stand inside one: refused here when no escape can be before them.
		i := from + k
		if i >= 6 && word[text[i-1]] && text[i-2] != '\\' && text[i-3] != '%' && text[i-6] != '\\' {
			continue
		}
		if s.verify(text, i, m, final, report) {
			return i
		}
	}
	// No rule is one byte long, but the last byte of an unfinished text may be the first of a match.
	if last := len(text) - 1; !final && s.first[text[last]] != 0 && s.verify(text, last, s.first[text[last]], final, report) {
		return last
	}
	return len(text)
}

// verify asks the detectors in m about offset i and reports whether one of them needs more text.
func (s *Set) verify(text []byte, i int, m uint8, final bool, report func(Finding)) bool {
	for ; m != 0; m &= m - 1 {
		a := s.anchored[bits.TrailingZeros8(m)]
		f, ok, more := a.at(text, i, final)
		if more {
			return true
		}
		if ok {
			report(f)
		}
	}
	return false
}

// scanAlone is Scan for one anchored detector outside a Set.
func scanAlone(a anchored, set func() *Set, text []byte, report func(Finding)) {
	set().Scan(text, 0, true, report)
}

// liveAlone is Live for one anchored detector outside a Set.
func liveAlone(set func() *Set, text []byte, from int) int {
	return set().Scan(text, from, false, func(Finding) {})
}

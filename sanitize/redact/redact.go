package redact

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/mantlet-go/mantlet/sanitize/detect"
)

// Config says what is found and what takes its place. The zero Config replaces provider keys, e-mail addresses and card
// numbers.
type Config struct {
	// Detectors find the spans. Nil means detect.ProviderKeys, detect.Email and detect.Card; empty and not nil means none.
	Detectors []detect.Detector
	// Replacement is the text that takes the place of a kind. A kind without one gets "[REDACTED:kind]". It must be printable
	// ASCII without quotes and backslashes, so that it can stand inside JSON inside JSON, and at most 64 bytes.
	Replacement map[string]string
	// Keep tells which kinds of findings are reported and left in the text. Nil keeps none. It is called from every goroutine
	// that redacts and must always give the same answer.
	Keep func(kind string) bool
	// WholeText accepts detectors that can only see a whole text (MaxSpan 0). A stream then releases nothing before Flush.
	// False refuses them.
	WholeText bool
}

// Redactor replaces findings. It is immutable and safe for concurrent use. The zero Redactor was told nothing
// about what to look for and lets no text through; use [New].
type Redactor struct {
	set   *detect.Set
	marks map[string]string
	keep  func(kind string) bool
}

// New checks cfg and compiles it. All faults are reported together.
func New(cfg Config) (*Redactor, error) {
	detectors := cfg.Detectors
	if detectors == nil {
		detectors = []detect.Detector{detect.ProviderKeys(), detect.Email(), detect.Card()}
	}
	var errs []error
	set, err := detect.NewSet(detectors...)
	if err != nil {
		errs = append(errs, fmt.Errorf("redact: Detectors: %w", err))
	} else if whole := set.WholeOnly(); len(whole) > 0 && !cfg.WholeText {
		errs = append(errs, fmt.Errorf("redact: Detectors: %s need the whole text and cannot run on a stream", strings.Join(whole, ", ")))
	}
	for _, kind := range slices.Sorted(maps.Keys(cfg.Replacement)) {
		if m := cfg.Replacement[kind]; len(m) > 64 || strings.ContainsFunc(m, func(r rune) bool {
			return r < ' ' || r > '~' || r == '"' || r == '\\' || r == '\'' || r == '`'
		}) {
			errs = append(errs, fmt.Errorf("redact: Replacement[%q]: %q must be at most 64 bytes of printable ASCII without quotes "+
				"and backslashes", kind, m))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &Redactor{set: set, marks: maps.Clone(cfg.Replacement), keep: cfg.Keep}, nil
}

// appendMark appends the replacement of a kind. Kinds come from detectors, which may be anybody's: what could break out of a
// JSON string is left out.
func (r *Redactor) appendMark(dst []byte, kind string) []byte {
	if m, ok := r.marks[kind]; ok {
		return append(dst, m...)
	}
	dst = append(dst, "[REDACTED:"...)
	for i := range min(len(kind), 32) {
		if c := kind[i]; c == '_' || c == '-' || c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' {
			dst = append(dst, c)
		}
	}
	return append(dst, ']')
}

// MaxSpan returns the most bytes a [Stream] holds back.
func (r *Redactor) MaxSpan() int {
	if r == nil || r.set == nil {
		return 0
	}
	return r.set.MaxSpan()
}

// Scan appends the findings of text to dst, in order of appearance. It allocates nothing when there are none.
func (r *Redactor) Scan(dst []detect.Finding, text []byte) []detect.Finding {
	if r == nil || r.set == nil {
		return dst
	}
	c := collectors.Get().(*collector)
	c.found = c.found[:0]
	r.set.Scan(text, 0, true, c.report)
	c.sort()
	dst = append(dst, c.found...)
	collectors.Put(c)
	return dst
}

// Redact appends text to dst with every finding replaced, and returns the findings in order of appearance (offsets in text),
// those of kept kinds included.
func (r *Redactor) Redact(dst, text []byte) ([]byte, []detect.Finding) {
	return r.redact(dst, text, false)
}

// RedactJSON is [Redactor.Redact] for a text that is JSON itself, such as a tool call's arguments: a replacement that does not
// stand in a string (a card number written as a JSON number) gets quotes, so that the text stays JSON.
func (r *Redactor) RedactJSON(dst, text []byte) ([]byte, []detect.Finding) {
	return r.redact(dst, text, true)
}

func (r *Redactor) redact(dst, text []byte, json bool) ([]byte, []detect.Finding) {
	if r == nil || r.set == nil {
		return dst, nil // never configured: closed
	}
	found := r.Scan(nil, text)
	s := splicer{r: r, covered: -1, json: json}
	return s.splice(dst, text, 0, len(text), found), found
}

// Replacement is one span of a text and what takes its place.
type Replacement struct {
	Start, End int
	With       []byte
}

// Replacements appends to dst what [Redactor.Redact] (or, with json, [Redactor.RedactJSON]) does to text for the given findings,
// which must be in the order of [Redactor.Scan]. It is for callers that edit another encoding of text.
func (r *Redactor) Replacements(dst []Replacement, text []byte, found []detect.Finding, json bool) []Replacement {
	s := splicer{r: r, covered: -1, json: json}
	p := 0
	for _, f := range found {
		switch {
		case r.keep != nil && r.keep(f.Kind):
		case f.Start <= s.covered:
			s.covered = max(s.covered, f.End)
			dst[len(dst)-1].End = s.covered
		default:
			s.lex(text[p:f.Start])
			p, s.covered = f.Start, f.End
			dst = append(dst, Replacement{Start: f.Start, End: f.End, With: s.mark(nil, f.Kind)})
		}
	}
	return dst
}

// collector gathers the findings of one scan. The report function is made once, so that a scan allocates no closure.
type collector struct {
	found  []detect.Finding
	report func(detect.Finding)
}

func newCollector() *collector {
	c := new(collector)
	c.report = func(f detect.Finding) { c.found = append(c.found, f) }
	return c
}

var collectors = sync.Pool{New: func() any { return newCollector() }}

// sort puts findings in order: by start, the longer first, then by name so that equal spans have one order.
func (c *collector) sort() {
	if len(c.found) > 1 {
		slices.SortStableFunc(c.found, func(a, b detect.Finding) int {
			return cmp.Or(a.Start-b.Start, b.End-a.End, cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Rule, b.Rule))
		})
	}
}

// splicer writes a text with findings replaced. It is the one place where spans are merged, for whole texts and streams.
type splicer struct {
	r *Redactor
	// covered is the end of the last replaced span; -1 before the first.
	covered  int
	replaced bool
	json     bool
	// inString and escaped follow the JSON that the text is.
	inString, escaped bool
}

// splice appends text[from:to] to dst. found holds the findings that begin there, in order; they may end after to, and spans of
// earlier calls may reach into it.
func (s *splicer) splice(dst, text []byte, from, to int, found []detect.Finding) []byte {
	p := from
	for _, f := range found {
		if s.r.keep != nil && s.r.keep(f.Kind) {
			continue
		}
		if f.Start <= s.covered {
			s.covered = max(s.covered, f.End)
			continue
		}
		if a := max(p, min(s.covered, f.Start)); a < f.Start {
			dst = append(dst, text[a:f.Start]...)
		}
		s.lex(text[p:f.Start])
		p = f.Start
		s.covered, s.replaced = f.End, true
		dst = s.mark(dst, f.Kind)
	}
	s.lex(text[p:to])
	if a := max(p, s.covered); a < to {
		dst = append(dst, text[a:to]...)
	}
	return dst
}

// mark appends a replacement, with quotes where JSON text has none around it.
func (s *splicer) mark(dst []byte, kind string) []byte {
	if s.json && !s.inString {
		return append(s.r.appendMark(append(dst, '"'), kind), '"')
	}
	return s.r.appendMark(dst, kind)
}

// lex follows quotes, over replaced text too.
func (s *splicer) lex(text []byte) {
	if !s.json {
		return
	}
	for _, c := range text {
		switch {
		case s.escaped:
			s.escaped = false
		case s.inString && c == '\\':
			s.escaped = true
		case c == '"':
			s.inString = !s.inString
		}
	}
}

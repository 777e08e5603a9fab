package validate

import (
	"errors"
	"strconv"
	"sync"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/jsonscan"
	"github.com/mantlet-go/mantlet/validate/internal/schema"
)

// pass is the visitor of the one scan with a schema: the program, or the notes for an engine's tree, and then the facts that
// other packages need.
type pass struct {
	machine schema.Machine
	tape    tape
	facts   *dialect.Request // nil when nobody asks
	program bool
}

var passes = sync.Pool{New: func() any { return new(pass) }}

func newPass(c *compiled, lim *jsonscan.Limits, facts *dialect.Request) *pass {
	p := passes.Get().(*pass)
	p.facts = facts
	if p.program = c.program != nil; p.program {
		p.machine.Start(c.program, !lim.AllowFoldCollisions, !lim.AllowDuplicateKeys)
	} else {
		p.tape.reset()
	}
	return p
}

// release gives the pass back. One that met a giant is left to the collector.
func (p *pass) release() {
	p.facts = nil
	if p.machine.Small() && p.tape.small() {
		passes.Put(p)
	}
}

// visitor returns what the scan tells: p, or the machine alone when nobody else wants to hear.
func (p *pass) visitor() jsonscan.Visitor {
	if p.program && p.facts == nil {
		return &p.machine
	}
	return p
}

// Failure returns why the program ended the scan.
func (p *pass) Failure() schema.Failure { return p.machine.Failure() }

// Visit implements jsonscan.Visitor.
func (p *pass) Visit(path *jsonscan.Path, k jsonscan.Kind, start, end int) error {
	if p.program {
		if err := p.machine.Visit(path, k, start, end); err != nil {
			return err
		}
	} else {
		p.tape.note(path, k, start, end)
	}
	if p.facts != nil {
		return p.facts.Visit(path, k, start, end)
	}
	return nil
}

// departs turns a failure of the program into a refusal.
func (p *policy) departs(body []byte, f schema.Failure) *Error {
	e := refuse(deny.SchemaViolation)
	e.Keyword, e.Message = f.Keyword, sentence(f.Keyword, deny.SchemaViolation)
	if s, ok := formatSentences[f.Format()]; ok {
		e.Message = s
	}
	e.Pointer = p.schema.vocab.pointerTo(body, f.At)
	switch {
	case f.Missing() != "":
		e.Pointer += "/" + p.schema.vocab.show(f.Missing())
	case f.NameEnd > 0:
		name := string(jsonscan.AppendUnquoted(nil, body[f.NameStart:f.NameEnd]))
		if f.Keyword == "case" || f.Keyword == "propertyNames" {
			e.Pointer += "/" + p.schema.vocab.show(name)
		}
		e.cause = strangeMember(name)
	}
	return e
}

// errFound ends the search for a place.
var errFound = errors.New("validate: found")

// pointerTo returns the masked pointer to the value that begins at offset at. This happens on a refusal only: instead of
// keeping the path of everything that may turn out to be wrong, the text is read once more up to there.
func (v *vocabulary) pointerTo(body []byte, at int) string {
	s := seeker{vocab: v, at: at}
	jsonscan.Scan(body, &unlimited, &s)
	return string(s.pointer)
}

// unlimited lets everything pass that was accepted before.
var unlimited = jsonscan.Limits{Bytes: -1, Depth: -1, Keys: -1, TotalKeys: -1, KeyLen: -1, ArrayLen: -1, StringLen: -1, Nodes: -1,
	NumberLen: -1, Exponent: -1, AllowDuplicateKeys: true, AllowFoldCollisions: true}

type seeker struct {
	vocab   *vocabulary
	at      int
	pointer []byte
}

// Visit implements jsonscan.Visitor.
func (s *seeker) Visit(p *jsonscan.Path, k jsonscan.Kind, start, _ int) error {
	if start != s.at {
		return nil
	}
	for level := range p.Depth() {
		s.pointer = append(s.pointer, '/')
		if raw, ok := p.Key(level); ok {
			s.pointer = append(s.pointer, s.vocab.show(string(jsonscan.AppendUnquoted(nil, raw)))...)
		} else if i, ok := p.Index(level); ok {
			s.pointer = strconv.AppendInt(s.pointer, int64(i), 10)
		}
	}
	return errFound
}

package sanitize

import (
	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// ending tells which channels an event ends. Choices of one reply end one by one, so ending them all at the first finish reason
// would decide live matches of the others too early.
type ending struct {
	indices []uint32 // of choices (chat, completions) or blocks (Anthropic)
	dialect dialect.Dialect
	index   uint32 // of the element that is being scanned
	element int
	ended   bool
}

func nothing(*channel) bool { return false }

// find returns the test for the channels that end with an event. held says whether it matters.
func (e *ending) find(d dialect.Dialect, facts *dialect.Response, payload []byte, held bool) func(*channel) bool {
	if facts.Terminal || d == dialect.Anthropic && facts.Finish != nil {
		return everything
	}
	switch d {
	case dialect.OpenAIChat, dialect.OpenAICompletions:
		if facts.Finish == nil {
			return nothing
		}
	case dialect.Anthropic:
		if !held || len(facts.Texts) > 0 {
			return nothing
		}
	default:
		return nothing // Responses repeats complete texts; Ollama and unknown streams end at the end
	}
	*e = ending{dialect: d, indices: e.indices[:0], element: -1}
	if jsonscan.Scan(payload, &checkLimits, e) != nil {
		return nothing
	}
	e.close()
	return e.test
}

func everything(*channel) bool { return true }

// test looks at the parts of a channel's number: choice or output item, then block, then field.
func (e *ending) test(c *channel) bool {
	n := c.t.Channel >> 20
	if e.dialect == dialect.Anthropic {
		n = c.t.Channel >> 8 & 0xfff
	}
	for _, i := range e.indices {
		if i == n {
			return true
		}
	}
	return false
}

func (e *ending) close() {
	if e.ended {
		e.indices = append(e.indices, e.index)
	}
	e.index, e.ended = 0, false
}

// Visit implements [jsonscan.Visitor].
func (e *ending) Visit(p *jsonscan.Path, k jsonscan.Kind, start, end int) error {
	v := p.Data()[start:end]
	if e.dialect == dialect.Anthropic {
		switch {
		case p.Is("type"):
			e.ended = k == jsonscan.String && string(v) == `"content_block_stop"`
		case p.Is("index"):
			if n, ok := jsonscan.Int(v); ok {
				e.index = uint32(min(max(n, 0), 0xfff))
			}
		}
		return nil
	}
	if i, ok := p.Index(1); ok && i != e.element {
		e.close()
		// The position stands in for a missing index, as it does in the channel's number.
		e.element, e.index = i, uint32(min(i, 0xfff))
	}
	switch {
	case p.Is("choices", "*", "finish_reason"):
		e.ended = e.ended || k == jsonscan.String
	case p.Is("choices", "*", "index"):
		if n, ok := jsonscan.Int(v); ok {
			e.index = uint32(min(max(n, 0), 0xfff))
		}
	}
	return nil
}

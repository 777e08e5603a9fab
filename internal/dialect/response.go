package dialect

import (
	"bytes"
	"slices"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// Response is what a reply, or one event of a streamed reply, says. Reset it, then Scan; both reuse its memory without
// allocation. All byte slices point into the scanned data. It is not safe for concurrent use.
type Response struct {
	// Dialect is the shape the data was read as.
	Dialect Dialect
	// Model and ID are raw string contents, nil if absent.
	Model, ID []byte
	// Usage is what the data reports; an event's figures may be partial, see Usage.Merge.
	Usage Usage
	// Finish is the raw finish or stop reason of the last choice that has one, nil if none has.
	Finish []byte
	// HasContent says that there is text for the reader: prose, reasoning, refusal or tool arguments, not empty.
	HasContent bool
	// Terminal says that the stream ends with this event: "[DONE]", message_stop, response.completed and its kin, done:true.
	Terminal bool
	// Error says that the data reports an error of the upstream.
	Error bool
	// Texts are the strings a reader will see, in document order.
	Texts []Text
	// Rest are the strings of a known dialect's data that it does not know as text: members that vendors add, ids. In document
	// order; all are Copy, and Whole when they are a Label or stand where nothing comes in pieces. An Unknown reply has none.
	Rest []Text
	// Repeats are whole values, not strings, that repeat text in a form that cannot be rewritten: the bytes arrays of log
	// probabilities, the legacy top_logprobs, whose member names are tokens, and arrays of token numbers (Ollama's context,
	// token_ids of vLLM, tokens of llama.cpp). Whoever rewrites a text puts null in their place. Strings of Rest may stand in them.
	Repeats []Span

	w       walker
	groups  []group
	hashes  []uint32 // of the open containers' paths
	labels  int      // depth of the container below which nothing is a piece of text, 0 for none
	tokens  int      // depth of llama.cpp's completion_probabilities in an unknown body, 0 for none
	repeat  int      // depth of the open repeat, 0 for none
	texts   int      // len(Texts) when it opened
	choices []choice
	counts  counts
	env     envelope
}

// group is an open container that gives the texts in it their channel and kind.
type group struct {
	from, rest int // first text, and first of Rest
	// index and block are the parts of the channel, see channel.
	index, block uint32
	typ          []byte
	whole        bool
	message      bool // a whole chat message, which some servers stream in place of a delta
	finished     bool
}

// choice is what one event says about one choice (chat, completions).
type choice struct {
	index    uint32
	finished bool
}

// counts are the usage figures as written.
type counts struct {
	input, output, cached int64
	created, read         int64 // Anthropic's cache figures, which its input_tokens leaves out
	prompt                bool  // input came as prompt_tokens, which is always the sum
}

// envelope are the members around the text that a closing or inserted event repeats; raw, nil or empty if absent.
type envelope struct {
	typ, object, created, itemID, seq []byte
	index, block                      uint32
	// response is the response object of a Responses event; the others are values inside it.
	response, status, incomplete, usage Span
	// usageMember says that there was a usage member, even null; generate that Ollama answers generate, not chat.
	usageMember, generate bool
}

// replyLimits bound replies. Upstreams mean well but are not small: embeddings and log probabilities are numbers by the
// thousand. Duplicate and case-variant names pass, each occurrence being reported as a text, and so does text that was cut
// between the halves of a character: an event that cannot be scanned would leave unseen.
var replyLimits = jsonscan.Limits{
	Bytes: 64 << 20, Depth: 128, Keys: -1, TotalKeys: -1, KeyLen: 64 << 10, ArrayLen: -1, StringLen: -1, Nodes: 32 << 20,
	NumberLen: 1024, Exponent: 100_000, AllowDuplicateKeys: true, AllowFoldCollisions: true, AllowInvalidText: true,
}

// Reset empties p for data of dialect d and keeps its memory.
func (p *Response) Reset(d Dialect) {
	p.Dialect = d
	p.Model, p.ID, p.Finish = nil, nil, nil
	p.Usage = Usage{}
	p.HasContent, p.Terminal, p.Error = false, false, false
	p.Texts = p.Texts[:0]
	p.Rest = p.Rest[:0]
	p.Repeats = p.Repeats[:0]
	p.labels, p.tokens, p.repeat = 0, 0, 0
	p.w.stack = p.w.stack[:0]
	p.groups = p.groups[:0]
	p.hashes = p.hashes[:0]
	p.choices = p.choices[:0]
	p.counts = counts{}
	p.env = envelope{}
}

// Scan resets p and reads data: a whole reply, or the data of one event. "[DONE]" is Terminal and no error. Any other text that
// is not JSON is a *jsonscan.Error, and p is then empty: what was seen before the fault must not be acted on.
func (p *Response) Scan(data []byte) error {
	p.Reset(p.Dialect)
	if len(data) < 64 && string(bytes.TrimSpace(data)) == "[DONE]" {
		p.Terminal = true
		return nil
	}
	if err := jsonscan.Scan(data, &replyLimits, p); err != nil {
		p.Reset(p.Dialect)
		return err
	}
	p.finish()
	return nil
}

// absurd is the token count from which on a figure is taken for garbage.
const absurd = 1_000_000_000_000

// finish sums up the usage.
func (p *Response) finish() {
	if !p.Usage.Known {
		return
	}
	c := &p.counts
	p.Usage.Input, p.Usage.Output, p.Usage.CachedInput = c.input, c.output, c.cached
	if !c.prompt && (p.Dialect == Anthropic || p.Dialect == Unknown) {
		p.Usage.Input += c.created + c.read
	}
	if p.Usage.CachedInput == 0 {
		p.Usage.CachedInput = c.read
	}
}

// A channel is three numbers in one: choice, output item (12 bits); block, content part or tool call (12 bits); field (8 bits).
func channel(index, block uint32, f field) uint32 {
	return min(index, 0xfff)<<20 | min(block, 0xfff)<<8 | uint32(f)
}

// field is the last part of a channel: which member the text stands in.
type field uint8

const (
	fieldNone field = iota
	fieldContent
	fieldPart
	fieldPartThinking
	fieldReasoningContent
	fieldReasoning
	fieldDetails
	fieldRefusal
	fieldCallArguments
	fieldCallInput
	fieldFunctionCall
	fieldTranscript
	fieldText // completions; Anthropic text; part of a Responses item whose type is not known
	fieldToken
	fieldThinking
	fieldJSON
	fieldNested
	fieldGenerate
	fieldError
	fieldOutputText
	fieldReasoningText
	fieldSummaryText
	fieldItemArguments
	fieldMCPArguments
	fieldItemInput
	fieldItemOutput
	fieldCode
)

// Visit implements jsonscan.Visitor for Scan, which also resets p before and sums up after. It never returns an error.
func (p *Response) Visit(at *jsonscan.Path, k jsonscan.Kind, start, end int) error {
	switch k {
	case jsonscan.ObjectEnd, jsonscan.ArrayEnd:
		if n := len(p.w.stack) - 1; n >= 0 {
			top := p.w.stack[n]
			p.w.stack = p.w.stack[:n]
			if top >= firstClosing {
				p.close(top, end)
			}
			p.hashes = p.hashes[:n]
			p.leave(n + 1)
		}
		return nil
	}
	depth := at.Depth()
	slot := rUnknown
	if depth == 0 {
		slot = p.root()
	} else {
		slot = p.w.slot(at, replyMember, replyElem)
	}
	if p.Dialect == Unknown && slot <= ignored {
		slot = rAny // a string among usage figures, say: nothing hides in an unknown body
	}
	switch k {
	case jsonscan.ObjectStart, jsonscan.ArrayStart:
		if p.Dialect == Unknown {
			p.Error = p.Error || slot == rError
			if slot != rUnknown && slot != rUsage && slot != rUsageDetails {
				slot = p.enterUnknown(at, depth, k)
			}
		} else if p.labels == 0 && (slot == ignored || slot == rUsage || slot == rInnerUsage) {
			p.labels = len(p.w.stack) + 1
		}
		p.hashes = append(p.hashes, p.hash(at, depth))
		p.w.stack = append(p.w.stack, slot)
		if slot >= firstOpening {
			p.open(slot, at, depth, start)
		}
	case jsonscan.String:
		raw := at.Data()[start+1 : end-1]
		if p.Dialect == Unknown {
			name, _ := at.Key(depth - 1)
			p.unknown(slot, raw, start+1, p.hash(at, depth), isLabel(name))
			return nil
		}
		n := len(p.Texts)
		if slot > ignored {
			p.str(slot, raw, start+1)
		}
		if len(p.Texts) == n {
			p.other(slot, at, depth, raw, start+1)
			return nil
		}
		if t := &p.Texts[n]; t.Whole && t.Kind < Token && p.message() {
			t.Copy, t.Path = true, p.hash(at, depth)
		}
	default:
		if slot > ignored {
			p.scalar(slot, k, at.Data()[start:end], start)
		}
	}
	return nil
}

// leave is told that the container at a depth has ended.
func (p *Response) leave(depth int) {
	if p.labels == depth {
		p.labels = 0
	}
	if p.tokens == depth {
		p.tokens = 0
	}
}

// message reports whether the current value stands in a chat message.
func (p *Response) message() bool {
	g := p.group()
	for i := len(p.groups) - 1; g != nil && !g.message && i > 0; i-- {
		g = &p.groups[i-1]
	}
	return g != nil && g.message
}

// other takes a string of a known dialect that is no text of it.
func (p *Response) other(slot node, at *jsonscan.Path, depth int, raw []byte, start int) {
	if len(raw) == 0 {
		return
	}
	t := Text{Start: start, End: start + len(raw), Role: RoleAssistant, Copy: true, Path: p.hash(at, depth)}
	t.Channel = t.Path
	name, _ := at.Key(depth - 1)
	t.Label = slot == ignored || slot >= rModel && slot <= rDone || p.labels > 0 || isLabel(name)
	t.Whole = t.Label
	if g := p.group(); g != nil && g.whole && !p.message() {
		t.Whole = true
	}
	if isDataURL(raw) {
		t.Kind = Opaque
	}
	p.Rest = append(double(p.Rest), t)
}

// enterUnknown is told of a container in an unknown reply. Known by their names, wherever they stand, are the arrays of token
// numbers and the log probabilities of llama.cpp.
func (p *Response) enterUnknown(at *jsonscan.Path, depth int, k jsonscan.Kind) node {
	name, ok := at.Key(depth - 1)
	if !ok || k != jsonscan.ArrayStart {
		return rAny
	}
	switch string(name) {
	case "completion_probabilities":
		if p.tokens == 0 {
			p.tokens = len(p.w.stack) + 1
		}
	case "bytes":
		if p.tokens > 0 && p.repeat == 0 {
			return rRepeats
		}
	case "context", "tokens", "token_ids", "prompt_token_ids":
		if p.repeat == 0 {
			return rRepeats
		}
	}
	return rAny
}

// hash returns the hash of a value's path (FNV-1a over the segments), which is its channel in an unknown body
// and for strings that a dialect does not know.
func (p *Response) hash(at *jsonscan.Path, depth int) uint32 {
	const offset, prime = 2166136261, 16777619
	if depth == 0 || len(p.hashes) == 0 {
		return offset
	}
	h := p.hashes[len(p.hashes)-1]
	if i, ok := at.Index(depth - 1); ok {
		return (h ^ uint32(i) ^ 0x100) * prime
	}
	raw, _ := at.Key(depth - 1)
	for _, c := range raw {
		h = (h ^ uint32(c)) * prime
	}
	return (h ^ 0x200) * prime
}

// open is told of a container with the given meaning.
func (p *Response) open(n node, at *jsonscan.Path, depth, start int) {
	switch n {
	case rError:
		p.Error = true
		return
	case rUsage:
		p.env.usageMember = true
		return
	case rInnerUsage:
		p.env.usage.Start = start
		return
	case rInnerIncomplete:
		p.env.incomplete.Start = start
		return
	case rRepeats:
		if p.repeat == 0 {
			p.Repeats = append(p.Repeats, Span{start, start})
			p.repeat, p.texts = len(p.w.stack), len(p.Texts)
		}
		return
	case rMessage, rBlocks, rOutput:
		if g := p.group(); g != nil {
			g.whole, g.message = true, n == rMessage
		}
		return
	case rInner:
		p.env.response.Start = start
	}
	g := group{from: len(p.Texts), rest: len(p.Rest)}
	if outer := p.group(); outer != nil {
		g.whole = outer.whole
	}
	switch n {
	case rRootItem, rRootPart, rInner:
		g.whole = true
	}
	if depth > 0 {
		if i, ok := at.Index(depth - 1); ok {
			g.index = uint32(min(i, 0xfff))
		}
	}
	p.groups = append(p.groups, g)
}

// group returns the innermost open group, nil if there is none.
func (p *Response) group() *group {
	if n := len(p.groups); n > 0 {
		return &p.groups[n-1]
	}
	return nil
}

// close is told of the end of a container: only now are its index and type certain, whatever the order of its members.
func (p *Response) close(n node, end int) {
	switch n {
	case rInnerUsage:
		p.env.usage.End = end
		return
	case rInnerIncomplete:
		p.env.incomplete.End = end
		return
	case rRepeats:
		if p.repeat != len(p.w.stack)+1 {
			return
		}
		p.repeat = 0
		if n := len(p.Repeats) - 1; p.Dialect == Unknown && len(p.Texts) > p.texts {
			p.Repeats = p.Repeats[:n] // an array of strings tells its text itself
		} else {
			p.Repeats[n].End = end
		}
		return
	}
	last := len(p.groups) - 1
	g := p.groups[last]
	p.groups = p.groups[:last]
	texts := p.Texts[g.from:]
	for i := range p.Rest[g.rest:] {
		// Choices, calls and blocks with different indices stand at the same place, one an event.
		t := &p.Rest[g.rest+i]
		t.Channel = (t.Channel^g.index<<12^g.block)*16777619 + 1
	}
	switch n {
	case rChoice:
		for i := range texts {
			texts[i].Channel |= channel(g.index, 0, 0)
		}
		p.choices = append(p.choices, choice{g.index, g.finished})
	case rCall, rBlock:
		for i := range texts {
			texts[i].Channel |= channel(0, g.index, 0)
		}
	case rItem:
		for i := range texts {
			texts[i].Channel |= channel(g.index, 0, 0)
		}
	case rPart, rRootPart:
		block := channel(0, g.index, 0)
		if n == rRootPart {
			block = 0
		}
		f, reasoning := fieldNone, false
		switch string(g.typ) {
		case "output_text":
			f = fieldOutputText
		case "reasoning_text":
			f, reasoning = fieldReasoningText, true
		case "summary_text":
			f, reasoning = fieldSummaryText, true
		}
		for i := range texts {
			t := &texts[i]
			t.Channel |= block
			if t.Kind == Prose && field(t.Channel) == fieldText && f != fieldNone {
				t.Channel = t.Channel&^0xff | uint32(f)
				if reasoning {
					t.Kind = Reasoning
				}
			}
		}
	case rInner:
		p.env.response.End = end
	case rAnthropic:
		p.env.index, p.env.typ = g.index, g.typ
		for i := range texts {
			texts[i].Channel |= channel(0, g.index, 0)
		}
		switch string(g.typ) {
		case "message_stop":
			p.Terminal = true
		case "error":
			p.Error = true
		}
	case rResponses:
		p.env.index, p.env.block, p.env.typ = g.index, g.block, g.typ
		p.closeResponses(&g, texts)
	}
}

// closeResponses gives the texts at the root of a Responses event the meaning that the event's type names.
func (p *Response) closeResponses(g *group, texts []Text) {
	f, kind := fieldText, Prose
	switch string(g.typ) {
	case "":
		// A whole reply.
		return
	case "response.completed", "response.incomplete", "response.failed", "response.cancelled":
		p.Terminal = true
		p.Error = p.Error || string(g.typ) == "response.failed"
		return
	case "error":
		p.Error, p.Terminal = true, true
		f = fieldError
		p.HasContent = false
	case "response.output_text.delta", "response.output_text.done":
		f = fieldOutputText
	case "response.refusal.delta", "response.refusal.done":
		f, kind = fieldRefusal, Refusal
	case "response.reasoning_text.delta", "response.reasoning_text.done":
		f, kind = fieldReasoningText, Reasoning
	case "response.reasoning_summary_text.delta", "response.reasoning_summary_text.done":
		f, kind = fieldSummaryText, Reasoning
	case "response.function_call_arguments.delta", "response.function_call_arguments.done":
		f, kind = fieldItemArguments, ToolArguments
	case "response.mcp_call_arguments.delta", "response.mcp_call_arguments.done",
		"response.mcp_call.arguments.delta", "response.mcp_call.arguments.done":
		f, kind = fieldMCPArguments, ToolArguments
	case "response.custom_tool_call_input.delta", "response.custom_tool_call_input.done":
		f = fieldItemInput
	case "response.code_interpreter_call_code.delta", "response.code_interpreter_call_code.done",
		"response.code_interpreter_call.code.delta", "response.code_interpreter_call.code.done":
		f = fieldCode
	case "response.audio.transcript.delta", "response.audio_transcript.delta", "response.audio.transcript.done":
		f = fieldTranscript
	case "response.audio.delta":
		kind = Opaque
		p.HasContent = false
	}
	where := channel(g.index, g.block, 0)
	for i := range texts {
		t := &texts[i]
		if field(t.Channel) == fieldNone {
			t.Channel |= uint32(f)
			if t.Kind == Prose {
				t.Kind = kind
			}
		}
		t.Channel |= where
	}
}

// isLabel reports whether a member name is that of an identifier or discriminator rather than of text.
func isLabel(name []byte) bool {
	switch string(name) {
	case "id", "type", "object", "model", "role", "event", "kind", "created", "created_at", "status", "name", "index", "level",
		"time", "timestamp", "finish_reason", "native_finish_reason", "stop_reason", "done_reason", "stop_sequence",
		"system_fingerprint", "service_tier", "obfuscation", "provider", "severity", "uuid":
		return true
	}
	return bytes.HasSuffix(name, []byte("_id"))
}

// double makes room by doubling: append grows long slices by a quarter, which allocates five times what is kept.
func double(s []Text) []Text {
	if len(s) == cap(s) {
		return slices.Grow(s, max(8, len(s)))
	}
	return s
}

// add reports a text.
func (p *Response) add(f field, kind Kind, raw []byte, start int) {
	t := Text{Start: start, End: start + len(raw), Role: RoleAssistant, Kind: kind, Channel: uint32(f)}
	if g := p.group(); g != nil {
		t.Whole = g.whole
	}
	if kind < Token && f != fieldError && len(raw) > 0 {
		p.HasContent = true
	}
	p.Texts = append(double(p.Texts), t)
}

// unknown takes a string of an unknown reply; raw is its content, which begins at start.
func (p *Response) unknown(slot node, raw []byte, start int, hash uint32, label bool) {
	switch slot {
	case rModel:
		p.Model = raw
	case rID:
		p.ID = raw
	case rError:
		p.Error = true
	}
	t := Text{Start: start, End: start + len(raw), Channel: hash, Path: hash, Label: label}
	if isDataURL(raw) {
		t.Kind = Opaque
	} else if p.tokens > 0 {
		t.Kind = Token
	} else if len(raw) > 0 && !label {
		p.HasContent = true
	}
	p.Texts = append(double(p.Texts), t)
}

// str takes a string of a known dialect; raw is its content, which begins at start.
func (p *Response) str(slot node, raw []byte, start int) {
	switch slot {
	case rModel:
		p.Model = raw
	case rID:
		p.ID = raw
	case rObject:
		p.env.object = raw
	case rCreated:
		p.env.created = raw
	case rItemID:
		p.env.itemID = raw
	case rStatus:
		p.env.status = Span{start - 1, start + len(raw) + 1}
	case rType:
		if g := p.group(); g != nil {
			g.typ = raw
		}
	case rFinish:
		p.Finish = raw
		if g := p.group(); g != nil {
			g.finished = true
		}
	case rContent:
		p.add(fieldContent, Prose, raw, start)
	case rParts:
		p.add(fieldPart, Prose, raw, start)
	case rThinkingParts:
		p.add(fieldPartThinking, Reasoning, raw, start)
	case rReasoningContent:
		p.add(fieldReasoningContent, Reasoning, raw, start)
	case rReasoning:
		p.add(fieldReasoning, Reasoning, raw, start)
	case rDetailText:
		p.add(fieldDetails, Reasoning, raw, start)
	case rRefusal:
		p.add(fieldRefusal, Refusal, raw, start)
	case rCallArguments:
		p.add(fieldCallArguments, ToolArguments, raw, start)
	case rCallInput:
		p.add(fieldCallInput, Prose, raw, start)
	case rFunctionArguments:
		p.add(fieldFunctionCall, ToolArguments, raw, start)
	case rTranscript:
		p.add(fieldTranscript, Prose, raw, start)
	case rText, rDeltaText:
		p.add(fieldText, Prose, raw, start)
	case rTokenText, rTokenList:
		p.add(fieldToken, Token, raw, start)
	case rThinkingText:
		p.add(fieldThinking, Reasoning, raw, start)
	case rPartialJSON:
		p.add(fieldJSON, ToolArguments, raw, start)
	case rAny, rNestedText, rNested:
		p.addWhole(fieldNested, Prose, raw, start)
	case rOpaque:
		p.add(fieldNone, Opaque, raw, start)
	case rGenerate:
		p.env.generate = true
		p.add(fieldGenerate, Prose, raw, start)
	case rError:
		p.Error = true
		p.addWhole(fieldError, Prose, raw, start)
	case rErrorText:
		p.addWhole(fieldError, Prose, raw, start)
	case rEventDelta:
		p.add(fieldNone, Prose, raw, start)
	case rEventText:
		p.addWhole(fieldNone, Prose, raw, start)
	case rPartText:
		p.add(fieldText, Prose, raw, start)
	case rItemArguments:
		p.add(fieldItemArguments, ToolArguments, raw, start)
	case rItemInput:
		p.add(fieldItemInput, Prose, raw, start)
	case rItemOutput:
		p.add(fieldItemOutput, Prose, raw, start)
		p.Texts[len(p.Texts)-1].Role = RoleTool
	case rCode:
		p.add(fieldCode, Prose, raw, start)
	}
}

// addWhole reports a text that is complete whatever is around it.
func (p *Response) addWhole(f field, kind Kind, raw []byte, start int) {
	p.add(f, kind, raw, start)
	p.Texts[len(p.Texts)-1].Whole = true
}

// scalar takes a number, a literal or null.
func (p *Response) scalar(slot node, k jsonscan.Kind, v []byte, start int) {
	if slot == rStatus {
		p.env.status = Span{start, start + len(v)}
		return
	}
	switch k {
	case jsonscan.True:
		switch slot {
		case rDone:
			p.Terminal = true
		case rError:
			p.Error = true
		}
		return
	case jsonscan.Null:
		switch slot {
		case rUsage:
			p.env.usageMember = true
		case rInnerUsage:
			p.env.usageMember = true
			p.env.usage = Span{start, start + len(v)}
		case rInnerIncomplete:
			p.env.incomplete = Span{start, start + len(v)}
		}
		return
	case jsonscan.Number:
	default:
		return
	}
	switch slot {
	case rCreated:
		p.env.created = v
		return
	case rSeq:
		p.env.seq = v
		return
	}
	n, ok := jsonscan.Int(v)
	if !ok || n < 0 || n > absurd {
		return
	}
	c := &p.counts
	switch slot {
	case rIndex:
		if g := p.group(); g != nil {
			g.index = uint32(min(n, 0xfff))
		}
		return
	case rBlockIndex:
		if g := p.group(); g != nil {
			g.block = uint32(min(n, 0xfff))
		}
		return
	case rPromptTokens:
		c.input, c.prompt = n, true
	case rInputTokens:
		if !c.prompt {
			c.input = n
		}
	case rOutputTokens:
		c.output = n
	case rCachedTokens:
		c.cached = n
	case rCacheCreated:
		c.created = n
	case rCacheRead:
		c.read = n
	default:
		return
	}
	p.Usage.Known = true
}

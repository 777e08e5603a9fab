package dialect

import (
	"bytes"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// Request is what a request body says. Reset it, then let a scan visit it (Scan, or jsonscan.Scan followed by Finish). It is
// not safe for concurrent use while it is scanned.
type Request struct {
	// Dialect is the shape the body was read as.
	Dialect Dialect
	// Model is the model member, decoded; "" if absent.
	Model string
	// MoreModels says that the body names models beside Model, by which some gateways run the request when it is refused: a top-level member
	// "models" (OpenRouter) or one with "fallback" in its name (LiteLLM), in any case, that is not null.
	MoreModels bool
	// Stream says that the client asked for a stream. Ollama streams unless told not to.
	Stream bool
	// IncludeUsage is OpenAI's stream_options.include_usage.
	IncludeUsage bool
	// MaxTokens is the largest output the client allows per choice (max_tokens, max_completion_tokens, max_output_tokens,
	// options.num_predict), -1 if absent or not a non-negative integer. Of several the largest counts.
	MaxTokens int64
	// N is the number of choices to be generated (n, best_of), 1 if absent. Of several the largest counts.
	N int64
	// Messages is the number of messages, or of input items.
	Messages int
	// LastMessage and LastEnd are the range of Texts that stands in the last message: Texts[LastMessage:LastEnd]. Bodies
	// without messages have all their texts in it.
	LastMessage, LastEnd int
	// Texts are the strings that a model or a reader will see, in document order. Tool definitions, ids and names are not
	// among them.
	Texts []Text

	w     walker
	parts []part
}

// part is an open message, item or content part.
type part struct {
	from    int // first text
	role    Role
	typ     partType
	message bool
}

// partType is what the type member says that matters here.
type partType uint8

const (
	partOther partType = iota
	partReasoning
	partToolResult
	partToolCall
	partPlain // an Anthropic source of type text
)

func partTypeOf(s []byte) partType {
	switch string(s) {
	case "reasoning", "reasoning_text", "summary_text", "thinking", "redacted_thinking":
		return partReasoning
	case "text":
		return partPlain
	case "function_call", "custom_tool_call", "mcp_call", "tool_use", "server_tool_use", "mcp_tool_use":
		return partToolCall
	}
	if bytes.HasSuffix(s, []byte("tool_result")) || bytes.HasSuffix(s, []byte("_output")) {
		return partToolResult
	}
	if bytes.HasSuffix(s, []byte("_call")) {
		return partToolCall
	}
	return partOther
}

// Reset empties q for a body of dialect d and keeps its memory.
func (q *Request) Reset(d Dialect) {
	*q = Request{
		Dialect:   d,
		Stream:    d == Ollama,
		MaxTokens: -1,
		N:         1,
		Texts:     q.Texts[:0],
		w:         walker{stack: q.w.stack[:0], scratch: q.w.scratch[:0]},
		parts:     q.parts[:0],
	}
}

// requestLimits are those of Scan: the body's size has been bounded by whoever read it, and images arrive as strings of
// megabytes. Duplicate and case-variant names stay refused: whoever decides on the model must see the model that is run.
var requestLimits = jsonscan.Limits{
	Bytes: -1, Depth: 128, Keys: 4096, TotalKeys: 500_000, KeyLen: 4096, ArrayLen: 1_000_000, StringLen: -1, Nodes: 2_000_000,
	NumberLen: 128, Exponent: 400,
}

// Scan reads body by itself, for callers without a scan of their own. It is Reset with the same dialect, jsonscan.Scan and
// Finish. The error is jsonscan's.
func (q *Request) Scan(body []byte) error {
	q.Reset(q.Dialect)
	if err := jsonscan.Scan(body, &requestLimits, q); err != nil {
		q.Reset(q.Dialect)
		return err
	}
	q.Finish(body)
	return nil
}

// Finish completes q after a successful scan. It takes the scanned body, which it does not need today: roles and types are
// resolved while the scan passes.
func (q *Request) Finish(_ []byte) {
	if q.Messages == 0 {
		q.LastMessage, q.LastEnd = 0, len(q.Texts)
	}
}

// Visit implements jsonscan.Visitor. It never returns an error.
func (q *Request) Visit(p *jsonscan.Path, k jsonscan.Kind, start, end int) error {
	switch k {
	case jsonscan.ObjectEnd, jsonscan.ArrayEnd:
		n := len(q.w.stack) - 1
		if n < 0 {
			return nil
		}
		top := q.w.stack[n]
		q.w.stack = q.w.stack[:n]
		if top == nodePart || top == nodeSource {
			q.closePart(top)
		}
		return nil
	}
	if p.Depth() == 1 && !q.MoreModels && k != jsonscan.Null {
		q.MoreModels = q.namesModels(p)
	}
	slot := q.root()
	if p.Depth() > 0 {
		slot = q.w.slot(p, requestMember, requestElem)
	}
	switch k {
	case jsonscan.ObjectStart:
		q.w.stack = append(q.w.stack, q.openObject(slot))
	case jsonscan.ArrayStart:
		if q.Dialect == Unknown {
			slot = nodeAny
		}
		q.w.stack = append(q.w.stack, slot)
	default:
		if slot > ignored {
			q.leaf(slot, k, p.Data()[start:end], start)
		}
	}
	return nil
}

// namesModels reports whether the top-level member at p names further models.
func (q *Request) namesModels(p *jsonscan.Path) bool {
	name, ok := p.Key(0)
	if !ok || len(name) < len("models") {
		return false
	}
	if p.Escaped(0) {
		name = q.w.text(name)
	}
	const fallback = "fallback"
	for i := 0; i+len(fallback) <= len(name); i++ {
		if name[i]|0x20 == 'f' && bytes.EqualFold(name[i:i+len(fallback)], []byte(fallback)) {
			return true
		}
	}
	return bytes.EqualFold(name, []byte("models"))
}

func (q *Request) root() node {
	switch q.Dialect {
	case OpenAIChat:
		return nodeChat
	case OpenAICompletions:
		return nodeCompletions
	case OpenAIResponses:
		return nodeResponses
	case OpenAIEmbeddings:
		return nodeEmbeddings
	case Anthropic:
		return nodeAnthropic
	case Ollama:
		return nodeOllama
	}
	return nodeUnknown
}

// openObject turns a slot into the node of the object that stands in it.
func (q *Request) openObject(slot node) node {
	if q.Dialect == Unknown && len(q.w.stack) > 0 {
		return nodeAny // also where a known member was expected: nothing hides in an unknown body
	}
	switch slot {
	case nodeMessage, nodeContent, nodeOutput, nodeThinking, nodeSystem, nodePart, nodePrediction:
		t := part{from: len(q.Texts), message: slot == nodeMessage}
		switch slot {
		case nodeMessage:
			q.Messages++
			q.LastMessage, q.LastEnd = len(q.Texts), len(q.Texts)
		case nodeThinking:
			t.typ = partReasoning
		case nodeSystem:
			t.role = RoleSystem
		case nodePrediction:
			t.role = RoleAssistant
		}
		q.parts = append(q.parts, t)
		return nodePart
	case nodeSource:
		q.parts = append(q.parts, part{from: len(q.Texts)})
	}
	return slot
}

// closePart gives the texts of a part the role and kind that its own members name, wherever in the part these stood.
func (q *Request) closePart(n node) {
	last := len(q.parts) - 1
	t := q.parts[last]
	q.parts = q.parts[:last]
	texts := q.Texts[t.from:]
	if n == nodeSource {
		if t.typ == partPlain {
			for i := range texts {
				texts[i].Kind = Prose
			}
		}
		return
	}
	role := t.role
	switch t.typ {
	case partToolResult:
		role = RoleTool
	case partToolCall, partReasoning:
		if role == RoleUnknown {
			role = RoleAssistant
		}
	}
	for i := range texts {
		if texts[i].Role == RoleUnknown {
			texts[i].Role = role
		}
		if t.typ == partReasoning && texts[i].Kind == Prose {
			texts[i].Kind = Reasoning
		}
	}
	if t.message {
		q.LastEnd = len(q.Texts)
	}
}

// leaf takes a value that is not a container. v is its source, a string with quotes.
func (q *Request) leaf(slot node, k jsonscan.Kind, v []byte, start int) {
	if k != jsonscan.String {
		switch slot {
		case leafStream:
			if k == jsonscan.True || k == jsonscan.False {
				q.Stream = k == jsonscan.True
			}
		case leafIncludeUsage:
			q.IncludeUsage = k == jsonscan.True
		case leafMaxTokens:
			if n, ok := jsonscan.Int(v); ok && k == jsonscan.Number {
				q.MaxTokens = max(q.MaxTokens, n)
			}
		case leafN:
			if n, ok := jsonscan.Int(v); ok && k == jsonscan.Number {
				q.N = max(q.N, n)
			}
		}
		return
	}
	raw := v[1 : len(v)-1]
	text := Text{Start: start + 1, End: start + len(v) - 1}
	if slot == leafModel {
		// Not a text in any dialect: who changed it would run another model than the one that was decided on.
		q.Model = string(q.w.text(raw))
		return
	}
	if q.Dialect == Unknown {
		slot = nodeAny
	}
	switch slot {
	case leafRole:
		if n := len(q.parts); n > 0 {
			q.parts[n-1].role = roleOf(q.w.text(raw))
		}
		return
	case leafType:
		if n := len(q.parts); n > 0 {
			q.parts[n-1].typ = partTypeOf(q.w.text(raw))
		}
		return
	case leafUser, nodeInput, nodeVariables:
		text.Role = RoleUser
	case nodeMessage, nodeMessages:
		// A bare string in place of messages: Responses' input.
		text.Role = RoleUser
		q.Messages++
		q.LastMessage, q.LastEnd = len(q.Texts), len(q.Texts)+1
	case leafSystem, nodeSystem:
		text.Role = RoleSystem
	case nodePrediction:
		text.Role = RoleAssistant
	case nodeOutput:
		text.Role = RoleTool
	case leafProse, nodeContent:
	case nodeAny, nodeUnknown:
		if isDataURL(raw) {
			text.Kind = Opaque
		}
	case leafReasoning, nodeThinking:
		text.Kind = Reasoning
	case leafRefusal:
		text.Kind = Refusal
	case leafArguments, nodeFunctionArguments:
		text.Kind = ToolArguments
	case leafOpaque, nodeOpaque, nodeSource:
		text.Kind = Opaque
	default:
		return
	}
	q.Texts = append(q.Texts, text)
}

// requestElem is the meaning of the elements of an array.
func requestElem(parent node) node {
	switch parent {
	case nodeMessages:
		return nodeMessage
	case nodeFunctionArguments:
		return nodeAny
	case nodeContent, nodeOutput, nodeThinking, nodeInput, nodeSystem, nodeAny, nodeOpaque, nodePrediction, nodeCalls:
		return parent
	case nodeUnknown:
		return nodeAny
	}
	return none
}

// requestMember is the meaning of a member of an object.
func requestMember(parent node, name []byte) node {
	switch parent {
	case nodeChat:
		switch string(name) {
		case "messages":
			return nodeMessages
		case "n":
			return leafN
		case "max_tokens", "max_completion_tokens":
			return leafMaxTokens
		case "stream_options":
			return nodeStreamOptions
		case "prediction":
			return nodePrediction
		case "documents": // vLLM
			return nodeContent
		case "tools", "functions", "response_format", "metadata":
			return ignored
		}
		return commonMember(name)
	case nodeCompletions:
		switch string(name) {
		case "prompt":
			return nodeInput
		case "suffix":
			return leafUser
		case "n", "best_of":
			return leafN
		case "max_tokens":
			return leafMaxTokens
		case "stream_options":
			return nodeStreamOptions
		}
		return commonMember(name)
	case nodeResponses:
		switch string(name) {
		case "input":
			return nodeMessages
		case "instructions":
			return nodeSystem
		case "max_output_tokens":
			return leafMaxTokens
		case "prompt":
			return nodePrompt
		}
		return commonMember(name)
	case nodeEmbeddings:
		switch string(name) {
		case "input":
			return nodeInput
		case "messages": // vLLM embeds conversations
			return nodeMessages
		}
		return commonMember(name)
	case nodeAnthropic:
		switch string(name) {
		case "system":
			return nodeSystem
		case "messages":
			return nodeMessages
		case "max_tokens":
			return leafMaxTokens
		}
		return commonMember(name)
	case nodeOllama:
		switch string(name) {
		case "messages":
			return nodeMessages
		case "prompt", "suffix":
			return leafUser
		case "system", "template":
			return leafSystem
		case "images":
			return nodeOpaque
		case "options":
			return nodeOptions
		}
		return commonMember(name)
	case nodeUnknown:
		switch string(name) {
		case "max_tokens", "max_completion_tokens", "max_output_tokens":
			return leafMaxTokens
		}
		if n := commonMember(name); n != none {
			return n
		}
		return nodeAny
	case nodeAny, nodeFunctionArguments:
		return nodeAny
	case nodeStreamOptions:
		if string(name) == "include_usage" {
			return leafIncludeUsage
		}
	case nodeOptions:
		if string(name) == "num_predict" {
			return leafMaxTokens
		}
	case nodePart:
		return partMember(name)
	case nodeCalls:
		switch string(name) {
		case "function", "custom":
			return nodeFunction
		}
	case nodeFunction:
		switch string(name) {
		case "arguments": // a string of JSON; Ollama sends the object itself
			return nodeFunctionArguments
		case "input":
			return leafProse
		}
	case nodeOpaque:
		switch string(name) {
		case "url", "data", "file_data", "file_url", "image_url":
			return leafOpaque
		case "filename":
			return leafProse
		}
	case nodeSource:
		switch string(name) {
		case "type":
			return leafType
		case "data", "url":
			return leafOpaque
		case "content":
			return nodeContent
		}
	case nodePrompt:
		if string(name) == "variables" {
			return nodeVariables
		}
	case nodeVariables:
		return nodeInput
	case nodeInput: // a prompt variable that is an input part
		switch string(name) {
		case "text":
			return leafUser
		case "image_url", "file_data", "file_url":
			return leafOpaque
		}
	}
	return none
}

// commonMember are the members that all dialects share.
func commonMember(name []byte) node {
	switch string(name) {
	case "model":
		return leafModel
	case "stream":
		return leafStream
	}
	return none
}

// partMember are the members of messages, of Responses items and of content parts and blocks, of all dialects together: a
// name means the same wherever it occurs.
func partMember(name []byte) node {
	switch string(name) {
	case "role":
		return leafRole
	case "type":
		return leafType
	case "content", "results", "outputs", "summary":
		return nodeContent
	case "text", "title", "context", "stdout", "stderr", "logs", "code", "error", "transcript", "filename":
		return leafProse
	case "output":
		return nodeOutput
	case "refusal":
		return leafRefusal
	case "reasoning_content", "reasoning":
		return leafReasoning
	case "thinking", "reasoning_details":
		return nodeThinking
	case "arguments":
		return leafArguments
	case "input", "action", "queries":
		return nodeAny
	case "tool_calls":
		return nodeCalls
	case "function_call":
		return nodeFunction
	case "image_url", "audio_url", "video_url", "input_audio", "file", "images":
		return nodeOpaque
	case "data", "file_data", "file_url", "signature", "encrypted_content", "result":
		return leafOpaque
	case "source":
		return nodeSource
	case "id", "name", "status", "tool_call_id", "tool_use_id", "call_id", "cache_control", "detail":
		return ignored
	}
	return none
}

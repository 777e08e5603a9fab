package dialect

import (
	"bytes"
	"strings"
)

// Dialect is the shape of an API's bodies.
type Dialect uint8

const (
	// Unknown is any other JSON: every string leaf is text.
	Unknown Dialect = iota
	// OpenAIChat is POST /v1/chat/completions.
	OpenAIChat
	// OpenAICompletions is the legacy POST /v1/completions.
	OpenAICompletions
	// OpenAIResponses is POST /v1/responses.
	OpenAIResponses
	// OpenAIEmbeddings is POST /v1/embeddings.
	OpenAIEmbeddings
	// Anthropic is POST /v1/messages.
	Anthropic
	// Ollama is POST /api/chat and POST /api/generate.
	Ollama
)

// String returns the dialect's name in lower case, as used in logs.
func (d Dialect) String() string {
	switch d {
	case OpenAIChat:
		return "openai_chat"
	case OpenAICompletions:
		return "openai_completions"
	case OpenAIResponses:
		return "openai_responses"
	case OpenAIEmbeddings:
		return "openai_embeddings"
	case Anthropic:
		return "anthropic"
	case Ollama:
		return "ollama"
	}
	return "unknown"
}

// suffixes are the path endings of the known dialects; the first that fits counts. "/v1" is left out where the rest is
// telling, so that mounts such as Azure's /openai/deployments/x/chat/completions are known too.
var suffixes = []struct {
	path string
	d    Dialect
}{
	{"/chat/completions", OpenAIChat},
	{"/completions", OpenAICompletions},
	{"/v1/responses", OpenAIResponses},
	{"/openai/responses", OpenAIResponses},
	{"/embeddings", OpenAIEmbeddings},
	{"/v1/messages", Anthropic},
	{"/v1/messages/count_tokens", Anthropic},
	{"/api/chat", Ollama},
	{"/api/generate", Ollama},
}

// ForPath returns the dialect of a request path by its ending, Unknown if there is none. A trailing slash is ignored.
func ForPath(path string) Dialect {
	path = strings.TrimSuffix(path, "/")
	for i := range suffixes {
		if strings.HasSuffix(path, suffixes[i].path) {
			return suffixes[i].d
		}
	}
	return Unknown
}

// Role is who a text comes from.
type Role uint8

const (
	// RoleUnknown is a text without a known role.
	RoleUnknown Role = iota
	// RoleSystem is the operator: roles system and developer, and members such as instructions.
	RoleSystem
	// RoleUser is the end user.
	RoleUser
	// RoleAssistant is the model.
	RoleAssistant
	// RoleTool is the result of a tool call.
	RoleTool
)

// String returns the role's name in lower case.
func (r Role) String() string {
	switch r {
	case RoleSystem:
		return "system"
	case RoleUser:
		return "user"
	case RoleAssistant:
		return "assistant"
	case RoleTool:
		return "tool"
	}
	return "unknown"
}

// roleOf reads the role member of a message, decoded. Case does not count: servers exist to which "User" is a user, and a rule
// about users must hold there too.
func roleOf(name []byte) Role {
	for i := range roleNames {
		if bytes.EqualFold(name, roleNames[i].name) {
			return roleNames[i].role
		}
	}
	return RoleUnknown
}

var roleNames = [...]struct {
	name []byte
	role Role
}{
	{[]byte("user"), RoleUser}, {[]byte("assistant"), RoleAssistant}, {[]byte("system"), RoleSystem}, {[]byte("developer"), RoleSystem},
	{[]byte("tool"), RoleTool}, {[]byte("function"), RoleTool},
}

// Kind is what a text is.
type Kind uint8

const (
	// Prose is text for a reader.
	Prose Kind = iota
	// Reasoning is the model's thinking, shown or summarised.
	Reasoning
	// Refusal is the model's refusal.
	Refusal
	// ToolArguments is JSON, or a fragment of it, inside a string.
	ToolArguments
	// Token is one token's text in log probabilities, which repeats the prose.
	Token
	// Opaque must never be rewritten: a data URL, base64, a signature, encrypted content.
	Opaque
)

// String returns the kind's name in lower case.
func (k Kind) String() string {
	switch k {
	case Prose:
		return "prose"
	case Reasoning:
		return "reasoning"
	case Refusal:
		return "refusal"
	case ToolArguments:
		return "tool_arguments"
	case Token:
		return "token"
	case Opaque:
		return "opaque"
	}
	return "unknown"
}

// Text is a string of a body.
type Text struct {
	// Start and End are the span of the raw string content, inside its quotes, in the scanned bytes.
	Start, End int
	// Role is whose text it is.
	Role Role
	// Kind is what it is.
	Kind Kind
	// Whole says that the text is complete: a reply that is not streamed, or an event such as response.output_text.done
	// that repeats what its channel has streamed. Otherwise it is the next piece of its Channel.
	Whole bool
	// Channel tells the streams of text in a reply apart; 0 in requests. Whole texts have the channel of their pieces.
	Channel uint32
	// Label says that the member's name is that of an identifier or discriminator (type, id, model, ...), in unknown replies and
	// in Response.Rest. Its text is looked at like any other; it is only not taken for a piece of streamed text.
	Label bool
	// Copy says that the dialect has no event that carries a piece of this text: text for it goes into a copy of its event, which
	// is what Stream.AppendTextDelta makes for an Unknown stream and the channel Path. Its Channel is apart from those of texts
	// without Copy. A streamed chat message in place of a delta is Whole and Copy; in an event it is a piece.
	Copy bool
	// Path is the hash of the text's path; 0 in requests.
	Path uint32
}

// Span is a range of the scanned bytes.
type Span struct{ Start, End int }

// Usage is what a reply says it has used, in tokens. Fields that were not said are 0.
type Usage struct {
	// Input is all input tokens, cached ones included.
	Input int64
	// CachedInput is the part of Input that was read from a cache.
	CachedInput int64
	// Output is all output tokens, reasoning included.
	Output int64
	// Known says that the body reported usage.
	Known bool
}

// Merge takes the larger of each figure. Every dialect's streamed usage is cumulative, so merging all events of a stream
// gives the total. Merging an unknown usage changes nothing.
func (u *Usage) Merge(v Usage) {
	if v.Known {
		*u = Usage{max(u.Input, v.Input), max(u.CachedInput, v.CachedInput), max(u.Output, v.Output), true}
	}
}

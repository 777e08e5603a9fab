// Package preset holds validators for well-known AI APIs.
//
//	mux.Handle("POST /v1/chat/completions", preset.OpenAIChat().Handler(chat))
//
// # What a preset is
//
// A JSON Schema, kept as data beside this file, and limits that fit it. It accepts what the official clients send by
// default: streaming, tools, structured output, images and audio in the request, metadata. It refuses
//
//   - members the public API does not have. Self-hosted servers add their own (templates, grammars, processor options,
//     tensors), and that is where their advisories are;
//   - numbers no honest request has: 10^8 choices, the log probabilities of the whole vocabulary;
//   - schemas of the client's that crash a grammar compiler, and references in them to other documents;
//   - URLs to fetch that are not https to a host name.
//
// Each bound that answers an advisory cites it in the schema's $comment, and a test here sends the published request.
//
// # What it is not
//
// It does not know which models exist or what one may cost: package auth has model lists, package ratelimit has
// budgets. It does not resolve host names: a public name may point to a private address, which only a check at the
// fetching end can see. It does not replace an upgrade of a vulnerable server.
//
// # Changing one
//
// Each preset has a function that returns its Config, to be changed before [validate.New]: other limits, another
// MaxBytes, Shadow for a first look at real traffic, or an edited Schema. An API grows members over time, and a preset
// learns them with a release of this module; until then a client that uses a new one is refused with
// additionalProperties.
package preset

import (
	_ "embed"
	"net/http"
	"sync"

	"github.com/mantlet-go/mantlet/validate"
)

var (
	//go:embed openai_chat.json
	openAIChat []byte
	//go:embed anthropic_messages.json
	anthropicMessages []byte
)

// OpenAIChat returns the validator for POST /v1/chat/completions, the OpenAI chat completions API and what speaks it
// (vLLM, llama.cpp, Ollama, LiteLLM). It is compiled on first use and shared; it is safe for concurrent use.
func OpenAIChat() *validate.Validator { return openAIChatOnce() }

// OpenAIChatConfig returns what [OpenAIChat] is made of, as a start for your own: POST with a body of up to 4 MiB,
// 32,768 members, 65,536 values, and strings as long as the body.
func OpenAIChatConfig() validate.Config { return config(openAIChat) }

// AnthropicMessages returns the validator for POST /v1/messages, the Anthropic messages API and what speaks it. It is
// compiled on first use and shared; it is safe for concurrent use.
func AnthropicMessages() *validate.Validator { return anthropicMessagesOnce() }

// AnthropicMessagesConfig returns what [AnthropicMessages] is made of, as a start for your own. Its limits are those of
// [OpenAIChatConfig].
func AnthropicMessagesConfig() validate.Config { return config(anthropicMessages) }

var (
	openAIChatOnce        = sync.OnceValue(func() *validate.Validator { return must(OpenAIChatConfig()) })
	anthropicMessagesOnce = sync.OnceValue(func() *validate.Validator { return must(AnthropicMessagesConfig()) })
)

// config fits conversations with images in them: 4 MiB is three photographs of 1 MB in base64, or a million tokens of
// text. Lengths of text are bounded by the schema, at the places where it is known what the text is. The number of
// values bounds the schema engine's time: it takes 5 to 15 microseconds for each.
func config(schema []byte) validate.Config {
	return validate.Config{
		Schema:      append([]byte(nil), schema...),
		Methods:     []string{http.MethodPost},
		RequireBody: true,
		MaxBytes:    4 << 20,
		Limits:      validate.Limits{StringLen: 4 << 20, TotalKeys: 1 << 15, Nodes: 1 << 16},
	}
}

// must panics on a fault in an embedded schema, which the tests of this package would have shown: it depends on nothing
// at run time.
func must(cfg validate.Config) *validate.Validator {
	v, err := validate.New(cfg)
	if err != nil {
		panic("preset: " + err.Error())
	}
	return v
}

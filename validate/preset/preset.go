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
// The functions take the names of further top-level members that clients may send. Self-hosted servers extend the APIs:
//
//	preset.OpenAIChat("top_k", "min_p", "repetition_penalty") // vLLM
//	preset.OpenAIChat("keep_alive", "options", "think")       // Ollama
//	preset.OpenAIChat("cache_prompt")                         // llama.cpp
//
// Such a member may hold any JSON value within the limits; the server behind checks it, or does not. A name that is refused on
// purpose, such as chat_template, is no extra: the functions panic with the reason, at start and not in front of a client.
// The same happens for a name that the preset already checks, or one that differs from such a name only by case.
//
// Each preset has a function that returns its Config, to be changed before [validate.New]: other limits, another
// MaxBody, Shadow for a first look at real traffic, or an edited Schema. An API grows members over time, and a preset
// learns them with a release of this module; until then a client that uses a new one is refused with
// additionalProperties, and the log names the member.
package preset

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
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
// (vLLM, llama.cpp, Ollama, LiteLLM). extra names further top-level members that may hold any JSON value; it panics for a
// name that is refused on purpose, or checked already. Without extra names the validator is compiled on first use and
// shared, with them it is compiled by each call. It is safe for concurrent use.
func OpenAIChat(extra ...string) *validate.Validator {
	if len(extra) == 0 {
		return openAIChatOnce()
	}
	return must(OpenAIChatConfig(extra...))
}

// OpenAIChatConfig returns what [OpenAIChat] is made of, as a start for your own: POST with a body of up to
// [validate.DefaultMaxBody], 32,768 members, 65,536 values, and strings as long as the body. The schema sets narrower bounds
// for what is no text of a conversation: names, ids, descriptions, stop sequences. extra is as in [OpenAIChat].
func OpenAIChatConfig(extra ...string) validate.Config {
	return config("OpenAIChat", openAIChat, extra)
}

// AnthropicMessages returns the validator for POST /v1/messages, the Anthropic messages API and what speaks it. extra is as
// in [OpenAIChat]. Without extra names the validator is compiled on first use and shared, with them it is compiled by each
// call. It is safe for concurrent use.
func AnthropicMessages(extra ...string) *validate.Validator {
	if len(extra) == 0 {
		return anthropicMessagesOnce()
	}
	return must(AnthropicMessagesConfig(extra...))
}

// AnthropicMessagesConfig returns what [AnthropicMessages] is made of, as a start for your own. Its limits are those of
// [OpenAIChatConfig], and extra is as there.
func AnthropicMessagesConfig(extra ...string) validate.Config {
	return config("AnthropicMessages", anthropicMessages, extra)
}

var (
	openAIChatOnce        = sync.OnceValue(func() *validate.Validator { return must(OpenAIChatConfig()) })
	anthropicMessagesOnce = sync.OnceValue(func() *validate.Validator { return must(AnthropicMessagesConfig()) })
)

// config fits conversations with images in them. Text of a conversation may fill the body; the schema bounds the other
// strings, at the places where it is known what they are. The number of values bounds the schema engine's time: it takes 5
// to 15 microseconds for each.
func config(preset string, schema []byte, extra []string) validate.Config {
	return validate.Config{
		Schema:      extend(preset, schema, extra),
		Methods:     []string{http.MethodPost},
		RequireBody: true,
		MaxBody:     validate.DefaultMaxBody,
		Limits:      validate.Limits{StringLen: validate.DefaultMaxBody, TotalKeys: 1 << 15, Nodes: 1 << 16},
	}
}

// extend returns a copy of schema in which the names of extra are top-level members without conditions. A name that would
// switch off a check of the preset is a mistake of the program's, and panics.
func extend(preset string, schema []byte, extra []string) []byte {
	if len(extra) == 0 {
		return bytes.Clone(schema)
	}
	var doc, properties map[string]json.RawMessage
	check(json.Unmarshal(schema, &doc))
	check(json.Unmarshal(doc["properties"], &properties))
	known := slices.Sorted(maps.Keys(properties))
	for _, name := range extra {
		if name == "" {
			panic("preset: " + preset + ": an extra member without a name")
		}
		for _, k := range known {
			if !strings.EqualFold(k, name) {
				continue
			}
			var p struct {
				Comment string `json:"$comment"`
				Not     any    `json:"not"`
			}
			check(json.Unmarshal(properties[k], &p))
			switch {
			case p.Not != nil:
				panic(fmt.Sprintf("preset: %s: extra member %q is refused on purpose: %s", preset, name, p.Comment))
			case k == name:
				panic(fmt.Sprintf("preset: %s: extra member %q is one that the preset checks already; edit the Schema of the Config instead", preset, name))
			}
			panic(fmt.Sprintf("preset: %s: extra member %q differs from %q only by case: a Go server takes one for the other", preset, name, k))
		}
		properties[name] = json.RawMessage(`{}`)
	}
	var err error
	doc["properties"], err = json.Marshal(properties)
	check(err)
	out, err := json.Marshal(doc)
	check(err)
	return out
}

// must panics on a fault in an embedded schema, which the tests of this package would have shown, or in extra members that
// contradict each other.
func must(cfg validate.Config) *validate.Validator {
	v, err := validate.New(cfg)
	check(err)
	return v
}

func check(err error) {
	if err != nil {
		panic("preset: " + err.Error())
	}
}

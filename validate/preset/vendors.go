package preset

import "github.com/mantlet-go/mantlet/validate"

var (
	openAIChat        = &endpoint{name: "OpenAIChat", layers: []string{"refused", "openai_chat"}}
	openAIResponses   = &endpoint{name: "OpenAIResponses", layers: []string{"refused", "openai_responses"}}
	openAICompletions = &endpoint{name: "OpenAICompletions", layers: []string{"refused", "openai_completions"}, values: tokenLists}
	openAIEmbeddings  = &endpoint{name: "OpenAIEmbeddings", layers: []string{"refused", "openai_embeddings"}, values: embeddingTokens}
	openAIModerations = &endpoint{name: "OpenAIModerations", layers: []string{"refused", "openai_moderations"}}

	anthropicMessages    = &endpoint{name: "AnthropicMessages", layers: []string{"refused", "anthropic_messages"}}
	anthropicCountTokens = &endpoint{name: "AnthropicCountTokens", layers: []string{"refused", "anthropic_messages", "anthropic_count_tokens"}}
)

// Bounds of the number of values where token ids are among them.
const (
	tokenLists      = 1 << 18       // twice the 131,072 tokens of one prompt that the schemas allow
	embeddingTokens = 1<<18 + 1<<16 // the API reference allows 300,000 tokens in one request, and clients count on it
)

// OpenAI returns the OpenAI API, and what speaks it: [OpenAIChat], [OpenAIResponses], [OpenAICompletions],
// [OpenAIEmbeddings], [OpenAIModerations] and the list of models. Files, batches, images, audio, assistants and fine-tuning
// are not there: some are for the operator's account, some take uploads.
func OpenAI() Preset {
	return Preset{Name: "openai", Routes: join(
		post(openAIChat, "/v1/chat/completions"),
		post(openAIResponses, "/v1/responses"),
		post(openAICompletions, "/v1/completions"),
		post(openAIEmbeddings, "/v1/embeddings"),
		post(openAIModerations, "/v1/moderations"),
		get("/v1/models"),
	)}
}

// Anthropic returns the Anthropic API, and what speaks it: [AnthropicMessages], [AnthropicCountTokens] and the list of models.
func Anthropic() Preset {
	return Preset{Name: "anthropic", Routes: join(
		post(anthropicMessages, "/v1/messages"),
		post(anthropicCountTokens, "/v1/messages/count_tokens"),
		get("/v1/models"),
	)}
}

func join(lists ...[]Route) (routes []Route) {
	for _, l := range lists {
		routes = append(routes, l...)
	}
	return routes
}

// OpenAIChat returns the validator for POST /v1/chat/completions, the OpenAI chat completions API and what speaks it
// (vLLM, llama.cpp, Ollama, LiteLLM). extra names further top-level members that may hold any JSON value; it panics for a
// name that is refused on purpose, or checked already. Without extra names it is compiled on first use,
// with them by each call; in both cases it is the caller's own, to [validate.Validator.Swap] for instance.
func OpenAIChat(extra ...string) *validate.Validator { return openAIChat.validator(extra...) }

// OpenAIChatConfig returns what [OpenAIChat] is made of, as a start for your own: POST with a body of up to
// [validate.DefaultMaxBody], 32,768 members, 65,536 values, and strings as long as the body. The schema sets narrower bounds
// for what is no text of a conversation: names, ids, descriptions, stop sequences. extra is as in [OpenAIChat].
func OpenAIChatConfig(extra ...string) validate.Config { return openAIChat.config(extra...) }

// OpenAIResponses returns the validator for POST /v1/responses. extra and the rest are as in [OpenAIChat].
func OpenAIResponses(extra ...string) *validate.Validator { return openAIResponses.validator(extra...) }

// OpenAIResponsesConfig returns what [OpenAIResponses] is made of, with the limits of [OpenAIChatConfig].
func OpenAIResponsesConfig(extra ...string) validate.Config { return openAIResponses.config(extra...) }

// OpenAICompletions returns the validator for POST /v1/completions, the legacy API. extra and the rest are as in
// [OpenAIChat].
func OpenAICompletions(extra ...string) *validate.Validator {
	return openAICompletions.validator(extra...)
}

// OpenAICompletionsConfig returns what [OpenAICompletions] is made of. Its limits are those of [OpenAIChatConfig], but for
// 262,144 values: a prompt may be a list of token ids.
func OpenAICompletionsConfig(extra ...string) validate.Config {
	return openAICompletions.config(extra...)
}

// OpenAIEmbeddings returns the validator for POST /v1/embeddings. extra and the rest are as in [OpenAIChat].
func OpenAIEmbeddings(extra ...string) *validate.Validator {
	return openAIEmbeddings.validator(extra...)
}

// OpenAIEmbeddingsConfig returns what [OpenAIEmbeddings] is made of. Its limits are those of [OpenAIChatConfig], but for
// 327,680 values: the API takes up to 300,000 token ids in one request.
func OpenAIEmbeddingsConfig(extra ...string) validate.Config {
	return openAIEmbeddings.config(extra...)
}

// OpenAIModerations returns the validator for POST /v1/moderations. extra and the rest are as in [OpenAIChat].
func OpenAIModerations(extra ...string) *validate.Validator {
	return openAIModerations.validator(extra...)
}

// OpenAIModerationsConfig returns what [OpenAIModerations] is made of, with the limits of [OpenAIChatConfig].
func OpenAIModerationsConfig(extra ...string) validate.Config {
	return openAIModerations.config(extra...)
}

// AnthropicMessages returns the validator for POST /v1/messages, the Anthropic messages API and what speaks it. extra and
// the rest are as in [OpenAIChat].
func AnthropicMessages(extra ...string) *validate.Validator {
	return anthropicMessages.validator(extra...)
}

// AnthropicMessagesConfig returns what [AnthropicMessages] is made of, with the limits of [OpenAIChatConfig].
func AnthropicMessagesConfig(extra ...string) validate.Config {
	return anthropicMessages.config(extra...)
}

// AnthropicCountTokens returns the validator for POST /v1/messages/count_tokens. extra and the rest are as in [OpenAIChat].
func AnthropicCountTokens(extra ...string) *validate.Validator {
	return anthropicCountTokens.validator(extra...)
}

// AnthropicCountTokensConfig returns what [AnthropicCountTokens] is made of, with the limits of [OpenAIChatConfig].
func AnthropicCountTokensConfig(extra ...string) validate.Config {
	return anthropicCountTokens.config(extra...)
}

package preset

var (
	ollamaGenerate   = &endpoint{name: "Ollama generate", layers: []string{"ollama_generate"}, values: tokenLists}
	ollamaChat       = &endpoint{name: "Ollama chat", layers: []string{"ollama_chat"}}
	ollamaEmbed      = &endpoint{name: "Ollama embed", layers: []string{"ollama_embed"}}
	ollamaEmbeddings = &endpoint{name: "Ollama embeddings", layers: []string{"ollama_embeddings"}}
	ollamaShow       = &endpoint{name: "Ollama show", layers: []string{"ollama_show"}}

	vllmChat        = &endpoint{name: "vLLM chat", layers: []string{"refused", "openai_chat", "vllm_sampling", "template_switches", "vllm_chat"}}
	vllmCompletions = &endpoint{name: "vLLM completions", layers: []string{"refused", "openai_completions", "vllm_sampling"}, values: tokenLists}
	vllmEmbeddings  = &endpoint{name: "vLLM embeddings", layers: []string{"refused", "openai_embeddings", "vllm_embeddings"}, values: embeddingTokens}
	vllmTokenize    = &endpoint{name: "vLLM tokenize", layers: []string{"refused", "vllm_tokenize"}}
	vllmDetokenize  = &endpoint{name: "vLLM detokenize", layers: []string{"vllm_detokenize"}, values: tokenLists}
	vllmScore       = &endpoint{name: "vLLM score", layers: []string{"refused", "vllm_score"}}
	rerank          = &endpoint{name: "rerank", layers: []string{"refused", "rerank"}}

	llamaCompletion  = &endpoint{name: "llama.cpp completion", layers: []string{"refused", "llamacpp_completion", "llamacpp_sampling"}, values: tokenLists}
	llamaInfill      = &endpoint{name: "llama.cpp infill", layers: []string{"refused", "llamacpp_completion", "llamacpp_sampling", "llamacpp_infill"}, values: tokenLists}
	llamaChat        = &endpoint{name: "llama.cpp chat", layers: []string{"refused", "openai_chat", "llamacpp_sampling", "template_switches", "llamacpp_chat"}}
	llamaCompletions = &endpoint{name: "llama.cpp completions", layers: []string{"refused", "openai_completions", "llamacpp_sampling"}, values: tokenLists}
	llamaEmbedding   = &endpoint{name: "llama.cpp embedding", layers: []string{"refused", "llamacpp_embedding"}, values: embeddingTokens}
	llamaEmbeddings  = &endpoint{name: "llama.cpp embeddings", layers: []string{"refused", "openai_embeddings", "llamacpp_embeddings"}, values: embeddingTokens}
	llamaTokenize    = &endpoint{name: "llama.cpp tokenize", layers: []string{"llamacpp_tokenize"}}

	tgiGenerate    = &endpoint{name: "TGI generate", layers: []string{"tgi_generate", "tgi_images"}}
	tgiChat        = &endpoint{name: "TGI chat", layers: []string{"refused", "openai_chat", "tgi_images", "tgi_chat"}}
	tgiCompletions = &endpoint{name: "TGI completions", layers: []string{"refused", "openai_completions", "tgi_images"}, values: tokenLists}
	tgiTokenize    = &endpoint{name: "TGI tokenize", layers: []string{"tgi_tokenize", "tgi_images"}}
)

// Ollama returns the inference part of Ollama's API, and the OpenAI and Anthropic APIs that it speaks too. What manages models
// is for the operator and not there: create, pull, push, copy, delete, blobs (CVE-2026-7482 reads the server's memory through
// create and push; CVE-2024-37032, -39719, -39720, -39721, -39722 and -12886 all need one of them).
//
// Some of what Ollama's own documentation shows is refused too, because it changes the server for everybody:
//
//   - keep_alive of 0 (unloads the model under those who use it) and of -1 or any negative time (pins it in memory): 422. More
//     than none and less than two days passes.
//   - options num_gpu, main_gpu, num_thread, num_batch, numa, use_mmap, use_mlock and low_vram, with which a request loads the
//     model anew, and a num_ctx of more than 131,072, memory that is taken before the first token: 422.
//   - template, beyond the empty one: a program for the server to run: 422.
//   - bodies without a Content-Type of application/json, as curl -d sends them: 415. They are what a web page may post to
//     localhost without being asked. Add -H 'Content-Type: application/json'; there is no switch for it.
//
// To allow one of the others, edit the schema of the route in [Preset.Configure] with encoding/json: the places are
// $defs.keepAlive, $defs.ollamaOptions.properties and properties.template. What manages models stays reachable on the server's
// own port, for the operator.
func Ollama() Preset {
	return Preset{Name: "ollama", Routes: join(
		post(ollamaGenerate, "/api/generate"),
		post(ollamaChat, "/api/chat"),
		post(ollamaEmbed, "/api/embed"),
		post(ollamaEmbeddings, "/api/embeddings"),
		post(ollamaShow, "/api/show"),
		get("/{$}", "/api/tags", "/api/ps", "/api/version"),
		post(openAIChat, "/v1/chat/completions"),
		post(openAICompletions, "/v1/completions"),
		post(openAIEmbeddings, "/v1/embeddings"),
		post(openAIResponses, "/v1/responses"),
		post(anthropicMessages, "/v1/messages"),
		get("/v1/models"),
	)}
}

// VLLM returns the inference part of vLLM's server: the OpenAI and Anthropic APIs with vLLM's own sampling options, bounded.
// What changes the server is not there: load_lora_adapter, sleep, wake_up, collective_rpc, reset_prefix_cache,
// update_weights, profiles, metrics. Optional are tokenize and detokenize, and score and rerank under their paths.
func VLLM() Preset {
	return Preset{Name: "vllm", Routes: join(
		post(vllmChat, "/v1/chat/completions"),
		post(vllmCompletions, "/v1/completions"),
		post(vllmEmbeddings, "/v1/embeddings"),
		post(openAIResponses, "/v1/responses"),
		post(anthropicMessages, "/v1/messages"),
		post(anthropicCountTokens, "/v1/messages/count_tokens"),
		get("/v1/models", "/health", "/version"),
	), Optional: join(
		post(vllmTokenize, "/tokenize"),
		post(vllmDetokenize, "/detokenize"),
		post(vllmScore, "/score", "/v1/score"),
		post(rerank, "/rerank", "/v1/rerank", "/v2/rerank"),
	)}
}

// LlamaCPP returns the inference part of llama.cpp's server, in its own API and in those of OpenAI and Anthropic. What shows or
// changes the server is not there: slots, props, lora-adapters, metrics, models/load, tools. Optional are infill and rerank.
func LlamaCPP() Preset {
	return Preset{Name: "llamacpp", Routes: join(
		post(llamaCompletion, "/completion", "/completions"),
		post(llamaChat, "/v1/chat/completions", "/chat/completions"),
		post(llamaCompletions, "/v1/completions"),
		post(llamaEmbedding, "/embedding"),
		post(llamaEmbeddings, "/embeddings", "/v1/embeddings"),
		post(openAIResponses, "/v1/responses"),
		post(anthropicMessages, "/v1/messages"),
		post(anthropicCountTokens, "/v1/messages/count_tokens"),
		post(llamaTokenize, "/tokenize"),
		post(vllmDetokenize, "/detokenize"),
		get("/health", "/v1/health", "/models", "/v1/models"),
	), Optional: join(
		post(llamaInfill, "/infill"),
		post(rerank, "/rerank", "/v1/rerank", "/reranking", "/v1/reranking"),
	)}
}

// TGI returns the inference part of Text Generation Inference. Optional is tokenize.
func TGI() Preset {
	return Preset{Name: "tgi", Routes: join(
		post(tgiGenerate, "/{$}", "/generate", "/generate_stream"),
		post(tgiChat, "/v1/chat/completions"),
		post(tgiCompletions, "/v1/completions"),
		get("/health", "/info", "/v1/models"),
	), Optional: post(tgiTokenize, "/tokenize")}
}

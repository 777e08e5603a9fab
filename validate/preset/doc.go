// Package preset holds validators for well-known AI APIs: one for each endpoint, and for each kind of server the set of
// routes that clients need.
//
//	shield := preset.Ollama().Handler(proxy) // chat, generate, embed, tags; no create, pull, push, delete
//	mux.Handle("POST /v1/chat/completions", preset.OpenAIChat().Handler(chat))
//
// # What a preset is
//
// A [Preset] lists routes: methods, exact paths, and for each the validator of its body, which is a JSON Schema, kept as
// data in the folder schema, with limits that fit it. It accepts what the official clients send by default: streaming,
// tools, structured output, images and audio in the request, metadata. It refuses
//
//   - paths that are for the operator (models created, pulled, pushed or deleted, adapters loaded, caches saved, workers
//     put to sleep): they are not there;
//   - members the public API does not have. Self-hosted servers add their own (templates, grammars, processor options,
//     tensors), and that is where their advisories are;
//   - numbers no honest request has: 10^8 choices, the log probabilities of the whole vocabulary;
//   - schemas of the client's that crash a grammar compiler, and references in them to other documents;
//   - URLs to fetch that are not https to a host name;
//   - requests of web pages: see below.
//
// Each bound that answers an advisory cites it in the schema's $comment, and a test here sends the published request.
//
//	preset.OpenAI     chat completions, responses, completions, embeddings, moderations, models
//	preset.Anthropic  messages, count_tokens, models
//	preset.Ollama     generate, chat, embed, embeddings, show, tags, ps, version, and the APIs of the two above
//	preset.VLLM       the same APIs, with vLLM's own sampling options; Optional: tokenize, detokenize, score, rerank
//	preset.LlamaCPP   completion, embedding, tokenize and the same APIs; Optional: infill, rerank
//	preset.TGI        generate, generate_stream, chat completions, completions; Optional: tokenize
//	preset.MCP        one Streamable HTTP endpoint
//
// # Web pages
//
// A server on the visitor's machine is one DNS answer away from any web page (DNS rebinding), and a reverse proxy that sets
// the Host header anew takes away the check that the server behind makes. So [Preset.Front], which [Preset.Handler] includes,
// looks at the Host and Origin headers: see [Preset] Hosts and Origins. Preflight requests (OPTIONS) are routed nowhere, and
// bodies must be application/json, which no page may post to another site without one.
//
// # In a pipeline
//
// The routes of a preset fit those of package mantlet, which brings its own router:
//
//	api := preset.VLLM()
//	for _, rt := range api.Routes {
//		p.Handle(rt.Pattern, mantlet.Route{Body: rt.Body}, api.Front(upstream))
//	}
//
// # What it is not
//
// It does not know which models exist or what one may cost: package auth has model lists, package ratelimit has
// budgets. It does not resolve host names: a public name may point to a private address, which only a check at the
// fetching end can see. It does not look at query strings, and it bounds headers no further than the server's
// [http.Server] MaxHeaderBytes does (1 MB by default; CVE-2025-48956 is what more of them did to vLLM). It does not replace
// an upgrade of a vulnerable server.
//
// # Changing one
//
// A Preset is a value: take routes away, add Optional ones or your own, and set Hosts. [Preset.Configure] changes the Config of
// all routes at once: a larger MaxBody, Shadow, a Logger. The functions for single endpoints,
// and [Route.Config], take the names of further top-level members that clients may send. Self-hosted servers extend the
// APIs:
//
//	preset.OpenAIChat("top_k", "min_p", "repetition_penalty") // vLLM
//	preset.OpenAIChat("keep_alive", "options", "think")       // Ollama
//	preset.OpenAIChat("cache_prompt")                         // llama.cpp
//
// Such a member may hold any JSON value within the limits; the server behind checks it, or does not. A name that is refused on
// purpose, such as chat_template, is no extra: the functions panic with the reason, at start and not in front of a client.
// The same happens for a name that the preset already checks, or one that differs from such a name only by case.
//
// Each endpoint has a function or method that returns its Config, to be changed before [validate.New]: other limits, another
// MaxBody, Shadow for a first look at real traffic, or an edited Schema. An API grows members over time, and a preset
// learns them with a release of this module; until then a client that uses a new one is refused with
// additionalProperties, and the log names the member.
package preset

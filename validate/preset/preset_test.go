package preset_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/preset"
)

// Who changes a Validator that a preset gave him must not switch off the checks of somebody else in the same program.
func TestAValidatorOfAPresetIsItsCallersOwn(t *testing.T) {
	mine := preset.Ollama()
	for _, rt := range mine.Routes {
		if rt.Body != nil {
			if err := rt.Body.Swap(validate.Config{}); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, rt := range append(preset.Ollama().Routes, preset.VLLM().Routes...) {
		if rt.Body != nil && rt.Body.Check([]byte(`{"anything":1}`)) == nil {
			t.Errorf("%s checks nothing any more", rt.Pattern)
		}
	}
	if preset.OpenAIResponses().Check([]byte(`{"anything":1}`)) == nil {
		t.Error("OpenAIResponses checks nothing any more")
	}
}

func TestExtraMembersMayHoldAnythingAndTheRestStaysChecked(t *testing.T) {
	chat := preset.OpenAIChat("top_k", "min_p", "repetition_penalty", "keep_alive", "options", "think", "cache_prompt", "top_k")
	messages := preset.AnthropicMessages("min_p")
	const ask, claude = `{"model":"m","messages":[{"role":"user","content":"x"}],`, `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],`
	for _, ok := range []string{
		`"top_k":40,"min_p":0.05,"repetition_penalty":1.1`, `"keep_alive":"5m","options":{"num_ctx":8192,"any":[null]},"think":true`,
		`"keep_alive":-1,"think":"high"`, `"cache_prompt":true`, `"n":2`,
	} {
		if err := chat.Check([]byte(ask + ok + "}")); err != nil {
			t.Errorf("%s: %v", ok, err)
		}
	}
	if err := messages.Check([]byte(claude + `"min_p":0.1}`)); err != nil {
		t.Error(err)
	}
	for _, no := range []string{`"n":1000000`, `"chat_template":"x"`, `"min_P":1`, `"mirostat":1`, `"top_k":1e9999`} {
		if chat.Check([]byte(ask+no+"}")) == nil {
			t.Errorf("%s: accepted", no)
		}
	}
	if preset.OpenAIChat().Check([]byte(ask+`"top_k":1}`)) == nil {
		t.Error("the shared validator takes the extra members of another")
	}
	v, err := validate.New(preset.OpenAIChatConfig("top_k"))
	if err != nil || v.Check([]byte(ask+`"top_k":1}`)) != nil {
		t.Errorf("the Config does not take them: %v", err)
	}
}

func TestAnExtraMemberThatAnAdvisoryForbidsPanicsWithTheAdvisory(t *testing.T) {
	chat := func(n string) { preset.OpenAIChat(n) }
	chatConfig := func(n string) { preset.OpenAIChatConfig(n) }
	messages := func(n string) { preset.AnthropicMessages("min_p", n) }
	for _, c := range []struct {
		make func(string)
		name string
		want string
	}{
		{chat, "chat_template", "CVE-2025-61620"}, {chatConfig, "chat_template", "CVE-2025-61620"}, {messages, "chat_template", "CVE-2025-61620"},
		{chat, "chat_template_kwargs", "CVE-2025-62426"}, {messages, "mcp_servers", "not for a client to choose"}, {chat, "api_key", "a body that is logged"},
		{chat, "Chat_Template", "CVE-2025-61620"}, {chat, "n", "checks already"}, {chat, "Model", `differs from "model" only by case`}, {chat, "", "without a name"},
	} {
		func() {
			defer func() {
				p, _ := recover().(string)
				if !strings.HasPrefix(p, "preset: ") || !strings.Contains(p, c.want) || !strings.Contains(strings.ToLower(p), strings.ToLower(c.name)) {
					t.Errorf("%q: panic %q, want %q in it", c.name, p, c.want)
				}
			}()
			c.make(c.name)
		}()
	}
}

// The limits of the scan, the schema and the bound of the body must agree: none may cut a text that the others let through.
func TestATextMayFillTheBody(t *testing.T) {
	for name, c := range map[string]struct {
		v    *validate.Validator
		body string
	}{
		"openai: content":   {preset.OpenAIChat(), `{"model":"m","messages":[{"role":"user","content":"@"}]}`},
		"openai: a part":    {preset.OpenAIChat(), `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"@"}]}]}`},
		"openai: a system":  {preset.OpenAIChat(), `{"model":"m","messages":[{"role":"system","content":"@"},{"role":"user","content":"x"}]}`},
		"openai: arguments": {preset.OpenAIChat(), `{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"@"}}]}]}`},
		"anthropic: text":   {preset.AnthropicMessages(), `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"@"}]}`},
		"anthropic: block":  {preset.AnthropicMessages(), `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"text","text":"@"}]}]}`},
		"anthropic: system": {preset.AnthropicMessages(), `{"model":"m","max_tokens":1,"system":"@","messages":[{"role":"user","content":"x"}]}`},
	} {
		full := strings.Replace(c.body, "@", strings.Repeat("a", validate.DefaultMaxBody-len(c.body)+1), 1)
		if err := c.v.Check([]byte(full)); err != nil || len(full) != validate.DefaultMaxBody {
			t.Errorf("%s: %d bytes: %v", name, len(full), err)
		}
		var e *validate.Error
		if err := c.v.Check([]byte(strings.Replace(full, "a", "aa", 1))); !errors.As(err, &e) || e.Status != 413 {
			t.Errorf("%s: one byte more: %v", name, err)
		}
	}
}

func TestAConfigCanBeChangedWithoutTouchingThePreset(t *testing.T) {
	cfg := preset.OpenAIChatConfig()
	clear(cfg.Schema)
	cfg.Methods[0] = "PUT"
	if err := preset.OpenAIChat().Check([]byte(`{"model":"m","messages":[{"role":"user","content":"hi"}]}`)); err != nil {
		t.Errorf("the preset changed with a copy of its Config: %v", err)
	}
	if next := preset.OpenAIChatConfig(); !bytes.Contains(next.Schema, []byte("CVE-2026-34756")) || next.Methods[0] != "POST" {
		t.Error("the next Config changed with a copy")
	}
}

// What the official clients put on the wire, and what applications built on them add.
func TestRealClientRequestsPass(t *testing.T) {
	chat, messages := preset.OpenAIChat(), preset.AnthropicMessages()
	for _, c := range []struct {
		name string
		v    *validate.Validator
		body string
	}{
		{"openai-go: a question", chat, `{"messages":[{"content":"Say this is a test","role":"user"}],"model":"gpt-4o"}`},
		{"openai-go: every role", chat, `{"messages":[{"content":"be brief","role":"system"},{"content":"be brief","role":"developer"},
			{"content":[{"text":"hello","type":"text"}],"role":"user","name":"ann"},
			{"role":"assistant","tool_calls":[{"id":"call_1","function":{"arguments":"{\"city\":\"Oslo\"}","name":"get_weather"},"type":"function"}]},
			{"content":"4 degrees","role":"tool","tool_call_id":"call_1"}],"model":"gpt-4o"}`},
		{"openai-go: streaming", chat, `{"messages":[{"content":"hi","role":"user"}],"model":"gpt-4o","stream_options":{"include_usage":true},"stream":true}`},
		{"openai npm: streaming, sampling", chat, `{"model":"gpt-4o-mini","messages":[{"role":"user","content":"hi"}],"stream":true,"temperature":0.7,
			"top_p":1,"n":1,"max_tokens":256,"presence_penalty":0,"frequency_penalty":0,"logit_bias":{"50256":-100},"stop":["\n","END"],"seed":42,"user":"u-1"}`},
		{"openai npm: nulls", chat, `{"model":"m","messages":[{"role":"user","content":"hi"}],"stop":null,"n":null,"max_tokens":null,"temperature":null,
			"logit_bias":null,"metadata":null,"stream":null,"stream_options":null,"top_logprobs":null,"service_tier":null,"reasoning_effort":null}`},
		{"openai npm: tools of zod", chat, `{"model":"gpt-4o","messages":[{"role":"user","content":"weather?"}],"tools":[{"type":"function","function":{
			"name":"get_weather","description":"Get it","strict":true,"parameters":{"type":"object","properties":{
			"city":{"type":"string","minLength":1},"unit":{"type":["string","null"],"enum":["c","f",null]},
			"mail":{"type":"string","format":"email","pattern":"^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$"},
			"where":{"$ref":"#/$defs/place"},"days":{"type":"array","items":{"type":"integer","minimum":1}},
			"any":{}},"required":["city"],"additionalProperties":false,"$schema":"http://json-schema.org/draft-07/schema#",
			"$defs":{"place":{"anyOf":[{"type":"string"},{"type":"object","properties":{"type":{"type":"string","const":"geo"},"pattern":{"type":"string"}}}]}}}}}],
			"tool_choice":"auto","parallel_tool_calls":false}`},
		{"openai npm: forced tool", chat, `{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f"}}],
			"tool_choice":{"type":"function","function":{"name":"f"}}}`},
		{"openai npm: structured output", chat, `{"model":"gpt-4o","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","json_schema":{
			"name":"math_response","strict":true,"schema":{"type":"object","properties":{"steps":{"type":"array","items":{"type":"object",
			"properties":{"explanation":{"type":"string"}},"required":["explanation"],"additionalProperties":false}}},"required":["steps"],"additionalProperties":false}}}}`},
		{"openai: json mode", chat, `{"model":"m","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_object"}}`},
		{"openai: image by URL and inline", chat, `{"model":"gpt-4o","messages":[{"role":"user","content":[{"type":"text","text":"what is this"},
			{"type":"image_url","image_url":{"url":"https://upload.wikimedia.org/wikipedia/commons/a/a7/Camponotus_flavomarginatus_ant.jpg"}},
			{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==","detail":"low"}}]}]}`},
		{"openai: audio and file", chat, `{"model":"gpt-4o-audio-preview","modalities":["text","audio"],"audio":{"voice":"alloy","format":"wav"},"messages":[{"role":"user","content":[
			{"type":"input_audio","input_audio":{"data":"UklGRmQAAABXQVZFZm10IBAAAAABAAEAQB8AAIA+AAACABAAZGF0YUAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","format":"wav"}},{"type":"file","file":{"file_data":"data:application/pdf;base64,JVBERi0xLjQKMSAwIG9iajw8Pj5lbmRvYmoKeHJlZgowIDEKMDAwMDAwMDAwMCA2NTUzNSBmIAp0cmFpbGVyPDwvUm9vdCAxIDAgUj4+CnN0YXJ0eHJlZgoyNwolJUVPRgo=","filename":"a.pdf"}}]}]}`},
		{"openai: reasoning model", chat, `{"model":"o4-mini","messages":[{"role":"developer","content":"x"},{"role":"user","content":"x"}],
			"reasoning_effort":"high","max_completion_tokens":100000,"verbosity":"low","service_tier":"flex","store":true,"metadata":{"team":"a"},
			"prompt_cache_key":"k","safety_identifier":"s","logprobs":true,"top_logprobs":20}`},
		{"an answer sent back whole", chat, `{"model":"m","messages":[{"role":"user","content":"x"},{"role":"assistant","content":"y","refusal":null,"annotations":[],
			"reasoning_content":"because","function_call":null,"audio":null},{"role":"user","content":"z"}]}`},
		{"legacy functions", chat, `{"model":"m","messages":[{"role":"user","content":"x"},{"role":"assistant","content":null,"function_call":{"name":"f","arguments":"{}"}},
			{"role":"function","name":"f","content":null}],"functions":[{"name":"f","parameters":{}}],"function_call":{"name":"f"}}`},

		{"anthropic: a question", messages, `{"max_tokens":1024,"messages":[{"content":[{"text":"Hello, Claude","type":"text"}],"role":"user"}],"model":"claude-sonnet-4-5"}`},
		{"anthropic: streaming, system, caching", messages, `{"model":"claude-sonnet-4-5","max_tokens":8192,"stream":true,"temperature":1,
			"system":[{"type":"text","text":"You are brief.","cache_control":{"type":"ephemeral"}}],"metadata":{"user_id":"u"},
			"messages":[{"role":"user","content":"hi"}],"stop_sequences":["END"],"top_k":40,"top_p":0.9}`},
		{"anthropic: a tool's round trip", messages, `{"model":"m","max_tokens":1024,"tools":[{"name":"get_stock_price","description":"d","input_schema":{"type":"object",
			"properties":{"ticker":{"type":"string"}},"required":["ticker"]}},{"type":"web_search_20250305","name":"web_search","max_uses":5}],"tool_choice":{"type":"auto","disable_parallel_tool_use":true},
			"messages":[{"role":"user","content":"S&P?"},{"role":"assistant","content":[{"type":"thinking","thinking":"hm","signature":"c2ln"},
			{"type":"tool_use","id":"toolu_1","name":"get_stock_price","input":{"ticker":"^GSPC"}}]},
			{"role":"user","content":[{"type":"tool_result","tool_use_id":"toolu_1","content":[{"type":"text","text":"259.75"}],"is_error":false}]}]}`},
		{"anthropic: thinking, image, document", messages, `{"model":"m","max_tokens":16000,"thinking":{"type":"enabled","budget_tokens":10000},
			"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="}},
			{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}},
			{"type":"document","title":"t","source":{"type":"base64","media_type":"application/pdf","data":"JVBERi0xLjQKMSAwIG9iajw8Pj5lbmRvYmoKeHJlZgowIDEKMDAwMDAwMDAwMCA2NTUzNSBmIAp0cmFpbGVyPDwvUm9vdCAxIDAgUj4+CnN0YXJ0eHJlZgoyNwolJUVPRgo="},"citations":{"enabled":true}},{"type":"text","text":"x"}]}]}`},
		{"anthropic: structured output", messages, `{"model":"m","max_tokens":10,"messages":[{"role":"user","content":"x"}],
			"output_config":{"effort":"high","format":{"type":"json_schema","schema":{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}}}}`},
	} {
		t.Run(c.name, func(t *testing.T) {
			if err := c.v.Check([]byte(c.body)); err != nil {
				t.Error(err)
			}
		})
	}
}

// Each case is the request of the advisory, as published or as its text describes it, against the preset.
func TestPublishedAttacksAreRefused(t *testing.T) {
	chat, messages := preset.OpenAIChat(), preset.AnthropicMessages()
	ask := func(extra string) string {
		return `{"model":"m","messages":[{"role":"user","content":"write a poem"}],` + extra + `}`
	}
	part := func(p string) string {
		return `{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"x"},` + p + `]}]}`
	}
	tool := func(schema string) string {
		return ask(`"tools":[{"type":"function","function":{"name":"f","parameters":` + schema + `}}]`)
	}
	claude := func(extra string) string {
		return `{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"x"}],` + extra + `}`
	}
	frames := strings.Repeat("/9j/4AAQ,", 5000)
	for _, c := range []struct {
		advisory         string
		v                *validate.Validator
		body             string
		pointer, keyword string
	}{
		{"CVE-2026-34756 (n = 10^6)", chat, ask(`"n":1000000`), "/n", "maximum"},
		{"CVE-2026-34756 (n past the bound)", chat, ask(`"n":129`), "/n", "maximum"},
		{"CVE-2026-34756 (n as a fraction)", chat, ask(`"n":1.5`), "/n", "type"},
		{"CVE-2026-34756 (n past 64 bits)", chat, ask(`"n":99999999999999999999`), "/n", "maximum"},
		{"CVE-2025-61620 (template)", chat, ask(`"chat_template":"{% for i in range(10**9) %}x{% endfor %}"`), "/chat_template", "not"},
		{"CVE-2025-61620 (template in the arguments)", chat, ask(`"chat_template_kwargs":{"chat_template":"{% for x in range(99999) %}{% endfor %}"}`), "/chat_template_kwargs", "not"},
		{"CVE-2025-62426 (tokenize)", chat, ask(`"chat_template_kwargs":{"tokenize":true}`), "/chat_template_kwargs", "not"},
		{"CVE-2025-62426 on /v1/messages", messages, claude(`"chat_template_kwargs":{"tokenize":true}`), "/chat_template_kwargs", "not"},
		{"CVE-2025-48942 (guided_json)", chat, ask(`"guided_json":{"properties":{"reason":{"type":"stsring"}}}`), "/guided_json", "not"},
		{"CVE-2025-48942 (response_format)", chat, ask(`"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{"properties":{"reason":{"type":"stsring"}}}}}`), "", ""},
		{"CVE-2025-48943 (guided_regex)", chat, ask(`"guided_regex":"foo**"`), "/guided_regex", "not"},
		{"CVE-2025-48944 (type in a tool)", chat, tool(`{"type":"object","properties":{"x":{"type":"something"}}}`), "", ""},
		{"CVE-2025-48944 (pattern in a tool)", chat, tool(`{"type":"object","properties":{"x":{"type":"string","pattern":"foo**"}}}`), "", ""},
		{"CVE-2025-48944 (open group in a tool)", chat, tool(`{"type":"object","properties":{"x":{"type":"string","pattern":"("}}}`), "", ""},
		{"CVE-2025-48944 on /v1/messages", messages, claude(`"tools":[{"name":"f","input_schema":{"type":"object","properties":{"x":{"type":"something"}}}}]`), "", ""},
		{"CVE-2024-8939 (best_of)", chat, ask(`"best_of":1000000`), "/best_of", "not"},
		{"CVE-2024-8768 (no prompt)", chat, `{"model":"m","messages":[]}`, "/messages", "minItems"},
		{"CVE-2024-8768 on /v1/messages", messages, `{"model":"m","max_tokens":1,"messages":[]}`, "/messages", "minItems"},
		{"CVE-2026-5497 (video frames)", chat, part(`{"type":"video_url","video_url":{"url":"data:video/jpeg;base64,` + frames + `"}}`), "", ""},
		{"CVE-2026-5497 (video in an image part)", chat, part(`{"type":"image_url","image_url":{"url":"data:video/jpeg;base64,` + frames + `"}}`), "", ""},
		{"CVE-2025-62164 (tensor)", chat, ask(`"prompt_embeds":"gAJjdG9yY2g="`), "/prompt_embeds", "not"},
		{"CVE-2025-62164 (tensor part)", chat, part(`{"type":"prompt_embeds","prompt_embeds":"gAJjdG9yY2g="}`), "", ""},
		{"CVE-2025-6242 (loopback)", chat, part(`{"type":"image_url","image_url":{"url":"http://127.0.0.1:8000/admin"}}`), "", ""},
		{"CVE-2025-6242 (metadata service)", chat, part(`{"type":"image_url","image_url":{"url":"https://169.254.169.254/latest/meta-data/"}}`), "", ""},
		{"CVE-2025-6242 (decimal address)", chat, part(`{"type":"image_url","image_url":{"url":"https://2130706433/"}}`), "", ""},
		{"CVE-2025-6242 (IPv6 loopback)", chat, part(`{"type":"image_url","image_url":{"url":"https://[::1]/"}}`), "", ""},
		{"CVE-2025-6242 (cluster name)", chat, part(`{"type":"image_url","image_url":{"url":"https://vllm.default.svc.cluster.local/x"}}`), "", ""},
		{"CVE-2025-6242 (file)", chat, part(`{"type":"image_url","image_url":{"url":"file:///etc/passwd"}}`), "", ""},
		{"CVE-2025-6242 on /v1/messages", messages, `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"image","source":{"type":"url","url":"https://10.0.0.1/x"}}]}]}`, "", ""},
		{"CVE-2026-24779 (backslash host)", chat, part(`{"type":"image_url","image_url":{"url":"https://internal.example.com\\@allowed.example.com/x"}}`), "", ""},
		{"CVE-2026-24779 (user part)", chat, part(`{"type":"image_url","image_url":{"url":"https://allowed.example.com@internal.example.com/x"}}`), "", ""},
		{"log probabilities of the whole vocabulary", chat, ask(`"logprobs":true,"top_logprobs":-1`), "/top_logprobs", "minimum"},
		{"prompt_logprobs of the whole vocabulary", chat, ask(`"prompt_logprobs":-1`), "/prompt_logprobs", "not"},
		{"a million output tokens", chat, ask(`"max_tokens":1000000`), "/max_tokens", "maximum"},
		{"a million output tokens, new name", chat, ask(`"max_completion_tokens":1000000`), "/max_completion_tokens", "maximum"},
		{"another upstream", chat, ask(`"api_base":"https://evil.example"`), "/api_base", "not"},
		{"servers of the client's", messages, claude(`"mcp_servers":[{"type":"url","url":"https://evil.example","name":"x"}]`), "/mcp_servers", "not"},
		{"a member nobody knows", chat, ask(`"extra_body":{"x":1}`), "", "additionalProperties"},
		{"a model in another case", chat, `{"model":"allowed","MoDeL":"other","messages":[{"role":"user","content":"x"}]}`, "/?", ""},
		{"a lone model in another case", chat, `{"MODEL":"other","messages":[{"role":"user","content":"x"}]}`, "/?", "case"},
		{"a schema fetched from elsewhere", chat, tool(`{"type":"object","$ref":"https://evil.example/schema.json"}`), "", ""},
		{"messages past the bound", chat, `{"model":"m","messages":[` + strings.Repeat(`{"role":"user","content":"x"},`, 2048) + `{"role":"user","content":"x"}]}`, "/messages", "maxItems"},
		{"tools past the bound", chat, ask(`"tools":[` + strings.Repeat(`{"type":"function","function":{"name":"f"}},`, 128) + `{"type":"function","function":{"name":"f"}}]`), "/tools", "maxItems"},
		{"temperature past the range", chat, ask(`"temperature":2.1`), "/temperature", "maximum"},
		{"nesting past the bound", chat, tool(strings.Repeat(`{"items":`, 70) + `{}` + strings.Repeat(`}`, 70)), "", "Depth"},
	} {
		t.Run(c.advisory, func(t *testing.T) {
			if !json.Valid([]byte(c.body)) {
				t.Fatal("the test's body is not JSON")
			}
			err := c.v.Check([]byte(c.body))
			var e *validate.Error
			if !errors.As(err, &e) {
				t.Fatalf("accepted: %.200s", c.body)
			}
			if c.keyword != "" && e.Keyword != c.keyword || c.pointer != "" && e.Pointer != c.pointer {
				t.Errorf("refused at %q for %q, want %q for %q", e.Pointer, e.Keyword, c.pointer, c.keyword)
			}
		})
	}
}

// The bound itself passes: caps must not be off by one.
func TestValuesAtTheBoundPass(t *testing.T) {
	for _, extra := range []string{
		`"n":128`, `"n":1`, `"temperature":2`, `"temperature":0`, `"top_p":1`, `"top_logprobs":20`, `"max_tokens":131072`, `"max_completion_tokens":131072`,
		`"stop":["a","b","c","d"]`, `"logit_bias":{"1":100,"2":-100}`, `"seed":9223372036854775807`, `"frequency_penalty":-2`,
		`"tools":[` + strings.Repeat(`{"type":"function","function":{"name":"f"}},`, 127) + `{"type":"function","function":{"name":"f"}}]`,
	} {
		body := fmt.Sprintf(`{"model":"m","messages":[{"role":"user","content":"x"}],%s}`, extra)
		if err := preset.OpenAIChat().Check([]byte(body)); err != nil {
			t.Errorf("%.60s: %v", extra, err)
		}
	}
}

// What a preset accepts is JSON for everybody: encoding/json reads it, and what encoding/json writes again is accepted by the
// same preset. Nothing panics.
func FuzzWhatAPresetAcceptsIsJSONForEverybody(f *testing.F) {
	f.Add([]byte(`{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":{"pattern":"(?<=a)\\u{1}"}}}]}`))
	f.Add([]byte(`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"x","content":[]}]}]}`))
	for _, body := range samples {
		f.Add([]byte(body))
	}
	for _, body := range honest {
		f.Add([]byte(body.body))
	}
	checked := map[string]*validate.Validator{}
	for _, name := range preset.Names() {
		p, _ := preset.ByName(name)
		for _, rt := range append(p.Routes, p.Optional...) {
			if rt.Body != nil {
				checked[name+" "+rt.Pattern] = rt.Body
			}
		}
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for name, v := range checked {
			if v.Check(body) != nil {
				continue
			}
			var doc map[string]any
			d := json.NewDecoder(bytes.NewReader(body))
			d.UseNumber()
			if err := d.Decode(&doc); err != nil {
				t.Fatalf("%s accepted what is no object for encoding/json: %v: %q", name, err, body)
			}
			again, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			if err := v.Check(again); err != nil && !tooLong(err) {
				t.Fatalf("%s accepted %q and not %q: %v", name, body, again, err)
			}
		}
	})
}

// tooLong reports whether the text that encoding/json wrote was too long: it escapes <, > and & with six bytes.
func tooLong(err error) bool {
	var e *validate.Error
	return errors.As(err, &e) && (e.Status == 413 || e.Keyword == "StringLen" || e.Keyword == "KeyLen")
}

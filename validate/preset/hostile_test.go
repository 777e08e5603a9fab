package preset_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/preset"
)

// harmless is what stands where a hostile case has @: the same request must pass then, so that a case fails for its own sake.
type hostile struct{ place, harmless, attack string }

// refuses fires each attack at each preset.
func refuses(t *testing.T, presets map[string]*validate.Validator, cases []hostile) {
	t.Helper()
	for _, c := range cases {
		for name, v := range presets {
			if err := v.Check([]byte(strings.Replace(c.place, "@", c.harmless, 1))); err != nil {
				t.Errorf("%s: %s is refused without the attack: %v", name, strings.Replace(c.place, "@", c.harmless, 1), err)
			}
			if v.Check([]byte(strings.Replace(c.place, "@", c.attack, 1))) == nil {
				t.Errorf("%s: %.200s passes", name, strings.Replace(c.place, "@", c.attack, 1))
			}
		}
	}
}

func chats(t *testing.T) map[string]*validate.Validator {
	all := map[string]*validate.Validator{"openai": preset.OpenAIChat()}
	for _, name := range []string{"vllm", "llamacpp", "tgi", "ollama"} {
		all[name] = body(t, name, "POST /v1/chat/completions")
	}
	return all
}

// vLLM takes image_url, video_url, image_embeds and their like from a part of any type that has a uuid.
func TestAPartHoldsNoMediaBesideAHarmlessType(t *testing.T) {
	const (
		part = `{"model":"m","messages":[{"role":"user","content":[@]}]}`
		text = `{"type":"text","text":"x"}`
	)
	var cases []hostile
	for _, more := range []string{
		`"image_url":{"url":"http://169.254.169.254/"}`, `"image_url":"http://169.254.169.254/"`, `"uuid":"1","video_url":"http://169.254.169.254/"`,
		`"uuid":"1"`, `"video_url":{"url":"http://169.254.169.254/"}`, `"audio_url":{"url":"file:///etc/passwd"}`, `"image_embeds":"AAAA"`,
		`"audio_embeds":"AAAA"`, `"image_pil":"AAAA"`, `"prompt_embeds":{"data":"AAAA"}`, `"IMAGE_URL":{"url":"http://169.254.169.254/"}`, `"source":{"type":"url","url":"http://x"}`,
	} {
		cases = append(cases,
			hostile{part, text, `{"type":"text","text":"x",` + more + `}`},
			hostile{part, text, `{"type":"refusal","refusal":"x",` + more + `}`},
			hostile{part, `{"type":"file","file":{}}`, `{"type":"file","file":{},` + more + `}`},
			hostile{`{"model":"m","messages":[{"role":"user","content":"x","extra":@}]}`, `{"a":1}`, `[{` + more + `}]`},
			hostile{`{"model":"m","messages":[{"role":"user","content":"x"@}]}`, `,"extra":1`, `,` + more},
		)
	}
	refuses(t, chats(t), append(cases,
		hostile{part, text, `{"type":"file","file":{},"uuid":"1","image_embeds":"AAAA","audio_url":{"url":"file:///etc/passwd"}}`},
		hostile{part, text, `{"type":"image_url","image_url":{"url":"data:image/png;base64,` + onePixel + `"},"file":{"file_url":"http://x"}}`},
		hostile{`{"model":"m","messages":[{"role":"assistant","content":"x","annotations":[@]}]}`,
			`{"type":"url_citation","url_citation":{"url":"http://example.com","title":"t","start_index":0,"end_index":1}}`, `{"type":"url_citation","image_url":{"url":"http://169.254.169.254/"}}`},
		hostile{`{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}@}]},{"role":"user","content":"x"}]}`,
			`,"extra_content":{"google":{"thought_signature":"s"}}`, `,"extra_content":{"google":{"file_url":"http://x"}}`},
	))
}

func TestAnItemOfTheResponsesAPIHoldsNothingToFetch(t *testing.T) {
	const item, url = `{"model":"m","input":[{"role":"user","content":"x"},@]}`, `"http://169.254.169.254/"`
	tool := func(harmless, attack string) hostile {
		return hostile{`{"model":"m","input":"x","tools":[@]}`, harmless, attack}
	}
	refuses(t, map[string]*validate.Validator{"openai": preset.OpenAIResponses(), "vllm": body(t, "vllm", "POST /v1/responses")}, []hostile{
		{`{"model":"m","input":[{"role":"user","content":[@]}]}`, `{"type":"input_text","text":"x"}`, `{"type":"input_text","text":"x","image_url":` + url + `}`},
		{`{"model":"m","input":[{"role":"user","content":[@]}]}`, `{"type":"refusal","refusal":"x"}`, `{"type":"refusal","refusal":"x","uuid":"1","video_url":` + url + `}`},
		{item, `{"type":"reasoning","content":[{"type":"reasoning_text","text":"x"}]}`, `{"type":"reasoning","content":[{"type":"input_image","image_url":` + url + `}]}`},
		{item, `{"type":"reasoning","content":null,"summary":[{"type":"summary_text","text":"x"}]}`, `{"type":"reasoning","summary":[{"type":"input_image","image_url":` + url + `}]}`},
		{item, `{"type":"local_shell_call_output","output":"x"}`, `{"type":"local_shell_call_output","output":[{"type":"input_image","image_url":` + url + `}]}`},
		{item, `{"type":"shell_call_output","call_id":"c","output":[{"stdout":"x","stderr":"","outcome":{"type":"exit","exit_code":0}}]}`, `{"type":"shell_call_output","call_id":"c","output":[{"type":"input_file","file_url":` + url + `}]}`},
		{item, `{"type":"shell_call_output","call_id":"c","output":[]}`, `{"type":"shell_call_output","call_id":"c","output":[{"stdout":"x","image_url":` + url + `}]}`},
		{item, `{"type":"shell_call_output","call_id":"c","output":[]}`, `{"type":"shell_call_output","call_id":"c","output":{"type":"computer_screenshot","image_url":` + url + `}}`},
		{item, `{"type":"image_generation_call","id":"i","status":"completed","action":"generate","result":"x"}`, `{"type":"image_generation_call","image_url":` + url + `,"result":"x"}`},
		{item, `{"type":"program","id":"p","call_id":"c","code":"1","fingerprint":"f"}`, `{"type":"program","tools":[{"type":"mcp","server_url":"http://x"}]}`},
		{item, `{"type":"program_output","id":"p","call_id":"c","result":"1"}`, `{"type":"program_output","result":{"image_url":` + url + `}}`},
		{item, `{"type":"web_search_call","id":"w","action":{"type":"search","query":"q","sources":[{"type":"url","url":"http://example.com"}]}}`, `{"type":"web_search_call","id":"w","action":{"type":"search","image_url":` + url + `}}`},
		{item, `{"type":"computer_call","id":"c","call_id":"c","action":{"type":"click","button":"left","x":1,"y":2},"pending_safety_checks":[]}`, `{"type":"computer_call","id":"c","call_id":"c","action":{"type":"click","file_url":` + url + `}}`},
		{item, `{"type":"file_search_call","id":"f","queries":["q"],"results":[{"file_id":"f","text":"x","attributes":{"url":"http://example.com"}}]}`, `{"type":"file_search_call","id":"f","results":[{"file_url":` + url + `}]}`},
		{item, `{"type":"code_interpreter_call","id":"c","outputs":[{"type":"logs","logs":"x"}]}`, `{"type":"code_interpreter_call","id":"c","outputs":[{"type":"image","image_url":` + url + `}]}`},
		{item, `{"type":"local_shell_call","id":"l","call_id":"c","status":"completed","action":{"type":"exec","command":["ls"],"env":{"BASE_URL":"http://x"}}}`, `{"type":"local_shell_call","URL":` + url + `}`},
		{item, `{"type":"apply_patch_call","call_id":"c","status":"completed","operation":{"type":"create_file","path":"a","diff":"+a"}}`, `{"type":"apply_patch_call","call_id":"c","operation":{"type":"create_file","source":` + url + `}}`},
		tool(`{"type":"web_search","filters":{"allowed_domains":["example.com"]},"search_context_size":"low"}`, `{"type":"web_search","Server_URL":"http://x"}`),
		tool(`{"type":"web_search","user_location":{"type":"approximate","city":"Oslo"}}`, `{"type":"web_search","filters":{"server_url":"http://x"}}`),
		tool(`{"type":"image_generation","svg":{"reasoning":{"effort":"low"}}}`, `{"type":"image_generation","x":{"image_url":`+url+`}}`),
		tool(`{"type":"file_search","vector_store_ids":["v"],"filters":{"type":"and","filters":[{"type":"eq","key":"url","value":"x"}]}}`, `{"type":"file_search","vector_store_ids":["v"],"Headers":{"X":"y"}}`),
		{`{"model":"m","input":"x","tool_choice":{"type":"allowed_tools","mode":"auto","tools":[@]}}`, `{"type":"function","name":"f"}`, `{"type":"mcp","server_url":"http://x"}`},
	})
}

func TestABlockOfTheMessagesAPIHoldsNothingToFetch(t *testing.T) {
	const block, url = `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":[@]}]}`, `{"type":"url","url":"http://169.254.169.254/"}`
	tool := func(harmless, attack string) hostile {
		return hostile{`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"tools":[@]}`, harmless, attack}
	}
	refuses(t, map[string]*validate.Validator{"anthropic": preset.AnthropicMessages(), "vllm": body(t, "vllm", "POST /v1/messages")}, []hostile{
		{block, `{"type":"web_search_tool_result","tool_use_id":"t","content":[{"type":"web_search_result","url":"http://example.com","title":"t","encrypted_content":"e","page_age":null}]}`, `{"type":"web_search_tool_result","content":[{"type":"document","source":` + url + `}]}`},
		{block, `{"type":"web_search_tool_result","tool_use_id":"t","content":{"type":"web_search_tool_result_error","error_code":"unavailable"}}`, `{"type":"web_search_tool_result","tool_use_id":"t","content":{"source":` + url + `}}`},
		{block, `{"type":"text","text":"x","citations":[{"type":"web_search_result_location","url":"http://example.com","title":"t","encrypted_index":"e","cited_text":"c"}]}`, `{"type":"text","text":"x","source":` + url + `}`},
		{block, `{"type":"thinking","thinking":"x","signature":"s"}`, `{"type":"thinking","source":` + url + `}`},
		{block, `{"type":"tool_use","id":"i","name":"n","input":{"url":"http://example.com"}}`, `{"type":"tool_use","id":"i","name":"n","input":{},"source":` + url + `}`},
		{block, `{"type":"tool_result","tool_use_id":"i","content":"x"}`, `{"type":"tool_result","tool_use_id":"i","source":` + url + `}`},
		{block, `{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + onePixel + `"}}`, `{"type":"image","source":{"type":"base64","media_type":"image/png","data":"` + onePixel + `"},"image_url":"http://x"}`},
		{block, `{"type":"code_execution_tool_result","tool_use_id":"t","content":{"type":"code_execution_result","stdout":"x","stderr":"","return_code":0,"content":[{"type":"code_execution_output","file_id":"f"}]}}`, `{"type":"code_execution_tool_result","tool_use_id":"t","content":{"type":"code_execution_result","content":[{"type":"image","source":` + url + `}]}}`},
		{block, `{"type":"tool_search_tool_result","tool_use_id":"t","content":{"type":"tool_search_tool_search_result","tool_references":[{"type":"tool_reference","tool_name":"f"}]}}`, `{"type":"tool_reference","tool_name":"f","source":` + url + `}`},
		{block, `{"type":"document","title":"t","context":null,"source":{"type":"text","media_type":"text/plain","data":"x"}}`, `{"type":"document","source":{"type":"text","media_type":"text/plain","data":"x"},"file_url":"http://x"}`},
		{block, `{"type":"text","text":"x"}`, `{"type":"document","source":{"type":"base64","media_type":"text/plain","data":"TVqQ"}}`},
		{`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"@}]}`, ``, `,"source":` + url},
		{`{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"context_management":@}`, `{"edits":[{"type":"clear_tool_uses_20250919"}]}`, `{"edits":[{"url":"http://x"}]}`},
		tool(`{"name":"f","type":"x"}`, `{"name":"f","type":"x","URL":"http://169.254.169.254/"}`),
		tool(`{"name":"f","type":"x","x":{"a":1}}`, `{"name":"f","type":"x","x":{"url":"http://169.254.169.254/"}}`),
		tool(`{"name":"f","input_schema":{"type":"object","properties":{"url":{"type":"string"}}},"input_examples":[{"url":"http://example.com"}]}`, `{"name":"f","input_schema":{"type":"object"},"mcp_server_name":"x"}`),
	})
}

// CVE-2026-0599 in pieces: the router of Text Generation Inference joins the parts of a message with nothing between.
func TestALinkInPiecesDoesNotReachTGI(t *testing.T) {
	tgi := body(t, "tgi", "POST /v1/chat/completions")
	check := func(parts ...string) error {
		var texts []string
		for _, p := range parts {
			b, err := json.Marshal(map[string]string{"type": "text", "text": p})
			if err != nil {
				t.Fatal(err)
			}
			texts = append(texts, string(b))
		}
		return tgi.Check([]byte(`{"messages":[{"role":"user","content":[` + strings.Join(texts, ",") + `]}]}`))
	}
	const link = "![](http://169.254.169.254/)"
	for i := 0; i <= len("![](http"); i++ {
		for j := i; j <= len("![](http"); j++ {
			if check("x"+link[:i], link[i:j], "", link[j:]) == nil {
				t.Errorf("%q %q %q passes", link[:i], link[i:j], link[j:])
			}
		}
	}
	for _, ok := range [][]string{{"Hello!", "[1] a citation", "(as in the paper) what is that?", "how?"}, {"a!", "![alt](https://example.com)", "[link](http://example.com)"}} {
		if err := check(ok...); err != nil {
			t.Errorf("%q: %v", ok, err)
		}
	}
}

// CVE-2025-48942, CVE-2025-48944 and their class: a compiler of grammars reads what stands below every keyword.
func TestASchemaOfTheClientsIsCheckedBelowEveryKeyword(t *testing.T) {
	places := map[string]func(string) error{
		"chat tool":        at(preset.OpenAIChat(), `{"model":"m","messages":[{"role":"user","content":"x"}],"tools":[{"type":"function","function":{"name":"f","parameters":@}}]}`),
		"chat format":      at(preset.OpenAIChat(), `{"model":"m","messages":[{"role":"user","content":"x"}],"response_format":{"type":"json_schema","json_schema":{"name":"f","schema":@}}}`),
		"responses format": at(preset.OpenAIResponses(), `{"model":"m","input":"x","text":{"format":{"type":"json_schema","name":"f","schema":@}}}`),
		"anthropic tool":   at(preset.AnthropicMessages(), `{"model":"m","max_tokens":1,"messages":[{"role":"user","content":"x"}],"tools":[{"name":"f","input_schema":@}]}`),
		"ollama format":    at(body(t, "ollama", "POST /api/generate"), `{"model":"m","format":@}`),
		"llama.cpp":        at(body(t, "llamacpp", "POST /completion"), `{"prompt":"x","json_schema":@}`),
	}
	bad := []string{
		`{"type":"object","then":{"$ref":"https://evil.example/x"}}`, `{"$dynamicRef":"https://evil","$id":"https://evil"}`, `{"$dynamicRef":"https://evil"}`, `{"$recursiveRef":"https://evil"}`,
		`{"$id":"https://evil"}`, `{"$id":"//evil/x"}`, `{"contains":{"type":"bogus","pattern":"((("}}`, `{"propertyNames":{"pattern":"((("}}`,
		`{"dependencies":{"a":{"type":"bogus"}}}`, `{"dependencies":{"a":[{"type":"bogus"}]}}`, `{"dependentRequired":{"a":[1]}}`,
	}
	for _, k := range []string{
		"if", "then", "else", "not", "contains", "propertyNames", "additionalItems", "additionalProperties", "unevaluatedItems", "unevaluatedProperties", "contentSchema", "items",
	} {
		bad = append(bad, `{"`+k+`":{"type":"bogus"}}`, `{"`+k+`":{"$ref":"http://evil"}}`)
	}
	for _, k := range []string{"properties", "patternProperties", "$defs", "definitions", "dependentSchemas"} {
		bad = append(bad, `{"`+k+`":{"a":{"type":"bogus"}}}`)
	}
	for _, k := range []string{"allOf", "anyOf", "oneOf", "prefixItems"} {
		bad = append(bad, `{"`+k+`":[{"type":"bogus"}]}`)
	}
	good := []string{
		`{"type":"object","properties":{"a":{"type":"string","minLength":1,"maxLength":65536}},"dependentRequired":{"a":["b"]},"dependencies":{"a":["b"],"c":{"type":"object"}}}`,
		`{"$id":"place.json","$dynamicRef":"#x","if":{"const":1},"then":true,"else":false,"contains":{"enum":[1]},"propertyNames":{"pattern":"^a"}}`,
		`{"properties":{"$id":{"type":"string"},"minLength":{"type":"integer"},"then":{"description":"https://example.com"}}}`,
	}
	for _, k := range []string{"minLength", "maxLength", "minItems", "maxItems", "minContains", "maxContains", "minProperties", "maxProperties"} {
		bad = append(bad, `{"properties":{"a":{"`+k+`":65537}}}`, `{"`+k+`":-1}`, `{"`+k+`":"1"}`)
		good = append(good, `{"properties":{"a":{"`+k+`":65536}}}`)
	}
	for place, check := range places {
		for _, s := range good {
			if err := check(s); err != nil {
				t.Errorf("%s: %s: %v", place, s, err)
			}
		}
		for _, s := range bad {
			if check(s) == nil {
				t.Errorf("%s: %s passes", place, s)
			}
		}
	}
}

func TestAToolOfAChatIsClosedAndBounded(t *testing.T) {
	const with = `{"model":"m","messages":[{"role":"user","content":"x"}],@}`
	long := strings.Repeat("a", 100<<10)
	custom := func(definition string) string {
		return `"tools":[{"type":"custom","custom":{"name":"f","description":"d","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"` + definition + `"}}}}]`
	}
	function := `"tools":[{"type":"function","function":{"name":"f"}}]`
	choice := func(name string) string {
		return `"tool_choice":{"type":"function","function":{"name":"` + name + `"}}`
	}
	refuses(t, chats(t), []hostile{
		{with, custom("start: x"), custom(long)},
		{with, function, `"tools":[{"type":"function","function":{"name":"f"},"guided_json":1}]`},
		{with, function, `"tools":[{"type":"function","function":{"name":"f"},"custom":{"name":"f","format":{"type":"regex"}}}]`},
		{with, `"moderation":{"model":"m"}`, `"moderation":{"model":"m","base_url":"http://x"}`},
		{with, function, `"tools":[{"type":"custom","function":{"name":"f"}}]`},
		{with, choice("f"), choice(long)},
		{with, choice("f"), `"tool_choice":{"type":"function","function":{"name":"f","guided_json":1}}`},
		{with, `"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}}]}}`, `"tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"mcp","server_label":"x"}]}}`},
	})
}

// A model that is kept for a nanosecond is unloaded under those who use it.
func TestAModelIsKeptForASecondAtLeast(t *testing.T) {
	check := at(body(t, "ollama", "POST /api/generate"), `{"model":"m","keep_alive":"@"}`)
	for _, s := range []string{"0.000000001s", "0h0m0.5s", "00s", "0.0s", "000m"} {
		if check(s) == nil {
			t.Errorf("%q passes", s)
		}
	}
	for _, s := range []string{"1s", "1.000000001s", "0h0m1s", "1m0.5s", "10m", "1h"} {
		if err := check(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
}

// No pattern of a preset reads a string of the body's size slowly: RE2 takes up to 200 ns for each byte, a second for a body. What
// is measured against is a text without anything, and the best of three.
func TestNoPatternOfAPresetReadsAWholeBodySlowly(t *testing.T) {
	fill := func(body, unit string) []byte {
		return []byte(strings.Replace(body, "@", strings.Repeat(unit, (validate.DefaultMaxBody-len(body))/len(unit)), 1))
	}
	took := func(v *validate.Validator, body []byte) time.Duration {
		best := time.Hour
		for range 3 {
			start := time.Now()
			v.Check(body)
			best = min(best, time.Since(start))
		}
		return best
	}
	chat := `{"model":"m","messages":[{"role":"user","content":[@]}]}`
	plain := took(preset.OpenAIChat(), fill(strings.Replace(chat, "@", `{"type":"text","text":"@"}`, 1), "a"))
	for _, c := range []struct {
		name string
		v    *validate.Validator
		body []byte
	}{
		{"a link that is none", body(t, "tgi", "POST /generate"), fill(`{"inputs":"@"}`, "![](data:image/")},
		{"the beginning of a link", body(t, "tgi", "POST /generate"), fill(`{"inputs":"@"}`, "![](")},
		{"in a part", body(t, "tgi", "POST /v1/chat/completions"), fill(strings.Replace(chat, "@", `{"type":"text","text":"@"}`, 1), "![]")},
		{"a media type without end", preset.OpenAIChat(), fill(strings.Replace(chat, "@", `{"type":"file","file":{"file_data":"data:@"}}`, 1), "a")},
		{"a subtype without end", preset.OpenAIChat(), fill(strings.Replace(chat, "@", `{"type":"file","file":{"file_data":"data:a/@"}}`, 1), "a")},
		{"a time without end", body(t, "ollama", "POST /api/generate"), fill(`{"model":"m","keep_alive":"@"}`, "0")},
		{"a model without end", body(t, "ollama", "POST /api/generate"), fill(`{"model":"@"}`, "/")},
		{"a pattern without end", body(t, "llamacpp", "POST /completion"), fill(`{"prompt":"x","json_schema":{"pattern":"@"}}`, "(?(")},
		{"a reference without end", preset.OpenAIChat(), fill(`{"model":"m","messages":[{"role":"user","content":"x"}],"functions":[{"name":"f","parameters":{"$id":"@"}}]}`, "a/")},
	} {
		if d := took(c.v, c.body); d > 30*plain {
			t.Errorf("%s: %v, a plain text takes %v", c.name, d, plain)
		}
	}
}

// free are the places of the honest requests where a name may be spelled in any case, with why: patterns of the place of a name.
var free = map[string]string{
	`/metadata/[^/]+$`:                                   "a label of the client's",
	`/(arguments|input|env|attributes)/`:                 "for a tool, in its words",
	`/variables/[^/]+$`:                                  "a name in a stored prompt",
	`/properties/[^/]+$`:                                 "a property that the client's schema names",
	`^vllm /v1/chat/completions/documents/[0-9]+/[^/]+$`: "text for a template, under the client's name",
	`/(reasoning_details|parsed_arguments)/`:             "what a client keeps of an answer, for itself",
	`^mcp /mcp/result/`:                                  "an answer for the server, which asked for it",
	`^mcp /mcp/params/(_meta|capabilities|clientInfo)/`:  "what the client says of itself: another case of it is nothing that is said",
}

// A server in Go takes a name in another case for the declared one; a check that knows one spelling only is passed by it.
func TestANameInAnotherCaseIsRefusedWhereverItMeansSomething(t *testing.T) {
	probe, err := validate.New(validate.Config{Schema: []byte(`{"if":{"properties":{"type":{"const":"u"}}},"then":{"properties":{"url":{}}}}`)})
	if err != nil {
		t.Fatal(err)
	}
	if probe.Check([]byte(`{"type":"u","URL":1}`)) == nil {
		t.Skip("package validate does not compare names below if/then without their case yet: URL passes where then declares url")
	}
	tried, used := 0, map[string]bool{}
	places := map[string]*regexp.Regexp{}
	for at := range free {
		places[at] = regexp.MustCompile(at)
	}
	for _, c := range honest {
		p := everything(t)[c.preset]
		i := slices.IndexFunc(p.Routes, func(rt preset.Route) bool { return rt.Pattern == "POST "+c.path })
		var doc any
		d := json.NewDecoder(strings.NewReader(c.body))
		d.UseNumber()
		if err := d.Decode(&doc); err != nil {
			t.Fatal(err)
		}
		shouted(doc, "", func(at string) {
			tried++
			b := new(bytes.Buffer)
			enc := json.NewEncoder(b)
			enc.SetEscapeHTML(false)
			if err := enc.Encode(doc); err != nil {
				t.Fatal(err)
			}
			if p.Routes[i].Body.Check(b.Bytes()) != nil {
				return
			}
			for expr, place := range places {
				if place.MatchString(c.preset + " " + c.path + at) {
					used[expr] = true
					return
				}
			}
			t.Errorf("%s %s: %s passes in capitals", c.preset, c.path, at)
		})
	}
	for expr, why := range free {
		if !used[expr] {
			t.Errorf("nothing is free for being %s", why)
		}
	}
	if tried < 300 {
		t.Errorf("only %d names tried", tried)
	}
}

// shouted calls check with each name of doc in capitals, one at a time.
func shouted(node any, at string, check func(at string)) {
	switch node := node.(type) {
	case []any:
		for i, e := range node {
			shouted(e, fmt.Sprint(at, "/", i), check)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(node)) {
			v := node[name]
			if loud := strings.ToUpper(name); loud != name {
				delete(node, name)
				node[loud] = v
				check(at + "/" + name)
				delete(node, loud)
				node[name] = v
			}
			shouted(v, at+"/"+name, check)
		}
	}
}

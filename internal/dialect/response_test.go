package dialect_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/raced"
)

// showReply lists texts one a line: channel as choice.block.field, kind, w for whole, and content.
func showReply(data string, r *dialect.Response) string {
	var b strings.Builder
	for _, t := range r.Texts {
		whole := ""
		if t.Whole {
			whole = " w"
		}
		fmt.Fprintf(&b, "%d.%d %s%s: %s\n", t.Channel>>20, t.Channel>>8&0xfff, t.Kind, whole, data[t.Start:t.End])
	}
	for _, s := range r.Repeats {
		fmt.Fprintf(&b, "repeat: %s\n", data[s.Start:s.End])
	}
	return b.String()
}

func facts(r *dialect.Response) string {
	var f []string
	f = append(f, string(r.ID), string(r.Model))
	if r.Usage.Known {
		f = append(f, fmt.Sprintf("%d(%d)+%d", r.Usage.Input, r.Usage.CachedInput, r.Usage.Output))
	}
	if r.Finish != nil {
		f = append(f, "finish:"+string(r.Finish))
	}
	for name, set := range map[string]bool{"content": r.HasContent, "terminal": r.Terminal, "error": r.Error} {
		if set {
			f = append(f, name)
		}
	}
	// Map order: the flags are sorted by being searched for.
	out := strings.Join(f[:2], " ")
	for _, x := range f[2:] {
		if strings.ContainsAny(x, "(:") {
			out += " " + x
		}
	}
	for _, flag := range []string{"content", "terminal", "error"} {
		for _, x := range f[2:] {
			if x == flag {
				out += " " + x
			}
		}
	}
	return strings.TrimSpace(out)
}

var replies = []struct {
	name        string
	d           dialect.Dialect
	data        string
	facts, want string
}{
	// OpenAI chat.
	{"first chunk", dialect.OpenAIChat, `{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}`,
		`chatcmpl-1 gpt-4o`, "0.0 prose: \n"},
	{"content chunk", dialect.OpenAIChat, `{"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"content":"Hello \"you\""},"finish_reason":null}]}`,
		`c m content`, `0.0 prose: Hello \"you\"` + "\n"},
	{"index after delta", dialect.OpenAIChat, `{"choices":[{"delta":{"content":"x","tool_calls":[{"function":{"arguments":"{\"a"},"index":3}]},"index":2}]}`,
		`content`, "2.0 prose: x\n2.3 tool_arguments: {\\\"a\n"},
	{"several choices", dialect.OpenAIChat, `{"choices":[{"index":1,"delta":{"content":"b"}},{"index":0,"delta":{"content":"a"},"finish_reason":"stop"}]}`,
		`finish:stop content`, "1.0 prose: b\n0.0 prose: a\n"},
	{"tool call chunks", dialect.OpenAIChat, `{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":""}},{"index":1,"custom":{"name":"g","input":"in"}}]}}]}`,
		`content`, "0.0 tool_arguments: \n0.1 prose: in\n"},
	{"reasoning chunks", dialect.OpenAIChat, `{"choices":[{"index":0,"delta":{"reasoning_content":"a","reasoning":"b","reasoning_details":[{"type":"reasoning.text","text":"c","signature":"sig"},{"type":"reasoning.encrypted","data":"enc"}]}}]}`,
		`content`, "0.0 reasoning: a\n0.0 reasoning: b\n0.0 reasoning: c\n0.0 opaque: sig\n0.0 opaque: enc\n"},
	{"refusal chunk", dialect.OpenAIChat, `{"choices":[{"index":0,"delta":{"refusal":"I cannot"}}]}`, `content`, "0.0 refusal: I cannot\n"},
	{"content in parts (Mistral)", dialect.OpenAIChat, `{"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"t"}]},{"type":"text","text":"x"}]}}]}`,
		`content`, "0.0 reasoning: t\n0.0 prose: x\n"},
	{"legacy function call and audio", dialect.OpenAIChat, `{"choices":[{"index":0,"delta":{"function_call":{"arguments":"{"},"audio":{"id":"a","transcript":"hi","data":"UklG"}}}]}`,
		`content`, "0.0 tool_arguments: {\n0.0 prose: hi\n0.0 opaque: UklG\n"},
	{"log probabilities repeat the text", dialect.OpenAIChat, `{"choices":[{"index":0,"delta":{"content":"Hi"},"logprobs":{"content":[{"token":"Hi","logprob":-0.1,"bytes":[72,105],"top_logprobs":[{"token":"Hi","logprob":-0.1,"bytes":[72,105]},{"token":"Yo","bytes":null}]}],"refusal":null}}]}`,
		`content`, "0.0 prose: Hi\n0.0 token: Hi\n0.0 token: Hi\n0.0 token: Yo\nrepeat: [72,105]\nrepeat: [72,105]\n"},
	{"finish chunk", dialect.OpenAIChat, `{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`, `c  finish:tool_calls`, ""},
	{"usage chunk", dialect.OpenAIChat, `{"id":"c","model":"m","choices":[],"usage":{"prompt_tokens":10,"completion_tokens":20,"total_tokens":30,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":5}}}`,
		`c m 10(4)+20`, ""},
	{"usage of DeepSeek and Groq", dialect.OpenAIChat, `{"choices":[],"x_groq":{"id":"r","usage":{"prompt_tokens":7,"completion_tokens":1,"prompt_cache_hit_tokens":3}}}`, `7(3)+1`, ""},
	{"absurd usage is ignored", dialect.OpenAIChat, `{"usage":{"prompt_tokens":-5,"completion_tokens":1e13}}`, ``, ""},
	{"half absurd usage", dialect.OpenAIChat, `{"usage":{"prompt_tokens":5,"completion_tokens":"9"}}`, `5(0)+0`, ""},
	{"done", dialect.OpenAIChat, `[DONE]`, `terminal`, ""},
	{"done with space", dialect.OpenAIChat, " [DONE]\r", `terminal`, ""},
	{"an error in the stream", dialect.OpenAIChat, `{"error":{"message":"boom at 10.0.0.1","type":"server_error","code":null}}`, `error`, "0.0 prose w: boom at 10.0.0.1\n"},
	{"no error", dialect.OpenAIChat, `{"error":null,"choices":[]}`, ``, ""},
	{"a whole reply", dialect.OpenAIChat, `{"id":"c","object":"chat.completion","model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi","tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":"[]"}}]},"finish_reason":"stop"}],"usage":{"prompt_tokens":1,"completion_tokens":2}}`,
		`c m 1(0)+2 finish:stop content`, "0.0 prose w: Hi\n0.0 tool_arguments w: {}\n0.1 tool_arguments w: []\n"},
	{"duplicate members hide nothing", dialect.OpenAIChat, `{"choices":[{"index":0,"delta":{"content":"a","content":"b"}}]}`, `content`, "0.0 prose: a\n0.0 prose: b\n"},
	// Completions.
	{"completions chunk", dialect.OpenAICompletions, `{"id":"cmpl-1","object":"text_completion","model":"m","choices":[{"text":"once","index":1,"logprobs":{"tokens":["on","ce"],"token_logprobs":[-1,-2],"top_logprobs":[{"on":-1}],"text_offset":[0,2]},"finish_reason":"length"}]}`,
		`cmpl-1 m finish:length content`, "1.0 prose: once\n1.0 token: on\n1.0 token: ce\nrepeat: [{\"on\":-1}]\n"},
	// Embeddings.
	{"embeddings", dialect.OpenAIEmbeddings, `{"object":"list","data":[{"object":"embedding","embedding":[0.1,-2e-5],"index":0}],"model":"e","usage":{"prompt_tokens":8,"total_tokens":8}}`,
		`e 8(0)+0`, ""},
	// Responses.
	{"created", dialect.OpenAIResponses, `{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","created_at":1,"status":"in_progress","model":"m","instructions":"echo","output":[],"usage":null,"text":{"format":{"type":"text"}}}}`,
		`resp_1 m`, ""},
	{"text delta", dialect.OpenAIResponses, `{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1","output_index":1,"content_index":2,"delta":"Hi","logprobs":[]}`,
		`content`, "1.2 prose: Hi\n"},
	{"text delta, type last", dialect.OpenAIResponses, `{"delta":"Hi","output_index":0,"content_index":0,"item_id":"msg_1","type":"response.output_text.delta"}`, `content`, "0.0 prose: Hi\n"},
	{"text done", dialect.OpenAIResponses, `{"type":"response.output_text.done","output_index":1,"content_index":2,"text":"Hi all"}`, `content`, "1.2 prose w: Hi all\n"},
	{"refusal delta", dialect.OpenAIResponses, `{"type":"response.refusal.delta","output_index":0,"content_index":0,"delta":"no"}`, `content`, "0.0 refusal: no\n"},
	{"arguments delta", dialect.OpenAIResponses, `{"type":"response.function_call_arguments.delta","output_index":3,"delta":"{\"a"}`, `content`, "3.0 tool_arguments: {\\\"a\n"},
	{"arguments done", dialect.OpenAIResponses, `{"type":"response.function_call_arguments.done","output_index":3,"arguments":"{}"}`, `content`, "3.0 tool_arguments w: {}\n"},
	{"summary delta", dialect.OpenAIResponses, `{"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":1,"delta":"so"}`, `content`, "0.1 reasoning: so\n"},
	{"reasoning delta", dialect.OpenAIResponses, `{"type":"response.reasoning_text.delta","output_index":0,"content_index":1,"delta":"so"}`, `content`, "0.1 reasoning: so\n"},
	{"an unknown delta", dialect.OpenAIResponses, `{"type":"response.future.delta","output_index":0,"delta":"so"}`, `content`, "0.0 prose: so\n"},
	{"audio", dialect.OpenAIResponses, `{"type":"response.audio.delta","delta":"UklG"}`, ``, "0.0 opaque: UklG\n"},
	{"image", dialect.OpenAIResponses, `{"type":"response.image_generation_call.partial_image","partial_image_b64":"iVBO"}`, ``, "0.0 opaque: iVBO\n"},
	{"part done", dialect.OpenAIResponses, `{"type":"response.content_part.done","output_index":1,"content_index":2,"part":{"type":"output_text","text":"Hi all","annotations":[]}}`, `content`, "1.2 prose w: Hi all\n"},
	{"summary part", dialect.OpenAIResponses, `{"type":"response.reasoning_summary_part.done","output_index":1,"summary_index":2,"part":{"text":"sum","type":"summary_text"}}`, `content`, "1.2 reasoning w: sum\n"},
	{"item done", dialect.OpenAIResponses, `{"type":"response.output_item.done","output_index":1,"item":{"id":"msg_1","type":"message","role":"assistant","content":[{"type":"output_text","text":"a"},{"type":"refusal","refusal":"b"}]}}`,
		`content`, "1.0 prose w: a\n1.1 refusal w: b\n"},
	{"reasoning item", dialect.OpenAIResponses, `{"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","summary":[{"type":"summary_text","text":"s"}],"encrypted_content":"gAAA"}}`,
		`content`, "0.0 reasoning w: s\n0.0 opaque w: gAAA\n"},
	{"completed", dialect.OpenAIResponses, `{"type":"response.completed","response":{"id":"resp_1","model":"m","status":"completed","output":[{"type":"reasoning","summary":[]},{"type":"message","content":[{"type":"output_text","text":"Hi all"}]},{"type":"function_call","arguments":"{}"}],"usage":{"input_tokens":11,"input_tokens_details":{"cached_tokens":2},"output_tokens":5,"total_tokens":16}}}`,
		`resp_1 m 11(2)+5 content terminal`, "1.0 prose w: Hi all\n2.0 tool_arguments w: {}\n"},
	{"incomplete", dialect.OpenAIResponses, `{"type":"response.incomplete","response":{"id":"r","incomplete_details":{"reason":"max_output_tokens"},"output":[]}}`, `r  finish:max_output_tokens terminal`, ""},
	{"failed", dialect.OpenAIResponses, `{"type":"response.failed","response":{"id":"r","error":{"code":"server_error","message":"boom"}}}`, `r  terminal error`, "0.0 prose w: boom\n"},
	{"error event", dialect.OpenAIResponses, `{"type":"error","code":"x","message":"boom","param":null}`, `terminal error`, "0.0 prose w: x\n0.0 prose w: boom\n"},
	{"a whole Responses reply", dialect.OpenAIResponses, `{"id":"r","object":"response","model":"m","instructions":"echo","output":[{"type":"message","content":[{"type":"output_text","text":"Hi"}]}],"usage":{"input_tokens":1,"output_tokens":2},"text":{"format":{"type":"text"}}}`,
		`r m 1(0)+2 content`, "0.0 prose w: Hi\n"},
	// Anthropic.
	{"message_start", dialect.Anthropic, `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"claude","stop_reason":null,"usage":{"input_tokens":10,"cache_creation_input_tokens":5,"cache_read_input_tokens":20,"output_tokens":1}}}`,
		`msg_1 claude 35(20)+1`, ""},
	{"block start", dialect.Anthropic, `{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}`, ``, "0.1 prose: \n"},
	{"tool block start", dialect.Anthropic, `{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"t","name":"f","input":{}}}`, ``, ""},
	{"search result block", dialect.Anthropic, `{"type":"content_block_start","index":2,"content_block":{"type":"web_search_tool_result","content":[{"type":"web_search_result","title":"T","url":"https://x","encrypted_content":"E"}]}}`,
		`content`, "0.2 prose w: T\n0.2 opaque: E\n"},
	{"text delta", dialect.Anthropic, `{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hi"}}`, `content`, "0.1 prose: Hi\n"},
	{"text delta, index last", dialect.Anthropic, `{"delta":{"text":"Hi","type":"text_delta"},"type":"content_block_delta","index":7}`, `content`, "0.7 prose: Hi\n"},
	{"thinking delta", dialect.Anthropic, `{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"mm"}}`, `content`, "0.0 reasoning: mm\n"},
	{"signature delta", dialect.Anthropic, `{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQ"}}`, ``, "0.0 opaque: EqQ\n"},
	{"json delta", dialect.Anthropic, `{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"a\""}}`, `content`, "0.1 tool_arguments: {\\\"a\\\"\n"},
	{"block stop", dialect.Anthropic, `{"type":"content_block_stop","index":1}`, ``, ""},
	{"message_delta", dialect.Anthropic, `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}`, `0(0)+15 finish:end_turn`, ""},
	{"message_stop", dialect.Anthropic, `{"type":"message_stop"}`, `terminal`, ""},
	{"ping", dialect.Anthropic, `{"type": "ping"}`, ``, ""},
	{"error", dialect.Anthropic, `{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}`, `error`, "0.0 prose w: Overloaded\n"},
	{"a whole message", dialect.Anthropic, `{"id":"msg_1","type":"message","model":"claude","content":[{"type":"thinking","thinking":"t","signature":"S"},{"type":"text","text":"Hi","citations":[{"cited_text":"c"}]},{"type":"tool_use","input":{"q":"deep"}}],"stop_reason":"tool_use","usage":{"input_tokens":1,"output_tokens":2}}`,
		`msg_1 claude 1(0)+2 finish:tool_use content`, "0.0 reasoning w: t\n0.0 opaque w: S\n0.1 prose w: Hi\n0.1 prose w: c\n0.2 prose w: deep\n"},
	// Ollama.
	{"chat line", dialect.Ollama, `{"model":"llama3","created_at":"2024-01-01T00:00:00Z","message":{"role":"assistant","content":"Hi","thinking":"t"},"done":false}`,
		` llama3 content`, "0.0 prose: Hi\n0.0 reasoning: t\n"},
	{"last line", dialect.Ollama, `{"model":"llama3","created_at":"x","message":{"role":"assistant","content":""},"done_reason":"stop","done":true,"prompt_eval_count":26,"eval_count":298}`,
		` llama3 26(0)+298 finish:stop terminal`, "0.0 prose: \n"},
	{"tool calls", dialect.Ollama, `{"message":{"content":"","tool_calls":[{"function":{"name":"f","arguments":{"city":"Rome"}}}]},"done":false}`, `content`, "0.0 prose: \n0.0 prose w: Rome\n"},
	{"generate line", dialect.Ollama, `{"model":"l","response":"Hi","done":false}`, ` l content`, "0.0 prose: Hi\n"},
	{"Ollama error", dialect.Ollama, `{"error":"model not found"}`, `error`, "0.0 prose w: model not found\n"},
}

func TestTheTextsAndFactsOfRepliesAreFound(t *testing.T) {
	var r dialect.Response // one for all: nothing may be left over
	for _, c := range replies {
		t.Run(c.d.String()+" "+c.name, func(t *testing.T) {
			r.Reset(c.d)
			if err := r.Scan([]byte(c.data)); err != nil {
				t.Fatal(err)
			}
			if got := showReply(c.data, &r); got != c.want {
				t.Errorf("texts\n%swant\n%s", got, c.want)
			}
			if got := facts(&r); got != strings.TrimSpace(c.facts) {
				t.Errorf("facts %q, want %q", got, c.facts)
			}
		})
	}
}

func TestAReplyThatIsNotJSONLeavesNothingBehind(t *testing.T) {
	var r dialect.Response
	r.Reset(dialect.OpenAIChat)
	for _, data := range []string{"", "plain text", `{"id":"c","choices":[{"index":0,"delta":{"content":"Hi"}}`, `{"error":{"message":"x"}} trailing`, "[DONE] " + strings.Repeat("x", 9)} {
		if err := r.Scan([]byte(data)); err == nil {
			t.Errorf("%q is taken for JSON", data)
		}
		if len(r.Texts) != 0 || r.ID != nil || r.Error || r.HasContent || r.Terminal {
			t.Errorf("%q leaves %+v", data, r.Texts)
		}
	}
}

func TestTheFieldsOfOneChoiceAreDifferentChannels(t *testing.T) {
	for _, c := range []struct {
		d    dialect.Dialect
		data string
	}{
		{dialect.OpenAIChat, `{"choices":[{"index":0,"delta":{"content":"a","reasoning_content":"b","reasoning":"c","refusal":"d","tool_calls":[{"index":0,"function":{"arguments":"e"}},{"index":1,"function":{"arguments":"f"}}],"function_call":{"arguments":"g"}},"logprobs":{"content":[{"token":"h"}]}},{"index":1,"delta":{"content":"i"}}]}`},
		{dialect.Unknown, `{"a":"a","b":["b","c",{"a":"d"}],"c":{"a":"e","b":"f"},"ab":"g"}`},
		{dialect.OpenAIResponses, `{"output":[{"content":[{"type":"output_text","text":"a"},{"type":"output_text","text":"b"}],"arguments":"c","input":"d"},{"summary":[{"type":"summary_text","text":"e"}],"content":[{"type":"reasoning_text","text":"f"}]}]}`},
	} {
		var r dialect.Response
		r.Reset(c.d)
		if err := r.Scan([]byte(c.data)); err != nil {
			t.Fatal(err)
		}
		seen := map[uint32]string{}
		for _, x := range r.Texts {
			s := c.data[x.Start:x.End]
			if o, ok := seen[x.Channel]; ok {
				t.Errorf("%s: %q and %q share channel %#x", c.d, o, s, x.Channel)
			}
			seen[x.Channel] = s
		}
	}
}

func TestTheChannelOfAPieceIsTheSameInEveryEvent(t *testing.T) {
	for _, c := range []struct {
		d    dialect.Dialect
		a, b string
	}{
		{dialect.Unknown, `{"token":{"text":"a"},"details":null}`, `{"extra":1,"token":{"id":3,"text":"b"}}`},
		{dialect.OpenAIResponses, `{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"a"}`,
			`{"type":"response.output_text.done","output_index":1,"content_index":0,"text":"a"}`},
		{dialect.OpenAIResponses, `{"type":"response.output_text.delta","output_index":1,"content_index":0,"delta":"a"}`,
			`{"type":"response.completed","response":{"output":[{"type":"reasoning"},{"type":"message","content":[{"type":"output_text","text":"a"}]}]}}`},
		{dialect.OpenAIResponses, `{"type":"response.function_call_arguments.delta","output_index":0,"delta":"a"}`,
			`{"type":"response.output_item.done","output_index":0,"item":{"type":"function_call","arguments":"a"}}`},
		{dialect.Anthropic, `{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"a"}}`, `{"content":[{"type":"text","text":"a"}]}`},
		{dialect.OpenAIChat, `{"choices":[{"index":0,"delta":{"content":"a"}}]}`, `{"choices":[{"message":{"content":"a"},"index":0}]}`},
	} {
		channel := func(data string) uint32 {
			var r dialect.Response
			r.Reset(c.d)
			if err := r.Scan([]byte(data)); err != nil || len(r.Texts) != 1 {
				t.Fatalf("%s: %v, %d texts", data, err, len(r.Texts))
			}
			return r.Texts[0].Channel
		}
		if x, y := channel(c.a), channel(c.b); x != y {
			t.Errorf("%#x in %s\n%#x in %s", x, c.a, y, c.b)
		}
	}
}

func TestAnUnknownReplyHidesNothing(t *testing.T) {
	data := `{"model":"m","id":"i","usage":{"note":"n","prompt_tokens":3},"error":{"message":["deep"]},"x":{"error":"e"},"img":"data:image/png;base64,AA=="}`
	var r dialect.Response
	if err := r.Scan([]byte(data)); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, x := range r.Texts {
		got = append(got, x.Kind.String()+":"+data[x.Start:x.End])
	}
	if want := "prose:m prose:i prose:n prose:deep prose:e opaque:data:image/png;base64,AA=="; strings.Join(got, " ") != want {
		t.Errorf("got %s", strings.Join(got, " "))
	}
	if !r.Error || r.Usage.Input != 3 || string(r.Model) != "m" || string(r.ID) != "i" {
		t.Errorf("got %+v", r.Usage)
	}
}

func TestTextCutInsideACharacterIsStillFound(t *testing.T) {
	for _, text := range []string{`\\ud83d`, "\xf0\x9f", "\xff key"} {
		data := `{"choices":[{"index":0,"delta":{"content":"` + strings.ReplaceAll(text, `\\`, `\`) + `"}}]}`
		var r dialect.Response
		r.Reset(dialect.OpenAIChat)
		if err := r.Scan([]byte(data)); err != nil || len(r.Texts) != 1 {
			t.Errorf("%q: %v", data, err)
		}
	}
}

func TestALabelIsNotContent(t *testing.T) {
	var r dialect.Response
	for data, want := range map[string]bool{`{"type":"ping","id":"1"}`: false, `{"type":"delta","text":"a"}`: true, `{"text":""}`: false} {
		if err := r.Scan([]byte(data)); err != nil || r.HasContent != want {
			t.Errorf("%s: content %v, %v", data, r.HasContent, err)
		}
	}
}

func TestStreamedUsageMergesToTheTotal(t *testing.T) {
	var u dialect.Usage
	u.Merge(dialect.Usage{})
	if u.Known {
		t.Error("merging nothing makes usage known")
	}
	u.Merge(dialect.Usage{Input: 35, CachedInput: 20, Output: 1, Known: true})
	u.Merge(dialect.Usage{Output: 15, Known: true})
	if u != (dialect.Usage{Input: 35, CachedInput: 20, Output: 15, Known: true}) {
		t.Errorf("got %+v", u)
	}
}

func TestAResponseScanAllocatesNothing(t *testing.T) {
	if raced.Enabled {
		t.Skip("the race detector allocates for itself and empties pools")
	}
	for _, c := range replies {
		var r dialect.Response
		r.Reset(c.d)
		data := []byte(c.data)
		if n := testing.AllocsPerRun(20, func() {
			if err := r.Scan(data); err != nil {
				t.Fatal(err)
			}
		}); n > 0 {
			t.Errorf("%s %s: %v allocations", c.d, c.name, n)
		}
	}
}

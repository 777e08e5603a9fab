package dialect_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/sse"
)

// event is one event of a stream: a type, if any, and data.
type event struct{ typ, data string }

// events parses the bytes of a stream with the stream parser of this module.
func events(t testing.TB, f sse.Format, b []byte) []event {
	t.Helper()
	var out []event
	p := sse.Parser{Format: f}
	for {
		ev, rest, ok, err := p.Next(b)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			break
		}
		if ev.HasData {
			out = append(out, event{string(ev.Type), string(ev.Data)})
		}
		b = rest
	}
	if ev, ok := p.Tail(); ok {
		t.Fatalf("the stream ends inside an event: %q", ev.Raw)
	}
	return out
}

// follow lets a stream observe events.
func follow(t testing.TB, d dialect.Dialect, frames []event) *dialect.Stream {
	t.Helper()
	var s dialect.Stream
	var r dialect.Response
	s.Reset(d)
	r.Reset(d)
	for _, e := range frames {
		if err := r.Scan([]byte(e.data)); err != nil {
			t.Fatalf("%s: %v", e.data, err)
		}
		s.Observe([]byte(e.typ), []byte(e.data), &r)
	}
	return &s
}

// client is what an official client makes of a stream: the text of every channel, why it ended, and its usage. It is as strict
// as the strictest of the clients about what it refuses.
type client struct {
	id, model string
	text      map[string]string
	finish    map[int]string
	usage     [2]int64
	done      bool
}

func (c *client) same(field *string, v string) error {
	if *field == "" {
		*field = v
	}
	if *field != v {
		return fmt.Errorf("%q became %q", *field, v)
	}
	return nil
}

// chat reads chunks as openai-go's ChatCompletionAccumulator does: a chunk with another id is refused, a choice must have its
// index, nothing follows [DONE].
func (c *client) chat(evs []event) error {
	for _, e := range evs {
		if c.done {
			return errors.New("an event after [DONE]")
		}
		if e.data == "[DONE]" {
			c.done = true
			continue
		}
		var chunk struct {
			ID, Object, Model string
			Created           *int64
			Choices           []struct {
				Index *int
				Text  string
				Delta struct {
					Content, Refusal string
					Reasoning        string `json:"reasoning_content"`
					ToolCalls        []struct {
						Index    *int
						ID       string
						Function struct{ Name, Arguments string }
					} `json:"tool_calls"`
				}
				FinishReason *string `json:"finish_reason"`
			}
			Usage *struct {
				Prompt     int64 `json:"prompt_tokens"`
				Completion int64 `json:"completion_tokens"`
				Total      int64 `json:"total_tokens"`
			}
		}
		if err := json.Unmarshal([]byte(e.data), &chunk); err != nil {
			return err
		}
		if chunk.Created == nil || chunk.Choices == nil {
			return fmt.Errorf("a chunk without created or choices: %s", e.data)
		}
		if err := errors.Join(c.same(&c.id, chunk.ID), c.same(&c.model, chunk.Model)); err != nil {
			return err
		}
		for _, ch := range chunk.Choices {
			if ch.Index == nil {
				return errors.New("a choice without index")
			}
			if c.finish[*ch.Index] != "" {
				return fmt.Errorf("choice %d goes on after its end", *ch.Index)
			}
			c.text[fmt.Sprint(*ch.Index, " content")] += ch.Delta.Content + ch.Text
			c.text[fmt.Sprint(*ch.Index, " reasoning")] += ch.Delta.Reasoning
			c.text[fmt.Sprint(*ch.Index, " refusal")] += ch.Delta.Refusal
			for _, call := range ch.Delta.ToolCalls {
				if call.Index == nil {
					return errors.New("a tool call without index")
				}
				key := fmt.Sprint(*ch.Index, " call ", *call.Index)
				c.text[key] += call.Function.Arguments
				c.text[key+" name"] += call.ID + call.Function.Name // Python concatenates both
			}
			if ch.FinishReason != nil {
				c.finish[*ch.Index] = *ch.FinishReason
			}
		}
		if chunk.Usage != nil {
			if chunk.Usage.Total != chunk.Usage.Prompt+chunk.Usage.Completion {
				return errors.New("a total that is not the sum")
			}
			c.usage = [2]int64{chunk.Usage.Prompt, chunk.Usage.Completion}
		}
	}
	return nil
}

// anthropic reads events as the Anthropic SDKs accumulate them: message_start first, blocks opened in order and closed before
// message_delta, then message_stop.
func (c *client) anthropic(evs []event) error {
	started, stopped := false, false
	open := map[int]bool{}
	for _, e := range evs {
		var m struct {
			Type    string
			Index   *int
			Message *struct {
				ID, Model, Type, Role string
				Content               []any
				Usage                 *struct {
					Input int64 `json:"input_tokens"`
				}
			}
			ContentBlock *struct{ Type string } `json:"content_block"`
			Delta        struct {
				Type, Text, Thinking string
				JSON                 string  `json:"partial_json"`
				StopReason           *string `json:"stop_reason"`
			}
			Usage *struct {
				Output int64 `json:"output_tokens"`
			}
		}
		if err := json.Unmarshal([]byte(e.data), &m); err != nil {
			return err
		}
		if m.Type != e.typ {
			return fmt.Errorf("event %q with type %q", e.typ, m.Type)
		}
		if c.done {
			return errors.New("an event after message_stop")
		}
		if !started && m.Type != "message_start" && m.Type != "ping" {
			return fmt.Errorf("%s before message_start", m.Type)
		}
		switch m.Type {
		case "message_start":
			if started || m.Message == nil || m.Message.Content == nil || m.Message.Usage == nil || m.Message.Role != "assistant" {
				return fmt.Errorf("a bad message_start: %s", e.data)
			}
			started, c.id, c.model = true, m.Message.ID, m.Message.Model
			c.usage[0] = m.Message.Usage.Input
		case "content_block_start":
			if *m.Index != len(open) {
				return fmt.Errorf("block %d starts as number %d", *m.Index, len(open))
			}
			open[*m.Index] = true
		case "content_block_delta", "content_block_stop":
			if !open[*m.Index] || stopped {
				return fmt.Errorf("%s for block %d, which is not open", m.Type, *m.Index)
			}
			if m.Type == "content_block_stop" {
				open[*m.Index] = false
				break
			}
			c.text[fmt.Sprint(*m.Index, " ", m.Delta.Type)] += m.Delta.Text + m.Delta.Thinking + m.Delta.JSON
		case "message_delta":
			for i, o := range open {
				if o {
					return fmt.Errorf("block %d is open at message_delta", i)
				}
			}
			if m.Usage == nil || m.Delta.StopReason == nil {
				return fmt.Errorf("a bad message_delta: %s", e.data)
			}
			stopped = true
			c.finish[0], c.usage[1] = *m.Delta.StopReason, m.Usage.Output
		case "message_stop":
			if !stopped {
				return errors.New("message_stop without message_delta")
			}
			c.done = true
		}
	}
	return nil
}

// responses reads events as the OpenAI SDKs accumulate Responses.
func (c *client) responses(evs []event) error {
	last := int64(-1)
	for _, e := range evs {
		var m struct {
			Type     string
			Seq      *int64 `json:"sequence_number"`
			ItemID   string `json:"item_id"`
			Output   *int   `json:"output_index"`
			Content  *int   `json:"content_index"`
			Delta    string
			Response *struct {
				ID, Object, Model, Status string
				Created                   *float64 `json:"created_at"`
				Output                    []any
				Incomplete                *struct{ Reason string } `json:"incomplete_details"`
				Usage                     *struct {
					Input  int64 `json:"input_tokens"`
					Output int64 `json:"output_tokens"`
				}
			}
		}
		if err := json.Unmarshal([]byte(e.data), &m); err != nil {
			return err
		}
		if m.Type != e.typ || m.Seq == nil || *m.Seq < last {
			return fmt.Errorf("a bad event %s %s", e.typ, e.data)
		}
		last = *m.Seq
		if c.done {
			return errors.New("an event after the end")
		}
		switch m.Type {
		case "response.output_text.delta", "response.function_call_arguments.delta":
			if m.ItemID == "" || m.Output == nil || (m.Content == nil) == (m.Type == "response.output_text.delta") {
				return fmt.Errorf("a delta without its place: %s", e.data)
			}
			c.text[fmt.Sprint(*m.Output, " ", m.ItemID, " ", m.Type)] += m.Delta
		case "response.completed":
			c.done = true
		case "response.created", "response.in_progress":
			c.id, c.model = m.Response.ID, m.Response.Model
		case "response.incomplete":
			r := m.Response
			if r == nil || r.Object != "response" || r.Status != "incomplete" || r.Incomplete == nil || r.Output == nil || r.Created == nil {
				return fmt.Errorf("a bad end: %s", e.data)
			}
			if err := errors.Join(c.same(&c.id, r.ID), c.same(&c.model, r.Model)); err != nil {
				return err
			}
			if r.Usage != nil {
				c.usage = [2]int64{r.Usage.Input, r.Usage.Output}
			}
			c.finish[0], c.done = r.Incomplete.Reason, true
		}
	}
	return nil
}

// ollama reads lines as the Ollama client does.
func (c *client) ollama(evs []event) error {
	for _, e := range evs {
		var m struct {
			Model    string
			Message  *struct{ Role, Content, Thinking string }
			Response *string
			Done     bool
			Reason   string `json:"done_reason"`
			Input    int64  `json:"prompt_eval_count"`
			Output   int64  `json:"eval_count"`
		}
		if err := json.Unmarshal([]byte(e.data), &m); err != nil {
			return err
		}
		if c.done {
			return errors.New("a line after done")
		}
		if err := c.same(&c.model, m.Model); err != nil {
			return err
		}
		if m.Message != nil {
			c.text["content"] += m.Message.Content
			c.text["thinking"] += m.Message.Thinking
		}
		if m.Response != nil {
			c.text["response"] += *m.Response
		}
		c.done, c.finish[0], c.usage = m.Done, m.Reason, [2]int64{m.Input, m.Output}
	}
	return nil
}

// read gives the events to the client of d.
func read(d dialect.Dialect, evs []event) (*client, error) {
	c := &client{text: map[string]string{}, finish: map[int]string{}}
	var err error
	switch d {
	case dialect.OpenAIChat, dialect.OpenAICompletions:
		err = c.chat(evs)
	case dialect.Anthropic:
		err = c.anthropic(evs)
	case dialect.OpenAIResponses:
		err = c.responses(evs)
	case dialect.Ollama:
		err = c.ollama(evs)
	}
	for k, v := range c.text {
		if v == "" {
			delete(c.text, k)
		}
	}
	return c, err
}

const chunkHead = `{"id":"chatcmpl-A\u002f1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","choices":[`

// streams are realistic streams, each whole, with its proper end.
var streams = []struct {
	name   string
	d      dialect.Dialect
	f      sse.Format
	events []event
}{
	{"chat", dialect.OpenAIChat, sse.EventStream, []event{
		{"", chunkHead + `{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}`},
		{"", chunkHead + `{"index":1,"delta":{"role":"assistant","content":""},"finish_reason":null}],"usage":null}`},
		{"", chunkHead + `{"index":0,"delta":{"content":"Hel"},"finish_reason":null}],"usage":null}`},
		{"", chunkHead + `{"index":1,"delta":{"content":"Bon"},"finish_reason":null}],"usage":null}`},
		{"", chunkHead + `{"index":1,"delta":{},"finish_reason":"stop"}],"usage":null}`},
		{"", chunkHead + `{"index":0,"delta":{"content":"lo"},"finish_reason":null}],"usage":null}`},
		{"", chunkHead + `{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null}`},
		{"", chunkHead + `],"usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}}`},
		{"", "[DONE]"},
	}},
	{"chat with tool calls and reasoning", dialect.OpenAIChat, sse.EventStream, []event{
		{"", chunkHead + `{"index":0,"delta":{"role":"assistant","reasoning_content":"hm"}}]}`},
		{"", chunkHead + `{"index":0,"delta":{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"f","arguments":"{\"a"}}]}}]}`},
		{"", chunkHead + `{"index":0,"delta":{"tool_calls":[{"index":1,"id":"call_2","type":"function","function":{"name":"g","arguments":"{}"}}]}}]}`},
		{"", chunkHead + `{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\":1}"}}]}}]}`},
		{"", chunkHead + `{"index":0,"delta":{},"finish_reason":"tool_calls"}]}`},
		{"", "[DONE]"},
	}},
	{"completions", dialect.OpenAICompletions, sse.EventStream, []event{
		{"", `{"id":"cmpl-1","object":"text_completion","created":5,"model":"m","choices":[{"text":"once ","index":0,"logprobs":null,"finish_reason":null}]}`},
		{"", `{"id":"cmpl-1","object":"text_completion","created":5,"model":"m","choices":[{"text":"upon","index":0,"logprobs":null,"finish_reason":"stop"}]}`},
		{"", "[DONE]"},
	}},
	{"Anthropic", dialect.Anthropic, sse.EventStream, []event{
		{"message_start", `{"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","content":[],"model":"claude","stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":25,"output_tokens":1}}}`},
		{"content_block_start", `{"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}`},
		{"ping", `{"type":"ping"}`},
		{"content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"mm"}}`},
		{"content_block_delta", `{"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"EqQ"}}`},
		{"content_block_stop", `{"type":"content_block_stop","index":0}`},
		{"content_block_start", `{"type":"content_block_start","index":1,"content_block":{"type":"text","text":""}}`},
		{"content_block_delta", `{"type":"content_block_delta","index":1,"delta":{"type":"text_delta","text":"Hello"}}`},
		{"content_block_start", `{"type":"content_block_start","index":2,"content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}}`},
		{"content_block_delta", `{"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"a\":"}}`},
		{"content_block_stop", `{"type":"content_block_stop","index":1}`},
		{"content_block_stop", `{"type":"content_block_stop","index":2}`},
		{"message_delta", `{"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":15}}`},
		{"message_stop", `{"type":"message_stop"}`},
	}},
	{"Responses", dialect.OpenAIResponses, sse.EventStream, []event{
		{"response.created", `{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","created_at":1,"status":"in_progress","error":null,"incomplete_details":null,"instructions":"x \"y\"","model":"m","output":[],"usage":null,"metadata":{}}}`},
		{"response.in_progress", `{"type":"response.in_progress","sequence_number":1,"response":{"id":"resp_1","object":"response","created_at":1,"status":"in_progress","error":null,"incomplete_details":null,"model":"m","output":[],"usage":null,"metadata":{}}}`},
		{"response.output_item.added", `{"type":"response.output_item.added","sequence_number":2,"output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}}`},
		{"response.content_part.added", `{"type":"response.content_part.added","sequence_number":3,"item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[]}}`},
		{"response.output_text.delta", `{"type":"response.output_text.delta","sequence_number":4,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"Hel","logprobs":[]}`},
		{"response.output_text.delta", `{"type":"response.output_text.delta","sequence_number":5,"item_id":"msg_1","output_index":0,"content_index":0,"delta":"lo","logprobs":[]}`},
		{"response.function_call_arguments.delta", `{"type":"response.function_call_arguments.delta","sequence_number":6,"item_id":"fc_1","output_index":1,"delta":"{}"}`},
		{"response.completed", `{"type":"response.completed","sequence_number":7,"response":{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[],"usage":{"input_tokens":1,"output_tokens":2}}}`},
	}},
	{"Ollama chat", dialect.Ollama, sse.NDJSON, []event{
		{"", `{"model":"llama3","created_at":"2024-01-01T00:00:00Z","message":{"role":"assistant","content":"","thinking":"t"},"done":false}`},
		{"", `{"model":"llama3","created_at":"2024-01-01T00:00:01Z","message":{"role":"assistant","content":"Hi"},"done":false}`},
		{"", `{"model":"llama3","created_at":"2024-01-01T00:00:02Z","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop","prompt_eval_count":2,"eval_count":3}`},
	}},
	{"Ollama generate", dialect.Ollama, sse.NDJSON, []event{
		{"", `{"model":"llama3","created_at":"2024-01-01T00:00:00Z","response":"Hi","done":false}`},
		{"", `{"model":"llama3","created_at":"2024-01-01T00:00:02Z","response":"","done":true,"done_reason":"stop","context":[1]}`},
	}},
}

func TestAStreamCutAfterAnyEventEndsCleanly(t *testing.T) {
	reason := map[dialect.Dialect]string{dialect.OpenAIChat: "length", dialect.OpenAICompletions: "length", dialect.Ollama: "length",
		dialect.Anthropic: "max_tokens", dialect.OpenAIResponses: "max_output_tokens"}
	usage := dialect.Usage{Input: 11, CachedInput: 2, Output: 7, Known: true}
	for _, c := range streams {
		for n := range len(c.events) + 1 {
			t.Run(fmt.Sprint(c.name, " after ", n), func(t *testing.T) {
				s := follow(t, c.d, c.events[:n])
				end := s.AppendFinish(nil, c.f, usage)
				all := append(append([]event(nil), c.events[:n]...), events(t, c.f, end)...)
				got, err := read(c.d, all)
				if err != nil {
					t.Fatalf("%v\nthe end is\n%s", err, end)
				}
				if !got.done && !(c.f == sse.NDJSON && c.d == dialect.OpenAIChat) {
					t.Errorf("the stream is not done after\n%s", end)
				}
				if n == len(c.events) {
					if len(end) != 0 {
						t.Errorf("a stream that had ended goes on with\n%s", end)
					}
					return
				}
				if len(end) == 0 {
					t.Error("nothing was appended")
				}
				for i, why := range got.finish {
					if why != reason[c.d] && why != "stop" && why != "tool_calls" && why != "end_turn" {
						t.Errorf("choice %d ended for %q", i, why)
					}
				}
				if len(got.finish) == 0 {
					t.Error("nothing gave a reason")
				}
				before, _ := read(c.d, c.events[:n])
				if fmt.Sprint(got.text) != fmt.Sprint(before.text) {
					t.Errorf("the end changed the text from %v to %v", before.text, got.text)
				}
				// The end is itself readable as an end.
				if again := follow(t, c.d, all); len(again.AppendFinish(nil, c.f, dialect.Usage{})) > 0 {
					t.Error("our own end is not recognised")
				}
			})
		}
	}
}

func TestTheUsageOfACutStreamIsReported(t *testing.T) {
	usage := dialect.Usage{Input: 11, Output: 7, Known: true}
	for _, c := range streams {
		s := follow(t, c.d, c.events[:2])
		got, err := read(c.d, append(append([]event(nil), c.events[:2]...), events(t, c.f, s.AppendFinish(nil, c.f, usage))...))
		if err != nil {
			t.Fatal(err)
		}
		want := [2]int64{11, 7}
		switch c.name {
		case "chat with tool calls and reasoning", "completions", "Ollama generate":
			// The client did not ask for usage; the last of the three has ended by itself.
			want = [2]int64{}
		case "Anthropic":
			want[0] = 25 // as message_start said
		}
		if got.usage != want {
			t.Errorf("%s: usage %v, want %v", c.name, got.usage, want)
		}
	}
}

func TestUsageIsAddedWhereTheStreamHadIt(t *testing.T) {
	usage := dialect.Usage{Input: 11, CachedInput: 2, Output: 7, Known: true}
	for member, want := range map[string]bool{"": false, `,"usage":null`: true} {
		frames := []event{{"", chunkHead + `{"index":0,"delta":{"content":"a"}}]` + member + `}`}}
		s := follow(t, dialect.OpenAIChat, frames)
		got, err := read(dialect.OpenAIChat, append(frames[:1:1], events(t, sse.EventStream, s.AppendFinish(nil, sse.EventStream, usage))...))
		if err != nil || (got.usage == [2]int64{11, 7}) != want {
			t.Errorf("with %q: %v, %v", member, got.usage, err)
		}
		// Nothing is made up.
		if end := s.AppendFinish(nil, sse.EventStream, dialect.Usage{}); strings.Contains(string(end), "usage") {
			t.Errorf("an unknown usage is written: %s", end)
		}
	}
}

func TestUnknownStreamsAreNotEnded(t *testing.T) {
	for _, d := range []dialect.Dialect{dialect.Unknown, dialect.OpenAIEmbeddings} {
		s := follow(t, d, []event{{"", `{"text":"a"}`}})
		if end := s.AppendFinish(nil, sse.EventStream, dialect.Usage{}); len(end) != 0 {
			t.Errorf("%s: %s", d, end)
		}
	}
	var zero dialect.Stream
	zero.Observe(nil, []byte("x"), nil)
	if end := zero.AppendFinish(nil, sse.EventStream, dialect.Usage{}); len(end) != 0 {
		t.Errorf("a zero stream ends with %s", end)
	}
}

func TestHeldBackTextFlushesInAFrameOfItsChannel(t *testing.T) {
	const held = "held \"back\"\n\u2028</é😀"
	for _, c := range streams {
		for n, e := range c.events {
			var r dialect.Response
			r.Reset(c.d)
			if err := r.Scan([]byte(e.data)); err != nil {
				t.Fatal(err)
			}
			s := follow(t, c.d, c.events[:n+1])
			for _, x := range r.Texts {
				if x.Kind >= dialect.Token || x.Whole {
					continue
				}
				frame := s.AppendTextDelta([]byte("kept"), c.f, []byte(e.data), x, []byte(held))
				if !strings.HasPrefix(string(frame), "kept") {
					t.Fatal("dst was not appended to")
				}
				evs := events(t, c.f, frame[4:])
				if len(evs) != 1 {
					t.Fatalf("%s: %d events for %+v of %s", c.name, len(evs), x, e.data)
				}
				// It carries the text, on the same channel, and nothing else.
				var back dialect.Response
				back.Reset(c.d)
				if err := back.Scan([]byte(evs[0].data)); err != nil {
					t.Fatal(err)
				}
				var got []string
				for _, y := range back.Texts {
					if y.Start == y.End {
						continue
					}
					var text string
					if err := json.Unmarshal([]byte(`"`+evs[0].data[y.Start:y.End]+`"`), &text); err != nil {
						t.Fatal(err)
					}
					got = append(got, text)
					if y.Channel != x.Channel || y.Kind != x.Kind || y.Whole {
						t.Errorf("%s: %+v became %+v", c.name, x, y)
					}
				}
				if len(got) != 1 || got[0] != held {
					t.Errorf("%s: carries %q", c.name, got)
				}
				if back.Finish != nil || back.Usage.Known || back.Terminal {
					t.Errorf("%s: ends something: %s", c.name, evs[0].data)
				}
				// A client that reads the events so far and then this one sees the text appended.
				if c.name == "Ollama generate" && n == 1 {
					continue // the line is done already
				}
				before, err := read(c.d, c.events[:n+1])
				if err != nil {
					t.Fatal(err)
				}
				if before.done || before.finish[int(x.Channel>>20)] != "" {
					continue
				}
				after, err := read(c.d, append(append([]event(nil), c.events[:n+1]...), evs...))
				if err != nil {
					t.Errorf("%s: %v", c.name, err)
				}
				changed := 0
				for k, v := range after.text {
					if v != before.text[k] {
						changed++
						if v != before.text[k]+held {
							t.Errorf("%s: %s became %q", c.name, k, v)
						}
					}
				}
				if changed != 1 {
					t.Errorf("%s: %d texts changed by %s", c.name, changed, evs[0].data)
				}
			}
		}
	}
}

func TestEveryKnownChannelCanCarryHeldText(t *testing.T) {
	for _, c := range []struct {
		d    dialect.Dialect
		like string
	}{
		{dialect.OpenAIChat, `{"choices":[{"index":2,"delta":{"content":[{"type":"text","text":"a"}]}}]}`},
		{dialect.OpenAIChat, `{"choices":[{"index":2,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"a"}]}]}}]}`},
		{dialect.OpenAIChat, `{"choices":[{"index":2,"delta":{"reasoning":"a"}}]}`},
		{dialect.OpenAIChat, `{"choices":[{"index":2,"delta":{"reasoning_details":[{"type":"reasoning.text","text":"a"}]}}]}`},
		{dialect.OpenAIChat, `{"choices":[{"index":2,"delta":{"refusal":"a"}}]}`},
		{dialect.OpenAIChat, `{"choices":[{"index":2,"delta":{"function_call":{"arguments":"a"}}}]}`},
		{dialect.OpenAIChat, `{"choices":[{"index":2,"delta":{"audio":{"transcript":"a"}}}]}`},
		{dialect.OpenAIChat, `{"choices":[{"index":2,"delta":{"tool_calls":[{"index":3,"custom":{"input":"a"}}]}}]}`},
		{dialect.OpenAIResponses, `{"type":"response.refusal.delta","item_id":"m","output_index":1,"content_index":2,"delta":"a"}`},
		{dialect.OpenAIResponses, `{"type":"response.reasoning_text.delta","item_id":"m","output_index":1,"content_index":2,"delta":"a"}`},
		{dialect.OpenAIResponses, `{"type":"response.reasoning_summary_text.delta","item_id":"m","output_index":1,"summary_index":2,"delta":"a"}`},
		{dialect.OpenAIResponses, `{"type":"response.mcp_call_arguments.delta","item_id":"m","output_index":1,"delta":"a"}`},
		{dialect.OpenAIResponses, `{"type":"response.custom_tool_call_input.delta","item_id":"m","output_index":1,"delta":"a"}`},
		{dialect.OpenAIResponses, `{"type":"response.code_interpreter_call_code.delta","item_id":"m","output_index":1,"delta":"a"}`},
		{dialect.Ollama, `{"model":"m","response":"","thinking":"a","done":false}`},
		{dialect.Unknown, `{"type":"delta","token":{"text":"a","id":"7"},"other":"b"}`},
	} {
		var r, back dialect.Response
		var s dialect.Stream
		r.Reset(c.d)
		s.Reset(c.d)
		if err := r.Scan([]byte(c.like)); err != nil {
			t.Fatal(err)
		}
		s.Observe(nil, []byte(c.like), &r)
		i := 0
		for c.like[r.Texts[i].Start:r.Texts[i].End] != "a" {
			i++
		}
		evs := events(t, sse.EventStream, s.AppendTextDelta(nil, sse.EventStream, []byte(c.like), r.Texts[i], []byte("held")))
		if len(evs) != 1 {
			t.Errorf("%s: %d events", c.like, len(evs))
			continue
		}
		back.Reset(c.d)
		if err := back.Scan([]byte(evs[0].data)); err != nil {
			t.Fatal(err)
		}
		found := false
		for _, y := range back.Texts {
			if evs[0].data[y.Start:y.End] == "held" {
				found = y.Channel == r.Texts[i].Channel && y.Kind == r.Texts[i].Kind
			}
		}
		if !found || strings.Contains(evs[0].data, `"a"`) || strings.Contains(evs[0].data, `"b"`) {
			t.Errorf("%s\nbecame %s", c.like, evs[0].data)
		}
	}
}

func TestWhatCannotCarryTextIsNotMadeUp(t *testing.T) {
	var s dialect.Stream
	for _, d := range []dialect.Dialect{dialect.Unknown, dialect.OpenAIChat, dialect.OpenAIResponses, dialect.Anthropic, dialect.Ollama, dialect.OpenAIEmbeddings} {
		s.Reset(d)
		for _, x := range []dialect.Text{{Kind: dialect.Token, Channel: 1}, {Kind: dialect.Opaque, Channel: 1}, {Channel: 0}, {Channel: 0xff}} {
			if out := s.AppendTextDelta(nil, sse.EventStream, []byte("{}"), x, []byte("held")); len(out) > 0 {
				t.Errorf("%s %+v: %s", d, x, out)
			}
		}
	}
}

func TestAStreamDoesNotCopyGiants(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	s := follow(t, dialect.OpenAIResponses, []event{
		{"response.created", `{"type":"response.created","sequence_number":0,"response":{"id":"resp_1","object":"response","model":"m","instructions":"` + big + `"}}`},
		{"", `{"type":"response.output_text.delta","item_id":"` + big + `","delta":"a"}`},
	})
	end := events(t, sse.EventStream, s.AppendFinish(nil, sse.EventStream, dialect.Usage{}))
	if len(end) != 1 || len(end[0].data) > 1000 || !strings.Contains(end[0].data, `"id":"resp_1"`) {
		t.Errorf("ends with %d bytes", len(end[0].data))
	}
}

func TestAnEmptyResponseObjectStaysValidJSON(t *testing.T) {
	for _, obj := range []string{`{}`, `{"status":"x"}`, `{ "usage" : {"input_tokens":1} , "id":"r"}`, `{"incomplete_details":{"reason":"a"},"status":null,"usage":null}`} {
		s := follow(t, dialect.OpenAIResponses, []event{{"", `{"type":"response.created","response":` + obj + `}`}})
		end := events(t, sse.EventStream, s.AppendFinish(nil, sse.EventStream, dialect.Usage{Known: true}))
		if !json.Valid([]byte(end[0].data)) {
			t.Errorf("%s ends with %s", obj, end[0].data)
		}
	}
}

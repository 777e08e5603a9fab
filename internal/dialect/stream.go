package dialect

import (
	"bytes"
	"strconv"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
	"github.com/mantlet-go/mantlet/internal/sse"
)

// maxEnvelope bounds what a Stream copies of a Responses stream's response object, which echoes instructions and tools.
const maxEnvelope = 64 << 10

// Stream follows one streamed reply, so that it can be ended properly after any event, and so that text can be written into
// it. The zero value follows an Unknown stream; Reset gives it its dialect. It copies what it needs and keeps its memory over
// Reset. It is not safe for concurrent use.
type Stream struct {
	dialect Dialect
	// The envelope of the events, as seen last; raw.
	id, model, object, created []byte
	seq                        int64
	usage                      Usage
	usageMember                bool
	generate                   bool
	started                    bool // Anthropic's message_start has passed
	stopped                    bool // Anthropic's message_delta with a stop reason has passed
	terminal                   bool
	// open are the choices (chat, completions) that have begun, or Anthropic's open blocks.
	open []choice
	// response is a copy of the latest response object of a Responses stream; the spans are values inside it.
	response                     []byte
	status, incomplete, usageObj Span
	items                        []item
	buf                          []byte
	own                          Response
}

// item is the id of an output item of a Responses stream.
type item struct {
	index uint32
	id    []byte
}

// Reset forgets the stream, for a new one of dialect d.
func (s *Stream) Reset(d Dialect) {
	*s = Stream{
		dialect: d, id: s.id[:0], model: s.model[:0], object: s.object[:0], created: s.created[:0], open: s.open[:0],
		response: s.response[:0], items: s.items[:0], buf: s.buf[:0], own: s.own,
	}
}

// Usage returns the usage of all observed events together.
func (s *Stream) Usage() Usage { return s.usage }

// Observe takes an event that is about to be passed on: its type (not needed today: every dialect repeats it in the data), its
// data, and what r, of the stream's dialect, found in the data. It keeps none of them. An r that is nil (the data was not JSON)
// changes nothing.
func (s *Stream) Observe(_, data []byte, r *Response) {
	if r == nil {
		return
	}
	s.usage.Merge(r.Usage)
	s.usageMember = s.usageMember || r.env.usageMember || r.Usage.Known
	s.terminal = s.terminal || r.Terminal
	s.generate = s.generate || r.env.generate
	s.id = keep(s.id, r.ID)
	s.model = keep(s.model, r.Model)
	s.object = keep(s.object, r.env.object)
	s.created = keep(s.created, r.env.created)
	if n, ok := jsonscan.Int(r.env.seq); ok {
		s.seq = n
	}
	switch s.dialect {
	case OpenAIChat, OpenAICompletions:
		for _, c := range r.choices {
			s.choice(c.index, c.finished)
		}
	case Anthropic:
		switch string(r.env.typ) {
		case "message_start":
			s.started = true
		case "content_block_start":
			s.choice(r.env.index, false)
		case "content_block_stop":
			s.choice(r.env.index, true)
		case "message_delta":
			s.stopped = s.stopped || r.Finish != nil
		}
	case OpenAIResponses:
		s.observeResponse(data, r)
	}
}

func (s *Stream) observeResponse(data []byte, r *Response) {
	e := &r.env
	if obj := e.response; obj.End > obj.Start && obj.End-obj.Start <= maxEnvelope && obj.End <= len(data) && data[obj.Start] == '{' {
		s.response = append(s.response[:0], data[obj.Start:obj.End]...)
		s.status, s.incomplete, s.usageObj = shift(e.status, obj.Start), shift(e.incomplete, obj.Start), shift(e.usage, obj.Start)
	}
	if len(e.itemID) == 0 || len(e.itemID) > 256 {
		return
	}
	for i := range s.items {
		if s.items[i].index == e.index {
			s.items[i].id = append(s.items[i].id[:0], e.itemID...)
			return
		}
	}
	if n := len(s.items); n < cap(s.items) {
		s.items = s.items[:n+1] // reuse the id's memory
		s.items[n].index = e.index
		s.items[n].id = append(s.items[n].id[:0], e.itemID...)
	} else if n < 256 {
		s.items = append(s.items, item{e.index, append([]byte(nil), e.itemID...)})
	}
}

func shift(sp Span, by int) Span {
	if sp.End <= sp.Start {
		return Span{}
	}
	return Span{sp.Start - by, sp.End - by}
}

// keep replaces dst by b, unless b is empty or too long to be what it should be.
func keep(dst, b []byte) []byte {
	if len(b) == 0 || len(b) > 512 {
		return dst
	}
	return append(dst[:0], b...)
}

// choice notes that a choice or block has begun or ended. At most 4096 are told apart, as in channels.
func (s *Stream) choice(index uint32, finished bool) {
	for i := range s.open {
		if s.open[i].index == index {
			s.open[i].finished = finished || s.open[i].finished && s.dialect != Anthropic
			return
		}
	}
	s.open = append(s.open, choice{index, finished})
}

// AppendFinish appends the events that end the stream as if the output limit had been reached, with usage u:
//
//   - chat and completions: for every choice that has begun and not finished (choice 0 if none has begun) a chunk with
//     finish_reason "length"; if any chunk had a usage member, even null, and u is known, a chunk with usage
//     and without choices, as stream_options.include_usage asks for; then [DONE] unless the format is NDJSON;
//   - Responses: response.incomplete with reason max_output_tokens, around the response object the upstream sent last;
//   - Anthropic: content_block_stop for every open block, message_delta with stop_reason "max_tokens", message_stop, after a
//     message_start if none has passed;
//   - Ollama: a line with done true and done_reason "length".
//
// It appends nothing to a stream that has ended or whose dialect is Unknown or not streamed.
func (s *Stream) AppendFinish(dst []byte, f sse.Format, u Usage) []byte {
	if s.terminal {
		return dst
	}
	switch s.dialect {
	case OpenAIChat, OpenAICompletions:
		return s.finishChat(dst, f, u)
	case OpenAIResponses:
		return s.finishResponses(dst, f, u)
	case Anthropic:
		return s.finishAnthropic(dst, f, u)
	case Ollama:
		b := s.appendOllamaText(s.appendOllama(s.buf[:0]), nil, false)
		b = append(b, `,"done":true,"done_reason":"length"`...)
		if u.Known {
			b = appendNumber(append(b, `,"prompt_eval_count":`...), u.Input)
			b = appendNumber(append(b, `,"eval_count":`...), u.Output)
		}
		return s.event(dst, f, "", append(b, '}'))
	}
	return dst
}

// event appends one event, whose data is or was built in s.buf.
func (s *Stream) event(dst []byte, f sse.Format, typ string, data []byte) []byte {
	s.buf = data
	return sse.AppendEvent(dst, f, typ, data)
}

func appendNumber(dst []byte, n int64) []byte { return strconv.AppendInt(dst, n, 10) }

// appendMember appends "name":"raw".
func appendMember(dst []byte, name string, raw []byte) []byte {
	dst = append(append(append(dst, '"'), name...), `":"`...)
	return append(append(dst, raw...), '"')
}

// or returns raw, or the fallback if it is empty.
func or(raw []byte, fallback string) []byte {
	if len(raw) == 0 {
		return []byte(fallback)
	}
	return raw
}

// appendChat begins a chunk of a chat or completions stream: everything before choices.
func (s *Stream) appendChat(dst []byte) []byte {
	id, object := "chatcmpl-0", "chat.completion.chunk"
	if s.dialect == OpenAICompletions {
		id, object = "cmpl-0", "text_completion"
	}
	dst = appendMember(append(dst, '{'), "id", or(s.id, id))
	dst = appendMember(append(dst, ','), "object", or(s.object, object))
	dst = append(append(dst, `,"created":`...), or(s.number(), "0")...)
	return appendMember(append(dst, ','), "model", s.model)
}

// number returns created if it is a number.
func (s *Stream) number() []byte {
	if len(s.created) > 0 && (s.created[0] == '-' || '0' <= s.created[0] && s.created[0] <= '9') {
		if _, ok := jsonscan.Int(s.created); ok {
			return s.created
		}
	}
	return nil
}

func (s *Stream) finishChat(dst []byte, f sse.Format, u Usage) []byte {
	if len(s.open) == 0 {
		s.open = append(s.open, choice{})
	}
	for _, c := range s.open {
		if c.finished {
			continue
		}
		b := append(s.appendChat(s.buf[:0]), `,"choices":[{"index":`...)
		b = appendNumber(b, int64(c.index))
		if s.dialect == OpenAIChat {
			b = append(b, `,"delta":{}`...)
		} else {
			b = append(b, `,"text":""`...)
		}
		dst = s.event(dst, f, "", append(b, `,"logprobs":null,"finish_reason":"length"}]}`...))
	}
	if s.usageMember && u.Known {
		b := append(s.appendChat(s.buf[:0]), `,"choices":[],"usage":`...)
		b = append(appendNumber(append(b, `{"prompt_tokens":`...), u.Input), `,"completion_tokens":`...)
		b = append(appendNumber(b, u.Output), `,"total_tokens":`...)
		b = appendNumber(b, u.Input+u.Output)
		if u.CachedInput > 0 {
			b = append(appendNumber(append(b, `,"prompt_tokens_details":{"cached_tokens":`...), u.CachedInput), '}')
		}
		dst = s.event(dst, f, "", append(b, `}}`...))
	}
	if f == sse.EventStream {
		dst = sse.AppendEvent(dst, f, "", []byte("[DONE]"))
	}
	return dst
}

func (s *Stream) finishAnthropic(dst []byte, f sse.Format, u Usage) []byte {
	if !s.started {
		b := append(s.buf[:0], `{"type":"message_start","message":{`...)
		b = appendMember(b, "id", or(s.id, "msg_0"))
		b = appendMember(append(b, `,"type":"message","role":"assistant",`...), "model", s.model)
		b = append(b, `,"content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":`...)
		b = append(appendNumber(b, max(u.Input-u.CachedInput, 0)), `,"output_tokens":0}}}`...)
		dst = s.event(dst, f, "message_start", b)
	}
	for _, c := range s.open {
		if !c.finished {
			b := appendNumber(append(s.buf[:0], `{"type":"content_block_stop","index":`...), int64(c.index))
			dst = s.event(dst, f, "content_block_stop", append(b, '}'))
		}
	}
	if !s.stopped {
		b := append(s.buf[:0], `{"type":"message_delta","delta":{"stop_reason":"max_tokens","stop_sequence":null},`...)
		b = appendNumber(append(b, `"usage":{"output_tokens":`...), u.Output)
		dst = s.event(dst, f, "message_delta", append(b, `}}`...))
	}
	return s.event(dst, f, "message_stop", append(s.buf[:0], `{"type":"message_stop"}`...))
}

func (s *Stream) finishResponses(dst []byte, f sse.Format, u Usage) []byte {
	b := appendNumber(append(s.buf[:0], `{"type":"response.incomplete","sequence_number":`...), s.seq+1)
	b = append(b, `,"response":`...)
	const reason = `{"reason":"max_output_tokens"}`
	if o := s.response; len(o) > 0 {
		// Keep the upstream's object; change what the end changes, and add what is missing.
		edits := [3]struct {
			at         Span
			name, text string
		}{
			{s.status, "status", `"incomplete"`}, {s.incomplete, "incomplete_details", reason}, {s.usageObj, "usage", responsesUsage(u)},
		}
		from := 0
		for {
			// The next edit in order of place; three are not worth a sort.
			next := -1
			for i, e := range edits {
				if e.at.End > 0 && e.at.Start >= from && (next < 0 || e.at.Start < edits[next].at.Start) {
					next = i
				}
			}
			if next < 0 {
				break
			}
			b = append(append(b, o[from:edits[next].at.Start]...), edits[next].text...)
			from = edits[next].at.End
		}
		b = append(b, o[from:len(o)-1]...)
		comma := len(bytes.TrimSpace(o[1:len(o)-1])) > 0
		for _, e := range edits {
			if e.at.End > 0 {
				continue
			}
			if comma {
				b = append(b, ',')
			}
			comma = true
			b = append(append(append(append(b, '"'), e.name...), `":`...), e.text...)
		}
		b = append(b, '}')
	} else {
		b = appendMember(append(b, '{'), "id", or(s.id, "resp_0"))
		b = append(append(b, `,"object":"response","created_at":`...), or(s.number(), "0")...)
		b = append(b, `,"status":"incomplete","error":null,"incomplete_details":`+reason+`,`...)
		b = append(appendMember(b, "model", s.model), `,"output":[],"parallel_tool_calls":true,"tools":[],"usage":`...)
		b = append(append(b, responsesUsage(u)...), '}')
	}
	return s.event(dst, f, "response.incomplete", append(b, '}'))
}

// responsesUsage is the usage object of Responses. This happens once per stream: it may allocate.
func responsesUsage(u Usage) string {
	if !u.Known {
		return "null"
	}
	b := appendNumber([]byte(`{"input_tokens":`), u.Input)
	b = appendNumber(append(b, `,"input_tokens_details":{"cached_tokens":`...), u.CachedInput)
	b = appendNumber(append(b, `},"output_tokens":`...), u.Output)
	b = appendNumber(append(b, `,"output_tokens_details":{"reasoning_tokens":0},"total_tokens":`...), u.Input+u.Output)
	return string(append(b, '}'))
}

// appendOllama begins a line of an Ollama stream.
func (s *Stream) appendOllama(dst []byte) []byte {
	dst = appendMember(append(dst, '{'), "model", s.model)
	if len(s.created) > 0 && s.number() == nil {
		dst = appendMember(append(dst, ','), "created_at", s.created)
	}
	return dst
}

// appendOllamaText appends the members that carry text.
func (s *Stream) appendOllamaText(dst, text []byte, thinking bool) []byte {
	end := ""
	switch {
	case s.generate && thinking:
		dst = append(dst, `,"response":"","thinking":`...)
	case s.generate:
		dst = append(dst, `,"response":`...)
	case thinking:
		dst, end = append(dst, `,"message":{"role":"assistant","content":"","thinking":`...), "}"
	default:
		dst, end = append(dst, `,"message":{"role":"assistant","content":`...), "}"
	}
	return append(jsonscan.AppendQuoted(dst, text, true), end...)
}

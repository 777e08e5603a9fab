package dialect

import (
	"github.com/mantlet-go/mantlet/internal/jsonscan"
	"github.com/mantlet-go/mantlet/internal/sse"
)

// AppendTextDelta appends one event that carries exactly text on the channel of t, for text that was held back. like is the
// data of an event of that channel, best the last one; t is a Text of it.
//
// In a known dialect the event is built anew, with the id, model and place that like (or, failing that, the stream so far)
// has: a verbatim clone of the first event of a tool call would repeat its id and name, which clients concatenate. Other
// texts, role, finish reason, usage and log probabilities are left out. In an Unknown stream the event is a copy of like with
// every other text empty, except short labels such as type, id, model and role.
//
// It appends nothing if the channel cannot carry such text: tokens of log probabilities, opaque strings, errors, tool results,
// or a like without that channel in an Unknown stream. t.Whole does not matter.
func (s *Stream) AppendTextDelta(dst []byte, f sse.Format, like []byte, t Text, text []byte) []byte {
	if t.Kind >= Token {
		return dst
	}
	r := &s.own
	r.Reset(s.dialect)
	if r.Scan(like) != nil {
		r.Reset(s.dialect)
	}
	index, block, fd := t.Channel>>20, t.Channel>>8&0xfff, field(t.Channel)
	switch s.dialect {
	case OpenAIChat, OpenAICompletions:
		s.adopt(r)
		return s.chatDelta(dst, f, index, block, fd, text)
	case Anthropic:
		return s.anthropicDelta(dst, f, block, fd, text)
	case OpenAIResponses:
		return s.responsesDelta(dst, f, r, index, block, fd, text)
	case Ollama:
		s.adopt(r)
		switch fd {
		case fieldContent, fieldGenerate, fieldThinking:
		default:
			return dst
		}
		s.generate = s.generate || fd == fieldGenerate
		b := s.appendOllamaText(s.appendOllama(s.buf[:0]), text, fd == fieldThinking)
		return s.event(dst, f, "", append(b, `,"done":false}`...))
	case Unknown:
		return s.cloneUnknown(dst, f, like, r, t, text)
	}
	return dst
}

// adopt takes the envelope of an event.
func (s *Stream) adopt(r *Response) {
	s.id = keep(s.id, r.ID)
	s.model = keep(s.model, r.Model)
	s.object = keep(s.object, r.env.object)
	s.created = keep(s.created, r.env.created)
}

func (s *Stream) chatDelta(dst []byte, f sse.Format, index, block uint32, fd field, text []byte) []byte {
	b := append(s.appendChat(s.buf[:0]), `,"choices":[{"index":`...)
	b = appendNumber(b, int64(index))
	end := "}"
	switch fd {
	case fieldContent:
		b = append(b, `,"delta":{"content":`...)
	case fieldPart:
		b = append(b, `,"delta":{"content":[{"type":"text","text":`...)
		end = "}]}"
	case fieldPartThinking:
		b = append(b, `,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":`...)
		end = "}]}]}"
	case fieldReasoningContent:
		b = append(b, `,"delta":{"reasoning_content":`...)
	case fieldReasoning:
		b = append(b, `,"delta":{"reasoning":`...)
	case fieldDetails:
		b = append(b, `,"delta":{"reasoning_details":[{"type":"reasoning.text","text":`...)
		end = "}]}"
	case fieldRefusal:
		b = append(b, `,"delta":{"refusal":`...)
	case fieldCallArguments, fieldCallInput:
		b = appendNumber(append(b, `,"delta":{"tool_calls":[{"index":`...), int64(block))
		if fd == fieldCallArguments {
			b = append(b, `,"function":{"arguments":`...)
		} else {
			b = append(b, `,"custom":{"input":`...)
		}
		end = "}}]}"
	case fieldFunctionCall:
		b = append(b, `,"delta":{"function_call":{"arguments":`...)
		end = "}}"
	case fieldTranscript:
		b = append(b, `,"delta":{"audio":{"transcript":`...)
		end = "}}"
	case fieldText:
		b = append(b, `,"text":`...)
		end = ""
	default:
		return dst
	}
	b = append(jsonscan.AppendQuoted(b, text, true), end...)
	return s.event(dst, f, "", append(b, `,"logprobs":null,"finish_reason":null}]}`...))
}

func (s *Stream) anthropicDelta(dst []byte, f sse.Format, block uint32, fd field, text []byte) []byte {
	b := appendNumber(append(s.buf[:0], `{"type":"content_block_delta","index":`...), int64(block))
	switch fd {
	case fieldText:
		b = append(b, `,"delta":{"type":"text_delta","text":`...)
	case fieldThinking:
		b = append(b, `,"delta":{"type":"thinking_delta","thinking":`...)
	case fieldJSON:
		b = append(b, `,"delta":{"type":"input_json_delta","partial_json":`...)
	default:
		return dst
	}
	return s.event(dst, f, "content_block_delta", append(jsonscan.AppendQuoted(b, text, true), `}}`...))
}

func (s *Stream) responsesDelta(dst []byte, f sse.Format, r *Response, index, block uint32, fd field, text []byte) []byte {
	typ, place := "", "content_index"
	switch fd {
	case fieldOutputText:
		typ = "response.output_text.delta"
	case fieldRefusal:
		typ = "response.refusal.delta"
	case fieldReasoningText:
		typ = "response.reasoning_text.delta"
	case fieldSummaryText:
		typ, place = "response.reasoning_summary_text.delta", "summary_index"
	case fieldItemArguments:
		typ, place = "response.function_call_arguments.delta", ""
	case fieldMCPArguments:
		typ, place = "response.mcp_call_arguments.delta", ""
	case fieldItemInput:
		typ, place = "response.custom_tool_call_input.delta", ""
	case fieldCode:
		typ, place = "response.code_interpreter_call_code.delta", ""
	default:
		return dst
	}
	id := r.env.itemID
	if len(id) == 0 {
		for i := range s.items {
			if s.items[i].index == index {
				id = s.items[i].id
			}
		}
	}
	seq := s.seq
	if n, ok := jsonscan.Int(r.env.seq); ok {
		seq = n
	}
	b := append(append(append(s.buf[:0], `{"type":"`...), typ...), `","sequence_number":`...)
	b = appendMember(append(appendNumber(b, seq), ','), "item_id", id)
	b = appendNumber(append(b, `,"output_index":`...), int64(index))
	if place != "" {
		b = append(append(append(b, `,"`...), place...), `":`...)
		b = appendNumber(b, int64(block))
	}
	b = jsonscan.AppendQuoted(append(b, `,"delta":`...), text, true)
	if fd == fieldOutputText {
		b = append(b, `,"logprobs":[]`...)
	}
	return s.event(dst, f, typ, append(b, '}'))
}

// cloneUnknown copies like with text in place of the text of t's channel and nothing in place of the others.
func (s *Stream) cloneUnknown(dst []byte, f sse.Format, like []byte, r *Response, t Text, text []byte) []byte {
	target := -1
	for i, o := range r.Texts {
		if o.Channel == t.Channel && (target < 0 || o.Start == t.Start) {
			target = i
		}
	}
	if target < 0 {
		return dst
	}
	b, from := s.buf[:0], 0
	for i, o := range r.Texts {
		b = append(b, like[from:o.Start]...)
		switch {
		case i == target:
			b = jsonscan.AppendQuoted(b, text, false)
		case o.Label:
			b = append(b, like[o.Start:o.End]...)
		}
		from = o.End
	}
	return s.event(dst, f, "", append(b, like[from:]...))
}

package deny

import "strconv"

// Stream is the dialect of an event stream that has already begun.
type Stream uint8

// The dialects of mid-stream errors.
const (
	// OpenAIStream is chat completions and completions: data: {"error":{...}}.
	OpenAIStream Stream = iota
	// ResponsesStream is OpenAI's Responses API: event: error with a flat {"type":"error","code","message","param"}.
	ResponsesStream
	// AnthropicStream is event: error with Anthropic's envelope.
	AnthropicStream
	// LinesStream is newline-delimited JSON (Ollama): {"error":"..."}.
	LinesStream
)

// AppendFrame appends one complete error event to dst: the last thing a client sees of a stream that could not be finished.
// seq is the sequence_number a Responses stream carries; the other dialects have none.
func (s Stream) AppendFrame(dst []byte, d *Denial, requestID string, seq int64) []byte {
	code := d.Code
	if code == "" {
		code = InternalError
	}
	switch s {
	case LinesStream:
		dst = append(dst, `{"error":`...)
		dst = appendString(dst, d.Text())
		dst = append(dst, `,"code":`...)
		dst = appendString(dst, string(code))
		return append(dst, "}\n"...)
	case AnthropicStream:
		dst = append(dst, "event: error\ndata: "...)
		dst = Anthropic.Append(dst, d, requestID)
	case ResponsesStream:
		dst = append(dst, "event: error\ndata: {\"type\":\"error\",\"code\":"...)
		dst = appendString(dst, string(code))
		dst = append(dst, `,"message":`...)
		dst = appendString(dst, d.Text())
		dst = append(dst, `,"param":null,"sequence_number":`...)
		dst = strconv.AppendInt(dst, seq, 10)
		dst = append(dst, '}')
	default:
		dst = append(dst, "data: "...)
		dst = OpenAI.Append(dst, d, requestID)
	}
	return append(dst, "\n\n"...)
}

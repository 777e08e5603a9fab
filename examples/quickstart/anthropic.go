package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
)

type messagesRequest struct {
	Model    string          `json:"model"`
	System   json.RawMessage `json:"system"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	MaxTokens *int `json:"max_tokens"`
	Stream    bool `json:"stream"`
}

func (q *messagesRequest) ask() (*ask, error) {
	if !slices.Contains(modelNames, q.Model) {
		return nil, &apiError{http.StatusNotFound, "the model does not exist"}
	}
	if len(q.Messages) == 0 {
		return nil, &apiError{http.StatusBadRequest, "messages is empty"}
	}
	if q.MaxTokens == nil {
		return nil, &apiError{http.StatusBadRequest, "max_tokens is required"}
	}
	a := &ask{model: q.Model, n: 1, stream: q.Stream}
	var err error
	if a.max, err = atMost(q.MaxTokens); err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, raw := range append([]json.RawMessage{q.System}, contents(q)...) {
		text, err := textOf(raw)
		if err != nil {
			return nil, err
		}
		b.WriteString(text)
		b.WriteByte('\n')
	}
	a.prompt = b.String()
	return a, nil
}

func contents(q *messagesRequest) []json.RawMessage {
	list := make([]json.RawMessage, len(q.Messages))
	for i, m := range q.Messages {
		list[i] = m.Content
	}
	return list
}

type messagesUsage struct {
	InputTokens  int `json:"input_tokens,omitempty"`
	OutputTokens int `json:"output_tokens"`
}

type textBlock struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

type messagesReply struct {
	ID           string        `json:"id"`
	Type         string        `json:"type"`
	Role         string        `json:"role"`
	Model        string        `json:"model"`
	Content      []textBlock   `json:"content"`
	StopReason   *string       `json:"stop_reason"`
	StopSequence *string       `json:"stop_sequence"`
	Usage        messagesUsage `json:"usage"`
}

// messages is POST /v1/messages, Anthropic's shape.
func (u *upstream) messages(w http.ResponseWriter, r *http.Request) {
	var in messagesRequest
	if err := decode(w, r, &in); err != nil {
		anthropicError(w, err)
		return
	}
	q, err := in.ask()
	if err != nil {
		anthropicError(w, err)
		return
	}
	if misbehave(w, q) {
		return
	}
	head := messagesReply{
		ID: u.id("msg_"), Type: "message", Role: "assistant", Model: q.model,
		Content: []textBlock{}, Usage: messagesUsage{InputTokens: countPieces(q.prompt)},
	}
	if q.stream {
		u.streamMessage(newEvents(w), r, q, head)
		return
	}
	text, n, finish := u.whole(r, q, 0)
	if r.Context().Err() != nil {
		return
	}
	stop := stopReason(finish)
	head.Content, head.StopReason, head.Usage.OutputTokens = []textBlock{{"text", text}}, &stop, n
	reply(w, http.StatusOK, head)
}

// stopReason translates OpenAI's word.
func stopReason(finish string) string {
	if finish == "length" {
		return "max_tokens"
	}
	return "end_turn"
}

// messagesEvent is the data of one event of a stream.
type messagesEvent struct {
	Type         string         `json:"type"`
	Message      *messagesReply `json:"message,omitempty"`
	Index        *int           `json:"index,omitempty"`
	ContentBlock *textBlock     `json:"content_block,omitempty"`
	Delta        any            `json:"delta,omitempty"`
	Usage        *messagesUsage `json:"usage,omitempty"`
}

type stopDelta struct {
	StopReason   string  `json:"stop_reason"`
	StopSequence *string `json:"stop_sequence"`
}

func (u *upstream) streamMessage(e *events, r *http.Request, q *ask, head messagesReply) {
	send := func(ev messagesEvent) bool { return e.send(ev.Type, ev) }
	send(messagesEvent{Type: "message_start", Message: &head})
	send(messagesEvent{Type: "content_block_start", Index: new(int), ContentBlock: &textBlock{Type: "text"}})
	var all strings.Builder
	for p := range u.choice(r.Context(), q, 0) {
		all.WriteString(p)
		if !send(messagesEvent{Type: "content_block_delta", Index: new(int), Delta: textBlock{"text_delta", p}}) {
			return
		}
		if q.model == modelPanic {
			panicNow()
		}
	}
	if r.Context().Err() != nil {
		return
	}
	n := countPieces(all.String())
	finish := "stop"
	if n >= q.max {
		finish = "length"
	}
	send(messagesEvent{Type: "content_block_stop", Index: new(int)})
	send(messagesEvent{Type: "message_delta", Delta: stopDelta{StopReason: stopReason(finish)}, Usage: &messagesUsage{OutputTokens: n}})
	send(messagesEvent{Type: "message_stop"})
}

// anthropicError sends err in Anthropic's envelope.
func anthropicError(w http.ResponseWriter, err error) {
	var e apiError
	e.fill(err)
	type detail struct {
		Type    string `json:"type"`
		Message string `json:"message"`
	}
	typ := "invalid_request_error"
	if e.status == http.StatusNotFound {
		typ = "not_found_error"
	}
	reply(w, e.status, struct {
		Type  string `json:"type"`
		Error detail `json:"error"`
	}{"error", detail{typ, e.message}})
}

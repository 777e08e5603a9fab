package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"time"
)

type chatRequest struct {
	Model    string `json:"model"`
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	MaxTokens           *int `json:"max_tokens"`
	MaxCompletionTokens *int `json:"max_completion_tokens"`
	N                   *int `json:"n"`
	Stream              bool `json:"stream"`
	StreamOptions       *struct {
		IncludeUsage bool `json:"include_usage"`
	} `json:"stream_options"`
}

func (q *chatRequest) ask() (*ask, error) {
	if !slices.Contains(modelNames, q.Model) {
		return nil, &apiError{http.StatusNotFound, "the model does not exist"}
	}
	if len(q.Messages) == 0 {
		return nil, &apiError{http.StatusBadRequest, "messages is empty"}
	}
	a := &ask{model: q.Model, n: 1, stream: q.Stream}
	if q.N != nil {
		a.n = *q.N
	}
	if a.n < 1 || a.n > maxChoices {
		return nil, &apiError{http.StatusBadRequest, "n is out of range"}
	}
	var err error
	if a.max, err = atMost(q.MaxCompletionTokens, q.MaxTokens); err != nil {
		return nil, err
	}
	var b strings.Builder
	for _, m := range q.Messages {
		text, err := textOf(m.Content)
		if err != nil {
			return nil, err
		}
		b.WriteString(text)
		b.WriteByte('\n')
	}
	a.prompt = b.String()
	return a, nil
}

type chatUsage struct {
	PromptTokens     int `json:"prompt_tokens"`
	CompletionTokens int `json:"completion_tokens"`
	TotalTokens      int `json:"total_tokens"`
}

type chatMessage struct {
	Role    string `json:"role,omitempty"`
	Content string `json:"content"`
}

type chatChoice struct {
	Index        int          `json:"index"`
	Message      *chatMessage `json:"message,omitempty"`
	Delta        *chatMessage `json:"delta,omitempty"`
	FinishReason *string      `json:"finish_reason"`
}

// chatReply is a whole answer or one chunk of a stream.
type chatReply struct {
	ID      string       `json:"id"`
	Object  string       `json:"object"`
	Created int64        `json:"created"`
	Model   string       `json:"model"`
	Choices []chatChoice `json:"choices"`
	Usage   *chatUsage   `json:"usage,omitempty"`
}

// chatCompletions is POST /v1/chat/completions.
func (u *upstream) chatCompletions(w http.ResponseWriter, r *http.Request) {
	var in chatRequest
	if err := decode(w, r, &in); err != nil {
		openAIError(w, err)
		return
	}
	q, err := in.ask()
	if err != nil {
		openAIError(w, err)
		return
	}
	if misbehave(w, q) {
		return
	}
	head := chatReply{ID: u.id("chatcmpl-"), Created: time.Now().Unix(), Model: q.model}
	usage := chatUsage{PromptTokens: countPieces(q.prompt)}
	if q.stream {
		head.Object = "chat.completion.chunk"
		withUsage := in.StreamOptions != nil && in.StreamOptions.IncludeUsage
		u.streamChat(newEvents(w), r, q, head, usage, withUsage)
		return
	}
	head.Object = "chat.completion"
	for i := range q.n {
		text, n, finish := u.whole(r, q, i)
		usage.CompletionTokens += n
		head.Choices = append(head.Choices, chatChoice{Index: i, Message: &chatMessage{"assistant", text}, FinishReason: &finish})
	}
	if r.Context().Err() != nil {
		return // nobody is there to read it
	}
	usage.TotalTokens = usage.PromptTokens + usage.CompletionTokens
	head.Usage = &usage
	reply(w, http.StatusOK, head)
}

// whole runs one choice to its end. finish is "length" when the maximum ended it.
func (u *upstream) whole(r *http.Request, q *ask, index int) (text string, n int, finish string) {
	var b strings.Builder
	for p := range u.choice(r.Context(), q, index) {
		b.WriteString(p)
	}
	text = b.String()
	n = countPieces(text)
	if finish = "stop"; n >= q.max {
		finish = "length"
	}
	return text, n, finish
}

// streamChat sends the choices one after the other, a piece a chunk, as OpenAI does except that it interleaves them.
func (u *upstream) streamChat(e *events, r *http.Request, q *ask, head chatReply, usage chatUsage, withUsage bool) {
	for i := range q.n {
		head.Choices = []chatChoice{{Index: i, Delta: &chatMessage{Role: "assistant"}}}
		e.send("", head)
		var all strings.Builder
		for p := range u.choice(r.Context(), q, i) {
			all.WriteString(p)
			head.Choices = []chatChoice{{Index: i, Delta: &chatMessage{Content: p}}}
			if !e.send("", head) {
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
		usage.CompletionTokens += n
		finish := "stop"
		if n >= q.max {
			finish = "length"
		}
		head.Choices = []chatChoice{{Index: i, Delta: &chatMessage{}, FinishReason: &finish}}
		if !e.send("", head) {
			return
		}
	}
	if withUsage {
		usage.TotalTokens = usage.PromptTokens + usage.CompletionTokens
		head.Choices, head.Usage = []chatChoice{}, &usage
		e.send("", head)
	}
	e.send("", []byte("[DONE]"))
}

// openAIError sends err in OpenAI's envelope.
func openAIError(w http.ResponseWriter, err error) {
	var e apiError
	e.fill(err)
	type detail struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	}
	reply(w, e.status, struct {
		Error detail `json:"error"`
	}{detail{Message: e.message, Type: "invalid_request_error"}})
}

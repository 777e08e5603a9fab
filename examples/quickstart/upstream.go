package main

// The stand-in model server: what a reader would have behind Mantlet. Nothing in this file, nor in openai.go, anthropic.go and
// misbehave.go, knows of Mantlet; it is careless in the ways that inference servers are.

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// defaultMaxTokens bounds a reply whose request names no maximum.
	defaultMaxTokens = 256
	// maxBody bounds a request body in bytes.
	maxBody = 4 << 20
	// maxChoices bounds n. A server that builds whatever n asks for can be made to run out of memory by one request.
	maxChoices = 16
)

// upstream answers as several models. It is immutable after newUpstream and safe for concurrent use.
type upstream struct {
	words  *generator
	labels *classifier
	// slow and endless are the pauses before each piece of demo-slow and demo-endless.
	slow, endless time.Duration
	created       int64 // what /v1/models says of the models' age, Unix seconds
	serial        atomic.Int64
}

// newUpstream trains the models, which takes some milliseconds.
func newUpstream(slow, endless time.Duration) *upstream {
	return &upstream{
		words: train(passages), labels: learn(labelled),
		slow: slow, endless: endless, created: time.Now().Unix(),
	}
}

// handler serves all endpoints, unprotected.
func (u *upstream) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", u.chatCompletions)
	mux.HandleFunc("POST /v1/messages", u.messages)
	mux.HandleFunc("POST /ai/predict", u.predict)
	mux.HandleFunc("GET /v1/models", u.models)
	return mux
}

// predict is POST /ai/predict: {"text": ...} in, {"label": ..., "probabilities": {...}} out.
func (u *upstream) predict(w http.ResponseWriter, r *http.Request) {
	var in struct {
		Text *string `json:"text"`
	}
	if err := decode(w, r, &in); err != nil {
		openAIError(w, err)
		return
	}
	if in.Text == nil {
		openAIError(w, &apiError{http.StatusBadRequest, "text is required"})
		return
	}
	label, probabilities := u.labels.predict(*in.Text)
	reply(w, http.StatusOK, struct {
		Label         string             `json:"label"`
		Probabilities map[string]float64 `json:"probabilities"`
	}{label, probabilities})
}

// models is GET /v1/models in OpenAI's shape.
func (u *upstream) models(w http.ResponseWriter, _ *http.Request) {
	type entry struct {
		ID      string `json:"id"`
		Object  string `json:"object"`
		Created int64  `json:"created"`
		OwnedBy string `json:"owned_by"`
	}
	list := make([]entry, len(modelNames))
	for i, name := range modelNames {
		list[i] = entry{name, "model", u.created, "quickstart"}
	}
	reply(w, http.StatusOK, struct {
		Object string  `json:"object"`
		Data   []entry `json:"data"`
	}{"list", list})
}

// ask is a request for text in any dialect.
type ask struct {
	model  string
	prompt string // all texts of the conversation
	max    int    // pieces per choice
	n      int    // choices
	stream bool
}

// textOf takes the text out of a message content, which is a string or a list of parts; parts that are not text count for
// nothing.
func textOf(raw json.RawMessage) (string, error) {
	if len(raw) == 0 || string(raw) == "null" {
		return "", nil
	}
	var s string
	if json.Unmarshal(raw, &s) == nil {
		return s, nil
	}
	var parts []struct {
		Text string `json:"text"`
	}
	if err := json.Unmarshal(raw, &parts); err != nil {
		return "", &apiError{http.StatusBadRequest, "content is neither a string nor a list of parts"}
	}
	var b strings.Builder
	for _, p := range parts {
		b.WriteString(p.Text)
		b.WriteByte('\n')
	}
	return b.String(), nil
}

// choice yields one choice of the answer: each piece as it leaves, to be counted by countPieces when all are joined. It ends
// early when ctx does.
func (u *upstream) choice(ctx context.Context, q *ask, index int) iter.Seq[string] {
	switch q.model {
	case modelLeaky:
		return paced(ctx, 0, leak(q.max))
	case modelSlow:
		return paced(ctx, u.slow, limit(u.words.reply(q.prompt, index, false), q.max))
	case modelEndless:
		if q.stream { // no maximum: it is for the budget, or the client, to end this
			return paced(ctx, u.endless, u.words.reply(q.prompt, index, true))
		}
	}
	return paced(ctx, 0, limit(u.words.reply(q.prompt, index, false), q.max))
}

// limit passes on pieces until they count more than max.
func limit(seq iter.Seq[string], max int) iter.Seq[string] {
	return func(yield func(string) bool) {
		n := 0
		for p := range seq {
			if n++; n > max || !yield(p) {
				return
			}
		}
	}
}

// paced waits d before each piece and stops when ctx is done.
func paced(ctx context.Context, d time.Duration, seq iter.Seq[string]) iter.Seq[string] {
	return func(yield func(string) bool) {
		var timer *time.Timer
		for p := range seq {
			if d > 0 {
				if timer == nil {
					timer = time.NewTimer(d)
					defer timer.Stop()
				} else {
					timer.Reset(d)
				}
				select {
				case <-ctx.Done():
				case <-timer.C:
				}
			}
			if ctx.Err() != nil || !yield(p) {
				return
			}
		}
	}
}

// id makes the id of an answer.
func (u *upstream) id(prefix string) string { return prefix + strconv.FormatInt(u.serial.Add(1), 10) }

// apiError is an error that the client is told about.
type apiError struct {
	status  int
	message string
}

func (e *apiError) Error() string { return e.message }

// fill sets e to what a reply says of err.
func (e *apiError) fill(err error) {
	*e = apiError{http.StatusInternalServerError, err.Error()} // careless on purpose
	var own *apiError
	var long *http.MaxBytesError
	switch {
	case errors.As(err, &own):
		*e = *own
	case errors.As(err, &long):
		*e = apiError{http.StatusRequestEntityTooLarge, "the request body is too large"}
	}
}

// decode reads one JSON value and nothing after it.
func decode(w http.ResponseWriter, r *http.Request, v any) error {
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	err := d.Decode(v)
	if err == nil {
		if _, err = d.Token(); err == nil {
			err = errors.New("trailing data")
		} else if err == io.EOF {
			return nil
		}
	}
	var long *http.MaxBytesError
	if errors.As(err, &long) {
		return err
	}
	return &apiError{http.StatusBadRequest, "the request body is not the JSON that is expected here"}
}

// reply sends v as JSON.
func reply(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // only our own types come here
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(b)))
	w.WriteHeader(status)
	w.Write(b)
}

// events writes server-sent events, each flushed as it is written.
type events struct {
	w   http.ResponseWriter
	ctl *http.ResponseController
	buf []byte
	err error // the first failure; the client is gone and the rest is not sent
}

func newEvents(w http.ResponseWriter) *events {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	return &events{w: w, ctl: http.NewResponseController(w)}
}

// send writes one event; typ may be empty. It reports whether the client still listens.
func (e *events) send(typ string, v any) bool {
	if e.err != nil {
		return false
	}
	b, ok := v.([]byte)
	if !ok {
		var err error
		if b, err = json.Marshal(v); err != nil {
			panic(err)
		}
	}
	e.buf = e.buf[:0]
	if typ != "" {
		e.buf = append(append(append(e.buf, "event: "...), typ...), '\n')
	}
	e.buf = append(append(append(e.buf, "data: "...), b...), "\n\n"...)
	if _, e.err = e.w.Write(e.buf); e.err == nil {
		e.err = e.ctl.Flush()
	}
	return e.err == nil
}

// atMost is the number of pieces a request allows: what it names, or the default.
func atMost(named ...*int) (int, error) {
	n := defaultMaxTokens
	for _, p := range named {
		if p != nil {
			n = cmp.Or(*p, -1)
			break
		}
	}
	if n < 0 {
		return 0, &apiError{http.StatusBadRequest, "the maximum of tokens must be positive"}
	}
	return n, nil
}

package audit

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/lmittmann/tint"
)

// SlogSink hands events to a slog.Handler: the way to whatever already collects an application's logs.
type SlogSink struct {
	handler slog.Handler
	best    bool
	brief   bool
	name    string

	mu     sync.Mutex
	closed bool
}

// NewSlogSink returns a sink that turns each line into a record: the message is the event's name, the attributes are the
// other members in their order, the level is Info, Warn for refusals, gaps and clients that left, and Error for panics and
// 5xx. Levels h does not want are not formatted. An error of h is a failure to store.
//
// Strings reach h decoded, control characters included. A handler that writes JSON escapes them; around one for people put
// SafeHandler.
func NewSlogSink(h slog.Handler) *SlogSink {
	if h == nil {
		h = slog.DiscardHandler
	}
	return &SlogSink{handler: h, name: "slog"}
}

// TerminalConfig is the configuration of a sink for a terminal.
type TerminalConfig struct {
	// Writer is where the text goes; nil means os.Stderr.
	Writer io.Writer
	// Color writes ANSI colours. Zero means none: the sink does not guess what is behind Writer.
	Color bool
	// Level is the least level shown; nil means slog.LevelInfo, that is every event.
	Level slog.Leveler
	// TimeFormat is a layout of package time; empty means time.StampMilli.
	TimeFormat string
	// Verbose shows every member of the line under its own name. Zero shows a request as its status and route with what
	// people look for (who, which model, tokens, time, findings, refusal and its cause), under short names.
	Verbose bool
}

// NewTerminalSink returns a sink for people's eyes: tint behind a SafeHandler. It is best effort by nature (see BestEffort):
// a terminal that somebody paused must not hold up requests. A Log with no other sink therefore never refuses.
func NewTerminalSink(cfg TerminalConfig) *SlogSink {
	w := cfg.Writer
	if w == nil {
		w = os.Stderr
	}
	h := tint.NewTextHandler(w, &tint.Options{Level: cfg.Level, TimeFormat: cfg.TimeFormat, NoColor: !cfg.Color})
	return &SlogSink{handler: SafeHandler(h), name: "terminal", best: true, brief: !cfg.Verbose}
}

// Name gives "slog" or "terminal".
func (s *SlogSink) Name() string { return s.name }

func (s *SlogSink) isBestEffort() bool { return s.best }

// Write implements Sink.
func (s *SlogSink) Write(ctx context.Context, b Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return ErrClosed
	}
	n := 0
	for line := range b.All() {
		err := ctx.Err()
		if err == nil {
			err = s.line(ctx, line)
		}
		if err != nil {
			if n > 0 {
				return &PartialError{Lines: n, Err: err}
			}
			return err
		}
		n++
	}
	return nil
}

// Close implements Sink. The handler is not closed: it belongs to the application.
func (s *SlogSink) Close(context.Context) error {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	return nil
}

var errNotALine = errors.New("audit: not a JSON object")

// line reads one line back. It trusts the form (it is ours) but checks it.
func (s *SlogSink) line(ctx context.Context, line []byte) error {
	dec := json.NewDecoder(bytes.NewReader(line))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return errors.Join(ErrRejected, errNotALine)
	}
	var (
		when    time.Time
		message string
		level   = slog.LevelInfo
		attrs   []slog.Attr
	)
	for dec.More() {
		t, err := dec.Token()
		key, ok := t.(string)
		if err != nil || !ok {
			return errors.Join(ErrRejected, errNotALine)
		}
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return errors.Join(ErrRejected, errNotALine)
		}
		v := rawValue(raw)
		switch key {
		case "schema":
			continue
		case "time":
			when, _ = time.Parse(time.RFC3339Nano, v.String())
			continue
		case "event.name":
			message = v.String()
			continue
		case "stage":
			switch Stage(v.String()) {
			case StagePanic:
				level = slog.LevelError
			case StageGap, StageFile:
				level = max(level, slog.LevelWarn)
			}
		case "error.type", "http.client_aborted":
			level = max(level, slog.LevelWarn)
		case "http.response.status_code":
			if v.Kind() == slog.KindInt64 && v.Int64() >= 500 {
				level = slog.LevelError
			}
		}
		attrs = append(attrs, slog.Attr{Key: key, Value: v})
	}
	if t, err := dec.Token(); err != nil || t != json.Delim('}') {
		return errors.Join(ErrRejected, errNotALine)
	}
	if !s.handler.Enabled(ctx, level) {
		return nil
	}
	if s.brief && message == eventRequest {
		message, attrs = brief(attrs)
	}
	r := slog.NewRecord(when, level, message, 0)
	r.AddAttrs(attrs...)
	return s.handler.Handle(ctx, r)
}

// briefNames are the members of a request's line that a terminal shows, in the order it shows them.
var briefNames = []struct{ member, name string }{
	{"stage", "stage"}, {"error.type", "error"}, {"http.client_aborted", "client_left"}, {"auth.client_id", "client"},
	{"auth.subject", "subject"}, {"gen_ai.request.model", "model"}, {"gen_ai.response.finish_reasons", "finish"},
	{"gen_ai.usage.input_tokens", "in"}, {"gen_ai.usage.output_tokens", "out"}, {"x.duration_ms", "ms"},
	{"x.tokens_per_second", "tokens/s"}, {"sanitize.findings", "found"}, {"x.error.cause", "cause"}, {"client.net", "from"},
	{"client.address", "from"}, {"request.id", "id"},
}

// brief makes the short form of a request: its status and route as the message, the members of briefNames and the attributes
// that were added as attributes.
func brief(attrs []slog.Attr) (message string, short []slog.Attr) {
	find := func(member string) (slog.Value, bool) {
		for _, a := range attrs {
			if a.Key == member {
				return a.Value, true
			}
		}
		return slog.Value{}, false
	}
	text := func(member, otherwise string) string {
		if v, ok := find(member); ok {
			return v.String()
		}
		return otherwise
	}
	message = text("http.response.status_code", "-") + " " + text("http.route", text("http.request.method", "")+" (no route)")
	_, client := find("auth.client_id")
	for _, n := range briefNames {
		v, ok := find(n.member)
		switch {
		case !ok, n.member == "stage" && v.String() == string(StageCompleted), n.member == "auth.subject" && client:
			continue
		case n.member == "sanitize.findings":
			v = slog.StringValue(briefFindings(v.String()))
		case n.member == "gen_ai.response.finish_reasons":
			v = slog.StringValue(strings.Trim(v.String(), `[]"`))
		case n.member == "x.tokens_per_second":
			v = slog.Int64Value(int64(v.Float64()))
		}
		short = append(short, slog.Attr{Key: n.name, Value: v})
	}
	for _, a := range attrs {
		if name, ok := strings.CutPrefix(a.Key, "attr."); ok {
			short = append(short, slog.Attr{Key: name, Value: a.Value})
		}
	}
	return message, short
}

// briefFindings turns the array of findings into words such as "secret/redact email/redact".
func briefFindings(array string) string {
	var list []struct{ Kind, Action string }
	if json.Unmarshal([]byte(array), &list) != nil {
		return array
	}
	words := make([]string, len(list))
	for i, f := range list {
		words[i] = f.Kind + "/" + f.Action
	}
	return strings.Join(words, " ")
}

// rawValue makes a slog value of a JSON one. Arrays and objects stay JSON text, with the line's escapes in them.
func rawValue(raw json.RawMessage) slog.Value {
	switch {
	case len(raw) == 0:
	case raw[0] == '"':
		var s string
		if json.Unmarshal(raw, &s) == nil {
			return slog.StringValue(s)
		}
	case raw[0] == 't', raw[0] == 'f':
		return slog.BoolValue(raw[0] == 't')
	case raw[0] == '-', raw[0] >= '0' && raw[0] <= '9':
		if !strings.ContainsAny(string(raw), ".eE") {
			if i, err := strconv.ParseInt(string(raw), 10, 64); err == nil {
				return slog.Int64Value(i)
			}
		}
		if f, err := strconv.ParseFloat(string(raw), 64); err == nil {
			return slog.Float64Value(f)
		}
	}
	return slog.StringValue(string(raw))
}

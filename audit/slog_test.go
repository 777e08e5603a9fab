package audit_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"

	"github.com/lmittmann/tint"
	"github.com/mantlet-go/mantlet/audit"
	"github.com/mantlet-go/mantlet/audit/sinktest"
)

func TestTheSlogSinkKeepsTheRules(t *testing.T) {
	var buf *bytes.Buffer
	sinktest.Run(t, sinktest.Harness{
		New: func(t *testing.T) audit.Sink {
			buf = new(bytes.Buffer)
			return audit.NewSlogSink(slog.NewJSONHandler(buf, nil))
		},
		Stored: func(t *testing.T) []string {
			if buf.Len() == 0 {
				return nil
			}
			return strings.Split(strings.TrimSuffix(buf.String(), "\n"), "\n")
		},
		RequestID: func(stored string) string {
			var m map[string]any
			json.Unmarshal([]byte(stored), &m)
			s, _ := m["request.id"].(string)
			return s
		},
	})
}

func TestTheTerminalSinkKeepsTheRules(t *testing.T) {
	for _, color := range []bool{false, true} {
		var buf *bytes.Buffer
		sinktest.Run(t, sinktest.Harness{
			New: func(t *testing.T) audit.Sink {
				buf = new(bytes.Buffer)
				return audit.NewTerminalSink(audit.TerminalConfig{Writer: buf, Color: color})
			},
			Stored: func(t *testing.T) []string {
				if buf.Len() == 0 {
					return nil
				}
				return strings.Split(strings.TrimSuffix(buf.String(), "\n"), "\n")
			},
			RequestID: func(stored string) string {
				_, after, _ := strings.Cut(stored, "sinktest-")
				return "sinktest-" + after[:min(6, len(after))]
			},
		})
	}
}

type text string

func (s text) String() string { return string(s) }

type valuer struct{ v slog.Value }

func (v valuer) LogValue() slog.Value { return v.v }

type wild struct{ Field string }

// Without this the test below proves nothing: tint alone lets a message act on the terminal, so it is SafeHandler that stops it.
func TestTintAloneWritesWhatSafeHandlerStops(t *testing.T) {
	const hostile = "one\ntwo\x1b[2J"
	var alone, behind bytes.Buffer
	slog.New(tint.NewTextHandler(&alone, &tint.Options{NoColor: true})).Info(hostile)
	slog.New(audit.SafeHandler(tint.NewTextHandler(&behind, &tint.Options{NoColor: true}))).Info(hostile)
	if !strings.Contains(alone.String(), hostile) {
		t.Errorf("tint cleans messages by itself now; choose another handler for the test below: %q", alone.String())
	}
	if strings.Contains(behind.String(), "\x1b") || strings.Count(behind.String(), "\n") != 1 {
		t.Errorf("%q", behind.String())
	}
}

func TestNothingThatReachesATerminalActsOnIt(t *testing.T) {
	for _, text_ := range hostileTexts {
		if len(text_) > 1<<12 || text_ == "" {
			continue
		}
		for _, color := range []bool{false, true} {
			var buf bytes.Buffer
			h := audit.SafeHandler(tint.NewTextHandler(&buf, &tint.Options{NoColor: !color, AddSource: true}))
			logger := slog.New(h)
			err := fmt.Errorf("wrapped: %w", errors.New(text_))
			logger.With(text_, text_, slog.Group(text_, slog.String(text_, text_)), "e", err).WithGroup(text_).With("v", valuer{slog.StringValue(text_)}).
				Info(text_, text_, text_, "err", err, tint.Err(err), "stringer", text(text_), "struct", wild{text_}, "bytes", []byte(text_),
					"map", map[string]string{text_: text_}, "slice", []string{text_}, "any", any(text_), "joined", errors.Join(err, err),
					slog.Group("g", slog.Any("deep", err), slog.Group(text_, "x", text_)),
					"valuer", valuer{slog.GroupValue(slog.String(text_, text_), slog.Any("e", err))}, "nested", valuer{slog.AnyValue(valuer{slog.StringValue(text_)})})
			out := buf.String()
			if strings.Count(out, "\n") != 1 || !strings.HasSuffix(out, "\n") {
				t.Fatalf("%d lines for %q:\n%q", strings.Count(out, "\n"), text_, out)
			}
			if color { // what tint itself writes
				for _, own := range []string{"0", "1", "2", "22", "2;91", "91", "92", "93", "94", "95", "96", "22;91", "39", "1;91"} {
					out = strings.ReplaceAll(out, "\x1b["+own+"m", "")
				}
			}
			for _, r := range strings.TrimSuffix(out, "\n") {
				if audit.Hidden(r) {
					t.Fatalf("color %v: %U reaches the terminal for %q:\n%q", color, r, text_, out)
				}
			}
		}
	}
}

func TestACleanRecordPassesUnchanged(t *testing.T) {
	var with, without bytes.Buffer
	drop := &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	for _, h := range []slog.Handler{audit.SafeHandler(slog.NewJSONHandler(&with, drop)), slog.NewJSONHandler(&without, drop)} {
		slog.New(h).With("a", 1).WithGroup("g").Warn("hällo 世界", "b", 2.5, "c", "text", slog.Group("d", "e", true))
	}
	if with.String() != without.String() {
		t.Errorf("%s%s", with.String(), without.String())
	}
	h := audit.SafeHandler(slog.DiscardHandler)
	r := slog.Record{Message: "clean"}
	r.AddAttrs(slog.String("a", "b"), slog.Int("c", 1))
	if n := testing.AllocsPerRun(100, func() { h.Handle(context.Background(), r) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestTheLevelOfARecordTellsHowItWent(t *testing.T) {
	for level, ev := range map[string]audit.Event{
		"INFO":  {Name: "x", HTTP: audit.HTTP{Method: "GET", Status: 200}},
		"WARN":  {Name: "x", HTTP: audit.HTTP{Method: "GET", Status: 401}, Error: "invalid_api_key"},
		"ERROR": {Name: "x", HTTP: audit.HTTP{Method: "GET", Status: 502}, Error: "upstream_error"},
	} {
		var buf bytes.Buffer
		s := audit.NewSlogSink(slog.NewJSONHandler(&buf, nil))
		if err := s.Write(context.Background(), audit.Batch{Lines: audit.EncodeEvent(ev), Count: 1}); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(buf.String(), `"level":"`+level+`","msg":"x"`) {
			t.Errorf("%s: %s", level, buf.String())
		}
	}
}

func TestWhatIsNoLineIsRejectedNotRetried(t *testing.T) {
	s := audit.NewSlogSink(slog.NewJSONHandler(os.Stderr, nil))
	for _, bad := range []string{"", "[]", "{", `{"a"`, "x"} {
		if err := s.Write(context.Background(), audit.Batch{Lines: []byte(bad + "\n"), Count: 1}); !errors.Is(err, audit.ErrRejected) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestTheTerminalShowsARequestInShort(t *testing.T) {
	var out bytes.Buffer
	sink := audit.NewTerminalSink(audit.TerminalConfig{Writer: &out, TimeFormat: "15:04"})
	line := `{"schema":1,"time":"2026-01-02T03:04:05Z","event.name":"http.request","stage":"completed","request.id":"r1",` +
		`"client.net":"192.0.2.0/24","http.request.method":"POST","http.route":"POST /v1/chat/completions","http.response.status_code":422,` +
		`"auth.subject":"s","auth.client_id":"team-a","sanitize.findings":[{"kind":"secret","rule":"openai","action":"redact","direction":"response","count":1}],` +
		`"gen_ai.request.model":"demo","gen_ai.response.finish_reasons":["stop"],"gen_ai.usage.input_tokens":3,"x.duration_ms":1.5,` +
		`"error.type":"schema_violation","x.error.cause":"why","x.body.sealed":"gAAAA"}` + "\n"
	if err := sink.Write(t.Context(), audit.Batch{Lines: []byte(line), Count: 1}); err != nil {
		t.Fatal(err)
	}
	want := `03:04 WRN 422 POST /v1/chat/completions error=schema_violation client=team-a model=demo finish=stop in=3 ms=1.5 found=secret/redact cause=why from=192.0.2.0/24 id=r1` + "\n"
	if out.String() != want {
		t.Errorf("got  %swant %s", out.String(), want)
	}
}

package audit_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/mantlet-go/mantlet/audit"
	"github.com/mantlet-go/mantlet/internal/corpus"
	"github.com/santhosh-tekuri/jsonschema/v5"
)

// hostileTexts are what a client can put wherever it may put text.
var hostileTexts = []string{
	"",
	"plain",
	"line\nbreak\r\n{\"schema\":1,\"event.name\":\"forged\"}",
	"nul\x00 bell\x07 tab\t del\x7f",
	"\x1b[2J\x1b]0;title\x07\x1b]52;c;cHduZWQ=\x07",
	"c1 \u009b31m \u0085 \u0090q\u009c",
	"bidi \u202eevil\u202c \u2066x\u2069 \u200f \u061c",
	"sep \u2028 \u2029 zero\u200bwidth \ufeff",
	`printable \x1b[2J \X1B \\x1b \u001b \x1`,
	"世 printable \\x1b[2J",
	"tags \U000e0041\U000e007f",
	"bad \xff\xfe \xc0\xaf \xed\xa0\x80 \xf4\x90\x80\x80 cut \xe2\x82",
	"bad with backslash \\x41 \xff \\",
	`"quoted" \ </script><!-- '=1+1`,
	"wörld 世界 🙂 e\u0301",
	"\ufffd is a character too",
	strings.Repeat("A", 1<<20),
	strings.Repeat("\x1b", 1<<20),
	strings.Repeat("\xff", 1<<20),
	strings.Repeat("世", 1<<19),
	strings.Repeat("\U000e0041", 1<<17),
	strings.Repeat("a", 253) + "世界",
}

// decode reads the only line in b back, checking that it is one line and one JSON value without a repeated name.
func decode(t testing.TB, b []byte) map[string]any {
	t.Helper()
	if n := bytes.Count(b, []byte("\n")); n != 1 || b[len(b)-1] != '\n' {
		t.Fatalf("%d line breaks in %.300q", n, b)
	}
	for _, r := range string(b[:len(b)-1]) {
		if audit.Hidden(r) {
			t.Fatalf("%U stands raw in %.300q", r, b)
		}
	}
	if !utf8.Valid(b) {
		t.Fatalf("not UTF-8: %.300q", b)
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if _, err := dec.Token(); err != nil {
		t.Fatalf("%v in %.300q", err, b)
	}
	seen := map[string]bool{}
	for dec.More() {
		key, err := dec.Token()
		if err != nil {
			t.Fatalf("%v in %.300q", err, b)
		}
		if seen[key.(string)] {
			t.Fatalf("%q is there twice in %s", key, b)
		}
		seen[key.(string)] = true
		var v any
		if err := dec.Decode(&v); err != nil {
			t.Fatalf("%v in %.300q", err, b)
		}
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatalf("%v in %.300q", err, b)
	}
	if m["schema"] == 1.0 && m["event.name"] != nil {
		if err := lineSchema().Validate(m); err != nil {
			t.Fatalf("%#v in %.600s", err, b)
		}
	}
	return m
}

// lineSchema is the published form of a line; every line a test reads back is held against it.
var lineSchema = sync.OnceValue(func() *jsonschema.Schema { return jsonschema.MustCompile("schema.json") })

func TestThePublishedSchemaNamesEveryMember(t *testing.T) {
	raw, err := os.ReadFile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var s struct {
		Properties map[string]any
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(audit.FieldNames(), "x.trimmed", "x.escaped") {
		if s.Properties[name] == nil {
			t.Errorf("%s is not in schema.json", name)
		}
		delete(s.Properties, name)
	}
	for name := range s.Properties {
		t.Errorf("%s is in schema.json only", name)
	}
}

func TestPublicAttacksRoundTrip(t *testing.T) {
	type row struct{ Text string }
	for _, name := range []string{"injection/dev.jsonl.gz", "sqli_xss/dev.jsonl"} {
		t.Run(name, func(t *testing.T) {
			for _, r := range corpus.Lines[row](t, name) {
				m := decode(t, audit.EncodeEvent(audit.Event{Name: "x", Cause: r.Text, GenAI: audit.GenAI{Model: r.Text}}))
				checkText(t, m, "x.error.cause", r.Text)
				checkText(t, m, "gen_ai.request.model", r.Text)
			}
		})
	}
}

// checkText holds what a line says of a text against the text.
func checkText(t testing.TB, m map[string]any, key, want string) {
	t.Helper()
	got, _ := m[key].(string)
	listed := func(list string) bool {
		l, _ := m[list].([]any)
		return slices.Contains(l, any(key))
	}
	sameText(t, got, want, listed("x.trimmed"), listed("x.escaped"))
}

func sameText(t testing.TB, got, want string, trimmed, escaped bool) {
	t.Helper()
	if trimmed {
		short, ok := strings.CutSuffix(got, "…")
		if !ok {
			t.Fatalf("%.80q was cut without an ellipsis: %.80q", want, got)
		}
		got = short
	}
	if escaped {
		var err error
		if got, err = audit.Unescape(got); err != nil {
			t.Fatal(err)
		}
	} else if !utf8.ValidString(want) && !trimmed {
		t.Fatalf("%.80q is not UTF-8 and not listed", want)
	}
	if trimmed && (len(got) >= len(want) || !strings.HasPrefix(want, got)) || !trimmed && got != want {
		t.Fatalf("got %.80q, want %.80q (trimmed %v, escaped %v)", got, want, trimmed, escaped)
	}
}

func hostileEvent(text string) audit.Event {
	var attrs []slog.Attr
	for i := range 20 {
		attrs = append(attrs, slog.String(fmt.Sprintf("%d-%s", i, text), text))
	}
	var found []audit.Finding
	for i := range 30 {
		found = append(found, audit.Finding{Kind: fmt.Sprintf("%d%s", i, text), Rule: text, Action: text, Direction: text, Count: math.MaxInt})
	}
	return audit.Event{
		Time: time.Date(9999, 12, 31, 23, 59, 59, 999999999, time.UTC), Name: text, Stage: audit.Stage(text), RequestID: text,
		TraceID: text, SpanID: text, Client: netip.MustParseAddr("fe80:1111:2222:3333:4444:5555:6666:7777"),
		HTTP:      audit.HTTP{Method: text + "X", Route: text, Status: 599, RequestBytes: math.MaxInt64, ResponseBytes: math.MaxInt64, Aborted: true, Hijacked: true},
		Auth:      audit.Auth{Scheme: text, Outcome: audit.Outcome(text), Issuer: text, Subject: text, Tenant: text, ClientID: text, KeyID: text, Plan: text},
		RateLimit: audit.Outcome(text), Validate: audit.Outcome(text), Sanitize: audit.Outcome(text), Findings: found,
		GenAI: audit.GenAI{Operation: text, Model: text, Stream: true, FinishReason: text, ResponseModel: text, TimeToFirstChunk: math.MaxInt64,
			StreamTime: 1000, UsageKnown: true, UsageEstimated: true, InputTokens: math.MaxInt64, CachedInputTokens: math.MaxInt64, OutputTokens: 999999999, CostMicroUSD: math.MaxInt64},
		Duration: math.MaxInt64, Error: text, ErrorStage: text, Cause: text, Attrs: attrs,
	}
}

func TestEveryAttackerControlledFieldStaysInItsLine(t *testing.T) {
	keys := map[string]bool{}
	for _, text := range hostileTexts {
		line := audit.EncodeEvent(hostileEvent(text))
		m := decode(t, line)
		if len(line) > audit.MaxLine {
			t.Errorf("%d bytes for %.40q, want at most %d", len(line), text, audit.MaxLine)
		}
		for _, key := range []string{"event.name", "stage", "request.id", "trace_id", "span_id", "http.route", "auth.scheme",
			"auth.outcome", "auth.issuer", "auth.subject", "auth.tenant", "auth.client_id", "auth.key_id", "auth.plan",
			"ratelimit.outcome", "validate.outcome", "sanitize.outcome", "gen_ai.operation.name", "gen_ai.request.model",
			"gen_ai.response.model", "error.type", "x.error.stage", "x.error.cause"} {
			checkText(t, m, key, text)
		}
		if m["http.request.method"] != "_OTHER" {
			t.Errorf("method is %v", m["http.request.method"])
		}
		for key := range m {
			keys[key] = true
		}
	}
	for key := range keys {
		if !strings.HasPrefix(key, "attr.") && !slices.Contains(audit.FieldNames(), key) && key != "x.trimmed" && key != "x.escaped" {
			t.Errorf("%q is not in the schema", key)
		}
	}
}

func TestTheOrderOfMembersIsFixed(t *testing.T) {
	order := audit.FieldNames()
	line := audit.EncodeEvent(hostileEvent("x"))
	at := -1
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.Token()
	for dec.More() {
		key, _ := dec.Token()
		var skip any
		if err := dec.Decode(&skip); err != nil {
			t.Fatal(err)
		}
		i := slices.Index(order, key.(string))
		if i < 0 {
			continue // attributes and lists
		}
		if i < at {
			t.Errorf("%s stands behind %s", key, order[at])
		}
		at = i
	}
}

func TestALineReadsLikeThis(t *testing.T) {
	line := audit.EncodeEvent(audit.Event{
		Time: time.Date(2026, 3, 4, 5, 6, 7, 8000, time.FixedZone("", 3600)), Name: "http.request", Stage: audit.StageCompleted,
		RequestID: "r1", Client: netip.MustParseAddr("192.0.2.7"),
		HTTP:     audit.HTTP{Method: "POST", Route: "POST /v1/chat/completions", Status: 200, RequestBytes: 100, ResponseBytes: 0},
		Auth:     audit.Auth{Scheme: "api_key", Outcome: audit.Allowed, ClientID: "acme", KeyID: "k1"},
		GenAI:    audit.GenAI{Operation: "chat", Model: "m", Stream: true, FinishReason: "stop", TimeToFirstChunk: 250 * time.Millisecond, StreamTime: 2 * time.Second, UsageKnown: true, InputTokens: 12, OutputTokens: 101},
		Duration: 2500 * time.Millisecond, Attrs: []slog.Attr{slog.Int("n", 3), slog.Group("g", slog.Bool("b", true))},
	})
	want := `{"schema":1,"time":"2026-03-04T04:06:07.000008Z","event.name":"http.request","stage":"completed","request.id":"r1",` +
		`"client.address":"192.0.2.7","http.request.method":"POST","http.route":"POST /v1/chat/completions",` +
		`"http.response.status_code":200,"http.request.body.size":100,"http.response.body.size":0,"auth.scheme":"api_key",` +
		`"auth.outcome":"allowed","auth.client_id":"acme","auth.key_id":"k1","gen_ai.operation.name":"chat",` +
		`"gen_ai.request.model":"m","gen_ai.request.stream":true,"gen_ai.response.finish_reasons":["stop"],` +
		`"gen_ai.response.time_to_first_chunk":0.250000,"gen_ai.usage.input_tokens":12,"gen_ai.usage.output_tokens":101,` +
		`"x.tokens_per_second":50.000,"x.duration_ms":2500.000,"attr.n":3,"attr.g.b":true}` + "\n"
	if string(line) != want {
		t.Errorf("got  %swant %s", line, want)
	}
}

func TestUnknownUsageIsAbsentAndNeverZero(t *testing.T) {
	m := decode(t, audit.EncodeEvent(audit.Event{Name: "x", GenAI: audit.GenAI{Operation: "chat", Model: "m"}}))
	for key := range m {
		if strings.Contains(key, "usage") || strings.Contains(key, "tokens") {
			t.Errorf("%s = %v though nobody said", key, m[key])
		}
	}
	m = decode(t, audit.EncodeEvent(audit.Event{Name: "x", GenAI: audit.GenAI{Operation: "chat", UsageKnown: true}}))
	if m["gen_ai.usage.output_tokens"] != 0.0 {
		t.Error("a known zero is a fact and belongs into the line")
	}
}

type leaky struct{ Secret string }

type nilError struct{ text *string }

func (e *nilError) Error() string { return *e.text }

func TestAttributesNeverSpillStructsNorBreakTheLine(t *testing.T) {
	var none *nilError
	m := decode(t, audit.EncodeEvent(audit.Event{Name: "x", Attrs: []slog.Attr{
		slog.Any("struct", leaky{"canary"}), slog.Any("pointer", &leaky{"canary"}), slog.Any("map", map[string]string{"canary": "canary"}),
		slog.Any("error", errors.New("bad\nthing")), slog.Any("nilerror", none), slog.Any("nil", nil),
		slog.Float64("nan", math.NaN()), slog.Float64("inf", math.Inf(-1)), slog.Duration("d", time.Second),
		slog.Time("t", time.Unix(0, 0)), slog.Uint64("u", math.MaxUint64), slog.String("error", "twice"),
		slog.Group("a", slog.Group("b", slog.Group("c", slog.Group("d", slog.Group("e", slog.Group("f", slog.Int("deep", 1))))))),
	}}))
	for key, v := range m {
		if strings.Contains(fmt.Sprint(v), "canary") {
			t.Errorf("%s = %v", key, v)
		}
	}
	for key, want := range map[string]any{"attr.error": "bad\nthing", "attr.nilerror": "!PANIC", "attr.nan": nil, "attr.d": "1s",
		"attr.t": "1970-01-01T00:00:00.000000Z", "attr.struct": "!audit_test.leaky", "x.attrs_dropped": 2.0} {
		if m[key] != want {
			t.Errorf("%s = %v, want %v", key, m[key], want)
		}
	}
}

func TestTimesOutsideOfRFC3339StayReadable(t *testing.T) {
	for _, when := range []time.Time{{}, time.Unix(-1<<62, 0), time.Unix(1<<55, 0), time.Unix(0, -1)} {
		b := audit.AppendTime(nil, when)
		if _, err := time.Parse(`"`+time.RFC3339Nano+`"`, string(b)); err != nil {
			t.Error(err)
		}
	}
	now := time.Now()
	if got, want := string(audit.AppendTime(nil, now)), now.UTC().Format(`"2006-01-02T15:04:05.000000Z"`); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestUnescapeRefusesWhatNoLineHolds(t *testing.T) {
	for _, s := range []string{`\`, `\x`, `\x4`, `\n`, `\xzz`, `\X41`} {
		if out, err := audit.Unescape(s); err == nil {
			t.Errorf("%q became %q", s, out)
		}
	}
}

func TestEncodingAllocatesNothing(t *testing.T) {
	var e audit.Benched
	for name, ev := range map[string]audit.Event{"typical": typical, "hostile": hostileEvent("bad \xff\x1b\u202e"), "long": hostileEvent(strings.Repeat("x", 1<<16))} {
		ev.Attrs = ev.Attrs[:min(len(ev.Attrs), 4)]
		e.Encode(&ev)
		if n := testing.AllocsPerRun(100, func() { e.Encode(&ev) }); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func FuzzEncodeString(f *testing.F) {
	for _, text := range hostileTexts {
		f.Add(text[:min(len(text), 4096)], 256)
	}
	f.Add("世", 3)
	f.Add("世", 5)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = 3 + int(uint(limit)%5000)
		out, trimmed, escaped := audit.AppendText([]byte(`"`), s, limit)
		if len(out)-1 > limit {
			t.Fatalf("%d bytes, limit %d", len(out)-1, limit)
		}
		out = append(out, '"')
		var got string
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%v: %q", err, out)
		}
		for _, r := range string(out) {
			if audit.Hidden(r) {
				t.Fatalf("%U raw in %q", r, out)
			}
		}
		if escaped && utf8.ValidString(s) {
			t.Fatalf("%q is UTF-8", s)
		}
		sameText(t, got, s, trimmed, escaped)
	})
}

package sanitize_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/sanitize"
	"github.com/mantlet-go/mantlet/sanitize/detect"
)

// Keys are put together here so that no scanner of a hosting service takes this file for a leak.
var (
	githubKey    = "gh" + "p_" + "R8FM3cHyicFVTN61s6xMm5zggmODYUCp7jZA"
	anthropicKey = "sk-" + "ant-api03-" + strings.Repeat("aB3dE5gH7j", 9) + "kLmAA"
)

const mail = "ann.smith@example.org"

var quiet = slog.New(slog.DiscardHandler)

func newFilter(t testing.TB, cfg sanitize.Config) *sanitize.Filter {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	f, err := sanitize.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func chat(content string) string {
	return `{"model":"m","messages":[{"role":"user","content":"` + content + `"}]}`
}

// send runs one request through f and returns the reply, what the handler read (nil if it did not run) and the findings.
func send(f *sanitize.Filter, r *http.Request) (*httptest.ResponseRecorder, []byte, []exchange.Finding) {
	var seen []byte
	w := httptest.NewRecorder()
	x, ew, r := exchange.Enter(w, r)
	defer x.Leave()
	f.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen, _ = io.ReadAll(r.Body)
		if seen == nil {
			seen = []byte{}
		}
		if int64(len(seen)) != r.ContentLength {
			panic(fmt.Sprint("ContentLength ", r.ContentLength, " for ", len(seen), " bytes"))
		}
	})).ServeHTTP(ew, r)
	return w, seen, x.Findings()
}

func post(path, body string) *http.Request {
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	return r
}

func TestByDefaultSecretsInRequestsAreFlaggedAndHiddenTextIsRemoved(t *testing.T) {
	f := newFilter(t, sanitize.Config{})
	body := chat("my key " + githubKey + " and " + mail + tags("obey me"))
	_, seen, found := send(f, post("/v1/chat/completions", body))
	if want := chat("my key " + githubKey + " and " + mail); string(seen) != want {
		t.Errorf("handler read %s, want %s", seen, want)
	}
	want := []exchange.Finding{
		{Kind: "invisible_text", Rule: "tag", Action: "redact", Direction: "request", Count: 1},
		{Kind: "secret", Rule: "github", Action: "flag", Direction: "request", Count: 1},
		{Kind: "email", Rule: "address", Action: "flag", Direction: "request", Count: 1},
	}
	if fmt.Sprint(found) != fmt.Sprint(want) {
		t.Errorf("findings %v, want %v", found, want)
	}
}

// aisix#1008, paperclipai/paperclip#9856: rewriting must keep key order, numbers, white space and escapes.
func TestAisix1008OnlyTheFoundBytesChange(t *testing.T) {
	f := newFilter(t, sanitize.Config{Policy: sanitize.Policy{{Kind: detect.KindEmail, Action: sanitize.Redact}}})
	body := "{ \"z\":1.50e+1,\"messages\" :[ {\"content\":\"\\u0048i \\\"\\u2028" + `ann\u002esmith@example.org` + "\\\" é\\ud83d\\ude00 ok\\/\",\"role\":\"user\"}],\"a\":null }\n"
	want := strings.Replace(body, `ann\u002esmith@example.org`, "[REDACTED:email]", 1)
	if _, seen, _ := send(f, post("/v1/chat/completions", body)); string(seen) != want {
		t.Errorf("\ngot  %s\nwant %s", seen, want)
	}
	clean := "{ \"z\":1.50e+1,\"messages\" :[ {\"content\":\"\\u0048i\",\"role\":\"user\"}] }"
	if _, seen, _ := send(f, post("/v1/chat/completions", clean)); string(seen) != clean {
		t.Errorf("an unchanged body became %s", seen)
	}
}

// diegosouzapw/OmniRoute#13462: a key expression hit inside image base64 and broke the image.
func TestOmniRoute13462ImagesAreNeverRewritten(t *testing.T) {
	f := newFilter(t, sanitize.Config{Policy: sanitize.Policy{{Action: sanitize.Redact}}})
	body := `{"messages":[{"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AA+` + githubKey +
		`/BB"}},{"type":"text","text":"see ` + mail + `"}]}]}`
	want := strings.Replace(body, mail, "[REDACTED:email]", 1)
	if _, seen, _ := send(f, post("/v1/chat/completions", body)); string(seen) != want {
		t.Errorf("got %s", seen)
	}
}

// mastra#10776: a secret in JSON inside a JSON string.
func TestMastra10776SecretsInToolArgumentsAreFound(t *testing.T) {
	f := newFilter(t, sanitize.Config{Policy: sanitize.Policy{{Action: sanitize.Redact}}})
	args := `{\"to\":\"` + mail + `\",\"card\":4111111111111111,\"note\":\"a\\n` + githubKey + `\"}`
	body := `{"messages":[{"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"` + args + `"}}]}]}`
	_, seen, _ := send(f, post("/v1/chat/completions", body))
	var v struct {
		Messages []struct {
			ToolCalls []struct {
				Function struct{ Arguments string }
			} `json:"tool_calls"`
		}
	}
	if err := json.Unmarshal(seen, &v); err != nil {
		t.Fatalf("%v in %s", err, seen)
	}
	if got, want := v.Messages[0].ToolCalls[0].Function.Arguments,
		`{"to":"[REDACTED:email]","card":"[REDACTED:card]","note":"a\n[REDACTED:secret]"}`; got != want || !json.Valid([]byte(got)) {
		t.Errorf("arguments %s, want %s", got, want)
	}
}

// BerriAI/litellm#14152: the Responses API went unguarded. Every known request shape is scanned.
func TestLitellm14152EveryRequestShapeIsScanned(t *testing.T) {
	f := newFilter(t, sanitize.Config{Policy: sanitize.Policy{{Kind: detect.KindEmail, Action: sanitize.Block}}})
	for path, bodies := range map[string][]string{
		"/v1/chat/completions": {chat(mail), `{"messages":[{"role":"user","content":[{"type":"text","text":"` + mail + `"}]}]}`,
			`{"messages":[{"role":"tool","tool_call_id":"x","content":"` + mail + `"}]}`},
		"/v1/completions": {`{"prompt":"` + mail + `"}`, `{"prompt":["a","` + mail + `"]}`},
		"/v1/responses": {`{"input":"` + mail + `"}`, `{"instructions":"` + mail + `","input":[]}`,
			`{"input":[{"role":"user","content":[{"type":"input_text","text":"` + mail + `"}]}]}`,
			`{"input":[{"type":"function_call_output","call_id":"c","output":"` + mail + `"}]}`},
		"/v1/embeddings": {`{"input":["` + mail + `"]}`},
		"/v1/messages": {`{"system":"` + mail + `","messages":[]}`, `{"messages":[{"role":"user","content":"` + mail + `"}]}`,
			`{"messages":[{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"` + mail + `"}]}]}]}`},
		"/api/chat":     {`{"messages":[{"role":"user","content":"` + mail + `"}]}`},
		"/api/generate": {`{"prompt":"` + mail + `"}`},
		"/custom":       {`{"anything":{"deep":["` + mail + `"]}}`, `"` + mail + `"`},
	} {
		for _, body := range bodies {
			w, seen, _ := send(f, post(path, body))
			if w.Code != 400 || seen != nil || !strings.Contains(w.Body.String(), "content_policy") {
				t.Errorf("%s %s: status %d, handler saw %s", path, body, w.Code, seen)
			}
			for _, secret := range []string{mail, "email", "address"} {
				if strings.Contains(w.Body.String(), secret) {
					t.Errorf("%s: the refusal names %q: %s", path, secret, w.Body)
				}
			}
		}
	}
}

func TestPolicyDecidesByKindDirectionAndRole(t *testing.T) {
	f := newFilter(t, sanitize.Config{Policy: sanitize.Policy{
		{Kind: detect.KindSecret, Role: sanitize.RoleSystem, Action: sanitize.Allow},
		{Kind: detect.KindSecret, Direction: sanitize.Request, Action: sanitize.Block},
		{Kind: detect.KindEmail, Direction: sanitize.Response, Role: sanitize.RoleTool, Action: sanitize.Flag},
	}})
	for _, c := range []struct {
		dir  sanitize.Direction
		role sanitize.Role
		text string
		want string
		act  sanitize.Action
	}{
		{sanitize.Request, sanitize.RoleSystem, githubKey, githubKey, 0},
		{sanitize.Request, sanitize.RoleUser, githubKey, "", sanitize.Block},
		{sanitize.Response, sanitize.RoleAssistant, githubKey, "[REDACTED:secret]", sanitize.Redact},
		{sanitize.Response, sanitize.RoleSystem, githubKey, githubKey, 0},
		{sanitize.Response, sanitize.RoleTool, mail, mail, sanitize.Flag},
		{sanitize.Response, sanitize.RoleUser, mail, "[REDACTED:email]", sanitize.Redact},
		{sanitize.Request, sanitize.RoleUser, mail, mail, sanitize.Flag},
		{sanitize.Request, sanitize.RoleUser, "a\u200bb", "ab", sanitize.Redact},
		{sanitize.Request, sanitize.RoleUser, "plain", "plain", 0},
	} {
		v, err := f.Scan(t.Context(), c.dir, c.role, []byte(c.text))
		if string(v.Text) != c.want || v.Action != c.act || (c.act == sanitize.Block) != errors.Is(err, sanitize.ErrBlocked) {
			t.Errorf("%s %s %q: %q %s %v, want %q %s", c.dir, c.role, c.text, v.Text, v.Action, err, c.want, c.act)
		}
	}
}

func TestAKeyHiddenByInvisibleCharactersIsFoundAfterCleaning(t *testing.T) {
	f := newFilter(t, sanitize.Config{Policy: sanitize.Policy{{Kind: detect.KindSecret, Action: sanitize.Block}}})
	hidden := strings.Join(strings.Split(githubKey, ""), "\u200b")
	if w, seen, _ := send(f, post("/v1/chat/completions", chat(hidden))); w.Code != 400 || seen != nil {
		t.Errorf("status %d, handler saw %s", w.Code, seen)
	}
}

func TestRequestBodiesThatCannotBeScannedAreRefused(t *testing.T) {
	f := newFilter(t, sanitize.Config{MaxBody: 100})
	open := newFilter(t, sanitize.Config{MaxBody: 100, SkipUnreadable: true})
	for _, c := range []struct {
		name, body string
		header     [2]string
		status     int
		skippable  bool
	}{
		{"compressed", "\x1f\x8b", [2]string{"Content-Encoding", "gzip"}, 415, true},
		{"form", "a=b", [2]string{"Content-Type", "multipart/form-data; boundary=x"}, 415, true},
		{"UTF-16", "{}", [2]string{"Content-Type", "application/json; charset=utf-16"}, 415, true},
		{"two types", "{}", [2]string{"Content-Type", "text/plain, application/json"}, 415, true},
		{"broken JSON", `{"a":`, [2]string{}, 400, false},
		{"duplicate names", `{"a":1,"a":2}`, [2]string{}, 400, false},
		{"trailing data", `{} {}`, [2]string{}, 400, false},
		{"too long", `"` + strings.Repeat("x", 200) + `"`, [2]string{}, 413, false},
	} {
		r := post("/v1/chat/completions", c.body)
		if c.header[0] != "" {
			r.Header.Set(c.header[0], c.header[1])
		}
		if w, seen, _ := send(f, r.Clone(r.Context())); w.Code != c.status || seen != nil {
			t.Errorf("%s: status %d, want %d; handler saw %q", c.name, w.Code, c.status, seen)
		}
		r = post("/v1/chat/completions", c.body)
		if c.header[0] != "" {
			r.Header.Set(c.header[0], c.header[1])
		}
		if w, seen, _ := send(open, r); (w.Code == 200) != c.skippable || (seen != nil) != c.skippable {
			t.Errorf("%s with SkipUnreadable: status %d", c.name, w.Code)
		}
	}
	for _, r := range []*http.Request{httptest.NewRequest("GET", "/v1/models", nil), post("/v1/chat/completions", "")} {
		if w, seen, _ := send(f, r); w.Code != 200 || seen == nil {
			t.Errorf("a request without a body: status %d", w.Code)
		}
	}
}

func TestPlainTextRequestsAreFilteredAsOneText(t *testing.T) {
	f := newFilter(t, sanitize.Config{Policy: sanitize.Policy{{Kind: detect.KindEmail, Action: sanitize.Redact}}})
	r := post("/x", "to "+mail+"\u200b.")
	r.Header.Set("Content-Type", "text/plain; charset=utf-8")
	if _, seen, _ := send(f, r); string(seen) != "to [REDACTED:email]." {
		t.Errorf("handler read %q", seen)
	}
}

func TestShadowChangesNoByteAndRecordsWhatItWouldDo(t *testing.T) {
	f := newFilter(t, sanitize.Config{Shadow: true, Policy: sanitize.Policy{{Kind: detect.KindSecret, Action: sanitize.Block}}})
	body := chat(githubKey + " \u200b")
	w, seen, found := send(f, post("/v1/chat/completions", body))
	if w.Code != 200 || string(seen) != body {
		t.Errorf("status %d, handler read %s", w.Code, seen)
	}
	if fmt.Sprint(found) != "[{invisible_text zero_width would_redact request 1} {secret github would_block request 1}]" {
		t.Errorf("findings %v", found)
	}
}

func TestAnUnconfiguredFilterRefusesEverything(t *testing.T) {
	for _, f := range []*sanitize.Filter{nil, {}} {
		if w, seen, _ := send(f, post("/v1/chat/completions", chat("hi"))); w.Code != 500 || seen != nil {
			t.Errorf("status %d, handler saw %q", w.Code, seen)
		}
		if v, err := f.Scan(t.Context(), sanitize.Request, sanitize.RoleUser, []byte("hi")); err == nil || v.Text != nil {
			t.Errorf("Scan let %q through", v.Text)
		}
	}
}

type wholeOnly struct{}

func (wholeOnly) Name() string { return "whole" }
func (wholeOnly) MaxSpan() int { return 0 }
func (wholeOnly) Scan(b []byte, f func(detect.Finding)) {
	if bytes.Contains(b, []byte("magic")) {
		f(detect.Finding{Kind: "magic", Rule: "word", End: len(b)})
	}
}

func TestNewReportsEveryFault(t *testing.T) {
	_, err := sanitize.New(sanitize.Config{
		Detectors:   []detect.Detector{wholeOnly{}},
		Policy:      sanitize.Policy{{Kind: "x"}, {Action: 9, Direction: 7, Role: "boss"}, {Kind: sanitize.KindANSI, Direction: sanitize.Response, Action: sanitize.Redact}},
		MaxBody:     -1,
		Replacement: map[string]string{"email": "\""},
	})
	for _, want := range []string{"whole", "Policy[0].Action", "Policy[1].Action", "Policy[1].Direction", "boss", "Policy[2].Direction", "MaxBody", "Replacement"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not mention %s", err, want)
		}
	}
}

func TestAWholeTextDetectorRunsOnRequestsOnly(t *testing.T) {
	f := newFilter(t, sanitize.Config{RequestDetectors: []detect.Detector{wholeOnly{}}, Policy: sanitize.Policy{{Kind: "magic", Action: sanitize.Block}}})
	if w, _, _ := send(f, post("/v1/chat/completions", chat("magic"))); w.Code != 400 {
		t.Errorf("status %d", w.Code)
	}
	if v, err := f.Scan(t.Context(), sanitize.Response, sanitize.RoleAssistant, []byte("magic")); err != nil || string(v.Text) != "magic" {
		t.Errorf("%q %v", v.Text, err)
	}
}

func TestARoomUsedAloneMayReplaceItsRefusal(t *testing.T) {
	f := newFilter(t, sanitize.Config{
		Policy: sanitize.Policy{{Kind: detect.KindSecret, Action: sanitize.Block}},
		Deny:   func(w http.ResponseWriter, r *http.Request, err error) { w.WriteHeader(418) },
	})
	if w, _, _ := send(f, post("/v1/chat/completions", chat(githubKey))); w.Code != 418 {
		t.Errorf("status %d", w.Code)
	}
	e, _ := sanitize.NewErrors(sanitize.ErrorsConfig{Logger: quiet})
	w := httptest.NewRecorder()
	e.Handler(f.Handler(http.NotFoundHandler())).ServeHTTP(w, post("/v1/chat/completions", chat(githubKey)))
	if w.Code != 400 {
		t.Errorf("inside Errors: status %d, its shape must win", w.Code)
	}
}

func TestAFilterServesManyRequestsAtOnce(t *testing.T) {
	f := newFilter(t, sanitize.Config{Policy: sanitize.Policy{{Kind: detect.KindEmail, Action: sanitize.Redact}}})
	var wg sync.WaitGroup
	for i := range 32 {
		wg.Go(func() {
			for k := range 20 {
				name := fmt.Sprintf("user%d-%d", i, k)
				body := chat(name + " writes to " + mail + "\u200b")
				if _, seen, _ := send(f, post("/v1/chat/completions", body)); string(seen) != chat(name+" writes to [REDACTED:email]") {
					t.Errorf("%s: %s", name, seen)
				}
			}
		})
	}
	wg.Wait()
}

func TestScanHonoursItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if v, err := newFilter(t, sanitize.Config{}).Scan(ctx, sanitize.Request, sanitize.RoleUser, []byte("x")); err == nil || v.Text != nil {
		t.Errorf("%q %v", v.Text, err)
	}
}

func TestAnUpstreamIsNotAskedForACompressedAnswerThatCouldNotBeRead(t *testing.T) {
	for _, skip := range []bool{false, true} {
		f, err := sanitize.New(sanitize.Config{SkipEncoded: skip})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Accept-Encoding", "gzip, br")
		var seen string
		f.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen = r.Header.Get("Accept-Encoding") })).
			ServeHTTP(httptest.NewRecorder(), r)
		if (seen != "") != skip {
			t.Errorf("SkipEncoded %v: the handler is asked for %q", skip, seen)
		}
		if r.Header.Get("Accept-Encoding") == "" {
			t.Error("what stands outside lost the header")
		}
	}
}

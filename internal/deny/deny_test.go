package deny_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/deny"
)

// codes is every code of the design with its status: the table that clients program against.
var codes = map[deny.Code]int{
	deny.InvalidRequest: 400, deny.MissingCredentials: 401, deny.InvalidAPIKey: 401, deny.InvalidToken: 401, deny.TokenExpired: 401,
	deny.StepUp: 401, deny.InsufficientScope: 403, deny.ModelNotAllowed: 403, deny.AddressNotAllowed: 403, deny.PermissionDenied: 403,
	deny.AuthUnavailable: 503, deny.StoreUnavailable: 503, deny.Overloaded: 503,
	deny.RateLimitExceeded: 429, deny.TooManyRequests: 429, deny.InsufficientQuota: 429,
	deny.InvalidJSON: 400, deny.DuplicateKey: 400, deny.LimitExceeded: 400, deny.RequestTimeout: 408, deny.BodyTooLarge: 413,
	deny.UnsupportedMediaType: 415, deny.SchemaViolation: 422, deny.ContentPolicy: 400, deny.NotFound: 404, deny.MethodNotAllowed: 405,
	deny.RequestRefused: 400, deny.InternalError: 500, deny.UpstreamError: 502, deny.Timeout: 504,
}

func TestEveryCodeHasItsStatusAndASentence(t *testing.T) {
	for c, status := range codes {
		if c.Status() != status {
			t.Errorf("%s: status %d, want %d", c, c.Status(), status)
		}
		if m := c.Message(); len(m) < 10 || !strings.HasSuffix(m, ".") {
			t.Errorf("%s: message %q", c, m)
		}
	}
	if deny.Code("made up").Status() != 500 || deny.Code("").Status() != 500 {
		t.Error("an unknown code must be an internal error")
	}
}

func TestTheEnvelopes(t *testing.T) {
	d := &deny.Denial{Code: deny.SchemaViolation, Param: "/messages/0", Cause: errors.New("private")}
	for e, want := range map[deny.Envelope]string{
		deny.OpenAI:    `{"error":{"message":"The request body does not have the required form.","type":"invalid_request_error","param":"/messages/0","code":"schema_violation","request_id":"id1"}}`,
		deny.Anthropic: `{"type":"error","error":{"type":"invalid_request_error","message":"The request body does not have the required form.","code":"schema_violation","param":"/messages/0"},"request_id":"id1"}`,
		deny.Ollama:    `{"error":"The request body does not have the required form.","code":"schema_violation","param":"/messages/0","request_id":"id1"}`,
		deny.Problem:   `{"type":"about:blank","title":"Unprocessable Entity","status":422,"detail":"The request body does not have the required form.","code":"schema_violation","pointer":"/messages/0","request_id":"id1"}`,
	} {
		if got := string(e.Append(nil, d, "id1")); got != want {
			t.Errorf("envelope %d:\n got %s\nwant %s", e, got, want)
		}
	}
	if got := string(deny.OpenAI.Append(nil, &deny.Denial{Code: deny.InvalidAPIKey}, "")); got != `{"error":{"message":"The API key is not valid.","type":"authentication_error","param":null,"code":"invalid_api_key"}}` {
		t.Error(got)
	}
}

// RFC 9457's own example has a pointer; a place that is none has another name.
func TestAPlaceThatIsNoPointerIsAParam(t *testing.T) {
	if got := string(deny.Problem.Append(nil, &deny.Denial{Code: deny.InvalidRequest, Param: "part 2"}, "")); !strings.Contains(got, `,"param":"part 2"`) || strings.Contains(got, "pointer") {
		t.Error(got)
	}
}

func TestPreferDecidesWhereAcceptAndPathDoNot(t *testing.T) {
	for _, tc := range []struct {
		path, accept string
		want         deny.Envelope
	}{{"/api/nothing", "", deny.Ollama}, {"/v1/messages", "", deny.Anthropic}, {"/api/nothing", "application/problem+json", deny.Problem}} {
		r := httptest.NewRequest("POST", tc.path, nil)
		r.Header.Set("Accept", tc.accept)
		if got := deny.For(deny.Prefer(r, deny.Ollama)); got != tc.want {
			t.Errorf("%s, Accept %q: %d, want %d", tc.path, tc.accept, got, tc.want)
		}
	}
}

func TestAFixedStatusSpeaksOfItsOwnClass(t *testing.T) {
	got := string(deny.OpenAI.Append(nil, &deny.Denial{Code: deny.InternalError, HTTPStatus: 404, Message: "x"}, ""))
	if strings.Contains(got, "server_error") {
		t.Errorf("a 404 blames the server: %s", got)
	}
}

func TestTheEnvelopeFollowsAcceptThenPath(t *testing.T) {
	for _, tc := range []struct {
		path, accept string
		want         deny.Envelope
	}{
		{"/v1/chat/completions", "", deny.OpenAI},
		{"/anything", "*/*", deny.OpenAI},
		{"/v1/messages", "application/json", deny.Anthropic},
		{"/proxy/v1/messages", "", deny.Anthropic},
		{"/v1/messages/count_tokens", "", deny.Anthropic},
		{"/v1/messagesx", "", deny.OpenAI},
		{"/api/chat", "application/json", deny.Ollama},
		{"/ollama/api/pull", "", deny.Ollama},
		{"/api/chat", "application/problem+json", deny.Problem},
		{"/api/predict", "", deny.OpenAI},
		{"/api/chat/x", "", deny.OpenAI},
		{"/v1/messages", "application/problem+json", deny.Problem},
		{"/x", "application/json, Application/Problem+JSON;q=0.5", deny.Problem},
		{"/x", "application/problem+json;q=0", deny.OpenAI},
		{"/x", "application/problem+json;q=0.000", deny.OpenAI},
		{"/x", "application/problem+json;q=banana", deny.OpenAI},
		{"/x", "application/problem+jsonx", deny.OpenAI},
	} {
		r := httptest.NewRequest("POST", tc.path, nil)
		if tc.accept != "" {
			r.Header.Set("Accept", tc.accept)
		}
		if got := deny.For(r); got != tc.want {
			t.Errorf("%s, Accept %q: %d, want %d", tc.path, tc.accept, got, tc.want)
		}
	}
}

func TestWriteSendsOneWholeAnswer(t *testing.T) {
	d := &deny.Denial{Code: deny.RateLimitExceeded, Header: http.Header{"retry-after": {"7"}}}
	for _, method := range []string{"POST", "HEAD"} {
		rec := httptest.NewRecorder()
		rec.Header().Set("Content-Encoding", "gzip")
		rec.Header().Set("Etag", `"x"`)
		rec.Header().Set("X-Keep", "1")
		deny.Write(rec, httptest.NewRequest(method, "/", nil), d, deny.Auto, "id1")
		h := rec.Header()
		if rec.Code != 429 || h.Get("Retry-After") != "7" || h.Get("Content-Type") != "application/json" || h.Get("X-Keep") != "1" ||
			h.Get("Content-Encoding")+h.Get("Etag") != "" || h.Get("Cache-Control") != "no-store" {
			t.Errorf("%d %v", rec.Code, h)
		}
		if (rec.Body.Len() == 0) != (method == "HEAD") {
			t.Errorf("%s: body %q", method, rec.Body)
		}
	}
}

func TestTheMidStreamFrames(t *testing.T) {
	d := &deny.Denial{Code: deny.InternalError, Cause: errors.New("private")}
	for s, want := range map[deny.Stream]string{
		deny.OpenAIStream:    "data: {\"error\":{\"message\":\"The server had an internal error. Report the request id to the operator.\",\"type\":\"server_error\",\"param\":null,\"code\":\"internal_error\",\"request_id\":\"id1\"}}\n\n",
		deny.ResponsesStream: "event: error\ndata: {\"type\":\"error\",\"code\":\"internal_error\",\"message\":\"The server had an internal error. Report the request id to the operator.\",\"param\":null,\"sequence_number\":3}\n\n",
		deny.AnthropicStream: "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"api_error\",\"message\":\"The server had an internal error. Report the request id to the operator.\",\"code\":\"internal_error\"},\"request_id\":\"id1\"}\n\n",
		deny.LinesStream:     "{\"error\":\"The server had an internal error. Report the request id to the operator.\",\"code\":\"internal_error\"}\n",
	} {
		if got := string(s.AppendFrame(nil, d, "id1", 3)); got != want {
			t.Errorf("stream %d:\n got %q\nwant %q", s, got, want)
		}
	}
}

func TestADenialTellsTheOperatorWhatTheClientMustNotSee(t *testing.T) {
	cause := errors.New("dial tcp 10.0.0.1:5432: refused")
	var err error = &deny.Denial{Code: deny.StoreUnavailable, Stage: "auth", Cause: cause}
	if !errors.Is(err, cause) || err.Error() != "deny: auth: store_unavailable: dial tcp 10.0.0.1:5432: refused" {
		t.Error(err)
	}
}

func FuzzEnvelope(f *testing.F) {
	f.Add("invalid_json", "/a/\"b", "id", "text", uint8(0), 400)
	f.Add("", "\xff\x00\u2028\U0001f600</script>", "\x1b", "", uint8(3), 0)
	f.Fuzz(func(t *testing.T, code, param, id, message string, kind uint8, status int) {
		if status < 200 || status > 599 {
			status = 0
		}
		d := &deny.Denial{Code: deny.Code(code), Param: param, Message: message, HTTPStatus: status, Cause: errors.New("PRIVATE-CAUSE")}
		body := deny.Envelope(kind%5).Append(nil, d, id)
		var v map[string]any
		if err := json.Unmarshal(body, &v); err != nil {
			t.Fatalf("not JSON: %v\n%s", err, body)
		}
		frame := string(deny.Stream(kind%4).AppendFrame(nil, d, id, 1))
		for _, s := range []string{string(body), strings.TrimSuffix(frame, "\n\n")} {
			if strings.Contains(s, "PRIVATE-CAUSE") && !strings.Contains(code+param+id+message, "PRIVATE-CAUSE") {
				t.Fatalf("the cause is in %s", s)
			}
			for i := range len(s) {
				if s[i] >= 0x7f || s[i] < 0x20 && s[i] != '\n' {
					t.Fatalf("raw byte %#x in %q", s[i], s)
				}
			}
		}
		lines := strings.Split(strings.TrimRight(frame, "\n"), "\n")
		if len(lines) > 2 {
			t.Fatalf("the frame fell apart: %q", frame)
		}
		last := strings.TrimPrefix(lines[len(lines)-1], "data: ")
		if err := json.Unmarshal([]byte(last), &v); err != nil {
			t.Fatalf("frame data is not JSON: %v\n%q", err, frame)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
	d := &deny.Denial{Code: deny.InvalidAPIKey}
	w := &discard{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		deny.Write(w, r, d, deny.Auto, "0123456789abcdef0123456789abcdef")
	}
}

type discard struct{ h http.Header }

func (d *discard) Header() http.Header         { return d.h }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(int)             {}

package exchange_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/raced"
)

// tapFunc is a tap made of functions; nil ones do nothing.
type tapFunc struct {
	header func(exchange.Out, int) exchange.Mode
	body   func(exchange.Out, *exchange.Body) error
	end    func(exchange.Out, exchange.Outcome)
}

func (t tapFunc) Header(o exchange.Out, status int) exchange.Mode {
	if t.header == nil {
		return exchange.Pass
	}
	return t.header(o, status)
}

func (t tapFunc) Body(o exchange.Out, b *exchange.Body) error {
	if t.body == nil {
		return o.Send(b)
	}
	return t.body(o, b)
}

func (t tapFunc) End(o exchange.Out, how exchange.Outcome) {
	if t.end != nil {
		t.end(o, how)
	}
}

func mode(m exchange.Mode) func(exchange.Out, int) exchange.Mode {
	return func(exchange.Out, int) exchange.Mode { return m }
}

// mark appends its name to every piece of the body.
func mark(m exchange.Mode, name string) tapFunc {
	return tapFunc{header: mode(m), body: func(o exchange.Out, b *exchange.Body) error {
		return o.Send(&exchange.Body{Kind: b.Kind, Data: append(bytes.Clone(b.Data), name...)})
	}}
}

func run(h http.Handler) *httptest.ResponseRecorder {
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, httptest.NewRequest("POST", "/v1/chat/completions", nil))
	return rec
}

func write(ctype string, pieces ...string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", ctype)
		for _, p := range pieces {
			io.WriteString(w, p)
		}
	})
}

func TestTheInnermostTapActsFirst(t *testing.T) {
	h := room(mark(exchange.Frames, "3"), room(mark(exchange.Frames, "2"), room(mark(exchange.Frames, "1"), write("text/plain", "x"))))
	if got := run(h).Body.String(); got != "x123" {
		t.Errorf("%q", got)
	}
}

func TestATapActsWhereItStandsAroundForeignMiddleware(t *testing.T) {
	// A foreign middleware that changes bytes, as a compressor does, between two rooms: the inner room must see what the
	// handler wrote, the outer one what the middleware made of it.
	inner := room(mark(exchange.Frames, "-inner"), write("text/plain", "x"))
	between := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { inner.ServeHTTP(upper{w}, r) })
	if got := run(room(mark(exchange.Frames, "-outer"), between)).Body.String(); got != "X-INNER-outer" {
		t.Errorf("%q", got)
	}
}

type upper struct{ http.ResponseWriter }

func (u upper) Write(p []byte) (int, error) {
	_, err := u.ResponseWriter.Write(bytes.ToUpper(p))
	return len(p), err
}

func TestFramesAreCutOnceHoweverTheyWereWritten(t *testing.T) {
	stream := ": hi\n\nevent: a\ndata: {\"x\":1}\n\ndata: two\r\n\r\ndata: cut off"
	for size := 1; size <= len(stream); size++ {
		var pieces []string
		for s := stream; s != ""; {
			n := min(size, len(s))
			pieces, s = append(pieces, s[:n]), s[n:]
		}
		var inner, outer []string
		see := func(list *[]string) tapFunc {
			return tapFunc{header: mode(exchange.Frames), body: func(o exchange.Out, b *exchange.Body) error {
				*list = append(*list, fmt.Sprintf("%d %s|%s|%v|%v", b.Kind, b.Event, b.Payload, b.HasPayload, b.Truncated))
				return o.Send(b)
			}}
		}
		rec := run(room(see(&outer), room(see(&inner), write("text/event-stream", pieces...))))
		want := `[1 ||false|false 1 a|{"x":1}|true|false 1 |two|true|false 1 |cut off|true|true]`
		if fmt.Sprint(inner) != want || fmt.Sprint(outer) != want {
			t.Fatalf("size %d:\ninner %v\nouter %v\nwant  %s", size, inner, outer, want)
		}
		if rec.Body.String() != stream {
			t.Fatalf("size %d: the bytes changed: %q", size, rec.Body)
		}
	}
}

func TestAnEventTooLongToInspectEndsTheStreamWithAnError(t *testing.T) {
	var failed error
	rec := run(room(mark(exchange.Frames, ""), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: first\n\n")
		big := strings.Repeat("x", 64<<10)
		io.WriteString(w, "data: ")
		for range 40 {
			if _, failed = io.WriteString(w, big); failed != nil {
				break
			}
		}
		if r.Context().Err() == nil {
			t.Error("the handler is not told to stop")
		}
	})))
	if failed == nil || !strings.Contains(rec.Body.String(), "first") || strings.Contains(rec.Body.String(), "xxxx") ||
		!strings.Contains(rec.Body.String(), "upstream_error") {
		t.Errorf("%v, %.300q", failed, rec.Body)
	}
}

func TestAHeldResponseCanBecomeAnother(t *testing.T) {
	rec := run(room(tapFunc{header: mode(exchange.Whole), body: func(o exchange.Out, b *exchange.Body) error {
		if b.Kind != exchange.Doc || string(b.Data) != `{"a":1}` || o.Sent() || o.Status() != 200 {
			t.Errorf("%d %q", b.Kind, b.Data)
		}
		o.Header().Set("Content-Length", "2")
		o.WriteHeader(502)
		_, err := o.Write([]byte("no"))
		return err
	}}, write("application/json", `{"a"`, `:1}`)))
	if rec.Code != 502 || rec.Body.String() != "no" {
		t.Errorf("%d %q", rec.Code, rec.Body)
	}
}

func TestABodyOverTheCapArrivesTruncatedAndThenInChunks(t *testing.T) {
	piece := strings.Repeat("x", 1<<20)
	var kinds []string
	rec := run(room(tapFunc{header: mode(exchange.Whole), body: func(o exchange.Out, b *exchange.Body) error {
		kinds = append(kinds, fmt.Sprint(b.Kind, b.Truncated))
		return o.Send(b)
	}}, write("application/json", piece, piece, piece, piece, piece, piece)))
	if fmt.Sprint(kinds) != "[2 true 0 false]" || rec.Body.Len() != 6<<20 {
		t.Errorf("%v, %d bytes", kinds, rec.Body.Len())
	}
}

func TestCollectingReadsWithoutHolding(t *testing.T) {
	var doc string
	rec := httptest.NewRecorder()
	room(tapFunc{header: mode(exchange.Collect), body: func(o exchange.Out, b *exchange.Body) error {
		doc = string(b.Data)
		return nil
	}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"a":`)
		if rec.Body.String() != `{"a":` {
			t.Error("held")
		}
		io.WriteString(w, `1}`)
	})).ServeHTTP(rec, httptest.NewRequest("GET", "/", nil))
	if doc != `{"a":1}` || rec.Body.String() != doc {
		t.Errorf("doc %q, client %q", doc, rec.Body)
	}
}

func TestACollectorInsideAHolderSharesItsDocument(t *testing.T) {
	var inner, outer *byte
	var facts [2]any
	rec := run(room(tapFunc{header: mode(exchange.Whole), body: func(o exchange.Out, b *exchange.Body) error {
		outer, facts[1] = &b.Data[0], b.Facts(o.Exchange())
		return o.Send(b)
	}}, room(tapFunc{header: mode(exchange.Collect), body: func(o exchange.Out, b *exchange.Body) error {
		inner, facts[0] = &b.Data[0], b.Facts(o.Exchange())
		return nil
	}}, write("application/json", `{"a":`, `1}`))))
	if inner == nil || inner != outer || facts[0] != facts[1] {
		t.Error("the body was copied or scanned twice")
	}
	if rec.Body.String() != `{"a":1}` {
		t.Errorf("%q", rec.Body)
	}
}

func TestAStoppedStreamTellsTheHandler(t *testing.T) {
	stop := errors.New("budget")
	var got error
	rec := run(room(tapFunc{header: mode(exchange.Frames), body: func(o exchange.Out, b *exchange.Body) error {
		if string(b.Payload) == "3" {
			o.SendFrames([]byte("data: last\n\ndata: [DONE]\n\n"))
			o.Stop(stop)
			return stop
		}
		return o.Send(b)
	}}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 10 {
			if _, got = fmt.Fprintf(w, "data: %d\n\n", i); got != nil {
				break
			}
		}
	})))
	want := "data: 0\n\ndata: 1\n\ndata: 2\n\ndata: last\n\ndata: [DONE]\n\n"
	if got != stop || rec.Body.String() != want {
		t.Errorf("%v, %q", got, rec.Body)
	}
}

func TestAStreamThatBrokeEndsInItsOwnDialect(t *testing.T) {
	for _, tc := range []struct{ path, ctype, first, want string }{
		{"/v1/chat/completions", "text/event-stream", "data: {}\n\n", "data: {\"error\":"},
		{"/v1/messages", "text/event-stream", "data: {}\n\n", "event: error\ndata: {\"type\":\"error\",\"error\":"},
		{"/v1/responses", "text/event-stream", "data: {}\n\n", "event: error\ndata: {\"type\":\"error\",\"code\":"},
		{"/api/chat", "application/x-ndjson", "{}\n", "{\"error\":"},
	} {
		rec := httptest.NewRecorder()
		room(tapFunc{header: mode(exchange.Frames), end: func(o exchange.Out, how exchange.Outcome) {
			if !o.Fail(&deny.Denial{Code: deny.InternalError, Cause: errors.New("private")}) {
				t.Error("not a stream")
			}
		}}, write(tc.ctype, tc.first)).ServeHTTP(rec, httptest.NewRequest("POST", tc.path, nil))
		if rest, ok := strings.CutPrefix(rec.Body.String(), tc.first); !ok || !strings.HasPrefix(rest, tc.want) || strings.Contains(rest, "private") {
			t.Errorf("%s: %q", tc.path, rec.Body)
		}
	}
}

func TestCompressedBodiesAreNotTakenForStreams(t *testing.T) {
	for v, want := range map[string]bool{
		"text/event-stream": true, "Text/Event-Stream; charset=utf-8": true, "application/x-ndjson": true, "application/json": false, "": false,
		"text/event-stream;;;": true,
	} {
		if _, ok := exchange.IsStream(http.Header{"Content-Type": {v}}); ok != want {
			t.Errorf("%q: %v", v, ok)
		}
	}
	h := http.Header{"Content-Type": {"text/event-stream"}, "Content-Encoding": {"gzip"}}
	if _, ok := exchange.IsStream(h); ok {
		t.Error("a compressed stream cannot be read")
	}
}

func TestPassingAFrameAllocatesNothing(t *testing.T) {
	if raced.Enabled {
		t.Skip("the race detector allocates for itself and empties pools")
	}
	w := &sink{h: http.Header{"Content-Type": {"text/event-stream"}}}
	frame := []byte("data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n")
	room(mark(exchange.Pass, ""), room(tapFunc{header: mode(exchange.Frames)}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(frame)
		if n := testing.AllocsPerRun(100, func() { w.Write(frame) }); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}))).ServeHTTP(w, httptest.NewRequest("POST", "/v1/chat/completions", nil))
}

// sink is a ResponseWriter that keeps nothing.
type sink struct{ h http.Header }

func (s *sink) Header() http.Header         { return s.h }
func (s *sink) Write(p []byte) (int, error) { return len(p), nil }
func (s *sink) WriteHeader(int)             {}
func (s *sink) Flush()                      {}

func BenchmarkEnter(b *testing.B) {
	r := httptest.NewRequest("POST", "/v1/chat/completions", nil)
	w := &sink{h: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		x, _, _ := exchange.Enter(w, r)
		x.Leave()
	}
}

// BenchmarkWrite bounds what the wrapper adds to one write of a handler.
func BenchmarkWrite(b *testing.B) {
	frame := []byte("data: {\"choices\":[{\"delta\":{\"content\":\"hi\"}}]}\n\n")
	for name, m := range map[string]exchange.Mode{"pass": exchange.Pass, "frames": exchange.Frames} {
		b.Run(name, func(b *testing.B) {
			w := &sink{h: http.Header{"Content-Type": {"text/event-stream"}}}
			b.ReportAllocs()
			room(tapFunc{header: mode(m)}, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				for b.Loop() {
					w.Write(frame)
				}
			})).ServeHTTP(w, httptest.NewRequest("POST", "/v1/chat/completions", nil))
		})
	}
}

func TestARewrittenPieceKeepsWhatIsNotTextAndIsScannedAgainForText(t *testing.T) {
	const in = "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"secret\"},\"finish_reason\":\"stop\"}]}\n\n"
	var own exchange.Body
	var outer string
	rec := httptest.NewRecorder()
	h := room(tapFunc{header: mode(exchange.Frames), body: func(o exchange.Out, b *exchange.Body) error {
		meta, content := b.Meta(o.Exchange())
		facts := b.Facts(o.Exchange())
		outer = fmt.Sprintf("%s %v %s", meta.Finish, content, b.Payload[facts.Texts[0].Start:facts.Texts[0].End])
		return o.Send(b)
	}}, room(tapFunc{header: mode(exchange.Frames), body: func(o exchange.Out, b *exchange.Body) error {
		own.Rewrite(b, bytes.Replace(b.Data, []byte("secret"), []byte("[X]"), 1), bytes.Replace(b.Payload, []byte("secret"), []byte("[X]"), 1), true)
		return o.Send(&own)
	}}, write("text/event-stream", in)))
	h.ServeHTTP(rec, httptest.NewRequest("POST", "/v1/chat/completions", nil))
	if outer != "stop true [X]" || !strings.Contains(rec.Body.String(), "[X]") {
		t.Errorf("%q, %q", outer, rec.Body)
	}
}

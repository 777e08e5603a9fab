package sanitize

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"os"
	"slices"
	"strings"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

const stage = "sanitize"

// Handler returns a handler that filters requests before next and responses behind it. A blocked request gets 400
// content_policy, which does not say what was found. Findings are recorded for the audit room.
//
// The handler is asked for neither a compressed nor a partial answer: Accept-Encoding and Range do not reach it. It panics when
// next is nil.
func (f *Filter) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("sanitize: Filter.Handler: next is nil")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		if f == nil || f.requests == nil {
			// A filter that was never configured must not let anything through.
			x.Refuse(w, r, &deny.Denial{Code: deny.InternalError, Stage: stage, Cause: errUnconfigured})
			return
		}
		if !f.cfg.SkipRequests {
			if d := f.request(x, w, r); d != nil {
				x.RefuseWith(w, r, d, f.cfg.Deny)
				return
			}
		}
		if f.cfg.SkipResponses {
			next.ServeHTTP(w, r)
			return
		}
		f.askReadable(r)
		t := &tap{f: f, x: x}
		x.Serve(w, r, t, next)
		if t.cut {
			// The response was withheld in its middle and is no stream that could say so: a clean end would make it look complete.
			panic(http.ErrAbortHandler)
		}
	})
}

// askReadable takes out of a request what asks for an answer that cannot be read: a proxy inside would pass the client's wish on
// and have its answer withheld. The map is copied, because what stands outside may still look at it.
func (f *Filter) askReadable(r *http.Request) {
	var drop [3]string
	n := 0
	if !f.cfg.SkipEncoded && len(r.Header["Accept-Encoding"]) > 0 {
		drop[n] = "Accept-Encoding"
		n++
	}
	// A part of a text may be half of a secret: the client would fetch the other half next.
	for _, k := range [...]string{"Range", "If-Range"} {
		if !f.cfg.Shadow && len(r.Header[k]) > 0 {
			drop[n] = k
			n++
		}
	}
	if n > 0 {
		r.Header = maps.Clone(r.Header)
		for _, k := range drop[:n] {
			delete(r.Header, k)
		}
	}
}

// request filters the body of r. It returns why the request is refused, nil to go on.
func (f *Filter) request(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) *deny.Denial {
	had, read := x.ReadBytes()
	if !read && (r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0) {
		return nil
	}
	kind := bodyKind(r.Header)
	if kind == unreadable && (exchange.Encoded(r.Header) || f.cfg.Shadow || !f.cfg.SkipUnreadable || !beginsLikeJSON(r)) {
		if f.cfg.SkipUnreadable || f.cfg.Shadow {
			return nil
		}
		return &deny.Denial{Code: deny.UnsupportedMediaType, Stage: stage, Header: http.Header{"Accept": {"application/json, text/plain"}},
			Cause: errors.New("sanitize: request body of a type that cannot be scanned")}
	}
	limit := f.cfg.MaxBody
	if read {
		limit = max(limit, int64(len(had))) // the room that read it had a limit of its own
	}
	if f.cfg.Shadow && r.ContentLength > limit {
		return nil
	}
	body, err := x.ReadBody(w, r, limit)
	if err != nil { // under Shadow too: what was read is gone, the handler could not read the body either
		return readDenial(err)
	}
	if len(body) == 0 {
		return nil
	}
	if kind != jsonBody {
		// The type is only what the client says; many handlers parse the body whatever it says. One that looks like JSON is held
		// to JSON, or escapes would hide in it what the handler then reads.
		if looksJSON(body) || body[0] == '"' && x.Request(body) != nil {
			kind = jsonBody
		} else if kind == unreadable {
			return nil // SkipUnreadable
		}
	}
	wk := works.Get().(*work)
	defer wk.release()
	wk.reset()
	out := body
	switch q := x.Request(body); {
	case kind == jsonBody && q != nil:
		f.rewrite(wk, Request, body, q.Texts)
		if len(wk.edits) > 0 {
			out = splice(nil, body, wk.edits)
		}
	case kind == jsonBody:
		if f.cfg.Shadow {
			return nil
		}
		// What cannot be parsed here may be parsed by a laxer parser behind us.
		return &deny.Denial{Code: deny.InvalidJSON, Stage: stage, Cause: errors.New("sanitize: request body is not strict JSON")}
	default:
		out = f.look(wk, Request, RoleUser, body, false)
		out = wk.result(out)
	}
	f.record(x, Request, wk.found)
	switch {
	case f.cfg.Shadow:
	case wk.action == Block:
		return &deny.Denial{Code: deny.ContentPolicy, Stage: stage, Cause: ErrBlocked}
	case same(out, body):
	case kind == jsonBody && !stillJSON(out):
		// Cannot happen; if it does, nobody may see a body we broke.
		return &deny.Denial{Code: deny.InternalError, Stage: stage, Cause: errors.New("sanitize: the rewritten body is not JSON")}
	default:
		x.ReplaceBody(r, out)
	}
	return nil
}

// looksJSON reports whether a body begins as JSON with strings in it does: an object, or an array of strings or containers.
// Prose may begin with a bracket, but hardly goes on like that.
func looksJSON(b []byte) bool {
	const space = " \t\r\n"
	b = bytes.TrimLeft(bytes.TrimPrefix(b, []byte("\xef\xbb\xbf")), space)
	if len(b) == 0 {
		return false
	}
	open := b[0]
	b = bytes.TrimLeft(b[1:], space)
	next := byte(0)
	if len(b) > 0 {
		next = b[0]
	}
	switch open {
	case '{':
		return next == '"' || next == '}'
	case '[':
		return next == '"' || next == '{' || next == '[' || next == ']'
	}
	return false
}

// beginsLikeJSON looks at the first bytes of a body that was not read yet and gives them back.
func beginsLikeJSON(r *http.Request) bool {
	head := make([]byte, 512)
	n, err := io.ReadFull(r.Body, head)
	rest := io.Reader(r.Body)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		rest = failed{err}
	}
	r.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(head[:n]), rest), r.Body}
	return looksJSON(head[:n])
}

// failed is the rest of a body whose reading failed.
type failed struct{ err error }

func (f failed) Read([]byte) (int, error) { return 0, f.err }

// record leaves findings for the audit room.
func (f *Filter) record(x *exchange.Exchange, dir Direction, found []Finding) {
	for _, d := range found {
		x.AddFinding(exchange.Finding{Kind: d.Kind, Rule: d.Rule, Action: f.actionName(d.Action), Direction: dir.String()})
	}
}

func (f *Filter) actionName(a Action) string {
	if f.cfg.Shadow && a >= Redact {
		return "would_" + a.String()
	}
	return a.String()
}

func (f *Filter) warn(r *http.Request, x *exchange.Exchange, msg string, err error) {
	f.cfg.Logger.LogAttrs(r.Context(), slog.LevelWarn, msg, slog.String("request_id", x.ID()), slog.Any("error", err))
}

// readDenial says why a body could not be read.
func readDenial(err error) *deny.Denial {
	d := &deny.Denial{Code: deny.InvalidRequest, Stage: stage, Cause: err}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		d.Code = deny.BodyTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded):
		d.Code = deny.RequestTimeout
	}
	return d
}

// readable says how a body can be looked at.
type readable uint8

const (
	unreadable readable = iota
	jsonBody
	textBody
	binaryBody
	valuesBody // JSON values one after the other
)

// bodyKind classifies a request body. Without a Content-Type it is read as JSON: that is what the handlers behind do.
func bodyKind(h http.Header) readable {
	if exchange.Encoded(h) {
		return unreadable
	}
	values := h["Content-Type"]
	switch {
	case len(values) == 0 || len(values) == 1 && values[0] == "application/json":
		return jsonBody
	case len(values) > 1:
		return unreadable // two types: whichever we picked, the handler may pick the other
	}
	t, params, err := mime.ParseMediaType(values[0])
	if err != nil || !readableCharset(params["charset"]) {
		return unreadable
	}
	switch {
	case t == "application/json" || strings.HasSuffix(t, "+json"):
		return jsonBody
	case t == "text/plain":
		return textBody
	}
	return unreadable
}

// readableCharset reports whether ASCII bytes mean ASCII in a charset.
func readableCharset(c string) bool {
	c = strings.ToLower(c)
	switch c {
	case "", "utf-8", "utf8", "us-ascii", "ascii":
		return true
	}
	return strings.HasPrefix(c, "iso-8859-") || strings.HasPrefix(c, "windows-125")
}

// responseKind classifies a response. A type that promises no text is binaryBody, streamed or whole: its first bytes decide. A text
// under a content coding or in a charset that hides ASCII, and a part of a body, is unreadable.
func responseKind(h http.Header, status int) readable {
	kind := textBody
	v := h["Content-Type"]
	switch {
	case len(v) > 1 && slices.ContainsFunc(v, func(s string) bool { return s != v[0] }):
		return unreadable // two types: whichever we picked, the client may pick the other
	case len(v) > 0 && v[0] != "":
		t, params, err := mime.ParseMediaType(v[0])
		if err != nil {
			t, _, _ = strings.Cut(v[0], ";")
			t = strings.ToLower(strings.TrimSpace(t))
		}
		kind = typeKind(t)
		if kind != binaryBody && !readableCharset(params["charset"]) {
			return unreadable
		}
	}
	if status == http.StatusPartialContent || kind != binaryBody && exchange.Encoded(h) {
		return unreadable
	}
	return kind
}

// typeKind says how a response of media type t is read. What is not known is text: a type nobody has heard of is no way past.
func typeKind(t string) readable {
	major, sub, _ := strings.Cut(t, "/")
	switch {
	case strings.HasSuffix(sub, "+xml"): // SVG
		return textBody
	case major == "multipart":
		return unreadable
	case major == "image", major == "audio", major == "video", major == "font":
		return binaryBody
	case t == "application/pdf", t == "application/zip", t == "application/octet-stream":
		return binaryBody
	case t == "application/json", t == "text/json", strings.HasSuffix(sub, "+json") && sub != "stream+json":
		return jsonBody
	case major == "application" && strings.Contains(sub, "json") && !strings.Contains(sub, "ndjson"):
		return valuesBody
	}
	return textBody
}

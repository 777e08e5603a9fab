package sanitize

import (
	"errors"
	"log/slog"
	"maps"
	"mime"
	"net/http"
	"os"
	"strings"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

const stage = "sanitize"

// Handler returns a handler that filters requests before next and responses behind it. A blocked request gets 400
// content_policy, which does not say what was found. Findings are recorded for the audit room.
func (f *Filter) Handler(next http.Handler) http.Handler {
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
		if !f.cfg.SkipEncoded && len(r.Header["Accept-Encoding"]) > 0 {
			// A compressed answer cannot be read, so none is asked for: a proxy inside would pass the client's wish on and have
			// its answer withheld. The map is copied, because what stands outside may still look at it.
			r.Header = maps.Clone(r.Header)
			delete(r.Header, "Accept-Encoding")
		}
		t := &tap{f: f, x: x}
		x.Serve(w, r, t, next)
		if t.cut {
			// The response was withheld in its middle and is no stream that could say so: a clean end would make it look complete.
			panic(http.ErrAbortHandler)
		}
	})
}

// request filters the body of r. It returns why the request is refused, nil to go on.
func (f *Filter) request(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) *deny.Denial {
	if _, read := x.ReadBytes(); !read && (r.Body == nil || r.Body == http.NoBody || r.ContentLength == 0) {
		return nil
	}
	kind := bodyKind(r.Header)
	if kind == unreadable {
		if f.cfg.SkipUnreadable || f.cfg.Shadow {
			return nil
		}
		return &deny.Denial{Code: deny.UnsupportedMediaType, Stage: stage, Header: http.Header{"Accept": {"application/json, text/plain"}},
			Cause: errors.New("sanitize: request body of a type that cannot be scanned")}
	}
	if f.cfg.Shadow && r.ContentLength > f.cfg.MaxBody {
		return nil
	}
	body, err := x.ReadBody(w, r, f.cfg.MaxBody)
	if err != nil { // under Shadow too: what was read is gone, the handler could not read the body either
		return readDenial(err)
	}
	if len(body) == 0 {
		return nil
	}
	wk := works.Get().(*work)
	defer wk.release()
	wk.reset()
	out := body
	if q := x.Request(body); kind == jsonBody && q != nil {
		f.rewrite(wk, Request, body, q.Texts)
		if len(wk.edits) > 0 {
			out = splice(make([]byte, 0, len(body)+64), body, wk.edits)
		}
	} else if kind == jsonBody {
		if f.cfg.Shadow {
			return nil
		}
		// What cannot be parsed here may be parsed by a laxer parser behind us.
		return &deny.Denial{Code: deny.InvalidJSON, Stage: stage, Cause: errors.New("sanitize: request body is not strict JSON")}
	} else {
		cleaned := f.look(wk, Request, RoleUser, body, false)
		if out = cleaned; len(wk.reps) > 0 {
			out = apply(nil, cleaned, wk.reps)
		}
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

// responseKind classifies a response body. Types that hold no text pass; a text under a content coding or in a charset that hides
// ASCII is unreadable.
func responseKind(h http.Header) readable {
	kind := textBody
	if v := h["Content-Type"]; len(v) > 0 && v[0] != "" {
		t, params, err := mime.ParseMediaType(v[0])
		if err != nil {
			t, _, _ = strings.Cut(v[0], ";")
			t = strings.ToLower(strings.TrimSpace(t))
		}
		if !textual(t) {
			return binaryBody
		}
		if t == "application/json" || strings.HasSuffix(t, "+json") {
			kind = jsonBody
		}
		if !readableCharset(params["charset"]) {
			return unreadable
		}
	}
	if exchange.Encoded(h) {
		return unreadable
	}
	return kind
}

// textual reports whether a media type holds text.
func textual(t string) bool {
	if strings.HasPrefix(t, "text/") {
		return true
	}
	sub, ok := strings.CutPrefix(t, "application/")
	if !ok {
		return false
	}
	if i := strings.LastIndexByte(sub, '+'); i >= 0 {
		sub = sub[i+1:]
	}
	switch sub {
	case "json", "x-ndjson", "ndjson", "jsonl", "x-jsonlines", "json-lines", "json-seq", "xml", "javascript", "ecmascript", "yaml", "x-yaml",
		"toml", "sql", "graphql", "x-www-form-urlencoded", "problem", "rtf", "x-sh":
		return true
	}
	return false
}

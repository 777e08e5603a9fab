package deny

import (
	"context"
	"net/http"
	"strconv"
	"strings"
)

// Envelope is the shape of an error body. The zero value chooses by the request.
type Envelope uint8

// The envelopes. Auto picks by the Accept header, then by the path.
const (
	Auto      Envelope = iota
	OpenAI             // {"error":{"message","type","param","code"}}
	Anthropic          // {"type":"error","error":{"type","message"},"request_id"}
	Problem            // RFC 9457, application/problem+json
	Ollama             // {"error":"message","code"}: its clients take error for a string
)

// For returns the envelope of a request when none is configured: problem details when the client lists that media type in
// Accept (with a quality above zero), else Anthropic's under /v1/messages, Ollama's at the paths of its own API, else OpenAI's.
func For(r *http.Request) Envelope {
	for _, line := range r.Header["Accept"] {
		if acceptsProblem(line) {
			return Problem
		}
	}
	if p := r.URL.Path; strings.HasSuffix(p, "/v1/messages") || strings.Contains(p, "/v1/messages/") {
		return Anthropic
	} else if i := strings.LastIndex(p, "/api/"); i >= 0 {
		// Only what is Ollama's for sure: many a service has paths of its own below /api/.
		switch p[i+len("/api/"):] {
		case "chat", "generate", "embed", "embeddings", "show", "tags", "ps", "version", "create", "pull", "push", "copy", "delete":
			return Ollama
		}
	}
	if e, ok := r.Context().Value(preferKey{}).(Envelope); ok {
		return e
	}
	return OpenAI
}

type preferKey struct{}

// Prefer returns a request for which [For] says e where neither Accept nor the path decide.
func Prefer(r *http.Request, e Envelope) *http.Request {
	if For(r) != OpenAI {
		return r // decided, and no copy needed
	}
	return r.WithContext(context.WithValue(r.Context(), preferKey{}, e))
}

// acceptsProblem reports whether one Accept line names application/problem+json with a weight other than 0. A wildcard does
// not count: SDKs send */* and parse their vendor's envelope.
func acceptsProblem(line string) bool {
	for len(line) > 0 {
		var item string
		item, line, _ = strings.Cut(line, ",")
		typ, params, _ := strings.Cut(item, ";")
		if !strings.EqualFold(strings.TrimSpace(typ), "application/problem+json") {
			continue
		}
		for len(params) > 0 {
			var p string
			p, params, _ = strings.Cut(params, ";")
			k, v, _ := strings.Cut(strings.TrimSpace(p), "=")
			if strings.EqualFold(k, "q") {
				if q, err := strconv.ParseFloat(strings.TrimSpace(v), 64); err != nil || q <= 0 {
					return false
				}
			}
		}
		return true
	}
	return false
}

// ContentType returns the media type of the envelope's bodies.
func (e Envelope) ContentType() string {
	if e == Problem {
		return "application/problem+json"
	}
	return "application/json"
}

// Append appends the body of d, in envelope e, to dst. requestID may be empty. Auto counts as OpenAI.
func (e Envelope) Append(dst []byte, d *Denial, requestID string) []byte {
	ent := d.Code.entry()
	if ent.status/100 != d.Status()/100 {
		// The caller fixed the status: the error type must speak of the same class.
		ent = table[InternalError]
		if d.Status() < 500 {
			ent = table[RequestRefused]
		}
	}
	code := d.Code
	if code == "" {
		code = InternalError
	}
	switch e {
	case Anthropic:
		dst = append(dst, `{"type":"error","error":{"type":`...)
		dst = appendString(dst, ent.anthropic)
		dst = append(dst, `,"message":`...)
		dst = appendString(dst, d.Text())
		dst = append(dst, `,"code":`...)
		dst = appendString(dst, string(code))
		if d.Param != "" {
			dst = append(dst, `,"param":`...)
			dst = appendString(dst, d.Param)
		}
		dst = append(dst, '}')
		if requestID != "" {
			dst = append(dst, `,"request_id":`...)
			dst = appendString(dst, requestID)
		}
		dst = append(dst, '}')
	case Problem:
		dst = append(dst, `{"type":"about:blank","title":`...)
		dst = appendString(dst, http.StatusText(d.Status()))
		dst = append(dst, `,"status":`...)
		dst = strconv.AppendInt(dst, int64(d.Status()), 10)
		dst = append(dst, `,"detail":`...)
		dst = appendString(dst, d.Text())
		dst = append(dst, `,"code":`...)
		dst = appendString(dst, string(code))
		if d.Param != "" {
			name := `,"param":`
			if d.Param[0] == '/' {
				name = `,"pointer":` // as in the example of RFC 9457 section 3
			}
			dst = append(dst, name...)
			dst = appendString(dst, d.Param)
		}
		if requestID != "" {
			dst = append(dst, `,"request_id":`...)
			dst = appendString(dst, requestID)
		}
		dst = append(dst, '}')
	case Ollama:
		dst = append(dst, `{"error":`...)
		dst = appendString(dst, d.Text())
		dst = append(dst, `,"code":`...)
		dst = appendString(dst, string(code))
		if d.Param != "" {
			dst = append(dst, `,"param":`...)
			dst = appendString(dst, d.Param)
		}
		if requestID != "" {
			dst = append(dst, `,"request_id":`...)
			dst = appendString(dst, requestID)
		}
		dst = append(dst, '}')
	default:
		dst = append(dst, `{"error":{"message":`...)
		dst = appendString(dst, d.Text())
		dst = append(dst, `,"type":`...)
		dst = appendString(dst, ent.openai)
		dst = append(dst, `,"param":`...)
		if d.Param != "" {
			dst = appendString(dst, d.Param)
		} else {
			dst = append(dst, "null"...)
		}
		dst = append(dst, `,"code":`...)
		dst = appendString(dst, string(code))
		if requestID != "" {
			dst = append(dst, `,"request_id":`...)
			dst = appendString(dst, requestID)
		}
		dst = append(dst, "}}"...)
	}
	return dst
}

const hex = "0123456789abcdef"

// appendString appends s as a JSON string. Only fixed sentences, codes, checked request ids and masked pointers come here,
// but it escapes as if they were hostile: bytes that are not printable ASCII leave as \u escapes of their own value or, for
// bytes outside ASCII, as the replacement character.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r >= 0x20 && r < 0x7f && r != '<' && r != '>' && r != '&':
			dst = append(dst, byte(r))
		case r < 0x10000:
			dst = append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
		default:
			r -= 0x10000
			hi, lo := 0xd800+r>>10, 0xdc00+r&0x3ff
			dst = append(dst, '\\', 'u', hex[hi>>12&15], hex[hi>>8&15], hex[hi>>4&15], hex[hi&15])
			dst = append(dst, '\\', 'u', hex[lo>>12&15], hex[lo>>8&15], hex[lo>>4&15], hex[lo&15])
		}
	}
	return append(dst, '"')
}

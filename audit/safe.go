package audit

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"unicode/utf8"
)

// SafeHandler returns a handler for people's eyes: everything that reaches h is free of characters that are not seen but
// act, such as line breaks (forged log lines), ESC and C1 (terminal commands, OSC 52 writes the clipboard), bidirectional
// and zero-width characters. They appear as visible escapes (\n, \u001b, \u202e), bytes that are not UTF-8 as \xHH, in the
// message, in keys, group names and values, those of errors, Stringers and LogValuers included. Values of kind Any reach h
// as text, so that no later formatting brings anything back; h's JSON would show a struct as its %+v text.
//
// Clean records cost no allocation. github.com/lmittmann/tint (v1.2.1) needs it: it writes messages raw, and in colour it
// turns the four printable characters \x1b of a quoted key or value into a real ESC. That spelling therefore is broken up
// too: its backslash appears as \u005c.
func SafeHandler(h slog.Handler) slog.Handler {
	if s, ok := h.(*safeHandler); ok {
		return s
	}
	return &safeHandler{h}
}

type safeHandler struct{ inner slog.Handler }

// Enabled asks the inner handler.
func (h *safeHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.inner.Enabled(ctx, level)
}

// Handle hands a neutralised record on.
func (h *safeHandler) Handle(ctx context.Context, r slog.Record) error {
	clean := true
	r.Attrs(func(a slog.Attr) bool {
		clean = isClean(a, 0)
		return clean
	})
	if clean {
		r.Message = visible(r.Message)
		return h.inner.Handle(ctx, r)
	}
	out := slog.NewRecord(r.Time, r.Level, visible(r.Message), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		out.AddAttrs(cleanAttr(a, 0))
		return true
	})
	return h.inner.Handle(ctx, out)
}

// WithAttrs hands neutralised attributes on.
func (h *safeHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	out := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		out[i] = cleanAttr(a, 0)
	}
	return &safeHandler{h.inner.WithAttrs(out)}
}

// WithGroup hands a neutralised name on.
func (h *safeHandler) WithGroup(name string) slog.Handler {
	return &safeHandler{h.inner.WithGroup(visible(name))}
}

// isClean reports whether the attribute can pass as it is.
func isClean(a slog.Attr, depth int) bool {
	if needsShowing(a.Key) {
		return false
	}
	switch a.Value.Kind() {
	case slog.KindString:
		return !needsShowing(a.Value.String())
	case slog.KindAny, slog.KindLogValuer:
		return false
	case slog.KindGroup:
		if depth >= maxGroups {
			return false
		}
		for _, inner := range a.Value.Group() {
			if !isClean(inner, depth+1) {
				return false
			}
		}
	}
	return true
}

// maxGroups bounds the nesting a LogValuer can produce.
const maxGroups = 32

func cleanAttr(a slog.Attr, depth int) slog.Attr {
	a.Key = visible(a.Key)
	v := resolve(a.Value)
	switch v.Kind() {
	case slog.KindString:
		v = slog.StringValue(visible(v.String()))
	case slog.KindGroup:
		if depth >= maxGroups {
			v = slog.StringValue("!DEPTH")
			break
		}
		group := v.Group()
		out := make([]slog.Attr, len(group))
		for i, inner := range group {
			out[i] = cleanAttr(inner, depth+1)
		}
		v = slog.GroupValue(out...)
	case slog.KindAny:
		v = slog.StringValue(visible(anyText(v.Any())))
	}
	a.Value = v
	return a
}

// anyText is the text a handler would have made of a value.
func anyText(v any) string {
	if err, ok := v.(error); ok {
		return valueText(slog.AnyValue(err)) // survives a nil pointer in the interface
	}
	return fmt.Sprintf("%+v", v) // fmt contains panics of String methods
}

// visible returns s with every hidden character and every bad byte as a visible escape; s itself when there is none.
func visible(s string) string {
	if !needsShowing(s) {
		return s
	}
	out := make([]byte, 0, len(s)+16)
	for i := 0; i < len(s); {
		r, size := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			out = append(out, '\\', 'x', hexDigits[s[i]>>4], hexDigits[s[i]&15])
		case r == '\n':
			out = append(out, `\n`...)
		case r == '\r':
			out = append(out, `\r`...)
		case r == '\t':
			out = append(out, `\t`...)
		case r == '\\' && spellsESC(s[i:]), hidden(r) && r < 0x10000:
			out = appendUnit(out, r)
		case hidden(r):
			out = append(strconv.AppendInt(append(out, `\U{`...), int64(r), 16), '}')
		default:
			out = append(out, s[i:i+size]...)
		}
		i += size
	}
	return string(out)
}

func needsShowing(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= utf8.RuneSelf {
			return needsShowingUnicode(s[i:])
		} else if c < 0x20 || c == 0x7f || c == '\\' && spellsESC(s[i:]) {
			return true
		}
	}
	return false
}

// spellsESC reports whether s begins with the Go spelling of ESC, which tint undoes after quoting.
func spellsESC(s string) bool {
	return len(s) >= 4 && s[1]|0x20 == 'x' && s[2] == '1' && s[3]|0x20 == 'b'
}

func needsShowingUnicode(s string) bool {
	if !utf8.ValidString(s) {
		return true
	}
	for i, r := range s {
		if hidden(r) || r == '\\' && spellsESC(s[i:]) {
			return true
		}
	}
	return false
}

package validate

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A pointer tells the client where, in its own body, the fault is. The names in a body are as secret as its values (a
// key pasted into the wrong place ends up as a member name), so only names that the schema declares, which are the
// API's own words, and positions in arrays are shown. Everything else is "?".
const masked = "?"

var escapePointer = strings.NewReplacer("~", "~0", "/", "~1")

// pointerInto renders the path of a value in a decoded document. An array position is recognised by the container, not
// by its looks: a member named "4111111111111111" is a name.
func (v *vocabulary) pointerInto(doc any, path []string) string {
	var b strings.Builder
	for _, tok := range path {
		b.WriteByte('/')
		switch d := doc.(type) {
		case map[string]any:
			b.WriteString(v.show(tok))
			doc = d[tok]
		case []any:
			i, err := strconv.Atoi(tok)
			if err != nil || i < 0 || i >= len(d) {
				b.WriteString(masked)
				doc = nil
				continue
			}
			b.WriteString(strconv.Itoa(i))
			doc = d[i]
		default:
			b.WriteString(masked)
		}
	}
	return b.String()
}

// pointerAt masks the pointer of a scan that stopped at offset in body. There is no tree yet, so the kinds of the open
// containers are found by walking the bytes before offset once more; this happens on a refusal only.
func (v *vocabulary) pointerAt(body []byte, offset int, pointer string) string {
	if pointer == "" {
		return ""
	}
	open := openContainers(body[:min(max(offset, 0), len(body))])
	var b strings.Builder
	for i, tok := range strings.Split(pointer[1:], "/") {
		b.WriteByte('/')
		if _, err := strconv.ParseUint(tok, 10, 32); err == nil && i < len(open) && open[i] == '[' {
			b.WriteString(tok)
			continue
		}
		b.WriteString(v.show(unescapePointer.Replace(tok)))
	}
	return b.String()
}

func (v *vocabulary) show(name string) string {
	if v != nil {
		if _, ok := v.known[name]; ok {
			return escapePointer.Replace(name)
		}
	}
	return masked
}

// openContainers returns the brackets that are open at the end of prefix, outermost first. The prefix was accepted by
// the scanner, so brackets match; a closing one at a faulty end is ignored.
func openContainers(prefix []byte) []byte {
	var open []byte
	for i := 0; i < len(prefix); i++ {
		switch c := prefix[i]; c {
		case '{', '[':
			open = append(open, c)
		case '}', ']':
			if len(open) > 0 {
				open = open[:len(open)-1]
			}
		case '"':
			for i++; i < len(prefix) && prefix[i] != '"'; i++ {
				if prefix[i] == '\\' {
					i++
				}
			}
		}
	}
	return open
}

// foldName maps names that encoding/json would take for one another to one string: every rune becomes the smallest of
// its simple case folding orbit, so that K, k and the Kelvin sign meet.
func foldName(s string) string {
	b := make([]byte, 0, 64)
	for _, r := range s {
		b = utf8.AppendRune(b, foldRune(r))
	}
	return string(b)
}

func foldRune(r rune) rune {
	if 'a' <= r && r <= 'z' {
		return r - ('a' - 'A') // the smallest of the orbit is the capital letter, also for k and s
	}
	if r < utf8.RuneSelf {
		return r
	}
	for {
		next := unicode.SimpleFold(r)
		if next <= r {
			return next
		}
		r = next
	}
}

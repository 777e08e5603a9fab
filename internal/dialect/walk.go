package dialect

import (
	"bytes"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// node is what a place in a body means: a container with known members, or a leaf. Visitors keep a stack of the nodes of the
// open containers, so that each value costs one look at its own name, whatever the depth.
type node uint8

const (
	// none is a place without meaning; everything below it is ignored.
	none node = iota
	// ignored is like none, for names that are known to carry nothing: they are not looked at a second time.
	ignored

	// Leaves of requests.
	leafModel
	leafStream
	leafMaxTokens
	leafN
	leafIncludeUsage
	leafRole
	leafType
	leafUser
	leafSystem
	leafProse
	leafReasoning
	leafRefusal
	leafArguments
	leafOpaque

	// Containers of requests. Some are leaves as well: content may be a string or an array.
	nodeAny
	nodeChat
	nodeCompletions
	nodeResponses
	nodeEmbeddings
	nodeAnthropic
	nodeOllama
	nodeUnknown
	nodeMessages
	nodeMessage
	nodeContent
	nodePart
	nodeOutput
	nodeThinking
	nodeOpaque
	nodeSource
	nodeCalls
	nodeFunction
	nodeFunctionArguments
	nodeInput
	nodeSystem
	nodePrediction
	nodePrompt
	nodeVariables
	nodeStreamOptions
	nodeOptions
)

// walker keeps the stack of nodes.
type walker struct {
	stack   []node
	scratch []byte
}

// slot returns the meaning of the current value: member and elem are the tables of the body at hand.
func (w *walker) slot(p *jsonscan.Path, member func(parent node, name []byte) node, elem func(parent node) node) node {
	level := p.Depth() - 1
	if level >= len(w.stack) {
		return none // cannot happen: every container pushes
	}
	parent := w.stack[level]
	if parent <= ignored {
		return none
	}
	raw, ok := p.Key(level)
	if !ok {
		return elem(parent)
	}
	n := member(parent, raw)
	if n == none && w.hides(raw) {
		n = member(parent, w.scratch)
	}
	return n
}

// hides reports whether a name may turn into another one by decoding or case folding; the result is then in w.scratch.
func (w *walker) hides(raw []byte) bool {
	for _, c := range raw {
		if c == '\\' || c >= 0x80 || 'A' <= c && c <= 'Z' {
			w.scratch = jsonscan.AppendFolded(w.scratch[:0], raw)
			return true
		}
	}
	return false
}

// text decodes raw if it has to, for comparing.
func (w *walker) text(raw []byte) []byte {
	if bytes.IndexByte(raw, '\\') < 0 {
		return raw
	}
	w.scratch = jsonscan.AppendUnquoted(w.scratch[:0], raw)
	return w.scratch
}

// isDataURL reports whether raw is a data URL of an image, a sound, a film, a font or a PDF with a well-formed base64 body and
// nothing else. It decides about text that will not be looked at, so it takes no chances: anything odd is ordinary text.
func isDataURL(raw []byte) bool {
	if len(raw) < 5 || string(raw[:5]) != "data:" {
		return false
	}
	head := raw[5:min(len(raw), 128)]
	i := bytes.Index(head, []byte(";base64,"))
	return i >= 0 && opaqueType(head[:i]) && isBase64(raw[5+i+8:])
}

// opaqueType reports whether a media type, perhaps with parameters, is one of content that is not text.
func opaqueType(t []byte) bool {
	for _, c := range t {
		if c <= ' ' || c >= 0x7f || c == ',' {
			return false
		}
	}
	name, _, _ := bytes.Cut(t, []byte(";"))
	major, sub, _ := bytes.Cut(name, []byte("/"))
	if len(sub) == 0 || bytes.HasSuffix(sub, []byte("+xml")) {
		return false
	}
	switch string(major) {
	case "image", "audio", "video", "font":
		return true
	}
	return string(name) == "application/pdf"
}

// isBase64 reports whether b is base64 of one alphabet (RFC 4648), whole quanta, padded or not.
func isBase64(b []byte) bool {
	n := len(b)
	for n > 0 && len(b)-n < 2 && b[n-1] == '=' {
		n--
	}
	if n == 0 || n%4 == 1 || n < len(b) && len(b)%4 != 0 {
		return false
	}
	std, url := false, false
	for _, c := range b[:n] {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		case c == '+', c == '/':
			std = true
		case c == '-', c == '_':
			url = true
		default:
			return false
		}
	}
	return !std || !url
}

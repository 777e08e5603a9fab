package mcp

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// OperationsConfig configures [Operations]. In both maps a value is the scopes that are needed, separated by spaces, "" for none; and the
// key "*" stands for whatever is not listed. A map that is nil demands nothing; what is not in one that is not nil is refused.
type OperationsConfig struct {
	// Methods are JSON-RPC methods, such as "resources/read". What opens and keeps a session is always free: initialize, ping, and
	// methods below notifications/ in a message without an id, which are never answered.
	Methods map[string]string
	// Tools are the names of tools, as in params.name of tools/call.
	Tools map[string]string
}

// Operations says which scopes one MCP request needs (SEP-2350). It is immutable and safe for concurrent use. The zero Operations, and a
// nil one, refuse every operation.
type Operations struct {
	methods, tools map[string][]string
	made           bool
}

// NewOperations returns Operations. It reports everything that is wrong with cfg at once.
func NewOperations(cfg OperationsConfig) (*Operations, error) {
	var errs []error
	if cfg.Methods == nil && cfg.Tools == nil {
		errs = append(errs, errors.New("mcp: OperationsConfig: Methods and Tools are nil: nothing would be demanded"))
	}
	split := func(field string, from map[string]string) map[string][]string {
		if from == nil {
			return nil
		}
		to := make(map[string][]string, len(from))
		for _, name := range slices.Sorted(maps.Keys(from)) {
			to[name] = strings.FieldsFunc(from[name], func(r rune) bool { return r == ' ' })
			if from[name] != "" && len(to[name]) == 0 {
				errs = append(errs, fmt.Errorf("mcp: OperationsConfig.%s[%q] is blank but not empty", field, name))
			}
			switch {
			case name == "":
				errs = append(errs, fmt.Errorf("mcp: OperationsConfig.%s has an empty name", field))
			case name != "*" && strings.Contains(name, "*"):
				errs = append(errs, fmt.Errorf("mcp: OperationsConfig.%s[%q]: * stands alone or not at all; list the names", field, name))
			}
			for _, s := range to[name] {
				if !auth.ValidScope(s) {
					errs = append(errs, fmt.Errorf("mcp: OperationsConfig.%s[%q]: %q is not a scope-token (RFC 6749 section 3.3)", field, name, s))
				}
			}
		}
		return to
	}
	o := &Operations{methods: split("Methods", cfg.Methods), tools: split("Tools", cfg.Tools), made: true}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return o, nil
}

var (
	errNotMade   = &auth.Error{Code: auth.CodeUnavailable, Err: fmt.Errorf("mcp: operations were not made by NewOperations: %w", auth.ErrUnavailable)}
	errUnlisted  = &auth.Error{Code: auth.CodePermissionDenied, Err: fmt.Errorf("mcp: method or tool is not listed: %w", auth.ErrPermissionDenied)}
	errMalformed = &auth.Error{Code: auth.CodeInvalidRequest, Err: fmt.Errorf("mcp: body is not one JSON-RPC message: %w", auth.ErrInvalidRequest)}
)

// Needs returns the scopes that a request with this body needs; hand it to [auth.Gate.BodyScopesHandler]. A request without a body (GET for
// the stream, DELETE) and a JSON-RPC response need none. A body that is not one JSON-RPC message in strict JSON is refused with 400: what
// is read here must be what the server reads, so neither batches, which MCP no longer has, nor a member twice or in another case, nor a
// method with an empty or dot segment, which a server that routes by path may take for another. Refused too is a body with more than
// 256 members in one object, 10,000 members or 100,000 values in all, 10,000 elements in one array, or names of more than 256 bytes: these
// cost more to compare than to send. Its length is bounded by whoever reads it.
func (o *Operations) Needs(_ *http.Request, body []byte) ([]string, error) {
	if o == nil || !o.made {
		return nil, errNotMade
	}
	if len(body) == 0 {
		return nil, nil
	}
	var m message
	if jsonscan.Scan(body, &jsonscan.Limits{Bytes: -1, StringLen: -1}, &m) != nil || m.hasMethod && !segmented(m.method) {
		return nil, errMalformed
	}
	switch {
	case !m.hasMethod, m.method == "initialize", m.method == "ping":
		return nil, nil
	case strings.HasPrefix(m.method, "notifications/"):
		if m.hasID {
			return nil, errMalformed // a request under the name of a notification: somebody wants an answer for free
		}
		return nil, nil
	}
	needs, ok := pick(o.methods, m.method)
	if !ok {
		return nil, errUnlisted
	}
	if m.method != "tools/call" {
		return needs, nil
	}
	if !m.hasName {
		return nil, errMalformed
	}
	more, ok := pick(o.tools, m.name)
	if !ok {
		return nil, errUnlisted
	}
	return slices.Concat(needs, more), nil
}

// segmented reports whether every part of a method between slashes is a name.
func segmented(method string) bool {
	for s := range strings.SplitSeq(method, "/") {
		if s == "" || s == "." || s == ".." {
			return false
		}
	}
	return true
}

// pick returns what m demands of name.
func pick(m map[string][]string, name string) ([]string, bool) {
	if m == nil {
		return nil, true
	}
	needs, ok := m[name]
	if !ok {
		needs, ok = m["*"]
	}
	return needs, ok
}

// message is what counts of a JSON-RPC message.
type message struct {
	method, name              string
	hasMethod, hasName, hasID bool
	bad                       bool
}

// Visit implements [jsonscan.Visitor]. It ends the scan at the first fault.
func (m *message) Visit(p *jsonscan.Path, k jsonscan.Kind, start, end int) error {
	switch p.Depth() {
	case 0:
		m.bad = m.bad || k != jsonscan.ObjectStart && k != jsonscan.ObjectEnd
	case 1:
		switch {
		case k == jsonscan.ObjectEnd || k == jsonscan.ArrayEnd:
		case m.is(p, 0, "method"):
			m.hasMethod = true
			m.method = m.text(p, k, start, end)
		case m.is(p, 0, "id"):
			m.hasID = true
		case m.is(p, 0, "params"):
			// An array is a list of arguments by position, which MCP does not have.
			m.bad = m.bad || k != jsonscan.ObjectStart
		}
	case 2:
		if raw, ok := p.Key(0); ok && jsonscan.EqualUnquoted(raw, "params") && m.is(p, 1, "name") && k != jsonscan.ObjectEnd && k != jsonscan.ArrayEnd {
			m.hasName = true
			m.name = m.text(p, k, start, end)
		}
	}
	if m.bad {
		return errMalformed
	}
	return nil
}

// is reports whether the member name at the level is the wanted one. One that is so but for case is what a lenient decoder takes for it.
func (m *message) is(p *jsonscan.Path, level int, want string) bool {
	raw, ok := p.Key(level)
	if !ok {
		return false
	}
	if jsonscan.EqualUnquoted(raw, want) {
		return true
	}
	m.bad = m.bad || strings.EqualFold(string(jsonscan.AppendUnquoted(nil, raw)), want)
	return false
}

// text is the text of a string; anything else is no method and no name. Only a tools/call needs its params.name to be one.
func (m *message) text(p *jsonscan.Path, k jsonscan.Kind, start, end int) string {
	if k != jsonscan.String {
		m.bad = true
		return ""
	}
	return string(jsonscan.AppendUnquoted(nil, p.Data()[start+1:end-1]))
}

package preset

import (
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/validate"
)

var mcpMessage = &endpoint{name: "MCPMessage", layers: []string{"mcp"}}

// MCPMessage returns the validator for messages to an MCP server: one JSON-RPC 2.0 request, notification or response. Lists of
// messages, which revision 2025-03-26 had and 2025-06-18 took back, are refused. extra and the rest are as in [OpenAIChat].
func MCPMessage(extra ...string) *validate.Validator { return mcpMessage.validator(extra...) }

// MCPMessageConfig returns what [MCPMessage] is made of, with the limits of [OpenAIChatConfig].
func MCPMessageConfig(extra ...string) validate.Config { return mcpMessage.config(extra...) }

// MCP returns the Streamable HTTP transport of the Model Context Protocol (revisions 2025-03-26, 2025-06-18 and 2025-11-25),
// with its endpoint at exactly that path: POST for a message, GET for a stream of events, DELETE for the end of a session. It
// panics when path does not begin with a slash, or has wildcards.
//
// Its Hosts are those of the loopback interface: set them for a server that others reach. Servers without such a check are the
// subject of CVE-2026-34742, CVE-2025-66414 and CVE-2025-66416; without a check of origin and media type, of CVE-2026-33252;
// without any, of CVE-2025-49596. The headers of the protocol are checked for their form: Accept lists what the answer may be,
// MCP-Protocol-Version is a date, Mcp-Session-Id and Last-Event-ID are one visible string.
func MCP(path string) Preset {
	if !strings.HasPrefix(path, "/") || strings.ContainsAny(path, "{} ") {
		panic("preset: MCP: " + strconv.Quote(path) + " is not one path")
	}
	if strings.HasSuffix(path, "/") {
		path += "{$}" // not what is below
	}
	return Preset{
		Name:    "mcp",
		Hosts:   []string{"localhost", "127.0.0.1", "[::1]"},
		Routes:  join(post(mcpMessage, path), get(path), []Route{{Pattern: "DELETE " + path}}),
		headers: mcpHeaders,
	}
}

const (
	maxSessionID = 1024 // a JSON Web Token may be one
	sessionID    = "Mcp-Session-Id"
	lastEventID  = "Last-Event-Id"
	mcpVersion   = "Mcp-Protocol-Version"
)

var mcpRevision = regexp.MustCompile(`^[0-9]{4}-[0-9]{2}-[0-9]{2}$`)

// mcpHeaders checks the headers of the transport. Those of the 2025-11-25 revision: "Accept" in Sending Messages 2 and
// Listening 2, "Mcp-Session-Id" in Session Management 1, "MCP-Protocol-Version" in Protocol Version Header.
func mcpHeaders(r *http.Request) *deny.Denial {
	if v := r.Header[mcpVersion]; len(v) > 1 || len(v) == 1 && !mcpRevision.MatchString(v[0]) {
		return refuse(http.StatusBadRequest, "The MCP-Protocol-Version header is malformed.", "preset: MCP-Protocol-Version %.100q", strings.Join(v, ", "))
	}
	for _, name := range []string{sessionID, lastEventID} {
		if v := r.Header[name]; len(v) > 1 || len(v) == 1 && !visible(v[0]) {
			// The value may be a credential: not even the operator's log needs it.
			return refuse(http.StatusBadRequest, "A header of the session is malformed.", "preset: %s is not one visible string of 1 to %d bytes", name, maxSessionID)
		}
	}
	switch r.Method {
	case http.MethodPost:
		if !accepts(r.Header, "application/json") || !accepts(r.Header, "text/event-stream") {
			return notAcceptable("The Accept header must list application/json and text/event-stream.")
		}
	case http.MethodGet, http.MethodHead:
		if !accepts(r.Header, "text/event-stream") {
			return notAcceptable("The Accept header must list text/event-stream.")
		}
	case http.MethodDelete:
		if r.Header[sessionID] == nil {
			return refuse(http.StatusBadRequest, "The Mcp-Session-Id header is missing.", "preset: DELETE without a session")
		}
	}
	return nil
}

func notAcceptable(message string) *deny.Denial {
	return refuse(http.StatusNotAcceptable, message, "preset: not what an MCP client accepts")
}

// visible reports whether s is what the protocol allows as the id of a session: visible ASCII.
func visible(s string) bool {
	for i := range len(s) {
		if s[i] < 0x21 || s[i] > 0x7e {
			return false
		}
	}
	return s != "" && len(s) <= maxSessionID
}

// accepts reports whether the Accept header covers the media type. A weight of 0 and an item that cannot be read do not.
func accepts(h http.Header, mediaType string) bool {
	group, _, _ := strings.Cut(mediaType, "/")
	for _, line := range h["Accept"] {
		for item := range strings.SplitSeq(line, ",") {
			t, params, err := mime.ParseMediaType(item)
			if err != nil || t != mediaType && t != group+"/*" && t != "*/*" {
				continue
			}
			if q, err := strconv.ParseFloat(params["q"], 64); params["q"] == "" || err == nil && q > 0 {
				return true
			}
		}
	}
	return false
}

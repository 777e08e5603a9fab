// Package mcp makes an HTTP API one that OAuth clients find their way into by themselves: what an MCP server has to do as an OAuth
// 2.1 resource server (Model Context Protocol, revision 2025-11-25, Authorization), and any other protected resource may.
//
// A [Resource] is the metadata document of RFC 9728, which names the authorization servers. A client that comes without a token gets
// 401 with the document's URL, reads it, gets a token, and comes back; one whose token lacks a scope gets 403 with the scope that
// is needed and asks for it (step-up). The challenges are those of [auth.Gate]; [Operations] says which scopes one JSON-RPC
// call needs.
//
//	resource, err := mcp.New(mcp.Config{
//		Resource:             "https://api.example.com/mcp",
//		AuthorizationServers: []string{"https://login.example.com"},
//		Scopes:               []string{"files:read", "files:write"},
//	})
//	...
//	gate, err := auth.New(auth.Config{
//		Authenticator:    tokens, // whose audience is resource.URL()
//		ResourceMetadata: resource.MetadataURL(),
//		Scopes:           []string{"files:read"},
//	})
//	...
//	mux.Handle(resource.Pattern(), resource)
//	mux.Handle("/mcp", gate.Handler(server))
//
// # What the specification demands, and who does it
//
//   - The document has at least one authorization server (MUST): New refuses a Config without.
//   - It is found at the well-known path, the resource's own path inserted after it (MUST, or the header): Pattern. And by
//     resource_metadata in WWW-Authenticate of 401 and 403 (MUST, or the path; SHOULD): the Gate.
//   - The 401 names scopes (SHOULD), the 403 is insufficient_scope with all the scopes that the request needs (SHOULD): the Gate.
//   - Tokens in the query string are not accepted (MUST NOT), wrong and expired ones are 401 (MUST): the Gate and its authenticators.
//   - Tokens were issued for this server (MUST): the audience of jwtauth or introspect, which is the Resource URL (RFC 8707).
//   - An outage is 503 without a challenge, or clients forget good tokens: the Gate.
//
// # What it does not
//
// It issues no tokens and registers no clients; that is the authorization server's work. It does not sign the document (RFC 9728 section
// 2.2) and offers it in one language. It stands outside the Gate, and so does the answer to the CORS preflight of a browser
// for the document; preflights for the API itself are not answered here.
package mcp

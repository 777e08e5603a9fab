package mcp_test

import (
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/mcp"
)

func Example() {
	resource, err := mcp.New(mcp.Config{
		Resource:             "https://api.example.com/mcp",
		AuthorizationServers: []string{"https://login.example.com"},
		Scopes:               []string{"files:read"},
	})
	if err != nil {
		log.Fatal(err)
	}
	tokens := auth.AuthenticatorFunc(func(r *http.Request) (*auth.Principal, error) { return nil, auth.ErrNoCredential }) // jwtauth or introspect
	gate, err := auth.New(auth.Config{Authenticator: tokens, ResourceMetadata: resource.MetadataURL(), Scopes: []string{"files:read"}})
	if err != nil {
		log.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.Handle(resource.Pattern(), resource) // outside the gate
	mux.Handle("/mcp", gate.Handler(http.NotFoundHandler()))

	w := httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("POST", "/mcp", nil))
	fmt.Println(w.Code, w.Header().Get("WWW-Authenticate"))
	w = httptest.NewRecorder()
	mux.ServeHTTP(w, httptest.NewRequest("GET", resource.MetadataURL(), nil))
	fmt.Println(w.Code, w.Body)
	// Output:
	// 401 Bearer realm="api", scope="files:read", resource_metadata="https://api.example.com/.well-known/oauth-protected-resource/mcp"
	// 200 {"resource":"https://api.example.com/mcp","authorization_servers":["https://login.example.com"],"scopes_supported":["files:read"],"bearer_methods_supported":["header"]}
}

// One tool needs more than the others: its call, and no other, is answered with 403 and the scope to ask for.
func ExampleOperations() {
	operations, err := mcp.NewOperations(mcp.OperationsConfig{
		Tools: map[string]string{"read_file": "", "write_file": "files:write"},
	})
	if err != nil {
		log.Fatal(err)
	}
	reader := auth.AuthenticatorFunc(func(*http.Request) (*auth.Principal, error) {
		return &auth.Principal{Issuer: "test", Subject: "alice", Scopes: []string{"files:read"}}, nil
	})
	gate, err := auth.New(auth.Config{Authenticator: reader, Scopes: []string{"files:read"}})
	if err != nil {
		log.Fatal(err)
	}
	server := gate.Handler(gate.BodyScopesHandler(operations.Needs, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	for _, tool := range []string{"read_file", "write_file", "format_disk"} {
		w := httptest.NewRecorder()
		r := httptest.NewRequest("POST", "/mcp", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"`+tool+`"}}`))
		r.Header.Set("Content-Type", "application/json")
		server.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header()["Www-Authenticate"])
	}
	// Output:
	// 200 []
	// 403 [Bearer realm="api", error="insufficient_scope", scope="files:read files:write"]
	// 403 []
}

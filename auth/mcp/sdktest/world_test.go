package sdktest

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	sdkauth "github.com/modelcontextprotocol/go-sdk/auth"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
	"github.com/modelcontextprotocol/go-sdk/oauthex"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/introspect"
	"github.com/mantlet-go/mantlet/auth/mcp"
)

// authorizationServer is a small OAuth 2.1 server: metadata (RFC 8414), authorization code with PKCE, introspection. Its user consents to
// everything.
type authorizationServer struct {
	*httptest.Server
	t *testing.T

	mu       sync.Mutex
	codes    map[string]url.Values // of the authorization request
	tokens   map[string]url.Values
	asked    []string // the scope of every authorization request
	down     bool
	revoked  map[string]bool
	inspects int
}

func newAuthorizationServer(t *testing.T) *authorizationServer {
	s := &authorizationServer{t: t, codes: map[string]url.Values{}, tokens: map[string]url.Values{}, revoked: map[string]bool{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/oauth-authorization-server", s.metadata)
	mux.HandleFunc("GET /authorize", s.authorize)
	mux.HandleFunc("POST /token", s.token)
	mux.HandleFunc("POST /introspect", s.introspect)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func (s *authorizationServer) metadata(w http.ResponseWriter, r *http.Request) {
	reply(w, map[string]any{
		"issuer": s.URL, "authorization_endpoint": s.URL + "/authorize", "token_endpoint": s.URL + "/token", "jwks_uri": s.URL + "/jwks",
		"response_types_supported": []string{"code"}, "code_challenge_methods_supported": []string{"S256"}, "token_endpoint_auth_methods_supported": []string{"client_secret_post"},
	})
}

func (s *authorizationServer) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if q.Get("client_id") != "desktop" || q.Get("code_challenge_method") != "S256" || q.Get("resource") == "" {
		s.t.Errorf("authorization request: %v", q)
	}
	code := rand.Text()
	scopes := strings.Fields(q.Get("scope")) // a client may write them in any order
	slices.Sort(scopes)
	s.mu.Lock()
	s.codes[code] = q
	s.asked = append(s.asked, strings.Join(scopes, " "))
	s.mu.Unlock()
	http.Redirect(w, r, q.Get("redirect_uri")+"?"+url.Values{"code": {code}, "state": {q.Get("state")}}.Encode(), http.StatusFound)
}

func (s *authorizationServer) token(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q := s.codes[r.FormValue("code")]
	delete(s.codes, r.FormValue("code"))
	sum := sha256.Sum256([]byte(r.FormValue("code_verifier")))
	if q == nil || q.Get("code_challenge") != base64.RawURLEncoding.EncodeToString(sum[:]) || r.FormValue("resource") != q.Get("resource") {
		s.t.Errorf("token request: %v", r.Form)
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	token := rand.Text()
	s.tokens[token] = q
	reply(w, map[string]any{"access_token": token, "token_type": "Bearer", "expires_in": 3600, "scope": q.Get("scope")})
}

func (s *authorizationServer) introspect(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inspects++
	if id, secret, _ := r.BasicAuth(); s.down || id != "api" || secret != "api-secret" {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	q, token := s.tokens[r.FormValue("token")], r.FormValue("token")
	if q == nil || s.revoked[token] {
		reply(w, map[string]any{"active": false})
		return
	}
	reply(w, map[string]any{"active": true, "sub": "alice", "client_id": q.Get("client_id"), "aud": q.Get("resource"), "scope": q.Get("scope"), "iss": s.URL, "exp": time.Now().Add(time.Hour).Unix()})
}

// do changes the server, or looks at it.
func (s *authorizationServer) do(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// world is an MCP server behind a Gate, and its authorization server.
type world struct {
	as       *authorizationServer
	server   *httptest.Server
	endpoint string

	mu       sync.Mutex
	statuses []int // of the answers to POST
	fetched  []string
}

// newWorld makes a server whose every request needs files:read, and whose tool write needs files:write. change may change the Gate.
func newWorld(t *testing.T, change func(*auth.Config)) *world {
	x := &world{as: newAuthorizationServer(t)}
	mux := http.NewServeMux()
	x.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/.well-known/") {
			x.mu.Lock()
			x.fetched = append(x.fetched, r.URL.Path)
			x.mu.Unlock()
		}
		if r.Method == http.MethodPost {
			w = &watched{ResponseWriter: w, world: x}
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(x.server.Close)
	x.endpoint = x.server.URL + "/public/mcp"

	resource, err := mcp.New(mcp.Config{Resource: x.endpoint, AuthorizationServers: []string{x.as.URL}, Scopes: []string{"files:read"}, Name: "files", InsecureHTTP: true})
	if err != nil {
		t.Fatal(err)
	}
	tokens, err := introspect.New(introspect.Config{
		Endpoint: x.as.URL + "/introspect", InsecureHTTP: true, ClientID: "api", ClientSecret: "api-secret", Issuer: x.as.URL, Audiences: []string{resource.URL()}, TTL: -1,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tokens.Close(context.Background()) })
	cfg := auth.Config{
		Authenticator: tokens, Scopes: []string{"files:read"}, ResourceMetadata: resource.MetadataURL(), Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
	}
	if change != nil {
		change(&cfg)
	}
	gate, err := auth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	operations, err := mcp.NewOperations(mcp.OperationsConfig{Tools: map[string]string{"read": "", "write": "files:write"}})
	if err != nil {
		t.Fatal(err)
	}
	server := sdk.NewServer(&sdk.Implementation{Name: "files", Version: "1"}, nil)
	for _, name := range []string{"read", "write", "hidden"} {
		sdk.AddTool(server, &sdk.Tool{Name: name}, func(ctx context.Context, r *sdk.CallToolRequest, _ struct{}) (*sdk.CallToolResult, any, error) {
			return &sdk.CallToolResult{Content: []sdk.Content{&sdk.TextContent{Text: r.Extra.TokenInfo.UserID}}}, nil, nil
		})
	}
	handler := sdk.NewStreamableHTTPHandler(func(*http.Request) *sdk.Server { return server }, &sdk.StreamableHTTPOptions{JSONResponse: true})
	// The SDK's own words for the caller, which it ties sessions to. Who the caller is was decided by the Gate.
	known := sdkauth.RequireBearerToken(func(ctx context.Context, _ string, r *http.Request) (*sdkauth.TokenInfo, error) {
		p, ok := auth.FromContext(r.Context())
		if !ok {
			return nil, sdkauth.ErrInvalidToken
		}
		return &sdkauth.TokenInfo{UserID: p.Issuer + " " + p.Subject, Scopes: p.Scopes, Expiration: p.ExpiresAt}, nil
	}, nil)
	mux.Handle(resource.Pattern(), resource)
	mux.Handle("/public/mcp", gate.Handler(gate.BodyScopesHandler(operations.Needs, known(handler))))
	return x
}

// watched notes the status of an answer.
type watched struct {
	http.ResponseWriter
	world *world
	wrote bool
}

func (w *watched) WriteHeader(status int) {
	if !w.wrote {
		w.wrote = true
		w.world.mu.Lock()
		w.world.statuses = append(w.world.statuses, status)
		w.world.mu.Unlock()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watched) Write(b []byte) (int, error) {
	if !w.wrote {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

func (w *watched) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// take returns the statuses since the last call.
func (x *world) take() []int {
	x.mu.Lock()
	defer x.mu.Unlock()
	s := slices.Clone(x.statuses)
	x.statuses = nil
	return s
}

// scopes returns the scopes that were asked for, one entry for each authorization.
func (x *world) scopes() (asked []string) {
	x.as.do(func() { asked = slices.Clone(x.as.asked) })
	return asked
}

// connect starts a session of the official client, whose user follows redirects at once.
func (x *world) connect(t *testing.T) (*sdk.ClientSession, error) {
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	handler, err := sdkauth.NewAuthorizationCodeHandler(&sdkauth.AuthorizationCodeHandlerConfig{
		PreregisteredClient: &oauthex.ClientCredentials{ClientID: "desktop"},
		RedirectURL:         "http://localhost:3000/callback",
		AuthorizationCodeFetcher: func(ctx context.Context, args *sdkauth.AuthorizationArgs) (*sdkauth.AuthorizationResult, error) {
			resp, err := browser.Get(args.URL)
			if err != nil {
				return nil, err
			}
			resp.Body.Close()
			back, err := resp.Location()
			if err != nil {
				return nil, errors.Join(errors.New("no redirect"), err)
			}
			return &sdkauth.AuthorizationResult{Code: back.Query().Get("code"), State: back.Query().Get("state")}, nil
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	client := sdk.NewClient(&sdk.Implementation{Name: "desktop", Version: "1"}, nil)
	session, err := client.Connect(t.Context(), &sdk.StreamableClientTransport{Endpoint: x.endpoint, OAuthHandler: handler, MaxRetries: -1, DisableStandaloneSSE: true}, nil)
	if err == nil {
		t.Cleanup(func() { session.Close() })
	}
	return session, err
}

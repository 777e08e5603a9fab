package mcp

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

// wellKnown is the path of RFC 9728 section 3.
const wellKnown = "/.well-known/oauth-protected-resource"

// Config configures a [Resource].
type Config struct {
	// Resource is the identifier of the API: the https URL that clients call, exactly as they are told it, because they refuse a document
	// that names another (RFC 9728 section 3.3). Scheme and host in lower case, no query, no fragment. Required. Without a slash at
	// its end, unless that makes a difference to the API.
	Resource string
	// AuthorizationServers are the issuer identifiers (RFC 8414) of who may issue tokens for the API, https URLs. At least one.
	AuthorizationServers []string
	// Scopes are those a client may want for ordinary use (scopes_supported). A client that is not told better asks for all of them;
	// so leave out what only step-up should bring.
	Scopes []string
	// Name is what to call the API when its user is asked for consent; empty for none.
	Name string
	// Documentation, Policy and Terms are https URLs of pages for developers, of how data may be used, and of the terms of service. Empty
	// for none.
	Documentation, Policy, Terms string
	// DPoPAlgorithms are the algorithms of DPoP proofs that package pop was configured with; empty when it is not used. DPoPRequired
	// says that every token must be bound to a key.
	DPoPAlgorithms []string
	DPoPRequired   bool
	// CertificateBound says that tokens bound to client certificates (RFC 8705) are understood.
	CertificateBound bool
	// InsecureHTTP allows http URLs on loopback addresses, for tests.
	InsecureHTTP bool
	// MaxAge is how long clients may keep the document. Zero means 1 hour; negative means not at all.
	MaxAge time.Duration
}

// document is RFC 9728 section 2.
type document struct {
	Resource             string   `json:"resource"`
	AuthorizationServers []string `json:"authorization_servers"`
	Scopes               []string `json:"scopes_supported,omitempty"`
	BearerMethods        []string `json:"bearer_methods_supported"`
	Name                 string   `json:"resource_name,omitempty"`
	Documentation        string   `json:"resource_documentation,omitempty"`
	Policy               string   `json:"resource_policy_uri,omitempty"`
	Terms                string   `json:"resource_tos_uri,omitempty"`
	CertificateBound     bool     `json:"tls_client_certificate_bound_access_tokens,omitempty"`
	DPoPAlgorithms       []string `json:"dpop_signing_alg_values_supported,omitempty"`
	DPoPRequired         bool     `json:"dpop_bound_access_tokens_required,omitempty"`
}

// Resource serves the metadata of one protected resource. It is immutable and safe for concurrent use. The zero Resource, and a nil one,
// answer 404.
type Resource struct {
	resource string
	origin   string
	path     string // of the document
	body     []byte
	cache    string
}

// New returns a Resource. It reports everything that is wrong with cfg at once.
func New(cfg Config) (*Resource, error) {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("mcp: Config."+format, args...)) }
	check := func(field, s string) *url.URL {
		u, err := checkURL(s, cfg.InsecureHTTP)
		if err != nil {
			bad("%s %q %w", field, s, err)
		}
		return u
	}
	u := check("Resource", cfg.Resource)
	if u != nil && strings.ContainsAny(u.Path, "{}") {
		bad("Resource %q has braces in its path", cfg.Resource)
	}
	if len(cfg.AuthorizationServers) == 0 {
		bad("AuthorizationServers is empty: a client would not know where to get a token")
	}
	for i, s := range cfg.AuthorizationServers {
		check(fmt.Sprintf("AuthorizationServers[%d]", i), s)
		if slices.Contains(cfg.AuthorizationServers[:i], s) {
			bad("AuthorizationServers[%d] %q is there twice", i, s)
		}
	}
	for _, s := range cfg.Scopes {
		if !auth.ValidScope(s) {
			bad("Scopes: %q is not a scope-token (RFC 6749 section 3.3)", s)
		}
	}
	for _, f := range [...]struct{ name, value string }{{"Documentation", cfg.Documentation}, {"Policy", cfg.Policy}, {"Terms", cfg.Terms}} {
		if f.value != "" {
			check(f.name, f.value)
		}
	}
	if strings.ContainsFunc(cfg.Name, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		bad("Name %q has control characters", cfg.Name)
	}
	if cfg.DPoPRequired && len(cfg.DPoPAlgorithms) == 0 {
		bad("DPoPRequired is set without DPoPAlgorithms: a client would not know how to sign")
	}
	for _, a := range cfg.DPoPAlgorithms {
		if a == "none" || strings.HasPrefix(a, "HS") || !auth.ValidScope(a) {
			bad("DPoPAlgorithms: %q is no algorithm for proofs (RFC 9449 section 4.3)", a)
		}
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	body, err := json.Marshal(document{
		Resource: cfg.Resource, AuthorizationServers: cfg.AuthorizationServers, Scopes: cfg.Scopes, BearerMethods: []string{"header"}, Name: cfg.Name,
		Documentation: cfg.Documentation, Policy: cfg.Policy, Terms: cfg.Terms, CertificateBound: cfg.CertificateBound,
		DPoPAlgorithms: cfg.DPoPAlgorithms, DPoPRequired: cfg.DPoPRequired,
	})
	if err != nil {
		return nil, fmt.Errorf("mcp: %w", err)
	}
	m := &Resource{resource: cfg.Resource, origin: u.Scheme + "://" + u.Host, path: wellKnown, body: body, cache: "no-store"}
	if p := u.EscapedPath(); p != "/" { // section 3.1: a slash alone is removed before the path is inserted
		m.path += p
	}
	switch {
	case cfg.MaxAge == 0:
		m.cache = "public, max-age=3600"
	case cfg.MaxAge > 0:
		m.cache = "public, max-age=" + strconv.FormatInt(int64(cfg.MaxAge/time.Second), 10)
	}
	return m, nil
}

// checkURL returns s as a URL that may stand in the document.
func checkURL(s string, insecure bool) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.ForceQuery || strings.Contains(s, "#") ||
		strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("is not an absolute URL of printable ASCII without user, query and fragment")
	case !strings.HasPrefix(s, strings.ToLower(u.Scheme+"://"+u.Host)):
		return nil, errors.New("has capitals in its scheme or host, which clients compare letter by letter")
	case u.Scheme == "https":
		return u, nil
	case u.Scheme == "http" && insecure:
		if a, err := netip.ParseAddr(u.Hostname()); u.Hostname() == "localhost" || err == nil && a.IsLoopback() {
			return u, nil
		}
	}
	return nil, errors.New("is not https (http: only with InsecureHTTP, on a loopback address)")
}

// URL returns the identifier of the resource: the audience of its tokens.
func (m *Resource) URL() string {
	if m == nil {
		return ""
	}
	return m.resource
}

// MetadataURL returns where clients find the document: for auth.Config.ResourceMetadata.
func (m *Resource) MetadataURL() string {
	if m == nil {
		return ""
	}
	return m.origin + m.path
}

// Pattern returns the path of the document as a pattern of [http.ServeMux]. It has no method, so that preflights get there too. For
// a resource at the root of its host it is the bare well-known path.
func (m *Resource) Pattern() string {
	if m == nil || m.path == "" {
		return wellKnown
	}
	if strings.HasSuffix(m.path, "/") {
		return m.path + "{$}"
	}
	return m.path
}

// ServeHTTP answers GET and HEAD with the document, and OPTIONS with what a browser asks before it lets a page read it: anybody may,
// there is nothing secret in it. Mount it at [Resource.Pattern], outside the Gate: who reads it has no token yet.
func (m *Resource) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if m == nil || m.body == nil {
		refuse(w, r, &deny.Denial{Code: deny.NotFound})
		return
	}
	h := w.Header()
	h.Set("Access-Control-Allow-Origin", "*")
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		h.Set("Content-Type", "application/json")
		h.Set("Content-Length", strconv.Itoa(len(m.body)))
		h.Set("Cache-Control", m.cache)
		h.Set("X-Content-Type-Options", "nosniff")
		if r.Method == http.MethodGet {
			w.Write(m.body)
		}
	case http.MethodOptions:
		h.Set("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
		h.Set("Access-Control-Allow-Headers", "*") // clients send MCP-Protocol-Version
		h.Set("Access-Control-Max-Age", "3600")
		w.WriteHeader(http.StatusNoContent)
	default:
		refuse(w, r, &deny.Denial{Code: deny.MethodNotAllowed, Header: http.Header{"Allow": {"GET, HEAD, OPTIONS"}}})
	}
}

// Handler returns a handler that answers requests for the document and leaves all others to next, for servers without a mux. It panics
// when next is nil.
func (m *Resource) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("mcp: Resource.Handler: next is nil")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if m != nil && m.path != "" && r.URL.EscapedPath() == m.path {
			m.ServeHTTP(w, r)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func refuse(w http.ResponseWriter, r *http.Request, d *deny.Denial) {
	x, w, r := exchange.Enter(w, r)
	defer x.Leave()
	d.Stage = "auth"
	x.Refuse(w, r, d)
}

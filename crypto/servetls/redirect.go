package servetls

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/mantlet-go/mantlet/internal/deny"
)

var (
	// ErrHost is returned by [Redirect.Target] for a host that is not in RedirectConfig.Hosts; the reply is 421 (RFC 9110 section 15.5.20).
	ErrHost = errors.New("servetls: the host is not one to redirect to")
	// ErrCredentials is returned by [Redirect.Target] for a request that carries credentials: in a header, a parameter of its query, or
	// before the host of its URL. The reply is 403.
	ErrCredentials = errors.New("servetls: credentials were sent in clear")
	// ErrForm is returned by [Redirect.Target] for a request without a path that could be redirected (CONNECT, OPTIONS *); the reply is
	// 400.
	ErrForm = errors.New("servetls: the request has no path to redirect")
)

// RedirectConfig says what a [Redirect] sends where.
type RedirectConfig struct {
	// Hosts are the names, or IP addresses, that this server answers for, without ports: lower-case ASCII (international names in
	// their xn-- form), no wildcards. Required: who redirected to whatever host a request names would send visitors anywhere.
	Hosts []string
	// Port is the port of HTTPS if it is not 443; zero means 443.
	Port int
	// ACME answers the HTTP-01 challenge of RFC 8555, GET and HEAD of /.well-known/acme-challenge/<token>, for any host, since names are
	// validated before they are served. With autocert: Manager.HTTPHandler(nil). Nil means that these are redirected too.
	ACME http.Handler
	// CredentialHeaders are headers in which your clients send keys, besides Authorization, Proxy-Authorization, X-Api-Key, Api-Key,
	// X-Goog-Api-Key and the keys that OpenAI's and Kubernetes' clients put into Sec-WebSocket-Protocol. Case does not count.
	CredentialHeaders []string
	// CredentialParams are query parameters in which they do, besides key, api_key, api-key, apikey, access_token and subscription-key.
	// Case does not count.
	CredentialParams []string
	// InsecureRedirectCredentials redirects requests with credentials too. Zero refuses them: the key has crossed the network in clear,
	// and a redirect would make it work, so that nobody notices and it does so every day.
	InsecureRedirectCredentials bool
}

// A Redirect is the handler of the plain HTTP port, which sends clients to HTTPS with a 308 (RFC 9110 section 15.4.9: they repeat method and
// body). It is immutable and safe for concurrent use. The zero Redirect and a nil one redirect nobody.
//
// A request that carries a credential is refused with [ErrCredentials] and not redirected, unless
// [RedirectConfig.InsecureRedirectCredentials] is set. What counts as one:
//
//   - a header Authorization, Proxy-Authorization, X-Api-Key, Api-Key or X-Goog-Api-Key, whatever it holds, or one of
//     [RedirectConfig.CredentialHeaders];
//   - a parameter of the query named key, api_key, api-key, apikey, access_token or subscription-key, or one of
//     [RedirectConfig.CredentialParams];
//   - in Sec-WebSocket-Protocol, a protocol that begins with openai-insecure-api-key. or base64url.bearer.authorization.k8s.io.;
//   - a user before the host in the URL.
//
// A cookie is none. Browsers send those that lack Secure without being asked, so refusing them would lock out every visitor who types the
// name of a host he has been to before, and he could do nothing about it. Set Secure on yours: then they never come here, and HSTS ends the
// visits themselves. For a port that no browser comes to put "Cookie" into CredentialHeaders.
type Redirect struct {
	hosts map[string]string // what follows https:// by name
	acme  http.Handler
	open  bool

	headers, params []string
}

// NewRedirect makes a Redirect. The error lists everything that is wrong with cfg.
func NewRedirect(cfg RedirectConfig) (*Redirect, error) {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf("servetls: "+format, args...)) }
	if len(cfg.Hosts) == 0 {
		refuse("RedirectConfig.Hosts is empty")
	}
	if cfg.Port < 0 || cfg.Port > 65535 {
		refuse("RedirectConfig.Port %d is no port", cfg.Port)
	}
	rd := &Redirect{hosts: make(map[string]string, len(cfg.Hosts)), acme: cfg.ACME, open: cfg.InsecureRedirectCredentials}
	rd.headers, rd.params = slices.Clone(credentials), slices.Clone(credentialParams)
	for i, h := range cfg.CredentialHeaders {
		if !token(h) {
			refuse("RedirectConfig.CredentialHeaders[%d] %q is no name of a header", i, h)
		}
		rd.headers = append(rd.headers, http.CanonicalHeaderKey(h))
	}
	for i, p := range cfg.CredentialParams {
		if p == "" {
			refuse("RedirectConfig.CredentialParams[%d] is empty", i)
		}
		rd.params = append(rd.params, strings.ToLower(p))
	}
	for i, h := range cfg.Hosts {
		name, ok := hostname(h)
		if !ok || name != h && "["+name+"]" != h {
			refuse("RedirectConfig.Hosts[%d] %q is no host in lower case without a port", i, h)
			continue
		}
		to := name
		if strings.Contains(name, ":") {
			to = "[" + name + "]"
		}
		if cfg.Port != 0 && cfg.Port != 443 {
			to = net.JoinHostPort(name, strconv.Itoa(cfg.Port))
		}
		rd.hosts[name] = to
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return rd, nil
}

// hostname returns the name or address in a Host header, in lower case, without port, brackets or final dot.
func hostname(hostport string) (name string, ok bool) {
	name = hostport
	bracketed := strings.HasPrefix(name, "[")
	if h, p, err := net.SplitHostPort(name); err == nil {
		if _, err := strconv.ParseUint(p, 10, 16); err != nil {
			return "", false
		}
		name = h
	} else if bracketed {
		name = strings.TrimSuffix(name[1:], "]")
	}
	if bracketed || strings.Contains(name, ":") {
		addr, err := netip.ParseAddr(name)
		return addr.String(), err == nil && addr.Is6() && addr.Zone() == ""
	}
	name = strings.TrimSuffix(strings.ToLower(name), ".")
	if name == "" || len(name) > 253 {
		return "", false
	}
	for label := range strings.SplitSeq(name, ".") {
		if label == "" || len(label) > 63 {
			return "", false
		}
		for _, c := range []byte(label) {
			if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
				return "", false
			}
		}
	}
	return name, true
}

// credentials are the headers in which clients of inference services send keys. Cookies are not among them: see [Redirect].
var credentials = []string{"Authorization", "Proxy-Authorization", "X-Api-Key", "Api-Key", "X-Goog-Api-Key"}

// credentialParams are the query parameters in which they do: those of Google, of Azure, and of RFC 6750 section 2.3.
var credentialParams = []string{"key", "api_key", "api-key", "apikey", "access_token", "subscription-key"}

// credentialProtocols is how subprotocols of WebSocket begin that are keys: those of OpenAI and of Kubernetes, for clients in browsers, which
// cannot set a header.
var credentialProtocols = []string{"openai-insecure-api-key.", "base64url.bearer.authorization.k8s.io."}

// carries reports whether r has a credential.
func (rd *Redirect) carries(r *http.Request) bool {
	if r.URL.User != nil {
		return true
	}
	for _, h := range rd.headers {
		if len(r.Header[h]) > 0 {
			return true
		}
	}
	for _, v := range r.Header["Sec-Websocket-Protocol"] {
		for p := range strings.SplitSeq(strings.ToLower(v), ",") {
			p = strings.TrimSpace(p)
			if slices.ContainsFunc(credentialProtocols, func(begin string) bool { return strings.HasPrefix(p, begin) }) {
				return true
			}
		}
	}
	// Some servers take a semicolon for a separator too.
	for p := range strings.FieldsFuncSeq(r.URL.RawQuery, func(c rune) bool { return c == '&' || c == ';' }) {
		name, _, _ := strings.Cut(p, "=")
		if plain, err := url.QueryUnescape(name); err == nil {
			name = plain
		}
		if slices.Contains(rd.params, strings.ToLower(name)) {
			return true
		}
	}
	return false
}

// token reports whether s could be the name of a header (RFC 9110 section 5.6.2).
func token(s string) bool {
	for _, c := range []byte(s) {
		if (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}

// Target returns where r is redirected to: always https://, then one of RedirectConfig.Hosts, then path and query of r as they came. The
// error is ErrHost, ErrCredentials or ErrForm.
func (rd *Redirect) Target(r *http.Request) (string, error) {
	if rd == nil {
		return "", ErrHost
	}
	name, ok := hostname(r.Host)
	to, known := rd.hosts[name]
	if !ok || !known {
		return "", ErrHost
	}
	if !rd.open && rd.carries(r) {
		return "", ErrCredentials
	}
	path := r.URL.EscapedPath()
	if path == "" && r.URL.Host != "" && r.Method != http.MethodConnect {
		path = "/" // GET http://host
	}
	// Without the slash the path would continue the host's name.
	if !strings.HasPrefix(path, "/") || r.URL.Opaque != "" || r.Method == http.MethodConnect {
		return "", ErrForm
	}
	target := "https://" + to + path
	if r.URL.RawQuery != "" || r.URL.ForceQuery {
		target += "?" + r.URL.RawQuery
	}
	return target, nil
}

// ServeHTTP implements [http.Handler].
func (rd *Redirect) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if rd != nil && rd.acme != nil && challenge(r) {
		rd.acme.ServeHTTP(w, r)
		return
	}
	target, err := rd.Target(r)
	if err == nil {
		http.Redirect(w, r, target, http.StatusPermanentRedirect)
		return
	}
	d := &deny.Denial{Code: deny.RequestRefused, Stage: "servetls", Cause: err}
	switch err {
	case ErrHost:
		d.HTTPStatus, d.Message = http.StatusMisdirectedRequest, "This server does not answer for that host."
	case ErrCredentials:
		d.HTTPStatus, d.Message = http.StatusForbidden, "Credentials were sent without encryption. Replace them, and use https."
	default:
		d.Code = deny.InvalidRequest
	}
	deny.Write(w, r, d, deny.Auto, "")
}

// challenge reports whether r asks for an answer to a challenge: RFC 8555 section 8.3, with a token in base64url.
func challenge(r *http.Request) bool {
	token, ok := strings.CutPrefix(r.URL.Path, "/.well-known/acme-challenge/")
	if !ok || token == "" || r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	for _, c := range []byte(token) {
		if c != '-' && c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
			return false
		}
	}
	return true
}

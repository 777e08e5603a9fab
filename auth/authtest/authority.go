package authtest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"io"
	"math/big"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth/jwtauth"
	"github.com/mantlet-go/mantlet/internal/memhttp"
)

// Authority is an issuer that publishes keys, for tests of what fetches them. It answers "/jwks.json" with a JWK Set, an ETag
// and 304 where that fits, and "/.well-known/openid-configuration" with a discovery document, and counts. What it answers can be
// changed at any time: [Authority.Publish] rotates keys, [Authority.Answer] makes it fail in any way an http.Handler can.
//
// It is reached through [Authority.Transport], without a network and whatever the host in the URL, so it also works in a
// testing/synctest bubble. It is an http.Handler too, for those who want a listener. Safe for concurrent use.
type Authority struct {
	// Name is the issuer's name, an https URL.
	Name string

	tb     testing.TB
	server *memhttp.Server

	mu           sync.Mutex
	set          string
	cacheControl string
	answer       http.Handler
	fetches      int
	discoveries  int
	unchanged    int
}

// NewAuthority returns an issuer that publishes the keys of signers. It is gone when the test ends.
func NewAuthority(tb testing.TB, name string, signers ...*Signer) *Authority {
	tb.Helper()
	a := &Authority{Name: strings.TrimSuffix(name, "/"), tb: tb}
	a.Publish(signers...)
	a.server = memhttp.New(tb, a)
	return a
}

// Publish replaces the set by the keys of signers.
func (a *Authority) Publish(signers ...*Signer) {
	a.tb.Helper()
	keys := make([]map[string]any, 0, len(signers))
	for _, s := range signers {
		keys = append(keys, s.JWK())
	}
	b, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		a.tb.Fatal(err)
	}
	a.PublishJSON(string(b))
}

// PublishJSON replaces the set by a text that need not be one.
func (a *Authority) PublishJSON(set string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.set = set
}

// CacheControl is sent with every set from now on; empty means no such header.
func (a *Authority) CacheControl(value string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cacheControl = value
}

// Answer makes h answer the requests for the set from now on; a nil h lets the authority do so again. See [Status] and [Hang].
func (a *Authority) Answer(h http.Handler) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = h
}

// Fetches is how often the set was asked for.
func (a *Authority) Fetches() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.fetches
}

// Discoveries is how often the discovery document was asked for.
func (a *Authority) Discoveries() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.discoveries
}

// Unchanged is how often the answer was 304 Not Modified.
func (a *Authority) Unchanged() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.unchanged
}

// ServeHTTP implements [http.Handler].
func (a *Authority) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		a.mu.Lock()
		a.discoveries++
		a.mu.Unlock()
		_ = json.NewEncoder(w).Encode(map[string]any{"issuer": a.Name, "jwks_uri": a.JWKS()})
		return
	case "/jwks.json":
	default:
		http.NotFound(w, r)
		return
	}
	a.mu.Lock()
	a.fetches++
	set, cacheControl, answer := a.set, a.cacheControl, a.answer
	sum := sha256.Sum256([]byte(set))
	etag := `"` + hex.EncodeToString(sum[:8]) + `"`
	unchanged := answer == nil && r.Header.Get("If-None-Match") == etag
	if unchanged {
		a.unchanged++
	}
	a.mu.Unlock()
	if answer != nil {
		answer.ServeHTTP(w, r)
		return
	}
	w.Header().Set("ETag", etag)
	if cacheControl != "" {
		w.Header().Set("Cache-Control", cacheControl)
	}
	if unchanged {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	w.Header().Set("Content-Type", "application/jwk-set+json")
	_, _ = io.WriteString(w, set)
}

// JWKS is the URL of the set.
func (a *Authority) JWKS() string { return a.Name + "/jwks.json" }

// Issuer returns the configuration of an issuer whose keys are fetched from a. A caller who wants discovery empties JWKS and
// sets Discovery.
func (a *Authority) Issuer(audience string, algorithms ...string) jwtauth.Issuer {
	return jwtauth.Issuer{
		Issuer: a.Name, Audiences: []string{audience}, Algorithms: algorithms, JWKS: a.JWKS(), Fetch: jwtauth.Fetch{Transport: a.Transport()},
	}
}

// Transport brings every request to a, http and https, whatever the host.
func (a *Authority) Transport() http.RoundTripper {
	return authorityTransport{a.server.Client().Transport}
}

type authorityTransport struct{ inner http.RoundTripper }

func (t authorityTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	c := r.Clone(r.Context())
	c.URL.Scheme = "http" // the server in memory has no certificate
	return t.inner.RoundTrip(c)
}

// Status answers with this status, and nothing else.
func Status(code int) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) })
}

// Text answers 200 with this body.
func Text(body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, body) })
}

// Hang answers nothing until the client has gone.
func Hang() http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
}

// Drip answers with one byte of white space every so often, for ever: a server that is never silent and never done.
func Drip(every time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for {
			if _, err := io.WriteString(w, " "); err != nil {
				return
			}
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(every):
			case <-r.Context().Done():
				return
			}
		}
	})
}

// JWK returns the public key as a JSON Web Key with kid, alg and use. An HMAC secret has none: it fails the test.
func (s *Signer) JWK() map[string]any {
	s.tb.Helper()
	b64 := base64.RawURLEncoding.EncodeToString
	jwk := map[string]any{"kid": s.KeyID, "alg": s.Algorithm, "use": "sig"}
	switch k := s.public.(type) {
	case *rsa.PublicKey:
		jwk["kty"], jwk["n"], jwk["e"] = "RSA", b64(k.N.Bytes()), b64(big.NewInt(int64(k.E)).Bytes())
	case *ecdsa.PublicKey:
		raw, err := k.Bytes()
		if err != nil {
			s.tb.Fatal(err)
		}
		half := len(raw) / 2 // behind the 4 that says "uncompressed"
		jwk["kty"], jwk["crv"], jwk["x"], jwk["y"] = "EC", k.Params().Name, b64(raw[1:1+half]), b64(raw[1+half:])
	case ed25519.PublicKey:
		jwk["kty"], jwk["crv"], jwk["x"] = "OKP", "Ed25519", b64(k)
	default:
		s.tb.Fatalf("authtest: a key of %s is not published", s.Algorithm)
	}
	return jwk
}

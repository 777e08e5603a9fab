package authtest

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/mantlet-go/mantlet/auth/jwtauth"
)

// Signer signs tokens with one key. Its fields are read only.
type Signer struct {
	// Algorithm is the name of RFC 7518 section 3.1, or "EdDSA".
	Algorithm string
	// KeyID is the kid of the tokens of [Signer.Token].
	KeyID string

	tb      testing.TB
	method  jwt.SigningMethod
	private any
	public  any
}

// rsaKey makes one RSA key per process: making one takes as long as a few hundred tests.
var rsaKey = sync.OnceValues(func() (*rsa.PrivateKey, error) { return rsa.GenerateKey(rand.Reader, 2048) })

// NewSigner returns a signer for one of the algorithms of jwtauth, with a fresh key (RSA: one key per process) and a fresh
// key id.
func NewSigner(tb testing.TB, algorithm string) *Signer {
	tb.Helper()
	s := &Signer{Algorithm: algorithm, KeyID: "test-" + rand.Text()[:8], tb: tb, method: jwt.GetSigningMethod(algorithm)}
	if s.method == nil || algorithm == "none" {
		tb.Fatalf("authtest: no algorithm %q", algorithm)
	}
	var err error
	switch algorithm[:2] {
	case "HS":
		k := make([]byte, 64)
		rand.Read(k)
		s.private, s.public = k, k
	case "RS", "PS":
		var k *rsa.PrivateKey
		if k, err = rsaKey(); err == nil {
			s.private, s.public = k, &k.PublicKey
		}
	case "ES":
		curve := map[string]elliptic.Curve{"ES256": elliptic.P256(), "ES384": elliptic.P384(), "ES512": elliptic.P521()}[algorithm]
		var k *ecdsa.PrivateKey
		if k, err = ecdsa.GenerateKey(curve, rand.Reader); err == nil {
			s.private, s.public = k, &k.PublicKey
		}
	default:
		s.public, s.private, err = ed25519Key()
	}
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

func ed25519Key() (public, private any, err error) {
	pub, priv, err := ed25519.GenerateKey(rand.Reader)
	return pub, priv, err
}

// Key returns the verification key as a verifier is configured with it.
func (s *Signer) Key() jwtauth.Key {
	return jwtauth.Key{ID: s.KeyID, Algorithm: s.Algorithm, Key: s.public}
}

// PublicKey returns the verification key; the secret itself for HMAC.
func (s *Signer) PublicKey() crypto.PublicKey { return s.public }

// Issuer returns the configuration of an issuer that has this signer's key and no other.
func (s *Signer) Issuer(name, audience string) jwtauth.Issuer {
	return jwtauth.Issuer{Issuer: name, Audiences: []string{audience}, Algorithms: []string{s.Algorithm}, Keys: []jwtauth.Key{s.Key()}}
}

// Claims returns the claims of a good access token: subject "alice", client "alice-app", scope "chat:write", ten minutes to
// live.
func Claims(issuer, audience string, now time.Time) map[string]any {
	return map[string]any{
		"iss": issuer, "aud": audience, "sub": "alice", "client_id": "alice-app", "scope": "chat:write",
		"iat": now.Unix(), "exp": now.Add(10 * time.Minute).Unix(),
	}
}

// With returns a copy of claims with one of them set; a nil value removes it.
func With(claims map[string]any, name string, value any) map[string]any {
	c := maps.Clone(claims)
	if value == nil {
		delete(c, name)
	} else {
		c[name] = value
	}
	return c
}

// Header returns the header of [Signer.Token].
func (s *Signer) Header() map[string]any {
	return map[string]any{"alg": s.Algorithm, "kid": s.KeyID, "typ": "at+jwt"}
}

// Token returns a signed access token with these claims.
func (s *Signer) Token(claims map[string]any) string { return s.Sign(s.Header(), claims) }

// Sign returns a token with this header and these claims, signed with the signer's key whatever the header says.
func (s *Signer) Sign(header, claims map[string]any) string {
	return s.SignJSON(s.json(header), s.json(claims))
}

// SignJSON returns a token of exactly these texts, signed with the signer's key.
func (s *Signer) SignJSON(header, claims string) string {
	return s.SignSegments(encode(header), encode(claims))
}

// SignSegments returns a token of exactly these two segments, signed with the signer's key: the signature is good even where
// the segments are not.
func (s *Signer) SignSegments(header, claims string) string {
	sig, err := s.method.Sign(header+"."+claims, s.private)
	if err != nil {
		s.tb.Fatal(err)
	}
	return header + "." + claims + "." + base64.RawURLEncoding.EncodeToString(sig)
}

func (s *Signer) json(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		s.tb.Fatal(err)
	}
	return string(b)
}

func encode(s string) string { return base64.RawURLEncoding.EncodeToString([]byte(s)) }

// insert returns the JSON object with more members in front of its own, for names that a Go map cannot hold twice.
func insert(object, members string) string {
	return "{" + members + "," + strings.TrimPrefix(object, "{")
}

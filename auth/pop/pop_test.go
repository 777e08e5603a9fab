package pop_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/introspect"
	"github.com/mantlet-go/mantlet/auth/jwtauth"
	"github.com/mantlet-go/mantlet/auth/pop"
)

const origin = "https://api.example.com"

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// tokens is a verifier of tokens that knows a few by heart.
type tokens map[string]auth.Confirmation

func (t tokens) VerifyToken(_ context.Context, token string) (*auth.Principal, error) {
	if strings.HasPrefix(token, "acme_") {
		return nil, auth.ErrNoCredential // an API key is no token
	}
	c, ok := t[token]
	if !ok {
		return nil, &auth.Error{Code: auth.CodeInvalidToken, Err: auth.ErrInvalid}
	}
	return authtest.Principal(func(p *auth.Principal) { p.Method, p.Bound = auth.MethodJWT, c }), nil
}

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return b64(sum[:])
}

// client is who holds a key.
type client struct {
	*authtest.Holder
	jti atomic.Int64
}

func newClient(tb testing.TB, alg string) *client {
	return &client{Holder: authtest.NewHolder(tb, alg)}
}

func (c *client) head() map[string]any {
	return map[string]any{"typ": "dpop+jwt", "alg": c.Algorithm, "jwk": c.JWK}
}

func (c *client) claims(r *http.Request, token string, now time.Time) map[string]any {
	return map[string]any{"jti": fmt.Sprint("jti-", c.jti.Add(1)), "htm": r.Method, "htu": origin + r.URL.EscapedPath(), "iat": now.Unix(), "ath": hash(token)}
}

// request is one with a token and a proof made of header and claims as changed.
func (c *client) request(token string, now time.Time, change func(head, claims map[string]any)) *http.Request {
	r := authtest.Request("POST", "/v1/chat/completions", "{}")
	head, claims := c.head(), c.claims(r, token, now)
	if change != nil {
		change(head, claims)
	}
	r.Header.Set("Authorization", "DPoP "+token)
	r.Header.Set("DPoP", c.Sign(head, claims))
	return r
}

func verifier(tb testing.TB, cfg pop.Config) *pop.Verifier {
	tb.Helper()
	if cfg.URLs == nil && !cfg.Certificates {
		cfg.URLs = []string{origin}
	}
	v, err := pop.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	return v
}

// reasonOf is the error parameter that a challenge for err has.
func reasonOf(err error) string {
	var e *auth.Error
	if errors.As(err, &e) && e.ChallengeError != "" {
		return e.ChallengeError
	}
	return string(auth.CodeOf(err))
}

var every = []string{"ES256", "ES384", "ES512", "EdDSA", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512"}

func TestAProofOfEveryAlgorithmIsAcceptedIfItIsConfigured(t *testing.T) {
	for _, alg := range every {
		c := newClient(t, alg)
		known := tokens{"t": {JKT: c.Thumbprint()}}
		p, err := verifier(t, pop.Config{Tokens: known, Algorithms: every}).Authenticate(c.request("t", time.Now(), nil))
		if err != nil || p.Subject != "alice" || p.Bound.JKT != c.Thumbprint() {
			t.Errorf("%s: %v, %v", alg, p, err)
		}
		_, err = verifier(t, pop.Config{Tokens: known}).Authenticate(c.request("t", time.Now(), nil))
		if ok := alg == "ES256" || alg == "EdDSA"; (err == nil) != ok {
			t.Errorf("%s by default: %v", alg, err)
		}
	}
	c := newClient(t, "EdDSA") // RFC 9864 names it Ed25519
	v := verifier(t, pop.Config{Tokens: tokens{"t": {JKT: c.Thumbprint()}}, Algorithms: []string{"Ed25519"}})
	if _, err := v.Authenticate(c.request("t", time.Now(), func(h, _ map[string]any) { h["alg"] = "Ed25519" })); err != nil {
		t.Error(err)
	}
}

// The examples of RFC 9449 sections 6.1 and 7.1.
func TestTheProofOfRFC9449IsAccepted(t *testing.T) {
	const token = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
	const proof = "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5Ijoi" +
		"OVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1Ijoi" +
		"aHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NB" +
		"cWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
	const jkt = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
	v := verifier(t, pop.Config{Tokens: tokens{token: {JKT: jkt}}, URLs: []string{"https://resource.example.org"}})
	if got, jti, err := pop.Parse(v, proof); got != jkt || jti != "e1j3V_bKic8-LAEB" || err != nil {
		t.Fatalf("%q %q %v", got, jti, err)
	}
	r := authtest.Request("GET", "/protectedresource", "")
	r.Header.Set("DPoP", proof)
	if err := pop.WithProof(v, r, token, time.Unix(1562262618, 0)); err != nil {
		t.Error(err)
	}
	r.Header.Set("DPoP", proof[:len(proof)-2]+"jB")
	if err := pop.WithProof(v, r, token, time.Unix(1562262618, 0)); err == nil {
		t.Error("another signature is accepted")
	}
}

// RFC 7638 section 3.1, RFC 8037 appendix A.3, RFC 9449 section 6.1.
func TestThumbprintsAreThoseOfTheRFCs(t *testing.T) {
	for _, c := range []struct{ jwk, alg, want string }{
		{`{"kty":"RSA","n":"0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw","e":"AQAB","alg":"RS256","kid":"2011-04-29"}`,
			"RS256", "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"},
		{`{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`, "EdDSA", "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"},
		{`{"y":"9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA","kty":"EC","x":"l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs","crv":"P-256"}`, "ES256", "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"},
	} {
		if got, err := pop.Thumbprint(c.jwk, c.alg); got != c.want || err != nil {
			t.Errorf("%s: %q, %v", c.alg, got, err)
		}
	}
}

// AxisCommunications/go-dpop drops the leading zero bytes of coordinates: about one key in 128 fails there.
func TestACoordinateWithALeadingZeroByteKeepsIt(t *testing.T) {
	for range 100_000 {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := k.PublicKey.Bytes()
		if raw[1] != 0 {
			continue
		}
		x, y := b64(raw[1:33]), b64(raw[33:])
		got, err := pop.Thumbprint(`{"kty":"EC","crv":"P-256","x":"`+x+`","y":"`+y+`"}`, "ES256")
		if want := hash(`{"crv":"P-256","kty":"EC","x":"` + x + `","y":"` + y + `"}`); err != nil || got != want {
			t.Errorf("%q, %v", got, err)
		}
		if _, err := pop.Thumbprint(`{"kty":"EC","crv":"P-256","x":"`+b64(raw[2:33])+`","y":"`+y+`"}`, "ES256"); err == nil {
			t.Error("the same key has a second thumbprint")
		}
		return
	}
	t.Fatal("no such key in 100,000")
}

// Each change alone makes a good proof a bad one; RFC 9449 section 4.3 and section 3 of RFC 8725.
func TestAProofThatIsNotForThisRequestIsRefused(t *testing.T) {
	c, other := newClient(t, "ES256"), newClient(t, "ES256")
	v := verifier(t, pop.Config{Tokens: tokens{"t": {JKT: c.Thumbprint()}, "other": {JKT: other.Thumbprint()}, "free": {}}, Algorithms: []string{"ES256", "ES384", "RS256", "EdDSA"}})
	now := time.Now()
	head := func(name string, value any) func(h, _ map[string]any) {
		return func(h, _ map[string]any) { set(h, name, value) }
	}
	claim := func(name string, value any) func(_, c map[string]any) {
		return func(_, c map[string]any) { set(c, name, value) }
	}
	jwk := func(name string, value any) func(h, _ map[string]any) {
		return func(h, _ map[string]any) { h["jwk"] = authtest.With(c.JWK, name, value) }
	}
	for _, x := range []struct {
		name   string
		change func(h, c map[string]any)
	}{
		{"typ missing", head("typ", nil)}, {"typ JWT", head("typ", "JWT")}, {"typ at+jwt", head("typ", "at+jwt")}, {"typ in capitals", head("typ", "DPOP+JWT")}, {"typ a number", head("typ", 1)},
		{"alg missing", head("alg", nil)}, {"alg none", head("alg", "none")}, {"alg None", head("alg", "None")}, {"alg HS256", head("alg", "HS256")}, {"alg of another curve", head("alg", "ES384")},
		{"alg not configured", head("alg", "ES512")}, {"alg RSA with an EC key", head("alg", "RS256")}, {"alg EdDSA with an EC key", head("alg", "EdDSA")}, {"alg a number", head("alg", 256)},
		{"jwk missing", head("jwk", nil)}, {"jwk a string", head("jwk", "x")}, {"jwk null", head("jwk", json.RawMessage("null"))}, {"jwk empty", head("jwk", map[string]any{})}, {"another's jwk", head("jwk", other.JWK)},
		{"crit", head("crit", []string{"exp"})}, {"b64", head("b64", false)}, {"jku", head("jku", "https://evil.example/")}, {"x5c", head("x5c", []string{"x"})}, {"TYP", head("TYP", "dpop+jwt")}, {"Jwk", head("Jwk", c.JWK)},
		{"d in jwk", jwk("d", "AAAA")}, {"k in jwk", jwk("k", "AAAA")}, {"oth in jwk", jwk("oth", []any{})}, {"D in jwk", jwk("D", "AAAA")},
		{"kty missing", jwk("kty", nil)}, {"kty a number", jwk("kty", 1)}, {"kty in capitals", jwk("kty", "ec")}, {"kty oct", jwk("kty", "oct")}, {"kty RSA", jwk("kty", "RSA")},
		{"crv missing", jwk("crv", nil)}, {"crv P-384", jwk("crv", "P-384")}, {"crv secp256k1", jwk("crv", "secp256k1")},
		{"x missing", jwk("x", nil)}, {"x a number", jwk("x", 5)}, {"x an array", jwk("x", []any{"a"})}, {"x padded", jwk("x", c.JWK["x"].(string)+"=")}, {"x short", jwk("x", "AAAA")},
		{"x long", jwk("x", b64(append([]byte{0}, decode(c.JWK["x"].(string))...)))}, {"off the curve", jwk("y", c.JWK["x"])}, {"infinity", func(h, _ map[string]any) {
			z := b64(make([]byte, 32))
			h["jwk"] = map[string]any{"kty": "EC", "crv": "P-256", "x": z, "y": z}
		}},
		{"use enc", jwk("use", "enc")}, {"another alg in jwk", jwk("alg", "ES384")},
		{"htm missing", claim("htm", nil)}, {"htm another", claim("htm", "GET")}, {"htm in small letters", claim("htm", "post")}, {"htm a number", claim("htm", 1)},
		{"htu missing", claim("htu", nil)}, {"htu another host", claim("htu", "https://evil.example/v1/chat/completions")}, {"htu another path", claim("htu", origin+"/v1/models")}, {"htu http", claim("htu", "http://api.example.com/v1/chat/completions")},
		{"htu another port", claim("htu", "https://api.example.com:8443/v1/chat/completions")}, {"htu a prefix", claim("htu", origin+"/v1/chat")}, {"htu longer", claim("htu", origin+"/v1/chat/completions/")}, {"htu relative", claim("htu", "/v1/chat/completions")},
		{"htu with a user", claim("htu", "https://api.example.com@evil.example/v1/chat/completions")}, {"htu with dots", claim("htu", origin+"/v1/../v1/chat/completions")}, {"htu with escaped dots", claim("htu", origin+"/v1/%2e%2E/v1/chat/completions")},
		{"htu in another case", claim("htu", origin+"/V1/chat/completions")}, {"htu with a slash escaped", claim("htu", origin+"/v1%2Fchat/completions")}, {"htu with a broken escape", claim("htu", origin+"/v1/chat/completions%2")},
		{"htu of two slashes", claim("htu", origin+"//v1/chat/completions")}, {"htu an array", claim("htu", []string{origin + "/v1/chat/completions"})},
		{"ath missing", claim("ath", nil)}, {"ath of another token", claim("ath", hash("t2"))}, {"ath empty", claim("ath", "")}, {"ath padded", claim("ath", hash("t")+"=")}, {"ath in hex", claim("ath", fmt.Sprintf("%x", sha256.Sum256([]byte("t"))))},
		{"jti missing", claim("jti", nil)}, {"jti empty", claim("jti", "")}, {"jti of 129 characters", claim("jti", strings.Repeat("x", 129))}, {"jti a number", claim("jti", 7)}, {"jti with a line break", claim("jti", "a\nb")},
		{"iat missing", claim("iat", nil)}, {"iat a word", claim("iat", fmt.Sprint(now.Unix()))}, {"iat negative", claim("iat", -1)}, {"iat 1e308", claim("iat", json.RawMessage("1e308"))}, {"iat too old", claim("iat", now.Add(-62*time.Second).Unix())},
		{"iat in the future", claim("iat", now.Add(10*time.Second).Unix())}, {"expired", claim("exp", now.Add(-10*time.Second).Unix())}, {"exp zero", claim("exp", 0)}, {"not yet", claim("nbf", now.Add(10*time.Second).Unix())},
		{"HTM beside htm", claim("HTM", "GET")}, {"nonce a number", claim("nonce", 1)},
	} {
		if _, err := v.Authenticate(c.request("t", now, x.change)); !errors.Is(err, auth.ErrInvalid) || x.name != "another's jwk" && reasonOf(err) != "invalid_dpop_proof" {
			t.Errorf("%s: %v (%s)", x.name, err, reasonOf(err))
		}
	}
	// The texts that no map of Go can hold.
	h, _ := json.Marshal(c.head())
	good := c.claims(authtest.Request("POST", "/v1/chat/completions", ""), "t", now)
	cl, _ := json.Marshal(good)
	for name, proof := range map[string]string{
		"none": "", "one segment": "abc", "two": "a.b", "four": c.SignJSON(string(h), string(cl)) + ".x", "no signature": c.SignJSON(string(h), string(cl))[:len(b64(h))+1+len(b64(cl))+1], "a JSON serialisation": `{"payload":"x"}`,
		"alg twice": c.SignJSON(strings.Replace(string(h), "{", `{"alg":"ES256",`, 1), string(cl)), "jti twice": c.SignJSON(string(h), strings.Replace(string(cl), "{", `{"jti":"a",`, 1)), "x twice": c.SignJSON(strings.Replace(string(h), `"x":`, `"x":"AAAA","x":`, 1), string(cl)),
		"claims an array": c.SignJSON(string(h), "["+string(cl)+"]"), "two claims": c.SignJSON(string(h), string(cl)+string(cl)), "a byte order mark": c.SignJSON("\ufeff"+string(h), string(cl)), "padding": c.SignJSON(string(h), string(cl)) + "=",
		"a line break": strings.Replace(c.SignJSON(string(h), string(cl)), ".", ".\n", 1), "a blank": " " + c.SignJSON(string(h), string(cl)), "too long": c.SignJSON(string(h), strings.Replace(string(cl), "{", `{"x":"`+strings.Repeat("x", 5000)+`",`, 1)),
		"signed by another": other.SignJSON(string(h), string(cl)), "dots": strings.Repeat(".", 4000),
	} {
		r := c.request("t", now, nil)
		r.Header.Set("DPoP", proof)
		if _, err := v.Authenticate(r); !errors.Is(err, auth.ErrInvalid) || reasonOf(err) != "invalid_dpop_proof" {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, x := range map[string]struct {
		change func(*http.Request)
		want   string
	}{
		"no proof":                    {func(r *http.Request) { r.Header.Del("DPoP") }, "invalid_dpop_proof"},
		"two proofs":                  {func(r *http.Request) { r.Header.Add("DPoP", c.SignJSON(string(h), string(cl))) }, "invalid_dpop_proof"},
		"an unknown token":            {func(r *http.Request) { *r = *c.request("stolen", now, nil) }, "invalid_token"},
		"another's token":             {func(r *http.Request) { *r = *c.request("other", now, nil) }, "invalid_token"},
		"an unbound token":            {func(r *http.Request) { *r = *c.request("free", now, nil) }, "invalid_token"},
		"the token as a bearer token": {func(r *http.Request) { r.Header.Set("Authorization", "Bearer t") }, "invalid_token"},
		"two credentials":             {func(r *http.Request) { r.Header.Add("X-API-Key", "t") }, "invalid_request"},
	} {
		r := c.request("t", now, nil)
		x.change(r)
		if p, err := v.Authenticate(r); p != nil || reasonOf(err) != x.want {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	if _, err := v.Authenticate(c.request("t", now, nil)); err != nil {
		t.Errorf("the good one: %v", err)
	}
	if n := c.request("t", now, func(_, cl map[string]any) { cl["jti"] = strings.Repeat("x", 128) }); true {
		if _, err := v.Authenticate(n); err != nil {
			t.Errorf("a jti of 128 characters: %v", err)
		}
	}
}

func set(m map[string]any, name string, value any) {
	if value == nil {
		delete(m, name)
	} else {
		m[name] = value
	}
}

func decode(s string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func TestRSAKeysHaveOneSpellingAndABound(t *testing.T) {
	c := newClient(t, "RS256")
	n, e := decode(c.JWK["n"].(string)), []byte{1, 0, 1}
	jwk := func(n, e []byte) string { return `{"kty":"RSA","n":"` + b64(n) + `","e":"` + b64(e) + `"}` }
	even := append([]byte{}, n...)
	even[len(even)-1] &^= 1
	for name, s := range map[string]string{
		"a leading zero byte": jwk(append([]byte{0}, n...), e), "e with a leading zero byte": jwk(n, append([]byte{0}, e...)), "1024 bits": jwk(n[:128], e), "4104 bits": jwk(append(append([]byte{}, n...), append(n, 1)...), e),
		"even": jwk(even, e), "e of 1": jwk(n, []byte{1}), "e even": jwk(n, []byte{4}), "no e": jwk(n, nil), "no n": jwk(nil, e), "e of 5 bytes": jwk(n, []byte{1, 0, 0, 0, 1}), "e above 2^31": jwk(n, []byte{0x80, 0, 0, 1}),
	} {
		if _, err := pop.Thumbprint(s, "RS256"); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if got, err := pop.Thumbprint(jwk(n, e), "PS256"); err != nil || got != c.Thumbprint() {
		t.Error(got, err)
	}
}

func TestAProofIsUsedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, other := newClient(t, "EdDSA"), newClient(t, "EdDSA")
		v := verifier(t, pop.Config{Tokens: tokens{"t": {JKT: c.Thumbprint()}, "o": {JKT: other.Thumbprint()}}})
		same := func(_, cl map[string]any) { cl["jti"] = "same" }
		r := c.request("t", time.Now(), same)
		if _, err := v.Authenticate(r); err != nil {
			t.Fatal(err)
		}
		if _, err := v.Authenticate(other.request("o", time.Now(), same)); err != nil {
			t.Errorf("the same jti under another key (inji/inji-certify#1000): %v", err)
		}
		for _, wait := range []time.Duration{0, time.Second, 59 * time.Second} { // until it is exactly as old as a proof may be
			time.Sleep(wait)
			if _, err := v.Authenticate(r); !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), "used before") {
				t.Errorf("after %v: %v", wait, err)
			}
		}
		time.Sleep(time.Second)
		if _, err := v.Authenticate(r); !errors.Is(err, auth.ErrInvalid) || !strings.Contains(err.Error(), "too old") {
			t.Errorf("%v", err)
		}
		// One made in the future as far as is allowed lives longest.
		r = c.request("t", time.Now().Add(5*time.Second), nil)
		if _, err := v.Authenticate(r); err != nil {
			t.Fatal(err)
		}
		for range 66 {
			if _, err := v.Authenticate(r); !errors.Is(err, auth.ErrInvalid) {
				t.Fatalf("accepted again: %v", err)
			}
			time.Sleep(time.Second)
		}
	})
}

// A thief who has seen a proof, or guesses the jti of the next, must not be able to spend it.
func TestOnlyAProofThatIsRightInAllElseIsBurned(t *testing.T) {
	c := newClient(t, "ES256")
	store := pop.NewMemory(1000, time.Minute)
	v := verifier(t, pop.Config{Tokens: tokens{"t": {JKT: c.Thumbprint()}, "x": {JKT: hash("x")}}, Replay: store})
	r := c.request("t", time.Now(), nil)
	proof := r.Header.Get("DPoP")
	for name, change := range map[string]func(*http.Request){
		"another method":    func(r *http.Request) { r.Method = "GET" },
		"another path":      func(r *http.Request) { r.URL.Path = "/other" },
		"another token":     func(r *http.Request) { r.Header.Set("Authorization", "DPoP x") },
		"a wrong signature": func(r *http.Request) { r.Header.Set("DPoP", proof[:len(proof)-10]+"AAAAAAAAAA") },
	} {
		bad := r.Clone(t.Context())
		change(bad)
		if _, err := v.Authenticate(bad); err == nil || pop.Remembered(store) != 0 {
			t.Errorf("%s: %v, %d remembered", name, err, pop.Remembered(store))
		}
	}
	if _, err := v.Authenticate(r); err != nil || pop.Remembered(store) != 1 {
		t.Errorf("the good one: %v", err)
	}
}

func TestOfManyAtOnceOneGetsThrough(t *testing.T) {
	c := newClient(t, "EdDSA")
	v := verifier(t, pop.Config{Tokens: tokens{"t": {JKT: c.Thumbprint()}}})
	r := c.request("t", time.Now(), nil)
	var wg sync.WaitGroup
	var in atomic.Int64
	for range 64 {
		wg.Go(func() {
			if _, err := v.Authenticate(r.Clone(t.Context())); err == nil {
				in.Add(1)
			}
		})
	}
	wg.Wait()
	if in.Load() != 1 {
		t.Errorf("%d got through", in.Load())
	}
}

func TestTheStoreIsBoundedAndFullMeansNo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := pop.NewMemory(6400, time.Minute) // 100 for each part
		key := func(client, n uint64) (k [32]byte) {
			binary.BigEndian.PutUint64(k[:], client)
			binary.BigEndian.PutUint64(k[16:], n)
			return k
		}
		burn := func(client, n uint64) (bool, error) {
			return s.Burn(t.Context(), key(client, n), time.Now().Add(time.Minute))
		}
		for n := range uint64(100) {
			if ok, err := burn(1, n); !ok || err != nil {
				t.Fatal(n, ok, err)
			}
		}
		if ok, err := burn(1, 100); ok || !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("one too many: %v, %v", ok, err)
		}
		if ok, err := burn(1, 5); ok || err != nil {
			t.Errorf("a replay while it is full: %v, %v", ok, err)
		}
		others := 0
		for c := range uint64(64) {
			if ok, _ := burn(100+c, 0); ok {
				others++
			}
		}
		if others < 50 { // all but those who share the part: one of 64 by chance
			t.Errorf("one client's flood left room for %d of 64 others", others)
		}
		for range 1000 {
			for c := range uint64(2000) {
				burn(c, c)
			}
			if n := pop.Remembered(s); n > 6400 {
				t.Fatalf("%d remembered", n)
			}
			time.Sleep(time.Second)
		}
		time.Sleep(3 * time.Minute)
		if ok, err := burn(1, 5); !ok || err != nil {
			t.Errorf("after its time: %v, %v", ok, err)
		}
	})
}

// slow is a token verifier that has to ask somebody.
type slow struct {
	tokens
	takes *time.Duration
}

func (s slow) VerifyToken(ctx context.Context, token string) (*auth.Principal, error) {
	time.Sleep(*s.takes)
	return s.tokens.VerifyToken(ctx, token)
}

// exact is a store that keeps to its contract and does nothing beyond, after a while.
type exact struct {
	until map[[32]byte]time.Time
	takes *time.Duration
}

func (s exact) Burn(_ context.Context, key [32]byte, until time.Time) (bool, error) {
	time.Sleep(*s.takes)
	if time.Now().Before(s.until[key]) {
		return false, nil
	}
	s.until[key] = until
	return true, nil
}

// RFC 9449 section 11.1: a proof is used once, also by who chooses the moment so that its time ends while somebody is asked.
func TestASlowVerificationOrStoreLetsNoProofBeUsedTwice(t *testing.T) {
	for _, leeway := range []time.Duration{-1, 0, time.Minute} {
		for _, outside := range []bool{false, true} {
			for _, late := range []time.Duration{2 * time.Second, 8 * time.Second, 5 * time.Minute} {
				for _, slowStore := range []bool{false, true} {
					if slowStore && !outside {
						continue
					}
					synctest.Test(t, func(t *testing.T) {
						c := newClient(t, "ES256")
						var verifying, burning time.Duration
						cfg := pop.Config{Tokens: slow{tokens{"t": {JKT: c.Thumbprint()}}, &verifying}, Leeway: leeway}
						if outside {
							cfg.Replay = exact{map[[32]byte]time.Time{}, &burning}
						}
						v := verifier(t, cfg)
						v.Authenticate(c.request("t", time.Now(), nil)) // begins a generation of the store in memory
						time.Sleep(59*time.Second + 900*time.Millisecond)
						r := c.request("t", time.Now(), nil)
						if _, err := v.Authenticate(r); err != nil {
							t.Fatal(err)
						}
						time.Sleep(time.Until(time.Now().Truncate(time.Second).Add(time.Minute - time.Millisecond)))
						if slowStore {
							burning = late
						} else {
							verifying = late
						}
						if _, err := v.Authenticate(r); err == nil {
							t.Errorf("leeway %v, store outside %v and slow %v, %v late: used twice", leeway, outside, slowStore, late)
						}
						verifying, burning = 0, 0
						if _, err := v.Authenticate(c.request("t", time.Now(), nil)); err != nil {
							t.Error(err)
						}
					})
				}
			}
		}
	}
}

// seen is a store that notes what it is asked.
type seen struct {
	keys  [][32]byte
	until []time.Time
}

func (s *seen) Burn(_ context.Context, key [32]byte, until time.Time) (bool, error) {
	s.keys, s.until = append(s.keys, key), append(s.until, until)
	return true, nil
}

func TestAStoreIsToldTheClientTheProofAndTheTime(t *testing.T) {
	c, other := newClient(t, "EdDSA"), newClient(t, "EdDSA")
	s := &seen{}
	v := verifier(t, pop.Config{Tokens: tokens{"t": {JKT: c.Thumbprint()}, "o": {JKT: other.Thumbprint()}}, Replay: s})
	now := time.Now().Truncate(time.Second)
	jti := func(s string) func(_, cl map[string]any) { return func(_, cl map[string]any) { cl["jti"] = s } }
	for _, r := range []*http.Request{c.request("t", now, jti("a")), c.request("t", now, jti("b")), other.request("o", now, jti("a"))} {
		if _, err := v.Authenticate(r); err != nil {
			t.Fatal(err)
		}
	}
	client, proof := func(i int) string { return string(s.keys[i][:16]) }, func(i int) string { return string(s.keys[i][16:]) }
	if client(0) != client(1) || client(0) == client(2) || proof(0) == proof(1) || proof(0) == proof(2) || !s.until[0].Equal(now.Add(time.Minute+10*time.Second)) {
		t.Errorf("%x until %v", s.keys, s.until)
	}
}

type brokenStore struct{ err error }

func (b brokenStore) Burn(context.Context, [32]byte, time.Time) (bool, error) { return true, b.err }

func TestAStoreThatCannotDecideRefuses(t *testing.T) {
	c := newClient(t, "EdDSA")
	v := verifier(t, pop.Config{Tokens: tokens{"t": {JKT: c.Thumbprint()}}, Replay: brokenStore{errors.New("redis: timeout")}})
	if p, err := v.Authenticate(c.request("t", time.Now(), nil)); p != nil || !errors.Is(err, auth.ErrUnavailable) || auth.CodeOf(err) != auth.CodeUnavailable {
		t.Errorf("%v, %v", p, err)
	}
}

func TestURLsAreComparedAsRFC3986Says(t *testing.T) {
	for _, c := range []struct{ a, b string }{
		{"https://api.example.com", "https://api.example.com/"}, {"HTTPS://API.example.COM:443/a", "https://api.example.com/a"}, {"https://api.example.com:/a", "https://api.example.com/a"}, {"http://localhost:80/", "http://localhost/"},
		{"https://h/%7Euser/%e2%82%ac", "https://h/~user/%E2%82%AC"}, {"https://h/a?q=1", "https://h/a"}, {"https://h/a#f", "https://h/a"}, {"https://h/a?", "https://h/a"}, {"https://[::1]:443/", "https://[::1]/"},
	} {
		a, okA := pop.Normalise(c.a)
		b, okB := pop.Normalise(c.b)
		if !okA || !okB || a != b {
			t.Errorf("%s is %q, %s is %q", c.a, a, c.b, b)
		}
	}
	c := newClient(t, "EdDSA")
	v := verifier(t, pop.Config{Tokens: tokens{"t": {JKT: c.Thumbprint()}}, URLs: []string{"https://api.example.com", "https://example.org/inference/"}})
	for _, x := range []struct {
		target, htu string
		ok          bool
	}{
		{"/v1/x", "https://api.example.com/v1/x", true}, {"/v1/x?q=1", "https://api.example.com/v1/x", true}, {"/v1/x?q=1", "https://api.example.com/v1/x?other#f", true}, {"/v1/x", "https://API.EXAMPLE.COM:443/v1/x", true},
		{"/v1/x", "https://example.org/inference/v1/x", true}, {"/", "https://example.org/inference/", true}, {"/", "https://api.example.com", true}, {"/%7Ea", "https://api.example.com/~a", true}, {"/a%2Fb", "https://api.example.com/a%2fb", true},
		{"/a%2Fb", "https://api.example.com/a/b", false}, {"/v1/x", "https://example.org/v1/x", false}, {"/", "https://example.org/inference", false}, {"/x", "https://example.org/inferencex", false},
		{"/a/../b", "https://api.example.com/b", false}, {"/a/../b", "https://api.example.com/a/../b", false}, {"/a//b", "https://api.example.com/a/b", false},
	} {
		r := authtest.Request("GET", "/", "")
		u, err := r.URL.Parse(x.target)
		if err != nil {
			t.Fatal(err)
		}
		r.URL.Path, r.URL.RawPath, r.URL.RawQuery = u.Path, u.RawPath, u.RawQuery
		if strings.Contains(x.target, "..") {
			r.URL.Path = x.target
		}
		cl := c.claims(r, "t", time.Now())
		cl["htu"] = x.htu
		r.Header.Set("Authorization", "DPoP t")
		r.Header.Set("DPoP", c.Sign(c.head(), cl))
		if _, err := v.Authenticate(r); (err == nil) != x.ok {
			t.Errorf("%s with htu %s: %v", x.target, x.htu, err)
		}
	}
}

// Whoever is sent a proof for his own server replays it here, and says so in every header he can write.
func TestNoHeaderSaysWhatOurURLIs(t *testing.T) {
	c := newClient(t, "EdDSA")
	v := verifier(t, pop.Config{Tokens: tokens{"t": {JKT: c.Thumbprint()}}})
	r := c.request("t", time.Now(), func(_, cl map[string]any) { cl["htu"] = "https://evil.example/v1/chat/completions" })
	r.Host, r.URL.Host, r.URL.Scheme = "evil.example", "evil.example", "https"
	for _, h := range []string{"X-Forwarded-Host", "X-Original-Host", "X-Forwarded-Server"} {
		r.Header.Set(h, "evil.example")
	}
	r.Header.Set("Forwarded", "host=evil.example;proto=https")
	if _, err := v.Authenticate(r); !errors.Is(err, auth.ErrInvalid) {
		t.Error(err)
	}
	r = c.request("t", time.Now(), nil)
	r.Host = "evil.example"
	r.Header.Set("X-Forwarded-Proto", "http")
	if _, err := v.Authenticate(r); err != nil {
		t.Errorf("a strange Host header keeps a good proof out: %v", err)
	}
}

func TestANonceIsDemandedRolledAndTakenForTwoWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(t, "EdDSA")
		known := tokens{"t": {JKT: c.Thumbprint()}}
		key := make([]byte, 32)
		v := verifier(t, pop.Config{Tokens: known, RequireNonce: true, NonceKey: key})
		twin := verifier(t, pop.Config{Tokens: known, RequireNonce: true, NonceKey: key})
		stranger := verifier(t, pop.Config{Tokens: known, RequireNonce: true})
		g, err := auth.New(auth.Config{Authenticator: v, Logger: quiet})
		if err != nil {
			t.Fatal(err)
		}
		serve := func(r *http.Request) *httptest.ResponseRecorder {
			w := httptest.NewRecorder()
			g.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
			return w
		}
		w := serve(c.request("t", time.Now(), nil))
		nonce := w.Header().Get("DPoP-Nonce")
		if w.Code != 401 || w.Header().Get("WWW-Authenticate") != `DPoP realm="api", error="use_dpop_nonce", algs="ES256 EdDSA"` || len(nonce) != 24 {
			t.Fatalf("%d %v", w.Code, w.Header())
		}
		with := func(nonce string) *http.Request {
			return c.request("t", time.Now(), func(_, cl map[string]any) { cl["nonce"] = nonce })
		}
		w = serve(with(nonce))
		if w.Code != 200 || w.Header().Get("DPoP-Nonce") != nonce || w.Header().Get("Cache-Control") != "no-store" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
		if _, err := twin.Authenticate(with(nonce)); err != nil {
			t.Errorf("a replica with the same key: %v", err)
		}
		for name, n := range map[string]string{"another": strings.Repeat("A", 24), "cut": nonce[:23], "longer": nonce + "A", "empty": ""} {
			if _, err := v.Authenticate(with(n)); reasonOf(err) != "use_dpop_nonce" {
				t.Errorf("%s: %v", name, err)
			}
		}
		if _, err := stranger.Authenticate(with(nonce)); reasonOf(err) != "use_dpop_nonce" {
			t.Errorf("a replica with another key: %v", err)
		}
		time.Sleep(2 * time.Minute)
		w = serve(with(nonce))
		next := w.Header().Get("DPoP-Nonce")
		if w.Code != 200 || next == nonce || next == "" {
			t.Errorf("one window later: %d %v", w.Code, w.Header())
		}
		time.Sleep(2 * time.Minute)
		if w = serve(with(nonce)); w.Code != 401 || w.Header().Get("DPoP-Nonce") == next {
			t.Errorf("two windows later: %d %v", w.Code, w.Header())
		}
		if w = serve(with(next)); w.Code != 200 {
			t.Errorf("the next one: %d", w.Code)
		}
		// A request without DPoP learns no nonce, and its answer may be stored.
		w = serve(authtest.Request("GET", "/", ""))
		if w.Header().Get("DPoP-Nonce") != "" {
			t.Errorf("%v", w.Header())
		}
	})
}

func certificate(t testing.TB) *x509.Certificate {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func x5t(c *x509.Certificate) string {
	sum := sha256.Sum256(c.Raw)
	return b64(sum[:])
}

func TestACertificateBoundTokenNeedsItsCertificate(t *testing.T) {
	own, other := certificate(t), certificate(t)
	c := newClient(t, "EdDSA")
	known := tokens{"bound": {X5T: x5t(own)}, "free": {}, "both": {X5T: x5t(own), JKT: c.Thumbprint()}}
	proxy := netip.MustParsePrefix("10.0.0.0/8")
	direct := verifier(t, pop.Config{Tokens: known, Certificates: true})
	proxied := verifier(t, pop.Config{Tokens: known, Certificates: true, TrustedProxies: []netip.Prefix{proxy, netip.MustParsePrefix("::ffff:172.16.0.0/108")}})
	lenient := verifier(t, pop.Config{Tokens: known, Certificates: true, InsecureAllowUnbound: true})
	dpopOnly := verifier(t, pop.Config{Tokens: known, InsecureAllowUnbound: true})
	over := func(c *x509.Certificate) func(*http.Request) {
		return func(r *http.Request) { r.TLS = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{c, own}} }
	}
	header := func(values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header["Client-Cert"] = values }
	}
	der := func(c *x509.Certificate) string { return ":" + base64.StdEncoding.EncodeToString(c.Raw) + ":" }
	from := authtest.From
	for _, x := range []struct {
		name  string
		v     *pop.Verifier
		token string
		set   []func(*http.Request)
		ok    bool
	}{
		{"its certificate", direct, "bound", []func(*http.Request){over(own)}, true},
		{"another", direct, "bound", []func(*http.Request){over(other)}, false},
		{"none", direct, "bound", nil, false},
		{"none in TLS", direct, "bound", []func(*http.Request){func(r *http.Request) { r.TLS = &tls.ConnectionState{} }}, false},
		{"a header, and no proxy", direct, "bound", []func(*http.Request){header(der(own))}, false},
		{"a header beside another certificate", direct, "bound", []func(*http.Request){over(other), header(der(own))}, false},
		{"a proxy's header", proxied, "bound", []func(*http.Request){from("10.1.2.3:4"), header(der(own))}, true},
		{"a proxy's header with blanks", proxied, "bound", []func(*http.Request){from("[::ffff:10.1.2.3]:4"), header(" " + der(own) + " ")}, true},
		{"a mapped prefix", proxied, "bound", []func(*http.Request){from("172.17.0.1:4"), header(der(own))}, true},
		{"a proxy's header of another", proxied, "bound", []func(*http.Request){from("10.1.2.3:4"), header(der(other))}, false},
		{"a stranger's header", proxied, "bound", []func(*http.Request){from("192.0.2.1:4"), header(der(own))}, false},
		{"no address", proxied, "bound", []func(*http.Request){from("@"), header(der(own))}, false},
		{"a stranger's connection", proxied, "bound", []func(*http.Request){from("192.0.2.1:4"), over(own)}, true},
		{"the proxy's own certificate", proxied, "bound", []func(*http.Request){from("10.1.2.3:4"), over(own)}, false},
		{"two headers", proxied, "bound", []func(*http.Request){from("10.1.2.3:4"), header(der(own), der(own))}, false},
		{"a list", proxied, "bound", []func(*http.Request){from("10.1.2.3:4"), header(der(own) + ", " + der(own))}, false},
		{"with parameters", proxied, "bound", []func(*http.Request){from("10.1.2.3:4"), header(der(own) + ";a=1")}, false},
		{"without colons", proxied, "bound", []func(*http.Request){from("10.1.2.3:4"), header(strings.Trim(der(own), ":"))}, false},
		{"not base64", proxied, "bound", []func(*http.Request){from("10.1.2.3:4"), header(":%:")}, false},
		{"empty", proxied, "bound", []func(*http.Request){from("10.1.2.3:4"), header("::")}, false},
		{"too long", proxied, "bound", []func(*http.Request){from("10.1.2.3:4"), header(":" + strings.Repeat("A", 20000) + ":")}, false},
		{"an underscore", proxied, "bound", []func(*http.Request){from("10.1.2.3:4"), func(r *http.Request) { r.Header["Client_cert"] = []string{der(own)} }}, false},
		{"an unbound token", direct, "free", []func(*http.Request){over(own)}, false},
		{"an unbound token, allowed", lenient, "free", nil, true},
		{"a bound token is not unbound", lenient, "bound", nil, false},
		{"certificates are not taken", dpopOnly, "bound", []func(*http.Request){over(own)}, false},
		{"bound to a key too", direct, "both", []func(*http.Request){over(own)}, false},
		{"an unknown token", direct, "x", []func(*http.Request){over(own)}, false},
	} {
		r := authtest.Request("GET", "/", "", authtest.Bearer(x.token))
		for _, f := range x.set {
			f(r)
		}
		if p, err := x.v.Authenticate(r); (err == nil) != x.ok || (p == nil) == x.ok || err != nil && !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%s: %v, %v", x.name, p, err)
		}
	}
	// A token that is bound twice needs both proofs.
	v := verifier(t, pop.Config{Tokens: known, Certificates: true, URLs: []string{origin}})
	if _, err := v.Authenticate(c.request("both", time.Now(), nil)); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("without the certificate: %v", err)
	}
	r := c.request("both", time.Now(), nil)
	over(own)(r)
	if _, err := v.Authenticate(r); err != nil {
		t.Error(err)
	}
}

// The handshake itself, with a certificate that nobody signed: what counts is that the client has its key.
func TestOverTLS(t *testing.T) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(der)
	v := verifier(t, pop.Config{Tokens: tokens{"t": {X5T: b64(sum[:])}}, Certificates: true})
	g, err := auth.New(auth.Config{Authenticator: v, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewUnstartedServer(g.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert}
	s.StartTLS()
	defer s.Close()
	for _, with := range []bool{true, false} {
		transport := s.Client().Transport.(*http.Transport).Clone()
		if with {
			transport.TLSClientConfig.Certificates = []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: private}}
		}
		r, _ := http.NewRequest("GET", s.URL, nil)
		r.Header.Set("Authorization", "Bearer t")
		resp, err := (&http.Client{Transport: transport}).Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if (resp.StatusCode == 200) != with {
			t.Errorf("with a certificate %v: %d", with, resp.StatusCode)
		}
		transport.CloseIdleConnections()
	}
}

func TestWhatIsNoTokenIsLeftToOthers(t *testing.T) {
	keys := authtest.Keys(t)
	c := newClient(t, "EdDSA")
	v := verifier(t, pop.Config{Tokens: tokens{"t": {JKT: c.Thumbprint()}}})
	g, err := auth.New(auth.Config{Authenticator: auth.AnyOf(v, keys), Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		r    *http.Request
		want auth.Code
	}{
		"a key":               {authtest.Request("GET", "/", "", authtest.Bearer(authtest.Key(t, keys, apikey.Spec{}))), ""},
		"a key in its header": {authtest.Request("GET", "/", "", authtest.APIKey(authtest.Key(t, keys, apikey.Spec{}))), ""},
		"a token":             {c.request("t", time.Now(), nil), ""},
		"a key as DPoP":       {c.request("acme_test_key", time.Now(), nil), auth.CodeInvalidAPIKey},
		"a token as Bearer":   {authtest.Request("GET", "/", "", authtest.Bearer("t")), auth.CodeInvalidToken},
		"nothing":             {authtest.Request("GET", "/", ""), auth.CodeMissingCredentials},
	} {
		if _, err := g.Authenticate(x.r); auth.CodeOf(err) != x.want {
			t.Errorf("%s: %v", name, err)
		}
	}
	w := httptest.NewRecorder()
	g.Handler(http.NotFoundHandler()).ServeHTTP(w, authtest.Request("GET", "/", ""))
	if got := w.Header().Values("WWW-Authenticate"); len(got) != 2 || got[0] != `DPoP realm="api", algs="ES256 EdDSA"` || got[1] != `Bearer realm="api"` {
		t.Errorf("%q", got)
	}
	certificates := verifier(t, pop.Config{Tokens: tokens{}, Certificates: true})
	if got := certificates.Challenges(); len(got) != 1 || got[0].Scheme != "Bearer" {
		t.Errorf("%v", got)
	}
	if _, err := certificates.Authenticate(c.request("t", time.Now(), nil)); !errors.Is(err, auth.ErrNoCredential) {
		t.Errorf("DPoP, which is switched off: %v", err)
	}
}

type nothing struct{}

func (nothing) VerifyToken(context.Context, string) (*auth.Principal, error) { return nil, nil }

func TestAVerifierThatCannotSayYesRefuses(t *testing.T) {
	c := newClient(t, "EdDSA")
	var none *pop.Verifier
	for name, v := range map[string]*pop.Verifier{"nil": none, "zero": {}, "no principal": verifier(t, pop.Config{Tokens: nothing{}})} {
		if p, err := v.Authenticate(c.request("t", time.Now(), nil)); p != nil || !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
		v.Announce(http.Header{}, authtest.Request("GET", "/", ""))
		if name != "no principal" && v.Challenges() != nil {
			t.Errorf("%s: %v", name, v.Challenges())
		}
	}
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := pop.New(pop.Config{
		URLs: []string{"api.example.com", "http://api.example.com", "https://api.example.com/?q", "https://api.example.com/a/../b", "https://u@api.example.com", "https://api.example.com#f"}, Algorithms: []string{"HS256", "none"},
		MaxAge: time.Hour, Leeway: time.Hour, MaxProofs: -1, NonceKey: make([]byte, 31), NonceWindow: time.Millisecond, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")},
	})
	for _, want := range []string{"Tokens", "URLs[0]", "URLs[1]", "URLs[2]", "URLs[3]", "URLs[4]", "URLs[5]", `"HS256"`, `"none"`, "MaxAge", "Leeway", "MaxProofs", "NonceKey", "NonceWindow", "TrustedProxies[0]", "TrustedProxies is set without"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("no word of %s in %v", want, err)
		}
	}
	for name, cfg := range map[string]pop.Config{
		"nothing to check": {Tokens: tokens{}}, "no algorithm": {Tokens: tokens{}, URLs: []string{origin}, Algorithms: []string{}}, "http elsewhere": {Tokens: tokens{}, URLs: []string{"http://api.example.com"}, InsecureHTTP: true},
		"negative age": {Tokens: tokens{}, URLs: []string{origin}, MaxAge: -1},
	} {
		if _, err := pop.New(cfg); err == nil {
			t.Errorf("%s: made", name)
		}
	}
	if _, err := pop.New(pop.Config{Tokens: tokens{}, URLs: []string{"http://127.0.0.1:8080"}, InsecureHTTP: true, Leeway: -1}); err != nil {
		t.Error(err)
	}
}

// The two together: a token whose issuer says which key it is bound to.
func TestATokenOfIntrospectionIsBoundToItsKey(t *testing.T) {
	c := newClient(t, "ES256")
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"active":true,"sub":"alice","token_type":"DPoP","cnf":{"jkt":%q}}`, c.Thumbprint())
	}))
	defer server.Close()
	asked, err := introspect.New(introspect.Config{Endpoint: server.URL, InsecureHTTP: true, ClientID: "api", ClientSecret: "s" + "ecret", Issuer: "https://login.example.com", SkipAudience: true})
	if err != nil {
		t.Fatal(err)
	}
	defer asked.Close(context.Background())
	v := verifier(t, pop.Config{Tokens: asked})
	for range 2 { // asked, and remembered: every proof is its own
		if p, err := v.Authenticate(c.request("opaque", time.Now(), nil)); err != nil || p.Subject != "alice" || p.Method != auth.MethodIntrospection {
			t.Errorf("%v, %v", p, err)
		}
	}
	if _, err := v.Authenticate(newClient(t, "ES256").request("opaque", time.Now(), nil)); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("another key: %v", err)
	}
	for name, a := range map[string]auth.Authenticator{"pop": v, "introspect": asked} {
		if _, err := a.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer("opaque"))); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%s takes the token alone: %v", name, err)
		}
	}
	server.Close()
	if _, err := v.Authenticate(c.request("never-seen", time.Now(), nil)); !errors.Is(err, auth.ErrUnavailable) {
		t.Errorf("an outage: %v", err)
	}
}

// The same for a signed token.
func TestAJWTIsBoundToItsKey(t *testing.T) {
	s, c := authtest.NewSigner(t, "ES256"), newClient(t, "ES256")
	signed, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{s.Issuer("https://login.example.com", "api")}})
	if err != nil {
		t.Fatal(err)
	}
	claims := authtest.Claims("https://login.example.com", "api", time.Now())
	token := s.Token(authtest.With(claims, "cnf", map[string]any{"jkt": c.Thumbprint()}))
	v := verifier(t, pop.Config{Tokens: signed})
	for range 2 { // verified, and remembered
		if p, err := v.Authenticate(c.request(token, time.Now(), nil)); err != nil || p.Bound.JKT != c.Thumbprint() || p.Method != auth.MethodJWT {
			t.Errorf("%v, %v", p, err)
		}
		for name, a := range map[string]auth.Authenticator{"pop": v, "jwtauth": signed} {
			if _, err := a.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer(token))); !errors.Is(err, auth.ErrInvalid) {
				t.Errorf("%s takes the token alone: %v", name, err)
			}
		}
	}
	for name, cnf := range map[string]any{"kid": map[string]any{"kid": "1"}, "empty": map[string]any{}, "half": map[string]any{"jkt": "AAAA"}, "a word": "x", "JKT": map[string]any{"JKT": c.Thumbprint()}} {
		if _, err := signed.VerifyToken(t.Context(), s.Token(authtest.With(claims, "cnf", cnf))); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("cnf %s: %v", name, err)
		}
	}
	if _, err := v.Authenticate(c.request(s.Token(claims), time.Now(), nil)); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("an unbound token: %v", err)
	}
}

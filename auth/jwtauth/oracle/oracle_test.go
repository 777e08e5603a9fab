package oracle

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	josejwt "github.com/go-jose/go-jose/v4/jwt"
	"github.com/lestrrat-go/jwx/v3/jwa"
	"github.com/lestrrat-go/jwx/v3/jwk"
	"github.com/lestrrat-go/jwx/v3/jws"
	jwxjwt "github.com/lestrrat-go/jwx/v3/jwt"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/jwtauth"
	"github.com/mantlet-go/mantlet/internal/corpus"
)

const (
	issuer   = "https://issuer.example"
	audience = "https://inference.example"
	leeway   = 30 * time.Second // the default of jwtauth
)

var (
	now        = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	algorithms = []string{"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)

// reading is what a library makes of a token.
type reading struct {
	Subject string
	Expires int64
	Client  string
}

// byJose and byJWX decide about a token under one key and one algorithm, with issuer, audience and time.
func byJose(token, alg string, key any) (reading, error) {
	parsed, err := josejwt.ParseSigned(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
	if err != nil {
		return reading{}, err
	}
	var c josejwt.Claims
	var more struct {
		ClientID string `json:"client_id"`
	}
	if err := parsed.Claims(key, &c, &more); err != nil {
		return reading{}, err
	}
	if c.Expiry == nil {
		return reading{}, errors.New("no exp")
	}
	return reading{c.Subject, int64(*c.Expiry), more.ClientID}, c.ValidateWithLeeway(josejwt.Expected{Issuer: issuer, AnyAudience: josejwt.Audience{audience}, Time: now}, leeway)
}

func byJWX(token, alg string, key any) (reading, error) {
	a, ok := jwa.LookupSignatureAlgorithm(alg)
	if !ok {
		return reading{}, fmt.Errorf("no algorithm %s", alg)
	}
	parsed, err := jwxjwt.Parse([]byte(token), jwxjwt.WithKey(a, key), jwxjwt.WithIssuer(issuer), jwxjwt.WithAudience(audience),
		jwxjwt.WithClock(jwxjwt.ClockFunc(func() time.Time { return now })), jwxjwt.WithAcceptableSkew(leeway), jwxjwt.WithRequiredClaim("exp"))
	if err != nil {
		return reading{}, err
	}
	var r reading
	r.Subject, _ = parsed.Subject()
	exp, _ := parsed.Expiration()
	r.Expires = exp.Unix()
	_ = parsed.Get("client_id", &r.Client)
	return r, nil
}

// check fails when jwtauth accepts a token that another library refuses or reads otherwise. It reports whether jwtauth accepts.
func check(t *testing.T, v *jwtauth.Verifier, s *authtest.Signer, token string) bool {
	t.Helper()
	p, err := v.Verify(t.Context(), token, now)
	if err != nil {
		return false
	}
	for name, f := range map[string]func(string, string, any) (reading, error){"go-jose": byJose, "jwx": byJWX} {
		r, err := f(token, s.Algorithm, s.PublicKey())
		if err != nil {
			t.Errorf("%s refuses what jwtauth accepts: %v\n%s", name, err, token)
			continue
		}
		if r.Subject != p.Subject || r.Expires != p.ExpiresAt.Unix() || r.Client != "" && r.Client != p.ClientID {
			t.Errorf("%s reads %+v, jwtauth %+v\n%s", name, r, p, token)
		}
	}
	return true
}

func newVerifier(t testing.TB, s *authtest.Signer) *jwtauth.Verifier {
	t.Helper()
	is := s.Issuer(issuer, audience)
	is.Types = []string{"at+jwt", "JWT", ""}
	v, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{is}, CacheSize: -1})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestGoodTokensAreGoodForEverybody(t *testing.T) {
	for _, alg := range algorithms {
		s := authtest.NewSigner(t, alg)
		v := newVerifier(t, s)
		claims := authtest.Claims(issuer, audience, now)
		for name, c := range map[string]map[string]any{
			"plain":               claims,
			"aud as an array":     authtest.With(claims, "aud", []string{"x", audience}),
			"a fraction in exp":   authtest.With(claims, "exp", float64(now.Unix())+100.5),
			"within the leeway":   authtest.With(claims, "exp", now.Add(-29*time.Second).Unix()),
			"nbf in the leeway":   authtest.With(claims, "nbf", now.Add(29*time.Second).Unix()),
			"escapes and unicode": authtest.With(claims, "sub", "a\u00e9\"\u2028<"),
			"nested claims":       authtest.With(claims, "x", map[string]any{"a": []any{1, "b", nil}}),
		} {
			if !check(t, v, s, s.Token(c)) {
				t.Errorf("%s %s: refused", alg, name)
			}
		}
	}
}

func TestEveryAttackIsComparedToo(t *testing.T) {
	for _, alg := range algorithms {
		s := authtest.NewSigner(t, alg)
		v := newVerifier(t, s)
		more := map[string]int{}
		for _, a := range s.Attacks(issuer, audience, now) {
			if check(t, v, s, a.Token) && !strings.HasPrefix(a.Name, "typ_") && a.Name != "id_token_by_typ" { // these types are allowed here
				t.Errorf("%s: %s is accepted", alg, a.Name)
			}
			if _, err := byJose(a.Token, alg, s.PublicKey()); err == nil {
				more["go-jose"]++
			}
			if _, err := byJWX(a.Token, alg, s.PublicKey()); err == nil {
				more["jwx"]++
			}
		}
		t.Logf("%s: accepted by the others, with issuer, audience and time configured: %v", alg, more)
	}
}

// FuzzNeverMorePermissive: header and claims are signed as the fuzzer wrote them, or the token is taken as it is; what jwtauth
// accepts, go-jose and jwx accept and read alike.
func FuzzNeverMorePermissive(f *testing.F) {
	type pair struct {
		s *authtest.Signer
		v *jwtauth.Verifier
	}
	var pairs []pair
	for _, alg := range []string{"HS256", "ES256", "EdDSA"} {
		s := authtest.NewSigner(f, alg)
		pairs = append(pairs, pair{s, newVerifier(f, s)})
		good := s.Token(authtest.Claims(issuer, audience, now))
		f.Add(uint8(len(pairs)-1), good, false)
		f.Add(uint8(len(pairs)-1), good, true)
		for _, a := range s.Attacks(issuer, audience, now) {
			if len(a.Token) < 4096 {
				f.Add(uint8(len(pairs)-1), a.Token, true)
			}
		}
	}
	// The header without a kid: keys differ from run to run, and a corpus must not.
	for _, claims := range []string{
		`{"iss":"https://issuer.example","aud":"https://inference.example","sub":"a","exp":1795348800}`,
		`{"iss":"https:\/\/issuer.example","aud":["https://inference.example"],"sub":"\u0061","exp":1795348800.5,"nbf":1,"iat":1795348800}`,
		"{\"exp\" : 1795348801,\n\"sub\":\"\\ud83d\\ude00\",\"aud\":\"https://inference.example\",\"iss\":\"https://issuer.example\",\"jti\":\"\"}",
	} {
		enc := base64.RawURLEncoding.EncodeToString
		for i, p := range pairs {
			f.Add(uint8(i), enc([]byte(`{"alg":"`+p.s.Algorithm+`"}`))+"."+enc([]byte(claims)), true)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, token string, sign bool) {
		p := pairs[int(which)%len(pairs)]
		if sign {
			if parts := strings.Split(token, "."); len(parts) >= 2 {
				token = p.s.SignSegments(parts[0], parts[1])
			}
		}
		check(t, p.v, p.s, token)
	})
}

// roundTrip answers every request for keys with one set.
type roundTrip string

func (s roundTrip) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(string(s))), Request: r}, nil
}

// FuzzSet: when a token verifies under a set that the fuzzer wrote, the others find a key of its kid in that set under which it
// verifies too. They are given the keys one by one: both let one odd key spoil the set.
func FuzzSet(f *testing.F) {
	s := authtest.NewSigner(f, "EdDSA")
	s.KeyID = "k"
	token := s.Token(authtest.Claims(issuer, audience, time.Now()))
	key, err := json.Marshal(s.JWK())
	if err != nil {
		f.Fatal(err)
	}
	// KEY stands for the key of this run.
	for _, set := range []string{
		`{"keys":[KEY]}`, `{"keys":[{"kty":"AKP"},KEY]}`, `{"keys":[KEY,KEY]}`, `{"x":1,"keys":[KEY],"y":{"keys":[]}}`, `{"k\u0065ys":[KEY]}`,
		`{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"k","x":"AAAA"},KEY]}`, `{"Keys":[KEY]}`, `{"keys":[[KEY]]}`, ` { "keys" : [ KEY , null ] } `,
	} {
		f.Add(set)
	}
	f.Fuzz(func(t *testing.T, set string) {
		set = strings.ReplaceAll(set, "KEY", string(key))
		v, err := jwtauth.New(jwtauth.Config{Logger: slog.New(slog.DiscardHandler), Issuers: []jwtauth.Issuer{{
			Issuer: issuer, Audiences: []string{audience}, Algorithms: []string{"EdDSA"}, JWKS: issuer + "/keys", Fetch: jwtauth.Fetch{Transport: roundTrip(set)},
		}}})
		if err != nil {
			t.Fatal(err)
		}
		defer v.Close(t.Context())
		if _, err := v.Verify(t.Context(), token, time.Now()); err != nil {
			if !errors.Is(err, auth.ErrInvalid) && !errors.Is(err, auth.ErrUnavailable) {
				t.Error(err)
			}
			return
		}
		var doc struct {
			Keys []json.RawMessage `json:"keys"`
		}
		if err := json.Unmarshal([]byte(set), &doc); err != nil {
			t.Fatalf("encoding/json does not read %q: %v", set, err)
		}
		byJose, byJWX := false, false
		for _, raw := range doc.Keys {
			var k jose.JSONWebKey
			if k.UnmarshalJSON(raw) == nil && k.KeyID == s.KeyID {
				if sig, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.EdDSA}); err == nil {
					_, err = sig.Verify(k.Key)
					byJose = byJose || err == nil
				}
			}
			if k, err := jwk.ParseKey(raw); err == nil {
				if id, _ := k.KeyID(); id == s.KeyID {
					_, err := jws.Verify([]byte(token), jws.WithKey(jwa.EdDSA(), k))
					byJWX = byJWX || err == nil
				}
			}
		}
		if !byJose || !byJWX {
			t.Errorf("go-jose %v, jwx %v for %q", byJose, byJWX, set)
		}
	})
}

type vectors struct {
	NumberOfTests int
	TestGroups    []struct {
		Comment         string
		Public, Private json.RawMessage
		Tests           []struct {
			TcID                 int
			Comment, JWS, Result string
		}
	}
}

func load(t *testing.T, vector, accepted string) (v vectors, ids []int) {
	t.Helper()
	if err := json.Unmarshal(corpus.Read(t, vector), &v); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(accepted)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(b, &ids); err != nil || len(ids) == 0 {
		t.Fatal(len(ids), err)
	}
	return v, ids
}

func joseVerifies(token string, raw json.RawMessage, alg string) error {
	var k jose.JSONWebKey
	if err := k.UnmarshalJSON(raw); err != nil {
		return err
	}
	sig, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.SignatureAlgorithm(alg)})
	if err != nil {
		return err
	}
	_, err = sig.Verify(&k)
	return err
}

func jwxVerifies(token string, raw json.RawMessage, alg string) error {
	k, err := jwk.ParseKey(raw)
	if err != nil {
		return err
	}
	a, ok := jwa.LookupSignatureAlgorithm(alg)
	if !ok {
		return fmt.Errorf("no algorithm %s", alg)
	}
	_, err = jws.Verify([]byte(token), jws.WithKey(a, k))
	return err
}

// TestWycheproofThroughAllThree: each vector that jwtauth accepts is accepted by both others. The counts say how far they go beyond.
func TestWycheproofThroughAllThree(t *testing.T) {
	v, ids := load(t, "conformance/wycheproof/json_web_signature_test.json", "../testdata/wycheproof_jws.json")
	ran, jose, jwx := 0, 0, 0
	var beyond []string
	for _, g := range v.TestGroups {
		raw := g.Public
		if raw == nil {
			raw = g.Private
		}
		var key struct{ Alg string }
		if err := json.Unmarshal(raw, &key); err != nil {
			t.Fatal(err)
		}
		for _, c := range g.Tests {
			ran++
			byJose, byJWX := joseVerifies(c.JWS, raw, key.Alg), jwxVerifies(c.JWS, raw, key.Alg)
			if byJose == nil {
				jose++
			}
			if byJWX == nil {
				jwx++
			}
			ours := slices.Contains(ids, c.TcID)
			if ours && (byJose != nil || byJWX != nil) {
				t.Errorf("%d %s %s: only jwtauth accepts (go-jose: %v, jwx: %v)", c.TcID, g.Comment, c.Comment, byJose, byJWX)
			}
			if !ours && c.Result != "valid" && (byJose == nil || byJWX == nil) {
				beyond = append(beyond, fmt.Sprintf("%d %s", c.TcID, c.Comment))
			}
		}
	}
	if ran != v.NumberOfTests {
		t.Errorf("ran %d of %d", ran, v.NumberOfTests)
	}
	t.Logf("%d vectors; accepted by jwtauth %d, go-jose %d, jwx %d; invalid ones that another accepts: %q", ran, len(ids), jose, jwx, beyond)
}

func TestWycheproofSetsThroughAllThree(t *testing.T) {
	v, ids := load(t, "conformance/wycheproof/json_web_key_test.json", "../testdata/wycheproof_jwk.json")
	for _, g := range v.TestGroups {
		raw := g.Public
		if raw == nil {
			raw = g.Private
		}
		var set struct{ Keys []json.RawMessage }
		if err := json.Unmarshal(raw, &set); err != nil {
			t.Fatal(err)
		}
		for _, c := range g.Tests {
			if !slices.Contains(ids, c.TcID) {
				continue
			}
			byJose, byJWX := false, false
			for _, raw := range set.Keys {
				for _, alg := range algorithms {
					byJose = byJose || joseVerifies(c.JWS, raw, alg) == nil
					byJWX = byJWX || jwxVerifies(c.JWS, raw, alg) == nil
				}
			}
			if !byJose || !byJWX {
				t.Errorf("%d %s: go-jose %v, jwx %v", c.TcID, c.Comment, byJose, byJWX)
			}
		}
	}
}

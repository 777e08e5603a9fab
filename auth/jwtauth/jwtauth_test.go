package jwtauth_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/jwtauth"
)

const (
	issuer   = "https://issuer.example"
	audience = "https://inference.example"
)

var (
	now        = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	algorithms = []string{"HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"}
)

func verifier(t testing.TB, issuers ...jwtauth.Issuer) *jwtauth.Verifier {
	t.Helper()
	v, err := jwtauth.New(jwtauth.Config{Issuers: issuers})
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestAGoodTokenOfEveryAlgorithmBecomesAPrincipal(t *testing.T) {
	for _, alg := range algorithms {
		t.Run(alg, func(t *testing.T) {
			s := authtest.NewSigner(t, alg)
			v := verifier(t, s.Issuer(issuer, audience))
			p, err := v.Verify(t.Context(), s.Token(authtest.Claims(issuer, audience, now)), now)
			if err != nil {
				t.Fatal(err)
			}
			if p.Identity() != (auth.Identity{Issuer: issuer, Subject: "alice"}) || p.ClientID != "alice-app" || p.KeyID != s.KeyID ||
				p.Method != auth.MethodJWT || !slices.Equal(p.Scopes, []string{"chat:write"}) || p.Models != nil || p.Roles != nil ||
				!p.AuthTime.IsZero() || !p.ExpiresAt.Equal(now.Add(10*time.Minute)) {
				t.Errorf("%+v", p)
			}
		})
	}
}

func TestEveryKnownAttackIsRefused(t *testing.T) {
	for _, alg := range []string{"HS256", "RS256", "PS256", "ES256", "EdDSA"} {
		s := authtest.NewSigner(t, alg)
		v := verifier(t, s.Issuer(issuer, audience))
		attacks := s.Attacks(issuer, audience, now)
		if len(attacks) < 80 {
			t.Fatalf("%d attacks", len(attacks))
		}
		seen := map[string]bool{}
		for _, a := range attacks {
			if seen[a.Name] {
				t.Errorf("two attacks are called %s", a.Name)
			}
			seen[a.Name] = true
			t.Run(alg+"/"+a.Name, func(t *testing.T) {
				p, err := v.Verify(t.Context(), a.Token, now)
				if err == nil || p != nil {
					t.Fatalf("accepted: %s\n%.200s", a.Why, a.Token)
				}
				want := auth.ErrInvalid
				if a.Name == "expired" {
					want = auth.ErrExpired
				}
				if !errors.Is(err, want) {
					t.Errorf("error %v", err)
				}
				if len(a.Token) > 40 && strings.Contains(err.Error(), a.Token[10:40]) {
					t.Errorf("the error shows the token: %v", err)
				}
				// The same through a request: an attack never falls through to a weaker method when it has the shape of a token.
				r := authtest.Request("GET", "/", "", authtest.Bearer(a.Token))
				if _, err := v.Authenticate(r); err == nil {
					t.Error("accepted in a request")
				} else if strings.Count(a.Token, ".") == 2 && errors.Is(err, auth.ErrNoCredential) {
					t.Error("passed on to other authenticators")
				}
			})
		}
	}
}

// The names under which the incidents are known; the tokens are in authtest.
func TestPublicIncidentsAreCovered(t *testing.T) {
	have := map[string]bool{}
	for _, a := range authtest.NewSigner(t, "RS256").Attacks(issuer, audience, now) {
		have[a.Name] = true
	}
	for _, n := range []string{
		"alg_none", "alg_nOnE", "null_signature", "hmac_with_public_key_pem", "hmac_with_public_key_pem_leading_space", "hmac_with_public_key_der",
		"hmac_with_public_key_jwk", "embedded_jwk", "crit_unknown", "b64_false", "blank_hmac_key", "aud_empty_array", "aud_missing", "dot_flood",
		"json_serialisation", "jwe", "duplicate_sub", "case_variant_SUB", "trailing_bits", "padding", "exp_missing", "id_token_by_typ", "jku", "x5u", "x5c",
	} {
		if !have[n] {
			t.Errorf("no attack %s", n)
		}
	}
}

// RFC 7515 appendix A.1: the signature of this token is right, its claims are those of an RFC and not of an access token.
func TestRFC7515AppendixA1(t *testing.T) {
	token := "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9" +
		".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ" +
		".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
	secret, err := base64.RawURLEncoding.DecodeString("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75" + "aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
	if err != nil {
		t.Fatal(err)
	}
	if err := jwtauth.VerifySignature(token, jwtauth.Key{Algorithm: "HS256", Key: secret}); err != nil {
		t.Errorf("signature: %v", err)
	}
	if err := jwtauth.VerifySignature(token, jwtauth.Key{Algorithm: "HS256", Key: bytes.Repeat([]byte{1}, 32)}); err == nil {
		t.Error("accepted under another key")
	}
	v := verifier(t, jwtauth.Issuer{Issuer: "joe", Audiences: []string{"x"}, Algorithms: []string{"HS256"}, Types: []string{"JWT"}, Keys: []jwtauth.Key{{Algorithm: "HS256", Key: secret}}})
	if _, err := v.Verify(t.Context(), token, time.Unix(1300819000, 0)); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("a token without audience and subject: %v", err)
	}
}

func TestTheBoundariesOfTime(t *testing.T) {
	s := authtest.NewSigner(t, "HS256")
	is := s.Issuer(issuer, audience)
	claims := authtest.Claims(issuer, audience, now) // exp = now + 10 min
	exp := now.Add(10 * time.Minute)
	for _, c := range []struct {
		name   string
		leeway time.Duration
		claims map[string]any
		at     time.Time
		want   error
	}{
		{"a nanosecond before exp", -1, claims, exp.Add(-1), nil},
		{"exactly at exp", -1, claims, exp, auth.ErrExpired},
		{"a nanosecond before exp plus leeway", 10 * time.Second, claims, exp.Add(10*time.Second - 1), nil},
		{"exactly at exp plus leeway", 10 * time.Second, claims, exp.Add(10 * time.Second), auth.ErrExpired},
		{"exactly at iat minus leeway", 10 * time.Second, claims, now.Add(-10 * time.Second), nil},
		{"a nanosecond before iat minus leeway", 10 * time.Second, claims, now.Add(-10*time.Second - 1), auth.ErrInvalid},
		{"exactly at nbf", -1, authtest.With(claims, "nbf", now.Unix()), now, nil},
		{"a nanosecond before nbf", -1, authtest.With(claims, "nbf", now.Add(time.Second).Unix()), now.Add(time.Second - 1), auth.ErrInvalid},
		{"a fraction of exp is cut off", -1, authtest.With(claims, "exp", float64(exp.Unix())+0.5), exp, auth.ErrExpired},
		{"a fraction of nbf is rounded up", -1, authtest.With(claims, "nbf", float64(now.Unix())+0.5), now.Add(700 * time.Millisecond), auth.ErrInvalid},
		{"a lifetime of 24 hours", -1, authtest.With(claims, "exp", now.Add(24*time.Hour).Unix()), now, nil},
		{"a lifetime of a second more", -1, authtest.With(claims, "exp", now.Add(24*time.Hour+time.Second).Unix()), now, auth.ErrInvalid},
		{"no iat counts from now", -1, authtest.With(authtest.With(claims, "iat", nil), "exp", now.Add(25*time.Hour).Unix()), now, auth.ErrInvalid},
		{"exp zero", -1, authtest.With(claims, "exp", 0), now, auth.ErrExpired},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{is}, Leeway: c.leeway})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := v.Verify(t.Context(), s.Token(c.claims), c.at); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
		})
	}
}

func TestOnlyATokenThatWasGoodIsCalledExpired(t *testing.T) {
	s := authtest.NewSigner(t, "HS256")
	v := verifier(t, s.Issuer(issuer, audience))
	old := authtest.With(authtest.Claims(issuer, audience, now.Add(-time.Hour)), "scope", "a")
	if _, err := v.Verify(t.Context(), s.Token(old), now); !errors.Is(err, auth.ErrExpired) {
		t.Errorf("%v", err)
	}
	for name, claims := range map[string]map[string]any{
		"no sub": authtest.With(old, "sub", nil), "a scope with a quote": authtest.With(old, "scope", `a"`), "roles that are a number": authtest.With(old, "roles", 1),
		"another audience": authtest.With(old, "aud", "x"), "SUB beside sub": authtest.With(old, "SUB", "x"),
	} {
		if _, err := v.Verify(t.Context(), s.Token(claims), now); !errors.Is(err, auth.ErrInvalid) || errors.Is(err, auth.ErrExpired) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClaimsFillThePrincipal(t *testing.T) {
	s := authtest.NewSigner(t, "EdDSA")
	base := authtest.Claims(issuer, audience, now)
	get := func(names jwtauth.ClaimNames, claims map[string]any) (*auth.Principal, error) {
		is := s.Issuer(issuer, audience)
		is.Claims = names
		return verifier(t, is).Verify(t.Context(), s.Token(claims), now)
	}
	check := func(name string, names jwtauth.ClaimNames, claims map[string]any, ok func(p *auth.Principal) bool) {
		t.Helper()
		p, err := get(names, claims)
		if err != nil || !ok(p) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	refused := func(name string, names jwtauth.ClaimNames, claims map[string]any) {
		t.Helper()
		if p, err := get(names, claims); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	none := jwtauth.ClaimNames{}
	check("scp as an array", none, authtest.With(authtest.With(base, "scope", nil), "scp", []string{"a", "b"}), func(p *auth.Principal) bool { return slices.Equal(p.Scopes, []string{"a", "b"}) })
	check("scp as a string", none, authtest.With(authtest.With(base, "scope", nil), "scp", "a  b"), func(p *auth.Principal) bool { return slices.Equal(p.Scopes, []string{"a", "b"}) })
	check("scope and scp add up", none, authtest.With(base, "scp", []string{"x"}), func(p *auth.Principal) bool { return p.HasScopes("chat:write", "x") })
	check("no scope is no scope", none, authtest.With(base, "scope", nil), func(p *auth.Principal) bool { return len(p.Scopes) == 0 })
	check("aud as an array", none, authtest.With(base, "aud", []string{"other", audience}), func(p *auth.Principal) bool { return true })
	check("azp without client_id", none, authtest.With(authtest.With(base, "client_id", nil), "azp", "app"), func(p *auth.Principal) bool { return p.ClientID == "app" })
	check("neither means none, and not the subject", none, authtest.With(base, "client_id", nil), func(p *auth.Principal) bool { return p.ClientID == "" && p.Subject == "alice" })
	check("roles", none, authtest.With(base, "roles", []string{"ops"}), func(p *auth.Principal) bool { return p.HasRole("ops") })
	check("a string is one role", none, authtest.With(base, "roles", "Not Admin"), func(p *auth.Principal) bool { return slices.Equal(p.Roles, []string{"Not Admin"}) })
	refused("an empty role", none, authtest.With(base, "roles", ""))
	keycloak := func(realm any) map[string]any { return authtest.With(base, "realm_access", realm) }
	for _, c := range []struct {
		pointer string
		realm   any
		want    []string // nil for a refusal
	}{
		{"/realm_access/roles", map[string]any{"roles": []string{"ops", "admin"}}, []string{"ops", "admin"}},
		{"/realm_access/roles", map[string]any{"roles": "ops"}, []string{"ops"}},
		{"/realm_access/roles", map[string]any{"other": 1}, []string{}},
		{"/realm_access/roles", map[string]any{"roles": 1}, nil},
		{"/realm_access/roles", map[string]any{"roles": []any{"ops", 1}}, nil},
		{"/realm_access/roles", map[string]any{"Roles": []string{"ops"}}, nil},
		{"/realm_access/roles", "ops", nil},
		{"/realm_access/a~1b/~0c/roles", map[string]any{"a/b": map[string]any{"~c": map[string]any{"roles": []string{"ops"}}}}, []string{"ops"}},
		{"/realm_access/a/b/roles", map[string]any{"a": map[string]any{}}, []string{}},
		{"/realm_access/a/b/roles", map[string]any{"a": 1}, nil},
		{"/realm_access/a/b/roles", map[string]any{"a": map[string]any{"B": 1}}, nil},
		{"/resource_access/api/roles", map[string]any{}, []string{}},
		{"/realm_access", []string{"ops"}, []string{"ops"}},
	} {
		name := fmt.Sprintf("%s in %v", c.pointer, c.realm)
		if c.want == nil {
			refused(name, jwtauth.ClaimNames{Roles: c.pointer}, keycloak(c.realm))
			continue
		}
		check(name, jwtauth.ClaimNames{Roles: c.pointer}, keycloak(c.realm), func(p *auth.Principal) bool { return slices.Equal(p.Roles, c.want) })
	}
	check("auth_time", none, authtest.With(base, "auth_time", now.Add(-time.Hour).Unix()), func(p *auth.Principal) bool { return p.AuthTime.Equal(now.Add(-time.Hour)) })
	check("an escaped value is decoded", none, authtest.With(base, "sub", "a\u00e9\"<&"), func(p *auth.Principal) bool { return p.Subject == "a\u00e9\"<&" })
	names := jwtauth.ClaimNames{ClientID: "appId", Tenant: "https://acme.example/tenant", Plan: "plan", Models: "models", Roles: "groups"}
	full := map[string]any{"appId": "app", "https://acme.example/tenant": "t1", "plan": "gold", "models": []string{"m1"}, "groups": []string{"g"}}
	for k, v := range base {
		if _, ok := full[k]; !ok {
			full[k] = v
		}
	}
	check("configured names", names, full, func(p *auth.Principal) bool {
		return p.ClientID == "app" && p.Tenant == "t1" && p.Plan == "gold" && slices.Equal(p.Models, []string{"m1"}) && p.HasRole("g")
	})
	check("a missing models claim allows no model", names, authtest.With(full, "models", nil), func(p *auth.Principal) bool { return p.Models != nil && !p.AllowsModel("m1") })
	check("an empty models claim allows no model", names, authtest.With(full, "models", []string{}), func(p *auth.Principal) bool { return p.Models != nil && !p.AllowsModel("m1") })
	refused("a configured client that is missing", names, authtest.With(full, "appId", nil))
	refused("a configured client that is empty", names, authtest.With(full, "appId", ""))
	refused("a configured name in another case", names, authtest.With(full, "appID", "x"))
	refused("a plan that is a number", names, authtest.With(full, "plan", 1))
	refused("models that is a number", names, authtest.With(full, "models", 1))
	refused("client_id that is null", none, func() map[string]any { c := authtest.With(base, "x", 1); c["client_id"] = nil; return c }())
	refused("a subject of 513 bytes", none, authtest.With(base, "sub", strings.Repeat("x", 513)))
}

func TestKeysDoNotCrossIssuers(t *testing.T) {
	a, b := authtest.NewSigner(t, "ES256"), authtest.NewSigner(t, "ES256")
	b.KeyID = a.KeyID // the same kid under two issuers
	v := verifier(t, a.Issuer("https://a.example", audience), b.Issuer("https://b.example", audience))
	for _, c := range []struct {
		s    *authtest.Signer
		iss  string
		want bool
	}{{a, "https://a.example", true}, {b, "https://b.example", true}, {a, "https://b.example", false}, {b, "https://a.example", false}} {
		_, err := v.Verify(t.Context(), c.s.Token(authtest.Claims(c.iss, audience, now)), now)
		if (err == nil) != c.want {
			t.Errorf("iss %s: %v", c.iss, err)
		}
	}
}

func TestATokenWithoutKidNeedsExactlyOneFittingKey(t *testing.T) {
	a, b := authtest.NewSigner(t, "ES256"), authtest.NewSigner(t, "ES256")
	nameless := func(s *authtest.Signer) string {
		return s.Sign(authtest.With(s.Header(), "kid", nil), authtest.Claims(issuer, audience, now))
	}
	one, two := a.Issuer(issuer, audience), a.Issuer(issuer, audience)
	two.Keys = append(two.Keys, b.Key())
	if _, err := verifier(t, one).Verify(t.Context(), nameless(a), now); err != nil {
		t.Errorf("one key: %v", err)
	}
	if _, err := verifier(t, two).Verify(t.Context(), nameless(a), now); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("two keys: %v", err)
	}
	anonymous := one
	anonymous.Keys = []jwtauth.Key{{Algorithm: "ES256", Key: a.PublicKey()}}
	if _, err := verifier(t, anonymous).Verify(t.Context(), nameless(a), now); err != nil {
		t.Errorf("a key without ID and a token without kid: %v", err)
	}
	if _, err := verifier(t, anonymous).Verify(t.Context(), a.Token(authtest.Claims(issuer, audience, now)), now); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("a key without ID and a token with kid: %v", err)
	}
}

func TestTypesAreAnAllowList(t *testing.T) {
	s := authtest.NewSigner(t, "HS256")
	for _, c := range []struct {
		types  []string
		typ    any
		accept bool
	}{
		{nil, "at+jwt", true}, {nil, "AT+JWT", true}, {nil, "application/at+jwt", true}, {nil, "Application/At+Jwt", true},
		{nil, "JWT", false}, {nil, nil, false}, {nil, "application/", false}, {nil, "at+jwt ", false}, {nil, "application/application/at+jwt", false},
		{[]string{"JWT"}, "jwt", true}, {[]string{"JWT"}, "application/jwt", true}, {[]string{"JWT"}, "at+jwt", false}, {[]string{"JWT"}, nil, false},
		{[]string{"at+jwt", ""}, nil, true}, {[]string{""}, "JWT", false}, {[]string{""}, "", false}, {[]string{"application/AT+jwt"}, "at+jwt", true},
	} {
		is := s.Issuer(issuer, audience)
		is.Types = c.types
		_, err := verifier(t, is).Verify(t.Context(), s.Sign(authtest.With(s.Header(), "typ", c.typ), authtest.Claims(issuer, audience, now)), now)
		if (err == nil) != c.accept {
			t.Errorf("Types %q, typ %v: %v", c.types, c.typ, err)
		}
	}
}

func TestWhatIsNoTokenIsLeftToOthers(t *testing.T) {
	s := authtest.NewSigner(t, "HS256")
	v := verifier(t, s.Issuer(issuer, audience))
	token := s.Token(authtest.Claims(issuer, audience, time.Now()))
	if p, err := v.Authenticate(authtest.Request("POST", "/", "", authtest.Bearer(token))); err != nil || p.Subject != "alice" {
		t.Fatalf("%+v, %v", p, err)
	}
	for name, r := range map[string]*http.Request{
		"nothing":                 authtest.Request("GET", "/", ""),
		"an API key":              authtest.Request("GET", "/", "", authtest.Bearer("acme_live_x")),
		"one dot":                 authtest.Request("GET", "/", "", authtest.Bearer("a.b")),
		"five segments":           authtest.Request("GET", "/", "", authtest.Bearer("a.b.c.d.e")),
		"a token in X-API-Key":    authtest.Request("GET", "/", "", authtest.APIKey(token)),
		"a token in the query":    authtest.Request("GET", "/?access_token="+token, ""),
		"another scheme":          authtest.Request("GET", "/", "", func(r *http.Request) { r.Header.Set("Authorization", "DPoP "+token) }),
		"a token without scheme":  authtest.Request("GET", "/", "", func(r *http.Request) { r.Header.Set("Authorization", token) }),
		"a tab behind the scheme": authtest.Request("GET", "/", "", func(r *http.Request) { r.Header.Set("Authorization", "Bearer\t"+token) }),
	} {
		if p, err := v.Authenticate(r); p != nil || !errors.Is(err, auth.ErrNoCredential) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
	}
	two := authtest.Request("GET", "/", "", authtest.Bearer(token), authtest.APIKey("x"))
	if _, err := v.Authenticate(two); !errors.Is(err, auth.ErrTwoCredentials) {
		t.Errorf("two credentials: %v", err)
	}
}

func TestTheZeroVerifierRefuses(t *testing.T) {
	var zero jwtauth.Verifier
	var none *jwtauth.Verifier
	for _, v := range []*jwtauth.Verifier{&zero, none} {
		if _, err := v.Verify(t.Context(), "a.b.c", now); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("Verify: %v", err)
		}
		if _, err := v.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer("a.b.c"))); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("Authenticate: %v", err)
		}
	}
}

func TestNewRefusesWhatWouldBeUnsafe(t *testing.T) {
	good := authtest.NewSigner(t, "ES256").Issuer(issuer, audience)
	ec, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	ec384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, edPrivate, _ := ed25519.GenerateKey(rand.Reader)
	der, _ := x509.MarshalPKIXPublicKey(&ec.PublicKey)
	publicPEM := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	modulus := func(bits int) *big.Int { return new(big.Int).SetBit(big.NewInt(1), bits-1, 1) }
	issuerWith := func(f func(*jwtauth.Issuer)) jwtauth.Config {
		is := good
		is.Keys = slices.Clone(good.Keys)
		f(&is)
		return jwtauth.Config{Issuers: []jwtauth.Issuer{is}}
	}
	keyWith := func(alg string, key any) jwtauth.Config {
		return issuerWith(func(is *jwtauth.Issuer) {
			is.Algorithms = []string{alg}
			is.Keys = []jwtauth.Key{{ID: "k", Algorithm: alg, Key: key}}
		})
	}
	for _, c := range []struct {
		name, want string
		cfg        jwtauth.Config
	}{
		{"no issuer", "Issuers", jwtauth.Config{}},
		{"too much leeway", "Leeway", jwtauth.Config{Issuers: []jwtauth.Issuer{good}, Leeway: 2 * time.Minute}},
		{"huge tokens", "MaxTokenBytes", jwtauth.Config{Issuers: []jwtauth.Issuer{good}, MaxTokenBytes: 1 << 20}},
		{"an issuer twice", "twice", jwtauth.Config{Issuers: []jwtauth.Issuer{good, good}}},
		{"no name", "Issuer is empty", issuerWith(func(is *jwtauth.Issuer) { is.Issuer = "" })},
		{"no audience", "Audiences is empty", issuerWith(func(is *jwtauth.Issuer) { is.Audiences = nil })},
		{"an empty audience", "Audiences", issuerWith(func(is *jwtauth.Issuer) { is.Audiences = []string{""} })},
		{"no algorithm", "Algorithms is empty", issuerWith(func(is *jwtauth.Issuer) { is.Algorithms = nil })},
		{"algorithm none", `"none" is not supported`, issuerWith(func(is *jwtauth.Issuer) { is.Algorithms = []string{"none"} })},
		{"HMAC beside a public key", "mix HMAC", issuerWith(func(is *jwtauth.Issuer) { is.Algorithms = []string{"ES256", "HS256"} })},
		{"no key", "Keys is empty", issuerWith(func(is *jwtauth.Issuer) { is.Keys = nil })},
		{"a key of an algorithm that is not allowed", "not in Algorithms", issuerWith(func(is *jwtauth.Issuer) { is.Algorithms = []string{"ES384"} })},
		{"a key id twice", "twice", issuerWith(func(is *jwtauth.Issuer) { is.Keys = append(is.Keys, is.Keys[0]) })},
		{"no types", "Types", issuerWith(func(is *jwtauth.Issuer) { is.Types = []string{} })},
		{"half a type", "no type", issuerWith(func(is *jwtauth.Issuer) { is.Types = []string{"application/"} })},
		{"nil key", "Key is nil", keyWith("ES256", nil)},
		{"a typed nil", "empty", keyWith("ES256", (*ecdsa.PublicKey)(nil))},
		{"blank HMAC key", "shorter", keyWith("HS256", []byte{})},
		{"short HMAC key", "shorter", keyWith("HS256", make([]byte, 31))},
		{"short for HS512", "shorter", keyWith("HS512", make([]byte, 63))},
		{"a PEM as HMAC key", "public key", keyWith("HS256", publicPEM)},
		{"a PEM behind a blank", "public key", keyWith("HS256", append([]byte(" \n"), publicPEM...))},
		{"DER as HMAC key", "public key", keyWith("HS256", der)},
		{"a JWK as HMAC key", "public key", keyWith("HS256", []byte(`{"kty":"RSA","n":"AQAB","e":"AQAB","x":"y"}`))},
		{"a string as HMAC key", "not supported", keyWith("HS256", strings.Repeat("k", 32))},
		{"a private ECDSA key", "private", keyWith("ES256", ec)},
		{"a private Ed25519 key", "private", keyWith("EdDSA", edPrivate)},
		{"RSA 1024", "1024", keyWith("RS256", &rsa.PublicKey{N: modulus(1024), E: 65537})},
		{"RSA 16384", "16384", keyWith("RS256", &rsa.PublicKey{N: modulus(16384), E: 65537})},
		{"RSA exponent 1", "exponent", keyWith("RS256", &rsa.PublicKey{N: modulus(2048), E: 1})},
		{"RSA without modulus", "empty", keyWith("RS256", &rsa.PublicKey{E: 65537})},
		{"P-384 for ES256", "P-384", keyWith("ES256", &ec384.PublicKey)},
		{"a point off the curve", "point", keyWith("ES256", offCurve())},
		{"31 bytes of Ed25519", "31", keyWith("EdDSA", ed25519.PublicKey(make([]byte, 31)))},
		{"an RSA key for ES256", "does not fit", keyWith("ES256", &rsa.PublicKey{N: modulus(2048), E: 65537})},
		{"bytes for RS256", "does not fit", keyWith("RS256", publicPEM)},
	} {
		v, err := jwtauth.New(c.cfg)
		if err == nil || v != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	// All faults at once.
	_, err := jwtauth.New(jwtauth.Config{Leeway: time.Hour, MaxTokenBytes: -1, Issuers: []jwtauth.Issuer{{}}})
	for _, want := range []string{"Leeway", "MaxTokenBytes", "Issuers[0]", "Audiences", "Algorithms", "Keys"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the joined error lacks %s: %v", want, err)
		}
	}
}

func TestKeysAreCopied(t *testing.T) {
	secret := bytes.Repeat([]byte{7}, 32)
	s := authtest.NewSigner(t, "HS256")
	is := s.Issuer(issuer, audience)
	is.Keys[0].Key = secret
	v := verifier(t, is)
	token := s.Token(authtest.Claims(issuer, audience, now))
	copy(secret, s.PublicKey().([]byte)[:32])
	if _, err := v.Verify(t.Context(), token, now); err == nil {
		t.Error("changing the caller's slice changed the key")
	}
}

func TestNothingOfATokenIsLogged(t *testing.T) {
	s := authtest.NewSigner(t, "HS256")
	v := verifier(t, s.Issuer(issuer, audience))
	var log bytes.Buffer
	l := slog.New(slog.NewTextHandler(&log, nil))
	for _, a := range s.Attacks(issuer, audience, now) {
		_, err := v.Verify(t.Context(), a.Token, now)
		l.Info("refused", "err", err)
		var e *auth.Error
		if errors.As(err, &e) {
			l.Info("refused", "err", e.LogValue())
		}
	}
	if strings.Contains(log.String(), "eyJ") || strings.Contains(log.String(), "alice") {
		t.Error("a part of a token was logged")
	}
}

// offCurve is a public key whose point lies on no curve. Only the deprecated fields can hold one, and a caller may too.
func offCurve() *ecdsa.PublicKey {
	return &ecdsa.PublicKey{Curve: elliptic.P256(), X: big.NewInt(1), Y: big.NewInt(1)} //lint:ignore SA1019 the point of the test
}

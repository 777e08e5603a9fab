package bench

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"

	auth0 "github.com/auth0/go-jwt-middleware/v2/validator"
	"github.com/coreos/go-oidc/v3/oidc"
	chijwt "github.com/go-chi/jwtauth/v5"
	"github.com/golang-jwt/jwt/v5"

	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/jwtauth"
)

const (
	jwtIssuer   = "https://issuer.example"
	jwtAudience = "https://inference.example"
)

var jwtAlgorithms = []string{"HS256", "RS256", "ES256", "EdDSA"}

// jwtPeer is one way to decide about a token.
type jwtPeer struct {
	name   string
	verify func(token string) error
}

// jwtPeers returns the ways to decide about a token of s: ours, the libraries people use, and the bare primitives they all end in.
// raw computes the one signature of good, and hash the one hash; they decide nothing.
func jwtPeers(tb testing.TB, s *authtest.Signer, good string) []jwtPeer {
	ours := func(size int) func(string) error {
		v, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{s.Issuer(jwtIssuer, jwtAudience)}, CacheSize: size})
		if err != nil {
			tb.Fatal(err)
		}
		return func(token string) error {
			_, err := v.Verify(context.Background(), token, time.Now())
			return err
		}
	}
	key := s.PublicKey()
	options := []jwt.ParserOption{
		jwt.WithValidMethods([]string{s.Algorithm}), jwt.WithIssuer(jwtIssuer), jwt.WithAudience(jwtAudience), jwt.WithExpirationRequired(), jwt.WithIssuedAt(),
	}
	keyFunc := func(*jwt.Token) (any, error) { return key, nil }
	a, err := auth0.New(func(context.Context) (any, error) { return key, nil }, auth0.SignatureAlgorithm(s.Algorithm), jwtIssuer, []string{jwtAudience})
	if err != nil {
		tb.Fatal(err)
	}
	parser := jwt.NewParser(options...)
	peers := []jwtPeer{
		{"mantlet/cold", ours(-1)},
		{"mantlet/warm", ours(0)},
		{"golang-jwt/map", func(token string) error {
			_, err := parser.ParseWithClaims(token, jwt.MapClaims{}, keyFunc)
			return err
		}},
		{"golang-jwt/registered", func(token string) error {
			_, err := parser.ParseWithClaims(token, &jwt.RegisteredClaims{}, keyFunc)
			return err
		}},
		{"auth0-middleware-v2", func(token string) error {
			_, err := a.ValidateToken(context.Background(), token)
			return err
		}},
	}
	var chi *chijwt.JWTAuth
	if s.Algorithm == "HS256" {
		chi = chijwt.New(s.Algorithm, key, nil)
	} else {
		chi = chijwt.New(s.Algorithm, nil, key)
		o := oidc.NewVerifier(jwtIssuer, &oidc.StaticKeySet{PublicKeys: []crypto.PublicKey{key}}, &oidc.Config{ClientID: jwtAudience, SupportedSigningAlgs: []string{s.Algorithm}})
		peers = append(peers, jwtPeer{"go-oidc", func(token string) error {
			_, err := o.Verify(context.Background(), token)
			return err
		}})
	}
	peers = append(peers, jwtPeer{"chi-jwtauth", func(token string) error {
		_, err := chijwt.VerifyToken(chi, token)
		return err
	}})

	dot := strings.LastIndexByte(good, '.')
	signed := []byte(good[:dot])
	signature, err := base64.RawURLEncoding.DecodeString(good[dot+1:])
	if err != nil {
		tb.Fatal(err)
	}
	errBad := errors.New("bad signature")
	decide := func(ok bool) error {
		if !ok {
			return errBad
		}
		return nil
	}
	var raw func(string) error
	switch k := key.(type) {
	case []byte:
		h := hmac.New(sha256.New, k)
		sum := make([]byte, 0, sha256.Size)
		raw = func(string) error {
			h.Reset()
			h.Write(signed)
			return decide(hmac.Equal(h.Sum(sum), signature))
		}
	case *rsa.PublicKey:
		raw = func(string) error {
			sum := sha256.Sum256(signed)
			return rsa.VerifyPKCS1v15(k, crypto.SHA256, sum[:], signature)
		}
	case *ecdsa.PublicKey:
		der, err := asn1.Marshal([]*big.Int{new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])})
		if err != nil {
			tb.Fatal(err)
		}
		raw = func(string) error {
			sum := sha256.Sum256(signed)
			return decide(ecdsa.VerifyASN1(k, sum[:], der))
		}
	case ed25519.PublicKey:
		raw = func(string) error { return decide(ed25519.Verify(k, signed, signature)) }
	}
	whole := []byte(good)
	var sum [sha256.Size]byte
	return append(peers, jwtPeer{"raw", raw}, jwtPeer{"hash", func(string) error {
		sum = sha256.Sum256(whole)
		return decide(sum[0] != 0 || sum[1] != 0 || sum[2] != 0 || sum[3] != 0)
	}})
}

// jwtToken is a token of about 800 bytes, the size of what large identity providers issue for an API.
func jwtToken(s *authtest.Signer) string {
	claims := authtest.Claims(jwtIssuer, jwtAudience, time.Now())
	claims["roles"] = []string{"inference-user", "billing-reader"}
	claims["jti"] = "6f1e9a3c-7b0d-4f55-9c1e-2d8f4a6b7c90"
	claims["exp"] = time.Now().Add(time.Hour).Unix()
	n := len(s.Token(claims))
	claims["note"] = strings.Repeat("x", max(0, (800-n)*3/4-12))
	return s.Token(claims)
}

// BenchmarkJWT: the time to decide about one token, for every peer in one run. Read mantlet/cold beside raw and golang-jwt,
// mantlet/warm beside hash.
func BenchmarkJWT(b *testing.B) {
	for _, alg := range jwtAlgorithms {
		s := authtest.NewSigner(b, alg)
		token := jwtToken(s)
		for _, p := range jwtPeers(b, s, token) {
			b.Run(alg+"/"+p.name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if err := p.verify(token); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func TestEveryJWTPeerVerifiesWhatItIsTimedFor(t *testing.T) {
	for _, alg := range jwtAlgorithms {
		s := authtest.NewSigner(t, alg)
		token := jwtToken(s)
		if n := len(token); n < 780 || n > 820 {
			t.Errorf("%s: a token of %d bytes", alg, n)
		}
		dot := strings.LastIndexByte(token, '.')
		forged := []byte(token)
		forged[dot+5] ^= 1
		if bytes.Equal(forged, []byte(token)) {
			t.Fatal("not forged")
		}
		for _, p := range jwtPeers(t, s, token) {
			for range 2 {
				if err := p.verify(token); err != nil {
					t.Errorf("%s %s: %v", alg, p.name, err)
				}
			}
			if p.name == "raw" || p.name == "hash" {
				continue
			}
			if err := p.verify(string(forged)); err == nil {
				t.Errorf("%s %s accepts a forged token", alg, p.name)
			}
		}
	}
}

// How often the issuer is asked when somebody sends bad tokens: the counts of ours are asserted, those of go-oidc are logged. It has
// no test double for time, so this one runs in no bubble; ours needs none, since nothing here waits for a clock.
func TestFetchesThatBadTokensCause(t *testing.T) {
	const n = 50
	s := authtest.NewSigner(t, "ES256")
	a := authtest.NewAuthority(t, jwtIssuer, s)
	claims := authtest.Claims(jwtIssuer, jwtAudience, time.Now())
	good := s.Token(claims)
	forged := good[:strings.LastIndexByte(good, '.')+1] + base64.RawURLEncoding.EncodeToString(bytes.Repeat([]byte{1}, 64))

	v, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{a.Issuer(jwtAudience, "ES256")}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = v.Close(context.Background()) })
	o := oidc.NewVerifier(jwtIssuer, oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), &http.Client{Transport: a.Transport()}), a.JWKS()),
		&oidc.Config{ClientID: jwtAudience, SupportedSigningAlgs: []string{"ES256"}})
	for _, p := range []struct {
		name                string
		verify              func(string) error
		badSignatures, kids int // -1 for not asserted
	}{
		{"mantlet", func(token string) error { _, err := v.Verify(context.Background(), token, time.Now()); return err }, 0, 1},
		{"go-oidc", func(token string) error { _, err := o.Verify(context.Background(), token); return err }, -1, -1},
	} {
		if err := p.verify(good); err != nil {
			t.Fatalf("%s: %v", p.name, err)
		}
		before := a.Fetches()
		for range n {
			if p.verify(forged) == nil {
				t.Fatalf("%s accepts a forged token", p.name)
			}
		}
		badSignatures := a.Fetches() - before
		before = a.Fetches()
		for i := range n {
			if p.verify(s.Sign(authtest.With(s.Header(), "kid", fmt.Sprint("random-", i)), claims)) == nil {
				t.Fatalf("%s accepts an unknown kid", p.name)
			}
		}
		kids := a.Fetches() - before
		t.Logf("report: %s: %d bad signatures under a known kid cause %d fetches, %d random kids %d", p.name, n, badSignatures, n, kids)
		if p.badSignatures >= 0 && (badSignatures != p.badSignatures || kids != p.kids) {
			t.Errorf("%s: want %d and %d", p.name, p.badSignatures, p.kids)
		}
	}
}

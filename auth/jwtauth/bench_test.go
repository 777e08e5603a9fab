package jwtauth_test

import (
	"crypto/sha256"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/jwtauth"
)

// BenchmarkVerify measures a whole decision about a token that is not remembered (cold), and the bare signature it contains: the
// difference is what the strict front costs. warm is the second use of a token, beside the hash of it. Other libraries stand in
// internal/bench.
func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		s := authtest.NewSigner(b, alg)
		is := s.Issuer(issuer, audience)
		cold, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{is}, CacheSize: -1})
		if err != nil {
			b.Fatal(err)
		}
		token := s.Token(authtest.Claims(issuer, audience, now))
		run := func(name string, v *jwtauth.Verifier) {
			b.Run(alg+"/"+name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := v.Verify(b.Context(), token, now); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
		run("cold", cold)
		run("warm", verifier(b, is))
		b.Run(alg+"/hash-only", func(b *testing.B) {
			raw := []byte(token)
			for b.Loop() {
				sha256.Sum256(raw)
			}
		})
		signed, sig := token[:strings.LastIndexByte(token, '.')], token[strings.LastIndexByte(token, '.')+1:]
		raw, _ := jwtauth.AppendBase64URL(nil, sig)
		b.Run(alg+"/signature-only", func(b *testing.B) {
			b.ReportAllocs()
			m := jwt.GetSigningMethod(alg)
			for b.Loop() {
				if err := m.Verify(signed, raw, s.PublicKey()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkRefuse bounds what a token costs that is refused before its signature is computed: an attacker's best case.
func BenchmarkRefuse(b *testing.B) {
	s := authtest.NewSigner(b, "ES256")
	v := verifier(b, s.Issuer(issuer, audience))
	for _, a := range s.Attacks(issuer, audience, now) {
		switch a.Name {
		case "alg_none", "dot_flood", "oversized", "kid_unknown", "iss_foreign", "deep_claims", "flipped_signature_bit":
			b.Run(a.Name, func(b *testing.B) {
				b.ReportAllocs()
				for b.Loop() {
					if _, err := v.Verify(b.Context(), a.Token, now); err == nil {
						b.Fatal("accepted")
					}
				}
			})
		}
	}
}

package jwtauth_test

import (
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/jwtauth"
)

// BenchmarkVerify compares a whole decision with the bare signature it contains: the difference is what the strict front
// costs. golang-jwt with a registered-claims parser stands beside it.
func BenchmarkVerify(b *testing.B) {
	for _, alg := range []string{"HS256", "RS256", "ES256", "EdDSA"} {
		s := authtest.NewSigner(b, alg)
		v := verifier(b, s.Issuer(issuer, audience))
		token := s.Token(authtest.Claims(issuer, audience, now))
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Verify(b.Context(), token, now); err != nil {
					b.Fatal(err)
				}
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
		b.Run(alg+"/golang-jwt", func(b *testing.B) {
			b.ReportAllocs()
			p := jwt.NewParser(jwt.WithValidMethods([]string{alg}), jwt.WithoutClaimsValidation())
			for b.Loop() {
				if _, err := p.ParseWithClaims(token, &jwt.RegisteredClaims{}, func(*jwt.Token) (any, error) { return s.PublicKey(), nil }); err != nil {
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

package jwtauth_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/jwtauth"
)

// FuzzParseToken: no input panics; no input is accepted but one that is signed; and an accepted token is the canonical
// spelling of its bytes, so that decoding and encoding its segments gives it back.
func FuzzParseToken(f *testing.F) {
	s := authtest.NewSigner(f, "HS256")
	v := verifier(f, s.Issuer(issuer, audience))
	good := s.Token(authtest.Claims(issuer, audience, now))
	f.Add(good, false)
	f.Add(good, true)
	for _, a := range s.Attacks(issuer, audience, now) {
		if len(a.Token) < 4096 {
			f.Add(a.Token, false)
			f.Add(a.Token, true)
		}
	}
	f.Fuzz(func(t *testing.T, token string, sign bool) {
		if sign {
			// Sign what the fuzzer made of the first two segments, so that it gets past the signature.
			if parts := strings.Split(token, "."); len(parts) >= 2 {
				token = s.SignSegments(parts[0], parts[1])
			}
		}
		p, err := v.Verify(t.Context(), token, now)
		if (p == nil) != (err != nil) {
			t.Fatalf("principal %v, error %v", p, err)
		}
		if err != nil {
			return
		}
		if p.Issuer != issuer || p.Subject == "" || p.ClientID == "" || !p.ExpiresAt.After(now.Add(-31e9)) {
			t.Errorf("accepted %+v", p)
		}
		if !sign && token != good {
			t.Errorf("accepted another token than the one that was signed: %q", token)
		}
		for _, seg := range strings.Split(token, ".") {
			b, err := base64.RawURLEncoding.Strict().DecodeString(seg)
			if err != nil || base64.RawURLEncoding.EncodeToString(b) != seg {
				t.Errorf("segment %q is not canonical: %v", seg, err)
			}
		}
	})
}

// FuzzBase64URL: the strict decoder agrees with encoding/base64 wherever that has only one spelling.
func FuzzBase64URL(f *testing.F) {
	for _, s := range []string{"", "A", "AA", "AB", "AAA", "AAB", "AAAA", "AA==", "-_-_", "+/+/", "AA\nAA", "AAAAA", "\xff\xff"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, ok := jwtauth.AppendBase64URL(nil, s)
		want, err := base64.RawURLEncoding.Strict().DecodeString(s)
		canonical := err == nil && base64.RawURLEncoding.EncodeToString(want) == s
		if ok != canonical || ok && string(got) != string(want) {
			t.Errorf("%q: %q %v, want %q %v", s, got, ok, want, err)
		}
	})
}

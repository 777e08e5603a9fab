package jwtauth_test

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

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
		if p.Issuer != issuer || p.Subject == "" || !p.ExpiresAt.After(now.Add(-31e9)) {
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

// FuzzDiscovery: no document panics; what is accepted is of this issuer for encoding/json too, and names an https URL with a
// host and nothing in it that would send us elsewhere.
func FuzzDiscovery(f *testing.F) {
	for _, d := range []string{
		`{"issuer":"https://issuer.example","jwks_uri":"https://issuer.example/keys"}`, `{"issuer":"https:\/\/issuer.example","jwks_uri":"https:\u002f\u002fa.example"}`,
		`{"issuer":"https://issuer.example","jwks_uri":"https://u@a.example/"}`, `{"issuer":"https://issuer.example","jwks_uri":"http://a.example/"}`,
		`{"Issuer":"https://issuer.example"}`, `[]`, `{"issuer":"x","issuer":"https://issuer.example","jwks_uri":"https://a.example"}`,
	} {
		f.Add([]byte(d))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		at, err := jwtauth.ParseDiscovery(body, issuer)
		if err != nil {
			if at != "" {
				t.Errorf("%q and %v", at, err)
			}
			return
		}
		var doc struct {
			Issuer  string `json:"issuer"`
			JWKSURI string `json:"jwks_uri"`
		}
		if err := json.Unmarshal(body, &doc); err != nil || doc.Issuer != issuer || doc.JWKSURI != at {
			t.Errorf("accepted %q as %q; encoding/json reads %+v, %v", body, at, doc, err)
		}
		if u, err := url.Parse(at); err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil {
			t.Errorf("accepted the URL %q: %v", at, err)
		}
	})
}

// FuzzCacheControl: no header panics, and the result is a time that can be added and compared.
func FuzzCacheControl(f *testing.F) {
	for _, h := range []string{"", "max-age=60", `max-age="60", public`, "no-store", "max-age=99999999999999999999", "MAX-AGE=1,max-age=2", "max-age", "=", ",,,"} {
		f.Add(h, "")
		f.Add("public", h)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		d := jwtauth.Freshness(http.Header{"Cache-Control": {a, b}})
		if d < 0 || d > 1<<31*time.Second {
			t.Errorf("%q, %q: %v", a, b, d)
		}
		if both := jwtauth.Freshness(http.Header{"Cache-Control": {a, b, "no-store"}}); both != 0 {
			t.Errorf("%q, %q and no-store: %v", a, b, both)
		}
	})
}

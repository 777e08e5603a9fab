package pop_test

import (
	"encoding/base64"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/pop"
)

// FuzzProof: no header panics; what is read has a thumbprint, a jti within bounds and the canonical spelling; and one that was not signed
// by the client's key is never accepted but as the client wrote it.
func FuzzProof(f *testing.F) {
	c := newClient(f, "ES256")
	v := verifier(f, pop.Config{Tokens: tokens{"t": {JKT: c.Thumbprint()}}, Algorithms: every})
	now := time.Unix(1_800_000_000, 0)
	good := c.request("t", now, nil).Header.Get("DPoP")
	f.Add(good, false)
	f.Add(good, true)
	for _, alg := range []string{"EdDSA", "RS256"} {
		f.Add(newClient(f, alg).request("t", now, nil).Header.Get("DPoP"), false)
	}
	f.Add("a.b.c", true)
	f.Add(strings.Repeat(".", 100), false)
	f.Fuzz(func(t *testing.T, proof string, sign bool) {
		if sign {
			// Sign what the fuzzer made of the first two segments, so that it gets past the signature.
			if parts := strings.Split(proof, "."); len(parts) >= 2 {
				proof = c.SignSegments(parts[0], parts[1])
			}
		}
		thumbprint, jti, err := pop.Parse(v, proof)
		if err != nil {
			return
		}
		if len(thumbprint) != 43 || jti == "" || len(jti) > 128 {
			t.Errorf("%q: %q, %q", proof, thumbprint, jti)
		}
		for _, seg := range strings.Split(proof, ".") {
			b, err := base64.RawURLEncoding.Strict().DecodeString(seg)
			if err != nil || base64.RawURLEncoding.EncodeToString(b) != seg {
				t.Errorf("segment %q is not canonical: %v", seg, err)
			}
		}
		r := authtest.Request("POST", "/v1/chat/completions", "")
		r.Header.Set("DPoP", proof)
		if pop.WithProof(v, r, "t", now) == nil && !sign && proof != good {
			t.Errorf("accepted %q", proof)
		}
	})
}

// FuzzHTU: comparing is stable (what was normalised once stays as it is), and it makes two URLs equal only if their hosts and decoded
// paths are.
func FuzzHTU(f *testing.F) {
	for _, s := range []string{"https://api.example.com/a%7e", "HTTPS://A:443", "http://h:80/%2e/", "https://[::1]:443/", "https://h/%", "https://u@h/", "https://h/a?b#c"} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, a, b string) {
		na, ok := pop.Normalise(a)
		if !ok {
			return
		}
		if again, ok := pop.Normalise(na); !ok || again != na {
			t.Fatalf("%q is %q, then %q", a, na, again)
		}
		nb, ok := pop.Normalise(b)
		if !ok || na != nb {
			return
		}
		ua, _ := url.Parse(a)
		ub, _ := url.Parse(b)
		if !strings.EqualFold(ua.Hostname(), ub.Hostname()) || strings.TrimPrefix(ua.Path, "/") != strings.TrimPrefix(ub.Path, "/") {
			t.Errorf("%q and %q are the same", a, b)
		}
	})
}

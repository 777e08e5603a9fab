package pop_test

import (
	"context"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth/pop"
)

// once is a store that forgets: every proof is the first.
type once struct{}

func (once) Burn(context.Context, [32]byte, time.Time) (bool, error) { return true, nil }

// BenchmarkProof is a whole decision about a proof, next to the signature it contains; and two refusals, which are an attacker's
// choice: a proof that is not for this request, and one by another key.
func BenchmarkProof(b *testing.B) {
	for _, alg := range []string{"ES256", "EdDSA", "RS256"} {
		c := newClient(b, alg)
		v := verifier(b, pop.Config{Tokens: tokens{"t": {JKT: c.Thumbprint()}}, Algorithms: every, Replay: once{}, MaxAge: 10 * time.Minute})
		r := c.request("t", time.Now(), nil)
		b.Run(alg, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Authenticate(r); err != nil {
					b.Fatal(err)
				}
			}
		})
		signed, signature, key := pop.Signature(v, r.Header.Get("DPoP"))
		b.Run(alg+"/signature-only", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if err := pop.Verify(alg, signed, signature, key); err != nil {
					b.Fatal(err)
				}
			}
		})
		bad := c.request("t", time.Now(), func(_, cl map[string]any) { cl["htm"] = "GET" })
		b.Run(alg+"/refused-other-request", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Authenticate(bad); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}

// BenchmarkBurn is what the store in memory adds to each proof.
func BenchmarkBurn(b *testing.B) {
	s := pop.NewMemory(1<<26, time.Minute)
	var key [32]byte
	b.ReportAllocs()
	for n := uint64(0); b.Loop(); n++ {
		for i := range 8 {
			key[i], key[16+i] = byte(n>>(8*i)), byte(n>>(8*i))
		}
		if _, err := s.Burn(context.Background(), key, time.Time{}); err != nil {
			b.Fatal(err)
		}
	}
}

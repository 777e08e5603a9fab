package introspect_test

import (
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/auth/authtest"
)

// BenchmarkAuthenticate is a token whose answer is remembered, in the sizes of an opaque token and of a JWT; and one that is refused
// before anybody is asked, which is what garbage costs.
func BenchmarkAuthenticate(b *testing.B) {
	v := verifier(b, config(answers(good)))
	for name, token := range map[string]string{"opaque-40B": strings.Repeat("a", 40), "jwt-800B": strings.Repeat("a", 800), "long-4KiB": strings.Repeat("a", 4096)} {
		r := authtest.Request("GET", "/", "", authtest.Bearer(token))
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := v.Authenticate(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
	r := authtest.Request("GET", "/", "", authtest.Bearer("a\"b"))
	b.Run("refused-unasked", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := v.Authenticate(r); err == nil {
				b.Fatal("accepted")
			}
		}
	})
}

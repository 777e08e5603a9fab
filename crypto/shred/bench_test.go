package shred_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/shred"
)

// What a call costs beyond that of package seal: asking the store, or trusting the cache.
func BenchmarkOpen(b *testing.B) {
	for _, c := range []struct {
		name  string
		store func() shred.Store
		trust time.Duration
	}{
		{"memory", func() shred.Store { return shred.NewMemoryStore() }, 0},
		{"file", func() shred.Store {
			return must(shred.NewFileStore(shred.FileConfig{Dir: filepath.Join(b.TempDir(), "s"), Create: true}))
		}, 0},
		{"trusted", func() shred.Store { return shred.NewMemoryStore() }, time.Hour},
	} {
		b.Run(c.name, func(b *testing.B) {
			s := newSubjects(b, func(cfg *shred.Config) { cfg.Store, cfg.TrustCache = c.store(), c.trust })
			box := must(s.Seal(b.Context(), nil, make([]byte, 64), of("alice")))
			dst := make([]byte, 0, 128)
			b.ReportAllocs()
			for b.Loop() {
				must(s.Open(b.Context(), dst, box, of("alice")))
			}
		})
	}
}

package alias_test

import (
	"testing"

	"github.com/mantlet-go/mantlet/crypto/internal/alias"
)

func TestSlicesOverlapIfTheyShareAByte(t *testing.T) {
	b := make([]byte, 6)
	for i := range 7 {
		for j := i; j < 7; j++ {
			for k := range 7 {
				for l := k; l < 7; l++ {
					want := max(i, k) < min(j, l)
					if got := alias.Overlap(b[i:j], b[k:l]); got != want {
						t.Errorf("[%d:%d] and [%d:%d]: %v", i, j, k, l, got)
					}
				}
			}
		}
	}
	if alias.Overlap(b, make([]byte, 6)) || alias.Overlap(nil, b) {
		t.Error("strangers overlap")
	}
}

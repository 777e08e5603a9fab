package apikey_test

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/internal/dudect"
)

// A guess with a wrong checksum is refused early by design: it shows that the measurement can tell.
func TestTimingDoesNotTellAnUnknownIdFromAWrongSecret(t *testing.T) {
	samples := dudect.Samples(t, "./auth/apikey")
	kinds := []string{"unknown id", "wrong first character", "wrong last character", "wrong checksum"}
	dudect.Compare(t, samples, kinds, func() (prepare func(kind int), run func()) {
		m, values := seeded(t, 1000)
		shape := apikey.NewShape("acme", "live")
		const each = 64
		guesses := make([][]string, len(kinds))
		other := func(c byte) string {
			return string(apikey.Alphabet[(strings.IndexByte(apikey.Alphabet, c)+31)%62])
		}
		for _, v := range values[:each] {
			key := v[len("Bearer "):]
			id, secret, _, _ := shape.Parse(key)
			last := len(secret) - 1
			for i, guess := range []string{
				shape.Format(apikey.Random(apikey.IDLen), secret), shape.Format(id, other(secret[0])+secret[1:]), shape.Format(id, secret[:last]+other(secret[last])),
				key[:len(key)-1] + other(key[len(key)-1]),
			} {
				guesses[i] = append(guesses[i], guess)
			}
		}
		buf := make([]byte, len(guesses[0][0]))
		key, now := unsafe.String(&buf[0], len(buf)), time.Now()
		return func(kind int) { copy(buf, guesses[kind][rand.IntN(each)]) }, func() {
			if _, err := m.Verify(key, netip.Addr{}, now); err == nil {
				t.Fatal("accepted")
			}
		}
	})
}

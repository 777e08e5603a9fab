package apikey_test

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/mantlet-go/mantlet/auth/apikey"
)

// TestTimingDoesNotTellAnUnknownIdFromAWrongSecret measures refusals in the manner of dudect (Reparaz, Balasch, Verbauwhede, 2017): kinds
// of guesses in random order, the slowest twentieth cut off, Welch's t for each pair of kinds, and dudect's bound of 4.5. A difference
// fails the test when three rounds, each with a manager and keys of its own, all show it in one direction: what the places in memory of
// one round make of a nanosecond's fifth does not come again. A guess with a wrong checksum, which is refused early by design, shows
// that the measurement can tell.
//
// It needs a machine with little else to do, so it runs only when MANTLET_TEST_TIMING says how many samples to take, 1000000 say.
func TestTimingDoesNotTellAnUnknownIdFromAWrongSecret(t *testing.T) {
	samples, _ := strconv.Atoi(os.Getenv("MANTLET_TEST_TIMING"))
	if samples <= 0 {
		t.Skip("opt-in: MANTLET_TEST_TIMING=1000000 go test -run TestTiming ./auth/apikey")
	}
	const bound, rounds = 4.5, 3
	slower, faster := map[string]int{}, map[string]int{}
	for range rounds {
		for pair, welch := range timingRound(t, samples) {
			if welch > bound {
				slower[pair]++
			}
			if welch < -bound {
				faster[pair]++
			}
		}
	}
	control := "wrong checksum against unknown id"
	if faster[control] != rounds {
		t.Errorf("the measurement does not even see a wrong checksum: %d of %d rounds", faster[control], rounds)
	}
	for pair := range slower {
		if slower[pair] == rounds {
			t.Errorf("%s: slower every time", pair)
		}
	}
	for pair := range faster {
		if faster[pair] == rounds && !strings.HasPrefix(pair, "wrong checksum") {
			t.Errorf("%s: faster every time", pair)
		}
	}
}

// timingRound returns Welch's t of each pair of kinds.
func timingRound(t *testing.T, samples int) map[string]float64 {
	m, values := seeded(t, 1000)
	shape := apikey.NewShape("acme", "live")
	kinds := []string{"unknown id", "wrong first character", "wrong last character", "wrong checksum"}
	const each = 64 // few enough that all lie in the cache nearest to the core, whichever of them is there
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
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	// All guesses lie in one place when they are measured, or the places are what is measured.
	buf := make([]byte, len(guesses[0][0]))
	key := unsafe.String(&buf[0], len(buf))
	now := time.Now()
	took := make([][]float64, len(kinds))
	const warm = 10_000
	for i := range samples + warm {
		kind := rand.IntN(len(kinds))
		copy(buf, guesses[kind][rand.IntN(each)])
		start := time.Now()
		_, err := m.Verify(key, netip.Addr{}, now)
		d := time.Since(start)
		if err == nil {
			t.Fatal("accepted")
		}
		if i >= warm {
			took[kind] = append(took[kind], float64(d))
		}
	}
	all := slices.Sorted(slices.Values(slices.Concat(took[0], took[1], took[2])))
	limit := all[len(all)*95/100]
	mean, variance, n := make([]float64, len(kinds)), make([]float64, len(kinds)), make([]float64, len(kinds))
	for i := range kinds {
		kept := slices.DeleteFunc(took[i], func(x float64) bool { return x > limit })
		n[i] = float64(len(kept))
		for _, x := range kept {
			mean[i] += x / n[i]
		}
		for _, x := range kept {
			variance[i] += (x - mean[i]) * (x - mean[i]) / (n[i] - 1)
		}
		t.Logf("%-22s mean %.2f ns, deviation %.1f ns, %.0f samples", kinds[i], mean[i], math.Sqrt(variance[i]), n[i])
	}
	out := map[string]float64{}
	for i := range kinds {
		for j := range i {
			welch := (mean[i] - mean[j]) / math.Sqrt(variance[i]/n[i]+variance[j]/n[j])
			out[kinds[i]+" against "+kinds[j]] = welch
			t.Logf("%s against %s: t = %.2f", kinds[i], kinds[j], welch)
		}
	}
	return out
}

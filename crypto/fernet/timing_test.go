package fernet_test

import (
	"bytes"
	"encoding/base64"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/fernet"
)

// TestTimingIsNoPaddingOracle measures refusals in the manner of dudect (Reparaz, Balasch, Verbauwhede, 2017): kinds of tokens in random
// order, the slowest twentieth cut off, Welch's t for each pair of kinds, and dudect's bound of 4.5. A difference fails the test when
// three rounds, each with a ring of its own, all show it in one direction.
//
// The kinds are what somebody without the key can make of a genuine token: changed so that its padding would be bad if anybody looked,
// changed so that it would be good, and with a MAC that differs in its first or in its last byte. A token with a good MAC over bad padding,
// which takes the key to make and is decrypted, shows that the measurement can tell.
//
// It needs a machine with little else to do, so it runs only when MANTLET_TEST_TIMING says how many samples to take, 1000000 say.
func TestTimingIsNoPaddingOracle(t *testing.T) {
	samples, _ := strconv.Atoi(os.Getenv("MANTLET_TEST_TIMING"))
	if samples <= 0 {
		t.Skip("opt-in: MANTLET_TEST_TIMING=1000000 go test -run TestTiming ./crypto/fernet")
	}
	const bound, rounds = 4.5, 3
	const control = 4
	slower := map[[2]int]int{} // by pair of kinds, the first of which is slower
	for range rounds {
		for pair, welch := range timingRound(t, samples) {
			if math.Abs(welch) > bound {
				if welch < 0 {
					pair[0], pair[1] = pair[1], pair[0]
				}
				slower[pair]++
			}
		}
	}
	for i := range timingKinds {
		for j := range timingKinds {
			n := slower[[2]int{i, j}]
			switch {
			case i == control && j != control:
				if n != rounds {
					t.Errorf("the measurement sees in %d of %d rounds only that %s is slower than %s", n, rounds, timingKinds[i], timingKinds[j])
				}
			case n == rounds:
				t.Errorf("%s is slower than %s every time", timingKinds[i], timingKinds[j])
			}
		}
	}
}

var timingKinds = [...]string{"bad MAC, bad padding", "bad MAC, good padding", "bad first byte of the MAC", "bad last byte of the MAC", "good MAC, bad padding"}

// timingRound returns Welch's t of each pair of kinds.
func timingRound(t *testing.T, samples int) map[[2]int]float64 {
	key := fernet.GenerateKey()
	ring := mustRing(t, fernet.Config{Keys: []fernet.Key{key}})
	const each = 16 // few enough that all lie in the cache nearest to the core
	var tokens [len(timingKinds)][][]byte
	for range each {
		good := ring.AppendEncrypt(nil, make([]byte, 1000), t0)
		raw, err := base64.URLEncoding.DecodeString(string(good))
		if err != nil {
			t.Fatal(err)
		}
		end := len(raw) - 32 // of the text
		for i, at := range []int{
			end - 16 - 1, // the last byte of the block before the last one: it decides on the last byte of the padding
			10,           // the IV: it decides on the first block of the message
			end, len(raw) - 1,
		} {
			bad := bytes.Clone(raw)
			bad[at] ^= 0x40
			tokens[i] = append(tokens[i], []byte(base64.URLEncoding.EncodeToString(bad)))
		}
		padded := bytes.Repeat([]byte{0xff}, end-25)
		tokens[4] = append(tokens[4], forge(key, sealed(key, uint64(t0.Unix()), padded)))
	}
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	// All tokens lie in one place when they are measured, or the places are what is measured.
	tok, dst := make([]byte, len(tokens[0][0])), make([]byte, 0, len(tokens[0][0]))
	var took [len(timingKinds)][]float64
	const warm = 10_000
	for i := range samples + warm {
		kind := rand.IntN(len(timingKinds))
		if copy(tok, tokens[kind][rand.IntN(each)]) != len(tok) {
			t.Fatal("the lengths differ")
		}
		start := time.Now()
		_, err := ring.AppendDecrypt(dst, tok, t0)
		d := time.Since(start)
		if !errors.Is(err, fernet.ErrInvalid) {
			t.Fatal("accepted")
		}
		if i >= warm {
			took[kind] = append(took[kind], float64(d))
		}
	}
	cut := func(took ...[]float64) float64 {
		all := slices.Sorted(slices.Values(slices.Concat(took...)))
		return all[len(all)*95/100]
	}
	forgeries, control := cut(took[:4]...), cut(took[4])
	var mean, variance, n [len(timingKinds)]float64
	for i, name := range timingKinds {
		limit := forgeries
		if i == 4 {
			limit = control
		}
		kept := slices.DeleteFunc(took[i], func(x float64) bool { return x > limit })
		n[i] = float64(len(kept))
		for _, x := range kept {
			mean[i] += x / n[i]
		}
		for _, x := range kept {
			variance[i] += (x - mean[i]) * (x - mean[i]) / (n[i] - 1)
		}
		t.Logf("%-25s mean %.2f ns, deviation %.1f ns, %.0f samples", name, mean[i], math.Sqrt(variance[i]), n[i])
	}
	out := map[[2]int]float64{}
	for i := range timingKinds {
		for j := range i {
			welch := (mean[i] - mean[j]) / math.Sqrt(variance[i]/n[i]+variance[j]/n[j])
			out[[2]int{i, j}] = welch
			t.Logf("%s against %s: t = %.2f", timingKinds[i], timingKinds[j], welch)
		}
	}
	return out
}

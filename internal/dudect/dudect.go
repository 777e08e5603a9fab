// Package dudect tests whether the time that something takes tells one kind of input from another, in the manner of dudect (Reparaz,
// Balasch, Verbauwhede: "Dude, is my code constant time?", 2017).
package dudect

import (
	"math"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"strconv"
	"testing"
	"time"
)

const (
	rounds = 3
	bound  = 4.5 // of |t|, as dudect has it
	warm   = 10_000
)

// Samples returns how many samples MANTLET_TEST_TIMING asks for, in all kinds together, and skips the test when it asks for none: a machine
// with little else to do is needed. where is the package, for the message.
func Samples(t *testing.T, where string) int {
	t.Helper()
	n, _ := strconv.Atoi(os.Getenv("MANTLET_TEST_TIMING"))
	if n <= 0 {
		t.Skipf("opt-in: MANTLET_TEST_TIMING=1000000 go test -run TestTiming %s", where)
	}
	return n
}

// Compare measures kinds of inputs in random order, cuts off the slowest twentieth, and compares each pair by Welch's t. The last kind is
// the control: it must be seen to take another time than all others, or the measurement cannot tell. A difference between others fails the
// test when three rounds, each with a world of its own, all show it in one direction: what the places in memory of one round make of a
// nanosecond's fifth does not come again.
//
// world makes what one round needs: prepare puts an input of a kind where run, which is measured, finds it. All inputs should lie in one
// place and be few enough for the nearest cache, or places are what is measured.
func Compare(t *testing.T, samples int, kinds []string, world func() (prepare func(kind int), run func())) {
	t.Helper()
	slower := map[[2]int]int{}
	for range rounds {
		for pair, welch := range round(t, samples, kinds, world) {
			if welch < 0 {
				pair[0], pair[1], welch = pair[1], pair[0], -welch
			}
			if welch > bound {
				slower[pair]++
			}
		}
	}
	control := len(kinds) - 1
	for i := range kinds {
		for j := range i {
			a, b := slower[[2]int{i, j}], slower[[2]int{j, i}]
			switch {
			case i == control:
				if max(a, b) < rounds {
					t.Errorf("the measurement tells %q from %q in %d of %d rounds only", kinds[i], kinds[j], max(a, b), rounds)
				}
			case a == rounds:
				t.Errorf("%q is slower than %q every time", kinds[i], kinds[j])
			case b == rounds:
				t.Errorf("%q is slower than %q every time", kinds[j], kinds[i])
			}
		}
	}
}

func round(t *testing.T, samples int, kinds []string, world func() (prepare func(kind int), run func())) map[[2]int]float64 {
	prepare, run := world()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	took := make([][]float64, len(kinds))
	for i := range samples + warm {
		kind := rand.IntN(len(kinds))
		prepare(kind)
		start := time.Now()
		run()
		d := time.Since(start)
		if i >= warm {
			took[kind] = append(took[kind], float64(d))
		}
	}
	last := len(kinds) - 1
	cut(took[:last]...)
	cut(took[last])
	mean, variance, n := make([]float64, len(kinds)), make([]float64, len(kinds)), make([]float64, len(kinds))
	for i, samples := range took {
		n[i] = float64(len(samples))
		for _, x := range samples {
			mean[i] += x / n[i]
		}
		for _, x := range samples {
			variance[i] += (x - mean[i]) * (x - mean[i]) / (n[i] - 1)
		}
		t.Logf("%-26s mean %.2f ns, deviation %.1f ns, %.0f samples", kinds[i], mean[i], math.Sqrt(variance[i]), n[i])
	}
	out := map[[2]int]float64{}
	for i := range kinds {
		for j := range i {
			welch := (mean[i] - mean[j]) / math.Sqrt(variance[i]/n[i]+variance[j]/n[j])
			out[[2]int{i, j}] = welch
			t.Logf("%s against %s: t = %.2f", kinds[i], kinds[j], welch)
		}
	}
	return out
}

// cut takes the slowest twentieth of all samples off.
func cut(took ...[]float64) {
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	limit := all[len(all)*95/100]
	for i := range took {
		took[i] = slices.DeleteFunc(took[i], func(x float64) bool { return x > limit })
	}
}

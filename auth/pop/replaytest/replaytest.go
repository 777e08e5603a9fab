// Package replaytest checks implementations of [pop.ReplayStore]. Each case carries the rule it checks in words; the case's name is the
// rule's short form.
package replaytest

import (
	"context"
	"crypto/rand"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth/pop"
)

// Run runs every case as a subtest. newStore returns a store that holds nothing of earlier cases, or one that others use too: keys are
// random.
func Run(t *testing.T, newStore func(t *testing.T) pop.ReplayStore) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			defer func() {
				if t.Failed() {
					t.Logf("the rule: %s", c.rule)
				}
			}()
			c.run(t, newStore(t))
		})
	}
}

var cases = []struct {
	name, rule string
	run        func(t *testing.T, s pop.ReplayStore)
}{
	{"once", "Burn of a key is true the first time, and false from then on until its time.", func(t *testing.T, s pop.ReplayStore) {
		k := key()
		burn(t, s, k, true)
		for range 3 {
			burn(t, s, k, false)
		}
	}},
	{"whole key", "Keys that have either half in common are different keys.", func(t *testing.T, s pop.ReplayStore) {
		k := key()
		burn(t, s, k, true)
		for _, i := range []int{0, 15, 16, 31} {
			other := k
			other[i] ^= 1
			burn(t, s, other, true)
			burn(t, s, other, false)
		}
		burn(t, s, k, false)
	}},
	{"any bytes", "A key is bytes: zeros, line breaks and what is not UTF-8 are as good as others.", func(t *testing.T, s pop.ReplayStore) {
		for _, b := range []byte{0, '\n', '\r', '"', 0x80, 0xff} {
			k := key()
			for i := range k[8:24] {
				k[8+i] = b
			}
			burn(t, s, k, true)
			burn(t, s, k, false)
		}
	}},
	{"at once", "Of many calls with one key at once exactly one gets true.", func(t *testing.T, s pop.ReplayStore) {
		for range 50 {
			k := key()
			var first atomic.Int64
			var wg sync.WaitGroup
			for range 16 {
				wg.Go(func() {
					ok, err := s.Burn(context.Background(), k, time.Now().Add(time.Minute))
					if err != nil {
						t.Error(err)
					}
					if ok {
						first.Add(1)
					}
				})
			}
			wg.Wait()
			if first.Load() != 1 {
				t.Fatalf("%d calls were the first", first.Load())
			}
		}
	}},
	{"the first time stays", "A second Burn with an earlier time does not shorten what is remembered.", func(t *testing.T, s pop.ReplayStore) {
		k := key()
		burn(t, s, k, true)
		if ok, err := s.Burn(t.Context(), k, time.Now().Add(-time.Hour)); ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
		burn(t, s, k, false)
	}},
}

func key() (k [32]byte) {
	rand.Read(k[:])
	return k
}

func burn(t *testing.T, s pop.ReplayStore, k [32]byte, want bool) {
	t.Helper()
	if ok, err := s.Burn(t.Context(), k, time.Now().Add(time.Minute)); ok != want || err != nil {
		t.Errorf("%x: %v, %v, want %v", k, ok, err, want)
	}
}

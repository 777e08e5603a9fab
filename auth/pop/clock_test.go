package pop_test

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/pop"
)

// The store in memory forgets by the monotonic clock, for which the bubble's stands here, and a proof is judged by the wall clock: set
// back, it makes proofs young again that nobody remembers.
func TestAProofIsNotTakenAgainAfterTheClockWasSetBack(t *testing.T) {
	for _, c := range []struct {
		name        string
		sleep, back time.Duration
		nonce       bool
	}{
		{name: "by an hour after an hour", sleep: time.Hour, back: time.Hour},
		{name: "by an hour, with nonces, which are young again too", sleep: time.Hour, back: time.Hour, nonce: true},
		{name: "by less than a proof lives", sleep: 151 * time.Second, back: 100 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				cl := newClient(t, "ES256")
				v := verifier(t, pop.Config{Tokens: tokens{"t": {JKT: cl.Thumbprint()}}, RequireNonce: c.nonce})
				first := time.Now()
				nonce := func() string {
					h := map[string][]string{}
					v.Announce(h, cl.request("t", first, nil))
					if len(h["Dpop-Nonce"]) == 0 {
						return ""
					}
					return h["Dpop-Nonce"][0]
				}()
				with := func(_, claims map[string]any) { claims["nonce"] = nonce }
				burned := cl.request("t", first, with)
				if err := pop.WithProof(v, burned, "t", first); err != nil {
					t.Fatal(err)
				}
				time.Sleep(c.sleep)
				now := func() time.Time { return time.Now().Add(-c.back) }
				if err := pop.WithProof(v, burned, "t", now()); err == nil {
					t.Error("a burned proof is accepted again")
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) { // once the clock has passed what it showed before, nothing is closed
		cl := newClient(t, "ES256")
		v := verifier(t, pop.Config{Tokens: tokens{"t": {JKT: cl.Thumbprint()}}})
		first := time.Now()
		if err := pop.WithProof(v, cl.request("t", first, nil), "t", first); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		now := func() time.Time { return time.Now().Add(-20 * time.Minute) }
		if err := pop.WithProof(v, cl.request("t", now(), nil), "t", now()); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("ten minutes before the first proof: %v; want 503", err)
		}
		time.Sleep(11 * time.Minute)
		if err := pop.WithProof(v, cl.request("t", now(), nil), "t", now()); err != nil {
			t.Errorf("a minute after the first proof: %v", err)
		}
	})
}

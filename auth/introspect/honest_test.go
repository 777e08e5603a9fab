package introspect_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/internal/clock/clocktest"
	"github.com/mantlet-go/mantlet/auth/introspect"
)

func TestNoClockProlongsWhatIsRemembered(t *testing.T) {
	v := verifier(t, config(answers(good))) // TTL is 30 s, NegativeTTL 5 s
	given := time.Now()
	yes := func(exp time.Duration) []byte {
		return fmt.Appendf(nil, `{"active":true,"sub":"alice","aud":"inference","exp":%d}`, given.Add(exp).Unix())
	}
	no := []byte(`{"active":false}`)
	for _, c := range []struct {
		name string
		body []byte
		now  time.Time
		want bool
	}{
		{"29 s later", yes(time.Hour), given.Add(29 * time.Second), true},
		{"30 s later", yes(time.Hour), given.Add(30 * time.Second), false},
		{"at its end", yes(20 * time.Second), given.Add(21 * time.Second), false},
		{"the clock put back", yes(time.Hour), clocktest.Stepped(given, 40*time.Minute, time.Hour), false},
		{"the clock put back before the end", yes(20 * time.Second), clocktest.Stepped(given, 40*time.Minute, time.Hour), false},
		{"the machine slept", yes(time.Hour), clocktest.Stepped(given, 10*time.Second, -40*time.Minute), false},
		{"a refusal 4 s later", no, given.Add(4 * time.Second), true},
		{"a refusal 5 s later", no, given.Add(5 * time.Second), false},
		{"a refusal, the clock put back", no, clocktest.Stepped(given, 40*time.Minute, time.Hour), false},
	} {
		if got := introspect.Believed(v, c.body, given, c.now); got != c.want {
			t.Errorf("%s: believed %v", c.name, got)
		}
	}
}

// Servers say no more than "not active" of a token that has ended. Who sends one that was good is no guesser.
func TestATokenThatWasGoodIsRevokedAndNotWrong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := answers(good)
		cfg := config(server)
		v := verifier(t, cfg)
		ask := func(token string) error { _, err := v.VerifyToken(t.Context(), token); return err }
		if err := ask("mine"); err != nil {
			t.Fatal(err)
		}
		server.handle = answers(`{"active":false}`).handle
		time.Sleep(time.Hour)
		for range 3 {
			if err := ask("mine"); !errors.Is(err, auth.ErrRevoked) || errors.Is(err, auth.ErrInvalid) || auth.CodeOf(err) != auth.CodeInvalidToken {
				t.Errorf("one that was good: %v", err)
			}
			time.Sleep(time.Minute)
		}
		if err := ask("guess"); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("one that never was: %v", err)
		}
		server.handle = answers(good).handle
		if err := ask("other"); err != nil {
			t.Fatal(err)
		}
		server.handle = answers(`{"active":false}`).handle
		v.Forget("other")
		if err := ask("other"); !errors.Is(err, auth.ErrRevoked) {
			t.Errorf("one that was forgotten: %v", err)
		}
		server.handle = answers(fmt.Sprintf(`{"active":true,"sub":"alice","aud":"inference","nbf":%d}`, time.Now().Add(time.Hour).Unix())).handle
		if err := ask("early"); !errors.Is(err, auth.ErrNotYetValid) {
			t.Errorf("one whose time has not come: %v", err)
		}
	})
}

func TestAfterCloseNothingIsAnswered(t *testing.T) {
	v := verifier(t, config(answers(good)))
	if _, err := v.VerifyToken(t.Context(), "x"); err != nil {
		t.Fatal(err)
	}
	if err := v.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, token := range []string{"x", "y"} {
		if _, err := v.VerifyToken(t.Context(), token); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("%s: %v", token, err)
		}
	}
}

func TestNoMoreAnswersAreRememberedThanConfigured(t *testing.T) {
	for _, most := range []int{1, 2, 15, 16, 17, 100} {
		cfg := config(answers(good))
		cfg.MaxEntries = most
		v := verifier(t, cfg)
		for i := range 3 * most {
			if _, err := v.VerifyToken(t.Context(), fmt.Sprint("t", i)); err != nil {
				t.Fatal(err)
			}
		}
		if n, _ := introspect.Entries(v); n > most || n < most/2 {
			t.Errorf("%d of at most %d", n, most)
		}
	}
}

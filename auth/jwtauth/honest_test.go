package jwtauth_test

import (
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/internal/clock/clocktest"
	"github.com/mantlet-go/mantlet/auth/jwtauth"
)

func gateOf(t *testing.T, v *jwtauth.Verifier) (g *auth.Gate, status func(token, from string) int) {
	t.Helper()
	g, err := auth.New(auth.Config{Authenticator: v, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return g, func(token, from string) int {
		w := httptest.NewRecorder()
		g.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, authtest.Request("GET", "/", "", authtest.Bearer(token), authtest.From(from)))
		return w.Code
	}
}

// A stranger keeps the cool-down taken with one request in ten seconds. When the issuer rotates its keys, nobody knows for a moment
// whether the new ones are its own.
func TestAtARotationAStrangerLocksNobodyOut(t *testing.T) {
	const client, stranger = "198.51.100.7:1", "203.0.113.66:1"
	bubble(t, func(t *testing.T) {
		old, fresher := authtest.NewSigner(t, "ES256"), authtest.NewSigner(t, "ES256")
		a := authtest.NewAuthority(t, issuer, old)
		g, status := gateOf(t, fetching(t, a.Issuer(audience, "ES256")))
		if c := status(fresh(old), client); c != 200 {
			t.Fatal(c)
		}
		time.Sleep(time.Minute)
		if c := status(withKid(old, "no-such-kid"), stranger); c != 401 {
			t.Errorf("an unknown kid after a fetch: %d", c)
		}
		a.Publish(old, fresher)
		codes := map[int]int{}
		for range 30 { // ten requests a second with a good token
			codes[status(fresh(fresher), client)]++
			time.Sleep(100 * time.Millisecond)
		}
		if codes[401]+codes[429] > 0 || len(g.Locked()) > 0 {
			t.Errorf("a good token of a new key: %v, locked %v", codes, g.Locked())
		}
		time.Sleep(10 * time.Second)
		for _, s := range []*authtest.Signer{old, fresher} {
			if c := status(fresh(s), client); c != 200 {
				t.Errorf("ten seconds later: %d", c)
			}
		}
	})
}

func TestATokenWhoseTimeHasNotComeIsNoGuess(t *testing.T) {
	s := authtest.NewSigner(t, "ES256")
	v := verifier(t, s.Issuer(issuer, audience))
	_, status := gateOf(t, v)
	ahead := s.Token(authtest.Claims(issuer, audience, time.Now().Add(45*time.Second))) // the issuer's clock is 45 s ahead
	for range 30 {
		if c := status(ahead, "198.51.100.7:1"); c != 401 {
			t.Fatal(c)
		}
	}
	if c := status(fresh(s), "198.51.100.7:1"); c != 200 {
		t.Errorf("a good token: %d", c)
	}
	if _, err := v.Verify(t.Context(), ahead, time.Now()); !errors.Is(err, auth.ErrNotYetValid) || auth.CodeOf(err) != auth.CodeInvalidToken {
		t.Errorf("%v", err)
	}
}

func TestARememberedTokenDoesNotOutliveItsKeysThoughTheClockIsPutBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := authtest.NewSigner(t, "ES256")
		a := authtest.NewAuthority(t, issuer, s)
		cfg := a.Issuer(audience, "ES256")
		cfg.MaxLifetime, cfg.Fetch.MaxStale = -1, 10*time.Minute
		v := fetching(t, cfg)
		token := s.Token(authtest.With(authtest.Claims(issuer, audience, time.Now()), "exp", time.Now().Add(48*time.Hour).Unix()))
		good(t, v, token)
		a.Answer(authtest.Status(500))
		time.Sleep(9 * time.Minute)
		good(t, v, token)
		time.Sleep(time.Minute)
		if _, err := v.Verify(t.Context(), token, time.Now()); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("%v", err)
		}
	})
	fetched := time.Now() // outside a bubble, where the clocks are two
	for name, c := range map[string]struct {
		now  time.Time
		want bool
	}{
		"9 minutes later":                  {fetched.Add(9 * time.Minute), true},
		"15 minutes later":                 {fetched.Add(15 * time.Minute), false},
		"and the clock put back":           {clocktest.Stepped(fetched, 15*time.Minute, 14*time.Minute), false},
		"a minute of a machine that slept": {clocktest.Stepped(fetched, time.Minute, -15*time.Minute), false},
	} {
		if got := jwtauth.KeyHolds(fetched, 10*time.Minute, c.now); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

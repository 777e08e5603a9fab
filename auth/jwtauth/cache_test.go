package jwtauth_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/jwtauth"
	"github.com/mantlet-go/mantlet/internal/raced"
)

func TestASecondUseIsAnsweredFromMemory(t *testing.T) {
	s := authtest.NewSigner(t, "ES256")
	v := verifier(t, s.Issuer(issuer, audience))
	token := s.Token(authtest.Claims(issuer, audience, now))
	first, err := v.Verify(t.Context(), token, now)
	if err != nil {
		t.Fatal(err)
	}
	second, err := v.Verify(t.Context(), token, now.Add(time.Minute))
	if err != nil || first != second {
		t.Errorf("%p and %p, %v", first, second, err)
	}
	none, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{s.Issuer(issuer, audience)}, CacheSize: -1})
	if err != nil {
		t.Fatal(err)
	}
	first, _ = none.Verify(t.Context(), token, now)
	if second, err = none.Verify(t.Context(), token, now); err != nil || first == second {
		t.Errorf("without memory: %p and %p, %v", first, second, err)
	}
}

func TestTimeIsAskedAgainOnEveryUse(t *testing.T) {
	s := authtest.NewSigner(t, "HS256")
	claims := authtest.Claims(issuer, audience, now) // exp = now + 10 min
	const leeway = 10 * time.Second
	for _, c := range []struct {
		name   string
		claims map[string]any
		at     time.Time
		want   error
	}{
		{"a nanosecond before the end", claims, now.Add(10*time.Minute + leeway - 1), nil},
		{"at the end", claims, now.Add(10*time.Minute + leeway), auth.ErrExpired},
		{"long after", claims, now.Add(time.Hour), auth.ErrExpired},
		{"the clock put back, to iat", claims, now.Add(-leeway), nil},
		{"the clock put back, before iat", claims, now.Add(-leeway - 1), auth.ErrInvalid},
		{"the clock put back, before nbf", authtest.With(authtest.With(claims, "iat", nil), "nbf", now.Unix()), now.Add(-leeway - 1), auth.ErrInvalid},
		{"the clock put back, so that the life is too long", authtest.With(claims, "iat", nil), now.Add(-24 * time.Hour), auth.ErrInvalid},
	} {
		t.Run(c.name, func(t *testing.T) {
			v, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{s.Issuer(issuer, audience)}, Leeway: leeway})
			if err != nil {
				t.Fatal(err)
			}
			token := s.Token(c.claims)
			if _, err := v.Verify(t.Context(), token, now); err != nil || !jwtauth.Remembered(v, token, now) {
				t.Fatalf("not remembered, %v", err)
			}
			if _, err := v.Verify(t.Context(), token, c.at); !errors.Is(err, c.want) {
				t.Errorf("got %v, want %v", err, c.want)
			}
			if jwtauth.Remembered(v, token, c.at) != (c.want == nil) {
				t.Error("memory and the long way differ")
			}
		})
	}
}

// LiteLLM's cache took tokens with an equal beginning for one (CVE-2026-35030); others shared one cache between verifiers.
func TestOnlyTheVeryTokenIsRemembered(t *testing.T) {
	s := authtest.NewSigner(t, "RS256")
	v := verifier(t, s.Issuer(issuer, audience))
	token := s.Token(authtest.Claims(issuer, audience, now))
	if _, err := v.Verify(t.Context(), token, now); err != nil {
		t.Fatal(err)
	}
	for i := range len(token) {
		for _, c := range []byte{'A', 'B', '.', '=', token[i] ^ 0x20} {
			other := []byte(token)
			other[i] = c
			if string(other) == token {
				continue
			}
			if _, err := v.Verify(t.Context(), string(other), now); !errors.Is(err, auth.ErrInvalid) {
				t.Fatalf("byte %d as %q: %v", i, c, err)
			}
		}
	}
	for _, other := range []string{token[:len(token)-1], token + "A", " " + token, token + token} {
		if _, err := v.Verify(t.Context(), other, now); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%v", err)
		}
	}
	for _, a := range s.Attacks(issuer, audience, now) {
		if _, err := v.Verify(t.Context(), a.Token, now); err == nil {
			t.Errorf("%s was accepted beside a remembered token", a.Name)
		}
		if jwtauth.Remembered(v, a.Token, now) {
			t.Errorf("%s is remembered", a.Name)
		}
	}
	// Another verifier knows nothing of it.
	if jwtauth.Remembered(verifier(t, s.Issuer(issuer, audience)), token, now) {
		t.Error("two verifiers share a memory")
	}
	if _, err := verifier(t, s.Issuer(issuer, "https://other.example")).Verify(t.Context(), token, now); !errors.Is(err, auth.ErrInvalid) {
		t.Errorf("for another audience: %v", err)
	}
}

func TestTheDenyListIsAskedOnEveryUse(t *testing.T) {
	s := authtest.NewSigner(t, "ES256")
	var asked []jwtauth.Token
	var answer error
	v, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{s.Issuer(issuer, audience)}, Revoked: func(token jwtauth.Token) error {
		asked = append(asked, token)
		return answer
	}})
	if err != nil {
		t.Fatal(err)
	}
	claims := authtest.With(authtest.Claims(issuer, audience, now), "jti", "a-1")
	token := s.Token(claims)
	ask := func(token string) error {
		_, err := v.Verify(t.Context(), token, now)
		return err
	}
	for i, want := range []error{nil, nil, auth.ErrRevoked, auth.ErrRevoked, auth.ErrUnavailable, nil} {
		answer = want
		if err := ask(token); !errors.Is(err, want) {
			t.Errorf("use %d: %v, want %v", i, err, want)
		}
	}
	for _, a := range asked {
		if a.ID != "a-1" || !a.IssuedAt.Equal(now) || a.Principal == nil || a.Principal.Subject != "alice" || a.Principal.Issuer != issuer {
			t.Errorf("%+v", a)
		}
	}
	if len(asked) != 6 {
		t.Errorf("asked %d times", len(asked))
	}
	// Refused before it was ever accepted; then the list changes its mind.
	fresh := s.Token(authtest.With(claims, "jti", "a-2"))
	answer = auth.ErrRevoked
	if err := ask(fresh); !errors.Is(err, auth.ErrRevoked) || auth.CodeOf(err) != auth.CodeInvalidToken {
		t.Errorf("%v", err)
	}
	answer = errors.New("the list cannot be read")
	if err := ask(fresh); auth.CodeOf(err) != auth.CodeUnavailable {
		t.Errorf("%v", err)
	}
	n := len(asked)
	for _, a := range s.Attacks(issuer, audience, now) {
		_ = ask(a.Token)
	}
	if len(asked) != n {
		t.Error("asked about a token that is not good")
	}
	answer = nil
	for name, claims := range map[string]map[string]any{"a number as jti": authtest.With(claims, "jti", 1), "a jti of two lines": authtest.With(claims, "jti", "a\nb")} {
		if err := ask(s.Token(claims)); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	asked = nil
	if err := ask(s.Token(authtest.With(authtest.With(claims, "jti", nil), "iat", nil))); err != nil || asked[0].ID != "" || !asked[0].IssuedAt.IsZero() {
		t.Errorf("%+v, %v", asked, err)
	}
}

func TestTheMemoryIsBounded(t *testing.T) {
	s := authtest.NewSigner(t, "HS256")
	for _, c := range []struct{ size, places int }{{1, 4}, {64, 64}, {65, 128}, {0, 4096}} {
		v, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{s.Issuer(issuer, audience)}, CacheSize: c.size})
		if err != nil {
			t.Fatal(err)
		}
		if n := jwtauth.Places(v); n != c.places {
			t.Errorf("size %d: %d places", c.size, n)
		}
		if c.size != 64 {
			continue
		}
		var tokens []string
		for i := range 1000 {
			tokens = append(tokens, s.Token(authtest.With(authtest.Claims(issuer, audience, now), "jti", fmt.Sprint(i))))
			if _, err := v.Verify(t.Context(), tokens[i], now); err != nil {
				t.Fatal(err)
			}
			if !jwtauth.Remembered(v, tokens[i], now) {
				t.Errorf("token %d is not remembered", i)
			}
		}
		n := 0
		for _, token := range tokens {
			if jwtauth.Remembered(v, token, now) {
				n++
			}
		}
		if n > c.places || n < c.places*3/4 {
			t.Errorf("%d tokens in %d places", n, c.places)
		}
	}
	if _, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{s.Issuer(issuer, audience)}, CacheSize: 1<<20 + 1}); err == nil {
		t.Error("a cache of more than a million tokens was made")
	}
}

func TestARememberedTokenCostsNoAllocation(t *testing.T) {
	if raced.Enabled {
		t.Skip("-race allocates")
	}
	s := authtest.NewSigner(t, "ES256")
	v := verifier(t, s.Issuer(issuer, audience))
	at := time.Now()
	token := s.Token(authtest.Claims(issuer, audience, at))
	r := authtest.Request("GET", "/", "", authtest.Bearer(token))
	for name, f := range map[string]func() error{
		"Verify":       func() error { _, err := v.Verify(context.Background(), token, at); return err },
		"Authenticate": func() error { _, err := v.Authenticate(r); return err },
	} {
		if n := testing.AllocsPerRun(100, func() {
			if err := f(); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// For -race: many goroutines use, forget and rotate at once; nobody is ever told a token of another.
func TestAVerifierIsSharedByManyGoroutines(t *testing.T) {
	bubble(t, func(t *testing.T) {
		signers := make([]*authtest.Signer, 4)
		for i := range signers {
			signers[i] = authtest.NewSigner(t, "EdDSA")
		}
		a := authtest.NewAuthority(t, issuer, signers...)
		a.CacheControl("max-age=0")
		cfg := a.Issuer(audience, "EdDSA")
		v := fetching(t, cfg)
		good(t, v, fresh(signers[0]))
		start := time.Now()
		var all sync.WaitGroup
		var accepted atomic.Int64
		for g := range 8 {
			s := signers[g%4]
			sub := fmt.Sprint("user-", g)
			token := s.Token(authtest.With(authtest.With(authtest.Claims(issuer, audience, start), "sub", sub), "exp", start.Add(2*time.Hour).Unix()))
			all.Go(func() {
				for range 200 {
					p, err := v.Verify(t.Context(), token, time.Now())
					switch {
					case err == nil && p.Subject == sub:
						accepted.Add(1)
					case err == nil:
						t.Errorf("%s is told %s", sub, p.Subject)
					}
					time.Sleep(10 * time.Second)
				}
			})
		}
		all.Go(func() {
			for i := range 20 {
				a.Publish(signers[i%4:]...)
				time.Sleep(100 * time.Second)
			}
		})
		all.Wait()
		if accepted.Load() == 0 {
			t.Error("nothing was accepted")
		}
	})
}

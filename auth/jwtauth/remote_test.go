package jwtauth_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/jwtauth"
)

// bubble runs f where time costs nothing and a goroutine that is left behind fails the test.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// fetching returns a verifier that is closed, and must leave nothing, before the bubble ends.
func fetching(t *testing.T, issuers ...jwtauth.Issuer) *jwtauth.Verifier {
	t.Helper()
	v, err := jwtauth.New(jwtauth.Config{Issuers: issuers, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := v.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return v
}

func fresh(s *authtest.Signer) string { return s.Token(authtest.Claims(issuer, audience, time.Now())) }

func withKid(s *authtest.Signer, kid string) string {
	return s.Sign(authtest.With(s.Header(), "kid", kid), authtest.Claims(issuer, audience, time.Now()))
}

func verify(t *testing.T, v *jwtauth.Verifier, token string) error {
	t.Helper()
	p, err := v.Verify(t.Context(), token, time.Now())
	if (p == nil) != (err != nil) {
		t.Fatalf("principal %v, error %v", p, err)
	}
	return err
}

func good(t *testing.T, v *jwtauth.Verifier, token string) {
	t.Helper()
	if err := verify(t, v, token); err != nil {
		t.Errorf("a good token: %v", err)
	}
}

func is(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("got %v, want %v", err, want)
	}
}

func TestPublishedKeysOfEveryAlgorithmVerify(t *testing.T) {
	for _, discovery := range []bool{false, true} {
		for _, alg := range algorithms[3:] {
			t.Run(fmt.Sprint(alg, "/discovery=", discovery), func(t *testing.T) {
				bubble(t, func(t *testing.T) {
					s := authtest.NewSigner(t, alg)
					a := authtest.NewAuthority(t, issuer, s)
					cfg := a.Issuer(audience, alg)
					if discovery {
						cfg.JWKS, cfg.Discovery = "", true
					}
					v := fetching(t, cfg)
					if a.Fetches() != 0 {
						t.Error("fetched before the first token")
					}
					p, err := v.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer(fresh(s))))
					if err != nil || p.Subject != "alice" || p.KeyID != s.KeyID {
						t.Errorf("%+v, %v", p, err)
					}
					if a.Fetches() != 1 || a.Discoveries() != map[bool]int{true: 1}[discovery] {
						t.Errorf("%d fetches, %d discoveries", a.Fetches(), a.Discoveries())
					}
				})
			})
		}
	}
}

func TestWhatIsRefusedBeforeTheKeyNeverFetches(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := authtest.NewSigner(t, "ES256")
		a := authtest.NewAuthority(t, issuer, s)
		v := fetching(t, a.Issuer(audience, "ES256"))
		claims := authtest.Claims(issuer, audience, time.Now())
		for name, token := range map[string]string{
			"a foreign issuer":      s.Token(authtest.With(claims, "iss", "https://169.254.169.254")),
			"an issuer and a slash": s.Token(authtest.With(claims, "iss", issuer+"/")),
			"another type":          s.Sign(authtest.With(s.Header(), "typ", "JWT"), claims),
			"a jku":                 s.Sign(authtest.With(s.Header(), "jku", a.JWKS()), claims),
			"no JSON":               s.SignJSON("{}", "{"),
			"alg none":              s.Sign(authtest.With(s.Header(), "alg", "none"), claims),
		} {
			if err := verify(t, v, token); !errors.Is(err, auth.ErrInvalid) {
				t.Errorf("%s: %v", name, err)
			}
		}
		if a.Fetches() != 0 {
			t.Errorf("%d fetches", a.Fetches())
		}
	})
}

func TestTenThousandConcurrentRequestsWithOneUnknownKidAreOneFetch(t *testing.T) {
	for _, warm := range []bool{false, true} {
		t.Run(fmt.Sprint("warm=", warm), func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := authtest.NewSigner(t, "ES256")
				a := authtest.NewAuthority(t, issuer, s)
				v := fetching(t, a.Issuer(audience, "ES256"))
				want := 1
				if warm {
					good(t, v, fresh(s))
					want = 2
				}
				set := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					time.Sleep(time.Second) // all of them are waiting before it answers
					a.Answer(nil)
					a.Publish(s)
					w.Header().Set("Content-Type", "application/json")
					_, _ = io.WriteString(w, jwks(t, s))
				})
				a.Answer(set)
				unknown := withKid(s, "unknown")
				var refused atomic.Int64
				var all sync.WaitGroup
				for range 10_000 {
					all.Go(func() {
						if _, err := v.Verify(t.Context(), unknown, time.Now()); errors.Is(err, auth.ErrInvalid) {
							refused.Add(1)
						}
					})
				}
				all.Wait()
				if a.Fetches() != want || refused.Load() != 10_000 {
					t.Errorf("%d fetches, want %d; %d refused", a.Fetches(), want, refused.Load())
				}
			})
		})
	}
}

func TestTenThousandRandomKidsInTenSecondsAreAtMostTwoFetches(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := authtest.NewSigner(t, "ES256")
		a := authtest.NewAuthority(t, issuer, s)
		v := fetching(t, a.Issuer(audience, "ES256"))
		good(t, v, fresh(s))
		before := a.Fetches()
		for i := range 10_000 {
			// Neither the one that was looked for nor those that nobody could look for are guesses, so that a stranger's flood costs nobody else.
			is(t, verify(t, v, unsigned(s, fmt.Sprint("random-", i))), auth.ErrNotYetValid)
			time.Sleep(time.Millisecond)
		}
		if n := a.Fetches() - before; n < 1 || n > 2 {
			t.Errorf("%d fetches", n)
		}
	})
}

func TestTenThousandBadSignaturesOnAKnownKidAreNoFetch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := authtest.NewSigner(t, "ES256")
		a := authtest.NewAuthority(t, issuer, s)
		v := fetching(t, a.Issuer(audience, "ES256", "ES384"))
		good(t, v, fresh(s))
		before := a.Fetches()
		bad := unsigned(s, s.KeyID)
		other := s.Sign(authtest.With(s.Header(), "alg", "ES384"), authtest.Claims(issuer, audience, time.Now()))
		nameless := s.Sign(map[string]any{"alg": "ES384", "typ": "at+jwt"}, authtest.Claims(issuer, audience, time.Now()))
		for i := range 10_000 {
			is(t, verify(t, v, []string{bad, other, nameless}[i%3]), auth.ErrInvalid)
		}
		if n := a.Fetches() - before; n != 0 {
			t.Errorf("%d fetches", n)
		}
	})
}

// The attack keeps the cool-down busy for ever; each of its fetches brings the new key too.
func TestARotatedKeyWorksDuringTheAttack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		old, young := authtest.NewSigner(t, "ES256"), authtest.NewSigner(t, "ES256")
		a := authtest.NewAuthority(t, issuer, old)
		v := fetching(t, a.Issuer(audience, "ES256"))
		good(t, v, fresh(old))
		ctx, stop := context.WithCancel(t.Context())
		var attack sync.WaitGroup
		attack.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				_ = verify(t, v, unsigned(old, fmt.Sprint("random-", i)))
				time.Sleep(time.Millisecond)
			}
		})
		time.Sleep(3 * time.Second)
		a.Publish(old, young)
		start := time.Now()
		token := fresh(young)
		for verify(t, v, token) != nil {
			good(t, v, fresh(old))
			time.Sleep(10 * time.Millisecond)
			if time.Since(start) > time.Minute {
				t.Fatal("the new key was never found")
			}
		}
		if d := time.Since(start); d > 10*time.Second+50*time.Millisecond {
			t.Errorf("found after %v", d)
		}
		stop()
		attack.Wait()
	})
}

// keyfunc loses its one refresh to a request that was cancelled; here nobody's cancellation ends a fetch.
func TestACancelledRequestDoesNotEndTheFetch(t *testing.T) {
	bubble(t, func(t *testing.T) {
		old, young := authtest.NewSigner(t, "ES256"), authtest.NewSigner(t, "ES256")
		a := authtest.NewAuthority(t, issuer, old)
		v := fetching(t, a.Issuer(audience, "ES256"))
		good(t, v, fresh(old))
		a.Answer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Second)
			_, _ = io.WriteString(w, jwks(t, old, young))
		}))
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		_, err := v.Verify(ctx, fresh(young), time.Now())
		is(t, err, auth.ErrUnavailable)
		good(t, v, fresh(young)) // joins the same fetch
		if a.Fetches() != 2 {
			t.Errorf("%d fetches", a.Fetches())
		}
	})
}

func TestAHangingIssuerDoesNotSlowKnownKeys(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := authtest.NewSigner(t, "ES256")
		a := authtest.NewAuthority(t, issuer, s)
		v := fetching(t, a.Issuer(audience, "ES256"))
		good(t, v, fresh(s))
		a.Answer(authtest.Hang())
		start := time.Now()
		err := verify(t, v, withKid(s, "new"))
		is(t, err, auth.ErrUnavailable)
		if d := time.Since(start); d != 2*time.Second {
			t.Errorf("waited %v", d)
		}
		start = time.Now()
		for range 100 {
			good(t, v, s.Token(authtest.With(authtest.Claims(issuer, audience, time.Now()), "jti", fmt.Sprint(time.Now()))))
		}
		if d := time.Since(start); d != 0 {
			t.Errorf("known keys took %v", d)
		}
		time.Sleep(10 * time.Hour) // planned fetches hang too
		start = time.Now()
		good(t, v, fresh(s))
		if d := time.Since(start); d != 0 {
			t.Errorf("after hours known keys took %v", d)
		}
	})
}

func TestAnOutageIs503WithRetryAfterAndWithoutAChallenge(t *testing.T) {
	for name, answer := range map[string]http.Handler{
		"500": authtest.Status(500), "404": authtest.Status(404), "204": authtest.Status(204), "304 unasked": authtest.Status(304),
		"hangs": authtest.Hang(), "drips": authtest.Drip(time.Second),
		"HTML": authtest.Text("<!doctype html><title>Login</title>"), "nothing": authtest.Text(""), "null": authtest.Text("null"),
		"an array": authtest.Text("[]"), "no keys": authtest.Text(`{}`), "an empty set": authtest.Text(`{"keys":[]}`),
		"keys are an object": authtest.Text(`{"keys":{}}`), "keys twice": authtest.Text(`{"keys":[],"keys":[]}`),
		"keys in another case": authtest.Text(`{"KEYS":[]}`), "half a set": authtest.Text(`{"keys":[`), "two documents": authtest.Text(`{"keys":[]}{}`),
		"a GiB": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			block := bytes.Repeat([]byte(" "), 1<<16)
			for range 1 << 14 {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}),
		"a gzip bomb": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			block := bytes.Repeat([]byte(" "), 1<<20)
			for range 16 {
				_, _ = z.Write(block)
			}
			_ = z.Close()
		}),
		"aborts": http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"keys":`)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}),
		"to http":               redirect("http://issuer.example/keys"),
		"to another host":       redirect("https://attacker.example/jwks.json"),
		"to the metadata":       redirect("http://169.254.169.254/latest/meta-data/"),
		"to another port":       redirect("https://issuer.example:8443/jwks.json"),
		"to itself for ever":    redirect("/jwks.json"),
		"to a file":             redirect("file:///etc/passwd"),
		"an oct key":            authtest.Text(`{"keys":[{"kty":"oct","kid":"k","alg":"HS256","k":"` + strings.Repeat("QUFB", 16) + `"}]}`),
		"one key too many":      authtest.Text(`{"keys":[` + strings.Repeat(`{},`, 100) + `{}]}`),
		"a set of nested bombs": authtest.Text(`{"keys":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`),
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := authtest.NewSigner(t, "ES256")
				a := authtest.NewAuthority(t, issuer, s)
				a.Answer(answer)
				v := fetching(t, a.Issuer(audience, "ES256"))
				gate, err := auth.New(auth.Config{Authenticator: v, Logger: slog.New(slog.DiscardHandler)})
				if err != nil {
					t.Fatal(err)
				}
				h := gate.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("let in") }))
				for range 2 { // the second one is told at once
					w := httptest.NewRecorder()
					h.ServeHTTP(w, authtest.Request("GET", "/", "", authtest.Bearer(fresh(s))))
					if w.Code != 503 || w.Header().Get("Retry-After") == "" || w.Header().Get("WWW-Authenticate") != "" {
						t.Errorf("%d %v", w.Code, w.Header())
					}
					if strings.Contains(w.Body.String(), "issuer.example") {
						t.Errorf("the client was told %s", w.Body)
					}
				}
				// The issuer is back: so are we, without a request that has to fail first.
				a.Answer(nil)
				time.Sleep(maxBackoff + fetchTimeout)
				good(t, v, fresh(s))
			})
		})
	}
}

// The set holds the good key each time; what is around it is what is refused.
func TestAGoodKeyInABadReplyIsNotUsed(t *testing.T) {
	s := authtest.NewSigner(t, "ES256")
	good := jwks(t, s)
	head := func(name, value string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set(name, value)
			_, _ = io.WriteString(w, good)
		})
	}
	for name, c := range map[string]struct {
		answer http.Handler
		good   bool
	}{
		"as it should be":          {authtest.Text(good), true},
		"with a strange type":      {head("Content-Type", "text/plain"), true},
		"said to be identity":      {head("Content-Encoding", "identity"), true},
		"said to be compressed":    {head("Content-Encoding", "br"), false},
		"512 KiB":                  {authtest.Text(good + strings.Repeat(" ", 512<<10-len(good))), true},
		"512 KiB and a byte":       {authtest.Text(good + strings.Repeat(" ", 512<<10-len(good)+1)), false},
		"beside 99 keys":           {authtest.Text(strings.Replace(good, "[", "["+strings.Repeat("{},", 99), 1)), true},
		"beside 100 keys":          {authtest.Text(strings.Replace(good, "[", "["+strings.Repeat("{},", 100), 1)), false},
		"beside another keys":      {authtest.Text(strings.Replace(good, "{", `{"keys":[],`, 1)), false},
		"beside KEYS":              {authtest.Text(strings.Replace(good, "{", `{"KEYS":[],`, 1)), false},
		"behind a byte order mark": {authtest.Text("\ufeff" + good), false},
		"with a status of 203": {http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusNonAuthoritativeInfo)
			_, _ = io.WriteString(w, good)
		}), false},
		"behind a redirect elsewhere": {http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Host == "attacker.example" {
				_, _ = io.WriteString(w, good)
				return
			}
			http.Redirect(w, r, "https://attacker.example/jwks.json", http.StatusFound)
		}), false},
		"behind a redirect to http": {http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.RawQuery != "" {
				_, _ = io.WriteString(w, good)
				return
			}
			http.Redirect(w, r, "http://issuer.example/jwks.json?plain", http.StatusFound)
		}), false},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				a := authtest.NewAuthority(t, issuer)
				a.Answer(c.answer)
				err := verify(t, fetching(t, a.Issuer(audience, "ES256")), fresh(s))
				if c.good {
					is(t, err, nil)
				} else {
					is(t, err, auth.ErrUnavailable)
				}
			})
		})
	}
}

const (
	maxBackoff   = time.Minute
	fetchTimeout = 10 * time.Second
)

func redirect(to string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) })
}

func TestARedirectWithinTheHostIsFollowed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := authtest.NewSigner(t, "ES256")
		a := authtest.NewAuthority(t, issuer, s)
		a.Answer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			a.Answer(nil)
			http.Redirect(w, r, "/jwks.json?v=2", http.StatusFound)
		}))
		good(t, fetching(t, a.Issuer(audience, "ES256")), fresh(s))
	})
}

func TestAFailingIssuerIsAskedLessAndLess(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := authtest.NewSigner(t, "ES256")
		a := authtest.NewAuthority(t, issuer, s)
		a.Answer(authtest.Status(500))
		v := fetching(t, a.Issuer(audience, "ES256"))
		for range 600 {
			err := verify(t, v, withKid(s, fmt.Sprint(time.Now().UnixNano())))
			is(t, err, auth.ErrUnavailable)
			var e *auth.Error
			if !errors.As(err, &e) || e.RetryAfter < time.Second || e.RetryAfter > maxBackoff {
				t.Fatalf("%#v", err)
			}
			time.Sleep(time.Second)
		}
		if n := a.Fetches(); n < 10 || n > 21 { // 1, 2, 4, ... 32 s, then about one a minute
			t.Errorf("%d fetches in ten minutes", n)
		}
	})
}

func TestKeysOutliveAnOutageForMaxStaleAndNoLonger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := authtest.NewSigner(t, "ES256")
		a := authtest.NewAuthority(t, issuer, s)
		cfg := a.Issuer(audience, "ES256")
		cfg.Fetch.MaxStale = 6 * time.Hour
		v := fetching(t, cfg)
		start := time.Now()
		remembered := s.Token(authtest.With(authtest.Claims(issuer, audience, start), "exp", start.Add(10*time.Hour).Unix()))
		good(t, v, remembered)
		a.Answer(authtest.Status(500))
		time.Sleep(6*time.Hour - time.Second)
		good(t, v, fresh(s))
		good(t, v, remembered)
		time.Sleep(2 * time.Second)
		is(t, verify(t, v, fresh(s)), auth.ErrUnavailable)
		is(t, verify(t, v, remembered), auth.ErrUnavailable)
		a.Answer(nil)
		time.Sleep(maxBackoff)
		good(t, v, remembered)
	})
}

func TestAWithdrawnKeyTakesItsRememberedTokensWithIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		leaked, kept := authtest.NewSigner(t, "ES256"), authtest.NewSigner(t, "ES256")
		a := authtest.NewAuthority(t, issuer, leaked, kept)
		a.CacheControl("max-age=1")
		v := fetching(t, a.Issuer(audience, "ES256"))
		one, two := fresh(leaked), fresh(kept)
		good(t, v, one)
		good(t, v, two)
		a.Publish(kept)
		time.Sleep(5 * time.Minute) // the shortest time between planned fetches
		is(t, verify(t, v, one), auth.ErrInvalid)
		good(t, v, two)
		if hits := jwtauth.Remembered(v, two, time.Now()); !hits {
			t.Error("the token of a key that stays was forgotten")
		}
		// The same name for another key.
		other := authtest.NewSigner(t, "ES256")
		other.KeyID = kept.KeyID
		a.Publish(other)
		time.Sleep(5 * time.Minute)
		is(t, verify(t, v, two), auth.ErrInvalid)
		good(t, v, fresh(other))
	})
}

func TestPlannedFetchesFollowCacheControlWithinBounds(t *testing.T) {
	for _, c := range []struct {
		header   string
		min, max int // fetches in ten days
	}{
		{"", 240, 267}, {"max-age=7200", 120, 134}, {"public, max-age=86400, must-revalidate", 20, 23}, {"max-age=1", 2880, 3201},
		{"no-store", 2880, 3201}, {"max-age=99999999", 20, 23}, {"max-age=x", 2880, 3201}, {`Max-Age="7200", max-age=90000`, 120, 134},
		{"max-age=-1", 2880, 3201},
	} {
		t.Run(c.header, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := authtest.NewSigner(t, "ES256")
				a := authtest.NewAuthority(t, issuer, s)
				a.CacheControl(c.header)
				v := fetching(t, a.Issuer(audience, "ES256"))
				good(t, v, fresh(s))
				time.Sleep(240 * time.Hour)
				if n := a.Fetches(); n < c.min || n > c.max {
					t.Errorf("%d fetches, not %d to %d", n, c.min, c.max)
				}
				if a.Unchanged() != a.Fetches()-1 {
					t.Errorf("%d of %d were answered 304", a.Unchanged(), a.Fetches())
				}
				good(t, v, fresh(s))
			})
		})
	}
}

func TestABadSetDoesNotReplaceAGoodOne(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := authtest.NewSigner(t, "ES256")
		a := authtest.NewAuthority(t, issuer, s)
		v := fetching(t, a.Issuer(audience, "ES256"))
		good(t, v, fresh(s))
		for i, set := range []string{`{"keys":[]}`, `<html>`, `{"keys":[{"kty":"RSA"}]}`, ``, `{"keys":null}`} {
			a.PublishJSON(set)
			time.Sleep(2 * time.Hour)
			if a.Fetches() < 2+i {
				t.Fatalf("%d fetches", a.Fetches())
			}
			good(t, v, fresh(s))
		}
		// Flapping: every other answer fails.
		n := 0
		a.Publish(s)
		a.Answer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if n++; n%2 == 0 {
				w.WriteHeader(500)
				return
			}
			_, _ = io.WriteString(w, jwks(t, s))
		}))
		for range 100 {
			time.Sleep(30 * time.Minute)
			good(t, v, fresh(s))
		}
	})
}

func TestOneUnknownKidCausesNoMoreFetchesThanMany(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, late := authtest.NewSigner(t, "ES256"), authtest.NewSigner(t, "ES256")
		a := authtest.NewAuthority(t, issuer, s)
		v := fetching(t, a.Issuer(audience, "ES256"))
		good(t, v, fresh(s))
		for range 600 {
			is(t, verify(t, v, fresh(late)), auth.ErrInvalid)
			time.Sleep(time.Second)
		}
		if n := a.Fetches(); n < 55 || n > 62 {
			t.Errorf("%d fetches in ten minutes for one kid", n)
		}
	})
}

// The kids of some issuers are a month or a number. Somebody who sends tokens under the next one must not be able to have it put off.
func TestAKeyWhoseKidWasForetoldIsFoundWithinTheCooldown(t *testing.T) {
	for _, before := range []int{1, 2, 3, 7, 15, 40} {
		bubble(t, func(t *testing.T) {
			old, next, evil := authtest.NewSigner(t, "ES256"), authtest.NewSigner(t, "ES256"), authtest.NewSigner(t, "ES256")
			a := authtest.NewAuthority(t, issuer, old)
			v := fetching(t, a.Issuer(audience, "ES256"))
			good(t, v, fresh(old))
			time.Sleep(time.Minute)
			for range before {
				is(t, verify(t, v, withKid(evil, next.KeyID)), auth.ErrInvalid)
				time.Sleep(10 * time.Second)
			}
			is(t, verify(t, v, withKid(evil, next.KeyID)), auth.ErrInvalid) // the worst moment: just before it is published
			a.Publish(old, next)
			start := time.Now()
			for verify(t, v, fresh(next)) != nil {
				_ = verify(t, v, withKid(evil, next.KeyID))
				time.Sleep(500 * time.Millisecond)
			}
			if d := time.Since(start); d > 10*time.Second {
				t.Errorf("after %d tries: found after %v", before, d)
			}
		})
	}
}

func TestAnUnknownKidDuringAnOutageIsNotCalledInvalid(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s, young := authtest.NewSigner(t, "ES256"), authtest.NewSigner(t, "ES256")
		a := authtest.NewAuthority(t, issuer, s)
		v := fetching(t, a.Issuer(audience, "ES256"))
		good(t, v, fresh(s))
		a.Publish(s, young)
		a.Answer(authtest.Status(503))
		for range 3 {
			is(t, verify(t, v, fresh(young)), auth.ErrUnavailable)
			good(t, v, fresh(s))
			time.Sleep(time.Second)
		}
		a.Answer(nil)
		time.Sleep(maxBackoff)
		good(t, v, fresh(young))
	})
}

func TestPublishedKeysDoNotCrossIssuers(t *testing.T) {
	bubble(t, func(t *testing.T) {
		one, two := authtest.NewSigner(t, "ES256"), authtest.NewSigner(t, "ES256")
		two.KeyID = one.KeyID
		a, b := authtest.NewAuthority(t, "https://a.example", one), authtest.NewAuthority(t, "https://b.example", two)
		v := fetching(t, a.Issuer(audience, "ES256"), b.Issuer(audience, "ES256"))
		for _, c := range []struct {
			s    *authtest.Signer
			iss  string
			good bool
		}{{one, a.Name, true}, {two, b.Name, true}, {one, b.Name, false}, {two, a.Name, false}} {
			if err := verify(t, v, c.s.Token(authtest.Claims(c.iss, audience, time.Now()))); (err == nil) != c.good {
				t.Errorf("%s: %v", c.iss, err)
			}
		}
	})
}

// keyfunc refuses a key with use=enc under its kid and takes it for a token without one.
func TestATokenWithoutKidFindsOnlyAKeyThatFits(t *testing.T) {
	bubble(t, func(t *testing.T) {
		sig, enc, other := authtest.NewSigner(t, "ES256"), authtest.NewSigner(t, "ES256"), authtest.NewSigner(t, "ES256")
		nameless := func(s *authtest.Signer) string {
			return s.Sign(authtest.With(s.Header(), "kid", nil), authtest.Claims(issuer, audience, time.Now()))
		}
		encJWK := enc.JWK()
		encJWK["use"] = "enc"
		a := authtest.NewAuthority(t, issuer)
		a.PublishJSON(set(t, sig.JWK(), encJWK))
		a.CacheControl("max-age=0")
		v := fetching(t, a.Issuer(audience, "ES256"))
		good(t, v, nameless(sig))
		is(t, verify(t, v, nameless(enc)), auth.ErrInvalid)
		is(t, verify(t, v, fresh(enc)), auth.ErrInvalid)
		token := nameless(sig)
		good(t, v, token)
		// With two keys that fit, neither counts. The token that was remembered goes on: its key is still published.
		a.Publish(sig, other)
		time.Sleep(5 * time.Minute)
		is(t, verify(t, v, nameless(sig)), auth.ErrInvalid)
		is(t, verify(t, v, nameless(other)), auth.ErrInvalid)
		good(t, v, fresh(other))
		good(t, v, token)
		// Two keys under one name.
		twin := authtest.NewSigner(t, "ES256")
		twin.KeyID = sig.KeyID
		a.Publish(sig, twin)
		time.Sleep(5 * time.Minute)
		before := a.Fetches()
		is(t, verify(t, v, fresh(sig)), auth.ErrInvalid)
		is(t, verify(t, v, fresh(twin)), auth.ErrInvalid)
		if a.Fetches() != before {
			t.Error("a kid that stands for two keys is known, and was fetched for")
		}
	})
}

func TestCloseEndsAFetchAndLeavesNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := authtest.NewSigner(t, "ES256")
		a := authtest.NewAuthority(t, issuer, s)
		static := s.Issuer("https://static.example", audience)
		v := fetching(t, a.Issuer(audience, "ES256"), static)
		remembered := fresh(s)
		good(t, v, remembered)
		a.Answer(authtest.Hang())
		var waiting sync.WaitGroup
		waiting.Go(func() { is(t, verify(t, v, withKid(s, "x")), auth.ErrUnavailable) })
		synctest.Wait()
		start := time.Now()
		for range 2 {
			if err := v.Close(t.Context()); err != nil {
				t.Error(err)
			}
		}
		waiting.Wait()
		if d := time.Since(start); d != 0 {
			t.Errorf("took %v", d)
		}
		is(t, verify(t, v, remembered), auth.ErrUnavailable)
		is(t, verify(t, v, fresh(s)), auth.ErrUnavailable)
		good(t, v, s.Token(authtest.Claims("https://static.example", audience, time.Now())))
		before := a.Fetches()
		time.Sleep(48 * time.Hour)
		if a.Fetches() != before {
			t.Error("fetched after Close")
		}
		var none *jwtauth.Verifier
		if err := errors.Join(none.Close(t.Context()), new(jwtauth.Verifier).Close(t.Context())); err != nil {
			t.Error(err)
		}
	})
}

// A transport that ignores its context can hold a fetch; Close then says so when its own time is over.
func TestCloseDoesNotWaitLongerThanItsContext(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := authtest.NewSigner(t, "ES256")
		cfg := s.Issuer(issuer, audience)
		release := make(chan struct{})
		cfg.Keys, cfg.JWKS = nil, "https://issuer.example/keys"
		cfg.Fetch.Transport = roundTrip(func(*http.Request) (*http.Response, error) {
			<-release
			return nil, errors.New("released")
		})
		v, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{cfg}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		is(t, verify(t, v, fresh(s)), auth.ErrUnavailable)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		is(t, v.Close(ctx), context.DeadlineExceeded)
		close(release)
		if err := v.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAPanicInATransportIsAnOutage(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := authtest.NewSigner(t, "ES256")
		cfg := s.Issuer(issuer, audience)
		cfg.Keys, cfg.JWKS = nil, "https://issuer.example/keys"
		cfg.Fetch.Transport = roundTrip(func(*http.Request) (*http.Response, error) { panic("boom") })
		is(t, verify(t, fetching(t, cfg), fresh(s)), auth.ErrUnavailable)
	})
}

func TestDiscovery(t *testing.T) {
	document := func(issuer, jwks string) http.Handler {
		return authtest.Text(fmt.Sprintf(`{"issuer":%q,"jwks_uri":%q}`, issuer, jwks))
	}
	for _, c := range []struct {
		name     string
		document http.Handler
		good     bool
	}{
		{"as it should be", document(issuer, issuer+"/jwks.json"), true},
		{"the set on another host", document(issuer, "https://keys.example/jwks.json"), true},
		{"another issuer", document("https://other.example", issuer+"/jwks.json"), false},
		{"the issuer and a slash", document(issuer+"/", issuer+"/jwks.json"), false},
		{"the issuer in another case", document(strings.ToUpper(issuer), issuer+"/jwks.json"), false},
		{"no issuer", authtest.Text(`{"jwks_uri":"` + issuer + `/jwks.json"}`), false},
		{"the issuer twice", authtest.Text(`{"issuer":"x","issuer":"` + issuer + `","jwks_uri":"` + issuer + `/jwks.json"}`), false},
		{"jwks_uri in another case too", authtest.Text(`{"issuer":"` + issuer + `","JWKS_URI":"https://x.example/"}`), false},
		{"http", document(issuer, "http://issuer.example/jwks.json"), false},
		{"a file", document(issuer, "file:///etc/passwd"), false},
		{"no jwks_uri", authtest.Text(`{"issuer":"` + issuer + `"}`), false},
		{"a user name", document(issuer, "https://user@issuer.example/jwks.json"), false},
		{"HTML", authtest.Text("<html>"), false},
		{"an error", authtest.Status(500), false},
		{"a redirect to another host", redirect("https://other.example/"), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := authtest.NewSigner(t, "ES256")
				a := authtest.NewAuthority(t, issuer, s)
				cfg := a.Issuer(audience, "ES256")
				cfg.JWKS, cfg.Discovery = "", true
				inner := cfg.Fetch.Transport
				cfg.Fetch.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
					if r.URL.Path != "/.well-known/openid-configuration" {
						return inner.RoundTrip(r)
					}
					w := httptest.NewRecorder()
					c.document.ServeHTTP(w, r)
					resp := w.Result()
					resp.Request = r
					return resp, nil
				})
				v := fetching(t, cfg)
				err := verify(t, v, fresh(s))
				if c.good {
					is(t, err, nil)
				} else {
					is(t, err, auth.ErrUnavailable)
				}
			})
		})
	}
}

func TestTheDiscoveryDocumentIsReadAgainWhenTheSetHasMoved(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := authtest.NewSigner(t, "ES256")
		a := authtest.NewAuthority(t, issuer, s)
		cfg := a.Issuer(audience, "ES256")
		cfg.JWKS, cfg.Discovery = "", true
		v := fetching(t, cfg)
		good(t, v, fresh(s))
		time.Sleep(12 * time.Hour)
		if a.Discoveries() != 1 || a.Fetches() < 12 {
			t.Errorf("%d discoveries, %d fetches", a.Discoveries(), a.Fetches())
		}
		a.Answer(authtest.Status(404))
		time.Sleep(2 * time.Hour)
		if n := a.Discoveries(); n < 10 {
			t.Errorf("%d discoveries after failures", n)
		}
		a.Answer(nil)
		n := a.Discoveries()
		time.Sleep(72 * time.Hour)
		if d := a.Discoveries() - n; d < 2 || d > 5 {
			t.Errorf("%d discoveries in three good days", d)
		}
		good(t, v, fresh(s))
	})
}

func TestNewRefusesUnsafeSourcesOfKeys(t *testing.T) {
	s := authtest.NewSigner(t, "ES256")
	for _, c := range []struct {
		name, want string
		change     func(*jwtauth.Issuer)
	}{
		{"keys and JWKS", "more than one", func(is *jwtauth.Issuer) { is.JWKS = "https://a.example/keys" }},
		{"keys and discovery", "more than one", func(is *jwtauth.Issuer) { is.Discovery = true }},
		{"JWKS and discovery", "more than one", func(is *jwtauth.Issuer) { is.Keys, is.JWKS, is.Discovery = nil, "https://a.example/keys", true }},
		{"none", "nothing to verify with", func(is *jwtauth.Issuer) { is.Keys = nil }},
		{"http", "https", func(is *jwtauth.Issuer) { is.Keys, is.JWKS = nil, "http://a.example/keys" }},
		{"http to this machine, without leave", "https", func(is *jwtauth.Issuer) { is.Keys, is.JWKS = nil, "http://127.0.0.1/keys" }},
		{"http to another machine, with leave", "https", func(is *jwtauth.Issuer) {
			is.Keys, is.JWKS, is.Fetch.InsecureHTTP = nil, "http://192.0.2.1/keys", true
		}},
		{"a name that begins like this machine's", "https", func(is *jwtauth.Issuer) {
			is.Keys, is.JWKS, is.Fetch.InsecureHTTP = nil, "http://localhost.example/keys", true
		}},
		{"no scheme", "https", func(is *jwtauth.Issuer) { is.Keys, is.JWKS = nil, "a.example/keys" }},
		{"no host", "host", func(is *jwtauth.Issuer) { is.Keys, is.JWKS = nil, "https:///keys" }},
		{"a user", "user name", func(is *jwtauth.Issuer) { is.Keys, is.JWKS = nil, "https://u:p@a.example/keys" }},
		{"a fragment", "fragment", func(is *jwtauth.Issuer) { is.Keys, is.JWKS = nil, "https://a.example/keys#x" }},
		{"no URL", "no URL", func(is *jwtauth.Issuer) { is.Keys, is.JWKS = nil, "https://a.example/\x00" }},
		{"HMAC from a URL", "HMAC", func(is *jwtauth.Issuer) {
			is.Keys, is.JWKS, is.Algorithms = nil, "https://a.example/keys", []string{"HS256"}
		}},
		{"an issuer that is no URL, by discovery", "Discovery", func(is *jwtauth.Issuer) { is.Keys, is.Issuer, is.Discovery = nil, "joe", true }},
		{"keys that live for months", "MaxStale", func(is *jwtauth.Issuer) {
			is.Keys, is.JWKS, is.Fetch.MaxStale = nil, "https://a.example/keys", 1000*time.Hour
		}},
		{"keys that live for a second", "MaxStale", func(is *jwtauth.Issuer) {
			is.Keys, is.JWKS, is.Fetch.MaxStale = nil, "https://a.example/keys", time.Second
		}},
	} {
		cfg := s.Issuer(issuer, audience)
		c.change(&cfg)
		if v, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{cfg}}); err == nil || v != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	for _, url := range []string{"http://127.0.0.1:8080/keys", "http://[::1]/keys", "http://localhost:1/keys", "https://a.example/keys?tenant=1"} {
		cfg := s.Issuer(issuer, audience)
		cfg.Keys, cfg.JWKS, cfg.Fetch.InsecureHTTP = nil, url, true
		if _, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{cfg}}); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// The transport of the default is a real one: this goes over a loopback listener.
func TestTheDefaultTransportFetchesFromAListener(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1") // nobody listens there: using it would fail
	s := authtest.NewSigner(t, "ES256")
	a := authtest.NewAuthority(t, issuer, s)
	server := httptest.NewServer(a)
	t.Cleanup(server.Close)
	cfg := s.Issuer(issuer, audience)
	cfg.Keys, cfg.JWKS, cfg.Fetch.InsecureHTTP = nil, server.URL+"/jwks.json", true
	good(t, fetching(t, cfg), fresh(s))
}

// What an operator is told: which keys came and went, which one is odd and why a fetch failed; nothing of a token.
func TestTheLogTellsOfKeysAndNotOfTokens(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := authtest.NewSigner(t, "ES256")
		a := authtest.NewAuthority(t, issuer, s)
		a.PublishJSON(strings.Replace(jwks(t, s), `"keys":[`, `"keys":[{"kty":"AKP","alg":"ML-DSA-44","pub":"AA"},`, 1))
		var log bytes.Buffer
		v, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{a.Issuer(audience, "ES256")}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		good(t, v, fresh(s))
		a.Answer(authtest.Status(500))
		_ = verify(t, v, withKid(s, "attacker"+"-kid"))
		if err := v.Close(t.Context()); err != nil {
			t.Error(err)
		}
		for _, want := range []string{"keys have changed", "added=1", "kty is not supported", "answered 500", "issuer=" + issuer} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log lacks %q:\n%s", want, &log)
			}
		}
		if strings.Contains(log.String(), "attacker") || strings.Contains(log.String(), "eyJ") {
			t.Errorf("the log shows a token's content:\n%s", &log)
		}
	})
}

func jwks(t testing.TB, signers ...*authtest.Signer) string {
	return set(t, func() (keys []map[string]any) {
		for _, s := range signers {
			keys = append(keys, s.JWK())
		}
		return keys
	}()...)
}

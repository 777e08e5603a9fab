package auth_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/internal/memhttp"
)

// door is a Gate whose authenticator knows its answer from the token, counts how often it was asked, and keeps the alarms.
type door struct {
	*auth.Gate
	asked  int
	alarms []auth.Alarm
	log    bytes.Buffer
}

var answers = map[string]error{
	"good": nil, "bad": auth.ErrInvalid, "expired": auth.ErrExpired, "revoked": auth.ErrRevoked, "early": auth.ErrNotYetValid, "down": auth.ErrUnavailable,
	"foreign": auth.ErrNoCredential, "strange": errors.New("a fault"), "elsewhere": auth.ErrAddressNotAllowed,
	"nonce":  &auth.Error{Code: auth.CodeInvalidToken, ChallengeError: "use_dpop_nonce", Err: auth.ErrInvalid},
	"spent":  &auth.Error{Code: auth.CodeInvalidAPIKey, KeyID: "k1", Err: auth.ErrExpired},
	"secret": &auth.Error{Code: auth.CodeInvalidAPIKey, KeyID: "k1", Err: auth.ErrInvalid},
	"other":  &auth.Error{Code: auth.CodeInvalidAPIKey, KeyID: "k2", Err: auth.ErrInvalid},
}

func newDoor(t testing.TB, change func(*auth.Config)) *door {
	t.Helper()
	d := new(door)
	cfg := auth.Config{
		Authenticator: auth.AuthenticatorFunc(func(r *http.Request) (*auth.Principal, error) {
			d.asked++
			c, err := auth.CredentialOf(r)
			if err == nil {
				err = answers[c.Value]
			}
			if err != nil {
				return nil, err
			}
			if c.Value == "" {
				return nil, auth.ErrNoCredential
			}
			return authtest.Principal(), nil
		}),
		OnAlarm: func(_ context.Context, a auth.Alarm) { d.alarms = append(d.alarms, a) },
		Logger:  slog.New(slog.NewTextHandler(&d.log, &slog.HandlerOptions{Level: slog.LevelWarn})),
	}
	if change != nil {
		change(&cfg)
	}
	var err error
	if d.Gate, err = auth.New(cfg); err != nil {
		t.Fatal(err)
	}
	return d
}

// knock sends a request and returns the status.
func (d *door) knock(token, from string, more ...func(*http.Request)) *httptest.ResponseRecorder {
	r := authtest.Request("POST", "/v1/chat/completions", "", append([]func(*http.Request){authtest.Bearer(token), authtest.From(from)}, more...)...)
	w := httptest.NewRecorder()
	d.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(w, r)
	return w
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) { r.Header.Set(name, value) }
}

const eve, bob = "198.51.100.1:1", "198.51.100.2:1"

func bubble(t *testing.T, f func(t *testing.T)) { t.Helper(); synctest.Test(t, f) }

func TestWrongCredentialsLockTheirAddressAndNobodyElse(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDoor(t, nil)
		for i := range auth.DefaultLockoutFailures {
			if w := d.knock("bad", eve); w.Code != 401 {
				t.Fatalf("failure %d: %d", i, w.Code)
			}
		}
		asked := d.asked
		for _, token := range []string{"bad", "good", "expired"} {
			w := d.knock(token, eve)
			if w.Code != 429 || w.Header().Get("Retry-After") != "60" || w.Header().Get("WWW-Authenticate") != "" || code(t, w) != "too_many_requests" {
				t.Errorf("%s: %d %v %s", token, w.Code, w.Header(), w.Body)
			}
		}
		if d.asked != asked {
			t.Error("the authenticator was asked about a request from a locked address")
		}
		if w := d.knock("good", bob); w.Code != 200 {
			t.Errorf("another address: %d", w.Code)
		}
		if _, err := d.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer("good"), authtest.From(eve))); !errors.Is(err, auth.ErrLocked) || auth.CodeOf(err) != auth.CodeLocked {
			t.Errorf("Authenticate: %v", err)
		}
		time.Sleep(59 * time.Second)
		if w := d.knock("good", eve); w.Code != 429 || w.Header().Get("Retry-After") != "1" {
			t.Errorf("after 59 s: %d, Retry-After %s", w.Code, w.Header().Get("Retry-After"))
		}
		time.Sleep(time.Second)
		if w := d.knock("good", eve); w.Code != 200 {
			t.Errorf("after the lock: %d", w.Code)
		}
		if st := d.LockoutStats(); st.Locks != 1 || st.Locked != 0 || st.Refused != 5 {
			t.Errorf("%+v", st)
		}
	})
}

func TestEveryFurtherLockIsTwiceAsLongUntilForgiven(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDoor(t, nil)
		for i, want := range []string{"60", "120", "240", "480", "900", "900"} {
			n := 0
			for d.knock("bad", eve).Code == 401 {
				n++
			}
			if first := i == 0; first && n != 20 || !first && n != 10 {
				t.Errorf("lock %d after %d failures", i, n)
			}
			w := d.knock("bad", eve)
			if got := w.Header().Get("Retry-After"); got != want {
				t.Errorf("lock %d is for %s s, want %s", i, got, want)
			}
			s, _ := strconv.Atoi(want)
			time.Sleep(time.Duration(s) * time.Second)
		}
		time.Sleep(6 * 4 * auth.DefaultMaxLock)
		for d.knock("bad", eve).Code == 401 {
		}
		if got := d.knock("bad", eve).Header().Get("Retry-After"); got != "60" {
			t.Errorf("after a quiet day: %s s", got)
		}
	})
}

func TestOnlyAGuessCosts(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for token, status := range map[string]int{
			"good": 200, "": 401, "expired": 401, "revoked": 401, "early": 401, "down": 503, "strange": 503, "elsewhere": 403, "nonce": 401, "spent": 401,
		} {
			d := newDoor(t, nil)
			for range 200 {
				if w := d.knock(token, eve); w.Code != status {
					t.Fatalf("%q: %d", token, w.Code)
				}
			}
			if len(d.alarms) > 0 || d.LockoutStats().InUse > 0 {
				t.Errorf("%q cost something: %v", token, d.alarms)
			}
		}
		// A browser that was sent to a URL with a password in it, and a request with two credentials.
		d := newDoor(t, nil)
		for range 200 {
			d.knock("", eve, header("Authorization", "Basic eDp5"))
			d.knock("bad", eve, header("X-API-Key", "bad"))
		}
		d.Gate = d.Require("nobody:has")
		for range 200 {
			if w := d.knock("good", eve); w.Code != 403 {
				t.Fatal(w.Code)
			}
		}
		if d.LockoutStats().InUse > 0 {
			t.Error("another scheme, two credentials or a missing scope cost something")
		}
		for _, token := range []string{"bad", "foreign", "secret"} {
			d := newDoor(t, nil)
			for range 20 {
				d.knock(token, eve)
			}
			if w := d.knock("good", eve); w.Code != 429 {
				t.Errorf("20 times %q: then %d", token, w.Code)
			}
		}
	})
}

// wrongSecret returns key with another secret and the checksum that belongs to it.
func wrongSecret(key string, i int) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	body := fmt.Sprintf("%s%05d", key[:len(key)-11], i)
	var sum [6]byte
	for n, j := crc32.Checksum([]byte(body), crc32.MakeTable(crc32.Castagnoli)), 5; j >= 0; n, j = n/62, j-1 {
		sum[j] = digits[n%62]
	}
	return body + string(sum[:])
}

// litellm-rs #1186: the credential was part of the bucket's key, so that no two guesses met in one bucket.
func TestLitellmRS1186GuessesOfDifferentCredentialsAreCountedTogether(t *testing.T) {
	bubble(t, func(t *testing.T) {
		keys := authtest.Keys(t)
		d := newDoor(t, func(c *auth.Config) { c.Authenticator = keys })
		others := authtest.Keys(t)
		for i := range 20 {
			d.knock(authtest.Key(t, others, apikey.Spec{}), eve, header("X-Request-Id", fmt.Sprint(i)), header("User-Agent", fmt.Sprint(i)))
		}
		if w := d.knock(authtest.Key(t, keys, apikey.Spec{}), eve); w.Code != 429 {
			t.Errorf("after 20 different guesses: %d", w.Code)
		}
	})
}

// OxiCloud #323: who knows a name could lock its owner out.
func TestOxiCloud323WrongSecretsDoNotLockTheKeyForItsOwner(t *testing.T) {
	bubble(t, func(t *testing.T) {
		keys := authtest.Keys(t)
		d := newDoor(t, func(c *auth.Config) { c.Authenticator = keys })
		secret, info, err := keys.Create(t.Context(), apikey.Spec{ClientID: "bob"})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 500 { // from 25 addresses
			d.knock(wrongSecret(secret.Reveal(), i), fmt.Sprintf("203.0.113.%d:1", i/20))
			if w := d.knock(secret.Reveal(), bob); w.Code != 200 {
				t.Fatalf("the owner, after %d wrong secrets: %d", i+1, w.Code)
			}
		}
		if n := len(d.Locked()); n != 25 {
			t.Errorf("%d addresses are locked", n)
		}
		if d.alarms[0].Kind != auth.AlarmWrongSecret || d.alarms[0].KeyID != info.ID {
			t.Errorf("first alarm: %+v", d.alarms[0])
		}
	})
}

func TestASuccessBuysNoFurtherGuesses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDoor(t, nil)
		for range 20 {
			d.knock("bad", eve)
			d.knock("good", eve)
		}
		if w := d.knock("good", eve); w.Code != 429 {
			t.Errorf("guesses between successes: %d", w.Code)
		}
	})
}

func TestASlowRetryOfAWrongKeyIsNeverLocked(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDoor(t, nil)
		for i := range 8640 { // a day
			if w := d.knock("bad", eve); w.Code != 401 {
				t.Fatalf("retry %d: %d", i, w.Code)
			}
			time.Sleep(10 * time.Second)
		}
	})
}

func TestAWrongSecretIsOneAlarmPerBurst(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDoor(t, func(c *auth.Config) { c.Lockout.Failures = 1000 })
		for range 9 {
			d.knock("secret", eve, header("X-Request-Id", "r1"))
		}
		want := auth.Alarm{Kind: auth.AlarmWrongSecret, Prefix: netip.MustParsePrefix("198.51.100.1/32"), KeyID: "k1", RequestID: "r1", Failures: 1}
		if len(d.alarms) != 1 || d.alarms[0] != want {
			t.Fatalf("%+v", d.alarms)
		}
		if n := strings.Count(d.log.String(), "level=WARN"); n != 1 || !strings.Contains(d.log.String(), "key_id=k1") || strings.Contains(d.log.String(), "=secret") {
			t.Errorf("log: %s", &d.log)
		}
		d.knock("other", eve)  // another key
		d.knock("secret", bob) // another address
		d.knock("bad", eve)    // no key
		if len(d.alarms) != 3 || d.alarms[1].KeyID != "k2" || d.alarms[2].Prefix.Addr().String() != "198.51.100.2" {
			t.Errorf("%+v", d.alarms)
		}
		d.knock("secret", eve) // the tenth
		if len(d.alarms) != 4 || d.alarms[3].Failures != 10 {
			t.Errorf("%+v", d.alarms)
		}
		time.Sleep(11 * time.Minute)
		d.knock("secret", eve)
		if len(d.alarms) != 5 || d.alarms[4].Failures != 1 {
			t.Errorf("after a quiet time: %+v", d.alarms)
		}
	})
}

func TestAFloodOfWrongSecretsIsNoFloodOfAlarms(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDoor(t, nil)
		for i := range 10_000 {
			d.knock("secret", fmt.Sprintf("[2001:db8:%x::1]:1", i))
		}
		if len(d.alarms) != 10 {
			t.Errorf("%d alarms", len(d.alarms))
		}
		for range 20 { // a lock is another kind: it is not among the suppressed
			d.knock("bad", eve)
		}
		if a := d.alarms[len(d.alarms)-1]; a.Kind != auth.AlarmLocked || time.Until(a.Until) != auth.DefaultLock {
			t.Errorf("%+v", a)
		}
		time.Sleep(time.Second)
		d.knock("secret", bob)
		if a := d.alarms[len(d.alarms)-1]; a.Suppressed != 9990 {
			t.Errorf("%+v", a)
		}
	})
}

func TestAnIPv6ClientIsItsSlash64AndAMappedAddressIsIPv4(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDoor(t, nil)
		for i := range 20 {
			d.knock("bad", fmt.Sprintf("[2001:db8:0:1:%x::%x]:1", i, i))
			d.knock("bad", []string{"198.51.100.1:1", "[::ffff:198.51.100.1]:2"}[i%2])
		}
		for from, want := range map[string]int{
			"[2001:db8:0:1:ffff::]:9": 429, "[2001:db8:0:2::1]:1": 200, "[2001:db8::1]:1": 200, "198.51.100.1:7": 429, "[::ffff:198.51.100.1]:1": 429,
		} {
			if w := d.knock("good", from); w.Code != want {
				t.Errorf("%s: %d", from, w.Code)
			}
		}
		var list []string
		for _, l := range d.Locked() {
			list = append(list, l.Prefix.String())
		}
		if got := strings.Join(list, " "); got != "198.51.100.1/32 2001:db8:0:1::/64" {
			t.Error(got)
		}
	})
}

// Who stands for many is not locked out for one of them.
func TestAnAddressThatStandsForManyIsNotLocked(t *testing.T) {
	trust := func(c *auth.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} }
	for name, tc := range map[string]struct {
		change func(*auth.Config)
		from   string
		xff    string
		want   int
	}{
		"loopback where nobody named proxies":     {nil, "127.0.0.1:1", "", 200},
		"private where nobody named proxies":      {nil, "10.1.2.3:1", "", 200},
		"unique local where nobody named proxies": {nil, "[fd00::1]:1", "", 200},
		"shared space where nobody named proxies": {nil, "100.64.0.1:1", "", 200},
		"link-local with a zone":                  {nil, "[fe80::1%eth0]:1", "", 200},
		"a Unix socket":                           {nil, "@", "", 200},
		"a Unix socket, with proxies":             {trust, "@", "", 200},
		"a trusted proxy itself":                  {trust, "10.0.0.1:1", "", 200},
		"exempt": {func(c *auth.Config) {
			c.Lockout.Exempt = []netip.Prefix{netip.MustParsePrefix("::ffff:198.51.100.0/120")}
		}, eve, "", 200},
		"skipped":                                   {func(c *auth.Config) { c.SkipLockout = true }, eve, "", 200},
		"shadow":                                    {func(c *auth.Config) { c.Lockout.Shadow = true }, eve, "", 200},
		"private, counted by wish":                  {func(c *auth.Config) { c.Lockout.CountPrivate = true }, "10.1.2.3:1", "", 429},
		"a private client of a trusted proxy":       {trust, "10.0.0.1:1", "192.168.1.1", 429},
		"a public client of a trusted proxy":        {trust, "10.0.0.1:1", "198.51.100.1", 429},
		"a public client that names another":        {trust, eve, "198.51.100.77", 429},
		"nobody named proxies and it names another": {nil, eve, "127.0.0.1", 429},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				d := newDoor(t, tc.change)
				var xff []func(*http.Request)
				if tc.xff != "" {
					xff = append(xff, header("X-Forwarded-For", tc.xff))
				}
				for range 25 {
					d.knock("bad", tc.from, xff...)
				}
				if w := d.knock("good", tc.from, xff...); w.Code != tc.want {
					t.Errorf("%d", w.Code)
				}
				if tc.want == 429 && tc.from == "10.0.0.1:1" {
					if w := d.knock("good", tc.from, header("X-Forwarded-For", "198.51.100.9")); w.Code != 200 {
						t.Errorf("another client of the proxy: %d", w.Code)
					}
				}
			})
		})
	}
}

// Behind a proxy that writes X-Forwarded-For a client can bring a Forwarded header of its own: nobody can vouch for its address then.
// It must not escape the count, and must not lock those whose address is known.
func TestAClientDoesNotEscapeByHeadersThatContradictEachOther(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDoor(t, func(c *auth.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
		for i := range 20 {
			d.knock("bad", "10.0.0.1:1", header("X-Forwarded-For", "198.51.100.1"), header("Forwarded", fmt.Sprintf("for=203.0.113.%d", i)))
		}
		if w := d.knock("good", "10.0.0.1:1", header("X-Forwarded-For", "198.51.100.1"), header("Forwarded", "for=x")); w.Code != 429 {
			t.Errorf("contradicting headers: %d", w.Code)
		}
		if w := d.knock("good", "10.0.0.1:1", header("X-Forwarded-For", "198.51.100.1")); w.Code != 200 {
			t.Errorf("a clear address: %d", w.Code)
		}
		if l := d.Locked(); len(l) != 1 || l[0].Prefix.IsValid() || !d.Unlock(netip.Addr{}) || len(d.Locked()) != 0 {
			t.Errorf("%v", l)
		}
	})
}

func TestAnOperatorSeesAndLiftsLocks(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDoor(t, nil)
		route := d.Require("read") // shares the locks
		for range 20 {
			d.knock("bad", eve)
		}
		l := route.Locked()
		if len(l) != 1 || l[0].Until != time.Now().Add(auth.DefaultLock) || l[0].Strikes != 1 {
			t.Fatalf("%+v", l)
		}
		if route.Unlock(netip.MustParseAddr("198.51.100.2")) || !route.Unlock(l[0].Prefix.Addr()) || route.Unlock(l[0].Prefix.Addr()) {
			t.Error("Unlock")
		}
		if w := d.knock("good", eve); w.Code != 200 || len(d.Locked()) != 0 {
			t.Errorf("after Unlock: %d", w.Code)
		}
		var none *auth.Gate
		if none.Locked() != nil || none.Unlock(netip.Addr{}) || none.LockoutStats() != (auth.LockoutStats{}) || new(auth.Gate).Unlock(netip.Addr{}) {
			t.Error("a Gate of nothing has locks")
		}
	})
}

// Where there is nothing but locks the table is open for strangers, and says so; what IPv6 may take of it is not all.
func TestATableFullOfLocksRefusesNoStranger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for addr, slots := range map[string]int{"203.0.113.%d:1": 16, "[2001:db8:%x::1]:1": 12} {
			d := newDoor(t, func(c *auth.Config) { c.Lockout.MaxAddresses = 1; c.Lockout.Failures = 1 })
			for i := range 200 {
				d.knock("bad", fmt.Sprintf(addr, i))
			}
			st := d.LockoutStats()
			if st.Slots != 16 || st.Locked != slots || st.Dropped != int64(200-slots) {
				t.Errorf("%+v", st)
			}
			if w := d.knock("good", eve); w.Code != 200 {
				t.Errorf("a stranger: %d", w.Code)
			}
			d.knock("bad", eve)
			if locked := d.knock("good", eve).Code == 429; locked != (slots < 16) {
				t.Errorf("%d places are locks: an IPv4 address is locked: %v", slots, locked)
			}
		}
	})
}

func TestALockIsDecidedBeforeANonceIsMade(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDoor(t, func(c *auth.Config) {
			c.Authenticator = named{c.Authenticator, []auth.Challenge{{Scheme: "DPoP"}}}
		})
		for range 20 {
			if w := d.knock("bad", eve); w.Header().Get("X-Announced") == "" {
				t.Fatal("no announcement")
			}
		}
		if w := d.knock("bad", eve); w.Code != 429 || w.Header().Get("X-Announced") != "" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
	})
}

func TestALockedClientDoesNotHoldAConnectionByABodyItNeverSends(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDoor(t, nil)
		s := memhttp.New(t, d.Handler(http.NotFoundHandler()), memhttp.From(netip.MustParseAddr("198.51.100.1")))
		for range 20 {
			d.knock("bad", eve)
		}
		conn, err := s.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		start := time.Now()
		go fmt.Fprint(conn, "POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer good\r\nContent-Length: 100\r\n\r\n{")
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil || res.StatusCode != 429 || time.Since(start) > 0 {
			t.Errorf("%v %v after %v", res, err, time.Since(start))
		}
	})
}

func TestLockoutFaultsAreNamed(t *testing.T) {
	_, err := auth.New(auth.Config{Authenticator: authtest.Accept(authtest.Principal()), Lockout: auth.Lockout{
		Failures: -1, HalfLife: -1, Lock: time.Hour, MaxLock: time.Minute, MaxAddresses: 1 << 30, Exempt: make([]netip.Prefix, 1),
	}})
	for _, want := range []string{"Failures", "HalfLife", "MaxLock", "MaxAddresses", "Exempt[0]"} {
		if err == nil || !strings.Contains(err.Error(), "Config.Lockout."+want) {
			t.Errorf("no word of %s: %v", want, err)
		}
	}
	for lock, ok := range map[time.Duration]bool{365 * 24 * time.Hour: true, 100 * 365 * 24 * time.Hour: false} { // MaxLock is as long
		if _, err := auth.New(auth.Config{Authenticator: authtest.Refuse(auth.ErrInvalid), Lockout: auth.Lockout{Lock: lock}}); (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "Config.Lockout.Lock 876000h") {
			t.Errorf("%v: %v", lock, err)
		}
	}
}

func TestManyRequestsAtOnceLockOnce(t *testing.T) {
	var mu sync.Mutex
	locks := 0
	g, err := auth.New(auth.Config{Authenticator: authtest.Refuse(&auth.Error{KeyID: "k", Err: auth.ErrInvalid}), Logger: quiet, OnAlarm: func(_ context.Context, a auth.Alarm) {
		mu.Lock()
		defer mu.Unlock()
		if a.Kind == auth.AlarmLocked {
			locks++
		}
	}})
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				g.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer("x"), authtest.From([]string{eve, bob}[i%2])))
				g.Locked()
				g.LockoutStats()
			}
		})
	}
	wg.Wait()
	if locks != 2 || len(g.Locked()) != 2 {
		t.Errorf("%d locks", locks)
	}
}

// No client has such an address: it is one of those that nobody can vouch for.
func TestAPeerThatNamesAMulticastAddressIsAmongTheUnknown(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDoor(t, nil)
		for i := range 20 {
			d.knock("bad", []string{"[ff02::1]:1", "[ffff:fffe:0:1::1]:1"}[i%2])
		}
		if l := d.Locked(); len(l) != 1 || l[0].Prefix.IsValid() || d.alarms[0].Prefix.IsValid() || !d.Unlock(netip.Addr{}) {
			t.Errorf("%v, %+v", l, d.alarms)
		}
	})
}

func TestAsManyFailuresAsAreConfiguredLockThoughTimePasses(t *testing.T) {
	bubble(t, func(t *testing.T) {
		for _, failures := range []int{1, 2, 3, 20} {
			d := newDoor(t, func(c *auth.Config) { c.Lockout.Failures = failures })
			for i := range failures {
				if w := d.knock("bad", eve); w.Code != 401 {
					t.Errorf("%d: failure %d: %d", failures, i+1, w.Code)
				}
				time.Sleep(100 * time.Millisecond)
			}
			if w := d.knock("bad", eve); w.Code != 429 {
				t.Errorf("%d: the next: %d", failures, w.Code)
			}
		}
		d := newDoor(t, func(c *auth.Config) { c.Lockout.Failures = 2 })
		for range 10 {
			if w := d.knock("bad", eve); w.Code != 401 {
				t.Errorf("one failure in two half-lives: %d", w.Code)
			}
			time.Sleep(2 * auth.DefaultLockoutHalfLife)
		}
	})
}

func TestAnOperatorIsToldThatALockoutCountsNobody(t *testing.T) {
	bubble(t, func(t *testing.T) {
		d := newDoor(t, nil)
		for range 100 {
			if w := d.knock("bad", "10.1.2.3:1"); w.Code != 401 {
				t.Fatal(w.Code)
			}
		}
		text := d.log.String()
		if n := d.LockoutStats().Uncounted; n != 100 || strings.Count(text, "TrustedProxies") != 2 || !strings.Contains(text, "failures=10 prefix=10.1.2.3/32") {
			t.Errorf("%d uncounted: %s", n, text)
		}
		for name, change := range map[string]func(*auth.Config){
			"exempt":  func(c *auth.Config) { c.Lockout.Exempt = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} },
			"off":     func(c *auth.Config) { c.SkipLockout = true },
			"counted": func(c *auth.Config) { c.Lockout.CountPrivate = true },
			"behind":  func(c *auth.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.1.2.3/32")} },
		} {
			d := newDoor(t, change)
			for range 20 {
				d.knock("bad", "10.1.2.3:1")
			}
			if n := d.LockoutStats().Uncounted; n != 0 || strings.Contains(d.log.String(), "TrustedProxies") {
				t.Errorf("%s: %d, %s", name, n, d.log.String())
			}
		}
	})
}

package apikey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/netip"
	"reflect"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/authtest"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func manager(t testing.TB) *apikey.Manager { return authtest.Keys(t) }

func with(t testing.TB, cfg apikey.Config) *apikey.Manager {
	t.Helper()
	cfg.Prefix, cfg.Env = "acme", "live"
	if cfg.Logger == nil {
		cfg.Logger = quiet
	}
	m, err := apikey.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestAKeyWorksFromTheMomentCreateReturns(t *testing.T) {
	m := with(t, apikey.Config{Store: apikey.NewMemoryStore(), Issuer: "keys.acme.example"})
	spec := apikey.Spec{
		ClientID: "search", Tenant: "acme", Plan: "gold", Scopes: []string{"chat:write"}, Roles: []string{"app"}, Models: []string{"small"},
		ExpiresAt: time.Now().Add(time.Hour).UTC(), Labels: map[string]string{"owner": "bob"},
	}
	secret, rec, err := m.Create(t.Context(), spec)
	if err != nil {
		t.Fatal(err)
	}
	want := &auth.Principal{
		Issuer: "keys.acme.example", Subject: "search", Tenant: "acme", ClientID: "search", KeyID: rec.ID, Method: auth.MethodAPIKey, Plan: "gold",
		Scopes: []string{"chat:write"}, Roles: []string{"app"}, Models: []string{"small"}, ExpiresAt: spec.ExpiresAt,
	}
	for name, o := range map[string]func(*http.Request){
		"Authorization: Bearer": authtest.Bearer(secret.Reveal()),
		"Authorization: bEARER": func(r *http.Request) { r.Header.Set("Authorization", "bEARER  "+secret.Reveal()) },
		"X-API-Key":             authtest.APIKey(secret.Reveal()),
		"api-key":               func(r *http.Request) { r.Header.Set("api-key", secret.Reveal()) },
	} {
		p, err := m.Authenticate(authtest.Request("POST", "/v1/chat/completions", "", o))
		if err == nil {
			p = p.Clone()
			p.ScopeUse = nil
		}
		if err != nil || !reflect.DeepEqual(p, want) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func TestWhatACredentialMustNotBe(t *testing.T) {
	m := manager(t)
	key := authtest.Key(t, m, apikey.Spec{})
	stranger := authtest.Key(t, manager(t), apikey.Spec{})
	live := apikey.NewShape("acme", "live")
	test := apikey.NewShape("acme", "test")
	id, secret, _, _ := test.Parse(key)
	digest, _ := test.Digest(key).MarshalText()
	header := func(name string, values ...string) func(*http.Request) {
		return func(r *http.Request) { r.Header[http.CanonicalHeaderKey(name)] = values }
	}
	for name, c := range map[string]struct {
		want error
		set  func(*http.Request)
	}{
		"nothing":                      {auth.ErrNoCredential, func(*http.Request) {}},
		"an empty header":              {auth.ErrNoCredential, header("X-API-Key", "")},
		"a bearer without value":       {auth.ErrNoCredential, header("Authorization", "Bearer ")},
		"another scheme":               {auth.ErrNoCredential, header("Authorization", "Basic "+key)},
		"no scheme":                    {auth.ErrNoCredential, header("Authorization", key)},
		"a tab behind the scheme":      {auth.ErrNoCredential, header("Authorization", "Bearer\t"+key)},
		"another prefix":               {auth.ErrNoCredential, authtest.Bearer("other_test_abc")},
		"a token":                      {auth.ErrNoCredential, authtest.Bearer("a.b.c")},
		"the stored digest":            {auth.ErrNoCredential, authtest.Bearer(string(digest))},
		"the digest behind the prefix": {auth.ErrInvalid, authtest.Bearer("acme_test_" + string(digest))},
		"a key in the query":           {auth.ErrNoCredential, func(r *http.Request) { r.URL.RawQuery = "api_key=" + key + "&api-key=" + key }},
		"a key in a cookie":            {auth.ErrNoCredential, func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "api-key", Value: key}) }},
		"an underscore header":         {auth.ErrNoCredential, func(r *http.Request) { r.Header["X_api_key"] = []string{key} }},
		"two headers":                  {auth.ErrTwoCredentials, func(r *http.Request) { authtest.Bearer(key)(r); authtest.APIKey(key)(r) }},
		"two api headers":              {auth.ErrTwoCredentials, func(r *http.Request) { header("api-key", key)(r); authtest.APIKey(key)(r) }},
		"one header twice":             {auth.ErrTwoCredentials, header("X-API-Key", key, key)},
		"one header twice, one empty":  {auth.ErrTwoCredentials, header("X-API-Key", "", key)},
		"a list in one header":         {auth.ErrInvalid, authtest.APIKey(key + ", " + key)},
		"a trailing space":             {auth.ErrInvalid, authtest.APIKey(key + " ")},
		"a scheme in X-API-Key":        {auth.ErrNoCredential, authtest.APIKey("Bearer " + key)},
		"a wrong checksum":             {auth.ErrInvalid, authtest.APIKey(key[:len(key)-1] + "~")},
		"an unknown key":               {auth.ErrInvalid, authtest.APIKey(stranger)},
		"the id with another secret":   {auth.ErrInvalid, authtest.APIKey(test.Format(id, apikey.Random(apikey.SecretLen)))},
		"the secret with another id":   {auth.ErrInvalid, authtest.APIKey(test.Format(apikey.Random(apikey.IDLen), secret))},
		"the same key in another env":  {auth.ErrInvalid, authtest.APIKey(live.Format(id, secret))},
		"a mebibyte":                   {auth.ErrInvalid, authtest.APIKey("acme_test_" + strings.Repeat("a", 1<<20))},
	} {
		p, err := m.Authenticate(authtest.Request("POST", "/", "", c.set))
		if p != nil || !errors.Is(err, c.want) {
			t.Errorf("%s: %v, %v", name, p, err)
		}
		if err != nil && strings.Contains(err.Error(), secret) {
			t.Errorf("%s: the error shows the secret", name)
		}
	}
}

func TestEveryBadKeyHasOneCodeButTheLogKnowsMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := manager(t)
		key := authtest.Key(t, m, apikey.Spec{})
		expired := authtest.Key(t, m, apikey.Spec{ExpiresAt: time.Now().Add(time.Hour)})
		time.Sleep(2 * time.Hour)
		early := authtest.Key(t, m, apikey.Spec{NotBefore: time.Now().Add(time.Hour)})
		revoked := authtest.Key(t, m, apikey.Spec{})
		id := func(k string) string { i, _ := apikey.Inspect(k); return i.ID }
		if err := m.Revoke(t.Context(), id(revoked)); err != nil {
			t.Fatal(err)
		}
		wrong := apikey.NewShape("acme", "test").Format(id(key), apikey.Random(apikey.SecretLen))
		for name, c := range map[string]struct {
			key, id string
			want    error
		}{
			"malformed":    {"acme_test_x", "", auth.ErrInvalid},
			"unknown":      {authtest.Key(t, manager(t), apikey.Spec{}), "", auth.ErrInvalid},
			"wrong secret": {wrong, id(key), auth.ErrInvalid},
			"expired":      {expired, id(expired), auth.ErrExpired},
			"too early":    {early, id(early), auth.ErrInvalid},
			"revoked":      {revoked, id(revoked), auth.ErrRevoked},
		} {
			_, err := m.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer(c.key)))
			var e *auth.Error
			if !errors.As(err, &e) || !errors.Is(err, c.want) || e.Code != auth.CodeInvalidAPIKey || e.KeyID != c.id {
				t.Errorf("%s: %+v", name, err)
			}
		}
	})
}

func TestAKeyLivesFromNotBeforeToJustBeforeExpiry(t *testing.T) {
	m := manager(t)
	begin := time.Date(2200, 11, 22, 12, 0, 0, 1, time.UTC)
	end := begin.Add(time.Hour)
	key := authtest.Key(t, m, apikey.Spec{NotBefore: begin, ExpiresAt: end})
	for _, c := range []struct {
		at   time.Time
		want error
	}{{begin.Add(-1), auth.ErrInvalid}, {begin, nil}, {end.Add(-1), nil}, {end, auth.ErrExpired}, {end.Add(time.Hour), auth.ErrExpired}} {
		if _, err := m.Verify(key, netip.Addr{}, c.at); !errors.Is(err, c.want) {
			t.Errorf("at %v: %v", c.at, err)
		}
	}
}

func TestAKeyBoundToAddressesWorksFromThemOnly(t *testing.T) {
	prefixes := func(s ...string) (p []netip.Prefix) {
		p = []netip.Prefix{}
		for _, x := range s {
			p = append(p, netip.MustParsePrefix(x))
		}
		return p
	}
	m := with(t, apikey.Config{Store: apikey.NewMemoryStore(), TrustedProxies: prefixes("10.0.0.0/8")})
	bound := authtest.Key(t, m, apikey.Spec{Addresses: prefixes("192.0.2.77/24", "2001:db8::/32", "::ffff:198.51.100.0/120")})
	nowhere := authtest.Key(t, m, apikey.Spec{Addresses: prefixes()})
	free := authtest.Key(t, m, apikey.Spec{})
	for _, c := range []struct {
		name, key, peer, forwarded string
		allowed                    bool
	}{
		{"inside", bound, "192.0.2.1:5", "", true}, {"outside", bound, "203.0.113.1:5", "", false},
		{"inside, as IPv4 in IPv6", bound, "[::ffff:192.0.2.1]:5", "", true}, {"IPv6 inside with zone", bound, "[2001:db8::1%eth0]:5", "", true},
		{"a prefix written as IPv4 in IPv6", bound, "198.51.100.9:5", "", true}, {"no address", bound, "@", "", false},
		{"a forged header", bound, "203.0.113.1:5", "192.0.2.1", false}, {"a trusted proxy", bound, "10.1.1.1:5", "192.0.2.1", true},
		{"a forged header behind a trusted proxy", bound, "10.1.1.1:5", "192.0.2.1, 203.0.113.9", false},
		{"an empty list allows nobody", nowhere, "192.0.2.1:5", "", false}, {"no list allows all", free, "203.0.113.1:5", "", true}, {"no list needs no address", free, "@", "", true},
	} {
		r := authtest.Request("GET", "/", "", authtest.Bearer(c.key), authtest.From(c.peer))
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		_, err := m.Authenticate(r)
		if (err == nil) != c.allowed || err != nil && (!errors.Is(err, auth.ErrAddressNotAllowed) || auth.CodeOf(err) != auth.CodeAddressNotAllowed) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if _, err := m.Verify(bound, netip.MustParseAddr("::ffff:192.0.2.9"), time.Now()); err != nil {
		t.Errorf("Verify with a mapped address: %v", err)
	}
	if _, err := m.Verify(bound, netip.Addr{}, time.Now()); !errors.Is(err, auth.ErrAddressNotAllowed) {
		t.Errorf("Verify without an address: %v", err)
	}
}

func TestAWrongAddressIsToldOnlyToWhoHasTheSecret(t *testing.T) {
	m := manager(t)
	bound := authtest.Key(t, m, apikey.Spec{Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}})
	info, _ := apikey.Inspect(bound)
	guess := apikey.NewShape("acme", "test").Format(info.ID, apikey.Random(apikey.SecretLen))
	_, err := m.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer(guess), authtest.From("203.0.113.1:5")))
	if auth.CodeOf(err) != auth.CodeInvalidAPIKey {
		t.Errorf("%v", err)
	}
}

func TestARevokedKeyIsRefused(t *testing.T) {
	m := manager(t)
	key, other := authtest.Key(t, m, apikey.Spec{}), authtest.Key(t, m, apikey.Spec{})
	info, _ := apikey.Inspect(key)
	for range 2 { // revoking twice is revoking once
		if err := m.Revoke(t.Context(), info.ID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := m.Verify(key, netip.Addr{}, time.Now()); !errors.Is(err, auth.ErrRevoked) {
		t.Errorf("%v", err)
	}
	if _, err := m.Verify(other, netip.Addr{}, time.Now()); err != nil {
		t.Errorf("the other key: %v", err)
	}
	list, err := m.List(t.Context())
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	for _, r := range list {
		if r.RevokedAt.IsZero() == (r.ID == info.ID) {
			t.Errorf("%s revoked at %v", r.ID, r.RevokedAt)
		}
	}
	for _, id := range []string{"", "000000000000", "x", "../../../../x", strings.Repeat("0", 1000)} {
		if err := m.Revoke(t.Context(), id); !errors.Is(err, apikey.ErrNotFound) {
			t.Errorf("revoking %.20q: %v", id, err)
		}
	}
}

func TestAStoreDoesNotBringARevokedKeyBack(t *testing.T) {
	for name, s := range stores(t) {
		m := with(t, apikey.Config{Store: s, PollInterval: -1})
		_, rec, err := m.Create(t.Context(), apikey.Spec{ClientID: "a"})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Revoke(t.Context(), rec.ID); err != nil {
			t.Fatal(err)
		}
		rec, err = s.Get(t.Context(), rec.ID)
		if err != nil || rec.Version != 2 {
			t.Fatalf("%s: %+v, %v", name, rec, err)
		}
		rec.RevokedAt = time.Time{}
		if _, err := s.Put(t.Context(), rec); !errors.Is(err, apikey.ErrSticky) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// hook is a store whose answers a test can bend.
type hook struct {
	apikey.Store
	loads atomic.Int64
	mu    sync.Mutex
	load  func(apikey.Batch, error) (apikey.Batch, error)
	put   func(apikey.Record) error
	gets  atomic.Int64
}

func (h *hook) Load(ctx context.Context, since string) (apikey.Batch, error) {
	h.loads.Add(1)
	b, err := h.Store.Load(ctx, since)
	h.mu.Lock()
	load := h.load
	h.mu.Unlock()
	if load != nil {
		return load(b, err)
	}
	return b, err
}

// bend replaces what Load answers from now on; nil for the truth.
func (h *hook) bend(load func(apikey.Batch, error) (apikey.Batch, error)) {
	h.mu.Lock()
	h.load = load
	h.mu.Unlock()
}

func (h *hook) Get(ctx context.Context, id string) (apikey.Record, error) {
	h.gets.Add(1)
	return h.Store.Get(ctx, id)
}

func (h *hook) Put(ctx context.Context, rec apikey.Record) (apikey.Record, error) {
	if h.put != nil {
		if err := h.put(rec); err != nil {
			return apikey.Record{}, err
		}
	}
	return h.Store.Put(ctx, rec)
}

func TestGarbageNeverReachesTheStore(t *testing.T) {
	h := &hook{Store: apikey.NewMemoryStore()}
	m := with(t, apikey.Config{Store: h, PollInterval: -1})
	key := authtest.Key(t, m, apikey.Spec{})
	loads := h.loads.Load()
	for i := range 10_000 {
		m.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer(fmt.Sprint("acme_live_", i))))
		m.Verify(apikey.NewShape("acme", "live").Format(apikey.Random(apikey.IDLen), apikey.Random(apikey.SecretLen)), netip.Addr{}, time.Now())
		m.Verify(key, netip.Addr{}, time.Now())
	}
	if h.loads.Load() != loads || h.gets.Load() != 0 {
		t.Errorf("%d loads, %d gets", h.loads.Load()-loads, h.gets.Load())
	}
}

func TestARevocationHoldsThoughTheStoreFails(t *testing.T) {
	h := &hook{Store: apikey.NewMemoryStore()}
	m := with(t, apikey.Config{Store: h, PollInterval: -1})
	key := authtest.Key(t, m, apikey.Spec{})
	info, _ := apikey.Inspect(key)
	down := errors.New("disk full")
	h.put = func(apikey.Record) error { return down }
	if err := m.Revoke(t.Context(), info.ID); !errors.Is(err, down) {
		t.Errorf("Revoke: %v", err)
	}
	refused := func(when string) {
		t.Helper()
		if _, err := m.Verify(key, netip.Addr{}, time.Now()); !errors.Is(err, auth.ErrRevoked) {
			t.Errorf("%s: %v", when, err)
		}
	}
	refused("at once")
	h.bend(func(b apikey.Batch, err error) (apikey.Batch, error) { b.Version += "x"; return b, err }) // force a new snapshot
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	refused("after a reload of a store that does not know")
	if list, err := m.List(t.Context()); err != nil || list[0].RevokedAt.IsZero() {
		t.Errorf("List does not show it: %v, %v", list, err)
	}
	h.put = nil
	if err := m.Revoke(t.Context(), info.ID); err != nil {
		t.Errorf("the second try: %v", err)
	}
	if rec, err := h.Store.Get(t.Context(), info.ID); err != nil || rec.RevokedAt.IsZero() {
		t.Errorf("the store: %+v, %v", rec, err)
	}
}

func TestAKeySeenRevokedStaysRevokedWhateverTheStoreSaysLater(t *testing.T) {
	mem := apikey.NewMemoryStore()
	h := &hook{Store: mem}
	m := with(t, apikey.Config{Store: h, PollInterval: -1})
	key := authtest.Key(t, m, apikey.Spec{})
	info, _ := apikey.Inspect(key)
	before, err := mem.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	// Another process revokes.
	rec, _ := mem.Get(t.Context(), info.ID)
	rec.RevokedAt = time.Now()
	if _, err := mem.Put(t.Context(), rec); err != nil {
		t.Fatal(err)
	}
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Verify(key, netip.Addr{}, time.Now()); !errors.Is(err, auth.ErrRevoked) {
		t.Fatalf("%v", err)
	}
	// A backup is played back.
	h.bend(func(apikey.Batch, error) (apikey.Batch, error) {
		before.Version = "restored"
		return before, nil
	})
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Verify(key, netip.Addr{}, time.Now()); !errors.Is(err, auth.ErrRevoked) {
		t.Errorf("%v", err)
	}
}

// slow gives out every batch late, so that revocations and creations fall between reading and publishing.
type slow struct {
	apikey.Store
	n atomic.Uint64
}

func (s *slow) Load(ctx context.Context, _ string) (apikey.Batch, error) {
	b, err := s.Store.Load(ctx, "")
	b.Version = fmt.Sprint("slow", s.n.Add(1)) // never the same: every load publishes
	for range s.n.Load() % 50 {
		runtime.Gosched() // so that others get between
	}
	return b, err
}

func TestRevocationCannotBeUndoneByARacingReload(t *testing.T) {
	keys := 300
	if testing.Short() {
		keys = 50
	}
	m := with(t, apikey.Config{Store: &slow{Store: apikey.NewMemoryStore()}, PollInterval: -1})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	var reloads, checks, accepted atomic.Int64
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := m.Reload(context.Background()); err != nil {
					t.Error(err)
				}
				reloads.Add(1)
			}
		})
	}
	var lives sync.WaitGroup
	for range 4 {
		lives.Go(func() {
			for range keys / 4 {
				secret, rec, err := m.Create(context.Background(), apikey.Spec{ClientID: "c"})
				if err != nil {
					t.Error(err)
					return
				}
				key := secret.Reveal()
				// From Create to Revoke the key works, whatever reloads do.
				for range 20 {
					if _, err := m.Verify(key, netip.Addr{}, time.Now()); err != nil {
						t.Errorf("a fresh key: %v", err)
					}
				}
				var revoked atomic.Bool
				var racers sync.WaitGroup
				for range 3 {
					racers.Go(func() {
						for range 100 {
							late := revoked.Load() // read before the check begins
							_, err := m.Verify(key, netip.Addr{}, time.Now())
							checks.Add(1)
							if late && err == nil {
								accepted.Add(1)
							}
						}
					})
				}
				if err := m.Revoke(context.Background(), rec.ID); err != nil {
					t.Error(err)
				}
				revoked.Store(true)
				racers.Wait()
				for range 20 {
					if _, err := m.Verify(key, netip.Addr{}, time.Now()); !errors.Is(err, auth.ErrRevoked) {
						t.Errorf("after Revoke: %v", err)
					}
				}
			}
		})
	}
	lives.Wait()
	close(stop)
	wg.Wait()
	if accepted.Load() != 0 {
		t.Errorf("%d of %d checks accepted a revoked key", accepted.Load(), checks.Load())
	}
	if list, err := m.List(context.Background()); err != nil || len(list) != keys/4*4 {
		t.Errorf("%d keys, %v", len(list), err)
	}
	t.Logf("%d reloads, %d racing checks", reloads.Load(), checks.Load())
}

func TestABadBatchNeverReplacesGoodKeys(t *testing.T) {
	h := &hook{Store: apikey.NewMemoryStore()}
	m := with(t, apikey.Config{Store: h, PollInterval: -1})
	key := authtest.Key(t, m, apikey.Spec{})
	good, _ := h.Store.Load(t.Context(), "")
	broken := good.Records[0].Clone()
	broken.ClientID = ""
	for name, records := range map[string][]apikey.Record{
		"empty": {}, "nil": nil, "an id twice": {good.Records[0], good.Records[0]}, "a record that is not valid": {good.Records[0], broken},
	} {
		h.bend(func(apikey.Batch, error) (apikey.Batch, error) {
			return apikey.Batch{Records: records, Version: name}, nil
		})
		if err := m.Reload(t.Context()); err == nil {
			t.Errorf("%s was taken over", name)
		}
		if _, err := m.Verify(key, netip.Addr{}, time.Now()); err != nil {
			t.Errorf("%s: the good key: %v", name, err)
		}
	}
}

func TestAStoreThatIsDownTooLongMeansUnavailableNotInvalid(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{Store: apikey.NewMemoryStore()}
		m := with(t, apikey.Config{Store: h, PollInterval: time.Second, MaxStale: time.Minute})
		defer m.Close(context.Background())
		key := authtest.Key(t, m, apikey.Spec{})
		unknown := apikey.NewShape("acme", "live").Format(apikey.Random(apikey.IDLen), apikey.Random(apikey.SecretLen))
		check := func(when string, key string, want error) {
			t.Helper()
			if _, err := m.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer(key))); !errors.Is(err, want) {
				t.Errorf("%s: %v", when, err)
			}
		}
		time.Sleep(10 * time.Minute)
		check("a healthy store for ten minutes", key, nil)
		h.bend(func(apikey.Batch, error) (apikey.Batch, error) {
			return apikey.Batch{}, errors.New("connection refused")
		})
		time.Sleep(58 * time.Second)
		check("58 s down", key, nil)
		check("58 s down", unknown, auth.ErrInvalid)
		time.Sleep(3 * time.Second)
		check("61 s down", key, auth.ErrUnavailable)
		check("61 s down, an unknown key", unknown, auth.ErrUnavailable)
		check("61 s down, garbage", "acme_live_x", auth.ErrInvalid)
		h.bend(nil)
		time.Sleep(2 * time.Second)
		check("up again", key, nil)
	})
}

func TestAStoreThatHangsIsNoticedToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := apikey.NewMemoryStore()
		h := &hook{Store: mem}
		m := with(t, apikey.Config{Store: h, PollInterval: time.Second, MaxStale: time.Minute})
		key := authtest.Key(t, m, apikey.Spec{})
		release := make(chan struct{})
		h.bend(func(b apikey.Batch, err error) (apikey.Batch, error) { <-release; return b, err }) // ignores its context
		time.Sleep(2 * time.Minute)
		if _, err := m.Verify(key, netip.Addr{}, time.Now()); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("%v", err)
		}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := m.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Close while a load hangs: %v", err)
		}
		close(release)
		if err := m.Close(context.Background()); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

func TestWithoutPollingOnlyAFailedReloadMakesKeysStale(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{Store: apikey.NewMemoryStore()}
		m := with(t, apikey.Config{Store: h, PollInterval: -1, MaxStale: time.Minute})
		key := authtest.Key(t, m, apikey.Spec{})
		time.Sleep(24 * time.Hour)
		if _, err := m.Verify(key, netip.Addr{}, time.Now()); err != nil {
			t.Errorf("after a day: %v", err)
		}
		if err := m.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		h.bend(func(apikey.Batch, error) (apikey.Batch, error) { return apikey.Batch{}, errors.New("down") })
		if err := m.Reload(t.Context()); err == nil {
			t.Fatal("no error")
		}
		time.Sleep(59 * time.Second)
		if _, err := m.Verify(key, netip.Addr{}, time.Now()); err != nil {
			t.Errorf("59 s after the last good load: %v", err)
		}
		time.Sleep(time.Second)
		synctest.Wait() // for the timer that is due at the same moment
		if _, err := m.Verify(key, netip.Addr{}, time.Now()); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("60 s after the last good load: %v", err)
		}
	})
}

func TestThePollerTellsTheLoggerOnceAndEndsWithClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // synctest fails when a goroutine is left
		var log lines
		h := &hook{Store: apikey.NewMemoryStore()}
		m := with(t, apikey.Config{Store: h, PollInterval: time.Second, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		h.bend(func(apikey.Batch, error) (apikey.Batch, error) { return apikey.Batch{}, errors.New("down") })
		time.Sleep(100 * time.Second)
		h.bend(nil)
		time.Sleep(100 * time.Second)
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if err := m.Close(context.Background()); err != nil {
			t.Error(err)
		}
		if n := log.n.Load(); n != 2 {
			t.Errorf("%d log lines, want one for the failure and one for the end of it", n)
		}
		loads := h.loads.Load()
		time.Sleep(time.Minute)
		if h.loads.Load() != loads {
			t.Error("polls after Close")
		}
	})
}

type lines struct{ n atomic.Int64 }

func (l *lines) Write(b []byte) (int, error) { l.n.Add(1); return len(b), nil }

func TestAChangeByAnotherProcessArrivesWithinOnePoll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := apikey.NewMemoryStore()
		a := with(t, apikey.Config{Store: mem})
		b := with(t, apikey.Config{Store: mem, PollInterval: time.Second})
		defer b.Close(context.Background())
		key := authtest.Key(t, a, apikey.Spec{})
		info, _ := apikey.Inspect(key)
		if _, err := b.Verify(key, netip.Addr{}, time.Now()); !errors.Is(err, auth.ErrInvalid) {
			t.Errorf("before the poll: %v", err)
		}
		time.Sleep(1100 * time.Millisecond)
		if _, err := b.Verify(key, netip.Addr{}, time.Now()); err != nil {
			t.Errorf("after the poll: %v", err)
		}
		if err := a.Revoke(t.Context(), info.ID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(1100 * time.Millisecond)
		if _, err := b.Verify(key, netip.Addr{}, time.Now()); !errors.Is(err, auth.ErrRevoked) {
			t.Errorf("a second after Revoke elsewhere: %v", err)
		}
	})
}

func TestManyKeysSurviveMergesOfTheSmallMap(t *testing.T) {
	m := manager(t)
	var keys []string
	for range 500 {
		keys = append(keys, authtest.Key(t, m, apikey.Spec{}))
	}
	for i, k := range keys {
		if _, err := m.Verify(k, netip.Addr{}, time.Now()); err != nil {
			t.Fatalf("key %d: %v", i, err)
		}
	}
}

func TestTheCallersSlicesAreCopied(t *testing.T) {
	m := manager(t)
	scopes, models := []string{"a"}, []string{"m"}
	key := authtest.Key(t, m, apikey.Spec{Scopes: scopes, Models: models})
	scopes[0], models[0] = "admin", "other"
	p, err := m.Verify(key, netip.Addr{}, time.Now())
	if err != nil || !p.HasScope("a") || !p.AllowsModel("m") {
		t.Errorf("%+v, %v", p, err)
	}
	list, _ := m.List(t.Context())
	list[0].Scopes[0] = "admin"
	if p, _ := m.Verify(key, netip.Addr{}, time.Now()); p.HasScope("admin") {
		t.Error("List gives out the manager's own slices")
	}
}

func TestCreateRefusesABadSpec(t *testing.T) {
	m := manager(t)
	for name, s := range map[string]apikey.Spec{
		"no client":            {},
		"a client of 257":      {ClientID: strings.Repeat("c", 257)},
		"a client of two rows": {ClientID: "a\nb"},
		"a scope with a space": {ClientID: "a", Scopes: []string{"a b"}},
		"an empty model":       {ClientID: "a", Models: []string{""}},
		"an invalid prefix":    {ClientID: "a", Addresses: []netip.Prefix{{}}},
		"expiry in 3000":       {ClientID: "a", ExpiresAt: time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC)},
		"expiry before begin":  {ClientID: "a", NotBefore: time.Unix(2e9, 0), ExpiresAt: time.Unix(2e9, 0)},
		"expiry an hour ago":   {ClientID: "a", ExpiresAt: time.Now().Add(-time.Hour)},
		"expiry now":           {ClientID: "a", ExpiresAt: time.Now()},
	} {
		if s, _, err := m.Create(t.Context(), s); err == nil || s.Reveal() != "" {
			t.Errorf("%s: made", name)
		}
	}
}

func TestTheZeroManagerRefuses(t *testing.T) {
	var zero apikey.Manager
	var none *apikey.Manager
	for _, m := range []*apikey.Manager{&zero, none} {
		for what, err := range map[string]error{
			"Authenticate": func() error {
				_, err := m.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer("acme_live_x")))
				return err
			}(),
			"Verify": func() error { _, err := m.Verify("acme_live_x", netip.Addr{}, time.Now()); return err }(),
			"Create": func() error { _, _, err := m.Create(t.Context(), apikey.Spec{ClientID: "a"}); return err }(),
			"Revoke": m.Revoke(t.Context(), "000000000000"),
			"Reload": m.Reload(t.Context()),
			"List":   func() error { _, err := m.List(t.Context()); return err }(),
		} {
			if !errors.Is(err, auth.ErrUnavailable) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if err := m.Close(t.Context()); err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

func TestAnEnvHasUpToTwelveLettersAndTheErrorNamesTwo(t *testing.T) {
	for _, env := range []string{"p", "production", "preproductio"} {
		m, err := apikey.New(apikey.Config{Store: apikey.NewMemoryStore(), Prefix: "abcdefghij", Env: env})
		if err != nil {
			t.Fatal(err)
		}
		key := authtest.Key(t, m, apikey.Spec{})
		if p, err := m.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer(key))); err != nil || p.ClientID != "alice" {
			t.Errorf("%s: %v", key, err)
		}
		if i, err := apikey.Inspect(key); err != nil || i.Env != env {
			t.Errorf("%s: %v %v", key, i, err)
		}
	}
	for _, env := range []string{"", "preproduction", "Live", "li-ve"} {
		_, err := apikey.New(apikey.Config{Store: apikey.NewMemoryStore(), Prefix: "acme", Env: env})
		if err == nil || !strings.Contains(err.Error(), `such as "live" or "test"`) {
			t.Errorf("%q: %v", env, err)
		}
	}
}

func TestTheDefaultLoggerIsTheOneOfTheMomentOfTheFailure(t *testing.T) {
	defer log.SetFlags(log.Flags()) // SetDefault redirects package log too
	defer log.SetOutput(log.Writer())
	defer slog.SetDefault(slog.Default())
	down := false
	store := &hook{Store: apikey.NewMemoryStore(), load: func(b apikey.Batch, err error) (apikey.Batch, error) {
		if down {
			return apikey.Batch{}, errors.New("down")
		}
		return b, err
	}}
	m, err := apikey.New(apikey.Config{Store: store, Prefix: "acme", Env: "live", PollInterval: -1})
	if err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, nil)))
	down = true
	if m.Reload(t.Context()) == nil || !strings.Contains(log.String(), "keys cannot be loaded") {
		t.Errorf("the logger set after New heard nothing: %q", log.String())
	}
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := apikey.New(apikey.Config{
		Prefix: "A_b", Env: "", MaxStale: -1, LoadTimeout: -1, Issuer: "a\nb", TrustedProxies: []netip.Prefix{netip.MustParsePrefix("0.0.0.0/0")},
	})
	for _, want := range []string{"Store", "Prefix", "Env", "MaxStale", "LoadTimeout", "Issuer", "TrustedProxies"} {
		if err == nil || !strings.Contains(err.Error(), "Config."+want) {
			t.Errorf("no word of %s: %v", want, err)
		}
	}
	down := &hook{Store: apikey.NewMemoryStore(), load: func(apikey.Batch, error) (apikey.Batch, error) { return apikey.Batch{}, errors.New("down") }}
	if _, err := apikey.New(apikey.Config{Store: down, Prefix: "acme", Env: "live", Logger: quiet}); err == nil {
		t.Error("New with a store that is down succeeds")
	}
}

func TestCreateTriesAnotherIDWhenOneIsTaken(t *testing.T) {
	n := 0
	h := &hook{Store: apikey.NewMemoryStore(), put: func(apikey.Record) error {
		if n++; n < 3 {
			return apikey.ErrConflict
		}
		return nil
	}}
	m := with(t, apikey.Config{Store: h, PollInterval: -1})
	if _, _, err := m.Create(t.Context(), apikey.Spec{ClientID: "a"}); err != nil || n != 3 {
		t.Errorf("%v after %d tries", err, n)
	}
}

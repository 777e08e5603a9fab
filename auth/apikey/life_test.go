package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"reflect"
	"slices"
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

// events collects what a manager tells.
type events struct {
	mu  sync.Mutex
	all []apikey.Event
}

func (e *events) hear(_ context.Context, x apikey.Event) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.all = append(e.all, x)
}

func (e *events) kinds() (out []apikey.EventKind) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range e.all {
		out = append(out, x.Kind)
	}
	return out
}

func create(t testing.TB, m *apikey.Manager, spec apikey.Spec) (key, id string) {
	t.Helper()
	if spec.ClientID == "" {
		spec.ClientID = "alice"
	}
	secret, rec, err := m.Create(context.Background(), spec)
	if err != nil {
		t.Fatal(err)
	}
	return secret.Reveal(), rec.ID
}

func verify(m *apikey.Manager, key string) error {
	_, err := m.Verify(key, netip.MustParseAddr("192.0.2.1"), time.Now())
	return err
}

func TestARotatedKeyWorksForTheOverlapAndItsSuccessorFromTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var heard events
		m := with(t, apikey.Config{Store: apikey.NewMemoryStore(), OnEvent: heard.hear})
		spec := apikey.Spec{
			ClientID: "search", Tenant: "acme", Plan: "gold", Scopes: []string{"chat:write"}, Roles: []string{"app"}, Models: []string{},
			Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}, ExpiresAt: time.Now().Add(30 * 24 * time.Hour), Labels: map[string]string{"owner": "bob"},
		}
		oldKey, oldID := create(t, m, spec)
		time.Sleep(10 * 24 * time.Hour)
		secret, rec, err := m.Rotate(t.Context(), oldID, apikey.Rotation{Overlap: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		p, err := m.Verify(secret.Reveal(), netip.MustParseAddr("192.0.2.1"), time.Now())
		if err != nil || p.ClientID != "search" || p.Tenant != "acme" || p.Plan != "gold" || !p.HasScope("chat:write") || !p.HasRole("app") || p.Models == nil || p.KeyID == oldID {
			t.Fatalf("the successor: %+v, %v", p, err)
		}
		if _, err := m.Verify(secret.Reveal(), netip.MustParseAddr("198.51.100.1"), time.Now()); !errors.Is(err, auth.ErrAddressNotAllowed) {
			t.Errorf("the successor lost its addresses: %v", err)
		}
		if rec.Predecessor != oldID || rec.Labels["owner"] != "bob" || rec.ExpiresAt.Sub(rec.CreatedAt) != 30*24*time.Hour {
			t.Errorf("%+v", rec)
		}
		if err := verify(m, oldKey); err != nil {
			t.Errorf("in the overlap: %v", err)
		}
		time.Sleep(time.Hour - 1)
		if err := verify(m, oldKey); err != nil {
			t.Errorf("at its last moment: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if err := verify(m, oldKey); !errors.Is(err, auth.ErrExpired) {
			t.Errorf("after it: %v", err)
		}
		if err := verify(m, secret.Reveal()); err != nil {
			t.Error(err)
		}
		old, err := m.Get(t.Context(), oldID)
		if err != nil || old.Successor != rec.ID {
			t.Errorf("%+v, %v", old, err)
		}
		if want := []apikey.EventKind{"created", "created", "rotated"}; !reflect.DeepEqual(heard.kinds(), want) {
			t.Errorf("%v", heard.kinds())
		}
		if e := heard.all[2]; e.KeyID != oldID || e.Successor != rec.ID || e.ClientID != "search" || !e.Until.Equal(old.ExpiresAt) {
			t.Errorf("%+v", e)
		}
	})
}

func TestRotationWithoutOverlapIsTheAnswerToALeak(t *testing.T) {
	var heard events
	m := with(t, apikey.Config{Store: apikey.NewMemoryStore(), OnEvent: heard.hear})
	key, id := create(t, m, apikey.Spec{})
	secret, _, err := m.Rotate(t.Context(), id, apikey.Rotation{})
	if err != nil {
		t.Fatal(err)
	}
	if err := verify(m, key); !errors.Is(err, auth.ErrRevoked) {
		t.Errorf("the leaked key: %v", err)
	}
	if err := verify(m, secret.Reveal()); err != nil {
		t.Error(err)
	}
	if want := []apikey.EventKind{"created", "created", "rotated", "revoked"}; !reflect.DeepEqual(heard.kinds(), want) {
		t.Errorf("%v", heard.kinds())
	}
}

func TestWhatCannotBeRotated(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := with(t, apikey.Config{Store: apikey.NewMemoryStore(), Policy: apikey.Policy{MaxOverlap: time.Hour}})
		_, rotated := create(t, m, apikey.Spec{})
		if _, _, err := m.Rotate(t.Context(), rotated, apikey.Rotation{Overlap: time.Hour}); err != nil {
			t.Fatal(err)
		}
		_, dead := create(t, m, apikey.Spec{})
		if err := m.Revoke(t.Context(), dead); err != nil {
			t.Fatal(err)
		}
		_, off := create(t, m, apikey.Spec{})
		if err := m.Disable(t.Context(), off, "test"); err != nil {
			t.Fatal(err)
		}
		_, expired := create(t, m, apikey.Spec{ExpiresAt: time.Now().Add(time.Minute)})
		_, early := create(t, m, apikey.Spec{NotBefore: time.Now().Add(time.Hour)})
		_, good := create(t, m, apikey.Spec{})
		time.Sleep(time.Minute)
		before, _ := m.List(t.Context())
		for name, c := range map[string]struct {
			id   string
			with apikey.Rotation
			want error
		}{
			"twice inside the overlap": {rotated, apikey.Rotation{Overlap: time.Minute}, apikey.ErrState},
			"a revoked key":            {dead, apikey.Rotation{}, apikey.ErrState},
			"a disabled key":           {off, apikey.Rotation{}, apikey.ErrState},
			"an expired key":           {expired, apikey.Rotation{}, apikey.ErrState},
			"one that has not begun":   {early, apikey.Rotation{}, apikey.ErrState},
			"an unknown key":           {"000000000000", apikey.Rotation{}, apikey.ErrNotFound},
			"no id":                    {"../x", apikey.Rotation{}, apikey.ErrNotFound},
			"a longer overlap":         {good, apikey.Rotation{Overlap: time.Hour + 1}, apikey.ErrPolicy},
			"a negative overlap":       {good, apikey.Rotation{Overlap: -1}, apikey.ErrPolicy},
		} {
			if s, _, err := m.Rotate(t.Context(), c.id, c.with); !errors.Is(err, c.want) || s.Reveal() != "" {
				t.Errorf("%s: %v", name, err)
			}
		}
		if after, _ := m.List(t.Context()); len(after) != len(before) {
			t.Errorf("%d keys became %d", len(before), len(after))
		}
	})
}

func TestOfRotationsAtOnceOneWinsAndNoKeyIsLeftBehind(t *testing.T) {
	m := with(t, apikey.Config{Store: apikey.NewMemoryStore()})
	_, id := create(t, m, apikey.Spec{})
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, _, err := m.Rotate(context.Background(), id, apikey.Rotation{Overlap: time.Hour})
			if err == nil {
				won.Add(1)
			} else if !errors.Is(err, apikey.ErrState) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	list, _ := m.List(t.Context())
	alive := 0
	for _, r := range list {
		if r.RevokedAt.IsZero() {
			alive++
		}
	}
	if won.Load() != 1 || alive != 2 {
		t.Errorf("%d won, %d keys live", won.Load(), alive)
	}
}

// Incident BerriAI/litellm#31079: rotating a key reset its budget.
func TestTheClientStaysTheSameThroughRotations(t *testing.T) {
	m := with(t, apikey.Config{Store: apikey.NewMemoryStore(), Issuer: "acme"})
	key, id := create(t, m, apikey.Spec{ClientID: "team-a"})
	first, _ := m.Verify(key, netip.Addr{}, time.Now())
	for range 5 {
		secret, rec, err := m.Rotate(t.Context(), id, apikey.Rotation{})
		if err != nil {
			t.Fatal(err)
		}
		p, err := m.Verify(secret.Reveal(), netip.Addr{}, time.Now())
		if err != nil || p.ClientID != first.ClientID || p.Identity() != first.Identity() || p.KeyID == first.KeyID {
			t.Fatalf("%+v, %v", p, err)
		}
		id = rec.ID
	}
}

func TestRotatingUnderLoadFailsNoRequestInTheOverlapAndAcceptsNoneAfter(t *testing.T) {
	rounds := 40
	if testing.Short() {
		rounds = 5
	}
	m := with(t, apikey.Config{Store: apikey.NewMemoryStore()})
	key, id := create(t, m, apikey.Spec{})
	var current atomic.Pointer[string]
	current.Store(&key)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var n atomic.Int64
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := verify(m, *current.Load()); err != nil {
					t.Errorf("in the overlap: %v", err)
					return
				}
				n.Add(1)
			}
		})
	}
	for range rounds {
		secret, rec, err := m.Rotate(t.Context(), id, apikey.Rotation{Overlap: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		s := secret.Reveal()
		current.Store(&s)
		id = rec.ID
	}
	close(stop)
	wg.Wait()
	t.Logf("%d requests through %d rotations", n.Load(), rounds)
	secret, _, err := m.Rotate(t.Context(), id, apikey.Rotation{})
	if err != nil {
		t.Fatal(err)
	}
	for range 1000 {
		if verify(m, *current.Load()) == nil {
			t.Fatal("a key without overlap was accepted after Rotate had returned")
		}
	}
	if err := verify(m, secret.Reveal()); err != nil {
		t.Error(err)
	}
}

func TestADisabledKeyIsRefusedUntilItIsEnabled(t *testing.T) {
	for name, s := range stores(t) {
		var heard events
		m := with(t, apikey.Config{Store: s, PollInterval: -1, OnEvent: heard.hear})
		other := with(t, apikey.Config{Store: s, PollInterval: -1})
		key, id := create(t, m, apikey.Spec{})
		for range 2 { // disabling twice is disabling once
			if err := m.Disable(t.Context(), id, "invoice 17 is open"); err != nil {
				t.Fatal(err)
			}
		}
		if err := verify(m, key); !errors.Is(err, auth.ErrRevoked) {
			t.Errorf("%s: %v", name, err)
		}
		if err := other.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := verify(other, key); !errors.Is(err, auth.ErrRevoked) {
			t.Errorf("%s: elsewhere: %v", name, err)
		}
		if r, err := m.Get(t.Context(), id); err != nil || r.DisabledAt.IsZero() || r.DisabledReason != "invoice 17 is open" {
			t.Errorf("%s: %+v, %v", name, r, err)
		}
		for range 2 {
			if err := m.Enable(t.Context(), id); err != nil {
				t.Fatal(err)
			}
		}
		if err := verify(m, key); err != nil {
			t.Errorf("%s: enabled: %v", name, err)
		}
		if want := []apikey.EventKind{"created", "disabled", "enabled"}; !reflect.DeepEqual(heard.kinds(), want) {
			t.Errorf("%s: %v", name, heard.kinds())
		}
		if heard.all[1].Reason != "invoice 17 is open" {
			t.Errorf("%+v", heard.all[1])
		}
		if err := m.Revoke(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		for what, err := range map[string]error{"Enable": m.Enable(t.Context(), id), "Disable": m.Disable(t.Context(), id, "")} {
			if !errors.Is(err, apikey.ErrState) {
				t.Errorf("%s: %s of a revoked key: %v", name, what, err)
			}
		}
		if err := m.Enable(t.Context(), "000000000000"); !errors.Is(err, apikey.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
		if err := m.Disable(t.Context(), id+"x", strings.Repeat("x", 300)); !errors.Is(err, apikey.ErrNotFound) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestADisabledKeyCannotBeBroughtBackByARacingReload(t *testing.T) {
	m := with(t, apikey.Config{Store: &slow{Store: apikey.NewMemoryStore()}, PollInterval: -1})
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
					m.Reload(context.Background())
				}
			}
		})
	}
	key, id := create(t, m, apikey.Spec{})
	for i := range 200 {
		if err := m.Disable(t.Context(), id, ""); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if verify(m, key) == nil {
				t.Fatalf("round %d: accepted after Disable had returned", i)
			}
		}
		if err := m.Enable(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		for range 20 {
			if err := verify(m, key); err != nil {
				t.Fatalf("round %d: refused after Enable had returned: %v", i, err)
			}
		}
	}
	close(stop)
	wg.Wait()
}

func TestThePolicyBoundsWhatIsMade(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := with(t, apikey.Config{Store: apikey.NewMemoryStore(), Policy: apikey.Policy{MaxLifetime: 24 * time.Hour, MaxKeysPerClient: 2}})
		in := func(d time.Duration) time.Time { return time.Now().Add(d) }
		for name, s := range map[string]apikey.Spec{"no expiry": {ClientID: "a"}, "a long life": {ClientID: "a", ExpiresAt: in(24*time.Hour + time.Second)}} {
			if _, _, err := m.Create(t.Context(), s); !errors.Is(err, apikey.ErrPolicy) {
				t.Errorf("%s: %v", name, err)
			}
		}
		_, a := create(t, m, apikey.Spec{ClientID: "a", ExpiresAt: in(time.Hour)})
		_, b := create(t, m, apikey.Spec{ClientID: "a", ExpiresAt: in(24 * time.Hour)})
		third := func() error {
			_, _, err := m.Create(t.Context(), apikey.Spec{ClientID: "a", ExpiresAt: in(time.Hour)})
			return err
		}
		if err := third(); !errors.Is(err, apikey.ErrPolicy) {
			t.Errorf("a third key: %v", err)
		}
		create(t, m, apikey.Spec{ClientID: "b", ExpiresAt: in(time.Hour)})
		if _, rec, err := m.Rotate(t.Context(), b, apikey.Rotation{Overlap: time.Hour}); err != nil || rec.ExpiresAt.Sub(rec.CreatedAt) > 24*time.Hour {
			t.Errorf("a rotation is not a third key: %+v, %v", rec, err)
		}
		if err := m.Revoke(t.Context(), a); err != nil {
			t.Fatal(err)
		}
		if err := third(); !errors.Is(err, apikey.ErrPolicy) {
			t.Errorf("old and new key of a rotation are two: %v", err)
		}
		time.Sleep(time.Hour) // the overlap is over
		if err := third(); err != nil {
			t.Errorf("a revoked and an expired key take no place: %v", err)
		}
	})
	endless := with(t, apikey.Config{Store: apikey.NewMemoryStore()})
	_, id := create(t, endless, apikey.Spec{})
	for want, p := range map[time.Duration]apikey.Policy{0: {RequireExpiry: true}, time.Hour: {MaxLifetime: time.Hour}} {
		store := apikey.NewMemoryStore()
		b, _ := with(t, apikey.Config{Store: store, Policy: p}), endless
		r, _ := endless.Get(t.Context(), id)
		r.Version = 0
		if _, err := store.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		_, rec, err := b.Rotate(t.Context(), id, apikey.Rotation{Overlap: time.Minute})
		if want == 0 && !errors.Is(err, apikey.ErrPolicy) || want > 0 && (err != nil || rec.ExpiresAt.Sub(rec.CreatedAt) != want) {
			t.Errorf("rotating an endless key under %+v: %+v, %v", p, rec, err)
		}
	}
}

func TestASweepMarksTheExpiredAndDisablesTheDormantOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		var heard events
		m := with(t, apikey.Config{Store: apikey.NewMemoryStore(), OnEvent: heard.hear, Policy: apikey.Policy{DormantAfter: 30 * day, MaxOverlap: 7 * day}})
		sweep := func() apikey.Swept {
			t.Helper()
			s, err := m.Sweep(t.Context(), time.Now())
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		busyKey, busy := create(t, m, apikey.Spec{})
		idleKey, idle := create(t, m, apikey.Spec{})
		_, later := create(t, m, apikey.Spec{NotBefore: time.Now().Add(20 * day)})
		_, ends := create(t, m, apikey.Spec{ExpiresAt: time.Now().Add(10 * day)})
		_, rotated := create(t, m, apikey.Spec{})
		_, heir, err := m.Rotate(t.Context(), rotated, apikey.Rotation{Overlap: 5 * day})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * day)
		if s := sweep(); !reflect.DeepEqual(s.Expired, sorted(ends, rotated)) && !reflect.DeepEqual(sorted(s.Expired...), sorted(ends, rotated)) || s.Dormant != nil {
			t.Errorf("after 20 days: %+v", s)
		}
		if err := verify(m, busyKey); err != nil {
			t.Fatal(err)
		}
		// The store had no uses on record before the first sweep, so nothing is dormant before 30 days have gone since.
		time.Sleep(29 * day)
		if s := sweep(); s.Expired != nil || s.Dormant != nil {
			t.Errorf("after 49 days: %+v", s)
		}
		if err := verify(m, busyKey); err != nil {
			t.Fatal(err)
		}
		time.Sleep(day)
		if s := sweep(); !reflect.DeepEqual(sorted(s.Dormant...), sorted(idle, later, heir.ID)) || s.Expired != nil {
			t.Errorf("after 50 days: %+v, want %v", s, sorted(idle, later, heir.ID))
		}
		if err := verify(m, idleKey); !errors.Is(err, auth.ErrRevoked) {
			t.Errorf("a dormant key: %v", err)
		}
		if err := verify(m, busyKey); err != nil {
			t.Errorf("a used key: %v", err)
		}
		if err := m.Enable(t.Context(), idle); err != nil {
			t.Fatal(err)
		}
		if s := sweep(); s.Dormant != nil || verify(m, idleKey) != nil {
			t.Errorf("what was just enabled is dormant again: %+v", s)
		}
		if err := m.Enable(t.Context(), ends); !errors.Is(err, apikey.ErrState) {
			t.Errorf("enabling an expired key: %v", err)
		}
		n := map[apikey.EventKind]int{}
		for _, k := range heard.kinds() {
			n[k]++
		}
		if n["expired"] != 2 || n["dormant"] != 3 {
			t.Errorf("%v", n)
		}
		_ = busy
	})
}

// Servers that record nothing, and a sweep by a timer: without care all keys would be dormant on one day.
func TestWhereNobodyRecordsUsesNoKeyIsDormant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const day = 24 * time.Hour
		mem := apikey.NewMemoryStore()
		server := with(t, apikey.Config{Store: mem, UsageInterval: -1})
		sweeper := with(t, apikey.Config{Store: mem, Policy: apikey.Policy{DormantAfter: 30 * day}})
		key, id := create(t, server, apikey.Spec{})
		_, ends := create(t, server, apikey.Spec{ExpiresAt: time.Now().Add(10 * day)})
		for range 3 {
			sweeper.Sweep(t.Context(), time.Now())
			time.Sleep(30 * day)
			if err := verify(server, key); err != nil {
				t.Fatal(err)
			}
		}
		done, err := sweeper.Sweep(t.Context(), time.Now())
		if !errors.Is(err, apikey.ErrNoUses) || done.Dormant != nil {
			t.Errorf("%+v, %v", done, err)
		}
		if r, err := sweeper.Get(t.Context(), id); err != nil || !r.DisabledAt.IsZero() {
			t.Errorf("%+v, %v", r, err)
		}
		if r, _ := sweeper.Get(t.Context(), ends); r.DisabledReason != apikey.ReasonExpired {
			t.Errorf("expired keys are swept all the same: %+v", r)
		}
	})
}

func sorted(s ...string) []string { slices.Sort(s); return s }

func TestUsesArriveInTheStoreOffTheRequestPath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		mem := apikey.NewMemoryStore()
		m := with(t, apikey.Config{Store: mem})
		used, id := create(t, m, apikey.Spec{Scopes: []string{"chat:write", "models:read", "files:read"}})
		create(t, m, apikey.Spec{})
		gate, err := auth.New(auth.Config{Authenticator: m, Scopes: []string{"models:read"}})
		if err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			gate.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(httptest.NewRecorder(), authtest.Request("GET", "/", "", authtest.Bearer(used)))
		}
		if _, all, _ := mem.Usage(t.Context()); len(all) != 0 {
			t.Errorf("written at once: %v", all)
		}
		at := time.Now().Truncate(time.Minute)
		time.Sleep(time.Minute)
		synctest.Wait()
		since, all, err := mem.Usage(t.Context())
		if err != nil || len(all) != 1 || all[0].ID != id || all[0].LastUsedAt.Sub(at) > time.Minute || !reflect.DeepEqual(all[0].Scopes, []string{"models:read"}) || since.IsZero() {
			t.Fatalf("%v, %v, %v", since, all, err)
		}
		time.Sleep(time.Hour)
		if _, again, _ := mem.Usage(t.Context()); !reflect.DeepEqual(again, all) {
			t.Errorf("without a use: %v", again)
		}
		if err := verify(m, used); err != nil {
			t.Fatal(err)
		}
		gate.Require("chat:write").Authenticate(authtest.Request("GET", "/", "", authtest.Bearer(used)))
		gate.Require("admin").Authenticate(authtest.Request("GET", "/", "", authtest.Bearer(used)))
		if err := m.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, all, _ = mem.Usage(t.Context()); !all[0].LastUsedAt.After(at.Add(time.Hour-1)) || !reflect.DeepEqual(all[0].Scopes, []string{"chat:write", "models:read"}) {
			t.Errorf("after Close: %v", all)
		}
		list, err := m.List(t.Context())
		if err != nil || len(list) != 2 {
			t.Fatal(list, err)
		}
		for _, r := range list {
			if r.LastUsedAt.IsZero() == (r.ID == id) {
				t.Errorf("%s used at %v", r.ID, r.LastUsedAt)
			}
		}
	})
}

// failing is a store that takes no uses while down.
type failing struct {
	*apikey.MemoryStore
	down  atomic.Bool
	calls atomic.Int32
}

func (f *failing) AddUsage(ctx context.Context, used []apikey.Usage) error {
	f.calls.Add(1)
	if f.down.Load() {
		return errors.New("down")
	}
	return f.MemoryStore.AddUsage(ctx, used)
}

func TestUsesSurviveAStoreThatIsDownAndAReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &failing{MemoryStore: apikey.NewMemoryStore()}
		m := with(t, apikey.Config{Store: s, PollInterval: -1})
		key, id := create(t, m, apikey.Spec{Scopes: []string{"a"}})
		s.down.Store(true)
		p, err := m.Verify(key, netip.Addr{}, time.Now())
		if err != nil || !p.HasScope("a") {
			t.Fatal(p, err)
		}
		at := time.Now()
		time.Sleep(90 * time.Second)
		create(t, m, apikey.Spec{})
		if err := m.Reload(t.Context()); err != nil { // makes every entry anew
			t.Fatal(err)
		}
		if r, err := m.Get(t.Context(), id); err != nil || r.LastUsedAt.IsZero() || r.LastUsedAt.Sub(at) > time.Minute {
			t.Errorf("while the store is down: %+v, %v", r.LastUsedAt, err)
		}
		s.down.Store(false)
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		if _, all, err := s.Usage(t.Context()); err != nil || len(all) != 1 || !reflect.DeepEqual(all[0].Scopes, []string{"a"}) {
			t.Errorf("%v, %v", all, err)
		}
		calls := s.calls.Load()
		time.Sleep(time.Hour)
		if s.calls.Load() != calls {
			t.Error("an idle manager writes")
		}
		m.Close(t.Context())
	})
}

func TestUsesCanBeSwitchedOff(t *testing.T) {
	s := &failing{MemoryStore: apikey.NewMemoryStore()}
	m := with(t, apikey.Config{Store: s, UsageInterval: -1})
	key, _ := create(t, m, apikey.Spec{Scopes: []string{"a"}})
	if p, err := m.Verify(key, netip.Addr{}, time.Now()); err != nil || !p.HasScope("a") || p.ScopeUse != nil {
		t.Fatal(p, err)
	}
	list, err := m.List(t.Context())
	if err != nil || !list[0].LastUsedAt.IsZero() || s.calls.Load() != 0 {
		t.Errorf("%+v, %v, %d calls", list, err, s.calls.Load())
	}
}

func TestARefusedKeyIsNotAUsedKey(t *testing.T) {
	m := with(t, apikey.Config{Store: apikey.NewMemoryStore()})
	bound, _ := create(t, m, apikey.Spec{Addresses: []netip.Prefix{}})
	early, _ := create(t, m, apikey.Spec{NotBefore: time.Now().Add(time.Hour)})
	off, id := create(t, m, apikey.Spec{})
	if err := m.Disable(t.Context(), id, ""); err != nil {
		t.Fatal(err)
	}
	for _, k := range []string{bound, early, off} {
		if verify(m, k) == nil {
			t.Error("accepted")
		}
	}
	list, _ := m.List(t.Context())
	for _, r := range list {
		if !r.LastUsedAt.IsZero() {
			t.Errorf("%+v", r)
		}
	}
}

func TestEventsHoldNoSecret(t *testing.T) {
	var heard events
	m := with(t, apikey.Config{Store: apikey.NewMemoryStore(), OnEvent: heard.hear})
	key, id := create(t, m, apikey.Spec{Tenant: "acme"})
	secret, _, err := m.Rotate(t.Context(), id, apikey.Rotation{Overlap: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range heard.all {
		text := fmt.Sprintf("%+v %#v %v", e, e, e.LogValue())
		for _, k := range []string{key, secret.Reveal()} {
			if strings.Contains(text, k[len(k)-36:len(k)-6]) {
				t.Errorf("%s shows the secret", e.Kind)
			}
		}
		if !strings.Contains(text, "acme") {
			t.Error(text)
		}
	}
}

func TestPoliciesThatWouldDisableKeysInUseAreRefused(t *testing.T) {
	for name, cfg := range map[string]apikey.Config{
		"MaxLifetime":      {Policy: apikey.Policy{MaxLifetime: -1}},
		"MaxOverlap":       {Policy: apikey.Policy{MaxOverlap: -1}},
		"MaxKeysPerClient": {Policy: apikey.Policy{MaxKeysPerClient: -1}},
		"less than":        {Policy: apikey.Policy{DormantAfter: time.Minute}},
		"UsageInterval":    {Policy: apikey.Policy{DormantAfter: 24 * time.Hour}, UsageInterval: -1},
		"no UsageStore":    {Policy: apikey.Policy{DormantAfter: 24 * time.Hour}, Store: &hook{Store: apikey.NewMemoryStore()}},
	} {
		if cfg.Store == nil {
			cfg.Store = apikey.NewMemoryStore()
		}
		cfg.Prefix, cfg.Env = "acme", "live"
		if _, err := apikey.New(cfg); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestARotationThatFailsHalfWayLeavesNoKeyBehind(t *testing.T) {
	var heard events
	h := &hook{Store: apikey.NewMemoryStore()}
	m := with(t, apikey.Config{Store: h, PollInterval: -1, OnEvent: heard.hear})
	key, id := create(t, m, apikey.Spec{})
	down := errors.New("disk full")
	h.put = func(r apikey.Record) error {
		if r.ID == id {
			return down
		}
		return nil
	}
	secret, rec, err := m.Rotate(t.Context(), id, apikey.Rotation{Overlap: time.Hour})
	if !errors.Is(err, down) || secret.Reveal() != "" || rec.ID != "" {
		t.Errorf("%v, %+v", err, rec)
	}
	if err := verify(m, key); err != nil {
		t.Errorf("the old key: %v", err)
	}
	list, _ := m.List(t.Context())
	for _, r := range list {
		if r.ID != id && r.RevokedAt.IsZero() {
			t.Errorf("a key nobody knows is alive: %+v", r)
		}
	}
	if want := []apikey.EventKind{"created", "created", "revoked"}; !reflect.DeepEqual(heard.kinds(), want) {
		t.Errorf("%v", heard.kinds())
	}
}

// A store that brings only what changed, as one over a database does.
func TestAPartialBatchChangesItsKeysAndNoOther(t *testing.T) {
	mem := apikey.NewMemoryStore()
	h := &hook{Store: mem}
	m := with(t, apikey.Config{Store: h, PollInterval: -1})
	aKey, a := create(t, m, apikey.Spec{ClientID: "a"})
	bKey, b := create(t, m, apikey.Spec{ClientID: "b"})
	cKey, c := create(t, m, apikey.Spec{ClientID: "c"})
	n := 0
	partial := func(records ...apikey.Record) {
		t.Helper()
		n++
		h.bend(func(apikey.Batch, error) (apikey.Batch, error) {
			return apikey.Batch{Records: records, Partial: true, Version: fmt.Sprint("p", n)}, nil
		})
		if err := m.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	get := func(id string) apikey.Record {
		r, err := mem.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	plan := func(key string) string {
		p, err := m.Verify(key, netip.Addr{}, time.Now())
		if err != nil {
			return err.Error()
		}
		return p.Plan
	}
	before := get(a)
	newer := get(a)
	newer.Plan, newer.Version = "gold", 2
	partial(newer)
	if plan(aKey) != "gold" || plan(bKey) != "" || plan(cKey) != "" {
		t.Errorf("a %q, b %q, c %q", plan(aKey), plan(bKey), plan(cKey))
	}
	partial(before) // news from before the news
	if plan(aKey) != "gold" {
		t.Errorf("an older version replaced a newer one: %q", plan(aKey))
	}
	partial() // nothing is not everything
	dead := get(b)
	dead.RevokedAt = time.Now() // by hand, under the version it had
	partial(dead)
	if err := verify(m, bKey); !errors.Is(err, auth.ErrRevoked) {
		t.Errorf("revoked under its old version: %v", err)
	}
	alive := get(b)
	alive.Version = 9
	partial(alive)
	if err := verify(m, bKey); !errors.Is(err, auth.ErrRevoked) {
		t.Errorf("a revoked key came back by a partial batch: %v", err)
	}
	if err := verify(m, cKey); err != nil {
		t.Errorf("%s: %v", c, err)
	}
}

func TestMarksAndStatesSurviveTheRebuildingOfTheTable(t *testing.T) {
	m := with(t, apikey.Config{Store: apikey.NewMemoryStore()})
	busy, busyID := create(t, m, apikey.Spec{Scopes: []string{"a"}})
	off, offID := create(t, m, apikey.Spec{})
	gone, goneID := create(t, m, apikey.Spec{})
	if err := errors.Join(m.Disable(t.Context(), offID, ""), m.Revoke(t.Context(), goneID)); err != nil {
		t.Fatal(err)
	}
	for i := range 200 { // several tables
		create(t, m, apikey.Spec{})
		if i == 30 {
			p, err := m.Verify(busy, netip.Addr{}, time.Now())
			if err != nil || !p.HasScope("a") {
				t.Fatal(p, err)
			}
		}
		if verify(m, off) == nil || verify(m, gone) == nil {
			t.Fatalf("after %d keys: accepted", i)
		}
	}
	if r, err := m.Get(t.Context(), busyID); err != nil || r.LastUsedAt.IsZero() || len(r.UsedScopes) != 1 {
		t.Errorf("%+v, %v", r, err)
	}
	list, err := m.List(t.Context())
	if err != nil || len(list) != 203 {
		t.Errorf("%d, %v", len(list), err)
	}
}

func TestARecordSaysHowItsKeyBegins(t *testing.T) {
	for name, store := range stores(t) {
		m := with(t, apikey.Config{
			Store: store, PollInterval: -1, Foreign: []apikey.Foreign{{Name: "old", Prefix: "old-", MinLen: 20, MaxLen: 64}},
		})
		key, id := create(t, m, apikey.Spec{})
		imported, err := m.Import(t.Context(), apikey.Spec{ClientID: "b"}, "old", foreignKey("old-"))
		if err != nil {
			t.Fatal(err)
		}
		_, heir, err := m.Rotate(t.Context(), imported.ID, apikey.Rotation{})
		if err != nil {
			t.Fatal(err)
		}
		for id, want := range map[string]string{id: "acme_live", imported.ID: "", heir.ID: "acme_live"} {
			if r, err := store.Get(t.Context(), id); err != nil || r.Head != want {
				t.Errorf("%s: head %q, %v; want %q", name, r.Head, err, want)
			}
		}
		if !strings.HasPrefix(key, "acme_live_"+id+"_") {
			t.Error(key)
		}
	}
}

func TestAKeyOfAnotherHeadIsRevokedHereButNotRotated(t *testing.T) {
	store := apikey.NewMemoryStore()
	live := with(t, apikey.Config{Store: store})
	test, err := apikey.New(apikey.Config{Store: store, Prefix: "acme", Env: "test"})
	if err != nil {
		t.Fatal(err)
	}
	key, id := create(t, live, apikey.Spec{})
	if _, _, err := test.Rotate(t.Context(), id, apikey.Rotation{}); !errors.Is(err, apikey.ErrState) || !strings.Contains(err.Error(), "a key of acme_live, not acme_test") {
		t.Errorf("%v", err)
	}
	if all, _ := live.List(t.Context()); len(all) != 1 || verify(live, key) != nil {
		t.Errorf("%d keys, the old one: %v", len(all), verify(live, key))
	}
	if err := test.Revoke(t.Context(), id); err != nil {
		t.Error(err)
	}
}

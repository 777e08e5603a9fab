// Package storetest is the contract of an [apikey.Store] as a test: run it on an implementation of your own.
//
//	func TestMyStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) (a, b apikey.Store) {
//			dsn := freshDatabase(t)
//			return open(t, dsn), open(t, dsn)
//		})
//	}
//
// Each case explains the rule that it checks. What a Manager makes of a store is tested where the Manager is.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth/apikey"
)

// Run checks the rules of [apikey.Store], and those of [apikey.UsageStore] when the store is one. open returns two handles on
// one fresh, empty store, as two processes would have; they may be one and the same value if the store cannot be shared. It is
// called once for each case and registers what must be cleaned up with t.
func Run(t *testing.T, open func(t *testing.T) (a, b apikey.Store)) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, b := open(t)
			c.run(t, a, b)
		})
	}
	t.Run("uses", func(t *testing.T) {
		a, b := open(t)
		ua, ok := a.(apikey.UsageStore)
		ub, ok2 := b.(apikey.UsageStore)
		if !ok || !ok2 {
			t.Skip("the store is no UsageStore")
		}
		uses(t, ua, ub)
	})
}

var cases = []struct {
	name string
	run  func(t *testing.T, a, b apikey.Store)
}{
	{"an empty store has a version", emptyStore},
	{"every field of a record survives", everyField},
	{"a write needs the version that is stored", versions},
	{"a revoked key stays revoked", sticky},
	{"a record that is not valid is not stored", invalid},
	{"what is written is seen by both at once", seenByBoth},
	{"a batch since a version brings what changed", batches},
	{"of writers at once exactly one wins", oneWins},
	{"writers of different keys lose nothing", noLostWrites},
	{"a load under writes is a state that was", consistentLoads},
	{"nobody shares memory with the store", copies},
	{"a context that has ended is an error", ended},
}

// Record returns a valid record whose id is made of n, for tests of stores.
func Record(n int) apikey.Record {
	return apikey.Record{
		ID: fmt.Sprintf("%012d", n), Hash: apikey.Digest{byte(n), byte(n >> 8), byte(n >> 16), 1}, ClientID: "alice",
		CreatedAt: time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC),
	}
}

func put(t *testing.T, s apikey.Store, r apikey.Record) apikey.Record {
	t.Helper()
	r, err := s.Put(t.Context(), r)
	if err != nil {
		t.Fatalf("Put: %v", err)
	}
	return r
}

func load(t *testing.T, s apikey.Store, since string) apikey.Batch {
	t.Helper()
	b, err := s.Load(t.Context(), since)
	if err != nil {
		t.Fatalf("Load: %v", err)
	}
	if b.Version == "" {
		t.Fatal("a batch without a version")
	}
	if b.Unchanged && (len(b.Records) > 0 || b.Version != since) {
		t.Fatalf("an unchanged batch of %d records, version %q for %q", len(b.Records), b.Version, since)
	}
	if since == "" && (b.Partial || b.Unchanged) {
		t.Fatal("Load without a version gave less than all")
	}
	return b
}

func ids(b apikey.Batch) (out []string) {
	for _, r := range b.Records {
		out = append(out, r.ID)
	}
	slices.Sort(out)
	return out
}

func emptyStore(t *testing.T, a, _ apikey.Store) {
	b := load(t, a, "")
	if len(b.Records) != 0 {
		t.Errorf("%d records", len(b.Records))
	}
	if again := load(t, a, b.Version); !again.Unchanged && len(again.Records) != 0 {
		t.Errorf("%+v", again)
	}
	if _, err := a.Get(t.Context(), "000000000000"); !errors.Is(err, apikey.ErrNotFound) {
		t.Errorf("Get of nothing: %v, want ErrNotFound", err)
	}
}

func everyField(t *testing.T, a, b apikey.Store) {
	at := time.Date(2030, 1, 2, 3, 4, 5, 678_901_000, time.UTC)
	full := Record(1)
	full.ClientID, full.Tenant, full.Plan = "search \u00e4\u4e2d' \" ; -- \\ % _", "acme", "gold"
	full.Scopes, full.Roles, full.Models = []string{"b", "a"}, []string{"app"}, []string{"small", "large"}
	full.Addresses = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("2001:db8::/32")}
	full.NotBefore, full.ExpiresAt = at.Add(123), at.Add(456) // nanoseconds decide about a key
	full.Labels = map[string]string{"owner": "bob <b@example.com>", "note": "line\nline\u2028\x00"}
	full.DisabledAt, full.DisabledReason, full.EnabledAt = at, "why not", at.Add(time.Second)
	full.Predecessor, full.Successor, full.Foreign = "00000000000a", "00000000000B", "legacy"
	full.RevokedAt = at.Add(time.Minute)
	nothing := Record(2)
	empty := Record(3)
	empty.Models, empty.Addresses = []string{}, []netip.Prefix{} // an empty list allows nobody, none allows all
	native := Record(5)
	native.Head = "acme_live" // a foreign key, as full is, has none
	for _, want := range []apikey.Record{full, nothing, empty, native} {
		stored := put(t, a, want)
		want.Version = 1
		same(t, "Put returns", stored, want)
		got, err := b.Get(t.Context(), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "Get returns", got, want)
		for _, r := range load(t, b, "").Records {
			if r.ID == want.ID {
				same(t, "Load returns", r, want)
			}
		}
	}
	// What a manager fills in is no part of a record.
	used := Record(4)
	used.LastUsedAt, used.UsedScopes = at, []string{"a"}
	put(t, a, used)
	if got, err := b.Get(t.Context(), used.ID); err != nil || !got.LastUsedAt.IsZero() || got.UsedScopes != nil {
		t.Errorf("uses were stored in a record: %+v, %v", got, err)
	}
}

// same compares records by meaning: times by instant, lists also by whether they are nil where that counts.
func same(t *testing.T, what string, got, want apikey.Record) {
	t.Helper()
	g, w := reflect.ValueOf(got), reflect.ValueOf(want)
	for i := range g.NumField() {
		name, x, y := g.Type().Field(i).Name, g.Field(i).Interface(), w.Field(i).Interface()
		equal := reflect.DeepEqual(x, y)
		switch x := x.(type) {
		case time.Time:
			equal = x.Equal(y.(time.Time))
		case []string:
			equal = slices.Equal(x, y.([]string)) && (name != "Models" || (x == nil) == (y.([]string) == nil))
		case map[string]string:
			equal = len(x)+len(y.(map[string]string)) == 0 || equal
		}
		if !equal {
			t.Errorf("%s %s %v, want %v", what, name, x, y)
		}
	}
}

func versions(t *testing.T, a, b apikey.Store) {
	one := put(t, a, Record(1))
	if one.Version != 1 {
		t.Errorf("a new record has version %d", one.Version)
	}
	if _, err := b.Put(t.Context(), Record(1)); !errors.Is(err, apikey.ErrConflict) {
		t.Errorf("a new record over an old one: %v, want ErrConflict", err)
	}
	absent := Record(2)
	absent.Version = 3
	if _, err := a.Put(t.Context(), absent); !errors.Is(err, apikey.ErrNotFound) {
		t.Errorf("an update of nothing: %v, want ErrNotFound", err)
	}
	change := one
	change.Plan = "gold"
	two := put(t, b, change)
	if two.Version != 2 {
		t.Errorf("an updated record has version %d", two.Version)
	}
	change.Plan = "silver"
	if _, err := a.Put(t.Context(), change); !errors.Is(err, apikey.ErrConflict) {
		t.Errorf("an update of an old version: %v, want ErrConflict", err)
	}
	change.Version = 99
	if _, err := a.Put(t.Context(), change); !errors.Is(err, apikey.ErrConflict) {
		t.Errorf("an update of a version to come: %v, want ErrConflict", err)
	}
	if got, err := a.Get(t.Context(), one.ID); err != nil || got.Plan != "gold" || got.Version != 2 {
		t.Errorf("after refused writes: %+v, %v", got, err)
	}
	if _, err := a.Get(t.Context(), absent.ID); !errors.Is(err, apikey.ErrNotFound) {
		t.Errorf("a refused write left something: %v", err)
	}
}

func sticky(t *testing.T, a, b apikey.Store) {
	r := Record(1)
	r = put(t, a, r)
	r.RevokedAt = time.Now().UTC().Truncate(time.Second)
	r = put(t, a, r)
	back := r
	back.RevokedAt = time.Time{}
	if _, err := b.Put(t.Context(), back); !errors.Is(err, apikey.ErrSticky) {
		t.Errorf("a write that clears RevokedAt: %v, want ErrSticky", err)
	}
	if got, err := a.Get(t.Context(), r.ID); err != nil || got.RevokedAt.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	r.Labels = map[string]string{"incident": "17"} // a note on a revoked key is allowed
	put(t, b, r)
}

func invalid(t *testing.T, a, _ apikey.Store) {
	for name, spoil := range map[string]func(*apikey.Record){
		"id":     func(r *apikey.Record) { r.ID = "'; drop tab" },
		"hash":   func(r *apikey.Record) { r.Hash = apikey.Digest{} },
		"client": func(r *apikey.Record) { r.ClientID = "" },
		"lines":  func(r *apikey.Record) { r.Tenant = "a\nb" },
		"scope":  func(r *apikey.Record) { r.Scopes = []string{"a b"} },
		"head":   func(r *apikey.Record) { r.Head = "acme-live" },
		// What could be written and not be read back would be a store that nobody can load.
		"labels that differ by case":   func(r *apikey.Record) { r.Labels = map[string]string{"owner": "a", "Owner": "b"} },
		"labels that fold":             func(r *apikey.Record) { r.Labels = map[string]string{"task": "a", "ta\u017fk": "b"} },
		"a scope of 5000 bytes":        func(r *apikey.Record) { r.Scopes = []string{strings.Repeat("s", 5000)} },
		"a scope of escapes":           func(r *apikey.Record) { r.Scopes = []string{strings.Repeat("<", 4096)} },
		"a name of a label of escapes": func(r *apikey.Record) { r.Labels = map[string]string{strings.Repeat("<", 64): "x"} },
		"expiry":                       func(r *apikey.Record) { r.ExpiresAt = time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC) },
	} {
		r := Record(1)
		spoil(&r)
		if _, err := a.Put(t.Context(), r); err == nil {
			t.Errorf("%s: stored", name)
		}
	}
	if b := load(t, a, ""); len(b.Records) != 0 {
		t.Errorf("%v", ids(b))
	}
}

func seenByBoth(t *testing.T, a, b apikey.Store) {
	r := Record(1)
	for i := range 10 {
		writer, reader := a, b
		if i%2 == 1 {
			writer, reader = b, a
		}
		r.Plan = fmt.Sprint("plan", i)
		r = put(t, writer, r)
		if got, err := reader.Get(t.Context(), r.ID); err != nil || got.Plan != r.Plan {
			t.Fatalf("write %d: Get elsewhere gives %q, %v", i, got.Plan, err)
		}
		if got := load(t, reader, ""); len(got.Records) != 1 || got.Records[0].Plan != r.Plan {
			t.Fatalf("write %d: Load elsewhere gives %+v", i, got.Records)
		}
	}
}

func batches(t *testing.T, a, b apikey.Store) {
	put(t, a, Record(1))
	two := put(t, a, Record(2))
	first := load(t, b, "")
	if !slices.Equal(ids(first), []string{Record(1).ID, Record(2).ID}) {
		t.Fatalf("%v", ids(first))
	}
	if again := load(t, b, first.Version); !again.Unchanged && (again.Partial || len(again.Records) != 2) {
		t.Errorf("nothing changed: %+v", again)
	}
	two.Plan = "gold"
	put(t, a, two)
	put(t, a, Record(3))
	// A batch may be all or only what changed; either way, laid over the first, it gives the truth.
	next := load(t, b, first.Version)
	if next.Unchanged || next.Version == first.Version {
		t.Fatalf("two writes later: %+v", next)
	}
	state := map[string]string{}
	if next.Partial {
		for _, r := range first.Records {
			state[r.ID] = r.Plan
		}
	}
	for _, r := range next.Records {
		state[r.ID] = r.Plan
	}
	if want := map[string]string{Record(1).ID: "", two.ID: "gold", Record(3).ID: ""}; !reflect.DeepEqual(state, want) {
		t.Errorf("%v, want %v", state, want)
	}
	if got := load(t, a, "a version of another store"); got.Partial || got.Unchanged || len(got.Records) != 3 {
		t.Errorf("an unknown version does not give all: %+v", got)
	}
}

func oneWins(t *testing.T, a, b apikey.Store) {
	const rounds, writers = 10, 8
	r := put(t, a, Record(1))
	for round := range rounds {
		var won atomic.Int32
		var wg sync.WaitGroup
		for i := range writers {
			wg.Go(func() {
				mine, s := r, a
				if i%2 == 1 {
					s = b
				}
				mine.Plan = fmt.Sprint(i)
				_, err := s.Put(context.Background(), mine)
				switch {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, apikey.ErrConflict):
					t.Errorf("a loser got %v, want ErrConflict", err)
				}
			})
		}
		wg.Wait()
		if won.Load() != 1 {
			t.Fatalf("round %d: %d of %d writers of one version won", round, won.Load(), writers)
		}
		var err error
		if r, err = a.Get(t.Context(), r.ID); err != nil || r.Version != uint64(round+2) {
			t.Fatalf("%+v, %v", r, err)
		}
	}
}

func noLostWrites(t *testing.T, a, b apikey.Store) {
	const each = 8
	var wg sync.WaitGroup
	for i, s := range []apikey.Store{a, b, a, b} {
		wg.Go(func() {
			for j := range each {
				if _, err := s.Put(context.Background(), Record(i*each+j)); err != nil {
					t.Errorf("Put: %v", err)
				}
			}
		})
	}
	wg.Wait()
	for _, s := range []apikey.Store{a, b} {
		if got := load(t, s, ""); len(got.Records) != 4*each {
			t.Errorf("%d records of %d", len(got.Records), 4*each)
		}
	}
}

// A reader that follows by batches while others write must end up with what is there: a change sequence with gaps in the order of
// commits loses some.
func consistentLoads(t *testing.T, a, b apikey.Store) {
	const writers, each = 3, 15
	var wg sync.WaitGroup
	done := make(chan struct{})
	for i := range writers {
		s := a
		if i%2 == 1 {
			s = b
		}
		wg.Go(func() {
			for j := range each {
				r, err := s.Put(context.Background(), Record(i*each+j))
				if err != nil {
					t.Errorf("Put: %v", err)
					return
				}
				r.Plan = "written twice"
				if _, err := s.Put(context.Background(), r); err != nil {
					t.Errorf("Put: %v", err)
				}
			}
		})
	}
	go func() { wg.Wait(); close(done) }()
	defer func() { <-done }() // also when a load fails
	state, since := map[string]apikey.Record{}, ""
	follow := func() {
		next := load(t, b, since)
		since = next.Version
		if next.Unchanged {
			return
		}
		if !next.Partial {
			clear(state)
		}
		for _, r := range next.Records {
			state[r.ID] = r
		}
	}
	for running := true; running; {
		select {
		case <-done:
			running = false
		default:
		}
		follow()
	}
	for _, r := range load(t, a, "").Records {
		if got := state[r.ID]; got.Version != r.Version || got.Plan != r.Plan {
			t.Errorf("whoever follows has %s at version %d, the store at %d", r.ID, got.Version, r.Version)
		}
	}
	if len(state) != writers*each {
		t.Errorf("%d records of %d", len(state), writers*each)
	}
}

func copies(t *testing.T, a, _ apikey.Store) {
	r := Record(1)
	r.Scopes, r.Labels, r.Models = []string{"x"}, map[string]string{"owner": "bob"}, []string{"m"}
	stored := put(t, a, r)
	r.Scopes[0], r.Labels["owner"], r.Models[0] = "admin", "eve", "all"
	stored.Scopes[0], stored.Labels["owner"] = "admin", "eve"
	got, err := a.Get(t.Context(), r.ID)
	if err != nil || got.Scopes[0] != "x" || got.Labels["owner"] != "bob" || got.Models[0] != "m" {
		t.Errorf("the writer's slices are the store's: %+v, %v", got, err)
	}
	got.Scopes[0] = "admin"
	if again, _ := a.Get(t.Context(), r.ID); again.Scopes[0] != "x" {
		t.Error("Get gives out the store's own slices")
	}
}

func ended(t *testing.T, a, _ apikey.Store) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Load(ctx, ""); err == nil {
		t.Error("Load with a context that has ended succeeds")
	}
}

func uses(t *testing.T, a, b apikey.UsageStore) {
	put(t, a, Record(1))
	version := load(t, a, "").Version
	if since, used, err := a.Usage(t.Context()); err != nil || !since.IsZero() || len(used) != 0 {
		t.Fatalf("an empty store: %v, %v, %v", since, used, err)
	}
	before := time.Now().Add(-2 * time.Second)
	if err := a.AddUsage(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	start, _, err := b.Usage(t.Context())
	if err != nil || start.Before(before) || start.After(time.Now().Add(2*time.Second)) {
		t.Fatalf("the first call is the moment from which uses are on record: %v, %v", start, err)
	}
	at := time.Date(2026, 5, 6, 7, 8, 0, 0, time.UTC)
	use := func(n, minutes int, scopes ...string) apikey.Usage {
		return apikey.Usage{ID: Record(n).ID, LastUsedAt: at.Add(time.Duration(minutes) * time.Minute), Scopes: scopes}
	}
	for _, step := range []struct {
		by   apikey.UsageStore
		used []apikey.Usage
	}{
		{a, []apikey.Usage{use(1, 5, "x"), use(2, 1)}}, {b, []apikey.Usage{use(1, 3, "y", "x")}}, {a, []apikey.Usage{use(1, 4)}},
		{b, []apikey.Usage{use(2, 9, "z")}}, {b, nil},
	} {
		if err := step.by.AddUsage(t.Context(), step.used); err != nil {
			t.Fatal(err)
		}
	}
	for _, s := range []apikey.UsageStore{a, b} {
		since, used, err := s.Usage(t.Context())
		slices.SortFunc(used, func(a, b apikey.Usage) int { return strings.Compare(a.ID, b.ID) })
		want := []apikey.Usage{use(1, 5, "x", "y"), use(2, 9, "z")}
		if err != nil || !since.Equal(start) || len(used) != 2 {
			t.Fatalf("%v, %v, %v", since, used, err)
		}
		for i := range want {
			if used[i].ID != want[i].ID || !used[i].LastUsedAt.Equal(want[i].LastUsedAt) || !slices.Equal(used[i].Scopes, want[i].Scopes) {
				t.Errorf("%+v, want %+v", used[i], want[i])
			}
		}
		f, ok := s.(apikey.UsageFinder)
		if !ok {
			continue
		}
		for _, want := range append(want, apikey.Usage{ID: Record(3).ID}) { // the last is of a key that nobody used
			u, err := f.UsageOf(t.Context(), want.ID)
			if err != nil || u.ID != want.ID || !u.LastUsedAt.Equal(want.LastUsedAt) || !slices.Equal(u.Scopes, want.Scopes) {
				t.Errorf("UsageOf: %+v, %v; want %+v", u, err, want)
			}
		}
	}
	if got := load(t, a, version); !got.Unchanged && got.Version != version {
		t.Error("uses changed the version of the keys")
	}
	if got, err := a.Get(t.Context(), Record(1).ID); err != nil || got.Version != 1 {
		t.Errorf("uses changed a record: %+v, %v", got, err)
	}
	var wg sync.WaitGroup
	for i, s := range []apikey.UsageStore{a, b, a, b} {
		wg.Go(func() {
			for j := range 5 {
				if err := s.AddUsage(context.Background(), []apikey.Usage{use(3, i*5+j, fmt.Sprint("s", i, "-", j))}); err != nil {
					t.Errorf("AddUsage: %v", err)
				}
			}
		})
	}
	wg.Wait()
	_, used, err := a.Usage(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range used {
		if u.ID == Record(3).ID && (len(u.Scopes) != 20 || !u.LastUsedAt.Equal(at.Add(19*time.Minute))) {
			t.Errorf("of uses added at once some were lost: %+v", u)
		}
	}
}

package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"reflect"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/authtest"
)

// troubled is a store with troubles of its own, each while it is on.
type troubled struct {
	*apikey.MemoryStore
	hang     atomic.Bool // AddUsage and Put wait until their context ends
	noUses   atomic.Bool // uses cannot be read
	added    atomic.Int32
	all, one atomic.Int32 // how often uses were read
}

func (s *troubled) AddUsage(ctx context.Context, used []apikey.Usage) error {
	s.added.Add(1)
	if s.hang.Load() {
		<-ctx.Done()
		return ctx.Err()
	}
	return s.MemoryStore.AddUsage(ctx, used)
}

func (s *troubled) Put(ctx context.Context, r apikey.Record) (apikey.Record, error) {
	if s.hang.Load() {
		<-ctx.Done()
		return apikey.Record{}, ctx.Err()
	}
	return s.MemoryStore.Put(ctx, r)
}

var errNoUses = errors.New("permission denied")

func (s *troubled) Usage(ctx context.Context) (time.Time, []apikey.Usage, error) {
	s.all.Add(1)
	if s.noUses.Load() {
		return time.Time{}, nil, errNoUses
	}
	return s.MemoryStore.Usage(ctx)
}

func (s *troubled) UsageOf(ctx context.Context, id string) (apikey.Usage, error) {
	s.one.Add(1)
	if s.noUses.Load() {
		return apikey.Usage{}, errNoUses
	}
	_, all, err := s.MemoryStore.Usage(ctx)
	for _, u := range all {
		if u.ID == id {
			return u, err
		}
	}
	return apikey.Usage{ID: id}, err
}

func newTroubled() *troubled { return &troubled{MemoryStore: apikey.NewMemoryStore()} }

func TestNobodyWaitsForUsesThatCannotBeStoredLongerThanTheyWant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const patience = 50 * time.Millisecond
		s := newTroubled()
		m := with(t, apikey.Config{Store: s, PollInterval: -1})
		key, id := create(t, m, apikey.Spec{Scopes: []string{"a"}})
		s.hang.Store(true)
		if err := verify(m, key); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute + time.Second) // for the timer, whose write hangs for ten seconds
		if s.added.Load() != 1 {
			t.Fatal("nothing is being written")
		}
		for name, ask := range map[string]func(context.Context) (apikey.Record, error){
			"List": func(ctx context.Context) (apikey.Record, error) {
				all, err := m.List(ctx)
				return append(all, apikey.Record{})[0], err
			},
			"Get": func(ctx context.Context) (apikey.Record, error) { return m.Get(ctx, id) },
		} {
			began := time.Now()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			r, err := ask(ctx)
			cancel()
			if took := time.Since(began); err != nil || took > patience || r.LastUsedAt.IsZero() {
				t.Errorf("%s: last used %v, %v after %v; want the use that is being written, at once", name, r.LastUsedAt, err, took)
			}
		}
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		if err := m.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > patience {
			t.Errorf("Close: %v after %v", err, time.Since(began))
		}
		time.Sleep(time.Minute)
		added := s.added.Load()
		if err := verify(m, key); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		if n := s.added.Load() - added; n != 0 {
			t.Errorf("%d writes after Close", n)
		}
	})
}

func TestACreationThatHangsHoldsUpNoOtherLongerThanItWants(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const patience = 50 * time.Millisecond
		s := newTroubled()
		m := with(t, apikey.Config{Store: s, PollInterval: -1, Policy: apikey.Policy{MaxKeysPerClient: 5}, UsageInterval: -1, Foreign: legacy})
		s.hang.Store(true)
		hanging, end := context.WithCancel(t.Context())
		go m.Create(hanging, apikey.Spec{ClientID: "a"})
		synctest.Wait()
		for name, ask := range map[string]func(context.Context) error{
			"Create": func(ctx context.Context) error {
				_, _, err := m.Create(ctx, apikey.Spec{ClientID: "b"})
				return err
			},
			"Import": func(ctx context.Context) error {
				_, err := m.Import(ctx, apikey.Spec{ClientID: "b"}, "legacy", foreignKey("sk-old-"))
				return err
			},
		} {
			done := make(chan error, 1)
			began := time.Now()
			go func() {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				done <- ask(ctx)
			}()
			if err := <-done; !errors.Is(err, context.DeadlineExceeded) || time.Since(began) > patience {
				t.Errorf("%s: %v after %v", name, err, time.Since(began))
			}
		}
		end()
		synctest.Wait()
		s.hang.Store(false)
		create(t, m, apikey.Spec{}) // whoever gave up holds up nobody
	})
}

func TestTheUsesOfOneKeyAreReadWithoutThoseOfAllOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTroubled()
		m := with(t, apikey.Config{Store: s, PollInterval: -1})
		key, id := create(t, m, apikey.Spec{Scopes: []string{"a", "b"}})
		use := func(scope string) {
			t.Helper()
			g, err := auth.New(auth.Config{Authenticator: m, Scopes: []string{scope}})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := g.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer(key))); err != nil {
				t.Fatal(err)
			}
		}
		used := func(when string, want ...string) {
			t.Helper()
			r, err := m.Get(t.Context(), id)
			if err != nil || r.LastUsedAt.IsZero() == (want != nil) || !reflect.DeepEqual(r.UsedScopes, want) {
				t.Errorf("%s: %v %v, %v; want %v", when, r.LastUsedAt, r.UsedScopes, err, want)
			}
		}
		used("before")
		use("b")
		used("a use that is marked", "b")
		use("a")
		used("uses not yet stored", "a", "b")
		time.Sleep(2 * time.Minute)
		synctest.Wait()
		used("uses that are stored", "a", "b")
		if s.all.Load() != 0 || s.one.Load() != 4 || s.added.Load() != 1 {
			t.Errorf("all uses were read %d times, those of one key %d times; %d writes", s.all.Load(), s.one.Load(), s.added.Load())
		}
	})
}

func TestRecordsAreReportedThoughTheirUsesCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newTroubled()
		for _, dormantAfter := range []time.Duration{0, time.Hour} {
			m := with(t, apikey.Config{Store: s, PollInterval: -1, Policy: apikey.Policy{DormantAfter: dormantAfter}})
			_, id := create(t, m, apikey.Spec{})
			_, ends := create(t, m, apikey.Spec{ExpiresAt: time.Now().Add(time.Hour)})
			s.noUses.Store(true)
			if err := m.Revoke(t.Context(), id); err != nil {
				t.Error(err)
			}
			r, err := m.Get(t.Context(), id)
			if !errors.Is(err, apikey.ErrUsesUnknown) || !errors.Is(err, errNoUses) || r.ID != id || r.RevokedAt.IsZero() {
				t.Errorf("Get: %+v, %v", r, err)
			}
			all, err := m.List(t.Context())
			if !errors.Is(err, apikey.ErrUsesUnknown) || !errors.Is(err, errNoUses) || len(all) < 2 {
				t.Errorf("List: %d records, %v", len(all), err)
			}
			time.Sleep(2 * time.Hour)
			done, err := m.Sweep(t.Context(), time.Now())
			if (dormantAfter > 0) != errors.Is(err, apikey.ErrUsesUnknown) || dormantAfter == 0 && err != nil || !reflect.DeepEqual(done, apikey.Swept{Expired: []string{ends}}) {
				t.Errorf("Sweep with DormantAfter %v: %+v, %v", dormantAfter, done, err)
			}
			s.noUses.Store(false)
		}
	})
}

// In a directory with the sticky bit anybody can make the file of uses first.
func TestAFileOfUsesOfAnotherUserHidesNoRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys.json")
	m := with(t, apikey.Config{Store: fileStore(t, path), PollInterval: -1})
	_, id := create(t, m, apikey.Spec{})
	if err := os.WriteFile(path+".uses", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(path+".uses", 65534, 65534); err != nil {
		t.Skip("only root can give a file away: ", err)
	}
	if err := m.Revoke(t.Context(), id); err != nil {
		t.Error(err)
	}
	if r, err := m.Get(t.Context(), id); !errors.Is(err, apikey.ErrUsesUnknown) || r.RevokedAt.IsZero() {
		t.Errorf("%+v, %v", r, err)
	}
	if all, err := m.List(t.Context()); !errors.Is(err, apikey.ErrUsesUnknown) || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
}

// stuck is a handler of logs that does not come back.
type stuck struct {
	slog.Handler
	entered, release chan struct{}
}

func (l stuck) Enabled(context.Context, slog.Level) bool { return true }
func (l stuck) Handle(context.Context, slog.Record) error {
	select {
	case l.entered <- struct{}{}:
	default:
	}
	<-l.release
	return nil
}

func TestASlowLoggerHoldsUpNoCheck(t *testing.T) {
	l := stuck{slog.DiscardHandler, make(chan struct{}, 1), make(chan struct{})}
	defer close(l.release)
	s := &failing{MemoryStore: apikey.NewMemoryStore()}
	s.down.Store(true)
	m := with(t, apikey.Config{Store: s, UsageInterval: time.Millisecond, Logger: slog.New(l)})
	a, _ := create(t, m, apikey.Spec{})
	b, _ := create(t, m, apikey.Spec{})
	if err := verify(m, a); err != nil {
		t.Fatal(err)
	}
	<-l.entered // that the use cannot be stored
	done := make(chan error, 1)
	go func() { done <- verify(m, b) }()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a check waits for the logger")
	}
}

// several is an error that cannot be compared.
type several []string

func (e several) Error() string { return fmt.Sprint([]string(e)) }

func TestASweepReportsErrorsOfWhateverKind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &blind{Store: apikey.NewMemoryStore()}
		m := with(t, apikey.Config{Store: b, PollInterval: -1})
		for range 3 {
			create(t, m, apikey.Spec{ExpiresAt: time.Now().Add(time.Hour)})
		}
		time.Sleep(2 * time.Hour)
		b.err = fmt.Errorf("%w", several{"a", "b"})
		_, err := m.Sweep(t.Context(), time.Now())
		if joined, ok := err.(interface{ Unwrap() []error }); !ok || len(joined.Unwrap()) != 3 {
			t.Errorf("%v; want one error for each key", err)
		}
		b.err = gone{"a"} // which Get hands on as it is
		_, err = m.Sweep(t.Context(), time.Now())
		if joined, ok := err.(interface{ Unwrap() []error }); !ok || len(joined.Unwrap()) != 3 {
			t.Errorf("%v; want one error for each key", err)
		}
	})
}

// gone is such an error that says that there is no key.
type gone []string

func (e gone) Error() string        { return fmt.Sprint([]string(e)) }
func (e gone) Is(target error) bool { return target == apikey.ErrNotFound }

package apikey_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
)

func TestACallerThatGoesAwayDoesNotMakeKeysStale(t *testing.T) {
	for name, ask := range map[string]func(ctx context.Context, m *apikey.Manager){
		"Reload": func(ctx context.Context, m *apikey.Manager) { m.Reload(ctx) },
		"Create": func(ctx context.Context, m *apikey.Manager) { m.Create(ctx, apikey.Spec{ClientID: "x"}) },
	} {
		synctest.Test(t, func(t *testing.T) {
			m := with(t, apikey.Config{Store: apikey.NewMemoryStore(), UsageInterval: -1, Policy: apikey.Policy{MaxKeysPerClient: 5}})
			key, _ := create(t, m, apikey.Spec{})
			time.Sleep(11 * time.Minute)
			gone, cancel := context.WithCancel(t.Context())
			cancel()
			for range 50 {
				ask(gone, m)
			}
			synctest.Wait()
			if err := verify(m, key); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			time.Sleep(24 * time.Hour)
			if err := verify(m, key); err != nil {
				t.Errorf("%s: a day later: %v", name, err)
			}
		})
	}
}

// What the caller wanted to know is asked again without them, with a time-out of its own: a store that hangs for callers with little
// patience is noticed.
func TestALoadThatFailedIsTriedAgainWhereNothingPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{Store: apikey.NewMemoryStore()}
		m := with(t, apikey.Config{Store: h, PollInterval: -1, UsageInterval: -1})
		key, _ := create(t, m, apikey.Spec{})
		h.bend(func(apikey.Batch, error) (apikey.Batch, error) { return apikey.Batch{}, errors.New("down") })
		if err := m.Reload(t.Context()); err == nil {
			t.Fatal("no error")
		}
		time.Sleep(11 * time.Minute)
		if err := verify(m, key); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("a store that is down for 11 minutes: %v", err)
		}
		h.bend(nil)
		time.Sleep(11 * time.Second)
		if err := verify(m, key); err != nil {
			t.Errorf("11 s after the store came back: %v", err)
		}
		loads := h.loads.Load()
		time.Sleep(time.Hour)
		if n := h.loads.Load() - loads; n != 0 {
			t.Errorf("%d loads after one that succeeded", n)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		m.Reload(gone)
		h.bend(func(apikey.Batch, error) (apikey.Batch, error) { return apikey.Batch{}, errors.New("down") })
		time.Sleep(11 * time.Minute)
		if err := verify(m, key); !errors.Is(err, auth.ErrUnavailable) {
			t.Errorf("down, and only a caller that went away asked: %v", err)
		}
		synctest.Wait()
		m.Close(t.Context())
		loads = h.loads.Load()
		time.Sleep(time.Hour)
		if n := h.loads.Load() - loads; n != 0 {
			t.Errorf("%d loads after Close", n)
		}
	})
}

func TestAnEarlierStateOfTheStoreUndoesNothing(t *testing.T) {
	var log bytes.Buffer
	h := &hook{Store: apikey.NewMemoryStore()}
	m := with(t, apikey.Config{Store: h, PollInterval: -1, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	disabled, disabledID := create(t, m, apikey.Spec{})
	rotated, rotatedID := create(t, m, apikey.Spec{})
	other, _ := create(t, m, apikey.Spec{})
	before, err := h.Store.Load(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Disable(t.Context(), disabledID, "leaked"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Rotate(t.Context(), rotatedID, apikey.Rotation{Overlap: time.Hour}); err != nil {
		t.Fatal(err)
	}
	before.Version = "of a backup"
	h.bend(func(apikey.Batch, error) (apikey.Batch, error) { return before, nil })
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := verify(m, disabled); !errors.Is(err, auth.ErrRevoked) {
		t.Errorf("the disabled key: %v", err)
	}
	if _, err := m.Verify(rotated, netip.Addr{}, time.Now().Add(2*time.Hour)); !errors.Is(err, auth.ErrExpired) {
		t.Errorf("the rotated key after its overlap: %v", err)
	}
	if err := verify(m, other); err != nil {
		t.Errorf("a key that is as it was: %v", err)
	}
	if s := log.String(); strings.Count(s, "earlier versions") != 1 || !strings.Contains(s, "keys=2") {
		t.Errorf("the log: %s", s)
	}
}

// A pg_dump with --inserts comes back row by row.
func TestABackupThatComesBackRowByRowUndoesNothing(t *testing.T) {
	for _, partial := range []bool{false, true} {
		var log bytes.Buffer
		h := &hook{Store: apikey.NewMemoryStore()}
		m := with(t, apikey.Config{Store: h, PollInterval: -1, Logger: slog.New(slog.NewTextHandler(&log, nil)), Foreign: legacy})
		good, otherID := create(t, m, apikey.Spec{})
		key, id := create(t, m, apikey.Spec{})
		other, err := h.Store.Get(t.Context(), otherID)
		if err != nil {
			t.Fatal(err)
		}
		old, err := h.Store.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		show := func(partial bool, records ...apikey.Record) {
			t.Helper()
			n++
			h.bend(func(apikey.Batch, error) (apikey.Batch, error) {
				return apikey.Batch{Records: records, Version: strconv.Itoa(n), Partial: partial}, nil
			})
			if err := m.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		refused := func(when string, want error) {
			t.Helper()
			if err := verify(m, key); !errors.Is(err, want) {
				t.Errorf("partial %v, %s: %v", partial, when, err)
			}
			if err := verify(m, good); err != nil {
				t.Errorf("another key: %v", err)
			}
		}
		if err := m.Disable(t.Context(), id, "leaked"); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			show(false, other)
			refused("before its row is back", auth.ErrInvalid)
			show(partial, other, old)
			refused("when its row is back", auth.ErrRevoked)
			show(false, other, old)
			refused("and ever after", auth.ErrRevoked)
		}
		if !partial && !strings.Contains(log.String(), "earlier versions") {
			t.Errorf("the log: %s", log.String())
		}
		// A version that is not older is believed.
		enabled := old
		enabled.Version = 3
		show(false, other)
		show(partial, other, enabled)
		refused("enabled since", nil)
	}
}

func TestOfTheKeysAStoreLostABoundedNumberIsRemembered(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes 130,000 records")
	}
	h := &hook{Store: apikey.NewMemoryStore()}
	m := with(t, apikey.Config{Store: h, PollInterval: -1})
	const each = apikey.MaxLost/2 + 1
	for round := range 4 {
		records := make([]apikey.Record, each)
		for i := range records {
			records[i] = apikey.Record{ID: fmt.Sprintf("%012d", round*each+i), Hash: apikey.Digest{1}, ClientID: "a", Version: uint64(1 + i%8)}
		}
		h.bend(func(apikey.Batch, error) (apikey.Batch, error) {
			return apikey.Batch{Records: records, Version: strconv.Itoa(round)}, nil
		})
		if err := m.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Those that were never changed need no memory.
		if n, want := m.Lost(), min(apikey.MaxLost, round*(each-each/8-1)); n != want {
			t.Errorf("round %d: %d, want %d", round, n, want)
		}
	}
}

func TestAKeyThatIsImportedAgainAfterItsRowWasDeletedWorks(t *testing.T) {
	h := &hook{Store: apikey.NewMemoryStore()}
	m := with(t, apikey.Config{Store: h, PollInterval: -1, Foreign: legacy})
	_, otherID := create(t, m, apikey.Spec{})
	other, err := h.Store.Get(t.Context(), otherID)
	if err != nil {
		t.Fatal(err)
	}
	key := foreignKey("sk-old-")
	r, err := m.Import(t.Context(), apikey.Spec{ClientID: "a"}, "legacy", key)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.Disable(t.Context(), r.ID, ""); err != nil {
		t.Fatal(err)
	}
	h.Store = apikey.NewMemoryStore() // somebody deleted it
	other.Version = 0
	if _, err := h.Store.Put(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	h.bend(func(b apikey.Batch, err error) (apikey.Batch, error) { b.Version += "another"; return b, err })
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := m.Import(t.Context(), apikey.Spec{ClientID: "a"}, "legacy", key); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := verify(m, key); err != nil {
			t.Error(err)
		}
		if err := m.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCloseWaitsForALoadThatIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hook{Store: apikey.NewMemoryStore()}
		m := with(t, apikey.Config{Store: h, PollInterval: -1})
		h.bend(func(apikey.Batch, error) (apikey.Batch, error) { return apikey.Batch{}, errors.New("down") })
		if err := m.Reload(t.Context()); err == nil {
			t.Fatal("no error")
		}
		var loading atomic.Int32
		h.bend(func(b apikey.Batch, err error) (apikey.Batch, error) { // ignores its context
			loading.Add(1)
			defer loading.Add(-1)
			time.Sleep(5 * time.Second)
			return b, err
		})
		time.Sleep(11 * time.Second)
		if loading.Load() != 1 {
			t.Fatal("it is not tried again")
		}
		if err := m.Close(t.Context()); err != nil || loading.Load() != 0 {
			t.Errorf("%v, and %d loads are under way", err, loading.Load())
		}
		loads := h.loads.Load()
		time.Sleep(time.Hour)
		if n := h.loads.Load() - loads; n != 0 {
			t.Errorf("%d loads after Close", n)
		}
	})
}

func TestCloseWithAContextThatHasEndedWritesTheUsesAllTheSame(t *testing.T) {
	for i := range 100 {
		atAPoll := i%2 == 0
		synctest.Test(t, func(t *testing.T) {
			s := &failing{MemoryStore: apikey.NewMemoryStore()}
			m := with(t, apikey.Config{Store: s, PollInterval: time.Second})
			key, id := create(t, m, apikey.Spec{})
			time.Sleep(1500 * time.Millisecond)
			if err := verify(m, key); err != nil {
				t.Fatal(err)
			}
			if atAPoll {
				time.Sleep(500 * time.Millisecond) // until the poller awakes, at this very moment
			}
			ended, cancel := context.WithCancel(t.Context())
			cancel()
			if err := m.Close(ended); err != nil && (!atAPoll || !errors.Is(err, context.Canceled)) {
				t.Errorf("at a poll %v: %v", atAPoll, err)
			}
			if _, used, err := s.Usage(t.Context()); err != nil || len(used) != 1 || used[0].ID != id {
				t.Errorf("%+v, %v", used, err)
			}
		})
	}
}

func TestCloseThatGivesUpWaitingForALoadEndsTheUsesToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &failing{MemoryStore: apikey.NewMemoryStore()}
		h := &usedHook{hook: &hook{Store: s}, failing: s}
		m := with(t, apikey.Config{Store: h, PollInterval: time.Second})
		key, id := create(t, m, apikey.Spec{})
		if err := verify(m, key); err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		h.bend(func(b apikey.Batch, err error) (apikey.Batch, error) { <-release; return b, err })
		time.Sleep(2 * time.Second)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := m.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		if _, used, err := s.Usage(t.Context()); err != nil || len(used) != 1 || used[0].ID != id {
			t.Errorf("%+v, %v", used, err)
		}
		calls := s.calls.Load()
		if err := verify(m, key); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Minute)
		if n := s.calls.Load() - calls; n != 0 {
			t.Errorf("%d writes after Close", n)
		}
		close(release)
	})
}

// usedHook is a hook that keeps uses.
type usedHook struct {
	*hook
	failing *failing
}

func (h *usedHook) AddUsage(ctx context.Context, used []apikey.Usage) error {
	return h.failing.AddUsage(ctx, used)
}

func (h *usedHook) Usage(ctx context.Context) (time.Time, []apikey.Usage, error) {
	return h.failing.Usage(ctx)
}

func TestNewReturnsAFailedLoadAndLogsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log lines
		h := &hook{Store: apikey.NewMemoryStore()}
		down := errors.New("down")
		h.bend(func(apikey.Batch, error) (apikey.Batch, error) { return apikey.Batch{}, down })
		for _, poll := range []time.Duration{-1, time.Second} {
			m, err := apikey.New(apikey.Config{
				Store: h, Prefix: "acme", Env: "live", PollInterval: poll, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			})
			if m != nil || !errors.Is(err, down) || log.n.Load() != 0 {
				t.Errorf("%v, %v, %d log lines", m, err, log.n.Load())
			}
		}
		loads := h.loads.Load()
		time.Sleep(time.Hour)
		if h.loads.Load() != loads {
			t.Error("a manager that is none loads on")
		}
	})
}

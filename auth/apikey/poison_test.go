package apikey_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth/apikey"
)

func TestCreateRefusesWhatNoStoreCouldReadBack(t *testing.T) {
	m := manager(t)
	for name, spec := range map[string]apikey.Spec{
		"labels that differ by case": {ClientID: "a", Labels: map[string]string{"owner": "a", "Owner": "b"}},
		"a long scope":               {ClientID: "a", Scopes: []string{strings.Repeat("s", 4097)}},
		"a label name of escapes":    {ClientID: "a", Labels: map[string]string{strings.Repeat("<", 64): "x"}},
	} {
		if _, _, err := m.Create(t.Context(), spec); !errors.Is(err, apikey.ErrSpec) {
			t.Errorf("%s: %v, want ErrSpec", name, err)
		}
	}
	if _, _, err := m.Create(t.Context(), apikey.Spec{ClientID: "a", Scopes: []string{strings.Repeat("s", 4096)}}); err != nil {
		t.Errorf("a scope of 4096 bytes: %v", err)
	}
}

// blind is a store that cannot be asked about one key.
type blind struct {
	apikey.Store
	err error
}

func (b *blind) Get(ctx context.Context, id string) (apikey.Record, error) {
	if b.err != nil {
		return apikey.Record{}, b.err
	}
	return b.Store.Get(ctx, id)
}

func TestARevocationOfAKeyNotYetLoadedHoldsThoughTheStoreFails(t *testing.T) {
	shared := apikey.NewMemoryStore()
	b := &blind{Store: shared}
	here := with(t, apikey.Config{Store: b, PollInterval: -1})
	there := with(t, apikey.Config{Store: shared, PollInterval: -1})
	key, id := create(t, there, apikey.Spec{})
	b.err = errors.New("connection refused")
	if err := here.Revoke(t.Context(), id); !errors.Is(err, b.err) {
		t.Errorf("Revoke: %v", err)
	}
	b.err = nil
	if err := here.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := verify(here, key); err == nil {
		t.Error("accepted after Revoke returned")
	}
	other, _ := create(t, there, apikey.Spec{})
	if err := here.Reload(t.Context()); err != nil || verify(here, other) != nil {
		t.Errorf("another key: %v", err)
	}
}

// ambiguous writes what it is told, and then does not know whether it did.
type ambiguous struct {
	apikey.Store
	on bool
}

func (a *ambiguous) Put(ctx context.Context, r apikey.Record) (apikey.Record, error) {
	out, err := a.Store.Put(ctx, r)
	if a.on && r.Successor != "" {
		return apikey.Record{}, errors.New("commit: connection reset")
	}
	return out, err
}

func TestARotationThatWasWrittenAndReportedAsFailedGivesOutTheSuccessor(t *testing.T) {
	for _, overlap := range []time.Duration{0, time.Hour} {
		a := &ambiguous{Store: apikey.NewMemoryStore()}
		m := with(t, apikey.Config{Store: a, PollInterval: -1})
		key, id := create(t, m, apikey.Spec{})
		a.on = true
		secret, heir, err := m.Rotate(t.Context(), id, apikey.Rotation{Overlap: overlap})
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := verify(m, secret.Reveal()); err != nil {
				t.Errorf("overlap %v: the successor: %v", overlap, err)
			}
			if _, err := m.Verify(key, netip.Addr{}, time.Now().Add(overlap+time.Second)); err == nil {
				t.Errorf("overlap %v: the old key works on", overlap)
			}
			if err := m.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if old, err := m.Get(t.Context(), id); err != nil || old.Successor != heir.ID {
			t.Errorf("overlap %v: %+v, %v", overlap, old, err)
		}
	}
}

func TestWhoeverIsToldOfAKeyMayMakeAnother(t *testing.T) {
	var m *apikey.Manager
	m = with(t, apikey.Config{
		Store: apikey.NewMemoryStore(), Policy: apikey.Policy{MaxKeysPerClient: 5},
		Foreign: []apikey.Foreign{{Name: "legacy", Prefix: "sk-old-", MinLen: 12, MaxLen: 60}},
		OnEvent: func(ctx context.Context, e apikey.Event) {
			if e.ClientID != "told" {
				if _, _, err := m.Create(ctx, apikey.Spec{ClientID: "told"}); err != nil {
					t.Error(err)
				}
			}
		},
	})
	done := make(chan struct{})
	go func() {
		defer close(done)
		create(t, m, apikey.Spec{})
		if _, err := m.Import(t.Context(), apikey.Spec{ClientID: "b"}, "legacy", foreignKey("sk-old-")); err != nil {
			t.Error(err)
		}
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatal("Create waits for itself")
	}
}

func TestStoresPrintNoDigest(t *testing.T) {
	mem, file := apikey.NewMemoryStore(), fileStore(t, filepath.Join(t.TempDir(), "keys.json"))
	for _, s := range []apikey.Store{mem, file} {
		m := with(t, apikey.Config{Store: s, PollInterval: -1})
		_, id := create(t, m, apikey.Spec{})
		rec, err := m.Get(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := rec.Hash.MarshalText()
		raw := strings.Trim(fmt.Sprint([32]byte(rec.Hash)), "[]")
		for _, verb := range []string{"%v", "%+v", "%#v", "%x", "%s", "%q", "%d", "%o"} {
			for _, v := range []any{s, m, rec, &rec, rec.Hash, struct{ S apikey.Store }{s}, []apikey.Record{rec}} {
				out := fmt.Sprintf(verb, v)
				if strings.Contains(out, string(text)) || strings.Contains(out, raw) || strings.Contains(out, fmt.Sprintf("%#x", rec.Hash[0])+", ") {
					t.Errorf("%s of %T: %s", verb, v, out)
				}
			}
		}
	}
}

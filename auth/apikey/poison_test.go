package apikey_test

import (
	"context"
	"errors"
	"strings"
	"testing"

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

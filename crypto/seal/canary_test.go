package seal_test

import (
	"errors"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
)

func TestACanaryOpensExactlyWhereItsKeyIs(t *testing.T) {
	old, newer, disabled := seal.GenerateKey(), seal.GenerateKey(), seal.GenerateKey()
	both, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: old}, {Key: newer, State: seal.Primary}, {Key: disabled, State: seal.Disabled}}})
	if err != nil {
		t.Fatal(err)
	}
	one, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: newer, State: seal.Primary, Created: time.Time{}}}})
	if err != nil {
		t.Fatal(err)
	}
	c := seal.Context{Purpose: "canary"}
	for _, k := range []seal.Key{old, newer} {
		box, err := both.Canary([]byte("x"), k.ID(), c)
		if err != nil || box[0] != 'x' || len(box) != 1+seal.Overhead {
			t.Fatalf("%d bytes, %v", len(box), err)
		}
		if id, ok := seal.IDOf(box[1:]); !ok || id != k.ID() {
			t.Errorf("it is under %v, want %v", id, k.ID())
		}
		if msg, err := both.Open(nil, box[1:], c); len(msg) != 0 || err != nil {
			t.Errorf("%q, %v", msg, err)
		}
		if _, err := both.Open(nil, box[1:], seal.Context{Purpose: "other"}); err != seal.ErrInvalid {
			t.Errorf("elsewhere: %v", err)
		}
		if _, err := one.Open(nil, box[1:], c); (err == nil) != k.Equal(newer) {
			t.Errorf("in a ring with one of the keys: %v", err)
		}
	}
	if _, err := both.Canary(nil, disabled.ID(), c); !errors.Is(err, seal.ErrKeyDisabled) {
		t.Errorf("of a disabled key: %v", err)
	}
	if _, err := one.Canary(nil, old.ID(), c); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("of an unknown key: %v", err)
	}
	if _, err := one.Canary(nil, newer.ID(), seal.Context{}); !errors.Is(err, seal.ErrContext) {
		t.Errorf("without a purpose: %v", err)
	}
	var zero *seal.Keyring
	if _, err := zero.Canary(nil, old.ID(), c); !errors.Is(err, seal.ErrUnknownKey) {
		t.Errorf("of no ring: %v", err)
	}
}

package seal_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/internal/prints"
)

func TestAKeyDoesNotShowItself(t *testing.T) {
	key := seal.KeyOf([32]byte([]byte(prints.Secret)))
	ring := ringOf(t, key)
	cfg := seal.Config{Keys: []seal.RingKey{{Key: key, State: seal.Primary}}}
	_, fault := seal.New(seal.Config{Keys: []seal.RingKey{{Key: key}, {Key: key}}})
	prints.None(t, key, &key, cfg, &cfg, cfg.Keys[0], ring, ring.Keys(), fault, ring.Add(key, t0))
	if !strings.Contains(key.Reveal(), "S0tLS0tLS0tL") {
		t.Error("the secret is not in the key")
	}
	if got := key.String() + key.GoString() + key.LogValue().String(); got != strings.Repeat("[redacted seal key]", 3) {
		t.Error(got)
	}
}

// A placeholder in a saved configuration would be noticed when the key is needed.
func TestAKeyIsNotSavedAsAPlaceholder(t *testing.T) {
	key := seal.GenerateKey()
	for name, v := range map[string]any{"a key": key, "a Config": seal.Config{Keys: []seal.RingKey{{Key: key, State: seal.Primary}}}} {
		if b, err := json.Marshal(v); err == nil {
			t.Errorf("%s as JSON: %s", name, b)
		}
	}
	if b, err := key.MarshalText(); err == nil || b != nil {
		t.Errorf("%q %v", b, err)
	}
}

func TestAKeyIsReadInOneSpellingOnly(t *testing.T) {
	text := numbered(1).Reveal()
	key, err := seal.ParseKey(text)
	if err != nil || !key.Equal(numbered(1)) || key.Reveal() != text {
		t.Fatal(err)
	}
	zero := seal.KeyOf([32]byte{})
	for name, s := range map[string]string{
		"empty":                 "",
		"no prefix":             text[16:],
		"another prefix":        strings.Replace(text, "v1", "v2", 1),
		"upper case":            strings.ToUpper(text),
		"upper case id":         text[:16] + strings.ToUpper(text[16:24]) + text[24:],
		"another id":            text[:16] + seal.GenerateKey().ID().String() + text[24:],
		"another secret":        text[:30] + "B" + text[31:],
		"padding":               text + "=",
		"padding for a letter":  text[:len(text)-1] + "=",
		"line break":            text + "\n",
		"line break inside":     text[:40] + "\n" + text[41:],
		"space":                 " " + text,
		"standard alphabet":     text[:30] + "+" + text[31:],
		"unused bits set":       text[:len(text)-1] + "F",
		"another separator":     text[:24] + "-" + text[25:],
		"cut":                   text[:len(text)-1],
		"longer":                text + "A",
		"zero bytes":            zero.Reveal(),
		"zero bytes without id": "mantlet-seal-v1_00000000_" + strings.Repeat("A", 43),
	} {
		k, err := seal.ParseKey(s)
		if err == nil || k.Reveal() != "" {
			t.Errorf("%s: accepted", name)
			continue
		}
		if len(s) > 40 && strings.Contains(err.Error(), s[25:40]) {
			t.Errorf("%s: the error shows the text: %v", name, err)
		}
	}
}

func TestATextOfTheWrongLengthSaysHowLongItIs(t *testing.T) {
	text := numbered(1).Reveal()
	for s, want := range map[string]string{text + "\n": ", not 69 (a line break at the end?)", text + "A": ", not 69", text[1:]: ", not 67"} {
		if _, err := seal.ParseKey(s); err == nil || !strings.HasSuffix(err.Error(), "begins with mantlet-seal-v1_"+want) {
			t.Error(err)
		}
	}
}

func TestKeysAreComparedByTheirSecret(t *testing.T) {
	a, b := seal.GenerateKey(), seal.GenerateKey()
	again, err := seal.ParseKey(a.Reveal())
	if err != nil || !a.Equal(again) || a.Equal(b) || a.Equal(seal.Key{}) || (seal.Key{}).Equal(a) || (seal.Key{}).Equal(seal.Key{}) {
		t.Error("Equal is wrong")
	}
	if a.ID() != again.ID() || a.ID() == b.ID() || (seal.Key{}).ID() != (seal.ID{}) || (seal.Key{}).Reveal() != "" {
		t.Error("ID is wrong")
	}
}

func TestAnIDIsReadInOneSpellingOnly(t *testing.T) {
	id := seal.ID{0x01, 0xab, 0xcd, 0xef}
	if got, err := seal.ParseID("01abcdef"); err != nil || got != id || id.String() != "01abcdef" {
		t.Error(got, err)
	}
	for _, s := range []string{"", "01ABCDEF", "1abcdef", "01abcdef0", "0x1abcde", " 1abcdef", "01abcdeg"} {
		if got, err := seal.ParseID(s); err == nil || got != (seal.ID{}) {
			t.Errorf("%q: accepted", s)
		}
	}
	var info seal.KeyInfo
	if err := json.Unmarshal([]byte(`{"ID":"01abcdef"}`), &info); err != nil || info.ID != id {
		t.Error(info, err)
	}
	if b, err := json.Marshal(info.ID); err != nil || string(b) != `"01abcdef"` {
		t.Error(string(b), err)
	}
}

// The property: a key that is accepted is written back exactly as it came.
func FuzzParseKey(f *testing.F) {
	text := numbered(1).Reveal()
	f.Add(text)
	f.Add(text[:len(text)-1] + "\n")
	f.Fuzz(func(t *testing.T, s string) {
		if k, err := seal.ParseKey(s); err == nil && k.Reveal() != s {
			t.Fatalf("%q became another key", s)
		}
		if id, err := seal.ParseID(s); err == nil && id.String() != s {
			t.Fatalf("%q became another id", s)
		}
	})
}

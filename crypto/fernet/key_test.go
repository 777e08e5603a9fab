package fernet_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/fernet"
)

func TestAKeyDoesNotShowItself(t *testing.T) {
	text := specKey
	key := mustKey(t, text)
	raw, _ := base64.URLEncoding.DecodeString(text)
	ring := mustRing(t, fernet.Config{Keys: []fernet.Key{key}, TTL: time.Hour})
	type holder struct {
		Public fernet.Key
		hidden fernet.Key // package fmt reads this one without calling its methods
	}
	h := holder{key, key}
	values := []any{key, &key, h, &h, []fernet.Key{key}, map[string]fernet.Key{"k": key}, fernet.Config{Keys: []fernet.Key{key}}, ring, *ring}
	var out strings.Builder
	for _, v := range values {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%08b", "%t", "%T"} {
			fmt.Fprintf(&out, verb+"\n", v)
		}
		if b, err := json.Marshal(v); err == nil {
			out.Write(b)
		}
		if b, err := xml.Marshal(v); err == nil {
			out.Write(b)
		}
		for _, l := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
			slog.New(l).Info("message", "value", v)
		}
		fmt.Fprintln(&out, v, fmt.Errorf("wrapped: %v", v))
	}
	all := out.String()
	for _, form := range []string{
		text, strings.TrimRight(text, "="), string(raw), fmt.Sprintf("%x", raw[:4]), fmt.Sprintf("%X", raw[:4]),
		fmt.Sprintf("%d %d %d", raw[0], raw[1], raw[2]), fmt.Sprintf("%d,%d,%d", raw[0], raw[1], raw[2]),
		fmt.Sprintf("%#x, %#x", raw[0], raw[1]), fmt.Sprintf("%08b %08b", raw[0], raw[1]),
		base64.StdEncoding.EncodeToString(raw)[:8],
	} {
		if strings.Contains(all, form) {
			t.Errorf("a key is shown as %q", form)
		}
	}
	if !strings.Contains(all, `"[redacted fernet key]"`) || !strings.Contains(all, "value=\"[redacted fernet key]\"") {
		t.Error("nothing says that a key was left out")
	}
}

// A placeholder in a saved configuration would be noticed when the key is needed.
func TestAKeyIsNotSavedAsAPlaceholder(t *testing.T) {
	key := fernet.GenerateKey()
	for name, v := range map[string]any{"a key": key, "a Config": fernet.Config{Keys: []fernet.Key{key}}} {
		if b, err := json.Marshal(v); err == nil {
			t.Errorf("%s as JSON: %s", name, b)
		}
	}
	if b, err := key.MarshalText(); err == nil || b != nil {
		t.Errorf("%q %v", b, err)
	}
}

func TestAKeyIsReadInOneSpellingOnly(t *testing.T) {
	for name, s := range map[string]string{
		"empty":                 "",
		"no padding":            strings.TrimRight(specKey, "="),
		"line break":            specKey + "\n",
		"line breaks inside":    specKey[:40] + "\n\n\n\n",
		"line break as padding": specKey[:43] + "\n",
		"space":                 " " + specKey[:43],
		"standard alphabet":     strings.NewReplacer("-", "+", "_", "/").Replace(specKey),
		"unused bits set":       strings.Replace(specKey, "4e4=", "4e5=", 1),
		"33 bytes":              specKey[:43] + "A",
		"31 bytes":              specKey[:42] + "==",
		"hexadecimal":           strings.Repeat("ab", 32),
		"zero bytes":            strings.Repeat("A", 43) + "=",
		"a raw key":             strings.Repeat("k", 32),
	} {
		k, err := fernet.ParseKey(s)
		if err == nil {
			t.Errorf("%s: accepted", name)
			continue
		}
		if k.Reveal() != "" {
			t.Errorf("%s: a key beside an error", name)
		}
		if len(s) > 8 && strings.Contains(err.Error(), s[:8]) {
			t.Errorf("%s: the error shows the text: %v", name, err)
		}
	}
	if k := mustKey(t, specKey); k.Reveal() != specKey {
		t.Errorf("got %q", k.Reveal())
	}
}

func TestKeysAreComparedByTheirSecret(t *testing.T) {
	a, b := fernet.GenerateKey(), fernet.GenerateKey()
	if !a.Equal(mustKey(t, a.Reveal())) || a.Equal(b) || a.Equal(fernet.Key{}) || (fernet.Key{}).Equal(fernet.Key{}) {
		t.Error("Equal is wrong")
	}
	if bytes.Equal([]byte(a.Reveal()), []byte(b.Reveal())) {
		t.Error("two generated keys are the same")
	}
}

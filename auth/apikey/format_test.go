package apikey_test

import (
	"bytes"
	"encoding/gob"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"math"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/auth/apikey"
)

var shape = apikey.NewShape("acme", "live")

func TestTheChecksumIsCRC32C(t *testing.T) {
	// "123456789" is the check value of the CRC catalogue for CRC-32/ISCSI.
	if got := apikey.Sum("123456789"); got != 0xe3069283 {
		t.Errorf("check value %08x", got)
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	s := strings.Repeat("the quick brown fox \x00\xff", 10)
	for n := range len(s) {
		if got, want := apikey.Sum(s[:n]), crc32.Checksum([]byte(s[:n]), table); got != want {
			t.Fatalf("%d bytes: %08x, want %08x", n, got, want)
		}
	}
}

func TestTheSecretHasAtLeast178Bits(t *testing.T) {
	if bits := apikey.SecretLen * math.Log2(float64(len(apikey.Alphabet))); bits < 178 {
		t.Errorf("%.1f bits", bits)
	}
}

func TestCharactersAreDrawnEvenly(t *testing.T) {
	const n = 62 * 4000
	var count [256]int
	for _, c := range []byte(apikey.Random(n)) {
		count[c]++
	}
	// Modulo bias of one byte would give the first 8 characters 5 of 256 instead of 4: 25 % more. Chi-squared with 61 degrees
	// of freedom exceeds 130 once in a million runs.
	chi := 0.0
	for _, c := range []byte(apikey.Alphabet) {
		d := float64(count[c]) - n/62
		chi += d * d / (n / 62)
	}
	if chi > 130 {
		t.Errorf("chi-squared %.1f", chi)
	}
}

func TestOneChangedCharacterAnywhereIsNotAKey(t *testing.T) {
	key := shape.Format(apikey.Random(apikey.IDLen), apikey.Random(apikey.SecretLen))
	if _, _, _, ok := shape.Parse(key); !ok {
		t.Fatalf("%s does not parse", key)
	}
	for i := range len(key) {
		for c := range 256 {
			if byte(c) == key[i] {
				continue
			}
			changed := key[:i] + string([]byte{byte(c)}) + key[i+1:]
			if _, _, _, ok := shape.Parse(changed); ok {
				t.Fatalf("%q parses", changed)
			}
		}
	}
}

func TestWhatIsNotAKey(t *testing.T) {
	key := shape.Format(apikey.Random(apikey.IDLen), apikey.Random(apikey.SecretLen))
	for name, s := range map[string]string{
		"nothing": "", "the prefix": "acme_", "the head": "acme_live_", "cut at the end": key[:len(key)-1], "cut at the front": key[1:],
		"doubled": key + key, "a space before": " " + key, "a space behind": key + " ", "a line break": key + "\n", "a NUL": key + "\x00",
		"upper case": strings.ToUpper(key), "a mebibyte": strings.Repeat("a", 1<<20), "a long key": key + strings.Repeat("a", 1<<20),
		"another prefix": strings.Replace(key, "acme", "acmf", 1), "another env": strings.Replace(key, "live", "test", 1),
		"a look-alike": strings.Replace(key, "a", "\u0430", 1), "a full-width digit": key[:20] + "\uff11" + key[23:],
		"no separator": strings.Replace(key, "live_", "live-", 1), "a digest": strings.Repeat("0123456789abcdef", 4),
	} {
		if _, _, _, ok := shape.Parse(s); ok {
			t.Errorf("%s parses", name)
		}
		if _, err := apikey.Inspect(s); name != "another prefix" && !errors.Is(err, apikey.ErrNotKey) {
			t.Errorf("%s: Inspect says %v", name, err)
		}
	}
}

func TestInspectNamesAKeyOfAnyDeployment(t *testing.T) {
	for _, c := range [][2]string{{"acme", "live"}, {"mk", "t"}, {"abcdefghij", "12345678"}} {
		id := apikey.Random(apikey.IDLen)
		info, err := apikey.Inspect(apikey.NewShape(c[0], c[1]).Format(id, apikey.Random(apikey.SecretLen)))
		if err != nil || info != (apikey.Info{Prefix: c[0], Env: c[1], ID: id}) {
			t.Errorf("%+v, %v", info, err)
		}
	}
}

func TestTheDigestBindsPrefixAndEnv(t *testing.T) {
	id, secret := apikey.Random(apikey.IDLen), apikey.Random(apikey.SecretLen)
	test := apikey.NewShape("acme", "test")
	if shape.Digest(shape.Format(id, secret)) == test.Digest(test.Format(id, secret)) {
		t.Error("the same id and secret have one digest in two envs")
	}
}

func TestASecretShowsItselfOnlyThroughReveal(t *testing.T) {
	m := manager(t)
	secret, rec, err := m.Create(t.Context(), apikey.Spec{ClientID: "alice", Labels: map[string]string{"owner": "bob"}})
	if err != nil {
		t.Fatal(err)
	}
	key := secret.Reveal()
	if info, err := apikey.Inspect(key); err != nil || info.ID != rec.ID {
		t.Fatalf("%+v, %v", info, err)
	}
	var out bytes.Buffer
	type nested struct {
		S apikey.Secret
		P *apikey.Secret
		R apikey.Record
	}
	n := nested{secret, &secret, rec}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p", "%10s", "%!"} {
		fmt.Fprintf(&out, verb+"\n", secret)
		fmt.Fprintf(&out, verb+"\n", &secret)
		fmt.Fprintf(&out, verb+"\n", n)
	}
	fmt.Fprintln(&out, secret, n, []apikey.Secret{secret}, map[string]apikey.Secret{"k": secret}, secret.String())
	for _, h := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(h).Info("made", "secret", secret, "nested", n, "record", rec)
	}
	for name, f := range map[string]func() error{
		"json":   func() error { return json.NewEncoder(&out).Encode(secret) },
		"nested": func() error { return json.NewEncoder(&out).Encode(n) },
		"xml":    func() error { return xml.NewEncoder(&out).Encode(secret) },
		"gob":    func() error { return gob.NewEncoder(&out).Encode(secret) },
		"text":   func() error { _, err := secret.MarshalText(); return err },
		"binary": func() error { _, err := secret.MarshalBinary(); return err },
	} {
		if err := f(); err == nil {
			t.Errorf("%s encodes a secret", name)
		} else {
			fmt.Fprintln(&out, err)
		}
	}
	func() {
		defer func() { fmt.Fprintln(&out, recover()) }()
		panic(secret)
	}()
	if s := out.String(); strings.Contains(s, key) || strings.Contains(s, key[len(key)-36:len(key)-6]) {
		t.Error("the secret was printed")
	}
	if digest, _ := rec.Hash.MarshalText(); strings.Contains(out.String(), string(digest)) && !strings.Contains(out.String(), `"hash"`) {
		t.Error("the digest was printed")
	}
	if (apikey.Secret{}).Reveal() != "" {
		t.Error("the zero Secret reveals something")
	}
}

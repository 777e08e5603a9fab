package seal_test

import (
	"fmt"
	"log"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/internal/prints"
)

func ExampleParseKeyring() {
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: seal.GenerateKey(), State: seal.Primary, Created: time.Now()}}})
	if err != nil {
		log.Fatal(err)
	}
	saved := ring.Reveal() // to your secret store
	again, err := seal.ParseKeyring(saved)
	fmt.Println(again.Primary() == ring.Primary(), err)
	// Output: true <nil>
}

// fullRing has a key in every state.
func fullRing(t testing.TB) *seal.Keyring {
	t.Helper()
	ring, err := seal.New(seal.Config{Keys: []seal.RingKey{
		{Key: numbered(1)},
		{Key: numbered(2), State: seal.Disabled, Created: t0},
		{ID: numbered(3).ID(), State: seal.Destroyed, Created: t0.Add(time.Hour)},
		{Key: numbered(4), State: seal.Primary, Created: t0.Add(2 * time.Hour)},
		{Key: numbered(5), Created: t0.Add(time.Nanosecond).In(time.FixedZone("", 3600))},
	}})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func TestARingIsSavedAndMadeAgain(t *testing.T) {
	ring := fullRing(t)
	same, err := seal.New(ring.Config())
	if err != nil || !reflect.DeepEqual(same.Keys(), ring.Keys()) {
		t.Error(err)
	}
	text := ring.Reveal()
	again, err := seal.ParseKeyring(text)
	if err != nil || again.Reveal() != text {
		t.Fatal(err)
	}
	for i, info := range again.Keys() {
		want := ring.Keys()[i]
		if info.ID != want.ID || info.State != want.State || !info.Created.Equal(want.Created.Truncate(time.Second)) {
			t.Errorf("%v became %v", want, info)
		}
	}
	want := fmt.Sprintf("primary 2026-11-25T14:00:00Z %s\n", numbered(4).Reveal())
	if !strings.HasPrefix(text, want) || strings.Count(text, "\n") != 5 ||
		!strings.Contains(text, fmt.Sprintf("\ndecrypt-only - %s\n", numbered(1).Reveal())) ||
		!strings.Contains(text, fmt.Sprintf("\ndestroyed 2026-11-25T13:00:00Z %v\n", numbered(3).ID())) ||
		!strings.Contains(text, fmt.Sprintf("\ndecrypt-only 2026-11-25T12:00:00Z %s\n", numbered(5).Reveal())) {
		t.Errorf("%s", text)
	}
	box := mustSeal(t, ringOf(t, numbered(1)), []byte("hello"), here)
	if msg, err := again.Open(nil, box, here); err != nil || string(msg) != "hello" {
		t.Error(err)
	}
	// What comes from a file that people look after.
	lines := strings.Split(strings.TrimSpace(text), "\n")
	lines[0], lines[4] = lines[4], lines[0]
	if r, err := seal.ParseKeyring("# the ring of acme\n\n" + strings.Join(lines, "\n")); err != nil || r.Reveal() != text {
		t.Error(err)
	}
	for _, none := range []*seal.Keyring{nil, new(seal.Keyring)} {
		if none.Reveal() != "" || len(none.Config().Keys) != 0 {
			t.Error("a ring of nothing has keys")
		}
	}
}

func TestATimeThatHasNoTextIsUnknown(t *testing.T) {
	for _, created := range []time.Time{{}, time.Date(10_000, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(0, 1, 1, 0, 0, 0, 0, time.UTC)} {
		ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: numbered(1), State: seal.Primary, Created: created}}})
		if err != nil {
			t.Fatal(err)
		}
		if again, err := seal.ParseKeyring(ring.Reveal()); err != nil || !again.Keys()[0].Created.IsZero() {
			t.Error(created, err)
		}
	}
}

func TestARingIsReadStrictlyAndEveryFaultIsNamed(t *testing.T) {
	key := numbered(1).Reveal()
	for name, c := range map[string]struct{ text, want string }{
		"empty":             {"", "no Primary"},
		"no primary":        {"decrypt-only - " + key, "no Primary"},
		"twice":             {"primary - " + key + "\ndecrypt-only - " + key, "same ID"},
		"unknown state":     {"Primary - " + key, "line 1"},
		"no time":           {"primary " + key, "line 1"},
		"two spaces":        {"primary -  " + key, "line 1"},
		"a space in front":  {" primary - " + key, "line 1"},
		"a space behind":    {"primary - " + key + " ", "line 1"},
		"carriage return":   {"primary - " + key + "\r\n", "line 1"},
		"a tab":             {"primary\t-\t" + key, "line 1"},
		"a time zone":       {"primary 2026-11-25T12:00:00+01:00 " + key, "line 1"},
		"a fraction":        {"primary 2026-11-25T12:00:00.5Z " + key, "line 1"},
		"no such day":       {"primary 2026-02-30T12:00:00Z " + key, "line 1"},
		"the zero time":     {"primary 0001-01-01T00:00:00Z " + key, "line 1"},
		"a mistyped key":    {"primary - " + key[:60] + "B" + key[61:], "line 1"},
		"an id for a key":   {"primary - " + numbered(1).ID().String(), "line 1"},
		"a key for an id":   {"primary - " + key + "\ndestroyed - " + numbered(2).Reveal(), "line 2"},
		"two faults, first": {"#\nx\nprimary - " + key + "\ny", "line 2"},
		"two faults, last":  {"#\nx\nprimary - " + key + "\ny", "line 4"},
	} {
		ring, err := seal.ParseKeyring(c.text)
		if err == nil || ring != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if strings.Contains(err.Error(), key[30:40]) {
			t.Errorf("%s: the error shows the text: %v", name, err)
		}
	}
}

func TestWindowsLineEndsAreNamedOnce(t *testing.T) {
	_, err := seal.ParseKeyring(strings.ReplaceAll("# a ring\n"+fullRing(t).Reveal(), "\n", "\r\n"))
	if err == nil || strings.Count(err.Error(), "Windows") != 1 || !strings.Contains(err.Error(), "line 2 of the keyring: the file has Windows line ends") {
		t.Error(err)
	}
}

func TestAConfigDoesNotShowItsKeys(t *testing.T) {
	ring := ringOf(t, seal.KeyOf([32]byte([]byte(prints.Secret))))
	_, err := seal.ParseKeyring(strings.Replace(ring.Reveal(), "primary", "prim", 1))
	prints.None(t, ring.Config(), err)
}

// The property: a ring that is accepted is written in a form that gives the same ring, and the same form again.
func FuzzParseKeyring(f *testing.F) {
	f.Add(fullRing(f).Reveal())
	f.Add("# comment\n\nprimary - " + numbered(1).Reveal())
	f.Fuzz(func(t *testing.T, text string) {
		ring, err := seal.ParseKeyring(text)
		if err != nil {
			return
		}
		again, err := seal.ParseKeyring(ring.Reveal())
		if err != nil || again.Reveal() != ring.Reveal() || !reflect.DeepEqual(again.Keys(), ring.Keys()) {
			t.Fatalf("%q: %v", text, err)
		}
		for line := range strings.Lines(ring.Reveal()) {
			if !strings.Contains(text+"\n", line) {
				t.Fatal("a line that was read is written in another way")
			}
		}
	})
}

func TestARingIsReadBackWhateverItsKeysTimes(t *testing.T) {
	for _, d := range []time.Duration{0, time.Millisecond, time.Second - 1, time.Second, -1, -time.Second} {
		ring, err := seal.New(seal.Config{Keys: []seal.RingKey{{Key: numbered(1), State: seal.Primary, Created: time.Time{}.Add(d)}}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := seal.ParseKeyring(ring.Reveal()); err != nil {
			t.Errorf("%v after the zero time: %v", d, err)
		}
	}
}

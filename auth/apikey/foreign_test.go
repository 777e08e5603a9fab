package apikey_test

import (
	"context"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/authtest"
)

var legacy = []apikey.Foreign{
	{Name: "legacy", Prefix: "sk-old-", MinLen: 12, MaxLen: 80},
	{Name: "billing-512", Prefix: "bk_", MinLen: 20, MaxLen: 64, Hash: apikey.SHA512},
}

func foreignKey(prefix string) string { return prefix + apikey.Random(32) }

func TestAnImportedKeyWorksAndLivesLikeAnyOther(t *testing.T) {
	for name, s := range stores(t) {
		var heard events
		m := with(t, apikey.Config{Store: s, PollInterval: -1, Foreign: legacy, OnEvent: heard.hear})
		ours, _ := create(t, m, apikey.Spec{})
		byKey, byHash, by512 := foreignKey("sk-old-"), foreignKey("sk-old-"), foreignKey("bk_")
		spec := apikey.Spec{ClientID: "search", Scopes: []string{"chat:write"}, Addresses: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}
		rec, err := m.Import(t.Context(), spec, "legacy", byKey)
		if err != nil {
			t.Fatal(err)
		}
		h256, h512 := sha256.Sum256([]byte(byHash)), sha512.Sum512([]byte(by512))
		if _, err := m.ImportHash(t.Context(), spec, "legacy", h256[:]); err != nil {
			t.Fatal(err)
		}
		if _, err := m.ImportHash(t.Context(), spec, "billing-512", h512[:]); err != nil {
			t.Fatal(err)
		}
		other := with(t, apikey.Config{Store: s, PollInterval: -1, Foreign: legacy}) // also after a restart
		for _, m := range []*apikey.Manager{m, other} {
			for _, k := range []string{byKey, byHash, by512, ours} {
				p, err := m.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer(k), authtest.From("192.0.2.7:1")))
				if err != nil || k != ours && (p.ClientID != "search" || !p.HasScope("chat:write")) {
					t.Fatalf("%s: %+v, %v", name, p, err)
				}
			}
		}
		if _, err := m.Verify(byKey, netip.MustParseAddr("198.51.100.1"), time.Now()); !errors.Is(err, auth.ErrAddressNotAllowed) {
			t.Errorf("%s: %v", name, err)
		}
		for what, err := range map[string]error{
			"the same key again": func() error { _, err := m.Import(t.Context(), spec, "legacy", byKey); return err }(),
			"its hash": func() error {
				h := sha256.Sum256([]byte(byKey))
				_, err := m.ImportHash(t.Context(), spec, "legacy", h[:])
				return err
			}(),
			"in another process":  func() error { _, err := other.Import(t.Context(), spec, "legacy", byKey); return err }(),
			"the hash once again": func() error { _, err := other.ImportHash(t.Context(), spec, "billing-512", h512[:]); return err }(),
		} {
			if !errors.Is(err, apikey.ErrConflict) {
				t.Errorf("%s: %s: %v", name, what, err)
			}
		}
		if err := m.Disable(t.Context(), rec.ID, ""); err != nil || !errors.Is(verify(m, byKey), auth.ErrRevoked) {
			t.Errorf("%s: disabled: %v", name, err)
		}
		if err := m.Enable(t.Context(), rec.ID); err != nil || verify(m, byKey) != nil {
			t.Errorf("%s: enabled: %v", name, err)
		}
		secret, heir, err := m.Rotate(t.Context(), rec.ID, apikey.Rotation{})
		if err != nil || heir.Foreign != "" || !strings.HasPrefix(secret.Reveal(), "acme_live_") || verify(m, secret.Reveal()) != nil {
			t.Errorf("%s: rotated: %+v, %v", name, heir, err)
		}
		if err := verify(m, byKey); !errors.Is(err, auth.ErrRevoked) {
			t.Errorf("%s: the predecessor: %v", name, err)
		}
		if heard.all[1].Kind != apikey.EventImported {
			t.Errorf("%+v", heard.all[1])
		}
	}
}

func TestAKeyIsImportedOnceByWhomeverAndNotAgainAfterItWasRevoked(t *testing.T) {
	for name, s := range stores(t) {
		key := foreignKey("sk-old-")
		var managers []*apikey.Manager
		for range 4 {
			managers = append(managers, with(t, apikey.Config{Store: s, PollInterval: -1, Foreign: legacy}))
		}
		var wg sync.WaitGroup
		var won atomic.Int32
		for _, m := range managers {
			wg.Go(func() {
				_, err := m.Import(context.Background(), apikey.Spec{ClientID: "a"}, "legacy", key)
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, apikey.ErrConflict) {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		list, err := managers[0].List(t.Context())
		if err != nil || len(list) != 1 || won.Load() != 1 {
			t.Fatalf("%s: %d records, %d won, %v", name, len(list), won.Load(), err)
		}
		if err := managers[1].Revoke(t.Context(), list[0].ID); err != nil {
			t.Fatal(err)
		}
		for _, m := range managers {
			if _, err := m.Import(t.Context(), apikey.Spec{ClientID: "a"}, "legacy", key); !errors.Is(err, apikey.ErrConflict) {
				t.Errorf("%s: imported again: %v", name, err)
			}
			if err := m.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := verify(m, key); !errors.Is(err, auth.ErrRevoked) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestWhatIsNotAForeignKey(t *testing.T) {
	m := with(t, apikey.Config{Store: apikey.NewMemoryStore(), Foreign: legacy})
	key := foreignKey("sk-old-")
	if _, err := m.Import(t.Context(), apikey.Spec{ClientID: "a"}, "legacy", key); err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256([]byte(key))
	for name, c := range map[string]struct {
		key  string
		want error
	}{
		"another prefix":            {"sk-new-" + key[7:], auth.ErrNoCredential},
		"a token":                   {"a.b.c", auth.ErrNoCredential},
		"the stored hash":           {hex.EncodeToString(sum[:]), auth.ErrNoCredential},
		"the hash under the prefix": {"sk-old-" + hex.EncodeToString(sum[:]), auth.ErrInvalid},
		"too short":                 {"sk-old-abc", auth.ErrInvalid},
		"too long":                  {"sk-old-" + strings.Repeat("aB3", 1<<18), auth.ErrInvalid},
		"a space":                   {key[:20] + " " + key[21:], auth.ErrInvalid},
		"not ASCII":                 {key[:20] + "\xe9" + key[21:], auth.ErrInvalid},
		"another key":               {foreignKey("sk-old-"), auth.ErrInvalid},
		"another format":            {"bk_" + key[7:], auth.ErrInvalid},
	} {
		if err := verify(m, c.key); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	strict := with(t, apikey.Config{Store: apikey.NewMemoryStore()})
	if err := verify(strict, key); !errors.Is(err, auth.ErrNoCredential) {
		t.Errorf("a manager without foreign formats: %v", err)
	}
}

// steps returns 40 characters of base 62, each so many places after the one before.
func steps(by int) string {
	s := make([]byte, 40)
	for i := range s {
		s[i] = apikey.Alphabet[i*by%len(apikey.Alphabet)]
	}
	return string(s)
}

func TestAKeySomebodyCouldGuessIsNotImportedNorAcceptedByItsHash(t *testing.T) {
	m := with(t, apikey.Config{Store: apikey.NewMemoryStore(), Foreign: legacy})
	for _, weak := range []string{
		"password1234567890", "changemechangemechangeme", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "abcdefghijklmnopqrstuvwxyz0123456789",
		"12345678901234567890123456789012", "qwertyqwertyqwertyqwerty1", "00000000-0000-0000-0000-000000000001", "testtesttesttesttesttesttest", apikey.Random(16),
		"deadbeefdeadbeefdeadbeefdeadbeef", "2026-11-25-2026-11-25-2026-11-25", strings.Repeat("ab", 30), "zyxwvutsrqponmlkjihgfedcba9876543210",
		"qwertyuiopasdfghjklzxcvbnm", "1qaz2wsx3edc4rfv5tgb6yhn", "1q2w3e4r5t6y7u8i9o0p", "!qaz!wsx" + "zaq12wsxcde34rfvbgt56yhn", "QWERTYUIOPASDFGHJKLZXCVBNM1234567890",
		"acegikmoqsuwybdfhjlnprtvxz", "ACEGIKMOQSUWYacegikmoqsuwy13579", steps(2), steps(17), "13579bdf02468ace13579bdf", "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
		"00112233445566778899aabbccddeeff", "AaBbCcDdEeFfGgHhIiJjKkLl", "ffeeddccbbaa99887766554433221100",
		"d41d8cd98f00b204e9800998ecf8427e", "5F4DCC3B5AA765D61D8327DEB882CF99", "5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8",
	} {
		key := "sk-old-" + weak
		if _, err := m.Import(t.Context(), apikey.Spec{ClientID: "a"}, "legacy", key); !errors.Is(err, apikey.ErrWeak) {
			t.Errorf("%q (%.0f bits by estimate): %v", weak, apikey.EstimateBits(weak), err)
		}
		sum := sha256.Sum256([]byte(key))
		if _, err := m.ImportHash(t.Context(), apikey.Spec{ClientID: "a"}, "legacy", sum[:]); err != nil {
			t.Fatal(err)
		}
		for range 2 { // judged, and remembered
			if err := verify(m, key); !errors.Is(err, auth.ErrRevoked) || !errors.Is(err, apikey.ErrWeak) || auth.CodeOf(err) != auth.CodeInvalidAPIKey {
				t.Errorf("%q by its hash: %v", weak, err)
			}
		}
	}
	for name, err := range map[string]error{
		"no such format": func() error {
			_, err := m.Import(t.Context(), apikey.Spec{ClientID: "a"}, "other", foreignKey("sk-old-"))
			return err
		}(),
		"a bcrypt hash": func() error {
			_, err := m.ImportHash(t.Context(), apikey.Spec{ClientID: "a"}, "legacy", []byte("$2a$10$"+"N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy"))
			return err
		}(),
		"no hash": func() error {
			_, err := m.ImportHash(t.Context(), apikey.Spec{ClientID: "a"}, "legacy", nil)
			return err
		}(),
		"zeros": func() error {
			_, err := m.ImportHash(t.Context(), apikey.Spec{ClientID: "a"}, "legacy", make([]byte, 32))
			return err
		}(),
		"no client": func() error {
			_, err := m.Import(t.Context(), apikey.Spec{}, "legacy", foreignKey("sk-old-"))
			return err
		}(),
		"a bad shape": func() error {
			_, err := m.Import(t.Context(), apikey.Spec{ClientID: "a"}, "legacy", foreignKey("bk_"))
			return err
		}(),
	} {
		if err == nil {
			t.Errorf("%s: imported", name)
		}
	}
}

func TestAWeakKeyIsNoWrongSecretAndShutsNobodyOut(t *testing.T) {
	m := with(t, apikey.Config{Store: apikey.NewMemoryStore(), Foreign: legacy})
	key := "sk-old-" + strings.Repeat("a", 24)
	sum := sha256.Sum256([]byte(key))
	if _, err := m.ImportHash(t.Context(), apikey.Spec{ClientID: "a"}, "legacy", sum[:]); err != nil {
		t.Fatal(err)
	}
	g, err := auth.New(auth.Config{Authenticator: m, OnAlarm: func(_ context.Context, a auth.Alarm) { t.Errorf("%+v", a) }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		if _, err := g.Authenticate(authtest.Request("GET", "/", "", authtest.Bearer(key), authtest.From("198.51.100.7:1"))); !errors.Is(err, apikey.ErrWeak) {
			t.Fatalf("try %d: %v", i+1, err)
		}
	}
}

func TestAKeyThatWasJudgedOnceIsCheckedWithoutAllocations(t *testing.T) {
	store := apikey.NewMemoryStore()
	m := with(t, apikey.Config{Store: store, PollInterval: -1, Foreign: legacy})
	ours, _ := create(t, m, apikey.Spec{})
	old, old512 := foreignKey("sk-old-"), foreignKey("bk_")
	var ids []string
	for format, key := range map[string]string{"legacy": old, "billing-512": old512} {
		r, err := m.Import(t.Context(), apikey.Spec{ClientID: "a"}, format, key)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, r.ID)
	}
	now := time.Now()
	for name, key := range map[string]string{"our own": ours, "imported": old, "imported, SHA-512": old512} {
		check := func() {
			if _, err := m.Verify(key, netip.Addr{}, now); err != nil {
				t.Fatal(err)
			}
		}
		if n := testing.AllocsPerRun(100, check); n != 0 { // which runs it once before it counts
			t.Errorf("%s: %v allocations", name, n)
		}
	}
	// A load makes every entry anew, and knows what is known.
	create(t, with(t, apikey.Config{Store: store}), apikey.Spec{})
	if err := m.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range ids {
		if !m.Judged(id) {
			t.Errorf("%s is to be judged again after a load", id)
		}
	}
}

// Random keys of the usual forms, all of at least 122 bits. That 20,000 of each pass bounds the share refused to about 1 in 5,000 at
// worst, with 98 % confidence.
func TestRandomKeysAreNotCalledWeak(t *testing.T) {
	bytes := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(rand.Uint32())
		}
		return b
	}
	for name, make := range map[string]func() string{
		"128 bits in hexadecimal": func() string { return hex.EncodeToString(bytes(16)) },
		"a UUID of version 4": func() string {
			h := hex.EncodeToString(bytes(16))
			return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-a" + h[17:20] + "-" + h[20:]
		},
		"22 of base 62":           func() string { return apikey.Random(22) },
		"128 bits in base 64 URL": func() string { return base64.RawURLEncoding.EncodeToString(bytes(16)) },
		"48 of base 62":           func() string { return apikey.Random(48) },
		"256 bits in hexadecimal": func() string { return hex.EncodeToString(bytes(32)) },
		"40 digits":               func() string { return strings.Map(func(r rune) rune { return '0' + r%10 }, apikey.Random(60)) },
	} {
		low := 1e9
		for range 20_000 {
			low = min(low, apikey.EstimateBits(make()))
		}
		if low < 90 {
			t.Errorf("%s: one of 20,000 was estimated at %.0f bits", name, low)
		}
		t.Logf("%s: at least %.0f bits", name, low)
	}
}

func TestForeignFormatsThatWouldMeetAreRefused(t *testing.T) {
	for name, f := range map[string][]apikey.Foreign{
		"Name":              {{Name: "A", Prefix: "sk-", MinLen: 8, MaxLen: 9}},
		"occurs twice":      {{Name: "a", Prefix: "sk-", MinLen: 8, MaxLen: 9}, {Name: "a", Prefix: "tk-", MinLen: 8, MaxLen: 9}},
		"Prefix":            {{Name: "a", Prefix: "s", MinLen: 8, MaxLen: 9}},
		"visible ASCII":     {{Name: "a", Prefix: "s k", MinLen: 8, MaxLen: 9}},
		`prefix "acme_"`:    {{Name: "a", Prefix: "acme_live_", MinLen: 8, MaxLen: 99}},
		`meets the prefix`:  {{Name: "a", Prefix: "sk-", MinLen: 8, MaxLen: 9}, {Name: "b", Prefix: "sk-b", MinLen: 8, MaxLen: 9}},
		"MinLen 2":          {{Name: "a", Prefix: "sk-", MinLen: 2, MaxLen: 9}},
		"MaxLen 1000":       {{Name: "a", Prefix: "sk-", MinLen: 8, MaxLen: 1000}},
		`Hash "md5"`:        {{Name: "a", Prefix: "sk-", MinLen: 8, MaxLen: 9, Hash: "md5"}},
		"Config.Foreign[1]": {{Name: "a", Prefix: "sk-", MinLen: 8, MaxLen: 9}, {}},
	} {
		_, err := apikey.New(apikey.Config{Store: apikey.NewMemoryStore(), Prefix: "acme", Env: "live", Foreign: f})
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// FuzzEstimateBits: no input panics, the estimate is never negative nor more than 8 bits a character, and a string twice in a row is worth
// hardly more than once: at the seams, of the string and of its two halves, nine characters may not be foretold.
func FuzzEstimateBits(f *testing.F) {
	f.Add("")
	f.Add("password")
	f.Add("0123456789abcdef0123456789abcdef")
	f.Add("\xff\x00 _-")
	f.Fuzz(func(t *testing.T, s string) {
		bits := apikey.EstimateBits(s)
		if bits < 0 || bits > 8*float64(len(s)) {
			t.Errorf("%q: %v bits", s, bits)
		}
		if twice := apikey.EstimateBits(s + s); len(s) < 128 && twice > bits+9*7 {
			t.Errorf("%q: %v bits, and twice %v", s, bits, twice)
		}
	})
}

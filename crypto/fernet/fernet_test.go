package fernet_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/crypto/fernet"
	"github.com/mantlet-go/mantlet/internal/raced"
)

// The key of the specification's vectors. It is public.
const specKey = "cw_0x689RpI-jtRR7oE8h_eQsKImvJapLeSbXpwF4e4="

func mustKey(t testing.TB, text string) fernet.Key {
	t.Helper()
	k, err := fernet.ParseKey(text)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func mustRing(t testing.TB, cfg fernet.Config) *fernet.Keyring {
	t.Helper()
	cfg.SkipExpiry = cfg.TTL == 0
	r, err := fernet.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// forge makes a token with a right MAC around anything, as only a holder of the key can.
func forge(key fernet.Key, signed []byte) []byte {
	b, _ := base64.URLEncoding.DecodeString(key.Reveal())
	m := hmac.New(sha256.New, b[:16])
	m.Write(signed)
	return []byte(base64.URLEncoding.EncodeToString(m.Sum(bytes.Clone(signed))))
}

// sealed is what forge signs for a token whose padded text is given.
func sealed(key fernet.Key, stamp uint64, padded []byte) []byte {
	b, _ := base64.URLEncoding.DecodeString(key.Reveal())
	block, err := aes.NewCipher(b[16:])
	if err != nil {
		panic(err)
	}
	out := binary.BigEndian.AppendUint64([]byte{0x80}, stamp)
	iv := bytes.Repeat([]byte{7}, 16)
	out = append(out, iv...)
	text := make([]byte, len(padded))
	cipher.NewCBCEncrypter(block, iv).CryptBlocks(text, padded)
	return append(out, text...)
}

var t0 = time.Unix(499162800, 0) // 1985-10-26T01:20:00-07:00, the time in the specification's vectors

func TestMessagesOfEveryLengthComeBack(t *testing.T) {
	ring := mustRing(t, fernet.Config{Keys: []fernet.Key{fernet.GenerateKey()}})
	for n := range 2400 {
		msg := bytes.Repeat([]byte{byte(n)}, n)
		tok := ring.Encrypt(msg)
		if len(tok) != fernet.EncodedLen(n) {
			t.Fatalf("a message of %d bytes has a token of %d, EncodedLen says %d", n, len(tok), fernet.EncodedLen(n))
		}
		// Any decoder must be able to read it: the text is written in pieces over its own source.
		if _, err := base64.URLEncoding.Strict().DecodeString(string(tok)); err != nil {
			t.Fatalf("%d bytes: %v", n, err)
		}
		if got, err := ring.Decrypt(tok); err != nil || !bytes.Equal(got, msg) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

func TestAppendKeepsWhatIsThere(t *testing.T) {
	ring := mustRing(t, fernet.Config{Keys: []fernet.Key{fernet.GenerateKey()}})
	tok := ring.AppendEncrypt([]byte("token: "), []byte("hello"), t0)
	if !bytes.HasPrefix(tok, []byte("token: gAAAAA")) {
		t.Fatalf("%q", tok)
	}
	got, err := ring.AppendDecrypt([]byte("message: "), tok[len("token: "):], t0)
	if err != nil || string(got) != "message: hello" {
		t.Fatalf("%q %v", got, err)
	}
	got, err = ring.AppendDecrypt([]byte("message: "), tok, t0)
	if !errors.Is(err, fernet.ErrInvalid) || got != nil {
		t.Fatalf("%q %v", got, err)
	}
}

// As in package seal: whoever reuses a buffer must not get a valid token of another message.
func TestDstMayLieOverTheInputInAnyWay(t *testing.T) {
	ring := mustRing(t, fernet.Config{Keys: []fernet.Key{fernet.GenerateKey()}, TTL: time.Minute})
	for n := range 300 {
		for _, from := range []int{0, 1, 9, 25, 60, 100, 400, 700} { // where the input is; 100 is where dst ends
			buf := make([]byte, 2000)
			msg := buf[from : from+n]
			for i := range msg {
				msg[i] = byte(i + n)
			}
			want := string(msg)
			dst := buf[:min(from, 100)]
			kept := string(dst)
			tok := ring.AppendEncrypt(dst, msg, t0)
			if string(tok[:len(dst)]) != kept {
				t.Fatalf("%d bytes at %d: dst has changed", n, from)
			}
			got, err := ring.AppendDecrypt(nil, tok[len(dst):], t0)
			if err != nil || string(got) != want {
				t.Fatalf("a message of %d bytes at %d: %v, %q", n, from, err, got)
			}
			tok = buf[from : from+copy(buf[from:], bytes.Clone(tok[len(dst):]))]
			for _, room := range []int{len(buf), len(dst) + fernet.EncodedLen(n)/2} { // enough, and not
				again := append([]byte(nil), buf...)
				tok := again[from:][:len(tok)]
				got, err := ring.AppendDecrypt(again[:len(dst):room], tok, t0)
				if err != nil || string(got[:len(dst)]) != kept || string(got[len(dst):]) != want {
					t.Fatalf("the token of %d bytes at %d: %v, %q", n, from, err, got)
				}
			}
		}
	}
}

func TestNoTwoTokensAreAlike(t *testing.T) {
	ring := mustRing(t, fernet.Config{Keys: []fernet.Key{fernet.GenerateKey()}})
	seen := map[string]bool{}
	for range 1000 {
		tok := string(ring.AppendEncrypt(nil, []byte("hello"), t0))
		if seen[tok] {
			t.Fatal("the same IV twice")
		}
		seen[tok] = true
	}
}

func TestATokenHasExactlyOneSpelling(t *testing.T) {
	ring := mustRing(t, fernet.Config{Keys: []fernet.Key{mustKey(t, specKey)}})
	// "hello" has a token of 73 bytes: two characters of padding, four unused bits before them.
	tok := string(ring.AppendEncrypt(nil, []byte("hello"), t0))
	last := len(tok) - 3
	next := func(c byte) string { // another last character with the same six-bit value in its upper two bits
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		return string(alphabet[strings.IndexByte(alphabet, c)|1])
	}
	standard := strings.NewReplacer("-", "+", "_", "/")
	withBoth := tok
	for !strings.ContainsAny(withBoth, "-_") {
		withBoth = string(ring.AppendEncrypt(nil, []byte("hello"), t0))
	}
	bad := map[string]string{
		"no padding":              strings.TrimRight(tok, "="),
		"half the padding":        tok[:len(tok)-1],
		"too much padding":        tok + "=",
		"a quartet of padding":    tok + "====",
		"line break at the end":   tok + "\n",
		"four line breaks":        tok + "\r\n\r\n",
		"line breaks inside":      tok[:4] + "\n\n\n\n" + tok[4:],
		"one line break inside":   tok[:4] + "\n" + tok[4:],
		"two line breaks inside":  tok[:4] + "\r\n" + tok[4:],
		"wrapped like MIME":       tok[:76] + "\r\n" + tok[76:] + "\r\n",
		"line breaks for text":    tok[:96] + "\n\n\n\n",
		"line break in padding":   tok[:len(tok)-1] + "\n=\n\n\n",
		"space around":            " " + tok + "   ",
		"unused bits set":         tok[:last] + next(tok[last]) + tok[last+1:],
		"trailing bytes":          tok + "AAAA",
		"a second token":          tok + tok,
		"the standard alphabet":   standard.Replace(withBoth),
		"quoted":                  `"` + tok + `"`,
		"percent-encoded padding": strings.ReplaceAll(tok, "=", "%3D"),
		"NUL at the end":          tok + "\x00\x00\x00\x00",
		"nothing":                 "",
	}
	for name, s := range bad {
		if s == tok {
			t.Errorf("%s: the test changes nothing", name)
		}
		if got, err := ring.AppendDecrypt(nil, []byte(s), t0); !errors.Is(err, fernet.ErrInvalid) || got != nil {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	if _, err := ring.AppendDecrypt(nil, []byte(tok), t0); err != nil {
		t.Error(err)
	}
}

// What is left in a buffer from the token before must not stand in for what line breaks take away from this one.
func TestAReusedBufferDoesNotCompleteAToken(t *testing.T) {
	ring := mustRing(t, fernet.Config{Keys: []fernet.Key{fernet.GenerateKey()}, TTL: time.Minute})
	tok, raw := make([]byte, 0, 200), make([]byte, 105)
	for {
		tok = ring.AppendEncrypt(tok[:0], make([]byte, 40), t0) // 105 bytes: a token without padding
		if _, err := base64.URLEncoding.Decode(raw, tok); err != nil {
			t.Fatal(err)
		}
		// The standard library's decoder writes eight bytes for six, and would by accident spoil a MAC that does not have these.
		if raw[102] == 0 && raw[103] == 0 {
			break
		}
	}
	buf := make([]byte, 0, 200)
	if _, err := ring.AppendDecrypt(buf, tok, t0.Add(time.Hour)); !errors.Is(err, fernet.ErrExpired) {
		t.Fatal(err)
	}
	cut := append(bytes.Clone(tok[:len(tok)-4]), "\n\n\n\n"...) // as long as the token, without the last three bytes of its MAC
	if got, err := ring.AppendDecrypt(buf, cut, t0); !errors.Is(err, fernet.ErrInvalid) {
		t.Errorf("%q %v", got, err)
	}
}

func TestEveryChangedBitIsNoticed(t *testing.T) {
	key := fernet.GenerateKey()
	ring := mustRing(t, fernet.Config{Keys: []fernet.Key{key}, TTL: time.Minute})
	raw, _ := base64.URLEncoding.DecodeString(string(ring.AppendEncrypt(nil, []byte("hello"), t0)))
	for i := range len(raw) * 8 {
		b := bytes.Clone(raw)
		b[i/8] ^= 1 << (i % 8)
		// Far in the future as well: a forged token must not be called expired, whatever its time stamp says.
		for _, now := range []time.Time{t0, t0.Add(time.Hour)} {
			if _, err := ring.AppendDecrypt(nil, []byte(base64.URLEncoding.EncodeToString(b)), now); err != fernet.ErrInvalid {
				t.Fatalf("bit %d: %v", i, err)
			}
		}
	}
}

// fernet-go panics at 9, 20 and 25 signed bytes: the MAC is right, so its check does not help.
func TestAGenuineMACDoesNotMakeAShortTokenValid(t *testing.T) {
	key := fernet.GenerateKey()
	ring := mustRing(t, fernet.Config{Keys: []fernet.Key{key}, Skew: math.MaxInt64 / time.Second * time.Second})
	whole := sealed(key, uint64(t0.Unix()), bytes.Repeat([]byte{16}, 64))
	for n := range len(whole) {
		got, err := ring.AppendDecrypt(nil, forge(key, whole[:n]), t0)
		if n >= 41 && n%16 == 9 {
			continue // a shorter token that is well formed; its text decides
		}
		if got != nil || !errors.Is(err, fernet.ErrInvalid) {
			t.Errorf("%d signed bytes: %q %v", n, got, err)
		}
	}
	whole[0] = 0x81
	if _, err := ring.AppendDecrypt(nil, forge(key, whole), t0); !errors.Is(err, fernet.ErrInvalid) {
		t.Errorf("version 0x81: %v", err)
	}
}

func TestAGenuineMACDoesNotMakeBadPaddingValid(t *testing.T) {
	key := fernet.GenerateKey()
	ring := mustRing(t, fernet.Config{Keys: []fernet.Key{key}})
	for last := range 256 {
		for _, fill := range []byte{0, 1, 16, byte(last)} {
			text := bytes.Repeat([]byte{fill}, 32)
			text[31] = byte(last)
			good := last >= 1 && last <= 16 && (fill == byte(last) || last == 1)
			got, err := ring.AppendDecrypt(nil, forge(key, sealed(key, uint64(t0.Unix()), text)), t0)
			if good != (err == nil) || err != nil && (got != nil || err != fernet.ErrInvalid) {
				t.Errorf("padding %d of bytes %d: %v %v", last, fill, got, err)
			}
			if good && len(got) != 32-last {
				t.Errorf("padding %d: %d bytes", last, len(got))
			}
		}
	}
}

func TestAFailedDecryptionLeavesNoMessageBehind(t *testing.T) {
	key := fernet.GenerateKey()
	ring := mustRing(t, fernet.Config{Keys: []fernet.Key{key}})
	secret := "a secret that must not stay in the buffer"
	padded := append([]byte(secret), bytes.Repeat([]byte{0}, 48-len(secret))...)
	buf := make([]byte, 0, 1024)
	if _, err := ring.AppendDecrypt(buf, forge(key, sealed(key, 0, padded)), t0); err == nil {
		t.Fatal("bad padding accepted")
	}
	if bytes.Contains(buf[:cap(buf)], []byte(secret[:16])) {
		t.Error("the decrypted text of a refused token is left in the caller's buffer")
	}
	got, err := ring.AppendDecrypt(buf, ring.Encrypt([]byte(secret)), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if rest := got[len(got):cap(got)]; bytes.Contains(rest, []byte(secret[len(secret)-8:])) {
		t.Error("a second copy of the message's end is left in the caller's buffer")
	}
}

func TestTimeStamps(t *testing.T) {
	key := fernet.GenerateKey()
	const now = 1_000_000_000
	tests := []struct {
		name      string
		ttl, skew time.Duration
		stamp     uint64
		now       int64
		want      error
	}{
		{"fresh", time.Minute, 0, now, now, nil},
		{"the last second of its life", time.Minute, 0, now - 60, now, nil},
		{"one second too old", time.Minute, 0, now - 61, now, fernet.ErrExpired},
		{"from 1970", time.Minute, 0, 0, now, fernet.ErrExpired},
		{"from 1970, valid for ever", 0, 0, 0, now, nil},
		{"the last tolerated second of the future", time.Minute, 0, now + 60, now, nil},
		{"one second too far in the future", time.Minute, 0, now + 61, now, fernet.ErrInvalid},
		{"the future is checked without expiry too", 0, 0, now + 61, now, fernet.ErrInvalid},
		{"no tolerance", time.Minute, fernet.NoSkew, now + 1, now, fernet.ErrInvalid},
		{"no tolerance, on time", time.Minute, fernet.NoSkew, now, now, nil},
		{"a wide tolerance", time.Minute, time.Hour, now + 3600, now, nil},
		{"past a wide tolerance", time.Minute, time.Hour, now + 3601, now, fernet.ErrInvalid},
		{"2^63-1", time.Minute, 0, math.MaxInt64, now, fernet.ErrInvalid},
		{"2^63", time.Minute, 0, 1 << 63, now, fernet.ErrInvalid},
		{"2^64-1", time.Minute, 0, math.MaxUint64, now, fernet.ErrInvalid},
		{"2^64-60 must not wrap around", time.Minute, 0, math.MaxUint64 - 59, 0, fernet.ErrInvalid},
		{"2^64-1, valid for ever", 0, 0, math.MaxUint64, now, fernet.ErrInvalid},
		{"the longest TTL", math.MaxInt64 / time.Second * time.Second, 0, 0, now, nil},
		{"a clock before 1970 counts as 1970", time.Minute, 0, 0, -5, nil},
		{"a clock before 1970 counts as 1970 for later tokens", time.Minute, 0, 61, -5, fernet.ErrInvalid},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ring := mustRing(t, fernet.Config{Keys: []fernet.Key{key}, TTL: tt.ttl, Skew: tt.skew})
			tok := forge(key, sealed(key, tt.stamp, append([]byte("hello"), bytes.Repeat([]byte{11}, 11)...)))
			got, err := ring.AppendDecrypt(nil, tok, time.Unix(tt.now, 999_999_999))
			if err != tt.want || (err == nil) != (string(got) == "hello") {
				t.Errorf("%q %v, want %v", got, err, tt.want)
			}
		})
	}
}

func TestEncryptStampsThePresent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring := mustRing(t, fernet.Config{Keys: []fernet.Key{fernet.GenerateKey()}, TTL: time.Hour})
		tok := ring.Encrypt([]byte("hello"))
		time.Sleep(time.Hour)
		if _, err := ring.Decrypt(tok); err != nil {
			t.Error("within the TTL:", err)
		}
		time.Sleep(time.Second)
		if _, err := ring.Decrypt(tok); !errors.Is(err, fernet.ErrExpired) {
			t.Error("after the TTL:", err)
		}
	})
}

func TestAClockBefore1970DoesNotMakeATokenOfTheFarFuture(t *testing.T) {
	ring := mustRing(t, fernet.Config{Keys: []fernet.Key{fernet.GenerateKey()}, TTL: time.Hour})
	tok := ring.AppendEncrypt(nil, []byte("hello"), time.Unix(-1, 0))
	if _, err := ring.AppendDecrypt(nil, tok, t0); !errors.Is(err, fernet.ErrExpired) {
		t.Error(err)
	}
}

func TestTheFirstKeyEncryptsAndAllDecrypt(t *testing.T) {
	var keys []fernet.Key
	for range fernet.MaxKeys {
		keys = append(keys, fernet.GenerateKey())
	}
	all := mustRing(t, fernet.Config{Keys: keys})
	for i, k := range keys {
		one := mustRing(t, fernet.Config{Keys: []fernet.Key{k}})
		if msg, err := all.Decrypt(one.Encrypt([]byte("hello"))); err != nil || string(msg) != "hello" {
			t.Errorf("key %d: %q %v", i, msg, err)
		}
		_, err := one.Decrypt(all.Encrypt([]byte("hello")))
		if (err == nil) != (i == 0) {
			t.Errorf("key %d decrypts what the first encrypted: %v", i, err)
		}
	}
	stranger := mustRing(t, fernet.Config{Keys: []fernet.Key{fernet.GenerateKey()}})
	if _, err := all.Decrypt(stranger.Encrypt([]byte("hello"))); !errors.Is(err, fernet.ErrInvalid) {
		t.Error(err)
	}
}

func TestRotateDoesNotMakeATokenYounger(t *testing.T) {
	old, newest := fernet.GenerateKey(), fernet.GenerateKey()
	before := mustRing(t, fernet.Config{Keys: []fernet.Key{old}, TTL: time.Minute})
	both := mustRing(t, fernet.Config{Keys: []fernet.Key{newest, old}, TTL: time.Minute})
	after := mustRing(t, fernet.Config{Keys: []fernet.Key{newest}, TTL: time.Minute})
	tok := before.AppendEncrypt(nil, []byte("hello"), t0)
	moved, err := both.Rotate(tok) // long after its TTL: the clock has no say
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(moved, tok) {
		t.Error("not encrypted again")
	}
	if !bytes.Equal(moved[:12], tok[:12]) { // version and time stamp: nine bytes, twelve characters
		t.Error("the time stamp changed")
	}
	if msg, err := after.AppendDecrypt(nil, moved, t0.Add(time.Minute)); err != nil || string(msg) != "hello" {
		t.Errorf("%q %v", msg, err)
	}
	if _, err := after.AppendDecrypt(nil, moved, t0.Add(61*time.Second)); !errors.Is(err, fernet.ErrExpired) {
		t.Error(err)
	}
	if _, err := after.Rotate(tok); !errors.Is(err, fernet.ErrInvalid) {
		t.Error("rotated a token of an unknown key:", err)
	}
	// A time stamp that no clock will ever reach survives unharmed too.
	odd := forge(old, sealed(old, math.MaxUint64, bytes.Repeat([]byte{16}, 16)))
	moved, err = both.Rotate(odd)
	if err != nil || !bytes.Equal(moved[:12], odd[:12]) {
		t.Errorf("%q %v", moved, err)
	}
}

func TestNewRefusesWhatIsNotSaid(t *testing.T) {
	k := fernet.GenerateKey()
	many := make([]fernet.Key, fernet.MaxKeys+1)
	for i := range many {
		many[i] = fernet.GenerateKey()
	}
	ok := []fernet.Key{k}
	tests := []struct {
		name string
		cfg  fernet.Config
		want []string
	}{
		{"the zero Config", fernet.Config{}, []string{"Config.Keys is empty", "Config.TTL is not set"}},
		{"the zero Key", fernet.Config{Keys: []fernet.Key{k, {}}, TTL: 1e9}, []string{"Config.Keys[1] is the zero Key"}},
		{"a key twice", fernet.Config{Keys: []fernet.Key{k, fernet.GenerateKey(), mustKey(t, k.Reveal())}, TTL: 1e9},
			[]string{"Config.Keys[2] is the same key as Config.Keys[0]"}},
		{"too many keys", fernet.Config{Keys: many, TTL: 1e9}, []string{"17 keys"}},
		{"a negative TTL", fernet.Config{Keys: ok, TTL: -time.Hour}, []string{"Config.TTL is negative: -1h0m0s"}},
		{"a TTL that shall be skipped", fernet.Config{Keys: ok, TTL: time.Hour, SkipExpiry: true}, []string{"Config.SkipExpiry is set together with Config.TTL 1h0m0s"}},
		{"parts of seconds", fernet.Config{Keys: ok, TTL: 1500 * time.Millisecond, Skew: 1}, []string{"Config.TTL is 1.5s", "Config.Skew is 1ns"}},
		{"a negative skew", fernet.Config{Keys: ok, TTL: 1e9, Skew: -time.Second}, []string{"Config.Skew is negative: -1s"}},
		{"a TTL of seconds without the unit", fernet.Config{Keys: ok, TTL: 60}, []string{"Config.TTL is 60ns"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := fernet.New(tt.cfg)
			if err == nil || r != nil {
				t.Fatal("accepted")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q is not in: %v", w, err)
				}
			}
			if strings.Contains(err.Error(), k.Reveal()) {
				t.Error("the error shows a key")
			}
		})
	}
}

func TestTheRingDoesNotFollowTheCallersSlice(t *testing.T) {
	keys := []fernet.Key{fernet.GenerateKey()}
	ring := mustRing(t, fernet.Config{Keys: keys})
	tok := ring.Encrypt([]byte("hello"))
	keys[0] = fernet.GenerateKey()
	if _, err := ring.Decrypt(tok); err != nil {
		t.Error(err)
	}
}

func TestTheZeroKeyringDecryptsNothing(t *testing.T) {
	tok := mustRing(t, fernet.Config{Keys: []fernet.Key{fernet.GenerateKey()}}).Encrypt([]byte("hello"))
	for _, ring := range []*fernet.Keyring{nil, new(fernet.Keyring)} {
		if _, err := ring.Decrypt(tok); !errors.Is(err, fernet.ErrInvalid) {
			t.Error(err)
		}
		if _, err := ring.Rotate(tok); !errors.Is(err, fernet.ErrInvalid) {
			t.Error(err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("encrypted without a key")
				}
			}()
			ring.Encrypt([]byte("hello"))
		}()
	}
}

func TestOneRingServesManyGoroutines(t *testing.T) {
	ring := mustRing(t, fernet.Config{Keys: []fernet.Key{fernet.GenerateKey(), fernet.GenerateKey()}, TTL: time.Hour})
	other := mustRing(t, fernet.Config{Keys: []fernet.Key{fernet.GenerateKey()}}).Encrypt([]byte("other"))
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 50 {
				msg := fmt.Appendf(nil, "goroutine %d message %d%s", g, i, strings.Repeat(".", i*7))
				tok, err := ring.Rotate(ring.Encrypt(msg))
				if err != nil {
					t.Error(err)
				}
				if got, err := ring.Decrypt(tok); err != nil || !bytes.Equal(got, msg) {
					t.Errorf("%q %v", got, err)
				}
				if _, err := ring.Decrypt(other); !errors.Is(err, fernet.ErrInvalid) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

func TestNothingIsAllocatedWhenThereIsRoom(t *testing.T) {
	ring := mustRing(t, fernet.Config{Keys: []fernet.Key{fernet.GenerateKey(), fernet.GenerateKey()}, TTL: time.Hour})
	msg := bytes.Repeat([]byte("m"), 1000)
	tok := make([]byte, 0, fernet.EncodedLen(len(msg)))
	out := make([]byte, 0, cap(tok))
	n := testing.AllocsPerRun(200, func() {
		tok = ring.AppendEncrypt(tok[:0], msg, t0)
		if _, err := ring.AppendDecrypt(out, tok, t0); err != nil {
			t.Fatal(err)
		}
	})
	if n >= 1 && !raced.Enabled { // a garbage collection may empty the pool; the race detector does so on purpose
		t.Errorf("%v allocations", n)
	}
}

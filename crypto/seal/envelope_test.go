package seal_test

import (
	"bytes"
	"context"
	"crypto/fips140"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/cryptotest"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"github.com/mantlet-go/mantlet/internal/prints"
	"github.com/mantlet-go/mantlet/internal/raced"
)

// service is a key service that counts and misbehaves.
type service struct {
	kek            seal.KEK
	wraps, unwraps atomic.Int64
	onWrap         atomic.Pointer[func(ctx context.Context, dek []byte) ([]byte, error)] // in place of the answer, if it returns one
	onUnwrap       atomic.Pointer[func(ctx context.Context, blob []byte) ([]byte, error)]
}

func newService(t testing.TB) *service {
	return &service{kek: seal.NewRingKEK(ringOf(t, seal.GenerateKey()))}
}

func (s *service) Wrap(ctx context.Context, dek, aad []byte) ([]byte, error) {
	s.wraps.Add(1)
	if on := s.onWrap.Load(); on != nil {
		if blob, err := (*on)(ctx, dek); blob != nil || err != nil {
			return blob, err
		}
	}
	return s.kek.Wrap(ctx, dek, aad)
}

func (s *service) Unwrap(ctx context.Context, blob, aad []byte) ([]byte, error) {
	s.unwraps.Add(1)
	if on := s.onUnwrap.Load(); on != nil {
		if dek, err := (*on)(ctx, blob); dek != nil || err != nil {
			return dek, err
		}
	}
	return s.kek.Unwrap(ctx, blob, aad)
}

type answer = func(context.Context, []byte) ([]byte, error)

func (s *service) wrapping(f answer)   { s.onWrap.Store(&f) }
func (s *service) unwrapping(f answer) { s.onUnwrap.Store(&f) }

var errDown = errors.New("connection refused")

func down(context.Context, []byte) ([]byte, error) { return nil, errDown }
func up(context.Context, []byte) ([]byte, error)   { return nil, nil }
func hang(ctx context.Context, _ []byte) ([]byte, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// bubble is synctest.Test. In the FIPS 140-3 module the noise for randomness is the jitter of a clock, and the clock of a bubble has none.
func bubble(t *testing.T, f func(t *testing.T)) {
	if fips140.Enabled() {
		cryptotest.SetGlobalRandom(t, rand.Uint64())
	}
	synctest.Test(t, f)
}

// envelopeOf makes an Envelope over s; what cfg leaves open is the default.
func envelopeOf(t testing.TB, s seal.KEK, cfg seal.EnvelopeConfig) *seal.Envelope {
	t.Helper()
	cfg.KEKs = append([]seal.NamedKEK{{Name: "kms", KEK: s}}, cfg.KEKs...)
	e, err := seal.NewEnvelope(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		_ = e.Close(ctx)
	})
	return e
}

func (s *service) counts(t *testing.T, wraps, unwraps int64) {
	t.Helper()
	if w, u := s.wraps.Load(), s.unwraps.Load(); w != wraps || u != unwraps {
		t.Errorf("%d calls of Wrap and %d of Unwrap, want %d and %d", w, u, wraps, unwraps)
	}
}

func sealed(t testing.TB, e *seal.Envelope, msg string) []byte {
	t.Helper()
	box, err := e.Seal(t.Context(), nil, []byte(msg), here)
	if err != nil {
		t.Fatal(err)
	}
	return box
}

func opens(t testing.TB, e *seal.Envelope, box []byte, want string) {
	t.Helper()
	if msg, err := e.Open(t.Context(), nil, box, here); err != nil || string(msg) != want {
		t.Fatalf("%q, %v; want %q", msg, err, want)
	}
}

// unavailable checks that err says so, with a hint when to come back.
func unavailable(t testing.TB, err, cause error) {
	t.Helper()
	var k *seal.KEKError
	if !errors.As(err, &k) || !errors.Is(err, seal.ErrUnavailable) || k.Name != "kms" || k.RetryAfter <= 0 || k.RetryAfter > time.Second {
		t.Fatalf("%v; want a KEKError with a hint", err)
	}
	if cause != nil && !errors.Is(err, cause) {
		t.Fatalf("%v; want %v", err, cause)
	}
	if errors.Is(err, seal.ErrInvalid) {
		t.Fatalf("an outage is an invalid box: %v", err)
	}
}

func TestNewEnvelopeListsEveryFault(t *testing.T) {
	kek := seal.NewRingKEK(ringOf(t, seal.GenerateKey()))
	_, err := seal.NewEnvelope(seal.EnvelopeConfig{
		KEKs:   []seal.NamedKEK{{"a", kek}, {"", kek}, {"b", nil}, {"a", kek}},
		MaxAge: -1, MaxMessages: -1, MaxBytes: 1<<62 + 1, CacheAge: -1, Timeout: -1, MaxCalls: -1,
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"KEKs[1].Name is empty", "KEKs[2].KEK is nil", `KEKs[3].Name "a" has the id of "a"`, "MaxAge -1ns", "MaxMessages -1",
		"MaxBytes 4611686018427387905", "CacheAge -1ns", "Timeout -1ns", "MaxCalls -1"} {
		if !strings.Contains(err.Error(), "EnvelopeConfig."+want) {
			t.Errorf("no %q in: %v", want, err)
		}
	}
	if n := strings.Count(err.Error(), "\n") + 1; n != 9 {
		t.Errorf("%d faults: %v", n, err)
	}
	if _, err := seal.NewEnvelope(seal.EnvelopeConfig{}); err == nil || !strings.Contains(err.Error(), "KEKs is empty") {
		t.Error(err)
	}
	for _, e := range []*seal.Envelope{nil, new(seal.Envelope)} {
		if _, err := e.Seal(t.Context(), nil, nil, here); err != seal.ErrClosed {
			t.Error(err)
		}
		if _, err := e.Open(t.Context(), nil, make([]byte, 200), here); err != seal.ErrClosed {
			t.Error(err)
		}
		if _, err := e.NewReader(t.Context(), strings.NewReader(""), here); err != seal.ErrClosed {
			t.Error(err)
		}
		if _, err := e.NewWriter(t.Context(), io.Discard, here); err != seal.ErrClosed {
			t.Error(err)
		}
		if e.NeedsReseal(make([]byte, 200)) || e.Close(t.Context()) != nil {
			t.Error("no Envelope does something")
		}
	}
}

func TestAWrappedKeyTravelsWithTheBox(t *testing.T) {
	s := newService(t)
	e := envelopeOf(t, s, seal.EnvelopeConfig{})
	for _, n := range []int{0, 1, 64, 70_000} {
		msg := bytes.Repeat([]byte("x"), n)
		box, err := e.Seal(t.Context(), []byte("box: "), msg, here)
		if err != nil || string(box[:6]) != "box: \x04" || len(box) != 5+n+seal.EnvelopeOverhead+77 {
			t.Fatalf("%d bytes became %d, %v", n, len(box), err)
		}
		if w := binary.BigEndian.Uint16(box[5+9:]); w != 77 {
			t.Errorf("the wrapped key is %d bytes", w)
		}
		// Another process, which has the KEK and nothing else.
		got, err := envelopeOf(t, s, seal.EnvelopeConfig{}).Open(t.Context(), []byte("msg: "), box[5:], here)
		if err != nil || string(got) != "msg: "+string(msg) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
	if _, err := e.Seal(t.Context(), nil, nil, seal.Context{}); !errors.Is(err, seal.ErrContext) {
		t.Errorf("without a Context: %v", err)
	}
	if _, err := e.Open(t.Context(), nil, make([]byte, 200), seal.Context{}); !errors.Is(err, seal.ErrContext) {
		t.Errorf("without a Context: %v", err)
	}
}

func TestEveryBitAndEveryFieldOfAnEnvelopeCounts(t *testing.T) {
	s := newService(t)
	box := sealed(t, envelopeOf(t, s, seal.EnvelopeConfig{}), "hello")
	e := envelopeOf(t, s, seal.EnvelopeConfig{})
	opens(t, e, box, "hello") // from here on the genuine key is cached
	for i := range 8 * len(box) {
		bad := bytes.Clone(box)
		bad[i/8] ^= 1 << (i % 8)
		msg, err := e.Open(t.Context(), nil, bad, here)
		var unknown *seal.KeyError
		if msg != nil || err != seal.ErrInvalid && !(errors.As(err, &unknown) && errors.Is(err, seal.ErrUnknownKey)) {
			t.Fatalf("bit %d: %q, %v", i, msg, err)
		}
	}
	for n := range box {
		if _, err := e.Open(t.Context(), nil, box[:n], here); err != seal.ErrInvalid {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := e.Open(t.Context(), nil, append(bytes.Clone(box), 0), here); err != seal.ErrInvalid {
		t.Errorf("one byte more: %v", err)
	}
	for i, c := range []seal.Context{
		{Purpose: "users.name", Tenant: "acme", Subject: "user-42", Path: "/email"}, {Purpose: "users.email", Tenant: "acm", Subject: "euser-42", Path: "/email"},
		{Purpose: "users.email", Tenant: "acme", Subject: "user-43", Path: "/email"}, {Purpose: "users.email", Tenant: "acme", Subject: "user-42"},
	} {
		if _, err := e.Open(t.Context(), nil, box, c); err != seal.ErrInvalid {
			t.Errorf("context %d: %v", i, err)
		}
	}
	// The two formats share data keys and do not pass for each other, nor for boxes of a ring.
	other := bytes.Clone(box)
	other[0] = 5
	if _, err := e.NewReader(t.Context(), bytes.NewReader(other), here); err != seal.ErrInvalid {
		t.Error(err)
	}
	if _, err := ringOf(t, seal.GenerateKey()).Open(nil, box, here); err != seal.ErrInvalid {
		t.Error(err)
	}
	if _, ok := seal.IDOf(box); ok {
		t.Error("IDOf of a box that names no key of a ring")
	}
}

func TestAnEnvelopeWorksInPlace(t *testing.T) {
	e := envelopeOf(t, newService(t), seal.EnvelopeConfig{})
	for shift := -150; shift <= 150; shift++ {
		buf := make([]byte, 700)
		msg := buf[200:300]
		copy(msg, bytes.Repeat([]byte("0123456789"), 10))
		want := string(msg)
		box, err := e.Seal(t.Context(), buf[:200+shift], msg, here)
		if err != nil || &box[0] != &buf[0] {
			t.Fatal(shift, err)
		}
		box = box[200+shift:]
		if got, err := e.Open(t.Context(), box[:0], box, here); err != nil || string(got) != want {
			t.Fatalf("%d: %q, %v", shift, got, err)
		}
	}
	box := sealed(t, e, "hello")
	again, err := e.Reseal(t.Context(), box[:0], box, here)
	if err != nil {
		t.Fatal(err)
	}
	opens(t, e, again, "hello")
}

func TestADataKeyServesUntilHalfOfALimitAndNoFurtherThanTheLimit(t *testing.T) {
	for _, c := range []struct {
		name string
		cfg  seal.EnvelopeConfig
		step func(*seal.Envelope) error // a tenth of the limit
	}{
		{"messages", seal.EnvelopeConfig{MaxMessages: 10}, func(e *seal.Envelope) error {
			_, err := e.Seal(context.Background(), nil, nil, here)
			return err
		}},
		{"bytes", seal.EnvelopeConfig{MaxBytes: 100}, func(e *seal.Envelope) error {
			_, err := e.Seal(context.Background(), nil, make([]byte, 10), here)
			return err
		}},
		{"age", seal.EnvelopeConfig{MaxAge: 10 * time.Minute}, func(e *seal.Envelope) error {
			_, err := e.Seal(context.Background(), nil, nil, here)
			time.Sleep(time.Minute)
			return err
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := newService(t)
				e := envelopeOf(t, s, c.cfg)
				step := func() error {
					err := c.step(e)
					synctest.Wait() // for what was begun in the background
					return err
				}
				for i := range 4 {
					if err := step(); err != nil {
						t.Fatal(i, err)
					}
				}
				s.counts(t, 1, 1)
				_ = step()
				_ = step()
				s.counts(t, 2, 2) // half is over
				s.wrapping(down)
				n := 0
				var err error
				for ; err == nil && n < 100; n++ {
					err = step()
				}
				unavailable(t, err, errDown)
				// What is left of the second key: 10 tenths, or 9 where it served the step after half time.
				if n < 10 || n > 11 {
					t.Errorf("%d steps with the service down, want all of a key", n)
				}
				s.wrapping(up)
				time.Sleep(time.Second)
				if err := step(); err != nil {
					t.Errorf("after the outage: %v", err)
				}
			})
		})
	}
}

func TestAMessageLargerThanAKeyMaySealIsTooLarge(t *testing.T) {
	s := newService(t)
	e := envelopeOf(t, s, seal.EnvelopeConfig{MaxBytes: 10})
	if _, err := e.Seal(t.Context(), nil, make([]byte, 11), here); err != seal.ErrTooLarge {
		t.Error(err)
	}
	s.counts(t, 0, 0)
	for range 3 {
		if _, err := e.Seal(t.Context(), nil, make([]byte, 10), here); err != nil {
			t.Error(err)
		}
	}
	if n := s.wraps.Load(); n < 3 {
		t.Errorf("%d keys for three messages that fill one each", n)
	}
}

func TestAKeySealsNoMessageThatWouldPassItsLimit(t *testing.T) {
	s := newService(t)
	e := envelopeOf(t, s, seal.EnvelopeConfig{MaxBytes: 100})
	if _, err := e.Seal(t.Context(), nil, make([]byte, 40), here); err != nil {
		t.Fatal(err)
	}
	s.wrapping(down)
	_, err := e.Seal(t.Context(), nil, make([]byte, 61), here)
	unavailable(t, err, errDown)
	if _, err := e.Seal(t.Context(), nil, make([]byte, 60), here); err != nil {
		t.Error(err)
	}
}

func TestAgeCountsAlsoWhenTheTimerIsLate(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(t)
		other := sealed(t, envelopeOf(t, s, seal.EnvelopeConfig{}), "x")
		for _, cacheKeys := range []int{0, -1} {
			e := envelopeOf(t, s, seal.EnvelopeConfig{CacheKeys: cacheKeys, SkipUnwrapCheck: true})
			seal.StopSweep(e)
			own := sealed(t, e, "x")
			opens(t, e, other, "x")
			time.Sleep(time.Hour - time.Nanosecond)
			w, u := s.wraps.Load(), s.unwraps.Load()
			opens(t, e, own, "x")
			if cacheKeys == 0 {
				opens(t, e, other, "x")
			}
			s.counts(t, w, u)
			time.Sleep(time.Nanosecond)
			opens(t, e, own, "x")
			opens(t, e, other, "x")
			s.counts(t, w, u+2)
			if again := sealed(t, e, "x"); bytes.Equal(again[:88], own[:88]) {
				t.Error("sealed under a key whose time is over")
			}
		}
	})
}

func TestWhileTheServiceIsDownTheKeyServesToItsEndAndNoLonger(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(t)
		e := envelopeOf(t, s, seal.EnvelopeConfig{})
		box := sealed(t, e, "before")
		s.wrapping(down)
		s.unwrapping(down)
		start := time.Now()
		for time.Since(start) < time.Hour {
			opens(t, e, sealed(t, e, "during"), "during")
			time.Sleep(time.Second)
		}
		synctest.Wait()
		_, err := e.Seal(t.Context(), nil, nil, here)
		unavailable(t, err, errDown)
		_, err = e.Open(t.Context(), nil, box, here)
		unavailable(t, err, errDown)
		if n := s.wraps.Load(); n < 1000 || n > 2000 {
			t.Errorf("%d attempts in half an hour, want about one a second", n)
		}
		// Closed is closed at once: no caller waits for a service that is known to be down, and none asks it sooner than it should.
		n, at := s.wraps.Load(), time.Now()
		for range 1000 {
			_, err = e.Seal(t.Context(), nil, nil, here)
			unavailable(t, err, errDown)
		}
		if s.wraps.Load() > n+1 || time.Since(at) != 0 {
			t.Errorf("%d calls, %v", s.wraps.Load()-n, time.Since(at))
		}
		var k *seal.KEKError
		errors.As(err, &k)
		s.wrapping(up)
		s.unwrapping(up)
		time.Sleep(k.RetryAfter)
		sealed(t, e, "after")
		opens(t, e, box, "before")
	})
}

func TestManyCallersMakeOneCallAndNoneOfThemCanSpoilIt(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(t)
		slow := func(context.Context, []byte) ([]byte, error) {
			time.Sleep(time.Second)
			return nil, nil
		}
		s.wrapping(slow)
		e := envelopeOf(t, s, seal.EnvelopeConfig{SkipUnwrapCheck: true})
		type key struct{}
		var boxes sync.Map
		run := func(do func(ctx context.Context, i int) error) {
			var wg sync.WaitGroup
			for i := range 100 {
				wg.Go(func() {
					ctx := context.WithValue(context.Background(), key{}, i)
					if i%2 == 0 { // the first one too
						var cancel func()
						ctx, cancel = context.WithTimeout(ctx, 100*time.Millisecond)
						defer cancel()
					}
					err := do(ctx, i)
					if want := map[bool]error{true: context.DeadlineExceeded}[i%2 == 0]; err != want {
						t.Errorf("caller %d: %v, want %v", i, err, want)
					}
				})
			}
			wg.Wait()
		}
		run(func(ctx context.Context, i int) error {
			box, err := e.Seal(ctx, nil, fmt.Append(nil, i), here)
			boxes.Store(i, box)
			return err
		})
		s.counts(t, 1, 0)
		other := envelopeOf(t, s, seal.EnvelopeConfig{})
		s.unwrapping(func(ctx context.Context, _ []byte) ([]byte, error) {
			if ctx.Value(key{}) != nil {
				t.Error("the call carries a value of one caller")
			}
			time.Sleep(time.Second)
			return nil, nil
		})
		box, _ := boxes.Load(1)
		run(func(ctx context.Context, i int) error {
			_, err := other.Open(ctx, nil, box.([]byte), here)
			return err
		})
		s.counts(t, 1, 1)
	})
}

func TestAServiceThatHangsIsGivenUpAfterTheTimeout(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(t)
		s.wrapping(hang)
		e := envelopeOf(t, s, seal.EnvelopeConfig{Timeout: 3 * time.Second, CacheKeys: -1})
		at := time.Now()
		_, err := e.Seal(t.Context(), nil, nil, here)
		unavailable(t, err, nil)
		if d := time.Since(at); d != 3*time.Second {
			t.Errorf("after %v", d)
		}
		time.Sleep(time.Second)
		s.wrapping(up)
		box := sealed(t, e, "x")
		s.unwrapping(hang)
		other := envelopeOf(t, s, seal.EnvelopeConfig{Timeout: 3 * time.Second})
		at = time.Now()
		_, err = other.Open(t.Context(), nil, box, here)
		unavailable(t, err, nil)
		if d := time.Since(at); d != 3*time.Second {
			t.Errorf("after %v", d)
		}
		s.unwrapping(up)
		opens(t, other, box, "x")
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// One that does not look at its context either keeps its goroutine, so there must be an end to them.
func TestAServiceThatNeverReturnsGathersNoGoroutinesWithoutEnd(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(t)
		box := sealed(t, envelopeOf(t, s, seal.EnvelopeConfig{}), "x")
		release := make(chan struct{})
		deaf := func(context.Context, []byte) ([]byte, error) {
			<-release
			return nil, nil
		}
		s.wrapping(deaf)
		s.unwrapping(deaf)
		e := envelopeOf(t, s, seal.EnvelopeConfig{Timeout: time.Second, MaxCalls: 8})
		before := runtime.NumGoroutine()
		w, u := s.wraps.Load(), s.unwraps.Load()
		for i := range 50 {
			bad := bytes.Clone(box)
			bad[20] ^= byte(i + 1) // another made-up key each time
			_, err := e.Open(t.Context(), nil, bad, here)
			unavailable(t, err, nil)
			_, err = e.Seal(t.Context(), nil, nil, here)
			unavailable(t, err, nil)
			time.Sleep(time.Second)
		}
		if n := runtime.NumGoroutine() - before; n > 8+4 {
			t.Errorf("%d goroutines more", n)
		}
		if w, u := s.wraps.Load()-w, s.unwraps.Load()-u; w != 4 || u != 8 {
			t.Errorf("%d and %d calls, want 4 and 8", w, u)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		if err := e.Close(ended); err != context.Canceled {
			t.Errorf("Close with calls that run: %v", err)
		}
		s.wrapping(up)
		s.unwrapping(up)
		close(release)
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestWhatComesTooLateIsNotUsed(t *testing.T) {
	after := func(d time.Duration) answer {
		return func(context.Context, []byte) ([]byte, error) {
			time.Sleep(d)
			return nil, nil
		}
	}
	cfg := seal.EnvelopeConfig{Timeout: time.Second, SkipUnwrapCheck: true}
	t.Run("when the next one was fetched", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			s := newService(t)
			s.wrapping(after(5 * time.Second))
			e := envelopeOf(t, s, cfg)
			_, err := e.Seal(t.Context(), nil, nil, here)
			unavailable(t, err, nil)
			s.wrapping(up)
			time.Sleep(time.Second)
			box := sealed(t, e, "x")
			time.Sleep(10 * time.Second)
			if again := sealed(t, e, "x"); !bytes.Equal(again[:88], box[:88]) {
				t.Error("a key that came too late has replaced the current one")
			}
			s.counts(t, 2, 0)
		})
	})
	t.Run("while the next one is fetched", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			s := newService(t)
			s.wrapping(after(2500 * time.Millisecond))
			e := envelopeOf(t, s, cfg)
			_, err := e.Seal(t.Context(), nil, nil, here)
			unavailable(t, err, nil)
			time.Sleep(time.Second)
			s.wrapping(after(900 * time.Millisecond)) // from 2 s to 2.9 s
			var wg sync.WaitGroup
			wg.Go(func() { sealed(t, e, "x") })
			time.Sleep(600 * time.Millisecond)
			sealed(t, e, "x") // at 2.6 s
			wg.Wait()
			sealed(t, e, "x")
			s.counts(t, 2, 0)
		})
	})
	t.Run("when nobody asks any more", func(t *testing.T) {
		bubble(t, func(t *testing.T) {
			s := newService(t)
			s.wrapping(after(5 * time.Second))
			e := envelopeOf(t, s, cfg)
			_, err := e.Seal(t.Context(), nil, nil, here)
			unavailable(t, err, nil)
			time.Sleep(10 * time.Second)
			s.wrapping(up)
			box := sealed(t, e, "x")
			s.counts(t, 2, 0)
			s.unwrapping(after(5 * time.Second))
			other := envelopeOf(t, s, cfg)
			_, err = other.Open(t.Context(), nil, box, here)
			unavailable(t, err, nil)
			time.Sleep(10 * time.Second)
			s.unwrapping(up)
			opens(t, other, box, "x")
			s.counts(t, 2, 2)
		})
	})
}

func TestGarbageOfAServiceIsAnOutage(t *testing.T) {
	good := newService(t)
	box := sealed(t, envelopeOf(t, good, seal.EnvelopeConfig{}), "hello")
	for name, bad := range map[string]answer{
		"nothing":         func(context.Context, []byte) ([]byte, error) { return []byte{}, nil },
		"one byte":        func(context.Context, []byte) ([]byte, error) { return []byte{1}, nil },
		"32 zeros":        func(context.Context, []byte) ([]byte, error) { return make([]byte, 32), nil },
		"another 32":      func(context.Context, []byte) ([]byte, error) { return bytes.Repeat([]byte{7}, 32), nil },
		"33 bytes":        func(context.Context, []byte) ([]byte, error) { return bytes.Repeat([]byte{7}, 33), nil },
		"a megabyte":      func(context.Context, []byte) ([]byte, error) { return bytes.Repeat([]byte{7}, 1<<20), nil },
		"an echo":         func(_ context.Context, b []byte) ([]byte, error) { return bytes.Clone(b), nil },
		"the input":       func(_ context.Context, b []byte) ([]byte, error) { return b, nil },
		"an echo and one": func(_ context.Context, b []byte) ([]byte, error) { return append(bytes.Clone(b), 1), nil },
		"an error":        down,
		"a panic":         func(context.Context, []byte) ([]byte, error) { panic("the key is " + prints.Secret) },
		"a nil pointer":   func(context.Context, []byte) ([]byte, error) { return nil, *(*error)(nil) },
		"no goroutine":    func(context.Context, []byte) ([]byte, error) { runtime.Goexit(); return nil, nil },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				s := &service{kek: good.kek}
				e := envelopeOf(t, s, seal.EnvelopeConfig{})
				s.wrapping(bad)
				_, err := e.Seal(t.Context(), nil, nil, here)
				unavailable(t, err, nil)
				if strings.Contains(err.Error(), prints.Secret) {
					t.Errorf("shows what the panic had: %v", err)
				}
				s.wrapping(up)
				s.unwrapping(bad)
				time.Sleep(time.Second)
				_, err = e.Seal(t.Context(), nil, nil, here) // the check
				unavailable(t, err, nil)
				_, err = e.Open(t.Context(), nil, box, here)
				unavailable(t, err, nil)
				// None of it stays.
				s.unwrapping(up)
				time.Sleep(time.Second)
				opens(t, e, box, "hello")
				opens(t, e, sealed(t, e, "x"), "x")
				if err := e.Close(t.Context()); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// What the check of Unwrap would not find, or is not asked to.
func TestAWrappedKeyIsLookedAt(t *testing.T) {
	echo := func(_ context.Context, b []byte) ([]byte, error) { return bytes.Clone(b), nil }
	s := newService(t)
	s.wrapping(echo)
	s.unwrapping(echo)
	_, err := envelopeOf(t, s, seal.EnvelopeConfig{}).Seal(t.Context(), nil, nil, here)
	unavailable(t, err, nil)
	for _, n := range []int{0, seal.MaxWrappedKey + 1, 1<<16 + 77} {
		s.wrapping(func(context.Context, []byte) ([]byte, error) { return make([]byte, n), nil })
		_, err := envelopeOf(t, s, seal.EnvelopeConfig{SkipUnwrapCheck: true}).Seal(t.Context(), nil, nil, here)
		unavailable(t, err, nil)
	}
	s.wrapping(func(context.Context, []byte) ([]byte, error) { return make([]byte, seal.MaxWrappedKey), nil })
	box, err := envelopeOf(t, s, seal.EnvelopeConfig{SkipUnwrapCheck: true}).Seal(t.Context(), nil, nil, here)
	if err != nil || len(box) != seal.EnvelopeOverhead+seal.MaxWrappedKey {
		t.Errorf("%d bytes, %v", len(box), err)
	}
	// The right key, and a byte more.
	s.wrapping(up)
	s.unwrapping(up)
	box = sealed(t, envelopeOf(t, s, seal.EnvelopeConfig{}), "x")
	e := envelopeOf(t, &service{kek: more{s.kek}}, seal.EnvelopeConfig{})
	_, err = e.Open(t.Context(), nil, box, here)
	unavailable(t, err, nil)
}

type more struct{ seal.KEK }

func (k more) Unwrap(ctx context.Context, blob, aad []byte) ([]byte, error) {
	dek, err := k.KEK.Unwrap(ctx, blob, aad)
	return append(dek, 0), err
}

func TestWhatCannotBeABoxCostsNoCall(t *testing.T) {
	s := newService(t)
	box := sealed(t, envelopeOf(t, s, seal.EnvelopeConfig{}), "")
	e := envelopeOf(t, s, seal.EnvelopeConfig{})
	n := s.unwraps.Load()
	long := append(bytes.Clone(box), make([]byte, 20_000)...)
	binary.BigEndian.PutUint16(long[9:], seal.MaxWrappedKey+1)
	none := bytes.Clone(box)
	binary.BigEndian.PutUint16(none[9:], 0)
	for _, bad := range [][]byte{box[:len(box)-1], box[:88], box[:11], long, none} {
		if _, err := e.Open(t.Context(), nil, bad, here); err != seal.ErrInvalid {
			t.Error(err)
		}
	}
	for _, bad := range [][]byte{box[:87], box[:11], long, none} {
		if _, err := e.NewReader(t.Context(), bytes.NewReader(append([]byte{5}, bad[1:]...)), here); err != seal.ErrInvalid {
			t.Error(err)
		}
	}
	if got := s.unwraps.Load() - n; got != 0 {
		t.Errorf("%d calls", got)
	}
}

func TestAKeyServesOnlyIfItComesBack(t *testing.T) {
	s := newService(t)
	s.unwrapping(down)
	_, err := envelopeOf(t, s, seal.EnvelopeConfig{}).Seal(t.Context(), nil, nil, here)
	unavailable(t, err, nil)
	s.unwrapping(func(context.Context, []byte) ([]byte, error) { return nil, seal.ErrInvalid })
	_, err = envelopeOf(t, s, seal.EnvelopeConfig{}).Seal(t.Context(), nil, nil, here)
	unavailable(t, err, nil)
	n := s.unwraps.Load()
	if _, err := envelopeOf(t, s, seal.EnvelopeConfig{SkipUnwrapCheck: true}).Seal(t.Context(), nil, nil, here); err != nil || s.unwraps.Load() != n {
		t.Errorf("without the check: %v", err)
	}
}

func TestAKeyIsUnwrappedOnceAndForgottenInTime(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(t)
		box := sealed(t, envelopeOf(t, s, seal.EnvelopeConfig{}), "x")
		e := envelopeOf(t, s, seal.EnvelopeConfig{CacheAge: time.Minute})
		n := s.unwraps.Load()
		start := time.Now()
		for time.Since(start) < 10*time.Minute {
			opens(t, e, box, "x")
			time.Sleep(time.Second)
		}
		if n := s.unwraps.Load() - n; n != 10 {
			t.Errorf("%d calls in ten minutes, want 10: use must not prolong the time of a key", n)
		}
	})
}

func TestTheCacheIsBounded(t *testing.T) {
	s := newService(t)
	var boxes [][]byte
	for range 20 {
		boxes = append(boxes, sealed(t, envelopeOf(t, s, seal.EnvelopeConfig{}), "x"))
	}
	e := envelopeOf(t, s, seal.EnvelopeConfig{CacheKeys: 10})
	calls := func(do func()) int64 {
		before := s.unwraps.Load()
		do()
		return s.unwraps.Load() - before
	}
	all := func(boxes [][]byte) func() {
		return func() {
			for _, b := range boxes {
				opens(t, e, b, "x")
			}
		}
	}
	if n := calls(all(boxes)); n != 20 {
		t.Errorf("%d calls for 20 keys", n)
	}
	if n := calls(all(boxes[10:])); n != 0 {
		t.Errorf("%d calls for the ten used last", n)
	}
	if n := calls(all(boxes[:1])); n != 1 {
		t.Errorf("%d calls for an evicted one", n)
	}
	if n := calls(all(boxes[11:])); n != 0 {
		t.Errorf("%d calls for nine of the ten used last", n)
	}
	opens(t, e, boxes[11], "x")
	opens(t, e, boxes[1], "x") // evicts the one that was used least recently, which is another now
	if n := calls(all(boxes[11:12])); n != 0 {
		t.Errorf("%d calls for the one used last", n)
	}
	all(boxes[11:])()
	// Made-up keys of a stranger evict nothing.
	for i := range 1000 {
		bad := bytes.Clone(boxes[19])
		binary.BigEndian.PutUint32(bad[40:], uint32(i))
		if _, err := e.Open(t.Context(), nil, bad, here); err != seal.ErrInvalid {
			t.Fatal(err)
		}
	}
	if n := calls(all(boxes[11:])); n != 0 {
		t.Errorf("%d calls after boxes of a stranger", n)
	}
	off := envelopeOf(t, s, seal.EnvelopeConfig{CacheKeys: -1})
	if n := calls(func() { opens(t, off, boxes[0], "x"); opens(t, off, boxes[0], "x") }); n != 2 {
		t.Errorf("%d calls without a cache", n)
	}
}

// The cache is asked for the whole of the wrapped key with its ids. Parts of one box in another never find its key.
func TestAForeignWrappedKeyNeverAnswersForAnother(t *testing.T) {
	s, stranger := newService(t), newService(t)
	a, b := sealed(t, envelopeOf(t, s, seal.EnvelopeConfig{}), "aaaaa"), sealed(t, envelopeOf(t, s, seal.EnvelopeConfig{}), "bbbbb")
	foreign := sealed(t, envelopeOf(t, stranger, seal.EnvelopeConfig{}), "fffff")
	e := envelopeOf(t, s, seal.EnvelopeConfig{})
	opens(t, e, a, "aaaaa")
	opens(t, e, b, "bbbbb")
	const end = 11 + 77
	cuts := []int{1, 5, 9, 11, end, len(a)}
	for _, x := range [][]byte{a, b, foreign} {
		for _, y := range [][]byte{a, b, foreign} {
			for mask := range 1 << (len(cuts) - 1) { // every mixture of fields
				var mix []byte
				mix = append(mix, 4)
				for i := range cuts[1:] {
					from := x
					if mask>>i&1 == 1 {
						from = y
					}
					mix = append(mix, from[cuts[i]:cuts[i+1]]...)
				}
				msg, err := e.Open(t.Context(), nil, mix, here)
				switch {
				case bytes.Equal(mix, a), bytes.Equal(mix, b):
					if err != nil {
						t.Fatal(err)
					}
				case msg != nil || err != seal.ErrInvalid && !errors.Is(err, seal.ErrUnknownKey): // the stranger's ring key is unknown
					t.Fatalf("%x: %q, %v", mix, msg, err)
				}
			}
		}
	}
	opens(t, e, a, "aaaaa")
}

func TestOldKEKsOpenAndTheFirstOneSeals(t *testing.T) {
	older, newer := newService(t), newService(t)
	cfg := seal.EnvelopeConfig{KEKs: []seal.NamedKEK{{"old", older}}}
	first, err := seal.NewEnvelope(cfg)
	if err != nil {
		t.Fatal(err)
	}
	box := sealed(t, first, "x")
	both := envelopeOf(t, newer, cfg)
	opens(t, both, box, "x")
	if !both.NeedsReseal(box) || first.NeedsReseal(box) {
		t.Error("NeedsReseal")
	}
	again, err := both.Reseal(t.Context(), nil, box, here)
	if err != nil || both.NeedsReseal(again) {
		t.Fatal(err)
	}
	alone := envelopeOf(t, newer, seal.EnvelopeConfig{})
	opens(t, alone, again, "x")
	var key *seal.KeyError
	if _, err := alone.Open(t.Context(), nil, box, here); !errors.As(err, &key) || !errors.Is(err, seal.ErrUnknownKey) || key.ID != seal.ID(box[1:5]) {
		t.Errorf("a KEK that is gone: %v", err)
	}
	for n := range 88 {
		if both.NeedsReseal(box[:n]) {
			t.Errorf("NeedsReseal of %d bytes", n)
		}
	}
}

func TestTheRingOfAKEKRotatesUnderItsEnvelope(t *testing.T) {
	old, newer := seal.GenerateKey(), seal.GenerateKey()
	ring := ringOf(t, old, newer)
	e := envelopeOf(t, seal.NewRingKEK(ring), seal.EnvelopeConfig{CacheKeys: -1})
	box := sealed(t, e, "x")
	if e.NeedsReseal(box) {
		t.Error("needs it before anything has changed")
	}
	if err := ring.Promote(newer.ID()); err != nil {
		t.Fatal(err)
	}
	opens(t, e, box, "x")
	if !e.NeedsReseal(box) {
		t.Error("NeedsReseal does not see the ring")
	}
	box, err := e.Reseal(t.Context(), nil, box, here)
	if err != nil || e.NeedsReseal(box) {
		t.Fatalf("resealed under the old key, %v", err)
	}
	stale := sealed(t, envelopeOf(t, seal.NewRingKEK(ringOf(t, old)), seal.EnvelopeConfig{}), "x")
	if err := ring.Retire(old.ID()); err != nil {
		t.Fatal(err)
	}
	opens(t, e, box, "x")
	if _, err := e.Open(t.Context(), nil, stale, here); !errors.Is(err, seal.ErrKeyDisabled) || errors.Is(err, seal.ErrUnavailable) {
		t.Errorf("%v; want the ring's own word", err)
	}
	_, err = envelopeOf(t, seal.NewRingKEK(nil), seal.EnvelopeConfig{}).Seal(t.Context(), nil, nil, here)
	unavailable(t, err, seal.ErrNoPrimary)
}

func TestCloseEndsEverything(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(t)
		e := envelopeOf(t, s, seal.EnvelopeConfig{})
		box := sealed(t, e, "x")
		stranger := sealed(t, envelopeOf(t, s, seal.EnvelopeConfig{}), "x")
		s.unwrapping(hang)
		waiting := make(chan error, 1)
		go func() {
			_, err := e.Open(context.Background(), nil, stranger, here)
			waiting <- err
		}()
		synctest.Wait()
		at := time.Now()
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
		if err := <-waiting; err != seal.ErrClosed {
			t.Errorf("who was waiting: %v", err)
		}
		if d := time.Since(at); d != 0 {
			t.Errorf("the call was cancelled after %v", d)
		}
		if err := e.Close(t.Context()); err != nil {
			t.Errorf("a second time: %v", err)
		}
		if _, err := e.Seal(t.Context(), nil, nil, here); err != seal.ErrClosed {
			t.Error(err)
		}
		if _, err := e.Open(t.Context(), nil, box, here); err != seal.ErrClosed {
			t.Error(err)
		}
		if n := seal.KeysHeld(e); n != 0 {
			t.Errorf("%d keys are left", n)
		}
	})
}

func TestKeysWhoseTimeIsOverAreOverwritten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(t)
		e := envelopeOf(t, s, seal.EnvelopeConfig{MaxAge: time.Hour, CacheAge: time.Minute})
		other := sealed(t, envelopeOf(t, s, seal.EnvelopeConfig{}), "x")
		sealed(t, e, "x")
		opens(t, e, other, "x")
		for _, c := range []struct {
			after time.Duration
			keys  int
		}{{0, 2}, {59 * time.Second, 2}, {2 * time.Second, 1}, {58 * time.Minute, 1}, {time.Minute, 0}} {
			time.Sleep(c.after)
			synctest.Wait()
			if n := seal.KeysHeld(e); n != c.keys {
				t.Errorf("%v later %d keys are held, want %d", c.after, n, c.keys)
			}
		}
	})
}

func TestAKeyThatWasReplacedIsOverwritten(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(t)
		e := envelopeOf(t, s, seal.EnvelopeConfig{CacheKeys: -1})
		sealed(t, e, "x")
		first := seal.Current(e)
		if first() || seal.KeysHeld(e) != 1 {
			t.Error("the key in use was overwritten")
		}
		time.Sleep(31 * time.Minute)
		sealed(t, e, "x")
		synctest.Wait() // for its successor
		second := seal.Current(e)
		if !first() || second() {
			t.Error("overwritten: the old key", first(), "the new one", second())
		}
		time.Sleep(time.Hour) // and nobody asks for it
		synctest.Wait()
		if !second() || seal.KeysHeld(e) != 0 {
			t.Error("a key whose time is over is held")
		}
	})
}

func TestStreamsThroughAnEnvelope(t *testing.T) {
	if fips140.Enforced() {
		t.Skip("streams cannot be made under GODEBUG=fips140=only")
	}
	s := newService(t)
	e := envelopeOf(t, s, seal.EnvelopeConfig{})
	for _, n := range []int{0, 1, 16384, 100_000, 3 << 20} {
		for _, workers := range []int{1, 2} {
			msg := make([]byte, n)
			rand.NewChaCha8([32]byte{byte(n)}).Read(msg)
			var file bytes.Buffer
			w, err := e.NewParallelWriter(t.Context(), &file, here, workers)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.Write(msg); err != nil || w.Close() != nil {
				t.Fatal(err)
			}
			if want := n + 16*(n/16384+1) + 56 + 11 + 77; file.Len() != want || file.Bytes()[0] != 5 {
				t.Errorf("%d bytes, want %d", file.Len(), want)
			}
			other := envelopeOf(t, s, seal.EnvelopeConfig{})
			r, err := other.NewParallelReader(t.Context(), bytes.NewReader(file.Bytes()), here, workers)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, msg) {
				t.Fatalf("%d bytes: %v", n, err)
			}
			ra, err := other.NewReaderAt(t.Context(), bytes.NewReader(file.Bytes()), int64(file.Len()), here)
			if err != nil || ra.Size() != int64(n) {
				t.Fatal(err)
			}
			if got, err := io.ReadAll(io.NewSectionReader(ra, 0, ra.Size())); err != nil || !bytes.Equal(got, msg) {
				t.Fatalf("%d bytes: %v", n, err)
			}
			if other.NeedsReseal(file.Bytes()[:88]) {
				t.Error("NeedsReseal")
			}
		}
	}
	var file bytes.Buffer
	w, err := e.NewWriter(t.Context(), &file, here)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = w.Write(make([]byte, 20_000))
	_ = w.Close()
	there := here
	there.Subject = "user-43"
	if _, err := e.NewReader(t.Context(), bytes.NewReader(file.Bytes()), there); err != seal.ErrInvalid {
		t.Errorf("in another place: %v", err)
	}
	if _, err := e.NewReaderAt(t.Context(), bytes.NewReader(file.Bytes()), int64(file.Len()), there); err != seal.ErrInvalid {
		t.Errorf("in another place: %v", err)
	}
	for n := range file.Len() {
		r, err := e.NewReader(t.Context(), bytes.NewReader(file.Bytes()[:n]), here)
		if err == nil {
			_, err = io.Copy(io.Discard, r)
		}
		if err != seal.ErrInvalid && err != seal.ErrTruncated {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
		if _, err := e.NewReaderAt(t.Context(), bytes.NewReader(file.Bytes()), int64(n), here); err != seal.ErrInvalid && err != seal.ErrTruncated {
			t.Fatalf("cut to %d bytes: %v", n, err)
		}
	}
	if _, err := e.NewReader(t.Context(), io.MultiReader(bytes.NewReader(file.Bytes()[:50]), failing{}), here); err != errDown {
		t.Errorf("an error of the reader: %v", err)
	}
	if _, err := e.NewWriter(t.Context(), io.Discard, seal.Context{}); !errors.Is(err, seal.ErrContext) {
		t.Error(err)
	}
	if _, err := e.NewReader(t.Context(), &file, seal.Context{}); !errors.Is(err, seal.ErrContext) {
		t.Error(err)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errDown }

func TestAStreamUnderAKeyThatWasReplacedOpensFromTheCache(t *testing.T) {
	if fips140.Enforced() {
		t.Skip("streams cannot be made under GODEBUG=fips140=only")
	}
	s := newService(t)
	e := envelopeOf(t, s, seal.EnvelopeConfig{MaxBytes: 100})
	var file bytes.Buffer
	w, err := e.NewWriter(t.Context(), &file, here)
	if err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	if box, err := e.Seal(t.Context(), nil, make([]byte, 100), here); err != nil || bytes.Equal(box[1:88], file.Bytes()[1:88]) {
		t.Fatal("under the same key", err)
	}
	n := s.unwraps.Load()
	r, err := e.NewReader(t.Context(), &file, here)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(r); err != nil || s.unwraps.Load() > n+1 { // the next key may have been checked meanwhile
		t.Error(err)
	}
}

func TestTheBytesOfAStreamCount(t *testing.T) {
	if fips140.Enforced() {
		t.Skip("streams cannot be made under GODEBUG=fips140=only")
	}
	s := newService(t)
	e := envelopeOf(t, s, seal.EnvelopeConfig{MaxBytes: 1000, SkipUnwrapCheck: true})
	w, err := e.NewWriter(t.Context(), io.Discard, here)
	if err != nil {
		t.Fatal(err)
	}
	s.counts(t, 1, 0)
	if _, err := w.Write(make([]byte, 1<<20)); err != nil || w.Close() != nil {
		t.Fatal(err)
	}
	if _, err := e.NewWriter(t.Context(), io.Discard, here); err != nil {
		t.Fatal(err)
	}
	s.counts(t, 2, 0)
}

func TestAnEnvelopeIsSafeForConcurrentUse(t *testing.T) {
	s := newService(t)
	var calls atomic.Int64
	s.wrapping(func(context.Context, []byte) ([]byte, error) {
		if calls.Add(1)%5 == 0 {
			return nil, errDown
		}
		return nil, nil
	})
	e := envelopeOf(t, s, seal.EnvelopeConfig{MaxMessages: 50, CacheKeys: 4, MaxAge: time.Minute, SkipUnwrapCheck: true})
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			var boxes [][]byte
			for i := range 300 {
				box, err := e.Seal(context.Background(), nil, fmt.Append(nil, g, i), here)
				if err != nil {
					var k *seal.KEKError
					if !errors.As(err, &k) {
						t.Error(err)
					}
					runtime.Gosched()
				} else {
					boxes = append(boxes, box)
				}
				if len(boxes) == 0 {
					continue
				}
				if _, err := e.Open(context.Background(), nil, boxes[rand.IntN(len(boxes))], here); err != nil {
					t.Error(err)
				}
				if !fips140.Enforced() && i%10 == 0 {
					var file bytes.Buffer
					if w, err := e.NewWriter(context.Background(), &file, here); err == nil {
						_, _ = w.Write([]byte("x"))
						_ = w.Close()
						if r, err := e.NewReader(context.Background(), &file, here); err != nil {
							t.Error(err)
						} else if got, err := io.ReadAll(r); err != nil || string(got) != "x" {
							t.Error(err)
						}
					}
				}
			}
		})
	}
	wg.Wait()
}

func TestAnEnvelopeDoesNotShowItsKeys(t *testing.T) {
	ring := ringOf(t, seal.KeyOf([32]byte([]byte(prints.Secret))))
	e := envelopeOf(t, leaky{prints.Secret, seal.NewRingKEK(ring)}, seal.EnvelopeConfig{})
	sealed(t, e, "x")
	prints.None(t, e, *e, &seal.KEKError{Name: "kms", Err: errDown}, seal.NewRingKEK(ring))
	if s := fmt.Sprintf("%v", e); s != `[seal envelope under ["kms"]]` {
		t.Error(s)
	}
}

type leaky struct {
	Secret string
	seal.KEK
}

// The seeds hold a genuine box, so that the engine starts behind the first checks.
func FuzzEnvelopeOpen(f *testing.F) {
	kek := seal.NewRingKEK(ringOf(f, numbered(1)))
	e := envelopeOf(f, kek, seal.EnvelopeConfig{})
	box, err := e.Seal(f.Context(), nil, []byte("hello"), here)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(box)
	f.Add(box[:11])
	f.Add(append([]byte{5}, box[1:]...))
	f.Add([]byte{4, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		keep := bytes.Clone(data)
		// The engine runs in several processes, each with a seed of its own that opens in all of them.
		msg, err := e.Open(t.Context(), nil, data, here)
		if err == nil && (string(msg) != "hello" || len(data) != len(box)) || err != nil && bytes.Equal(data, box) {
			t.Fatalf("%q, %v", msg, err)
		}
		if !bytes.Equal(data, keep) {
			t.Fatal("the box was changed")
		}
		if _, err := e.NewReader(t.Context(), bytes.NewReader(data), here); err == nil {
			t.Fatal("a stream that nobody made")
		}
		e.NeedsReseal(data)
	})
}

func TestAnEnvelopeAllocatesNoMoreThanARing(t *testing.T) {
	if raced.Enabled {
		t.Skip("the race detector allocates")
	}
	e := envelopeOf(t, newService(t), seal.EnvelopeConfig{})
	msg := make([]byte, 64)
	box := sealed(t, e, string(msg))
	dst := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { _, _ = e.Seal(context.Background(), dst, msg, here) }); n > 2 {
		t.Errorf("Seal: %v allocations", n)
	}
	if n := testing.AllocsPerRun(100, func() { _, _ = e.Open(context.Background(), dst, box, here) }); n > 2 {
		t.Errorf("Open: %v allocations", n)
	}
}

func BenchmarkEnvelope(b *testing.B) {
	for _, n := range []int{64, 4 << 10, 1 << 20} {
		msg := make([]byte, n)
		e := envelopeOf(b, newService(b), seal.EnvelopeConfig{MaxMessages: 1 << 32, MaxBytes: 1 << 62})
		box, dst := sealed(b, e, string(msg)), make([]byte, 0, n+1024)
		b.Run(fmt.Sprintf("Seal/%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = e.Seal(context.Background(), dst, msg, here)
			}
		})
		b.Run(fmt.Sprintf("Open/%d", n), func(b *testing.B) {
			b.SetBytes(int64(n))
			b.ReportAllocs()
			for b.Loop() {
				_, _ = e.Open(context.Background(), dst, box, here)
			}
		})
	}
	// What an attacker's made-up key costs, with a KEK in memory.
	b.Run("Open/made-up", func(b *testing.B) {
		e := envelopeOf(b, newService(b), seal.EnvelopeConfig{})
		box := sealed(b, e, "x")
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			binary.BigEndian.PutUint64(box[40:], uint64(i))
			if _, err := e.Open(context.Background(), nil, box, here); err != seal.ErrInvalid {
				b.Fatal(err)
			}
		}
	})
}

func TestATurnThatIsNotNeededIsGivenBack(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(t)
		var boxes [][]byte
		for range 5 {
			boxes = append(boxes, sealed(t, envelopeOf(t, s, seal.EnvelopeConfig{}), "x"))
		}
		s.unwrapping(func(context.Context, []byte) ([]byte, error) {
			time.Sleep(time.Second)
			return nil, nil
		})
		e := envelopeOf(t, s, seal.EnvelopeConfig{MaxCalls: 1, Timeout: time.Minute})
		n := s.unwraps.Load()
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() { opens(t, e, boxes[i/4], "x") })
		}
		wg.Wait()
		if n := s.unwraps.Load() - n; n != 5 {
			t.Errorf("%d calls for five keys", n)
		}
	})
}

func TestWhoeverWaitsForHisTurnIsServedOrToldWhy(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(t)
		var boxes [][]byte
		for range 5 {
			boxes = append(boxes, sealed(t, envelopeOf(t, s, seal.EnvelopeConfig{}), "x"))
		}
		s.unwrapping(func(context.Context, []byte) ([]byte, error) {
			time.Sleep(time.Second)
			return nil, nil
		})
		e := envelopeOf(t, s, seal.EnvelopeConfig{MaxCalls: 1, Timeout: 3500 * time.Millisecond, CacheKeys: -1})
		n := s.unwraps.Load()
		all := func(ctx context.Context) (served, left, unavailable, closed int) {
			results := make(chan error)
			for i := range 10 { // two for each box, who share a call
				go func() {
					_, err := e.Open(ctx, nil, boxes[i/2], here)
					results <- err
				}()
			}
			for range 10 {
				switch err := <-results; {
				case err == nil:
					served++
				case err == context.DeadlineExceeded:
					left++
				case err == seal.ErrClosed:
					closed++
				case errors.Is(err, seal.ErrUnavailable):
					unavailable++
				default:
					t.Error(err)
				}
			}
			return
		}
		served, left, refused, closed := all(context.Background())
		if served < 3 || refused < 1 || served+refused != 10 || left+closed != 0 {
			t.Errorf("one call a second, 3.5 seconds: %d served, %d refused, %d, %d", served, refused, left, closed)
		}
		if n := s.unwraps.Load() - n; n > 5 {
			t.Errorf("%d calls for five keys", n)
		}
		synctest.Wait()
		time.Sleep(time.Minute)
		ctx, cancel := context.WithTimeout(context.Background(), 1500*time.Millisecond)
		defer cancel()
		if served, left, refused, closed = all(ctx); served < 1 || served+left != 10 || left < 1 {
			t.Errorf("with a deadline: %d served, %d left, %d, %d", served, left, refused, closed)
		}
		time.Sleep(time.Minute)
		time.AfterFunc(1500*time.Millisecond, func() { _ = e.Close(context.Background()) })
		if served, left, refused, closed = all(context.Background()); served < 1 || served+closed != 10 || closed < 1 {
			t.Errorf("with Close: %d served, %d closed, %d, %d", served, closed, left, refused)
		}
		time.Sleep(time.Minute)
	})
}

// A data key that is too old by the time it comes would be fetched again and again.
func TestADataKeyLivesForASecondAtLeast(t *testing.T) {
	for age, want := range map[time.Duration]bool{0: true, 1: false, time.Second - 1: false, time.Second: true} {
		_, err := seal.NewEnvelope(seal.EnvelopeConfig{KEKs: []seal.NamedKEK{{Name: "kms", KEK: newService(t)}}, MaxAge: age})
		if (err == nil) != want || err != nil && !strings.Contains(err.Error(), "MaxAge") {
			t.Errorf("%v: %v", age, err)
		}
	}
}

func TestTheTimeToComeBackIsRoundedUpToWholeSeconds(t *testing.T) {
	for after, want := range map[time.Duration]int64{0: 1, 1: 1, 999 * time.Millisecond: 1, time.Second: 1, time.Second + 1: 2, -time.Second: 1} {
		if got := (&seal.KEKError{RetryAfter: after}).RetryAfterSeconds(); got != want {
			t.Errorf("%v: %d, want %d", after, got, want)
		}
	}
}

// waiting is a context whose Done is called when a caller begins to wait for the KEK.
type waiting struct {
	context.Context
	begin func()
}

func (w waiting) Done() <-chan struct{} {
	w.begin()
	return w.Context.Done()
}

// The KEK has answered, and before the caller gets the key the Envelope is closed.
func TestAKeyThatComesWithTheEndOpensNothing(t *testing.T) {
	bubble(t, func(t *testing.T) {
		s := newService(t)
		box := sealed(t, envelopeOf(t, s, seal.EnvelopeConfig{}), "x")
		e := envelopeOf(t, s, seal.EnvelopeConfig{})
		closed := false
		ctx := waiting{t.Context(), func() {
			synctest.Wait() // until the call has ended
			if !closed {
				closed = true
				if err := e.Close(t.Context()); err != nil {
					t.Error(err)
				}
			}
		}}
		if msg, err := e.Open(ctx, nil, box, here); msg != nil || err != seal.ErrClosed || !closed {
			t.Errorf("%q, %v; closed: %v", msg, err, closed)
		}
	})
}

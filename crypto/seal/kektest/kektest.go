// Package kektest tests implementations of [seal.KEK]: call Run from a test of yours. Each case says the rule it is about.
package kektest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/seal"
)

// Run tests the KEK that open returns, a new one on the same key for each call, so that nothing is tested that one value keeps to itself.
// It makes some 100 calls of it.
func Run(t *testing.T, open func(t *testing.T) seal.KEK) {
	dek, aad := bytes.Repeat([]byte("K1"), 16), []byte("here")
	wrap := func(t *testing.T) []byte {
		t.Helper()
		mine := bytes.Clone(dek)
		blob, err := open(t).Wrap(t.Context(), mine, aad)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(mine, dek) || string(aad) != "here" {
			t.Fatal("Wrap changes what it was given")
		}
		return bytes.Clone(blob)
	}
	refused := func(t *testing.T, blob, aad []byte) {
		t.Helper()
		got, err := open(t).Unwrap(t.Context(), blob, aad)
		if err == nil || len(got) > 0 {
			t.Errorf("%d bytes, %v; want an error and nothing else", len(got), err)
		} else if !errors.Is(err, seal.ErrInvalid) {
			t.Logf("not an ErrInvalid, so it counts as an outage: %v", err) // allowed, where the service does not say
		}
	}

	t.Run("another process unwraps what one has wrapped", func(t *testing.T) {
		blob := wrap(t)
		got, err := open(t).Unwrap(t.Context(), blob, aad)
		if err != nil || !bytes.Equal(got, dek) {
			t.Errorf("another key, %v", err)
		}
	})
	t.Run("a wrapped key is not the key and of a length that a box can hold", func(t *testing.T) {
		if blob := wrap(t); len(blob) == 0 || len(blob) > seal.MaxWrappedKey || bytes.Contains(blob, dek) {
			t.Errorf("%d bytes", len(blob))
		}
	})
	t.Run("what it returns is the caller's to overwrite", func(t *testing.T) {
		k := open(t)
		blob := wrap(t)
		for range 2 {
			got, err := k.Unwrap(t.Context(), bytes.Clone(blob), aad)
			if err != nil || !bytes.Equal(got, dek) {
				t.Fatalf("another key, %v", err)
			}
			clear(got)
		}
	})
	t.Run("a wrapped key is bound to its associated data", func(t *testing.T) {
		blob := wrap(t)
		for _, other := range []string{"", "her", "here ", "Here"} {
			refused(t, blob, []byte(other))
		}
	})
	t.Run("a changed, cut or made-up blob is refused", func(t *testing.T) {
		blob := wrap(t)
		for i := range 16 { // a bit of 16 bytes all over it
			bad := bytes.Clone(blob)
			bad[i*(len(bad)-1)/15] ^= 1 << (i % 8)
			refused(t, bad, aad)
		}
		for _, n := range []int{0, 1, len(blob) / 2, len(blob) - 1} {
			refused(t, blob[:n:n], aad)
		}
		refused(t, make([]byte, len(blob)), aad)
		refused(t, dek, aad)
	})
	t.Run("a context that has ended, or ends, is no reason to hang or to panic", func(t *testing.T) {
		blob := wrap(t)
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		done := make(chan struct{})
		go func() {
			defer close(done)
			k := open(t)
			if got, err := k.Unwrap(ended, blob, aad); err == nil && !bytes.Equal(got, dek) {
				t.Error("another key")
			} else if errors.Is(err, seal.ErrInvalid) {
				t.Error("that its time is over says nothing of a blob, so it is no ErrInvalid")
			}
			_, _ = k.Wrap(ended, bytes.Clone(dek), aad)
		}()
		select {
		case <-done:
		case <-time.After(10 * time.Second):
			t.Error("still at work after 10 seconds")
		}
	})
	t.Run("it is safe for concurrent use", func(t *testing.T) {
		k := open(t)
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				aad := fmt.Append(nil, i)
				mine := bytes.Repeat([]byte{byte(i)}, 32)
				blob, err := k.Wrap(t.Context(), bytes.Clone(mine), aad)
				if err != nil {
					t.Error(err)
					return
				}
				if got, err := k.Unwrap(t.Context(), blob, aad); err != nil || !bytes.Equal(got, mine) {
					t.Errorf("another key, %v", err)
				}
			})
		}
		wg.Wait()
	})
	t.Run("an Envelope works with it", func(t *testing.T) {
		c := seal.Context{Purpose: "kektest"}
		envelope := func() *seal.Envelope {
			e, err := seal.NewEnvelope(seal.EnvelopeConfig{KEKs: []seal.NamedKEK{{Name: "kektest", KEK: open(t)}}})
			if err != nil {
				t.Fatal(err)
			}
			return e
		}
		e, other := envelope(), envelope()
		defer e.Close(t.Context())
		defer other.Close(t.Context())
		box, err := e.Seal(t.Context(), nil, []byte("hello"), c)
		if err != nil {
			t.Fatal(err)
		}
		if msg, err := other.Open(t.Context(), nil, box, c); err != nil || string(msg) != "hello" {
			t.Errorf("%q, %v", msg, err)
		}
	})
}

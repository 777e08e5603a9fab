package servetls_test

import (
	"bytes"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/servetls"
)

// Whatever a file holds: no panic, and what is accepted is whole and consistent.
func FuzzFiles(f *testing.F) {
	ca := newAuthority(f, "intermediate", newAuthority(f, "root", nil))
	p := ca.issue(host)
	f.Add(p.chain, p.key)
	f.Add(p.chain[:len(p.chain)-40], p.key)
	f.Add(ca.pem(), p.key)
	f.Add(append([]byte("-----BEGIN CERTIFICATE-----\n"), p.chain...), append([]byte("-----BEGIN EC PARAMETERS-----\nAA==\n-----END EC PARAMETERS-----\n"), p.key...))
	f.Add(append(bytes.Clone(p.chain), ca.pem()[len("-----BEGIN CERTIFICATE-----\n"):]...), p.key)
	f.Add([]byte("-----BEGIN"), []byte("-----BEGIN X-----\nA: b\n\n-----END X-----"))
	now := time.Now()
	f.Fuzz(func(t *testing.T, chain, key []byte) {
		if pair, err := servetls.ParsePair(bytes.Clone(chain), bytes.Clone(key), now); err == nil {
			if n := len(pair.Certificate); n != bytes.Count(chain, []byte("-----BEGIN")) || n != bytes.Count(chain, []byte("-----END")) || pair.PrivateKey == nil || pair.Leaf == nil || !bytes.Equal(pair.Leaf.Raw, pair.Certificate[0]) {
				t.Error("a pair that is not whole")
			}
		}
		if pool, ends, err := servetls.ParseCAs([][]byte{chain, key}, now); err == nil && (pool == nil || ends.Before(now)) {
			t.Error("a pool without a CA that is valid")
		}
	})
}

// A chain that is cut off anywhere is refused, or is shorter by whole certificates, which only a second look can tell.
func TestAChainCutOffAnywhereIsNoChain(t *testing.T) {
	ca := newAuthority(t, "intermediate", newAuthority(t, "root", nil))
	p := ca.issue(host)
	leaf := len(certPEM(p.leaf))
	var taken []int
	for n := range len(p.chain) - 1 { // without the last line's end it is whole
		if _, err := servetls.ParsePair(p.chain[:n], p.key, time.Now()); err == nil {
			taken = append(taken, n-leaf)
		}
	}
	// -1: only the line's end is missing. Then the dashes that begin the second block.
	for _, n := range taken {
		if n < -1 || n > 4 {
			t.Errorf("%d bytes after the leaf's end", n)
		}
	}
	for n := range len(p.key) - 1 {
		if _, err := servetls.ParsePair(p.chain, p.key[:n], time.Now()); err == nil {
			t.Errorf("%d of %d bytes of a key", n, len(p.key))
		}
	}
}

package apikey_test

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/authtest"
)

func TestATableFindsEveryKeyItHasAndNoOther(t *testing.T) {
	sizes := []int{0, 1, 2, 3, 4, 5, 7, 8, 9, 31, 100, 1000, 5000}
	if !testing.Short() {
		sizes = append(sizes, 100_000)
	}
	for _, n := range sizes {
		ids := make(map[string]bool, n)
		for len(ids) < n {
			id := apikey.Random(apikey.IDLen)
			if len(ids)%3 == 0 { // also ids that differ little, as imported ones may
				id = fmt.Sprintf("%012d", len(ids))
			}
			ids[id] = true
		}
		table := apikey.NewTable(ids)
		for id := range ids {
			if !table.Has(id) {
				t.Fatalf("%d keys: %s is lost", n, id)
			}
		}
		for range 1000 {
			if id := apikey.Random(apikey.IDLen); table.Has(id) != ids[id] {
				t.Fatalf("%d keys: %s is found", n, id)
			}
		}
		if table.Has("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00") {
			t.Errorf("%d keys: an empty place is a key", n)
		}
	}
}

// A key whose secret is nothing has no hash that could be hit: the digest of an empty place is no SHA-256 anybody knows.
func TestAnEmptyPlaceOpensNothing(t *testing.T) {
	m := with(t, apikey.Config{Store: apikey.NewMemoryStore()})
	live := apikey.NewShape("acme", "live")
	for range 1000 {
		if _, err := m.Verify(live.Format(apikey.Random(apikey.IDLen), apikey.Random(apikey.SecretLen)), netip.Addr{}, time.Now()); err == nil {
			t.Fatal("accepted")
		}
	}
	// Base 62 is not looked at before the hash; with a right checksum such a key is refused all the same.
	key := live.Format("\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", apikey.Random(apikey.SecretLen))
	if _, err := m.Authenticate(authtest.Request("GET", "/", "", func(r *http.Request) { r.Header["X-Api-Key"] = []string{key} })); err == nil {
		t.Error("accepted")
	}
}

// BenchmarkMemory reports what 100,000 keys take in the manager, beside the store's own copy.
func BenchmarkMemory(b *testing.B) {
	const n = 100_000
	s := apikey.NewMemoryStore()
	shape := apikey.NewShape("acme", "live")
	for i := range n {
		id := apikey.Random(apikey.IDLen)
		s.Put(context.Background(), apikey.Record{ID: id, Hash: shape.Digest(shape.Format(id, apikey.Random(apikey.SecretLen))), ClientID: fmt.Sprint("client", i), Scopes: []string{"chat:write"}})
	}
	var before, after runtime.MemStats
	for b.Loop() {
		runtime.GC()
		runtime.ReadMemStats(&before)
		m := with(b, apikey.Config{Store: s})
		runtime.GC()
		runtime.ReadMemStats(&after)
		b.ReportMetric((float64(after.HeapAlloc)-float64(before.HeapAlloc))/n, "B/key")
		runtime.KeepAlive(m)
	}
}

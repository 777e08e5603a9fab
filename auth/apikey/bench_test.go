package apikey_test

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/authtest"
)

// seeded returns a manager of n keys and up to 4096 of the keys, as values of an Authorization header.
func seeded(b *testing.B, n int) (*apikey.Manager, []string) {
	b.Helper()
	s := apikey.NewMemoryStore()
	shape := apikey.NewShape("acme", "live")
	var requests []string
	for i := range n {
		id := apikey.Random(apikey.IDLen)
		key := shape.Format(id, apikey.Random(apikey.SecretLen))
		if _, err := s.Put(context.Background(), apikey.Record{ID: id, Hash: shape.Digest(key), ClientID: fmt.Sprint("client", i), Scopes: []string{"chat:write"}}); err != nil {
			b.Fatal(err)
		}
		if len(requests) < 4096 {
			requests = append(requests, "Bearer "+key)
		}
	}
	rand.Shuffle(len(requests), func(i, j int) { requests[i], requests[j] = requests[j], requests[i] })
	return with(b, apikey.Config{Store: s}), requests
}

// request returns one request, as hot in the cache as a server's is, and the slot of its credential.
func request() (r *http.Request, header []string) {
	r = authtest.Request("POST", "/v1/chat/completions", "", authtest.Bearer(""))
	r.Header.Set("User-Agent", "OpenAI/Python 1.99.0")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Type", "application/json")
	return r, r.Header["Authorization"]
}

// BenchmarkAuthenticate is the cost of a good key by number of keys. Goal: at most 1.5 times BenchmarkPrimitive, no allocation.
func BenchmarkAuthenticate(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			m, values := seeded(b, n)
			r, header := request()
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				header[0] = values[i%len(values)]
				if _, err := m.Authenticate(r); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkPrimitive is what a check cannot do without: SHA-256 of the key, a map lookup among 100,000, a constant time compare.
func BenchmarkPrimitive(b *testing.B) {
	type entry struct{ hash [32]byte }
	keys := make(map[string]*entry)
	var all [][]byte
	for range 100_000 {
		id := apikey.Random(apikey.IDLen)
		key := []byte("acme_live_" + id + "_" + apikey.Random(apikey.SecretLen))
		keys[id] = &entry{sha256.Sum256(key)}
		if len(all) < 4096 {
			all = append(all, key)
		}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		key := all[i%len(all)]
		sum := sha256.Sum256(key)
		e := keys[string(key[10:10+apikey.IDLen])]
		if e == nil || subtle.ConstantTimeCompare(sum[:], e.hash[:]) != 1 {
			b.Fatal("no")
		}
	}
}

// BenchmarkRefuse is what a guesser can make us spend. Goal for garbage: about 60 ns, no allocation, no store call.
func BenchmarkRefuse(b *testing.B) {
	m, values := seeded(b, 1000)
	live := apikey.NewShape("acme", "live")
	good := values[0][len("Bearer "):]
	info, _ := apikey.Inspect(good)
	for _, c := range []struct{ name, key string }{
		{"another-prefix", "other_live_0123456789ab"},
		{"short", "acme_live_0123456789ab"},
		{"wrong-checksum", good[:len(good)-1] + string('0'+(good[len(good)-1]+1)%10)},
		{"unknown-id", live.Format(apikey.Random(apikey.IDLen), apikey.Random(apikey.SecretLen))},
		{"wrong-secret", live.Format(info.ID, apikey.Random(apikey.SecretLen))},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := authtest.Request("POST", "/", "", authtest.APIKey(c.key))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := m.Authenticate(r); err == nil {
					b.Fatal("accepted")
				}
			}
		})
	}
}

// BenchmarkVerify is the core without a request.
func BenchmarkVerify(b *testing.B) {
	m, values := seeded(b, 100_000)
	now := time.Now()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		if _, err := m.Verify(values[i%len(values)][len("Bearer "):], netip.Addr{}, now); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkAuthenticateParallel shows that checks share no lock.
func BenchmarkAuthenticateParallel(b *testing.B) {
	m, values := seeded(b, 100_000)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		r, header := request()
		for i := 0; pb.Next(); i++ {
			header[0] = values[i%len(values)]
			if _, err := m.Authenticate(r); err != nil {
				b.Error(err)
			}
		}
	})
}

// BenchmarkCreate is one new key beside 100,000, without the store's own cost.
func BenchmarkCreate(b *testing.B) {
	m, _ := seeded(b, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := m.Create(context.Background(), apikey.Spec{ClientID: "a"}); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkReload is one new snapshot of 100,000 keys; it runs beside the checks and stops none of them.
func BenchmarkReload(b *testing.B) {
	m, _ := seeded(b, 100_000)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := m.Create(context.Background(), apikey.Spec{ClientID: "a"}); err != nil { // a change, so that the batch is not skipped
			b.Fatal(err)
		}
		if err := m.Reload(context.Background()); err != nil {
			b.Fatal(err)
		}
	}
}

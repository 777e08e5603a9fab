package apikey_test

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/authtest"
)

// seeded returns a manager of n keys and 4096 of them (or n), drawn from all, as values of an Authorization header.
func seeded(tb testing.TB, n int) (*apikey.Manager, []string) {
	tb.Helper()
	s := apikey.NewMemoryStore()
	shape := apikey.NewShape("acme", "live")
	requests := make([]string, n)
	for i := range n {
		id := apikey.Random(apikey.IDLen)
		key := shape.Format(id, apikey.Random(apikey.SecretLen))
		if _, err := s.Put(context.Background(), apikey.Record{ID: id, Hash: shape.Digest(key), ClientID: fmt.Sprint("client", i), Scopes: []string{"chat:write"}}); err != nil {
			tb.Fatal(err)
		}
		requests[i] = "Bearer " + key
	}
	rand.Shuffle(len(requests), func(i, j int) { requests[i], requests[j] = requests[j], requests[i] })
	requests = requests[:min(n, 4096)]
	for i := range requests {
		requests[i] = strings.Clone(requests[i]) // side by side, as a server has just read them
	}
	return with(tb, apikey.Config{Store: s}), requests
}

// primitive is what a check cannot do without: a look-up by id, SHA-256 of the key without its checksum, a constant time compare. It
// has as many keys as the manager it is compared with.
type primitive map[string]*[32]byte

func newPrimitive(n int, values []string) primitive {
	p := make(primitive, n)
	for i := range n {
		id, sum := apikey.Random(apikey.IDLen), new([32]byte)
		if every := n / len(values); i%every == 0 && i/every < len(values) { // among the others, as keys in use are
			key := values[i/every][len("Bearer "):]
			*sum = sha256.Sum256([]byte(key[:len(key)-6]))
			id = strings.Clone(key[10 : 10+apikey.IDLen])
		}
		p[id] = sum
	}
	return p
}

func (p primitive) check(key []byte) bool {
	key = key[:len(key)-6]
	sum := sha256.Sum256(key)
	hash := p[string(key[10:10+apikey.IDLen])]
	return hash != nil && subtle.ConstantTimeCompare(sum[:], hash[:]) == 1
}

// request returns one request, as hot in the cache as a server's is, and the slot of its credential.
func request() (r *http.Request, header []string) {
	r = authtest.Request("POST", "/v1/chat/completions", "", authtest.Bearer(""))
	r.Header.Set("User-Agent", "OpenAI/Python 1.99.0")
	r.Header.Set("Accept", "application/json")
	r.Header.Set("Content-Type", "application/json")
	return r, r.Header["Authorization"]
}

// BenchmarkAuthenticate is the cost of a good key by number of keys. Goal: at most 1.5 times the primitive, no allocation. The
// primitive and Verify, which has no headers to read, are measured in turns with it, on the same keys in the same order, so that a
// busy machine disturbs all three; the metrics are medians of 4096 calls each.
func BenchmarkAuthenticate(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000} {
		b.Run(fmt.Sprintf("keys=%d", n), func(b *testing.B) {
			m, values := seeded(b, n)
			p := newPrimitive(n, values)
			keys := make([][]byte, len(values))
			for i, v := range values {
				keys[i] = []byte(v[len("Bearer "):])
			}
			r, header := request()
			now := time.Now()
			const batch = 4096
			var took [3][]float64
			measure := func(i int, f func(int) bool) {
				start := time.Now()
				for j := range batch {
					if !f(j % len(values)) {
						b.Fatal("refused")
					}
				}
				took[i] = append(took[i], float64(time.Since(start))/batch)
			}
			b.ReportAllocs()
			for b.Loop() {
				measure(0, func(i int) bool { return p.check(keys[i]) })
				measure(1, func(i int) bool { _, err := m.Verify(values[i][len("Bearer "):], netip.Addr{}, now); return err == nil })
				measure(2, func(i int) bool { header[0] = values[i]; _, err := m.Authenticate(r); return err == nil })
			}
			for i := range took {
				slices.Sort(took[i])
			}
			median := func(i int) float64 { return took[i][len(took[i])/2] }
			b.ReportMetric(0, "ns/op") // of three things at once: nothing anybody wants to know
			b.ReportMetric(median(0), "ns/primitive")
			b.ReportMetric(median(1), "ns/verify")
			b.ReportMetric(median(2), "ns/authenticate")
			b.ReportMetric(median(2)/median(0), "x-primitive")
		})
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

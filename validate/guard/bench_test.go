package guard_test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/validate/guard"
)

// BenchmarkLookup is the address rules alone: addresses in and near the prefixes of a list, in random order, so that the list
// and not one path through it has to be in the cache.
func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000, 1_000_000} {
		list := many(2 * n)
		for _, family := range []struct {
			name string
			is4  bool
		}{{"v4", true}, {"v6", false}} {
			var mine []netip.Prefix
			for _, p := range list {
				if p.Addr().Is4() == family.is4 {
					mine = append(mine, p)
				}
			}
			b.Run(fmt.Sprintf("%s/%d", family.name, n), func(b *testing.B) {
				g := must(b, guard.Config{Rules: guard.Rules{Deny: mine}, SkipBans: true})
				rnd := rand.New(rand.NewPCG(9, 10))
				var ask [1 << 16]netip.Addr
				hits := 0
				for i := range ask {
					ask[i] = edge(rnd, mine[rnd.IntN(len(mine))])
					if g.Lookup(ask[i]) == guard.Denied {
						hits++
					}
				}
				b.ReportAllocs()
				i := 0
				for b.Loop() {
					g.Lookup(ask[i&(len(ask)-1)])
					i++
				}
				b.ReportMetric(float64(g.Size())/float64(len(mine)), "B/prefix")
				b.ReportMetric(float64(hits)/float64(len(ask)), "hits")
			})
		}
	}
}

// BenchmarkSetRules is how long a new list takes to build; requests do not wait for it.
func BenchmarkSetRules(b *testing.B) {
	for _, n := range []int{1000, 100_000, 1_000_000} {
		list := many(n)
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			g := must(b, guard.Config{SkipBans: true})
			for b.Loop() {
				if err := g.SetRules(guard.Rules{Deny: list}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(p []byte) (int, error) { return len(p), nil }
func (d discard) WriteHeader(int)             {}

// BenchmarkHandler is what a chat request pays: alone, where the exchange has to be made (bare is that exchange without a Guard),
// and inside another room, as in a pipeline. "somebody is banned" is when the table has to be looked at.
func BenchmarkHandler(b *testing.B) {
	nothing := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	enter := func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, w, r := exchange.Enter(w, r)
			defer x.Leave()
			next.ServeHTTP(w, r)
		})
	}
	full := guard.Config{Rules: guard.Rules{Deny: many(100_000)}, Hosts: []string{"example.com"}, Origins: []string{"https://chat.example.com"}}
	busy := must(b, full)
	busy.ReportAddr(attacker, 1000)
	for _, c := range []struct {
		name string
		h    http.Handler
	}{
		{"bare", enter(nothing)},
		{"zero Config", enter(must(b, guard.Config{}).Handler(nothing))},
		{"100k prefixes, hosts, origins", enter(must(b, full).Handler(nothing))},
		{"the same, somebody is banned", enter(busy.Handler(nothing))},
	} {
		b.Run(c.name, func(b *testing.B) {
			r := chat()
			r.Header.Set("X-Request-Id", "bench")
			w := discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				c.h.ServeHTTP(w, r)
			}
		})
	}
}

// BenchmarkAttacker is the most that a request head within the bounds can cost, and what a refused one does.
func BenchmarkAttacker(b *testing.B) {
	g := must(b, guard.Config{BanPoints: 1 << 30})
	withBan := must(b, guard.Config{MaxBan: 1000 * time.Hour, Ban: 1000 * time.Hour})
	withBan.ReportAddr(attacker, 100)
	get := func(change func(*http.Request)) *http.Request {
		r := httptest.NewRequest("GET", "/v1/models", nil)
		r.RemoteAddr = "192.0.2.66:1"
		r.Header.Set("X-Request-Id", "bench")
		change(r)
		return r
	}
	fill := func(s string, n int) string { return strings.Repeat(s, n/len(s)) }
	headers := func(r *http.Request) {
		for i := range guard.DefaultMaxHeaders - 1 {
			r.Header.Set(fmt.Sprintf("X-%d", i), "v")
		}
	}
	for _, c := range []struct {
		name string
		g    *guard.Guard
		r    *http.Request
	}{
		{"path of dots", g, get(func(r *http.Request) { r.URL.Path = "/" + fill("...", 8000) })},
		{"path of one-letter segments", g, get(func(r *http.Request) { r.URL.Path = fill("/w", 8000) })},
		{"path of near misses", g, get(func(r *http.Request) { r.URL.Path = fill("/.dockercf", 8000) })},
		{"agent of one-letter words", g, get(func(r *http.Request) { r.Header.Set("User-Agent", fill("w ", 16000)) })},
		{"agent of near misses", g, get(func(r *http.Request) { r.Header.Set("User-Agent", fill("netsparke ", 16000)) })},
		{"100 headers", g, get(headers)},
		{"a probe", g, get(func(r *http.Request) { r.URL.Path = "/.env" })},
		{"a banned client", withBan, get(func(*http.Request) {})},
	} {
		b.Run(c.name, func(b *testing.B) {
			h := c.g.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
			w := discard{http.Header{}}
			b.ReportAllocs()
			for b.Loop() {
				h.ServeHTTP(w, c.r)
			}
		})
	}
}

// BenchmarkScore is one refusal counted in a full table: a client that is there, and ever new ones, each of which has to push
// another out.
func BenchmarkScore(b *testing.B) {
	for _, c := range []struct {
		name string
		next func(int) int
	}{{"same client", func(int) int { return 0 }}, {"new clients", func(i int) int { return i }}} {
		b.Run(c.name, func(b *testing.B) {
			g := must(b, guard.Config{BanPoints: 1 << 30})
			for i := range 2 * guard.DefaultMaxClients {
				g.ReportAddr(mint(1<<30+i), 1)
			}
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				g.ReportAddr(mint(c.next(i)), 1)
				i++
			}
		})
	}
}

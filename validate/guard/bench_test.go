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
				b.ReportMetric(float64(g.Size())/float64(len(mine)), "B/prefix")
				b.ReportMetric(float64(hits)/float64(len(ask)), "hits")
				i := 0
				for b.Loop() {
					g.Lookup(ask[i&(len(ask)-1)])
					i++
				}
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

var _ = http.StatusOK
var _ = httptest.NewRequest
var _ = strings.Repeat
var _ = time.Now

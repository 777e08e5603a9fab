package guard_test

import (
	"encoding/json"
	"fmt"
	"math"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/validate/guard"
)

var attacker = netip.MustParseAddr("192.0.2.66")

func banned(g *guard.Guard, a netip.Addr) bool { _, b := g.Banned(a); return b }

func TestAClientThatErrsNowAndThenIsNotBanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := must(t, guard.Config{})
		for range 10_000 {
			g.ReportAddr(attacker, 1)
			time.Sleep(10 * time.Second)
		}
		if s := g.Score(attacker); banned(g, attacker) || s < 86 || s > 88 {
			t.Errorf("score %v", s)
		}
	})
}

func TestBansGrowForRepeatersUpToTheBoundAndAreForgiven(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := must(t, guard.Config{Ban: time.Minute, MaxBan: 10 * time.Minute, ForgiveAfter: time.Hour})
		for i, want := range []time.Duration{1, 2, 4, 8, 10, 10, 2} {
			if i == 6 {
				time.Sleep(5 * time.Hour) // good behaviour for all bans but one
			}
			g.ReportAddr(attacker, map[bool]int{true: 100, false: 50}[i%6 == 0]) // on parole half is enough
			until, _ := g.Banned(attacker)
			if d := time.Until(until); d != want*time.Minute {
				t.Fatalf("ban %d is for %v", i, d)
			}
			time.Sleep(want * time.Minute)
		}
	})
}

func TestOneClientIsAnIPv4AddressOrAnIPv6Network(t *testing.T) {
	g := must(t, guard.Config{})
	for _, a := range []string{"192.0.2.1", "2001:db8:0:1::1", "::1"} {
		g.ReportAddr(netip.MustParseAddr(a), 100)
	}
	var list []string
	for _, b := range g.Bans() {
		list = append(list, b.Prefix.String())
	}
	if got := strings.Join(list, " "); got != "192.0.2.1/32 ::/64 2001:db8:0:1::/64" {
		t.Error(got)
	}
	wide := must(t, guard.Config{IPv6Bits: 48})
	wide.ReportAddr(netip.MustParseAddr("2001:db8:7:1::1"), 100)
	if !banned(wide, netip.MustParseAddr("2001:db8:7:2::1")) || banned(wide, netip.MustParseAddr("2001:db8:8::1")) {
		t.Error("IPv6Bits does not count")
	}
}

func TestNobodyIsBannedForAnAddressThatIsNone(t *testing.T) {
	g := must(t, guard.Config{})
	for _, a := range []netip.Addr{{}, netip.MustParseAddr("ff02::1"), netip.MustParseAddr("ffff:ffff:0:0:1::")} {
		g.ReportAddr(a, 1000)
		if banned(g, a) {
			t.Errorf("%v is banned", a)
		}
	}
	if banned(g, netip.MustParseAddr("0.0.0.0")) {
		t.Error("a multicast address has banned an IPv4 one")
	}
}

func TestUnbanForgetsAndAllowedClientsAreNeverBanned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := must(t, guard.Config{Rules: guard.Rules{Allow: prefixes("198.51.100.0/24")}})
		g.ReportAddr(attacker, 100)
		if !g.Unban(attacker) || banned(g, attacker) || g.Unban(attacker) || g.Unban(netip.MustParseAddr("10.0.0.1")) || g.Unban(netip.Addr{}) {
			t.Error("Unban")
		}
		g.ReportAddr(attacker, 50)
		if banned(g, attacker) {
			t.Error("the score of before counts")
		}
		g.ReportAddr(attacker, 50)
		if b := g.Bans(); len(b) != 1 || b[0].Strikes != 1 || time.Until(b[0].Until) != guard.DefaultBan {
			t.Errorf("%+v", b)
		}
		office := netip.MustParseAddr("198.51.100.1")
		g.ReportAddr(office, 1000)
		if banned(g, office) {
			t.Error("an allowed client is banned")
		}
		// Put on the list while banned, it is let in at once; taken off it, nothing of the time on it counts.
		if err := g.SetRules(guard.Rules{Allow: prefixes("192.0.2.0/24")}); err != nil {
			t.Fatal(err)
		}
		if banned(g, attacker) || ask(g.Handler(room), "192.0.2.66", "/").Code != 200 {
			t.Error("still banned")
		}
		if g.Score(office) != 0 || banned(g, office) {
			t.Error("an allowed client had a score")
		}
	})
}

// mint is the i-th address of an attacker who has a /32 of IPv6.
func mint(i int) netip.Addr {
	return netip.AddrFrom16([16]byte{0x20, 0x01, 0x0d, 0xb8, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)})
}

func TestATableFullOfBansLetsStrangersInAndSaysSo(t *testing.T) {
	g := must(t, guard.Config{MaxClients: 64})
	for i := range 10_000 {
		g.ReportAddr(mint(i<<16), 100) // each in a /48 of its own
	}
	if st := g.Stats(); st.Slots != 64 || st.Banned != 48 || st.Bans != 48 || st.Dropped != 10_000-48 || banned(g, mint(10_000<<16)) {
		t.Errorf("%+v", st)
	}
	if g.ReportAddr(attacker, 100); !banned(g, attacker) {
		t.Error("IPv6 has taken the places of IPv4")
	}
}

// Who holds two /48 has twice as many /64 as the table has places.
func TestTwoNetworksOfIPv6DoNotTakeTheBansFromTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := must(t, guard.Config{})
		for i := range 1 << 17 {
			g.ReportAddr(mint(i), 100)
		}
		// Each is banned as one, after 64 bans in it.
		if st := g.Stats(); st.Banned != 2*(64+1) || st.Dropped != 0 {
			t.Errorf("%+v", st)
		}
		if !banned(g, mint(1<<16-1)) || !banned(g, mint(1<<17-1)) || banned(g, mint(1<<17)) {
			t.Error("the networks are not banned, or another one is")
		}
		for i := range 1000 {
			for _, a := range []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), mint(1<<20 + i<<16)} {
				g.ReportAddr(a, 1000)
				if !banned(g, a) {
					t.Fatalf("%v is not banned", a)
				}
			}
		}
		if b := g.Bans(); !slices.ContainsFunc(b, func(b guard.Ban) bool { return b.Prefix == netip.MustParsePrefix("2001:db8:1::/48") }) {
			t.Error("the ban of a network is not listed")
		}
		if !g.Unban(mint(70_000)) || banned(g, mint(70_000)) {
			t.Error("a client of a banned network cannot be let in")
		}
		<-time.After(guard.DefaultBan)
		if banned(g, mint(60_000)) {
			t.Error("a network is banned for longer than a client")
		}
	})
}

func TestTheSmallestTableBansNetworksToo(t *testing.T) {
	g := must(t, guard.Config{MaxClients: 1})
	g.ReportAddr(mint(1), 100)
	g.ReportAddr(mint(2), 100)
	if !banned(g, mint(3)) || banned(g, mint(1<<16)) {
		t.Error("two bans are all that it takes in a table of eight")
	}
}

func TestABanForEverIsOne(t *testing.T) {
	for _, cfg := range []guard.Config{{Ban: math.MaxInt64}, {Ban: math.MaxInt64, MaxBan: math.MaxInt64, HalfLife: 1, ForgiveAfter: math.MaxInt64}} {
		g := must(t, cfg)
		early := time.Now().Add(-time.Hour)
		g.ReportAddr(attacker, 100)
		other := netip.MustParseAddr("192.0.2.67")
		for range 2 {
			if !g.Ban(other, math.MaxInt64) {
				t.Error("no ban by hand")
			}
		}
		for _, a := range []netip.Addr{attacker, other} {
			w := ask(g.Handler(room), a.String(), "/")
			if after, err := strconv.ParseInt(w.Header().Get("Retry-After"), 10, 64); !banned(g, a) || w.Code != 429 || err != nil || after < 9e9 {
				t.Errorf("%v: %d, Retry-After %q", a, w.Code, w.Header().Get("Retry-After"))
			}
			r := httptest.NewRequest("GET", "/", nil)
			r.RemoteAddr = a.String() + ":1"
			if err := g.Check(r, early); err == nil { // a clock that was read before New
				t.Errorf("%v passes", a)
			}
		}
	}
}

// The numbers in the doc of DefaultBanPoints.
func TestWhatABanTakes(t *testing.T) {
	points := must(t, guard.Config{}).Points()
	for rule, want := range map[string]int{guard.RuleProbe: 6, "invalid_api_key": 21, "schema_violation": 107} {
		synctest.Test(t, func(t *testing.T) {
			g, n := must(t, guard.Config{}), 0
			for !banned(g, attacker) && n < 1000 {
				<-time.After(time.Second)
				g.ReportAddr(attacker, points[rule])
				n++
			}
			if n != want {
				t.Errorf("%s: a ban took %d, want %d", rule, n, want)
			}
		})
	}
}

func TestAnOperatorCanBan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		friend := netip.MustParseAddr("198.51.100.1")
		g := must(t, guard.Config{Rules: guard.Rules{Allow: []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}}})
		for addr, ok := range map[netip.Addr]bool{attacker: true, netip.MustParseAddr("2001:db8::1"): true, friend: false, {}: false, netip.MustParseAddr("ff02::1"): false} {
			if g.Ban(addr, time.Hour) != ok || banned(g, addr) != ok {
				t.Errorf("%v: want %v", addr, ok)
			}
		}
		if g.Ban(attacker, 0) || g.Ban(attacker, -1) {
			t.Error("a ban without length")
		}
		if !g.Ban(attacker, time.Minute) {
			t.Error("no second ban")
		}
		if until, _ := g.Banned(attacker); time.Until(until) != time.Minute {
			t.Errorf("the second ban does not replace the first: %v", time.Until(until))
		}
		if bans := g.Bans(); len(bans) != 2 || bans[0].Strikes != 1 || g.Stats().Bans != 2 {
			t.Errorf("%+v, %+v", bans, g.Stats())
		}
		<-time.After(time.Minute)
		if banned(g, attacker) {
			t.Error("still in")
		}
		g.ReportAddr(attacker, 1000)
		if until, _ := g.Banned(attacker); time.Until(until) != 2*guard.DefaultBan {
			t.Errorf("the next ban lasts %v", time.Until(until))
		}
		if !g.Ban(attacker, math.MaxInt64) || !banned(g, attacker) {
			t.Error("a ban for ever")
		}
	})
}

func TestBansAndStatsHaveAStableJSONForm(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := must(t, guard.Config{MaxClients: 16})
		none, _ := json.Marshal(g.Bans())
		g.Ban(attacker, time.Hour)
		bans, _ := json.Marshal(g.Bans())
		stats, _ := json.Marshal(g.Stats())
		until := time.Now().Add(time.Hour).Format(time.RFC3339Nano)
		for got, want := range map[string]string{
			string(none):  `[]`,
			string(bans):  `[{"prefix":"192.0.2.66/32","until":"` + until + `","strikes":1}]`,
			string(stats): `{"slots":16,"in_use":1,"banned":1,"bans":1,"evicted":0,"dropped":0,"shadow":false}`,
		} {
			if got != want {
				t.Errorf("%s, want %s", got, want)
			}
		}
	})
}

func TestAZeroGuardKnowsNobody(t *testing.T) {
	var g *guard.Guard
	for _, g := range []*guard.Guard{g, new(guard.Guard), must(t, guard.Config{SkipBans: true})} {
		g.ReportAddr(attacker, 1000)
		g.Report(t.Context(), 1000)
		if banned(g, attacker) || g.Unban(attacker) || g.Ban(attacker, time.Hour) || g.Bans() == nil || len(g.Bans()) > 0 || g.Stats() != (guard.Stats{}) {
			t.Error("it knows somebody")
		}
	}
	if fmt.Sprint(g.Points()) != "map[]" {
		t.Error(g.Points())
	}
}

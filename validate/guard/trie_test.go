package guard_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mantlet-go/mantlet/internal/raced"
	"github.com/mantlet-go/mantlet/validate/guard"
)

// linear is the specification: the longest prefix that holds the address decides, of equal ones Deny.
func linear(r guard.Rules, a netip.Addr) int {
	a = a.Unmap().WithZone("")
	best, is := -1, guard.Unlisted
	for _, p := range r.Allow {
		if p.Contains(a) && p.Bits() > best {
			best, is = p.Bits(), guard.Allowed
		}
	}
	for _, p := range r.Deny {
		if p.Contains(a) && p.Bits() >= best {
			best, is = p.Bits(), guard.Denied
		}
	}
	if is == guard.Unlisted && r.AllowOnly {
		return guard.Denied
	}
	return is
}

// addr4 and addr6 draw addresses; few decides how many leading bits vary, so that prefixes nest and meet.
func addr4(rnd *rand.Rand, few uint32) netip.Addr {
	x := rnd.Uint32() & few
	return netip.AddrFrom4([4]byte{byte(x >> 24), byte(x >> 16), byte(x >> 8), byte(x)})
}

func addr6(rnd *rand.Rand, few uint64) netip.Addr {
	b := [16]byte{0x20, 0x01}
	x, y := rnd.Uint64()&few, rnd.Uint64()&few
	for i := range 6 {
		b[2+i] = byte(x >> (40 - 8*i))
	}
	for i := range 8 {
		b[8+i] = byte(y >> (56 - 8*i))
	}
	return netip.AddrFrom16(b)
}

// randomRules draws n prefixes of both families: nested, equal on both lists, of every length.
func randomRules(rnd *rand.Rand, n int, few4 uint32, few6 uint64) guard.Rules {
	var r guard.Rules
	for range n {
		a := addr4(rnd, few4)
		if rnd.IntN(2) == 0 {
			a = addr6(rnd, few6)
		}
		p, _ := a.Prefix(rnd.IntN(a.BitLen() + 1))
		if rnd.IntN(50) > 0 && p.Bits() < 8 {
			p, _ = a.Prefix(8 + rnd.IntN(a.BitLen()-7)) // not all under a default route
		}
		switch rnd.IntN(20) {
		case 0:
			r.Allow, r.Deny = append(r.Allow, p), append(r.Deny, p)
		case 1, 2, 3, 4, 5, 6, 7:
			r.Allow = append(r.Allow, p)
		default:
			r.Deny = append(r.Deny, p)
		}
	}
	return r
}

func TestALookUpSaysWhatALinearScanSays(t *testing.T) {
	addresses := 1_000_000
	if testing.Short() || raced.Enabled {
		addresses = 50_000
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	shapes := []struct {
		n    int
		few4 uint32
		few6 uint64
	}{
		{0, 0, 0}, {1, ^uint32(0), ^uint64(0)}, {3, 0xff00ff00, 0xff00}, {10, 0xf000000f, 0xf000000f0000}, {40, ^uint32(0), ^uint64(0)},
		{100, 0x0f0f0f0f, 0xff}, {100, ^uint32(0), 0xffffffff0000}, {100, 0xff, 0x8000000000000001}, {4000, ^uint32(0), ^uint64(0)}, {5000, 0xffff, 0xffff}, {5000, 0xffff, 0xffff_0000_ffff},
	}
	for round := 0; addresses > 0; round++ {
		s := shapes[round%len(shapes)]
		r := randomRules(rnd, s.n, s.few4, s.few6)
		r.AllowOnly = len(r.Allow) > 0 && rnd.IntN(4) == 0
		g, err := guard.New(guard.Config{Rules: r, SkipBans: true})
		if err != nil {
			t.Fatal(err)
		}
		tries := 5000
		if s.n > 1000 {
			tries = 1000 // the scan is what takes the time
		}
		for range tries {
			var a netip.Addr
			switch rnd.IntN(4) {
			case 0:
				a = addr4(rnd, s.few4)
			case 1:
				a = addr6(rnd, s.few6)
			case 2: // the first and last address of a prefix, and the ones next to them
				if list := slices.Concat(r.Allow, r.Deny); len(list) > 0 {
					a = edge(rnd, list[rnd.IntN(len(list))])
				} else {
					a = addr4(rnd, ^uint32(0))
				}
			case 3:
				a = netip.AddrFrom16(addr4(rnd, s.few4).As16()) // IPv4-mapped
			}
			if got, want := g.Lookup(a), linear(r, a); got != want {
				t.Fatalf("round %d, %d prefixes: %v is %d, want %d", round, s.n, a, got, want)
			}
		}
		addresses -= tries
	}
}

func TestALookUpAmongAHundredThousandSaysWhatALinearScanSays(t *testing.T) {
	tries := 1000
	if testing.Short() || raced.Enabled {
		tries = 50
	}
	list := many(100_000)
	r := guard.Rules{Allow: list[:30_000], Deny: list[20_000:]}
	g := must(t, guard.Config{Rules: r, SkipBans: true})
	rnd := rand.New(rand.NewPCG(11, 12))
	var seen [3]int
	for range tries {
		a := edge(rnd, list[rnd.IntN(len(list))])
		got := g.Lookup(a)
		if want := linear(r, a); got != want {
			t.Fatalf("%v is %d, want %d", a, got, want)
		}
		seen[got]++
	}
	if slices.Min(seen[:]) == 0 {
		t.Errorf("the addresses prove little: %v", seen)
	}
}

func TestRulesThatAgreeOnALongHeadAreToldFromTheirNeighbours(t *testing.T) {
	rnd := rand.New(rand.NewPCG(13, 14))
	var r guard.Rules
	for range 5000 { // single addresses of one /64
		a := addr6(rnd, 0).As16()
		for i := 8; i < 16; i++ {
			a[i] = byte(rnd.Uint32())
		}
		r.Deny = append(r.Deny, netip.PrefixFrom(netip.AddrFrom16(a), 128))
	}
	for _, r := range []guard.Rules{r, {Deny: r.Deny, Allow: prefixes("::/0")}, {Deny: r.Deny, Allow: prefixes("2001::/48")}, {Deny: r.Deny, Allow: prefixes("2001::/49", "2001:0:0:1::/64")}} {
		g := must(t, guard.Config{Rules: r, SkipBans: true})
		for i := range 300 {
			a := edge(rnd, r.Deny[i])
			for _, a := range []netip.Addr{a, netip.MustParseAddr("2001:0:0:1::1"), netip.MustParseAddr("2001:0:1::1"), netip.MustParseAddr("2000::"), netip.MustParseAddr("2001::")} {
				if got, want := g.Lookup(a), linear(r, a); got != want {
					t.Fatalf("%v is %d, want %d", a, got, want)
				}
			}
		}
	}
}

func edge(rnd *rand.Rand, p netip.Prefix) netip.Addr {
	a := p.Masked().Addr()
	if rnd.IntN(2) == 0 {
		b := a.AsSlice()
		for i := p.Bits(); i < len(b)*8; i++ {
			b[i/8] |= 1 << (7 - i%8)
		}
		a, _ = netip.AddrFromSlice(b)
		if next := a.Next(); next.IsValid() && rnd.IntN(2) == 0 {
			a = next
		}
	} else if prev := a.Prev(); prev.IsValid() && rnd.IntN(2) == 0 {
		a = prev
	}
	return a
}

func prefixes(list ...string) (out []netip.Prefix) {
	for _, s := range list {
		out = append(out, netip.MustParsePrefix(s))
	}
	return out
}

func TestTheLongestPrefixDecidesAndDenyAmongEquals(t *testing.T) {
	g := must(t, guard.Config{Rules: guard.Rules{
		Allow: prefixes("10.0.0.0/8", "192.0.2.0/24", "198.51.100.7/32", "2001:db8:1::/48", "::ffff:203.0.113.0/120"),
		Deny:  prefixes("10.1.0.0/16", "192.0.2.0/24", "198.51.100.0/24", "2001:db8::/32"),
	}})
	for a, want := range map[string]int{
		"10.2.0.1": guard.Allowed, "10.1.0.1": guard.Denied, "192.0.2.1": guard.Denied, "198.51.100.7": guard.Allowed, "198.51.100.8": guard.Denied,
		"2001:db8:1::1": guard.Allowed, "2001:db8:2::1": guard.Denied, "2001:db8:2::1%eth0": guard.Denied, "::ffff:10.1.0.1": guard.Denied,
		"203.0.113.9": guard.Allowed, "8.8.8.8": guard.Unlisted, "2620::1": guard.Unlisted, "::a01:1": guard.Unlisted,
	} {
		if got := g.Lookup(netip.MustParseAddr(a)); got != want {
			t.Errorf("%s is %d, want %d", a, got, want)
		}
	}
}

func TestRulesThatSayNothingAreRefusedAndTheOldOnesStay(t *testing.T) {
	g := must(t, guard.Config{Rules: guard.Rules{Deny: prefixes("192.0.2.0/24")}})
	err := g.SetRules(guard.Rules{Allow: []netip.Prefix{{}}, Deny: prefixes("10.0.0.0/8", "::ffff:0:0/90")})
	if err == nil || !strings.Contains(err.Error(), "Rules.Allow[0]") || !strings.Contains(err.Error(), "Rules.Deny[1]") {
		t.Errorf("error %v", err)
	}
	if err := g.SetRules(guard.Rules{AllowOnly: true}); err == nil || !strings.Contains(err.Error(), "AllowOnly") {
		t.Errorf("error %v", err)
	}
	if g.Lookup(netip.MustParseAddr("192.0.2.1")) != guard.Denied || g.Lookup(netip.MustParseAddr("10.0.0.1")) != guard.Unlisted {
		t.Error("the old rules are gone")
	}
	if err := g.SetRules(guard.Rules{Deny: prefixes("10.0.0.0/8")}); err != nil {
		t.Fatal(err)
	}
	if g.Lookup(netip.MustParseAddr("192.0.2.1")) != guard.Unlisted || g.Lookup(netip.MustParseAddr("10.0.0.1")) != guard.Denied {
		t.Error("the new rules do not count")
	}
	if err := new(guard.Guard).SetRules(guard.Rules{}); err == nil {
		t.Error("a Guard that New did not make has rules")
	}
}

func TestRulesAreReplacedUnderTraffic(t *testing.T) {
	// One address is denied by every set, another by none: whatever set a request sees, it is a whole one.
	g := must(t, guard.Config{Rules: guard.Rules{Deny: prefixes("192.0.2.0/24")}})
	in, out := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.1")
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 4 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if g.Lookup(in) != guard.Denied || g.Lookup(out) != guard.Unlisted {
					t.Error("a request saw half a set")
					return
				}
			}
		})
	}
	rnd := rand.New(rand.NewPCG(3, 4))
	for range 50 {
		r := guard.Rules{Deny: prefixes("192.0.2.0/24")}
		for range 200 {
			r.Deny = append(r.Deny, netip.PrefixFrom(addr6(rnd, ^uint64(0)), 64).Masked())
		}
		if err := g.SetRules(r); err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	wg.Wait()
}

func TestALookUpAllocatesNothing(t *testing.T) {
	if raced.Enabled {
		t.Skip("the race detector allocates")
	}
	g := must(t, guard.Config{Rules: guard.Rules{Deny: many(100_000)}, SkipBans: true})
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")
	if n := testing.AllocsPerRun(100, func() { g.Lookup(a); g.Lookup(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAListOfSingleAddressesStaysSmall(t *testing.T) {
	// Without path compression 100,000 single IPv6 addresses would be chains of about 15 nodes each, 48 MB.
	rnd := rand.New(rand.NewPCG(5, 6))
	var list []netip.Prefix
	for range 100_000 {
		list = append(list, netip.PrefixFrom(addr6(rnd, ^uint64(0)), 128))
	}
	g := must(t, guard.Config{Rules: guard.Rules{Deny: list}, SkipBans: true})
	if per := g.Size() / len(list); per > 64 {
		t.Errorf("%d bytes per prefix", per)
	}
}

// many returns n prefixes in the mix of public block lists: half IPv4 of 16 to 32 bits, half IPv6 of 32 to 64.
func many(n int) []netip.Prefix {
	rnd := rand.New(rand.NewPCG(7, 8))
	list := make([]netip.Prefix, 0, n)
	for i := range n {
		if i%2 == 0 {
			list = append(list, netip.PrefixFrom(addr4(rnd, ^uint32(0)), 16+rnd.IntN(17)).Masked())
		} else {
			list = append(list, netip.PrefixFrom(addr6(rnd, ^uint64(0)), 32+rnd.IntN(33)).Masked())
		}
	}
	return list
}

func TestAListIsReadWithItsCommentsAndRefusedWithItsLineNumbers(t *testing.T) {
	list, err := guard.ParsePrefixes(strings.NewReader("\ufeff# head\r\n192.0.2.0/24 ; SBL1\r\n\n 2001:db8::1 # one host\n::ffff:10.0.0.0/104\n::ffff:10.1.2.3\n0.0.0.0/0"))
	if err != nil {
		t.Fatal(err)
	}
	if want := prefixes("192.0.2.0/24", "2001:db8::1/128", "10.0.0.0/8", "10.1.2.3/32", "0.0.0.0/0"); !slices.Equal(list, want) {
		t.Errorf("%v", list)
	}
	for text, want := range map[string]string{
		"192.0.2.1\n10.0.0.1/8":                 "line 2: \"10.0.0.1/8\" has bits set behind its length; the prefix is 10.0.0.0/8",
		"\n\nfe80::1%eth0":                      "line 3",
		"example.com":                           "line 1",
		"10.0.0.0/33":                           "line 1",
		"10.0.0.0-10.0.0.9":                     "line 1",
		"::ffff:0:0/90":                         "shorter than 96",
		"010.0.0.1":                             "line 1",
		"ok 10.0.0.1":                           "line 1",
		"10.0.0.1\n" + strings.Repeat("1", 1e4): "line 2",
	} {
		list, err := guard.ParsePrefixes(strings.NewReader(text))
		if err == nil || !strings.Contains(err.Error(), want) || list != nil {
			t.Errorf("%.40q: %v, %v", text, list, err)
		}
	}
	_, err = guard.ParsePrefixes(strings.NewReader(strings.Repeat("x\n", 1e5)))
	if n := strings.Count(err.Error(), "line"); n != 20 {
		t.Errorf("%d faults", n)
	}
}

// FuzzParsePrefixes: what is accepted is a list of prefixes without host bits, zones and mapped addresses, which reads the same
// when it is written again; what is not names a line; neither panics.
func FuzzParsePrefixes(f *testing.F) {
	f.Add([]byte("192.0.2.0/24 ; a\n# b\n2001:db8::1\n::ffff:1.2.3.4/128"))
	f.Add([]byte("10.0.0.1/8\n"))
	f.Add([]byte("::ffff:0:0/1\n::%1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := guard.ParsePrefixes(bytes.NewReader(text))
		if err != nil {
			if list != nil || !strings.Contains(err.Error(), "guard: line ") {
				t.Fatalf("%v, %v", list, err)
			}
			return
		}
		var again strings.Builder
		for _, p := range list {
			if !p.IsValid() || p != p.Masked() || p.Addr().Is4In6() {
				t.Fatalf("accepted %v", p)
			}
			fmt.Fprintln(&again, p)
		}
		same, err := guard.ParsePrefixes(strings.NewReader(again.String()))
		if err != nil || !slices.Equal(list, same) {
			t.Fatalf("%v became %v, %v", list, same, err)
		}
		if _, err := guard.New(guard.Config{Rules: guard.Rules{Deny: list}, SkipBans: true}); err != nil {
			t.Fatal(err)
		}
	})
}

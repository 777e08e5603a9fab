package penalty_test

import (
	"net/netip"
	"testing"

	"github.com/mantlet-go/mantlet/internal/penalty"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

func TestOneClientIsAnIPv4AddressOrAnIPv6Network(t *testing.T) {
	for bits, clients := range map[int][][]string{
		64: {
			{"192.0.2.1", "::ffff:192.0.2.1"}, {"192.0.2.2"}, {"0.0.0.0"}, {"0.0.0.1"}, {"255.255.255.255"},
			{"2001:db8:0:1::1", "2001:db8:0:1:ffff::", "2001:db8:0:1::1%eth0"}, {"2001:db8:0:2::1"},
			{"::1", "::2", "::c000:201"}, {"0:0:0:1::"}, {"0:0:c000:201::"},
		},
		48: {{"2001:db8:7:1::1", "2001:db8:7:2::1"}, {"2001:db8:8::1"}},
	} {
		is := map[penalty.Key]int{}
		for i, client := range clients {
			for _, a := range client {
				k := penalty.KeyOf(addr(a), bits)
				if n, ok := is[k]; ok != (a != client[0]) || ok && n != i {
					t.Errorf("%s by %d bits: is another, or not one with %s", a, bits, client[0])
				}
				is[k] = i
			}
		}
	}
}

func TestOnlyIPv6ClientsAreInANetwork(t *testing.T) {
	for a, want := range map[string]string{"2001:db8:7:1::1": "2001:db8:7::/48", "192.0.2.1": "", "::1": "", "ff02::1": ""} {
		net := penalty.KeyOf(addr(a), 64).Network(48)
		if want == "" && net != penalty.Nobody || want != "" && net.Prefix(48).String() != want {
			t.Errorf("%s is in %v", a, net.Prefix(48))
		}
	}
	if penalty.Unknown.Network(48) != penalty.Nobody {
		t.Error("nobody knows the network of Unknown")
	}
}

// A client is known again by its prefix, which holds its address. Multicast addresses and none are nobody.
func FuzzPrefixIsTheInverseOfKeyOf(f *testing.F) {
	for _, s := range []string{"198.51.100.1", "2001:db8::1", "::ffff:192.0.2.1", "::ffff:227.48.48.48", "::2", "ff02::1", "ffff:ffff::1", "ffff:fffe:0:1::1", "ffff:fffe:0:2::1"} {
		f.Add(addr(s).AsSlice(), uint8(64))
	}
	f.Add([]byte(nil), uint8(64))
	f.Fuzz(func(t *testing.T, b []byte, bits uint8) {
		a, ok := netip.AddrFromSlice(b)
		if bits < 32 || bits > 64 {
			return
		}
		k := penalty.KeyOf(a, int(bits))
		if a = a.Unmap(); k == penalty.Nobody || k == penalty.Unknown || a.Is6() && a.IsMulticast() || !ok {
			if k != penalty.Nobody || k.Prefix(int(bits)).IsValid() || ok && !(a.Is6() && a.IsMulticast()) {
				t.Fatalf("%v is %x", a, k)
			}
			return
		}
		want := 32
		if a.Is6() {
			want = int(bits)
		}
		p := k.Prefix(int(bits))
		if !p.Contains(a) || p.Bits() != want || p != p.Masked() || penalty.KeyOf(p.Addr(), int(bits)) != k {
			t.Fatalf("%v: %x, %v", a, k, p)
		}
	})
}

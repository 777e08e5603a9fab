package guard

import (
	"net/netip"
	"slices"
	"time"

	"github.com/mantlet-go/mantlet/internal/penalty"
)

// bans keeps the scores and bans of clients, and of the networks that they are in. An address nobody can vouch for is shared by
// everybody behind a broken proxy, so it has no score (penalty.Nobody).
type bans struct {
	v6bits  int
	clients *penalty.Table
	nets    *penalty.Table // by the bans in them; nil when clients are no smaller, as both are with Config.SkipBans
}

// netBits is what a provider gives one site at most (RFC 6177 section 2), and netBans how many clients in it have to be
// banned, within about a half-life, for all of it to be banned as one; in a small table an eighth of its places. A site has
// 65,536 networks of 64 bits.
const (
	netBits = 48
	netBans = 64
)

// newBans takes a Config with the defaults filled in.
func newBans(cfg Config) bans {
	// Twice 50 must be 100, though levels are rounded. Who comes back starts with half of what a ban needs.
	threshold := func(points int) (begin, parole float64) { return float64(points) * (1 - 1e-6), float64(points) / 2 }
	c := penalty.Config{Clients: cfg.MaxClients, IPv6Bits: cfg.IPv6Bits, HalfLife: cfg.HalfLife, First: cfg.Ban, Max: cfg.MaxBan, Forgive: cfg.ForgiveAfter}
	c.Threshold, c.Parole = threshold(cfg.BanPoints)
	b := bans{v6bits: cfg.IPv6Bits, clients: penalty.New(c)}
	if cfg.IPv6Bits > netBits {
		c.Clients, c.IPv6Bits, c.IPv6Only = max(cfg.MaxClients/16, 1), netBits, true
		c.Threshold, c.Parole = threshold(min(netBans, max(cfg.MaxClients/8, 2)))
		b.nets = penalty.New(c)
	}
	return b
}

// keys returns the client with this address and the network that it is in.
func (b *bans) keys(a netip.Addr) (client, net penalty.Key) {
	client = penalty.KeyOf(a, b.v6bits)
	return client, client.Network(netBits)
}

// add gives the client points. It returns who is banned, and for how long, when these points have done it, else 0: the client, or
// the network it is in when too many of that have been.
func (b *bans) add(a netip.Addr, points float64, now time.Time) (who netip.Prefix, length time.Duration) {
	client, net := b.keys(a)
	if b.nets.Left(net, now) > 0 {
		return who, 0
	}
	if length = b.clients.Add(client, points, now); length == 0 {
		return who, 0
	}
	if all := b.nets.Add(net, 1, now); all > 0 {
		return net.Prefix(netBits), all
	}
	return client.Prefix(b.v6bits), length
}

// set bans the client alone, whatever its score.
func (b *bans) set(a netip.Addr, length time.Duration, now time.Time) (who netip.Prefix, ok bool) {
	client, _ := b.keys(a)
	return client.Prefix(b.v6bits), b.clients.Set(client, length, now)
}

// left returns how long the client is still banned, for itself or with its network; 0 when it is not.
func (b *bans) left(a netip.Addr, now time.Time) time.Duration {
	client, net := b.keys(a)
	return max(b.clients.Left(client, now), b.nets.Left(net, now))
}

// forget drops all that is known of the client and of its network, and reports whether one of them was banned.
func (b *bans) forget(a netip.Addr, now time.Time) bool {
	client, net := b.keys(a)
	was := b.clients.Forget(client, now)
	return b.nets.Forget(net, now) || was
}

// Ban is a ban in force. Its JSON form is stable: {"prefix":"192.0.2.1/32","until":"2026-01-02T15:04:05Z","strikes":1}.
type Ban struct {
	// Prefix is the client: an IPv4 address, or an IPv6 prefix of Config.IPv6Bits; or a /48 in which many clients were banned.
	Prefix netip.Prefix `json:"prefix"`
	// Until is when it ends.
	Until time.Time `json:"until"`
	// Strikes is how many bans of this client are not forgiven yet, this one included; at most 255.
	Strikes int `json:"strikes"`
}

// list returns the bans in force, in the order of their prefixes; never nil.
func (b *bans) list(now time.Time) []Ban {
	out := []Ban{}
	for _, p := range append(b.clients.List(now), b.nets.List(now)...) {
		p.Until = p.Until.Round(0) // the wall's: its monotonic part means nothing to a reader of JSON
		out = append(out, Ban(p))
	}
	slices.SortFunc(out, func(x, y Ban) int { return x.Prefix.Compare(y.Prefix) })
	return out
}

// Stats is what the table of scores holds. The names in JSON are stable.
type Stats struct {
	// Slots is the number of places of the table, 0 with Config.SkipBans; InUse how many hold a client with a score of at least
	// one point or a ban.
	Slots int `json:"slots"`
	InUse int `json:"in_use"`
	// Banned is the number of bans in force, those of /48 networks included; Bans counts all since New.
	Banned int   `json:"banned"`
	Bans   int64 `json:"bans"`
	// Evicted counts scores of at least one point that gave way to those of other clients.
	Evicted int64 `json:"evicted"`
	// Dropped counts points that found no place because the table held nothing but bans there. When it grows, raise
	// Config.MaxClients. (IPv6 clients have six of eight places.)
	Dropped int64 `json:"dropped"`
	// Shadow is Config.Shadow: bans are recorded, and nobody is refused.
	Shadow bool `json:"shadow"`
}

func (b *bans) stats(now time.Time) Stats {
	c, n := b.clients.Stats(now), b.nets.Stats(now)
	return Stats{Slots: c.Slots, InUse: c.InUse, Banned: c.InForce + n.InForce, Bans: c.Begun + n.Begun, Evicted: c.Evicted, Dropped: c.Dropped}
}

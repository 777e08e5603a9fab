package guard

import (
	"net/netip"
	"time"
)

// Verdicts for tests.
const (
	Unlisted = int(unlisted)
	Allowed  = int(allowed)
	Denied   = int(denied)
)

// Lookup returns what the rules say of a.
func (g *Guard) Lookup(a netip.Addr) int { return int(g.rules.Load().of(a)) }

// Nodes returns the size of the compiled rules in bytes.
func (g *Guard) Size() int {
	r := g.rules.Load()
	return 32*(len(r.v4.nodes)+len(r.v6.nodes)) + 4*(len(r.v4.root)+len(r.v6.root))
}

// MatchPath returns the pattern a path matches, or "".
func (g *Guard) MatchPath(path string) string {
	if p := g.probes.match(path); p != nil {
		return p.Text
	}
	return ""
}

// MatchAgent returns the pattern a User-Agent matches, or "".
func (g *Guard) MatchAgent(ua string) string {
	if p := g.agents.match(ua); p != nil {
		return p.Text
	}
	return ""
}

// CheckHost returns the rule a Host header breaks, or "".
func (g *Guard) CheckHost(host string) string { return siteRules[g.site.Host(host)] }

// Score returns the client's points now, decayed.
func (g *Guard) Score(a netip.Addr) float64 {
	client, _ := g.bans.keys(a)
	return g.bans.clients.Score(client, time.Now())
}

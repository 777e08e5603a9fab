package guard

import (
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/validate/internal/site"
)

// Defaults of [Config].
const (
	// DefaultMaxURL is in bytes: RFC 9110 section 4.1 recommends to support at least 8000.
	DefaultMaxURL = 8 << 10
	// DefaultMaxHeaderBytes is a thirty-second of what net/http takes by default (1 MiB); nginx takes four lines of 8 KiB,
	// Node.js 16 KiB in all.
	DefaultMaxHeaderBytes = 32 << 10
	// DefaultMaxHeaderValue is twice what Apache takes (LimitRequestFieldSize), for tokens with many claims.
	DefaultMaxHeaderValue = 16 << 10
	// DefaultMaxHeaders is what Apache takes (LimitRequestFields).
	DefaultMaxHeaders = 100

	// DefaultBanPoints is the score of a ban. One a second, it takes 6 probes, 21 wrong keys or 107 bodies that do not fit the
	// schema: a score decays between them.
	DefaultBanPoints = 100
	// DefaultHalfLife is the time in which a score halves. With it a client that errs every 10 seconds at a point each settles
	// at a score of 87, below a ban.
	DefaultHalfLife = 10 * time.Minute
	// DefaultBan is the length of a first ban; each further one is twice as long, up to DefaultMaxBan.
	DefaultBan = 5 * time.Minute
	// DefaultMaxBan bounds the length of a ban.
	DefaultMaxBan = 24 * time.Hour
	// DefaultForgiveAfter is the good behaviour for which one earlier ban is forgotten.
	DefaultForgiveAfter = 24 * time.Hour
	// DefaultMaxClients is the size of the table of scores: 2 MiB.
	DefaultMaxClients = 1 << 16
	// DefaultIPv6Bits is the prefix of one IPv6 client: a subnet (RFC 7421), in which one host can take any number of
	// addresses (RFC 8981).
	DefaultIPv6Bits = 64
)

// defaultMethods are those of RFC 9110 and PATCH, without the two that have no place in front of an inference handler.
var defaultMethods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

// Config says what a request must look like and where it may come from. The zero Config knows no addresses, hosts and
// origins, refuses what only attacks need, and bans who keeps being refused.
type Config struct {
	// Rules are the address rules at start; [Guard.SetRules] replaces them. The zero Rules let every address in.
	Rules Rules
	// TrustedProxies are the peers whose X-Forwarded-For or Forwarded header is believed. Empty means none: the client is
	// whoever opened the connection. Inside another room that has set its own, theirs count. A prefix of length 0 is refused.
	TrustedProxies []netip.Prefix
	// UnknownAddressOpen lets requests in whose client address nobody can vouch for: a proxy whose headers contradict each
	// other, a Unix socket. They are on no list, so that Rules.AllowOnly refuses them still, and have no score. By default
	// they get 403, because a client can bring them about (with a Forwarded header of its own, say, where the proxy writes
	// X-Forwarded-For) and would be past Deny and every ban. They are not counted as one client either: a single attacker
	// could then have them all banned. A handler that makes requests itself and serves them in process has to set their
	// RemoteAddr.
	UnknownAddressOpen bool

	// Methods lists the methods that come through; others get 405. Empty means GET, HEAD, POST, PUT, PATCH, DELETE and
	// OPTIONS. TRACE and TRACK (they show credentials to scripts) and CONNECT (a tunnel) are refused here.
	Methods []string
	// Hosts lists what the Host header may say, against DNS rebinding and host header attacks: names or addresses, in any
	// case, IPv6 in brackets, with a port when only that one is meant. A trailing dot of a name does not matter. Another
	// host gets 421 (RFC 9110 sections 7.4 and 15.5.20: a host this server does not answer for), a malformed or missing one
	// 400 (RFC 9112 section 3.2). Empty means that Host is not looked at, because a proxy on the same machine may keep names
	// that only it knows; set it for everything that listens on localhost or in a private network. (The presets of package
	// preset check the same way, and know the names of the loopback interface by themselves.)
	Hosts []string
	// Origins lists the web origins, such as https://chat.example.com, that may send requests from a page; another Origin
	// gets 403. Pages of the very host that they call pass too when Hosts is set, and so do requests without the header, from
	// anything but a page. Empty means that Origin is not looked at. The MCP specification wants servers to look at it.
	Origins []string

	// MaxURL bounds the request target in bytes; beyond is 414. Zero means DefaultMaxURL.
	MaxURL int
	// MaxHeaderBytes bounds all header lines together, MaxHeaderValue the value of one, both in bytes, and MaxHeaders the
	// number of lines; beyond is 431. net/http itself reads up to http.Server.MaxHeaderBytes before anybody is asked. Zero
	// means DefaultMaxHeaderBytes, DefaultMaxHeaderValue and DefaultMaxHeaders.
	MaxHeaderBytes, MaxHeaderValue, MaxHeaders int

	// SkipDotSegments lets "." and ".." segments pass in a path, however they were encoded. Clients resolve them before they
	// send (RFC 3986 section 5.2.4).
	SkipDotSegments bool
	// SkipEncodedSlash lets %2F pass everywhere. By default only behind a segment "models", where official clients
	// put a model's name with its slash. Whether it separates segments is decided differently by proxies and servers.
	SkipEncodedSlash bool
	// SkipBackslash lets a backslash pass in a path, raw or encoded. Some servers take it for a slash.
	SkipBackslash bool
	// SkipControl lets control characters, NUL among them, pass in a path.
	SkipControl bool
	// SkipDoubleEncoding lets a dot, slash, backslash or control character pass that is encoded twice, such as %252e.
	SkipDoubleEncoding bool
	// SkipUTF8 lets a path pass that is not UTF-8, such as the overlong slash %c0%af.
	SkipUTF8 bool
	// SkipDuplicateHeaders lets several lines pass of a header that says who is calling or what the body is.
	SkipDuplicateHeaders bool
	// SkipUnderscores lets header names with an underscore pass. CGI and WSGI servers behind take X_Real_IP for X-Real-IP,
	// which a proxy in between has checked or removed.
	SkipUnderscores bool

	// Probes are the paths that get 404 and cost their client a score. Nil means [DefaultProbes]; append to that list, or
	// delete from it.
	Probes []Pattern
	// SkipProbes looks for no such paths. Together with Probes it is refused.
	SkipProbes bool
	// Agents are the User-Agents that get 403 and cost their client a score. Nil means [DefaultAgents].
	Agents []Pattern
	// SkipAgents looks for no such programs. Together with Agents it is refused.
	SkipAgents bool

	// SkipBans keeps no scores and bans nobody. The fields below then mean nothing.
	SkipBans bool
	// Points replaces what one refusal costs, by code of a room inside (invalid_api_key) or by rule of this package (probe); 0
	// means that it never counts. A code that is not a client's fault (500 and above) is refused. What it does not name costs
	// what [Guard.Points] says.
	Points map[string]int
	// BanPoints is the score of a ban. Zero means DefaultBanPoints.
	BanPoints int
	// HalfLife is the time in which a score halves. Zero means DefaultHalfLife.
	HalfLife time.Duration
	// Ban is the length of a client's first ban. Every further one is twice as long, up to MaxBan. Zero means DefaultBan and
	// DefaultMaxBan.
	Ban, MaxBan time.Duration
	// ForgiveAfter is how long after its last ban one of a client's bans no longer counts for the length of the next. Zero
	// means DefaultForgiveAfter.
	ForgiveAfter time.Duration
	// MaxClients is how many clients are kept in the table of scores, of 32 bytes each, at once and for ever; a quarter of the
	// places are for IPv4 alone. Zero means DefaultMaxClients; at most 2^28.
	MaxClients int
	// IPv6Bits is the length of the prefix that is one IPv6 client, 32 to 64. Zero means DefaultIPv6Bits. A provider may give
	// one customer a /56 or /48, who then has as many clients; a shorter prefix puts strangers together. Over 48, a /48 in which
	// 64 clients were banned within about a half-life is banned as one, for Ban at first, as any client.
	IPv6Bits int

	// Shadow lets every request pass and only records what would have been refused (log, findings of the audit record).
	// Scores and bans are kept as if it were not set.
	Shadow bool
	// Deny replaces the reply to a refused request, unless an outer sanitize.Errors decides. errors.As finds the *Error
	// in err. Nil means the standard reply.
	Deny func(w http.ResponseWriter, r *http.Request, err error)
	// Logger gets one record per refusal, at Debug, without any value of the request, and one per ban, at Info, with the
	// client's prefix. Nil means what slog.Default returns at that moment.
	Logger *slog.Logger
}

// Guard checks requests before anything else does. Make it with [New]; it is safe for concurrent use. A nil or zero Guard
// refuses everything.
type Guard struct {
	cfg     Config // with the defaults filled in
	rules   atomic.Pointer[rules]
	proxies *exchange.Proxies
	allow   string // the Allow header
	site    *site.Checker
	named   bool    // Config.Hosts is set
	pages   bool    // Config.Origins is set
	probes  *paths  // nil with SkipProbes
	agents  *agents // nil with SkipAgents
	points  map[string]float64
	bans    bans
}

// New checks cfg and returns the Guard. The error joins all faults it found.
func New(cfg Config) (*Guard, error) {
	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf("guard: Config."+format, a...)) }
	g := &Guard{}

	rs, err := cfg.Rules.compile("Config.Rules")
	if err != nil {
		faults = append(faults, err)
	}
	g.rules.Store(rs)
	if g.proxies, err = exchange.NewProxies(cfg.TrustedProxies); err != nil {
		fault("%w", err)
	}

	setDefault(fault, "MaxURL", &cfg.MaxURL, DefaultMaxURL)
	setDefault(fault, "MaxHeaderBytes", &cfg.MaxHeaderBytes, DefaultMaxHeaderBytes)
	setDefault(fault, "MaxHeaderValue", &cfg.MaxHeaderValue, DefaultMaxHeaderValue)
	setDefault(fault, "MaxHeaders", &cfg.MaxHeaders, DefaultMaxHeaders)
	setDefault(fault, "BanPoints", &cfg.BanPoints, DefaultBanPoints)
	setDefault(fault, "HalfLife", &cfg.HalfLife, DefaultHalfLife)
	setDefault(fault, "MaxBan", &cfg.MaxBan, max(DefaultMaxBan, cfg.Ban))
	setDefault(fault, "Ban", &cfg.Ban, min(DefaultBan, cfg.MaxBan))
	setDefault(fault, "ForgiveAfter", &cfg.ForgiveAfter, DefaultForgiveAfter)
	setDefault(fault, "MaxClients", &cfg.MaxClients, DefaultMaxClients)
	setDefault(fault, "IPv6Bits", &cfg.IPv6Bits, DefaultIPv6Bits)
	if cfg.MaxClients > 1<<28 {
		fault("MaxClients %d is over 2^28", cfg.MaxClients)
	}
	if cfg.IPv6Bits > 64 || cfg.IPv6Bits > 0 && cfg.IPv6Bits < 32 {
		fault("IPv6Bits %d is not between 32 and 64", cfg.IPv6Bits)
	}
	if cfg.Ban > cfg.MaxBan {
		fault("Ban %v is longer than MaxBan %v", cfg.Ban, cfg.MaxBan)
	}

	if len(cfg.Methods) == 0 {
		cfg.Methods = defaultMethods
	}
	cfg.Methods = slices.Clone(cfg.Methods)
	for i, m := range cfg.Methods {
		switch {
		case m == "" || strings.ContainsFunc(m, func(c rune) bool { return (c < 'A' || c > 'Z') && c != '-' }):
			fault("Methods[%d] %q is no method in upper case", i, m)
		case m == "TRACE" || m == "TRACK" || m == "CONNECT":
			fault("Methods[%d] %s has no place here", i, m)
		}
	}
	g.allow = strings.Join(cfg.Methods, ", ")

	checker, bad := site.New(cfg.Hosts, cfg.Origins)
	for _, s := range bad {
		fault("%s", s)
	}
	g.site = checker
	g.named, g.pages = len(cfg.Hosts) > 0, len(cfg.Origins) > 0

	if list := table(fault, "Probes", cfg.Probes, cfg.SkipProbes, DefaultProbes); list != nil {
		var bad []error
		g.probes, bad = newPaths(list)
		faults = append(faults, bad...)
	}
	if list := table(fault, "Agents", cfg.Agents, cfg.SkipAgents, DefaultAgents); list != nil {
		var bad []error
		g.agents, bad = newAgents(list)
		faults = append(faults, bad...)
	}

	g.points = map[string]float64{}
	for rule, r := range replies {
		g.points[rule] = float64(r.points)
	}
	for code, n := range roomPoints {
		g.points[string(code)] = float64(n)
	}
	for _, code := range slices.Sorted(maps.Keys(cfg.Points)) {
		n := cfg.Points[code]
		switch _, known := g.points[code]; {
		case !known:
			fault("Points[%q] is no rule of this package and no code of a refusal that is a client's fault", code)
		case n < 0:
			fault("Points[%q] %d is negative", code, n)
		case code == RuleBanned && n > 0:
			fault("Points[%q] %d: a banned client that keeps retrying would never get out", code, n)
		}
		g.points[code] = float64(n)
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	if !cfg.SkipBans {
		g.bans = newBans(cfg)
	}
	// What has been compiled is not kept twice, nor shared with the caller.
	cfg.Rules, cfg.TrustedProxies, cfg.Hosts, cfg.Origins, cfg.Probes, cfg.Agents, cfg.Points = Rules{}, nil, nil, nil, nil, nil, nil
	g.cfg = cfg
	return g, nil
}

// setDefault fills in a zero value and finds fault with a negative one.
func setDefault[T int | time.Duration](fault func(string, ...any), name string, v *T, def T) {
	if *v < 0 {
		fault("%s %v is negative", name, *v)
	}
	if *v == 0 {
		*v = def
	}
}

// table returns the patterns that count, nil for none.
func table(fault func(string, ...any), name string, list []Pattern, skip bool, def func() []Pattern) []Pattern {
	switch {
	case skip && list != nil:
		fault("%s and Skip%s contradict each other", name, name)
	case skip:
		return nil
	case list == nil:
		return def()
	case len(list) == 0:
		fault("%s is empty: nil means Default%s, Skip%s none", name, name, name)
	}
	return slices.Clone(list)
}

var errNotMade = errors.New("guard: Guard was not made by New")

func (g *Guard) made() bool { return g != nil && g.rules.Load() != nil }

// SetRules replaces the address rules, whole: each request sees the old or the new ones. On an error, which joins all faults,
// the old ones stay. A million prefixes take about 0.4 s (see the benchmark); requests do not wait for it.
func (g *Guard) SetRules(r Rules) error {
	if !g.made() {
		return errNotMade
	}
	rs, err := r.compile("Rules")
	if err != nil {
		return err
	}
	g.rules.Store(rs)
	return nil
}

// Check decides about a request at the time now, without writing a reply: nil, or an *[Error]. The first rule that is broken
// decides, in this order: address, ban, method, URL, headers (header_size, duplicate_header, underscore, framing, host_mismatch),
// host, origin, probe, agent. It counts nothing: [Guard.Handler] does, or [Guard.ReportAddr].
//
// Inside a room of this module the client's address is the one that the outermost trusted proxies tell.
func (g *Guard) Check(r *http.Request, now time.Time) error {
	if e := g.check(r, g.addr(r), now); e != nil {
		return e
	}
	return nil
}

func (g *Guard) addr(r *http.Request) netip.Addr {
	if g == nil {
		return netip.Addr{}
	}
	if x := exchange.From(r.Context()); x != nil {
		return x.Addr(r, g.proxies)
	}
	return g.proxies.Client(r)
}

// check is Check for a known address.
func (g *Guard) check(r *http.Request, addr netip.Addr, now time.Time) *Error {
	if !g.made() {
		return &Error{Status: deny.InternalError.Status(), Code: string(deny.InternalError), Message: deny.InternalError.Message(), cause: errNotMade}
	}
	if !addr.IsValid() {
		if !g.cfg.UnknownAddressOpen || g.rules.Load().allowOnly {
			return refuse(RuleUnknownAddress, nil)
		}
	} else {
		switch g.rules.Load().of(addr) {
		case denied:
			return refuse(RuleAddress, nil)
		case unlisted:
			if left := g.bans.left(addr, now); left > 0 {
				e := refuse(RuleBanned, nil)
				e.RetryAfter = left
				return e
			}
		}
	}
	return g.form(r)
}

// form checks what does not depend on the address.
func (g *Guard) form(r *http.Request) *Error {
	if !slices.Contains(g.cfg.Methods, r.Method) {
		e := refuse(RuleMethod, nil)
		e.allow = g.allow
		return e
	}
	if max(len(r.RequestURI), len(r.URL.Path)+len(r.URL.RawQuery)) > g.cfg.MaxURL {
		return refuse(RuleURLLength, nil)
	}
	if err := g.path(r.URL.Path, r.URL.RawPath); err != nil {
		return refuse(RulePath, err)
	}
	if rule := g.header(r); rule != "" {
		return refuse(rule, nil)
	}
	if g.named {
		if f := g.site.Host(r.Host); f != 0 {
			return refuse(siteRules[f], nil)
		}
	}
	if g.pages {
		// A rebound name is the same host as its page's: only one that was checked is ours.
		if f := g.site.Origin(r, g.named); f != 0 {
			return refuse(siteRules[f], nil)
		}
	}
	if g.probes != nil {
		if p := g.probes.match(r.URL.Path); p != nil {
			return refuse(RuleProbe, fmt.Errorf("%s: %s", p.Text, p.Reason))
		}
	}
	if g.agents != nil {
		for _, ua := range r.Header["User-Agent"] {
			if p := g.agents.match(ua); p != nil {
				return refuse(RuleAgent, fmt.Errorf("%s: %s", p.Text, p.Reason))
			}
		}
	}
	return nil
}

// add gives the client points and returns who is then banned, for a length that is not 0. Clients of Rules.Allow have no score.
func (g *Guard) add(addr netip.Addr, points float64, now time.Time) (netip.Prefix, time.Duration) {
	if !addr.IsValid() || g.rules.Load().of(addr) == allowed {
		return netip.Prefix{}, 0
	}
	return g.bans.add(addr, points, now)
}

// Points returns what one refusal costs, by rule of this package and by code of the rooms inside.
func (g *Guard) Points() map[string]int {
	out := map[string]int{}
	if g != nil {
		for k, v := range g.points {
			out[k] = int(v)
		}
	}
	return out
}

// Banned reports whether the client with this address is banned, and until when. In shadow mode it says who would be.
func (g *Guard) Banned(addr netip.Addr) (until time.Time, banned bool) {
	if !g.made() {
		return time.Time{}, false
	}
	now := time.Now()
	left := g.bans.left(addr, now)
	if left == 0 || g.rules.Load().of(addr) == allowed {
		return time.Time{}, false
	}
	return now.Add(left), true
}

// Unban ends the ban of the client with this address, and that of the /48 it is in, and forgets their scores and their earlier
// bans. It reports whether there was a ban.
func (g *Guard) Unban(addr netip.Addr) bool {
	return g.made() && g.bans.forget(addr, time.Now())
}

// Ban bans the client with this address for that long from now, in place of a ban that it may have already; the next ban that it
// earns is longer, as after any other. It reports false, and bans nobody, when length is not positive, the address is on
// Rules.Allow or is that of no client, Config.SkipBans is set, or the table has no place but for other bans. For addresses that
// are never to come back there is [Rules].Deny.
func (g *Guard) Ban(addr netip.Addr, length time.Duration) bool {
	if !g.made() || !addr.IsValid() || g.rules.Load().of(addr) == allowed {
		return false
	}
	who, ok := g.bans.set(addr, length, time.Now())
	if ok {
		g.banned(nil, who, "operator", length)
	}
	return ok
}

// Bans returns the bans in force, in the order of their prefixes; never nil, so that its JSON is a list. It walks the whole
// table: it is for operators.
func (g *Guard) Bans() []Ban {
	if !g.made() {
		return []Ban{}
	}
	return g.bans.list(time.Now())
}

// Stats walks the whole table of scores; it is for tests and dashboards.
func (g *Guard) Stats() Stats {
	if !g.made() || g.cfg.SkipBans {
		return Stats{}
	}
	st := g.bans.stats(time.Now())
	st.Shadow = g.cfg.Shadow
	return st
}

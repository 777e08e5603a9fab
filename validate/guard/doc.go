// Package guard refuses requests by where they come from and how they are written, before anybody spends work on them, and
// shuts out for a while whoever keeps being refused.
//
//	g, err := guard.New(guard.Config{Hosts: []string{"api.example.com"}})
//	h = g.Handler(h)
//
// # What it protects against
//
//   - Addresses: allow and deny lists of any length, replaced while traffic runs ([Guard.SetRules], [ParsePrefixes]).
//   - Scanners: the paths they ask every server for, and the programs that say their name.
//   - Requests that two servers read differently: dot segments and slashes behind one more layer of encoding, two
//     Authorization headers, header names with an underscore, two hosts.
//   - DNS rebinding and pages of other sites ([Config].Hosts and Origins): a model server on localhost is otherwise in reach
//     of every web page its owner looks at.
//   - Persistence. Every refusal of a room inside (a wrong key, a body that is a bomb, text against the policy), of this
//     package and of a handler that calls [Guard.Report] adds points to the client's address. They halve with time; over a
//     threshold the client is banned, each time for twice as long: 429 with Retry-After, since a ban ends.
//
// # What it does not
//
// It is no web application firewall: it looks neither into bodies nor into query strings. It does not tell people from
// programs; a scanner that behaves like a client and changes its address is not found. It does not replace a flood limit,
// which counts what is not refused. Scores and bans are in this process alone: replicas do not share them, and a restart forgets
// them.
//
// net/http itself refuses, before any handler: malformed header names, control characters in values, several Host or
// differing Content-Length headers, transfer codings other than chunked, missing and malformed Host in HTTP/1.1. It joins
// folded lines, drops Content-Length beside chunked (RFC 9112 section 6.3), and for a target in absolute form takes the host
// from there and drops the header (section 3.2.2). None of that is visible here or repeated; the tests show it. The rules
// "framing" and "host_mismatch" are for HTTP/2, where a Host header may stand beside :authority (RFC 9113 section 8.3.1), and
// for servers other than net/http.
//
// # Who is a client
//
// An IPv4 address, or the /64 of an IPv6 address. Clients behind one address translation share it: a neighbour can have them
// all banned with six probes, as with every ban by address. Keep offices and partners in [Rules].Allow, which are never
// banned. What a web page makes the browsers of its visitors ask for does not count against them, where the browser says so
// (over HTTPS and on localhost). A scanner that writes the same header, Sec-Fetch-Site, is refused as before but not counted
// while it sends only what a page can have sent without a preflight: GET, HEAD, and POST with the Content-Type of a form, no
// credential, and no header but those of pages, browsers and well-known proxies; and the preflight itself. Cookies are among
// these: browsers send some along, so who guesses the cookies of a handler behind must be counted by it ([Guard.Report]).
//
// A request whose proxy headers nobody can vouch for has no address; see [Config].UnknownAddressOpen.
//
// # Memory under attack
//
// The table of scores has a fixed size and no pointers. When a new client finds no free place among 16, the one with the lowest
// score gives way, decayed to the same moment. (For IPv6 they are 12.) A ban in force never gives way: whoever is
// banned cannot wash it out with other addresses. Scores below a ban can be: every new client looks at 16 places, so among MaxClients/16 of them (4096 by default)
// with higher scores one comes, on average, to the place of a given lower one. Where all 16 places hold bans, points of others
// are dropped and counted ([Stats]): the table fails open, and neither grows nor refuses strangers.
//
// Addresses of IPv6 come by the block. Where 64 clients of one /48 (an eighth of MaxClients when that is less) were banned
// within about a half-life, the /48 is banned as one, for as long as any client; until that is over nothing in it takes a place.
// So the holder of a /48 takes 64 places at once. With patience he takes more: some 44 bans in a half-life stay below that
// threshold, 6,300 in a day, and once each of these clients was banned ten times, its bans last a day; that takes him ten days.
// Who holds a /32, with 65,536 of /48, takes all that IPv6 may take: three quarters, for in each group of eight places
// two are for IPv4 alone. The price: strangers in a /48 with 64 offenders are banned with them, as behind an address
// translation. An operator who sees it shortens Config.IPv6Bits, or puts the block on [Rules].Deny.
//
// # Cost
//
// No allocation for a request that passes, beyond the exchange that the outermost room makes. An address look-up is a walk of at
// most a few nodes of 32 bytes; while nobody is banned the table is not looked at, otherwise it costs a hash and a lock
// among 64. All checks are linear in the size of the request line and header, without regular expressions. Measured on two
// shared cores of an AMD EPYC: an address among 100,000 prefixes 30 ns (IPv4) and 55 ns (IPv6); all checks of a chat request
// 0.8 microseconds; the worst path and the worst User-Agent within the bounds, 24 kB of near misses, 0.26 ms together.
package guard

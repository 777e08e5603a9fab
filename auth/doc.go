// Package auth says who is calling and whether they may.
//
// A [Gate] stands in front of a handler. It asks an [Authenticator] who sent the request, demands the scopes of the route, and leaves the
// [Principal] in the request context; everything else gets a refusal that tells the client what RFC 6750 and RFC 9110 section 11 want it to
// know, and not a byte more. Authenticators are in the children of this package: API keys in auth/apikey, signed tokens in auth/jwtauth,
// tokens whose issuer is asked in auth/introspect; auth/pop binds either kind of token to its holder's key. [AnyOf] puts several in front
// of one route. auth/mcp makes the metadata by which an OAuth client finds its way.
//
//	keys, err := apikey.New(apikey.Config{Store: store, Prefix: "acme", Env: "live"})
//	...
//	gate, err := auth.New(auth.Config{Authenticator: keys, Realm: "inference"})
//	...
//	http.Handle("POST /v1/chat/completions", gate.Require("chat:write").Handler(chat))
//
// Refusals are logged at Debug, because strangers choose how many there are: slog.SetLogLoggerLevel(slog.LevelDebug), or
// Config.RefusalLevel, shows why a client got 401. A Gate inside another one that it was made of takes over the caller; a Gate from another
// [New] asks its own authenticator again.
//
// # What it protects against
//
//   - Anonymous and forged callers: every path through a Gate that does not end in a Principal ends in a refusal. The zero
//     Gate, an authenticator that returns nothing, and an error nobody knows all refuse. HEAD and OPTIONS are not exempt.
//   - Downgrade between methods: with AnyOf, a credential that one method recognises and finds wrong is final. Only one that
//     a method does not recognise is shown to the next.
//   - Ambiguity: a request with two credentials (two headers, or one header twice) is refused with 400, so that no proxy
//     and no log can believe one while we use the other. Credentials are never read from the query string or a cookie.
//   - Guessing by difference: an unknown, wrong, expired, revoked or malformed API key gets the same status, headers and
//     body. What was wrong goes to the log and the audit record.
//   - Clients that take an outage for a bad key: a failure to decide is 503 with Retry-After and without a challenge.
//   - Rights a caller does not have: [Gate.Require], [Gate.RequireAny], [Gate.RequireFunc], [Gate.RequireAuthentication] and
//     [Gate.RequireAuthorizer] each add a demand, and all must be met; roles are in auth/rbac. An [Authorizer] that cannot decide
//     is a refusal.
//   - Guessers: wrong credentials count against the address they come from, an IPv4 /32 or IPv6 /64, and lock it out for a
//     while: 429 with Retry-After, before an authenticator is asked ([Lockout]). A wrong secret for a key that exists is an alarm
//     of its own ([Alarm]). No key, caller or other address is locked with it, but for clients whose address is unclear (see below).
//   - Use of a model the caller was not given: [Gate.ModelHandler] checks the model that is dispatched. It takes the body as the
//     validator read it and never parses it again; path and query must name the same one. It stands behind the router.
//
// # What it does not
//
// It does not bound how many requests a stranger sends; put a limiter by client address in front of it (room ratelimit). A guesser with
// many addresses has as many times the guesses: what makes guessing hopeless is the 178 bits of an API key. The lock-out is of this process
// alone: replicas do not share it, and a restart forgets it. It does not look at a stream again after it began: a key revoked in the middle
// of an answer is refused on its next request. It defines no identity headers for the handler behind it, so there are none a client could
// forge; a handler reads [FromContext].
//
// # Who is locked out
//
// An address, and with it everybody behind it. Clients that share one (NAT, a company's proxy, a server that passes on the tokens of its
// users) can be locked out by a neighbour, for a minute at first and 15 at most; name such addresses in Lockout.Exempt. Nobody can bring it
// about from outside: TCP proves an address, a page of another site cannot make a browser send a credential header (that takes a
// preflight), and what a browser may send by itself, HTTP Basic, costs nothing.
//
// A proxy in front carries everybody: name it in Config.TrustedProxies. A trusted proxy itself is never locked, and while no proxies are
// named neither are loopback, private and link-local addresses; a proxy with a public address that is not named is locked like any client.
// Clients whose address the trusted proxy's headers leave unclear (X-Forwarded-For and Forwarded contradict each other) have one score
// together: they could otherwise escape by a header of their own. A peer without an address, on a Unix socket, has none.
//
// The table has a fixed size. When a new address finds none of its 16 places free (12 for IPv6), that of the lowest score gives way,
// decayed to the same moment; a lock in force never does. Where all of them are locks the failures of others are dropped and counted
// ([LockoutStats]): it fails open, and neither grows nor refuses strangers. A quarter of the places are for IPv4 alone, so that the holder
// of an IPv6 /32, who has more /64 than there are places, cannot fill the table for everybody.
//
// What IPv6 may take of it he can fill, and so can the holder of a /48 who has 12,288 of its /64 locked (in a table of the default size);
// other guessers in IPv6 are not locked then. A /48 is never locked as one, as package validate/guard bans it: a lock refuses right
// credentials too, and anybody with a few dozen /64 of a carrier or a campus could lock out all its users. Where that is wanted a guard in
// front does it, for it counts the wrong credentials that a Gate refuses.
//
// # Cost
//
// A Gate adds to a bare handler what it takes to create the request's exchange and what the authenticator needs; on the way through it does
// not read the body. The lock-out adds one atomic load while nobody is locked (no difference in BenchmarkLockout), and about 0.1
// microseconds, a hash and a lock among 64, while somebody is. ModelHandler reads it only for callers whose models are restricted, and only
// when no room before it did.
//
// # Specifications
//
// RFC 6750 (Bearer), RFC 9110 section 11 (challenges), RFC 6749 section 3.3 (scopes), RFC 9728 section 5.1 (resource_metadata), RFC 9470
// (step-up), RFC 9449 section 7.1 (the DPoP scheme).
package auth

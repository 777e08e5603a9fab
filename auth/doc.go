// Package auth says who is calling and whether they may.
//
// A [Gate] stands in front of a handler. It asks an [Authenticator] who sent the request, demands the scopes of the route,
// and leaves the [Principal] in the request context; everything else gets a refusal that tells the client what RFC 6750 and
// RFC 9110 section 11 want it to know, and not a byte more. Authenticators are in the children of this package: API keys in
// auth/apikey, signed tokens in auth/jwtauth, tokens whose issuer is asked in auth/introspect; auth/pop binds either kind of token to
// its holder's key. [AnyOf] puts several in front of one route. auth/mcp makes the metadata by which an OAuth client finds its way.
//
//	keys, err := apikey.New(apikey.Config{Store: store, Prefix: "acme", Env: "live"})
//	...
//	gate, err := auth.New(auth.Config{Authenticator: keys, Realm: "inference"})
//	...
//	http.Handle("POST /v1/chat/completions", gate.Require("chat:write").Handler(chat))
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
//   - Use of a model the caller was not given: [Gate.ModelHandler] checks the model that is dispatched.
//
// # What it does not
//
// It does not slow down or lock out guessers; put a limiter by client address in front of it (room ratelimit). With API keys
// of 178 bits guessing is hopeless, and refusing a malformed one costs less than a microsecond. It does not look at a stream
// again after it began: a key revoked in the middle of an answer is refused on its next request. It defines no identity
// headers for the handler behind it, so there are none a client could forge; a handler reads [FromContext].
//
// # Cost
//
// A Gate adds to a bare handler what it takes to create the request's exchange and what the authenticator needs; on the way
// through it does not read the body. ModelHandler reads it only for callers whose models are restricted, and only when no
// room before it did.
//
// # Specifications
//
// RFC 6750 (Bearer), RFC 9110 section 11 (challenges), RFC 6749 section 3.3 (scopes), RFC 9728 section 5.1 (resource_metadata), RFC
// 9470 (step-up), RFC 9449 section 7.1 (the DPoP scheme).
package auth

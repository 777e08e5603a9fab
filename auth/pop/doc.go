// Package pop binds access tokens to their holder: a stolen token is worth nothing without the key it was issued for.
//
// A [Verifier] is an [auth.Authenticator] in front of a verifier of tokens (package jwtauth, package introspect). It takes two proofs:
//
//   - DPoP (RFC 9449): the client signs a small JWT for every request, whose key must be the one in the token's cnf.jkt. The request
//     says "Authorization: DPoP <token>" and has one DPoP header.
//   - A client certificate (RFC 8705): its SHA-256 must be the token's cnf.x5t#S256. It comes from the TLS connection or, through a
//     proxy that is trusted by name, from the Client-Cert header of RFC 9440. The request says "Authorization: Bearer <token>".
//
// For example:
//
//	bound, err := pop.New(pop.Config{
//		Tokens: tokens,
//		URLs:   []string{"https://inference.example.com"},
//	})
//	...
//	gate, err := auth.New(auth.Config{Authenticator: bound})
//
// # What is checked
//
// Of a proof (RFC 9449 section 4.3): one header; three canonical segments; strict JSON; typ "dpop+jwt"; an algorithm of the list, never a
// symmetric one; a public jwk in its one spelling, so that it has one thumbprint; no key, location of a key or extension beside it; htm and
// htu are this request's; ath is the token's; iat is recent; a nonce where one is demanded; the token is bound to this key; the signature;
// and last, when all else is right, that its jti was not used with this key before. A proof that fails burns nothing, so nobody can use up
// another's.
//
// htu is compared with the configured [Config.URLs] and the path of the request, never with the Host header or X-Forwarded-*: whoever is
// sent a proof for his own server would otherwise replay it here under his server's name. Scheme, host and escapes are normalised (RFC 3986
// section 6.2.2), query and fragment are ignored; a path with dot segments matches nothing.
//
// A token that is bound to a key is refused under the scheme Bearer, and one that is bound to nothing is refused under DPoP always and
// under Bearer unless [Config.InsecureAllowUnbound] is set.
//
// # What it does not
//
// It does not see bodies: a proof covers method, URL and token. Replay is prevented within one process, or wherever [Config.Replay]
// reaches; without a shared store, each of n replicas takes a proof once within [Config.MaxAge], and so does a process that was started
// again. When the wall clock is set back by more than 5 seconds, proofs of the time before are answered with 503 until it has come again.
// The certificate is taken from the handshake, which proves that the client has its key; whether to believe its issuer is a matter of
// tls.Config.
//
// # Cost
//
// A proof costs one signature verification, after everything that is cheaper. The store holds at most [Config.MaxProofs] of them.
package pop

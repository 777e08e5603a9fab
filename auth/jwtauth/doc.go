// Package jwtauth accepts signed JWT access tokens (RFC 7519, RFC 9068) under keys that are configured or that the issuer publishes.
//
// A [Verifier] is an [auth.Authenticator] for "Authorization: Bearer" values that have the three parts of a compact JWS. The
// signature is verified by github.com/golang-jwt/jwt/v5 (an HMAC by crypto/hmac, whose keyed state is kept between tokens);
// everything else is decided here, because a library that serves every use of JWT must allow what an API must refuse.
//
//	tokens, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{{
//		Issuer:     "https://login.example.com/",
//		Audiences:  []string{"https://inference.example.com"},
//		Algorithms: []string{"ES256"},
//		Discovery:  true, // or JWKS: "https://...", or Keys: []jwtauth.Key{...}
//	}}})
//	...
//	defer tokens.Close(ctx)
//
// # What is checked, in this order
//
//  1. Size, exactly three segments, base64url without padding, without stray characters and with zero trailing bits: one token
//     has one spelling, so that a deny list or a cache cannot be walked around.
//  2. Header and claims are strict JSON: no member twice, none that differs from another, or from a registered name, by case
//     only. The two programs that read a token must see the same one.
//  3. Header: crit, b64, jwk, jku, x5u, x5c, zip, enc and cty are refused (a key or a rule from the token itself is a key or a
//     rule from the attacker); typ must be one of [Issuer.Types].
//  4. iss must be one of the configured issuers, before a key is chosen or anything is fetched. Keys of one issuer never verify
//     another's tokens.
//  5. The key: by kid; without a kid only if exactly one key of that issuer fits. The algorithm is the key's own and the
//     header must name that one: alg never chooses, so "none" and HS256 with a public key have nothing to work with.
//  6. The signature.
//  7. Claims: exp is required, nbf and iat are kept, lifetime is bounded, aud must hold one configured audience exactly, sub is
//     required. A token bound to a key or certificate (cnf) is refused as a bearer token (RFC 9449 section 7.1, RFC 8705
//     section 3): this package cannot check the proof.
//
// # Token types
//
// The default accepts typ "at+jwt" (with or without "application/", RFC 9068 section 2.1) and nothing else. That is what keeps an
// ID token, a logout token or a signed e-mail link of the same issuer from opening the API (RFC 8725 section 3.11). Many issuers
// still send "JWT" or no typ: allow these for an issuer in [Issuer.Types], where "" stands for none, and give the API an audience
// of its own. Tokens with at_hash or c_hash are ID tokens by their content and are refused in any case.
//
// # Published keys
//
// The issuer's JWK Set is fetched when its first token comes, and again as its Cache-Control says, from every 5 minutes to half of
// [Fetch.MaxStale], every hour if it says nothing. Requests wait for a fetch, at most 2 seconds, only when there are no keys yet or
// the token names a kid nobody has heard of; the fetch belongs to the verifier, is shared by all who wait, and goes on when they
// leave. Who sends bad tokens gets little for it:
//
//   - A wrong signature under a known kid, or a token without kid, fetches nothing. So does every token that is refused before its
//     key is looked for, above all one of an issuer that is not configured.
//   - Unknown kids cause at most one fetch in 10 seconds, however many there are and however often one comes again. None is
//     remembered: whoever can foretell the kid of the next key, a month or a number, could have it put off. A key that the issuer has
//     just published is found by any of these fetches, so an attack delays it by 10 seconds at most.
//   - After a failure there is a pause of 1 second, doubled up to a minute. Keys that are there stay good for [Fetch.MaxStale] after
//     the last good fetch. Without keys the answer is [auth.ErrUnavailable], 503 with Retry-After: an outage of the issuer
//     is no fault of the token, and a client that is told "invalid" throws its token away.
//
// A set is at most 512 KiB and 100 keys, comes over https, uncompressed, within 10 seconds and without a redirect to another host.
// Its keys are read one by one: one that is odd, for encryption, secret or on no curve is left out and the others stay. A key
// without alg is for every algorithm of [Issuer.Algorithms] that fits its type. Two different keys under one kid are both
// useless. A set without a usable key does not replace one that has.
//
// # Remembered tokens
//
// A token that was verified is remembered by the SHA-256 of all of it, so that its next use costs that hash. What is remembered is
// asked again on every use: exp, nbf, iat, whether the issuer still publishes the key, and [Config.Revoked]; the scopes a route
// demands are the gate's affair, which asks every time. The memory is the verifier's own, of fixed size ([Config.CacheSize]), and
// holds no token.
//
// # What it does not
//
// It keeps no list of revoked tokens: [Config.Revoked] asks yours. A withdrawn key is noticed at the next planned fetch, and after
// [Fetch.MaxStale] at the latest. Encrypted tokens and the JSON serialisation do not exist here.
//
// # Cost
//
// O(length of the token), at most Config.MaxTokenBytes. A token that fails before step 6 costs a hash of itself and no public key
// operation. See the benchmarks for the share of the signature.
package jwtauth

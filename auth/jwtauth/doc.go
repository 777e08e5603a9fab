// Package jwtauth accepts signed JWT access tokens (RFC 7519, RFC 9068) whose keys are configured.
//
// A [Verifier] is an [auth.Authenticator] for "Authorization: Bearer" values that have the three parts of a compact JWS. The
// signature is computed by github.com/golang-jwt/jwt/v5; everything else is decided here, because a library that serves every
// use of JWT must allow what an API must refuse.
//
//	tokens, err := jwtauth.New(jwtauth.Config{Issuers: []jwtauth.Issuer{{
//		Issuer:     "https://login.example.com/",
//		Audiences:  []string{"https://inference.example.com"},
//		Algorithms: []string{"ES256"},
//		Keys:       []jwtauth.Key{{ID: "2026-11", Algorithm: "ES256", Key: publicKey}},
//	}}})
//
// # What is checked, in this order
//
//  1. Size, exactly three segments, base64url without padding, without stray characters and with zero trailing bits: one token
//     has one spelling, so that a deny list or a cache cannot be walked around.
//  2. Header and claims are strict JSON: no member twice, none that differs from another, or from a registered name, by case
//     only. The two programs that read a token must see the same one.
//  3. Header: crit, b64, jwk, jku, x5u, x5c, zip, enc and cty are refused (a key or a rule from the token itself is a key or a
//     rule from the attacker); typ must be one of [Issuer.Types].
//  4. iss must be one of the configured issuers, before a key is chosen. Keys of one issuer never verify another's tokens.
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
// # What it does not
//
// It fetches no keys (JWKS) and no discovery documents: keys are configured. It keeps no cache of verified tokens and no list of
// revoked ones; a token is good until it expires. Encrypted tokens and the JSON serialisation do not exist here.
//
// # Cost
//
// O(length of the token), at most Config.MaxTokenBytes. A token that fails before step 6 costs no public key operation. See the
// benchmarks for the share of the signature.
package jwtauth

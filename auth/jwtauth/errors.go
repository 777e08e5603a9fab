package jwtauth

import (
	"time"

	"github.com/mantlet-go/mantlet/auth/internal/refuse"
)

const from = refuse.From("jwtauth")

// The answers to bad tokens. They are shared and fixed: nothing of a token is ever part of a log line made here.
var (
	errNotMade = from.Unavailable("verifier was not made by New", nil, 0)

	errClosed   = from.Unavailable("verifier was closed", nil, 0)
	errCooldown = from.Busy("kid is not known, and another unknown one made us fetch the keys a moment ago", cooldown)
	errWait     = from.Unavailable("keys are still being fetched", nil, 2*time.Second)

	errTooLong   = from.Invalid("token is too long")
	errShape     = from.Invalid("token does not have three segments")
	errBase64    = from.Invalid("a segment is not canonical base64url")
	errHeader    = from.Invalid("header is not strict JSON, or too large")
	errForbidden = from.Invalid("header has a member that is not allowed")
	errVariant   = from.Invalid("a registered name is spelled in another case")
	errAlgorithm = from.Invalid("alg is missing or not supported")
	errKid       = from.Invalid("kid is not a string of 1 to 256 bytes")
	errType      = from.Invalid("typ is not a string")
	errClaims    = from.Invalid("claims are not strict JSON")
	errIssuer    = from.Invalid("iss is not configured")
	errSlash     = from.Invalid("iss is not configured: a configured Issuer differs from it by the slash at its end only")
	errKey       = from.Invalid("no key of the issuer fits kid and alg")
	errAbsent    = from.NotYet("the issuer has not published a key for kid and alg")
	errSignature = from.Invalid("signature is wrong")
	errAudience  = from.Invalid("aud does not hold this API")
	errSubject   = from.Invalid("sub is missing")
	errTime      = from.Invalid("exp, nbf, iat or auth_time is missing or malformed")
	errLifetime  = from.Invalid("token lives longer than the issuer's MaxLifetime")
	errEarly     = from.NotYet("token is not valid yet")
	errCnf       = from.Invalid("cnf is malformed, or binds the token in a way that cannot be checked")
	errBound     = from.Invalid("token is bound to a key (cnf) and was sent as a bearer token")
	errIDToken   = from.Invalid("token is an ID token")
	errACR       = from.Invalid("acr is no string, longer than 512 bytes or has control characters")
	errScope     = from.Invalid("scope or scp is not a list of scope-tokens (RFC 6749 section 3.3)")

	errExpired = from.Expired("token has expired")
)

package jwtauth

import (
	"fmt"
	"time"

	"github.com/mantlet-go/mantlet/auth"
)

func invalid(reason string) *auth.Error {
	return &auth.Error{Code: auth.CodeInvalidToken, Err: fmt.Errorf("jwtauth: %s: %w", reason, auth.ErrInvalid)}
}

// notYet is for what may become right: a wrong clock or a key that is on its way is no guess.
func notYet(reason string) *auth.Error {
	return &auth.Error{Code: auth.CodeInvalidToken, Err: fmt.Errorf("jwtauth: %s: %w", reason, auth.ErrNotYetValid)}
}

// early is an outage that a stranger can bring about and that is over in seconds. It is ErrNotYetValid too, so that no log calls for help.
type early struct{ error }

func (e early) Is(target error) bool { return target == auth.ErrNotYetValid }

func (e early) Unwrap() error { return e.error }

// The answers to bad tokens. They are shared and fixed: nothing of a token is ever part of a log line made here.
var (
	errNotMade = &auth.Error{Code: auth.CodeUnavailable, Err: fmt.Errorf("jwtauth: verifier was not made by New: %w", auth.ErrUnavailable)}

	errClosed   = &auth.Error{Code: auth.CodeUnavailable, Err: fmt.Errorf("jwtauth: verifier was closed: %w", auth.ErrUnavailable)}
	errCooldown = &auth.Error{Code: auth.CodeUnavailable, RetryAfter: cooldown, Err: early{fmt.Errorf("jwtauth: kid is not known, and another unknown one made us fetch the keys a moment ago: %w", auth.ErrUnavailable)}}
	errWait     = &auth.Error{Code: auth.CodeUnavailable, RetryAfter: 2 * time.Second, Err: fmt.Errorf("jwtauth: keys are still being fetched: %w", auth.ErrUnavailable)}

	errTooLong   = invalid("token is too long")
	errShape     = invalid("token does not have three segments")
	errBase64    = invalid("a segment is not canonical base64url")
	errHeader    = invalid("header is not strict JSON, or too large")
	errForbidden = invalid("header has a member that is not allowed")
	errVariant   = invalid("a registered name is spelled in another case")
	errAlgorithm = invalid("alg is missing or not supported")
	errKid       = invalid("kid is not a string of 1 to 256 bytes")
	errType      = invalid("typ is not a string")
	errClaims    = invalid("claims are not strict JSON")
	errIssuer    = invalid("iss is not configured")
	errSlash     = invalid("iss is not configured: a configured Issuer differs from it by the slash at its end only")
	errKey       = invalid("no key of the issuer fits kid and alg")
	errAbsent    = notYet("the issuer has not published a key for kid and alg")
	errSignature = invalid("signature is wrong")
	errAudience  = invalid("aud does not hold this API")
	errSubject   = invalid("sub is missing")
	errTime      = invalid("exp, nbf, iat or auth_time is missing or malformed")
	errLifetime  = invalid("token lives longer than the issuer's MaxLifetime")
	errEarly     = notYet("token is not valid yet")
	errCnf       = invalid("cnf is malformed, or binds the token in a way that cannot be checked")
	errBound     = invalid("token is bound to a key (cnf) and was sent as a bearer token")
	errIDToken   = invalid("token is an ID token")
	errACR       = invalid("acr is no string, longer than 512 bytes or has control characters")
	errScope     = invalid("scope or scp is not a list of scope-tokens (RFC 6749 section 3.3)")

	errExpired = &auth.Error{Code: auth.CodeTokenExpired, Err: fmt.Errorf("jwtauth: token has expired: %w", auth.ErrExpired)}
)

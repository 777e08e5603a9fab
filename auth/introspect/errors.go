package introspect

import (
	"errors"
	"fmt"
	"time"

	"github.com/mantlet-go/mantlet/auth"
)

func invalid(reason string) *auth.Error {
	return &auth.Error{Code: auth.CodeInvalidToken, Err: fmt.Errorf("introspect: %s: %w", reason, auth.ErrInvalid)}
}

// unavailable is the answer when nobody knows. cause may be nil; retry may be 0.
func unavailable(reason string, cause error, retry time.Duration) *auth.Error {
	err := fmt.Errorf("introspect: %s: %w", reason, auth.ErrUnavailable)
	if cause != nil {
		err = fmt.Errorf("introspect: %s: %w", reason, errors.Join(auth.ErrUnavailable, cause))
	}
	return &auth.Error{Code: auth.CodeUnavailable, RetryAfter: retry, Err: err}
}

// The fixed answers. They are shared; nothing of a token or of a response is part of them.
var (
	errNotMade = unavailable("verifier was not made by New", nil, 0)
	errClosed  = unavailable("verifier is closed", nil, 0)
	errBusy    = unavailable("too many questions under way", nil, time.Second)
	errPanic   = unavailable("asking panicked", nil, 0)

	errShape    = invalid("token is too long or has characters that no bearer token has")
	errInactive = invalid("token is not active")
	errRevoked  = &auth.Error{Code: auth.CodeInvalidToken, Err: fmt.Errorf("introspect: token is not active any more: %w", auth.ErrRevoked)}
	errIssuer   = invalid("iss is not the configured issuer")
	errAudience = invalid("aud does not hold this API")
	errType     = invalid("token is no access token")
	errSubject  = invalid("answer names no sub (see Config.SubjectFromClient)")
	errScope    = invalid("scope holds what is no scope-token")
	errEarly    = &auth.Error{Code: auth.CodeInvalidToken, Err: fmt.Errorf("introspect: token is not valid yet: %w", auth.ErrNotYetValid)}
	errCnf      = invalid("token is bound in a way that cannot be checked")
	errNoKey    = invalid("token is a DPoP token and the answer does not name its key (cnf.jkt)")
	errBound    = invalid("token is bound to a key or certificate (cnf) and was sent as a bearer token")
	errExpired  = &auth.Error{Code: auth.CodeTokenExpired, Err: fmt.Errorf("introspect: token has expired: %w", auth.ErrExpired)}
)

// Package refuse makes the refusals of verifiers of tokens. Their texts are fixed and for logs; nothing of a token is part of them.
package refuse

import (
	"fmt"
	"time"

	"github.com/mantlet-go/mantlet/auth"
)

// From is the package that refuses.
type From string

// Invalid is for a token that is wrong. It counts against who sent it.
func (f From) Invalid(reason string) *auth.Error {
	return &auth.Error{Code: auth.CodeInvalidToken, Err: fmt.Errorf("%s: %s: %w", f, reason, auth.ErrInvalid)}
}

// NotYet is for what may become right: a wrong clock, or a key that is on its way, is no guess.
func (f From) NotYet(reason string) *auth.Error {
	return &auth.Error{Code: auth.CodeInvalidToken, Err: fmt.Errorf("%s: %s: %w", f, reason, auth.ErrNotYetValid)}
}

// Expired is for a token that was right.
func (f From) Expired(reason string) *auth.Error {
	return &auth.Error{Code: auth.CodeTokenExpired, Err: fmt.Errorf("%s: %s: %w", f, reason, auth.ErrExpired)}
}

// Unavailable is for when nobody knows. cause may be nil; retry may be 0, or in the past.
func (f From) Unavailable(reason string, cause error, retry time.Duration) *auth.Error {
	err := fmt.Errorf("%s: %s: %w", f, reason, auth.ErrUnavailable)
	if cause != nil {
		err = fmt.Errorf("%w: %w", err, cause)
	}
	return &auth.Error{Code: auth.CodeUnavailable, RetryAfter: max(0, retry), Err: err}
}

// Busy is for an outage that a stranger can bring about and that is over in moments. It is ErrNotYetValid too, so that no log calls for
// help.
func (f From) Busy(reason string, retry time.Duration) *auth.Error {
	e := f.Unavailable(reason, nil, retry)
	e.Err = busy{e.Err}
	return e
}

type busy struct{ error }

// Is implements what [errors.Is] asks for.
func (busy) Is(target error) bool { return target == auth.ErrNotYetValid }

// Unwrap returns the outage.
func (b busy) Unwrap() error { return b.error }

package ratelimit

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

var (
	// ErrExhausted is returned by [Reservation.Report] when the limits do not allow what was reported. Stop
	// generating; what was reported will still be charged.
	ErrExhausted = errors.New("ratelimit: budget exhausted")
	// ErrUnknownPlan is returned by [Limiter.Reserve] for a plan that is not configured.
	ErrUnknownPlan = errors.New("ratelimit: unknown plan")
	// ErrStoreFull says that a store has no room for a new key because every entry it could give up is in use.
	// The request is refused: a full table must not mean no limits.
	ErrStoreFull = errors.New("ratelimit: store is full")
	// ErrTooManyClaims says that more than MaxClaims claims were given to a store at once.
	ErrTooManyClaims = errors.New("ratelimit: too many claims in one decision")
	// ErrOverloaded is the cause of a refusal by a [Bulkhead]: no slot became free in time.
	ErrOverloaded = errors.New("ratelimit: no free slot")

	errNoLimiter = errors.New("ratelimit: Limiter was not made by New")
)

// LimitError says which limits refused a request and when to come back.
type LimitError struct {
	// Violated names the limits that refused, in the order of the plan. Do not modify.
	Violated []string
	// RetryAfter is how long to wait until the same request would be admitted, if nothing else is charged meanwhile.
	// For a Parallel limit it is a guess of one second: nobody knows when a running request ends.
	RetryAfter time.Duration
	// Never means that the request costs more than a limit can ever hold: waiting does not help.
	Never bool

	plan   *plan
	refuse uint8 // bit i: limit i of the plan refused
	states []State
}

// Error names the limits. It is for logs, not for clients.
func (e *LimitError) Error() string {
	if e.Never {
		return fmt.Sprintf("ratelimit: cost can never fit %s", strings.Join(e.Violated, ", "))
	}
	return fmt.Sprintf("ratelimit: %s exceeded, retry after %v", strings.Join(e.Violated, ", "), e.RetryAfter)
}

// storeError is a failure of the store itself, as opposed to a refusal.
type storeError struct{ err error }

func (e *storeError) Error() string { return "ratelimit: store: " + e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

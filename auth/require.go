package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"
)

// rule is one demand beside the scopes of a Gate: nil lets the caller through. g is the Gate that asks, which may demand more than
// the one the rule was made with.
type rule func(g *Gate, r *http.Request, p *Principal) error

// with returns a copy of g that has one rule more.
func (g *Gate) with(x rule) *Gate {
	if g == nil {
		return &Gate{}
	}
	c := *g
	c.rules = append(slices.Clone(g.rules), x)
	return &c
}

// Require returns a Gate that demands these scopes beside the ones g demands; g is unchanged. A string may hold several
// scopes separated by spaces. What is not a scope-token of RFC 6749 section 3.3, a blank string above all, can be held by nobody, so a
// gate that demands it refuses everyone with 403. Require of a zero or nil Gate is such a Gate.
func (g *Gate) Require(scopes ...string) *Gate {
	if g == nil {
		return &Gate{}
	}
	c := *g
	c.scopes = slices.Clone(g.scopes)
	for _, s := range splitScopes(scopes) {
		if !slices.Contains(c.scopes, s) {
			c.scopes = append(c.scopes, s)
		}
	}
	return &c
}

// Scopes returns a copy of the scopes g demands of every request. It does not know of [Gate.RequireAny] and [Gate.RequireFunc].
func (g *Gate) Scopes() []string {
	if g == nil {
		return nil
	}
	return slices.Clone(g.scopes)
}

// RequireAny returns a Gate that demands one of these alternatives beside what g demands; g is unchanged. A string that holds several
// scopes separated by spaces is one alternative that needs them all. A caller who meets none is told of the first, with the scopes
// that every request needs. No alternative means that nobody passes.
func (g *Gate) RequireAny(alternatives ...string) *Gate {
	var sets [][]string
	for _, a := range alternatives {
		if set := splitScopes([]string{a}); set[0] != "" { // nobody meets a blank one, and nobody need be told of it
			sets = append(sets, set)
		}
	}
	return g.with(func(g *Gate, _ *http.Request, p *Principal) error {
		for _, set := range sets {
			if p.HasScopes(set...) {
				return nil
			}
		}
		e := &Error{Code: CodeInsufficientScope, KeyID: p.KeyID, Err: ErrInsufficientScope}
		if len(sets) > 0 {
			e.Scopes = union(g.scopes, sets[0])
		}
		return e
	})
}

// RequireFunc returns a Gate that asks f, for every request, which scopes it needs beside those g demands; g is unchanged. The
// caller is known by then. A string may hold several scopes, and
// a blank one is met by nobody: for no further demand, f returns nothing. What f needs to know must stand
// outside the body; for the other case see [Gate.BodyScopesHandler]. f must be safe for concurrent use.
func (g *Gate) RequireFunc(f func(r *http.Request) []string) *Gate {
	return g.with(func(g *Gate, r *http.Request, p *Principal) error {
		if f == nil {
			return errNotMade // nobody can say what is needed
		}
		needs := splitScopes(f(r))
		if p.HasScopes(needs...) {
			return nil
		}
		return authorize(p, union(g.scopes, needs))
	})
}

// union returns the scopes of a, then those of b that a does not have: a client that asks for what a challenge names must not lose
// what it needed before.
func union(a, b []string) []string {
	u := slices.Clone(a)
	for _, s := range b {
		if !slices.Contains(u, s) {
			u = append(u, s)
		}
	}
	return u
}

// maxAhead is how far in the future an AuthTime may be: the most that packages jwtauth and introspect let clocks be apart.
const maxAhead = time.Minute

// RequireAuthentication returns a Gate that demands how and when the caller authenticated, beside what g demands; g is unchanged. The ACR
// of the Principal must be one of acrValues, in order of preference; none means any. Its AuthTime must not be longer ago than maxAge, which
// a client is told in whole seconds, rounded up; zero means any time, and a Principal without AuthTime, or with one more than a minute
// ahead of our clock, is never recent. Others are refused with 401 and told what is missing (RFC 9470), so that an interactive client can
// send its user to authenticate again. Several demands must all be met.
//
// A negative maxAge, or an acr value that is not printable ASCII without space, quotation mark and backslash, is met by nobody.
func (g *Gate) RequireAuthentication(maxAge time.Duration, acrValues ...string) *Gate {
	acrValues = slices.Clone(acrValues)
	return g.with(func(_ *Gate, _ *http.Request, p *Principal) error {
		strong := len(acrValues) == 0 || ValidScope(p.ACR) && slices.Contains(acrValues, p.ACR)
		age := time.Since(p.AuthTime)
		recent := maxAge == 0 || maxAge > 0 && !p.AuthTime.IsZero() && age >= -maxAhead && age <= maxAge
		if strong && recent {
			return nil
		}
		return &Error{Code: CodeStepUp, ACRValues: acrValues, MaxAge: maxAge, KeyID: p.KeyID, Err: ErrStepUp}
	})
}

// Authorizer decides whether a caller may do what a request asks for, beyond scopes: a policy engine, or roles (package rbac).
// Implementations are safe for concurrent use and do not read the body.
//
// Authorize returns nil to let the request through, and an error that wraps [ErrPermissionDenied] to refuse it with 403. An [*Error]
// is taken as it is. Any other error means that no decision could be made: the request is refused with 503, never let through. How
// long a decision may take is the Authorizer's to bound; ctx is the request's.
type Authorizer interface {
	Authorize(ctx context.Context, p *Principal, r *http.Request) error
}

// AuthorizerFunc is a function as an [Authorizer].
type AuthorizerFunc func(ctx context.Context, p *Principal, r *http.Request) error

// Authorize calls f. A nil f is [ErrUnavailable].
func (f AuthorizerFunc) Authorize(ctx context.Context, p *Principal, r *http.Request) error {
	if f == nil {
		return errNotMade
	}
	return f(ctx, p, r)
}

// RequireAuthorizer returns a Gate that asks a beside what g demands; g is unchanged. A nil a refuses everyone with 503.
func (g *Gate) RequireAuthorizer(a Authorizer) *Gate {
	return g.with(func(_ *Gate, r *http.Request, p *Principal) error {
		if a == nil {
			return errNotMade
		}
		err := a.Authorize(r.Context(), p, r)
		if err == nil {
			return nil
		}
		// Closed: what is no answer of this package's kind is an outage, also when it happens to wrap "invalid".
		var e *Error
		if errors.Is(err, ErrPermissionDenied) || errors.As(err, &e) && e != nil {
			return err
		}
		return &Error{Code: CodeUnavailable, KeyID: p.KeyID, Err: fmt.Errorf("auth: authorizer: %w", errors.Join(ErrUnavailable, err))}
	})
}

package auth

import (
	"context"

	"github.com/mantlet-go/mantlet/internal/exchange"
)

// NewContext returns a context in which p is the caller, for this room and for every other room inside: limits, audit and the handler see p
// whatever a [Gate] further out found. A Gate further in has the last word again. It is the door for authentication done elsewhere, and for
// tests. A nil p makes the request anonymous again: it then has no caller, for no room.
func NewContext(ctx context.Context, p *Principal) context.Context {
	if p == nil {
		return exchange.WithoutCaller(ctx)
	}
	return exchange.WithCaller(ctx, callerOf(p))
}

// FromContext returns the caller of a request context: what the innermost [NewContext] said, else what the [Gate] found. ok
// is false when nobody authenticated the request; the Principal is then nil.
func FromContext(ctx context.Context) (p *Principal, ok bool) {
	c, ok := exchange.CallerFrom(ctx)
	if !ok {
		return nil, false
	}
	p, _ = c.Principal.(*Principal)
	return p, p != nil
}

// callerOf is p, which is not nil, in the words all rooms share. The slices are shared; nobody writes to them.
func callerOf(p *Principal) exchange.Caller {
	return exchange.Caller{
		Issuer: p.Issuer, Subject: p.Subject, Tenant: p.Tenant, ClientID: p.ClientID, KeyID: p.KeyID,
		Method: string(p.Method), Plan: p.Plan, Scopes: p.Scopes, Roles: p.Roles, Models: p.Models, Principal: p,
	}
}

package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"

	"github.com/cedar-policy/cedar-go"

	"github.com/mantlet-go/mantlet/auth"
)

// Cedar asks a set of Cedar policies, as an auth.Authorizer. A request becomes:
//
//   - principal: Caller::"<issuer>/<subject>", both escaped, in Role::"<role>" for each of its roles, with the attributes tenant and
//     scopes;
//   - action: Action::"<pattern of the route>", such as Action::"GET /tenants/{tenant}/usage";
//   - resource: Tenant::"<tenant of the path>".
type Cedar struct {
	policies *cedar.PolicySet
}

// NewCedar reads policies; name is for their error messages.
func NewCedar(name string, policies []byte) (*Cedar, error) {
	set, err := cedar.NewPolicySetFromBytes(name, policies)
	if err != nil {
		return nil, err
	}
	return &Cedar{set}, nil
}

// Authorize implements auth.Authorizer.
func (c *Cedar) Authorize(_ context.Context, p *auth.Principal, r *http.Request) error {
	caller := cedar.NewEntityUID("Caller", cedar.String(url.PathEscape(p.Issuer)+"/"+url.PathEscape(p.Subject)))
	var roles []cedar.EntityUID
	for _, role := range p.Roles {
		roles = append(roles, cedar.NewEntityUID("Role", cedar.String(role)))
	}
	var scopes []cedar.Value
	for _, s := range p.Scopes {
		scopes = append(scopes, cedar.String(s))
	}
	entities := cedar.EntityMap{caller: cedar.Entity{
		UID:        caller,
		Parents:    cedar.NewEntityUIDSet(roles...),
		Attributes: cedar.NewRecord(cedar.RecordMap{"tenant": cedar.String(p.Tenant), "scopes": cedar.NewSet(scopes...)}),
	}}
	decision, why := cedar.Authorize(c.policies, entities, cedar.Request{
		Principal: caller,
		Action:    cedar.NewEntityUID("Action", cedar.String(r.Pattern)),
		Resource:  cedar.NewEntityUID("Tenant", cedar.String(r.PathValue("tenant"))),
		Context:   cedar.NewRecord(cedar.RecordMap{"method": cedar.String(r.Method)}),
	})
	if len(why.Errors) > 0 {
		// Cedar leaves out a policy that cannot be evaluated, also one that forbids. What is left may then allow what should not be, so
		// this is an outage and not an answer.
		return fmt.Errorf("cedar: %v", why.Errors)
	}
	if decision != cedar.Allow {
		return fmt.Errorf("cedar: %v: %w", why.Reasons, auth.ErrPermissionDenied)
	}
	return nil
}

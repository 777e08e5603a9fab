// Package rbac decides by roles: a role allows and denies permissions, and inherits from other roles.
//
// A [Policy] is compiled once, when the program starts. A mistake in it is an error there and never a surprise later: an unknown
// permission or role, a wildcard that matches nothing, a cycle of inheritance. A [Permission] of it is then checked with a few machine
// instructions, and is an [auth.Authorizer]:
//
//	policy, err := rbac.New(rbac.Config{
//		Permissions: []string{"chat:write", "files:read", "files:write", "keys:rotate"},
//		Roles: map[string]rbac.Role{
//			"reader": {Allow: []string{"files:read"}},
//			"editor": {Inherits: []string{"reader"}, Allow: []string{"files:*", "chat:write"}},
//			"intern": {Inherits: []string{"editor"}, Deny: []string{"files:write"}},
//		},
//	})
//	...
//	write, err := policy.Permission("files:write")
//	...
//	mux.Handle("PUT /files/{name}", gate.RequireAuthorizer(write).Handler(put))
//
// # Rules
//
// What no role allows is denied. What one role of a caller denies is denied, whatever the others say and wherever in the inheritance it
// stands. A role the policy does not know gives nothing and takes nothing. "*" stands for every permission and "files:*" for those that
// begin with "files:", which "filesystem:read" does not; a "*" anywhere else is an error.
//
// # What it does not
//
// It knows no resources and no conditions ("her own files"): see [auth.Authorizer] for policies that do. Where the roles of a caller come
// from is the authenticator's business; a token's roles claim is worth what its issuer is.
//
// # Cost
//
// A check is one map lookup and two bit tests for each role of the caller, and allocates nothing. A policy takes two bits for each role and
// permission: 2.5 MB for 1,000 roles and 10,000 permissions.
package rbac

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/mantlet-go/mantlet/auth"
)

// Config is a policy in words.
type Config struct {
	// Permissions are the names of everything that can be allowed: printable ASCII without blanks, quotes, backslash and "*", in parts
	// separated by ":". Required: a list of what there is, is what makes a misspelled name an error.
	Permissions []string
	// Roles are the roles by name. Required.
	Roles map[string]Role
}

// Role is what one role may and may not do. Elements of Allow and Deny are permissions, or wildcards: "files:*" or "*".
type Role struct {
	// Inherits are roles all of whose rights and prohibitions this one has too.
	Inherits []string
	// Allow are permissions the role gives.
	Allow []string
	// Deny are permissions that nobody with this role has, whatever allows them.
	Deny []string
}

// Policy is a compiled Config. It is immutable and safe for concurrent use. A nil Policy allows nothing.
type Policy struct {
	names []string
	index map[string]int
	roles map[string]*role
}

// role holds two words for every 64 permissions: what it allows, then what it denies, so that both are on one cache line.
type role struct{ bits []uint64 }

// New compiles a policy. It reports everything that is wrong with cfg at once.
func New(cfg Config) (*Policy, error) {
	c := compiler{cfg: cfg, state: map[string]int{}, p: &Policy{index: make(map[string]int, len(cfg.Permissions)), roles: make(map[string]*role, len(cfg.Roles))}}
	if len(cfg.Permissions) == 0 {
		c.bad("Permissions is empty")
	}
	if len(cfg.Roles) == 0 {
		c.bad("Roles is empty")
	}
	for _, name := range cfg.Permissions {
		switch _, twice := c.p.index[name]; {
		case !auth.ValidScope(name) || strings.Contains(name, "*") || slices.Contains(strings.Split(name, ":"), ""):
			c.bad("Permissions: %q is no name of a permission", name)
		case twice:
			c.bad("Permissions: %q is there twice", name)
		default:
			c.p.index[name] = len(c.p.names)
			c.p.names = append(c.p.names, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(cfg.Roles)) {
		if name == "" {
			c.bad("Roles has an empty name")
		}
		c.role(name, nil)
	}
	if len(c.errs) > 0 {
		return nil, errors.Join(c.errs...)
	}
	return c.p, nil
}

type compiler struct {
	cfg   Config
	p     *Policy
	errs  []error
	state map[string]int // of roles
}

const (
	begun = 1 + iota
	done
)

func (c *compiler) bad(format string, args ...any) {
	c.errs = append(c.errs, fmt.Errorf("rbac: Config."+format, args...))
}

// role compiles a role after those it inherits from. path is how we got here.
func (c *compiler) role(name string, path []string) *role {
	if c.state[name] == done {
		return c.p.roles[name]
	}
	path = append(path, name)
	if c.state[name] == begun {
		c.bad("Roles: %s is a cycle of inheritance", strings.Join(path[slices.Index(path, name):], " -> "))
		return nil
	}
	c.state[name] = begun
	cfg := c.cfg.Roles[name]
	r := &role{bits: make([]uint64, 2*((len(c.p.names)+63)/64))}
	for _, parent := range cfg.Inherits {
		if _, ok := c.cfg.Roles[parent]; !ok {
			c.bad("Roles[%q].Inherits: there is no role %q", name, parent)
			continue
		}
		if from := c.role(parent, path); from != nil {
			for i := range r.bits {
				r.bits[i] |= from.bits[i]
			}
		}
	}
	c.set(r, 0, name, "Allow", cfg.Allow)
	c.set(r, 1, name, "Deny", cfg.Deny)
	c.state[name] = done
	c.p.roles[name] = r
	return r
}

// set sets the bits of what patterns match, among what is allowed (0) or denied (1).
func (c *compiler) set(r *role, which int, name, field string, patterns []string) {
	for _, pattern := range patterns {
		prefix, wild := strings.CutSuffix(pattern, "*")
		switch {
		case strings.Contains(prefix, "*") || wild && prefix != "" && !strings.HasSuffix(prefix, ":"):
			c.bad("Roles[%q].%s: %q: a wildcard stands alone or after the last colon", name, field, pattern)
			continue
		case !wild:
			i, ok := c.p.index[pattern]
			if !ok {
				c.bad("Roles[%q].%s: there is no permission %q", name, field, pattern)
				continue
			}
			r.bits[i>>6<<1+which] |= 1 << (i & 63)
			continue
		}
		matched := false
		for i, permission := range c.p.names {
			if strings.HasPrefix(permission, prefix) {
				matched = true
				r.bits[i>>6<<1+which] |= 1 << (i & 63)
			}
		}
		if !matched {
			c.bad("Roles[%q].%s: %q matches no permission", name, field, pattern)
		}
	}
}

// Permission returns the permission of this name, to be checked later. Ask for all of them when the program starts: an unknown name is an
// error.
func (p *Policy) Permission(name string) (Permission, error) {
	if p != nil {
		if i, ok := p.index[name]; ok {
			return Permission{p, i}, nil
		}
	}
	return Permission{}, fmt.Errorf("rbac: there is no permission %q", name)
}

// Granted returns the permissions that a caller with these roles has, in the order of Config.Permissions: for a review of who may do what.
func (p *Policy) Granted(roles ...string) []string {
	var list []string
	if p == nil {
		return nil
	}
	for i, name := range p.names {
		if (Permission{p, i}).AllowedTo(roles) {
			list = append(list, name)
		}
	}
	return list
}

// Permission is one permission of a [Policy]. It is comparable and immutable. The zero Permission is given to nobody.
type Permission struct {
	policy *Policy
	i      int
}

// String returns the name; "none" for the zero Permission.
func (m Permission) String() string {
	if m.policy == nil {
		return "none"
	}
	return m.policy.names[m.i]
}

// AllowedTo reports whether a caller with these roles has the permission. It does not allocate.
func (m Permission) AllowedTo(roles []string) bool {
	if m.policy == nil {
		return false
	}
	word, bit := m.i>>6<<1, uint64(1)<<(m.i&63)
	allowed := false
	for _, name := range roles {
		r := m.policy.roles[name]
		if r == nil {
			continue
		}
		if r.bits[word+1]&bit != 0 {
			return false
		}
		allowed = allowed || r.bits[word]&bit != 0
	}
	return allowed
}

var errDenied = &auth.Error{Code: auth.CodePermissionDenied, Err: fmt.Errorf("rbac: no role of the caller gives the permission, or one denies it: %w", auth.ErrPermissionDenied)}

// Authorize implements [auth.Authorizer]: it allows the request if a role of p gives the permission and none denies it.
func (m Permission) Authorize(_ context.Context, p *auth.Principal, _ *http.Request) error {
	if p == nil {
		return auth.ErrNoCredential
	}
	if !m.AllowedTo(p.Roles) {
		return errDenied
	}
	return nil
}

package auth

import (
	"log/slog"
	"slices"
	"time"
)

// Method names how a caller proved who they are.
type Method string

// The methods of this room. Another authenticator may use a name of its own.
const (
	// MethodAPIKey is a key of package apikey.
	MethodAPIKey Method = "api_key"
	// MethodJWT is a signed token of package jwtauth.
	MethodJWT Method = "jwt"
	// MethodIntrospection is a token whose issuer was asked about it, by package introspect.
	MethodIntrospection Method = "introspection"
)

// Principal is an authenticated caller. It is immutable once an authenticator has returned it: one Principal is shared by
// every request of its key, so neither its fields nor its slices may be written. To change one, change a [Principal.Clone].
//
// The identity of a caller is Issuer and Subject together ([Principal.Identity]); a Subject alone may occur under two
// issuers and then means two callers (OWASP ASVS 5.0, 10.3.3).
type Principal struct {
	// Issuer is who vouches for the caller: the iss of a token, or the name of a key manager.
	Issuer string
	// Subject is the caller's name under that issuer.
	Subject string
	// Tenant is the customer or organisation the caller belongs to; empty when the deployment has none.
	Tenant string
	// ClientID names the client application across key rotation: limits and budgets belong to it, never to a key. It is
	// unique under one Issuer only. Empty when the credential names no application: limits and budgets then belong to the
	// Subject, which never shares them with a ClientID of the same spelling.
	ClientID string
	// KeyID is the public id of the key that proved the identity. It is no secret.
	KeyID string
	// Method is how the caller authenticated.
	Method Method
	// Plan names the limits that apply to the caller; empty means the deployment's default.
	Plan string
	// Scopes are the permissions of the credential, each a scope-token of RFC 6749 section 3.3. Empty means none.
	Scopes []string
	// Roles are the caller's roles. Empty means none.
	Roles []string
	// Models are the names of the models the caller may use. Nil means every model the deployment offers; a list that is
	// not nil means exactly the models on it, so an empty one means none. See [Principal.AllowsModel].
	Models []string
	// AuthTime is when the caller authenticated; zero when the method does not say (an API key has no such moment). See
	// [Gate.RequireAuthentication].
	AuthTime time.Time
	// ACR names how strongly the caller authenticated: the acr of a token (OpenID Connect Core section 2). Empty when the method
	// does not say. See [Gate.RequireAuthentication].
	ACR string
	// Bound names the key or certificate without which the credential must not be accepted. Zero for a bearer credential.
	Bound Confirmation
	// ExpiresAt is when the credential ends; zero means that it does not end by itself.
	ExpiresAt time.Time
	// ScopeUse records which Scopes are asked for and held. Nil records nothing.
	ScopeUse *ScopeUse
}

// Confirmation is the cnf claim of a token (RFC 7800), as far as it can be checked here: what the sender must prove to hold. A
// [TokenVerifier] reports it and proves nothing; package auth/pop proves it.
type Confirmation struct {
	// JKT is the SHA-256 thumbprint of a public key (RFC 7638) as 43 characters of base64url: cnf.jkt of RFC 9449 section 6.1.
	JKT string
	// X5T is the SHA-256 of a certificate as 43 characters of base64url: cnf.x5t#S256 of RFC 8705 section 3.1.
	X5T string
}

// IsZero reports whether there is nothing to prove.
func (c Confirmation) IsZero() bool { return c == Confirmation{} }

// Identity is what makes a caller the same one as yesterday. It is comparable: use it as a map key instead of joining its
// parts into one string.
type Identity struct {
	Issuer, Subject string
}

// Identity returns Issuer and Subject. The Identity of a nil Principal is zero.
func (p *Principal) Identity() Identity {
	if p == nil {
		return Identity{}
	}
	return Identity{Issuer: p.Issuer, Subject: p.Subject}
}

// HasScope reports whether p holds exactly this scope. There are no wildcards and no implied scopes. A nil Principal and
// the empty scope are never a match.
func (p *Principal) HasScope(scope string) bool {
	if p == nil || scope == "" || !slices.Contains(p.Scopes, scope) {
		return false
	}
	p.ScopeUse.mark(scope)
	return true
}

// HasScopes reports whether p holds every one of the scopes. It is true for no scopes, unless p is nil.
func (p *Principal) HasScopes(scopes ...string) bool {
	if p == nil {
		return false
	}
	for _, s := range scopes {
		if !p.HasScope(s) {
			return false
		}
	}
	return true
}

// HasRole reports whether p has exactly this role. A nil Principal and the empty role are never a match.
func (p *Principal) HasRole(role string) bool {
	return p != nil && role != "" && slices.Contains(p.Roles, role)
}

// AllowsModel reports whether p may use the model of this exact name. A nil Models list allows every model, including an
// unnamed one: which models exist is then the deployment's decision. A list that is not nil allows the names on it and
// nothing else, so an empty list allows none, and a request that names no model is not allowed. A nil Principal may use
// nothing.
func (p *Principal) AllowsModel(model string) bool {
	switch {
	case p == nil:
		return false
	case p.Models == nil:
		return true
	}
	return model != "" && slices.Contains(p.Models, model)
}

// Clone returns a copy of p that shares nothing with it but ScopeUse. The difference between a nil and an empty Models list is
// kept.
func (p *Principal) Clone() *Principal {
	if p == nil {
		return nil
	}
	c := *p
	c.Scopes, c.Roles, c.Models = slices.Clone(p.Scopes), slices.Clone(p.Roles), slices.Clone(p.Models)
	return &c
}

// LogValue implements [slog.LogValuer]. A Principal holds no secret, so all of it may be logged; empty fields are left out.
func (p *Principal) LogValue() slog.Value {
	if p == nil {
		return slog.StringValue("none")
	}
	attrs := make([]slog.Attr, 0, 14)
	for _, a := range [...]struct{ k, v string }{
		{"issuer", p.Issuer}, {"subject", p.Subject}, {"tenant", p.Tenant}, {"client_id", p.ClientID}, {"key_id", p.KeyID},
		{"method", string(p.Method)}, {"plan", p.Plan}, {"acr", p.ACR}, {"jkt", p.Bound.JKT}, {"x5t", p.Bound.X5T},
	} {
		if a.v != "" {
			attrs = append(attrs, slog.String(a.k, a.v))
		}
	}
	if len(p.Scopes) > 0 {
		attrs = append(attrs, slog.Any("scopes", p.Scopes))
	}
	if len(p.Roles) > 0 {
		attrs = append(attrs, slog.Any("roles", p.Roles))
	}
	if p.Models != nil {
		attrs = append(attrs, slog.Any("models", p.Models))
	}
	if !p.AuthTime.IsZero() {
		attrs = append(attrs, slog.Time("auth_time", p.AuthTime))
	}
	if !p.ExpiresAt.IsZero() {
		attrs = append(attrs, slog.Time("expires_at", p.ExpiresAt))
	}
	return slog.GroupValue(attrs...)
}

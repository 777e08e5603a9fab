package introspect

import (
	"context"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/internal/strict"
)

// ask sends the question of RFC 7662 section 2.1 and judges the answer.
func (v *Verifier) ask(ctx context.Context, token string) answer {
	no := func(reason string, err error) answer { return answer{err: unavailable(reason, err, 0)} }
	form := url.Values{"token": {token}, "token_type_hint": {"access_token"}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.cfg.Endpoint, strings.NewReader(form.Encode()))
	if err != nil {
		return no("request cannot be made", err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "application/json")
	if v.cfg.Bearer == nil {
		// RFC 6749 section 2.3.1: both are form-encoded first.
		req.SetBasicAuth(url.QueryEscape(v.cfg.ClientID), url.QueryEscape(v.cfg.ClientSecret))
	} else {
		own, err := v.cfg.Bearer(ctx)
		if err != nil {
			return no("no token of our own", err)
		}
		if own == "" || !isToken(own) {
			return no("our own token is empty or has characters that no bearer token has", nil)
		}
		req.Header.Set("Authorization", "Bearer "+own)
	}
	resp, err := v.client.Do(req)
	if err != nil {
		return no("endpoint cannot be reached", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		// 401 and 403 are about us, not about the token.
		return answer{err: unavailable("endpoint answered with status "+strconv.Itoa(resp.StatusCode), nil, retryAfter(resp.Header))}
	}
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || t != "application/json" {
		return no("answer is not application/json", nil)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, v.cfg.MaxResponseBytes+1))
	switch {
	case err != nil:
		return no("answer broke off", err)
	case int64(len(body)) > v.cfg.MaxResponseBytes:
		return no("answer is too long", nil)
	}
	return v.judge(body, time.Now())
}

// retryAfter returns the wait that the endpoint asks for, within reason; 0 for none.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n <= 0 {
		return 0
	}
	return time.Duration(min(n, 60)) * time.Second
}

// registered are the members of RFC 7662 section 2.2 and of others that are read here.
var registered = []string{
	"active", "scope", "client_id", "username", "token_type", "exp", "iat", "nbf", "sub", "aud", "iss", "jti", "cnf", "acr", "auth_time", "token_use", "typ",
	"at_hash", "c_hash",
}

// judge reads an answer, at the time now.
func (v *Verifier) judge(body []byte, now time.Time) answer {
	names := &v.cfg.Claims
	known := append(slices.Clip(registered), names.Roles)
	for _, n := range [...]string{names.Tenant, names.Plan, names.Models} {
		if n != "" {
			known = append(known, n)
		}
	}
	o, ok := strict.Read(body, known...)
	if !ok || !o.Has("active") {
		return answer{err: unavailable("answer is not the strict JSON of an introspection", nil, 0)}
	}
	no := func(err error) answer { return answer{err: err, given: now, ttl: v.cfg.NegativeTTL} }
	active := o.True("active")
	p := &auth.Principal{
		Issuer: v.cfg.Issuer, Subject: o.Text("sub"), ClientID: o.Text("client_id"), Method: auth.MethodIntrospection,
		Scopes: o.Words("scope"), Roles: o.Strings(names.Roles), ACR: o.Text("acr"), AuthTime: o.Time("auth_time", true), ExpiresAt: o.Time("exp", false),
	}
	if names.Tenant != "" {
		p.Tenant = o.Text(names.Tenant)
	}
	if names.Plan != "" {
		p.Plan = o.Text(names.Plan)
	}
	if names.Models != "" {
		p.Models = append([]string{}, o.Words(names.Models)...) // not nil, even when it is missing
	}
	nbf, iat, iss, aud := o.Time("nbf", true), o.Time("iat", true), o.Text("iss"), o.Strings("aud")
	tokenType, use, typ := o.Text("token_type"), o.Text("token_use"), o.Text("typ")
	cnf := o.Object("cnf", "jkt", "x5t#S256")
	if !o.OK() {
		// The server said something that we do not understand. That is no statement about the token.
		return answer{err: unavailable("a member of the answer has the wrong type", nil, 0)}
	}
	if !active {
		return no(errInactive)
	}
	if o.Has("iss") && iss != v.cfg.Issuer {
		return no(errIssuer)
	}
	if !v.cfg.SkipAudience && !slices.ContainsFunc(aud, func(a string) bool { return slices.Contains(v.cfg.Audiences, a) }) {
		return no(errAudience)
	}
	if o.Has("at_hash") || o.Has("c_hash") {
		return no(errType) // OpenID Connect Core 3.1.3.6 and 3.3.2.11: only an ID token has them, which is not so of nonce (Keycloak)
	}
	if !oneOf(tokenType, "Bearer", "DPoP") || !oneOf(use, "access_token", "access") || !oneOf(typ, "Bearer", "DPoP", "at+jwt", "application/at+jwt") {
		return no(errType)
	}
	if p.Subject == "" && v.cfg.SubjectFromClient {
		p.Subject = p.ClientID
	}
	if p.Subject == "" {
		return no(errSubject)
	}
	if slices.ContainsFunc(p.Scopes, func(s string) bool { return !auth.ValidScope(s) }) {
		return no(errScope)
	}
	if cnf != nil {
		if p.Bound.JKT, p.Bound.X5T, ok = strict.Confirmation(cnf); !ok {
			return no(errCnf)
		}
	}
	if p.Bound.JKT == "" && (strings.EqualFold(tokenType, "DPoP") || strings.EqualFold(typ, "DPoP")) {
		return no(errNoKey) // RFC 9449 section 6.2: it is bound to a key, and we are not told which
	}
	if latest := now.Add(v.cfg.Leeway); latest.Before(nbf) || latest.Before(iat) {
		return no(errEarly)
	}
	if o.Has("exp") && !now.Before(p.ExpiresAt.Add(v.cfg.Leeway)) {
		return no(errExpired)
	}
	return answer{p: p, given: now, ttl: v.cfg.TTL, end: p.ExpiresAt}
}

// oneOf reports whether s is empty, which says nothing, or one of the names in any case.
func oneOf(s string, names ...string) bool {
	return s == "" || slices.ContainsFunc(names, func(n string) bool { return strings.EqualFold(n, s) })
}

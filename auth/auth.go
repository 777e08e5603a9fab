package auth

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// Authenticator finds out who sent a request. Implementations are safe for concurrent use and do not read the body.
//
// Authenticate returns a Principal, or an error: one that wraps [ErrNoCredential] when the request carries nothing this
// authenticator recognises, [ErrInvalid], [ErrExpired], [ErrRevoked] or [ErrAddressNotAllowed] when it carries a credential
// that must be refused, [ErrUnavailable] when it could not decide. Recognising goes by shape alone; a credential of the right
// shape is never ErrNoCredential, for that would show it to weaker methods. The Principal may be shared between requests.
type Authenticator interface {
	Authenticate(r *http.Request) (*Principal, error)
}

// AuthenticatorFunc is a function as an [Authenticator].
type AuthenticatorFunc func(r *http.Request) (*Principal, error)

// Authenticate calls f. A nil f is [ErrUnavailable].
func (f AuthenticatorFunc) Authenticate(r *http.Request) (*Principal, error) {
	if f == nil {
		return nil, errNotMade
	}
	return f(r)
}

// TokenVerifier verifies an access token without a request. Verifiers of tokens implement it beside [Authenticator], so that others
// can ask them about a token that did not come as a bearer token: package pop, which knows its holder by a key, and servers of
// protocols that have a place of their own for it.
//
// VerifyToken returns a Principal, or an error as Authenticate does: one that wraps [ErrNoCredential] when token does not have the
// shape of this verifier's tokens. The Principal may be shared. It does not check a sender constraint: when Principal.Bound is
// not zero, the caller of VerifyToken must, or refuse. Authenticate of the same verifier refuses such a token.
type TokenVerifier interface {
	VerifyToken(ctx context.Context, token string) (*Principal, error)
}

// Challenger is an [Authenticator] whose challenges are not just the scheme Bearer. A [Gate] asks once, when it is made, and sends one
// WWW-Authenticate header for each scheme of its authenticators, the first of each scheme counting. An authenticator that wraps another
// passes this on, and [Announcer] too.
type Challenger interface {
	Authenticator
	// Challenges returns the schemes that are understood, with the parameters that never change. The Gate adds the others.
	Challenges() []Challenge
}

// Announcer is an [Authenticator] that has something to say in every response, refusals included: a DPoP nonce (RFC 9449 section
// 8.2). A [Gate] calls Announce before it decides about r.
type Announcer interface {
	Authenticator
	// Announce sets headers of the response to r. It must not write what the request says.
	Announce(h http.Header, r *http.Request)
}

// EveryBearer is an [Authenticator] that may take every bearer token for its own, whatever its shape. [New] refuses an [AnyOf] that has
// something behind one that does: it would never be asked about a bearer token.
type EveryBearer interface {
	Authenticator
	// EveryBearer reports whether it does.
	EveryBearer() bool
}

// members returns the authenticators inside a, a itself if it is no AnyOf.
func members(a Authenticator) []Authenticator {
	list, ok := a.(anyOf)
	if !ok {
		return []Authenticator{a}
	}
	var flat []Authenticator
	for _, m := range list {
		flat = append(flat, members(m)...)
	}
	return flat
}

// schemes returns the challenges of the authenticators, one for each scheme.
func schemes(authenticators []Authenticator) []Challenge {
	var list []Challenge
	for _, a := range authenticators {
		own := []Challenge{{Scheme: "Bearer"}}
		if c, ok := a.(Challenger); ok {
			own = c.Challenges()
		}
		for _, c := range own {
			if !slices.ContainsFunc(list, func(o Challenge) bool { return strings.EqualFold(o.Scheme, c.Scheme) }) {
				list = append(list, c)
			}
		}
	}
	return list
}

// AnyOf tries authenticators in order until one recognises the credential; that one's answer is final, good or bad. If none
// does, the answer is [ErrNoCredential]. A request with two credentials is refused before anyone is asked: two methods would
// otherwise each find their own. [New] refuses an AnyOf of nothing, or with a nil member; asked without a Gate, the first
// recognises nothing and a nil member is [ErrUnavailable]. One that takes every bearer token ([EveryBearer]) stands last.
func AnyOf(authenticators ...Authenticator) Authenticator { return anyOf(slices.Clone(authenticators)) }

type anyOf []Authenticator

func (a anyOf) Authenticate(r *http.Request) (*Principal, error) {
	if _, err := CredentialOf(r); err != nil {
		return nil, err
	}
	for _, m := range a {
		if m == nil {
			return nil, errNotMade // a method that is not there may have been the one to say no
		}
		p, err := m.Authenticate(r)
		switch {
		case errors.Is(err, ErrNoCredential):
			continue
		case err != nil:
			return nil, err
		case p == nil:
			return nil, errNoPrincipal
		}
		return p, nil
	}
	return nil, ErrNoCredential
}

// faults returns what is wrong with an authenticator called name: that it is nil, also as a pointer or function of some type, or
// that it is an AnyOf of nothing or of something that is wrong.
func faults(name string, a Authenticator) []error {
	if a == nil {
		return []error{fmt.Errorf("auth: %s is nil: there is no default for who may enter", name)}
	}
	members, ok := a.(anyOf)
	if !ok {
		switch v := reflect.ValueOf(a); v.Kind() {
		case reflect.Pointer, reflect.Func, reflect.Map:
			if v.IsNil() {
				return []error{fmt.Errorf("auth: %s is a nil %v: did its constructor fail?", name, v.Type())}
			}
		}
		return nil
	}
	if len(members) == 0 {
		return []error{fmt.Errorf("auth: %s is AnyOf of nothing: it would refuse everyone", name)}
	}
	var errs []error
	for i, m := range members {
		errs = append(errs, faults(fmt.Sprintf("%s: member %d of AnyOf", name, i), m)...)
		if i < len(members)-1 && len(errs) == 0 && takesEveryBearer(m) {
			errs = append(errs, fmt.Errorf("auth: %s: member %d of AnyOf, a %T, takes every bearer token: put it last, or tell it how its tokens begin", name, i, m))
		}
	}
	return errs
}

func takesEveryBearer(a Authenticator) bool {
	return slices.ContainsFunc(members(a), func(m Authenticator) bool {
		e, ok := m.(EveryBearer)
		return ok && e.EveryBearer()
	})
}

// Authorize reports whether p holds every one of the scopes: nil if so, else an [*Error] with CodeInsufficientScope that
// lists them all. A nil p is [ErrNoCredential]. A string may hold several scopes separated by spaces;
// a blank one is held by nobody.
func Authorize(p *Principal, scopes ...string) error {
	if p == nil {
		return ErrNoCredential
	}
	return authorize(p, splitScopes(scopes))
}

func authorize(p *Principal, scopes []string) error {
	if p.HasScopes(scopes...) {
		return nil
	}
	return &Error{Code: CodeInsufficientScope, Scopes: scopes, KeyID: p.KeyID, Err: ErrInsufficientScope}
}

// AuthorizeModel reports whether p may use the model: nil if so, else an [*Error] with CodeModelNotAllowed. A nil p is
// [ErrNoCredential]. See [Principal.AllowsModel].
func AuthorizeModel(p *Principal, model string) error {
	if p == nil {
		return ErrNoCredential
	}
	if p.AllowsModel(model) {
		return nil
	}
	return &Error{Code: CodeModelNotAllowed, KeyID: p.KeyID, Err: ErrModelNotAllowed}
}

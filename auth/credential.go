package auth

import (
	"net/http"
	"strings"
)

// Source is the place of a request in which a credential stood.
type Source uint8

const (
	// SourceNone means that the request has no credential.
	SourceNone Source = iota
	// SourceBearer is "Authorization: Bearer <value>" (RFC 6750 section 2.1), the scheme in any case.
	SourceBearer
	// SourceHeader is one of the headers X-API-Key and api-key, whose whole value is the credential.
	SourceHeader
	// SourceOther is an Authorization header of another scheme; Credential.Value is empty.
	SourceOther
	// SourceDPoP is "Authorization: DPoP <value>" (RFC 9449 section 7.1), the scheme in any case. The value is worth nothing without
	// the proof beside it: only package pop takes it.
	SourceDPoP
)

// Credential is the one credential of a request. Its Value is secret: do not log it.
type Credential struct {
	// Source is where it stood.
	Source Source
	// Value is the credential itself, unverified.
	Value string
}

// CredentialOf returns the one credential of r. A request that has none gives SourceNone and no error; so does an
// Authorization: Bearer or DPoP without a value. One that has more than one, or sends one of the headers twice, gives
// [ErrTwoCredentials]: an empty header counts too, because a proxy may count it.
//
// Only the headers Authorization, X-API-Key and api-key are looked at. The query string, the body and cookies are not (RFC
// 6750 sections 2.2 and 2.3: they end up in logs and histories). CredentialOf does not allocate.
func CredentialOf(r *http.Request) (Credential, error) {
	authorization, x, plain := r.Header["Authorization"], r.Header["X-Api-Key"], r.Header["Api-Key"]
	switch len(authorization) + len(x) + len(plain) {
	case 0:
		return Credential{}, nil
	case 1:
	default:
		return Credential{}, errTwo
	}
	switch {
	case len(x) == 1:
		return inHeader(x[0]), nil
	case len(plain) == 1:
		return inHeader(plain[0]), nil
	}
	return inAuthorization(authorization[0]), nil
}

var errTwo = &Error{Code: CodeInvalidRequest, Err: ErrTwoCredentials}

func inHeader(v string) Credential {
	if v == "" {
		return Credential{}
	}
	return Credential{Source: SourceHeader, Value: v}
}

func inAuthorization(v string) Credential {
	if v == "" {
		return Credential{}
	}
	// RFC 9110 section 11.4: the scheme ends at a space. A tab does not end it, so such a header is of another scheme.
	scheme, value, _ := strings.Cut(v, " ")
	source := SourceBearer
	switch {
	case scheme == "Bearer" || strings.EqualFold(scheme, "Bearer"):
	case strings.EqualFold(scheme, "DPoP"):
		source = SourceDPoP
	default:
		return Credential{Source: SourceOther}
	}
	value = strings.TrimLeft(value, " ")
	if value == "" {
		return Credential{}
	}
	return Credential{Source: source, Value: value}
}

// StripCredentials deletes from h every header that [CredentialOf] looks at, in any spelling a server behind may read as the same name, the
// proofs that go with them (DPoP, Client-Cert of RFC 9440), and cookies. A reverse proxy behind a Gate calls it on the outgoing header: the
// caller's credential is for this service, not for the one behind it.
func StripCredentials(h http.Header) {
	for name := range h {
		switch strings.ToLower(strings.ReplaceAll(name, "_", "-")) {
		case "authorization", "proxy-authorization", "x-api-key", "api-key", "cookie", "dpop", "client-cert", "client-cert-chain":
			delete(h, name)
		}
	}
}

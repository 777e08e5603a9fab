package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/mantlet-go/mantlet/internal/deny"
)

// The reasons an authenticator refuses for. Test with [errors.Is]; an [*Error] wraps one of them. Only ErrNoCredential lets
// [AnyOf] go on to the next authenticator.
var (
	// ErrNoCredential means that the request carries nothing this authenticator recognises.
	ErrNoCredential = errors.New("auth: no credential")
	// ErrTwoCredentials means that the request carries more than one credential, or one header twice.
	ErrTwoCredentials = errors.New("auth: more than one credential in the request")
	// ErrInvalidRequest means that the request itself cannot be decided about, whoever sent it.
	ErrInvalidRequest = errors.New("auth: request is malformed")
	// ErrInvalid means that the credential was recognised and is wrong.
	ErrInvalid = errors.New("auth: credential is not valid")
	// ErrExpired means that the credential was good once and its time is over.
	ErrExpired = errors.New("auth: credential has expired")
	// ErrNotYetValid means that the credential is right and its time has not come. It is ErrInvalid to a client.
	ErrNotYetValid = fmt.Errorf("auth: credential is not valid yet: %w", ErrInvalid)
	// ErrRevoked means that the credential was withdrawn.
	ErrRevoked = errors.New("auth: credential was revoked")
	// ErrInsufficientScope means that the caller is known and lacks a scope.
	ErrInsufficientScope = errors.New("auth: scope is missing")
	// ErrModelNotAllowed means that the caller is known and may not use the model.
	ErrModelNotAllowed = errors.New("auth: model is not allowed")
	// ErrAmbiguousModel means that the request names two models, or its query cannot be read: see [Gate.ModelHandler].
	ErrAmbiguousModel = errors.New("auth: request names more than one model")
	// ErrAddressNotAllowed means that the credential is good and may not be used from the client's address.
	ErrAddressNotAllowed = errors.New("auth: address is not allowed")
	// ErrPermissionDenied means that the caller is known and an [Authorizer] said no.
	ErrPermissionDenied = errors.New("auth: permission denied")
	// ErrStepUp means that the caller is known and must authenticate more strongly, or again.
	ErrStepUp = errors.New("auth: a stronger or more recent authentication is needed")
	// ErrLocked means that too many wrong credentials came from the client's address: see [Lockout].
	ErrLocked = errors.New("auth: address is locked out")
	// ErrUnavailable means that nobody could decide: a store is down or its data too old. It is an answer about us, not
	// about the credential.
	ErrUnavailable = errors.New("auth: unavailable")
)

// Code is the stable machine name of a refusal, as clients see it.
type Code string

// The codes of this room and the status each is sent with.
const (
	// CodeMissingCredentials is 401 with a challenge that has no error parameter (RFC 6750 section 3.1).
	CodeMissingCredentials Code = Code(deny.MissingCredentials)
	// CodeInvalidRequest is 400, error="invalid_request"; without a challenge when it is about the model.
	CodeInvalidRequest Code = Code(deny.InvalidRequest)
	// CodeInvalidAPIKey is 401, error="invalid_token".
	CodeInvalidAPIKey Code = Code(deny.InvalidAPIKey)
	// CodeInvalidToken is 401, error="invalid_token".
	CodeInvalidToken Code = Code(deny.InvalidToken)
	// CodeTokenExpired is 401, error="invalid_token".
	CodeTokenExpired Code = Code(deny.TokenExpired)
	// CodeInsufficientScope is 403, error="insufficient_scope" with all the scopes that are needed.
	CodeInsufficientScope Code = Code(deny.InsufficientScope)
	// CodeModelNotAllowed is 403 without a challenge.
	CodeModelNotAllowed Code = Code(deny.ModelNotAllowed)
	// CodeAddressNotAllowed is 403 without a challenge.
	CodeAddressNotAllowed Code = Code(deny.AddressNotAllowed)
	// CodePermissionDenied is 403 without a challenge: no other token of the same caller would help.
	CodePermissionDenied Code = Code(deny.PermissionDenied)
	// CodeStepUp is 401, error="insufficient_user_authentication" with what is needed (RFC 9470 section 3).
	CodeStepUp Code = Code(deny.StepUp)
	// CodeLocked is 429 with Retry-After and without a challenge.
	CodeLocked Code = Code(deny.TooManyRequests)
	// CodeUnavailable is 503 with Retry-After and without a challenge.
	CodeUnavailable Code = Code(deny.AuthUnavailable)
)

// Error is a refusal with its facts. Authenticators return shared values, so an Error must not be modified after it was
// returned. Its text and fields are for logs: a client sees the Code's fixed sentence only.
type Error struct {
	// Code is what the client is told. Empty means the code of the reason Err wraps; see [CodeOf].
	Code Code
	// Scopes are all the scopes the request needs, when Code is CodeInsufficientScope.
	Scopes []string
	// ACRValues and MaxAge are what the authentication must be like, when Code is CodeStepUp: one of the acr values, in order of
	// preference, and not older. Empty and zero mean that it does not matter.
	ACRValues []string
	MaxAge    time.Duration
	// ChallengeError replaces the error parameter of the challenge where a specification has a more exact word than the code's, such as
	// "use_dpop_nonce" (RFC 9449 section 9). It must be fixed text; empty means the code's own.
	ChallengeError string
	// RetryAfter is when to try again, for CodeUnavailable and CodeLocked. Zero means 5 seconds.
	RetryAfter time.Duration
	// KeyID is the public id of the key that was tried, when one was recognised; empty otherwise. With an Err that wraps [ErrInvalid] and
	// not [ErrNotYetValid] it says that the key exists and the secret is wrong, which raises [AlarmWrongSecret].
	KeyID string
	// Err is the reason; it wraps one of this package's errors. It must not contain any part of a credential.
	Err error
}

// Error returns the text of the reason, or the code.
func (e *Error) Error() string {
	if e == nil {
		return "auth: a nil *Error was returned as an error" // the well-known slip must refuse, not panic
	}
	if e.Err == nil {
		return "auth: " + string(e.Code)
	}
	return e.Err.Error()
}

// Unwrap returns the reason.
func (e *Error) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// LogValue implements [slog.LogValuer].
func (e *Error) LogValue() slog.Value {
	if e == nil {
		return slog.StringValue(e.Error())
	}
	attrs := []slog.Attr{slog.String("code", string(CodeOf(e))), slog.String("reason", e.Error())}
	if e.KeyID != "" {
		attrs = append(attrs, slog.String("key_id", e.KeyID))
	}
	if len(e.Scopes) > 0 {
		attrs = append(attrs, slog.Any("scopes", e.Scopes))
	}
	return slog.GroupValue(attrs...)
}

// reasons maps the sentinels to codes for errors that name none.
var reasons = [...]struct {
	err  error
	code Code
}{
	{ErrUnavailable, CodeUnavailable}, // first: what could not be decided must not look decided
	{ErrLocked, CodeLocked},
	{ErrTwoCredentials, CodeInvalidRequest},
	{ErrInvalidRequest, CodeInvalidRequest},
	{ErrAmbiguousModel, CodeInvalidRequest},
	{ErrRevoked, CodeInvalidToken},
	{ErrExpired, CodeTokenExpired},
	{ErrInvalid, CodeInvalidToken},
	{ErrAddressNotAllowed, CodeAddressNotAllowed},
	{ErrModelNotAllowed, CodeModelNotAllowed},
	{ErrPermissionDenied, CodePermissionDenied},
	{ErrStepUp, CodeStepUp},
	{ErrInsufficientScope, CodeInsufficientScope},
	{ErrNoCredential, CodeMissingCredentials},
}

// CodeOf returns the code under which a client is told of err: the Code of an [*Error] in its chain if it is one of this
// package's, else the code of the reason it wraps. Any other error is CodeUnavailable: it proves nothing about the
// credential, and a client that is told "invalid" throws a good key away. CodeOf(nil) is "".
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) && e != nil {
		switch e.Code {
		case CodeMissingCredentials, CodeInvalidRequest, CodeInvalidAPIKey, CodeInvalidToken, CodeTokenExpired,
			CodeInsufficientScope, CodeModelNotAllowed, CodeAddressNotAllowed, CodePermissionDenied, CodeStepUp, CodeLocked, CodeUnavailable:
			return e.Code
		}
	}
	for _, x := range reasons {
		if errors.Is(err, x.err) {
			return x.code
		}
	}
	return CodeUnavailable
}

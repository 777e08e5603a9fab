// Package deny is the one writer of refusals: what a client sees when any room says no.
//
// A [Denial] has two halves. The client gets a status, a stable machine [Code], one fixed sentence and a few headers; the
// operator gets the private cause, which never leaves the process through here. Messages are fixed text: nothing of the
// request and no error text is ever part of a body.
//
// Bodies come in four envelopes (OpenAI, Anthropic, Ollama, RFC 9457 problem details) and, once a stream has begun, as an error
// event in the stream's own dialect.
package deny

import (
	"net/http"
	"strings"
)

// Code is the stable machine name of a refusal. The zero Code reads as [InternalError].
type Code string

// The codes of all rooms. Each has one status and one sentence, listed in the table below.
const (
	InvalidRequest     Code = "invalid_request" // e.g. two credentials in one request (RFC 6750 section 3.1)
	MissingCredentials Code = "missing_credentials"
	InvalidAPIKey      Code = "invalid_api_key"
	InvalidToken       Code = "invalid_token"
	TokenExpired       Code = "token_expired"
	StepUp             Code = "insufficient_user_authentication" // RFC 9470
	InsufficientScope  Code = "insufficient_scope"
	ModelNotAllowed    Code = "model_not_allowed"
	AddressNotAllowed  Code = "address_not_allowed"
	PermissionDenied   Code = "permission_denied"

	AuthUnavailable  Code = "auth_unavailable"
	StoreUnavailable Code = "store_unavailable"
	Overloaded       Code = "overloaded"

	RateLimitExceeded Code = "rate_limit_exceeded"
	TooManyRequests   Code = "too_many_requests"
	InsufficientQuota Code = "insufficient_quota"

	InvalidJSON          Code = "invalid_json"
	DuplicateKey         Code = "duplicate_key"
	LimitExceeded        Code = "limit_exceeded"
	RequestTimeout       Code = "request_timeout"
	BodyTooLarge         Code = "body_too_large"
	UnsupportedMediaType Code = "unsupported_media_type"
	SchemaViolation      Code = "schema_violation"

	ContentPolicy Code = "content_policy"

	NotFound         Code = "not_found"
	MethodNotAllowed Code = "method_not_allowed"
	InternalError    Code = "internal_error"
	UpstreamError    Code = "upstream_error"
	Timeout          Code = "timeout"
)

// RequestRefused is the code for a 4xx answer whose own body had to be withheld.
const RequestRefused Code = "request_refused"

// entry is what the client sees of a code. openai and anthropic are the `type` members of those envelopes, in the words of
// their public API references.
type entry struct {
	status    int
	message   string
	openai    string
	anthropic string
}

var table = map[Code]entry{
	InvalidRequest:     {400, "The request is malformed.", "invalid_request_error", "invalid_request_error"},
	MissingCredentials: {401, "Missing credentials. Send an API key or token as Authorization: Bearer.", "authentication_error", "authentication_error"},
	InvalidAPIKey:      {401, "The API key is not valid.", "authentication_error", "authentication_error"},
	InvalidToken:       {401, "The access token is not valid.", "authentication_error", "authentication_error"},
	TokenExpired:       {401, "The access token has expired.", "authentication_error", "authentication_error"},
	StepUp:             {401, "A stronger or more recent authentication is needed.", "authentication_error", "authentication_error"},
	InsufficientScope:  {403, "The credentials do not permit this operation.", "permission_error", "permission_error"},
	ModelNotAllowed:    {403, "The credentials do not permit this model.", "permission_error", "permission_error"},
	AddressNotAllowed:  {403, "The credentials may not be used from this address.", "permission_error", "permission_error"},
	PermissionDenied:   {403, "The caller may not do this.", "permission_error", "permission_error"},

	AuthUnavailable:  {503, "Authentication is temporarily unavailable. Try again later.", "server_error", "api_error"},
	StoreUnavailable: {503, "The service is temporarily unavailable. Try again later.", "server_error", "api_error"},
	Overloaded:       {503, "The service is overloaded. Try again later.", "server_error", "overloaded_error"},

	RateLimitExceeded: {429, "Rate limit reached. Try again after the time in the Retry-After header.", "rate_limit_error", "rate_limit_error"},
	TooManyRequests:   {429, "Too many requests. Try again after the time in the Retry-After header.", "rate_limit_error", "rate_limit_error"},
	InsufficientQuota: {429, "The quota of these credentials is used up.", "insufficient_quota", "rate_limit_error"},

	InvalidJSON:          {400, "The request body is not valid JSON.", "invalid_request_error", "invalid_request_error"},
	DuplicateKey:         {400, "The request body names the same member twice, or twice but for upper and lower case.", "invalid_request_error", "invalid_request_error"},
	LimitExceeded:        {400, "The request body exceeds a structural limit.", "invalid_request_error", "invalid_request_error"},
	RequestTimeout:       {408, "The request body did not arrive in time.", "invalid_request_error", "invalid_request_error"},
	BodyTooLarge:         {413, "The request body is too large.", "invalid_request_error", "request_too_large"},
	UnsupportedMediaType: {415, "The media type of the request body is missing or not supported: see the Accept header of this response.", "invalid_request_error", "invalid_request_error"},
	SchemaViolation:      {422, "The request body does not have the required form.", "invalid_request_error", "invalid_request_error"},

	ContentPolicy: {400, "The content was refused by policy.", "invalid_request_error", "invalid_request_error"},

	NotFound:         {404, "There is nothing at this path.", "invalid_request_error", "not_found_error"},
	MethodNotAllowed: {405, "The method is not allowed for this path.", "invalid_request_error", "invalid_request_error"},
	RequestRefused:   {400, "The request was refused.", "invalid_request_error", "invalid_request_error"},
	InternalError:    {500, "The server had an internal error. Report the request id to the operator.", "server_error", "api_error"},
	UpstreamError:    {502, "The model server failed to answer.", "server_error", "api_error"},
	Timeout:          {504, "The model server did not answer in time.", "server_error", "api_error"},
}

func (c Code) entry() entry {
	if e, ok := table[c]; ok {
		return e
	}
	return table[InternalError]
}

// Status returns the HTTP status of the code; an unknown code is 500.
func (c Code) Status() int { return c.entry().status }

// Message returns the fixed sentence of the code.
func (c Code) Message() string { return c.entry().message }

// Denial is one refusal. It is immutable once handed to the exchange.
type Denial struct {
	// Code decides status, sentence and error type.
	Code Code
	// HTTPStatus replaces the code's status when not 0, for the shaping of an answer whose status is already decided.
	HTTPStatus int
	// Message replaces the code's sentence when not empty. It must come from a fixed table of the room: never a value of the
	// request, never an error's text.
	Message string
	// Param is the JSON Pointer of the offending place, with unknown names already masked, or a place of another kind such as
	// "part 2" (of a form); empty for none.
	Param string
	// Header holds extra response headers such as Retry-After or WWW-Authenticate; may be nil.
	Header http.Header
	// Stage is the room that refused, for the operator.
	Stage string
	// Cause is private: it goes to the audit record and the log, never to the client.
	Cause error
}

// Status returns the HTTP status the client gets.
func (d *Denial) Status() int {
	if d.HTTPStatus != 0 {
		return d.HTTPStatus
	}
	return d.Code.Status()
}

// Text returns the sentence the client gets.
func (d *Denial) Text() string {
	if d.Message != "" {
		return d.Message
	}
	return d.Code.Message()
}

// Error returns the private description, for logs only.
func (d *Denial) Error() string {
	var b strings.Builder
	b.WriteString("deny: ")
	if d.Stage != "" {
		b.WriteString(d.Stage)
		b.WriteString(": ")
	}
	b.WriteString(string(d.Code))
	if d.Cause != nil {
		b.WriteString(": ")
		b.WriteString(d.Cause.Error())
	}
	return b.String()
}

// Unwrap returns the private cause.
func (d *Denial) Unwrap() error { return d.Cause }

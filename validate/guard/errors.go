package guard

import (
	"net/http"
	"strconv"
	"time"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/validate/internal/site"
)

// The rules of a Guard, as in [Error].Rule and Config.Points.
const (
	RuleAddress         = "address"          // on Rules.Deny, or on no list with Rules.AllowOnly
	RuleUnknownAddress  = "unknown_address"  // nobody can vouch for the client's address
	RuleBanned          = "banned"           // too many points
	RuleMethod          = "method"           // not among Config.Methods
	RuleURLLength       = "url_length"       // longer than Config.MaxURL
	RulePath            = "path"             // a spelling that only an attempt to get around something needs
	RuleHeaderSize      = "header_size"      // over MaxHeaderBytes, MaxHeaderValue or MaxHeaders
	RuleDuplicateHeader = "duplicate_header" // a header of which there is only one, sent twice
	RuleUnderscore      = "underscore"       // a header name that CGI-like servers take for another one
	RuleFraming         = "framing"          // Content-Length beside Transfer-Encoding
	RuleHostMismatch    = "host_mismatch"    // two different hosts in one request
	RuleHostInvalid     = "host_invalid"     // a Host that is none, checked when Config.Hosts is set
	RuleHost            = "host"             // not among Config.Hosts
	RuleOrigin          = "origin"           // not among Config.Origins
	RuleProbe           = "probe"            // a path of Config.Probes
	RuleAgent           = "agent"            // a program of Config.Agents
)

// reply is what the client sees of a rule, and the points it costs when Config.Points does not say otherwise.
type reply struct {
	code    deny.Code
	status  int // replaces the code's when not 0
	message string
	points  int
}

// replies has an entry for every rule. Rules that a web page can make its visitors break cost nothing: Host (DNS rebinding) and
// Origin are the page's doing.
var replies = map[string]reply{
	RuleAddress:        {deny.AddressNotAllowed, 0, "Requests from this address are not accepted.", 0},
	RuleUnknownAddress: {deny.AddressNotAllowed, 0, "The address of this request cannot be verified.", 0},
	RuleBanned: {deny.TooManyRequests, 0,
		"Too many requests from this address were refused. Try again after the time in the Retry-After header.", 0},
	RuleMethod:          {deny.MethodNotAllowed, 0, "The method is not supported.", 5},
	RuleURLLength:       {deny.InvalidRequest, http.StatusRequestURITooLong, "The URL is too long.", 2},
	RulePath:            {deny.InvalidRequest, 0, "The path of the URL is not well formed.", 10},
	RuleHeaderSize:      {deny.LimitExceeded, http.StatusRequestHeaderFieldsTooLarge, "The request header is too large.", 2},
	RuleDuplicateHeader: {deny.InvalidRequest, 0, "A header that may occur once occurs twice.", 5},
	RuleUnderscore:      {deny.InvalidRequest, 0, "A header name has an underscore.", 1},
	RuleFraming:         {deny.InvalidRequest, 0, "The length of the request is ambiguous.", 10},
	RuleHostMismatch:    {deny.InvalidRequest, 0, "The request names two hosts.", 5},
	RuleHostInvalid:     replyTo(site.HostInvalid, 2),
	RuleHost:            replyTo(site.HostUnknown, 0),
	RuleOrigin:          replyTo(site.OriginUnknown, 0),
	RuleProbe:           {deny.NotFound, 0, "", 20},
	RuleAgent:           {deny.RequestRefused, http.StatusForbidden, "", 20},
}

func replyTo(f site.Fault, points int) reply {
	code, status, message := f.Reply()
	return reply{code, status, message, points}
}

// siteRules names what the check of hosts and origins finds.
var siteRules = map[site.Fault]string{site.HostInvalid: RuleHostInvalid, site.HostUnknown: RuleHost, site.OriginUnknown: RuleOrigin}

// roomPoints is what the refusals of the rooms inside cost, by code. What is not here never counts; no code of 500 and above
// is. Weights are relative to a ban at DefaultBanPoints: a wrong key costs a twentieth, so that 21 guesses in half a minute are
// enough, while a client that is merely wrong about a schema or too fast needs more than 100 mistakes.
var roomPoints = map[deny.Code]int{
	deny.InvalidRequest:       2, // contradictory credentials, malformed requests: clients do not send these by accident twice
	deny.MissingCredentials:   1, // health checks and browsers do that
	deny.InvalidAPIKey:        5, // guessing
	deny.InvalidToken:         5, // forging
	deny.TokenExpired:         0, // every honest client, once an hour
	deny.StepUp:               0, // part of a normal login
	deny.InsufficientScope:    1, // looking around with a stolen key, or a wrong setting
	deny.ModelNotAllowed:      1, // the same
	deny.AddressNotAllowed:    5, // a key that is used away from where it belongs
	deny.RateLimitExceeded:    1, // too fast; hammering on 429 should cost more in the end
	deny.TooManyRequests:      1, // the same
	deny.InsufficientQuota:    0, // a bill, no attack
	deny.InvalidJSON:          2, // SDKs do not write invalid JSON; fuzzers do
	deny.DuplicateKey:         5, // what parser differentials are made of, never an accident of an encoder
	deny.LimitExceeded:        3, // bombs
	deny.RequestTimeout:       2, // slow bodies; also bad networks
	deny.BodyTooLarge:         1, // an honest large upload looks the same
	deny.UnsupportedMediaType: 1, // wrong setting
	deny.SchemaViolation:      1, // wrong setting
	deny.ContentPolicy:        3, // trying phrasings until one passes
	deny.NotFound:             1, // looking around; a hand-written probe list is never complete
	deny.MethodNotAllowed:     1, // the same
	deny.RequestRefused:       0, // a handler's own answer: it knows better, and can Report
}

// Error is a refusal. Its exported fields may be shown to the client: none holds a value of the request. It is immutable.
type Error struct {
	// Status is the HTTP status: 400, 403, 404, 405, 414, 421, 429, 431, or 500 for a Guard that New did not make.
	Status int
	// Code is the stable machine name that clients see.
	Code string
	// Rule is which check refused, one of the Rule constants; "" for a Guard that New did not make.
	Rule string
	// Message is a fixed English sentence.
	Message string
	// RetryAfter is how much longer a ban lasts; 0 for all other refusals.
	RetryAfter time.Duration

	allow string // the Allow header of a 405
	cause error
}

// Error returns rule, code and sentence, prefixed with the package name. It holds nothing the exported fields do not.
func (e *Error) Error() string {
	s := "guard: "
	if e.Rule != "" {
		s += e.Rule + ": "
	}
	return s + e.Code + ": " + e.Message
}

// Unwrap returns the private cause, such as which entry of the tables matched and why it is there; nil for most refusals. It
// holds nothing of the request, but tells a client how to get around the rule: do not send it.
func (e *Error) Unwrap() error { return e.cause }

// refuse makes the Error of a rule.
func refuse(rule string, cause error) *Error {
	r := replies[rule]
	e := &Error{Status: r.status, Code: string(r.code), Rule: rule, Message: r.message, cause: cause}
	if e.Status == 0 {
		e.Status = r.code.Status()
	}
	if e.Message == "" {
		e.Message = r.code.Message()
	}
	return e
}

// As lets the Refuse functions of this module's packages answer with this refusal. It fills in what they write; programs have no
// use for it.
func (e *Error) As(target any) bool {
	d, ok := target.(**deny.Denial)
	if ok {
		*d = e.denial()
	}
	return ok
}

// denial is the same refusal in the words of the package that writes it.
func (e *Error) denial() *deny.Denial {
	d := &deny.Denial{Code: deny.Code(e.Code), HTTPStatus: e.Status, Message: e.Message, Stage: stage, Cause: e}
	if e.cause != nil {
		d.Cause = explained{e}
	}
	switch {
	case e.RetryAfter > 0:
		// The clients of the OpenAI and Anthropic SDKs retry every 429 on their own, unless the second header tells them not to.
		d.Header = http.Header{"Retry-After": {seconds(e.RetryAfter)}, "X-Should-Retry": {"false"}}
	case e.allow != "":
		d.Header = http.Header{"Allow": {e.allow}}
	}
	return d
}

// explained is a refusal with its private reason in words, for the operator.
type explained struct{ refusal *Error }

func (e explained) Error() string { return e.refusal.Error() + " (" + e.refusal.cause.Error() + ")" }
func (e explained) Unwrap() error { return e.refusal }

// seconds is d in whole seconds, rounded up, as in Retry-After.
func seconds(d time.Duration) string {
	return strconv.FormatInt(int64((d-1)/time.Second)+1, 10) // rounded up, without overflow; d > 0
}

package auth

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strconv"
	"time"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

// stage is this room's name in records.
const stage = "auth"

// Handler returns a handler that runs next for requests that pass [Gate.Authenticate], with the Principal in the request
// context, and refuses all others. Every method is checked, HEAD and OPTIONS too: answer CORS preflights outside the gate.
// It panics when next is nil.
func (g *Gate) Handler(next http.Handler) http.Handler {
	if next == nil {
		panic("auth: Gate.Handler: next is nil")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		if g != nil && g.proxies != nil {
			// First, so that our trusted proxies decide before an authenticator asks for the address.
			x.Addr(r, g.proxies)
		}
		p, err := g.Authenticate(r)
		if err != nil {
			g.refuse(x, w, r, err)
			return
		}
		x.SetCaller(callerOf(p))
		next.ServeHTTP(w, r)
	})
}

// ModelHandler returns a handler that checks the caller's list of models, and stands inside [Gate.Handler] and after the body
// was validated. It checks the model that will be dispatched: the one the rooms before it agreed on, else the one the body
// names. A caller without a list passes, and the body is not looked at. A caller with a list is refused when the model is not
// on it, when the body names none, or when the body cannot be read as JSON: what cannot be checked is not allowed. A request
// without a caller is refused as unauthenticated. It panics when next is nil.
func (g *Gate) ModelHandler(next http.Handler) http.Handler {
	if next == nil {
		panic("auth: Gate.ModelHandler: next is nil")
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		if g == nil || g.auth == nil {
			g.refuse(x, w, r, errNotMade)
			return
		}
		p, ok := FromContext(r.Context())
		if !ok {
			g.refuse(x, w, r, ErrNoCredential)
			return
		}
		if p.Models == nil {
			next.ServeHTTP(w, r)
			return
		}
		model := x.Model()
		if model == "" {
			body, err := x.ReadBody(w, r, g.maxBody)
			if err != nil {
				g.refuseBody(x, w, r, err)
				return
			}
			if q := x.Request(body); q != nil {
				model = q.Model
			}
		}
		if err := AuthorizeModel(p, model); err != nil {
			g.refuse(x, w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// refuse writes the refusal that err stands for.
func (g *Gate) refuse(x *exchange.Exchange, w http.ResponseWriter, r *http.Request, err error) {
	var zero Gate
	if g == nil {
		g = &zero
	}
	d := g.denial(err)
	g.log(r.Context(), x, d)
	x.RefuseWith(w, r, d, g.deny)
}

// refuseBody refuses a request whose body could not be read.
func (g *Gate) refuseBody(x *exchange.Exchange, w http.ResponseWriter, r *http.Request, err error) {
	d := &deny.Denial{Code: deny.InvalidRequest, Stage: stage, Cause: err}
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		d.Code = deny.BodyTooLarge
	}
	g.log(r.Context(), x, d)
	x.RefuseWith(w, r, d, g.deny)
}

// denial turns a reason into what leaves: status by code, and the headers of RFC 6750 section 3.
func (g *Gate) denial(err error) *deny.Denial {
	code := CodeOf(err)
	d := &deny.Denial{Code: deny.Code(code), Stage: stage, Cause: err}
	c := Challenge{Realm: g.realm}
	if c.Realm == "" {
		c.Realm = "api"
	}
	var e *Error
	errors.As(err, &e)
	switch code {
	case CodeMissingCredentials:
		// No error parameter: the client did nothing wrong yet.
	case CodeInvalidRequest:
		c.Error, c.Description = "invalid_request", "Send exactly one credential"
	case CodeInvalidAPIKey, CodeInvalidToken:
		c.Error = "invalid_token"
	case CodeTokenExpired:
		c.Error, c.Description = "invalid_token", "The access token expired"
	case CodeInsufficientScope:
		c.Error = "insufficient_scope"
		if e != nil {
			c.Scopes = e.Scopes
		}
	case CodeUnavailable:
		// No challenge: the credential may be good, and a client told otherwise asks its user to log in again.
		d.Header = http.Header{"Retry-After": {retryAfter(e)}}
		return d
	default:
		// A refusal of the model or the address is nothing another credential scheme would cure.
		return d
	}
	d.Header = http.Header{"Www-Authenticate": {c.String()}}
	return d
}

// retryAfter is e's wait in whole seconds, rounded up, at least one.
func retryAfter(e *Error) string {
	wait := 5 * time.Second
	if e != nil && e.RetryAfter > 0 {
		wait = e.RetryAfter
	}
	return strconv.FormatInt(int64(max(1, (wait+time.Second-1)/time.Second)), 10)
}

func (g *Gate) log(ctx context.Context, x *exchange.Exchange, d *deny.Denial) {
	logger, level := g.logger, slog.LevelDebug
	if logger == nil {
		logger = slog.Default()
	}
	if d.Code == deny.AuthUnavailable {
		level = slog.LevelError
	}
	if !logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{slog.String("request_id", x.ID()), slog.String("code", string(d.Code)), slog.String("reason", d.Cause.Error())}
	var e *Error
	if errors.As(d.Cause, &e) && e != nil && e.KeyID != "" {
		attrs = append(attrs, slog.String("key_id", e.KeyID))
	}
	logger.LogAttrs(ctx, level, "auth: request refused", attrs...)
}

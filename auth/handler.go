package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/jsonscan"
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
		if p := g.known(x, r); p != nil {
			g.admit(x, w, r, p, next)
			return
		}
		if g != nil {
			if g.proxies != nil {
				// First, so that our trusted proxies decide before an authenticator asks for the address.
				x.Addr(r, g.proxies)
			}
			if err := g.locked(r); err != nil { // before Announce too, which signs a nonce
				if r.ContentLength != 0 {
					// net/http waits for a short body to its end before it answers: no locked client may hold a connection
					// that way. An error means a writer without deadlines, as in tests.
					_ = http.NewResponseController(w).SetReadDeadline(time.Now())
				}
				g.refuse(x, w, r, err)
				return
			}
			for _, a := range g.talkers {
				a.Announce(w.Header(), r)
			}
		}
		p, err := g.identify(r)
		if err != nil {
			g.refuse(x, w, r, err)
			return
		}
		g.remember(x, r, p)
		g.admit(x, w, r, p, next)
	})
}

// admit runs next if p meets what g demands. Who was refused is known all the same: the record of the request says so.
func (g *Gate) admit(x *exchange.Exchange, w http.ResponseWriter, r *http.Request, p *Principal, next http.Handler) {
	if q, _ := FromContext(r.Context()); q != p {
		x.SetCaller(callerOf(p))
		if q, _ := FromContext(r.Context()); q != p {
			// A NewContext between us and the room that made the exchange names another caller, or none, and would overrule us.
			r = r.WithContext(NewContext(r.Context(), p))
		}
	}
	if err := g.permit(r, p); err != nil {
		g.refuse(x, w, r, err)
		return
	}
	if h := w.Header(); len(r.Header["Authorization"]) == 0 && h.Get("Cache-Control") == "" {
		// Answers to a request with an Authorization header are kept out of shared caches by RFC 9111 section 3.5. Those to an API key in a
		// header of its own, a cookie or a certificate are not.
		h.Set("Cache-Control", "private")
	}
	next.ServeHTTP(w, r)
}

// passed is what a Gate found out about a request, for those that were made of it and stand further in.
type passed struct {
	by    *lockout // whom Gates made of one another share
	cred  Credential
	proof string
	p     *Principal
}

type passedKey struct{}

// proofOf is the DPoP proof of r, if it has one.
func proofOf(r *http.Request) string {
	if v := r.Header["Dpop"]; len(v) == 1 {
		return v[0]
	}
	return ""
}

func (g *Gate) remember(x *exchange.Exchange, r *http.Request, p *Principal) {
	if cred, err := CredentialOf(r); err == nil && cred.Value != "" {
		x.Put(passedKey{}, &passed{g.lockout, cred, proofOf(r), p})
	}
}

// known returns the caller that a Gate further out, of which g was made, found by the very credential that r still has. To ask again would
// cost the same again, and a proof that is good once (RFC 9449 section 11.1) would be refused as a replay.
func (g *Gate) known(x *exchange.Exchange, r *http.Request) *Principal {
	f, _ := x.Get(passedKey{}).(*passed)
	if f == nil || g == nil || g.auth == nil || f.by != g.lockout {
		return nil
	}
	if cred, err := CredentialOf(r); err != nil || cred != f.cred || proofOf(r) != f.proof || len(r.Header["Dpop"]) > 1 {
		return nil
	}
	return f.p
}

// BodyScopesHandler returns a handler that demands the scopes which the body of a request asks for, and stands inside [Gate.Handler]: the
// operation of a JSON-RPC call, say. It reads the body, at most Config.MaxBody bytes, unless a room before it did, and hands it to needs,
// which must not keep or change it; next reads it again. A body that does not say it is JSON in UTF-8 is refused with 400. An error of
// needs is the refusal: an [*Error], or one that wraps one of this package's reasons; any other is 503. A blank scope is met by nobody; for
// none, needs returns nothing. The challenge names the scopes g demands too. A request without a caller is refused as unauthenticated. It
// panics when needs or next is nil.
func (g *Gate) BodyScopesHandler(needs func(r *http.Request, body []byte) ([]string, error), next http.Handler) http.Handler {
	if needs == nil || next == nil {
		panic("auth: Gate.BodyScopesHandler: needs or next is nil")
	}
	return g.inside(next, func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request, p *Principal) error {
		body, err := x.ReadBody(w, r, g.maxBody)
		if err != nil {
			return &bodyError{err}
		}
		if len(body) > 0 && !saysJSON(r) {
			return errNotJSON // who decodes it otherwise reads another operation in it
		}
		scopes, err := needs(r, body)
		if scopes = splitScopes(scopes); err == nil && !p.HasScopes(scopes...) {
			err = authorize(p, union(g.scopes, scopes))
		}
		return err
	})
}

// inside returns a handler that stands inside [Gate.Handler]: it runs next for requests with a caller that check has no objection to.
func (g *Gate) inside(next http.Handler, check func(x *exchange.Exchange, w http.ResponseWriter, r *http.Request, p *Principal) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		var err error = errNotMade
		if g != nil && g.auth != nil {
			if p, ok := FromContext(r.Context()); ok {
				err = check(x, w, r, p)
			} else {
				err = ErrNoCredential
			}
		}
		if err != nil {
			g.refuse(x, w, r, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// bodyError is that the body of a request could not be read.
type bodyError struct{ error }

func (e *bodyError) Unwrap() error { return e.error }

var errNotJSON = &Error{Code: CodeInvalidRequest, Err: fmt.Errorf("%w: the body does not say that it is JSON in UTF-8", ErrInvalidRequest)}

// saysJSON reports whether the body of r has a JSON media type, and only that one, in the charset in which it is read here.
func saysJSON(r *http.Request) bool {
	types := r.Header["Content-Type"]
	if len(types) != 1 {
		return false
	}
	t, ok := jsonscan.MediaType(types[0])
	return ok && (t == "application/json" || strings.HasSuffix(t, "+json"))
}

// refuse writes the refusal that err stands for.
func (g *Gate) refuse(x *exchange.Exchange, w http.ResponseWriter, r *http.Request, err error) {
	var zero Gate
	if g == nil {
		g = &zero
	}
	d := g.denial(r, err)
	g.record(x, r, d)
	x.RefuseWith(w, r, d, g.deny)
}

// noFacts stands for an error that has none. Nobody writes to it.
var noFacts Error

// denial turns a reason into what leaves: status by code, and the headers of RFC 6750 section 3.
func (g *Gate) denial(r *http.Request, err error) *deny.Denial {
	if unread := (*bodyError)(nil); errors.As(err, &unread) {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return &deny.Denial{Code: deny.BodyTooLarge, Stage: stage, Cause: unread.error}
		}
		return &deny.Denial{Code: deny.InvalidRequest, Stage: stage, Cause: unread.error}
	}
	code := CodeOf(err)
	d := &deny.Denial{Code: deny.Code(code), Stage: stage, Cause: err}
	var e *Error
	if !errors.As(err, &e) || e == nil {
		e = &noFacts
	}
	// fault is what the challenge of the scheme that the client used says more than those of the others.
	var fault Challenge
	scopes := g.ask
	if scopes == nil && g.base.ResourceMetadata != "" {
		scopes = g.scopes
	}
	switch code {
	case CodeMissingCredentials:
		// No error parameter: the client did nothing wrong yet.
	case CodeInvalidRequest:
		if errors.Is(err, ErrAmbiguousModel) {
			d.Message = "The request does not name one model: body, path and query must agree."
			return d // nothing another credential would cure
		}
		fault.Error = "invalid_request"
		if errors.Is(err, ErrTwoCredentials) {
			fault.Description = "Send exactly one credential"
			d.Message = "The request carries more than one credential, or one header twice. Send exactly one."
		}
	case CodeInvalidAPIKey, CodeInvalidToken:
		fault.Error = "invalid_token"
	case CodeTokenExpired:
		fault.Error, fault.Description = "invalid_token", "The access token expired"
	case CodeInsufficientScope:
		fault.Error, scopes = "insufficient_scope", e.Scopes
	case CodeStepUp:
		fault.Error, fault.ACRValues, fault.MaxAge = "insufficient_user_authentication", e.ACRValues, e.MaxAge
	case CodeUnavailable, CodeLocked:
		// No challenge: the credential may be good, and a client told otherwise asks its user to log in again.
		d.Header = http.Header{"Retry-After": {retryAfter(e)}}
		return d
	default:
		// A refusal of the model, the address or the action is nothing another credential would cure.
		return d
	}
	if e.ChallengeError != "" {
		fault.Error, fault.Description = e.ChallengeError, ""
	}
	d.Header = http.Header{"Www-Authenticate": g.challenges(r, fault, scopes)}
	return d
}

// challenges returns one challenge for each scheme, each a header line of its own: clients split lists of challenges wrongly. All
// carry what a client needs to get a credential; fault goes to the scheme it used, else to the first.
func (g *Gate) challenges(r *http.Request, fault Challenge, scopes []string) []string {
	list := g.schemes
	if len(list) == 0 {
		list = []Challenge{{Scheme: "Bearer"}}
	}
	scheme := "Bearer"
	if cred, err := CredentialOf(r); err == nil && cred.Source == SourceDPoP {
		scheme = "DPoP"
	}
	used := max(0, g.offers(scheme))
	lines := make([]string, len(list))
	for i, c := range list {
		if c.Realm = g.base.Realm; c.Realm == "" {
			c.Realm = "api"
		}
		c.ResourceMetadata, c.Scopes = g.base.ResourceMetadata, scopes
		if i == used {
			c.Error, c.Description, c.ACRValues, c.MaxAge = fault.Error, fault.Description, fault.ACRValues, fault.MaxAge
		}
		lines[i] = c.String()
	}
	return lines
}

// offers returns the index of the scheme in g.schemes, -1 when no authenticator understands it.
func (g *Gate) offers(scheme string) int {
	return slices.IndexFunc(g.schemes, func(c Challenge) bool { return strings.EqualFold(c.Scheme, scheme) })
}

// retryAfter is e's wait in whole seconds, rounded up, at least one.
func retryAfter(e *Error) string {
	wait := 5 * time.Second
	if e.RetryAfter > 0 {
		wait = e.RetryAfter
	}
	return strconv.FormatInt(int64(max(1, (wait+time.Second-1)/time.Second)), 10)
}

// log is the logger of this moment.
func (g *Gate) log() *slog.Logger {
	if g.logger == nil {
		return slog.Default()
	}
	return g.logger
}

// record logs a refusal: what was asked for, by whom as far as that is known, and why not.
func (g *Gate) record(x *exchange.Exchange, r *http.Request, d *deny.Denial) {
	logger, level, ctx := g.log(), slog.LevelDebug, r.Context()
	if g.level != nil {
		level = g.level.Level()
	}
	if d.Code == deny.AuthUnavailable && !errors.Is(d.Cause, ErrNotYetValid) { // which says that it is a matter of moments, and a stranger's doing
		level = max(level, slog.LevelError)
	}
	if !logger.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("request_id", x.ID()), slog.String("code", string(d.Code)), slog.String("reason", d.Cause.Error()), slog.String("method", r.Method),
	}
	add := func(k, v string) {
		if v != "" {
			attrs = append(attrs, slog.String(k, v))
		}
	}
	var e *Error
	errors.As(d.Cause, &e)
	p, _ := FromContext(ctx)
	if r.URL != nil {
		add("path", r.URL.Path[:min(len(r.URL.Path), 256)])
	}
	if a := x.Addr(r, g.proxies); a.IsValid() {
		add("address", a.String())
	}
	if p != nil {
		add("issuer", p.Issuer)
		add("subject", p.Subject)
		add("client_id", p.ClientID)
		add("key_id", p.KeyID)
	} else if e != nil {
		add("key_id", e.KeyID)
	}
	if e != nil {
		add("scopes_needed", strings.Join(e.Scopes, " "))
	}
	logger.LogAttrs(ctx, level, "auth: request refused", attrs...)
}

package introspect

import (
	"fmt"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/internal/refuse"
)

const from = refuse.From("introspect")

// The fixed answers. They are shared; nothing of a token or of a response is part of them.
var (
	errNotMade = from.Unavailable("verifier was not made by New", nil, 0)
	errClosed  = from.Unavailable("verifier is closed", nil, 0)
	errBusy    = from.Busy("too many questions under way", time.Second)
	errPanic   = from.Unavailable("asking panicked", nil, 0)

	errShape    = from.Invalid("token is too long or has characters that no bearer token has")
	errInactive = from.Invalid("token is not active")
	errRevoked  = &auth.Error{Code: auth.CodeInvalidToken, Err: fmt.Errorf("introspect: token is not active any more: %w", auth.ErrRevoked)}
	errIssuer   = from.Invalid("iss is not the configured issuer")
	errAudience = from.Invalid("aud does not hold this API")
	errType     = from.Invalid("token is no access token")
	errSubject  = from.Invalid("answer names no sub (see Config.SubjectFromClient)")
	errScope    = from.Invalid("scope holds what is no scope-token")
	errEarly    = from.NotYet("token is not valid yet")
	errCnf      = from.Invalid("token is bound in a way that cannot be checked")
	errNoKey    = from.Invalid("token is a DPoP token and the answer does not name its key (cnf.jkt)")
	errBound    = from.Invalid("token is bound to a key or certificate (cnf) and was sent as a bearer token")
	errExpired  = from.Expired("token has expired")
)

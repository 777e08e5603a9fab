package ratelimit

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

// who returns what tells the client apart and the model it wants.
func (b *Bulkhead) who(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) (client, model string, err error) {
	s := b.http.subjectOf(x, r)
	if s.Model == "" && len(b.perModel) > 0 {
		_, read := x.ReadBytes()
		_, q, err := b.http.body(x, w, r, read || x.Model() == "")
		if err != nil {
			return "", "", err
		}
		s.Model = modelOf(x, q)
	}
	var k Key
	k.client(&s)
	return string(k.Append(nil)), s.Model, nil
}

func (b *Bulkhead) refuse(x *exchange.Exchange, w http.ResponseWriter, r *http.Request, err error) {
	d := &deny.Denial{Code: deny.Overloaded, Stage: stage, Cause: err}
	var tooLong *http.MaxBytesError
	var slow net.Error
	switch {
	case errors.Is(err, ErrOverloaded), r.Context().Err() != nil:
		d.Header = http.Header{"Retry-After": {"1"}, "Cache-Control": {"no-store"}}
	case errors.Is(err, errNoBulkhead):
		d.Code = deny.InternalError
	case errors.As(err, &tooLong):
		d.Code = deny.BodyTooLarge
	case errors.Is(err, os.ErrDeadlineExceeded), errors.As(err, &slow) && slow.Timeout():
		d.Code = deny.RequestTimeout
	default:
		d.Code = deny.InvalidRequest
	}
	var log *slog.Logger
	if b != nil {
		log = b.log
	}
	if d.Code == deny.InternalError {
		logTo(log, r, slog.LevelError, "ratelimit: no working Bulkhead, request refused", x, slog.Any("error", err))
	} else {
		logTo(log, r, slog.LevelDebug, "ratelimit: no slot", x, slog.String("code", string(d.Code)))
	}
	if b == nil {
		x.Refuse(w, r, d)
		return
	}
	x.RefuseWith(w, r, d, b.http.deny)
}

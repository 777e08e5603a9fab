package ratelimit

import (
	"errors"
	"net"
	"net/http"
	"os"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
)

// who returns what tells the client apart and the model it wants.
func (b *Bulkhead) who(x *exchange.Exchange, w http.ResponseWriter, r *http.Request) (client, model string, err error) {
	l := Limiter{http: b.http}
	s := l.subject(x, r)
	if s.Model == "" && len(b.perModel) > 0 {
		body, err := l.body(x, w, r)
		if err != nil {
			return "", "", err
		}
		if len(body) > 0 {
			if q := x.Request(body); q != nil {
				s.Model = q.Model
			}
		}
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
	if b != nil && b.log != nil {
		b.log.Info("ratelimit: no slot", "code", string(d.Code), "request_id", x.ID())
	}
	if b == nil || b.http.deny == nil {
		x.RefuseWith(w, r, d, nil)
		return
	}
	x.RefuseWith(w, r, d, func(w http.ResponseWriter, r *http.Request, err error) {
		for k, v := range d.Header {
			w.Header()[k] = v
		}
		b.http.deny(w, r, err)
	})
}

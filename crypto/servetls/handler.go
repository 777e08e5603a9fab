package servetls

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/mantlet-go/mantlet/internal/deny"
)

const (
	// DefaultMaxAge is used when HSTS.MaxAge is zero: 365 days, which is also the least that preloading asks for.
	DefaultMaxAge = 365 * 24 * time.Hour
	// Forget as HSTS.MaxAge sends a max-age of 0, upon which browsers forget that they were to use HTTPS only. It is the way out, before
	// a server stops to speak TLS.
	Forget time.Duration = -1
)

// HSTS is the header Strict-Transport-Security (RFC 6797): browsers that have seen it over HTTPS use nothing else for this host, and let
// nobody click away a bad certificate. It cannot be called back from browsers that do not return, so what reaches further than this host
// has to be asked for. A host is a name without a port: on localhost, Skip it, or all that a developer runs there is concerned.
type HSTS struct {
	// MaxAge is how long browsers remember it, in whole seconds. Zero means [DefaultMaxAge]; see [Forget].
	MaxAge time.Duration
	// IncludeSubDomains extends it to all names below this host, also those that other people serve. Zero leaves them alone.
	IncludeSubDomains bool
	// Preload agrees to the list that browsers are shipped with, which takes months to leave. It requires IncludeSubDomains and a MaxAge of
	// at least 365 days (https://hstspreload.org). Zero does not.
	Preload bool
	// Skip sends no header.
	Skip bool
}

func (h HSTS) header() (string, error) {
	var errs []error
	refuse := func(format string, args ...any) { errs = append(errs, fmt.Errorf("servetls: "+format, args...)) }
	if h.Skip {
		if h != (HSTS{Skip: true}) {
			refuse("Config.HSTS.Skip is set together with other fields of it")
		}
		return "", errors.Join(errs...)
	}
	age := h.MaxAge
	switch {
	case age == 0:
		age = DefaultMaxAge
	case age == Forget:
		age = 0
	case age < 0:
		refuse("Config.HSTS.MaxAge is negative: %v", h.MaxAge)
	case age%time.Second != 0:
		refuse("Config.HSTS.MaxAge is %v: it counts whole seconds", h.MaxAge)
	}
	if h.Preload && !h.IncludeSubDomains {
		refuse("Config.HSTS.Preload requires IncludeSubDomains, which is not set")
	}
	if h.Preload && age < DefaultMaxAge {
		refuse("Config.HSTS.Preload requires a MaxAge of at least %v, not %v", DefaultMaxAge, age)
	}
	value := "max-age=" + strconv.FormatInt(int64(age/time.Second), 10)
	if h.IncludeSubDomains {
		value += "; includeSubDomains"
	}
	if h.Preload {
		value += "; preload"
	}
	return value, errors.Join(errs...)
}

// Handler adds the header Strict-Transport-Security to every response over TLS that next writes, and to none over plain HTTP, where it
// must not be (RFC 6797 section 7.2). next may replace it.
func (e *Endpoint) Handler(next http.Handler) http.Handler {
	in := e.made()
	if in == nil {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			deny.Write(w, r, &deny.Denial{Code: deny.InternalError, Stage: "servetls", Cause: errNotMade}, deny.Auto, "")
		})
	}
	if in.hsts == "" {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS != nil {
			w.Header().Set("Strict-Transport-Security", in.hsts)
		}
		next.ServeHTTP(w, r)
	})
}

// VerifiedClient returns the certificate that the client of a request has proven to hold and that a CA of Config.ClientCAFiles vouches for.
// There is none over plain HTTP, and none if the client showed none. Identify clients by a URI or DNS name in it, and by nothing that
// two CAs of the list could both write; the common name is free text. The certificate is shared: do not change it.
func VerifiedClient(r *http.Request) (*x509.Certificate, bool) {
	// PeerCertificates would also hold one that was not verified, under another tls.Config.
	if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 || len(r.TLS.VerifiedChains[0]) == 0 {
		return nil, false
	}
	return r.TLS.VerifiedChains[0][0], true
}

package exchange

import (
	"bufio"
	"net"
	"net/http"
)

// The wrapper shows exactly the optional interfaces the writer below can serve, so that a type assertion answers as it would
// without us: http.Flusher, http.Hijacker and http.Pusher each have a type with and without. All are one pointer wide, so
// handing one out allocates nothing. http.CloseNotifier, deprecated since Go 1.11, is not kept.
type (
	plain  struct{ *level }
	fl     struct{ *level }
	hj     struct{ *level }
	pu     struct{ *level }
	flHj   struct{ *level }
	flPu   struct{ *level }
	hjPu   struct{ *level }
	flHjPu struct{ *level }
)

func (h fl) Flush()     { h.level.FlushError() }
func (h flHj) Flush()   { h.level.FlushError() }
func (h flPu) Flush()   { h.level.FlushError() }
func (h flHjPu) Flush() { h.level.FlushError() }

func (h hj) Hijack() (net.Conn, *bufio.ReadWriter, error)     { return h.level.hijackConn() }
func (h flHj) Hijack() (net.Conn, *bufio.ReadWriter, error)   { return h.level.hijackConn() }
func (h hjPu) Hijack() (net.Conn, *bufio.ReadWriter, error)   { return h.level.hijackConn() }
func (h flHjPu) Hijack() (net.Conn, *bufio.ReadWriter, error) { return h.level.hijackConn() }

func (h pu) Push(t string, o *http.PushOptions) error     { return h.level.push(t, o) }
func (h flPu) Push(t string, o *http.PushOptions) error   { return h.level.push(t, o) }
func (h hjPu) Push(t string, o *http.PushOptions) error   { return h.level.push(t, o) }
func (h flHjPu) Push(t string, o *http.PushOptions) error { return h.level.push(t, o) }

func (l *level) push(target string, opts *http.PushOptions) error {
	return l.root().w.(http.Pusher).Push(target, opts)
}

// handle returns the writer that shows l to a handler.
func (l *level) handle() http.ResponseWriter {
	w := l.root().w
	_, p := w.(http.Pusher)
	f, h := reaches(w)
	switch {
	case f && h && p:
		return flHjPu{l}
	case f && h:
		return flHj{l}
	case f && p:
		return flPu{l}
	case h && p:
		return hjPu{l}
	case f:
		return fl{l}
	case h:
		return hj{l}
	case p:
		return pu{l}
	}
	return plain{l}
}

// reaches reports whether w, or a writer it unwraps to, can flush and hijack: what [http.ResponseController] would find.
func reaches(w http.ResponseWriter) (flush, hijack bool) {
	for range 32 { // a wrapper that unwraps to itself must not hang us
		switch w.(type) {
		case http.Flusher, interface{ FlushError() error }:
			flush = true
		}
		if _, ok := w.(http.Hijacker); ok {
			hijack = true
		}
		u, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok || flush && hijack {
			return flush, hijack
		}
		w = u.Unwrap()
	}
	return flush, hijack
}

package deny

import (
	"net/http"
	"strconv"
)

// Write sends d as a complete response in envelope e. It clears the headers that describe a body the handler may have
// announced, sets those of the refusal, and writes no body for HEAD. It is for responses whose header has not left yet.
func Write(w http.ResponseWriter, r *http.Request, d *Denial, e Envelope, requestID string) {
	if e == Auto {
		e = For(r)
	}
	h := w.Header()
	ClearBody(h)
	for k, v := range d.Header {
		h[http.CanonicalHeaderKey(k)] = v
	}
	body := e.Append(make([]byte, 0, 256), d, requestID)
	h["Content-Type"] = []string{e.ContentType()}
	h["Content-Length"] = []string{strconv.Itoa(len(body))}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Cache-Control"] = []string{"no-store"}
	w.WriteHeader(d.Status())
	if r.Method != http.MethodHead {
		w.Write(body)
	}
}

// bodyHeaders describe one particular body, so they must go when another takes its place.
var bodyHeaders = [...]string{
	"Content-Length", "Content-Encoding", "Content-Type", "Content-Range", "Content-Disposition", "Content-Language",
	"Content-Location", "Content-Md5", "Content-Digest", "Repr-Digest", "Digest", "Etag", "Last-Modified", "Accept-Ranges",
	"Trailer", "Transfer-Encoding",
}

// ClearBody deletes the headers of h that describe a body.
func ClearBody(h http.Header) {
	for _, k := range bodyHeaders {
		delete(h, k)
	}
}

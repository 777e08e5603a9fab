package validate

import (
	"net/http"
	"slices"
	"strings"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// mediaType checks that the headers describe a body this Validator can read: one accepted media type, in UTF-8, under no
// coding or an accepted one, and reports whether it is gzip. Nothing is guessed: a missing type is refused like a wrong one, because what is guessed here may be guessed
// differently behind.
func (p *policy) mediaType(h http.Header) (zipped bool, e *Error) {
	if !p.accepts(h["Content-Type"]) {
		e := refuse(deny.UnsupportedMediaType)
		e.header = http.Header{"Accept": {p.accept}} // RFC 9110 section 15.5.16
		return false, e
	}
	codings := 0
	for _, line := range h["Content-Encoding"] {
		for coding := range strings.SplitSeq(line, ",") {
			c := strings.TrimSpace(coding)
			if c == "" || strings.EqualFold(c, "identity") {
				continue
			}
			codings++
			zipped = strings.EqualFold(c, "gzip") || strings.EqualFold(c, "x-gzip")
			if !zipped || !p.gzip.accepted || codings > 1 {
				e := refuse(deny.UnsupportedMediaType)
				e.Message, e.header = "A request body with a content coding is not supported.", http.Header{"Accept": {p.accept}, "Accept-Encoding": {"identity"}}
				if p.gzip.accepted {
					e.Message = "The content coding of the request body is not supported."
					e.header["Accept-Encoding"] = []string{"gzip, identity"} // RFC 9110 section 12.5.3
				}
				return false, e
			}
		}
	}
	return zipped, nil
}

func (p *policy) accepts(lines []string) bool {
	if len(lines) != 1 { // two Content-Type lines: every reader may pick another one
		return false
	}
	if p.usual(lines[0]) { // nearly always, and without an allocation
		return true
	}
	t, ok := jsonscan.MediaType(lines[0])
	return ok && slices.Contains(p.types, t)
}

// usual reports whether line is an accepted media type as nearly every client spells it: alone, or followed by the one
// charset.
func (p *policy) usual(line string) bool {
	for _, t := range p.types {
		rest, ok := strings.CutPrefix(line, t)
		if !ok {
			continue
		}
		switch rest {
		case "", "; charset=utf-8", ";charset=utf-8", "; charset=UTF-8", ";charset=UTF-8":
			return true
		}
	}
	return false
}

package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Capture is how much of a request goes into its line.
type Capture uint8

const (
	// CaptureMetadata, the zero value, writes the facts of the request and nothing of its body.
	CaptureMetadata Capture = iota
	// CaptureNone writes no line at all (health checks). Such requests are counted in Stats.Skipped.
	CaptureNone
	// CaptureHash adds the size of the request body and its HMAC-SHA-256 under Identify.Key: it proves later which body it
	// was, to whoever has that body, and tells nobody else anything. The HMAC runs over what the handler read; if it did
	// not read to the end, x.body.complete is false.
	CaptureHash
	// CaptureEncrypted is CaptureHash and the first MaxBytes of the body through Config.Seal, in x.body.sealed.
	CaptureEncrypted
	// CapturePlain writes the first MaxBytes of the body as x.body.text. Open refuses it without
	// Config.InsecurePlaintext.
	CapturePlain
)

// String gives the name of the level.
func (c Capture) String() string {
	switch c {
	case CaptureMetadata:
		return "metadata"
	case CaptureNone:
		return "none"
	case CaptureHash:
		return "hash"
	case CaptureEncrypted:
		return "encrypted"
	case CapturePlain:
		return "plain"
	}
	return "Capture(" + strconv.Itoa(int(c)) + ")"
}

// body reports whether the level needs the request body.
func (c Capture) body() bool { return c == CaptureHash || c == CaptureEncrypted || c == CapturePlain }

// Rule gives the requests it matches a capture level. The first matching rule decides; a request no rule matches is
// captured as metadata.
type Rule struct {
	// Route is the pattern of the router that served the request, as in http.route ("POST /v1/chat/completions"); a '*' at
	// the end matches any rest. Empty matches every request, also those no router matched.
	Route string
	// Model is the requested model, with the same '*'. Empty matches every request, also those without a model. A rule
	// with a Model never matches a request whose model nobody has read; put the stricter capture first if that matters.
	Model string
	// Level is what to keep.
	Level Capture
	// MaxBytes is how much of a body CaptureEncrypted and CapturePlain keep; 0 means 16 KiB, at most 1 MiB. What is beyond
	// is still part of the size and the HMAC. In the line a payload takes at most twice that and 4 KiB; text that needs
	// more, because of its escapes, is cut there.
	MaxBytes int
}

const (
	defaultCaptureBytes = 16 << 10
	maxCaptureBytes     = 1 << 20
)

func (r *Rule) matches(route, model string) bool {
	return glob(r.Route, route) && glob(r.Model, model)
}

func glob(pattern, s string) bool {
	if pattern == "" {
		return true
	}
	if head, ok := strings.CutSuffix(pattern, "*"); ok {
		return s != "" && strings.HasPrefix(s, head)
	}
	return pattern == s
}

// rules is the checked form of Config.Capture.
type rules struct {
	list     []Rule
	anyBody  bool // some rule wants a body
	maxBytes int  // the most any rule keeps
	seal     func([]byte) ([]byte, error)
}

func newRules(cfg *Config) (rules, error) {
	rs := rules{list: append([]Rule(nil), cfg.Capture...), seal: cfg.Seal}
	var errs []error
	for i := range rs.list {
		r := &rs.list[i]
		if r.MaxBytes < 0 || r.MaxBytes > maxCaptureBytes {
			errs = append(errs, fmt.Errorf("audit: Capture[%d].MaxBytes %d: want 0 to %d", i, r.MaxBytes, maxCaptureBytes))
		}
		if r.MaxBytes == 0 {
			r.MaxBytes = defaultCaptureBytes
		}
		if r.Level > CapturePlain {
			errs = append(errs, fmt.Errorf("audit: Capture[%d].Level %d: no such level", i, r.Level))
		}
		if (r.Level == CaptureHash || r.Level == CaptureEncrypted) && len(cfg.Identify.Key) == 0 {
			errs = append(errs, fmt.Errorf("audit: Capture[%d].Level %s needs Identify.Key", i, r.Level))
		}
		if r.Level == CaptureEncrypted && cfg.Seal == nil {
			errs = append(errs, fmt.Errorf("audit: Capture[%d].Level %s needs Seal", i, r.Level))
		}
		if r.Level == CapturePlain && !cfg.InsecurePlaintext {
			errs = append(errs, fmt.Errorf("audit: Capture[%d].Level %s needs InsecurePlaintext", i, r.Level))
		}
		if r.Level.body() {
			rs.anyBody = true
		}
		if r.Level == CaptureEncrypted || r.Level == CapturePlain {
			rs.maxBytes = max(rs.maxBytes, r.MaxBytes)
		}
	}
	return rs, errors.Join(errs...)
}

// find gives the rule for a request.
func (rs *rules) find(route, model string) Rule {
	for i := range rs.list {
		if r := &rs.list[i]; r.matches(route, model) {
			return *r
		}
	}
	return Rule{}
}

// mayTakeBody reports whether some rule that could still match wants the body. The route is known only after the router has
// run, which may be inside; the model only after somebody has read the body. So a rule that needs them counts.
func (rs *rules) mayTakeBody(route string) bool {
	if !rs.anyBody {
		return false
	}
	for i := range rs.list {
		r := &rs.list[i]
		routeFits := route == "" || glob(r.Route, route)
		if routeFits && r.Level.body() {
			return true
		}
		if (r.Route == "" || route != "" && glob(r.Route, route)) && r.Model == "" {
			return false // this one matches for certain, and comes before any that wants a body
		}
	}
	return false
}

// bodyTap is the request body on its way to whoever reads it: it hashes all and keeps the beginning. A transport may still
// read on its own goroutine when the handler has returned, hence the lock; what is read after finish is not captured.
type bodyTap struct {
	inner io.ReadCloser

	mu       sync.Mutex
	mac      *macState // nil without a key, and after finish
	kept     []byte
	limit    int
	size     int64
	ended    bool
	finished bool
}

// Read implements io.Reader.
func (b *bodyTap) Read(p []byte) (int, error) {
	n, err := b.inner.Read(p)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.finished {
		return n, err
	}
	if n > 0 {
		b.size += int64(n)
		if b.mac != nil {
			b.mac.Write(p[:n])
		}
		if room := b.limit - len(b.kept); room > 0 {
			b.kept = append(b.kept, p[:min(n, room)]...)
		}
	}
	if err == io.EOF {
		b.ended = true
	}
	return n, err
}

// Close implements io.Closer.
func (b *bodyTap) Close() error { return b.inner.Close() }

// finish ends the capture and gives what was seen.
func (b *bodyTap) finish(id *identity) (size int64, complete bool, sum, kept []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.finished = true
	if b.mac != nil {
		sum = b.mac.finish(nil, id.kid, sha256.Size)
		id.macs.Put(b.mac)
		b.mac = nil
	}
	return b.size, b.ended, sum, b.kept
}

// fill puts what the rule wants into p. A Seal that fails, panics or returns what is not printable ASCII leaves the event
// whole and says so in it; there is no way from here to the plain text.
func (rs *rules) fill(p *payload, rule Rule, size int64, complete bool, sum []byte, kept []byte) {
	p.level, p.bytes, p.complete, p.hmac, p.limit = rule.Level, size, complete, sum, payloadMax(rule.MaxBytes)-len(ellipsis)
	kept = kept[:min(len(kept), rule.MaxBytes)]
	p.cut = size > int64(len(kept))
	switch rule.Level {
	case CaptureEncrypted:
		sealed, err := rs.callSeal(kept)
		switch {
		case err != nil:
			p.failed = "seal_error"
		case len(sealed) == 0 || !printable(sealed):
			p.failed = "seal_not_printable"
		case len(sealed) > payloadMax(rule.MaxBytes):
			p.failed = "seal_too_long"
		default:
			p.sealed = sealed
		}
	case CapturePlain:
		// Cut between characters, so that a long prompt is not taken for one that is not UTF-8.
		for back := 1; p.cut && back < utf8.UTFMax && back <= len(kept); back++ {
			if i := len(kept) - back; utf8.RuneStart(kept[i]) {
				if !utf8.FullRune(kept[i:]) {
					kept = kept[:i]
				}
				break
			}
		}
		p.text = append([]byte{}, kept...)
	}
}

var errSealPanic = errors.New("audit: Seal panicked")

func (rs *rules) callSeal(plaintext []byte) (sealed []byte, err error) {
	defer func() {
		if recover() != nil {
			sealed, err = nil, errSealPanic
		}
	}()
	return rs.seal(plaintext)
}

// payloadMax is how long a captured payload may be in the line: room for two rounds of base64 and an envelope, or for text
// with some escapes. Text with more of them (every byte can become six) is cut.
func payloadMax(plain int) int { return 2*plain + 4<<10 }

// lineMax bounds a line with a payload of at most n captured bytes.
func lineMax(n int) int {
	if n == 0 {
		return MaxLine
	}
	return MaxLine + payloadMax(n) + 64
}

func printable(b []byte) bool {
	for _, c := range b {
		if c < 0x20 || c > 0x7e {
			return false
		}
	}
	return true
}

package sanitize

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/jsonscan"
	"github.com/mantlet-go/mantlet/sanitize/detect"
	"github.com/mantlet-go/mantlet/sanitize/redact"
)

// DefaultMaxBody is the request body limit when [Config].MaxBody is zero: 4 MiB, some 1,000,000 tokens, as in the other rooms.
const DefaultMaxBody = 4 << 20

// ErrBlocked is the cause of a refusal because of a [Block] rule.
var ErrBlocked = errors.New("sanitize: blocked by policy")

// errUnconfigured is what a zero Filter says.
var errUnconfigured = errors.New("sanitize: the Filter was not made by New")

// Config configures a [Filter]. The zero Config is a working filter with the defaults named at the fields.
type Config struct {
	// Detectors look at requests and responses. Nil means detect.ProviderKeys, detect.Email and detect.Card; empty and not nil
	// means none. A detector that needs the whole text (MaxSpan 0) is refused here unless SkipResponses is set.
	Detectors []detect.Detector
	// RequestDetectors look at requests in addition to Detectors. They may need the whole text.
	RequestDetectors []detect.Detector
	// Policy decides what happens to findings, before [DefaultPolicy].
	Policy Policy
	// Replacement is the text in the place of a redacted kind; see redact.Config.
	Replacement map[string]string

	// SkipClean lets invisible text, control characters and unnormalised text of requests through. Detectors then see the text
	// with everything that may be hidden between its letters. False cleans.
	SkipClean bool
	// SkipRequests lets requests through unseen.
	SkipRequests bool
	// SkipResponses lets responses through unseen.
	SkipResponses bool
	// SkipUnreadable lets request bodies through unseen that are not JSON or plain text, or are compressed. False refuses them
	// with 415. A body that begins like JSON is read as JSON whatever its type says.
	SkipUnreadable bool
	// SkipEncoded lets responses through unseen whose handler compressed a text (Content-Encoding), sent a part of it (206), or
	// several bodies in one (multipart). False replaces them by an upstream_error. Images, audio, video, fonts, PDF, zip and
	// octet streams pass when their first bytes are not text.
	SkipEncoded bool
	// SkipOversized lets JSON responses of more than 4 MiB through unseen. False replaces them by an upstream_error.
	SkipOversized bool

	// MaxBody is the largest request body read, in bytes. Zero means DefaultMaxBody. A body that another room has read already
	// is not held to it: that room had a limit of its own.
	MaxBody int64
	// Shadow decides and records, and changes no byte and refuses nothing. Actions are recorded as "would_redact" and so on.
	Shadow bool
	// Deny replaces the reply to a blocked request when no [Errors] stands further out. It must write a response. Nil means
	// the library's own.
	Deny func(w http.ResponseWriter, r *http.Request, err error)
	// Logger gets what fails closed. Nil means slog.Default().
	Logger *slog.Logger
}

// Filter cleans, scans and rewrites what goes to a handler and what comes back. It is immutable and safe for concurrent use. The
// zero Filter refuses everything; use [New].
type Filter struct {
	cfg      Config
	policy   Policy
	requests *redact.Redactor
	// responses and byRole, of requests, have one redactor per role, as a role may have rules of its own.
	responses, byRole map[Role]*redact.Redactor
}

// roles are all the roles a text may have.
var roles = []Role{RoleAny, RoleSystem, RoleUser, RoleAssistant, RoleTool}

// New checks cfg and returns a Filter. All faults are reported together.
func New(cfg Config) (*Filter, error) {
	var errs []error
	errs = append(errs, cfg.Policy.check()...)
	if cfg.MaxBody < 0 {
		errs = append(errs, fmt.Errorf("sanitize: MaxBody: %d is negative", cfg.MaxBody))
	}
	if cfg.Detectors == nil {
		cfg.Detectors = []detect.Detector{detect.ProviderKeys(), detect.Email(), detect.Card()}
	}
	f := &Filter{responses: map[Role]*redact.Redactor{}, byRole: map[Role]*redact.Redactor{}}
	f.policy = append(slices.Clone(cfg.Policy), DefaultPolicy()...)
	var err error
	f.requests, err = redact.New(redact.Config{
		Detectors:   append(slices.Clone(cfg.Detectors), cfg.RequestDetectors...),
		Replacement: cfg.Replacement,
		WholeText:   true,
	})
	if err != nil {
		errs = append(errs, fmt.Errorf("sanitize: %w", err))
	}
	for i, d := range cfg.Detectors {
		if d != nil && d.MaxSpan() == 0 && !cfg.SkipResponses {
			errs = append(errs, fmt.Errorf("sanitize: Detectors[%d]: %q needs the whole text and cannot run on streamed responses; "+
				"it may stand in RequestDetectors", i, d.Name()))
		}
	}
	for _, role := range roles {
		if len(errs) > 0 || slices.ContainsFunc(slices.Concat(cfg.Detectors, cfg.RequestDetectors), needsWhole) {
			break // a window is not enough for such a detector
		}
		if f.byRole[role], err = redact.New(redact.Config{
			Detectors:   append(slices.Clone(cfg.Detectors), cfg.RequestDetectors...),
			Replacement: cfg.Replacement,
			Keep:        func(kind string) bool { return f.policy.action(kind, Request, role) < Redact },
		}); err != nil {
			errs = append(errs, fmt.Errorf("sanitize: %w", err))
		}
	}
	if !cfg.SkipResponses && len(errs) == 0 {
		for _, role := range roles {
			f.responses[role], err = redact.New(redact.Config{
				Detectors:   slices.Clone(cfg.Detectors),
				Replacement: cfg.Replacement,
				Keep:        func(kind string) bool { return f.policy.action(kind, Response, role) < Redact },
			})
			if err != nil {
				errs = append(errs, fmt.Errorf("sanitize: %w", err))
				break
			}
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	if cfg.MaxBody == 0 {
		cfg.MaxBody = DefaultMaxBody
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	cfg.Detectors, cfg.RequestDetectors, cfg.Policy, cfg.Replacement = nil, nil, nil, nil // compiled; nobody else's to change
	f.cfg = cfg
	return f, nil
}

func needsWhole(d detect.Detector) bool { return d != nil && d.MaxSpan() == 0 }

// Finding is a finding and what was decided about it.
type Finding struct {
	detect.Finding
	// Action is what the policy says. Under Shadow it was not done.
	Action Action
}

// Verdict is what [Filter.Scan] decides about a text.
type Verdict struct {
	// Text is what may go on: the text itself when nothing had to change (or Shadow is set), nil when it is blocked.
	Text []byte
	// Action is the strongest action of the findings; none (0) without a finding.
	Action Action
	// Findings are in order of what was removed by cleaning (offsets in the given text), then what the detectors found (offsets
	// in the cleaned text). They do not hold the matched text.
	Findings []Finding
	// More is how many further findings there are: at most 1024 are listed. Action takes account of all.
	More int
}

// Scan decides about one complete text: what a request's or a response's text of that role becomes. The error is [ErrBlocked]
// when the policy blocks it. Scan never writes HTTP and does not record findings anywhere.
func (f *Filter) Scan(ctx context.Context, dir Direction, role Role, text []byte) (Verdict, error) {
	if f == nil || f.requests == nil {
		return Verdict{Action: Block}, errUnconfigured
	}
	if err := ctx.Err(); err != nil {
		return Verdict{Action: Block}, err
	}
	w := works.Get().(*work)
	defer w.release()
	w.reset()
	cleaned := f.look(w, dir, role, text, false)
	v := Verdict{Text: text, Action: w.action, More: w.more}
	if len(w.found) > 0 {
		v.Findings = slices.Clone(w.found)
	}
	switch {
	case f.cfg.Shadow:
	case w.action == Block:
		v.Text = nil
		return v, ErrBlocked
	case w.replaced():
		v.Text = w.result(cleaned)
	case !same(cleaned, text):
		v.Text = slices.Clone(cleaned)
	}
	return v, nil
}

// work is the memory of one scan.
type work struct {
	found  []Finding
	raw    []detect.Finding
	reps   []redact.Replacement
	edits  []edit
	dec    []byte
	action Action
	more   int  // findings beyond maxFindings: decided, not listed
	redone bool // some text was redacted

	long    bool   // the last look was at a long text and redacted it: into text, not reps
	text    []byte // what that text became
	piece   []byte // scratch of it
	mark    []byte // the last replacement, and
	escaped []byte // the same as JSON string content
}

const (
	// maxFindings bounds the list of one scan. A text of nothing but addresses has a finding in seven bytes; what happens to all of
	// them is decided, but nobody reads a list of half a million.
	maxFindings = 1024
	// longText is the length from which on a text is redacted window by window, so that the findings of one window are all that is
	// kept at a time. maxEdits bounds what the pool keeps.
	longText = 64 << 10
	window   = 32 << 10
	maxEdits = 1024
)

var works = sync.Pool{New: func() any { return new(work) }}

func (w *work) reset() {
	*w = work{found: w.found[:0], raw: w.raw[:0], reps: w.reps[:0], edits: w.edits[:0], dec: w.dec[:0], text: w.text[:0], piece: w.piece[:0]}
}

// release forgets the text that was scanned and gives the memory back (findings hold none of it). One huge prompt must not stay allocated.
func (w *work) release() {
	w.dec, w.text, w.piece = forget(w.dec, 1<<20), forget(w.text, 1<<20), forget(w.piece, 1<<20)
	w.edits, w.reps = forget(w.edits, maxEdits), forget(w.reps, maxEdits)
	if cap(w.raw) > maxEdits {
		w.raw = nil
	}
	w.mark, w.escaped = nil, nil
	works.Put(w)
}

// forget clears s for the next use; nil when it is longer than a pool should keep.
func forget[T any](s []T, most int) []T {
	if cap(s) > most {
		return nil
	}
	clear(s[:cap(s)])
	return s[:0]
}

// result returns what the text that look returned becomes. It is the text itself when nothing is replaced.
func (w *work) result(cleaned []byte) []byte {
	switch {
	case w.long:
		return slices.Clone(w.text)
	case len(w.reps) > 0:
		return apply(nil, cleaned, w.reps)
	}
	return cleaned
}

// replaced reports whether the last look found something to replace.
func (w *work) replaced() bool { return w.long || len(w.reps) > 0 }

// quoted returns a replacement as JSON string content. The replacements of a flood are all alike.
func (w *work) quoted(with []byte) []byte {
	if w.mark == nil || !bytes.Equal(w.mark, with) {
		w.mark, w.escaped = with, jsonscan.AppendQuoted(nil, with, false)
	}
	return w.escaped
}

// look cleans and scans one decoded text. It appends to w.found, raises w.action, and leaves in w.reps what is to be replaced in
// the cleaned text it returns.
func (f *Filter) look(w *work, dir Direction, role Role, text []byte, json bool) []byte {
	cleaned := text
	if dir == Request && !f.cfg.SkipClean {
		var removed []detect.Finding
		cleaned, removed = cleanKinds(text, keep{
			invisible: f.policy.action(KindInvisible, dir, role) < Redact,
			control:   f.policy.action(KindControl, dir, role) < Redact,
			ansi:      f.policy.action(KindANSI, dir, role) < Redact,
		})
		for _, d := range removed {
			f.decide(w, dir, role, d)
		}
	}
	w.reps, w.long = w.reps[:0], false
	by := f.responses
	if dir == Request {
		by = f.byRole
	}
	if r := by[role]; r != nil && len(cleaned) > longText {
		f.lookLong(w, r, dir, role, cleaned, json)
		return cleaned
	}
	w.raw = f.requestsOr(dir).Scan(w.raw[:0], cleaned)
	n := 0
	for _, d := range w.raw {
		if f.decide(w, dir, role, d) >= Redact {
			w.raw[n] = d
			n++
		}
	}
	if n > 0 {
		w.reps = f.requests.Replacements(w.reps, cleaned, w.raw[:n], json)
	}
	return cleaned
}

// lookLong is the scan of a long text. A stream of its pieces gives what the whole would give.
func (f *Filter) lookLong(w *work, r *redact.Redactor, dir Direction, role Role, text []byte, json bool) {
	s := r.NewStream()
	if json {
		s = r.NewJSONStream()
	}
	w.text = w.text[:0]
	gone := 0 // so many bytes have left the stream as they are
	for rest := text; ; {
		n := min(window, len(rest))
		w.piece = s.Write(w.piece[:0], rest[:n])
		if rest = rest[n:]; len(rest) == 0 {
			w.piece = s.Flush(w.piece)
		}
		for _, d := range s.Findings() {
			f.decide(w, dir, role, d)
		}
		if !w.long && s.Replaced() {
			w.long = true
			w.text = append(w.text, text[:gone]...)
		}
		if w.long {
			if free := cap(w.text) - len(w.text); free < len(w.piece) {
				w.text = slices.Grow(w.text, max(len(text), len(w.piece)))
			}
			w.text = append(w.text, w.piece...)
		}
		gone += len(w.piece)
		if len(rest) == 0 {
			return
		}
	}
}

// requestsOr returns the redactor whose detectors look at texts of a direction.
func (f *Filter) requestsOr(dir Direction) *redact.Redactor {
	if r := f.responses[RoleAny]; dir == Response && r != nil {
		return r
	}
	return f.requests
}

func (f *Filter) decide(w *work, dir Direction, role Role, d detect.Finding) Action {
	a := f.policy.action(d.Kind, dir, role)
	if a != Allow {
		if len(w.found) < maxFindings {
			w.found = append(w.found, Finding{d, a})
		} else {
			w.more++
		}
		w.action = max(w.action, a)
	}
	return a
}

// edit replaces a range of a JSON source.
type edit struct {
	start, end int
	with       []byte
}

// rewrite scans the texts of a JSON body and leaves in w.edits what has to change, in order.
func (f *Filter) rewrite(w *work, dir Direction, body []byte, texts []dialect.Text) {
	for _, t := range texts {
		if t.Kind == dialect.Opaque || t.Kind == dialect.Token {
			continue
		}
		raw := body[t.Start:t.End]
		text := raw
		if bytes.IndexByte(raw, '\\') >= 0 {
			w.dec = jsonscan.AppendUnquoted(w.dec[:0], raw)
			text = w.dec
		}
		cleaned := f.look(w, dir, roleOf(t.Role), text, t.Kind == dialect.ToolArguments)
		w.redone = w.redone || w.replaced()
		switch {
		case w.long:
			w.edits = append(double(w.edits), edit{t.Start, t.End, jsonscan.AppendQuoted(make([]byte, 0, len(w.text)+64), w.text, false)})
		case !same(cleaned, text):
			// Cleaning moves offsets: the string is written anew as a whole.
			with := jsonscan.AppendQuoted(nil, apply(nil, cleaned, w.reps), false)
			w.edits = append(double(w.edits), edit{t.Start, t.End, with})
		case len(w.reps) > 0:
			at := 0 // in raw
			dec := 0
			for _, r := range w.reps {
				at = skipDecoded(raw, at, r.Start-dec)
				end := skipDecoded(raw, at, r.End-r.Start)
				w.edits = append(double(w.edits), edit{t.Start + at, t.Start + end, w.quoted(r.With)})
				at, dec = end, r.End
			}
		}
	}
}

// double makes room by doubling: append grows long slices by a quarter, which allocates five times what is kept.
func double[T any](s []T) []T {
	if len(s) == cap(s) {
		return slices.Grow(s, max(16, len(s)))
	}
	return s
}

func roleOf(r dialect.Role) Role {
	switch r {
	case dialect.RoleSystem:
		return RoleSystem
	case dialect.RoleUser:
		return RoleUser
	case dialect.RoleAssistant:
		return RoleAssistant
	case dialect.RoleTool:
		return RoleTool
	}
	return RoleAny
}

// same reports whether a is b, not a changed copy.
func same(a, b []byte) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0])
}

// apply appends text with replacements made.
func apply(dst, text []byte, reps []redact.Replacement) []byte {
	p := 0
	for _, r := range reps {
		dst = append(append(dst, text[p:r.Start]...), r.With...)
		p = r.End
	}
	return append(dst, text[p:]...)
}

// splice appends body with edits made, which are in order. An edit inside of what an earlier one has replaced is left out.
func splice(dst, body []byte, edits []edit) []byte {
	size, p := len(body), 0
	for _, e := range edits {
		size += len(e.with)
	}
	dst = slices.Grow(dst, size)
	for _, e := range edits {
		if e.start < p {
			continue
		}
		dst = append(append(dst, body[p:e.start]...), e.with...)
		p = e.end
	}
	return append(dst, body[p:]...)
}

// skipDecoded returns the offset in raw, a valid JSON string content, after n decoded bytes from offset at on. Where n ends
// inside an escape (a finding that is not on character borders) the whole escape is taken.
func skipDecoded(raw []byte, at, n int) int {
	for n > 0 && at < len(raw) {
		if raw[at] != '\\' {
			at++
			n--
			continue
		}
		if at+1 < len(raw) && raw[at+1] != 'u' {
			at += 2
			n--
			continue
		}
		u := hex4(raw, at+2)
		at += 6
		switch {
		case u < 0x80:
			n--
		case u < 0x800:
			n -= 2
		case u >= 0xd800 && u < 0xdc00:
			at += 6 // the scanner lets no lone surrogate through
			n -= 4
		default:
			n -= 3
		}
	}
	return min(at, len(raw))
}

func hex4(b []byte, i int) (v rune) {
	for k := i; k < i+4 && k < len(b); k++ {
		c := b[k]
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		default:
			c = c | 0x20 - 'a' + 10
		}
		v = v<<4 | rune(c&15)
	}
	return v
}

// checkLimits only ask whether a rewritten body is JSON still; how large it may be was decided before.
var checkLimits = jsonscan.Limits{
	Bytes: -1, Depth: 1000, Keys: -1, TotalKeys: -1, KeyLen: -1, ArrayLen: -1, StringLen: -1, Nodes: -1, NumberLen: -1, Exponent: -1,
	AllowDuplicateKeys: true, AllowFoldCollisions: true,
}

func stillJSON(body []byte) bool { return jsonscan.Scan(body, &checkLimits, nil) == nil }

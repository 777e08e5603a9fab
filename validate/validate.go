package validate

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"mime"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/dialect"
	"github.com/mantlet-go/mantlet/internal/jsonscan"
	"github.com/mantlet-go/mantlet/validate/internal/schema"
)

// Defaults of [Config].
const (
	// DefaultMaxBody is the bound of a body in bytes, the same as in the other packages: 4 MiB holds a prompt of about a million
	// tokens of English text, or three photographs of 1 MB in base64.
	DefaultMaxBody = 4 << 20
	// DefaultReadTimeout is the time a whole body may take to arrive.
	DefaultReadTimeout = 10 * time.Second
)

// Config says what a body must be. The zero Config accepts any strict JSON text of up to 4 MiB within the default
// [Limits].
type Config struct {
	// Schema is a JSON Schema document, draft 2020-12 unless its $schema says draft 7 or names a dialect in Resources;
	// other drafts are refused. References to documents that are neither here nor in Resources are refused. Empty means no
	// schema.
	//
	// All keywords of both drafts are asserted, format among them for the formats of the specification except idn-email
	// and idn-hostname, and for those of this package (FormatPublicHTTPS, FormatImageURL, FormatMediaURL, FormatBase64
	// and those of files in base64); an unknown format is ignored, as the specification wants. pattern
	// is RE2: look-arounds are refused here. So is an unknown keyword that looks like a slip of a known one ("requird"),
	// because it would be ignored; other unknown keywords are, as the specification wants.
	//
	// The schema is judged inside the scan of the body and ends it at the first fault, in the order of the document. Only
	// a schema that refers to a meta-schema, or one for Engine, needs the whole body as a tree first.
	Schema []byte
	// Resources are schema documents that Schema may refer to, by absolute URL. Nothing is ever fetched.
	Resources map[string][]byte
	// SkipFormats makes format an annotation that checks nothing, as the specification has it where nobody says otherwise.
	SkipFormats bool
	// Engine judges documents by Schema in place of the built-in implementation, which needs no tree and is faster than any
	// that does. nil means the built-in one.
	Engine Engine
	// Limits bounds the structure. Zero fields mean their defaults.
	Limits Limits
	// MaxBody bounds the body in bytes. Zero means DefaultMaxBody; a negative value and one from 2 GiB on are refused.
	MaxBody int64
	// Encodings lists the accepted content codings besides none. The only one there is here is "gzip" (and its alias
	// x-gzip, RFC 9110 section 8.4.1.3); codings on top of each other are refused. Everybody behind gets the decoded body:
	// Content-Encoding is gone and Content-Length is the new one. Empty means that a coded body is refused with 415. In
	// shadow mode a coded body is looked into and handed on as it is, so that [Body] does not understand it.
	Encodings []string
	// MaxDecoded bounds a coded body in bytes after decoding, while MaxBody bounds it as sent. Zero means MaxBody; a
	// negative value and one from 2 GiB on are refused.
	MaxDecoded int64
	// MaxRatio bounds how many bytes one byte of a coded body may become. Up to 64 KiB are always allowed, since short
	// texts that repeat themselves compress well. Zero means 100: prose gives 3 to 5, and the most that the format can do
	// is 1032 (https://zlib.net/zlib_tech.html). A negative value is refused.
	MaxRatio int
	// MaxMembers bounds the members of a gzip body, each of which is a whole gzip file (RFC 1952 section 2.2). Zero means
	// 1, which is what clients send; a negative value is refused.
	MaxMembers int
	// ContentTypes lists the accepted media types in lower case, without parameters or wildcards. A "+json" type must
	// be listed like any other. Empty means application/json. The types a browser sends to other sites without asking
	// (text/plain, application/x-www-form-urlencoded, multipart/form-data) are refused: with them any web page could
	// post JSON to a service on the visitor's network.
	ContentTypes []string
	// Methods lists the accepted methods in upper case; others get 405. Empty means all, which fits a validator behind
	// a router pattern that names the method.
	Methods []string
	// RequireBody refuses every request without a body. When false, GET, HEAD, DELETE, OPTIONS and TRACE (for which RFC
	// 9110 defines no content) pass without one. With a body they are checked like all others.
	RequireBody bool
	// ReadTimeout bounds the time the whole body may take to arrive, counted from when this package begins to read it, through
	// http.ResponseController; the server's own ReadTimeout is taken instead when it is shorter. It replaces a read deadline
	// that somebody outside has set, and is cleared once the body is there, so that it does not cut a long answer. Zero means
	// DefaultReadTimeout; a negative value is refused. A ResponseWriter that has no deadlines (httptest.ResponseRecorder) has
	// no such bound, and shadow mode has none: a deadline that fires would take the body away from the handler.
	ReadTimeout time.Duration
	// Shadow lets every request pass and only records what would have been refused (log, findings of the audit record).
	// The handler begins when the body has arrived, or as much of it as MaxBody, and reads the bytes that were sent; their
	// framing (chunks) is not kept.
	Shadow bool
	// Deny replaces the reply to a refused request, unless an outer sanitize.Errors decides. errors.As finds the *Error
	// in err. nil means the standard reply.
	Deny func(w http.ResponseWriter, r *http.Request, err error)
	// Logger gets one record per refusal: at Debug (which slog.Default does not show unless told to), in shadow mode at Info,
	// and at Error for a Validator that New did not make. Records hold no value of the request; but they name, cut and
	// escaped, a member that the schema does not allow, and quote what a method Validate of yours said. nil means what
	// slog.Default returns at that moment.
	Logger *slog.Logger
}

// Limits bounds the structure of a body. Every limit of n allows exactly n. A zero field means its default, a negative
// one switches the limit off (but see NumberLen and Exponent). The defaults come from measurements of real chat and
// embedding requests with generous room.
type Limits struct {
	// Depth is the number of containers open at once. Zero means 64.
	Depth int
	// Keys is the number of members of one object. Zero means 256.
	Keys int
	// TotalKeys is the number of members of all objects together. Zero means 10,000.
	TotalKeys int
	// KeyLen is the length of a member name in bytes. Zero means 256.
	KeyLen int
	// ArrayLen is the number of elements of one array. Zero means 10,000.
	ArrayLen int
	// StringLen is the length of a string in bytes as sent. Zero means 256 KiB.
	StringLen int
	// Nodes is the number of values, containers included. Zero means 100,000.
	Nodes int
	// NumberLen is the length of a number in bytes. Zero means 64. With a schema it must be 1 to 1000: exact arithmetic
	// on longer numbers is a way to burn time.
	NumberLen int
	// Exponent is the largest absolute exponent of a number. Zero means 400, beyond every float64. With a schema it
	// must be 1 to 1000: 1e10000000 makes the engine panic.
	Exponent int
	// InsecureAllowDuplicateKeys accepts two members of one name. Parsers disagree about which one counts; the schema
	// judges each, and counts and compares (minProperties, const, enum, uniqueItems) with both.
	InsecureAllowDuplicateKeys bool
	// InsecureAllowFoldCollisions accepts names that differ only by case, among siblings and from a name that the schema
	// declares for the object (for an Engine: for the top-level object). encoding/json, and so every Go upstream, takes
	// them for the same.
	InsecureAllowFoldCollisions bool
}

// maxNumber bounds NumberLen and Exponent when numbers go on to the schema engine.
const maxNumber = 1000

// Validator checks request bodies. Make it with [New]; it is safe for concurrent use, and changes only as a whole, by
// [Validator.Swap]. A nil or zero Validator refuses everything.
type Validator struct{ current atomic.Pointer[policy] }

// policy is one Config, checked and compiled. It is immutable.
type policy struct {
	schema  *compiled // nil without a schema
	limits  jsonscan.Limits
	maxBody int64
	gzip    gzipLimits
	types   []string
	accept  string
	methods []string
	require bool
	timeout time.Duration
	shadow  bool
	deny    func(http.ResponseWriter, *http.Request, error)
	log     *slog.Logger
}

// crossSite are the media types of forms, which browsers send to any site without a preflight request (Fetch standard,
// "CORS-safelisted request-header").
var crossSite = []string{"text/plain", "application/x-www-form-urlencoded", "multipart/form-data"}

// New checks cfg, compiles its schema and returns the Validator. The error joins all faults it found; it may quote the
// schema.
func New(cfg Config) (*Validator, error) {
	v := new(Validator)
	if err := v.Swap(cfg); err != nil {
		return nil, err
	}
	return v, nil
}

// Swap replaces everything that v checks by cfg, at once: a request is judged by the old Config or by the new one, never by
// parts of both. When cfg is faulty the error is as in [New] and v stays as it was. Swap may be called while v serves.
func (v *Validator) Swap(cfg Config) error {
	p, err := newPolicy(cfg)
	if err != nil {
		return err
	}
	v.current.Store(p)
	return nil
}

// policy returns what v checks now, nil for nothing.
func (v *Validator) policy() *policy {
	if v == nil {
		return nil
	}
	return v.current.Load()
}

// newPolicy checks and compiles a Config.
func newPolicy(cfg Config) (*policy, error) {
	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf("validate: "+format, a...)) }

	p := &policy{
		maxBody: cfg.MaxBody,
		require: cfg.RequireBody,
		timeout: cfg.ReadTimeout,
		shadow:  cfg.Shadow,
		deny:    cfg.Deny,
		log:     cfg.Logger,
		limits: jsonscan.Limits{
			Bytes: -1, // MaxBody decides
			Depth: cfg.Limits.Depth, Keys: cfg.Limits.Keys, TotalKeys: cfg.Limits.TotalKeys, KeyLen: cfg.Limits.KeyLen,
			ArrayLen: cfg.Limits.ArrayLen, StringLen: cfg.Limits.StringLen, Nodes: cfg.Limits.Nodes,
			NumberLen: cfg.Limits.NumberLen, Exponent: cfg.Limits.Exponent,
			AllowDuplicateKeys:  cfg.Limits.InsecureAllowDuplicateKeys,
			AllowFoldCollisions: cfg.Limits.InsecureAllowFoldCollisions,
		},
	}
	switch {
	case cfg.MaxBody < 0:
		fault("Config.MaxBody %d: a body must have a bound", cfg.MaxBody)
	case cfg.MaxBody >= math.MaxInt32:
		fault("Config.MaxBody %d: a body that is held in memory must fit 31 bits", cfg.MaxBody)
	case cfg.MaxBody == 0:
		p.maxBody = DefaultMaxBody
	}
	switch {
	case cfg.ReadTimeout < 0:
		fault("Config.ReadTimeout %v: a body must have a bound in time", cfg.ReadTimeout)
	case cfg.ReadTimeout == 0:
		p.timeout = DefaultReadTimeout
	}
	if p.types = slices.Clone(cfg.ContentTypes); len(p.types) == 0 {
		p.types = []string{"application/json"}
	}
	for _, t := range p.types {
		parsed, params, err := mime.ParseMediaType(t)
		switch {
		case err != nil || parsed != t || len(params) > 0 || strings.Contains(t, "*") || !strings.Contains(t, "/"):
			fault("Config.ContentTypes %q: want a media type in lower case without parameters or wildcards", t)
		case slices.Contains(crossSite, t):
			fault("Config.ContentTypes %q: browsers send this type to any site without asking", t)
		}
	}
	p.accept = strings.Join(p.types, ", ")
	gzip, err := newGzipLimits(cfg, p.maxBody)
	if err != nil {
		faults = append(faults, err)
	}
	p.gzip = gzip
	p.methods = slices.Clone(cfg.Methods)
	for _, m := range p.methods {
		if m == "" || strings.ToUpper(m) != m {
			fault("Config.Methods %q: want a method in upper case", m)
		}
	}
	if len(cfg.Schema) > 0 {
		if n := cfg.Limits.NumberLen; n < 0 || n > maxNumber {
			fault("Config.Limits.NumberLen %d: with a schema it must be at most %d", n, maxNumber)
		}
		if n := cfg.Limits.Exponent; n < 0 || n > maxNumber {
			fault("Config.Limits.Exponent %d: with a schema it must be at most %d", n, maxNumber)
		}
		p.schema, err = compile(&cfg)
		if several, ok := err.(interface{ Unwrap() []error }); ok {
			for _, e := range several.Unwrap() {
				fault("%w", e)
			}
		} else if err != nil {
			fault("%w", err)
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	return p, nil
}

// Check decides about the bytes of a body, after any decoding: nil, or an *Error. It is what [Validator.Handler] asks once
// the headers were found right and the body is there; it does no I/O. An empty body is refused, and so is one over MaxBody, or
// over MaxDecoded where Encodings are accepted and that is more.
func (v *Validator) Check(body []byte) error {
	p := v.policy()
	if p == nil {
		return refuse(deny.InternalError)
	}
	if int64(len(body)) > p.bound() {
		return refuse(deny.BodyTooLarge)
	}
	if e := p.judge(body, nil); e != nil {
		return e
	}
	return nil
}

// Clone returns a Validator with the Config of v as it is now. [Validator.Swap] of one does not change the other. The clone of a
// Validator that New did not make refuses everything.
func (v *Validator) Clone() *Validator {
	c := new(Validator)
	c.current.Store(v.policy())
	return c
}

// bound is the length that a body may have once it is decoded.
func (p *policy) bound() int64 {
	if p.gzip.accepted {
		return max(p.maxBody, p.gzip.max)
	}
	return p.maxBody
}

// judge decides about a body of any length: grammar and limits, and the schema along with it, in one pass. facts, unless nil,
// gather what other packages need.
func (p *policy) judge(body []byte, facts *dialect.Request) *Error {
	if len(body) == 0 {
		return emptyBody()
	}
	if p.schema == nil {
		if facts == nil {
			return p.scan(body, nil)
		}
		return p.scan(body, facts)
	}
	t := newPass(p.schema, &p.limits, facts)
	defer t.release()
	if e := p.scan(body, t.visitor()); e != nil {
		return e
	}
	return p.conform(body, t)
}

// emptyBody is the refusal of a body that is not there.
func emptyBody() *Error {
	e := refuse(deny.InvalidJSON)
	e.Message = "The request body is empty."
	return e
}

// scan is the one pass over the bytes: grammar and limits, with an optional visitor along.
func (p *policy) scan(body []byte, visitor jsonscan.Visitor) *Error {
	err := guarded(body, &p.limits, visitor)
	if err == nil {
		return nil
	}
	if err == schema.ErrRefused {
		return p.departs(body, visitor.(interface{ Failure() schema.Failure }).Failure())
	}
	var se *jsonscan.Error
	if !errors.As(err, &se) {
		e := refuse(deny.InvalidJSON) // a visitor that gave up: whatever it saw, it was not what it understands
		e.cause = err
		return e
	}
	e := refuse(deny.Code(se.Code))
	var vocab *vocabulary
	if p.schema != nil {
		vocab = p.schema.vocab
	}
	e.Pointer = vocab.pointerAt(body, se.Offset, se.Pointer)
	e.Keyword = se.Limit
	e.Message = sentence(se.Limit, deny.Code(se.Code))
	e.cause = err
	return e
}

// guarded is jsonscan.Scan that fails closed: a panic below, in a format of the schema library say, is an error without its
// text.
func guarded(body []byte, limits *jsonscan.Limits, visitor jsonscan.Visitor) (err error) {
	defer func() {
		if recover() != nil {
			err = errEngine
		}
	}()
	return jsonscan.Scan(body, limits, visitor)
}

// conform asks the engine about a body that scan accepted, with t along. A program has decided already.
func (p *policy) conform(body []byte, t *pass) *Error {
	if p.schema.engine == nil {
		return nil
	}
	doc, err := t.tape.tree(body)
	if err != nil {
		e := refuse(deny.InvalidJSON) // Limits.Depth is off, and the body goes down further than anybody may follow
		e.cause = err
		return e
	}
	if name, ok := p.schema.vocab.variant(doc); ok && !p.limits.AllowFoldCollisions {
		e := refuse(deny.SchemaViolation)
		e.Pointer, e.Keyword, e.Message, e.cause = "/"+masked, "case", sentence("case", deny.SchemaViolation), strangeMember(name)
		return e
	}
	bad, err := ask(p.schema.engine, doc)
	if bad == nil {
		return nil
	}
	e := refuse(deny.SchemaViolation)
	e.cause = err
	e.Pointer = p.schema.vocab.pointerInto(doc, bad.Path)
	if bad.Missing != "" {
		e.Pointer += "/" + p.schema.vocab.show(bad.Missing)
	}
	if s, ok := sentences[bad.Keyword]; ok {
		e.Keyword, e.Message = bad.Keyword, s
	}
	return e
}

// errEngine replaces whatever a panicking engine said.
var errEngine = errors.New("validate: the schema engine failed")

// ask fails closed: a panic of the engine is a violation.
func ask(c Checker, doc any) (v *Violation, err error) {
	defer func() {
		if recover() != nil {
			v, err = &Violation{}, errEngine
		}
	}()
	return c.Check(doc), nil
}

package upload

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/filetype"
)

// Type is a type of file. The zero Type is none.
type Type uint8

// The types that can be verified. What each verification proves is in the package comment.
const (
	PNG       = Type(filetype.PNG)       // .png; image/png, image/apng
	JPEG      = Type(filetype.JPEG)      // .jpg .jpeg; image/jpeg, image/jpg
	GIF       = Type(filetype.GIF)       // .gif; image/gif
	WebP      = Type(filetype.WebP)      // .webp; image/webp
	PDF       = Type(filetype.PDF)       // .pdf; application/pdf
	WAV       = Type(filetype.WAV)       // .wav; audio/wav, audio/x-wav, audio/wave, audio/vnd.wave
	MP3       = Type(filetype.MP3)       // .mp3 .mpga; audio/mpeg, audio/mp3
	M4A       = Type(filetype.M4A)       // .m4a; audio/mp4, audio/m4a, audio/x-m4a
	Ogg       = Type(filetype.Ogg)       // .ogg .oga .opus; audio/ogg, application/ogg, audio/opus
	FLAC      = Type(filetype.FLAC)      // .flac; audio/flac, audio/x-flac
	MP4       = Type(filetype.MP4)       // .mp4 .m4v; video/mp4, video/x-m4v
	WebM      = Type(filetype.WebM)      // .webm; video/webm, audio/webm
	Text      = Type(filetype.Text)      // .txt .text; text/plain
	Markdown  = Type(filetype.Markdown)  // .md .markdown; text/markdown, text/x-markdown
	CSV       = Type(filetype.CSV)       // .csv; text/csv, application/csv
	JSON      = Type(filetype.JSON)      // .json; application/json
	JSONLines = Type(filetype.JSONLines) // .jsonl .ndjson; application/jsonl, application/x-ndjson, application/x-jsonlines
	ZIP       = Type(filetype.ZIP)       // .zip; application/zip, application/x-zip-compressed
	DOCX      = Type(filetype.DOCX)      // .docx; application/vnd.openxmlformats-officedocument.wordprocessingml.document
	XLSX      = Type(filetype.XLSX)      // .xlsx; application/vnd.openxmlformats-officedocument.spreadsheetml.sheet
	PPTX      = Type(filetype.PPTX)      // .pptx; application/vnd.openxmlformats-officedocument.presentationml.presentation
)

// Images returns the types of pictures: PNG, JPEG, GIF and WebP.
func Images() []Type { return []Type{PNG, JPEG, GIF, WebP} }

// Sounds returns the types that speech recognition takes: WAV, MP3, M4A, Ogg, FLAC, MP4 and WebM.
func Sounds() []Type { return []Type{WAV, MP3, M4A, Ogg, FLAC, MP4, WebM} }

// String returns the short name of the type, such as "png".
func (t Type) String() string { return filetype.Type(t).String() }

// Extension returns the usual extension in lower case, without a dot.
func (t Type) Extension() string { return filetype.Type(t).Extension() }

// MediaType returns the registered media type.
func (t Type) MediaType() string { return filetype.Type(t).MediaType() }

// Defaults of [Config].
const (
	// DefaultMaxParts is the number of parts, files and fields together.
	DefaultMaxParts = 64
	// DefaultMaxFields is the number of parts that are no files.
	DefaultMaxFields = 32
	// DefaultMaxFile is the length of a file in bytes: 25 MiB, what the speech endpoints of model providers take.
	DefaultMaxFile = 25 << 20
	// DefaultMaxTotal is the length of the whole body in bytes.
	DefaultMaxTotal = 64 << 20
	// DefaultMaxField is the length of a field's value in bytes.
	DefaultMaxField = 32 << 10
	// DefaultMaxHeader is the length of all headers of a part in bytes.
	DefaultMaxHeader = 2 << 10
	// DefaultReadTimeout is the time a whole body may take to arrive: 64 MiB at 4.5 Mbit/s.
	DefaultReadTimeout = 2 * time.Minute
)

// bufferLen is the length of the window on the body. No header of a part may be longer.
const bufferLen = 16 << 10

// Config says what a form may hold. Allow must not be empty; every other zero field is the safe default.
type Config struct {
	// Allow lists the types of files. A file is taken when its extension, the type its part declares and its bytes all say
	// the same type of this list.
	Allow []Type
	// Limits bounds what the files may unfold to. Zero fields mean their defaults.
	Limits Limits
	// MaxParts bounds the number of parts. Zero means DefaultMaxParts.
	MaxParts int
	// MaxFields bounds the number of parts that are no files. Zero means DefaultMaxFields.
	MaxFields int
	// MaxFile bounds the length of a file in bytes. Zero means DefaultMaxFile.
	MaxFile int64
	// MaxTotal bounds the length of the body in bytes, boundaries and headers included. An announced length over it is
	// refused before the first byte is read. Zero means DefaultMaxTotal.
	MaxTotal int64
	// MaxField bounds the length of a field's value in bytes. A value is held in memory until it is whole. Zero means
	// DefaultMaxField.
	MaxField int
	// MaxHeader bounds the length of the headers of a part in bytes, at most 8 KiB. Zero means DefaultMaxHeader.
	MaxHeader int
	// Names lists the names that parts may have. Empty means all.
	Names []string
	// Repeat lists the names that several parts may share, such as "image[]". Readers disagree about which of two parts of
	// one name counts, so that all others are refused.
	Repeat []string
	// SkipMissingType takes a file whose part declares no type, or application/octet-stream, by its extension and its bytes
	// alone. Some client libraries declare none: Python's requests with files={"file": open(...)} (there the remedy of a client
	// is files={"file": (name, data, "image/png")}), mime/multipart's CreateFormFile, curl for extensions it does not know.
	SkipMissingType bool
	// SkipInnerExtensions takes names such as a.php.png. With random names it matters only to what reads [Part].Original; with
	// KeepNames such a file may run as a program below a web server that looks at every extension.
	SkipInnerExtensions bool
	// KeepNames hands the client's file name on, once it has passed the rules, instead of a random one. The extension is the
	// usual one of the type in either case.
	KeepNames bool
	// ReadTimeout bounds the time from the first read of the body to its end, through http.ResponseController; the server's
	// own ReadTimeout applies when it is shorter. Zero means DefaultReadTimeout. A ResponseWriter without deadlines
	// (httptest.ResponseRecorder) has no such bound.
	ReadTimeout time.Duration
	// Shadow lets every request pass untouched and only records what would have been refused (log, findings of the audit
	// record), as far as the handler reads the body. [From] then finds no form.
	Shadow bool
	// Deny replaces the reply to a refused request, unless an outer sanitize.Errors decides. errors.As finds the *Error in
	// err. nil means the standard reply.
	Deny func(w http.ResponseWriter, r *http.Request, err error)
	// Logger gets one record per refusal, at Debug, without any value of the request. nil means what slog.Default returns at
	// that moment.
	Logger *slog.Logger
}

// Limits bounds what files may unfold to. A zero field means its default; a negative one is refused by [New].
type Limits struct {
	// Pixels is the width times the height of a picture. Zero means 50,000,000: the largest picture that common telephones
	// take (8160 by 6120), 200 MB as RGBA. The frames of an animation may have ten times that together.
	Pixels int64
	// Frames is the number of frames of an animation. Zero means 1,000.
	Frames int
	// Entries is the number of entries of an archive, at most and by default 4,096.
	Entries int
	// Unpacked is the sum of the sizes of an archive's entries in bytes. Zero means 1 GiB.
	Unpacked int64
	// Ratio is how many times larger than its compressed form an entry of more than 100 KiB may be. Zero means 100, as in
	// Apache POI.
	Ratio int64
	// Document is the length in bytes of a JSON file and of a line of JSON Lines, which are held in memory. Zero means 1 MiB.
	Document int
}

// Inspector checks forms. Make it with [New]; it is immutable and safe for concurrent use. A nil or zero Inspector refuses
// everything.
type Inspector struct {
	cfg        Config
	allow      [256]bool
	limits     filetype.Limits
	configured bool
}

// New checks cfg and returns the Inspector. The error joins all faults it found.
func New(cfg Config) (*Inspector, error) {
	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf("upload: Config."+format, a...)) }
	in := &Inspector{cfg: cfg}
	c := &in.cfg
	c.Allow, c.Names, c.Repeat = slices.Clone(cfg.Allow), slices.Clone(cfg.Names), slices.Clone(cfg.Repeat)

	if len(c.Allow) == 0 {
		fault("Allow: name the types of files to take")
	}
	for _, t := range c.Allow {
		if t.Extension() == "" {
			fault("Allow: %d is no type", t)
		}
		in.allow[t] = true
	}
	for _, f := range []struct {
		name      string
		value     int64
		set       func(int64)
		def, most int64
	}{
		{"MaxParts", int64(c.MaxParts), func(n int64) { c.MaxParts = int(n) }, DefaultMaxParts, 10_000},
		{"MaxFields", int64(c.MaxFields), func(n int64) { c.MaxFields = int(n) }, DefaultMaxFields, 10_000},
		{"MaxFile", c.MaxFile, func(n int64) { c.MaxFile = n }, DefaultMaxFile, 1 << 50},
		{"MaxTotal", c.MaxTotal, func(n int64) { c.MaxTotal = n }, DefaultMaxTotal, 1 << 50},
		{"MaxField", int64(c.MaxField), func(n int64) { c.MaxField = int(n) }, DefaultMaxField, 16 << 20},
		{"MaxHeader", int64(c.MaxHeader), func(n int64) { c.MaxHeader = int(n) }, DefaultMaxHeader, bufferLen / 2},
		{"ReadTimeout", int64(c.ReadTimeout), func(n int64) { c.ReadTimeout = time.Duration(n) }, int64(DefaultReadTimeout), 1 << 62},
		{"Limits.Pixels", c.Limits.Pixels, func(int64) {}, 1, 1 << 50},
		{"Limits.Frames", int64(c.Limits.Frames), func(int64) {}, 1, 1 << 30},
		{"Limits.Entries", int64(c.Limits.Entries), func(int64) {}, 1, 4096},
		{"Limits.Unpacked", c.Limits.Unpacked, func(int64) {}, 1, 1 << 50},
		{"Limits.Ratio", c.Limits.Ratio, func(int64) {}, 1, 1 << 30},
		{"Limits.Document", int64(c.Limits.Document), func(int64) {}, 1, 64 << 20},
	} {
		switch {
		case f.value < 0 || f.value > f.most:
			fault("%s %d: want 1 to %d", f.name, f.value, f.most)
		case f.value == 0:
			f.set(f.def)
		}
	}
	for _, s := range append(slices.Clone(c.Names), c.Repeat...) {
		if badFieldName(s) {
			fault("Names, Repeat %q: no name that a part may have", s)
		}
	}
	for _, s := range c.Repeat {
		if len(c.Names) > 0 && !slices.Contains(c.Names, s) {
			fault("Repeat %q: not among Names", s)
		}
	}
	if len(faults) > 0 {
		return nil, errors.Join(faults...)
	}
	in.limits = filetype.Limits(c.Limits)
	in.configured = true
	return in, nil
}

// Check reads a whole form and decides about it: nil, or an *[Error]. contentType is the value of the Content-Type header.
func (in *Inspector) Check(contentType string, body io.Reader) error {
	f, err := in.Open(contentType, body)
	for err == nil {
		var p *Part
		if p, err = f.Next(); err == nil {
			_, err = io.Copy(io.Discard, p)
		}
	}
	if err == io.EOF {
		return nil
	}
	return err
}

// Open returns the parts of a form as they come. The error is an *[Error]. It reads nothing yet.
func (in *Inspector) Open(contentType string, body io.Reader) (*Form, error) {
	if in == nil || !in.configured {
		return nil, refuse(deny.InternalError, "", "")
	}
	boundary, ok := parseFormType(contentType)
	if !ok {
		e := refuse(deny.UnsupportedMediaType, "Content-Type", "The request body must be multipart/form-data with one boundary.")
		e.header = http.Header{"Accept": {"multipart/form-data"}} // RFC 9110 section 15.5.16
		return nil, e
	}
	return &Form{in: in, r: reader{src: body, max: in.cfg.MaxTotal, delim: []byte("\r\n--" + boundary)}}, nil
}

package validate

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"sync"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/filetype"
)

// gzipLimits bounds what a body under gzip may become. The zero gzipLimits accepts none.
type gzipLimits struct {
	accepted bool
	max      int64 // bytes after decoding
	ratio    int64
	members  int
}

const (
	defaultRatio   = 100
	defaultMembers = 1
	// ratioGrace is how many bytes a coded body may become whatever the ratio.
	ratioGrace = 64 << 10
	// followed is the size in bytes from which a coded body is looked through before it is decoded; below, no more than some
	// 3,000 blocks fit.
	followed = 32 << 10
	// deflateRatio is what DEFLATE cannot exceed, rounded up: a larger MaxRatio bounds nothing.
	deflateRatio = 1100
)

func newGzipLimits(cfg Config, maxBody int64) (gzipLimits, error) {
	var faults []error
	fault := func(format string, a ...any) { faults = append(faults, fmt.Errorf("validate: "+format, a...)) }
	for _, c := range cfg.Encodings {
		if c != "gzip" {
			fault("Config.Encodings %q: only \"gzip\" can be decoded", c)
		}
	}
	if cfg.MaxDecoded < 0 || cfg.MaxDecoded >= math.MaxInt32 {
		fault("Config.MaxDecoded %d: a body must have a bound, and fit 31 bits", cfg.MaxDecoded)
	}
	if cfg.MaxRatio < 0 {
		fault("Config.MaxRatio %d: a coded body must have a bound", cfg.MaxRatio)
	}
	if cfg.MaxMembers < 0 {
		fault("Config.MaxMembers %d: a coded body must have a bound", cfg.MaxMembers)
	}
	l := gzipLimits{accepted: len(cfg.Encodings) > 0, max: cfg.MaxDecoded, ratio: int64(min(cfg.MaxRatio, deflateRatio)), members: cfg.MaxMembers}
	if l.max == 0 {
		l.max = maxBody
	}
	if l.ratio == 0 {
		l.ratio = defaultRatio
	}
	if l.members == 0 {
		l.members = defaultMembers
	}
	return l, errors.Join(faults...)
}

var errBlocks = errors.New("validate: no DEFLATE stream, or one of little more than block headers")

// unzipper reads one gzip file from memory. Its window and tables are worth keeping, some 40 KB.
type unzipper struct {
	from    bytes.Reader
	zip     gzip.Reader
	deflate filetype.Deflate
}

var unzippers = sync.Pool{New: func() any { return new(unzipper) }}

// decode returns what data, which is one whole body, holds. It never makes more than the limits allow: the size of data
// is known, so that the ratio comes down to one number of bytes before the first is decoded.
func (l gzipLimits) decode(data []byte) ([]byte, *Error) {
	u := unzippers.Get().(*unzipper)
	defer func() {
		u.from.Reset(nil) // a pooled reader must not hold on to a body
		u.zip.Header = gzip.Header{}
		unzippers.Put(u)
	}()
	u.from.Reset(data)
	limit := min(l.max, max(ratioGrace, l.ratio*int64(len(data))))

	// The last four bytes say how long the text is (RFC 1952 section 2.3.1). A lie costs no more than the truth would.
	size := int64(512)
	if len(data) >= 4 {
		size = max(size, int64(binary.LittleEndian.Uint32(data[len(data)-4:])))
	}
	out := make([]byte, 0, min(size, limit)+1) // one more byte shows the end, or the one too many
	for members := 1; ; members++ {
		if members > l.members {
			return nil, limitError("MaxMembers")
		}
		if err := u.zip.Reset(&u.from); err != nil {
			return nil, notGzip(err)
		}
		u.zip.Multistream(false) // or it would go through any number of members by itself
		if left := data[len(data)-u.from.Len():]; len(left) > followed {
			// The reader has stopped where the header ends. Look before decoding: blocks that hold nothing cost time, not bytes.
			size, ok := u.deflate.Size(left, limit-int64(len(out)))
			if !ok {
				return nil, notGzip(errBlocks)
			}
			if n := int64(len(out)) + size; n <= limit && n >= int64(cap(out)) {
				out = append(make([]byte, 0, n+1), out...)
			}
		}
		for {
			if len(out) == cap(out) {
				out = append(make([]byte, 0, min(2*int64(cap(out)), limit+1)), out...)
			}
			n, err := u.zip.Read(out[len(out):cap(out)])
			out = out[:len(out)+n]
			if int64(len(out)) > limit {
				if limit < l.max {
					return nil, limitError("MaxRatio")
				}
				return nil, refuse(deny.BodyTooLarge)
			}
			if err == io.EOF { // length and checksum were right
				break
			}
			if err != nil {
				return nil, notGzip(err)
			}
		}
		if u.from.Len() == 0 {
			return out, nil
		}
	}
}

// limitError is the refusal of a limit on the coding.
func limitError(limit string) *Error {
	e := refuse(deny.LimitExceeded)
	e.Keyword, e.Message = limit, sentence(limit, deny.LimitExceeded)
	return e
}

// notGzip is the refusal of a body that is not what its Content-Encoding says, or goes on after the end.
func notGzip(cause error) *Error {
	e := refuse(deny.InvalidJSON)
	e.Message = "The request body is not in the content coding that it names."
	e.cause = cause
	return e
}

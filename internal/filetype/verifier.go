package filetype

import (
	"hash/crc32"
	"strconv"
)

// Kind says what a refusal is about. The zero Kind is none.
type Kind uint8

const (
	_ Kind = iota
	// Malformed means that the bytes break the grammar of the claimed type: they are not such a file.
	Malformed
	// Truncated means that the file ends before its format does.
	Truncated
	// Trailing means that bytes follow the end of the format.
	Trailing
	// TooBig means that a limit of [Limits] is exceeded.
	TooBig
	// Polyglot means that the file can be read as a second format too.
	Polyglot
	// Forbidden means that the file is what it claims, and holds what no file may: encrypted entries, paths that leave the
	// archive, macros, programs, markup where text was claimed.
	Forbidden
)

// String names the kind.
func (k Kind) String() string {
	return [...]string{"none", "malformed", "truncated", "trailing data", "too big", "polyglot", "forbidden"}[k]
}

// Error says why a file is not what it claims to be. It holds no byte of the file.
type Error struct {
	// Type is the claimed type.
	Type Type
	// Kind is what the refusal is about.
	Kind Kind
	// Offset is the number of bytes after which it was certain.
	Offset int64
	// Reason is a fixed phrase of this package.
	Reason string
}

// Error returns the type, the reason and the offset.
func (e *Error) Error() string {
	return "filetype: " + e.Type.String() + ": " + e.Reason + " at byte " + strconv.FormatInt(e.Offset, 10)
}

// A machine is the grammar of one type. Before it gets bytes it says how many it wants ([Verifier.take], [Verifier.pass]), and
// then it is given exactly these: so it cannot see how the bytes arrived.
type machine interface {
	// next looks at the bytes asked for and asks for more.
	next(v *Verifier, b []byte) error
	// close is asked at the end of the file, when no field stands half read.
	close(v *Verifier) error
}

// A scanner is a machine with stretches that have no length: with take(0) it is given what there is, piece by piece.
type scanner interface {
	machine
	// scan consumes a part of p, at least one byte unless it asked for a field by [Verifier.take], and returns how much.
	scan(v *Verifier, p []byte) (int, error)
}

// fieldMax is the longest field that a machine may ask for.
const fieldMax = 1024

// Verifier verifies that a stream of bytes is a file of one type. Make it with [New]. Write the bytes in pieces of any size,
// then ask [Verifier.Close] for the verdict. It is not safe for concurrent use, starts nothing and need not be closed.
type Verifier struct {
	typ  Type
	lim  Limits
	m    machine
	scan scanner // m, when it is one
	err  error

	off  int64  // bytes seen
	skip int64  // bytes to pass over before the next field
	want int    // length of the next field; 0 for a scan
	have int    // bytes of the field in buf
	done bool   // the format has ended
	sum  bool   // skipped bytes go into crc
	crc  uint32 // CRC-32 of PNG and ZIP
	buf  [fieldMax]byte

	frames      int
	totalPixels int64
	canvas      int64 // pixels of the whole picture that frames are parts of

	poly polyglot
}

// New returns a Verifier for a file that claims to be of type t. For None, or a Type that does not exist, everything is
// refused.
func New(t Type, lim Limits) *Verifier {
	v := new(Verifier)
	v.Reset(t, lim)
	return v
}

// Reset makes v ready for another file.
func (v *Verifier) Reset(t Type, lim Limits) {
	*v = Verifier{typ: t, lim: lim.resolved()}
	v.poly.reset(t)
	v.m = newMachine(t)
	v.scan, _ = v.m.(scanner)
	if v.m == nil {
		v.err = v.refuse(Malformed, "no such type")
		return
	}
	if err := v.m.next(v, nil); err != nil {
		v.err = err
	}
}

// take asks for a field of n bytes, at most fieldMax. 0 asks for a scan.
func (v *Verifier) take(n int) { v.want, v.have = n, 0 }

// pass asks that n bytes are passed over before the next field.
func (v *Verifier) pass(n int64) { v.skip = n }

// finish says that the format is complete: any byte more is refused.
func (v *Verifier) finish() { v.done, v.want, v.have = true, 0, 0 }

// refuse makes the error for the place reached.
func (v *Verifier) refuse(k Kind, reason string) error {
	return &Error{Type: v.typ, Kind: k, Offset: v.off, Reason: reason}
}

func (v *Verifier) malformed(reason string) error { return v.refuse(Malformed, reason) }

// Write takes the next bytes. Its error, an *[Error], says that the file is refused, whatever may follow; the same error is
// then returned by every later call. It does not keep p.
func (v *Verifier) Write(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	n := len(p)
	for len(p) > 0 {
		// Of two reasons the one that is certain first counts, so that the reason too is the same for every split.
		at, foreign := v.poly.look(p)
		if err := v.feed(p[:at]); err != nil {
			v.err = err
			return 0, err
		}
		if foreign != "" {
			v.err = v.refuse(Polyglot, foreign)
			return 0, v.err
		}
		p = p[at:]
	}
	return n, nil
}

// feed hands p to the machine, field by field.
func (v *Verifier) feed(p []byte) error {
	for len(p) > 0 {
		switch {
		case v.skip > 0:
			n := len(p)
			if int64(n) > v.skip {
				n = int(v.skip)
			}
			if v.sum {
				v.crc = crc32.Update(v.crc, crc32.IEEETable, p[:n])
			}
			v.skip -= int64(n)
			v.off += int64(n)
			p = p[n:]
		case v.done:
			v.off++
			return v.refuse(Trailing, "data after the end")
		case v.want == 0:
			n, err := v.scan.scan(v, p)
			if err != nil {
				return err
			}
			p = p[n:]
		default:
			n := copy(v.buf[v.have:v.want], p)
			v.have += n
			v.off += int64(n)
			p = p[n:]
			if v.have == v.want {
				if err := v.m.next(v, v.buf[:v.want]); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// Close gives the verdict on the whole file: nil, or an *[Error].
func (v *Verifier) Close() error {
	if v.err != nil {
		return v.err
	}
	switch {
	case v.off == 0:
		v.err = v.refuse(Truncated, "empty file")
	case v.skip > 0 || v.have > 0 && !v.done:
		v.err = v.refuse(Truncated, "file ends inside a field")
		if p, ok := v.m.(partial); ok && !v.done {
			v.err = p.partial(v, v.buf[:v.have])
		}
	default:
		v.err = v.m.close(v)
	}
	if v.err == nil {
		if foreign := v.poly.close(v.off); foreign != "" {
			v.err = v.refuse(Polyglot, foreign)
		}
	}
	return v.err
}

// A partial machine knows files that end inside a field.
type partial interface {
	partial(v *Verifier, b []byte) error
}

// ended is the close of a format that marks its end.
func (v *Verifier) ended() error {
	if v.done {
		return nil
	}
	return v.refuse(Truncated, "file ends before its format does")
}

// picture checks the size of a canvas in pixels.
func (v *Verifier) picture(w, h int64) error {
	if w <= 0 || h <= 0 {
		return v.malformed("picture without an extent")
	}
	if w > v.lim.Pixels || h > v.lim.Pixels/w {
		return v.refuse(TooBig, "too many pixels")
	}
	return nil
}

// frame counts one picture of an animation. All frames together may have framesFactor times the pixels of one picture, since
// there are decoders that unfold them all; and each to the whole canvas, however small the part is that it changes.
func (v *Verifier) frame(w, h int64) error {
	if err := v.picture(w, h); err != nil {
		return err
	}
	v.frames++
	v.totalPixels += max(w*h, v.canvas)
	if v.frames > v.lim.Frames {
		return v.refuse(TooBig, "too many frames")
	}
	if v.frames > 1 && v.totalPixels/framesFactor > v.lim.Pixels {
		return v.refuse(TooBig, "too many pixels in all frames")
	}
	return nil
}

const framesFactor = 10

// Verify is a Verifier for a file that is in memory.
func Verify(t Type, data []byte, lim Limits) error {
	v := New(t, lim)
	v.Write(data) // Close repeats its error
	return v.Close()
}

func newMachine(t Type) machine {
	switch t {
	case PNG:
		return new(png)
	case JPEG:
		return new(jpeg)
	case GIF:
		return new(gif)
	case WebP:
		return new(webp)
	case PDF:
		return new(pdf)
	case WAV:
		return new(wav)
	case MP3:
		return new(mp3)
	case M4A, MP4:
		return new(mp4)
	case Ogg:
		return new(ogg)
	case FLAC:
		return new(flac)
	case WebM:
		return new(webm)
	case Text, Markdown, CSV:
		return new(text)
	case JSON, JSONLines:
		return new(jsonText)
	case ZIP, DOCX, XLSX, PPTX:
		return new(zip)
	}
	return nil
}

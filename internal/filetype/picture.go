package filetype

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
)

var (
	be = binary.BigEndian
	le = binary.LittleEndian
)

// png is PNG, third edition (W3C, 2025): signature, chunks with their checksums, IEND, nothing more.
type png struct {
	state    uint8
	kind     [4]byte
	started  bool // IHDR was first
	data     bool // an IDAT was seen
	animated bool
}

const (
	pngStart = iota
	pngSignature
	pngHeader // length and name of a chunk
	pngBody   // a body that is looked at
	pngSum    // the checksum behind a body
)

func (m *png) next(v *Verifier, b []byte) error {
	switch m.state {
	case pngStart:
		m.state = pngSignature
		v.take(8)
	case pngSignature:
		if string(b) != "\x89PNG\r\n\x1a\n" {
			return v.malformed("wrong signature")
		}
		m.state = pngHeader
		v.take(8)
	case pngHeader:
		return m.chunk(v, b)
	case pngBody:
		v.crc = crc32.Update(v.crc, crc32.IEEETable, b)
		if err := m.body(v, b); err != nil {
			return err
		}
		m.state = pngSum
		v.take(4)
	case pngSum:
		v.sum = false
		if be.Uint32(b) != v.crc {
			return v.malformed("wrong checksum")
		}
		if string(m.kind[:]) == "IEND" {
			v.finish()
			return nil
		}
		m.state = pngHeader
		v.take(8)
	}
	return nil
}

func (m *png) chunk(v *Verifier, b []byte) error {
	size := be.Uint32(b)
	copy(m.kind[:], b[4:])
	kind := string(b[4:])
	for _, c := range b[4:] {
		if c|0x20 < 'a' || c|0x20 > 'z' {
			return v.malformed("impossible name of a chunk")
		}
	}
	if size > 1<<31-1 {
		return v.malformed("impossible length of a chunk")
	}
	v.crc = crc32.ChecksumIEEE(b[4:])
	if !m.started {
		if kind != "IHDR" {
			return v.malformed("first chunk is not IHDR")
		}
		m.started = true
	} else if kind == "IHDR" {
		return v.malformed("second IHDR")
	}
	want := -1
	switch kind {
	case "IHDR":
		want = 13
	case "acTL":
		want = 8
	case "fcTL":
		want = 26
	case "IEND":
		if size != 0 || !m.data {
			return v.malformed("IEND without a picture, or with a body")
		}
	case "IDAT":
		m.data = true
	case "PLTE":
		if size == 0 || size > 768 || size%3 != 0 {
			return v.malformed("impossible palette")
		}
	default:
		if kind[0] < 'a' {
			return v.malformed("unknown critical chunk")
		}
	}
	if want >= 0 {
		if int(size) != want {
			return v.malformed("chunk of the wrong length")
		}
		m.state = pngBody
		v.take(want)
		return nil
	}
	m.state = pngSum
	v.sum = true
	v.pass(int64(size))
	v.take(4)
	return nil
}

func (m *png) body(v *Verifier, b []byte) error {
	switch string(m.kind[:]) {
	case "IHDR":
		depth, colour := b[8], b[9]
		ok := false
		switch colour {
		case 0:
			ok = depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16
		case 3:
			ok = depth == 1 || depth == 2 || depth == 4 || depth == 8
		case 2, 4, 6:
			ok = depth == 8 || depth == 16
		}
		if !ok || b[10] != 0 || b[11] != 0 || b[12] > 1 {
			return v.malformed("impossible header")
		}
		w, h := int64(be.Uint32(b)), int64(be.Uint32(b[4:]))
		if err := v.picture(w, h); err != nil {
			return err
		}
		v.canvas = w * h
	case "acTL":
		if m.animated || m.data {
			return v.malformed("misplaced animation header")
		}
		m.animated = true
		if n := be.Uint32(b); n == 0 {
			return v.malformed("animation without frames")
		} else if int64(n) > int64(v.lim.Frames) {
			return v.refuse(TooBig, "too many frames")
		}
	case "fcTL":
		return v.frame(int64(be.Uint32(b[4:])), int64(be.Uint32(b[8:])))
	}
	return nil
}

func (m *png) close(v *Verifier) error { return v.ended() }

// jpeg is ITU-T T.81: markers and segments, one frame header of the three processes that decoders have, scans, EOI. Pictures of
// a multi-picture file (CIPA DC-007), which telephones write, follow one another when the first one announces them.
type jpeg struct {
	state  uint8
	marker byte
	framed bool
	scans  int
	multi  bool // announced by an APP2 segment "MPF"
	whole  bool // at least one picture is complete
	size   int64
	ff     bool // the last byte of the scan so far was 0xFF
}

const (
	jpegStart = iota
	jpegSOI
	jpegMarker
	jpegFill // the byte after 0xFF 0xFF
	jpegLength
	jpegFrame
	jpegApp
	jpegScanHeader
	jpegScan
)

// maxScans is the number of scans of a progressive picture. Encoders write about ten; each costs the decoder a pass over the
// whole picture, however short it is. libjpeg-turbo's own fuzzers give up at 500.
const maxScans = 100

func (m *jpeg) next(v *Verifier, b []byte) error {
	switch m.state {
	case jpegStart:
		m.state = jpegSOI
		v.take(2)
	case jpegSOI:
		if b[0] != 0xFF || b[1] != 0xD8 {
			if m.whole {
				return v.refuse(Trailing, "data after the end")
			}
			return v.malformed("wrong signature")
		}
		if m.whole {
			if v.frames++; v.frames >= v.lim.Frames {
				return v.refuse(TooBig, "too many frames")
			}
		}
		m.framed, m.scans = false, 0
		m.state = jpegMarker
		v.take(2)
	case jpegMarker:
		if b[0] != 0xFF {
			return v.malformed("no marker where one must be")
		}
		return m.mark(v, b[1])
	case jpegFill:
		return m.mark(v, b[0])
	case jpegLength:
		return m.segment(v, int64(be.Uint16(b)))
	case jpegFrame:
		parts := int64(b[5])
		if m.size != 6+3*parts || parts != 1 && parts != 3 && parts != 4 || b[0] != 8 && (b[0] != 12 || m.marker != 0xC1) {
			return v.malformed("impossible frame header")
		}
		m.framed = true
		m.state = jpegMarker
		v.pass(m.size - 6)
		v.take(2)
		w, h := int64(be.Uint16(b[3:])), int64(be.Uint16(b[1:]))
		if err := v.picture(w, h); err != nil {
			return err
		}
		if v.totalPixels += w * h; v.totalPixels/framesFactor > v.lim.Pixels {
			return v.refuse(TooBig, "too many pixels in all frames")
		}
	case jpegApp:
		m.multi = m.multi || string(b) == "MPF\x00"
		m.state = jpegMarker
		v.pass(m.size - 4)
		v.take(2)
	case jpegScanHeader:
		n := int64(b[0])
		if n < 1 || n > 4 || m.size != 4+2*n {
			return v.malformed("impossible scan header")
		}
		m.state, m.ff = jpegScan, false
		v.pass(m.size - 1)
		v.take(0)
	}
	return nil
}

// mark decides by the byte after 0xFF.
func (m *jpeg) mark(v *Verifier, c byte) error {
	m.marker = c
	switch {
	case c == 0xFF: // fill bytes may precede a marker
		m.state = jpegFill
		v.take(1)
	case c == 0xD9:
		if m.scans == 0 {
			return v.malformed("end without a picture")
		}
		m.whole = true
		if !m.multi {
			v.finish()
			return nil
		}
		m.state = jpegSOI
		v.take(2)
	case c >= 0xC0 && c <= 0xC2, c == 0xC4, c >= 0xDA && c <= 0xDD, c >= 0xE0 && c <= 0xEF, c == 0xFE:
		m.state = jpegLength
		v.take(2)
	case c >= 0xC3 && c <= 0xCF:
		return v.malformed("unusual coding process")
	default:
		return v.malformed("impossible marker")
	}
	return nil
}

func (m *jpeg) segment(v *Verifier, size int64) error {
	if size < 2 {
		return v.malformed("impossible length of a segment")
	}
	m.size = size - 2
	m.state = jpegMarker
	switch c := m.marker; {
	case c >= 0xC0 && c <= 0xC2:
		if m.framed || m.size < 6 {
			return v.malformed("impossible frame header")
		}
		m.state = jpegFrame
		v.take(6)
		return nil
	case c == 0xDA:
		if !m.framed || m.size < 6 {
			return v.malformed("scan before the frame header, or too short")
		}
		if m.scans++; m.scans > maxScans {
			return v.refuse(TooBig, "too many scans")
		}
		m.state = jpegScanHeader
		v.take(1)
		return nil
	case c == 0xE2 && m.size >= 4:
		m.state = jpegApp
		v.take(4)
		return nil
	}
	v.pass(m.size)
	v.take(2)
	return nil
}

// scan passes over coded data: it ends at 0xFF followed by anything but a stuffed zero, a restart marker or another 0xFF.
func (m *jpeg) scan(v *Verifier, p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if !m.ff {
			i := bytes.IndexByte(p[n:], 0xFF)
			if i < 0 {
				n = len(p)
				break
			}
			n += i + 1
			m.ff = true
			continue
		}
		c := p[n]
		n++
		if c == 0xFF {
			continue
		}
		m.ff = false
		if c != 0 && (c < 0xD0 || c > 0xD7) {
			v.off += int64(n)
			return n, m.mark(v, c)
		}
	}
	v.off += int64(n)
	return n, nil
}

func (m *jpeg) close(v *Verifier) error {
	if v.done || m.whole && m.state == jpegSOI {
		return nil
	}
	return v.refuse(Truncated, "file ends before its format does")
}

// gif is GIF87a and GIF89a: screen, blocks, trailer.
type gif struct{ state uint8 }

const (
	gifStart = iota
	gifHeader
	gifBlock
	gifLabel
	gifImage
	gifCode
	gifSub
)

func (m *gif) next(v *Verifier, b []byte) error {
	switch m.state {
	case gifStart:
		m.state = gifHeader
		v.take(13)
	case gifHeader:
		if s := string(b[:6]); s != "GIF87a" && s != "GIF89a" {
			return v.malformed("wrong signature")
		}
		m.state = gifBlock
		v.pass(colourTable(b[10]))
		v.take(1)
		w, h := int64(le.Uint16(b[6:])), int64(le.Uint16(b[8:]))
		v.canvas = w * h
		return v.picture(w, h)
	case gifBlock:
		switch b[0] {
		case ',':
			m.state = gifImage
			v.take(9)
		case '!':
			m.state = gifLabel
			v.take(1)
		case ';':
			if v.frames == 0 {
				return v.malformed("no picture")
			}
			v.finish()
		default:
			return v.malformed("impossible block")
		}
	case gifLabel:
		switch b[0] {
		case 0x01, 0xF9, 0xFE, 0xFF: // plain text, graphic control, comment, application
		default:
			return v.malformed("unknown extension")
		}
		m.state = gifSub
		v.take(1)
	case gifImage:
		m.state = gifCode
		v.pass(colourTable(b[8]))
		v.take(1)
		return v.frame(int64(le.Uint16(b[4:])), int64(le.Uint16(b[6:])))
	case gifCode:
		if b[0] < 2 || b[0] > 8 {
			return v.malformed("impossible code size")
		}
		m.state = gifSub
		v.take(1)
	case gifSub:
		if b[0] == 0 {
			m.state = gifBlock
		}
		v.pass(int64(b[0]))
		v.take(1)
	}
	return nil
}

// colourTable returns the length of the table that flags announce.
func colourTable(flags byte) int64 {
	if flags&0x80 == 0 {
		return 0
	}
	return 3 << (flags&7 + 1)
}

func (m *gif) close(v *Verifier) error { return v.ended() }

// webp is RFC 9649: a RIFF container whose length is that of the file, with one bit stream or a described set of chunks.
type webp struct {
	state    uint8
	left     int64 // bytes of the file still to come, after the chunk at hand
	inner    int64 // bytes of the frame (ANMF) still to come, -1 outside
	size     int64 // of the chunk at hand, with its padding
	kind     string
	extended bool
	animated bool
	images   int // bit streams outside of frames
	streams  int // bit streams in the frame at hand
	w, h     int64
	fw, fh   int64 // of the frame at hand
}

const (
	webpStart = iota
	webpRIFF
	webpChunk
	webpLossy
	webpLossless
	webpExtended
	webpFrame
)

func (m *webp) next(v *Verifier, b []byte) error {
	switch m.state {
	case webpStart:
		m.state, m.inner = webpRIFF, -1
		v.take(12)
	case webpRIFF:
		if string(b[:4]) != "RIFF" || string(b[8:]) != "WEBP" {
			return v.malformed("wrong signature")
		}
		size := int64(le.Uint32(b[4:]))
		if size < 4+8 || size%2 != 0 {
			return v.malformed("impossible length")
		}
		m.left = size - 4
		m.state = webpChunk
		v.take(8)
	case webpChunk:
		return m.chunk(v, b)
	case webpLossy:
		if b[0]&1 != 0 || b[3] != 0x9D || b[4] != 0x01 || b[5] != 0x2A {
			return v.malformed("not a key frame of VP8")
		}
		return m.image(v, 10, int64(le.Uint16(b[6:])&0x3FFF), int64(le.Uint16(b[8:])&0x3FFF))
	case webpLossless:
		bits := le.Uint32(b[1:])
		if b[0] != 0x2F || bits>>29 != 0 {
			return v.malformed("not a picture of VP8L")
		}
		return m.image(v, 5, int64(bits&0x3FFF)+1, int64(bits>>14&0x3FFF)+1)
	case webpExtended:
		m.animated = b[0]&0x02 != 0
		m.w, m.h = int64(uint24(b[4:]))+1, int64(uint24(b[7:]))+1
		if err := v.picture(m.w, m.h); err != nil {
			return err
		}
		v.canvas = m.w * m.h
		return m.rest(v, 10)
	case webpFrame:
		m.fw, m.fh = int64(uint24(b[6:]))+1, int64(uint24(b[9:]))+1
		if 2*int64(uint24(b))+m.fw > m.w || 2*int64(uint24(b[3:]))+m.fh > m.h {
			return v.malformed("frame outside of the canvas")
		}
		if err := v.frame(m.fw, m.fh); err != nil {
			return err
		}
		m.inner, m.streams = m.size-16, 0
		m.state = webpChunk
		v.take(8)
	}
	return nil
}

func (m *webp) chunk(v *Verifier, b []byte) error {
	m.kind = string(b[:4])
	size := int64(le.Uint32(b[4:]))
	m.size = size + size&1
	room := &m.left
	if m.inner >= 0 {
		room = &m.inner
	}
	if *room -= 8 + m.size; *room < 0 {
		return v.malformed("chunk longer than the file or frame")
	}
	want := func(state uint8, n int) error {
		if size < int64(n) {
			return v.malformed("chunk too short")
		}
		m.state = state
		v.take(n)
		return nil
	}
	first := !m.extended && m.images == 0
	switch m.kind {
	case "VP8X":
		if !first {
			return v.malformed("misplaced VP8X")
		}
		m.extended = true
		return want(webpExtended, 10)
	case "VP8 ":
		return want(webpLossy, 10)
	case "VP8L":
		return want(webpLossless, 5)
	case "ANMF":
		if !m.animated || m.inner >= 0 {
			return v.malformed("misplaced frame")
		}
		return want(webpFrame, 16)
	}
	if !m.extended {
		return v.malformed("unannounced chunk")
	}
	return m.rest(v, 0)
}

// image checks a bit stream of w by h, of which n bytes were read.
func (m *webp) image(v *Verifier, n, w, h int64) error {
	if m.inner >= 0 {
		if m.streams++; m.streams > 1 || w != m.fw || h != m.fh {
			return v.malformed("frame and its picture differ")
		}
	} else {
		if m.images++; m.images > 1 || m.animated || m.extended && (w != m.w || h != m.h) {
			return v.malformed("canvas and picture differ")
		}
		if err := v.picture(w, h); err != nil {
			return err
		}
	}
	return m.rest(v, n)
}

// rest passes over what is left of a chunk of which n bytes were read, and goes on or ends.
func (m *webp) rest(v *Verifier, n int64) error {
	v.pass(m.size - n)
	if m.inner == 0 {
		if m.streams == 0 {
			return v.malformed("frame without a picture")
		}
		m.inner = -1
	}
	if m.inner < 0 && m.left == 0 {
		if m.images == 0 && v.frames == 0 {
			return v.malformed("no picture")
		}
		v.finish()
		return nil
	}
	m.state = webpChunk
	v.take(8)
	return nil
}

func (m *webp) close(v *Verifier) error { return v.ended() }

func uint24(b []byte) uint32 { return uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 }

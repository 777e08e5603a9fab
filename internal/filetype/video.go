package filetype

import "math/bits"

// mp4 is ISO/IEC 14496-12: a first box that names the brands, then known boxes up to the end of the file, one of them the movie
// with tracks of sound and, unless m4a is claimed, pictures.
type mp4 struct {
	state  uint8
	depth  int
	room   [4]int64 // bytes left in the open containers; the file itself is room[0] and has no end
	kind   string
	size   int64 // of the payload of the box at hand
	brand  bool
	movie  bool
	media  bool
	sound  bool
	vision bool
}

const (
	mp4Start = iota
	mp4Box
	mp4Long
	mp4Brands
	mp4Handler
	mp4Open // a last box without a length
)

// mp4Top are the boxes that may stand in a file itself.
var mp4Top = map[string]bool{
	"moov": true, "mdat": true, "free": true, "skip": true, "wide": true, "uuid": true, "meta": true, "moof": true, "mfra": true,
	"sidx": true, "ssix": true, "styp": true, "emsg": true, "prft": true, "pdin": true, "udta": true,
}

var mp4Brand = map[string]bool{
	"isom": true, "iso2": true, "iso3": true, "iso4": true, "iso5": true, "iso6": true, "iso7": true, "iso8": true, "iso9": true,
	"mp41": true, "mp42": true, "avc1": true, "M4V ": true, "M4VH": true, "M4VP": true, "M4A ": true, "M4B ": true, "MSNV": true,
	"dash": true, "cmfc": true, "3gp4": true, "3gp5": true, "3gp6": true,
}

// mp4Other are major brands that say the file is something else, whatever it is compatible with: QuickTime and pictures.
var mp4Other = map[string]bool{
	"qt  ": true, "heic": true, "heix": true, "heim": true, "heis": true, "hevc": true, "hevx": true, "mif1": true, "msf1": true,
	"avif": true, "avis": true, "crx ": true, "jp2 ": true, "jpx ": true,
}

func (m *mp4) next(v *Verifier, b []byte) error {
	switch m.state {
	case mp4Start:
		m.state = mp4Box
		v.take(8)
	case mp4Box:
		m.kind = string(b[4:])
		switch size := int64(be.Uint32(b)); {
		case size == 1:
			m.state = mp4Long
			v.take(8)
			return nil
		case size == 0:
			if m.kind != "mdat" || m.depth > 0 || !m.brand {
				return v.malformed("box without a length")
			}
			m.media = true
			m.state = mp4Open
			v.take(0)
			return nil
		default:
			return m.box(v, size-8, 8)
		}
	case mp4Long:
		size := be.Uint64(b)
		if size > 1<<62 {
			return v.malformed("impossible length of a box")
		}
		return m.box(v, int64(size)-16, 16)
	case mp4Brands:
		ok := false
		for i := 0; i+4 <= len(b); i += 4 {
			if i != 4 { // the minor version
				ok = ok || mp4Brand[string(b[i:i+4])]
			}
		}
		if !ok || mp4Other[string(b[:4])] {
			return v.malformed("brand of another type")
		}
		m.brand = true
		m.close1(v, 0)
	case mp4Handler:
		switch string(b[8:]) {
		case "soun":
			m.sound = true
		case "vide":
			if v.typ == M4A {
				return v.malformed("pictures in a sound file")
			}
			m.vision = true
		}
		m.close1(v, m.size-12)
	}
	return nil
}

// box decides about a box with size bytes behind its header.
func (m *mp4) box(v *Verifier, size, header int64) error {
	if size < 0 {
		return v.malformed("impossible length of a box")
	}
	if m.depth > 0 {
		if m.room[m.depth] -= size + header; m.room[m.depth] < 0 {
			return v.malformed("box longer than its container")
		}
	}
	m.size = size
	switch {
	case !m.brand:
		if m.kind != "ftyp" || size < 8 || size > 512 || size%4 != 0 {
			return v.malformed("wrong signature")
		}
		m.state = mp4Brands
		v.take(int(size))
		return nil
	case m.depth == 0:
		if !mp4Top[m.kind] {
			return v.malformed("unknown box")
		}
		switch m.kind {
		case "moov":
			if m.movie {
				return v.malformed("second movie")
			}
			m.movie = true
		case "mdat":
			m.media = true
		}
	}
	switch {
	case m.depth == 0 && m.kind == "moov", m.depth == 1 && m.kind == "trak", m.depth == 2 && m.kind == "mdia":
		m.depth++
		m.room[m.depth] = size
		m.close1(v, 0)
	case m.depth == 3 && m.kind == "hdlr":
		if size < 12 {
			return v.malformed("short handler")
		}
		m.state = mp4Handler
		v.take(12)
	default:
		m.close1(v, size)
	}
	return nil
}

// close1 passes over n bytes, leaves the containers that are full, and goes on to the next box.
func (m *mp4) close1(v *Verifier, n int64) {
	for m.depth > 0 && m.room[m.depth] == 0 {
		m.depth--
	}
	v.pass(n)
	m.state = mp4Box
	v.take(8)
}

func (m *mp4) scan(v *Verifier, p []byte) (int, error) {
	v.off += int64(len(p))
	return len(p), nil
}

func (m *mp4) close(v *Verifier) error {
	switch {
	case m.depth > 0:
		return v.refuse(Truncated, "file ends inside a box")
	case !m.movie || !m.media:
		return v.refuse(Truncated, "no movie, or no media")
	case !m.sound && (v.typ == M4A || !m.vision):
		return v.malformed("no track of the claimed kind")
	}
	return nil
}

// webm is the WebM subset of Matroska (RFC 9559) in EBML (RFC 8794). Segment and clusters may have no length, as browsers
// record them.
type webm struct {
	state   uint8
	phase   uint8
	id      uint32
	raw     [8]byte
	n       int
	end     int64 // of the segment, -1 when it has no length
	tracks  bool
	cluster bool
}

const (
	webmStart = iota
	webmID
	webmIDRest
	webmSize
	webmSizeRest
	webmHeader
)

const (
	webmPhaseHeader  = iota
	webmPhaseSegment // the header is over, the segment must follow
	webmPhaseTop
	webmPhaseCluster // in a cluster without a length
)

func (m *webm) next(v *Verifier, b []byte) error {
	switch m.state {
	case webmStart:
		m.end = -1
		m.again(v)
	case webmID:
		m.n = bits.LeadingZeros8(b[0]) + 1
		m.raw[0] = b[0]
		if m.n > 4 {
			return v.malformed("impossible element")
		}
		if m.n > 1 {
			m.state = webmIDRest
			v.take(m.n - 1)
			return nil
		}
		return m.identified(v)
	case webmIDRest:
		copy(m.raw[1:], b)
		return m.identified(v)
	case webmSize:
		m.n = bits.LeadingZeros8(b[0]) + 1
		m.raw[0] = b[0]
		if m.n > 8 {
			return v.malformed("impossible length of an element")
		}
		if m.n > 1 {
			m.state = webmSizeRest
			v.take(m.n - 1)
			return nil
		}
		return m.sized(v)
	case webmSizeRest:
		copy(m.raw[1:], b)
		return m.sized(v)
	case webmHeader:
		if !isWebM(b) {
			return v.malformed("not a document of type webm")
		}
		m.phase = webmPhaseSegment
		m.again(v)
	}
	return nil
}

func (m *webm) again(v *Verifier) {
	m.state = webmID
	v.take(1)
}

func (m *webm) identified(v *Verifier) error {
	m.id = 0
	for _, c := range m.raw[:m.n] {
		m.id = m.id<<8 | uint32(c)
	}
	if m.phase == webmPhaseHeader && m.id != 0x1A45DFA3 {
		return v.malformed("wrong signature")
	}
	m.state = webmSize
	v.take(1)
	return nil
}

func (m *webm) sized(v *Verifier) error {
	size := int64(m.raw[0]) & (1<<(8-m.n) - 1)
	unknown := int64(1)<<(7*m.n) - 1
	for _, c := range m.raw[1:m.n] {
		size = size<<8 | int64(c)
	}
	if size == unknown {
		size = -1
	}
	return m.element(v, size)
}

// element decides about the element at hand; size -1 is an unknown length.
func (m *webm) element(v *Verifier, size int64) error {
	switch m.phase {
	case webmPhaseHeader:
		if size < 0 || size > 256 || size == 0 {
			return v.malformed("impossible header")
		}
		m.state = webmHeader
		v.take(int(size))
		return nil
	case webmPhaseSegment:
		if m.id != 0x18538067 {
			return v.malformed("no segment where one must be")
		}
		if size >= 0 {
			m.end = v.off + size
		}
		m.phase = webmPhaseTop
		m.again(v)
		return nil
	case webmPhaseCluster:
		switch m.id {
		case 0xE7, 0xA3, 0xA0, 0xAB, 0xA7, 0xAF, 0x5854, 0xEC, 0xBF:
			// Timestamp, SimpleBlock, BlockGroup, PrevSize, Position, EncryptedBlock, SilentTracks, Void, CRC-32
			return m.over(v, size)
		}
		m.phase = webmPhaseTop // anything else ends the cluster
	}
	switch m.id {
	case 0x114D9B74, 0x1549A966, 0x1C53BB6B, 0x1043A770, 0x1254C367, 0xEC, 0xBF:
		// SeekHead, Info, Cues, Chapters, Tags, Void, CRC-32
	case 0x1654AE6B: // Tracks
		if m.tracks || size <= 0 {
			return v.malformed("second or empty list of tracks")
		}
		m.tracks = true
	case 0x1F43B675: // Cluster
		if !m.tracks {
			return v.malformed("cluster before the tracks")
		}
		m.cluster = true
		if size < 0 {
			m.phase = webmPhaseCluster
			m.again(v)
			return nil
		}
	case 0x1941A469:
		return v.refuse(Forbidden, "attachments")
	default:
		return v.malformed("unknown element")
	}
	return m.over(v, size)
}

// over passes over the element.
func (m *webm) over(v *Verifier, size int64) error {
	if size < 0 || m.end >= 0 && size > m.end-v.off {
		return v.malformed("element longer than its segment, or without a length")
	}
	v.pass(size)
	if m.end >= 0 && v.off+size == m.end {
		if !m.cluster {
			return v.malformed("no media")
		}
		v.finish()
		return nil
	}
	m.again(v)
	return nil
}

func (m *webm) close(v *Verifier) error {
	if v.done {
		return nil
	}
	if m.end >= 0 || m.state != webmID || !m.cluster {
		return v.refuse(Truncated, "file ends before its format does")
	}
	return nil
}

// isWebM reports whether the body of an EBML header names the document type webm.
func isWebM(b []byte) bool {
	found := false
	for len(b) > 0 {
		n := bits.LeadingZeros8(b[0]) + 1
		if n > 2 || len(b) < n+1 {
			return false // all identifiers of the header have one or two bytes
		}
		id := uint32(b[0])
		if n == 2 {
			id = id<<8 | uint32(b[1])
		}
		size := int(b[n])
		if size&0x80 == 0 {
			return false // longer than 126 bytes in the header: nobody does that
		}
		size &= 0x7F
		if b = b[n+1:]; len(b) < size {
			return false
		}
		if id == 0x4282 {
			if found || string(b[:size]) != "webm" {
				return false
			}
			found = true
		}
		b = b[size:]
	}
	return found
}

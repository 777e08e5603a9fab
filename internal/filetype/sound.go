package filetype

// wav is RIFF/WAVE: a length that is the file's, one fmt chunk, one data chunk behind it.
type wav struct {
	state  uint8
	left   int64
	size   int64
	format bool
	data   bool
}

const (
	wavStart = iota
	wavRIFF
	wavChunk
	wavFormat
)

func (m *wav) next(v *Verifier, b []byte) error {
	switch m.state {
	case wavStart:
		m.state = wavRIFF
		v.take(12)
	case wavRIFF:
		if string(b[:4]) != "RIFF" || string(b[8:]) != "WAVE" {
			return v.malformed("wrong signature")
		}
		// Programs that write to a pipe leave 0 or 0xFFFFFFFF here, and readers guess. We do not.
		m.left = int64(le.Uint32(b[4:])) - 4
		if m.left < 8+16+8 {
			return v.malformed("impossible length")
		}
		m.state = wavChunk
		v.take(8)
	case wavChunk:
		size := int64(le.Uint32(b[4:]))
		m.size = size + size&1
		if m.left -= 8 + m.size; m.left == -1 && size&1 == 1 {
			m.size, m.left = size, 0 // many programs leave out the padding of the last chunk
		}
		if m.left < 0 {
			return v.malformed("chunk longer than the file")
		}
		for _, c := range b[:4] {
			if c < ' ' || c > '~' {
				return v.malformed("impossible name of a chunk")
			}
		}
		switch string(b[:4]) {
		case "fmt ":
			if m.format || size < 16 {
				return v.malformed("second or short format")
			}
			m.format = true
			m.state = wavFormat
			v.take(16)
			return nil
		case "data":
			if !m.format || m.data {
				return v.malformed("misplaced data")
			}
			m.data = true
		}
		return m.rest(v, 0)
	case wavFormat:
		tag, channels, rate := le.Uint16(b), int64(le.Uint16(b[2:])), le.Uint32(b[4:])
		align, bits := int64(le.Uint16(b[12:])), int64(le.Uint16(b[14:]))
		if channels == 0 || channels > 64 || rate == 0 || align == 0 {
			return v.malformed("impossible format")
		}
		switch tag {
		case 1, 3: // PCM, floating point
			if bits == 0 || bits > 64 || align != channels*((bits+7)/8) {
				return v.malformed("impossible format")
			}
		case 2, 6, 7, 0x11, 0x31, 0x55, 0xFFFE: // ADPCM, A-law, mu-law, IMA, GSM, MP3, extensible
		default:
			return v.malformed("unknown coding")
		}
		return m.rest(v, 16)
	}
	return nil
}

func (m *wav) rest(v *Verifier, n int64) error {
	v.pass(m.size - n)
	if m.left == 0 {
		if !m.data {
			return v.malformed("no sound")
		}
		v.finish()
		return nil
	}
	m.state = wavChunk
	v.take(8)
	return nil
}

func (m *wav) close(v *Verifier) error { return v.ended() }

// flac is RFC 9639 down to the header of the first frame. Frames do not say how long they are, so what follows it is not
// looked at: that nothing else hides there is the work of the polyglot rules alone.
type flac struct {
	state uint8
	last  bool
	info  bool
	size  int64
}

const (
	flacStart = iota
	flacMagic
	flacBlock
	flacInfo
	flacFrame
	flacSound
)

func (m *flac) next(v *Verifier, b []byte) error {
	switch m.state {
	case flacStart:
		m.state = flacMagic
		v.take(4)
	case flacMagic:
		if string(b) != "fLaC" {
			return v.malformed("wrong signature")
		}
		m.state = flacBlock
		v.take(4)
	case flacBlock:
		m.last, m.size = b[0]&0x80 != 0, int64(be.Uint32(b)&0xFFFFFF)
		kind := b[0] & 0x7F
		if m.info == (kind == 0) || kind > 6 || kind == 0 && m.size != 34 {
			return v.malformed("impossible metadata block")
		}
		if kind == 0 {
			m.info = true
			m.state = flacInfo
			v.take(34)
			return nil
		}
		v.pass(m.size)
		m.after(v)
	case flacInfo:
		least, most := be.Uint16(b), be.Uint16(b[2:])
		rate := be.Uint32(b[10:]) >> 12
		if least < 16 || most < least || rate == 0 {
			return v.malformed("impossible stream information")
		}
		m.after(v)
	case flacFrame:
		// Sync code and reserved bits; block size 0, rate 15, channels 11 to 15 and sample size 3 are reserved.
		if b[0] != 0xFF || b[1]&0xFE != 0xF8 || b[2]>>4 == 0 || b[2]&0x0F == 15 || b[3]>>4 > 10 || b[3]>>1&7 == 3 || b[3]&1 != 0 {
			return v.malformed("no frame where one must be")
		}
		m.state = flacSound
		v.take(0)
	}
	return nil
}

func (m *flac) after(v *Verifier) {
	m.state = flacBlock
	if m.last {
		m.state = flacFrame
	}
	v.take(4)
}

func (m *flac) scan(v *Verifier, p []byte) (int, error) {
	v.off += int64(len(p))
	return len(p), nil
}

func (m *flac) close(v *Verifier) error {
	if m.state != flacSound {
		return v.refuse(Truncated, "no sound")
	}
	return nil
}

// ogg is RFC 3533: pages up to the end of the file, begun by the page of a sound codec.
type ogg struct {
	state uint8
	first bool // the page at hand begins a stream
	begun int
	pages int
	size  int64
}

const (
	oggStart = iota
	oggPage
	oggTable
	oggCodec
)

func (m *ogg) next(v *Verifier, b []byte) error {
	switch m.state {
	case oggStart:
		m.state = oggPage
		v.take(27)
	case oggPage:
		if string(b[:4]) != "OggS" || b[4] != 0 || b[5] > 7 {
			return v.malformed("no page where one must be")
		}
		m.pages++
		m.first = b[5]&2 != 0
		if m.first && m.pages > m.begun+1 {
			// A chained stream is legal, and players show it as the next title. One file is one recording here.
			return v.malformed("stream that begins late")
		}
		if m.first {
			m.begun++
		}
		if !m.first && m.begun == 0 || m.begun > 4 {
			return v.malformed("no stream, or too many")
		}
		if b[26] == 0 {
			if m.first {
				return v.malformed("stream without a codec")
			}
			v.take(27)
			return nil
		}
		m.state = oggTable
		v.take(int(b[26]))
	case oggTable:
		m.size = 0
		for _, n := range b {
			m.size += int64(n)
		}
		if m.first {
			if m.size < 8 {
				return v.malformed("stream without a codec")
			}
			m.state = oggCodec
			v.take(8)
			return nil
		}
		v.pass(m.size)
		m.state = oggPage
		v.take(27)
	case oggCodec:
		switch s := string(b); {
		case s == "OpusHead", s[:7] == "\x01vorbis", s[:5] == "\x7fFLAC", s == "Speex   ", s == "fishead\x00":
		default:
			return v.malformed("not a sound codec")
		}
		v.pass(m.size - 8)
		m.state = oggPage
		v.take(27)
	}
	return nil
}

func (m *ogg) close(v *Verifier) error {
	if m.pages <= m.begun {
		return v.refuse(Truncated, "no sound")
	}
	return nil
}

// mp3 is MPEG audio layer III: an optional ID3v2 tag, then frames that all have one version and sampling rate and each begin
// where the one before ends, then optional APEv2 and ID3v1 tags. The last frame may be cut, as recorders do.
type mp3 struct {
	state  uint8
	frames int
	kind   uint16 // version and rate of the first frame
}

const (
	mp3Start = iota
	mp3First
	mp3Frame
	mp3APE
	mp3Tag
)

// Bit rates in kbit/s: MPEG 1, and MPEG 2 and 2.5. Index 0 is "free", a frame whose length nobody tells.
var mp3Rates = [2][16]int64{
	{0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0},
	{0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0},
}

func (m *mp3) next(v *Verifier, b []byte) error {
	switch m.state {
	case mp3Start:
		m.state = mp3First
		v.take(10)
	case mp3First:
		if string(b[:3]) != "ID3" {
			return m.frame(v, b)
		}
		if b[3] < 2 || b[3] > 4 || (b[6]|b[7]|b[8]|b[9])&0x80 != 0 {
			return v.malformed("impossible tag")
		}
		size := int64(b[6])<<21 | int64(b[7])<<14 | int64(b[8])<<7 | int64(b[9])
		if b[5]&0x10 != 0 {
			size += 10
		}
		m.state = mp3Frame
		v.pass(size)
		v.take(4)
	case mp3Frame:
		switch {
		case string(b[:3]) == "TAG" && m.frames > 1:
			v.pass(124)
			v.finish()
		case string(b) == "APET" && m.frames > 1:
			m.state = mp3APE
			v.take(28)
		default:
			return m.frame(v, b)
		}
	case mp3APE:
		if string(b[:4]) != "AGEX" || be.Uint32(b[16:])&0x20 == 0 {
			return v.malformed("impossible tag")
		}
		m.state = mp3Tag
		v.pass(int64(le.Uint32(b[8:])))
		v.take(4)
	case mp3Tag:
		if string(b[:3]) != "TAG" {
			return v.refuse(Trailing, "data after the end")
		}
		v.pass(124)
		v.finish()
	}
	return nil
}

func (m *mp3) frame(v *Verifier, b []byte) error {
	version, layer, rate, sampling := b[1]>>3&3, b[1]>>1&3, b[2]>>4, b[2]>>2&3
	if b[0] != 0xFF || b[1]&0xE0 != 0xE0 || version == 1 || layer != 1 || rate == 0 || rate == 15 || sampling == 3 {
		return v.malformed("no frame where one must be")
	}
	kind := uint16(version)<<8 | uint16(sampling)
	if m.frames > 0 && kind != m.kind {
		return v.malformed("frames of different kinds")
	}
	m.kind = kind
	m.frames++
	hz := [3]int64{44100, 48000, 32000}[sampling]
	samples, table := int64(144), 0
	if version != 3 {
		samples, table, hz = 72, 1, hz/2
		if version == 0 {
			hz /= 2
		}
	}
	size := samples*mp3Rates[table][rate]*1000/hz + int64(b[2]>>1&1)
	v.pass(size - int64(len(b))) // the shortest frame has 24 bytes
	m.state = mp3Frame
	v.take(4)
	return nil
}

// partial accepts a last frame that is cut; m.frames counts it.
func (m *mp3) partial(v *Verifier, b []byte) error {
	if m.state == mp3Frame && len(b) == 0 && m.frames > 2 {
		return nil
	}
	return v.refuse(Truncated, "file ends inside a field")
}

func (m *mp3) close(v *Verifier) error {
	if m.frames < 2 {
		return v.refuse(Truncated, "too few frames")
	}
	return nil
}

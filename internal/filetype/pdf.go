package filetype

import (
	"bytes"
	"strconv"
)

// pdf is ISO 32000 at both its ends: the header at the first byte, and last the offset of the cross references and the end
// mark, with nothing but white space behind. What lies between, active content too, is not looked at: it is compressed.
type pdf struct {
	started bool
	body    bool
	tail    tail
}

func (m *pdf) next(v *Verifier, b []byte) error {
	if !m.started {
		m.started = true
		v.take(8)
		return nil
	}
	if string(b[:5]) != "%PDF-" || b[6] != '.' || !(b[5] == '1' && b[7] >= '0' && b[7] <= '7' || b[5] == '2' && b[7] == '0') {
		return v.malformed("wrong signature")
	}
	m.body = true
	v.take(0)
	return nil
}

func (m *pdf) scan(v *Verifier, p []byte) (int, error) {
	m.tail.add(p)
	v.off += int64(len(p))
	return len(p), nil
}

const pdfSpace = "\x00\t\n\f\r "

func (m *pdf) close(v *Verifier) error {
	if !m.body {
		return v.refuse(Truncated, "file ends before its format does")
	}
	b, ok := bytes.CutSuffix(bytes.TrimRight(m.tail.bytes(), pdfSpace), []byte("%%EOF"))
	if !ok {
		return v.refuse(Truncated, "no end mark at the end")
	}
	i := bytes.LastIndex(b, []byte("startxref"))
	if i < 0 {
		return v.malformed("no offset of the cross references before the end mark")
	}
	at, err := strconv.ParseInt(string(bytes.Trim(b[i+len("startxref"):], pdfSpace)), 10, 64)
	if err != nil || at <= 0 || at >= v.off {
		return v.malformed("impossible offset of the cross references")
	}
	return nil
}

// tail keeps the last bytes of a stream.
type tail struct {
	buf [1024]byte
	n   int
}

func (t *tail) add(p []byte) {
	if len(p) >= len(t.buf) {
		t.n = copy(t.buf[:], p[len(p)-len(t.buf):])
		return
	}
	if over := t.n + len(p) - len(t.buf); over > 0 {
		t.n = copy(t.buf[:], t.buf[over:t.n])
	}
	t.n += copy(t.buf[t.n:], p)
}

func (t *tail) bytes() []byte { return t.buf[:t.n] }

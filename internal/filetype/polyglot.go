package filetype

import "bytes"

// polyglot looks for a second format beside the claimed one. Its rules are listed in the package comment. It sees every byte
// before the machine does and keeps only the head, and the bytes that a signature across two pieces needs.
type polyglot struct {
	typ   Type
	off   int64
	head  [headLen]byte
	headN int
	// carry holds the last bytes of the pieces so far: one less than the longest pattern.
	carry  [eocdLen - 1]byte
	carryN int
	// zipAt is the end of the last believable end record of a ZIP directory, -1 for none.
	zipAt int64
	// PDF in a text: both ends are needed.
	pdfHead bool
	tail    tail
}

const (
	// headLen is the length of the resource header that browsers sniff (WHATWG MIME Sniffing, section 5.2).
	headLen = 1445
	// pdfReach is how far into a file PDF readers look for the header (ISO 32000-1, implementation note 13).
	pdfReach = 1024
	// eocdLen is the length of the record that ends a ZIP file; eocdReach is how far from the end readers look for it: the
	// record with the longest comment.
	eocdLen   = 22
	eocdReach = eocdLen + 1<<16 - 1
	// sfxReach is how far into a file unpackers look for the archive behind a self-extracting program: unrar looks through
	// 2 MiB, 7-Zip through 8 MiB.
	sfxReach = 8 << 20
)

var (
	sigEOCD = []byte("PK\x05\x06")
	sigRAR  = []byte("Rar!\x1a\x07")
	sig7z   = []byte("7z\xbc\xaf\x27\x1c\x00")
	sigPHAR = []byte("__HALT_COMPILER();")
	sigPDF  = []byte("%PDF-")
	sigEOF  = []byte("%%EOF")
)

// markups are what makes browsers and PHP take a file for a page or a program, in lower case.
var markups = [][]byte{[]byte("<!doctype html"), []byte("<html"), []byte("<script"), []byte("<svg"), []byte("<iframe"), []byte("<?php")}

func (y *polyglot) reset(t Type) {
	*y = polyglot{typ: t, zipAt: -1}
}

func (t Type) isText() bool    { return t >= Text && t <= JSONLines }
func (t Type) isArchive() bool { return t >= ZIP && t <= PPTX }

// look takes a first part of p and returns its length. reason, when not empty, says which second format is there, for certain
// after that many bytes.
func (y *polyglot) look(p []byte) (n int, reason string) {
	n = len(p)
	if y.headN < headLen {
		// Up to the end of the head in one piece, so that what follows is the same for every split.
		c := copy(y.head[y.headN:], p)
		y.headN += c
		n = c
		if y.headN == headLen {
			reason = y.checkHead()
		}
	}
	if y.typ.isText() {
		y.tail.add(p[:n])
		y.off += int64(n)
		return n, reason
	}
	if at, why := y.search(p[:n]); why != "" {
		n, reason = at, why
	}
	y.keep(p[:n])
	y.off += int64(n)
	return n, reason
}

// checkHead looks at the first bytes, once they are all there or the file is over.
func (y *polyglot) checkHead() string {
	head := y.head[:y.headN]
	if y.typ != PDF {
		if i := bytes.Index(head[:min(len(head), pdfReach)], sigPDF); i >= 0 && i+7 < len(head) && isDigit(head[i+5]) && head[i+6] == '.' {
			if !y.typ.isText() {
				return "a PDF too"
			}
			y.pdfHead = true
		}
	}
	if y.typ.isText() {
		return ""
	}
	if isTar(head) {
		return "a tar archive too"
	}
	if !y.typ.isArchive() {
		// ToLower of bytes is for UTF-8 and would change their number.
		var lower [headLen]byte
		for i, c := range head {
			if c >= 'A' && c <= 'Z' {
				c |= 0x20
			}
			lower[i] = c
		}
		for _, m := range markups {
			if bytes.Contains(lower[:len(head)], m) {
				return "markup or a script too"
			}
		}
	}
	return ""
}

// search looks for the signatures that may stand anywhere. at is the number of bytes of p after which one was complete.
func (y *polyglot) search(p []byte) (at int, reason string) {
	found := func(end int, why string) {
		if reason == "" || end < at {
			at, reason = end, why
		}
	}
	if y.off < sfxReach {
		q := p[:min(int64(len(p)), sfxReach-y.off)]
		if i := y.index(q, sigRAR); i >= 0 {
			found(i, "a RAR archive too")
		}
		if i := y.index(q, sig7z); i >= 0 {
			found(i, "a 7z archive too")
		}
	}
	if i := y.index(p, sigPHAR); i >= 0 {
		found(i, "a PHP archive too")
	}
	if !y.typ.isArchive() {
		if i := y.php(p); i >= 0 {
			found(i, "markup or a script too")
		}
		// The record is judged when all its bytes are there: the signature may lie in the pieces before.
		y.records(p)
	}
	return at, reason
}

// index returns the end in p of the first sig that ends in p, -1 for none.
func (y *polyglot) index(p, sig []byte) int {
	k := len(sig) - 1
	// Across the border first: at most k bytes of either side.
	var border [2 * eocdLen]byte
	c := y.carry[max(0, y.carryN-k):y.carryN]
	n := copy(border[:], c)
	n += copy(border[n:], p[:min(k, len(p))])
	if i := bytes.Index(border[:n], sig); i >= 0 {
		return i + len(sig) - len(c)
	}
	if i := bytes.Index(p, sig); i >= 0 {
		return i + len(sig)
	}
	return -1
}

// phpLen is the length of "<?php" and the white space without which PHP does not take it for its own.
const phpLen = 6

// php returns the end in p of the first opening of PHP that ends in p, -1 for none.
func (y *polyglot) php(p []byte) int {
	var border [2 * phpLen]byte
	c := y.carry[max(0, y.carryN-(phpLen-1)):y.carryN]
	n := copy(border[:], c)
	n += copy(border[n:], p[:min(phpLen-1, len(p))])
	if i := phpIn(border[:n]); i >= 0 {
		return i - len(c)
	}
	return phpIn(p)
}

func phpIn(b []byte) int {
	for i := 0; ; i++ {
		j := bytes.Index(b[i:], []byte("<?"))
		if i += j; j < 0 || i+phpLen > len(b) {
			return -1
		}
		if b[i+2]|0x20 == 'p' && b[i+3]|0x20 == 'h' && b[i+4]|0x20 == 'p' && bytes.IndexByte([]byte(" \t\n\r"), b[i+5]) >= 0 {
			return i + phpLen
		}
	}
}

// records notes the last believable end record of a ZIP directory that is complete in p.
func (y *polyglot) records(p []byte) {
	var border [2 * eocdLen]byte
	n := copy(border[:], y.carry[:y.carryN])
	n += copy(border[n:], p[:min(eocdLen-1, len(p))])
	y.recordsIn(border[:n], y.off-int64(y.carryN))
	y.recordsIn(p, y.off)
}

func (y *polyglot) recordsIn(p []byte, off int64) {
	for i := 0; ; {
		j := bytes.Index(p[i:], sigEOCD)
		if j < 0 || i+j+eocdLen > len(p) {
			return
		}
		i += j
		if at := off + int64(i); believable(p[i:i+eocdLen], at) && at > y.zipAt {
			y.zipAt = at
		}
		i++
	}
}

// believable reports whether b, at offset at of a file, may be the record by which a ZIP reader finds its directory. It asks
// only what the most careless reader needs: entries, and a directory that lies before.
func believable(b []byte, at int64) bool {
	entries, size, offset := le.Uint16(b[10:]), int64(le.Uint32(b[12:])), int64(le.Uint32(b[16:]))
	const big = 1<<32 - 1 // the real figures are in a ZIP64 record
	return entries > 0 && (size <= at && offset < at || size == big || offset == big)
}

// keep moves the last bytes of p to the carry.
func (y *polyglot) keep(p []byte) {
	k := len(y.carry)
	if len(p) >= k {
		y.carryN = copy(y.carry[:], p[len(p)-k:])
		return
	}
	if over := y.carryN + len(p) - k; over > 0 {
		y.carryN = copy(y.carry[:], y.carry[over:y.carryN])
	}
	y.carryN += copy(y.carry[y.carryN:], p)
}

// close looks at what only the end tells; size is the length of the file.
func (y *polyglot) close(size int64) string {
	if y.headN < headLen {
		if reason := y.checkHead(); reason != "" {
			return reason
		}
	}
	switch {
	case y.zipAt >= 0 && size-y.zipAt <= eocdReach:
		return "a ZIP archive too"
	case y.pdfHead && bytes.Contains(y.tail.bytes(), sigEOF):
		return "a PDF too"
	}
	return ""
}

// isTar reports whether b begins with the header of a tar archive: the checksum of the header is right, whether or not it calls
// itself ustar.
func isTar(b []byte) bool {
	if len(b) < 512 {
		return false
	}
	want, digits := int64(0), 0
	for _, c := range b[148:156] {
		if c >= '0' && c <= '7' {
			want, digits = want<<3|int64(c-'0'), digits+1
		} else if c != ' ' && c != 0 {
			return false
		}
	}
	sum := int64(0)
	for i, c := range b[:512] {
		if i >= 148 && i < 156 {
			c = ' '
		}
		sum += int64(c)
	}
	return digits > 0 && want == sum
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

package jsonscan

import (
	"bytes"
	"strconv"
)

// Path is the place of the current value: one segment per open container, a member name or an array index. The root has
// no segment. A Path belongs to its Scanner and is valid only during the Visit call it was passed to.
type Path struct {
	data   []byte
	frames []frame
}

// frame is one open container.
type frame struct {
	object bool
	// escaped says that the current name has a backslash.
	escaped bool
	// hashed says that this object's names are in the scanner's table.
	hashed bool
	// keyStart and keyEnd are the span of the current name without quotes; keyStart is -1 while there is none.
	keyStart, keyEnd int
	// n is the number of members so far, or the index of the current element.
	n int
	// base is the index in Scanner.names of this object's first name.
	base int
}

// Depth returns the number of segments: 0 at the root, 1 for a member of a root object.
func (p *Path) Depth() int { return len(p.frames) }

// Data returns the scanned bytes, for visitors that read values while they pass.
func (p *Path) Data() []byte { return p.data }

// Key returns the member name at the given level, as written between its quotes, level 0 being the outermost. ok is false
// for an array index or a level that does not exist. The slice points into the scanned data.
func (p *Path) Key(level int) (raw []byte, ok bool) {
	if uint(level) >= uint(len(p.frames)) {
		return nil, false
	}
	f := &p.frames[level]
	if !f.object || f.keyStart < 0 {
		return nil, false
	}
	return p.data[f.keyStart:f.keyEnd], true
}

// Escaped reports whether the member name at the given level contains an escape, so that its raw bytes are not its text.
func (p *Path) Escaped(level int) bool {
	return uint(level) < uint(len(p.frames)) && p.frames[level].object && p.frames[level].escaped
}

// Index returns the array index at the given level; ok is false for a member name or a level that does not exist.
func (p *Path) Index(level int) (i int, ok bool) {
	if uint(level) >= uint(len(p.frames)) || p.frames[level].object {
		return 0, false
	}
	return p.frames[level].n, true
}

// Is reports whether the path has exactly these segments. Names are compared after decoding, an index is written in
// decimal, and "*" matches any one segment. It does not allocate.
func (p *Path) Is(segments ...string) bool {
	if len(segments) != len(p.frames) {
		return false
	}
	// Innermost first: siblings of the wanted value differ there.
	for i := len(segments) - 1; i >= 0; i-- {
		want := segments[i]
		if want == "*" {
			continue
		}
		f := &p.frames[i]
		switch {
		case !f.object:
			var buf [20]byte
			if string(strconv.AppendInt(buf[:0], int64(f.n), 10)) != want {
				return false
			}
		case f.keyStart < 0:
			return false
		case f.escaped:
			if !EqualUnquoted(p.data[f.keyStart:f.keyEnd], want) {
				return false
			}
		case string(p.data[f.keyStart:f.keyEnd]) != want:
			return false
		}
	}
	return true
}

// AppendPointer appends the RFC 6901 JSON Pointer of the path, names decoded, "~" and "/" escaped as "~0" and "~1".
func (p *Path) AppendPointer(dst []byte) []byte {
	for i := range p.frames {
		f := &p.frames[i]
		if !f.object {
			dst = append(dst, '/')
			dst = strconv.AppendInt(dst, int64(f.n), 10)
			continue
		}
		if f.keyStart < 0 {
			// The scan stopped between two members: the pointer ends at the object.
			continue
		}
		dst = append(dst, '/')
		from := len(dst)
		dst = AppendUnquoted(dst, p.data[f.keyStart:f.keyEnd])
		if bytes.ContainsAny(dst[from:], "~/") {
			name := bytes.Clone(dst[from:])
			dst = dst[:from]
			for _, c := range name {
				switch c {
				case '~':
					dst = append(dst, "~0"...)
				case '/':
					dst = append(dst, "~1"...)
				default:
					dst = append(dst, c)
				}
			}
		}
	}
	return dst
}

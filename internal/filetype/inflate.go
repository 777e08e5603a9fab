package filetype

import (
	"encoding/binary"
	"math/bits"
)

// inflater follows a DEFLATE stream (RFC 1951) and counts what would come out, without making it: there is no window. It is fed
// in pieces and takes no byte beyond the end of the stream. It accepts what compress/flate accepts, but for streams of many
// short blocks: see maxShort.
type inflater struct {
	out  int64           // bytes that would have come out
	in   int64           // bytes taken
	head [leadBytes]byte // the first bytes that would have come out
	hold uint64
	n    uint // bits in hold, fewer than 8 whenever a step is done

	state  uint8
	final  bool
	left   int // of a stored block, or of a run of code lengths
	length int // of a match
	sym    int

	nlit, ndist, nclen int
	at                 int
	lens               [286 + 30]uint8
	lit, dist          *prefixCode // of the block at hand: the fixed codes or own
	own                [2]prefixCode
	blocks             int64 // with codes of their own
}

// A block with codes of its own costs microseconds, and ten bytes are enough for one. Past maxShort of them they must be
// blockLen bytes long on average: encoders write them by the kilobyte, since the codes alone take some 60 bytes.
const (
	maxShort = 1000
	blockLen = 256
)

const (
	infBlock = iota
	infStoredLength
	infStored
	infCounts
	infCodeLengths
	infLengths
	infRepeat
	infSymbol
	infLengthExtra
	infDistance
	infDistanceExtra
	infDone
)

// clenOrder is the order of the code length codes (RFC 1951 section 3.2.7).
var clenOrder = [19]uint8{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}

// fixedLit and fixedDist are the codes of blocks with fixed codes (section 3.2.6).
var fixedLit, fixedDist = func() (lit, dist *prefixCode) {
	lit, dist = new(prefixCode), new(prefixCode)
	var lens [288]uint8
	for i := range lens {
		switch {
		case i < 144:
			lens[i] = 8
		case i < 256:
			lens[i] = 9
		case i < 280:
			lens[i] = 7
		default:
			lens[i] = 8
		}
	}
	lit.build(lens[:])
	var five [32]uint8
	for i := range five {
		five[i] = 5
	}
	dist.build(five[:])
	return lit, dist
}()

func (f *inflater) reset() {
	f.out, f.in, f.hold, f.n, f.state, f.final, f.blocks = 0, 0, 0, 0, infBlock, false, 0
}

// feed takes bytes of p until the stream ends, p ends, or most bytes have come out. It returns how many it took, and false when
// they are no DEFLATE stream.
func (f *inflater) feed(p []byte, most int64) (n int, ok bool) {
	i := 0
	defer func() { f.in += int64(n) }()
	for f.state != infDone && f.out <= most {
		switch f.state {
		case infBlock:
			if f.n < 3 {
				break
			}
			f.final = f.take(1) == 1
			switch f.take(2) {
			case 0:
				f.take(f.n & 7) // to the next byte
				f.state, f.length = infStoredLength, 0
				f.left = 0
			case 1:
				f.lit, f.dist = fixedLit, fixedDist // shared, read only
				f.state = infSymbol
			case 2:
				if f.blocks++; f.blocks > maxShort && f.blocks*blockLen > f.in+int64(i) {
					return i, false
				}
				f.lit, f.dist = &f.own[0], &f.own[1]
				f.state = infCounts
			default:
				return i, false
			}
			continue
		case infStoredLength:
			// Two lengths of 16 bits, the second the complement of the first.
			if f.n < 16 {
				break
			}
			v := int(f.take(16))
			if f.left++; f.left == 1 {
				f.length = v
				continue
			}
			if v != ^f.length&0xFFFF {
				return i, false
			}
			f.left, f.state = f.length, infStored
			continue
		case infStored:
			k := min(f.left, len(p)-i)
			if f.out < leadBytes {
				copy(f.head[f.out:], p[i:i+k])
			}
			f.left, f.out, i = f.left-k, f.out+int64(k), i+k
			if f.left > 0 {
				return i, true
			}
			f.end()
			continue
		case infCounts:
			if f.n < 14 {
				break
			}
			f.nlit, f.ndist, f.nclen = int(f.take(5))+257, int(f.take(5))+1, int(f.take(4))+4
			if f.nlit > 286 || f.ndist > 30 {
				return i, false
			}
			f.at, f.lens = 0, [286 + 30]uint8{}
			f.state = infCodeLengths
			continue
		case infCodeLengths:
			if f.n < 3 {
				break
			}
			f.lens[clenOrder[f.at]] = uint8(f.take(3))
			if f.at++; f.at == f.nclen {
				if !f.lit.build(f.lens[:19]) {
					return i, false
				}
				f.at, f.lens = 0, [286 + 30]uint8{}
				f.state = infLengths
			}
			continue
		case infLengths:
			if f.at == f.nlit+f.ndist {
				if !f.lit.build(f.lens[:f.nlit]) || !f.dist.build(f.lens[f.nlit:f.nlit+f.ndist]) {
					return i, false
				}
				f.state = infSymbol
				continue
			}
			sym, k := f.lit.decode(f.hold, f.n)
			if k == 0 {
				break
			}
			if sym < 0 {
				return i, false
			}
			f.take(k)
			if sym < 16 {
				f.lens[f.at] = uint8(sym)
				f.at++
			} else {
				f.sym, f.state = sym, infRepeat
			}
			continue
		case infRepeat:
			width, base := uint(2), 3
			switch f.sym {
			case 17:
				width = 3
			case 18:
				width, base = 7, 11
			}
			if f.n < width {
				break
			}
			again := base + int(f.take(width))
			v := uint8(0)
			if f.sym == 16 {
				if f.at == 0 {
					return i, false
				}
				v = f.lens[f.at-1]
			}
			if f.at+again > f.nlit+f.ndist {
				return i, false
			}
			for range again {
				f.lens[f.at] = v
				f.at++
			}
			f.state = infLengths
			continue
		case infSymbol:
			if len(p)-i >= 8 && f.n < 8 && f.out >= leadBytes { // with more bits, a step is under way that needs them
				if i = f.fast(p, i, most); f.out > most {
					continue
				}
			}
			sym, k := f.lit.decode(f.hold, f.n)
			if k == 0 {
				break
			}
			if sym < 0 {
				return i, false
			}
			f.take(k)
			switch {
			case sym < 256:
				if f.out < leadBytes {
					f.head[f.out] = byte(sym)
				}
				f.out++
			case sym == 256:
				f.end()
			case sym < 265:
				f.length, f.state = sym-254, infDistance
			case sym < 285:
				f.sym, f.state = sym, infLengthExtra
			case sym == 285:
				f.length, f.state = 258, infDistance
			default:
				return i, false
			}
			continue
		case infLengthExtra:
			width := uint(f.sym-261) / 4
			if f.n < width {
				break
			}
			f.length = 3 + (4+(f.sym-265)%4)<<width + int(f.take(width))
			f.state = infDistance
			continue
		case infDistance:
			sym, k := f.dist.decode(f.hold, f.n)
			if k == 0 {
				break
			}
			if sym < 0 || sym >= 30 {
				return i, false
			}
			f.take(k)
			f.sym, f.state = sym, infDistanceExtra
			continue
		case infDistanceExtra:
			width, back := uint(0), int64(f.sym)+1
			if f.sym >= 4 {
				width = uint(f.sym-2) / 2
				back = 1 + int64(2+f.sym%2)<<width
			}
			if f.n < width {
				break
			}
			if back += int64(f.take(width)); back > f.out {
				return i, false
			}
			for at := f.out; at < min(f.out+int64(f.length), leadBytes); at++ {
				f.head[at] = f.head[at-back]
			}
			f.out += int64(f.length)
			f.state = infSymbol
			continue
		}
		// One byte more, no more than the step needs: so none is taken beyond the end.
		if i == len(p) {
			return i, true
		}
		f.hold |= uint64(p[i]) << f.n
		f.n += 8
		i++
	}
	return i, true
}

// fast follows symbols while there are 8 bytes at p[i:]. It takes bytes ahead and gives back what it did not need, and what it
// does not understand, so that every fault is found in one place.
func (f *inflater) fast(p []byte, i int, most int64) int {
	hold, n, out := f.hold, f.n, f.out
	lit, dist := f.lit, f.dist
loop:
	for len(p)-i >= 8 && out <= most {
		hold |= binary.LittleEndian.Uint64(p[i:]) << n
		i += int(63-n) >> 3
		n |= 56
		for n >= 48 { // the longest match: 15 + 5 + 15 + 13 bits
			before, had := hold, n
			e := lit.short[hold&(1<<shortBits-1)]
			sym, k := int(e>>4), uint(e&15)
			if k == 0 {
				sym, k = lit.decode(hold, n)
			}
			if uint(sym) < 256 {
				hold >>= k & 63
				n -= k
				if out++; out > most {
					break loop
				}
				continue
			}
			if sym <= 256 || sym > 285 { // no symbol, or the end of the block
				break loop
			}
			hold >>= k & 63
			n -= k
			length := 258
			if sym < 265 {
				length = sym - 254
			} else if sym < 285 {
				width := uint(sym-261) / 4
				length = 3 + (4+(sym-265)%4)<<width + int(hold&(1<<width-1))
				hold >>= width
				n -= width
			}
			sym, k = dist.decode(hold, n)
			hold >>= k & 63
			n -= k
			back := int64(sym) + 1
			if sym >= 4 {
				width := uint(sym-2) / 2
				back = 1 + int64(2+sym%2)<<width + int64(hold&(1<<width-1))
				hold >>= width
				n -= width
			}
			if sym < 0 || sym >= 30 || back > out {
				hold, n = before, had
				break loop
			}
			if out += int64(length); out > most {
				break loop
			}
		}
	}
	i -= int(n >> 3)
	n &= 7
	f.hold, f.n, f.out = hold&(1<<n-1), n, out
	return i
}

func (f *inflater) take(k uint) uint64 {
	v := f.hold & (1<<k - 1)
	f.hold >>= k
	f.n -= k
	return v
}

// end ends a block.
func (f *inflater) end() {
	f.state = infBlock
	if f.final {
		f.state = infDone
	}
}

// prefixCode decodes a canonical prefix code of at most 15 bits.
type prefixCode struct {
	short [1 << shortBits]uint16 // symbol<<4 | length of codes of up to shortBits bits, by the next bits of the stream
	count [16]uint16             // codes of each length
	syms  [288]uint16            // symbols in the order of their codes
	most  uint
}

const shortBits = 9

// build makes the code of the given lengths. It reports false for lengths that are no code: as compress/flate, it takes no code
// at all, and one of a single symbol of one bit.
func (c *prefixCode) build(lens []uint8) bool {
	c.count, c.most = [16]uint16{}, 0
	for _, n := range lens {
		c.count[n]++
		if n > 0 {
			c.most = max(c.most, uint(n))
		}
	}
	c.count[0] = 0
	c.short = [1 << shortBits]uint16{}
	if c.most == 0 {
		return true
	}
	var code, next, offset [17]int
	for n := 1; n <= int(c.most); n++ {
		code[n] = (code[n-1] + int(c.count[n-1])) << 1
		offset[n+1] = offset[n] + int(c.count[n])
	}
	if used := code[c.most] + int(c.count[c.most]); used != 1<<c.most && !(used == 1 && c.most == 1) {
		return false
	}
	copy(next[:], code[:])
	for sym, n := range lens {
		if n == 0 {
			continue
		}
		c.syms[offset[n]] = uint16(sym)
		offset[n]++
		if n <= shortBits {
			// The stream has the first bit of a code lowest.
			first := int(bits.Reverse16(uint16(next[n])) >> (16 - n))
			for i := first; i < len(c.short); i += 1 << n {
				c.short[i] = uint16(sym)<<4 | uint16(n)
			}
		}
		next[n]++
	}
	return true
}

// decode returns the symbol at the low end of hold and the length of its code; 0 when n bits are not enough to tell, symbol -1
// when there is no such code.
func (c *prefixCode) decode(hold uint64, n uint) (sym int, k uint) {
	if e := c.short[hold&(1<<shortBits-1)]; e != 0 {
		if k = uint(e & 15); k > n {
			return 0, 0
		}
		return int(e >> 4), k
	}
	code, first, index := 0, 0, 0
	for k = 1; k <= c.most; k++ {
		if k > n {
			return 0, 0
		}
		code |= int(hold & 1)
		hold >>= 1
		count := int(c.count[k])
		if code-count < first {
			return int(c.syms[index+code-first]), k
		}
		index += count
		first = (first + count) << 1
		code <<= 1
	}
	return -1, max(1, c.most)
}

// Deflate follows DEFLATE streams in memory. It is some 5 KB, and may be used again.
type Deflate struct{ f inflater }

// Size follows the stream at the beginning of p without making what it holds, until more than most bytes have come out. ok is
// false when p does not begin with one, when it ends too early, and when it has so many short blocks that decoding them would be
// the whole work: 4 MiB of empty blocks keep compress/flate busy for half a second.
func (d *Deflate) Size(p []byte, most int64) (size int64, ok bool) {
	d.f.reset()
	_, ok = d.f.feed(p, most)
	return d.f.out, ok && (d.f.state == infDone || d.f.out > most)
}

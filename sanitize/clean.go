package sanitize

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"github.com/mantlet-go/mantlet/sanitize/detect"
	"golang.org/x/text/unicode/norm"
)

// Kinds of findings that cleaning reports.
const (
	// KindInvisible is text a reader cannot see: tag characters, stray variation selectors and joiners, bidi overrides, fillers.
	KindInvisible = "invisible_text"
	// KindControl is a control character, a noncharacter, or a byte that is not UTF-8.
	KindControl = "control"
	// KindANSI is a terminal escape sequence.
	KindANSI = "ansi"
)

// Clean removes from text what a reader cannot see and what only a terminal acts on, and normalises the rest to NFC
// (Unicode Standard Annex 15). It returns text itself, without allocation, when there is nothing to do. The findings name what
// was removed, with offsets in text; normalisation alone is no finding. Clean is idempotent and its output is valid UTF-8.
//
// Removed are: tag characters (except in the three flags of England, Scotland and Wales); variation selectors that do not
// follow a character that takes them, and all but the first of a run; zero-width spaces and joiners outside the scripts and
// emoji sequences that need them; bidi overrides and embeddings, isolates in lines where they are not balanced, and direction
// marks in texts without right-to-left letters; soft hyphens; Hangul and Khmer fillers; invisible operators; interlinear
// annotations; noncharacters; C0 and C1 controls except tab, line feed and carriage return; ANSI escape sequences. A byte that
// is not UTF-8 becomes U+FFFD.
//
// Emoji families, Persian and Hindi text come back byte for byte.
func Clean(text []byte) (clean []byte, removed []detect.Finding) {
	return cleanKinds(text, keep{})
}

// keep says which kinds stay in the text; they are reported all the same.
type keep struct{ invisible, control, ansi bool }

func cleanKinds(text []byte, k keep) ([]byte, []detect.Finding) {
	i := skipPlain(text, 0)
	if i == len(text) {
		return text, nil
	}
	c := cleaner{src: text, keep: k}
	c.strip(i)
	out := text
	if c.dirty {
		out = c.out
	}
	found := c.found
	// Stripping can bring together what then composes, and composition can change a neighbour a rule looks at. Each further
	// round only removes or composes, so this ends; ordinary text takes no second round.
	for range 8 {
		if nfcSure(out) >= len(out) || norm.NFC.QuickSpan(out) == len(out) {
			break
		}
		next := norm.NFC.Append(make([]byte, 0, len(out)+16), out...)
		c = cleaner{src: next, keep: k}
		c.strip(0)
		if c.dirty {
			next = c.out
		}
		if bytes.Equal(next, out) {
			break
		}
		out = next
	}
	return out, found
}

// skipPlain returns the offset, at or after i, of the first byte that is not printable ASCII, tab, line feed or carriage return.
func skipPlain(b []byte, i int) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	for ; i+8 <= len(b); i += 8 {
		w := binary.LittleEndian.Uint64(b[i:])
		// A byte of x is high if it was not ASCII, below 0x20 (borrow) or 0x7f (carry).
		if (w|(w-0x20*ones)|(w+ones))&highs != 0 {
			for j := i; j < i+8; j++ {
				if !plain(b[j]) {
					return j
				}
			}
		}
	}
	for ; i < len(b); i++ {
		if !plain(b[i]) {
			return i
		}
	}
	return i
}

func plain(c byte) bool { return c >= 0x20 && c < 0x7f || c == '\n' || c == '\t' || c == '\r' }

// cleaner is one pass over a text.
type cleaner struct {
	src   []byte
	out   []byte // what stays, once dirty
	dirty bool
	last  int // src[:last] has been copied to out, once dirty
	found []detect.Finding
	keep  keep

	rtl       int8 // whether src holds right-to-left letters: 0 not looked yet, 1 yes, -1 no
	lineEnd   int  // end of the line the isolates were last counted in
	balanced  bool
	flagUntil int // a legitimate flag's tag characters reach to here
}

// suspect marks the lead bytes behind which something may have to go. ASCII printables and the bulk of letters are not.
var suspect = func() (t [256]bool) {
	for c := range 0x20 {
		t[c] = true
	}
	t['\t'], t['\n'], t['\r'] = false, false, false
	for _, c := range []byte{0x7f, 0xc2, 0xcd, 0xd8, 0xe1, 0xe2, 0xe3, 0xef, 0xf0, 0xf1, 0xf2, 0xf3, 0xf4} {
		t[c] = true
	}
	return t
}()

// suspectPair is suspect with the second byte of the character in hand; it spares most East Asian text and emoji the closer look.
func suspectPair(b, second byte) bool {
	switch b {
	case 0xc2: // C1, soft hyphen
		return second < 0xa0 || second == 0xad
	case 0xcd:
		return second == 0x8f
	case 0xd8:
		return second == 0x9c
	case 0xe1: // U+1140 to U+117F, U+1780 to U+17BF, U+1800 to U+183F
		return second == 0x85 || second == 0x9e || second == 0xa0
	case 0xe2: // U+2000 to U+207F
		return second <= 0x81
	case 0xe3:
		return second == 0x85
	case 0xef:
		return second >= 0xb7
	case 0xf0: // U+1F000 to U+1FFFF are emoji, but for two noncharacters that strip looks for itself
		return second != 0x9f
	}
	return suspect[b]
}

// nfcSure returns how far b surely is in NFC: over characters that neither change nor combine with anything (NFC_Quick_Check Yes,
// combining class 0), told by their first bytes. Most Latin, Greek, Cyrillic, Chinese and Japanese text and emoji are.
func nfcSure(b []byte) int {
	for i := 0; i < len(b); {
		switch c := b[i]; {
		case c < 0xcc: // below U+0300
			i++
		case c == 0xcf, c == 0xd0, c == 0xd1, c >= 0xe4 && c <= 0xe9:
			i += int(size[c])
		case i+2 >= len(b):
			return i
		case c == 0xce && b[i+1] != 0x87:
			i += 2
		case c == 0xe2 && (b[i+1] == 0x80 && b[i+2] >= 0x82 || b[i+1] >= 0x90 && b[i+1] <= 0x9f || b[i+1] >= 0xac && b[i+1] <= 0xaf),
			c == 0xe3 && (b[i+1] == 0x80 && b[i+2] < 0xaa || b[i+1] == 0x81 || b[i+1] == 0x83),
			c == 0xef && b[i+1] == 0xb8 && b[i+2] < 0x90:
			i += 3
		case c == 0xf0 && b[i+1] == 0x9f:
			i += 4
		default:
			return i
		}
	}
	return len(b)
}

// size is the length of a valid UTF-8 sequence by its lead byte.
var size = func() (t [256]uint8) {
	for b := range t {
		switch {
		case b < 0xc0:
			t[b] = 1
		case b < 0xe0:
			t[b] = 2
		case b < 0xf0:
			t[b] = 3
		default:
			t[b] = 4
		}
	}
	return t
}()

func (c *cleaner) strip(from int) {
	c.lineEnd = -1
	valid := utf8.Valid(c.src[from:])
	for i := from; i < len(c.src); {
		b := c.src[i]
		if b < utf8.RuneSelf && !suspect[b] {
			i = skipPlain(c.src, i+1)
			continue
		}
		if valid && b >= utf8.RuneSelf && !suspectPair(b, c.src[i+1]) && (b != 0xf0 || c.src[i+2] != 0xbf) {
			i += int(size[b])
			continue
		}
		r, n := rune(b), 1
		if b >= utf8.RuneSelf {
			if r, n = utf8.DecodeRune(c.src[i:]); r == utf8.RuneError && n == 1 {
				c.replace(i, "\uFFFD")
				i++
				continue
			}
		}
		if !suspect[b] {
			i += n
			continue
		}
		kind, rule, n := c.judge(i, r, n)
		if kind != "" {
			c.found = appendRun(c.found, detect.Finding{Kind: kind, Rule: rule, Start: i, End: i + n, Score: 1})
			if !(kind == KindInvisible && c.keep.invisible || kind == KindControl && c.keep.control || kind == KindANSI && c.keep.ansi) {
				c.cut(i, i+n)
			}
		}
		i += n
	}
	if c.dirty {
		c.out = append(c.out, c.src[c.last:]...)
	}
}

// before returns the last two characters that stay before offset i, the nearest first; -1 where there is none.
func (c *cleaner) before(i int) (prev, prev2 rune) {
	tail, more := c.src[c.last:i], c.out
	take := func() rune {
		if len(tail) == 0 {
			tail, more = more, nil
		}
		if len(tail) == 0 {
			return -1
		}
		r, n := utf8.DecodeLastRune(tail)
		tail = tail[:len(tail)-n]
		return r
	}
	prev = take()
	return prev, take()
}

func (c *cleaner) prev(i int) rune {
	r, _ := c.before(i)
	return r
}

// maxCleanFindings bounds the list for a text made of nothing but invisible characters.
const maxCleanFindings = 64

// appendRun adds f, or lets the last finding grow when f continues it: a hidden message is one finding.
func appendRun(found []detect.Finding, f detect.Finding) []detect.Finding {
	if n := len(found); n > 0 && found[n-1].Rule == f.Rule && found[n-1].End == f.Start {
		found[n-1].End = f.End
		return found
	}
	if len(found) >= maxCleanFindings {
		return found
	}
	return append(found, f)
}

func (c *cleaner) cut(from, to int) {
	if !c.dirty {
		c.dirty = true
		c.out = make([]byte, 0, len(c.src))
	}
	c.out = append(c.out, c.src[c.last:from]...)
	c.last = to
}

func (c *cleaner) replace(i int, with string) {
	c.found = appendRun(c.found, detect.Finding{Kind: KindControl, Rule: "invalid_utf8", Start: i, End: i + 1, Score: 1})
	c.cut(i, i+1)
	c.out = append(c.out, with...)
}

// next returns the character at i, -1 at the end.
func (c *cleaner) next(i int) rune {
	if i >= len(c.src) {
		return -1
	}
	r, _ := utf8.DecodeRune(c.src[i:])
	return r
}

// judge decides about the character r of n bytes at i. It returns kind "" to keep it; otherwise what it is and how many bytes go.
func (c *cleaner) judge(i int, r rune, n int) (kind, rule string, size int) {
	invisible := func(rule string) (string, string, int) { return KindInvisible, rule, n }
	switch {
	case r < 0x20 || r == 0x7f || r >= 0x80 && r <= 0x9f:
		if r == '\n' || r == '\t' || r == '\r' {
			return "", "", n
		}
		if m := ansi(c.src[i:], r, n); m > 0 {
			return KindANSI, "escape", m
		}
		if r < 0x80 {
			return KindControl, "c0", n
		}
		return KindControl, "c1", n
	case r < 0xad:
		return "", "", n
	case r == 0xad:
		return invisible("soft_hyphen")
	case r == 0x34f: // combining grapheme joiner: orders marks, and normalisation puts it into long runs of them
		if p := c.prev(i); p >= 0 && norm.NFC.PropertiesString(string(p)).CCC() != 0 {
			return "", "", n
		}
		return invisible("zero_width")
	case r == 0x61c, r == 0x200e, r == 0x200f:
		if c.rightToLeft() {
			return "", "", n
		}
		return invisible("bidi")
	case r == 0x115f, r == 0x1160, r == 0x3164, r == 0xffa0, r == 0x17b4, r == 0x17b5:
		return invisible("filler")
	case r >= 0x180b && r <= 0x180f:
		if mongolian(c.prev(i)) {
			return "", "", n
		}
		return invisible("variation_selector")
	case r >= 0x200b && r <= 0x200d:
		if c.joins(i, r, n) {
			return "", "", n
		}
		return invisible("zero_width")
	case r >= 0x202a && r <= 0x202e:
		return invisible("bidi")
	case r >= 0x2060 && r <= 0x206f:
		switch {
		case r >= 0x2066 && r <= 0x2069:
			if c.isolatesBalanced(i) {
				return "", "", n
			}
			return invisible("bidi")
		case r >= 0x2061 && r <= 0x2064:
			return invisible("invisible_math")
		}
		return invisible("zero_width")
	case r == 0xfeff:
		return invisible("zero_width")
	case r >= 0xfff0 && r <= 0xfffb:
		return invisible("interlinear")
	case r >= 0xfe00 && r <= 0xfe0f, r >= 0xe0100 && r <= 0xe01ef:
		if takesVariation(c.prev(i), r) {
			return "", "", n
		}
		return invisible("variation_selector")
	case r >= 0xe0000 && r <= 0xe0fff:
		if i < c.flagUntil {
			return "", "", n
		}
		if c.prev(i) == 0x1f3f4 {
			if m := flagTags(c.src[i:]); m > 0 {
				c.flagUntil = i + m
				return "", "", n
			}
		}
		return invisible("tag")
	case r >= 0x1bca0 && r <= 0x1bca3, r >= 0x1d173 && r <= 0x1d17a:
		return invisible("zero_width")
	case r >= 0xfdd0 && r <= 0xfdef, r&0xfffe == 0xfffe:
		return KindControl, "noncharacter", n
	}
	return "", "", n
}

// ansi returns the length of the escape sequence that b begins with (ECMA-48), 0 when the introducer stands alone: then only the
// introducer goes and what would have been hidden stays visible.
func ansi(b []byte, r rune, n int) int {
	intro := byte(0)
	switch {
	case r == 0x1b && len(b) > 1:
		intro, n = b[1], 2
	case r == 0x9b, r == 0x9d, r == 0x90, r == 0x9e, r == 0x9f, r == 0x98:
		intro = byte(r) - 0x40
	default:
		return 0
	}
	switch {
	case intro == '[': // CSI parameters intermediates final
		i := n
		for i < len(b) && b[i] >= 0x30 && b[i] <= 0x3f {
			i++
		}
		for i < len(b) && b[i] >= 0x20 && b[i] <= 0x2f {
			i++
		}
		if i < len(b) && b[i] >= 0x40 && b[i] <= 0x7e {
			return i + 1
		}
		return 0
	case intro == ']', intro == 'P', intro == '^', intro == '_', intro == 'X': // strings, up to BEL or ST on the same line
		for i := n; i < len(b) && b[i] != '\n'; i++ {
			switch {
			case b[i] == 0x07:
				return i + 1
			case b[i] == 0x1b && i+1 < len(b) && b[i+1] == '\\':
				return i + 2
			case b[i] == 0xc2 && i+1 < len(b) && b[i+1] == 0x9c:
				return i + 2
			}
		}
		return 0
	case r == 0x1b && intro >= 0x20 && intro <= 0x2f: // nF: character sets
		i := n
		for i < len(b) && b[i] >= 0x20 && b[i] <= 0x2f {
			i++
		}
		if i < len(b) && b[i] >= 0x30 && b[i] <= 0x7e {
			return i + 1
		}
		return 0
	case r == 0x1b && intro >= 0x30 && intro <= 0x7e:
		return 2
	}
	return 0
}

// flagTags returns the length of the tag sequence of one of the three flags that have one (England, Scotland, Wales). "Black
// flag, then any tags" would carry any hidden text (NVIDIA/SkillSpector#167).
func flagTags(b []byte) int {
	for _, region := range [...]string{"gbeng", "gbsct", "gbwls"} {
		i, ok := 0, true
		for k := 0; k <= len(region); k++ {
			want := rune(0xe007f)
			if k < len(region) {
				want = 0xe0000 + rune(region[k])
			}
			r, n := utf8.DecodeRune(b[i:])
			if r != want {
				ok = false
				break
			}
			i += n
		}
		if ok {
			return i
		}
	}
	return 0
}

// joins reports whether the zero-width space, non-joiner or joiner r at i does work there.
func (c *cleaner) joins(i int, r rune, n int) bool {
	p, p2 := c.before(i)
	switch r {
	case 0x200b: // line breaks in scripts without spaces
		return noSpaces(p)
	case 0x200c:
		return joining(p)
	}
	if joining(p) {
		return true
	}
	// Emoji: a joiner stands between two pictographs, the first perhaps with a skin tone or a variation selector.
	if p == 0xfe0f {
		p = p2
	}
	return (pictograph(p) || p >= 0x1f3fb && p <= 0x1f3ff) && pictograph(c.next(i+n))
}

// rightToLeft reports whether the text holds right-to-left letters. It looks once.
func (c *cleaner) rightToLeft() bool {
	if c.rtl == 0 {
		c.rtl = -1
		for i := 0; i < len(c.src); {
			if c.src[i] < 0xd6 {
				i++
				continue
			}
			r, n := utf8.DecodeRune(c.src[i:])
			if r >= 0x590 && r <= 0x8ff && r != 0x61c || r >= 0xfb1d && r <= 0xfdff && !(r >= 0xfdd0 && r <= 0xfdef) ||
				r >= 0xfe70 && r <= 0xfefc || r >= 0x10800 && r <= 0x10fff || r >= 0x1e800 && r <= 0x1efff {
				c.rtl = 1
				break
			}
			i += n
		}
	}
	return c.rtl > 0
}

// isolatesBalanced reports whether the line around i closes every isolate it opens. It counts once per line.
func (c *cleaner) isolatesBalanced(i int) bool {
	if i < c.lineEnd {
		return c.balanced
	}
	start := bytes.LastIndexByte(c.src[:i], '\n') + 1
	end := len(c.src)
	if k := bytes.IndexByte(c.src[i:], '\n'); k >= 0 {
		end = i + k
	}
	depth, ok := 0, true
	for j := start; j+2 < end; j++ {
		if c.src[j] != 0xe2 || c.src[j+1] != 0x81 {
			continue
		}
		switch b := c.src[j+2]; {
		case b >= 0xa6 && b <= 0xa8:
			depth++
		case b == 0xa9:
			depth--
			ok = ok && depth >= 0
		}
		ok = ok && depth <= 8 // deeper than any sentence, and than some terminals follow
	}
	c.lineEnd, c.balanced = end, ok && depth == 0
	return c.balanced
}

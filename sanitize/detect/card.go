package detect

import "sync"

// card finds payment card numbers.
type card struct{}

// Card returns the detector of payment card numbers: 13 to 19 digits, either in one run or in the groupings printed on cards
// (4-4-4-4 and its longer and shorter kin, 4-6-5, 4-6-4) with single spaces or hyphens, of an issuer range that exists for that
// length, with a valid Luhn digit, and not part of a longer number or word. Twelve-digit Maestro numbers are not covered:
// one in ten twelve-digit numbers has a valid check digit.
func Card() Detector { return card{} }

var cardSet = sync.OnceValue(func() *Set { s, _ := NewSet(card{}); return s })

// Name returns "card".
func (card) Name() string { return KindCard }

// maxCard is 19 digits, four separators, and the two bytes after them that are looked at.
const maxCard = 19 + 4 + 2

// MaxSpan returns the longest number with separators and the bytes looked at after it.
func (card) MaxSpan() int { return maxCard }

// Scan implements [Detector].
func (d card) Scan(text []byte, report func(Finding)) { scanAlone(d, cardSet, text, report) }

// Live implements [Streamer].
func (card) Live(text []byte, from int) int { return liveAlone(cardSet, text, from) }

func (card) pairs(mark func(a, b byte)) {
	// No issuer range begins with 0, 7, 8 or 9.
	for a := byte('1'); a <= '6'; a++ {
		for b := byte('0'); b <= '9'; b++ {
			mark(a, b)
		}
	}
}

func isDigit(c byte) bool { return c-'0' <= 9 }

func (card) at(text []byte, i int, final bool) (f Finding, ok, more bool) {
	if i > 0 {
		switch c := text[i-1]; {
		case isDigit(c):
			if !escapeEnds(text, i) {
				return // the middle of a number
			}
		case c == '.' && i > 1 && isDigit(text[i-2]), c == '+':
			return // decimals, telephone numbers
		case inWord(text, i):
			return
		}
	}
	var digits [19]byte
	var lengths uint32 // allowed total lengths by issuer, one bit each
	var sep byte
	n, j, end := 0, i, 0
	for g := 0; ; g++ {
		start := j
		for j < len(text) && isDigit(text[j]) {
			if n == len(digits) {
				// A run of more than 19 digits is not a card; what was complete before it may be.
				return finding(KindCard, "luhn", i, end), end > 0, false
			}
			digits[n] = text[j]
			n++
			j++
		}
		if n >= 4 && g == 0 {
			if lengths = issuer(&digits); lengths == 0 {
				return
			}
		}
		if j == len(text) && !final {
			return f, false, true
		}
		size := j - start
		if g == 0 && size < 4 || !grouping(g, size) {
			break
		}
		if g == 0 && size > 4 || n >= 13 {
			if n >= 13 && lengths&(1<<n) != 0 && luhn(digits[:n]) {
				free, wait := cardEnds(text, j, final)
				if wait {
					return f, false, true
				}
				if free {
					end = j
				}
			}
			if g == 0 && size > 4 {
				break
			}
		}
		if j == len(text) || text[j] != ' ' && text[j] != '-' || sep != 0 && text[j] != sep {
			break
		}
		sep = text[j]
		if j+1 == len(text) {
			if !final {
				return f, false, true
			}
			break
		}
		if !isDigit(text[j+1]) {
			break
		}
		j++
	}
	return finding(KindCard, "luhn", i, end), end > 0, false
}

func finding(kind, rule string, start, end int) Finding {
	return Finding{Kind: kind, Rule: rule, Start: start, End: end, Score: 1}
}

// cardEnds reports whether a number may end at j: no letter, digit or decimal goes on there.
func cardEnds(text []byte, j int, final bool) (free, wait bool) {
	if j == len(text) {
		return true, false
	}
	if c := text[j]; word[c] {
		return false, false
	} else if c == '.' {
		if j+1 == len(text) {
			return true, !final
		}
		return !isDigit(text[j+1]), false
	}
	return true, false
}

// grouping reports whether group g (0 is the first) may hold size digits: Amex and Diners print 4-6-5 and 4-6-4, the others
// fours with a shorter last group.
func grouping(g, size int) bool {
	switch g {
	case 0:
		return size == 4 || size >= 13
	case 1:
		return size == 4 || size == 6
	case 2:
		return size >= 1 && size <= 5
	case 3:
		return size >= 1 && size <= 4
	case 4:
		return size >= 1 && size <= 3
	}
	return false
}

// issuer returns the lengths in use for the range a number's first four digits fall into, a bit per length.
// Source: ISO/IEC 7812 assignments as published by the schemes.
func issuer(d *[19]byte) uint32 {
	p := int(d[0]-'0')*1000 + int(d[1]-'0')*100 + int(d[2]-'0')*10 + int(d[3]-'0')
	const (
		l13, l14, l15, l16, l19 = 1 << 13, 1 << 14, 1 << 15, 1 << 16, 1 << 19
		l16to19                 = 1<<16 | 1<<17 | 1<<18 | 1<<19
		l14to19                 = l14 | l15 | l16to19
		l13to19                 = l13 | l14to19
	)
	switch p2 := p / 100; {
	case p2/10 == 4: // Visa
		return l13 | l16 | l19
	case p2 >= 51 && p2 <= 55, p >= 2221 && p <= 2720: // Mastercard
		return l16
	case p2 == 34, p2 == 37: // American Express
		return l15
	case p >= 3000 && p <= 3059, p == 3095, p2 == 36, p2 == 38, p2 == 39: // Diners Club
		return l14to19
	case p >= 3528 && p <= 3589: // JCB
		return l16to19
	case p == 2131, p == 1800: // JCB, old
		return l15
	case p == 6011, p >= 6440 && p <= 6599, p2 == 62: // Discover, UnionPay
		return l16to19
	case p >= 2200 && p <= 2204: // Mir
		return l16to19
	case p == 5018, p == 5020, p == 5038, p == 5893, p == 6304, p == 6759, p >= 6761 && p <= 6763: // Maestro
		return l13to19
	}
	return 0
}

func luhn(d []byte) bool {
	sum, double := 0, false
	for i := len(d) - 1; i >= 0; i-- {
		v := int(d[i] - '0')
		if double {
			if v *= 2; v > 9 {
				v -= 9
			}
		}
		sum += v
		double = !double
	}
	return sum%10 == 0
}

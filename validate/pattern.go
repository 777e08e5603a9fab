package validate

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxPattern      = 4096      // bytes of a string of format regex
	maxPatternDepth = 100       // groups open at once
	maxRepeat       = 1_000_000 // product of nested counted repetitions
)

// isPattern is the format "regex": whether a string is a regular expression in the syntax of ECMA-262, which JSON
// Schema means. The engine's own check is whether RE2 compiles it. That refuses the look-arounds which popular client
// libraries generate for e-mail addresses, and it costs milliseconds for chosen 4 KB, which an attacker may send by the
// hundred.
//
// This check reads the string once, without allocation. It is lenient about escapes and assertions, where engines
// differ, and strict about what no engine accepts: unbalanced groups and classes, nothing to repeat, a quantifier on a
// quantifier, reversed ranges and counts. Those are the patterns that crashed grammar compilers (CVE-2025-48944).
// Repetitions whose nested counts multiply to more than a million are refused for what they cost whoever expands them.
func isPattern(s string) bool {
	if len(s) > maxPattern {
		return false
	}
	var (
		groups [maxPatternDepth]int // per open group, the heaviest repetition in it
		depth  int
		item   bool // there is something before this place that a quantifier can follow
	)
	weight := 1   // the repetitions of that item
	heaviest := 1 // the heaviest item so far at the current depth
	for i := 0; i < len(s); {
		switch c := s[i]; c {
		case '\\':
			_, n := escape(s[i:])
			if n == 0 {
				return false
			}
			i += n
			item, weight = true, 1
		case '[':
			n := class(s[i:])
			if n == 0 {
				return false
			}
			i += n
			item, weight = true, 1
		case '(':
			n := groupHead(s[i:])
			if n == 0 || depth == maxPatternDepth {
				return false
			}
			i += n
			if s[i-1] == ')' { // flags alone, (?i)
				item = false
				continue
			}
			groups[depth], heaviest = heaviest, 1
			depth++
			item = false
		case ')':
			if depth == 0 {
				return false
			}
			depth--
			weight = heaviest
			heaviest = max(heaviest, groups[depth])
			item = true
			i++
		case '|', '^', '$':
			item = false
			i++
		case '*', '+', '?', '{':
			n, count := 1, 1
			if c == '{' {
				var ok bool
				if n, count, ok = counts(s[i:]); !ok {
					return false
				}
				if n == 0 { // any other brace is a character
					item, weight = true, 1
					i++
					continue
				}
			}
			if !item {
				return false
			}
			if i += n; i < len(s) && s[i] == '?' { // as few as possible
				i++
			}
			if count = max(count, 1); weight > maxRepeat/count {
				return false
			}
			weight *= count
			heaviest = max(heaviest, weight)
			item = false
		default:
			i++
			item, weight = true, 1
		}
	}
	return depth == 0
}

// escape reads the escape that s begins with: its character, or -1 for one that stands for several or none, and its
// length, 0 when s ends too early.
func escape(s string) (char rune, n int) {
	if len(s) < 2 {
		return 0, 0
	}
	digits := 0
	switch s[1] {
	case 'd', 'D', 's', 'S', 'w', 'W', 'b', 'B', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return -1, 2
	case 'p', 'P', 'k':
		return -1, 2 + braced(s[2:])
	case 'c':
		return -1, min(3, len(s))
	case 'x':
		digits = 2
	case 'u':
		if n := braced(s[2:]); n > 0 {
			return -1, 2 + n
		}
		digits = 4
	case 't':
		return '\t', 2
	case 'n':
		return '\n', 2
	case 'v':
		return '\v', 2
	case 'f':
		return '\f', 2
	case 'r':
		return '\r', 2
	case '0':
		return 0, 2
	}
	if digits > 0 && len(s) >= 2+digits {
		if v, err := strconv.ParseUint(s[2:2+digits], 16, 32); err == nil {
			return rune(v), 2 + digits
		}
	}
	r, size := utf8.DecodeRuneInString(s[1:])
	return r, 1 + size
}

// braced returns the length of the {...} or <...> that s begins with, 0 for none.
func braced(s string) int {
	for _, pair := range [...]string{"{}", "<>"} {
		if s != "" && s[0] == pair[0] {
			return strings.IndexByte(s[:min(len(s), 64)], pair[1]) + 1 // names are short, and the whole stays linear
		}
	}
	return 0
}

// class returns the length of the character class that s begins with, 0 when it is not closed or holds a reversed
// range. As in ECMA-262 the first "]" closes it.
func class(s string) int {
	i := 1
	if strings.HasPrefix(s[i:], "^") {
		i++
	}
	from := rune(-1) // the left end of a possible range
	ranged := false
	for i < len(s) {
		if s[i] == ']' {
			return i + 1
		}
		char, n := utf8.DecodeRuneInString(s[i:])
		if char == '\\' {
			if char, n = escape(s[i:]); n == 0 {
				return 0
			}
		} else if char == '-' && !ranged && from >= 0 && i+1 < len(s) && s[i+1] != ']' {
			ranged = true
			i++
			continue
		}
		if ranged && char >= 0 && char < from {
			return 0
		}
		if ranged {
			char = -1 // the end of a range begins no other
		}
		from, ranged = char, false
		i += n
	}
	return 0
}

// groupHead returns the length of the head of the group that s begins with, 0 for one that does not exist. A result
// that ends in ")" is a whole (?flags).
func groupHead(s string) int {
	if !strings.HasPrefix(s, "(?") {
		return 1
	}
	rest := s[2:]
	for _, head := range [...]string{":", "=", "!", "<=", "<!"} {
		if strings.HasPrefix(rest, head) {
			return 2 + len(head)
		}
	}
	name := strings.TrimPrefix(rest, "P") // (?P<name>
	if n := braced(name); n > 2 && name[0] == '<' {
		return 2 + len(rest) - len(name) + n
	}
	for i := range len(rest) {
		switch c := rest[i]; {
		case 'a' <= c && c <= 'z', c == '-':
		case (c == ':' || c == ')') && i > 0:
			return 2 + i + 1
		default:
			return 0
		}
	}
	return 0
}

// counts reads the {n}, {n,} or {n,m} that s begins with: its length, 0 if it is something else, and the larger count.
// ok is false when the counts are reversed or absurd.
func counts(s string) (n, count int, ok bool) {
	end := strings.IndexByte(s[:min(len(s), 48)], '}')
	if end < 0 {
		return 0, 0, true
	}
	from, to, ranged := strings.Cut(s[1:end], ",")
	if !digits(from) || to != "" && !digits(to) {
		return 0, 0, true
	}
	low, err := strconv.Atoi(from)
	if err != nil || low > maxRepeat {
		return 0, 0, false
	}
	if !ranged || to == "" {
		return end + 1, low, true
	}
	high, err := strconv.Atoi(to)
	return end + 1, high, err == nil && low <= high && high <= maxRepeat
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return s != ""
}

package detect

import "bytes"

// email finds e-mail addresses.
type email struct{}

// Email returns the detector of e-mail addresses: up to 64 characters of an unquoted ASCII local part (RFC 5321 section
// 4.5.3.1.1), '@', and a domain name whose last label is a word of at least two letters. File names like icon@2x.png and
// git@host:path are not addresses.
//
// In a stream it holds back the word that is just arriving, since every word may turn out to be a local part.
func Email() Detector { return &email{} }

const (
	maxLocal  = 64
	maxDomain = 254
	maxTLD    = 24
)

var (
	localPart  = newClass("azAZ09..__%%++--")
	domainName = newClass("azAZ09..--")
	letters    = newClass("azAZ")
)

// Name returns "email".
func (*email) Name() string { return KindEmail }

// MaxSpan returns the longest local part, '@', domain and one byte after it.
func (*email) MaxSpan() int { return maxLocal + 1 + maxDomain + 1 }

// Scan implements [Detector].
func (d *email) Scan(text []byte, report func(Finding)) { d.scan(text, 0, true, report) }

// scan reports the addresses that begin at or after from. Undecided ones (final false, the domain reaches the end) are left to
// the next call; Live covers them.
func (d *email) scan(text []byte, from int, final bool, report func(Finding)) {
	for a := from; ; a++ {
		k := bytes.IndexByte(text[a:], '@')
		if k < 0 {
			return
		}
		a += k
		if start, end := address(text, a); end > 0 && start >= from {
			report(finding(KindEmail, "address", start, end))
		}
	}
}

// address returns the span of the address around the '@' at a, or end 0.
func address(text []byte, a int) (start, end int) {
	start = local(text, a)
	if start == a {
		return 0, 0
	}
	limit := min(len(text), a+1+maxDomain)
	j := a + 1
	for j < limit && domainName[text[j]] {
		// One label, then the dot: only what begins after a dot can be the last label.
		label := j
		for j < limit && domainName[text[j]] && text[j] != '.' {
			j++
		}
		if label > a+1 {
			t := label
			for t < j && letters[text[t]] {
				t++
			}
			if n := t - label; n >= 2 && n <= maxTLD && !fileExtension(text[label:t]) {
				end = t
			}
		}
		if j == label || j == limit || text[j] != '.' {
			break // an empty label or the end of the name
		}
		j++
	}
	if end == 0 || string(text[start:a]) == "git" && end < len(text) && (text[end] == ':' || text[end] == '/') {
		return 0, 0
	}
	return start, end
}

// local returns where the local part before the '@' at a begins; a when there is none.
func local(text []byte, a int) int {
	s := a
	for s > 0 && a-s < maxLocal && localPart[text[s-1]] {
		s--
	}
	if a-s < maxLocal {
		// The letters of an escape written out in the text are not part of the address: "\njohn@...".
		if s > 0 && text[s-1] == '\\' && s < a {
			switch text[s] {
			case 'n', 'r', 't', 'b', 'f':
				s++
			case 'u':
				if s+5 <= a && hexes.all(text[s+1:s+5]) {
					s += 5
				}
			}
		}
	}
	for s < a && (text[s] == '.' || text[s] == '-') {
		s++
	}
	return s
}

// fileExtension reports whether a last label names a file type and no top-level domain.
func fileExtension(label []byte) bool {
	switch string(label) {
	case "png", "jpg", "jpeg", "gif", "webp", "svg", "ico", "css", "js", "mjs", "ts", "tsx", "jsx", "json", "html", "xml", "yaml",
		"yml", "toml", "txt", "go", "tar", "gz", "tgz", "whl", "jar", "exe", "dll":
		return true
	}
	return false
}

// Live implements [Streamer]: undecided are an address whose domain reaches the end of text, and else the word there.
func (*email) Live(text []byte, from int) int {
	d := len(text)
	for d > from && len(text)-d < maxDomain && domainName[text[d-1]] {
		d--
	}
	if d > from && len(text)-d < maxDomain && text[d-1] == '@' {
		if s := run(text, from, d-1); s < d-1 {
			return s
		}
	}
	return run(text, from, len(text))
}

// run returns the start of the run of local part characters that ends at e, at most maxLocal back.
func run(text []byte, from, e int) int {
	s := e
	for s > from && e-s < maxLocal && localPart[text[s-1]] {
		s--
	}
	return s
}

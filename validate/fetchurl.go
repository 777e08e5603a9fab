package validate

import "strings"

// FormatPublicHTTPS is a format that schemas given to [New] may use for URLs that somebody behind will fetch: https, a
// host by a DNS name of two labels or more, no user part, no backslash, white space or control character, at most 2,048
// bytes. Addresses in any notation, single-label names and the name spaces of private networks (local, internal, lan
// and the like) are refused, and so are public names that stand for private addresses: those of cloud metadata services, and
// of services that turn any address into a name (nip.io and the like).
//
// It closes the shapes that server-side request forgery through media URLs was published with (CVE-2025-6242,
// CVE-2026-24779). A public name that resolves to a private address passes: only the fetching end can see that.
const FormatPublicHTTPS = "mantlet-public-https"

// privateZones are last labels that are not on the public Internet: RFC 6761, RFC 6762, RFC 8375, ICANN's reservation
// of internal (2024), and names that networks use without one.
var privateZones = map[string]bool{
	"local": true, "localhost": true, "localdomain": true, "internal": true, "intranet": true, "private": true, "corp": true,
	"home": true, "lan": true, "arpa": true, "onion": true, "invalid": true,
}

// privateNames are public names that lead inside, with all names below them: metadata services of clouds (those of Google and
// Amazon under "internal" fall by their zone), and names of services whose answer is the address in the question, or loopback.
var privateNames = []string{
	"metadata.goog", "metadata.tencentyun.com", "nip.io", "sslip.io", "xip.io", "localtest.me", "lvh.me",
}

const maxFetchURL = 2048

func isPublicHTTPS(s string) bool {
	rest, ok := strings.CutPrefix(s, "https://")
	if !ok || len(s) > maxFetchURL {
		return false
	}
	// Every byte is looked at before any meaning is given to one: parsers differ about backslashes and controls, and
	// that difference is the attack.
	for i := range len(rest) {
		if c := rest[i]; c <= ' ' || c == '\\' || c == 0x7f {
			return false
		}
	}
	host := rest
	if end := strings.IndexAny(rest, "/?#"); end >= 0 {
		host = rest[:end]
	}
	if name, port, ok := strings.Cut(host, ":"); ok {
		if host = name; len(port) > 5 || !digits(port) {
			return false
		}
	}
	if len(host) > 253 {
		return false
	}
	for _, name := range privateNames {
		if at := len(host) - len(name); at >= 0 && strings.EqualFold(host[at:], name) && (at == 0 || host[at-1] == '.') {
			return false
		}
	}
	labels, last := 0, ""
	for label := range strings.SplitSeq(host, ".") {
		if !isLabel(label) {
			return false
		}
		labels, last = labels+1, label
	}
	// A last label of digits is an address in one of its many notations (127.1, 0x7f.1).
	return labels >= 2 && (last[0] < '0' || last[0] > '9') && !privateZones[strings.ToLower(last)]
}

// isLabel reports whether s is one label of a host name (RFC 1123 section 2.1), in ASCII.
func isLabel(s string) bool {
	if s == "" || len(s) > 63 || s[0] == '-' || s[len(s)-1] == '-' {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if c != '-' && (c < '0' || c > '9') && (c|0x20 < 'a' || c|0x20 > 'z') {
			return false
		}
	}
	return true
}

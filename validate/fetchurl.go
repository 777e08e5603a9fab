package validate

import (
	"slices"
	"strconv"
	"strings"
)

// FormatPublicHTTPS is a format that schemas given to [New] may use for URLs that somebody behind will fetch: https, a
// host by a DNS name of two labels or more, no user part, no backslash, white space or control character, at most 2,048
// bytes. Addresses in any notation, single-label names and the name spaces of private networks (local, internal, lan, svc
// and the like) are refused, and so are public names that stand for private addresses: those of cloud metadata services, and
// of services that turn any address into a name (nip.io and the like).
//
// The port is 443, or one from 1024 to 65535 that is none of a service with a protocol of its own (those browsers block, data stores,
// Docker, etcd, the kubelet): a fetching end that is led to an internal address must not find Redis there. It has no zero in
// front.
//
// It closes the shapes that server-side request forgery through media URLs was published with (CVE-2025-6242,
// CVE-2026-24779). A public name that resolves to a private address passes, and so does one of two labels that the search list
// of the fetching end completes (redis.shop, for redis.shop.svc.cluster.local): only that end can see it.
const FormatPublicHTTPS = "mantlet-public-https"

// privateZones are last labels that are not on the public Internet: RFC 6761, RFC 6762, RFC 8375, ICANN's reservation
// of internal (2024), and names that networks use without one.
var privateZones = map[string]bool{
	"local": true, "localhost": true, "localdomain": true, "internal": true, "intranet": true, "private": true, "corp": true,
	"home": true, "lan": true, "arpa": true, "onion": true, "invalid": true, "test": true, "alt": true, // RFC 9476
	"intra": true, "localnet": true, "localhost6": true, "localdomain6": true, "priv": true, "workgroup": true,
	// of clusters and containers; "default" is the name space of kubernetes.default
	"svc": true, "default": true, "kube-system": true, "k8s": true, "consul": true, "nomad": true, "docker": true, "lxd": true, "incus": true,
}

// privateNames are public names that lead inside, with all names below them: metadata services of clouds (those of Google and
// Amazon under "internal" fall by their zone), and names of services whose answer is the address in the question, or loopback.
var privateNames = []string{
	"metadata.goog", "metadata.tencentyun.com", "nip.io", "sslip.io", "xip.io", "localtest.me", "lvh.me",
	"vcap.me", "fuf.me", "lacolhost.com", "traefik.me", "backname.io", "localhost.direct", "lcl.host", "localdev.me", "local.gd", "plex.direct",
	"rbndr.us", "1u.ms", "rebind.network", // that change their answer (DNS rebinding)
	"ts.net", "fritz.box", // of tail nets and home routers
}

// foreignPorts are ports from 1024 on that speak something else than HTTPS for the public: the bad ports of the Fetch standard
// (port blocking), and where data stores, remote desktops and the machinery of containers listen.
var foreignPorts = []int{
	1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080,
	1433, 1521, 2181, 2375, 2376, 2379, 2380, 3306, 3389, 5432, 5672, 5984, 6379, 6380, 7000, 7001, 8086, 9042, 9092, 9200, 9300, 10250, 10255, 11211, 27017,
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
		if host = name; !isFetchPort(port) {
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

func isFetchPort(s string) bool {
	if len(s) > 5 || !digits(s) || s[0] == '0' {
		return false
	}
	port, err := strconv.Atoi(s)
	return err == nil && (port == 443 || port >= 1024 && port <= 65535 && !slices.Contains(foreignPorts, port))
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

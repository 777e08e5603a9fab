package guard

import (
	"fmt"
	"strings"
)

// Pattern is one entry of the tables of probe paths and scanner agents, with the reason it is there.
//
// Text of a probe path is one or more path segments joined with "/". They match anywhere in a path, or with a leading "/"
// only at its beginning; a segment may have a "*" as its first or last character, which stands for anything. What follows a
// ";" in a segment of the path, and spaces and dots at its end, are not looked at; a backslash, %2F and %5C separate
// segments as "/" does. ".env" matches /app/.env and /.env/x, "/server-status" matches
// /server-status but not /v1/server-status, "*.php" matches /blog/index.php.
//
// Text of an agent is matched anywhere in the User-Agent header where no letter or digit is next to it on either side, so
// that "nuclei" is not found in "nucleic-acid-tools".
//
// Upper and lower case of ASCII letters are the same.
type Pattern struct{ Text, Reason string }

const (
	whyEnv     = "environment file with secrets"
	whyRepo    = "repository metadata: the whole source in reach"
	whyCloud   = "cloud or cluster credentials"
	whyKeys    = "private keys"
	whyHost    = "configuration of a web server or developer machine"
	whyPHP     = "PHP application: nothing in front of a model is one"
	whyLegacy  = "script of another server technology"
	whyAdmin   = "administration surface with known remote code execution"
	whyDevice  = "router, camera or VPN appliance with known exploits"
	whyFile    = "file of the operating system: traversal"
	whyDump    = "database dump or backup"
	whySSRF    = "cloud metadata service asked for through us: open proxy test"
	whyScanner = "vulnerability scanner"
	whyBrute   = "path or parameter brute forcer"
	whySurvey  = "internet-wide survey or bot net"
	whyExploit = "exploit in the header itself"
)

// DefaultProbes returns a new list of the paths that scanners ask every server for and no inference API has.
func DefaultProbes() []Pattern {
	return expand([]family{
		{whyEnv, ".env .env.* .env_* .env-* .envrc appsettings.json"},
		{whyRepo, ".git .git-credentials .gitconfig .svn .hg .bzr CVS/Entries"},
		{whyCloud, ".aws .azure .boto .s3cfg .kube .docker .dockercfg .dockerenv docker-compose.yml docker-compose.yaml .terraform terraform.tfstate"},
		{whyKeys, ".ssh id_rsa id_dsa id_ecdsa id_ed25519 .netrc .pgpass .npmrc .pypirc"},
		{whyHost, ".htaccess .htpasswd web.config .DS_Store .vscode .idea .bash_history .zsh_history /server-status /server-info /nginx_status"},
		{whyPHP, "*.php *.php5 *.php7 *.phtml *.phar wp-admin wp-content wp-includes wp-json wp-config* phpmyadmin* phpinfo* /pma adminer* vendor/phpunit " +
			"_ignition/execute-solution /telescope/requests _profiler/phpinfo"},
		{whyLegacy, "cgi-bin *.asp *.aspx *.ashx *.asmx *.jsp *.jspx *.cfm *.cgi WEB-INF META-INF"},
		{whyAdmin, "actuator jolokia /manager/html /host-manager/html /jenkins /hudson /solr /struts /geoserver /druid /owa /ecp " +
			"/autodiscover /aspnet_client /_cat /_cluster /_search /_all_dbs /_utils /invoker /web-console /jmx-console /console/login /script/console"},
		{whyDevice, "/boaform /GponForm /goform /HNAP1 /cgi /setup.cgi /dana-na /+CSCOE+ /+CSCOT+ /global-protect /remote/fgt_lang /remote/logincheck " +
			"/remote/login /vpns /mgmt/tm /tmui /SDK/webLanguage /evox /sslvpn /stalker_portal"},
		{whyFile, "etc/passwd etc/shadow proc/self win.ini boot.ini windows/system32"},
		{whyDump, "dump.sql backup.sql database.sql db.sql backup.zip backup.tar.gz www.zip site.zip"},
		{whySSRF, "/latest/meta-data /computeMetadata /metadata/instance"},
	})
}

// DefaultAgents returns a new list of the programs that announce themselves as scanners. A scanner that does not is not
// found this way. General clients (curl, Go-http-client, python-requests) and search engines are not on it.
func DefaultAgents() []Pattern {
	return append(expand([]family{
		{whyScanner, "sqlmap nikto nuclei acunetix nessus openvas wpscan joomscan arachni w3af skipfish whatweb havij commix xsstrike jaeles " +
			"netsparker invicti wapiti zmeu jorgee morfeus dalfox"},
		{whyBrute, "gobuster dirbuster dirb dirsearch feroxbuster ffuf wfuzz fhscan kiterunner"},
		{whySurvey, "masscan zgrab zmap nmap censysinspect l9explore l9tcpid libredtail-http mozi"},
	}),
		Pattern{"Fuzz Faster U Fool", whyBrute}, // ffuf's own words
		Pattern{"Nmap Scripting Engine", whyScanner},
		Pattern{"httpx - Open-source project", whySurvey}, // ProjectDiscovery's; not the Python client of that name
		Pattern{"${jndi:", whyExploit},                    // CVE-2021-44228
		Pattern{"() {", whyExploit},                       // CVE-2014-6271
	)
}

// family is a reason with the texts that share it, separated by spaces.
type family struct{ reason, texts string }

func expand(families []family) []Pattern {
	var list []Pattern
	for _, f := range families {
		for _, text := range strings.Fields(f.texts) {
			list = append(list, Pattern{text, f.reason})
		}
	}
	return list
}

// matchers find the patterns in a path or a header without allocating, by the first byte (or, behind a "*", the last).
type (
	paths struct {
		list         []Pattern
		heads, tails [256]bucket
	}
	bucket struct {
		chains   []chain
		shortest int // no segment shorter than this matches: most paths end here
	}
	chain struct {
		segments []segment
		anchored bool
		pattern  int
	}
	segment struct {
		text string // in lower case
		kind byte   // 0, or the side of the "*": '<' or '>'
	}
	agents struct {
		list  []Pattern
		heads [256][]agent
	}
	agent struct {
		text    string // in lower case
		pattern int
	}
)

func newPaths(list []Pattern) (*paths, []error) {
	m := &paths{list: list}
	var faults []error
	for i, p := range list {
		c := chain{pattern: i, anchored: strings.HasPrefix(p.Text, "/")}
		for s := range strings.SplitSeq(strings.TrimPrefix(p.Text, "/"), "/") {
			seg := segment{text: lower(s)}
			if rest, ok := strings.CutPrefix(seg.text, "*"); ok {
				seg = segment{rest, '<'}
			} else if rest, ok := strings.CutSuffix(seg.text, "*"); ok {
				seg = segment{rest, '>'}
			}
			if seg.kind != '>' {
				seg.text = strings.TrimRight(seg.text, ". ") // as nextSegment does
			}
			if seg.text == "" || strings.ContainsAny(seg.text, "*;") {
				faults = append(faults, fmt.Errorf("guard: Config.Probes[%d].Text %q is no pattern of path segments", i, p.Text))
				break
			}
			c.segments = append(c.segments, seg)
		}
		if len(c.segments) == 0 {
			continue
		}
		first := c.segments[0].text
		b := &m.heads[first[0]]
		if c.segments[0].kind == '<' {
			b = &m.tails[first[len(first)-1]]
		}
		if len(b.chains) == 0 || len(first) < b.shortest {
			b.shortest = len(first)
		}
		b.chains = append(b.chains, c)
	}
	return m, faults
}

// match returns the pattern that a decoded path matches, or nil.
func (m *paths) match(path string) *Pattern {
	for first := true; ; first = false {
		seg, rest := nextSegment(path)
		if seg == "" {
			return nil
		}
		for _, b := range [2]*bucket{&m.heads[lowerByte(seg[0])], &m.tails[lowerByte(seg[len(seg)-1])]} {
			if len(seg) < b.shortest {
				continue
			}
			for i := range b.chains {
				if c := &b.chains[i]; (first || !c.anchored) && c.matches(seg, rest) {
					return &m.list[c.pattern]
				}
			}
		}
		path = rest
	}
}

func (c *chain) matches(seg, rest string) bool {
	for i := range c.segments {
		if i > 0 {
			if seg, rest = nextSegment(rest); seg == "" {
				return false
			}
		}
		want := &c.segments[i]
		if len(seg) < len(want.text) || want.kind == 0 && len(seg) != len(want.text) {
			return false
		}
		got := seg[:len(want.text)]
		if want.kind == '<' {
			got = seg[len(seg)-len(want.text):]
		}
		if !same(got, want.text) {
			return false
		}
	}
	return true
}

// nextSegment returns the first segment of path that is not empty, and what is behind it; "" at the end. A slash or backslash that
// is still encoded separates too, for whoever decodes once more; parameters, and the spaces and dots at the end that Windows
// drops, do not belong to the segment.
func nextSegment(path string) (seg, rest string) {
	for path != "" {
		end, next := len(path), len(path)
	find:
		for i := range len(path) {
			switch path[i] {
			case '/', '\\':
				end, next = i, i+1
			case '%':
				if i+2 >= len(path) {
					continue
				}
				if d, ok := hexByte(path[i+1], path[i+2]); !ok || d != '/' && d != '\\' {
					continue
				}
				end, next = i, i+3
			default:
				continue
			}
			break find
		}
		seg, path = path[:end], path[next:]
		if i := strings.IndexByte(seg, ';'); i >= 0 {
			seg = seg[:i]
		}
		if seg = strings.TrimRight(seg, ". "); seg != "" {
			return seg, path
		}
	}
	return "", ""
}

func newAgents(list []Pattern) (*agents, []error) {
	m := &agents{list: list}
	var faults []error
	for i, p := range list {
		text := lower(p.Text)
		if strings.TrimSpace(text) == "" {
			faults = append(faults, fmt.Errorf("guard: Config.Agents[%d].Text %q would match every client", i, p.Text))
			continue
		}
		m.heads[text[0]] = append(m.heads[text[0]], agent{text, i})
	}
	return m, faults
}

// match returns the pattern found in a User-Agent, or nil.
func (m *agents) match(header string) *Pattern {
	for i := range len(header) {
		if i > 0 && word(header[i-1]) && word(header[i]) {
			continue
		}
		for _, a := range m.heads[lowerByte(header[i])] {
			end := i + len(a.text)
			if end > len(header) || !same(header[i:end], a.text) {
				continue
			}
			if end < len(header) && word(header[end-1]) && word(header[end]) {
				continue
			}
			return &m.list[a.pattern]
		}
	}
	return nil
}

func word(c byte) bool { c = lowerByte(c); return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		c += 'a' - 'A'
	}
	return c
}

// lower is s with its ASCII letters in lower case: other letters have other ideas of case, and matching bytes must not.
func lower(s string) string {
	b := []byte(s)
	for i := range b {
		b[i] = lowerByte(b[i])
	}
	return string(b)
}

// same reports whether s is text but for the case of ASCII letters; they are equally long, and text is in lower case.
func same(s, text string) bool {
	for i := range len(text) {
		if lowerByte(s[i]) != text[i] {
			return false
		}
	}
	return true
}

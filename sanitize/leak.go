package sanitize

import (
	"bytes"
	"sync"

	"github.com/mantlet-go/mantlet/sanitize/detect"
)

// leakSigns are literals that belong into logs and never into an answer, by rule. They are chosen so that messages written for
// clients do not hold them.
var leakSigns = []struct {
	rule  string
	signs []string
}{
	{"stack_trace", []string{
		"runtime error: ", "runtime/debug.Stack", "panic: ", // Go
		"Traceback (most recent call last)", "\n  File \"", // Python
		"Exception in thread", "\n\tat ", "\n    at ", "Caused by: ", "java.lang.", "org.springframework.", // Java, Node
		"node_modules/", "node:internal/", "\n   at System.", "System.NullReferenceException", ".cs:line ",
		"panicked at ", "RUST_BACKTRACE", "Stack trace:\n#0", ":in `",
	}},
	{"database", []string{
		"SQLSTATE", "pq: ", "ERROR: relation ", "ERROR:  ", "syntax error at or near", "duplicate key value violates",
		"violates foreign key constraint", "violates not-null constraint", "UNIQUE constraint failed", "sqlite3.", "SQLITE_",
		"psycopg2.", "asyncpg.", "sqlalchemy.exc", "You have an error in your SQL syntax", "ORA-0", "ORA-1", "ORA-2",
		"sql: ", "mysql: ", "pgx: ", "mongo: ", "redis: ", "WRONGTYPE Operation", "E11000 duplicate key", "Unclosed quotation mark",
		"com.mysql.", "org.postgresql.", "PDOException", "GORM",
	}},
	{"dsn", []string{
		"postgres://", "postgresql://", "mysql://", "mongodb://", "mongodb+srv://", "redis://", "rediss://", "amqp://", "amqps://",
		"sqlserver://", "jdbc:", "Data Source=", "Initial Catalog=", "AccountKey=", "SharedAccessKey=",
	}},
	{"network", []string{
		"dial tcp", "dial unix", "connect: connection refused", "no such host", "i/o timeout", "x509: ", "tls: ",
		"context deadline exceeded", "context canceled", "read: connection reset", "broken pipe", "ECONNREFUSED", "ENOTFOUND",
		"getaddrinfo", ".svc.cluster.local", ".compute.internal", "metadata.google.internal", "169.254.169.254",
		"127.0.0.1", "localhost:", "HTTPConnectionPool(", "upstream connect error",
	}},
	{"path", []string{
		"/home/", "/usr/local/", "/usr/lib/", "/usr/src/", "/var/lib/", "/var/www/", "/var/run/", "/opt/", "/root/", "/srv/", "/app/",
		"/etc/", "/proc/self", "/go/src/", "/go/pkg/mod/", "site-packages/", "C:\\", "D:\\", "/Users/", "file:///",
	}},
}

// sources are the endings of source files; followed by a line number they come from a stack trace.
var sources = []string{".go:", ".py:", ".py\", line ", ".java:", ".kt:", ".scala:", ".js:", ".mjs:", ".cjs:", ".ts:", ".tsx:", ".rb:", ".php:",
	".php on line ", ".rs:", ".cs:line ", ".c:", ".cc:", ".cpp:", ".cu:", ".h:", ".swift:", ".ex:", ".erl:"}

// queryKeys are parameters that carry credentials in URLs.
var queryKeys = []string{"key=", "api_key=", "apikey=", "api-key=", "token=", "access_token=", "sig=", "signature=", "secret=", "password=",
	"client_secret=", "X-Amz-Signature=", "X-Amz-Credential="}

var leakKeys = sync.OnceValue(func() *detect.Set {
	s, err := detect.NewSet(detect.ProviderKeys())
	if err != nil {
		panic(err) // a built-in detector is always usable
	}
	return s
})

// leaks returns the rule by which body tells what only the operator should know, "" for none. JSON escapes in body are read as
// what they stand for.
func leaks(body []byte) string {
	if rule := leaksIn(body); rule != "" {
		return rule
	}
	if bytes.IndexByte(body, '\\') >= 0 {
		return leaksIn(unescape(body))
	}
	return ""
}

func leaksIn(body []byte) string {
	for _, group := range leakSigns {
		for _, sign := range group.signs {
			if group.rule == "path" {
				// In the middle of a URL "/app/" is no path of ours.
				if follows(body, sign, func(b []byte, i int) bool { return pathStarts(b, i-len(sign)) }) {
					return group.rule
				}
			} else if bytes.Contains(body, []byte(sign)) {
				return group.rule
			}
		}
	}
	if follows(body, "goroutine ", digitAt) {
		return "stack_trace"
	}
	for _, end := range sources {
		if follows(body, end, digitAt) {
			return "stack_trace"
		}
	}
	for _, k := range queryKeys {
		if follows(body, k, func(b []byte, i int) bool {
			at := i - len(k) - 1
			return at >= 0 && (b[at] == '?' || b[at] == '&') && opaque(b[i:])
		}) {
			return "credential"
		}
	}
	if userInfo(body) {
		return "credential"
	}
	if privateAddress(body) {
		return "network"
	}
	found := false
	leakKeys().Scan(body, 0, true, func(detect.Finding) { found = true })
	if found {
		return "secret"
	}
	return ""
}

// follows reports whether sign occurs in body with ok true for the offset after it.
func follows(body []byte, sign string, ok func([]byte, int) bool) bool {
	for from := 0; ; {
		i := bytes.Index(body[from:], []byte(sign))
		if i < 0 {
			return false
		}
		from += i + len(sign)
		if ok(body, from) {
			return true
		}
	}
}

// pathStarts reports whether no host or longer path stands before i.
func pathStarts(b []byte, i int) bool {
	return i == 0 || !wordByte(b[i-1]) && b[i-1] != '.' && b[i-1] != '-' && b[i-1] != '/' && b[i-1] < 0x80
}

func digitAt(b []byte, i int) bool { return i < len(b) && b[i]-'0' <= 9 }

// opaque reports whether b begins with at least eight characters that look like a value rather than a placeholder.
func opaque(b []byte) bool {
	n := 0
	for n < len(b) && n < 8 {
		c := b[n]
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c-'0' <= 9 || c == '-' || c == '_' || c == '%' || c == '+' || c == '/' || c == '.' {
			n++
			continue
		}
		break
	}
	return n == 8
}

// userInfo reports whether body holds a URL with a password: "://user:password@".
func userInfo(body []byte) bool {
	return follows(body, "://", func(b []byte, i int) bool {
		colon := false
		for j := i; j < len(b) && j-i < 256; j++ {
			switch c := b[j]; {
			case c == ':':
				colon = true
			case c == '@':
				return colon
			case c == '/' || c == '?' || c == '#' || c <= ' ' || c == '"' || c == '\'' || c == '<' || c == '>':
				return false
			}
		}
		return false
	})
}

// privateAddress reports whether body holds an address of RFC 1918, RFC 6598, link-local or loopback space.
func privateAddress(body []byte) bool {
	for i := 0; i < len(body); i++ {
		if body[i]-'0' > 9 || i > 0 && (wordByte(body[i-1]) || body[i-1] == '.') {
			continue
		}
		var octet [4]int
		j, n := i, 0
		for n < 4 {
			start := j
			for j < len(body) && j-start < 3 && body[j]-'0' <= 9 {
				octet[n] = octet[n]*10 + int(body[j]-'0')
				j++
			}
			if j == start || octet[n] > 255 {
				break
			}
			n++
			if n < 4 {
				if j >= len(body) || body[j] != '.' {
					break
				}
				j++
			}
		}
		if n < 4 || j < len(body) && (wordByte(body[j]) || body[j] == '.' && digitAt(body, j+1)) {
			continue
		}
		a, b := octet[0], octet[1]
		if a == 10 || a == 127 || a == 172 && b >= 16 && b < 32 || a == 192 && b == 168 || a == 169 && b == 254 || a == 100 && b >= 64 && b < 128 {
			return true
		}
	}
	return false
}

func wordByte(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c-'0' <= 9 || c == '_' }

// unescape reads JSON escapes anywhere in body, leniently.
func unescape(body []byte) []byte { return appendUnescaped(make([]byte, 0, len(body)), body) }

func appendUnescaped(out, body []byte) []byte {
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' || i+1 == len(body) {
			out = append(out, body[i])
			continue
		}
		i++
		switch body[i] {
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			if v := hex4(body, i+1); v < 0x80 && i+4 < len(body) {
				out = append(out, byte(v))
			} else {
				out = append(out, '?')
			}
			i = min(i+4, len(body)-1)
		default:
			out = append(out, body[i])
		}
	}
	return out
}

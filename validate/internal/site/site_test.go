package site_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/validate/internal/site"
)

func request(local, host, origin string) *http.Request {
	r := httptest.NewRequest("GET", "/", nil)
	r.Host = host
	if origin != "" {
		r.Header.Set("Origin", origin)
	}
	addr, err := net.ResolveTCPAddr("tcp", local)
	if err != nil {
		panic(err)
	}
	return r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(addr)))
}

func TestOnlyTheNamesOfTheLoopbackInterfaceReachIt(t *testing.T) {
	for _, c := range []struct {
		local, host string
		want        site.Fault
	}{
		{"127.0.0.1:80", "localhost", 0}, {"127.0.0.1:80", "LOCALHOST.:80", 0}, {"[::1]:80", "[::1]:80", 0}, {"127.9.9.9:80", "127.1.2.3", 0}, {"[::ffff:127.0.0.1]:80", "[::ffff:127.0.0.1]", 0},
		{"127.0.0.1:80", "evil.example", site.HostUnknown}, {"127.0.0.1:80", "localhost.evil.example", site.HostUnknown}, {"127.0.0.1:80", "0.0.0.0", site.HostUnknown}, {"127.0.0.1:80", "[::]", site.HostUnknown},
		{"127.0.0.1:80", "", site.HostInvalid}, {"127.0.0.1:80", "127.1", site.HostInvalid}, {"127.0.0.1:80", "a b", site.HostInvalid},
		{"192.0.2.1:80", "anything.example", 0},
	} {
		if got := site.Loopback(request(c.local, c.host, "")); got != c.want {
			t.Errorf("%s at %s: %d, want %d", c.host, c.local, got, c.want)
		}
	}
	if site.Loopback(httptest.NewRequest("GET", "/", nil)) != 0 {
		t.Error("a request without a connection")
	}
}

func TestAPageOfTheSameHostIsToldInAnySpelling(t *testing.T) {
	c, faults := site.New(nil, []string{"https://app.example.com", "vscode-webview://x"})
	if faults != nil {
		t.Fatal(faults)
	}
	for _, p := range []struct {
		host, origin string
		listed, same bool
	}{
		{"a.example", "https://app.example.com", true, true}, {"a.example", "vscode-webview://x", true, true}, {"a.example", "", true, true},
		{"a.example", "https://a.example", false, true}, {"A.Example.", "http://a.example", false, true}, {"a.example:443", "https://a.example", false, true},
		{"a.example:8080", "http://a.example:8080", false, true}, {"[::1]:80", "http://[0:0::1]", false, true},
		{"a.example:443", "http://a.example", false, false}, {"a.example", "https://a.example:444", false, false}, {"a.example:8080", "http://a.example", false, false},
		{"a.example", "null", false, false}, {"a.example", "file://a.example", false, false}, {"", "https://", false, false}, {"a.example", "https://a.example@b.example", false, false},
	} {
		for same, want := range map[bool]bool{false: p.listed, true: p.same} {
			if got := c.Origin(request("192.0.2.1:80", p.host, p.origin), same) == 0; got != want {
				t.Errorf("%s of %s, same host counts %v: %v", p.origin, p.host, same, got)
			}
		}
	}
}

func TestNewNamesEveryFault(t *testing.T) {
	_, faults := site.New([]string{"ok.example", "", "https://a", "a:b"}, []string{"https://ok.example", "a.example", "https://A.example", "https://a.example:443", "https://a.example/"})
	if len(faults) != 7 {
		t.Errorf("%d faults: %v", len(faults), faults)
	}
}

// Whoever writes the host in another case, or with a trailing dot, gets the same answer; nothing panics.
func FuzzHost(f *testing.F) {
	for _, s := range []string{"a.example", "A.EXAMPLE.:443", "[::1]:80", "127.0.0.1", "0x7f.1", "[fe80::1%25lo]", ":80", "a..b"} {
		f.Add(s)
	}
	c, _ := site.New([]string{"a.example", "[::1]:80", "127.0.0.1"}, nil)
	f.Fuzz(func(t *testing.T, s string) {
		got := c.Host(s)
		if other := c.Host(strings.Map(func(r rune) rune {
			if r >= 'a' && r <= 'z' {
				return r - 0x20
			}
			return r
		}, s)); strings.ToValidUTF8(s, "") == s && other != got {
			t.Errorf("%q: %d, in capitals %d", s, got, other)
		}
		if got == 0 && strings.ContainsAny(s, "/ @%\\") {
			t.Errorf("%q is known", s)
		}
	})
}

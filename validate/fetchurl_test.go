package validate_test

import (
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/validate"
)

func TestFormatPublicHTTPS(t *testing.T) {
	for s, want := range map[string]bool{
		"https://example.com": true, "https://example.com/": true, "https://a.b.example.co.uk:8443/x?y=z#f": true, "https://xn--bcher-kva.example/": true,
		"https://1password.com/x": true, "https://example.com?x": true, "https://example.com/ü": true, "https://EXAMPLE.com/a@b": true,
		"http://example.com": false, "HTTPS://example.com": false, "ftp://example.com": false, "file:///etc/passwd": false, "//example.com": false, "": false,
		"https://": false, "https:///x": false, "https://localhost/": false, "https://metadata/": false, "https://127.0.0.1/": false, "https://127.1": false,
		"https://2130706433/": false, "https://0x7f.0.0.1/": false, "https://0x7f.1/": false, "https://017700000001/": false, "https://[::1]/": false, "https://[::ffff:10.0.0.1]/": false,
		"https://169.254.169.254/latest": false, "https://10.0.0.1:443/": false, "https://a@example.com/": false, "https://example.com@evil.example/": false,
		"https://evil.example\\@example.com/": false, "https://example.com\\x": false, "https://example.com/\\x": false, "https://example.com/ x": false,
		"https://example.com/\n": false, "https://exam\tple.com/": false, "https://example.com./": false, "https://.example.com/": false, "https://a..b/": false,
		"https://-a.example/": false, "https://a_b.example.com/": false, "https://example.com:/": false, "https://example.com:123456/": false, "https://example.com:x/": false,
		"https://example.com:80:80/": false, "https://bücher.example/": false, "https://a%2eb.example/": false, "https://vllm.default.svc.cluster.local/": false,
		"https://metadata.google.internal/": false, "https://printer.LAN/": false, "https://router.home.arpa/": false, "https://1.0.0.127.in-addr.arpa/": false,
		"https://example.com/" + strings.Repeat("a", 2048): false, "https://" + strings.Repeat("a.", 130) + "com/": false, "https://" + strings.Repeat("a", 64) + ".com/": false,
	} {
		if got := validate.IsPublicHTTPS(s); got != want {
			t.Errorf("%.60q: %v, want %v", s, got, want)
		}
	}
}

func TestNamesThatLeadInsideAreRefused(t *testing.T) {
	for host, want := range map[string]bool{
		"vllm.shop.svc": false, "kubernetes.default.svc": false, "kubernetes.default": false, "x.kube-system": false, "a.vcap.me": false, "vcap.me": false, "fuf.me": false, "a.lacolhost.com": false,
		"10-0-0-1.traefik.me": false, "x.backname.io": false, "7f000001.c0a80001.rbndr.us": false, "redis.service.consul": false, "a.docker": false, "wiki.intra": false, "a.test": false, "api.k8s": false,
		"a.LOCALNET": false, "make-10.0.0.1-rr.1u.ms": false, "box.tail1234.ts.net": false, "192-168-1-1.abc.plex.direct": false, "fritz.box": false,
		"svc.example.com": true, "consul.io": true, "docker.com": true, "notvcap.me": true, "test.com": true, "ts.net.example": true, "mailbox.org": true,
	} {
		if got := validate.IsPublicHTTPS("https://" + host + "/x"); got != want {
			t.Errorf("%s: %v, want %v", host, got, want)
		}
	}
}

func TestPortsOfOtherServicesAreRefused(t *testing.T) {
	for port, want := range map[string]bool{
		"443": true, "1024": true, "8443": true, "9443": true, "8000": true, "8080": true, "65535": true,
		"0": false, "00443": false, "0443": false, "65536": false, "99999": false, "22": false, "25": false, "80": false, "442": false, "1023": false, "6379": false, "3306": false,
		"5432": false, "9200": false, "11211": false, "2375": false, "27017": false, "6667": false, "6000": false, "10250": false,
	} {
		if got := validate.IsPublicHTTPS("https://example.com:" + port + "/x"); got != want {
			t.Errorf("%s: %v, want %v", port, got, want)
		}
	}
}

package servetls_test

import (
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/servetls"
)

func TestPreloadingSaysWhatItLacksAndNothingElse(t *testing.T) {
	const lacksSub, lacksAge = "Preload requires IncludeSubDomains, which is not set", "Preload requires a MaxAge of at least 8760h0m0s, not 1h0m0s"
	for _, c := range []struct {
		hsts     servetls.HSTS
		sub, age bool
	}{
		{servetls.HSTS{Preload: true}, true, false},
		{servetls.HSTS{Preload: true, IncludeSubDomains: true, MaxAge: time.Hour}, false, true},
		{servetls.HSTS{Preload: true, MaxAge: time.Hour}, true, true},
	} {
		_, err := servetls.New(servetls.Config{Pairs: []servetls.Pair{{CertFile: "none", KeyFile: "none"}}, HSTS: c.hsts})
		if err == nil || strings.Contains(err.Error(), lacksSub) != c.sub || strings.Contains(err.Error(), lacksAge) != c.age {
			t.Errorf("%+v: %v", c.hsts, err)
		}
	}
}

func TestHSTSHasSafeDefaultsAndChecksPreloading(t *testing.T) {
	const year = 365 * 24 * time.Hour
	ca := newAuthority(t, "root", nil)
	pairs := []servetls.Pair{newFiles(t, ca.issue(host)).pair()}
	for _, tc := range []struct {
		name string
		hsts servetls.HSTS
		want string // "refused" or the header
	}{
		{"zero", servetls.HSTS{}, "max-age=31536000"},
		{"shorter", servetls.HSTS{MaxAge: time.Hour}, "max-age=3600"},
		{"sub-domains are asked for", servetls.HSTS{IncludeSubDomains: true}, "max-age=31536000; includeSubDomains"},
		{"preload", servetls.HSTS{IncludeSubDomains: true, Preload: true}, "max-age=31536000; includeSubDomains; preload"},
		{"preload for two years", servetls.HSTS{MaxAge: 2 * year, IncludeSubDomains: true, Preload: true}, "max-age=63072000; includeSubDomains; preload"},
		{"forget", servetls.HSTS{MaxAge: servetls.Forget}, "max-age=0"},
		{"skip", servetls.HSTS{Skip: true}, ""},
		{"preload without sub-domains", servetls.HSTS{Preload: true}, "refused"},
		{"preload for a month", servetls.HSTS{MaxAge: 30 * 24 * time.Hour, IncludeSubDomains: true, Preload: true}, "refused"},
		{"preload and forget", servetls.HSTS{MaxAge: servetls.Forget, IncludeSubDomains: true, Preload: true}, "refused"},
		{"negative", servetls.HSTS{MaxAge: -time.Second}, "refused"},
		{"half a second", servetls.HSTS{MaxAge: time.Second / 2}, "refused"},
		{"skip and more", servetls.HSTS{Skip: true, Preload: true}, "refused"},
	} {
		e, err := servetls.New(servetls.Config{Pairs: pairs, HSTS: tc.hsts, Poll: servetls.NoPoll})
		if err != nil {
			if tc.want != "refused" || !strings.Contains(err.Error(), "Config.HSTS.") {
				t.Errorf("%s: %v", tc.name, err)
			}
			continue
		}
		h := e.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		for _, url := range []string{"https://" + host, "http://" + host} {
			w := httptest.NewRecorder()
			h.ServeHTTP(w, httptest.NewRequest("GET", url, nil))
			want := tc.want
			if url[4] == ':' {
				want = ""
			}
			if got := w.Header().Values("Strict-Transport-Security"); strings.Join(got, "|") != want || want == "" && got != nil {
				t.Errorf("%s: %s: %q", tc.name, url, got)
			}
		}
	}
}

func TestAHandlerMayReplaceTheHeaderForItselfOnly(t *testing.T) {
	ca := newAuthority(t, "root", nil)
	e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{newFiles(t, ca.issue(host)).pair()}, Poll: servetls.NoPoll})
	h := e.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if got := w.Header()["Strict-Transport-Security"]; len(got) != 1 || got[0] != "max-age=31536000" {
			t.Errorf("%q", got)
		}
		w.Header()["Strict-Transport-Security"][0] = "max-age=1"
		w.Header().Add("Strict-Transport-Security", "max-age=2")
	}))
	for range 2 {
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("GET", "https://"+host, nil))
	}
}

// The whole of it: http.Server, HTTP/2 and HTTP/1.1, a client certificate, a renewal.
func TestAnHTTPServerServesWithIt(t *testing.T) {
	server, clients := newAuthority(t, "servers", nil), newAuthority(t, "clients", nil)
	cas := filepath.Join(t.TempDir(), "cas.pem")
	write(t, cas, clients.pem(), 0o644)
	f := newFiles(t, server.issue(host))
	e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{f.pair()}, ClientCAFiles: []string{cas}, OptionalClientCerts: true})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	check(t, err)
	srv := &http.Server{
		Handler: e.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			who := "nobody"
			if c, ok := servetls.VerifiedClient(r); ok {
				who = c.DNSNames[0]
			}
			_, _ = io.WriteString(w, r.Proto+" "+who)
		})),
		TLSConfig:         e.TLSConfig(),
		ReadHeaderTimeout: 10 * time.Second,
	}
	go func() { _ = srv.ServeTLS(ln, "", "") }()
	t.Cleanup(func() { _ = srv.Close() })

	get := func(h2 bool, cert *tls.Certificate) (string, *http.Response) {
		t.Helper()
		c := server.trust()
		if cert != nil {
			c.Certificates = []tls.Certificate{*cert}
		}
		tr := &http.Transport{TLSClientConfig: c, ForceAttemptHTTP2: h2}
		defer tr.CloseIdleConnections()
		resp, err := (&http.Client{Transport: tr}).Get("https://" + ln.Addr().String())
		check(t, err)
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		check(t, err)
		return string(b), resp
	}
	if got, resp := get(true, clients.client("caller.example")); got != "HTTP/2.0 caller.example" || resp.Header.Get("Strict-Transport-Security") == "" {
		t.Errorf("%q %v", got, resp.Header)
	}
	if got, _ := get(false, nil); got != "HTTP/1.1 nobody" {
		t.Errorf("%q", got)
	}
	next := server.issue(host)
	f.put(next)
	check(t, e.Reload(t.Context()))
	if _, resp := get(true, nil); !resp.TLS.PeerCertificates[0].Equal(next.leaf) || resp.TLS.CurveID != tls.X25519MLKEM768 {
		t.Errorf("curve %v, or the old certificate", resp.TLS.CurveID)
	}
}

func TestOnlyAVerifiedCertificateIdentifiesAClient(t *testing.T) {
	c := new(x509.Certificate)
	for name, state := range map[string]*tls.ConnectionState{
		"plain": nil, "none": {}, "not verified": {PeerCertificates: []*x509.Certificate{c}}, "an empty chain": {VerifiedChains: [][]*x509.Certificate{{}}},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.TLS = state
		if got, ok := servetls.VerifiedClient(r); ok || got != nil {
			t.Error(name)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{c}}}
	if got, ok := servetls.VerifiedClient(r); !ok || got != c {
		t.Error("not identified")
	}
}

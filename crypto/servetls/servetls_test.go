package servetls_test

import (
	"context"
	"crypto/ed25519"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/servetls"
	"github.com/mantlet-go/mantlet/internal/prints"
)

func TestEveryFaultOfAConfigIsReportedAtOnce(t *testing.T) {
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
	absent := filepath.Join(t.TempDir(), "absent")
	_, err := servetls.New(servetls.Config{
		Pairs:               []servetls.Pair{{CertFile: "a"}, {CertFile: "b", KeyFile: "b"}, {CertFile: absent, KeyFile: absent + ".key"}, {CertFile: absent, KeyFile: absent + ".key"}},
		GetCertificate:      get,
		OptionalClientCerts: true,
		NextProtos:          []string{"h2", "h2", ""},
		Poll:                time.Millisecond,
		HSTS:                servetls.HSTS{MaxAge: -2, Preload: true},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{
		"Config.GetCertificate is set together", "Pairs[0] lacks", `Pairs[1] has one file "b"`, "Pairs[3] occurs twice", "OptionalClientCerts",
		`NextProtos[1] "h2"`, `NextProtos[2] ""`, "Poll 1ms", "MaxAge is negative: -2ns", "Preload requires", absent,
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("nothing says %q in:\n%v", want, err)
		}
	}
	if _, err := servetls.New(servetls.Config{}); err == nil || !strings.Contains(err.Error(), "there is no certificate") {
		t.Errorf("without a certificate: %v", err)
	}
	if _, err := servetls.New(servetls.Config{GetCertificate: get, ClientCAFiles: []string{"", absent, absent}}); err == nil || strings.Count(err.Error(), "empty or occurs twice") != 2 {
		t.Errorf("CA files: %v", err)
	}
}

func TestTheKeyExchangeIsPostQuantumAndTheVersion13(t *testing.T) {
	ca := newAuthority(t, "root", nil)
	e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{newFiles(t, ca.issue(host)).pair()}})
	client := ca.trust()
	client.NextProtos = []string{"h2", "http/1.1"}
	s, err := handshake(e.TLSConfig(), client)
	if err != nil {
		t.Fatal(err)
	}
	if s.CurveID != tls.X25519MLKEM768 || s.Version != tls.VersionTLS13 || s.NegotiatedProtocol != "h2" {
		t.Errorf("curve %v, version %s, protocol %q", s.CurveID, tls.VersionName(s.Version), s.NegotiatedProtocol)
	}
}

func TestNoListOfGroupsOrSuitesIsFrozen(t *testing.T) {
	ca := newAuthority(t, "root", nil)
	outer := mustNew(t, servetls.Config{Pairs: []servetls.Pair{newFiles(t, ca.issue(host)).pair()}}).TLSConfig()
	inner, err := outer.GetConfigForClient(nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*tls.Config{outer, inner} {
		if c.CurvePreferences != nil || c.CipherSuites != nil || c.MaxVersion != 0 || c.KeyLogWriter != nil {
			t.Errorf("%v %v %v", c.CurvePreferences, c.CipherSuites, c.MaxVersion)
		}
	}
}

func TestOldVersionsAreRefused(t *testing.T) {
	ca := newAuthority(t, "root", nil)
	f := newFiles(t, ca.issue(host))
	t.Setenv("GODEBUG", "tls10server=1") // lowers Go's own default
	for _, tc := range []struct {
		only13  bool
		version uint16
		ok      bool
	}{
		{false, tls.VersionTLS10, false}, {false, tls.VersionTLS11, false}, {false, tls.VersionTLS12, true}, {false, tls.VersionTLS13, true},
		{true, tls.VersionTLS10, false}, {true, tls.VersionTLS11, false}, {true, tls.VersionTLS12, false}, {true, tls.VersionTLS13, true},
	} {
		e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{f.pair()}, TLS13Only: tc.only13})
		client := ca.trust()
		client.MinVersion, client.MaxVersion = tc.version, tc.version
		s, err := handshake(e.TLSConfig(), client)
		if (err == nil) != tc.ok || tc.ok && s.Version != tc.version {
			t.Errorf("only 1.3 %v: %s: %v", tc.only13, tls.VersionName(tc.version), err)
		}
	}
}

func TestSessionsResumeAcrossARenewalAndWithoutEarlyData(t *testing.T) {
	ca := newAuthority(t, "root", nil)
	f := newFiles(t, ca.issue(host))
	e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{f.pair()}})
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		server, client := e.TLSConfig(), ca.trust()
		cache := &keeper{ClientSessionCache: tls.NewLRUClientSessionCache(4)}
		client.ClientSessionCache, client.MaxVersion = cache, version
		first, err := handshake(server, client)
		if err != nil || first.DidResume {
			t.Fatal(err)
		}
		f.put(ca.issue(host))
		if err := e.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		second, err := handshake(server, client)
		if err != nil || !second.DidResume {
			t.Errorf("%s: resumed %v: %v", tls.VersionName(version), second.DidResume, err)
		}
		if len(cache.states) == 0 {
			t.Errorf("%s: no ticket came", tls.VersionName(version))
		}
		for _, s := range cache.states {
			if _, state, err := s.ResumptionState(); err != nil || state.EarlyData {
				t.Errorf("%s: a ticket allows early data (%v)", tls.VersionName(version), err)
			}
		}
	}
}

// keeper keeps all sessions that it was given.
type keeper struct {
	tls.ClientSessionCache
	states []*tls.ClientSessionState
}

func (k *keeper) Put(name string, s *tls.ClientSessionState) {
	if s != nil {
		k.states = append(k.states, s)
	}
	k.ClientSessionCache.Put(name, s)
}

func TestTheNameAndTheAlgorithmChooseThePair(t *testing.T) {
	ca := newAuthority(t, "root", nil)
	var cfg servetls.Config
	for _, name := range []string{"first.example", "second.example", "*.wild.example"} {
		cfg.Pairs = append(cfg.Pairs, newFiles(t, ca.issue(name)).pair())
	}
	e := mustNew(t, cfg)
	for asked, want := range map[string]string{
		"first.example": "first.example", "second.example": "second.example", "a.wild.example": "*.wild.example", "other.example": "first.example", "": "first.example",
	} {
		client := &tls.Config{ServerName: asked, InsecureSkipVerify: true}
		s, err := handshake(e.TLSConfig(), client)
		if err != nil || s.PeerCertificates[0].DNSNames[0] != want {
			t.Errorf("%q: %v", asked, err)
		}
	}
}

func TestACertificateMayBeSuppliedByAFunction(t *testing.T) {
	ca := newAuthority(t, "root", nil)
	p := ca.issue(host)
	c, err := tls.X509KeyPair(p.chain, p.key)
	if err != nil {
		t.Fatal(err)
	}
	refused := errors.New("not that one")
	e := mustNew(t, servetls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if h.ServerName != host {
			return nil, refused
		}
		return &c, nil
	}, NextProtos: []string{"http/1.1", "acme-tls/1"}})
	if got := ca.shown(e); !got.Equal(p.leaf) {
		t.Error("another certificate")
	}
	client := ca.trust()
	client.ServerName = "other.example"
	if _, err := handshake(e.TLSConfig(), client); !errors.Is(err, refused) {
		t.Errorf("%v", err)
	}
	client = ca.trust()
	client.NextProtos = []string{"acme-tls/1"}
	if s, err := handshake(e.TLSConfig(), client); err != nil || s.NegotiatedProtocol != "acme-tls/1" {
		t.Errorf("%q %v", s.NegotiatedProtocol, err)
	}
	if err := errors.Join(e.Reload(t.Context()), e.State().Check(time.Now(), time.Hour)); err != nil {
		t.Error(err)
	}
}

func TestAZeroEndpointRefusesEverything(t *testing.T) {
	ca := newAuthority(t, "root", nil)
	for _, e := range []*servetls.Endpoint{nil, new(servetls.Endpoint)} {
		if _, err := handshake(e.TLSConfig(), ca.trust()); err == nil {
			t.Error("a handshake")
		}
		w := httptest.NewRecorder()
		e.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request went through") })).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
		if w.Code != 500 {
			t.Error(w.Code)
		}
		if e.Reload(t.Context()) == nil || e.Close(t.Context()) != nil || len(e.State().Pairs) != 0 {
			t.Error("reload, close or state")
		}
	}
}

func TestAKeyIsNeverPrinted(t *testing.T) {
	ca := newAuthority(t, "root", nil)
	key := ed25519.NewKeyFromSeed([]byte(prints.Secret))
	e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{newFiles(t, ca.issueFor(key, host, nil)).pair()}})
	if _, err := handshake(e.TLSConfig(), ca.trust()); err != nil {
		t.Fatal(err)
	}
	prints.None(t, e, *e, e.State(), e.TLSConfig())
}

func TestEveryoneMayUseAnEndpointAtOnce(t *testing.T) {
	ca := newAuthority(t, "root", nil)
	f := newFiles(t, ca.issue(host))
	e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{f.pair()}, Poll: time.Second})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 5 {
				if _, err := handshake(e.TLSConfig(), ca.trust()); err != nil {
					t.Error(err)
				}
				if err := e.Reload(t.Context()); err != nil {
					t.Error(err)
				}
				s := e.State()
				s.Pairs[0].Files[0] = "mine"
				_ = s.Check(time.Now(), 0)
			}
		})
	}
	wg.Wait()
	if e.State().Pairs[0].Files[0] != f.cert {
		t.Error("a state is shared")
	}
	for range 2 {
		if err := e.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	next := ca.issue(host)
	f.put(next)
	if err := e.Reload(t.Context()); err != nil || !ca.shown(e).Equal(next.leaf) {
		t.Errorf("after Close: %v", err)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	if err := e.Reload(over); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestKeyFilesOthersCanReadAreRefused(t *testing.T) {
	ca := newAuthority(t, "root", nil)
	f := newFiles(t, ca.issue(host))
	for mode, ok := range map[os.FileMode]bool{
		0o600: true, 0o400: true, 0o640: true, 0o440: true,
		0o644: false, 0o604: false, 0o660: false, 0o620: false, 0o602: false, 0o601: false, 0o444: false,
	} {
		if err := os.Chmod(f.key, mode); err != nil {
			t.Fatal(err)
		}
		cfg := servetls.Config{Pairs: []servetls.Pair{f.pair()}, Poll: servetls.NoPoll}
		_, err := servetls.New(cfg)
		if (err == nil) != ok {
			t.Errorf("mode %o: %v", mode, err)
		}
		if !ok && !strings.Contains(err.Error(), f.key) {
			t.Errorf("mode %o: which file? %v", mode, err)
		}
		cfg.InsecureKeyMode = true
		if _, err := servetls.New(cfg); err != nil {
			t.Errorf("mode %o with InsecureKeyMode: %v", mode, err)
		}
	}
}

// crypto/tls looks at none of them once GetConfigForClient has answered.

func TestWhatIsSetOnTheReturnedConfigIsNotIgnoredInSilence(t *testing.T) {
	ca := newAuthority(t, "root", nil)
	e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{newFiles(t, ca.issue(host)).pair()}, Poll: servetls.NoPoll})
	for field, set := range map[string]func(*tls.Config){
		"VerifyConnection": func(c *tls.Config) { c.VerifyConnection = func(tls.ConnectionState) error { return nil } },
		"VerifyPeerCertificate": func(c *tls.Config) {
			c.VerifyPeerCertificate = func([][]byte, [][]*x509.Certificate) error { return nil }
		},
		"ClientAuth":             func(c *tls.Config) { c.ClientAuth = tls.RequireAndVerifyClientCert },
		"ClientCAs":              func(c *tls.Config) { c.ClientCAs = ca.pool() },
		"MinVersion":             func(c *tls.Config) { c.MinVersion = tls.VersionTLS13 },
		"CipherSuites":           func(c *tls.Config) { c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256} },
		"CurvePreferences":       func(c *tls.Config) { c.CurvePreferences = []tls.CurveID{tls.CurveP256} },
		"SessionTicketsDisabled": func(c *tls.Config) { c.SessionTicketsDisabled = true },
	} {
		cfg := e.TLSConfig()
		if _, err := handshake(cfg, ca.trust()); err != nil {
			t.Fatal(err)
		}
		set(cfg)
		if _, err := handshake(cfg, ca.trust()); err == nil || !strings.Contains(err.Error(), "servetls: tls.Config."+field+" ") {
			t.Errorf("%s: %v", field, err)
		}
		// What is no less than is in force is no misunderstanding.
		cfg = e.TLSConfig()
		cfg.MinVersion, cfg.NextProtos = tls.VersionTLS12, []string{"h2"}
		if _, err := handshake(cfg, ca.trust()); err != nil {
			t.Error(err)
		}
	}
	if _, err := handshake(mustNew(t, servetls.Config{Pairs: e2pairs(e), TLS13Only: true, Poll: servetls.NoPoll}).TLSConfig(), ca.trust()); err != nil {
		t.Error(err)
	}
}

// Revocation is the usual reason to ask. A session that is resumed is asked about too.

func TestVerifyConnectionHasTheLastWord(t *testing.T) {
	server, ours := newAuthority(t, "servers", nil), newAuthority(t, "ours", nil)
	cas := filepath.Join(t.TempDir(), "cas.pem")
	write(t, cas, ours.pem(), 0o644)
	asked, revoked := 0, false
	verify := func(s tls.ConnectionState) error {
		if asked++; len(s.VerifiedChains) == 0 && len(s.PeerCertificates) > 0 {
			t.Error("asked about a certificate that was not verified")
		}
		if revoked {
			return errors.New("revoked")
		}
		return nil
	}
	for _, files := range [][]string{{cas}, nil} {
		asked, revoked = 0, false
		e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{newFiles(t, server.issue(host)).pair()}, ClientCAFiles: files, VerifyConnection: verify})
		cfg, client := e.TLSConfig(), server.trust()
		client.ClientSessionCache = tls.NewLRUClientSessionCache(4)
		cert := ours.client("client.example")
		client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
		if _, err := handshake(cfg, client); err != nil || asked != 1 {
			t.Errorf("%v: asked %d times, %v", files, asked, err)
		}
		revoked = true
		if _, err := handshake(cfg, client); err == nil || asked != 2 {
			t.Errorf("%v: asked %d times, and a revoked client came in", files, asked)
		}
	}
}

func TestFilesThatOthersMayWriteAreRefused(t *testing.T) {
	server, ours, rogue := newAuthority(t, "servers", nil), newAuthority(t, "ours", nil), newAuthority(t, "rogue", nil)
	cas := filepath.Join(t.TempDir(), "cas.pem")
	write(t, cas, ours.pem(), 0o644)
	f := newFiles(t, server.issue(host))
	for mode, ok := range map[os.FileMode]bool{0o644: true, 0o444: true, 0o600: true, 0o640: true, 0o666: false, 0o664: false, 0o646: false, 0o620: false} {
		for _, name := range []string{cas, f.cert} {
			if err := os.Chmod(name, mode); err != nil {
				t.Fatal(err)
			}
			cfg := servetls.Config{Pairs: []servetls.Pair{f.pair()}, ClientCAFiles: []string{cas}, Poll: servetls.NoPoll}
			if _, err := servetls.New(cfg); (err == nil) != ok || !ok && !strings.Contains(err.Error(), name) {
				t.Errorf("%s of mode %04o: %v", filepath.Base(name), mode, err)
			}
			// A volume whose modes mean nothing: that of the certificate is excused with its key's, that of the CAs is not.
			cfg.InsecureKeyMode = true
			if _, err := servetls.New(cfg); (err == nil) != (ok || name == f.cert) {
				t.Errorf("%s of mode %04o with InsecureKeyMode: %v", filepath.Base(name), mode, err)
			}
			if err := os.Chmod(name, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{f.pair()}, ClientCAFiles: []string{cas}, Poll: servetls.NoPoll})
	write(t, cas, append(ours.pem(), rogue.pem()...), 0o666)
	if err := e.Reload(t.Context()); err == nil {
		t.Error("a CA is taken over that anybody could have added")
	}
	client := server.trust()
	cert := rogue.client("root.example")
	client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	if _, err := handshake(e.TLSConfig(), client); err == nil {
		t.Error("its client came in")
	}
}

func TestKeysOfAllFormsAreRead(t *testing.T) {
	ca := newAuthority(t, "root", nil)
	for name, p := range keyForms(t, ca) {
		e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{newFiles(t, p).pair()}, Poll: servetls.NoPoll})
		if !ca.shown(e).Equal(p.leaf) {
			t.Errorf("%s: another certificate", name)
		}
	}
}

func TestClientCertificatesAreRequiredOrVerified(t *testing.T) {
	server, ours, theirs := newAuthority(t, "servers", nil), newAuthority(t, "ours", nil), newAuthority(t, "theirs", nil)
	sub := newAuthority(t, "intermediate", ours)
	cas := filepath.Join(t.TempDir(), "cas.pem")
	write(t, cas, ours.pem(), 0o644)
	f := newFiles(t, server.issue(host))
	serverCert := func() *tls.Certificate {
		p := ours.issue("server.example") // of the right CA, for servers only
		c, err := tls.X509KeyPair(p.chain, p.key)
		if err != nil {
			t.Fatal(err)
		}
		return &c
	}()
	expired := func() *tls.Certificate {
		p := ours.issueFor(newKey(t), "old.example", func(c *x509.Certificate) {
			forClients(c)
			c.NotBefore, c.NotAfter = time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
		})
		c, err := tls.X509KeyPair(p.chain, p.key)
		if err != nil {
			t.Fatal(err)
		}
		return &c
	}()
	for _, tc := range []struct {
		name               string
		cert               *tls.Certificate
		required, optional bool
	}{
		{"none", new(tls.Certificate), false, true},
		{"of our CA", ours.client("a.example"), true, true},
		{"of an intermediate CA", sub.client("a.example"), true, true},
		{"of another CA", theirs.client("a.example"), false, false},
		{"for servers", serverCert, false, false},
		{"expired", expired, false, false},
	} {
		for _, optional := range []bool{false, true} {
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{f.pair()}, ClientCAFiles: []string{cas}, OptionalClientCerts: optional, Poll: servetls.NoPoll})
				client := server.trust()
				client.MaxVersion = version
				client.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return tc.cert, nil }
				want := tc.required
				if optional {
					want = tc.optional
				}
				if _, err := handshake(e.TLSConfig(), client); (err == nil) != want {
					t.Errorf("%s, optional %v, %s: %v", tc.name, optional, tls.VersionName(version), err)
				}
			}
		}
	}
}

func TestARemovedCAIsOutForEveryNewHandshakeAlsoForResumption(t *testing.T) {
	server, stays, goes := newAuthority(t, "servers", nil), newAuthority(t, "stays", nil), newAuthority(t, "goes", nil)
	dir := t.TempDir()
	one, two := filepath.Join(dir, "one.pem"), filepath.Join(dir, "two.pem")
	for _, optional := range []bool{false, true} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			write(t, one, stays.pem(), 0o644)
			write(t, two, append(goes.pem(), stays.pem()...), 0o644)
			e := mustNew(t, servetls.Config{
				Pairs: []servetls.Pair{newFiles(t, server.issue(host)).pair()}, ClientCAFiles: []string{one, two}, OptionalClientCerts: optional,
			})
			config := e.TLSConfig() // one for both handshakes, as in an http.Server: tickets of the one are read by the other
			connect := func(a *authority) *tls.Config {
				c := server.trust()
				cert := a.client("caller.example")
				c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
				c.MaxVersion = version
				c.ClientSessionCache = tls.NewLRUClientSessionCache(4)
				return c
			}
			out, in := connect(goes), connect(stays)
			for range 2 {
				for _, c := range []*tls.Config{out, in} {
					if s, err := handshake(config, c); err != nil || s.DidResume {
						t.Fatalf("%s: resumed %v: %v", tls.VersionName(version), s.DidResume, err)
					}
				}
			}
			write(t, two, stays.pem(), 0o644)
			if err := e.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := handshake(config, out); err == nil {
				t.Errorf("%s, optional %v: a client of a removed CA came in", tls.VersionName(version), optional)
			}
			if _, err := handshake(config, in); err != nil {
				t.Errorf("%s: %v", tls.VersionName(version), err)
			}
		}
	}
}

func TestBrokenCAFilesLeaveTheLastGoodOnesInForce(t *testing.T) {
	server, ours, theirs := newAuthority(t, "servers", nil), newAuthority(t, "ours", nil), newAuthority(t, "theirs", nil)
	cas := filepath.Join(t.TempDir(), "cas.pem")
	write(t, cas, ours.pem(), 0o644)
	e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{newFiles(t, server.issue(host)).pair()}, ClientCAFiles: []string{cas}})
	in, out := server.trust(), server.trust()
	in.Certificates = []tls.Certificate{*ours.client("a.example")}
	out.Certificates = []tls.Certificate{*theirs.client("a.example")}
	leaf := ours.issue("leaf.example")
	past := newAuthority(t, "past", nil)
	past.cert = sign(t, &x509.Certificate{
		SerialNumber: serial(t), NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(-time.Hour), BasicConstraintsValid: true, IsCA: true,
	}, past.cert, past.key.Public(), past.key)
	noSign := newAuthority(t, "no certSign", nil)
	noSign.cert = sign(t, &x509.Certificate{
		SerialNumber: serial(t), NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageDigitalSignature,
	}, noSign.cert, noSign.key.Public(), noSign.key)
	pinned := ours.issueFor(newKey(t), "leaf.example", func(c *x509.Certificate) { forClients(c); c.KeyUsage = 0 })
	for name, data := range map[string][]byte{
		"a leaf without key usage": pinned.chain,
		"missing":                  nil, "empty": {}, "text": []byte("none"), "half": theirs.pem()[:200], "a leaf": append(theirs.pem(), leaf.chain...),
		"a key": append(theirs.pem(), leaf.key...), "expired": past.pem(), "not a signer": noSign.pem(),
	} {
		if data == nil {
			if err := os.Remove(cas); err != nil {
				t.Fatal(err)
			}
		} else {
			write(t, cas, data, 0o644)
		}
		if err := e.Reload(t.Context()); err == nil || e.State().ClientCAs.Err == nil {
			t.Errorf("%s: accepted", name)
		}
		if _, err := handshake(e.TLSConfig(), in); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := handshake(e.TLSConfig(), out); err == nil {
			t.Errorf("%s: a stranger came in", name)
		}
		if _, err := servetls.New(servetls.Config{Pairs: e2pairs(e), ClientCAFiles: []string{cas}}); err == nil {
			t.Errorf("%s: New accepted it", name)
		}
	}
	write(t, cas, append(past.pem(), theirs.pem()...), 0o644)
	if err := e.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := e.State().ClientCAs.NotAfter; !got.Equal(theirs.cert.NotAfter) {
		t.Errorf("ends at %v", got)
	}
	if _, err := handshake(e.TLSConfig(), out); err != nil {
		t.Error(err)
	}
	if _, err := handshake(e.TLSConfig(), in); err == nil {
		t.Error("the old CA is still in")
	}
}

func e2pairs(e *servetls.Endpoint) []servetls.Pair {
	f := e.State().Pairs[0].Files
	return []servetls.Pair{{CertFile: f[0], KeyFile: f[1]}}
}

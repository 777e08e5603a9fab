package servetls_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/crypto/servetls"
)

// seen waits until a change that is on disk has been seen twice.
func seen() {
	time.Sleep(servetls.DefaultPoll + time.Second)
	synctest.Wait()
}

func TestARenewalIsTakenOverWithoutBeingAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "root", nil)
		old := ca.issue(host)
		f := newFiles(t, old)
		var log records
		began := time.Now()
		e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{f.pair()}, Logger: log.logger()})
		seen()
		if !ca.shown(e).Equal(old.leaf) || len(log.take()) != 0 {
			t.Error("something changed by itself")
		}
		if s := e.State().Pairs[0]; !s.Since.Equal(began) || !s.NotAfter.Equal(old.leaf.NotAfter) || s.Err != nil || !s.FailingSince.IsZero() {
			t.Errorf("%+v", s)
		}
		time.Sleep(time.Hour)
		next := ca.issue(host)
		f.put(next)
		seen()
		if !ca.shown(e).Equal(next.leaf) {
			t.Error("still the old certificate")
		}
		if lines := log.take(); len(lines) != 1 || !strings.Contains(lines[0], "level=INFO") || !strings.Contains(lines[0], "new files are in force") {
			t.Errorf("%q", lines)
		}
		if s := e.State().Pairs[0]; time.Since(s.Since) > servetls.DefaultPoll || !s.NotAfter.Equal(next.leaf.NotAfter) {
			t.Errorf("%+v", s)
		}
		// A touch, and the same content in a new file, are no change.
		f.put(next)
		seen()
		if lines := log.take(); len(lines) != 0 {
			t.Errorf("%q", lines)
		}
	})
}

const canary = "CANARYCANARY"

// mkfifo makes a pipe with a name, where there are any.
var mkfifo func(name string, mode uint32) error

// broken are renewals that must not be taken over, each written by a function that gets the files and a good renewal.
func broken(t *testing.T, ca *authority) map[string]func(files, pair) {
	put := func(change func(pair) pair) func(files, pair) { return func(f files, p pair) { f.put(change(p)) } }
	pemOf := func(kind string, b []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: b}) }
	m := map[string]func(files, pair){
		"certificate first":       func(f files, p pair) { write(t, f.cert, p.chain, 0o644) },
		"key first":               func(f files, p pair) { write(t, f.key, p.key, 0o600) },
		"empty certificate":       put(func(p pair) pair { p.chain = nil; return p }),
		"empty key":               put(func(p pair) pair { p.key = nil; return p }),
		"half a leaf":             put(func(p pair) pair { p.chain = p.chain[:300]; return p }),
		"half an intermediate":    put(func(p pair) pair { p.chain = p.chain[:len(p.chain)-100]; return p }),
		"half a key":              put(func(p pair) pair { p.key = p.key[:len(p.key)/2]; return p }),
		"key of another":          put(func(p pair) pair { p.key = ca.issue(host).key; return p }),
		"key of another kind":     put(func(p pair) pair { _, k, _ := ed25519.GenerateKey(nil); p.key = keyPEM(t, k); return p }),
		"two keys":                put(func(p pair) pair { p.key = append(p.key, p.key...); return p }),
		"locked key":              put(func(p pair) pair { p.key = pemOf("ENCRYPTED PRIVATE KEY", []byte(canary)); return p }),
		"key in the certificate":  put(func(p pair) pair { p.chain = append(p.chain, p.key...); return p }),
		"a strange block":         put(func(p pair) pair { p.chain = append(p.chain, pemOf(canary, []byte(canary))...); return p }),
		"a malformed certificate": put(func(p pair) pair { p.chain = pemOf("CERTIFICATE", []byte(canary)); return p }),
		"a malformed key":         put(func(p pair) pair { p.key = pemOf("PRIVATE KEY", []byte(canary)); return p }),
		"text":                    put(func(p pair) pair { p.chain = []byte(canary); return p }),
		"too large":               put(func(p pair) pair { p.chain = append(p.chain, make([]byte, 1<<20)...); return p }),
		"an X25519 key": put(func(p pair) pair {
			p.key = pemOf("PRIVATE KEY", append([]byte("\x30\x2e\x02\x01\x00\x30\x05\x06\x03\x2b\x65\x6e\x04\x22\x04\x20"), make([]byte, 32)...))
			return p
		}),
		"expired": put(func(pair) pair {
			return ca.issueFor(newKey(t), host, func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
		}),
		"not begun": put(func(pair) pair {
			return ca.issueFor(newKey(t), host, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(24 * time.Hour) })
		}),
		"for clients":      put(func(pair) pair { return ca.issueFor(newKey(t), host, forClients) }),
		"no certificate":   func(f files, p pair) { f.put(p); remove(t, f.cert) },
		"no key":           func(f files, p pair) { f.put(p); remove(t, f.key) },
		"readable key":     func(f files, p pair) { f.put(p); write(t, f.key, p.key, 0o644) },
		"a folder":         func(f files, p pair) { f.put(p); remove(t, f.cert); check(t, os.Mkdir(f.cert, 0o755)) },
		"a dangling link":  func(f files, p pair) { f.put(p); remove(t, f.cert); check(t, os.Symlink("nowhere", f.cert)) },
		"a link to itself": func(f files, p pair) { f.put(p); remove(t, f.cert); check(t, os.Symlink(f.cert, f.cert)) },
	}
	if mkfifo != nil {
		m["a pipe for a key"] = func(f files, p pair) { f.put(p); remove(t, f.key); check(t, mkfifo(f.key, 0o600)) }
		m["a pipe for a certificate"] = func(f files, p pair) { f.put(p); remove(t, f.cert); check(t, mkfifo(f.cert, 0o600)) }
	}
	return m
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func remove(t testing.TB, name string) { t.Helper(); check(t, os.RemoveAll(name)) }

func TestABrokenRenewalLeavesTheLastGoodPairInForce(t *testing.T) {
	names := broken(t, newAuthority(t, "root", nil))
	for name := range names {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ca := newAuthority(t, "intermediate", newAuthority(t, "root", nil))
				spoil := broken(t, ca)[name]
				old, next := ca.issue(host), ca.issue(host)
				f := newFiles(t, old)
				var log records
				e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{f.pair()}, Logger: log.logger()})
				for round := range 2 { // of which the second is a return of what was refused once
					failing := time.Now()
					spoil(f, next)
					seen()
					if !ca.shown(e).Equal(old.leaf) {
						t.Error("another certificate")
					}
					s := e.State().Pairs[0]
					if s.Err == nil || s.FailingSince.Sub(failing) > servetls.DefaultPoll+time.Second || !strings.Contains(s.Err.Error(), f.cert) {
						t.Errorf("%+v", s)
					}
					if err := e.State().Check(time.Now(), 0); err == nil {
						t.Error("healthy")
					}
					if err := e.Reload(t.Context()); err == nil {
						t.Error("reloaded")
					}
					time.Sleep(time.Hour)
					lines := log.take()
					if len(lines) != 1 || !strings.Contains(lines[0], "level=ERROR") {
						t.Errorf("%d records: %.300q", len(lines), lines)
					}
					if all := strings.Join(lines, "") + fmt.Sprint(s.Err); strings.Contains(all, canary) || strings.Contains(all, "MI") || strings.Contains(all, "cn of") {
						t.Errorf("a file's content: %s", all)
					}
					if _, err := servetls.New(servetls.Config{Pairs: []servetls.Pair{f.pair()}}); err == nil {
						t.Error("New took it")
					}
					if round == 0 { // back to what is in force
						remove(t, f.cert)
						remove(t, f.key)
						f.put(old)
						seen()
						if s := e.State().Pairs[0]; s.Err != nil || !s.FailingSince.IsZero() {
							t.Errorf("%+v", s)
						}
						if lines := log.take(); len(lines) != 1 || !strings.Contains(lines[0], "again those in force") {
							t.Errorf("%q", lines)
						}
					}
				}
				remove(t, f.cert)
				remove(t, f.key)
				f.put(next)
				seen()
				if s := e.State().Pairs[0]; s.Err != nil || !s.FailingSince.IsZero() {
					t.Errorf("%+v", s)
				}
				if lines := log.take(); len(lines) != 1 || !strings.Contains(lines[0], "new files are in force") {
					t.Errorf("%q", lines)
				}
				if !ca.shown(e).Equal(next.leaf) {
					t.Error("still the old certificate")
				}
			})
		})
	}
}

func TestAKeyThatTLSCannotUseIsNotTakenOver(t *testing.T) {
	ca := newAuthority(t, "root", nil)
	f := newFiles(t, ca.issue(host))
	e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{f.pair()}, Poll: servetls.NoPoll})
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	renewals := map[string]pair{"P-224": ca.issueFor(p224, host, nil)}
	for name, bits := range map[string]int{"RSA of 512 bits": 512, "RSA of 768 bits": 768} {
		t.Setenv("GODEBUG", os.Getenv("GODEBUG")+",rsa1024min=0") // to make them only
		small, err := rsa.GenerateKey(rand.Reader, bits)
		if err != nil {
			t.Log(err) // FIPS 140 has no such keys
			continue
		}
		renewals[name] = ca.issueFor(small, host, nil)
	}
	t.Setenv("GODEBUG", strings.ReplaceAll(os.Getenv("GODEBUG"), ",rsa1024min=0", ""))
	for name, p := range renewals {
		f.put(p)
		if err := e.Reload(t.Context()); err == nil {
			t.Errorf("%s: taken over", name)
		}
		if _, err := handshake(e.TLSConfig(), ca.trust()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestABlockThatLostItsBeginningIsNoticed(t *testing.T) {
	root := newAuthority(t, "root", nil)
	mid := newAuthority(t, "mid", root)
	f := newFiles(t, mid.issue(host))
	e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{f.pair()}, Poll: servetls.NoPoll})
	next := mid.issue(host)
	next.chain = bytes.Join([][]byte{certPEM(next.leaf), mid.pem()[len("-----BEGIN CERTIFICATE-----\n"):], root.pem()}, nil)
	f.put(next)
	if err := e.Reload(t.Context()); err == nil {
		t.Error("a damaged chain was taken over")
	}
	if _, err := handshake(e.TLSConfig(), root.trust()); err != nil {
		t.Error(err)
	}
}

func TestACertificateIsTakenOverWhenItBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "root", nil)
		old := ca.issue(host)
		f := newFiles(t, old)
		e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{f.pair()}})
		next := ca.issueFor(newKey(t), host, func(c *x509.Certificate) { c.NotBefore = time.Now().Add(time.Hour) })
		f.put(next)
		time.Sleep(59 * time.Minute)
		if !ca.shown(e).Equal(old.leaf) {
			t.Error("too early")
		}
		time.Sleep(time.Minute + servetls.DefaultPoll)
		if !ca.shown(e).Equal(next.leaf) {
			t.Error("too late")
		}
	})
}

func TestTheLastGoodPairIsServedAlsoAfterItsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "root", nil)
		old := ca.issue(host)
		f := newFiles(t, old)
		var log records
		e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{f.pair()}, Poll: 6 * time.Hour, Logger: log.logger()})
		if err := e.State().Check(time.Now(), 89*24*time.Hour); err != nil {
			t.Error(err)
		}
		if err := e.State().Check(time.Now(), 91*24*time.Hour); err == nil || !strings.Contains(err.Error(), f.cert) {
			t.Error(err)
		}
		time.Sleep(80 * 24 * time.Hour)
		if lines := log.take(); len(lines) != 0 {
			t.Errorf("%q", lines)
		}
		time.Sleep(20 * 24 * time.Hour)
		if lines := log.take(); len(lines) < 18 || len(lines) > 20 || !strings.Contains(lines[0], "level=WARN") || !strings.Contains(lines[0], f.cert) {
			t.Errorf("%d warnings in the last 9 days and 10 more: %.1q", len(lines), lines)
		}
		var invalid x509.CertificateInvalidError
		if _, err := handshake(e.TLSConfig(), ca.trust()); !errors.As(err, &invalid) || invalid.Reason != x509.Expired {
			t.Errorf("%v", err)
		}
		if err := e.State().Check(time.Now(), 0); err == nil {
			t.Error("healthy")
		}
		next := ca.issue(host)
		f.put(next)
		time.Sleep(7 * time.Hour)
		synctest.Wait()
		if !ca.shown(e).Equal(next.leaf) {
			t.Error("not renewed")
		}
	})
}

// A chain that has only its first block yet is no broken file. It is left alone because the next look shows that it grows.
func TestAChainThatIsStillBeingWrittenIsNotServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "intermediate", newAuthority(t, "root", nil))
		key := newKey(t)
		old, next := ca.issueFor(key, host, nil), ca.issueFor(key, host, nil) // one key, so that each certificate fits it
		f := newFiles(t, old)
		var log records
		e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{f.pair()}, Logger: log.logger()})
		write(t, f.cert, certPEM(next.leaf), 0o644)
		time.Sleep(servetls.DefaultPoll + time.Second/2) // seen once
		write(t, f.cert, next.chain, 0o644)
		synctest.Wait()
		if !ca.shown(e).Equal(old.leaf) {
			t.Error("taken over after one look")
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		s, err := handshake(e.TLSConfig(), ca.up.trust())
		if err != nil || len(s.PeerCertificates) != 2 || !s.PeerCertificates[0].Equal(next.leaf) {
			t.Errorf("%d certificates: %v", len(s.PeerCertificates), err)
		}
		if lines := log.take(); len(lines) != 1 {
			t.Errorf("%q", lines)
		}
	})
}

func TestOneBrokenRenewalDoesNotHoldUpTheOthers(t *testing.T) {
	ca := newAuthority(t, "root", nil)
	a, b := newFiles(t, ca.issue("a.example")), newFiles(t, ca.issue("b.example"))
	cas := filepath.Join(t.TempDir(), "cas.pem")
	write(t, cas, ca.pem(), 0o644)
	e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{a.pair(), b.pair()}, ClientCAFiles: []string{cas}, OptionalClientCerts: true, Poll: servetls.NoPoll})
	write(t, a.cert, nil, 0o644)
	write(t, cas, nil, 0o644)
	next := ca.issue("b.example")
	b.put(next)
	err := e.Reload(t.Context())
	if err == nil || !strings.Contains(err.Error(), a.cert) || !strings.Contains(err.Error(), cas) || strings.Contains(err.Error(), b.cert) {
		t.Errorf("%v", err)
	}
	client := ca.trust()
	client.ServerName = "b.example"
	if s, err := handshake(e.TLSConfig(), client); err != nil || !s.PeerCertificates[0].Equal(next.leaf) {
		t.Errorf("%v", err)
	}
}

// A volume swaps its files as the kubelet does: the names are links to files in ..data, which is a link to a folder.
type volume struct {
	t   testing.TB
	dir string
	n   int
	old string
}

func (v *volume) flip(p pair) {
	v.t.Helper()
	v.n++
	now := fmt.Sprintf("..2026_11_25_%d", v.n)
	check(v.t, os.Mkdir(filepath.Join(v.dir, now), 0o755))
	write(v.t, filepath.Join(v.dir, now, "tls.crt"), p.chain, 0o644)
	write(v.t, filepath.Join(v.dir, now, "tls.key"), p.key, 0o440)
	tmp, data := filepath.Join(v.dir, "..data_tmp"), filepath.Join(v.dir, "..data")
	check(v.t, os.Symlink(now, tmp))
	check(v.t, os.Rename(tmp, data))
	if v.n == 1 {
		for _, name := range []string{"tls.crt", "tls.key"} {
			check(v.t, os.Symlink(filepath.Join("..data", name), filepath.Join(v.dir, name)))
		}
	} else {
		remove(v.t, filepath.Join(v.dir, v.old))
	}
	v.old = now
}

func (v *volume) pair() servetls.Pair {
	return servetls.Pair{CertFile: filepath.Join(v.dir, "tls.crt"), KeyFile: filepath.Join(v.dir, "tls.key")}
}

func TestAKubernetesSecretIsFollowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ca := newAuthority(t, "root", nil)
		v := &volume{t: t, dir: t.TempDir()}
		v.flip(ca.issue(host))
		e := mustNew(t, servetls.Config{Pairs: []servetls.Pair{v.pair()}})
		for range 3 {
			next := ca.issue(host)
			v.flip(next)
			seen()
			if !ca.shown(e).Equal(next.leaf) {
				t.Error("still the old certificate")
			}
		}
	})
}

// 300 handshakes in a normal run; MANTLET_TLS_HANDSHAKES=100000 is the number of the goal.
func TestNoHandshakeFailsWhileCertificatesSwap(t *testing.T) {
	total := 300
	if s := os.Getenv("MANTLET_TLS_HANDSHAKES"); s != "" {
		n, err := strconv.Atoi(s)
		check(t, err)
		total = n
	}
	ca := newAuthority(t, "intermediate", newAuthority(t, "root", nil))
	var renewals [8]pair
	known := map[string]bool{}
	for i := range renewals {
		renewals[i] = ca.issue(host)
		known[string(renewals[i].leaf.Raw)] = true
	}
	f := newFiles(t, renewals[0])
	v := &volume{t: t, dir: t.TempDir()}
	v.flip(renewals[0])
	endpoints := []*servetls.Endpoint{
		mustNew(t, servetls.Config{Pairs: []servetls.Pair{f.pair()}, Poll: time.Second}),
		mustNew(t, servetls.Config{Pairs: []servetls.Pair{v.pair()}, Poll: time.Second}),
	}
	ctx, stop := context.WithCancel(t.Context())
	var refused int
	var swaps, done atomic.Int64
	var swapping, shaking sync.WaitGroup
	swapping.Go(func() {
		for i := 1; ctx.Err() == nil; i++ {
			p := renewals[i%len(renewals)]
			// One is written piece by piece, with looks at it in between that find half of it; the other flips.
			for _, cut := range []int{100, len(p.chain) / 2, len(p.chain)} {
				write(t, f.cert, p.chain[:cut], 0o644)
				if endpoints[0].Reload(t.Context()) != nil {
					refused++
				}
			}
			write(t, f.key, p.key, 0o600)
			v.flip(p)
			for _, e := range endpoints {
				if err := e.Reload(t.Context()); err != nil {
					t.Error(err)
				}
			}
			swaps.Add(1)
		}
	})
	var left, failed, strange atomic.Int64
	left.Store(int64(total))
	var shown sync.Map
	for w := range 4 {
		shaking.Go(func() {
			server, client := endpoints[w%2].TLSConfig(), ca.up.trust()
			for left.Add(-1) >= 0 || swaps.Load() < 3 { // a busy machine may be slow to swap
				done.Add(1)
				s, err := handshake(server, client)
				if err != nil {
					failed.Add(1)
					t.Error(err)
					continue
				}
				if s.CurveID != tls.X25519MLKEM768 || !known[string(s.PeerCertificates[0].Raw)] || len(s.PeerCertificates) != 2 {
					strange.Add(1)
				}
				shown.Store(string(s.PeerCertificates[0].Raw), true)
			}
		})
	}
	shaking.Wait()
	stop()
	swapping.Wait()
	distinct := 0
	shown.Range(func(any, any) bool { distinct++; return true })
	if failed.Load() > 0 || strange.Load() > 0 || refused == 0 || distinct < 2 {
		t.Errorf("%d failed, %d with another curve, certificate or chain", failed.Load(), strange.Load())
	}
	t.Logf("report: %d handshakes, %d failed, while %d renewals were taken over and %d half-written ones refused; %d certificates shown", done.Load(), failed.Load(), swaps.Load(), refused, distinct)
}

func keyForms(t *testing.T, ca *authority) map[string]pair {
	forms := map[string]pair{}
	ec := newKey(t)
	sec1, err := x509.MarshalECPrivateKey(ec)
	check(t, err)
	p := ca.issueFor(ec, host, nil)
	p.key = append(pem.EncodeToMemory(&pem.Block{Type: "EC PARAMETERS", Bytes: []byte{6, 8, 42, 134, 72, 206, 61, 3, 1, 7}}), pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})...)
	forms["SEC 1 with parameters"] = p
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	check(t, err)
	forms["RSA PKCS #8"] = ca.issueFor(r, host, nil)
	p = ca.issueFor(r, host, nil)
	p.key = pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(r)})
	forms["RSA PKCS #1"] = p
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	check(t, err)
	forms["Ed25519"] = ca.issueFor(ed, host, nil)
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	check(t, err)
	p = ca.issueFor(p384, host, nil)
	p.chain = append([]byte("subject: as openssl writes it\r\n\r\n"), bytes.ReplaceAll(p.chain, []byte("\n"), []byte("\r\n"))...)
	forms["P-384, text and CRLF"] = p
	return forms
}

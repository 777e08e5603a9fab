package servetls_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/servetls"
)

const host = "model.example"

// An authority signs certificates, at the time of the bubble if it is used in one.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	up   *authority // nil for a root
}

// A pair is a certificate with its chain, and its key, as PEM.
type pair struct {
	chain, key []byte
	leaf       *x509.Certificate
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func serial(t testing.TB) *big.Int {
	t.Helper()
	n, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func newAuthority(t testing.TB, name string, up *authority) *authority {
	t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: serial(t), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(10, 0, 0),
		BasicConstraintsValid: true, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	}
	a := &authority{t: t, key: newKey(t), up: up}
	parent, by := tmpl, a.key
	if up != nil {
		parent, by = up.cert, up.key
	}
	a.cert = sign(t, tmpl, parent, a.key.Public(), by)
	return a
}

func sign(t testing.TB, tmpl, parent *x509.Certificate, pub any, by crypto.Signer) *x509.Certificate {
	t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, pub, by)
	if err != nil {
		t.Fatal(err)
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func certPEM(c *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})
}

func keyPEM(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

func (a *authority) pem() []byte { return certPEM(a.cert) }

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// issue signs a certificate of 90 days for key and a server of that name; change may turn it into another kind.
func (a *authority) issueFor(key crypto.Signer, name string, change func(*x509.Certificate)) pair {
	a.t.Helper()
	tmpl := &x509.Certificate{
		SerialNumber: serial(a.t), Subject: pkix.Name{CommonName: "cn of " + name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 90),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if change != nil {
		change(tmpl)
	}
	leaf := sign(a.t, tmpl, a.cert, key.Public(), a.key)
	p := pair{chain: certPEM(leaf), key: keyPEM(a.t, key), leaf: leaf}
	if a.up != nil {
		p.chain = append(p.chain, a.pem()...)
	}
	return p
}

func (a *authority) issue(name string) pair { a.t.Helper(); return a.issueFor(newKey(a.t), name, nil) }

func forClients(c *x509.Certificate) { c.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth} }

func (a *authority) client(name string) *tls.Certificate {
	a.t.Helper()
	p := a.issueFor(newKey(a.t), name, forClients)
	c, err := tls.X509KeyPair(p.chain, p.key)
	if err != nil {
		a.t.Fatal(err)
	}
	return &c
}

func write(t testing.TB, name string, data []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(name, data, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(name, mode); err != nil { // the mode that counts is not that of an older file, nor masked
		t.Fatal(err)
	}
}

// files are where a test keeps a pair.
type files struct {
	t         testing.TB
	cert, key string
}

func newFiles(t testing.TB, p pair) files {
	dir := t.TempDir()
	f := files{t, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
	f.put(p)
	return f
}

func (f files) put(p pair) {
	f.t.Helper()
	write(f.t, f.cert, p.chain, 0o644)
	write(f.t, f.key, p.key, 0o600)
}

func (f files) pair() servetls.Pair { return servetls.Pair{CertFile: f.cert, KeyFile: f.key} }

// mustNew makes an Endpoint that is closed with the test, and logs to nobody unless told.
func mustNew(t testing.TB, cfg servetls.Config) *servetls.Endpoint {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e, err := servetls.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return e
}

func (a *authority) trust() *tls.Config { return &tls.Config{ServerName: host, RootCAs: a.pool()} }

// pipe returns the ends of a connection that buffers what is written, as a network does: where both sides of a net.Pipe write, a
// ticket and an alert say, they wait for each other for ever.
func pipe() (a, b net.Conn) {
	x, y := newHalf(), newHalf()
	return end{in: x, out: y}, end{in: y, out: x}
}

type half struct {
	mu     sync.Mutex
	more   *sync.Cond
	buf    bytes.Buffer
	closed bool
}

func newHalf() *half {
	h := new(half)
	h.more = sync.NewCond(&h.mu)
	return h
}

type end struct {
	net.Conn // nil: there are no addresses
	in, out  *half
}

func (e end) Read(b []byte) (int, error) {
	e.in.mu.Lock()
	defer e.in.mu.Unlock()
	for e.in.buf.Len() == 0 && !e.in.closed {
		e.in.more.Wait()
	}
	return e.in.buf.Read(b)
}

func (e end) Write(b []byte) (int, error) {
	e.out.mu.Lock()
	defer e.out.mu.Unlock()
	if e.out.closed {
		return 0, io.ErrClosedPipe
	}
	e.out.more.Broadcast()
	return e.out.buf.Write(b)
}

func (e end) Close() error {
	for _, h := range []*half{e.in, e.out} {
		h.mu.Lock()
		h.closed = true
		h.more.Broadcast()
		h.mu.Unlock()
	}
	return nil
}

func (end) SetDeadline(time.Time) error      { return nil }
func (end) SetReadDeadline(time.Time) error  { return nil }
func (end) SetWriteDeadline(time.Time) error { return nil }
func (end) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (end) RemoteAddr() net.Addr             { return &net.TCPAddr{} }

// handshake runs one connection over a pipe, on which the server says one byte: in TLS 1.3 only that tells a client that it was
// accepted, and brings it the tickets.
func handshake(server, client *tls.Config) (tls.ConnectionState, error) {
	a, b := pipe()
	s, c := tls.Server(a, server), tls.Client(b, client)
	ended := make(chan error, 1)
	go func() {
		defer a.Close()
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x"))
		}
		ended <- err
	}()
	err := c.Handshake()
	if err == nil {
		_, err = io.ReadFull(c, make([]byte, 1))
	}
	state := c.ConnectionState()
	if err == nil {
		err = <-ended
		b.Close()
		return state, err
	}
	b.Close()
	return state, errors.Join(err, <-ended)
}

// shown is the certificate that a client gets that trusts a.
func (a *authority) shown(e *servetls.Endpoint) *x509.Certificate {
	a.t.Helper()
	s, err := handshake(e.TLSConfig(), a.trust())
	if err != nil {
		a.t.Fatal(err)
	}
	return s.PeerCertificates[0]
}

// records keeps what is logged.
type records struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (r *records) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.buf.Write(b)
}

// take returns what was logged since the last time, a line for each record.
func (r *records) take() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := strings.TrimSuffix(r.buf.String(), "\n")
	r.buf.Reset()
	if out == "" {
		return nil
	}
	return strings.Split(out, "\n")
}

func (r *records) logger() *slog.Logger { return slog.New(slog.NewTextHandler(r, nil)) }

// once is a listener with one connection.
type once struct {
	conn net.Conn
	used bool
	mu   sync.Mutex
}

func (o *once) Accept() (net.Conn, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.used {
		return nil, net.ErrClosed
	}
	o.used = true
	return o.conn, nil
}

func (o *once) Close() error   { return nil }
func (o *once) Addr() net.Addr { return &net.TCPAddr{} }

func newReader(r io.Reader) *bufio.Reader { return bufio.NewReader(r) }

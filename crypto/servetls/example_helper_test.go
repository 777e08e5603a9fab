package servetls_test

import (
	"crypto/tls"
	"crypto/x509"
	"log"
	"net/http"
	"os"
	"path/filepath"
	"testing"
)

// exampleFiles makes a certificate for 127.0.0.1 and its key, and a CA of clients.
func exampleFiles() (dir string) {
	dir, err := os.MkdirTemp("", "servetls")
	if err != nil {
		log.Fatal(err)
	}
	var t example
	ca := newAuthority(t, "root", nil)
	p := ca.issue(host)
	for name, data := range map[string][]byte{"tls.crt": p.chain, "tls.key": p.key, "root.pem": ca.pem(), "clients.pem": ca.pem()} {
		write(t, filepath.Join(dir, name), data, 0o600)
	}
	return dir
}

func exampleTrust(dir string) *tls.Config {
	b, err := os.ReadFile(filepath.Join(dir, "root.pem"))
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(b)
	return &tls.Config{RootCAs: pool, ServerName: host}
}

// example is a testing.TB for helpers where there is none.
type example struct{ testing.TB }

func (example) Helper()           {}
func (example) Fatal(args ...any) { log.Fatal(args...) }

type fakeManager struct{}

func (fakeManager) GetCertificate(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
func (fakeManager) HTTPHandler(http.Handler) http.Handler                         { return http.NotFoundHandler() }

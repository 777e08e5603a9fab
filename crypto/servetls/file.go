package servetls

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"strings"
	"time"
)

// maxFile bounds a file, in bytes: a bundle of all public CAs has a quarter of it.
const maxFile = 1 << 20

// A guard is which permissions a file must not have, and why.
type guard struct {
	refused fs.FileMode
	why     string
}

var (
	// A certificate is public. Who may write it can keep clients away; who may write a CA lets in whom he likes.
	public   = guard{0o022, "others could change it (chmod go-w)"}
	private  = guard{0o027, "others may read the key or its group may write it (chmod 640; in Kubernetes defaultMode 0440 and an fsGroup)"}
	anybodys = guard{}
)

// readFile reads a small regular file. Symbolic links are followed: certbot and Kubernetes hand out nothing else. What is judged is the
// file that was opened, so nobody can swap it in between.
func readFile(name string, g guard) ([]byte, error) {
	f, err := open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	// Permission bits mean something else on the other two.
	if perm := info.Mode().Perm(); perm&g.refused != 0 && runtime.GOOS != "windows" && runtime.GOOS != "plan9" {
		return nil, fmt.Errorf("%s has mode %04o: %s", name, perm, g.why)
	}
	if info.Size() > maxFile {
		return nil, fmt.Errorf("%s is larger than %d bytes", name, maxFile)
	}
	data := make([]byte, info.Size()+1) // not io.ReadAll, which leaves pieces of a key behind as it grows
	n, err := io.ReadFull(f, data)
	switch err {
	case io.EOF, io.ErrUnexpectedEOF:
		return data[:n], nil
	case nil:
		return nil, fmt.Errorf("%s grows while it is read", name)
	}
	return nil, err
}

// The faults of a file's content. They are fixed sentences: those of the parsers may quote what they have read.
var (
	errCut        = errors.New("a PEM block is cut off or damaged")
	errNoCert     = errors.New("there is no certificate")
	errNotCert    = errors.New("there is something else than certificates")
	errBadCert    = errors.New("a certificate is malformed")
	errNotServer  = errors.New("the certificate is not for servers (its extended key usage lacks serverAuth)")
	errOneKey     = errors.New("there is not exactly one private key")
	errKeyLocked  = errors.New("the private key is encrypted with a passphrase")
	errBadKey     = errors.New("the private key is malformed or of a kind that TLS does not know")
	errUnusable   = errors.New("the key is of a curve or a size that clients of TLS 1.3 do not take")
	errMismatch   = errors.New("the key is not that of the certificate")
	errNotCA      = errors.New("a certificate is not that of a CA")
	errAllExpired = errors.New("every CA has expired")
)

// blocks returns the PEM blocks of a file and refuses one with a piece of a block in it. pem.Decode skips such a piece, so that a chain
// that is only half written would pass for a shorter one. Text between the blocks is allowed, as openssl writes it.
func blocks(data []byte) (all []*pem.Block, err error) {
	rest := data
	for {
		b, after := pem.Decode(rest)
		if b == nil {
			break
		}
		all, rest = append(all, b), after
	}
	if bytes.Count(data, []byte("-----BEGIN")) != len(all) || bytes.Count(data, []byte("-----END")) != len(all) || bytes.Contains(rest, []byte("-----")) {
		return nil, errCut
	}
	return all, nil
}

func certificates(data []byte) (certs []*x509.Certificate, err error) {
	all, err := blocks(data)
	if err != nil {
		return nil, err
	}
	for _, b := range all {
		if b.Type != "CERTIFICATE" {
			return nil, errNotCert
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, errBadCert
		}
		certs = append(certs, c)
	}
	if len(certs) == 0 {
		return nil, errNoCert
	}
	return certs, nil
}

// parseKey reads the one private key of a file, in PKCS #8 or one of the older forms. EC PARAMETERS, which openssl writes before a
// key, say nothing that the key does not.
func parseKey(data []byte) (crypto.Signer, error) {
	all, err := blocks(data)
	if err != nil {
		return nil, err
	}
	all = slices.DeleteFunc(all, func(b *pem.Block) bool { return b.Type == "EC PARAMETERS" })
	if len(all) != 1 || !strings.HasSuffix(all[0].Type, "PRIVATE KEY") {
		return nil, errOneKey
	}
	if all[0].Type == "ENCRYPTED PRIVATE KEY" || all[0].Headers["DEK-Info"] != "" {
		return nil, errKeyLocked
	}
	der := all[0].Bytes
	defer clear(der)
	if k, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		switch k := k.(type) {
		case *rsa.PrivateKey:
			return k, nil
		case *ecdsa.PrivateKey:
			return k, nil
		case ed25519.PrivateKey:
			return k, nil
		}
		return nil, errBadKey
	}
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	return nil, errBadKey
}

// parsePair makes of a chain, leaf first, and a key what a server can show at now.
func parsePair(chain, key []byte, now time.Time) (pair tls.Certificate, err error) {
	certs, err := certificates(chain)
	if err != nil {
		return pair, err
	}
	signer, err := parseKey(key)
	if err != nil {
		return pair, err
	}
	leaf := certs[0]
	if pub, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); !ok || !pub.Equal(signer.Public()) {
		return pair, errMismatch
	}
	if uses := leaf.ExtKeyUsage; len(uses)+len(leaf.UnknownExtKeyUsage) > 0 && !slices.Contains(uses, x509.ExtKeyUsageServerAuth) && !slices.Contains(uses, x509.ExtKeyUsageAny) {
		return pair, errNotServer
	}
	if now.Before(leaf.NotBefore) {
		return pair, fmt.Errorf("the certificate is not valid before %s", leaf.NotBefore.UTC().Format(time.RFC3339))
	}
	if now.After(leaf.NotAfter) {
		return pair, fmt.Errorf("the certificate has expired at %s", leaf.NotAfter.UTC().Format(time.RFC3339))
	}
	for _, c := range certs {
		pair.Certificate = append(pair.Certificate, c.Raw)
	}
	pair.PrivateKey, pair.Leaf = signer, leaf
	if !usable(&pair) {
		return tls.Certificate{}, errUnusable
	}
	return pair, nil
}

// usable reports whether a client of TLS 1.3 that knows all that Go does could connect. A key on a curve that TLS has dropped, say, is read
// as any other.
func usable(pair *tls.Certificate) bool {
	if k, ok := pair.PrivateKey.(*rsa.PrivateKey); ok && k.N.BitLen() < 1024 {
		return false // crypto/rsa refuses to sign
	}
	hello := &tls.ClientHelloInfo{
		SupportedVersions: []uint16{tls.VersionTLS13},
		SignatureSchemes: []tls.SignatureScheme{
			tls.PSSWithSHA256, tls.PSSWithSHA384, tls.PSSWithSHA512, tls.Ed25519,
			tls.ECDSAWithP256AndSHA256, tls.ECDSAWithP384AndSHA384, tls.ECDSAWithP521AndSHA512,
		},
	}
	return hello.SupportsCertificate(pair) == nil
}

// parseCAs makes a pool of one file of CA certificates or several, and says when the first of those that are still valid ends. A
// certificate that is no CA is refused: in a pool of roots it would be trusted by itself.
func parseCAs(files [][]byte, now time.Time) (pool *x509.CertPool, ends time.Time, err error) {
	pool = x509.NewCertPool()
	for _, data := range files {
		certs, err := certificates(data)
		if err != nil {
			return nil, ends, err
		}
		for _, c := range certs {
			if !c.BasicConstraintsValid || !c.IsCA || c.KeyUsage != 0 && c.KeyUsage&x509.KeyUsageCertSign == 0 {
				return nil, ends, errNotCA
			}
			pool.AddCert(c)
			if !now.After(c.NotAfter) && (ends.IsZero() || c.NotAfter.Before(ends)) {
				ends = c.NotAfter
			}
		}
	}
	if ends.IsZero() {
		return nil, ends, errAllExpired
	}
	return pool, ends, nil
}

package pop

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"strings"

	"github.com/mantlet-go/mantlet/internal/exchange"
)

// maxCertificate bounds a Client-Cert header; net/http bounds all headers together to 1 MiB by default.
const maxCertificate = 16 << 10

// certificate returns the x5t#S256 of the client's certificate (RFC 8705 section 3.1), "" for none.
func (v *Verifier) certificate(r *http.Request) string {
	var der []byte
	switch {
	case v.proxies.Trusts(exchange.Peer(r)):
		// The certificate of this connection is the proxy's own, if it has one.
		der = clientCert(r.Header["Client-Cert"])
	case r.TLS != nil && len(r.TLS.PeerCertificates) > 0:
		der = r.TLS.PeerCertificates[0].Raw
	}
	if len(der) == 0 {
		return ""
	}
	sum := sha256.Sum256(der)
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// clientCert reads the header of RFC 9440 section 2.2: one byte sequence (RFC 9651 section 3.3.5) of DER, without parameters.
func clientCert(header []string) []byte {
	if len(header) != 1 || len(header[0]) > maxCertificate {
		return nil // two of them: one may be the client's own
	}
	s := strings.Trim(header[0], " ")
	if len(s) < 2 || s[0] != ':' || s[len(s)-1] != ':' || strings.ContainsAny(s, "\r\n") {
		return nil
	}
	der, err := base64.StdEncoding.Strict().DecodeString(s[1 : len(s)-1])
	if err != nil {
		return nil
	}
	return der
}

package authtest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"testing"
	"time"
)

// Holder is a client that holds the key to which its tokens are bound, and proves it (DPoP, RFC 9449). Its fields are read only.
type Holder struct {
	*Signer
	// JWK is the public key as it stands in proofs.
	JWK map[string]any
}

// NewHolder returns a holder with a fresh key for a public key algorithm of package pop, such as "ES256".
func NewHolder(tb testing.TB, algorithm string) *Holder {
	tb.Helper()
	h := &Holder{Signer: NewSigner(tb, algorithm)}
	b64 := base64.RawURLEncoding.EncodeToString
	switch k := h.PublicKey().(type) {
	case *ecdsa.PublicKey:
		raw, err := k.Bytes()
		if err != nil {
			tb.Fatal(err)
		}
		n := len(raw) / 2
		h.JWK = map[string]any{"kty": "EC", "crv": k.Curve.Params().Name, "x": b64(raw[1 : 1+n]), "y": b64(raw[1+n:])}
	case ed25519.PublicKey:
		h.JWK = map[string]any{"kty": "OKP", "crv": "Ed25519", "x": b64(k)}
	case *rsa.PublicKey:
		h.JWK = map[string]any{"kty": "RSA", "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
	default:
		tb.Fatalf("authtest: nobody proves a key of %s", algorithm)
	}
	return h
}

// Thumbprint is what the cnf.jkt of the holder's tokens must be (RFC 7638; [auth.Confirmation].JKT).
func (h *Holder) Thumbprint() string {
	s, err := json.Marshal(h.JWK) // the members of a map come in order, without blanks
	if err != nil {
		h.tb.Fatal(err)
	}
	return digest(string(s))
}

// Proof returns the value of a DPoP header for one request with token, made now. url is what the client calls, without query. change, if
// not nil, may spoil the header and the claims before they are signed.
func (h *Holder) Proof(method, url, token string, change func(header, claims map[string]any)) string {
	h.tb.Helper()
	header := map[string]any{"typ": "dpop+jwt", "alg": h.Algorithm, "jwk": h.JWK}
	claims := map[string]any{"jti": rand.Text(), "htm": method, "htu": url, "iat": time.Now().Unix(), "ath": digest(token)}
	if change != nil {
		change(header, claims)
	}
	return h.Sign(header, claims)
}

func digest(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

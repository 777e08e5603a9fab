package pop

import (
	"net/http"
	"time"

	"github.com/mantlet-go/mantlet/auth/internal/strict"
)

// Parse reads a proof and returns its thumbprint.
func Parse(v *Verifier, s string) (thumbprint, jti string, err error) {
	p, err := v.parse(s)
	if err != nil {
		return "", "", err
	}
	return p.thumbprint, p.jti, nil
}

// WithProof is Authenticate at another time.
func WithProof(v *Verifier, r *http.Request, token string, now time.Time) error {
	_, err := v.withProof(r, token, func() time.Time { return now })
	return err
}

// PublicKey returns the key that a JWK spells.
func PublicKey(jwk, alg string) (any, error) {
	o, ok := strict.Read([]byte(jwk), jwkNames...)
	if !ok {
		return nil, errJWK
	}
	key, _, err := publicKey(o, alg, algorithms[alg])
	return key, err
}

// Thumbprint returns the thumbprint of a JWK.
func Thumbprint(jwk, alg string) (string, error) {
	o, ok := strict.Read([]byte(jwk), jwkNames...)
	if !ok {
		return "", errJWK
	}
	_, t, err := publicKey(o, alg, algorithms[alg])
	return t, err
}

// Remembered returns how many proofs the store in memory holds.
func Remembered(s ReplayStore) (n int) {
	m := s.(*memory)
	for i := range m.parts {
		n += len(m.parts[i].now) + len(m.parts[i].old)
	}
	return n
}

// NewMemory is the store in memory.
func NewMemory(max int, life time.Duration) ReplayStore { return newMemory(max, life) }

// Normalise is how URLs are compared.
var Normalise = normalise

// Signature returns the parts of a proof that its signature is computed from.
func Signature(v *Verifier, s string) (signed string, signature []byte, key any) {
	p, err := v.parse(s)
	if err != nil {
		panic(err)
	}
	return p.signed, p.signature, p.key
}

// Verify computes a signature and nothing else.
func Verify(alg, signed string, signature []byte, key any) error {
	return algorithms[alg].method.Verify(signed, signature, key)
}

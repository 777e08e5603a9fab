package pop

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"math/big"

	"github.com/golang-jwt/jwt/v5"

	"github.com/mantlet-go/mantlet/auth/internal/strict"
)

// algorithm is one public key algorithm of RFC 7518 section 3.1, RFC 8037 or RFC 9864, with the library's engine for it. There is no
// row for "none" or HMAC, so no configuration can let one in.
type algorithm struct {
	kty    string
	curve  elliptic.Curve // EC only
	crv    string
	method jwt.SigningMethod
}

var algorithms = map[string]*algorithm{
	"ES256":   {"EC", elliptic.P256(), "P-256", jwt.SigningMethodES256},
	"ES384":   {"EC", elliptic.P384(), "P-384", jwt.SigningMethodES384},
	"ES512":   {"EC", elliptic.P521(), "P-521", jwt.SigningMethodES512},
	"EdDSA":   {"OKP", nil, "Ed25519", jwt.SigningMethodEdDSA},
	"Ed25519": {"OKP", nil, "Ed25519", jwt.SigningMethodEdDSA},
	"RS256":   {"RSA", nil, "", jwt.SigningMethodRS256},
	"RS384":   {"RSA", nil, "", jwt.SigningMethodRS384},
	"RS512":   {"RSA", nil, "", jwt.SigningMethodRS512},
	"PS256":   {"RSA", nil, "", pss(jwt.SigningMethodPS256)},
	"PS384":   {"RSA", nil, "", pss(jwt.SigningMethodPS384)},
	"PS512":   {"RSA", nil, "", pss(jwt.SigningMethodPS512)},
}

// pss is m with the salt length of RFC 7518 section 3.5: as long as the hash. The library's own accepts any.
func pss(m *jwt.SigningMethodRSAPSS) *jwt.SigningMethodRSAPSS {
	return &jwt.SigningMethodRSAPSS{SigningMethodRSA: m.SigningMethodRSA, Options: &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: m.Hash}}
}

// jwkNames are the members of a JWK (RFC 7517, RFC 7518 section 6, RFC 8037) that mean something here.
var jwkNames = append([]string{"kty", "crv", "x", "y", "n", "e", "alg", "use"}, private...)

// private are the members that only a private or symmetric key has.
var private = []string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// publicKey returns the key that a jwk spells, and its thumbprint (RFC 7638). Every key has one spelling: coordinates have their full
// length, leading zero bytes included (RFC 7518 section 6.2.1.2), RSA numbers have no leading zero byte (section 6.3.1.1).
func publicKey(jwk *strict.Object, name string, alg *algorithm) (key any, thumbprint string, err error) {
	for _, m := range private {
		if jwk.Has(m) {
			return nil, "", errPrivate
		}
	}
	kty, crv, x, y, n, e := jwk.Text("kty"), jwk.Text("crv"), jwk.Text("x"), jwk.Text("y"), jwk.Long("n"), jwk.Text("e")
	if use := jwk.Text("use"); jwk.Has("use") && use != "sig" {
		return nil, "", errJWK
	}
	if own := jwk.Text("alg"); jwk.Has("alg") && own != name {
		return nil, "", errJWK
	}
	if !jwk.OK() || kty != alg.kty {
		return nil, "", errJWK
	}
	var canonical string
	switch kty {
	case "EC":
		size := (alg.curve.Params().BitSize + 7) / 8
		bx, okX := strict.Base64URL(x)
		by, okY := strict.Base64URL(y)
		if !okX || !okY || crv != alg.crv || len(bx) != size || len(by) != size {
			return nil, "", errJWK
		}
		point := append(append([]byte{4}, bx...), by...)
		k, err := ecdsa.ParseUncompressedPublicKey(alg.curve, point) // fails for a point that is not on the curve
		if err != nil {
			return nil, "", errJWK
		}
		key, canonical = k, `{"crv":"`+crv+`","kty":"EC","x":"`+x+`","y":"`+y+`"}`
	case "OKP":
		b, ok := strict.Base64URL(x)
		if !ok || crv != alg.crv || len(b) != ed25519.PublicKeySize {
			return nil, "", errJWK
		}
		key, canonical = ed25519.PublicKey(b), `{"crv":"`+crv+`","kty":"OKP","x":"`+x+`"}`
	case "RSA":
		bn, okN := strict.Base64URL(n)
		be, okE := strict.Base64URL(e)
		// 4096 bits bound what a client can make us compute.
		if !okN || !okE || len(bn) < 256 || len(bn) > 512 || len(be) == 0 || len(be) > 4 || bn[0] == 0 || be[0] == 0 {
			return nil, "", errJWK
		}
		k := &rsa.PublicKey{N: new(big.Int).SetBytes(bn), E: int(new(big.Int).SetBytes(be).Uint64())}
		if k.N.BitLen() < 2048 || k.N.Bit(0) == 0 || k.E < 3 || k.E&1 == 0 || k.E > 1<<31-1 {
			return nil, "", errJWK
		}
		key, canonical = k, `{"e":"`+e+`","kty":"RSA","n":"`+n+`"}`
	}
	sum := sha256.Sum256([]byte(canonical))
	return key, base64.RawURLEncoding.EncodeToString(sum[:]), nil
}

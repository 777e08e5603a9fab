package jwtauth

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"hash"
	"math/big"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/golang-jwt/jwt/v5"
)

type family uint8

const (
	familyHMAC family = iota
	familyRSA
	familyECDSA
	familyEdDSA
)

// algorithm is one row of RFC 7518 section 3.1 (EdDSA: RFC 8037), with the library's engine for it. The engines are named
// here one by one; the library's global registry, which anyone may write to, is not asked.
type algorithm struct {
	name   string
	family family
	size   int // HMAC: bytes of hash; ECDSA: bits of the curve
	method jwt.SigningMethod
}

var algorithms = map[string]*algorithm{
	"HS256": {"HS256", familyHMAC, 32, jwt.SigningMethodHS256},
	"HS384": {"HS384", familyHMAC, 48, jwt.SigningMethodHS384},
	"HS512": {"HS512", familyHMAC, 64, jwt.SigningMethodHS512},
	"RS256": {"RS256", familyRSA, 0, jwt.SigningMethodRS256},
	"RS384": {"RS384", familyRSA, 0, jwt.SigningMethodRS384},
	"RS512": {"RS512", familyRSA, 0, jwt.SigningMethodRS512},
	"PS256": {"PS256", familyRSA, 0, pss(jwt.SigningMethodPS256)},
	"PS384": {"PS384", familyRSA, 0, pss(jwt.SigningMethodPS384)},
	"PS512": {"PS512", familyRSA, 0, pss(jwt.SigningMethodPS512)},
	"ES256": {"ES256", familyECDSA, 256, jwt.SigningMethodES256},
	"ES384": {"ES384", familyECDSA, 384, jwt.SigningMethodES384},
	"ES512": {"ES512", familyECDSA, 521, jwt.SigningMethodES512},
	"EdDSA": {"EdDSA", familyEdDSA, 0, jwt.SigningMethodEdDSA},
}

// pss is m with the salt length of RFC 7518 section 3.5: as long as the hash. The library's own accepts any.
func pss(m *jwt.SigningMethodRSAPSS) *jwt.SigningMethodRSAPSS {
	return &jwt.SigningMethodRSAPSS{SigningMethodRSA: m.SigningMethodRSA, Options: &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash, Hash: m.Hash}}
}

// key is a checked Key. alg and key belong together for good.
type key struct {
	id    string
	alg   *algorithm
	key   any
	keyed sync.Pool // of *keyed, for HMAC
	// retired says that a fetched key is no longer published: what was verified with it and remembered counts no more.
	retired atomic.Bool
	from    *remote // who fetched it; nil for a configured key
}

// good reports whether what was verified with k still counts: it is published, as far as we know, and we have asked lately.
func (k *key) good(now time.Time) bool {
	return !k.retired.Load() && (k.from == nil || k.from.young(k.from.set.Load(), now))
}

func (k *key) verify(signed string, signature []byte) bool {
	if k.alg.family == familyHMAC {
		return k.verifyHMAC(signed, signature)
	}
	return k.alg.method.Verify(signed, signature, k.key) == nil
}

// keyed is an HMAC that has read its key.
type keyed struct {
	hash hash.Hash
	sum  []byte
}

// verifyHMAC does what the library's method does, which keys an HMAC anew for every token: two of three blocks of a short one, and
// seven allocations. The tests hold the two together.
func (k *key) verifyHMAC(signed string, signature []byte) bool {
	h, _ := k.keyed.Get().(*keyed)
	if h == nil {
		h = &keyed{hash: hmac.New(k.alg.method.(*jwt.SigningMethodHMAC).Hash.New, k.key.([]byte))}
	}
	h.hash.Reset()
	h.hash.Write(bytesOf(signed))
	h.sum = h.hash.Sum(h.sum[:0])
	ok := hmac.Equal(signature, h.sum)
	k.keyed.Put(h)
	return ok
}

// bytesOf is s without the copy that a conversion makes. Nobody writes to it.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// same reports whether k and o are one key under one name.
func (k *key) same(o *key) bool {
	if k.id != o.id || k.alg != o.alg {
		return false
	}
	p, ok := k.key.(interface{ Equal(crypto.PublicKey) bool })
	return ok && p.Equal(o.key)
}

// keys are the keys of one issuer.
type keys []*key

// find returns the one key that a header stands for, or nil. known says that waiting for newer keys is no use: the kid is
// there, or the token names none.
func (ks keys) find(h *header) (found *key, known bool) {
	known = !h.hasKid
	for _, k := range ks {
		if h.hasKid && k.id != string(h.kid) {
			continue
		}
		known = true
		// The algorithm is the key's. What the header says must agree and chooses nothing.
		if k.alg != h.alg {
			continue
		}
		if found != nil {
			return nil, true // two keys fit: trying both would let a token choose
		}
		found = k
	}
	return found, known
}

// newKey checks cfg and copies the key, so that a caller who reuses the memory changes nothing.
func newKey(cfg *Key) (*key, error) {
	alg, ok := algorithms[cfg.Algorithm]
	if !ok {
		return nil, fmt.Errorf("algorithm %q is not supported", cfg.Algorithm)
	}
	if len(cfg.ID) > maxKid {
		return nil, fmt.Errorf("ID is longer than %d bytes", maxKid)
	}
	k := &key{id: cfg.ID, alg: alg}
	switch p := cfg.Key.(type) {
	case nil:
		return nil, errors.New("Key is nil")
	case *rsa.PrivateKey, *ecdsa.PrivateKey, ed25519.PrivateKey:
		return nil, fmt.Errorf("Key is a private key (%T): a verifier needs, and should have, only the public one", p)
	case []byte:
		if alg.family != familyHMAC {
			return nil, fmt.Errorf("Key is a []byte, which does not fit %s", alg.name)
		}
		if len(p) < alg.size {
			return nil, fmt.Errorf("Key of %d bytes is shorter than the hash of %s, %d bytes (RFC 7518 section 3.2)", len(p), alg.name, alg.size)
		}
		if isPublicKey(p) {
			return nil, errors.New("Key looks like a public key or certificate: everybody who has it could sign")
		}
		k.key = bytes.Clone(p)
	case *rsa.PublicKey:
		if alg.family != familyRSA {
			return nil, fmt.Errorf("Key is an RSA key, which does not fit %s", alg.name)
		}
		if p == nil || p.N == nil || p.N.Sign() <= 0 {
			return nil, errors.New("Key is an empty RSA key")
		}
		if n := p.N.BitLen(); n < 2048 || n > 8192 {
			return nil, fmt.Errorf("Key is an RSA key of %d bits, not of 2048 to 8192 (RFC 7518 section 3.3)", n)
		}
		if p.E < 3 || p.E&1 == 0 || p.N.Bit(0) == 0 {
			return nil, errors.New("Key is an RSA key with an even modulus or a bad exponent")
		}
		if roca(p.N) {
			return nil, errors.New("Key is an RSA key of the weak form of CVE-2017-15361 (ROCA): make a new one, elsewhere")
		}
		k.key = &rsa.PublicKey{N: new(big.Int).Set(p.N), E: p.E}
	case *ecdsa.PublicKey:
		if alg.family != familyECDSA {
			return nil, fmt.Errorf("Key is an ECDSA key, which does not fit %s", alg.name)
		}
		if p == nil || p.Curve == nil {
			return nil, errors.New("Key is an empty ECDSA key")
		}
		if p.Curve.Params().BitSize != alg.size {
			return nil, fmt.Errorf("Key is on curve %s, which does not fit %s", p.Curve.Params().Name, alg.name)
		}
		raw, err := p.Bytes() // fails for a point that is not on the curve
		if err != nil {
			return nil, errors.New("Key is not a point of its curve")
		}
		c, err := ecdsa.ParseUncompressedPublicKey(p.Curve, raw)
		if err != nil {
			return nil, errors.New("Key is not a point of its curve")
		}
		k.key = c
	case ed25519.PublicKey:
		if alg.family != familyEdDSA {
			return nil, fmt.Errorf("Key is an Ed25519 key, which does not fit %s", alg.name)
		}
		if len(p) != ed25519.PublicKeySize {
			return nil, fmt.Errorf("Key is an Ed25519 key of %d bytes, not of %d", len(p), ed25519.PublicKeySize)
		}
		k.key = ed25519.PublicKey(bytes.Clone(p))
	default:
		if _, ok := p.(crypto.Signer); ok {
			return nil, fmt.Errorf("Key is a signer (%T): a verifier needs only the public key", p)
		}
		return nil, fmt.Errorf("Key of type %T is not supported", p)
	}
	return k, nil
}

// isPublicKey recognises what people paste by mistake where an HMAC secret belongs: PEM, also after a blank (CVE-2026-34950),
// a JWK, or DER.
func isPublicKey(b []byte) bool {
	t := bytes.TrimSpace(b)
	if bytes.Contains(t, []byte("-----BEGIN ")) || bytes.HasPrefix(t, []byte("{")) && bytes.Contains(t, []byte(`"kty"`)) ||
		bytes.HasPrefix(t, []byte("ssh-")) || bytes.HasPrefix(t, []byte("ecdsa-sha2-")) {
		return true
	}
	if _, err := x509.ParsePKIXPublicKey(b); err == nil {
		return true
	}
	if _, err := x509.ParsePKCS1PublicKey(b); err == nil {
		return true
	}
	_, err := x509.ParseCertificate(b)
	return err == nil
}

// rocaResidues holds, for the odd primes below 168, the residues that powers of 65537 have. The primes of a key made by the broken
// library, and so its modulus, are such powers modulo each of them (Nemec et al., "The Return of Coppersmith's Attack", CCS
// 2017, section 3).
var rocaResidues = sync.OnceValue(func() map[int64]map[int64]bool {
	m := map[int64]map[int64]bool{}
	for p := int64(3); p < 168; p += 2 {
		if big.NewInt(p).ProbablyPrime(0) { // exact below 2^64
			m[p] = map[int64]bool{}
			for x := int64(1); !m[p][x]; x = x * 65537 % p {
				m[p][x] = true
			}
		}
	}
	return m
})

// roca reports whether the modulus n has that form; one in about 2^28 others has it by chance (the product of the subgroups' shares).
func roca(n *big.Int) bool {
	for p, residues := range rocaResidues() {
		if !residues[new(big.Int).Mod(n, big.NewInt(p)).Int64()] {
			return false
		}
	}
	return true
}

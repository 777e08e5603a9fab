package jwtauth

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"errors"
	"fmt"
	"math"
	"math/big"
	"slices"

	"github.com/mantlet-go/mantlet/auth/internal/strict"
	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

const maxSetKeys = 100

// parseSet reads a JWK Set (RFC 7517 section 5). A key that is not usable is left out and the reason is in skipped; RFC 7517
// wants keys that are not understood to be ignored, and one odd key must not take the others with it. A set without any usable
// key is an error, and so is one of more than 100 keys.
func parseSet(data []byte, allowed []*algorithm) (ks keys, skipped []error, err error) {
	// The outer scan only finds the keys. What it forgives inside of one is refused when that one is read.
	outer := jsonscan.Limits{
		Bytes: maxDocument, Depth: 20, ArrayLen: 1024, Nodes: 20_000, NumberLen: -1, Exponent: -1,
		AllowDuplicateKeys: true, AllowFoldCollisions: true, AllowInvalidText: true,
	}
	var v setVisitor
	if err := jsonscan.Scan(data, &outer, &v); err != nil {
		return nil, nil, fmt.Errorf("the set is not JSON: %w", err)
	}
	switch {
	case v.members != 1:
		return nil, nil, errors.New("the set does not have exactly one member keys")
	case len(v.spans) > maxSetKeys:
		return nil, nil, fmt.Errorf("the set has more than %d keys", maxSetKeys)
	}
	var s jsonscan.Scanner
	var m members
	for i, at := range v.spans {
		if err := m.read(&s, data[at.start:at.end]); err != nil {
			skipped = append(skipped, fmt.Errorf("key %d is not strict JSON: %w", i, err))
			continue
		}
		found, err := m.jwk(allowed)
		if err != nil {
			skipped = append(skipped, fmt.Errorf("key %d: %w", i, err))
			continue
		}
		for _, k := range found {
			// Two different keys under one name both stay, and find then refuses the name; one that is there twice is one.
			if !slices.ContainsFunc(ks, k.same) {
				ks = append(ks, k)
			}
		}
	}
	if len(ks) == 0 {
		return nil, nil, fmt.Errorf("the set of %d keys has none that can be used: %w", len(v.spans), errors.Join(skipped...))
	}
	return ks, skipped, nil
}

// setVisitor collects where the elements of keys stand.
type setVisitor struct {
	members int // called keys, in any case
	spans   []span
}

func (v *setVisitor) Visit(p *jsonscan.Path, k jsonscan.Kind, start, end int) error {
	switch p.Depth() {
	case 0:
		if k != jsonscan.ObjectStart && k != jsonscan.ObjectEnd {
			return errNotObject
		}
	case 1:
		if raw, _ := p.Key(0); k != jsonscan.ArrayEnd && k != jsonscan.ObjectEnd && string(jsonscan.AppendFolded(nil, raw)) == "keys" {
			v.members++
			if k != jsonscan.ArrayStart || !jsonscan.EqualUnquoted(raw, "keys") {
				v.members++ // spoils it
			}
		}
	case 2:
		if raw, _ := p.Key(0); !jsonscan.EqualUnquoted(raw, "keys") {
			return nil
		}
		switch k {
		case jsonscan.ObjectEnd, jsonscan.ArrayEnd:
			v.spans[len(v.spans)-1].end = end
		default:
			v.spans = append(v.spans, span{start, end})
		}
	}
	return nil
}

// secretMembers are the private parts of RFC 7518 section 6. A key whose private part is published signs for everybody.
var secretMembers = [...]string{"d", "p", "q", "dp", "dq", "qi", "oth", "k"}

// jwk reads one JSON Web Key: one key for each allowed algorithm it is for. A key with an alg is for that one; without, for
// all of its type.
func (m *members) jwk(allowed []*algorithm) ([]*key, error) {
	var err error
	str := func(name string) string {
		v := m.find(name)
		b, ok := m.text(v)
		if v != nil && !ok && err == nil {
			err = fmt.Errorf("%s is not a string", name)
		}
		return string(b)
	}
	number := func(name string) []byte {
		b, ok := strict.Base64URL(str(name))
		if (!ok || len(b) == 0) && err == nil {
			err = fmt.Errorf("%s is missing or not canonical base64url", name)
		}
		return b
	}
	kid, hasKid := str("kid"), m.find("kid") != nil
	kty, alg, use := str("kty"), str("alg"), str("use")
	for _, name := range secretMembers {
		if m.find(name) != nil {
			return nil, fmt.Errorf("%s is there: the key is secret, or no longer", name)
		}
	}
	if m.find("use") != nil && use != "sig" {
		return nil, errors.New("use is not sig")
	}
	if ops := m.find("key_ops"); ops != nil {
		verify := false
		if ops.kind == jsonscan.ArrayStart && ops.strings {
			for _, e := range m.elems[ops.first : ops.first+ops.count] {
				verify = verify || string(m.spanText(e)) == "verify"
			}
		}
		if !verify {
			return nil, errors.New("key_ops does not hold verify")
		}
	}
	if hasKid && kid == "" {
		return nil, errors.New("kid is empty or not a string")
	}
	var public any
	var fits func(*algorithm) bool
	switch kty {
	case "RSA":
		n, e := new(big.Int).SetBytes(number("n")), new(big.Int).SetBytes(number("e"))
		if err == nil && (!e.IsInt64() || e.Int64() > math.MaxInt32) {
			return nil, errors.New("e is too large")
		}
		public = &rsa.PublicKey{N: n, E: int(e.Int64())}
		fits = func(a *algorithm) bool { return a.family == familyRSA }
	case "EC":
		curve := map[string]elliptic.Curve{"P-256": elliptic.P256(), "P-384": elliptic.P384(), "P-521": elliptic.P521()}[str("crv")]
		if curve == nil {
			return nil, errors.New("crv is not supported")
		}
		size := (curve.Params().BitSize + 7) / 8
		x, y := number("x"), number("y")
		if err == nil && (len(x) != size || len(y) != size) {
			return nil, errors.New("x or y does not have the length of the curve (RFC 7518 section 6.2.1.2)")
		}
		point := append(append([]byte{4}, x...), y...) // uncompressed, SEC 1 section 2.3.3
		if err == nil {
			if public, err = ecdsa.ParseUncompressedPublicKey(curve, point); err != nil {
				return nil, errors.New("x and y are not a point of the curve")
			}
		}
		fits = func(a *algorithm) bool { return a.family == familyECDSA && a.size == curve.Params().BitSize }
	case "OKP":
		if str("crv") != "Ed25519" {
			return nil, errors.New("crv is not supported")
		}
		public = ed25519.PublicKey(number("x"))
		fits = func(a *algorithm) bool { return a.family == familyEdDSA }
	case "oct":
		return nil, errors.New("kty oct: a secret does not come from a public place")
	default:
		return nil, errors.New("kty is not supported")
	}
	if err == nil && m.variant {
		err = errors.New("a name is spelled in another case")
	}
	if err != nil {
		return nil, err
	}
	var ks []*key
	for _, a := range allowed {
		if !fits(a) || m.find("alg") != nil && a.name != alg {
			continue
		}
		k, err := newKey(&Key{ID: kid, Algorithm: a.name, Key: public})
		if err != nil {
			return nil, err
		}
		ks = append(ks, k)
	}
	if len(ks) == 0 {
		return nil, errors.New("it is for no algorithm of the issuer's Algorithms")
	}
	return ks, nil
}

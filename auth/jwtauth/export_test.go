package jwtauth

import (
	"time"

	"github.com/mantlet-go/mantlet/auth/internal/strict"
)

// VerifySignature runs the strict front, up to and with the signature, over a JWS whose payload need not be claims: for
// vectors of JWS, not JWT.
func VerifySignature(token string, cfg Key) error {
	k, err := newKey(&cfg)
	if err != nil {
		return err
	}
	return verifySignature(token, keys{k})
}

func verifySignature(token string, ks keys) error {
	s := new(scratch)
	if err := s.split(token); err != nil {
		return err
	}
	if err := s.readHeader(); err != nil {
		return err
	}
	if err := s.decode(); err != nil {
		return err
	}
	h := s.header
	k, _ := ks.find(&h)
	if k == nil {
		return errKey
	}
	if !k.verify(token[:s.signed], s.signature) {
		return errSignature
	}
	return nil
}

// AppendBase64URL is the strict decoder.
var AppendBase64URL = strict.AppendBase64URL

// ParseSet returns the usable keys of a JWK Set as "kid/alg".
func ParseSet(data []byte, algs []string) ([]string, error) {
	ks, _, err := parseSet(data, rows(algs))
	var ids []string
	for _, k := range ks {
		ids = append(ids, k.id+"/"+k.alg.name)
	}
	return ids, err
}

// VerifyWithSet is VerifySignature with the keys of a JWK Set.
func VerifyWithSet(token string, data []byte, algs []string) error {
	ks, _, err := parseSet(data, rows(algs))
	if err != nil {
		return err
	}
	return verifySignature(token, ks)
}

func rows(names []string) (as []*algorithm) {
	for _, n := range names {
		as = append(as, algorithms[n])
	}
	return as
}

// Remembered reports whether v would answer for the token from memory.
func Remembered(v *Verifier, token string, now time.Time) bool {
	sum := digest(token)
	return v.cache.get(&sum, now) != nil
}

// Places is how many tokens v can remember.
func Places(v *Verifier) int { return len(v.cache.buckets) * ways }

// VerifyBytes verifies the bare signature of a message.
func VerifyBytes(cfg Key, message, signature []byte) (ok bool, err error) {
	k, err := newKey(&cfg)
	if err != nil {
		return false, err
	}
	return k.verify(string(message), signature), nil
}

// ParseDiscovery reads a discovery document.
func ParseDiscovery(body []byte, issuer string) (string, error) {
	return parseDiscovery(body, issuer, false)
}

// Freshness reads Cache-Control.
var Freshness = freshness

// KeyHolds reports whether what was verified with a key that was fetched then still counts.
func KeyHolds(fetched time.Time, maxStale time.Duration, now time.Time) bool {
	r := &remote{fetch: Fetch{MaxStale: maxStale}}
	r.set.Store(&keySet{fetched: fetched})
	return (&key{from: r}).good(now)
}

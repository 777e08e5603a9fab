package pop

import (
	"crypto/sha256"
	"encoding/base64"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/auth/internal/strict"
)

// maxProof bounds a proof. One with an RSA key of 4096 bits has about 2 KiB.
const maxProof = 4 << 10

// proof is a DPoP proof whose form is right. Nothing of it is believed yet.
type proof struct {
	alg        *algorithm
	key        any
	thumbprint string
	signed     string
	signature  []byte

	jti, htm, htu, ath, nonce string
	iat, nbf, exp             time.Time
	ends                      bool // there is an exp
}

// forbidden are header members that would bring a key, a location of a key, an extension or another format beside the jwk. RFC 7515
// section 4.1.11 wants unknown crit names refused; none is known here, so crit itself is.
var forbidden = []string{"crit", "b64", "jku", "x5u", "x5c", "x5t", "x5t#S256", "zip", "enc", "cty"}

var (
	headerNames = append([]string{"typ", "alg", "jwk", "kid"}, forbidden...)
	claimNames  = []string{"jti", "htm", "htu", "iat", "nbf", "exp", "ath", "nonce"}
)

// parse reads a proof, without looking at its signature.
func (v *Verifier) parse(s string) (*proof, error) {
	if len(s) > maxProof {
		return nil, errShape
	}
	head, rest, _ := strings.Cut(s, ".")
	claims, sig, ok := strings.Cut(rest, ".")
	if !ok || head == "" || claims == "" || sig == "" {
		return nil, errShape // a third dot fails below: it is no character of base64url
	}
	rawHead, okH := strict.Base64URL(head)
	rawClaims, okC := strict.Base64URL(claims)
	signature, okS := strict.Base64URL(sig)
	if !okH || !okC || !okS {
		return nil, errShape
	}
	p := &proof{signed: s[:len(head)+1+len(claims)], signature: signature}

	h, ok := strict.Read(rawHead, headerNames...)
	if !ok {
		return nil, errHeader
	}
	typ, alg, jwk := h.Text("typ"), h.Text("alg"), h.Object("jwk", jwkNames...)
	switch {
	case !h.OK():
		return nil, errHeader
	case slices.ContainsFunc(forbidden, h.Has):
		return nil, errForbidden
	case typ != "dpop+jwt":
		return nil, errTyp
	case !slices.Contains(v.algorithms, alg) || algorithms[alg] == nil:
		return nil, errAlg
	case jwk == nil:
		return nil, errJWK
	}
	p.alg = algorithms[alg]
	var err error
	if p.key, p.thumbprint, err = publicKey(jwk, alg, p.alg); err != nil {
		return nil, err
	}

	c, ok := strict.Read(rawClaims, claimNames...)
	if !ok || !c.Has("iat") {
		return nil, errClaims
	}
	p.jti, p.htm, p.htu, p.ath, p.nonce = c.Text("jti"), c.Text("htm"), c.Long("htu"), c.Text("ath"), c.Text("nonce")
	p.iat, p.nbf, p.exp, p.ends = c.Time("iat", false), c.Time("nbf", true), c.Time("exp", false), c.Has("exp")
	switch {
	case !c.OK():
		return nil, errClaims
	case p.jti == "" || len(p.jti) > 128:
		return nil, errJTI
	}
	return p, nil
}

// check compares a proof with the request it came with (RFC 9449 section 4.3, items 8 to 10 and 12).
func (v *Verifier) check(p *proof, r *http.Request, token string, now time.Time) error {
	hash := sha256.Sum256([]byte(token))
	switch {
	case p.htm != r.Method:
		return errHTM
	case !v.isURL(p.htu, r):
		return errHTU
	case p.ath != base64.RawURLEncoding.EncodeToString(hash[:]):
		return errATH
	case v.nonces != nil && !v.nonces.knows(p.nonce, now):
		return errNonce
	}
	return nil
}

// timely reports whether a proof may be used at the time now.
func (v *Verifier) timely(p *proof, now time.Time) bool {
	latest := now.Add(v.leeway)
	return !p.iat.Before(now.Add(-v.maxAge)) && !p.iat.After(latest) && !p.nbf.After(latest) && (!p.ends || now.Before(p.exp.Add(v.leeway)))
}

// id is what a proof is remembered by: the key's half and the proof's half. The same jti under another key is another proof.
func (p *proof) id() (id [32]byte) {
	key := sha256.Sum256([]byte(p.thumbprint))
	both := sha256.Sum256([]byte(p.thumbprint + p.jti)) // a thumbprint has 43 characters, always
	copy(id[:16], key[:])
	copy(id[16:], both[:])
	return id
}

// isURL reports whether htu is the URL of r as clients see it.
func (v *Verifier) isURL(htu string, r *http.Request) bool {
	got, ok := normalise(htu)
	if !ok {
		return false
	}
	path, ok := normalisePath(r.URL.EscapedPath())
	return ok && slices.ContainsFunc(v.urls, func(base string) bool { return got == base+path })
}

// normalise returns scheme, host and path of an absolute URL as they are compared: RFC 3986 sections 6.2.2 and 6.2.3 without dot
// segments, which nothing may have.
func normalise(s string) (string, bool) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Hostname() == "" || u.User != nil {
		return "", false
	}
	host := strings.ToLower(u.Host)
	switch port := u.Port(); {
	case port == "":
		host = strings.TrimSuffix(host, ":")
	case port == "443" && u.Scheme == "https", port == "80" && u.Scheme == "http":
		host = strings.TrimSuffix(host, ":"+port)
	}
	path, ok := normalisePath(u.EscapedPath())
	return u.Scheme + "://" + host + path, ok
}

// normalisePath decodes escapes of unreserved characters, writes the others in upper case, and makes the empty path "/". ok is false
// for a broken escape and for a path with a dot segment.
func normalisePath(s string) (string, bool) {
	const hex = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+1)
	for i := 0; i < len(s); i++ {
		if s[i] != '%' {
			b = append(b, s[i])
			continue
		}
		if i+2 >= len(s) {
			return "", false
		}
		hi, lo := strings.IndexByte(hex, upper(s[i+1])), strings.IndexByte(hex, upper(s[i+2]))
		if hi < 0 || lo < 0 {
			return "", false
		}
		c := byte(hi<<4 | lo)
		if c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 {
			b = append(b, c)
		} else {
			b = append(b, '%', hex[hi], hex[lo])
		}
		i += 2
	}
	if len(b) == 0 {
		return "/", true
	}
	for segment := range strings.SplitSeq(string(b), "/") {
		if segment == "." || segment == ".." {
			return "", false
		}
	}
	return string(b), true
}

func upper(c byte) byte {
	if c >= 'a' && c <= 'z' {
		c -= 'a' - 'A'
	}
	return c
}

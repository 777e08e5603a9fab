package authtest

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"strings"
	"time"
)

// Attack is a token that must be refused.
type Attack struct {
	// Name is a short stable name, for subtests.
	Name string
	// Token is the value of the Bearer credential.
	Token string
	// Why says what the attack is, with an advisory where there is one.
	Why string
}

// Attacks returns tokens that a verifier which trusts s as the only key of issuer must refuse. All are made from claims that
// would be good at the time now; each differs in one thing. Where the attack is not in the signature, the signature is good.
func (s *Signer) Attacks(issuer, audience string, now time.Time) []Attack {
	claims := Claims(issuer, audience, now)
	head, body := s.json(s.Header()), s.json(claims)
	good := s.SignJSON(head, body)
	parts := strings.Split(good, ".")
	var list []Attack
	add := func(name, token, why string) { list = append(list, Attack{name, token, why}) }
	header := func(name string, value any, attack, why string) {
		add(attack, s.Sign(With(s.Header(), name, value), claims), why)
	}
	claim := func(name string, value any, attack, why string) {
		add(attack, s.Token(With(claims, name, value)), why)
	}
	unsigned := func(h, sig string) string { return encode(h) + "." + parts[1] + "." + sig }

	// The signature and who decides about it.
	for _, alg := range []string{"none", "None", "NONE", "nOnE"} {
		add("alg_"+alg, unsigned(`{"alg":"`+alg+`","typ":"at+jwt"}`, ""), "unsigned token (CVE-2015-2951)")
		add("alg_"+alg+"_with_signature", unsigned(`{"alg":"`+alg+`","typ":"at+jwt"}`, parts[2]), "unsigned token with a stray signature")
	}
	add("null_signature", parts[0]+"."+parts[1]+".", "signature left out (CVE-2020-28042)")
	add("no_signature_segment", parts[0]+"."+parts[1], "signature segment left out")
	add("signature_of_another_token", parts[0]+"."+encode(s.json(With(claims, "sub", "admin")))+"."+parts[2], "claims changed after signing")
	add("flipped_signature_bit", parts[0]+"."+parts[1]+"."+flip(parts[2]), "signature changed")
	header("alg", nil, "alg_missing", "no alg")
	header("alg", 256, "alg_number", "alg is no string")
	header("alg", []string{s.Algorithm}, "alg_array", "alg is no string")
	header("alg", strings.ToLower(s.Algorithm), "alg_lower_case", "names of algorithms have a case (RFC 7515 section 4.1.1)")
	header("alg", otherAlgorithm(s.Algorithm), "alg_of_another_key", "alg is bound to the key, not chosen by the token")
	add("blank_hmac_key", hmacToken(`{"alg":"HS256","kid":"`+s.KeyID+`","typ":"at+jwt"}`, body, nil), "HMAC with an empty key (CVE-2019-20933, CVE-2020-28637)")
	for name, secret := range publicForms(s.public) {
		why := "public key used as HMAC secret (CVE-2016-10555, CVE-2022-29217)"
		if name == "pem_leading_space" {
			why = "the same behind a blank that hides the PEM from a check (CVE-2026-34950)"
		}
		add("hmac_with_public_key_"+name, hmacToken(`{"alg":"HS256","kid":"`+s.KeyID+`","typ":"at+jwt"}`, body, secret), why)
	}

	// Keys and rules that come with the token.
	attacker := NewSigner(s.tb, "EdDSA")
	jwk := map[string]any{"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "kid": s.KeyID, "x": base64.RawURLEncoding.EncodeToString(attacker.public.(ed25519.PublicKey))}
	add("embedded_jwk", attacker.Sign(map[string]any{"alg": "EdDSA", "typ": "at+jwt", "kid": s.KeyID, "jwk": jwk}, claims), "key in the token (CVE-2018-0114, CVE-2026-27962)")
	header("jwk", jwk, "embedded_jwk_beside_good_signature", "another reader might use it")
	header("jku", "https://attacker.example/jwks.json", "jku", "location of keys in the token")
	header("x5u", "https://attacker.example/cert.pem", "x5u", "location of a certificate in the token")
	header("x5c", []string{"MIIB"}, "x5c", "certificate in the token")
	header("crit", []string{"exp"}, "crit_unknown", "extension that must be understood and is not (CVE-2025-59420)")
	header("crit", []string{}, "crit_empty", "an empty crit is not allowed (RFC 7515 section 4.1.11)")
	header("b64", false, "b64_without_crit", "unencoded payload (RFC 7797)")
	add("b64_false", s.Sign(With(With(s.Header(), "b64", false), "crit", []string{"b64"}), claims), "unencoded payload (RFC 7797)")
	header("zip", "DEF", "zip", "compressed content: not in a JWS, and a bomb elsewhere (CVE-2024-28122)")
	header("enc", "A256GCM", "enc", "a JWE header")
	header("cty", "JWT", "cty_nested", "a token inside a token")

	// kid.
	header("kid", "unknown", "kid_unknown", "no such key")
	header("kid", "../../../../dev/null", "kid_path", "kid as a path")
	header("kid", "x' UNION SELECT 'a", "kid_sql", "kid as SQL (CVE-2026-42208 is the same slip with a key)")
	header("kid", 7, "kid_number", "kid is no string")
	header("kid", "", "kid_empty", "kid is empty")
	header("kid", strings.Repeat("k", 4096), "kid_huge", "kid is huge")
	stranger := NewSigner(s.tb, s.Algorithm)
	if !strings.HasPrefix(s.Algorithm, "RS") && !strings.HasPrefix(s.Algorithm, "PS") {
		stranger.KeyID = s.KeyID
		add("foreign_key_same_kid", stranger.Token(claims), "signed by somebody else under the same kid")
	}

	// Types.
	header("typ", "JWT", "id_token_by_typ", "an ID or other token used as an access token (RFC 8725 section 3.11)")
	header("typ", nil, "typ_missing", "a token that does not say what it is")
	header("typ", "logout+jwt", "logout_token", "a logout token used as an access token")
	header("typ", 1, "typ_number", "typ is no string")
	claim("at_hash", "MTIzNDU2Nzg5MDEyMzQ1Ng", "id_token_by_claims", "an ID token, by a claim only those have")
	claim("cnf", map[string]any{"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}, "bound_token_as_bearer", "a stolen DPoP token without its key (RFC 9449 section 7.1)")

	// One text, two readings.
	add("duplicate_alg", s.SignJSON(insert(head, `"alg":"none"`), body), "alg twice: which one counts?")
	add("duplicate_kid", s.SignJSON(insert(head, `"kid":"other"`), body), "kid twice")
	add("duplicate_sub", s.SignJSON(head, insert(body, `"sub":"admin"`)), "sub twice: golang-jwt takes the last")
	add("duplicate_sub_escaped", s.SignJSON(head, insert(body, `"\u0073ub":"admin"`)), "sub twice, once escaped")
	add("duplicate_aud", s.SignJSON(head, insert(body, `"aud":"other"`)), "aud twice")
	add("case_variant_SUB", s.SignJSON(head, insert(body, `"SUB":"admin"`)), "encoding/json reads SUB into sub")
	add("case_variant_long_s", s.SignJSON(head, insert(body, `"\u017fub":"admin"`)), "U+017F folds to s, for encoding/json too")
	add("case_variant_alone", s.SignJSON(head, insert(body, `"NBF":1`)), "a registered name in another case, without the real one")
	add("case_variant_Crit", s.SignJSON(insert(head, `"Crit":["x"]`), body), "crit in another case")
	add("trailing_json", s.SignJSON(head, body+"{}"), "two documents")
	add("byte_order_mark", s.SignJSON(head, "\ufeff"+body), "byte order mark")
	add("claims_array", s.SignJSON(head, "["+body+"]"), "claims are no object")
	add("claims_null", s.SignJSON(head, "null"), "claims are no object")
	add("header_array", s.SignJSON("["+head+"]", body), "header is no object")
	add("invalid_utf8", s.SignJSON(head, insert(body, "\"x\":\"\xff\"")), "bytes that are no text")
	add("deep_claims", s.SignJSON(head, insert(body, `"x":`+strings.Repeat("[", 2000)+strings.Repeat("]", 2000))), "nesting as a weapon")

	// One token, two spellings.
	add("padding", good+"=", "base64 with padding")
	add("padded_header", s.SignSegments(parts[0]+"=", parts[1]), "base64 with padding")
	add("trailing_bits", s.SignSegments(parts[0], nonCanonical(body)), "unused bits set: the same bytes, another token")
	add("line_break_in_segment", s.SignSegments(parts[0], parts[1][:8]+"\n"+parts[1][8:]), "encoding/base64 skips line breaks, strict or not")
	add("space_in_segment", s.SignSegments(parts[0], parts[1][:8]+" "+parts[1][8:]), "space inside")
	add("standard_alphabet", s.SignSegments(parts[0], standardAlphabet(body)), "the alphabet of RFC 4648 section 4")
	add("nul_at_end", good+"\x00", "stray NUL")

	// Other containers.
	add("empty", "", "nothing")
	add("two_dots", "..", "three empty segments")
	add("jwe", good+"."+parts[1]+"."+parts[2], "five segments: an encrypted token (CVE-2024-28122, CVE-2026-34986)")
	add("json_serialisation", `{"protected":"`+parts[0]+`","payload":"`+parts[1]+`","signature":"`+parts[2]+`"}`, "JSON serialisation (CVE-2024-21664)")
	add("dot_flood", strings.Repeat(".", 1<<20), "a million dots (CVE-2025-30204)")
	add("oversized", s.Token(With(claims, "x", strings.Repeat("x", 64<<10))), "too large to be a header")

	// Claims.
	claim("iss", nil, "iss_missing", "no issuer")
	claim("iss", issuer+"/", "iss_trailing_slash", "another issuer")
	claim("iss", strings.ToUpper(issuer), "iss_case", "another issuer")
	claim("iss", []string{issuer}, "iss_array", "iss is no string")
	claim("iss", "https://attacker.example", "iss_foreign", "an issuer nobody configured")
	claim("aud", nil, "aud_missing", "for anybody (GHSA-g5h5-m4hm-xjrr)")
	claim("aud", []string{}, "aud_empty_array", "for nobody (CVE-2020-26160)")
	claim("aud", "", "aud_empty", "for nobody")
	claim("aud", "other", "aud_other", "for another API")
	claim("aud", audience+".attacker.example", "aud_prefix", "ours is only the beginning of it")
	claim("aud", []any{[]string{audience}}, "aud_nested", "an array in an array")
	claim("aud", []any{audience, 1}, "aud_mixed", "an array that holds more than strings")
	claim("sub", nil, "sub_missing", "nobody")
	claim("sub", "", "sub_empty", "nobody")
	claim("sub", 1, "sub_number", "sub is no string")
	claim("sub", "a\nb", "sub_control", "a name that writes two log lines")
	claim("exp", nil, "exp_missing", "lives for ever")
	claim("exp", now.Add(-2*time.Hour).Unix(), "expired", "its time is over")
	claim("exp", "9999999999", "exp_string", "exp is no number")
	claim("exp", -1, "exp_negative", "before 1970")
	claim("exp", now.Add(100*365*24*time.Hour).Unix(), "exp_in_a_century", "lives for ever, nearly")
	add("exp_exponent", s.SignJSON(head, strings.Replace(s.json(With(claims, "exp", 1)), `"exp":1`, `"exp":1e308`, 1)), "a number no two programs agree on")
	claim("nbf", now.Add(time.Hour).Unix(), "nbf_future", "not yet")
	claim("nbf", "0", "nbf_string", "nbf is no number")
	claim("iat", now.Add(time.Hour).Unix(), "iat_future", "made in the future")
	claim("scope", 5, "scope_number", "scope is no string")
	claim("scope", "a\tb", "scope_tab", "scopes are separated by spaces only")
	claim("scope", `a"b`, "scope_quote", "not a scope-token: it would end the challenge's quotes")
	claim("roles", 1, "roles_number", "roles is a number")
	return list
}

// publicForms returns the ways a public key is written down; none for an HMAC secret.
func publicForms(public any) map[string][]byte {
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return nil
	}
	p := pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
	m := map[string][]byte{"pem": p, "pem_trimmed": []byte(strings.TrimSpace(string(p))), "pem_leading_space": append([]byte(" "), p...), "der": der}
	b64 := func(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
	switch k := public.(type) {
	case *rsa.PublicKey:
		m["jwk"] = []byte(`{"kty":"RSA","n":"` + b64(k.N.Bytes()) + `","e":"` + b64(big.NewInt(int64(k.E)).Bytes()) + `"}`)
	case *ecdsa.PublicKey:
		if raw, err := k.Bytes(); err == nil {
			m["raw"] = raw
		}
	case ed25519.PublicKey:
		m["raw"] = k
	}
	return m
}

func hmacToken(header, claims string, secret []byte) string {
	signed := encode(header) + "." + encode(claims)
	h := hmac.New(sha256.New, secret)
	h.Write([]byte(signed))
	return signed + "." + base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

func otherAlgorithm(alg string) string {
	if alg == "RS256" {
		return "PS256"
	}
	return "RS256"
}

// flip changes the first byte of a base64url segment.
func flip(segment string) string {
	if segment[0] == 'A' {
		return "B" + segment[1:]
	}
	return "A" + segment[1:]
}

// standardAlphabet encodes the JSON object s with a character that base64url does not have.
func standardAlphabet(s string) string {
	for {
		if e := base64.RawStdEncoding.EncodeToString([]byte(insert(s, `"x":"???>>>"`))); strings.ContainsAny(e, "+/") {
			return e
		}
		s = "{ " + s[1:]
	}
}

// nonCanonical encodes s so that the last character has unused bits set.
func nonCanonical(s string) string {
	for len(s)%3 == 0 {
		s += " "
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	e := encode(s)
	last := strings.IndexByte(alphabet, e[len(e)-1])
	return e[:len(e)-1] + string(alphabet[last|1])
}

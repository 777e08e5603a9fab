package jwtauth_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth/authtest"
	"github.com/mantlet-go/mantlet/auth/jwtauth"
	"github.com/mantlet-go/mantlet/internal/corpus"
)

func set(t testing.TB, keys ...map[string]any) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{"keys": keys})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// unsigned is a token with this kid and a wrong signature of the right length: cheap enough for floods.
func unsigned(s *authtest.Signer, kid string) string {
	enc := base64.RawURLEncoding.EncodeToString
	header := fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"at+jwt"}`, s.Algorithm, kid)
	claims := fmt.Sprintf(`{"iss":%q,"aud":%q,"sub":"mallory","exp":%d}`, issuer, audience, time.Now().Add(time.Minute).Unix())
	return enc([]byte(header)) + "." + enc([]byte(claims)) + "." + enc(bytes.Repeat([]byte{1}, 64))
}

func TestAnOddKeyIsLeftOutAndTheOthersStay(t *testing.T) {
	ec, r, ed := authtest.NewSigner(t, "ES256").JWK(), authtest.NewSigner(t, "RS256").JWK(), authtest.NewSigner(t, "EdDSA").JWK()
	good := authtest.NewSigner(t, "ES384").JWK()
	algs := []string{"RS256", "PS256", "ES256", "ES384", "EdDSA"}
	with := func(jwk map[string]any, pairs ...any) string {
		c := maps.Clone(jwk)
		for i := 0; i < len(pairs); i += 2 {
			if pairs[i+1] == nil {
				delete(c, pairs[i].(string))
			} else {
				c[pairs[i].(string)] = pairs[i+1]
			}
		}
		b, err := json.Marshal(c)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	x, y := unb64(t, ec["x"].(string)), unb64(t, ec["y"].(string))
	bad := map[string]string{
		"AKP (RFC 9964)":                `{"kty":"AKP","alg":"ML-DSA-44","kid":"k","pub":"AAAA"}`,
		"no kty":                        with(ec, "kty", nil),
		"kty in lower case":             with(ec, "kty", "ec"),
		"kty is a number":               with(ec, "kty", 1),
		"KTY beside kty":                with(ec, "KTY", "RSA"),
		"RSA without n":                 with(r, "n", nil),
		"RSA without e":                 with(r, "e", nil),
		"RSA with padded n":             with(r, "n", r["n"].(string)+"=="),
		"RSA of 1024 bits":              with(r, "n", b64(bytes.Repeat([]byte{0xff}, 128))),
		"RSA of 16384 bits":             with(r, "n", b64(bytes.Repeat([]byte{0xff}, 2048))),
		"RSA with e=1":                  with(r, "e", "AQ"),
		"RSA with an even e":            with(r, "e", "Ag"),
		"RSA with a huge e":             with(r, "e", b64(bytes.Repeat([]byte{0xff}, 9))),
		"RSA with e of 2^31+1":          with(r, "e", b64([]byte{0x80, 0, 0, 1})),
		"use enc":                       with(ec, "use", "enc"),
		"use in another case":           with(ec, "use", "SIG"),
		"use is empty":                  with(ec, "use", ""),
		"use is a number":               with(ec, "use", 7),
		"key_ops without verify":        with(ec, "key_ops", []string{"sign"}),
		"key_ops is empty":              with(ec, "key_ops", []string{}),
		"key_ops is a string":           with(ec, "key_ops", "verify"),
		"key_ops is mixed":              with(ec, "key_ops", []any{"verify", 1}),
		"alg of another type":           with(ec, "alg", "RS256"),
		"alg of another curve":          with(ec, "alg", "ES384"),
		"alg that is not allowed":       with(r, "alg", "RS512"),
		"alg none":                      with(ec, "alg", "none"),
		"alg that is for encryption":    with(r, "alg", "RSA-OAEP"),
		"alg is a number":               with(ec, "alg", 1),
		"a point off the curve":         with(ec, "x", ec["y"]),
		"x one byte short":              with(ec, "x", b64(bytes.Repeat([]byte{1}, 31))),
		"x one byte long":               with(ec, "x", b64(bytes.Repeat([]byte{1}, 33))),
		"a byte of x in y":              with(ec, "x", b64(x[:31]), "y", b64(append(x[31:32:32], y...))),
		"the point at infinity":         with(ec, "x", b64(make([]byte, 32)), "y", b64(make([]byte, 32))),
		"P-384 that says P-256":         with(good, "crv", "P-256", "alg", nil),
		"secp256k1":                     with(ec, "crv", "secp256k1"),
		"P-224":                         with(ec, "crv", "P-224"),
		"no crv":                        with(ec, "crv", nil),
		"Ed25519 of 31 bytes":           with(ed, "x", b64(make([]byte, 31))),
		"Ed448":                         with(ed, "crv", "Ed448"),
		"X25519":                        with(ed, "crv", "X25519"),
		"a secret":                      `{"kty":"oct","kid":"k","alg":"HS256","k":"` + b64(bytes.Repeat([]byte{7}, 64)) + `"}`,
		"an RSA key with a secret in k": with(r, "k", "AAAA"),
		"a private EC key":              with(ec, "d", b64(bytes.Repeat([]byte{1}, 32))),
		"a private RSA key":             with(r, "p", "AAAA"),
		"kid is a number":               with(ec, "kid", 7),
		"kid is empty":                  with(ec, "kid", ""),
		"kid is huge":                   with(ec, "kid", strings.Repeat("k", 257)),
		"a member twice":                strings.Replace(with(ec), "{", `{"use":"sig",`, 1),
		"bytes that are no text":        strings.Replace(with(ec), "{", "{\"x-note\":\"\xff\",", 1),
		"a number as a weapon":          strings.Replace(with(ec), "{", `{"note":1e999999999,`, 1),
		"a string":                      `"key"`,
		"a number":                      `1`,
		"null":                          `null`,
		"an array":                      `[]`,
		"nothing":                       `{}`,
	}
	for name, key := range bad {
		one := `{"keys":[` + key + `]}`
		if ids, err := jwtauth.ParseSet([]byte(one), algs); err == nil {
			t.Errorf("%s: accepted as %q", name, ids)
		}
		for _, two := range []string{`{"keys":[` + key + `,` + with(good) + `]}`, `{"keys":[` + with(good) + `,` + key + `]}`} {
			ids, err := jwtauth.ParseSet([]byte(two), algs)
			if err != nil || len(ids) != 1 || ids[0] != good["kid"].(string)+"/ES384" {
				t.Errorf("%s beside a good key: %q, %v", name, ids, err)
			}
		}
	}
	for name, c := range map[string]struct {
		key  string
		want int
	}{
		"as it is":                       {with(ec), 1},
		"without alg, one fits":          {with(ec, "alg", nil), 1},
		"RSA without alg, two fit":       {with(r, "alg", nil), 2},
		"without use":                    {with(ec, "use", nil), 1},
		"key_ops verify":                 {with(ec, "key_ops", []string{"verify"}), 1},
		"key_ops sign and verify":        {with(ec, "key_ops", []string{"sign", "verify"}), 1},
		"without kid":                    {with(ec, "kid", nil), 1},
		"certificates, which say little": {with(ec, "x5c", []string{"MIIB"}, "x5t", "AAAA"), 1},
		"n behind a zero byte":           {with(r, "n", b64(append([]byte{0}, unb64(t, r["n"].(string))...))), 1},
		"the key twice":                  {with(ec) + "," + with(ec), 1},
		"two keys of one name":           {with(ec) + "," + with(authtest.NewSigner(t, "ES256").JWK(), "kid", ec["kid"]), 2},
		"beside unknown members":         {with(ec) + `],"next":["x",{"keys":[1]}],"more":[`, 1},
	} {
		if ids, err := jwtauth.ParseSet([]byte(`{"keys":[`+c.key+`]}`), algs); err != nil || len(ids) != c.want {
			t.Errorf("%s: %q, %v", name, ids, err)
		}
	}
}

func unb64(t *testing.T, s string) []byte {
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The vectors whose keys are secrets are all refused, also the valid ones: a set is a public place. The rest must agree.
func TestWycheproofJSONWebKey(t *testing.T) {
	var f struct {
		NumberOfTests int
		TestGroups    []struct {
			Comment         string
			Public, Private json.RawMessage
			Tests           []struct {
				TcID                 int
				Comment, JWS, Result string
			}
		}
	}
	if err := json.Unmarshal(corpus.Read(t, "conformance/wycheproof/json_web_key_test.json"), &f); err != nil {
		t.Fatal(err)
	}
	ran, secrets := 0, 0
	var ids []int
	for _, g := range f.TestGroups {
		data := g.Public
		if data == nil {
			data = g.Private
		}
		for _, c := range g.Tests {
			ran++
			err := jwtauth.VerifyWithSet(c.JWS, data, algorithms)
			if err == nil {
				ids = append(ids, c.TcID)
			}
			switch want := c.Result == "valid"; {
			case bytes.Contains(data, []byte(`"oct"`)):
				if secrets++; err == nil {
					t.Errorf("%s %d: accepted a secret from a set", g.Comment, c.TcID)
				}
			case want != (err == nil):
				t.Errorf("%s %d %s: result %q, %v", g.Comment, c.TcID, c.Comment, c.Result, err)
			}
		}
	}
	if ran != f.NumberOfTests || ran == 0 {
		t.Errorf("ran %d of %d", ran, f.NumberOfTests)
	}
	accepted(t, "testdata/wycheproof_jwk.json", ids)
	t.Logf("%d vectors, %d accepted, %d with secrets", ran, len(ids), secrets)
}

// FuzzParseSet: no text panics; what is accepted is strict JSON by the standard library's reading too, holds at most 100 keys,
// and every key that came out is bound to an allowed algorithm.
func FuzzParseSet(f *testing.F) {
	algs := []string{"RS256", "ES256", "EdDSA"}
	for _, alg := range algs {
		f.Add([]byte(set(f, authtest.NewSigner(f, alg).JWK())))
	}
	for _, s := range []string{`{"keys":[]}`, `{"keys":[{}]}`, `{"keys":[{"kty":"oct","k":"AA"}]}`, `{"keys":[[],{"a":[{}]}],"x":{"keys":[1]}}`, `{"k\u0065ys":[{"kty":"OKP"}]}`, `[]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ids, err := jwtauth.ParseSet(data, algs)
		if (len(ids) == 0) != (err != nil) {
			t.Fatalf("%q, %v", ids, err)
		}
		if err != nil {
			return
		}
		var doc map[string]json.RawMessage
		var keys []json.RawMessage
		if json.Unmarshal(data, &doc) != nil || json.Unmarshal(doc["keys"], &keys) != nil || len(keys) > 100 || len(ids) > len(keys) {
			t.Errorf("%d keys from %q", len(ids), data)
		}
		for _, id := range ids {
			if a := id[strings.LastIndexByte(id, '/')+1:]; a != "RS256" && a != "ES256" && a != "EdDSA" {
				t.Errorf("a key for %s", a)
			}
		}
	})
}

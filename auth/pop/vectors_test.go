package pop_test

import (
	"encoding/hex"
	"encoding/json"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/auth/pop"
	"github.com/mantlet-go/mantlet/internal/corpus"
)

// wycheproofPolicy lists the vectors on which we differ from the file, and why. Everything else must agree.
var wycheproofPolicy = map[int]string{
	7: "an RSA key with the structure of ROCA (CVE-2017-15361): not looked for; RSA is off unless configured",
}

// A key that the vectors call bad is refused as a jwk, before its signature is looked at; the good one is accepted.
func TestWycheproofJSONWebKey(t *testing.T) {
	var f struct {
		TestGroups []struct {
			Public struct{ Keys []json.RawMessage }
			Tests  []struct {
				TcID         int
				Comment, JWS string
				Result       string
			}
		}
	}
	if err := json.Unmarshal(corpus.Read(t, "conformance/wycheproof/json_web_key_test.json"), &f); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, g := range f.TestGroups {
		if len(g.Public.Keys) == 0 {
			continue // symmetric: no proof can have such a key
		}
		for _, tc := range g.Tests {
			var head struct{ Alg string }
			if err := json.Unmarshal(decode(strings.Split(tc.JWS, ".")[0]), &head); err != nil {
				t.Fatal(err)
			}
			_, err := pop.Thumbprint(string(g.Public.Keys[0]), head.Alg)
			if _, differ := wycheproofPolicy[tc.TcID]; (err == nil) != (tc.Result == "valid" || differ) {
				t.Errorf("%d (%s): %v, want %s", tc.TcID, tc.Comment, err, tc.Result)
			}
			ran++
		}
	}
	if ran < 11 {
		t.Errorf("%d vectors ran", ran)
	}
}

// Signatures in the form of JWS: r and s side by side.
func TestWycheproofECDSAP1363(t *testing.T) {
	var f struct {
		NumberOfTests int
		TestGroups    []struct {
			PublicKeyJwk json.RawMessage
			Tests        []struct {
				TcID                      int
				Comment, Msg, Sig, Result string
			}
		}
	}
	if err := json.Unmarshal(corpus.Read(t, "conformance/wycheproof/ecdsa_secp256r1_sha256_p1363_test.json"), &f); err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, g := range f.TestGroups {
		if g.PublicKeyJwk == nil {
			continue // the group's key is given as DER only
		}
		key, err := pop.PublicKey(string(g.PublicKeyJwk), "ES256")
		for _, tc := range g.Tests {
			ran++
			if err != nil {
				if tc.Result == "valid" {
					t.Errorf("%d (%s): the key: %v", tc.TcID, tc.Comment, err)
				}
				continue
			}
			msg, _ := hex.DecodeString(tc.Msg)
			sig, _ := hex.DecodeString(tc.Sig)
			if err := pop.Verify("ES256", string(msg), sig, key); (err == nil) != (tc.Result == "valid") {
				t.Errorf("%d (%s): %v, want %s", tc.TcID, tc.Comment, err, tc.Result)
			}
		}
	}
	t.Logf("%d of %d vectors", ran, f.NumberOfTests)
	if ran < 200 {
		t.Errorf("%d vectors ran", ran)
	}
}

package jwtauth_test

import (
	"encoding/base64"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/auth/jwtauth"
)

// The examples of the RFCs. Their keys are read as JSON Web Keys, without the private members, which the reader refuses.
const (
	bilboRSA = `{"kty":"RSA","kid":"bilbo.baggins@hobbiton.example","use":"sig","e":"AQAB",` +
		`"n":"n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw"}`
	bilboEC = `{"kty":"EC","kid":"bilbo.baggins@hobbiton.example","use":"sig","crv":"P-521",` +
		`"x":"AHKZLLOsCOzz5cY97ewNUajB957y-C-U88c3v13nmGZx6sYl_oJXu9A5RkTKqjqvjyekWF-7ytDyRXYgCF5cj0Kt",` +
		`"y":"AdymlHvOiLxXkEhayXQnNCvDX4h9htZaCJN34kfmC6pV5OhQHiraVySsUdaQkAgDPrwQrJmbnX9cwlGfP-HqHZR1"}`
	joeRSA = `{"kty":"RSA","e":"AQAB","n":"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}`
	joeEC  = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
	okp    = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`

	frodo = "It’s a dangerous business, Frodo, going out your door. You step onto the road, and if you don't keep your feet, there’s no knowing where you might be swept off to."
	joe   = "{\"iss\":\"joe\",\r\n \"exp\":1300819380,\r\n \"http://example.com/is_root\":true}"
)

func TestTheExamplesOfTheRFCs(t *testing.T) {
	enc := base64.RawURLEncoding.EncodeToString
	for _, c := range []struct{ name, key, header, payload, signature string }{
		{"RFC 7515 A.2", joeRSA, `{"alg":"RS256"}`, joe, "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
		{"RFC 7515 A.3", joeEC, `{"alg":"ES256"}`, joe, "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"},
		{"RFC 7520 4.1", bilboRSA, `{"alg":"RS256","kid":"bilbo.baggins@hobbiton.example"}`, frodo, "MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg"},
		{"RFC 7520 4.2", bilboRSA, `{"alg":"PS384","kid":"bilbo.baggins@hobbiton.example"}`, frodo, "cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw"},
		{"RFC 7520 4.3", bilboEC, `{"alg":"ES512","kid":"bilbo.baggins@hobbiton.example"}`, frodo, "AE_R_YZCChjn4791jSQCrdPZCNYqHXCTZH0-JZGYNlaAjP2kqaluUIIUnC9qvbu9Plon7KRTzoNEuT4Va2cmL1eJAQy3mtPBu_u_sDDyYjnAMDxXPn7XrT0lw-kvAD890jl8e2puQens_IEKBpHABlsbEPX6sFY8OcGDqoRuBomu9xQ2"},
		{"RFC 8037 A.4", okp, `{"alg":"EdDSA"}`, "Example of Ed25519 signing", "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"},
	} {
		set := []byte(`{"keys":[` + c.key + `]}`)
		token := enc([]byte(c.header)) + "." + enc([]byte(c.payload)) + "." + c.signature
		if err := jwtauth.VerifyWithSet(token, set, algorithms); err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		for name, forged := range map[string]string{
			"another payload":            enc([]byte(c.header)) + "." + enc([]byte(c.payload+" ")) + "." + c.signature,
			"detached (RFC 7520 4.5)":    enc([]byte(c.header)) + ".." + c.signature,
			"JSON (RFC 7520 4.6 to 4.8)": `{"payload":"` + enc([]byte(c.payload)) + `","protected":"` + enc([]byte(c.header)) + `","signature":"` + c.signature + `"}`,
		} {
			if err := jwtauth.VerifyWithSet(forged, set, algorithms); err == nil {
				t.Errorf("%s: accepted %s", c.name, name)
			}
		}
	}

	secret, err := base64.RawURLEncoding.DecodeString("hJtXIZ2uSN5kbQfbtTNWbpdmhkV8FJG-Onbc6mxCcYg")
	if err != nil {
		t.Fatal(err)
	}
	key := jwtauth.Key{ID: "018c0ae5-4d9b-471b-bfd6-eef314bc7037", Algorithm: "HS256", Key: secret}
	token := enc([]byte(`{"alg":"HS256","kid":"018c0ae5-4d9b-471b-bfd6-eef314bc7037"}`)) + "." + enc([]byte(frodo)) + ".s0h6KThzkfBBBkLspW1h84VsJZFTsPPqMDA7g1Md7p0"
	for range 3 { // the keyed HMAC is used again
		if err := jwtauth.VerifySignature(token, key); err != nil {
			t.Errorf("RFC 7520 4.4: %v", err)
		}
		if err := jwtauth.VerifySignature(token[:len(token)-1]+"A", key); err == nil {
			t.Error("RFC 7520 4.4: accepted another signature")
		}
	}
	// RFC 7797 section 4.2: the signature is good, over a payload that is not encoded. Who does not know b64 would read another text.
	unencoded := "eyJhbGciOiJIUzI1NiIsImI2NCI6ZmFsc2UsImNyaXQiOlsiYjY0Il19.$.02.A5dxf2s96_n5FLueVuW1Z_vh161FwXZC4YLPff6dmDY"
	for _, token := range []string{unencoded, strings.Replace(unencoded, "$.02", "", 1), strings.Replace(unencoded, "$.02", enc([]byte("$.02")), 1)} {
		if err := jwtauth.VerifySignature(token, jwtauth.Key{Algorithm: "HS256", Key: secret}); err == nil {
			t.Errorf("RFC 7797: accepted %s", token)
		}
	}
}

package fernet_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/fernet"
	"github.com/mantlet-go/mantlet/internal/corpus"
)

type vector struct {
	Desc   string
	Token  string
	Now    time.Time
	TTLSec int64 `json:"ttl_sec"`
	IV     []int
	Src    string
	Secret string
}

func (v vector) ring(t *testing.T) *fernet.Keyring {
	return mustRing(t, fernet.Config{Keys: []fernet.Key{mustKey(t, v.Secret)}, TTL: time.Duration(v.TTLSec) * time.Second})
}

func (v vector) generate(t *testing.T) {
	// The IV cannot be given to this package, so the vector is checked the other way round: its token decrypts, and encrypting
	// with its IV beside the package gives the same bytes, which shows that the forging helper of these tests is right too.
	raw, err := base64.URLEncoding.DecodeString(v.Token)
	if err != nil {
		t.Fatal(err)
	}
	if got := int64(binary.BigEndian.Uint64(raw[1:])); got != v.Now.Unix() {
		t.Errorf("time stamp %d, want %d", got, v.Now.Unix())
	}
	for i, b := range v.IV {
		if raw[9+i] != byte(b) {
			t.Errorf("IV byte %d", i)
		}
	}
	msg, err := v.ring(t).AppendDecrypt(nil, []byte(v.Token), v.Now)
	if err != nil || string(msg) != v.Src {
		t.Errorf("%q %v", msg, err)
	}
	if again := forge(mustKey(t, v.Secret), raw[:len(raw)-32]); !bytes.Equal(again, []byte(v.Token)) {
		t.Errorf("signing again gives %s", again)
	}
	made := v.ring(t).AppendEncrypt(nil, []byte(v.Src), v.Now)
	if len(made) != len(v.Token) || string(made[:12]) != v.Token[:12] {
		t.Errorf("%s does not look like %s", made, v.Token)
	}
}

func (v vector) verify(t *testing.T) {
	msg, err := v.ring(t).AppendDecrypt(nil, []byte(v.Token), v.Now)
	if err != nil || string(msg) != v.Src {
		t.Errorf("%q %v", msg, err)
	}
}

func (v vector) invalid(t *testing.T) {
	want := fernet.ErrInvalid
	if v.Desc == "expired TTL" {
		want = fernet.ErrExpired
	}
	if msg, err := v.ring(t).AppendDecrypt(nil, []byte(v.Token), v.Now); err != want || msg != nil {
		t.Errorf("%q %v, want %v", msg, err, want)
	}
}

// The vectors of github.com/fernet/spec (MIT style licence, Copyright 2013 Keith Rarick), so that a plain clone tests them.
func TestTheVectorsOfTheSpecification(t *testing.T) {
	at := func(s string) time.Time {
		tm, err := time.Parse(time.RFC3339, s)
		if err != nil {
			t.Fatal(err)
		}
		return tm
	}
	const hello = "gAAAAAAdwJ6wAAECAwQFBgcICQoLDA0ODy021cpGVWKZ_eEwCGM4BLLF_5CV9dOPmrhuVUPgJobwOz7JcbmrR64jVmpU4IwqDA=="
	t.Run("generate", vector{Token: hello, Now: at("1985-10-26T01:20:00-07:00"), Src: "hello", Secret: specKey,
		IV: []int{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}}.generate)
	t.Run("verify", vector{Token: hello, Now: at("1985-10-26T01:20:01-07:00"), TTLSec: 60, Src: "hello", Secret: specKey}.verify)

	now := "1985-10-26T01:20:01-07:00"
	for _, v := range []struct{ desc, now, token string }{
		{"incorrect mac", now, "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykQUFBQUFBQUFBQQ=="},
		{"too short", now, "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPA=="},
		{"invalid base64", now, "%%%%%%%%%%%%%AECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q=="},
		{"payload size not multiple of block size", now, "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPOm73QeoCk9uGib28Xe5vz6oxq5nmxbx_v7mrfyudzUm"},
		{"payload padding error", now, "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0ODz4LEpdELGQAad7aNEHbf-JkLPIpuiYRLQ3RtXatOYREu2FWke6CnJNYIbkuKNqOhw=="},
		{"far-future TS (unacceptable clock skew)", now, "gAAAAAAdwStRAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAnja1xKYyhd-Y6mSkTOyTGJmw2Xc2a6kBd-iX9b_qXQcw=="},
		{"expired TTL", "1985-10-26T01:21:31-07:00", "gAAAAAAdwJ6xAAECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAl1-szkFVzXTuGb4hR8AKtwcaX1YdykRtfsH-p1YsUD2Q=="},
		{"incorrect IV (causes padding error)", now, "gAAAAAAdwJ6xBQECAwQFBgcICQoLDA0OD3HkMATM5lFqGaerZ-fWPAkLhFLHpGtDBRLRTZeUfWgHSv49TF2AUEZ1TIvcZjK1zQ=="},
	} {
		t.Run("invalid/"+v.desc, vector{Desc: v.desc, Token: v.token, Now: at(v.now), TTLSec: 60, Secret: specKey}.invalid)
	}
}

func TestTheVectorFiles(t *testing.T) {
	for name, run := range map[string]func(vector, *testing.T){
		"generate": vector.generate, "verify": vector.verify, "invalid": vector.invalid,
	} {
		t.Run(name, func(t *testing.T) {
			var vs []vector
			if err := json.Unmarshal(corpus.Read(t, "conformance/fernet/"+name+".json"), &vs); err != nil {
				t.Fatal(err)
			}
			if len(vs) == 0 {
				t.Fatal("no vectors")
			}
			for _, v := range vs {
				t.Run(v.Desc, func(t *testing.T) { run(v, t) })
			}
		})
	}
}

package apikey_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/auth/apikey"
)

// FuzzParseKey: nothing panics, what parses is exactly what formatting its parts gives, and every id and secret of the right
// form come back out of their key.
func FuzzParseKey(f *testing.F) {
	id, secret := strings.Repeat("a", apikey.IDLen), strings.Repeat("Z", apikey.SecretLen)
	f.Add(shape.Format(id, secret), id, secret)
	f.Add("acme_live_", "", "")
	f.Add("acme_test_"+id+"_"+secret+"000000", id, secret)
	f.Add("acme", "0", "\xff")
	f.Fuzz(func(t *testing.T, key, id, secret string) {
		gotID, gotSecret, ours, ok := shape.Parse(key)
		if ok && (!ours || shape.Format(gotID, gotSecret) != key) {
			t.Errorf("%q parses as %q %q", key, gotID, gotSecret)
		}
		info, err := apikey.Inspect(key)
		if ok != (err == nil && info.Prefix == "acme" && info.Env == "live") || ok && info.ID != gotID {
			t.Errorf("Inspect(%q) = %+v, %v", key, info, err)
		}
		good := len(id) == apikey.IDLen && len(secret) == apikey.SecretLen && !strings.ContainsFunc(id+secret, func(r rune) bool { return !strings.ContainsRune(apikey.Alphabet, r) })
		gotID, gotSecret, _, ok = shape.Parse(shape.Format(id, secret))
		if ok != good || ok && (gotID != id || gotSecret != secret) {
			t.Errorf("parse(format(%q, %q)) = %q, %q, %v", id, secret, gotID, gotSecret, ok)
		}
	})
}

// FuzzKeyFile: nothing panics, and what is read is written and read again as the same; the same for a record alone.
func FuzzKeyFile(f *testing.F) {
	const record = `{"id":"000000000001","hash":"0100000000000000000000000000000000000000000000000000000000000000","client_id":"a","created_at":"2026-01-02T03:04:05Z","version":1}`
	f.Add(`{"format":"mantlet-apikeys","version":1,"keys":[` + record + `]}`)
	f.Add(record)
	f.Add(strings.Replace(record, `"client_id"`, `"scopes":["x"],"models":[],"addresses":["192.0.2.0/24"],"labels":{"a":"b"},"expires_at":"2027-01-02T03:04:05.000000006+02:00","client_id"`, 1))
	f.Add(`{"format":"mantlet-apikeys","version":1,"keys":[null]}`)
	f.Fuzz(func(t *testing.T, text string) {
		if keys, err := apikey.DecodeFile([]byte(text)); err == nil {
			again, err := apikey.EncodeFile(append([]apikey.Record{}, keys...))
			if err != nil {
				t.Fatalf("%q is read and cannot be written: %v", text, err)
			}
			back, err := apikey.DecodeFile(again)
			if err != nil || len(back) != len(keys) {
				t.Errorf("%q: written as %q, and %v", text, again, err)
			}
		}
		r, err := apikey.ParseRecord([]byte(text))
		if err != nil {
			return
		}
		again, err := json.Marshal(r)
		if err != nil {
			t.Fatalf("%q is read and cannot be written: %v", text, err)
		}
		back, err := apikey.ParseRecord(again)
		if second, _ := json.Marshal(back); err != nil || !reflect.DeepEqual(again, second) {
			t.Errorf("%q: written as %q, then %q, %v", text, again, second, err)
		}
	})
}

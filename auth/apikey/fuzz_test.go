package apikey_test

import (
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

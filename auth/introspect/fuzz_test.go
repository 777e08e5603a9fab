package introspect_test

import (
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/introspect"
)

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// FuzzResponse: no answer panics; exactly one of principal and error comes out; and who is let in is, for encoding/json too, active
// and meant for this API, with the same subject.
func FuzzResponse(f *testing.F) {
	v := verifier(f, config(answers(good)))
	now := time.Unix(1_800_000_000, 0)
	for _, s := range []string{good, `{"active":false}`, `{"active":true,"aud":["inference"],"sub":"\u0061","exp":1800000001.5,"cnf":{"jkt":"x"}}`, `{"active":true,"Active":false}`, `[]`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := introspect.Judge(v, body, now)
		if (p == nil) == (err == nil) {
			t.Fatalf("%v, %v", p, err)
		}
		if err != nil {
			if !errors.Is(err, auth.ErrInvalid) && !errors.Is(err, auth.ErrExpired) && !errors.Is(err, auth.ErrUnavailable) {
				t.Errorf("%v", err)
			}
			return
		}
		var loose map[string]any
		if err := json.Unmarshal(body, &loose); err != nil || loose["active"] != true {
			t.Fatalf("%q: %v", body, err)
		}
		aud := []any{loose["aud"]}
		if list, ok := loose["aud"].([]any); ok {
			aud = list
		}
		if !slices.Contains(aud, any("inference")) || loose["sub"] != nil && loose["sub"] != any(p.Subject) && loose["sub"] != any("") {
			t.Errorf("%q: %+v", body, p)
		}
	})
}

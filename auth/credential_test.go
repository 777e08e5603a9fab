package auth_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/auth"
)

func TestTheCredentialStandsInOnePlaceAndInOneForm(t *testing.T) {
	for _, c := range []struct {
		name string
		h    http.Header
		want auth.Credential
		err  error
	}{
		{"none", nil, auth.Credential{}, nil},
		{"Bearer", http.Header{"Authorization": {"Bearer x"}}, auth.Credential{Source: auth.SourceBearer, Value: "x"}, nil},
		{"bearer", http.Header{"Authorization": {"bearer x"}}, auth.Credential{Source: auth.SourceBearer, Value: "x"}, nil},
		{"BEARER and blanks", http.Header{"Authorization": {"BEARER   x"}}, auth.Credential{Source: auth.SourceBearer, Value: "x"}, nil},
		{"a blank at the end is part of it", http.Header{"Authorization": {"Bearer x "}}, auth.Credential{Source: auth.SourceBearer, Value: "x "}, nil},
		{"a tab", http.Header{"Authorization": {"Bearer\tx"}}, auth.Credential{Source: auth.SourceOther}, nil},
		{"a look-alike", http.Header{"Authorization": {"\u0412earer x"}}, auth.Credential{Source: auth.SourceOther}, nil},
		{"no value", http.Header{"Authorization": {"Bearer"}}, auth.Credential{}, nil},
		{"Basic", http.Header{"Authorization": {"Basic YTpi"}}, auth.Credential{Source: auth.SourceOther}, nil},
		{"two headers", http.Header{"Authorization": {"Bearer x", "Bearer x"}}, auth.Credential{}, auth.ErrTwoCredentials},
		{"an empty second one", http.Header{"Authorization": {"Bearer x", ""}}, auth.Credential{}, auth.ErrTwoCredentials},
		{"two places", http.Header{"Authorization": {"DPoP x"}, "X-Api-Key": {"y"}}, auth.Credential{}, auth.ErrTwoCredentials},
		{"two key headers", http.Header{"Api-Key": {"x"}, "X-Api-Key": {"x"}}, auth.Credential{}, auth.ErrTwoCredentials},
		{"an underscore", http.Header{"X_api_key": {"x"}}, auth.Credential{}, nil},
		{"a proof without a token", http.Header{"Dpop": {"a.b.c"}}, auth.Credential{}, nil},
	} {
		r := httptest.NewRequest("GET", "/?access_token=q&api_key=q&key=q", nil) // never from there
		r.Header = c.h
		if got, err := auth.CredentialOf(r); got != c.want || !errors.Is(err, c.err) {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

// FuzzCredential: no header panics; a value is found only behind its scheme or as the whole of a key header, and is a part of what was
// sent; two headers are never one credential.
func FuzzCredential(f *testing.F) {
	f.Add("Bearer x", "", false)
	f.Add("dpop  x y", "", true)
	f.Add("", "key", false)
	f.Add("Bearer\tx", "\x00", true)
	f.Fuzz(func(t *testing.T, authorization, key string, both bool) {
		r := httptest.NewRequest("GET", "/", nil)
		if authorization != "" || both {
			r.Header["Authorization"] = []string{authorization}
		}
		if key != "" || both {
			r.Header["X-Api-Key"] = []string{key}
		}
		c, err := auth.CredentialOf(r)
		if (err != nil) != (len(r.Header) == 2) {
			t.Fatalf("%v: %v", r.Header, err)
		}
		switch c.Source {
		case auth.SourceBearer, auth.SourceDPoP:
			scheme := map[auth.Source]string{auth.SourceBearer: "bearer ", auth.SourceDPoP: "dpop "}[c.Source]
			if c.Value == "" || c.Value[0] == ' ' || !strings.HasSuffix(authorization, c.Value) || strings.TrimRight(strings.ToLower(authorization[:len(authorization)-len(c.Value)]), " ")+" " != scheme {
				t.Errorf("%q: %+v", authorization, c)
			}
		case auth.SourceHeader:
			if c.Value != key {
				t.Errorf("%q: %+v", key, c)
			}
		default:
			if c.Value != "" {
				t.Errorf("%v: %+v", r.Header, c)
			}
		}
	})
}

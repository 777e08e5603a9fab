package jwtauth_test

import (
	"testing"

	"github.com/mantlet-go/mantlet/auth/jwtauth"
	"github.com/mantlet-go/mantlet/internal/prints"
)

// Whoever logs what he configured must not log the secret.
func TestNoVerbPrintsTheSecret(t *testing.T) {
	key := jwtauth.Key{ID: "1", Algorithm: "HS256", Key: []byte(prints.Secret)}
	is := jwtauth.Issuer{Issuer: issuer, Audiences: []string{audience}, Algorithms: []string{"HS256"}, Keys: []jwtauth.Key{key}}
	cfg := jwtauth.Config{Issuers: []jwtauth.Issuer{is}}
	v, err := jwtauth.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	prints.None(t, key, &key, is, &is, cfg, &cfg, v)
}

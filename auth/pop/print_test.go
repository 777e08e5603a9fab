package pop_test

import (
	"testing"

	"github.com/mantlet-go/mantlet/auth/pop"
	"github.com/mantlet-go/mantlet/internal/prints"
)

// Whoever logs what he configured must not log the secret.
func TestNoVerbPrintsTheSecret(t *testing.T) {
	c := newClient(t, "ES256")
	cfg := pop.Config{Tokens: tokens{"t": {JKT: c.Thumbprint()}}, URLs: []string{origin}, RequireNonce: true, NonceKey: []byte(prints.Secret)}
	prints.None(t, cfg, &cfg, verifier(t, cfg))
}

package introspect_test

import (
	"testing"

	"github.com/mantlet-go/mantlet/internal/prints"
)

// Whoever logs what he configured must not log the secret.
func TestNoVerbPrintsTheSecret(t *testing.T) {
	cfg := config(answers(good))
	cfg.ClientSecret = prints.Secret
	v := verifier(t, cfg)
	prints.None(t, cfg, &cfg, v)
}

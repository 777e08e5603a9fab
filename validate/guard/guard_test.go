package guard_test

import (
	"testing"

	"github.com/mantlet-go/mantlet/validate/guard"
)

func must(t testing.TB, cfg guard.Config) *guard.Guard {
	t.Helper()
	g, err := guard.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

func TestTheNodeClient(t *testing.T) {
	missing := func(what string) {
		if os.Getenv("MANTLET_E2E_NODE") == "required" {
			t.Fatalf("%s, and MANTLET_E2E_NODE=required", what)
		}
		t.Skipf("%s; run npm ci in internal/e2e for this part", what)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		missing("node is not installed")
	}
	if _, err := os.Stat(filepath.Join("node_modules", "openai", "package.json")); err != nil {
		missing("the openai package is not installed")
	}
	pro, budget, limited := start(t, "pro"), start(t, "free"), start(t, "free")
	cmd := exec.CommandContext(t.Context(), node, "--test", "--test-reporter=spec", "client.test.mjs")
	cmd.Env = append(os.Environ(),
		"PRO_URL="+pro.url, "PRO_KEY="+pro.key,
		"BUDGET_URL="+budget.url, "BUDGET_KEY="+budget.key,
		"LIMITED_URL="+limited.url, "LIMITED_KEY="+limited.key)
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil {
		t.Errorf("node: %v", err)
	}
}

package e2e_test

import (
	"os"
	"os/exec"
	"testing"
)

func TestTheNodeClient(t *testing.T) {
	node := nodeWith(t, "openai")
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

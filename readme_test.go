package mantlet_test

import (
	"os"
	"strings"
	"testing"
)

// TestTheProgramOfTheReadmeIsTheOneThatCompiles holds README's first block and examples/minimal equal; go build ./... compiles it.
func TestTheProgramOfTheReadmeIsTheOneThatCompiles(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	program, err := os.ReadFile("examples/minimal/main.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(readme), "```go\n")
	block, _, ok2 := strings.Cut(rest, "```")
	if !ok || !ok2 || block != string(program) {
		t.Error("README's program differs from examples/minimal/main.go")
	}
}

// TestTheReadmeShowsTheCommandThatRunsTheTests is what the whole check reads from there.
func TestTheReadmeShowsTheCommandThatRunsTheTests(t *testing.T) {
	readme, _ := os.ReadFile("README.md")
	for _, line := range []string{"\n$ go run ./examples/quickstart\n", "\ngo test ./...\n"} {
		if !strings.Contains(string(readme), line) {
			t.Errorf("README does not show %q", strings.TrimSpace(line))
		}
	}
}

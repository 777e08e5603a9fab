package mantlet_test

import (
	"os"
	"strings"
	"testing"
)

// TestTheProgramsOfTheReadmeAreTheOnesThatCompile holds README's blocks of Go and the examples equal; go build ./... compiles them.
func TestTheProgramsOfTheReadmeAreTheOnesThatCompile(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	rest := string(readme)
	for _, name := range []string{"minimal", "endpoint"} {
		program, err := os.ReadFile("examples/" + name + "/main.go")
		if err != nil {
			t.Fatal(err)
		}
		var block string
		_, rest, _ = strings.Cut(rest, "```go\n")
		block, rest, _ = strings.Cut(rest, "```")
		if block != string(program) {
			t.Errorf("README's program differs from examples/%s/main.go", name)
		}
	}
	if strings.Contains(rest, "```go") {
		t.Error("README has a program that no example compiles")
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

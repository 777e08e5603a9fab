package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// step is one command of README's tour with the output README promises; "..." stands for anything.
type step struct{ command, want string }

// tour reads the console blocks of README's tour.
func tour(t *testing.T) []step {
	t.Helper()
	readme, err := os.ReadFile(filepath.Join("..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, text, ok := strings.Cut(string(readme), "## A tour")
	if !ok {
		t.Fatal("README has no tour")
	}
	text, _, _ = strings.Cut(text, "\n## ")
	var steps []step
	for {
		var block string
		if _, text, ok = strings.Cut(text, "```console\n"); !ok {
			return steps
		}
		block, text, _ = strings.Cut(text, "```\n")
		for line := range strings.Lines(block) {
			if c, ok := strings.CutPrefix(line, "$ "); ok {
				steps = append(steps, step{command: strings.TrimSuffix(c, "\n")})
			} else {
				steps[len(steps)-1].want += line
			}
		}
	}
}

// pattern is the regular expression of an output in which "..." stands for anything.
func pattern(want string) *regexp.Regexp {
	parts := strings.Split(want, "...")
	for i := range parts {
		parts[i] = regexp.QuoteMeta(parts[i])
	}
	return regexp.MustCompile(`(?s)^` + strings.Join(parts, ".*") + `$`)
}

func TestEveryLineOfTheReadmesTourGivesWhatItSays(t *testing.T) {
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("the tour needs %s (Debian package %s)", tool, tool)
		}
	}
	steps := tour(t)
	if len(steps) < 9 {
		t.Fatalf("README's tour has only %d commands", len(steps))
	}
	s := start(t, "free")
	var defined []string // what earlier steps left in the shell
	for _, st := range steps {
		if strings.HasPrefix(st.command, "go run ") && !strings.Contains(st.command, "-show") {
			if want := pattern(strings.TrimSuffix(st.want, "\n")); !want.MatchString("MANTLET_API_KEY=" + s.key) {
				t.Errorf("the key line is not %q", st.want)
			}
			continue
		}
		if strings.HasPrefix(st.command, "ask() ") {
			defined = append(defined, st.command)
			continue
		}
		script := strings.Join(append(defined, st.command), "\n")
		script = strings.ReplaceAll(script, "http://localhost:8080", "localhost:8080")
		script = strings.ReplaceAll(script, "localhost:8080", strings.TrimPrefix(s.url, "http://"))
		script = strings.ReplaceAll(script, "mantlet-data", s.dir)
		script = strings.ReplaceAll(script, "go run ./examples/quickstart", binary)
		cmd := exec.CommandContext(t.Context(), "bash", "-c", script)
		cmd.Env = append(os.Environ(), "KEY="+s.key)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("$ %s\n%v: %s", st.command, err, out)
			continue
		}
		got, want := strings.TrimRight(string(out), "\n"), strings.TrimRight(st.want, "\n")
		if !pattern(want).MatchString(got) {
			t.Errorf("$ %s\nREADME says\n%s\nbut it gives\n%s", st.command, want, got)
		}
	}
}

// Package transcript replays sessions with a command and compares all that is printed, for tests.
//
// In a transcript a line "$ command" is typed; what follows is standard output, lines with "! " standard error, and "= N" the exit code when
// it is not 0. A line with "#" is a comment. The flag -update writes the transcripts anew.
package transcript

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite the transcripts in testdata from what the commands print")

// Files returns the transcripts in testdata, as absolute paths.
func Files(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for i := range files {
		if files[i], err = filepath.Abs(files[i]); err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// Check types the commands of a transcript one after the other, and fails the test when what is printed is not what the file has. typed
// returns what one command prints, as [Output] writes it.
func Check(t *testing.T, file string, typed func(command string) string) {
	t.Helper()
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	got := play(string(want), typed)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if got != string(want) {
		t.Errorf("the session went otherwise (-update writes it):\n%s", difference(string(want), got))
	}
}

func play(script string, typed func(command string) string) string {
	var out strings.Builder
	var before string
	for line := range strings.Lines(script) {
		switch {
		case strings.HasPrefix(line, "#"):
			if before == "\n" { // an empty line before a comment is the author's, any other one a command's
				out.WriteString(before)
			}
			out.WriteString(line)
		case strings.HasPrefix(line, "$ "):
			out.WriteString(line)
			out.WriteString(typed(strings.TrimSpace(line[2:])))
		}
		before = line
	}
	return out.String()
}

// difference shows the first lines that differ, with what went before.
func difference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	i := 0
	for i < len(w) && i < len(g) && w[i] == g[i] {
		i++
	}
	part := func(s []string) string { return strings.Join(s[min(i, len(s)):min(i+8, len(s))], "\n") }
	return fmt.Sprintf("...\n%s\n--- line %d, want\n%s\n--- got\n%s", strings.Join(w[max(0, i-4):i], "\n"), i+1, part(w), part(g))
}

// Output writes what a command has printed as it stands in a transcript: a carriage return as \r, and a line end where there is none.
func Output(stdout, stderr string, code int) string {
	var out strings.Builder
	line := func(l string) { out.WriteString(strings.ReplaceAll(strings.TrimSuffix(l, "\n"), "\r", `\r`) + "\n") }
	for l := range strings.Lines(stdout) {
		line(l)
	}
	for l := range strings.Lines(stderr) {
		line("! " + l)
	}
	if code != 0 {
		fmt.Fprintf(&out, "= %d\n", code)
	}
	return out.String()
}

// Fields splits a command at spaces, but not inside single quotes.
func Fields(command string) (out []string) {
	for i, part := range strings.Split(command, "'") {
		if i%2 == 1 {
			out = append(out, part)
		} else {
			out = append(out, strings.Fields(part)...)
		}
	}
	return out
}

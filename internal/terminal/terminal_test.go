package terminal_test

import (
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/terminal"
)

func TestNothingThatIsWrittenDoesAnythingToATerminal(t *testing.T) {
	for in, want := range map[string]string{
		"plain, ä and 日本": "plain, ä and 日本", "\x1b]0;title\x07": `\x1b]0;title\a`, "two\nlines": `two\nlines`, "\u202egnp": `\u202egnp`, "\u009b31m": `\u009b31m`, "\xff": `\xff`, "\x9b31m": `\x9b31m`, "": "",
	} {
		if got := terminal.Clean(in); got != want {
			t.Errorf("%q: %q; want %q", in, got, want)
		}
	}
	var out strings.Builder
	if err := terminal.Table(&out, [][]string{{"KEY", "CLIENT"}, {"1", "a\tb\n"}, {"22", ""}}); err != nil {
		t.Fatal(err)
	}
	if want := "KEY  CLIENT\n1    a\\tb\\n\n22   -\n"; out.String() != want {
		t.Errorf("%q; want %q", out.String(), want)
	}
}

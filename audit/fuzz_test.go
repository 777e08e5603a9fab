package audit_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/lmittmann/tint"
	"github.com/mantlet-go/mantlet/audit"
)

// Whatever stands in a line, the slog sink stores it or says that it never will; it does not panic and does not ask for another
// attempt.
func FuzzSlogSinkReadsLines(f *testing.F) {
	f.Add(`{"schema":1,"time":"2026-01-02T03:04:05.000006Z","event.name":"x","stage":"event","n":1.5e3,"b":true,"a":[{"k":"v"}]}`)
	f.Add(`{"a":`)
	f.Add(`{"a":1}}`)
	f.Add(`[[[[`)
	f.Fuzz(func(t *testing.T, line string) {
		s := audit.NewSlogSink(slog.NewJSONHandler(io.Discard, nil))
		line = strings.ReplaceAll(line, "\n", " ")
		if err := s.Write(context.Background(), audit.Batch{Lines: []byte(line + "\n"), Count: 1}); err != nil && !errors.Is(err, audit.ErrRejected) {
			t.Fatal(err)
		}
	})
}

// No text acts on a terminal, whichever way tint writes it.
func FuzzSafeHandler(f *testing.F) {
	for _, text := range hostileTexts {
		f.Add(text[:min(len(text), 256)], "key")
	}
	f.Fuzz(func(t *testing.T, text, key string) {
		if v := audit.Visible(text); !utf8.ValidString(v) || audit.Visible(v) != v {
			t.Fatalf("%q becomes %q", text, v)
		}
		for _, noColor := range []bool{true, false} {
			var buf bytes.Buffer
			slog.New(audit.SafeHandler(tint.NewTextHandler(&buf, &tint.Options{NoColor: noColor}))).WithGroup(key).Info(text, key, text, "e", errors.New(text))
			out := buf.String()
			if strings.Count(out, "\n") != 1 {
				t.Fatalf("%d lines: %q", strings.Count(out, "\n"), out)
			}
			for _, own := range []string{"\x1b[0m", "\x1b[2m", "\x1b[22m", "\x1b[92m"} {
				out = strings.ReplaceAll(out, own, "")
			}
			for _, r := range strings.TrimSuffix(out, "\n") {
				if audit.Hidden(r) {
					t.Fatalf("%U from (%q, %q): %q", r, text, key, out)
				}
			}
		}
	})
}

// Whatever a crash left, opening the file keeps every whole line, puts the rest aside, and loses no byte.
func FuzzOpeningATornFile(f *testing.F) {
	f.Add([]byte("{}\n{\"torn"))
	f.Add([]byte("\n\n\x00\x00"))
	f.Add([]byte(""))
	f.Fuzz(func(t *testing.T, content []byte) {
		path := filepath.Join(t.TempDir(), "a")
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		s := fileSink(t, audit.FileConfig{Path: path})
		defer s.Close(context.Background())
		kept, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var aside []byte
		if names, _ := filepath.Glob(path + ".torn-*"); len(names) == 1 {
			aside, _ = os.ReadFile(names[0])
		}
		if len(kept) > 0 && kept[len(kept)-1] != '\n' || bytes.Contains(aside, []byte("\n")) || string(kept)+string(aside) != string(content) {
			t.Fatalf("%q became %q and %q", content, kept, aside)
		}
	})
}

package walls_test

import (
	"bufio"
	"bytes"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

var (
	rooms       = []string{"auth", "ratelimit", "validate", "sanitize", "audit", "crypto"}
	otherTop    = []string{"examples", "internal", "testdata", ".ci", ".git", ".github", "mantlet-data"} // the last is what the tour of README makes
	outside     = []string{"internal/bench", "internal/e2e"}
	testHelpers = []string{"internal/corpus", "internal/dudect", "internal/memhttp", "internal/prints", "internal/raced", "internal/transcript"}
	required    = []string{"github.com/golang-jwt/jwt/v5", "github.com/santhosh-tekuri/jsonschema/v5", "github.com/lmittmann/tint"}
)

func TestTheWallsStand(t *testing.T) {
	root := moduleRoot(t)
	faults, files, err := inspect(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range faults {
		t.Error(f)
	}
	if files == 0 {
		t.Error("no Go file was looked at")
	}
}

func moduleRoot(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			t.Fatal("no go.mod above the test")
		}
		dir = parent
	}
}

// inspect returns every breach found in the module at root, and how many Go files it has read.
func inspect(root string) (faults []string, files int, err error) {
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }

	mod, err := os.ReadFile(filepath.Join(root, "go.mod"))
	if err != nil {
		return nil, 0, err
	}
	module := checkMod(mod, fault)

	entries, err := os.ReadDir(root)
	if err != nil {
		return nil, 0, err
	}
	for _, e := range entries {
		if e.IsDir() && !slices.Contains(rooms, e.Name()) && !slices.Contains(otherTop, e.Name()) {
			fault("%s/: a folder that is not part of the design", e.Name())
		}
	}

	err = filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		rel = filepath.ToSlash(rel)
		if d.IsDir() {
			if rel == "." {
				return nil
			}
			if n := d.Name(); n == "testdata" || n == "vendor" || n[0] == '.' || n[0] == '_' {
				return fs.SkipDir
			}
			if _, err := os.Stat(filepath.Join(p, "go.mod")); err == nil {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		files++
		f, err := parser.ParseFile(token.NewFileSet(), p, nil, parser.ImportsOnly)
		if err != nil {
			fault("%s: %v", rel, err) // an unreadable file could import anything
			return nil
		}
		for _, spec := range f.Imports {
			imp, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if to, ok := strings.CutPrefix(imp+"/", module+"/"); ok {
				to = strings.TrimSuffix(to, "/")
				if why := breach(path.Dir(rel), to, strings.HasSuffix(rel, "_test.go")); why != "" {
					fault("%s imports %s: %s", rel, imp, why)
				}
			}
		}
		return nil
	})
	return faults, files, err
}

// breach says why a file in the folder from must not import the module's package to; both are relative to the root, which
// is "." as from and "" as to.
func breach(from, to string, test bool) string {
	room := func(p string) string {
		if first, _, _ := strings.Cut(p, "/"); slices.Contains(rooms, first) {
			return first
		}
		return ""
	}
	within := func(p string, folders ...string) bool {
		return slices.ContainsFunc(folders, func(f string) bool { return p == f || strings.HasPrefix(p, f+"/") })
	}
	example := within(from, "examples")
	free := within(from, outside...)

	switch {
	case to == "":
		if example || free || from == "." && test {
			return ""
		}
		return "only examples, the root's own tests, internal/bench and internal/e2e import the root"
	case within(to, testHelpers...):
		harness := room(from) != "" && strings.HasSuffix(path.Base(from), "test")
		if test || harness || within(from, testHelpers...) || free {
			return ""
		}
		return "test helpers are for tests"
	case within(to, "internal"):
		if example && !test {
			return "nobody could copy an example that uses internal packages"
		}
		return ""
	case room(to) != "":
		if r := room(from); r != "" && r != room(to) {
			return "rooms do not know each other"
		}
		if within(from, "internal") && !free {
			return "internal imports no room"
		}
		return ""
	case example && within(to, "examples"):
		return ""
	}
	return "nothing of the design is there"
}

// checkMod reads the few directives that matter of a go.mod file and returns the module's path.
func checkMod(mod []byte, fault func(string, ...any)) (module string) {
	block := ""
	for sc := bufio.NewScanner(bytes.NewReader(mod)); sc.Scan(); {
		line, _, _ := strings.Cut(sc.Text(), "//")
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
			continue
		case words[0] == ")":
			block = ""
			continue
		case len(words) == 2 && words[1] == "(":
			block = words[0]
			continue
		case block != "":
			words = append([]string{block}, words...)
		}
		if len(words) < 2 {
			continue
		}
		arg := strings.Trim(words[1], `"`)
		switch words[0] {
		case "module":
			module = arg
		case "replace":
			fault("go.mod replaces %s: users would not get what we test", arg)
		case "require":
			if !slices.Contains(required, arg) && !strings.HasPrefix(arg, "golang.org/x/") {
				fault("go.mod requires %s: the root module has three dependencies beside golang.org/x; others live in nested modules", arg)
			}
		}
	}
	return module
}

// A guard that never barks proves nothing: every rule is broken once, and what is allowed is done once.
func TestABrokenWallIsReported(t *testing.T) {
	const goMod = "module example.com/m\n\ngo 1.26\n\nrequire (\n\tgithub.com/lmittmann/tint v1.2.1 // indirect\n\tgolang.org/x/time v0.16.0\n)\n" +
		"require github.com/golang-jwt/jwt/v5 v5.3.1\n"
	imports := func(paths ...string) string {
		var b strings.Builder
		b.WriteString("package p\n")
		for _, p := range paths {
			fmt.Fprintf(&b, "import _ %q\n", p)
		}
		return b.String()
	}
	good := map[string]string{
		"go.mod":                      goMod,
		"m.go":                        imports("net/http", "example.com/m/auth", "example.com/m/internal/deny"),
		"m_test.go":                   imports("example.com/m", "example.com/m/internal/memhttp"),
		"auth/a.go":                   imports("example.com/m/auth/apikey", "example.com/m/internal/deny", "github.com/golang-jwt/jwt/v5"),
		"auth/apikey/k.go":            imports("example.com/m/auth"),
		"auth/authtest/t.go":          imports("example.com/m/internal/memhttp"),
		"auth/a_test.go":              imports("example.com/m/internal/corpus", "example.com/m/auth/authtest"),
		"auth/testdata/x.go":          imports("example.com/m/audit"),
		"authority.go":                imports("example.com/m/audit"),
		"internal/deny/d.go":          imports("example.com/m/internal/sse"),
		"internal/deny/d_test.go":     imports("example.com/m/internal/memhttp"),
		"internal/e2e/e.go":           imports("example.com/m", "example.com/m/auth", "example.com/m/audit", "example.com/m/internal/memhttp"),
		"internal/e2e/e_test.go":      imports("example.com/m"),
		"examples/one/main.go":        imports("example.com/m", "example.com/m/auth"),
		"examples/one/main_test.go":   imports("example.com/m/internal/memhttp"),
		"audit/otelsink/go.mod":       "module example.com/m/audit/otelsink\n",
		"audit/otelsink/o.go":         imports("example.com/m", "example.com/m/auth"),
		".github/x.go":                imports("example.com/m/nowhere"),
		"crypto/fernet/f.go":          imports("crypto/aes"),
		"internal/bench/go.mod":       "module example.com/m/internal/bench\n",
		"internal/bench/b_test.go":    imports("example.com/m"),
		"sanitize/_scratch/broken.go": "this is no Go",
	}
	write := func(t *testing.T, files map[string]string) string {
		dir := t.TempDir()
		for name, text := range files {
			p := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	t.Run("a sound house is not reported", func(t *testing.T) {
		faults, files, err := inspect(write(t, good))
		if err != nil || len(faults) > 0 || files != 14 {
			t.Errorf("%q, %d files, %v", faults, files, err)
		}
	})
	for _, tt := range []struct{ name, file, text, want string }{
		{"a room imports another", "auth/x.go", imports("example.com/m/audit"), "rooms do not know each other"},
		{"a room's child imports another room's child", "auth/apikey/x.go", imports("example.com/m/audit/auditctl"), "rooms do not know each other"},
		{"a room's test imports another room", "auth/x_test.go", imports("example.com/m/ratelimit"), "rooms do not know each other"},
		{"a room imports the root", "validate/x.go", imports("example.com/m"), "import the root"},
		{"a room's test imports the root", "validate/x_test.go", imports("example.com/m"), "import the root"},
		{"internal imports a room", "internal/deny/x.go", imports("example.com/m/auth"), "internal imports no room"},
		{"an internal test imports a room", "internal/deny/x_test.go", imports("example.com/m/auth"), "internal imports no room"},
		{"internal imports the root", "internal/deny/x.go", imports("example.com/m"), "import the root"},
		{"a name that only begins like bench", "internal/benchmark/x.go", imports("example.com/m/auth"), "internal imports no room"},
		{"an example imports internal", "examples/one/x.go", imports("example.com/m/internal/deny"), "copy an example"},
		{"a room links a test helper", "auth/x.go", imports("example.com/m/internal/memhttp"), "test helpers"},
		{"the root links a test helper", "x.go", imports("example.com/m/internal/corpus"), "test helpers"},
		{"a room under another name", "auth/x.go", imports("example.com/m/authz"), "nothing of the design"},
		{"a file with a build tag", "auth/x_windows.go", "//go:build ignore\n\n" + imports("example.com/m/audit"), "rooms do not know each other"},
		{"a file that cannot be read", "auth/x.go", "this is no Go", "auth/x.go"},
		{"an unknown folder", "utils/x.go", "package utils", "not part of the design"},
		{"a dependency too many", "go.mod", goMod + "require example.org/y v1.0.0\n", "requires example.org/y"},
		{"a dependency too many, in a block", "go.mod", goMod + "require (\n\texample.org/y v1.0.0 // indirect\n)\n", "requires example.org/y"},
		{"another major version", "go.mod", goMod + "require github.com/santhosh-tekuri/jsonschema/v6 v6.0.3\n", "jsonschema/v6"},
		{"a replace line", "go.mod", goMod + "replace golang.org/x/time => ../time\n", "replaces golang.org/x/time"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			files := map[string]string{}
			for k, v := range good {
				files[k] = v
			}
			files[tt.file] = tt.text
			faults, _, err := inspect(write(t, files))
			if err != nil {
				t.Fatal(err)
			}
			if len(faults) != 1 || !strings.Contains(faults[0], tt.want) {
				t.Errorf("got %q, want one fault with %q", faults, tt.want)
			}
		})
	}
}

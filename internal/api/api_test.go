package api_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"go/ast"
	"go/doc"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "rewrite testdata/api.txt")

const golden = "testdata/api.txt"

func TestTheExportedSymbolsAreTheOnesAgreedOn(t *testing.T) {
	var lines []string
	for _, p := range load(t, "../..") {
		lines = append(lines, symbols(t, p)...)
	}
	slices.Sort(lines)
	lines = slices.Compact(lines)
	if len(lines) == 0 {
		t.Fatal("no exported symbol was found")
	}
	if *update {
		if err := os.WriteFile(golden, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	b, err := os.ReadFile(golden)
	if err != nil {
		t.Fatalf("%v (go test ./internal/api -update writes it)", err)
	}
	want := strings.Split(strings.TrimSuffix(strings.ReplaceAll(string(b), "\r\n", "\n"), "\n"), "\n")
	for _, l := range diff(want, lines) {
		t.Error(l)
	}
	if t.Failed() {
		t.Log("if that is wanted: go test ./internal/api -update")
	}
}

func TestEveryExportedSymbolIsDocumented(t *testing.T) {
	for _, p := range load(t, "../..") {
		for _, l := range undocumented(t, p) {
			t.Error(l)
		}
	}
}

// diff lists what is only in want (gone) and only in have (new); both are sorted.
func diff(want, have []string) (out []string) {
	for _, l := range want {
		if _, ok := slices.BinarySearch(have, l); !ok {
			out = append(out, "gone: "+l)
		}
	}
	for _, l := range have {
		if _, ok := slices.BinarySearch(want, l); !ok {
			out = append(out, "new:  "+l)
		}
	}
	return out
}

type pkg struct {
	Dir, ImportPath, Name, Export string
	GoFiles                       []string
	DepOnly                       bool
	Module                        *struct {
		Path string
		Main bool
	}
	Error *struct{ Err string }

	rel   string // path in the module; the module's name for the root
	types *types.Package
}

// load returns the public packages of the module at dir, from the export data that the go command made when it built them: the
// compiler's own view, with nothing to check again.
func load(t *testing.T, dir string) []*pkg {
	t.Helper()
	touch(t, dir)
	cmd := exec.Command("go", "list", "-e", "-export", "-deps", "-json=Dir,ImportPath,Name,Export,GoFiles,DepOnly,Module,Error", "./...")
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	exports := map[string]string{}
	var public []*pkg
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(pkg)
		if err := dec.Decode(p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		exports[p.ImportPath] = p.Export
		if p.DepOnly || p.Module == nil || !p.Module.Main || p.Name == "main" || len(p.GoFiles) == 0 {
			continue
		}
		p.rel = strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, p.Module.Path), "/")
		first, _, _ := strings.Cut(p.rel, "/")
		if first == "examples" || slices.Contains(strings.Split(p.rel, "/"), "internal") {
			continue
		}
		if p.rel == "" {
			p.rel = p.Name
		}
		if p.Error != nil || p.Export == "" {
			why := stderr.String()
			if p.Error != nil {
				why = p.Error.Err
			}
			t.Errorf("%s does not build: %s", p.ImportPath, why)
			continue
		}
		public = append(public, p)
	}
	if t.Failed() {
		t.FailNow() // a list without these packages would be wrong
	}
	imp := importer.ForCompiler(token.NewFileSet(), "gc", func(path string) (io.ReadCloser, error) {
		if exports[path] == "" {
			return nil, fmt.Errorf("no export data for %s", path)
		}
		return os.Open(exports[path])
	})
	for _, p := range public {
		if p.types, err = imp.Import(p.ImportPath); err != nil {
			t.Fatal(err)
		}
	}
	return public
}

// touch looks at every Go file of the module. The go command caches the result of a test until a file changes that the test has
// opened or asked about; what "go list" reads for us does not count.
func touch(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata"):
			return fs.SkipDir
		case strings.HasSuffix(p, ".go"):
			_, err = os.Stat(p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// symbols returns one line for every exported symbol of p.
func symbols(t *testing.T, p *pkg) (lines []string) {
	t.Helper()
	qualify := func(other *types.Package) string {
		if other == p.types {
			return ""
		}
		if rel, ok := strings.CutPrefix(other.Path(), p.Module.Path+"/"); ok {
			return rel // shows an internal type for what it is
		}
		return other.Name()
	}
	str := func(t types.Type) string { return types.TypeString(t, qualify) }
	sig := func(f types.Object) string { return strings.TrimPrefix(str(f.Type()), "func") }
	line := func(format string, args ...any) {
		lines = append(lines, "pkg "+p.rel+", "+fmt.Sprintf(format, args...))
	}
	scope := p.types.Scope()
	for _, name := range scope.Names() {
		obj := scope.Lookup(name)
		if !obj.Exported() {
			continue
		}
		switch obj := obj.(type) {
		case *types.Const:
			line("const %s %s = %s", name, str(obj.Type()), obj.Val().ExactString())
		case *types.Var:
			line("var %s %s", name, str(obj.Type()))
		case *types.Func:
			line("func %s%s", name, sig(obj))
		case *types.TypeName:
			if obj.IsAlias() {
				line("type %s = %s", name, str(types.Unalias(obj.Type())))
				continue
			}
			typ := obj.Type().(*types.Named)
			full := str(typ)
			if tp := typ.TypeParams(); tp.Len() > 0 {
				var ps []string
				for i := range tp.Len() {
					ps = append(ps, tp.At(i).Obj().Name()+" "+str(tp.At(i).Constraint()))
				}
				full = name + "[" + strings.Join(ps, ", ") + "]"
			}
			switch u := typ.Underlying().(type) {
			case *types.Struct:
				line("type %s struct", full)
				fields(u, nil, func(f *types.Var) {
					if f.Embedded() {
						line("type %s struct, embedded %s", full, str(f.Type()))
					} else {
						line("type %s struct, %s %s", full, f.Name(), str(f.Type()))
					}
				})
			case *types.Interface:
				sealed := ""
				for i := range u.NumMethods() {
					if m := u.Method(i); m.Exported() {
						line("type %s interface, %s%s", full, m.Name(), sig(m))
					} else {
						sealed = ", with unexported methods"
					}
				}
				if u.IsMethodSet() {
					line("type %s interface%s", full, sealed)
				} else {
					line("type %s %s", full, str(u))
				}
				continue
			default:
				line("type %s %s", full, str(u))
			}
			byValue := types.NewMethodSet(typ)
			all := types.NewMethodSet(types.NewPointer(typ))
			for i := range all.Len() {
				m := all.At(i).Obj()
				if !m.Exported() {
					continue
				}
				star := "*"
				if byValue.Lookup(m.Pkg(), m.Name()) != nil {
					star = ""
				}
				line("method (%s%s) %s%s", star, full, m.Name(), sig(m))
			}
		}
	}
	return lines
}

// fields calls f for the exported fields of s, and for those that a user reaches through an embedded type without a name for
// outsiders.
func fields(s *types.Struct, seen []types.Type, f func(*types.Var)) {
	for i := range s.NumFields() {
		v := s.Field(i)
		switch {
		case v.Exported():
			f(v)
		case v.Embedded():
			typ := v.Type()
			if ptr, ok := typ.(*types.Pointer); ok {
				typ = ptr.Elem()
			}
			if inner, ok := typ.Underlying().(*types.Struct); ok && !slices.Contains(seen, typ) {
				fields(inner, append(seen, typ), f)
			}
		}
	}
}

// undocumented names the package if it has no package comment and every exported declaration that has no comment. A comment on
// a group of constants or variables, or at the end of the line, counts for its members.
func undocumented(t *testing.T, p *pkg) (out []string) {
	t.Helper()
	fset := token.NewFileSet()
	var files []*ast.File
	for _, name := range p.GoFiles {
		f, err := parser.ParseFile(fset, filepath.Join(p.Dir, name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, f)
	}
	d, err := doc.NewFromFiles(fset, files, p.ImportPath)
	if err != nil {
		t.Fatal(err)
	}
	miss := func(what, doc string) {
		if strings.TrimSpace(doc) == "" {
			out = append(out, fmt.Sprintf("pkg %s: %s has no comment", p.rel, what))
		}
	}
	values := func(vs []*doc.Value) {
		for _, v := range vs {
			for _, spec := range v.Decl.Specs {
				s := spec.(*ast.ValueSpec)
				for _, n := range s.Names {
					if n.IsExported() {
						miss(n.Name, v.Doc+s.Doc.Text()+s.Comment.Text())
					}
				}
			}
		}
	}
	funcs := func(prefix string, fs []*doc.Func) {
		for _, f := range fs {
			miss(prefix+f.Name, f.Doc)
		}
	}
	miss("the package", d.Doc)
	values(d.Consts)
	values(d.Vars)
	funcs("", d.Funcs)
	for _, typ := range d.Types {
		miss(typ.Name, typ.Doc)
		values(typ.Consts)
		values(typ.Vars)
		funcs("", typ.Funcs)
		funcs(typ.Name+".", typ.Methods)
	}
	return out
}

// sample is a module with one of everything.
var sample = map[string]string{
	"go.mod":             "module example.com/m\n\ngo 1.26\n",
	"m.go":               "// Package m is documented.\npackage m\n\n// V is.\nvar V = 1\n",
	"internal/in/in.go":  "package in\n\ntype Hidden struct{ A int }\n\nfunc (Hidden) Promoted() {}\n",
	"examples/x/main.go": "package main\n\nfunc main() {}\n\nfunc Exported() {}\n",
	"cmd/main.go":        "package main\n\nfunc main() {}\n",
	"nested/go.mod":      "module example.com/m/nested\n\ngo 1.26\n",
	"nested/n.go":        "package nested\n\nvar N int\n",
	"room/only_test.go":  "package room\n\nvar OnlyInTests int\n",
	"room/room.go": `package room

import (
	"errors"
	"time"

	"example.com/m/internal/in"
)

const (
	A Kind = iota + 1
	B
	c
)

// Numbers with a comment on the group.
const (
	D = 60 * time.Second
)

var Err = errors.New("x")
var E, f = 1, 2 // E is documented here.

type Kind uint8

func (k Kind) String() string { return "" }
func (k *Kind) Set(s string) error { return nil }
func (k Kind) hidden() {}

type Alias = map[string]Kind

type base struct {
	Shared int
	own    int
}

type T struct {
	base
	in.Hidden
	Name string
	f    func(int) error
}

type I interface {
	Do(n int, opts ...string) (ok bool, err error)
}

type sealed interface {
	I
	seal()
}
type Sealed interface{ sealed }

type Num interface{ ~int | ~string }

type Box[P Num] struct{ V P }

func (b *Box[P]) Get() P { return b.V }

func New[P Num](v P) *Box[P] { return nil }

type hidden struct{ Exported int }

// Documented is.
func Documented() {}
`,
}

func TestTheListShowsWhatAUserSees(t *testing.T) {
	dir := t.TempDir()
	for name, text := range sample {
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(p, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var lines, bare []string
	for _, p := range load(t, dir) {
		lines = append(lines, symbols(t, p)...)
		bare = append(bare, undocumented(t, p)...)
	}
	slices.Sort(lines)
	want := []string{
		`pkg m, var V int`,
		`pkg room, const A Kind = 1`,
		`pkg room, const B Kind = 2`,
		`pkg room, const D time.Duration = 60000000000`,
		`pkg room, func Documented()`,
		`pkg room, func New[P Num](v P) *Box[P]`,
		`pkg room, method (*Box[P Num]) Get() P`,
		`pkg room, method (*Kind) Set(s string) error`,
		`pkg room, method (Kind) String() string`,
		`pkg room, method (T) Promoted()`,
		`pkg room, type Alias = map[string]Kind`,
		`pkg room, type Box[P Num] struct`,
		`pkg room, type Box[P Num] struct, V P`,
		`pkg room, type I interface`,
		`pkg room, type I interface, Do(n int, opts ...string) (ok bool, err error)`,
		`pkg room, type Kind uint8`,
		`pkg room, type Num interface{~int | ~string}`,
		`pkg room, type Sealed interface, Do(n int, opts ...string) (ok bool, err error)`,
		`pkg room, type Sealed interface, with unexported methods`,
		`pkg room, type T struct`,
		`pkg room, type T struct, Name string`,
		`pkg room, type T struct, Shared int`,
		`pkg room, type T struct, embedded internal/in.Hidden`,
		`pkg room, var E int`,
		`pkg room, var Err error`,
	}
	for _, l := range diff(want, lines) {
		t.Error(l)
	}
	slices.Sort(bare)
	for _, name := range []string{"A", "Err", "Kind", "Kind.String", "New", "T", "the package"} {
		if l := "pkg room: " + name + " has no comment"; !slices.Contains(bare, l) {
			t.Errorf("not reported: %s", l)
		}
	}
	for _, l := range bare {
		for _, name := range []string{"V", "D", "E", "Documented", "hidden", "Kind.hidden", "c", "f", "OnlyInTests", "N", "Exported"} {
			if strings.HasSuffix(l, ": "+name+" has no comment") {
				t.Errorf("reported: %s", l)
			}
		}
	}
}

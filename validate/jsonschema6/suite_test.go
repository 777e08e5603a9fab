package jsonschema6_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/corpus"
	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/jsonschema6"
)

type suiteGroup struct {
	Description string          `json:"description"`
	Schema      json.RawMessage `json:"schema"`
	Tests       []struct {
		Description string          `json:"description"`
		Data        json.RawMessage `json:"data"`
		Valid       bool            `json:"valid"`
	} `json:"tests"`
}

// remotes returns the documents that the suite serves, by the URLs it uses.
func remotes(t testing.TB) map[string][]byte {
	root := corpus.Path(t, "conformance/json-schema/remotes")
	docs := map[string][]byte{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		rel, _ := filepath.Rel(root, path)
		docs["http://localhost:1234/"+filepath.ToSlash(rel)] = b
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return docs
}

// groups calls do for each group of the suite's files that match pattern, with a schema that says which draft it is.
func groups(t testing.TB, draft, pattern string, do func(file string, g suiteGroup, schema []byte)) {
	dir := corpus.Path(t, "conformance/json-schema/tests/"+draft)
	files, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in the suite: %v", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var list []suiteGroup
		if err := json.Unmarshal(b, &list); err != nil {
			t.Fatal(err)
		}
		for _, g := range list {
			schema := []byte(g.Schema)
			if draft == "draft7" && schema[0] == '{' && !bytes.Contains(schema, []byte(`"$schema": "http://json-schema.org/draft-07/schema#"`)) {
				schema = append([]byte(`{"$schema":"http://json-schema.org/draft-07/schema#",`), schema[1:]...)
				schema = bytes.Replace(schema, []byte(",}"), []byte("}"), 1)
			}
			do(strings.TrimSuffix(filepath.Base(file), ".json"), g, schema)
		}
	}
}

// The mandatory tests of json-schema-org/JSON-Schema-Test-Suite, through the public API: all of them, without a list of
// exceptions. format is an annotation there; case is nothing to the specification.
func TestAllOfTheJSONSchemaTestSuitePasses(t *testing.T) {
	resources := remotes(t)
	for draft, want := range map[string]int{"draft2020-12": 1299, "draft7": 927} {
		t.Run(draft, func(t *testing.T) {
			passed := 0
			groups(t, draft, "*.json", func(file string, g suiteGroup, schema []byte) {
				v, err := validate.New(validate.Config{Schema: schema, Resources: resources, SkipFormats: true, Engine: jsonschema6.Engine{},
					Limits: validate.Limits{InsecureAllowFoldCollisions: true}})
				if err != nil {
					t.Errorf("%s: %s: %v", file, g.Description, err)
					return
				}
				for _, c := range g.Tests {
					if err := v.Check(c.Data); (err == nil) != c.Valid {
						t.Errorf("%s: %s: %s: accepted %v, want %v", file, g.Description, c.Description, err == nil, c.Valid)
						continue
					}
					passed++
				}
			})
			if passed != want {
				t.Errorf("%d passed of %d", passed, want)
			}
		})
	}
}

// Without Resources nothing is reachable, and a schema that refers to another document is refused at start.
func TestTheSuitesRemoteReferencesAreRefusedWithoutResources(t *testing.T) {
	for _, draft := range []string{"draft2020-12", "draft7"} {
		n := 0
		groups(t, draft, "refRemote.json", func(_ string, g suiteGroup, schema []byte) {
			n++
			if _, err := validate.New(validate.Config{Schema: schema, Engine: jsonschema6.Engine{}}); err == nil {
				t.Errorf("%s: %s: compiled", draft, g.Description)
			}
		})
		if n < 11 {
			t.Errorf("%s: only %d groups", draft, n)
		}
	}
}

// Formats are the same ones, and so are the verdicts on the optional tests; package validate lists those that the suite wants otherwise.
func TestTheOptionalTestsOfTheSuiteAreJudgedAsByTheBuiltInImplementation(t *testing.T) {
	resources := remotes(t)
	n := 0
	for _, draft := range []string{"draft2020-12", "draft7"} {
		for _, pattern := range []string{"optional/*.json", "optional/format/*.json"} {
			groups(t, draft, pattern, func(file string, g suiteGroup, schema []byte) {
				cfg := validate.Config{Schema: schema, Resources: resources, Limits: validate.Limits{InsecureAllowFoldCollisions: true, Exponent: 1000}}
				builtin, errBuiltin := validate.New(cfg)
				cfg.Engine = jsonschema6.Engine{}
				v6, errV6 := validate.New(cfg)
				if (errBuiltin == nil) != (errV6 == nil) {
					t.Errorf("%s: %s: %v, the built-in implementation says %v", file, g.Description, errV6, errBuiltin)
				}
				if errBuiltin != nil || errV6 != nil {
					return
				}
				for _, c := range g.Tests {
					n++
					if got, want := v6.Check(c.Data), builtin.Check(c.Data); (got == nil) != (want == nil) {
						t.Errorf("%s: %s: %s: %v, the built-in implementation says %v", file, g.Description, c.Description, got, want)
					}
				}
			})
		}
	}
	if n < 1700 {
		t.Errorf("only %d compared", n)
	}
}

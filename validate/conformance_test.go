package validate_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/corpus"
	"github.com/mantlet-go/mantlet/validate"
)

// byEngine lists the groups of the suite that are judged by the schema engine: their schemas refer to the meta-schema of
// their draft, which only the engine has.
var byEngine = map[string][]string{
	"draft2020-12": {"defs: validate definition against metaschema", "ref: remote ref, containing refs itself"},
	"draft7":       {"definitions: validate definition against metaschema", "ref: remote ref, containing refs itself"},
}

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
func remotes(t *testing.T) map[string][]byte {
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

// groups calls do for each group of the suite's files that match pattern, with the schema as New wants it.
func groups(t *testing.T, draft, pattern string, do func(file string, g suiteGroup, schema []byte)) {
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
			if draft == "draft7" && schema[0] == '{' { // the folder says which draft is meant; New wants it in $schema
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
	want := map[string]int{"draft2020-12": 1299, "draft7": 927}
	resources := remotes(t)
	for _, draft := range slices.Sorted(maps.Keys(want)) {
		t.Run(draft, func(t *testing.T) {
			passed := 0
			var engine []string
			groups(t, draft, "*.json", func(file string, g suiteGroup, schema []byte) {
				name := file + ": " + g.Description
				v, err := validate.New(validate.Config{Schema: schema, Resources: resources, SkipFormats: true,
					Limits: validate.Limits{InsecureAllowFoldCollisions: true}})
				if err != nil {
					t.Errorf("%s: %v", name, err)
					return
				}
				if validate.NeedsEngine(v) {
					engine = append(engine, name)
				}
				for _, c := range g.Tests {
					if err := v.Check(c.Data); (err == nil) != c.Valid {
						t.Errorf("%s: %s: accepted %v, want %v (%v)", name, c.Description, err == nil, c.Valid, err)
						continue
					}
					passed++
				}
			})
			if passed != want[draft] {
				t.Errorf("%d passed of %d", passed, want[draft])
			}
			if !slices.Equal(engine, byEngine[draft]) {
				t.Errorf("judged by the engine: %q", engine)
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
			if _, err := validate.New(validate.Config{Schema: schema}); err == nil {
				t.Errorf("%s: %s: compiled", draft, g.Description)
			}
		})
		if n < 11 {
			t.Errorf("%s: only %d groups", draft, n)
		}
	}
}

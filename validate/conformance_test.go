package validate_test

import (
	"maps"
	"slices"
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

// The mandatory tests of json-schema-org/JSON-Schema-Test-Suite, through the public API: all of them, without a list of
// exceptions. format is an annotation there; case is nothing to the specification.
func TestAllOfTheJSONSchemaTestSuitePasses(t *testing.T) {
	want := map[string]int{"draft2020-12": 1299, "draft7": 927}
	resources := corpus.SchemaRemotes(t)
	for _, draft := range slices.Sorted(maps.Keys(want)) {
		t.Run(draft, func(t *testing.T) {
			passed := 0
			var engine []string
			corpus.SchemaGroups(t, draft, "*.json", func(file string, g corpus.SchemaGroup, schema []byte) {
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
		corpus.SchemaGroups(t, draft, "refRemote.json", func(_ string, g corpus.SchemaGroup, schema []byte) {
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

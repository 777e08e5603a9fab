package jsonschema6_test

import (
	"testing"

	"github.com/mantlet-go/mantlet/internal/corpus"
	"github.com/mantlet-go/mantlet/validate"
	"github.com/mantlet-go/mantlet/validate/jsonschema6"
)

// The mandatory tests of json-schema-org/JSON-Schema-Test-Suite, through the public API: all of them, without a list of
// exceptions. format is an annotation there; case is nothing to the specification.
func TestAllOfTheJSONSchemaTestSuitePasses(t *testing.T) {
	resources := corpus.SchemaRemotes(t)
	for draft, want := range map[string]int{"draft2020-12": 1299, "draft7": 927} {
		t.Run(draft, func(t *testing.T) {
			passed := 0
			corpus.SchemaGroups(t, draft, "*.json", func(file string, g corpus.SchemaGroup, schema []byte) {
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
		corpus.SchemaGroups(t, draft, "refRemote.json", func(_ string, g corpus.SchemaGroup, schema []byte) {
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
	resources := corpus.SchemaRemotes(t)
	n := 0
	for _, draft := range []string{"draft2020-12", "draft7"} {
		for _, pattern := range []string{"optional/*.json", "optional/format/*.json"} {
			corpus.SchemaGroups(t, draft, pattern, func(file string, g corpus.SchemaGroup, schema []byte) {
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

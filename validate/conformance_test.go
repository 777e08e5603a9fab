package validate_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/corpus"
	"github.com/mantlet-go/mantlet/validate"
)

// The mandatory tests of json-schema-org/JSON-Schema-Test-Suite run through the public API. Three lists say where we differ from
// the suite, and why; everything else must agree, and an entry that has become unnecessary is a failure too.

// refusedSchemas lists the groups that New refuses. All but one because they reference, or are written in the dialect of, a
// document that is not part of the schema: a schema is data of the program, and nothing is fetched for it. The empty enum
// allows nothing, so it is a mistake of the author; the engine reads it as allowing everything.
var refusedSchemas = map[string][]string{
	"draft2020-12": {
		"dynamicRef: strict-tree schema, guards against misspelled properties",
		"dynamicRef: tests for implementation dynamic anchor and reference link",
		"dynamicRef: $ref and $dynamicAnchor are independent of order - $defs first",
		"dynamicRef: $ref and $dynamicAnchor are independent of order - $ref first",
		"dynamicRef: $ref to $dynamicRef finds detached $dynamicAnchor",
		"enum: empty enum",
		"refRemote: remote ref",
		"refRemote: fragment within remote ref",
		"refRemote: anchor within remote ref",
		"refRemote: ref within remote ref",
		"refRemote: base URI change",
		"refRemote: base URI change - change folder",
		"refRemote: base URI change - change folder in subschema",
		"refRemote: root ref in remote ref",
		"refRemote: remote ref with ref to defs",
		"refRemote: Location-independent identifier in remote ref",
		"refRemote: retrieved nested refs resolve relative to their URI not $id",
		"refRemote: remote HTTP ref with different $id",
		"refRemote: remote HTTP ref with different URN $id",
		"refRemote: remote HTTP ref with nested absolute ref",
		"refRemote: $ref to $ref finds detached $anchor",
		"vocabulary: schema that uses custom metaschema with with no validation vocabulary",
		"vocabulary: ignore unrecognized optional vocabulary",
	},
	"draft7": {
		"refRemote: remote ref",
		"refRemote: fragment within remote ref",
		"refRemote: ref within remote ref",
		"refRemote: base URI change",
		"refRemote: base URI change - change folder",
		"refRemote: base URI change - change folder in subschema",
		"refRemote: root ref in remote ref",
		"refRemote: remote ref with ref to definitions",
		"refRemote: Location-independent identifier in remote ref",
		"refRemote: retrieved nested refs resolve relative to their URI not $id",
		"refRemote: $ref to $ref finds location-independent $id",
	},
}

// engineWrong lists cases where the engine (santhosh-tekuri/jsonschema v5.3.1) gives the wrong verdict.
var engineWrong = map[string][]string{
	"draft2020-12": {
		"dynamicRef: $dynamicRef skips over intermediate resources - direct reference: integer property passes",
		"dynamicRef: $dynamicRef skips over intermediate resources - direct reference: string property fails",
	},
}

// noFormat lists the formats for which the engine has no check, so that they stay annotations: both need IDNA tables.
var noFormat = map[string][]string{
	"draft2020-12": {
		"format: idn-email format: invalid idn-email string is only an annotation by default",
		"format: idn-hostname format: invalid idn-hostname string is only an annotation by default",
	},
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

func TestTheJSONSchemaTestSuiteAgrees(t *testing.T) {
	want := map[string]struct{ total, agree, asserted, skipped int }{
		"draft2020-12": {total: 1299, agree: 1223, asserted: 17, skipped: 55}, // and 2 + 2 listed above
		"draft7":       {total: 927, agree: 904, asserted: 0, skipped: 23},
	}
	for _, draft := range slices.Sorted(maps.Keys(want)) {
		t.Run(draft, func(t *testing.T) {
			dir := corpus.Path(t, "conformance/json-schema/tests/"+draft)
			files, err := filepath.Glob(filepath.Join(dir, "*.json"))
			if err != nil || len(files) == 0 {
				t.Fatalf("no tests in the suite: %v", err)
			}
			refused, wrong, plain := list(refusedSchemas[draft]), list(engineWrong[draft]), list(noFormat[draft])
			var total, agree, asserted, skipped int
			shortcuts := map[string]int{}
			for _, file := range files {
				b, err := os.ReadFile(file)
				if err != nil {
					t.Fatal(err)
				}
				var groups []suiteGroup
				if err := json.Unmarshal(b, &groups); err != nil {
					t.Fatal(err)
				}
				base := strings.TrimSuffix(filepath.Base(file), ".json")
				for _, g := range groups {
					total += len(g.Tests)
					name := base + ": " + g.Description
					schema := []byte(g.Schema)
					if draft == "draft7" && schema[0] == '{' { // the folder says which draft is meant; New wants it in $schema
						schema = append([]byte(`{"$schema":"http://json-schema.org/draft-07/schema#",`), schema[1:]...)
						schema = bytes.Replace(schema, []byte(",}"), []byte("}"), 1)
					}
					v, err := validate.New(validate.Config{Schema: schema, Limits: validate.Limits{InsecureAllowFoldCollisions: true}})
					if refused.take(name) {
						if err == nil {
							t.Errorf("%s: compiled, although it is listed as refused", name)
						}
						skipped += len(g.Tests)
						continue
					}
					if err != nil {
						t.Errorf("%s: %v", name, err)
						continue
					}
					ask, err := validate.Sure(schema)
					if err != nil {
						t.Errorf("%s: %v", name, err)
						continue
					}
					for _, c := range g.Tests {
						full := name + ": " + c.Description
						shortcuts[consistent(t, ask, full, string(c.Data))]++
						got := v.Check(c.Data) == nil
						switch {
						case wrong.take(full):
							if got == c.Valid {
								t.Errorf("%s: agrees now, take it off the list", full)
							}
						case plain.take(full):
							if !got {
								t.Errorf("%s: asserted now, take it off the list", full)
							}
						case base == "format" && strings.HasSuffix(c.Description, "is only an annotation by default"):
							// The suite's default is annotation, ours is assertion, which the specification allows.
							asserted++
							if got {
								t.Errorf("%s: accepted, although format is an assertion", full)
							}
						case got != c.Valid:
							t.Errorf("%s: accepted %v, want %v (%v)", full, got, c.Valid, v.Check(c.Data))
						default:
							agree++
						}
					}
				}
			}
			if shortcuts["right"] < 200 || shortcuts["wrong"] < 200 {
				t.Errorf("the shortcut decides nearly nothing: %v", shortcuts)
			}
			for _, l := range []listed{refused, wrong, plain} {
				for name, used := range l {
					if !used {
						t.Errorf("listed but not in the suite: %s", name)
					}
				}
			}
			got := struct{ total, agree, asserted, skipped int }{total, agree, asserted, skipped}
			if got != want[draft] {
				t.Errorf("tests, agreeing, format asserted, schema refused: %v, want %v", got, want[draft])
			}
		})
	}
}

// listed is a list of names that remembers which were met.
type listed map[string]bool

func list(names []string) listed {
	l := listed{}
	for _, n := range names {
		l[n] = false
	}
	return l
}

func (l listed) take(name string) bool {
	if _, ok := l[name]; !ok {
		return false
	}
	l[name] = true
	return true
}

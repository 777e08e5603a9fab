package corpus

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A SchemaGroup is a schema of json-schema-org/JSON-Schema-Test-Suite and the values judged by it.
type SchemaGroup struct {
	Description string          `json:"description"`
	Schema      json.RawMessage `json:"schema"`
	Tests       []struct {
		Description string          `json:"description"`
		Data        json.RawMessage `json:"data"`
		Valid       bool            `json:"valid"`
	} `json:"tests"`
}

// SchemaGroups calls do for each group of the suite's files that match pattern, below the folder of draft. The folder says
// which draft is meant; schema is that of the group, and says it too.
func SchemaGroups(t testing.TB, draft, pattern string, do func(file string, g SchemaGroup, schema []byte)) {
	dir := Path(t, "conformance/json-schema/tests/"+draft)
	files, err := filepath.Glob(filepath.Join(dir, filepath.FromSlash(pattern)))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in the suite: %v", err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		var list []SchemaGroup
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

// SchemaRemotes returns the documents that the suite serves, by the URLs it uses.
func SchemaRemotes(t testing.TB) map[string][]byte {
	root := Path(t, "conformance/json-schema/remotes")
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

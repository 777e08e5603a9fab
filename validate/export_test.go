package validate

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// What tests of the package from outside need of its inside.
var (
	FoldName      = foldName
	Formats       = formats
	IsPattern     = isPattern
	IsPublicHTTPS = isPublicHTTPS
)

// EngineRefuses reports whether the engine, with its cover but without the scan in front, refuses a number.
func EngineRefuses(schema []byte, number string) (refused bool, private error) {
	c, err := engineV5{}.Compile(Source{Schema: schema, Formats: formats()})
	if err != nil {
		panic(err)
	}
	v, err := ask(c, json.Number(number))
	return v != nil, err
}

// NeedsEngine reports whether documents of this schema are judged by the engine.
func NeedsEngine(v *Validator) bool { return v.policy().schema.program == nil }

// Tree scans body and returns the tree that an engine would get; duplicate names are allowed. ok is false when the scan
// refuses body.
func Tree(body []byte) (doc any, ok bool, err error) {
	var t taking
	if jsonscan.Scan(body, &jsonscan.Limits{Depth: -1, AllowDuplicateKeys: true, AllowFoldCollisions: true}, &t) != nil {
		return nil, false, nil
	}
	doc, err = t.tree(body)
	return doc, true, err
}

type taking struct{ tape }

func (t *taking) Visit(p *jsonscan.Path, k jsonscan.Kind, start, end int) error {
	t.note(p, k, start, end)
	return nil
}

// Sentences are the keywords that have a sentence.
func Sentences() map[string]string { return sentences }

// FormatSentences are the sentences of formats.
func FormatSentences() []string { return slices.Collect(maps.Values(formatSentences)) }

// Unmarshal is Body without the request.
func Unmarshal(data []byte, into any) error {
	if e := unmarshal(data, into, reflect.TypeOf(into)); e != nil {
		return e
	}
	return nil
}

// Gunzip is what the Handler makes of a body under gzip before the scan.
func Gunzip(cfg Config, data []byte) ([]byte, error) {
	p, err := newPolicy(cfg)
	if err != nil {
		panic(err)
	}
	out, e := p.gzip.decode(data)
	if e != nil {
		return nil, e
	}
	return out, nil
}

// ReadQuery returns the parameters of an accepted query as the JSON object that the schema is asked about.
func ReadQuery(q *Query, raw string) ([]byte, error) {
	b, e := q.read(raw)
	if e != nil {
		return nil, e
	}
	return b, nil
}

// Members returns the names of the members that a struct type has for us.
func Members(t reflect.Type) []string {
	var names []string
	for _, f := range fieldsOf(t) {
		names = append(names, f.name)
	}
	slices.Sort(names)
	return names
}

package validate

import (
	"encoding/json"
	"reflect"

	"github.com/mantlet-go/mantlet/internal/jsonscan"
)

// What tests of the package from outside need of its inside.
var (
	FoldName      = foldName
	IsPattern     = isPattern
	IsPublicHTTPS = isPublicHTTPS
)

// EngineRefuses reports whether the engine, with its cover but without the scan in front, refuses a number.
func EngineRefuses(schema []byte, number string) (refused bool, private error) {
	c, _, err := compile(schema)
	if err != nil {
		panic(err)
	}
	if v := c.check(json.Number(number)); v != nil {
		return true, v.cause
	}
	return false, nil
}

// Whole returns the engine with the schema in one piece.
func Whole(schema []byte) func(doc any) bool {
	c, err := compilerV5(schema)
	if err != nil {
		panic(err)
	}
	s := c.MustCompile(schemaURL)
	return func(doc any) bool { return s.Validate(doc) == nil }
}

// Sure returns a function that says of a document whether the shortcut in front of the engine finds it "right", "wrong" or
// a "doubt", and whether the engine accepts it.
func Sure(schema []byte) (ask func(doc any) (shortcut string, engine bool), err error) {
	defer func() {
		if r := recover(); r != nil {
			err = errEngine
		}
	}()
	c, err := compilerV5(schema)
	if err != nil {
		return nil, err
	}
	s, err := c.Compile(schemaURL)
	if err != nil {
		return nil, err
	}
	return func(doc any) (shortcut string, engine bool) {
		shortcut = map[answer]string{right: "right", wrong: "wrong", doubt: "doubt"}[sure(s, doc, 0)]
		defer func() { recover() }()
		return shortcut, s.Validate(doc) == nil
	}, nil
}

// Lists returns the top-level lists that are checked element by element.
func Lists(schema []byte) []string {
	c, _, err := compile(schema)
	if err != nil {
		panic(err)
	}
	var names []string
	for _, l := range c.(*engineV5).lists {
		names = append(names, l.name)
	}
	return names
}

// Tree scans body and returns the tree that the engine would get; duplicate names are allowed. ok is false when the scan
// refuses body.
func Tree(body []byte) (doc any, ok bool, err error) {
	t := newTape(nil)
	defer t.release()
	if jsonscan.Scan(body, &jsonscan.Limits{Depth: -1, AllowDuplicateKeys: true, AllowFoldCollisions: true}, t) != nil {
		return nil, false, nil
	}
	doc, err = t.tree(body)
	return doc, true, err
}

// Sentences are the keywords that have a sentence.
func Sentences() map[string]string { return sentences }

// Unmarshal is Body without the request.
func Unmarshal(data []byte, into any) error {
	if e := unmarshal(data, into, reflect.TypeOf(into)); e != nil {
		return e
	}
	return nil
}

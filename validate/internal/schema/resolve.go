package schema

import (
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

// ErrUnsupported says that a schema is right as far as this package can see, but needs something that it does not have.
var ErrUnsupported = errors.New("schema: not covered")

// DefaultURL is the base of a schema without $id.
const DefaultURL = "mantlet:///schema.json"

// draft is the dialect of a schema resource.
type draft struct {
	version     int // 7 or 2020
	validation  bool
	applicator  bool
	unevaluated bool
}

var (
	draft7    = draft{7, true, true, false}
	draft2020 = draft{2020, true, true, true}
)

// The dialects that $schema may name without a resource of that name.
const (
	url7     = "http://json-schema.org/draft-07/schema"
	url2020  = "https://json-schema.org/draft/2020-12/schema"
	vocab    = "https://json-schema.org/draft/2020-12/vocab/"
	vocabIDs = " core applicator unevaluated validation meta-data format-annotation format-assertion content "
)

// resource is a schema with a URI of its own.
type resource struct {
	uri     string // absolute, without fragment
	root    place
	draft   draft
	anchors map[string]place
	dynamic map[string]place // those of anchors that $dynamicAnchor made
}

// place is one schema, and where it is.
type place struct {
	value any
	res   *resource
	key   string // unique: the document's URL, "#", a JSON Pointer
}

func (p place) child(value any, tokens ...string) place {
	p.value = value
	for _, t := range tokens {
		p.key += "/" + escapeToken.Replace(t)
	}
	return p
}

var (
	escapeToken   = strings.NewReplacer("~", "~0", "/", "~1")
	unescapeToken = strings.NewReplacer("~1", "/", "~0", "~")
)

// index knows every schema resource of the documents it was given.
type index struct {
	byURI     map[string]*resource
	rootAt    map[string]*resource // by place.key
	documents map[string]any       // not indexed yet, by URL
}

func newIndex(documents map[string]any) *index {
	x := &index{byURI: map[string]*resource{}, rootAt: map[string]*resource{}, documents: map[string]any{}}
	for u, d := range documents {
		x.documents[strings.TrimSuffix(u, "#")] = d
	}
	return x
}

// document indexes a document and returns its root resource.
func (x *index) document(uri string, doc any, fallback draft) (*resource, error) {
	res := &resource{uri: uri, draft: fallback, anchors: map[string]place{}, dynamic: map[string]place{}}
	res.root = place{doc, res, uri + "#"}
	x.byURI[uri] = res
	x.rootAt[res.root.key] = res
	if err := x.dialect(res, doc); err != nil {
		return nil, err
	}
	return res, x.walk(res.root, true)
}

// dialect reads $schema of a resource's root.
func (x *index) dialect(res *resource, doc any) error {
	m, _ := doc.(map[string]any)
	s, ok := m["$schema"].(string)
	if !ok {
		return nil
	}
	switch s = strings.TrimSuffix(s, "#"); s {
	case url7:
		res.draft = draft7
		return nil
	case url2020:
		res.draft = draft2020
		return nil
	}
	meta, _ := x.documents[s].(map[string]any)
	vocabularies, ok := meta["$vocabulary"].(map[string]any)
	if !ok {
		return fmt.Errorf("%w: the dialect %s", ErrUnsupported, s)
	}
	d := draft{version: 2020}
	for id, required := range vocabularies {
		name, known := strings.CutPrefix(id, vocab)
		if known = known && strings.Contains(vocabIDs, " "+name+" "); !known && required == true {
			return fmt.Errorf("%w: the vocabulary %s", ErrUnsupported, id)
		}
		switch name {
		case "validation":
			d.validation = true
		case "applicator":
			d.applicator = true
		case "unevaluated":
			d.unevaluated = true
		}
	}
	res.draft = d
	return nil
}

// holds says which keywords hold schemas: one or a list of them, or a map of them by name.
var holds = map[string]byte{
	"additionalItems": 's', "additionalProperties": 's', "allOf": 's', "anyOf": 's', "contains": 's', "else": 's', "if": 's',
	"items": 's', "not": 's', "oneOf": 's', "prefixItems": 's', "propertyNames": 's', "then": 's', "unevaluatedItems": 's',
	"unevaluatedProperties": 's', "contentSchema": 's',
	"$defs": 'm', "definitions": 'm', "dependencies": 'm', "dependentSchemas": 'm', "patternProperties": 'm', "properties": 'm',
}

// walk registers the identifiers at p and below. top is the root of a document, whose resource exists.
func (x *index) walk(p place, top bool) error {
	m, ok := p.value.(map[string]any)
	if !ok {
		return nil
	}
	_, ref := m["$ref"]
	if id, ok := m["$id"].(string); ok && !(ref && p.res.draft.version == 7) {
		uri, fragment, err := resolve(p.res.uri, id)
		if err != nil {
			return err
		}
		switch {
		case fragment != "" && p.res.draft.version == 7 && strings.HasPrefix(id, "#"):
			p.res.anchors[fragment] = p
		case top:
			x.byURI[uri] = p.res
			p.res.uri = uri
		default:
			res := &resource{uri: uri, draft: p.res.draft, anchors: map[string]place{}, dynamic: map[string]place{}}
			if err := x.dialect(res, m); err != nil {
				return err
			}
			p.res = res
			res.root = p
			x.byURI[uri] = res
			x.rootAt[p.key] = res
		}
	}
	if p.res.draft.version == 2020 {
		if a, ok := m["$anchor"].(string); ok {
			p.res.anchors[a] = p
		}
		if a, ok := m["$dynamicAnchor"].(string); ok {
			p.res.anchors[a], p.res.dynamic[a] = p, p
		}
	}
	if ref && p.res.draft.version == 7 {
		// Siblings of $ref mean nothing in draft 7, but definitions beside it can be referred to.
		m = map[string]any{"definitions": m["definitions"]}
	}
	for keyword, v := range m {
		switch holds[keyword] {
		case 's':
			list, ok := v.([]any)
			if !ok {
				if err := x.walk(p.child(v, keyword), false); err != nil {
					return err
				}
			}
			for i, e := range list {
				if err := x.walk(p.child(e, keyword, strconv.Itoa(i)), false); err != nil {
					return err
				}
			}
		case 'm':
			members, _ := v.(map[string]any)
			for name, e := range members {
				if err := x.walk(p.child(e, keyword, name), false); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// resolve returns the absolute URI that ref means at base, and its fragment.
func resolve(base, ref string) (uri, fragment string, err error) {
	b, err := url.Parse(base)
	if err != nil {
		return "", "", fmt.Errorf("schema: %w", err)
	}
	r, err := url.Parse(ref)
	if err != nil {
		return "", "", fmt.Errorf("schema: %w", err)
	}
	u := b.ResolveReference(r)
	fragment = u.Fragment
	u.Fragment, u.RawFragment = "", ""
	return u.String(), fragment, nil
}

// find returns the place that ref means at p. dynamic is the name of the $dynamicAnchor it found, "" for none.
func (x *index) find(p place, ref string) (target place, dynamic string, err error) {
	uri, fragment, err := resolve(p.res.uri, ref)
	if err != nil {
		return place{}, "", err
	}
	res := x.byURI[uri]
	if res == nil {
		doc, ok := x.documents[uri]
		if !ok {
			return place{}, "", fmt.Errorf("%w: a reference to %s", ErrUnsupported, uri)
		}
		fallback := draft2020
		if p.res.draft.version == 7 {
			fallback = draft7
		}
		if res, err = x.document(uri, doc, fallback); err != nil {
			return place{}, "", err
		}
	}
	if fragment == "" {
		return res.root, "", nil
	}
	if !strings.HasPrefix(fragment, "/") {
		target, ok := res.anchors[fragment]
		if !ok {
			return place{}, "", fmt.Errorf("schema: %s has no anchor %q", uri, fragment)
		}
		if _, ok := res.dynamic[fragment]; ok {
			dynamic = fragment
		}
		return target, dynamic, nil
	}
	target = res.root
	for token := range strings.SplitSeq(fragment[1:], "/") {
		token = unescapeToken.Replace(token)
		var v any
		switch c := target.value.(type) {
		case map[string]any:
			v, _ = c[token]
		case []any:
			if i, err := strconv.Atoi(token); err == nil && i >= 0 && i < len(c) {
				v = c[i]
			}
		}
		if v == nil {
			return place{}, "", fmt.Errorf("schema: %s has nothing at %s", uri, fragment)
		}
		target = target.child(v, token)
		if r := x.rootAt[target.key]; r != nil {
			target.res = r
		}
	}
	return target, "", nil
}

package validate

import "strings"

// The engine goes on after a failure and writes a message for each: 800 KB of content parts of an unknown type kept it
// busy for five seconds and 1.3 GB. A list in a request is where the bulk is, so the schema is taken apart there: the
// rest of the document first, then the elements one by one, up to the first that fails.

// splitLists returns the top-level properties whose elements can be checked apart, and the schema without the items of
// those. It returns none when anything in the schema could make items mean more than "every element conforms":
// references to places outside $defs, identifiers that change what a reference means, and unevaluated keywords, which
// ask what others have looked at.
func splitLists(doc any) (names []string, rest any) {
	root, ok := doc.(map[string]any)
	if !ok || has(root, "$ref") || !separable(doc) {
		return nil, nil
	}
	props, _ := root["properties"].(map[string]any)
	cut := make(map[string]any, len(props))
	for name, p := range props {
		cut[name] = p
		list, ok := p.(map[string]any)
		if !ok || has(list, "$ref") || has(list, "prefixItems") {
			continue
		}
		if _, ok := list["items"].(map[string]any); !ok {
			continue
		}
		cut[name] = without(list, "items")
		names = append(names, name)
	}
	if len(names) == 0 {
		return nil, nil
	}
	copied := without(root, "properties")
	copied["properties"] = cut
	return names, copied
}

func separable(node any) bool {
	switch node := node.(type) {
	case []any:
		for _, e := range node {
			if !separable(e) {
				return false
			}
		}
	case map[string]any:
		for key, e := range node {
			switch key {
			case "$id", "$anchor", "$dynamicAnchor", "$dynamicRef", "unevaluatedItems", "unevaluatedProperties":
				return false
			case "$ref":
				// A property may be called $ref; then e is a schema.
				if s, ok := e.(string); ok && !strings.HasPrefix(s, "#/$defs/") && !strings.HasPrefix(s, "#/definitions/") {
					return false
				}
			}
			if !separable(e) {
				return false
			}
		}
	}
	return true
}

func has(m map[string]any, key string) bool { _, ok := m[key]; return ok }

func without(m map[string]any, key string) map[string]any {
	c := make(map[string]any, len(m))
	for k, v := range m {
		if k != key {
			c[k] = v
		}
	}
	return c
}

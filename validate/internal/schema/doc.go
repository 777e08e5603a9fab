// Package schema compiles JSON Schema (draft 2020-12 and draft 7) to a program that runs inside the one scan of a document:
// no tree is built, and once warm nothing is allocated.
//
// # How it works
//
// Every schema becomes a node, and every node a plan: the node itself and all that applies to the same value (allOf, anyOf,
// oneOf, not, if, then, else, dependentSchemas, $ref), parents first, each once. While the document passes by, the machine
// keeps one evaluation per step of the plans that apply to the containers open at the moment. A member or an element asks
// for the plans of the schemas that apply to it; at its end their verdicts go to those who asked. A verdict against the
// whole document ends the scan at once.
//
// # Cost
//
// Two schemas that apply the same node to one value share its evaluation. The work is therefore bounded by the number of
// values times the size of the schema, whatever the schema: nested alternatives, which make engines that walk a tree take
// time exponential in the depth of the document, cost here what their text costs. Two keywords read a value's text once more
// when it ends: enum with arrays or objects in it, and uniqueItems, which inside of itself does so at every level.
//
// Memory is bounded by the depth of the document times the size of the schema, and kept for the next document. uniqueItems adds 16 to
// 32 bytes per element of the array it looks at, unevaluatedProperties twelve per member that it may have to refuse,
// unevaluatedItems and contains two bits per element.
//
// # What is not covered
//
// A reference to a document that is neither the schema nor one of the given resources (the meta-schemas of the drafts, say)
// makes Compile return an error that is [ErrUnsupported]. A caller then needs another engine.
//
// # Specification
//
// JSON Schema Core and Validation, draft 2020-12 (draft-bhutton-json-schema-01, -validation-01), and draft 7
// (draft-handrews-json-schema-01, -validation-01). format is an assertion for the formats that the caller brings. pattern is
// RE2. Numbers are exact: nothing is rounded to a float64.
package schema

// Package validate refuses request bodies that are not exactly what a JSON API expects, before a handler or a model
// server parses them.
//
//	v, err := validate.New(validate.Config{Schema: chatSchema})
//	mux.Handle("POST /v1/chat/completions", v.Handler(chat))
//
// Ready-made configurations for well-known APIs are in package validate/preset. [SchemaFor] makes a schema from the Go type
// that a handler decodes into, [Handle] hands it over, and [Query] does for the query of a URL what a Validator does for a
// body.
//
// # What it protects against
//
//   - Parser differentials. The body is one strict JSON text (RFC 8259, RFC 7493): UTF-8 without a byte order mark, no
//     lone surrogates, nothing after the value, no member named twice, no two siblings whose names differ only by case.
//     What an authorisation check reads is what the handler and the upstream read. A lone case variant is no way round
//     either: a member such as "MODEL" is refused where the schema, or an alternative of it that applies, declares
//     "model", and [Body] refuses it when the Go type does.
//   - Bombs. Bytes, depth, members, lengths, number of values, digits and exponents are bounded in one pass without
//     building a tree. 1e10000000 makes the schema engine dereference nil and a hundred 1e999999 keep it busy for
//     seconds; neither gets that far.
//   - Compressed bombs. A body under gzip is bounded as sent, after decoding, in ratio and in members, and everybody behind
//     gets what was decoded.
//   - Bodies that cannot be what they claim: wrong media type, charset or coding, announced or actual length over the
//     bound, bodies that trickle in. An announced length over the bound is refused before the first byte is read, so a
//     client that sends "Expect: 100-continue" never sends its body.
//   - Values outside the schema: missing or unknown members, numbers outside a range, over-long strings and lists.
//   - Leaks through error messages. A refusal is a status, a code, a fixed sentence and a JSON Pointer. It never holds
//     a value, an enumeration of the schema, a schema URL or a name that the schema does not know: such a segment of
//     the pointer is shown as "?". The operator's log and audit record name a member that is not allowed.
//   - Schemas that check less than they say: a misspelt keyword fails in [New], and so do empty enumerations and members
//     written twice.
//
// # What it does not
//
// It does not read prompts (package sanitize does) and does not check path or headers beyond those that describe the
// body. Of content codings it knows gzip, when Config.Encodings lists it; others are refused. It does not fetch anything: a schema with
// a reference to a file or to another host fails in [New]. It cannot tell whether a URL in a body is safe to fetch.
//
// # Order
//
// Method, media type and charset, content coding, announced length; then the body is read once, bounded in bytes and
// time, decoded if it is coded, and kept for everything behind; then one scan checks grammar and limits and gathers the facts other packages
// need, and asks the schema about each value as it comes. The first failure decides.
//
// # Cost
//
// One pass over the bytes, with or without a schema, a handful of allocations for the request and none for the decision.
// The work is bounded by the number of values times the size of the schema, whatever the schema: equal questions about
// one value are asked once, so that nested alternatives do not multiply. The first fault ends the pass. See the
// benchmarks. The checked bytes are shared with everybody behind and never changed.
//
// # Specifications
//
// JSON Schema draft 2020-12 (default) and draft 7, with format as an assertion; RFC 9110 sections 8.3, 8.4, 10.1.1
// (Expect) and 15.5 (status codes); RFC 6901 JSON Pointer.
package validate

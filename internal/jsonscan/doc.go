// Package jsonscan reads a JSON text once, strictly, and tells a visitor where every value stands. It builds no tree and,
// once warm, allocates nothing.
//
// # What it protects against
//
// Two programs that read the same bytes must see the same document. jsonscan therefore accepts a subset of what lenient
// parsers take: the grammar of RFC 8259 and nothing else, exactly one value, no byte order mark, valid UTF-8, no lone
// surrogates (RFC 7493 §2.1), and no two members of one object whose names are equal after decoding or differ only by case.
// The last rule covers the long s (U+017F) and the Kelvin sign (U+212A), which encoding/json matches to "s" and "k".
//
// Everything that costs memory or time later is bounded while reading: total bytes, nesting, members, array and string
// lengths, number of values, and for numbers both the length and the exponent. The ten bytes 1e10000000 make exact
// arithmetic libraries panic or burn seconds; they die here.
//
// # What it does not do
//
// It does not know schemas, does not convert numbers and does not decode strings, except through the small functions
// (AppendUnquoted, EqualUnquoted, Int) that callers apply to the spans they care about.
//
// # Cost
//
// One pass, O(n), no recursion. Strings are skipped eight bytes at a time. Names of small objects are compared linearly by
// a 64-bit digest; from the 17th member on they go into an open-address table of seeded hashes, with an exact comparison on
// every hit, so that chosen names cannot make the scan quadratic. Memory is 56 bytes per open container and 40 bytes per
// member of the open objects (50 to 60 in large ones), kept in the Scanner for the next call.
//
// # Errors
//
// A refusal is an *Error: a code, the byte offset, the limit's name and a JSON Pointer (RFC 6901) to the place. It never
// holds a value. The pointer holds member names of the input: callers decide whether those may be shown.
package jsonscan

// Package sanitize decides what may enter a model and what may leave it.
//
// It has three parts, each useful alone:
//
//   - [Clean] removes what a reader cannot see: invisible and bidirectional control characters, tag characters, terminal escapes.
//   - [Filter] stands before a handler. It cleans and scans the prompts of a request and the text of the answer, streamed or
//     not, and allows, flags, redacts or blocks by kind of finding and direction.
//   - [Errors] stands outermost. It recovers panics, replaces server errors, withholds client errors that leak internals, and
//     gives every refusal the envelope its client expects.
//
// # What it protects against
//
// Hidden instructions in prompts (OWASP LLM01), secrets and personal data in prompts and answers (LLM02), a secret cut in two by
// stream chunks, stack traces and connection strings in error bodies.
//
// # What it does not
//
// It does not tell whether a visible prompt is an attack, find names or postal addresses, or decode what a text hides in base64.
// It looks at strings: not at member names, at JSON numbers, or at headers. Answers are not cleaned of invisible text. In requests
// it scans what the model reads; tool definitions, ids and metadata are not, and the name of the model is never changed.
// Bodies it cannot read (compressed, partial, multipart, too long, garbled JSON) are refused or withheld unless a Skip setting says
// otherwise, and a partial answer is not asked for: Range does not reach the handler. Images and other binary answers pass when their
// first bytes are no text.
//
// A type is only what somebody says. A request body that begins like JSON is held to JSON; an answer of a type that is not known is
// text; one that begins like an event stream is framed as one; several JSON values in one body are filtered like NDJSON. A text/plain
// answer is one text even when it is JSON: escapes in it are not decoded.
//
// # What it keeps
//
// A rewrite replaces bytes inside JSON strings and nothing else: key order, numbers, white space and untouched strings stay
// byte for byte. A stream event without a change is forwarded as it came. For every way a stream is cut into events the client
// sees the text that redacting the whole answer would have given.
//
// # What streaming costs
//
// Only a live match is held back. With the e-mail detector that is the word that is arriving, since every word may become an
// address: text leaves up to a word late, in the next event of its channel or in one of its own before the channel ends. Without
// it ordinary text is not delayed at all, and events pass as they came. Log probabilities are blanked while text is held
// back anywhere and once some was redacted, as they spell it out; so are token numbers. In a stream of an unknown API, and for members
// that a known one does not have, every string but a few labels (type, id, ...) counts as a piece of a text that goes on in the next
// event. Lines of an event that are not data (comments, names, unknown fields) are looked at each for itself and dropped on a finding.
package sanitize

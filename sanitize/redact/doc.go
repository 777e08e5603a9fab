// Package redact replaces what detectors find in a text, whole or as it streams.
//
// The promise: for every way to cut a text into pieces, what a [Stream] releases is byte for byte what [Redactor.Redact] makes
// of the whole text. It is tested with every split of the sample texts and fuzzed.
//
// A stream releases everything that can no longer become part of a finding. What it holds back is the live beginning of a
// match: usually nothing or the word that is arriving (every word may become an e-mail address), never more than the
// detectors' MaxSpan. Held text is never released because time passed; when a reply is aborted it is dropped.
//
// Spans that overlap or touch become one replacement, named after the one that begins first (of two that begin together, the
// longer). A replacement is a fixed text per kind, so its length says nothing about what it hides.
package redact

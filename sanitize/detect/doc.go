// Package detect finds secrets and personal data in text: provider API keys, e-mail addresses, payment card numbers.
//
// A [Detector] reports [Finding]s, spans without the matched text. A [Set] runs several detectors over one text in as few
// passes as possible and says, for a text that is still arriving, from which offset on a finding may still begin or grow.
// That answer is what lets package redact hold back a live match and nothing else, and still produce for every split of a
// text exactly what it would have produced for the whole.
//
// # What it protects against
//
// Keys pasted into prompts, keys and addresses repeated in answers. Every built-in rule is anchored on a published prefix or
// a checksum, so identifiers, hashes and base64 images are left alone.
//
// # What it does not
//
// A key without a published prefix, names and postal addresses, text that was encoded, spaced out or translated on purpose.
// Internationalised (non-ASCII) e-mail domains are not recognised yet, nor are PEM blocks and JWTs.
//
// # Cost
//
// No allocation, one pass, linear in the text: a byte-pair table decides at each byte whether a hand-written verifier looks
// closer, and a verifier looks at no more than [Detector.MaxSpan] bytes. No regular expression runs.
package detect

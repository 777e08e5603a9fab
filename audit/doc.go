// Package audit records what happened to every request of an AI service: one JSON line per event, in files and wherever else
// a Sink leads.
//
//	file, err := audit.NewFileSink(audit.FileConfig{Path: "/var/log/app/audit.jsonl"})
//	...
//	log, err := audit.Open(audit.Config{Sinks: []audit.Sink{file}})
//	...
//	defer log.Close(ctx)
//	http.ListenAndServe(addr, log.Handler(handler))
//
// # What it protects against
//
//   - Requests nobody can account for. The line is written once, whatever becomes of the request: answered, refused by
//     another room, panicked, abandoned by its client, hijacked. By default a request that could not be recorded is not served
//     (FailClosed).
//   - Silent loss. Each sink's account is exact (Stats: offered = written + dropped + pending), and what is dropped is counted
//     in an audit.gap line at the very place where lines are missing.
//   - A slow or broken sink. Each has a queue and a goroutine of its own; batches form while it writes. It holds up neither
//     requests nor other sinks, beyond what Config.Wait and Config.Ack allow.
//   - Forged lines and terminal commands in text that clients send. The encoder escapes control, bidirectional and invisible
//     characters and keeps bytes that are not UTF-8 (Unescape); SafeHandler does the same for logs that people read.
//   - Secrets in the log. There is no header, no path and no query in a line, and nothing of a body unless a Rule says so:
//     then as HMAC, encrypted through Config.Seal, or in clear under InsecurePlaintext. The one free text is x.error.cause, the
//     private reason a room left, cut at 512 bytes.
//
// # What it does not do yet
//
// There is no tamper evidence: whoever can write the file can change it, and nothing here would tell. A Merkle tree with signed
// checkpoints, a verifier, detectors, alerts, metrics, retention and sinks for databases and webhooks are not part of this
// version. The text of replies is never captured. A sealed body is not bound to its line by associated data; give Seal a scheme
// that needs none. Levels of acknowledgement are per Log, not per rule.
//
// # The line
//
// UTF-8 JSON, one object per line, no more than 8 KiB (MaxLine) beside a captured body. Members come in a fixed order; one that
// is unknown or empty is absent, never null, empty or 0. Names are those of the OpenTelemetry semantic conventions where these
// have one; "schema" holds the number of our own version, and schema.json beside this file is the JSON Schema.
//
//	schema                       1
//	time                         when it began, RFC 3339 in UTC with microseconds
//	event.name                   "http.request", "audit.gap", "audit.file", or the Name given to Record
//	stage                        completed, panic (the handler did not return), event, gap, file; see Handler
//	request.id                   as in the X-Request-Id header of the response
//	trace_id, span_id            of a W3C traceparent header
//	client.address | .net | .hmac   one of them, see AddressForm
//	http.request.method          or _OTHER
//	http.route                   the pattern, never the path
//	http.response.status_code    absent when nothing was sent
//	http.request.body.size       as announced; http.response.body.size as sent
//	http.client_aborted          true: the client left before it had the whole reply; http.hijacked true
//	auth.scheme, .outcome, .issuer, .subject, .tenant, .client_id, .key_id, .plan
//	ratelimit.outcome            allowed, denied
//	validate.outcome             denied
//	sanitize.outcome             flagged, denied
//	sanitize.findings            [{"kind","rule","action","direction","count"}], x.findings_dropped
//	gen_ai.operation.name, gen_ai.request.model, gen_ai.request.stream
//	gen_ai.response.model, gen_ai.response.finish_reasons
//	gen_ai.response.time_to_first_chunk   seconds to the first content
//	gen_ai.usage.input_tokens, .cache_read.input_tokens, .output_tokens, x.usage_estimated
//	x.tokens_per_second          (output - 1) / (last byte - first content)
//	x.duration_ms, x.cost_microusd
//	error.type                   the code the client got, or the status of a 5xx, or "panic", or "aborted" (the handler broke its reply off)
//	x.error.stage, x.error.cause who refused, and why: for operators
//	x.gap.count, .first, .last, .reason, .sink
//	x.file.event, .bytes, .aside what a FileSink found: torn, moved, shrunk, foreign_bytes, rotated, rotation_failed, sync_failed
//	attr.*                       from Annotate and Event.Attrs, at most 16; x.attrs_dropped
//	x.capture, x.body.bytes, .complete, .hmac, .sealed, .text, x.capture_failed
//	x.trimmed                    keys whose value was cut; it ends with an ellipsis
//	x.escaped                    keys whose value was not UTF-8; see Unescape
//
// Each sink has the lines in the order in which they were recorded, as far as one goroutine recorded them; two sinks may order
// the lines of different requests differently.
//
// # Cost
//
// Encoding and queueing allocate nothing. The middleware adds two allocations to those of the exchange that all rooms share, and
// a copy of about a kilobyte per sink. Reading the reply of a known API costs one parse, which is shared with the other rooms
// (Config.IgnoreReplies). Memory is bounded by Config.MaxQueueBytes per sink.
package audit

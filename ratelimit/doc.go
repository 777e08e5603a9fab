// Package ratelimit decides how much a caller may use, reserves it before the work begins, and settles what was used.
//
// It protects an inference service against callers who use more requests, tokens, money or simultaneous requests than
// their plan allows, against streams that outgrow their budget, and, with [Bulkhead], against one model's queue
// starving the others. It does not authenticate (put an authenticating middleware in front; without one, limits by client fall
// back to the address), and it does not stop an attack that fills the network before requests reach the process.
//
//	limits, err := ratelimit.New(ratelimit.Config{Plans: []ratelimit.Plan{{
//		Limits: []ratelimit.Limit{
//			{Name: "rpm", Max: 60, Per: time.Minute},
//			{Name: "tpm", Max: 90_000, Per: time.Minute, Cost: ratelimit.Tokens},
//			{Name: "running", Max: 4, Parallel: true},
//		},
//	}}})
//	http.Handle("POST /v1/chat/completions", limits.Handler(model))
//
// # How it counts
//
// A request is charged before it runs, with what it may use: the length of its prompt and the answer it asks for. All
// limits of its plan are decided together, and either all are charged or none. That charge stands, so any number of
// simultaneous requests cannot walk through a limit together. When the reply ends, the charge is corrected to what the
// reply reports. Nothing is released twice and unknown usage is never zero: a reply that reports nothing is measured by the
// length of its text; a handler that panics, times out, fails with a 5xx or loses its client has used what was reserved for it.
// Hanging up early must not make the work free.
//
// A streamed reply is metered as it flows. Once it exceeds its reservation, more is reserved in slices; when the limits
// refuse, the stream ends with the final event of its dialect (finish_reason "length", stop_reason "max_tokens") and
// the handler's context is cancelled.
//
// # Kinds of limit
//
// A rolling limit (Per) is GCRA, the token bucket written as one time stamp, in exact arithmetic: any stretch of time W
// admits at most Burst + Max*W/Per. Giving back an estimate that was too high never mints allowance: what has leaked from
// the bucket meanwhile is gone, but for a bounded, configurable Slack. A calendar limit counts from midnight to midnight in a
// zone, exactly. A Parallel limit counts requests in flight.
//
// # Where golang.org/x/time/rate fits, and where not
//
// [Bulkhead] uses it for pacing, one bucket per model, and the tests use it as an oracle. It is not the store behind
// [Limiter]: it has no debt for a reply longer than estimated, no exact refund, no decision over several buckets, and keeping
// one per caller needs a map that grows with every key an attacker makes up.
//
// # Cost
//
// A decision over n limits takes n hashes, one lock per table shard concerned, and one allocation, the [Reservation]. Memory
// is fixed at construction: about 54 bytes per key of [Config.MaxKeys], without pointers for the garbage collector to
// follow and without a goroutine. No lock is held across anything that blocks.
//
// # Headers
//
// Replies carry RateLimit and RateLimit-Policy (draft-ietf-httpapi-ratelimit-headers-10, with the unregistered quota units
// "tokens", "micro-usd" and "units") for limits that are the caller's own. Refusals add Retry-After, retry-after-ms and, when
// waiting makes no sense, x-should-retry: false.
package ratelimit

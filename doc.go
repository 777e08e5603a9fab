// Package mantlet joins the rooms of this module into one pipeline in front of an AI inference handler.
//
// Every room is a middleware of its own and works without this package: [github.com/mantlet-go/mantlet/auth],
// [github.com/mantlet-go/mantlet/ratelimit], [github.com/mantlet-go/mantlet/validate],
// [github.com/mantlet-go/mantlet/sanitize] and [github.com/mantlet-go/mantlet/audit]. What a [Pipeline] adds is the order,
// which decides whether they protect anything, and the rule that no handler is reachable without a policy.
//
// A request passes the stages in this order, and its response passes them backwards:
//
//	audit     one record for every request, also for those the others refuse
//	errors    panics recovered, error bodies made safe
//	guard     refuses by address and form of the request, bans who keeps being refused
//	flood     limits by client address, before any cryptography
//	route     the pattern of net/http.ServeMux decides; what matches none is 404 and runs nothing
//	auth      who is calling, and may they use this route
//	validate  one strict pass over the body
//	models    may they use this model
//	filter    text in and out: cleaned, redacted, refused
//	limits    requests, tokens and money reserved before, settled after
//	bulkhead  a slot and a pace per model
//	handler   yours
//
// Decisions use the matched pattern and the checked body, never a URL put together again and never another reading of the bytes.
//
// The cost above the handler is one record, one request copy and what the configured rooms need; internal/bench measures it
// beside a bare handler and beside the pipelines people build by hand.
package mantlet

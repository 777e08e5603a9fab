package ratelimit

import "net/netip"

// maxUnits bounds every field of a Usage. A single request of a trillion tokens does not exist; a number beyond it is
// an error or an attack, and cutting it here keeps every later product inside int64 (maxUnits * maxWeight * 5 < 2^63).
const (
	maxUnits  = 1_000_000_000_000
	maxWeight = 1_000_000
)

// Usage is what one request used, or is expected to use. All fields are whole units; negative values count as zero and
// values above 10^12 as 10^12.
type Usage struct {
	// Requests is the number of requests. [Limiter.Reserve] and [Reservation.Settle] read zero as one: a request that
	// was admitted happened. Use [Reservation.Cancel] to say that it did not.
	Requests int64
	// Input is the number of prompt tokens, cached ones included.
	Input int64
	// CachedInput is the part of Input that was read from a prompt cache. It never exceeds Input.
	CachedInput int64
	// Output is the number of generated tokens, reasoning included.
	Output int64
	// MicroUSD is money in millionths of a US dollar. Zero together with tokens means "compute it from
	// Config.Prices".
	MicroUSD int64
}

// Add returns the sum of u and v, field by field, stopping at the largest int64.
func (u Usage) Add(v Usage) Usage {
	return Usage{
		Requests:    addSat(u.Requests, v.Requests),
		Input:       addSat(u.Input, v.Input),
		CachedInput: addSat(u.CachedInput, v.CachedInput),
		Output:      addSat(u.Output, v.Output),
		MicroUSD:    addSat(u.MicroUSD, v.MicroUSD),
	}
}

func addSat(a, b int64) int64 {
	s := a + b
	if a > 0 && b > 0 && s < 0 {
		return 1<<63 - 1
	}
	return s
}

// clamp makes any Usage a possible one.
func (u Usage) clamp() Usage {
	u.Requests = min(max(u.Requests, 0), maxUnits)
	u.Input = min(max(u.Input, 0), maxUnits)
	u.CachedInput = min(max(u.CachedInput, 0), u.Input)
	u.Output = min(max(u.Output, 0), maxUnits)
	u.MicroUSD = min(max(u.MicroUSD, 0), maxUnits)
	return u
}

// atLeast returns the larger value of each field.
func (u Usage) atLeast(v Usage) Usage {
	return Usage{
		Requests:    max(u.Requests, v.Requests),
		Input:       max(u.Input, v.Input),
		CachedInput: max(u.CachedInput, v.CachedInput),
		Output:      max(u.Output, v.Output),
		MicroUSD:    max(u.MicroUSD, v.MicroUSD),
	}
}

// Weights says which parts of a [Usage] a limit counts, and how much each counts. A weight is between 0 and 10^6.
// The zero value counts requests, as [Requests] does. The variables [Requests], [Tokens], [InputTokens],
// [OutputTokens] and [Money] name the usual ones; write the struct for others, such as output counted five times:
//
//	Cost: ratelimit.Weights{Input: 1, CachedInput: 1, Output: 5}
type Weights struct {
	// Requests is the weight of one request.
	Requests int64
	// Input is the weight of one prompt token that was not read from a cache.
	Input int64
	// CachedInput is the weight of one prompt token that was read from a cache.
	CachedInput int64
	// Output is the weight of one generated token.
	Output int64
	// MicroUSD is the weight of one millionth of a US dollar.
	MicroUSD int64
}

// The usual weights. They are variables only because Go has no constant structs; New copies what it is given.
var (
	// Requests counts requests.
	Requests = Weights{Requests: 1}
	// Tokens counts prompt tokens, cached or not, and generated tokens alike.
	Tokens = Weights{Input: 1, CachedInput: 1, Output: 1}
	// InputTokens counts prompt tokens, cached or not.
	InputTokens = Weights{Input: 1, CachedInput: 1}
	// OutputTokens counts generated tokens.
	OutputTokens = Weights{Output: 1}
	// Money counts millionths of a US dollar, see [Config.Prices].
	Money = Weights{MicroUSD: 1}
)

// of returns the cost of a clamped usage. It cannot overflow, see maxUnits.
func (w *Weights) of(u *Usage) int64 {
	return w.Requests*u.Requests + w.Input*(u.Input-u.CachedInput) + w.CachedInput*u.CachedInput +
		w.Output*u.Output + w.MicroUSD*u.MicroUSD
}

func (w *Weights) tokens() bool { return w.Input != 0 || w.CachedInput != 0 || w.Output != 0 }

// unit is the quota unit of the RateLimit fields. Only "requests" and "concurrent-requests" are registered by
// draft-ietf-httpapi-ratelimit-headers-10; "tokens" is the word every client of a language model knows.
func (w *Weights) unit() string {
	switch {
	case *w == Weights{Requests: w.Requests} && w.Requests == 1:
		return "" // requests, the default of the draft
	case w.Requests == 0 && w.MicroUSD == 0 && w.Input <= 1 && w.CachedInput <= 1 && w.Output <= 1:
		return "tokens"
	case *w == Weights{MicroUSD: 1}:
		return "micro-usd"
	}
	return "units"
}

// Price is what a model costs, in millionths of a US dollar per million tokens: $2.50 per million tokens is 2_500_000.
type Price struct {
	// Input is the price of prompt tokens that were not read from a cache.
	Input int64
	// CachedInput is the price of prompt tokens that were read from a cache.
	CachedInput int64
	// Output is the price of generated tokens.
	Output int64
	// Request is a flat price per request, in millionths of a US dollar.
	Request int64
}

// cost rounds up, so that a request that costs something never costs nothing.
func (p Price) cost(u Usage) int64 {
	c := mulCeil(u.Input-u.CachedInput, p.Input) + mulCeil(u.CachedInput, p.CachedInput) + mulCeil(u.Output, p.Output)
	c = addSat(c, mulDivCeil(u.Requests, max(p.Request, 0), 1))
	return min(c, maxUnits)
}

func mulCeil(n, perMillion int64) int64 {
	return min(mulDivCeil(n, max(perMillion, 0), 1_000_000), maxUnits)
}

// PriceTable returns a function for [Config.Prices] that looks models up by exact name. A model that is not in the
// table costs the dearest price of the table in each column: an unknown price must not be a free one.
func PriceTable(prices map[string]Price) func(model string) Price {
	table := make(map[string]Price, len(prices))
	var dearest Price
	for name, p := range prices {
		table[name] = p
		dearest.Input = max(dearest.Input, p.Input)
		dearest.CachedInput = max(dearest.CachedInput, p.CachedInput)
		dearest.Output = max(dearest.Output, p.Output)
		dearest.Request = max(dearest.Request, p.Request)
	}
	return func(model string) Price {
		if p, ok := table[model]; ok {
			return p
		}
		return dearest
	}
}

// Subject is who and what a request is charged to. Only fields that a limit's [Scope] names are looked at.
type Subject struct {
	// Client names the caller, stable across key rotation.
	Client string
	// Issuer is who vouches for Client: the same Client under two issuers is two clients. Empty is an issuer like any other.
	Issuer string
	// Tenant is the organisation the caller belongs to.
	Tenant string
	// Plan names the plan; empty means Config.DefaultPlan. A Limiter with a single plan applies it to everyone.
	Plan string
	// Model is the model the request is for.
	Model string
	// Addr is the client's network address.
	Addr netip.Addr

	bare bool // Client is the subject of a caller without a ClientID
}

// Package introspect accepts access tokens by asking who issued them (OAuth 2.0 Token Introspection, RFC 7662).
//
// A [Verifier] is an [auth.Authenticator] for "Authorization: Bearer" values. It sends the token to the introspection endpoint of one
// authorization server, believes the answer as far as it fits the configuration, and remembers it for a short while.
//
//	tokens, err := introspect.New(introspect.Config{
//		Endpoint:     "https://login.example.com/oauth2/introspect",
//		ClientID:     "inference-api",
//		ClientSecret: os.Getenv("INTROSPECTION_SECRET"),
//		Issuer:       "https://login.example.com",
//		Audiences:    []string{"https://inference.example.com"},
//	})
//
// # What it protects against
//
//   - Answers that mean two things: the response is read as strict JSON, no member twice or spelled in another case, and a member of
//     the wrong type makes the whole answer void.
//   - Tokens for somebody else: aud must hold one of our audiences, iss if present must be the configured one, refresh and ID tokens
//     are refused where the server says what they are. A token that is bound to a key or certificate is refused as a bearer
//     token; package pop checks its proof.
//   - Confusion in the cache, which made other gateways accept one server's token at another's door (CVE-2026-35030, oathkeeper
//     GHSA-4mq7-pvjg-xp2r): a Verifier has one endpoint, its cache is its own, and the key is the whole SHA-256 of the token.
//   - Outages taken for bad tokens: whatever is not a clear answer is [auth.ErrUnavailable], 503 with Retry-After. That includes our
//     own credentials being refused: the caller did nothing wrong.
//   - Stampedes: requests with the same token share one question, which goes on when the first of them gives up; Config.MaxInFlight
//     bounds the questions under way.
//
// # What it does not
//
// A revoked token is accepted until its cached answer is too old: at most Config.TTL. [Verifier.Forget] ends it at once in this process.
// Random tokens each cost a question, because only the server can tell: put a limiter by client address in front. In an [auth.AnyOf]
// this comes last, or has a TokenPrefix: it takes every bearer token for one of its own, and would show an API key to the server.
// Signed answers (RFC 9701) are not read.
//
// # Cost
//
// A remembered token costs its SHA-256 and a map lookup, and allocates nothing if it is no longer than 1 KiB. A cache holds at most
// Config.MaxEntries answers of each kind; wrong tokens cannot push out right ones.
package introspect

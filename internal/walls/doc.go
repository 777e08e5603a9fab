// Package walls holds the test that guards who may import whom. It has no code of its own.
//
// Mantlet is a house of independent rooms: a user who needs a rate limiter takes the rate limiter, and gets no token verifier
// and no audit log with it. That stays true only as long as no import says otherwise, and an import is quickly written. So the
// rules are a test:
//
//   - The rooms (auth, ratelimit, validate, sanitize, audit, crypto) import neither each other nor the root package, also in
//     their tests.
//   - internal holds mechanism: it imports no room and not the root. internal/bench and internal/e2e, which look at the house from
//     outside, are free to.
//   - Only examples, the root's own tests, internal/bench and internal/e2e import the root.
//   - examples import nothing internal, since nobody could copy them otherwise. Their tests may.
//   - What users link holds no test helper: internal/corpus, memhttp, prints and raced are imported by tests, by harness packages (whose
//     name ends in "test") and by each other only.
//   - go.mod requires golang-jwt/jwt/v5, santhosh-tekuri/jsonschema/v5, lmittmann/tint and golang.org/x modules, and has no
//     replace line.
//   - The top level has the folders of the design and no others.
//
// Nested modules and testdata folders are not looked at.
package walls

//go:build race

package exchange_test

// raced says that the race detector runs: it allocates for itself, so allocation counts prove nothing.
const raced = true

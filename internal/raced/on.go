//go:build race

package raced

// Enabled says that this binary was built with -race.
const Enabled = true

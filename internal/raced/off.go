//go:build !race

// Package raced tells tests whether the race detector runs. It allocates for itself and empties pools at random, so that
// allocation counts prove nothing under it.
package raced

// Enabled says that this binary was built with -race.
const Enabled = false

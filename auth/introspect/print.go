package introspect

import (
	"fmt"
	"io"
)

// What every verb prints.
const (
	configWord   = "[introspect.Config]"
	verifierWord = "[introspect.Verifier]"
)

// String returns a fixed word: the Config holds a secret.
func (Config) String() string { return configWord }

// Format implements [fmt.Formatter]: every verb for strings, numbers and structs prints a fixed word. Package fmt does not ask it
// for a Config that lies, not behind a pointer, in an unexported field of another struct.
func (Config) Format(f fmt.State, _ rune) { io.WriteString(f, configWord) }

// MarshalText returns a fixed word, for encoders and loggers of JSON.
func (Config) MarshalText() ([]byte, error) { return []byte(configWord), nil }

// String returns a fixed word: the Verifier holds the secret of its Config, and tokens.
func (*Verifier) String() string { return verifierWord }

// Format implements [fmt.Formatter]: every verb prints a fixed word.
func (*Verifier) Format(f fmt.State, _ rune) { io.WriteString(f, verifierWord) }

package jwtauth

import (
	"fmt"
	"io"
)

// What every verb prints.
const (
	keyWord    = "[jwtauth.Key]"
	configWord = "[jwtauth.Config]"
	issuerWord = "[jwtauth.Issuer]"
)

// String returns a fixed word: the key of an HMAC is a secret.
func (Key) String() string { return keyWord }

// Format is that of [Config].
func (Key) Format(f fmt.State, _ rune) { io.WriteString(f, keyWord) }

// MarshalText returns a fixed word, for encoders and loggers of JSON.
func (Key) MarshalText() ([]byte, error) { return []byte(keyWord), nil }

// String returns a fixed word: the Config holds keys.
func (Config) String() string { return configWord }

// Format implements [fmt.Formatter]: every verb for strings, numbers and structs prints a fixed word. Package fmt does not ask it
// for a Config that lies, not behind a pointer, in an unexported field of another struct.
func (Config) Format(f fmt.State, _ rune) { io.WriteString(f, configWord) }

// String returns a fixed word: the Issuer holds keys.
func (Issuer) String() string { return issuerWord }

// Format is that of [Config].
func (Issuer) Format(f fmt.State, _ rune) { io.WriteString(f, issuerWord) }

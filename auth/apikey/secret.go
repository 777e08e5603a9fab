package apikey

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
)

// Secret is a complete key, in the hands of the one who asked for it. It shows itself through [Secret.Reveal] and in no other
// way: fmt, log/slog and printers that walk by reflection get a fixed word, and encoders get an error. A Secret cannot be
// obtained again. The zero Secret reveals "".
type Secret struct {
	// A closure, not a string: reflection can read an unexported string, but not what a function has captured.
	reveal func() string
}

func newSecret(s string) Secret { return Secret{reveal: func() string { return s }} }

const redacted = "[apikey.Secret]"

var errSecret = errors.New("apikey: a Secret cannot be marshalled; Reveal shows it once to its owner")

// Reveal returns the key. Give it to its owner, and keep it nowhere.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// String returns a fixed word.
func (s Secret) String() string { return redacted }

// Format implements [fmt.Formatter]: every verb prints a fixed word.
func (s Secret) Format(f fmt.State, _ rune) { io.WriteString(f, redacted) }

// LogValue implements [slog.LogValuer] with a fixed word.
func (s Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns an error.
func (s Secret) MarshalJSON() ([]byte, error) { return nil, errSecret }

// MarshalText returns an error.
func (s Secret) MarshalText() ([]byte, error) { return nil, errSecret }

// MarshalBinary returns an error; encoding/gob uses it too.
func (s Secret) MarshalBinary() ([]byte, error) { return nil, errSecret }

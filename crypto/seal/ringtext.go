package seal

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Config returns what New makes the same ring of, keys included: for saving a ring after a change, or for making one from another. The
// primary key is the first, then come the others in the order of their ids. Of a Keyring not made by New it is the zero Config.
func (k *Keyring) Config() Config {
	var cfg Config
	for _, e := range k.load().keys {
		cfg.Keys = append(cfg.Keys, RingKey{Key: e.key, ID: e.ID, State: e.State, Created: e.Created})
	}
	rank := func(k RingKey) int {
		if k.State == Primary {
			return 0
		}
		return 1
	}
	slices.SortFunc(cfg.Keys, func(a, b RingKey) int { return cmp.Or(cmp.Compare(rank(a), rank(b)), bytes.Compare(a.ID[:], b.ID[:])) })
	return cfg
}

const createdLayout = "2006-01-02T15:04:05Z"

// Reveal returns the ring as secret text, for saving it in a secret store or a file that only its owner reads. It has one line for each
// key: state, time of creation in UTC (- if unknown), and the key as Key.Reveal writes it, or the id of a destroyed one.
//
//	primary 2026-11-25T12:00:00Z mantlet-seal-v1_...
//	decrypt-only - mantlet-seal-v1_...
//	destroyed 2024-01-01T00:00:00Z 1a2b3c4d
//
// Of a Keyring not made by New it is "".
func (k *Keyring) Reveal() string {
	var b strings.Builder
	for _, key := range k.Config().Keys {
		created := "-"
		if t := key.Created.UTC().Truncate(time.Second); !t.IsZero() && t.Year() > 0 && t.Year() < 10_000 {
			created = t.Format(createdLayout)
		}
		text := key.Key.Reveal()
		if key.State == Destroyed {
			text = key.ID.String()
		}
		fmt.Fprintf(&b, "%v %s %s\n", key.State, created, text)
	}
	return b.String()
}

// ParseKeyring makes a Keyring of text as Reveal writes it. The lines may come in any order, and those that are empty or begin with #
// are left out; otherwise it is strict: one space between the parts and none around them, no carriage return. The error lists everything
// that is wrong, by line, and shows nothing of the text.
func ParseKeyring(text string) (*Keyring, error) {
	var cfg Config
	var errs []error
	windows := false
	for i, line := range strings.Split(text, "\n") {
		if line == "" || line[0] == '#' {
			continue
		}
		if strings.HasSuffix(line, "\r") {
			if !windows { // once is enough: it is all of them, or an editor's doing
				errs = append(errs, fmt.Errorf("seal: line %d of the keyring: the file has Windows line ends; want LF alone, not CR LF", i+1))
			}
			windows = true
			continue
		}
		key, err := parseRingKey(line)
		if err != nil {
			errs = append(errs, fmt.Errorf("seal: line %d of the keyring: %w", i+1, err))
			continue
		}
		cfg.Keys = append(cfg.Keys, key)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return New(cfg)
}

func parseRingKey(line string) (key RingKey, err error) {
	parts := strings.Split(line, " ")
	if len(parts) != 3 {
		return key, errors.New("want a state, a time and a key, with one space between them")
	}
	state := slices.Index(stateNames[:], parts[0])
	if state < 0 {
		return key, fmt.Errorf("want one of these states first: %s", strings.Join(stateNames[:], ", "))
	}
	key.State = State(state)
	if parts[1] != "-" {
		// Parse takes fractions of a second too. What Format would write in another way is refused.
		key.Created, err = time.Parse(createdLayout, parts[1])
		if err != nil || key.Created.Format(createdLayout) != parts[1] || key.Created.IsZero() {
			return RingKey{}, errors.New("want a time like " + createdLayout + " or - second")
		}
	}
	if key.State == Destroyed {
		key.ID, err = ParseID(parts[2])
	} else {
		key.Key, err = ParseKey(parts[2])
	}
	return key, err
}

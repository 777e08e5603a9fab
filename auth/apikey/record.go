package apikey

import (
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/mantlet-go/mantlet/auth"
)

// Digest is the SHA-256 of a key without its checksum. It opens nothing, but says which key it belongs to when the key is
// known; it prints as a fixed word and marshals as 64 hexadecimal digits. (In
// an unexported field of a struct of yours fmt cannot ask it and prints the bytes: give that struct a String method.)
type Digest [32]byte

// equal compares in a time that does not depend on the digests, as crypto/subtle does, but eight bytes at a time.
func (d *Digest) equal(e *Digest) bool {
	var x uint64
	for i := 0; i < len(d); i += 8 {
		x |= binary.LittleEndian.Uint64(d[i:]) ^ binary.LittleEndian.Uint64(e[i:])
	}
	return x == 0
}

// String returns a fixed word.
func (d Digest) String() string { return "[apikey.Digest]" }

// Format implements [fmt.Formatter]: every verb prints a fixed word.
func (d Digest) Format(f fmt.State, _ rune) { io.WriteString(f, d.String()) }

// MarshalText implements [encoding.TextMarshaler].
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText implements [encoding.TextUnmarshaler]. Anything but 64 lower-case hexadecimal digits is an error.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != 2*len(d) {
		return errors.New("apikey: digest is not 64 hexadecimal digits")
	}
	for _, c := range text {
		if (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return errors.New("apikey: digest is not 64 lower-case hexadecimal digits")
		}
	}
	_, err := hex.Decode(d[:], text)
	return err
}

// Spec says what a new key is for.
type Spec struct {
	// ClientID is the client the key belongs to, stable when keys are rotated. Required, at most 256 bytes.
	ClientID string
	// Tenant is the customer or organisation; empty for none.
	Tenant string
	// Plan names the caller's limits; empty means the deployment's default.
	Plan string
	// Scopes are the permissions, scope-tokens of RFC 6749 section 3.3, of at most 4096 bytes each. Empty means none.
	Scopes []string
	// Roles are the caller's roles. Empty means none.
	Roles []string
	// Models are the models the key may use. Nil means every model; a list that is not nil, also an empty one, means
	// exactly those on it. See [auth.Principal.AllowsModel].
	Models []string
	// Addresses are the networks the key may be used from. Nil means from anywhere; a list that is not nil, also an empty
	// one, means only from those on it.
	Addresses []netip.Prefix
	// NotBefore is when the key begins to work. Zero means at once.
	NotBefore time.Time
	// ExpiresAt is when it ends: the first moment at which it is refused. Zero means never; what has passed is an error.
	ExpiresAt time.Time
	// Labels are notes for people: owner, purpose, ticket. At most 64, names of 64 bytes, texts of 512; two names may not differ
	// only by case. They are stored in clear.
	Labels map[string]string
}

// Record is a key as it is stored. It holds nothing a caller could authenticate with.
type Record struct {
	// ID is the public id, 12 characters of base 62.
	ID string `json:"id"`
	// Head is how the key begins, the Prefix and Env of the Manager that made it: "acme_live" of acme_live_<ID>_... Empty for an imported
	// key until it is rotated. A Manager of another head never accepts the key, whatever its record says.
	Head string `json:"head,omitempty"`
	// Hash is the SHA-256 of the key without its checksum.
	Hash Digest `json:"hash"`
	// ClientID, Tenant, Plan, Scopes, Roles, Models, Addresses, NotBefore, ExpiresAt and Labels are as in [Spec].
	ClientID  string            `json:"client_id"`
	Tenant    string            `json:"tenant,omitempty"`
	Plan      string            `json:"plan,omitempty"`
	Scopes    []string          `json:"scopes,omitempty"`
	Roles     []string          `json:"roles,omitempty"`
	Models    []string          `json:"models,omitzero"`    // omitzero: an empty list is not the same as none
	Addresses []netip.Prefix    `json:"addresses,omitzero"` // likewise
	NotBefore time.Time         `json:"not_before,omitzero"`
	ExpiresAt time.Time         `json:"expires_at,omitzero"`
	Labels    map[string]string `json:"labels,omitempty"`
	// CreatedAt is when the key was made.
	CreatedAt time.Time `json:"created_at"`
	// RevokedAt is when it was revoked; zero for a key that was not. It can be set and never unset.
	RevokedAt time.Time `json:"revoked_at,omitzero"`
	// DisabledAt is when it was disabled, which [Manager.Enable] undoes, and DisabledReason says why; zero for a key that works.
	DisabledAt     time.Time `json:"disabled_at,omitzero"`
	DisabledReason string    `json:"disabled_reason,omitempty"`
	// EnabledAt is when it was last enabled again.
	EnabledAt time.Time `json:"enabled_at,omitzero"`
	// Predecessor is the id of the key that this one was rotated from, and Successor of the one it was rotated to; empty for
	// none.
	Predecessor string `json:"predecessor,omitempty"`
	Successor   string `json:"successor,omitempty"`
	// Foreign is the name of the [Foreign] format of an imported key. Hash is then of the whole key, under that format's Hash.
	Foreign string `json:"foreign,omitempty"`
	// LastUsedAt is the minute of the last use, zero for none on record; UsedScopes are the scopes that were asked for and
	// held. [Manager.List] and [Manager.Get] fill them in; they are no part of what a [Store] keeps in a record.
	LastUsedAt time.Time `json:"-"`
	UsedScopes []string  `json:"-"`
	// Version counts the writes of this record. The store sets it: 1 for a new one.
	Version uint64 `json:"version"`
}

// ParseRecord reads a record from the JSON that encoding/json makes of it, strictly: a member that is unknown, occurs twice or is spelled in
// another case is an error, and so is a record that is not valid. The error quotes nothing of the text. It is for implementations
// of [Store].
func ParseRecord(text []byte) (Record, error) {
	var r Record
	if err := strict(text, &r); err != nil {
		return Record{}, fmt.Errorf("apikey: record: %w", err)
	}
	if err := r.validate(); err != nil {
		return Record{}, fmt.Errorf("apikey: record: %w", err)
	}
	return r, nil
}

// Clone returns a copy of r that shares nothing with it.
func (r Record) Clone() Record {
	r.Scopes, r.Roles, r.Models = slices.Clone(r.Scopes), slices.Clone(r.Roles), slices.Clone(r.Models)
	r.UsedScopes = slices.Clone(r.UsedScopes)
	r.Addresses, r.Labels = slices.Clone(r.Addresses), maps.Clone(r.Labels)
	return r
}

// LogValue implements [slog.LogValuer]: what names the key and its state, without hash and labels.
func (r Record) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("key_id", r.ID), slog.String("client_id", r.ClientID)}
	if r.Tenant != "" {
		attrs = append(attrs, slog.String("tenant", r.Tenant))
	}
	for _, t := range [...]struct {
		k string
		t time.Time
	}{{"not_before", r.NotBefore}, {"expires_at", r.ExpiresAt}, {"disabled_at", r.DisabledAt}, {"revoked_at", r.RevokedAt}} {
		if !t.t.IsZero() {
			attrs = append(attrs, slog.Time(t.k, t.t))
		}
	}
	return slog.GroupValue(attrs...)
}

// latest is the last time whose nanoseconds since 1970 fit in 64 bits, rounded down.
var latest = time.Date(2262, 1, 1, 0, 0, 0, 0, time.UTC)

// validate reports everything that is wrong with r. A record that does not pass never becomes a key.
func (r *Record) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !validID(r.ID) {
		bad("id %.40q is not 12 characters of base 62", r.ID)
	}
	if r.Head != "" && (!validHead(r.Head) || r.Foreign != "") {
		bad("head %.40q is not a prefix and an env of lower-case letters and digits, or is that of a foreign key", r.Head)
	}
	if r.Hash == (Digest{}) {
		bad("hash is missing")
	}
	if r.ClientID == "" || len(r.ClientID) > 256 || unclean(r.ClientID) {
		bad("client id %.40q is empty, longer than 256 bytes or has control characters", r.ClientID)
	}
	for _, v := range [...]struct{ name, value string }{{"tenant", r.Tenant}, {"plan", r.Plan}, {"reason", r.DisabledReason}} {
		if len(v.value) > 256 || unclean(v.value) {
			bad("%s %.40q is longer than 256 bytes or has control characters", v.name, v.value)
		}
	}
	for _, s := range [...]string{r.Predecessor, r.Successor} {
		if s != "" && !validID(s) {
			bad("predecessor or successor %.40q is not 12 characters of base 62", s)
		}
	}
	if r.Foreign != "" && !validName(r.Foreign) {
		bad("foreign format %.40q is not 1 to 32 lower-case letters, digits and hyphens", r.Foreign)
	}
	for _, s := range r.Scopes {
		if !auth.ValidScope(s) || len(s) > maxString {
			bad("scope %.40q is not a scope-token (RFC 6749 section 3.3) of at most %d bytes", s, maxString)
		}
	}
	for _, s := range slices.Concat(r.Roles, r.Models) {
		if s == "" || len(s) > 256 || unclean(s) {
			bad("role or model %.40q is empty, longer than 256 bytes or has control characters", s)
		}
	}
	for _, p := range r.Addresses {
		if !p.IsValid() {
			bad("addresses hold an invalid prefix")
		}
	}
	for _, t := range [...]struct {
		name string
		t    time.Time
	}{{"not before", r.NotBefore}, {"expiry", r.ExpiresAt}} { // those a check computes with
		if !t.t.IsZero() && (t.t.Year() < 1970 || t.t.After(latest)) {
			bad("%s %v is not between 1970 and 2262", t.name, t.t)
		}
	}
	if !r.ExpiresAt.IsZero() && !r.NotBefore.Before(r.ExpiresAt) {
		bad("expiry %v is not after not-before %v", r.ExpiresAt, r.NotBefore)
	}
	if len(r.Labels) > 64 {
		bad("%d labels are more than 64", len(r.Labels))
	}
	for k, v := range r.Labels {
		if k == "" || len(k) > 64 || unclean(k) || len(v) > 512 || !utf8.ValidString(v) {
			bad("label %.40q is empty, longer than 64 bytes (its text: 512), not UTF-8 or has control characters", k)
		}
	}
	return errors.Join(errs...)
}

// storable is validate for a record that is to be written: it also must come back from its JSON. A store that took what it
// cannot read would be one that nobody can load.
func (r *Record) storable() error {
	if err := r.validate(); err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(r.Labels))
	for i, a := range names {
		for _, b := range names[:i] {
			if strings.EqualFold(a, b) {
				return fmt.Errorf("labels %.40q and %.40q differ only by case", b, a)
			}
		}
	}
	text, err := json.Marshal(r)
	if err != nil {
		return errors.New("it cannot be written as JSON") // the error may quote the record
	}
	if _, err := ParseRecord(text); err != nil {
		return fmt.Errorf("it could not be read back: %w", err)
	}
	return nil
}

// unclean reports whether s has control characters or is not UTF-8: in a log it would be two lines, in a file another name.
func unclean(s string) bool {
	for i := range len(s) {
		if s[i] < ' ' || s[i] == 0x7f {
			return true
		}
	}
	return !utf8.ValidString(s)
}

package cli

import (
	"cmp"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/internal/terminal"
)

// view is a record as -json shows it: without the hash, which is nobody's business.
type view struct {
	ID             string            `json:"id"`
	Head           string            `json:"head,omitempty"`
	ClientID       string            `json:"client_id"`
	State          string            `json:"state"`
	Tenant         string            `json:"tenant,omitempty"`
	Plan           string            `json:"plan,omitempty"`
	Scopes         []string          `json:"scopes,omitempty"`
	Roles          []string          `json:"roles,omitempty"`
	Models         []string          `json:"models,omitzero"`
	Addresses      []netip.Prefix    `json:"addresses,omitzero"`
	Labels         map[string]string `json:"labels,omitempty"`
	CreatedAt      time.Time         `json:"created_at"`
	NotBefore      time.Time         `json:"not_before,omitzero"`
	ExpiresAt      time.Time         `json:"expires_at,omitzero"`
	DisabledAt     time.Time         `json:"disabled_at,omitzero"`
	DisabledReason string            `json:"disabled_reason,omitempty"`
	RevokedAt      time.Time         `json:"revoked_at,omitzero"`
	Predecessor    string            `json:"predecessor,omitempty"`
	Successor      string            `json:"successor,omitempty"`
	Format         string            `json:"format,omitempty"`
	LastUsedAt     time.Time         `json:"last_used_at,omitzero"`
	UsedScopes     []string          `json:"used_scopes,omitempty"`
}

func viewOf(r apikey.Record, now time.Time) view {
	return view{
		ID: r.ID, Head: r.Head, ClientID: r.ClientID, State: state(r, now), Tenant: r.Tenant, Plan: r.Plan, Scopes: r.Scopes, Roles: r.Roles, Models: r.Models,
		Addresses: r.Addresses, Labels: r.Labels, CreatedAt: r.CreatedAt, NotBefore: r.NotBefore, ExpiresAt: r.ExpiresAt, DisabledAt: r.DisabledAt,
		DisabledReason: r.DisabledReason, RevokedAt: r.RevokedAt, Predecessor: r.Predecessor, Successor: r.Successor, Format: r.Foreign,
		LastUsedAt: r.LastUsedAt, UsedScopes: r.UsedScopes,
	}
}

// state is a word for what the server says about the key at the time now.
func state(r apikey.Record, now time.Time) string {
	switch {
	case !r.RevokedAt.IsZero():
		return "revoked"
	case !r.ExpiresAt.IsZero() && !r.ExpiresAt.After(now):
		return "expired"
	case !r.DisabledAt.IsZero():
		return "disabled"
	case r.NotBefore.After(now):
		return "not yet"
	case r.Successor != "":
		return "overlap" // it was rotated, and works until it expires
	}
	return "active"
}

func (c *call) print(r apikey.Record) error {
	if c.json {
		return c.printJSON(viewOf(r, c.now))
	}
	return c.printRecord(r)
}

func (c *call) printRecord(r apikey.Record) error {
	rows := [][]string{{"id", r.ID}}
	add := func(name, value string) {
		if value != "" {
			rows = append(rows, []string{name, value})
		}
	}
	add("key", begins(r))
	add("client", r.ClientID)
	add("state", state(r, c.now))
	add("tenant", r.Tenant)
	add("plan", r.Plan)
	add("scopes", strings.Join(r.Scopes, " "))
	add("roles", strings.Join(r.Roles, " "))
	if r.Models != nil {
		rows = append(rows, []string{"models", orNone(strings.Join(r.Models, " "))})
	}
	if r.Addresses != nil {
		var all []string
		for _, p := range r.Addresses {
			all = append(all, p.String())
		}
		rows = append(rows, []string{"addresses", orNone(strings.Join(all, " "))})
	}
	for _, t := range [...]struct {
		name string
		t    time.Time
	}{{"created", r.CreatedAt}, {"not before", r.NotBefore}, {"expires", r.ExpiresAt}, {"disabled", r.DisabledAt}} {
		if !t.t.IsZero() {
			add(t.name, when(t.t))
		}
	}
	add("reason", r.DisabledReason)
	if !r.RevokedAt.IsZero() {
		add("revoked", when(r.RevokedAt))
	}
	add("predecessor", r.Predecessor)
	add("successor", r.Successor)
	add("format", r.Foreign)
	if !r.LastUsedAt.IsZero() {
		add("last used", when(r.LastUsedAt))
	}
	add("used scopes", strings.Join(r.UsedScopes, " "))
	for _, name := range slices.Sorted(maps.Keys(r.Labels)) {
		add("label "+name, r.Labels[name])
	}
	return terminal.Table(c.cfg.Stdout, rows)
}

func orNone(s string) string {
	if s == "" {
		return "(none)"
	}
	return s
}

// begins is how the key begins, as people find it in logs and leaks; an imported one has only its id to be called by.
func begins(r apikey.Record) string {
	if r.Head == "" {
		return ""
	}
	return r.Head + "_" + r.ID
}

func (c *call) printList(all []apikey.Record) error {
	if c.json {
		views := make([]view, 0, len(all))
		for _, r := range all {
			views = append(views, viewOf(r, c.now))
		}
		return c.printJSON(views)
	}
	rows := [][]string{{"KEY", "CLIENT", "STATE", "CREATED", "EXPIRES", "LAST USED", "SCOPES"}}
	for _, r := range all {
		rows = append(rows, []string{cmp.Or(begins(r), r.ID), r.ClientID, state(r, c.now), when(r.CreatedAt), when(r.ExpiresAt), when(r.LastUsedAt), strings.Join(r.Scopes, " ")})
	}
	return terminal.Table(c.cfg.Stdout, rows)
}

// when prints a time to the minute, in UTC.
func when(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04Z")
}

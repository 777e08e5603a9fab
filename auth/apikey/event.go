package apikey

import (
	"context"
	"log/slog"
	"time"
)

// EventKind names a step in the life of a key.
type EventKind string

// The steps.
const (
	EventCreated  EventKind = "created"
	EventImported EventKind = "imported"
	EventRotated  EventKind = "rotated" // KeyID is the old key, Successor the new one, Until the end of the overlap
	EventRevoked  EventKind = "revoked"
	EventDisabled EventKind = "disabled"
	EventEnabled  EventKind = "enabled"
	EventExpired  EventKind = "expired" // a sweep found that the key has ended; it was refused from its very end on
	EventDormant  EventKind = "dormant" // a sweep disabled the key because nobody used it
)

// Event is one step in the life of a key. It holds no secret and no hash.
type Event struct {
	Kind EventKind
	// Time is when the step was made, by the clock of this process.
	Time time.Time
	// KeyID, ClientID and Tenant name the key and whose it is.
	KeyID, ClientID, Tenant string
	// Predecessor and Successor are the neighbours of a key that was rotated; empty for none.
	Predecessor, Successor string
	// Until is when the old key of a rotation ends; zero for other steps.
	Until time.Time
	// Reason is why a key was disabled; empty for other steps.
	Reason string
}

// LogValue implements [slog.LogValuer].
func (e Event) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("kind", string(e.Kind)), slog.String("key_id", e.KeyID), slog.String("client_id", e.ClientID)}
	for _, a := range [...]struct{ k, v string }{
		{"tenant", e.Tenant}, {"predecessor", e.Predecessor}, {"successor", e.Successor}, {"reason", e.Reason},
	} {
		if a.v != "" {
			attrs = append(attrs, slog.String(a.k, a.v))
		}
	}
	if !e.Until.IsZero() {
		attrs = append(attrs, slog.Time("until", e.Until))
	}
	return slog.GroupValue(attrs...)
}

func (m *Manager) tell(ctx context.Context, kind EventKind, now time.Time, r *Record) {
	if m.cfg.OnEvent == nil {
		return
	}
	e := Event{
		Kind: kind, Time: now, KeyID: r.ID, ClientID: r.ClientID, Tenant: r.Tenant, Predecessor: r.Predecessor, Successor: r.Successor,
	}
	switch kind {
	case EventRotated:
		if e.Until = r.ExpiresAt; !r.RevokedAt.IsZero() {
			e.Until = r.RevokedAt
		}
	case EventDisabled, EventDormant:
		e.Reason = r.DisabledReason
	}
	m.cfg.OnEvent(ctx, e)
}

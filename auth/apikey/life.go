package apikey

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Policy bounds the life of keys. It is applied when a key is created, imported or rotated; keys that exist are not touched by
// a stricter one, but a review of the list shows them.
type Policy struct {
	// RequireExpiry refuses keys that do not end.
	RequireExpiry bool
	// MaxLifetime is the longest time from the making of a key to its end; it implies RequireExpiry. Zero means no bound.
	MaxLifetime time.Duration
	// MaxOverlap is the longest time for which a rotated key works beside its successor. Zero means 24 hours.
	MaxOverlap time.Duration
	// MaxKeysPerClient is how many keys that are neither revoked nor expired one ClientID may have when another is created or
	// imported; a rotation replaces one and is not counted. Processes that create at the same moment may exceed it by one each.
	// Zero means no bound.
	MaxKeysPerClient int
	// DormantAfter is how long a key may go unused before [Manager.Sweep] disables it. The time runs from the latest of the last
	// use, the making of the key, its NotBefore, its last Enable, and the moment from which the store has uses on record. It needs
	// a [UsageStore]. Zero means for ever; less than an hour is refused, since uses arrive late.
	DormantAfter time.Duration
}

func (p *Policy) faults(cfg Config) (errs []error) {
	for _, d := range [...]struct {
		name string
		d    time.Duration
	}{{"MaxLifetime", p.MaxLifetime}, {"MaxOverlap", p.MaxOverlap}, {"DormantAfter", p.DormantAfter}} {
		if d.d < 0 {
			errs = append(errs, fmt.Errorf("apikey: Config.Policy.%s %v is negative", d.name, d.d))
		}
	}
	if p.MaxKeysPerClient < 0 {
		errs = append(errs, fmt.Errorf("apikey: Config.Policy.MaxKeysPerClient %d is negative", p.MaxKeysPerClient))
	}
	if p.DormantAfter <= 0 {
		return errs
	}
	// Each of these would disable keys that are in use.
	if p.DormantAfter < time.Hour || p.DormantAfter < 2*cfg.UsageInterval {
		errs = append(errs, fmt.Errorf("apikey: Config.Policy.DormantAfter %v is less than an hour or than twice UsageInterval %v", p.DormantAfter, cfg.UsageInterval))
	}
	if _, ok := cfg.Store.(UsageStore); !ok && cfg.Store != nil {
		errs = append(errs, fmt.Errorf("apikey: Config.Policy.DormantAfter needs a store that keeps uses, %T is no UsageStore", cfg.Store))
	}
	if cfg.UsageInterval < 0 {
		errs = append(errs, errors.New("apikey: Config.Policy.DormantAfter needs uses, and Config.UsageInterval is negative"))
	}
	return errs
}

// life checks a key that begins its life now against the policy.
func (p *Policy) life(expires, now time.Time) error {
	switch {
	case expires.IsZero() && (p.RequireExpiry || p.MaxLifetime > 0):
		return fmt.Errorf("%w: a key must have an expiry", ErrPolicy)
	case p.MaxLifetime > 0 && expires.Sub(now) > p.MaxLifetime:
		return fmt.Errorf("%w: expiry %v is more than %v from now", ErrPolicy, expires.UTC(), p.MaxLifetime)
	}
	return nil
}

// instant is the time now as a store keeps it: to the microsecond, which databases have, without a monotonic reading.
func instant() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

func (s *Spec) record(now time.Time) Record {
	return Record{
		ClientID: s.ClientID, Tenant: s.Tenant, Plan: s.Plan, Scopes: s.Scopes, Roles: s.Roles, Models: s.Models, Addresses: s.Addresses,
		NotBefore: s.NotBefore, ExpiresAt: s.ExpiresAt, Labels: s.Labels, CreatedAt: now,
	}
}

// Create makes a key for spec, stores its record and returns the key. The key works when Create has returned, and cannot be
// shown again. A spec that is not valid, or whose ExpiresAt has passed, is [ErrSpec]; one that the [Policy] forbids is
// [ErrPolicy].
func (m *Manager) Create(ctx context.Context, spec Spec) (Secret, Record, error) {
	if m == nil || m.loading == nil {
		return Secret{}, Record{}, errNotMade
	}
	now := instant()
	leave, err := m.admit(ctx, &spec, now)
	if err != nil {
		return Secret{}, Record{}, err
	}
	defer leave()
	secret, rec, err := m.make(ctx, spec.record(now))
	leave() // before anybody is told, who may want to create a key
	if err != nil {
		return Secret{}, Record{}, err
	}
	m.tell(ctx, EventCreated, now, &rec)
	return secret, rec, nil
}

// admit checks a spec against the policy. The caller holds on to the place among the client's keys until it calls
// leave, which may be called again.
func (m *Manager) admit(ctx context.Context, spec *Spec, now time.Time) (leave func(), err error) {
	if !spec.ExpiresAt.IsZero() && !spec.ExpiresAt.After(time.Now()) { // now is rounded down
		// Nobody wants a key that never works: a wrong unit or zone, better heard of here than from its first user.
		return nil, fmt.Errorf("%w: expiry %v has passed", ErrSpec, spec.ExpiresAt)
	}
	if err := m.cfg.Policy.life(spec.ExpiresAt, now); err != nil {
		return nil, err
	}
	limit := m.cfg.Policy.MaxKeysPerClient
	if limit == 0 {
		return func() {}, nil
	}
	if err := take(ctx, m.creating); err != nil {
		return nil, fmt.Errorf("apikey: waiting for the making of another key: %w", err)
	}
	leave = sync.OnceFunc(func() { m.creating <- struct{}{} })
	if err := m.load(ctx); err != nil { // what others have created counts too
		leave()
		return nil, err
	}
	n := 0
	m.keys.Load().all(func(e *entry) {
		if e.detail.principal.ClientID == spec.ClientID && e.state.Load()&revoked == 0 && (e.expires == 0 || e.expires > now.UnixNano()) {
			n++
		}
	})
	if n >= limit {
		leave()
		return nil, fmt.Errorf("%w: the client has %d keys, and %d are allowed", ErrPolicy, n, limit)
	}
	return leave, nil
}

// make draws a key for a record that lacks id, head and hash, and stores and publishes it.
func (m *Manager) make(ctx context.Context, rec Record) (Secret, Record, error) {
	rec.Head = m.format.name()
	for range 4 {
		var key string
		key, rec.ID = m.format.generate()
		rec.Hash = m.format.digest(key)
		if err := rec.storable(); err != nil {
			return Secret{}, Record{}, fmt.Errorf("%w: %w", ErrSpec, err)
		}
		stored, err := m.cfg.Store.Put(ctx, rec)
		if errors.Is(err, ErrConflict) {
			continue // the id is taken: once in 2^71, or a store that is out of order
		}
		if err != nil {
			return Secret{}, Record{}, fmt.Errorf("apikey: storing a new key: %w", err)
		}
		m.publish(&stored)
		return newSecret(key), stored, nil
	}
	return Secret{}, Record{}, fmt.Errorf("apikey: storing a new key: %w", ErrConflict)
}

// errNoChange is returned by a change that finds nothing to do.
var errNoChange = errors.New("apikey: nothing to change")

// update changes one record, again and again while others change it at the same time, and publishes it.
func (m *Manager) update(ctx context.Context, keyID, verb string, change func(*Record) error) (Record, error) {
	if !validID(keyID) {
		return Record{}, ErrNotFound
	}
	for range 16 {
		rec, err := m.cfg.Store.Get(ctx, keyID)
		if errors.Is(err, ErrNotFound) {
			return Record{}, err
		}
		if err != nil {
			return Record{}, fmt.Errorf("apikey: %s %s: %w", verb, keyID, err)
		}
		if err := change(&rec); err != nil {
			return rec, err
		}
		rec, err = m.cfg.Store.Put(ctx, rec)
		if errors.Is(err, ErrConflict) {
			continue
		}
		if err != nil {
			return Record{}, fmt.Errorf("apikey: %s %s: %w", verb, keyID, err)
		}
		m.publish(&rec)
		return rec, nil
	}
	return Record{}, fmt.Errorf("apikey: %s %s: %w", verb, keyID, ErrConflict)
}

// Rotation says how a key is replaced.
type Rotation struct {
	// Overlap is how long the old key works beside the new one, at most [Policy.MaxOverlap], and never longer than it would have
	// anyway. Zero revokes it at once, for good: the answer to a leak.
	Overlap time.Duration
	// ExpiresAt is when the new key ends. Zero means as long after now as the old key was made to live, and never if that did
	// not end; where the policy has a MaxLifetime, no longer than that.
	ExpiresAt time.Time
}

// Rotate makes a successor to a key, with the same client, tenant, plan, scopes, roles, models, addresses and labels, and ends the
// old key after the overlap. Limits and budgets hang on the client and go on. The records name each other. The new key works
// when Rotate has returned; the old one is refused from the end of the overlap on, or, without overlap, from the return.
//
// A key that is revoked, disabled, expired, not yet valid or has a successor already is [ErrState]: rotate the successor. So is one with
// the [Record.Head] of another Manager, whose callers this one could not serve. If Rotate fails
// between its two writes, the new key is revoked again; nobody has seen it. A second write that the store reports as failed and
// has made all the same, as when a connection is lost during the commit, is a success.
func (m *Manager) Rotate(ctx context.Context, keyID string, rotation Rotation) (Secret, Record, error) {
	if m == nil || m.loading == nil {
		return Secret{}, Record{}, errNotMade
	}
	if rotation.Overlap < 0 || rotation.Overlap > m.cfg.Policy.MaxOverlap {
		return Secret{}, Record{}, fmt.Errorf("%w: an overlap of %v is not between 0 and %v", ErrPolicy, rotation.Overlap, m.cfg.Policy.MaxOverlap)
	}
	if !validID(keyID) {
		return Secret{}, Record{}, ErrNotFound
	}
	now := instant()
	old, err := m.cfg.Store.Get(ctx, keyID)
	if err != nil {
		if errors.Is(err, ErrNotFound) {
			return Secret{}, Record{}, err
		}
		return Secret{}, Record{}, fmt.Errorf("apikey: rotating %s: %w", keyID, err)
	}
	if err := m.rotatable(&old, now); err != nil {
		return Secret{}, Record{}, err
	}
	heir := old.Clone()
	heir.CreatedAt, heir.Predecessor, heir.Foreign, heir.Version = now, keyID, "", 0
	heir.EnabledAt = time.Time{}
	heir.ExpiresAt = rotation.ExpiresAt
	if heir.ExpiresAt.IsZero() && !old.ExpiresAt.IsZero() {
		heir.ExpiresAt = now.Add(old.ExpiresAt.Sub(old.CreatedAt))
	}
	if limit := m.cfg.Policy.MaxLifetime; limit > 0 && rotation.ExpiresAt.IsZero() && (heir.ExpiresAt.IsZero() || heir.ExpiresAt.Sub(now) > limit) {
		heir.ExpiresAt = now.Add(limit)
	}
	if !heir.ExpiresAt.IsZero() && !heir.ExpiresAt.After(now) {
		return Secret{}, Record{}, fmt.Errorf("%w: expiry %v has passed", ErrSpec, heir.ExpiresAt)
	}
	if err := m.cfg.Policy.life(heir.ExpiresAt, now); err != nil {
		return Secret{}, Record{}, err
	}
	secret, heir, err := m.make(ctx, heir) // first, so that no moment is without a key
	if err != nil {
		return Secret{}, Record{}, err
	}
	m.tell(ctx, EventCreated, now, &heir)
	old, err = m.update(ctx, keyID, "rotating", func(r *Record) error {
		if err := m.rotatable(r, now); err != nil {
			return err // somebody else was faster
		}
		r.Successor = heir.ID
		if rotation.Overlap == 0 {
			r.RevokedAt = now
		} else if end := now.Add(rotation.Overlap); r.ExpiresAt.IsZero() || r.ExpiresAt.After(end) {
			r.ExpiresAt = end
		}
		return nil
	})
	if err != nil {
		undo, cancel := context.WithTimeout(context.WithoutCancel(ctx), m.cfg.LoadTimeout)
		defer cancel()
		// The store may have written and not been able to say so. Then the old key ends and has a successor: it must be the one we give out.
		stored, unknown := m.cfg.Store.Get(undo, keyID)
		if unknown != nil || stored.Successor != heir.ID {
			return Secret{}, Record{}, errors.Join(err, m.Revoke(undo, heir.ID))
		}
		old = stored
		m.publish(&old)
	}
	if rotation.Overlap == 0 {
		var k id
		copy(k[:], keyID)
		m.bury(k, now, true)
	}
	m.tell(ctx, EventRotated, now, &old)
	if rotation.Overlap == 0 {
		m.tell(ctx, EventRevoked, now, &old)
	}
	return secret, heir, nil
}

// rotatable reports why r cannot be rotated at the time now.
func (m *Manager) rotatable(r *Record, now time.Time) error {
	switch {
	case r.Head != "" && r.Head != m.format.name():
		return fmt.Errorf("%w: %s is a key of %s, not %s", ErrState, r.ID, r.Head, m.format.name())
	case !r.RevokedAt.IsZero() || m.dead(r.ID):
		return fmt.Errorf("%w: %s is revoked", ErrState, r.ID)
	case !r.DisabledAt.IsZero():
		return fmt.Errorf("%w: %s is disabled", ErrState, r.ID)
	case !r.ExpiresAt.IsZero() && !r.ExpiresAt.After(now):
		return fmt.Errorf("%w: %s has expired", ErrState, r.ID)
	case r.NotBefore.After(now):
		return fmt.Errorf("%w: %s has not begun", ErrState, r.ID)
	case r.Successor != "":
		return fmt.Errorf("%w: %s was rotated to %s", ErrState, r.ID, r.Successor)
	}
	return nil
}

// Revoke withdraws the key with this public id for good. In this process it takes effect before the store is asked: when
// Revoke has returned, even with an error of the store, no check that begins later accepts the key. An error then means that
// other processes, and this one after a restart, may still accept it: call Revoke again. Revoking a revoked key does nothing.
// An id that neither memory nor store knows is [ErrNotFound]. A record that cannot be read is replaced by one that is revoked,
// where the store is a [Salvager].
func (m *Manager) Revoke(ctx context.Context, keyID string) error {
	if m == nil || m.loading == nil {
		return errNotMade
	}
	if !validID(keyID) {
		return ErrNotFound
	}
	now := instant()
	var k id
	copy(k[:], keyID)
	known := m.bury(k, now, false)
	rec, err := m.update(ctx, keyID, "revoking", func(r *Record) error {
		known = m.bury(k, now, true)
		if !r.RevokedAt.IsZero() {
			return errNoChange
		}
		r.RevokedAt = now
		return nil
	})
	if err != nil && !errors.Is(err, ErrNotFound) {
		// The store may have the key although nobody could say so: a key that another process made a moment ago.
		m.bury(k, now, true)
	}
	if s, ok := m.cfg.Store.(Salvager); ok && errors.Is(err, ErrUnreadable) {
		if rec, err = s.RevokeUnreadable(ctx, keyID); err != nil {
			return fmt.Errorf("apikey: revoking %s: %w", keyID, err)
		}
		m.publish(&rec)
	}
	switch {
	case errors.Is(err, errNoChange):
		return nil
	case errors.Is(err, ErrNotFound) && known:
		return fmt.Errorf("apikey: revoking %s: %w", keyID, err)
	case err != nil:
		return err
	}
	m.tell(ctx, EventRevoked, now, &rec)
	return nil
}

// Disable makes a key stop working until [Manager.Enable], and notes why, in at most 256 bytes. When it has returned nil, no
// check in this process that begins later accepts the key. Disabling a disabled key does nothing; a revoked one is [ErrState].
func (m *Manager) Disable(ctx context.Context, keyID, reason string) error {
	if m == nil || m.loading == nil {
		return errNotMade
	}
	_, err := m.disable(ctx, EventDisabled, keyID, reason, nil)
	return err
}

// disable also does nothing when unless says so of the record that is stored.
func (m *Manager) disable(ctx context.Context, kind EventKind, keyID, reason string, unless func(*Record) bool) (done bool, err error) {
	now := instant()
	rec, err := m.update(ctx, keyID, "disabling", func(r *Record) error {
		switch {
		case !r.RevokedAt.IsZero() || m.dead(keyID):
			return fmt.Errorf("%w: %s is revoked", ErrState, keyID)
		case !r.DisabledAt.IsZero() || unless != nil && unless(r):
			return errNoChange
		}
		r.DisabledAt, r.DisabledReason = now, reason
		return nil
	})
	switch {
	case errors.Is(err, errNoChange):
		return false, nil
	case err != nil:
		return false, err
	}
	m.tell(ctx, kind, now, &rec)
	return true, nil
}

// Enable makes a disabled key work again, in this process from its return on. Enabling a key that works does nothing; one that is
// revoked or expired is [ErrState].
func (m *Manager) Enable(ctx context.Context, keyID string) error {
	if m == nil || m.loading == nil {
		return errNotMade
	}
	now := instant()
	rec, err := m.update(ctx, keyID, "enabling", func(r *Record) error {
		switch {
		case !r.RevokedAt.IsZero() || m.dead(keyID):
			return fmt.Errorf("%w: %s is revoked", ErrState, keyID)
		case !r.ExpiresAt.IsZero() && !r.ExpiresAt.After(now):
			return fmt.Errorf("%w: %s has expired", ErrState, keyID)
		case r.DisabledAt.IsZero():
			return errNoChange
		}
		r.DisabledAt, r.DisabledReason, r.EnabledAt = time.Time{}, "", now
		return nil
	})
	if errors.Is(err, errNoChange) {
		return nil
	}
	if err == nil {
		m.tell(ctx, EventEnabled, now, &rec)
	}
	return err
}

// dead reports whether the key is dead in this process, whatever the store says.
func (m *Manager) dead(keyID string) bool {
	var k id
	copy(k[:], keyID)
	m.mu.Lock()
	defer m.mu.Unlock()
	_, dead := m.tombstones[k]
	return dead
}

// Get returns the record of one key with its uses, or [ErrNotFound]. If only the uses cannot be read, it returns the record without
// them, and [ErrUsesUnknown].
func (m *Manager) Get(ctx context.Context, keyID string) (Record, error) {
	if m == nil || m.loading == nil {
		return Record{}, errNotMade
	}
	if !validID(keyID) {
		return Record{}, ErrNotFound
	}
	r, err := m.cfg.Store.Get(ctx, keyID)
	if errors.Is(err, ErrNotFound) {
		return Record{}, err
	}
	if err != nil {
		return Record{}, fmt.Errorf("apikey: reading %s: %w", keyID, err)
	}
	u, err := m.usageOf(ctx, keyID)
	return m.complete(r, u), err
}

// List returns all records of the store with their uses, oldest first. Keys revoked in this process are marked even if the
// store does not know yet. If only the uses cannot be read, it returns the records without them, and [ErrUsesUnknown].
func (m *Manager) List(ctx context.Context) ([]Record, error) {
	out, _, err := m.list(ctx)
	return out, err
}

// list also returns the moment from which uses are on record, zero for never or unknown.
func (m *Manager) list(ctx context.Context) ([]Record, time.Time, error) {
	if m == nil || m.loading == nil {
		return nil, time.Time{}, errNotMade
	}
	b, err := m.cfg.Store.Load(ctx, "")
	if err != nil {
		return nil, time.Time{}, fmt.Errorf("apikey: listing keys: %w", err)
	}
	since, uses, err := m.usage(ctx)
	out := make([]Record, 0, len(b.Records))
	for _, r := range b.Records {
		out = append(out, m.complete(r, uses[r.ID]))
	}
	slices.SortFunc(out, func(a, b Record) int {
		if c := a.CreatedAt.Compare(b.CreatedAt); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out, since, err
}

// complete returns a copy of r with its uses, and with a revocation that only this process knows.
func (m *Manager) complete(r Record, u Usage) Record {
	r = r.Clone()
	r.LastUsedAt, r.UsedScopes = u.LastUsedAt, u.Scopes
	var k id
	copy(k[:], r.ID)
	m.mu.Lock()
	defer m.mu.Unlock()
	if t, dead := m.tombstones[k]; dead && r.RevokedAt.IsZero() {
		r.RevokedAt = t
	}
	return r
}

// Swept says what a [Manager.Sweep] found, by key id.
type Swept struct {
	// Expired are the keys whose time was over; they are marked, so that the next sweep does not name them again.
	Expired []string
	// Dormant are the keys it disabled because nobody used them for [Policy.DormantAfter].
	Dormant []string
}

// Reasons of a key that a [Manager.Sweep] disabled.
const (
	ReasonExpired = "expired"
	ReasonDormant = "dormant"
)

// Sweep looks at all keys at the time now: it marks the ones whose time is over, also at the end of a rotation's overlap, as
// disabled, and disables the dormant ones. Each is an event. Run it now and then, daily say, in one process or several; checks do
// not depend on it. When some keys fail, or it is not known when keys were used, the others are still swept, and the errors are joined.
//
// If no key at all was used within [Policy.DormantAfter], none is disabled as dormant and the error is [ErrNoUses]: more likely than a
// service that nobody calls is one that records nothing.
func (m *Manager) Sweep(ctx context.Context, now time.Time) (Swept, error) {
	var done Swept
	if m == nil || m.loading == nil {
		return done, errNotMade
	}
	var errs []error
	dormantAfter := m.cfg.Policy.DormantAfter
	judged := dormantAfter > 0 // keys are, by their uses
	if judged {
		// From here on the store has uses on record, if it had not before: a key that nobody could be seen to use is not dormant.
		if err := m.cfg.Store.(UsageStore).AddUsage(ctx, nil); err != nil {
			judged, errs = false, append(errs, fmt.Errorf("apikey: sweeping: %w", err))
		}
	}
	records, since, err := m.list(ctx)
	if errors.Is(err, ErrUsesUnknown) {
		if judged {
			judged, errs = false, append(errs, err)
		}
	} else if err != nil {
		return done, errors.Join(append(errs, err)...)
	}
	blind := false // nobody records uses
	recorded := slices.ContainsFunc(records, func(r Record) bool { return now.Sub(r.LastUsedAt) < dormantAfter })
	for i := range records {
		r := &records[i]
		if !r.RevokedAt.IsZero() || !r.DisabledAt.IsZero() {
			continue
		}
		over := func(r *Record) bool { return !r.ExpiresAt.IsZero() && !r.ExpiresAt.After(now) }
		idle := func(r *Record) bool {
			if !judged || since.IsZero() {
				return false
			}
			last := since
			for _, t := range [...]time.Time{records[i].LastUsedAt, r.CreatedAt, r.NotBefore, r.EnabledAt} {
				if t.After(last) {
					last = t
				}
			}
			return now.Sub(last) >= dormantAfter
		}
		// The record that is stored may have changed since the list was read, so it is judged again.
		var marked bool
		var err error
		switch {
		case over(r):
			if marked, err = m.disable(ctx, EventExpired, r.ID, ReasonExpired, func(r *Record) bool { return !over(r) }); marked {
				done.Expired = append(done.Expired, r.ID)
			}
		case idle(r) && !recorded:
			blind = true
		case idle(r):
			if marked, err = m.disable(ctx, EventDormant, r.ID, ReasonDormant, func(r *Record) bool { return !idle(r) }); marked {
				done.Dormant = append(done.Dormant, r.ID)
			}
		}
		if err != nil && !errors.Is(err, ErrState) { // ErrState: it was revoked meanwhile
			errs = append(errs, err)
		}
	}
	if blind {
		errs = append(errs, ErrNoUses)
	}
	return done, errors.Join(errs...)
}

package apikey

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"time"
)

// Reload asks the store for changes now. When it returns nil, every record the store had when Reload began is in force. A
// batch that cannot be taken over whole changes nothing and is an error: a record that is not valid, an id that occurs twice,
// or no records at all where there were some. A record of an earlier version than the one in force, or than the one that was when the
// store lost it, is not taken over, and the Logger is told: after the store was restored from a backup, start the process anew. That
// ctx ends is no failure of the store.
func (m *Manager) Reload(ctx context.Context) error {
	if m == nil || m.loading == nil {
		return errNotMade
	}
	return m.load(ctx)
}

// Close stops polling, waits for a load under way, or for ctx, and writes the last uses to the store; if ctx has ended by then, it takes
// up to a second for them all the same. Checks go on with the keys in memory until they are stale; their uses are no longer written. It
// may be called more than once.
//
// A program that ends without it, by log.Fatal for one, loses the uses since the last write, those of [Config.UsageInterval] at most, and
// nothing else. Over a [MemoryStore] there is nothing to lose.
func (m *Manager) Close(ctx context.Context) error {
	if m == nil || m.loading == nil {
		return nil
	}
	m.halt()
	m.closeUses()
	err := take(ctx, m.loading)
	if err == nil {
		m.loading <- struct{}{} // whoever takes it now finds that the life of m has ended, and loads nothing
		<-m.done
	} else {
		err = fmt.Errorf("apikey: closing: %w", context.Cause(ctx))
	}
	return errors.Join(err, m.endUses(ctx))
}

func (m *Manager) poll(ctx context.Context) {
	defer close(m.done)
	t := time.NewTicker(m.cfg.PollInterval)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
			m.load(ctx) // reported to the logger by load itself
		}
	}
}

func (m *Manager) load(ctx context.Context) error {
	caller := ctx
	ctx, cancel := context.WithTimeout(ctx, m.cfg.LoadTimeout)
	defer cancel()
	err := take(ctx, m.loading)
	if err == nil {
		defer func() { m.loading <- struct{}{} }()
		err = ctx.Err()
	}
	if err != nil {
		m.again()
		return fmt.Errorf("apikey: loading keys: %w", err)
	}
	began := time.Since(m.base)
	err = m.refresh(ctx)
	if err != nil && caller.Err() != nil {
		// Whoever asked has gone, which says nothing about the store: the keys grow no older by it. What they wanted to know is asked
		// again without them.
		m.again()
		return err
	}
	m.report(ctx, began, err)
	return err
}

// first is the load of New, which needs no logger: whoever called New hears of an error, and nothing goes on without keys.
func (m *Manager) first() error {
	ctx, cancel := context.WithTimeout(m.life, m.cfg.LoadTimeout)
	defer cancel()
	began := time.Since(m.base)
	err := m.refresh(ctx)
	if err == nil {
		m.report(ctx, began, nil)
	}
	return err
}

// again has a load that failed tried once more where nothing polls: the keys would stay too old, or a change unseen, until somebody
// thinks of [Manager.Reload].
func (m *Manager) again() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cfg.PollInterval > 0 || m.life.Err() != nil || m.retry != nil {
		return
	}
	m.retry = time.AfterFunc(min(10*time.Second, m.cfg.MaxStale/10), func() {
		m.mu.Lock()
		m.retry = nil
		m.mu.Unlock()
		m.load(m.life)
	})
}

// halt ends polling and trying again.
func (m *Manager) halt() {
	m.stop()
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.retry != nil {
		m.retry.Stop()
	}
}

// refresh reads the store and swaps the snapshot. Only one runs at a time.
func (m *Manager) refresh(ctx context.Context) error {
	m.mu.Lock()
	since := m.version
	m.midLoad, m.written = true, nil
	m.mu.Unlock()
	defer func() {
		m.mu.Lock()
		m.midLoad, m.written = false, nil
		m.mu.Unlock()
	}()

	b, err := m.cfg.Store.Load(ctx, since)
	if err != nil {
		return fmt.Errorf("apikey: loading keys: %w", err)
	}
	if b.Unchanged && since != "" {
		return nil
	}
	keys := make(map[id]*entry, len(b.Records))
	slab := make([]entry, len(b.Records))
	var dead []id
	for i := range b.Records {
		r := &b.Records[i]
		if err := r.validate(); err != nil {
			return fmt.Errorf("apikey: loading keys: record %d of %d: %w", i+1, len(b.Records), err)
		}
		e := &slab[i]
		m.fill(e, r)
		if keys[e.detail.id] != nil {
			return fmt.Errorf("apikey: loading keys: id %s occurs twice", r.ID)
		}
		keys[e.detail.id] = e
		if !r.RevokedAt.IsZero() {
			dead = append(dead, e.detail.id)
		}
	}

	var behind []string
	defer func() { // without the lock: a handler of logs may take its time
		if len(behind) > 0 {
			m.logger().LogAttrs(ctx, slog.LevelError, "apikey: the store has earlier versions of keys than it had; the later ones are used until a restart",
				slog.Int("keys", len(behind)), slog.String("key_id", slices.Min(behind)))
		}
	}()
	m.mu.Lock()
	defer m.mu.Unlock()
	old := m.keys.Load()
	// Revocation is sticky: what was revoked here while the store was being read, or was seen revoked once, stays so.
	now := time.Now().UTC()
	for _, k := range dead {
		if _, ok := m.tombstones[k]; !ok {
			m.tombstones[k] = now
		}
		if e := old.known(k); e != nil {
			e.state.Or(revoked) // also where a partial batch brings no new version
		}
	}
	if b.Partial && since != "" {
		written := make([]*entry, 0, len(keys))
		for _, e := range keys {
			written = append(written, e)
		}
		m.swap(written)
		m.version = b.Version
		return nil
	}
	// What this process wrote while the store was being read may be missing from the batch.
	for _, e := range m.written {
		if have := keys[e.detail.id]; have == nil || have.detail.version < e.detail.version {
			keys[e.detail.id] = e
		}
	}
	if len(keys) == 0 && old.len() > 0 {
		// Keys are revoked, never removed one and all: a store that suddenly has none was truncated or mixed up.
		return errors.New("apikey: loading keys: the store is empty and was not before; the old keys are kept")
	}
	for k, e := range keys {
		// A store that was put back to an earlier state, or a replica that lags, must not undo what was seen: a key that was disabled
		// or is to end would work again.
		have := old.known(k)
		if have == nil {
			have = m.lost[k]
		}
		if have != nil && have.detail.version > e.detail.version {
			keys[k], e = have, have
			behind = append(behind, have.detail.principal.KeyID)
		} else if have != nil {
			e.judgedLike(have)
		}
		if _, ok := m.tombstones[k]; ok {
			e.state.Or(revoked)
		}
	}
	m.keepLost(old, keys)
	m.keys.Store(newSnapshot(keys))
	m.version = b.Version
	m.gatherAll(old) // a use that is being marked at this very moment may be missed
	return nil
}

// maxLost bounds the keys that are remembered after the store lost them. Beyond it arbitrary ones are forgotten.
const maxLost = 1 << 16

// keepLost remembers the keys of the old snapshot that are not among these, and forgets those that are back. A backup may come back row by
// row, and a disabled key must not come back alive. Keys that were never changed need not be remembered, nor those that are dead for
// good. The caller holds mu.
func (m *Manager) keepLost(old *snapshot, keys map[id]*entry) {
	maps.DeleteFunc(m.lost, func(k id, _ *entry) bool { return keys[k] != nil })
	old.all(func(e *entry) {
		k := e.detail.id
		if _, dead := m.tombstones[k]; dead || keys[k] != nil || e.detail.version <= 1 {
			return
		}
		if len(m.lost) >= maxLost {
			for any := range m.lost {
				delete(m.lost, any)
				break
			}
		}
		kept := new(entry) // not e itself, which would keep all its neighbours in memory
		e.copyTo(kept)
		m.lost[k] = kept
	})
}

// report moves the moment of staleness and tells the logger, once per change of the weather.
func (m *Manager) report(ctx context.Context, began time.Duration, err error) {
	m.mu.Lock()
	was := m.failure
	if err != nil {
		m.failure = err.Error()
		// Without polling nothing renews the keys, so they have no age; but a reload that failed says that they are old.
		if m.staleAt == never {
			m.age(m.lastLoad + m.cfg.MaxStale)
		}
	} else {
		m.failure, m.lastLoad = "", began
		m.stale.Store(false)
		if m.cfg.PollInterval > 0 {
			m.age(began + m.cfg.MaxStale)
		} else {
			m.age(never)
		}
	}
	now := m.failure
	m.mu.Unlock()
	if err != nil {
		m.again()
	}
	logger := m.logger()
	switch {
	case now != "" && now != was:
		logger.LogAttrs(ctx, slog.LevelError, "apikey: keys cannot be loaded; the last good ones are used until they are stale",
			slog.String("error", now), slog.Duration("max_stale", m.cfg.MaxStale))
	case now == "" && was != "":
		logger.LogAttrs(ctx, slog.LevelInfo, "apikey: keys can be loaded again")
	}
}

func (m *Manager) logger() *slog.Logger {
	if m.cfg.Logger == nil {
		return slog.Default() // as it is now: programs set it up after they have made their Manager
	}
	return m.cfg.Logger
}

// never is a staleAt that does not come.
const never = time.Duration(math.MaxInt64)

// age sets when the keys go stale. The timer, not the check, watches the clock; it is armed anew with every good load, so that
// a store that hangs is noticed like one that fails. The caller holds mu.
func (m *Manager) age(at time.Duration) {
	m.staleAt = at
	if m.timer != nil {
		m.timer.Stop()
	}
	if at == never {
		return
	}
	m.timer = time.AfterFunc(max(0, at-time.Since(m.base)), func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if time.Since(m.base) >= m.staleAt { // a timer that fired while a good load moved the moment says nothing
			m.stale.Store(true)
		}
	})
}

// publish puts a record that the store has taken in force.
func (m *Manager) publish(r *Record) {
	e := new(entry)
	m.fill(e, r)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.midLoad {
		m.written = append(m.written, e)
	}
	if e.detail.version == 1 {
		delete(m.lost, e.detail.id) // made here and now, it comes from no backup
	}
	m.swap([]*entry{e})
}

// swap puts the entries that are newer than those in force in their place. The caller holds mu.
func (m *Manager) swap(written []*entry) {
	old := m.keys.Load()
	newer := written[:0]
	for _, e := range written {
		if have := old.known(e.detail.id); have != nil {
			if have.detail.version >= e.detail.version {
				continue // a load was faster and knows more
			}
			m.gatherOne(have)
			e.judgedLike(have)
		} else if lost := m.lost[e.detail.id]; lost != nil {
			delete(m.lost, e.detail.id)
			if lost.detail.version >= e.detail.version {
				e = lost
			}
		}
		if _, dead := m.tombstones[e.detail.id]; dead {
			e.state.Or(revoked)
		}
		newer = append(newer, e)
	}
	if len(newer) == 0 {
		return
	}
	s := old.with(newer)
	m.keys.Store(s)
	if s.base != old.base { // the marks of the entries that were copied
		m.gatherAll(old)
	}
}

// bury makes the key dead in this process and reports whether it is known here. With force it does so for an unknown key
// too: one that the store has and memory will only learn of later.
func (m *Manager) bury(k id, now time.Time, force bool) (known bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.keys.Load().known(k)
	if e == nil && !force {
		return false
	}
	if _, ok := m.tombstones[k]; !ok {
		m.tombstones[k] = now
	}
	if e != nil {
		e.state.Or(revoked)
	}
	return true
}

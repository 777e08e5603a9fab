package apikey

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Usage is what is on record about the use of one key.
type Usage struct {
	// ID is the public id of the key.
	ID string `json:"id"`
	// LastUsedAt is the minute of the last use that was seen.
	LastUsedAt time.Time `json:"last_used_at"`
	// Scopes are those of the key that were asked for and held, sorted. See [auth.ScopeUse].
	Scopes []string `json:"scopes,omitempty"`
}

// UsageStore is a [Store] that keeps uses too, apart from the records: a use changes no Version and no Batch.
type UsageStore interface {
	Store
	// AddUsage adds to what is on record: of two times the later one stays, and scopes are united. The first call, also one
	// without uses, is the moment from which the store has uses on record.
	AddUsage(ctx context.Context, used []Usage) error
	// Usage returns all that is on record, in any order, and since when; a zero since means that nothing was ever added.
	Usage(ctx context.Context) (since time.Time, used []Usage, err error)
}

// UsageFinder is a [UsageStore] that finds the uses of one key without reading those of all others. [Manager.Get] asks it.
type UsageFinder interface {
	UsageStore
	// UsageOf returns what is on record about one key; a Usage without times and scopes if that is nothing.
	UsageOf(ctx context.Context, id string) (Usage, error)
}

// ledger is what is on record about all keys.
type ledger struct {
	since time.Time
	keys  map[string]Usage
}

func (l *ledger) add(now time.Time, used []Usage) {
	if l.keys == nil {
		l.keys = make(map[string]Usage, len(used))
	}
	if l.since.IsZero() {
		l.since = now.UTC().Truncate(time.Second)
	}
	for _, u := range used {
		l.keys[u.ID] = MergeUsage(l.keys[u.ID], u)
	}
}

func (l *ledger) list() (time.Time, []Usage) {
	out := slices.SortedFunc(maps.Values(l.keys), func(a, b Usage) int { return strings.Compare(a.ID, b.ID) })
	for i := range out {
		out[i].Scopes = slices.Clone(out[i].Scopes)
	}
	return l.since, out
}

// MergeUsage returns what is on record about a key after new was added to old, by the rules of [UsageStore]. It shares nothing
// with either. It is for implementations.
func MergeUsage(old, new Usage) Usage {
	if new.LastUsedAt.After(old.LastUsedAt) {
		old.LastUsedAt = new.LastUsedAt
	}
	old.ID = new.ID
	old.Scopes = slices.Concat(old.Scopes, new.Scopes)
	slices.Sort(old.Scopes)
	old.Scopes = slices.Compact(old.Scopes)
	return old
}

// uses is the way of uses from checks to the store. A check marks its key and, if nobody did, winds up a timer; when that fires,
// the marks are gathered and written. So a check reads no clock and waits for nothing, and an idle Manager does nothing.
type uses struct {
	armed    atomic.Bool
	flushing chan struct{} // holds one token; whoever has it may write to the store

	mu      sync.Mutex // never held while the store or the logger is asked: a check that winds up the timer may be waiting for it
	timer   *time.Timer
	closed  bool
	pending map[string]Usage // gathered, and not yet in the store
	writing map[string]Usage // on their way to the store
	failure string
}

// mark notes that a key was used.
func (m *Manager) mark(e *entry) {
	if e.state.Load()&used != 0 {
		return
	}
	e.state.Or(used)
	if m.cfg.UsageInterval > 0 && !m.uses.armed.Load() {
		m.arm()
	}
}

// arm winds up the timer.
func (m *Manager) arm() {
	u := &m.uses
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.closed || u.armed.Swap(true) {
		return
	}
	u.timer = time.AfterFunc(m.cfg.UsageInterval, func() {
		u.armed.Store(false) // before the marks are gathered: whoever marks later winds up the timer again
		ctx, cancel := context.WithTimeout(context.Background(), m.cfg.LoadTimeout)
		defer cancel()
		if m.flush(ctx) != nil {
			m.arm() // once more, later
		}
	})
}

// gather moves the marks of one key to the pending uses. It holds the lock for one key only: a check that winds up the timer may be
// waiting for it.
func (u *uses) gather(e *entry, now time.Time) {
	marked := e.state.Load()&used != 0 && e.state.And(^used)&used != 0
	// A scope is marked after its key and may have been too late for the last harvest.
	if scopes := e.detail.principal.ScopeUse.Take(); marked || scopes != nil {
		u.mu.Lock()
		defer u.mu.Unlock()
		keyID := e.detail.principal.KeyID
		u.pending[keyID] = MergeUsage(u.pending[keyID], Usage{ID: keyID, LastUsedAt: now, Scopes: scopes})
	}
}

// gatherOne moves the marks of a key that is being replaced to the pending uses.
func (m *Manager) gatherOne(e *entry) {
	if m.cfg.UsageInterval < 0 {
		return
	}
	m.uses.gather(e, time.Now().UTC().Truncate(time.Minute))
}

// gatherAll moves the marks of all keys of s to the pending uses.
func (m *Manager) gatherAll(s *snapshot) {
	if m.cfg.UsageInterval < 0 {
		return
	}
	now := time.Now().UTC().Truncate(time.Minute)
	s.all(func(e *entry) { m.uses.gather(e, now) })
}

// flush gathers the marks and writes them to the store. Where the store keeps none, or fails, they stay pending.
func (m *Manager) flush(ctx context.Context) error {
	u := &m.uses
	if err := take(ctx, u.flushing); err != nil {
		return fmt.Errorf("apikey: storing uses: %w", err)
	}
	news, err := m.write(ctx)
	u.flushing <- struct{}{}
	if news != "" { // now that nobody waits for us: a handler of logs may take its time
		m.logger().LogAttrs(ctx, slog.LevelWarn, "apikey: uses of keys cannot be stored; they are kept and tried again", slog.String("error", news))
	}
	return err
}

// write is flush for whoever has the token. It returns what the logger has not been told yet.
func (m *Manager) write(ctx context.Context) (news string, err error) {
	m.gatherAll(m.keys.Load())
	store, ok := m.cfg.Store.(UsageStore)
	if !ok {
		return "", nil
	}
	u := &m.uses
	u.mu.Lock()
	if len(u.pending) == 0 {
		u.mu.Unlock()
		return "", nil
	}
	gathered := slices.Collect(maps.Values(u.pending))
	u.writing, u.pending = u.pending, make(map[string]Usage)
	u.mu.Unlock()
	err = store.AddUsage(ctx, gathered)
	u.mu.Lock()
	defer u.mu.Unlock()
	u.writing = nil
	was := u.failure
	u.failure = ""
	if err == nil {
		return "", nil
	}
	if u.failure = err.Error(); u.failure != was && !u.closed { // else nothing is tried again, and Close says so
		news = u.failure
	}
	for _, x := range gathered {
		u.pending[x.ID] = MergeUsage(u.pending[x.ID], x)
	}
	return news, fmt.Errorf("apikey: storing uses: %w", err)
}

// unstored returns the uses of these keys, of all for none, that may not be in the store yet. Whoever then reads the store misses none.
func (u *uses) unstored(keyIDs ...string) map[string]Usage {
	u.mu.Lock()
	defer u.mu.Unlock()
	out := make(map[string]Usage)
	for _, from := range [...]map[string]Usage{u.writing, u.pending} {
		for id, x := range from {
			if len(keyIDs) == 0 || slices.Contains(keyIDs, id) {
				out[id] = MergeUsage(out[id], x)
			}
		}
	}
	return out
}

// usage returns all that is on record, here and in the store. It writes nothing, so that it waits for no writer.
func (m *Manager) usage(ctx context.Context) (since time.Time, all map[string]Usage, err error) {
	m.gatherAll(m.keys.Load())
	all = m.uses.unstored()
	store, ok := m.cfg.Store.(UsageStore)
	if !ok {
		return since, all, nil
	}
	since, stored, err := store.Usage(ctx)
	if err != nil {
		return time.Time{}, nil, fmt.Errorf("%w: %w", ErrUsesUnknown, err)
	}
	for _, u := range stored {
		all[u.ID] = MergeUsage(all[u.ID], u)
	}
	return since, all, nil
}

// usageOf is usage for one key.
func (m *Manager) usageOf(ctx context.Context, keyID string) (Usage, error) {
	store, ok := m.cfg.Store.(UsageFinder)
	if !ok {
		_, all, err := m.usage(ctx)
		return all[keyID], err
	}
	var k id
	copy(k[:], keyID)
	if e := m.keys.Load().known(k); e != nil {
		m.gatherOne(e)
	}
	here := m.uses.unstored(keyID)[keyID]
	stored, err := store.UsageOf(ctx, keyID)
	if err != nil {
		return Usage{}, fmt.Errorf("%w: %w", ErrUsesUnknown, err)
	}
	return MergeUsage(here, stored), nil
}

// closeUses ends the timer.
func (m *Manager) closeUses() {
	u := &m.uses
	u.mu.Lock()
	defer u.mu.Unlock()
	u.closed = true
	if u.timer != nil {
		u.timer.Stop()
	}
}

// endUses writes the last uses.
func (m *Manager) endUses(ctx context.Context) error {
	if ctx.Err() != nil {
		// They are worth a moment: a server that was long in shutting down comes here with a context that has ended.
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
	}
	return m.flush(ctx)
}

// take takes the token of a channel that holds one. One that is there is taken also when ctx has ended.
func take(ctx context.Context, tokens chan struct{}) error {
	select {
	case <-tokens:
		return nil
	default:
	}
	select {
	case <-tokens:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

package sqlstore

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mantlet-go/mantlet/auth/apikey"
)

// Dialect is the database's way of writing SQL.
type Dialect string

// The dialects. SQLite needs version 3.35 or later.
const (
	PostgreSQL Dialect = "postgresql"
	SQLite     Dialect = "sqlite"
)

// Config configures a [Store].
type Config struct {
	// DB is the database. Required. The Store does not close it.
	DB *sql.DB
	// Dialect is how it is spoken to. Required.
	Dialect Dialect
	// Table is the name of the table of keys, and the beginning of the names of the others: a lower-case letter, then up to 39
	// lower-case letters, digits and underscores. Empty means "mantlet_apikeys".
	Table string
	// Channel, for PostgreSQL only, is announced on with pg_notify when a key is written, with the key's public id as payload. A
	// program whose driver can LISTEN calls [apikey.Manager.Reload] then and need not wait for the next poll. The form is that
	// of Table. Empty means no announcements.
	Channel string
	// FullEvery is how often a Load that could bring only changes brings everything: what was changed behind the change sequence
	// is seen then. Zero means 10 minutes.
	FullEvery time.Duration
	// SkipMigrations makes New refuse a schema that is not up to date instead of changing it, for programs whose database role
	// may not. A keyctl with another role can: keyctl init.
	SkipMigrations bool
}

// Store is an [apikey.UsageStore] in a database. It is safe for concurrent use, and any number of processes may share the tables.
type Store struct {
	cfg Config
	sql struct {
		state, allKeys, changed, get, columns, next, insert, update, startUses, since, allUses, use, setUse string
	}
}

// New returns a Store over the tables, which it makes or brings up to date first. It reports everything that is wrong with cfg at once.
func New(ctx context.Context, cfg Config) (*Store, error) {
	var errs []error
	if cfg.DB == nil {
		errs = append(errs, errors.New("sqlstore: Config.DB is nil"))
	}
	if cfg.Dialect != PostgreSQL && cfg.Dialect != SQLite {
		errs = append(errs, fmt.Errorf("sqlstore: Config.Dialect %q is neither %q nor %q", cfg.Dialect, PostgreSQL, SQLite))
	}
	if cfg.Table == "" {
		cfg.Table = "mantlet_apikeys"
	}
	for _, n := range [...]struct{ field, name string }{{"Table", cfg.Table}, {"Channel", cfg.Channel}} {
		if n.name != "" && !validName(n.name) { // the name becomes part of statements
			errs = append(errs, fmt.Errorf("sqlstore: Config.%s %q is not a lower-case letter and up to 39 lower-case letters, digits and underscores", n.field, n.name))
		}
	}
	if cfg.Channel != "" && cfg.Dialect == SQLite {
		errs = append(errs, errors.New("sqlstore: Config.Channel is set and SQLite cannot announce"))
	}
	if cfg.FullEvery < 0 {
		errs = append(errs, fmt.Errorf("sqlstore: Config.FullEvery %v is negative", cfg.FullEvery))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	if cfg.FullEvery == 0 {
		cfg.FullEvery = 10 * time.Minute
	}
	s := &Store{cfg: cfg}
	s.prepare()
	if err := s.migrate(ctx); err != nil {
		return nil, fmt.Errorf("sqlstore: schema: %w", err)
	}
	return s, nil
}

func validName(s string) bool {
	if s == "" || len(s) > 40 || s[0] < 'a' || s[0] > 'z' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}

// prepare writes the statements. Names are of checked characters; values go in as arguments only.
func (s *Store) prepare() {
	q := &s.sql
	q.state = s.say(`SELECT c.number, e.text FROM {t}_meta c, {t}_meta e WHERE c.name = 'change' AND e.name = 'epoch'`)
	q.allKeys = s.say(`SELECT id, version, seq, record FROM {t}`)
	q.changed = s.say(`SELECT id, version, seq, record FROM {t} WHERE seq > ?`)
	q.get = s.say(`SELECT id, version, seq, record FROM {t} WHERE id = ?`)
	q.columns = s.say(`SELECT version, client_id FROM {t} WHERE id = ?`)
	q.next = s.say(`UPDATE {t}_meta SET number = number + 1 WHERE name = 'change' RETURNING number`)
	q.insert = s.say(`INSERT INTO {t} (version, seq, client_id, revoked, record, id) VALUES (?, ?, ?, ?, ?, ?)`)
	q.update = s.say(`UPDATE {t} SET version = ?, seq = ?, client_id = ?, revoked = ?, record = ? WHERE id = ?`)
	q.startUses = s.say(`UPDATE {t}_meta SET number = CASE number WHEN 0 THEN ? ELSE number END WHERE name = 'uses'`)
	q.since = s.say(`SELECT number FROM {t}_meta WHERE name = 'uses'`)
	q.allUses = s.say(`SELECT id, last_used, scopes FROM {t}_uses`)
	q.use = s.say(`SELECT id, last_used, scopes FROM {t}_uses WHERE id = ?`)
	q.setUse = s.say(`INSERT INTO {t}_uses (id, last_used, scopes) VALUES (?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET last_used = excluded.last_used, scopes = excluded.scopes`)
}

// say writes a statement in the dialect: the tables' names, and $1, $2 for question marks where the database wants that.
func (s *Store) say(stmt string) string {
	stmt = strings.ReplaceAll(stmt, "{t}", s.cfg.Table)
	if s.cfg.Dialect == SQLite {
		return stmt
	}
	var b strings.Builder
	n := 0
	for i := range len(stmt) {
		if stmt[i] == '?' {
			n++
			b.WriteByte('$')
			b.WriteString(strconv.Itoa(n))
		} else {
			b.WriteByte(stmt[i])
		}
	}
	return b.String()
}

// in runs f in a transaction. Under "read committed" a statement sees what was committed before it began, so also before the
// row was free that an earlier statement waited for.
func (s *Store) in(ctx context.Context, f func(tx *sql.Tx) error) error {
	var o *sql.TxOptions
	if s.cfg.Dialect == PostgreSQL {
		o = &sql.TxOptions{Isolation: sql.LevelReadCommitted}
	}
	tx, err := s.cfg.DB.BeginTx(ctx, o)
	if err != nil {
		return err
	}
	if err := f(tx); err != nil {
		tx.Rollback() // the first error is the one to tell
		return err
	}
	return tx.Commit()
}

// version names a state: which database, how far its change sequence has come, and when all was read.
type version struct {
	epoch string
	seq   int64
	full  int64 // Unix seconds
}

func (v version) String() string { return fmt.Sprintf("s1.%s.%d.%d", v.epoch, v.seq, v.full) }

func parseVersion(s string) (v version, ok bool) {
	p := strings.Split(s, ".")
	if len(p) != 4 || p[0] != "s1" {
		return v, false
	}
	seq, err1 := strconv.ParseInt(p[2], 10, 64)
	full, err2 := strconv.ParseInt(p[3], 10, 64)
	return version{p[1], seq, full}, err1 == nil && err2 == nil
}

// Load implements [apikey.Store].
func (s *Store) Load(ctx context.Context, since string) (apikey.Batch, error) {
	if err := s.made(); err != nil {
		return apikey.Batch{}, err
	}
	now := version{full: time.Now().Unix()}
	// First the number, then the rows: rows written in between are told again next time, none is missed.
	if err := s.cfg.DB.QueryRowContext(ctx, s.sql.state).Scan(&now.seq, &now.epoch); err != nil {
		return apikey.Batch{}, fmt.Errorf("sqlstore: reading the state: %w", err)
	}
	have, known := parseVersion(since)
	every := int64(s.cfg.FullEvery / time.Second)
	partial := known && have.epoch == now.epoch && have.seq <= now.seq && now.full-have.full < every && have.full <= now.full
	if partial && have.seq == now.seq {
		return apikey.Batch{Version: since, Unchanged: true}, nil
	}
	var rows *sql.Rows
	var err error
	if partial {
		now.full = have.full
		rows, err = s.cfg.DB.QueryContext(ctx, s.sql.changed, have.seq)
	} else {
		rows, err = s.cfg.DB.QueryContext(ctx, s.sql.allKeys)
	}
	if err != nil {
		return apikey.Batch{}, fmt.Errorf("sqlstore: reading keys: %w", err)
	}
	defer rows.Close()
	b := apikey.Batch{Partial: partial, Records: []apikey.Record{}}
	for rows.Next() {
		r, seq, err := scan(rows.Scan)
		if err != nil {
			return apikey.Batch{}, fmt.Errorf("sqlstore: reading keys: %w", err)
		}
		now.seq = max(now.seq, seq)
		b.Records = append(b.Records, r)
	}
	if err := rows.Err(); err != nil { // a connection lost half way must not look like the end
		return apikey.Batch{}, fmt.Errorf("sqlstore: reading keys: %w", err)
	}
	b.Version = now.String()
	return b, nil
}

// Get implements [apikey.Store].
func (s *Store) Get(ctx context.Context, id string) (apikey.Record, error) {
	if err := s.made(); err != nil {
		return apikey.Record{}, err
	}
	r, _, err := scan(s.cfg.DB.QueryRowContext(ctx, s.sql.get, id).Scan)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return apikey.Record{}, apikey.ErrNotFound
	case err != nil:
		return apikey.Record{}, fmt.Errorf("sqlstore: reading a key: %w", err)
	}
	return r, nil
}

// Put implements [apikey.Store].
func (s *Store) Put(ctx context.Context, rec apikey.Record) (apikey.Record, error) {
	if err := s.made(); err != nil {
		return apikey.Record{}, err
	}
	err := s.change(ctx, func(tx *sql.Tx) (bool, error) {
		var old *apikey.Record
		switch r, _, err := scan(tx.QueryRowContext(ctx, s.sql.get, rec.ID).Scan); {
		case err == nil:
			old = &r
		case !errors.Is(err, sql.ErrNoRows):
			return false, fmt.Errorf("sqlstore: reading a key: %w", err)
		}
		var err error
		rec, err = apikey.Next(old, rec)
		return old != nil, err
	}, &rec)
	if err != nil {
		return apikey.Record{}, err
	}
	return rec, nil
}

// RevokeUnreadable implements [apikey.Salvager]. What the record held is gone; the client's name, which stands in a column of its
// own, is kept.
func (s *Store) RevokeUnreadable(ctx context.Context, id string) (rec apikey.Record, err error) {
	if err := s.made(); err != nil {
		return apikey.Record{}, err
	}
	err = s.change(ctx, func(tx *sql.Tx) (bool, error) {
		switch _, _, err := scan(tx.QueryRowContext(ctx, s.sql.get, id).Scan); {
		case err == nil:
			return false, apikey.ErrConflict
		case errors.Is(err, sql.ErrNoRows):
			return false, apikey.ErrNotFound
		case !errors.Is(err, apikey.ErrUnreadable):
			return false, fmt.Errorf("sqlstore: reading a key: %w", err)
		}
		var version int64
		var client string
		if err := tx.QueryRowContext(ctx, s.sql.columns, id).Scan(&version, &client); err != nil {
			return false, fmt.Errorf("sqlstore: reading a key: %w", err)
		}
		now := time.Now().UTC().Truncate(time.Microsecond)
		rec = apikey.Record{ID: id, ClientID: client, CreatedAt: now, RevokedAt: now, DisabledAt: now, DisabledReason: "its record could not be read"}
		rand.Read(rec.Hash[:]) // the hash of nothing that anybody has
		next, err := apikey.Next(nil, rec)
		if err != nil { // the name is what could not be read
			rec.ClientID = "unreadable"
			if next, err = apikey.Next(nil, rec); err != nil {
				return false, err
			}
		}
		rec = next
		rec.Version = uint64(max(version, 0)) + 1 // newer than what anybody has in memory
		return true, nil
	}, &rec)
	if err != nil {
		return apikey.Record{}, err
	}
	return rec, nil
}

// change writes *rec when decide has said what it is, and whether over a row that exists. Nobody else writes meanwhile.
func (s *Store) change(ctx context.Context, decide func(*sql.Tx) (exists bool, err error), rec *apikey.Record) error {
	return s.in(ctx, func(tx *sql.Tx) error {
		// First the change sequence: from here on nobody else writes until we commit.
		var seq int64
		if err := tx.QueryRowContext(ctx, s.sql.next).Scan(&seq); err != nil {
			return fmt.Errorf("sqlstore: taking the next number: %w", err)
		}
		exists, err := decide(tx)
		if err != nil {
			return err
		}
		text, err := json.Marshal(rec)
		if err != nil {
			return fmt.Errorf("sqlstore: writing a key: %w", err)
		}
		stmt, revoked := s.sql.insert, 0
		if exists {
			stmt = s.sql.update
		}
		if !rec.RevokedAt.IsZero() {
			revoked = 1
		}
		if _, err := tx.ExecContext(ctx, stmt, int64(rec.Version), seq, rec.ClientID, revoked, string(text), rec.ID); err != nil {
			return fmt.Errorf("sqlstore: writing a key: %w", err)
		}
		if s.cfg.Channel != "" {
			// Sent by the database when, and only when, the transaction commits.
			if _, err := tx.ExecContext(ctx, `SELECT pg_notify($1, $2)`, s.cfg.Channel, rec.ID); err != nil {
				return fmt.Errorf("sqlstore: announcing a key: %w", err)
			}
		}
		return nil
	})
}

// scan reads one row of keys, strictly: what is not understood whole is refused.
func scan(into func(...any) error) (r apikey.Record, seq int64, err error) {
	var id, text string
	var number int64
	if err := into(&id, &number, &seq, &text); err != nil {
		return r, 0, err
	}
	if r, err = apikey.ParseRecord([]byte(text)); err != nil {
		return r, 0, fmt.Errorf("%w: row %.12q: %w", apikey.ErrUnreadable, id, err)
	}
	if r.ID != id || r.Version != uint64(number) {
		return apikey.Record{}, 0, fmt.Errorf("%w: the record of %.12q does not agree with its row", apikey.ErrUnreadable, id)
	}
	return r, seq, nil
}

// AddUsage implements [apikey.UsageStore].
func (s *Store) AddUsage(ctx context.Context, used []apikey.Usage) error {
	if err := s.made(); err != nil {
		return err
	}
	used = slices.Clone(used)
	slices.SortFunc(used, func(a, b apikey.Usage) int { return strings.Compare(a.ID, b.ID) })
	err := s.in(ctx, func(tx *sql.Tx) error {
		// As in Put: whoever has this row adds alone.
		if _, err := tx.ExecContext(ctx, s.sql.startUses, time.Now().Unix()); err != nil || len(used) == 0 {
			return err
		}
		get, err := tx.PrepareContext(ctx, s.sql.use)
		if err != nil {
			return err
		}
		defer get.Close()
		set, err := tx.PrepareContext(ctx, s.sql.setUse)
		if err != nil {
			return err
		}
		defer set.Close()
		for _, u := range used {
			old, err := scanUse(get.QueryRowContext(ctx, u.ID).Scan)
			if err != nil && !errors.Is(err, sql.ErrNoRows) {
				return err
			}
			u = apikey.MergeUsage(old, u)
			if _, err := set.ExecContext(ctx, u.ID, u.LastUsedAt.Unix(), strings.Join(u.Scopes, " ")); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("sqlstore: writing uses: %w", err)
	}
	return nil
}

// Usage implements [apikey.UsageStore].
func (s *Store) Usage(ctx context.Context) (since time.Time, used []apikey.Usage, err error) {
	if err := s.made(); err != nil {
		return since, nil, err
	}
	defer func() {
		if err != nil {
			since, used, err = time.Time{}, nil, fmt.Errorf("sqlstore: reading uses: %w", err)
		}
	}()
	var began int64
	if err := s.cfg.DB.QueryRowContext(ctx, s.sql.since).Scan(&began); err != nil {
		return since, nil, err
	}
	if began != 0 {
		since = time.Unix(began, 0).UTC()
	}
	rows, err := s.cfg.DB.QueryContext(ctx, s.sql.allUses)
	if err != nil {
		return since, nil, err
	}
	defer rows.Close()
	for rows.Next() {
		u, err := scanUse(rows.Scan)
		if err != nil {
			return since, nil, err
		}
		used = append(used, u)
	}
	return since, used, rows.Err()
}

// UsageOf implements [apikey.UsageFinder].
func (s *Store) UsageOf(ctx context.Context, id string) (apikey.Usage, error) {
	if err := s.made(); err != nil {
		return apikey.Usage{}, err
	}
	u, err := scanUse(s.cfg.DB.QueryRowContext(ctx, s.sql.use, id).Scan)
	if errors.Is(err, sql.ErrNoRows) {
		return apikey.Usage{ID: id}, nil
	}
	if err != nil {
		return apikey.Usage{}, fmt.Errorf("sqlstore: reading uses: %w", err)
	}
	return u, nil
}

func scanUse(into func(...any) error) (u apikey.Usage, err error) {
	var last int64
	var scopes string
	if err := into(&u.ID, &last, &scopes); err != nil {
		return apikey.Usage{}, err
	}
	u.LastUsedAt = time.Unix(last, 0).UTC()
	u.Scopes = strings.Fields(scopes) // a scope has no space in it
	return u, nil
}

func (s *Store) made() error {
	if s == nil || s.cfg.DB == nil {
		return errors.New("sqlstore: store was not made by New")
	}
	return nil
}

// migrations bring a schema from version i to i+1. One that was published is never changed.
var migrations = [...][]string{
	{
		`CREATE TABLE {t} (id TEXT PRIMARY KEY, version BIGINT NOT NULL, seq BIGINT NOT NULL, client_id TEXT NOT NULL, revoked SMALLINT NOT NULL, record TEXT NOT NULL)`,
		`CREATE UNIQUE INDEX {t}_seq ON {t} (seq)`,
		`CREATE INDEX {t}_client ON {t} (client_id)`,
	},
	{
		`CREATE TABLE {t}_uses (id TEXT PRIMARY KEY, last_used BIGINT NOT NULL, scopes TEXT NOT NULL)`,
		`INSERT INTO {t}_meta (name, number, text) VALUES ('uses', 0, '')`,
	},
}

// migrate brings the schema up to date.
func (s *Store) migrate(ctx context.Context) error {
	current := func(q interface {
		QueryRowContext(context.Context, string, ...any) *sql.Row
	}) (n int, err error) {
		err = q.QueryRowContext(ctx, s.say(`SELECT number FROM {t}_meta WHERE name = 'schema'`)).Scan(&n)
		if err == nil && n > len(migrations) {
			err = fmt.Errorf("version %d was made by a later version of this package, which knows up to %d", n, len(migrations))
		}
		return n, err
	}
	// Without a transaction, and without the right to change anything, if there is nothing to do.
	if n, err := current(s.cfg.DB); err == nil && n == len(migrations) || n > len(migrations) {
		return err
	} else if s.cfg.SkipMigrations {
		if err == nil {
			err = fmt.Errorf("version %d is not %d", n, len(migrations))
		} else if away := s.cfg.DB.PingContext(ctx); away != nil {
			return away // nobody can know what is there
		}
		return fmt.Errorf("%w; run keyctl init with a role that may create tables, or leave SkipMigrations unset", err)
	}
	return s.in(ctx, func(tx *sql.Tx) error {
		if s.cfg.Dialect == PostgreSQL {
			// CREATE TABLE IF NOT EXISTS of two sessions at once fails in one of them.
			if _, err := tx.ExecContext(ctx, `SELECT pg_advisory_xact_lock(hashtext($1)::bigint)`, "mantlet sqlstore "+s.cfg.Table); err != nil {
				return err
			}
		}
		for _, stmt := range [...]string{
			// In SQLite the first write of a transaction takes the lock, so nothing is read before.
			`CREATE TABLE IF NOT EXISTS {t}_meta (name TEXT PRIMARY KEY, number BIGINT NOT NULL, text TEXT NOT NULL)`,
			`INSERT INTO {t}_meta (name, number, text) VALUES ('schema', 0, '') ON CONFLICT (name) DO NOTHING`,
			`INSERT INTO {t}_meta (name, number, text) VALUES ('change', 0, '') ON CONFLICT (name) DO NOTHING`,
		} {
			if _, err := tx.ExecContext(ctx, s.say(stmt)); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, s.say(`INSERT INTO {t}_meta (name, number, text) VALUES ('epoch', 0, ?) ON CONFLICT (name) DO NOTHING`), rand.Text()); err != nil {
			return err
		}
		n, err := current(tx)
		if err != nil {
			return err
		}
		for ; n < len(migrations); n++ {
			for _, stmt := range migrations[n] {
				if _, err := tx.ExecContext(ctx, s.say(stmt)); err != nil {
					return fmt.Errorf("to version %d: %w", n+1, err)
				}
			}
		}
		_, err = tx.ExecContext(ctx, s.say(`UPDATE {t}_meta SET number = ? WHERE name = 'schema'`), n)
		return err
	})
}

package sqltest

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"

	"github.com/mantlet-go/mantlet/auth"
	"github.com/mantlet-go/mantlet/auth/apikey"
	"github.com/mantlet-go/mantlet/auth/apikey/sqlstore"
	"github.com/mantlet-go/mantlet/auth/apikey/storetest"
)

const dsnVariable = "MANTLET_TEST_POSTGRES"

// database is a fresh place for one test, and how to reach it.
type database struct {
	dialect     sqlstore.Dialect
	driver, dsn string
	table       string
}

func (d database) open(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open(d.driver, d.dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	return db
}

func (d database) store(t testing.TB) *sqlstore.Store {
	t.Helper()
	s, err := sqlstore.New(context.Background(), sqlstore.Config{DB: d.open(t), Dialect: d.dialect, Table: d.table})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func postgres(t testing.TB) database {
	t.Helper()
	dsn := os.Getenv(dsnVariable)
	if dsn == "" {
		t.Skipf("needs PostgreSQL: run under 'bash .ci/with-postgres', or set %s to the connection string of a database for tests", dsnVariable)
	}
	d := database{sqlstore.PostgreSQL, "pgx", dsn, fmt.Sprintf("t%x", rand.Uint64())}
	db := d.open(t)
	t.Cleanup(func() {
		for _, suffix := range []string{"", "_meta", "_uses"} {
			if _, err := db.Exec("DROP TABLE IF EXISTS " + d.table + suffix); err != nil {
				t.Error(err)
			}
		}
	})
	return d
}

func sqlite(t testing.TB) database {
	return sqliteAt(filepath.Join(t.TempDir(), "keys.db"))
}

func sqliteAt(path string) database {
	return database{sqlstore.SQLite, "sqlite", "file:" + path + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)", "mantlet_apikeys"}
}

// onEach runs a test on both databases.
func onEach(t *testing.T, f func(t *testing.T, d database)) {
	t.Run("postgresql", func(t *testing.T) { f(t, postgres(t)) })
	t.Run("sqlite", func(t *testing.T) { f(t, sqlite(t)) })
}

func manager(t testing.TB, s apikey.Store, poll time.Duration) *apikey.Manager {
	t.Helper()
	m, err := apikey.New(apikey.Config{Store: s, Prefix: "acme", Env: "test", PollInterval: poll, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close(context.Background()) })
	return m
}

func create(t testing.TB, m *apikey.Manager) (key, id string) {
	t.Helper()
	secret, rec, err := m.Create(context.Background(), apikey.Spec{ClientID: "alice", Scopes: []string{"chat:write"}})
	if err != nil {
		t.Fatal(err)
	}
	return secret.Reveal(), rec.ID
}

func verify(m *apikey.Manager, key string) error {
	_, err := m.Verify(key, netip.Addr{}, time.Now())
	return err
}

func TestTheStoreKeepsTheContract(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		storetest.Run(t, func(t *testing.T) (a, b apikey.Store) {
			d := d
			if d.dialect == sqlstore.PostgreSQL {
				d = postgres(t)
			} else {
				d = sqlite(t)
			}
			return d.store(t), d.store(t)
		})
	})
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := sqlstore.New(t.Context(), sqlstore.Config{Dialect: "mysql", Table: "x; DROP TABLE y", Channel: "A", FullEvery: -1})
	for _, want := range []string{"DB", "Dialect", "Table", "Channel", "FullEvery"} {
		if err == nil || !strings.Contains(err.Error(), "Config."+want) {
			t.Errorf("no word of %s: %v", want, err)
		}
	}
	d := sqlite(t)
	if _, err := sqlstore.New(t.Context(), sqlstore.Config{DB: d.open(t), Dialect: d.dialect, Channel: "keys"}); err == nil {
		t.Error("SQLite with a channel")
	}
	var zero sqlstore.Store
	if _, err := zero.Load(t.Context(), ""); err == nil {
		t.Error("the zero store loads")
	}
}

// The first published schema, as it was; migrations must go on understanding it.
var schemaV1 = []string{
	`CREATE TABLE {t}_meta (name TEXT PRIMARY KEY, number BIGINT NOT NULL, text TEXT NOT NULL)`,
	`INSERT INTO {t}_meta (name, number, text) VALUES ('schema', 1, ''), ('change', 7, ''), ('epoch', 0, 'E')`,
	`CREATE TABLE {t} (id TEXT PRIMARY KEY, version BIGINT NOT NULL, seq BIGINT NOT NULL, client_id TEXT NOT NULL, revoked SMALLINT NOT NULL, record TEXT NOT NULL)`,
	`CREATE UNIQUE INDEX {t}_seq ON {t} (seq)`,
	`CREATE INDEX {t}_client ON {t} (client_id)`,
	`INSERT INTO {t} (id, version, seq, client_id, revoked, record) VALUES ('000000000001', 1, 7, 'alice', 0,
		'{"id":"000000000001","hash":"0100000000000000000000000000000000000000000000000000000000000000","client_id":"alice","created_at":"2026-01-02T03:04:05Z","version":1}')`,
}

func TestAnOldSchemaIsBroughtUpToDateWithItsKeys(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		db := d.open(t)
		for _, stmt := range schemaV1 {
			if _, err := db.Exec(strings.ReplaceAll(stmt, "{t}", d.table)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := sqlstore.New(t.Context(), sqlstore.Config{DB: db, Dialect: d.dialect, Table: d.table, SkipMigrations: true}); err == nil {
			t.Error("SkipMigrations takes an old schema")
		}
		s := d.store(t)
		if r, err := s.Get(t.Context(), "000000000001"); err != nil || r.ClientID != "alice" {
			t.Errorf("%+v, %v", r, err)
		}
		if err := s.AddUsage(t.Context(), []apikey.Usage{{ID: "000000000001", LastUsedAt: time.Unix(6e8, 0)}}); err != nil {
			t.Error(err)
		}
		if _, err := s.Put(t.Context(), storetest.Record(2)); err != nil {
			t.Error(err)
		}
		if _, err := sqlstore.New(t.Context(), sqlstore.Config{DB: db, Dialect: d.dialect, Table: d.table, SkipMigrations: true}); err != nil {
			t.Errorf("SkipMigrations refuses the schema of today: %v", err)
		}
	})
}

func TestADatabaseWithoutTablesIsToldFromOneThatIsAway(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		db := d.open(t)
		cfg := sqlstore.Config{DB: db, Dialect: d.dialect, Table: d.table, SkipMigrations: true}
		if _, err := sqlstore.New(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), d.table) || !strings.Contains(err.Error(), "run keyctl init") {
			t.Errorf("no tables: %v", err)
		}
		db.Close()
		if _, err := sqlstore.New(t.Context(), cfg); err == nil || strings.Contains(err.Error(), "keyctl init") {
			t.Errorf("no database: %v", err)
		}
	})
}

func TestManyProcessesMayStartOnAnEmptyDatabase(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		var wg sync.WaitGroup
		for i := range 8 {
			db := d.open(t)
			wg.Go(func() {
				s, err := sqlstore.New(context.Background(), sqlstore.Config{DB: db, Dialect: d.dialect, Table: d.table})
				if err == nil {
					_, err = s.Put(context.Background(), storetest.Record(i))
				}
				if err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if b, err := d.store(t).Load(t.Context(), ""); err != nil || len(b.Records) != 8 {
			t.Errorf("%d keys, %v", len(b.Records), err)
		}
	})
}

func TestASchemaOfALaterVersionIsRefused(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		d.store(t)
		db := d.open(t)
		if _, err := db.Exec("UPDATE " + d.table + "_meta SET number = 99 WHERE name = 'schema'"); err != nil {
			t.Fatal(err)
		}
		if _, err := sqlstore.New(t.Context(), sqlstore.Config{DB: db, Dialect: d.dialect, Table: d.table}); err == nil || !strings.Contains(err.Error(), "later version") {
			t.Errorf("%v", err)
		}
	})
}

func TestALoadBringsOnlyWhatChangedUntilTheTimeForAll(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		for i := range 20 {
			if _, err := s.Put(t.Context(), storetest.Record(i)); err != nil {
				t.Fatal(err)
			}
		}
		all, err := s.Load(t.Context(), "")
		if err != nil || len(all.Records) != 20 || all.Partial {
			t.Fatalf("%d, %v", len(all.Records), err)
		}
		if b, err := s.Load(t.Context(), all.Version); err != nil || !b.Unchanged {
			t.Errorf("%+v, %v", b, err)
		}
		r := all.Records[3]
		r.Plan = "gold"
		if _, err := s.Put(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if b, err := s.Load(t.Context(), all.Version); err != nil || !b.Partial || len(b.Records) != 1 || b.Records[0].Plan != "gold" {
			t.Errorf("%+v, %v", b, err)
		}
		// A row deleted by hand is behind the change sequence; a store that has to bring all every second sees it.
		if _, err := d.open(t).Exec("DELETE FROM " + d.table + " WHERE id = '" + r.ID + "'"); err != nil {
			t.Fatal(err)
		}
		eager, err := sqlstore.New(t.Context(), sqlstore.Config{DB: d.open(t), Dialect: d.dialect, Table: d.table, FullEvery: time.Nanosecond})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := eager.Load(t.Context(), all.Version); err != nil || b.Partial || len(b.Records) != 19 {
			t.Errorf("%+v, %v", b, err)
		}
		// Another database under the same name: nothing of the old one counts.
		if _, err := d.open(t).Exec("UPDATE " + d.table + "_meta SET text = 'other' WHERE name = 'epoch'"); err != nil {
			t.Fatal(err)
		}
		if b, err := s.Load(t.Context(), all.Version); err != nil || b.Partial || b.Unchanged {
			t.Errorf("%+v, %v", b, err)
		}
	})
}

func TestARowThatWasTamperedWithIsRefusedWhole(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		m := manager(t, s, -1)
		key, id := create(t, m)
		create(t, m)
		db := d.open(t)
		var good string
		if err := db.QueryRow("SELECT record FROM " + d.table + " WHERE id = '" + id + "'").Scan(&good); err != nil {
			t.Fatal(err)
		}
		for name, text := range map[string]string{
			"no JSON": "x", "nothing": "", "an unknown member": strings.Replace(good, `"client_id"`, `"klient_id"`, 1), "another id": strings.Replace(good, id, "00000000000z", 1),
			"another version": strings.Replace(good, `"version":1`, `"version":2`, 1), "more behind it": good + "{}", "half": good[:len(good)/2],
		} {
			set := fmt.Sprintf("UPDATE %s SET seq = seq + 1000, record = '%s' WHERE id = '%s'", d.table, text, id)
			if _, err := db.Exec(set); err != nil {
				t.Fatal(err)
			}
			if _, err := db.Exec("UPDATE " + d.table + "_meta SET number = number + 1000 WHERE name = 'change'"); err != nil {
				t.Fatal(err)
			}
			if err := m.Reload(t.Context()); err == nil {
				t.Errorf("%s: taken over", name)
			} else if strings.Contains(err.Error(), "alice") {
				t.Errorf("%s: the error quotes the record: %v", name, err)
			}
			if err := verify(m, key); err != nil {
				t.Errorf("%s: the good key: %v", name, err)
			}
		}
	})
}

// The value of LiteLLM's CVE-2026-42208 went into a statement as text.
func TestACredentialIsNeverPartOfAStatement(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		m := manager(t, s, -1)
		key, _ := create(t, m)
		for _, evil := range []string{"' OR '1'='1", "x'; DROP TABLE " + d.table + "; --", "acme_test_' OR 1=1 --"} {
			if verify(m, evil) == nil {
				t.Errorf("%q is a key", evil)
			}
			if _, err := s.Get(t.Context(), evil); !errors.Is(err, apikey.ErrNotFound) {
				t.Errorf("Get(%q): %v", evil, err)
			}
			if err := m.Revoke(t.Context(), evil); !errors.Is(err, apikey.ErrNotFound) {
				t.Errorf("Revoke(%q): %v", evil, err)
			}
			if _, _, err := m.Create(t.Context(), apikey.Spec{ClientID: evil, Plan: evil, Models: []string{evil}}); err != nil {
				t.Errorf("a client called %q: %v", evil, err)
			}
		}
		if err := m.Reload(t.Context()); err != nil {
			t.Error(err)
		}
		if err := verify(m, key); err != nil {
			t.Error(err)
		}
	})
}

// wait polls until ok, on the wall clock: what is waited for happens in a database.
func wait(t *testing.T, limit time.Duration, otherwise string, ok func() bool) time.Duration {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for start := time.Now(); ; <-tick.C {
		took := time.Since(start)
		if ok() {
			return took
		}
		if took > limit {
			t.Fatal(otherwise)
		}
	}
}

// Where half a second is too long: LISTEN, and reload when something is announced.
func TestWithAnAnnouncementARevocationElsewhereIsThereAtOnce(t *testing.T) {
	d := postgres(t)
	channel := d.table + "_changed"
	open := func() apikey.Store {
		s, err := sqlstore.New(t.Context(), sqlstore.Config{DB: d.open(t), Dialect: d.dialect, Table: d.table, Channel: channel})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	a, b := manager(t, open(), -1), manager(t, open(), -1) // neither polls
	conn, err := pgx.Connect(t.Context(), d.dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), "LISTEN "+channel); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var heard sync.Map
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			n, err := conn.WaitForNotification(ctx)
			if err != nil {
				return // the test is over; a program would connect again, and polls meanwhile
			}
			heard.Store(n.Payload, true)
			b.Reload(ctx)
		}
	}()
	defer func() { cancel(); <-done }()

	key, id := create(t, a)
	wait(t, 5*time.Second, "the key did not arrive", func() bool { return verify(b, key) == nil })
	if err := a.Revoke(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	took := wait(t, 5*time.Second, "the revocation did not arrive", func() bool { return errors.Is(verify(b, key), auth.ErrRevoked) })
	if _, ok := heard.Load(id); !ok {
		t.Error("the announcement does not name the key")
	}
	t.Logf("refused elsewhere after %v", took)
}

func TestADatabaseThatGoesAwayMeansUnavailableNotInvalid(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		db := d.open(t)
		s, err := sqlstore.New(t.Context(), sqlstore.Config{DB: db, Dialect: d.dialect, Table: d.table})
		if err != nil {
			t.Fatal(err)
		}
		m, err := apikey.New(apikey.Config{
			Store: s, Prefix: "acme", Env: "test", PollInterval: 20 * time.Millisecond, MaxStale: 200 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
		})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close(context.Background())
		key, _ := create(t, m)
		db.Close()
		for {
			err := verify(m, key)
			if errors.Is(err, auth.ErrUnavailable) {
				return
			}
			if err != nil {
				t.Fatalf("%v, want good and then unavailable", err)
			}
		}
	})
}

func TestTheLifeOfAKeyInADatabase(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		s := d.store(t)
		m, err := apikey.New(apikey.Config{Store: s, Prefix: "acme", Env: "test", PollInterval: -1, Policy: apikey.Policy{DormantAfter: 24 * time.Hour, MaxKeysPerClient: 1}})
		if err != nil {
			t.Fatal(err)
		}
		defer m.Close(context.Background())
		key, id := create(t, m)
		if _, _, err := m.Create(t.Context(), apikey.Spec{ClientID: "alice"}); !errors.Is(err, apikey.ErrPolicy) {
			t.Errorf("a second key: %v", err)
		}
		p, err := m.Verify(key, netip.Addr{}, time.Now())
		if err != nil || !p.HasScope("chat:write") {
			t.Fatal(p, err)
		}
		secret, heir, err := m.Rotate(t.Context(), id, apikey.Rotation{Overlap: time.Hour})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(verify(m, key), verify(m, secret.Reveal())); err != nil {
			t.Error(err)
		}
		if err := m.Disable(t.Context(), heir.ID, "test"); err != nil || verify(m, secret.Reveal()) == nil {
			t.Errorf("disabled: %v", err)
		}
		if err := m.Enable(t.Context(), heir.ID); err != nil || verify(m, secret.Reveal()) != nil {
			t.Errorf("enabled: %v", err)
		}
		old, err := m.Get(t.Context(), id)
		if err != nil || old.LastUsedAt.IsZero() || len(old.UsedScopes) != 1 || old.Successor != heir.ID {
			t.Errorf("%+v, %v", old, err)
		}
		if err := s.AddUsage(t.Context(), []apikey.Usage{{ID: id, LastUsedAt: time.Now().Add(2 * time.Hour)}}); err != nil { // or nobody seems to record
			t.Fatal(err)
		}
		swept, err := m.Sweep(t.Context(), time.Now().Add(25*time.Hour))
		if err != nil || len(swept.Expired) != 1 || len(swept.Dormant) != 1 {
			t.Errorf("%+v, %v", swept, err)
		}
	})
}

// What Put and a poll cost; reported, not judged.
func BenchmarkStore(b *testing.B) {
	for name, make := range map[string]func(testing.TB) database{"postgresql": postgres, "sqlite": sqlite} {
		b.Run(name, func(b *testing.B) {
			s := make(b).store(b)
			b.Run("put", func(b *testing.B) {
				n := int(rand.Uint32())
				for b.Loop() {
					n++
					if _, err := s.Put(context.Background(), storetest.Record(n)); err != nil {
						b.Fatal(err)
					}
				}
			})
			all, err := s.Load(context.Background(), "")
			if err != nil {
				b.Fatal(err)
			}
			b.Run("unchanged", func(b *testing.B) {
				for b.Loop() {
					if _, err := s.Load(context.Background(), all.Version); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func TestARowNobodyCanReadIsNamedAndCanBeRevoked(t *testing.T) {
	onEach(t, func(t *testing.T, d database) {
		for name, record := range map[string]string{
			"labels that differ by case": `'{"labels":{"a":"x","A":"y"}}'`, "no JSON": `'{'`, "another row's": `REPLACE(record, '"version":1', '"version":7')`,
		} {
			s := d.store(t)
			m, b := manager(t, s, -1), manager(t, s, -1)
			spoiled, bad := create(t, m)
			leaked, id := create(t, m)
			if err := b.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := d.open(t).Exec(`UPDATE ` + d.table + ` SET record = ` + record + `, seq = seq + 1000000 WHERE id = '` + bad + `'`); err != nil {
				t.Fatal(err)
			}
			_, err := s.Load(t.Context(), "")
			if !errors.Is(err, apikey.ErrUnreadable) || !strings.Contains(err.Error(), bad) {
				t.Fatalf("%s: Load: %v, want ErrUnreadable that names %s", name, err, bad)
			}
			if _, err := s.RevokeUnreadable(t.Context(), id); !errors.Is(err, apikey.ErrConflict) {
				t.Errorf("%s: a record that can be read: %v, want ErrConflict", name, err)
			}
			if _, err := s.RevokeUnreadable(t.Context(), "000000000000"); !errors.Is(err, apikey.ErrNotFound) {
				t.Errorf("%s: no record: %v, want ErrNotFound", name, err)
			}
			if err := m.Revoke(t.Context(), bad); err != nil {
				t.Fatalf("%s: Revoke: %v", name, err)
			}
			if err := m.Revoke(t.Context(), id); err != nil {
				t.Fatal(err)
			}
			if err := b.Reload(t.Context()); err != nil || verify(b, leaked) == nil || verify(b, spoiled) == nil {
				t.Errorf("%s: in another process after a reload: %v, %v, %v", name, err, verify(b, leaked), verify(b, spoiled))
			}
			if r, err := s.Get(t.Context(), bad); err != nil || r.RevokedAt.IsZero() || r.Version != 2 || r.ClientID != "alice" {
				t.Errorf("%s: %+v, %v", name, r, err)
			}
		}
	})
}

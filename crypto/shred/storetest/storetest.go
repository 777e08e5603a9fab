// Package storetest is the contract of a [shred.Store] as a test: run it on an implementation of your own.
//
//	func TestMyStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) (a, b shred.Store) {
//			dsn := freshDatabase(t)
//			return open(t, dsn), open(t, dsn)
//		})
//	}
//
// Each case explains the rule that it checks.
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/crypto/shred"
)

// Run checks the rules of [shred.Store]. open returns two handles on one fresh, empty store, as two processes would have; they may
// be one and the same value if the store cannot be shared. It is called once for each case and registers what must be cleaned up with t.
func Run(t *testing.T, open func(t *testing.T) (a, b shred.Store)) {
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			a, b := open(t)
			c.run(t, a, b)
		})
	}
}

var cases = []struct {
	name string
	run  func(t *testing.T, a, b shred.Store)
}{
	{"an empty store has nothing", empty},
	{"every field of a record survives", everyField},
	{"a write needs the version that is stored", versions},
	{"only the box of a key changes", onlyTheBox},
	{"a tombstone takes the box and stays", tombstone},
	{"tombstones are numbered from 1 on", numbered},
	{"a tombstone from elsewhere keeps its number", elsewhere},
	{"a record that is not valid is not stored", invalid},
	{"what is written is seen by both at once", seenByBoth},
	{"lists come in pages and in order", pages},
	{"of writers at once exactly one wins", oneWins},
	{"a key and a tombstone at once end as a tombstone", race},
	{"nobody shares memory with the store", copies},
	{"a context that has ended is an error", ended},
}

// Record returns a valid record of a key whose alias is made of n, for tests of stores.
func Record(n int) shred.Record {
	return shred.Record{
		Alias: shred.Alias{byte(n), byte(n >> 8), 1}, Key: shred.Fingerprint{byte(n), 2}, Box: []byte(fmt.Sprint("box ", n)),
		Created: time.Date(2026, 1, 2, 3, 4, 5, 678_901_000, time.UTC),
	}
}

// gone is the tombstone of a record.
func gone(r shred.Record) shred.Record {
	r.Shredded = time.Date(2030, 1, 2, 3, 4, 5, 678_902_000, time.UTC)
	return r
}

func put(t *testing.T, s shred.Store, r shred.Record) shred.Record {
	t.Helper()
	r, err := s.Put(t.Context(), r)
	if err != nil {
		t.Fatalf("Put: %v", err)
	}
	return r
}

func get(t *testing.T, s shred.Store, a shred.Alias) shred.Record {
	t.Helper()
	r, err := s.Get(t.Context(), a)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	return r
}

func list(t *testing.T, s shred.Store, p shred.Page) []shred.Record {
	t.Helper()
	l, err := s.List(t.Context(), p)
	if err != nil {
		t.Fatalf("List: %v", err)
	}
	return l
}

func same(t *testing.T, what string, got, want shred.Record) {
	t.Helper()
	if len(got.Box) == 0 {
		got.Box = nil
	}
	got.Created, got.Shredded = got.Created.UTC(), got.Shredded.UTC()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s %+v, want %+v", what, got, want)
	}
}

func refused(t *testing.T, s shred.Store, r shred.Record, want error) {
	t.Helper()
	if _, err := s.Put(t.Context(), r); !errors.Is(err, want) {
		t.Errorf("Put: %v, want %v", err, want)
	}
}

func empty(t *testing.T, a, _ shred.Store) {
	if _, err := a.Get(t.Context(), Record(1).Alias); !errors.Is(err, shred.ErrNotFound) {
		t.Errorf("Get of nothing: %v, want ErrNotFound", err)
	}
	if l := list(t, a, shred.Page{}); len(l) != 0 {
		t.Errorf("%d keys", len(l))
	}
	if l := list(t, a, shred.Page{Shredded: true}); len(l) != 0 {
		t.Errorf("%d tombstones", len(l))
	}
}

func everyField(t *testing.T, a, b shred.Store) {
	for i := range 3 {
		want := Record(i)
		want.Box = bytes.Repeat([]byte{0, 255, '\n', '"', '\''}, 1+i*400) // any bytes
		stored := put(t, a, want)
		want.Version = 1
		same(t, "Put returns", stored, want)
		same(t, "Get returns", get(t, b, want.Alias), want)
		tomb := put(t, b, gone(want))
		want = gone(want)
		want.Box, want.Version, want.Counter = nil, 2, uint64(i+1)
		same(t, "Put of a tombstone returns", tomb, want)
		same(t, "Get returns", get(t, a, want.Alias), want)
	}
}

func versions(t *testing.T, a, b shred.Store) {
	one := put(t, a, Record(1))
	refused(t, b, Record(1), shred.ErrConflict) // a new record over an old one
	absent := Record(2)
	absent.Version = 3
	refused(t, a, absent, shred.ErrConflict) // an update of nothing
	next := one
	next.Box = []byte("rewrapped")
	put(t, b, next)
	refused(t, a, next, shred.ErrConflict) // an update of an old version
	next.Version = 99
	refused(t, a, next, shred.ErrConflict) // of one to come
	stale := gone(one)
	refused(t, a, stale, shred.ErrConflict) // also of a tombstone: whoever writes it has not seen the record
	if got := get(t, a, one.Alias); string(got.Box) != "rewrapped" || got.Version != 2 {
		t.Errorf("after refused writes: %+v", got)
	}
	if _, err := a.Get(t.Context(), absent.Alias); !errors.Is(err, shred.ErrNotFound) {
		t.Errorf("a refused write left something: %v", err)
	}
}

func onlyTheBox(t *testing.T, a, _ shred.Store) {
	one := put(t, a, Record(1))
	other := one
	other.Key = shred.Fingerprint{99} // what was sealed under the first key would be lost
	refused(t, a, other, shred.ErrConflict)
	same(t, "Get returns", get(t, a, one.Alias), one)
}

func tombstone(t *testing.T, a, b shred.Store) {
	one := put(t, a, Record(1))
	tomb := put(t, a, gone(one))
	if len(tomb.Box) > 0 || len(get(t, b, one.Alias).Box) > 0 {
		t.Error("the box is still there")
	}
	for _, r := range []shred.Record{one, Record(1), tomb, gone(one)} { // an old write, a new key, the tombstone again
		for _, v := range []uint64{0, 1, 2, 3} {
			r.Version = v
			refused(t, b, r, shred.ErrShredded)
		}
	}
	same(t, "Get returns", get(t, b, one.Alias), tomb)
	// Somebody without a key is shredded all the same: a replica may have one.
	none := shred.Record{Alias: Record(2).Alias, Shredded: tomb.Shredded}
	put(t, a, none)
	refused(t, b, Record(2), shred.ErrShredded)
}

func numbered(t *testing.T, a, b shred.Store) {
	for i := range 10 {
		s := a
		if i%2 == 1 {
			s = b
		}
		if got := put(t, s, gone(put(t, s, Record(i)))); got.Counter != uint64(i+1) {
			t.Errorf("tombstone %d has number %d", i+1, got.Counter)
		}
	}
}

func elsewhere(t *testing.T, a, b shred.Store) {
	r := gone(Record(1))
	r.Box, r.Counter = nil, 40
	if got := put(t, a, r); got.Counter != 40 {
		t.Errorf("it has number %d", got.Counter)
	}
	r = gone(Record(2))
	r.Box, r.Counter = nil, 7
	if got := put(t, b, r); got.Counter != 7 {
		t.Errorf("it has number %d", got.Counter)
	}
	if got := put(t, b, gone(put(t, b, Record(3)))); got.Counter != 41 {
		t.Errorf("the next one has number %d, want the highest and 1", got.Counter)
	}
}

func invalid(t *testing.T, a, _ shred.Store) {
	for name, spoil := range map[string]func(*shred.Record){
		"no alias":           func(r *shred.Record) { r.Alias = shred.Alias{} },
		"no fingerprint":     func(r *shred.Record) { r.Key = shred.Fingerprint{} },
		"no box":             func(r *shred.Record) { r.Box = nil },
		"a huge box":         func(r *shred.Record) { r.Box = make([]byte, 4097) },
		"no time":            func(r *shred.Record) { r.Created = time.Time{} },
		"a far time":         func(r *shred.Record) { r.Created = time.Date(3000, 1, 1, 0, 0, 0, 0, time.UTC) },
		"a time of a place":  func(r *shred.Record) { r.Created = r.Created.In(time.FixedZone("x", 3600)) },
		"nanoseconds":        func(r *shred.Record) { r.Created = r.Created.Add(1) },
		"a counter of a key": func(r *shred.Record) { r.Counter = 1 },
		"a huge counter":     func(r *shred.Record) { *r = gone(*r); r.Counter = 1<<62 + 1 },
	} {
		r := Record(1)
		spoil(&r)
		if _, err := a.Put(t.Context(), r); err == nil {
			t.Errorf("%s: stored", name)
		}
	}
	if l := list(t, a, shred.Page{}); len(l) != 0 {
		t.Errorf("%d records", len(l))
	}
}

func seenByBoth(t *testing.T, a, b shred.Store) {
	r := put(t, a, Record(1))
	for i := range 10 {
		writer, reader := a, b
		if i%2 == 1 {
			writer, reader = b, a
		}
		r.Box = []byte(fmt.Sprint("wrapping ", i))
		r = put(t, writer, r)
		same(t, "Get elsewhere returns", get(t, reader, r.Alias), r)
	}
}

func pages(t *testing.T, a, b shred.Store) {
	const n = 40
	for i := range n {
		r := Record(i * 37 % n * 7) // in no order
		if r = put(t, a, r); i%4 == 0 {
			put(t, b, gone(r))
		}
	}
	for _, shredded := range []bool{false, true} {
		for _, limit := range []int{0, 1, 7, n} {
			p := shred.Page{Shredded: shredded, Limit: limit}
			total := 0
			for {
				l := list(t, b, p)
				if len(l) > p.Max() {
					t.Fatalf("a page of %d, want %d", len(l), limit)
				}
				for _, r := range l {
					if bytes.Compare(r.Alias[:], p.After[:]) <= 0 {
						t.Fatalf("%v after %v", r.Alias, p.After)
					}
					if r.Shredded.IsZero() == shredded {
						t.Fatalf("%v is of the other kind", r.Alias)
					}
					p.After = r.Alias
					total++
				}
				if len(l) == 0 {
					break
				}
			}
			if want := map[bool]int{false: n - n/4, true: n / 4}[shredded]; total != want {
				t.Errorf("%d records in pages of %d, want %d", total, limit, want)
			}
		}
	}
}

func oneWins(t *testing.T, a, b shred.Store) {
	for round := range 5 {
		var wins atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				r := Record(round)
				r.Key = shred.Fingerprint{byte(i + 1)} // each has made a key of its own
				s := a
				if i%2 == 1 {
					s = b
				}
				switch _, err := s.Put(context.WithoutCancel(t.Context()), r); {
				case err == nil:
					wins.Add(1)
				case !errors.Is(err, shred.ErrConflict):
					t.Errorf("Put: %v, want ErrConflict", err)
				}
			})
		}
		wg.Wait()
		if wins.Load() != 1 {
			t.Errorf("%d writers won", wins.Load())
		}
	}
}

func race(t *testing.T, a, b shred.Store) {
	for n := range 10 {
		var wg sync.WaitGroup
		wg.Go(func() {
			r, err := a.Put(context.WithoutCancel(t.Context()), Record(n))
			for i := 0; err == nil && i < 5; i++ {
				r.Box = []byte(fmt.Sprint("wrapping ", i))
				r, err = a.Put(context.WithoutCancel(t.Context()), r)
			}
			if err != nil && !errors.Is(err, shred.ErrShredded) && !errors.Is(err, shred.ErrConflict) {
				t.Error(err)
			}
		})
		wg.Go(func() {
			for {
				r, err := b.Get(context.WithoutCancel(t.Context()), Record(n).Alias)
				if errors.Is(err, shred.ErrNotFound) {
					r, err = shred.Record{Alias: Record(n).Alias}, nil
				}
				if err == nil {
					_, err = b.Put(context.WithoutCancel(t.Context()), gone(r))
				}
				if errors.Is(err, shred.ErrConflict) {
					continue
				}
				if err != nil {
					t.Error(err)
				}
				return
			}
		})
		wg.Wait()
		for _, s := range []shred.Store{a, b} {
			if r := get(t, s, Record(n).Alias); r.Shredded.IsZero() || len(r.Box) > 0 {
				t.Errorf("%+v", r)
			}
		}
	}
}

func copies(t *testing.T, a, _ shred.Store) {
	r := Record(1)
	want := string(r.Box)
	stored := put(t, a, r)
	clear(r.Box)
	clear(stored.Box)
	clear(get(t, a, r.Alias).Box)
	clear(list(t, a, shred.Page{})[0].Box)
	if got := get(t, a, r.Alias); string(got.Box) != want {
		t.Errorf("the box became %q", got.Box)
	}
}

func ended(t *testing.T, a, _ shred.Store) {
	put(t, a, Record(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := a.Get(ctx, Record(1).Alias); err == nil {
		t.Error("Get succeeds")
	}
	if _, err := a.Put(ctx, Record(2)); err == nil {
		// A write that was made is no fault, but it must not say both.
		if _, err := a.Get(t.Context(), Record(2).Alias); err != nil {
			t.Error("Put succeeds and stores nothing")
		}
	}
	if _, err := a.List(ctx, shred.Page{}); err == nil {
		t.Error("List succeeds")
	}
}

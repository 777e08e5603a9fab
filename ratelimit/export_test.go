package ratelimit

import (
	"fmt"
	"hash/fnv"
	"time"
)

// Dump returns a fingerprint of the table.
func Dump(m *MemoryStore) string {
	h := fnv.New128a()
	for i := range m.shards {
		fmt.Fprintf(h, "%+v %d", m.shards[i].groups, m.shards[i].evicted)
	}
	return string(h.Sum(nil))
}

// WindowAt exposes the calendar.
func WindowAt(t time.Time, p Period, zone *time.Location) (start, end time.Time) {
	w := windowAt(t, p, zone)
	return time.Unix(w.start, 0).In(zone), time.Unix(w.end, 0).In(zone)
}

// HashesAgree reports whether the short way to a key's hash leads where the long one does.
func HashesAgree(l *Limiter, s Subject) bool {
	for _, p := range l.plans {
		for i := range p.limits {
			var k Key
			p.limits[i].key(&k, &s)
			a1, a2 := l.mem.hash(&k)
			b1, b2 := l.mem.hashFor(&p.limits[i], &s)
			if a1 != b1 || a2 != b2 {
				return false
			}
		}
	}
	return true
}

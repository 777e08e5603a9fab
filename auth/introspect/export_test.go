package introspect

import (
	"time"

	"github.com/mantlet-go/mantlet/auth"
)

// Entries returns how many answers are remembered.
func Entries(v *Verifier) (accepted, refused int) {
	count := func(c *cache) (n int) {
		for i := range c.shards {
			n += len(c.shards[i].entries)
		}
		return n
	}
	return count(&v.accepted), count(&v.refused)
}

// Judge is the reader of answers.
func Judge(v *Verifier, body []byte, now time.Time) (*auth.Principal, error) {
	a := v.judge(body, now)
	return a.p, a.err
}

// Believed reports whether what body says at the time given would be answered from memory at the time now.
func Believed(v *Verifier, body []byte, given, now time.Time) bool {
	a := v.judge(body, given)
	if a.err == nil {
		v.accepted.put(digest{1}, a, given)
		_, ok := v.accepted.get(digest{1}, now)
		return ok
	}
	v.refused.put(digest{1}, a, given)
	_, ok := v.refused.get(digest{1}, now)
	return ok
}

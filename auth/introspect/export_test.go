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

package seal

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// WatchFile has the Keyring follow its file until ctx ends, and returns nil then: run it on a goroutine of its own, in every process that
// has the ring. It reads the file at once and then at every interval, whole, and does what ReloadFile does when its bytes have changed,
// whatever its times say. Zero means every 10 seconds, which is how soon a step of an operator has reached the process. Before the next
// step make sure that it has reached all of them: let each show Keys in its health endpoint (ids and states are no secrets), and compare.
//
// onChange is called after each attempt that made a difference, on the same goroutine: with nil when the ring has become another one, or
// when the file is good again after an error; with the error of ReloadFile when that fails, once and not at every interval for as long as the
// error stays the same. The ring stays what it was then, so the error is to reach somebody: onChange is required. WatchFile returns an
// error at once if it is nil, or every is negative, or ErrNoPrimary if the Keyring was not made by New.
func (k *Keyring) WatchFile(ctx context.Context, path string, every time.Duration, onChange func(error)) error {
	switch {
	case onChange == nil:
		return errors.New("seal: WatchFile needs an onChange: nobody would see that the file cannot be read")
	case every < 0:
		return fmt.Errorf("seal: WatchFile: every %v is negative", every)
	case every == 0:
		every = watchEvery
	}
	if k.load().primary == nil {
		return ErrNoPrimary
	}
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	var taken [sha256.Size]byte // what is in force; zero before the first read
	failing := ""
	for ctx.Err() == nil {
		fresh, sum, err := readKeyringFile(path, taken)
		changed := false
		if err == nil && fresh != nil {
			before := k.load()
			if err = k.follow(path, fresh); err == nil {
				taken, changed = sum, !before.same(k.load())
			}
		}
		switch {
		case err != nil && err.Error() != failing:
			failing = err.Error()
			onChange(err)
		case err == nil && (changed || failing != ""):
			failing = ""
			onChange(nil)
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
	return nil
}

const watchEvery = 10 * time.Second

// same reports whether two rings have the same keys in the same states. An id is a fingerprint of its key.
func (r *ring) same(other *ring) bool {
	if len(r.keys) != len(other.keys) {
		return false
	}
	for id, e := range r.keys {
		if o := other.keys[id]; o == nil || o.State != e.State {
			return false
		}
	}
	return true
}

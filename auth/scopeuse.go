package auth

import (
	"slices"
	"sync/atomic"
)

// ScopeUse records which scopes of a credential are asked for and held, through [Principal.HasScope] and so by a [Gate]: what a
// key was given and never needed can be taken from it. It is safe for concurrent use; a scope that is on record already costs
// one read. A nil ScopeUse records nothing.
type ScopeUse struct {
	scopes []string
	first  atomic.Uint64 // of the first 64 scopes: hardly a key has more
	more   []atomic.Uint64
}

// NewScopeUse returns a record of these scopes, none of them used. It keeps the slice, which must not be written any more, as those of a
// [Principal] must not.
func NewScopeUse(scopes []string) *ScopeUse {
	u := &ScopeUse{scopes: scopes}
	if len(scopes) > 64 {
		u.more = make([]atomic.Uint64, (len(scopes)-1)/64)
	}
	return u
}

// word returns the bits of 64 scopes.
func (u *ScopeUse) word(i int) *atomic.Uint64 {
	if i == 0 {
		return &u.first
	}
	return &u.more[i-1]
}

// mark records a use of scope. What is not among the scopes, as in a Principal that somebody changed, is not recorded.
func (u *ScopeUse) mark(scope string) {
	if u == nil {
		return
	}
	i := slices.Index(u.scopes, scope)
	if i < 0 {
		return
	}
	if w, bit := u.word(i/64), uint64(1)<<(i%64); w.Load()&bit == 0 {
		w.Or(bit)
	}
}

// Take returns the scopes used since the last Take, in the order they were given to [NewScopeUse]; nil for none.
func (u *ScopeUse) Take() (used []string) {
	if u == nil {
		return nil
	}
	for i := range 1 + len(u.more) {
		w := u.word(i)
		if w.Load() == 0 {
			continue
		}
		taken := w.Swap(0)
		for j := range 64 {
			if taken>>j&1 != 0 {
				used = append(used, u.scopes[i*64+j])
			}
		}
	}
	return used
}

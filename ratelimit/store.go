package ratelimit

import (
	"context"
	"encoding/binary"
	"net/netip"
	"time"
)

// MaxClaims is the largest number of limits one request can be charged to.
const MaxClaims = 8

// Kind is how a bucket counts.
type Kind uint8

const (
	// Rolling refills evenly: Max units per Per, at most Burst at once.
	Rolling Kind = iota + 1
	// Calendar counts up to Max inside a window that ends at a known moment.
	Calendar
	// Parallel counts what is in flight, up to Max.
	Parallel
)

// Key identifies a bucket. Two keys are the same bucket iff all fields are equal.
type Key struct {
	// Limit is the name of the limit.
	Limit string
	// Kind is the limit's kind.
	Kind Kind
	// Scope is what was looked at, after falling back (see [Scope]).
	Scope Scope
	// A, B and C are the parts of the scope, such as issuer, client and model.
	A, B, C string
	// Addr is the address, already cut to its prefix; the zero Addr where the scope has none.
	Addr netip.Addr
}

// Append appends a form of k in which no two keys are equal, whatever bytes their parts contain: every part is
// preceded by its length.
func (k *Key) Append(dst []byte) []byte {
	dst = append(dst, byte(k.Kind), byte(k.Scope))
	dst = appendPart(dst, k.Limit)
	dst = appendPart(dst, k.A)
	dst = appendPart(dst, k.B)
	dst = appendPart(dst, k.C)
	switch {
	case k.Addr.Is4():
		a := k.Addr.As4()
		dst = append(append(dst, 4), a[:]...)
	case k.Addr.IsValid():
		a := k.Addr.As16()
		dst = append(append(dst, 16), a[:]...)
	}
	return dst
}

func appendPart(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}

// ID makes a call repeatable: a store that sees the ID of a Settle again does nothing. IDs of different calls differ.
// The zero ID means that the caller never repeats a call.
type ID struct{ Hi, Lo uint64 }

// Claim is one limit's part of a decision.
type Claim struct {
	// Key is the bucket.
	Key Key
	// Cost is what to debit, in units of the limit, >= 0. A Parallel claim counts 1 whatever its Cost.
	Cost int64
	// Max, Burst and Per are the limit's. Calendar and Parallel use Max only.
	Max, Burst int64
	// Per is the time in which Max units come back; only for Rolling.
	Per time.Duration
	// Slack is how far, in units, refunds may let the bucket run ahead of an exact one; only for Rolling.
	Slack int64
	// End is the end of the current window in Unix seconds; only for Calendar.
	End int64
	// Length is the longest such a window can be, in seconds; only for Calendar.
	Length int64
	// Shadow claims never refuse: they are debited when they fit, and otherwise only reported.
	Shadow bool
}

// Mark is what a store wants to know again when a debit is settled. Its meaning is the store's own.
type Mark struct{ A, B int64 }

// State is a store's answer to one claim.
type State struct {
	// OK says whether the claim fits. In a refused decision it is still true for the claims that would have.
	OK bool
	// Never says that the cost exceeds what the bucket can ever hold.
	Never bool
	// Remaining is what is left, in units, never negative: after the debit if the decision was to admit.
	Remaining int64
	// Wait is how long until this claim alone would fit; 0 if it does. For Parallel it is 0: unknown.
	Wait time.Duration
	// Reset is how long until the bucket is full again (Rolling) or the window ends (Calendar).
	Reset time.Duration
	// Mark is to be handed to Settle.
	Mark Mark
}

// Fix corrects one debit of an earlier Reserve.
type Fix struct {
	// Claim is the claim as it was reserved, but with End as of now.
	Claim Claim
	// Mark is what Reserve returned.
	Mark Mark
	// Charged is what was debited, in units.
	Charged int64
	// Actual is what it should have been. A Parallel bucket is left, whatever Actual is.
	Actual int64
}

// Store keeps the buckets. The memory store ([NewMemoryStore]) is the one to start with; a store shared by several processes
// implements the same contract and proves it with package storetest. Implementations are safe for concurrent use.
//
// An error means that the store did not answer; the Limiter then refuses (closed), it does not guess.
type Store interface {
	// Reserve decides all claims together at time now: if every claim that is not Shadow fits, all that fit are
	// debited and ok is true; otherwise nothing is changed. One call is one trip. out has the length of claims and is
	// filled in either case. At most MaxClaims claims.
	Reserve(ctx context.Context, now time.Time, id ID, claims []Claim, out []State) (ok bool, err error)
	// Settle replaces debits by what they should have been. It never refuses: what exceeds the bucket becomes debt,
	// what comes back never lets a Rolling bucket run ahead of an exact one by more than Slack. The same id again is
	// a no-op.
	Settle(ctx context.Context, now time.Time, id ID, fixes []Fix) error
}

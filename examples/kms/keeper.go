package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"

	"github.com/mantlet-go/mantlet/crypto/seal"
	"gocloud.dev/gcerrors"
	"gocloud.dev/secrets"
)

// Keeper makes a seal.KEK of a key in any service that gocloud.dev/secrets knows. Those have no associated data in common, so the
// SHA-256 of it is wrapped in front of the data key and compared on the way back.
type Keeper struct{ Keeper *secrets.Keeper }

// Wrap implements seal.KEK.
func (k Keeper) Wrap(ctx context.Context, dek, aad []byte) ([]byte, error) {
	sum := sha256.Sum256(aad)
	msg := append(sum[:], dek...)
	defer clear(msg)
	return k.Keeper.Encrypt(ctx, msg)
}

// Unwrap implements seal.KEK.
func (k Keeper) Unwrap(ctx context.Context, blob, aad []byte) ([]byte, error) {
	msg, err := k.Keeper.Decrypt(ctx, blob)
	switch {
	case gcerrors.Code(err) == gcerrors.InvalidArgument:
		// The service says that it has not made this. Nothing else does: a box is not to be thrown away for an error that
		// nobody understands, or because the service is down or asks for other permissions.
		return nil, fmt.Errorf("%w: %v", seal.ErrInvalid, err)
	case err != nil:
		return nil, err
	}
	sum := sha256.Sum256(aad)
	if len(msg) < len(sum) || subtle.ConstantTimeCompare(msg[:len(sum)], sum[:]) != 1 {
		clear(msg)
		return nil, seal.ErrInvalid
	}
	return msg[len(sum):], nil
}

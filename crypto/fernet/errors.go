package fernet

import "errors"

var (
	// ErrInvalid is returned for everything that is not a genuine token of one of the ring's keys: malformed, forged, made under
	// an unknown key, or with a time stamp that lies further in the future than Config.Skew. The cases are not told apart on
	// purpose.
	ErrInvalid = errors.New("fernet: invalid token")
	// ErrExpired is returned for a genuine token that is older than Config.TTL.
	ErrExpired = errors.New("fernet: token expired")
)

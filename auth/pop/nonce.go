package pop

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"time"
)

// nonces makes and knows nonces without remembering any: a nonce is the MAC of the window of time in which it is the current one.
// The next ones cannot be told from those seen (RFC 9449 section 8: unpredictable).
type nonces struct {
	key    []byte
	window int64 // seconds
}

func (n *nonces) at(now time.Time) string { return n.of(now.Unix() / n.window) }

func (n *nonces) of(window int64) string {
	h := hmac.New(sha256.New, n.key)
	h.Write(binary.BigEndian.AppendUint64([]byte("mantlet dpop nonce "), uint64(window)))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil)[:18])
}

// knows reports whether s is the nonce of this window or of the one before: a client that was given one just before the turn
// must have time to use it.
func (n *nonces) knows(s string, now time.Time) bool {
	w := now.Unix() / n.window
	return hmac.Equal([]byte(s), []byte(n.of(w))) || hmac.Equal([]byte(s), []byte(n.of(w-1)))
}

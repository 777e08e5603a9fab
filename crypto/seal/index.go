package seal

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
)

const (
	// IndexLen is the length of the text that Index returns, in bytes.
	IndexLen = 48

	indexVersion = 0x06
	indexMAC     = IndexLen/4*3 - headerSize // 31 of the 32 bytes of the HMAC, so that the text comes out even
)

// Index returns a blind index of value under the primary key: store it beside the sealed value, in a column of its own, to find the row
// by that value without opening others. Look up with Indexes. It is 48 characters of base64url: the byte 0x06, the key id, and the first
// 31 bytes of an HMAC-SHA-256 of the Context (as the associated data of a box is written, with 0x06) and value, under a key
// derived for this use alone ("mantlet seal v1 index").
//
// What it gives away: that two rows of one Context have the same value, how often each value occurs, and, to those who can have
// values of their choice stored or looked up, which rows have that value. Without the key a value cannot be guessed; with it, few possible
// values (numbers of phones, dates, countries) are soon all tried. It finds equal bytes only: no order, no beginnings, no words. Bring values
// to one form before, here and in Indexes (lower case, trimmed, Unicode NFC), as your application means them.
//
// Leave Context.Subject empty, unless whoever looks for a row knows it. After a key was replaced old and new rows of one value have two
// texts, so a UNIQUE constraint holds for rows under one key only; write the indexes anew as you reseal (IndexID tells what is left).
//
// The error wraps ErrContext, or is ErrNoPrimary.
func (k *Keyring) Index(value []byte, c Context) (string, error) {
	if err := c.check(); err != nil {
		return "", err
	}
	e := k.load().primary
	if e == nil {
		return "", ErrNoPrimary
	}
	return e.index(value, &c), nil
}

// Indexes returns the blind indexes of value under every key that opens, the primary one first: look for rows that have any of them
// ("WHERE email_index IN (?, ?)"). So rows are found while a key is replaced, also those that a process has written that is a step
// ahead or behind. The errors are those of Index.
func (k *Keyring) Indexes(value []byte, c Context) ([]string, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	r := k.load()
	if r.primary == nil {
		return nil, ErrNoPrimary
	}
	texts := []string{r.primary.index(value, &c)}
	for _, e := range r.keys {
		if e.State == DecryptOnly {
			texts = append(texts, e.index(value, &c))
		}
	}
	return texts, nil
}

func (e *entry) index(value []byte, c *Context) string {
	key := e.key.derive("index", sha256.Size)
	defer clear(key)
	mac := hmac.New(sha256.New, key)
	binding := c.binding(indexVersion, e.ID)
	defer release(binding)
	mac.Write(*binding)
	mac.Write(value)
	var b [headerSize + sha256.Size]byte
	b[0] = indexVersion
	copy(b[1:], e.ID[:])
	mac.Sum(b[:headerSize])
	return base64.RawURLEncoding.EncodeToString(b[:headerSize+indexMAC])
}

// IndexID returns the id of the key that a text of Index says it is under. The error is for what is no such text.
func IndexID(text string) (ID, error) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	// The decoder skips line breaks, which would make other texts of the same meaning. IndexLen leaves no bits over.
	if err != nil || len(text) != IndexLen || len(b) != headerSize+indexMAC || b[0] != indexVersion {
		return ID{}, errors.New("seal: no text of Index")
	}
	return ID(b[1:headerSize]), nil
}

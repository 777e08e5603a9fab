package fernet

import "bytes"

var (
	DecodeKeyFile = decodeKeyFile
	EncodeKeyFile = encodeKeyFile
	Encode        = encode
	Decode        = decode
)

// MAC returns the MAC of b under a key, as for a token.
func MAC(k Key, b []byte) []byte { return bytes.Clone(newCryptor(k).get().mac(b)) }

// Matches reports whether mac is that of b, as for a token.
func Matches(k Key, b, mac []byte) bool { return newCryptor(k).get().matches(b, mac) }

// EncryptCBC encrypts padded text in place, as for a token.
func EncryptCBC(k Key, iv, text []byte) { newCryptor(k).get().encrypt(iv, text) }

package cli

// DecodeRing and EncodeRing read and write a ring file.
var (
	DecodeRing = decodeRing
	EncodeRing = encodeRing
)

package cli

// DecodeRing reads a ring file.
var DecodeRing = decodeRing

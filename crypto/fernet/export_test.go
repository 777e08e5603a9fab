package fernet

var (
	DecodeKeyFile = decodeKeyFile
	EncodeKeyFile = encodeKeyFile
	Encode        = encode
	Decode        = decode
)

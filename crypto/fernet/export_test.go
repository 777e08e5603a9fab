package fernet

var (
	DecodeKeyFile = decodeKeyFile
	EncodeKeyFile = encodeKeyFile
)

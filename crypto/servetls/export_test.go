package servetls

var (
	ParsePair = parsePair
	ParseCAs  = parseCAs
)

package validate

// formats are the formats that this package checks itself, by name. They say nothing about values that are no strings.
var formats = map[string]func(string) bool{
	"regex":           isPattern,
	FormatPublicHTTPS: isPublicHTTPS,
}

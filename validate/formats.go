package validate

import (
	"maps"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v5"
)

// maxFormat is the length in bytes beyond which no string has a format of the engine. They are dates, addresses, names and URIs;
// RFC 9110 section 4.1 asks for URIs of 8,000 bytes. Some of the engine's checks need several times the memory of the text.
const maxFormat = 64 << 10

// formats returns the formats that are asserted: those of the engine, as they are now, and those that this package checks
// itself. They say nothing about values that are no strings.
var formats = sync.OnceValue(func() map[string]func(string) bool {
	all := map[string]func(string) bool{}
	for name, holds := range jsonschema.Formats {
		all[name] = func(s string) bool { return len(s) <= maxFormat && holds(s) }
	}
	maps.Copy(all, map[string]func(string) bool{
		"regex":           isPattern,
		FormatPublicHTTPS: isPublicHTTPS,
		FormatImageURL:    isImageURL,
		FormatMediaURL:    isMediaURL,
		FormatBase64:      isBase64,
		FormatImageBase64: isImageBase64,
	})
	return all
})

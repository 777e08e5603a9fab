package validate

import (
	"maps"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v5"
)

// formats returns the formats that are asserted: those of the engine, as they are now, and those that this package checks
// itself. They say nothing about values that are no strings.
var formats = sync.OnceValue(func() map[string]func(string) bool {
	all := map[string]func(string) bool{}
	for name, holds := range jsonschema.Formats {
		all[name] = func(s string) bool { return holds(s) }
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

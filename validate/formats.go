package validate

import (
	"maps"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v5"

	"github.com/mantlet-go/mantlet/internal/filetype"
)

// formatSentences say what a format asks for, where its name does not reach the client or would not tell.
var formatSentences = map[string]string{
	FormatPublicHTTPS: "The string is not an https URL with a public host name.",
	FormatImageURL:    "The string is neither an https URL with a public host name nor a base64 data URL of a PNG, JPEG, GIF or WebP image.",
	FormatMediaURL:    "The string is neither an https URL with a public host name nor a base64 data URL of an image, sound, video or PDF of its type.",
	FormatBase64:      "The string is not base64 with padding and without spaces.",
	FormatImageBase64: "The string is not a PNG, JPEG, GIF or WebP image in base64.",
	FormatPDFBase64:   "The string is not a PDF file in base64.",
	FormatWAVBase64:   "The string is not a WAV file in base64.",
	FormatMP3Base64:   "The string is not an MP3 file in base64.",
	"date-time":       "The string is not a time such as 2026-01-02T15:04:05Z.",
	"date":            "The string is not a date such as 2026-01-02.",
	"email":           "The string is not an e-mail address.",
	"uuid":            "The string is not a UUID.",
	"uri":             "The string is not an absolute URI.",
	"regex":           "The string is not a regular expression, or one that is too costly.",
}

// maxFormat is the length in bytes beyond which no string has a format of the engine. They are dates, addresses, names and URIs;
// RFC 9110 section 4.1 asks for URIs of 8,000 bytes. Some of the engine's checks need several times the memory of the text.
const maxFormat = 64 << 10

// libraryFormats are those of the engine as they are when the program starts: it keeps them in a variable that anybody may write.
var libraryFormats = maps.Clone(jsonschema.Formats)

// formats returns the formats that are asserted: those of the engine and those that this package checks itself. They say
// nothing about values that are no strings.
var formats = sync.OnceValue(func() map[string]func(string) bool {
	all := map[string]func(string) bool{}
	for name, holds := range libraryFormats {
		all[name] = func(s string) bool { return len(s) <= maxFormat && holds(s) }
	}
	maps.Copy(all, map[string]func(string) bool{
		"regex":           isPattern,
		FormatPublicHTTPS: isPublicHTTPS,
		FormatImageURL:    isImageURL,
		FormatMediaURL:    isMediaURL,
		FormatBase64:      isBase64,
		FormatImageBase64: isImageBase64,
		FormatPDFBase64:   func(s string) bool { return isFileBase64(s, filetype.PDF) },
		FormatWAVBase64:   func(s string) bool { return isFileBase64(s, filetype.WAV) },
		FormatMP3Base64:   func(s string) bool { return isFileBase64(s, filetype.MP3) },
	})
	return all
})

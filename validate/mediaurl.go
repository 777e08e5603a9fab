package validate

import (
	"encoding/base64"
	"strings"
	"sync"

	"github.com/mantlet-go/mantlet/internal/filetype"
)

// FormatImageURL is a format that schemas given to [New] may use for the URL of a picture: either a URL that
// [FormatPublicHTTPS] accepts, or a data URL of exactly the form
//
//	data:image/png;base64,iVBORw0KGgo...
//
// with image/png, image/jpeg, image/gif or image/webp, without parameters, whose base64 is what [FormatBase64] accepts and
// whose bytes are a whole file of the declared type: its structure is followed to its end, nothing may come after it, no
// second format may hide in it, and it declares at most 50 million pixels, 1,000 frames and 500 million pixels in all
// frames. Compressed data is not decompressed.
//
// Decoders behind an inference server allocate by the declaration, and a hundred bytes of GIF are enough to declare 65,535 by
// 65,535 pixels: 17 GB as RGBA.
const FormatImageURL = "mantlet-image-url"

// FormatMediaURL is [FormatImageURL] with sound (audio/wav, audio/mpeg, audio/mp3, audio/mp4, audio/m4a, audio/x-m4a,
// audio/ogg, audio/flac, audio/webm and their older names audio/x-wav, audio/wave, audio/x-flac), video (video/mp4,
// video/webm) and application/pdf allowed in data URLs too.
const FormatMediaURL = "mantlet-media-url"

// FormatBase64 is a format that schemas given to [New] may use for base64 (RFC 4648 section 4) in its one canonical form:
// the standard alphabet, padded, without white space, unused bits zero. Two texts that pass and differ are different bytes.
// The empty text passes: it is what no bytes encode to.
const FormatBase64 = "mantlet-base64"

// FormatImageBase64 is a format that schemas given to [New] may use for a picture in base64 without a declared type, as Ollama
// takes it: what [FormatBase64] accepts, of bytes that are a PNG, JPEG, GIF or WebP file by the rules of [FormatImageURL].
const FormatImageBase64 = "mantlet-image-base64"

// FormatPDFBase64, FormatWAVBase64 and FormatMP3Base64 are formats that schemas given to [New] may use for a file in base64 whose
// type another member declares: what [FormatBase64] accepts, of bytes that are a whole PDF, WAV or MP3 file by the rules of
// [FormatMediaURL].
const (
	FormatPDFBase64 = "mantlet-pdf-base64"
	FormatWAVBase64 = "mantlet-wav-base64"
	FormatMP3Base64 = "mantlet-mp3-base64"
)

// imageTypes and mediaTypes are the media types of data URLs. Those of pictures have one spelling: model servers compare.
var (
	imageTypes = map[string]filetype.Type{
		"image/png": filetype.PNG, "image/jpeg": filetype.JPEG, "image/gif": filetype.GIF, "image/webp": filetype.WebP,
	}
	mediaTypes = map[string]filetype.Type{
		"image/png": filetype.PNG, "image/jpeg": filetype.JPEG, "image/gif": filetype.GIF, "image/webp": filetype.WebP,
		"audio/wav": filetype.WAV, "audio/x-wav": filetype.WAV, "audio/wave": filetype.WAV,
		"audio/mpeg": filetype.MP3, "audio/mp3": filetype.MP3,
		"audio/mp4": filetype.M4A, "audio/m4a": filetype.M4A, "audio/x-m4a": filetype.M4A,
		"audio/ogg": filetype.Ogg, "audio/flac": filetype.FLAC, "audio/x-flac": filetype.FLAC, "audio/webm": filetype.WebM,
		"video/mp4": filetype.MP4, "video/webm": filetype.WebM,
		"application/pdf": filetype.PDF,
	}
)

// isImageURL reports whether s has the format FormatImageURL.
func isImageURL(s string) bool { return isFileURL(s, imageTypes) }

// isMediaURL reports whether s has the format FormatMediaURL.
func isMediaURL(s string) bool { return isFileURL(s, mediaTypes) }

func isFileURL(s string, types map[string]filetype.Type) bool {
	rest, ok := strings.CutPrefix(s, "data:")
	if !ok {
		return isPublicHTTPS(s)
	}
	// No media type is longer than 32 bytes here: a data URL of megabytes without its comma is not searched.
	head, _, ok := strings.Cut(rest[:min(len(rest), 64)], ",")
	if !ok {
		return false
	}
	media, ok := strings.CutSuffix(head, ";base64")
	t, known := types[media]
	return ok && known && isFileBase64(rest[len(head)+1:], t)
}

// isBase64 reports whether s has the format FormatBase64.
func isBase64(s string) bool { return decodeBase64(s, nil) }

// isImageBase64 reports whether s has the format FormatImageBase64.
func isImageBase64(s string) bool {
	// The first characters are those of the signature's first bytes; the verifier sees to the rest.
	for _, p := range [...]struct {
		lead string
		t    filetype.Type
	}{{"iVBORw0KGgo", filetype.PNG}, {"/9j/", filetype.JPEG}, {"R0lGODdh", filetype.GIF}, {"R0lGODlh", filetype.GIF}, {"UklGR", filetype.WebP}} {
		if strings.HasPrefix(s, p.lead) {
			return isFileBase64(s, p.t)
		}
	}
	return false
}

// isFileBase64 reports whether s is canonical base64 of a file of type t.
func isFileBase64(s string, t filetype.Type) bool {
	v := verifiers.Get().(*filetype.Verifier)
	defer verifiers.Put(v)
	v.Reset(t, filetype.Limits{})
	return decodeBase64(s, v) && v.Close() == nil
}

// verifiers are reused: one has several kilobytes of working memory.
var verifiers = sync.Pool{New: func() any { return new(filetype.Verifier) }}

// strict refuses unused bits that are not zero: they would make several texts of the same bytes.
var strict = base64.StdEncoding.Strict()

// block is the text decoded at a time; blocks is the working memory for that.
const block = 4096

var blocks = sync.Pool{New: func() any {
	return new(struct {
		text  [block]byte
		bytes [block / 4 * 3]byte
	})
}}

// decodeBase64 reports whether s is canonical base64 whose bytes v, when not nil, takes. It stops at the first block that is
// not, and copies no more than a block.
func decodeBase64(s string, v *filetype.Verifier) bool {
	if len(s)%4 != 0 {
		return false
	}
	b := blocks.Get().(*struct {
		text  [block]byte
		bytes [block / 4 * 3]byte
	})
	defer blocks.Put(b)
	for len(s) > 0 {
		n := copy(b.text[:], s)
		s = s[n:]
		got, err := strict.Decode(b.bytes[:], b.text[:n])
		if err != nil {
			return false
		}
		// Decode passes over line ends and takes padding at the end of a block: both show in the number of bytes.
		want := n / 4 * 3
		if s == "" {
			for _, c := range b.text[n-2 : n] {
				if c == '=' {
					want--
				}
			}
		}
		if got != want {
			return false
		}
		if v != nil {
			if _, err := v.Write(b.bytes[:got]); err != nil {
				return false
			}
		}
	}
	return true
}

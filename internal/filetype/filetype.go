package filetype

import (
	"slices"
	"strings"
)

// Type is a file type that a [Verifier] knows. The zero Type is none.
type Type uint8

// The types, in the order of their families: pictures, documents, sound, video, text, archives.
const (
	None Type = iota
	PNG
	JPEG
	GIF
	WebP
	PDF
	WAV
	MP3
	M4A
	Ogg
	FLAC
	MP4
	WebM
	Text
	Markdown
	CSV
	JSON
	JSONLines
	ZIP
	DOCX
	XLSX
	PPTX
	end
)

// entry is what names say about a type. The first extension and the first media type are the usual ones.
type entry struct {
	name       string
	extensions []string
	media      []string
}

// types: media types as registered with IANA, followed by the older spellings that clients still send.
var types = [end]entry{
	None: {name: "none"},
	PNG:  {"png", []string{"png"}, []string{"image/png", "image/apng"}},
	JPEG: {"jpeg", []string{"jpg", "jpeg"}, []string{"image/jpeg", "image/jpg"}},
	GIF:  {"gif", []string{"gif"}, []string{"image/gif"}},
	WebP: {"webp", []string{"webp"}, []string{"image/webp"}},
	PDF:  {"pdf", []string{"pdf"}, []string{"application/pdf"}},
	WAV:  {"wav", []string{"wav"}, []string{"audio/wav", "audio/x-wav", "audio/wave", "audio/vnd.wave"}},
	MP3:  {"mp3", []string{"mp3", "mpga"}, []string{"audio/mpeg", "audio/mp3"}},
	M4A:  {"m4a", []string{"m4a"}, []string{"audio/mp4", "audio/m4a", "audio/x-m4a"}},
	Ogg:  {"ogg", []string{"ogg", "oga", "opus"}, []string{"audio/ogg", "application/ogg", "audio/opus"}},
	FLAC: {"flac", []string{"flac"}, []string{"audio/flac", "audio/x-flac"}},
	MP4:  {"mp4", []string{"mp4", "m4v"}, []string{"video/mp4", "video/x-m4v"}},
	WebM: {"webm", []string{"webm"}, []string{"video/webm", "audio/webm"}},

	Text:      {"txt", []string{"txt", "text"}, []string{"text/plain"}},
	Markdown:  {"md", []string{"md", "markdown"}, []string{"text/markdown", "text/x-markdown"}},
	CSV:       {"csv", []string{"csv"}, []string{"text/csv", "application/csv"}},
	JSON:      {"json", []string{"json"}, []string{"application/json"}},
	JSONLines: {"jsonl", []string{"jsonl", "ndjson"}, []string{"application/jsonl", "application/x-ndjson", "application/x-jsonlines"}},

	ZIP:  {"zip", []string{"zip"}, []string{"application/zip", "application/x-zip-compressed"}},
	DOCX: {"docx", []string{"docx"}, []string{"application/vnd.openxmlformats-officedocument.wordprocessingml.document"}},
	XLSX: {"xlsx", []string{"xlsx"}, []string{"application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"}},
	PPTX: {"pptx", []string{"pptx"}, []string{"application/vnd.openxmlformats-officedocument.presentationml.presentation"}},
}

// known reports whether t is one of the types.
func (t Type) known() bool { return t > None && t < end }

// String returns the short name of the type, such as "png" or "jsonl".
func (t Type) String() string {
	if t < end {
		return types[t].name
	}
	return types[None].name
}

// Extension returns the usual file name extension in lower case, without a dot; "" for None.
func (t Type) Extension() string {
	if !t.known() {
		return ""
	}
	return types[t].extensions[0]
}

// MediaType returns the registered media type; "" for None.
func (t Type) MediaType() string {
	if !t.known() {
		return ""
	}
	return types[t].media[0]
}

// MediaTypes returns a copy of all media types that name the type, the registered one first.
func (t Type) MediaTypes() []string {
	if !t.known() {
		return nil
	}
	return slices.Clone(types[t].media)
}

// All returns every type.
func All() []Type {
	all := make([]Type, 0, end-1)
	for t := None + 1; t < end; t++ {
		all = append(all, t)
	}
	return all
}

// ByExtension returns the type of a file name extension, with or without its dot, in any case.
func ByExtension(ext string) (Type, bool) {
	ext = strings.TrimPrefix(ext, ".")
	for t := None + 1; t < end; t++ {
		for _, e := range types[t].extensions {
			if strings.EqualFold(e, ext) {
				return t, true
			}
		}
	}
	return None, false
}

// ByMediaType returns the type of a media type without parameters, in any case.
func ByMediaType(media string) (Type, bool) {
	for t := None + 1; t < end; t++ {
		for _, m := range types[t].media {
			if strings.EqualFold(m, media) {
				return t, true
			}
		}
	}
	return None, false
}

package ratelimit

import "bytes"

// isImage reports whether opaque data of a prompt is an image: base64 that begins like one of the formats that vision models take,
// bare or in a data URL that says so too. It is the raw content of a JSON string. Only images are scaled to a size of known cost.
// Whoever writes an image's first bytes before a text gets a decoder's error, not a cheaper text.
func isImage(raw []byte) bool {
	var buf [64]byte
	b := buf[:0]
	for i := 0; i < len(raw) && len(b) < len(buf); i++ {
		if raw[i] == '\\' && i+1 < len(raw) && raw[i+1] == '/' { // as PHP writes a slash; no other escape is usual here
			continue
		}
		b = append(b, raw[i])
	}
	if len(b) >= 5 && bytes.EqualFold(b[:5], []byte("data:")) {
		head, data, ok := bytes.Cut(b[5:], []byte(","))
		if !ok || len(head) < 6 || !bytes.EqualFold(head[:6], []byte("image/")) {
			return false
		}
		b = data
	}
	for _, magic := range [...]string{
		"iVBORw0KGgo", // PNG
		"/9j/",        // JPEG
		"R0lGODdh",    // GIF87a
		"R0lGODlh",    // GIF89a
	} {
		if bytes.HasPrefix(b, []byte(magic)) {
			return true
		}
	}
	// RIFF, a length, WEBP; a sound would say WAVE.
	return len(b) >= 16 && string(b[:5]) == "UklGR" && string(b[11:16]) == "XRUJQ"
}

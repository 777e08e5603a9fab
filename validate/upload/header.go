package upload

import (
	"bytes"
	"mime"
	"path"
	"strings"
	"unicode/utf8"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/filetype"
)

// maxBoundary is the longest boundary (RFC 2046 section 5.1.1).
const maxBoundary = 70

// parseFormType returns the boundary of a multipart/form-data type.
func parseFormType(v string) (boundary string, ok bool) {
	if len(v) > 256 {
		return "", false
	}
	t, params, err := mime.ParseMediaType(v)
	if err != nil || t != "multipart/form-data" {
		return "", false
	}
	// boundary*, and a boundary given twice with one value, are read in many ways. No parameter that passes holds a semicolon.
	_, rest, _ := strings.Cut(strings.ToLower(v), ";")
	n := 0
	for p := range strings.SplitSeq(rest, ";") {
		switch p = strings.TrimSpace(p); {
		case strings.HasPrefix(p, "boundary="):
			n++
		case !strings.HasPrefix(p, "charset="):
			return "", false
		}
	}
	b := params["boundary"]
	if n != 1 {
		return "", false
	}
	if b == "" || len(b) > maxBoundary || b[len(b)-1] == ' ' {
		return "", false
	}
	for i := range len(b) {
		if c := b[i]; !isAlnum(c) && strings.IndexByte("'()+_,-./:=? ", c) < 0 {
			return "", false
		}
	}
	return b, true
}

func isAlnum(c byte) bool { return c >= '0' && c <= '9' || c|0x20 >= 'a' && c|0x20 <= 'z' }

// maxLines is the number of headers of a part. Two have a meaning.
const maxLines = 8

// partHeader is what the headers of a part say.
type partHeader struct {
	name        string
	filename    string
	isFile      bool
	contentType string // "" when there is none
}

// parseHeader reads the headers of a part: lines with their ends.
func parseHeader(b []byte) (h partHeader, e *Error) {
	bad := func(sentence string) (partHeader, *Error) { return partHeader{}, malformed("header", sentence) }
	disposed, typed := false, false
	for lines := 0; len(b) > 0; lines++ {
		line, rest, _ := bytes.Cut(b, []byte("\r\n"))
		b = rest
		name, value, ok := strings.Cut(string(line), ":")
		if !ok || !isToken(name) || lines == maxLines {
			// A folded line begins with white space, and ends here too.
			return bad("The headers of a part are malformed.")
		}
		value = strings.Trim(value, " \t")
		if hasControl(value) || !utf8.ValidString(value) {
			return bad("A header of a part has a character that no header may have.")
		}
		switch strings.ToLower(name) {
		case "content-disposition":
			if disposed {
				return bad("A part has a header twice.")
			}
			disposed = true
			if !parseDisposition(value, &h) {
				return bad("The Content-Disposition of a part is not form-data with a plain name and, for a file, a plain filename (no filename*).")
			}
		case "content-type":
			if typed || value == "" {
				return bad("A part has a header twice, or an empty one.")
			}
			typed = true
			h.contentType = value
		case "content-transfer-encoding":
			// RFC 7578 section 4.7: deprecated. Some readers decode base64 and quoted-printable, others do not.
			return bad("A part has a Content-Transfer-Encoding: send its bytes as they are, without the header.")
		case "content-encoding":
			return bad("A part has a content coding: send its bytes as they are, without the header.")
		}
		// RFC 7578 section 4.8: other headers mean nothing. They are not handed on.
	}
	if !disposed {
		return bad("A part has no name.")
	}
	return h, nil
}

// parseDisposition reads the value of a Content-Disposition as HTML's forms write it: form-data, a name, at most a file name,
// both plain. RFC 7578 section 4.2 forbids filename*, which some readers prefer to filename; continuations (filename*0) and
// escapes by backslash, which readers undo or do not, fall with it, and any other parameter, and any given twice.
func parseDisposition(v string, h *partHeader) bool {
	kind, rest, _ := strings.Cut(v, ";")
	if !strings.EqualFold(strings.TrimRight(kind, " \t"), "form-data") {
		return false
	}
	named := false
	for rest = strings.Trim(rest, " \t"); rest != ""; {
		key, after, ok := strings.Cut(rest, "=")
		if !ok {
			return false
		}
		var value string
		if quoted, is := strings.CutPrefix(after, `"`); is {
			if value, rest, ok = strings.Cut(quoted, `"`); !ok {
				return false
			}
		} else {
			value, rest = after, ""
			if i := strings.IndexAny(after, "; \t"); i >= 0 {
				value, rest = after[:i], after[i:]
			}
			if !isToken(value) {
				return false
			}
		}
		if strings.ContainsRune(value, '\\') {
			return false
		}
		switch strings.ToLower(key) {
		case "name":
			if named {
				return false
			}
			named, h.name = true, value
		case "filename":
			if h.isFile {
				return false
			}
			h.isFile, h.filename = true, value
		default:
			return false
		}
		if rest = strings.TrimLeft(rest, " \t"); rest == "" {
			break
		}
		if rest, ok = strings.CutPrefix(rest, ";"); !ok {
			return false
		}
		if rest = strings.TrimLeft(rest, " \t"); rest == "" {
			return false
		}
	}
	return named && !badFieldName(h.name)
}

func isToken(s string) bool {
	if s == "" {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && strings.IndexByte("!#$%&'*+-.^_`|~", c) < 0 {
			return false
		}
	}
	return true
}

// hasControl reports whether s has a control character but tab.
func hasControl(s string) bool {
	for i := range len(s) {
		if c := s[i]; c < ' ' && c != '\t' || c == 0x7F {
			return true
		}
	}
	return false
}

// badFieldName reports whether s is no name of a part: 1 to 128 bytes of UTF-8 that can be seen and need no escape.
func badFieldName(s string) bool {
	return s == "" || len(s) > 128 || !utf8.ValidString(s) || unseen(s) || strings.ContainsAny(s, "\"\\\t") || escapes(s)
}

// unseen reports whether s has characters that are not seen, or turn what is seen round.
func unseen(s string) bool {
	for _, r := range s {
		switch {
		case r < 0x20, r >= 0x7F && r < 0xA0, r == 0xAD, r == 0x061C, r == 0x180E,
			r >= 0x200B && r <= 0x200F, r >= 0x2028 && r <= 0x202E, r >= 0x2060 && r <= 0x206F, r == 0xFEFF, r >= 0xE0000 && r <= 0xE0FFF:
			return true
		}
	}
	return false
}

// escapes reports whether s has a percent escape of a control character, a quote or a separator: browsers write quotes and line
// ends so, and a reader that undoes the one undoes the others.
func escapes(s string) bool {
	for i := 0; i+2 < len(s); i++ {
		if s[i] != '%' {
			continue
		}
		switch hi, lo := s[i+1], s[i+2]|0x20; {
		case hi == '0' || hi == '1', hi == '2' && (lo == '2' || lo == 'f'), hi == '5' && lo == 'c', hi == '7' && lo == 'f', hi == '3' && lo == 'a':
			return true
		}
	}
	return false
}

// maxFilename is the longest name of a file in bytes, that of most file systems.
const maxFilename = 255

// active are the extensions of web servers' interpreters, which find code anywhere in a file and may be set to look at every
// extension of a name (Apache's AddHandler): a picture with PHP in a comment, stored as a.php.png, would run. What a desktop or
// a kernel runs goes by the last extension, or by first bytes that no type has, so that example.com.png and setup.py.txt are
// harmless.
var active = func() map[string]bool {
	s := map[string]bool{}
	for e := range strings.FieldsSeq(`php php3 php4 php5 php7 php8 phtml phar pht phps inc asp aspx ashx asmx asa cer jsp jspx jspf cfm cfml shtml shtm stm`) {
		s[e] = true
	}
	return s
}()

// devices are names that Windows takes for devices, whatever their extension.
var devices = func() map[string]bool {
	s := map[string]bool{"con": true, "prn": true, "aux": true, "nul": true, "conin$": true, "conout$": true}
	for _, d := range "123456789" {
		s["com"+string(d)], s["lpt"+string(d)] = true, true
	}
	return s
}()

// checkFilename returns the type that the extension of s names. Nothing is repaired: a name that breaks a rule is refused, since
// a repaired one would be another name for every reader.
func checkFilename(s string, skipInner bool) (filetype.Type, *Error) {
	bad := func(sentence string) (filetype.Type, *Error) { return 0, malformed("filename", sentence) }
	switch {
	case s == "":
		return bad("A file has no name.")
	case len(s) > maxFilename:
		return bad("The name of a file is longer than 255 bytes: rename the file.")
	case !utf8.ValidString(s) || unseen(s) || strings.Contains(s, "=?"):
		return bad("The name of a file has characters that no name may have here: rename the file.")
	case strings.ContainsAny(s, "/\\:\"<>|*?\t") || escapes(s):
		return bad("The name of a file has a separator or another reserved character: send the name alone, without a path.")
	case s[0] == '.' || s[0] == ' ' || s[len(s)-1] == '.' || s[len(s)-1] == ' ':
		return bad("The name of a file begins or ends with a dot or a space: rename the file.")
	}
	lower := strings.ToLower(s)
	ext := path.Ext(lower)
	first, _, _ := strings.Cut(lower, ".")
	if devices[strings.TrimRight(first, " ")] {
		return bad("The name of a file is that of a device: rename the file.")
	}
	_, inner, _ := strings.Cut(strings.TrimSuffix(lower, ext), ".")
	for e := range strings.SplitSeq(inner, ".") {
		if e, _, _ = strings.Cut(e, ";"); !skipInner && active[strings.Trim(e, " ")] {
			return bad("The name of a file has a second extension, one that web servers run: rename the file.")
		}
	}
	t, ok := filetype.ByExtension(ext)
	if !ok {
		return 0, refuse(deny.UnsupportedMediaType, "extension", "A file has an extension that this endpoint does not take.")
	}
	return t, nil
}

// declaredType returns the type that a part declares; ok is false when it declares none that is known. none says that it
// declares nothing: no type, or a type for bytes of any kind.
func declaredType(v string) (t filetype.Type, media string, none, ok bool) {
	if v == "" {
		return 0, "", true, false
	}
	media, params, err := mime.ParseMediaType(v)
	if err != nil {
		return 0, "", false, false
	}
	if media == "application/octet-stream" && len(params) == 0 {
		return 0, "", true, false
	}
	if t, ok = filetype.ByMediaType(media); !ok {
		return 0, "", false, false
	}
	for k, p := range params {
		switch {
		case k == "charset" && strings.EqualFold(p, "utf-8") && t >= filetype.Text && t <= filetype.JSONLines:
		case k == "codecs" && t >= filetype.WAV && t <= filetype.WebM: // RFC 6381, as browsers record
		default:
			return 0, "", false, false
		}
	}
	return t, media, false, true
}

package filetype_test

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/filetype"
	"github.com/mantlet-go/mantlet/internal/filetype/samples"
)

// verdict returns the reason of a refusal, "" for none; it must not depend on how the bytes are cut.
func verdict(t *testing.T, typ filetype.Type, data []byte) string {
	t.Helper()
	whole := filetype.Verify(typ, data, filetype.Limits{})
	for _, n := range []int{1, 7, 100} {
		if err := cut(typ, data, n); !same(err, whole) {
			t.Errorf("in pieces of %d: %v, in one: %v", n, err, whole)
		}
	}
	var e *filetype.Error
	if errors.As(whole, &e) {
		return e.Reason
	}
	return ""
}

func TestFramesCountAsTheWholeCanvas(t *testing.T) {
	// 7071 by 7071, then frames of one pixel: readers compose each on a canvas of 50 million.
	still := samples.GIF(rand.New(rand.NewPCG(1, 1)), 1, 1, 1)
	frame := still[13:] // what is behind the screen: table, frame, trailer
	if still[10]&0x80 != 0 {
		frame = still[13+3<<(still[10]&7+1):]
	}
	frame = frame[:len(frame)-1]
	gif := func(side uint16, n int) []byte {
		b := bytes.Clone(still[:len(still)-1-len(frame)])
		binary.LittleEndian.PutUint16(b[6:], side)
		binary.LittleEndian.PutUint16(b[8:], side)
		return append(append(b, bytes.Repeat(frame, n)...), ';')
	}
	// A picture of PNG whose frames change a pixel each.
	png := func(side uint32, n int) []byte {
		b := samples.Blank(1, 1)
		binary.BigEndian.PutUint32(b[16:], side)
		binary.BigEndian.PutUint32(b[20:], side)
		binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
		var frames []byte
		for range n {
			control := make([]byte, 26)
			control[7], control[11] = 1, 1
			frames = append(frames, samples.Chunk("fcTL", control)...)
		}
		return append(append(bytes.Clone(b[:33]), frames...), b[33:]...)
	}
	webp := func(side, n int) []byte {
		var head [10]byte
		head[0] = 2
		put24 := func(b []byte, n int) { b[0], b[1], b[2] = byte(n), byte(n>>8), byte(n>>16) }
		put24(head[4:], side-1)
		put24(head[7:], side-1)
		parts := []any{"VP8X", head[:]}
		for range n {
			parts = append(parts, "ANMF", append(make([]byte, 16), "VP8L\x05\x00\x00\x00\x2f\x00\x00\x00\x00\x00"...))
		}
		return samples.WebP(parts...)
	}
	for name, c := range map[string]struct {
		typ  filetype.Type
		file func(n int) []byte
	}{
		"gif":  {filetype.GIF, func(n int) []byte { return gif(7071, n) }},
		"png":  {filetype.PNG, func(n int) []byte { return png(7071, n) }},
		"webp": {filetype.WebP, func(n int) []byte { return webp(7071, n) }},
	} {
		if err := filetype.Verify(c.typ, c.file(10), filetype.Limits{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got := verdict(t, c.typ, c.file(1000)); got != "too many pixels in all frames" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestWhatAnEntryIsCountsNotOnlyItsName(t *testing.T) {
	inner := samples.ZIP("a", []byte("x"))
	book := samples.OOXML(filetype.XLSX)
	made := func(name string, content []byte, method uint16, sized bool) []byte {
		var b bytes.Buffer
		w := zip.NewWriter(&b)
		if sized {
			var packed bytes.Buffer
			packed.Write(content)
			f, err := w.CreateRaw(&zip.FileHeader{Name: name, CRC32: crc32.ChecksumIEEE(content), CompressedSize64: uint64(len(content)), UncompressedSize64: uint64(len(content))})
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(f, &packed)
		} else {
			f, err := w.CreateHeader(&zip.FileHeader{Name: name, Method: method})
			if err != nil {
				t.Fatal(err)
			}
			f.Write(content)
		}
		w.Close()
		return b.Bytes()
	}
	for name, c := range map[string]struct {
		content []byte
		want    string
	}{
		"a.txt": {inner, "archive in the archive"}, "b": {[]byte("Rar!\x1a\x07\x01\x00x"), "archive in the archive"}, "c.bin": {[]byte("7z\xbc\xaf\x27\x1c\x00\x04"), "archive in the archive"},
		"d.dat": {[]byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00"), "archive in the archive"}, "e.png": {[]byte("\x7fELF\x02\x01\x01\x00\x00"), "program in the archive"},
		"f.jpg": {[]byte("MZ\x90\x00\x03\x00\x00\x00\x04"), "program in the archive"}, "g.txt": {[]byte("MZ is the mark of Mark Zbikowski"), ""}, "h.txt": {[]byte("PK"), ""}, "i": {nil, ""}, "j": {[]byte("PK\x07\x08PK\x03\x04"), ""},
		"k.txt": {bytes.Repeat([]byte("P"), 1000), ""},
	} {
		for _, b := range [][]byte{made(name, c.content, zip.Store, false), made(name, c.content, zip.Deflate, false), made(name, c.content, zip.Store, true)} {
			if got := verdict(t, filetype.ZIP, b); got != c.want && !(c.want != "" && strings.HasSuffix(got, "archive too")) { // found as a second format
				t.Errorf("%s: %q, want %q", name, got, c.want)
			}
		}
	}
	// A repetition of one byte has a match among its first symbols.
	if got := verdict(t, filetype.ZIP, made("x", append([]byte("\xca\xfe\xba\xbe"), bytes.Repeat([]byte{0}, 100)...), zip.Deflate, false)); got != "program in the archive" {
		t.Error(got)
	}
	for part, want := range map[string]string{"word/embeddings/Microsoft_Excel_Sheet1.xlsx": "", "word/media/a.xlsx": "archive in the archive", "word/embeddings/a.txt": "archive in the archive"} {
		if got := verdict(t, filetype.DOCX, samples.OOXML(filetype.DOCX, part, book)); got != want {
			t.Errorf("%s: %q", part, got)
		}
	}
}

func TestNamesThatAreAnotherOnAnotherSystemAreRefused(t *testing.T) {
	for names, want := range map[string]string{
		".ssh/authorized_keys": "hidden file", ".bashrc": "hidden file", "x/.git/hooks/pre-commit": "hidden file", ".GIT/config": "hidden file", "git~1/config": "hidden file", "x/.htaccess": "hidden file",
		"nul": "name of a device", "x/CON.txt": "name of a device", "com1.tar.log": "name of a device", "aux /x": "name of another place", "aux .txt": "name of a device", "LPT\u00b9": "name of a device",
		"a\u200bb": "name with characters that cannot be seen", "a\u200d": "name with characters that cannot be seen", "\ufeffa": "name with characters that cannot be seen", "a\u00adb": "name with characters that cannot be seen",
		"a\U000e0041": "name with characters that cannot be seen", "a\u3164": "name with characters that cannot be seen",
		"x.js": "program in the archive", "x.CHM": "program in the archive", "x.msix": "program in the archive", "x.url": "program in the archive", "x.xll": "program in the archive", "x.lnk": "program in the archive", "x.scr": "program in the archive",
		"x.vhd": "archive in the archive", "x.img": "archive in the archive", "x.cbz": "archive in the archive", "x.zipx": "archive in the archive", "x.xpi": "archive in the archive", "x.tar.Z": "archive in the archive",
		"x.epub": "archive in the archive", "x.docx": "archive in the archive",
		"a|a/b": "file and folder of one name", "a/b|a": "file and folder of one name", "A/b/c|a/B": "file and folder of one name",
		"caf\u00e9|cafe\u0301": "two entries of one name", "stra\u00dfe|STRASSE": "two entries of one name", "\u00c9|e\u0301": "two entries of one name", "k|\u212a": "two entries of one name", "s|\u017f": "two entries of one name",
		"a/|a/b|a/c|b/": "", ".DS_Store|__MACOSX/._a|.gitignore|a.b|a..b": "", "console|comx|nulls|com10|auxiliary.txt": "", "caf\u00e9|cafe": "", "\u65e5\u672c\u8a9e.txt": "", "a b (1).txt|a+b|a'b": "",
	} {
		var entries []any
		for name := range strings.SplitSeq(names, "|") {
			entries = append(entries, name, []byte(nil))
		}
		if got := verdict(t, filetype.ZIP, samples.ZIP(entries...)); got != want {
			t.Errorf("%q: %q, want %q", names, got, want)
		}
	}
	// Folders are bounded like entries: each is a hash.
	deep := []any{}
	for i := range 20 {
		deep = append(deep, strings.Repeat(string(rune('a'+i))+"/", 250)+"x", []byte(nil))
	}
	if got := verdict(t, filetype.ZIP, samples.ZIP(deep...)); got != "too many folders" {
		t.Error(got)
	}
}

func TestAnOpeningOfPHPIsFoundAnywhere(t *testing.T) {
	noise := make([]byte, 50_000)
	rand.NewChaCha8([32]byte{5}).Read(noise)
	for code, want := range map[string]string{"<?php system(1);": "markup or a script too", "<?PhP\n": "markup or a script too", "<?<?php\t": "markup or a script too", "<?phpx": "", "<?xml ": ""} {
		body := append(bytes.Clone(noise), code...)
		if got := verdict(t, filetype.PNG, samples.WithChunk(samples.Blank(3, 3), "teXt", body)); got != want {
			t.Errorf("png, %q: %q", code, got)
		}
		if got := verdict(t, filetype.FLAC, samples.FLAC(body)); got != want {
			t.Errorf("flac, %q: %q", code, got)
		}
	}
}

package samples

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"strings"

	"github.com/mantlet-go/mantlet/internal/filetype"
)

// Programs are the first bytes by which systems know what to run, and a script.
var Programs = map[string]string{
	"a program of Windows": "MZ\x90\x00\x03\x00\x00\x00\x04\x00\x00\x00\xff\xff\x00\x00", "a program of Linux": "\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00",
	"a Mach-O file, 32 bits": "\xfe\xed\xfa\xce\x00\x00\x00\x0c", "a Mach-O file, 64 bits": "\xfe\xed\xfa\xcf\x00\x00\x00\x0c",
	"a Mach-O file, 32 bits, swapped": "\xce\xfa\xed\xfe\x0c\x00\x00\x00", "a Mach-O file, 64 bits, swapped": "\xcf\xfa\xed\xfe\x0c\x00\x00\x01",
	"a universal Mach-O file": "\xca\xfe\xba\xbe\x00\x00\x00\x02", "a universal Mach-O file, swapped": "\xbe\xba\xfe\xca\x02\x00\x00\x00",
	"a universal Mach-O file, 64 bits": "\xca\xfe\xba\xbf\x00\x00\x00\x02", "a Java class": "\xca\xfe\xba\xbe\x00\x00\x00\x41",
	"a module of WebAssembly": "\x00asm\x01\x00\x00\x00", "a shell script": "#!/bin/sh\necho hello from here\n", "a Dalvik file": "dex\n035\x00", "a link of Windows": "L\x00\x00\x00\x01\x14\x02\x00",
}

// agree reports whether a file of type t is, rightly, one of type as too.
func agree(t, as filetype.Type) bool {
	switch as {
	case t:
		return true
	case filetype.Text, filetype.CSV, filetype.Markdown:
		return t >= filetype.Text && t <= filetype.JSONLines
	case filetype.JSONLines, filetype.JSON:
		return t == filetype.JSON || t == filetype.JSONLines
	case filetype.ZIP:
		return t == filetype.DOCX || t == filetype.XLSX || t == filetype.PPTX
	case filetype.MP4:
		return t == filetype.M4A
	}
	return false
}

// ends reports whether the format of t marks its end.
func ends(t filetype.Type) bool {
	switch t {
	case filetype.PDF, filetype.FLAC, filetype.MP3, filetype.Ogg: // by the end mark alone, not at all, by frames and pages
		return false
	}
	return t < filetype.Text || t >= filetype.ZIP
}

// Hostile returns files none of which may pass as its Type.
func Hostile() []File {
	var all []File
	add := func(t filetype.Type, name string, data []byte) {
		all = append(all, File{fmt.Sprintf("%s, %s", t, name), t, data})
	}
	first := map[filetype.Type][]byte{}
	for _, g := range Genuine() {
		if first[g.Type] == nil {
			first[g.Type] = g.Data
		}
	}
	rng := rand.New(rand.NewPCG(9, 9))
	archive := ZIP("evil.txt", []byte("evil"))
	for _, t := range filetype.All() {
		good := first[t]
		for _, other := range filetype.All() {
			if !agree(other, t) {
				add(t, "really "+other.String(), first[other])
			}
		}
		for name, head := range Programs {
			add(t, "really "+name, append([]byte(head), random(rng, 100)...))
			add(t, "behind "+name, append([]byte(head), good...))
		}
		add(t, "empty", nil)
		add(t, "one zero", []byte{0})
		add(t, "text in UTF-16", []byte("\xff\xfeh\x00i\x00"))
		add(t, "with a ZIP archive behind", append(bytes.Clone(good), archive...))
		add(t, "behind a page", append([]byte("<html><script> "), good...))
		if ends(t) {
			add(t, "with zeros behind", append(bytes.Clone(good), make([]byte, 3000)...))
			add(t, "with a page behind", append(bytes.Clone(good), "<html><script>alert(1)</script></html>"...))
			add(t, "with a program behind", append(bytes.Clone(good), "MZ\x90\x00"...))
			add(t, "with another one behind", append(bytes.Clone(good), good...))
			add(t, "cut in half", good[:len(good)/2])
			add(t, "without its last byte", good[:len(good)-1])
		}
	}

	// Second formats where the first has room for them.
	tail := archive // its directory and end record are the last bytes
	pixel := Blank(1, 1)
	small := JPEG(noise(rng, 9, 9), 50)
	iend := len(pixel) - 12
	for name, hidden := range map[string][]byte{
		"a ZIP archive": tail, "a RAR archive": []byte("Rar!\x1a\x07\x00 and so on"), "a RAR archive of version 5": []byte("Rar!\x1a\x07\x01\x00 and so on"),
		"a 7z archive": []byte("7z\xbc\xaf\x27\x1c\x00\x04"), "a PHP archive": []byte("<?php __HALT_COMPILER(); ?>\r\n"), "a PDF": PDF(nil, "\n"),
		"a page": []byte("<!DOCTYPE HTML><title>"), "a script": []byte("<ScRiPt>alert(1)</sCrIpT>"), "a drawing": []byte("<svg onload=alert(1)>"), "PHP": []byte("<?php system($_GET[0]);"),
		"a ZIP archive with a comment": commented(archive, 300), "an empty looking ZIP archive": brokenDisks(archive),
	} {
		add(filetype.PNG, "with "+name+" in a chunk", splice(pixel, iend, Chunk("teXt", hidden)))
		add(filetype.JPEG, "with "+name+" in a comment", splice(small, 2, segment(0xFE, hidden)))
		if len(hidden) < 256 {
			add(filetype.GIF, "with "+name+" in a comment", splice(GIF(rng, 3, 3, 1), len(GIF(rng, 3, 3, 1))-1, append(append([]byte{'!', 0xFE, byte(len(hidden))}, hidden...), 0)))
		}
		add(filetype.WebP, "with "+name+" in a chunk", WebP("VP8X", vp8x(0, 40, 30), "VP8 ", vp8(rng, 40, 30), "JUNK", hidden))
		add(filetype.WAV, "with "+name+" as sound", WAV(1, 1, 8, hidden))
		add(filetype.MP3, "with "+name+" in a tag", append(append([]byte("ID3\x04\x00\x00\x00\x00"), byte(len(hidden)>>7), byte(len(hidden)&0x7F)), append(bytes.Clone(hidden), MP3(rng, 4)...)...))
		add(filetype.MP4, "with "+name+" in free space", append(MP4("isom", nil, false, "vide"), box("free", hidden)...))
		add(filetype.FLAC, "with "+name+" as sound", FLAC(hidden))
		if name != "a PDF" {
			add(filetype.PDF, "with "+name+" in a stream", PDF(hidden, "\n"))
		}
	}
	add(filetype.Text, "that is a PDF behind a word", []byte("x\n%PDF-1.4\n1 0 obj\n<</Type/Catalog>>\nendobj\nstartxref\n3\n%%EOF\n"))
	for _, t := range []filetype.Type{filetype.PDF, filetype.MP3, filetype.Ogg} {
		add(t, "with a page behind", append(bytes.Clone(first[t]), "<html><script>alert(1)</script></html>"...))
		add(t, "cut short", first[t][:len(first[t])*2/5])
	}
	add(filetype.PNG, "in a tar archive", tarred(pixel))
	add(filetype.JPEG, "in a tar archive", tarred(small))

	// Texts that are programs.
	for _, s := range []string{
		"#!/usr/bin/env python", "<!doctype html><p>", "  <HTML>", "\n\n<script>x</script>", "<svg xmlns='http://www.w3.org/2000/svg'/>", "\ufeff<?xml version=\"1.0\"?><svg/>",
		"<?php phpinfo();", "<%= x %>", "<iframe src=x>", "a\x00b", "a\x1b[31mb", "\x7f", "caf\xe9", "\xc0\xaf", "\xed\xa0\x80", "\xf4\x90\x80\x80", "ok \xe2\x82",
	} {
		for _, t := range []filetype.Type{filetype.Text, filetype.Markdown, filetype.CSV, filetype.JSON, filetype.JSONLines} {
			add(t, fmt.Sprintf("%q", s), []byte(s))
		}
	}
	for _, s := range []string{"{}{}", "{", `{"a":1,"a":2}`, `{"a":1,"A":2}`, "\ufeff{}", `{"a":1e999999}`, strings.Repeat("[", 100), "{}\n\n{}", "\n", "// x\n{}", "NaN", `{"a":"` + "\xff" + `"}`, "{}\x00"} {
		add(filetype.JSON, fmt.Sprintf("%.20q", s), []byte(s))
		if s != "{}{}" {
			add(filetype.JSONLines, fmt.Sprintf("%.20q", s), []byte(s))
		}
	}

	// Bombs.
	add(filetype.PNG, "too wide", patchPNG(pixel, 1<<30, 1))
	add(filetype.PNG, "too large", patchPNG(pixel, 8000, 8000))
	add(filetype.PNG, "without width", patchPNG(pixel, 0, 5))
	add(filetype.PNG, "with a wrong checksum", patch(pixel, 30, 1))
	add(filetype.PNG, "with too many frames", WithChunk(pixel, "acTL", []byte("\x00\x00\xff\xff\x00\x00\x00\x00")))
	add(filetype.PNG, "with an unknown critical chunk", WithChunk(pixel, "EViL", nil))
	add(filetype.JPEG, "too large", patchJPEG(small))
	add(filetype.JPEG, "with too many scans", manyScans(small, 101))
	add(filetype.GIF, "with too many frames", GIF(rng, 1, 1, 1001))
	add(filetype.GIF, "too large", patch(patch(GIF(rng, 1, 1, 1), 7, 0xFF), 9, 0xFF))
	add(filetype.WebP, "too large", WebP("VP8L", vp8l(rng, 16000, 16000)))
	add(filetype.WebP, "with a canvas that is too large", WebP("VP8X", vp8x(0, 1<<24, 1<<24), "VP8L", vp8l(rng, 5, 5)))
	add(filetype.WebP, "with two sizes", WebP("VP8X", vp8x(0, 5, 6), "VP8L", vp8l(rng, 5, 5)))
	add(filetype.WAV, "with a length that is too short", patch(WAV(1, 1, 16, random(rng, 100)), 4, 3))
	add(filetype.WAV, "of a pipe", append([]byte("RIFF\xff\xff\xff\xff"), WAV(1, 1, 16, random(rng, 100))[8:]...))
	add(filetype.MP4, "of QuickTime", MP4("qt  ", nil, false, "vide"))
	add(filetype.MP4, "that is a picture", MP4("avif", nil, false, "vide"))
	add(filetype.M4A, "with pictures", MP4("M4A ", nil, false, "soun", "vide"))
	add(filetype.Ogg, "with Theora", Ogg(rng, "\x80theora\x00", 3))
	add(filetype.WebM, "that is Matroska", bytes.Replace(WebM(rng, 1, false), []byte("\x84webm"), []byte("\x84mkv\x00"), 1))
	add(filetype.WebM, "with attachments", bytes.Replace(WebM(rng, 1, false), []byte("\x15\x49\xA9\x66"), []byte("\x19\x41\xA4\x69"), 1))
	add(filetype.PDF, "behind a line", append([]byte("\n"), PDF(nil, "\n")...))
	add(filetype.PDF, "without an end mark", bytes.TrimSuffix(PDF(nil, "\n"), []byte("%%EOF\n")))

	// Archives.
	for name, b := range map[string][]byte{
		"an absolute name": ZIP("/etc/passwd", nb), "a name that leaves": ZIP("a/../../b", nb), "a name of Windows": ZIP(`a\b`, nb), "a drive": ZIP("c:/x", nb), "a stream": ZIP("a.txt:x", nb),
		"a dot": ZIP("./a", nb), "a space at the end of a name": ZIP("a /b", nb), "a zero in a name": ZIP("a\x00b", nb), "a name that is turned round": ZIP("a\u202egpj.b", nb), "a name that is no UTF-8": ZIP("a\xff", nb),
		"two entries of one name": ZIP("a", nb, "a", nb), "two names that differ by case": ZIP("a.txt", nb, "A.TXT", nb), "a file and a folder of one name": ZIP("a", nb, "a/", []byte(nil)),
		"a program": ZIP("setup.exe", nb), "a program in upper case": ZIP("x/SETUP.EXE", nb), "a Java archive": ZIP("x.jar", nb), "a script of Windows": ZIP("x.ps1", nb), "an archive": ZIP("x.zip", nb), "a document with macros": ZIP("x.docm", nb),
		"a symbolic link": link(fs.ModeSymlink), "a device": link(fs.ModeDevice), "a pipe": link(fs.ModeNamedPipe),
		"an entry that is larger than it says": lying(1000), "an entry that is smaller than it says": lying(300_000), "data behind that of an entry": padded(), "broken data": patch(ZIP("a", []byte("a longer text that is compressed, compressed, compressed")), 32, 0xFF),
		"a PHP archive in it": stored("a.txt", []byte("<?php __HALT_COMPILER(); ?>\r\n")),
		"a bomb":              ZIP("zeros", make([]byte, 4<<20)), "nothing in it": editZIP(func(*zip.Writer) {}),
		"an encrypted entry":           flag(archive, 1),
		"another name outside":         bytes.Replace(archive, []byte("evil.txt"), []byte("good.txt"), 1),
		"a byte in front":              append([]byte{0}, archive...),
		"another archive in front":     append(bytes.Clone(archive), archive...),
		"a comment that is an archive": commented(archive, len(archive), archive...),
		"a comment that is too long":   commented(archive, 2000), "a comment that is missing": patch(bytes.Clone(archive), len(archive)-2, 5),
		"ZIP64": bytes.Replace(archive, []byte("PK\x05\x06"), []byte("PK\x06\x06"), 1), "a size of ZIP64": patch4(archive, bytes.Index(archive, []byte("PK\x01\x02"))+24, 0xFFFFFFFF),
		"an offset that is wrong": patch(archive, bytes.Index(archive, []byte("PK\x01\x02"))+42, 1), "a count that is wrong": patch(archive, len(archive)-12, 2),
		"an unknown method": patch(patch(archive, 8, 12), bytes.Index(archive, []byte("PK\x01\x02"))+10, 12), "a second name": secondName(), "too many entries": many(4097),
		"a directory without its last entry": shortDirectory(), "an entry that the directory hides": hidden(),
	} {
		add(filetype.ZIP, "with "+name, b)
	}
	for t, folder := range map[filetype.Type]string{filetype.DOCX: "word/", filetype.XLSX: "xl/", filetype.PPTX: "ppt/"} {
		for _, part := range []string{"vbaProject.bin", "VBAPROJECT.BIN", "vbaData.xml", "activeX/activeX1.bin", "activeX/activeX1.xml", "embeddings/oleObject1.bin", "media/a.exe", "macrosheets/sheet1.xml", "embeddings/a.zip", "embeddings/x.xlsm"} {
			add(t, "with "+part, OOXML(t, folder+part, nb))
		}
		add(t, "without content types", ZIP(mains[t], nb))
		add(t, "without its main part", ZIP("[Content_Types].xml", nb))
	}
	return all
}

var nb = []byte("x")

func patch(b []byte, at int, c byte) []byte {
	b = bytes.Clone(b)
	b[at] = c
	return b
}

func patch4(b []byte, at int, n uint32) []byte {
	b = bytes.Clone(b)
	binary.LittleEndian.PutUint32(b[at:], n)
	return b
}

func patchPNG(b []byte, w, h uint32) []byte {
	b = bytes.Clone(b)
	binary.BigEndian.PutUint32(b[16:], w)
	binary.BigEndian.PutUint32(b[20:], h)
	binary.BigEndian.PutUint32(b[29:], crc32.ChecksumIEEE(b[12:29]))
	return b
}

// patchJPEG makes the frame 65,535 by 65,535.
func patchJPEG(b []byte) []byte {
	b = bytes.Clone(b)
	i := bytes.Index(b, []byte("\xFF\xC0"))
	copy(b[i+5:], "\xFF\xFF\xFF\xFF")
	return b
}

// manyScans repeats the scan of a picture.
func manyScans(b []byte, n int) []byte {
	i := bytes.Index(b, []byte("\xFF\xDA"))
	return append(append(bytes.Clone(b[:i]), bytes.Repeat(b[i:len(b)-2], n)...), "\xFF\xD9"...)
}

// tarred puts a tar header of the name of b's first bytes over the first 512 bytes of b, which must have room for it.
func tarred(b []byte) []byte {
	b = append(bytes.Clone(b), make([]byte, 1024)...)
	copy(b[148:], "        ")
	copy(b[257:], "ustar\x0000")
	sum := 0
	for _, c := range b[:512] {
		sum += int(c)
	}
	copy(b[148:], fmt.Sprintf("%06o\x00 ", sum))
	return b
}

func commented(b []byte, n int, comment ...byte) []byte {
	b = bytes.Clone(b)
	binary.LittleEndian.PutUint16(b[len(b)-2:], uint16(n))
	return append(b, append(comment, bytes.Repeat([]byte("c"), n-len(comment))...)...)
}

// brokenDisks gives the end record disk numbers that only careful readers mind.
func brokenDisks(b []byte) []byte { return patch(patch(b, len(b)-18, 7), len(b)-16, 9) }

func link(mode fs.FileMode) []byte {
	return editZIP(func(w *zip.Writer) {
		h := &zip.FileHeader{Name: "link"}
		h.SetMode(mode | 0o777)
		f, _ := w.CreateHeader(h)
		f.Write([]byte("/etc/passwd"))
	})
}

// flag sets bits in the flags of the first entry, in both places.
func flag(b []byte, bits byte) []byte {
	b = patch(b, 6, b[6]|bits)
	i := bytes.Index(b, []byte("PK\x01\x02"))
	return patch(b, i+8, b[i+8]|bits)
}

// lying has an entry of 100,000 bytes that says it has n, everywhere alike.
func lying(n uint64) []byte {
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, 9)
	w.Write(bytes.Repeat(random(rand.New(rand.NewPCG(8, 8)), 5000), 20))
	w.Close()
	return raw(packed.Bytes(), n)
}

// padded has bytes behind the compressed data of an entry that only its figures count.
func padded() []byte {
	var packed bytes.Buffer
	w, _ := flate.NewWriter(&packed, 9)
	w.Write(nb)
	w.Close()
	return raw(append(packed.Bytes(), "PK\x03\x04 hidden"...), 1)
}

func raw(packed []byte, size uint64) []byte {
	return editZIP(func(w *zip.Writer) {
		f, _ := w.CreateRaw(&zip.FileHeader{Name: "a", Method: zip.Deflate, CompressedSize64: uint64(len(packed)), UncompressedSize64: size})
		f.Write(packed)
	})
}

func stored(name string, data []byte) []byte {
	return editZIP(func(w *zip.Writer) {
		f, _ := w.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		f.Write(data)
	})
}

func secondName() []byte {
	return editZIP(func(w *zip.Writer) {
		f, _ := w.CreateHeader(&zip.FileHeader{Name: "a.txt", Extra: []byte("up\x0a\x00\x01\x00\x00\x00\x00b.exe")})
		f.Write(nb)
	})
}

func many(n int) []byte {
	return editZIP(func(w *zip.Writer) {
		for i := range n {
			w.CreateHeader(&zip.FileHeader{Name: fmt.Sprint(i), Method: zip.Store})
		}
	})
}

// shortDirectory names one entry of two.
func shortDirectory() []byte {
	b := ZIP("a", nb, "b", nb)
	i := bytes.LastIndex(b, []byte("PK\x01\x02"))
	j := bytes.LastIndex(b, []byte("PK\x05\x06"))
	end := bytes.Clone(b[j:])
	end[8], end[10] = 1, 1
	binary.LittleEndian.PutUint32(end[12:], uint32(i-bytes.Index(b, []byte("PK\x01\x02"))))
	return append(bytes.Clone(b[:i]), end...)
}

// hidden has an entry between two others that only a reader of the stream finds.
func hidden() []byte {
	b := ZIP("a", nb, "b", nb)
	extra := ZIP("h", nb)
	extra = extra[:bytes.Index(extra, []byte("PK\x01\x02"))]
	dir := bytes.Index(b, []byte("PK\x01\x02"))
	end := bytes.LastIndex(b, []byte("PK\x05\x06"))
	b = splice(b, dir, extra)
	return patch4(b, end+len(extra)+16, uint32(dir+len(extra)))
}

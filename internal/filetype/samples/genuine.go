package samples

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math/rand/v2"
	"strings"

	"github.com/mantlet-go/mantlet/internal/filetype"
)

// File is one file and the type it claims.
type File struct {
	// Name says what the file is.
	Name string
	Type filetype.Type
	Data []byte
}

// variants is the number of genuine files made of each kind.
const variants = 7

// Genuine returns genuine files of every type.
func Genuine() []File {
	var all []File
	add := func(t filetype.Type, name string, make func(rng *rand.Rand, i int) []byte) {
		for i := range variants {
			rng := rand.New(rand.NewPCG(uint64(t), uint64(i)))
			all = append(all, File{fmt.Sprintf("%s, %s %d", t, name, i), t, make(rng, i)})
		}
	}
	add(filetype.PNG, "true colour", func(rng *rand.Rand, i int) []byte { return PNG(noise(rng, 1+rng.IntN(80), 1+rng.IntN(80))) })
	add(filetype.PNG, "palette", func(rng *rand.Rand, i int) []byte { return PNG(paletted(rng, 1+rng.IntN(80), 1+rng.IntN(80))) })
	add(filetype.PNG, "grey of 16 bits", func(rng *rand.Rand, i int) []byte {
		m := image.NewGray16(image.Rect(0, 0, 1+rng.IntN(50), 1+rng.IntN(50)))
		fill(rng, m.Pix)
		return PNG(m)
	})
	add(filetype.PNG, "with text", func(rng *rand.Rand, i int) []byte {
		return WithChunk(PNG(noise(rng, 5, 5)), "tEXt", append([]byte("Comment\x00"), random(rng, 200*i)...))
	})
	add(filetype.JPEG, "baseline", func(rng *rand.Rand, i int) []byte {
		return JPEG(noise(rng, 1+rng.IntN(200), 1+rng.IntN(200)), 10+13*i)
	})
	add(filetype.JPEG, "grey", func(rng *rand.Rand, i int) []byte {
		m := image.NewGray(image.Rect(0, 0, 1+rng.IntN(90), 1+rng.IntN(90)))
		fill(rng, m.Pix)
		return JPEG(m, 100-10*i)
	})
	add(filetype.JPEG, "with Exif and a comment", func(rng *rand.Rand, i int) []byte {
		b := JPEG(noise(rng, 20, 20), 80)
		extra := append(segment(0xE1, append([]byte("Exif\x00\x00"), random(rng, 1+300*i)...)), segment(0xFE, []byte("made by hand"))...)
		return splice(b, 2, extra)
	})
	add(filetype.JPEG, "of several pictures", func(rng *rand.Rand, i int) []byte {
		b := splice(JPEG(noise(rng, 30, 30), 80), 2, segment(0xE2, append([]byte("MPF\x00"), random(rng, 30)...)))
		return append(b, JPEG(noise(rng, 10, 10), 50+i)...)
	})
	add(filetype.GIF, "still", func(rng *rand.Rand, i int) []byte { return GIF(rng, 1+rng.IntN(99), 1+rng.IntN(99), 1) })
	add(filetype.GIF, "animated", func(rng *rand.Rand, i int) []byte { return GIF(rng, 1+rng.IntN(30), 1+rng.IntN(30), 2+i) })
	add(filetype.WebP, "lossless", func(rng *rand.Rand, i int) []byte { return WebP("VP8L", vp8l(rng, 1+i*100, 2000-i)) })
	add(filetype.WebP, "lossy", func(rng *rand.Rand, i int) []byte { return WebP("VP8 ", vp8(rng, 1+i*100, 2000-i)) })
	add(filetype.WebP, "extended", func(rng *rand.Rand, i int) []byte {
		return WebP("VP8X", vp8x(0x0C, 40, 30), "ALPH", random(rng, 10+i), "VP8 ", vp8(rng, 40, 30), "EXIF", random(rng, 33), "XMP ", []byte("<x:xmpmeta/>"))
	})
	add(filetype.WebP, "animated", func(rng *rand.Rand, i int) []byte {
		parts := []any{"VP8X", vp8x(0x02, 40, 30), "ANIM", make([]byte, 6)}
		for j := range i + 2 {
			parts = append(parts, "ANMF", anmf(2*j, 0, 20, 10, "VP8L", vp8l(rng, 20, 10)))
		}
		return WebP(parts...)
	})
	add(filetype.PDF, "one page", func(rng *rand.Rand, i int) []byte { return PDF(random(rng, 500*i), "\n") })
	add(filetype.PDF, "with line ends of DOS", func(rng *rand.Rand, i int) []byte { return PDF(random(rng, 500*i), "\r\n") })
	add(filetype.WAV, "PCM", func(rng *rand.Rand, i int) []byte { return WAV(1, uint16(1+i%2), 16, random(rng, 400*(i+1))) })
	add(filetype.WAV, "floating point", func(rng *rand.Rand, i int) []byte { return WAV(3, uint16(1+i), 32, random(rng, 4*(i+1)*100)) })
	add(filetype.MP3, "with an ID3v2 tag", func(rng *rand.Rand, i int) []byte {
		return append([]byte("ID3\x04\x00\x00\x00\x00\x00\x0aTIT2 title"), MP3(rng, 5+i)...)
	})
	add(filetype.MP3, "with an ID3v1 tag", func(rng *rand.Rand, i int) []byte {
		return append(MP3(rng, 5+i), append([]byte("TAG"), make([]byte, 125)...)...)
	})
	add(filetype.MP3, "with its last frame cut", func(rng *rand.Rand, i int) []byte { return MP3(rng, 5+i)[:417*4+100+i] })
	add(filetype.M4A, "movie last", func(rng *rand.Rand, i int) []byte {
		return MP4("M4A ", random(rng, 1000*i), true, "soun")
	})
	add(filetype.M4A, "movie first", func(rng *rand.Rand, i int) []byte {
		return MP4("M4A ", random(rng, 1000*i), false, "soun")
	})
	add(filetype.MP4, "with sound", func(rng *rand.Rand, i int) []byte {
		return MP4("isom", random(rng, 1000*i), i%2 == 0, "vide", "soun")
	})
	add(filetype.MP4, "with an open box", func(rng *rand.Rand, i int) []byte {
		b := MP4("mp42", nil, false, "vide")
		return append(b, append([]byte("\x00\x00\x00\x00mdat"), random(rng, 100*i)...)...)
	})
	add(filetype.Ogg, "Opus", func(rng *rand.Rand, i int) []byte { return Ogg(rng, "OpusHead", 2+i) })
	add(filetype.Ogg, "Vorbis", func(rng *rand.Rand, i int) []byte { return Ogg(rng, "\x01vorbis\x00", 2+i) })
	add(filetype.FLAC, "sound", func(rng *rand.Rand, i int) []byte { return FLAC(random(rng, 300*i)) })
	add(filetype.WebM, "with lengths", func(rng *rand.Rand, i int) []byte { return WebM(rng, 1+i, false) })
	add(filetype.WebM, "as browsers record", func(rng *rand.Rand, i int) []byte { return WebM(rng, 1+i, true) })
	texts := []string{
		"plain words\n", "MZ is how programs of DOS begin, PK how archives do, and __HALT_COMPILER(); ends a script.\n", "ÄÖÜ 漢字 🙂 " + strings.Repeat("line of words\r\n", 500),
		"\ufeffwith a mark", "a", strings.Repeat("%PDF-1.7 is the header of a PDF\n", 3), "\t1 < 2 && 3 > 2 <b",
	}
	add(filetype.Text, "words", func(_ *rand.Rand, i int) []byte { return []byte(texts[i]) })
	pages := []string{
		"# Title\n\ntext\n", "<h1 align=\"center\">Name</h1>\n\n- a\n", "<!-- badge -->\n# x\n", "---\ntitle: x\n---\n\n```html\n<script>alert(1)</script>\n```\n",
		"<p>\n<img src=\"a.png\">\n</p>\n", strings.Repeat("日本語の文章。\n", 200), "    #!/bin/sh\n    is how a script begins\n",
	}
	add(filetype.Markdown, "page", func(_ *rand.Rand, i int) []byte { return []byte(pages[i]) })
	add(filetype.CSV, "table", func(rng *rand.Rand, i int) []byte {
		var b bytes.Buffer
		w := csv.NewWriter(&b)
		w.UseCRLF = i%2 == 0
		for j := range 1 + 50*i {
			w.Write([]string{fmt.Sprint(j), "a, \"quoted\" field", "ü\nnew line"})
		}
		w.Flush()
		return b.Bytes()
	})
	add(filetype.JSON, "document", func(rng *rand.Rand, i int) []byte {
		b, err := json.MarshalIndent(map[string]any{"numbers": rng.Perm(1 + 300*i), "text": "ü \" \\ <script>", "nested": []any{nil, true, 1.5}}, "", " ")
		return must(b, err)
	})
	add(filetype.JSONLines, "of messages", func(rng *rand.Rand, i int) []byte {
		var b bytes.Buffer
		for j := range 1 + 100*i {
			fmt.Fprintf(&b, `{"messages":[{"role":"user","content":"question %d"}]}`, j)
			b.WriteString([]string{"\n", "\r\n"}[i%2])
		}
		if i == 3 {
			b.Truncate(b.Len() - 2)
		}
		return b.Bytes()
	})
	add(filetype.ZIP, "compressed", func(rng *rand.Rand, i int) []byte {
		var entries []any
		for j := range 1 + 20*i {
			entries = append(entries, fmt.Sprintf("dir/ü%d.txt", j), bytes.Repeat(random(rng, 100), 1+j))
		}
		return ZIP(append([]any{"dir/", []byte(nil)}, entries...)...)
	})
	add(filetype.ZIP, "stored", func(rng *rand.Rand, i int) []byte {
		return editZIP(func(w *zip.Writer) {
			for j := range i + 1 {
				f, _ := w.CreateHeader(&zip.FileHeader{Name: fmt.Sprint(j, ".csv"), Method: zip.Store})
				// Bytes that look like the signature of a data descriptor, whole and cut, are only bytes.
				f.Write(bytes.Repeat([]byte("PK\x07\x08PK\x07PPK\x07\x08"), 30*j))
			}
			w.SetComment("a comment")
		})
	})
	for _, t := range []filetype.Type{filetype.DOCX, filetype.XLSX, filetype.PPTX} {
		add(t, "document", func(rng *rand.Rand, i int) []byte {
			return OOXML(t, "docProps/app.xml", bytes.Repeat([]byte("<x/>"), 100*i))
		})
	}
	return all
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func fill(rng *rand.Rand, b []byte) {
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
}

func random(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	fill(rng, b)
	return b
}

func splice(b []byte, at int, extra []byte) []byte {
	return append(append(append([]byte(nil), b[:at]...), extra...), b[at:]...)
}

func noise(rng *rand.Rand, w, h int) image.Image {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	fill(rng, m.Pix)
	for i := 3; i < len(m.Pix); i += 4 {
		m.Pix[i] = 255
	}
	return m
}

func paletted(rng *rand.Rand, w, h int) *image.Paletted {
	m := image.NewPaletted(image.Rect(0, 0, w, h), palette.WebSafe)
	for i := range m.Pix {
		m.Pix[i] = byte(rng.IntN(len(palette.WebSafe)))
	}
	return m
}

// PNG encodes m.
func PNG(m image.Image) []byte {
	var b bytes.Buffer
	err := png.Encode(&b, m)
	return must(b.Bytes(), err)
}

// Blank returns a PNG of w by h pixels.
func Blank(w, h int) []byte {
	return PNG(image.NewPaletted(image.Rect(0, 0, w, h), color.Palette{color.Black, color.White}))
}

// Chunk returns one chunk of a PNG.
func Chunk(kind string, body []byte) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	b = append(append(b, kind...), body...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(b[4:]))
}

// WithChunk puts a chunk behind the header of a PNG.
func WithChunk(b []byte, kind string, body []byte) []byte { return splice(b, 33, Chunk(kind, body)) }

// JPEG encodes m.
func JPEG(m image.Image, quality int) []byte {
	var b bytes.Buffer
	err := jpeg.Encode(&b, m, &jpeg.Options{Quality: max(1, quality)})
	return must(b.Bytes(), err)
}

func segment(marker byte, body []byte) []byte {
	b := binary.BigEndian.AppendUint16([]byte{0xFF, marker}, uint16(len(body)+2))
	return append(b, body...)
}

// GIF encodes frames pictures of noise.
func GIF(rng *rand.Rand, w, h, frames int) []byte {
	g := &gif.GIF{}
	for range frames {
		g.Image = append(g.Image, paletted(rng, w, h))
		g.Delay = append(g.Delay, 4)
	}
	var b bytes.Buffer
	err := gif.EncodeAll(&b, g)
	return must(b.Bytes(), err)
}

// chunks returns RIFF chunks: names and bodies in turn, each padded.
func chunks(parts ...any) []byte {
	var b []byte
	for i := 0; i < len(parts); i += 2 {
		body := parts[i+1].([]byte)
		b = append(b, parts[i].(string)...)
		b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
		b = append(b, body...)
		if len(body)%2 == 1 {
			b = append(b, 0)
		}
	}
	return b
}

func riff(form string, body []byte) []byte {
	b := binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body)+4))
	return append(append(b, form...), body...)
}

// WebP returns a WebP file of the given chunks: names and bodies in turn.
func WebP(parts ...any) []byte { return riff("WEBP", chunks(parts...)) }

func vp8l(rng *rand.Rand, w, h int) []byte {
	b := binary.LittleEndian.AppendUint32([]byte{0x2F}, uint32(w-1)|uint32(h-1)<<14)
	return append(b, random(rng, 40)...)
}

func vp8(rng *rand.Rand, w, h int) []byte {
	b := []byte{0x10, 0, 0, 0x9D, 0x01, 0x2A}
	b = binary.LittleEndian.AppendUint16(b, uint16(w))
	b = binary.LittleEndian.AppendUint16(b, uint16(h))
	return append(b, random(rng, 41)...)
}

func put24(b []byte, n int) []byte { return append(b, byte(n), byte(n>>8), byte(n>>16)) }

func vp8x(flags byte, w, h int) []byte {
	return put24(put24([]byte{flags, 0, 0, 0}, w-1), h-1)
}

func anmf(x, y, w, h int, parts ...any) []byte {
	b := put24(put24(put24(put24(nil, x/2), y/2), w-1), h-1)
	b = append(put24(b, 40), 0)
	return append(b, chunks(parts...)...)
}

// PDF returns a document of one page with a stream beside it.
func PDF(stream []byte, eol string) []byte {
	var b bytes.Buffer
	var offsets []int
	b.WriteString("%PDF-1.7" + eol + "%\xe2\xe3\xcf\xd3" + eol)
	object := func(body string) {
		offsets = append(offsets, b.Len())
		fmt.Fprintf(&b, "%d 0 obj%s%s%sendobj%s", len(offsets), eol, body, eol, eol)
	}
	object("<</Type/Catalog/Pages 2 0 R>>")
	object("<</Type/Pages/Count 1/Kids[3 0 R]>>")
	object("<</Type/Page/Parent 2 0 R/MediaBox[0 0 99 99]>>")
	object(fmt.Sprintf("<</Length %d>>%sstream%s%s%sendstream", len(stream), eol, eol, stream, eol))
	at := b.Len()
	fmt.Fprintf(&b, "xref%s0 %d%s0000000000 65535 f \n", eol, len(offsets)+1, eol)
	for _, o := range offsets {
		fmt.Fprintf(&b, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&b, "trailer%s<</Size %d/Root 1 0 R>>%sstartxref%s%d%s%%%%EOF%s", eol, len(offsets)+1, eol, eol, at, eol, eol)
	return b.Bytes()
}

// WAV returns sound of the given coding.
func WAV(tag, channels, bits uint16, data []byte) []byte {
	align := channels * (bits / 8)
	f := binary.LittleEndian.AppendUint16(nil, tag)
	f = binary.LittleEndian.AppendUint16(f, channels)
	f = binary.LittleEndian.AppendUint32(f, 8000)
	f = binary.LittleEndian.AppendUint32(f, 8000*uint32(align))
	f = binary.LittleEndian.AppendUint16(f, align)
	f = binary.LittleEndian.AppendUint16(f, bits)
	return riff("WAVE", chunks("fmt ", f, "LIST", []byte("INFOISFT\x02\x00\x00\x00x\x00"), "data", data))
}

// MP3 returns frames of MPEG 1 layer III, 128 kbit/s, 44.1 kHz, of 417 bytes each.
func MP3(rng *rand.Rand, frames int) []byte {
	var b []byte
	for range frames {
		b = append(append(b, 0xFF, 0xFB, 0x90, 0x00), random(rng, 413)...)
	}
	return b
}

func box(kind string, body ...[]byte) []byte {
	all := bytes.Join(body, nil)
	b := binary.BigEndian.AppendUint32(nil, uint32(len(all)+8))
	return append(append(b, kind...), all...)
}

// MP4 returns an ISO base media file with a track for each handler.
func MP4(brand string, media []byte, last bool, handlers ...string) []byte {
	var tracks [][]byte
	tracks = append(tracks, box("mvhd", make([]byte, 100)))
	for _, h := range handlers {
		tracks = append(tracks, box("trak", box("tkhd", make([]byte, 84)), box("mdia", box("mdhd", make([]byte, 24)),
			box("hdlr", make([]byte, 8), []byte(h), make([]byte, 13)), box("minf"))))
	}
	parts := [][]byte{box("ftyp", []byte(brand), []byte{0, 0, 2, 0}, []byte("isommp42")), box("free"), box("moov", tracks...), box("mdat", media)}
	if last {
		parts[2], parts[3] = parts[3], parts[2]
	}
	return bytes.Join(parts, nil)
}

// Ogg returns a stream whose first page holds codec, and pages in all.
func Ogg(rng *rand.Rand, codec string, pages int) []byte {
	var b []byte
	for i := range pages {
		body := random(rng, 300)
		flags := byte(0)
		if i == 0 {
			body, flags = append([]byte(codec), random(rng, 11)...), 2
		}
		b = append(b, "OggS\x00"...)
		b = append(b, flags)
		b = binary.LittleEndian.AppendUint64(b, uint64(i)*960)
		b = binary.LittleEndian.AppendUint32(b, 7)
		b = binary.LittleEndian.AppendUint32(b, uint32(i))
		b = append(b, 1, 2, 3, 4)
		b = append(b, byte(len(body)/255+1))
		for range len(body) / 255 {
			b = append(b, 255)
		}
		b = append(append(b, byte(len(body)%255)), body...)
	}
	return b
}

// FLAC returns the head of a stream, a frame header, and data behind it.
func FLAC(data []byte) []byte {
	info := []byte{0x10, 0, 0x10, 0, 0, 0, 0, 0, 0, 0, 0x0A, 0xC4, 0x42, 0xF0, 0, 0, 0, 0}
	b := append([]byte("fLaC\x00\x00\x00\x22"), append(info, make([]byte, 16)...)...)
	b = append(b, 0x84, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0)
	return append(append(b, 0xFF, 0xF8, 0xC9, 0x18, 0x00), data...)
}

func element(id []byte, body ...[]byte) []byte {
	all := bytes.Join(body, nil)
	b := append(append([]byte(nil), id...), 0x08, 0, 0, 0, 0)
	b[len(id)] = 0x08
	binary.BigEndian.PutUint32(b[len(id)+1:], uint32(len(all)))
	return append(b, all...)
}

// WebM returns a file of some clusters; live ones, and their segment, have no lengths.
func WebM(rng *rand.Rand, clusters int, live bool) []byte {
	header := []byte("\x42\x86\x81\x01\x42\xF7\x81\x01\x42\xF2\x81\x04\x42\xF3\x81\x08\x42\x82\x84webm\x42\x87\x81\x04\x42\x85\x81\x02")
	b := append([]byte("\x1A\x45\xDF\xA3"), 0x80|byte(len(header)))
	b = append(b, header...)
	body := append(element([]byte("\x15\x49\xA9\x66"), random(rng, 30)), element([]byte("\x16\x54\xAE\x6B"), random(rng, 60))...)
	for range clusters {
		inner := append([]byte("\xE7\x81\x00"), element([]byte("\xA3"), random(rng, 200))...)
		if live {
			body = append(append(append(body, "\x1F\x43\xB6\x75"...), "\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF"...), inner...)
		} else {
			body = append(body, element([]byte("\x1F\x43\xB6\x75"), inner)...)
		}
	}
	if live {
		return append(append(append(b, "\x18\x53\x80\x67"...), "\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF"...), body...)
	}
	return append(b, element([]byte("\x18\x53\x80\x67"), body)...)
}

func editZIP(edit func(w *zip.Writer)) []byte {
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	edit(w)
	err := w.Close()
	return must(b.Bytes(), err)
}

// ZIP returns an archive of names and contents in turn.
func ZIP(entries ...any) []byte {
	return editZIP(func(w *zip.Writer) {
		for i := 0; i < len(entries); i += 2 {
			f, err := w.Create(entries[i].(string))
			if err != nil {
				panic(err)
			}
			f.Write(entries[i+1].([]byte))
		}
	})
}

var mains = map[filetype.Type]string{filetype.DOCX: "word/document.xml", filetype.XLSX: "xl/workbook.xml", filetype.PPTX: "ppt/presentation.xml"}

// OOXML returns an Office document with more entries: names and contents in turn.
func OOXML(t filetype.Type, more ...any) []byte {
	entries := []any{"[Content_Types].xml", []byte(`<?xml version="1.0"?><Types/>`), "_rels/.rels", []byte("<Relationships/>"), mains[t], []byte("<main/>")}
	return ZIP(append(entries, more...)...)
}

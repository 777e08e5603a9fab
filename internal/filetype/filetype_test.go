package filetype_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/filetype"
	"github.com/mantlet-go/mantlet/internal/filetype/samples"
)

// cut writes data in pieces of the given length and returns the verdict.
func cut(t filetype.Type, data []byte, piece int) error {
	v := filetype.New(t, filetype.Limits{})
	for len(data) > 0 {
		n := min(piece, len(data))
		if _, err := v.Write(data[:n]); err != nil {
			if again := v.Close(); again != err {
				return errors.Join(errors.New("Close says something else"), err, again)
			}
			return err
		}
		data = data[n:]
	}
	return v.Close()
}

func same(a, b error) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Error() == b.Error()
}

func TestEveryGenuineFileIsAccepted(t *testing.T) {
	all := samples.Genuine()
	seen := map[filetype.Type]bool{}
	for _, f := range all {
		seen[f.Type] = true
		if err := filetype.Verify(f.Type, f.Data, filetype.Limits{}); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	if len(all) < 200 {
		t.Errorf("only %d files", len(all))
	}
	if len(seen) != len(filetype.All()) {
		t.Errorf("only %d of %d types", len(seen), len(filetype.All()))
	}
}

// The files in testdata/real were written by FFmpeg 5.1, ImageMagick 6.9, Ghostscript 10.0 and Info-ZIP 3.0.
func TestFilesOfOtherProgramsAreAccepted(t *testing.T) {
	names, err := filepath.Glob("testdata/real/*")
	if err != nil || len(names) < 20 {
		t.Fatalf("%d files, %v", len(names), err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		typ, ok := filetype.ByExtension(filepath.Ext(name))
		if !ok {
			t.Errorf("%s: unknown extension", name)
		}
		if err := filetype.Verify(typ, b, filetype.Limits{}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestEveryHostileFileIsRefused(t *testing.T) {
	all := samples.Hostile()
	seen := map[string]bool{}
	for _, f := range all {
		err := filetype.Verify(f.Type, f.Data, filetype.Limits{})
		var e *filetype.Error
		if !errors.As(err, &e) {
			t.Errorf("%s: %v", f.Name, err)
			continue
		}
		if e.Type != f.Type || e.Reason == "" || e.Kind.String() == "none" || e.Offset < 0 || e.Offset > int64(len(f.Data)) {
			t.Errorf("%s: %+v of %d bytes", f.Name, e, len(f.Data))
		}
		if seen[f.Name] {
			t.Errorf("%s: twice", f.Name)
		}
		seen[f.Name] = true
	}
	if len(all) < 200 {
		t.Errorf("only %d files", len(all))
	}
	t.Logf("%d files", len(all))
}

// What makes a file hostile in the samples must be the fault that its name tells, not another one.
func TestEachFaultHasItsOwnReason(t *testing.T) {
	byName := map[string]samples.File{}
	for _, f := range samples.Hostile() {
		byName[f.Name] = f
	}
	for name, want := range map[string]string{
		"png, with a ZIP archive in a chunk": "a ZIP archive too", "png, with an empty looking ZIP archive in a chunk": "a ZIP archive too", "png, with a ZIP archive with a comment in a chunk": "a ZIP archive too",
		"jpeg, with a RAR archive in a comment": "a RAR archive too", "gif, with a PHP archive in a comment": "a script too", "wav, with a PHP archive as sound": "too", "mp4, with a 7z archive in free space": "a 7z archive too",
		"png, in a tar archive": "after the end", "webp, with a PDF in a chunk": "a PDF too", "flac, with a ZIP archive as sound": "a ZIP archive too", "pdf, with a ZIP archive in a stream": "a ZIP archive too",
		"mp3, with a page in a tag": "a script too", "gif, with PHP in a comment": "a script too", "txt, that is a PDF behind a word": "a PDF too",
		"png, too large": "too many pixels", "jpeg, too large": "too many pixels", "jpeg, with too many scans": "too many scans", "gif, with too many frames": "too many frames", "png, with too many frames": "too many frames",
		"gif, too large": "too many pixels", "webp, too large": "too many pixels", "webp, with two sizes": "differ", "png, with a wrong checksum": "checksum", "png, with an unknown critical chunk": "unknown critical",
		"wav, of a pipe": "ends before", "mp4, of QuickTime": "brand", "m4a, with pictures": "pictures", "ogg, with Theora": "not a sound codec", "webm, that is Matroska": "webm", "webm, with attachments": "attachments",
		"zip, with an absolute name": "another place", "zip, with a name that leaves": "another place", "zip, with a name of Windows": "another place", "zip, with a drive": "another place",
		"zip, with two entries of one name": "one name", "zip, with two names that differ by case": "one name", "zip, with a file and a folder of one name": "one name", "zip, with a program": "program", "zip, with an archive": "archive in the archive",
		"zip, with a symbolic link": "symbolic link", "zip, with a device": "special file", "zip, with a bomb": "too well", "zip, with a PHP archive in it": "a PHP archive too", "zip, with an entry that is larger than it says": "larger than it says", "zip, with an entry that is smaller than it says": "another size", "zip, with data behind that of an entry": "another size", "zip, with broken data": "broken data", "zip, with an encrypted entry": "encrypted", "zip, with another name outside": "differ",
		"zip, with another archive in front": "after the end", "zip, with a comment that is an archive": "in the comment", "zip, with a comment that is too long": "comment too long", "zip, with ZIP64": "ZIP64", "zip, with a size of ZIP64": "ZIP64",
		"zip, with an offset that is wrong": "differ", "zip, with a count that is wrong": "differ", "zip, with an unknown method": "neither", "zip, with a second name": "second name", "zip, with too many entries": "too many entries",
		"zip, with a directory without its last entry": "differ", "zip, with an entry that the directory hides": "differ", "zip, with a name that is turned round": "cannot be seen", "zip, with a name that is no UTF-8": "UTF-8",
		"docx, with vbaProject.bin": "macros", "xlsx, with activeX/activeX1.xml": "ActiveX", "pptx, with embeddings/oleObject1.bin": "embedded object", "docx, with media/a.exe": "program", "docx, without its main part": "claimed kind",
	} {
		f, ok := byName[name]
		if !ok {
			t.Errorf("%s: no such sample", name)
			continue
		}
		if err := filetype.Verify(f.Type, f.Data, filetype.Limits{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", name, err, want)
		}
	}
}

func TestTheVerdictDoesNotDependOnHowTheBytesArrive(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 3))
	for _, f := range append(samples.Genuine(), samples.Hostile()...) {
		if len(f.Data) > 40_000 {
			continue
		}
		whole := filetype.Verify(f.Type, f.Data, filetype.Limits{})
		for _, n := range []int{1, 2 + rng.IntN(30), 1000 + rng.IntN(1000)} {
			if err := cut(f.Type, f.Data, n); !same(err, whole) {
				t.Errorf("%s in pieces of %d: %v, in one: %v", f.Name, n, err, whole)
			}
		}
	}
}

func TestAProgramIsRefusedAtItsFirstBytes(t *testing.T) {
	for name, head := range samples.Programs {
		for _, typ := range filetype.All() {
			v := filetype.New(typ, filetype.Limits{})
			_, err := v.Write(append([]byte(head), make([]byte, 64)...))
			if typ == filetype.JSON || typ == filetype.JSONLines {
				err = v.Close() // these are read once they are whole
			}
			if err == nil {
				t.Errorf("%s as %s: nothing was said after %d bytes", name, typ, len(head)+64)
			}
		}
	}
}

// 100 MB and more of compressed data hold MZ, PK and "#!" thousands of times, and must pass.
func TestRandomDataIsNoSecondFormat(t *testing.T) {
	size := 256 << 20
	if testing.Short() {
		size = 16 << 20
	}
	v := filetype.New(filetype.PNG, filetype.Limits{})
	pixel := samples.Blank(9, 9)
	// An ancillary chunk has at most 2 GiB; here the picture's own body is what it would be for a large photograph.
	v.Write(pixel[:33])
	rng := rand.NewChaCha8([32]byte{1})
	block := make([]byte, 1<<20)
	for range size / len(block) {
		rng.Read(block)
		if _, err := v.Write(samples.Chunk("IDAT", block)); err != nil {
			t.Fatal(err)
		}
	}
	v.Write(samples.Chunk("IEND", nil))
	if err := v.Close(); err != nil {
		t.Error(err)
	}
}

func TestMemoryDoesNotGrowWithTheFile(t *testing.T) {
	head, chunk, end := samples.Blank(9, 9)[:33], samples.Chunk("IDAT", make([]byte, 1<<20)), samples.Chunk("IEND", nil)
	allocated := func(chunks int) uint64 {
		var before, after runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&before)
		v := filetype.New(filetype.PNG, filetype.Limits{})
		v.Write(head)
		for range chunks {
			v.Write(chunk)
		}
		if _, err := v.Write(end); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	allocated(1)
	few, many := allocated(1), allocated(256)
	if many > few+4096 || many > 64<<10 {
		t.Errorf("%d bytes for a file of 1 MiB, %d for one of 256 MiB", few, many)
	}
}

func TestATypeIsFoundByItsNames(t *testing.T) {
	for _, typ := range filetype.All() {
		if got, ok := filetype.ByExtension("." + strings.ToUpper(typ.Extension())); !ok || got != typ {
			t.Errorf("%s by extension: %s", typ, got)
		}
		for _, m := range typ.MediaTypes() {
			if got, ok := filetype.ByMediaType(m); !ok || got != typ {
				t.Errorf("%s by media type %s: %s", typ, m, got)
			}
		}
	}
	for _, s := range []string{"", ".", "exe", "svg", "html", "image/svg+xml", "image/*", "none"} {
		if _, ok := filetype.ByExtension(s); ok {
			t.Errorf("%q is an extension", s)
		}
		if _, ok := filetype.ByMediaType(s); ok {
			t.Errorf("%q is a media type", s)
		}
	}
	if filetype.Verify(filetype.None, []byte("x"), filetype.Limits{}) == nil || filetype.Verify(200, nil, filetype.Limits{}) == nil {
		t.Error("a type that does not exist is verified")
	}
}

func FuzzPictures(f *testing.F) { fuzz(f, filetype.PNG, filetype.JPEG, filetype.GIF, filetype.WebP) }

func FuzzSoundAndVideo(f *testing.F) {
	fuzz(f, filetype.WAV, filetype.MP3, filetype.M4A, filetype.Ogg, filetype.FLAC, filetype.MP4, filetype.WebM)
}

func FuzzTexts(f *testing.F) {
	fuzz(f, filetype.Text, filetype.Markdown, filetype.CSV, filetype.JSON, filetype.JSONLines)
}

func FuzzDocuments(f *testing.F) {
	fuzz(f, filetype.PDF, filetype.ZIP, filetype.DOCX, filetype.XLSX, filetype.PPTX)
}

// fuzz looks for a split that changes the verdict, its reason or its place, and for panics.
func fuzz(f *testing.F, family ...filetype.Type) {
	seeds := map[filetype.Type]int{}
	for _, g := range append(samples.Genuine(), samples.Hostile()...) {
		// A few of each type: the engine runs all of them before it begins.
		if i := slices.Index(family, g.Type); i >= 0 && len(g.Data) < 2000 && seeds[g.Type] < 6 {
			seeds[g.Type]++
			f.Add(byte(i), g.Data, uint16(7))
		}
	}
	f.Fuzz(func(t *testing.T, typ byte, data []byte, split uint16) {
		k := family[int(typ)%len(family)]
		whole := filetype.Verify(k, data, filetype.Limits{})
		if err := cut(k, data, 1+int(split)%2000); !same(err, whole) {
			t.Errorf("%s in pieces of %d: %v, in one: %v", k, 1+int(split)%2000, err, whole)
		}
		if err := cut(k, data, 1); !same(err, whole) {
			t.Errorf("%s byte by byte: %v, in one: %v", k, err, whole)
		}
		var e *filetype.Error
		if whole != nil && (!errors.As(whole, &e) || e.Offset > int64(len(data))) {
			t.Errorf("%#v", whole)
		}
	})
}

// What a file costs on its way, by type, in pieces of 32 KiB. The figure for random data bounds the search for second formats.
func BenchmarkVerifier(b *testing.B) {
	noise := make([]byte, 4<<20)
	rand.NewChaCha8([32]byte{2}).Read(noise)
	prose := bytes.Repeat([]byte("The quick brown fox jumps over the lazy dog, and then it sleeps for a while.\n"), 50_000)
	for _, c := range []struct {
		name string
		t    filetype.Type
		data []byte
	}{
		{"png", filetype.PNG, samples.WithChunk(samples.Blank(9, 9), "teSt", noise)},
		{"jpeg", filetype.JPEG, jpegOf(noise)},
		{"wav", filetype.WAV, samples.WAV(1, 2, 16, noise)},
		{"mp4", filetype.MP4, samples.MP4("isom", noise, true, "vide", "soun")},
		{"pdf", filetype.PDF, samples.PDF(noise, "\n")},
		{"txt", filetype.Text, prose},
		{"zip", filetype.ZIP, samples.ZIP("noise", noise)},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.SetBytes(int64(len(c.data)))
			b.ReportAllocs()
			for b.Loop() {
				v := filetype.New(c.t, filetype.Limits{})
				r := bytes.NewReader(c.data)
				buf := make([]byte, 32<<10)
				if _, err := io.CopyBuffer(struct{ io.Writer }{v}, struct{ io.Reader }{r}, buf); err != nil {
					b.Fatal(err)
				}
				if err := v.Close(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// jpegOf returns a picture whose scan is long: noise, stuffed.
func jpegOf(noise []byte) []byte {
	for _, g := range samples.Genuine() {
		if g.Type == filetype.JPEG {
			return append(append(bytes.Clone(g.Data[:len(g.Data)-2]), bytes.ReplaceAll(noise, []byte{0xFF}, []byte{0xFF, 0})...), 0xFF, 0xD9)
		}
	}
	return nil
}

package validate_test

import (
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/filetype"
	"github.com/mantlet-go/mantlet/internal/filetype/samples"
	"github.com/mantlet-go/mantlet/validate"
)

func dataURL(media string, b []byte) string {
	return "data:" + media + ";base64," + base64.StdEncoding.EncodeToString(b)
}

// declared are the media types under which a data URL may hold a type.
var declared = map[filetype.Type][]string{
	filetype.PNG: {"image/png"}, filetype.JPEG: {"image/jpeg"}, filetype.GIF: {"image/gif"}, filetype.WebP: {"image/webp"},
	filetype.WAV: {"audio/wav", "audio/x-wav", "audio/wave"}, filetype.MP3: {"audio/mpeg", "audio/mp3"},
	filetype.M4A: {"audio/mp4", "audio/m4a", "audio/x-m4a"}, filetype.Ogg: {"audio/ogg"}, filetype.FLAC: {"audio/flac", "audio/x-flac"},
	filetype.WebM: {"audio/webm", "video/webm"}, filetype.MP4: {"video/mp4"}, filetype.PDF: {"application/pdf"},
}

func TestADataURLIsTakenWhenItsBytesAreWhatItDeclares(t *testing.T) {
	images, media := 0, 0
	for _, f := range samples.Genuine() {
		image := f.Type == filetype.PNG || f.Type == filetype.JPEG || f.Type == filetype.GIF || f.Type == filetype.WebP
		for _, m := range declared[f.Type] {
			u := dataURL(m, f.Data)
			if !validate.IsMediaURL(u) {
				t.Errorf("%s as %s is refused as a media URL", f.Name, m)
			}
			if validate.IsImageURL(u) != image {
				t.Errorf("%s as %s: image URL is %v", f.Name, m, !image)
			}
			media++
		}
		if image {
			images++
		}
		if got := validate.IsImageBase64(base64.StdEncoding.EncodeToString(f.Data)); got != image {
			t.Errorf("%s: image in base64 is %v", f.Name, got)
		}
		for other, ms := range declared {
			if other != f.Type && validate.IsMediaURL(dataURL(ms[0], f.Data)) && !(f.Type == filetype.M4A && other == filetype.MP4) {
				t.Errorf("%s is taken as %s", f.Name, ms[0])
			}
		}
	}
	if images < 90 || media < 200 {
		t.Errorf("only %d pictures and %d files were tried", images, media)
	}
}

func TestAPublicURLIsAnImageURLAndAMediaURL(t *testing.T) {
	for s, want := range map[string]bool{
		"https://example.com/a.png": true, "http://example.com/a.png": false, "https://169.254.169.254/a.png": false, "https://[fd00:ec2::254]/": false,
		"https://metadata.google.internal/computeMetadata/v1/": false, "https://metadata.goog/": false, "https://Metadata.Goog/": false, "https://169.254.169.254.nip.io/": false, "https://snip.io/": true,
		"https://nip.io.example.com/": true, "https://a.LOCALTEST.me:443/": false, "file:///etc/passwd": false, "": false, "a.png": false,
		"DATA:image/png;base64,": false,
	} {
		if validate.IsImageURL(s) != want || validate.IsMediaURL(s) != want {
			t.Errorf("%q: want %v", s, want)
		}
	}
}

func TestADataURLOfAnotherFormIsRefused(t *testing.T) {
	good := base64.StdEncoding.EncodeToString(samples.Blank(3, 3))
	if !validate.IsImageURL("data:image/png;base64," + good) {
		t.Fatal("the good one is refused")
	}
	for _, u := range []string{
		"data:," + good, "data:;base64," + good, "data:image/png," + good, "data:image/png;base64;base64," + good, "data:image/png;charset=utf-8;base64," + good,
		"data:IMAGE/PNG;base64," + good, "data:image/png;BASE64," + good, "data:image/png; base64," + good, "data: image/png;base64," + good,
		"data:image/png;base64, " + good, "data:image/png;base64," + good + "\n", "data:image/png;base64," + good + "#x", "data:image/png;base64,",
		"data:image/svg+xml;base64," + good, "data:image/jpeg;base64," + good, "data:text/html;base64," + good, "data:image/*;base64," + good,
		"data:image/png;base64," + strings.ReplaceAll(good, "A", "%41"), "data:image/png;base64," + good[:40] + "\r\n" + good[40:], "data:image/png;base64",
		"data:" + strings.Repeat("a", 100) + ",", "data:", " data:image/png;base64," + good, "data:image/png;base64," + good[4:], "data:image/png;base64," + good[:len(good)-4],
	} {
		if validate.IsImageURL(u) || validate.IsMediaURL(u) {
			t.Errorf("%.80q is taken", u)
		}
	}
}

func TestAPictureThatDeclaresTooManyPixelsIsRefused(t *testing.T) {
	bomb := []byte("GIF89a\xff\xff\xff\xff\x00\x00\x00,\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;")
	if u := dataURL("image/gif", bomb); validate.IsImageURL(u) {
		t.Errorf("%d bytes that declare 65,535 by 65,535 pixels are taken", len(bomb))
	}
	copy(bomb[6:], "\x01\x00\x01\x00")
	if u := dataURL("image/gif", bomb); !validate.IsImageURL(u) {
		t.Error("the same bytes are refused when they declare one pixel")
	}
}

func TestBase64HasOneFormForEachText(t *testing.T) {
	for s, want := range map[string]bool{
		// RFC 4648 section 10.
		"": true, "Zg==": true, "Zm8=": true, "Zm9v": true, "Zm9vYg==": true, "Zm9vYmE=": true, "Zm9vYmFy": true,
		"Zg": false, "Zg=": false, "Zg===": false, "=": false, "====": false, "Z===": false, "Zh==": false, "Zm9=": false, "Zm8=Zm8=": false, "Zg==Zg==": false,
		"Zm9v\n": false, "Zm9v\r\n\r\n": false, "Zm\nv": false, "Zm9\n": false, " Zm9v": false, "Zm9-": false, "Zm9_": false, "Zm9/": true, "Zm9+": true, "Zm=v": false, "\n\n\n\n": false,
		strings.Repeat("A", 4096) + "Zg==": true, strings.Repeat("A", 4094) + "==" + "AAAA": false, strings.Repeat("A", 4093) + "===": false,
		strings.Repeat("A", 4095) + "\n": false, strings.Repeat("A", 4097): false, strings.Repeat("A", 4095) + "\n" + "AAAA": false,
	} {
		if got := validate.IsBase64(s); got != want {
			t.Errorf("%.20q (%d bytes): %v, want %v", s, len(s), got, want)
		}
	}
}

func TestNoCopyIsMadeOfAPayload(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	b := samples.WithChunk(samples.Blank(9, 9), "teSt", noise(rng, 4<<20))
	u := dataURL("image/png", b)
	if !validate.IsImageURL(u) {
		t.Fatal("refused")
	}
	r := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			validate.IsImageURL(u)
		}
	})
	if per := r.AllocedBytesPerOp(); per > 64<<10 {
		t.Errorf("%d bytes are allocated for a payload of %d", per, len(b))
	}
}

func noise(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// Base64 that passes is what the standard library makes of the bytes; a picture that passes is one by its verifier.
func FuzzMediaURL(f *testing.F) {
	for _, g := range samples.Genuine() {
		if ms := declared[g.Type]; ms != nil && len(g.Data) < 2000 {
			f.Add(dataURL(ms[0], g.Data))
		}
	}
	f.Add("data:image/png;base64,iVBORw0KGgo=")
	f.Add("https://example.com/")
	f.Add("Zm9v\nZg==")
	f.Fuzz(func(t *testing.T, s string) {
		b, err := base64.StdEncoding.DecodeString(s)
		if canonical := err == nil && base64.StdEncoding.EncodeToString(b) == s; validate.IsBase64(s) != canonical {
			t.Errorf("canonical is %v", canonical)
		}
		if validate.IsImageBase64(s) && !validate.IsBase64(s) {
			t.Error("a picture that is no base64")
		}
		if validate.IsImageURL(s) && !validate.IsMediaURL(s) {
			t.Error("an image URL that is no media URL")
		}
		data, ok := strings.CutPrefix(s, "data:image/png;base64,")
		if b, err := base64.StdEncoding.DecodeString(data); ok && err == nil && base64.StdEncoding.EncodeToString(b) == data {
			if want := filetype.Verify(filetype.PNG, b, filetype.Limits{}) == nil; validate.IsImageURL(s) != want {
				t.Errorf("the verifier says %v", want)
			}
		}
	})
}

// A photograph in a data URL: what the check costs on top of the schema.
func BenchmarkImageURL(b *testing.B) {
	u := dataURL("image/png", samples.WithChunk(samples.Blank(9, 9), "teSt", noise(rand.New(rand.NewPCG(1, 1)), 1<<20)))
	b.SetBytes(int64(len(u)))
	b.ReportAllocs()
	for b.Loop() {
		if !validate.IsImageURL(u) {
			b.Fatal("refused")
		}
	}
}

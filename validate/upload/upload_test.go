package upload_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/textproto"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/mantlet-go/mantlet/internal/filetype"
	"github.com/mantlet-go/mantlet/internal/filetype/samples"
	"github.com/mantlet-go/mantlet/validate/upload"
)

const boundary = "----boundary7"
const formType = "multipart/form-data; boundary=" + boundary

// part is one part of a form as a test writes it.
type part struct {
	disposition string // what follows "form-data; "
	contentType string
	data        string
}

func form(parts ...part) string {
	var b strings.Builder
	for _, p := range parts {
		b.WriteString("--" + boundary + "\r\nContent-Disposition: form-data; " + p.disposition + "\r\n")
		if p.contentType != "" {
			b.WriteString("Content-Type: " + p.contentType + "\r\n")
		}
		b.WriteString("\r\n" + p.data + "\r\n")
	}
	return b.String() + "--" + boundary + "--\r\n"
}

func file(f samples.File) part {
	return part{`name="file"; filename="a.` + f.Type.Extension() + `"`, f.Type.MediaType(), string(f.Data)}
}

var pixel = string(samples.Blank(1, 1))

func inspector(t testing.TB, cfg upload.Config) *upload.Inspector {
	t.Helper()
	if cfg.Allow == nil {
		for _, typ := range filetype.All() {
			cfg.Allow = append(cfg.Allow, upload.Type(typ))
		}
	}
	in, err := upload.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return in
}

// rule returns the rule that a form breaks, "" when it is taken, and checks what every refusal keeps.
func rule(t *testing.T, in *upload.Inspector, contentType, body string) string {
	t.Helper()
	err := in.Check(contentType, strings.NewReader(body))
	if err == nil {
		return ""
	}
	var e *upload.Error
	if !errors.As(err, &e) {
		t.Fatalf("%T: %v", err, err)
	}
	if e.Status < 400 || e.Code == "" || e.Message == "" || e.Rule == "" {
		t.Errorf("%+v", e)
	}
	return e.Rule
}

func TestEveryGenuineFileIsTakenAndEveryHostileOneRefused(t *testing.T) {
	in := inspector(t, upload.Config{})
	genuine, hostile := samples.Genuine(), samples.Hostile()
	for _, f := range genuine {
		if err := in.Check(formType, strings.NewReader(form(file(f)))); err != nil {
			t.Errorf("%s: %v", f.Name, err)
		}
	}
	for _, f := range hostile {
		if r := rule(t, in, formType, form(file(f))); r != "bytes" && r != "content" && r != "Limits" {
			t.Errorf("%s: %q", f.Name, r)
		}
	}
	if len(genuine) < 200 || len(hostile) < 200 {
		t.Errorf("%d genuine files, %d hostile ones", len(genuine), len(hostile))
	}
	t.Logf("%d genuine files, %d hostile ones", len(genuine), len(hostile))
}

func TestAListOfTypesTakesItsOwnGenuineFilesAndNoOthers(t *testing.T) {
	for name, allow := range map[string]struct {
		types []upload.Type
		media []string
	}{
		"Images": {upload.Images(), []string{"image/"}},
		"Sounds": {upload.Sounds(), []string{"audio/", "video/"}},
	} {
		in, taken := inspector(t, upload.Config{Allow: allow.types}), 0
		for _, f := range samples.Genuine() {
			want := "extension"
			for _, prefix := range allow.media {
				if strings.HasPrefix(f.Type.MediaType(), prefix) {
					want = ""
					taken++
				}
			}
			if got := rule(t, in, formType, form(file(f))); got != want {
				t.Errorf("%s: %s: %q, want %q", name, f.Name, got, want)
			}
		}
		if taken == 0 {
			t.Errorf("%s: no sample was of its types", name)
		}
	}
}

func TestARenamedFileIsRefusedWhicheverOfItsThreeTypesIsWrong(t *testing.T) {
	in := inspector(t, upload.Config{Allow: []upload.Type{upload.PNG, upload.JPEG}})
	for _, c := range []struct{ name, media, data, want string }{
		{"a.png", "image/png", pixel, ""},
		{"a.PNG", "IMAGE/PNG", pixel, ""},
		{"a.jpg", "image/png", pixel, "type"},
		{"a.png", "image/jpeg", pixel, "type"},
		{"a.jpg", "image/jpeg", pixel, "bytes"},
		{"a.gif", "image/gif", "GIF89a", "extension"}, // not on the list
		{"a.exe", "image/png", pixel, "extension"},
		{"a", "image/png", pixel, "extension"},
		{"a.svg", "image/svg+xml", "<svg/>", "extension"},
		{"a.png", "", pixel, "type"},
		{"a.png", "application/octet-stream", pixel, "type"},
		{"a.png", "image/*", pixel, "type"},
		{"a.png", "image/png; charset=utf-8", pixel, "type"},
		{"a.png", "image/png, image/jpeg", pixel, "type"},
		{"a.png", "multipart/mixed; boundary=x", "--x--", "type"},
	} {
		body := form(part{`name="f"; filename="` + c.name + `"`, c.media, c.data})
		if got := rule(t, in, formType, body); got != c.want {
			t.Errorf("%s as %q: %q, want %q", c.name, c.media, got, c.want)
		}
	}
	in = inspector(t, upload.Config{Allow: []upload.Type{upload.PNG}, SkipMissingType: true})
	for media, want := range map[string]string{"": "", "application/octet-stream": "", "image/jpeg": "type"} {
		if got := rule(t, in, formType, form(part{`name="f"; filename="a.png"`, media, pixel})); got != want {
			t.Errorf("with SkipMissingType, %q: %q, want %q", media, got, want)
		}
	}
	if got := rule(t, in, formType, form(part{`name="f"; filename="a.png"`, "", "MZ"})); got != "bytes" {
		t.Errorf("with SkipMissingType the bytes still count: %q", got)
	}
}

func TestTheNameOfAFileIsPlainOrRefused(t *testing.T) {
	in := inspector(t, upload.Config{})
	for name, want := range map[string]string{
		"a.png": "", "my photo (1).png": "", "2024.01.02 report.png": "", "ü 漢字.png": "", "100%.png": "", "php.png": "", "a.b.c.png": "", "o'neil.png": "", "%41.png": "", "a;b.png": "",
		"": "filename", ".png": "filename", ".htaccess.png": "filename", "a.png.": "filename", "a.png ": "filename", " a.png": "filename", "../a.png": "filename",
		"/etc/a.png": "filename", "c:a.png": "filename", "a.png:x.png": "filename", "a%2fb.png": "filename", "a%2Fb.png": "filename", "a%5Cb.png": "filename",
		"a%00.png": "filename", "a%0d%0ab.png": "filename", "a%22.png": "filename", "a.php.png": "filename", "a.PHP.png": "filename", "a.php.b.png": "filename", "php.php.png": "filename",
		"a.php .png": "filename", "a.asp;.png": "filename", "a.shtml.png": "filename", "a.jsp.b.png": "filename", "a\u202egnp.exe.png": "filename",
		"example.com.png": "", "setup.py.png": "", "angular.js.png": "", "page.html.png": "", "a.exe.png": "",
		"a\u202e.png": "filename", "a\u200b.png": "filename", "a\ufeff.png": "filename", "a\u2028.png": "filename", "CON.png": "filename", "nul.x.png": "filename", "com1.png": "filename", "con .png": "filename",
		"=?utf-8?q?a?=.png": "filename", "a<b.png": "filename", "a|b.png": "filename", "a?.png": "filename", "a*.png": "filename", strings.Repeat("a", 252) + ".png": "filename",
		strings.Repeat("a", 251) + ".png": "", "a\\b.png": "header", "a\x00.png": "header", "a\x1f.png": "header", "a\xff.png": "header", "a.png\x7f": "header",
	} {
		if got := rule(t, in, formType, form(part{`name="f"; filename="` + name + `"`, "image/png", pixel})); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}

func TestAHeaderThatReadersDisagreeAboutIsRefused(t *testing.T) {
	in := inspector(t, upload.Config{})
	for disposition, ok := range map[string]bool{
		`name="f"; filename="a.png"`: true, `name=f; filename=a.png`: true, `filename="a.png"; name="f"`: true, `NAME="f";FILENAME="a.png"`: true, `name="f" ; filename="a.png"`: true,
		`name="f"; filename="a.png"; filename*=utf-8''b.exe`: false, `name="f"; filename*=utf-8''a.png`: false, `name="f"; filename*0="a"; filename*1=".png"`: false,
		`name="f"; filename="a.png"; filename="b.exe"`: false, `name="f"; name="g"; filename="a.png"`: false, `name*=utf-8''f; filename="a.png"`: false, `filename="a.png"`: false,
		`name=""; filename="a.png"`: false, `name="f"; filename="a\".png"`: false, `name="f\"; filename="a.png"`: false, `name="f"; filename="a.png`: false, `name="f"; filename=a b.png`: false,
		`name="f"; filename=`: false, `name="f"; filename`: false, `name="f"; filename="a.png";`: false, `name="f"; filename="a.png"x`: false, `name="f"; filename="a.png"; size=3`: false, `name="f"; filename ="a.png"`: false,
		`name='f"; filename="a.png"`: false, "name=\"f\u200b\"; filename=\"a.png\"": false, `name="a%22b"; filename="a.png"`: false, `name="` + strings.Repeat("n", 129) + `"; filename="a.png"`: false,
	} {
		got := rule(t, in, formType, form(part{disposition, "image/png", pixel}))
		if (got == "") != ok || !ok && got != "header" {
			t.Errorf("%s: %q", disposition, got)
		}
	}
	for header, ok := range map[string]bool{
		"Content-Disposition: form-data; name=\"f\"": true, "content-disposition:form-data;name=f": true, "Content-Disposition: form-data; name=\"f\"\r\nX-Other: 1\r\nContent-Length: 1": true,
		"Content-Disposition: form-data; name=\"f\"\r\nContent-Disposition: form-data; name=\"f\"": false, "Content-Disposition: attachment; name=\"f\"": false, "Content-Type: text/plain": false, "X: y": false,
		"Content-Disposition: form-data;\r\n name=\"f\"": false, "Content-Disposition: form-data; name=\"f\"\r\n\tx": false, "Content-Disposition : form-data; name=\"f\"": false,
		"Content-Disposition: form-data; name=\"f\"\r\nContent-Transfer-Encoding: base64": false, "Content-Disposition: form-data; name=\"f\"\r\nContent-Encoding: gzip": false,
		"Content-Disposition: form-data; name=\"f\"\r\nContent-Type: text/plain\r\nContent-Type: text/plain": false, "Content-Disposition: form-data; name=\"f\"\r\nContent-Type:": false, "Content-Disposition: form-data; name=\"f\"\r\nA: \x01": false,
		"Content-Disposition: form-data; name=\"f\"\nX: y": false, "Content-Disposition: form-data; name=\"f\"" + strings.Repeat("\r\nX: y", 8): false, "": false, "nonsense": false,
	} {
		got := rule(t, in, formType, "--"+boundary+"\r\n"+header+"\r\n\r\nx\r\n--"+boundary+"--\r\n")
		if (got == "") != ok || !ok && got != "header" {
			t.Errorf("%q: %q", header, got)
		}
	}
}

func TestTheFrameOfAFormIsExact(t *testing.T) {
	in := inspector(t, upload.Config{})
	good := form(part{`name="f"`, "", "x"})
	last := "--" + boundary + "--"
	for body, want := range map[string]string{
		good: "", strings.TrimSuffix(good, "\r\n"): "", form(part{`name="f"`, "", ""}): "", form(part{`name="f"`, "", "\r\n--" + boundary[:5] + "\r\r\n"}): "",
		"": "form", "x": "form", last: "form", last + "\r\n": "form", "preamble\r\n" + good: "form", "\r\n" + good: "form", good + "x": "form", good + "\r\n": "form", good + good: "form",
		strings.TrimSuffix(good, "--\r\n"): "form", strings.TrimSuffix(good, "-\r\n"): "form", good[:20]: "form", good[:len(good)-10]: "form", strings.ReplaceAll(good, "\r\n", "\n"): "form", strings.Replace(good, boundary, boundary+" ", 1): "form",
		strings.Replace(good, boundary+"\r\n", boundary+"x\r\n", 1): "form", form(part{`name="f"`, "", "\r\n--" + boundary + "x"}): "form",
	} {
		if got := rule(t, in, formType, body); got != want {
			t.Errorf("%q: %q, want %q", body, got, want)
		}
		if err := in.Check(formType, iotest.OneByteReader(strings.NewReader(body))); (err == nil) != (want == "") {
			t.Errorf("%q byte by byte: %v", body, err)
		}
	}
	for contentType, ok := range map[string]bool{
		formType: true, `multipart/form-data; boundary="----boundary7"`: true, "Multipart/Form-Data; Boundary=----boundary7": true, "multipart/form-data; charset=utf-8; boundary=----boundary7": true,
		"": false, "multipart/form-data": false, "multipart/mixed; boundary=----boundary7": false, "multipart/form-data; boundary=": false, "multipart/form-data; boundary=a; boundary=b": false,
		"multipart/form-data; boundary=----boundary7; boundary=----boundary7": false, "multipart/form-data; boundary*=utf-8''----boundary7": false, "multipart/form-data; boundary=" + strings.Repeat("b", 71): false,
		`multipart/form-data; boundary="a\"b"`: false, `multipart/form-data; boundary="a "`: false, "multipart/form-data; boundary=----boundary7; x=y": false, "application/json": false, "text/plain, " + formType: false,
	} {
		if err := in.Check(contentType, strings.NewReader(good)); (err == nil) != ok {
			t.Errorf("%q: %v", contentType, err)
		}
	}
}

func TestTheBoundariesOfBrowsersAndLibrariesAreTaken(t *testing.T) {
	for _, b := range []string{"----WebKitFormBoundary7MA4YWxkTrZu0gW", "---------------------------735323031399963166993862150", "------------------------d74496d66958873e", "4f0c2d3e5a6b7c8d9e0f", `"a/b=c"`} {
		if got, ok := upload.ParseFormType("multipart/form-data; boundary=" + b); !ok || got != strings.Trim(b, `"`) {
			t.Errorf("%s: %q, %v", b, got, ok)
		}
	}
}

func TestALimitOfNAllowsExactlyN(t *testing.T) {
	field := func(i, n int) part { return part{fmt.Sprintf(`name="f%d"`, i), "", strings.Repeat("v", n)} }
	png := func(i int) part { return part{fmt.Sprintf(`name="p%d"; filename="a.png"`, i), "image/png", pixel} }
	two := form(field(1, 1), png(1))
	for _, c := range []struct {
		cfg  upload.Config
		body string
		want string
	}{
		{upload.Config{MaxParts: 2}, two, ""}, {upload.Config{MaxParts: 1}, two, "MaxParts"},
		{upload.Config{MaxFields: 2}, form(field(1, 1), field(2, 1), png(1)), ""}, {upload.Config{MaxFields: 1}, form(field(1, 1), field(2, 1), png(1)), "MaxFields"},
		{upload.Config{MaxField: 10}, form(field(1, 10)), ""}, {upload.Config{MaxField: 9}, form(field(1, 10)), "MaxField"},
		{upload.Config{MaxFile: int64(len(pixel))}, two, ""}, {upload.Config{MaxFile: int64(len(pixel)) - 1}, two, "MaxFile"},
		{upload.Config{MaxTotal: int64(len(two))}, two, ""}, {upload.Config{MaxTotal: int64(len(two)) - 1}, two, "MaxTotal"},
		{upload.Config{MaxHeader: 44}, form(field(1, 1)), ""}, {upload.Config{MaxHeader: 30}, form(field(1, 1)), "MaxHeader"},
		{upload.Config{}, form(part{`name="f"`, "", strings.Repeat("v", 32<<10)}), ""}, {upload.Config{}, form(part{`name="f"`, "", strings.Repeat("v", 32<<10+1)}), "MaxField"},
		{upload.Config{Limits: upload.Limits{Pixels: 1}}, two, ""}, {upload.Config{Limits: upload.Limits{Pixels: 3}}, form(part{`name="p"; filename="a.png"`, "image/png", string(samples.Blank(2, 2))}), "Limits"},
		{upload.Config{Names: []string{"f1", "p1"}}, two, ""}, {upload.Config{Names: []string{"f1"}}, two, "name"},
		{upload.Config{}, form(field(1, 1), field(1, 1)), "name"}, {upload.Config{}, form(png(1), png(1)), "name"}, {upload.Config{Repeat: []string{"f1"}}, form(field(1, 1), field(1, 1)), ""},
		{upload.Config{}, form(part{`name="model"`, "", "a"}, part{`name="MODEL"`, "", "b"}), "name"},
		{upload.Config{}, form(part{`name="f"`, "text/plain; charset=utf-8", "ü"}), ""}, {upload.Config{}, form(part{`name="f"`, "text/html", "x"}), "type"}, {upload.Config{}, form(part{`name="f"`, "text/plain; charset=utf-16", "x"}), "type"},
		{upload.Config{}, form(part{`name="f"`, "", "\xff"}), "bytes"}, {upload.Config{}, form(part{`name="f"`, "", "a\x00"}), "bytes"},
	} {
		if got := rule(t, inspector(t, c.cfg), formType, c.body); got != c.want {
			t.Errorf("%+v: %q, want %q", c.cfg, got, c.want)
		}
	}
}

func TestNewNamesEveryFault(t *testing.T) {
	_, err := upload.New(upload.Config{
		Allow: []upload.Type{0, 200}, MaxParts: -1, MaxFields: -1, MaxFile: -1, MaxTotal: -1, MaxField: -1, MaxHeader: 1 << 20, ReadTimeout: -1,
		Limits: upload.Limits{Pixels: -1, Frames: -1, Entries: 5000, Unpacked: -1, Ratio: -1, Document: -1}, Names: []string{"a\"b"}, Repeat: []string{"c"},
	})
	if err == nil {
		t.Fatal("taken")
	}
	for _, want := range []string{"Allow: 0", "Allow: 200", "MaxParts", "MaxFields", "MaxFile", "MaxTotal", "MaxField ", "MaxHeader", "ReadTimeout", "Pixels", "Frames", "Entries", "Unpacked", "Ratio", "Document", `a\"b`, `"c"`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if _, err := upload.New(upload.Config{}); err == nil {
		t.Error("a Config without types is taken")
	}
}

func TestAZeroInspectorRefusesEverything(t *testing.T) {
	for _, in := range []*upload.Inspector{nil, {}} {
		err := in.Check(formType, strings.NewReader(form(part{`name="f"`, "", "x"})))
		var e *upload.Error
		if !errors.As(err, &e) || e.Status != 500 {
			t.Error(err)
		}
	}
}

func TestAVerdictAtTheEndComesInPlaceOfTheEnd(t *testing.T) {
	in := inspector(t, upload.Config{})
	good := samples.ZIP("a.txt", []byte("hello"))
	bad := append(bytes.Clone(good[:len(good)-4]), 9, 9, 0, 0) // the last record tells another place of the directory
	f, err := in.Open(formType, strings.NewReader(form(part{`name="f"; filename="a.zip"`, "application/zip", string(bad)})))
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.Next()
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(io.Discard, p)
	var e *upload.Error
	if !errors.As(err, &e) || e.Rule != "bytes" || e.Part != 1 {
		t.Errorf("%v", err)
	}
	if _, again := p.Read(make([]byte, 9)); again != err {
		t.Errorf("then %v", again)
	}
	if _, again := f.Next(); again != err {
		t.Errorf("and %v", again)
	}
}

func TestAPartThatIsPassedOverIsVerifiedToo(t *testing.T) {
	in := inspector(t, upload.Config{})
	f, err := in.Open(formType, strings.NewReader(form(part{`name="f"; filename="a.png"`, "image/png", pixel + "x"}, part{`name="g"`, "", "x"})))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := f.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Next(); err == nil || err == io.EOF {
		t.Errorf("%v", err)
	}
}

func TestAPartLeftBehindCannotBeRead(t *testing.T) {
	in := inspector(t, upload.Config{})
	f, err := in.Open(formType, strings.NewReader(form(part{`name="a"`, "", "one"}, part{`name="b"`, "", "two"})))
	if err != nil {
		t.Fatal(err)
	}
	a, _ := f.Next()
	if _, err := f.Next(); err != nil {
		t.Fatal(err)
	}
	if b, err := io.ReadAll(a); err == nil || len(b) > 0 {
		t.Errorf("%q, %v", b, err)
	}
}

func TestNamesOutAreRandomOrKept(t *testing.T) {
	body := form(part{`name="f"; filename="My Photo.JPEG"`, "image/jpeg", string(samples.Genuine()[3*7+7].Data)})
	for _, keep := range []bool{false, true} {
		f, err := inspector(t, upload.Config{KeepNames: keep}).Open(formType, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		p, err := f.Next()
		if err != nil {
			t.Fatal(err)
		}
		if p.Name != "f" || p.Original != "My Photo.JPEG" || p.Type != upload.JPEG || p.ContentType != "image/jpeg" || !p.IsFile() {
			t.Errorf("%+v", p)
		}
		if keep && p.Filename != "My Photo.jpg" || !keep && (len(p.Filename) != 36+4 || !strings.HasSuffix(p.Filename, ".jpg")) {
			t.Errorf("keep %v: %q", keep, p.Filename)
		}
	}
}

// What every client library of HTTP writes must pass, as mime/multipart does here.
func TestAFormOfTheStandardLibraryIsTaken(t *testing.T) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	w.WriteField("model", "m")
	for i, name := range []string{"a.png", "ü b.png"} {
		h := textproto.MIMEHeader{}
		h.Set("Content-Disposition", multipart.FileContentDisposition(fmt.Sprint("file", i), name))
		h.Set("Content-Type", "image/png")
		p, _ := w.CreatePart(h)
		io.WriteString(p, pixel)
	}
	w.Close()
	if err := inspector(t, upload.Config{}).Check(w.FormDataContentType(), &b); err != nil {
		t.Error(err)
	}
}

// large is the body of a form with one picture of n MiB, made while it is read.
func large(n int) io.Reader {
	head := samples.Blank(9, 9)[:33]
	chunk := samples.Chunk("IDAT", make([]byte, 1<<20))
	readers := []io.Reader{strings.NewReader("--" + boundary + "\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n"), bytes.NewReader(head)}
	for range n {
		readers = append(readers, bytes.NewReader(chunk))
	}
	return io.MultiReader(append(readers, bytes.NewReader(samples.Chunk("IEND", nil)), strings.NewReader("\r\n--"+boundary+"--\r\n"))...)
}

func TestMemoryDoesNotGrowWithTheForm(t *testing.T) {
	in := inspector(t, upload.Config{MaxFile: 1 << 40, MaxTotal: 1 << 40})
	allocated := func(n int) uint64 {
		r := large(n)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if err := in.Check(formType, r); err != nil {
			t.Fatal(err)
		}
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	allocated(1)
	few, many := allocated(1), allocated(256)
	t.Logf("%d bytes for 1 MiB, %d for 256 MiB", few, many)
	if many > few+16<<10 || many > 64<<10 { // io.Copy's own buffer comes from a pool and goes with it
		t.Errorf("%d bytes for 1 MiB, %d for 256 MiB", few, many)
	}
}

// A form of few bytes must not cost much: 10,000 parts end at the limit.
func TestAFormOfManyPartsEndsEarly(t *testing.T) {
	var parts []part
	for i := range 10_000 {
		parts = append(parts, part{fmt.Sprintf(`name="f%d"`, i), "", ""})
	}
	r := strings.NewReader(form(parts...))
	size := r.Len()
	if err := inspector(t, upload.Config{}).Check(formType, r); err == nil {
		t.Error("taken")
	}
	if read := size - r.Len(); read > 32<<10 {
		t.Errorf("%d bytes of %d were read", read, size)
	}
}

func noise(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{4}).Read(b)
	return b
}

// A form's way through: what is checked on top of reading it. The first figure is memory bandwidth, the second what
// mime/multipart takes to find the parts alone.
func BenchmarkForm(b *testing.B) {
	photo := string(samples.WithChunk(samples.Blank(9, 9), "teSt", noise(8<<20)))
	body := form(part{`name="model"`, "", "m"}, part{`name="f"; filename="a.png"`, "image/png", photo})
	in := inspector(b, upload.Config{})
	b.Run("check", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			if err := in.Check(formType, struct{ io.Reader }{strings.NewReader(body)}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("mime/multipart alone", func(b *testing.B) {
		b.SetBytes(int64(len(body)))
		b.ReportAllocs()
		for b.Loop() {
			r := multipart.NewReader(struct{ io.Reader }{strings.NewReader(body)}, boundary)
			for {
				p, err := r.NextRawPart()
				if err == io.EOF {
					break
				}
				if _, err := io.Copy(io.Discard, p); err != nil {
					b.Fatal(err)
				}
			}
		}
	})
	b.Run("refusal of a renamed file", func(b *testing.B) {
		bad := form(part{`name="f"; filename="a.png"`, "image/png", "MZ" + photo})
		b.ReportAllocs()
		for b.Loop() {
			if err := in.Check(formType, strings.NewReader(bad)); err == nil {
				b.Fatal("taken")
			}
		}
	})
}

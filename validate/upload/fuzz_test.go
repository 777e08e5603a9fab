package upload_test

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/mantlet-go/mantlet/internal/filetype/samples"
	"github.com/mantlet-go/mantlet/validate/upload"
)

// Headers that pass mean the same to the parser of the standard library, which prefers filename* and undoes escapes; and the name
// that goes out needs no escape.
func FuzzContentDisposition(f *testing.F) {
	for _, s := range []string{
		`form-data; name="f"; filename="a.png"`, `form-data; name=f`, `form-data; name="f"; filename*=utf-8''a.png`, `form-data;name="a;b";filename="c=d.png"`, `Form-Data ; NAME="x"`,
		`form-data; name="f"; filename="a\".png"`, `form-data; name="=?utf-8?q?x?="`, `form-data; name="f"; filename="ü.png"`, `form-data; name="f" ; filename=a.b`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		name, filename, isFile, ok := upload.ParseHeader([]byte("Content-Disposition: " + s + "\r\n"))
		if !ok {
			return
		}
		kind, params, err := mime.ParseMediaType(strings.Trim(s, " \t"))
		if err != nil || kind != "form-data" || params["name"] != name {
			t.Fatalf("name %q; the standard library reads %q %q, %v", name, kind, params, err)
		}
		if got, has := params["filename"]; has != isFile || got != filename {
			t.Errorf("filename %q; the standard library reads %q", filename, params)
		}
		if strings.ContainsAny(name, "\"\\\r\n\x00") {
			t.Errorf("name %q", name)
		}
		if _, e := upload.CheckFilename(filename); e == nil && strings.ContainsAny(filename, "\"\\/:\r\n\x00") {
			t.Errorf("filename %q", filename)
		}
	})
}

// parts are those that mime/multipart finds.
func parts(r io.Reader, boundary string) (all []string, err error) {
	mr := multipart.NewReader(r, boundary)
	for {
		p, err := mr.NextRawPart()
		if err == io.EOF {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		b, err := io.ReadAll(p)
		if err != nil {
			return nil, err
		}
		all = append(all, p.FormName()+"\x00"+string(b))
	}
}

// A form that passes has for mime/multipart the parts that it has for us, however its bytes arrive.
func FuzzForm(f *testing.F) {
	f.Add(form(part{`name="a"`, "", "x"}))
	f.Add(form(part{`name="a"`, "", "\r\n-"}, part{`name="f"; filename="a.png"`, "image/png", pixel}))
	f.Add(form(part{`name="f"; filename="a.gif"`, "image/gif", string(samples.Genuine()[8*7].Data)}))
	f.Add(lateFault())
	f.Add("--" + boundary + "\r\n\r\n\r\n--" + boundary + "--")
	f.Add("preamble\r\n" + form(part{`name="a"`, "", "x"}) + "epilogue")
	in := inspector(f, upload.Config{Repeat: []string{"a"}})
	f.Fuzz(func(t *testing.T, body string) {
		read := func(r io.Reader) (all []string, err error) {
			form, err := in.Open(formType, r)
			if err != nil {
				t.Fatal(err)
			}
			for {
				p, err := form.Next()
				if err == io.EOF {
					return all, nil
				}
				if err != nil {
					return nil, err
				}
				b, err := io.ReadAll(p)
				if err != nil {
					return nil, err
				}
				all = append(all, p.Name+"\x00"+string(b))
			}
		}
		ours, err := read(strings.NewReader(body))
		bytewise, err2 := read(iotest.OneByteReader(strings.NewReader(body)))
		if fmt.Sprint(err) != fmt.Sprint(err2) || fmt.Sprintf("%q", ours) != fmt.Sprintf("%q", bytewise) {
			t.Errorf("in one: %q, %v; byte by byte: %q, %v", ours, err, bytewise, err2)
		}
		if err != nil {
			return
		}
		if theirs, err := parts(strings.NewReader(body), boundary); err != nil || fmt.Sprintf("%q", ours) != fmt.Sprintf("%q", theirs) {
			t.Errorf("ours %q; mime/multipart %q, %v", ours, theirs, err)
		}
	})
}

// A form made anew is read by mime/multipart as the parts that were verified.
func FuzzMadeAnew(f *testing.F) {
	f.Add("model", "value", []byte("{}"))
	f.Add("ü[]", "\r\n--", []byte(`{"a":1}`))
	f.Fuzz(func(t *testing.T, name, value string, document []byte) {
		var b bytes.Buffer
		w := multipart.NewWriter(&b)
		w.WriteField(name, value)
		p, _ := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {`form-data; name="file"; filename="a.json"`}, "Content-Type": {"application/json"}})
		p.Write(document)
		w.Close()
		in := inspector(t, upload.Config{})
		if in.Check(w.FormDataContentType(), bytes.NewReader(b.Bytes())) != nil {
			return
		}
		var got []string
		r := post(b.String(), "Content-Type", w.FormDataContentType())
		serve(in.Handler(readParts(t, &got)), r)
		if len(got) != 2 || got[0] != name+"\x00"+value || got[1] != "file\x00"+string(document) {
			t.Errorf("%q", got)
		}
	})
}

func readParts(t *testing.T, all *[]string) http.Handler {
	return http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
		if err != nil {
			t.Error(err)
		}
		if *all, err = parts(r.Body, params["boundary"]); err != nil {
			t.Error(err)
		}
	})
}

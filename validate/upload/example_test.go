package upload_test

import (
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"
	"strings"

	"github.com/mantlet-go/mantlet/internal/filetype/samples"
	"github.com/mantlet-go/mantlet/validate/upload"
)

// send posts one file to h and prints the status and the text of the answer.
func send(h http.Handler, name, media string, data []byte) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	p, _ := w.CreatePart(textproto.MIMEHeader{
		"Content-Disposition": {multipart.FileContentDisposition("image", name)}, "Content-Type": {media},
	})
	p.Write(data)
	w.Close()
	r := httptest.NewRequest("POST", "/v1/images/edits", &b)
	r.Header.Set("Content-Type", w.FormDataContentType())
	r.Header.Set("X-Request-Id", "example")
	answer := httptest.NewRecorder()
	h.ServeHTTP(answer, r)
	fmt.Println(answer.Code, strings.TrimSpace(answer.Body.String()))
}

// A handler that gets pictures and nothing else. It reads the form as it would without the Inspector.
func ExampleNew() {
	in, err := upload.New(upload.Config{Allow: upload.Images()})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := in.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1 << 20); err != nil {
			upload.Refuse(w, r, err)
			return
		}
		file := r.MultipartForm.File["image"][0]
		fmt.Fprintf(w, "a %s of %d bytes", file.Header.Get("Content-Type"), file.Size)
	}))

	picture := samples.Blank(3, 3)
	send(h, "photo.png", "image/png", picture)
	send(h, "photo.jpg", "image/jpeg", picture)
	send(h, "photo.php.png", "image/png", picture)
	send(h, "photo.png", "image/png", append(picture, "PK and an archive"...))
	// Output:
	// 200 a image/png of 90 bytes
	// 415 {"error":{"message":"A file is not of the type that its name and its part say.","type":"invalid_request_error","param":null,"code":"unsupported_media_type","request_id":"example"}}
	// 400 {"error":{"message":"The name of a file has a second extension that systems run.","type":"invalid_request_error","param":null,"code":"invalid_request","request_id":"example"}}
	// 415 {"error":{"message":"A file is not of the type that its name and its part say.","type":"invalid_request_error","param":null,"code":"unsupported_media_type","request_id":"example"}}
}

// Parts read as they come, without a file in memory or on disk.
func ExampleFrom() {
	in, err := upload.New(upload.Config{Allow: []upload.Type{upload.PNG}, Names: []string{"image"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	h := in.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		form, ok := upload.From(r.Context())
		if !ok {
			http.Error(w, "no form", http.StatusBadRequest)
			return
		}
		for {
			part, err := form.Next()
			if err == io.EOF {
				return
			}
			var n int64
			if err == nil {
				n, err = io.Copy(io.Discard, part) // a store that can forget what it got when this fails
			}
			if err != nil {
				upload.Refuse(w, r, err)
				return
			}
			fmt.Fprintf(w, "%s: %s, %d bytes, stored under a name of %d characters\n", part.Name, part.Type, n, len(part.Filename))
		}
	}))

	send(h, "photo.png", "image/png", samples.Blank(3, 3))
	// Output:
	// 200 image: png, 90 bytes, stored under a name of 40 characters
}

// The decision without HTTP.
func ExampleInspector_Check() {
	in, err := upload.New(upload.Config{Allow: []upload.Type{upload.Text}})
	if err != nil {
		fmt.Println(err)
		return
	}
	body := "--b\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n%s\r\n--b--\r\n"
	for _, text := range []string{"plain words", "#!/bin/sh\nexit"} {
		fmt.Println(in.Check("multipart/form-data; boundary=b", strings.NewReader(fmt.Sprintf(body, text))))
	}
	// Output:
	// <nil>
	// upload: invalid_request in part 1 (content): A file holds what no file may hold here.
}

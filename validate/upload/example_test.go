package upload_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"strings"

	"github.com/mantlet-go/mantlet/validate/upload"
)

// picture returns a grey PNG file of 3 by 3 pixels.
func picture() []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 3, 3))); err != nil {
		panic(err)
	}
	return b.Bytes()
}

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
		fmt.Fprintf(w, "%s %q, %d bytes", file.Header.Get("Content-Type"), r.MultipartForm.Value["prompt"], file.Size)
	}))

	send(h, "photo.png", "image/png", picture())
	send(h, "photo.jpg", "image/jpeg", picture())
	send(h, "photo.php.png", "image/png", picture())
	send(h, "photo.png", "image/png", append(picture(), "PK and an archive"...))
	// Output:
	// 200 image/png [], 75 bytes
	// 415 {"error":{"message":"The bytes of a file are not of the type that its name and its part say: send an intact file under its own type.","type":"invalid_request_error","param":"part 1","code":"unsupported_media_type","request_id":"example"}}
	// 400 {"error":{"message":"The name of a file has a second extension, one that web servers run: rename the file.","type":"invalid_request_error","param":"part 1","code":"invalid_request","request_id":"example"}}
	// 415 {"error":{"message":"The bytes of a file are not of the type that its name and its part say: send an intact file under its own type.","type":"invalid_request_error","param":"part 1","code":"unsupported_media_type","request_id":"example"}}
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
		var answer bytes.Buffer // said at the end: until then any file may turn out wrong
		for {
			part, err := form.Next()
			if err == io.EOF {
				w.Write(answer.Bytes())
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
			fmt.Fprintf(&answer, "%s: %s, %d bytes, stored under a name of %d characters\n", part.Name, part.Type, n, len(part.Filename))
		}
	}))

	send(h, "photo.png", "image/png", picture())
	// Output:
	// 200 image: png, 75 bytes, stored under a name of 40 characters
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
	// upload: invalid_request in part 1 (content): A file holds what no file may hold here: a program, a script, an encrypted entry or a path that leaves.
}

// In front of a server behind: it gets a form made anew, and of a bad one no end that it could take for whole.
func ExampleInspector_Handler() {
	behind := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, file, err := r.FormFile("image")
		if err != nil {
			http.Error(w, "no picture", http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "a name of %d characters for %d bytes", len(file.Filename), file.Size)
	}))
	defer behind.Close()
	target, err := url.Parse(behind.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	in, err := upload.New(upload.Config{Allow: upload.Images(), MaxFile: 4 << 20})
	if err != nil {
		fmt.Println(err)
		return
	}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(target) },
		// Of a form that turns out wrong the proxy only learns that it could not be sent: the Inspector answers in its place.
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) { upload.Refuse(w, r, err) },
	}
	send(in.Handler(proxy), "photo.png", "image/png", picture())
	send(in.Handler(proxy), "photo.png", "image/png", picture()[:40])
	// Output:
	// 200 a name of 40 characters for 75 bytes
	// 415 {"error":{"message":"The bytes of a file are not of the type that its name and its part say: send an intact file under its own type.","type":"invalid_request_error","param":"part 1","code":"unsupported_media_type","request_id":"example"}}
}

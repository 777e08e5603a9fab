package mantlet_test

import (
	"bytes"
	"fmt"
	"image"
	"image/png"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/textproto"

	"github.com/mantlet-go/mantlet"
	"github.com/mantlet-go/mantlet/validate/upload"
)

// A route that takes pictures: everything else in a form is refused, and the handler reads what is left as it always did.
func ExampleRoute_upload() {
	pictures, err := upload.New(upload.Config{Allow: upload.Images(), Names: []string{"image"}})
	if err != nil {
		fmt.Println(err)
		return
	}
	p, err := mantlet.New(mantlet.Config{InsecureNoAuth: true}) // your Config.Auth
	if err != nil {
		fmt.Println(err)
		return
	}
	p.HandleFunc("POST /v1/images/edits", mantlet.Route{Upload: pictures}, func(w http.ResponseWriter, r *http.Request) {
		_, file, err := r.FormFile("image")
		if err != nil {
			upload.Refuse(w, r, err)
			return
		}
		fmt.Fprint(w, "edited ", file.Header.Get("Content-Type"))
	})

	var picture bytes.Buffer
	png.Encode(&picture, image.NewGray(image.Rect(0, 0, 3, 3)))
	for _, data := range [][]byte{picture.Bytes(), []byte("MZ, a program")} {
		var body bytes.Buffer
		form := multipart.NewWriter(&body)
		part, _ := form.CreatePart(textproto.MIMEHeader{
			"Content-Disposition": {multipart.FileContentDisposition("image", "photo.png")}, "Content-Type": {"image/png"},
		})
		part.Write(data)
		form.Close()
		r := httptest.NewRequest("POST", "/v1/images/edits", &body)
		r.Header.Set("Content-Type", form.FormDataContentType())
		w := httptest.NewRecorder()
		p.ServeHTTP(w, r)
		fmt.Println(w.Code, w.Header().Get("Content-Type"))
	}
	// Output:
	// 200 text/plain; charset=utf-8
	// 415 application/json
}

package upload_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/filetype/samples"
	"github.com/mantlet-go/mantlet/internal/memhttp"
	"github.com/mantlet-go/mantlet/validate/upload"
)

// lateFault is a form whose last file turns out wrong at its last bytes.
func lateFault() string {
	archive := samples.ZIP("a.txt", bytes.Repeat(noise(1000), 100))
	archive[len(archive)-6] ^= 1 // where the directory is
	return form(part{`name="model"`, "", "m"}, part{`name="f"; filename="a.zip"`, "application/zip", string(archive)})
}

func post(body string, header ...string) *http.Request {
	r := httptest.NewRequest("POST", "/v1/files", strings.NewReader(body))
	r.Header.Set("Content-Type", formType)
	for i := 0; i < len(header); i += 2 {
		r.Header[header[i]] = strings.Split(header[i+1], "|")
	}
	return r
}

func serve(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// describe answers with the form as the standard library reads it.
var describe = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	mr, err := r.MultipartReader()
	if err != nil {
		http.Error(w, err.Error(), 599)
		return
	}
	var answer bytes.Buffer
	for {
		p, err := mr.NextPart()
		if err == io.EOF {
			w.Write(answer.Bytes()) // now, and not before
			return
		}
		var b []byte
		if err == nil {
			b, err = io.ReadAll(p)
		}
		if err != nil {
			http.Error(w, err.Error(), 599)
			return
		}
		fmt.Fprintf(&answer, "%s|%s|%s|%v|%d\n", p.FormName(), p.FileName(), p.Header.Get("Content-Type"), len(p.Header), len(b))
	}
})

func TestTheHandlerReadsAFormMadeAnew(t *testing.T) {
	in := inspector(t, upload.Config{})
	body := form(part{`name="model"`, "", "m"}, part{`name="image[]"; filename="my photo.png"`, "image/png", pixel}, part{`name="last"`, "text/plain", ""})
	body = strings.Replace(body, "Content-Type: image/png\r\n", "Content-Type: image/png\r\nX-Evil: 1\r\n", 1)
	var seen *http.Request
	w := serve(in.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen = r
		describe(w, r)
	})), post(body, "Content-Length", "5", "Content-Digest", "x"))
	lines := strings.Split(strings.TrimSpace(w.Body.String()), "\n")
	if w.Code != 200 || len(lines) != 3 || lines[0] != "model|||1|1" || lines[2] != "last|||1|0" {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var name, filename, media string
	for i, f := range strings.Split(lines[1], "|") {
		switch i {
		case 0:
			name = f
		case 1:
			filename = f
		case 2:
			media = f
		}
	}
	if name != "image[]" || len(filename) != 40 || strings.Contains(lines[1], "photo") || media != "image/png" || !strings.HasSuffix(lines[1], fmt.Sprintf("|2|%d", len(pixel))) {
		t.Error(lines[1])
	}
	if strings.Contains(seen.Header.Get("Content-Type"), boundary) || seen.ContentLength != -1 || seen.Header.Get("Content-Length") != "" || seen.Header.Get("Content-Digest") != "" {
		t.Errorf("%v, length %d", seen.Header, seen.ContentLength)
	}
}

func TestTheCallersRequestIsNotChanged(t *testing.T) {
	r := post(form(part{`name="a"`, "", "x"}))
	h, body := r.Header.Clone(), r.Body
	serve(inspector(t, upload.Config{}).Handler(describe), r)
	if fmt.Sprint(h) != fmt.Sprint(r.Header) || r.Body != body {
		t.Errorf("%v became %v", h, r.Header)
	}
}

func TestParseMultipartFormWorksBehind(t *testing.T) {
	w := serve(inspector(t, upload.Config{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1 << 20); err != nil {
			upload.Refuse(w, r, err)
			return
		}
		f := r.MultipartForm.File["f"][0]
		fmt.Fprint(w, r.FormValue("model"), " ", f.Size, " ", f.Header.Get("Content-Type"))
	})), post(form(part{`name="model"`, "", "m"}, part{`name="f"; filename="a.png"`, "image/png", pixel})))
	if got, want := w.Body.String(), fmt.Sprint("m ", len(pixel), " image/png"); w.Code != 200 || got != want {
		t.Errorf("%d %q, want %q", w.Code, got, want)
	}
}

func TestAHandlerThatReadsThePartsItself(t *testing.T) {
	w := serve(inspector(t, upload.Config{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := upload.From(r.Context())
		if !ok {
			t.Fatal("no form")
		}
		for {
			p, err := f.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				upload.Refuse(w, r, err)
				return
			}
			n, err := io.Copy(io.Discard, p)
			fmt.Fprintln(w, p.Name, p.Original, p.Type, n, err)
		}
	})), post(form(part{`name="f"; filename="a.png"`, "image/png", pixel})))
	if got, want := w.Body.String(), fmt.Sprintf("f a.png png %d <nil>\n", len(pixel)); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if _, ok := upload.From(context.Background()); ok {
		t.Error("a form from nowhere")
	}
}

// The rule that no handler can forget: an answer to a form that turned out wrong is replaced while it has not begun.
func TestWhateverTheHandlerAnswersToABadFormIsReplaced(t *testing.T) {
	in := inspector(t, upload.Config{})
	for name, h := range map[string]http.HandlerFunc{
		"that ignores the error": func(w http.ResponseWriter, r *http.Request) {
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Content-Type", "text/html")
			w.Header().Set("Etag", "x")
			w.WriteHeader(201)
			io.WriteString(w, "<p>stored")
		},
		"that answers nothing": func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) },
		"that shows the error": func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			http.Error(w, err.Error(), 500)
		},
		"that uses Refuse": func(w http.ResponseWriter, r *http.Request) {
			_, err := io.Copy(io.Discard, r.Body)
			upload.Refuse(w, r, fmt.Errorf("wrapped: %w", err))
		},
		"that parses the form": func(w http.ResponseWriter, r *http.Request) {
			if err := r.ParseMultipartForm(1 << 20); err == nil {
				t.Error("the standard library found nothing")
			}
		},
	} {
		w := serve(in.Handler(h), post(lateFault()))
		if w.Code != 415 || !strings.Contains(w.Body.String(), `"code":"unsupported_media_type"`) || strings.Contains(w.Body.String(), "stored") || w.Header().Get("Etag") != "" || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("a handler %s: %d %v %s", name, w.Code, w.Header(), w.Body)
		}
	}
}

// Who answers while he reads has said 200 before the verdict. The client must not take that for an answer.
func TestASuccessThatHadBegunBeforeABadVerdictIsCutOff(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto.name, func(t *testing.T) {
			denied := make(chan *deny.Denial, 1)
			begin := func(status int) http.Handler {
				h := inspector(t, upload.Config{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					http.NewResponseController(w).EnableFullDuplex()
					w.WriteHeader(status)
					io.WriteString(w, "begun ")
					io.Copy(io.Discard, r.Body)
					io.WriteString(w, "and ended")
				}))
				return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					x, w, r := exchange.Enter(w, r)
					defer func() { denied <- x.Denial() }()
					defer x.Leave()
					h.ServeHTTP(w, r)
				})
			}
			for status, cut := range map[int]bool{200: true, 409: false} {
				s := memhttp.New(t, begin(status), proto.opts...)
				for body, bad := range map[string]bool{lateFault(): true, form(part{`name="a"`, "", "x"}): false} {
					res, err := s.Client().Post(s.URL, formType, strings.NewReader(body))
					var b []byte
					if err == nil {
						b, err = io.ReadAll(res.Body)
						res.Body.Close()
					}
					if (err != nil) != (bad && cut) || err == nil && string(b) != "begun and ended" {
						t.Errorf("%d, bad %v: %q, %v", status, bad, b, err)
					}
					if d := <-denied; (d != nil) != bad {
						t.Errorf("%d, bad %v: denial %v", status, bad, d)
					}
				}
			}
		})
	}
}

var protocols = []struct {
	name string
	opts []memhttp.Option
}{{"HTTP/1.1", nil}, {"HTTP/2", []memhttp.Option{memhttp.HTTP2()}}}

func TestTrailersReachNobody(t *testing.T) {
	seen := make(chan http.Header, 1)
	s := memhttp.New(t, inspector(t, upload.Config{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		seen <- r.Trailer
	})))
	body := form(part{`name="a"`, "", "x"})
	for _, declared := range []string{"", "Trailer: X-Role\r\n"} {
		conn, err := s.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n%s\r\n%x\r\n%s\r\n0\r\nX-Role: admin\r\n\r\n", formType, declared, len(body), body)
		if got := <-seen; len(got) > 0 {
			t.Errorf("%q: %v", declared, got)
		}
		conn.Close()
	}
}

// A 408 is about one request. "Connection: close" on it would make net/http take leave of a whole HTTP/2 connection (GOAWAY).
func TestOtherStreamsOfTheConnectionSurviveA408(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memhttp.New(t, inspector(t, upload.Config{ReadTimeout: 3 * time.Second}).Handler(describe), memhttp.HTTP2())
		send := func(body io.Reader) (status int, reused bool) {
			trace := &httptrace.ClientTrace{GotConn: func(c httptrace.GotConnInfo) { reused = c.Reused }}
			r, _ := http.NewRequestWithContext(httptrace.WithClientTrace(t.Context(), trace), "POST", s.URL, body)
			r.Header.Set("Content-Type", formType)
			res, err := s.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			io.Copy(io.Discard, res.Body)
			return res.StatusCode, reused
		}
		good := form(part{`name="a"`, "", "x"})
		if status, _ := send(strings.NewReader(good)); status != 200 {
			t.Errorf("before: %d", status)
		}
		slow, end := io.Pipe()
		go end.Write([]byte(good[:20]))
		if status, reused := send(slow); status != 408 || !reused {
			t.Errorf("the slow one: %d, on the same connection: %v", status, reused)
		}
		slow.Close()
		synctest.Wait() // a GOAWAY would have arrived
		if status, reused := send(strings.NewReader(good)); status != 200 || !reused {
			t.Errorf("after: %d, on the same connection: %v", status, reused)
		}
	})
}

// A transport that still reads when its proxy has given up must not hold the handler until the client sends more.
func TestAReadThatWaitsForTheClientEndsWithTheHandler(t *testing.T) {
	for _, proto := range protocols {
		t.Run(proto.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				read := make(chan error, 1)
				s := memhttp.New(t, inspector(t, upload.Config{ReadTimeout: time.Hour}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					go func() {
						_, err := io.Copy(io.Discard, r.Body)
						read <- err
					}()
					<-time.After(time.Second)
					w.WriteHeader(http.StatusBadGateway)
				})), proto.opts...)
				start := time.Now()
				slow, end := io.Pipe()
				defer end.Close()
				go end.Write([]byte(form(part{`name="a"`, "", "x"})[:20]))
				res, err := s.Client().Post(s.URL, formType, slow)
				if err != nil {
					t.Fatal(err)
				}
				res.Body.Close()
				if err, d := <-read, time.Since(start); err == nil || d > 2*time.Second {
					t.Errorf("%d after %v, the reader got %v", res.StatusCode, d, err)
				}
			})
		})
	}
}

// What a client needs to mend its form: which part, and what to do.
func TestARefusalNamesThePartAndTheRemedy(t *testing.T) {
	in := inspector(t, upload.Config{})
	field := part{`name="model"`, "", "m"}
	for name, c := range map[string]struct{ body, accept, want string }{
		"no type":         {form(field, part{`name="f"; filename="a.png"`, "", pixel}), "", `"message":"A part with a file does not say what it is: give it the Content-Type of the file.","type":"invalid_request_error","param":"part 2"`},
		"another type":    {form(field, part{`name="f"; filename="a.png"`, "image/gif", pixel}), "", `"message":"The Content-Type of a part is not that of its file name: one of them is wrong.","type":"invalid_request_error","param":"part 2"`},
		"bytes":           {form(part{`name="f"; filename="a.png"`, "image/png", "MZ"}), "", `"param":"part 1"`},
		"the whole":       {"x", "", `"param":null`},
		"problem details": {form(part{`name="f"; filename="a.png"`, "image/png", "MZ"}), "application/problem+json", `"param":"part 1"`},
	} {
		w := serve(in.Handler(describe), post(c.body, "Accept", c.accept))
		if !strings.Contains(w.Body.String(), c.want) {
			t.Errorf("%s: %s", name, w.Body)
		}
	}
}

// The rooms' Refuse functions find each other's errors this way.
func TestAnErrorFillsInTheDenialThatOthersWrite(t *testing.T) {
	err := inspector(t, upload.Config{}).Check(formType, strings.NewReader(form(part{`name="f"; filename="a.png"`, "image/png", "MZ"})))
	var d *deny.Denial
	if !errors.As(fmt.Errorf("wrapped: %w", err), &d) || d.Status() != 415 || d.Param != "part 1" {
		t.Errorf("%+v", d)
	}
	w := httptest.NewRecorder()
	upload.Refuse(w, post(""), fmt.Errorf("wrapped: %w", error(&deny.Denial{Code: deny.SchemaViolation, Param: "/a"})))
	if w.Code != 422 || !strings.Contains(w.Body.String(), `"param":"/a"`) {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestSkipInnerExtensionsTakesThem(t *testing.T) {
	in := inspector(t, upload.Config{SkipInnerExtensions: true})
	if err := in.Check(formType, strings.NewReader(form(part{`name="f"; filename="a.php.png"`, "image/png", pixel}))); err != nil {
		t.Error(err)
	}
}

func TestARequestWithoutABodyHasNothingToRead(t *testing.T) {
	var read []byte
	h := inspector(t, upload.Config{}).Handler(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { read, _ = io.ReadAll(r.Body) }))
	r, _ := http.NewRequest("DELETE", "/", struct{ io.Reader }{strings.NewReader("x")})
	if w := serve(h, r); w.Code != 200 || len(read) > 0 {
		t.Errorf("%d, read %q", w.Code, read)
	}
}

func TestAReverseProxySendsTheSafeFormOn(t *testing.T) {
	for _, proto := range []string{"HTTP/1.1", "HTTP/2"} {
		t.Run(proto, func(t *testing.T) {
			var opts []memhttp.Option
			if proto == "HTTP/2" {
				opts = append(opts, memhttp.HTTP2())
			}
			type arrival struct {
				parts int
				err   error
			}
			arrived := make(chan arrival, 1)
			upstream := memhttp.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				var a arrival
				mr, err := r.MultipartReader()
				for err == nil {
					var p *multipart.Part
					if p, err = mr.NextPart(); err == nil {
						a.parts++
						_, err = io.Copy(io.Discard, p)
					}
				}
				if a.err = err; err == io.EOF {
					a.err = nil
				}
				arrived <- a
				fmt.Fprint(w, "taken")
			}), opts...)
			target, _ := url.Parse(upstream.URL)
			proxy := &httputil.ReverseProxy{
				Rewrite:   func(p *httputil.ProxyRequest) { p.SetURL(target) },
				Transport: upstream.Client().Transport,
				ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
					w.WriteHeader(http.StatusBadGateway) // what the proxy does by itself, without its line in the log
				},
			}
			front := memhttp.New(t, inspector(t, upload.Config{}).Handler(proxy), opts...)
			send := func(body string) (int, string) {
				res, err := front.Client().Post(front.URL+"/v1/files", formType, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				b, _ := io.ReadAll(res.Body)
				return res.StatusCode, string(b)
			}
			good := form(part{`name="model"`, "", "m"}, part{`name="f"; filename="a.wav"`, "audio/wav", string(samples.WAV(1, 1, 16, noise(300_000)))})
			if status, b := send(good); status != 200 || b != "taken" {
				t.Errorf("a good form: %d %s", status, b)
			}
			if a := <-arrived; a.parts != 2 || a.err != nil {
				t.Errorf("the upstream got %d parts of the good form: %v", a.parts, a.err)
			}
			if status, b := send(lateFault()); status != 415 || !strings.Contains(b, "unsupported_media_type") {
				t.Errorf("a bad form: %d %s", status, b)
			}
			if a := <-arrived; a.err == nil {
				t.Error("the upstream took the bad form for a whole one")
			}
		})
	}
}

func TestRequestsThatAreNoFormsAreRefusedByTheirHeaders(t *testing.T) {
	in := inspector(t, upload.Config{MaxTotal: 1000})
	read := false
	h := in.Handler(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { read = true }))
	good := form(part{`name="a"`, "", "x"})
	for _, c := range []struct {
		r      *http.Request
		status int
	}{
		{post(good, "Content-Type", "application/json"), 415}, {post(good, "Content-Type", formType+"|"+formType), 415}, {post(good, "Content-Encoding", "gzip"), 415},
		{post(strings.Repeat("x", 1001)), 413}, {httptest.NewRequest("POST", "/", nil), 415}, {httptest.NewRequest("PUT", "/", strings.NewReader("x")), 415}, {httptest.NewRequest("GET", "/", strings.NewReader("x")), 415},
	} {
		w := serve(h, c.r)
		if w.Code != c.status || read {
			t.Errorf("%s %v: %d, want %d", c.r.Method, c.r.Header, w.Code, c.status)
		}
		if w.Code == 415 && w.Header().Get("Accept") != "multipart/form-data" {
			t.Errorf("Accept: %q", w.Header().Get("Accept"))
		}
	}
	if serve(h, httptest.NewRequest("GET", "/", nil)); !read {
		t.Error("a request without a body did not pass")
	}
	for _, in := range []*upload.Inspector{nil, {}} {
		if w := serve(in.Handler(describe), post(good)); w.Code != 500 {
			t.Errorf("a zero Inspector: %d", w.Code)
		}
	}
}

func TestExpectContinueIsNotAnsweredWhenTheAnnouncedLengthIsTooLarge(t *testing.T) {
	s := memhttp.New(t, inspector(t, upload.Config{MaxTotal: 1000}).Handler(describe))
	conn, err := s.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Type: %s\r\nContent-Length: 100000000\r\n\r\n", formType)
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil || !strings.Contains(line, " 413 ") {
		t.Errorf("%q, %v", line, err)
	}
}

func TestABodyThatTricklesInIs408AfterTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memhttp.New(t, inspector(t, upload.Config{ReadTimeout: 3 * time.Second}).Handler(describe))
		conn, err := s.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		start := time.Now()
		fmt.Fprintf(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\nContent-Length: 500\r\n\r\n--%s\r\n", formType, boundary)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		if res.StatusCode != 408 || !strings.Contains(string(b), "request_timeout") {
			t.Errorf("%d %s", res.StatusCode, b)
		}
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("after %v", d)
		}
	})
}

func TestTheReadDeadlineDoesNotCutALongAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := memhttp.New(t, inspector(t, upload.Config{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Error(err)
			}
			select {
			case <-time.After(time.Hour):
				fmt.Fprint(w, "done")
			case <-r.Context().Done():
				t.Error("the answer was cut: ", context.Cause(r.Context()))
			}
		})))
		res, err := s.Client().Post(s.URL, formType, strings.NewReader(form(part{`name="a"`, "", "x"})))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
	})
}

func TestShadowModeChangesNoByteAndRecords(t *testing.T) {
	in := inspector(t, upload.Config{Shadow: true})
	good, bad := form(part{`name="a"`, "", "x"}), lateFault()
	for body, want := range map[string]string{good: "", bad: "unsupported_media_type", "nonsense": "invalid_request", strings.Repeat("x", 100_000): "invalid_request"} {
		var findings []exchange.Finding
		w := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			x, w, r := exchange.Enter(w, r)
			defer x.Leave()
			in.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, ok := upload.From(r.Context()); ok {
					t.Error("shadow mode has a form")
				}
				b, err := io.ReadAll(r.Body)
				if err != nil || string(b) != body || r.Header.Get("Content-Type") != formType {
					t.Errorf("the handler got %d bytes of %d, %v", len(b), len(body), err)
				}
			})).ServeHTTP(w, r)
			findings = x.Findings()
		}), post(body))
		if w.Code != 200 {
			t.Errorf("%d", w.Code)
		}
		if want == "" && len(findings) > 0 || want != "" && (len(findings) != 1 || findings[0].Rule != want || findings[0].Action != "shadow") {
			t.Errorf("%.30q: %v, want %q", body, findings, want)
		}
	}
	w := serve(in.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })), post("{}", "Content-Type", "application/json"))
	if w.Code != 200 || w.Body.String() != "ok" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestRefusalsNeverShowWhatTheClientSent(t *testing.T) {
	var logged bytes.Buffer
	in := inspector(t, upload.Config{Logger: slog.New(slog.NewJSONHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	for _, body := range []string{
		form(part{`name="canary"; filename="canary.exe"`, "canary/canary", "canary"}), form(part{`name="canary"; filename="canary.png"`, "image/png", "canary"}),
		"canary", form(part{`canary="canary"`, "", "canary"}), form(part{`name="canary"`, "", "\x00canary"}),
	} {
		w := serve(in.Handler(describe), post(body))
		if w.Code < 400 || w.Code >= 500 || strings.Contains(w.Body.String(), "canary") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
	if n := strings.Count(logged.String(), "upload: form refused"); n != 5 || strings.Contains(logged.String(), "canary") {
		t.Errorf("%d records: %s", n, &logged)
	}
}

func TestDenyReplacesTheReply(t *testing.T) {
	in := inspector(t, upload.Config{Deny: func(w http.ResponseWriter, r *http.Request, err error) {
		var e *upload.Error
		if !errors.As(err, &e) {
			t.Errorf("%T", err)
			return
		}
		w.WriteHeader(e.Status)
		fmt.Fprint(w, "no: ", e.Rule)
	}})
	for _, body := range []string{"x", lateFault()} {
		w := serve(in.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) })), post(body))
		if w.Code < 400 || !strings.HasPrefix(w.Body.String(), "no: ") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
	}
}

// A transport may still read when the handler has returned.
func TestTheBodyIsClosedWithTheHandler(t *testing.T) {
	var body io.Reader
	serve(inspector(t, upload.Config{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { body = r.Body })), post(form(part{`name="a"`, "", "x"})))
	if n, err := body.Read(make([]byte, 10)); n != 0 || err == nil || err == io.EOF {
		t.Errorf("%d, %v", n, err)
	}
}

func TestAnInspectorIsSafeForConcurrentUse(t *testing.T) {
	h := inspector(t, upload.Config{}).Handler(describe)
	done := make(chan int)
	for i := range 16 {
		go func() {
			body := form(part{`name="f"; filename="a.png"`, "image/png", pixel})
			if i%2 == 1 {
				body = lateFault()
			}
			done <- serve(h, post(body)).Code
		}()
	}
	for range 16 {
		if code := <-done; code != 200 && code != 415 {
			t.Error(code)
		}
	}
}

// The whole way of a form through the middleware to a handler that reads it all.
func BenchmarkHandler(b *testing.B) {
	body := form(part{`name="f"; filename="a.png"`, "image/png", string(samples.WithChunk(samples.Blank(9, 9), "teSt", noise(8<<20)))})
	h := inspector(b, upload.Config{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, 32<<10)
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r.Body}, buf); err != nil {
			b.Error(err)
		}
	}))
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		r := httptest.NewRequest("POST", "/", struct{ io.Reader }{strings.NewReader(body)})
		r.Header.Set("Content-Type", formType)
		h.ServeHTTP(httptest.NewRecorder(), r)
	}
}

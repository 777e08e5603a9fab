package validate_test

import (
	"bytes"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mantlet-go/mantlet/internal/deny"
	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/internal/memhttp"
	"github.com/mantlet-go/mantlet/validate"
)

type model struct {
	Model string `json:"model"`
	N     int    `json:"n"`
}

func (m model) Validate() error {
	if m.N == 13 {
		return errors.New("thirteen is on the list of 2019")
	}
	return nil
}

func debugTo(b *bytes.Buffer) *slog.Logger {
	return slog.New(slog.NewTextHandler(b, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

// Who rolls a Config out in shadow mode first must not break clients that would pass it.
func TestInShadowModeBodyReadsWhatACodedBodySays(t *testing.T) {
	v := mustNew(t, validate.Config{Shadow: true, Encodings: []string{"gzip"}, Schema: []byte(`{"required":["n"]}`)})
	var got model
	var raw []byte
	h := validate.Handle(v, func(_ http.ResponseWriter, r *http.Request, m model) { got, raw = m, nil; raw, _ = io.ReadAll(r.Body) })
	sent := zip(`{"model":"m"}`)
	w := serve(h, request("POST", sent, "Content-Encoding", "gzip"))
	if w.Code != 200 || got.Model != "m" || string(raw) != sent {
		t.Errorf("%d %s, body %+v, read %q", w.Code, w.Body, got, raw)
	}
}

// Of two Validators the inner one meets a body that is decoded already; and Check is what both ask.
func TestADecodedBodyIsJudgedByTheBoundOfDecodedBodies(t *testing.T) {
	cfg := validate.Config{MaxBody: 1000, Encodings: []string{"gzip"}, MaxDecoded: 10_000, Limits: validate.Limits{StringLen: -1}}
	body := `"` + strings.Repeat("a", 4000) + `"`
	one, two := mustNew(t, cfg), mustNew(t, cfg)
	for name, h := range map[string]http.Handler{"one": one.Handler(echo), "two": one.Handler(two.Handler(echo))} {
		if w := serve(h, request("POST", zip(body), "Content-Encoding", "gzip")); w.Code != 200 || w.Body.String() != body {
			t.Errorf("%s: %d", name, w.Code)
		}
		if w := serve(h, request("POST", body)); w.Code != 413 {
			t.Errorf("%s, as it is: %d", name, w.Code)
		}
	}
	if err := one.Check([]byte(body)); err != nil {
		t.Error(err)
	}
	if err := one.Check([]byte(`"` + strings.Repeat("a", 10_000) + `"`)); err == nil {
		t.Error("accepted beyond MaxDecoded")
	}
}

// What Body, Handle and Refuse turn down is on record like every other refusal, with the private reason.
func TestARefusalOfADecodedBodyIsOnRecord(t *testing.T) {
	for body, want := range map[string]string{
		`{"n":13}`:  "thirteen is on the list of 2019",
		`{"n":1.5}`: "does not fit",
	} {
		var log bytes.Buffer
		v := mustNew(t, validate.Config{Logger: debugTo(&log)})
		for _, h := range []http.Handler{
			validate.Handle(v, func(http.ResponseWriter, *http.Request, model) {}),
			v.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if _, err := validate.Body[model](r.Context()); err != nil {
					validate.Refuse(w, r, err)
				}
			})),
		} {
			log.Reset()
			w := serve(h, request("POST", body))
			if w.Code != 422 || strings.Contains(w.Body.String(), "thirteen") {
				t.Errorf("%s: %d %s", body, w.Code, w.Body)
			}
			if strings.Count(log.String(), "\n") != 1 || !strings.Contains(log.String(), want) || !strings.Contains(log.String(), "status=422") {
				t.Errorf("%s: %s", body, &log)
			}
		}
	}
}

func TestShadowModeIsHeardAtTheUsualLevel(t *testing.T) {
	var log bytes.Buffer
	v := mustNew(t, validate.Config{Shadow: true, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	serve(v.Handler(echo), request("POST", `{`))
	if !strings.Contains(log.String(), "would be refused") {
		t.Errorf("%q", &log)
	}
}

// An error of another package of this module keeps its own answer.
func TestRefuseTakesTheErrorsOfOtherPackages(t *testing.T) {
	w := httptest.NewRecorder()
	validate.Refuse(w, httptest.NewRequest("POST", "/", nil), foreign{})
	if w.Code != 415 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	var d *deny.Denial
	if err := mustNew(t, validate.Config{}).Check([]byte(`{`)); !errors.As(err, &d) || d.Code != deny.InvalidJSON {
		t.Errorf("%v", d)
	}
}

type foreign struct{}

func (foreign) Error() string { return "of another package" }
func (foreign) As(target any) bool {
	d, ok := target.(**deny.Denial)
	if ok {
		*d = &deny.Denial{Code: deny.UnsupportedMediaType}
	}
	return ok
}

// What takes time outside of a Validator is not the client's time.
func TestTheTimeOfABodyBeginsWhenItIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		v := mustNew(t, validate.Config{ReadTimeout: time.Second})
		slow := func(next http.Handler) http.Handler {
			return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				x, w, r := exchange.Enter(w, r)
				defer x.Leave()
				time.Sleep(time.Minute) // an issuer is asked about a token
				next.ServeHTTP(w, r)
			})
		}
		s := memhttp.New(t, slow(v.Handler(echo)))
		res, err := s.Client().Post("http://server/", "application/json", strings.NewReader(`{"a":1}`))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 200 {
			t.Error(res.Status)
		}
	})
}

// One client that is slow must not end the requests of others on the same connection of a proxy.
func TestA408LeavesTheOtherStreamsOfAnHTTP2ConnectionAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		addrs := make(chan string, 8)
		v := mustNew(t, validate.Config{ReadTimeout: time.Second})
		s := memhttp.New(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			addrs <- r.RemoteAddr
			v.Handler(echo).ServeHTTP(w, r)
		}), memhttp.HTTP2())
		body, stuck := io.Pipe()
		defer stuck.Close()
		go stuck.Write([]byte(`{"a":`))
		req, _ := http.NewRequest("POST", "http://server/", body)
		req.Header.Set("Content-Type", "application/json")
		res, err := s.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 408 {
			t.Fatal(res.Status)
		}
		time.Sleep(time.Minute) // a GOAWAY would have arrived
		res, err = s.Client().Post("http://server/", "application/json", strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if first, second := <-addrs, <-addrs; first != second || res.StatusCode != 200 {
			t.Errorf("%s, connections %s and %s", res.Status, first, second)
		}
	})
}

// A request that a program makes itself may have a length of 0 and a reader; nobody behind gets to read what was not checked.
func TestNothingUncheckedIsLeftToRead(t *testing.T) {
	v := mustNew(t, validate.Config{})
	r := httptest.NewRequest("DELETE", "/", nil)
	r.Body, r.ContentLength = io.NopCloser(strings.NewReader(`{"a":1,"a":2}`)), 0
	if w := serve(v.Handler(echo), r); w.Code != 200 || w.Body.Len() > 0 {
		t.Errorf("%d %q", w.Code, w.Body)
	}
}

func TestSwapOfACloneLeavesTheOriginalAlone(t *testing.T) {
	v := mustNew(t, validate.Config{Schema: []byte(`false`)})
	c := v.Clone()
	if err := c.Swap(validate.Config{}); err != nil {
		t.Fatal(err)
	}
	if v.Check([]byte(`1`)) == nil || c.Check([]byte(`1`)) != nil || new(validate.Validator).Clone().Check([]byte(`1`)) == nil {
		t.Error("clone and original are one")
	}
}

package validate_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/mantlet-go/mantlet/validate"
)

// span has a rule that no schema can state.
type span struct {
	Start int `json:"start"`
	End   int `json:"end"`
}

var errSpan = errors.New("CANARY: the end is before the start")

func (s span) Validate() error {
	if s.End < s.Start {
		return errSpan
	}
	return nil
}

// asked counts how often it is asked, on a pointer receiver.
type asked struct {
	N int `json:"n"`
}

var askedTimes atomic.Int32

func (a *asked) Validate() error {
	askedTimes.Add(1)
	a.N++ // a pointer receiver may fill in defaults
	return nil
}

func TestTheMethodValidateDecidesOverADecodedBody(t *testing.T) {
	within(t, validate.Config{}, `{"start":1,"end":2}`, func(ctx context.Context, _ *http.Request) {
		if s, err := validate.Body[span](ctx); err != nil || s.End != 2 {
			t.Errorf("%v %v", s, err)
		}
		if s, err := validate.Body[*span](ctx); err != nil || s.End != 2 {
			t.Errorf("%v %v", s, err)
		}
	})
	within(t, validate.Config{}, `{"start":2,"end":1}`, func(ctx context.Context, r *http.Request) {
		s, err := validate.Body[span](ctx)
		var e *validate.Error
		if !errors.As(err, &e) || e.Status != 422 || e.Code != "schema_violation" || e.Keyword != "validate" || e.Pointer != "" {
			t.Fatalf("%#v", err)
		}
		if s != (span{}) {
			t.Errorf("a refused body is handed out: %v", s)
		}
		if !errors.Is(err, errSpan) || strings.Contains(err.Error(), "CANARY") {
			t.Errorf("the reason must be there, and private: %v", err)
		}
		w := serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { validate.Refuse(w, r, err) }), request("POST", ""))
		if w.Code != 422 || strings.Contains(w.Body.String(), "CANARY") || !strings.Contains(w.Body.String(), "breaks a rule") {
			t.Errorf("%d %s", w.Code, w.Body)
		}
		if _, err := validate.Body[*span](ctx); !errors.Is(err, errSpan) {
			t.Errorf("through a pointer: %v", err)
		}
	})
}

func TestTheMethodValidateIsAskedOncePerDecoding(t *testing.T) {
	askedTimes.Store(0)
	within(t, validate.Config{}, `{"n":3}`, func(ctx context.Context, _ *http.Request) {
		for range 3 {
			if a, err := validate.Body[asked](ctx); err != nil || a.N != 4 {
				t.Errorf("%v %v", a, err)
			}
		}
	})
	if n := askedTimes.Load(); n != 1 {
		t.Errorf("asked %d times", n)
	}
	within(t, validate.Config{}, `{"n":"x"}`, func(ctx context.Context, _ *http.Request) {
		if _, err := validate.Body[asked](ctx); err == nil {
			t.Error("a string fits an int")
		}
	})
	if n := askedTimes.Load(); n != 1 {
		t.Error("asked about a body that does not fit the type")
	}
}

// placed says where.
type placed struct {
	Wrap bool `json:"wrap"`
}

var errPlaced = errors.New("wrapped")

func (p placed) Validate() error {
	err := validate.ErrorAt("/messages/0/role", "order", "The first message must be the system's.")
	if p.Wrap {
		return fmt.Errorf("CANARY %w, %w", errPlaced, err)
	}
	return err
}

func TestARefusalMadeByAtGoesToTheClient(t *testing.T) {
	for _, body := range []string{`{"wrap":false}`, `{"wrap":true}`} {
		within(t, validate.Config{}, body, func(ctx context.Context, _ *http.Request) {
			_, err := validate.Body[placed](ctx)
			const want = "validate: schema_violation at /messages/0/role (order): The first message must be the system's."
			if err == nil || err.Error() != want {
				t.Errorf("%s: %v", body, err)
			}
			if strings.Contains(body, "true") && !errors.Is(err, errPlaced) {
				t.Errorf("%s: what was around it is lost", body)
			}
		})
	}
	for keyword, want := range map[string]string{"minimum": "The number is too small.", "mine": "The request body does not have the required form."} {
		if e := validate.ErrorAt("/n", keyword, ""); e.Status != 422 || e.Message != want {
			t.Errorf("%s: %v", keyword, e)
		}
	}
}

func TestANullBodyIsNoPointerToAsk(t *testing.T) {
	within(t, validate.Config{}, `null`, func(ctx context.Context, _ *http.Request) {
		var e *validate.Error
		if _, err := validate.Body[*asked](ctx); !errors.As(err, &e) || e.Keyword != "type" {
			t.Errorf("%v", err)
		}
		if p, err := validate.Body[*counting](ctx); err != nil || p != nil { // without a method null is a nil pointer
			t.Errorf("%v %v", p, err)
		}
	})
}

type panicking struct{}

func (panicking) Validate() error { panic("a fault of the program") }

func TestAPanicInValidateIsNotSwallowedAndLetsNothingThrough(t *testing.T) {
	within(t, validate.Config{}, `{}`, func(ctx context.Context, _ *http.Request) {
		func() {
			defer func() {
				if p := recover(); p != "a fault of the program" {
					t.Errorf("recovered %v", p)
				}
			}()
			validate.Body[panicking](ctx)
			t.Error("no panic")
		}()
		var e *validate.Error
		if _, err := validate.Body[panicking](ctx); !errors.As(err, &e) || e.Status != 500 {
			t.Errorf("asked again: %v", err)
		}
	})
}

// once counts how often encoding/json decodes it.
type once[T any] struct{ Value T }

var onceDecoded atomic.Int32

func (o *once[T]) UnmarshalJSON(b []byte) error {
	onceDecoded.Add(1)
	return json.Unmarshal(b, &o.Value)
}

func TestGoroutinesOfOneRequestShareOneDecoding(t *testing.T) {
	onceDecoded.Store(0)
	within(t, validate.Config{}, `{"n":3}`, func(ctx context.Context, _ *http.Request) {
		var wg sync.WaitGroup
		for i := range 64 {
			wg.Go(func() {
				if o, err := validate.Body[once[map[string]int]](ctx); err != nil || o.Value["n"] != 3 {
					t.Errorf("%v %v", o, err)
				}
				if i%2 == 0 {
					if o, err := validate.Body[once[struct {
						N int `json:"n"`
					}]](ctx); err != nil || o.Value.N != 3 {
						t.Errorf("%v %v", o, err)
					}
				}
			})
		}
		wg.Wait()
	})
	if n := onceDecoded.Load(); n != 2 {
		t.Errorf("two types were decoded %d times", n)
	}
}

func TestGenericTypesAreDecodedAndExactAboutCase(t *testing.T) {
	type envelope[T any] struct {
		Data T `json:"data"`
	}
	within(t, validate.Config{}, `{"data":{"start":1,"end":2}}`, func(ctx context.Context, _ *http.Request) {
		if e, err := validate.Body[envelope[span]](ctx); err != nil || e.Data.End != 2 {
			t.Errorf("%v %v", e, err)
		}
	})
	within(t, validate.Config{}, `{"data":{"START":1}}`, func(ctx context.Context, _ *http.Request) {
		var e *validate.Error
		if _, err := validate.Body[envelope[span]](ctx); !errors.As(err, &e) || e.Keyword != "case" {
			t.Errorf("%v", err)
		}
		if e, err := validate.Body[envelope[map[string]int]](ctx); err != nil || e.Data["START"] != 1 {
			t.Errorf("%v %v", e, err)
		}
	})
}

func TestHandleRunsItsHandlerWithTheDecodedBodyOnly(t *testing.T) {
	v := mustNew(t, validate.Config{})
	h := validate.Handle(v, func(w http.ResponseWriter, r *http.Request, s span) { fmt.Fprint(w, s) })
	for _, c := range []struct {
		method, body string
		status       int
		answer       string
	}{
		{"POST", `{"start":1,"end":2}`, 200, "{1 2}"},
		{"POST", `{"start":1,`, 400, "not valid JSON"},
		{"POST", `{"start":2,"end":1}`, 422, "breaks a rule"},
		{"POST", `{"Start":2}`, 422, "upper and lower case"},
		{"POST", `{"start":"x"}`, 422, "wrong type"},
		{"GET", ``, 400, "is empty"},
	} {
		if w := serve(h, request(c.method, c.body)); w.Code != c.status || !strings.Contains(w.Body.String(), c.answer) {
			t.Errorf("%s %s: %d %s", c.method, c.body, w.Code, w.Body)
		}
	}
	if w := serve(validate.Handle(nil, func(http.ResponseWriter, *http.Request, span) { t.Error("ran") }), request("POST", `{}`)); w.Code != 500 {
		t.Errorf("without a Validator: %d", w.Code)
	}
	own := mustNew(t, validate.Config{Deny: func(w http.ResponseWriter, r *http.Request, err error) { http.Error(w, "mine", http.StatusTeapot) }})
	for _, body := range []string{`{`, `{"start":2,"end":1}`} {
		if w := serve(validate.Handle(own, func(http.ResponseWriter, *http.Request, span) {}), request("POST", body)); w.Code != 418 {
			t.Errorf("%s: the reply of one's own is not used: %d", body, w.Code)
		}
	}
	defer func() {
		if p := recover(); p != "validate: Handle: handler is nil" {
			t.Error(p)
		}
	}()
	validate.Handle[span](v, nil)
}

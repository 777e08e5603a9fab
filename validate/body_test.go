package validate_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"testing"
	"time"

	"github.com/mantlet-go/mantlet/internal/exchange"
	"github.com/mantlet-go/mantlet/validate"
)

// within runs f inside a handler that got body.
func within(t *testing.T, cfg validate.Config, body string, f func(ctx context.Context, r *http.Request)) {
	t.Helper()
	ran := false
	w := serve(mustNew(t, cfg).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ran = true
		f(r.Context(), r)
	})), request("POST", body))
	if !ran {
		t.Fatalf("refused: %s", w.Body)
	}
}

func TestBodyWithoutAValidatorIsErrNoBody(t *testing.T) {
	if _, err := validate.Body[any](t.Context()); !errors.Is(err, validate.ErrNoBody) {
		t.Error(err)
	}
	if b, ok := validate.Raw(t.Context()); ok || b != nil {
		t.Errorf("%q", b)
	}
	// An exchange whose body another room has read, but nobody checked, is not enough.
	serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		x, w, r := exchange.Enter(w, r)
		defer x.Leave()
		x.ReadBody(w, r, 100)
		if _, err := validate.Body[any](r.Context()); !errors.Is(err, validate.ErrNoBody) {
			t.Error(err)
		}
	}), request("POST", `{}`))
	// Nor is a request that was let through without a body.
	serve(mustNew(t, validate.Config{}).Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := validate.Body[any](r.Context()); !errors.Is(err, validate.ErrNoBody) {
			t.Error(err)
		}
	})), request("GET", ""))
}

// counting counts how often it is decoded.
type counting struct {
	N int `json:"n"`
}

var decodes int

func (c *counting) UnmarshalJSON(b []byte) error {
	decodes++
	type plain counting
	return json.Unmarshal(b, (*plain)(c))
}

func TestBodyIsDecodedOncePerType(t *testing.T) {
	decodes = 0
	within(t, validate.Config{}, `{"n":3}`, func(ctx context.Context, r *http.Request) {
		type key struct{}
		for range 3 {
			c, err := validate.Body[counting](context.WithValue(ctx, key{}, 1)) // also below other values
			if err != nil || c.N != 3 {
				t.Errorf("%v %v", c, err)
			}
		}
		if m, err := validate.Body[map[string]int](ctx); err != nil || m["n"] != 3 {
			t.Errorf("%v %v", m, err)
		}
	})
	if decodes != 1 {
		t.Errorf("decoded %d times", decodes)
	}
}

func TestBodyFollowsARewrite(t *testing.T) {
	within(t, validate.Config{}, `{"n":3}`, func(ctx context.Context, r *http.Request) {
		if c, err := validate.Body[counting](ctx); err != nil || c.N != 3 {
			t.Errorf("%v %v", c, err)
		}
		exchange.From(ctx).ReplaceBody(r, []byte(`{"n":4}`))
		if c, err := validate.Body[counting](ctx); err != nil || c.N != 4 {
			t.Errorf("after the rewrite: %v %v", c, err)
		}
		if b, ok := validate.Raw(ctx); !ok || string(b) != `{"n":4}` {
			t.Errorf("after the rewrite: %q", b)
		}
		exchange.From(ctx).ReplaceBody(r, []byte(`{"n":`))
		if _, err := validate.Body[struct{ N int }](ctx); err == nil {
			t.Error("a broken rewrite decodes")
		}
	})
}

func TestAppendingToRawDoesNotReachTheSharedBytes(t *testing.T) {
	within(t, validate.Config{}, `[1,2,3]`, func(ctx context.Context, r *http.Request) {
		a, _ := validate.Raw(ctx)
		_ = append(a[:3:3], "XXXX"...)
		_ = append(a, 'X')
		if b, _ := validate.Raw(ctx); string(b) != `[1,2,3]` {
			t.Errorf("%q", b)
		}
	})
}

func TestALoneCaseVariantDoesNotFillAField(t *testing.T) {
	type message struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	}
	type embedded struct {
		User string `json:"user"`
	}
	type tree struct {
		Name string  `json:"name"`
		Kids []*tree `json:"kids"`
	}
	type request struct {
		embedded
		Model    string             `json:"model"`
		Stream   bool               `json:"stream"`
		Skey     string             `json:"key"`
		Untagged int                //
		Messages []message          `json:"messages"`
		ByName   map[string]message `json:"by_name"`
		Free     map[string]any     `json:"free"`
		Any      any                `json:"any"`
		Raw      json.RawMessage    `json:"raw"`
		At       time.Time          `json:"at"`
		Tree     *tree              `json:"tree"`
		Hidden   string             `json:"-"`
	}
	for body, ok := range map[string]bool{
		`{"model":"a","stream":true,"key":"k","Untagged":1,"user":"u"}`: true,
		`{"MODEL":"a"}`:                                    false,
		`{"Model":"a"}`:                                    false,
		`{"ſtream":true}`:                                  false, // U+017F folds to s
		`{"` + "\u212a" + `ey":"k"}`:                       false, // the Kelvin sign folds to k
		`{"\u004dodel":"a"}`:                               false, // escaped M
		`{"\u006dodel":"a"}`:                               true,  // escaped m
		`{"untagged":1}`:                                   false,
		`{"USER":"u"}`:                                     false, // through an embedded struct
		`{"messages":[{"role":"a"},{"Role":"b"}]}`:         false,
		`{"messages":[{"role":"a","content":"Role"}]}`:     true,
		`{"by_name":{"ROLE":{"role":"a"}}}`:                true, // a key of a map is data
		`{"by_name":{"x":{"ROLE":"a"}}}`:                   false,
		`{"free":{"MODEL":1,"x":{"Model":2}}}`:             true,
		`{"any":{"MODEL":1},"raw":{"MODEL":1}}`:            true,
		`{"unknown":{"MODEL":1},"other":[{"MODEL":1}]}`:    true,
		`{"tree":{"kids":[{"kids":[{"name":"x"}]}]}}`:      true,
		`{"tree":{"kids":[{"kids":[{"NAME":"x"}]}]}}`:      false,
		`{"tree":null,"messages":null,"at":null}`:          true,
		`{"Hidden":"x","-":"y","private":"z"}`:             true,
		`{"any":[{"MODEL":1}],"tree":{"name":"a"}}`:        true,
		`{"any":[{"MODEL":1}],"tree":{"name":"a"},"AT":0}`: false,
	} {
		within(t, validate.Config{}, body, func(ctx context.Context, _ *http.Request) {
			got, err := validate.Body[request](ctx)
			if (err == nil) != ok {
				t.Errorf("%s: %v", body, err)
			}
			var e *validate.Error
			if !ok && (!errors.As(err, &e) || e.Status != 422 || e.Keyword != "case" || got.Model != "" || got.Stream) {
				t.Errorf("%s: %v %+v", body, err, got)
			}
		})
	}
}

func TestABodyThatDoesNotFitTheTypeIs422WithoutItsValue(t *testing.T) {
	within(t, validate.Config{}, `{"n":"CANARY"}`, func(ctx context.Context, _ *http.Request) {
		for range 2 { // the error is cached like a value
			_, err := validate.Body[struct{ N int }](ctx)
			if err == nil {
				t.Fatal("the case variant n fits N")
			}
		}
		_, err := validate.Body[struct {
			N int `json:"n"`
		}](ctx)
		var e *validate.Error
		if !errors.As(err, &e) || e.Status != 422 || e.Keyword != "type" {
			t.Fatal(err)
		}
		for ; err != nil; err = errors.Unwrap(err) {
			if s := err.Error(); len(s) == 0 || containsCanary(s) {
				t.Error(s)
			}
		}
	})
	within(t, validate.Config{}, `{"n":7777777}`, func(ctx context.Context, _ *http.Request) {
		_, err := validate.Body[struct {
			N int8 `json:"n"`
		}](ctx)
		for ; err != nil; err = errors.Unwrap(err) {
			if containsCanary(err.Error()) {
				t.Error(err)
			}
		}
	})
}

func containsCanary(s string) bool {
	for _, c := range []string{"CANARY", "7777777"} {
		for i := 0; i+len(c) <= len(s); i++ {
			if s[i:i+len(c)] == c {
				return true
			}
		}
	}
	return false
}

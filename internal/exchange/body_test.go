package exchange_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/mantlet-go/mantlet/internal/exchange"
)

func TestTheHeaderFieldsOfAReplacedBodyFollowItInACopy(t *testing.T) {
	for name, c := range map[string]struct {
		replace func(x *exchange.Exchange, r *http.Request)
		length  string
		want    string
	}{
		"replaced":                {func(x *exchange.Exchange, r *http.Request) { x.ReplaceBody(r, []byte("new")) }, "3", "gzip"},
		"decoded":                 {func(x *exchange.Exchange, r *http.Request) { x.DecodeBody(r, []byte("new")) }, "3", ""},
		"decoded, never a length": {func(x *exchange.Exchange, r *http.Request) { x.DecodeBody(r, []byte("new")) }, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := httptest.NewRequest("POST", "/", strings.NewReader("the old"))
			r.Header = http.Header{"Content-Encoding": {"gzip"}, "Content-Digest": {"x"}, "Repr-Digest": {"x"}, "Digest": {"x"}, "Content-Md5": {"x"}, "X-Other": {"kept"}}
			if c.length != "" {
				r.Header.Set("Content-Length", "7")
			}
			sent, before := r.Header, maps.Clone(r.Header)
			x, w, r := exchange.Enter(httptest.NewRecorder(), r)
			defer x.Leave()
			if _, err := x.ReadBody(w, r, 100); err != nil {
				t.Fatal(err)
			}
			c.replace(x, r)
			if fmt.Sprint(sent) != fmt.Sprint(before) {
				t.Errorf("the map of the room outside was changed: %v", sent)
			}
			want := http.Header{"X-Other": {"kept"}}
			if c.length != "" {
				want.Set("Content-Length", c.length)
			}
			if c.want != "" {
				want.Set("Content-Encoding", c.want)
			}
			if fmt.Sprint(r.Header) != fmt.Sprint(want) || r.ContentLength != 3 {
				t.Errorf("%v, length %d; want %v", r.Header, r.ContentLength, want)
			}
			if b, _ := io.ReadAll(r.Body); string(b) != "new" {
				t.Errorf("%q", b)
			}
		})
	}
}
